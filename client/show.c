/*
 * Certificates as text and as JSON. Reads with lib/pki, and with GnuTLS where a foreign certificate is not as strict.
 */
#include "show.h"

#include <gnutls/x509.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/constraints.h"
#include "lib/pki/dn.h"
#include "lib/pki/oid.h"
#include "lib/pki/pem.h"
#include "output.h"

#define URI_DEPTH_MAX 6

void certs_done(struct certs *certs) {
        for (size_t i = 0; i < certs->count; i++)
                buffer_done(&certs->der[i]);
        certs->count = 0;
}

int certs_add(struct certs *certs, struct bytes der, struct error *err) {
        if (certs->count == CERTS_MAX)
                return error_set(err, ERR_BODY_TOO_LARGE,
                                 "there are more than %d certificates in it", CERTS_MAX);
        buffer_append(&certs->der[certs->count], der);
        if (certs->der[certs->count].failed)
                return error_no_memory(err);
        certs->count++;
        return 0;
}

/* What a PEM block is that is no certificate, and what to do with it. */
static int not_a_certificate(const char *label, const char *what, struct error *err) {
        if (strstr(label, "PRIVATE KEY"))
                return error_set(err, ERR_BODY_MALFORMED,
                                 "%s holds a private key and no certificate", what);
        if (strstr(label, "CERTIFICATE REQUEST"))
                return error_set(err, ERR_BODY_MALFORMED,
                                 "%s holds a request and no certificate yet: cactl cert sign %s",
                                 what, what);
        return error_set(err, ERR_BODY_MALFORMED, "%s holds '%s' and no certificate", what, label);
}

static int certs_from_pem(struct certs *certs, struct bytes text, const char *what,
                          struct error *err) {
        char other[PEM_LABEL_MAX] = "";

        for (;;) {
                CAD_AUTO(buffer_wipe) struct buffer der = { 0 };
                char label[PEM_LABEL_MAX];
                int found = pem_next(&text, label, &der, err);

                if (found < 0)
                        return -1;
                if (found == 0)
                        break;
                if (!text_equal(label, "CERTIFICATE"))
                        memcpy(other, label, sizeof(other));
                else if (certs_add(certs, buffer_bytes(&der), err) < 0)
                        return -1;
        }
        if (certs->count)
                return 0;
        if (other[0])
                return not_a_certificate(other, what, err);
        return error_set(err, ERR_BODY_MALFORMED, "%s holds no certificate, neither PEM nor DER",
                         what);
}

int certs_from_text(struct certs *certs, struct bytes text, const char *what, struct error *err) {
        if (text.size && text.data[0] == DER_SEQUENCE)
                return certs_add(certs, text, err);
        return certs_from_pem(certs, text, what, err);
}

void certs_put_pem(const struct certs *certs) {
        for (size_t i = 0; i < certs->count; i++) {
                CAD_AUTO(buffer_done) struct buffer pem = { 0 };

                pem_append(&pem, "CERTIFICATE", buffer_bytes(&certs->der[i]));
                put_raw(buffer_bytes(&pem));
        }
}

/* ---- parts of a certificate as text ---- */

static void put_name(const struct san *name, struct buffer *out) {
        char text[SAN_TEXT_MAX], unicode[SAN_TEXT_MAX];

        buffer_text(out, san_text(name, text, sizeof(text)));
        if (!text_equal(text, san_text_unicode(name, unicode, sizeof(unicode))))
                buffer_format(out, " (%s)", unicode);
}

void names_text(const struct san_list *names, struct buffer *out) {
        for (size_t i = 0; i < names->count; i++) {
                buffer_text(out, i ? ", " : "");
                put_name(&names->items[i], out);
        }
}

const char *api_names(const json_t *object, struct buffer *out) {
        const json_t *value;
        size_t i;

        json_array_foreach(json_object_get(object, "names"), i, value) {
                CAD_AUTO(san_list_done) struct san_list name = { .count = 0 };
                const char *text = json_string_value(value);
                struct error ignored = { 0 };

                buffer_text(out, i ? ", " : "");
                if (text && san_list_add_text(&name, text, &ignored) == 0)
                        put_name(&name.items[0], out);
                else
                        buffer_text(out, text ? text : "?");
        }
        return buffer_string(out);
}

static void usages_text(const struct cert *cert, struct buffer *out) {
        struct der_reader outer = der_reader(cert->extended_key_usage), purposes;
        char text[OID_MAX_TEXT];

        for (unsigned bit = 0; bit < 9; bit++)
                if (cert->has_key_usage && cert->key_usage & 1u << bit)
                        buffer_format(out, "%s%s", out->size ? ", " : "",
                                      key_usage_name(1u << bit));
        if (!cert->extended_key_usage.size)
                return;
        purposes = der_enter(&outer, DER_SEQUENCE);
        while (der_more(&purposes)) {
                struct bytes oid = der_get(&purposes, DER_OID);

                if (purposes.failed)
                        return;
                (void) oid_text(oid, text, sizeof(text));
                text[strcspn(text, " ")] = '\0'; /* the name alone where it has one */
                buffer_format(out, "%s%s", out->size ? ", " : "", text);
        }
}

/* Every URI, [6] IMPLICIT IA5String, wherever it stands in CRL distribution points or authority information. */
static void uris_text(struct bytes der, unsigned depth, struct buffer *out) {
        struct der_reader r = der_reader(der);

        while (der_more(&r)) {
                uint8_t tag = 0;
                struct bytes content = der_get_any(&r, &tag);

                if (r.failed)
                        return;
                if (tag == DER_CONTEXT(6))
                        buffer_format(out, "%s%.*s", out->size ? ", " : "", (int) content.size,
                                      (const char *) content.data);
                else if (tag & 0x20 && depth < URI_DEPTH_MAX)
                        uris_text(content, depth + 1, out);
        }
}

static void key_text(const struct cert *cert, struct buffer *out) {
        CAD_AUTO(public_key_free) struct public_key *key = NULL;
        struct error err = { 0 };

        if (public_key_from_spki(cert->spki, RSA_BITS_MAX, &key, &err) < 0)
                buffer_format(out, "not a key that cad would accept: %s", err.text);
        else if (public_key_type(key) == KEY_RSA)
                buffer_format(out, "%s, %u bits", key_type_name(KEY_RSA), public_key_bits(key));
        else
                buffer_text(out, key_type_name(public_key_type(key)));
}

static const char *algorithm_text(struct bytes algorithm, char *out, size_t size) {
        const struct {
                struct bytes oid;
                const char *name;
        } known[] = {
                { OID_ECDSA_SHA256, "ECDSA with SHA-256" },
                { OID_ECDSA_SHA384, "ECDSA with SHA-384" },
                { OID_ECDSA_SHA512, "ECDSA with SHA-512" },
                { OID_RSA_SHA256, "RSA with SHA-256" },
                { OID_RSA_SHA384, "RSA with SHA-384" },
                { OID_RSA_SHA512, "RSA with SHA-512" },
                { OID_ED25519, "Ed25519" },
                { OID_RSA_PSS, "RSA-PSS" },
                { OID_RSA_SHA1, "RSA with SHA-1 (weak)" },
                { OID_ECDSA_SHA1, "ECDSA with SHA-1 (weak)" },
                { OID_RSA_MD5, "RSA with MD5 (broken)" },
        };
        struct der_reader outer = der_reader(algorithm), inner = der_enter(&outer, DER_SEQUENCE);
        struct bytes oid = der_get(&inner, DER_OID);

        for (size_t i = 0; i < ARRAY_SIZE(known); i++)
                if (bytes_equal(known[i].oid, oid))
                        return known[i].name;
        return oid_text(oid, out, size);
}

char *hex_groups(const char *hex, char *out) {
        size_t used = 0;

        for (size_t i = 0; hex[i] && used + 2 < FINGERPRINT_TEXT_MAX; i++) {
                if (i && i % 4 == 0)
                        out[used++] = ' ';
                out[used++] = hex[i];
        }
        out[used] = '\0';
        return out;
}

char *fingerprint_groups(const uint8_t digest[SHA256_SIZE], char *out) {
        char hex[2 * SHA256_SIZE + 1];

        return hex_groups(hex_encode(BYTES(digest, SHA256_SIZE), hex), out);
}

/* ---- the whole ---- */

/* By GnuTLS, for one that lib/pki refuses: shown all the same, and marked. */
static void show_foreign(struct bytes der, const struct error *why) {
        gnutls_datum_t datum = { (unsigned char *) (uintptr_t) der.data, (unsigned) der.size },
                       text = { 0 };
        gnutls_x509_crt_t crt = NULL;

        if (gnutls_x509_crt_init(&crt) == 0 &&
            gnutls_x509_crt_import(crt, &datum, GNUTLS_X509_FMT_DER) == 0 &&
            gnutls_x509_crt_print(crt, GNUTLS_CRT_PRINT_ONELINE, &text) == 0)
                fact("certificate", TONE_PLAIN, "%.*s", (int) text.size, (const char *) text.data);
        else
                fact("certificate", TONE_BAD, "cannot be read");
        fact("not as cad", TONE_WARN, "%s", why->text);
        gnutls_free(text.data);
        gnutls_x509_crt_deinit(crt);
}

static void show_validity(const struct client *c, const struct cert *cert) {
        char words[WORDS_MAX];
        bool over = cert->validity.not_after<c->now, early = cert->validity.not_before> c->now;

        fact("valid from", early ? TONE_WARN : TONE_PLAIN, "%s",
             time_both(cert->validity.not_before, c->now, words));
        fact(over ? "expired" : "expires", over ? TONE_BAD : TONE_PLAIN, "%s",
             time_both(cert->validity.not_after, c->now, words));
}

static void show_names(const struct cert *cert) {
        CAD_AUTO(san_list_done) struct san_list names = { 0 };
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct error err = { 0 };

        if (!cert->san.size)
                return;
        if (san_list_from_der(&names, cert->san, "names", &err) < 0) {
                fact("names", TONE_WARN, "%s", err.text);
                return;
        }
        names_text(&names, &text);
        fact("names", TONE_STRONG, "%s", buffer_string(&text));
}

static void show_ca(const struct cert *cert) {
        CAD_AUTO(constraints_free) struct name_constraints *constraints = NULL;
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct error err = { 0 };

        if (!cert->is_ca)
                return;
        if (cert->path_length == 0)
                fact("CA", TONE_PLAIN, "yes, with no other CA below it");
        else if (cert->path_length > 0)
                fact("CA", TONE_PLAIN, "yes, with %d below it at most", cert->path_length);
        else
                fact("CA", TONE_PLAIN, "yes");
        if (!cert->name_constraints.size) {
                fact("for names", TONE_WARN, "any: it has no name constraints");
                return;
        }
        if (constraints_from_der(cert->name_constraints, &constraints, &err) < 0) {
                fact("for names", TONE_WARN, "%s", err.text);
                return;
        }
        constraints_describe(constraints, &text);
        fact("for names", TONE_PLAIN, "%s", buffer_string(&text));
}

static void show_urls(const char *label, struct bytes der) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };

        uris_text(der, 0, &text);
        if (text.size)
                fact(label, TONE_PLAIN, "%s", buffer_string(&text));
}

static void show_digests(const struct cert *cert) {
        uint8_t digest[SHA256_SIZE];
        char text[FINGERPRINT_TEXT_MAX], hex[2 * SHA256_SIZE + 1];

        cert_fingerprint(cert->der, digest);
        fact("fingerprint", TONE_PLAIN, "%s", fingerprint_groups(digest, text));
        sha256(cert->spki, digest);
        fact("SPKI SHA-256", TONE_PLAIN, "%s", hex_encode(BYTES(digest, sizeof(digest)), hex));
}

void show_certificate(const struct client *c, struct bytes der) {
        CAD_AUTO(buffer_done) struct buffer key = { 0 }, usages = { 0 };
        char name[DN_TEXT_MAX], algorithm[OID_MAX_TEXT], serial[2 * 64 + 1];
        struct error err = { 0 };
        struct cert cert;

        if (cert_read(der, &cert, &err) < 0) {
                show_foreign(der, &err);
                return;
        }
        key_text(&cert, &key);
        usages_text(&cert, &usages);
        (void) hex_encode(BYTES(cert.serial.data, cert.serial.size > 64 ? 64 : cert.serial.size),
                          serial);

        show_names(&cert);
        fact("subject", TONE_PLAIN, "%s", dn_text(cert.subject, name, sizeof(name)));
        fact("issuer", TONE_PLAIN, "%s%s", dn_text(cert.issuer, name, sizeof(name)),
             cert_is_self_signed(&cert) ? " (itself)" : "");
        fact("serial", TONE_PLAIN, "%s", serial);
        show_validity(c, &cert);
        fact("key", TONE_PLAIN, "%s", buffer_string(&key));
        fact("signed with", TONE_PLAIN, "%s",
             algorithm_text(cert.algorithm, algorithm, sizeof(algorithm)));
        if (usages.size)
                fact("for use as", TONE_PLAIN, "%s", buffer_string(&usages));
        show_ca(&cert);
        show_urls("CRL", cert.crl_distribution_points);
        show_urls("issuer at", cert.authority_info_access);
        show_digests(&cert);
}

static json_t *names_json(const struct cert *cert) {
        CAD_AUTO(san_list_done) struct san_list names = { 0 };
        json_t *array = json_array();
        struct error ignored = { 0 };
        char text[SAN_TEXT_MAX];

        if (cert->san.size && san_list_from_der(&names, cert->san, "names", &ignored) < 0)
                return array;
        for (size_t i = 0; i < names.count; i++)
                (void) json_array_append_new(array,
                                             json_string(san_text(&names.items[i], text,
                                                                  sizeof(text))));
        return array;
}

json_t *certificate_json(struct bytes der) {
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };
        char subject[DN_TEXT_MAX], issuer[DN_TEXT_MAX], serial[2 * 64 + 1],
                fingerprint[2 * SHA256_SIZE + 1], spki[2 * SHA256_SIZE + 1], start[MOMENT_TEXT_MAX],
                end[MOMENT_TEXT_MAX];
        uint8_t digest[SHA256_SIZE];
        struct error ignored = { 0 };
        struct cert cert;

        pem_append(&pem, "CERTIFICATE", der);
        cert_fingerprint(der, digest);
        (void) hex_encode(BYTES(digest, sizeof(digest)), fingerprint);
        if (cert_read(der, &cert, &ignored) < 0)
                return json_pack("{s:s, s:s}", "fingerprint", fingerprint, "certificate",
                                 buffer_string(&pem));
        sha256(cert.spki, digest);
        (void) hex_encode(BYTES(digest, sizeof(digest)), spki);
        (void) hex_encode(BYTES(cert.serial.data, cert.serial.size > 64 ? 64 : cert.serial.size),
                          serial);
        return json_pack("{s:s, s:s, s:s, s:o, s:s, s:s, s:b, s:s, s:s, s:s}", "serial", serial,
                         "subject", dn_text(cert.subject, subject, sizeof(subject)), "issuer",
                         dn_text(cert.issuer, issuer, sizeof(issuer)), "names", names_json(&cert),
                         "not_before", moment_format(cert.validity.not_before, start), "not_after",
                         moment_format(cert.validity.not_after, end), "ca", (int) cert.is_ca,
                         "fingerprint", fingerprint, "spki", spki, "certificate",
                         buffer_string(&pem));
}
