/*
 * The route table: every call that cad answers, who may make it, and where.
 */
#pragma once

#include "daemon/authority/principal.h"
#include "daemon/http/router.h"

extern const struct route cad_routes[];
extern const size_t cad_routes_count;

/** route_authorize() - http_config.authorize: attach the principal, and hold its role against the row's (struct route.access is an enum role) */
int route_authorize(void *context, struct exchange *x, const struct route *route,
                    struct error *err);
