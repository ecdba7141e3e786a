/*
 * What every unit test program shares: a main that runs one suite, and checks with struct error in words.
 */
#pragma once

#include <check.h>
#include <stdlib.h>

#include "lib/base/error.h"

/** ck_ok() - the call returned 0; else fail with the error's own words */
#define ck_ok(call, err) \
        ck_assert_msg((call) == 0, "%s: %s (%s:%d)", #call, (err).text, \
                      (err).file ? (err).file : "?", (err).line)

/** ck_refused() - the call returned -1 with just this code */
#define ck_refused(call, err, expected) \
        do { \
                (err) = (struct error){ 0 }; \
                ck_assert_msg((call) == -1, "%s was not refused", #call); \
                ck_assert_msg((err).code == (expected), "%s: expected %s, got %s: %s", #call, \
                              error_slug(expected), error_slug((err).code), (err).text); \
        } while (0)

/** unit_thorough() - a case of @suite with long computations: valgrind has nothing to learn there (CK_EXCLUDE_TAGS=thorough) */
static inline void unit_thorough(Suite *suite, TCase *tc) {
        tcase_set_tags(tc, "thorough");
        tcase_set_timeout(tc, 60);
        suite_add_tcase(suite, tc);
}

/** unit_main() - run one suite; CK_TAP_LOG_FILE_NAME=- gives TAP (the build sets it) */
static inline int unit_main(Suite *suite) {
        SRunner *runner = srunner_create(suite);
        int failed;

        srunner_run_all(runner, CK_ENV);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
