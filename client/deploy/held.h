/*
 * What is held under one path: nothing, a file with its owner, mode and labels, or a symbolic link. Read, written beside, compared.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/bytes.h"
#include "lib/base/error.h"
#include "lib/pki/key.h"

#define LABELS_MAX 16                 /* extended attributes of one file */
#define LABEL_NAME_MAX 256            /* bytes with NUL */
#define LABEL_VALUE_MAX 4096          /* bytes */
#define HELD_FILE_MAX (1024u * 1024u) /* bytes of what is replaced: it is a certificate or a key */

enum held_kind {
        HELD_NOTHING,
        HELD_FILE,
        HELD_LINK,
};

struct label {
        char name[LABEL_NAME_MAX];
        struct buffer value;
};

/** struct held - zero-initialised is nothing */
struct held {
        enum held_kind kind;
        struct buffer content; /* of a file; where a link leads */
        uid_t uid;
        gid_t gid;
        mode_t mode;
        struct label *labels; /* owned; LABELS_MAX of them, or NULL */
        size_t label_count;
};

void held_done(struct held *held);
CAD_CLEANUP_DONE(struct held, held_done)

/** held_folder() - open the folder of @path, made with its parents (0755) where @make. @ret_base: into @path. @err: ERR_FILE_UNSAFE, ERR_IO, ERR_NOT_FOUND */
int held_folder(const char *path, bool make, const char **ret_base, struct error *err);

/**
 * held_read() - what is under @name of a folder
 *
 * A link is not followed.
 * @path: for errors
 * @err:  ERR_FILE_UNSAFE for a folder, FIFO, device, socket, a file with several hard links, one over HELD_FILE_MAX
 */
int held_read(int dir_fd, const char *name, const char *path, struct held *ret, struct error *err);

/** held_like() - owner, group, mode and labels of the file there, or of the one that a link there leads to, to @ret. Return: whether there is such a file */
bool held_like(int dir_fd, const char *name, const struct held *there, struct held *ret);

/**
 * held_write() - make @held under the new name @name, complete and on disk
 *
 * Owner and group have to be set; labels as far as the system lets us (an SELinux label has to be).
 * @err: ERR_IO, ERR_STORE_FULL; then nothing is left under @name
 */
int held_write(int dir_fd, const char *name, const char *path, const struct held *held,
               struct error *err);

/** held_digest() - kind and content */
void held_digest(const struct held *held, uint8_t ret[SHA256_SIZE]);

/** held_same() - kind and content, and of a file owner, group and mode */
bool held_same(const struct held *a, const struct held *b);
