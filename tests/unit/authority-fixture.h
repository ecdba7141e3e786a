/*
 * An authority whose signer is the test: issued-fixture.h has the CA, fake-signer.h what the test says as its signer.
 */
#pragma once

#include "daemon/authority/authority.h"
#include "tests/unit/fake-signer.h"
#include "tests/unit/issued-fixture.h"

/**
 * authority_attached() - make an authority without a store, with the built-in profiles and nobody's rights
 * @ret_fd: the signer's end, which has said hello; the caller's to close
 */
static inline struct authority *authority_attached(int *ret_fd) {
        static uint8_t frame[SIGNER_FRAME_MAX];
        struct authority *made = NULL;
        struct profile_set *own = NULL;
        struct sign_hello hello;
        struct error err = { 0 };
        int ends[2];

        ck_ok(profiles_load(-1, NULL, &own, &err), err);
        ck_ok(authority_new(own, access_list_new(), &made, &err), err);
        fake_pair(ends);
        ca_hello(ca, &hello);
        fake_send(ends[1], sign_hello_encode(frame, 0, &hello));
        ck_ok(authority_attach_signer(made, ends[0], /* timeout_ms= */ 5000, &err), err);
        *ret_fd = ends[1];
        return made;
}
