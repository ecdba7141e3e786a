/*
 * The forms of a certificate: JSON that another parser reads as the row, PEM that is pem_append()'s, DER, PKCS#7.
 */
#include "unit.h"

#include <string.h>

#include "daemon/http/json.h"
#include "daemon/rest/certificate_form.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/pem.h"
#include "lib/pki/pkcs7.h"

#define NOW INT64_C(1795284000) /* 2026-11-21T18:00:00Z */

static const uint8_t serial[20] = { 0x10, 1,  2,  3,  4,  5,  6,  7,  8,    9,
                                    10,   11, 12, 13, 14, 15, 16, 17, 0xfe, 0xff };
static uint8_t der[3000];
static struct ca_info_issuer issuer;

static void set_up(void) {
        for (size_t i = 0; i < sizeof(der); i++)
                der[i] = (uint8_t) (i * 31 + 7);
        issuer.cert.der = BYTES(der + 1000, 777);
}

/* ---- JSON ---- */

/* clang-format off */
static const struct {
        const char *why;
        const char *subject, *names[5];
        const char *label;
        size_t serial_size;
        int64_t not_after;
        enum cert_status status;
        int64_t revoked_at;
        enum revocation_reason reason;
        const char *shown_status;
} rows[] = {
        { "a valid one",        "CN=nas.lan", { "nas.lan", "10.0.0.1" }, NULL, 19, NOW + 1, CERT_STATUS_VALID, 0, 0, "valid" },
        { "it is valid in its last second", "CN=nas.lan", { "nas.lan" }, NULL, 19, NOW, CERT_STATUS_VALID, 0, 0, "valid" },
        { "and expired after",  "CN=nas.lan", { "nas.lan" }, "x", 20, NOW - 1, CERT_STATUS_VALID, 0, 0, "expired" },
        { "held",               "", { "nas.lan" }, "kitchen", 1, NOW + 1, CERT_STATUS_HELD, NOW - 5, REASON_CERTIFICATE_HOLD, "held" },
        { "revoked",            "", { "nas.lan" }, NULL, 19, NOW + 1, CERT_STATUS_REVOKED, NOW - 5, REASON_KEY_COMPROMISE, "revoked" },
        { "revoked, and past its end", "", { "nas.lan" }, NULL, 19, NOW - 1, CERT_STATUS_REVOKED, NOW - 5, REASON_UNSPECIFIED, "revoked" },
        { "what JSON escapes",  "CN=\"a\\b\"", { "a\"b", "c\\d" }, "tab\t \"quoted\" \\ back / slash \x01\x1f\x7f", 19, NOW + 1, CERT_STATUS_VALID, 0, 0, "valid" },
        { "letters of any script, and characters of four octets", "CN=Küche", { "ü.lan" }, "漢字 🔒 é", 19, NOW + 1, CERT_STATUS_VALID, 0, 0, "valid" },
        { "what ends a line in JavaScript and a script in HTML", "", { "nas.lan" }, "\xe2\x80\xa8\xe2\x80\xa9</script>", 19, NOW + 1, CERT_STATUS_VALID, 0, 0, "valid" },
        { "no names, an empty label", "CN=x", { NULL }, "", 19, NOW + 1, CERT_STATUS_VALID, 0, 0, "valid" },
        { "many names",         "", { "a.lan", "*.b.lan", "fd00::1", "a@home.lan" }, NULL, 19, INT64_C(253402300799), CERT_STATUS_VALID, 0, 0, "valid" },
};
/* clang-format on */

static struct cert_row row_of(int i) {
        struct cert_row row = {
                .serial = BYTES(serial, rows[i].serial_size),
                .issuer = "int-1",
                .profile = "server",
                .subject = rows[i].subject,
                .names = (const char *const *) rows[i].names,
                .not_before = NOW - 100,
                .not_after = rows[i].not_after,
                .issued_at = NOW - 50,
                .requester = "uid:0",
                .label = rows[i].label,
                .der = BYTES(der, 600),
                .status = rows[i].status,
                .revoked_at = rows[i].revoked_at,
                .reason = rows[i].reason,
        };

        while (rows[i].names[row.name_count])
                row.name_count++;
        memset(row.fingerprint, 0xab, sizeof(row.fingerprint));
        memset(row.spki, 0x0c, sizeof(row.spki));
        return row;
}

static void check_text(const json_t *object, const char *name, const char *expected) {
        const char *value = json_string_value(json_object_get(object, name));

        ck_assert_msg(text_equal(value, expected), "%s is '%s', not '%s'", name, value, expected);
}

static void check_hex(const json_t *object, const char *name, struct bytes expected) {
        char text[2 * STORE_HASH_SIZE + 1];

        check_text(object, name, hex_encode(expected, text));
}

static void check_moment(const json_t *object, const char *name, int64_t expected) {
        const char *text = json_string_value(json_object_get(object, name));
        struct error err = { 0 };
        int64_t t = 0;

        ck_assert_msg(text != NULL, "%s", name);
        ck_ok(moment_parse(text, &t, &err), err);
        ck_assert_msg(t == expected, "%s is %s", name, text);
}

static void check_pem(const json_t *object, const char *name, struct bytes expected) {
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };

        pem_append(&pem, "CERTIFICATE", expected);
        check_text(object, name, buffer_string(&pem));
}

static void check_row(const json_t *object, const struct cert_row *row, const char *status,
                      bool whole, bool chain) {
        const json_t *names = json_object_get(object, "names");
        bool revoked = row->status != CERT_STATUS_VALID;

        check_hex(object, "serial", row->serial);
        check_text(object, "status", status);
        check_text(object, "profile", row->profile);
        check_text(object, "subject", row->subject);
        ck_assert_uint_eq(json_array_size(names), row->name_count);
        for (size_t i = 0; i < row->name_count; i++)
                ck_assert_str_eq(json_string_value(json_array_get(names, i)), row->names[i]);
        check_moment(object, "not_before", row->not_before);
        check_moment(object, "not_after", row->not_after);
        check_text(object, "issuer", row->issuer);
        check_hex(object, "fingerprint", BYTES(row->fingerprint, sizeof(row->fingerprint)));
        check_hex(object, "spki", BYTES(row->spki, sizeof(row->spki)));
        check_text(object, "label", row->label);
        if (revoked) {
                check_moment(object, "revoked_at", row->revoked_at);
                check_text(object, "reason", revocation_reason_name(row->reason));
        }
        if (whole)
                check_pem(object, "certificate", row->der);
        if (chain)
                check_pem(object, "chain", issuer.cert.der);
        /* and nothing else */
        ck_assert_uint_eq(json_object_size(object),
                          10u + (row->label != NULL) + 2u * revoked + whole + chain);
}

static json_t *parse(struct buffer *text) {
        json_error_t err;
        json_t *object = json_loadb((const char *) text->data, text->size, JSON_REJECT_DUPLICATES,
                                    &err);

        ck_assert_msg(object != NULL, "%s: %s", err.text, buffer_string(text));
        return object;
}

START_TEST(the_json_of_a_row_is_read_back_as_the_row) {
        struct cert_row row = row_of(_i);

        for (int with = 0; with < 2; with++) {
                CAD_AUTO(buffer_done) struct buffer out = { 0 };
                CAD_AUTO(json_drop) json_t *object = NULL;

                certificate_form_append(&out, FORM_JSON, &row, with ? &issuer : NULL, NOW);
                object = parse(&out);
                check_row(object, &row, rows[_i].shown_status, true, with);
        }
}
END_TEST

START_TEST(in_a_list_a_row_has_no_certificate) {
        CAD_AUTO(buffer_done) struct buffer out = { 0 };
        CAD_AUTO(json_drop) json_t *object = NULL;
        struct cert_row row = row_of(_i);

        certificate_json_open(&out, &row, &issuer, /* whole= */ false, NOW);
        buffer_text(&out, ",\"more\":1}");
        object = parse(&out);
        ck_assert_int_eq(json_integer_value(json_object_get(object, "more")), 1);
        (void) json_object_del(object, "more");
        check_row(object, &row, rows[_i].shown_status, false, false);
}
END_TEST

/* The member is written without pem_append(), line by line: each length of the last line. What is shorter is that of a lost
 * certificate (cert_row_lost()). */
START_TEST(the_pem_member_is_that_of_pem_append_at_every_length) {
        for (size_t size = 3; size < 300; size++) {
                CAD_AUTO(buffer_done) struct buffer out = { 0 };
                CAD_AUTO(json_drop) json_t *object = NULL;
                struct cert_row row = row_of(0);

                row.der = BYTES(der, size);
                certificate_form_append(&out, FORM_JSON, &row, NULL, NOW);
                object = parse(&out);
                check_pem(object, "certificate", row.der);
        }
}
END_TEST

/* ---- the others ---- */

START_TEST(pem_and_chain_are_the_leaf_and_the_leaf_with_its_issuer) {
        CAD_AUTO(buffer_done) struct buffer expected = { 0 };
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };
        CAD_AUTO(buffer_done) struct buffer alone = { 0 };
        CAD_AUTO(buffer_done) struct buffer chain = { 0 };
        struct cert_row row = row_of(0);

        pem_append(&expected, "CERTIFICATE", row.der);
        certificate_form_append(&pem, FORM_PEM, &row, &issuer, NOW);
        certificate_form_append(&alone, FORM_CHAIN, &row, NULL, NOW);
        ck_assert_str_eq(buffer_string(&pem), buffer_string(&expected));
        ck_assert_str_eq(buffer_string(&alone), buffer_string(&expected));
        pem_append(&expected, "CERTIFICATE", issuer.cert.der);
        certificate_form_append(&chain, FORM_CHAIN, &row, &issuer, NOW);
        ck_assert_str_eq(buffer_string(&chain), buffer_string(&expected));
}
END_TEST

START_TEST(der_is_the_octets) {
        CAD_AUTO(buffer_done) struct buffer out = { 0 };
        struct cert_row row = row_of(0);

        certificate_form_append(&out, FORM_DER, &row, &issuer, NOW);
        ck_assert(bytes_equal(buffer_bytes(&out), row.der));
}
END_TEST

/* The bag itself is held against GnuTLS and OpenSSL in test-pkcs7.c. */
START_TEST(pkcs7_has_the_leaf_first_and_then_its_issuer) {
        for (int with = 0; with < 2; with++) {
                CAD_AUTO(buffer_done) struct buffer out = { 0 };
                CAD_AUTO(buffer_done) struct buffer expected = { 0 };
                struct cert_row row = row_of(0);
                const struct bytes bag[] = { row.der, issuer.cert.der };

                certificate_form_append(&out, FORM_PKCS7, &row, with ? &issuer : NULL, NOW);
                pkcs7_append_certificates(&expected, bag, with ? 2 : 1);
                ck_assert(bytes_equal(buffer_bytes(&out), buffer_bytes(&expected)));
        }
}
END_TEST

/* clang-format off */
static const struct {
        const char *why, *accept;
        enum error_code code;
        enum certificate_form form;
} accepts[] = {
        { "none given",                   NULL,                                                    ERR_NONE, FORM_JSON },
        { "anything",                     "*/*",                                                   ERR_NONE, FORM_JSON },
        { "JSON",                         "application/json",                                      ERR_NONE, FORM_JSON },
        { "the chain",                    "application/pem-certificate-chain",                     ERR_NONE, FORM_CHAIN },
        { "DER",                          "application/pkix-cert",                                 ERR_NONE, FORM_DER },
        { "PKCS#7",                       "application/pkcs7-mime",                                ERR_NONE, FORM_PKCS7 },
        { "the heavier",                  "application/json;q=0.5, application/pkix-cert",         ERR_NONE, FORM_DER },
        { "anything but JSON",            "application/json;q=0, */*",                             ERR_NONE, FORM_CHAIN },
        { "by suffix only, not by header", "application/x-pem-file",                               ERR_NOT_ACCEPTABLE, 0 },
        { "HTML",                         "text/html",                                             ERR_NOT_ACCEPTABLE, 0 },
        { "nothing at all",               "*/*;q=0",                                               ERR_NOT_ACCEPTABLE, 0 },
        { "rubbish",                      "json",                                                  ERR_REQUEST_MALFORMED, 0 },
};
/* clang-format on */

START_TEST(accept_chooses_the_form) {
        enum certificate_form form = FORM_COUNT;
        struct error err = { 0 };
        int rc = certificate_form_choose(accepts[_i].accept, &form, &err);

        ck_assert_msg((rc == 0) == (accepts[_i].code == ERR_NONE) && err.code == accepts[_i].code,
                      "%s: %s", accepts[_i].why, err.text);
        ck_assert_msg(form == (rc == 0 ? accepts[_i].form : FORM_COUNT), "%s", accepts[_i].why);
}
END_TEST

START_TEST(every_form_has_a_media_type) {
        for (size_t i = 0; i < FORM_COUNT; i++)
                ck_assert_ptr_eq(strstr(certificate_form_type((enum certificate_form) i),
                                        "application/"),
                                 certificate_form_type((enum certificate_form) i));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("certificate-form");
        TCase *tc = tcase_create("certificate-form");

        tcase_set_timeout(tc, 30);
        tcase_add_checked_fixture(tc, set_up, NULL);
        tcase_add_loop_test(tc, the_json_of_a_row_is_read_back_as_the_row, 0, ARRAY_SIZE(rows));
        tcase_add_loop_test(tc, in_a_list_a_row_has_no_certificate, 0, ARRAY_SIZE(rows));
        tcase_add_test(tc, the_pem_member_is_that_of_pem_append_at_every_length);
        tcase_add_test(tc, pem_and_chain_are_the_leaf_and_the_leaf_with_its_issuer);
        tcase_add_test(tc, der_is_the_octets);
        tcase_add_test(tc, pkcs7_has_the_leaf_first_and_then_its_issuer);
        tcase_add_loop_test(tc, accept_chooses_the_form, 0, ARRAY_SIZE(accepts));
        tcase_add_test(tc, every_form_has_a_media_type);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
