/*
 * TLS for a machine whose clock cannot be right: a board that wakes up in 1970 has to get at its CA all the same.
 *
 * A clock before the day that cactl was built, or before the pinned root began, is wrong for certain; with any other, the times of
 * certificates are judged by it as everywhere, by libcurl. For such a clock, and with a pinned root alone:
 *
 *   1. A connection that proves nothing yet brings the server's chain (from its handshake) and its Date.
 *   2. The chain has to lead from a certificate for TLS servers to the pinned root, each of it valid at that Date, and the Date must not
 *      be before cactl was built either: an hour that the other end chose is held against all that is known for certain.
 *   3. From then on each connection has to be with the key of that certificate (CURLOPT_PINNEDPUBLICKEY) and for the name in the URL
 *      (CURLOPT_SSL_VERIFYHOST): the handshake proves the key, step 2 whose it is. The Date is the run's "now".
 *
 * What is left: who has the key of an old certificate of this very CA's server, for its very name, may tell an hour at which that was
 * valid. A CRL would not help, for it is as old as the hour says. But he cannot make a certificate for the new key of the device:
 * enrolment holds the told time against the one that comes back from the CA, and keeps nothing where they do not agree.
 */
#pragma once

#include "show.h"

#define TRUST_CLOCK_PIN_MAX 64 /* bytes with NUL: "sha256//" and base64 of 32 octets */

/** trust_clock_needed() - whether @now (seconds since the epoch) is certainly wrong. @root: DER */
bool trust_clock_needed(int64_t now, struct bytes root);

/**
 * trust_clock_verify() - steps 2 and 3
 * @chain:   as the server showed it, its own certificate first
 * @root:    DER of the pinned one
 * @told:    its Date, seconds since the epoch; -1: it told none
 * @ret_pin: TRUST_CLOCK_PIN_MAX bytes, for CURLOPT_PINNEDPUBLICKEY
 * @err:     ERR_CLOCK, ERR_SIGNER_WRONG
 */
int trust_clock_verify(const struct certs *chain, struct bytes root, int64_t told, char *ret_pin,
                       struct error *err);
