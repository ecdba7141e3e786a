/*
 * What the host says of itself, for the defaults of a new CA.
 */
#pragma once

#include "lib/pki/constraints.h"

/** host_ca_name() - "<host name> CA", or "cad CA" where the host's name is of no use */
void host_ca_name(char *out, size_t size);

/** host_permit_own_domain() - permit the domain of the host's FQDN where that is a private one (corp, fritz.box, …) */
int host_permit_own_domain(struct name_constraints *constraints, struct error *err);

/**
 * host_public_url() - "http://NAME[:PORT]" that certificates point to
 *
 * The FQDN where @constraints permit it (NULL: always), else HOSTNAME.local, else the first private address, else localhost.
 * @port: 80 is left out
 */
int host_public_url(const struct name_constraints *constraints, unsigned port, char *out,
                    size_t size, struct error *err);

/** host_check_public_url() - a URL given by the admin: http, host, port, no path. @err: ERR_USAGE */
int host_check_public_url(const char *url, char *out, size_t size, struct error *err);
