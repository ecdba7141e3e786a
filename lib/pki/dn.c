/*
 * Distinguished names: ours written, a peer's checked, anybody's shown.
 *
 * A peer's Name is never copied into a certificate: what is taken from it is a value that was checked here.
 */
#include "dn.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/text.h"
#include "oid.h"

#define SHOWN_MAX 96          /* bytes with NUL of a value inside an error */
#define VALUE_MAX 1024        /* octets of any value: 256 characters of four */
#define UNKNOWN_CHARS_MAX 256 /* characters of an attribute that is not in the table */

#define STRING_BIT(tag) (1u << (tag)) /* universal string tags are below 32 */
#define DIRECTORY (STRING_BIT(DER_PRINTABLE_STRING) | STRING_BIT(DER_UTF8_STRING))
#define PRINTABLE STRING_BIT(DER_PRINTABLE_STRING)
#define IA5 STRING_BIT(DER_IA5_STRING)

/* X.520 attributes and their upper bounds (RFC 5280 appendix A.1), with RFC 4514 §3's short names. */
struct attribute {
        const char *name;
        const char *oid;
        size_t oid_size;
        size_t chars_max;
        uint32_t strings;
};

/* clang-format off */
static const struct attribute attributes[] = {
        { "CN",                     "\x55\x04\x03", 3,  64, DIRECTORY },
        { "SN",                     "\x55\x04\x04", 3,  64, DIRECTORY },
        { "serialNumber",           "\x55\x04\x05", 3,  64, PRINTABLE },
        { "C",                      "\x55\x04\x06", 3,   2, PRINTABLE },
        { "L",                      "\x55\x04\x07", 3, 128, DIRECTORY },
        { "ST",                     "\x55\x04\x08", 3, 128, DIRECTORY },
        { "STREET",                 "\x55\x04\x09", 3, 128, DIRECTORY },
        { "O",                      "\x55\x04\x0a", 3,  64, DIRECTORY },
        { "OU",                     "\x55\x04\x0b", 3,  64, DIRECTORY },
        { "title",                  "\x55\x04\x0c", 3,  64, DIRECTORY },
        { "givenName",              "\x55\x04\x2a", 3,  64, DIRECTORY },
        { "initials",               "\x55\x04\x2b", 3,  64, DIRECTORY },
        { "generationQualifier",    "\x55\x04\x2c", 3,  64, DIRECTORY },
        { "dnQualifier",            "\x55\x04\x2e", 3,  64, PRINTABLE },
        { "pseudonym",              "\x55\x04\x41", 3, 128, DIRECTORY },
        { "emailAddress",           "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01", 9, 255, IA5 },
        { "DC",                     "\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19", 10, 63, IA5 },
        { "UID",                    "\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01", 10, 256, DIRECTORY },
};
/* clang-format on */

static const struct attribute *attribute_of(struct bytes oid) {
        for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
                if (bytes_equal(oid, BYTES(attributes[i].oid, attributes[i].oid_size)))
                        return &attributes[i];
        return NULL;
}

/* X.680 §41.4 */
static bool is_printable_string(struct bytes s) {
        for (size_t i = 0; i < s.size; i++) {
                uint8_t c = s.data[i];

                if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
                    !(c && strchr(" '()+,-./:=?", c)))
                        return false;
        }
        return true;
}

static bool is_ascii(struct bytes s) {
        for (size_t i = 0; i < s.size; i++)
                if (s.data[i] >= 0x80)
                        return false;
        return true;
}

/* Nothing that text_printable() would replace: controls, what turns the text or is not seen, what is not UTF-8. */
static bool is_showable(struct bytes s) {
        char shown[VALUE_MAX + 1];

        return s.size <= VALUE_MAX &&
                bytes_equal(bytes_of(text_printable(s, shown, sizeof(shown))), s);
}

static size_t count_characters(struct bytes utf8) {
        size_t count = 0;

        for (size_t i = 0; i < utf8.size; i++)
                count += (utf8.data[i] & 0xc0) != 0x80;
        return count;
}

/* ---- writing ---- */

static void put_rdn(struct der_writer *w, struct bytes oid, const char *value) {
        struct bytes text = bytes_of(value);
        size_t rdn = der_mark(w);

        der_put(w, is_printable_string(text) ? DER_PRINTABLE_STRING : DER_UTF8_STRING, text);
        der_put(w, DER_OID, oid);
        der_wrap(w, DER_SEQUENCE, rdn);
        der_wrap(w, DER_SET, rdn);
}

void dn_put(struct der_writer *w, const char *organization, const char *common_name) {
        size_t mark = der_mark(w);

        if (common_name)
                put_rdn(w, OID_AT_COMMON_NAME, common_name);
        if (organization)
                put_rdn(w, OID_AT_ORGANIZATION, organization);
        der_wrap(w, DER_SEQUENCE, mark);
}

/* ---- reading ---- */

/* struct ava - one AttributeTypeAndValue of a Name */
struct ava {
        struct bytes oid;
        uint8_t tag;
        struct bytes value;
        struct bytes encoded; /* the value whole, with its header */
};

static struct ava read_ava(struct der_reader *rdn) {
        struct der_reader r = der_enter(rdn, DER_SEQUENCE), again;
        struct ava ava = { .oid = der_get(&r, DER_OID) };

        again = r;
        ava.encoded = der_get_element(&r, 0);
        ava.value = der_get_any(&again, &ava.tag);
        if (!der_done(&r) || ava.oid.size == 0)
                der_fail(rdn);
        return ava;
}

static const char *string_fault(const struct ava *ava, uint32_t strings) {
        if (ava->tag >= 32 || !(strings & STRING_BIT(ava->tag)))
                return strings == PRINTABLE ? "is not a PrintableString"
                        : strings == IA5    ? "is not an IA5String"
                        : strings & IA5     ? "is not a PrintableString, UTF8String or IA5String"
                                            : "is not a UTF8String or PrintableString";
        if (memchr(ava->value.data, '\0', ava->value.size))
                return "holds a NUL octet";
        if (ava->tag == DER_PRINTABLE_STRING && !is_printable_string(ava->value))
                return "holds a character that a PrintableString has not; encode it as UTF8String";
        if (ava->tag == DER_IA5_STRING && !is_ascii(ava->value))
                return "holds what is not ASCII in an IA5String";
        if (!utf8_valid(ava->value))
                return "is not valid UTF-8";
        return is_showable(ava->value) ? NULL
                                       : "holds a control, bidirectional or invisible character";
}

static bool is_country(struct bytes value) {
        return value.size == 2 && value.data[0] >= 'A' && value.data[0] <= 'Z' &&
                value.data[1] >= 'A' && value.data[1] <= 'Z';
}

/* RFC 4514 name of an attribute: its short name, else its OID in dots. */
static const char *attribute_name(struct bytes oid, char *out, size_t size) {
        const struct attribute *a = attribute_of(oid);
        char text[OID_MAX_TEXT + 64], *open;

        if (a)
                return text_printable(bytes_of(a->name), out, size);
        (void) oid_text(oid, text, sizeof(text));
        open = strchr(text, '(');
        if (open)
                open[strcspn(open, ")")] = '\0';
        return text_printable(bytes_of(open ? open + 1 : text), out, size);
}

static int check_value(const struct ava *ava, const char *name, struct error *err) {
        const struct attribute *a = attribute_of(ava->oid);
        size_t max = a ? a->chars_max : UNKNOWN_CHARS_MAX;
        char shown[SHOWN_MAX];
        const char *why;

        if (ava->value.size == 0)
                return error_set(err, ERR_CSR_SUBJECT, "the subject's %s is empty; leave it out",
                                 name);
        if (ava->value.size > VALUE_MAX || count_characters(ava->value) > max)
                return error_set(
                        err, ERR_CSR_SUBJECT,
                        "the subject's %s is longer than the %zu characters that X.520 allows",
                        name, max);
        why = string_fault(ava, a ? a->strings : DIRECTORY | IA5);
        if (!why && bytes_equal(ava->oid, OID_AT_COUNTRY) && !is_country(ava->value))
                why = "is not a country code of two capital letters (ISO 3166)";
        if (!why)
                return 0;
        return error_set(err, ERR_CSR_SUBJECT, "the subject's %s, '%s', %s", name,
                         text_printable(ava->value, shown, sizeof(shown)), why);
}

static int check_ava(const struct ava *ava, const char *field, struct bytes *cn,
                     struct error *err) {
        bool is_cn = bytes_equal(ava->oid, OID_AT_COMMON_NAME);
        char name[OID_MAX_TEXT];
        int rc;

        (void) attribute_name(ava->oid, name, sizeof(name));
        if (is_cn && cn->data && !bytes_equal(*cn, ava->value))
                rc = error_set(err, ERR_CSR_SUBJECT, "the subject has two different CNs; give one");
        else
                rc = check_value(ava, name, err);
        if (rc < 0)
                return error_name_field(err, "%s.%s", field, name);
        if (is_cn)
                *cn = ava->value;
        return 0;
}

int dn_check(struct bytes der, const char *field, struct bytes *ret_cn, struct error *err) {
        struct der_reader outer = der_reader(der);
        struct der_reader name = der_enter(&outer, DER_SEQUENCE);
        struct bytes cn = BYTES_NONE;

        if (!der_done(&outer))
                return error_set_field(err, ERR_CSR_SUBJECT, field,
                                       "the subject is not a Name in DER");
        for (size_t i = 0; der_more(&name); i++) {
                struct der_reader rdn = der_enter(&name, DER_SET);
                struct ava ava = read_ava(&rdn);

                if (i == DN_RDN_MAX)
                        return error_set_field(err, ERR_CSR_SUBJECT, field,
                                               "the subject has more than %d parts", DN_RDN_MAX);
                if (rdn.failed)
                        return error_set_field(err, ERR_CSR_SUBJECT, field,
                                               "the subject is not a Name in DER");
                if (!der_done(&rdn))
                        return error_set_field(
                                err, ERR_CSR_SUBJECT, field,
                                "the subject has a part with several values (multi-valued RDN); give "
                                "each its own");
                if (check_ava(&ava, field, &cn, err) < 0)
                        return -1;
        }
        if (ret_cn)
                *ret_cn = cn;
        return 0;
}

/* ---- showing ---- */

static void put_hex(struct buffer *out, struct bytes octets) {
        for (size_t i = 0; i < octets.size; i++)
                buffer_format(out, "%02x", octets.data[i]);
}

/* RFC 4514 §2.4 */
static void put_escaped(struct buffer *out, struct bytes value) {
        for (size_t i = 0; i < value.size; i++) {
                uint8_t c = value.data[i];
                bool edge = (i == 0 && (c == ' ' || c == '#')) || (i + 1 == value.size && c == ' ');

                if (edge || strchr("\"+,;<>\\", c))
                        buffer_text(out, "\\");
                buffer_append(out, BYTES(&value.data[i], 1));
        }
}

static bool is_text(const struct ava *ava) {
        uint32_t strings = DIRECTORY | IA5;

        return ava->tag < 32 && strings & STRING_BIT(ava->tag) && is_showable(ava->value) &&
                !(ava->value.size && memchr(ava->value.data, '\0', ava->value.size));
}

static void put_ava(struct buffer *out, const struct ava *ava) {
        char name[OID_MAX_TEXT];

        buffer_format(out, "%s=", attribute_name(ava->oid, name, sizeof(name)));
        if (attribute_of(ava->oid) && is_text(ava)) {
                put_escaped(out, ava->value);
        } else {
                buffer_text(out, "#");
                put_hex(out, ava->encoded);
        }
}

/* The content of each RDN, as readers. Return: how many, or -1 where @der is no Name */
static int split(struct bytes der, struct der_reader rdns[DN_RDN_MAX]) {
        struct der_reader outer = der_reader(der);
        struct der_reader name = der_enter(&outer, DER_SEQUENCE);
        int count = 0;

        while (der_more(&name) && count < DN_RDN_MAX) {
                struct der_reader rdn = der_enter(&name, DER_SET), probe = rdn;

                while (der_more(&probe))
                        (void) read_ava(&probe);
                if (!der_done(&probe))
                        return -1;
                rdns[count++] = rdn;
        }
        return der_done(&name) && der_done(&outer) ? count : -1;
}

const char *dn_text(struct bytes der, char *out, size_t size) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct der_reader rdns[DN_RDN_MAX];
        int count = split(der, rdns);

        if (count < 0) {
                buffer_text(&text, "#");
                put_hex(&text, BYTES(der.data, der.size < DN_TEXT_MAX ? der.size : DN_TEXT_MAX));
        }
        for (int i = count - 1; i >= 0; i--) {
                for (bool first = true; der_more(&rdns[i]); first = false) {
                        struct ava ava = read_ava(&rdns[i]);

                        buffer_text(&text, first ? "" : "+");
                        put_ava(&text, &ava);
                }
                buffer_text(&text, i ? "," : "");
        }
        return text_printable(buffer_bytes(&text), out, size);
}

const char *dn_common_name(struct bytes der, char *out, size_t size) {
        struct der_reader rdns[DN_RDN_MAX];
        int count = split(der, rdns);

        (void) snprintf(out, size, "%s", "");
        for (int i = 0; i < count; i++) {
                while (der_more(&rdns[i])) {
                        struct ava ava = read_ava(&rdns[i]);

                        if (bytes_equal(ava.oid, OID_AT_COMMON_NAME) && is_text(&ava))
                                (void) text_printable(ava.value, out, size);
                }
        }
        return out;
}
