/*
 * Subject alternative names: the names that a certificate is for (RFC 5280 §4.2.1.6).
 *
 * Only four kinds exist here; a GeneralName of any other kind is refused where it comes in. Values are kept
 * in one canonical form, so that equal names are equal octets.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "der.h"
#include "lib/base/bytes.h"
#include "lib/base/error.h"

#define SAN_COUNT_MAX 100 /* names in one certificate; threats.md §4 row 15 */
#define SAN_TEXT_MAX 512  /* bytes with NUL of any name as text */

/* The value is the GeneralName's context tag. */
enum san_type {
        SAN_EMAIL = 1, /* rfc822Name */
        SAN_DNS = 2,   /* dNSName */
        SAN_URI = 6,   /* uniformResourceIdentifier */
        SAN_IP = 7,    /* iPAddress */
};
#define SAN_BIT(type) (1u << (type))

/** struct san - one name. DNS: lower case, A-labels, no trailing dot. E-mail: domain in lower case. IP: 4 or 16 octets */
struct san {
        enum san_type type;
        struct bytes value;
        unsigned place; /* in what was given to the list, duplicates counted: for complaints */
};

/** struct san_list - names without duplicates, in the order in which they came; zero-initialised is empty */
struct san_list {
        struct san items[SAN_COUNT_MAX];
        size_t count;
        unsigned given; /* names so far, duplicates too */
};

/** san_list_done() - free the values */
void san_list_done(struct san_list *list);
CAD_CLEANUP_DONE(struct san_list, san_list_done)

/**
 * san_list_add() - add one name given as octets of its kind, checked and brought into canonical form
 *
 * A name that is there already is left out. Refused, each with its reason: threats.md §4 rows 15–20, 23, 24 (a DNS name
 * with a space, an empty or overlong label, a bad wildcard, a trailing dot, only digits, an IP address as DNS name, …,
 * an invalid A-label; IP 0.0.0.0, ::, multicast, IPv4-mapped; e-mail and URI not of RFC 5321/3986 shape).
 * A wildcard is one `*` as the whole left-most label before at least two more labels (`*.nas.lan`, not `*.lan`).
 * @err: ERR_NAME_INVALID, ERR_NAMES_TOO_MANY; the field is left to the caller
 */
int san_list_add(struct san_list *list, enum san_type type, struct bytes value, struct error *err);

/**
 * san_list_add_text() - the same for what a person writes; the kind is seen from the form
 *
 * `192.168.1.10`, `fe80::1` (also in brackets) are addresses, `a@home.lan` an e-mail address, `scheme://…` or
 * `urn:…`/`spiffe:…` a URI, all else a DNS name. A U-label (`bücher.lan`) is turned into its A-label (IDNA 2008).
 */
int san_list_add_text(struct san_list *list, const char *text, struct error *err);

/**
 * san_list_from_der() - read a GeneralNames SEQUENCE (the extension's content, header included)
 * @list: names are added
 * @err:  ERR_CSR_MALFORMED for bad DER or an empty SEQUENCE, ERR_NAME_INVALID, ERR_NAME_NOT_ALLOWED for another kind of name
 *        (its kind is named); the field is set to "<field>[i]"
 */
int san_list_from_der(struct san_list *list, struct bytes der, const char *field,
                      struct error *err);

/** san_list_put_der() - write the GeneralNames SEQUENCE */
void san_list_put_der(const struct san_list *list, struct der_writer *w);

/** san_equal() - whether two names are the same */
bool san_equal(const struct san *a, const struct san *b);

/** san_list_equal() - the same names in the same order */
bool san_list_equal(const struct san_list *a, const struct san_list *b);

/** san_uri_host() - the host of a URI that san_list_add() has taken, an IPv6 address with its brackets; empty where it has none (urn:) */
struct bytes san_uri_host(struct bytes uri);

/** san_list_contains() - whether @name is in @list */
bool san_list_contains(const struct san_list *list, const struct san *name);

/** san_text() - as a person writes it (RFC 5952 for IPv6), at most SAN_TEXT_MAX bytes. Return: @out */
const char *san_text(const struct san *name, char *out, size_t size);

/** san_text_unicode() - the same with A-labels shown as U-labels where that round-trips. Return: @out */
const char *san_text_unicode(const struct san *name, char *out, size_t size);

/** san_type_name() - "DNS name", "IP address", "e-mail address", "URI" */
const char *san_type_name(enum san_type type);

/** dns_name_check() - whether @name (no NUL inside, any case) is a DNS name as san_list_add() takes it, written in lower case to @ret
 *  (size @size ≥ 254 + 1). @err: ERR_NAME_INVALID with the reason */
int dns_name_check(struct bytes name, bool allow_wildcard, char *ret, size_t size,
                   struct error *err);
