/*
 * What reading and arranging a credential share; of no use outside of the two.
 */
#pragma once

#include "cert.h"
#include "credential.h"

struct credential_parts {
        struct buffer certs[CREDENTIAL_CERTS_MAX]; /* DER, each read by cert_read() */
        size_t count;
        struct private_key *key;
};

/** credential_parts_take() - copy a certificate unless it is there. @err: ERR_BODY_TOO_LARGE */
int credential_parts_take(struct credential_parts *parts, struct bytes der, struct error *err);

/** credential_parts_want() - whether @cert is by name the issuer of one that is there */
bool credential_parts_want(const struct credential_parts *parts, const struct cert *cert);
