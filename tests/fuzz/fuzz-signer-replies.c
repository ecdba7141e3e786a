/*
 * What a broken or captured signer may say to cad: the input is one frame. Nothing that is decoded reaches outside it, and no
 * certificate but the very one that was asked for passes the comparison.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/signer/protocol.h"
#include "lib/pki/cert.h"
#include "lib/pki/dn.h"

#define NOW INT64_C(4102444800) /* 2100-01-01T00:00:00Z; what the corpus was asked for */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
        if (!holds)
                abort();
}

static void must_be_inside(struct bytes view, struct bytes frame) {
        must(view.size == 0 ||
             (view.data >= frame.data && view.data + view.size <= frame.data + frame.size));
}

static void must_end(const char *text, size_t size) {
        must(memchr(text, '\0', size) != NULL);
}

/* The wish is read off the certificate itself, as far as it says one: the comparison then goes all the way. */
static void compare(const struct cert *cert, const struct profile_set *profiles) {
        CAD_AUTO(san_list_done) struct san_list names = { .count = 0 };
        CAD_AUTO(public_key_free) struct public_key *key = NULL;
        struct cert_issuer issuer = { .subject = cert->issuer,
                                      .algorithm = cert->algorithm,
                                      .crl_url = "http://ca.lan/crl/int-1.crl",
                                      .issuer_url = "http://ca.lan/ca/int-1.crt" };
        struct cert_wish wish = { .spki = cert->spki, .names = &names, .validity = cert->validity };
        char common_name[512];

        if (san_list_from_der(&names, cert->san, "names", NULL) < 0 ||
            public_key_from_spki(cert->spki, RSA_BITS_MAX, &key, NULL) < 0)
                return;
        wish.key_type = public_key_type(key);
        if (cert->authority_key_id.size == KEY_ID_SIZE)
                memcpy(issuer.key_id, cert->authority_key_id.data, KEY_ID_SIZE);
        if (dn_common_name(cert->subject, common_name, sizeof(common_name)))
                wish.common_name = common_name;
        for (size_t i = 0; i < profiles_count(profiles); i++) {
                static uint8_t octets[CERT_MAX];
                struct der_writer w;

                wish.profile = profiles_at(profiles, i);
                if (cert_compare(cert, &issuer, &wish, NULL) < 0)
                        continue;
                must(!cert->is_ca && !cert->unknown_critical);
                wish.serial = cert->serial;
                der_writer_init(&w, octets, sizeof(octets));
                cert_put_leaf(&w, &issuer, &wish);
                must(bytes_equal(der_writer_bytes(&w), cert->tbs));
        }
}

static void on_certificate(struct frame_reader *fields, struct bytes frame,
                           const struct profile_set *profiles) {
        char issuer[SIGNER_ISSUER_MAX];
        struct cert cert;
        struct bytes der;

        if (sign_certificate_decode(fields, issuer, &der, NULL) < 0)
                return;
        must_end(issuer, sizeof(issuer));
        must_be_inside(der, frame);
        must(der.size <= CERT_MAX);
        if (cert_read(der, &cert, NULL) == 0)
                compare(&cert, profiles);
}

static void on_hello(struct frame_reader *fields, struct bytes frame) {
        static uint8_t again[SIGNER_FRAME_MAX];
        struct sign_hello hello;
        struct bytes written;
        struct cert cert;

        if (sign_hello_decode(fields, &hello, NULL) < 0)
                return;
        must(hello.issuer_count >= 1 && hello.issuer_count <= SIGNER_ISSUERS_MAX);
        must_end(hello.ca_id, sizeof(hello.ca_id));
        must_end(hello.replaces, sizeof(hello.replaces));
        must_end(hello.name, sizeof(hello.name));
        must_end(hello.public_url, sizeof(hello.public_url));
        must_be_inside(hello.root, frame);
        (void) cert_read(hello.root, &cert, NULL);
        for (size_t i = 0; i < hello.issuer_count; i++) {
                must_be_inside(hello.issuers[i].der, frame);
                must(hello.issuers[i].state < SIGNER_ISSUER_STATE_COUNT);
                (void) cert_read(hello.issuers[i].der, &cert, NULL);
        }
        written = sign_hello_encode(again, 0, &hello);
        must(written.size == frame.size &&
             memcmp(written.data + 12, frame.data + 12, frame.size - 12) == 0);
}

static void on_status(struct frame_reader *fields) {
        struct sign_status status;

        if (sign_status_decode(fields, &status, NULL) < 0)
                return;
        must_end(status.clock, sizeof(status.clock));
        must_end(status.log, sizeof(status.log));
}

static void on_crl(struct frame_reader *fields) {
        char issuer[SIGNER_ISSUER_MAX];
        int64_t number, size;

        if (sign_crl_ok_decode(fields, issuer, &number, &size, NULL) == 0)
                must_end(issuer, sizeof(issuer));
}

static void on_error(struct frame_reader *fields) {
        struct error said = { 0 };

        if (sign_error_decode(fields, &said, NULL) < 0)
                return;
        must(said.code < ERR_COUNT);
        must_end(said.field, sizeof(said.field));
        must_end(said.text, sizeof(said.text));
}

static void on_anchors(struct frame_reader *fields) {
        struct sign_anchors anchors;
        char line[AUDIT_ANCHOR_TEXT_MAX];

        if (sign_anchors_decode(fields, &anchors, NULL) < 0)
                return;
        must(anchors.count <= SIGNER_ANCHORS_MAX);
        for (size_t i = 0; i < anchors.count; i++)
                must(anchors.list[i].number > 0 &&
                     strlen(audit_anchor_format(&anchors.list[i], line)) < sizeof(line));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static struct profile_set *profiles;
        struct bytes frame = BYTES(data, size);
        struct signer_header header;
        struct frame_reader fields;

        if (!profiles)
                must(profiles_load(-1, NULL, &profiles, NULL) == 0);
        if (frame_open(frame, &header, &fields, NULL) < 0)
                return 0;
        switch (header.type) {
        case SIGNER_CERTIFICATE:
                on_certificate(&fields, frame, profiles);
                break;
        case SIGNER_HELLO_OK:
        case SIGNER_CA_OK:
                on_hello(&fields, frame);
                break;
        case SIGNER_STATUS_OK:
                on_status(&fields);
                break;
        case SIGNER_ANCHORS_OK:
                on_anchors(&fields);
                break;
        case SIGNER_CRL_OK:
                on_crl(&fields);
                break;
        case SIGNER_ERROR:
                on_error(&fields);
                break;
        default:
                break;
        }
        return 0;
}
