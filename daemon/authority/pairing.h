/*
 * Pairing codes: tokens for poor keyboards, 8 characters of base32 (lib/base/code.h), good once and for ten minutes.
 *
 * 40 bits can be guessed by who may guess without end, so few are good at a time (db/store.h), guesses have budgets of their own
 * (limiter.h), and what is kept of one is a slow hash: docs/decisions/0010-pairing-codes.md has the reckoning.
 */
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/code.h"
#include "lib/base/error.h"

#define PAIRING_LIFE_S INT64_C(600) /* at most, and by default */
#define PAIRING_HASH_SIZE 32        /* octets */
#define PAIRING_ROUNDS 20000        /* of PBKDF2: some milliseconds a guess, ours and a thief's */

/** pairing_draw() - a new code. @err: ERR_CRYPTO: there is no randomness */
int pairing_draw(char ret[CODE_TEXT_MAX], struct error *err);

/**
 * pairing_hash() - what is kept of a code: PBKDF2 with HMAC-SHA-256 (RFC 8018 §5.2)
 * @code: as code_parse() gives it
 * @salt: of the CA, the same for all codes, so that a guess costs one hash and not one for each code. Not secret
 * @err:  ERR_CRYPTO
 */
int pairing_hash(const char code[CODE_TEXT_MAX], struct bytes salt, uint8_t ret[PAIRING_HASH_SIZE],
                 struct error *err);
