/*
 * The files of targets: read against one table, and written from the same, so that the two cannot drift apart.
 */
#include "target.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cad-build.h"
#include "lib/base/file.h"
#include "lib/base/moment.h"
#include "lib/base/settings.h"
#include "lib/base/text.h"

#define LINE_MAX_BYTES 190 /* of a setting: what settings_read() takes, with a little to spare */
#define SUFFIX ".conf"

static int set_timeout(void *target, const char *value, size_t offset, struct error *err);

/* clang-format off */
#define TEXT(key, member) { "Target", key, SETTING_TO(setting_set_text, struct target, member) }
static const struct setting settings[] = {
        TEXT("Service", service_name),
        TEXT("Source", source),
        TEXT("SourceCertificate", inputs[INPUT_CERTIFICATE]),
        TEXT("SourceKey", inputs[INPUT_KEY]),
        TEXT("SourceChain", inputs[INPUT_CHAIN]),
        TEXT("SourceRoot", inputs[INPUT_ROOT]),
        TEXT("SourcePkcs12", inputs[INPUT_PKCS12]),
        TEXT("PasswordFile", password_file),
        TEXT("Certificate", paths[CREDENTIAL_CERTIFICATE]),
        TEXT("Chain", paths[CREDENTIAL_CHAIN]),
        TEXT("FullChain", paths[CREDENTIAL_FULL_CHAIN]),
        TEXT("Key", paths[CREDENTIAL_KEY]),
        TEXT("Combined", paths[CREDENTIAL_COMBINED]),
        TEXT("Root", paths[CREDENTIAL_ROOT]),
        TEXT("Owner", owner),
        TEXT("Group", group),
        TEXT("Mode", mode),
        TEXT("Names", names),
        TEXT("Config", config),
        TEXT("PidFile", pid_file),
        TEXT("Unit", unit),
        TEXT("Check", check),
        TEXT("Reload", reload),
        { "Target", "Timeout", SETTING_TO(set_timeout, struct target, timeout_s) },
        { 0 },
};
/* clang-format on */

static int set_timeout(void *target, const char *value, size_t offset, struct error *err) {
        int64_t *member = (int64_t *) (void *) ((char *) target + offset);

        if (duration_parse(value, member, err) < 0)
                return -1;
        return *member >= 1 && *member <= TARGET_TIMEOUT_MAX_S
                ? 0
                : error_set(err, ERR_CONFIG, "1s to %us are possible",
                            (unsigned) TARGET_TIMEOUT_MAX_S);
}

/* The text of a row in @target; NULL: not a text, or not given. */
static const char *text_of(const struct target *target, const struct setting *row) {
        const char *const *member = (const void *) ((const char *) target + row->offset);

        return row->set == setting_set_text && *member && **member ? *member : NULL;
}

void target_done(struct target *target) {
        for (const struct setting *row = settings; row->section; row++)
                if (row->set == setting_set_text)
                        free(*(char **) (void *) ((char *) target + row->offset));
        *target = (struct target){ 0 };
}

const char *target_conf_folder(void) {
        const char *folder = getenv("CACTL_CONFIG_DIR");

        return folder && *folder ? folder : CAD_CONFIG_DIR;
}

const char *target_part_key(enum credential_part part) {
        for (const struct setting *row = settings; row->section; row++)
                if (row->offset == offsetof(struct target, paths) + part * sizeof(char *))
                        return row->key;
        return "?";
}

int target_name_check(const char *name, struct error *err) {
        bool good = isalnum((unsigned char) *name) && strlen(name) <= TARGET_NAME_MAX;

        for (const char *at = name; *at; at++)
                good = good && (isalnum((unsigned char) *at) || strchr("._@-", *at));
        return good
                ? 0
                : error_set(
                          err, ERR_USAGE,
                          "'%s' is no name of a target: it has up to %u letters, digits and '.', '_', '@', '-', and begins with a letter or digit",
                          name, TARGET_NAME_MAX);
}

static void path_of(const char *name, struct buffer *out) {
        buffer_format(out, "%s/deploy.d/%s" SUFFIX, target_conf_folder(), name);
}

/* ---- checks ---- */

static int check_path(const char *key, const char *path, struct error *err) {
        size_t size = strlen(path);

        if (*path != '/' || text_ends_with(path, "/") || strstr(path, "/../") ||
            strstr(path, "/./") || strstr(path, "//") || (size >= 3 && text_ends_with(path, "/..")))
                return error_set(err, ERR_CONFIG,
                                 "%s=%s: the absolute path of a file is wanted, without '..'", key,
                                 path);
        return 0;
}

static int check_paths(const struct target *t, struct error *err) {
        for (size_t i = 0; i < CREDENTIAL_PART_COUNT; i++) {
                if (!t->paths[i])
                        continue;
                if (check_path(target_part_key((enum credential_part) i), t->paths[i], err) < 0)
                        return -1;
                for (size_t k = 0; k < i; k++)
                        if (text_equal(t->paths[i], t->paths[k]))
                                return error_set(
                                        err, ERR_CONFIG,
                                        "%s= and %s= are the same file %s: key and certificate in one is Combined=",
                                        target_part_key((enum credential_part) k),
                                        target_part_key((enum credential_part) i), t->paths[i]);
        }
        return 0;
}

static int check_sources(const struct target *t, struct error *err) {
        for (size_t i = 0; i < INPUT_COUNT; i++)
                if (t->source && t->inputs[i])
                        return error_set(
                                err, ERR_CONFIG,
                                "Source=%s is a folder and %s a file: the certificate comes from one of them",
                                t->source, t->inputs[i]);
        return 0;
}

static int check_mode(const struct target *t, struct error *err) {
        if (t->mode &&
            (strlen(t->mode) < 3 || strlen(t->mode) > 4 ||
             strspn(t->mode, "01234567") != strlen(t->mode) || strtoul(t->mode, NULL, 8) & ~0666ul))
                return error_set(err, ERR_CONFIG,
                                 "Mode=%s: octal digits of a file are wanted, as 0640", t->mode);
        if (t->mode && strtoul(t->mode, NULL, 8) & 0006)
                return error_set(err, ERR_CONFIG, "Mode=%s would let everybody use the private key",
                                 t->mode);
        return 0;
}

/* An empty value is one that is not there. */
static void drop_empty(struct target *t) {
        for (const struct setting *row = settings; row->section; row++) {
                char **member = (char **) (void *) ((char *) t + row->offset);

                if (row->set == setting_set_text && *member && !**member)
                        *member = free_text(*member);
        }
}

int target_check(struct target *t, struct error *err) {
        drop_empty(t);
        t->service = t->service_name ? service_find(t->service_name) : NULL;
        if (t->service_name && !t->service)
                return error_set(
                        err, ERR_CONFIG,
                        "Service=%s is not known: %s are; without one, say where the files go (Certificate=, Key=, …)",
                        t->service_name, service_names());
        if (t->timeout_s == 0)
                t->timeout_s = TARGET_TIMEOUT_S;
        if (check_paths(t, err) < 0 || check_sources(t, err) < 0 || check_mode(t, err) < 0)
                return -1;
        if (t->pid_file && check_path("PidFile", t->pid_file, err) < 0)
                return -1;
        return 0;
}

/* ---- reading and making ---- */

/* Whoever may write one has their command run by who we are: as with hooks, only that root's own group may. */
static int check_writers(const char *path, struct error *err) {
        struct stat st;

        if (stat(path, &st) < 0)
                return errno == ENOENT ? 0 : error_errno(err, errno, "cannot look at %s", path);
        if ((st.st_uid == 0 || st.st_uid == geteuid()) && !(st.st_mode & S_IWOTH) &&
            (!(st.st_mode & S_IWGRP) || st.st_gid == 0))
                return 0;
        return error_set(
                err, ERR_FILE_UNSAFE,
                "%s names commands that are run: it has to belong to root or to uid %u and be writable by nobody else: chmod go-w %s",
                path, (unsigned) geteuid(), path);
}

static void folder_of_targets(struct buffer *out) {
        buffer_format(out, "%s/deploy.d", target_conf_folder());
}

int target_load(const char *name, struct target *ret, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 }, folder = { 0 };
        struct error wrong = { 0 };

        if (target_name_check(name, err) < 0)
                return -1;
        path_of(name, &path);
        folder_of_targets(&folder);
        if (check_writers(buffer_string(&folder), err) < 0 ||
            check_writers(buffer_string(&path), err) < 0)
                return -1;
        if (settings_read(AT_FDCWD, buffer_string(&path), settings, ret, err) < 0)
                return -1;
        memcpy(ret->name, name, strlen(name) + 1);
        if (target_check(ret, &wrong) < 0)
                return error_set(err, wrong.code, "%s: %s", buffer_string(&path), wrong.text);
        return 0;
}

int target_new(const char *name, struct target *ret, struct error *err) {
        if (target_name_check(name, err) < 0)
                return -1;
        memcpy(ret->name, name, strlen(name) + 1);
        ret->timeout_s = TARGET_TIMEOUT_S;
        return service_find(name) ? target_set(&ret->service_name, name, err) : 0;
}

int target_set(char **member, const char *value, struct error *err) {
        char *copy = value && *value ? strdup(value) : NULL;

        if (value && *value && !copy)
                return error_no_memory(err);
        free(*member);
        *member = copy;
        return 0;
}

/* ---- writing ---- */

static int put_line(struct buffer *out, const char *key, const char *value, struct error *err) {
        for (const char *at = value; *at; at++)
                if (iscntrl((unsigned char) *at))
                        return error_set(err, ERR_CONFIG,
                                         "%s=: a control character cannot be written", key);
        if (isspace((unsigned char) *value) ||
            (*value && isspace((unsigned char) value[strlen(value) - 1])) ||
            strlen(key) + strlen(value) + 2 > LINE_MAX_BYTES)
                return error_set(
                        err, ERR_CONFIG,
                        "%s=%s: it is too long (%u bytes with its name), or begins or ends with a space",
                        key, value, LINE_MAX_BYTES);
        buffer_format(out, "%s=%s\n", key, value);
        return 0;
}

static int put_target(const struct target *t, struct buffer *out, struct error *err) {
        char duration[DURATION_TEXT_MAX];

        buffer_text(out, "# Written by 'cactl deploy install'. See cactl(1), DEPLOY.\n[Target]\n");
        for (const struct setting *row = settings; row->section; row++) {
                const char *text = text_of(t, row);

                if (text && put_line(out, row->key, text, err) < 0)
                        return -1;
        }
        if (t->timeout_s && t->timeout_s != TARGET_TIMEOUT_S)
                buffer_format(out, "Timeout=%s\n", duration_format(t->timeout_s, duration));
        return out->failed ? error_no_memory(err) : 0;
}

bool target_equal(const struct target *a, const struct target *b) {
        for (const struct setting *row = settings; row->section; row++)
                if (row->set == setting_set_text && !text_equal(text_of(a, row), text_of(b, row)))
                        return false;
        return a->timeout_s == b->timeout_s;
}

int target_save(const struct target *target, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 }, folder = { 0 }, content = { 0 };
        CAD_AUTO(target_done) struct target there = { 0 };
        struct error ignored = { 0 };

        if (target_load(target->name, &there, &ignored) == 0 && target_equal(target, &there))
                return 0;
        path_of(target->name, &path);
        folder_of_targets(&folder);
        if (put_target(target, &content, err) < 0)
                return -1;
        if (folder_make(AT_FDCWD, target_conf_folder(), 0755) < 0)
                return error_errno(err, errno, "cannot make %s", target_conf_folder());
        if (folder_make(AT_FDCWD, buffer_string(&folder), 0755) < 0)
                return error_errno(err, errno, "cannot make %s", buffer_string(&folder));
        return file_replace(AT_FDCWD, buffer_string(&path), buffer_bytes(&content), 0644, err);
}

/* ---- all of them ---- */

void target_names_done(struct target_names *names) {
        free(names->names);
        *names = (struct target_names){ 0 };
}

static int is_conf(const struct dirent *entry) {
        return entry->d_name[0] != '.' && text_ends_with(entry->d_name, SUFFIX);
}

static int take_names(struct dirent *const *entries, size_t count, struct target_names *ret,
                      struct error *err) {
        if (count > TARGETS_MAX)
                return error_set(err, ERR_CONFIG, "%s/deploy.d has more than %u files",
                                 target_conf_folder(), TARGETS_MAX);
        ret->names = calloc(count + 1, sizeof(*ret->names));
        if (!ret->names)
                return error_no_memory(err);
        for (size_t i = 0; i < count; i++) {
                CAD_AUTO(free_text)
                char *name = strndup(entries[i]->d_name,
                                     strlen(entries[i]->d_name) - strlen(SUFFIX));

                if (!name)
                        return error_no_memory(err);
                if (target_name_check(name, err) < 0)
                        return -1;
                memcpy(ret->names[ret->count++], name, strlen(name) + 1);
        }
        return 0;
}

int target_list(struct target_names *ret, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer folder = { 0 };
        struct dirent **entries = NULL;
        int count, rc;

        folder_of_targets(&folder);
        count = scandir(buffer_string(&folder), &entries, is_conf, alphasort);
        if (count < 0)
                return errno == ENOENT
                        ? 0
                        : error_errno(err, errno, "cannot read %s", buffer_string(&folder));
        rc = take_names(entries, (size_t) count, ret, err);
        while (count-- > 0)
                free(entries[count]);
        free(entries);
        return rc;
}
