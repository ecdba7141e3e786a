/*
 * Name constraints (RFC 5280 §4.2.1.10): for which names this CA is, decided in one place, written into root
 * and intermediate, and checked before each signature.
 */
#pragma once

#include <stdbool.h>

#include "san.h"

#define CONSTRAINTS_MAX \
        128 /* entries of one CA, permitted and excluded together: the defaults are 44, a domain of one's own 5 */

struct name_constraints; /* opaque: permitted and excluded subtrees of DNS, e-mail, IP and URI */

/** constraints_new() - an empty set: no constraint at all. NULL: out of memory */
struct name_constraints *constraints_new(void);
struct name_constraints *constraints_free(struct name_constraints *nc);
CAD_CLEANUP(struct name_constraints, constraints_free)

/** constraints_copy() - NULL: out of memory */
struct name_constraints *constraints_copy(const struct name_constraints *nc);

/**
 * constraints_add_defaults() - the private names of design.md §5
 *
 * DNS home.arpa, internal, lan, local, localdomain, localhost, test; addresses 10/8, 172.16/12, 192.168/16, 169.254/16,
 * 127/8, 100.64/10, fc00::/7, fe80::/10, ::1; e-mail and URI the same domains, each as `lan` and as `.lan`.
 */
int constraints_add_defaults(struct name_constraints *nc, struct error *err);

/** constraints_permit_dns() - permit a domain and what is below it, for DNS, e-mail and URI alike. @err: ERR_NAME_INVALID */
int constraints_permit_dns(struct name_constraints *nc, const char *domain, struct error *err);

/** constraints_permit_ip() - permit an address block "192.0.2.0/24" (a bare address is one host; host bits must be 0) */
int constraints_permit_ip(struct name_constraints *nc, const char *cidr, struct error *err);

/** constraints_permit_email() - permit the addresses of a domain (`home.lan`), of what is below it too */
int constraints_permit_email(struct name_constraints *nc, const char *domain, struct error *err);

/**
 * constraints_close() - leave no kind of name free
 *
 * A kind that is not listed at all would be unconstrained: each of DNS, IP, e-mail and URI without a permitted entry gets
 * everything excluded (IP: 0.0.0.0/0 and ::/0; also the address family that has no permitted block).
 */
int constraints_close(struct name_constraints *nc, struct error *err);

/** constraints_empty() - whether nothing is constrained (cad init --unconstrained) */
bool constraints_empty(const struct name_constraints *nc);

/** constraints_put_der() - write the NameConstraints SEQUENCE (the extension's content); masks are contiguous. An empty set writes
 *  nothing: RFC 5280 forbids the empty SEQUENCE, so the extension is left out */
void constraints_put_der(const struct name_constraints *nc, struct der_writer *w);

/**
 * constraints_from_der() - read the extension's content
 * @err: ERR_CSR_MALFORMED where it cannot be read: bad DER, minimum ≠ 0, a maximum, a mask with holes, a kind of name
 *       that is none of the four, address bits behind the mask, an empty SEQUENCE, more than CONSTRAINTS_MAX
 */
int constraints_from_der(struct bytes der, struct name_constraints **ret, struct error *err);

/** constraints_equal() - the same entries in the same order */
bool constraints_equal(const struct name_constraints *a, const struct name_constraints *b);

/**
 * constraints_check() - whether a name may be issued
 *
 * DNS: `lan` permits lan and all below. E-mail: `lan` permits addresses at lan, `.lan` below it. URI: by its host (which
 * must be a name, not an address). A wildcard is judged by the name behind `*.`.
 * @err: ERR_NAME_NOT_PERMITTED: the name, what this CA is for, and the way out (`cad init --permit-dns …`); the field is
 *       left to the caller
 */
int constraints_check(const struct name_constraints *nc, const struct san *name, struct error *err);

/**
 * constraints_check_list() - the same for all names
 * @field: set as "<field>[i]" on the name that fails
 */
int constraints_check_list(const struct name_constraints *nc, const struct san_list *names,
                           const char *field, struct error *err);

enum constraints_list {
        CONSTRAINTS_PERMITTED,
        CONSTRAINTS_EXCLUDED,
};

/** constraints_count(), constraints_text() - the entries as text, e.g. type SAN_IP and "10.0.0.0/8", "*" for every name of
 *  a kind; for status and JSON */
size_t constraints_count(const struct name_constraints *nc, enum constraints_list which);
const char *constraints_text(const struct name_constraints *nc, enum constraints_list which,
                             size_t i, enum san_type *ret_type, char *out, size_t size);

/** constraints_describe() - one paragraph in plain words: "home.arpa, lan, … and what is below them; the addresses …" */
void constraints_describe(const struct name_constraints *nc, struct buffer *out);
