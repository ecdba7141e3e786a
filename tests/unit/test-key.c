/*
 * Keys: which public keys are taken and which refused, what a signature may be made with, and private keys through all
 * the forms that they are kept in.
 */
#include "unit.h"

#include <gmp.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <pthread.h>

#include "lib/base/text.h"
#include "lib/pki/der.h"
#include "lib/pki/key.h"
#include "lib/pki/oid.h"
#include "lib/pki/pem.h"

#define SPKI_ROOM 16384
#define UNTOUCHED ((void *) 0x1)

/* Made once, before Check forks. */
static struct private_key *keys[KEY_TYPE_COUNT];
static mpz_t prime_a, prime_b,
        prime_large; /* of 1024, 1024 and 2048 bits; their product has 2048 */

static void make_prime(mpz_t p, unsigned bits, unsigned long seed) {
        gmp_randstate_t state;

        gmp_randinit_default(state);
        gmp_randseed_ui(state, seed);
        mpz_urandomb(p, state, bits);
        mpz_setbit(p, bits - 1);
        mpz_setbit(p, bits - 2);
        mpz_nextprime(p, p);
        gmp_randclear(state);
}

static void set_up(void) {
        struct error err = { 0 };

        for (enum key_type type = 0; type < KEY_TYPE_COUNT; type++)
                ck_ok(private_key_generate(type, 2048, &keys[type], &err), err);
        mpz_inits(prime_a, prime_b, prime_large, NULL);
        make_prime(prime_a, 1024, 1);
        make_prime(prime_b, 1024, 2);
        make_prime(prime_large, 2048, 3);
}

static void tear_down(void) {
        for (enum key_type type = 0; type < KEY_TYPE_COUNT; type++)
                keys[type] = private_key_free(keys[type]);
        mpz_clears(prime_a, prime_b, prime_large, NULL);
}

static struct bytes put_spki(struct der_writer *w, struct bytes oid, struct bytes parameters,
                             struct bytes key) {
        size_t mark;

        der_put_bit_string(w, key);
        mark = der_mark(w);
        der_put_raw(w, parameters);
        der_put(w, DER_OID, oid);
        der_wrap(w, DER_SEQUENCE, mark);
        der_wrap(w, DER_SEQUENCE, /* mark= */ 0);
        return der_writer_bytes(w);
}

static void check_refused(struct bytes spki, enum error_code code, const char *words,
                          const char *why) {
        struct public_key *key = UNTOUCHED;
        struct error err = { 0 };

        ck_assert_msg(public_key_from_spki(spki, RSA_BITS_MAX, &key, &err) == -1, "taken: %s", why);
        ck_assert_msg(err.code == code, "%s: expected %s, got %s: %s", why, error_slug(code),
                      error_slug(err.code), err.text);
        ck_assert_msg(strstr(err.text, words), "%s: '%s' is not in '%s'", why, words, err.text);
        ck_assert_ptr_eq(key, UNTOUCHED);
}

/* ---- RSA ---- */

static void n_good(mpz_t n) {
        mpz_mul(n, prime_a, prime_b);
}
static void n_bits(mpz_t n, unsigned bits) {
        mpz_set_ui(n, 1);
        mpz_mul_2exp(n, n, bits - 1);
        mpz_add_ui(n, n, 15);
}
static void n_1024(mpz_t n) {
        n_bits(n, 1024);
}
static void n_2047(mpz_t n) {
        n_bits(n, 2047);
}
static void n_2049(mpz_t n) {
        n_bits(n, 2049);
}
static void n_8200(mpz_t n) {
        n_bits(n, 8200);
}
static void n_16384(mpz_t n) {
        n_bits(n, 16384);
}
static void n_65536(mpz_t n) {
        n_bits(n, 65536);
}
static void n_zero(mpz_t n) {
        mpz_set_ui(n, 0);
}
static void n_prime(mpz_t n) {
        mpz_set(n, prime_large);
}
static void n_square(mpz_t n) {
        mpz_mul(n, prime_a, prime_a);
}

static void n_even(mpz_t n) {
        n_good(n);
        mpz_sub_ui(n, n, 1);
}

static void n_divisible(mpz_t n, unsigned long factor) {
        mpz_tdiv_q_ui(n, prime_large, factor);
        mpz_add_ui(n, n, 1);
        do
                mpz_nextprime(n, n);
        while (mpz_divisible_ui_p(n, factor));
        mpz_mul_ui(n, n, factor);
}
static void n_times_3(mpz_t n) {
        n_divisible(n, 3);
}
static void n_times_751(mpz_t n) {
        n_divisible(n, 751);
}
static void n_times_757(mpz_t n) {
        n_divisible(n, 757);
}

static void n_close(mpz_t n) {
        mpz_nextprime(n, prime_a);
        mpz_mul(n, n, prime_a);
}

/* a² - b² with a 90 above the root: still within 100 rounds. b only has to be large enough for that: about the root of 2 × 90 × a. */
static void n_close_late(mpz_t n) {
        mpz_t b;

        mpz_init(b);
        mpz_mul_ui(b, prime_a, 180);
        mpz_sqrt(b, b);
        if (mpz_odd_p(b))
                mpz_add_ui(b, b, 1);
        mpz_mul(n, prime_a, prime_a);
        mpz_submul(n, b, b);
        for (unsigned long d = 3; d < 752; d += 2) {
                if (mpz_divisible_ui_p(n, d)) { /* another b with the same parity, from the start */
                        mpz_add_ui(b, b, 2);
                        mpz_mul(n, prime_a, prime_a);
                        mpz_submul(n, b, b);
                        d = 1;
                }
        }
        mpz_clear(b);
}

/* k M + 65537^power mod M, the shape of CVE-2017-15361; M is the product of the first 126 primes. */
static void roca_prime(mpz_t p, unsigned long power, unsigned long seed) {
        mpz_t m, g;

        mpz_inits(m, g, NULL);
        mpz_primorial_ui(m, 701);
        mpz_set_ui(g, 65537);
        mpz_powm_ui(g, g, power, m);
        make_prime(p, 1024, seed);
        mpz_tdiv_q(p, p, m);
        mpz_mul(p, p, m);
        mpz_add(p, p, g);
        while (!mpz_probab_prime_p(p, 1))
                mpz_add(p, p, m);
        mpz_clears(m, g, NULL);
}

static void n_roca(mpz_t n) {
        mpz_t q;

        mpz_init(q);
        roca_prime(n, 1001, 5);
        roca_prime(q, 2002, 6);
        mpz_mul(n, n, q);
        mpz_clear(q);
}

#define E_65537 "010001"
#define TAKEN ERR_NONE

enum shape {
        AS_IS,
        NEGATIVE,
        LEADING_ZERO
};

static const struct {
        const char *why;
        void (*modulus)(mpz_t n);
        enum shape shape;
        const char *exponent; /* hex of the INTEGER's content */
        enum error_code code;
        const char *words;
} rsa_rows[] = {
        { "a good key", n_good, AS_IS, E_65537, TAKEN, "" },
        { "1024 bits are broken by those who can pay", n_1024, AS_IS, E_65537, ERR_KEY_WEAK,
          "1024 bits" },
        { "one bit below the least", n_2047, AS_IS, E_65537, ERR_KEY_WEAK, "2047 bits" },
        { "not whole octets", n_2049, AS_IS, E_65537, ERR_KEY_UNSUPPORTED, "2049 bits" },
        { "one octet above the most", n_8200, AS_IS, E_65537, ERR_KEY_UNSUPPORTED, "8200 bits" },
        { "so large that arithmetic would hurt", n_16384, AS_IS, E_65537, ERR_KEY_UNSUPPORTED,
          "16384 bits" },
        { "so large that only the header may be looked at", n_65536, AS_IS, E_65537,
          ERR_KEY_UNSUPPORTED, "65536 bits" },
        { "zero", n_zero, AS_IS, E_65537, ERR_KEY_WEAK, "0 bits" },
        { "even", n_even, AS_IS, E_65537, ERR_KEY_INVALID, "even" },
        { "negative", n_good, NEGATIVE, E_65537, ERR_KEY_INVALID, "negative" },
        { "leading zeros", n_good, LEADING_ZERO, E_65537, ERR_KEY_INVALID, "leading zeros" },
        { "prime: everybody knows the private key", n_prime, AS_IS, E_65537, ERR_KEY_INVALID,
          "prime" },
        { "the least factor", n_times_3, AS_IS, E_65537, ERR_KEY_WEAK, "divisible by 3:" },
        { "the greatest factor that is looked for", n_times_751, AS_IS, E_65537, ERR_KEY_WEAK,
          "divisible by 751:" },
        { "the next one is not looked for", n_times_757, AS_IS, E_65537, TAKEN, "" },
        { "neighbouring primes", n_close, AS_IS, E_65537, ERR_KEY_WEAK, "Fermat" },
        { "close factors that take some rounds", n_close_late, AS_IS, E_65537, ERR_KEY_WEAK,
          "Fermat" },
        { "the same prime twice", n_square, AS_IS, E_65537, ERR_KEY_WEAK, "Fermat" },
        { "a smart card's key", n_roca, AS_IS, E_65537, ERR_KEY_WEAK, "ROCA" },
        { "exponent 1 leaves everything as it is", n_good, AS_IS, "01", ERR_KEY_INVALID,
          "exponent 1 " },
        { "exponent 0", n_good, AS_IS, "00", ERR_KEY_INVALID, "exponent 0 " },
        { "exponent 2", n_good, AS_IS, "02", ERR_KEY_INVALID, "exponent 2 is even" },
        { "exponent -1", n_good, AS_IS, "ff", ERR_KEY_INVALID, "exponent is negative" },
        { "exponent 3", n_good, AS_IS, "03", ERR_KEY_WEAK, "exponent 3 " },
        { "exponent 65535", n_good, AS_IS, "00ffff", ERR_KEY_WEAK, "exponent 65535 " },
        { "exponent 65536", n_good, AS_IS, "010000", ERR_KEY_INVALID, "exponent 65536 is even" },
        { "exponent 65539", n_good, AS_IS, "010003", TAKEN, "" },
        { "an exponent with leading zeros", n_good, AS_IS, "00010001", ERR_KEY_INVALID,
          "exponent has leading zeros" },
        { "exponent 2^256 - 1", n_good, AS_IS,
          "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", TAKEN, "" },
        { "exponent 2^256 + 1", n_good, AS_IS,
          "010000000000000000000000000000000000000000000000000000000000000001", ERR_KEY_UNSUPPORTED,
          "2^256" },
        { "an even exponent of 200 bits", n_good, AS_IS,
          "00f0000000000000000000000000000000000000000000000000", ERR_KEY_INVALID, "even" },
        { "an empty exponent", n_good, AS_IS, "", ERR_KEY_INVALID, "empty" },
};

/* INTEGER content of @n in one of the shapes */
static struct bytes modulus_content(const mpz_t n, enum shape shape, uint8_t *out) {
        size_t size = 0, zeros;
        uint8_t *at = out + 2;

        mpz_export(at, &size, /* order= */ 1, /* size= */ 1, /* endian= */ 1, /* nails= */ 0, n);
        if (size == 0)
                at[size++] = 0;
        out[0] = out[1] = 0;
        zeros = shape == NEGATIVE ? 0 : (at[0] & 0x80 ? 1u : 0u) + (shape == LEADING_ZERO);
        return BYTES(at - zeros, size + zeros);
}

static struct bytes put_rsa(struct der_writer *w, struct bytes modulus, struct bytes exponent,
                            struct bytes parameters) {
        static uint8_t inner_room[SPKI_ROOM];
        struct der_writer inner;

        der_writer_init(&inner, inner_room, sizeof(inner_room));
        der_put(&inner, DER_INTEGER, exponent);
        der_put(&inner, DER_INTEGER, modulus);
        der_wrap(&inner, DER_SEQUENCE, /* mark= */ 0);
        return put_spki(w, OID_RSA_ENCRYPTION, parameters, der_writer_bytes(&inner));
}

START_TEST(rsa_keys_are_taken_or_refused_with_their_reason) {
        CAD_AUTO(public_key_free) struct public_key *key = NULL;
        uint8_t room[SPKI_ROOM], n_room[SPKI_ROOM], exponent[64];
        size_t exponent_size = 0;
        struct error err = { 0 };
        struct der_writer w;
        struct bytes spki;
        mpz_t n;

        ck_assert_int_eq(hex_decode(rsa_rows[_i].exponent, exponent, sizeof(exponent),
                                    &exponent_size),
                         0);
        mpz_init(n);
        rsa_rows[_i].modulus(n);
        der_writer_init(&w, room, sizeof(room));
        spki = put_rsa(&w, modulus_content(n, rsa_rows[_i].shape, n_room),
                       BYTES(exponent, exponent_size), BYTES_LITERAL("\x05\x00"));
        mpz_clear(n);
        ck_assert_uint_gt(spki.size, 0);
        if (rsa_rows[_i].code != TAKEN) {
                check_refused(spki, rsa_rows[_i].code, rsa_rows[_i].words, rsa_rows[_i].why);
                return;
        }
        ck_assert_msg(public_key_from_spki(spki, RSA_BITS_MAX, &key, &err) == 0, "%s: %s",
                      rsa_rows[_i].why, err.text);
        ck_assert_int_eq(public_key_type(key), KEY_RSA);
        ck_assert_uint_eq(public_key_bits(key), 2048);
}
END_TEST

START_TEST(rsa_parameters_are_null) {
        static const struct bytes wrong[] = { { NULL, 0 },
                                              BYTES_LITERAL("\x30\x00"),
                                              BYTES_LITERAL("\x05\x01\x00") };
        uint8_t room[SPKI_ROOM], n_room[SPKI_ROOM];
        struct der_writer w;
        mpz_t n;

        mpz_init(n);
        n_good(n);
        for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
                der_writer_init(&w, room, sizeof(room));
                check_refused(put_rsa(&w, modulus_content(n, AS_IS, n_room),
                                      BYTES_LITERAL("\x01\x00\x01"), wrong[i]),
                              ERR_KEY_INVALID, "NULL", "parameters");
        }
        mpz_clear(n);
}
END_TEST

/* ---- the other types ---- */

#define P256_PARAMETERS BYTES_LITERAL("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07")
#define X32 \
        "\x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96"
#define Y32 \
        "\x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\x2b\xce\x33\x57\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5"
#define Z31 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define F31 \
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"

static const struct {
        const char *why;
        struct bytes oid, parameters, key;
        enum error_code code;
        const char *words;
} other_rows[] = {
        { "the generator of P-256 is a point like any other", OID_EC_PUBLIC_KEY, P256_PARAMETERS,
          BYTES_LITERAL("\x04" X32 Y32), TAKEN, "" },
        { "a point that is not on the curve", OID_EC_PUBLIC_KEY, P256_PARAMETERS,
          BYTES_LITERAL("\x04" X32 X32), ERR_KEY_INVALID, "not on the curve" },
        { "the point (0, 0)", OID_EC_PUBLIC_KEY, P256_PARAMETERS,
          BYTES_LITERAL("\x04" Z31 "\0" Z31 "\0"), ERR_KEY_INVALID, "not on the curve" },
        { "coordinates above the field's prime", OID_EC_PUBLIC_KEY, P256_PARAMETERS,
          BYTES_LITERAL("\x04" F31 "\xff" F31 "\xff"), ERR_KEY_INVALID, "not on the curve" },
        { "the point at infinity", OID_EC_PUBLIC_KEY, P256_PARAMETERS, BYTES_LITERAL("\0"),
          ERR_KEY_INVALID, "infinity" },
        { "a compressed point", OID_EC_PUBLIC_KEY, P256_PARAMETERS, BYTES_LITERAL("\x03" X32),
          ERR_KEY_UNSUPPORTED, "compressed" },
        { "a hybrid point", OID_EC_PUBLIC_KEY, P256_PARAMETERS, BYTES_LITERAL("\x07" X32 Y32),
          ERR_KEY_UNSUPPORTED, "0x07" },
        { "a point without its last octet", OID_EC_PUBLIC_KEY, P256_PARAMETERS,
          BYTES_LITERAL("\x04" X32 Z31), ERR_KEY_INVALID, "65 octets" },
        { "a point of another curve", OID_EC_PUBLIC_KEY,
          BYTES_LITERAL("\x06\x05\x2b\x81\x04\x00\x22"), BYTES_LITERAL("\x04" X32 Y32),
          ERR_KEY_INVALID, "97 octets" },
        { "no point",
          OID_EC_PUBLIC_KEY,
          P256_PARAMETERS,
          { NULL, 0 },
          ERR_KEY_INVALID,
          "no point" },
        { "explicit parameters (CVE-2020-0601)", OID_EC_PUBLIC_KEY,
          BYTES_LITERAL("\x30\x03\x02\x01\x01"), BYTES_LITERAL("\x04" X32 Y32), ERR_KEY_UNSUPPORTED,
          "name the curve" },
        { "no parameters",
          OID_EC_PUBLIC_KEY,
          { NULL, 0 },
          BYTES_LITERAL("\x04" X32 Y32),
          ERR_KEY_INVALID,
          "name its curve" },
        { "NULL parameters", OID_EC_PUBLIC_KEY, BYTES_LITERAL("\x05\x00"),
          BYTES_LITERAL("\x04" X32 Y32), ERR_KEY_INVALID, "name its curve" },
        { "P-192", OID_EC_PUBLIC_KEY, BYTES_LITERAL("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x01"),
          BYTES_LITERAL("\x04" X32 Y32), ERR_KEY_UNSUPPORTED, "P-192" },
        { "secp256k1", OID_EC_PUBLIC_KEY, BYTES_LITERAL("\x06\x05\x2b\x81\x04\x00\x0a"),
          BYTES_LITERAL("\x04" X32 Y32), ERR_KEY_UNSUPPORTED, "secp256k1" },
        { "brainpool", OID_EC_PUBLIC_KEY,
          BYTES_LITERAL("\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01\x07"),
          BYTES_LITERAL("\x04" X32 Y32), ERR_KEY_UNSUPPORTED, "brainpoolP256r1" },
        { "an Ed25519 point: y = 3",
          OID_ED25519,
          { NULL, 0 },
          BYTES_LITERAL("\x03" Z31),
          TAKEN,
          "" },
        { "Ed25519 with parameters", OID_ED25519, BYTES_LITERAL("\x05\x00"),
          BYTES_LITERAL("\x03" Z31), ERR_KEY_INVALID, "no parameters" },
        { "y = 2 is on no point",
          OID_ED25519,
          { NULL, 0 },
          BYTES_LITERAL("\x02" Z31),
          ERR_KEY_INVALID,
          "not on the curve" },
        { "Ed25519 of 31 octets",
          OID_ED25519,
          { NULL, 0 },
          BYTES_LITERAL(Z31),
          ERR_KEY_INVALID,
          "32 octets, not 31" },
        { "Ed25519 of 33 octets",
          OID_ED25519,
          { NULL, 0 },
          BYTES_LITERAL("\x03" Z31 "\0"),
          ERR_KEY_INVALID,
          "32 octets, not 33" },
        { "the neutral element",
          OID_ED25519,
          { NULL, 0 },
          BYTES_LITERAL("\x01" Z31),
          ERR_KEY_INVALID,
          "small order" },
        { "the neutral element with a sign",
          OID_ED25519,
          { NULL, 0 },
          BYTES_LITERAL("\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x80"),
          ERR_KEY_INVALID,
          "small order" },
        { "order 4",
          OID_ED25519,
          { NULL, 0 },
          BYTES_LITERAL("\0" Z31),
          ERR_KEY_INVALID,
          "small order" },
        { "order 2",
          OID_ED25519,
          { NULL, 0 },
          BYTES_LITERAL(
                  "\xec\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
          ERR_KEY_INVALID,
          "small order" },
        { "order 8",
          OID_ED25519,
          { NULL, 0 },
          BYTES_LITERAL(
                  "\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05"),
          ERR_KEY_INVALID,
          "small order" },
        { "order 8, the other one, with a sign",
          OID_ED25519,
          { NULL, 0 },
          BYTES_LITERAL(
                  "\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\xfa"),
          ERR_KEY_INVALID,
          "small order" },
        { "y = p + 3, a second encoding of y = 3",
          OID_ED25519,
          { NULL, 0 },
          BYTES_LITERAL(
                  "\xf0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
          ERR_KEY_INVALID,
          "below the field's prime" },
        { "X25519 cannot sign",
          BYTES_LITERAL("\x2b\x65\x6e"),
          { NULL, 0 },
          BYTES_LITERAL("\x03" Z31),
          ERR_KEY_UNSUPPORTED,
          "X25519" },
        { "Ed448",
          BYTES_LITERAL("\x2b\x65\x71"),
          { NULL, 0 },
          BYTES_LITERAL("\x03" Z31),
          ERR_KEY_UNSUPPORTED,
          "Ed448" },
        { "DSA", BYTES_LITERAL("\x2a\x86\x48\xce\x38\x04\x01"), BYTES_LITERAL("\x30\x00"),
          BYTES_LITERAL("\x02\x01\x05"), ERR_KEY_UNSUPPORTED, "DSA" },
        { "ML-DSA",
          BYTES_LITERAL("\x60\x86\x48\x01\x65\x03\x04\x03\x12"),
          { NULL, 0 },
          BYTES_LITERAL(Z31),
          ERR_KEY_UNSUPPORTED,
          "ML-DSA-65" },
        { "RSA for PSS alone",
          OID_RSA_PSS,
          { NULL, 0 },
          BYTES_LITERAL(Z31),
          ERR_KEY_UNSUPPORTED,
          "RSASSA-PSS" },
        { "a type that nobody knows",
          BYTES_LITERAL("\x2a\x03\x04"),
          { NULL, 0 },
          BYTES_LITERAL(Z31),
          ERR_KEY_UNSUPPORTED,
          "1.2.3.4" },
        { "RSA that is no SEQUENCE", OID_RSA_ENCRYPTION, BYTES_LITERAL("\x05\x00"),
          BYTES_LITERAL(Z31), ERR_KEY_INVALID, "modulus and exponent" },
};

START_TEST(keys_of_other_types_are_taken_or_refused_with_their_reason) {
        CAD_AUTO(public_key_free) struct public_key *key = NULL;
        struct error err = { 0 };
        uint8_t room[512];
        struct der_writer w;
        struct bytes spki;

        der_writer_init(&w, room, sizeof(room));
        spki = put_spki(&w, other_rows[_i].oid, other_rows[_i].parameters, other_rows[_i].key);
        if (other_rows[_i].code != TAKEN)
                check_refused(spki, other_rows[_i].code, other_rows[_i].words, other_rows[_i].why);
        else
                ck_assert_msg(public_key_from_spki(spki, RSA_BITS_MAX, &key, &err) == 0, "%s: %s",
                              other_rows[_i].why, err.text);
}
END_TEST

static const unsigned type_bits[] = { 256, 384, 521, 256, 2048 };
_Static_assert(ARRAY_SIZE(type_bits) == KEY_TYPE_COUNT, "one a type");

START_TEST(a_generated_key_is_taken_and_no_part_of_it_is) {
        CAD_AUTO(buffer_done) struct buffer spki = { 0 };
        CAD_AUTO(public_key_free) struct public_key *key = NULL;
        uint8_t *part;
        struct error err = { 0 };

        ck_ok(private_key_spki(keys[_i], &spki, &err), err);
        ck_assert_uint_le(spki.size, SPKI_MAX);
        ck_ok(public_key_from_spki(buffer_bytes(&spki), RSA_BITS_MAX, &key, &err), err);
        ck_assert_int_eq((int) public_key_type(key), _i);
        ck_assert_int_eq((int) private_key_type(keys[_i]), _i);
        ck_assert_uint_eq(public_key_bits(key), type_bits[_i]);
        ck_assert_uint_eq(private_key_bits(keys[_i]), type_bits[_i]);
        for (size_t size = 0; size < spki.size; size++) {
                /* in a piece of memory of just that size, so that a sanitizer sees a read beyond it */
                part = malloc(size ? size : 1);
                memcpy(part, spki.data, size);
                check_refused(BYTES(part, size), ERR_KEY_INVALID, "SubjectPublicKeyInfo",
                              "a part of a key");
                free(part);
        }
        buffer_append(&spki, BYTES_LITERAL("\0"));
        check_refused(buffer_bytes(&spki), ERR_KEY_INVALID, "SubjectPublicKeyInfo",
                      "an octet more");
}
END_TEST

/* ---- signatures ---- */

static struct public_key *public_of(const struct private_key *key) {
        CAD_AUTO(buffer_done) struct buffer spki = { 0 };
        struct public_key *public = NULL;
        struct error err = { 0 };

        ck_ok(private_key_spki(key, &spki, &err), err);
        ck_ok(public_key_from_spki(buffer_bytes(&spki), RSA_BITS_MAX, &public, &err), err);
        return public;
}

START_TEST(a_signature_verifies_over_its_octets_alone) {
        CAD_AUTO(public_key_free) struct public_key *key = public_of(keys[_i]);
        CAD_AUTO(public_key_free) struct public_key *other = NULL;
        CAD_AUTO(private_key_free) struct private_key *other_private = NULL;
        struct bytes data = BYTES_LITERAL("what is signed"),
                     algorithm = private_key_algorithm(keys[_i]);
        uint8_t signature[SIGNATURE_MAX];
        struct error err = { 0 };
        size_t size = 0;

        ck_ok(private_key_sign(keys[_i], data, signature, &size, &err), err);
        ck_ok(public_key_verify(key, algorithm, data, BYTES(signature, size), &err), err);
        ck_refused(public_key_verify(key, algorithm, BYTES_LITERAL("what is sIgned"),
                                     BYTES(signature, size), &err),
                   err, ERR_CSR_SIGNATURE);
        ck_assert_msg(strstr(err.text, "proof of possession"), "%s", err.text);
        ck_refused(public_key_verify(key, algorithm, BYTES_NONE, BYTES(signature, size), &err), err,
                   ERR_CSR_SIGNATURE);
        ck_refused(public_key_verify(key, algorithm, data, BYTES(signature, size - 1), &err), err,
                   ERR_CSR_SIGNATURE);
        ck_refused(public_key_verify(key, algorithm, data, BYTES_NONE, &err), err,
                   ERR_CSR_SIGNATURE);
        signature[size / 2] ^= 1;
        ck_refused(public_key_verify(key, algorithm, data, BYTES(signature, size), &err), err,
                   ERR_CSR_SIGNATURE);
        signature[size / 2] ^= 1;
        if (_i != KEY_RSA) {
                ck_ok(private_key_generate((enum key_type) _i, 0, &other_private, &err), err);
                other = public_of(other_private);
                ck_refused(public_key_verify(other, algorithm, data, BYTES(signature, size), &err),
                           err, ERR_CSR_SIGNATURE);
        }
}
END_TEST

START_TEST(ecdsa_and_rsa_signatures_are_the_same_each_time) {
        uint8_t one[SIGNATURE_MAX], two[SIGNATURE_MAX];
        size_t size_one = 0, size_two = 0;
        struct error err = { 0 };

        ck_ok(private_key_sign(keys[_i], BYTES_LITERAL("abc"), one, &size_one, &err), err);
        ck_ok(private_key_sign(keys[_i], BYTES_LITERAL("abc"), two, &size_two, &err), err);
        ck_assert(bytes_equal(BYTES(one, size_one), BYTES(two, size_two)));
        ck_ok(private_key_sign(keys[_i], BYTES_LITERAL("abd"), two, &size_two, &err), err);
        ck_assert(!bytes_equal(BYTES(one, size_one), BYTES(two, size_two)));
}
END_TEST

#define ALGORITHM(oid_size, seq_size, oid, rest) \
        BYTES_LITERAL("\x30" seq_size "\x06" oid_size oid rest)
#define ECDSA_WITH(last) "\x2a\x86\x48\xce\x3d\x04\x03" last
#define RSA_WITH(last) "\x2a\x86\x48\x86\xf7\x0d\x01\x01" last

static const struct {
        const char *why;
        enum key_type type;
        struct bytes algorithm;
        gnutls_sign_algorithm_t sign; /* UNKNOWN: the signature is made up */
        enum error_code code;
        const char *words;
} signature_rows[] = {
        { "SHA-256 with P-384 is what openssl req makes", KEY_ECDSA_P384,
          ALGORITHM("\x08", "\x0a", ECDSA_WITH("\x02"), ""), GNUTLS_SIGN_ECDSA_SHA256, TAKEN, "" },
        { "SHA-256 with P-521 too", KEY_ECDSA_P521,
          ALGORITHM("\x08", "\x0a", ECDSA_WITH("\x02"), ""), GNUTLS_SIGN_ECDSA_SHA256, TAKEN, "" },
        { "SHA-512 with P-256", KEY_ECDSA_P256, ALGORITHM("\x08", "\x0a", ECDSA_WITH("\x04"), ""),
          GNUTLS_SIGN_ECDSA_SHA512, TAKEN, "" },
        { "SHA-384 with RSA", KEY_RSA, ALGORITHM("\x09", "\x0d", RSA_WITH("\x0c"), "\x05\x00"),
          GNUTLS_SIGN_RSA_SHA384, TAKEN, "" },
        { "SHA-512 with RSA", KEY_RSA, ALGORITHM("\x09", "\x0d", RSA_WITH("\x0d"), "\x05\x00"),
          GNUTLS_SIGN_RSA_SHA512, TAKEN, "" },
        { "RSA's NULL may be left out (RFC 4055 §5)", KEY_RSA,
          ALGORITHM("\x09", "\x0b", RSA_WITH("\x0b"), ""), GNUTLS_SIGN_RSA_SHA256, TAKEN, "" },
        { "ECDSA has no NULL", KEY_ECDSA_P256,
          ALGORITHM("\x08", "\x0c", ECDSA_WITH("\x02"), "\x05\x00"), GNUTLS_SIGN_ECDSA_SHA256,
          ERR_CSR_SIGNATURE, "parameters" },
        { "Ed25519 has no NULL", KEY_ED25519, ALGORITHM("\x03", "\x07", "\x2b\x65\x70", "\x05\x00"),
          GNUTLS_SIGN_EDDSA_ED25519, ERR_CSR_SIGNATURE, "parameters" },
        { "RSA has no other parameters", KEY_RSA,
          ALGORITHM("\x09", "\x0d", RSA_WITH("\x0b"), "\x30\x00"), GNUTLS_SIGN_RSA_SHA256,
          ERR_CSR_SIGNATURE, "parameters" },
        { "SHA-1 with RSA", KEY_RSA, ALGORITHM("\x09", "\x0d", RSA_WITH("\x05"), "\x05\x00"),
          GNUTLS_SIGN_UNKNOWN, ERR_CSR_WEAK_SIGNATURE, "sha1" },
        { "MD5 with RSA", KEY_RSA, ALGORITHM("\x09", "\x0d", RSA_WITH("\x04"), "\x05\x00"),
          GNUTLS_SIGN_UNKNOWN, ERR_CSR_WEAK_SIGNATURE, "md5" },
        { "SHA-1 with ECDSA", KEY_ECDSA_P256,
          ALGORITHM("\x07", "\x09", "\x2a\x86\x48\xce\x3d\x04\x01", ""), GNUTLS_SIGN_UNKNOWN,
          ERR_CSR_WEAK_SIGNATURE, "SHA1" },
        { "RSA-PSS is refused by name", KEY_RSA,
          ALGORITHM("\x09", "\x0d", RSA_WITH("\x0a"), "\x30\x00"), GNUTLS_SIGN_UNKNOWN,
          ERR_CSR_SIGNATURE, "PKCS#1 v1.5" },
        { "ECDSA with an RSA key", KEY_RSA, ALGORITHM("\x08", "\x0a", ECDSA_WITH("\x02"), ""),
          GNUTLS_SIGN_UNKNOWN, ERR_CSR_SIGNATURE, "key is RSA" },
        { "RSA with an ECDSA key", KEY_ECDSA_P256,
          ALGORITHM("\x09", "\x0d", RSA_WITH("\x0b"), "\x05\x00"), GNUTLS_SIGN_UNKNOWN,
          ERR_CSR_SIGNATURE, "key is ECDSA P-256" },
        { "Ed25519 with an ECDSA key", KEY_ECDSA_P256,
          ALGORITHM("\x03", "\x05", "\x2b\x65\x70", ""), GNUTLS_SIGN_UNKNOWN, ERR_CSR_SIGNATURE,
          "key is ECDSA P-256" },
        { "an algorithm that nobody knows", KEY_RSA, ALGORITHM("\x03", "\x05", "\x2a\x03\x04", ""),
          GNUTLS_SIGN_UNKNOWN, ERR_CSR_SIGNATURE, "1.2.3.4" },
        { "no algorithm",
          KEY_RSA,
          { NULL, 0 },
          GNUTLS_SIGN_UNKNOWN,
          ERR_CSR_SIGNATURE,
          "AlgorithmIdentifier" },
        { "octets after the algorithm", KEY_RSA,
          BYTES_LITERAL("\x30\x0b\x06\x09" RSA_WITH("\x0b") "\0"), GNUTLS_SIGN_UNKNOWN,
          ERR_CSR_SIGNATURE, "AlgorithmIdentifier" },
};

/* A signature of @sign by GnuTLS itself, with the key as it was written out. */
static size_t sign_with_gnutls(const struct private_key *key, gnutls_sign_algorithm_t sign,
                               struct bytes data, uint8_t *ret) {
        CAD_AUTO(buffer_wipe) struct buffer pem = { 0 };
        gnutls_datum_t message = { (unsigned char *) data.data, (unsigned) data.size },
                       value = { NULL, 0 }, text;
        gnutls_privkey_t handle;
        struct error err = { 0 };
        size_t size;

        ck_ok(private_key_to_pem(key, BYTES_NONE, &pem, &err), err);
        text = (gnutls_datum_t){ (unsigned char *) buffer_string(&pem), (unsigned) pem.size };
        ck_assert_int_eq(gnutls_privkey_init(&handle), 0);
        ck_assert_int_eq(gnutls_privkey_import_x509_raw(handle, &text, GNUTLS_X509_FMT_PEM, NULL,
                                                        0),
                         0);
        ck_assert_int_eq(gnutls_privkey_sign_data2(handle, sign, 0, &message, &value), 0);
        size = value.size;
        memcpy(ret, value.data, size);
        gnutls_free(value.data);
        gnutls_privkey_deinit(handle);
        return size;
}

START_TEST(a_signature_algorithm_must_be_strong_and_fit_the_key) {
        CAD_AUTO(public_key_free) struct public_key *key = public_of(keys[signature_rows[_i].type]);
        struct bytes data = BYTES_LITERAL("data");
        uint8_t signature[SIGNATURE_MAX] = { 0 };
        struct error err = { 0 };
        size_t size = 64;

        if (signature_rows[_i].sign != GNUTLS_SIGN_UNKNOWN)
                size = sign_with_gnutls(keys[signature_rows[_i].type], signature_rows[_i].sign,
                                        data, signature);
        if (signature_rows[_i].code == TAKEN) {
                ck_ok(public_key_verify(key, signature_rows[_i].algorithm, data,
                                        BYTES(signature, size), &err),
                      err);
                return;
        }
        ck_refused(public_key_verify(key, signature_rows[_i].algorithm, data,
                                     BYTES(signature, size), &err),
                   err, signature_rows[_i].code);
        ck_assert_msg(strstr(err.text, signature_rows[_i].words), "%s: %s", signature_rows[_i].why,
                      err.text);
}
END_TEST

struct signing {
        const struct private_key *key;
        unsigned good;
};

static void *sign_often(void *argument) {
        struct signing *s = argument;
        CAD_AUTO(public_key_free) struct public_key *key = public_of(s->key);
        uint8_t signature[SIGNATURE_MAX];
        size_t size = 0;

        for (unsigned i = 0; i < 100; i++)
                if (private_key_sign(s->key, BYTES(&i, sizeof(i)), signature, &size, NULL) == 0 &&
                    public_key_verify(key, private_key_algorithm(s->key), BYTES(&i, sizeof(i)),
                                      BYTES(signature, size), NULL) == 0)
                        s->good++;
        return NULL;
}

START_TEST(threads_may_sign_with_one_key_at_once) {
        struct signing work[4];
        pthread_t threads[4];

        for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
                work[i] = (struct signing){ keys[_i], 0 };
                ck_assert_int_eq(pthread_create(&threads[i], NULL, sign_often, &work[i]), 0);
        }
        for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
                ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
                ck_assert_uint_eq(work[i].good, 100);
        }
}
END_TEST

/* ---- digests ---- */

START_TEST(sha256_is_that_of_fips_180) {
        uint8_t digest[SHA256_SIZE];
        char hex[2 * SHA256_SIZE + 1];

        sha256(BYTES_LITERAL("abc"), digest);
        ck_assert_str_eq(hex_encode(BYTES(digest, sizeof(digest)), hex),
                         "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        sha256(BYTES_NONE, digest);
        ck_assert_str_eq(hex_encode(BYTES(digest, sizeof(digest)), hex),
                         "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}
END_TEST

START_TEST(a_key_id_is_the_left_part_of_the_digest_of_the_keys_bits) {
        uint8_t room[512], id[KEY_ID_SIZE], digest[SHA256_SIZE];
        struct bytes spki, key = BYTES_LITERAL("\x04" X32 Y32);
        struct der_writer w;

        der_writer_init(&w, room, sizeof(room));
        spki = put_spki(&w, OID_EC_PUBLIC_KEY, P256_PARAMETERS, key);
        ck_assert_int_eq(spki_key_id(spki, id), 0);
        sha256(key, digest);
        ck_assert_mem_eq(id, digest, KEY_ID_SIZE);
        ck_assert_int_eq(spki_key_id(BYTES(spki.data, spki.size - 1), id), -1);
}
END_TEST

/* ---- private keys ---- */

static const struct {
        const char *text;
        bool leaf, known;
        enum key_type type;
        unsigned bits;
} specs[] = {
        { "ecdsa-p256", false, true, KEY_ECDSA_P256, 256 },
        { "ecdsa-p384", false, true, KEY_ECDSA_P384, 384 },
        { "ed25519", false, true, KEY_ED25519, 256 },
        { "rsa-3072", false, true, KEY_RSA, 3072 },
        { "rsa-4096", true, true, KEY_RSA, 4096 },
        { "ecdsa-p521", true, true, KEY_ECDSA_P521, 521 },
        { "rsa-2048", true, true, KEY_RSA, 2048 },
        { "rsa-2048", false, false, 0, 0 },
        { "ecdsa-p521", false, false, 0, 0 },
        { "rsa-1024", true, false, 0, 0 },
        { "rsa", true, false, 0, 0 },
        { "", true, false, 0, 0 },
        { "ECDSA-P256", true, false, 0, 0 },
        { "ed25519 ", true, false, 0, 0 },
};

START_TEST(key_specs_are_known_or_answered_with_the_list) {
        enum key_type type = KEY_TYPE_COUNT;
        struct error err = { 0 };
        unsigned bits = 7;

        if (specs[_i].known) {
                ck_ok(key_spec_parse(specs[_i].text, specs[_i].leaf, &type, &bits, &err), err);
                ck_assert_int_eq(type, specs[_i].type);
                ck_assert_uint_eq(bits, specs[_i].bits);
                return;
        }
        ck_refused(key_spec_parse(specs[_i].text, specs[_i].leaf, &type, &bits, &err), err,
                   ERR_USAGE);
        ck_assert_msg(strstr(err.text, "ecdsa-p256") &&
                              (strstr(err.text, "rsa-2048,") != NULL) == specs[_i].leaf,
                      "%s", err.text);
        ck_assert_int_eq(type, KEY_TYPE_COUNT);
        ck_assert_uint_eq(bits, 7);
}
END_TEST

static void check_same_key(const struct private_key *a, const struct private_key *b) {
        CAD_AUTO(buffer_done) struct buffer spki_a = { 0 }, spki_b = { 0 };
        struct error err = { 0 };

        ck_ok(private_key_spki(a, &spki_a, &err), err);
        ck_ok(private_key_spki(b, &spki_b, &err), err);
        ck_assert(bytes_equal(buffer_bytes(&spki_a), buffer_bytes(&spki_b)));
        ck_assert_int_eq(private_key_type(a), private_key_type(b));
}

START_TEST(a_key_is_written_and_read_back_in_every_form) {
        CAD_AUTO(buffer_wipe) struct buffer pem = { 0 }, der = { 0 };
        struct error err = { 0 };
        char label[PEM_LABEL_MAX];
        struct bytes text, forms[3];
        struct der_reader outer, body;

        ck_ok(private_key_to_pem(keys[_i], BYTES_NONE, &pem, &err), err);
        text = forms[0] = buffer_bytes(&pem);
        ck_assert_int_eq(pem_next(&text, label, &der, &err), 1);
        ck_assert_str_eq(label, "PRIVATE KEY");
        forms[1] = buffer_bytes(&der);
        /* what is inside of PKCS#8 is SEC 1 or PKCS#1 for these two */
        outer = der_reader(buffer_bytes(&der));
        body = der_enter(&outer, DER_SEQUENCE);
        (void) der_get(&body, DER_INTEGER);
        (void) der_get(&body, DER_SEQUENCE);
        forms[2] = der_get(&body, DER_OCTET_STRING);
        for (size_t i = 0; i < (_i == KEY_RSA ? 3 : 2); i++) {
                CAD_AUTO(private_key_free) struct private_key *back = NULL;

                ck_ok(private_key_from_pem(forms[i], BYTES_NONE, &back, &err), err);
                check_same_key(keys[_i], back);
        }
}
END_TEST

#define UMLAUT "\x67\xc3\xbc\x6e"       /* in form C */
#define UMLAUT_D "\x67\x75\xcc\x88\x6e" /* the same, decomposed */

static const struct {
        const char *why;
        struct bytes written, read;
        enum error_code code;
} passphrases[] = {
        { "the passphrase", BYTES_LITERAL("geheim"), BYTES_LITERAL("geheim"), TAKEN },
        { "another passphrase", BYTES_LITERAL("geheim"), BYTES_LITERAL("geheiM"),
          ERR_KEY_PASSPHRASE },
        { "the passphrase and a line end", BYTES_LITERAL("geheim"), BYTES_LITERAL("geheim\n"),
          ERR_KEY_PASSPHRASE },
        { "no passphrase", BYTES_LITERAL("geheim"), { NULL, 0 }, ERR_KEY_PASSPHRASE },
        { "a NUL inside", BYTES_LITERAL("geheim"), BYTES_LITERAL("geheim\0x"), ERR_KEY_PASSPHRASE },
        { "letters beyond ASCII", BYTES_LITERAL(UMLAUT), BYTES_LITERAL(UMLAUT), TAKEN },
        { "the same letters typed on another system", BYTES_LITERAL(UMLAUT_D),
          BYTES_LITERAL(UMLAUT), TAKEN },
        { "octets that are no UTF-8", BYTES_LITERAL("\xff\xfe"), BYTES_LITERAL("\xff\xfe"), TAKEN },
        { "one that is empty but for spaces", BYTES_LITERAL("  "), BYTES_LITERAL("  "), TAKEN },
};

START_TEST(an_encrypted_key_opens_with_its_passphrase_alone) {
        CAD_AUTO(buffer_wipe) struct buffer pem = { 0 };
        CAD_AUTO(private_key_free) struct private_key *back = NULL;
        struct private_key *untouched = UNTOUCHED;
        struct error err = { 0 };

        ck_ok(private_key_to_pem(keys[KEY_ECDSA_P256], passphrases[_i].written, &pem, &err), err);
        ck_assert_int_eq(strncmp(buffer_string(&pem), "-----BEGIN ENCRYPTED PRIVATE KEY-----\n",
                                 38),
                         0);
        if (passphrases[_i].code == TAKEN) {
                ck_ok(private_key_from_pem(buffer_bytes(&pem), passphrases[_i].read, &back, &err),
                      err);
                check_same_key(keys[KEY_ECDSA_P256], back);
                return;
        }
        ck_refused(private_key_from_pem(buffer_bytes(&pem), passphrases[_i].read, &untouched, &err),
                   err, passphrases[_i].code);
        ck_assert_ptr_eq(untouched, UNTOUCHED);
}
END_TEST

START_TEST(the_encryption_is_slow_to_guess_and_new_each_time) {
        CAD_AUTO(buffer_wipe) struct buffer one = { 0 }, two = { 0 }, der = { 0 };
        /* 600 000 as INTEGER, and hmacWithSHA256, aes256-CBC */
        static const struct bytes parts[] = { BYTES_LITERAL("\x02\x03\x09\x27\xc0"),
                                              BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x02\x09"),
                                              BYTES_LITERAL(
                                                      "\x60\x86\x48\x01\x65\x03\x04\x01\x2a") };
        char label[PEM_LABEL_MAX];
        struct error err = { 0 };
        struct bytes text;

        ck_ok(private_key_to_pem(keys[KEY_ED25519], BYTES_LITERAL("geheim"), &one, &err), err);
        ck_ok(private_key_to_pem(keys[KEY_ED25519], BYTES_LITERAL("geheim"), &two, &err), err);
        ck_assert(!bytes_equal(buffer_bytes(&one), buffer_bytes(&two)));
        text = buffer_bytes(&one);
        ck_assert_int_eq(pem_next(&text, label, &der, &err), 1);
        for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
                ck_assert_ptr_nonnull(memmem(der.data, der.size, parts[i].data, parts[i].size));
}
END_TEST

START_TEST(a_passphrase_that_cannot_be_kept_is_not_used) {
        CAD_AUTO(buffer_wipe) struct buffer pem = { 0 };
        uint8_t longest[1025];
        struct error err;

        memset(longest, 'x', sizeof(longest));
        ck_refused(private_key_to_pem(keys[KEY_ED25519], BYTES(longest, 1025), &pem, &err), err,
                   ERR_KEY_PASSPHRASE);
        ck_refused(private_key_to_pem(keys[KEY_ED25519], BYTES_LITERAL("a\0b"), &pem, &err), err,
                   ERR_KEY_PASSPHRASE);
        ck_assert_uint_eq(pem.size, 0);
        ck_ok(private_key_to_pem(keys[KEY_ED25519], BYTES(longest, 1024), &pem, &err), err);
}
END_TEST

/* Made with OpenSSL for this test alone. */
#define OPENSSL_SEC1 \
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" \
        "-----BEGIN EC PRIVATE KEY-----\n" \
        "MHcCAQEEILJSVAZlyX12A9mHmFWjZ53FIhKeTITSumJtHnD8TgmZoAoGCCqGSM49\n" \
        "AwEHoUQDQgAEu2rLfAK1Ks0ahLxrVMpITRsF+5NE7mU3rDPG+Ecu9X9pbVIVuSTs\n" \
        "Ih0Znk/EAaEZ0dgXj10yS2276XHLqo3Bng==\n" \
        "-----END EC PRIVATE KEY-----\n"
#define OPENSSL_SEC1_OTHER_POINT /* the public key's last octet is another one */ \
        "-----BEGIN EC PRIVATE KEY-----\n" \
        "MHcCAQEEILJSVAZlyX12A9mHmFWjZ53FIhKeTITSumJtHnD8TgmZoAoGCCqGSM49\n" \
        "AwEHoUQDQgAEu2rLfAK1Ks0ahLxrVMpITRsF+5NE7mU3rDPG+Ecu9X9pbVIVuSTs\n" \
        "Ih0Znk/EAaEZ0dgXj10yS2276XHLqo3Bnw==\n" \
        "-----END EC PRIVATE KEY-----\n"
#define OPENSSL_ED25519_AES128 \
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n" \
        "MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAiQN3JQ8Qq/aQICA+gw\n" \
        "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEAQIEEM0S94TtarAjLzOihqrkIscEQJBL\n" \
        "d2XEvnhf57MVlaSW0M4Si2DJHLW3EogaQ1q59g+Z2lHZy0zwvXxH7wvvNEQMMIb8\n" \
        "5ki3nAKt2NOgp2K6+VQ=\n" \
        "-----END ENCRYPTED PRIVATE KEY-----\n"
#define OPENSSL_OLD_ENCRYPTED \
        "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,3D1EEE2BD2A99594E6BB69437F7D915B\n\n" \
        "EwiZhAVXn1gKGffXLG4oA86ZrLU2IZTEQLLKy9qck88/H/mKLgJUlk5wsXQS7SPk\n" \
        "oCDgph7l6ObnAEvBOIcxMBQI6OteNPjYLT6UTtgwp6PStaT527vJDLc0OiFQUSAD\n" \
        "jv9O+9oD9t/l20SeXOy7/nV1HLM2u4M0rOPJXw366DA=\n-----END EC PRIVATE KEY-----\n"
#define OPENSSL_ED448 \
        "-----BEGIN PRIVATE KEY-----\nMEcCAQAwBQYDK2VxBDsEOXp7d0Elsi836jaT9iii3UzdJNzJjiCC9s9xnbbSLvQl\n" \
        "HOXGGVw7qLXDcGG2AmZJq/Z9LXHFyAa4Lw==\n-----END PRIVATE KEY-----\n"
#define OPENSSL_SECP256K1 \
        "-----BEGIN EC PRIVATE KEY-----\nMHQCAQEEIITyY6oaKNPWmrl1NIv8a62QIzGvmbtxMjVTUAPQHZv0oAcGBSuBBAAK\n" \
        "oUQDQgAEUftvtGJ59ysGo28CJxLkIH/oIrNpJ/dxq60dX9shhkXunKNWudDZdxVJ\nH58rZVB4tGgWWibUtGmo9iZUazo9Cg==\n-----END EC PRIVATE KEY-----\n"

static const struct {
        const char *why;
        const char *text;
        const char *passphrase;
        enum error_code code;
        const char *words;
        enum key_type type;
} files[] = {
        { "openssl ecparam -genkey, with its parameters in front", OPENSSL_SEC1, NULL, TAKEN, "",
          KEY_ECDSA_P256 },
        { "a passphrase that is not needed", OPENSSL_SEC1, "geheim", TAKEN, "", KEY_ECDSA_P256 },
        { "openssl pkcs8 with another cipher", OPENSSL_ED25519_AES128, "geheim", TAKEN, "",
          KEY_ED25519 },
        { "a wrong passphrase for it", OPENSSL_ED25519_AES128, "Geheim", ERR_KEY_PASSPHRASE,
          "does not open", 0 },
        { "no passphrase for it", OPENSSL_ED25519_AES128, NULL, ERR_KEY_PASSPHRASE,
          "give its passphrase", 0 },
        { "OpenSSL's old encryption", OPENSSL_OLD_ENCRYPTED, "geheim", ERR_KEY_INVALID,
          "openssl pkcs8 -topk8", 0 },
        { "a public key that does not fit", OPENSSL_SEC1_OTHER_POINT, NULL, ERR_KEY_INVALID, "",
          0 },
        { "Ed448", OPENSSL_ED448, NULL, ERR_KEY_UNSUPPORTED, "", 0 },
        { "secp256k1, which GnuTLS cannot tell from damage", OPENSSL_SECP256K1, NULL,
          ERR_KEY_INVALID, "not of ECDSA on P-256", 0 },
        { "two keys", OPENSSL_SEC1 OPENSSL_SEC1, NULL, ERR_KEY_INVALID, "two private keys", 0 },
        { "no key",
          "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n", NULL,
          ERR_KEY_INVALID, "no private key", 0 },
        { "an empty file", "", NULL, ERR_KEY_INVALID, "no private key", 0 },
        { "a label that lies",
          "-----BEGIN PRIVATE KEY-----\nBggqhkjOPQMBBw==\n-----END PRIVATE KEY-----\n", NULL,
          ERR_KEY_INVALID, "label", 0 },
        { "a file that was cut", "-----BEGIN PRIVATE KEY-----\nBggqhkjOPQMBBw==\n", NULL,
          ERR_KEY_INVALID, "was cut", 0 },
};

START_TEST(key_files_of_others_are_read_or_refused_with_their_reason) {
        CAD_AUTO(private_key_free) struct private_key *key = NULL;
        struct error err = { 0 };

        if (files[_i].code == TAKEN) {
                ck_ok(private_key_from_pem(bytes_of(files[_i].text), bytes_of(files[_i].passphrase),
                                           &key, &err),
                      err);
                ck_assert_int_eq(private_key_type(key), files[_i].type);
                return;
        }
        ck_refused(private_key_from_pem(bytes_of(files[_i].text), bytes_of(files[_i].passphrase),
                                        &key, &err),
                   err, files[_i].code);
        ck_assert_msg(strstr(err.text, files[_i].words), "%s: %s", files[_i].why, err.text);
        ck_assert_ptr_null(key);
}
END_TEST

START_TEST(no_part_of_a_private_key_is_taken) {
        CAD_AUTO(buffer_wipe) struct buffer pem = { 0 }, der = { 0 };
        struct private_key *key = UNTOUCHED;
        char label[PEM_LABEL_MAX];
        struct error err = { 0 };
        struct bytes text;

        ck_ok(private_key_to_pem(keys[KEY_ECDSA_P256], BYTES_NONE, &pem, &err), err);
        text = buffer_bytes(&pem);
        ck_assert_int_eq(pem_next(&text, label, &der, &err), 1);
        for (size_t size = 0; size < der.size; size++) {
                uint8_t *part = malloc(size ? size : 1);

                memcpy(part, der.data, size);
                ck_refused(private_key_from_pem(BYTES(part, size), BYTES_NONE, &key, &err), err,
                           ERR_KEY_INVALID);
                free(part);
        }
        buffer_append(&der, BYTES_LITERAL("\0"));
        ck_refused(private_key_from_pem(buffer_bytes(&der), BYTES_NONE, &key, &err), err,
                   ERR_KEY_INVALID);
        ck_assert_ptr_eq(key, UNTOUCHED);
}
END_TEST

START_TEST(an_rsa_key_of_a_size_that_would_be_refused_is_not_made) {
        static const unsigned sizes[] = { 0, 1024, 2047, 2049, 8200, 16384 };
        struct private_key *key = UNTOUCHED;
        struct error err;

        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
                ck_refused(private_key_generate(KEY_RSA, sizes[i], &key, &err), err, ERR_CRYPTO);
        ck_assert_ptr_eq(key, UNTOUCHED);
}
END_TEST

/* GnuTLS writes an octet more for one key in two, and fewer for one in 256 (RFC 5915 §3). */
START_TEST(a_private_value_has_as_many_octets_as_the_curve) {
        static const struct {
                enum key_type type;
                size_t size;
        } curves[] = { { KEY_ECDSA_P256, 32 }, { KEY_ECDSA_P384, 48 }, { KEY_ECDSA_P521, 66 } };

        for (int n = 0; n < 40; n++) {
                CAD_AUTO(private_key_free) struct private_key *key = NULL, *again = NULL;
                CAD_AUTO(buffer_wipe) struct buffer pem = { 0 }, der = { 0 };
                CAD_AUTO(buffer_done) struct buffer spki = { 0 }, spki_again = { 0 };
                struct der_reader outer, info, wrapped, ec;
                struct error err = { 0 };
                char label[PEM_LABEL_MAX];
                struct bytes rest;

                ck_ok(private_key_generate(curves[_i].type, 0, &key, &err), err);
                ck_ok(private_key_to_pem(key, BYTES_NONE, &pem, &err), err);
                rest = buffer_bytes(&pem);
                ck_assert_int_eq(pem_next(&rest, label, &der, &err), 1);
                outer = der_reader(buffer_bytes(&der));
                info = der_enter(&outer, DER_SEQUENCE);
                (void) der_get_uint(&info);
                (void) der_get(&info, DER_SEQUENCE);
                wrapped = der_enter(&info, DER_OCTET_STRING);
                ec = der_enter(&wrapped, DER_SEQUENCE);
                ck_assert_uint_eq(der_get_uint(&ec), 1);
                ck_assert_uint_eq(der_get(&ec, DER_OCTET_STRING).size, curves[_i].size);
                ck_assert(!ec.failed && der_done(&wrapped) && der_done(&info) && der_done(&outer));
                ck_ok(private_key_from_pem(buffer_bytes(&pem), BYTES_NONE, &again, &err), err);
                ck_ok(private_key_spki(key, &spki, &err), err);
                ck_ok(private_key_spki(again, &spki_again, &err), err);
                ck_assert(bytes_equal(buffer_bytes(&spki), buffer_bytes(&spki_again)));
        }
}
END_TEST

int main(void) {
        Suite *suite = suite_create("key");
        TCase *tc = tcase_create("key");

        tcase_set_timeout(tc, 60);
        tcase_add_loop_test(tc, a_private_value_has_as_many_octets_as_the_curve, 0, 3);
        tcase_add_unchecked_fixture(tc, set_up, tear_down);
        tcase_add_loop_test(tc, rsa_keys_are_taken_or_refused_with_their_reason, 0,
                            ARRAY_SIZE(rsa_rows));
        tcase_add_test(tc, rsa_parameters_are_null);
        tcase_add_loop_test(tc, keys_of_other_types_are_taken_or_refused_with_their_reason, 0,
                            ARRAY_SIZE(other_rows));
        tcase_add_loop_test(tc, a_generated_key_is_taken_and_no_part_of_it_is, 0, KEY_TYPE_COUNT);
        tcase_add_loop_test(tc, a_signature_verifies_over_its_octets_alone, 0, KEY_TYPE_COUNT);
        tcase_add_loop_test(tc, ecdsa_and_rsa_signatures_are_the_same_each_time, 0, KEY_TYPE_COUNT);
        tcase_add_loop_test(tc, a_signature_algorithm_must_be_strong_and_fit_the_key, 0,
                            ARRAY_SIZE(signature_rows));
        tcase_add_loop_test(tc, threads_may_sign_with_one_key_at_once, 0, KEY_TYPE_COUNT);
        tcase_add_test(tc, sha256_is_that_of_fips_180);
        tcase_add_test(tc, a_key_id_is_the_left_part_of_the_digest_of_the_keys_bits);
        tcase_add_loop_test(tc, key_specs_are_known_or_answered_with_the_list, 0,
                            ARRAY_SIZE(specs));
        tcase_add_loop_test(tc, a_key_is_written_and_read_back_in_every_form, 0, KEY_TYPE_COUNT);
        tcase_add_loop_test(tc, an_encrypted_key_opens_with_its_passphrase_alone, 0,
                            ARRAY_SIZE(passphrases));
        tcase_add_test(tc, the_encryption_is_slow_to_guess_and_new_each_time);
        tcase_add_test(tc, a_passphrase_that_cannot_be_kept_is_not_used);
        tcase_add_loop_test(tc, key_files_of_others_are_read_or_refused_with_their_reason, 0,
                            ARRAY_SIZE(files));
        tcase_add_test(tc, no_part_of_a_private_key_is_taken);
        tcase_add_test(tc, an_rsa_key_of_a_size_that_would_be_refused_is_not_made);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
