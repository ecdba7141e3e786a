/*
 * Backups: written whole before anything changes, read with their digests checked. Keys are in them: folders 0700, files 0600,
 * and nothing of them is printed.
 */
#include "backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/api.h"
#include "client/show.h"
#include "lib/base/file.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/cert.h"

#define STATE_DIR "/var/lib/cactl"
#define MANIFEST "manifest.json"
#define MANIFEST_MAX (1024u * 1024u)
#define UNFINISHED "unfinished"
#define PART ".part" /* behind the name of a backup that is being made */
#define ORDER_MAX 1000

static const char *const kinds[] = {
        [HELD_NOTHING] = "nothing", [HELD_FILE] = "file", [HELD_LINK] = "link"
};

/* ---- changes ---- */

void changes_done(struct changes *changes) {
        for (size_t i = 0; i < changes->count; i++) {
                struct change *change = &changes->items[i];

                change->dir_fd = fd_close(change->dir_fd);
                held_done(&change->before);
                held_done(&change->after);
                free(change->path);
        }
        *changes = (struct changes){ 0 };
}

static struct change *changes_open(struct changes *changes, const char *path, bool make_folder,
                                   struct error *err) {
        struct change *change = &changes->items[changes->count];

        if (changes->count == CHANGES_MAX) {
                (void) error_set(err, ERR_STATE_CONFLICT, "more than %d files", (int) CHANGES_MAX);
                return NULL;
        }
        *change = (struct change){ .dir_fd = -1, .path = strdup(path) };
        changes->count++;
        if (!change->path) {
                (void) error_no_memory(err);
                return NULL;
        }
        change->dir_fd = held_folder(change->path, make_folder, &change->base, err);
        return change->dir_fd < 0 ? NULL : change;
}

struct change *changes_add(struct changes *changes, const char *path, bool make_folder,
                           struct error *err) {
        struct change *change = changes_open(changes, path, make_folder, err);

        if (!change ||
            held_read(change->dir_fd, change->base, change->path, &change->before, err) < 0)
                return NULL;
        return change;
}

/* ---- folders ---- */

static const char *state_dir(void) {
        const char *folder = getenv("CACTL_STATE_DIR");

        return folder && *folder ? folder : STATE_DIR;
}

int backups_open(const char *target, bool make, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 };
        int fd;

        buffer_format(&path, "%s/backups/%s", state_dir(), target);
        if (path.failed)
                return error_no_memory(err);
        fd = folder_open(AT_FDCWD, buffer_string(&path), make, err);
        if (fd < 0 && err && err->code == ERR_IO && geteuid() != 0)
                return error_set(
                        err, ERR_IO,
                        "%s: deploy as root, or with a folder of your own in $CACTL_STATE_DIR",
                        buffer_string(&path));
        return fd;
}

static int open_backup(int backups_fd, const char *id, struct error *err) {
        int fd = openat(backups_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0 && errno == ENOENT)
                return error_set(err, ERR_NOT_FOUND, "there is no backup %s", id);
        return fd < 0 ? error_errno(err, errno, "cannot open the backup %s", id) : fd;
}

static int read_folder(int fd, DIR **ret, struct error *err) {
        int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        *ret = again < 0 ? NULL : fdopendir(again);
        if (*ret)
                return 0;
        (void) fd_close(again);
        return error_errno(err, errno, "cannot read a folder of backups");
}

static void empty_folder(int fd) {
        DIR *dir = NULL;

        if (read_folder(fd, &dir, /* err= */ NULL) < 0)
                return;
        for (struct dirent *entry; (entry = readdir(dir));)
                if (!text_equal(entry->d_name, ".") && !text_equal(entry->d_name, ".."))
                        (void) unlinkat(fd, entry->d_name, 0);
        (void) closedir(dir);
}

/* Under another name first: half of a backup, or of a journal, is not to be taken for one. */
int backup_drop(int backups_fd, const char *id, struct error *err) {
        CAD_AUTO(fd_close) int fd = -1;
        char part[BACKUP_ID_MAX + sizeof(PART)];

        (void) snprintf(part, sizeof(part), "%s%s", id, text_ends_with(id, PART) ? "" : PART);
        if (!text_equal(id, part) && renameat(backups_fd, id, backups_fd, part) < 0)
                return error_errno(err, errno, "cannot remove the backup %s", id);
        fd = open_backup(backups_fd, part, err);
        if (fd < 0)
                return -1;
        empty_folder(fd);
        return unlinkat(backups_fd, part, AT_REMOVEDIR) < 0
                ? error_errno(err, errno, "cannot remove the backup %s", id)
                : 0;
}

/* ---- writing ---- */

static json_t *digest_json(const struct held *held) {
        uint8_t digest[SHA256_SIZE];
        char hex[2 * SHA256_SIZE + 1];

        held_digest(held, digest);
        return json_string(hex_encode(BYTES(digest, sizeof(digest)), hex));
}

static json_t *labels_json(const struct held *held) {
        json_t *labels = json_object();

        for (size_t i = 0; i < held->label_count; i++) {
                CAD_AUTO(buffer_done) struct buffer text = { 0 };

                base64_append(&text, buffer_bytes(&held->labels[i].value), 0);
                if (json_object_set_new(labels, held->labels[i].name,
                                        json_string(buffer_string(&text))) < 0) {
                        json_decref(labels);
                        return NULL;
                }
        }
        return labels;
}

static json_t *change_json(const struct change *change, const char *file) {
        const struct held *before = &change->before;
        const struct passwd *owner = getpwuid(before->uid);
        const struct group *group = getgrgid(before->gid);
        struct buffer link = before->content;
        char mode[8];

        (void) snprintf(mode, sizeof(mode), "%04o", (unsigned) before->mode);
        return json_pack(
                "{s:s, s:s, s:s*, s:o, s:s*, s:i, s:i, s:s*, s:s*, s:s, s:o, s:s, s:{s:s, s:o}}",
                "path", change->path, "kind", kinds[before->kind], "file",
                before->kind == HELD_FILE ? file : NULL, "sha256", digest_json(before), "link",
                before->kind == HELD_LINK ? buffer_string(&link) : NULL, "uid", (int) before->uid,
                "gid", (int) before->gid, "owner", owner ? owner->pw_name : NULL, "group",
                group ? group->gr_name : NULL, "mode", mode, "labels", labels_json(before),
                "temporary", change->temporary, "after", "kind", kinds[change->after.kind],
                "sha256", digest_json(&change->after));
}

static int write_file(int fd, const char *name, struct bytes content, struct error *err) {
        CAD_AUTO(fd_close)
        int file = openat(fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

        if (file < 0 || fd_write_all(file, content) < 0 || fsync(file) < 0)
                return error_errno(err, errno, "cannot write the backup");
        return 0;
}

static int write_contents(int fd, const struct changes *changes, json_t *files, struct error *err) {
        for (size_t i = 0; i < changes->count; i++) {
                const struct change *change = &changes->items[i];
                char file[24];

                (void) snprintf(file, sizeof(file), "%zu", i);
                if (json_array_append_new(files, change_json(change, file)) < 0)
                        return error_no_memory(err);
                if (change->before.kind == HELD_FILE &&
                    write_file(fd, file, buffer_bytes(&change->before.content), err) < 0)
                        return -1;
        }
        return 0;
}

/* Of what certificate it is a backup: for the list, so that nobody has to open it. NULL: there was none. */
static json_t *certificate_of(const struct changes *changes) {
        for (size_t i = 0; i < changes->count; i++) {
                const struct held *before = &changes->items[i].before;
                CAD_AUTO(certs_done) struct certs certs = { 0 };
                CAD_AUTO(san_list_done) struct san_list list = { .count = 0 };
                CAD_AUTO(buffer_done) struct buffer names = { 0 };
                struct error ignored = { 0 };
                char ends[MOMENT_TEXT_MAX];
                struct cert cert;

                if (before->kind != HELD_FILE ||
                    certs_from_text(&certs, buffer_bytes(&before->content), "it", &ignored) < 0 ||
                    cert_read(buffer_bytes(&certs.der[0]), &cert, &ignored) < 0 || cert.is_ca)
                        continue;
                if (cert.san.size && san_list_from_der(&list, cert.san, "names", &ignored) == 0)
                        names_text(&list, &names);
                return json_pack("{s:s, s:s}", "names", buffer_string(&names), "not_after",
                                 moment_format(cert.validity.not_after, ends));
        }
        return NULL;
}

static int write_all(int fd, const char *target, const char *reason, const struct changes *changes,
                     int64_t now, struct error *err) {
        CAD_AUTO(json_free) json_t *files = json_array();
        CAD_AUTO(json_free) json_t *manifest = NULL;
        CAD_AUTO(free_text) char *text = NULL;
        char made[MOMENT_TEXT_MAX];

        if (write_contents(fd, changes, files, err) < 0)
                return -1;
        manifest = json_pack("{s:s, s:s, s:s, s:o*, s:O}", "target", target, "made",
                             moment_format(now, made), "reason", reason, "certificate",
                             certificate_of(changes), "files", files);
        text = manifest ? json_dumps(manifest, JSON_INDENT(2)) : NULL;
        if (!text)
                return error_no_memory(err);
        if (write_file(fd, MANIFEST, bytes_of(text), err) < 0 ||
            write_file(fd, UNFINISHED, BYTES_NONE, err) < 0)
                return -1;
        return folder_sync(fd, "the backup", err);
}

/* 2026-11-30T17-02-11Z-1: in order as text, and no ':' that a file system might not take. */
static int choose_id(int backups_fd, int64_t now, char *ret, struct error *err) {
        struct civil_time t = moment_civil(now);
        struct stat st;

        for (unsigned n = 1; n < ORDER_MAX; n++) {
                (void) snprintf(ret, BACKUP_ID_MAX, "%04u-%02u-%02uT%02u-%02u-%02uZ-%u",
                                (unsigned) t.year, (unsigned) t.month, (unsigned) t.day,
                                (unsigned) t.hour, (unsigned) t.minute, (unsigned) t.second, n);
                if (fstatat(backups_fd, ret, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        return errno == ENOENT ? 0
                                               : error_errno(err, errno, "cannot look at %s", ret);
        }
        return error_set(err, ERR_BUSY, "there are %d backups of this second", ORDER_MAX);
}

static int name_temporaries(struct changes *changes, const char *target, const char *id,
                            struct error *err) {
        for (size_t i = 0; i < changes->count; i++) {
                struct change *change = &changes->items[i];
                int n = snprintf(change->temporary, sizeof(change->temporary), ".cactl-%s-%s-%zu",
                                 target, id, i);

                if (n < 0 || n > 255)
                        return error_set(err, ERR_CONFIG, "the name %s is too long", target);
        }
        return 0;
}

int backup_write(int backups_fd, const char *target, const char *reason, struct changes *changes,
                 int64_t now, char *ret_id, struct error *err) {
        char part[BACKUP_ID_MAX + sizeof(PART)], id[BACKUP_ID_MAX];
        CAD_AUTO(fd_close) int fd = -1;

        if (choose_id(backups_fd, now, id, err) < 0 ||
            name_temporaries(changes, target, id, err) < 0)
                return -1;
        (void) snprintf(part, sizeof(part), "%s" PART, id);
        (void) backup_drop(backups_fd, part, /* err= */ NULL); /* of one who was killed here */
        if (mkdirat(backups_fd, part, 0700) < 0)
                return error_errno(err, errno, "cannot make the backup %s", id);
        fd = open_backup(backups_fd, part, err);
        if (fd < 0 || write_all(fd, target, reason, changes, now, err) < 0) {
                (void) backup_drop(backups_fd, part, /* err= */ NULL);
                return -1;
        }
        if (renameat(backups_fd, part, backups_fd, id) < 0)
                return error_errno(err, errno, "cannot name the backup %s", id);
        memcpy(ret_id, id, sizeof(id));
        return folder_sync(backups_fd, "the backups", err);
}

int backup_finish(int backups_fd, const char *id, struct error *err) {
        CAD_AUTO(fd_close) int fd = open_backup(backups_fd, id, err);

        if (fd < 0)
                return -1;
        if (unlinkat(fd, UNFINISHED, 0) < 0 && errno != ENOENT)
                return error_errno(err, errno, "cannot finish the backup %s", id);
        return folder_sync(fd, "the backup", err);
}

/* ---- reading ---- */

static int damaged(const char *id, struct error *err) {
        return error_set(err, ERR_STATE_CONFLICT,
                         "the backup %s is damaged: choose another ('cactl deploy backups')", id);
}

int backup_manifest(int backups_fd, const char *id, json_t **ret, struct error *err) {
        CAD_AUTO(fd_close) int fd = open_backup(backups_fd, id, err);
        CAD_AUTO(buffer_done) struct buffer text = { 0 };

        if (fd < 0 || file_read(fd, MANIFEST, FILE_PUBLIC, MANIFEST_MAX, &text, err) < 0)
                return -1;
        *ret = json_loadb((const char *) text.data, text.size, JSON_REJECT_DUPLICATES, NULL);
        return *ret ? 0 : damaged(id, err);
}

static int read_labels(const json_t *labels, struct held *ret) {
        const char *name;
        json_t *value;

        if (json_object_size(labels) == 0)
                return 0;
        ret->labels = calloc(LABELS_MAX, sizeof(*ret->labels));
        if (!ret->labels)
                return -1;
        json_object_foreach((json_t *) (uintptr_t) labels, name, value) {
                struct label *label = &ret->labels[ret->label_count];

                if (ret->label_count == LABELS_MAX || strlen(name) >= sizeof(label->name) ||
                    !json_is_string(value) ||
                    base64_decode(bytes_of(json_string_value(value)), &label->value) < 0)
                        return -1;
                memcpy(label->name, name, strlen(name) + 1);
                ret->label_count++;
        }
        return 0;
}

static int kind_of(const json_t *object, enum held_kind *ret) {
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
                if (text_equal(api_text(object, "kind"), kinds[i])) {
                        *ret = (enum held_kind) i;
                        return 0;
                }
        return -1;
}

static int digest_of(const json_t *object, uint8_t ret[SHA256_SIZE]) {
        size_t size = 0;

        return hex_decode(api_text(object, "sha256"), ret, SHA256_SIZE, &size) == 0 &&
                        size == SHA256_SIZE
                ? 0
                : -1;
}

/* The manifest is ours, but the disk may not be: nothing is put back that is not what was kept. */
static int read_before(int fd, const json_t *object, struct held *ret, struct error *err) {
        uint8_t wanted[SHA256_SIZE], found[SHA256_SIZE];
        const char *file = api_text(object, "file"), *link = api_text(object, "link");

        if (kind_of(object, &ret->kind) < 0 || digest_of(object, wanted) < 0)
                return -1;
        if (ret->kind == HELD_FILE &&
            (strchr(file, '/') ||
             file_read(fd, file, FILE_PUBLIC, HELD_FILE_MAX, &ret->content, err) < 0))
                return -1;
        if (ret->kind == HELD_LINK)
                buffer_text(&ret->content, link);
        held_digest(ret, found);
        ret->uid = (uid_t) json_integer_value(json_object_get(object, "uid"));
        ret->gid = (gid_t) json_integer_value(json_object_get(object, "gid"));
        ret->mode = (mode_t) strtoul(api_text(object, "mode"), NULL, 8) & 07777u;
        return memcmp(wanted, found, sizeof(found)) == 0
                ? read_labels(json_object_get(object, "labels"), ret)
                : -1;
}

static int read_change(int fd, const char *id, const json_t *object, struct changes *ret,
                       struct error *err) {
        const json_t *after = json_object_get(object, "after");
        const char *path = api_text(object, "path"), *temporary = api_text(object, "temporary");
        struct error ignored = { 0 };
        struct change *change;

        if (*path != '/' || strlen(temporary) >= TEMPORARY_MAX || strchr(temporary, '/') ||
            !*temporary)
                return damaged(id, err);
        change = changes_open(ret, path, /* make_folder= */ true, err);
        if (!change)
                return -1;
        memcpy(change->temporary, temporary, strlen(temporary) + 1);
        if (read_before(fd, object, &change->before, &ignored) < 0 ||
            kind_of(after, &change->after.kind) < 0 || digest_of(after, change->after_digest) < 0)
                return damaged(id, err);
        return 0;
}

int backup_read(int backups_fd, const char *id, struct changes *ret, struct error *err) {
        CAD_AUTO(json_free) json_t *manifest = NULL;
        CAD_AUTO(fd_close) int fd = -1;
        const json_t *files;
        size_t i;
        json_t *object;

        if (backup_manifest(backups_fd, id, &manifest, err) < 0)
                return -1;
        fd = open_backup(backups_fd, id, err);
        if (fd < 0)
                return -1;
        files = json_object_get(manifest, "files");
        if (!json_is_array(files) || json_array_size(files) == 0)
                return damaged(id, err);
        json_array_foreach(files, i, object) {
                if (read_change(fd, id, object, ret, err) < 0)
                        return -1;
        }
        return 0;
}

/* ---- all of a target ---- */

void backup_ids_done(struct backup_ids *ids) {
        free(ids->ids);
        *ids = (struct backup_ids){ 0 };
}

static int newest_first(const void *a, const void *b) {
        const char *x = a, *y = b;
        int by_time = strncmp(y, x, strlen("2026-11-30T17-02-11Z-"));

        /* within a second the number counts, which may have more digits */
        if (by_time == 0 && strlen(x) != strlen(y))
                return strlen(x) < strlen(y) ? 1 : -1;
        return by_time ? by_time : strcmp(y, x);
}

static bool is_id(const char *name) {
        return name[0] >= '0' && name[0] <= '9' && strlen(name) < BACKUP_ID_MAX &&
                !text_ends_with(name, PART);
}

int backup_list(int backups_fd, struct backup_ids *ret, struct error *err) {
        DIR *dir = NULL;

        if (read_folder(backups_fd, &dir, err) < 0)
                return -1;
        for (struct dirent *entry; (entry = readdir(dir));) {
                void *more;

                if (!is_id(entry->d_name))
                        continue;
                more = reallocarray(ret->ids, ret->count + 1, sizeof(*ret->ids));
                if (!more) {
                        (void) closedir(dir);
                        return error_no_memory(err);
                }
                ret->ids = more;
                memcpy(ret->ids[ret->count++], entry->d_name, strlen(entry->d_name) + 1);
        }
        (void) closedir(dir);
        if (ret->count)
                qsort(ret->ids, ret->count, sizeof(*ret->ids), newest_first);
        return 0;
}

bool backup_is_unfinished(int backups_fd, const char *id) {
        CAD_AUTO(fd_close) int fd = open_backup(backups_fd, id, /* err= */ NULL);

        return fd >= 0 && faccessat(fd, UNFINISHED, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void drop_parts(int backups_fd) {
        DIR *dir = NULL;

        if (read_folder(backups_fd, &dir, /* err= */ NULL) < 0)
                return;
        for (struct dirent *entry; (entry = readdir(dir));)
                if (text_ends_with(entry->d_name, PART))
                        (void) backup_drop(backups_fd, entry->d_name, /* err= */ NULL);
        (void) closedir(dir);
}

void backup_prune(int backups_fd) {
        CAD_AUTO(backup_ids_done) struct backup_ids all = { 0 };

        drop_parts(backups_fd);
        if (backup_list(backups_fd, &all, /* err= */ NULL) < 0)
                return;
        for (size_t i = BACKUPS_KEPT; i < all.count; i++)
                if (!backup_is_unfinished(backups_fd, all.ids[i]))
                        (void) backup_drop(backups_fd, all.ids[i], /* err= */ NULL);
}

static int take_target(struct target_names *ret, const char *name, struct error *err) {
        void *more = reallocarray(ret->names, ret->count + 1, sizeof(*ret->names));

        if (!more)
                return error_no_memory(err);
        ret->names = more;
        memcpy(ret->names[ret->count++], name, strlen(name) + 1);
        return 0;
}

int backups_targets(struct target_names *ret, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 };
        struct dirent **entries = NULL;
        int count, rc = 0;

        buffer_format(&path, "%s/backups", state_dir());
        count = scandir(buffer_string(&path), &entries, NULL, alphasort);
        if (count < 0)
                return errno == ENOENT
                        ? 0
                        : error_errno(err, errno, "cannot read %s", buffer_string(&path));
        for (int i = 0; i < count; i++) {
                if (rc == 0 && target_name_check(entries[i]->d_name, /* err= */ NULL) == 0)
                        rc = take_target(ret, entries[i]->d_name, err);
                free(entries[i]);
        }
        free(entries);
        return rc;
}
