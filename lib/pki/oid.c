/*
 * OIDs for people.
 */
#include "oid.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

static const struct {
        const char *name;
        const char *octets;
        size_t size;
} known[] = {
        { "commonName", "\x55\x04\x03", 3 },
        { "emailAddress", "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01", 9 },
        { "subjectKeyIdentifier", "\x55\x1d\x0e", 3 },
        { "keyUsage", "\x55\x1d\x0f", 3 },
        { "subjectAltName", "\x55\x1d\x11", 3 },
        { "issuerAltName", "\x55\x1d\x12", 3 },
        { "basicConstraints", "\x55\x1d\x13", 3 },
        { "nameConstraints", "\x55\x1d\x1e", 3 },
        { "cRLDistributionPoints", "\x55\x1d\x1f", 3 },
        { "certificatePolicies", "\x55\x1d\x20", 3 },
        { "policyMappings", "\x55\x1d\x21", 3 },
        { "authorityKeyIdentifier", "\x55\x1d\x23", 3 },
        { "policyConstraints", "\x55\x1d\x24", 3 },
        { "extendedKeyUsage", "\x55\x1d\x25", 3 },
        { "anyExtendedKeyUsage", "\x55\x1d\x25\x00", 4 },
        { "privateKeyUsagePeriod", "\x55\x1d\x10", 3 },
        { "authorityInfoAccess", "\x2b\x06\x01\x05\x05\x07\x01\x01", 8 },
        { "tlsFeature", "\x2b\x06\x01\x05\x05\x07\x01\x18", 8 },
        { "serverAuth", "\x2b\x06\x01\x05\x05\x07\x03\x01", 8 },
        { "clientAuth", "\x2b\x06\x01\x05\x05\x07\x03\x02", 8 },
        { "codeSigning", "\x2b\x06\x01\x05\x05\x07\x03\x03", 8 },
        { "emailProtection", "\x2b\x06\x01\x05\x05\x07\x03\x04", 8 },
        { "timeStamping", "\x2b\x06\x01\x05\x05\x07\x03\x08", 8 },
        { "OCSPSigning", "\x2b\x06\x01\x05\x05\x07\x03\x09", 8 },
        { "ocspNoCheck", "\x2b\x06\x01\x05\x05\x07\x30\x01\x05", 9 },
        { "challengePassword", "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07", 9 },
        { "extensionRequest", "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e", 9 },
        { "unstructuredName", "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x02", 9 },
        { "certificateTemplate", "\x2b\x06\x01\x04\x01\x82\x37\x15\x07", 9 },
        { "certificateTemplateName", "\x2b\x06\x01\x04\x01\x82\x37\x14\x02", 9 },
        { "applicationCertPolicies", "\x2b\x06\x01\x04\x01\x82\x37\x15\x0a", 9 },
        { "rsaEncryption", "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01", 9 },
        { "id-RSASSA-PSS", "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a", 9 },
        { "sha1WithRSAEncryption", "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05", 9 },
        { "md5WithRSAEncryption", "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04", 9 },
        { "ecdsa-with-SHA1", "\x2a\x86\x48\xce\x3d\x04\x01", 7 },
        { "DSA", "\x2a\x86\x48\xce\x38\x04\x01", 7 },
        { "ecPublicKey", "\x2a\x86\x48\xce\x3d\x02\x01", 7 },
        { "P-192", "\x2a\x86\x48\xce\x3d\x03\x01\x01", 8 },
        { "P-224", "\x2b\x81\x04\x00\x21", 5 },
        { "secp256k1", "\x2b\x81\x04\x00\x0a", 5 },
        { "brainpoolP256r1", "\x2b\x24\x03\x03\x02\x08\x01\x01\x07", 9 },
        { "brainpoolP384r1", "\x2b\x24\x03\x03\x02\x08\x01\x01\x0b", 9 },
        { "brainpoolP512r1", "\x2b\x24\x03\x03\x02\x08\x01\x01\x0d", 9 },
        { "X25519", "\x2b\x65\x6e", 3 },
        { "X448", "\x2b\x65\x6f", 3 },
        { "Ed25519", "\x2b\x65\x70", 3 },
        { "Ed448", "\x2b\x65\x71", 3 },
        { "ML-DSA-44", "\x60\x86\x48\x01\x65\x03\x04\x03\x11", 9 },
        { "ML-DSA-65", "\x60\x86\x48\x01\x65\x03\x04\x03\x12", 9 },
        { "ML-DSA-87", "\x60\x86\x48\x01\x65\x03\x04\x03\x13", 9 },
};

static const char *known_name(struct bytes oid) {
        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                if (bytes_equal(oid, BYTES(known[i].octets, known[i].size)))
                        return known[i].name;
        return NULL;
}

/* Dotted text (X.690 §8.19); an arc beyond 64 bits or an unended one is shown as '?'. */
static void dotted(struct bytes oid, char *out, size_t size) {
        uint64_t arc = 0;
        size_t used = 0;
        bool first = true;

        out[0] = '\0';
        for (size_t i = 0; i < oid.size && used + 1 < size; i++) {
                int n;

                if (arc >> 56)
                        break;
                arc = arc << 7 | (oid.data[i] & 0x7f);
                if (oid.data[i] & 0x80)
                        continue;
                if (first) {
                        uint64_t top = arc < 80 ? arc / 40 : 2;

                        n = snprintf(out, size, "%" PRIu64 ".%" PRIu64, top, arc - top * 40);
                } else {
                        n = snprintf(out + used, size - used, ".%" PRIu64, arc);
                }
                used += n > 0 ? (size_t) n : 0;
                first = false;
                arc = 0;
        }
        if (used == 0)
                (void) snprintf(out, size, "?");
}

const char *oid_text(struct bytes oid, char *out, size_t size) {
        const char *name = known_name(oid);
        char numbers[OID_MAX_TEXT];

        dotted(oid, numbers, sizeof(numbers));
        if (name)
                (void) snprintf(out, size, "%s (%s)", name, numbers);
        else
                (void) snprintf(out, size, "%s", numbers);
        return out;
}
