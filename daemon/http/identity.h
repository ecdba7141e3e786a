/*
 * TLS identity: the certificate chain and the key that a TLS listener shows. Immutable, and shared by all handshakes that
 * began while it was the current one.
 */
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/error.h"

#define TLS_CHAIN_MAX 4 /* certificates of a chain */

struct tls_identity; /* opaque */

/**
 * tls_identity_new() - read a chain and its key
 * @chain: PEM, the leaf first, at most TLS_CHAIN_MAX certificates
 * @key:   PEM, PKCS#8 without a passphrase; not kept
 * @err:   ERR_KEY_INVALID where one cannot be read or they do not belong together; ERR_NO_MEMORY
 */
int tls_identity_new(struct bytes chain, struct bytes key, struct tls_identity **ret,
                     struct error *err);

/** tls_identity_ref() - share it; copes with NULL. Return: @identity */
struct tls_identity *tls_identity_ref(struct tls_identity *identity);

/** tls_identity_unref() - give it back; the last who does wipes the key. Copes with NULL. Return: NULL */
struct tls_identity *tls_identity_unref(struct tls_identity *identity);
CAD_CLEANUP(struct tls_identity, tls_identity_unref)
