/*
 * Files: checked reads, atomic replacement, locks. Nothing here follows a symbolic link in the last part of a path.
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int fd_close(int fd) {
        if (fd >= 0)
                (void) close(fd);
        return -1;
}

static int check_regular(const struct stat *st, const char *path, enum file_trust trust,
                         struct error *err) {
        if (!S_ISREG(st->st_mode))
                return error_set(err, ERR_FILE_UNSAFE, "%s is not a regular file", path);
        if (st->st_mode & S_IWOTH)
                return error_set(err, ERR_FILE_UNSAFE, "%s is writable by everybody: chmod o-w %s",
                                 path, path);
        if (trust != FILE_ANY_OWNER && st->st_uid != geteuid() && st->st_uid != 0)
                return error_set(err, ERR_FILE_UNSAFE,
                                 "%s belongs to uid %u, neither to this user (%u) nor to root",
                                 path, (unsigned) st->st_uid, (unsigned) geteuid());
        return 0;
}

static int check_secret(const struct stat *st, const char *path, struct error *err) {
        if (st->st_mode & (S_IRWXG | S_IRWXO))
                return error_set(
                        err, ERR_FILE_UNSAFE,
                        "%s holds a secret and others may use it (mode %04o): chmod 600 %s", path,
                        (unsigned) st->st_mode & 07777u, path);
        if (st->st_nlink > 1)
                return error_set(err, ERR_FILE_UNSAFE,
                                 "%s holds a secret and has %lu hard links: there may be only one",
                                 path, (unsigned long) st->st_nlink);
        return 0;
}

static int open_checked(int dir_fd, const char *path, enum file_trust trust, size_t max_bytes,
                        size_t *ret_size, struct error *err) {
        CAD_AUTO(fd_close)
        int fd = openat(dir_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        struct stat st;

        if (fd < 0 && errno == ENOENT)
                return error_set(err, ERR_NOT_FOUND, "%s is not there", path);
        if (fd < 0 && errno == ELOOP)
                return error_set(err, ERR_FILE_UNSAFE,
                                 "%s is a symbolic link: give the file itself", path);
        if (fd < 0 && errno == ENXIO) /* a socket */
                return error_set(err, ERR_FILE_UNSAFE, "%s is not a regular file", path);
        if (fd < 0)
                return error_errno(err, errno, "cannot open %s", path);
        if (fstat(fd, &st) < 0)
                return error_errno(err, errno, "cannot look at %s", path);
        if (check_regular(&st, path, trust, err) < 0 ||
            (trust == FILE_SECRET && check_secret(&st, path, err) < 0))
                return -1;
        if (st.st_size < 0 || (size_t) st.st_size > max_bytes)
                return error_set(err, ERR_FILE_UNSAFE,
                                 "%s has %lld bytes, more than the %zu allowed", path,
                                 (long long) st.st_size, max_bytes);
        *ret_size = (size_t) st.st_size;
        return CAD_TAKE_FD(fd);
}

int file_read(int dir_fd, const char *path, enum file_trust trust, size_t max_bytes,
              struct buffer *ret, struct error *err) {
        size_t size = 0;
        CAD_AUTO(fd_close) int fd = open_checked(dir_fd, path, trust, max_bytes, &size, err);
        size_t done = 0;
        uint8_t *at;

        if (fd < 0)
                return -1;
        at = buffer_reserve(ret, size);
        if (!at)
                return error_no_memory(err);
        while (done < size) {
                ssize_t n = read(fd, at + done, size - done);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_errno(err, errno, "cannot read %s", path);
                if (n == 0)
                        break;
                done += (size_t) n;
        }
        ret->size += done;
        return 0;
}

int fd_write_all(int fd, struct bytes content) {
        while (content.size) {
                ssize_t n = write(fd, content.data, content.size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -1;
                content.data += n;
                content.size -= (size_t) n;
        }
        return 0;
}

static int write_and_sync(int dir_fd, const char *path, struct bytes content, mode_t mode,
                          struct error *err) {
        CAD_AUTO(fd_close) int fd = -1;

        (void) unlinkat(dir_fd, path, 0); /* left by one who was killed here */
        fd = openat(dir_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
        if (fd < 0)
                return error_errno(err, errno, "cannot create %s", path);
        if (fchmod(fd, mode) < 0 || fd_write_all(fd, content) < 0 || fsync(fd) < 0)
                return error_errno(err, errno, "cannot write %s", path);
        return 0;
}

/* The folder that holds @path, opened for fsync. */
static int parent_open(int dir_fd, const char *path) {
        CAD_AUTO(free_text) char *folder = strdup(path);
        char *slash = folder ? strrchr(folder, '/') : NULL;

        if (!folder)
                return -1;
        if (slash)
                slash[slash == folder ? 1 : 0] = '\0';
        return openat(dir_fd, slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int file_replace(int dir_fd, const char *path, struct bytes content, mode_t mode,
                 struct error *err) {
        CAD_AUTO(buffer_done) struct buffer temporary = { 0 };
        CAD_AUTO(fd_close) int parent = -1;

        buffer_format(&temporary, "%s.tmp", path);
        if (temporary.failed)
                return error_no_memory(err);
        if (write_and_sync(dir_fd, buffer_string(&temporary), content, mode, err) < 0) {
                (void) unlinkat(dir_fd, buffer_string(&temporary), 0);
                return -1;
        }
        if (renameat(dir_fd, buffer_string(&temporary), dir_fd, path) < 0) {
                (void) error_errno(err, errno, "cannot put %s in place", path);
                (void) unlinkat(dir_fd, buffer_string(&temporary), 0);
                return -1;
        }
        parent = parent_open(dir_fd, path);
        if (parent < 0)
                return error_errno(err, errno, "cannot open the folder of %s", path);
        return folder_sync(parent, path, err);
}

int folder_make(int dir_fd, const char *path, mode_t mode) {
        CAD_AUTO(fd_close) int parent = -1;

        if (mkdirat(dir_fd, path, mode) < 0)
                return errno == EEXIST ? 0 : -1;
        parent = parent_open(dir_fd, path);
        return parent < 0 || fsync(parent) == 0 || errno == EINVAL ? 0 : -1;
}

static int make_parents(int dir_fd, const char *path, struct error *err) {
        CAD_AUTO(free_text) char *part = strdup(path);

        if (!part)
                return error_no_memory(err);
        for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                if (folder_make(dir_fd, part, 0700) < 0)
                        return error_errno(err, errno, "cannot make the folder %s", part);
                *slash = '/';
        }
        if (folder_make(dir_fd, path, 0700) < 0)
                return error_errno(err, errno, "cannot make the folder %s", path);
        return 0;
}

int folder_open(int dir_fd, const char *path, bool make, struct error *err) {
        CAD_AUTO(fd_close) int fd = -1;
        struct stat st;

        if (make && make_parents(dir_fd, path, err) < 0)
                return -1;
        fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
                return error_set(err, ERR_NOT_FOUND, "the folder %s is not there", path);
        if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
                return error_set(
                        err, ERR_FILE_UNSAFE,
                        "%s is not a folder (or is a symbolic link): give the folder itself", path);
        if (fd < 0 || fstat(fd, &st) < 0)
                return error_errno(err, errno, "cannot open the folder %s", path);
        if ((st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX))
                return error_set(err, ERR_FILE_UNSAFE,
                                 "the folder %s is writable by everybody: chmod o-w %s", path,
                                 path);
        return CAD_TAKE_FD(fd);
}

int folder_sync(int dir_fd, const char *what, struct error *err) {
        if (fsync(dir_fd) < 0)
                return error_errno(err, errno, "cannot sync the folder of %s", what);
        return 0;
}

int lock_take(int dir_fd, const char *path, struct error *err) {
        CAD_AUTO(fd_close)
        int fd = openat(dir_fd, path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        char pid[24] = "";

        if (fd < 0)
                return error_errno(err, errno, "cannot open the lock file '%s'", path);
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                ssize_t n;

                if (errno != EWOULDBLOCK)
                        return error_errno(err, errno, "cannot lock the file '%s'", path);
                n = pread(fd, pid, sizeof(pid) - 1, 0);
                pid[n > 0 ? n : 0] = '\0';
                pid[strcspn(pid, "\n")] = '\0';
                return error_set(err, ERR_BUSY,
                                 "already in use by process %s (it has locked the file '%s')",
                                 pid[0] ? pid : "?", path);
        }
        (void) snprintf(pid, sizeof(pid), "%ld\n", (long) getpid());
        if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, strlen(pid), 0) < 0)
                return error_errno(err, errno, "cannot write the lock file '%s'", path);
        return CAD_TAKE_FD(fd);
}
