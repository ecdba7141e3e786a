/*
 * Files of one issuance: written beside their places first, then all put in place, or none.
 */
#pragma once

#include <sys/types.h>

#include "lib/base/bytes.h"
#include "lib/base/error.h"

#define FILE_SET_MAX 4
#define FILE_NAME_MAX 256        /* bytes with NUL of a name in the folder */
#define INPUT_MAX (1024u * 1024) /* bytes of a certificate, CSR or password file that is read */

/** struct staged - one file that is complete and on disk, but not yet there under its name */
struct staged {
        char name[FILE_NAME_MAX];
        char temporary[FILE_NAME_MAX + 16]; /* "": it has no name yet */
        int fd;
        enum {
                STAGED_AWAY,
                STAGED_NEW,
                STAGED_OVER,
                STAGED_EXCHANGED
        } placed; /* see files.c */
};

/** struct file_set - a folder and what is to appear in it; zero-initialised and then opened by file_set_open() */
struct file_set {
        int dir_fd;
        bool open;
        bool replace; /* whether what is there under these names may go */
        struct staged staged[FILE_SET_MAX];
        size_t count;
};

/** file_set_open() - open the folder, made with its parents where it is not there. @err: as folder_open() */
int file_set_open(struct file_set *set, const char *folder, bool replace, struct error *err);

/** file_set_done() - close, and remove what was staged and not put in place */
void file_set_done(struct file_set *set);
CAD_CLEANUP_DONE(struct file_set, file_set_done)

/**
 * file_set_check() - refuse a name that is taken, before anything is asked of the CA
 * @err: ERR_STATE_CONFLICT where it is there and @set may not replace, or where it is no regular file
 */
int file_set_check(const struct file_set *set, const char *name, struct error *err);

/** file_set_stage() - write a file and sync it; it is not there under @name yet. @err: ERR_IO, ERR_STORE_FULL */
int file_set_stage(struct file_set *set, const char *name, struct bytes content, mode_t mode,
                   struct error *err);

/**
 * file_set_commit() - put all in place and sync the folder
 *
 * Without @replace nothing that appeared meanwhile is overwritten, and a failure leaves none of them. With it a failure leaves what was
 * there before, all of it.
 * @err: ERR_STATE_CONFLICT, ERR_IO
 */
int file_set_commit(struct file_set *set, struct error *err);

/** file_set_same() - whether @name is there with just this content */
bool file_set_same(const struct file_set *set, const char *name, struct bytes content);

/**
 * descriptor_read() - all that comes out of @fd, up to its end
 * @what: what it is called in an error
 * @max_bytes: more is an error
 * @ret: appended
 * @err: ERR_BODY_TOO_LARGE, ERR_IO, ERR_NO_MEMORY
 */
int descriptor_read(int fd, const char *what, size_t max_bytes, struct buffer *ret,
                    struct error *err);

/** input_read() - a file that the user names, or standard input for "-"; at most INPUT_MAX bytes. @ret: appended */
int input_read(const char *path, struct buffer *ret, struct error *err);

/** output_write() - a file that the user names: replaced as a whole, mode 0644 */
int output_write(const char *path, struct bytes content, struct error *err);
