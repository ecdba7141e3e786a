/*
 * Certificates written out. On the path of every issuance, hence appended to a buffer and not built as a tree.
 */
#include "daemon/rest/certificate_form.h"

#include "daemon/http/json.h"
#include "daemon/http/media.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/pem.h"
#include "lib/pki/pkcs7.h"

static const char *const form_types[] = {
        [FORM_JSON] = "application/json",      [FORM_CHAIN] = "application/pem-certificate-chain",
        [FORM_DER] = "application/pkix-cert",  [FORM_PKCS7] = "application/pkcs7-mime",
        [FORM_PEM] = "application/x-pem-file",
};
_Static_assert(ARRAY_SIZE(form_types) == FORM_COUNT, "one row a form");

const char *certificate_form_type(enum certificate_form form) {
        return form_types[form];
}

int certificate_form_choose(const char *accept, enum certificate_form *ret, struct error *err) {
        size_t choice;

        if (media_choose(accept, form_types, FORM_PEM, &choice, err) < 0)
                return -1;
        *ret = (enum certificate_form) choice;
        return 0;
}

static void member_text(struct buffer *out, const char *name, const char *value) {
        buffer_format(out, ",\"%s\":", name);
        json_append_text(out, value);
}

static void member_moment(struct buffer *out, const char *name, int64_t t) {
        char text[MOMENT_TEXT_MAX];

        buffer_format(out, ",\"%s\":\"%s\"", name, moment_format(t, text));
}

static void member_hex(struct buffer *out, const char *name, const uint8_t *octets, size_t size) {
        char text[2 * STORE_HASH_SIZE + 1];

        buffer_format(out, ",\"%s\":\"%s\"", name, hex_encode(BYTES(octets, size), text));
}

/* PEM holds nothing that JSON escapes but its line breaks: no pass over every character is needed. */
static void member_pem(struct buffer *out, const char *name, struct bytes der) {
        static const char begin[] = "-----BEGIN CERTIFICATE-----\\n",
                          end[] = "-----END CERTIFICATE-----\\n";
        size_t line = 48; /* octets that make 64 characters */

        buffer_format(out, ",\"%s\":\"%s", name, begin);
        for (size_t at = 0; at < der.size; at += line) {
                base64_append(out,
                              BYTES(der.data + at, der.size - at < line ? der.size - at : line), 0);
                buffer_append(out, BYTES_LITERAL("\\n"));
        }
        buffer_append(out, BYTES_LITERAL(end));
        buffer_append(out, BYTES_LITERAL("\""));
}

static void member_names(struct buffer *out, const struct cert_row *row) {
        buffer_append(out, BYTES_LITERAL(",\"names\":["));
        for (size_t i = 0; i < row->name_count; i++) {
                if (i)
                        buffer_append(out, BYTES_LITERAL(","));
                json_append_text(out, row->names[i]);
        }
        buffer_append(out, BYTES_LITERAL("]"));
}

void certificate_json_open(struct buffer *out, const struct cert_row *row,
                           const struct ca_info_issuer *issuer, bool whole, int64_t now) {
        char serial[2 * STORE_SERIAL_MAX + 1];
        enum cert_status status = cert_row_status(row, now);

        (void) buffer_reserve(out, whole ? 4096 : 1024);
        buffer_format(out, "{\"serial\":\"%s\",\"status\":\"%s\"", hex_encode(row->serial, serial),
                      cert_status_name(status));
        member_text(out, "profile", row->profile);
        member_text(out, "subject", row->subject);
        member_names(out, row);
        member_moment(out, "not_before", row->not_before);
        member_moment(out, "not_after", row->not_after);
        member_text(out, "issuer", row->issuer);
        member_hex(out, "fingerprint", row->fingerprint, sizeof(row->fingerprint));
        member_hex(out, "spki", row->spki, sizeof(row->spki));
        if (row->label)
                member_text(out, "label", row->label);
        if (status == CERT_STATUS_REVOKED || status == CERT_STATUS_HELD) {
                member_moment(out, "revoked_at", row->revoked_at);
                member_text(out, "reason", revocation_reason_name(row->reason));
        }
        if (!whole || cert_row_lost(row))
                return;
        member_pem(out, "certificate", row->der);
        if (issuer)
                member_pem(out, "chain", issuer->cert.der);
}

void certificate_form_append(struct buffer *out, enum certificate_form form,
                             const struct cert_row *row, const struct ca_info_issuer *issuer,
                             int64_t now) {
        struct bytes chain[2] = { row->der, issuer ? issuer->cert.der : BYTES_NONE };

        switch (form) {
        case FORM_JSON:
                certificate_json_open(out, row, issuer, /* whole= */ true, now);
                buffer_text(out, "}");
                break;
        case FORM_PEM:
                pem_append(out, "CERTIFICATE", row->der);
                break;
        case FORM_CHAIN:
                pem_append(out, "CERTIFICATE", row->der);
                if (issuer)
                        pem_append(out, "CERTIFICATE", issuer->cert.der);
                break;
        case FORM_DER:
                buffer_append(out, row->der);
                break;
        case FORM_PKCS7:
                pkcs7_append_certificates(out, chain, issuer ? 2 : 1);
                break;
        case FORM_COUNT:
                break;
        }
}
