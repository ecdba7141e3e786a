/*
 * Routes. A row is a right: deny by default, since what has no row does not exist.
 */
#include "daemon/routes.h"

#include <stddef.h>
#include <string.h>

#include "daemon/authority/access.h"
#include "daemon/est/est.h"
#include "daemon/rest/rest.h"
#include "daemon/web/web.h"

/* What is fetched in the clear, too: it proves itself, or whoever fetches it does. */
#define EVERYWHERE (HTTP_ON(HTTP_UNIX) | HTTP_ON(HTTP_TLS) | HTTP_ON(HTTP_TCP))

/* Each protocol finds the authority where the server's context begins. */
_Static_assert(offsetof(struct rest, authority) == 0, "the authority is first");

#define EST(method, call, handler, access, body_max) \
        { method, EST_PATH call, handler, access, ROUTE_BASIC, body_max, 0 }, { \
                method, EST_PATH "{label}/" call, handler, access, ROUTE_BASIC, body_max, 0 \
        }

static void trust_page(struct exchange *x) {
        const struct rest *rest = exchange_context(x);

        web_answer(rest->web, x);
}

/* clang-format off */
const struct route cad_routes[] = {
        { "GET",  "/v1/health",                       rest_health,             ACTION_READ_PUBLIC,       0,           0, 0 },
        { "GET",  "/v1/ca",                           rest_ca,                 ACTION_READ_PUBLIC,       ROUTE_QUICK, 0, 0 },
        { "GET",  "/v1/ca/root.pem",                  rest_root_pem,           ACTION_READ_PUBLIC,       ROUTE_QUICK, 0, 0 },
        { "GET",  "/v1/ca/bundle.pem",                rest_bundle_pem,         ACTION_READ_PUBLIC,       ROUTE_QUICK, 0, 0 },
        { "POST", "/v1/ca/intermediates",             rest_ca_prepare,         ACTION_CHANGE_CA,         0, REST_BODY_MAX, 0 },
        { "POST", "/v1/ca/intermediates/{id}/activate", rest_ca_activate,      ACTION_CHANGE_CA,         0, REST_BODY_MAX, 0 },
        { "GET",  "/v1/profiles",                     rest_profiles,           ACTION_READ_PUBLIC,       ROUTE_QUICK, 0, 0 },
        { "POST", "/v1/certificates",                 rest_certificate_issue,  ACTION_ISSUE,             0, REST_CSR_BODY_MAX, 0 },
        { "GET",  "/v1/certificates",                 rest_certificate_list,   ACTION_LIST_CERTIFICATES, 0,           0, 0 },
        { "GET",  "/v1/certificates/{serial}",        rest_certificate_get,    ACTION_READ_PUBLIC,       0,           0, 0 },
        { "POST", "/v1/certificates/{serial}/revoke", rest_certificate_revoke, ACTION_REVOKE,            0, REST_BODY_MAX, 0 },
        { "GET",  "/v1/certificates/{serial}/renewal", rest_certificate_renewal, ACTION_READ_PUBLIC,     0,           0, 0 },
        { "POST", "/v1/certificates/{serial}/renew",  rest_certificate_renew,  ACTION_RENEW,             0, REST_CSR_BODY_MAX, 0 },
        /* by [Metrics] Access=: the handler asks for ACTION_READ_METRICS where that says reader */
        { "GET",  "/metrics",                         rest_metrics,            ACTION_READ_PUBLIC,       0,           0, 0 },
        { "POST", "/v1/requests",                     rest_request_submit,     ACTION_SUBMIT_REQUEST,    0, REST_CSR_BODY_MAX, 0 },
        { "GET",  "/v1/requests",                     rest_request_list,       ACTION_LIST_REQUESTS,     0,           0, 0 },
        /* by id, which is the right; by code for readers, which the authority looks at */
        { "GET",  "/v1/requests/{id}",                rest_request_get,        ACTION_READ_REQUEST,      0,           0, 0 },
        { "POST", "/v1/requests/{id}/approve",        rest_request_approve,    ACTION_DECIDE_REQUEST,    0, REST_BODY_MAX, 0 },
        { "POST", "/v1/requests/{id}/deny",           rest_request_deny,       ACTION_DECIDE_REQUEST,    0, REST_BODY_MAX, 0 },
        { "POST", "/v1/tokens",                       rest_token_create,       ACTION_MANAGE_TOKENS,     0, REST_TOKEN_BODY_MAX, 0 },
        { "GET",  "/v1/tokens",                       rest_token_list,         ACTION_MANAGE_TOKENS,     0,           0, 0 },
        { "GET",  "/v1/tokens/{id}",                  rest_token_get,          ACTION_MANAGE_TOKENS,     0,           0, 0 },
        { "DELETE", "/v1/tokens/{id}",                rest_token_revoke,       ACTION_MANAGE_TOKENS,     0,           0, 0 },
        { "GET",  "/v1/audit",                        rest_audit_list,         ACTION_READ_AUDIT,        0,           0, 0 },
        { "GET",  "/v1/audit/anchors",                rest_audit_anchors,      ACTION_READ_AUDIT,        0,           0, 0 },
        { "GET",  "/v1/crls",                         rest_crl_list,           ACTION_READ_PUBLIC,       ROUTE_QUICK, 0, 0 },
        { "POST", "/v1/crls",                         rest_crl_publish,        ACTION_PUBLISH_CRL,       0, REST_BODY_MAX, 0 },
        { "POST", "/v1/backup",                       rest_backup,             ACTION_BACKUP,            0,           0, 0 },
        { "GET",  "/crl/{file}",                      public_crl,              ACTION_READ_PUBLIC,       ROUTE_QUICK, 0, EVERYWHERE },
        { "GET",  "/ca/{file}",                       public_issuer,           ACTION_READ_PUBLIC,       ROUTE_QUICK, 0, EVERYWHERE },
        { "GET",  "/root.crt",                        public_root,             ACTION_READ_PUBLIC,       ROUTE_QUICK, 0, EVERYWHERE },
        EST("GET",  "cacerts",        est_cacerts,     ACTION_READ_PUBLIC,    0),
        EST("GET",  "csrattrs",       est_csrattrs,    ACTION_READ_PUBLIC,    0),
        /* for whoever may hand in a request, too: the authority looks at what it is to be */
        EST("POST", "simpleenroll",   est_enroll,      ACTION_SUBMIT_REQUEST, EST_BODY_MAX),
        EST("POST", "simplereenroll", est_reenroll,    ACTION_RENEW,          EST_BODY_MAX),
        EST("POST", "serverkeygen",   est_not_offered, ACTION_READ_PUBLIC,    EST_BODY_MAX),
        EST("POST", "fullcmc",        est_not_offered, ACTION_READ_PUBLIC,    EST_BODY_MAX),
        { "GET",  "/",                                trust_page,              ACTION_READ_PUBLIC,       ROUTE_QUICK, 0, EVERYWHERE },
        { "GET",  "/trust",                           trust_page,              ACTION_READ_PUBLIC,       ROUTE_QUICK, 0, EVERYWHERE },
        { "GET",  "/trust/{file}",                    trust_page,              ACTION_READ_PUBLIC,       ROUTE_QUICK, 0, EVERYWHERE },
};
/* clang-format on */
const size_t cad_routes_count = ARRAY_SIZE(cad_routes);

const struct problem_form *cad_problem_form(enum http_listener_kind listener, const char *path) {
        bool est = listener != HTTP_TCP && strncmp(path, EST_PATH, strlen(EST_PATH)) == 0;

        return est ? &est_problem : &problem_document;
}
