/*
 * What the host says of itself, and what may be the public URL.
 */
#include "unit.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/signer/host.h"

/* ---- a URL given by the admin ---- */

#define LABEL_63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"

/* clang-format off */
static const struct {
        const char *why, *url, *out; /* out NULL: refused */
} urls[] = {
        { "a name",                              "http://ca.lan",                 "http://ca.lan" },
        { "a name and a port",                   "http://ca.lan:8080",            "http://ca.lan:8080" },
        { "one label",                           "http://nas",                    "http://nas" },
        { "a slash at the end says nothing",     "http://ca.lan/",                "http://ca.lan" },
        { "a slash behind a port",               "http://ca.lan:8080/",           "http://ca.lan:8080" },
        { "an IPv4 address",                     "http://192.168.1.5:8080",       "http://192.168.1.5:8080" },
        { "an IPv6 address",                     "http://[fd00::5]:8080",         "http://[fd00::5]:8080" },
        { "an IPv6 address without a port",      "http://[fd00::5]",              "http://[fd00::5]" },
        { "the largest port",                    "http://ca.lan:65535",           "http://ca.lan:65535" },
        { "https: who has no certificate yet could not check it", "https://ca.lan", NULL },
        { "no scheme",                           "ca.lan",                        NULL },
        { "another scheme",                      "ldap://ca.lan",                 NULL },
        { "upper-case scheme",                   "HTTP://ca.lan",                 NULL },
        { "nothing",                             "",                              NULL },
        { "a scheme alone",                      "http://",                       NULL },
        { "a port alone",                        "http://:8080",                  NULL },
        { "a path",                              "http://ca.lan/ca",              NULL },
        { "two slashes",                         "http://ca.lan//",               NULL },
        { "a query",                             "http://ca.lan?x",               NULL },
        { "a fragment",                          "http://ca.lan#x",               NULL },
        { "a user",                              "http://admin@ca.lan",           NULL },
        { "a user and a password",               "http://admin:secret@ca.lan",    NULL },
        { "no port behind the colon",            "http://ca.lan:",                NULL },
        { "port 0",                              "http://ca.lan:0",               NULL },
        { "a port over 65535",                   "http://ca.lan:65536",           NULL },
        { "a port that is none",                 "http://ca.lan:http",            NULL },
        { "a negative port",                     "http://ca.lan:-1",              NULL },
        { "two ports",                           "http://ca.lan:80:80",           NULL },
        { "a long port whose beginning is one",  "http://ca.lan:00008080999",     NULL },
        { "a wildcard",                          "http://*.lan",                  NULL },
        { "white space",                         "http://ca lan",                 NULL },
        { "a line break: it goes into a file",   "http://ca.lan\nActive=int-2",   NULL },
        { "an underscore",                       "http://my_ca.lan",              NULL },
        { "an IPv6 address without brackets",    "http://fd00::5",                NULL },
        { "a bracket that does not close",       "http://[fd00::5",               NULL },
        { "something behind the bracket",        "http://[fd00::5]x",             NULL },
        { "an address that is none",             "http://192.168.1.256",          NULL },
        { "an e-mail address",                   "http://ca@home.lan",            NULL },
        { "a label of 64 characters",            "http://a" LABEL_63 ".lan",      NULL },
        { "a name that leaves no room for a path", "http://" LABEL_63 "." LABEL_63 "." LABEL_63 ".lan", NULL },
};
/* clang-format on */

START_TEST(a_public_url_is_http_host_and_port) {
        char out[256] = "untouched";
        struct error err = { 0 };
        int rc = host_check_public_url(urls[_i].url, out, sizeof(out), &err);

        ck_assert_msg((rc == 0) == (urls[_i].out != NULL), "%s: %s %s", urls[_i].why, out,
                      err.text);
        ck_assert_msg(strcmp(out, urls[_i].out ? urls[_i].out : "untouched") == 0, "%s: %s",
                      urls[_i].why, out);
        if (rc < 0) {
                ck_assert_int_eq(err.code, ERR_USAGE);
                ck_assert_ptr_nonnull(strstr(err.text, "public URL"));
        }
}
END_TEST

START_TEST(a_url_that_does_not_fit_is_refused_and_not_cut) {
        char out[16] = "untouched";
        struct error err;

        ck_refused(host_check_public_url("http://ca.home.lan:8080", out, sizeof(out), &err), err,
                   ERR_USAGE);
        ck_assert_str_eq(out, "untouched");
}
END_TEST

/* ---- what the host says ---- */

/* A host name of the test's own, where the kernel lets us: in a UTS namespace. */
static bool be_called(const char *name) {
        return unshare(CLONE_NEWUTS) == 0 && sethostname(name, strlen(name)) == 0;
}

/* clang-format off */
static const struct {
        const char *why, *host, *ca_name, *url; /* url NULL: an address, or localhost */
        const char *permitted;                  /* a name that is permitted beyond the defaults, NULL: none */
} hosts[] = {
        { "a full name",                          "nas.lan",            "nas CA",  "http://nas.lan:8080",       NULL },
        { "one label is given the mDNS domain",   "zz-box",             "zz-box CA", "http://zz-box.local:8080", NULL },
        { "a full name that is not permitted",    "nas.example.com",    "nas CA",  "http://nas.local:8080",     NULL },
        { "a router's own domain",                "nas.fritz.box",      "nas CA",  "http://nas.fritz.box:8080", "www.fritz.box" },
        { "a company's own domain",               "nas.corp",           "nas CA",  "http://nas.corp:8080",      "a.b.corp" },
        { "a name below it",                      "nas.berlin.corp",    "nas CA",  "http://nas.berlin.corp:8080", "x.berlin.corp" },
        { "localhost is everybody's name",        "localhost",          "cad CA",  NULL,                        NULL },
        { "a name that is none",                  "my_box",             "cad CA",  NULL,                        NULL },
        { "a name too long for a common name",    LABEL_63,             "cad CA",  "http://" LABEL_63 ".local:8080", NULL },
};
/* clang-format on */

static bool permits(const struct name_constraints *constraints, const char *name) {
        CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };
        struct error err = { 0 };

        ck_ok(san_list_add_text(&list, name, &err), err);
        return constraints_check(constraints, &list.items[0], NULL) == 0;
}

START_TEST(name_url_and_domain_follow_from_the_host) {
        CAD_AUTO(constraints_free) struct name_constraints *constraints = constraints_new();
        char out[256], name[65];
        struct error err = { 0 };

        if (!be_called(hosts[_i].host))
                return; /* without the right to: the tests of a whole CA use whatever the host is called */
        ck_ok(constraints_add_defaults(constraints, &err), err);
        ck_ok(host_permit_own_domain(constraints, &err), err);
        host_ca_name(name, 41);
        ck_assert_msg(strcmp(name, hosts[_i].ca_name) == 0, "%s: %s", hosts[_i].why, name);
        ck_ok(host_public_url(constraints, 8080, out, sizeof(out), &err), err);
        if (hosts[_i].url)
                ck_assert_msg(strcmp(out, hosts[_i].url) == 0, "%s: %s", hosts[_i].why, out);
        else
                ck_assert_msg(!strchr(out, '_') &&
                                      (strspn(out + 7, "0123456789.") > 6 ||
                                       strcmp(out, "http://localhost:8080") == 0),
                              "%s", out);
        ck_assert_msg(!hosts[_i].permitted || permits(constraints, hosts[_i].permitted), "%s",
                      hosts[_i].why);
        ck_assert(!permits(constraints, "other.example.com") && !permits(constraints, "box"));
}
END_TEST

START_TEST(without_constraints_the_full_name_is_taken_and_port_80_left_out) {
        char out[256];
        struct error err = { 0 };

        if (!be_called("nas.example.com"))
                return;
        ck_ok(host_public_url(NULL, 80, out, sizeof(out), &err), err);
        ck_assert_str_eq(out, "http://nas.example.com");
}
END_TEST

START_TEST(the_real_host_has_a_name_and_a_url_whatever_it_is_called) {
        char out[256], checked[256], name[65];
        struct error err = { 0 };

        host_ca_name(name, sizeof(name));
        ck_assert_uint_gt(strlen(name), strlen(" CA"));
        ck_ok(host_public_url(NULL, 8080, out, sizeof(out), &err), err);
        ck_ok(host_check_public_url(out, checked, sizeof(checked), &err), err);
        ck_assert_str_eq(out, checked);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("host");
        TCase *tc = tcase_create("host");

        tcase_add_loop_test(tc, a_public_url_is_http_host_and_port, 0, ARRAY_SIZE(urls));
        tcase_add_test(tc, a_url_that_does_not_fit_is_refused_and_not_cut);
        tcase_add_loop_test(tc, name_url_and_domain_follow_from_the_host, 0, ARRAY_SIZE(hosts));
        tcase_add_test(tc, without_constraints_the_full_name_is_taken_and_port_80_left_out);
        tcase_add_test(tc, the_real_host_has_a_name_and_a_url_whatever_it_is_called);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
