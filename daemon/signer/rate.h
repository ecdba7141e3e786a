/*
 * How many signatures an hour: the bound on what a captured cad can ask for.
 */
#pragma once

#include <stdint.h>

#include "lib/base/error.h"

#define RATE_SLOTS 61 /* minutes that are counted: the one that runs, and an hour before it */

/** struct rate - a sliding hour in slots of a minute; zero-initialised with a limit is ready. The caller locks. */
struct rate {
        uint32_t per_hour; /* 0: no limit */
        uint32_t counts[RATE_SLOTS];
        int64_t minute; /* of the newest slot, minutes since the epoch */
};

/** rate_count() - note one signature at @now_s (seconds since the epoch); a time before the newest counts as the newest */
void rate_count(struct rate *rate, int64_t now_s);

/** rate_last_hour() - how many in the hour before @now_s */
uint32_t rate_last_hour(const struct rate *rate, int64_t now_s);

/** rate_check() - whether one more is within the limit. @err: ERR_RATE_LIMITED */
int rate_check(const struct rate *rate, int64_t now_s, struct error *err);
