/*
 * Certificates as people read them, decoded here: nobody's word is taken for what is in one.
 */
#pragma once

#include <jansson.h>

#include "cactl.h"
#include "lib/base/bytes.h"
#include "lib/pki/cert.h"

#define CERTS_MAX 16 /* certificates of one file or one TLS server */

/** struct certs - certificates with the octets that they point into; zero-initialised is empty */
struct certs {
        struct buffer der[CERTS_MAX];
        size_t count;
};

void certs_done(struct certs *certs);
CAD_CLEANUP_DONE(struct certs, certs_done)

/** certs_add() - copy one certificate. @err: ERR_BODY_TOO_LARGE for more than CERTS_MAX */
int certs_add(struct certs *certs, struct bytes der, struct error *err);

/**
 * certs_from_text() - all the certificates of a PEM text, or one in DER
 * @what: where the text is from, for the error: a key, a CSR or nothing where a certificate was wanted
 */
int certs_from_text(struct certs *certs, struct bytes text, const char *what, struct error *err);

/** certs_put_pem() - all of them to standard output */
void certs_put_pem(const struct certs *certs);

/** show_certificate() - print one; what cannot be read strictly is said to be so */
void show_certificate(const struct client *c, struct bytes der);

/** certificate_json() - the same as an object; NULL: out of memory or not readable */
json_t *certificate_json(struct bytes der);

/** names_text() - names as text, "a, b", an international one both ways: "xn--bcher-kva.lan (bücher.lan)". @out: appended */
void names_text(const struct san_list *names, struct buffer *out);

/** api_names() - the same of the member "names" of an object of the API. @out: appended. Return: all of @out */
const char *api_names(const json_t *object, struct buffer *out);

/** fingerprint_groups() - 64 hex digits in groups of four; @out has FINGERPRINT_TEXT_MAX bytes. Return: @out */
#define FINGERPRINT_TEXT_MAX 81
char *fingerprint_groups(const uint8_t digest[SHA256_SIZE], char *out);

/** hex_groups() - the same for hex from the CA, of any length; @out has FINGERPRINT_TEXT_MAX bytes. Return: @out */
char *hex_groups(const char *hex, char *out);
