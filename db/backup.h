/*
 * Backups: one SQLite file that holds the store as it was at one moment, and beside its tables a few files of others (the CA's
 * certificates; the signer's folder where root put it in). It is no cad.db: another application id keeps it from being taken for one.
 */
#pragma once

#include "db/audit.h"
#include "db/store.h"

#define BACKUP_FILE_MAX (64u * 1024 * 1024) /* octets of one file in a backup */
#define BACKUP_NAME_MAX 64                  /* bytes with NUL of its name: "signer/ca/root.key" */
#define BACKUP_SERIAL_TIME \
        7 /* first octets of a serial: the moment when it was made, and it never goes back */

struct backup; /* an open backup file; one thread */

/**
 * store_backup() - copy the store into a new file, while everybody goes on
 * @dir_fd, @name: the file, made with mode 0600; one that is there is replaced only when the copy is whole and on disk
 * @err: ERR_STORE, ERR_STORE_FULL, ERR_IO
 */
int store_backup(struct store *store, int dir_fd, const char *name, struct error *err);

/**
 * backup_open() - open a backup, which may have come from anywhere
 * @dir_fd, @name: where; AT_FDCWD: as it is
 * @write: to put files into it; else it is checked as a whole: SQLite's own integrity check, and rows that belong together
 * @err:   ERR_STORE_FOREIGN where it is no backup of cad's or its schema is not just the one that cad would have made, ERR_STORE_NEWER,
 *         ERR_STORE where it is damaged, ERR_NOT_FOUND, ERR_FILE_UNSAFE where it is no plain file, ERR_STATE_CONFLICT where writing it was cut off
 *
 * To read it nothing beside it is looked at, made or changed.
 */
int backup_open(int dir_fd, const char *name, bool write, struct backup **ret, struct error *err);
struct backup *backup_close(struct backup *backup);
CAD_CLEANUP(struct backup, backup_close)

/** struct backup_info - what is in it */
struct backup_info {
        char ca_id[72];    /* 64 digits of lower-case hex */
        int64_t made_at;   /* seconds since the epoch */
        int64_t issued_at; /* of the newest certificate; 0: none */
        struct store_counters counters;
        uint8_t newest[BACKUP_SERIAL_TIME]; /* of the newest serial; all zero: none */
        bool with_keys;
};

/** backup_info() - @err: ERR_STORE where it says no such thing */
int backup_info(struct backup *backup, struct backup_info *ret, struct error *err);

/** backup_has() - whether the store in it knows a serial; -1 with @err */
int backup_has(struct backup *backup, struct bytes serial, struct error *err);

/** backup_put() - put a file in, or in the place of the one of that name. @err: ERR_STORE */
int backup_put(struct backup *backup, const char *name, struct bytes content, struct error *err);

/** backup_begin(), backup_commit() - files that are put in between are there together or not at all; backup_begin() takes those out whose name
 *  begins with @prefix. @err: ERR_STORE, ERR_STORE_FULL */
int backup_begin(struct backup *backup, const char *prefix, struct error *err);
int backup_commit(struct backup *backup, struct error *err);

/** backup_get() - appended to @ret. @err: ERR_NOT_FOUND, ERR_STORE */
int backup_get(struct backup *backup, const char *name, struct buffer *ret, struct error *err);

/** backup_each() - every file, in the order of the names. @each returns 0 to go on, or -1 with @err */
int backup_each(struct backup *backup,
                int (*each)(void *context, const char *name, struct bytes content,
                            struct error *err),
                void *context, struct error *err);

/** struct backup_revocation - something that was revoked after the backup was made, as a CRL says */
struct backup_revocation {
        struct bytes serial;
        enum revocation_reason reason;
        int64_t at;
};

/** struct backup_changes - what is known to have happened after the backup was made; views */
struct backup_changes {
        const struct backup_revocation *revocations;
        size_t revocation_count;
        const struct cert_row *
                lost; /* certificates that it does not have: put in, so that they can be revoked; one that is there already is left out */
        size_t lost_count;
        const struct audit_event *event; /* the row of the audit that says so */
        int64_t tokens_end_at; /* tokens that are not used up are revoked at that time, since nobody knows whether they
                                  were used or revoked meanwhile; 0: they stay */
};

/** struct backup_result - what became of the changes */
struct backup_result {
        size_t revoked; /* that were not, in the backup */
        size_t unknown; /* revoked, and neither in the backup nor among the lost */
        size_t tokens;  /* that are revoked */
};

/** backup_place_free() - whether a store can be put there. @err: ERR_CA_EXISTS where there is a cad.db or its log */
int backup_place_free(int state_dir_fd, struct error *err);

/**
 * backup_extract() - put the store of a backup, with what is known to have happened since, into a state folder where there is none
 * @err: ERR_CA_EXISTS where there is a cad.db or its log; ERR_STORE, ERR_STORE_FULL, ERR_IO. Then nothing is there
 *
 * Killed at any moment there is no cad.db or a whole one. Nothing of the files in the backup is left in it. The lock of the store is the caller's.
 */
int backup_extract(struct backup *backup, int state_dir_fd, const struct backup_changes *changes,
                   struct backup_result *ret, struct error *err);
