/*
 * DER (X.690): a writer that goes backwards, and a strict reader.
 *
 * The writer puts the last octet first, so that a length is known when its header is written: no second
 * pass, no moving. To write a SEQUENCE { a, b }: mark, put b, put a, wrap.
 *
 * The reader takes DER alone: definite, minimal lengths. It remembers failure, so that a decoder reads
 * everything and asks once, with der_done(), which also refuses trailing octets.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/bytes.h"

enum der_tag {
        DER_BOOLEAN = 0x01,
        DER_INTEGER = 0x02,
        DER_BIT_STRING = 0x03,
        DER_OCTET_STRING = 0x04,
        DER_NULL = 0x05,
        DER_OID = 0x06,
        DER_ENUMERATED = 0x0a,
        DER_UTF8_STRING = 0x0c,
        DER_PRINTABLE_STRING = 0x13,
        DER_TELETEX_STRING = 0x14,
        DER_IA5_STRING = 0x16,
        DER_UTC_TIME = 0x17,
        DER_GENERALIZED_TIME = 0x18,
        DER_UNIVERSAL_STRING = 0x1c,
        DER_BMP_STRING = 0x1e,
        DER_SEQUENCE = 0x30,
        DER_SET = 0x31,
};

#define DER_CONTEXT(n) (0x80 | (n))             /* [n] IMPLICIT, primitive */
#define DER_CONTEXT_CONSTRUCTED(n) (0xa0 | (n)) /* [n], constructed */

/* ---- writer ---- */

/** struct der_writer - writes downwards from the end of a buffer that the caller owns */
struct der_writer {
        uint8_t *start;
        uint8_t *end;
        uint8_t *at; /* the first octet written so far */
        bool failed; /* it did not fit */
};

/** der_writer_init() - write into @buffer of @size octets, from its end down */
void der_writer_init(struct der_writer *w, uint8_t *buffer, size_t size);

/** der_writer_bytes() - what has been written; empty where it did not fit */
struct bytes der_writer_bytes(const struct der_writer *w);

/** der_mark() - a place for der_wrap() to come back to */
static inline size_t der_mark(const struct der_writer *w) {
        return (size_t) (w->end - w->at);
}

/** der_put_raw() - put octets as they are */
void der_put_raw(struct der_writer *w, struct bytes raw);

/** der_wrap() - put tag and length in front of everything since @mark */
void der_wrap(struct der_writer *w, uint8_t tag, size_t mark);

/** der_put() - put a whole element: tag, length, @content */
void der_put(struct der_writer *w, uint8_t tag, struct bytes content);

/** der_put_uint() - INTEGER of a small non-negative number */
void der_put_uint(struct der_writer *w, uint64_t value);

/** der_put_unsigned() - INTEGER of a big-endian magnitude: leading zeros removed, one added where the top bit is set */
void der_put_unsigned(struct der_writer *w, struct bytes magnitude);

/** der_put_true() - BOOLEAN TRUE. (DER leaves a FALSE default out.) */
void der_put_true(struct der_writer *w);

/** der_put_bits() - BIT STRING whose named bits are the low bits of @bits, bit 0 first, trailing zeros removed (X.690 §11.2.2) */
void der_put_bits(struct der_writer *w, uint32_t bits);

/** der_put_bit_string() - BIT STRING of whole octets */
void der_put_bit_string(struct der_writer *w, struct bytes octets);

/** der_put_time() - UTCTime through 2049, GeneralizedTime from 2050 (RFC 5280 §4.1.2.5) */
void der_put_time(struct der_writer *w, int64_t t);

/* ---- reader ---- */

/** struct der_reader - what is left to read of one element's content */
struct der_reader {
        const uint8_t *at;
        const uint8_t *end;
        bool failed;
};

/** der_reader() - read @der from its start */
static inline struct der_reader der_reader(struct bytes der) {
        return (struct der_reader){ .at = der.data,
                                    .end = der.size ? der.data + der.size : der.data };
}

/** der_more() - whether something is left and nothing has failed */
static inline bool der_more(const struct der_reader *r) {
        return !r->failed && r->at < r->end;
}

/** der_done() - whether everything was read, and nothing failed or is left over */
static inline bool der_done(const struct der_reader *r) {
        return !r->failed && r->at == r->end;
}

/** der_next_is() - whether an element with @tag comes next */
static inline bool der_next_is(const struct der_reader *r, uint8_t tag) {
        return der_more(r) && *r->at == tag;
}

/** der_get() - the content of the next element, which must have @tag */
struct bytes der_get(struct der_reader *r, uint8_t tag);

/** der_get_any() - the content of the next element and its tag */
struct bytes der_get_any(struct der_reader *r, uint8_t *ret_tag);

/** der_get_element() - the next element whole, header included; @tag 0 takes any */
struct bytes der_get_element(struct der_reader *r, uint8_t tag);

/** der_enter() - a reader for the content of the next element, which must have @tag. Failure is in both readers. */
struct der_reader der_enter(struct der_reader *r, uint8_t tag);

/** der_get_bool() - BOOLEAN: 0x00 or 0xff, one octet */
bool der_get_bool(struct der_reader *r);

/** der_get_uint() - a non-negative INTEGER, minimal, up to 2^63 - 1 */
uint64_t der_get_uint(struct der_reader *r);

/** der_get_integer() - content of a minimally encoded INTEGER of either sign */
struct bytes der_get_integer(struct der_reader *r);

/** der_get_bits() - BIT STRING as named bits (bit 0 = lowest of the result); trailing zero bits must be left out */
uint32_t der_get_bits(struct der_reader *r);

/** der_get_bit_string() - octets of a BIT STRING without unused bits */
struct bytes der_get_bit_string(struct der_reader *r);

/** der_get_time() - UTCTime or GeneralizedTime as RFC 5280 §4.1.2.5 writes them, seconds since the epoch */
int64_t der_get_time(struct der_reader *r);

/** der_fail() - mark a reader as failed, e.g. when a value makes no sense */
static inline void der_fail(struct der_reader *r) {
        r->failed = true;
}
