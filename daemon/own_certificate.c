/*
 * Own certificate: see own_certificate.h. It decides when; whether, the authority decides.
 *
 * It never stops cad from starting or serving: an expired certificate is still shown, since a client that looks closely
 * is told what is wrong, and one that is told to look away can still mend it.
 */
#include "daemon/own_certificate.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/pem.h"

#define PROFILE_HTTPS "https"
#define FILE_BYTES_MAX (64u * 1024)
#define BACKDATE_MAX_S 3600
#define LOOK_MS 15000 /* how often the host's names and the certificate's status are looked at */
#define NAMES_AGAIN_MS 60000 /* addresses that come and go make a certificate a minute at first … */
#define NAMES_AGAIN_MAX_MS (60 * NAMES_AGAIN_MS) /* … and one an hour in the end */
#define RETRY_FIRST_MS 2000
#define RETRY_LAST_MS 300000
#define ANSWER_MS \
        30000 /* the signer has its own deadlines: an answer that is lost is not waited for for ever */

/* What is shown now; of the pulse's thread, but for what the lock is over. */
struct shown {
        struct tls_identity *identity;
        struct buffer pem; /* key, leaf, issuers: as in the file */
        struct buffer der; /* of the leaf */
        struct cert cert;  /* views into it */
        struct san_list names;
        char issuer[SIGNER_ISSUER_MAX];
};

/* What came back from the authority; under the lock. */
struct answer {
        bool there;
        struct buffer der;
        char issuer[SIGNER_ISSUER_MAX];
        struct error err;
};

struct own_certificate {
        struct own_certificate_plan plan;
        pthread_mutex_t lock; /* over answer, facts */
        struct answer answer;
        /* for the health of other threads */
        struct {
                int64_t not_after; /* 0: there is none */
                char names[ERROR_TEXT_MAX / 2];
                struct error err; /* of the last attempt */
        } facts;

        struct shown shown;
        struct private_key *key; /* of the wish that is on its way */
        bool asked;
        int64_t asked_ms, retry_ms, backoff_ms, look_ms, names_ms, names_wait_ms;
        struct error said; /* the failure that was logged last */
};

/* ---- what is shown ---- */

static void shown_done(struct shown *shown) {
        shown->identity = tls_identity_unref(shown->identity);
        buffer_wipe(&shown->pem);
        buffer_done(&shown->der);
        san_list_done(&shown->names);
        *shown = (struct shown){ 0 };
}
CAD_CLEANUP_DONE(struct shown, shown_done)

static const struct ca_info_issuer *issuer_of(const struct ca_info *ca, const struct cert *cert) {
        for (size_t i = 0; i < ca->issuer_count; i++)
                if (bytes_equal(ca->issuers[i].cert.subject, cert->issuer) &&
                    bytes_equal(ca->issuers[i].cert.subject_key_id, cert->authority_key_id))
                        return &ca->issuers[i];
        return NULL;
}

/* A leaf of this CA, whatever the time is; @shown->der is filled. */
static int read_leaf(const struct ca_info *ca, struct shown *shown, struct error *err) {
        const struct ca_info_issuer *issuer;

        if (shown->der.failed)
                return error_no_memory(err);
        if (cert_read(buffer_bytes(&shown->der), &shown->cert, err) < 0 ||
            san_list_from_der(&shown->names, shown->cert.san, "names", err) < 0)
                return -1;
        issuer = issuer_of(ca, &shown->cert);
        if (!issuer)
                return error_set(err, ERR_NOT_FOUND, "it is not of this CA");
        memcpy(shown->issuer, issuer->id, sizeof(shown->issuer));
        return chain_verify(buffer_bytes(&shown->der), issuer->cert.der, ca->root.der,
                            shown->cert.validity.not_before, err);
}

/* The first certificate in a file of ours. */
static int first_certificate(struct bytes text, struct buffer *der, struct error *err) {
        CAD_AUTO(buffer_wipe) struct buffer block = { 0 };
        char label[PEM_LABEL_MAX];
        int found;

        while ((found = pem_next(&text, label, &block, err)) == 1) {
                if (strcmp(label, "CERTIFICATE") == 0) {
                        buffer_append(der, buffer_bytes(&block));
                        return 0;
                }
                block.size = 0;
        }
        return found < 0 ? -1 : error_set(err, ERR_BODY_MALFORMED, "it has no certificate");
}

static int read_file(const struct own_certificate *own, struct shown *ret, struct error *err) {
        CAD_AUTO(shown_done) struct shown shown = { 0 };

        if (file_read(own->plan.state_fd, OWN_CERTIFICATE_FILE, FILE_SECRET, FILE_BYTES_MAX,
                      &shown.pem, err) < 0 ||
            first_certificate(buffer_bytes(&shown.pem), &shown.der, err) < 0 ||
            read_leaf(authority_ca(own->plan.authority), &shown, err) < 0 ||
            tls_identity_new(buffer_bytes(&shown.pem), buffer_bytes(&shown.pem), &shown.identity,
                             err) < 0)
                return -1;
        *ret = shown;
        shown = (struct shown){ 0 };
        return 0;
}

static void names_text(const struct san_list *names, char *out, size_t size) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        char name[SAN_TEXT_MAX];

        for (size_t i = 0; i < names->count; i++)
                buffer_format(&text, "%s%s", i ? ", " : "",
                              san_text(&names->items[i], name, sizeof(name)));
        text_make_printable(buffer_string(&text), out, size);
}

/* @shown is taken. */
static void show(struct own_certificate *own, struct shown *shown) {
        struct error err = { 0 };

        if (authority_own_key(own->plan.authority, shown->cert.spki, &err) < 0)
                log_error(LOG_LEVEL_WARNING, &err, "the key of HTTPS is not kept for cad alone");
        shown_done(&own->shown);
        own->shown = *shown;
        *shown = (struct shown){ 0 };
        buffer_wipe(&own->shown.pem); /* the identity has its own copy of the key */
        (void) pthread_mutex_lock(&own->lock);
        own->facts.not_after = own->shown.cert.validity.not_after;
        own->facts.err = (struct error){ 0 };
        names_text(&own->shown.names, own->facts.names, sizeof(own->facts.names));
        (void) pthread_mutex_unlock(&own->lock);
        own->said = (struct error){ 0 };
        own->backoff_ms = 0;
        if (own->plan.changed)
                own->plan.changed(own->plan.context, own_certificate_identity(own));
}

static void log_shown(const struct own_certificate *own) {
        char until[MOMENT_TEXT_MAX], serial[2 * SERIAL_MAX + 1];
        const struct log_field fields[] = {
                { "CAD_SERIAL", hex_encode(own->shown.cert.serial, serial) },
                { "CAD_PRINCIPAL", "cad" },
                { "CAD_PROFILE", PROFILE_HTTPS },
        };

        log_fields(LOG_LEVEL_NOTICE, fields, ARRAY_SIZE(fields),
                   "HTTPS shows a new certificate (%s), good until %s, for %s", serial,
                   moment_format(own->shown.cert.validity.not_after, until), own->facts.names);
}

/* ---- whether a new one is due ---- */

static bool has_all(const struct san_list *names, const struct san_list *wanted) {
        for (size_t i = 0; i < wanted->count; i++)
                if (!san_list_contains(names, &wanted->items[i]))
                        return false;
        return true;
}

/* With a third of its life left; one that its issuer cut short cannot be had longer. */
static bool runs_out(const struct own_certificate *own, int64_t now) {
        const struct validity *v = &own->shown.cert.validity;
        const struct ca_info_issuer *active = ca_info_active(authority_ca(own->plan.authority));
        bool cut = v->not_after >= active->cert.validity.not_after;

        if (now < v->not_before) /* the clock was ahead when it was made */
                return true;
        return now > v->not_after - (cut ? 0 : (v->not_after - v->not_before) / 3);
}

static bool is_revoked(const struct own_certificate *own, int64_t now) {
        CAD_AUTO(cert_row_free) struct cert_row *row = NULL;
        char serial[2 * SERIAL_MAX + 1];

        if (authority_find(own->plan.authority, hex_encode(own->shown.cert.serial, serial), &row,
                           NULL) < 0)
                return false; /* a restored store may not know it: that alone is no reason */
        return cert_row_status(row, now) == CERT_STATUS_REVOKED ||
                cert_row_status(row, now) == CERT_STATUS_HELD;
}

/* Return: why, or NULL */
static const char *due(struct own_certificate *own, int64_t now, int64_t now_ms, bool look) {
        struct error err = { 0 };

        if (!own->shown.identity)
                return "there is none";
        if (runs_out(own, now))
                return "it runs out";
        if (strcmp(own->shown.issuer, ca_info_active(authority_ca(own->plan.authority))->id) != 0)
                return "there is another issuer";
        if (!look)
                return NULL;
        if (is_revoked(own, now))
                return "it was revoked";
        if (own_names_refresh(own->plan.names, &err) < 0)
                log_error(LOG_LEVEL_WARNING, &err, "the names of this host");
        if (now_ms >= own->names_ms + NAMES_AGAIN_MAX_MS)
                own->names_wait_ms = 0; /* it has been quiet */
        if (now_ms >= own->names_ms &&
            !has_all(&own->shown.names, own_names_permitted(own->plan.names)))
                return "this host has other names or addresses now";
        return NULL;
}

/* ---- asking ---- */

static void failed(struct own_certificate *own, const struct error *err, int64_t now_ms) {
        own->asked = false;
        own->key = private_key_free(own->key);
        own->backoff_ms = own->backoff_ms ? own->backoff_ms * 2 : RETRY_FIRST_MS;
        if (own->backoff_ms > RETRY_LAST_MS)
                own->backoff_ms = RETRY_LAST_MS;
        own->retry_ms = now_ms + own->backoff_ms;
        (void) pthread_mutex_lock(&own->lock);
        own->facts.err = *err;
        (void) pthread_mutex_unlock(&own->lock);
        if (strcmp(own->said.text, err->text) != 0)
                log_error(LOG_LEVEL_WARNING, err,
                          "no new certificate for HTTPS; it is tried again by itself");
        own->said = *err;
}

/* May be on any thread. */
static void on_issued(void *context, const struct issued *issued, const struct error *err) {
        struct own_certificate *own = context;
        struct answer *answer = &own->answer;

        (void) pthread_mutex_lock(&own->lock);
        answer->there = true;
        answer->der.size = 0;
        answer->err = err ? *err : (struct error){ 0 };
        if (issued) {
                buffer_append(&answer->der, issued->row->der);
                (void) snprintf(answer->issuer, sizeof(answer->issuer), "%s", issued->row->issuer);
        }
        (void) pthread_mutex_unlock(&own->lock);
}

static int ask(struct own_certificate *own, int64_t now, struct error *err) {
        const struct principal cad = {
                .kind = PRINCIPAL_PEER, .role = ROLE_ADMIN, .on_unix_socket = true, .text = "cad"
        };
        CAD_AUTO(buffer_done) struct buffer csr = { 0 };
        int64_t validity_s = own->plan.validity_s, backdate_s = validity_s / 10;
        struct issue_request rq = { .principal = &cad,
                                    .profile = PROFILE_HTTPS,
                                    .label = "HTTPS of cad",
                                    .lifetime_s = validity_s,
                                    .internal = true };

        if (private_key_generate(KEY_ECDSA_P256, 256, &own->key, err) < 0 ||
            csr_create(own->key, /* common_name= */ NULL, own_names_permitted(own->plan.names),
                       &csr, err) < 0)
                return -1;
        rq.csr = buffer_bytes(&csr);
        rq.not_before = now - (backdate_s < BACKDATE_MAX_S ? backdate_s : BACKDATE_MAX_S);
        return authority_issue(own->plan.authority, &rq, on_issued, own, err);
}

static void begin(struct own_certificate *own, const char *why, int64_t now, int64_t now_ms) {
        struct error err = { 0 };

        log_info("a new certificate for HTTPS is due: %s", why);
        own->asked = true;
        own->asked_ms = now_ms;
        own->names_wait_ms = own->names_wait_ms ? own->names_wait_ms * 2 : NAMES_AGAIN_MS;
        if (own->names_wait_ms > NAMES_AGAIN_MAX_MS)
                own->names_wait_ms = NAMES_AGAIN_MAX_MS;
        own->names_ms = now_ms + own->names_wait_ms;
        if (ask(own, now, &err) < 0)
                failed(own, &err, now_ms);
}

/* ---- putting in place ---- */

static int compose(const struct own_certificate *own, const char *issuer_id, struct shown *ret,
                   struct error *err) {
        const struct ca_info *ca = authority_ca(own->plan.authority);
        const struct ca_info_issuer *issuer = ca_info_issuer(ca, issuer_id);

        if (read_leaf(ca, ret, err) < 0 ||
            private_key_to_pem(own->key, BYTES_NONE, &ret->pem, err) < 0)
                return -1;
        pem_append(&ret->pem, "CERTIFICATE", buffer_bytes(&ret->der));
        if (issuer)
                buffer_append(&ret->pem, buffer_bytes(&issuer->pem));
        if (ret->pem.failed)
                return error_no_memory(err);
        return tls_identity_new(buffer_bytes(&ret->pem), buffer_bytes(&ret->pem), &ret->identity,
                                err);
}

/* It is shown even where it cannot be kept: then the next start makes another. */
static void put_in_place(struct own_certificate *own, struct answer *answer, int64_t now_ms) {
        CAD_AUTO(shown_done) struct shown fresh = { .der = answer->der };
        struct error err = { 0 };

        answer->der = (struct buffer){ 0 };
        if (compose(own, answer->issuer, &fresh, &err) < 0) {
                failed(own, &err, now_ms);
                return;
        }
        if (file_replace(own->plan.state_fd, OWN_CERTIFICATE_FILE, buffer_bytes(&fresh.pem), 0600,
                         &err) < 0)
                log_error(LOG_LEVEL_WARNING, &err, "the certificate for HTTPS was not kept");
        own->asked = false;
        own->key = private_key_free(own->key);
        show(own, &fresh);
        log_shown(own);
}

/* Return: whether something came */
static bool take_answer(struct own_certificate *own, int64_t now_ms) {
        struct answer answer = { 0 };
        struct error late = { 0 };

        (void) pthread_mutex_lock(&own->lock);
        if (own->answer.there) {
                answer = own->answer;
                own->answer = (struct answer){ 0 };
        }
        (void) pthread_mutex_unlock(&own->lock);
        if (answer.there && answer.err.code) {
                failed(own, &answer.err, now_ms);
        } else if (answer.there && own->key) {
                put_in_place(own, &answer, now_ms);
        } else if (own->asked && now_ms - own->asked_ms > ANSWER_MS) {
                (void) error_set(&late, ERR_SIGNER_UNAVAILABLE, "the signer gave no answer");
                failed(own, &late, now_ms);
        }
        buffer_done(&answer.der);
        return answer.there;
}

/* ---- life ---- */

void own_certificate_pulse(struct own_certificate *own, int64_t now, int64_t now_ms) {
        bool look = now_ms >= own->look_ms;
        const char *why;

        (void) take_answer(own, now_ms);
        if (own->asked || now_ms < own->retry_ms)
                return;
        if (look)
                own->look_ms = now_ms + LOOK_MS;
        why = due(own, now, now_ms, look);
        if (why)
                begin(own, why, now, now_ms);
}

void own_certificate_wait(struct own_certificate *own, int64_t timeout_ms) {
        const struct timespec poll = { .tv_nsec = 2000000 };
        int64_t until_ms = moment_monotonic_ms() + timeout_ms;

        do {
                own_certificate_pulse(own, moment_now(), moment_monotonic_ms());
                if (!own->asked)
                        return;
                (void) nanosleep(&poll, /* remaining= */ NULL);
        } while (moment_monotonic_ms() < until_ms);
}

static void load(struct own_certificate *own) {
        CAD_AUTO(shown_done) struct shown kept = { 0 };
        struct error err = { 0 };

        if (read_file(own, &kept, &err) == 0)
                show(own, &kept);
        else if (err.code != ERR_NOT_FOUND)
                log_error(LOG_LEVEL_WARNING, &err,
                          "the certificate in " OWN_CERTIFICATE_FILE " is of no use");
}

void own_certificate_reload(struct own_certificate *own, int64_t validity_s) {
        CAD_AUTO(shown_done) struct shown kept = { 0 };
        struct error err = { 0 };

        own->plan.validity_s = validity_s ? validity_s : OWN_CERTIFICATE_VALIDITY_S;
        own->look_ms = own->names_ms = own->names_wait_ms = own->retry_ms = own->backoff_ms = 0;
        if (read_file(own, &kept, &err) == 0) {
                if (!bytes_equal(buffer_bytes(&kept.der), buffer_bytes(&own->shown.der)))
                        show(own, &kept);
                return;
        }
        log_error(LOG_LEVEL_NOTICE, &err,
                  "the certificate in " OWN_CERTIFICATE_FILE " is of no use, a new one is made");
        own->asked = false; /* what is on its way is not waited for */
        own->key = private_key_free(own->key);
        begin(own, "its file was taken away", moment_now(), moment_monotonic_ms());
}

int own_certificate_new(const struct own_certificate_plan *plan, struct own_certificate **ret,
                        struct error *err) {
        struct own_certificate *own = calloc(1, sizeof(*own));

        if (!own)
                return error_no_memory(err);
        (void) pthread_mutex_init(&own->lock, /* attr= */ NULL);
        own->plan = *plan;
        own->plan.changed = NULL; /* who makes it asks for the first one */
        if (!own->plan.validity_s)
                own->plan.validity_s = OWN_CERTIFICATE_VALIDITY_S;
        load(own);
        own->plan.changed = plan->changed;
        *ret = own;
        return 0;
}

struct own_certificate *own_certificate_free(struct own_certificate *own) {
        if (!own)
                return NULL;
        shown_done(&own->shown);
        buffer_done(&own->answer.der);
        own->key = private_key_free(own->key);
        (void) pthread_mutex_destroy(&own->lock);
        free(own);
        return NULL;
}

struct tls_identity *own_certificate_identity(struct own_certificate *own) {
        return tls_identity_ref(own->shown.identity);
}

/* ---- how it is ---- */

int64_t own_certificate_not_after(struct own_certificate *own) {
        int64_t not_after;

        (void) pthread_mutex_lock(&own->lock);
        not_after = own->facts.not_after;
        (void) pthread_mutex_unlock(&own->lock);
        return not_after;
}

enum health_state own_certificate_health(struct own_certificate *own, int64_t now,
                                         struct buffer *detail) {
        CAD_AUTO(buffer_done) struct buffer refused = { 0 };
        enum health_state state = HEALTH_OK;
        char until[MOMENT_TEXT_MAX];

        own_names_refused(own->plan.names, &refused);
        (void) pthread_mutex_lock(&own->lock);
        if (!own->facts.not_after) {
                state = HEALTH_FAILING;
                buffer_text(detail, "there is no certificate for HTTPS yet");
        } else {
                if (own->facts.not_after < now)
                        state = HEALTH_FAILING;
                buffer_format(detail, "%s %s, for %s",
                              state == HEALTH_FAILING ? "has expired at" : "good until",
                              moment_format(own->facts.not_after, until), own->facts.names);
        }
        if (own->facts.err.code) {
                state = state == HEALTH_OK ? HEALTH_WARNING : state;
                buffer_format(detail, "; a new one is not to be had: %.160s", own->facts.err.text);
        }
        (void) pthread_mutex_unlock(&own->lock);
        if (refused.size)
                buffer_format(detail, "; not for %.160s: the CA's constraints do not permit that",
                              buffer_string(&refused));
        return state;
}
