/*
 * What relying parties fetch, mostly in the clear: CRLs and CA certificates in DER (RFC 5280 §4.2.1.13, §4.2.2.1; RFC 2585).
 *
 * Served in the event thread, from memory that is lent to the answer: nothing is copied, read or waited for. Conditional requests (RFC
 * 9110 §13) make asking again cheap.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/authority/publisher.h"
#include "daemon/http/resource.h"
#include "daemon/rest/rest.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

#define CERTIFICATE_MAX_AGE_S (24 * 3600)
#define CACHE_CONTROL_MAX 48

/* How long it may be kept unasked. @out has CACHE_CONTROL_MAX bytes. Return: @out */
static const char *keep_for(int64_t max_age_s, char *out) {
        (void) snprintf(out, CACHE_CONTROL_MAX, "public, max-age=%lld", (long long) max_age_s);
        return out;
}

/* "int-1.crl" to "int-1". @out has SIGNER_ISSUER_MAX bytes. Return: whether it can be an issuer's */
static bool issuer_of_file(const struct exchange *x, const char *suffix, char *out) {
        const char *file = exchange_param(x, "file");
        size_t size = strlen(file);

        if (!text_ends_with(file, suffix))
                return false;
        size -= strlen(suffix);
        if (size == 0 || size >= SIGNER_ISSUER_MAX)
                return false;
        memcpy(out, file, size);
        out[size] = '\0';
        return true;
}

static void nothing_here(struct exchange *x, const char *what) {
        struct error err = { 0 };

        (void) error_set(&err, ERR_NOT_FOUND, "there is no %s at %s", what, exchange_path(x));
        exchange_problem(x, &err);
}

/* ---- CRLs ---- */

static void snapshot_release(void *context) {
        (void) crl_snapshot_unref(context);
}

void public_crl(struct exchange *x) {
        struct publisher *p = authority_publisher(rest_authority(x));
        char issuer[SIGNER_ISSUER_MAX];
        struct crl_snapshot *s = NULL;
        char cache_control[CACHE_CONTROL_MAX];
        int64_t max_age_s;

        if (issuer_of_file(x, ".crl", issuer))
                s = publisher_snapshot(p, issuer, moment_now(), &max_age_s);
        if (!s) {
                nothing_here(x, "CRL");
                return;
        }
        resource_reply(x,
                       &(struct resource){ .type = "application/pkix-crl",
                                           .etag = s->etag,
                                           .last_modified = s->last_modified,
                                           .modified_at = s->made_at,
                                           .cache_control = keep_for(max_age_s, cache_control),
                                           .body = s->der },
                       snapshot_release, s);
}

/* ---- certificates ---- */

/* They never change while cad runs: what is lent outlives every answer. */
static void serve_certificate(struct exchange *x, const struct cert *cert, const char *type) {
        char etag[CRL_ETAG_MAX], date[CRL_HTTP_DATE_MAX], serial[2 * SERIAL_MAX + 1];
        char cache_control[CACHE_CONTROL_MAX];

        (void) snprintf(etag, sizeof(etag), "\"%.32s\"", hex_encode(cert->serial, serial));
        resource_reply(x,
                       &(struct resource){
                               .type = type,
                               .etag = etag,
                               .last_modified = http_date(cert->validity.not_before, date),
                               .modified_at = cert->validity.not_before,
                               .cache_control = keep_for(CERTIFICATE_MAX_AGE_S, cache_control),
                               .body = cert->der },
                       /* release= */ NULL, NULL);
}

void public_issuer(struct exchange *x) {
        const struct ca_info *ca = authority_ca(rest_authority(x));
        const struct ca_info_issuer *issuer;
        char id[SIGNER_ISSUER_MAX];

        if (!issuer_of_file(x, ".crt", id)) {
                nothing_here(x, "certificate");
                return;
        }
        issuer = ca_info_issuer(ca, id);
        if (issuer)
                serve_certificate(x, &issuer->cert, "application/pkix-cert");
        else if (strcmp(id, SIGNER_ROOT_ID) == 0)
                serve_certificate(x, &ca->root, "application/pkix-cert");
        else
                nothing_here(x, "certificate");
}

/* The type that makes phones and browsers offer to install it. */
void public_root(struct exchange *x) {
        serve_certificate(x, &authority_ca(rest_authority(x))->root, "application/x-x509-ca-cert");
}
