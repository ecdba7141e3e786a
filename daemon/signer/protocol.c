/*
 * Frames between cad and cad-signer: bytes to structs and back. No descriptor, no key, no clock, no policy.
 */
#include "protocol.h"

#include <stdio.h>

#include "lib/base/moment.h"

#define HEADER_SIZE 12 /* length 4, version 1, type 1, zero 2, id 4 */

static void put_u32(uint8_t *at, uint32_t value) {
        for (int i = 0; i < 4; i++)
                at[i] = (uint8_t) (value >> (24 - 8 * i));
}

static uint32_t get_u32(const uint8_t *at) {
        return (uint32_t) at[0] << 24 | (uint32_t) at[1] << 16 | (uint32_t) at[2] << 8 | at[3];
}

void frame_begin(struct frame_writer *w, uint8_t *buffer, enum signer_message type, uint32_t id) {
        *w = (struct frame_writer){ .data = buffer, .size = HEADER_SIZE };
        memset(buffer, 0, HEADER_SIZE);
        buffer[4] = SIGNER_PROTOCOL_VERSION;
        buffer[5] = (uint8_t) type;
        put_u32(buffer + 8, id);
}

void frame_put(struct frame_writer *w, struct bytes field) {
        if (w->failed || field.size > SIGNER_FRAME_MAX - 4 ||
            w->size > SIGNER_FRAME_MAX - 4 - field.size) {
                w->failed = true;
                return;
        }
        put_u32(w->data + w->size, (uint32_t) field.size);
        if (field.size && field.data)
                memcpy(w->data + w->size + 4, field.data, field.size);
        w->size += 4 + field.size;
}

void frame_put_number(struct frame_writer *w, int64_t value) {
        uint8_t octets[8];

        put_u32(octets, (uint32_t) ((uint64_t) value >> 32));
        put_u32(octets + 4, (uint32_t) (uint64_t) value);
        frame_put(w, BYTES(octets, sizeof(octets)));
}

struct bytes frame_end(struct frame_writer *w) {
        if (w->failed)
                return BYTES_NONE;
        put_u32(w->data, (uint32_t) w->size);
        return BYTES(w->data, w->size);
}

int frame_open(struct bytes frame, struct signer_header *ret, struct frame_reader *ret_fields,
               struct error *err) {
        *ret = (struct signer_header){ 0 };
        if (frame.size < HEADER_SIZE)
                return error_set(err, ERR_MESSAGE_MALFORMED,
                                 "a frame of %zu octets is shorter than its header", frame.size);
        *ret = (struct signer_header){ .version = frame.data[4],
                                       .type = frame.data[5],
                                       .id = get_u32(frame.data + 8) };
        if (frame.size > SIGNER_FRAME_MAX || get_u32(frame.data) != frame.size)
                return error_set(err, ERR_MESSAGE_MALFORMED,
                                 "a frame of %zu octets says that it has %u", frame.size,
                                 get_u32(frame.data));
        if (ret->version != SIGNER_PROTOCOL_VERSION)
                return error_set(
                        err, ERR_MESSAGE_MALFORMED,
                        "the frame is of protocol version %u, this is %d: cad and cad-signer are of different builds",
                        ret->version, SIGNER_PROTOCOL_VERSION);
        if (frame.data[6] || frame.data[7])
                return error_set(
                        err, ERR_MESSAGE_MALFORMED,
                        "the frame has the reserved octets %02x %02x, which are zero in protocol version %d",
                        frame.data[6], frame.data[7], SIGNER_PROTOCOL_VERSION);
        *ret_fields = (struct frame_reader){ .at = frame.data + HEADER_SIZE,
                                             .end = frame.data + frame.size };
        return 0;
}

struct bytes frame_get(struct frame_reader *r, size_t max) {
        struct bytes field;
        size_t size;

        if (r->failed || (size_t) (r->end - r->at) < 4)
                goto fail;
        size = get_u32(r->at);
        if (size > max || size > (size_t) (r->end - r->at) - 4)
                goto fail;
        field = BYTES(r->at + 4, size);
        r->at += 4 + size;
        return field;
fail:
        r->failed = true;
        return BYTES_NONE;
}

void frame_get_text(struct frame_reader *r, char *out, size_t size) {
        struct bytes field = frame_get(r, size - 1);

        out[0] = '\0';
        if (field.size && memchr(field.data, 0, field.size)) {
                r->failed = true;
                return;
        }
        if (field.size)
                memcpy(out, field.data, field.size);
        out[field.size] = '\0';
}

int64_t frame_get_number(struct frame_reader *r) {
        struct bytes field = frame_get(r, 8);

        if (field.size != 8) {
                r->failed = true;
                return 0;
        }
        return (int64_t) ((uint64_t) get_u32(field.data) << 32 | get_u32(field.data + 4));
}

bool frame_done(const struct frame_reader *r) {
        return !r->failed && r->at == r->end;
}

static bool get_flag(struct frame_reader *r) {
        int64_t value = frame_get_number(r);

        if (value != 0 && value != 1)
                r->failed = true;
        return value == 1;
}

static int malformed(const char *what, struct error *err) {
        return error_set(err, ERR_MESSAGE_MALFORMED,
                         "the %s frame is short, too long in a field, or has octets left over",
                         what);
}

/* ---- messages ---- */

struct bytes sign_empty_encode(uint8_t *buffer, enum signer_message type, uint32_t id) {
        struct frame_writer w;

        frame_begin(&w, buffer, type, id);
        return frame_end(&w);
}

struct bytes sign_issue_encode(uint8_t *buffer, uint32_t id, const struct sign_issue *issue) {
        struct frame_writer w;

        frame_begin(&w, buffer, SIGNER_ISSUE, id);
        frame_put(&w, bytes_of(issue->issuer));
        frame_put(&w, bytes_of(issue->profile));
        frame_put(&w, BYTES(issue->profile_digest, sizeof(issue->profile_digest)));
        frame_put(&w, issue->spki);
        frame_put(&w, bytes_of(issue->common_name));
        frame_put(&w, issue->names);
        frame_put_number(&w, issue->validity.not_before);
        frame_put_number(&w, issue->validity.not_after);
        return frame_end(&w);
}

int sign_issue_decode(struct frame_reader *fields, struct sign_issue *ret, struct error *err) {
        struct sign_issue issue = { 0 };
        struct bytes digest;

        frame_get_text(fields, issue.issuer, sizeof(issue.issuer));
        frame_get_text(fields, issue.profile, sizeof(issue.profile));
        digest = frame_get(fields, sizeof(issue.profile_digest));
        issue.spki = frame_get(fields, SPKI_MAX);
        frame_get_text(fields, issue.common_name, sizeof(issue.common_name));
        issue.names = frame_get(fields, CERT_MAX);
        issue.validity.not_before = frame_get_number(fields);
        issue.validity.not_after = frame_get_number(fields);
        if (!frame_done(fields) || digest.size != sizeof(issue.profile_digest))
                return malformed("ISSUE", err);
        memcpy(issue.profile_digest, digest.data, digest.size);
        *ret = issue;
        return 0;
}

struct bytes sign_certificate_encode(uint8_t *buffer, uint32_t id, const char *issuer,
                                     struct bytes der) {
        struct frame_writer w;

        frame_begin(&w, buffer, SIGNER_CERTIFICATE, id);
        frame_put(&w, bytes_of(issuer));
        frame_put(&w, der);
        return frame_end(&w);
}

int sign_certificate_decode(struct frame_reader *fields, char ret_issuer[SIGNER_ISSUER_MAX],
                            struct bytes *ret_der, struct error *err) {
        char issuer[SIGNER_ISSUER_MAX];
        struct bytes der;

        frame_get_text(fields, issuer, sizeof(issuer));
        der = frame_get(fields, CERT_MAX);
        if (!frame_done(fields))
                return malformed("CERTIFICATE", err);
        memcpy(ret_issuer, issuer, sizeof(issuer));
        *ret_der = der;
        return 0;
}

struct bytes sign_error_encode(uint8_t *buffer, uint32_t id, const struct error *error) {
        struct frame_writer w;

        frame_begin(&w, buffer, SIGNER_ERROR, id);
        frame_put(&w, bytes_of(error_slug(error->code)));
        frame_put(&w, bytes_of(error->field));
        frame_put(&w, bytes_of(error->text));
        return frame_end(&w);
}

int sign_error_decode(struct frame_reader *fields, struct error *ret, struct error *err) {
        char slug[64], field[ERROR_FIELD_MAX], text[ERROR_TEXT_MAX];

        frame_get_text(fields, slug, sizeof(slug));
        frame_get_text(fields, field, sizeof(field));
        frame_get_text(fields, text, sizeof(text));
        if (!frame_done(fields))
                return malformed("ERROR", err);
        (void) error_set_field(ret, error_from_slug(slug), field, "%s", text);
        return 0;
}

static const char *const state_names[] = {
        [SIGNER_ISSUER_ACTIVE] = "active",
        [SIGNER_ISSUER_STANDBY] = "standby",
        [SIGNER_ISSUER_RETIRED] = "retired",
};
_Static_assert(ARRAY_SIZE(state_names) == SIGNER_ISSUER_STATE_COUNT, "one row a state");

const char *signer_issuer_state_name(enum signer_issuer_state state) {
        return state < SIGNER_ISSUER_STATE_COUNT ? state_names[state] : "?";
}

void signer_issuer_urls(const char *public_url, const char *id, char *crl_url, char *issuer_url) {
        (void) snprintf(crl_url, CERT_URL_MAX, "%.200s/crl/%s.crl", public_url, id);
        (void) snprintf(issuer_url, CERT_URL_MAX, "%.200s/ca/%s.crt", public_url, id);
}

static struct bytes encode_ca(uint8_t *buffer, enum signer_message type, uint32_t id,
                              const struct sign_hello *hello) {
        struct frame_writer w;

        frame_begin(&w, buffer, type, id);
        frame_put(&w, bytes_of(hello->ca_id));
        frame_put(&w, bytes_of(hello->replaces));
        frame_put(&w, bytes_of(hello->name));
        frame_put(&w, bytes_of(hello->public_url));
        frame_put_number(&w, hello->issued);
        frame_put_number(&w, hello->root_key_present);
        frame_put_number(&w, hello->keys_encrypted);
        frame_put_number(&w, hello->uid);
        frame_put(&w, hello->root);
        frame_put_number(&w, (int64_t) hello->issuer_count);
        for (size_t i = 0; i < hello->issuer_count; i++) {
                frame_put(&w, bytes_of(hello->issuers[i].id));
                frame_put_number(&w, hello->issuers[i].state);
                frame_put(&w, hello->issuers[i].der);
        }
        return frame_end(&w);
}

struct bytes sign_hello_encode(uint8_t *buffer, uint32_t id, const struct sign_hello *hello) {
        return encode_ca(buffer, SIGNER_HELLO_OK, id, hello);
}

struct bytes sign_ca_encode(uint8_t *buffer, uint32_t id, const struct sign_hello *hello) {
        return encode_ca(buffer, SIGNER_CA_OK, id, hello);
}

struct bytes sign_change_encode(uint8_t *buffer, enum signer_message type, uint32_t id,
                                const char *issuer) {
        struct frame_writer w;

        frame_begin(&w, buffer, type, id);
        frame_put(&w, bytes_of(issuer));
        return frame_end(&w);
}

int sign_change_decode(struct frame_reader *fields, char ret_issuer[SIGNER_ISSUER_MAX],
                       struct error *err) {
        char issuer[SIGNER_ISSUER_MAX];

        frame_get_text(fields, issuer, sizeof(issuer));
        if (!frame_done(fields))
                return malformed("PREPARE or ACTIVATE", err);
        memcpy(ret_issuer, issuer, sizeof(issuer));
        return 0;
}

int sign_hello_decode(struct frame_reader *fields, struct sign_hello *ret, struct error *err) {
        struct sign_hello hello = { 0 };
        int64_t count;

        frame_get_text(fields, hello.ca_id, sizeof(hello.ca_id));
        frame_get_text(fields, hello.replaces, sizeof(hello.replaces));
        frame_get_text(fields, hello.name, sizeof(hello.name));
        frame_get_text(fields, hello.public_url, sizeof(hello.public_url));
        hello.issued = frame_get_number(fields);
        hello.root_key_present = get_flag(fields);
        hello.keys_encrypted = get_flag(fields);
        hello.uid = frame_get_number(fields);
        hello.root = frame_get(fields, CERT_MAX);
        count = frame_get_number(fields);
        if (count < 1 || count > SIGNER_ISSUERS_MAX)
                return malformed("HELLO_OK", err);
        for (; hello.issuer_count < (size_t) count; hello.issuer_count++) {
                struct sign_hello_issuer *issuer = &hello.issuers[hello.issuer_count];
                int64_t state;

                frame_get_text(fields, issuer->id, sizeof(issuer->id));
                state = frame_get_number(fields);
                if (state < 0 || state >= SIGNER_ISSUER_STATE_COUNT)
                        return malformed("HELLO_OK", err);
                issuer->state = (enum signer_issuer_state) state;
                issuer->der = frame_get(fields, CERT_MAX);
        }
        if (!frame_done(fields))
                return malformed("HELLO_OK", err);
        *ret = hello;
        return 0;
}

struct bytes sign_status_encode(uint8_t *buffer, uint32_t id, const struct sign_status *status) {
        struct frame_writer w;

        frame_begin(&w, buffer, SIGNER_STATUS_OK, id);
        frame_put_number(&w, status->issued);
        frame_put_number(&w, status->last_hour);
        frame_put_number(&w, status->per_hour);
        frame_put(&w, bytes_of(status->clock));
        frame_put(&w, bytes_of(status->log));
        return frame_end(&w);
}

int sign_status_decode(struct frame_reader *fields, struct sign_status *ret, struct error *err) {
        struct sign_status status = { 0 };

        status.issued = frame_get_number(fields);
        status.last_hour = frame_get_number(fields);
        status.per_hour = frame_get_number(fields);
        frame_get_text(fields, status.clock, sizeof(status.clock));
        frame_get_text(fields, status.log, sizeof(status.log));
        if (!frame_done(fields))
                return malformed("STATUS_OK", err);
        *ret = status;
        return 0;
}

struct bytes sign_crl_encode(uint8_t *buffer, uint32_t id, const struct sign_crl *wish) {
        struct frame_writer w;

        frame_begin(&w, buffer, SIGNER_CRL, id);
        frame_put(&w, bytes_of(wish->issuer));
        frame_put_number(&w, wish->number);
        frame_put_number(&w, wish->this_update);
        frame_put_number(&w, wish->next_update);
        frame_put_number(&w, wish->entry_count);
        return frame_end(&w);
}

int sign_crl_decode(struct frame_reader *fields, struct sign_crl *ret, struct error *err) {
        struct sign_crl wish = { .entries_fd = -1 };

        frame_get_text(fields, wish.issuer, sizeof(wish.issuer));
        wish.number = frame_get_number(fields);
        wish.this_update = frame_get_number(fields);
        wish.next_update = frame_get_number(fields);
        wish.entry_count = frame_get_number(fields);
        if (!frame_done(fields))
                return malformed("CRL", err);
        *ret = wish;
        return 0;
}

struct bytes sign_crl_ok_encode(uint8_t *buffer, uint32_t id, const char *issuer, int64_t number,
                                int64_t size) {
        struct frame_writer w;

        frame_begin(&w, buffer, SIGNER_CRL_OK, id);
        frame_put(&w, bytes_of(issuer));
        frame_put_number(&w, number);
        frame_put_number(&w, size);
        return frame_end(&w);
}

int sign_crl_ok_decode(struct frame_reader *fields, char ret_issuer[SIGNER_ISSUER_MAX],
                       int64_t *ret_number, int64_t *ret_size, struct error *err) {
        char issuer[SIGNER_ISSUER_MAX];
        int64_t number, size;

        frame_get_text(fields, issuer, sizeof(issuer));
        number = frame_get_number(fields);
        size = frame_get_number(fields);
        if (!frame_done(fields))
                return malformed("CRL_OK", err);
        memcpy(ret_issuer, issuer, sizeof(issuer));
        *ret_number = number;
        *ret_size = size;
        return 0;
}

/* ---- anchors of the audit ---- */

static void put_anchor(struct frame_writer *w, const struct audit_anchor *anchor) {
        frame_put_number(w, anchor->number);
        frame_put(w, BYTES(anchor->hash, sizeof(anchor->hash)));
}

/* The chain's first row has number 1; before it there is nothing to anchor. */
static void get_anchor(struct frame_reader *r, struct audit_anchor *ret) {
        struct bytes hash;

        ret->number = frame_get_number(r);
        hash = frame_get(r, sizeof(ret->hash));
        if (hash.size != sizeof(ret->hash) || ret->number < 1)
                r->failed = true;
        else
                memcpy(ret->hash, hash.data, hash.size);
}

struct bytes sign_anchor_encode(uint8_t *buffer, uint32_t id, const struct audit_anchor *anchor) {
        struct frame_writer w;

        frame_begin(&w, buffer, SIGNER_ANCHOR, id);
        put_anchor(&w, anchor);
        return frame_end(&w);
}

int sign_anchor_decode(struct frame_reader *fields, struct audit_anchor *ret, struct error *err) {
        struct audit_anchor anchor = { 0 };

        get_anchor(fields, &anchor);
        if (!frame_done(fields))
                return malformed("ANCHOR", err);
        *ret = anchor;
        return 0;
}

struct bytes sign_anchors_encode(uint8_t *buffer, uint32_t id, const struct sign_anchors *anchors) {
        struct frame_writer w;

        frame_begin(&w, buffer, SIGNER_ANCHORS_OK, id);
        frame_put_number(&w, (int64_t) anchors->count);
        for (size_t i = 0; i < anchors->count; i++) {
                frame_put_number(&w, anchors->list[i].at);
                put_anchor(&w, &anchors->list[i]);
        }
        return frame_end(&w);
}

int sign_anchors_decode(struct frame_reader *fields, struct sign_anchors *ret, struct error *err) {
        struct sign_anchors anchors = { 0 };
        int64_t count = frame_get_number(fields);

        if (count < 0 || count > SIGNER_ANCHORS_MAX)
                return malformed("ANCHORS_OK", err);
        for (; anchors.count < (size_t) count; anchors.count++) {
                struct audit_anchor *anchor = &anchors.list[anchors.count];

                anchor->at = frame_get_number(fields);
                if (anchor->at < 0 || anchor->at > MOMENT_LAST)
                        return malformed("ANCHORS_OK", err);
                get_anchor(fields, anchor);
        }
        if (!frame_done(fields))
                return malformed("ANCHORS_OK", err);
        *ret = anchors;
        return 0;
}
