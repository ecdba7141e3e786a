/*
 * DER writer and reader. Pure: they know encodings and no certificate, and they allocate nothing.
 */
#include "der.h"

#include <stdio.h>

#include "lib/base/moment.h"

void der_writer_init(struct der_writer *w, uint8_t *buffer, size_t size) {
        *w = (struct der_writer){ .start = buffer, .end = buffer + size, .at = buffer + size };
}

struct bytes der_writer_bytes(const struct der_writer *w) {
        return w->failed ? BYTES_NONE : BYTES(w->at, (size_t) (w->end - w->at));
}

static bool make_room(struct der_writer *w, size_t size) {
        if (w->failed || size > (size_t) (w->at - w->start)) {
                w->failed = true;
                return false;
        }
        w->at -= size;
        return true;
}

void der_put_raw(struct der_writer *w, struct bytes raw) {
        if (raw.size && make_room(w, raw.size))
                memcpy(w->at, raw.data, raw.size);
}

static void put_octet(struct der_writer *w, uint8_t octet) {
        if (make_room(w, 1))
                *w->at = octet;
}

void der_wrap(struct der_writer *w, uint8_t tag, size_t mark) {
        size_t length = der_mark(w) - mark;

        if (length < 0x80) {
                put_octet(w, (uint8_t) length);
        } else {
                uint8_t count = 0;

                for (; length; length >>= 8, count++)
                        put_octet(w, (uint8_t) length);
                put_octet(w, 0x80 | count);
        }
        put_octet(w, tag);
}

void der_put(struct der_writer *w, uint8_t tag, struct bytes content) {
        size_t mark = der_mark(w);

        der_put_raw(w, content);
        der_wrap(w, tag, mark);
}

void der_put_unsigned(struct der_writer *w, struct bytes magnitude) {
        size_t mark = der_mark(w);

        while (magnitude.size > 1 && magnitude.data[0] == 0) {
                magnitude.data++;
                magnitude.size--;
        }
        der_put_raw(w, magnitude);
        if (magnitude.size == 0 || magnitude.data[0] & 0x80)
                put_octet(w, 0);
        der_wrap(w, DER_INTEGER, mark);
}

void der_put_uint(struct der_writer *w, uint64_t value) {
        uint8_t octets[8];

        for (size_t i = 0; i < sizeof(octets); i++)
                octets[i] = (uint8_t) (value >> (56 - 8 * i));
        der_put_unsigned(w, BYTES(octets, sizeof(octets)));
}

void der_put_true(struct der_writer *w) {
        der_put(w, DER_BOOLEAN, BYTES_LITERAL("\xff"));
}

void der_put_bits(struct der_writer *w, uint32_t bits) {
        uint8_t octets[5] = { 0 };
        int highest = -1;

        for (int i = 0; i < 32; i++) {
                if (bits >> i & 1) {
                        octets[1 + i / 8] |= (uint8_t) (0x80 >> i % 8);
                        highest = i;
                }
        }
        octets[0] = highest < 0 ? 0 : (uint8_t) (7 - highest % 8);
        der_put(w, DER_BIT_STRING, BYTES(octets, 1 + (size_t) (highest + 8) / 8));
}

void der_put_bit_string(struct der_writer *w, struct bytes octets) {
        size_t mark = der_mark(w);

        der_put_raw(w, octets);
        put_octet(w, 0);
        der_wrap(w, DER_BIT_STRING, mark);
}

static void put_two_digits(char **at, int value) {
        *(*at)++ = (char) ('0' + value / 10 % 10);
        *(*at)++ = (char) ('0' + value % 10);
}

void der_put_time(struct der_writer *w, int64_t t) {
        struct civil_time c = moment_civil(t);
        bool utc_time = c.year >= 1950 && c.year < 2050;
        char text[16], *at = text;

        if (t < 0 || t > MOMENT_LAST) {
                w->failed = true;
                return;
        }
        if (!utc_time)
                put_two_digits(&at, c.year / 100);
        put_two_digits(&at, c.year % 100);
        put_two_digits(&at, c.month);
        put_two_digits(&at, c.day);
        put_two_digits(&at, c.hour);
        put_two_digits(&at, c.minute);
        put_two_digits(&at, c.second);
        *at++ = 'Z';
        der_put(w, utc_time ? DER_UTC_TIME : DER_GENERALIZED_TIME,
                BYTES(text, (size_t) (at - text)));
}

/* ---- reader ---- */

static struct bytes fail(struct der_reader *r) {
        r->failed = true;
        return BYTES_NONE;
}

/* Length octets (X.690 §10.1: definite, as short as can be), at most four of them. */
static bool get_length(struct der_reader *r, size_t *ret) {
        size_t length = 0;
        unsigned count;

        if (r->at >= r->end)
                return false;
        if (*r->at < 0x80) {
                *ret = *r->at++;
                return true;
        }
        count = *r->at++ & 0x7fu;
        if (count == 0 || count > 4 || count > (size_t) (r->end - r->at) || *r->at == 0)
                return false;
        for (; count; count--)
                length = length << 8 | *r->at++;
        *ret = length;
        return length >= 0x80;
}

struct bytes der_get_any(struct der_reader *r, uint8_t *ret_tag) {
        struct bytes content;
        size_t length;

        if (!der_more(r))
                return fail(r);
        *ret_tag = *r->at++;
        /* multi-octet tags appear nowhere in PKIX */
        if ((*ret_tag & 0x1f) == 0x1f || !get_length(r, &length) ||
            length > (size_t) (r->end - r->at))
                return fail(r);
        content = BYTES(r->at, length);
        r->at += length;
        return content;
}

struct bytes der_get(struct der_reader *r, uint8_t tag) {
        uint8_t found;

        if (!der_next_is(r, tag))
                return fail(r);
        return der_get_any(r, &found);
}

struct bytes der_get_element(struct der_reader *r, uint8_t tag) {
        const uint8_t *start = r->at;
        uint8_t found;

        if (tag && !der_next_is(r, tag))
                return fail(r);
        (void) der_get_any(r, &found);
        return r->failed ? BYTES_NONE : BYTES(start, (size_t) (r->at - start));
}

struct der_reader der_enter(struct der_reader *r, uint8_t tag) {
        struct bytes content = der_get(r, tag);
        struct der_reader inner = der_reader(content);

        inner.failed = r->failed;
        return inner;
}

bool der_get_bool(struct der_reader *r) {
        struct bytes b = der_get(r, DER_BOOLEAN);

        if (b.size != 1 || (b.data[0] != 0x00 && b.data[0] != 0xff)) {
                (void) fail(r);
                return false;
        }
        return b.data[0] == 0xff;
}

struct bytes der_get_integer(struct der_reader *r) {
        struct bytes b = der_get(r, DER_INTEGER);

        if (b.size == 0)
                return fail(r);
        if (b.size > 1 &&
            ((b.data[0] == 0x00 && !(b.data[1] & 0x80)) || (b.data[0] == 0xff && b.data[1] & 0x80)))
                return fail(r);
        return b;
}

uint64_t der_get_uint(struct der_reader *r) {
        struct bytes b = der_get_integer(r);
        uint64_t value = 0;

        if (b.size == 0 || b.size > 8 || b.data[0] & 0x80) {
                (void) fail(r);
                return 0;
        }
        for (size_t i = 0; i < b.size; i++)
                value = value << 8 | b.data[i];
        return value;
}

uint32_t der_get_bits(struct der_reader *r) {
        struct bytes b = der_get(r, DER_BIT_STRING);
        uint32_t bits = 0;

        if (b.size == 0 || b.size > 5 || b.data[0] > 7 || (b.size == 1 && b.data[0]) ||
            (b.size > 1 &&
             (b.data[b.size - 1] & (0xff >> (8 - b.data[0])) ||
              !(b.data[b.size - 1] >> b.data[0] & 1)))) {
                (void) fail(r);
                return 0;
        }
        for (size_t i = 0; i < 8 * (b.size - 1); i++)
                if (b.data[1 + i / 8] & (0x80 >> i % 8))
                        bits |= UINT32_C(1) << i;
        return bits;
}

struct bytes der_get_bit_string(struct der_reader *r) {
        struct bytes b = der_get(r, DER_BIT_STRING);

        if (b.size == 0 || b.data[0] != 0)
                return fail(r);
        return BYTES(b.data + 1, b.size - 1);
}

static int two_digits(const uint8_t *p) {
        if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
                return -1;
        return (p[0] - '0') * 10 + (p[1] - '0');
}

int64_t der_get_time(struct der_reader *r) {
        uint8_t tag = 0;
        struct bytes b = der_get_any(r, &tag);
        int part[7] = { 0 };
        size_t parts = tag == DER_GENERALIZED_TIME ? 7 : 6;
        const int *p = part;
        struct civil_time c;
        int64_t t = 0;
        int year;

        if (r->failed || (tag != DER_UTC_TIME && tag != DER_GENERALIZED_TIME) ||
            b.size != 2 * parts + 1 || b.data[b.size - 1] != 'Z') {
                (void) fail(r);
                return 0;
        }
        for (size_t i = 0; i < parts; i++) {
                part[i] = two_digits(b.data + 2 * i);
                if (part[i] < 0) {
                        (void) fail(r);
                        return 0;
                }
        }
        if (tag == DER_GENERALIZED_TIME) {
                year = part[0] * 100 + part[1];
                p = part + 1;
        } else {
                year = part[0] + (part[0] < 50 ? 2000 : 1900);
        }
        c = (struct civil_time){ year, p[1], p[2], p[3], p[4], p[5] };
        if (moment_from_civil(&c, &t) < 0 ||
            (tag == DER_GENERALIZED_TIME && year >= 1950 && year < 2050))
                (void) fail(r);
        return t;
}
