/*
 * The CA as it lies on disk: a folder `ca` in the signer's state, complete or not there at all.
 *
 *      ca/ca.conf                name, URL, which intermediates there are, which is active, which were (ca_conf.h)
 *      ca/root.crt  root.key     the key may be away (taken offline)
 *      ca/int-1.crt int-1.key    active
 *      ca/int-2.crt int-2.key    standby
 */
#pragma once

#include "daemon/signer/ca_conf.h"
#include "daemon/signer/protocol.h"
#include "lib/pki/cert.h"
#include "lib/pki/constraints.h"

#define CA_FOLDER "ca"
#define CA_NAME_MAX \
        40 /* characters; X.520 gives a CN 64, and "Intermediate" and a tag stand behind it */

/** struct ca_issuer - one intermediate with its key */
struct ca_issuer {
        char id[SIGNER_ISSUER_MAX];
        enum signer_issuer_state state;
        int64_t signs_until_s; /* retired a moment ago: wishes that were on their way are still granted until then, by its name; 0: no more */
        struct buffer der;
        struct cert cert; /* views into der */
        struct private_key *key;
        struct name_constraints *constraints;
        struct name_constraints
                *root_constraints; /* of the root, where they are others than these; else NULL */
        char crl_url[CERT_URL_MAX];
        char issuer_url[CERT_URL_MAX];
        struct cert_issuer signs_as; /* what stands in the certificates that it signs */
};

/** struct ca - everything, loaded and checked. Never changed once others see it: another state is another struct ca (rotation.h) */
struct ca {
        struct ca *
                before; /* the one that this one has followed, which others may still be looking at; freed with it */
        char name[65];
        char id[2 * SHA256_SIZE + 1];
        char replaces[2 * SHA256_SIZE + 1];
        char public_url[CERT_URL_MAX];
        struct buffer root_der;
        struct cert root;
        bool root_key_present;
        struct private_key *root_key;        /* for the root's CRL; NULL: away, or see below */
        char root_key_fault[ERROR_TEXT_MAX]; /* why it is not used though it is there; "": it is */
        enum error_code root_key_fault_code; /* of which kind that is */
        bool keys_encrypted;
        struct ca_issuer issuers[SIGNER_ISSUERS_MAX];
        size_t issuer_count;
};

struct ca *ca_free(struct ca *ca);
CAD_CLEANUP(struct ca, ca_free)

/**
 * ca_load() - read and check the folder: every file there, keys fit certificates, intermediates are signed by the root
 * @dir_fd:     the signer's state directory
 * @passphrase: of the keys; empty: none
 * @err: ERR_CA_MISSING where there is no folder, ERR_CA_INCOMPLETE with the file that is missing or does not fit,
 *       ERR_KEY_PASSPHRASE, ERR_FILE_UNSAFE
 */
int ca_load(int dir_fd, struct bytes passphrase, struct ca **ret, struct error *err);

/** ca_load_as() - the same, by a configuration that is not (yet) the one on disk. @conf: lent for the call */
int ca_load_as(int dir_fd, struct bytes passphrase, const struct ca_conf *conf, struct ca **ret,
               struct error *err);

/** ca_load_public() - name, URL, id and root alone: no intermediates, no keys, so no passphrase is needed. @err: as ca_load() */
int ca_load_public(int dir_fd, struct ca **ret, struct error *err);

/**
 * ca_use_public_url() - have certificates point to another place than the one that was chosen when the CA was made
 * @err: ERR_USAGE where it is none
 */
int ca_use_public_url(struct ca *ca, const char *url, struct error *err);

/** ca_issuer_find() - by id; "" is the active one. NULL: there is none */
const struct ca_issuer *ca_issuer_find(const struct ca *ca, const char *id);

/** ca_hello() - what cad is told; views into @ca */
void ca_hello(const struct ca *ca, struct sign_hello *ret);

/** ca_standby() - the newest that waits for its turn. NULL: there is none */
const struct ca_issuer *ca_standby(const struct ca *ca);

/** ca_owns_key() - whether a public key is one of the CA's own (threats.md §4 row 12) */
bool ca_owns_key(const struct ca *ca, struct bytes spki);

/**
 * ca_probe() - sign a leaf with each intermediate and have GnuTLS verify it through the chain; the leaves are thrown away
 * @err: ERR_SIGNER_WRONG
 */
int ca_probe(const struct ca *ca, const struct profile_set *profiles, int64_t now,
             struct error *err);

/** ca_path() - "ca/int-1.key"; @out has at least 64 bytes. Return: @out */
const char *ca_path(const char *id, const char *suffix, char *out, size_t size);
