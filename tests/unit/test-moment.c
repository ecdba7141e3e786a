/*
 * Time as text: the calendar against glibc's for every day of 9999 years, RFC 3339 with its offsets, durations that
 * come back as they were.
 */
#include "unit.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "lib/base/moment.h"

#define DAY INT64_C(86400)
#define FIRST INT64_C(-62135596800) /* 0001-01-01T00:00:00Z */
#define YEAR (365 * DAY)

/* ---- the calendar ---- */

static void check_against_glibc(int64_t t) {
        time_t seconds = (time_t) t;
        struct civil_time c = moment_civil(t);
        struct tm tm;
        int64_t back;

        if (!gmtime_r(&seconds, &tm) || c.year != tm.tm_year + 1900 || c.month != tm.tm_mon + 1 ||
            c.day != tm.tm_mday || c.hour != tm.tm_hour || c.minute != tm.tm_min ||
            c.second != tm.tm_sec)
                ck_abort_msg("%" PRId64 " is %d-%d-%d %d:%d:%d", t, c.year, c.month, c.day, c.hour,
                             c.minute, c.second);
        if (moment_from_civil(&c, &back) < 0 || back != t || timegm(&tm) != (time_t) back)
                ck_abort_msg("%" PRId64 " comes back as %" PRId64, t, back);
}

START_TEST(every_day_from_0001_to_9999_is_that_of_glibc) {
        for (int64_t t = FIRST; t <= MOMENT_LAST; t += DAY) {
                check_against_glibc(t);
                check_against_glibc(t + (t - FIRST) / DAY * 7919 % DAY); /* and some second of it */
        }
        check_against_glibc(MOMENT_LAST);
}
END_TEST

static const struct {
        const char *why;
        struct civil_time civil;
        int rc;
} civil_rows[] = {
        { "a leap day", { 2028, 2, 29, 0, 0, 0 }, 0 },
        { "no leap day", { 2027, 2, 29, 0, 0, 0 }, -1 },
        { "no leap day in a century", { 2100, 2, 29, 0, 0, 0 }, -1 },
        { "a leap day every fourth century", { 2000, 2, 29, 0, 0, 0 }, 0 },
        { "the first year", { 1, 1, 1, 0, 0, 0 }, 0 },
        { "there is no year 0", { 0, 12, 31, 0, 0, 0 }, -1 },
        { "the last second", { 9999, 12, 31, 23, 59, 59 }, 0 },
        { "five digits", { 10000, 1, 1, 0, 0, 0 }, -1 },
        { "month 0", { 2026, 0, 1, 0, 0, 0 }, -1 },
        { "month 13", { 2026, 13, 1, 0, 0, 0 }, -1 },
        { "day 0", { 2026, 1, 0, 0, 0, 0 }, -1 },
        { "31 April", { 2026, 4, 31, 0, 0, 0 }, -1 },
        { "32 January", { 2026, 1, 32, 0, 0, 0 }, -1 },
        { "hour 24", { 2026, 1, 1, 24, 0, 0 }, -1 },
        { "minute 60", { 2026, 1, 1, 0, 60, 0 }, -1 },
        { "a leap second", { 2016, 12, 31, 23, 59, 60 }, -1 },
        { "a negative second", { 2026, 1, 1, 0, 0, -1 }, -1 },
        { "a negative hour", { 2026, 1, 1, -1, 0, 0 }, -1 },
};

START_TEST(a_date_that_is_none_is_refused) {
        int64_t t = 4711;

        ck_assert_msg(moment_from_civil(&civil_rows[_i].civil, &t) == civil_rows[_i].rc, "%s",
                      civil_rows[_i].why);
        ck_assert_msg((t == 4711) == (civil_rows[_i].rc < 0), "%s", civil_rows[_i].why);
}
END_TEST

/* ---- RFC 3339 ---- */

static const struct {
        const char *why, *text;
        int64_t t;
} moments[] = {
        { "the epoch", "1970-01-01T00:00:00Z", 0 },
        { "RFC 3339 §5.8, with a fraction", "1985-04-12T23:20:50.52Z", 482196050 },
        { "RFC 3339 §5.8, west of Greenwich", "1996-12-19T16:39:57-08:00", 851042397 },
        { "RFC 3339 §5.8, Dutch time before 1937", "1937-01-01T12:00:27.87+00:20", -1041337173 },
        { "east", "2026-11-21T19:00:00+01:00", 1795284000 },
        { "the same in UTC", "2026-11-21T18:00:00Z", 1795284000 },
        { "lower case t and z", "2026-11-21t18:00:00z", 1795284000 },
        { "a space for T: RFC 3339 §5.6", "2026-11-21 18:00:00Z", 1795284000 },
        { "the unknown offset", "2026-11-21T18:00:00-00:00", 1795284000 },
        { "the largest offset", "2026-11-22T17:59:00+23:59", 1795284000 },
        { "over the end of a year", "2026-12-31T23:30:00-00:30", 1798761600 },
        { "a long fraction", "2026-11-21T18:00:00.999999999999999999999Z", 1795284000 },
        { "the last second", "9999-12-31T23:59:59Z", MOMENT_LAST },
        { "the last second, written in the east", "9999-12-31T23:59:59+00:00", MOMENT_LAST },
        { "the first second", "0001-01-01T00:00:00Z", FIRST },
        { "the first second, written in the east", "0001-01-01T01:00:00+01:00", FIRST },
};

START_TEST(an_rfc3339_time_is_read) {
        struct error err = { 0 };
        int64_t t = 4711;

        ck_ok(moment_parse(moments[_i].text, &t, &err), err);
        ck_assert_msg(t == moments[_i].t, "%s: %" PRId64, moments[_i].why, t);
}
END_TEST

static const struct {
        const char *why, *text;
} bad_moments[] = {
        { "nothing", "" },
        { "a date alone", "2026-11-21" },
        { "no zone", "2026-11-21T18:00:00" },
        { "no seconds", "2026-11-21T18:00Z" },
        { "basic format", "20261121T180000Z" },
        { "a year of two digits", "26-11-21T18:00:00Z" },
        { "a year of five digits", "12026-11-21T18:00:00Z" },
        { "a month of one digit", "2026-1-21T18:00:00Z" },
        { "month 13", "2026-13-21T18:00:00Z" },
        { "no leap year", "2027-02-29T18:00:00Z" },
        { "hour 24", "2026-11-21T24:00:00Z" },
        { "a leap second", "2016-12-31T23:59:60Z" },
        { "a point without a fraction", "2026-11-21T18:00:00.Z" },
        { "a comma", "2026-11-21T18:00:00,5Z" },
        { "an offset without a colon", "2026-11-21T18:00:00+0100" },
        { "an offset of hours alone", "2026-11-21T18:00:00+01" },
        { "an offset of a day", "2026-11-21T18:00:00+24:00" },
        { "minute 60 of an offset", "2026-11-21T18:00:00+01:60" },
        { "a zone by name", "2026-11-21T18:00:00UTC" },
        { "something behind", "2026-11-21T18:00:00Z " },
        { "something before", " 2026-11-21T18:00:00Z" },
        { "a negative year", "-2026-11-21T18:00:00Z" },
        { "a sign in a field", "2026-11-21T+8:00:00Z" },
        { "year 0", "0000-01-01T00:00:00Z" },
        { "after the last second, by its offset", "9999-12-31T23:59:59-00:01" },
        { "before the first second, by its offset", "0001-01-01T00:00:00+00:01" },
        { "a number", "1795284000" },
};

START_TEST(what_is_no_rfc3339_time_is_refused_with_an_example) {
        struct error err;
        int64_t t = 4711;

        ck_refused(moment_parse(bad_moments[_i].text, &t, &err), err, ERR_REQUEST_MALFORMED);
        ck_assert_msg(t == 4711, "%s", bad_moments[_i].why);
        ck_assert_ptr_nonnull(strstr(err.text, "2027-01-31T12:00:00Z"));
}
END_TEST

START_TEST(what_is_written_is_read_back) {
        for (int64_t t = FIRST; t <= MOMENT_LAST; t += 100 * DAY + 12345) {
                char text[MOMENT_TEXT_MAX];
                struct error err = { 0 };
                int64_t back = 0;

                ck_assert_uint_eq(strlen(moment_format(t, text)), 20);
                ck_ok(moment_parse(text, &back, &err), err);
                ck_assert_int_eq(back, t);
        }
}
END_TEST

START_TEST(every_prefix_and_one_character_more_is_refused) {
        static const char text[] = "2026-11-21T18:00:00+01:00";
        char part[sizeof(text) + 1];
        struct error err;
        int64_t t;

        for (size_t n = 0; n < sizeof(text) - 1; n++) {
                memcpy(part, text, n);
                part[n] = '\0';
                ck_refused(moment_parse(part, &t, &err), err, ERR_REQUEST_MALFORMED);
        }
        memcpy(part, text, sizeof(text));
        memcpy(part + sizeof(text) - 1, "0", 2);
        ck_refused(moment_parse(part, &t, &err), err, ERR_REQUEST_MALFORMED);
}
END_TEST

/* ---- durations ---- */

static const struct {
        const char *why, *text;
        int64_t seconds;
} durations[] = {
        { "days", "90d", 90 * DAY },
        { "hours", "12h", 43200 },
        { "minutes", "30m", 1800 },
        { "seconds", "45s", 45 },
        { "weeks", "2w", 14 * DAY },
        { "a year is 365 days", "2y", 2 * YEAR },
        { "a bare number is seconds", "3600", 3600 },
        { "several", "1h30m", 5400 },
        { "several, all of them", "1y1w1d1h1m1s", YEAR + 8 * DAY + 3661 },
        { "in any order", "1s1d", DAY + 1 },
        { "nothing", "0", 0 },
        { "nothing with a unit", "0d", 0 },
        { "leading zeros", "007d", 7 * DAY },
        { "100 years", "100y", 100 * YEAR },
        { "100 years in seconds", "3153600000", 100 * YEAR },
        { "100 years in parts", "99y365d", 100 * YEAR },
};

START_TEST(a_duration_is_read) {
        struct error err = { 0 };
        int64_t seconds = 4711;

        ck_ok(duration_parse(durations[_i].text, &seconds, &err), err);
        ck_assert_msg(seconds == durations[_i].seconds, "%s: %" PRId64, durations[_i].why, seconds);
}
END_TEST

static const struct {
        const char *why, *text;
} bad_durations[] = {
        { "empty", "" },
        { "a unit alone", "d" },
        { "an unknown unit", "3M" },
        { "a long unit", "3days" },
        { "white space", "3 d" },
        { "white space before", " 3d" },
        { "white space behind", "3d " },
        { "negative", "-3d" },
        { "a sign", "+3d" },
        { "a fraction", "1.5d" },
        { "a second over 100 years", "3153600001" },
        { "100 years and a second", "100y1s" },
        { "more years than 100", "101y" },
        { "more than 64 bits hold", "99999999999999999999999s" },
        { "a product of more than 64 bits", "3153600000y" },
        { "a sum that would wrap", "100y100y100y" },
        { "a unit behind a unit", "1hm" },
        { "another alphabet's digits", "٣d" },
};

START_TEST(what_is_no_duration_is_refused) {
        struct error err;
        int64_t seconds = 4711;

        ck_refused(duration_parse(bad_durations[_i].text, &seconds, &err), err,
                   ERR_VALIDITY_OUT_OF_RANGE);
        ck_assert_msg(seconds == 4711, "%s", bad_durations[_i].why);
}
END_TEST

static const struct {
        int64_t seconds;
        const char *text;
} written[] = {
        { 0, "0s" },
        { 1, "1s" },
        { 59, "59s" },
        { 60, "1m" },
        { 90, "1m30s" },
        { 3600, "1h" },
        { 5400, "1h30m" },
        { DAY, "1d" },
        { 7 * DAY, "7d" },
        { 90 * DAY, "90d" },
        { 364 * DAY, "364d" },
        { YEAR, "1y" },
        { YEAR + 1, "365d1s" },
        { 397 * DAY, "397d" },
        { 20 * YEAR, "20y" },
        { 100 * YEAR, "100y" },
        { 100 * YEAR - 1, "36499d23h59m59s" },
};

START_TEST(a_duration_is_written_as_a_person_would) {
        char text[DURATION_TEXT_MAX];

        ck_assert_str_eq(duration_format(written[_i].seconds, text), written[_i].text);
}
END_TEST

static void check_duration(int64_t seconds) {
        char text[DURATION_TEXT_MAX];
        struct error err = { 0 };
        int64_t back = -1;

        ck_ok(duration_parse(duration_format(seconds, text), &back, &err), err);
        if (back != seconds)
                ck_abort_msg("%" PRId64 " is written %s and read as %" PRId64, seconds, text, back);
}

START_TEST(every_duration_written_is_read_back_as_it_was) {
        static const int64_t units[] = { 60, 3600, DAY, 7 * DAY, YEAR };

        for (int64_t seconds = 0; seconds < 2 * DAY; seconds++)
                check_duration(seconds);
        for (int64_t seconds = 0; seconds <= 100 * YEAR; seconds += 40009)
                check_duration(seconds);
        for (size_t u = 0; u < 5; u++)
                for (int64_t n = 1; n <= 1000 && n * units[u] < 100 * YEAR; n++)
                        for (int64_t d = -1; d <= 1; d++)
                                check_duration(n * units[u] + d);
        check_duration(100 * YEAR);
}
END_TEST

START_TEST(the_clocks_agree_and_do_not_go_back) {
        int64_t s = moment_now(), ms = moment_now_ms(), before = moment_monotonic_ms();

        ck_assert_int_ge(ms / 1000, s);
        ck_assert_int_le(ms / 1000, s + 30);
        for (int i = 0; i < 1000; i++) {
                int64_t after = moment_monotonic_ms();

                ck_assert_int_ge(after, before);
                before = after;
        }
}
END_TEST

int main(void) {
        Suite *suite = suite_create("moment");
        TCase *tc = tcase_create("moment");

        tcase_set_timeout(tc, 100);
        tcase_add_test(tc, every_day_from_0001_to_9999_is_that_of_glibc);
        tcase_add_loop_test(tc, a_date_that_is_none_is_refused, 0, ARRAY_SIZE(civil_rows));
        tcase_add_loop_test(tc, an_rfc3339_time_is_read, 0, ARRAY_SIZE(moments));
        tcase_add_loop_test(tc, what_is_no_rfc3339_time_is_refused_with_an_example, 0,
                            ARRAY_SIZE(bad_moments));
        tcase_add_test(tc, what_is_written_is_read_back);
        tcase_add_test(tc, every_prefix_and_one_character_more_is_refused);
        tcase_add_loop_test(tc, a_duration_is_read, 0, ARRAY_SIZE(durations));
        tcase_add_loop_test(tc, what_is_no_duration_is_refused, 0, ARRAY_SIZE(bad_durations));
        tcase_add_loop_test(tc, a_duration_is_written_as_a_person_would, 0, ARRAY_SIZE(written));
        tcase_add_test(tc, every_duration_written_is_read_back_as_it_was);
        tcase_add_test(tc, the_clocks_agree_and_do_not_go_back);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
