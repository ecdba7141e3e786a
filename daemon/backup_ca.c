/*
 * See backup_ca.h. A backup may have come from anywhere: a certificate in it is nothing before its signature was looked at.
 */
#include "daemon/backup_ca.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/base/text.h"
#include "lib/pki/cert.h"
#include "lib/pki/pem.h"

#define CERTIFICATE_MAX (64u * 1024) /* octets of a PEM file */

static int read_pem(struct bytes pem, const char *id, struct buffer *ret_der, struct error *err) {
        char label[PEM_LABEL_MAX];

        return pem_next(&pem, label, ret_der, err) == 1 && strcmp(label, "CERTIFICATE") == 0
                ? 0
                : error_set(err, ERR_STORE, "the CA's certificate %s cannot be read", id);
}

static int check_root(struct bytes der, const char *ca_id, struct error *err) {
        char id[2 * SHA256_SIZE + 1];
        uint8_t digest[SHA256_SIZE];

        cert_fingerprint(der, digest);
        (void) hex_encode(BYTES(digest, sizeof(digest)), id);
        return strcmp(id, ca_id) == 0
                ? 0
                : error_set(
                          err, ERR_STORE_FOREIGN,
                          "the backup is of the CA %.16s…, and this is the root of another one, %.16s…",
                          ca_id, id);
}

int backup_ca_is_root(struct bytes pem, const char *ca_id, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer der = { 0 };

        if (read_pem(pem, "root", &der, NULL) < 0)
                return error_set(err, ERR_CA_INCOMPLETE, "the root's certificate cannot be read");
        return check_root(buffer_bytes(&der), ca_id, err);
}

static int check_signed(struct bytes der, struct bytes root_der, const char *id,
                        struct error *err) {
        CAD_AUTO(public_key_free) struct public_key *key = NULL;
        struct cert cert, root;

        if (cert_read(der, &cert, err) < 0 || cert_read(root_der, &root, err) < 0 ||
            public_key_from_spki(root.spki, RSA_BITS_MAX, &key, err) < 0)
                return -1;
        return public_key_verify(key, cert.algorithm, cert.tbs, cert.signature, NULL) == 0 &&
                        bytes_equal(cert.issuer, root.subject)
                ? 0
                : error_set(err, ERR_STORE_FOREIGN,
                            "the certificate of the issuer %s is not signed by the root", id);
}

static int read_from(const struct backup_ca *ca, const char *id, struct buffer *ret_pem,
                     struct error *err) {
        char name[BACKUP_NAME_MAX];
        struct error missing = { 0 };

        (void) snprintf(name, sizeof(name), "ca/%.40s.crt", id);
        if (backup_get(ca->backup, name, ret_pem, &missing) == 0)
                return 0;
        if (missing.code == ERR_NOT_FOUND && ca->signer_fd >= 0)
                return file_read(ca->signer_fd, name, FILE_ANY_OWNER, CERTIFICATE_MAX, ret_pem,
                                 err);
        *err = missing;
        return -1;
}

int backup_ca_certificate(const struct backup_ca *ca, const char *id, struct buffer *ret_der,
                          struct error *err) {
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };
        CAD_AUTO(buffer_done) struct buffer root = { 0 };

        if (read_from(ca, id, &pem, err) < 0 || read_pem(buffer_bytes(&pem), id, ret_der, err) < 0)
                return -1;
        if (strcmp(id, "root") == 0)
                return check_root(buffer_bytes(ret_der), ca->ca_id, err);
        return backup_ca_certificate(ca, "root", &root, err) < 0
                ? -1
                : check_signed(buffer_bytes(ret_der), buffer_bytes(&root), id, err);
}
