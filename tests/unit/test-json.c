/*
 * JSON bodies: what is refused before and by the parser, and the table of known members.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/http/json.h"
#include "lib/base/macros.h"

#define TEXT(s) \
        { (const uint8_t *) (s), sizeof(s) - 1 }

/* clang-format off */
static const struct { const char *why; struct bytes body; } refused[] = {
        { "nothing", TEXT("") },
        { "a byte order mark", TEXT("\xef\xbb\xbf{}") },
        { "UTF-16", TEXT("\xff\xfe{\0}\0") },
        { "NaN", TEXT("{\"a\":NaN}") },
        { "Infinity", TEXT("{\"a\":-Infinity}") },
        { "a number that overflows", TEXT("{\"a\":1e999}") },
        { "an integer that overflows", TEXT("{\"a\":99999999999999999999}") },
        { "the same name twice", TEXT("{\"a\":1,\"a\":2}") },
        { "the same name twice, written differently", TEXT("{\"a\":1,\"\\u0061\":2}") },
        { "a lone high surrogate", TEXT("{\"a\":\"\\ud800\"}") },
        { "a lone low surrogate", TEXT("{\"a\":\"\\udc00\"}") },
        { "an encoded surrogate", TEXT("{\"a\":\"\xed\xa0\x80\"}") },
        { "NUL as an escape", TEXT("{\"a\":\"\\u0000\"}") },
        { "NUL as a byte", TEXT("{\"a\":\"\0\"}") },
        { "NUL in a name", TEXT("{\"a\\u0000b\":1}") },
        { "overlong UTF-8", TEXT("{\"a\":\"\xc0\xaf\"}") },
        { "a raw line break in a string", TEXT("{\"a\":\"\n\"}") },
        { "a comment", TEXT("{/* */}") },
        { "a trailing comma", TEXT("{\"a\":1,}") },
        { "single quotes", TEXT("{'a':1}") },
        { "something behind", TEXT("{} {}") },
        { "a bare string", TEXT("\"a\"") },
        { "half an object", TEXT("{\"a\":") },
};
/* clang-format on */

START_TEST(json_that_parsers_read_differently_is_refused) {
        json_t *document = NULL;
        struct error err = { 0 };

        ck_assert_msg(json_read(refused[_i].body, JSON_DEPTH_MAX, JSON_BODY_MAX, &document, &err) ==
                              -1,
                      "%s", refused[_i].why);
        ck_assert_int_eq(err.code, ERR_BODY_MALFORMED);
        ck_assert_ptr_null(document);
}
END_TEST

static int read_nested(size_t depth, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        CAD_AUTO(json_drop) json_t *document = NULL;

        for (size_t i = 0; i < depth; i++)
                buffer_text(&text, "[");
        for (size_t i = 0; i < depth; i++)
                buffer_text(&text, "]");
        return json_read(buffer_bytes(&text), JSON_DEPTH_MAX, JSON_BODY_MAX, &document, err);
}

START_TEST(nesting_has_a_greatest_depth) {
        struct error err = { 0 };

        ck_ok(read_nested(JSON_DEPTH_MAX, &err), err);
        ck_refused(read_nested(JSON_DEPTH_MAX + 1, &err), err, ERR_BODY_MALFORMED);
        ck_refused(read_nested(100000, &err), err, ERR_BODY_MALFORMED);
}
END_TEST

START_TEST(brackets_in_a_string_are_no_nesting) {
        CAD_AUTO(json_drop) json_t *document = NULL;
        struct error err = { 0 };

        ck_ok(json_read(BYTES_LITERAL("[\"[[[[[[[[[[[[[[[[[[[[\\\"[[[[[{{{{{\"]"), JSON_DEPTH_MAX,
                        JSON_BODY_MAX, &document, &err),
              err);
}
END_TEST

START_TEST(a_body_of_the_greatest_size_is_read_and_one_byte_more_is_not) {
        CAD_AUTO(json_drop) json_t *document = NULL;
        struct error err = { 0 };

        ck_ok(json_read(BYTES_LITERAL("{\"a\":1}"), JSON_DEPTH_MAX, 7, &document, &err), err);
        ck_refused(json_read(BYTES_LITERAL("{\"a\":1} "), JSON_DEPTH_MAX, 7, &document, &err), err,
                   ERR_BODY_TOO_LARGE);
}
END_TEST

struct wish {
        const char *csr;
        const json_t *names;
        bool force;
        int64_t count;
};

/* clang-format off */
static const struct json_member members[] = {
        { "csr", JSON_MEMBER_TEXT, JSON_TO(struct wish, csr), .required = true, .max = 8 },
        { "names", JSON_MEMBER_TEXTS, JSON_TO(struct wish, names), .max = 2 },
        { "force", JSON_MEMBER_BOOL, JSON_TO(struct wish, force) },
        { "count", JSON_MEMBER_INTEGER, JSON_TO(struct wish, count), .max = 100 },
};
/* clang-format on */

static int read_wish(const char *text, struct wish *wish, json_t **document, unsigned *given,
                     struct error *err) {
        struct error parsing = { 0 };

        ck_ok(json_read(bytes_of(text), JSON_DEPTH_MAX, JSON_BODY_MAX, document, &parsing),
              parsing);
        return json_members_read(*document, members, ARRAY_SIZE(members), wish, given, err);
}

START_TEST(known_members_fill_the_struct) {
        CAD_AUTO(json_drop) json_t *document = NULL;
        struct wish wish = { .count = 7 };
        struct error err = { 0 };
        unsigned given = 0;

        ck_ok(read_wish(
                      "{\"csr\":\"12345678\",\"names\":[\"a\",\"b\"],\"force\":true,\"count\":null}",
                      &wish, &document, &given, &err),
              err);
        ck_assert_str_eq(wish.csr, "12345678");
        ck_assert_uint_eq(json_array_size(wish.names), 2);
        ck_assert(wish.force);
        ck_assert_int_eq(wish.count, 7);
        ck_assert_uint_eq(given, 0x7);
}
END_TEST

/* clang-format off */
static const struct { const char *body, *field; } wrong[] = {
        { "{}", "csr" },
        { "{\"csr\":null}", "csr" },
        { "{\"csr\":\"\"}", "csr" },
        { "{\"csr\":1}", "csr" },
        { "{\"csr\":\"123456789\"}", "csr" },
        { "{\"csr\":\"x\",\"names\":\"a\"}", "names" },
        { "{\"csr\":\"x\",\"names\":[\"a\",\"b\",\"c\"]}", "names" },
        { "{\"csr\":\"x\",\"names\":[\"a\",1]}", "names[1]" },
        { "{\"csr\":\"x\",\"force\":1}", "force" },
        { "{\"csr\":\"x\",\"count\":101}", "count" },
        { "{\"csr\":\"x\",\"count\":-1}", "count" },
        { "{\"csr\":\"x\",\"count\":1.0}", "count" },
        { "{\"csr\":\"x\",\"Names\":[]}", "Names" },
        { "{\"csr\":\"x\",\"key\":\"y\"}", "key" },
};
/* clang-format on */

START_TEST(a_member_that_does_not_fit_is_refused_by_name) {
        CAD_AUTO(json_drop) json_t *document = NULL;
        struct wish wish = { 0 };
        struct error err = { 0 };

        ck_assert_msg(read_wish(wrong[_i].body, &wish, &document, NULL, &err) == -1, "%s",
                      wrong[_i].body);
        ck_assert_int_eq(err.code, ERR_BODY_MALFORMED);
        ck_assert_str_eq(err.field, wrong[_i].field);
}
END_TEST

START_TEST(an_array_is_no_object) {
        CAD_AUTO(json_drop) json_t *document = NULL;
        struct wish wish = { 0 };
        struct error err = { 0 };

        ck_assert_int_eq(read_wish("[]", &wish, &document, NULL, &err), -1);
        ck_assert_int_eq(err.code, ERR_BODY_MALFORMED);
}
END_TEST

START_TEST(text_is_escaped_so_that_it_reads_back) {
        CAD_AUTO(buffer_done) struct buffer out = { 0 };
        CAD_AUTO(json_drop) json_t *document = NULL;
        const char *text = "a\"b\\c\nd\te\x01\x1f/\xc3\xa9\xf0\x9f\x94\x92";
        struct error err = { 0 };

        buffer_text(&out, "[");
        json_append_text(&out, text);
        buffer_text(&out, ",");
        json_append_text(&out, NULL);
        buffer_text(&out, "]");
        ck_ok(json_read(buffer_bytes(&out), JSON_DEPTH_MAX, JSON_BODY_MAX, &document, &err), err);
        ck_assert_str_eq(json_string_value(json_array_get(document, 0)), text);
        ck_assert(json_is_null(json_array_get(document, 1)));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("json");
        TCase *tc = tcase_create("json");

        tcase_add_loop_test(tc, json_that_parsers_read_differently_is_refused, 0,
                            ARRAY_SIZE(refused));
        tcase_add_test(tc, nesting_has_a_greatest_depth);
        tcase_add_test(tc, brackets_in_a_string_are_no_nesting);
        tcase_add_test(tc, a_body_of_the_greatest_size_is_read_and_one_byte_more_is_not);
        tcase_add_test(tc, known_members_fill_the_struct);
        tcase_add_loop_test(tc, a_member_that_does_not_fit_is_refused_by_name, 0,
                            ARRAY_SIZE(wrong));
        tcase_add_test(tc, an_array_is_no_object);
        tcase_add_test(tc, text_is_escaped_so_that_it_reads_back);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
