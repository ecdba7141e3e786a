/*
 * Pace: how often one identity may renew its own certificate, or put it on hold and back, so that one device cannot use up what the signer
 * signs an hour or fill the store and the CRL for everybody. An identity is a profile with its names: a renewal keeps both, whatever the key.
 */
#pragma once

#include <stdint.h>

#include "db/store.h"

#define PACE_BURST 10                /* at once … */
#define PACE_EACH_MS (6 * 60 * 1000) /* … and one in so long after that */
#define PACE_IDENTITIES \
        4096 /* that are remembered; what is forgotten is as if it had done nothing */

struct pace; /* opaque; any thread */

/** pace_new() - NULL: out of memory, or no randomness */
struct pace *pace_new(void);
struct pace *pace_free(struct pace *p);
CAD_CLEANUP(struct pace, pace_free)

/**
 * pace_take() - charge the identity of a certificate with one
 * @now_ms: monotonic
 * @err: ERR_TOO_MANY_REQUESTS with when to come back; then nothing is charged
 */
int pace_take(struct pace *p, const struct cert_row *row, int64_t now_ms, struct error *err);
