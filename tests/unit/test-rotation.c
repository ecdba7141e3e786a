/*
 * Intermediates while the signer serves: what may be asked, what lies on disk after it, and what a cut-off try leaves.
 */
#include "signer-fixture.h"

#include <pthread.h>

#include "daemon/signer/rotation.h"

#define WAIT_S 20

static struct scratch scratch;

/* A host as serve.c is one; it remembers what it was told. */
static struct host {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        unsigned answers;
        struct error err;      /* of the last answer, ERR_NONE: it was CA_OK */
        struct ca *ca;         /* in use */
        enum error_code admit; /* ERR_NONE: it may */
        enum error_code probe;
        char line[512];
} host = {
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, { 0 }, NULL, ERR_NONE, ERR_NONE, ""
};

static int host_admit(void *context, const char *line, struct error *err) {
        (void) context;
        (void) snprintf(host.line, sizeof(host.line), "%s", line);
        return host.admit ? error_set(err, host.admit, "not now") : 0;
}

static int host_probe(void *context, const struct ca *ca, struct error *err) {
        CAD_AUTO(profiles_free) struct profile_set *profiles = NULL;

        (void) context;
        if (host.probe)
                return error_set(err, host.probe, "it does not verify");
        return profiles_load(-1, NULL, &profiles, err) < 0
                ? -1
                : ca_probe(ca, profiles, moment_now(), err);
}

static void host_use(void *context, struct ca *ca) {
        (void) context;
        host.ca = ca;
}

static struct bytes host_tell(void *context, uint32_t id, uint8_t *frame) {
        struct sign_hello hello;

        (void) context;
        ca_hello(host.ca, &hello);
        return sign_ca_encode(frame, id, &hello);
}

static void host_answer(void *context, struct bytes frame, int fd) {
        struct signer_header header;
        struct frame_reader fields;
        struct error unreadable = { 0 };

        (void) context;
        ck_assert_int_eq(fd, -1);
        (void) pthread_mutex_lock(&host.lock);
        host.err = (struct error){ 0 };
        if (frame_open(frame, &header, &fields, &unreadable) < 0)
                host.err.code = ERR_INTERNAL;
        else if (header.type == SIGNER_ERROR)
                (void) sign_error_decode(&fields, &host.err, &unreadable);
        host.answers++;
        (void) pthread_cond_signal(&host.changed);
        (void) pthread_mutex_unlock(&host.lock);
}

static const struct rotation_host rotation_host = { .admit = host_admit,
                                                    .probe = host_probe,
                                                    .use = host_use,
                                                    .tell = host_tell,
                                                    .answer = host_answer };
static struct rotation *rotation;

static void begin(struct bytes passphrase) {
        struct error err = { 0 };

        ck_ok(ca_load(scratch.fd, passphrase, &host.ca, &err), err);
        ck_ok(rotation_start(host.ca, scratch.fd, passphrase, &rotation_host, &rotation, &err),
              err);
}

static void set_up(void) {
        scratch_open(&scratch);
}

/* The thread lives as long as the process, which Check forks for each test. */
static void tear_down(void) {
        scratch_close(&scratch);
}

static enum error_code ask(enum signer_message type, const char *issuer) {
        struct timespec until;
        struct error err = { 0 };
        unsigned before;
        int rc;

        (void) pthread_mutex_lock(&host.lock);
        before = host.answers;
        (void) pthread_mutex_unlock(&host.lock);
        /* the thread that has answered may not have come round yet */
        for (int i = 0; (rc = rotation_take(rotation, type, 1, issuer, &err)) < 0 && i < 1000; i++)
                (void) usleep(1000);
        ck_ok(rc, err);
        (void) clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += WAIT_S;
        (void) pthread_mutex_lock(&host.lock);
        while (host.answers == before)
                ck_assert_int_eq(pthread_cond_timedwait(&host.changed, &host.lock, &until), 0);
        (void) pthread_mutex_unlock(&host.lock);
        return host.err.code;
}

static enum signer_issuer_state state_of(const struct ca *ca, const char *id) {
        const struct ca_issuer *issuer = ca_issuer_find(ca, id);

        ck_assert_msg(issuer != NULL, "%s is not there", id);
        return issuer->state;
}

/* On disk as in use. */
static void check_states(struct bytes passphrase, const char *active, const char *retired,
                         const char *standby) {
        CAD_AUTO(ca_free) struct ca *disk = NULL;
        struct error err = { 0 };

        ck_ok(ca_load(scratch.fd, passphrase, &disk, &err), err);
        for (int i = 0; i < 2; i++) {
                const struct ca *ca = i ? disk : host.ca;

                ck_assert_int_eq(state_of(ca, active), SIGNER_ISSUER_ACTIVE);
                if (retired)
                        ck_assert_int_eq(state_of(ca, retired), SIGNER_ISSUER_RETIRED);
                if (standby)
                        ck_assert_int_eq(state_of(ca, standby), SIGNER_ISSUER_STANDBY);
                else
                        ck_assert_ptr_null(ca_standby(ca));
        }
}

START_TEST(the_standby_becomes_active_and_another_one_is_made) {
        scratch_ca(&scratch, NULL);
        begin(BYTES_NONE);
        ck_assert_int_eq(ask(SIGNER_ACTIVATE, ""), ERR_NONE);
        ck_assert_str_eq(host.line, "activate id=int-2 retires=int-1");
        check_states(BYTES_NONE, "int-2", "int-1", NULL);
        ck_assert_int_eq(ask(SIGNER_PREPARE, ""), ERR_NONE);
        ck_assert_ptr_nonnull(strstr(host.line, " issuer=root id=int-3 "));
        check_states(BYTES_NONE, "int-2", "int-1", "int-3");
        ck_assert_int_eq(ask(SIGNER_ACTIVATE, "int-3"), ERR_NONE);
        check_states(BYTES_NONE, "int-3", "int-2", NULL);
        ck_assert_int_eq(state_of(host.ca, "int-1"), SIGNER_ISSUER_RETIRED);
}
END_TEST

static void rsa(struct ca_plan *plan) {
        plan->key_type = KEY_RSA;
        plan->key_bits = 2048;
        plan->intermediate_validity_s = 400 * DAY;
}
static void p384(struct ca_plan *plan) {
        plan->key_type = KEY_ECDSA_P384;
        ck_assert_int_eq(constraints_permit_dns(plan->constraints, "example.com", NULL), 0);
}
static void unconstrained(struct ca_plan *plan) {
        plan->key_type = KEY_ED25519;
        plan->unconstrained = true;
}
static void encrypted(struct ca_plan *plan) {
        plan->passphrase = BYTES_LITERAL("correct horse");
}

static const struct {
        const char *why;
        void (*change)(struct ca_plan *plan);
        const char *passphrase;
} kinds[] = {
        { "RSA", rsa, "" },
        { "P-384, with a domain of its own", p384, "" },
        { "Ed25519, unconstrained", unconstrained, "" },
        { "keys with a passphrase", encrypted, "correct horse" },
};

START_TEST(a_new_one_is_as_the_active_one_is) {
        struct bytes passphrase = bytes_of(kinds[_i].passphrase);
        const struct ca_issuer *active, *made;

        scratch_ca(&scratch, kinds[_i].change);
        begin(passphrase);
        ck_assert_int_eq(ask(SIGNER_ACTIVATE, "int-2"), ERR_NONE);
        ck_assert_int_eq(ask(SIGNER_PREPARE, ""), ERR_NONE);
        check_states(passphrase, "int-2", "int-1", "int-3");
        active = ca_issuer_find(host.ca, "");
        made = ca_issuer_find(host.ca, "int-3");
        ck_assert_int_eq(private_key_type(made->key), private_key_type(active->key));
        ck_assert_uint_eq(private_key_bits(made->key), private_key_bits(active->key));
        ck_assert(bytes_equal(made->cert.name_constraints, active->cert.name_constraints));
        ck_assert(!bytes_equal(made->cert.spki, active->cert.spki));
        ck_assert(!bytes_equal(made->cert.subject, active->cert.subject));
        ck_assert_int_eq(made->cert.validity.not_after - made->cert.validity.not_before,
                         active->cert.validity.not_after - active->cert.validity.not_before);
        ck_assert(made->cert.is_ca && made->cert.path_length == 0 &&
                  made->cert.key_usage == (KU_KEY_CERT_SIGN | KU_CRL_SIGN));
        ck_assert_str_eq(made->crl_url, "http://ca.lan:8080/crl/int-3.crl");
}
END_TEST

START_TEST(what_makes_no_sense_is_refused_and_changes_nothing) {
        scratch_ca(&scratch, NULL);
        begin(BYTES_NONE);
        ck_assert_int_eq(ask(SIGNER_PREPARE, ""), ERR_STATE_CONFLICT);
        ck_assert_ptr_nonnull(strstr(host.err.text, "int-2"));
        ck_assert_int_eq(ask(SIGNER_ACTIVATE, "int-9"), ERR_NOT_FOUND);
        ck_assert_int_eq(ask(SIGNER_ACTIVATE, "root"), ERR_NOT_FOUND);
        ck_assert_int_eq(ask(SIGNER_ACTIVATE, "int-1"), ERR_NONE); /* it is already */
        ck_assert_str_eq(host.line, "");
        check_states(BYTES_NONE, "int-1", NULL, "int-2");
        ck_assert_int_eq(ask(SIGNER_ACTIVATE, ""), ERR_NONE);
        ck_assert_int_eq(ask(SIGNER_ACTIVATE, "int-1"), ERR_STATE_CONFLICT);
        ck_assert_int_eq(ask(SIGNER_ACTIVATE, ""), ERR_STATE_CONFLICT);
        ck_assert_ptr_nonnull(strstr(host.err.text, "cactl ca rotate"));
        check_states(BYTES_NONE, "int-2", "int-1", NULL);
}
END_TEST

START_TEST(without_the_roots_key_none_is_made_and_the_standby_still_takes_over) {
        scratch_ca(&scratch, NULL);
        begin(BYTES_NONE);
        ck_assert_int_eq(unlinkat(scratch.fd, "ca/root.key", 0),
                         0); /* taken away while it serves */
        ck_assert_int_eq(ask(SIGNER_ACTIVATE, ""), ERR_NONE);
        ck_assert_int_eq(ask(SIGNER_PREPARE, ""), ERR_STATE_CONFLICT);
        ck_assert_ptr_nonnull(strstr(host.err.text, "root.key"));
        ck_assert(!scratch_has(&scratch, "ca/int-3.key"));
        check_states(BYTES_NONE, "int-2", "int-1", NULL);
}
END_TEST

START_TEST(what_may_not_be_logged_or_does_not_verify_is_not_done) {
        scratch_ca(&scratch, NULL);
        begin(BYTES_NONE);
        host.admit = ERR_CLOCK;
        ck_assert_int_eq(ask(SIGNER_ACTIVATE, ""), ERR_CLOCK);
        host.admit = ERR_NONE;
        host.probe = ERR_SIGNER_WRONG;
        ck_assert_int_eq(ask(SIGNER_ACTIVATE, ""), ERR_SIGNER_WRONG);
        host.probe = ERR_NONE;
        check_states(BYTES_NONE, "int-1", NULL, "int-2");
        ck_assert_int_eq(ask(SIGNER_ACTIVATE, ""), ERR_NONE);
        host.admit = ERR_STORE_FULL;
        ck_assert_int_eq(ask(SIGNER_PREPARE, ""), ERR_STORE_FULL);
        host.admit = ERR_NONE;
        check_states(BYTES_NONE, "int-2", "int-1", NULL);
        /* its files lie there, of no CA; the next one is written over them */
        ck_assert(scratch_has(&scratch, "ca/int-3.key"));
        ck_assert_int_eq(ask(SIGNER_PREPARE, ""), ERR_NONE);
        check_states(BYTES_NONE, "int-2", "int-1", "int-3");
}
END_TEST

START_TEST(what_somebody_who_was_killed_left_half_is_written_over) {
        static const char *const left[] = { "ca/int-3.key", "ca/int-3.crt", "ca/int-3.key.tmp",
                                            "ca/ca.conf.tmp" };

        scratch_ca(&scratch, NULL);
        for (size_t i = 0; i < ARRAY_SIZE(left); i++)
                scratch_write(&scratch, left[i], "half", 0600);
        begin(BYTES_NONE);
        ck_assert_int_eq(ask(SIGNER_ACTIVATE, ""), ERR_NONE);
        ck_assert_int_eq(ask(SIGNER_PREPARE, ""), ERR_NONE);
        check_states(BYTES_NONE, "int-2", "int-1", "int-3");
}
END_TEST

START_TEST(there_is_an_end_to_intermediates) {
        scratch_ca(&scratch, NULL);
        begin(BYTES_NONE);
        for (int i = 2; i < SIGNER_ISSUERS_MAX; i++) {
                ck_assert_int_eq(ask(SIGNER_ACTIVATE, ""), ERR_NONE);
                ck_assert_int_eq(ask(SIGNER_PREPARE, ""), ERR_NONE);
        }
        ck_assert_uint_eq(host.ca->issuer_count, SIGNER_ISSUERS_MAX);
        ck_assert_int_eq(ask(SIGNER_ACTIVATE, ""), ERR_NONE);
        ck_assert_int_eq(ask(SIGNER_PREPARE, ""), ERR_STATE_CONFLICT);
}
END_TEST

START_TEST(a_wish_that_was_on_its_way_is_granted_for_a_moment_and_no_longer) {
        CAD_AUTO(profiles_free) struct profile_set *profiles = NULL;
        CAD_AUTO(buffer_done) struct buffer spki = { 0 };
        static const char *const names[] = { "nas.lan", NULL };
        struct policy_grant grant = { 0 };
        struct sign_issue wish = { .issuer = "int-1", .profile = "server" };
        struct error err = { 0 };
        uint8_t octets[256];
        int64_t now = moment_now();

        scratch_ca(&scratch, NULL);
        begin(BYTES_NONE);
        ck_ok(profiles_load(-1, NULL, &profiles, &err), err);
        memcpy(wish.profile_digest, profiles_find(profiles, "server", NULL)->digest,
               sizeof(wish.profile_digest));
        key_spki(KEY_ECDSA_P256, 0, &spki);
        wish.spki = buffer_bytes(&spki);
        wish.names = names_der(octets, sizeof(octets), names);
        wish.validity = (struct validity){ now, now + DAY };
        ck_assert_int_eq(ask(SIGNER_ACTIVATE, ""), ERR_NONE);
        ck_ok(policy_check(host.ca, profiles, &wish, now, &grant, &err), err);
        ck_assert_str_eq(grant.issuer->id, "int-1");
        policy_grant_done(&grant);
        ck_assert_int_eq(policy_check(host.ca, profiles, &wish, now + ROTATION_GRACE_S + 2, &grant,
                                      &err),
                         -1);
        ck_assert_int_eq(err.code, ERR_CA_MISSING);
        memcpy(wish.issuer, "int-2", 6);
        ck_ok(policy_check(host.ca, profiles, &wish, now + ROTATION_GRACE_S + 2, &grant, &err),
              err);
        policy_grant_done(&grant);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("rotation");
        TCase *tc = tcase_create("rotation");

        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_set_timeout(tc, 60);
        tcase_add_test(tc, the_standby_becomes_active_and_another_one_is_made);
        tcase_add_loop_test(tc, a_new_one_is_as_the_active_one_is, 0, ARRAY_SIZE(kinds));
        tcase_add_test(tc, what_makes_no_sense_is_refused_and_changes_nothing);
        tcase_add_test(tc, without_the_roots_key_none_is_made_and_the_standby_still_takes_over);
        tcase_add_test(tc, what_may_not_be_logged_or_does_not_verify_is_not_done);
        tcase_add_test(tc, what_somebody_who_was_killed_left_half_is_written_over);
        tcase_add_test(tc, there_is_an_end_to_intermediates);
        tcase_add_test(tc, a_wish_that_was_on_its_way_is_granted_for_a_moment_and_no_longer);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
