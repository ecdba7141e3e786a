/*
 * The signer's files, between a backup and the signer's folder. cad never has a plain key: cad-signer takes them out and puts them in.
 */
#pragma once

#include "db/backup.h"
#include "lib/base/error.h"

/** struct restore_keys - what is borrowed for it */
struct restore_keys {
        struct backup *backup;
        const char *ca_id;           /* that the root has to be of */
        const char *signer_dir;      /* from or into which */
        const char *passphrase_file; /* NULL: none is needed, or it is asked for */
};

/** restore_keys_export() - put the signer's folder into the backup, its keys encrypted. @err: as cad-signer has said on stderr, or ours */
int restore_keys_export(const struct restore_keys *keys, struct error *err);

/** restore_keys_import() - put them back into a signer's folder that has no CA. @err: as for the export; nothing is half there then */
int restore_keys_import(const struct restore_keys *keys, struct error *err);

/**
 * restore_keys_try() - whether the passphrase opens each of them, and each fits its certificate
 * @keys: signer_dir is an empty temporary folder. It is removed with all that is in it, also where a signal says that we end
 */
int restore_keys_try(const struct restore_keys *keys, struct error *err);
