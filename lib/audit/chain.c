/*
 * The audit chain: see chain.h. Pure; it knows no store, no clock and nobody who is in the rows.
 */
#include "lib/audit/chain.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>

#include "lib/base/moment.h"
#include "lib/base/text.h"

static const struct {
        const char *name;
        size_t max; /* bytes */
} texts[] = {
        [AUDIT_ACTION] = { "action", AUDIT_WORD_MAX },
        [AUDIT_PRINCIPAL] = { "principal", AUDIT_WHO_MAX },
        [AUDIT_SOURCE] = { "source", AUDIT_WHO_MAX },
        [AUDIT_OBJECT] = { "object", AUDIT_WHO_MAX },
        [AUDIT_OUTCOME] = { "outcome", AUDIT_WORD_MAX },
        [AUDIT_DETAIL] = { "detail", AUDIT_DETAIL_MAX },
        [AUDIT_REQUEST_ID] = { "request_id", AUDIT_WORD_MAX },
};
_Static_assert(ARRAY_SIZE(texts) == AUDIT_TEXT_COUNT, "one row a text");

#define TEXTS_MAX (3 * AUDIT_WORD_MAX + 3 * AUDIT_WHO_MAX + AUDIT_DETAIL_MAX)
_Static_assert(AUDIT_SCRATCH_MAX >= TEXTS_MAX + AUDIT_TEXT_COUNT, "room for each text and its NUL");
_Static_assert(AUDIT_ROW_MAX >= 16 + 4 * AUDIT_TEXT_COUNT + TEXTS_MAX,
               "room for each text and its length");

const char *audit_text_name(enum audit_text which) {
        return (unsigned) which < AUDIT_TEXT_COUNT ? texts[which].name : "?";
}

void audit_row_clean(const struct audit_event *event, char *scratch, struct audit_row *ret) {
        const char *const given[AUDIT_TEXT_COUNT] = {
                [AUDIT_ACTION] = event->action,
                [AUDIT_PRINCIPAL] = event->principal,
                [AUDIT_SOURCE] = event->source,
                [AUDIT_OBJECT] = event->object,
                [AUDIT_OUTCOME] = event->outcome ? event->outcome : "ok",
                [AUDIT_DETAIL] = event->detail,
                [AUDIT_REQUEST_ID] = event->request_id,
        };

        ret->at = event->at < 0 ? 0 : event->at > MOMENT_LAST ? MOMENT_LAST : event->at;
        for (unsigned i = 0; i < AUDIT_TEXT_COUNT; i++) {
                (void) text_printable(bytes_of(given[i]), scratch, texts[i].max + 1);
                ret->text[i] = bytes_of(scratch);
                scratch += ret->text[i].size + 1;
        }
}

int audit_row_check(const struct audit_row *row, struct error *err) {
        char clean[AUDIT_DETAIL_MAX + 1];

        if (row->number < 1 || row->at < 0 || row->at > MOMENT_LAST)
                return error_set(err, ERR_STORE, "its number or its time was never written by cad");
        for (unsigned i = 0; i < AUDIT_TEXT_COUNT; i++)
                if (!bytes_equal(row->text[i],
                                 bytes_of(text_printable(row->text[i], clean, texts[i].max + 1))))
                        return error_set(err, ERR_STORE, "its %s was never written by cad",
                                         texts[i].name);
        return 0;
}

/* ---- octets ---- */

static uint8_t *put_number(uint8_t *at, uint64_t value, size_t size) {
        for (size_t i = 0; i < size; i++)
                at[i] = (uint8_t) (value >> (8 * (size - 1 - i)));
        return at + size;
}

static uint8_t *put_text(uint8_t *at, struct bytes text) {
        at = put_number(at, text.size, 4);
        if (text.size)
                memcpy(at, text.data, text.size);
        return at + text.size;
}

size_t audit_row_encode(const struct audit_row *row, uint8_t out[AUDIT_ROW_MAX]) {
        uint8_t *at = put_number(put_number(out, (uint64_t) row->number, 8), (uint64_t) row->at, 8);

        for (unsigned i = 0; i < AUDIT_TEXT_COUNT; i++) {
                if (row->text[i].size > texts[i].max)
                        return 0;
                at = put_text(at, row->text[i]);
        }
        return (size_t) (at - out);
}

/* ---- hashes ---- */

void audit_chain_digest(struct bytes octets, uint8_t ret[AUDIT_HASH_SIZE]) {
        /* No input makes this fail: a GnuTLS without SHA-256 is no GnuTLS. */
        if (gnutls_hash_fast(GNUTLS_DIG_SHA256, octets.data, octets.size, ret) < 0)
                abort();
}

void audit_chain_begin(const char *ca_id, uint8_t ret[AUDIT_HASH_SIZE]) {
        uint8_t octets[256];
        struct bytes id = bytes_of(ca_id);
        uint8_t *at = put_text(octets, BYTES_LITERAL("cad audit 1"));

        if (id.size > 128) /* it has 64 digits */
                id.size = 128;
        at = put_text(at, id);
        audit_chain_digest(BYTES(octets, at - octets), ret);
}

int audit_chain_next(const uint8_t previous[AUDIT_HASH_SIZE], const struct audit_row *row,
                     uint8_t ret[AUDIT_HASH_SIZE]) {
        uint8_t octets[AUDIT_HASH_SIZE + AUDIT_ROW_MAX];
        size_t size = audit_row_encode(row, octets + AUDIT_HASH_SIZE);

        if (size == 0)
                return -1;
        memcpy(octets, previous, AUDIT_HASH_SIZE);
        audit_chain_digest(BYTES(octets, AUDIT_HASH_SIZE + size), ret);
        return 0;
}
