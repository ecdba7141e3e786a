/*
 * Files that matter: read with checks on who could have written them, replaced atomically and durably.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "bytes.h"
#include "error.h"

/** fd_close() - close @fd unless it is negative. Return: -1, always */
int fd_close(int fd);
static inline void fd_close_at_exit(int *fd) {
        *fd = fd_close(*fd);
}

/** CAD_TAKE_FD() - hand a descriptor on and leave -1 behind */
/* clang-format off */
#define CAD_TAKE_FD(fd) ({ int taken_ = (fd); (fd) = -1; taken_; })
/* clang-format on */

enum file_trust {
        FILE_PUBLIC, /* a regular file, not writable by others */
        /* the same whoever owns it: for what root reads in the folders of others, and what proves
           itself by a signature */
        FILE_ANY_OWNER,
        FILE_SECRET, /* and not readable by group or others, owned by us or root */
};

/**
 * file_read() - read a whole regular file
 * @dir_fd:    folder that @path is relative to, or AT_FDCWD
 * @trust:     what is demanded of the file
 * @max_bytes: a longer file is refused
 * @ret:       the content is appended; a secret wants CAD_AUTO(buffer_wipe)
 * @err:       ERR_FILE_UNSAFE (a symlink, FIFO, device, folder, hard link of another's, wrong owner or mode; the
 *             text names the path and the mend), ERR_NOT_FOUND, ERR_IO
 */
int file_read(int dir_fd, const char *path, enum file_trust trust, size_t max_bytes,
              struct buffer *ret, struct error *err);

/**
 * file_replace() - write @content beside @path, fsync, rename over it, fsync the folder
 *
 * Killed or cut off at any moment, the old or the new content is there, whole.
 * @mode: permission bits of the new file
 * @err:  ERR_IO, ERR_STORE_FULL; the temporary file is removed
 */
int file_replace(int dir_fd, const char *path, struct bytes content, mode_t mode,
                 struct error *err);

/** fd_write_all() - write everything, through EINTR and short writes. Return: 0, or -1 with errno */
int fd_write_all(int fd, struct bytes content);

/**
 * folder_open() - open a folder for *at() calls, making it (mode 0700, parents too) where @make
 * @err: ERR_FILE_UNSAFE where it is no folder, a symlink in the last part, or writable by others; ERR_IO, ERR_NOT_FOUND
 * Return: a descriptor, or -1
 */
int folder_open(int dir_fd, const char *path, bool make, struct error *err);

/**
 * folder_make() - make a folder whose name is on disk when it returns; one that is there is fine, and so is one above that may not be read
 * Return: 0, or -1 with errno
 */
int folder_make(int dir_fd, const char *path, mode_t mode);

/** folder_sync() - fsync the folder itself. Return: 0 or -1 */
int folder_sync(int dir_fd, const char *what, struct error *err);

/**
 * lock_take() - take the exclusive lock of a file, made where it is not there; kept until the descriptor is closed
 *
 * The lock is a flock(): a crash leaves nothing stale. The file holds the pid of who has it.
 * @err: ERR_BUSY with the pid of the holder; ERR_IO
 * Return: the descriptor that holds the lock, or -1
 */
int lock_take(int dir_fd, const char *path, struct error *err);
