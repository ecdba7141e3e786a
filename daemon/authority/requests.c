/*
 * Requests: see requests.h. Looking at them, and forgetting what is over; handing in and deciding are in request_submit.c and
 * request_decide.c.
 */
#include "daemon/authority/requests.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/authority/access.h"
#include "daemon/authority/audit.h"
#include "daemon/authority/requests_parts.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

#define SWEEP_PERIOD_MS (10 * 60 * 1000)
#define SWEEP_AGAIN_MS 1000 /* where there was more to do than one step does */

struct requests *requests_new(void) {
        struct requests *r = calloc(1, sizeof(*r));

        if (!r)
                return NULL;
        (void) pthread_mutex_init(&r->lock, NULL);
        r->enrolment = (struct enrolment) ENROLMENT_DEFAULTS;
        r->limiter = limiter_new(&limiter_tokens);
        return r->limiter ? r : requests_free(r);
}

struct requests *requests_free(struct requests *r) {
        if (!r)
                return NULL;
        r->limiter = limiter_free(r->limiter);
        (void) pthread_mutex_destroy(&r->lock);
        free(r);
        return NULL;
}

void authority_set_enrolment(struct authority *a, const struct enrolment *enrolment) {
        (void) pthread_mutex_lock(&a->requests->lock);
        a->requests->enrolment = *enrolment;
        (void) pthread_mutex_unlock(&a->requests->lock);
}

struct enrolment requests_enrolment(struct authority *a) {
        struct enrolment enrolment;

        (void) pthread_mutex_lock(&a->requests->lock);
        enrolment = a->requests->enrolment;
        (void) pthread_mutex_unlock(&a->requests->lock);
        return enrolment;
}

void requests_note_refusal(struct authority *a, const struct issue_request *rq, const char *action,
                           const char *handle, const struct error *err) {
        char code[REQUEST_CODE_MAX] = "";
        const struct audit_event what = {
                .action = action, .source = rq->source, .object = code, .request_id = rq->request_id
        };

        (void) request_code_parse(handle ? handle : "",
                                  code); /* an id is a right, and stands nowhere */
        audit_refused(a, rq->principal, &what, err);
}

/* ---- looking at them ---- */

/* What it looks like decides who may look, so it is decided once: spelt out with dashes, a code may be as long as an id. */
static bool read_id(const char *handle, uint8_t ret[REQUEST_ID_SIZE]) {
        size_t size = 0;

        return strlen(handle) == REQUEST_ID_TEXT_MAX - 1 &&
                hex_decode(handle, ret, REQUEST_ID_SIZE, &size) == 0 && size == REQUEST_ID_SIZE;
}

int requests_look_up(struct authority *a, const char *handle, struct request_row **ret,
                     struct error *err) {
        uint8_t id[REQUEST_ID_SIZE];
        char code[REQUEST_CODE_MAX];

        if (read_id(handle, id))
                return store_get_request(a->store, id, ret, err);
        if (request_code_parse(handle, code) == 0)
                return store_find_request(a->store, code, ret, err);
        return error_set(err, ERR_NOT_FOUND,
                         "'%.40s' is neither the id of a request (32 hex digits) nor its code "
                         "(8 characters, as `cactl request list` shows it)",
                         handle);
}

int requests_find(struct authority *a, const struct principal *principal, const char *handle,
                  struct request_row **ret, bool *ret_by_id, struct error *err) {
        uint8_t id[REQUEST_ID_SIZE];
        bool by_id = read_id(handle, id);

        if (access_check(principal, by_id ? ACTION_READ_REQUEST : ACTION_LIST_REQUESTS, err) < 0 ||
            requests_look_up(a, handle, ret, err) < 0)
                return -1;
        *ret_by_id = by_id;
        return 0;
}

int requests_list(struct authority *a, const struct principal *principal,
                  enum request_status status, const char *cursor, size_t limit,
                  store_each_request each, void *data, char *next, struct error *err) {
        if (access_check(principal, ACTION_LIST_REQUESTS, err) < 0)
                return -1;
        return store_list_requests(a->store, status, moment_now(), cursor, limit, each, data, next,
                                   err);
}

/* A person at the other end may say yes at once, or come back from a holiday: a thousand that wait must not ask all the time. */
int64_t requests_poll_s(const struct request_row *row, int64_t now) {
        static const struct {
                int64_t younger_s, poll_s;
        } steps[] = { { 2 * 60, 5 }, { 60 * 60, 30 }, { INT64_MAX, 300 } };
        int64_t age_s = now > row->handed_in_at ? now - row->handed_in_at : 0;
        size_t i = 0;

        while (age_s >= steps[i].younger_s)
                i++;
        return steps[i].poll_s;
}

/* ---- forgetting ---- */

static void on_swept(struct store_op *op, const struct error *err) {
        struct requests *r = (struct requests *) (void *) ((char *) op -
                                                           offsetof(struct requests, sweep.op));
        bool more = !err && r->sweep.swept > 0;

        atomic_store(&r->sweep_after_ms,
                     moment_monotonic_ms() + (more ? SWEEP_AGAIN_MS : SWEEP_PERIOD_MS));
        atomic_store(&r->sweeping, false);
}

void requests_tick(struct authority *a) {
        struct requests *r = a->requests;
        int64_t now;

        if (!a->store || atomic_load(&r->sweeping) ||
            moment_monotonic_ms() < atomic_load(&r->sweep_after_ms))
                return;
        /* by a clock that is wrong everything may look old */
        if (!wall_clock_noted(a, &now))
                return;
        atomic_store(&r->sweeping, true);
        store_sweep_requests_init(&r->sweep, now, on_swept);
        if (store_submit(a->store, &r->sweep.op, NULL) < 0)
                atomic_store(&r->sweeping, false); /* the next tick tries again */
}
