/*
 * Grant: for which names a token is good, decided without a store, a clock or a socket.
 *
 * A name of a grant is literal: an exact DNS name, address, e-mail address or URI, or "*.suffix" for every DNS name below suffix.
 * It gives no wildcard certificate, whatever a device calls itself (threats.md R-6).
 */
#pragma once

#include "lib/pki/constraints.h"
#include "lib/pki/profile.h"

#define GRANT_NAMES_MAX SAN_COUNT_MAX

/** struct grant_names - zero-initialised is empty and fits nothing */
struct grant_names {
        struct san_list exact;
        struct san_list suffixes; /* without the "*." */
};

/** grant_names_done() - free what it holds */
void grant_names_done(struct grant_names *names);
CAD_CLEANUP_DONE(struct grant_names, grant_names_done)

/**
 * grant_names_add() - one name as a person writes it: "nas.lan", "10.0.0.7", "fe80::1", "a@home.lan", "*.sensors.lan"
 * @err: ERR_NAME_INVALID, ERR_NAMES_TOO_MANY; the field is left to the caller
 */
int grant_names_add(struct grant_names *names, const char *text, struct error *err);

/** grant_names_lines() - the names in canonical form, one a line, as the store keeps them; an exact one first */
void grant_names_lines(const struct grant_names *names, struct buffer *out);

/**
 * grant_names_check() - whether a profile and the CA could ever issue for all names of a grant
 * @given: as they were added, for complaints about "names[i]"
 * @err: ERR_NAMES_MISSING, ERR_NAME_NOT_ALLOWED, ERR_NAME_NOT_PERMITTED with the field
 */
int grant_names_check(const char *const *given, size_t count, const struct profile *profile,
                      const struct name_constraints *constraints, struct error *err);

/** grant_covers() - whether one name of a certificate is inside */
bool grant_covers(const struct grant_names *names, const struct san *name);

/**
 * grant_covers_all() - every name of a certificate, each for itself (threats.md)
 * @field: "<field>[i]" is set to the name that is outside
 * @err:   ERR_FORBIDDEN: the name, and what the token is for
 */
int grant_covers_all(const struct grant_names *names, const struct san_list *wanted,
                     const char *field, struct error *err);
