/*
 * The time, for what lasts: when a token or a request ends, and what is forgotten because it is old. The signer judges whether this
 * machine's clock can be right; its word is remembered here, so that nobody waits for it.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/signer/protocol.h"
#include "lib/base/error.h"

struct authority;

#define WALL_CLOCK_SET_S \
        60 /* the clock was set where it moved by so much more, or less, than time passed */

/** struct wall_clock - what the signer said last, and when */
struct wall_clock {
        pthread_mutex_t lock;
        bool known;
        int64_t seen_s, seen_ms;    /* at that moment: since the epoch, monotonic */
        char fault[ERROR_TEXT_MAX]; /* "" where the clock can be right */
};

/** wall_clock_init(), wall_clock_done() - one that knows nothing yet; its lock goes */
void wall_clock_init(struct wall_clock *clock);
void wall_clock_done(struct wall_clock *clock);

/** wall_clock_note() - keep what the signer says of the clock, which was asked at these times */
void wall_clock_note(struct wall_clock *clock, const struct sign_status *status, int64_t now_s,
                     int64_t now_ms);

/**
 * wall_clock_stands() - whether what was noted still says something: the clock was not set since
 * @now_s:  since the epoch
 * @now_ms: monotonic
 */
bool wall_clock_stands(struct wall_clock *clock, int64_t now_s, int64_t now_ms);

/**
 * wall_clock_now() - the time; the signer is asked first where the clock was set since it was last
 * @ret: seconds since the epoch
 * @err: ERR_CLOCK with what is wrong with it and what to do; ERR_SIGNER_UNAVAILABLE where nobody can say
 */
int wall_clock_now(struct authority *a, int64_t *ret, struct error *err);

/**
 * wall_clock_noted() - the time, for whoever can do without it and must not wait: the supervisor asks the signer all the time
 * @ret: seconds since the epoch
 * Return: whether the clock is known to be right
 */
bool wall_clock_noted(struct authority *a, int64_t *ret);
