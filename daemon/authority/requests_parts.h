/*
 * Requests from within: what looking at them (requests.c), handing in (request_submit.c) and deciding (request_decide.c) share.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "daemon/authority/internal.h"
#include "daemon/authority/limiter.h"
#include "daemon/authority/requests.h"

#define REQUEST_DECISIONS_MAX 32 /* approvals that are on their way at a time */

/** struct requests - one an authority; @lock is over enrolment and deciding */
struct requests {
        pthread_mutex_t lock;
        struct enrolment enrolment;
        int64_t deciding[REQUEST_DECISIONS_MAX]; /* row ids; 0: free */
        struct limiter *limiter;
        /* of the sweep: one at a time */
        struct store_sweep_requests sweep;
        atomic_bool sweeping;
        _Atomic int64_t sweep_after_ms; /* monotonic */
};

/** requests_enrolment() - the settings as they are now */
struct enrolment requests_enrolment(struct authority *a);

/** requests_look_up() - by id or code; nobody's rights are asked for. @ret: owned by the caller. @err: ERR_NOT_FOUND; ERR_STORE */
int requests_look_up(struct authority *a, const char *handle, struct request_row **ret,
                     struct error *err);

/** requests_note_refusal() - to the audit: @action of @rq on @handle (NULL: none) was refused with @err */
void requests_note_refusal(struct authority *a, const struct issue_request *rq, const char *action,
                           const char *handle, const struct error *err);
