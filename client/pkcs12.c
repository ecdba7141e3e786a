/*
 * PKCS#12 files through GnuTLS.
 */
#include "pkcs12.h"

#include <gnutls/pkcs12.h>
#include <gnutls/x509.h>
#include <string.h>

#include "lib/base/text.h"

struct parts {
        gnutls_pkcs12_t p12;
        gnutls_pkcs12_bag_t bag; /* the one that is being filled */
        gnutls_x509_privkey_t key;
        gnutls_x509_crt_t crt;
        gnutls_datum_t data;
};

static void parts_next(struct parts *p) {
        if (p->bag)
                gnutls_pkcs12_bag_deinit(p->bag);
        if (p->crt)
                gnutls_x509_crt_deinit(p->crt);
        gnutls_free(p->data.data);
        p->bag = NULL;
        p->crt = NULL;
        p->data = (gnutls_datum_t){ 0 };
}

static void parts_done(struct parts *p) {
        parts_next(p);
        if (p->key)
                gnutls_x509_privkey_deinit(p->key);
        if (p->p12)
                gnutls_pkcs12_deinit(p->p12);
}
CAD_CLEANUP_DONE(struct parts, parts_done)

static gnutls_datum_t datum_of(struct bytes bytes) {
        return (gnutls_datum_t){ (unsigned char *) (uintptr_t) bytes.data, (unsigned) bytes.size };
}

/* Key and leaf carry the same localKeyID: that is how an importing program finds out that they belong together. */
static int name_bag(struct parts *p, int index, const char *name, const gnutls_datum_t *key_id) {
        int rc = gnutls_pkcs12_bag_set_key_id(p->bag, (unsigned) index, key_id);

        return rc < 0 ? rc : gnutls_pkcs12_bag_set_friendly_name(p->bag, (unsigned) index, name);
}

static int put_key(struct parts *p, const char *name, const char *password, unsigned cipher,
                   const gnutls_datum_t *key_id) {
        int rc = gnutls_x509_privkey_export2_pkcs8(p->key, GNUTLS_X509_FMT_DER, password, cipher,
                                                   &p->data);

        if (rc == 0)
                rc = gnutls_pkcs12_bag_init(&p->bag);
        if (rc == 0)
                rc = gnutls_pkcs12_bag_set_data(p->bag, GNUTLS_BAG_PKCS8_ENCRYPTED_KEY, &p->data);
        if (rc >= 0)
                rc = name_bag(p, rc, name, key_id);
        if (rc >= 0)
                rc = gnutls_pkcs12_set_bag(p->p12, p->bag);
        parts_next(p);
        return rc;
}

static int put_certificates(struct parts *p, const struct certs *chain, const char *name,
                            const char *password, unsigned cipher, const gnutls_datum_t *key_id) {
        int rc = gnutls_pkcs12_bag_init(&p->bag);

        for (size_t i = 0; rc >= 0 && i < chain->count; i++) {
                gnutls_datum_t der = datum_of(buffer_bytes(&chain->der[i]));

                rc = gnutls_pkcs12_bag_set_data(p->bag, GNUTLS_BAG_CERTIFICATE, &der);
                if (rc >= 0 && i == 0)
                        rc = name_bag(p, rc, name, key_id);
        }
        if (rc >= 0)
                rc = gnutls_pkcs12_bag_encrypt(p->bag, password, cipher);
        if (rc >= 0)
                rc = gnutls_pkcs12_set_bag(p->p12, p->bag);
        parts_next(p);
        return rc;
}

static int start(struct parts *p, struct bytes key_pem) {
        gnutls_datum_t pem = datum_of(key_pem);
        int rc = gnutls_x509_privkey_init(&p->key);

        if (rc == 0)
                rc = gnutls_x509_privkey_import_pkcs8(p->key, &pem, GNUTLS_X509_FMT_PEM,
                                                      /* password= */ NULL, GNUTLS_PKCS_PLAIN);
        return rc < 0 ? rc : gnutls_pkcs12_init(&p->p12);
}

int pkcs12_make(struct bytes key_pem, const struct certs *chain, const char *name,
                const char *password, bool legacy, struct buffer *ret, struct error *err) {
        CAD_AUTO(parts_done) struct parts p = { 0 };
        unsigned cipher = legacy ? GNUTLS_PKCS_PKCS12_3DES : GNUTLS_PKCS_PBES2_AES_256;
        unsigned char id[SHA256_SIZE];
        size_t id_size = sizeof(id);
        gnutls_datum_t key_id = { id, 0 };
        int rc = start(&p, key_pem);

        if (rc == 0)
                rc = gnutls_x509_privkey_get_key_id(p.key, GNUTLS_KEYID_USE_SHA1, id, &id_size);
        key_id.size = (unsigned) id_size;
        if (rc == 0)
                rc = put_key(&p, name, password, cipher, &key_id);
        if (rc >= 0)
                rc = put_certificates(&p, chain, name, password, cipher, &key_id);
        if (rc >= 0)
                rc = gnutls_pkcs12_generate_mac2(p.p12,
                                                 legacy ? GNUTLS_MAC_SHA1 : GNUTLS_MAC_SHA256,
                                                 password);
        if (rc >= 0)
                rc = gnutls_pkcs12_export2(p.p12, GNUTLS_X509_FMT_DER, &p.data);
        if (rc < 0)
                return error_set(err, ERR_CRYPTO, "the PKCS#12 file cannot be made: %s",
                                 gnutls_strerror(rc));
        buffer_append(ret, BYTES(p.data.data, p.data.size));
        return ret->failed ? error_no_memory(err) : 0;
}
