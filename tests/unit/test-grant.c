/*
 * Grants: which names are inside, that each name of a certificate is held against them, and which could never work.
 */
#include "daemon/authority/grant.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

/* A grant of up to four names that NULL ends. */
static void grant_init(struct grant_names *names, const char *const *texts) {
        struct error err = { 0 };

        *names = (struct grant_names){ 0 };
        for (; *texts; texts++)
                ck_ok(grant_names_add(names, *texts, &err), err);
}

/* As it comes in a CSR: of a kind that is said, not seen from the text. */
static void name_init(struct san_list *list, enum san_type type, const char *text) {
        struct error err = { 0 };

        *list = (struct san_list){ .count = 0 };
        if (type == SAN_IP)
                ck_ok(san_list_add_text(list, text, &err), err);
        else
                ck_ok(san_list_add(list, type, bytes_of(text), &err), err);
        ck_assert_int_eq(list->items[0].type, type);
}

static const struct {
        const char *why;
        const char *grant[4];
        enum san_type type;
        const char *name;
        bool covered;
} cases[] = {
        { "an exact name", { "nas.lan" }, SAN_DNS, "nas.lan", true },
        { "in another case", { "NAS.lan" }, SAN_DNS, "nas.LAN", true },
        { "another name", { "nas.lan" }, SAN_DNS, "evil.lan", false },
        { "a name below an exact one", { "nas.lan" }, SAN_DNS, "a.nas.lan", false },
        { "a name above it", { "a.nas.lan" }, SAN_DNS, "nas.lan", false },
        { "a name that ends with it", { "nas.lan" }, SAN_DNS, "xnas.lan", false },
        { "a second name", { "nas.lan", "printer.lan" }, SAN_DNS, "printer.lan", true },
        { "below a suffix", { "*.sensors.lan" }, SAN_DNS, "a.sensors.lan", true },
        { "far below a suffix", { "*.sensors.lan" }, SAN_DNS, "a.b.c.sensors.lan", true },
        { "below a suffix of one label", { "*.lan" }, SAN_DNS, "nas.lan", true },
        { "the suffix itself", { "*.sensors.lan" }, SAN_DNS, "sensors.lan", false },
        { "a suffix without its dot", { "*.sensors.lan" }, SAN_DNS, "xsensors.lan", false },
        { "a longer name without the dot", { "*.sensors.lan" }, SAN_DNS, "evilsensors.lan", false },
        { "beside a suffix", { "*.sensors.lan" }, SAN_DNS, "a.sensors.local", false },
        { "a suffix that is longer", { "*.very.long.sensors.lan" }, SAN_DNS, "sensors.lan", false },
        { "a suffix and the name itself", { "*.a.lan", "a.lan" }, SAN_DNS, "a.lan", true },
        { "a wildcard certificate, by the suffix in its own words",
          { "*.sensors.lan" },
          SAN_DNS,
          "*.sensors.lan",
          false },
        { "a wildcard certificate below a suffix", { "*.lan" }, SAN_DNS, "*.sensors.lan", false },
        { "a wildcard certificate, by an exact name",
          { "sensors.lan" },
          SAN_DNS,
          "*.sensors.lan",
          false },
        { "an address", { "10.0.0.7" }, SAN_IP, "10.0.0.7", true },
        { "another address", { "10.0.0.7" }, SAN_IP, "10.0.0.70", false },
        { "an IPv6 address in another form", { "fd00:0:0::1" }, SAN_IP, "fd00::1", true },
        { "an e-mail address", { "anna@home.lan" }, SAN_EMAIL, "anna@home.lan", true },
        { "whose domain is in another case",
          { "anna@HOME.lan" },
          SAN_EMAIL,
          "anna@home.LAN",
          true },
        { "another's e-mail address", { "anna@home.lan" }, SAN_EMAIL, "bert@home.lan", false },
        { "an e-mail address in a domain", { "home.lan" }, SAN_EMAIL, "anna@home.lan", false },
        { "an e-mail address below a suffix", { "*.lan" }, SAN_EMAIL, "anna@home.lan", false },
        { "a host with the name of an e-mail domain",
          { "anna@home.lan" },
          SAN_DNS,
          "home.lan",
          false },
        { "a URI", { "spiffe://home.lan/nas" }, SAN_URI, "spiffe://home.lan/nas", true },
        { "a URI at a host", { "home.lan", "*.lan" }, SAN_URI, "https://home.lan/", false },
        { "a U-label and its A-label",
          { "b\xc3\xbc"
            "cher.lan" },
          SAN_DNS,
          "xn--bcher-kva.lan",
          true },
        { "a suffix with a U-label",
          { "*.b\xc3\xbc"
            "cher.lan" },
          SAN_DNS,
          "a.xn--bcher-kva.lan",
          true },
        { "nothing at all", { NULL }, SAN_DNS, "nas.lan", false },
};

START_TEST(a_name_is_inside_or_not) {
        CAD_AUTO(grant_names_done) struct grant_names names;
        CAD_AUTO(san_list_done) struct san_list wanted;
        struct error err = { 0 };

        grant_init(&names, cases[_i].grant);
        name_init(&wanted, cases[_i].type, cases[_i].name);
        ck_assert_msg(grant_covers(&names, &wanted.items[0]) == cases[_i].covered, "%s",
                      cases[_i].why);
        if (cases[_i].covered)
                ck_ok(grant_covers_all(&names, &wanted, "names", &err), err);
        else
                ck_refused(grant_covers_all(&names, &wanted, "names", &err), err, ERR_FORBIDDEN);
}
END_TEST

/* threats.md R-16: of N names, not one N times. */
START_TEST(of_a_hundred_names_the_one_that_is_outside_is_found) {
        static const char *const granted[] = { "*.sensors.lan", NULL };
        CAD_AUTO(grant_names_done) struct grant_names names;
        CAD_AUTO(san_list_done) struct san_list wanted = { .count = 0 };
        struct error err = { 0 };
        char text[64], field[64];

        grant_init(&names, granted);
        for (int n = 0; n < SAN_COUNT_MAX; n++) {
                (void) snprintf(text, sizeof(text), n == _i ? "a%d.evil.lan" : "a%d.sensors.lan",
                                n);
                ck_ok(san_list_add_text(&wanted, text, &err), err);
        }
        ck_refused(grant_covers_all(&names, &wanted, "csr.san", &err), err, ERR_FORBIDDEN);
        (void) snprintf(field, sizeof(field), "csr.san[%d]", _i);
        ck_assert_str_eq(err.field, field);
        (void) snprintf(text, sizeof(text), "a%d.evil.lan", _i);
        ck_assert_msg(strstr(err.text, text) && strstr(err.text, "*.sensors.lan"), "%s", err.text);
}
END_TEST

START_TEST(a_hundred_exact_names_are_all_inside_and_one_more_is_not_taken) {
        CAD_AUTO(grant_names_done) struct grant_names names = { 0 };
        CAD_AUTO(san_list_done) struct san_list wanted = { .count = 0 };
        struct error err = { 0 };
        char text[64];

        for (int n = 0; n < GRANT_NAMES_MAX; n++) {
                (void) snprintf(text, sizeof(text), n % 2 ? "a%d.lan" : "*.a%d.lan", n);
                ck_ok(grant_names_add(&names, text, &err), err);
                (void) snprintf(text, sizeof(text), n % 2 ? "a%d.lan" : "x.a%d.lan", n);
                ck_ok(san_list_add_text(&wanted, text, &err), err);
        }
        ck_ok(grant_covers_all(&names, &wanted, "names", &err), err);
        ck_refused(grant_names_add(&names, "b.lan", &err), err, ERR_NAMES_TOO_MANY);
        ck_refused(grant_names_add(&names, "*.b.lan", &err), err, ERR_NAMES_TOO_MANY);
}
END_TEST

static const struct {
        const char *why, *text;
} bad_names[] = {
        { "a lone star", "*" },
        { "a star and a dot", "*." },
        { "a star within a label", "a*.lan" },
        { "a star further behind", "a.*.lan" },
        { "two stars", "*.*.lan" },
        { "three stars", "*.*.nas.lan" },
        { "a suffix that is an address", "*.10.0.0.7" },
        { "a suffix that is an e-mail address", "*.anna@home.lan" },
        { "a suffix that is a URI", "*.https://home.lan" },
        { "a suffix with a dot at its end", "*.lan." },
        { "a line break", "nas.lan\nevil.lan" },
        { "nothing", "" },
        { "a blank", "nas .lan" },
};

START_TEST(what_is_no_name_is_refused) {
        CAD_AUTO(grant_names_done) struct grant_names names = { 0 };
        struct error err = { 0 };

        ck_assert_msg(grant_names_add(&names, bad_names[_i].text, &err) < 0, "%s",
                      bad_names[_i].why);
        ck_assert_msg(err.code == ERR_NAME_INVALID, "%s: %s", bad_names[_i].why, err.text);
        ck_assert_uint_eq(names.exact.count + names.suffixes.count, 0);
}
END_TEST

START_TEST(lines_are_canonical_and_read_back_the_same) {
        static const char *const granted[] = { "*.Sensors.LAN", "NAS.lan", "fd00:0::1", NULL };
        CAD_AUTO(grant_names_done) struct grant_names names;
        CAD_AUTO(buffer_done) struct buffer lines = { 0 };

        grant_init(&names, granted);
        grant_names_lines(&names, &lines);
        ck_assert_str_eq(buffer_string(&lines), "nas.lan\nfd00::1\n*.sensors.lan");
}
END_TEST

/* ---- could it ever work? ---- */

static const struct {
        const char *why, *profile;
        const char *names[4];
        enum error_code code; /* ERR_NONE: it could */
        const char *field;
} wishes[] = {
        { "a name of the LAN", "server", { "nas.lan" }, ERR_NONE, NULL },
        { "a suffix of the LAN", "server", { "*.lan" }, ERR_NONE, NULL },
        { "a suffix where the profile has no wildcards",
          "device",
          { "*.sensors.lan" },
          ERR_NONE,
          NULL },
        { "an address of the LAN", "server", { "192.168.1.5" }, ERR_NONE, NULL },
        { "a public name",
          "server",
          { "nas.lan", "google.com" },
          ERR_NAME_NOT_PERMITTED,
          "names[1]" },
        { "a public suffix", "server", { "nas.lan", "*.com" }, ERR_NAME_NOT_PERMITTED, "names[1]" },
        { "a public address", "server", { "8.8.8.8" }, ERR_NAME_NOT_PERMITTED, "names[0]" },
        { "an e-mail address for a server",
          "server",
          { "nas.lan", "anna@home.lan" },
          ERR_NAME_NOT_ALLOWED,
          "names[1]" },
        { "a second that is no name",
          "server",
          { "nas.lan", "a b" },
          ERR_NAME_INVALID,
          "names[1]" },
        { "no name", "server", { NULL }, ERR_NAMES_MISSING, "names" },
};

START_TEST(a_grant_that_could_never_work_is_refused) {
        CAD_AUTO(profiles_free) struct profile_set *profiles = NULL;
        CAD_AUTO(constraints_free) struct name_constraints *constraints = constraints_new();
        const struct profile *profile;
        struct error err = { 0 };
        size_t count = 0;

        ck_ok(profiles_load(-1, NULL, &profiles, &err), err);
        ck_ok(constraints_add_defaults(constraints, &err), err);
        ck_ok(constraints_close(constraints, &err), err);
        profile = profiles_find(profiles, wishes[_i].profile, &err);
        ck_assert_ptr_nonnull(profile);
        while (count < 4 && wishes[_i].names[count])
                count++;
        if (wishes[_i].code == ERR_NONE) {
                ck_ok(grant_names_check(wishes[_i].names, count, profile, constraints, &err), err);
                return;
        }
        ck_refused(grant_names_check(wishes[_i].names, count, profile, constraints, &err), err,
                   wishes[_i].code);
        ck_assert_str_eq(err.field, wishes[_i].field);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("grant");
        TCase *tc = tcase_create("grant");

        tcase_add_loop_test(tc, a_name_is_inside_or_not, 0, ARRAY_SIZE(cases));
        tcase_add_loop_test(tc, of_a_hundred_names_the_one_that_is_outside_is_found, 0,
                            SAN_COUNT_MAX);
        tcase_add_test(tc, a_hundred_exact_names_are_all_inside_and_one_more_is_not_taken);
        tcase_add_loop_test(tc, what_is_no_name_is_refused, 0, ARRAY_SIZE(bad_names));
        tcase_add_test(tc, lines_are_canonical_and_read_back_the_same);
        tcase_add_loop_test(tc, a_grant_that_could_never_work_is_refused, 0, ARRAY_SIZE(wishes));
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
