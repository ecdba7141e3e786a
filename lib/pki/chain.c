/*
 * Chains: GnuTLS's judgement of what we wrote. A second implementation, so that a mistake of ours is not
 * confirmed by ourselves. Too dear for each leaf (libraries: more than issuing it); for probes and tools.
 */
#include "cert.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <time.h>

static gnutls_x509_crt_t crt_free(gnutls_x509_crt_t crt) {
        if (crt)
                gnutls_x509_crt_deinit(crt);
        return NULL;
}
static void crt_free_at_exit(gnutls_x509_crt_t *crt) {
        *crt = crt_free(*crt);
}

static int import(struct bytes der, const char *what, gnutls_x509_crt_t *ret, struct error *err) {
        gnutls_datum_t datum = { .data = (unsigned char *) (uintptr_t) der.data,
                                 .size = (unsigned) der.size };
        CAD_AUTO(crt_free) gnutls_x509_crt_t crt = NULL;
        int rc = gnutls_x509_crt_init(&crt);

        if (rc < 0)
                return error_no_memory(err);
        rc = gnutls_x509_crt_import(crt, &datum, GNUTLS_X509_FMT_DER);
        if (rc < 0)
                return error_set(err, ERR_SIGNER_WRONG, "GnuTLS cannot read the %s: %s", what,
                                 gnutls_strerror(rc));
        *ret = CAD_TAKE(crt);
        return 0;
}

/* GnuTLS asks its time function for "now"; the time given is set for the verification alone. */
static int verify_at(gnutls_x509_crt_t *chain, unsigned count, gnutls_x509_crt_t root,
                     struct error *err) {
        unsigned status = 0;
        gnutls_datum_t text = { 0 };
        int rc = gnutls_x509_crt_list_verify(chain, (int) count, &root, 1, NULL, 0,
                                             GNUTLS_VERIFY_DISABLE_TIME_CHECKS |
                                                     GNUTLS_VERIFY_DO_NOT_ALLOW_X509_V1_CA_CRT,
                                             &status);

        if (rc < 0)
                return error_set(err, ERR_SIGNER_WRONG, "GnuTLS cannot verify the chain: %s",
                                 gnutls_strerror(rc));
        if (status == 0)
                return 0;
        rc = gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0);
        (void) error_set(err, ERR_SIGNER_WRONG, "GnuTLS does not accept the chain: %.*s",
                         rc == 0 ? (int) text.size : 1, rc == 0 ? (const char *) text.data : "?");
        gnutls_free(text.data);
        return -1;
}

static int check_times(gnutls_x509_crt_t *chain, size_t count, int64_t now, struct error *err) {
        for (size_t i = 0; i < count; i++)
                if (gnutls_x509_crt_get_activation_time(chain[i]) > now ||
                    gnutls_x509_crt_get_expiration_time(chain[i]) < now)
                        return error_set(err, ERR_SIGNER_WRONG,
                                         "certificate %zu of the chain is not valid now", i + 1);
        return 0;
}

int chain_verify(struct bytes leaf, struct bytes intermediate, struct bytes root, int64_t now,
                 struct error *err) {
        CAD_AUTO(crt_free) gnutls_x509_crt_t l = NULL;
        CAD_AUTO(crt_free) gnutls_x509_crt_t i = NULL;
        CAD_AUTO(crt_free) gnutls_x509_crt_t r = NULL;

        if (import(leaf, "leaf", &l, err) < 0 ||
            import(intermediate, "intermediate", &i, err) < 0 || import(root, "root", &r, err) < 0)
                return -1;
        gnutls_x509_crt_t chain[] = { l, i };
        gnutls_x509_crt_t all[] = { l, i, r };

        if (check_times(all, ARRAY_SIZE(all), now, err) < 0)
                return -1;
        return verify_at(chain, ARRAY_SIZE(chain), r, err);
}

/* Not through GnuTLS's verification, which never looks at the signature of what it is told to trust. */
int root_verify(struct bytes root, struct error *err) {
        struct der_reader outer = der_reader(root), body = der_enter(&outer, DER_SEQUENCE);
        struct bytes tbs = der_get_element(&body, DER_SEQUENCE),
                     algorithm = der_get_element(&body, DER_SEQUENCE);
        struct bytes signature = der_get_bit_string(&body);
        CAD_AUTO(public_key_free) struct public_key *key = NULL;
        struct error failed = { 0 };
        struct cert cert;

        if (!der_done(&body) || !der_done(&outer))
                return error_set(err, ERR_SIGNER_WRONG, "it is not a certificate in DER");
        if (cert_read(root, &cert, err) < 0 ||
            public_key_from_spki(cert.spki, RSA_BITS_MAX, &key, err) < 0)
                return -1;
        if (public_key_verify(key, algorithm, tbs, signature, &failed) == 0 ||
            failed.code == ERR_CSR_WEAK_SIGNATURE)
                return 0;
        return error_set(err, ERR_SIGNER_WRONG, "its signature was not made with its own key");
}
