/*
 * The publisher from within: what its parts share. What others may do is in publisher.h (publisher.c), when something is done in
 * publisher_thread.c, and how a CRL is made in crl_make.c.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "daemon/authority/internal.h"
#include "daemon/authority/publisher.h"

/** struct publication - one issuer's. The thread alone uses adopt; the rest is under the publisher's lock. */
struct publication {
        char issuer[SIGNER_ISSUER_MAX];
        const struct cert *cert;
        bool is_root, has_key;
        bool adopt; /* the store is older than the CRL that was there at start: see adopt_published() */
        struct crl_state state;
        struct crl_snapshot *current;
        struct error failure;
        uint64_t made;
        int64_t changes_seen;
};

/** struct waiter - who has asked for CRLs */
struct waiter {
        publisher_done done;
        void *context;
};

/** struct publisher - one an authority */
struct publisher {
        struct authority *authority;
        int dir_fd;
        pthread_t thread;
        bool started;
        atomic_bool changed; /* set by who commits, taken by the thread */

        pthread_mutex_t lock;
        pthread_cond_t wake;
        bool stopping;
        struct crl_settings settings;
        struct publication of[PUBLISHER_ISSUERS_MAX];
        size_t count;
        struct waiter waiting[PUBLISHER_WAITING_MAX];
        size_t waiting_count;
        struct error ask_failure; /* of what they wait for, so far */
        int64_t looked_ms;        /* at changes */
};

/* ---- publisher_thread.c ------------------------------------------------------------------------------------- */

/** publisher_thread() - for pthread_create(); @data: the publisher. Ends when it is stopping */
void *publisher_thread(void *data);

/** publisher_answer_waiting() - all who wait; with the lock, which is given up meanwhile. @err: why not, NULL: it is done */
void publisher_answer_waiting(struct publisher *p, const struct error *err);

/** publication_can_be_made() - its key is here, and its issuer has not expired */
bool publication_can_be_made(const struct publication *pub, int64_t now);

/* ---- crl_make.c --------------------------------------------------------------------------------------------- */

/** struct making - what is being made, from its first step to its last. */
struct making {
        struct publisher *publisher;
        struct publication *publication;
        enum crl_due why;
        struct crl_row row;   /* as it will be */
        struct sign_crl wish; /* its entries_fd is ours */
        struct crl_times times;
        int64_t now; /* seconds since the epoch, when it was planned */
};

/**
 * crl_make() - make a CRL, check it, store it and serve it; on the publisher's thread, without the lock
 * @m: publisher, publication, why; the wish's entries_fd is -1
 * Return: 0, or -1 with @err; what was made and could not be stored is served all the same
 */
int crl_make(struct making *m, const struct crl_settings *settings, struct error *err);

/** crl_make_reason() - why it is made, in words */
const char *crl_make_reason(enum crl_due why);
