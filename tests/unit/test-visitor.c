/*
 * Visitors: which steps stand first, whatever a browser calls itself; and each system has an address.
 */
#include "unit.h"

#include "daemon/web/visitor.h"
#include "lib/base/macros.h"

/* clang-format off */
static const struct { const char *why, *user_agent; enum visitor_system system; } visitors[] = {
        { "no word of it",               NULL,                                                        SYSTEM_OTHER },
        { "an empty one",                "",                                                          SYSTEM_OTHER },
        { "a phone that names the Mac",  "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X)",    SYSTEM_IOS },
        { "Firefox on it",               "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0) FxiOS/150.0",      SYSTEM_IOS },
        { "a phone that names Linux",    "Mozilla/5.0 (Linux; Android 16; Pixel 9) Chrome/150.0.0.0", SYSTEM_ANDROID },
        { "Firefox on it",               "Mozilla/5.0 (Android 16; Mobile) Firefox/150.0",            SYSTEM_ANDROID },
        { "a phone that names Android",  "Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1)",           SYSTEM_OTHER },
        { "a television",                "Mozilla/5.0 (Web0S; Linux/SmartTV) Chrome/120.0",           SYSTEM_OTHER },
        { "a Mac",                       "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Safari/605", SYSTEM_MACOS },
        { "Firefox on it",               "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15) Firefox/150.0", SYSTEM_FIREFOX },
        { "Edge",                        "Mozilla/5.0 (Windows NT 10.0; Win64) Chrome/150.0 Edg/150", SYSTEM_WINDOWS },
        { "a PC with Linux",             "Mozilla/5.0 (X11; Linux x86_64) Chrome/150.0.0.0",          SYSTEM_LINUX },
        { "Java",                        "Java/21.0.2",                                               SYSTEM_JAVA },
        { "a program",                   "curl/8.9.1",                                                SYSTEM_OTHER },
};
static const char *const no_slugs[] = { "", "IOS", "ios ", "io", "page.html", "style.css" };
/* clang-format on */

START_TEST(a_visitor_is_known_by_the_system_and_not_by_what_it_imitates) {
        ck_assert_msg(visitor_system(visitors[_i].user_agent) == visitors[_i].system, "%s",
                      visitors[_i].why);
}
END_TEST

START_TEST(each_system_has_a_slug_that_leads_back) {
        enum visitor_system system = SYSTEM_COUNT;

        ck_assert(visitor_system_of_slug(visitor_system_slug((enum visitor_system) _i), &system));
        ck_assert_int_eq(system, _i);
}
END_TEST

START_TEST(another_slug_is_none) {
        enum visitor_system system = SYSTEM_COUNT;

        ck_assert(!visitor_system_of_slug(no_slugs[_i], &system));
        ck_assert_int_eq(system, SYSTEM_COUNT);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("visitor");
        TCase *tc = tcase_create("visitor");

        tcase_add_loop_test(tc, a_visitor_is_known_by_the_system_and_not_by_what_it_imitates, 0,
                            ARRAY_SIZE(visitors));
        tcase_add_loop_test(tc, each_system_has_a_slug_that_leads_back, 0, SYSTEM_COUNT);
        tcase_add_loop_test(tc, another_slug_is_none, 0, ARRAY_SIZE(no_slugs));
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
