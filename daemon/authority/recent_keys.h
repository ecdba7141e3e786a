/*
 * Keys that were certified lately, and for which names: to warn when one key serves several (threats.md §4 row 13).
 *
 * A hint, not a rule: it remembers the newest few thousand and nothing across a restart. (The exact question costs a probe an index
 * bucket, a millisecond at a million certificates: too dear for each issuance.)
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/pki/key.h"

struct recent_keys; /* opaque; any thread */

struct recent_keys *recent_keys_new(void);
struct recent_keys *recent_keys_free(struct recent_keys *keys);
CAD_CLEANUP(struct recent_keys, recent_keys_free)

/**
 * recent_keys_note() - remember a key
 * @spki:  SHA-256 of the SubjectPublicKeyInfo
 * @names: a hash of the names
 * Return: whether it was there with other names
 */
bool recent_keys_note(struct recent_keys *keys, const uint8_t spki[SHA256_SIZE], uint64_t names);
