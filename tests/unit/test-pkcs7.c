/*
 * Certs-only PKCS#7: what is put in comes out of GnuTLS and OpenSSL, octet for octet.
 */
#include "issued-fixture.h"

#include <gnutls/pkcs7.h>

#include "lib/pki/pem.h"
#include "lib/pki/pkcs7.h"

#define MANY 40

static struct buffer leaf;

static void set_up(void) {
        issued_setup();
        issued_leaf((const char *const[]){ "nas.lan", "10.0.0.1", NULL }, 1, &leaf);
}

static void tear_down(void) {
        buffer_done(&leaf);
        issued_teardown();
}

/* One, the chain, everything, one many times (so that lengths take three octets), and the same for a kind's boundary. */
static size_t choose(int row, struct bytes out[MANY]) {
        out[0] = buffer_bytes(&leaf);
        out[1] = ca->issuers[0].cert.der;
        out[2] = ca->issuers[1].cert.der;
        out[3] = ca->root.der;
        for (size_t i = 4; i < MANY; i++)
                out[i] = out[i % 4];
        return row == 0 ? 1 : row == 1 ? 2 : row == 2 ? 4 : MANY;
}

static void check_with_gnutls(struct bytes der, const struct bytes *expected, size_t count) {
        gnutls_datum_t in = { (unsigned char *) der.data, (unsigned) der.size };
        gnutls_pkcs7_t bag;

        ck_assert_int_eq(gnutls_pkcs7_init(&bag), 0);
        ck_assert_int_eq(gnutls_pkcs7_import(bag, &in, GNUTLS_X509_FMT_DER), 0);
        ck_assert_int_eq(gnutls_pkcs7_get_crt_count(bag), (int) count);
        ck_assert_int_eq(gnutls_pkcs7_get_crl_count(bag), 0);
        for (size_t i = 0; i < count; i++) {
                gnutls_datum_t crt = { 0 };

                ck_assert_int_eq(gnutls_pkcs7_get_crt_raw2(bag, (unsigned) i, &crt), 0);
                ck_assert_msg(bytes_equal(BYTES(crt.data, crt.size), expected[i]),
                              "certificate %zu", i);
                gnutls_free(crt.data);
        }
        gnutls_pkcs7_deinit(bag);
}

START_TEST(gnutls_finds_what_was_put_in_and_in_that_order) {
        CAD_AUTO(buffer_done) struct buffer out = { 0 };
        struct bytes certificates[MANY];
        size_t count = choose(_i, certificates);

        pkcs7_append_certificates(&out, certificates, count);
        ck_assert(!out.failed);
        check_with_gnutls(buffer_bytes(&out), certificates, count);
}
END_TEST

/* Every length of the certificate around the steps of DER's lengths: the headers always fit and always say the right thing. */
START_TEST(the_headers_fit_around_any_length) {
        static uint8_t octets[70000];

        for (size_t size = 4; size < sizeof(octets);
             size += size < 400 || (size > 65300 && size < 65700) ? 1 : 97) {
                CAD_AUTO(buffer_done) struct buffer out = { 0 };
                struct der_reader r, bag, content, data;
                struct bytes one = BYTES(octets, size);

                pkcs7_append_certificates(&out, &one, 1);
                ck_assert(!out.failed);
                r = der_reader(buffer_bytes(&out));
                bag = der_enter(&r, DER_SEQUENCE);
                ck_assert(der_done(&r));
                (void) der_get(&bag, DER_OID);
                content = der_enter(&bag, DER_CONTEXT_CONSTRUCTED(0));
                ck_assert(der_done(&bag));
                data = der_enter(&content, DER_SEQUENCE);
                ck_assert(der_done(&content));
                (void) der_get(&data, DER_INTEGER);
                (void) der_get(&data, DER_SET);
                (void) der_get(&data, DER_SEQUENCE);
                ck_assert(bytes_equal(der_get(&data, DER_CONTEXT_CONSTRUCTED(0)), one));
                (void) der_get(&data, DER_SET);
                ck_assert(der_done(&data));
        }
}
END_TEST

START_TEST(it_is_appended_to_what_is_there) {
        CAD_AUTO(buffer_done) struct buffer out = { 0 };
        struct bytes one = buffer_bytes(&leaf);

        buffer_text(&out, "before");
        pkcs7_append_certificates(&out, &one, 1);
        ck_assert_int_eq(memcmp(out.data, "before", 6), 0);
        check_with_gnutls(BYTES(out.data + 6, out.size - 6), &one, 1);
}
END_TEST

START_TEST(openssl_prints_the_same_certificates) {
        CAD_AUTO(buffer_done) struct buffer out = { 0 };
        CAD_AUTO(buffer_done) struct buffer printed = { 0 };
        struct bytes certificates[MANY], text;
        size_t count = choose(2, certificates);
        char command[200], label[PEM_LABEL_MAX];
        struct error err = { 0 };

        pkcs7_append_certificates(&out, certificates, count);
        ck_ok(file_replace(scratch.fd, "bag.p7c", buffer_bytes(&out), 0600, &err), err);
        if (system("command -v openssl >/dev/null") != 0)
                return;
        (void) snprintf(
                command, sizeof(command),
                "cd '%s' && openssl pkcs7 -inform DER -in bag.p7c -print_certs -out bag.pem",
                scratch.path);
        ck_assert_int_eq(system(command), 0);
        ck_ok(file_read(scratch.fd, "bag.pem", FILE_PUBLIC, 1 << 20, &printed, &err), err);
        text = buffer_bytes(&printed);
        for (size_t i = 0; i < count; i++) {
                CAD_AUTO(buffer_done) struct buffer der = { 0 };

                ck_assert_int_eq(pem_next(&text, label, &der, &err), 1);
                ck_assert(bytes_equal(buffer_bytes(&der), certificates[i]));
        }
}
END_TEST

int main(void) {
        Suite *suite = suite_create("pkcs7");
        TCase *tc = tcase_create("pkcs7");

        tcase_set_timeout(tc, 60);
        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_add_loop_test(tc, gnutls_finds_what_was_put_in_and_in_that_order, 0, 4);
        tcase_add_test(tc, the_headers_fit_around_any_length);
        tcase_add_test(tc, it_is_appended_to_what_is_there);
        tcase_add_test(tc, openssl_prints_the_same_certificates);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
