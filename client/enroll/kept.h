/*
 * What a device keeps of each of its certificates, as files, and how they change: all of a set at once, or none.
 *
 *   CONF/certs/NAME/           key.pem (0600), cert.pem, chain.pem, fullchain.pem, root.pem, enrolled.conf
 *   CONF/certs/.NAME.new/      a set that is being written; after the change what was there before it
 *   CONF/certs/.NAME.old/      the same, on a file system that cannot exchange two folders
 *   CONF/certs/.NAME.pending/  key.pem, csr.pem, root.pem, pending.conf: asked for, and not there yet
 *   CONF/certs/.NAME.changed   whoever uses the certificate has not been told of the last change
 *   CONF/certs/.NAME.lock      who works on it
 *
 * The set is written beside its place and synced, then the two folders change places in one step (renameat2, RENAME_EXCHANGE). Killed at
 * any moment, the old set or the new one is there, whole, and kept_recover() clears up after it. Nothing here speaks with the CA.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/bytes.h"
#include "lib/base/error.h"
#include "lib/pki/san.h"

#define KEPT_NAME_MAX 201 /* bytes with NUL of NAME */
#define KEPT_FILE_MAX (256u * 1024)

/** struct enrolment - enrolled.conf and pending.conf; texts are owned, NULL: not said */
struct enrolment {
        char *url;
        char *profile;  /* NULL: the CA chooses */
        char *validity; /* "90d", as it was asked for */
        char *label;
        char *key;     /* "ecdsa-p256": of what kind the next one is to be */
        char *serial;  /* hex; of enrolled.conf */
        char *request; /* the id of the request that waits, hex; of pending.conf */
        struct san_list names;
        bool rekey_at_renewal;
};

void enrolment_done(struct enrolment *e);
CAD_CLEANUP_DONE(struct enrolment, enrolment_done)

/** enrolment_write() - as text. @out: appended */
void enrolment_write(const struct enrolment *e, struct buffer *out);

/**
 * enrolment_read() - @path in the folder @dir_fd
 * @err: ERR_CONFIG with file and line; ERR_NOT_FOUND
 */
int enrolment_read(int dir_fd, const char *path, struct enrolment *ret, struct error *err);

/** enrolment_copy() - @ret: zero-initialised */
int enrolment_copy(const struct enrolment *from, struct enrolment *ret, struct error *err);

/** kept_name() - the name of a folder for a certificate of this name: what a file name may hold. @out: KEPT_NAME_MAX bytes */
void kept_name(const char *name, char *out);

/** kept_name_check() - whether a text is such a name. Return: 0 or -1 */
int kept_name_check(const char *name);

/** kept_open() - CONF/certs, made where it is not there and @make. @conf: CONF. @err: as folder_open(). Return: a descriptor or -1 */
int kept_open(const char *conf, bool make, struct error *err);

/** kept_lock() - until the descriptor is closed. @err: ERR_BUSY with the pid of who has it. Return: a descriptor or -1 */
int kept_lock(int certs_fd, const char *name, struct error *err);

/** kept_recover() - after whoever was killed: what is half done goes, what is done is finished. With the lock. */
int kept_recover(int certs_fd, const char *name, struct error *err);

/** kept_folder() - NAME itself. @err: ERR_NOT_FOUND. Return: a descriptor or -1 */
int kept_folder(int certs_fd, const char *name, struct error *err);

/** struct kept_set - the texts of a set; borrowed */
struct kept_set {
        struct bytes key, cert, chain, fullchain, root, conf;
};

/**
 * kept_replace() - put a set in the place of the one that is there
 *
 * Owners and modes of the files that are there stay, but that the key is never for others; files that are none of ours are kept.
 * @err: ERR_IO, ERR_STORE_FULL; then the old set is as it was
 */
int kept_replace(int certs_fd, const char *name, const struct kept_set *set, struct error *err);

/* ---- asked for ---- */

/** struct kept_pending - what was asked for; key and CSR stay the same until it is answered */
struct kept_pending {
        struct enrolment what;
        struct buffer key, csr; /* PEM; the key's is a secret */
        struct buffer root;     /* PEM: that the CA was pinned to */
};

void kept_pending_done(struct kept_pending *p);
CAD_CLEANUP_DONE(struct kept_pending, kept_pending_done)

/** kept_pending_read() - @err: ERR_NOT_FOUND where nothing whole is there */
int kept_pending_read(int certs_fd, const char *name, struct kept_pending *ret, struct error *err);

/** kept_pending_write() - in place of what was asked for before */
int kept_pending_write(int certs_fd, const char *name, const struct kept_pending *p,
                       struct error *err);

/** kept_pending_set() - pending.conf alone */
int kept_pending_set(int certs_fd, const char *name, const struct enrolment *what,
                     struct error *err);

/** kept_pending_drop() - it is answered, or not wanted any more */
int kept_pending_drop(int certs_fd, const char *name, struct error *err);

/* ---- who has to be told ---- */

/** kept_mark_changed(), kept_unmark_changed(), kept_is_changed() - .NAME.changed */
int kept_mark_changed(int certs_fd, const char *name, struct error *err);
void kept_unmark_changed(int certs_fd, const char *name);
bool kept_is_changed(int certs_fd, const char *name);

/** kept_each() - every NAME that is enrolled or asked for, sorted, each once. Return: 0, or -1 with @err */
#define KEPT_COUNT_MAX 256
int kept_each(int certs_fd, void (*each)(const char *name, void *context), void *context,
              struct error *err);
