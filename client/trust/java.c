/*
 * Java's stores: the file cacerts of each JVM, read and written by keytool.
 *
 * keytool writes into the file that it is given. So it is given a copy in memory, which takes the store's place when keytool is done:
 * whatever happens, the old or the new store is there, whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/run.h"
#include "inside.h"
#include "lib/base/file.h"
#include "lib/base/text.h"
#include "lib/pki/pem.h"

#define RUN_TIMEOUT_S 60
#define STORES_MAX 64
#define STORE_MAX (16u * 1024 * 1024) /* bytes of a cacerts; Debian's has 170 KB */
#define ALIAS_MAX 512
#define ARGS_MAX 20
#define PASSWORD_VARIABLE "CACTL_JAVA_PASSWORD"

static const char *const places[] = {
        "usr/lib/jvm/*/lib/security/cacerts",   "usr/lib/jvm/*/jre/lib/security/cacerts",
        "usr/lib64/jvm/*/lib/security/cacerts", "usr/java/*/lib/security/cacerts",
        "opt/java/*/lib/security/cacerts",      "opt/jdk*/lib/security/cacerts",
        "etc/ssl/certs/java/cacerts",           "etc/pki/java/cacerts",
};

static const char *const below_home[] = { "lib/security/cacerts", "jre/lib/security/cacerts" };

/* Made anew by the system's own update program with each change: what is written there does not last. */
static const char *const made_by_system[] = {
        "/etc/pki/ca-trust/extracted/",
        "/etc/ca-certificates/extracted/",
        "/var/lib/ca-certificates/",
};

/* ---- where ---- */

/* Many JVMs share one store by links: it counts once. @path is as the image has it. */
static int add_store(const struct trust_job *job, const char *path, struct trust_rows *rows,
                     struct error *err) {
        char real[TRUST_WHERE_MAX];
        struct trust_row *row;
        size_t stores = 0;
        struct stat st;

        if (inside_real(job, path, real) < 0 || stat(real, &st) < 0 || !S_ISREG(st.st_mode) ||
            (job->own_only && st.st_uid != geteuid()))
                return 0;
        for (size_t i = 0; i < rows->count; i++) {
                if (rows->items[i].kind != TRUST_JAVA)
                        continue;
                if (text_equal(rows->items[i].where, real) || ++stores == STORES_MAX)
                        return 0;
        }
        row = trust_row_add(rows, TRUST_JAVA);
        if (!row)
                return error_no_memory(err);
        memcpy(row->where, real, sizeof(row->where));
        return 0;
}

static int add_named(const struct trust_job *job, struct trust_rows *rows, struct error *err) {
        char real[TRUST_WHERE_MAX];
        struct trust_row *row;

        if (inside_real(job, job->java_store, real) == 0)
                return add_store(job, job->java_store, rows, err);
        row = trust_row_add(rows, TRUST_JAVA);
        if (!row)
                return error_no_memory(err);
        (void) snprintf(row->where, sizeof(row->where), "%s%s", job->prefix, job->java_store);
        return 0;
}

static int add_java_home(const struct trust_job *job, struct trust_rows *rows, struct error *err) {
        const char *home = *job->prefix ? NULL : getenv("JAVA_HOME");

        for (size_t i = 0; home && *home == '/' && i < ARRAY_SIZE(below_home); i++) {
                char path[TRUST_WHERE_MAX];

                (void) snprintf(path, sizeof(path), "%s/%s", home, below_home[i]);
                if (add_store(job, path, rows, err) < 0)
                        return -1;
        }
        return 0;
}

static int find(const struct trust_job *job, struct trust_rows *rows, struct error *err) {
        int rc;

        if (job->java_store)
                return add_named(job, rows, err);
        rc = add_java_home(job, rows, err);
        for (size_t i = 0; i < ARRAY_SIZE(places) && rc == 0; i++) {
                glob_t found = { 0 };
                size_t count = inside_glob(job->prefix, places[i], &found);

                for (size_t k = 0; k < count && k < STORES_MAX && rc == 0; k++)
                        rc = add_store(job, found.gl_pathv[k] + strlen(job->prefix), rows, err);
                globfree(&found);
        }
        return rc;
}

/* ---- keytool ---- */

static bool find_keytool(char *out) {
        const char *home = getenv("JAVA_HOME");
        glob_t found = { 0 };
        bool is_there = false;
        size_t count;

        if (home && *home == '/') {
                (void) snprintf(out, TRUST_WHERE_MAX, "%s/bin/keytool", home);
                if (access(out, X_OK) == 0)
                        return true;
        }
        if (host_program("keytool", out))
                return true;
        count = inside_glob("", "usr/lib/jvm/*/bin/keytool", &found);
        for (size_t i = 0; i < count && !is_there; i++)
                is_there = snprintf(out, TRUST_WHERE_MAX, "%s", found.gl_pathv[i]) <
                                TRUST_WHERE_MAX &&
                        access(out, X_OK) == 0;
        globfree(&found);
        return is_there;
}

/* @words: up to 9, ends with NULL. The password goes by the environment: everybody sees the words of a command. @ret: appended */
static int keytool(const struct trust_job *job, const char *store, const char *const *words,
                   struct buffer *ret, struct error *err) {
        CAD_AUTO(buffer_wipe) struct buffer password = { 0 };
        char program[TRUST_WHERE_MAX], text[ERROR_TEXT_MAX];
        const char *argv[ARGS_MAX] = { program };
        const char *more[] = { NULL, "LC_ALL=C.UTF-8", NULL };
        struct error why = { 0 };
        size_t count = 1;

        if (!find_keytool(program))
                return error_set(err, ERR_NOT_FOUND, "keytool is not there");
        while (*words && count + 8 < ARGS_MAX)
                argv[count++] = *words++;
        argv[count++] = "-keystore";
        argv[count++] = store;
        argv[count++] = "-storepass:env";
        argv[count++] = PASSWORD_VARIABLE;
        argv[count++] = "-J-Duser.language=en";
        /* it runs for half a second: half of that is saved */
        argv[count++] = "-J-XX:TieredStopAtLevel=1";
        argv[count++] = "-J-XX:+UseSerialGC";
        buffer_format(&password, PASSWORD_VARIABLE "=%s", job->java_password);
        more[0] = buffer_string(&password);
        if (run_program((char *const *) (uintptr_t) argv, more, RUN_TIMEOUT_S, ret, &why) == 0)
                return 0;
        (void) said(ret, text);
        if (strstr(text, "password was incorrect"))
                return error_set(err, ERR_KEY_PASSPHRASE,
                                 "the store's password is another one: give it with "
                                 "--java-password-file FILE");
        return error_set(err, why.code, "%s%s%s", why.text, *text ? ": " : "", text);
}

/* ---- looking ---- */

struct entry {
        char alias[ALIAS_MAX];
        struct bytes pem;
};

/* "Alias name: …" and what follows until the next one. Return: whether there was one more; @rest is moved behind it */
static bool next_entry(struct bytes *rest, struct entry *ret) {
        static const char mark[] = "Alias name: ";
        const uint8_t *at = memmem(rest->data, rest->size, mark, sizeof(mark) - 1), *line, *end,
                      *next;

        if (!at)
                return false;
        line = at + sizeof(mark) - 1;
        *rest = BYTES(line, rest->size - (size_t) (line - rest->data));
        end = memchr(line, '\n', rest->size);
        if (!end || end - line >= ALIAS_MAX)
                return false;
        memcpy(ret->alias, line, (size_t) (end - line));
        ret->alias[end - line] = '\0';
        next = memmem(end, rest->size - (size_t) (end - line), mark, sizeof(mark) - 1);
        if (!next)
                next = rest->data + rest->size;
        ret->pem = BYTES(end, (size_t) (next - end));
        *rest = BYTES(next, rest->size - (size_t) (next - rest->data));
        return true;
}

/* The aliases of what is looked for. */
struct aliases {
        char items[TRUST_OTHERS_MAX][ALIAS_MAX];
        size_t count;
};

/* All entries. @ret_aliases: may be NULL */
static int list(const struct trust_job *job, const struct root *root, const char *store,
                struct trust_scan *ret, struct aliases *ret_aliases, struct error *err) {
        static const char *const words[] = { "-list", "-rfc", NULL };
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct entry entry;
        struct bytes rest;

        if (keytool(job, store, words, &text, err) < 0)
                return -1;
        if (text.size >= RUN_OUTPUT_MAX)
                return error_set(err, ERR_IO, "this store has too many certificates");
        rest = buffer_bytes(&text);
        while (next_entry(&rest, &entry)) {
                bool before = ret->there;

                ret->there = false;
                if (trust_scan_text(ret, root, entry.pem, err) < 0)
                        return -1;
                if (ret->there && ret_aliases && ret_aliases->count < TRUST_OTHERS_MAX)
                        memcpy(ret_aliases->items[ret_aliases->count++], entry.alias, ALIAS_MAX);
                ret->there |= before;
        }
        return 0;
}

static void look(const struct trust_job *job, struct trust_row *row) {
        char program[TRUST_WHERE_MAX];
        struct trust_scan scan = { 0 };
        struct error err = { 0 };

        if (access(row->where, F_OK) < 0) {
                trust_set(row, TRUST_FAILED, "there is no such file");
                return;
        }
        if (!find_keytool(program)) {
                (void) snprintf(row->tool, sizeof(row->tool), "keytool");
                trust_set(row, TRUST_NEEDS_TOOL,
                          "keytool reads and writes Java's stores: it comes with any Java "
                          "(default-jre-headless)");
                return;
        }
        if (list(job, job->root, row->where, &scan, /* ret_aliases= */ NULL, &err) < 0) {
                trust_set(row, TRUST_FAILED, "%s", err.text);
                return;
        }
        row->state = scan.there ? TRUST_INSTALLED : TRUST_ABSENT;
        row->others_count = scan.others_count;
        memcpy(row->others, scan.others, sizeof(row->others));
}

/* ---- a copy that takes the store's place ---- */

struct copy {
        int fd;        /* of the copy; keytool inherits it */
        char path[32]; /* by which keytool knows it */
        mode_t mode;   /* of the store */
};

static void copy_done(struct copy *copy) {
        copy->fd = fd_close(copy->fd);
}
CAD_CLEANUP_DONE(struct copy, copy_done)

static int check_changeable(const struct trust_job *job, const char *store, const struct stat *st,
                            struct error *err) {
        const char *path = store + strlen(job->prefix);

        for (size_t i = 0; i < ARRAY_SIZE(made_by_system); i++)
                if (strncmp(path, made_by_system[i], strlen(made_by_system[i])) == 0)
                        return error_set(
                                err, ERR_STATE_CONFLICT,
                                "this store is made of the system's own: choose --system, which brings it there, too");
        if (st->st_uid == geteuid())
                return 0;
        if (geteuid() == 0)
                return error_set(err, ERR_STATE_CONFLICT,
                                 "this store belongs to uid %u: run cactl trust as that user, with "
                                 "--user",
                                 (unsigned) st->st_uid);
        return error_set(err, ERR_FORBIDDEN, "only root may change it: use sudo");
}

static int copy_make(const struct trust_job *job, const char *store, struct copy *ret,
                     struct error *err) {
        CAD_AUTO(buffer_done) struct buffer content = { 0 };
        struct stat st;

        if (lstat(store, &st) < 0)
                return error_errno(err, errno, "cannot look at %s", store);
        if (check_changeable(job, store, &st, err) < 0 ||
            file_read(AT_FDCWD, store, FILE_ANY_OWNER, STORE_MAX, &content, err) < 0)
                return -1;
        ret->mode = st.st_mode & 0777;
        ret->fd = memfd_create("cactl-cacerts", /* flags= */ 0);
        if (ret->fd < 0 || fd_write_all(ret->fd, buffer_bytes(&content)) < 0)
                return error_errno(err, errno, "cannot copy the store into memory");
        (void) snprintf(ret->path, sizeof(ret->path), "/proc/self/fd/%d", ret->fd);
        return 0;
}

static int copy_commit(const struct copy *copy, const char *store, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer content = { 0 };
        struct stat st;
        uint8_t *at;

        if (fstat(copy->fd, &st) < 0 || st.st_size <= 0 || st.st_size > (off_t) STORE_MAX)
                return error_set(err, ERR_IO, "keytool has left no store");
        at = buffer_reserve(&content, (size_t) st.st_size);
        if (!at)
                return error_no_memory(err);
        if (pread(copy->fd, at, (size_t) st.st_size, 0) != (ssize_t) st.st_size)
                return error_errno(err, errno, "cannot read what keytool has made");
        content.size = (size_t) st.st_size;
        return file_replace(AT_FDCWD, store, buffer_bytes(&content), copy->mode, err);
}

/* ---- changing ---- */

static int import(const struct trust_job *job, const char *store, struct error *err) {
        CAD_AUTO(fd_close) int fd = memfd_create("cactl-root", /* flags= */ 0);
        CAD_AUTO(buffer_done) struct buffer output = { 0 };
        char path[32];
        const char *const words[] = {
                "-importcert", "-noprompt", "-trustcacerts", "-alias", job->root->label, "-file",
                path,          NULL
        };

        if (fd < 0 || fd_write_all(fd, buffer_bytes(&job->root->pem)) < 0)
                return error_errno(err, errno, "cannot keep a certificate in memory");
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        return keytool(job, store, words, &output, err);
}

static int install(const struct trust_job *job, struct trust_row *row, struct error *err) {
        CAD_AUTO(copy_done) struct copy copy = { .fd = -1 };

        if (copy_make(job, row->where, &copy, err) < 0 || import(job, copy.path, err) < 0)
                return -1;
        return copy_commit(&copy, row->where, err);
}

static int delete_all(const struct trust_job *job, const char *store,
                      const struct root_match *match, struct error *err) {
        const struct root wanted = { .match = *match };
        struct aliases aliases = { .count = 0 };
        struct trust_scan scan = { 0 };

        if (list(job, &wanted, store, &scan, &aliases, err) < 0)
                return -1;
        for (size_t i = 0; i < aliases.count; i++) {
                CAD_AUTO(buffer_done) struct buffer output = { 0 };
                const char *const words[] = { "-delete", "-alias", aliases.items[i], NULL };

                if (keytool(job, store, words, &output, err) < 0)
                        return -1;
        }
        return 0;
}

static int take_out(const struct trust_job *job, struct trust_row *row,
                    const struct root_match *match, struct error *err) {
        CAD_AUTO(copy_done) struct copy copy = { .fd = -1 };

        if (copy_make(job, row->where, &copy, err) < 0 ||
            delete_all(job, copy.path, match, err) < 0)
                return -1;
        return copy_commit(&copy, row->where, err);
}

const struct trust_store trust_java = {
        .name = "java",
        .find = find,
        .look = look,
        .install = install,
        .remove = take_out,
};
