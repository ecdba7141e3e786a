/*
 * The signer at work: a few threads that receive a frame, decide, sign, log and answer; and one that keeps time.
 *
 * decode (protocol.c) → decide (policy.c, clock.c, rate.c) → do (cert.c, and one private_key_sign()).
 */
#include "daemon/signer/serve.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/signer/anchors.h"
#include "daemon/signer/channel.h"
#include "daemon/signer/clock.h"
#include "daemon/signer/crl_worker.h"
#include "daemon/signer/policy.h"
#include "daemon/signer/rotation.h"
#include "daemon/signer/sandbox.h"
#include "daemon/signer/signlog.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"
#include "lib/base/service.h"

#define SIGNING_THREADS_MAX 4
#define SERIAL_SIZE 19 /* 1 fixed, 6 of time, 12 random octets */
#define SERIAL_FIRST \
        0x10 /* fixed first octet: not 0, below 0x80, so that the INTEGER is just these octets */
#define SEND_TIMEOUT_MS 2000 /* for an answer that cad does not take */
#define TICK_MS 1000
#define SETTLE_MAX_MS 10000 /* for a disk to take log and mark before a CRL leaves */
#define CRLS_PER_HOUR \
        10000 /* as many lines as the shipped limit leaves for certificates: nobody rolls his traces out of the log */
#define BUSY_MS 2 /* since the last frame: more may be on their way */
#define STUCK_MS 10000
#define COMPLAINT_MS \
        60000 /* a malformed message is worth a line once so often: cad could fill the disk with them */

struct signer {
        int socket_fd, state_fd, config_fd, ended_fd;
        _Atomic(const struct ca *) ca; /* another one after a rotation */
        int64_t ca_from_s;             /* all that it signs with is valid since then */
        _Atomic(struct profile_set *) profiles;
        pthread_rwlock_t profiles_lock;
        atomic_bool synchronised;    /* as adjtimex(2) says */
        atomic_llong complain_at_ms; /* monotonic */
        atomic_uint unsaid;          /* malformed messages since the last line about them */
        atomic_uint at_work;         /* signing threads that are not waiting for a frame */
        _Atomic int64_t moved_ms;    /* monotonic: when one of them last began or ended something */

        pthread_mutex_t lock; /* over what follows */
        struct clock_mark mark;
        struct rate rate;
        struct signlog *log;
        struct error
                log_error; /* of the last write or sync of log and mark, code ERR_NONE where that was fine */
        struct sign_anchors anchors;
        bool anchors_changed; /* since they were written */
        int64_t anchored_ms;  /* monotonic: when the newest came */
        struct rate crl_rate;
        uint64_t crls_noted, crls_settled; /* in the log and the mark; and on disk */
        struct error settle_error;         /* of the last try to get them there */
        pthread_cond_t settled;            /* by the monotonic clock */

        struct crl_worker *crl_worker;
        struct rotation *rotation;
        int tick_fd; /* has the keeper tick at once */
};

/* ---- one wish ---- */

/* design.md §2: unique, and time-ordered so that the store's index grows at its end. The caller holds the lock. */
static int make_serial(struct signer *s, int64_t now_ms, uint8_t serial[SERIAL_SIZE],
                       struct error *err) {
        int64_t ms = now_ms > s->mark.latest_ms ? now_ms : s->mark.latest_ms;

        serial[0] = SERIAL_FIRST;
        for (int i = 0; i < 6; i++)
                serial[1 + i] = (uint8_t) (ms >> (40 - 8 * i));
        if (gnutls_rnd(GNUTLS_RND_NONCE, serial + 7, SERIAL_SIZE - 7) < 0)
                return error_set(err, ERR_CRYPTO, "no random numbers are to be had");
        s->mark.latest_ms = ms;
        return 0;
}

/* The caller holds the lock. */
static int judge_clock(const struct signer *s, int64_t now_ms, struct error *err) {
        if (clock_check_ca(now_ms, s->ca_from_s, err) < 0)
                return -1;
        return clock_check(now_ms, s->mark.latest_ms, atomic_load(&s->synchronised), err);
}

/* Before anything is held against the time: with a wrong clock each validity looks wrong, and that is not the caller's to mend. */
static int check_clock(struct signer *s, int64_t now_ms, struct error *err) {
        int rc;

        (void) pthread_mutex_lock(&s->lock);
        rc = judge_clock(s, now_ms, err);
        (void) pthread_mutex_unlock(&s->lock);
        return rc;
}

/* Clock and rate are judged, the serial is drawn and the line is written in one step, so that the log has them in order. */
static int admit(struct signer *s, struct policy_grant *grant, int64_t now_ms,
                 uint8_t serial[SERIAL_SIZE], struct error *err) {
        int rc = -1;

        (void) pthread_mutex_lock(&s->lock);
        if (judge_clock(s, now_ms, err) == 0 && rate_check(&s->rate, now_ms / 1000, err) == 0 &&
            make_serial(s, now_ms, serial, err) == 0) {
                grant->wish.serial = BYTES(serial, SERIAL_SIZE);
                rc = signlog_issue(s->log, now_ms / 1000, grant->issuer->id, &grant->wish, err);
                s->log_error = rc < 0 ? *err : (struct error){ 0 };
        }
        if (rc == 0) {
                rate_count(&s->rate, now_ms / 1000);
                s->mark.issued += !profile_is_own(grant->wish.profile->name);
        }
        (void) pthread_mutex_unlock(&s->lock);
        return rc;
}

static int issue(struct signer *s, const struct profile_set *profiles, struct frame_reader *fields,
                 struct buffer *ret, const char **ret_issuer, struct error *err) {
        struct sign_issue wanted;
        CAD_AUTO(policy_grant_done) struct policy_grant grant = { 0 };
        uint8_t serial[SERIAL_SIZE], octets[CERT_MAX];
        struct der_writer w;
        int64_t now_ms = moment_now_ms();

        if (sign_issue_decode(fields, &wanted, err) < 0 || check_clock(s, now_ms, err) < 0 ||
            policy_check(s->ca, profiles, &wanted, now_ms / 1000, &grant, err) < 0 ||
            admit(s, &grant, now_ms, serial, err) < 0)
                return -1;
        der_writer_init(&w, octets, sizeof(octets));
        cert_put_leaf(&w, &grant.issuer->signs_as, &grant.wish);
        *ret_issuer = grant.issuer->id;
        return cert_sign(grant.issuer->key, der_writer_bytes(&w), ret,
                         err); /* the only line that touches the key */
}

/* ---- messages: a row each ---- */

typedef struct bytes (*message_handler)(struct signer *s, uint32_t id, struct frame_reader *fields,
                                        uint8_t *out, struct error *err);

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

static void describe_ca(struct signer *s, struct sign_hello *ret) {
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
        describe_ca(s, &hello);
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
        (void) judge_clock(s, now_ms, &clock);
        status.issued = s->mark.issued;
        status.per_hour = s->rate.per_hour;
        status.last_hour = rate_last_hour(&s->rate, now_ms / 1000);
        memcpy(status.log, s->log_error.text, sizeof(status.log));
        (void) pthread_mutex_unlock(&s->lock);
        memcpy(status.clock, clock.text, sizeof(status.clock));
        return sign_status_encode(out, id, &status);
}

/* ---- anchors of the audit ---- */

/* The caller holds the lock. */
static int add_anchor(struct signer *s, struct audit_anchor *anchor, enum anchor_news *ret,
                      struct error *err) {
        int64_t now_ms = moment_now_ms(), monotonic_ms = moment_monotonic_ms();

        *ret = anchors_judge(&s->anchors, anchor);
        if (*ret == ANCHOR_KNOWN)
                return 0;
        if (judge_clock(s, now_ms, err) < 0)
                return -1;
        if (s->anchored_ms && monotonic_ms < s->anchored_ms + ANCHORS_APART_MS)
                return error_set(err, ERR_RATE_LIMITED,
                                 "the audit was anchored a moment ago: once a second is enough");
        anchor->at = now_ms / 1000;
        if (signlog_audit(s->log, anchor, err) < 0) {
                s->log_error = *err;
                return -1;
        }
        anchors_add(&s->anchors, anchor);
        s->anchors_changed = true;
        s->anchored_ms = monotonic_ms;
        return 0;
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
        rc = add_anchor(s, &anchor, &news, err);
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

/* ---- CRLs: crl_worker.c makes them; this is what it shares with the rest ---- */

#define ANSWERED_LATER BYTES("", 0)

static struct bytes on_crl(struct signer *s, uint32_t id, struct frame_reader *fields, uint8_t *out,
                           struct error *err) {
        struct sign_crl wish;

        (void) out;
        if (sign_crl_decode(fields, &wish, err) < 0)
                return BYTES_NONE;
        if (fields->fd)
                wish.entries_fd = CAD_TAKE_FD(*fields->fd);
        return crl_worker_take(s->crl_worker, id, &wish, err) < 0 ? BYTES_NONE : ANSWERED_LATER;
}

/* The caller holds the lock. */
static int judge_crl(struct signer *s, const char *issuer, const struct crl_wish *wish,
                     int64_t now_ms, struct error *err) {
        if (judge_clock(s, now_ms, err) < 0 ||
            crl_number_check(&s->mark.crls, issuer, wish->number, now_ms / 1000, err) < 0)
                return -1;
        if (rate_last_hour(&s->crl_rate, now_ms / 1000) >= CRLS_PER_HOUR)
                return error_set(err, ERR_RATE_LIMITED,
                                 "%u CRLs were signed in the last hour, which is the limit",
                                 CRLS_PER_HOUR);
        return 0;
}

/* As admit() does for certificates: judged, numbered and logged in one step. */
static int admit_crl(void *context, const char *issuer, struct crl_wish *wish, struct error *err) {
        struct signer *s = context;
        int64_t now_ms = moment_now_ms();
        int rc;

        (void) pthread_mutex_lock(&s->lock);
        if (wish->number == 0)
                wish->number = crl_number_next(&s->mark.crls, issuer, now_ms / 1000);
        rc = judge_crl(s, issuer, wish, now_ms, err);
        if (rc == 0) {
                rc = signlog_crl(s->log, now_ms / 1000, issuer, wish, err);
                s->log_error = rc < 0 ? *err : (struct error){ 0 };
        }
        if (rc == 0) {
                rate_count(&s->crl_rate, now_ms / 1000);
                crl_numbers_note(&s->mark.crls, issuer, wish->number);
                if (s->mark.latest_ms < now_ms)
                        s->mark.latest_ms = now_ms;
                s->crls_noted++;
        }
        (void) pthread_mutex_unlock(&s->lock);
        return rc;
}

/* A number that was used must not come again, whatever happens to the power. */
static int settle_crl(void *context, struct error *err) {
        struct signer *s = context;
        struct timespec until;
        int rc = 0;

        (void) clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += SETTLE_MAX_MS / 1000;
        (void) fd_write_all(s->tick_fd, BYTES_LITERAL("\1\0\0\0\0\0\0\0"));
        (void) pthread_mutex_lock(&s->lock);
        while (rc == 0 && s->crls_settled < s->crls_noted)
                rc = pthread_cond_timedwait(&s->settled, &s->lock, &until);
        if (rc != 0)
                (void) error_set(err, ERR_STORE, "the disk does not take the signer's log");
        else if (s->settle_error.code != ERR_NONE)
                *err = s->settle_error;
        rc = rc != 0 || s->settle_error.code != ERR_NONE ? -1 : 0;
        (void) pthread_mutex_unlock(&s->lock);
        return rc;
}

/* ---- intermediates: rotation.c changes them; this is what it shares with the rest ---- */

static struct bytes take_change(struct signer *s, enum signer_message type, uint32_t id,
                                struct frame_reader *fields, struct error *err) {
        char issuer[SIGNER_ISSUER_MAX];

        if (sign_change_decode(fields, issuer, err) < 0)
                return BYTES_NONE;
        if (type == SIGNER_PREPARE && issuer[0]) {
                (void) error_set(err, ERR_MESSAGE_MALFORMED, "PREPARE names no issuer");
                return BYTES_NONE;
        }
        return rotation_take(s->rotation, type, id, issuer, err) < 0 ? BYTES_NONE : ANSWERED_LATER;
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

static int admit_change(void *context, const char *line, struct error *err) {
        struct signer *s = context;
        int64_t now_ms = moment_now_ms();
        int rc;

        (void) pthread_mutex_lock(&s->lock);
        rc = judge_clock(s, now_ms, err);
        if (rc == 0) {
                rc = signlog_change(s->log, now_ms / 1000, line, err);
                s->log_error = rc < 0 ? *err : (struct error){ 0 };
        }
        (void) pthread_mutex_unlock(&s->lock);
        return rc;
}

static int probe_change(void *context, const struct ca *ca, struct error *err) {
        struct signer *s = context;
        int rc;

        (void) pthread_rwlock_rdlock(&s->profiles_lock);
        rc = ca_probe(ca, atomic_load(&s->profiles), moment_now(), err);
        (void) pthread_rwlock_unlock(&s->profiles_lock);
        return rc;
}

/* A thread that has begun with the one before goes on with it: that one stays. */
static void use_ca(void *context, struct ca *ca) {
        struct signer *s = context;

        atomic_store(&s->ca, ca);
        crl_worker_use(s->crl_worker, ca);
}

static struct bytes tell_ca(void *context, uint32_t id, uint8_t *frame) {
        struct sign_hello hello;

        describe_ca(context, &hello);
        return sign_ca_encode(frame, id, &hello);
}

static bool is_signing(void *context) {
        struct signer *s = context;

        return atomic_load(&s->at_work) > 0 ||
                moment_monotonic_ms() - atomic_load(&s->moved_ms) < BUSY_MS;
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

/* @fd: came beside the frame; it stays the caller's unless the handler takes it. Return: the answer, ANSWERED_LATER: none yet */
static struct bytes answer(struct signer *s, struct bytes frame, int *fd, uint8_t *out) {
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

/* An answer that cad does not take within SEND_TIMEOUT_MS is dropped: cad has a deadline of its own. */
static void send_answer(struct signer *s, struct bytes reply, int fd) {
        int64_t until = moment_monotonic_ms() + SEND_TIMEOUT_MS;

        while (channel_send(s->socket_fd, reply, fd, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
                struct pollfd p = { .fd = s->socket_fd, .events = POLLOUT };
                int64_t left = until - moment_monotonic_ms();

                if ((errno != EAGAIN && errno != EINTR && errno != ENOBUFS) || left <= 0)
                        return;
                (void) poll(&p, 1, (int) left);
        }
}

static void send_later(void *context, struct bytes reply, int fd) {
        send_answer(context, reply, fd);
}

static void note_work(struct signer *s, int more) {
        atomic_store(&s->moved_ms, moment_monotonic_ms());
        atomic_fetch_add(&s->at_work, (unsigned) more);
}

/* For the watchdog: threads that have work, and of which none has moved for long, are stuck. */
static bool stuck(struct signer *s) {
        return atomic_load(&s->at_work) > 0 &&
                moment_monotonic_ms() - atomic_load(&s->moved_ms) > STUCK_MS;
}

static void *signing_thread(void *argument) {
        struct signer *s = argument;
        uint8_t *in = malloc(SIGNER_FRAME_MAX + 1), *out = malloc(SIGNER_FRAME_MAX);
        struct error err = { 0 };

        if (!in || !out || sandbox_enter(SANDBOX_SIGNING, &err) < 0) {
                log_error(LOG_LEVEL_ERROR, &err, "a signing thread cannot begin");
                _exit(EXIT_FAILURE);
        }
        for (;;) {
                CAD_AUTO(fd_close) int fd = -1;
                ssize_t n = channel_receive(s->socket_fd, in, SIGNER_FRAME_MAX + 1, 0, &fd);
                struct bytes reply;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                note_work(s, 1);
                reply = answer(s, BYTES(in, (size_t) n), &fd, out);
                if (reply.size)
                        send_answer(s, reply, -1);
                fd = fd_close(fd); /* of a socket that lingers it blocks: that, too, is work */
                note_work(s, -1);
        }
        free(in);
        free(out);
        (void) fd_write_all(s->ended_fd, BYTES_LITERAL("\1\0\0\0\0\0\0\0"));
        return NULL;
}

/* ---- keeping time, log and mark ---- */

static void reload_profiles(struct signer *s) {
        struct profile_set *fresh = NULL, *old;
        struct error err = { 0 };

        if (profiles_load(s->config_fd, s->config_fd >= 0 ? "profiles.d" : NULL, &fresh, &err) <
            0) {
                log_error(LOG_LEVEL_ERROR, &err,
                          "the profiles were not read anew, the old ones stay");
                return;
        }
        (void) pthread_rwlock_wrlock(&s->profiles_lock);
        old = atomic_exchange(&s->profiles, fresh);
        (void) pthread_rwlock_unlock(&s->profiles_lock);
        (void) profiles_free(old);
        log_notice("profiles read anew");
}

/*
 * Once a second: what was logged and marked reaches the disk. While something is wrong with the disk the mark is written each time, so
 * that status says so when it is right again, without a wish that has to fail first.
 */
static void tick(struct signer *s, struct clock_mark *written) {
        struct error err = { 0 };
        struct clock_mark mark;
        uint64_t crls;
        bool failing;
        int rc;

        atomic_store(&s->synchronised, clock_synchronised());
        (void) pthread_mutex_lock(&s->lock);
        mark = s->mark;
        crls = s->crls_noted;
        failing = s->log_error.code != ERR_NONE;
        rc = signlog_rotate_due(s->log) ? signlog_rotate(s->log, &err) : 0;
        (void) pthread_mutex_unlock(&s->lock);
        if (rc == 0 && !failing && clock_mark_equal(&mark, written))
                return;
        if (rc == 0 && (rc = signlog_sync(s->log, &err)) == 0 &&
            (rc = clock_mark_write(s->state_fd, &mark, &err)) == 0)
                *written = mark;
        if (rc < 0 && !failing)
                log_error(LOG_LEVEL_ERROR, &err, "the signer's log and mark are not on disk");
        (void) pthread_mutex_lock(&s->lock);
        s->log_error = s->settle_error = rc < 0 ? err : (struct error){ 0 };
        s->crls_settled = crls;
        (void) pthread_cond_broadcast(&s->settled);
        (void) pthread_mutex_unlock(&s->lock);
}

/* The same for the anchors, which are few. They are in the log already. */
static void keep_anchors(struct signer *s) {
        struct sign_anchors anchors;
        struct error err = { 0 };
        bool due;

        (void) pthread_mutex_lock(&s->lock);
        due = s->anchors_changed;
        anchors = s->anchors;
        s->anchors_changed = false;
        (void) pthread_mutex_unlock(&s->lock);
        if (!due || anchors_write(s->state_fd, &anchors, &err) == 0)
                return;
        (void) pthread_mutex_lock(&s->lock);
        s->anchors_changed = true; /* again in a second */
        s->log_error = err;
        (void) pthread_mutex_unlock(&s->lock);
}

static void keep(struct signer *s, int signal_fd, struct clock_mark written) {
        struct pollfd fds[] = { { .fd = signal_fd, .events = POLLIN },
                                { .fd = s->ended_fd, .events = POLLIN },
                                { .fd = s->tick_fd, .events = POLLIN },
                                { .fd = s->socket_fd } };
        int64_t gone_ms = 0; /* monotonic: when cad's end of the socket was seen closed */

        for (;;) {
                struct signalfd_siginfo info;
                int n = poll(fds, ARRAY_SIZE(fds), TICK_MS);
                uint64_t ticks;

                if (n > 0 && fds[2].revents)
                        (void) !read(s->tick_fd, &ticks, sizeof(ticks));
                tick(s, &written);
                keep_anchors(s);
                if (!stuck(s))
                        service_notify("WATCHDOG=1");
                if (n > 0 && fds[1].revents)
                        return; /* cad has gone */
                if (n > 0 && fds[3].revents) {
                        gone_ms = moment_monotonic_ms();
                        fds[3].fd = -1;
                }
                if (gone_ms && moment_monotonic_ms() - gone_ms >= TICK_MS)
                        return; /* and no signing thread came to notice: what cad handed over last holds them up */
                if (n <= 0 || read(signal_fd, &info, sizeof(info)) != (ssize_t) sizeof(info))
                        continue;
                if (info.ssi_signo != SIGHUP)
                        return;
                reload_profiles(s);
        }
}

/* The mark on disk may be a second behind the log, or be lost: the newest of what there is counts. */
static int restore_mark(struct signer *s, int64_t log_last_s, struct error *err) {
        const struct ca *ca = s->ca;
        struct error missing = { 0 };

        if (clock_mark_read(s->state_fd, &s->mark, &missing) < 0 && missing.code != ERR_NOT_FOUND) {
                *err = missing;
                return -1;
        }
        for (size_t i = 0; i < ca->issuer_count; i++)
                if (s->ca_from_s < ca->issuers[i].cert.validity.not_before)
                        s->ca_from_s = ca->issuers[i].cert.validity.not_before;
        if (s->mark.latest_ms < s->ca_from_s * 1000)
                s->mark.latest_ms = s->ca_from_s * 1000;
        if (s->mark.latest_ms < log_last_s * 1000)
                s->mark.latest_ms = log_last_s * 1000;
        crl_numbers_merge(&s->mark.crls, &signlog_seen(s->log)->crls);
        s->crl_rate = signlog_seen(s->log)->crl_rate;
        if (signlog_issued(s->log) && s->mark.issued == 0)
                s->mark.issued = 1; /* at least one: the exact number went with the mark */
        return clock_mark_write(s->state_fd, &s->mark, err);
}

static int start_threads(struct signer *s, struct error *err) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);

        for (long i = 0; i < (cores < 1                             ? 1
                                      : cores > SIGNING_THREADS_MAX ? SIGNING_THREADS_MAX
                                                                    : cores);
             i++) {
                pthread_t thread;
                int rc = pthread_create(&thread, NULL, signing_thread, s);

                if (rc != 0)
                        return error_errno(err, rc, "cannot start a signing thread");
                (void) pthread_detach(thread);
        }
        return 0;
}

/* Those who make CRLs and intermediates first: a wish for one may be the first frame. */
static int start_all(struct signer *s, const struct serve_options *options, struct error *err) {
        static struct crl_host host = {
                .admit = admit_crl, .settle = settle_crl, .answer = send_later, .busy = is_signing
        };
        static struct rotation_host rotation_host = { .admit = admit_change,
                                                      .probe = probe_change,
                                                      .use = use_ca,
                                                      .tell = tell_ca,
                                                      .answer = send_later };

        host.context = rotation_host.context = s;
        if (crl_worker_start(options->ca, s->state_fd, &host, &s->crl_worker, err) < 0 ||
            rotation_start(options->ca, s->state_fd, options->passphrase, &rotation_host,
                           &s->rotation, err) < 0)
                return -1;
        return start_threads(s, err);
}

/* glibc would measure it by the clock of the day, which may be set. */
static void init_settled(pthread_cond_t *settled) {
        pthread_condattr_t monotonic;

        (void) pthread_condattr_init(&monotonic);
        (void) pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        (void) pthread_cond_init(settled, &monotonic);
        (void) pthread_condattr_destroy(&monotonic);
}

static int block_signals(struct error *err) {
        sigset_t set;
        int fd;

        (void) sigemptyset(&set);
        (void) sigaddset(&set, SIGTERM);
        (void) sigaddset(&set, SIGINT);
        (void) sigaddset(&set, SIGHUP);
        (void) pthread_sigmask(SIG_BLOCK, &set, NULL);
        (void) signal(SIGPIPE, SIG_IGN);
        (void) signal(SIGXFSZ,
                      SIG_IGN); /* a file-size limit is an error of write() like a full disk */
        fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        return fd < 0 ? error_errno(err, errno, "cannot receive signals") : fd;
}

/* glibc lets readers pass a waiting writer: signing threads that are never idle would keep a reload, and the tick behind it, waiting for ever. */
static void init_profiles_lock(pthread_rwlock_t *lock) {
        pthread_rwlockattr_t attributes;

        (void) pthread_rwlockattr_init(&attributes);
        (void) pthread_rwlockattr_setkind_np(&attributes,
                                             PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
        (void) pthread_rwlock_init(lock, &attributes);
        (void) pthread_rwlockattr_destroy(&attributes);
}

int serve(const struct serve_options *options, struct error *err) {
        /* lives as long as the process: the signing threads may still be in it when serve() returns */
        static struct signer s;
        CAD_AUTO(fd_close) int signal_fd = -1;
        struct clock_mark written;
        int64_t log_last_s = 0;

        s = (struct signer){ .socket_fd = options->socket_fd,
                             .state_fd = options->state_fd,
                             .config_fd = options->config_fd,
                             .ca = options->ca,
                             .rate = { .per_hour = options->per_hour } };
        (void) pthread_mutex_init(&s.lock, NULL);
        init_profiles_lock(&s.profiles_lock);
        atomic_store(&s.profiles, options->profiles);
        atomic_store(&s.synchronised, clock_synchronised());
        init_settled(&s.settled);
        s.ended_fd = eventfd(0, EFD_CLOEXEC);
        s.tick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        signal_fd = block_signals(err);
        if (s.ended_fd < 0 || s.tick_fd < 0 || signal_fd < 0)
                return error_errno(err, errno, "cannot set up the signer");
        /* glibc gives memory of a thread's heap back only after a look into /proc, which the sandbox of a signing thread is deadly to */
        (void) mallopt(M_TRIM_THRESHOLD, -1);
        if (signlog_open(s.state_fd, moment_now(), &s.rate, &s.log, &log_last_s, err) < 0 ||
            restore_mark(&s, log_last_s, err) < 0 ||
            anchors_read(s.state_fd, &s.anchors, err) < 0 ||
            sandbox_enter(SANDBOX_PROCESS, err) < 0)
                return -1;
        written = s.mark;
        if (start_all(&s, options, err) < 0)
                return -1;
        keep(&s, signal_fd, written);
        tick(&s, &(struct clock_mark){ 0 });
        keep_anchors(&s);
        return 0;
}
