/*
 * What this host is called and reached by, as it knows itself. Nothing is asked over the network.
 *
 * A host may be called anything: whoever uses a name checks it.
 */
#pragma once

#include <stddef.h>

#define HOST_NAME_SIZE 256 /* bytes with NUL */

/** host_names_full() - the FQDN as this machine's own files know it, "" where there is none */
void host_names_full(char *out, size_t size);

/** host_names_short() - its first label; "" where that says nothing (localhost) */
void host_names_short(char *out, size_t size);

/**
 * host_names_each() - every name and address that this host is reached by
 *
 * FQDN, NAME.local, NAME, localhost, 127.0.0.1, ::1, then the addresses of its interfaces but for what is link-local, temporary or on its
 * way out.
 */
void host_names_each(void (*each)(const char *name, void *context), void *context);
