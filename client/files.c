/*
 * Files that cactl writes and reads. It must never leave a key without its certificate, or half of either,
 * and never write a key through a link that somebody else has put there.
 */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/text.h"

int file_set_open(struct file_set *set, const char *folder, bool replace, struct error *err) {
        /* folder_open() wants no link in the last part; a user's own link to a folder is fine */
        CAD_AUTO(free_text) char *real = realpath(folder, /* resolved= */ NULL);

        set->dir_fd = folder_open(AT_FDCWD, real ? real : folder, /* make= */ true, err);
        if (set->dir_fd < 0)
                return -1;
        set->open = true;
        set->replace = replace;
        return 0;
}

static void staged_done(const struct file_set *set, struct staged *s) {
        if (s->temporary[0])
                (void) unlinkat(set->dir_fd, s->temporary, 0);
        s->temporary[0] = '\0';
        s->fd = fd_close(s->fd);
}

void file_set_done(struct file_set *set) {
        if (!set->open)
                return;
        for (size_t i = 0; i < set->count; i++)
                staged_done(set, &set->staged[i]);
        (void) fd_close(set->dir_fd);
        *set = (struct file_set){ 0 };
}

int file_set_check(const struct file_set *set, const char *name, struct error *err) {
        struct stat st;

        if (fstatat(set->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : error_errno(err, errno, "cannot look at %s", name);
        if (!S_ISREG(st.st_mode))
                return error_set(
                        err, ERR_STATE_CONFLICT,
                        "%s is there and is no regular file: choose another name with --name",
                        name);
        if (!set->replace)
                return error_set(
                        err, ERR_STATE_CONFLICT,
                        "%s is there already: --force replaces it, --name or --out puts the new one elsewhere",
                        name);
        return 0;
}

/* A file without a name: nothing is left of it if we are killed. Return: a descriptor, or -1 where that cannot be had. */
static int open_nameless(int dir_fd, mode_t mode) {
        if (access("/proc/self/fd", X_OK) < 0)
                return -1;
        return openat(dir_fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, mode);
}

static int random_name(const char *name, char *ret, size_t size) {
        uint8_t octets[4];
        char hex[2 * sizeof(octets) + 1];

        if (getrandom(octets, sizeof(octets), 0) != (ssize_t) sizeof(octets))
                return -1;
        return snprintf(ret, size, ".%s.%s", name, hex_encode(BYTES(octets, sizeof(octets)), hex)) <
                        (int) size
                ? 0
                : -1;
}

static int open_named(int dir_fd, struct staged *s, mode_t mode) {
        char temporary[sizeof(s->temporary)];
        int fd;

        if (random_name(s->name, temporary, sizeof(temporary)) < 0)
                return -1;
        fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
        if (fd >= 0)
                memcpy(s->temporary, temporary, sizeof(temporary));
        return fd;
}

int file_set_stage(struct file_set *set, const char *name, struct bytes content, mode_t mode,
                   struct error *err) {
        struct staged *s = &set->staged[set->count];

        if (set->count == FILE_SET_MAX || strlen(name) >= sizeof(s->name))
                return error_set(err, ERR_INTERNAL, "no room for the file %s", name);
        *s = (struct staged){ .fd = -1 };
        memcpy(s->name, name, strlen(name) + 1);
        s->fd = open_nameless(set->dir_fd, mode);
        if (s->fd < 0)
                s->fd = open_named(set->dir_fd, s, mode);
        if (s->fd < 0)
                return error_errno(err, errno, "cannot create %s", name);
        set->count++;
        if (fchmod(s->fd, mode) < 0 || fd_write_all(s->fd, content) < 0 || fsync(s->fd) < 0)
                return error_errno(err, errno, "cannot write %s", name);
        return 0;
}

/* Give the nameless file a name of its own: link() cannot replace. */
static int name_it(const struct file_set *set, const struct staged *s, const char *name) {
        char self[32];

        (void) snprintf(self, sizeof(self), "/proc/self/fd/%d", s->fd);
        return linkat(AT_FDCWD, self, set->dir_fd, name, AT_SYMLINK_FOLLOW);
}

/* A name beside the one that is to be replaced. */
static int name_beside(const struct file_set *set, struct staged *s) {
        char temporary[sizeof(s->temporary)];

        if (s->temporary[0])
                return 0;
        if (random_name(s->name, temporary, sizeof(temporary)) < 0 ||
            name_it(set, s, temporary) < 0)
                return -1;
        memcpy(s->temporary, temporary, sizeof(temporary));
        return 0;
}

/* Before the first is replaced: a new name may need room that a full disk has not, and then all is as it was. */
static int name_all(struct file_set *set, struct error *err) {
        for (size_t i = 0; i < set->count; i++)
                if (name_beside(set, &set->staged[i]) < 0)
                        return error_errno(err, errno, "cannot put %s in place",
                                           set->staged[i].name);
        return 0;
}

/*
 * STAGED_EXCHANGED: what was there before has the temporary name until all are in place, and goes with it. STAGED_OVER: on a file system
 * that cannot do that it is gone.
 */
static int place_replacing(const struct file_set *set, struct staged *s) {
        int fd = set->dir_fd;

        if (renameat2(fd, s->temporary, fd, s->name, RENAME_EXCHANGE) == 0) {
                s->placed = STAGED_EXCHANGED;
                return 0;
        }
        if (errno != ENOENT && errno != EINVAL && errno != ENOSYS)
                return -1;
        s->placed = errno == ENOENT ? STAGED_NEW : STAGED_OVER;
        if (renameat(fd, s->temporary, fd, s->name) == 0)
                return 0;
        s->placed = STAGED_AWAY;
        return -1;
}

static int place_new(const struct file_set *set, const struct staged *s) {
        struct stat st;

        if (!s->temporary[0])
                return name_it(set, s, s->name);
        if (renameat2(set->dir_fd, s->temporary, set->dir_fd, s->name, RENAME_NOREPLACE) == 0)
                return 0;
        if (errno != EINVAL && errno != ENOSYS)
                return -1;
        /* a file system without that */
        if (fstatat(set->dir_fd, s->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
                errno = EEXIST;
                return -1;
        }
        return renameat(set->dir_fd, s->temporary, set->dir_fd, s->name);
}

static int place(const struct file_set *set, struct staged *s, struct error *err) {
        if ((set->replace ? place_replacing(set, s) : place_new(set, s)) < 0) {
                if (errno == EEXIST)
                        return error_set(err, ERR_STATE_CONFLICT,
                                         "%s has appeared meanwhile and is left as it is", s->name);
                return error_errno(err, errno, "cannot put %s in place", s->name);
        }
        if (!set->replace)
                s->placed = STAGED_NEW;
        if (s->placed != STAGED_EXCHANGED)
                s->temporary[0] = '\0';
        return 0;
}

/* As it was, as far as that can be had. */
static void undo(struct file_set *set) {
        int fd = set->dir_fd;

        for (size_t i = set->count; i-- > 0;) {
                struct staged *s = &set->staged[i];

                if (s->placed == STAGED_NEW)
                        (void) unlinkat(fd, s->name, 0);
                else if (s->placed == STAGED_EXCHANGED)
                        (void) renameat2(fd, s->temporary, fd, s->name, RENAME_EXCHANGE);
                s->placed = STAGED_AWAY;
        }
}

int file_set_commit(struct file_set *set, struct error *err) {
        int rc = set->replace ? name_all(set, err) : 0;

        for (size_t i = 0; rc == 0 && i < set->count; i++)
                rc = place(set, &set->staged[i], err);
        if (rc == 0)
                rc = folder_sync(set->dir_fd, set->count ? set->staged[0].name : ".", err);
        if (rc < 0)
                undo(set);
        return rc;
}

bool file_set_same(const struct file_set *set, const char *name, struct bytes content) {
        CAD_AUTO(buffer_done) struct buffer there = { 0 };
        struct error ignored = { 0 };

        return file_read(set->dir_fd, name, FILE_PUBLIC, INPUT_MAX, &there, &ignored) == 0 &&
                bytes_equal(buffer_bytes(&there), content);
}

int descriptor_read(int fd, const char *what, size_t max_bytes, struct buffer *ret,
                    struct error *err) {
        size_t start = ret->size;

        for (;;) {
                uint8_t *at = buffer_reserve(ret, 64u * 1024);
                ssize_t n;

                if (!at)
                        return error_no_memory(err);
                n = read(fd, at, 64u * 1024);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_errno(err, errno, "cannot read %s", what);
                if (n == 0)
                        return 0;
                ret->size += (size_t) n;
                if (ret->size - start > max_bytes)
                        return error_set(err, ERR_BODY_TOO_LARGE,
                                         "%s is longer than the %zu bytes that are read", what,
                                         max_bytes);
        }
}

static int read_input(int fd, const char *what, struct buffer *ret, struct error *err) {
        int rc = descriptor_read(fd, what, INPUT_MAX, ret, err);

        return rc < 0 && err->code == ERR_BODY_TOO_LARGE
                ? error_set(err, ERR_BODY_TOO_LARGE,
                            "%s is longer than 1 MiB: that is no certificate or request", what)
                : rc;
}

int input_read(const char *path, struct buffer *ret, struct error *err) {
        CAD_AUTO(fd_close) int fd = -1;

        if (text_equal(path, "-"))
                return read_input(STDIN_FILENO, "standard input", ret, err);
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return error_errno(err, errno, "cannot open %s", path);
        return read_input(fd, path, ret, err);
}

/* /dev/stdout, a FIFO: written to, for it cannot be replaced (and must not be, as root). */
static int write_through(const char *path, struct bytes content, struct error *err) {
        CAD_AUTO(fd_close) int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);

        if (fd < 0)
                return error_errno(err, errno, "cannot open %s", path);
        return fd_write_all(fd, content) < 0 ? error_errno(err, errno, "cannot write %s", path) : 0;
}

int output_write(const char *path, struct bytes content, struct error *err) {
        CAD_AUTO(free_text) char *real = realpath(path, /* resolved= */ NULL);
        struct stat st;

        if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
                return write_through(path, content, err);
        return file_replace(AT_FDCWD, real ? real : path, content, 0644, err);
}
