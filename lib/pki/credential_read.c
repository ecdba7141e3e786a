/*
 * Credentials, read: from the octets of a file to certificates and a key.
 *
 * The inputs are hostile. Containers are GnuTLS's to open; what is in them goes through the strict readers here. Nothing is
 * judged, and no work is done that an input asks for without bound.
 */
#include "credential_parts.h"

#include <gnutls/pkcs12.h>
#include <gnutls/pkcs7.h>
#include <gnutls/x509.h>
#include <stdlib.h>

#include "der.h"
#include "pem.h"

#define PASSWORD_MAX 1024u /* octets */
#define BAGS_MAX 64u       /* of a PKCS#12 file, and elements of one */
#define PEM_BLOCKS_MAX 256u
#define LEGACY_HEADER "Proc-Type: 4,ENCRYPTED"

/* Where things go, and what opens them. */
struct reading {
        struct credential_parts *parts;
        const char *password; /* NULL: none was given */
        unsigned *rounds;     /* of key derivation that are left for this input */
        size_t found;
};

struct credential_parts *credential_parts_new(void) {
        return calloc(1, sizeof(struct credential_parts));
}

struct credential_parts *credential_parts_free(struct credential_parts *parts) {
        if (!parts)
                return NULL;
        for (size_t i = 0; i < parts->count; i++)
                buffer_done(&parts->certs[i]);
        private_key_free(parts->key);
        free(parts);
        return NULL;
}

static gnutls_datum_t datum_of(struct bytes bytes) {
        return (gnutls_datum_t){ (unsigned char *) (uintptr_t) bytes.data, (unsigned) bytes.size };
}

static gnutls_pkcs12_t p12_free(gnutls_pkcs12_t p12) {
        if (p12)
                gnutls_pkcs12_deinit(p12);
        return NULL;
}
CAD_CLEANUP(struct gnutls_pkcs12_int, p12_free)

static gnutls_pkcs12_bag_t bag_free(gnutls_pkcs12_bag_t bag) {
        if (bag)
                gnutls_pkcs12_bag_deinit(bag);
        return NULL;
}
CAD_CLEANUP(struct gnutls_pkcs12_bag_int, bag_free)

static gnutls_pkcs7_t p7_free(gnutls_pkcs7_t p7) {
        if (p7)
                gnutls_pkcs7_deinit(p7);
        return NULL;
}
CAD_CLEANUP(struct gnutls_pkcs7_int, p7_free)

static gnutls_x509_privkey_t x509_key_free(gnutls_x509_privkey_t key) {
        if (key)
                gnutls_x509_privkey_deinit(key);
        return NULL;
}
CAD_CLEANUP(struct gnutls_x509_privkey_int, x509_key_free)

/* ---- what is found ---- */

static int take_certificate(struct reading *r, struct bytes der, struct error *err) {
        struct cert cert;

        if (cert_read(der, &cert, err) < 0) {
                if (err)
                        err->code = ERR_BODY_MALFORMED;
                return -1;
        }
        r->found++;
        return credential_parts_take(r->parts, der, err);
}

static int take_key(struct reading *r, struct bytes der, struct error *err) {
        CAD_AUTO(private_key_free) struct private_key *key = NULL;
        CAD_AUTO(buffer_done) struct buffer spki = { 0 }, there = { 0 };

        if (private_key_from_pem(der, bytes_of(r->password), &key, err) < 0)
                return -1;
        r->found++;
        if (!r->parts->key) {
                r->parts->key = CAD_TAKE(key);
                return 0;
        }
        if (private_key_spki(key, &spki, err) < 0 ||
            private_key_spki(r->parts->key, &there, err) < 0)
                return -1;
        return bytes_equal(buffer_bytes(&spki), buffer_bytes(&there))
                ? 0
                : error_set(err, ERR_KEY_INVALID, "there are two different private keys: give one");
}

/* A key that GnuTLS has opened, by way of PKCS#8. */
static int take_opened_key(struct reading *r, gnutls_x509_privkey_t opened, struct error *err) {
        gnutls_datum_t plain = { 0 };
        int rc = gnutls_x509_privkey_export2_pkcs8(opened, GNUTLS_X509_FMT_DER,
                                                   /* password= */ NULL, GNUTLS_PKCS_PLAIN, &plain);

        if (rc < 0)
                return error_set(err, ERR_KEY_UNSUPPORTED, "the private key cannot be used: %s",
                                 gnutls_strerror(rc));
        rc = take_key(r, BYTES(plain.data, plain.size), err);
        explicit_bzero(plain.data, plain.size);
        gnutls_free(plain.data);
        return rc;
}

static int need_password(struct error *err) {
        return error_set(err, ERR_KEY_PASSPHRASE, "it is encrypted: its password is wanted");
}

static int wrong_password(const struct reading *r, int rc, struct error *err) {
        return r->password && *r->password
                ? error_set(err, ERR_KEY_PASSPHRASE, "the password does not open it (%s)",
                            gnutls_strerror(rc))
                : need_password(err);
}

/* All that an input asks for counts together: it may have many bags. */
static int spend_rounds(const struct reading *r, unsigned rounds, struct error *err) {
        if (rounds > *r->rounds)
                return error_set(
                        err, ERR_BODY_TOO_LARGE,
                        "its password has to go through more than %u rounds: that many are not done",
                        CREDENTIAL_ROUNDS_MAX);
        *r->rounds -= rounds;
        return 0;
}

/* What GnuTLS cannot tell it will not open either. */
static int spend_key_rounds(const struct reading *r, struct bytes der, struct error *err) {
        gnutls_datum_t datum = datum_of(der);
        unsigned char salt[256];
        unsigned schema = 0, cipher = 0, salt_size = sizeof(salt), rounds = 0;
        char *oid = NULL;

        (void) gnutls_pkcs8_info(&datum, GNUTLS_X509_FMT_DER, &schema, &cipher, salt, &salt_size,
                                 &rounds, &oid);
        gnutls_free(oid);
        return spend_rounds(r, rounds, err);
}

static int take_encrypted_key(struct reading *r, struct bytes der, struct error *err) {
        CAD_AUTO(x509_key_free) gnutls_x509_privkey_t key = NULL;
        gnutls_datum_t datum = datum_of(der);
        int rc;

        if (spend_key_rounds(r, der, err) < 0)
                return -1;
        if (!r->password)
                return need_password(err);
        if (gnutls_x509_privkey_init(&key) < 0)
                return error_no_memory(err);
        rc = gnutls_x509_privkey_import_pkcs8(key, &datum, GNUTLS_X509_FMT_DER, r->password,
                                              /* flags= */ 0);
        return rc < 0 ? wrong_password(r, rc, err) : take_opened_key(r, key, err);
}

/* ---- PKCS#7 ---- */

static int take_pkcs7(struct reading *r, struct bytes der, struct error *err) {
        CAD_AUTO(p7_free) gnutls_pkcs7_t p7 = NULL;
        gnutls_datum_t datum = datum_of(der);
        int count, rc;

        if (gnutls_pkcs7_init(&p7) < 0)
                return error_no_memory(err);
        rc = gnutls_pkcs7_import(p7, &datum, GNUTLS_X509_FMT_DER);
        if (rc < 0)
                return error_set(err, ERR_BODY_MALFORMED, "the PKCS#7 bag cannot be read: %s",
                                 gnutls_strerror(rc));
        count = gnutls_pkcs7_get_crt_count(p7);
        for (int i = 0; i < count; i++) {
                gnutls_datum_t one = { 0 };

                if (gnutls_pkcs7_get_crt_raw2(p7, (unsigned) i, &one) < 0)
                        continue; /* an attribute certificate or the like */
                rc = take_certificate(r, BYTES(one.data, one.size), err);
                gnutls_free(one.data);
                if (rc < 0)
                        return -1;
        }
        return 0;
}

/* ---- PKCS#12 ---- */

static int take_bag_element(struct reading *r, gnutls_pkcs12_bag_t bag, unsigned i,
                            struct error *err) {
        gnutls_datum_t data = { 0 };
        int type = gnutls_pkcs12_bag_get_type(bag, i);

        if (type < 0 || gnutls_pkcs12_bag_get_data(bag, i, &data) < 0)
                return 0;
        switch (type) {
        case GNUTLS_BAG_CERTIFICATE:
                return take_certificate(r, BYTES(data.data, data.size), err);
        case GNUTLS_BAG_PKCS8_KEY:
                return take_key(r, BYTES(data.data, data.size), err);
        case GNUTLS_BAG_PKCS8_ENCRYPTED_KEY:
                return take_encrypted_key(r, BYTES(data.data, data.size), err);
        default:
                return 0;
        }
}

static int open_bag(const struct reading *r, gnutls_pkcs12_bag_t bag, struct error *err) {
        unsigned char salt[256];
        unsigned schema = 0, cipher = 0, salt_size = sizeof(salt), rounds = 0;
        char *oid = NULL;
        int rc;

        if (gnutls_pkcs12_bag_get_type(bag, 0) != GNUTLS_BAG_ENCRYPTED)
                return 0;
        (void) gnutls_pkcs12_bag_enc_info(bag, &schema, &cipher, salt, &salt_size, &rounds, &oid);
        gnutls_free(oid);
        if (spend_rounds(r, rounds, err) < 0)
                return -1;
        rc = gnutls_pkcs12_bag_decrypt(bag, r->password);
        return rc < 0 ? wrong_password(r, rc, err) : 0;
}

/* The MAC is asked first: a wrong password is found there, and not as nonsense in a bag. */
static int check_mac(struct reading *r, bool given, gnutls_pkcs12_t p12, struct error *err) {
        unsigned char salt[256];
        unsigned mac = 0, salt_size = sizeof(salt), rounds = 0;
        char *oid = NULL;
        int rc = gnutls_pkcs12_mac_info(p12, &mac, salt, &salt_size, &rounds, &oid);

        gnutls_free(oid);
        if (rc == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
                return 0;
        if (spend_rounds(r, rounds, err) < 0)
                return -1;
        rc = gnutls_pkcs12_verify_mac(p12, r->password);
        /* to PKCS#12 the empty password and none are two things; programs write either */
        if (rc == GNUTLS_E_MAC_VERIFY_FAILED && !given &&
            gnutls_pkcs12_verify_mac(p12, /* password= */ NULL) == 0) {
                r->password = NULL;
                return 0;
        }
        if (rc == GNUTLS_E_MAC_VERIFY_FAILED)
                return wrong_password(r, rc, err);
        return rc < 0 ? error_set(err, ERR_BODY_MALFORMED, "the PKCS#12 file cannot be read: %s",
                                  gnutls_strerror(rc))
                      : 0;
}

static int take_pkcs12(struct reading *r, struct bytes der, struct error *err) {
        CAD_AUTO(p12_free) gnutls_pkcs12_t p12 = NULL;
        gnutls_datum_t datum = datum_of(der);
        struct reading opened = { r->parts, r->password ? r->password : "", r->rounds, 0 };
        int rc;

        if (gnutls_pkcs12_init(&p12) < 0)
                return error_no_memory(err);
        rc = gnutls_pkcs12_import(p12, &datum, GNUTLS_X509_FMT_DER, /* flags= */ 0);
        if (rc < 0)
                return error_set(err, ERR_BODY_MALFORMED, "the PKCS#12 file cannot be read: %s",
                                 gnutls_strerror(rc));
        if (check_mac(&opened, r->password != NULL, p12, err) < 0)
                return -1;
        for (unsigned i = 0; i < BAGS_MAX; i++) {
                CAD_AUTO(bag_free) gnutls_pkcs12_bag_t bag = NULL;

                if (gnutls_pkcs12_bag_init(&bag) < 0)
                        return error_no_memory(err);
                rc = gnutls_pkcs12_get_bag(p12, (int) i, bag);
                if (rc == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
                        break;
                if (rc < 0)
                        return error_set(err, ERR_BODY_MALFORMED,
                                         "the PKCS#12 file cannot be read: %s",
                                         gnutls_strerror(rc));
                if (open_bag(&opened, bag, err) < 0)
                        return -1;
                rc = gnutls_pkcs12_bag_get_count(bag);
                for (unsigned k = 0; rc > 0 && k < (unsigned) rc && k < BAGS_MAX; k++)
                        if (take_bag_element(&opened, bag, k, err) < 0)
                                return -1;
        }
        r->found += opened.found;
        return 0;
}

/* ---- DER, of what kind it is ---- */

#define OID_PKCS7 BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x07")

static bool starts_with(struct bytes text, struct bytes prefix) {
        return text.size >= prefix.size && memcmp(text.data, prefix.data, prefix.size) == 0;
}

/*
 * PKCS#7 is SEQUENCE { OID … }, PKCS#12 SEQUENCE { INTEGER 3, SEQUENCE { OID of PKCS#7 … } … }. Both come in BER too, with lengths that the DER reader
 * here does not take: only the first octets are looked at, and GnuTLS reads the rest.
 */
static size_t header_size(struct bytes der) {
        size_t more;

        if (der.size < 2 || der.data[0] != DER_SEQUENCE)
                return 0;
        more = der.data[1] & 0x80 ? der.data[1] & 0x7fu : 0;
        return more <= 4 && der.size >= 2 + more ? 2 + more : 0;
}

static bool looks_like_pkcs7(struct bytes der) {
        size_t header = header_size(der);
        struct bytes body = BYTES(der.data + header, der.size - header);

        return header && body.size > 10 && body.data[0] == DER_OID &&
                starts_with(BYTES(body.data + 2, body.size - 2), OID_PKCS7);
}

static bool looks_like_pkcs12(struct bytes der) {
        static const uint8_t version_3[] = { DER_INTEGER, 1, 3 };
        size_t header = header_size(der);
        struct bytes body = BYTES(der.data + header, der.size - header);

        if (!header || !starts_with(body, BYTES(version_3, sizeof(version_3))))
                return false;
        return looks_like_pkcs7(
                BYTES(body.data + sizeof(version_3), body.size - sizeof(version_3)));
}

/* EncryptedPrivateKeyInfo, RFC 5958 §3: SEQUENCE { SEQUENCE { OID … }, OCTET STRING }. */
static bool looks_like_encrypted_key(struct bytes der) {
        struct der_reader outer = der_reader(der), body = der_enter(&outer, DER_SEQUENCE);

        (void) der_get(&body, DER_SEQUENCE);
        (void) der_get(&body, DER_OCTET_STRING);
        return der_done(&body) && der_done(&outer);
}

/* A certificate is SEQUENCE { SEQUENCE, SEQUENCE, BIT STRING }; a key begins with an INTEGER. */
static bool looks_like_certificate(struct bytes der) {
        struct der_reader outer = der_reader(der), body = der_enter(&outer, DER_SEQUENCE);

        (void) der_get(&body, DER_SEQUENCE);
        return !body.failed && der_next_is(&body, DER_SEQUENCE);
}

static int take_der(struct reading *r, struct bytes der, struct error *err) {
        if (looks_like_pkcs12(der))
                return take_pkcs12(r, der, err);
        if (looks_like_pkcs7(der))
                return take_pkcs7(r, der, err);
        if (looks_like_encrypted_key(der))
                return take_encrypted_key(r, der, err);
        return looks_like_certificate(der) ? take_certificate(r, der, err) : take_key(r, der, err);
}

/* ---- PEM ---- */

/* OpenSSL's form has its own trust settings behind the certificate. */
static int take_trusted(struct reading *r, struct bytes der, struct error *err) {
        struct der_reader reader = der_reader(der);

        return take_certificate(r, der_get_element(&reader, DER_SEQUENCE), err);
}

static const struct {
        const char *label;
        int (*take)(struct reading *r, struct bytes der, struct error *err);
} blocks[] = {
        { "CERTIFICATE", take_certificate },
        { "X509 CERTIFICATE", take_certificate },
        { "TRUSTED CERTIFICATE", take_trusted },
        { "PKCS7", take_pkcs7 },
        { "CMS", take_pkcs7 },
        { "PKCS12", take_pkcs12 },
        { "PRIVATE KEY", take_key },
        { "EC PRIVATE KEY", take_key },
        { "RSA PRIVATE KEY", take_key },
        { "ENCRYPTED PRIVATE KEY", take_encrypted_key },
};

static int take_pem(struct reading *r, struct bytes text, struct error *err) {
        for (size_t n = 0; n < PEM_BLOCKS_MAX; n++) {
                CAD_AUTO(buffer_wipe) struct buffer der = { 0 };
                char label[PEM_LABEL_MAX] = "";
                int found = pem_next(&text, label, &der, err);

                if (found <= 0)
                        return found;
                for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
                        if (strcmp(label, blocks[i].label) == 0 &&
                            blocks[i].take(r, buffer_bytes(&der), err) < 0)
                                return -1;
        }
        return error_set(err, ERR_BODY_TOO_LARGE, "there are more than %u PEM blocks in it",
                         PEM_BLOCKS_MAX);
}

static int take_legacy_key(struct reading *r, struct bytes pem, struct error *err) {
        CAD_AUTO(x509_key_free) gnutls_x509_privkey_t key = NULL;
        gnutls_datum_t datum = datum_of(pem);
        int rc;

        if (!r->password)
                return need_password(err);
        if (gnutls_x509_privkey_init(&key) < 0)
                return error_no_memory(err);
        rc = gnutls_x509_privkey_import2(key, &datum, GNUTLS_X509_FMT_PEM, r->password,
                                         /* flags= */ 0);
        return rc < 0 ? wrong_password(r, rc, err) : take_opened_key(r, key, err);
}

static const uint8_t *find_last(struct bytes text, const char *what) {
        size_t size = strlen(what);

        for (size_t at = text.size + 1; at-- > 0;)
                if (text.size - at >= size && memcmp(text.data + at, what, size) == 0)
                        return text.data + at;
        return NULL;
}

/* Keys encrypted as RFC 1421 says, which pem_next() refuses: cut out for GnuTLS, and what is around them read as always. */
static int take_text(struct reading *r, struct bytes text, struct error *err) {
        for (size_t n = 0; text.size && n < PEM_BLOCKS_MAX; n++) {
                const uint8_t *header = memmem(text.data, text.size, LEGACY_HEADER,
                                               strlen(LEGACY_HEADER));
                const uint8_t *begin, *end, *all = text.data + text.size;

                if (!header)
                        break;
                begin = find_last(BYTES(text.data, (size_t) (header - text.data)), "-----BEGIN ");
                end = memmem(header, (size_t) (all - header), "-----END ", strlen("-----END "));
                if (!begin || !end)
                        break;
                end = memchr(end, '\n', (size_t) (all - end));
                end = end ? end + 1 : all;
                if (take_pem(r, BYTES(text.data, (size_t) (begin - text.data)), err) < 0 ||
                    take_legacy_key(r, BYTES(begin, (size_t) (end - begin)), err) < 0)
                        return -1;
                text = BYTES(end, (size_t) (all - end));
        }
        return take_pem(r, text, err);
}

/* ---- an input ---- */

/* UTF-16 with a byte order mark is what PowerShell's '>' makes of a PEM file. Return: whether it is that; @out has its ASCII, '?' for all else. */
static bool from_utf16(struct bytes in, struct buffer *out) {
        bool big, little;

        if (in.size < 2)
                return false;
        little = in.data[0] == 0xff && in.data[1] == 0xfe;
        big = in.data[0] == 0xfe && in.data[1] == 0xff;
        if (!little && !big)
                return false;
        (void) buffer_reserve(out, in.size / 2);
        for (size_t i = 2; i + 1 < in.size; i += 2) {
                uint8_t high = in.data[big ? i : i + 1], low = in.data[big ? i + 1 : i];
                uint8_t c = high == 0 && low < 0x80 ? low : '?';

                buffer_append(out, BYTES(&c, 1));
        }
        return true;
}

static int take_input(struct reading *r, struct bytes input, struct error *err) {
        CAD_AUTO(buffer_wipe) struct buffer ascii = { 0 };

        if (from_utf16(input, &ascii))
                return ascii.failed ? error_no_memory(err)
                                    : take_text(r, buffer_bytes(&ascii), err);
        if (input.size && input.data[0] == DER_SEQUENCE && header_size(input) &&
            !memmem(input.data, input.size, "-----BEGIN ", strlen("-----BEGIN ")))
                return take_der(r, input, err);
        return take_text(r, input, err);
}

int credential_parts_add(struct credential_parts *parts, struct bytes input, struct bytes password,
                         struct error *err) {
        char text[PASSWORD_MAX + 1];
        unsigned rounds = CREDENTIAL_ROUNDS_MAX;
        struct reading r = { .parts = parts,
                             .password = password.data ? text : NULL,
                             .rounds = &rounds };
        int rc;

        if (input.size > CREDENTIAL_INPUT_MAX)
                return error_set(err, ERR_BODY_TOO_LARGE,
                                 "it has %zu octets: no certificate or key is longer than %u",
                                 input.size, CREDENTIAL_INPUT_MAX);
        if (password.size > PASSWORD_MAX ||
            (password.data && memchr(password.data, '\0', password.size)))
                return error_set(err, ERR_KEY_PASSPHRASE,
                                 "the password is longer than %u octets, or has a NUL in it",
                                 PASSWORD_MAX);
        if (password.data)
                memcpy(text, password.data, password.size);
        text[password.size] = '\0';
        rc = take_input(&r, input, err);
        explicit_bzero(text, sizeof(text));
        if (rc < 0)
                return -1;
        if (r.found == 0)
                return error_set(
                        err, ERR_BODY_MALFORMED,
                        "there is neither a certificate nor a private key in it (PEM, DER, PKCS#7 and PKCS#12 are read)");
        return 0;
}

int credential_parts_seek(struct credential_parts *parts, struct bytes bundle, struct error *err) {
        for (;;) {
                CAD_AUTO(buffer_done) struct buffer der = { 0 };
                char label[PEM_LABEL_MAX] = "";
                struct cert cert;

                if (pem_next(&bundle, label, &der, /* err= */ NULL) != 1)
                        return 0;
                if (strcmp(label, "CERTIFICATE") != 0 ||
                    cert_read(buffer_bytes(&der), &cert, /* err= */ NULL) < 0 ||
                    !credential_parts_want(parts, &cert))
                        continue;
                if (credential_parts_take(parts, buffer_bytes(&der), err) < 0)
                        return -1;
        }
}
