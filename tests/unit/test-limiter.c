/*
 * The limiter of wrong guesses: what one source may do, what it may not do to others, and that it forgets rather than grows.
 */
#include "daemon/authority/limiter.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/macros.h"
#include "tests/unit/unit.h"

#define START_MS 1000000
#define INTERVAL_MS(name) (60 * 1000 / name##_PER_MINUTE)

static struct limiter *limiter;

static void set_up(void) {
        limiter = limiter_new(&limiter_tokens);
        ck_assert_ptr_nonnull(limiter);
}

static void tear_down(void) {
        limiter = limiter_free(limiter);
}

/* A wrong guess, if it may be made. Return: whether it might */
static bool guess(const char *text, int64_t now_ms) {
        struct limiter_source source = limiter_source(text);
        struct error err = { 0 };

        if (limiter_admit(limiter, &source, now_ms, &err) < 0) {
                ck_assert_int_eq(err.code, ERR_TOO_MANY_REQUESTS);
                return false;
        }
        (void) limiter_wrong(limiter, &source, now_ms);
        return true;
}

static bool may_guess(const char *text, int64_t now_ms) {
        struct limiter_source source = limiter_source(text);
        struct error err = { 0 };

        return limiter_admit(limiter, &source, now_ms, &err) == 0;
}

static int guess_until_refused(const char *text, int64_t now_ms) {
        int count = 0;

        while (guess(text, now_ms))
                ck_assert_int_lt(count++, 100000);
        return count;
}

/* ---- who is one source ---- */

static const struct {
        const char *why, *a, *b;
        bool same, same_network;
} pairs[] = {
        { "a user, whatever the process", "uid:1000 pid:4711", "uid:1000 pid:1", true, false },
        { "two users", "uid:1000 pid:4711", "uid:1001 pid:4711", false, false },
        { "a user whose number begins with another's", "uid:100 pid:1", "uid:1000 pid:1", false,
          false },
        { "an address, whatever the port", "192.0.2.1:80", "192.0.2.1:8080", true, false },
        { "an address without a port", "192.0.2.1", "192.0.2.1:8080", true, false },
        { "two addresses", "192.0.2.1:80", "192.0.2.2:80", false, false },
        { "an IPv6 address", "[2001:db8::1]:80", "[2001:db8::1]:81", true, true },
        { "an IPv6 address without a port", "2001:db8::1", "[2001:db8::1]:81", true, true },
        { "one written in two ways", "[2001:db8:0:0:0:0:0:1]:80", "[2001:db8::1]:80", true, true },
        { "two of a /64", "[2001:db8::1]:80", "[2001:db8::2]:80", false, true },
        { "its first and its last", "[2001:db8::]:80", "[2001:db8::ffff:ffff:ffff:ffff]:80", false,
          true },
        { "two /64s", "[2001:db8::1]:80", "[2001:db8:0:1::1]:80", false, false },
        { "the zone does not count", "[fe80::1%eth0]:80", "[fe80::1%eth1]:80", true, true },
        { "IPv4 in IPv6 is IPv4", "[::ffff:192.0.2.1]:80", "192.0.2.1:80", true, false },
        { "what is no address is itself", "unknown", "unknown", true, false },
        { "and nothing else", "unknown", "unix", false, false },
        { "a uid is no address", "uid:1", "0.0.0.1:1", false, false },
};

static bool equal(const struct limiter_key *a, const struct limiter_key *b) {
        return a->kind == b->kind && memcmp(a->octets, b->octets, sizeof(a->octets)) == 0;
}

START_TEST(a_source_is_a_user_or_an_address) {
        struct limiter_source a = limiter_source(pairs[_i].a), b = limiter_source(pairs[_i].b);
        bool network = a.network.kind == LIMITER_NETWORK && equal(&a.network, &b.network);

        ck_assert_msg(a.self.kind != LIMITER_NOTHING, "%s", pairs[_i].why);
        ck_assert_msg(equal(&a.self, &b.self) == pairs[_i].same, "%s", pairs[_i].why);
        ck_assert_msg(network == pairs[_i].same_network, "%s: network", pairs[_i].why);
}
END_TEST

/* ---- one source ---- */

START_TEST(a_source_has_its_burst_and_then_one_an_interval) {
        int64_t now = START_MS;

        ck_assert_int_eq(guess_until_refused("192.0.2.1:80", now), LIMITER_SOURCE_BURST);
        ck_assert(!guess("192.0.2.1:80", now + INTERVAL_MS(LIMITER_SOURCE) - 1));
        now += INTERVAL_MS(LIMITER_SOURCE);
        ck_assert(guess("192.0.2.1:80", now));
        ck_assert(!guess("192.0.2.1:80", now));
        now += INT64_C(1000) * INTERVAL_MS(LIMITER_SOURCE);
        ck_assert_int_eq(guess_until_refused("192.0.2.1:80", now), LIMITER_SOURCE_BURST);
}
END_TEST

START_TEST(a_refusal_says_when_to_come_back_and_is_true) {
        struct limiter_source source = limiter_source("192.0.2.1:80");
        struct error err = { 0 };
        char said[32];

        (void) guess_until_refused("192.0.2.1:80", START_MS);
        ck_refused(limiter_admit(limiter, &source, START_MS, &err), err, ERR_TOO_MANY_REQUESTS);
        (void) snprintf(said, sizeof(said), "in %d s", INTERVAL_MS(LIMITER_SOURCE) / 1000);
        ck_assert_msg(strstr(err.text, said), "%s", err.text);
        ck_assert(may_guess("192.0.2.1:80", START_MS + INTERVAL_MS(LIMITER_SOURCE)));
}
END_TEST

START_TEST(who_guesses_right_is_never_counted) {
        for (int i = 0; i < 1000; i++)
                ck_assert(may_guess("192.0.2.1:80", START_MS));
}
END_TEST

/* ---- others ---- */

START_TEST(one_source_shuts_out_no_other) {
        for (int i = 0; i < 1000; i++)
                (void) guess("192.0.2.1:80", START_MS);
        ck_assert(!guess("192.0.2.1:80", START_MS));
        ck_assert(guess("192.0.2.2:80", START_MS));
        ck_assert(guess("[2001:db8::1]:80", START_MS));
        ck_assert(guess("uid:1000 pid:1", START_MS));
}
END_TEST

static const char *address(unsigned n) {
        static char text[32];

        (void) snprintf(text, sizeof(text), "10.%u.%u.%u:80", n >> 16 & 255, n >> 8 & 255, n & 255);
        return text;
}

START_TEST(those_who_guess_again_leave_a_part_for_those_who_have_not) {
        int count = 0;

        for (unsigned n = 0; n < LIMITER_ALL_BURST; n++) { /* two each */
                count += guess(address(n), START_MS);
                count += guess(address(n), START_MS);
        }
        ck_assert_int_eq(count, LIMITER_ALL_BURST);
        ck_assert(!may_guess(address(100000), START_MS));
        /* all is heard again when it has drained a little: first of all, those who have not guessed */
        ck_assert(may_guess(address(100000), START_MS + INTERVAL_MS(LIMITER_ALL)));
        ck_assert(!may_guess(address(0), START_MS + INTERVAL_MS(LIMITER_ALL)));
}
END_TEST

START_TEST(few_who_guess_again_and_again_do_not_reach_the_budget_of_all) {
        int count = 0;

        for (unsigned n = 0; n < 4; n++)
                count += guess_until_refused(address(n), START_MS);
        ck_assert_int_le(count, LIMITER_ALL_BURST - LIMITER_ALL_BURST / 3 + 40);
        ck_assert(guess(address(1000), START_MS));
}
END_TEST

static const char *neighbour(unsigned n) {
        static char text[48];

        (void) snprintf(text, sizeof(text), "[2001:db8::%x:%x]:80", n >> 16, n & 0xffff);
        return text;
}

START_TEST(the_addresses_of_a_network_have_a_budget_together) {
        int count = 0;

        for (unsigned n = 1; n < 1000; n++)
                count += guess(neighbour(n), START_MS);
        ck_assert_int_eq(count, LIMITER_NETWORK_BURST);
        ck_assert(guess("[2001:db8:0:1::1]:80", START_MS));
        ck_assert(guess("192.0.2.1:80", START_MS));
}
END_TEST

START_TEST(a_few_of_a_network_leave_a_part_for_the_rest_of_it) {
        for (unsigned n = 1; n < 20; n++)
                (void) guess_until_refused(neighbour(n), START_MS);
        ck_assert(may_guess(neighbour(100), START_MS));
        ck_assert(!may_guess(neighbour(1), START_MS));
}
END_TEST

/* ---- bounds ---- */

START_TEST(a_flood_of_sources_is_forgotten_and_bounded) {
        int64_t now = START_MS;
        int count = 0;

        for (unsigned n = 0; n < 100 * LIMITER_SOURCES; n++)
                count += guess(address(n), now += 1);
        ck_assert_int_le(count,
                         LIMITER_ALL_BURST +
                                 (int) (100 * LIMITER_SOURCES / INTERVAL_MS(LIMITER_ALL)) + 1);
        now += 60 * 60 * 1000;
        ck_assert_int_eq(guess_until_refused("192.0.2.1:80", now), LIMITER_SOURCE_BURST);
}
END_TEST

START_TEST(wrong_guesses_are_reported_once_a_minute_and_none_is_lost) {
        struct limiter_source source = limiter_source("192.0.2.1:80");

        ck_assert_uint_eq(limiter_wrong(limiter, &source, START_MS), 1);
        for (int i = 0; i < 5; i++)
                ck_assert_uint_eq(limiter_wrong(limiter, &source, START_MS + i), 0);
        ck_assert_uint_eq(limiter_wrong(limiter, &source, START_MS + LIMITER_REPORT_MS), 6);
}
END_TEST

static void *guess_often(void *unused) {
        (void) unused;
        for (int i = 0; i < 1000; i++)
                (void) guess("192.0.2.1:80", START_MS);
        return NULL;
}

START_TEST(threads_share_one_budget) {
        pthread_t threads[8];

        for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
                ck_assert_int_eq(pthread_create(&threads[i], NULL, guess_often, NULL), 0);
        for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
                ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert(!may_guess("192.0.2.1:80", START_MS));
        /* a guess a thread may have passed beyond the budget */
        ck_assert(may_guess(
                "192.0.2.1:80",
                START_MS + (int64_t) (1 + ARRAY_SIZE(threads)) * INTERVAL_MS(LIMITER_SOURCE)));
}
END_TEST

/* ---- pairing codes: docs/decisions/0010-pairing-codes.md ---- */

START_TEST(in_the_life_of_a_code_too_few_guesses_come_in_to_meet_one) {
        const int64_t life_ms = 10 * 60 * 1000, step_ms = 200;
        const double codes = 20, of = 1099511627776.0; /* 2^40 */
        int64_t guesses = 0;

        limiter = limiter_free(limiter);
        limiter = limiter_new(&limiter_pairing);
        /* from more addresses than a LAN has, each as often as it is let */
        for (int64_t t = 0; t < life_ms; t += step_ms)
                for (unsigned n = 0; n < 4; n++)
                        guesses += guess(address((unsigned) (t / step_ms) * 4 + n), START_MS + t);
        ck_assert_int_ge(guesses, 10 * LIMITER_PAIRING_ALL_PER_MINUTE);
        ck_assert_int_le(guesses, LIMITER_PAIRING_ALL_BURST + 10 * LIMITER_PAIRING_ALL_PER_MINUTE);
        ck_assert(codes * (double) guesses / of < 1e-7);
}
END_TEST

START_TEST(one_that_guesses_at_codes_shuts_out_no_other) {
        limiter = limiter_free(limiter);
        limiter = limiter_new(&limiter_pairing);
        ck_assert_int_eq(guess_until_refused("192.0.2.1:80", START_MS),
                         LIMITER_PAIRING_SOURCE_BURST);
        ck_assert(guess("192.0.2.2:80", START_MS));
        ck_assert(guess("uid:1000 pid:1", START_MS));
}
END_TEST

START_TEST(many_that_guess_at_codes_leave_a_part_for_those_who_have_not) {
        limiter = limiter_free(limiter);
        limiter = limiter_new(&limiter_pairing);
        for (unsigned n = 0; n < LIMITER_PAIRING_ALL_BURST / LIMITER_PAIRING_SOURCE_BURST; n++)
                (void) guess_until_refused(address(n), START_MS);
        ck_assert(!may_guess(address(0), START_MS));
        ck_assert(may_guess(address(1000), START_MS));
}
END_TEST

START_TEST(the_addresses_of_a_network_guess_at_codes_together) {
        int count = 0;

        limiter = limiter_free(limiter);
        limiter = limiter_new(&limiter_pairing);
        for (unsigned n = 1; n < 1000; n++)
                count += guess(neighbour(n), START_MS);
        ck_assert_int_eq(count, LIMITER_PAIRING_NETWORK_BURST);
        ck_assert(guess("[2001:db8:0:1::1]:80", START_MS));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("limiter");
        TCase *tc = tcase_create("limiter");

        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_add_loop_test(tc, a_source_is_a_user_or_an_address, 0, ARRAY_SIZE(pairs));
        tcase_add_test(tc, a_source_has_its_burst_and_then_one_an_interval);
        tcase_add_test(tc, a_refusal_says_when_to_come_back_and_is_true);
        tcase_add_test(tc, who_guesses_right_is_never_counted);
        tcase_add_test(tc, one_source_shuts_out_no_other);
        tcase_add_test(tc, those_who_guess_again_leave_a_part_for_those_who_have_not);
        tcase_add_test(tc, few_who_guess_again_and_again_do_not_reach_the_budget_of_all);
        tcase_add_test(tc, the_addresses_of_a_network_have_a_budget_together);
        tcase_add_test(tc, a_few_of_a_network_leave_a_part_for_the_rest_of_it);
        tcase_add_test(tc, a_flood_of_sources_is_forgotten_and_bounded);
        tcase_add_test(tc, wrong_guesses_are_reported_once_a_minute_and_none_is_lost);
        tcase_add_test(tc, threads_share_one_budget);
        tcase_add_test(tc, in_the_life_of_a_code_too_few_guesses_come_in_to_meet_one);
        tcase_add_test(tc, one_that_guesses_at_codes_shuts_out_no_other);
        tcase_add_test(tc, many_that_guess_at_codes_leave_a_part_for_those_who_have_not);
        tcase_add_test(tc, the_addresses_of_a_network_guess_at_codes_together);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
