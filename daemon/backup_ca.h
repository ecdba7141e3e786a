/*
 * The CA's certificates as a backup has them, believed as far as they lead to the root whose SHA-256 is the CA's id.
 */
#pragma once

#include "db/backup.h"

/** struct backup_ca - where they are */
struct backup_ca {
        struct backup *backup;
        const char *ca_id; /* of the backup */
        int signer_fd; /* the signer's folder, for issuers that are younger than the backup; -1: none */
};

/** backup_ca_certificate() - "root" or an issuer's id. @ret_der: appended. @err: ERR_NOT_FOUND, ERR_STORE_FOREIGN where it does not lead to the root, ERR_STORE */
int backup_ca_certificate(const struct backup_ca *ca, const char *id, struct buffer *ret_der,
                          struct error *err);

/** backup_ca_is_root() - whether a PEM text is the certificate with this id. @err: ERR_CA_INCOMPLETE, ERR_STORE_FOREIGN */
int backup_ca_is_root(struct bytes pem, const char *ca_id, struct error *err);
