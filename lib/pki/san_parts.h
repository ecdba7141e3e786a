/*
 * Alternative names from within: what lists of them (san.c), the four kinds (san_kinds.c), DNS names (dns_name.c) and URIs (san_uri.c) share.
 */
#pragma once

#include <string.h>

#include "san.h"

#define DNS_NAME_MAX 253  /* octets; RFC 1035 §2.3.4 without the root's dot */
#define SAN_SHOWN_MAX 128 /* bytes with NUL of a value inside an error */

static inline bool is_digit(uint8_t c) {
        return c >= '0' && c <= '9';
}

static inline bool is_letter(uint8_t c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool is_hex_digit(uint8_t c) {
        return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/** is_one_of() - whether @c is one of @set; a NUL never is. */
static inline bool is_one_of(uint8_t c, const char *set) {
        return c && strchr(set, c);
}

static inline struct bytes from(struct bytes b, size_t at) {
        return BYTES(b.data + at, b.size - at);
}

/** find() - index of the first @c, or the size. */
static inline size_t find(struct bytes b, uint8_t c) {
        const uint8_t *p = b.size ? memchr(b.data, c, b.size) : NULL;

        return p ? (size_t) (p - b.data) : b.size;
}

/** san_refuse() - "'VALUE' is not a valid KIND: it WHY". Return: -1 */
int san_refuse(struct error *err, enum san_type type, struct bytes value, const char *why);

/** san_copy_lower() - with a NUL behind it */
void san_copy_lower(struct bytes in, char *out);

/** dns_name_fault() - what is wrong with a name in lower case; NULL: nothing */
const char *dns_name_fault(struct bytes name, bool allow_wildcard);

/** san_uri_scheme() - length of the scheme without its ':', 0 where there is none */
size_t san_uri_scheme(struct bytes uri);

/** san_is_kind() - whether there is such a kind here */
bool san_is_kind(enum san_type type);

/** san_canonical() - a value of a kind that there is, in its one form. @out: SAN_TEXT_MAX bytes. @err: ERR_NAME_INVALID */
int san_canonical(enum san_type type, struct bytes in, char *out, size_t *ret_size,
                  struct error *err);
int san_canonical_uri(struct bytes in, char *out, size_t *ret_size, struct error *err);
