/*
 * Callers: who asks, as the transport proves it, and whether that may be what a row of the route table is (design.md §8).
 *
 *      route_authorize()     event thread, before the body: Unix peer, client certificate (verified once a connection), or what
 *                            claims to be a token; refuses what can never be
 *      route_authenticate()  worker, before the handler: what was shown is looked up in the store
 *
 * Who shows a credential has to show a good one, whatever is asked: a bad one is 401 that says why, on public calls, too.
 * On rows with ROUTE_BASIC the token may be the password of HTTP Basic (RFC 7617; the user's name does not matter); an empty
 * password is nobody's: it answers a challenge for who has no credential. A client certificate and a token in one request are refused, since nobody could say whose right counts. On the
 * Unix socket a token counts in place of the peer's uid: whoever shows one means it. Plain HTTP knows no credentials.
 */
#pragma once

#include "daemon/http/router.h"
#include "lib/base/error.h"

struct exchange;

/**
 * route_authorize() - http_config.authorize: attach the principal, and ask whether it might do what the row is
 * (struct route.access is an enum action)
 * @err: ERR_UNAUTHENTICATED, ERR_FORBIDDEN, ERR_REQUEST_MALFORMED (two credentials), ERR_NO_MEMORY
 */
int route_authorize(void *context, struct exchange *x, const struct route *route,
                    struct error *err);

/** route_authenticate() - http_config.authenticate: look up what was shown, and ask again. @err: as above, ERR_STORE, ERR_TOO_MANY_REQUESTS */
int route_authenticate(void *context, struct exchange *x, const struct route *route,
                       struct error *err);
