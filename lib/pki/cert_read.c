/*
 * Certificates read: strict DER in, views out. It trusts nothing and follows nothing.
 */
#include "cert.h"

#include <stdio.h>

#include "lib/base/text.h"
#include "oid.h"

#define EXTENSIONS_MAX 32 /* of one certificate; no real one has half as many */

/* ---- extensions: a row each, by OID ---- */

static void read_san(struct cert *c, struct bytes value, bool critical, struct der_reader *r) {
        (void) r;
        c->san = value;
        c->san_critical = critical;
}

static void read_basic_constraints(struct cert *c, struct bytes value, bool critical,
                                   struct der_reader *r) {
        struct der_reader outer = der_reader(value), inner = der_enter(&outer, DER_SEQUENCE);

        (void) critical;
        c->has_basic_constraints = true;
        if (der_next_is(&inner, DER_BOOLEAN))
                c->is_ca = der_get_bool(&inner);
        if (der_next_is(&inner, DER_INTEGER)) {
                uint64_t length = der_get_uint(&inner);

                c->path_length = length > 100 ? 100 : (int) length;
        }
        if (!der_done(&inner) || !der_done(&outer))
                der_fail(r);
}

static void read_key_usage(struct cert *c, struct bytes value, bool critical,
                           struct der_reader *r) {
        struct der_reader outer = der_reader(value);

        c->has_key_usage = true;
        c->key_usage_critical = critical;
        c->key_usage = der_get_bits(&outer);
        if (!der_done(&outer))
                der_fail(r);
}

static void read_subject_key_id(struct cert *c, struct bytes value, bool critical,
                                struct der_reader *r) {
        struct der_reader outer = der_reader(value);

        (void) critical;
        c->subject_key_id = der_get(&outer, DER_OCTET_STRING);
        if (!der_done(&outer))
                der_fail(r);
}

static void read_authority_key_id(struct cert *c, struct bytes value, bool critical,
                                  struct der_reader *r) {
        struct der_reader outer = der_reader(value), inner = der_enter(&outer, DER_SEQUENCE);

        (void) critical;
        if (der_next_is(&inner, DER_CONTEXT(0)))
                c->authority_key_id = der_get(&inner, DER_CONTEXT(0));
        if (inner.failed || !der_done(&outer))
                der_fail(r);
}

#define VIEW_READER(name, member) \
        static void name(struct cert *c, struct bytes value, bool critical, \
                         struct der_reader *r) { \
                (void) critical; \
                (void) r; \
                c->member = value; \
        }
VIEW_READER(read_extended_key_usage, extended_key_usage)
VIEW_READER(read_name_constraints, name_constraints)
VIEW_READER(read_crl_distribution_points, crl_distribution_points)
VIEW_READER(read_authority_info_access, authority_info_access)

static void read_ocsp_nocheck(struct cert *c, struct bytes value, bool critical,
                              struct der_reader *r) {
        (void) value;
        (void) critical;
        (void) r;
        c->ocsp_nocheck = true;
}

#define OCTETS(s) s, sizeof(s) - 1
static const struct {
        const char *oid;
        size_t oid_size;
        void (*read)(struct cert *c, struct bytes value, bool critical, struct der_reader *r);
} extension_readers[] = {
        { OCTETS("\x55\x1d\x0e"), read_subject_key_id },
        { OCTETS("\x55\x1d\x0f"), read_key_usage },
        { OCTETS("\x55\x1d\x11"), read_san },
        { OCTETS("\x55\x1d\x13"), read_basic_constraints },
        { OCTETS("\x55\x1d\x1e"), read_name_constraints },
        { OCTETS("\x55\x1d\x1f"), read_crl_distribution_points },
        { OCTETS("\x55\x1d\x23"), read_authority_key_id },
        { OCTETS("\x55\x1d\x25"), read_extended_key_usage },
        { OCTETS("\x2b\x06\x01\x05\x05\x07\x01\x01"), read_authority_info_access },
        { OCTETS("\x2b\x06\x01\x05\x05\x07\x30\x01\x05"), read_ocsp_nocheck },
};

static void read_extension(struct cert *c, struct bytes oid, bool critical, struct bytes value,
                           struct der_reader *r) {
        for (size_t i = 0; i < ARRAY_SIZE(extension_readers); i++) {
                if (bytes_equal(oid,
                                BYTES(extension_readers[i].oid, extension_readers[i].oid_size))) {
                        extension_readers[i].read(c, value, critical, r);
                        return;
                }
        }
        c->unknown_critical |= critical;
}

static void read_extensions(struct cert *c, struct der_reader *tbs) {
        struct bytes seen[EXTENSIONS_MAX] = { BYTES_NONE };
        struct der_reader explicit = der_enter(tbs, DER_CONTEXT_CONSTRUCTED(3));
        struct der_reader list = der_enter(&explicit, DER_SEQUENCE);

        if (!der_more(&list) || !der_done(&explicit))
                der_fail(tbs);
        while (der_more(&list)) {
                struct der_reader one = der_enter(&list, DER_SEQUENCE);
                struct bytes oid = der_get(&one, DER_OID);
                bool critical = der_next_is(&one, DER_BOOLEAN) && der_get_bool(&one);
                struct bytes value = der_get(&one, DER_OCTET_STRING);

                if (!der_done(&one) || c->extension_count == EXTENSIONS_MAX) {
                        der_fail(tbs);
                        return;
                }
                for (size_t i = 0; i < c->extension_count; i++)
                        if (bytes_equal(seen[i], oid))
                                der_fail(tbs);
                seen[c->extension_count++] = oid;
                read_extension(c, oid, critical, value, tbs);
        }
        if (list.failed)
                der_fail(tbs);
}

static struct bytes get_serial(struct der_reader *r) {
        struct bytes serial = der_get_integer(r);

        if (serial.size == 0 || serial.data[0] & 0x80) {
                der_fail(r);
                return BYTES_NONE;
        }
        if (serial.size > 1 && serial.data[0] == 0)
                serial = BYTES(serial.data + 1, serial.size - 1);
        return serial;
}

static void read_tbs(struct cert *c, struct der_reader *tbs) {
        struct der_reader version = der_enter(tbs, DER_CONTEXT_CONSTRUCTED(0)), validity;

        if (der_get_uint(&version) != 2 || !der_done(&version))
                der_fail(tbs);
        c->serial = get_serial(tbs);
        if (!bytes_equal(der_get_element(tbs, DER_SEQUENCE), c->algorithm))
                der_fail(tbs);
        c->issuer = der_get_element(tbs, DER_SEQUENCE);
        validity = der_enter(tbs, DER_SEQUENCE);
        c->validity.not_before = der_get_time(&validity);
        c->validity.not_after = der_get_time(&validity);
        if (!der_done(&validity))
                der_fail(tbs);
        c->subject = der_get_element(tbs, DER_SEQUENCE);
        c->spki = der_get_element(tbs, DER_SEQUENCE);
        if (der_more(tbs))
                read_extensions(c, tbs);
}

int cert_read(struct bytes der, struct cert *ret, struct error *err) {
        struct der_reader outer = der_reader(der), inner = der_enter(&outer, DER_SEQUENCE),
                          tbs_element, tbs;
        struct cert c = { .der = der, .path_length = -1 };

        c.tbs = der_get_element(&inner, DER_SEQUENCE);
        c.algorithm = der_get_element(&inner, DER_SEQUENCE);
        c.signature = der_get_bit_string(&inner);
        if (!der_done(&inner) || !der_done(&outer))
                return error_set(err, ERR_CSR_MALFORMED,
                                 "the certificate of %zu bytes is not DER of a Certificate",
                                 der.size);
        tbs_element = der_reader(c.tbs);
        tbs = der_enter(&tbs_element, DER_SEQUENCE);
        read_tbs(&c, &tbs);
        if (!der_done(&tbs))
                return error_set(
                        err, ERR_CSR_MALFORMED,
                        "the certificate is not an X.509 version 3 certificate as RFC 5280 writes it");
        *ret = c;
        return 0;
}

/* ---- what came back against what was asked ---- */

struct comparison {
        const struct cert *cert;
        const struct cert_issuer *issuer;
        const struct cert_wish *wish;
};

static bool same_issuer(const struct comparison *c) {
        return bytes_equal(c->cert->issuer, c->issuer->subject) &&
                bytes_equal(c->cert->algorithm, c->issuer->algorithm) &&
                bytes_equal(c->cert->authority_key_id, BYTES(c->issuer->key_id, KEY_ID_SIZE));
}

static bool same_serial(const struct comparison *c) {
        if (c->wish->serial.size)
                return bytes_equal(c->cert->serial, c->wish->serial);
        return c->cert->serial.size >= 8 && c->cert->serial.size <= SERIAL_MAX &&
                !(c->cert->serial.data[0] & 0x80) && c->cert->serial.data[0] != 0;
}

static bool same_rest(const struct comparison *c) {
        /* all else must be the very octets that the profile gives: write them anew with the serial that came */
        uint8_t octets[CERT_MAX];
        struct cert_wish wish = *c->wish;
        struct der_writer w;

        wish.serial = c->cert->serial;
        der_writer_init(&w, octets, sizeof(octets));
        cert_put_leaf(&w, c->issuer, &wish);
        return !w.failed && bytes_equal(der_writer_bytes(&w), c->cert->tbs);
}

static bool same_key(const struct comparison *c) {
        return bytes_equal(c->cert->spki, c->wish->spki);
}

static bool same_validity(const struct comparison *c) {
        return c->cert->validity.not_before == c->wish->validity.not_before &&
                c->cert->validity.not_after == c->wish->validity.not_after;
}

static bool is_leaf(const struct comparison *c) {
        return !c->cert->is_ca && !(c->cert->key_usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)) &&
                !c->cert->unknown_critical;
}

static const struct {
        const char *what;
        bool (*same)(const struct comparison *c);
} comparisons[] = {
        { "issuer", same_issuer },          { "serial number", same_serial },
        { "public key", same_key },         { "validity", same_validity },
        { "CA bit or key usage", is_leaf }, { "names or extensions", same_rest },
};

int cert_compare(const struct cert *cert, const struct cert_issuer *issuer,
                 const struct cert_wish *wish, struct error *err) {
        struct comparison c = { cert, issuer, wish };

        for (size_t i = 0; i < ARRAY_SIZE(comparisons); i++)
                if (!comparisons[i].same(&c))
                        return error_set(
                                err, ERR_SIGNER_WRONG,
                                "the signer's certificate has another %s than what was asked for: it is not given out",
                                comparisons[i].what);
        return 0;
}
