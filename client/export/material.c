/*
 * See material.h. Nothing is exported that does not belong together: a key that does not fit, a chain that leads elsewhere.
 */
#include "export/material.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "ask.h"
#include "files.h"
#include "issued.h"
#include "lib/base/text.h"
#include "output.h"

#define SERIAL_SURE_DIGITS 16 /* so many hex digits are a serial, whatever files there are */
#define PASSPHRASE_MAX 1024   /* bytes with NUL */

void material_done(struct material *m) {
        certs_done(&m->leaf);
        certs_done(&m->chain);
        certs_done(&m->root);
        m->key = private_key_free(m->key);
}

static bool issued_by(const struct cert *cert, const struct cert *issuer) {
        return bytes_equal(cert->issuer, issuer->subject) &&
                (cert->authority_key_id.size == 0 || issuer->subject_key_id.size == 0 ||
                 bytes_equal(cert->authority_key_id, issuer->subject_key_id));
}

/* The one of @all that has issued @cert; NULL: none has. */
static const struct buffer *issuer_in(const struct certs *all, const struct cert *cert,
                                      struct cert *ret) {
        for (size_t i = 0; i < all->count; i++)
                if (cert_read(buffer_bytes(&all->der[i]), ret, NULL) == 0 && issued_by(cert, ret))
                        return &all->der[i];
        return NULL;
}

/* From the leaf upwards, in whatever order they lie in @all: chain, and the root where it is among them. */
static int climb(const struct certs *all, struct material *m, struct error *err) {
        struct cert at = m->cert, issuer;
        const struct buffer *found;

        while (m->chain.count + m->root.count < CERTS_MAX &&
               (found = issuer_in(all, &at, &issuer))) {
                bool is_root = cert_is_self_signed(&issuer);

                if (certs_add(is_root ? &m->root : &m->chain, buffer_bytes(found), err) < 0)
                        return -1;
                if (is_root)
                        return 0;
                at = issuer;
        }
        return 0;
}

static enum result from_file(const char *path, struct material *m) {
        CAD_AUTO(buffer_wipe) struct buffer text = { 0 };
        CAD_AUTO(certs_done) struct certs all = { 0 };
        struct error err = { 0 };

        if (input_read(path, &text, &err) < 0 ||
            certs_from_text(&all, buffer_bytes(&text), path, &err) < 0 ||
            certs_add(&m->leaf, buffer_bytes(&all.der[0]), &err) < 0 ||
            cert_read(buffer_bytes(&m->leaf.der[0]), &m->cert, &err) < 0)
                return fail_error(&err);
        return climb(&all, m, &err) < 0 ? fail_error(&err) : DONE;
}

static enum result from_serial(struct client *c, const char *serial, struct material *m) {
        CAD_AUTO(json_free) json_t *object = NULL;
        struct error err = { 0 };
        char path[96];
        enum result result;

        (void) snprintf(path, sizeof(path), "/v1/certificates/%s", serial);
        result = api_get(c, path, &object);
        if (result != DONE)
                return result;
        if (issued_of_row(object, serial, &m->leaf, &err) < 0 ||
            cert_read(buffer_bytes(&m->leaf.der[0]), &m->cert, &err) < 0)
                return fail_error(&err);
        if (strcmp(api_text(object, "status"), "valid") != 0)
                say(c, "note: this certificate is %s", api_text(object, "status"));
        return DONE;
}

/* All that the CA has, retired intermediates too. */
static enum result from_bundle(struct client *c, struct material *m) {
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };
        CAD_AUTO(certs_done) struct certs all = { 0 };
        struct error err = { 0 };
        enum result result = api_get_text(c, "/v1/ca/bundle.pem",
                                          "application/x-pem-file, */*;q=0.5", &pem);

        if (result != DONE)
                return result;
        certs_done(&m->chain);
        certs_done(&m->root);
        if (certs_from_text(&all, buffer_bytes(&pem), "the CA's bundle", &err) < 0 ||
            climb(&all, m, &err) < 0)
                return fail_error(&err);
        if (m->chain.count == 0 || m->root.count == 0)
                return fail(
                        REFUSED,
                        "the certificate was not issued by the CA at hand, and its chain is not in the file: give a file with the whole chain, or --url of the CA that issued it");
        return DONE;
}

/* By GnuTLS, at a time at which the certificate is valid: whether it is now, is not the question here. */
static enum result verify(const struct client *c, const struct material *m) {
        const struct validity *v = &m->cert.validity;
        int64_t at = c->now < v->not_before ? v->not_before
                : c->now > v->not_after     ? v->not_after
                                            : c->now;
        struct error err = { 0 };

        if (m->chain.count != 1)
                return DONE; /* deeper than any chain of a cad's: as the file has it */
        if (chain_verify(m->cert.der, buffer_bytes(&m->chain.der[0]), buffer_bytes(&m->root.der[0]),
                         at, &err) < 0)
                return fail(REFUSED, "certificate, chain and root do not belong together: %s",
                            err.text);
        return DONE;
}

enum result material_find(struct client *c, const char *what, enum material_need need,
                          struct material *ret) {
        char serial[SERIAL_TEXT_MAX];
        bool hex = serial_parse(what, serial) == 0;
        enum result result;

        if (hex && (strlen(serial) >= SERIAL_SURE_DIGITS || access(what, F_OK) < 0))
                result = from_serial(c, serial, ret);
        else
                result = from_file(what, ret);
        if (result == DONE &&
            ((need >= NEED_CHAIN && ret->chain.count == 0) ||
             (need >= NEED_ROOT && ret->root.count == 0)))
                result = from_bundle(c, ret);
        return result == DONE && ret->root.count && ret->chain.count ? verify(c, ret) : result;
}

static int read_key(struct bytes text, struct private_key **ret, struct error *err) {
        char passphrase[PASSPHRASE_MAX];
        int rc = private_key_from_pem(text, BYTES_NONE, ret, err);

        if (rc == 0 || err->code != ERR_KEY_PASSPHRASE || !terminal_on(STDIN_FILENO))
                return rc;
        if (ask_hidden("Passphrase of the key", passphrase, sizeof(passphrase)) < 0)
                return -1;
        rc = private_key_from_pem(text, bytes_of(passphrase), ret, err);
        explicit_bzero(passphrase, sizeof(passphrase));
        return rc;
}

enum result material_take_key(struct material *m, const char *path) {
        CAD_AUTO(buffer_wipe) struct buffer text = { 0 };
        CAD_AUTO(buffer_done) struct buffer spki = { 0 };
        struct error err = { 0 };

        if (input_read(path, &text, &err) < 0)
                return fail_error(&err);
        if (read_key(buffer_bytes(&text), &m->key, &err) < 0 ||
            private_key_spki(m->key, &spki, &err) < 0)
                return fail(REFUSED, "--key %s: %s", path, err.text);
        if (bytes_equal(buffer_bytes(&spki), m->cert.spki))
                return DONE;
        return fail(REFUSED, "--key %s does not fit the certificate: it is another one's key",
                    path);
}
