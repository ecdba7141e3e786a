/*
 * What relying parties fetch, mostly in the clear: CRLs and CA certificates in DER (RFC 5280 §4.2.1.13, §4.2.2.1; RFC 2585).
 *
 * Served in the event thread, from memory that is lent to the answer: nothing is copied, read or waited for. Conditional requests (RFC
 * 9110 §13) make asking again cheap.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/authority/publisher.h"
#include "daemon/rest/rest.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

#define CERTIFICATE_MAX_AGE_S (24 * 3600)
#define CACHE_CONTROL_MAX 48

/* Something with a validator; views. */
struct resource {
        const char *type;
        const char *etag;          /* with its quotation marks */
        const char *last_modified; /* as it is sent */
        int64_t modified_at;
        int64_t max_age_s;
        struct bytes body;
};

/* Whether a list of entity tags has this one; weak comparison (RFC 9110 §13.1.2). */
static bool etag_listed(const char *list, const char *etag) {
        size_t size = strlen(etag);

        if (strcmp(list, "*") == 0)
                return true;
        for (const char *at = list; (at = strstr(at, etag)); at += size) {
                bool begins = at == list || at[-1] == ' ' || at[-1] == ',' || at[-1] == '\t' ||
                        at[-1] == '/';

                if (begins && (at[size] == '\0' || at[size] == ',' || at[size] == ' '))
                        return true;
        }
        return false;
}

/* IMF-fixdate alone, which is what everybody sends (RFC 9110 §5.6.7). Return: seconds since the epoch, or -1 */
static int64_t date_parse(const char *text) {
        static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
        struct civil_time c;
        char month[4], zone[4];
        const char *found;
        int64_t t;

        if (strlen(text) != CRL_HTTP_DATE_MAX - 1 ||
            sscanf(text, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d %3s", &c.day, month, &c.year,
                   &c.hour, &c.minute, &c.second, zone) != 7 ||
            strcmp(zone, "GMT") != 0)
                return -1;
        found = strstr(months, month);
        if (!found || (found - months) % 3 != 0)
                return -1;
        c.month = (int) (found - months) / 3 + 1;
        return moment_from_civil(&c, &t) < 0 ? -1 : t;
}

/* RFC 9110 §13.2.2: the tag goes before the date. */
static bool not_modified(const struct exchange *x, const struct resource *r) {
        const char *etags = exchange_header(x, "If-None-Match");
        const char *since = exchange_header(x, "If-Modified-Since");
        int64_t then;

        if (etags)
                return etag_listed(etags, r->etag);
        if (!since)
                return false;
        if (strcmp(since, r->last_modified) == 0)
                return true;
        then = date_parse(since);
        return then >= r->modified_at && then <= moment_now();
}

/* @release is called in any case, once. */
static void serve(struct exchange *x, const struct resource *r, void (*release)(void *context),
                  void *context) {
        char cache_control[CACHE_CONTROL_MAX];

        (void) snprintf(cache_control, sizeof(cache_control), "public, max-age=%lld",
                        (long long) r->max_age_s);
        /* A 304 has no content, but its Content-Length is that of the 200 (RFC 9110 §8.6): libmicrohttpd sees to both. */
        exchange_reply_lent(x, not_modified(x, r) ? 304 : 200, r->type, r->body, release, context);
        exchange_reply_header(x, "ETag", r->etag);
        exchange_reply_header(x, "Last-Modified", r->last_modified);
        exchange_reply_header(x, "Cache-Control", cache_control);
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
        int64_t max_age_s;

        if (issuer_of_file(x, ".crl", issuer))
                s = publisher_snapshot(p, issuer, moment_now(), &max_age_s);
        if (!s) {
                nothing_here(x, "CRL");
                return;
        }
        serve(x,
              &(struct resource){ .type = "application/pkix-crl",
                                  .etag = s->etag,
                                  .last_modified = s->last_modified,
                                  .modified_at = s->made_at,
                                  .max_age_s = max_age_s,
                                  .body = s->der },
              snapshot_release, s);
}

/* ---- certificates ---- */

/* They never change while cad runs: what is lent outlives every answer. */
static void serve_certificate(struct exchange *x, const struct cert *cert, const char *type) {
        char etag[CRL_ETAG_MAX], date[CRL_HTTP_DATE_MAX], serial[2 * SERIAL_MAX + 1];

        (void) snprintf(etag, sizeof(etag), "\"%.32s\"", hex_encode(cert->serial, serial));
        serve(x,
              &(struct resource){ .type = type,
                                  .etag = etag,
                                  .last_modified = http_date(cert->validity.not_before, date),
                                  .modified_at = cert->validity.not_before,
                                  .max_age_s = CERTIFICATE_MAX_AGE_S,
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
