/*
 * A frame of cad's, and its answer: a row for each message.
 *
 * decode (protocol.c) → decide (policy.c, admit.c) → do (cert.c, and one private_key_sign()). CRLs and changes of intermediates are made on
 * threads of their own, which answer.
 */
#include "daemon/signer/signer.h"

#include <string.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"

#define COMPLAINT_MS \
        60000 /* a malformed message is worth a line once so often: cad could fill the disk with them */

typedef struct bytes (*message_handler)(struct signer *s, uint32_t id, struct frame_reader *fields,
                                        uint8_t *out, struct error *err);

static int issue(struct signer *s, const struct profile_set *profiles, struct frame_reader *fields,
                 struct buffer *ret, const char **ret_issuer, struct error *err) {
        struct sign_issue wanted;
        CAD_AUTO(policy_grant_done) struct policy_grant grant = { 0 };
        uint8_t serial[SIGNER_SERIAL_SIZE], octets[CERT_MAX];
        struct der_writer w;
        int64_t now_ms = moment_now_ms();

        if (sign_issue_decode(fields, &wanted, err) < 0 || admit_clock(s, now_ms, err) < 0 ||
            policy_check(s->ca, profiles, &wanted, now_ms / 1000, &grant, err) < 0 ||
            admit_certificate(s, &grant, now_ms, serial, err) < 0)
                return -1;
        der_writer_init(&w, octets, sizeof(octets));
        cert_put_leaf(&w, &grant.issuer->signs_as, &grant.wish);
        *ret_issuer = grant.issuer->id;
        return cert_sign(grant.issuer->key, der_writer_bytes(&w), ret,
                         err); /* the only line that touches the key */
}

static struct bytes on_issue(struct signer *s, uint32_t id, struct frame_reader *fields,
                             uint8_t *out, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer der = { 0 };
        const char *issuer = "";
        int rc;

        (void) pthread_rwlock_rdlock(&s->profiles_lock);
        rc = issue(s, atomic_load(&s->profiles), fields, &der, &issuer, err);
        (void) pthread_rwlock_unlock(&s->profiles_lock);
        return rc < 0 ? BYTES_NONE : sign_certificate_encode(out, id, issuer, buffer_bytes(&der));
}

void message_describe_ca(struct signer *s, struct sign_hello *ret) {
        ca_hello(s->ca, ret);
        (void) pthread_mutex_lock(&s->lock);
        ret->issued = s->mark.issued;
        (void) pthread_mutex_unlock(&s->lock);
        ret->uid = (int64_t) geteuid();
}

static struct bytes on_hello(struct signer *s, uint32_t id, struct frame_reader *fields,
                             uint8_t *out, struct error *err) {
        struct sign_hello hello;

        if (!frame_done(fields)) {
                (void) error_set(err, ERR_MESSAGE_MALFORMED, "a HELLO carries no fields");
                return BYTES_NONE;
        }
        message_describe_ca(s, &hello);
        return sign_hello_encode(out, id, &hello);
}

static struct bytes on_status(struct signer *s, uint32_t id, struct frame_reader *fields,
                              uint8_t *out, struct error *err) {
        struct sign_status status = { 0 };
        struct error clock = { 0 };
        int64_t now_ms = moment_now_ms();

        if (!frame_done(fields)) {
                (void) error_set(err, ERR_MESSAGE_MALFORMED, "a STATUS carries no fields");
                return BYTES_NONE;
        }
        (void) pthread_mutex_lock(&s->lock);
        (void) admit_clock_locked(s, now_ms, &clock);
        status.issued = s->mark.issued;
        status.per_hour = s->rate.per_hour;
        status.last_hour = rate_last_hour(&s->rate, now_ms / 1000);
        memcpy(status.log, s->log_error.text, sizeof(status.log));
        (void) pthread_mutex_unlock(&s->lock);
        memcpy(status.clock, clock.text, sizeof(status.clock));
        return sign_status_encode(out, id, &status);
}

static struct bytes answer_anchors(struct signer *s, uint32_t id, uint8_t *out) {
        struct bytes reply;

        (void) pthread_mutex_lock(&s->lock);
        reply = sign_anchors_encode(out, id, &s->anchors);
        (void) pthread_mutex_unlock(&s->lock);
        return reply;
}

static struct bytes on_anchor(struct signer *s, uint32_t id, struct frame_reader *fields,
                              uint8_t *out, struct error *err) {
        enum anchor_news news = ANCHOR_KNOWN;
        struct audit_anchor anchor;
        int64_t before = 0;
        int rc;

        if (sign_anchor_decode(fields, &anchor, err) < 0)
                return BYTES_NONE;
        (void) pthread_mutex_lock(&s->lock);
        if (s->anchors.count)
                before = s->anchors.list[s->anchors.count - 1].number;
        rc = admit_anchor_locked(s, &anchor, &news, err);
        (void) pthread_mutex_unlock(&s->lock);
        if (rc < 0)
                return BYTES_NONE;
        if (news == ANCHOR_BEHIND)
                log_warning(
                        "cad's audit went back from row %lld to row %lld: its database was put back to an older copy, or changed. "
                        "`cactl audit verify` says more",
                        (long long) before, (long long) anchor.number);
        return answer_anchors(s, id, out);
}

static struct bytes on_anchors(struct signer *s, uint32_t id, struct frame_reader *fields,
                               uint8_t *out, struct error *err) {
        if (frame_done(fields))
                return answer_anchors(s, id, out);
        (void) error_set(err, ERR_MESSAGE_MALFORMED, "ANCHORS carries no fields");
        return BYTES_NONE;
}

static struct bytes on_crl(struct signer *s, uint32_t id, struct frame_reader *fields, uint8_t *out,
                           struct error *err) {
        struct sign_crl wish;

        (void) out;
        if (sign_crl_decode(fields, &wish, err) < 0)
                return BYTES_NONE;
        if (fields->fd)
                wish.entries_fd = CAD_TAKE_FD(*fields->fd);
        return crl_worker_take(s->crl_worker, id, &wish, err) < 0 ? BYTES_NONE
                                                                  : MESSAGE_ANSWERED_LATER;
}

static struct bytes take_change(struct signer *s, enum signer_message type, uint32_t id,
                                struct frame_reader *fields, struct error *err) {
        char issuer[SIGNER_ISSUER_MAX];

        if (sign_change_decode(fields, issuer, err) < 0)
                return BYTES_NONE;
        if (type == SIGNER_PREPARE && issuer[0]) {
                (void) error_set(err, ERR_MESSAGE_MALFORMED, "PREPARE names no issuer");
                return BYTES_NONE;
        }
        return rotation_take(s->rotation, type, id, issuer, err) < 0 ? BYTES_NONE
                                                                     : MESSAGE_ANSWERED_LATER;
}

static struct bytes on_prepare(struct signer *s, uint32_t id, struct frame_reader *fields,
                               uint8_t *out, struct error *err) {
        (void) out;
        return take_change(s, SIGNER_PREPARE, id, fields, err);
}

static struct bytes on_activate(struct signer *s, uint32_t id, struct frame_reader *fields,
                                uint8_t *out, struct error *err) {
        (void) out;
        return take_change(s, SIGNER_ACTIVATE, id, fields, err);
}

static const message_handler handlers[] = {
        [SIGNER_HELLO] = on_hello,     [SIGNER_ISSUE] = on_issue,       [SIGNER_STATUS] = on_status,
        [SIGNER_ANCHOR] = on_anchor,   [SIGNER_ANCHORS] = on_anchors,   [SIGNER_CRL] = on_crl,
        [SIGNER_PREPARE] = on_prepare, [SIGNER_ACTIVATE] = on_activate,
};

static void complain(struct signer *s, const struct error *err) {
        long long now = moment_monotonic_ms(), due = atomic_load(&s->complain_at_ms);

        if (now < due ||
            !atomic_compare_exchange_strong(&s->complain_at_ms, &due, now + COMPLAINT_MS)) {
                atomic_fetch_add(&s->unsaid, 1);
                return;
        }
        log_error(LOG_LEVEL_WARNING, err,
                  "refused a message of cad's (and %u more since this was last said)",
                  atomic_exchange(&s->unsaid, 0));
}

struct bytes message_answer(struct signer *s, struct bytes frame, int *fd, uint8_t *out) {
        struct signer_header header;
        struct frame_reader fields;
        struct error err = { 0 };
        struct bytes reply = BYTES_NONE;

        if (frame_open(frame, &header, &fields, &err) == 0) {
                fields.fd = fd;
                if (header.type < ARRAY_SIZE(handlers) && handlers[header.type])
                        reply = handlers[header.type](s, header.id, &fields, out, &err);
                else
                        (void) error_set(&err, ERR_MESSAGE_MALFORMED,
                                         "there is no message of type %u for the signer",
                                         header.type);
        }
        if (reply.data)
                return reply;
        if (err.code == ERR_NONE)
                (void) error_set(&err, ERR_INTERNAL, "the answer does not fit into a frame");
        if (err.code == ERR_MESSAGE_MALFORMED)
                complain(s, &err);
        return sign_error_encode(out, header.id, &err);
}
