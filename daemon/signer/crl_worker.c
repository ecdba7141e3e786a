/*
 * Making CRLs beside issuing. It waits for nobody who issues, and nobody who issues waits for it: a million entries are walked in
 * windows, and after each of them the thread stands back as long as certificates are asked for.
 */
#include "daemon/signer/crl_worker.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/signer/sandbox.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"

#define STAND_BACK_US \
        1000 /* after a window (about 300 µs of work) while certificates are being signed */
#define STAND_BACK_MAX_MS 10000 /* in all for one CRL: cad waits a minute for it */

struct job {
        uint32_t id;
        struct sign_crl wish;
};

struct crl_worker {
        _Atomic(const struct ca *) ca;
        int state_fd;
        const struct crl_host *host;
        uint8_t *frame; /* the thread's */
        int64_t stand_back_until_ms;

        pthread_mutex_t lock;
        pthread_cond_t more;
        struct job waiting[CRL_WAITING_MAX]; /* a ring */
        size_t first, count;
};

/* No priorities: a service manager's filter forbids those calls. */
static void stand_back(void *context) {
        struct crl_worker *w = context;

        if (w->host->busy(w->host->context) && moment_monotonic_ms() < w->stand_back_until_ms)
                (void) clock_nanosleep(CLOCK_MONOTONIC, 0,
                                       &(struct timespec){ .tv_nsec = STAND_BACK_US * 1000L },
                                       /* remain= */ NULL);
}

static bool root_key_there(const struct crl_worker *w) {
        struct stat st;
        char path[64];

        return fstatat(w->state_fd, ca_path(SIGNER_ROOT_ID, ".key", path, sizeof(path)), &st,
                       AT_SYMLINK_NOFOLLOW) == 0;
}

/* decode (protocol.c) → decide (crl.c, admit()) → do (crl.c), and nothing leaves before its number is on disk. */
static int make(struct crl_worker *w, const struct sign_crl *wish, struct crl_grant *grant,
                size_t *ret_size, struct error *err) {
        CAD_AUTO(fd_close) int fd = -1;
        size_t octets;

        w->stand_back_until_ms = moment_monotonic_ms() + STAND_BACK_MAX_MS;
        if (crl_policy_check(w->ca, root_key_there(w), wish, moment_now(), grant, err) < 0)
                return -1;
        grant->wish.between = stand_back;
        grant->wish.context = w;
        if (crl_measure(&grant->wish, &octets, err) < 0 ||
            w->host->admit(w->host->context, grant->issuer, &grant->wish, err) < 0)
                return -1;
        fd = crl_make(grant, octets, ret_size, err);
        if (fd < 0 || w->host->settle(w->host->context, err) < 0)
                return -1;
        return CAD_TAKE_FD(fd);
}

static void do_job(struct crl_worker *w, struct job *job) {
        CAD_AUTO(fd_close) int fd = -1;
        struct crl_grant grant;
        struct error err = { 0 };
        struct bytes reply;
        size_t size = 0;

        fd = make(w, &job->wish, &grant, &size, &err);
        job->wish.entries_fd = fd_close(job->wish.entries_fd);
        if (fd < 0)
                reply = sign_error_encode(w->frame, job->id, &err);
        else
                reply = sign_crl_ok_encode(w->frame, job->id, grant.issuer, grant.wish.number,
                                           (int64_t) size);
        w->host->answer(w->host->context, reply, fd);
}

static void *worker_thread(void *argument) {
        struct crl_worker *w = argument;
        struct error err = { 0 };

        (void) pthread_setname_np(pthread_self(), "crl");
        if (sandbox_enter(SANDBOX_CRL, &err) < 0) {
                log_error(LOG_LEVEL_ERROR, &err, "the thread that makes CRLs cannot begin");
                _exit(EXIT_FAILURE);
        }
        for (;;) {
                struct job job;

                (void) pthread_mutex_lock(&w->lock);
                while (w->count == 0)
                        (void) pthread_cond_wait(&w->more, &w->lock);
                job = w->waiting[w->first];
                w->first = (w->first + 1) % CRL_WAITING_MAX;
                w->count--;
                (void) pthread_mutex_unlock(&w->lock);
                do_job(w, &job);
        }
}

int crl_worker_start(const struct ca *ca, int state_fd, const struct crl_host *host,
                     struct crl_worker **ret, struct error *err) {
        struct crl_worker *w = calloc(1, sizeof(*w));
        pthread_t thread;
        int rc;

        if (w)
                w->frame = malloc(SIGNER_FRAME_MAX);
        if (!w || !w->frame) {
                free(w);
                return error_no_memory(err);
        }
        atomic_init(&w->ca, ca);
        w->state_fd = state_fd;
        w->host = host;
        (void) pthread_mutex_init(&w->lock, NULL);
        (void) pthread_cond_init(&w->more, NULL);
        rc = pthread_create(&thread, NULL, worker_thread, w);
        if (rc != 0) {
                free(w->frame);
                free(w);
                return error_errno(err, rc, "cannot start the thread that makes CRLs");
        }
        (void) pthread_detach(thread);
        *ret = w;
        return 0;
}

void crl_worker_use(struct crl_worker *w, const struct ca *ca) {
        atomic_store(&w->ca, ca);
}

int crl_worker_take(struct crl_worker *w, uint32_t id, struct sign_crl *wish, struct error *err) {
        bool room;

        (void) pthread_mutex_lock(&w->lock);
        room = w->count < CRL_WAITING_MAX;
        if (room) {
                w->waiting[(w->first + w->count++) % CRL_WAITING_MAX] = (struct job){
                        .id = id, .wish = *wish
                };
                wish->entries_fd = -1;
                (void) pthread_cond_signal(&w->more);
        }
        (void) pthread_mutex_unlock(&w->lock);
        if (room)
                return 0;
        wish->entries_fd = fd_close(wish->entries_fd);
        return error_set(err, ERR_OVERLOADED,
                         "%d CRLs wait to be made already: try again in a moment", CRL_WAITING_MAX);
}
