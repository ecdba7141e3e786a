/*
 * Issuance: a wish checked, signed by the signer, compared, and committed with all that was signed with it.
 *
 *      authority_issue()      on a worker: everything that can be refused is refused here
 *        → signer             the certificate is made under the signer's own rules
 *      on_signed()            on the reader of the signer's answers: compared with the wish
 *      issue_signed_drained() one transaction for all that was signed meanwhile
 *      on_committed()         the caller is answered
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/authority/access.h"
#include "daemon/authority/authority.h"
#include "daemon/authority/internal.h"
#include "daemon/authority/tokens.h"
#include "db/requests.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/dn.h"

#define LABEL_MAX 200 /* bytes */
#define DEFAULT_PROFILE "server"
#define PROVE_PERIOD_MS (60 * 1000)
#define GATHER_MAX_US \
        500 /* what a signed certificate waits at most for others to be committed with (design.md §3) */
#define GATHER_EACH_US 50 /* about what each of the others still takes */
#define GATHER_ENOUGH 64  /* certificates that make a batch worth committing at once */

#define AUDIT_NAMES_MAX 160 /* bytes of names in a row of the audit; the certificate has all */

#define CONTAINER_OF(pointer, type, member) \
        ((type *) (void *) ((char *) (pointer) -offsetof(type, member)))

/* One certificate on its way; freed when its caller has been answered. */
struct issuance {
        struct authority *authority;
        issue_done done;
        void *context;
        struct signer_call call;
        struct store_issue put;

        struct profiles_ref profiles;
        struct token_grant *grant; /* NULL: it is not asked for with a token */
        struct csr *csr;
        const struct renewal *renewal; /* while it is checked; NULL: none */
        struct public_key *old_key;    /* of what is renewed with the key that it has … */
        struct buffer old_spki;
        const struct public_key *public_key; /* … or of the CSR */
        uint8_t renews[STORE_SERIAL_MAX];
        struct san_list own_names; /* where the request names them */
        const struct san_list *names;
        const struct ca_info_issuer *issuer;
        struct cert_wish wish;
        char common_name[65];
        struct buffer der;
        struct buffer texts; /* of names, one after the other */
        const char *name_texts[SAN_COUNT_MAX];
        char subject[DN_TEXT_MAX];
        enum principal_kind principal_kind;
        char principal[PRINCIPAL_TEXT_MAX], requester[PRINCIPAL_TEXT_MAX + 32];
        struct request_approval approval;
        struct audit_event approval_event;
        char *label, *key, *method, *path;
        struct idempotency idempotency;
        bool validity_cut, key_used_before;
        struct audit_event event; /* of its making, with these texts */
        char serial[2 * SERIAL_MAX + 1], source[AUDIT_WHO_MAX], request_id[AUDIT_WORD_MAX],
                detail[AUDIT_NAMES_MAX + PROFILE_NAME_MAX + 2 * SERIAL_MAX + 48];
};

static struct issuance *issuance_free(struct issuance *i) {
        if (!i)
                return NULL;
        if (i->done)
                (void) atomic_fetch_sub(&i->authority->in_work, 1);
        profiles_ref_done(&i->profiles);
        i->grant = token_grant_free(i->grant);
        i->csr = csr_free(i->csr);
        i->old_key = public_key_free(i->old_key);
        buffer_done(&i->old_spki);
        san_list_done(&i->own_names);
        buffer_done(&i->der);
        buffer_done(&i->texts);
        free(i->label);
        free(i->key);
        free(i->method);
        free(i->path);
        free(i);
        return NULL;
}
CAD_CLEANUP(struct issuance, issuance_free)

/* ---- what is wanted ---- */

static int read_csr(struct issuance *i, const struct issue_request *rq, struct error *err) {
        if (csr_from_text(rq->csr, i->wish.profile->rsa_bits_max, &i->csr, err) < 0)
                return error_name_field(err, "csr");
        i->public_key = i->csr->key;
        i->wish.spki = i->csr->spki;
        return profile_check_csr(i->wish.profile, i->csr, err);
}

/* The key stays: proof of possession was given when it was certified first, and by whom it is renewed is known. */
static int read_old_key(struct issuance *i, struct error *err) {
        buffer_append(&i->old_spki, i->renewal->cert.spki);
        if (i->old_spki.failed)
                return error_no_memory(err);
        i->wish.spki = buffer_bytes(&i->old_spki);
        if (public_key_from_spki(i->wish.spki, i->wish.profile->rsa_bits_max, &i->old_key, err) < 0)
                return error_name_field(err, "csr.key");
        i->public_key = i->old_key;
        return 0;
}

/* The names are those of the certificate itself, whatever its row says. */
static int read_renewal(struct issuance *i, const struct issue_request *rq, int64_t now,
                        struct error *err) {
        const struct renewal *renewal = i->renewal;

        memcpy(i->renews, renewal->row->serial.data, renewal->row->serial.size);
        i->put.renews = BYTES(i->renews, renewal->row->serial.size);
        if (renewal_judge(i->authority, renewal, rq->principal, i->wish.profile, now, err) < 0 ||
            san_list_from_der(&i->own_names, renewal->cert.san, "names", err) < 0)
                return -1;
        if (rq->csr.size == 0)
                return read_old_key(i, err);
        if (read_csr(i, rq, err) < 0)
                return -1;
        return renewal_check_csr(renewal, &i->own_names, i->csr, err);
}

/* The built-in one stays what it is, whatever a file of its name says: [Access] counts on it. */
static bool admins_alone(const struct profile *profile) {
        return profile->enrolment == ENROLMENT_ADMIN || strcmp(profile->name, PROFILE_ADMIN) == 0;
}

static int choose_profile(struct issuance *i, const struct issue_request *rq, struct error *err) {
        const char *name = rq->profile ? rq->profile : DEFAULT_PROFILE;

        if (i->grant && token_grant_profile(i->grant, rq->profile, &name, err) < 0)
                return -1;
        i->wish.profile = profiles_find(i->profiles.set, name, err);
        if (!i->wish.profile)
                return -1;
        if (i->grant && token_check_profile(i->wish.profile, err) < 0)
                return -1;
        if (i->wish.profile->enrolment == ENROLMENT_INTERNAL && !rq->internal)
                return error_set_field(err, ERR_FORBIDDEN, "profile",
                                       "the profile '%s' is the CA's own: nobody asks for it",
                                       i->wish.profile->name);
        if (!admins_alone(i->wish.profile))
                return 0;
        if (rq->of_stranger)
                return error_set_field(
                        err, ERR_FORBIDDEN, "profile",
                        "certificates of the profile '%s' are not given on request: an admin issues them on the Unix socket",
                        i->wish.profile->name);
        if (access_check(rq->principal, ACTION_ISSUE_ADMIN, err) < 0)
                return error_name_field(err, "profile");
        return 0;
}

static int check_key(struct issuance *i, struct error *err) {
        if (profile_check_key(i->wish.profile, i->public_key, err) < 0)
                return error_name_field(err, "csr.key");
        if (ca_info_owns_key(i->authority->ca, i->wish.spki))
                return error_set_field(
                        err, ERR_KEY_RESERVED, "csr.key",
                        "the key is one of this CA's own: make a key of your own for the certificate");
        i->wish.key_type = public_key_type(i->public_key);
        return 0;
}

/* The names that the request gives stand in for all of the CSR's: a CSR made by a device may know only its own idea of them. */
static int choose_names(struct issuance *i, const struct issue_request *rq, struct error *err) {
        bool given = i->renewal || rq->name_count;
        const char *field = given ? "names" : "csr.san";

        i->names = given ? &i->own_names : &i->csr->names;
        if (rq->name_count > SAN_COUNT_MAX)
                return error_set_field(err, ERR_NAMES_TOO_MANY, "names",
                                       "there are %zu names: a certificate has %d at most",
                                       rq->name_count, SAN_COUNT_MAX);
        for (size_t n = 0; n < rq->name_count; n++)
                if (san_list_add_text(&i->own_names, rq->names[n], err) < 0)
                        return error_name_field(err, "names[%zu]", n);
        i->wish.names = i->names;
        if (profile_check_names(i->wish.profile, i->names, field, err) == 0 &&
            constraints_check_list(i->issuer->constraints, i->names, field, err) == 0 &&
            (!i->grant || grant_covers_all(&i->grant->names, i->names, field, err) == 0))
                return 0;
        if (!given && i->csr->names_from_cn)
                (void) snprintf(err->field, sizeof(err->field), "csr.subject.CN");
        return -1;
}

/* The names as text, for the row and the answer. */
static int write_name_texts(struct issuance *i, struct error *err) {
        size_t starts[SAN_COUNT_MAX];
        char text[SAN_TEXT_MAX];

        for (size_t n = 0; n < i->names->count; n++) {
                starts[n] = i->texts.size;
                buffer_text(&i->texts, san_text(&i->names->items[n], text, sizeof(text)));
                buffer_append(&i->texts, BYTES("", 1));
        }
        if (i->texts.failed)
                return error_no_memory(err);
        for (size_t n = 0; n < i->names->count; n++)
                i->name_texts[n] = (const char *) i->texts.data + starts[n];
        return 0;
}

static bool fits_common_name(const struct san *name, const char *text) {
        return name->type == SAN_DNS &&
                strlen(text) < sizeof(((struct issuance *) NULL)->common_name);
}

/*
 * A common name only repeats one of the DNS names: the CSR's where it is one, else the first. An address or an e-mail
 * address is none: GnuTLS and OpenSSL would hold it against the DNS constraints (threats.md R-34).
 */
static void choose_common_name(struct issuance *i) {
        const char *first = NULL;
        char wanted[SAN_TEXT_MAX];

        if (i->renewal)
                (void) dn_common_name(i->renewal->cert.subject, wanted, sizeof(wanted));
        else
                (void) text_printable(i->csr->common_name, wanted, sizeof(wanted));
        text_lower(wanted);
        for (size_t n = 0; n < i->names->count; n++) {
                if (!fits_common_name(&i->names->items[n], i->name_texts[n]))
                        continue;
                if (!first || strcmp(i->name_texts[n], wanted) == 0)
                        first = i->name_texts[n];
        }
        if (!first)
                return;
        (void) snprintf(i->common_name, sizeof(i->common_name), "%s", first);
        (void) snprintf(i->subject, sizeof(i->subject), "CN=%s", first);
        i->wish.common_name = i->common_name;
}

/* FNV-1a over the names as text: equal lists, equal hash; a collision costs a missing hint. */
static uint64_t hash_names(const struct issuance *i) {
        uint64_t hash = UINT64_C(0xcbf29ce484222325);

        for (size_t n = 0; n < i->texts.size; n++)
                hash = (hash ^ i->texts.data[n]) * UINT64_C(0x100000001b3);
        return hash;
}

/* A key that was revoked as compromised is never certified again; one that others have too is worth a word. */
static int check_key_history(struct issuance *i, struct error *err) {
        struct spki_use use;

        sha256(i->wish.spki, i->put.row.spki);
        if (store_spki_use(i->authority->store, i->put.row.spki, /* look_for_use= */ false, &use,
                           err) < 0)
                return -1;
        if (use.compromised)
                return error_set_field(
                        err, ERR_KEY_RESERVED, "csr.key",
                        "a certificate with this key was revoked because the key was compromised: make a new key");
        if (i->done) /* a wish that is only looked at leaves no trace */
                i->key_used_before = recent_keys_note(i->authority->recent_keys, i->put.row.spki,
                                                      hash_names(i));
        return 0;
}

static int copy_text(const char *text, char **ret, struct error *err) {
        *ret = text ? strdup(text) : NULL;
        return text && !*ret ? error_no_memory(err) : 0;
}

static int keep_request(struct issuance *i, const struct issue_request *rq, struct error *err) {
        if (rq->label && (strlen(rq->label) > LABEL_MAX || !utf8_valid(bytes_of(rq->label))))
                return error_set_field(err, ERR_BODY_MALFORMED, "label",
                                       "a label has at most %d bytes of UTF-8", LABEL_MAX);
        i->put.row.internal = rq->internal;
        i->principal_kind = rq->principal->kind;
        (void) snprintf(i->principal, sizeof(i->principal), "%s", rq->principal->text);
        (void) snprintf(i->requester, sizeof(i->requester), "%s",
                        rq->requester ? rq->requester : rq->principal->text);
        if (copy_text(rq->label || !i->grant ? rq->label : i->grant->row->label, &i->label, err) <
                    0 ||
            copy_text(rq->idempotency_key, &i->key, err) < 0 ||
            copy_text(rq->method, &i->method, err) < 0 || copy_text(rq->path, &i->path, err) < 0)
                return -1;
        i->idempotency = (struct idempotency){
                .principal = i->principal, .method = i->method, .path = i->path, .key = i->key
        };
        memcpy(i->idempotency.body_hash, rq->body_hash, sizeof(i->idempotency.body_hash));
        (void) snprintf(i->source, sizeof(i->source), "%s", rq->source ? rq->source : "");
        (void) snprintf(i->request_id, sizeof(i->request_id), "%s",
                        rq->request_id ? rq->request_id : "");
        if (rq->approves) {
                i->approval = *rq->approves;
                i->approval.decided_by = i->principal;
                i->put.approves = &i->approval;
        }
        return 0;
}

/* What the certificate itself does not say: a renewal under a later issuer is not to make more of it (renewal_times()). */
static void keep_granted(struct issuance *i, int64_t lifetime_s) {
        if (i->wish.validity.not_after == i->issuer->cert.validity.not_after)
                i->put.row.granted_s = lifetime_s;
}

/* Everything that can be refused, the cheap before the dear. */
static int check(struct issuance *i, const struct issue_request *rq, int64_t now,
                 struct error *err) {
        int64_t not_before = rq->not_before, lifetime_s = rq->lifetime_s;

        if (choose_profile(i, rq, err) < 0 ||
            (i->renewal ? read_renewal(i, rq, now, err) : read_csr(i, rq, err)) < 0)
                return -1;
        if (i->renewal)
                renewal_times(i->authority, i->renewal, i->wish.profile, now, &not_before,
                              &lifetime_s);
        if (i->grant &&
            token_grant_times(i->grant, i->wish.profile, rq->not_before, &lifetime_s, err) < 0)
                return -1;
        if (check_key(i, err) < 0 || choose_names(i, rq, err) < 0 || write_name_texts(i, err) < 0 ||
            keep_request(i, rq, err) < 0 ||
            cert_validity(i->wish.profile, now, not_before, lifetime_s, &i->issuer->cert.validity,
                          &i->wish.validity, &i->validity_cut, err) < 0)
                return -1;
        keep_granted(i, lifetime_s);
        choose_common_name(i);
        if (i->csr && csr_verify(i->csr, err) < 0)
                return error_name_field(err, "csr");
        return check_key_history(i, err);
}

/* ---- the audit ---- */

/* "server: nas.lan, 192.168.1.10, and 3 more" */
static void describe(struct issuance *i) {
        size_t used = (size_t) snprintf(i->detail, sizeof(i->detail), "%s:", i->wish.profile->name);

        for (size_t n = 0; n < i->names->count; n++) {
                if (used + strlen(i->name_texts[n]) > AUDIT_NAMES_MAX) {
                        (void) snprintf(i->detail + used, sizeof(i->detail) - used, "%s %zu%s",
                                        n ? ", and" : "", i->names->count - n,
                                        n ? " more" : " long names");
                        return;
                }
                used += (size_t) snprintf(i->detail + used, sizeof(i->detail) - used, "%s %s",
                                          n ? "," : "", i->name_texts[n]);
        }
}

/* "server: nas.lan; renews 0199…" */
static void describe_renewal(struct issuance *i) {
        char hex[2 * STORE_SERIAL_MAX + 1];
        size_t used = strlen(i->detail);

        if (i->put.renews.size)
                (void) snprintf(i->detail + used, sizeof(i->detail) - used, "; renews %s",
                                hex_encode(i->put.renews, hex));
}

static const char *action_of(bool renews) {
        return renews ? "certificate.renew" : "certificate.issue";
}

/* In the transaction of the certificate: both or neither. */
static void fill_event(struct issuance *i) {
        describe(i);
        describe_renewal(i);
        i->event = (struct audit_event){
                .at = i->put.row.issued_at,
                .action = action_of(i->put.renews.size > 0),
                .principal = i->principal,
                .source = i->source,
                .object = hex_encode(i->put.row.serial, i->serial),
                .detail = i->detail,
                .request_id = i->request_id,
        };
        i->put.audit = &i->event;
        if (!i->put.approves)
                return;
        i->approval_event = i->event;
        i->approval_event.action = "request.approve";
        i->approval_event.object = i->approval.code;
        i->approval_event.detail = i->serial;
        i->approval.audit = &i->approval_event;
}

/* @renews: the serial of what was to be renewed; empty: none was */
static void note_refusal(struct authority *a, const struct issue_request *rq, struct bytes renews,
                         const struct error *err) {
        char hex[2 * STORE_SERIAL_MAX + 1];
        const struct audit_event what = { .action = action_of(renews.size > 0),
                                          .source = rq->source,
                                          .object = hex_encode(renews, hex),
                                          .request_id = rq->request_id };

        audit_refused(a, rq->principal, &what, err);
}

/* The same when the request is gone: what signer or transaction refuse. */
static void note_late_refusal(struct issuance *i, const struct error *err) {
        struct principal principal = { .kind = i->principal_kind };
        const struct issue_request rq = { .principal = &principal,
                                          .source = i->source,
                                          .request_id = i->request_id };

        memcpy(principal.text, i->principal, sizeof(principal.text));
        note_refusal(i->authority, &rq, i->put.renews, err);
}

/* ---- committed ---- */

static void on_committed(struct store_op *op, const struct error *err) {
        CAD_AUTO(issuance_free) struct issuance *i = CONTAINER_OF(op, struct issuance, put.op);
        struct issued issued = {
                .row = &i->put.row,
                .issuer = i->issuer,
                .validity_cut = i->validity_cut,
                .key_used_before = i->key_used_before,
        };

        if (err)
                note_late_refusal(i, err);
        i->done(i->context, err ? NULL : &issued, err);
}

static int64_t monotonic_us(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* Others that are on their way are worth a moment: a commit costs as much for one as for twenty. A lone caller never waits. */
static unsigned worth_waiting_us(struct authority *a) {
        unsigned in_work = atomic_load(&a->in_work);
        unsigned others = in_work > a->signed_count ? in_work - a->signed_count : 0;
        int64_t left = GATHER_MAX_US - (monotonic_us() - a->signed_since_us);
        unsigned wait = others * GATHER_EACH_US;

        if (others == 0 || left <= 0 || a->signed_count >= GATHER_ENOUGH)
                return 0;
        return wait < (unsigned) left ? wait : (unsigned) left;
}

unsigned issue_signed_drained(void *authority) {
        struct authority *a = authority;
        struct store_op *list = a->signed_first;
        unsigned wait_us = list ? worth_waiting_us(a) : 0;

        if (!list || wait_us > 0)
                return wait_us;
        a->signed_first = NULL;
        a->signed_last = &a->signed_first;
        a->signed_count = 0;
        store_submit_list(a->store, list);
        return 0;
}

/* ---- signed ---- */

static void fill_row(struct issuance *i, const struct cert *cert, int64_t now) {
        struct cert_row *row = &i->put.row;

        row->serial = cert->serial;
        row->issuer = i->issuer->id;
        row->profile = i->wish.profile->name;
        row->subject = i->subject;
        row->names = i->name_texts;
        row->name_count = i->names->count;
        row->not_before = cert->validity.not_before;
        row->not_after = cert->validity.not_after;
        row->issued_at = now;
        row->requester = i->requester;
        row->label = i->label;
        row->der = buffer_bytes(&i->der);
        cert_fingerprint(row->der, row->fingerprint);
        fill_event(i);
}

/*
 * The comparison holds every octet but the signature. That is proved by GnuTLS through the whole chain for the first leaf of
 * each signer and for one in a period after that: for every leaf it would cost more than issuing it. After a failure each leaf
 * is proved until one is right.
 */
static int prove_signature(struct issuance *i, struct error *err) {
        struct authority *a = i->authority;
        int64_t now_ms = moment_monotonic_ms(), now = moment_now();

        if (now < i->wish.validity.not_before)
                now = i->wish.validity.not_before; /* it was asked to begin later */

        if (now_ms < atomic_load(&a->prove_after_ms))
                return 0;
        if (chain_verify(buffer_bytes(&i->der), i->issuer->cert.der, a->ca->root.der, now, err) < 0)
                return -1;
        atomic_store(&a->prove_after_ms, now_ms + PROVE_PERIOD_MS);
        return 0;
}

static int accept_certificate(struct issuance *i, struct bytes der, struct error *err) {
        struct cert cert;

        buffer_append(&i->der, der);
        if (i->der.failed)
                return error_no_memory(err);
        if (cert_read(buffer_bytes(&i->der), &cert, err) < 0)
                return error_set(err, ERR_SIGNER_WRONG,
                                 "the signer's certificate cannot be read: it is not given out");
        if (cert_compare(&cert, &i->issuer->signs_as, &i->wish, err) < 0 ||
            prove_signature(i, err) < 0)
                return -1;
        fill_row(i, &cert, moment_now());
        return 0;
}

static void on_signed(struct signer_call *call, const char *issuer, struct bytes der,
                      const struct error *err) {
        struct issuance *i = CONTAINER_OF(call, struct issuance, call);
        struct authority *a = i->authority;
        struct error wrong = { 0 };

        (void) issuer; /* compared through the certificate itself */
        if (!err && accept_certificate(i, der, &wrong) < 0) {
                log_error(LOG_LEVEL_ERROR, &wrong, "a certificate from the signer");
                err = &wrong;
        }
        if (err) {
                note_late_refusal(i, err);
                i->done(i->context, NULL, err);
                (void) issuance_free(i);
                return;
        }
        if (a->signed_count++ == 0)
                a->signed_since_us = monotonic_us();
        i->put.op.next = NULL;
        *a->signed_last = &i->put.op;
        a->signed_last = &i->put.op.next;
}

static int ask_signer(struct issuance *i, struct error *err) {
        uint8_t names_octets[CERT_MAX];
        struct der_writer names;
        struct sign_issue wanted = { .spki = i->wish.spki, .validity = i->wish.validity };

        der_writer_init(&names, names_octets, sizeof(names_octets));
        san_list_put_der(i->names, &names);
        wanted.names = der_writer_bytes(&names);
        memcpy(wanted.issuer, i->issuer->id, sizeof(wanted.issuer));
        memcpy(wanted.profile, i->wish.profile->name, sizeof(wanted.profile));
        memcpy(wanted.profile_digest, i->wish.profile->digest, sizeof(wanted.profile_digest));
        memcpy(wanted.common_name, i->common_name, sizeof(wanted.common_name));
        i->call.done = on_signed;
        return signer_client_issue(i->authority->signer, &wanted, &i->call, err);
}

/* ---- asked before ---- */

/* Return: 1 answered with the certificate of then, 0 not asked before, -1 with @err */
static int replay(struct authority *a, const struct issue_request *rq, int64_t now, issue_done done,
                  void *context, struct error *err) {
        CAD_AUTO(cert_row_free) struct cert_row *row = NULL;
        struct idempotency asked = { .principal = rq->principal->text,
                                     .method = rq->method,
                                     .path = rq->path,
                                     .key = rq->idempotency_key };
        uint8_t hash[STORE_HASH_SIZE], serial[STORE_SERIAL_MAX];
        struct error missing = { 0 };
        size_t size;

        if (!rq->idempotency_key)
                return 0;
        if (!rq->idempotency_key[0] || strlen(rq->idempotency_key) > STORE_IDEMPOTENCY_KEY_MAX)
                return error_set_field(err, ERR_REQUEST_MALFORMED, "Idempotency-Key",
                                       "an Idempotency-Key has 1 to %d characters",
                                       STORE_IDEMPOTENCY_KEY_MAX);
        if (store_idempotency_find(a->store, &asked, now, hash, serial, &size, &missing) < 0) {
                if (missing.code == ERR_NOT_FOUND)
                        return 0;
                *err = missing;
                return -1;
        }
        if (memcmp(hash, rq->body_hash, sizeof(hash)) != 0)
                return error_set_field(
                        err, ERR_IDEMPOTENCY_MISMATCH, "Idempotency-Key",
                        "this Idempotency-Key was used with another body in the last 24 hours: take a new one");
        if (store_get_certificate(a->store, BYTES(serial, size), &row, err) < 0)
                return -1;
        done(context,
             &(struct issued){
                     .row = row, .issuer = ca_info_issuer(a->ca, row->issuer), .replayed = true },
             NULL);
        return 1;
}

int authority_issue_again(struct authority *a, const struct issue_request *rq, issue_done done,
                          void *context, struct error *err) {
        return replay(a, rq, moment_now(), done, context, err);
}

int authority_check_wish(struct authority *a, const struct issue_request *rq, wish_checked use,
                         void *context, struct error *err) {
        CAD_AUTO(issuance_free) struct issuance *i = calloc(1, sizeof(*i));
        struct checked_wish checked;

        if (!i)
                return error_no_memory(err);
        i->authority = a;
        i->issuer = ca_info_active(a->ca);
        i->profiles = authority_profiles(a);
        if (check(i, rq, moment_now(), err) < 0)
                return -1;
        checked = (struct checked_wish){ .csr = i->csr,
                                         .profile = i->wish.profile,
                                         .names = i->name_texts,
                                         .name_count = i->names->count,
                                         .spki = i->put.row.spki };
        return use(&checked, context, err);
}

int authority_issue(struct authority *a, const struct issue_request *rq, issue_done done,
                    void *context, struct error *err) {
        if (access_check(rq->principal, ACTION_ISSUE, err) < 0) {
                note_refusal(a, rq, /* renews= */ BYTES_NONE, err);
                return -1;
        }
        return issue_begin(a, rq, /* renewal= */ NULL, done, context, err);
}

static int begin(struct authority *a, const struct issue_request *rq, const struct renewal *renewal,
                 issue_done done, void *context, struct error *err) {
        CAD_AUTO(issuance_free) struct issuance *i = NULL;
        CAD_AUTO(token_grant_free) struct token_grant *grant = NULL;
        int64_t now = moment_now();
        int replayed;

        /* the grant first: what has used it up before now is found when it is looked for after */
        if (rq->principal->kind == PRINCIPAL_TOKEN &&
            tokens_grant(a, rq->principal, &grant, err) < 0)
                return -1;
        replayed = replay(a, rq, now, done, context, err);
        if (replayed != 0)
                return replayed < 0 ? -1 : 0;
        if (grant && token_row_check(grant->row, now, err) < 0)
                return -1;
        i = calloc(1, sizeof(*i));
        if (!i)
                return error_no_memory(err);
        i->authority = a;
        (void) atomic_fetch_add(&a->in_work, 1);
        store_issue_init(&i->put, on_committed);
        i->done = done;
        i->context = context;
        i->issuer = ca_info_active(a->ca);
        i->profiles = authority_profiles(a);
        i->renewal = renewal;
        if (grant)
                i->put.token_id = grant->id;
        i->grant = CAD_TAKE(grant);
        if (check(i, rq, now, err) < 0)
                return -1;
        i->renewal = NULL; /* lent for the call */
        i->put.idempotency = i->key ? &i->idempotency : NULL;
        if (ask_signer(i, err) < 0)
                return -1;
        (void) CAD_TAKE(i); /* on_signed() has it now, or had it */
        return 0;
}

int issue_begin(struct authority *a, const struct issue_request *rq, const struct renewal *renewal,
                issue_done done, void *context, struct error *err) {
        if (begin(a, rq, renewal, done, context, err) == 0)
                return 0;
        note_refusal(a, rq, renewal ? renewal->row->serial : BYTES_NONE, err);
        return -1;
}
