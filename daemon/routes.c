/*
 * Routes. A row is a right: deny by default, since what has no row does not exist.
 */
#include "daemon/routes.h"

#include <stdlib.h>

#include "daemon/authority/authority.h"
#include "daemon/http/exchange.h"
#include "daemon/rest/rest.h"

/* clang-format off */
const struct route cad_routes[] = {
        { "GET",  "/v1/health",                       rest_health,             ROLE_PUBLIC,   0,           0, 0 },
        { "GET",  "/v1/ca",                           rest_ca,                 ROLE_PUBLIC,   ROUTE_QUICK, 0, 0 },
        { "GET",  "/v1/ca/root.pem",                  rest_root_pem,           ROLE_PUBLIC,   ROUTE_QUICK, 0, 0 },
        { "GET",  "/v1/ca/bundle.pem",                rest_bundle_pem,         ROLE_PUBLIC,   ROUTE_QUICK, 0, 0 },
        { "GET",  "/v1/profiles",                     rest_profiles,           ROLE_PUBLIC,   ROUTE_QUICK, 0, 0 },
        { "POST", "/v1/certificates",                 rest_certificate_issue,  ROLE_OPERATOR, 0, REST_CSR_BODY_MAX, 0 },
        { "GET",  "/v1/certificates",                 rest_certificate_list,   ROLE_READER,   0,           0, 0 },
        { "GET",  "/v1/certificates/{serial}",        rest_certificate_get,    ROLE_PUBLIC,   0,           0, 0 },
        { "POST", "/v1/certificates/{serial}/revoke", rest_certificate_revoke, ROLE_OPERATOR, 0, REST_BODY_MAX, 0 },
};
/* clang-format on */
const size_t cad_routes_count = ARRAY_SIZE(cad_routes);

int route_authorize(void *context, struct exchange *x, const struct route *route,
                    struct error *err) {
        struct rest *rest = context;
        const struct peer *peer = exchange_peer(x);
        struct principal *principal = calloc(1, sizeof(*principal));

        if (!principal)
                return error_no_memory(err);
        exchange_set_principal(x, principal, free);
        if (peer->has_credentials) {
                const struct peer_identity identity = { peer->uid, peer->gid, peer->groups,
                                                        peer->groups_len };

                authority_identify(rest->authority, &identity, principal);
        }
        return principal_require(principal, (enum role) route->access, "this call", err);
}
