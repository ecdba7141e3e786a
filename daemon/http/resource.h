/*
 * Resource: bytes that are there anyhow, with validators, so that asking again is cheap (RFC 9110 §8.8, §13).
 */
#pragma once

#include <stdint.h>

#include "exchange.h"

/** struct resource - views; what is lent lives until @release of resource_reply(), the rest for its call */
struct resource {
        const char *type;          /* static */
        const char *etag;          /* with its quotation marks */
        const char *last_modified; /* as it is sent: IMF-fixdate (RFC 9110 §5.6.7) */
        int64_t modified_at;       /* the same, seconds since the epoch */
        const char *cache_control;
        struct bytes body; /* lent to the answer */
};

/**
 * resource_reply() - 200 with the body, or 304 where the caller has it already
 * @release: may be NULL; called with @context in any case, once, as exchange_reply_lent() says
 *
 * If-None-Match goes before If-Modified-Since, of which IMF-fixdate alone is read (RFC 9110 §13.2.2).
 */
void resource_reply(struct exchange *x, const struct resource *r, void (*release)(void *context),
                    void *context);
