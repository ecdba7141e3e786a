/*
 * The gate: framing and header syntax that libmicrohttpd takes too kindly; and media types.
 */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "daemon/http/gate.h"
#include "daemon/http/media.h"
#include "lib/base/macros.h"

#define FIELDS 4

static struct gate_header field(const char *name, const char *value) {
        return (struct gate_header){ name, value, strlen(name), strlen(value) };
}

/* clang-format off */
static const struct {
        const char *why, *version;
        bool good;
        const char *fields[FIELDS][2];
} requests[] = {
        { "the least", "HTTP/1.1", true, { { "Host", "localhost" } } },
        { "an empty Host", "HTTP/1.1", true, { { "Host", "" } } },
        { "a Host with a port", "HTTP/1.1", true, { { "Host", "nas.lan:8443" } } },
        { "an IPv6 Host", "HTTP/1.1", true, { { "Host", "[fe80::1]:8443" } } },
        { "HTTP/1.0 has no Host", "HTTP/1.0", true, { { "Accept", "*/*" } } },
        { "a length", "HTTP/1.1", true, { { "Host", "a" }, { "Content-Length", "3" } } },
        { "chunks", "HTTP/1.1", true, { { "Host", "a" }, { "Transfer-Encoding", "Chunked" } } },
        { "100-continue", "HTTP/1.1", true, { { "Host", "a" }, { "Expect", "100-Continue" } } },
        { "a list field twice", "HTTP/1.1", true, { { "Host", "a" }, { "Accept", "a/b" }, { "Accept", "c/d" } } },
        { "obs-text in a value", "HTTP/1.1", true, { { "Host", "a" }, { "X-A", "\xe9\tb" } } },
        { "no Host", "HTTP/1.1", false, { { "Accept", "*/*" } } },
        { "two Hosts", "HTTP/1.1", false, { { "Host", "a" }, { "host", "a" } } },
        { "a Host with a path", "HTTP/1.1", false, { { "Host", "a/b" } } },
        { "a Host with a user", "HTTP/1.1", false, { { "Host", "u@a" } } },
        { "a Host with a bad port", "HTTP/1.1", false, { { "Host", "a:b" } } },
        { "a port alone", "HTTP/1.1", false, { { "Host", ":80" } } },
        { "two lengths that differ", "HTTP/1.1", false, { { "Host", "a" }, { "Content-Length", "3" }, { "Content-Length", "4" } } },
        { "two lengths that do not", "HTTP/1.1", false, { { "Host", "a" }, { "Content-Length", "3" }, { "content-length", "3" } } },
        { "length and chunks", "HTTP/1.1", false, { { "Host", "a" }, { "Content-Length", "3" }, { "Transfer-Encoding", "chunked" } } },
        { "gzip, chunked", "HTTP/1.1", false, { { "Host", "a" }, { "Transfer-Encoding", "gzip, chunked" } } },
        { "chunked, chunked", "HTTP/1.1", false, { { "Host", "a" }, { "Transfer-Encoding", "chunked, chunked" } } },
        { "an unknown coding", "HTTP/1.1", false, { { "Host", "a" }, { "Transfer-Encoding", "xchunked" } } },
        { "chunks on 1.0", "HTTP/1.0", false, { { "Host", "a" }, { "Transfer-Encoding", "chunked" } } },
        { "a signed length", "HTTP/1.1", false, { { "Host", "a" }, { "Content-Length", "+3" } } },
        { "a list of lengths", "HTTP/1.1", false, { { "Host", "a" }, { "Content-Length", "3, 3" } } },
        { "a length over 63 bits", "HTTP/1.1", false, { { "Host", "a" }, { "Content-Length", "9223372036854775808" } } },
        { "a space in a name", "HTTP/1.1", false, { { "Host", "a" }, { "X-A ", "1" } } },
        { "an empty name", "HTTP/1.1", false, { { "Host", "a" }, { "", "1" } } },
        { "a colon in a name", "HTTP/1.1", false, { { "Host", "a" }, { "X:A", "1" } } },
        { "a CR in a value", "HTTP/1.1", false, { { "Host", "a" }, { "X-A", "1\r2" } } },
        { "a control character in a value", "HTTP/1.1", false, { { "Host", "a" }, { "X-A", "\x01" } } },
        { "another Expect", "HTTP/1.1", false, { { "Host", "a" }, { "Expect", "200-ok" } } },
        { "two Authorizations", "HTTP/1.1", false, { { "Host", "a" }, { "Authorization", "x" }, { "Authorization", "y" } } },
        { "two Idempotency-Keys", "HTTP/1.1", false, { { "Host", "a" }, { "Idempotency-Key", "x" }, { "Idempotency-Key", "x" } } },
        { "two Content-Types", "HTTP/1.1", false, { { "Host", "a" }, { "Content-Type", "a/b" }, { "Content-Type", "a/b" } } },
};
/* clang-format on */

START_TEST(framing_that_can_be_read_in_two_ways_is_refused) {
        struct gate_request request = { .version = requests[_i].version };
        struct error err = { 0 };
        int rc;

        for (size_t i = 0; i < FIELDS && requests[_i].fields[i][0]; i++)
                gate_add(&request, field(requests[_i].fields[i][0], requests[_i].fields[i][1]));
        rc = gate_check(&request, &err);
        ck_assert_msg(rc == (requests[_i].good ? 0 : -1), "%s: %s", requests[_i].why, err.text);
        ck_assert(requests[_i].good || err.code == ERR_REQUEST_MALFORMED);
}
END_TEST

START_TEST(a_nul_in_a_name_or_value_is_refused) {
        struct gate_request name = { .version = "HTTP/1.1" }, value = { .version = "HTTP/1.1" };
        struct error err;

        gate_add(&name, field("Host", "a"));
        gate_add(&name, (struct gate_header){ "X\0A", "1", 3, 1 });
        ck_refused(gate_check(&name, &err), err, ERR_REQUEST_MALFORMED);
        gate_add(&value, field("Host", "a"));
        gate_add(&value,
                 (struct gate_header){ "X-A",
                                       "1\0"
                                       "2",
                                       3, 3 });
        ck_refused(gate_check(&value, &err), err, ERR_REQUEST_MALFORMED);
}
END_TEST

START_TEST(as_many_fields_as_there_may_be_and_not_one_more) {
        struct gate_request request = { .version = "HTTP/1.0" };
        struct error err = { 0 };

        for (int i = 0; i < GATE_HEADERS_MAX; i++)
                gate_add(&request, field("X-A", "1"));
        ck_ok(gate_check(&request, &err), err);
        gate_add(&request, field("X-A", "1"));
        ck_refused(gate_check(&request, &err), err, ERR_REQUEST_MALFORMED);
}
END_TEST

/* What libmicrohttpd 0.9.75 leaves of "GET /a HTTP/1.1 CRLF …" in its buffer: line ends, ':' and '?' are NUL. */
/* clang-format off */
static const struct {
        const char *why;
        bool good;
        const char *wire;
} layouts[] = {
        { "as it should be", true, "GET /a HTTP/1.1\r\nHost: x\r\nX-A:1\r\nE:\r\nF: \r\nX-B: \t2 \r\n\r\n" },
        { "an empty query", true, "GET /a? HTTP/1.1\r\nHost: x\r\n\r\n" },
        { "bare LF after the request line", false, "GET /a HTTP/1.1\nHost: x\r\nX-A: 1\r\n\r\n" },
        { "bare LF after a field", false, "GET /a HTTP/1.1\r\nHost: x\nX-A: 1\r\n\r\n" },
        { "a NUL in a value", false, "GET /a HTTP/1.1\r\nHost: x@y\r\nX-A: 1\r\n\r\n" },
        { "a NUL in the last value", false, "GET /a HTTP/1.1\r\nHost: x\r\nX-A: 1@2\r\n\r\n" },
        { "a NUL in the path", false, "GET /a@b HTTP/1.1\r\nHost: x\r\n\r\n" },
};
/* clang-format on */

/* Takes the wire apart in place as libmicrohttpd does, '@' standing for NUL. */
static void take_apart(char *p, struct gate_request *request) {
        request->path = strchr(p, '/');
        request->version = strstr(p, "HTTP/1.");
        request->in_place = true;
        for (char *end = strpbrk(request->path, "? @"); end < request->version; end++)
                if (strchr("? @", *end))
                        *end = '\0';
        for (char *line = strchr((char *) request->version, '\n') + 1, *next; *line != '\r';
             line = next) {
                char *colon = strchr(line, ':'), *value = colon + 1 + strspn(colon + 1, " \t"),
                     *end = strchr(value, '\n');

                next = end + 1;
                *end = '\0';
                if (end[-1] == '\r')
                        end[-1] = '\0';
                *colon = '\0';
                for (char *at = value; at < end; at++)
                        if (*at == '@')
                                *at = '\0';
                gate_add(request, field(line, value));
        }
        ((char *) request->version)[8] = '\0';
}

START_TEST(lines_that_do_not_follow_each_other_are_refused) {
        struct gate_request request = { 0 };
        struct error err = { 0 };
        char wire[256];
        int rc;

        (void) snprintf(wire, sizeof(wire), "%s", layouts[_i].wire);
        take_apart(wire, &request);
        rc = gate_check(&request, &err);
        ck_assert_msg(rc == (layouts[_i].good ? 0 : -1), "%s: %s", layouts[_i].why, err.text);
}
END_TEST

/* clang-format off */
static const struct { const char *why, *name, *value; bool good; } contents[] = {
        { "UTF-8", "Content-Type", "application/json; charset=utf-8", true },
        { "UTF-8 in quotes", "Content-Type", "application/json; charset=\"UTF-8\"", true },
        { "no charset", "Content-Type", "application/json", true },
        { "UTF-16", "Content-Type", "application/json; charset=utf-16", false },
        { "Latin-1", "Content-Type", "application/json;charset=iso-8859-1;x=y", false },
        { "identity", "Content-Encoding", "identity", true },
        { "gzip", "Content-Encoding", "gzip", false },
};
/* clang-format on */

/* A value that was put together elsewhere, from more than one line, or that stands behind something else: only white space
 * may be between the two. */
START_TEST(between_a_name_and_its_value_is_nothing_but_white_space) {
        static const struct {
                const char *why, *between;
                bool good;
        } gaps[] = {
                { "nothing", "", true },
                { "white space", " \t ", true },
                { "a line end, as in a fold", "\r\n ", false },
                { "another value", "1 ", false },
        };

        for (size_t i = 0; i < ARRAY_SIZE(gaps); i++) {
                char wire[] = "/a HTTP/1.1\0.Host:....................";
                char *name = wire + sizeof("/a HTTP/1.1"), *at = name + sizeof("Host:");
                struct gate_request request = { .path = wire,
                                                .version = wire + 3,
                                                .in_place = true };
                struct error err = { 0 };

                wire[2] = '\0';
                name++;
                (void) memset(at, 0, sizeof(wire) - (size_t) (at - wire));
                name[4] = '\0';
                at = stpcpy(name + 5, gaps[i].between);
                *at = 'x';
                gate_add(&request, (struct gate_header){ name, at, 4, 1 });
                ck_assert_msg((gate_check(&request, &err) == 0) == gaps[i].good, "%s: %s",
                              gaps[i].why, err.text);
        }
}
END_TEST

START_TEST(a_body_is_plain_utf_8) {
        struct gate_request request = { .version = "HTTP/1.1" };
        struct error err = { 0 };

        gate_add(&request, field(contents[_i].name, contents[_i].value));
        ck_assert_msg(gate_content(&request, &err) == (contents[_i].good ? 0 : -1), "%s",
                      contents[_i].why);
        ck_assert(contents[_i].good || err.code == ERR_MEDIA_TYPE);
}
END_TEST

START_TEST(the_name_of_a_host_has_no_port_and_no_brackets) {
        char name[16];

        ck_assert_int_eq(gate_host_name("NAS.lan:8443", name, sizeof(name)), 0);
        ck_assert_str_eq(name, "nas.lan");
        ck_assert_int_eq(gate_host_name("[FE80::1]:80", name, sizeof(name)), 0);
        ck_assert_str_eq(name, "fe80::1");
        ck_assert_int_eq(gate_host_name("a-name-that-is-too-long", name, sizeof(name)), -1);
}
END_TEST

/* clang-format off */
static const struct { const char *accept; int chosen; enum error_code code; } accepts[] = {
        { NULL, 0, 0 },
        { "", 0, 0 },
        { "*/*", 0, 0 },
        { "application/pkix-cert", 1, 0 },
        { "Application/PKIX-Cert", 1, 0 },
        { "text/html, application/pkix-cert;q=0.5", 1, 0 },
        { "application/json;q=0.5, application/pkix-cert", 1, 0 },
        { "application/*", 0, 0 },
        { "application/json;q=0, */*", 1, 0 },
        { "application/pkix-cert;x=\"a,b\\\"\";q=1.000", 1, 0 },
        { "text/html", -1, ERR_NOT_ACCEPTABLE },
        { "application/json;q=0", -1, ERR_NOT_ACCEPTABLE },
        { "application", -1, ERR_REQUEST_MALFORMED },
        { "application/json;q=2", -1, ERR_REQUEST_MALFORMED },
        { "application/json;q=0.1234", -1, ERR_REQUEST_MALFORMED },
        { "application/json;q=\"", -1, ERR_REQUEST_MALFORMED },
        { ";;;", -1, ERR_REQUEST_MALFORMED },
};
/* clang-format on */

START_TEST(accept_chooses_the_heaviest_then_the_first) {
        static const char *const offers[] = { "application/json", "application/pkix-cert" };
        struct error err = { 0 };
        size_t chosen = 99;
        int rc = media_choose(accepts[_i].accept, offers, 2, &chosen, &err);

        if (accepts[_i].chosen >= 0)
                ck_assert_msg(rc == 0 && chosen == (size_t) accepts[_i].chosen, "%s: %zu %s",
                              accepts[_i].accept, chosen, err.text);
        else
                ck_assert_msg(rc == -1 && err.code == accepts[_i].code && chosen == 99, "%s",
                              accepts[_i].accept);
}
END_TEST

START_TEST(a_media_type_is_lower_case_without_parameters) {
        char type[MEDIA_TYPE_MAX];
        struct error err = { 0 };

        ck_ok(media_type_parse("Application/JSON ; charset=utf-8", type, &err), err);
        ck_assert_str_eq(type, "application/json");
        ck_refused(media_type_parse(NULL, type, &err), err, ERR_MEDIA_TYPE);
        ck_refused(media_type_parse("json", type, &err), err, ERR_MEDIA_TYPE);
        ck_refused(media_type_parse("a/b c", type, &err), err, ERR_MEDIA_TYPE);
        ck_refused(media_type_parse("a/", type, &err), err, ERR_MEDIA_TYPE);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("gate");
        TCase *tc = tcase_create("gate");

        tcase_add_loop_test(tc, framing_that_can_be_read_in_two_ways_is_refused, 0,
                            ARRAY_SIZE(requests));
        tcase_add_test(tc, a_nul_in_a_name_or_value_is_refused);
        tcase_add_test(tc, as_many_fields_as_there_may_be_and_not_one_more);
        tcase_add_test(tc, between_a_name_and_its_value_is_nothing_but_white_space);
        tcase_add_loop_test(tc, lines_that_do_not_follow_each_other_are_refused, 0,
                            ARRAY_SIZE(layouts));
        tcase_add_loop_test(tc, a_body_is_plain_utf_8, 0, ARRAY_SIZE(contents));
        tcase_add_test(tc, the_name_of_a_host_has_no_port_and_no_brackets);
        tcase_add_loop_test(tc, accept_chooses_the_heaviest_then_the_first, 0, ARRAY_SIZE(accepts));
        tcase_add_test(tc, a_media_type_is_lower_case_without_parameters);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
