/*
 * RSA weaknesses, on GMP. It sees numbers that are public: nothing here is constant in time, and it must never
 * be given a private one.
 *
 * Lists of weak keys, such as those of Debian's OpenSSL of 2006–2008, are looked up in weak_keys.c.
 */
#include "rsa_check.h"

#include <gmp.h>
#include <inttypes.h>
#include <stdbool.h>

#include "lib/base/macros.h"

#define EXPONENT_MIN 65537u
#define EXPONENT_BITS_MAX 256u
#define FACTOR_MAX 751u    /* the CA/Browser Forum's bound, BR §6.1.6 */
#define FERMAT_ROUNDS 100u /* the same, §6.1.1.3 */
#define ROCA_PRIME_MAX \
        701u /* the 126th prime: keys of 2048 bits and more were made from at least that many */

static unsigned magnitude_bits(struct bytes content) {
        while (content.size && content.data[0] == 0) {
                content.data++;
                content.size--;
        }
        /* the builtin counts in 32 bits, of which the octet has eight */
        return content.size
                ? (unsigned) content.size * 8 + 24 - (unsigned) __builtin_clz(content.data[0])
                : 0;
}

/* X.690 §8.3.2: as few octets as can be; RFC 8017 §3.1: positive. */
static int check_encoding(struct bytes content, const char *what, struct error *err) {
        if (content.size == 0)
                return error_set(err, ERR_KEY_INVALID, "the RSA %s is empty", what);
        if (content.data[0] & 0x80)
                return error_set(
                        err, ERR_KEY_INVALID,
                        "the RSA %s is negative: its encoder has left out a leading zero octet",
                        what);
        if (content.size > 1 && content.data[0] == 0 && !(content.data[1] & 0x80))
                return error_set(err, ERR_KEY_INVALID,
                                 "the RSA %s has leading zeros, which DER does not allow", what);
        return 0;
}

static int check_size(struct bytes modulus, unsigned bits, unsigned bits_max, struct error *err) {
        if (bits > RSA_BITS_MAX)
                return error_set(err, ERR_KEY_UNSUPPORTED,
                                 "an RSA key of %u bits is too large: use %u to %u bits", bits,
                                 RSA_BITS_MIN, bits_max < RSA_BITS_MAX ? bits_max : RSA_BITS_MAX);
        if (bits > bits_max)
                return error_set(
                        err, ERR_KEY_UNSUPPORTED,
                        "the RSA key has %u bits, the profile takes %u at most: make one of %u bits, or set RsaBitsMax= "
                        "in the profile's file",
                        bits, bits_max, bits_max);
        if (bits < RSA_BITS_MIN)
                return error_set(err, ERR_KEY_WEAK,
                                 "an RSA key of %u bits is too short: use %u bits or more", bits,
                                 RSA_BITS_MIN);
        if (bits % 8)
                return error_set(
                        err, ERR_KEY_UNSUPPORTED,
                        "an RSA key of %u bits is not whole octets long: use 2048, 3072 or 4096 bits",
                        bits);
        if (!(modulus.data[modulus.size - 1] & 1))
                return error_set(err, ERR_KEY_INVALID,
                                 "the RSA modulus is even: it is no product of two odd primes");
        return 0;
}

static int check_exponent(struct bytes exponent, struct error *err) {
        unsigned bits = magnitude_bits(exponent);
        uint64_t value = 0;

        if (bits > EXPONENT_BITS_MAX)
                return error_set(err, ERR_KEY_UNSUPPORTED,
                                 "the RSA exponent is 2^256 or more: use 65537");
        for (size_t i = 0; bits <= 64 && i < exponent.size; i++)
                value = value << 8 | exponent.data[i];
        if (!(exponent.data[exponent.size - 1] & 1))
                return error_set(err, ERR_KEY_INVALID,
                                 "the RSA exponent %s%" PRIu64 " is even: use 65537",
                                 bits > 64 ? "of more than 64 bits, ending in " : "",
                                 bits > 64 ? exponent.data[exponent.size - 1] : value);
        if (bits <= 1)
                return error_set(err, ERR_KEY_INVALID,
                                 "the RSA exponent %" PRIu64
                                 " makes no encryption at all: use 65537",
                                 value);
        if (bits <= 64 && value < EXPONENT_MIN)
                return error_set(err, ERR_KEY_WEAK,
                                 "the RSA exponent %" PRIu64 " is too small: use 65537", value);
        return 0;
}

static int check_small_factors(const mpz_t n, struct error *err) {
        for (unsigned long d = 3; d <= FACTOR_MAX; d += 2)
                if (mpz_divisible_ui_p(n, d))
                        return error_set(
                                err, ERR_KEY_WEAK,
                                "the RSA modulus is divisible by %lu: make a new key with another program",
                                d);
        return 0;
}

/* Whether @residue is a power of 65537 modulo the prime @p. */
static bool is_power_of_65537(unsigned long residue, unsigned long p) {
        unsigned long power = 1;

        do {
                if (power == residue)
                        return true;
                power = power * 65537 % p;
        } while (power != 1 && power != 0);
        return false;
}

/*
 * ROCA, CVE-2017-15361: the primes of one chip maker's library are k * M + 65537^a mod M, with M the product of
 * the first primes, so the modulus too is a power of 65537 modulo each of them. An honest one passes all of
 * these by an accident of less than 2^-100.
 */
static int check_roca(const mpz_t n, struct error *err) {
        for (unsigned long p = 3; p <= ROCA_PRIME_MAX; p += 2) {
                bool prime = true;

                for (unsigned long d = 3; d * d <= p && prime; d += 2)
                        prime = p % d != 0;
                if (prime && !is_power_of_65537(mpz_fdiv_ui(n, p), p))
                        return 0;
        }
        return error_set(
                err, ERR_KEY_WEAK,
                "the RSA key has the ROCA weakness (CVE-2017-15361) of some smart cards and TPMs, its private key can be computed: "
                "make a new key outside of that chip, or update its firmware first");
}

/* Fermat: n = a² - b² with a just above the root of n, where the factors are close together. */
static int check_close_factors(const mpz_t n, struct error *err) {
        bool close = false;
        mpz_t a, b2;

        mpz_inits(a, b2, NULL);
        mpz_sqrt(a, n);
        mpz_mul(b2, a, a);
        if (mpz_cmp(b2, n) < 0) {
                mpz_add_ui(a, a, 1);
                mpz_mul(b2, a, a);
        }
        mpz_sub(b2, b2, n);
        for (unsigned i = 0; i < FERMAT_ROUNDS && !close; i++) {
                close = mpz_perfect_square_p(b2);
                /* (a + 1)² - n = a² - n + 2a + 1 */
                mpz_addmul_ui(b2, a, 2);
                mpz_add_ui(b2, b2, 1);
                mpz_add_ui(a, a, 1);
        }
        mpz_clears(a, b2, NULL);
        if (close)
                return error_set(
                        err, ERR_KEY_WEAK,
                        "the two factors of the RSA modulus are so close together that Fermat's method finds them: "
                        "make a new key with another program");
        return 0;
}

/*
 * Fermat's test to base 2: every prime passes it, and what passes it without being a prime (one modulus in far more than
 * 2^100) was no good key either. A full primality test costs a hostile sender's prime three times as much.
 */
static int check_not_prime(const mpz_t n, struct error *err) {
        mpz_t power, exponent;
        bool prime;

        mpz_init_set_ui(power, 2);
        mpz_init(exponent);
        mpz_sub_ui(exponent, n, 1);
        mpz_powm(power, power, exponent, n);
        prime = mpz_cmp_ui(power, 1) == 0;
        mpz_clears(power, exponent, NULL);
        if (prime)
                return error_set(
                        err, ERR_KEY_INVALID,
                        "the RSA modulus is a prime, so that everybody can compute the private key: make a new key");
        return 0;
}

int rsa_check(struct bytes modulus, struct bytes exponent, unsigned bits_max, unsigned *ret_bits,
              struct error *err) {
        unsigned bits;
        mpz_t n;
        int r;

        if (check_encoding(modulus, "modulus", err) < 0 ||
            check_encoding(exponent, "exponent", err) < 0)
                return -1;
        bits = magnitude_bits(modulus);
        if (check_size(modulus, bits, bits_max, err) < 0 || check_exponent(exponent, err) < 0)
                return -1;

        mpz_init(n);
        mpz_import(n, modulus.size, /* order= */ 1, /* size= */ 1, /* endian= */ 1, /* nails= */ 0,
                   modulus.data);
        r = check_small_factors(n, err);
        if (r == 0)
                r = check_roca(n, err);
        if (r == 0)
                r = check_close_factors(n, err);
        if (r == 0)
                r = check_not_prime(n, err);
        mpz_clear(n);
        if (r < 0)
                return -1;
        *ret_bits = bits;
        return 0;
}
