/*
 * The pages and the profile, made of the templates and of what is known about the CA. Pure: no socket, no clock.
 */
#pragma once

#include "daemon/web/visitor.h"
#include "lib/base/bytes.h"
#include "lib/base/error.h"
#include "lib/pki/cert.h"

/** struct page_facts - what the pages say; views */
struct page_facts {
        const char *name; /* of the CA, as its admin chose it: any text */
        const struct cert *root;
        const char *public_url;  /* http://HOST[:PORT] */
        const char *public_host; /* of it; an IPv6 address without brackets */
        unsigned https_port;     /* 0: cad has no HTTPS */
};

/** page_render() - append the page with the steps for @system first. @err: ERR_INTERNAL, ERR_CSR_MALFORMED: constraints that cannot be read */
int page_render(const struct page_facts *facts, enum visitor_system system, struct buffer *out,
                struct error *err);

/**
 * page_mobileconfig() - append an Apple configuration profile that installs the root, unsigned
 *
 * Its UUIDs are made of the root's fingerprint: the profile of the same root takes the place of itself, and is never there twice.
 */
int page_mobileconfig(const struct page_facts *facts, struct buffer *out, struct error *err);
