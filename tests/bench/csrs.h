/* Making the pool of CSRs that all competitors get. */
#pragma once

#include <stddef.h>

/**
 * csrs_make() - write @count PEM CSRs to @path, replacing it; their private keys are forgotten
 *
 * Each has its own P-256 key, CN=hNNNNNN.lan, two DNS names and a private IPv4 address, signed with
 * SHA-256. Ends the program when anything fails.
 */
void csrs_make(size_t count, const char *path);
