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

#include "daemon/authority/authority.h"
#include "daemon/authority/internal.h"
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
        struct csr *csr;
        struct san_list own_names; /* where the request names them */
        const struct san_list *names;
        const struct ca_info_issuer *issuer;
        struct cert_wish wish;
        char common_name[65];
        struct buffer der;
        struct buffer texts; /* of names, one after the other */
        const char *name_texts[SAN_COUNT_MAX];
        char subject[DN_TEXT_MAX];
        char requester[PRINCIPAL_TEXT_MAX];
        char *label, *key, *method, *path;
        struct idempotency idempotency;
        bool validity_cut, key_used_before;
};

static struct issuance *issuance_free(struct issuance *i) {
        if (!i)
                return NULL;
        (void) atomic_fetch_sub(&i->authority->in_work, 1);
        profiles_ref_done(&i->profiles);
        i->csr = csr_free(i->csr);
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
        if (csr_from_text(rq->csr, &i->csr, err) < 0)
                return error_name_field(err, "csr");
        return profile_check_csr(i->wish.profile, i->csr, err);
}

static int choose_profile(struct issuance *i, const struct issue_request *rq, struct error *err) {
        i->wish.profile = profiles_find(i->profiles.set,
                                        rq->profile ? rq->profile : DEFAULT_PROFILE, err);
        if (!i->wish.profile)
                return -1;
        if (i->wish.profile->enrolment == ENROLMENT_INTERNAL)
                return error_set_field(err, ERR_FORBIDDEN, "profile",
                                       "the profile '%s' is the CA's own: nobody asks for it",
                                       i->wish.profile->name);
        if (i->wish.profile->enrolment != ENROLMENT_ADMIN)
                return 0;
        if (!rq->principal->on_unix_socket)
                return error_set_field(
                        err, ERR_FORBIDDEN, "profile",
                        "certificates of the profile '%s' are issued on the Unix socket alone",
                        i->wish.profile->name);
        return principal_require(rq->principal, ROLE_ADMIN, "this profile", err);
}

static int check_key(struct issuance *i, struct error *err) {
        if (profile_check_key(i->wish.profile, i->csr->key, err) < 0)
                return error_name_field(err, "csr.key");
        if (ca_info_owns_key(i->authority->ca, i->csr->spki))
                return error_set_field(
                        err, ERR_KEY_RESERVED, "csr.key",
                        "the key is one of this CA's own: make a key of your own for the certificate");
        i->wish.spki = i->csr->spki;
        i->wish.key_type = public_key_type(i->csr->key);
        return 0;
}

/* The names that the request gives stand in for all of the CSR's: a CSR made by a device may know only its own idea of them. */
static int choose_names(struct issuance *i, const struct issue_request *rq, struct error *err) {
        const char *field = rq->name_count ? "names" : "csr.san";

        i->names = rq->name_count ? &i->own_names : &i->csr->names;
        if (rq->name_count > SAN_COUNT_MAX)
                return error_set_field(err, ERR_NAMES_TOO_MANY, "names",
                                       "there are %zu names: a certificate has %d at most",
                                       rq->name_count, SAN_COUNT_MAX);
        for (size_t n = 0; n < rq->name_count; n++)
                if (san_list_add_text(&i->own_names, rq->names[n], err) < 0)
                        return error_name_field(err, "names[%zu]", n);
        i->wish.names = i->names;
        if (profile_check_names(i->wish.profile, i->names, field, err) == 0 &&
            constraints_check_list(i->issuer->constraints, i->names, field, err) == 0)
                return 0;
        if (!rq->name_count && i->csr->names_from_cn)
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
        (void) snprintf(i->requester, sizeof(i->requester), "%s", rq->principal->text);
        if (copy_text(rq->label, &i->label, err) < 0 ||
            copy_text(rq->idempotency_key, &i->key, err) < 0 ||
            copy_text(rq->method, &i->method, err) < 0 || copy_text(rq->path, &i->path, err) < 0)
                return -1;
        i->idempotency = (struct idempotency){
                .principal = i->requester, .method = i->method, .path = i->path, .key = i->key
        };
        memcpy(i->idempotency.body_hash, rq->body_hash, sizeof(i->idempotency.body_hash));
        return 0;
}

/* Everything that can be refused, the cheap before the dear. */
static int check(struct issuance *i, const struct issue_request *rq, int64_t now,
                 struct error *err) {
        if (choose_profile(i, rq, err) < 0 || read_csr(i, rq, err) < 0 || check_key(i, err) < 0 ||
            choose_names(i, rq, err) < 0 || write_name_texts(i, err) < 0 ||
            keep_request(i, rq, err) < 0 ||
            cert_validity(i->wish.profile, now, rq->not_before, rq->lifetime_s,
                          &i->issuer->cert.validity, &i->wish.validity, &i->validity_cut, err) < 0)
                return -1;
        choose_common_name(i);
        if (csr_verify(i->csr, err) < 0)
                return error_name_field(err, "csr");
        return check_key_history(i, err);
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

int authority_issue(struct authority *a, const struct issue_request *rq, issue_done done,
                    void *context, struct error *err) {
        CAD_AUTO(issuance_free) struct issuance *i = NULL;
        int64_t now = moment_now();
        int replayed;

        if (principal_require(rq->principal, ROLE_OPERATOR, "issuing a certificate", err) < 0)
                return -1;
        replayed = replay(a, rq, now, done, context, err);
        if (replayed != 0)
                return replayed < 0 ? -1 : 0;
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
        if (check(i, rq, now, err) < 0)
                return -1;
        i->put.idempotency = i->key ? &i->idempotency : NULL;
        if (ask_signer(i, err) < 0)
                return -1;
        (void) CAD_TAKE(i); /* on_signed() has it now, or had it */
        return 0;
}
