/*
 * Lists of keys that everybody can compute, in the form of Debian's openssl-blacklist (CVE-2008-0166; threats.md §4 row 9).
 */
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/error.h"
#include "lib/pki/key.h"

#define WEAK_KEYS_FOLDER "weak-keys.d" /* below the configuration folder */
#define WEAK_KEYS_FILES_MAX 32
#define WEAK_KEYS_FILE_MAX ((size_t) 32 << 20) /* bytes; Debian's longest has 8 million */

struct weak_keys; /* opaque, immutable once made */

/**
 * weak_keys_load() - read every file of WEAK_KEYS_FOLDER
 * @dir_fd: the configuration folder
 * @ret:    NULL where there is no such folder: then nothing is refused
 * @err:    ERR_CONFIG with file and line, ERR_FILE_UNSAFE, ERR_IO, ERR_NO_MEMORY
 *
 * A line is the end of a SHA-1, 20 hexadecimal digits of 40, over the text "Modulus=HEX\n" that `openssl rsa -modulus` prints;
 * empty lines and those that begin with '#' are left out. Ten octets of memory a key.
 */
int weak_keys_load(int dir_fd, struct weak_keys **ret, struct error *err);
struct weak_keys *weak_keys_free(struct weak_keys *list);
CAD_CLEANUP(struct weak_keys, weak_keys_free)

/** weak_keys_count() - how many are listed; @list may be NULL */
size_t weak_keys_count(const struct weak_keys *list);

/** weak_keys_check() - whether a key is on none of them; @list may be NULL. Other keys than RSA are on none.
 *  @err: ERR_KEY_WEAK, ERR_CRYPTO, ERR_NO_MEMORY */
int weak_keys_check(const struct weak_keys *list, const struct public_key *key, struct error *err);
