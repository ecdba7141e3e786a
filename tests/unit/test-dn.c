/*
 * Distinguished names: what a peer may send (threats.md §4 rows 17, 20–22), what we write, what is shown.
 */
#include "unit.h"

#include <gnutls/x509.h>
#include <string.h>

#include "lib/pki/dn.h"
#include "lib/pki/oid.h"

#define DER_MAX 8192
#define X64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define UML16 "üüüüüüüüüüüüüüüü"

#define DC "\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19"
#define UNKNOWN_OID "\x2b\x06\x01\x04\x01\x82\x37\x63" /* 1.3.6.1.4.1.311.99 */

struct part {
        struct bytes oid;
        uint8_t tag;
        struct bytes value;
};

#define PART(oid_, tag_, text) \
        { OID(oid_), tag_, TEXT(text) }
#define OID(s) \
        { (const uint8_t *) (s), sizeof(s) - 1 }
#define TEXT(s) \
        { (const uint8_t *) (s), sizeof(s) - 1 }
#define CN "\x55\x04\x03"
#define COUNTRY "\x55\x04\x06"
#define ORGANIZATION "\x55\x04\x0a"
#define UNIT "\x55\x04\x0b"
#define LOCALITY "\x55\x04\x07"
#define STATE "\x55\x04\x08"
#define SERIAL "\x55\x04\x05"
#define EMAIL "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01"

/* A Name of one RDN a part; the buffer is the caller's. */
static struct bytes write_name(const struct part *parts, size_t count, uint8_t *buffer,
                               size_t size) {
        struct der_writer w;

        der_writer_init(&w, buffer, size);
        for (size_t i = count; i > 0; i--) {
                size_t mark = der_mark(&w);

                der_put(&w, parts[i - 1].tag, parts[i - 1].value);
                der_put(&w, DER_OID, parts[i - 1].oid);
                der_wrap(&w, DER_SEQUENCE, mark);
                der_wrap(&w, DER_SET, mark);
        }
        der_wrap(&w, DER_SEQUENCE, 0);
        ck_assert(!w.failed);
        return der_writer_bytes(&w);
}

/* clang-format off */
static const struct {
        const char *why;
        struct part part;
        const char *field, *says; /* NULL: it is good */
} parts[] = {
        { "a CN", PART(CN, DER_UTF8_STRING, "nas.lan"), NULL, NULL },
        { "a CN as PrintableString", PART(CN, DER_PRINTABLE_STRING, "nas.lan"), NULL, NULL },
        { "a CN of 64", PART(CN, DER_UTF8_STRING, X64), NULL, NULL },
        { "a CN of 64 characters in 128 octets", PART(CN, DER_UTF8_STRING, UML16 UML16 UML16 UML16), NULL, NULL },
        { "a CN of 65 (row 21)", PART(CN, DER_UTF8_STRING, X64 "x"), "csr.subject.CN", "64" },
        { "65 characters in 130 octets", PART(CN, DER_UTF8_STRING, UML16 UML16 UML16 UML16 "ü"), "csr.subject.CN", "64" },
        { "an empty CN", PART(CN, DER_UTF8_STRING, ""), "csr.subject.CN", "empty" },
        { "NUL (row 17)", PART(CN, DER_UTF8_STRING, "good.lan\0.evil"), "csr.subject.CN", "NUL" },
        { "NUL in a PrintableString", PART(CN, DER_PRINTABLE_STRING, "good.lan\0.evil"), "csr.subject.CN", "NUL" },
        { "BMPString (row 20)", PART(CN, DER_BMP_STRING, "\0n\0a\0s"), "csr.subject.CN", "UTF8String" },
        { "UniversalString", PART(CN, DER_UNIVERSAL_STRING, "\0\0\0n"), "csr.subject.CN", "UTF8String" },
        { "TeletexString", PART(CN, DER_TELETEX_STRING, "nas"), "csr.subject.CN", "UTF8String" },
        { "IA5String as CN", PART(CN, DER_IA5_STRING, "nas"), "csr.subject.CN", "UTF8String" },
        { "an INTEGER", PART(CN, DER_INTEGER, "\1"), "csr.subject.CN", "UTF8String" },
        { "a SEQUENCE", PART(CN, DER_SEQUENCE, "\5\0"), "csr.subject.CN", "UTF8String" },
        { "invalid UTF-8", PART(CN, DER_UTF8_STRING, "n\xe4s"), "csr.subject.CN", "UTF-8" },
        { "overlong UTF-8", PART(CN, DER_UTF8_STRING, "n\xc0\xaes"), "csr.subject.CN", "UTF-8" },
        { "a surrogate", PART(CN, DER_UTF8_STRING, "\xed\xa0\x80"), "csr.subject.CN", "UTF-8" },
        { "U+202E", PART(CN, DER_UTF8_STRING, "nal.\xe2\x80\xaesan"), "csr.subject.CN", "bidirectional" },
        { "U+2066", PART(CN, DER_UTF8_STRING, "\xe2\x81\xa6nas"), "csr.subject.CN", "bidirectional" },
        { "U+200F", PART(CN, DER_UTF8_STRING, "nas\xe2\x80\x8f"), "csr.subject.CN", "bidirectional" },
        { "U+200B", PART(CN, DER_UTF8_STRING, "n\xe2\x80\x8b" "as"), "csr.subject.CN", "invisible" },
        { "a byte order mark", PART(CN, DER_UTF8_STRING, "\xef\xbb\xbfnas"), "csr.subject.CN", "invisible" },
        { "a line break", PART(CN, DER_UTF8_STRING, "nas\nlan"), "csr.subject.CN", "control" },
        { "an escape", PART(CN, DER_UTF8_STRING, "\x1b[31m"), "csr.subject.CN", "control" },
        { "C1", PART(CN, DER_UTF8_STRING, "\xc2\x9b" "31m"), "csr.subject.CN", "control" },
        { "DEL", PART(CN, DER_UTF8_STRING, "n\x7f"), "csr.subject.CN", "control" },
        { "a zero-width joiner is language", PART(CN, DER_UTF8_STRING, "\xe0\xa4\x95\xe2\x80\x8d"), NULL, NULL },
        { "not ASCII in PrintableString", PART(CN, DER_PRINTABLE_STRING, "n\xe4s"), "csr.subject.CN", "PrintableString" },
        { "'_' in PrintableString", PART(CN, DER_PRINTABLE_STRING, "n_s"), "csr.subject.CN", "PrintableString" },
        { "C", PART(COUNTRY, DER_PRINTABLE_STRING, "DE"), NULL, NULL },
        { "C of 3", PART(COUNTRY, DER_PRINTABLE_STRING, "DEU"), "csr.subject.C", "2" },
        { "C of 1", PART(COUNTRY, DER_PRINTABLE_STRING, "D"), "csr.subject.C", "two capital" },
        { "C in lower case", PART(COUNTRY, DER_PRINTABLE_STRING, "de"), "csr.subject.C", "two capital" },
        { "C as UTF8String", PART(COUNTRY, DER_UTF8_STRING, "DE"), "csr.subject.C", "PrintableString" },
        { "O of 64", PART(ORGANIZATION, DER_UTF8_STRING, X64), NULL, NULL },
        { "O of 65", PART(ORGANIZATION, DER_UTF8_STRING, X64 "x"), "csr.subject.O", "64" },
        { "OU of 65", PART(UNIT, DER_UTF8_STRING, X64 "x"), "csr.subject.OU", "64" },
        { "L of 128", PART(LOCALITY, DER_UTF8_STRING, X64 X64), NULL, NULL },
        { "L of 129", PART(LOCALITY, DER_UTF8_STRING, X64 X64 "x"), "csr.subject.L", "128" },
        { "ST of 129", PART(STATE, DER_UTF8_STRING, X64 X64 "x"), "csr.subject.ST", "128" },
        { "serialNumber of 64", PART(SERIAL, DER_PRINTABLE_STRING, X64), NULL, NULL },
        { "serialNumber as UTF8String", PART(SERIAL, DER_UTF8_STRING, "1"), "csr.subject.serialNumber", "PrintableString" },
        { "serialNumber of 65", PART(SERIAL, DER_PRINTABLE_STRING, X64 "x"), "csr.subject.serialNumber", "64" },
        { "emailAddress", PART(EMAIL, DER_IA5_STRING, "a@home.lan"), NULL, NULL },
        { "emailAddress as UTF8String", PART(EMAIL, DER_UTF8_STRING, "a@home.lan"), "csr.subject.emailAddress", "IA5String" },
        { "not ASCII in IA5String", PART(EMAIL, DER_IA5_STRING, "\xe4@home.lan"), "csr.subject.emailAddress", "ASCII" },
        { "DC", PART(DC, DER_IA5_STRING, "home"), NULL, NULL },
        { "DC of 64", PART(DC, DER_IA5_STRING, X64), "csr.subject.DC", "63" },
        { "an attribute that is not known", PART(UNKNOWN_OID, DER_UTF8_STRING, "x"), NULL, NULL },
        { "the same of 257", PART(UNKNOWN_OID, DER_UTF8_STRING, X64 X64 X64 X64 "x"), "csr.subject.1.3.6.1.4.1.311.99", "256" },
        { "the same as bits", PART(UNKNOWN_OID, DER_BIT_STRING, "\0x"), "csr.subject.1.3.6.1.4.1.311.99", "IA5String" },
        { "an empty OID", { { NULL, 0 }, DER_UTF8_STRING, TEXT("x") }, "csr.subject", "DER" },
};
/* clang-format on */

START_TEST(a_part_is_judged_by_its_kind) {
        struct bytes untouched = BYTES_LITERAL("untouched"), cn = untouched;
        uint8_t buffer[DER_MAX];
        struct bytes der = write_name(&parts[_i].part, 1, buffer, sizeof(buffer));
        struct error err = { 0 };

        if (!parts[_i].says) {
                ck_ok(dn_check(der, "csr.subject", &cn, &err), err);
                return;
        }
        ck_refused(dn_check(der, "csr.subject", &cn, &err), err, ERR_CSR_SUBJECT);
        ck_assert_str_eq(err.field, parts[_i].field);
        ck_assert_msg(strstr(err.text, parts[_i].says) != NULL, "%s: %s", parts[_i].why, err.text);
        ck_assert(bytes_equal(cn, untouched));
}
END_TEST

START_TEST(the_cn_is_found_and_the_empty_name_has_none) {
        static const struct part three[] = {
                PART(COUNTRY, DER_PRINTABLE_STRING, "DE"),
                PART(CN, DER_UTF8_STRING, "nas.lan"),
                PART(UNIT, DER_UTF8_STRING, "attic"),
        };
        uint8_t buffer[DER_MAX];
        struct bytes cn = BYTES_NONE;
        struct error err = { 0 };

        ck_ok(dn_check(write_name(three, 3, buffer, sizeof(buffer)), "csr.subject", &cn, &err),
              err);
        ck_assert(bytes_equal(cn, BYTES_LITERAL("nas.lan")));
        ck_assert(cn.data > buffer && cn.data < buffer + sizeof(buffer));
        ck_ok(dn_check(write_name(NULL, 0, buffer, sizeof(buffer)), "csr.subject", &cn, &err), err);
        ck_assert_ptr_null(cn.data);
        ck_ok(dn_check(write_name(three, 3, buffer, sizeof(buffer)), "csr.subject",
                       /* ret_cn= */ NULL, &err),
              err);
}
END_TEST

START_TEST(two_different_cns_are_refused) {
        static const struct part same[] = { PART(CN, DER_UTF8_STRING, "a.lan"),
                                            PART(CN, DER_PRINTABLE_STRING, "a.lan") };
        static const struct part other[] = { PART(CN, DER_UTF8_STRING, "a.lan"),
                                             PART(CN, DER_UTF8_STRING, "b.lan") };
        uint8_t buffer[DER_MAX];
        struct error err = { 0 };
        struct bytes cn;

        ck_ok(dn_check(write_name(same, 2, buffer, sizeof(buffer)), "csr.subject", &cn, &err), err);
        ck_refused(dn_check(write_name(other, 2, buffer, sizeof(buffer)), "csr.subject", &cn, &err),
                   err, ERR_CSR_SUBJECT);
        ck_assert_str_eq(err.field, "csr.subject.CN");
}
END_TEST

START_TEST(the_number_of_parts_is_bounded) {
        struct part many[DN_RDN_MAX + 1];
        uint8_t buffer[DER_MAX];
        struct error err = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(many); i++)
                many[i] = (struct part) PART(UNIT, DER_UTF8_STRING, "x");
        ck_ok(dn_check(write_name(many, DN_RDN_MAX, buffer, sizeof(buffer)), "csr.subject", NULL,
                       &err),
              err);
        ck_refused(dn_check(write_name(many, DN_RDN_MAX + 1, buffer, sizeof(buffer)), "csr.subject",
                            NULL, &err),
                   err, ERR_CSR_SUBJECT);
        ck_assert_str_eq(err.field, "csr.subject");
}
END_TEST

/* O=Home + CN=a in one RDN */
#define MULTI_VALUED \
        "\x30\x1b\x31\x19" \
        "\x30\x08\x06\x03" CN "\x0c\x01" \
        "a" \
        "\x30\x0d\x06\x03" ORGANIZATION "\x0c\x06" \
        "Home A"

/* clang-format off */
static const struct {
        const char *why;
        struct bytes der;
        const char *says;
} bad_names[] = {
        { "a multi-valued RDN (row 22)", TEXT(MULTI_VALUED), "multi-valued" },
        { "nothing", { NULL, 0 }, "DER" },
        { "a SET", TEXT("\x31\x00"), "DER" },
        { "an empty RDN", TEXT("\x30\x02\x31\x00"), "DER" },
        { "an RDN that is a SEQUENCE", TEXT("\x30\x0c\x30\x0a\x30\x08\x06\x03" CN "\x0c\x01" "a"), "DER" },
        { "something behind the value", TEXT("\x30\x0e\x31\x0c\x30\x0a\x06\x03" CN "\x0c\x01" "a\x05\x00"), "DER" },
        { "no value", TEXT("\x30\x09\x31\x07\x30\x05\x06\x03" CN), "DER" },
        { "an indefinite length", TEXT("\x30\x80\x00\x00"), "DER" },
        { "4 GiB", TEXT("\x30\x84\xff\xff\xff\xff\x31"), "DER" },
};
/* clang-format on */

START_TEST(a_bad_name_is_refused) {
        struct error err;

        ck_refused(dn_check(bad_names[_i].der, "csr.subject", NULL, &err), err, ERR_CSR_SUBJECT);
        ck_assert_str_eq(err.field, "csr.subject");
        ck_assert_msg(strstr(err.text, bad_names[_i].says) != NULL, "%s: %s", bad_names[_i].why,
                      err.text);
}
END_TEST

START_TEST(a_prefix_or_one_byte_more_is_refused) {
        static const struct part two[] = { PART(ORGANIZATION, DER_UTF8_STRING, "Home"),
                                           PART(CN, DER_UTF8_STRING, "nas") };
        uint8_t buffer[DER_MAX + 1] = { 0 };
        struct bytes der = write_name(two, 2, buffer, DER_MAX),
                     untouched = BYTES_LITERAL("untouched"), cn = untouched;
        struct error err;

        for (size_t n = 0; n < der.size; n++)
                ck_refused(dn_check(BYTES(der.data, n), "csr.subject", &cn, &err), err,
                           ERR_CSR_SUBJECT);
        ck_refused(dn_check(BYTES(der.data, der.size + 1), "csr.subject", &cn, &err), err,
                   ERR_CSR_SUBJECT);
        ck_assert(bytes_equal(cn, untouched));
}
END_TEST

/* ---- writing ---- */

/* clang-format off */
static const struct {
        const char *why, *organization, *common_name, *text;
        const char *der;
        size_t size;
} written[] = {
        { "both", "Home", "CA", "CN=CA,O=Home",
          "\x30\x1c\x31\x0d\x30\x0b\x06\x03" ORGANIZATION "\x13\x04Home\x31\x0b\x30\x09\x06\x03" CN "\x13\x02" "CA", 30 },
        { "a CN alone, as UTF8String", NULL, "n_s", "CN=n_s", "\x30\x0e\x31\x0c\x30\x0a\x06\x03" CN "\x0c\x03n_s", 16 },
        { "an O alone", "A", NULL, "O=A", "\x30\x0c\x31\x0a\x30\x08\x06\x03" ORGANIZATION "\x13\x01" "A", 14 },
        { "neither", NULL, NULL, "", "\x30\x00", 2 },
};
/* clang-format on */

START_TEST(our_names_are_written_and_pass_our_check) {
        uint8_t buffer[128];
        char text[DN_TEXT_MAX];
        struct error err = { 0 };
        struct der_writer w;

        der_writer_init(&w, buffer, sizeof(buffer));
        dn_put(&w, written[_i].organization, written[_i].common_name);
        ck_assert_msg(bytes_equal(der_writer_bytes(&w), BYTES(written[_i].der, written[_i].size)),
                      "%s", written[_i].why);
        ck_ok(dn_check(der_writer_bytes(&w), "subject", NULL, &err), err);
        ck_assert_str_eq(dn_text(der_writer_bytes(&w), text, sizeof(text)), written[_i].text);
        ck_assert_str_eq(dn_common_name(der_writer_bytes(&w), text, sizeof(text)),
                         written[_i].common_name ? written[_i].common_name : "");
}
END_TEST

/* ---- showing ---- */

/* clang-format off */
static const struct {
        const char *why;
        struct part part;
        const char *text, *cn;
} shown[] = {
        { "plain", PART(CN, DER_UTF8_STRING, "nas"), "CN=nas", "nas" },
        { "UTF-8", PART(CN, DER_UTF8_STRING, "bücher"), "CN=bücher", "bücher" },
        { "RFC 4514 §4", PART(CN, DER_UTF8_STRING, "James \"Jim\" Smith, III"), "CN=James \\\"Jim\\\" Smith\\, III",
          "James \"Jim\" Smith, III" },
        { "'#' at the start", PART(CN, DER_UTF8_STRING, "#1"), "CN=\\#1", "#1" },
        { "'#' inside", PART(CN, DER_UTF8_STRING, "a#1"), "CN=a#1", "a#1" },
        { "spaces at both ends", PART(CN, DER_UTF8_STRING, " a "), "CN=\\ a\\ ", " a " },
        { "other special characters", PART(CN, DER_UTF8_STRING, "a+b;c<d>e\\f"), "CN=a\\+b\\;c\\<d\\>e\\\\f", "a+b;c<d>e\\f" },
        { "a control character", PART(CN, DER_UTF8_STRING, "a\nb"), "CN=#0c03610a62", "" },
        { "a bidirectional control", PART(CN, DER_UTF8_STRING, "\xe2\x80\xae"), "CN=#0c03e280ae", "" },
        { "NUL", PART(CN, DER_UTF8_STRING, "a\0b"), "CN=#0c03610062", "" },
        { "BMPString", PART(CN, DER_BMP_STRING, "\0a"), "CN=#1e020061", "" },
        { "an attribute that is not known", PART(UNKNOWN_OID, DER_UTF8_STRING, "x"), "1.3.6.1.4.1.311.99=#0c0178", "" },
        { "an attribute that is known elsewhere", PART("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x02", DER_UTF8_STRING, "x"),
          "1.2.840.113549.1.9.2=#0c0178", "" },
};
/* clang-format on */

START_TEST(a_name_is_shown_as_rfc4514_says) {
        uint8_t buffer[DER_MAX];
        char text[DN_TEXT_MAX];
        struct bytes der = write_name(&shown[_i].part, 1, buffer, sizeof(buffer));

        ck_assert_str_eq(dn_text(der, text, sizeof(text)), shown[_i].text);
        ck_assert_str_eq(dn_common_name(der, text, sizeof(text)), shown[_i].cn);
}
END_TEST

START_TEST(the_most_specific_part_comes_first_as_gnutls_has_it) {
        static const struct part three[] = {
                PART(COUNTRY, DER_PRINTABLE_STRING, "DE"),
                PART(ORGANIZATION, DER_UTF8_STRING, "Home, sweet"),
                PART(CN, DER_UTF8_STRING, "nas.lan"),
        };
        uint8_t buffer[DER_MAX];
        struct bytes der = write_name(three, 3, buffer, sizeof(buffer));
        gnutls_datum_t raw = { (unsigned char *) (uintptr_t) der.data, (unsigned) der.size },
                       theirs;
        char text[DN_TEXT_MAX];
        gnutls_x509_dn_t dn;

        ck_assert_int_eq(gnutls_x509_dn_init(&dn), 0);
        ck_assert_int_eq(gnutls_x509_dn_import(dn, &raw), 0);
        ck_assert_int_eq(gnutls_x509_dn_get_str2(dn, &theirs, 0), 0);
        ck_assert_str_eq(dn_text(der, text, sizeof(text)), (char *) theirs.data);
        ck_assert_str_eq(text, "CN=nas.lan,O=Home\\, sweet,C=DE");
        gnutls_free(theirs.data);
        gnutls_x509_dn_deinit(dn);
}
END_TEST

START_TEST(what_is_no_name_is_shown_as_hex) {
        char text[DN_TEXT_MAX], small[8];

        ck_assert_str_eq(dn_text(BYTES_LITERAL("\x31\x00"), text, sizeof(text)), "#3100");
        ck_assert_str_eq(dn_text(BYTES_NONE, text, sizeof(text)), "#");
        ck_assert_str_eq(dn_common_name(BYTES_LITERAL("\x31\x00"), text, sizeof(text)), "");
        ck_assert_str_eq(dn_text(BYTES_LITERAL(MULTI_VALUED), text, sizeof(text)), "CN=a+O=Home A");
        ck_assert_uint_lt(strlen(dn_text(BYTES_LITERAL(MULTI_VALUED), small, sizeof(small))),
                          sizeof(small));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("dn");
        TCase *tc = tcase_create("dn");

        tcase_add_loop_test(tc, a_part_is_judged_by_its_kind, 0, (int) ARRAY_SIZE(parts));
        tcase_add_test(tc, the_cn_is_found_and_the_empty_name_has_none);
        tcase_add_test(tc, two_different_cns_are_refused);
        tcase_add_test(tc, the_number_of_parts_is_bounded);
        tcase_add_loop_test(tc, a_bad_name_is_refused, 0, (int) ARRAY_SIZE(bad_names));
        tcase_add_test(tc, a_prefix_or_one_byte_more_is_refused);
        tcase_add_loop_test(tc, our_names_are_written_and_pass_our_check, 0,
                            (int) ARRAY_SIZE(written));
        tcase_add_loop_test(tc, a_name_is_shown_as_rfc4514_says, 0, (int) ARRAY_SIZE(shown));
        tcase_add_test(tc, the_most_specific_part_comes_first_as_gnutls_has_it);
        tcase_add_test(tc, what_is_no_name_is_shown_as_hex);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
