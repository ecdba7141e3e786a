/*
 * The schema: a database from nothing, and from an older version. Nothing here may leave a half-made cad.db: it is made
 * under another name and renamed, each migration is one transaction, and a copy is kept before the first of them.
 */
#include "db/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/moment.h"

#define NEW_FILE STORE_FILE ".new"

static int sync_file(int dir_fd, const char *name, struct error *err) {
        CAD_AUTO(fd_close) int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0 || fsync(fd) < 0)
                return error_errno(err, errno, "cannot sync %s", name);
        return 0;
}

/* An empty file that only we may read, in place of one that was left here by one who was killed. */
static int fresh_file(int dir_fd, const char *name, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer journal = { 0 };
        CAD_AUTO(fd_close) int fd = -1;

        buffer_format(&journal, "%s-journal", name);
        if (journal.failed)
                return error_no_memory(err);
        (void) unlinkat(dir_fd, buffer_string(&journal), 0);
        (void) unlinkat(dir_fd, name, 0);
        fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0 || fchmod(fd, 0600) < 0)
                return error_errno(err, errno, "cannot make %s", name);
        return 0;
}

/* Settle what SQLite closed into its final name, durably. */
static int put_in_place(int dir_fd, const char *from, const char *to, struct error *err) {
        if (sync_file(dir_fd, from, err) < 0)
                return -1;
        if (renameat(dir_fd, from, dir_fd, to) < 0)
                return error_errno(err, errno, "cannot rename %s to %s", from, to);
        return folder_sync(dir_fd, to, err);
}

static int apply_migration(struct sql_connection *c, const struct migration_list *list,
                           size_t version, struct error *err) {
        char stamp[64], what[96];

        (void) snprintf(stamp, sizeof(stamp), "PRAGMA user_version = %zu", version + 1);
        (void) snprintf(what, sizeof(what), "cannot apply migration %.60s",
                        list->rows[version].name);
        if (sql_exec(c, "BEGIN EXCLUSIVE", what, err) < 0)
                return -1;
        if (sql_exec(c, list->rows[version].sql, what, err) < 0 ||
            sql_exec(c, stamp, what, err) < 0 || sql_exec(c, "COMMIT", what, err) < 0) {
                (void) sql_exec(c, "ROLLBACK", what, /* err= */ NULL);
                return -1;
        }
        return 0;
}

int migrations_apply(struct sql_connection *c, const struct migration_list *list, size_t from,
                     size_t to, struct error *err) {
        for (size_t version = from; version < to; version++)
                if (apply_migration(c, list, version, err) < 0)
                        return -1;
        return 0;
}

static int put_meta(struct sql_connection *c, const char *ca_id, struct error *err) {
        sqlite3_stmt *s = NULL;
        int rc = sqlite3_prepare_v2(c->db, "INSERT INTO meta VALUES (1, ?1, ?2)", -1, &s, NULL);

        if (rc == SQLITE_OK) {
                bind_text(s, 1, ca_id);
                (void) sqlite3_bind_int64(s, 2, moment_now());
                rc = sqlite3_step(s);
        }
        (void) sqlite3_finalize(s);
        return rc == SQLITE_DONE ? 0 : sql_error(c, rc, "cannot make " STORE_FILE, err);
}

/* Not sql_open(): a rollback journal until all is there, so that one file is the whole database. */
static int fill_new(const char *path, const char *ca_id, struct error *err) {
        CAD_AUTO(sql_done) struct sql_connection c = { 0 };
        struct migration_list list = { migrations, migration_count };
        char settings[128];
        int rc = sqlite3_open_v2(path, &c.db,
                                 SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW,
                                 NULL);

        (void) snprintf(settings, sizeof(settings),
                        "PRAGMA page_size = 4096; PRAGMA application_id = %d;",
                        STORE_APPLICATION_ID);
        if (rc != SQLITE_OK)
                return sql_error(&c, rc, "cannot make " STORE_FILE, err);
        if (sql_exec(&c, settings, "cannot make " STORE_FILE, err) < 0)
                return -1;
        if (migrations_apply(&c, &list, 0, list.count, err) < 0 || put_meta(&c, ca_id, err) < 0)
                return -1;
        return sql_exec(&c, "PRAGMA journal_mode = WAL", "cannot make " STORE_FILE, err);
}

int store_create(int dir_fd, const char *dir, const char *ca_id, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 };

        buffer_format(&path, "%s/%s", dir, NEW_FILE);
        if (path.failed)
                return error_no_memory(err);
        if (fresh_file(dir_fd, NEW_FILE, err) < 0)
                return -1;
        if (fill_new(buffer_string(&path), ca_id, err) < 0 ||
            put_in_place(dir_fd, NEW_FILE, STORE_FILE, err) < 0) {
                (void) unlinkat(dir_fd, NEW_FILE, 0);
                return -1;
        }
        return 0;
}

static int copy_pages(struct sql_connection *from, const char *path, struct error *err) {
        CAD_AUTO(sql_done) struct sql_connection to = { 0 };
        int rc = sqlite3_open_v2(path, &to.db,
                                 SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW,
                                 NULL);
        sqlite3_backup *backup;

        if (rc != SQLITE_OK)
                return sql_error(&to, rc, "cannot copy " STORE_FILE, err);
        backup = sqlite3_backup_init(to.db, "main", from->db, "main");
        if (!backup)
                return sql_error(&to, sqlite3_extended_errcode(to.db), "cannot copy " STORE_FILE,
                                 err);
        rc = sqlite3_backup_step(backup, -1);
        (void) sqlite3_backup_finish(backup);
        return rc == SQLITE_DONE
                ? 0
                : sql_error(&to, rc, "cannot keep a copy of " STORE_FILE " before migrating it",
                            err);
}

static int keep_copy(int dir_fd, const char *dir, struct sql_connection *c, int64_t version,
                     struct error *err) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 };
        char name[64], temporary[80];

        (void) snprintf(name, sizeof(name), "%s.before-%lld", STORE_FILE, (long long) version + 1);
        (void) snprintf(temporary, sizeof(temporary), "%s.new", name);
        buffer_format(&path, "%s/%s", dir, temporary);
        if (path.failed)
                return error_no_memory(err);
        if (fresh_file(dir_fd, temporary, err) < 0)
                return -1;
        if (copy_pages(c, buffer_string(&path), err) < 0 ||
            put_in_place(dir_fd, temporary, name, err) < 0) {
                (void) unlinkat(dir_fd, temporary, 0);
                return -1;
        }
        return 0;
}

int store_migrate(int dir_fd, const char *dir, struct sql_connection *c,
                  const struct migration_list *list, struct error *err) {
        int64_t version = 0;

        if (sql_number(c, "PRAGMA user_version", &version, err) < 0)
                return -1;
        if (version > (int64_t) list->count)
                return error_set(
                        err, ERR_STORE_NEWER,
                        "%s has schema %lld and this cad knows %zu at most: run the newer cad that made it, or "
                        "put back the copy %s.before-%zu",
                        STORE_FILE, (long long) version, list->count, STORE_FILE, list->count + 1);
        if (version < 1)
                return error_set(err, ERR_STORE_FOREIGN,
                                 "%s has no schema version: it was not made by cad", STORE_FILE);
        if ((size_t) version < list->count && keep_copy(dir_fd, dir, c, version, err) < 0)
                return -1;
        return migrations_apply(c, list, (size_t) version, list->count, err);
}
