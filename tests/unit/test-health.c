/*
 * Health: a row a check, the gravest of them counts, and what ends first is told. The signer is played.
 */
#include "authority-fixture.h"

#include <pthread.h>

#include "daemon/authority/health.h"
#include "daemon/authority/internal.h"
#include "lib/base/log.h"

#define YEAR (365 * DAY)

static struct {
        pthread_t thread;
        int fd;
        struct sign_status status;
} fake;
static struct authority *authority;

static void *fake_thread(void *unused) {
        static uint8_t frame[SIGNER_FRAME_MAX], answer[SIGNER_FRAME_MAX];
        struct frame_reader fields;
        struct signer_header header;

        (void) unused;
        while (fake_receive(fake.fd, -1, frame, &header, &fields))
                if (header.type == SIGNER_STATUS)
                        fake_send(fake.fd, sign_status_encode(answer, header.id, &fake.status));
                else if (header.type == SIGNER_ANCHOR)
                        fake_error(fake.fd, header.id, ERR_IO, "", "the disk is full");
        return NULL;
}

static void no_log(enum log_level level, const char *text, const struct log_field *fields,
                   size_t count) {
        (void) level, (void) text, (void) fields, (void) count;
}

static void set_up(void) {
        struct error err = { 0 };

        log_set_sink(no_log);
        memset(&fake, 0, sizeof(fake));
        issued_setup();
        authority = authority_attached(&fake.fd);
        ck_ok(authority_open_store(authority, scratch.fd, 0, &err), err);
}

static void answer_status(void) {
        ck_assert_int_eq(pthread_create(&fake.thread, NULL, fake_thread, NULL), 0);
}

static void tear_down(void) {
        (void) shutdown(fake.fd, SHUT_RDWR);
        if (fake.thread)
                ck_assert_int_eq(pthread_join(fake.thread, NULL), 0);
        fake.fd = fd_close(fake.fd);
        authority = authority_free(authority);
        issued_teardown();
}

static const struct health_check *find(const struct health *health, const char *name) {
        for (size_t i = 0; i < health->count; i++)
                if (strcmp(health->checks[i].name, name) == 0)
                        return &health->checks[i];
        ck_abort_msg("there is no check %s", name);
        return NULL;
}

/* ---- the signer ---- */

static const struct {
        const char *why;
        struct sign_status status;
        const char *check;
        enum health_state state;
        const char *says;
} signers[] = {
        { "all is well", { .issued = 7 }, "signer", HEALTH_OK, "answers" },
        { "no limit", { .last_hour = 100000 }, "signer", HEALTH_OK, "answers" },
        { "one below its limit",
          { .last_hour = 9, .per_hour = 10 },
          "signer",
          HEALTH_OK,
          "answers" },
        { "at its limit",
          { .last_hour = 10, .per_hour = 10 },
          "signer",
          HEALTH_FAILING,
          "the limit of 10" },
        { "a good clock", { .issued = 7 }, "clock", HEALTH_OK, "plausible" },
        { "a clock that cannot be right",
          { .clock = "it says 1970" },
          "clock",
          HEALTH_FAILING,
          "it says 1970" },
        { "a log that is written", { .issued = 7 }, "signer_log", HEALTH_OK, "written" },
        { "a log that cannot be written",
          { .log = "the disk is full" },
          "signer_log",
          HEALTH_FAILING,
          "the disk is full" },
};

START_TEST(what_the_signer_says_is_judged) {
        const struct health_check *check;
        struct health health;

        fake.status = signers[_i].status;
        answer_status();
        authority_health(authority, moment_now(), &health);
        check = find(&health, signers[_i].check);
        ck_assert_msg(check->state == signers[_i].state, "%s: %s", signers[_i].why, check->detail);
        ck_assert_msg(strstr(check->detail, signers[_i].says) != NULL, "%s: %s", signers[_i].why,
                      check->detail);
        ck_assert_msg((health.state == HEALTH_FAILING) == (check->state == HEALTH_FAILING), "%s",
                      signers[_i].why);
}
END_TEST

START_TEST(a_signer_that_does_not_answer_is_a_failure) {
        struct health health;

        authority_health(authority, moment_now(), &health);
        ck_assert_int_eq(find(&health, "signer")->state, HEALTH_FAILING);
        ck_assert_int_eq(health.state, HEALTH_FAILING);
}
END_TEST

/* What nobody has anchored could be cut off unseen. */
START_TEST(an_audit_that_cannot_be_anchored_is_a_failure) {
        struct health health;

        answer_status();
        audit_system(authority, "daemon.start", NULL, NULL, NULL);
        audit_flush(authority);
        authority_health(authority, moment_now(), &health);
        ck_assert_int_eq(find(&health, "audit")->state, HEALTH_FAILING);
        ck_assert(strstr(find(&health, "audit")->detail, "the disk is full") != NULL);
        ck_assert_int_eq(health.state, HEALTH_FAILING);
}
END_TEST

/* ---- what ends ---- */

static const struct {
        const char *why;
        int64_t left_s; /* of the active intermediate */
        enum health_state state;
} ends[] = {
        { "years", 2 * YEAR, HEALTH_OK },
        { "180 days", 180 * DAY, HEALTH_OK },
        { "a second less: it is time to change over", 180 * DAY - 1, HEALTH_WARNING },
        { "its last second", 0, HEALTH_WARNING },
        { "over", -1, HEALTH_FAILING },
};

START_TEST(a_ca_certificate_that_ends_is_told_in_time) {
        int64_t until = ca->issuers[0].cert.validity.not_after;
        struct health health;

        answer_status();
        authority_health(authority, until - ends[_i].left_s, &health);
        ck_assert_msg(find(&health, "issuer")->state == ends[_i].state, "%s", ends[_i].why);
        ck_assert_int_eq(find(&health, "root")->state, HEALTH_OK);
        ck_assert_int_eq(health.expires, until);
        ck_assert(strstr(health.expires_text,
                         ends[_i].left_s < 0 ? "int-1 has expired" : "int-1 expires") != NULL);
}
END_TEST

START_TEST(so_is_the_root) {
        int64_t until = ca->root.validity.not_after;
        struct health health;

        answer_status();
        authority_health(authority, until - 179 * DAY, &health);
        ck_assert_int_eq(find(&health, "root")->state, HEALTH_WARNING);
        authority_health(authority, until + 1, &health);
        ck_assert_int_eq(find(&health, "root")->state, HEALTH_FAILING);
}
END_TEST

/* ---- what others watch ---- */

static enum health_state is_old(void *context, int64_t now, struct buffer *detail) {
        (void) now;
        buffer_text(detail, context);
        return HEALTH_WARNING;
}

static enum health_state is_gone(void *context, int64_t now, struct buffer *detail) {
        (void) is_old(context, now, detail);
        return HEALTH_FAILING;
}

START_TEST(the_gravest_counts_whoever_found_it) {
        const struct health_source first = { "first", is_gone, (void *) (uintptr_t) "it is gone" },
                                   second = { "second", is_old, (void *) (uintptr_t) "it is old" };
        struct health health;

        answer_status();
        authority_add_health(authority, &first);
        authority_add_health(authority, &second);
        authority_health(authority, moment_now(), &health);
        ck_assert_int_eq(health.state, HEALTH_FAILING);
        ck_assert_int_eq(find(&health, "first")->state, HEALTH_FAILING);
        ck_assert_int_eq(find(&health, "second")->state, HEALTH_WARNING);
        ck_assert_str_eq(find(&health, "second")->detail, "it is old");
        ck_assert_int_eq(find(&health, "store")->state, HEALTH_OK);
        ck_assert_int_eq(find(&health, "audit")->state, HEALTH_OK);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("health");
        TCase *tc = tcase_create("health");

        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_add_loop_test(tc, what_the_signer_says_is_judged, 0, ARRAY_SIZE(signers));
        tcase_add_test(tc, a_signer_that_does_not_answer_is_a_failure);
        tcase_add_test(tc, an_audit_that_cannot_be_anchored_is_a_failure);
        tcase_add_loop_test(tc, a_ca_certificate_that_ends_is_told_in_time, 0, ARRAY_SIZE(ends));
        tcase_add_test(tc, so_is_the_root);
        tcase_add_test(tc, the_gravest_counts_whoever_found_it);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
