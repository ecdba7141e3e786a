/*
 * Requests: what is read from them, and what they are refused for. Each bad one is signed with its own key, so that the
 * refusal is about what the row says.
 */
#include "unit.h"

#include "lib/pki/csr.h"
#include "lib/pki/oid.h"
#include "lib/pki/pem.h"

#define ROOM (2 * CSR_MAX)
#define UNTOUCHED ((void *) 0x1)
#define TAKEN ERR_NONE

static struct private_key *key; /* made once, before Check forks */
static struct buffer spki;

static void set_up(void) {
        struct error err = { 0 };

        ck_ok(private_key_generate(KEY_ECDSA_P256, 0, &key, &err), err);
        ck_ok(private_key_spki(key, &spki, &err), err);
}

static void tear_down(void) {
        key = private_key_free(key);
        buffer_done(&spki);
}

/* ---- requests made by hand ---- */

#define VERSION_1 BYTES_LITERAL("\x02\x01\x00")
#define NO_SUBJECT BYTES_LITERAL("\x30\x00")
#define SUBJECT_LAN \
        BYTES_LITERAL("\x30\x10\x31\x0e\x30\x0c\x06\x03\x55\x04\x03\x0c\x05" \
                      "a.lan")

/* What is between subject and signature; what is left out gets its good form. */
struct request {
        struct bytes version;    /* element */
        struct bytes subject;    /* element */
        struct bytes spki;       /* element */
        struct bytes attributes; /* content of the [0] */
        bool no_attributes;      /* no [0] at all */
        struct bytes after;      /* octets behind the [0] */
};

static struct bytes or_else(struct bytes given, struct bytes usual) {
        return given.data ? given : usual;
}

static struct bytes put_request(struct der_writer *w, const struct request *r) {
        static uint8_t info_room[ROOM];
        uint8_t signature[SIGNATURE_MAX];
        struct error err = { 0 };
        struct der_writer info;
        size_t size = 0;

        der_writer_init(&info, info_room, sizeof(info_room));
        der_put_raw(&info, r->after);
        if (!r->no_attributes) {
                size_t mark = der_mark(&info);

                der_put_raw(&info, r->attributes);
                der_wrap(&info, DER_CONTEXT_CONSTRUCTED(0), mark);
        }
        der_put_raw(&info, or_else(r->spki, buffer_bytes(&spki)));
        der_put_raw(&info, or_else(r->subject, NO_SUBJECT));
        der_put_raw(&info, or_else(r->version, VERSION_1));
        der_wrap(&info, DER_SEQUENCE, /* mark= */ 0);
        ck_ok(private_key_sign(key, der_writer_bytes(&info), signature, &size, &err), err);

        der_put_bit_string(w, BYTES(signature, size));
        der_put_raw(w, private_key_algorithm(key));
        der_put_raw(w, der_writer_bytes(&info));
        der_wrap(w, DER_SEQUENCE, /* mark= */ 0);
        ck_assert(!w->failed);
        return der_writer_bytes(w);
}

/* The attribute extensionRequest around @extensions, the content of the list */
static struct bytes put_extension_request(struct der_writer *w, struct bytes extensions) {
        size_t mark = der_mark(w);

        der_put(w, DER_SEQUENCE, extensions);
        der_wrap(w, DER_SET, mark);
        der_put(w, DER_OID, OID_EXTENSION_REQUEST);
        der_wrap(w, DER_SEQUENCE, mark);
        return der_writer_bytes(w);
}

static void check_refused(struct bytes der, enum error_code code, const char *field,
                          const char *words, const char *why) {
        struct csr *csr = UNTOUCHED;
        struct error err = { 0 };

        ck_assert_msg(csr_from_der(der, RSA_BITS_MAX, &csr, &err) == -1, "taken: %s", why);
        ck_assert_msg(err.code == code, "%s: expected %s, got %s: %s", why, error_slug(code),
                      error_slug(err.code), err.text);
        ck_assert_msg(strcmp(err.field, field) == 0, "%s: expected field %s, got %s: %s", why,
                      field, err.field, err.text);
        ck_assert_msg(strstr(err.text, words), "%s: '%s' is not in '%s'", why, words, err.text);
        ck_assert_ptr_eq(csr, UNTOUCHED);
}

/* Only for requests that must be taken, their proof of possession included. */
static struct csr *read_good(struct bytes der, const char *why) {
        struct csr *csr = NULL;
        struct error err = { 0 };

        ck_assert_msg(csr_from_der(der, RSA_BITS_MAX, &csr, &err) == 0, "%s: %s: %s", why,
                      err.field, err.text);
        ck_assert_msg(csr_verify(csr, &err) == 0, "%s: %s", why, err.text);
        return csr;
}

/* ---- the frame ---- */

static const struct {
        const char *why;
        struct request request;
        enum error_code code;
        const char *field, *words;
} frames[] = {
        { "the least that there is", { .subject = { NULL, 0 } }, TAKEN, "", "" },
        { "empty attributes that were left out", { .no_attributes = true }, TAKEN, "", "" },
        { "version 2",
          { .version = BYTES_LITERAL("\x02\x01\x01") },
          ERR_CSR_MALFORMED,
          "csr.version",
          "0x01" },
        { "version 0",
          { .version = BYTES_LITERAL("\x02\x01\xff") },
          ERR_CSR_MALFORMED,
          "csr.version",
          "0xff" },
        { "a version of two octets",
          { .version = BYTES_LITERAL("\x02\x02\x01\x00") },
          ERR_CSR_MALFORMED,
          "csr.version",
          "0x01" },
        { "a version that is not minimal",
          { .version = BYTES_LITERAL("\x02\x02\x00\x00") },
          ERR_CSR_MALFORMED,
          "csr.version",
          "DER" },
        { "an empty version",
          { .version = BYTES_LITERAL("\x02\x00") },
          ERR_CSR_MALFORMED,
          "csr.version",
          "DER" },
        { "no version",
          { .version = BYTES_LITERAL("") },
          ERR_CSR_MALFORMED,
          "csr.version",
          "no version" },
        { "a subject of another type",
          { .subject = BYTES_LITERAL("\x31\x00") },
          ERR_CSR_MALFORMED,
          "csr.subject",
          "Name" },
        { "a subject with an empty RDN",
          { .subject = BYTES_LITERAL("\x30\x02\x31\x00") },
          ERR_CSR_SUBJECT,
          "csr.subject",
          "" },
        { "no key",
          { .spki = BYTES_LITERAL("") },
          ERR_CSR_MALFORMED,
          "csr.key",
          "SubjectPublicKeyInfo" },
        { "an empty key",
          { .spki = BYTES_LITERAL("\x30\x00") },
          ERR_KEY_INVALID,
          "csr.key",
          "SubjectPublicKeyInfo" },
        { "a key type that nobody knows",
          { .spki = BYTES_LITERAL("\x30\x0a\x30\x04\x06\x02\x2a\x03\x03\x02\x00\x01") },
          ERR_KEY_UNSUPPORTED,
          "csr.key",
          "1.2.3" },
        { "something behind the attributes",
          { .after = BYTES_LITERAL("\x05\x00") },
          ERR_CSR_MALFORMED,
          "csr.attributes",
          "something else" },
        { "something in place of the attributes",
          { .no_attributes = true, .after = BYTES_LITERAL("\x31\x00") },
          ERR_CSR_MALFORMED,
          "csr.attributes",
          "something else" },
        { "indefinite length inside",
          { .subject = BYTES_LITERAL("\x30\x80\x00\x00") },
          ERR_CSR_MALFORMED,
          "csr.subject",
          "DER" },
        { "a length that is not minimal",
          { .subject = BYTES_LITERAL("\x30\x81\x00") },
          ERR_CSR_MALFORMED,
          "csr.subject",
          "DER" },
        { "a length of 4 GiB",
          { .subject = BYTES_LITERAL("\x30\x84\xff\xff\xff\xff") },
          ERR_CSR_MALFORMED,
          "csr.subject",
          "DER" },
};

START_TEST(the_frame_of_a_request_is_checked) {
        CAD_AUTO(csr_free) struct csr *csr = NULL;
        uint8_t room[4096];
        struct der_writer w;
        struct bytes der;

        der_writer_init(&w, room, sizeof(room));
        der = put_request(&w, &frames[_i].request);
        if (frames[_i].code == TAKEN)
                csr = read_good(der, frames[_i].why);
        else
                check_refused(der, frames[_i].code, frames[_i].field, frames[_i].words,
                              frames[_i].why);
}
END_TEST

static const struct {
        const char *why;
        struct bytes der;
        const char *words;
} outsides[] = {
        { "nothing", { NULL, 0 }, "empty" },
        { "text", BYTES_LITERAL("hello"), "0x68" },
        { "indefinite length", BYTES_LITERAL("\x30\x80\x00\x00"), "indefinite" },
        { "a length of 4 GiB", BYTES_LITERAL("\x30\x84\xff\xff\xff\xff"), "cut at 6" },
        { "a length of 2^64", BYTES_LITERAL("\x30\x88\xff\xff\xff\xff\xff\xff\xff\xff"), "DER" },
        { "an empty SEQUENCE", BYTES_LITERAL("\x30\x00"), "PKCS#10" },
        { "octets behind it", BYTES_LITERAL("\x30\x00\x00"), "1 octets follow" },
};

START_TEST(what_is_no_request_at_all_is_refused_in_words) {
        check_refused(outsides[_i].der, ERR_CSR_MALFORMED, "csr", outsides[_i].words,
                      outsides[_i].why);
}
END_TEST

START_TEST(ten_thousand_nested_sequences_are_refused_at_once) {
        static uint8_t room[CSR_MAX];
        struct der_writer w;

        der_writer_init(&w, room, sizeof(room));
        for (int i = 0; i < 10000; i++)
                der_wrap(&w, DER_SEQUENCE, /* mark= */ 0);
        check_refused(der_writer_bytes(&w), ERR_CSR_MALFORMED, "csr", "PKCS#10", "nested");
}
END_TEST

/* ---- extensions ---- */

#define EXT(size, id, critical, octets) "\x30" size "\x06\x03\x55\x1d" id critical "\x04" octets
#define CRITICAL "\x01\x01\xff"
#define F(name) "csr.extensions." name

static const struct {
        const char *why;
        struct bytes extensions;
        enum error_code code;
        const char *field, *words;
} extension_rows[] = {
        { "a name",
          BYTES_LITERAL(EXT("\x10", "\x11", "",
                            "\x09\x30\x07\x82\x05"
                            "b.lan")),
          TAKEN, "", "" },
        { "a critical name",
          BYTES_LITERAL(EXT("\x13", "\x11", CRITICAL,
                            "\x09\x30\x07\x82\x05"
                            "b.lan")),
          TAKEN, "", "" },
        { "an extension that is written out as not critical",
          BYTES_LITERAL(EXT("\x13", "\x11", "\x01\x01\x00",
                            "\x09\x30\x07\x82\x05"
                            "b.lan")),
          ERR_CSR_MALFORMED, F("subjectAltName"), "left out" },
        { "a BOOLEAN of BER",
          BYTES_LITERAL(EXT("\x13", "\x11", "\x01\x01\x01",
                            "\x09\x30\x07\x82\x05"
                            "b.lan")),
          ERR_CSR_MALFORMED, F("subjectAltName"), "DER" },
        { "no name in the list", BYTES_LITERAL(EXT("\x09", "\x11", "", "\x02\x30\x00")),
          ERR_CSR_MALFORMED, "csr.san", "" },
        { "a name that is none",
          BYTES_LITERAL(EXT("\x10", "\x11", "",
                            "\x09\x30\x07\x82\x05"
                            "b lan")),
          ERR_NAME_INVALID, "csr.san[0]", "" },
        { "a NUL inside a name",
          BYTES_LITERAL(EXT("\x10", "\x11", "",
                            "\x09\x30\x07\x82\x05"
                            "b\0lan")),
          ERR_NAME_INVALID, "csr.san[0]", "" },
        { "a name of another kind",
          BYTES_LITERAL(EXT("\x0d", "\x11", "", "\x06\x30\x04\x88\x02\x2a\x03")),
          ERR_NAME_NOT_ALLOWED, "csr.san[0]", "" },
        { "the same extension twice",
          BYTES_LITERAL(EXT("\x10", "\x11", "",
                            "\x09\x30\x07\x82\x05"
                            "b.lan") EXT("\x10", "\x11", "",
                                         "\x09\x30\x07\x82\x05"
                                         "c.lan")),
          ERR_CSR_MALFORMED, F("subjectAltName"), "twice" },
        { "an unknown extension twice",
          BYTES_LITERAL("\x30\x07\x06\x02\x2a\x03\x04\x01\x00"
                        "\x30\x07\x06\x02\x2a\x03\x04\x01\x00"),
          ERR_CSR_MALFORMED, F("1.2.3"), "twice" },
        { "digitalSignature", BYTES_LITERAL(EXT("\x0e", "\x0f", CRITICAL, "\x04\x03\x02\x07\x80")),
          TAKEN, "", "" },
        { "all nine usages", BYTES_LITERAL(EXT("\x0c", "\x0f", "", "\x05\x03\x03\x07\xff\x80")),
          TAKEN, "", "" },
        { "no usage", BYTES_LITERAL(EXT("\x0a", "\x0f", "", "\x03\x03\x01\x00")), ERR_CSR_MALFORMED,
          F("keyUsage"), "no usage" },
        { "a tenth usage", BYTES_LITERAL(EXT("\x0c", "\x0f", "", "\x05\x03\x03\x06\x80\x40")),
          ERR_CSR_MALFORMED, F("keyUsage"), "decipherOnly" },
        { "usages with zero bits at their end",
          BYTES_LITERAL(EXT("\x0b", "\x0f", "", "\x04\x03\x02\x00\x80")), ERR_CSR_MALFORMED,
          F("keyUsage"), "DER" },
        { "usages that are no bits", BYTES_LITERAL(EXT("\x0a", "\x0f", "", "\x03\x02\x01\x01")),
          ERR_CSR_MALFORMED, F("keyUsage"), "DER" },
        { "serverAuth",
          BYTES_LITERAL(
                  EXT("\x13", "\x25", "", "\x0c\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01")),
          TAKEN, "", "" },
        { "no purpose in the list", BYTES_LITERAL(EXT("\x09", "\x25", "", "\x02\x30\x00")),
          ERR_CSR_MALFORMED, F("extendedKeyUsage"), "empty" },
        { "a purpose that is no OID",
          BYTES_LITERAL(EXT("\x0b", "\x25", "", "\x04\x30\x02\x06\x00")), ERR_CSR_MALFORMED,
          F("extendedKeyUsage"), "DER" },
        { "a purpose whose last arc is not ended",
          BYTES_LITERAL(EXT("\x0c", "\x25", "", "\x05\x30\x03\x06\x01\xaa")), ERR_CSR_MALFORMED,
          F("extendedKeyUsage"), "DER" },
        { "an arc with a leading zero",
          BYTES_LITERAL(EXT("\x0e", "\x25", "", "\x07\x30\x05\x06\x03\x2a\x80\x01")),
          ERR_CSR_MALFORMED, F("extendedKeyUsage"), "DER" },
        { "octets behind the purposes",
          BYTES_LITERAL(EXT("\x0d", "\x25", "", "\x06\x30\x03\x06\x01\x2a\x00")), ERR_CSR_MALFORMED,
          F("extendedKeyUsage"), "DER" },
        { "basicConstraints as OpenSSL writes CA:FALSE",
          BYTES_LITERAL(EXT("\x09", "\x13", "", "\x02\x30\x00")), TAKEN, "", "" },
        { "basicConstraints with CA:FALSE written out",
          BYTES_LITERAL(EXT("\x0c", "\x13", "", "\x05\x30\x03\x01\x01\x00")), TAKEN, "", "" },
        { "CA:TRUE is read; a profile refuses it",
          BYTES_LITERAL(EXT("\x0f", "\x13", CRITICAL, "\x05\x30\x03\x01\x01\xff")), TAKEN, "", "" },
        { "CA:TRUE in BER", BYTES_LITERAL(EXT("\x0c", "\x13", "", "\x05\x30\x03\x01\x01\x01")),
          ERR_CSR_MALFORMED, F("basicConstraints"), "DER" },
        { "a path length without CA:TRUE",
          BYTES_LITERAL(EXT("\x0c", "\x13", "", "\x05\x30\x03\x02\x01\x00")), ERR_CSR_EXTENSION,
          F("basicConstraints"), "path length" },
        { "a path length with CA:FALSE",
          BYTES_LITERAL(EXT("\x0f", "\x13", "", "\x08\x30\x06\x01\x01\x00\x02\x01\x00")),
          ERR_CSR_EXTENSION, F("basicConstraints"), "path length" },
        { "a negative path length",
          BYTES_LITERAL(EXT("\x0f", "\x13", "", "\x08\x30\x06\x01\x01\xff\x02\x01\xff")),
          ERR_CSR_MALFORMED, F("basicConstraints"), "DER" },
        { "a subject key identifier is ignored",
          BYTES_LITERAL(EXT("\x0b", "\x0e", "", "\x04\x04\x02\x01\x02")), TAKEN, "", "" },
        { "a subject key identifier that is none",
          BYTES_LITERAL(EXT("\x09", "\x0e", "", "\x02\x05\x00")), ERR_CSR_MALFORMED,
          F("subjectKeyIdentifier"), "OCTET STRING" },
        { "an unknown extension is for the profile to judge",
          BYTES_LITERAL("\x30\x07\x06\x02\x2a\x03\x04\x01\x00"), TAKEN, "", "" },
        { "an unknown critical one too",
          BYTES_LITERAL("\x30\x0a\x06\x02\x2a\x03\x01\x01\xff\x04\x01\x00"), TAKEN, "", "" },
        { "an extension without a value", BYTES_LITERAL("\x30\x04\x06\x02\x2a\x03"),
          ERR_CSR_MALFORMED, F("1.2.3"), "DER" },
        { "an extension with something behind its value",
          BYTES_LITERAL("\x30\x09\x06\x02\x2a\x03\x04\x01\x00\x05\x00"), ERR_CSR_MALFORMED,
          F("1.2.3"), "DER" },
        { "an extension without a type", BYTES_LITERAL("\x30\x03\x04\x01\x00"), ERR_CSR_MALFORMED,
          "csr.extensions", "extension 1 " },
        { "no extension",
          { (const uint8_t *) "", 0 },
          ERR_CSR_MALFORMED,
          "csr.extensions",
          "empty" },
        { "something in place of an extension", BYTES_LITERAL("\x05\x00"), ERR_CSR_MALFORMED,
          "csr.extensions", "extension 1 " },
};

START_TEST(extensions_are_read_or_refused_by_name) {
        CAD_AUTO(csr_free) struct csr *csr = NULL;
        uint8_t room[4096], attribute_room[1024];
        struct request request = { 0 };
        struct der_writer w;
        struct bytes der;

        der_writer_init(&w, attribute_room, sizeof(attribute_room));
        request.attributes = put_extension_request(&w, extension_rows[_i].extensions);
        der_writer_init(&w, room, sizeof(room));
        der = put_request(&w, &request);
        if (extension_rows[_i].code == TAKEN)
                csr = read_good(der, extension_rows[_i].why);
        else
                check_refused(der, extension_rows[_i].code, extension_rows[_i].field,
                              extension_rows[_i].words, extension_rows[_i].why);
}
END_TEST

/* As many extensions of types 1.2.0, 1.2.1, … */
static struct bytes put_extensions(struct der_writer *w, size_t count) {
        while (count--) {
                uint8_t extension[] = { 0x30, 0x06, 0x06, 0x02, 0x2a, (uint8_t) count, 0x04, 0x00 };

                der_put_raw(w, BYTES(extension, sizeof(extension)));
        }
        return der_writer_bytes(w);
}

START_TEST(extensions_and_attributes_have_a_limit) {
        CAD_AUTO(csr_free) struct csr *csr = NULL;
        uint8_t list_room[1024], attribute_room[1024], room[4096];
        struct request request = { 0 };
        struct der_writer list, w;

        for (size_t count = CSR_EXTENSION_MAX; count <= CSR_EXTENSION_MAX + 1; count++) {
                der_writer_init(&list, list_room, sizeof(list_room));
                der_writer_init(&w, attribute_room, sizeof(attribute_room));
                request.attributes = put_extension_request(&w, put_extensions(&list, count));
                der_writer_init(&w, room, sizeof(room));
                if (count > CSR_EXTENSION_MAX) {
                        check_refused(put_request(&w, &request), ERR_CSR_MALFORMED, F("1.2.32"),
                                      "at most 32", "one extension too many");
                        break;
                }
                csr = read_good(put_request(&w, &request), "as many extensions as there may be");
                ck_assert_uint_eq(csr->other_extension_count, CSR_EXTENSION_MAX);
        }
        for (size_t count = CSR_EXTENSION_MAX; count <= CSR_EXTENSION_MAX + 1; count++) {
                der_writer_init(&w, attribute_room, sizeof(attribute_room));
                for (size_t i = count; i--;) {
                        uint8_t attribute[] = { 0x30,        0x08, 0x06, 0x02, 0x2a,
                                                (uint8_t) i, 0x31, 0x02, 0x05, 0x00 };

                        der_put_raw(&w, BYTES(attribute, sizeof(attribute)));
                }
                request.attributes = der_writer_bytes(&w);
                der_writer_init(&w, room, sizeof(room));
                csr = csr_free(csr);
                if (count > CSR_EXTENSION_MAX) {
                        check_refused(put_request(&w, &request), ERR_CSR_MALFORMED,
                                      "csr.attributes", "more than 32", "one attribute too many");
                        break;
                }
                csr = read_good(put_request(&w, &request), "as many attributes as there may be");
                ck_assert_uint_eq(csr->other_attribute_count, CSR_EXTENSION_MAX);
        }
}
END_TEST

START_TEST(key_purposes_have_a_limit_and_count_once) {
        uint8_t list_room[512], ext_room[512], attribute_room[1024], room[4096];
        struct request request = { 0 };
        struct der_writer list, ext, w;

        for (size_t count = CSR_EKU_MAX; count <= CSR_EKU_MAX + 1; count++) {
                CAD_AUTO(csr_free) struct csr *csr = NULL;

                der_writer_init(&list, list_room, sizeof(list_room));
                for (size_t i = 0; i < count + 3; i++) { /* the first one four times */
                        uint8_t oid[] = { 0x2a, (uint8_t) (i < count ? i : 0) };

                        der_put(&list, DER_OID, BYTES(oid, sizeof(oid)));
                }
                der_wrap(&list, DER_SEQUENCE, /* mark= */ 0);
                der_writer_init(&ext, ext_room, sizeof(ext_room));
                der_put(&ext, DER_OCTET_STRING, der_writer_bytes(&list));
                der_put(&ext, DER_OID, OID_CE_EXTENDED_KEY_USAGE);
                der_wrap(&ext, DER_SEQUENCE, /* mark= */ 0);
                der_writer_init(&w, attribute_room, sizeof(attribute_room));
                request.attributes = put_extension_request(&w, der_writer_bytes(&ext));
                der_writer_init(&w, room, sizeof(room));
                if (count > CSR_EKU_MAX) {
                        check_refused(put_request(&w, &request), ERR_CSR_MALFORMED,
                                      F("extendedKeyUsage"), "too many", "one too many");
                        continue;
                }
                csr = read_good(put_request(&w, &request), "as many as there may be");
                ck_assert_uint_eq(csr->extended_key_usage_count, CSR_EKU_MAX);
        }
}
END_TEST

/* ---- attributes ---- */

#define CHALLENGE \
        "\x30\x15\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07\x31\x08\x0c\x06" \
        "geheim"
#define UNSTRUCTURED_NAME \
        "\x30\x11\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x02\x31\x04\x0c\x02" \
        "ab"
#define MS_CERT_EXTENSIONS \
        "\x30\x10\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x02\x01\x0e\x31\x02\x30\x00"
#define EXTENSION_REQUEST \
        "\x30\x16\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e\x31\x09\x30\x07\x30\x05\x06\x01\x2a\x04\x00"

static const struct {
        const char *why;
        struct bytes attributes;
        enum error_code code;
        const char *words;
        size_t others;
} attribute_rows[] = {
        { "a challengePassword is ignored", BYTES_LITERAL(CHALLENGE), TAKEN, "", 0 },
        { "an unstructuredName is for the profile to judge", BYTES_LITERAL(UNSTRUCTURED_NAME),
          TAKEN, "", 1 },
        { "Microsoft's extensions are an attribute like any other",
          BYTES_LITERAL(MS_CERT_EXTENSIONS), TAKEN, "", 1 },
        { "three of them", BYTES_LITERAL(CHALLENGE UNSTRUCTURED_NAME EXTENSION_REQUEST), TAKEN, "",
          1 },
        { "in another order: nobody sorts a SET",
          BYTES_LITERAL(EXTENSION_REQUEST UNSTRUCTURED_NAME CHALLENGE), TAKEN, "", 1 },
        { "extensionRequest twice", BYTES_LITERAL(EXTENSION_REQUEST EXTENSION_REQUEST),
          ERR_CSR_MALFORMED, "extensionRequest (1.2.840.113549.1.9.14) is there twice", 0 },
        { "challengePassword twice", BYTES_LITERAL(CHALLENGE CHALLENGE), ERR_CSR_MALFORMED, "twice",
          0 },
        { "an attribute without a value", BYTES_LITERAL("\x30\x06\x06\x02\x2a\x03\x31\x00"),
          ERR_CSR_MALFORMED, "SET of one value", 0 },
        { "an attribute with two values",
          BYTES_LITERAL("\x30\x0a\x06\x02\x2a\x03\x31\x04\x05\x00\x05\x00"), ERR_CSR_MALFORMED,
          "SET of one value", 0 },
        { "extensionRequest with two values",
          BYTES_LITERAL("\x30\x1f\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e\x31\x12"
                        "\x30\x07\x30\x05\x06\x01\x2a\x04\x00"
                        "\x30\x07\x30\x05\x06\x01\x2b\x04\x00"),
          ERR_CSR_MALFORMED, "SET of one value", 0 },
        { "something behind the SET",
          BYTES_LITERAL("\x30\x0a\x06\x02\x2a\x03\x31\x02\x05\x00\x05\x00"), ERR_CSR_MALFORMED,
          "SET of one value", 0 },
        { "an attribute without a type", BYTES_LITERAL("\x30\x04\x31\x02\x05\x00"),
          ERR_CSR_MALFORMED, "attribute 1 ", 0 },
        { "something in place of an attribute", BYTES_LITERAL("\x05\x00"), ERR_CSR_MALFORMED,
          "attribute 1 ", 0 },
        { "an attribute that is longer than its place", BYTES_LITERAL("\x30\x30\x06\x02\x2a\x03"),
          ERR_CSR_MALFORMED, "attribute 1 ", 0 },
};

START_TEST(attributes_are_read_or_refused_by_name) {
        CAD_AUTO(csr_free) struct csr *csr = NULL;
        struct request request = { .attributes = attribute_rows[_i].attributes };
        uint8_t room[4096];
        struct der_writer w;
        struct bytes der;

        der_writer_init(&w, room, sizeof(room));
        der = put_request(&w, &request);
        if (attribute_rows[_i].code == TAKEN) {
                csr = read_good(der, attribute_rows[_i].why);
                ck_assert_uint_eq(csr->other_attribute_count, attribute_rows[_i].others);
        } else {
                check_refused(der, attribute_rows[_i].code, "csr.attributes",
                              attribute_rows[_i].words, attribute_rows[_i].why);
        }
}
END_TEST

START_TEST(a_challenge_password_is_in_no_error) {
        struct request request = { .attributes = BYTES_LITERAL(CHALLENGE CHALLENGE) };
        uint8_t room[4096];
        struct csr *csr = NULL;
        struct error err;
        struct der_writer w;
        struct bytes der;

        der_writer_init(&w, room, sizeof(room));
        der = put_request(&w, &request);
        ck_refused(csr_from_der(der, RSA_BITS_MAX, &csr, &err), err, ERR_CSR_MALFORMED);
        ck_assert_ptr_null(strstr(err.text, "geheim"));
}
END_TEST

/* ---- the common name ---- */

static const struct {
        const char *why;
        struct bytes cn;
        const char *name; /* NULL: no name comes of it */
        enum san_type type;
} common_names[] = {
        { "a DNS name", BYTES_LITERAL("NAS.lan"), "nas.lan", SAN_DNS },
        { "a single label", BYTES_LITERAL("nas"), "nas", SAN_DNS },
        { "a wildcard", BYTES_LITERAL("*.nas.lan"), "*.nas.lan", SAN_DNS },
        { "an IPv4 address", BYTES_LITERAL("192.168.1.10"), "192.168.1.10", SAN_IP },
        { "an IPv6 address", BYTES_LITERAL("fd00::1"), "fd00::1", SAN_IP },
        { "an e-mail address", BYTES_LITERAL("a@home.lan"), "a@home.lan", SAN_EMAIL },
        { "a person", BYTES_LITERAL("John Smith"), NULL, 0 },
        { "a URI is never meant by a CN", BYTES_LITERAL("https://nas.lan/"), NULL, 0 },
        { "an address that nobody may have", BYTES_LITERAL("0.0.0.0"), NULL, 0 },
        { "a number", BYTES_LITERAL("12345"), NULL, 0 },
};

static struct bytes put_cn(struct der_writer *w, struct bytes cn) {
        der_put(w, DER_UTF8_STRING, cn);
        der_put(w, DER_OID, OID_AT_COMMON_NAME);
        der_wrap(w, DER_SEQUENCE, /* mark= */ 0);
        der_wrap(w, DER_SET, /* mark= */ 0);
        der_wrap(w, DER_SEQUENCE, /* mark= */ 0);
        return der_writer_bytes(w);
}

START_TEST(a_cn_is_the_name_where_there_is_no_other) {
        CAD_AUTO(csr_free) struct csr *csr = NULL;
        uint8_t room[4096], cn_room[256];
        char text[SAN_TEXT_MAX];
        struct request request = { 0 };
        struct der_writer w;

        der_writer_init(&w, cn_room, sizeof(cn_room));
        request.subject = put_cn(&w, common_names[_i].cn);
        der_writer_init(&w, room, sizeof(room));
        csr = read_good(put_request(&w, &request), common_names[_i].why);
        ck_assert(bytes_equal(csr->common_name, common_names[_i].cn));
        ck_assert_msg(csr->names_from_cn == (common_names[_i].name != NULL), "%s",
                      common_names[_i].why);
        ck_assert_uint_eq(csr->names.count, common_names[_i].name ? 1 : 0);
        if (common_names[_i].name) {
                ck_assert_int_eq(csr->names.items[0].type, common_names[_i].type);
                ck_assert_str_eq(san_text(&csr->names.items[0], text, sizeof(text)),
                                 common_names[_i].name);
        }
}
END_TEST

START_TEST(a_cn_with_a_nul_is_refused) {
        uint8_t room[4096], cn_room[256];
        struct request request = { 0 };
        struct der_writer w;

        der_writer_init(&w, cn_room, sizeof(cn_room));
        request.subject = put_cn(&w, BYTES_LITERAL("good.lan\0.evil"));
        der_writer_init(&w, room, sizeof(room));
        check_refused(put_request(&w, &request), ERR_CSR_SUBJECT, "csr.subject.CN", "", "a NUL");
}
END_TEST

START_TEST(a_subject_alt_name_leaves_the_cn_aside) {
        CAD_AUTO(csr_free) struct csr *csr = NULL;
        uint8_t room[4096], attribute_room[256];
        char text[SAN_TEXT_MAX];
        struct request request = { .subject = SUBJECT_LAN };
        struct der_writer w;

        der_writer_init(&w, attribute_room, sizeof(attribute_room));
        request.attributes = put_extension_request(&w,
                                                   BYTES_LITERAL(EXT("\x10", "\x11", "",
                                                                     "\x09\x30\x07\x82\x05"
                                                                     "b.lan")));
        der_writer_init(&w, room, sizeof(room));
        csr = read_good(put_request(&w, &request), "both");
        ck_assert(!csr->names_from_cn);
        ck_assert(bytes_equal(csr->common_name, BYTES_LITERAL("a.lan")));
        ck_assert_uint_eq(csr->names.count, 1);
        ck_assert_str_eq(san_text(&csr->names.items[0], text, sizeof(text)), "b.lan");
}
END_TEST

/* ---- a whole one ---- */

static struct bytes whole_request(struct der_writer *w) {
        static uint8_t attribute_room[1024];
        struct request request = { .subject = SUBJECT_LAN };
        struct der_writer a;

        der_writer_init(&a, attribute_room, sizeof(attribute_room));
        der_put_raw(&a, BYTES_LITERAL(UNSTRUCTURED_NAME));
        der_put_raw(&a, BYTES_LITERAL(CHALLENGE));
        {
                static uint8_t ext_room[512];
                struct der_writer ext;

                der_writer_init(&ext, ext_room, sizeof(ext_room));
                der_put_raw(
                        &a,
                        put_extension_request(
                                &ext,
                                BYTES_LITERAL(
                                        EXT("\x16", "\x11", "",
                                            "\x0f\x30\x0d\x82\x05"
                                            "b.lan"
                                            "\x87\x04\x0a\x00\x00\x01") EXT("\x0e", "\x0f",
                                                                            CRITICAL,
                                                                            "\x04\x03\x02\x05\xa0")
                                                EXT("\x13", "\x25", "",
                                                    "\x0c\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01")
                                                        EXT("\x0f", "\x13", CRITICAL,
                                                            "\x05\x30\x03\x01\x01\xff")
                                                                EXT("\x0b", "\x0e", "",
                                                                    "\x04\x04\x02\x01\x02") "\x30\x07\x06\x02\x2a\x03\x04\x01\x00")));
        }
        request.attributes = der_writer_bytes(&a);
        return put_request(w, &request);
}

START_TEST(everything_in_a_request_is_read) {
        CAD_AUTO(csr_free) struct csr *csr = NULL;
        uint8_t room[4096];
        struct der_writer w;
        struct bytes der;

        der_writer_init(&w, room, sizeof(room));
        der = whole_request(&w);
        csr = read_good(der, "whole");
        ck_assert(bytes_equal(csr->der, der));
        ck_assert_msg(csr->der.data == csr->octets && csr->der.data != der.data,
                      "the octets are copied");
        ck_assert(bytes_equal(csr->subject, SUBJECT_LAN));
        ck_assert(bytes_equal(csr->spki, buffer_bytes(&spki)));
        ck_assert(bytes_equal(csr->algorithm, private_key_algorithm(key)));
        ck_assert(bytes_equal(csr->common_name, BYTES_LITERAL("a.lan")));
        ck_assert_uint_eq(csr->names.count, 2);
        ck_assert_int_eq(csr->names.items[1].type, SAN_IP);
        ck_assert(csr->has_key_usage);
        ck_assert_uint_eq(csr->key_usage, KU_DIGITAL_SIGNATURE | KU_KEY_ENCIPHERMENT);
        ck_assert_uint_eq(csr->extended_key_usage_count, 1);
        ck_assert(bytes_equal(csr->extended_key_usage[0], OID_KP_SERVER_AUTH));
        ck_assert(csr->wants_ca);
        ck_assert_uint_eq(csr->other_extension_count, 1);
        ck_assert(bytes_equal(csr->other_extensions[0], BYTES_LITERAL("\x2a\x03")));
        ck_assert_uint_eq(csr->other_attribute_count, 1);
        ck_assert_int_eq(public_key_type(csr->key), KEY_ECDSA_P256);
}
END_TEST

START_TEST(no_part_of_a_request_and_nothing_behind_it_is_taken) {
        uint8_t room[4096];
        struct der_writer w;
        struct bytes der;
        uint8_t *part;

        der_writer_init(&w, room, sizeof(room));
        der = whole_request(&w);
        for (size_t size = 0; size < der.size; size++) {
                part = malloc(size ? size : 1); /* so that a sanitizer sees a read beyond it */
                memcpy(part, der.data, size);
                check_refused(BYTES(part, size), ERR_CSR_MALFORMED, "csr", size ? "cut" : "empty",
                              "a part");
                free(part);
        }
        part = malloc(der.size + 1);
        memcpy(part, der.data, der.size);
        part[der.size] = 0;
        check_refused(BYTES(part, der.size + 1), ERR_CSR_MALFORMED, "csr", "1 octets follow",
                      "an octet more");
        free(part);
}
END_TEST

START_TEST(a_request_that_was_changed_in_any_bit_is_refused) {
        uint8_t room[4096];
        struct der_writer w;
        struct bytes der;

        der_writer_init(&w, room, sizeof(room));
        der = whole_request(&w);
        for (size_t i = 0; i < 8 * der.size; i++) {
                CAD_AUTO(csr_free) struct csr *csr = NULL;
                uint8_t *octet = room + sizeof(room) - der.size + i / 8;
                struct error err = { 0 };

                *octet ^= (uint8_t) (1u << i % 8);
                ck_assert_msg(csr_from_der(der, RSA_BITS_MAX, &csr, &err) < 0 ||
                                      csr_verify(csr, &err) < 0,
                              "bit %zu", i);
                ck_assert(err.text[0] && err.field[0]);
                *octet ^= (uint8_t) (1u << i % 8);
        }
}
END_TEST

START_TEST(a_request_signed_by_another_key_is_no_proof) {
        CAD_AUTO(private_key_free) struct private_key *other = NULL;
        CAD_AUTO(buffer_done) struct buffer other_spki = { 0 };
        CAD_AUTO(csr_free) struct csr *csr = NULL;
        struct request request = { 0 };
        struct error err = { 0 };
        uint8_t room[4096];
        struct der_writer w;

        ck_ok(private_key_generate(KEY_ECDSA_P256, 0, &other, &err), err);
        ck_ok(private_key_spki(other, &other_spki, &err), err);
        request.spki = buffer_bytes(&other_spki);
        der_writer_init(&w, room, sizeof(room));
        ck_ok(csr_from_der(put_request(&w, &request), RSA_BITS_MAX, &csr, &err), err);
        ck_refused(csr_verify(csr, &err), err, ERR_CSR_SIGNATURE);
        ck_assert_str_eq(err.field, "csr.signature");
        ck_assert_msg(strstr(err.text, "proof of possession"), "%s", err.text);
}
END_TEST

START_TEST(a_request_has_a_limit_of_size) {
        uint8_t *octets = calloc(1, CSR_MAX + 1);

        octets[0] = 0x30; /* an empty SEQUENCE, and all the rest behind it */
        check_refused(BYTES(octets, CSR_MAX + 1), ERR_BODY_TOO_LARGE, "csr", "65537 octets",
                      "too large");
        check_refused(BYTES(octets, CSR_MAX), ERR_CSR_MALFORMED, "csr", "follow",
                      "as large as may be");
        free(octets);
}
END_TEST

/* ---- text ---- */

enum piece {
        END_OF_PIECES,
        REQUEST,
        NEW_REQUEST,
        REQUEST_CRLF,
        CERTIFICATE,
        TEXT,
        BOM,
        EC_PARAMETERS,
        PRIVATE_KEY,
        CUT,
        OTHER_REQUEST,
        DER
};

static const struct {
        const char *why;
        enum piece pieces[4];
        enum error_code code;
        const char *words;
} texts[] = {
        { "PEM", { REQUEST }, TAKEN, "" },
        { "DER", { DER }, TAKEN, "" },
        { "the older label", { NEW_REQUEST }, TAKEN, "" },
        { "CRLF", { REQUEST_CRLF }, TAKEN, "" },
        { "text in front and behind", { TEXT, REQUEST, TEXT }, TAKEN, "" },
        { "a BOM", { BOM, REQUEST }, TAKEN, "" },
        { "openssl ecparam's block", { EC_PARAMETERS, REQUEST }, TAKEN, "" },
        { "two requests", { REQUEST, OTHER_REQUEST }, ERR_CSR_MALFORMED, "two requests" },
        { "the same request twice", { REQUEST, REQUEST }, ERR_CSR_MALFORMED, "two requests" },
        { "a certificate", { CERTIFICATE }, ERR_CSR_MALFORMED, "certificate was sent" },
        { "a certificate behind the request",
          { REQUEST, CERTIFICATE },
          ERR_CSR_MALFORMED,
          "certificate was sent" },
        { "a certificate and something else",
          { CERTIFICATE, REQUEST, EC_PARAMETERS },
          ERR_CSR_MALFORMED,
          "certificate was sent" },
        { "text alone, whose \"0\" is what a SEQUENCE starts with",
          { TEXT },
          ERR_CSR_MALFORMED,
          "no request" },
        { "another block alone", { EC_PARAMETERS }, ERR_CSR_MALFORMED, "'EC PARAMETERS'" },
        { "nothing", { END_OF_PIECES }, ERR_CSR_MALFORMED, "no request" },
        { "a request that was cut", { CUT }, ERR_CSR_MALFORMED, "was cut" },
        { "a private key alone", { PRIVATE_KEY }, ERR_PRIVATE_KEY_IN_BODY, "private key" },
        { "a private key behind the request",
          { REQUEST, PRIVATE_KEY },
          ERR_PRIVATE_KEY_IN_BODY,
          "make a new key" },
        { "a private key before a request that was cut",
          { PRIVATE_KEY, CUT },
          ERR_PRIVATE_KEY_IN_BODY,
          "private key" },
        { "DER and something behind it", { DER, TEXT }, ERR_CSR_MALFORMED, "follow" },
};

static void append_piece(struct buffer *out, enum piece piece, struct bytes der) {
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };
        struct error err = { 0 };

        switch (piece) {
        case END_OF_PIECES:
                break;
        case REQUEST:
        case OTHER_REQUEST:
                pem_append(out, "CERTIFICATE REQUEST", der);
                break;
        case NEW_REQUEST:
                pem_append(out, "NEW CERTIFICATE REQUEST", der);
                break;
        case REQUEST_CRLF:
                pem_append(&pem, "CERTIFICATE REQUEST", der);
                for (size_t i = 0; i < pem.size; i++) {
                        if (pem.data[i] == '\n')
                                buffer_text(out, "\r");
                        buffer_append(out, BYTES(pem.data + i, 1));
                }
                break;
        case CERTIFICATE:
                pem_append(out, "CERTIFICATE", BYTES_LITERAL("\x30\x00"));
                break;
        case TEXT:
                buffer_text(out, "0: Certificate Request:\n    Data:\n");
                break;
        case BOM:
                buffer_text(out, "\xef\xbb\xbf");
                break;
        case EC_PARAMETERS:
                pem_append(out, "EC PARAMETERS", BYTES_LITERAL("\x06\x01\x2a"));
                break;
        case PRIVATE_KEY:
                ck_ok(private_key_to_pem(key, BYTES_NONE, out, &err), err);
                break;
        case CUT:
                pem_append(&pem, "CERTIFICATE REQUEST", der);
                buffer_append(out, BYTES(pem.data, pem.size / 2));
                break;
        case DER:
                buffer_append(out, der);
                break;
        }
}

START_TEST(text_is_read_with_tolerance_for_what_is_harmless) {
        CAD_AUTO(buffer_wipe) struct buffer text = { 0 };
        CAD_AUTO(csr_free) struct csr *csr = NULL;
        struct csr *untouched = UNTOUCHED;
        uint8_t room[4096];
        struct error err = { 0 };
        struct der_writer w;
        struct bytes der;

        der_writer_init(&w, room, sizeof(room));
        der = whole_request(&w);
        for (size_t i = 0; i < ARRAY_SIZE(texts[_i].pieces); i++)
                append_piece(&text, texts[_i].pieces[i], der);
        if (texts[_i].code == TAKEN) {
                ck_assert_msg(csr_from_text(buffer_bytes(&text), RSA_BITS_MAX, &csr, &err) == 0,
                              "%s: %s", texts[_i].why, err.text);
                ck_assert(bytes_equal(csr->der, der));
                return;
        }
        ck_refused(csr_from_text(buffer_bytes(&text), RSA_BITS_MAX, &untouched, &err), err,
                   texts[_i].code);
        ck_assert_msg(strstr(err.text, texts[_i].words), "%s: %s", texts[_i].why, err.text);
        ck_assert_str_eq(err.field, "csr");
        ck_assert_ptr_eq(untouched, UNTOUCHED);
}
END_TEST

START_TEST(a_private_key_in_der_is_refused_in_every_form) {
        static const struct bytes forms[] = {
                BYTES_LITERAL("\x30\x05\x02\x01\x00\x30\x00"),         /* PKCS#8 */
                BYTES_LITERAL("\x30\x05\x02\x01\x01\x04\x00"),         /* SEC 1 */
                BYTES_LITERAL("\x30\x06\x02\x01\x00\x02\x01\x05"),     /* PKCS#1 */
                BYTES_LITERAL("\x30\x05\x02\x01\x03\x30\x00"),         /* PKCS#12 */
                BYTES_LITERAL("\x30\x07\x30\x03\x06\x01\x2a\x04\x00"), /* encrypted PKCS#8 */
        };
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };
        struct csr *csr = NULL;
        struct error err;

        for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
                ck_refused(csr_from_text(forms[i], RSA_BITS_MAX, &csr, &err), err,
                           ERR_PRIVATE_KEY_IN_BODY);
                pem.size = 0; /* and where its label lies */
                pem_append(&pem, "CERTIFICATE REQUEST", forms[i]);
                ck_refused(csr_from_text(buffer_bytes(&pem), RSA_BITS_MAX, &csr, &err), err,
                           ERR_PRIVATE_KEY_IN_BODY);
        }
        ck_refused(csr_from_text(BYTES_LITERAL("\x30\x07\x30\x05\xa0\x03\x02\x01\x02"),
                                 RSA_BITS_MAX, &csr, &err),
                   err, ERR_CSR_MALFORMED);
        ck_assert_msg(strstr(err.text, "certificate was sent"), "%s", err.text);
}
END_TEST

START_TEST(text_has_a_limit_of_size) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        CAD_AUTO(csr_free) struct csr *csr = NULL;
        uint8_t room[4096];
        struct error err = { 0 };
        struct der_writer w;

        der_writer_init(&w, room, sizeof(room));
        pem_append(&text, "CERTIFICATE REQUEST", whole_request(&w));
        while (text.size < 2 * CSR_MAX)
                buffer_text(&text, "\n");
        ck_ok(csr_from_text(buffer_bytes(&text), RSA_BITS_MAX, &csr, &err), err);
        csr = csr_free(csr);
        buffer_text(&text, "\n");
        ck_refused(csr_from_text(buffer_bytes(&text), RSA_BITS_MAX, &csr, &err), err,
                   ERR_BODY_TOO_LARGE);
}
END_TEST

/* ---- making one ---- */

START_TEST(a_request_that_is_made_is_taken) {
        CAD_AUTO(private_key_free) struct private_key *own = NULL;
        CAD_AUTO(san_list_done) struct san_list names = { .count = 0 };
        CAD_AUTO(buffer_done) struct buffer der = { 0 };
        CAD_AUTO(csr_free) struct csr *csr = NULL;
        struct error err = { 0 };

        ck_ok(private_key_generate((enum key_type) _i, 2048, &own, &err), err);
        ck_ok(san_list_add_text(&names, "nas.lan", &err), err);
        ck_ok(san_list_add_text(&names, "10.0.0.1", &err), err);
        buffer_text(&der, "kept");
        ck_ok(csr_create(own, "nas.lan", &names, &der, &err), err);
        ck_assert_mem_eq(der.data, "kept", 4);
        csr = read_good(BYTES(der.data + 4, der.size - 4), "made");
        ck_assert(bytes_equal(csr->common_name, BYTES_LITERAL("nas.lan")));
        ck_assert(san_list_equal(&csr->names, &names));
        ck_assert_int_eq((int) public_key_type(csr->key), _i);
}
END_TEST

START_TEST(a_request_may_be_made_without_a_cn_or_without_names) {
        CAD_AUTO(san_list_done) struct san_list names = { .count = 0 };
        CAD_AUTO(buffer_done) struct buffer one = { 0 }, two = { 0 }, three = { 0 };
        CAD_AUTO(csr_free) struct csr *csr = NULL;
        struct error err = { 0 };

        ck_ok(san_list_add_text(&names, "nas.lan", &err), err);
        ck_ok(csr_create(key, NULL, &names, &one, &err), err);
        csr = read_good(buffer_bytes(&one), "no CN");
        ck_assert(bytes_equal(csr->subject, NO_SUBJECT));
        ck_assert_uint_eq(csr->names.count, 1);
        csr = csr_free(csr);
        ck_ok(csr_create(key, "John Smith", NULL, &two, &err), err);
        csr = read_good(buffer_bytes(&two), "no names");
        ck_assert_uint_eq(csr->names.count, 0);
        csr = csr_free(csr);
        ck_ok(csr_create(key, NULL, NULL, &three, &err), err);
        csr = read_good(buffer_bytes(&three), "nothing");
}
END_TEST

int main(void) {
        Suite *suite = suite_create("csr");
        TCase *tc = tcase_create("csr"), *thorough = tcase_create("thorough");

        tcase_set_timeout(tc, 60);
        tcase_add_unchecked_fixture(tc, set_up, tear_down);
        tcase_add_loop_test(tc, the_frame_of_a_request_is_checked, 0, ARRAY_SIZE(frames));
        tcase_add_loop_test(tc, what_is_no_request_at_all_is_refused_in_words, 0,
                            ARRAY_SIZE(outsides));
        tcase_add_test(tc, ten_thousand_nested_sequences_are_refused_at_once);
        tcase_add_loop_test(tc, extensions_are_read_or_refused_by_name, 0,
                            ARRAY_SIZE(extension_rows));
        tcase_add_test(tc, extensions_and_attributes_have_a_limit);
        tcase_add_test(tc, key_purposes_have_a_limit_and_count_once);
        tcase_add_loop_test(tc, attributes_are_read_or_refused_by_name, 0,
                            ARRAY_SIZE(attribute_rows));
        tcase_add_test(tc, a_challenge_password_is_in_no_error);
        tcase_add_loop_test(tc, a_cn_is_the_name_where_there_is_no_other, 0,
                            ARRAY_SIZE(common_names));
        tcase_add_test(tc, a_cn_with_a_nul_is_refused);
        tcase_add_test(tc, a_subject_alt_name_leaves_the_cn_aside);
        tcase_add_test(tc, everything_in_a_request_is_read);
        tcase_add_test(tc, no_part_of_a_request_and_nothing_behind_it_is_taken);
        tcase_add_test(tc, a_request_signed_by_another_key_is_no_proof);
        tcase_add_test(tc, a_request_has_a_limit_of_size);
        tcase_add_loop_test(tc, text_is_read_with_tolerance_for_what_is_harmless, 0,
                            ARRAY_SIZE(texts));
        tcase_add_test(tc, a_private_key_in_der_is_refused_in_every_form);
        tcase_add_test(tc, text_has_a_limit_of_size);
        tcase_add_loop_test(tc, a_request_that_is_made_is_taken, 0, KEY_TYPE_COUNT);
        tcase_add_test(tc, a_request_may_be_made_without_a_cn_or_without_names);
        suite_add_tcase(suite, tc);
        unit_thorough(suite, thorough);
        tcase_add_unchecked_fixture(thorough, set_up, tear_down);
        tcase_add_test(thorough, a_request_that_was_changed_in_any_bit_is_refused);
        return unit_main(suite);
}
