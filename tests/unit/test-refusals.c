/*
 * Refusals: a line or two a source and a minute, whatever comes.
 */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "daemon/http/refusals.h"
#include "lib/base/log.h"

#define MINUTE INT64_C(60000)

static struct refusals *refusals;
static unsigned lines;
static char last[1024], last_peer[128];

static void keep(enum log_level level, const char *text, const struct log_field *fields,
                 size_t count) {
        ck_assert_int_eq(level, LOG_LEVEL_NOTICE);
        lines++;
        (void) snprintf(last, sizeof(last), "%s", text);
        for (size_t i = 0; i < count; i++)
                if (strcmp(fields[i].name, "CAD_PEER") == 0)
                        (void) snprintf(last_peer, sizeof(last_peer), "%s", fields[i].value);
}

static void set_up(void) {
        log_set_sink(keep);
        lines = 0;
        refusals = refusals_new();
        ck_assert_ptr_nonnull(refusals);
}

static void tear_down(void) {
        refusals = refusals_free(refusals);
        ck_assert_ptr_null(refusals);
        log_set_sink(NULL);
}

static void note(const char *peer, const char *text, int64_t now_ms) {
        struct error err = { 0 };

        (void) error_set(&err, ERR_UNAUTHENTICATED, "%s", text);
        refusals_note(refusals, peer, "0123456789abcdef", &err, now_ms);
}

static const struct {
        const char *peer, *source;
} peers[] = {
        { "192.0.2.1:4711", "192.0.2.1" },
        { "[fe80::1%eth0]:4711", "fe80::1%eth0" },
        { "[::1]:1", "::1" },
        { "uid:1000 pid:4711", "uid:1000" },
        { "uid:1000", "uid:1000" },
        { "unix", "unix" },
        { "unknown", "unknown" },
        { "[", "" },
        { "", "" },
};

START_TEST(a_source_is_a_peer_without_port_or_pid) {
        char source[REFUSAL_SOURCE_MAX];

        refusal_source(peers[_i].peer, source);
        ck_assert_str_eq(source, peers[_i].source);
}
END_TEST

START_TEST(the_first_is_told_at_once_and_the_rest_in_one_line) {
        for (int i = 0; i < 1000; i++) {
                char peer[32];

                (void) snprintf(peer, sizeof(peer), "192.0.2.1:%d", i + 1);
                note(peer, i == 999 ? "the last one" : "no token", 1000 + i);
        }
        ck_assert_uint_eq(lines, 1);
        ck_assert_str_eq(last, "refused 192.0.2.1: no token");
        ck_assert_str_eq(last_peer, "192.0.2.1");
        refusals_sweep(refusals, 1000 + MINUTE - 1);
        ck_assert_uint_eq(lines, 1);
        refusals_sweep(refusals, 1000 + MINUTE);
        ck_assert_uint_eq(lines, 2);
        ck_assert_str_eq(
                last, "refused 192.0.2.1 999 more times within a minute, the last: the last one");
        refusals_sweep(refusals, 1000 + 2 * MINUTE);
        ck_assert_uint_eq(lines, 2);
}
END_TEST

START_TEST(one_alone_is_told_once) {
        note("192.0.2.1:1", "no token", 0);
        refusals_sweep(refusals, 5 * MINUTE);
        ck_assert_uint_eq(lines, 1);
}
END_TEST

START_TEST(after_a_minute_it_is_told_anew) {
        note("uid:7 pid:1", "a", 0);
        note("uid:7 pid:2", "b", 1);
        note("uid:7 pid:3", "c", MINUTE);
        ck_assert_uint_eq(lines, 3); /* the first, the sum, the first of the next minute */
        ck_assert_str_eq(last, "refused uid:7: c");
}
END_TEST

START_TEST(a_flood_from_everywhere_stays_short) {
        char peer[32];

        for (int i = 0; i < 100000; i++) {
                (void) snprintf(peer, sizeof(peer), "10.%d.%d.%d:99", i >> 16 & 255, i >> 8 & 255,
                                i & 255);
                note(peer, "no", 5);
        }
        ck_assert_uint_eq(lines, REFUSAL_SOURCES_MAX + 1);
        ck_assert_str_eq(last_peer, "many others");
        refusals_sweep(refusals, 5 + MINUTE);
        ck_assert_uint_eq(lines, REFUSAL_SOURCES_MAX + 2);
        (void) snprintf(peer, sizeof(peer), "many others %d more",
                        100000 - REFUSAL_SOURCES_MAX - 1);
        ck_assert_ptr_nonnull(strstr(last, peer));
        note("192.0.2.1:1", "room again", 5 + MINUTE);
        ck_assert_str_eq(last_peer, "192.0.2.1");
}
END_TEST

START_TEST(what_was_counted_is_told_at_the_end) {
        note("192.0.2.1:1", "a", 0);
        note("192.0.2.1:2", "b", 1);
        refusals = refusals_free(refusals);
        ck_assert_uint_eq(lines, 2);
        ck_assert_str_eq(last, "refused 192.0.2.1 1 more time within a minute, the last: b");
}
END_TEST

int main(void) {
        Suite *suite = suite_create("refusals");
        TCase *tc = tcase_create("refusals");

        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_add_loop_test(tc, a_source_is_a_peer_without_port_or_pid, 0, ARRAY_SIZE(peers));
        tcase_add_test(tc, the_first_is_told_at_once_and_the_rest_in_one_line);
        tcase_add_test(tc, one_alone_is_told_once);
        tcase_add_test(tc, after_a_minute_it_is_told_anew);
        tcase_add_test(tc, a_flood_from_everywhere_stays_short);
        tcase_add_test(tc, what_was_counted_is_told_at_the_end);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
