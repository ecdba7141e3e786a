/*
 * The CA as cad knows it: public certificates, constraints and URLs, as the signer told them. After a rotation there is another
 * one (rotation.h); who has looked at this one may go on with it, for they all stay as long as the authority.
 */
#pragma once

#include "daemon/signer/protocol.h"
#include "lib/pki/cert.h"
#include "lib/pki/constraints.h"

/** struct ca_info_issuer - one intermediate */
struct ca_info_issuer {
        char id[SIGNER_ISSUER_MAX];
        enum signer_issuer_state state;
        struct buffer der;
        struct buffer pem;
        struct cert cert; /* views into der */
        struct name_constraints *constraints;
        char crl_url[CERT_URL_MAX], issuer_url[CERT_URL_MAX];
        struct cert_issuer signs_as;
};

struct ca_info_key;

/** struct ca_info - immutable once made, but for @own_keys, to which keys are added and from which none is taken */
struct ca_info {
        struct ca_info *before; /* the one that it has followed; freed with it */
        char id[2 * SHA256_SIZE + 1];
        char replaces[2 * SHA256_SIZE + 1];
        char name[65];
        char public_url[CERT_URL_MAX];
        struct buffer root_der;
        struct buffer root_pem;
        struct buffer bundle_pem; /* the root and all intermediates */
        struct cert root;
        struct ca_info_issuer issuers[SIGNER_ISSUERS_MAX];
        size_t issuer_count;
        bool root_key_present;
        bool keys_encrypted;
        int64_t issued_before; /* leaves that the signer knew of when it said hello */
        int64_t signer_uid;
        _Atomic(struct ca_info_key *)
                own_keys; /* every key of HTTPS since the start: one in some weeks */
};

/** ca_info_new() - from the signer's hello, all of it copied. @err: ERR_SIGNER_WRONG where a certificate cannot be read */
int ca_info_new(const struct sign_hello *hello, struct ca_info **ret, struct error *err);
struct ca_info *ca_info_free(struct ca_info *ca);
CAD_CLEANUP(struct ca_info, ca_info_free)

/** ca_info_same() - whether both have the same issuers in the same states */
bool ca_info_same(const struct ca_info *a, const struct ca_info *b);

/** ca_info_active() - the issuer that signs now */
const struct ca_info_issuer *ca_info_active(const struct ca_info *ca);

/** ca_info_issuer() - by id; NULL: there is none */
const struct ca_info_issuer *ca_info_issuer(const struct ca_info *ca, const char *id);

/** ca_info_add_key() - from now on a key is the CA's own, too: that of its HTTPS listener. One thread adds. @err: ERR_NO_MEMORY */
int ca_info_add_key(struct ca_info *ca, struct bytes spki, struct error *err);

/** ca_info_owns_key() - whether a key is one of the CA's own: of the root, of an intermediate, or added */
bool ca_info_owns_key(const struct ca_info *ca, struct bytes spki);
