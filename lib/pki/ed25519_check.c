/*
 * Ed25519 points, on GMP. It sees public keys alone: nothing here is constant in time.
 */
#include "ed25519_check.h"

#include <gmp.h>
#include <stdbool.h>

#include "lib/base/macros.h"

/* p = 2^255 - 19, d = -121665/121666 of the curve -x² + y² = 1 + d x² y² (RFC 8032 §5.1) */
#define PRIME "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed"
#define CURVE_D "52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3"

/* The y of all points whose order divides 8; the last two are those of order 8. */
static const char *const small_order_y[] = {
        "0",
        "1",
        "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffec",
        "05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826",
        "7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7" /* the negative of the one above */
        ,
};

static bool has_small_order(const mpz_t y) {
        bool found = false;
        mpz_t known;

        mpz_init(known);
        for (size_t i = 0; i < ARRAY_SIZE(small_order_y) && !found; i++) {
                (void) mpz_set_str(known, small_order_y[i], 16);
                found = mpz_cmp(y, known) == 0;
        }
        mpz_clear(known);
        return found;
}

/* x² = (y² - 1) / (d y² + 1) has a root if and only if numerator times denominator is a square. */
static bool is_on_curve(const mpz_t y, const mpz_t p) {
        mpz_t y2, numerator, denominator;
        bool square;

        mpz_inits(y2, numerator, denominator, NULL);
        mpz_mul(y2, y, y);
        mpz_sub_ui(numerator, y2, 1);
        (void) mpz_set_str(denominator, CURVE_D, 16);
        mpz_mul(denominator, denominator, y2);
        mpz_add_ui(denominator, denominator, 1);
        mpz_mul(numerator, numerator, denominator);
        mpz_mod(numerator, numerator, p);
        square = mpz_jacobi(numerator, p) >= 0;
        mpz_clears(y2, numerator, denominator, NULL);
        return square;
}

int ed25519_check(struct bytes key, struct error *err) {
        const char *reason = NULL;
        mpz_t y, p;

        if (key.size != ED25519_KEY_SIZE)
                return error_set(err, ERR_KEY_INVALID, "an Ed25519 key has %u octets, not %zu",
                                 ED25519_KEY_SIZE, key.size);
        mpz_init(y);
        mpz_init_set_str(p, PRIME, 16);
        mpz_import(y, key.size, /* order= */ -1, /* size= */ 1, /* endian= */ 0, /* nails= */ 0,
                   key.data);
        mpz_clrbit(y, 255); /* the sign of x */
        if (mpz_cmp(y, p) >= 0)
                reason = "is not below the field's prime";
        else if (has_small_order(y))
                reason = "is a point of small order, for which everybody can sign";
        else if (!is_on_curve(y, p))
                reason = "is not on the curve";
        mpz_clears(y, p, NULL);
        if (reason)
                return error_set(err, ERR_KEY_INVALID, "the Ed25519 key %s: make a new key",
                                 reason);
        return 0;
}
