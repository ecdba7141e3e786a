/*
 * OIDs in words and dots.
 */
#include "unit.h"

#include <gnutls/x509.h>
#include <stdio.h>
#include <string.h>

#include "lib/pki/oid.h"

#define TEXT(s) \
        { (const uint8_t *) (s), sizeof(s) - 1 }

/* clang-format off */
static const struct {
        const char *why;
        struct bytes oid;
        const char *text;
} oids[] = {
        { "a known one has its name in front", TEXT("\x2b\x06\x01\x05\x05\x07\x03\x02"), "clientAuth (1.3.6.1.5.5.7.3.2)" },
        { "a CN", TEXT("\x55\x04\x03"), "commonName (2.5.4.3)" },
        { "an arc of several octets", TEXT("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"), "rsaEncryption (1.2.840.113549.1.1.1)" },
        { "the first arcs: 0.0", TEXT("\x00"), "0.0" },
        { "0.39", TEXT("\x27"), "0.39" },
        { "1.0", TEXT("\x28"), "1.0" },
        { "1.39", TEXT("\x4f"), "1.39" },
        { "2.0", TEXT("\x50"), "2.0" },
        { "2.999: the first octet of several (X.690 §8.19.4)", TEXT("\x88\x37"), "2.999" },
        { "an unknown one", TEXT("\x2b\x06\x01\x04\x01\x83\xf4\x7f"), "1.3.6.1.4.1.64127" },
        { "an arc of 32 bits", TEXT("\x2a\x8f\xff\xff\xff\x7f"), "1.2.4294967295" },
        { "none", { NULL, 0 }, "?" },
        { "one that does not end", TEXT("\x86"), "?" },
};
/* clang-format on */

START_TEST(an_oid_is_shown_in_dots_with_its_name) {
        char text[OID_MAX_TEXT];

        ck_assert_msg(strcmp(oid_text(oids[_i].oid, text, sizeof(text)), oids[_i].text) == 0,
                      "%s: %s", oids[_i].why, text);
}
END_TEST

START_TEST(a_monstrous_oid_is_bounded) {
        uint8_t octets[512];
        char text[OID_MAX_TEXT], small[8];

        memset(octets, 0x7f, sizeof(octets));
        ck_assert_uint_lt(strlen(oid_text(BYTES(octets, sizeof(octets)), text, sizeof(text))),
                          sizeof(text));
        memset(octets, 0xff, sizeof(octets));
        ck_assert_str_eq(oid_text(BYTES(octets, sizeof(octets)), text, sizeof(text)), "?");
        ck_assert_uint_lt(strlen(oid_text(BYTES_LITERAL("\x55\x04\x03"), small, sizeof(small))),
                          sizeof(small));
}
END_TEST

#define ROW(name, dots) \
        { #name, name, dots }

/* Each constant against the dots of its standard. */
START_TEST(the_constants_are_what_the_standards_say) {
        const struct {
                const char *name;
                struct bytes oid;
                const char *dots;
        } rows[] = {
                ROW(OID_AT_COMMON_NAME, "2.5.4.3"),
                ROW(OID_AT_SERIAL_NUMBER, "2.5.4.5"),
                ROW(OID_AT_COUNTRY, "2.5.4.6"),
                ROW(OID_AT_LOCALITY, "2.5.4.7"),
                ROW(OID_AT_STATE, "2.5.4.8"),
                ROW(OID_AT_ORGANIZATION, "2.5.4.10"),
                ROW(OID_AT_ORGANIZATIONAL_UNIT, "2.5.4.11"),
                ROW(OID_AT_EMAIL, "1.2.840.113549.1.9.1"),
                ROW(OID_CE_SUBJECT_KEY_ID, "2.5.29.14"),
                ROW(OID_CE_KEY_USAGE, "2.5.29.15"),
                ROW(OID_CE_SUBJECT_ALT_NAME, "2.5.29.17"),
                ROW(OID_CE_BASIC_CONSTRAINTS, "2.5.29.19"),
                ROW(OID_CE_CRL_NUMBER, "2.5.29.20"),
                ROW(OID_CE_REASON_CODE, "2.5.29.21"),
                ROW(OID_CE_NAME_CONSTRAINTS, "2.5.29.30"),
                ROW(OID_CE_CRL_DISTRIBUTION_POINTS, "2.5.29.31"),
                ROW(OID_CE_AUTHORITY_KEY_ID, "2.5.29.35"),
                ROW(OID_CE_EXTENDED_KEY_USAGE, "2.5.29.37"),
                ROW(OID_ANY_EXTENDED_KEY_USAGE, "2.5.29.37.0"),
                ROW(OID_PE_AUTHORITY_INFO_ACCESS, "1.3.6.1.5.5.7.1.1"),
                ROW(OID_AD_CA_ISSUERS, "1.3.6.1.5.5.7.48.2"),
                ROW(OID_AD_OCSP, "1.3.6.1.5.5.7.48.1"),
                ROW(OID_PKIX_OCSP_NOCHECK, "1.3.6.1.5.5.7.48.1.5"),
                ROW(OID_KP_SERVER_AUTH, GNUTLS_KP_TLS_WWW_SERVER),
                ROW(OID_KP_CLIENT_AUTH, GNUTLS_KP_TLS_WWW_CLIENT),
                ROW(OID_KP_CODE_SIGNING, GNUTLS_KP_CODE_SIGNING),
                ROW(OID_KP_EMAIL_PROTECTION, GNUTLS_KP_EMAIL_PROTECTION),
                ROW(OID_KP_TIME_STAMPING, GNUTLS_KP_TIME_STAMPING),
                ROW(OID_KP_OCSP_SIGNING, GNUTLS_KP_OCSP_SIGNING),
                ROW(OID_EXTENSION_REQUEST, "1.2.840.113549.1.9.14"),
                ROW(OID_CHALLENGE_PASSWORD, "1.2.840.113549.1.9.7"),
                ROW(OID_RSA_ENCRYPTION, "1.2.840.113549.1.1.1"),
                ROW(OID_EC_PUBLIC_KEY, "1.2.840.10045.2.1"),
                ROW(OID_CURVE_P256, "1.2.840.10045.3.1.7"),
                ROW(OID_CURVE_P384, "1.3.132.0.34"),
                ROW(OID_CURVE_P521, "1.3.132.0.35"),
                ROW(OID_ED25519, "1.3.101.112"),
                ROW(OID_ECDSA_SHA256, "1.2.840.10045.4.3.2"),
                ROW(OID_ECDSA_SHA384, "1.2.840.10045.4.3.3"),
                ROW(OID_ECDSA_SHA512, "1.2.840.10045.4.3.4"),
                ROW(OID_ECDSA_SHA1, "1.2.840.10045.4.1"),
                ROW(OID_RSA_MD5, "1.2.840.113549.1.1.4"),
                ROW(OID_RSA_SHA1, "1.2.840.113549.1.1.5"),
                ROW(OID_RSA_PSS, "1.2.840.113549.1.1.10"),
                ROW(OID_RSA_SHA256, "1.2.840.113549.1.1.11"),
                ROW(OID_RSA_SHA384, "1.2.840.113549.1.1.12"),
                ROW(OID_RSA_SHA512, "1.2.840.113549.1.1.13"),
        };
        char text[OID_MAX_TEXT], ended[OID_MAX_TEXT];

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                const char *dots = oid_text(rows[i].oid, text, sizeof(text));
                const char *open = strchr(dots, '(');

                (void) snprintf(ended, sizeof(ended), open ? "(%s)" : "%s", rows[i].dots);
                ck_assert_msg(strcmp(open ? open : dots, ended) == 0, "%s is %s, not %s",
                              rows[i].name, dots, rows[i].dots);
        }
}
END_TEST

int main(void) {
        Suite *suite = suite_create("oid");
        TCase *tc = tcase_create("oid");

        tcase_add_loop_test(tc, an_oid_is_shown_in_dots_with_its_name, 0, (int) ARRAY_SIZE(oids));
        tcase_add_test(tc, a_monstrous_oid_is_bounded);
        tcase_add_test(tc, the_constants_are_what_the_standards_say);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
