/*
 * The root that everything else rests on: it is pinned by something that did not come over the network, or by a person, and
 * never by itself.
 */
#pragma once

#include "client/cactl.h"
#include "lib/base/bytes.h"

/** struct root_pin - what is known of the root beforehand; at most one of the two */
struct root_pin {
        const char *fingerprint; /* hex or words, as it was given; NULL: none */
        struct bytes root;       /* DER: itself; empty: not known */
};

/**
 * trust_root() - the root of the CA at @url
 *
 * It is fetched over a connection that proves nothing, compared with @pin, and where that is empty shown and asked for on the terminal.
 * Without a terminal that is a refusal. Nothing else is sent to it before.
 * @ret_der: appended
 * Return: DONE; REFUSED after saying why; UNREACHABLE
 */
enum result trust_root(const char *url, const struct root_pin *pin, struct buffer *ret_der);
