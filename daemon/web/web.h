/*
 * The trust page (design.md §1): what a person opens to make a phone or PC trust this CA, and what that page fetches.
 *
 * All of it is public, made once, and lent to answers without a copy. It is in the clear, too, where anybody on the way can change it:
 * the page says so, and that only words that came another way tell.
 */
#pragma once

#include "daemon/authority/ca_info.h"
#include "daemon/http/exchange.h"

struct web; /* opaque; immutable */

/**
 * web_new() - make the pages
 * @ca:         must live as long
 * @https_port: of cad's own HTTPS, 0: none
 * @now:        seconds since the epoch: since when they are as they are
 */
int web_new(const struct ca_info *ca, unsigned https_port, int64_t now, struct web **ret,
            struct error *err);
struct web *web_free(struct web *web);
CAD_CLEANUP(struct web, web_free)

/** web_answer() - a handler for "/", the page for the visitor's system, and "/trust/{file}". ROUTE_QUICK */
void web_answer(const struct web *web, struct exchange *x);
