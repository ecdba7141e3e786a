/*
 * The system's own store: a folder for roots of the administrator, and a program that makes of it what programs read.
 *
 * Written is the folder; read back is the bundle. Nothing that is there is overwritten unless it is this very root.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inside.h"
#include "lib/base/file.h"
#include "lib/base/text.h"

#define UPDATE_TIMEOUT_S 180
#define BUNDLE_MAX (16u * 1024 * 1024) /* bytes; Debian's is 220 KB */
#define ANCHOR_MAX (1024u * 1024)      /* bytes of a file of the folder */
#define ANCHORS_MAX 4096               /* files of the folder that are looked at */
#define UPDATE_WORDS 2

static const struct way {
        const char *folder, *suffix;
        const char *update[UPDATE_WORDS + 1];
        const char *update_after_removal[UPDATE_WORDS + 1];
        const char *bundle;
} ways[] = {
        /* Debian, Ubuntu, Alpine. Only --fresh takes out the link of a file that has gone */
        { "/usr/local/share/ca-certificates",
          ".crt",
          { "update-ca-certificates" },
          { "update-ca-certificates", "--fresh" },
          "/etc/ssl/certs/ca-certificates.crt" },
        /* Fedora, RHEL and what comes from them */
        { "/etc/pki/ca-trust/source/anchors",
          ".crt",
          { "update-ca-trust", "extract" },
          { "update-ca-trust", "extract" },
          "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem" },
        /* Arch */
        { "/etc/ca-certificates/trust-source/anchors",
          ".crt",
          { "update-ca-trust" },
          { "update-ca-trust" },
          "/etc/ca-certificates/extracted/tls-ca-bundle.pem" },
        /* openSUSE, SLES */
        { "/etc/pki/trust/anchors",
          ".pem",
          { "update-ca-certificates" },
          { "update-ca-certificates" },
          "/var/lib/ca-certificates/ca-bundle.pem" },
};

/* ---- which way ---- */

static bool has_folder(const struct trust_job *job, const struct way *way) {
        CAD_AUTO(fd_close) int fd = inside_open(job, way->folder, O_PATH | O_DIRECTORY);

        return fd >= 0;
}

/* Folder and program; failing that, the folder alone, so that its program can be asked for. NULL: none of these */
static const struct way *find_way(const struct trust_job *job) {
        char program[TRUST_WHERE_MAX];
        const struct way *half = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
                if (!has_folder(job, &ways[i]))
                        continue;
                if (inside_program(job, ways[i].update[0], program))
                        return &ways[i];
                if (!half)
                        half = &ways[i];
        }
        return half;
}

static int find(const struct trust_job *job, struct trust_rows *rows, struct error *err) {
        const struct way *way = job->own_only ? NULL : find_way(job);
        struct trust_row *row;

        if (!way)
                return 0;
        row = trust_row_add(rows, TRUST_SYSTEM);
        if (!row)
                return error_no_memory(err);
        (void) snprintf(row->where, sizeof(row->where), "%s%s", job->prefix, way->bundle);
        return 0;
}

/* ---- the folder ---- */

static int open_folder(const struct trust_job *job, const struct way *way, struct error *err) {
        CAD_AUTO(fd_close) int fd = inside_open(job, way->folder, O_RDONLY | O_DIRECTORY);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return error_errno(err, errno, "cannot open %s", way->folder);
        if (st.st_mode & S_IWOTH)
                return error_set(err, ERR_FILE_UNSAFE, "everybody may write into %s: chmod o-w %s",
                                 way->folder, way->folder);
        return CAD_TAKE_FD(fd);
}

/* The next file of the folder that is a certificate's by its name. */
static const char *next_file(DIR *folder, const struct way *way) {
        const struct dirent *entry;

        while ((entry = readdir(folder)))
                if (entry->d_name[0] != '.' &&
                    (text_ends_with(entry->d_name, way->suffix) ||
                     text_ends_with(entry->d_name, ".pem") ||
                     text_ends_with(entry->d_name, ".crt") ||
                     text_ends_with(entry->d_name, ".cer")))
                        return entry->d_name;
        return NULL;
}

static int scan_file(int folder, const char *name, const struct root *root,
                     struct trust_scan *scan) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct error ignored = { 0 };

        if (file_read(folder, name, FILE_ANY_OWNER, ANCHOR_MAX, &text, &ignored) < 0)
                return -1;
        return trust_scan_text(scan, root, buffer_bytes(&text), &ignored);
}

static DIR *list_folder(int folder) {
        int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *list = again < 0 ? NULL : fdopendir(again);

        if (!list)
                (void) fd_close(again);
        return list;
}

/* What the folder holds, of whatever name. */
static void scan_folder(const struct trust_job *job, const struct way *way,
                        struct trust_scan *scan) {
        struct error ignored = { 0 };
        CAD_AUTO(fd_close) int folder = open_folder(job, way, &ignored);
        DIR *list = folder < 0 ? NULL : list_folder(folder);
        const char *name;

        if (!list)
                return;
        for (size_t i = 0; i < ANCHORS_MAX && (name = next_file(list, way)); i++)
                (void) scan_file(folder, name, job->root, scan);
        (void) closedir(list);
}

/* ---- looking ---- */

static void look(const struct trust_job *job, struct trust_row *row) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        const struct way *way = find_way(job);
        struct trust_scan bundle = { 0 }, folder = { 0 };
        struct error err = { 0 };

        if (!way) {
                trust_set(row, TRUST_FAILED, "the folder of the system's own roots is not there");
                return;
        }
        scan_folder(job, way, &folder);
        row->others_count = folder.others_count;
        memcpy(row->others, folder.others, sizeof(row->others));
        if ((inside_read(job, way->bundle, BUNDLE_MAX, &text, &err) < 0 &&
             err.code != ERR_NOT_FOUND) ||
            trust_scan_text(&bundle, job->root, buffer_bytes(&text), &err) < 0) {
                trust_set(row, TRUST_FAILED, "%s", err.text);
                return;
        }
        row->state = bundle.there ? TRUST_INSTALLED
                : folder.there    ? TRUST_DISTRUSTED
                                  : TRUST_ABSENT;
        if (row->state == TRUST_DISTRUSTED)
                trust_set(
                        row, TRUST_DISTRUSTED,
                        "it is in %s, and %s has not taken it up or has been told to leave it out",
                        way->folder, way->update[0]);
}

/* ---- changing ---- */

static int update(const struct trust_job *job, const char *const words[UPDATE_WORDS + 1],
                  struct error *err) {
        const char *argv[UPDATE_WORDS + 1] = { NULL };
        char program[TRUST_WHERE_MAX];

        if (!inside_program(job, words[0], program))
                return error_set(err, ERR_NOT_FOUND,
                                 "%s is not there: install the package ca-certificates", words[0]);
        memcpy(argv, words, sizeof(argv));
        argv[0] = program;
        return inside_run(job, argv, UPDATE_TIMEOUT_S, err);
}

static int may_write(int folder, const struct way *way, struct error *err) {
        if (faccessat(folder, ".", W_OK, AT_EACCESS) == 0)
                return 0;
        if (errno == EROFS)
                return error_set(err, ERR_IO, "%s is on a file system that is read-only",
                                 way->folder);
        return error_set(err, ERR_FORBIDDEN, "only root may write into %s: use sudo", way->folder);
}

/* A file of that name that holds something else is not ours to replace. */
static int check_place(int folder, const char *name, const struct way *way,
                       const struct trust_job *job, struct error *err) {
        struct trust_scan scan = { 0 };
        struct stat st;

        if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
                return 0;
        if (scan_file(folder, name, job->root, &scan) == 0 && scan.there && scan.count == 1)
                return 0;
        return error_set(err, ERR_STATE_CONFLICT,
                         "%s/%s is there and is something else: move it away", way->folder, name);
}

static int install(const struct trust_job *job, struct trust_row *row, struct error *err) {
        const struct way *way = find_way(job);
        char name[ROOT_LABEL_MAX + 8], program[TRUST_WHERE_MAX];
        CAD_AUTO(fd_close) int folder = -1;

        if (!way || !inside_program(job, way->update[0], program))
                return error_set(err, ERR_NOT_FOUND, "%s is not there: install ca-certificates",
                                 way ? way->update[0] : "the system's store");
        (void) row;
        (void) snprintf(name, sizeof(name), "%s%s", job->root->label, way->suffix);
        folder = open_folder(job, way, err);
        if (folder < 0 || may_write(folder, way, err) < 0 ||
            check_place(folder, name, way, job, err) < 0 ||
            file_replace(folder, name, buffer_bytes(&job->root->pem), 0644, err) < 0)
                return -1;
        return update(job, way->update, err);
}

static int remove_files(int folder, const struct way *way, const struct root *match_only,
                        struct error *err) {
        DIR *list = list_folder(folder);
        const char *name;
        int rc = 0;

        if (!list)
                return error_errno(err, errno, "cannot list %s", way->folder);
        for (size_t i = 0; rc == 0 && i < ANCHORS_MAX && (name = next_file(list, way)); i++) {
                struct trust_scan scan = { 0 };

                (void) scan_file(folder, name, match_only, &scan);
                if (!scan.there)
                        continue;
                if (scan.count > 1)
                        rc = error_set(
                                err, ERR_STATE_CONFLICT,
                                "%s/%s holds other certificates beside this root: take it out by hand",
                                way->folder, name);
                else if (unlinkat(folder, name, 0) < 0)
                        rc = error_errno(err, errno, "cannot remove %s/%s", way->folder, name);
        }
        (void) closedir(list);
        return rc;
}

static int take_out(const struct trust_job *job, struct trust_row *row,
                    const struct root_match *match, struct error *err) {
        const struct way *way = find_way(job);
        const struct root match_only = { .match = *match };
        CAD_AUTO(fd_close) int folder = way ? open_folder(job, way, err) : -1;

        (void) row;
        if (folder < 0 || may_write(folder, way, err) < 0 ||
            remove_files(folder, way, &match_only, err) < 0)
                return -1;
        return update(job, way->update_after_removal, err);
}

const struct trust_store trust_system = {
        .name = "system",
        .find = find,
        .look = look,
        .install = install,
        .remove = take_out,
};
