/*
 * REST, version 1: the handlers of the route table. They translate and decide nothing.
 */
#pragma once

#include "daemon/authority/authority.h"
#include "daemon/http/exchange.h"

#define REST_CSR_BODY_MAX (128u * 1024) /* bytes: a CSR of 64 KiB in PEM, in JSON */
#define REST_BODY_MAX (16u * 1024)

/** struct rest - what the handlers need; the http server's context */
struct rest {
        struct authority *authority;
};

/** rest_authority(), rest_principal() - of an exchange */
struct authority *rest_authority(const struct exchange *x);
const struct principal *rest_principal(const struct exchange *x);

/* One for each row of surface.md's table, in its order. */
void rest_health(struct exchange *x);
void rest_ca(struct exchange *x);
void rest_root_pem(struct exchange *x);
void rest_bundle_pem(struct exchange *x);
void rest_profiles(struct exchange *x);
void rest_certificate_issue(struct exchange *x);
void rest_certificate_list(struct exchange *x);
void rest_certificate_get(struct exchange *x);
void rest_certificate_revoke(struct exchange *x);
