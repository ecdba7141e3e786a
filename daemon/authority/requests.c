/*
 * Requests: see requests.h. It checks nothing of a CSR itself and signs nothing: both is done by what issues.
 */
#include "daemon/authority/requests.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "daemon/authority/access.h"
#include "daemon/authority/audit.h"
#include "daemon/authority/internal.h"
#include "daemon/authority/limiter.h"
#include "daemon/authority/tokens.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

#define DECISIONS_MAX 32 /* approvals that are on their way at a time */
#define CODE_TRIES \
        4 /* ids that are drawn before it is given up: 40 bits meet 40 bits once in a lifetime */
#define NETWORK_SHARE 10 /* devices that an IPv6 /64 is taken for: on a LAN it is all of them */
#define SWEEP_PERIOD_MS (10 * 60 * 1000)
#define SWEEP_AGAIN_MS 1000 /* where there was more to do than one step does */

_Static_assert(REQUEST_ID_SIZE == STORE_REQUEST_ID_SIZE &&
                       REQUEST_CODE_MAX == STORE_REQUEST_CODE_MAX,
               "the store keeps both as they are");

struct requests {
        pthread_mutex_t lock;
        struct enrolment enrolment;
        int64_t deciding[DECISIONS_MAX]; /* row ids; 0: free */
        struct limiter *limiter;
        /* of the sweep: one at a time */
        struct store_sweep_requests sweep;
        atomic_bool sweeping;
        _Atomic int64_t sweep_after_ms; /* monotonic */
};

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

static struct enrolment enrolment_of(struct authority *a) {
        struct enrolment enrolment;

        (void) pthread_mutex_lock(&a->requests->lock);
        enrolment = a->requests->enrolment;
        (void) pthread_mutex_unlock(&a->requests->lock);
        return enrolment;
}

/* ---- where it comes from ---- */

/* In an IPv6 network addresses cost nothing, so the network is what counts. A link-local one is a network for each zone. */
static bool network_text(const struct limiter_source *source, const char *peer, char *ret) {
        struct in6_addr network = { 0 };
        char text[INET6_ADDRSTRLEN];
        const char *zone = strchr(peer, '%');

        if (source->network.kind != LIMITER_NETWORK)
                return false;
        memcpy(&network, source->network.octets, 8);
        if (!inet_ntop(AF_INET6, &network, text, sizeof(text)))
                return false;
        (void) snprintf(ret, REQUEST_SOURCE_MAX, "%s/64%.*s", text,
                        zone ? (int) strcspn(zone, "]") : 0, zone ? zone : "");
        return true;
}

void request_source(const char *peer, char *ret) {
        struct limiter_source source = limiter_source(peer);
        char address[INET_ADDRSTRLEN];
        uint32_t uid;

        if (network_text(&source, peer, ret))
                return;
        memcpy(&uid, source.self.octets, sizeof(uid));
        if (source.self.kind == LIMITER_USER)
                (void) snprintf(ret, REQUEST_SOURCE_MAX, "uid:%" PRIu32, uid);
        else if (source.self.kind == LIMITER_ADDRESS &&
                 inet_ntop(AF_INET, source.self.octets, address, sizeof(address)))
                (void) snprintf(ret, REQUEST_SOURCE_MAX, "%s", address);
        else
                (void) snprintf(ret, REQUEST_SOURCE_MAX, "%s", *peer ? peer : "unknown");
}

/* Operators could issue at once: nothing is gained by making them wait. */
static int admit(struct authority *a, const struct issue_request *wish, struct error *err) {
        struct limiter_source source = limiter_source(wish->source ? wish->source : "");
        int64_t now_ms = moment_monotonic_ms();

        if (wish->principal->role >= ROLE_OPERATOR)
                return 0;
        if (limiter_admit(a->requests->limiter, &source, now_ms, NULL) < 0)
                return error_set(
                        err, ERR_TOO_MANY_REQUESTS,
                        "more requests were handed in than %d a minute from one place, or %d in all: try again in a minute",
                        LIMITER_SOURCE_PER_MINUTE, LIMITER_ALL_PER_MINUTE);
        (void) limiter_wrong(a->requests->limiter, &source, now_ms); /* each counts, good or not */
        return 0;
}

/* ---- handing in ---- */

/* A request on its way into the queue. */
struct submission {
        const struct issue_request *wish;
        char source[REQUEST_SOURCE_MAX];
        struct request_row *row; /* a copy, made while the checked wish was lent */
        struct buffer spki;
        char detail[160]; /* for the audit */
};

static void submission_done(struct submission *s) {
        s->row = request_row_free(s->row);
        buffer_done(&s->spki);
}
CAD_CLEANUP_DONE(struct submission, submission_done)

/* One that is used up is still known by its secret, so that what it was used for can be asked for again: a right it is no more. */
static int check_token(struct authority *a, const struct principal *principal, struct error *err) {
        CAD_AUTO(token_grant_free) struct token_grant *grant = NULL;

        if (principal->kind != PRINCIPAL_TOKEN)
                return 0;
        return tokens_grant(a, principal, &grant, err) < 0
                ? -1
                : token_row_check(grant->row, moment_now(), err);
}

static int may_submit(struct authority *a, const struct principal *principal,
                      const struct enrolment *enrolment, struct error *err) {
        if (access_check(principal, ACTION_SUBMIT_REQUEST, err) < 0 ||
            check_token(a, principal, err) < 0)
                return -1;
        if (enrolment->anonymous || principal->kind != PRINCIPAL_ANONYMOUS)
                return 0;
        return error_set(
                err, ERR_UNAUTHENTICATED,
                "this CA takes no requests from those it does not know ([Enrolment] Anonymous=no in cad.conf): come with a token or a "
                "client certificate");
}

static void describe_key(const struct public_key *key, char *out, size_t size) {
        if (public_key_type(key) == KEY_RSA)
                (void) snprintf(out, size, "%s %u", key_type_name(KEY_RSA), public_key_bits(key));
        else
                (void) snprintf(out, size, "%s", key_type_name(public_key_type(key)));
}

/* All that is asked for, but for the signature: a device that signs anew asks for the same. */
static int hash_wish(const struct checked_wish *checked, const struct issue_request *wish,
                     uint8_t ret[SHA256_SIZE], struct error *err) {
        CAD_AUTO(buffer_done) struct buffer all = { 0 };

        buffer_format(&all, "%s\n%" PRId64 "\n%s\n", checked->profile->name, wish->lifetime_s,
                      wish->label ? wish->label : "");
        for (size_t i = 0; i < checked->name_count; i++)
                buffer_format(&all, "%s\n", checked->names[i]);
        buffer_append(&all, checked->csr->info);
        if (all.failed)
                return error_no_memory(err);
        sha256(buffer_bytes(&all), ret);
        return 0;
}

static int take_wish(const struct checked_wish *checked, void *context, struct error *err) {
        struct submission *s = context;
        char key[32];
        struct request_row row = {
                .key = key,
                .profile = checked->profile->name,
                .names = checked->names,
                .name_count = checked->name_count,
                .lifetime_s = s->wish->lifetime_s,
                .label = s->wish->label,
                .csr = checked->csr->der,
        };

        if (checked->csr->der.size > STORE_REQUEST_CSR_MAX)
                return error_set_field(err, ERR_BODY_TOO_LARGE, "csr",
                                       "the CSR has %zu octets: one that waits has %d at most",
                                       checked->csr->der.size, STORE_REQUEST_CSR_MAX);
        describe_key(checked->csr->key, key, sizeof(key));
        memcpy(row.spki, checked->spki, sizeof(row.spki));
        buffer_append(&s->spki, checked->csr->spki);
        (void) snprintf(s->detail, sizeof(s->detail), "%s: %.100s%s", row.profile,
                        row.name_count ? row.names[0] : "?", row.name_count > 1 ? ", …" : "");
        if (hash_wish(checked, s->wish, row.wish, err) < 0)
                return -1;
        s->row = request_row_copy(&row);
        return s->row && !s->spki.failed ? 0 : error_no_memory(err);
}

static struct request_queue queue_for(const struct enrolment *enrolment, const char *source) {
        bool is_network = strchr(source, '/') != NULL;
        uint64_t share = enrolment->per_source * (is_network ? UINT64_C(1) * NETWORK_SHARE : 1);

        return (struct request_queue){ .total = enrolment->queue_max,
                                       .per_source = share < enrolment->queue_max
                                               ? (uint32_t) share
                                               : enrolment->queue_max };
}

/* With another id where another request has the code. */
static int put_in_queue(struct authority *a, struct store_put_request *put, struct bytes spki,
                        struct error *err) {
        struct error failed;
        int tries = 0;

        do {
                failed = (struct error){ 0 };
                if (getrandom(put->row.id, sizeof(put->row.id), 0) != (ssize_t) sizeof(put->row.id))
                        return error_set(err, ERR_CRYPTO, "the kernel gives no random numbers");
                request_code(put->row.id, spki, put->row.code);
                if (store_write(a->store, &put->op, &failed) == 0)
                        return 0;
        } while (put->code_taken && ++tries < CODE_TRIES);
        *err = failed;
        return -1;
}

static void tell_eviction(const struct store_put_request *put) {
        if (put->gave_way[0])
                log_notice("the queue of requests is full: %s, of the source that has most in it, "
                           "gave way to %s from %s",
                           put->gave_way, put->row.code, put->row.source);
}

static void note_refusal(struct authority *a, const struct issue_request *rq, const char *action,
                         const char *handle, const struct error *err) {
        char code[REQUEST_CODE_MAX] = "";
        const struct audit_event what = {
                .action = action, .source = rq->source, .object = code, .request_id = rq->request_id
        };

        (void) request_code_parse(handle ? handle : "",
                                  code); /* an id is a right, and stands nowhere */
        audit_refused(a, rq->principal, &what, err);
}

static int check_submission(struct authority *a, const struct enrolment *enrolment,
                            struct submission *s, struct error *err) {
        const struct issue_request *wish = s->wish;
        struct issue_request checked = *wish;

        checked.of_stranger = true;
        checked.idempotency_key = NULL;
        checked.not_before = 0;
        if (may_submit(a, wish->principal, enrolment, err) < 0 || admit(a, wish, err) < 0)
                return -1;
        return authority_check_wish(a, &checked, take_wish, s, err);
}

static int queue(struct authority *a, const struct enrolment *enrolment,
                 struct store_put_request *put, struct submission *s, struct error *err) {
        put->row = *s->row;
        put->row.source = s->source;
        put->row.handed_in_at = moment_now();
        put->row.expires_at = put->row.handed_in_at + enrolment->expires_s;
        put->queue = queue_for(enrolment, s->source);
        return put_in_queue(a, put, buffer_bytes(&s->spki), err);
}

/* Whether what was issued for an approved request is of use. Return: 1; 0 it has expired, or was lost; -1 */
static int judge_certificate(struct authority *a, const struct request_row *row,
                             struct cert_row **ret, struct error *err) {
        CAD_AUTO(cert_row_free) struct cert_row *cert = NULL;
        char serial[2 * STORE_SERIAL_MAX + 1];

        if (authority_find(a, hex_encode(row->serial, serial), &cert, err) < 0)
                return -1;
        switch (cert_row_status(cert, moment_now())) {
        case CERT_STATUS_REVOKED:
                return error_set(
                        err, ERR_ALREADY_REVOKED,
                        "the request %s was approved, and its certificate %s is revoked: make a new key, and ask with it",
                        row->code, serial);
        case CERT_STATUS_HELD:
                return error_set(
                        err, ERR_STATE_CONFLICT,
                        "the request %s was approved, and its certificate %s is on hold: an operator can lift that",
                        row->code, serial);
        case CERT_STATUS_EXPIRED:
        case CERT_STATUS_COUNT:
                return 0;
        case CERT_STATUS_VALID:
                break;
        }
        if (cert_row_lost(cert))
                return 0;
        *ret = CAD_TAKE(cert);
        return 1;
}

/* Return: 1 it was approved, 0 it is to be handed in, -1 */
static int look_at_decision(struct authority *a, const struct submission *s,
                            struct request_row **ret, struct cert_row **ret_cert,
                            struct error *err) {
        CAD_AUTO(request_row_free) struct request_row *row = NULL;
        struct error missing = { 0 };
        int rc;

        if (store_find_decided(a->store, s->row->wish, s->source, &row, &missing) < 0) {
                if (missing.code == ERR_NOT_FOUND)
                        return 0;
                *err = missing;
                return -1;
        }
        if (row->status == REQUEST_DENIED)
                return error_set(
                        err, ERR_FORBIDDEN,
                        "the request %s was denied%s%s. If it should not have been, ask with a new key",
                        row->code, row->reason ? ": " : "", row->reason ? row->reason : "");
        rc = judge_certificate(a, row, ret_cert, err);
        if (rc > 0)
                *ret = CAD_TAKE(row);
        return rc;
}

/* @ret_cert: NULL where nobody asks what became of it */
static int submit(struct authority *a, const struct issue_request *wish, struct request_row **ret,
                  struct cert_row **ret_cert, struct error *err) {
        struct enrolment enrolment = enrolment_of(a);
        CAD_AUTO(submission_done) struct submission s = { .wish = wish };
        const struct audit_event event = { .at = moment_now(),
                                           .action = "request.submit",
                                           .principal = wish->principal->text,
                                           .source = wish->source,
                                           .detail = s.detail,
                                           .request_id = wish->request_id };
        struct store_put_request put;
        int decided;

        request_source(wish->source ? wish->source : "", s.source);
        store_put_request_init(&put, NULL);
        /* what strangers hand in is in the queue, which is bounded; the audit is for ever */
        put.audit = wish->principal->kind == PRINCIPAL_ANONYMOUS ? NULL : &event;
        if (check_submission(a, &enrolment, &s, err) < 0)
                return -1;
        decided = ret_cert ? look_at_decision(a, &s, ret, ret_cert, err) : 0;
        if (decided != 0)
                return decided < 0 ? -1 : 0;
        if (queue(a, &enrolment, &put, &s, err) < 0)
                return -1;
        tell_eviction(&put);
        *ret = request_row_copy(&put.row);
        return *ret ? 0 : error_no_memory(err);
}

int requests_submit(struct authority *a, const struct issue_request *wish, struct request_row **ret,
                    struct error *err) {
        if (submit(a, wish, ret, /* ret_cert= */ NULL, err) == 0)
                return 0;
        note_refusal(a, wish, "request.submit", NULL, err);
        return -1;
}

int requests_submit_again(struct authority *a, const struct issue_request *wish,
                          struct request_row **ret, struct cert_row **ret_cert, struct error *err) {
        *ret_cert = NULL;
        if (submit(a, wish, ret, ret_cert, err) == 0)
                return 0;
        note_refusal(a, wish, "request.submit", NULL, err);
        return -1;
}

/* ---- looking at them ---- */

/* What it looks like decides who may look, so it is decided once: spelt out with dashes, a code may be as long as an id. */
static bool read_id(const char *handle, uint8_t ret[REQUEST_ID_SIZE]) {
        size_t size = 0;

        return strlen(handle) == REQUEST_ID_TEXT_MAX - 1 &&
                hex_decode(handle, ret, REQUEST_ID_SIZE, &size) == 0 && size == REQUEST_ID_SIZE;
}

static int find(struct authority *a, const char *handle, struct request_row **ret,
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
            find(a, handle, ret, err) < 0)
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

/* ---- deciding: one at a time for each ---- */

static int claim(struct requests *r, const struct request_row *row, struct error *err) {
        int64_t *free_one = NULL;
        bool taken = false;

        (void) pthread_mutex_lock(&r->lock);
        for (size_t i = 0; i < DECISIONS_MAX; i++) {
                if (r->deciding[i] == row->row_id)
                        taken = true;
                else if (r->deciding[i] == 0)
                        free_one = &r->deciding[i];
        }
        if (!taken && free_one)
                *free_one = row->row_id;
        (void) pthread_mutex_unlock(&r->lock);
        if (taken)
                return error_set(
                        err, ERR_STATE_CONFLICT,
                        "somebody else is deciding on the request %s at this moment: look at what came of it",
                        row->code);
        return free_one ? 0
                        : error_set(err, ERR_OVERLOADED,
                                    "%d requests are being approved at this moment: try again",
                                    DECISIONS_MAX);
}

static void release(struct requests *r, int64_t row_id) {
        (void) pthread_mutex_lock(&r->lock);
        for (size_t i = 0; i < DECISIONS_MAX; i++)
                if (r->deciding[i] == row_id)
                        r->deciding[i] = 0;
        (void) pthread_mutex_unlock(&r->lock);
}

/* Find it, and be the one who decides. @ret is as it is now, and stays so but for the time. */
static int find_and_claim(struct authority *a, const char *handle, struct request_row **ret,
                          struct error *err) {
        CAD_AUTO(request_row_free) struct request_row *seen = NULL, *row = NULL;

        if (find(a, handle, &seen, err) < 0 || claim(a->requests, seen, err) < 0)
                return -1;
        if (store_get_request(a->store, seen->id, &row, err) < 0 ||
            request_row_check_open(row, moment_now(), err) < 0) {
                release(a->requests, seen->row_id);
                return -1;
        }
        *ret = CAD_TAKE(row);
        return 0;
}

/* ---- approving ---- */

struct approving {
        struct authority *authority;
        int64_t row_id;
        issue_done done;
        void *context;
};

static struct approving *approving_free(struct approving *p) {
        if (p)
                release(p->authority->requests, p->row_id);
        free(p);
        return NULL;
}
CAD_CLEANUP(struct approving, approving_free)

static void on_approved(void *context, const struct issued *issued, const struct error *err) {
        CAD_AUTO(approving_free) struct approving *p = context;

        p->done(p->context, issued, err);
}

/* Whoever approves may leave names out. Others than were asked for would be a surprise to the device, and are issued to nobody by mistake. */
static int check_names(const struct request_row *row, const struct issue_request *rq,
                       struct error *err) {
        CAD_AUTO(san_list_done) struct san_list asked = { 0 };
        char text[SAN_TEXT_MAX];

        for (size_t i = 0; i < row->name_count; i++)
                if (san_list_add_text(&asked, row->names[i], err) < 0)
                        return -1;
        for (size_t i = 0; i < rq->name_count; i++) {
                CAD_AUTO(san_list_done) struct san_list one = { 0 };

                if (san_list_add_text(&one, rq->names[i], err) < 0)
                        return error_name_field(err, "names[%zu]", i);
                if (san_list_contains(&asked, &one.items[0]))
                        continue;
                (void) error_set(
                        err, ERR_NAME_NOT_ALLOWED,
                        "the request %s does not ask for %s: names can be left out, not added",
                        row->code, san_text(&one.items[0], text, sizeof(text)));
                return error_name_field(err, "names[%zu]", i);
        }
        return 0;
}

static int check_lifetime(const struct request_row *row, const struct issue_request *rq,
                          struct error *err) {
        char asked[DURATION_TEXT_MAX];

        if (row->lifetime_s == 0 || rq->lifetime_s <= row->lifetime_s)
                return 0;
        return error_set_field(err, ERR_VALIDITY_OUT_OF_RANGE, "validity",
                               "the request %s asks for %s: it can be shortened, not made longer",
                               row->code, duration_format(row->lifetime_s, asked));
}

static int issue(struct authority *a, const struct issue_request *rq, const struct request_row *row,
                 struct approving **approving, struct error *err) {
        struct request_approval approval = { .row_id = row->row_id, .at = moment_now() };
        struct issue_request wanted = *rq;
        char requester[PRINCIPAL_TEXT_MAX + 32];

        memcpy(approval.code, row->code, sizeof(approval.code));
        (void) snprintf(requester, sizeof(requester), "%s for request %s", rq->principal->text,
                        row->code);
        wanted.csr = row->csr;
        wanted.profile = rq->profile ? rq->profile : row->profile;
        wanted.names = rq->name_count ? rq->names : row->names;
        wanted.name_count = rq->name_count ? rq->name_count : row->name_count;
        wanted.lifetime_s = rq->lifetime_s ? rq->lifetime_s : row->lifetime_s;
        wanted.label = rq->label ? rq->label : row->label;
        wanted.of_stranger = true;
        wanted.approves = &approval;
        wanted.requester = requester;
        if (authority_issue(a, &wanted, on_approved, *approving, err) < 0)
                return -1;
        (void) CAD_TAKE(*approving); /* on_approved() has it now, or had it */
        return 0;
}

/* What is refused later, is noted by what issues. */
static int prepare(struct authority *a, const struct issue_request *rq, const char *handle,
                   struct request_row **ret, struct approving **ret_approving, struct error *err) {
        if (access_check(rq->principal, ACTION_DECIDE_REQUEST, err) < 0 ||
            find_and_claim(a, handle, ret, err) < 0)
                return -1;
        *ret_approving = calloc(1, sizeof(**ret_approving));
        if (!*ret_approving) {
                release(a->requests, (*ret)->row_id);
                return error_no_memory(err);
        }
        (*ret_approving)->authority = a;
        (*ret_approving)->row_id = (*ret)->row_id;
        return check_names(*ret, rq, err) < 0 ? -1 : check_lifetime(*ret, rq, err);
}

int requests_approve(struct authority *a, const struct issue_request *rq, const char *handle,
                     issue_done done, void *context, struct error *err) {
        CAD_AUTO(request_row_free) struct request_row *row = NULL;
        CAD_AUTO(approving_free) struct approving *approving = NULL;
        int again = 0;

        if (access_check(rq->principal, ACTION_DECIDE_REQUEST, NULL) == 0)
                again = authority_issue_again(a, rq, done, context, err);
        if (again != 0)
                return again < 0 ? -1 : 0;
        if (prepare(a, rq, handle, &row, &approving, err) < 0) {
                note_refusal(a, rq, "request.approve", handle, err);
                return -1;
        }
        approving->done = done;
        approving->context = context;
        return issue(a, rq, row, &approving, err);
}

/* ---- denying ---- */

static int check_reason(const char *reason, struct error *err) {
        if (!reason ||
            (strlen(reason) <= REQUEST_REASON_LENGTH_MAX && utf8_valid(bytes_of(reason))))
                return 0;
        return error_set_field(err, ERR_BODY_MALFORMED, "reason",
                               "a reason has at most %d bytes of UTF-8", REQUEST_REASON_LENGTH_MAX);
}

static int deny(struct authority *a, const struct issue_request *rq, const char *handle,
                const char *reason, struct request_row **ret, struct error *err) {
        CAD_AUTO(request_row_free) struct request_row *row = NULL;
        struct audit_event event = { .at = moment_now(),
                                     .action = "request.deny",
                                     .principal = rq->principal->text,
                                     .source = rq->source,
                                     .detail = reason,
                                     .request_id = rq->request_id };
        struct store_deny_request op;
        int rc;

        if (access_check(rq->principal, ACTION_DECIDE_REQUEST, err) < 0 ||
            check_reason(reason, err) < 0 || find_and_claim(a, handle, &row, err) < 0)
                return -1;
        event.object = row->code;
        store_deny_request_init(&op, NULL);
        op.row_id = row->row_id;
        op.decided_by = rq->principal->text;
        op.reason = reason && *reason ? reason : NULL;
        op.at = event.at;
        op.audit = &event;
        rc = store_write(a->store, &op.op, err);
        release(a->requests, row->row_id);
        return rc < 0 ? -1 : store_get_request(a->store, row->id, ret, err);
}

int requests_deny(struct authority *a, const struct issue_request *rq, const char *handle,
                  const char *reason, struct request_row **ret, struct error *err) {
        if (deny(a, rq, handle, reason, ret, err) == 0)
                return 0;
        note_refusal(a, rq, "request.deny", handle, err);
        return -1;
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

        if (!a->store || atomic_load(&r->sweeping) ||
            moment_monotonic_ms() < atomic_load(&r->sweep_after_ms))
                return;
        atomic_store(&r->sweeping, true);
        store_sweep_requests_init(&r->sweep, moment_now(), on_swept);
        if (store_submit(a->store, &r->sweep.op, NULL) < 0)
                atomic_store(&r->sweeping, false); /* the next tick tries again */
}
