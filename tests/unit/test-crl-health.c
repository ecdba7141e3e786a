/*
 * How a CRL stands: red long before it lapses, and not before that. And the dates that HTTP wants.
 */
#include "daemon/authority/crl_health.h"

#include <string.h>

#include "daemon/authority/crl_snapshot.h"
#include "tests/unit/unit.h"

#define DAY INT64_C(86400)
#define NOW INT64_C(1800000000)

/* Good for nine days, made two days ago. */
#define GOOD \
        .issuer = "int-1", .exists = true, .can_be_made = true, .this_update = NOW - 2 * DAY, \
        .next_update = NOW + 7 * DAY
#define NONE .pending_s = -1 /* nothing waits to be published */
#define ROOT_AWAY \
        .issuer = "root", .exists = true, .can_be_made = false, .pending_s = -1, \
        .this_update = NOW - 100 * DAY
#define FAILED .failures = 3, .failure = { .code = ERR_SIGNER_UNAVAILABLE, .text = "no signer" }

static const struct {
        const char *why;
        struct publisher_status status;
        int64_t now;
        enum health_state state;
        const char *word; /* in the sentence */
} rows[] = {
        { "good", { GOOD, NONE }, NOW, HEALTH_OK, "int-1" },
        { "a change of a moment ago", { GOOD, .pending_s = 3 }, NOW, HEALTH_OK, "good until" },
        { "a revocation that is late",
          { GOOD, .pending_s = CRL_LATE_S + 1 },
          NOW,
          HEALTH_FAILING,
          "61 s ago" },
        { "a try failed, with time left",
          { GOOD, NONE, FAILED },
          NOW,
          HEALTH_WARNING,
          "no signer" },
        { "a third left, tries fail",
          { GOOD, NONE, FAILED },
          NOW + 4 * DAY,
          HEALTH_FAILING,
          "no signer" },
        { "more than a third left",
          { GOOD, NONE, FAILED },
          NOW + 4 * DAY - 1,
          HEALTH_WARNING,
          "no signer" },
        { "a third left, and the thread is at it",
          { GOOD, NONE },
          NOW + 4 * DAY,
          HEALTH_OK,
          "being made anew" },
        { "a third left, and nothing happens",
          { GOOD, NONE },
          NOW + 4 * DAY + CRL_OVERDUE_S + 1,
          HEALTH_FAILING,
          "only" },
        { "lapsed", { GOOD, NONE }, NOW + 7 * DAY + 1, HEALTH_FAILING, "lapsed" },
        { "lapsed, and why", { GOOD, NONE, FAILED }, NOW + 8 * DAY, HEALTH_FAILING, "no signer" },
        { "at the very start",
          { .issuer = "int-1", .can_be_made = true, .pending_s = -1 },
          NOW,
          HEALTH_OK,
          "being made" },
        { "none, and none can be made",
          { .issuer = "int-1", .can_be_made = true, .pending_s = -1, FAILED },
          NOW,
          HEALTH_FAILING,
          "no signer" },
        { "none, and the key is away",
          { .issuer = "root", .pending_s = -1 },
          NOW,
          HEALTH_WARNING,
          "bring it back" },
        { "the root's, its key away, fresh",
          { ROOT_AWAY, .next_update = NOW + 265 * DAY },
          NOW,
          HEALTH_OK,
          "good until" },
        { "the root's, its key away, a third left",
          { ROOT_AWAY, .next_update = NOW + 45 * DAY },
          NOW,
          HEALTH_WARNING,
          "bring it back" },
        { "the root's, its key away, under 30 days left",
          { ROOT_AWAY, .next_update = NOW + 30 * DAY - 1 },
          NOW,
          HEALTH_FAILING,
          "bring it back" },
};

START_TEST(a_crl_is_judged_by_what_is_left_of_it) {
        char text[ERROR_TEXT_MAX];
        enum health_state state = crl_judge(&rows[_i].status, rows[_i].now, text, sizeof(text));

        ck_assert_msg(state == rows[_i].state, "%s: %s: %s", rows[_i].why, health_state_name(state),
                      text);
        ck_assert_msg(strstr(text, rows[_i].word), "%s: %s", rows[_i].why, text);
}
END_TEST

START_TEST(a_long_failure_fits_the_sentence) {
        struct publisher_status s = { GOOD, .failures = 1 };
        char text[ERROR_TEXT_MAX];

        memset(s.failure.text, 'x', sizeof(s.failure.text) - 1);
        (void) crl_judge(&s, NOW, text, sizeof(text));
        ck_assert_uint_lt(strlen(text), sizeof(text));
        (void) crl_judge(&s, NOW + 5 * DAY, text, sizeof(text));
        ck_assert_uint_lt(strlen(text), sizeof(text));
}
END_TEST

static const struct {
        int64_t t;
        const char *text;
} dates[] = {
        { 784111777, "Sun, 06 Nov 1994 08:49:37 GMT" }, /* the example of RFC 9110 */
        { 0, "Thu, 01 Jan 1970 00:00:00 GMT" },
        { 1709210096, "Thu, 29 Feb 2024 12:34:56 GMT" },
        { 2147483648, "Tue, 19 Jan 2038 03:14:08 GMT" },
        { 253402300799, "Fri, 31 Dec 9999 23:59:59 GMT" },
        { -1, "Thu, 01 Jan 1970 00:00:00 GMT" }, /* there is none: the earliest */
};

START_TEST(dates_are_as_http_wants_them) {
        char text[CRL_HTTP_DATE_MAX];

        ck_assert_str_eq(http_date(dates[_i].t, text), dates[_i].text);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("crl-health");
        TCase *judged = tcase_create("judged"), *said = tcase_create("said");

        tcase_add_loop_test(judged, a_crl_is_judged_by_what_is_left_of_it, 0, ARRAY_SIZE(rows));
        tcase_add_test(judged, a_long_failure_fits_the_sentence);
        tcase_add_loop_test(said, dates_are_as_http_wants_them, 0, ARRAY_SIZE(dates));
        suite_add_tcase(suite, judged);
        suite_add_tcase(suite, said);
        return unit_main(suite);
}
