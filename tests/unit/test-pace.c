/*
 * How often one identity may act on its own certificate, however many keys it has, and without anybody else waiting for it.
 */
#include "daemon/authority/pace.h"

#include <stdio.h>

#include "tests/unit/unit.h"

static int take(struct pace *p, const char *profile, const char *name, int64_t now_ms) {
        const char *names[] = { name };
        struct cert_row row = { .profile = profile, .names = names, .name_count = 1 };
        struct error err = { 0 };
        int rc = pace_take(p, &row, now_ms, &err);

        if (rc < 0)
                ck_assert_int_eq(err.code, ERR_TOO_MANY_REQUESTS);
        return rc;
}

static int burst(struct pace *p, const char *profile, const char *name, int64_t now_ms) {
        int taken = 0;

        while (taken < 1000 && take(p, profile, name, now_ms) == 0)
                taken++;
        return taken;
}

START_TEST(a_burst_is_let_through_and_then_one_in_a_while) {
        CAD_AUTO(pace_free) struct pace *p = pace_new();
        int64_t now = 1000;

        ck_assert_int_eq(burst(p, "device", "a.lan", now), PACE_BURST);
        ck_assert_int_eq(take(p, "device", "a.lan", now + PACE_EACH_MS - 1), -1);
        ck_assert_int_eq(take(p, "device", "a.lan", now + PACE_EACH_MS), 0);
        ck_assert_int_eq(take(p, "device", "a.lan", now + PACE_EACH_MS), -1);
        ck_assert_int_eq(burst(p, "device", "a.lan", now + (int64_t) 100 * PACE_EACH_MS),
                         PACE_BURST);
}
END_TEST

START_TEST(a_refusal_costs_nothing) {
        CAD_AUTO(pace_free) struct pace *p = pace_new();

        ck_assert_int_eq(burst(p, "device", "a.lan", 0), PACE_BURST);
        for (int i = 0; i < 1000; i++)
                ck_assert_int_eq(take(p, "device", "a.lan", 1), -1);
        ck_assert_int_eq(take(p, "device", "a.lan", PACE_EACH_MS), 0);
}
END_TEST

START_TEST(others_do_not_wait) {
        CAD_AUTO(pace_free) struct pace *p = pace_new();
        char name[32];

        ck_assert_int_eq(burst(p, "device", "a.lan", 0), PACE_BURST);
        ck_assert_int_eq(take(p, "server", "a.lan", 0), 0);
        for (int i = 0; i < 1000; i++) { /* a fleet, all in one minute */
                (void) snprintf(name, sizeof(name), "d%d.lan", i);
                ck_assert_int_eq(take(p, "device", name, 10 * i), 0);
        }
}
END_TEST

START_TEST(a_crowd_pushes_out_those_who_owe_least) {
        CAD_AUTO(pace_free) struct pace *p = pace_new();
        char name[32];

        ck_assert_int_eq(burst(p, "device", "greedy.lan", 0), PACE_BURST);
        for (int i = 0; i < 2 * PACE_IDENTITIES; i++) {
                (void) snprintf(name, sizeof(name), "d%d.lan", i);
                ck_assert_int_eq(take(p, "device", name, 1), 0);
        }
        ck_assert_int_eq(take(p, "device", "greedy.lan", 1), -1);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("pace");
        TCase *tc = tcase_create("pace");

        tcase_add_test(tc, a_burst_is_let_through_and_then_one_in_a_while);
        tcase_add_test(tc, a_refusal_costs_nothing);
        tcase_add_test(tc, others_do_not_wait);
        tcase_add_test(tc, a_crowd_pushes_out_those_who_owe_least);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
