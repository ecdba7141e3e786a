/*
 * What tests share that want a CA and leaves of it without a process: the signer's own writing, without its log and clock.
 */
#pragma once

#include "signer-fixture.h"

static struct scratch scratch;
static struct ca *ca;
static struct profile_set *profiles;

static inline void issued_setup(void) {
        struct error err = { 0 };

        scratch_open(&scratch);
        scratch_ca(&scratch, NULL);
        ca = scratch_load(&scratch);
        ck_ok(profiles_load(-1, NULL, &profiles, &err), err);
}

static inline void issued_teardown(void) {
        ca = ca_free(ca);
        profiles = profiles_free(profiles);
        scratch_close(&scratch);
}

/** issued_sign() - what an honest signer makes of a wish; @n: goes into the serial. @err: as policy_check() */
static inline int issued_sign(const struct sign_issue *wish, uint64_t n, struct buffer *ret,
                              struct error *err) {
        CAD_AUTO(policy_grant_done) struct policy_grant grant = { 0 };
        uint8_t serial[19] = { 0x10 }, octets[CERT_MAX];
        struct der_writer w;

        if (policy_check(ca, profiles, wish, moment_now(), &grant, err) < 0)
                return -1;
        for (int i = 0; i < 8; i++)
                serial[11 + i] = (uint8_t) (n >> (56 - 8 * i));
        grant.wish.serial = BYTES(serial, sizeof(serial));
        der_writer_init(&w, octets, sizeof(octets));
        cert_put_leaf(&w, &grant.issuer->signs_as, &grant.wish);
        return cert_sign(grant.issuer->key, der_writer_bytes(&w), ret, err);
}

/** issued_leaf() - a leaf for names that NULL ends, with a new key */
static inline void issued_leaf(const char *const *names, uint64_t n, struct buffer *ret) {
        CAD_AUTO(buffer_done) struct buffer spki = { 0 };
        uint8_t octets[CERT_MAX];
        int64_t now = moment_now();
        struct sign_issue wish = { .profile = "server",
                                   .validity = { now - 60, now - 60 + 90 * DAY - 1 } };
        struct error err = { 0 };

        key_spki(KEY_ECDSA_P256, 0, &spki);
        memcpy(wish.profile_digest, profiles_find(profiles, "server", NULL)->digest,
               sizeof(wish.profile_digest));
        wish.spki = buffer_bytes(&spki);
        wish.names = names_der(octets, sizeof(octets), names);
        ck_ok(issued_sign(&wish, n, ret, &err), err);
}
