/*
 * Workers: see workers.h. One mutex and one condition; nobody is woken where nobody sleeps.
 */
#include "workers.h"

#include <pthread.h>
#include <stdlib.h>

#include "lib/base/macros.h"

struct workers {
        pthread_mutex_t lock;
        pthread_cond_t wake;
        struct work *head, **tail;
        size_t queued, queue_max;
        unsigned sleeping;
        bool stopping;
        unsigned threads_len;
        pthread_t threads[WORKERS_THREADS_MAX];
};

/* The next piece of work, or NULL when stopping and nothing is left. */
static struct work *workers_take(struct workers *workers) {
        struct work *work;

        (void) pthread_mutex_lock(&workers->lock);
        while (!workers->head && !workers->stopping) {
                workers->sleeping++;
                (void) pthread_cond_wait(&workers->wake, &workers->lock);
                workers->sleeping--;
        }
        work = workers->head;
        if (work) {
                workers->head = work->next;
                workers->queued--;
                if (!workers->head)
                        workers->tail = &workers->head;
        }
        (void) pthread_mutex_unlock(&workers->lock);
        return work;
}

static void *workers_main(void *context) {
        struct workers *workers = context;
        struct work *work;

        (void) pthread_setname_np(pthread_self(), "worker");
        while ((work = workers_take(workers)))
                work->run(work);
        return NULL;
}

static int threads_start(struct workers *workers, unsigned threads, struct error *err) {
        pthread_attr_t attributes;
        int rc = pthread_attr_init(&attributes);

        if (rc)
                return error_errno(err, rc, "attributes of a worker thread");
        (void) pthread_attr_setstacksize(&attributes, WORKERS_STACK_BYTES);
        for (unsigned i = 0; i < threads && !rc; i++) {
                rc = pthread_create(&workers->threads[i], &attributes, workers_main, workers);
                if (!rc)
                        workers->threads_len++;
        }
        (void) pthread_attr_destroy(&attributes);
        return rc ? error_errno(err, rc, "starting worker thread %u of %u",
                                workers->threads_len + 1, threads)
                  : 0;
}

int workers_new(unsigned threads, size_t queue_max, struct workers **ret, struct error *err) {
        CAD_AUTO(workers_free) struct workers *workers = NULL;

        if (threads == 0 || threads > WORKERS_THREADS_MAX || queue_max == 0)
                return error_set(
                        err, ERR_CONFIG,
                        "%u workers with a queue of %zu: 1 to %d and at least 1 are possible",
                        threads, queue_max, WORKERS_THREADS_MAX);
        workers = calloc(1, sizeof(*workers));
        if (!workers)
                return error_no_memory(err);
        (void) pthread_mutex_init(&workers->lock, /* attr= */ NULL);
        (void) pthread_cond_init(&workers->wake, /* attr= */ NULL);
        workers->tail = &workers->head;
        workers->queue_max = queue_max;
        if (threads_start(workers, threads, err) < 0)
                return -1;
        *ret = CAD_TAKE(workers);
        return 0;
}

bool workers_push(struct workers *workers, struct work *work) {
        bool wake, taken;

        work->next = NULL;
        (void) pthread_mutex_lock(&workers->lock);
        taken = workers->queued < workers->queue_max && !workers->stopping;
        if (taken) {
                *workers->tail = work;
                workers->tail = &work->next;
                workers->queued++;
        }
        wake = taken && workers->sleeping > 0;
        (void) pthread_mutex_unlock(&workers->lock);
        if (wake)
                (void) pthread_cond_signal(&workers->wake);
        return taken;
}

struct workers *workers_free(struct workers *workers) {
        if (!workers)
                return NULL;
        (void) pthread_mutex_lock(&workers->lock);
        workers->stopping = true;
        (void) pthread_cond_broadcast(&workers->wake);
        (void) pthread_mutex_unlock(&workers->lock);
        for (unsigned i = 0; i < workers->threads_len; i++)
                (void) pthread_join(workers->threads[i], /* retval= */ NULL);
        (void) pthread_cond_destroy(&workers->wake);
        (void) pthread_mutex_destroy(&workers->lock);
        free(workers);
        return NULL;
}
