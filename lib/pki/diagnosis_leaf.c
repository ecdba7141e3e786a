/*
 * Diagnosis of the leaf, and of the keys and signatures of all: time, purpose, strength. It checks no signature.
 */
#include <inttypes.h>
#include <stdio.h>

#include "diagnosis_parts.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

#define DAY_S INT64_C(86400)
#define APPLE_LIFE_MAX_S (825 * DAY_S) /* Apple HT210176 */
#define SOON_S (7 * DAY_S)
#define RSA_BITS_EVER 1024u /* below that nobody takes it */

#define BROWSERS (DEVICE_BIT(DEVICE_CHROME) | DEVICE_BIT(DEVICE_FIREFOX) | DEVICE_BIT(DEVICE_APPLE))

/* ---- time ---- */

static void judge_life(struct examination *x, const struct diagnosed *leaf, int64_t start,
                       int64_t end) {
        int64_t life = end - start + 1, left = end - x->c->now;
        char text[MOMENT_TEXT_MAX];

        if (life > APPLE_LIFE_MAX_S && x->c->purpose & PURPOSE_SERVER)
                diagnosis_add(x->d, DIAGNOSIS_LIFE_TOO_LONG,
                              "'%s' is good for %" PRId64
                              " days; Apple takes server certificates of 825 days at most",
                              leaf->label, life / DAY_S);
        if (left >= 0 && (left < life / 10 || (left < SOON_S && life > 8 * SOON_S)))
                diagnosis_add(x->d, DIAGNOSIS_EXPIRES_SOON, "'%s' expires soon: on %s", leaf->label,
                              moment_format(end, text));
}

static void judge_time(struct examination *x, const struct diagnosed *leaf) {
        int64_t start = gnutls_x509_crt_get_activation_time(leaf->crt),
                end = gnutls_x509_crt_get_expiration_time(leaf->crt), now = x->c->now;
        char then[MOMENT_TEXT_MAX], here[MOMENT_TEXT_MAX];

        if (start < 0 || end < 0 || start > MOMENT_LAST || end > MOMENT_LAST || now < 0 ||
            now > MOMENT_LAST)
                return; /* before 1970: LOOSE has been told where it matters */
        if (end < now)
                diagnosis_add(x->d, DIAGNOSIS_EXPIRED,
                              "'%s' expired on %s, %" PRId64 " days ago (the time here is %s)",
                              leaf->label, moment_format(end, then), (now - end) / DAY_S,
                              moment_format(now, here));
        if (start > now)
                diagnosis_add(x->d, DIAGNOSIS_NOT_YET_VALID,
                              "'%s' is not valid before %s (the time here is %s)", leaf->label,
                              moment_format(start, then), moment_format(now, here));
        judge_life(x, leaf, start, end);
}

/* ---- purpose ---- */

static void list_purposes(const struct diagnosed *one, char *out, size_t size) {
        static const struct {
                const char *oid, *name;
        } known[] = {
                { GNUTLS_KP_TLS_WWW_SERVER, "serverAuth" },
                { GNUTLS_KP_TLS_WWW_CLIENT, "clientAuth" },
                { GNUTLS_KP_CODE_SIGNING, "codeSigning" },
                { GNUTLS_KP_EMAIL_PROTECTION, "emailProtection" },
                { GNUTLS_KP_TIME_STAMPING, "timeStamping" },
                { GNUTLS_KP_OCSP_SIGNING, "OCSPSigning" },
        };
        size_t used = 0;
        bool any;

        (void) snprintf(out, size, "others");
        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                if (diagnosed_has_purpose(one, known[i].oid, &any) && used < size)
                        used += (size_t) snprintf(out + used, size - used, "%s%s", used ? ", " : "",
                                                  known[i].name);
}

static void judge_server_purpose(struct examination *x, const struct diagnosed *leaf) {
        bool any, wild, has = diagnosed_has_purpose(leaf, GNUTLS_KP_TLS_WWW_SERVER, &any);
        char purposes[128];

        if (has)
                return;
        list_purposes(leaf, purposes, sizeof(purposes));
        if (!any)
                diagnosis_add(
                        x->d, DIAGNOSIS_PURPOSE_MISSING,
                        "'%s' does not say what it is for (no extended key usage); Apple wants serverAuth",
                        leaf->label);
        else if (diagnosed_has_purpose(leaf, GNUTLS_KP_ANY, &wild))
                diagnosis_add_for(
                        x->d, DIAGNOSIS_PURPOSE_MISSING,
                        DEVICE_BIT(DEVICE_FIREFOX) | DEVICE_BIT(DEVICE_APPLE),
                        "'%s' is for any use (anyExtendedKeyUsage); serverAuth has to be named",
                        leaf->label);
        else
                diagnosis_add(
                        x->d, DIAGNOSIS_SERVER_PURPOSE,
                        "'%s' is not for servers: its extended key usage is %s, without serverAuth",
                        leaf->label, purposes);
}

static void judge_client_purpose(struct examination *x, const struct diagnosed *leaf) {
        bool any, wild, has = diagnosed_has_purpose(leaf, GNUTLS_KP_TLS_WWW_CLIENT, &any);
        char purposes[128];

        if (has || !any || diagnosed_has_purpose(leaf, GNUTLS_KP_ANY, &wild))
                return;
        list_purposes(leaf, purposes, sizeof(purposes));
        diagnosis_add(x->d, DIAGNOSIS_CLIENT_PURPOSE,
                      "'%s' is not for clients: its extended key usage is %s, without clientAuth",
                      leaf->label, purposes);
}

static void judge_usage(struct examination *x, const struct diagnosed *leaf) {
        unsigned usage = 0;
        int rc = gnutls_x509_crt_get_key_usage(leaf->crt, &usage, /* critical= */ NULL);

        if (rc >= 0 && !(usage & GNUTLS_KEY_DIGITAL_SIGNATURE))
                diagnosis_add(
                        x->d, DIAGNOSIS_KEY_USAGE,
                        "the key of '%s' may not sign (its key usage lacks digitalSignature%s), which TLS 1.3 and every key exchange with forward secrecy need",
                        leaf->label,
                        usage & GNUTLS_KEY_KEY_ENCIPHERMENT ? ", and has keyEncipherment" : "");
        if (diagnosed_is_ca(leaf))
                diagnosis_add(x->d, DIAGNOSIS_LEAF_IS_CA,
                              "'%s' is the certificate of a CA (CA:TRUE) and is used as a server's",
                              leaf->label);
}

/* ---- keys and signatures ---- */

static void judge_strength(struct examination *x, const struct diagnosed *one) {
        unsigned bits = 0;
        int algorithm = gnutls_x509_crt_get_pk_algorithm(one->crt, &bits);
        bool rsa = algorithm == GNUTLS_PK_RSA || algorithm == GNUTLS_PK_RSA_PSS;

        if (one->heavy)
                diagnosis_add(
                        x->d, DIAGNOSIS_KEY_OVERSIZED,
                        "the key of '%s' has %u bits or an exponent beyond all use: nobody computes with it, and nothing was checked with it here",
                        one->label, bits);
        else if (rsa && bits < RSA_BITS_EVER)
                diagnosis_add_for(
                        x->d, DIAGNOSIS_KEY_WEAK, DEVICES_ALL,
                        "the key of '%s' is RSA of %u bits, which can be broken: 2048 are the least",
                        one->label, bits);
        else if (rsa && bits < RSA_BITS_MIN)
                diagnosis_add(x->d, DIAGNOSIS_KEY_WEAK,
                              "the key of '%s' is RSA of %u bits: 2048 are the least", one->label,
                              bits);
}

static gnutls_ecc_curve_t curve_of(gnutls_x509_crt_t crt) {
        gnutls_ecc_curve_t curve = GNUTLS_ECC_CURVE_INVALID;
        gnutls_datum_t x = { 0 }, y = { 0 };

        if (gnutls_x509_crt_get_pk_ecc_raw(crt, &curve, &x, &y) < 0)
                return GNUTLS_ECC_CURVE_INVALID;
        gnutls_free(x.data);
        gnutls_free(y.data);
        return curve;
}

static void judge_curve(struct examination *x, const struct diagnosed *leaf) {
        gnutls_ecc_curve_t curve = curve_of(leaf->crt);
        const char *name = gnutls_ecc_curve_get_name(curve);

        if (curve == GNUTLS_ECC_CURVE_SECP256R1 || curve == GNUTLS_ECC_CURVE_SECP384R1)
                return;
        if (curve == GNUTLS_ECC_CURVE_SECP521R1)
                diagnosis_add_for(x->d, DIAGNOSIS_KEY_TYPE, DEVICE_BIT(DEVICE_CHROME),
                                  "the key of '%s' is ECDSA P-521, which Chrome does not offer",
                                  leaf->label);
        else
                diagnosis_add(
                        x->d, DIAGNOSIS_KEY_TYPE,
                        "the key of '%s' is on the curve %s; browsers take P-256 and P-384 alone",
                        leaf->label, name ? name : "that GnuTLS does not know");
}

static void judge_type(struct examination *x, const struct diagnosed *leaf) {
        int algorithm = gnutls_x509_crt_get_pk_algorithm(leaf->crt, /* bits= */ NULL);
        const char *name = algorithm > 0 ? gnutls_pk_get_name((gnutls_pk_algorithm_t) algorithm)
                                         : NULL;

        if (algorithm == GNUTLS_PK_ECDSA)
                judge_curve(x, leaf);
        else if (algorithm != GNUTLS_PK_RSA)
                diagnosis_add(
                        x->d, DIAGNOSIS_KEY_TYPE,
                        "the key of '%s' is %s, which no browser takes for a server: use ECDSA P-256 or RSA",
                        leaf->label, name ? name : "of a kind that is not known");
}

/* What our strict reader has against a key: primes that are too close, a small exponent, ROCA. */
static void judge_unsafe(struct examination *x, const struct diagnosed *leaf) {
        CAD_AUTO(public_key_free) struct public_key *key = NULL;
        struct error err = { 0 };

        if (!leaf->strict || leaf->heavy || diagnosis_has(x->d, DIAGNOSIS_KEY_WEAK) ||
            public_key_from_spki(leaf->cert.spki, RSA_BITS_MAX, &key, &err) == 0 ||
            err.code == ERR_KEY_UNSUPPORTED)
                return;
        diagnosis_add(x->d, DIAGNOSIS_KEY_UNSAFE, "the key of '%s' is not a good one: %s",
                      leaf->label, err.text);
}

static void judge_signature(struct examination *x, const struct diagnosed *one) {
        int algorithm = gnutls_x509_crt_get_signature_algorithm(one->crt);
        const char *name = algorithm > 0 ? gnutls_sign_get_name((gnutls_sign_algorithm_t) algorithm)
                                         : NULL;
        gnutls_digest_algorithm_t hash = algorithm > 0
                ? gnutls_sign_get_hash_algorithm((gnutls_sign_algorithm_t) algorithm)
                : GNUTLS_DIG_UNKNOWN;

        if (!name)
                diagnosis_add(x->d, DIAGNOSIS_SIGNATURE_TYPE,
                              "'%s' is signed with an algorithm that is not known", one->label);
        else if (hash == GNUTLS_DIG_MD5 || hash == GNUTLS_DIG_MD2)
                diagnosis_add(x->d, DIAGNOSIS_SIGNATURE_MD5,
                              "'%s' is signed with %s: anybody can forge that", one->label, name);
        else if (hash == GNUTLS_DIG_SHA1)
                diagnosis_add(
                        x->d, DIAGNOSIS_SIGNATURE_SHA1,
                        "'%s' is signed with %s: SHA-1 can be forged and is refused since 2017",
                        one->label, name);
        else if (algorithm == GNUTLS_SIGN_EDDSA_ED25519 || algorithm == GNUTLS_SIGN_EDDSA_ED448)
                diagnosis_add(x->d, DIAGNOSIS_SIGNATURE_TYPE,
                              "'%s' is signed with %s, which no browser checks", one->label, name);
}

static void judge_loose(struct examination *x, const struct diagnosed *one) {
        struct cert cert;
        struct error err = { 0 };

        if (!one->strict && cert_read(one->der, &cert, &err) < 0)
                diagnosis_add(
                        x->d, DIAGNOSIS_LOOSE,
                        "'%s' is of version %d and not written as RFC 5280 wants it; strict readers refuse it",
                        one->label, gnutls_x509_crt_get_version(one->crt));
}

void diagnose_leaf(struct examination *x) {
        const struct diagnosed *leaf = x->path[0];

        judge_time(x, leaf);
        if (x->c->purpose & PURPOSE_SERVER)
                judge_server_purpose(x, leaf);
        if (x->c->purpose & PURPOSE_CLIENT)
                judge_client_purpose(x, leaf);
        judge_usage(x, leaf);
        judge_type(x, leaf);
        for (size_t i = 0; i < x->path_count; i++) {
                bool is_root = i > 0 && diagnosed_self_issued(x->path[i]);

                judge_strength(x, x->path[i]);
                judge_loose(x, x->path[i]);
                if (!is_root && !(x->trusted && i + 1 == x->path_count && i > 0))
                        judge_signature(x, x->path[i]);
        }
        judge_unsafe(x, leaf);
}
