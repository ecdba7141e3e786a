/*
 * Making a CA: root, active intermediate, standby; all of it or nothing.
 */
#pragma once

#include "daemon/signer/ca.h"

#define CA_ID_FILE \
        "ca-id" /* in the configuration folder: a witness that a CA was made, should the state be lost */

/** struct ca_plan - what `cad init` was told; zero or NULL is the default */
struct ca_plan {
        const char *name;       /* at most CA_NAME_MAX characters; default "<host name> CA" */
        const char *public_url; /* default: chosen from host name and addresses */
        unsigned http_port;     /* for the default public_url; 80 leaves it out */
        enum key_type key_type;
        unsigned key_bits; /* RSA only */
        int64_t root_validity_s;
        int64_t intermediate_validity_s;
        struct name_constraints *constraints; /* owned by the plan */
        bool unconstrained;
        const char *root_cert_path; /* of a root that exists; both or none */
        const char *root_key_path;
        struct bytes passphrase; /* empty: keys are not encrypted */
        bool again;              /* replace a CA that has issued nothing */
};

/** ca_plan_defaults() - P-256, 20 years, 5 years, the private names of design.md §5 and the host's own domain where that is private */
int ca_plan_defaults(struct ca_plan *plan, struct error *err);

/** struct ca_place - where a CA lives */
struct ca_place {
        int state_fd;  /* the signer's state directory; the caller holds its lock */
        int config_fd; /* the configuration folder, or -1 */
        const char *
                store_path; /* the database of cad, whose being there says that a CA was made; NULL: not known */
};

/**
 * ca_create() - make the CA
 *
 * Killed at any system call: the next call makes it afresh, or ca_load() finds it whole. The folder is built as `ca.new` and renamed.
 * @err: ERR_CA_EXISTS; ERR_CA_INCOMPLETE where a database or a `ca-id` says that there was a CA here before; ERR_STATE_CONFLICT for --again over a CA
 *       that has issued certificates; ERR_CLOCK where the clock cannot be right
 */
int ca_create(const struct ca_place *place, const struct ca_plan *plan, int64_t now,
              struct error *err);

/**
 * ca_add_intermediate() - write key and certificate of another intermediate into the CA's folder; it is none before ca.conf names it
 * @ca:         with the root's key
 * @number:     of "int-N", which ca.conf does not name yet; files of that name, left by somebody who was cut off, are written over
 * @passphrase: its key is encrypted with it; empty: it is not
 * @err: ERR_CRYPTO, ERR_IO, ERR_STORE_FULL
 */
int ca_add_intermediate(int state_fd, const struct ca *ca, int number, struct bytes passphrase,
                        int64_t now, struct error *err);

/**
 * ca_settle() - put right what a crash during ca_create() left, and hold the CA against its witnesses; at each start
 * @ca: as loaded
 * @err: ERR_CA_INCOMPLETE where `ca-id` names another CA
 */
int ca_settle(const struct ca_place *place, const struct ca *ca, struct error *err);

/** ca_remember() - the last part of it: write `ca-id` into the configuration folder, or hold the CA against the one there. @err: as above; ERR_IO */
int ca_remember(const struct ca_place *place, const struct ca *ca, struct error *err);

/** ca_absent() - whether there is nothing at all: no CA, no database, no ca-id, so that a first start may make one.
 *  Return: 1 nothing, 0 a CA folder is there, -1 with @err where there is half of one (ERR_CA_INCOMPLETE) */
int ca_absent(const struct ca_place *place, struct error *err);
