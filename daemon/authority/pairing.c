/*
 * Pairing codes: see pairing.h. It keeps nothing and knows no store.
 */
#include "daemon/authority/pairing.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <sys/random.h>

int pairing_draw(char ret[CODE_TEXT_MAX], struct error *err) {
        uint64_t bits;

        if (getrandom(&bits, sizeof(bits), 0) != (ssize_t) sizeof(bits))
                return error_set(err, ERR_CRYPTO, "there is no randomness for a pairing code");
        (void) code_of_bits(bits, ret);
        return 0;
}

static gnutls_datum_t datum(struct bytes bytes) {
        return (gnutls_datum_t){ (unsigned char *) (uintptr_t) bytes.data, (unsigned) bytes.size };
}

int pairing_hash(const char code[CODE_TEXT_MAX], struct bytes salt, uint8_t ret[PAIRING_HASH_SIZE],
                 struct error *err) {
        const gnutls_datum_t key = datum(bytes_of(code)), salted = datum(salt);
        int rc = gnutls_pbkdf2(GNUTLS_MAC_SHA256, &key, &salted, PAIRING_ROUNDS, ret,
                               PAIRING_HASH_SIZE);

        if (rc < 0)
                return error_set(err, ERR_CRYPTO, "a pairing code cannot be hashed: %s",
                                 gnutls_strerror(rc));
        return 0;
}
