/*
 * Ed25519 public keys that are none (RFC 8032 §5.1.3).
 */
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/error.h"

#define ED25519_KEY_SIZE 32u

/**
 * ed25519_check() - whether 32 octets are a point of the curve, in the one encoding that it has, and not of small order
 * @err: ERR_KEY_INVALID
 *
 * With a point of small order anybody makes signatures that verify, without any private key. GnuTLS's import does not look.
 */
int ed25519_check(struct bytes key, struct error *err);
