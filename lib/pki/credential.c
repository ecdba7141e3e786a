/*
 * Credentials, put in order and checked: which certificate is the leaf, what leads from it to a root, whether a client would take it.
 *
 * No file is opened here and no clock is read. A signature counts for nothing until credential_verify() has seen it.
 */
#include "credential.h"

#include <gnutls/x509.h>
#include <stdlib.h>

#include "credential_parts.h"
#include "dn.h"
#include "lib/base/moment.h"
#include "pem.h"
#include "san.h"

struct credential {
        struct private_key *key;
        struct buffer leaf, root;
        struct buffer chain[CREDENTIAL_CHAIN_MAX];
        size_t chain_count, left_over;
};

struct credential *credential_free(struct credential *c) {
        if (!c)
                return NULL;
        private_key_free(c->key);
        buffer_done(&c->leaf);
        buffer_done(&c->root);
        for (size_t i = 0; i < c->chain_count; i++)
                buffer_done(&c->chain[i]);
        free(c);
        return NULL;
}

const struct private_key *credential_key(const struct credential *c) {
        return c->key;
}

struct bytes credential_leaf(const struct credential *c) {
        return buffer_bytes(&c->leaf);
}

size_t credential_chain_count(const struct credential *c) {
        return c->chain_count;
}

struct bytes credential_chain(const struct credential *c, size_t i) {
        return buffer_bytes(&c->chain[i]);
}

struct bytes credential_root(const struct credential *c) {
        return buffer_bytes(&c->root);
}

size_t credential_left_over(const struct credential *c) {
        return c->left_over;
}

/* ---- the pool ---- */

int credential_parts_take(struct credential_parts *parts, struct bytes der, struct error *err) {
        for (size_t i = 0; i < parts->count; i++)
                if (bytes_equal(buffer_bytes(&parts->certs[i]), der))
                        return 0;
        if (parts->count == CREDENTIAL_CERTS_MAX)
                return error_set(
                        err, ERR_BODY_TOO_LARGE,
                        "there are more than %u certificates: give leaf, chain and root alone",
                        CREDENTIAL_CERTS_MAX);
        buffer_append(&parts->certs[parts->count], der);
        if (parts->certs[parts->count].failed)
                return error_no_memory(err);
        parts->count++;
        return 0;
}

/* What is in a pool has been read before: it can be again. */
static struct cert cert_at(const struct credential_parts *parts, size_t i) {
        struct cert cert = { 0 };

        (void) cert_read(buffer_bytes(&parts->certs[i]), &cert, /* err= */ NULL);
        return cert;
}

bool credential_parts_want(const struct credential_parts *parts, const struct cert *cert) {
        for (size_t i = 0; i < parts->count; i++)
                if (bytes_equal(cert_at(parts, i).issuer, cert->subject))
                        return true;
        return false;
}

/* ---- who signed whom ---- */

static gnutls_x509_crt_t crt_free(gnutls_x509_crt_t crt) {
        if (crt)
                gnutls_x509_crt_deinit(crt);
        return NULL;
}
CAD_CLEANUP(struct gnutls_x509_crt_int, crt_free)

static gnutls_x509_crt_t import(struct bytes der) {
        gnutls_datum_t datum = { (unsigned char *) (uintptr_t) der.data, (unsigned) der.size };
        CAD_AUTO(crt_free) gnutls_x509_crt_t crt = NULL;

        if (gnutls_x509_crt_init(&crt) < 0 ||
            gnutls_x509_crt_import(crt, &datum, GNUTLS_X509_FMT_DER) < 0)
                return NULL;
        return CAD_TAKE(crt);
}

/* By the signature alone, whatever its hash: to find the way. Whether it may be trusted is credential_verify()'s to say. */
static bool signature_fits(struct bytes der, struct bytes issuer_der) {
        CAD_AUTO(crt_free) gnutls_x509_crt_t crt = import(der);
        CAD_AUTO(crt_free) gnutls_x509_crt_t issuer = import(issuer_der);
        unsigned status = 0;

        return crt && issuer &&
                gnutls_x509_crt_verify(crt, &issuer, 1,
                                       GNUTLS_VERIFY_DISABLE_TIME_CHECKS |
                                               GNUTLS_VERIFY_ALLOW_BROKEN |
                                               GNUTLS_VERIFY_ALLOW_ANY_X509_V1_CA_CRT,
                                       &status) == 0 &&
                !(status & GNUTLS_CERT_SIGNATURE_FAILURE);
}

static bool names_fit(const struct cert *cert, const struct cert *issuer) {
        return bytes_equal(cert->issuer, issuer->subject) &&
                (cert->authority_key_id.size == 0 || issuer->subject_key_id.size == 0 ||
                 bytes_equal(cert->authority_key_id, issuer->subject_key_id));
}

/* Return: the place of the issuer of @cert that is not @used; -1: it is not there */
static int find_issuer(const struct credential_parts *parts, const struct cert *cert,
                       const bool *used) {
        for (size_t i = 0; i < parts->count; i++) {
                struct cert issuer = cert_at(parts, i);

                if (!used[i] && names_fit(cert, &issuer) && signature_fits(cert->der, issuer.der))
                        return (int) i;
        }
        return -1;
}

/* ---- the leaf ---- */

static int leaf_of_key(const struct credential_parts *parts, size_t *ret, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer spki = { 0 };
        char subject[DN_TEXT_MAX];
        bool found = false;
        struct cert best = { 0 };

        if (private_key_spki(parts->key, &spki, err) < 0)
                return -1;
        for (size_t i = 0; i < parts->count; i++) {
                struct cert cert = cert_at(parts, i);

                if (!bytes_equal(cert.spki, buffer_bytes(&spki)) ||
                    (found && cert.validity.not_before <= best.validity.not_before))
                        continue;
                found = true;
                best = cert;
                *ret = i;
        }
        if (found)
                return 0;
        return error_set(
                err, ERR_KEY_INVALID,
                "key and certificate do not belong together: the key (%s) is not that of '%s'%s",
                key_type_name(private_key_type(parts->key)),
                dn_text(cert_at(parts, 0).subject, subject, sizeof(subject)),
                parts->count > 1 ? ", nor of another certificate that was given" : "");
}

static bool has_issued(const struct credential_parts *parts, size_t at) {
        struct cert issuer = cert_at(parts, at);

        for (size_t i = 0; i < parts->count; i++) {
                struct cert cert = cert_at(parts, i);

                if (i != at && names_fit(&cert, &issuer))
                        return true;
        }
        return false;
}

static int leaf_without_key(const struct credential_parts *parts, size_t *ret, struct error *err) {
        size_t found = 0;

        for (size_t i = 0; i < parts->count; i++) {
                if (parts->count > 1 && (cert_at(parts, i).is_ca || has_issued(parts, i)))
                        continue;
                found++;
                *ret = i;
        }
        if (found == 1)
                return 0;
        return error_set(
                err, ERR_BODY_MALFORMED,
                found ? "there are %zu certificates that are no CA's, and no key says which is meant: give one"
                      : "of %zu certificates all are a CA's: the one of the server is missing",
                found ? found : parts->count);
}

/* ---- the order ---- */

static int copy(const struct credential_parts *parts, size_t i, struct buffer *ret,
                struct error *err) {
        buffer_append(ret, buffer_bytes(&parts->certs[i]));
        return ret->failed ? error_no_memory(err) : 0;
}

/* From the leaf upwards; a cross-signed root goes on to who signed it, where that is there. */
static int climb(const struct credential_parts *parts, size_t at, struct credential *c,
                 struct error *err) {
        bool used[CREDENTIAL_CERTS_MAX] = { false };
        struct cert cert = cert_at(parts, at);
        int issuer;

        used[at] = true;
        c->left_over = parts->count - 1;
        if (cert_is_self_signed(&cert))
                return copy(parts, at, &c->root, err);
        while ((issuer = find_issuer(parts, &cert, used)) >= 0) {
                used[issuer] = true;
                c->left_over--;
                cert = cert_at(parts, (size_t) issuer);
                if (cert_is_self_signed(&cert))
                        return copy(parts, (size_t) issuer, &c->root, err);
                if (c->chain_count == CREDENTIAL_CHAIN_MAX)
                        return error_set(
                                err, ERR_BODY_MALFORMED,
                                "the chain has more than %u certificates between leaf and root",
                                CREDENTIAL_CHAIN_MAX);
                if (copy(parts, (size_t) issuer, &c->chain[c->chain_count++], err) < 0)
                        return -1;
        }
        return 0;
}

int credential_arrange(struct credential_parts *parts, struct credential **ret, struct error *err) {
        CAD_AUTO(credential_free) struct credential *c = NULL;
        size_t leaf = 0;

        if (parts->count == 0)
                return error_set(err, ERR_BODY_MALFORMED, "there is no certificate");
        if ((parts->key ? leaf_of_key(parts, &leaf, err) : leaf_without_key(parts, &leaf, err)) < 0)
                return -1;
        c = calloc(1, sizeof(*c));
        if (!c)
                return error_no_memory(err);
        if (copy(parts, leaf, &c->leaf, err) < 0 || climb(parts, leaf, c, err) < 0)
                return -1;
        c->key = CAD_TAKE(parts->key);
        *ret = CAD_TAKE(c);
        return 0;
}

/* ---- checks ---- */

static int check_time(struct bytes der, const char *what, int64_t now, struct error *err) {
        char subject[DN_TEXT_MAX], when[MOMENT_TEXT_MAX];
        struct cert cert;

        if (cert_read(der, &cert, err) < 0)
                return -1;
        (void) dn_text(cert.subject, subject, sizeof(subject));
        if (now > cert.validity.not_after)
                return error_set(err, ERR_STATE_CONFLICT, "the %s '%s' has expired (%s)", what,
                                 subject, moment_format(cert.validity.not_after, when));
        if (now < cert.validity.not_before)
                return error_set(
                        err, ERR_STATE_CONFLICT,
                        "the %s '%s' is not valid before %s: is the clock of this machine right?",
                        what, subject, moment_format(cert.validity.not_before, when));
        return 0;
}

static int check_times(const struct credential *c, int64_t now, struct error *err) {
        if (check_time(buffer_bytes(&c->leaf), "certificate", now, err) < 0)
                return -1;
        for (size_t i = 0; i < c->chain_count; i++)
                if (check_time(buffer_bytes(&c->chain[i]), "intermediate certificate", now, err) <
                    0)
                        return -1;
        return check_time(buffer_bytes(&c->root), "root", now, err);
}

static int no_root(const struct credential *c, struct error *err) {
        const struct buffer *last = c->chain_count ? &c->chain[c->chain_count - 1] : &c->leaf;
        char subject[160], issuer[160];
        struct cert cert;

        if (cert_read(buffer_bytes(last), &cert, err) < 0)
                return -1;
        return error_set(
                err, ERR_BODY_MALFORMED,
                "the chain does not reach a root: it ends with '%s', whose issuer '%s' is not among what was given",
                dn_text(cert.subject, subject, sizeof(subject)),
                dn_text(cert.issuer, issuer, sizeof(issuer)));
}

static int verify(gnutls_x509_crt_t *chain, size_t count, gnutls_x509_crt_t root,
                  struct error *err) {
        gnutls_datum_t text = { 0 };
        unsigned status = 0;
        int rc = gnutls_x509_crt_list_verify(chain, (int) count, &root, 1, NULL, 0,
                                             GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &status);

        if (rc < 0)
                return error_set(err, ERR_STATE_CONFLICT, "the chain cannot be verified: %s",
                                 gnutls_strerror(rc));
        if (status == 0)
                return 0;
        rc = gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0);
        (void) error_set(err, ERR_STATE_CONFLICT, "the chain does not verify: %s",
                         rc == 0 ? (const char *) text.data : "unknown reason");
        gnutls_free(text.data);
        return -1;
}

int credential_verify(const struct credential *c, int64_t now, struct error *err) {
        gnutls_x509_crt_t chain[1 + CREDENTIAL_CHAIN_MAX] = { 0 };
        CAD_AUTO(crt_free) gnutls_x509_crt_t root = NULL;
        bool readable;
        int rc = -1;

        if (c->root.size == 0)
                return no_root(c, err);
        if (check_times(c, now, err) < 0)
                return -1;
        root = import(buffer_bytes(&c->root));
        chain[0] = import(buffer_bytes(&c->leaf));
        readable = root && chain[0];
        for (size_t i = 0; i < c->chain_count; i++)
                readable &= (chain[i + 1] = import(buffer_bytes(&c->chain[i]))) != NULL;
        if (!readable)
                (void) error_set(err, ERR_CRYPTO, "GnuTLS cannot read the chain");
        else
                rc = verify(chain, 1 + c->chain_count, root, err);
        for (size_t i = 0; i < ARRAY_SIZE(chain); i++)
                chain[i] = crt_free(chain[i]);
        return rc;
}

/* RFC 6125 §6.4.3: a wildcard is the whole left-most label, and stands for one. */
static bool has_wildcard_for(const struct san_list *there, const struct san *name) {
        const uint8_t *dot = name->type == SAN_DNS && name->value.size
                ? memchr(name->value.data, '.', name->value.size)
                : NULL;
        struct bytes rest;

        if (!dot)
                return false;
        rest = BYTES(dot, name->value.size - (size_t) (dot - name->value.data));
        for (size_t i = 0; i < there->count; i++) {
                const struct san *item = &there->items[i];

                if (item->type == SAN_DNS && item->value.size == rest.size + 1 &&
                    item->value.data[0] == '*' &&
                    memcmp(item->value.data + 1, rest.data, rest.size) == 0)
                        return true;
        }
        return false;
}

int credential_covers(const struct credential *c, const char *name, struct error *err) {
        CAD_AUTO(san_list_done) struct san_list wanted = { .count = 0 }, there = { .count = 0 };
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        char one[SAN_TEXT_MAX];
        struct cert cert;

        if (san_list_add_text(&wanted, name, err) < 0 ||
            cert_read(buffer_bytes(&c->leaf), &cert, err) < 0 ||
            (cert.san.size && san_list_from_der(&there, cert.san, "names", err) < 0))
                return -1;
        if (san_list_contains(&there, &wanted.items[0]) ||
            has_wildcard_for(&there, &wanted.items[0]))
                return 0;
        for (size_t i = 0; i < there.count; i++)
                buffer_format(&text, "%s%s", i ? ", " : "",
                              san_text(&there.items[i], one, sizeof(one)));
        return error_set(err, ERR_NAMES_MISSING, "the certificate is not for %s: it is for %s",
                         san_text(&wanted.items[0], one, sizeof(one)),
                         text.size ? buffer_string(&text) : "no name at all");
}

/* ---- clean PEM ---- */

static void put_chain(const struct credential *c, struct buffer *ret) {
        for (size_t i = 0; i < c->chain_count; i++)
                pem_append(ret, "CERTIFICATE", buffer_bytes(&c->chain[i]));
}

static int put_key(const struct credential *c, struct buffer *ret, struct error *err) {
        if (!c->key)
                return error_set(err, ERR_BODY_MALFORMED, "there is no private key");
        return private_key_to_pem(c->key, BYTES_NONE, ret, err);
}

int credential_pem(const struct credential *c, enum credential_part part, struct buffer *ret,
                   struct error *err) {
        if (part == CREDENTIAL_KEY)
                return put_key(c, ret, err);
        if (part == CREDENTIAL_CHAIN && c->chain_count == 0)
                return error_set(err, ERR_BODY_MALFORMED,
                                 "there is no chain: the certificate comes right from its root");
        if (part == CREDENTIAL_ROOT && c->root.size == 0)
                return no_root(c, err);
        if (part == CREDENTIAL_CERTIFICATE || part == CREDENTIAL_FULL_CHAIN ||
            part == CREDENTIAL_COMBINED)
                pem_append(ret, "CERTIFICATE", buffer_bytes(&c->leaf));
        if (part == CREDENTIAL_CHAIN || part == CREDENTIAL_FULL_CHAIN ||
            part == CREDENTIAL_COMBINED)
                put_chain(c, ret);
        if (part == CREDENTIAL_ROOT)
                pem_append(ret, "CERTIFICATE", buffer_bytes(&c->root));
        if (ret->failed)
                return error_no_memory(err);
        return part == CREDENTIAL_COMBINED ? put_key(c, ret, err) : 0;
}
