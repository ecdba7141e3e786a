/*
 * The signer's client: calls whose caller waits for the answer. None of this is on a thread that others wait for.
 */
#include "daemon/signer/client_parts.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/memfd.h"
#include "lib/base/moment.h"
#include "lib/pki/crl.h"

/* ---- status ---- */

void wait_status_arrived(struct signer_client *c, const struct signer_header *header,
                         struct frame_reader *fields) {
        (void) pthread_mutex_lock(&c->lock);
        if (c->status && c->status->call.id == header->id) {
                if (sign_status_decode(fields, c->status->ret, &c->status->err) == 0)
                        c->status->err.code = ERR_NONE;
                c->status->done = true;
                (void) pthread_cond_broadcast(&c->changed);
        }
        (void) pthread_mutex_unlock(&c->lock);
}

int signer_client_status(struct signer_client *c, int64_t timeout_ms, struct sign_status *ret,
                         struct error *err) {
        struct waiting_status wait = { .ret = ret };
        uint8_t frame[64];
        struct timespec until;
        int rc = 0;

        (void) clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += timeout_ms / 1000 + 1;
        (void) pthread_mutex_lock(&c->lock);
        while (rc == 0 && c->status) /* one at a time */
                rc = pthread_cond_timedwait(&c->changed, &c->lock, &until);
        if (rc == 0 && c->fd >= 0 && !c->stopping) {
                wait.call.id = ++c->next_id;
                c->status = &wait;
                if (calls_send_frame(c->fd, sign_empty_encode(frame, SIGNER_STATUS, wait.call.id),
                                     err) < 0)
                        rc = ECONNRESET;
                while (rc == 0 && !wait.done)
                        rc = pthread_cond_timedwait(&c->changed, &c->lock, &until);
                c->status = NULL;
                (void) pthread_cond_broadcast(&c->changed);
        }
        (void) pthread_mutex_unlock(&c->lock);
        if (rc == 0 && wait.done && wait.err.code == ERR_NONE)
                return 0;
        return error_set(err, ERR_SIGNER_UNAVAILABLE, "the signer does not say how it is%s%s",
                         wait.err.code ? ": " : "", wait.err.text);
}

/* ---- anchors of the audit ---- */

struct waiting_anchors {
        struct signer_call call;
        struct signer_client *client;
        struct sign_anchors *ret;
        struct error err;
        bool done;
};

static void on_anchors_answer(struct signer_call *call, const char *issuer, struct bytes fields,
                              const struct error *err) {
        struct waiting_anchors *w = (struct waiting_anchors *) call;
        struct frame_reader reader = { .at = fields.data, .end = fields.data + fields.size };
        struct signer_client *c = w->client;

        (void) issuer;
        (void) pthread_mutex_lock(&c->lock);
        if (err)
                w->err = *err;
        else
                (void) sign_anchors_decode(&reader, w->ret, &w->err);
        w->done = true;
        (void) pthread_cond_broadcast(&c->changed);
        (void) pthread_mutex_unlock(&c->lock);
}

int signer_client_anchors(struct signer_client *c, const struct audit_anchor *anchor,
                          struct sign_anchors *ret, struct error *err) {
        struct waiting_anchors w = { .call.done = on_anchors_answer, .client = c, .ret = ret };
        uint8_t frame[128];
        struct bytes message;
        int rc;

        (void) pthread_mutex_lock(&c->lock);
        rc = calls_check(c, err);
        if (rc == 0) {
                calls_put(c, &w.call, SIGNER_DEADLINE_MS);
                message = anchor ? sign_anchor_encode(frame, w.call.id, anchor)
                                 : sign_empty_encode(frame, SIGNER_ANCHORS, w.call.id);
                rc = calls_send(c, &w.call, message, /* attached= */ -1, err);
        }
        while (rc == 0 && !w.done) /* its deadline ends it, too */
                (void) pthread_cond_wait(&c->changed, &c->lock);
        (void) pthread_mutex_unlock(&c->lock);
        if (rc < 0 || w.err.code == ERR_NONE)
                return rc;
        if (err)
                *err = w.err;
        return -1;
}

/* ---- intermediates ---- */

struct waiting_change {
        struct signer_call call; /* first, so that it finds the rest */
        struct signer_client *client;
        uint8_t *frame;
        size_t size; /* of the fields in it */
        struct error err;
        bool done;
};

/* The reader's frame is used again: what came is copied. */
static void on_change_answer(struct signer_call *call, const char *issuer, struct bytes fields,
                             const struct error *err) {
        struct waiting_change *w = (struct waiting_change *) call;
        struct signer_client *c = w->client;

        (void) issuer;
        (void) pthread_mutex_lock(&c->lock);
        if (err) {
                w->err = *err;
        } else {
                memcpy(w->frame, fields.data, fields.size);
                w->size = fields.size;
        }
        w->done = true;
        (void) pthread_cond_broadcast(&c->changed);
        (void) pthread_mutex_unlock(&c->lock);
}

static int wait_for_change(struct signer_client *c, enum signer_message type, const char *issuer,
                           struct waiting_change *w, struct error *err) {
        int rc;

        (void) pthread_mutex_lock(&c->lock);
        rc = calls_check(c, err);
        if (rc == 0) {
                calls_put(c, &w->call, SIGNER_CHANGE_DEADLINE_MS);
                rc = calls_send(c, &w->call, sign_change_encode(w->frame, type, w->call.id, issuer),
                                /* attached= */ -1, err);
        }
        while (rc == 0 && !w->done) /* its deadline ends it, too */
                (void) pthread_cond_wait(&c->changed, &c->lock);
        (void) pthread_mutex_unlock(&c->lock);
        if (rc < 0 || w->err.code == ERR_NONE)
                return rc;
        if (err)
                *err = w->err;
        return -1;
}

int signer_client_change(struct signer_client *c, enum signer_message type, const char *issuer,
                         uint8_t *frame, struct sign_hello *ret, struct error *err) {
        struct waiting_change w = { .call.done = on_change_answer, .client = c, .frame = frame };
        struct frame_reader fields = { 0 };

        if (wait_for_change(c, type, issuer, &w, err) < 0)
                return -1;
        fields.at = frame;
        fields.end = frame + w.size;
        return sign_hello_decode(&fields, ret, err);
}

/* ---- CRLs ---- */

/* What the signer says of it; nothing of that was looked at yet. */
struct crl_answer {
        char issuer[SIGNER_ISSUER_MAX];
        int64_t number, size;
        int fd;
};

/* On the stack of who waits, and with a lock of its own: the client may be gone when it wakes up. */
struct waiting_crl {
        struct signer_call call; /* first, so that it finds the rest */
        pthread_mutex_t lock;
        pthread_cond_t changed;
        bool done;
        struct crl_answer answer;
        struct error err;
};

static void crl_ended(struct waiting_crl *w, const struct crl_answer *answer,
                      const struct error *err) {
        (void) pthread_mutex_lock(&w->lock);
        if (answer)
                w->answer = *answer;
        if (err)
                w->err = *err;
        w->done = true;
        (void) pthread_cond_signal(&w->changed);
        (void) pthread_mutex_unlock(&w->lock);
}

/* All but a CRL: an error, the end of the connection, its deadline. */
static void on_crl_done(struct signer_call *call, const char *issuer, struct bytes der,
                        const struct error *err) {
        struct error wrong = { 0 };

        (void) issuer, (void) der;
        if (!err)
                (void) error_set(&wrong, ERR_SIGNER_WRONG,
                                 "the signer sent something else for a CRL");
        crl_ended((struct waiting_crl *) call, NULL, err ? err : &wrong);
}

static void crl_arrived(struct signer_call *call, const struct crl_answer *answer) {
        crl_ended((struct waiting_crl *) call, answer, NULL);
}

/* A CRL, and whoever waits for one: never an answer of one kind to a call of another, whatever the signer says. */
void wait_crl_arrived(struct signer_client *c, uint32_t id, struct frame_reader *fields, int *fd) {
        struct crl_answer answer = { 0 };
        struct signer_call *call;
        struct error err = { 0 };

        (void) sign_crl_ok_decode(fields, answer.issuer, &answer.number, &answer.size, &err);
        (void) pthread_mutex_lock(&c->lock);
        call = calls_take(c, id);
        (void) pthread_mutex_unlock(&c->lock);
        if (!call)
                return;
        if (err.code == ERR_NONE && call->done != on_crl_done)
                (void) error_set(&err, ERR_SIGNER_WRONG, "the signer sent a CRL for what was none");
        if (err.code != ERR_NONE) {
                call->done(call, "", BYTES_NONE, &err);
                return;
        }
        answer.fd = CAD_TAKE_FD(*fd);
        crl_arrived(call, &answer);
}

void signed_crl_done(struct signed_crl *crl) {
        if (crl->der.size)
                (void) fd_close(crl->fd);
        memfd_unmap(crl->der);
        *crl = (struct signed_crl){ .fd = -1 };
}

static int send_crl_wish(struct signer_client *c, const struct sign_crl *wish,
                         struct signer_call *call, struct error *err) {
        uint8_t frame[256];
        int rc;

        (void) pthread_mutex_lock(&c->lock);
        rc = calls_check(c, err);
        if (rc == 0) {
                calls_put(c, call, SIGNER_CRL_DEADLINE_MS);
                rc = calls_send(c, call, sign_crl_encode(frame, call->id, wish), wish->entries_fd,
                                err);
        }
        (void) pthread_mutex_unlock(&c->lock);
        return rc;
}

/* What came is held against what was asked, as far as it can be without the issuer's certificate. */
static int take_crl(const struct sign_crl *wish, struct crl_answer *answer, struct signed_crl *ret,
                    struct error *err) {
        CAD_AUTO(fd_close) int fd = answer->fd;
        struct signed_crl crl = { .fd = -1 };
        size_t size = 0;

        if (fd < 0 || memfd_check(fd, &size, NULL) < 0 || size == 0 || size > CRL_SIZE_MAX ||
            answer->size < 0 || (uint64_t) answer->size != size)
                return error_set(
                        err, ERR_SIGNER_WRONG,
                        "the signer's CRL is not in a sealed file of the size that it says");
        if (strcmp(answer->issuer, wish->issuer) != 0 ||
            (wish->number && answer->number != wish->number))
                return error_set(
                        err, ERR_SIGNER_WRONG,
                        "the signer's CRL is of another issuer or number than was asked for");
        if (memfd_map(fd, size, &crl.der, err) < 0)
                return -1;
        crl.fd = CAD_TAKE_FD(fd);
        *ret = crl;
        return 0;
}

int signer_client_crl(struct signer_client *c, const struct sign_crl *wish, struct signed_crl *ret,
                      struct error *err) {
        struct waiting_crl w = { .call.done = on_crl_done,
                                 .lock = PTHREAD_MUTEX_INITIALIZER,
                                 .changed = PTHREAD_COND_INITIALIZER,
                                 .answer.fd = -1 };

        if (send_crl_wish(c, wish, &w.call, err) < 0)
                return -1;
        (void) pthread_mutex_lock(&w.lock);
        while (!w.done) /* the client's reader keeps the deadline */
                (void) pthread_cond_wait(&w.changed, &w.lock);
        (void) pthread_mutex_unlock(&w.lock);
        if (w.err.code == ERR_NONE)
                return take_crl(wish, &w.answer, ret, err);
        if (err)
                *err = w.err;
        return -1;
}
