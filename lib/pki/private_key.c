/*
 * Private keys: made, read from and written to PKCS#8, and used to sign.
 *
 * A private key leaves this file in one way alone, private_key_to_pem(), and every copy of its octets made here is
 * wiped. Nothing here opens a file or knows where a passphrase comes from.
 */
#include "key.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <stdlib.h>

#include "der.h"
#include "oid.h"
#include "pem.h"
#include "rsa_check.h"

#define PASSPHRASE_MAX 1024u
#define PBKDF2_ROUNDS \
        600000u /* OWASP's number of 2023 for HMAC-SHA-256; 70 ms with SHA instructions, half a second without */
#define SALT_SIZE 16u
#define AES_BLOCK 16u
#define EC_OCTETS_MAX 66u /* of a private value: P-521 */
#define PKCS8_EC_MAX 512u /* octets: P-521 has 241 */
#define AES_256_KEY 32u

struct private_key {
        gnutls_x509_privkey_t x509; /* for writing it out */
        gnutls_privkey_t handle;    /* for signing; keeps its own copy */
        gnutls_datum_t spki;
        enum key_type type;
        unsigned bits;
};

static void datum_wipe(gnutls_datum_t *datum) {
        if (datum->data)
                gnutls_memset(datum->data, 0, datum->size);
        gnutls_free(datum->data);
        *datum = (gnutls_datum_t){ NULL, 0 };
}
CAD_CLEANUP_DONE(gnutls_datum_t, datum_wipe)

static gnutls_pubkey_t pubkey_free(gnutls_pubkey_t key) {
        gnutls_pubkey_deinit(key);
        return NULL;
}
CAD_CLEANUP(struct gnutls_pubkey_st, pubkey_free)

static int crypto_error(struct error *err, int rc, const char *what) {
        if (rc == GNUTLS_E_MEMORY_ERROR)
                return error_no_memory(err);
        return error_set(err, ERR_CRYPTO, "cannot %s: %s", what, gnutls_strerror(rc));
}

struct private_key *private_key_free(struct private_key *key) {
        if (key) {
                gnutls_privkey_deinit(key->handle);
                gnutls_x509_privkey_deinit(key->x509);
                gnutls_free(key->spki.data);
                free(key);
        }
        return NULL;
}

/* What each type signs with. RSA's parameters are NULL (RFC 4055 §5), the others have none (RFC 5758 §3.2, RFC 8410 §3). */
static const struct {
        struct bytes algorithm_identifier;
        gnutls_sign_algorithm_t algorithm;
        gnutls_pk_algorithm_t pk;
        gnutls_ecc_curve_t curve;
        unsigned flags;
} signers[] = {
        [KEY_ECDSA_P256] = { BYTES_LITERAL("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"),
                             GNUTLS_SIGN_ECDSA_SHA256, GNUTLS_PK_ECDSA, GNUTLS_ECC_CURVE_SECP256R1,
                             GNUTLS_PRIVKEY_FLAG_REPRODUCIBLE },
        [KEY_ECDSA_P384] = { BYTES_LITERAL("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03"),
                             GNUTLS_SIGN_ECDSA_SHA384, GNUTLS_PK_ECDSA, GNUTLS_ECC_CURVE_SECP384R1,
                             GNUTLS_PRIVKEY_FLAG_REPRODUCIBLE },
        [KEY_ECDSA_P521] = { BYTES_LITERAL("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04"),
                             GNUTLS_SIGN_ECDSA_SHA512, GNUTLS_PK_ECDSA, GNUTLS_ECC_CURVE_SECP521R1,
                             GNUTLS_PRIVKEY_FLAG_REPRODUCIBLE },
        [KEY_ED25519] = { BYTES_LITERAL("\x30\x05\x06\x03\x2b\x65\x70"), GNUTLS_SIGN_EDDSA_ED25519,
                          GNUTLS_PK_EDDSA_ED25519, GNUTLS_ECC_CURVE_ED25519, 0 },
        [KEY_RSA] = { BYTES_LITERAL("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00"),
                      GNUTLS_SIGN_RSA_SHA256, GNUTLS_PK_RSA, GNUTLS_ECC_CURVE_INVALID, 0 },
};
_Static_assert(ARRAY_SIZE(signers) == KEY_TYPE_COUNT, "one row a type");

/* ---- making ---- */

int key_spec_parse(const char *text, bool leaf, enum key_type *ret_type, unsigned *ret_bits,
                   struct error *err) {
        static const struct {
                const char *text;
                enum key_type type;
                unsigned bits;
                bool leaf_only; /* P-521 is not in every browser, RSA-2048 too short for the years of a CA */
        } specs[] = {
                { "ecdsa-p256", KEY_ECDSA_P256, 256, false },
                { "ecdsa-p384", KEY_ECDSA_P384, 384, false },
                { "ecdsa-p521", KEY_ECDSA_P521, 521, true },
                { "ed25519", KEY_ED25519, 256, false },
                { "rsa-2048", KEY_RSA, 2048, true },
                { "rsa-3072", KEY_RSA, 3072, false },
                { "rsa-4096", KEY_RSA, 4096, false },
        };

        for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
                if (strcmp(text, specs[i].text) != 0 || (specs[i].leaf_only && !leaf))
                        continue;
                *ret_type = specs[i].type;
                *ret_bits = specs[i].bits;
                return 0;
        }
        return error_set(
                err, ERR_USAGE,
                "'%s' is no kind of key%s: use ecdsa-p256, ecdsa-p384,%s ed25519,%s rsa-3072 or rsa-4096",
                text, leaf ? "" : " for a CA", leaf ? " ecdsa-p521," : "",
                leaf ? " rsa-2048," : "");
}

static struct private_key *key_new(struct error *err) {
        CAD_AUTO(private_key_free) struct private_key *key = calloc(1, sizeof(*key));
        int rc;

        if (!key) {
                (void) error_no_memory(err);
                return NULL;
        }
        rc = gnutls_x509_privkey_init(&key->x509);
        if (rc >= 0)
                rc = gnutls_privkey_init(&key->handle);
        if (rc < 0) {
                (void) crypto_error(err, rc, "prepare a private key");
                return NULL;
        }
        return CAD_TAKE(key);
}

/* From @x509 to everything else; type and size are those of the public key, checked as any other. */
static int key_complete(struct private_key *key, struct error *err) {
        CAD_AUTO(public_key_free) struct public_key *checked = NULL;
        CAD_AUTO(pubkey_free) gnutls_pubkey_t public = NULL;
        int rc;

        rc = gnutls_privkey_import_x509(key->handle, key->x509, GNUTLS_PRIVKEY_IMPORT_COPY);
        if (rc >= 0)
                rc = gnutls_pubkey_init(&public);
        if (rc >= 0)
                rc = gnutls_pubkey_import_privkey(public, key->handle, /* usage= */ 0,
                                                  /* flags= */ 0);
        if (rc >= 0)
                rc = gnutls_pubkey_export2(public, GNUTLS_X509_FMT_DER, &key->spki);
        if (rc < 0)
                return crypto_error(err, rc, "derive the public key of a private key");
        if (public_key_from_spki(BYTES(key->spki.data, key->spki.size), RSA_BITS_MAX, &checked,
                                 err) < 0)
                return -1;
        key->type = public_key_type(checked);
        key->bits = public_key_bits(checked);
        return 0;
}

int private_key_generate(enum key_type type, unsigned bits, struct private_key **ret,
                         struct error *err) {
        CAD_AUTO(private_key_free) struct private_key *key = NULL;
        unsigned size = type == KEY_RSA ? bits : GNUTLS_CURVE_TO_BITS(signers[type].curve);
        int rc;

        if (type == KEY_RSA && (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX || bits % 8))
                return error_set(err, ERR_CRYPTO, "an RSA key of %u bits is not made: use %u to %u",
                                 bits, RSA_BITS_MIN, RSA_BITS_MAX);
        key = key_new(err);
        if (!key)
                return -1;
        rc = gnutls_x509_privkey_generate(key->x509, signers[type].pk, size, /* flags= */ 0);
        if (rc < 0)
                return crypto_error(err, rc, "make a private key");
        if (key_complete(key, err) < 0)
                return -1;
        *ret = CAD_TAKE(key);
        return 0;
}

/* ---- reading ---- */

enum container {
        CONTAINER_UNKNOWN,
        CONTAINER_PKCS8,
        CONTAINER_PKCS8_ENCRYPTED,
        CONTAINER_TRADITIONAL, /* SEC 1 or PKCS#1 */
};

static const struct {
        const char *label;
        enum container container;
} key_labels[] = {
        { "PRIVATE KEY", CONTAINER_PKCS8 },
        { "ENCRYPTED PRIVATE KEY", CONTAINER_PKCS8_ENCRYPTED },
        { "EC PRIVATE KEY", CONTAINER_TRADITIONAL },
        { "RSA PRIVATE KEY", CONTAINER_TRADITIONAL },
};

/* By its first elements: all of the kinds are a SEQUENCE, and none starts as another does. */
static enum container container_of_der(struct bytes der) {
        struct der_reader outer = der_reader(der);
        struct der_reader body = der_enter(&outer, DER_SEQUENCE);
        uint8_t first = 0, second = 0;

        (void) der_get_any(&body, &first);
        (void) der_get_any(&body, &second);
        if (!der_done(&outer) || body.failed)
                return CONTAINER_UNKNOWN;
        if (first == DER_SEQUENCE && second == DER_OCTET_STRING && der_done(&body))
                return CONTAINER_PKCS8_ENCRYPTED; /* RFC 5958 §3 */
        if (first == DER_INTEGER && second == DER_SEQUENCE)
                return CONTAINER_PKCS8; /* RFC 5958 §2 */
        if (first == DER_INTEGER && (second == DER_OCTET_STRING || second == DER_INTEGER))
                return CONTAINER_TRADITIONAL; /* RFC 5915 §3; RFC 8017 §A.1.2 */
        return CONTAINER_UNKNOWN;
}

/* The one private key in @text, as DER; other blocks (EC PARAMETERS, certificates) are passed over. */
static int find_key(struct bytes text, struct buffer *ret_der, enum container *ret,
                    struct error *err) {
        *ret = container_of_der(text);
        if (*ret != CONTAINER_UNKNOWN) {
                buffer_append(ret_der, text);
                return ret_der->failed ? error_no_memory(err) : 0;
        }
        for (;;) {
                CAD_AUTO(buffer_wipe) struct buffer der = { 0 };
                char label[PEM_LABEL_MAX] = "";
                int found = pem_next(&text, label, &der, err);

                if (found < 0) {
                        if (err && err->code == ERR_BODY_MALFORMED)
                                err->code = ERR_KEY_INVALID;
                        return -1;
                }
                if (found == 0)
                        break;
                for (size_t i = 0; i < ARRAY_SIZE(key_labels); i++) {
                        if (strcmp(label, key_labels[i].label) != 0)
                                continue;
                        if (*ret != CONTAINER_UNKNOWN)
                                return error_set(err, ERR_KEY_INVALID,
                                                 "there are two private keys: leave one");
                        *ret = key_labels[i].container;
                        buffer_append(ret_der, buffer_bytes(&der));
                        if (ret_der->failed)
                                return error_no_memory(err);
                        if (container_of_der(buffer_bytes(ret_der)) != *ret)
                                return error_set(
                                        err, ERR_KEY_INVALID,
                                        "the PEM block '%s' does not hold what its label says",
                                        label);
                }
        }
        if (*ret == CONTAINER_UNKNOWN)
                return error_set(
                        err, ERR_KEY_INVALID,
                        "there is no private key (PKCS#8, SEC 1 or PKCS#1, in PEM or DER)");
        return 0;
}

static int passphrase_text(struct bytes passphrase, char *ret, struct error *err) {
        if (passphrase.size == 0)
                return error_set(err, ERR_KEY_PASSPHRASE,
                                 "the key is encrypted: give its passphrase");
        if (passphrase.size > PASSPHRASE_MAX)
                return error_set(err, ERR_KEY_PASSPHRASE,
                                 "the passphrase has %zu octets: at most %u are taken",
                                 passphrase.size, PASSPHRASE_MAX);
        if (memchr(passphrase.data, '\0', passphrase.size))
                return error_set(err, ERR_KEY_PASSPHRASE, "the passphrase contains a NUL octet");
        memcpy(ret, passphrase.data, passphrase.size);
        ret[passphrase.size] = '\0';
        return 0;
}

static int import_encrypted(struct private_key *key, const gnutls_datum_t *der,
                            struct bytes passphrase, struct error *err) {
        char text[PASSPHRASE_MAX + 1];
        int rc;

        if (passphrase_text(passphrase, text, err) < 0)
                return -1;
        rc = gnutls_x509_privkey_import_pkcs8(key->x509, der, GNUTLS_X509_FMT_DER, text,
                                              /* flags= */ 0);
        explicit_bzero(text, sizeof(text));
        switch (rc) {
        case GNUTLS_E_SUCCESS:
                return 0;
        case GNUTLS_E_MEMORY_ERROR:
                return error_no_memory(err);
        case GNUTLS_E_UNKNOWN_CIPHER_TYPE:
        case GNUTLS_E_UNKNOWN_HASH_ALGORITHM:
        case GNUTLS_E_UNKNOWN_PKCS_CONTENT_TYPE:
        case GNUTLS_E_UNSUPPORTED_SIGNATURE_ALGORITHM:
                return error_set(err, ERR_KEY_UNSUPPORTED,
                                 "the key is encrypted in a way that is not known here (%s): "
                                 "convert it with 'openssl pkcs8 -topk8 -v2 aes-256-cbc'",
                                 gnutls_strerror(rc));
        default:
                /* One wrong passphrase in 256 leaves valid padding behind: then it is the key inside that cannot be read. */
                return error_set(err, ERR_KEY_PASSPHRASE,
                                 "the passphrase does not open the key (%s)", gnutls_strerror(rc));
        }
}

static int import_key(struct private_key *key, enum container container, struct bytes der,
                      struct bytes passphrase, struct error *err) {
        gnutls_datum_t datum = { .data = (unsigned char *) der.data, .size = (unsigned) der.size };
        int rc;

        if (container == CONTAINER_PKCS8_ENCRYPTED)
                return import_encrypted(key, &datum, passphrase, err);
        if (container == CONTAINER_PKCS8)
                rc = gnutls_x509_privkey_import_pkcs8(key->x509, &datum, GNUTLS_X509_FMT_DER,
                                                      /* password= */ NULL, GNUTLS_PKCS_PLAIN);
        else
                rc = gnutls_x509_privkey_import(key->x509, &datum, GNUTLS_X509_FMT_DER);
        if (rc == GNUTLS_E_MEMORY_ERROR)
                return error_no_memory(err);
        if (rc == GNUTLS_E_UNKNOWN_PK_ALGORITHM || rc == GNUTLS_E_UNSUPPORTED_SIGNATURE_ALGORITHM ||
            rc == GNUTLS_E_ECC_UNSUPPORTED_CURVE)
                return error_set(err, ERR_KEY_UNSUPPORTED,
                                 "the private key is of an unsupported type or curve (%s)",
                                 gnutls_strerror(rc));
        if (rc < 0)
                return error_set(
                        err, ERR_KEY_INVALID,
                        "the private key cannot be read (%s): it is damaged, or not of ECDSA on P-256, P-384 or P-521, Ed25519 or RSA",
                        gnutls_strerror(rc));
        return 0;
}

int private_key_from_pem(struct bytes text, struct bytes passphrase, struct private_key **ret,
                         struct error *err) {
        CAD_AUTO(private_key_free) struct private_key *key = NULL;
        CAD_AUTO(buffer_wipe) struct buffer der = { 0 };
        enum container container;
        int rc;

        if (find_key(text, &der, &container, err) < 0)
                return -1;
        key = key_new(err);
        if (!key || import_key(key, container, buffer_bytes(&der), passphrase, err) < 0 ||
            key_complete(key, err) < 0)
                return -1;
        rc = gnutls_privkey_verify_params(key->handle);
        if (rc < 0)
                return error_set(err, ERR_KEY_INVALID,
                                 "the parts of the private key do not fit together: %s",
                                 gnutls_strerror(rc));
        *ret = CAD_TAKE(key);
        return 0;
}

/* ---- writing: PBES2 (RFC 8018 §6.2) ---- */

#define OID_PBES2 BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d")
#define OID_PBKDF2 BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c")
#define OID_HMAC_SHA256 BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x02\x09")
#define OID_AES_256_CBC BYTES_LITERAL("\x60\x86\x48\x01\x65\x03\x04\x01\x2a")

struct pbes2 {
        uint8_t salt[SALT_SIZE];
        uint8_t iv[AES_BLOCK];
};

static void put_pbes2(struct der_writer *w, const struct pbes2 *scheme) {
        size_t start = der_mark(w), kdf;

        /* encryptionScheme */
        der_put(w, DER_OCTET_STRING, BYTES(scheme->iv, sizeof(scheme->iv)));
        der_put(w, DER_OID, OID_AES_256_CBC);
        der_wrap(w, DER_SEQUENCE, start);

        /* keyDerivationFunc: PBKDF2 { salt, iterationCount, prf } */
        kdf = der_mark(w);
        der_put(w, DER_NULL, BYTES_NONE);
        der_put(w, DER_OID, OID_HMAC_SHA256);
        der_wrap(w, DER_SEQUENCE, kdf);
        der_put_uint(w, PBKDF2_ROUNDS);
        der_put(w, DER_OCTET_STRING, BYTES(scheme->salt, sizeof(scheme->salt)));
        der_wrap(w, DER_SEQUENCE, kdf);
        der_put(w, DER_OID, OID_PBKDF2);
        der_wrap(w, DER_SEQUENCE, kdf);

        der_wrap(w, DER_SEQUENCE, start);
        der_put(w, DER_OID, OID_PBES2);
        der_wrap(w, DER_SEQUENCE, start);
}

/*
 * GnuTLS and OpenSSL agree on the octets of a passphrase only where it is in Unicode's form C, which GnuTLS makes of it
 * before it derives a key; what is no UTF-8 is taken as it is. So the same is done here.
 */
static int derive_key(struct bytes passphrase, const struct pbes2 *scheme, uint8_t key[AES_256_KEY],
                      struct error *err) {
        CAD_AUTO(datum_wipe) gnutls_datum_t normal = { NULL, 0 };
        gnutls_datum_t salt = { .data = (unsigned char *) scheme->salt,
                                .size = sizeof(scheme->salt) };
        char checked[PASSPHRASE_MAX + 1];
        int rc;

        if (passphrase_text(passphrase, checked, err) < 0)
                return -1;
        explicit_bzero(checked, sizeof(checked));
        rc = gnutls_utf8_password_normalize(passphrase.data, (unsigned) passphrase.size, &normal,
                                            GNUTLS_UTF8_IGNORE_ERRS);
        if (rc >= 0)
                rc = gnutls_pbkdf2(GNUTLS_MAC_SHA256, &normal, &salt, PBKDF2_ROUNDS, key,
                                   AES_256_KEY);
        return rc < 0 ? crypto_error(err, rc, "derive a key from the passphrase") : 0;
}

/* Pads as RFC 8018 §6.1.1 step 4 and encrypts in place; @text has room for a block more. */
static int encrypt(uint8_t *text, size_t *size, const struct pbes2 *scheme, const uint8_t *key,
                   struct error *err) {
        gnutls_datum_t key_datum = { .data = (unsigned char *) key, .size = AES_256_KEY };
        gnutls_datum_t iv = { .data = (unsigned char *) scheme->iv, .size = sizeof(scheme->iv) };
        size_t padding = AES_BLOCK - *size % AES_BLOCK;
        gnutls_cipher_hd_t cipher;
        int rc;

        memset(text + *size, (int) padding, padding);
        *size += padding;
        rc = gnutls_cipher_init(&cipher, GNUTLS_CIPHER_AES_256_CBC, &key_datum, &iv);
        if (rc >= 0) {
                rc = gnutls_cipher_encrypt(cipher, text, *size);
                gnutls_cipher_deinit(cipher);
        }
        return rc < 0 ? crypto_error(err, rc, "encrypt the private key") : 0;
}

static int put_encrypted(struct bytes pkcs8, struct bytes passphrase, struct buffer *ret,
                         struct error *err) {
        CAD_AUTO(buffer_wipe) struct buffer text = { 0 }, der = { 0 };
        uint8_t key[AES_256_KEY];
        struct der_writer w;
        struct pbes2 scheme;
        size_t room = pkcs8.size + AES_BLOCK + 256; /* the scheme takes less than 128 */
        int r;

        if (gnutls_rnd(GNUTLS_RND_RANDOM, &scheme, sizeof(scheme)) < 0)
                return error_set(err, ERR_CRYPTO, "cannot get random octets");
        if (!buffer_reserve(&text, pkcs8.size + AES_BLOCK) || !buffer_reserve(&der, room))
                return error_no_memory(err);
        buffer_append(&text, pkcs8);
        r = derive_key(passphrase, &scheme, key, err);
        if (r == 0)
                r = encrypt(text.data, &text.size, &scheme, key, err);
        explicit_bzero(key, sizeof(key));
        if (r < 0)
                return -1;
        der_writer_init(&w, der.data, room);
        der_put(&w, DER_OCTET_STRING, buffer_bytes(&text));
        put_pbes2(&w, &scheme);
        der_wrap(&w, DER_SEQUENCE, /* mark= */ 0);
        pem_append(ret, "ENCRYPTED PRIVATE KEY", der_writer_bytes(&w));
        return 0;
}

/*
 * RFC 5915 §3: the private value has as many octets as the curve's order, always. GnuTLS 3.7 writes it as an INTEGER: one octet more for
 * one key in two, one less for one in 256, and strict readers (firmware, cryptography) take only what the RFC says. RSA and Ed25519 stay.
 */
static int put_plain(const struct private_key *key, struct bytes pkcs8, struct buffer *ret) {
        struct der_reader outer = der_reader(pkcs8), info = der_enter(&outer, DER_SEQUENCE);
        struct bytes version = der_get_element(&info, DER_INTEGER);
        struct bytes algorithm = der_get_element(&info, DER_SEQUENCE);
        struct der_reader wrapped = der_enter(&info, DER_OCTET_STRING);
        struct der_reader ec = der_enter(&wrapped, DER_SEQUENCE);
        struct bytes ec_version = der_get_element(&ec, DER_INTEGER);
        struct bytes value = der_get(&ec, DER_OCTET_STRING);
        struct bytes rest = BYTES(ec.at, ec.end - ec.at);
        uint8_t octets[PKCS8_EC_MAX], fixed[EC_OCTETS_MAX] = { 0 };
        size_t size = (key->bits + 7) / 8;
        struct der_writer w;

        if (key->type == KEY_RSA || key->type == KEY_ED25519) {
                buffer_append(ret, pkcs8);
                return 0;
        }
        for (; value.size > size && value.data[0] == 0; value.size--)
                value.data++;
        if (ec.failed || info.failed || value.size == 0 || value.size > size ||
            size > sizeof(fixed))
                return -1;
        memcpy(fixed + size - value.size, value.data, value.size);
        der_writer_init(&w, octets, sizeof(octets));
        der_put_raw(&w, rest);
        der_put(&w, DER_OCTET_STRING, BYTES(fixed, size));
        der_put_raw(&w, ec_version);
        der_wrap(&w, DER_SEQUENCE, 0);
        der_wrap(&w, DER_OCTET_STRING, 0);
        der_put_raw(&w, algorithm);
        der_put_raw(&w, version);
        der_wrap(&w, DER_SEQUENCE, 0);
        if (!w.failed)
                buffer_append(ret, der_writer_bytes(&w));
        gnutls_memset(octets, 0, sizeof(octets));
        gnutls_memset(fixed, 0, sizeof(fixed));
        return w.failed ? -1 : 0;
}

int private_key_to_pem(const struct private_key *key, struct bytes passphrase, struct buffer *ret,
                       struct error *err) {
        CAD_AUTO(datum_wipe) gnutls_datum_t pkcs8 = { NULL, 0 };
        CAD_AUTO(buffer_wipe) struct buffer plain = { 0 };
        int rc;

        rc = gnutls_x509_privkey_export2_pkcs8(key->x509, GNUTLS_X509_FMT_DER, /* password= */ NULL,
                                               GNUTLS_PKCS_PLAIN, &pkcs8);
        if (rc < 0)
                return crypto_error(err, rc, "write a private key");
        if (put_plain(key, BYTES(pkcs8.data, pkcs8.size), &plain) < 0)
                return error_set(err, ERR_CRYPTO,
                                 "the private key is written in a way that is not known here");
        if (plain.failed)
                return error_no_memory(err);
        if (passphrase.size == 0)
                pem_append(ret, "PRIVATE KEY", buffer_bytes(&plain));
        else if (put_encrypted(buffer_bytes(&plain), passphrase, ret, err) < 0)
                return -1;
        return ret->failed ? error_no_memory(err) : 0;
}

/* ---- using ---- */

enum key_type private_key_type(const struct private_key *key) {
        return key->type;
}

unsigned private_key_bits(const struct private_key *key) {
        return key->bits;
}

int private_key_spki(const struct private_key *key, struct buffer *ret, struct error *err) {
        buffer_append(ret, BYTES(key->spki.data, key->spki.size));
        return ret->failed ? error_no_memory(err) : 0;
}

struct bytes key_signature_algorithm(enum key_type type) {
        return (unsigned) type < KEY_TYPE_COUNT ? signers[type].algorithm_identifier : BYTES_NONE;
}

struct bytes private_key_algorithm(const struct private_key *key) {
        return signers[key->type].algorithm_identifier;
}

static int take_signature(gnutls_datum_t *value, uint8_t *signature, size_t *ret_size,
                          struct error *err) {
        unsigned size = value->size;

        if (size <= SIGNATURE_MAX)
                memcpy(signature, value->data, size);
        gnutls_free(value->data);
        if (size > SIGNATURE_MAX)
                return error_set(err, ERR_INTERNAL,
                                 "a signature of %u octets is larger than any key makes", size);
        *ret_size = size;
        return 0;
}

/*
 * ECDSA is deterministic (RFC 6979, GnuTLS's REPRODUCIBLE): a bad random number would give the key away. GnuTLS only reads
 * the key here, so threads need no lock.
 */
int private_key_sign(const struct private_key *key, struct bytes data, uint8_t *signature,
                     size_t *ret_size, struct error *err) {
        gnutls_datum_t message = { .data = (unsigned char *) data.data,
                                   .size = (unsigned) data.size };
        gnutls_datum_t value = { NULL, 0 };
        int rc;

        rc = gnutls_privkey_sign_data2(key->handle, signers[key->type].algorithm,
                                       signers[key->type].flags, &message, &value);
        return rc < 0 ? crypto_error(err, rc, "sign")
                      : take_signature(&value, signature, ret_size, err);
}

/* ---- using, in parts ---- */

struct key_stream {
        const struct private_key *key;
        gnutls_hash_hd_t hash;
        gnutls_digest_algorithm_t digest;
};

bool private_key_signs_digest(const struct private_key *key) {
        return signers[key->type].algorithm != GNUTLS_SIGN_EDDSA_ED25519;
}

struct key_stream *key_stream_free(struct key_stream *stream) {
        if (stream) {
                if (stream->hash)
                        gnutls_hash_deinit(stream->hash, NULL);
                free(stream);
        }
        return NULL;
}

int key_stream_new(const struct private_key *key, struct key_stream **ret, struct error *err) {
        CAD_AUTO(key_stream_free) struct key_stream *stream = calloc(1, sizeof(*stream));
        int rc;

        if (!stream)
                return error_no_memory(err);
        stream->key = key;
        stream->digest = gnutls_sign_get_hash_algorithm(signers[key->type].algorithm);
        rc = gnutls_hash_init(&stream->hash, stream->digest);
        if (rc < 0)
                return crypto_error(err, rc, "begin a digest");
        *ret = CAD_TAKE(stream);
        return 0;
}

int key_stream_add(struct key_stream *stream, struct bytes part, struct error *err) {
        int rc = part.size ? gnutls_hash(stream->hash, part.data, part.size) : 0;

        return rc < 0 ? crypto_error(err, rc, "compute a digest") : 0;
}

int key_stream_sign(struct key_stream *stream, uint8_t *signature, size_t *ret_size,
                    struct error *err) {
        uint8_t octets[64]; /* SHA-512 */
        gnutls_datum_t digest = { .data = octets, .size = gnutls_hash_get_len(stream->digest) };
        const struct private_key *key = stream->key;
        gnutls_datum_t value = { NULL, 0 };
        int rc;

        if (digest.size == 0 || digest.size > sizeof(octets))
                return error_set(err, ERR_INTERNAL, "there is no digest of %u octets", digest.size);
        gnutls_hash_output(stream->hash, octets);
        rc = gnutls_privkey_sign_hash2(key->handle, signers[key->type].algorithm,
                                       signers[key->type].flags, &digest, &value);
        return rc < 0 ? crypto_error(err, rc, "sign")
                      : take_signature(&value, signature, ret_size, err);
}
