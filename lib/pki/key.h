/*
 * Keys: public keys checked before anything is promised to them, private keys made, kept and used.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/bytes.h"
#include "lib/base/error.h"

enum key_type {
        KEY_ECDSA_P256,
        KEY_ECDSA_P384,
        KEY_ECDSA_P521,
        KEY_ED25519,
        KEY_RSA,
        KEY_TYPE_COUNT,
};
#define KEY_BIT(type) (1u << (type))

#define SPKI_MAX \
        2400 /* octets of a SubjectPublicKeyInfo; RSA-8192 with a large exponent is about 1100 */
#define RSA_BITS_MIN 2048u
#define RSA_BITS_MAX 8192u
#define SIGNATURE_MAX 1100 /* octets of a signature; RSA-8192 */
#define KEY_ID_SIZE 20     /* octets of a subject key identifier */
#define SHA256_SIZE 32

/** key_type_name() - "ECDSA P-256", "RSA", … */
const char *key_type_name(enum key_type type);

struct public_key; /* opaque */
struct public_key *public_key_free(struct public_key *key);
CAD_CLEANUP(struct public_key, public_key_free)

/**
 * public_key_from_spki() - read and check a SubjectPublicKeyInfo
 * @rsa_bits_max: RSA_BITS_MAX, or what a profile takes: an RSA key over it is refused at once, before its costly checks
 *
 * Refused (threats.md §4 rows 6–11), cheap checks first so that a hostile key costs under 50 ms (70 ms from 8000 bits of RSA): a type or curve that is not in
 * enum key_type, compressed or explicit EC points, points not on the curve or at infinity, Ed25519 with parameters, RSA outside
 * 2048–@rsa_bits_max bits or not a multiple of 8 bits, exponent even, below 65537 or above 2^256, modulus even, negative, with leading zeros, prime, with a
 * factor below 752, factors too close (Fermat, 100 rounds), ROCA (CVE-2017-15361).
 * @err: ERR_KEY_UNSUPPORTED, ERR_KEY_WEAK, ERR_KEY_INVALID; field "csr.key" is left to the caller
 */
int public_key_from_spki(struct bytes der, unsigned rsa_bits_max, struct public_key **ret,
                         struct error *err);

/** public_key_type(), public_key_bits() - e.g. KEY_RSA, 2048 */
enum key_type public_key_type(const struct public_key *key);
unsigned public_key_bits(const struct public_key *key);

/** public_key_modulus() - the modulus of an RSA key, without leading zeros, appended to @ret. @err: ERR_CRYPTO, ERR_NO_MEMORY */
int public_key_modulus(const struct public_key *key, struct buffer *ret, struct error *err);

/**
 * public_key_verify() - verify a signature over @data
 * @algorithm: AlgorithmIdentifier element (DER, header included) as it stands beside the signature; it must fit the key's type and be SHA-2 or EdDSA
 * @err: ERR_CSR_WEAK_SIGNATURE (SHA-1, MD5), ERR_CSR_SIGNATURE (does not verify, or the algorithm does not fit the key)
 */
int public_key_verify(const struct public_key *key, struct bytes algorithm, struct bytes data,
                      struct bytes signature, struct error *err);

/** spki_key_id() - subject key identifier of RFC 7093 §2 method 1: the left-most 160 bits of SHA-256 of the BIT STRING's content.
 *  Return: 0, or -1 where @spki cannot be read */
int spki_key_id(struct bytes der, uint8_t ret[KEY_ID_SIZE]);

/** sha256() - the digest of @data */
void sha256(struct bytes data, uint8_t ret[SHA256_SIZE]);

/* ---- private keys ---- */

struct private_key; /* opaque */
struct private_key *private_key_free(struct private_key *key);
CAD_CLEANUP(struct private_key, private_key_free)

/**
 * key_spec_parse() - "ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-3072", "rsa-4096" (also ecdsa-p521, rsa-2048 where @leaf)
 * @err: ERR_USAGE with the list of what is known
 */
int key_spec_parse(const char *text, bool leaf, enum key_type *ret_type, unsigned *ret_bits,
                   struct error *err);

/** private_key_generate() - @bits for RSA only. @err: ERR_CRYPTO */
int private_key_generate(enum key_type type, unsigned bits, struct private_key **ret,
                         struct error *err);

/**
 * private_key_from_pem() - read PKCS#8, encrypted PKCS#8, SEC 1 or PKCS#1, PEM or DER
 * @passphrase: {NULL, 0} where there is none
 * @err: ERR_KEY_PASSPHRASE where it is encrypted and the passphrase is missing or wrong, ERR_KEY_INVALID, ERR_KEY_UNSUPPORTED
 */
int private_key_from_pem(struct bytes text, struct bytes passphrase, struct private_key **ret,
                         struct error *err);

/**
 * private_key_to_pem() - PKCS#8 PEM; with a passphrase PBES2 of PBKDF2-HMAC-SHA-256 with 600 000 rounds and AES-256-CBC (RFC 8018)
 * @ret: appended; wants CAD_AUTO(buffer_wipe)
 */
int private_key_to_pem(const struct private_key *key, struct bytes passphrase, struct buffer *ret,
                       struct error *err);

enum key_type private_key_type(const struct private_key *key);
unsigned private_key_bits(const struct private_key *key);

/** private_key_spki() - DER of its SubjectPublicKeyInfo, appended to @ret */
int private_key_spki(const struct private_key *key, struct buffer *ret, struct error *err);

/** key_signature_algorithm() - the same by type: what a certificate signed by such a key must say. Static. */
struct bytes key_signature_algorithm(enum key_type type);

/** private_key_algorithm() - the AlgorithmIdentifier (DER element) of what private_key_sign() makes: ECDSA with the hash of the curve's size,
 *  RSA PKCS#1 v1.5 with SHA-256, Ed25519. Static. */
struct bytes private_key_algorithm(const struct private_key *key);

/**
 * private_key_sign() - sign @data with that algorithm; usable from several threads at once
 * @signature: at least SIGNATURE_MAX octets
 */
int private_key_sign(const struct private_key *key, struct bytes data, uint8_t *signature,
                     size_t *ret_size, struct error *err);

/* ---- signing what is too long to be held whole ---- */

/** private_key_signs_digest() - whether a digest is enough; Ed25519 reads what it signs twice (RFC 8032 §5.1.6), so that it has to be whole */
bool private_key_signs_digest(const struct private_key *key);

struct key_stream; /* opaque; made by one thread and used by that alone */

/**
 * key_stream_new() - begin to sign octets that come in parts; the signature is the one that private_key_sign() makes of them
 * @key: one that signs a digest; it must outlive the stream
 * @err: ERR_CRYPTO, ERR_NO_MEMORY
 */
int key_stream_new(const struct private_key *key, struct key_stream **ret, struct error *err);
struct key_stream *key_stream_free(struct key_stream *stream);
CAD_CLEANUP(struct key_stream, key_stream_free)

/** key_stream_add() - the next part. @err: ERR_CRYPTO */
int key_stream_add(struct key_stream *stream, struct bytes part, struct error *err);

/** key_stream_sign() - the end; once. @signature: at least SIGNATURE_MAX octets */
int key_stream_sign(struct key_stream *stream, uint8_t *signature, size_t *ret_size,
                    struct error *err);
