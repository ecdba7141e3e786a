/*
 * Profiles: what a kind of certificate may hold (design.md §5). Data, not templates: nothing of a peer's is
 * ever put into one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "csr.h"
#include "key.h"
#include "san.h"

#define PROFILE_NAME_MAX 32    /* bytes with NUL */
#define PROFILE_MAX 64         /* profiles of one CA */
#define PROFILE_DIGEST_SIZE 32 /* SHA-256 over its canonical text */
#define LEAF_VALIDITY_MAX_S \
        (825 * INT64_C(86400)) /* Apple's limit for private CAs; threats.md §5.8 */

enum extended_key_usage {
        EKU_SERVER_AUTH = 1 << 0,
        EKU_CLIENT_AUTH = 1 << 1,
        EKU_EMAIL_PROTECTION = 1 << 2,
        EKU_OCSP_SIGNING = 1 << 3,
        EKU_CODE_SIGNING = 1 << 4,
        EKU_TIME_STAMPING = 1 << 5,
};

enum profile_enrolment {
        ENROLMENT_TOKEN,    /* a token is enough */
        ENROLMENT_APPROVAL, /* an operator approves each */
        ENROLMENT_ADMIN,    /* on the Unix socket by an admin alone */
        ENROLMENT_INTERNAL, /* by the CA for itself alone */
};

struct weak_keys;

/** struct profile - one kind of certificate */
struct profile {
        char name[PROFILE_NAME_MAX];
        char *description;
        uint32_t name_types; /* SAN_BIT() of what is allowed */
        uint32_t key_types;  /* KEY_BIT() of what is allowed */
        uint32_t rsa_bits_min;
        uint32_t rsa_bits_max;
        uint32_t key_usage;          /* enum key_usage; keyEncipherment is only set for RSA keys */
        uint32_t extended_key_usage; /* enum extended_key_usage, not empty */
        int64_t validity_default_s;
        int64_t validity_max_s;
        int64_t backdate_s; /* notBefore is set back by this for skewed clocks */
        int64_t grace_s;    /* an expired certificate may renew itself for this long */
        enum profile_enrolment enrolment;
        bool wildcards;         /* whether *.nas.lan is allowed */
        bool ocsp_nocheck;      /* add id-pkix-ocsp-nocheck */
        bool strict_extensions; /* refuse what is not known, or only what is dangerous */
        uint8_t digest[PROFILE_DIGEST_SIZE];
        const struct weak_keys *weak_keys; /* lent by the set, NULL where none are listed */
};

struct profile_set; /* opaque, immutable once made */

/**
 * profiles_load() - the built-in profiles and those of a folder
 * @dir_fd, @folder: "profiles.d" below a configuration folder; NULL or not there: the built-in ones alone. A file NAME.conf with the name of a
 *                   built-in one changes that one. Beside it lies what weak_keys_load() reads.
 * @err: ERR_CONFIG with file and line
 */
int profiles_load(int dir_fd, const char *folder, struct profile_set **ret, struct error *err);
struct profile_set *profiles_free(struct profile_set *set);
CAD_CLEANUP(struct profile_set, profiles_free)

/** profiles_count(), profiles_at() - all of them, in order of their names */
size_t profiles_count(const struct profile_set *set);
const struct profile *profiles_at(const struct profile_set *set, size_t i);

/** profiles_find() - by name. @err: ERR_PROFILE_UNKNOWN with the names that there are; NULL then */
const struct profile *profiles_find(const struct profile_set *set, const char *name,
                                    struct error *err);

/** profile_is_own() - whether a profile of that name is the CA's own (ENROLMENT_INTERNAL): what it signs under it is for nobody else */
bool profile_is_own(const char *name);

/** profile_check_csr() - design.md §5: CA:FALSE, key usages inside the profile, SKI and challengePassword are ignored; CA:TRUE, usages outside the
 *  profile and all else refused by name. @err: ERR_CSR_EXTENSION, ERR_CSR_ATTRIBUTE; field csr.extensions.NAME */
int profile_check_csr(const struct profile *profile, const struct csr *csr, struct error *err);

/** profile_check_key() - type, size, and the lists of weak keys. @err: ERR_KEY_UNSUPPORTED, ERR_KEY_WEAK */
int profile_check_key(const struct profile *profile, const struct public_key *key,
                      struct error *err);

/** profile_check_names() - at least one, each of an allowed kind. @field: "<field>[i]" is set. @err: ERR_NAMES_MISSING, ERR_NAME_NOT_ALLOWED */
int profile_check_names(const struct profile *profile, const struct san_list *names,
                        const char *field, struct error *err);

/** profile_key_usage() - the usages for a key of @type: no keyEncipherment but for RSA */
uint32_t profile_key_usage(const struct profile *profile, enum key_type type);

/** eku_oid() - the OID of one bit of enum extended_key_usage; empty for none */
struct bytes eku_oid(uint32_t bit);

/** eku_name(), key_usage_name(), profile_enrolment_name() - names for status and JSON: "serverAuth", "digitalSignature", "token" */
const char *eku_name(uint32_t bit);
const char *key_usage_name(uint32_t bit);
const char *name_type_name(uint32_t bit);   /* SAN_BIT(): "dns" */
const char *key_type_setting(uint32_t bit); /* KEY_BIT(): "ecdsa-p256" */
const char *profile_enrolment_name(enum profile_enrolment enrolment);
