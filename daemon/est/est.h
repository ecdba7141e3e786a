/*
 * EST (RFC 7030, RFC 8951): the handlers of /.well-known/est/[LABEL/]. They translate and decide nothing.
 *
 *      cacerts          root and intermediates, for everybody
 *      csrattrs         204: a CSR needs no more than its key and its names
 *      simpleenroll     a CSR, by token (HTTP Basic), client certificate, or with an operator's approval (202)
 *      simplereenroll   a CSR, by the client certificate that is renewed
 *      serverkeygen, fullcmc   501: a key is made where it is used; nothing here speaks CMC
 *
 * A label is the name of a profile. Problems are text (RFC 7030 §4.2.3).
 */
#pragma once

#include "daemon/authority/authority.h"
#include "daemon/http/exchange.h"
#include "daemon/http/problem.h"

#define EST_PATH "/.well-known/est/"
#define EST_BODY_MAX (128u * 1024) /* bytes: a CSR of 64 KiB in base64 */

void est_cacerts(struct exchange *x);
void est_csrattrs(struct exchange *x);
void est_enroll(struct exchange *x);
void est_reenroll(struct exchange *x);
void est_not_offered(struct exchange *x);

/** est_problem - text/plain, and a challenge for HTTP Basic */
extern const struct problem_form est_problem;

/* ---- for the files of this room ---- */

/** est_authority(), est_principal() - of an exchange. The server's context begins with a pointer to the authority (routes.c) */
struct authority *est_authority(const struct exchange *x);
const struct principal *est_principal(const struct exchange *x);

/** est_label() - the profile that the path names. @ret: NULL where it names none. @err: ERR_NOT_FOUND: there is none of that name for callers */
int est_label(const struct exchange *x, const char **ret, struct error *err);

/** est_reply_certificates() - 200 with a certs-only PKCS#7 in base64 */
void est_reply_certificates(struct exchange *x, const struct bytes *certificates, size_t count);
