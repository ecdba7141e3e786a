/*
 * Certification requests (PKCS#10, RFC 2986): octets to struct csr, and the proof of possession.
 *
 * All of a request is read before any of it is believed, the costly parts last: structure, subject, names, key. It knows no
 * profile: what may be granted is decided elsewhere. A challengePassword is never kept, shown or logged, nor is a private
 * key that somebody sends in place of a request.
 */
#include "csr.h"

#include <stdio.h>
#include <stdlib.h>

#include "dn.h"
#include "lib/base/text.h"
#include "oid.h"
#include "pem.h"

#define CSR_TEXT_MAX (2u * CSR_MAX) /* octets of PEM with text around it */
#define FIELD_EXTENSIONS "csr.extensions."
#define ATTRIBUTES_CONTEXT DER_CONTEXT_CONSTRUCTED(0)

struct csr *csr_free(struct csr *csr) {
        if (csr) {
                csr->key = public_key_free(csr->key);
                san_list_done(&csr->names);
                free(csr->octets);
                free(csr);
        }
        return NULL;
}

static struct csr *csr_new(struct bytes der) {
        struct csr *csr = calloc(1, sizeof(*csr));

        if (!csr)
                return NULL;
        csr->octets = malloc(der.size);
        if (!csr->octets)
                return csr_free(csr);
        memcpy(csr->octets, der.data, der.size);
        csr->der = BYTES(csr->octets, der.size);
        return csr;
}

/* "csr.extensions.keyUsage", or the dotted number of what has no name. */
static const char *extension_field(struct bytes oid, char *out, size_t size) {
        char text[OID_MAX_TEXT];

        (void) oid_text(oid, text, sizeof(text));
        (void) snprintf(out, size, FIELD_EXTENSIONS "%.*s", (int) strcspn(text, " "), text);
        return out;
}

static int malformed_extension(struct bytes oid, const char *reason, struct error *err) {
        char field[ERROR_FIELD_MAX], text[OID_MAX_TEXT];

        return error_set_field(err, ERR_CSR_MALFORMED, extension_field(oid, field, sizeof(field)),
                               "the extension %s %s", oid_text(oid, text, sizeof(text)), reason);
}

/* X.690 §8.19: at least one octet, every arc ended and without leading zeros. */
static bool oid_is_valid(struct bytes oid) {
        bool at_start = true;

        for (size_t i = 0; i < oid.size; i++) {
                if (at_start && oid.data[i] == 0x80)
                        return false;
                at_start = !(oid.data[i] & 0x80);
        }
        return oid.size && at_start;
}

static bool contains(const struct bytes *oids, size_t count, struct bytes oid) {
        for (size_t i = 0; i < count; i++)
                if (bytes_equal(oids[i], oid))
                        return true;
        return false;
}

/* ---- extensions: a reader of the extnValue's content for each that means something here ---- */

static int read_subject_alt_name(struct csr *csr, struct bytes oid, struct bytes value,
                                 struct error *err) {
        (void) oid;
        return san_list_from_der(&csr->names, value, "csr.san", err);
}

/* RFC 5280 §4.2.1.3: at least one bit, and the nine that there are. */
static int read_key_usage(struct csr *csr, struct bytes oid, struct bytes value,
                          struct error *err) {
        struct der_reader r = der_reader(value);

        csr->key_usage = der_get_bits(&r);
        csr->has_key_usage = true;
        if (!der_done(&r))
                return malformed_extension(oid, "is not a BIT STRING in DER", err);
        if (csr->key_usage == 0)
                return malformed_extension(oid, "names no usage: leave it out, or name one", err);
        if (csr->key_usage >= KU_DECIPHER_ONLY << 1)
                return malformed_extension(oid, "has bits beyond decipherOnly", err);
        return 0;
}

/* RFC 5280 §4.2.1.12: at least one purpose. */
static int read_extended_key_usage(struct csr *csr, struct bytes oid, struct bytes value,
                                   struct error *err) {
        struct der_reader outer = der_reader(value);
        struct der_reader list = der_enter(&outer, DER_SEQUENCE);

        while (der_more(&list)) {
                struct bytes purpose = der_get(&list, DER_OID);

                if (list.failed || !oid_is_valid(purpose))
                        return malformed_extension(oid, "is not a list of key purposes in DER",
                                                   err);
                if (contains(csr->extended_key_usage, csr->extended_key_usage_count, purpose))
                        continue;
                if (csr->extended_key_usage_count == CSR_EKU_MAX)
                        return malformed_extension(oid,
                                                   "has too many key purposes: at most 16 are read",
                                                   err);
                csr->extended_key_usage[csr->extended_key_usage_count++] = purpose;
        }
        if (!der_done(&list) || !der_done(&outer))
                return malformed_extension(oid, "is not a list of key purposes in DER", err);
        if (csr->extended_key_usage_count == 0)
                return malformed_extension(oid, "is an empty list: leave it out, or name a purpose",
                                           err);
        return 0;
}

/*
 * RFC 5280 §4.2.1.9. A written-out CA:FALSE is against DER (X.690 §11.5) and all the same what many programs send, so it is
 * taken here, as nowhere else.
 */
static int read_basic_constraints(struct csr *csr, struct bytes oid, struct bytes value,
                                  struct error *err) {
        struct der_reader outer = der_reader(value);
        struct der_reader body = der_enter(&outer, DER_SEQUENCE);
        char field[ERROR_FIELD_MAX];
        bool has_path_length;

        if (der_next_is(&body, DER_BOOLEAN))
                csr->wants_ca = der_get_bool(&body);
        has_path_length = der_next_is(&body, DER_INTEGER);
        if (has_path_length)
                (void) der_get_uint(&body);
        if (!der_done(&body) || !der_done(&outer))
                return malformed_extension(oid, "is not BasicConstraints in DER", err);
        if (has_path_length && !csr->wants_ca)
                return error_set_field(
                        err, ERR_CSR_EXTENSION, extension_field(oid, field, sizeof(field)),
                        "the request has a path length without CA:TRUE: leave basicConstraints out");
        return 0;
}

static int read_subject_key_id(struct csr *csr, struct bytes oid, struct bytes value,
                               struct error *err) {
        struct der_reader r = der_reader(value);

        (void) csr; /* the certificate gets one that is computed from its key */
        (void) der_get(&r, DER_OCTET_STRING);
        return der_done(&r) ? 0 : malformed_extension(oid, "is not an OCTET STRING in DER", err);
}

static const struct {
        struct bytes oid;
        int (*read)(struct csr *csr, struct bytes oid, struct bytes value, struct error *err);
} extensions[] = {
        { OID_CE_SUBJECT_ALT_NAME, read_subject_alt_name },
        { OID_CE_KEY_USAGE, read_key_usage },
        { OID_CE_EXTENDED_KEY_USAGE, read_extended_key_usage },
        { OID_CE_BASIC_CONSTRAINTS, read_basic_constraints },
        { OID_CE_SUBJECT_KEY_ID, read_subject_key_id },
};

static int read_extension_value(struct csr *csr, struct bytes oid, struct bytes value,
                                struct error *err) {
        for (size_t i = 0; i < ARRAY_SIZE(extensions); i++)
                if (bytes_equal(oid, extensions[i].oid))
                        return extensions[i].read(csr, oid, value, err);
        csr->other_extensions[csr->other_extension_count++] = oid;
        return 0;
}

/* Extension ::= SEQUENCE { extnID, critical DEFAULT FALSE, extnValue } (RFC 5280 §4.1); @seen: all before it */
static int read_extension(struct csr *csr, struct der_reader *list, struct bytes *seen,
                          size_t *count, struct error *err) {
        struct der_reader body = der_enter(list, DER_SEQUENCE);
        struct bytes oid = der_get(&body, DER_OID), value;
        bool has_critical = der_next_is(&body, DER_BOOLEAN);
        bool critical = has_critical && der_get_bool(&body);

        value = der_get(&body, DER_OCTET_STRING);
        if (!oid_is_valid(oid))
                return error_set_field(err, ERR_CSR_MALFORMED, "csr.extensions",
                                       "extension %zu of the request is not an Extension in DER",
                                       *count + 1);
        if (!der_done(&body))
                return malformed_extension(oid, "is not an Extension in DER", err);
        if (has_critical && !critical)
                return malformed_extension(oid,
                                           "says that it is not critical: in DER that is left out",
                                           err);
        if (contains(seen, *count, oid))
                return malformed_extension(oid, "is there twice", err);
        if (*count == CSR_EXTENSION_MAX)
                return malformed_extension(oid, "is one too many: at most 32 extensions are read",
                                           err);
        seen[(*count)++] = oid;
        return read_extension_value(csr, oid, value, err);
}

static int read_extension_request(struct csr *csr, struct bytes value, bool *ret_has_names,
                                  struct error *err) {
        struct bytes seen[CSR_EXTENSION_MAX];
        struct der_reader outer = der_reader(value);
        struct der_reader list = der_enter(&outer, DER_SEQUENCE);
        size_t count = 0;

        while (der_more(&list))
                if (read_extension(csr, &list, seen, &count, err) < 0)
                        return -1;
        if (!der_done(&list) || !der_done(&outer))
                return error_set_field(err, ERR_CSR_MALFORMED, "csr.extensions",
                                       "the extensionRequest is not a list of extensions in DER");
        if (count == 0)
                return error_set_field(err, ERR_CSR_MALFORMED, "csr.extensions",
                                       "the extensionRequest is empty: leave it out");
        *ret_has_names = contains(seen, count, OID_CE_SUBJECT_ALT_NAME);
        return 0;
}

/* ---- attributes (RFC 2986 §4.1, RFC 2985 §5.4) ---- */

/* Attribute ::= SEQUENCE { type, SET OF one value }; @seen: all before it */
static int read_attribute(struct csr *csr, struct der_reader *set, struct bytes *seen,
                          size_t *count, bool *has_names, struct error *err) {
        struct der_reader body = der_enter(set, DER_SEQUENCE);
        struct bytes oid = der_get(&body, DER_OID), value;
        struct der_reader values = der_enter(&body, DER_SET);
        char text[OID_MAX_TEXT];

        value = der_get_element(&values, /* tag= */ 0);
        if (!oid_is_valid(oid))
                return error_set_field(err, ERR_CSR_MALFORMED, "csr.attributes",
                                       "attribute %zu of the request is not an Attribute in DER",
                                       *count + 1);
        (void) oid_text(oid, text, sizeof(text));
        if (!der_done(&body) || !der_done(&values))
                return error_set_field(err, ERR_CSR_MALFORMED, "csr.attributes",
                                       "the attribute %s is not a SET of one value in DER", text);
        if (contains(seen, *count, oid))
                return error_set_field(err, ERR_CSR_MALFORMED, "csr.attributes",
                                       "the attribute %s is there twice", text);
        if (*count == CSR_EXTENSION_MAX)
                return error_set_field(err, ERR_CSR_MALFORMED, "csr.attributes",
                                       "there are more than %d attributes", CSR_EXTENSION_MAX);
        seen[(*count)++] = oid;
        if (bytes_equal(oid, OID_EXTENSION_REQUEST))
                return read_extension_request(csr, value, has_names, err);
        if (!bytes_equal(oid, OID_CHALLENGE_PASSWORD))
                csr->other_attributes[csr->other_attribute_count++] = oid;
        return 0;
}

static int read_attributes(struct csr *csr, struct bytes attributes, bool *ret_has_names,
                           struct error *err) {
        struct bytes seen[CSR_EXTENSION_MAX];
        struct der_reader set = der_reader(attributes);
        size_t count = 0;

        while (der_more(&set))
                if (read_attribute(csr, &set, seen, &count, ret_has_names, err) < 0)
                        return -1;
        return der_done(&set) ? 0
                              : error_set_field(err, ERR_CSR_MALFORMED, "csr.attributes",
                                                "the attributes are not in DER");
}

/* ---- the request ---- */

/* What is wrong with the outermost element, in words that help to find it. */
static int malformed_outside(struct bytes der, struct error *err) {
        struct der_reader r = der_reader(der);
        struct bytes whole;

        if (der.size == 0)
                return error_set_field(err, ERR_CSR_MALFORMED, "csr", "the request is empty");
        if (der.data[0] != DER_SEQUENCE)
                return error_set_field(
                        err, ERR_CSR_MALFORMED, "csr",
                        "the request starts with octet 0x%02x: it is neither DER nor PEM",
                        der.data[0]);
        if (der.size > 1 && der.data[1] == 0x80)
                return error_set_field(err, ERR_CSR_MALFORMED, "csr",
                                       "the request is in BER of indefinite length: send DER");
        whole = der_get_element(&r, DER_SEQUENCE);
        if (whole.size == 0)
                return error_set_field(err, ERR_CSR_MALFORMED, "csr",
                                       "the request was cut at %zu octets, or is not in DER",
                                       der.size);
        if (whole.size < der.size)
                return error_set_field(err, ERR_CSR_MALFORMED, "csr",
                                       "%zu octets follow the request", der.size - whole.size);
        return error_set_field(
                err, ERR_CSR_MALFORMED, "csr",
                "the request is not a CertificationRequest (PKCS#10, RFC 2986) in DER: make it with 'cactl', "
                "'openssl req -new' or 'certtool --generate-request'");
}

static int read_outside(struct csr *csr, struct error *err) {
        struct der_reader outer = der_reader(csr->der);
        struct der_reader body = der_enter(&outer, DER_SEQUENCE);

        csr->info = der_get_element(&body, DER_SEQUENCE);
        csr->algorithm = der_get_element(&body, DER_SEQUENCE);
        csr->signature = der_get_bit_string(&body);
        return der_done(&body) && der_done(&outer) ? 0 : malformed_outside(csr->der, err);
}

/* CertificationRequestInfo ::= SEQUENCE { version, subject, subjectPKInfo, [0] attributes }. Some leave empty attributes out. */
static int read_info(struct csr *csr, struct bytes *ret_attributes, struct error *err) {
        struct der_reader outer = der_reader(csr->info);
        struct der_reader body = der_enter(&outer, DER_SEQUENCE);
        struct bytes version = der_get_integer(&body);

        *ret_attributes = BYTES_NONE;
        if (body.failed)
                return error_set_field(
                        err, ERR_CSR_MALFORMED, "csr.version",
                        "the request has no version: it is not a PKCS#10 request in DER");
        if (version.size != 1 || version.data[0] != 0)
                return error_set_field(
                        err, ERR_CSR_MALFORMED, "csr.version",
                        "the request's version is 0x%02x%s: it must be 0, which means version 1 (RFC 2986 §4.1)",
                        version.data[0], version.size > 1 ? "…" : "");
        csr->subject = der_get_element(&body, DER_SEQUENCE);
        if (body.failed)
                return error_set_field(err, ERR_CSR_MALFORMED, "csr.subject",
                                       "the request's subject is not a Name in DER");
        csr->spki = der_get_element(&body, DER_SEQUENCE);
        if (body.failed)
                return error_set_field(
                        err, ERR_CSR_MALFORMED, "csr.key",
                        "the request's public key is not a SubjectPublicKeyInfo in DER");
        if (der_more(&body))
                *ret_attributes = der_get(&body, ATTRIBUTES_CONTEXT);
        if (!der_done(&body))
                return error_set_field(
                        err, ERR_CSR_MALFORMED, "csr.attributes",
                        "after the public key the request holds something else than its attributes in DER");
        return 0;
}

/*
 * Without a subjectAltName the CN is the name, as old programs mean it, where it is one: "John Smith" is none, and that is
 * no fault of the CN. A URI is never meant by a CN.
 */
static void take_name_from_cn(struct csr *csr) {
        struct error ignored = { 0 };
        char text[SAN_TEXT_MAX];

        if (csr->common_name.size == 0 || csr->common_name.size >= sizeof(text) ||
            memchr(csr->common_name.data, '\0', csr->common_name.size))
                return;
        memcpy(text, csr->common_name.data, csr->common_name.size);
        text[csr->common_name.size] = '\0';
        if (san_list_add_text(&csr->names, text, &ignored) < 0)
                return;
        if (csr->names.count && csr->names.items[0].type == SAN_URI) {
                san_list_done(&csr->names);
        }
        csr->names_from_cn = csr->names.count > 0;
}

int csr_from_der(struct bytes der, unsigned rsa_bits_max, struct csr **ret, struct error *err) {
        CAD_AUTO(csr_free) struct csr *csr = NULL;
        struct bytes attributes;
        bool has_names = false;

        if (der.size == 0)
                return malformed_outside(der, err);
        if (der.size > CSR_MAX)
                return error_set_field(err, ERR_BODY_TOO_LARGE, "csr",
                                       "the request has %zu octets: at most %u are taken", der.size,
                                       CSR_MAX);
        csr = csr_new(der);
        if (!csr)
                return error_no_memory(err);
        if (read_outside(csr, err) < 0 || read_info(csr, &attributes, err) < 0 ||
            dn_check(csr->subject, "csr.subject", &csr->common_name, err) < 0 ||
            read_attributes(csr, attributes, &has_names, err) < 0)
                return -1;
        if (!has_names)
                take_name_from_cn(csr);
        if (public_key_from_spki(csr->spki, rsa_bits_max, &csr->key, err) < 0)
                return error_name_field(err, "csr.key");
        *ret = CAD_TAKE(csr);
        return 0;
}

int csr_verify(const struct csr *csr, struct error *err) {
        if (public_key_verify(csr->key, csr->algorithm, csr->info, csr->signature, err) < 0)
                return error_name_field(err, "csr.signature");
        return 0;
}

/* ---- what a person or a program sends ---- */

static int private_key_sent(struct error *err) {
        return error_set_field(
                err, ERR_PRIVATE_KEY_IN_BODY, "csr",
                "a private key was sent. It is not kept here, but consider it lost: make a new key, and send the request "
                "('-----BEGIN CERTIFICATE REQUEST-----') alone");
}

/*
 * What DER is, where it is not a request: keys and certificates are refused by name. A request starts with two SEQUENCEs
 * and a version; PKCS#8, SEC 1, PKCS#1 and PKCS#12 start with a version; an encrypted PKCS#8 with an algorithm.
 */
static int refuse_other_der(struct bytes der, struct error *err) {
        struct der_reader outer = der_reader(der);
        struct der_reader body = der_enter(&outer, DER_SEQUENCE), first;

        if (der_next_is(&body, DER_INTEGER))
                return private_key_sent(err);
        first = der_enter(&body, DER_SEQUENCE);
        if (der_next_is(&first, DER_OID) && der_next_is(&body, DER_OCTET_STRING))
                return private_key_sent(err);
        if (der_next_is(&first, DER_CONTEXT_CONSTRUCTED(0)))
                return error_set_field(err, ERR_CSR_MALFORMED, "csr",
                                       "a certificate was sent in place of a request");
        return 0;
}

static int csr_from_any_der(struct bytes der, unsigned rsa_bits_max, struct csr **ret,
                            struct error *err) {
        return refuse_other_der(der, err) < 0 ? -1 : csr_from_der(der, rsa_bits_max, ret, err);
}

/*
 * "0" starts a text too. A long form length is an octet that starts no character of a text (a request has one: it is longer
 * than 127 octets); a short form length, of a small private key, must be the right one.
 */
static bool is_der(struct bytes text) {
        if (text.size < 2 || text.data[0] != DER_SEQUENCE)
                return false;
        return (text.data[1] >= 0x80 && text.data[1] < 0xc0) || text.size == 2u + text.data[1];
}

static bool is_request_label(const char *label) {
        return strcmp(label, "CERTIFICATE REQUEST") == 0 ||
                strcmp(label, "NEW CERTIFICATE REQUEST") == 0;
}

/* PEM that cannot be read is a request that cannot be read. */
static int malformed_pem(struct error *err) {
        if (err && err->code == ERR_BODY_MALFORMED)
                err->code = ERR_CSR_MALFORMED;
        return error_name_field(err, "csr");
}

static int find_request(struct bytes text, struct buffer *ret_der, struct error *err) {
        char other[PEM_LABEL_MAX] = "";

        for (;;) {
                CAD_AUTO(buffer_done) struct buffer der = { 0 };
                char label[PEM_LABEL_MAX] = "";
                int found = pem_next(&text, label, &der, err);

                if (found < 0)
                        return malformed_pem(err);
                if (found == 0)
                        break;
                if (!is_request_label(label)) {
                        if (!strstr(other, "CERTIFICATE"))
                                memcpy(other, label, sizeof(other));
                        continue;
                }
                if (ret_der->size)
                        return error_set_field(err, ERR_CSR_MALFORMED, "csr",
                                               "there are two requests: send one at a time");
                buffer_append(ret_der, buffer_bytes(&der));
                if (ret_der->failed)
                        return error_no_memory(err);
        }
        /* "EC PARAMETERS" beside a request is what `openssl ecparam` leaves; a certificate means that the wrong file was sent. */
        if (strstr(other, "CERTIFICATE"))
                return error_set_field(err, ERR_CSR_MALFORMED, "csr",
                                       "a certificate was sent, where a request alone is wanted");
        if (ret_der->size == 0)
                return error_set_field(
                        err, ERR_CSR_MALFORMED, "csr",
                        "there is no request in it%s%s%s: it starts with '-----BEGIN CERTIFICATE REQUEST-----', or is DER",
                        other[0] ? " but a '" : "", other, other[0] ? "'" : "");
        return 0;
}

int csr_from_text(struct bytes text, unsigned rsa_bits_max, struct csr **ret, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer der = { 0 };

        if (text.size > CSR_TEXT_MAX)
                return error_set_field(err, ERR_BODY_TOO_LARGE, "csr",
                                       "the text has %zu octets: at most %u are taken", text.size,
                                       CSR_TEXT_MAX);
        if (pem_has_private_key(text))
                return private_key_sent(err);
        if (is_der(text))
                return csr_from_any_der(text, rsa_bits_max, ret, err);
        if (find_request(text, &der, err) < 0)
                return -1;
        return csr_from_any_der(buffer_bytes(&der), rsa_bits_max, ret, err);
}

/* ---- making one ---- */

/* CertificationRequestInfo, from its end to its start */
static struct bytes put_info(struct der_writer *w, struct bytes spki, const char *common_name,
                             const struct san_list *names) {
        if (names && names->count) {
                san_list_put_der(names, w);
                der_wrap(w, DER_OCTET_STRING, /* mark= */ 0);
                if (!common_name)
                        der_put_true(
                                w); /* RFC 5280 §4.2.1.6: critical where the subject is empty */
                der_put(w, DER_OID, OID_CE_SUBJECT_ALT_NAME);
                der_wrap(w, DER_SEQUENCE, /* mark= */ 0);
                der_wrap(w, DER_SEQUENCE, /* mark= */ 0);
                der_wrap(w, DER_SET, /* mark= */ 0);
                der_put(w, DER_OID, OID_EXTENSION_REQUEST);
                der_wrap(w, DER_SEQUENCE, /* mark= */ 0);
        }
        der_wrap(w, ATTRIBUTES_CONTEXT, /* mark= */ 0);
        der_put_raw(w, spki);
        dn_put(w, /* organization= */ NULL, common_name);
        der_put_uint(w, 0);
        der_wrap(w, DER_SEQUENCE, /* mark= */ 0);
        return der_writer_bytes(w);
}

int csr_create(const struct private_key *key, const char *common_name, const struct san_list *names,
               struct buffer *ret, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer spki = { 0 }, info_room = { 0 }, csr_room = { 0 };
        uint8_t signature[SIGNATURE_MAX];
        size_t signature_size = 0;
        struct der_writer w;
        struct bytes info;

        if (private_key_spki(key, &spki, err) < 0)
                return -1;
        if (!buffer_reserve(&info_room, CSR_MAX) || !buffer_reserve(&csr_room, CSR_MAX))
                return error_no_memory(err);
        der_writer_init(&w, info_room.data, CSR_MAX);
        info = put_info(&w, buffer_bytes(&spki), common_name, names);
        if (info.size && private_key_sign(key, info, signature, &signature_size, err) < 0)
                return -1;

        der_writer_init(&w, csr_room.data, CSR_MAX);
        der_put_bit_string(&w, BYTES(signature, signature_size));
        der_put_raw(&w, private_key_algorithm(key));
        der_put_raw(&w, info);
        der_wrap(&w, DER_SEQUENCE, /* mark= */ 0);
        if (info.size == 0 || w.failed)
                return error_set(
                        err, ERR_NAMES_TOO_MANY,
                        "a request with these names is larger than %u octets: leave some out",
                        CSR_MAX);
        buffer_append(ret, der_writer_bytes(&w));
        return ret->failed ? error_no_memory(err) : 0;
}
