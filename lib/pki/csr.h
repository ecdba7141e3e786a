/*
 * Certification requests (PKCS#10, RFC 2986): a wish, read in full before any of it is believed.
 */
#pragma once

#include <stdint.h>

#include "key.h"
#include "san.h"

#define CSR_MAX (64u * 1024) /* octets; threats.md R-30 */
#define CSR_EKU_MAX 16
#define CSR_EXTENSION_MAX 32

/* RFC 5280 §4.2.1.3, bit i is KEY_USAGE bit i */
enum key_usage {
        KU_DIGITAL_SIGNATURE = 1 << 0,
        KU_NON_REPUDIATION = 1 << 1,
        KU_KEY_ENCIPHERMENT = 1 << 2,
        KU_DATA_ENCIPHERMENT = 1 << 3,
        KU_KEY_AGREEMENT = 1 << 4,
        KU_KEY_CERT_SIGN = 1 << 5,
        KU_CRL_SIGN = 1 << 6,
        KU_ENCIPHER_ONLY = 1 << 7,
        KU_DECIPHER_ONLY = 1 << 8,
};

/** struct csr - a request that is well formed; views point into the octets that it owns */
struct csr {
        uint8_t *octets;
        struct bytes der;
        struct bytes info;      /* CertificationRequestInfo, header included: what is signed */
        struct bytes spki;      /* header included */
        struct bytes algorithm; /* AlgorithmIdentifier of the signature, header included */
        struct bytes signature;
        struct bytes subject; /* Name, header included */
        struct bytes common_name;
        struct public_key *key; /* checked */
        struct san_list
                names; /* of its subjectAltName; without one, the CN where it is a well-formed DNS name, address or e-mail address */
        bool names_from_cn;
        bool wants_ca; /* basicConstraints says CA:TRUE */
        bool has_key_usage;
        uint32_t key_usage;                           /* enum key_usage, where has_key_usage */
        struct bytes extended_key_usage[CSR_EKU_MAX]; /* OIDs */
        size_t extended_key_usage_count;
        struct bytes other_extensions
                [CSR_EXTENSION_MAX]; /* OIDs of extensions that are none of: SAN, KU, EKU, BC, SKI */
        size_t other_extension_count;
        struct bytes other_attributes
                [CSR_EXTENSION_MAX]; /* OIDs of attributes that are neither extensionRequest nor challengePassword */
        size_t other_attribute_count;
};

struct csr *csr_free(struct csr *csr);
CAD_CLEANUP(struct csr, csr_free)

/**
 * csr_from_der() - read a CSR, check its structure, subject, names and key. The signature is not checked here.
 * @der: copied
 * @rsa_bits_max: see public_key_from_spki()
 * @err: ERR_CSR_MALFORMED (rows 25–27 of threats.md §4: BER, trailing octets, version ≠ 0, an extension twice, empty SEQUENCEs, …),
 *       ERR_CSR_SUBJECT, ERR_NAME_*, ERR_KEY_*; the field is csr, csr.subject.*, csr.san[i], csr.key, csr.extensions.NAME
 */
int csr_from_der(struct bytes der, unsigned rsa_bits_max, struct csr **ret, struct error *err);

/**
 * csr_from_text() - the same for what a person or program sends: DER, or PEM of one request with text around it
 * @err: also ERR_PRIVATE_KEY_IN_BODY (a private key is in it: it is neither kept nor logged), ERR_BODY_TOO_LARGE,
 *       ERR_CSR_MALFORMED for a certificate or two requests
 */
int csr_from_text(struct bytes text, unsigned rsa_bits_max, struct csr **ret, struct error *err);

/** csr_verify() - proof of possession: the signature over the octets that came, by the key in them. @err: ERR_CSR_SIGNATURE, ERR_CSR_WEAK_SIGNATURE */
int csr_verify(const struct csr *csr, struct error *err);

/**
 * csr_create() - make a CSR for a key: subject CN = @common_name (NULL: empty), subjectAltName = @names; for cactl
 * @ret: DER, appended
 */
int csr_create(const struct private_key *key, const char *common_name, const struct san_list *names,
               struct buffer *ret, struct error *err);
