/*
 * Problem documents: every code has a status, and what is ours to mend stays inside.
 */
#include "unit.h"

#include <string.h>

#include "daemon/http/json.h"
#include "daemon/http/problem.h"
#include "lib/base/macros.h"

START_TEST(every_code_has_a_row_that_fits_its_kind) {
        for (unsigned code = ERR_NONE + 1; code < ERR_COUNT; code++) {
                unsigned status = problem_status((enum error_code) code);

                ck_assert_msg(status >= 400 && status < 600, "%s",
                              error_slug((enum error_code) code));
                if (error_kind((enum error_code) code) == ERROR_FAULT)
                        ck_assert_msg(status >= 500, "%s is a fault, its status %u",
                                      error_slug((enum error_code) code), status);
                if (status == 503 || status == 429)
                        ck_assert_msg(problem_retry_after_s((enum error_code) code) > 0,
                                      "%s wants a Retry-After", error_slug((enum error_code) code));
                if (status == 500)
                        ck_assert_uint_eq(problem_retry_after_s((enum error_code) code), 0);
        }
}
END_TEST

/* clang-format off */
static const struct { enum error_code code; unsigned status; } statuses[] = {
        { ERR_CSR_MALFORMED, 400 },      { ERR_NAME_NOT_PERMITTED, 422 },   { ERR_UNAUTHENTICATED, 401 },
        { ERR_FORBIDDEN, 403 },          { ERR_NOT_FOUND, 404 },            { ERR_METHOD_NOT_ALLOWED, 405 },
        { ERR_NOT_ACCEPTABLE, 406 },     { ERR_REQUEST_TIMEOUT, 408 },      { ERR_ALREADY_REVOKED, 409 },
        { ERR_BODY_TOO_LARGE, 413 },     { ERR_MEDIA_TYPE, 415 },           { ERR_IDEMPOTENCY_MISMATCH, 422 },
        { ERR_TOO_MANY_REQUESTS, 429 },  { ERR_RATE_LIMITED, 429 },         { ERR_INTERNAL, 500 },
        { ERR_SIGNER_UNAVAILABLE, 503 }, { ERR_STORE_FULL, 503 },           { ERR_CLOCK, 503 },
        { ERR_OVERLOADED, 503 },         { ERR_STOPPING, 503 },             { ERR_IDEMPOTENCY_IN_FLIGHT, 409 },
};
/* clang-format on */

START_TEST(a_code_has_the_status_that_clients_count_on) {
        ck_assert_uint_eq(problem_status(statuses[_i].code), statuses[_i].status);
}
END_TEST

static json_t *document_of(const struct error *err, const char *request_id) {
        CAD_AUTO(buffer_done) struct buffer out = { 0 };
        json_t *document = NULL;
        struct error parsing = { 0 };

        problem_append(&out, err, request_id);
        ck_ok(json_read(buffer_bytes(&out), JSON_DEPTH_MAX, JSON_BODY_MAX, &document, &parsing),
              parsing);
        return document;
}

static const char *text_of(const json_t *document, const char *name) {
        return json_string_value(json_object_get(document, name));
}

START_TEST(a_refusal_says_what_is_wrong_and_where) {
        CAD_AUTO(json_drop) json_t *document = NULL;
        struct error err = { 0 };

        (void) error_set_field(&err, ERR_NAME_NOT_PERMITTED, "csr.san[2]",
                               "'\"quoted\"\\.example.com' is outside");
        document = document_of(&err, "0123456789abcdef");
        ck_assert_str_eq(text_of(document, "type"), "urn:cad:problem:name-not-permitted");
        ck_assert_str_eq(text_of(document, "title"), error_title(ERR_NAME_NOT_PERMITTED));
        ck_assert_int_eq(json_integer_value(json_object_get(document, "status")), 422);
        ck_assert_str_eq(text_of(document, "detail"), err.text);
        ck_assert_str_eq(text_of(document, "field"), "csr.san[2]");
        ck_assert_str_eq(text_of(document, "request_id"), "0123456789abcdef");
}
END_TEST

START_TEST(a_fault_of_ours_keeps_its_detail_inside) {
        CAD_AUTO(json_drop) json_t *document = NULL;
        struct error err = { 0 };

        (void) error_set(&err, ERR_INTERNAL, "/var/lib/secret: oops");
        document = document_of(&err, NULL);
        ck_assert_ptr_null(strstr(text_of(document, "detail"), "secret"));
        ck_assert_ptr_null(json_object_get(document, "field"));
        ck_assert_ptr_null(json_object_get(document, "request_id"));
}
END_TEST

START_TEST(a_full_disk_says_so) {
        CAD_AUTO(json_drop) json_t *document = NULL;
        struct error err = { 0 };

        (void) error_set(&err, ERR_STORE_FULL, "the disk is full");
        document = document_of(&err, NULL);
        ck_assert_str_eq(text_of(document, "detail"), "the disk is full");
}
END_TEST

int main(void) {
        Suite *suite = suite_create("problem");
        TCase *tc = tcase_create("problem");

        tcase_add_test(tc, every_code_has_a_row_that_fits_its_kind);
        tcase_add_loop_test(tc, a_code_has_the_status_that_clients_count_on, 0,
                            ARRAY_SIZE(statuses));
        tcase_add_test(tc, a_refusal_says_what_is_wrong_and_where);
        tcase_add_test(tc, a_fault_of_ours_keeps_its_detail_inside);
        tcase_add_test(tc, a_full_disk_says_so);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
