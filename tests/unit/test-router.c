/*
 * The router, and the query behind the path: exact, on what was sent.
 */
#include "unit.h"

#include <string.h>

#include "daemon/http/query.h"
#include "daemon/http/router.h"
#include "daemon/http/server.h"
#include "lib/base/macros.h"

static void handler(struct exchange *x) {
        (void) x;
}

/* clang-format off */
static const struct route routes[] = {
        { "GET",  "/v1/certificates",                 handler, 0, 0, 0, 0 },
        { "POST", "/v1/certificates",                 handler, 0, 0, 0, 0 },
        { "GET",  "/v1/certificates/{serial}",        handler, 0, 0, 0, 0 },
        { "POST", "/v1/certificates/{serial}/revoke", handler, 0, 0, 0, 0 },
        { "GET",  "/v1/ca/root.pem",                  handler, 0, 0, 0, 0 },
        { "GET",  "/v1/tcp",                          handler, 0, 0, 0, HTTP_ON(HTTP_TCP) },
        { "GET",  "/",                                handler, 0, 0, 0, 0 },
        { "GET",  "/x/{a}/{b}",                       handler, 0, 0, 0, 0 },
};
/* clang-format on */

/* clang-format off */
static const struct {
        const char *why, *method, *path;
        int row; /* -1: refused with code */
        enum error_code code;
        const char *param, *value;
} lookups[] = {
        { "a literal path", "GET", "/v1/certificates", 0, 0, NULL, NULL },
        { "the method chooses the row", "POST", "/v1/certificates", 1, 0, NULL, NULL },
        { "HEAD is GET", "HEAD", "/v1/certificates", 0, 0, NULL, NULL },
        { "a parameter", "GET", "/v1/certificates/01ab", 2, 0, "serial", "01ab" },
        { "a suffix stays with the parameter", "GET", "/v1/certificates/01ab.chain.pem", 2, 0, "serial", "01ab.chain.pem" },
        { "a parameter before a literal", "POST", "/v1/certificates/01ab/revoke", 3, 0, "serial", "01ab" },
        { "the second of two", "GET", "/x/1/2", 7, 0, "b", "2" },
        { "the root", "GET", "/", 6, 0, NULL, NULL },
        { "no empty parameter", "GET", "/v1/certificates/", -1, ERR_NOT_FOUND, NULL, NULL },
        { "nothing behind", "GET", "/v1/certificates/1/revoke/x", -1, ERR_NOT_FOUND, NULL, NULL },
        { "no prefix match", "GET", "/v1/cert", -1, ERR_NOT_FOUND, NULL, NULL },
        { "no trailing slash", "GET", "/v1/ca/root.pem/", -1, ERR_NOT_FOUND, NULL, NULL },
        { "case matters", "GET", "/V1/certificates", -1, ERR_NOT_FOUND, NULL, NULL },
        { "only unreserved characters in a parameter", "GET", "/v1/certificates/a:b", -1, ERR_NOT_FOUND, NULL, NULL },
        { "another method", "DELETE", "/v1/certificates", -1, ERR_METHOD_NOT_ALLOWED, NULL, NULL },
        { "methods are case-sensitive", "get", "/v1/certificates", -1, ERR_METHOD_NOT_ALLOWED, NULL, NULL },
        { "OPTIONS", "OPTIONS", "*", -1, ERR_METHOD_NOT_ALLOWED, NULL, NULL },
        { "TRACE", "TRACE", "/v1/certificates", -1, ERR_METHOD_NOT_ALLOWED, NULL, NULL },
        { "CONNECT", "CONNECT", "host:443", -1, ERR_METHOD_NOT_ALLOWED, NULL, NULL },
        { "%2e", "GET", "/v1/%2e%2e/ca/root.pem", -1, ERR_REQUEST_MALFORMED, NULL, NULL },
        { "%2f", "GET", "/v1/certificates/a%2fb", -1, ERR_REQUEST_MALFORMED, NULL, NULL },
        { "%00", "GET", "/v1/certificates/a%00b", -1, ERR_REQUEST_MALFORMED, NULL, NULL },
        { "a needless escape", "GET", "/v1/certificates/%61", -1, ERR_REQUEST_MALFORMED, NULL, NULL },
        { "..", "GET", "/v1/../v1/certificates", -1, ERR_REQUEST_MALFORMED, NULL, NULL },
        { ".. at the end", "GET", "/v1/certificates/..", -1, ERR_REQUEST_MALFORMED, NULL, NULL },
        { ".", "GET", "/v1/./certificates", -1, ERR_REQUEST_MALFORMED, NULL, NULL },
        { "//", "GET", "//v1/certificates", -1, ERR_REQUEST_MALFORMED, NULL, NULL },
        { "absolute form", "GET", "http://localhost/v1/certificates", -1, ERR_REQUEST_MALFORMED, NULL, NULL },
        { "empty", "GET", "", -1, ERR_REQUEST_MALFORMED, NULL, NULL },
        { "a backslash", "GET", "/v1\\certificates", -1, ERR_REQUEST_MALFORMED, NULL, NULL },
        { "a space", "GET", "/v1/a b", -1, ERR_REQUEST_MALFORMED, NULL, NULL },
        { "a byte over 127", "GET", "/v1/\xc3\xa9", -1, ERR_REQUEST_MALFORMED, NULL, NULL },
        { "a fragment", "GET", "/v1/certificates#x", -1, ERR_REQUEST_MALFORMED, NULL, NULL },
        { "not on this listener", "GET", "/v1/tcp", -1, ERR_NOT_FOUND, NULL, NULL },
};
/* clang-format on */

START_TEST(a_path_is_found_only_as_it_stands_in_the_table) {
        struct route_match match = { .params_len = 99 };
        char allow[ROUTE_ALLOW_MAX];
        struct error err = { 0 };
        int rc = route_find(routes, ARRAY_SIZE(routes), HTTP_ON(HTTP_UNIX), lookups[_i].method,
                            lookups[_i].path, &match, allow, &err);

        if (lookups[_i].row < 0) {
                ck_assert_msg(rc == -1 && err.code == lookups[_i].code, "%s: %s", lookups[_i].why,
                              err.text);
                ck_assert_uint_eq(match.params_len, 99);
                return;
        }
        ck_assert_msg(rc == 0 && match.route == &routes[lookups[_i].row], "%s: %s", lookups[_i].why,
                      err.text);
        if (lookups[_i].param)
                ck_assert_str_eq(route_param(&match, lookups[_i].param), lookups[_i].value);
        ck_assert_ptr_null(route_param(&match, "nothing"));
}
END_TEST

START_TEST(allow_names_the_methods_of_the_path) {
        struct route_match match;
        char allow[ROUTE_ALLOW_MAX];
        struct error err;

        ck_refused(route_find(routes, ARRAY_SIZE(routes), 0, "PUT", "/v1/certificates", &match,
                              allow, &err),
                   err, ERR_METHOD_NOT_ALLOWED);
        ck_assert_str_eq(allow, "GET, HEAD, POST");
        ck_refused(route_find(routes, ARRAY_SIZE(routes), 0, "GET", "/v1/certificates/1/revoke",
                              &match, allow, &err),
                   err, ERR_METHOD_NOT_ALLOWED);
        ck_assert_str_eq(allow, "POST");
        ck_refused(route_find(routes, ARRAY_SIZE(routes), 0, "OPTIONS", "/v1/certificates/1/revoke",
                              &match, allow, &err),
                   err, ERR_METHOD_NOT_ALLOWED);
        ck_assert_str_eq(allow, "POST");
        ck_refused(route_find(routes, ARRAY_SIZE(routes), 0, "OPTIONS", "*", &match, allow, &err),
                   err, ERR_METHOD_NOT_ALLOWED);
        ck_assert_ptr_nonnull(strstr(allow, "GET, HEAD, POST")); /* all there are */
        ck_refused(route_find(routes, ARRAY_SIZE(routes), 0, "TRACE", "/nothing", &match, allow,
                              &err),
                   err, ERR_NOT_FOUND);
}
END_TEST

START_TEST(a_path_of_the_greatest_length_fits_and_one_more_does_not) {
        char path[ROUTE_PATH_MAX + 2], allow[ROUTE_ALLOW_MAX];
        struct route_match match;
        struct error err = { 0 };

        memset(path, 'a', sizeof(path));
        memcpy(path, "/v1/certificates/", 17);
        path[ROUTE_PATH_MAX] = '\0';
        ck_ok(route_find(routes, ARRAY_SIZE(routes), 0, "GET", path, &match, allow, &err), err);
        ck_assert_uint_eq(strlen(route_param(&match, "serial")), ROUTE_PATH_MAX - 17);
        path[ROUTE_PATH_MAX] = 'a';
        path[ROUTE_PATH_MAX + 1] = '\0';
        ck_refused(route_find(routes, ARRAY_SIZE(routes), 0, "GET", path, &match, allow, &err), err,
                   ERR_REQUEST_MALFORMED);
}
END_TEST

/* clang-format off */
static const struct {
        const char *why;
        struct route rows[2];
} tables[] = {
        { "no handler", { { "GET", "/a", NULL, 0, 0, 0, 0 }, { "GET", "/b", handler, 0, 0, 0, 0 } } },
        { "a parameter is part of a segment", { { "GET", "/a/x{b}", handler, 0, 0, 0, 0 }, { "GET", "/b", handler, 0, 0, 0, 0 } } },
        { "a parameter with something behind", { { "GET", "/a/{b}.x", handler, 0, 0, 0, 0 }, { "GET", "/b", handler, 0, 0, 0, 0 } } },
        { "HEAD comes with GET", { { "HEAD", "/a", handler, 0, 0, 0, 0 }, { "GET", "/b", handler, 0, 0, 0, 0 } } },
        { "the same twice", { { "GET", "/a", handler, 0, 0, 0, 0 }, { "GET", "/a", handler, 0, 0, 0, 0 } } },
        { "hidden by a parameter", { { "GET", "/a/{x}", handler, 0, 0, 0, 0 }, { "GET", "/a/b", handler, 0, 0, 0, 0 } } },
};
/* clang-format on */

START_TEST(a_broken_table_is_refused_at_start) {
        struct error err;

        ck_refused(route_table_check(tables[_i].rows, 2, &err), err, ERR_CONFIG);
}
END_TEST

START_TEST(a_good_table_is_taken) {
        struct error err = { 0 };

        ck_ok(route_table_check(routes, ARRAY_SIZE(routes), &err), err);
}
END_TEST

/* clang-format off */
static const struct {
        const char *why, *key, *value, *decoded; /* decoded NULL: refused */
} parameters[] = {
        { "plain", "name", "nas.lan", "nas.lan" },
        { "decoded", "name", "%2A.nas%2elan", "*.nas.lan" },
        { "the key too", "n%61me", "x", "x" },
        { "no value", "name", NULL, "" },
        { "UTF-8", "name", "%C3%A9", "\xc3\xa9" },
        { "a bad escape", "name", "%zz", NULL },
        { "a short escape", "name", "a%4", NULL },
        { "a lone percent", "name", "%", NULL },
        { "NUL", "name", "a%00b", NULL },
        { "a line break", "name", "a%0ab", NULL },
        { "no UTF-8", "name", "%ff", NULL },
        { "overlong UTF-8", "name", "%c0%ae", NULL },
        { "no name", "", "x", NULL },
};
/* clang-format on */

START_TEST(a_query_parameter_is_decoded_strictly) {
        struct query query = { 0 };
        struct error err = { 0 };
        int rc = query_add(&query, parameters[_i].key, parameters[_i].value, false, &err);

        if (parameters[_i].decoded) {
                ck_assert_msg(rc == 0, "%s: %s", parameters[_i].why, err.text);
                ck_assert_str_eq(query_get(&query, "name"), parameters[_i].decoded);
        } else
                ck_assert_msg(rc == -1 && err.code == ERR_QUERY_INVALID, "%s", parameters[_i].why);
        query_done(&query);
}
END_TEST

START_TEST(a_key_may_come_twice_only_where_it_is_asked_for) {
        struct query query = { 0 };
        struct error err = { 0 };
        const char *key, *value;

        ck_ok(query_add(&query, "name", "a", true, &err), err);
        ck_ok(query_add(&query, "name", "b", true, &err), err);
        ck_assert(query_at(&query, 1, &key, &value));
        ck_assert_str_eq(value, "b");
        ck_refused(query_add(&query, "n%61me", "c", false, &err), err, ERR_QUERY_INVALID);
        query_done(&query);
}
END_TEST

START_TEST(a_query_has_a_greatest_number_of_parameters) {
        struct query query = { 0 };
        struct error err = { 0 };

        for (int i = 0; i < QUERY_MAX; i++)
                ck_ok(query_add(&query, "k", "v", true, &err), err);
        ck_refused(query_add(&query, "k", "v", true, &err), err, ERR_QUERY_INVALID);
        query_clear(&query);
        ck_ok(query_add(&query, "k", "v", false, &err), err);
        query_done(&query);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("router");
        TCase *tc = tcase_create("router");

        tcase_add_loop_test(tc, a_path_is_found_only_as_it_stands_in_the_table, 0,
                            ARRAY_SIZE(lookups));
        tcase_add_test(tc, allow_names_the_methods_of_the_path);
        tcase_add_test(tc, a_path_of_the_greatest_length_fits_and_one_more_does_not);
        tcase_add_loop_test(tc, a_broken_table_is_refused_at_start, 0, ARRAY_SIZE(tables));
        tcase_add_test(tc, a_good_table_is_taken);
        tcase_add_loop_test(tc, a_query_parameter_is_decoded_strictly, 0, ARRAY_SIZE(parameters));
        tcase_add_test(tc, a_key_may_come_twice_only_where_it_is_asked_for);
        tcase_add_test(tc, a_query_has_a_greatest_number_of_parameters);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
