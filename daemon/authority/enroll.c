/*
 * Enrolment: see enroll.h. It checks no CSR and signs nothing: issuance, renewal and requests do. It chooses between them.
 */
#include "daemon/authority/enroll.h"

#include <string.h>

#include "daemon/authority/access.h"
#include "daemon/authority/audit.h"
#include "daemon/authority/requests.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/der.h"

/* ---- asked before ---- */

/* The CertificationRequestInfo (RFC 2986 §4.2): who signs anew asks for the same. Of what is no DER, all. */
static struct bytes wish_of(struct bytes csr) {
        struct der_reader outer = der_reader(csr), inner = der_enter(&outer, DER_SEQUENCE);
        struct bytes info = der_get_element(&inner, DER_SEQUENCE);

        return inner.failed || !der_done(&outer) ? csr : info;
}

/** struct own_key - an idempotency key that is made of the wish */
struct own_key {
        uint8_t hash[SHA256_SIZE];
        char text[2 * SHA256_SIZE + 1];
};

static void own_key_make(struct own_key *key, struct bytes csr) {
        sha256(wish_of(csr), key->hash);
        (void) hex_encode(BYTES(key->hash, sizeof(key->hash)), key->text);
}

/* What came of the same wish before. */
struct earlier {
        issue_done done;
        void *context;
        bool answered;
        struct error refusal;
};

/* One that is over was no answer: a device that sends one CSR again and again gets a new certificate then. */
static void on_earlier(void *context, const struct issued *issued, const struct error *err) {
        struct earlier *earlier = context;
        enum cert_status status;

        if (err) {
                earlier->refusal = *err;
                return;
        }
        status = cert_row_status(issued->row, moment_now());
        if (status == CERT_STATUS_REVOKED)
                (void) error_set(
                        &earlier->refusal, ERR_ALREADY_REVOKED,
                        "this CSR got a certificate before, which is revoked: make a new key, and a CSR with it");
        else if (status == CERT_STATUS_HELD)
                (void) error_set(
                        &earlier->refusal, ERR_STATE_CONFLICT,
                        "this CSR got a certificate before, which is on hold: an operator can lift that");
        else if (status == CERT_STATUS_VALID && !cert_row_lost(issued->row)) {
                earlier->answered = true;
                earlier->done(earlier->context, issued, NULL);
        }
}

/* Return: 1 it was answered; 0 the key is new; 2 its certificate is over, so the key is of no more use; -1 */
static int look_for_earlier(struct authority *a, const struct issue_request *rq, issue_done done,
                            void *context, struct error *err) {
        struct earlier earlier = { .done = done, .context = context };
        int rc = authority_issue_again(a, rq, on_earlier, &earlier, err);

        if (rc <= 0)
                return rc;
        if (earlier.answered)
                return 1;
        if (earlier.refusal.code == ERR_NONE)
                return 2;
        *err = earlier.refusal;
        return -1;
}

/* ---- enrolling ---- */

static int issue(struct authority *a, const struct issue_request *rq, issue_done done,
                 void *context, struct error *err) {
        struct issue_request mine = *rq;
        struct own_key key;
        int earlier;

        own_key_make(&key, rq->csr);
        mine.idempotency_key = key.text;
        memcpy(mine.body_hash, key.hash, sizeof(mine.body_hash));
        earlier = look_for_earlier(a, &mine, done, context, err);
        if (earlier == 1)
                return 0;
        if (earlier < 0)
                return -1;
        if (earlier == 2)
                mine.idempotency_key = NULL;
        return authority_issue(a, &mine, done, context, err);
}

static bool needs_approval(struct authority *a, const char *name) {
        CAD_AUTO(profiles_ref_done) struct profiles_ref profiles = authority_profiles(a);
        const struct profile *profile = profiles_find(profiles.set, name ? name : "server", NULL);

        return profile && profile->enrolment == ENROLMENT_APPROVAL;
}

static int refuse_stranger(struct authority *a, const struct issue_request *rq, struct error *err) {
        const struct audit_event what = { .action = audit_action(ACTION_ISSUE),
                                          .source = rq->source,
                                          .request_id = rq->request_id };

        (void) error_set(
                err, ERR_UNAUTHENTICATED,
                "enrolling is not for everybody: come with a client certificate, or with HTTP Basic: any user name, and as the "
                "password a token or a pairing code; an empty password asks for an operator's approval");
        audit_refused(a, rq->principal, &what, err);
        return -1;
}

static int hand_in(struct authority *a, const struct issue_request *rq, issue_done done,
                   void *context, struct enroll_waiting *ret, struct error *err) {
        CAD_AUTO(request_row_free) struct request_row *row = NULL;
        CAD_AUTO(cert_row_free) struct cert_row *cert = NULL;
        int64_t poll_s;

        if (requests_submit_again(a, rq, &row, &cert, err) < 0)
                return -1;
        if (cert) {
                const struct issued issued = { .row = cert,
                                               .issuer = ca_info_issuer(authority_ca(a),
                                                                        cert->issuer),
                                               .replayed = true };

                done(context, &issued, NULL);
                return 0;
        }
        poll_s = requests_poll_s(row, moment_now());
        ret->again_s = poll_s < REQUESTS_AGAIN_S ? REQUESTS_AGAIN_S : poll_s;
        memcpy(ret->code, row->code, sizeof(ret->code));
        return 1;
}

int authority_enroll(struct authority *a, const struct issue_request *rq, bool ask, issue_done done,
                     void *context, struct enroll_waiting *ret, struct error *err) {
        if (access_check(rq->principal, ACTION_ISSUE, NULL) == 0)
                return issue(a, rq, done, context, err);
        if (rq->principal->kind == PRINCIPAL_ANONYMOUS && !ask && !needs_approval(a, rq->profile))
                return refuse_stranger(a, rq, err);
        return hand_in(a, rq, done, context, ret, err);
}

/* ---- enrolling again ---- */

static int refuse_without(struct authority *a, const struct renew_request *rq, struct error *err) {
        const struct audit_event what = { .action = audit_action(ACTION_RENEW),
                                          .source = rq->source,
                                          .request_id = rq->request_id };

        (void) error_set(
                err,
                rq->principal->kind == PRINCIPAL_ANONYMOUS ? ERR_UNAUTHENTICATED : ERR_FORBIDDEN,
                "who enrols again comes with the certificate that is to be renewed, as the client certificate of TLS; "
                "without one, enrol anew");
        audit_refused(a, rq->principal, &what, err);
        return -1;
}

int authority_reenroll(struct authority *a, const struct renew_request *rq, issue_done done,
                       void *context, struct error *err) {
        struct renew_request mine = *rq;
        struct issue_request same = { .principal = rq->principal,
                                      .method = rq->method,
                                      .path = rq->path };
        char serial[2 * PRINCIPAL_SERIAL_MAX + 1];
        struct own_key key;
        int earlier;

        if (rq->principal->kind != PRINCIPAL_CERTIFICATE)
                return refuse_without(a, rq, err);
        own_key_make(&key, rq->csr);
        same.idempotency_key = key.text;
        memcpy(same.body_hash, key.hash, sizeof(same.body_hash));
        earlier = look_for_earlier(a, &same, done, context, err);
        if (earlier == 1)
                return 0;
        if (earlier < 0)
                return -1;
        mine.idempotency_key = earlier == 2 ? NULL : key.text;
        memcpy(mine.body_hash, key.hash, sizeof(mine.body_hash));
        mine.serial = hex_encode(BYTES(rq->principal->serial, rq->principal->serial_size), serial);
        return authority_renew(a, &mine, done, context, err);
}
