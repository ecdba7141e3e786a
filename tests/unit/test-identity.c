/*
 * TLS identity: a chain and the key that belongs to it, and nothing else.
 */
#include "unit.h"

#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <time.h>

#include "daemon/http/identity.h"

struct pair {
        gnutls_datum_t key, certificate;
};

/* A self-signed certificate and its key, in PEM. */
static struct pair make_pair(gnutls_pk_algorithm_t algorithm, unsigned bits) {
        gnutls_x509_privkey_t key;
        gnutls_x509_crt_t crt;
        struct pair pair;
        time_t now = time(NULL);

        ck_assert_int_eq(gnutls_x509_privkey_init(&key), 0);
        ck_assert_int_eq(gnutls_x509_privkey_generate(key, algorithm, bits, 0), 0);
        ck_assert_int_eq(gnutls_x509_crt_init(&crt), 0);
        ck_assert_int_eq(gnutls_x509_crt_set_version(crt, 3), 0);
        ck_assert_int_eq(gnutls_x509_crt_set_serial(crt, "\1", 1), 0);
        ck_assert_int_eq(gnutls_x509_crt_set_dn(crt, "CN=localhost", NULL), 0);
        ck_assert_int_eq(gnutls_x509_crt_set_activation_time(crt, now - 60), 0);
        ck_assert_int_eq(gnutls_x509_crt_set_expiration_time(crt, now + 3600), 0);
        ck_assert_int_eq(gnutls_x509_crt_set_key(crt, key), 0);
        ck_assert_int_eq(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0), 0);
        ck_assert_int_eq(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pair.certificate), 0);
        ck_assert_int_eq(gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL,
                                                           GNUTLS_PKCS_PLAIN, &pair.key),
                         0);
        gnutls_x509_crt_deinit(crt);
        gnutls_x509_privkey_deinit(key);
        return pair;
}

static void pair_done(struct pair *pair) {
        gnutls_free(pair->key.data);
        gnutls_free(pair->certificate.data);
}
CAD_CLEANUP_DONE(struct pair, pair_done)

static struct bytes bytes_of_datum(gnutls_datum_t d) {
        return BYTES(d.data, d.size);
}

START_TEST(a_chain_and_its_key_are_taken_from_one_text) {
        CAD_AUTO(pair_done)
        struct pair pair = make_pair(GNUTLS_PK_EC,
                                     GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1));
        CAD_AUTO(tls_identity_unref) struct tls_identity *identity = NULL;
        CAD_AUTO(buffer_done) struct buffer both = { 0 };
        struct error err = { 0 };

        buffer_append(&both, bytes_of_datum(pair.key));
        buffer_append(&both, bytes_of_datum(pair.certificate));
        ck_ok(tls_identity_new(buffer_bytes(&both), buffer_bytes(&both), &identity, &err), err);
}
END_TEST

START_TEST(it_lives_as_long_as_somebody_has_it) {
        CAD_AUTO(pair_done)
        struct pair pair = make_pair(GNUTLS_PK_RSA, 2048);
        struct tls_identity *identity = NULL;
        struct error err = { 0 };

        ck_ok(tls_identity_new(bytes_of_datum(pair.certificate), bytes_of_datum(pair.key),
                               &identity, &err),
              err);
        ck_assert_ptr_eq(tls_identity_ref(identity), identity);
        ck_assert_ptr_null(tls_identity_unref(identity));
        ck_assert_ptr_null(tls_identity_unref(identity));
        ck_assert_ptr_null(tls_identity_ref(NULL));
        ck_assert_ptr_null(tls_identity_unref(NULL));
}
END_TEST

START_TEST(another_key_of_the_same_kind_is_refused) {
        CAD_AUTO(pair_done) struct pair a = make_pair(GNUTLS_PK_RSA, 2048);
        CAD_AUTO(pair_done) struct pair b = make_pair(GNUTLS_PK_RSA, 2048);
        struct tls_identity *identity = NULL;
        struct error err;

        ck_refused(tls_identity_new(bytes_of_datum(a.certificate), bytes_of_datum(b.key), &identity,
                                    &err),
                   err, ERR_KEY_INVALID);
        ck_assert_ptr_null(identity);
}
END_TEST

START_TEST(what_cannot_be_read_is_refused) {
        CAD_AUTO(pair_done)
        struct pair pair = make_pair(GNUTLS_PK_EC,
                                     GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP384R1));
        struct bytes key = bytes_of_datum(pair.key), chain = bytes_of_datum(pair.certificate);
        const struct bytes bad[] = { BYTES_NONE, BYTES_LITERAL("nonsense"), key,
                                     BYTES(chain.data, chain.size / 2) };
        struct tls_identity *identity = NULL;
        struct error err;

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                ck_refused(tls_identity_new(bad[i], key, &identity, &err), err, ERR_KEY_INVALID);
        ck_refused(tls_identity_new(chain, BYTES_NONE, &identity, &err), err, ERR_KEY_INVALID);
        ck_refused(tls_identity_new(chain, chain, &identity, &err), err, ERR_KEY_INVALID);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("identity");
        TCase *tc = tcase_create("identity");

        tcase_add_test(tc, a_chain_and_its_key_are_taken_from_one_text);
        tcase_add_test(tc, it_lives_as_long_as_somebody_has_it);
        tcase_add_test(tc, another_key_of_the_same_kind_is_refused);
        tcase_add_test(tc, what_cannot_be_read_is_refused);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
