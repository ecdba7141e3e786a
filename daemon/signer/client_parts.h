/*
 * What the parts of the signer's client share: the connection and its reader (client.c), calls in flight (client_calls.c), and those
 * who wait for an answer (client_wait.c).
 */
#pragma once

#include <pthread.h>

#include "daemon/signer/client.h"

#define SIGNER_BUCKETS 64 /* of calls in flight, by id */

/** struct waiting_status - who waits for a STATUS */
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
        struct signer_call *buckets[SIGNER_BUCKETS];
        struct waiting_status *status; /* the one STATUS in flight */
};

/* ---- client_calls.c; the caller holds the lock, where nothing else is said ------------------------------------- */

/** calls_check() - whether there is a signer to be asked. @err: ERR_STOPPING, ERR_SIGNER_UNAVAILABLE */
int calls_check(const struct signer_client *c, struct error *err);

/** calls_put() - in flight from now on, for @deadline_ms; gets its id */
void calls_put(struct signer_client *c, struct signer_call *call, int64_t deadline_ms);

/** calls_take() - no more in flight. Return: NULL: there is none of this id */
struct signer_call *calls_take(struct signer_client *c, uint32_t id);

/** calls_take_overdue() - all whose deadline is before @before_ms, as a list */
struct signer_call *calls_take_overdue(struct signer_client *c, int64_t before_ms);

/** calls_fail() - call back everybody of such a list; without the lock */
void calls_fail(struct signer_client *c, struct signer_call *list, enum error_code code,
                const char *text);

/** calls_fail_overdue() - both; without the lock */
void calls_fail_overdue(struct signer_client *c, int64_t before_ms, enum error_code code,
                        const char *text);

/** calls_send_frame() - a frame that is no call's, without waiting; the lock is not needed. @err: ERR_OVERLOADED, ERR_SIGNER_UNAVAILABLE */
int calls_send_frame(int fd, struct bytes frame, struct error *err);

/**
 * calls_send() - the frame of a call that is in flight, which it is no more where that fails
 * @attached: a descriptor beside it, -1: none
 * @err:      as above
 */
int calls_send(struct signer_client *c, struct signer_call *call, struct bytes frame, int attached,
               struct error *err);

/* ---- client_wait.c: answers that somebody waits for, on the reader's thread, without the lock ------------------ */

void wait_status_arrived(struct signer_client *c, const struct signer_header *header,
                         struct frame_reader *fields);

/** wait_crl_arrived() - @fd: came beside the frame; taken where it is for somebody */
void wait_crl_arrived(struct signer_client *c, uint32_t id, struct frame_reader *fields, int *fd);
