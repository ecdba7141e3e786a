/*
 * Credentials: private key, certificate, chain and root, out of files of whatever kind people have them in.
 *
 * Inputs are collected in any order and number, then put in order by what is in them: nothing depends on which file a certificate came
 * in. What comes out is DER, and clean PEM of it.
 */
#pragma once

#include <stdint.h>

#include "key.h"
#include "lib/base/bytes.h"
#include "lib/base/error.h"

#define CREDENTIAL_INPUT_MAX (1024u * 1024u) /* octets of one input */
#define CREDENTIAL_CERTS_MAX 32u             /* certificates of all inputs together */
#define CREDENTIAL_CHAIN_MAX 8u              /* certificates between leaf and root */
#define CREDENTIAL_ROUNDS_MAX \
        4000000u /* of key derivation that one input may ask for, seconds of work; OWASP's number is 600 000 */

/* What services want in a file of its own. */
enum credential_part {
        CREDENTIAL_CERTIFICATE, /* the leaf alone */
        CREDENTIAL_CHAIN,       /* what is between leaf and root, leaf's issuer first */
        CREDENTIAL_FULL_CHAIN,  /* leaf, then chain */
        CREDENTIAL_KEY,         /* PKCS#8, not encrypted */
        CREDENTIAL_COMBINED,    /* leaf, chain, key */
        CREDENTIAL_ROOT,
        CREDENTIAL_PART_COUNT,
};

/** credential_part_is_secret() - whether the private key is in it */
static inline bool credential_part_is_secret(enum credential_part part) {
        return part == CREDENTIAL_KEY || part == CREDENTIAL_COMBINED;
}

struct credential_parts; /* opaque: what the inputs held */

/** credential_parts_new() - NULL: out of memory */
struct credential_parts *credential_parts_new(void);
struct credential_parts *credential_parts_free(struct credential_parts *parts);
CAD_CLEANUP(struct credential_parts, credential_parts_free)

/**
 * credential_parts_add() - take what is in @input
 *
 * PEM (RFC 7468) with CRLF, a BOM, in UTF-16 as Windows writes it, with text between the blocks; DER or BER; of certificates (OpenSSL's "TRUSTED CERTIFICATE",
 * too), PKCS#7 bags, PKCS#12 files, keys of PKCS#8, SEC 1, PKCS#1, encrypted or not, also in the old way of RFC 1421. Other PEM blocks are passed over.
 * A certificate that is there already is not added twice, nor is the same key.
 * @password: of what is encrypted; {NULL, 0}: none
 * @err: ERR_KEY_PASSPHRASE (wanted or wrong), ERR_KEY_INVALID (also: two keys), ERR_KEY_UNSUPPORTED, ERR_BODY_MALFORMED (nothing in it; what is wrong),
 *       ERR_BODY_TOO_LARGE. What was added before it failed stays: give up then.
 */
int credential_parts_add(struct credential_parts *parts, struct bytes input, struct bytes password,
                         struct error *err);

/**
 * credential_parts_seek() - of a PEM bundle of any size, take the certificates that issued one that is there
 * @bundle: what a system trusts; what cannot be read in it is passed over
 */
int credential_parts_seek(struct credential_parts *parts, struct bytes bundle, struct error *err);

struct credential; /* opaque */
struct credential *credential_free(struct credential *credential);
CAD_CLEANUP(struct credential, credential_free)

/**
 * credential_arrange() - find the leaf, and what leads from it to a root
 *
 * The leaf is the certificate of the key (the newest of several); without a key, the one that is no CA and issued none of the others.
 * From there each issuer is found by name, key identifiers and signature; the self-signed end is the root. What is left over is not of this credential.
 * @ret: has copies of all, the key excepted, which moves
 * @err: ERR_KEY_INVALID (the key is of none of the certificates), ERR_BODY_MALFORMED (no certificate, or several leaves and no key to choose by), ERR_CRYPTO
 */
int credential_arrange(struct credential_parts *parts, struct credential **ret, struct error *err);

/** credential_key() - lent; NULL: there was none */
const struct private_key *credential_key(const struct credential *credential);

/** credential_leaf(), credential_chain() - DER; credential_root() - DER, empty where the chain does not reach one */
struct bytes credential_leaf(const struct credential *credential);
size_t credential_chain_count(const struct credential *credential);
struct bytes credential_chain(const struct credential *credential, size_t i);
struct bytes credential_root(const struct credential *credential);

/** credential_left_over() - how many of the certificates are not part of it */
size_t credential_left_over(const struct credential *credential);

/**
 * credential_verify() - whether a client with the root would take it: all are in time, signatures, CA bits, path length and name constraints, by GnuTLS
 * @now: seconds since the epoch
 * @err: ERR_BODY_MALFORMED (no root is reached: says which issuer is missing), ERR_STATE_CONFLICT (expired, not yet valid, not verified)
 */
int credential_verify(const struct credential *credential, int64_t now, struct error *err);

/** credential_covers() - whether the leaf is for @name, by its alternative names; one label for a wildcard. @err: ERR_NAME_INVALID, ERR_NAMES_MISSING */
int credential_covers(const struct credential *credential, const char *name, struct error *err);

/**
 * credential_pem() - one part as clean PEM
 * @ret: appended; wants CAD_AUTO(buffer_wipe) where the part is secret
 * @err: ERR_BODY_MALFORMED where there is no such thing (no key, no chain, no root)
 */
int credential_pem(const struct credential *credential, enum credential_part part,
                   struct buffer *ret, struct error *err);
