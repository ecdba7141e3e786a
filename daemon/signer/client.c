/*
 * cad's end of the signer's socket: the connection, and the one thread that reads from it.
 *
 * The reader takes every answer that is there before it says "drained", so that what follows (a commit) is done once for all.
 */
#include "daemon/signer/client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/signer/channel.h"
#include "daemon/signer/client_parts.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"

#define SWEEP_MS 250 /* how often deadlines are looked at */

/* ---- receiving ---- */

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
                wait_status_arrived(c, &header, &fields);
                return;
        }
        if (header.type == SIGNER_CRL_OK) {
                wait_crl_arrived(c, header.id, &fields, fd);
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
        call = calls_take(c, header.id);
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
        lost = calls_take_overdue(
                c,
                INT64_MAX); /* at once: from here on calls may be in flight on the next connection */
        if (c->status && !c->status->done) {
                (void) error_set(&c->status->err, ERR_SIGNER_UNAVAILABLE,
                                 "the signer has gone: it is being started again");
                c->status->done = true;
        }
        (void) pthread_cond_broadcast(&c->changed);
        (void) pthread_mutex_unlock(&c->lock);
        calls_fail(c, lost, ERR_SIGNER_UNAVAILABLE,
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
                        calls_fail_overdue(c, swept_ms, ERR_SIGNER_UNAVAILABLE,
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
        calls_fail_overdue(c, INT64_MAX, ERR_STOPPING, "cad is stopping");
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
        (void) calls_send_frame(fd, sign_empty_encode(frame, SIGNER_HELLO, 0), &said);
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
