/*
 * The serving signer: what its threads share, and the parts that serve.c puts together. Of the process cad-signer alone.
 *
 *      message.c   a frame to its answer: decode, decide, do
 *      admit.c     whatever is signed passes here: clock, rate, number and log line in one step, under the lock
 *      settle.c    log, mark and anchors to the disk, and back at start
 *      serve.c     threads, signals, start and end
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "daemon/signer/anchors.h"
#include "daemon/signer/ca.h"
#include "daemon/signer/clock.h"
#include "daemon/signer/crl_worker.h"
#include "daemon/signer/policy.h"
#include "daemon/signer/rate.h"
#include "daemon/signer/rotation.h"
#include "daemon/signer/signlog.h"

#define SIGNER_SERIAL_SIZE 19 /* 1 fixed, 6 of time, 12 random octets */

/** struct signer - one a process; it lives as long as that */
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

/* ---- message.c --------------------------------------------------------------------------------------------- */

/** MESSAGE_ANSWERED_LATER - by the thread that does it; has data, unlike BYTES_NONE */
#define MESSAGE_ANSWERED_LATER BYTES("", 0)

/**
 * message_answer() - a frame of cad's to the answer, written into @out (SIGNER_FRAME_MAX octets)
 * @fd: came beside the frame; it stays the caller's unless the handler takes it
 * Return: the answer, MESSAGE_ANSWERED_LATER: none yet
 */
struct bytes message_answer(struct signer *s, struct bytes frame, int *fd, uint8_t *out);

/** message_describe_ca() - the CA as a HELLO has it; views into what it signs with */
void message_describe_ca(struct signer *s, struct sign_hello *ret);

/* ---- admit.c ----------------------------------------------------------------------------------------------- */

/** admit_clock() - before anything is held against the time. @err: ERR_CLOCK */
int admit_clock(struct signer *s, int64_t now_ms, struct error *err);

/** admit_clock_locked() - the same, for who holds the lock */
int admit_clock_locked(const struct signer *s, int64_t now_ms, struct error *err);

/** admit_certificate() - draw the serial and log it. @serial: SIGNER_SERIAL_SIZE octets, to which @grant->wish points from then on */
int admit_certificate(struct signer *s, struct policy_grant *grant, int64_t now_ms, uint8_t *serial,
                      struct error *err);

/** admit_crl(), admit_change() - of struct crl_host and struct rotation_host; @context is the signer */
int admit_crl(void *context, const char *issuer, struct crl_wish *wish, struct error *err);
int admit_change(void *context, const char *line, struct error *err);

/** admit_anchor_locked() - an end of the audit's chain; the caller holds the lock. @anchor: gets its time. @ret: how it stands to those before */
int admit_anchor_locked(struct signer *s, struct audit_anchor *anchor, enum anchor_news *ret,
                        struct error *err);

/* ---- settle.c ---------------------------------------------------------------------------------------------- */

/** settle_init() - the condition that settle_crl() waits on, by the monotonic clock */
void settle_init(pthread_cond_t *settled);

/** settle_restore() - the mark as it was, or later. @log_last_s: the last line of the log */
int settle_restore(struct signer *s, int64_t log_last_s, struct error *err);

/** settle_log() - log and mark to the disk. @written: the mark that is there; set where it is another now */
void settle_log(struct signer *s, struct clock_mark *written);

/** settle_anchors() - anchors to the disk, where there are new ones */
void settle_anchors(struct signer *s);

/** settle_crl() - of struct crl_host: wait until all that was admitted is on disk. @err: ERR_STORE, ERR_STORE_FULL */
int settle_crl(void *context, struct error *err);
