/*
 * One path. Everything goes through a descriptor of its folder and the last part of its name, so that a link that somebody puts there
 * meanwhile leads nowhere. Nothing here replaces anything.
 */
#include "held.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/text.h"
#include "way.h"

#define LABEL_LIST_MAX 65536 /* bytes; XATTR_LIST_MAX of Linux */
#define SELINUX "security.selinux"

void held_done(struct held *held) {
        buffer_wipe(&held->content);
        for (size_t i = 0; i < held->label_count; i++)
                buffer_done(&held->labels[i].value);
        free(held->labels);
        *held = (struct held){ 0 };
}

/* ---- folders ---- */

int held_folder(const char *path, bool make, const char **ret_base, struct error *err) {
        const char *slash = strrchr(path, '/');
        CAD_AUTO(free_text) char *folder = NULL;

        if (!slash || !slash[1])
                return error_set(err, ERR_FILE_UNSAFE, "%s is no absolute path of a file", path);
        folder = slash == path ? strdup("/") : strndup(path, (size_t) (slash - path));
        if (!folder)
                return error_no_memory(err);
        *ret_base = slash + 1;
        return way_open(folder, make, err);
}

/* ---- labels ---- */

/* What belongs to the content (IMA, EVM) or to a program (capabilities) must not be carried to another content. */
static bool is_carried(const char *name) {
        static const char *const left[] = { "security.ima", "security.evm", "security.capability" };

        for (size_t i = 0; i < ARRAY_SIZE(left); i++)
                if (text_equal(name, left[i]))
                        return false;
        return true;
}

static int read_label(int fd, const char *name, struct held *held) {
        struct label *label = &held->labels[held->label_count];
        uint8_t value[LABEL_VALUE_MAX];
        ssize_t size = fgetxattr(fd, name, value, sizeof(value));

        if (size < 0 || strlen(name) >= sizeof(label->name))
                return 0; /* gone meanwhile, or none of ours to read */
        memcpy(label->name, name, strlen(name) + 1);
        buffer_append(&label->value, BYTES(value, (size_t) size));
        held->label_count++;
        return label->value.failed ? -1 : 0;
}

static int read_labels(int fd, struct held *held) {
        CAD_AUTO(free_text) char *list = malloc(LABEL_LIST_MAX);
        ssize_t size = list ? flistxattr(fd, list, LABEL_LIST_MAX) : -1;

        if (size <= 0)
                return 0; /* a file system without them */
        held->labels = calloc(LABELS_MAX, sizeof(*held->labels));
        if (!held->labels)
                return -1;
        for (const char *name = list; name < list + size && held->label_count < LABELS_MAX;
             name += strlen(name) + 1)
                if (is_carried(name) && read_label(fd, name, held) < 0)
                        return -1;
        return 0;
}

static int write_labels(int fd, const char *path, const struct held *held, struct error *err) {
        for (size_t i = 0; i < held->label_count; i++) {
                const struct label *label = &held->labels[i];
                char there[LABEL_VALUE_MAX];
                ssize_t size;

                if (fsetxattr(fd, label->name, label->value.data, label->value.size, 0) == 0 ||
                    !text_equal(label->name, SELINUX))
                        continue;
                size = fgetxattr(fd, label->name, there, sizeof(there));
                if (size >= 0 &&
                    bytes_equal(BYTES(there, (size_t) size), buffer_bytes(&label->value)))
                        continue;
                return error_errno(err, errno, "cannot give %s its SELinux label again", path);
        }
        return 0;
}

/* ---- reading ---- */

static int read_content(int fd, size_t size, const char *path, struct held *ret,
                        struct error *err) {
        uint8_t *at = buffer_reserve(&ret->content, size ? size : 1);

        if (!at)
                return error_no_memory(err);
        while (ret->content.size < size) {
                ssize_t n = read(fd, at + ret->content.size, size - ret->content.size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_errno(err, errno, "cannot read %s", path);
                if (n == 0)
                        break;
                ret->content.size += (size_t) n;
        }
        return 0;
}

static int read_link(int dir_fd, const char *name, const char *path, struct held *ret,
                     struct error *err) {
        char text[PATH_MAX];
        ssize_t n = readlinkat(dir_fd, name, text, sizeof(text));

        if (n < 0 || (size_t) n == sizeof(text))
                return error_errno(err, n < 0 ? errno : ENAMETOOLONG, "cannot read the link %s",
                                   path);
        ret->kind = HELD_LINK;
        buffer_append(&ret->content, BYTES(text, (size_t) n));
        return ret->content.failed ? error_no_memory(err) : 0;
}

static int check_file(const struct stat *st, const char *path, struct error *err) {
        if (!S_ISREG(st->st_mode))
                return error_set(err, ERR_FILE_UNSAFE,
                                 "%s is not a regular file: nothing is put in its place", path);
        if (st->st_nlink > 1)
                return error_set(
                        err, ERR_FILE_UNSAFE,
                        "%s has %lu hard links: under its other names the old content would stay. Make it a file of its own first",
                        path, (unsigned long) st->st_nlink);
        if (st->st_size > HELD_FILE_MAX)
                return error_set(err, ERR_FILE_UNSAFE, "%s has %lld bytes: that is no certificate",
                                 path, (long long) st->st_size);
        return 0;
}

static void take_attributes(const struct stat *st, struct held *ret) {
        ret->uid = st->st_uid;
        ret->gid = st->st_gid;
        ret->mode = st->st_mode & 07777u;
}

int held_read(int dir_fd, const char *name, const char *path, struct held *ret, struct error *err) {
        CAD_AUTO(fd_close)
        int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        struct stat st;

        if (fd < 0 && errno == ENOENT)
                return 0;
        if (fd < 0 && errno == ELOOP)
                return read_link(dir_fd, name, path, ret, err);
        if (fd < 0 && errno == ENXIO)
                return error_set(err, ERR_FILE_UNSAFE,
                                 "%s is a socket: nothing is put in its place", path);
        if (fd < 0 || fstat(fd, &st) < 0)
                return error_errno(err, errno, "cannot open %s", path);
        if (check_file(&st, path, err) < 0 ||
            read_content(fd, (size_t) st.st_size, path, ret, err) < 0)
                return -1;
        ret->kind = HELD_FILE;
        take_attributes(&st, ret);
        return read_labels(fd, ret) < 0 ? error_no_memory(err) : 0;
}

static bool copy_labels(const struct held *from, struct held *ret) {
        if (from->label_count == 0)
                return true;
        ret->labels = calloc(LABELS_MAX, sizeof(*ret->labels));
        if (!ret->labels)
                return false;
        for (size_t i = 0; i < from->label_count; i++) {
                memcpy(ret->labels[i].name, from->labels[i].name, LABEL_NAME_MAX);
                buffer_append(&ret->labels[i].value, buffer_bytes(&from->labels[i].value));
                ret->label_count++;
        }
        return true;
}

/*
 * What stands at the end of a link tells who may read here. But the link may be of somebody who wants a key to be read by all:
 * of that file only owner and group are taken, and a mode without others.
 */
bool held_like(int dir_fd, const char *name, const struct held *there, struct held *ret) {
        struct stat st;

        if (there->kind == HELD_FILE) {
                ret->uid = there->uid;
                ret->gid = there->gid;
                ret->mode = there->mode;
                return copy_labels(there, ret);
        }
        if (there->kind != HELD_LINK || fstatat(dir_fd, name, &st, 0) < 0 || !S_ISREG(st.st_mode))
                return false;
        take_attributes(&st, ret);
        ret->mode &= 0660u;
        return true;
}

/* ---- writing ---- */

static int write_link(int dir_fd, const char *name, const char *path, const struct held *held,
                      struct error *err) {
        struct buffer text = held->content;

        return symlinkat(buffer_string(&text), dir_fd, name) < 0
                ? error_errno(err, errno, "cannot make the link %s", path)
                : 0;
}

/* Closed to others until it has its owner: its first octet is already a secret. */
static int fill_file(int fd, const char *path, const struct held *held, struct error *err) {
        if (fchown(fd, held->uid, held->gid) < 0)
                return error_errno(err, errno, "cannot give %s to its owner (uid %u, gid %u)", path,
                                   (unsigned) held->uid, (unsigned) held->gid);
        if (fchmod(fd, held->mode) < 0 || write_labels(fd, path, held, err) < 0)
                return err && err->code
                        ? -1
                        : error_errno(err, errno, "cannot set the mode of %s", path);
        /* an ACL that was among the labels has said the mode anew, by the same rules */
        if (fd_write_all(fd, buffer_bytes(&held->content)) < 0 || fsync(fd) < 0)
                return error_errno(err, errno, "cannot write %s", path);
        return 0;
}

int held_write(int dir_fd, const char *name, const char *path, const struct held *held,
               struct error *err) {
        CAD_AUTO(fd_close) int fd = -1;

        if (held->kind == HELD_NOTHING)
                return 0;
        if (held->kind == HELD_LINK)
                return write_link(dir_fd, name, path, held, err);
        fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return error_errno(err, errno, "cannot write beside %s", path);
        if (fill_file(fd, path, held, err) == 0)
                return 0;
        (void) unlinkat(dir_fd, name, 0);
        return -1;
}

void held_digest(const struct held *held, uint8_t ret[SHA256_SIZE]) {
        CAD_AUTO(buffer_wipe) struct buffer all = { 0 };
        const char kind = (char) ('0' + held->kind);

        (void) buffer_reserve(&all, held->content.size + 1);
        buffer_append(&all, BYTES(&kind, 1));
        buffer_append(&all, buffer_bytes(&held->content));
        sha256(buffer_bytes(&all), ret);
}

bool held_same(const struct held *a, const struct held *b) {
        return a->kind == b->kind &&
                bytes_equal(buffer_bytes(&a->content), buffer_bytes(&b->content)) &&
                (a->kind != HELD_FILE ||
                 (a->uid == b->uid && a->gid == b->gid && a->mode == b->mode));
}
