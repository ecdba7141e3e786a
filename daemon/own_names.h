/*
 * Own names: what this host is called, and which of it the CA may certify. For its own certificate and the Host allow-list.
 */
#pragma once

#include <stdbool.h>

#include "lib/pki/constraints.h"

struct own_names; /* opaque */

/**
 * own_names_new() - look the host's names up
 * @public_url:  of the CA; its host is one of the names
 * @constraints: of the issuer; kept, and must live as long
 * @more:        names that the configuration adds, separated by white space or commas; NULL: none
 */
int own_names_new(const char *public_url, const struct name_constraints *constraints,
                  const char *more, struct own_names **ret, struct error *err);
struct own_names *own_names_free(struct own_names *names);
CAD_CLEANUP(struct own_names, own_names_free)

/** own_names_set_more() - other names of the configuration; own_names_refresh() takes them in. Of one thread alone */
int own_names_set_more(struct own_names *names, const char *more, struct error *err);

/** own_names_refresh() - look again. Of one thread alone */
int own_names_refresh(struct own_names *names, struct error *err);

/** own_names_permitted() - what a certificate may have; lent until the next refresh. Of the thread that refreshes alone */
const struct san_list *own_names_permitted(const struct own_names *names);

/** own_names_refused() - append the names that the constraints forbid, separated by commas. From any thread */
void own_names_refused(struct own_names *names, struct buffer *out);

/** own_names_allow() - whether @host (lower case) is one of them, permitted or not. From any thread */
bool own_names_allow(struct own_names *names, const char *host);

/** own_names_check() - whether @text can be names of the configuration: DNS names and addresses. @err: ERR_CONFIG */
int own_names_check(const char *text, struct error *err);
