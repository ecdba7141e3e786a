/*
 * RSA public keys that must not be certified, found with arithmetic alone (threats.md §4 rows 6–8).
 */
#pragma once

#include "lib/pki/key.h"

/**
 * rsa_check() - whether a modulus and an exponent make a key that others cannot break at once
 * @modulus, @exponent: content octets of their INTEGERs
 * @bits_max: RSA_BITS_MAX or less: a larger modulus is refused before anything is computed with it
 * @ret_bits: size of the modulus; set on success only
 * @err: ERR_KEY_UNSUPPORTED (size), ERR_KEY_WEAK (too short, a small exponent, a small factor, factors too close, ROCA),
 *       ERR_KEY_INVALID (no RSA key at all)
 *
 * What costs nothing comes first; what it refuses takes less than 0.1 ms. Nearly all the time of the others is the primality
 * test of the modulus: 2 ms for 2048 bits, 14 ms for 4096, 70 ms for 8192, good key or not.
 */
int rsa_check(struct bytes modulus, struct bytes exponent, unsigned bits_max, unsigned *ret_bits,
              struct error *err);
