/*
 * REST, version 1: the handlers of the route table. They translate and decide nothing.
 */
#pragma once

#include <jansson.h>
#include <stdatomic.h>

#include "daemon/authority/authority.h"
#include "daemon/http/exchange.h"

#define REST_CSR_BODY_MAX (128u * 1024) /* bytes: a CSR of 64 KiB in PEM, in JSON */
#define REST_BODY_MAX (16u * 1024)
#define REST_TOKEN_BODY_MAX (64u * 1024) /* bytes: a hundred names of the longest kind */

struct web;

/** struct rest - what the handlers need; the http server's context */
struct rest {
        struct authority *authority; /* first: that is all that other protocols know of this */
        int state_fd;                /* the state folder */
        /* of this host, for the Host of a request; the daemon's, handlers leave it alone */
        struct own_names *names;
        struct web *web; /* the trust page; the daemon's, handlers of REST leave it alone */
        atomic_bool metrics_public; /* may change while it runs */
        /* NULL, or when the certificate of HTTPS ends, 0 where there is none; for /metrics */
        int64_t (*https_not_after)(void *context);
        void *https_context;
};

/** rest_authority(), rest_principal() - of an exchange */
struct authority *rest_authority(const struct exchange *x);
const struct principal *rest_principal(const struct exchange *x);

/** rest_csr_text() - a CSR in JSON: PEM, or base64 of DER, which goes to @decoded. @ret: a view into one of them. @err: ERR_CSR_MALFORMED */
int rest_csr_text(const char *text, struct buffer *decoded, struct bytes *ret, struct error *err);

/**
 * rest_no_private_key() - whether none is in the body, wherever in it: a complaint about a name or a label would show a part of it, and
 * a label is kept. To be asked before the body is read. @err: ERR_PRIVATE_KEY_IN_BODY
 */
int rest_no_private_key(struct exchange *x, struct error *err);

/** rest_read_nothing() - there is nothing to say: no body, or an empty object. @err: ERR_BODY_* */
int rest_read_nothing(struct exchange *x, struct error *err);

struct json_member;

/**
 * rest_read_json() - the body, a JSON object of at most @size_max bytes with these members (daemon/http/json.h)
 * @document: owns what @target points to; the caller's to drop, on failure, too
 * @err: ERR_MEDIA_TYPE, ERR_PRIVATE_KEY_IN_BODY, ERR_BODY_*
 */
int rest_read_json(struct exchange *x, const struct json_member *members, size_t count,
                   void *target, size_t size_max, json_t **document, struct error *err);

/**
 * rest_read_optional() - the same of at most REST_BODY_MAX, or nothing: a body that is not there leaves @target as it is
 */
int rest_read_optional(struct exchange *x, const struct json_member *members, size_t count,
                       void *target, json_t **document, struct error *err);

/** rest_issued() - an issue_done: @context is a deferred exchange, which is answered with the certificate in the form that it accepts, or the problem */
void rest_issued(void *context, const struct issued *issued, const struct error *err);

/* One for each row of surface.md's table, in its order. */
void rest_health(struct exchange *x);
void rest_ca(struct exchange *x);
void rest_root_pem(struct exchange *x);
void rest_bundle_pem(struct exchange *x);
void rest_profiles(struct exchange *x);
void rest_ca_prepare(struct exchange *x);
void rest_ca_activate(struct exchange *x);
void rest_certificate_issue(struct exchange *x);
void rest_certificate_list(struct exchange *x);
void rest_certificate_get(struct exchange *x);
void rest_certificate_revoke(struct exchange *x);
void rest_token_create(struct exchange *x);
void rest_token_list(struct exchange *x);
void rest_token_get(struct exchange *x);
void rest_token_revoke(struct exchange *x);
void rest_certificate_renewal(struct exchange *x);
void rest_certificate_renew(struct exchange *x);
void rest_request_submit(struct exchange *x);
void rest_request_list(struct exchange *x);
void rest_request_get(struct exchange *x);
void rest_request_approve(struct exchange *x);
void rest_request_deny(struct exchange *x);
void rest_backup(struct exchange *x);
void rest_metrics(struct exchange *x);
void rest_crl_list(struct exchange *x);
void rest_crl_publish(struct exchange *x);

/* What relying parties fetch, on every listener: no JSON, nothing secret. */
void public_crl(struct exchange *x);
void public_issuer(struct exchange *x);
void public_root(struct exchange *x);
void rest_audit_list(struct exchange *x);
void rest_audit_anchors(struct exchange *x);
