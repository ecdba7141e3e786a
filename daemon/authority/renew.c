/*
 * Renewal: may this certificate be made again, for whom, and when should it be?
 *
 * Decisions over a row of the store; all else of it is issuance (issue.c), under the rules of today. It must never extend what
 * was granted: other names, another profile, a longer life are a new certificate, which is asked for elsewhere.
 */
#include "daemon/authority/renew.h"

#include <stdio.h>
#include <string.h>

#include "daemon/authority/access.h"
#include "daemon/authority/audit.h"
#include "daemon/authority/internal.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/dn.h"

#define WINDOW_PART 12 /* of a life: how long the window is, and how far it moves at most */
#define POLL_PART 96   /* of a life: how often to look at the window */
#define POLL_MAX_S INT64_C(21600) /* RFC 9773 §4.3.3 recommends 6 h */
#define POLL_MIN_S INT64_C(60)

/* ---- whether ---- */

/* The state as it was read; the transaction looks at revoked and held again. */
static int judge_status(const struct cert_row *row, int64_t now, struct error *err) {
        char hex[2 * STORE_SERIAL_MAX + 1], when[MOMENT_TEXT_MAX];

        (void) hex_encode(row->serial, hex);
        switch (cert_row_status(row, now)) {
        case CERT_STATUS_VALID:
        case CERT_STATUS_EXPIRED:
                return 0;
        case CERT_STATUS_HELD:
                return error_set(
                        err, ERR_STATE_CONFLICT,
                        "certificate %s is on hold (since %s): it can be renewed when an operator has lifted the hold",
                        hex, moment_format(row->revoked_at, when));
        case CERT_STATUS_REVOKED:
        case CERT_STATUS_COUNT:
                break;
        }
        return error_set(
                err, ERR_ALREADY_REVOKED,
                "certificate %s is revoked (since %s, %s), which is final: ask for a new one, with a new key",
                hex, moment_format(row->revoked_at, when), revocation_reason_name(row->reason));
}

/* Both ends are inclusive: in the second of notAfter it is valid, in that of notAfter + grace it may still renew itself. */
static int judge_age(const struct cert_row *row, const struct principal *principal,
                     const struct profile *profile, int64_t now, struct error *err) {
        char when[MOMENT_TEXT_MAX], grace[DURATION_TEXT_MAX];
        struct error ignored = { 0 };

        if (now - row->not_after <= profile->grace_s || now <= row->not_after)
                return 0;
        if (access_check(principal, ACTION_RENEW, &ignored) == 0)
                return 0; /* an operator, who could issue it anew as well */
        (void) moment_format(row->not_after, when);
        if (profile->grace_s == 0)
                return error_set(
                        err, ERR_STATE_CONFLICT,
                        "the certificate has expired at %s, and the profile '%s' has no grace (Grace=): hand in a request for a new one, with a CSR",
                        when, profile->name);
        return error_set(
                err, ERR_STATE_CONFLICT,
                "the certificate has expired at %s, more than the %s of grace ago that the profile '%s' gives: hand in a request for a new one, with a CSR",
                when, duration_format(profile->grace_s, grace), profile->name);
}

/* Who proves nothing but the word of an issuer that is not believed any more proves nothing. */
static int judge_issuer(struct authority *a, const struct cert_row *row, struct error *err) {
        const struct ca_info_issuer *issuer = ca_info_issuer(a->ca, row->issuer);
        uint8_t spki[SHA256_SIZE];
        struct spki_use use;

        if (!issuer)
                return error_set(
                        err, ERR_STATE_CONFLICT,
                        "the certificate is of the issuer '%s', which this CA does not have any more: hand in a request for a new one",
                        row->issuer);
        sha256(issuer->cert.spki, spki);
        if (store_spki_use(a->store, spki, /* look_for_use= */ false, &use, err) < 0)
                return -1;
        if (use.compromised)
                return error_set(
                        err, ERR_STATE_CONFLICT,
                        "the certificate is of the issuer '%s', whose key was compromised: hand in a request for a new one",
                        row->issuer);
        return 0;
}

/* Also where a CSR brings another key: who has this one is not known. */
static int judge_key(struct authority *a, const struct cert_row *row, struct error *err) {
        struct spki_use use;

        if (store_spki_use(a->store, row->spki, /* look_for_use= */ false, &use, err) < 0)
                return -1;
        if (use.compromised)
                return error_set(
                        err, ERR_KEY_RESERVED,
                        "a certificate with the key of this one was revoked because the key was compromised: ask for a new one, with a new key");
        return 0;
}

int renewal_judge(struct authority *a, const struct renewal *renewal,
                  const struct principal *principal, const struct profile *profile, int64_t now,
                  struct error *err) {
        const struct cert_row *row = renewal->row;

        if (row->internal)
                return error_set(err, ERR_STATE_CONFLICT,
                                 "the certificate is the CA's own: cad renews it by itself");
        if (judge_status(row, now, err) < 0 || judge_age(row, principal, profile, now, err) < 0 ||
            judge_issuer(a, row, err) < 0)
                return -1;
        return judge_key(a, row, err);
}

/* ---- a new key ---- */

static int other_name(const char *field, const char *name, struct error *err) {
        return error_set_field(
                err, ERR_NAME_NOT_ALLOWED, field,
                "'%.200s' is not a name of the certificate that is renewed: a renewal keeps the names. Leave the names out of the CSR, or ask for a new certificate",
                name);
}

static int check_san(const struct san_list *names, const struct csr *csr, bool all,
                     struct error *err) {
        char text[SAN_TEXT_MAX], field[ERROR_FIELD_MAX];

        for (size_t n = 0; n < csr->names.count; n++) {
                const struct san *name = &csr->names.items[n];

                if (san_list_contains(names, name))
                        continue;
                (void) snprintf(field, sizeof(field), "csr.san[%u]", name->place);
                return other_name(csr->names_from_cn ? "csr.subject.CN" : field,
                                  san_text(name, text, sizeof(text)), err);
        }
        if (!all && (csr->names.count == 0 || csr->names_from_cn))
                return 0;
        for (size_t n = 0; n < names->count; n++)
                if (!san_list_contains(&csr->names, &names->items[n]))
                        return error_set_field(
                                err, ERR_NAME_NOT_ALLOWED, "csr.san",
                                "the CSR lacks '%s', which is a name of the certificate that is renewed: a renewal keeps the names. %s",
                                san_text(&names->items[n], text, sizeof(text)),
                                all ? "Give all of them in its subjectAltName"
                                    : "Leave the names out of the CSR, or give all of them");
        return 0;
}

/* The CN of the certificate, or one of its names: that of a CSR for one of several is often another than the first. */
static int check_common_name(const struct renewal *renewal, const struct san_list *names,
                             const struct csr *csr, struct error *err) {
        char wanted[SAN_TEXT_MAX], there[DN_TEXT_MAX], text[SAN_TEXT_MAX];

        if (csr->common_name.size == 0)
                return 0;
        (void) text_printable(csr->common_name, wanted, sizeof(wanted));
        text_lower(wanted);
        (void) dn_common_name(renewal->cert.subject, there, sizeof(there));
        text_lower(there);
        if (strcmp(wanted, there) == 0)
                return 0;
        for (size_t n = 0; n < names->count; n++) {
                (void) san_text(&names->items[n], text, sizeof(text));
                text_lower(text);
                if (strcmp(wanted, text) == 0)
                        return 0;
        }
        if (csr->names_from_cn) /* judged as the name that it is, however it is written */
                return 0;
        return other_name("csr.subject.CN", wanted, err);
}

int renewal_check_csr(const struct renewal *renewal, const struct san_list *names,
                      const struct csr *csr, struct error *err) {
        if (check_san(names, csr, renewal->names_all, err) < 0)
                return -1;
        return check_common_name(renewal, names, csr, err);
}

/* ---- how long ---- */

/* How far the notBefore of the old one was set back, as far as the profile does that today. */
static int64_t set_back_s(const struct cert_row *row, const struct profile *profile) {
        int64_t back_s = row->issued_at - row->not_before;

        return back_s < 0 ? 0 : back_s < profile->backdate_s ? back_s : profile->backdate_s;
}

void renewal_times(const struct authority *a, const struct renewal *renewal,
                   const struct profile *profile, int64_t now, int64_t *ret_not_before,
                   int64_t *ret_lifetime_s) {
        const struct ca_info_issuer *issuer = ca_info_issuer(a->ca, renewal->row->issuer);
        const struct validity *v = &renewal->cert.validity;
        int64_t lifetime_s = v->not_after - v->not_before + 1;

        *ret_not_before = *ret_lifetime_s = 0;
        if (issuer && v->not_after == issuer->cert.validity.not_after)
                lifetime_s = renewal->row->granted_s; /* cut: it was to be longer */
        if (lifetime_s == 0)
                return;
        *ret_lifetime_s = lifetime_s < profile->validity_max_s ? lifetime_s
                                                               : profile->validity_max_s;
        /* of a life of an hour nothing would be left, were it set back by an hour that the old one was not */
        if (*ret_lifetime_s <= 2 * profile->backdate_s)
                *ret_not_before = now - set_back_s(renewal->row, profile);
}

/* ---- the call ---- */

static void note_refusal(struct authority *a, const struct renew_request *rq, struct bytes serial,
                         const struct error *err) {
        char hex[2 * STORE_SERIAL_MAX + 1];
        const struct audit_event what = { .action = "certificate.renew",
                                          .object = hex_encode(serial, hex),
                                          .source = rq->source,
                                          .request_id = rq->request_id };

        audit_refused(a, rq->principal, &what, err);
}

int authority_renew(struct authority *a, const struct renew_request *rq, issue_done done,
                    void *context, struct error *err) {
        CAD_AUTO(cert_row_free) struct cert_row *row = NULL;
        struct renewal renewal = { 0 };
        struct issue_request issue = {
                .principal = rq->principal,
                .csr = rq->csr,
                .idempotency_key = rq->idempotency_key,
                .method = rq->method,
                .path = rq->path,
                .source = rq->source,
                .request_id = rq->request_id,
        };

        if (authority_find(a, rq->serial, &row, err) < 0)
                return -1;
        if (access_check_owner(rq->principal, ACTION_RENEW, row->spki, row->serial, err) < 0) {
                note_refusal(a, rq, row->serial, err);
                return -1;
        }
        if (rq->profile && strcmp(rq->profile, row->profile) != 0) {
                (void) error_set_field(
                        err, ERR_FORBIDDEN, "profile",
                        "the certificate is of the profile '%s', not '%.40s': a renewal keeps the profile",
                        row->profile, rq->profile);
                note_refusal(a, rq, row->serial, err);
                return -1;
        }
        if (rq->principal->role < ROLE_OPERATOR &&
            pace_take(a->pace, row, moment_monotonic_ms(), err) < 0)
                return -1;
        if (cert_read(row->der, &renewal.cert, err) < 0)
                return error_set(
                        err, ERR_STORE,
                        "the certificate %.60s in the store cannot be read: restore a backup",
                        rq->serial);
        renewal.row = row;
        renewal.names_all = rq->names_all;
        issue.profile = row->profile;
        issue.label = row->label;
        memcpy(issue.body_hash, rq->body_hash, sizeof(issue.body_hash));
        return issue_begin(a, &issue, &renewal, done, context, err);
}

/* ---- when ---- */

static int64_t life_begins(const struct cert_row *row) {
        return row->issued_at > row->not_before && row->issued_at <= row->not_after
                ? row->issued_at
                : row->not_before;
}

/* The same for a serial at all times, and evenly spread over 0 … @below - 1 for any @below of our lives (under 2^40 s). */
static int64_t spread(struct bytes serial, int64_t below) {
        uint8_t digest[SHA256_SIZE];
        uint64_t number = 0;

        if (below <= 1)
                return 0;
        sha256(serial, digest);
        for (size_t i = 0; i < sizeof(number); i++)
                number = number << 8 | digest[i];
        return (int64_t) (number % (uint64_t) below);
}

void renew_window_of(const struct cert_row *row, struct renew_window *ret) {
        int64_t begin = life_begins(row), life_s = row->not_after - begin + 1;
        int64_t part_s = life_s / WINDOW_PART;
        struct renew_window w;

        if (row->status == CERT_STATUS_REVOKED) {
                w.end = row->revoked_at;
                w.start = w.end - POLL_MAX_S;
        } else {
                w.start = begin + life_s - life_s / 3 + spread(row->serial, part_s + 1);
                w.end = w.start + (part_s ? part_s : 1);
                if (w.end > row->not_after) { /* a life of a few seconds */
                        w.end = row->not_after;
                        w.start = w.start < w.end ? w.start : w.end - 1;
                }
        }
        *ret = w;
}

int64_t renew_poll_s(const struct cert_row *row) {
        int64_t poll_s = (row->not_after - life_begins(row)) / POLL_PART;

        return poll_s < POLL_MIN_S ? POLL_MIN_S : poll_s > POLL_MAX_S ? POLL_MAX_S : poll_s;
}
