/*
 * Callers: see callers.h. It proves nothing itself: the kernel, TLS and the authority do.
 */
#include "daemon/callers.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/authority/access.h"
#include "daemon/authority/audit.h"
#include "daemon/authority/authority.h"
#include "daemon/authority/peer_certificate.h"
#include "daemon/authority/tokens.h"
#include "daemon/http/exchange.h"
#include "daemon/rest/rest.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

/* What was found out about a connection's client certificate. A refusal is kept, too: it costs once. */
struct shown {
        bool good;
        struct peer_certificate certificate;
        struct error why_not;
};

/* ---- what is shown ---- */

static const struct shown *look_at_certificate(struct authority *a, struct exchange *x,
                                               const struct bytes *chain, size_t count,
                                               struct error *err) {
        struct shown *shown = exchange_kept(x);

        if (shown)
                return shown;
        shown = calloc(1, sizeof(*shown));
        if (!shown) {
                (void) error_no_memory(err);
                return NULL;
        }
        shown->good = authority_verify_peer(a, chain, count, &shown->certificate,
                                            &shown->why_not) == 0;
        exchange_keep(x, shown, free);
        return shown;
}

static int by_certificate(struct authority *a, struct exchange *x, const struct bytes *chain,
                          size_t count, struct principal *ret, struct error *err) {
        const struct shown *shown = look_at_certificate(a, x, chain, count, err);

        if (!shown)
                return -1;
        if (!shown->good) {
                *err = shown->why_not;
                return -1;
        }
        return peer_certificate_judge(&shown->certificate, moment_now(), ret, err);
}

/* The token of "Bearer TOKEN" (RFC 6750 §2.1; the scheme's case does not matter), NULL for another scheme. */
static const char *bearer_of(const char *authorization) {
        static const char scheme[] = "Bearer ";

        if (strncasecmp(authorization, scheme, sizeof(scheme) - 1) != 0)
                return NULL;
        authorization += sizeof(scheme) - 1;
        return authorization + strspn(authorization, " ");
}

/* The credentials of "Basic dXNlcjpwYXNz" (RFC 7617 §2) as they are, NULL for another scheme. */
static const char *basic_of(const char *authorization) {
        static const char scheme[] = "Basic ";

        if (strncasecmp(authorization, scheme, sizeof(scheme) - 1) != 0)
                return NULL;
        authorization += sizeof(scheme) - 1;
        return authorization + strspn(authorization, " ");
}

/* The password of "user:password" in base64; it lives in @plain, which is to be wiped. NULL: it is none. */
static const char *password_of(const char *credentials, struct buffer *plain) {
        const char *text, *colon;

        if (base64_decode(bytes_of(credentials), plain) < 0)
                return NULL;
        text = buffer_string(plain);
        colon = strchr(text, ':');
        return colon && strlen(text) == plain->size ? colon + 1 : NULL;
}

static int refuse_scheme(const char *known, struct error *err) {
        return error_set_field(err, ERR_UNAUTHENTICATED, "Authorization",
                               "the only Authorization that is known here is %s", known);
}

static int by_basic(const char *credentials, struct principal *ret, struct error *err) {
        CAD_AUTO(buffer_wipe) struct buffer plain = { 0 };
        const char *password = password_of(credentials, &plain);

        if (!password)
                return refuse_scheme("'Basic' with base64 of 'anything:TOKEN'", err);
        if (*password)
                *ret = (struct principal){ .kind = PRINCIPAL_TOKEN,
                                           .pending = true,
                                           .text = "token:?" };
        return 0;
}

static int by_token(const char *authorization, unsigned flags, struct principal *ret,
                    struct error *err) {
        const char *basic = flags & ROUTE_BASIC ? basic_of(authorization) : NULL;

        if (basic)
                return by_basic(basic, ret, err);
        if (!bearer_of(authorization))
                return refuse_scheme(flags & ROUTE_BASIC ? "'Basic' with a token as the password"
                                                         : "'Bearer TOKEN'",
                                     err);
        *ret = (struct principal){ .kind = PRINCIPAL_TOKEN, .pending = true, .text = "token:?" };
        return 0;
}

static int by_tls(struct authority *a, struct exchange *x, const char *authorization,
                  unsigned flags, struct principal *ret, struct error *err) {
        const struct bytes *chain;
        size_t count;

        exchange_peer_certificates(x, &chain, &count);
        if (count && authorization)
                return error_set_field(
                        err, ERR_REQUEST_MALFORMED, "Authorization",
                        "a client certificate and an Authorization were both sent: whose right is meant? Send one of them");
        if (count)
                return by_certificate(a, x, chain, count, ret, err);
        return authorization ? by_token(authorization, flags, ret, err) : 0;
}

static int by_socket(struct authority *a, const struct peer *peer, const char *authorization,
                     unsigned flags, struct principal *ret, struct error *err) {
        const struct peer_identity identity = { peer->uid, peer->gid, peer->groups,
                                                peer->groups_len };

        if (peer->has_credentials)
                authority_identify(a, &identity, ret);
        if (!authorization)
                return 0;
        if (by_token(authorization, flags, ret, err) < 0)
                return -1;
        ret->on_unix_socket = true;
        return 0;
}

static int identify(struct authority *a, struct exchange *x, unsigned flags, struct principal *ret,
                    struct error *err) {
        const struct peer *peer = exchange_peer(x);
        const char *authorization = exchange_header(x, "Authorization");

        switch (peer->listener) {
        case HTTP_UNIX:
                return by_socket(a, peer, authorization, flags, ret, err);
        case HTTP_TLS:
                return by_tls(a, x, authorization, flags, ret, err);
        case HTTP_TCP:
        case HTTP_LISTENER_KIND_COUNT:
                break;
        }
        return 0;
}

/* A call that ends here; @err is filled. */
static int refuse(struct authority *a, struct exchange *x, const struct route *route,
                  const struct error *err) {
        const struct principal *principal = exchange_principal(x);
        const struct principal *proved = principal->pending ? NULL : principal;
        const struct audit_event what = { .action = audit_action((enum action) route->access),
                                          .source = exchange_peer(x)->text,
                                          .request_id = exchange_request_id(x) };

        audit_refused(a, proved, &what, err);
        return -1;
}

int route_authorize(void *context, struct exchange *x, const struct route *route,
                    struct error *err) {
        struct rest *rest = context;
        struct principal *principal = malloc(sizeof(*principal));

        if (!principal)
                return error_no_memory(err);
        *principal = (struct principal){ .text = "anonymous" };
        exchange_set_principal(x, principal, free);
        if (identify(rest->authority, x, route->flags, principal, err) < 0)
                return refuse(rest->authority, x, route, err);
        if (principal->pending)
                exchange_need_worker(x);
        if (access_possible(principal, (enum action) route->access, err) < 0)
                return refuse(rest->authority, x, route, err);
        return 0;
}

/* ---- looked up ---- */

static int look_up_token(struct authority *a, struct exchange *x, struct principal *principal,
                         struct error *err) {
        CAD_AUTO(token_grant_free) struct token_grant *grant = NULL;
        CAD_AUTO(buffer_wipe) struct buffer plain = { 0 };
        const char *authorization = exchange_header(x, "Authorization");
        const char *basic = basic_of(authorization); /* where it may be one, was looked at before */
        const char *token = basic ? password_of(basic, &plain) : bearer_of(authorization);
        bool on_unix_socket = principal->on_unix_socket;

        if (!token)
                return error_set(err, ERR_INTERNAL, "the token is gone");
        if (tokens_authenticate(a, token, exchange_peer(x)->text, &grant, err) < 0)
                return -1;
        token_principal(grant, principal);
        principal->on_unix_socket = on_unix_socket;
        return 0;
}

static int look_up(struct authority *a, struct exchange *x, struct principal *principal,
                   struct error *err) {
        const struct shown *shown = exchange_kept(x);

        switch (principal->kind) {
        case PRINCIPAL_CERTIFICATE:
                return authority_authenticate(a, &shown->certificate, principal, err);
        case PRINCIPAL_TOKEN:
                return look_up_token(a, x, principal, err);
        case PRINCIPAL_ANONYMOUS:
        case PRINCIPAL_PEER:
                break;
        }
        return error_set(err, ERR_INTERNAL, "there is nothing to look up of %s", principal->text);
}

int route_authenticate(void *context, struct exchange *x, const struct route *route,
                       struct error *err) {
        struct rest *rest = context;
        struct principal *principal = exchange_principal(x);

        if (!principal->pending)
                return 0;
        if (look_up(rest->authority, x, principal, err) < 0 ||
            access_possible(principal, (enum action) route->access, err) < 0)
                return refuse(rest->authority, x, route, err);
        return 0;
}
