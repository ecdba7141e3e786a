/*
 * The CA's public side, kept. It believes the signer no further than the certificates can be read.
 */
#include "daemon/authority/ca_info.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "lib/base/text.h"
#include "lib/pki/pem.h"

struct ca_info_key {
        struct ca_info_key *next;
        size_t size;
        uint8_t spki[];
};

struct ca_info *ca_info_free(struct ca_info *ca) {
        struct ca_info_key *next;

        if (!ca)
                return NULL;
        for (struct ca_info_key *key = atomic_load(&ca->own_keys); key; key = next) {
                next = key->next;
                free(key);
        }
        (void) ca_info_free(ca->before);
        buffer_done(&ca->root_der);
        buffer_done(&ca->root_pem);
        buffer_done(&ca->bundle_pem);
        for (size_t i = 0; i < ca->issuer_count; i++) {
                buffer_done(&ca->issuers[i].der);
                buffer_done(&ca->issuers[i].pem);
                ca->issuers[i].constraints = constraints_free(ca->issuers[i].constraints);
        }
        free(ca);
        return NULL;
}

static int keep_certificate(struct bytes der, struct buffer *ret_der, struct buffer *ret_pem,
                            struct cert *ret, struct error *err) {
        buffer_append(ret_der, der);
        pem_append(ret_pem, "CERTIFICATE", der);
        if (ret_der->failed || ret_pem->failed)
                return error_no_memory(err);
        if (cert_read(buffer_bytes(ret_der), ret, NULL) < 0 || !ret->is_ca ||
            ret->subject_key_id.size != KEY_ID_SIZE)
                return error_set(err, ERR_SIGNER_WRONG,
                                 "the signer showed a CA certificate that is none");
        return 0;
}

static int read_constraints(struct ca_info_issuer *issuer, struct error *err) {
        if (issuer->cert.name_constraints.size)
                return constraints_from_der(issuer->cert.name_constraints, &issuer->constraints,
                                            err);
        issuer->constraints = constraints_new();
        return issuer->constraints ? 0 : error_no_memory(err);
}

static int add_issuer(struct ca_info *ca, const struct sign_hello_issuer *told, struct error *err) {
        struct ca_info_issuer *issuer = &ca->issuers[ca->issuer_count++];
        CAD_AUTO(public_key_free) struct public_key *key = NULL;

        memcpy(issuer->id, told->id, sizeof(issuer->id));
        issuer->state = told->state;
        if (keep_certificate(told->der, &issuer->der, &issuer->pem, &issuer->cert, err) < 0 ||
            public_key_from_spki(issuer->cert.spki, RSA_BITS_MAX, &key, err) < 0 ||
            read_constraints(issuer, err) < 0)
                return -1;
        signer_issuer_urls(ca->public_url, issuer->id, issuer->crl_url, issuer->issuer_url);
        issuer->signs_as = (struct cert_issuer){
                .subject = issuer->cert.subject,
                .algorithm = key_signature_algorithm(public_key_type(key)),
                .crl_url = issuer->crl_url,
                .issuer_url = issuer->issuer_url,
        };
        memcpy(issuer->signs_as.key_id, issuer->cert.subject_key_id.data, KEY_ID_SIZE);
        buffer_append(&ca->bundle_pem, buffer_bytes(&issuer->pem));
        return 0;
}

int ca_info_new(const struct sign_hello *hello, struct ca_info **ret, struct error *err) {
        CAD_AUTO(ca_info_free) struct ca_info *ca = calloc(1, sizeof(*ca));
        uint8_t fingerprint[SHA256_SIZE];

        if (!ca)
                return error_no_memory(err);
        memcpy(ca->replaces, hello->replaces, sizeof(ca->replaces));
        memcpy(ca->name, hello->name, sizeof(ca->name));
        memcpy(ca->public_url, hello->public_url, sizeof(ca->public_url));
        ca->root_key_present = hello->root_key_present;
        ca->keys_encrypted = hello->keys_encrypted;
        ca->issued_before = hello->issued;
        ca->signer_uid = hello->uid;
        if (keep_certificate(hello->root, &ca->root_der, &ca->root_pem, &ca->root, err) < 0)
                return -1;
        cert_fingerprint(ca->root.der, fingerprint);
        (void) hex_encode(BYTES(fingerprint, sizeof(fingerprint)), ca->id);
        if (strcmp(ca->id, hello->ca_id) != 0)
                return error_set(err, ERR_SIGNER_WRONG,
                                 "the signer's root is not the one that it names");
        buffer_append(&ca->bundle_pem, buffer_bytes(&ca->root_pem));
        for (size_t i = 0; i < hello->issuer_count; i++)
                if (add_issuer(ca, &hello->issuers[i], err) < 0)
                        return -1;
        if (!ca_info_active(ca))
                return error_set(err, ERR_SIGNER_WRONG, "the signer has no active issuer");
        if (ca->bundle_pem.failed)
                return error_no_memory(err);
        *ret = CAD_TAKE(ca);
        return 0;
}

bool ca_info_same(const struct ca_info *a, const struct ca_info *b) {
        if (strcmp(a->id, b->id) != 0 || a->issuer_count != b->issuer_count)
                return false;
        for (size_t i = 0; i < a->issuer_count; i++)
                if (a->issuers[i].state != b->issuers[i].state ||
                    !bytes_equal(a->issuers[i].cert.der, b->issuers[i].cert.der))
                        return false;
        return true;
}

const struct ca_info_issuer *ca_info_active(const struct ca_info *ca) {
        for (size_t i = 0; i < ca->issuer_count; i++)
                if (ca->issuers[i].state == SIGNER_ISSUER_ACTIVE)
                        return &ca->issuers[i];
        return NULL;
}

const struct ca_info_issuer *ca_info_issuer(const struct ca_info *ca, const char *id) {
        for (size_t i = 0; i < ca->issuer_count; i++)
                if (strcmp(ca->issuers[i].id, id) == 0)
                        return &ca->issuers[i];
        return NULL;
}

int ca_info_add_key(struct ca_info *ca, struct bytes spki, struct error *err) {
        struct ca_info_key *key;

        if (ca_info_owns_key(ca, spki))
                return 0;
        key = malloc(sizeof(*key) + spki.size);
        if (!key)
                return error_no_memory(err);
        memcpy(key->spki, spki.data, spki.size);
        key->size = spki.size;
        key->next = atomic_load(&ca->own_keys);
        atomic_store(&ca->own_keys, key);
        return 0;
}

bool ca_info_owns_key(const struct ca_info *ca, struct bytes spki) {
        bool owned = bytes_equal(spki, ca->root.spki);

        for (size_t i = 0; i < ca->issuer_count; i++)
                owned |= bytes_equal(spki, ca->issuers[i].cert.spki);
        /* those that were noted before a change of intermediates, too */
        for (; ca; ca = ca->before)
                for (const struct ca_info_key *key = atomic_load(&ca->own_keys); key;
                     key = key->next)
                        owned |= bytes_equal(spki, BYTES(key->spki, key->size));
        return owned;
}
