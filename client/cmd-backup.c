/*
 * cactl backup and restore. The CA hands out a copy of its store; what needs the store's own code or the signer's folder is done by
 * `cad`, which this runs.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api.h"
#include "cactl.h"
#include "http.h"
#include "lib/base/file.h"
#include "lib/base/text.h"
#include "output.h"

#define BACKUP_TYPE "application/vnd.sqlite3"
#define SCHEDULED_FOLDER "/var/backups/cad"
#define SCHEDULED_KEPT 14
#define ABANDONED_S 86400 /* a file that was being written this long ago is none's */

static const struct option backup_options[] = {
        { "with-keys", NULL, "as root: the signer's folder, too, its keys encrypted" },
        { "passphrase-file", "FILE",
          "with --with-keys: the passphrase that keys without one get in the backup; with verify: the one to try on its keys" },
        { "state-dir", "DIR", "with --with-keys: cad's state folder, where it is not the default" },
        { "config", "FILE", "with --with-keys: cad's configuration, where it is not the default" },
        { "scheduled", NULL,
          "as the timer does: a file of this moment in " SCHEDULED_FOLDER
          ", of which the last 14 are kept" },
        { "folder", "DIR", "with --scheduled: another folder; only backups are in it" },
        { "replace", NULL, "write over a file that is there" },
        { 0 },
};

static const struct option restore_options[] = {
        { "accept-loss", NULL, "go on where something is lost, after it was listed" },
        { "passphrase-file", "FILE", "the passphrase of the keys in the backup" },
        { "state-dir", "DIR", "cad's state folder, where it is not the default" },
        { "config", "FILE", "cad's configuration, where it is not the default" },
        { 0 },
};

/* ---- cad itself ---- */

/* Beside cactl, or where it is installed or built beside it. */
static bool find_cad(char *out, size_t size) {
        static const char *const places[] = { "cad", "../sbin/cad", "../daemon/cad" };
        char self[4000];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        char *slash;

        if (n < 0)
                return false;
        self[n] = '\0';
        slash = strrchr(self, '/');
        if (!slash)
                return false;
        *slash = '\0';
        for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
                (void) snprintf(out, size, "%s/%s", self, places[i]);
                if (access(out, X_OK) == 0)
                        return true;
        }
        return false;
}

/* "--option value" of ours as cad's. */
static size_t pass_on(const struct client *c, const char *name, char *dashed, size_t size,
                      const char **argv, size_t at) {
        const char *value = option_value(c, name);

        if (!value)
                return at;
        (void) snprintf(dashed, size, "--%s", name);
        argv[at++] = dashed;
        argv[at++] = value;
        return at;
}

#define PASSED_PLACES 2 /* the first of what is passed on */

static enum result run_cad(const struct client *c, const char *command, const char *file,
                           const char *flag) {
        static const char *const passed[] = { "state-dir", "config", "passphrase-file" };
        char program[4096], dashed[ARRAY_SIZE(passed)][24], path[4096];
        const char *argv[12] = { program, command, path };
        size_t n = 3;
        int status = 0;
        pid_t pid;

        if (!find_cad(program, sizeof(program)))
                return fail(REFUSED,
                            "there is no cad beside this cactl: restore where the CA is installed");
        /* what begins with a dash would be an option there */
        if (snprintf(path, sizeof(path), "%s%s", file[0] == '-' ? "./" : "", file) >=
            (int) sizeof(path))
                return fail(REFUSED, "the path of the backup is too long");
        if (flag)
                argv[n++] = flag;
        /* a rehearsal has nothing to do with where a CA is */
        for (size_t i = text_equal(flag, "--check") ? PASSED_PLACES : 0; i < ARRAY_SIZE(passed);
             i++)
                n = pass_on(c, passed[i], dashed[i], sizeof(dashed[i]), argv, n);
        (void) fflush(stdout);
        pid = fork();
        if (pid == 0) { /* what it says is for people */
                if (c->json && dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
                        _exit(127);
                (void) execv(program, (char *const *) (uintptr_t) argv);
                _exit(127);
        }
        while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        if (pid < 0 || !WIFEXITED(status))
                return fail(REFUSED, "%s could not be run to its end", program);
        return WEXITSTATUS(status) == 0 ? DONE : WEXITSTATUS(status) == 2 ? WRONG_USAGE : REFUSED;
}

/* ---- backup ---- */

static enum result tell(json_t *value) {
        CAD_AUTO(json_free) json_t *owned = value;

        if (!owned)
                return fail(REFUSED, "out of memory");
        put_json(owned);
        return DONE;
}

static enum result fetch(struct client *c, const char *path, int fd, uint64_t *ret_saved) {
        const struct http_request request = {
                .method = "POST", .path = "/v1/backup", .save_type = BACKUP_TYPE, .save_fd = fd
        };
        enum result result = api_save(c, &request, ret_saved);

        if (result != DONE)
                return result;
        return fsync(fd) < 0 ? fail(REFUSED, "cannot write %s: %s", path, strerror(errno)) : DONE;
}

static void sync_folder_of(const char *path) {
        const char *slash = strrchr(path, '/');
        CAD_AUTO(buffer_done) struct buffer folder = { 0 };
        CAD_AUTO(fd_close) int fd = -1;

        buffer_format(&folder, "%.*s", slash ? (int) (slash - path) + 1 : 1, slash ? path : ".");
        fd = open(buffer_string(&folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
                (void) fsync(fd);
}

/* Not over one that came meanwhile. */
static enum result give_name(const struct client *c, const char *name, const char *path) {
        unsigned flags = option_given(c, "replace") ? 0 : RENAME_NOREPLACE;
        int rc = renameat2(AT_FDCWD, name, AT_FDCWD, path, flags);

        if (rc < 0 && errno == EINVAL) /* a file system that cannot promise it */
                rc = rename(name, path);
        if (rc < 0)
                return fail(REFUSED, "cannot rename %s to %s: %s", name, path, strerror(errno));
        sync_folder_of(path);
        return DONE;
}

static enum result tell_made(const struct client *c, const char *path, uint64_t size) {
        bool with_keys = option_given(c, "with-keys");

        if (!c->json) {
                say(c, "%s: %" PRIu64 " bytes%s", path, size,
                    with_keys ? ", and the keys, encrypted" : ", without keys");
                return DONE;
        }
        return tell(json_pack("{s:s, s:I, s:b}", "file", path, "bytes", (json_int_t) size,
                              "with_keys", with_keys));
}

/* Written beside its place and renamed when all of it, and what is added to it, is on disk. */
static enum result make_backup(struct client *c, const char *path) {
        CAD_AUTO(buffer_done) struct buffer temporary = { 0 };
        CAD_AUTO(fd_close) int fd = -1;
        uint64_t size = 0;
        enum result result;
        const char *name;
        struct stat st;

        buffer_format(&temporary, "%s.part", path);
        name = buffer_string(&temporary);
        if (!option_given(c, "replace") && lstat(path, &st) == 0)
                return fail(REFUSED, "%s is there already: choose another name, or add --replace",
                            path);
        (void) unlink(name);
        fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return fail(REFUSED, "cannot make %s: %s", name, strerror(errno));
        result = fetch(c, path, fd, &size);
        if (result == DONE && option_given(c, "with-keys"))
                result = run_cad(c, "backup-keys", name, NULL);
        if (result == DONE && fstat(fd, &st) == 0)
                size = (uint64_t) st.st_size;
        if (result == DONE)
                result = give_name(c, name, path);
        if (result != DONE)
                (void) unlink(name);
        return result == DONE ? tell_made(c, path, size) : result;
}

#define SCHEDULED_NAME "cad-????????T??????Z.backup"

/* One that was cut off has a name that is never used again. */
static void drop_part(const char *path, int64_t now) {
        struct stat st;

        if (lstat(path, &st) == 0 && st.st_mtime < now - ABANDONED_S)
                (void) unlink(path);
}

/* The oldest go: names are dates, so they are in order. */
static void drop_old(const char *folder, int64_t now) {
        struct dirent **entries = NULL;
        int count = scandir(folder, &entries, NULL, alphasort), ours = 0;

        for (int i = 0; i < count; i++)
                ours += fnmatch(SCHEDULED_NAME, entries[i]->d_name, 0) == 0;
        for (int i = 0; i < count; i++) {
                CAD_AUTO(buffer_done) struct buffer path = { 0 };

                buffer_format(&path, "%s/%s", folder, entries[i]->d_name);
                if (fnmatch(SCHEDULED_NAME ".part", entries[i]->d_name, 0) == 0)
                        drop_part(buffer_string(&path), now);
                if (ours > SCHEDULED_KEPT && fnmatch(SCHEDULED_NAME, entries[i]->d_name, 0) == 0) {
                        (void) unlink(buffer_string(&path));
                        ours--;
                }
                free(entries[i]);
        }
        free(entries);
}

static enum result backup_scheduled(struct client *c) {
        const char *folder = option_value(c, "folder");
        CAD_AUTO(buffer_done) struct buffer path = { 0 };
        time_t now = (time_t) c->now;
        enum result result;
        char stamp[32];
        struct tm tm;

        if (!folder) {
                folder = SCHEDULED_FOLDER;
                (void) mkdir("/var/backups", 0755);
        }
        if (mkdir(folder, 0700) < 0 && errno != EEXIST)
                return fail(REFUSED, "cannot make %s: %s", folder, strerror(errno));
        (void) strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
        buffer_format(&path, "%s/cad-%s.backup", folder, stamp);
        result = make_backup(c, buffer_string(&path));
        if (result == DONE)
                drop_old(folder, c->now);
        return result;
}

static enum result backup_verify(struct client *c, const char *file) {
        enum result result = run_cad(c, "restore", file, "--check");

        if (result != DONE || !c->json)
                return result;
        return tell(option_given(c, "passphrase-file")
                            ? json_pack("{s:s, s:b, s:b}", "file", file, "restorable", true,
                                        "keys_open", true)
                            : json_pack("{s:s, s:b}", "file", file, "restorable", true));
}

static enum result backup_run(struct client *c) {
        if (option_given(c, "scheduled"))
                return c->args_count ? fail(WRONG_USAGE, "--scheduled chooses the file itself")
                                     : backup_scheduled(c);
        if (option_given(c, "folder"))
                return fail(WRONG_USAGE, "--folder goes with --scheduled");
        if (c->args_count == 0)
                return fail(WRONG_USAGE, "into which file? cactl backup FILE");
        if (c->args_count == 1)
                return strcmp(c->args[0], "verify") == 0
                        ? fail(WRONG_USAGE,
                               "which backup? cactl backup verify FILE (a file of that name is ./verify)")
                        : make_backup(c, c->args[0]);
        if (strcmp(c->args[0], "verify") != 0)
                return fail(WRONG_USAGE, "cactl backup FILE, or cactl backup verify FILE");
        return backup_verify(c, c->args[1]);
}

const struct command cmd_backup = {
        .name = "backup",
        .args = "FILE",
        .args_max = 2,
        .help = "A copy of the CA's database while it runs, or a rehearsal with one",
        .more = "A backup holds the database and the CA's certificates; keys only with --with-keys, which is for root, and always "
                "encrypted. 'cactl backup verify FILE' restores it into a temporary folder, opens it, and checks the chain and the audit; with "
                "--passphrase-file it opens the keys, too.",
        .options = backup_options,
        .run = backup_run,
};

static enum result restore_run(struct client *c) {
        enum result result = run_cad(c, "restore", c->args[0],
                                     option_given(c, "accept-loss") ? "--accept-loss" : NULL);

        return result == DONE && c->json
                ? tell(json_pack("{s:s, s:b}", "file", c->args[0], "restored", true))
                : result;
}

const struct command cmd_restore = {
        .name = "restore",
        .args = "FILE",
        .args_min = 1,
        .args_max = 1,
        .help = "Put a backup back where there is no database; cad is stopped",
        .more = "Revocations of the last published CRLs and certificates of the signer's log that the backup does not know are put in. Where "
                "something is lost it is listed and nothing is done, but with --accept-loss.",
        .options = restore_options,
        .run = restore_run,
};
