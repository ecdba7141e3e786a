/*
 * When a CRL is made and what times it says: decisions over clocks of our own.
 */
#include "daemon/authority/crl_schedule.h"

#include "tests/unit/unit.h"

#define HOUR INT64_C(3600)
#define DAY (24 * HOUR)
#define NOW INT64_C(1800000000)
#define NOW_MS INT64_C(500000)

static const struct crl_settings settings = { 7 * DAY, DAY };

/* A CRL that was made a while ago, with nothing to be done. */
static struct crl_state quiet(void) {
        return (struct crl_state){ .exists = true,
                                   .this_update = NOW - HOUR,
                                   .next_update = NOW - HOUR + 7 * DAY };
}

static enum crl_due due_at(const struct crl_state *s, int64_t now, int64_t now_ms) {
        int64_t wait_ms = -1;
        enum crl_due due = crl_due(s, &settings, now, now_ms, &wait_ms);

        if (due == CRL_NOT_DUE)
                ck_assert_int_gt(wait_ms, 0);
        return due;
}

/* ---- when --------------------------------------------------------------------------------------------------- */

START_TEST(nothing_is_due_where_nothing_happened) {
        struct crl_state s = quiet();

        ck_assert_int_eq(due_at(&s, NOW, NOW_MS), CRL_NOT_DUE);
}
END_TEST

START_TEST(a_missing_crl_is_due_at_once) {
        struct crl_state s = { .exists = false };

        ck_assert_int_eq(due_at(&s, NOW, NOW_MS), CRL_DUE_MISSING);
}
END_TEST

START_TEST(one_that_the_store_does_not_know_is_made_anew) {
        struct crl_state s = quiet();

        s.outdated = true;
        ck_assert_int_eq(due_at(&s, NOW, NOW_MS), CRL_DUE_MISSING);
}
END_TEST

START_TEST(a_change_waits_a_second_for_others) {
        struct crl_state s = quiet();

        s.first_change_ms = s.last_change_ms = NOW_MS;
        ck_assert_int_eq(due_at(&s, NOW, NOW_MS), CRL_NOT_DUE);
        ck_assert_int_eq(due_at(&s, NOW, NOW_MS + CRL_SETTLE_MS - 1), CRL_NOT_DUE);
        ck_assert_int_eq(due_at(&s, NOW, NOW_MS + CRL_SETTLE_MS), CRL_DUE_CHANGED);
}
END_TEST

START_TEST(changes_without_end_do_not_hold_it_up) {
        struct crl_state s = quiet();
        int64_t now_ms = NOW_MS;

        s.first_change_ms = NOW_MS;
        for (; now_ms < NOW_MS + CRL_DELAY_MAX_MS; now_ms += 100) {
                s.last_change_ms = now_ms;
                ck_assert_int_eq(due_at(&s, NOW, now_ms), CRL_NOT_DUE);
        }
        s.last_change_ms = now_ms;
        ck_assert_int_eq(due_at(&s, NOW, now_ms), CRL_DUE_CHANGED);
}
END_TEST

START_TEST(making_them_takes_a_third_of_the_time_at_most) {
        struct crl_state s = quiet();

        s.began_ms = NOW_MS;
        s.took_ms = 4000;
        s.first_change_ms = s.last_change_ms = NOW_MS + 4000;
        ck_assert_int_eq(due_at(&s, NOW, NOW_MS + 3 * 4000 - 1), CRL_NOT_DUE);
        ck_assert_int_eq(due_at(&s, NOW, NOW_MS + 3 * 4000), CRL_DUE_CHANGED);
        s.took_ms = 50000; /* however slow: no revocation waits for minutes */
        ck_assert_int_eq(due_at(&s, NOW, NOW_MS + 50000 + CRL_REST_MAX_MS), CRL_DUE_CHANGED);
}
END_TEST

START_TEST(the_schedule_is_kept) {
        struct crl_state s = quiet();

        ck_assert_int_eq(due_at(&s, s.this_update + DAY - 1, NOW_MS), CRL_NOT_DUE);
        ck_assert_int_eq(due_at(&s, s.this_update + DAY, NOW_MS), CRL_DUE_SCHEDULED);
}
END_TEST

START_TEST(a_third_of_its_life_is_left_at_least) {
        struct crl_state s = quiet();

        s.next_update = s.this_update + 9 * HOUR; /* from a time with other settings */
        ck_assert_int_eq(due_at(&s, s.this_update + 6 * HOUR - 1, NOW_MS), CRL_NOT_DUE);
        ck_assert_int_eq(due_at(&s, s.this_update + 6 * HOUR, NOW_MS), CRL_DUE_SCHEDULED);
}
END_TEST

START_TEST(a_crl_from_the_future_is_made_anew) {
        struct crl_state s = quiet();

        ck_assert_int_eq(due_at(&s, s.this_update - 1, NOW_MS), CRL_DUE_SCHEDULED);
}
END_TEST

START_TEST(the_wait_ends_when_something_is_due) {
        struct crl_state s = quiet();
        int64_t wait_ms;

        s.first_change_ms = s.last_change_ms = NOW_MS;
        ck_assert_int_eq(crl_due(&s, &settings, NOW, NOW_MS, &wait_ms), CRL_NOT_DUE);
        ck_assert_int_eq(wait_ms, CRL_SETTLE_MS);
        s.first_change_ms = s.last_change_ms = 0;
        ck_assert_int_eq(crl_due(&s, &settings, s.this_update + DAY - 3, NOW_MS, &wait_ms),
                         CRL_NOT_DUE);
        ck_assert_int_eq(wait_ms, 3000);
        ck_assert_int_eq(crl_due(&s, &settings, NOW, NOW_MS, &wait_ms), CRL_NOT_DUE);
        ck_assert_int_le(wait_ms, 60000); /* the clock may be set */
}
END_TEST

static const struct {
        unsigned failures;
        int64_t wait_ms;
} retries[] = { { 0, 0 },     { 1, 1000 },  { 2, 2000 },  { 3, 4000 },
                { 6, 32000 }, { 7, 60000 }, { 8, 60000 }, { 4000000000u, 60000 } };

START_TEST(a_try_that_failed_is_made_again_later_and_later) {
        struct crl_state s = { .exists = false, .failed_ms = NOW_MS };

        s.failures = retries[_i].failures;
        ck_assert_int_eq(crl_retry_ms(s.failures), retries[_i].wait_ms);
        if (retries[_i].wait_ms)
                ck_assert_int_eq(due_at(&s, NOW, NOW_MS + retries[_i].wait_ms - 1), CRL_NOT_DUE);
        ck_assert_int_eq(due_at(&s, NOW, NOW_MS + retries[_i].wait_ms), CRL_DUE_MISSING);
}
END_TEST

START_TEST(who_asks_does_not_wait_for_a_retry) {
        struct crl_state s = quiet();

        s.asked = true;
        ck_assert_int_eq(due_at(&s, NOW, NOW_MS), CRL_DUE_ASKED);
        s.failures = 9;
        s.failed_ms = NOW_MS;
        ck_assert_int_eq(due_at(&s, NOW, NOW_MS), CRL_DUE_ASKED);
}
END_TEST

/* ---- times -------------------------------------------------------------------------------------------------- */

static struct crl_times times(int64_t number_before, int64_t scheduled_before) {
        return crl_times_of(&settings, NOW, number_before, scheduled_before, NOW - 100 * DAY,
                            NOW + 1000 * DAY);
}

START_TEST(numbers_are_seconds_and_only_rise) {
        ck_assert_int_eq(times(0, 0).number, NOW);
        ck_assert_int_eq(times(NOW - 1, 0).number, NOW);
        ck_assert_int_eq(times(NOW, 0).number, NOW + 1);
        ck_assert_int_eq(times(NOW + 500, 0).number, NOW + 501); /* the clock was ahead */
}
END_TEST

START_TEST(it_begins_a_little_earlier_and_ends_on_time) {
        struct crl_settings brief = { 60, 20 };

        ck_assert_int_eq(times(0, 0).this_update, NOW - 300);
        ck_assert_int_eq(times(0, 0).next_update, NOW + 7 * DAY);
        ck_assert_int_eq(crl_times_of(&brief, NOW, 0, 0, 0, NOW + DAY).this_update, NOW - 3);
}
END_TEST

START_TEST(it_stays_within_its_issuer) {
        struct crl_times t = crl_times_of(&settings, NOW, 0, 0, NOW - 10, NOW + DAY);

        ck_assert_int_eq(t.this_update, NOW - 10);
        ck_assert_int_eq(t.next_update, NOW + DAY);
}
END_TEST

START_TEST(what_has_not_expired_stays_whatever_the_clock_said_before) {
        ck_assert_int_eq(times(0, 0).floor, 0); /* none was scheduled: everything */
        ck_assert_int_eq(times(0, NOW - DAY).floor, NOW - DAY);
        ck_assert_int_le(times(0, NOW + 3650 * DAY).floor, NOW);
}
END_TEST

START_TEST(crls_that_come_often_count_as_scheduled_too) {
        ck_assert(crl_counts_as_scheduled(CRL_DUE_SCHEDULED, &settings, NOW, NOW - 1));
        ck_assert(!crl_counts_as_scheduled(CRL_DUE_CHANGED, &settings, NOW, NOW - DAY + 1));
        ck_assert(crl_counts_as_scheduled(CRL_DUE_CHANGED, &settings, NOW, NOW - DAY));
        ck_assert(crl_counts_as_scheduled(CRL_DUE_MISSING, &settings, NOW, 0));
        ck_assert(crl_counts_as_scheduled(CRL_DUE_CHANGED, &settings, NOW, NOW + DAY));
}
END_TEST

START_TEST(it_ages_and_lapses) {
        int64_t from = NOW, until = NOW + 9 * HOUR;

        ck_assert_int_eq(crl_freshness(from, until, from), CRL_FRESH);
        ck_assert_int_eq(crl_freshness(from, until, from + 6 * HOUR - 1), CRL_FRESH);
        ck_assert_int_eq(crl_freshness(from, until, from + 6 * HOUR), CRL_AGEING);
        ck_assert_int_eq(crl_freshness(from, until, until), CRL_AGEING);
        ck_assert_int_eq(crl_freshness(from, until, until + 1), CRL_LAPSED);
}
END_TEST

START_TEST(defaults_fit_what_is_given) {
        struct crl_settings none = { 0, 0 }, brief = { 12 * HOUR, 0 }, both = { 100, 30 };

        ck_assert_int_eq(crl_settings_of(&none, false).validity_s, 7 * DAY);
        ck_assert_int_eq(crl_settings_of(&none, false).refresh_s, DAY);
        ck_assert_int_eq(crl_settings_of(&brief, false).refresh_s, 4 * HOUR);
        ck_assert_int_eq(crl_settings_of(&both, false).refresh_s, 30);
        ck_assert_int_eq(crl_settings_of(&both, true).validity_s, 365 * DAY);
        ck_assert_int_eq(crl_settings_of(&both, true).refresh_s, 365 * DAY / 2);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("crl-schedule");
        TCase *when = tcase_create("when"), *what = tcase_create("times");

        tcase_add_test(when, nothing_is_due_where_nothing_happened);
        tcase_add_test(when, a_missing_crl_is_due_at_once);
        tcase_add_test(when, one_that_the_store_does_not_know_is_made_anew);
        tcase_add_test(when, a_change_waits_a_second_for_others);
        tcase_add_test(when, changes_without_end_do_not_hold_it_up);
        tcase_add_test(when, making_them_takes_a_third_of_the_time_at_most);
        tcase_add_test(when, the_schedule_is_kept);
        tcase_add_test(when, a_third_of_its_life_is_left_at_least);
        tcase_add_test(when, a_crl_from_the_future_is_made_anew);
        tcase_add_test(when, the_wait_ends_when_something_is_due);
        tcase_add_loop_test(when, a_try_that_failed_is_made_again_later_and_later, 0,
                            ARRAY_SIZE(retries));
        tcase_add_test(when, who_asks_does_not_wait_for_a_retry);
        tcase_add_test(what, numbers_are_seconds_and_only_rise);
        tcase_add_test(what, it_begins_a_little_earlier_and_ends_on_time);
        tcase_add_test(what, it_stays_within_its_issuer);
        tcase_add_test(what, what_has_not_expired_stays_whatever_the_clock_said_before);
        tcase_add_test(what, crls_that_come_often_count_as_scheduled_too);
        tcase_add_test(what, it_ages_and_lapses);
        tcase_add_test(what, defaults_fit_what_is_given);
        suite_add_tcase(suite, when);
        suite_add_tcase(suite, what);
        return unit_main(suite);
}
