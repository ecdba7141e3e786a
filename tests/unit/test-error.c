/*
 * Errors: every code has its row, slugs are stable names, and nothing of a peer's gets through a sentence.
 */
#include "unit.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/text.h"

START_TEST(every_code_has_a_title_and_a_slug_that_leads_back) {
        enum error_code code = (enum error_code) _i;
        const char *slug = error_slug(code), *title = error_title(code);

        ck_assert_msg(strlen(title) > 5 && isupper((unsigned char) title[0]), "%s: '%s'", slug,
                      title);
        ck_assert_msg(title[strlen(title) - 1] != '.', "%s: a title is no sentence", slug);
        ck_assert_msg(slug[0] &&
                              strspn(slug, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(slug),
                      "'%s'", slug);
        ck_assert_msg(strlen(slug) < 39, "'%s' may have been cut", slug);
        ck_assert_int_eq(error_from_slug(slug), code);
        ck_assert(error_kind(code) == ERROR_REFUSAL || error_kind(code) == ERROR_FAULT);
}
END_TEST

/* Clients match on these: a slug that changes is a break of the interface. */
static const struct {
        enum error_code code;
        const char *slug;
        enum error_kind kind;
} promised[] = {
        { ERR_NONE, "none", ERROR_FAULT },
        { ERR_CSR_MALFORMED, "csr-malformed", ERROR_REFUSAL },
        { ERR_KEY_WEAK, "key-weak", ERROR_REFUSAL },
        { ERR_NAME_NOT_PERMITTED, "name-not-permitted", ERROR_REFUSAL },
        { ERR_IDEMPOTENCY_MISMATCH, "idempotency-mismatch", ERROR_REFUSAL },
        { ERR_ALREADY_REVOKED, "already-revoked", ERROR_REFUSAL },
        { ERR_SIGNER_UNAVAILABLE, "signer-unavailable", ERROR_FAULT },
        { ERR_STORE_FULL, "store-full", ERROR_FAULT },
        { ERR_INTERNAL, "internal", ERROR_FAULT },
};

START_TEST(a_promised_slug_stays) {
        ck_assert_str_eq(error_slug(promised[_i].code), promised[_i].slug);
        ck_assert_int_eq(error_kind(promised[_i].code), promised[_i].kind);
}
END_TEST

static const char *const no_slugs[] = { "",
                                        "nonsense",
                                        "ERR_CSR_MALFORMED",
                                        "csr_malformed",
                                        "csr-malforme",
                                        "csr-malformed ",
                                        "CSR-MALFORMED" };

START_TEST(an_unknown_slug_is_an_internal_error) {
        ck_assert_int_eq(error_from_slug(no_slugs[_i]), ERR_INTERNAL);
}
END_TEST

START_TEST(a_number_that_is_no_code_reads_outside_of_no_table) {
        static const int numbers[] = { ERR_COUNT, ERR_COUNT + 1, 10000, -1 };

        for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
                enum error_code code;

                memcpy(&code, &numbers[i],
                       sizeof(code)); /* as a decoder might make it; UBSan knows enums */
                ck_assert_str_eq(error_slug(code), "internal");
                ck_assert_str_eq(error_title(code), error_title(ERR_INTERNAL));
                ck_assert_int_eq(error_kind(code), ERROR_FAULT);
        }
}
END_TEST

static const struct {
        int errnum;
        enum error_code code;
} errnos[] = {
        { ENOSPC, ERR_STORE_FULL },
        { EDQUOT, ERR_STORE_FULL },
        { ENOMEM, ERR_NO_MEMORY },
        { EIO, ERR_IO },
        { EACCES, ERR_IO },
        { EROFS, ERR_IO },
        { 0, ERR_IO },
        { 99999, ERR_IO },
};

START_TEST(an_errno_becomes_a_code_and_a_sentence) {
        struct error err = { 0 };

        ck_assert_int_eq(error_errno(&err, errnos[_i].errnum, "cannot write %s", "x.db"), -1);
        ck_assert_int_eq(err.code, errnos[_i].code);
        ck_assert_ptr_eq(strstr(err.text, "cannot write x.db: "), err.text);
        ck_assert_uint_gt(strlen(err.text), strlen("cannot write x.db: "));
        ck_assert_int_eq(error_errno(NULL, EIO, "nobody asks"), -1);
}
END_TEST

START_TEST(an_error_says_where_it_was_set) {
        struct error err = { 0 };
        int line = __LINE__ + 1;
        ck_assert_int_eq(error_set(&err, ERR_CONFIG, "%d", 1), -1);
        ck_assert_int_eq(err.line, line);
        ck_assert(text_ends_with(err.file, "test-error.c"));
        ck_assert_int_eq(error_set(NULL, ERR_CONFIG, "nobody asks"), -1);
        ck_assert_int_eq(error_set_field(NULL, ERR_CONFIG, "x", "nobody asks"), -1);
        ck_assert_int_eq(error_name_field(NULL, "x"), -1);
}
END_TEST

static const struct {
        const char *why, *in, *out;
} hostile[] = {
        { "a line of the log of its own", "a\nroot logged in", "a?root logged in" },
        { "a terminal's escape sequence", "\x1b]0;title\a", "?]0;title?" },
        { "text turned round", "exe.\xe2\x80\xaegpj", "exe.?gpj" },
        { "no UTF-8",
          "K\xfc"
          "che",
          "K?che" },
        { "a carriage return hides what stands before", "bad\rgood", "bad?good" },
        { "a percent sign is text", "100%s%n", "100%s%n" },
};

START_TEST(nothing_of_a_peer_gets_through_text_or_field) {
        struct error err = { 0 };

        (void) error_set_field(&err, ERR_CSR_MALFORMED, hostile[_i].in, "%s", hostile[_i].in);
        ck_assert_msg(strcmp(err.text, hostile[_i].out) == 0, "%s: %s", hostile[_i].why, err.text);
        ck_assert_msg(strcmp(err.field, hostile[_i].out) == 0, "%s: %s", hostile[_i].why,
                      err.field);
        err.field[0] = '\0';
        (void) error_name_field(&err, "%s", hostile[_i].in);
        ck_assert_str_eq(err.field, hostile[_i].out);
}
END_TEST

/* Whatever the length and wherever a character of two octets falls on the end. */
START_TEST(a_long_sentence_is_cut_between_characters_and_marked) {
        for (int length = 0; length < 3 * ERROR_TEXT_MAX;
             length += length < ERROR_TEXT_MAX - 20 || length > ERROR_TEXT_MAX + 20 ? 17 : 1) {
                struct error err = { 0 };
                bool fits = (size_t) length + strlen("ü") < ERROR_TEXT_MAX;

                (void) error_set_field(&err, ERR_IO, "f", "%0*dü", length ? length : 1, 0);
                ck_assert(utf8_valid(bytes_of(err.text)));
                ck_assert(text_ends_with(err.text, fits ? "ü" : "…"));
                (void) error_errno(&err, EIO, "%0*dü", length ? length : 1, 0);
                ck_assert(utf8_valid(bytes_of(err.text)));
                ck_assert(strlen(err.text) < ERROR_TEXT_MAX);
        }
}
END_TEST

START_TEST(a_long_field_is_cut_too) {
        struct error err = { 0 };

        (void) error_set(&err, ERR_CONFIG, "x");
        (void) error_name_field(&err, "%0*d", 2 * ERROR_FIELD_MAX, 0);
        ck_assert_uint_lt(strlen(err.field), ERROR_FIELD_MAX);
        ck_assert(text_ends_with(err.field, "…"));
}
END_TEST

START_TEST(the_first_field_that_is_named_stays) {
        struct error err = { 0 };

        (void) error_set(&err, ERR_CONFIG, "x");
        ck_assert_str_eq(err.field, "");
        ck_assert_int_eq(error_name_field(&err, "names[%d]", 2), -1);
        ck_assert_str_eq(err.field, "names[2]");
        (void) error_name_field(&err, "names");
        ck_assert_str_eq(err.field, "names[2]");
        (void) error_set(&err, ERR_CONFIG, "a new one has none");
        ck_assert_str_eq(err.field, "");
        (void) error_set_field(&err, ERR_CONFIG, NULL, "nor has this");
        ck_assert_str_eq(err.field, "");
}
END_TEST

static void *ask(void *unused) {
        (void) unused;
        return (void *) error_slug(ERR_CSR_MALFORMED);
}

START_TEST(slugs_are_made_once_whoever_asks_first) {
        pthread_t threads[8];

        for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
                ck_assert_int_eq(pthread_create(&threads[i], NULL, ask, NULL), 0);
        for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
                void *slug = NULL;

                ck_assert_int_eq(pthread_join(threads[i], &slug), 0);
                ck_assert_str_eq((const char *) slug, "csr-malformed");
        }
}
END_TEST

int main(void) {
        Suite *suite = suite_create("error");
        TCase *tc = tcase_create("error");

        tcase_add_test(tc, slugs_are_made_once_whoever_asks_first);
        tcase_add_loop_test(tc, every_code_has_a_title_and_a_slug_that_leads_back, 0, ERR_COUNT);
        tcase_add_loop_test(tc, a_promised_slug_stays, 0, ARRAY_SIZE(promised));
        tcase_add_loop_test(tc, an_unknown_slug_is_an_internal_error, 0, ARRAY_SIZE(no_slugs));
        tcase_add_test(tc, a_number_that_is_no_code_reads_outside_of_no_table);
        tcase_add_loop_test(tc, an_errno_becomes_a_code_and_a_sentence, 0, ARRAY_SIZE(errnos));
        tcase_add_test(tc, an_error_says_where_it_was_set);
        tcase_add_loop_test(tc, nothing_of_a_peer_gets_through_text_or_field, 0,
                            ARRAY_SIZE(hostile));
        tcase_add_test(tc, a_long_sentence_is_cut_between_characters_and_marked);
        tcase_add_test(tc, a_long_field_is_cut_too);
        tcase_add_test(tc, the_first_field_that_is_named_stays);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
