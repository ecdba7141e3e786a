/*
 * PKCS#12 (RFC 7292): key and chain in one file with a password, for browsers, phones and Java.
 */
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/error.h"
#include "lib/pki/key.h"
#include "show.h"

/**
 * pkcs12_make() - put key, leaf and chain into one file
 * @key_pem:  PKCS#8 PEM, unencrypted
 * @chain:    the leaf first
 * @name:     what the importing program shows
 * @password: UTF-8 C string, not empty
 * @legacy:   3DES and SHA-1 in place of AES-256 and SHA-256, for programs that know nothing else
 * @ret:      DER, appended
 * @err:      ERR_CRYPTO
 */
int pkcs12_make(struct bytes key_pem, const struct certs *chain, const char *name,
                const char *password, bool legacy, struct buffer *ret, struct error *err);
