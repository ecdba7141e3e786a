/*
 * Alerts: when somebody is told, and the words of the command.
 */
#include "daemon/alert.h"

#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "daemon/authority/authority.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/pki/profile.h"
#include "tests/unit/folder-fixture.h"

#define DAY INT64_C(86400)
#define START_MS INT64_C(1000000)

/* Look every five seconds from @from_ms on until something is to be told, for @for_ms at most. Return: when, or -1 */
static int64_t until_told(struct alert_state *s, bool failing, unsigned stage, int64_t from_ms,
                          int64_t for_ms, enum alert_kind expected) {
        for (int64_t t = from_ms; t <= from_ms + for_ms; t += ALERT_LOOK_MS) {
                enum alert_kind kind = alert_look(s, failing, stage, t);

                if (kind == ALERT_NONE)
                        continue;
                ck_assert_int_eq(kind, expected);
                return t;
        }
        return -1;
}

START_TEST(nobody_is_told_while_all_is_well) {
        struct alert_state s = { 0 };

        ck_assert_int_eq(until_told(&s, false, 0, START_MS, 3 * ALERT_AGAIN_MS, ALERT_NONE), -1);
}
END_TEST

START_TEST(a_failure_is_told_once_it_lasts) {
        struct alert_state s = { 0 };

        ck_assert_int_eq(alert_look(&s, false, 0, START_MS), ALERT_NONE);
        ck_assert_int_eq(until_told(&s, true, 0, START_MS + 5000, 60000, ALERT_FAILING),
                         START_MS + 5000 + ALERT_SETTLE_MS);
}
END_TEST

START_TEST(a_short_one_is_not) {
        struct alert_state s = { 0 };

        ck_assert_int_eq(until_told(&s, true, 0, START_MS, ALERT_SETTLE_MS - 1, ALERT_NONE), -1);
        ck_assert_int_eq(until_told(&s, false, 0, START_MS + ALERT_SETTLE_MS, ALERT_AGAIN_MS,
                                    ALERT_NONE),
                         -1);
}
END_TEST

START_TEST(it_is_told_daily_and_when_it_is_over) {
        struct alert_state s = { 0 };
        int64_t t = until_told(&s, true, 0, START_MS, 60000, ALERT_FAILING), again;

        alert_ran(&s, ALERT_FAILING, 0, true, t);
        again = until_told(&s, true, 0, t, 2 * ALERT_AGAIN_MS, ALERT_FAILING);
        ck_assert_int_eq(again - t, ALERT_AGAIN_MS);
        alert_ran(&s, ALERT_FAILING, 0, true, again);
        t = until_told(&s, false, 0, again + 1000, ALERT_AGAIN_MS, ALERT_OK);
        ck_assert_int_ge(t - again, ALERT_REST_MS);
        ck_assert_int_le(t - again, ALERT_REST_MS + ALERT_LOOK_MS + 1000);
        alert_ran(&s, ALERT_OK, 0, true, t);
        ck_assert_int_eq(until_told(&s, false, 0, t, 3 * ALERT_AGAIN_MS, ALERT_NONE), -1);
}
END_TEST

START_TEST(what_comes_and_goes_is_told_once_a_minute_at_most) {
        struct alert_state s = { 0 };
        int64_t last = 0;
        int told = 0;

        for (int64_t t = START_MS; t < START_MS + 3600000; t += ALERT_LOOK_MS) {
                bool failing = t / 15000 % 2;
                enum alert_kind kind = alert_look(&s, failing, 0, t);

                if (kind == ALERT_NONE)
                        continue;
                ck_assert(!last || t - last >= ALERT_REST_MS);
                alert_ran(&s, kind, 0, true, t);
                last = t;
                told++;
        }
        ck_assert_int_gt(told, 0);
        ck_assert_int_le(told, 60);
}
END_TEST

START_TEST(a_command_that_fails_is_run_three_times) {
        struct alert_state s = { 0 };
        int64_t t = START_MS;

        for (int i = 0; i < ALERT_TRIES_MAX; i++) {
                t = until_told(&s, true, 0, t, 120000, ALERT_FAILING);
                ck_assert_int_gt(t, 0);
                alert_ran(&s, ALERT_FAILING, 0, false, t);
        }
        ck_assert_int_eq(until_told(&s, true, 0, t, ALERT_AGAIN_MS - 10000, ALERT_NONE), -1);
        ck_assert_int_gt(until_told(&s, true, 0, t + ALERT_AGAIN_MS, 60000, ALERT_FAILING), 0);
}
END_TEST

static const struct {
        const char *why;
        int64_t left_s;
        unsigned stage;
} stages[] = {
        { "far", 31 * DAY, 0 },         { "exactly 30 days", 30 * DAY, 0 },
        { "30 days", 30 * DAY - 1, 1 }, { "14 days", 14 * DAY - 1, 2 },
        { "7 days", 7 * DAY - 1, 3 },   { "1 day", DAY - 1, 4 },
        { "its last second", 0, 4 },    { "over", -1, 5 },
};

START_TEST(an_end_comes_closer_in_stages) {
        ck_assert_msg(alert_stage(1800000000 + stages[_i].left_s, 1800000000) == stages[_i].stage,
                      "%s", stages[_i].why);
}
END_TEST

START_TEST(each_stage_is_told_once_and_a_renewal_begins_anew) {
        struct alert_state s = { 0 };
        int64_t t = START_MS;

        for (unsigned stage = 1; stage <= 5; stage++) {
                t = until_told(&s, false, stage, t, 120000, ALERT_EXPIRING);
                ck_assert_int_gt(t, 0);
                alert_ran(&s, ALERT_EXPIRING, stage, true, t);
                ck_assert_int_eq(until_told(&s, false, stage, t, ALERT_AGAIN_MS, ALERT_NONE), -1);
                t += ALERT_AGAIN_MS;
        }
        ck_assert_int_eq(alert_look(&s, false, 0, t), ALERT_NONE);
        ck_assert_int_eq(until_told(&s, false, 1, t + 5000, 60000, ALERT_EXPIRING), t + 5000);
}
END_TEST

/* ---- words -------------------------------------------------------------------------------------------------- */

static const struct {
        const char *line;
        const char *words[6]; /* ends with NULL */
} good[] = {
        { "", { NULL } },
        { "  \t ", { NULL } },
        { "/bin/true", { "/bin/true" } },
        { "  /bin/a  b\tc ", { "/bin/a", "b", "c" } },
        { "/bin/a \"b c\" 'd e'", { "/bin/a", "b c", "d e" } },
        { "/bin/a --x=\"y z\"w", { "/bin/a", "--x=y zw" } },
        { "/bin/a '' \"\"", { "/bin/a", "", "" } },
        { "/bin/a b\\ c \\\"d '\\n'", { "/bin/a", "b c", "\"d", "\\n" } },
        { "/bin/a \"'\" '\"'", { "/bin/a", "'", "\"" } },
        { "/bin/a $HOME `x` ; | > y", { "/bin/a", "$HOME", "`x`", ";", "|" /* … */ } },
        { "/bin/a b\\", { "/bin/a", "b\\" } },
};

START_TEST(words_are_what_the_program_gets) {
        struct alert_words words;
        struct error err = { 0 };

        ck_ok(alert_words_parse(good[_i].line, &words, &err), err);
        for (size_t i = 0; i < 5 && good[_i].words[i]; i++) {
                ck_assert_uint_lt(i, words.count);
                ck_assert_str_eq(words.text + words.at[i], good[_i].words[i]);
        }
        if (!good[_i].words[0])
                ck_assert_uint_eq(words.count, 0);
}
END_TEST

static const char *const bad[] = { "true", "./x", "/bin/a \"b", "/bin/a 'b", "\"\"", "'' /bin/a" };

START_TEST(what_cannot_be_run_is_refused) {
        struct alert_words words;
        struct error err;

        ck_refused(alert_words_parse(bad[_i], &words, &err), err, ERR_CONFIG);
}
END_TEST

START_TEST(a_command_has_its_most) {
        char line[ALERT_COMMAND_MAX + 1];
        struct alert_words words;
        struct error err;

        memset(line, 'a', sizeof(line));
        line[0] = '/';
        line[ALERT_COMMAND_MAX] = '\0';
        ck_refused(alert_words_parse(line, &words, &err), err, ERR_CONFIG);
        line[ALERT_COMMAND_MAX - 1] = '\0';
        ck_ok(alert_words_parse(line, &words, &err), err);
        for (size_t i = 1; i < 2 * ALERT_WORDS_MAX; i += 2)
                line[i] = ' ';
        line[2 * ALERT_WORDS_MAX - 1] = '\0';
        ck_ok(alert_words_parse(line, &words, &err), err);
        ck_assert_uint_eq(words.count, ALERT_WORDS_MAX);
        line[2 * ALERT_WORDS_MAX - 1] = ' ';
        line[2 * ALERT_WORDS_MAX + 1] = '\0';
        ck_refused(alert_words_parse(line, &words, &err), err, ERR_CONFIG);
}
END_TEST

/* ---- running it, in a time of our own: the program's functions come before libc's ---- */

#define FASTER 50

static struct timespec began; /* 0: time is as it is */

static int64_t ns_of(const struct timespec *t) {
        return (int64_t) t->tv_sec * 1000000000 + t->tv_nsec;
}

static struct timespec since_began(int64_t ns) {
        ns += ns_of(&began);
        return (struct timespec){ .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
}

int clock_gettime(clockid_t id, struct timespec *ts) {
        int rc = (int) syscall(SYS_clock_gettime, id, ts);

        if (id == CLOCK_MONOTONIC && began.tv_sec)
                *ts = since_began((ns_of(ts) - ns_of(&began)) * FASTER);
        return rc;
}

int pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock,
                           const struct timespec *until) {
        struct timespec real = *until;

        if (began.tv_sec)
                real = since_began((ns_of(until) - ns_of(&began)) / FASTER);
        return pthread_cond_clockwait(cond, lock, CLOCK_MONOTONIC, &real);
}

static void no_log(enum log_level level, const char *text, const struct log_field *fields,
                   size_t count) {
        (void) level, (void) text, (void) fields, (void) count;
}

static size_t runs(int dir_fd) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct error err = { 0 };

        return file_read(dir_fd, "ran", FILE_PUBLIC, 4096, &text, &err) < 0 ? 0 : text.size / 2;
}

/* Else one that hangs would be the last: nobody would be told of anything any more. */
START_TEST(a_command_that_hangs_is_killed_and_run_again) {
        struct profile_set *profiles = NULL;
        struct authority *authority = NULL;
        struct alert *alert = NULL;
        char command[256];
        struct error err = { 0 };

        log_set_sink(no_log);
        folder_setup();
        (void) snprintf(command, sizeof(command),
                        "/bin/sh -c \"echo x >> '%s/ran'; sleep 20; exit 0\"", folder_path);
        ck_ok(profiles_load(-1, NULL, &profiles, &err), err);
        ck_ok(authority_new(profiles, access_list_new(), &authority, &err), err);
        (void) clock_gettime(CLOCK_MONOTONIC, &began);
        ck_ok(alert_start(authority, command, &alert, &err), err); /* without a signer all is red */
        for (int i = 0; runs(folder_fd) < 2; i++) {
                ck_assert_msg(i < 1000, "it was run %zu times", runs(folder_fd));
                (void) usleep(10000);
        }
        alert = alert_free(alert);
        authority = authority_free(authority);
        folder_teardown();
}
END_TEST

int main(void) {
        Suite *suite = suite_create("alert");
        TCase *when = tcase_create("when"), *words = tcase_create("words");

        tcase_add_test(when, nobody_is_told_while_all_is_well);
        tcase_add_test(when, a_failure_is_told_once_it_lasts);
        tcase_add_test(when, a_short_one_is_not);
        tcase_add_test(when, it_is_told_daily_and_when_it_is_over);
        tcase_add_test(when, what_comes_and_goes_is_told_once_a_minute_at_most);
        tcase_add_test(when, a_command_that_fails_is_run_three_times);
        tcase_add_loop_test(when, an_end_comes_closer_in_stages, 0, ARRAY_SIZE(stages));
        tcase_add_test(when, each_stage_is_told_once_and_a_renewal_begins_anew);
        tcase_add_loop_test(words, words_are_what_the_program_gets, 0, ARRAY_SIZE(good));
        tcase_add_loop_test(words, what_cannot_be_run_is_refused, 0, ARRAY_SIZE(bad));
        tcase_add_test(words, a_command_has_its_most);
        tcase_set_timeout(words, 30);
        tcase_add_test(words, a_command_that_hangs_is_killed_and_run_again);
        suite_add_tcase(suite, when);
        suite_add_tcase(suite, words);
        return unit_main(suite);
}
