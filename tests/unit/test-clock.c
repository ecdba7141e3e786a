/*
 * The clock's plausibility: each bound, on it and one past it; and the mark through its file.
 */
#include "signer-fixture.h"

#include "cad-build.h"
#include "daemon/signer/clock.h"

#define BUILD_MS (CAD_BUILD_TIME * 1000)
#define MARK_MS (BUILD_MS + 1000 * 1000 * INT64_C(1000))

static const struct {
        const char *why;
        int64_t now_ms, mark_ms;
        bool synchronised, allowed;
        const char *says;
} clocks[] = {
        { "the mark's own time", MARK_MS, MARK_MS, false, true, NULL },
        { "1970", 0, 0, true, false, "1970-01-01" },
        { "before 1970", -1, 0, true, false, "1970 to 9999" },
        { "after 9999", (MOMENT_LAST + 1) * 1000, MARK_MS, true, false, "1970 to 9999" },
        { "the last second of all", MOMENT_LAST * 1000 + 999, MARK_MS, true, true, NULL },
        { "the second of the build", BUILD_MS, 0, true, true, NULL },
        { "a millisecond before the build", BUILD_MS - 1, 0, true, false, "built" },
        { "five minutes back", MARK_MS - CLOCK_BACK_MAX_MS, MARK_MS, false, true, NULL },
        { "a millisecond more than five minutes back", MARK_MS - CLOCK_BACK_MAX_MS - 1, MARK_MS,
          false, false, "cad clock accept" },
        { "synchronisation does not excuse going back", MARK_MS - CLOCK_BACK_MAX_MS - 1, MARK_MS,
          true, false, "cad clock accept" },
        { "30 days ahead", MARK_MS + CLOCK_AHEAD_MAX_MS, MARK_MS, false, true, NULL },
        { "a millisecond more than 30 days ahead", MARK_MS + CLOCK_AHEAD_MAX_MS + 1, MARK_MS, false,
          false, "time service" },
        { "30 days and more, synchronised", MARK_MS + CLOCK_AHEAD_MAX_MS + 1, MARK_MS, true, true,
          NULL },
        { "years ahead, synchronised", MARK_MS + INT64_C(10) * 365 * 86400000, MARK_MS, true, true,
          NULL },
};

START_TEST(a_clock_is_held_against_build_and_mark) {
        struct error err = { 0 };
        int rc = clock_check(clocks[_i].now_ms, clocks[_i].mark_ms, clocks[_i].synchronised, &err);

        ck_assert_msg((rc == 0) == clocks[_i].allowed, "%s: %s", clocks[_i].why, err.text);
        if (rc < 0) {
                ck_assert_int_eq(err.code, ERR_CLOCK);
                ck_assert_msg(strstr(err.text, clocks[_i].says), "%s: '%s' is not in '%s'",
                              clocks[_i].why, clocks[_i].says, err.text);
        }
}
END_TEST

static const struct {
        const char *why;
        int64_t now_ms;
        const char *says; /* NULL: allowed */
} since[] = {
        { "the CA's first second", MARK_MS, NULL },
        { "long after", MARK_MS + INT64_C(400) * 86400000, NULL },
        { "five minutes before", MARK_MS - CLOCK_BACK_MAX_MS, NULL },
        { "a millisecond more than that", MARK_MS - CLOCK_BACK_MAX_MS - 1, "`cad init --again`" },
        { "a millisecond before the build", BUILD_MS - 1, "built" },
        { "before 1970", -1, "1970 to 9999" },
};

START_TEST(a_clock_is_held_against_the_ca) {
        struct error err = { 0 };
        char from[MOMENT_TEXT_MAX];
        int rc = clock_check_ca(since[_i].now_ms, MARK_MS / 1000, &err);

        ck_assert_msg((rc == 0) == !since[_i].says, "%s: %s", since[_i].why, err.text);
        if (rc == 0)
                return;
        ck_assert_int_eq(err.code, ERR_CLOCK);
        ck_assert_msg(strstr(err.text, since[_i].says), "%s: %s", since[_i].why, err.text);
        ck_assert_msg(!strstr(err.text, "--again") ||
                              strstr(err.text, moment_format(MARK_MS / 1000, from)),
                      "%s: %s", since[_i].why, err.text);
        ck_assert_ptr_null(strstr(err.text, "clock accept")); /* which cannot help here */
}
END_TEST

START_TEST(a_mark_comes_back_as_it_was_written) {
        static const struct clock_mark marks[] = {
                { 0, 0 }, { 1, 1 }, { MARK_MS, 5000 }, { INT64_MAX, INT64_MAX }
        };
        struct scratch s;
        struct error err = { 0 };

        scratch_open(&s);
        for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
                struct clock_mark mark = { -1, -1 };

                ck_ok(clock_mark_write(s.fd, &marks[i], &err), err);
                ck_ok(clock_mark_read(s.fd, &mark, &err), err);
                ck_assert_int_eq(mark.latest_ms, marks[i].latest_ms);
                ck_assert_int_eq(mark.issued, marks[i].issued);
        }
        scratch_close(&s);
}
END_TEST

START_TEST(a_mark_keeps_the_numbers_of_crls) {
        struct clock_mark mark = { MARK_MS, 7, .crls = { { { "int-1", 5 } } } }, read = { 0 };
        struct scratch s;
        struct error err = { 0 };

        scratch_open(&s);
        for (int i = 2; i <= CRL_NUMBERS_MAX; i++) {
                char id[32]; /* as the compiler sees it */

                (void) snprintf(id, sizeof(id), "abcdefghijkl-%d", i);
                crl_numbers_note(&mark.crls, id, INT64_MAX - i);
        }
        ck_ok(clock_mark_write(s.fd, &mark, &err), err);
        ck_ok(clock_mark_read(s.fd, &read, &err), err);
        ck_assert(clock_mark_equal(&mark, &read));
        ck_assert_int_eq(read.issued, 7);
        ck_assert_int_eq(crl_numbers_last(&read.crls, "int-1"), 5);
        ck_assert_int_eq(crl_numbers_last(&read.crls, "abcdefghijkl-16"), INT64_MAX - 16);
        crl_numbers_note(&read.crls, "int-1", 6);
        ck_assert(!clock_mark_equal(&mark, &read));
        scratch_write(&s, "mark", "5 5\n", 0600); /* of a signer before there were CRLs */
        ck_ok(clock_mark_read(s.fd, &read, &err), err);
        ck_assert_int_eq(crl_numbers_last(&read.crls, "int-1"), 0);
        scratch_close(&s);
}
END_TEST

START_TEST(a_mark_that_is_none_is_refused_and_nothing_is_set) {
        static const char *const wrong[] = { "",
                                             "x",
                                             "5",
                                             "5 x",
                                             "-1 0",
                                             "0 -1",
                                             "\n",
                                             "5,5",
                                             "5 5\nx",
                                             "5 5\ncrl int-1",
                                             "5 5\ncrl int-1 0",
                                             "5 5\ncrl int-1 -5\n",
                                             "5 5\ncrl int-1 5\ncrl" };
        struct clock_mark mark = { 11, 22 };
        struct scratch s;
        struct error err;

        scratch_open(&s);
        ck_refused(clock_mark_read(s.fd, &mark, &err), err, ERR_NOT_FOUND);
        for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
                scratch_write(&s, "mark", wrong[i], 0600);
                ck_refused(clock_mark_read(s.fd, &mark, &err), err, ERR_CA_INCOMPLETE);
                ck_assert_ptr_nonnull(strstr(err.text, "cad clock accept"));
        }
        scratch_write(&s, "mark", "5 5\n", 0640);
        ck_refused(clock_mark_read(s.fd, &mark, &err), err, ERR_FILE_UNSAFE);
        ck_assert_int_eq(mark.latest_ms, 11);
        ck_assert_int_eq(mark.issued, 22);
        scratch_close(&s);
}
END_TEST

START_TEST(the_kernel_says_whether_the_clock_is_synchronised) {
        bool first = clock_synchronised();

        ck_assert_msg(first == clock_synchronised(), "it changes from call to call");
}
END_TEST

int main(void) {
        Suite *suite = suite_create("clock");
        TCase *tc = tcase_create("clock");

        tcase_add_loop_test(tc, a_clock_is_held_against_build_and_mark, 0, ARRAY_SIZE(clocks));
        tcase_add_loop_test(tc, a_clock_is_held_against_the_ca, 0, ARRAY_SIZE(since));
        tcase_add_test(tc, a_mark_comes_back_as_it_was_written);
        tcase_add_test(tc, a_mark_keeps_the_numbers_of_crls);
        tcase_add_test(tc, a_mark_that_is_none_is_refused_and_nothing_is_set);
        tcase_add_test(tc, the_kernel_says_whether_the_clock_is_synchronised);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
