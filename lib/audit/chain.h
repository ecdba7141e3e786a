/*
 * The audit chain: what a row says, its one encoding as octets, and the hash that ties it to all rows before it.
 *
 *      hash 0 = SHA-256(text "cad audit 1", text ca-id)
 *      hash n = SHA-256(hash n-1, row n)
 *      row    = number 8, at 8, then texts: action, principal, source, object, outcome, detail, request_id
 *      text   = length 4, so many octets; all numbers are big-endian
 *
 * Both ends compute it: the store when it writes, whoever verifies from the rows alone. As every text has its length in
 * front of it, two different rows have two different encodings.
 */
#pragma once

#include <stdint.h>

#include "lib/base/bytes.h"
#include "lib/base/error.h"

#define AUDIT_HASH_SIZE 32 /* octets of a SHA-256 */

/* Bytes of a text without NUL; a longer one is cut when it is written. */
#define AUDIT_WORD_MAX 64    /* action, outcome, request_id */
#define AUDIT_WHO_MAX 128    /* principal, source, object */
#define AUDIT_DETAIL_MAX 512 /* detail */

/**
 * struct audit_event - who did what, when, from where, to what, and how it ended; texts are views, NULL is ""
 *
 * No secret goes in here: rows are read by every reader.
 */
struct audit_event {
        int64_t at;         /* seconds since the epoch; 0: now, where it is recorded */
        const char *action; /* "certificate.issue", "certificate.revoke", "token.create", … */
        const char *
                principal; /* "uid:1000(anna)", "token:…", "cert:…"; "cad" for what cad does by itself */
        const char *source; /* where from: the peer's text, or "" */
        const char *object; /* serial, id of a token or a request, … or "" */
        const char
                *outcome; /* "ok", or the slug of the error that it was refused with; NULL: "ok" */
        const char *detail;     /* a sentence, or "" */
        const char *request_id; /* X-Request-Id, or "" */
};

/** enum audit_text - the texts of a row, in the order of its encoding */
enum audit_text {
        AUDIT_ACTION,
        AUDIT_PRINCIPAL,
        AUDIT_SOURCE,
        AUDIT_OBJECT,
        AUDIT_OUTCOME,
        AUDIT_DETAIL,
        AUDIT_REQUEST_ID,
        AUDIT_TEXT_COUNT,
};

/** audit_text_name() - "action", "principal", …; static */
const char *audit_text_name(enum audit_text which);

/** struct audit_row - a row of the chain; texts are views of so many octets */
struct audit_row {
        int64_t number; /* 1, 2, 3, … */
        int64_t at;
        struct bytes text[AUDIT_TEXT_COUNT];
        uint8_t hash[AUDIT_HASH_SIZE];
};

#define AUDIT_SCRATCH_MAX 1152 /* bytes for all texts of a row, each with its NUL */

/**
 * audit_row_clean() - the row of an event: texts made printable UTF-8 and cut to their maxima, time within what RFC 3339 can say
 * @scratch: AUDIT_SCRATCH_MAX bytes, into which @ret has its views; number and hash of @ret are not set
 */
void audit_row_clean(const struct audit_event *event, char *scratch, struct audit_row *ret);

/**
 * audit_row_check() - whether a row that was read back is one that audit_row_clean() can have made
 * @err: ERR_STORE with what of it cannot
 */
int audit_row_check(const struct audit_row *row, struct error *err);

#define AUDIT_ROW_MAX 1152 /* octets of an encoding */

/** audit_row_encode() - the row's octets, its hash aside. Return: how many; 0 where a text is over its maximum */
size_t audit_row_encode(const struct audit_row *row, uint8_t out[AUDIT_ROW_MAX]);

/** audit_chain_begin() - hash 0 of a CA's chain; @ca_id: SHA-256 of the root certificate, hex */
void audit_chain_begin(const char *ca_id, uint8_t ret[AUDIT_HASH_SIZE]);

/** audit_chain_digest() - SHA-256 of a hash and the encoding of the row behind it */
void audit_chain_digest(struct bytes octets, uint8_t ret[AUDIT_HASH_SIZE]);

/**
 * audit_chain_next() - what the hash of @row (its own is not looked at) must be behind @previous
 * Return: 0, or -1 where the row cannot be encoded: audit_row_check() says why
 */
int audit_chain_next(const uint8_t previous[AUDIT_HASH_SIZE], const struct audit_row *row,
                     uint8_t ret[AUDIT_HASH_SIZE]);
