/*
 * Workers: a bounded queue of work and the few threads that take from it. No allocation a piece of work.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/error.h"

#define WORKERS_THREADS_MAX 64
#define WORKERS_STACK_BYTES (1024u * 1024)

/** struct work - embedded in what is worked on; it must live until @run is called, and is not touched after that */
struct work {
        struct work *next;
        void (*run)(struct work *work);
};

struct workers;

/**
 * workers_new() - start the threads
 * @threads:   1 to WORKERS_THREADS_MAX
 * @queue_max: pieces of work that may wait
 * @err:       ERR_NO_MEMORY, ERR_IO where a thread cannot be started; then none is left behind
 */
int workers_new(unsigned threads, size_t queue_max, struct workers **ret, struct error *err);

/** workers_push() - hand work over, from any thread. Return: false where the queue is full; nothing has happened then */
bool workers_push(struct workers *workers, struct work *work);

/** workers_free() - run what is queued to its end, join the threads, release. Copes with NULL. Return: NULL */
struct workers *workers_free(struct workers *workers);
CAD_CLEANUP(struct workers, workers_free)
