/*
 * Handing a request in: who may, from where and how many; and what became of the same wish before. It checks nothing of a CSR itself:
 * that is done by what issues.
 */
#include "daemon/authority/requests.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "daemon/authority/access.h"
#include "daemon/authority/requests_parts.h"
#include "daemon/authority/tokens.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

#define CODE_TRIES \
        4 /* ids that are drawn before it is given up: 40 bits meet 40 bits once in a lifetime */
#define NETWORK_SHARE 10 /* devices that an IPv6 /64 is taken for: on a LAN it is all of them */

_Static_assert(REQUEST_ID_SIZE == STORE_REQUEST_ID_SIZE &&
                       REQUEST_CODE_MAX == STORE_REQUEST_CODE_MAX,
               "the store keeps both as they are");

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
        if (wall_clock_now(a, &put->row.handed_in_at, err) < 0)
                return -1;
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
        struct enrolment enrolment = requests_enrolment(a);
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
        requests_note_refusal(a, wish, "request.submit", NULL, err);
        return -1;
}

int requests_submit_again(struct authority *a, const struct issue_request *wish,
                          struct request_row **ret, struct cert_row **ret_cert, struct error *err) {
        *ret_cert = NULL;
        if (submit(a, wish, ret, ret_cert, err) == 0)
                return 0;
        requests_note_refusal(a, wish, "request.submit", NULL, err);
        return -1;
}
