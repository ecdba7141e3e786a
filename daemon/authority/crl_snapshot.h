/*
 * A CRL that is served: its octets and what HTTP says of them. Immutable and counted: who serves it keeps it, and a newer one
 * takes its place meanwhile.
 */
#pragma once

#include <stdint.h>

#include "daemon/signer/client.h"
#include "lib/pki/cert.h"

struct crl;

#define CRL_ETAG_MAX 36      /* bytes with NUL: "\"" and 32 hex digits */
#define CRL_HTTP_DATE_MAX 30 /* bytes with NUL: "Sun, 06 Nov 1994 08:49:37 GMT" */

/** struct crl_snapshot - see above */
struct crl_snapshot {
        char issuer[SIGNER_ISSUER_MAX];
        struct bytes der;
        int64_t number, this_update, next_update;
        int64_t made_at; /* as far as the number tells: never the same for two of an issuer */
        size_t entry_count;
        char etag[CRL_ETAG_MAX];
        char last_modified[CRL_HTTP_DATE_MAX];
};

/**
 * crl_snapshot_of_signed() - a CRL that came from the signer and was checked
 * @made: taken, on success and failure
 * @crl:  what was read of it
 * Return: with one reference, or NULL without memory
 */
struct crl_snapshot *crl_snapshot_of_signed(const char *issuer, struct signed_crl *made,
                                            const struct crl *crl);

/**
 * crl_snapshot_load() - the CRL of an issuer as it lies in a folder: ISSUER.crl
 * @cert: the issuer's certificate: the CRL must be its own, and its signature good
 * @err: ERR_NOT_FOUND; ERR_SIGNER_WRONG: it cannot be read or is not this issuer's; ERR_FILE_UNSAFE, ERR_IO, ERR_NO_MEMORY
 */
int crl_snapshot_load(int dir_fd, const char *issuer, const struct cert *cert,
                      struct crl_snapshot **ret, struct error *err);

/** crl_snapshot_store() - put it there, atomically and durably. @err: ERR_IO, ERR_STORE_FULL */
int crl_snapshot_store(const struct crl_snapshot *snapshot, int dir_fd, struct error *err);

/** crl_snapshot_ref() - one more who keeps it */
struct crl_snapshot *crl_snapshot_ref(struct crl_snapshot *snapshot);

/** crl_snapshot_unref() - one less; the last frees it. Copes with NULL. Return: NULL */
struct crl_snapshot *crl_snapshot_unref(struct crl_snapshot *snapshot);
CAD_CLEANUP(struct crl_snapshot, crl_snapshot_unref)

/** http_date() - RFC 9110 §5.6.7; @out has CRL_HTTP_DATE_MAX bytes. Return: @out */
const char *http_date(int64_t t, char *out);
