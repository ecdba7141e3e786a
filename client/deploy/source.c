/*
 * Sources. Files are read and nothing is written; what is in them, lib/pki/credential.h knows.
 */
#include "source.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/ask.h"
#include "client/files.h"
#include "client/output.h"
#include "client/system_roots.h"
#include "lib/base/file.h"
#include "lib/base/settings.h"
#include "lib/base/text.h"

#define SOURCE_FILES_MAX 8
#define PASSWORD_MAX 1024
#define ROOT_MAX (1024u * 1024u) /* bytes of the file with the enrolled CA's root */
#define KEY_SUFFIX "-key.pem"

struct source {
        char *paths[SOURCE_FILES_MAX];
        struct buffer contents[SOURCE_FILES_MAX];
        size_t count;
        struct buffer password;
        bool has_password;
};

static void source_done(struct source *s) {
        for (size_t i = 0; i < s->count; i++) {
                free(s->paths[i]);
                buffer_wipe(&s->contents[i]);
        }
        buffer_wipe(&s->password);
}
CAD_CLEANUP_DONE(struct source, source_done)

/* ---- which files ---- */

static int add_file(struct source *s, const char *path, struct error *err) {
        if (s->count == SOURCE_FILES_MAX)
                return error_set(err, ERR_CONFIG, "more than %d files", SOURCE_FILES_MAX);
        s->paths[s->count] = strdup(path);
        if (!s->paths[s->count])
                return error_no_memory(err);
        return input_read(path, &s->contents[s->count++], err);
}

/* Return: 1 it was there, 0 not, -1 with @err */
static int add_if_there(struct source *s, const char *folder, const char *name, const char *suffix,
                        struct error *err) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 };

        buffer_format(&path, "%s/%s%s", folder, name, suffix);
        if (access(buffer_string(&path), F_OK) < 0)
                return 0;
        return add_file(s, buffer_string(&path), err) < 0 ? -1 : 1;
}

/* As `cactl issue` writes it: BASE.pem, BASE-key.pem, root.pem. */
static int add_base(struct source *s, const char *folder, const char *base, struct error *err) {
        int found = add_if_there(s, folder, base, ".pem", err);

        if (found == 0)
                return error_set(err, ERR_NOT_FOUND, "there is no %s.pem in %s", base, folder);
        if (found < 0 || add_if_there(s, folder, base, KEY_SUFFIX, err) < 0)
                return -1;
        return add_if_there(s, folder, "root", ".pem", err) < 0 ? -1 : 0;
}

/* The one BASE-key.pem in a folder. */
static int find_base(const char *folder, char **ret, struct error *err) {
        DIR *dir = opendir(folder);
        size_t count = 0;

        for (struct dirent *entry; dir && (entry = readdir(dir));) {
                if (!text_ends_with(entry->d_name, KEY_SUFFIX) || entry->d_name[0] == '.')
                        continue;
                if (++count == 1)
                        *ret = strndup(entry->d_name, strlen(entry->d_name) - strlen(KEY_SUFFIX));
        }
        if (dir)
                (void) closedir(dir);
        if (count == 1 && *ret)
                return 0;
        return error_set(
                err, ERR_NOT_FOUND,
                count ? "%s has several certificates: say which, as %s/NAME"
                      : "%s has neither cert.pem and key.pem nor a NAME.pem with its NAME" KEY_SUFFIX
                        "%s",
                folder, count ? folder : "");
}

static int add_folder(struct source *s, const char *folder, struct error *err) {
        static const char *const names[] = { "key.pem", "fullchain.pem", "cert.pem", "chain.pem",
                                             "root.pem" };
        CAD_AUTO(free_text) char *base = NULL;
        CAD_AUTO(buffer_done) struct buffer cert = { 0 }, full = { 0 };

        buffer_format(&cert, "%s/cert.pem", folder);
        buffer_format(&full, "%s/fullchain.pem", folder);
        if (access(buffer_string(&cert), F_OK) < 0 && access(buffer_string(&full), F_OK) < 0)
                return find_base(folder, &base, err) < 0 ? -1 : add_base(s, folder, base, err);
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (add_if_there(s, folder, names[i], "", err) < 0)
                        return -1;
        return 0;
}

static int add_source(struct source *s, const char *source, struct error *err) {
        const char *slash = strrchr(source, '/');
        CAD_AUTO(free_text) char *folder = NULL;
        struct stat st;

        if (stat(source, &st) == 0 && S_ISDIR(st.st_mode))
                return add_folder(s, source, err);
        if (!slash || slash == source || !slash[1])
                return error_set(err, ERR_NOT_FOUND, "there is no folder %s", source);
        folder = strndup(source, (size_t) (slash - source));
        if (!folder)
                return error_no_memory(err);
        if (stat(folder, &st) < 0 || !S_ISDIR(st.st_mode))
                return error_set(err, ERR_NOT_FOUND, "there is no folder %s, nor %s", source,
                                 folder);
        return add_base(s, folder, slash + 1, err);
}

static int add_all(struct source *s, const struct target *t, struct error *err) {
        bool any = false;

        if (t->source)
                return add_source(s, t->source, err);
        for (size_t i = 0; i < INPUT_COUNT; i++) {
                any = any || t->inputs[i];
                if (t->inputs[i] && add_file(s, t->inputs[i], err) < 0)
                        return -1;
        }
        return any
                ? 0
                : error_set(
                          err, ERR_CONFIG,
                          "where does the certificate come from? --from FOLDER, or --cert FILE --key FILE");
}

static int is_visible(const struct dirent *entry) {
        return entry->d_name[0] != '.';
}

char *source_default(void) {
        CAD_AUTO(buffer_done) struct buffer folder = { 0 }, path = { 0 };
        struct dirent **entries = NULL;
        int count;

        buffer_format(&folder, "%s/certs", target_conf_folder());
        count = scandir(buffer_string(&folder), &entries, is_visible, alphasort);
        if (count == 1)
                buffer_format(&path, "%s/%s", buffer_string(&folder), entries[0]->d_name);
        for (int i = 0; i < count; i++)
                free(entries[i]);
        free(entries);
        return path.size && !path.failed ? strdup(buffer_string(&path)) : NULL;
}

/* ---- what is in them ---- */

static int get_password(struct source *s, const struct target *t, const char *path,
                        struct error *err) {
        CAD_AUTO(buffer_done) struct buffer question = { 0 };
        char typed[PASSWORD_MAX] = "";
        int rc;

        s->has_password = true;
        if (t->password_file) {
                if (input_read(t->password_file, &s->password, err) < 0)
                        return -1;
                while (s->password.size && strchr("\r\n", s->password.data[s->password.size - 1]))
                        s->password.size--;
                return 0;
        }
        if (!terminal_on(STDIN_FILENO))
                return error_set(err, ERR_KEY_PASSPHRASE,
                                 "%s is encrypted: --password-file FILE has its password", path);
        buffer_format(&question, "Password of %s", path);
        rc = ask_hidden(buffer_string(&question), typed, sizeof(typed));
        typed[strcspn(typed, "\r\n")] = '\0';
        (void) buffer_reserve(&s->password, sizeof(typed));
        buffer_text(&s->password, typed);
        explicit_bzero(typed, sizeof(typed));
        return rc < 0 ? error_set(err, ERR_KEY_PASSPHRASE, "no password was given") : 0;
}

static int open_files(struct source *s, struct credential_parts *parts, const char **ret_path,
                      struct error *err) {
        struct bytes password = s->has_password
                ? BYTES(s->password.data ? (void *) s->password.data : (void *) "",
                        s->password.size)
                : BYTES_NONE;

        for (size_t i = 0; i < s->count; i++) {
                struct error one = { 0 };

                if (credential_parts_add(parts, buffer_bytes(&s->contents[i]), password, &one) == 0)
                        continue;
                *ret_path = s->paths[i];
                return error_set(err, one.code, "%s: %s", s->paths[i], one.text);
        }
        return 0;
}

/* Without a password first: it is asked for where one is wanted, and only then. */
static int collect(struct source *s, const struct target *t, struct credential_parts **ret,
                   struct error *err) {
        CAD_AUTO(credential_parts_free) struct credential_parts *parts = credential_parts_new();
        const char *path = NULL;
        struct error first = { 0 };

        if (!parts)
                return error_no_memory(err);
        if (open_files(s, parts, &path, &first) == 0) {
                *ret = CAD_TAKE(parts);
                return 0;
        }
        if (first.code != ERR_KEY_PASSPHRASE || s->has_password) {
                *err = first;
                return -1;
        }
        return get_password(s, t, path, err) < 0 ? -1 : collect(s, t, ret, err);
}

/* The enrolled CA's, then what the system trusts. */
static int seek_roots(struct credential_parts *parts, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 };
        CAD_AUTO(buffer_done) struct buffer own = { 0 };
        CAD_AUTO(buffer_done) struct buffer system = { 0 };

        buffer_format(&path, "%s/root.pem", target_conf_folder());
        if (file_read(AT_FDCWD, buffer_string(&path), FILE_PUBLIC, ROOT_MAX, &own, NULL) == 0 &&
            credential_parts_seek(parts, buffer_bytes(&own), err) < 0)
                return -1;
        system_roots_read(/* named= */ NULL, &system);
        return system.size ? credential_parts_seek(parts, buffer_bytes(&system), err) : 0;
}

static int arrange(struct source *s, const struct target *t, struct credential **ret,
                   struct error *err) {
        CAD_AUTO(credential_parts_free) struct credential_parts *parts = NULL;
        CAD_AUTO(credential_parts_free) struct credential_parts *more = NULL;
        CAD_AUTO(credential_free) struct credential *credential = NULL;

        if (collect(s, t, &parts, err) < 0 || credential_arrange(parts, &credential, err) < 0)
                return -1;
        if (credential_root(credential).size == 0) {
                credential = credential_free(credential);
                if (collect(s, t, &more, err) < 0 || seek_roots(more, err) < 0 ||
                    credential_arrange(more, &credential, err) < 0)
                        return -1;
        }
        *ret = CAD_TAKE(credential);
        return 0;
}

static int check_name(const char *name, void *context, struct error *err) {
        return credential_covers(context, name, err);
}

int source_read(const struct target *t, bool wants_key, int64_t now, struct credential **ret,
                struct error *err) {
        CAD_AUTO(source_done) struct source s = { 0 };
        CAD_AUTO(credential_free) struct credential *credential = NULL;
        struct error wrong = { 0 };

        if (add_all(&s, t, err) < 0 || arrange(&s, t, &credential, err) < 0)
                return -1;
        if (wants_key && !credential_key(credential))
                return error_set(err, ERR_KEY_INVALID,
                                 "there is no private key with the certificate: --key FILE");
        if (credential_verify(credential, now, &wrong) < 0)
                return error_set(err, wrong.code, "%s%s", wrong.text,
                                 credential_root(credential).size ? ""
                                                                  : ": --root FILE, --chain FILE");
        if (t->names && setting_words(t->names, check_name, credential, err) < 0)
                return -1;
        *ret = CAD_TAKE(credential);
        return 0;
}
