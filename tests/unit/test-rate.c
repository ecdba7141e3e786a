/*
 * The rate limit: a sliding hour, by a clock that may stand wrong for a moment.
 */
#include "unit.h"

#include "daemon/signer/rate.h"

#define NOW INT64_C(1800000000)
#define MINUTE 60
#define HOUR 3600

START_TEST(without_a_limit_nothing_is_refused) {
        struct rate rate = { 0 };
        struct error err = { 0 };

        for (int i = 0; i < 100000; i++) {
                ck_ok(rate_check(&rate, NOW, &err), err);
                rate_count(&rate, NOW);
        }
        ck_assert_uint_eq(rate_last_hour(&rate, NOW), 100000);
}
END_TEST

START_TEST(the_limit_is_kept_and_the_way_out_is_said) {
        struct rate rate = { .per_hour = 5 };
        struct error err = { 0 };

        for (int i = 0; i < 5; i++) {
                ck_ok(rate_check(&rate, NOW + i, &err), err);
                rate_count(&rate, NOW + i);
        }
        ck_refused(rate_check(&rate, NOW + 5, &err), err, ERR_RATE_LIMITED);
        ck_assert_ptr_nonnull(strstr(err.text, "PerHour="));
        ck_refused(rate_check(&rate, NOW + HOUR - MINUTE, &err), err, ERR_RATE_LIMITED);
        ck_ok(rate_check(&rate, NOW + HOUR + MINUTE, &err), err);
}
END_TEST

START_TEST(the_hour_slides_by_the_minute) {
        struct rate rate = { 0 };

        for (int64_t minute = 0; minute < 200; minute++) {
                rate_count(&rate, NOW + minute * MINUTE);
                ck_assert_uint_eq(rate_last_hour(&rate, NOW + minute * MINUTE),
                                  minute < RATE_SLOTS ? minute + 1 : RATE_SLOTS);
        }
        for (int64_t minute = 1; minute < 70; minute++)
                ck_assert_uint_eq(rate_last_hour(&rate, NOW + (199 + minute) * MINUTE),
                                  minute < RATE_SLOTS ? RATE_SLOTS - minute : 0);
        /* at no second does it forget what is less than an hour old */
        for (int64_t second = 0; second < MINUTE; second++) {
                struct rate one = { 0 };

                rate_count(&one, NOW + second);
                ck_assert_uint_eq(rate_last_hour(&one, NOW + second + HOUR - 1), 1);
        }
}
END_TEST

START_TEST(a_time_before_the_newest_counts_as_the_newest) {
        struct rate rate = { .per_hour = 10 };

        rate_count(&rate, NOW);
        rate_count(&rate, NOW - 10 * MINUTE);
        ck_assert_uint_eq(rate_last_hour(&rate, NOW - 10 * MINUTE), 2);
        ck_assert_uint_eq(rate_last_hour(&rate, NOW), 2);
        ck_assert_uint_eq(rate_last_hour(&rate, NOW + HOUR + MINUTE), 0);
}
END_TEST

START_TEST(looking_at_a_wrong_time_forgets_nothing) {
        struct rate rate = { .per_hour = 1 };
        struct error err = { 0 };

        rate_count(&rate, NOW);
        ck_assert_uint_eq(rate_last_hour(&rate, NOW + INT64_C(10) * 365 * 24 * HOUR),
                          0); /* a status asked for while the clock was wrong */
        ck_assert_uint_eq(rate_last_hour(&rate, 0), 1);
        ck_refused(rate_check(&rate, NOW, &err), err, ERR_RATE_LIMITED);
        ck_ok(rate_check(&rate, NOW + HOUR + MINUTE, &err), err);
}
END_TEST

START_TEST(a_fresh_one_is_empty_at_any_time) {
        static const int64_t times[] = { 0, 59, 60, 3599, 3600, NOW, INT64_C(253402300799) };

        for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
                struct rate rate = { .per_hour = 1 };

                ck_assert_uint_eq(rate_last_hour(&rate, times[i]), 0);
                rate_count(&rate, times[i]);
                ck_assert_uint_eq(rate_last_hour(&rate, times[i]), 1);
        }
}
END_TEST

int main(void) {
        Suite *suite = suite_create("rate");
        TCase *tc = tcase_create("rate");

        tcase_add_test(tc, without_a_limit_nothing_is_refused);
        tcase_add_test(tc, the_limit_is_kept_and_the_way_out_is_said);
        tcase_add_test(tc, the_hour_slides_by_the_minute);
        tcase_add_test(tc, a_time_before_the_newest_counts_as_the_newest);
        tcase_add_test(tc, looking_at_a_wrong_time_forgets_nothing);
        tcase_add_test(tc, a_fresh_one_is_empty_at_any_time);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
