/*
 * Files of enrolled certificates: see kept.h.
 */
#include "client/enroll/kept.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/settings.h"
#include "lib/base/text.h"

#define PATH_SIZE (KEPT_NAME_MAX + 64)
#define SETTING_LINE_MAX 190 /* bytes; settings_read() takes 198 */

/* In this order they are written; enrolled.conf last. */
static const struct {
        const char *name;
        size_t offset; /* in struct kept_set */
        mode_t mode;   /* of a new one */
        mode_t most;   /* what the admin may have made of it */
} set_files[] = {
        { "key.pem", offsetof(struct kept_set, key), 0600, 0640 },
        { "cert.pem", offsetof(struct kept_set, cert), 0644, 0664 },
        { "chain.pem", offsetof(struct kept_set, chain), 0644, 0664 },
        { "fullchain.pem", offsetof(struct kept_set, fullchain), 0644, 0664 },
        { "root.pem", offsetof(struct kept_set, root), 0644, 0664 },
        { "enrolled.conf", offsetof(struct kept_set, conf), 0644, 0664 },
};

static const char *beside(char out[PATH_SIZE], const char *name, const char *what) {
        (void) snprintf(out, PATH_SIZE, ".%s.%s", name, what);
        return out;
}

/* ---- the texts ---- */

void enrolment_done(struct enrolment *e) {
        char *const texts[] = { e->url, e->profile, e->validity, e->label,
                                e->key, e->serial,  e->request };

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                free(texts[i]);
        san_list_done(&e->names);
        *e = (struct enrolment){ .url = NULL };
}

/* A name a line: nothing splits one. */
static int set_names(void *target, const char *value, size_t offset, struct error *err) {
        struct enrolment *e = target;

        (void) offset;
        return san_list_add_text(&e->names, value, err);
}

static const struct setting settings[] = {
        { "Enrolment", "Url", SETTING_TO(setting_set_text, struct enrolment, url) },
        { "Enrolment", "Profile", SETTING_TO(setting_set_text, struct enrolment, profile) },
        { "Enrolment", "Names", SETTING_TO(set_names, struct enrolment, names) },
        { "Enrolment", "Validity", SETTING_TO(setting_set_text, struct enrolment, validity) },
        { "Enrolment", "Label", SETTING_TO(setting_set_text, struct enrolment, label) },
        { "Enrolment", "Key", SETTING_TO(setting_set_text, struct enrolment, key) },
        { "Enrolment", "Serial", SETTING_TO(setting_set_text, struct enrolment, serial) },
        { "Enrolment", "Request", SETTING_TO(setting_set_text, struct enrolment, request) },
        { "Enrolment", "RekeyAtRenewal",
          SETTING_TO(setting_set_bool, struct enrolment, rekey_at_renewal) },
        { 0 },
};

static bool is_one_line(const char *value) {
        for (; *value; value++)
                if (iscntrl((unsigned char) *value))
                        return false;
        return true;
}

/* What a line of settings cannot hold is left out: names are read from the certificate. */
static void write_line(struct buffer *out, const char *key, const char *value) {
        if (value && strlen(key) + strlen(value) < SETTING_LINE_MAX && is_one_line(value))
                buffer_format(out, "%s=%s\n", key, value);
}

void enrolment_write(const struct enrolment *e, struct buffer *out) {
        char text[SAN_TEXT_MAX];

        buffer_text(out, "# Written by cactl. Url= and RekeyAtRenewal= may be changed by hand.\n");
        buffer_text(out, "[Enrolment]\n");
        write_line(out, "Url", e->url);
        write_line(out, "Profile", e->profile);
        for (size_t i = 0; i < e->names.count; i++)
                write_line(out, "Names", san_text(&e->names.items[i], text, sizeof(text)));
        write_line(out, "Validity", e->validity);
        write_line(out, "Label", e->label);
        write_line(out, "Key", e->key);
        write_line(out, "Serial", e->serial);
        write_line(out, "Request", e->request);
        write_line(out, "RekeyAtRenewal", e->rekey_at_renewal ? "yes" : "no");
}

int enrolment_read(int dir_fd, const char *path, struct enrolment *ret, struct error *err) {
        CAD_AUTO(enrolment_done) struct enrolment e = { .url = NULL };

        if (settings_read(dir_fd, path, settings, &e, err) < 0)
                return -1;
        if (!e.url)
                return error_set(err, ERR_CONFIG, "%s: Url= has to be in it", path);
        *ret = e;
        e = (struct enrolment){ .url = NULL };
        return 0;
}

int enrolment_copy(const struct enrolment *from, struct enrolment *ret, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };

        enrolment_write(from, &text);
        if (text.failed)
                return error_no_memory(err);
        return settings_parse(buffer_bytes(&text), "enrolment", settings, ret, err);
}

/* ---- names of folders ---- */

/* mkcert's rules, and none that would leave the folder or hide in it. */
void kept_name(const char *name, char *out) {
        size_t used = 0;

        for (; *name && used + sizeof("_wildcard") < KEPT_NAME_MAX - 1; name++) {
                const char *put = *name == '*' ? "_wildcard" : *name == '@' ? "_at_" : NULL;
                bool plain = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
                        (*name >= '0' && *name <= '9') || strchr("-_+.", *name);

                if (put) {
                        memcpy(out + used, put, strlen(put));
                        used += strlen(put);
                } else {
                        bool hidden = used == 0 && (*name == '.' || *name == '-');

                        out[used] = plain && !hidden ? *name : '_';
                        used++;
                }
        }
        out[used] = '\0';
}

int kept_name_check(const char *name) {
        size_t size = strlen(name);

        return size == 0 || size >= KEPT_NAME_MAX || *name == '.' || *name == '-' ||
                        strchr(name, '/')
                ? -1
                : 0;
}

int kept_open(const char *conf, bool make, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 };

        buffer_format(&path, "%s/certs", conf);
        if (path.failed)
                return error_no_memory(err);
        if (make) { /* certificates are for everybody, and cactl.conf; folder_open() would shut the door */
                (void) folder_make(AT_FDCWD, conf, 0755);
                (void) folder_make(AT_FDCWD, buffer_string(&path), 0755);
        }
        return folder_open(AT_FDCWD, buffer_string(&path), make, err);
}

int kept_lock(int certs_fd, const char *name, struct error *err) {
        char path[PATH_SIZE];

        return lock_take(certs_fd, beside(path, name, "lock"), err);
}

int kept_folder(int certs_fd, const char *name, struct error *err) {
        return folder_open(certs_fd, name, /* make= */ false, err);
}

/* ---- a folder away ---- */

/* What we have written there, whole or half. */
static bool is_ours(const char *name) {
        static const char *const others[] = { "csr.pem", "pending.conf" };
        size_t size = strlen(name);

        if (text_ends_with(name, ".tmp"))
                size -= strlen(".tmp");
        for (size_t i = 0; i < ARRAY_SIZE(set_files); i++)
                if (strlen(set_files[i].name) == size && memcmp(set_files[i].name, name, size) == 0)
                        return true;
        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                if (strlen(others[i]) == size && memcmp(others[i], name, size) == 0)
                        return true;
        return false;
}

static DIR *dir_close(DIR *dir) {
        if (dir)
                (void) closedir(dir);
        return NULL;
}
CAD_CLEANUP(DIR, dir_close)

/* A stream of its own: where one is, is shared between copies of a descriptor. */
static DIR *dir_open(int dir_fd, const char *name) {
        int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);

        if (!dir && fd >= 0)
                (void) fd_close(fd);
        return dir;
}

static bool is_there(int dir_fd, const char *name) {
        struct stat st;

        return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Return: 0 it is in @to now, or one of its name was there already; -1 with errno */
static int move_to(int from, const char *name, int to) {
        if (renameat2(from, name, to, name, RENAME_NOREPLACE) == 0)
                return 0;
        if (errno == EEXIST)
                return unlinkat(from, name, 0);
        if (errno != EINVAL && errno != ENOSYS)
                return -1;
        /* a file system without that */
        return is_there(to, name) ? unlinkat(from, name, 0) : renameat(from, name, to, name);
}

/* Ours go, what is not ours moves to @heir (a folder beside it; NULL: goes, too). */
static int remove_folder(int certs_fd, const char *folder, const char *heir, struct error *err) {
        CAD_AUTO(dir_close) DIR *dir = dir_open(certs_fd, folder);
        CAD_AUTO(fd_close)
        int to = heir ? openat(certs_fd, heir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                      : -1;
        const struct dirent *entry;

        if (!dir)
                return errno == ENOENT ? 0 : error_errno(err, errno, "cannot look into %s", folder);
        while ((entry = readdir(dir))) {
                const char *name = entry->d_name;

                if (text_equal(name, ".") || text_equal(name, ".."))
                        continue;
                if ((!is_ours(name) && to >= 0 ? move_to(dirfd(dir), name, to)
                                               : unlinkat(dirfd(dir), name, 0)) < 0)
                        return error_errno(err, errno, "cannot remove %s/%s", folder, name);
        }
        if (unlinkat(certs_fd, folder, AT_REMOVEDIR) < 0)
                return error_errno(err, errno, "cannot remove the folder %s", folder);
        return 0;
}

int kept_recover(int certs_fd, const char *name, struct error *err) {
        char second[PATH_SIZE], aside[PATH_SIZE], half[PATH_SIZE];

        (void) beside(second, name, "new");
        (void) beside(aside, name, "old");
        /* between the two steps of a change without RENAME_EXCHANGE: the old one is whole for certain */
        if (!is_there(certs_fd, name) && is_there(certs_fd, aside) &&
            renameat(certs_fd, aside, certs_fd, name) < 0)
                return error_errno(err, errno, "cannot put %s back", name);
        if (remove_folder(certs_fd, second, name, err) < 0 ||
            remove_folder(certs_fd, aside, name, err) < 0)
                return -1;
        (void) unlinkat(certs_fd, beside(half, name, "changed.tmp"), 0);
        (void) snprintf(half, sizeof(half), ".%s.pending/pending.conf", name);
        return is_there(certs_fd, half) ? 0 : kept_pending_drop(certs_fd, name, err);
}

/* ---- a set in its place ---- */

static int open_fresh(int certs_fd, const char *folder, mode_t mode, struct error *err) {
        if (mkdirat(certs_fd, folder, 0700) < 0)
                return error_errno(err, errno, "cannot make the folder %s", folder);
        if (fchmodat(certs_fd, folder, mode, 0) < 0)
                return error_errno(err, errno, "cannot set the mode of %s", folder);
        return folder_open(certs_fd, folder, /* make= */ false, err);
}

static int keep_owner(int from_fd, const char *from, int to_fd, const char *to, mode_t most,
                      struct error *err) {
        struct stat there, fresh;

        if (fstatat(from_fd, from, &there, AT_SYMLINK_NOFOLLOW) < 0 ||
            fstatat(to_fd, to, &fresh, AT_SYMLINK_NOFOLLOW) < 0 ||
            (!S_ISREG(there.st_mode) && !S_ISDIR(there.st_mode)))
                return 0; /* there was none */
        if ((there.st_uid != fresh.st_uid || there.st_gid != fresh.st_gid) &&
            fchownat(to_fd, to, there.st_uid, there.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
                return error_errno(err, errno, "cannot give the new %s to uid %u and gid %u", from,
                                   (unsigned) there.st_uid, (unsigned) there.st_gid);
        if (fchmodat(to_fd, to, there.st_mode & most, 0) < 0)
                return error_errno(err, errno, "cannot set the mode of the new %s", from);
        return 0;
}

static int write_set(int certs_fd, const char *name, int fd, const struct kept_set *set,
                     struct error *err) {
        CAD_AUTO(fd_close) int there = -1;

        for (size_t i = 0; i < ARRAY_SIZE(set_files); i++) {
                const struct bytes *text = (const void *) ((const char *) set +
                                                           set_files[i].offset);

                if (file_replace(fd, set_files[i].name, *text, set_files[i].mode, err) < 0)
                        return -1;
        }
        there = openat(certs_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        for (size_t i = 0; there >= 0 && i < ARRAY_SIZE(set_files); i++)
                if (keep_owner(there, set_files[i].name, fd, set_files[i].name, set_files[i].most,
                               err) < 0)
                        return -1;
        return folder_sync(fd, name, err);
}

/* Not every file system exchanges (NFS, some FUSE): there, a moment without any is mended by kept_recover(). */
static int change_places(int certs_fd, const char *name, const char *second, struct error *err) {
        char aside[PATH_SIZE];

        if (renameat2(certs_fd, second, certs_fd, name, RENAME_EXCHANGE) == 0)
                return 0;
        if (errno != ENOENT && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
                return error_errno(err, errno, "cannot put the new %s in place", name);
        (void) beside(aside, name, "old");
        if (renameat(certs_fd, name, certs_fd, aside) < 0 && errno != ENOENT)
                return error_errno(err, errno, "cannot put the old %s aside", name);
        if (renameat(certs_fd, second, certs_fd, name) < 0) {
                (void) error_errno(err, errno, "cannot put the new %s in place", name);
                (void) renameat(certs_fd, aside, certs_fd, name);
                return -1;
        }
        return 0;
}

int kept_replace(int certs_fd, const char *name, const struct kept_set *set, struct error *err) {
        char second[PATH_SIZE];
        struct error ignored = { 0 };
        CAD_AUTO(fd_close) int fd = -1;

        (void) beside(second, name, "new");
        if (kept_recover(certs_fd, name, err) < 0)
                return -1;
        fd = open_fresh(certs_fd, second, 0755, err);
        if (fd < 0 || write_set(certs_fd, name, fd, set, err) < 0 ||
            keep_owner(certs_fd, name, certs_fd, second, 0775, err) < 0 ||
            change_places(certs_fd, name, second, err) < 0) {
                (void) remove_folder(certs_fd, second, /* heir= */ NULL, &ignored);
                return -1;
        }
        if (folder_sync(certs_fd, name, err) < 0)
                return -1;
        /* the new one counts from here on: what cannot be cleared up now is next time */
        (void) kept_recover(certs_fd, name, &ignored);
        return 0;
}

/* ---- asked for ---- */

void kept_pending_done(struct kept_pending *p) {
        enrolment_done(&p->what);
        buffer_wipe(&p->key);
        buffer_done(&p->csr);
        buffer_done(&p->root);
}

static int read_pending(int fd, struct kept_pending *p, struct error *err) {
        if (fd < 0 || enrolment_read(fd, "pending.conf", &p->what, err) < 0 ||
            file_read(fd, "key.pem", FILE_SECRET, KEPT_FILE_MAX, &p->key, err) < 0 ||
            file_read(fd, "csr.pem", FILE_PUBLIC, KEPT_FILE_MAX, &p->csr, err) < 0)
                return -1;
        return file_read(fd, "root.pem", FILE_PUBLIC, KEPT_FILE_MAX, &p->root, err);
}

int kept_pending_read(int certs_fd, const char *name, struct kept_pending *ret, struct error *err) {
        CAD_AUTO(fd_close) int fd = -1;
        char path[PATH_SIZE];

        fd = folder_open(certs_fd, beside(path, name, "pending"), /* make= */ false, err);
        if (read_pending(fd, ret, err) == 0)
                return 0;
        kept_pending_done(ret);
        return -1;
}

int kept_pending_set(int certs_fd, const char *name, const struct enrolment *what,
                     struct error *err) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        CAD_AUTO(fd_close) int fd = -1;
        char path[PATH_SIZE];

        enrolment_write(what, &text);
        if (text.failed)
                return error_no_memory(err);
        fd = folder_open(certs_fd, beside(path, name, "pending"), /* make= */ false, err);
        return fd < 0 ? -1 : file_replace(fd, "pending.conf", buffer_bytes(&text), 0600, err);
}

/* pending.conf comes last: without it the rest is nothing. */
int kept_pending_write(int certs_fd, const char *name, const struct kept_pending *p,
                       struct error *err) {
        CAD_AUTO(fd_close) int fd = -1;
        char path[PATH_SIZE];

        if (kept_pending_drop(certs_fd, name, err) < 0)
                return -1;
        fd = open_fresh(certs_fd, beside(path, name, "pending"), 0700, err);
        if (fd < 0 || file_replace(fd, "key.pem", buffer_bytes(&p->key), 0600, err) < 0 ||
            file_replace(fd, "csr.pem", buffer_bytes(&p->csr), 0600, err) < 0 ||
            file_replace(fd, "root.pem", buffer_bytes(&p->root), 0600, err) < 0)
                return -1;
        return kept_pending_set(certs_fd, name, &p->what, err);
}

/* pending.conf goes first: what is left without it, kept_recover() takes away. */
int kept_pending_drop(int certs_fd, const char *name, struct error *err) {
        char path[PATH_SIZE];

        (void) snprintf(path, sizeof(path), ".%s.pending/pending.conf", name);
        if (unlinkat(certs_fd, path, 0) < 0 && errno != ENOENT)
                return error_errno(err, errno, "cannot remove %s", path);
        return remove_folder(certs_fd, beside(path, name, "pending"), /* heir= */ NULL, err);
}

/* ---- who has to be told ---- */

int kept_mark_changed(int certs_fd, const char *name, struct error *err) {
        char path[PATH_SIZE];

        return file_replace(certs_fd, beside(path, name, "changed"), BYTES_NONE, 0600, err);
}

void kept_unmark_changed(int certs_fd, const char *name) {
        char path[PATH_SIZE];

        (void) unlinkat(certs_fd, beside(path, name, "changed"), 0);
}

bool kept_is_changed(int certs_fd, const char *name) {
        char path[PATH_SIZE];

        return is_there(certs_fd, beside(path, name, "changed"));
}

/* ---- all of them ---- */

struct names {
        char *items[KEPT_COUNT_MAX];
        size_t count;
};

static void names_done(struct names *names) {
        while (names->count)
                free(names->items[--names->count]);
}
CAD_CLEANUP_DONE(struct names, names_done)

/* "nas.lan", ".nas.lan.pending", ".nas.lan.old": NAME in @out. Return: whether it is one of them */
static bool name_of_entry(const char *entry, char out[KEPT_NAME_MAX]) {
        static const char *const hidden[] = { ".pending", ".old" };
        size_t size = strlen(entry);
        bool found = *entry != '.';

        for (size_t i = 0; !found && i < ARRAY_SIZE(hidden); i++)
                if (text_ends_with(entry, hidden[i]) && size > strlen(hidden[i]) + 1) {
                        entry++;
                        size -= strlen(hidden[i]) + 1;
                        found = true;
                }
        if (!found || size >= KEPT_NAME_MAX)
                return false;
        memcpy(out, entry, size);
        out[size] = '\0';
        return true;
}

static int add_entry(struct names *names, const char *name, struct error *err) {
        for (size_t i = 0; i < names->count; i++)
                if (text_equal(names->items[i], name))
                        return 0;
        if (names->count == KEPT_COUNT_MAX)
                return error_set(err, ERR_CONFIG,
                                 "there are more than %d certificates in the folder",
                                 KEPT_COUNT_MAX);
        names->items[names->count] = strdup(name);
        return names->items[names->count++] ? 0 : error_no_memory(err);
}

static int by_name(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

int kept_each(int certs_fd, void (*each)(const char *name, void *context), void *context,
              struct error *err) {
        CAD_AUTO(dir_close) DIR *dir = dir_open(certs_fd, ".");
        CAD_AUTO(names_done) struct names names = { .count = 0 };
        char name[KEPT_NAME_MAX];
        const struct dirent *entry;
        struct stat st;

        if (!dir)
                return error_errno(err, errno, "cannot look into the folder of certificates");
        while ((entry = readdir(dir)))
                if (name_of_entry(entry->d_name, name) &&
                    fstatat(certs_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                    S_ISDIR(st.st_mode) && add_entry(&names, name, err) < 0)
                        return -1;
        qsort(names.items, names.count, sizeof(names.items[0]), by_name);
        for (size_t i = 0; i < names.count; i++)
                each(names.items[i], context);
        return 0;
}
