/*
 * Certificates (RFC 5280 §4): ours are written here, octet by octet, and any can be read.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "constraints.h"
#include "csr.h"
#include "der.h"
#include "key.h"
#include "profile.h"
#include "san.h"

#define SERIAL_MAX 20 /* octets; RFC 5280 §4.1.2.2 */
#define CERT_MAX \
        (32u * \
         1024) /* octets of any certificate that we make; 100 names of 254 octets and RSA-8192 are about 28 KiB */
#define CERT_URL_MAX 256 /* bytes with NUL of a URL inside a certificate */

/** struct validity - notBefore and notAfter, seconds since the epoch, both inclusive (RFC 5280 §4.1.2.5) */
struct validity {
        int64_t not_before;
        int64_t not_after;
};

/** struct cert_issuer - what every certificate of one issuer has in common; views owned by whoever fills it in */
struct cert_issuer {
        struct bytes subject; /* Name, header included: becomes the issuer */
        uint8_t key_id[KEY_ID_SIZE];
        struct bytes algorithm; /* AlgorithmIdentifier of its signatures */
        const char *crl_url;    /* NULL: none */
        const char *issuer_url; /* caIssuers of AIA; NULL: none */
        const char *ocsp_url;   /* NULL: none */
};

/** struct cert_wish - what a leaf shall say; the rest follows from profile and issuer */
struct cert_wish {
        const struct profile *profile;
        struct bytes serial; /* big-endian magnitude, 1–20 octets, first octet 0x01–0x7f */
        struct bytes spki;
        enum key_type key_type;
        const char *common_name; /* NULL: empty subject, and the SAN is critical */
        const struct san_list *names;
        struct validity validity;
};

/** cert_put_leaf() - write a leaf's TBSCertificate */
void cert_put_leaf(struct der_writer *w, const struct cert_issuer *issuer,
                   const struct cert_wish *wish);

/** struct ca_wish - what a CA certificate shall say */
struct ca_wish {
        struct bytes serial;
        struct bytes spki;
        const char *organization; /* NULL: none */
        const char *common_name;
        const struct name_constraints *constraints; /* NULL or empty: none */
        int path_length;                            /* -1: none */
        bool self_signed;                           /* a root: issuer = subject; no AIA, CDP */
        struct validity validity;
};

/** cert_put_ca() - write a CA's TBSCertificate; @issuer->subject is not used for a self-signed one */
void cert_put_ca(struct der_writer *w, const struct cert_issuer *issuer,
                 const struct ca_wish *wish);

/**
 * cert_sign() - put the signature behind a TBSCertificate
 * @tbs:   as the writers above made it
 * @ret:   the Certificate, appended
 */
int cert_sign(const struct private_key *key, struct bytes tbs, struct buffer *ret,
              struct error *err);

/** struct cert - a certificate that was read; views point into @der of the caller, who keeps it alive */
struct cert {
        struct bytes der;
        struct bytes tbs;    /* header included */
        struct bytes serial; /* INTEGER content without a leading zero */
        struct bytes issuer; /* Name, header included */
        struct bytes subject;
        struct validity validity;
        struct bytes spki;
        struct bytes algorithm; /* of the signature, header included; equal inside and outside */
        struct bytes signature;
        struct bytes san; /* content of the extension's OCTET STRING; empty: none */
        bool san_critical;
        bool has_basic_constraints, is_ca;
        int path_length; /* -1: none */
        bool has_key_usage, key_usage_critical;
        uint32_t key_usage;
        struct bytes extended_key_usage; /* content of the extension's OCTET STRING */
        struct bytes subject_key_id;     /* the octets */
        struct bytes authority_key_id;
        struct bytes name_constraints;
        struct bytes crl_distribution_points;
        struct bytes authority_info_access;
        bool ocsp_nocheck;
        bool unknown_critical; /* a critical extension that none of the above */
        size_t extension_count;
};

/** cert_read() - read a v3 certificate strictly. @err: ERR_CSR_MALFORMED with what is wrong */
int cert_read(struct bytes der, struct cert *ret, struct error *err);

/**
 * cert_compare() - one pass over what came back from the signer against what was asked (design.md §2)
 *
 * Issuer, public key, names, validity, serial form, CA bit, usages, key identifiers and the number of extensions must be as asked.
 * @err: ERR_SIGNER_WRONG with the first difference
 */
int cert_compare(const struct cert *cert, const struct cert_issuer *issuer,
                 const struct cert_wish *wish, struct error *err);

/** cert_validity() - choose notBefore and notAfter
 * @now: seconds since the epoch
 * @not_before: as asked, or 0 for @now less the profile's backdate (a quarter of a shorter @lifetime_s), not before @issuer's
 * @lifetime_s: as asked, or 0 for the profile's default; notAfter - notBefore + 1 s is never more than the profile's maximum (threats.md R-17)
 * @issuer: bounds both ends: a certificate that would outlive its issuer is cut and *ret_cut set
 * @err: ERR_VALIDITY_OUT_OF_RANGE
 */
int cert_validity(const struct profile *profile, int64_t now, int64_t not_before,
                  int64_t lifetime_s, const struct validity *issuer, struct validity *ret,
                  bool *ret_cut, struct error *err);

/** cert_is_self_signed() - issuer equals subject */
bool cert_is_self_signed(const struct cert *cert);

/** cert_fingerprint() - SHA-256 of the whole certificate */
void cert_fingerprint(struct bytes der, uint8_t ret[SHA256_SIZE]);

/**
 * chain_verify() - GnuTLS's word on leaf → intermediate → root at a time: the second opinion, for probe leaves and tools
 * @err: ERR_SIGNER_WRONG with GnuTLS's reason
 */
int chain_verify(struct bytes leaf, struct bytes intermediate, struct bytes root, int64_t now,
                 struct error *err);

/**
 * root_verify() - whether a root has signed itself
 *
 * Times are not looked at. A signature with SHA-1 or MD5 passes unread: nobody trusts a root for its own word.
 * @err: ERR_SIGNER_WRONG
 */
int root_verify(struct bytes root, struct error *err);
