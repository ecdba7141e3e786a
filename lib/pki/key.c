/*
 * Public keys: read from a SubjectPublicKeyInfo that a peer sent, checked before anything is promised to them, and
 * used to verify.
 *
 * GnuTLS imports points that are not on their curve, RSA keys of any size and shape, and more key types than are
 * certified here, so nothing reaches it that was not looked at first. No key is ever made better: it is taken or refused.
 */
#include "key.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <stdlib.h>

#include "der.h"
#include "ed25519_check.h"
#include "oid.h"
#include "rsa_check.h"

#define KEYS_TAKEN "use ECDSA on P-256, P-384 or P-521, Ed25519, or RSA"

struct public_key {
        gnutls_pubkey_t handle;
        enum key_type type;
        unsigned bits;
};

#define SIGN_ECDSA "sign with ECDSA and SHA-256, with OpenSSL '-sha256'"

/* The ECDSA types alone have a curve. */
static const struct {
        const char *name;
        struct bytes curve;
        gnutls_ecc_curve_t gnutls_curve;
        unsigned bits;
        const char *advice;
} key_types[] = {
        [KEY_ECDSA_P256] = { "ECDSA P-256", OID_CURVE_P256, GNUTLS_ECC_CURVE_SECP256R1, 256,
                             SIGN_ECDSA },
        [KEY_ECDSA_P384] = { "ECDSA P-384", OID_CURVE_P384, GNUTLS_ECC_CURVE_SECP384R1, 384,
                             SIGN_ECDSA },
        [KEY_ECDSA_P521] = { "ECDSA P-521", OID_CURVE_P521, GNUTLS_ECC_CURVE_SECP521R1, 521,
                             SIGN_ECDSA },
        [KEY_ED25519] = { "Ed25519",
                          { NULL, 0 },
                          GNUTLS_ECC_CURVE_INVALID,
                          256,
                          "sign with Ed25519" },
        [KEY_RSA] = { "RSA",
                      { NULL, 0 },
                      GNUTLS_ECC_CURVE_INVALID,
                      0,
                      "sign with RSA PKCS#1 v1.5 and SHA-256, with OpenSSL '-sha256'" },
};
_Static_assert(ARRAY_SIZE(key_types) == KEY_TYPE_COUNT, "one row a type");

const char *key_type_name(enum key_type type) {
        return (unsigned) type < KEY_TYPE_COUNT ? key_types[type].name : "unknown";
}

struct public_key *public_key_free(struct public_key *key) {
        if (key) {
                gnutls_pubkey_deinit(key->handle);
                free(key);
        }
        return NULL;
}

/* ---- SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) ---- */

struct spki {
        struct bytes oid;
        struct bytes parameters; /* element, empty where there are none */
        struct bytes key;        /* content of the BIT STRING */
};

static int spki_read(struct bytes der, struct spki *ret) {
        struct der_reader outer = der_reader(der);
        struct der_reader body = der_enter(&outer, DER_SEQUENCE);
        struct der_reader algorithm = der_enter(&body, DER_SEQUENCE);

        *ret = (struct spki){ .oid = der_get(&algorithm, DER_OID) };
        if (der_more(&algorithm))
                ret->parameters = der_get_element(&algorithm, /* tag= */ 0);
        ret->key = der_get_bit_string(&body);
        return der_done(&outer) && der_done(&body) && der_done(&algorithm) ? 0 : -1;
}

static bool is_null(struct bytes element) {
        return bytes_equal(element, BYTES_LITERAL("\x05\x00"));
}

static int check_rsa(const struct spki *spki, unsigned rsa_bits_max, struct public_key *key,
                     struct error *err) {
        struct der_reader outer = der_reader(spki->key);
        struct der_reader body = der_enter(&outer, DER_SEQUENCE);
        struct bytes modulus = der_get(&body, DER_INTEGER), exponent = der_get(&body, DER_INTEGER);

        if (!der_done(&body) || !der_done(&outer))
                return error_set(err, ERR_KEY_INVALID,
                                 "the RSA key is not a SEQUENCE of modulus and exponent in DER");
        if (!is_null(spki->parameters))
                return error_set(err, ERR_KEY_INVALID,
                                 "the parameters of an RSA key must be NULL (RFC 3279 §2.3.1)");
        key->type = KEY_RSA;
        return rsa_check(modulus, exponent, rsa_bits_max, &key->bits, err);
}

static int check_ed25519(const struct spki *spki, unsigned rsa_bits_max, struct public_key *key,
                         struct error *err) {
        (void) rsa_bits_max;
        if (spki->parameters.size)
                return error_set(
                        err, ERR_KEY_INVALID,
                        "an Ed25519 key must have no parameters, not even NULL (RFC 8410 §3)");
        key->type = KEY_ED25519;
        key->bits = key_types[KEY_ED25519].bits;
        return ed25519_check(spki->key, err);
}

static int find_curve(struct bytes parameters, enum key_type *ret, struct error *err) {
        struct der_reader r = der_reader(parameters);
        struct bytes curve;
        char text[OID_MAX_TEXT];

        if (der_next_is(&r, DER_SEQUENCE))
                return error_set(
                        err, ERR_KEY_UNSUPPORTED,
                        "the EC key spells out its curve's parameters: name the curve instead (RFC 5480 §2.1.1), "
                        "with OpenSSL '-param_enc named_curve'");
        curve = der_get(&r, DER_OID);
        if (!der_done(&r))
                return error_set(err, ERR_KEY_INVALID,
                                 "the EC key does not name its curve: " KEYS_TAKEN);
        for (enum key_type type = 0; type < KEY_TYPE_COUNT; type++) {
                if (key_types[type].curve.size && bytes_equal(curve, key_types[type].curve)) {
                        *ret = type;
                        return 0;
                }
        }
        return error_set(err, ERR_KEY_UNSUPPORTED, "unsupported curve %s: " KEYS_TAKEN,
                         oid_text(curve, text, sizeof(text)));
}

static int check_ec(const struct spki *spki, unsigned rsa_bits_max, struct public_key *key,
                    struct error *err) {
        size_t octets;

        (void) rsa_bits_max;
        if (find_curve(spki->parameters, &key->type, err) < 0)
                return -1;
        key->bits = key_types[key->type].bits;
        octets = (key->bits + 7) / 8;
        if (spki->key.size == 0)
                return error_set(err, ERR_KEY_INVALID, "the EC key has no point");
        if (spki->key.data[0] == 0)
                return error_set(
                        err, ERR_KEY_INVALID,
                        "the EC point is the point at infinity, for which everybody can sign");
        if (spki->key.data[0] != 4)
                return error_set(
                        err, ERR_KEY_UNSUPPORTED,
                        "the EC point is %s (it starts with 0x%02x): send it uncompressed, with OpenSSL '-conv_form uncompressed'",
                        spki->key.data[0] == 2 || spki->key.data[0] == 3 ? "compressed"
                                                                         : "in an unknown form",
                        spki->key.data[0]);
        if (spki->key.size != 1 + 2 * octets)
                return error_set(err, ERR_KEY_INVALID, "a point of %s has %zu octets, not %zu",
                                 key_type_name(key->type), 1 + 2 * octets, spki->key.size);
        return 0;
}

static const struct {
        struct bytes oid;
        int (*check)(const struct spki *spki, unsigned rsa_bits_max, struct public_key *key,
                     struct error *err);
} algorithms[] = {
        { OID_EC_PUBLIC_KEY, check_ec },
        { OID_ED25519, check_ed25519 },
        { OID_RSA_ENCRYPTION, check_rsa },
};

static int check_spki(const struct spki *spki, unsigned rsa_bits_max, struct public_key *key,
                      struct error *err) {
        char text[OID_MAX_TEXT];

        for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
                if (bytes_equal(spki->oid, algorithms[i].oid))
                        return algorithms[i].check(spki, rsa_bits_max, key, err);
        return error_set(err, ERR_KEY_UNSUPPORTED, "unsupported key type %s: " KEYS_TAKEN,
                         oid_text(spki->oid, text, sizeof(text)));
}

static gnutls_datum_t datum_of(struct bytes bytes) {
        return (gnutls_datum_t){ (unsigned char *) bytes.data, (unsigned) bytes.size };
}

/* A point is handed over as it was read: going through ASN.1 once more would cost as much as a thirtieth of a signature check. */
static int import(struct public_key *key, const struct spki *spki, struct bytes der) {
        size_t octets = (key->bits + 7) / 8;
        gnutls_datum_t whole = datum_of(der), x, y;

        if (key_types[key->type].gnutls_curve == GNUTLS_ECC_CURVE_INVALID)
                return gnutls_pubkey_import(key->handle, &whole, GNUTLS_X509_FMT_DER);
        x = datum_of(BYTES(spki->key.data + 1, octets));
        y = datum_of(BYTES(spki->key.data + 1 + octets, octets));
        return gnutls_pubkey_import_ecc_raw(key->handle, key_types[key->type].gnutls_curve, &x, &y);
}

int public_key_from_spki(struct bytes der, unsigned rsa_bits_max, struct public_key **ret,
                         struct error *err) {
        CAD_AUTO(public_key_free) struct public_key *key = calloc(1, sizeof(*key));
        struct spki spki;
        int rc;

        if (!key)
                return error_no_memory(err);
        if (spki_read(der, &spki) < 0)
                return error_set(err, ERR_KEY_INVALID,
                                 "the public key is not a SubjectPublicKeyInfo in DER");
        if (check_spki(&spki, rsa_bits_max, key, err) < 0)
                return -1;
        rc = gnutls_pubkey_init(&key->handle);
        if (rc >= 0)
                rc = import(key, &spki, der);
        if (rc >= 0)
                rc = gnutls_pubkey_verify_params(key->handle);
        if (rc == GNUTLS_E_MEMORY_ERROR)
                return error_no_memory(err);
        if (rc < 0)
                return error_set(err, ERR_KEY_INVALID,
                                 "the key is no valid %s key%s (%s): make a new key",
                                 key_type_name(key->type),
                                 key_types[key->type].curve.size ? ", its point is not on the curve"
                                                                 : "",
                                 gnutls_strerror(rc));
        *ret = CAD_TAKE(key);
        return 0;
}

enum key_type public_key_type(const struct public_key *key) {
        return key->type;
}

unsigned public_key_bits(const struct public_key *key) {
        return key->bits;
}

int public_key_modulus(const struct public_key *key, struct buffer *ret, struct error *err) {
        gnutls_datum_t modulus = { NULL, 0 };

        if (gnutls_pubkey_export_rsa_raw2(key->handle, &modulus, NULL, GNUTLS_EXPORT_FLAG_NO_LZ) <
            0)
                return error_set(err, ERR_CRYPTO, "the modulus of the RSA key cannot be had");
        buffer_append(ret, BYTES(modulus.data, modulus.size));
        gnutls_free(modulus.data);
        return ret->failed ? error_no_memory(err) : 0;
}

/* ---- verification ---- */

#define ANY_ECDSA (KEY_BIT(KEY_ECDSA_P256) | KEY_BIT(KEY_ECDSA_P384) | KEY_BIT(KEY_ECDSA_P521))

#define OID_RSA_MD2 BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x02")
#define OID_DSA_SHA1 BYTES_LITERAL("\x2a\x86\x48\xce\x38\x04\x03")

/*
 * What a signature may be made with. ECDSA takes any of the hashes with any curve: `openssl req` signs with SHA-256
 * whatever the key. A row without an algorithm is one that is known to be weak. @null: parameters may be NULL
 * (RFC 4055 §5: for RSA NULL or none); for the others there are none (RFC 5758 §3.2, RFC 8410 §3).
 */
static const struct {
        struct bytes oid;
        gnutls_sign_algorithm_t algorithm;
        unsigned key_types;
        bool null;
} signatures[] = {
        { OID_ECDSA_SHA256, GNUTLS_SIGN_ECDSA_SHA256, ANY_ECDSA, false },
        { OID_ECDSA_SHA384, GNUTLS_SIGN_ECDSA_SHA384, ANY_ECDSA, false },
        { OID_ECDSA_SHA512, GNUTLS_SIGN_ECDSA_SHA512, ANY_ECDSA, false },
        { OID_ED25519, GNUTLS_SIGN_EDDSA_ED25519, KEY_BIT(KEY_ED25519), false },
        { OID_RSA_SHA256, GNUTLS_SIGN_RSA_SHA256, KEY_BIT(KEY_RSA), true },
        { OID_RSA_SHA384, GNUTLS_SIGN_RSA_SHA384, KEY_BIT(KEY_RSA), true },
        { OID_RSA_SHA512, GNUTLS_SIGN_RSA_SHA512, KEY_BIT(KEY_RSA), true },
        { OID_RSA_SHA1, GNUTLS_SIGN_UNKNOWN, 0, true },
        { OID_RSA_MD5, GNUTLS_SIGN_UNKNOWN, 0, true },
        { OID_RSA_MD2, GNUTLS_SIGN_UNKNOWN, 0, true },
        { OID_ECDSA_SHA1, GNUTLS_SIGN_UNKNOWN, 0, true },
        { OID_DSA_SHA1, GNUTLS_SIGN_UNKNOWN, 0, true },
};

static int find_signature(const struct public_key *key, struct bytes der,
                          gnutls_sign_algorithm_t *ret, struct error *err) {
        struct der_reader outer = der_reader(der);
        struct der_reader body = der_enter(&outer, DER_SEQUENCE);
        struct bytes oid = der_get(&body, DER_OID), parameters = BYTES_NONE;
        char text[OID_MAX_TEXT];

        if (der_more(&body))
                parameters = der_get_element(&body, /* tag= */ 0);
        if (!der_done(&body) || !der_done(&outer))
                return error_set(err, ERR_CSR_SIGNATURE,
                                 "the signature's algorithm is not an AlgorithmIdentifier in DER");
        (void) oid_text(oid, text, sizeof(text));
        for (size_t i = 0; i < ARRAY_SIZE(signatures); i++) {
                if (!bytes_equal(oid, signatures[i].oid))
                        continue;
                if (signatures[i].algorithm == GNUTLS_SIGN_UNKNOWN)
                        return error_set(err, ERR_CSR_WEAK_SIGNATURE,
                                         "signed with %s, which is weak: %s", text,
                                         key_types[key->type].advice);
                if (!(signatures[i].key_types & KEY_BIT(key->type)))
                        return error_set(err, ERR_CSR_SIGNATURE,
                                         "signed with %s, but the key is %s: %s", text,
                                         key_type_name(key->type), key_types[key->type].advice);
                if (parameters.size && !(signatures[i].null && is_null(parameters)))
                        return error_set(
                                err, ERR_CSR_SIGNATURE,
                                "the signature algorithm %s has parameters, which it must not have",
                                text);
                *ret = signatures[i].algorithm;
                return 0;
        }
        return error_set(err, ERR_CSR_SIGNATURE, "signed with %s, which is not supported: %s", text,
                         key_types[key->type].advice);
}

int public_key_verify(const struct public_key *key, struct bytes algorithm, struct bytes data,
                      struct bytes signature, struct error *err) {
        gnutls_datum_t message = { .data = (unsigned char *) data.data,
                                   .size = (unsigned) data.size };
        gnutls_datum_t value = { .data = (unsigned char *) signature.data,
                                 .size = (unsigned) signature.size };
        gnutls_sign_algorithm_t sign = GNUTLS_SIGN_UNKNOWN;
        int rc;

        if (find_signature(key, algorithm, &sign, err) < 0)
                return -1;
        if (signature.size == 0)
                return error_set(err, ERR_CSR_SIGNATURE,
                                 "proof of possession failed: there is no signature");
        rc = gnutls_pubkey_verify_data2(key->handle, sign, /* flags= */ 0, &message, &value);
        if (rc == GNUTLS_E_MEMORY_ERROR)
                return error_no_memory(err);
        if (rc == GNUTLS_E_INSUFFICIENT_SECURITY)
                return error_set(err, ERR_CSR_WEAK_SIGNATURE,
                                 "this system's GnuTLS settings do not allow %s signatures: %s",
                                 gnutls_sign_get_name(sign), key_types[key->type].advice);
        if (rc < 0)
                return error_set(
                        err, ERR_CSR_SIGNATURE,
                        "proof of possession failed: the signature was not made over these octets by this key (%s). "
                        "Was something changed after signing?",
                        gnutls_strerror(rc));
        return 0;
}

/* ---- digests ---- */

void sha256(struct bytes data, uint8_t ret[SHA256_SIZE]) {
        /* No caller can go on with an undefined digest, and no input makes this fail: a GnuTLS without SHA-256 is no GnuTLS. */
        if (gnutls_hash_fast(GNUTLS_DIG_SHA256, data.size ? data.data : (const uint8_t *) "",
                             data.size, ret) < 0)
                abort();
}

int spki_key_id(struct bytes der, uint8_t ret[KEY_ID_SIZE]) {
        uint8_t digest[SHA256_SIZE];
        struct spki spki;

        if (spki_read(der, &spki) < 0)
                return -1;
        sha256(spki.key, digest);
        memcpy(ret, digest, KEY_ID_SIZE);
        return 0;
}
