/*
 * cad's end of the signer's socket.
 *
 * A send never blocks: a signer that is stopped fills the socket, and the caller gets an error instead of waiting. The
 * reader takes every answer that is there before it says "drained", so that what follows (a commit) is done once for all.
 */
#include "daemon/signer/client.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/signer/channel.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/memfd.h"
#include "lib/base/moment.h"
#include "lib/pki/crl.h"

#define SWEEP_MS 250 /* how often deadlines are looked at */
#define BUCKETS 64   /* of calls in flight, by id */

struct waiting_status {
        struct signer_call call;
        struct sign_status *ret;
        struct error err;
        bool done;
};

struct signer_client {
        unsigned (*drained)(void *context);
        void *context;
        pthread_t reader;
        int wake_fd;    /* tells the reader of a new connection, or of the end */
        uint8_t *frame; /* the reader's */

        pthread_mutex_t lock;
        pthread_cond_t changed; /* connection or status; by the monotonic clock */
        int fd;                 /* -1: not connected */
        bool stopping;
        uint32_t next_id;
        size_t in_flight;
        struct signer_call *buckets[BUCKETS];
        struct waiting_status *status; /* the one STATUS in flight */
};

/* ---- calls in flight; the caller holds the lock ---- */

static void put_in_flight(struct signer_client *c, struct signer_call *call) {
        struct signer_call **bucket = &c->buckets[call->id % BUCKETS];

        call->next = *bucket;
        *bucket = call;
        c->in_flight++;
}

static struct signer_call *take_from(struct signer_client *c, struct signer_call **at) {
        struct signer_call *call = *at;

        *at = call->next;
        call->next = NULL;
        c->in_flight--;
        return call;
}

static struct signer_call *take_in_flight(struct signer_client *c, uint32_t id) {
        for (struct signer_call **at = &c->buckets[id % BUCKETS]; *at; at = &(*at)->next)
                if ((*at)->id == id)
                        return take_from(c, at);
        return NULL;
}

/* All whose deadline is before @before_ms, as a list. */
static struct signer_call *take_overdue(struct signer_client *c, int64_t before_ms) {
        struct signer_call *list = NULL;

        for (size_t i = 0; i < BUCKETS; i++) {
                struct signer_call **at = &c->buckets[i];

                while (*at) {
                        if ((*at)->deadline_ms >= before_ms) {
                                at = &(*at)->next;
                                continue;
                        }
                        struct signer_call *call = take_from(c, at);

                        call->next = list;
                        list = call;
                }
        }
        return list;
}

static void fail_list(struct signer_client *c, struct signer_call *list, enum error_code code,
                      const char *text) {
        struct error err = { 0 };

        if (!list)
                return;
        (void) error_set(&err, code, "%s", text);
        while (list) {
                struct signer_call *call = list;

                list = call->next;
                call->done(call, "", BYTES_NONE, &err);
        }
        if (c->drained)
                while (c->drained(c->context) > 0)
                        ;
}

static void fail_overdue(struct signer_client *c, int64_t before_ms, enum error_code code,
                         const char *text) {
        struct signer_call *list;

        (void) pthread_mutex_lock(&c->lock);
        list = take_overdue(c, before_ms);
        (void) pthread_mutex_unlock(&c->lock);
        fail_list(c, list, code, text);
}

/* ---- sending ---- */

/* @attached: a descriptor beside it, -1: none */
static int send_with(int fd, struct bytes frame, int attached, struct error *err) {
        if (frame.size == 0)
                return error_set(err, ERR_INTERNAL,
                                 "the request does not fit into a frame for the signer");
        while (channel_send(fd, frame, attached, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
                if (errno == EINTR)
                        continue;
                if (errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS)
                        return error_set(
                                err, ERR_OVERLOADED,
                                "the signer does not take more work now: try again in a moment");
                return error_set(err, ERR_SIGNER_UNAVAILABLE,
                                 "the signer is not there: it is being started again");
        }
        return 0;
}

static int send_frame(int fd, struct bytes frame, struct error *err) {
        return send_with(fd, frame, /* attached= */ -1, err);
}

/* In flight before it is sent: the answer may be faster than we are. */
static int send_call(struct signer_client *c, struct signer_call *call, struct bytes frame,
                     struct error *err) {
        int rc;

        rc = send_frame(c->fd, frame, err);
        if (rc < 0)
                (void) take_in_flight(c, call->id);
        return rc;
}

int signer_client_issue(struct signer_client *c, const struct sign_issue *issue,
                        struct signer_call *call, struct error *err) {
        uint8_t frame[SIGNER_FRAME_MAX];
        int rc;

        (void) pthread_mutex_lock(&c->lock);
        if (c->stopping || c->fd < 0) {
                rc = error_set(err, c->stopping ? ERR_STOPPING : ERR_SIGNER_UNAVAILABLE,
                               "the signer is not there: it is being started again");
        } else if (c->in_flight >= SIGNER_IN_FLIGHT_MAX) {
                rc = error_set(err, ERR_OVERLOADED,
                               "%d certificates are being made already: try again in a moment",
                               SIGNER_IN_FLIGHT_MAX);
        } else {
                call->id = ++c->next_id;
                call->deadline_ms = moment_monotonic_ms() + SIGNER_DEADLINE_MS;
                put_in_flight(c, call);
                rc = send_call(c, call, sign_issue_encode(frame, call->id, issue), err);
        }
        (void) pthread_mutex_unlock(&c->lock);
        return rc;
}

/* ---- somebody who waits for a CRL ---- */

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

/* ---- receiving ---- */

static void on_status_answer(struct signer_client *c, const struct signer_header *header,
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

/* A CRL, and whoever waits for one: never an answer of one kind to a call of another, whatever the signer says. */
static void on_crl_answer(struct signer_client *c, uint32_t id, struct frame_reader *fields,
                          int *fd) {
        struct crl_answer answer = { 0 };
        struct signer_call *call;
        struct error err = { 0 };

        (void) sign_crl_ok_decode(fields, answer.issuer, &answer.number, &answer.size, &err);
        (void) pthread_mutex_lock(&c->lock);
        call = take_in_flight(c, id);
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

/* @fd: came beside the frame; taken by what it is for */
static void on_answer(struct signer_client *c, struct bytes frame, int *fd) {
        struct signer_header header;
        struct frame_reader fields;
        struct signer_call *call;
        char issuer[SIGNER_ISSUER_MAX] = "";
        struct bytes der = BYTES_NONE;
        struct error err = { 0 };

        if (frame_open(frame, &header, &fields, &err) < 0) {
                log_error(LOG_LEVEL_ERROR, &err, "the signer sent what cannot be read");
                return;
        }
        if (header.type == SIGNER_STATUS_OK) {
                on_status_answer(c, &header, &fields);
                return;
        }
        if (header.type == SIGNER_CRL_OK) {
                on_crl_answer(c, header.id, &fields, fd);
                return;
        }
        if (header.type == SIGNER_CERTIFICATE) {
                (void) sign_certificate_decode(&fields, issuer, &der, &err);
        } else if (header.type == SIGNER_ANCHORS_OK || header.type == SIGNER_CA_OK) {
                der = BYTES(fields.at, fields.end - fields.at); /* who asked decodes it */
        } else if (header.type == SIGNER_ERROR) {
                struct error unreadable = { 0 };

                if (sign_error_decode(&fields, &err, &unreadable) < 0)
                        err = unreadable;
                if (err.code == ERR_NONE)
                        err.code = ERR_INTERNAL;
        } else {
                (void) error_set(&err, ERR_SIGNER_WRONG, "the signer sent a message of type %u",
                                 header.type);
        }
        (void) pthread_mutex_lock(&c->lock);
        call = take_in_flight(c, header.id);
        (void) pthread_mutex_unlock(&c->lock);
        if (call) /* an answer after its deadline finds nobody: the certificate is in the signer's log and nowhere else */
                call->done(call, issuer, der, err.code == ERR_NONE ? NULL : &err);
}

/* All that is there now. Return: false where the connection is gone */
static bool receive_all(struct signer_client *c, int fd) {
        /* no more can be due: else a signer that never stops talking would keep the deadlines from being looked at */
        for (unsigned i = 0; i <= SIGNER_IN_FLIGHT_MAX; i++) {
                CAD_AUTO(fd_close) int attached = -1;
                ssize_t n = channel_receive(fd, c->frame, SIGNER_FRAME_MAX, MSG_DONTWAIT,
                                            &attached);

                /* ECONNRESET, once: it ended with requests unread; its answers to others are there still */
                if (n < 0 && (errno == EINTR || errno == ECONNRESET))
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return true;
                if (n <= 0)
                        return false;
                on_answer(c, BYTES(c->frame, (size_t) n), &attached);
        }
        return true;
}

/* The same, until whoever uses the answers has enough of them. It sleeps instead of polling: a wake-up for each would cost more than it brings. */
static bool receive_batch(struct signer_client *c, int fd) {
        for (;;) {
                bool connected = receive_all(c, fd);
                unsigned wait_us = c->drained ? c->drained(c->context) : 0;

                if (!connected || wait_us == 0)
                        return connected;
                (void) usleep(wait_us);
        }
}

/* Only the reader closes a connection: nobody else knows that it is not in the middle of a recv() on it. */
static void drop_connection(struct signer_client *c) {
        struct signer_call *lost;

        (void) pthread_mutex_lock(&c->lock);
        c->fd = fd_close(c->fd);
        lost = take_overdue(
                c,
                INT64_MAX); /* at once: from here on calls may be in flight on the next connection */
        if (c->status && !c->status->done) {
                (void) error_set(&c->status->err, ERR_SIGNER_UNAVAILABLE,
                                 "the signer has gone: it is being started again");
                c->status->done = true;
        }
        (void) pthread_cond_broadcast(&c->changed);
        (void) pthread_mutex_unlock(&c->lock);
        fail_list(c, lost, ERR_SIGNER_UNAVAILABLE,
                  "the signer has gone: it is being started again, try once more");
}

static void clear_wake(struct signer_client *c) {
        uint64_t count;

        (void) !read(c->wake_fd, &count, sizeof(count));
}

static void *reader_thread(void *argument) {
        struct signer_client *c = argument;
        int64_t swept_ms = moment_monotonic_ms();

        (void) pthread_setname_np(pthread_self(), "signed");
        for (;;) {
                struct pollfd fds[2] = { { .fd = c->wake_fd, .events = POLLIN },
                                         { .fd = -1, .events = POLLIN } };
                bool stopping;

                (void) pthread_mutex_lock(&c->lock);
                fds[1].fd = c->fd;
                stopping = c->stopping;
                (void) pthread_mutex_unlock(&c->lock);
                if (stopping)
                        return NULL;
                (void) poll(fds, ARRAY_SIZE(fds), SWEEP_MS);
                if (fds[0].revents)
                        clear_wake(c);
                if (fds[1].fd >= 0 && fds[1].revents && !receive_batch(c, fds[1].fd))
                        drop_connection(c);
                if (moment_monotonic_ms() - swept_ms >= SWEEP_MS) {
                        swept_ms = moment_monotonic_ms();
                        fail_overdue(c, swept_ms, ERR_SIGNER_UNAVAILABLE,
                                     "the signer did not answer in time: try once more");
                }
        }
}

static void wake_reader(struct signer_client *c) {
        (void) fd_write_all(c->wake_fd, BYTES_LITERAL("\1\0\0\0\0\0\0\0"));
}

/* ---- life ---- */

int signer_client_new(unsigned (*drained)(void *context), void *context, struct signer_client **ret,
                      struct error *err) {
        struct signer_client *c = calloc(1, sizeof(*c));
        pthread_condattr_t monotonic;
        int rc;

        if (!c)
                return error_no_memory(err);
        c->fd = -1;
        c->drained = drained;
        c->context = context;
        c->frame = malloc(SIGNER_FRAME_MAX);
        c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        (void) pthread_mutex_init(&c->lock, NULL);
        (void) pthread_condattr_init(&monotonic);
        (void) pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        (void) pthread_cond_init(&c->changed, &monotonic);
        rc = c->frame && c->wake_fd >= 0 ? pthread_create(&c->reader, NULL, reader_thread, c)
                                         : ENOMEM;
        if (rc != 0) {
                (void) fd_close(c->wake_fd);
                free(c->frame);
                free(c);
                return error_errno(err, rc, "cannot start the reader of the signer's answers");
        }
        *ret = c;
        return 0;
}

struct signer_client *signer_client_free(struct signer_client *c) {
        if (!c)
                return NULL;
        (void) pthread_mutex_lock(&c->lock);
        c->stopping = true;
        (void) pthread_mutex_unlock(&c->lock);
        wake_reader(c);
        (void) pthread_join(c->reader, NULL);
        fail_overdue(c, INT64_MAX, ERR_STOPPING, "cad is stopping");
        c->fd = fd_close(c->fd);
        (void) fd_close(c->wake_fd);
        (void) pthread_cond_destroy(&c->changed);
        (void) pthread_mutex_destroy(&c->lock);
        free(c->frame);
        free(c);
        return NULL;
}

/* One frame, waited for; before the reader knows the connection. */
static int receive_one(int fd, int64_t timeout_ms, uint8_t *frame, struct bytes *ret,
                       struct error *err) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int64_t until = moment_monotonic_ms() + timeout_ms;
        ssize_t n;

        for (;;) {
                int64_t left = until - moment_monotonic_ms();

                if (left <= 0 || (poll(&p, 1, (int) left) < 0 && errno != EINTR))
                        return error_set(err, ERR_SIGNER_UNAVAILABLE,
                                         "the signer did not say hello in time");
                n = recv(fd, frame, SIGNER_FRAME_MAX, MSG_DONTWAIT);
                if (n > 0)
                        break;
                if (n == 0)
                        return error_set(err, ERR_SIGNER_UNAVAILABLE,
                                         "the signer ended before it said hello");
                /* ECONNRESET, once: it ended without having read our hello; what it said before that can still be read */
                if (errno != EAGAIN && errno != EINTR && errno != ECONNRESET)
                        return error_errno(err, errno, "cannot hear the signer");
        }
        *ret = BYTES(frame, (size_t) n);
        return 0;
}

static int say_hello(int fd, int64_t timeout_ms, uint8_t *frame, struct sign_hello *ret,
                     struct error *err) {
        struct signer_header header;
        struct frame_reader fields = { 0 };
        struct bytes answer = BYTES_NONE;
        struct error said = { 0 };

        /* a signer that cannot begin says why and ends at once, maybe before this is sent */
        (void) send_frame(fd, sign_empty_encode(frame, SIGNER_HELLO, 0), &said);
        if (receive_one(fd, timeout_ms, frame, &answer, err) < 0 ||
            frame_open(answer, &header, &fields, err) < 0)
                return -1;
        if (header.type == SIGNER_HELLO_OK)
                return sign_hello_decode(&fields, ret, err);
        if (header.type != SIGNER_ERROR || sign_error_decode(&fields, &said, err) < 0)
                return error_set(err, ERR_SIGNER_UNAVAILABLE, "the signer's hello is no hello");
        *err = said;
        return -1;
}

int signer_client_attach(struct signer_client *c, int fd, int64_t deadline_ms, uint8_t *frame,
                         struct sign_hello *ret_hello, struct error *err) {
        if (say_hello(fd, deadline_ms, frame, ret_hello, err) < 0) {
                (void) fd_close(fd);
                return -1;
        }
        signer_client_detach(c);
        (void) pthread_mutex_lock(&c->lock);
        c->fd = fd;
        (void) pthread_mutex_unlock(&c->lock);
        wake_reader(c);
        return 0;
}

void signer_client_detach(struct signer_client *c) {
        (void) pthread_mutex_lock(&c->lock);
        if (c->fd >= 0)
                (void) shutdown(c->fd, SHUT_RDWR);
        while (c->fd >= 0)
                (void) pthread_cond_wait(&c->changed, &c->lock);
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
                if (send_frame(c->fd, sign_empty_encode(frame, SIGNER_STATUS, wait.call.id), err) <
                    0)
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
        int rc = 0;

        (void) pthread_mutex_lock(&c->lock);
        if (c->stopping || c->fd < 0) {
                rc = error_set(err, c->stopping ? ERR_STOPPING : ERR_SIGNER_UNAVAILABLE,
                               "the signer is not there: it is being started again");
        } else {
                w.call.id = ++c->next_id;
                w.call.deadline_ms = moment_monotonic_ms() + SIGNER_DEADLINE_MS;
                put_in_flight(c, &w.call);
                message = anchor ? sign_anchor_encode(frame, w.call.id, anchor)
                                 : sign_empty_encode(frame, SIGNER_ANCHORS, w.call.id);
                rc = send_call(c, &w.call, message, err);
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
        int rc = 0;

        (void) pthread_mutex_lock(&c->lock);
        if (c->stopping || c->fd < 0) {
                rc = error_set(err, c->stopping ? ERR_STOPPING : ERR_SIGNER_UNAVAILABLE,
                               "the signer is not there: it is being started again");
        } else {
                w->call.id = ++c->next_id;
                w->call.deadline_ms = moment_monotonic_ms() + SIGNER_CHANGE_DEADLINE_MS;
                put_in_flight(c, &w->call);
                rc = send_call(c, &w->call, sign_change_encode(w->frame, type, w->call.id, issuer),
                               err);
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
        if (c->stopping || c->fd < 0) {
                rc = error_set(err, c->stopping ? ERR_STOPPING : ERR_SIGNER_UNAVAILABLE,
                               "the signer is not there: it is being started again");
        } else {
                call->id = ++c->next_id;
                call->deadline_ms = moment_monotonic_ms() + SIGNER_CRL_DEADLINE_MS;
                put_in_flight(c, call);
                rc = send_with(c->fd, sign_crl_encode(frame, call->id, wish), wish->entries_fd,
                               err);
                if (rc < 0)
                        (void) take_in_flight(c, call->id);
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
