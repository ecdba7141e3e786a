/*
 * Making the pool of CSRs that all competitors get.
 *
 * Done once before anything is measured; the private keys are never written anywhere.
 */
#include "csrs.h"

#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <string.h>

#include "common.h"

#define GNUTLS_MUST(call) \
        do { \
                int rc_ = (call); \
                if (rc_ < 0) \
                        die("making CSRs: " #call ": %s", gnutls_strerror(rc_)); \
        } while (0)

static void csr_set_names(gnutls_x509_crq_t crq, size_t number) {
        const unsigned char ip[4] = { 10, (unsigned char) (number >> 16),
                                      (unsigned char) (number >> 8), (unsigned char) number };
        char lan[32], home[48];

        snprintf(lan, sizeof(lan), "h%06zu.lan", number);
        snprintf(home, sizeof(home), "h%06zu.home.arpa", number);
        GNUTLS_MUST(gnutls_x509_crq_set_dn_by_oid(crq, GNUTLS_OID_X520_COMMON_NAME, /* raw= */ 0,
                                                  lan, (unsigned) strlen(lan)));
        GNUTLS_MUST(gnutls_x509_crq_set_subject_alt_name(crq, GNUTLS_SAN_DNSNAME, lan,
                                                         (unsigned) strlen(lan), GNUTLS_FSAN_SET));
        GNUTLS_MUST(gnutls_x509_crq_set_subject_alt_name(crq, GNUTLS_SAN_DNSNAME, home,
                                                         (unsigned) strlen(home),
                                                         GNUTLS_FSAN_APPEND));
        GNUTLS_MUST(gnutls_x509_crq_set_subject_alt_name(crq, GNUTLS_SAN_IPADDRESS, ip, sizeof(ip),
                                                         GNUTLS_FSAN_APPEND));
}

static void csr_write(FILE *file, size_t number) {
        gnutls_x509_privkey_t x509_key;
        gnutls_privkey_t key;
        gnutls_x509_crq_t crq;
        gnutls_datum_t der = {}, pem = {};

        GNUTLS_MUST(gnutls_x509_privkey_init(&x509_key));
        GNUTLS_MUST(gnutls_x509_privkey_generate(x509_key, GNUTLS_PK_ECDSA,
                                                 GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1),
                                                 /* flags= */ 0));
        GNUTLS_MUST(gnutls_privkey_init(&key));
        GNUTLS_MUST(gnutls_privkey_import_x509(key, x509_key, /* flags= */ 0));
        GNUTLS_MUST(gnutls_x509_crq_init(&crq));
        GNUTLS_MUST(gnutls_x509_crq_set_version(crq, 1));
        GNUTLS_MUST(gnutls_x509_crq_set_key(crq, x509_key));
        csr_set_names(crq, number);
        GNUTLS_MUST(gnutls_x509_crq_privkey_sign(crq, key, GNUTLS_DIG_SHA256, /* flags= */ 0));
        /* Not exported as PEM: GnuTLS would label it "NEW CERTIFICATE REQUEST" (RFC 7468 §7). */
        GNUTLS_MUST(gnutls_x509_crq_export2(crq, GNUTLS_X509_FMT_DER, &der));
        GNUTLS_MUST(gnutls_pem_base64_encode2("CERTIFICATE REQUEST", &der, &pem));
        if (fwrite(pem.data, 1, pem.size, file) != pem.size)
                die("writing CSRs: %s", strerror(errno));
        gnutls_free(pem.data);
        gnutls_free(der.data);
        gnutls_x509_crq_deinit(crq);
        gnutls_privkey_deinit(key);
        gnutls_x509_privkey_deinit(x509_key);
}

void csrs_make(size_t count, const char *path) {
        FILE *file = fopen(path, "we");

        if (!file)
                die("cannot write '%s': %s", path, strerror(errno));
        for (size_t i = 0; i < count; i++)
                csr_write(file, i + 1);
        if (fclose(file) != 0)
                die("cannot write '%s': %s", path, strerror(errno));
}
