/*
 * Requests: CSRs that anybody may hand in, and that wait until an operator has looked at them.
 *
 *      waiting ──approve──> approved (with its certificate, in one transaction)
 *         │└──────deny────> denied (with a reason)
 *         └─────time──────> expired
 *
 * Two handles. The id, 128 random bits, is what the device has: who has it may poll, so it is told to nobody else, readers
 * included. The code, 8 characters, is what everybody else knows a request by; it is tied to the key, so who compares it with the
 * device's has compared the key. A request that could not be granted is refused when it is handed in, by the code that issues.
 */
#pragma once

#include "daemon/authority/authority.h"
#include "db/requests.h"
#include "lib/pki/request_code.h"

#define REQUEST_REASON_LENGTH_MAX 200 /* bytes of a reason for a denial */

/** struct enrolment - [Enrolment] of cad.conf */
struct enrolment {
        bool anonymous;     /* who is not known may hand in */
        uint32_t queue_max; /* requests that wait, in all … */
        uint32_t
                per_source; /* … and of one source: an address, a uid; an IPv6 /64 has room for ten devices */
        int64_t expires_s; /* how long one waits */
};
#define ENROLMENT_DEFAULTS \
        { .anonymous = true, .queue_max = 1000, .per_source = 10, .expires_s = 7 * INT64_C(86400) }

#define ENROLMENT_QUEUE_MAX 10000 /* each that is handed in walks over all that wait: 1 ms of it */
#define ENROLMENT_EXPIRES_MIN_S 60
#define ENROLMENT_EXPIRES_MAX_S (365 * INT64_C(86400))

/** authority_set_enrolment() - use other settings from now on; what waits already stays */
void authority_set_enrolment(struct authority *a, const struct enrolment *enrolment);

/**
 * requests_submit() - hand a request in; durable when it returns
 * @wish: as for authority_issue(), its source is who is counted for it; not_before and idempotency key are not looked at
 * @ret:  the request: a new one, or the one that waits already for the same wish from the same source
 * @err:  ERR_UNAUTHENTICATED where [Enrolment] wants to know who it is; ERR_TOO_MANY_REQUESTS: too many in a short time, or too many of this source
 *        wait; ERR_OVERLOADED: the queue is full; ERR_BODY_TOO_LARGE: a CSR over 16 KiB; what authority_issue() would say; ERR_FORBIDDEN for a
 *        profile that is for admins; ERR_STORE
 *
 * A full queue makes room by fair share, see store_put_request_init().
 */
int requests_submit(struct authority *a, const struct issue_request *wish, struct request_row **ret,
                    struct error *err);

#define REQUESTS_AGAIN_S 10 /* to hand in again costs more than to look by id */

/**
 * requests_submit_again() - the same for who asks what became of it by handing it in again, as often as he likes
 * @ret:      the request: it waits, or it is approved
 * @ret_cert: its certificate where it is approved, else NULL
 * @err:      as before; ERR_FORBIDDEN: it was denied to this source; ERR_ALREADY_REVOKED, ERR_STATE_CONFLICT: it was approved, and its
 *            certificate is revoked, or on hold
 *
 * Approved for one is approved for all: a certificate is public, and of use to who has its key alone. One that has expired is no answer: then
 * it is a new request.
 */
int requests_submit_again(struct authority *a, const struct issue_request *wish,
                          struct request_row **ret, struct cert_row **ret_cert, struct error *err);

/**
 * requests_find() - one request
 * @handle:    its id (32 hex digits), for who has it; or its code, for readers
 * @ret_by_id: which of them it was: the id is told to nobody who came with the code
 * @err:       ERR_NOT_FOUND; ERR_UNAUTHENTICATED, ERR_FORBIDDEN with a code; ERR_STORE
 */
int requests_find(struct authority *a, const struct principal *principal, const char *handle,
                  struct request_row **ret, bool *ret_by_id, struct error *err);

/** requests_list() - a page, newest first. See store_list_requests(). @err: also ERR_UNAUTHENTICATED, ERR_FORBIDDEN */
int requests_list(struct authority *a, const struct principal *principal,
                  enum request_status status, const char *cursor, size_t limit,
                  store_each_request each, void *data, char *next, struct error *err);

/** requests_poll_s() - how many seconds to wait before asking again: soon at first, later less often */
int64_t requests_poll_s(const struct request_row *row, int64_t now);

/**
 * requests_approve() - have its certificate issued, by authority_issue() alone
 * @handle: id or code
 * @rq:     who approves, and what is other than was asked for: fewer names, a shorter life, another profile, a label. Its csr is not looked at
 *
 * Exactly once: of two that decide at a time one does, and the other is told (ERR_STATE_CONFLICT). With the same idempotency key the
 * same answer comes again.
 * Return: 0, then @done is called (perhaps before this returns); or -1 with @err, then it is not.
 * @err: ERR_UNAUTHENTICATED, ERR_FORBIDDEN; ERR_NOT_FOUND; ERR_STATE_CONFLICT; ERR_NAME_NOT_ALLOWED: a name that was not asked for;
 *       ERR_VALIDITY_OUT_OF_RANGE: longer than was asked for; all of authority_issue()
 */
int requests_approve(struct authority *a, const struct issue_request *rq, const char *handle,
                     issue_done done, void *context, struct error *err);

/**
 * requests_deny() - say no; durable when it returns
 * @rq:     who does, and from where; nothing else of it is looked at
 * @reason: told to the device; NULL: none
 * @ret:    the request as it is now
 * @err:    ERR_UNAUTHENTICATED, ERR_FORBIDDEN; ERR_NOT_FOUND; ERR_STATE_CONFLICT; ERR_BODY_MALFORMED (reason); ERR_STORE
 */
int requests_deny(struct authority *a, const struct issue_request *rq, const char *handle,
                  const char *reason, struct request_row **ret, struct error *err);

/** requests_tick() - forget some of what is due, now and then: bounded work, and nobody waits for it; from one thread */
void requests_tick(struct authority *a);

/** request_source() - who is counted for a request from this peer: "192.0.2.1", "2001:db8::/64", "uid:1000". @ret: REQUEST_SOURCE_MAX bytes */
#define REQUEST_SOURCE_MAX 80
void request_source(const char *peer, char *ret);

/* ---- for authority.c ---- */

struct requests; /* settings, limiter, and what is being decided on */
struct requests *requests_new(void);
struct requests *requests_free(struct requests *r);
