/*
 * Own names: what the host is called, what of it may be certified, and which Host a request may have.
 */
#include "unit.h"

#include "daemon/own_names.h"

static struct name_constraints *defaults(void) {
        struct name_constraints *nc = constraints_new();
        struct error err = { 0 };

        ck_assert_ptr_nonnull(nc);
        ck_ok(constraints_add_defaults(nc, &err), err);
        ck_ok(constraints_close(nc, &err), err);
        return nc;
}

static bool has(const struct san_list *list, const char *name) {
        CAD_AUTO(san_list_done) struct san_list one = { .count = 0 };

        ck_assert_int_eq(san_list_add_text(&one, name, NULL), 0);
        return san_list_contains(list, &one.items[0]);
}

/* clang-format off */
static const struct { const char *why, *url, *name; } urls[] = {
        { "a name and a port",    "http://ca.lan:8080",      "ca.lan" },
        { "a name alone",         "http://ca.home.arpa",     "ca.home.arpa" },
        { "IPv4",                 "http://10.1.2.3:8080",    "10.1.2.3" },
        { "IPv6",                 "http://[fd00::5]:8080",   "fd00::5" },
        { "IPv6 without a port",  "http://[fd00::5]",        "fd00::5" },
};
/* clang-format on */

START_TEST(the_host_of_the_public_url_comes_first) {
        CAD_AUTO(constraints_free) struct name_constraints *nc = defaults();
        CAD_AUTO(own_names_free) struct own_names *names = NULL;
        struct error err = { 0 };
        char text[SAN_TEXT_MAX];

        ck_ok(own_names_new(urls[_i].url, nc, NULL, &names, &err), err);
        ck_assert_str_eq(san_text(&own_names_permitted(names)->items[0], text, sizeof(text)),
                         urls[_i].name);
}
END_TEST

START_TEST(the_loopback_is_always_there) {
        CAD_AUTO(constraints_free) struct name_constraints *nc = defaults();
        CAD_AUTO(own_names_free) struct own_names *names = NULL;
        struct error err = { 0 };

        ck_ok(own_names_new("http://ca.lan", nc, NULL, &names, &err), err);
        ck_assert(has(own_names_permitted(names), "localhost"));
        ck_assert(has(own_names_permitted(names), "127.0.0.1"));
        ck_assert(has(own_names_permitted(names), "::1"));
        ck_assert(!has(own_names_permitted(names), "169.254.1.1"));
}
END_TEST

START_TEST(names_that_the_ca_may_not_certify_are_told_apart_and_let_in) {
        CAD_AUTO(constraints_free) struct name_constraints *nc = defaults();
        CAD_AUTO(own_names_free) struct own_names *names = NULL;
        CAD_AUTO(buffer_done) struct buffer refused = { 0 };
        struct error err = { 0 };

        ck_ok(own_names_new("http://ca.lan", nc, "box.lan ca.example.org, 8.8.8.8 not!a!name",
                            &names, &err),
              err);
        ck_assert(has(own_names_permitted(names), "box.lan"));
        ck_assert(!has(own_names_permitted(names), "ca.example.org"));
        own_names_refused(names, &refused);
        ck_assert_ptr_nonnull(strstr(buffer_string(&refused), "ca.example.org"));
        ck_assert_ptr_nonnull(strstr(buffer_string(&refused), "8.8.8.8"));
        ck_assert_ptr_null(strchr(buffer_string(&refused), '!'));
        ck_assert(own_names_allow(names, "ca.example.org"));
        ck_assert(own_names_allow(names, "ca.lan"));
        ck_assert(!own_names_allow(names, "example.org"));
        ck_assert(!own_names_allow(names, "x.ca.lan"));
        ck_assert(!own_names_allow(names, ""));
}
END_TEST

START_TEST(other_names_come_with_a_refresh) {
        CAD_AUTO(constraints_free) struct name_constraints *nc = defaults();
        CAD_AUTO(own_names_free) struct own_names *names = NULL;
        struct error err = { 0 };

        ck_ok(own_names_new("http://ca.lan", nc, "a.lan", &names, &err), err);
        ck_ok(own_names_set_more(names, "b.lan", &err), err);
        ck_assert(own_names_allow(names, "a.lan") && !own_names_allow(names, "b.lan"));
        ck_ok(own_names_refresh(names, &err), err);
        ck_assert(!own_names_allow(names, "a.lan") && own_names_allow(names, "b.lan"));
        ck_ok(own_names_set_more(names, NULL, &err), err);
        ck_ok(own_names_refresh(names, &err), err);
        ck_assert(!own_names_allow(names, "b.lan") && own_names_allow(names, "ca.lan"));
}
END_TEST

START_TEST(there_is_a_most_of_names) {
        CAD_AUTO(constraints_free) struct name_constraints *nc = defaults();
        CAD_AUTO(own_names_free) struct own_names *names = NULL;
        CAD_AUTO(buffer_done) struct buffer many = { 0 };
        struct error err = { 0 };

        for (int i = 0; i < 500; i++)
                buffer_format(&many, "h%d.lan ", i);
        ck_ok(own_names_new("http://ca.lan", nc, buffer_string(&many), &names, &err), err);
        ck_assert_uint_le(own_names_permitted(names)->count, SAN_COUNT_MAX);
        ck_assert(has(own_names_permitted(names), "ca.lan"));
}
END_TEST

START_TEST(an_unconstrained_ca_certifies_all_of_them) {
        CAD_AUTO(constraints_free) struct name_constraints *nc = constraints_new();
        CAD_AUTO(own_names_free) struct own_names *names = NULL;
        CAD_AUTO(buffer_done) struct buffer refused = { 0 };
        struct error err = { 0 };

        ck_ok(own_names_new("http://ca.example.org", nc, "8.8.8.8", &names, &err), err);
        own_names_refused(names, &refused);
        ck_assert_uint_eq(refused.size, 0);
        ck_assert(has(own_names_permitted(names), "8.8.8.8"));
}
END_TEST

static const char *const wrong[] = { "*.lan",  "a@b.lan", "https://x.lan",
                                     "-a.lan", "a..lan",  "0.0.0.0" };

START_TEST(words_that_are_no_host_are_refused) {
        struct error err;

        ck_refused(own_names_check(wrong[_i], &err), err, ERR_CONFIG);
        ck_ok(own_names_check("a.lan, 10.0.0.1 fd00::1", &err), err);
        ck_ok(own_names_check("", &err), err);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("own-names");
        TCase *tc = tcase_create("own-names");

        tcase_add_loop_test(tc, the_host_of_the_public_url_comes_first, 0, ARRAY_SIZE(urls));
        tcase_add_test(tc, the_loopback_is_always_there);
        tcase_add_test(tc, names_that_the_ca_may_not_certify_are_told_apart_and_let_in);
        tcase_add_test(tc, other_names_come_with_a_refresh);
        tcase_add_test(tc, there_is_a_most_of_names);
        tcase_add_test(tc, an_unconstrained_ca_certifies_all_of_them);
        tcase_add_loop_test(tc, words_that_are_no_host_are_refused, 0, ARRAY_SIZE(wrong));
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
