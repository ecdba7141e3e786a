/*
 * The signer's client: calls in flight, by id, and sending one.
 *
 * A send never blocks: a signer that is stopped fills the socket, and the caller gets an error instead of waiting.
 */
#include "daemon/signer/client_parts.h"

#include <errno.h>
#include <sys/socket.h>

#include "daemon/signer/channel.h"
#include "lib/base/moment.h"

/* ---- in flight ---- */

int calls_check(const struct signer_client *c, struct error *err) {
        if (!c->stopping && c->fd >= 0)
                return 0;
        return error_set(err, c->stopping ? ERR_STOPPING : ERR_SIGNER_UNAVAILABLE,
                         "the signer is not there: it is being started again");
}

void calls_put(struct signer_client *c, struct signer_call *call, int64_t deadline_ms) {
        struct signer_call **bucket;

        call->id = ++c->next_id;
        call->deadline_ms = moment_monotonic_ms() + deadline_ms;
        bucket = &c->buckets[call->id % SIGNER_BUCKETS];
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

struct signer_call *calls_take(struct signer_client *c, uint32_t id) {
        for (struct signer_call **at = &c->buckets[id % SIGNER_BUCKETS]; *at; at = &(*at)->next)
                if ((*at)->id == id)
                        return take_from(c, at);
        return NULL;
}

/* All whose deadline is before @before_ms, as a list. */
struct signer_call *calls_take_overdue(struct signer_client *c, int64_t before_ms) {
        struct signer_call *list = NULL;

        for (size_t i = 0; i < SIGNER_BUCKETS; i++) {
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

void calls_fail(struct signer_client *c, struct signer_call *list, enum error_code code,
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

void calls_fail_overdue(struct signer_client *c, int64_t before_ms, enum error_code code,
                        const char *text) {
        struct signer_call *list;

        (void) pthread_mutex_lock(&c->lock);
        list = calls_take_overdue(c, before_ms);
        (void) pthread_mutex_unlock(&c->lock);
        calls_fail(c, list, code, text);
}

/* ---- sending ---- */

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

int calls_send_frame(int fd, struct bytes frame, struct error *err) {
        return send_with(fd, frame, /* attached= */ -1, err);
}

/* In flight before it is sent: the answer may be faster than we are. */
int calls_send(struct signer_client *c, struct signer_call *call, struct bytes frame, int attached,
               struct error *err) {
        int rc = send_with(c->fd, frame, attached, err);

        if (rc < 0)
                (void) calls_take(c, call->id);
        return rc;
}

int signer_client_issue(struct signer_client *c, const struct sign_issue *issue,
                        struct signer_call *call, struct error *err) {
        uint8_t frame[SIGNER_FRAME_MAX];
        int rc;

        (void) pthread_mutex_lock(&c->lock);
        rc = calls_check(c, err);
        if (rc == 0 && c->in_flight >= SIGNER_IN_FLIGHT_MAX) {
                rc = error_set(err, ERR_OVERLOADED,
                               "%d certificates are being made already: try again in a moment",
                               SIGNER_IN_FLIGHT_MAX);
        } else if (rc == 0) {
                calls_put(c, call, SIGNER_DEADLINE_MS);
                rc = calls_send(c, call, sign_issue_encode(frame, call->id, issue),
                                /* attached= */ -1, err);
        }
        (void) pthread_mutex_unlock(&c->lock);
        return rc;
}
