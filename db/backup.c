/*
 * Backups: see backup.h. SQLite's backup interface makes the copy, so that it is one moment of the store whatever is written meanwhile;
 * nothing has its final name before it is whole and on disk.
 *
 * A backup that is read may be anybody's work, and root reads it. Nothing in it is run: before a table of it is touched its schema is held
 * against one that was made here, text by text, so that it has no trigger, view, index or check but ours.
 */
#include "db/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "db/internal.h"
#include "lib/base/file.h"
#include "lib/base/moment.h"

#define BACKUP_APPLICATION_ID 0x6361644b  /* "cadK" */
#define ROW_MAX (BACKUP_FILE_MAX + 65536) /* octets; SQLite refuses longer ones */
#define CA_ID_SIZE 64
#define TEXT_OF_(x) #x
#define TEXT_OF(x) TEXT_OF_(x)

struct backup {
        struct sql_connection c;
};

/* ---- a connection to a file that is no cad.db: a rollback journal, and nothing of the store's settings ---- */

static int open_file(struct sql_connection *c, const char *path, int flags, const char *what,
                     struct error *err) {
        int rc = sqlite3_open_v2(path, &c->db,
                                 flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW |
                                         SQLITE_OPEN_EXRESCODE,
                                 NULL);

        if (rc == SQLITE_OK)
                rc = sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        if (rc != SQLITE_OK)
                return sql_error(c, rc, what, err);
        (void) sqlite3_limit(c->db, SQLITE_LIMIT_LENGTH, (int) ROW_MAX);
        return sql_exec(c, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;", what, err);
}

static int copy_all(struct sql_connection *from, struct sql_connection *to, const char *what,
                    struct error *err) {
        sqlite3_backup *copy = sqlite3_backup_init(to->db, "main", from->db, "main");
        int rc;

        if (!copy)
                return sql_error(to, sqlite3_extended_errcode(to->db), what, err);
        rc = sqlite3_backup_step(copy, -1);
        (void) sqlite3_backup_finish(copy);
        return rc == SQLITE_DONE ? 0 : sql_error(to, rc, what, err);
}

/* SQLite takes paths and follows no link: what a path is without any. */
static int real_path_of(int dir_fd, const char *name, char out[PATH_MAX], struct error *err) {
        char link_name[PATH_MAX], folder[PATH_MAX];
        int n;

        if (dir_fd == AT_FDCWD) {
                if (!realpath(name, out))
                        return error_errno(err, errno, "cannot open the backup %s", name);
                return 0;
        }
        (void) snprintf(link_name, sizeof(link_name), "/proc/self/fd/%d", dir_fd);
        if (!realpath(link_name, folder))
                return error_errno(
                        err, errno,
                        "cannot find the path of the folder (may its owner enter all above it, and is /proc there?)");
        n = snprintf(out, PATH_MAX, "%s/%s", folder, name);
        return n < PATH_MAX ? 0 : error_set(err, ERR_IO, "the path of %s is too long", name);
}

/* What SQLite keeps beside a database. */
static const char *const beside[] = { "-journal", "-wal", "-shm" };

static void remove_beside(int dir_fd, const char *name) {
        char path[256];

        for (size_t i = 0; i < ARRAY_SIZE(beside); i++) {
                (void) snprintf(path, sizeof(path), "%.200s%s", name, beside[i]);
                (void) unlinkat(dir_fd, path, 0);
        }
}

static void remove_all(int dir_fd, const char *name) {
        remove_beside(dir_fd, name);
        (void) unlinkat(dir_fd, name, 0);
}

/* An empty file of that name that is ours alone, in the place of one that was left behind. */
static int make_empty(int dir_fd, const char *name, struct error *err) {
        CAD_AUTO(fd_close) int fd = -1;

        remove_all(dir_fd, name);
        fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        return fd < 0 ? error_errno(err, errno, "cannot make %s", name) : 0;
}

static int settle(int dir_fd, const char *from, const char *to, struct error *err) {
        CAD_AUTO(fd_close) int fd = openat(dir_fd, from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0 || fsync(fd) < 0)
                return error_errno(err, errno, "cannot sync %s", from);
        if (renameat(dir_fd, from, dir_fd, to) < 0)
                return error_errno(err, errno, "cannot rename %s to %s", from, to);
        return folder_sync(dir_fd, to, err);
}

/* ---- making ---- */

static const char make_tables[] =
        "CREATE TABLE backup (one INTEGER PRIMARY KEY CHECK (one = 1), made_at INTEGER NOT NULL) STRICT;"
        "CREATE TABLE backup_files (name TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT;";

static const char make_backup[] =
        "INSERT INTO backup VALUES (1, CAST(strftime('%s', 'now') AS INTEGER));"
        "PRAGMA application_id = " TEXT_OF(BACKUP_APPLICATION_ID) ";";

/* What is dropped is overwritten: keys that root has put in, encrypted as they are, are nothing for the user that the store belongs to. */
static const char drop_tables[] =
        "PRAGMA secure_delete = ON; DROP TABLE backup; DROP TABLE backup_files;";

static const char make_store[] = "PRAGMA application_id = " TEXT_OF(
        STORE_APPLICATION_ID) "; PRAGMA journal_mode = WAL;";

static int fill_backup(struct store *store, const char *path, struct error *err) {
        CAD_AUTO(sql_done) struct sql_connection from = { 0 };
        CAD_AUTO(sql_done) struct sql_connection to = { 0 };

        if (sql_open(&from, store->path, SQL_READER, err) < 0 ||
            open_file(&to, path, SQLITE_OPEN_READWRITE, "cannot make the backup", err) < 0 ||
            /* it is synced as a whole, before it gets its name */
            sql_exec(&to, "PRAGMA synchronous = OFF", "cannot make the backup", err) < 0 ||
            copy_all(&from, &to, "cannot copy " STORE_FILE " into the backup", err) < 0)
                return -1;
        return sql_exec(&to, "PRAGMA journal_mode = DELETE", "cannot finish the backup", err) < 0 ||
                        sql_exec(&to, make_tables, "cannot finish the backup", err) < 0
                ? -1
                : sql_exec(&to, make_backup, "cannot finish the backup", err);
}

int store_backup(struct store *store, int dir_fd, const char *name, struct error *err) {
        char temporary[200], path[PATH_MAX];

        (void) snprintf(temporary, sizeof(temporary), "%.180s.part", name);
        if (real_path_of(dir_fd, temporary, path, err) < 0 ||
            make_empty(dir_fd, temporary, err) < 0)
                return -1;
        remove_beside(dir_fd, name); /* of one that is replaced: it would be played into this one */
        if (fill_backup(store, path, err) == 0 && settle(dir_fd, temporary, name, err) == 0)
                return 0;
        remove_all(dir_fd, temporary);
        return -1;
}

/* ---- opening ---- */

struct backup *backup_close(struct backup *backup) {
        if (backup)
                sql_done(&backup->c);
        free(backup);
        return NULL;
}

/* What the store says of itself there (cad.db, restore a backup) is not so of a backup. */
static int unreadable(struct sql_connection *c, const char *path, struct error *err) {
        int rc = sqlite3_errcode(c->db);

        if ((rc & 0xff) == SQLITE_NOTADB)
                return error_set(
                        err, ERR_STORE_FOREIGN,
                        "%s is no backup of cad's (it is no SQLite database): name a file that 'cactl backup FILE' made",
                        path);
        return error_set(err, ERR_STORE_FOREIGN,
                         "the backup %s cannot be read (%s, code %d): take another backup", path,
                         sqlite3_errstr(rc), rc);
}

static int check_kind(struct sql_connection *c, const char *path, struct error *err) {
        int64_t application = 0, version = 0, page_size = 0;

        if (sql_number(c, "PRAGMA application_id", &application, err) < 0)
                return unreadable(c, path, err);
        if (application == STORE_APPLICATION_ID)
                return error_set(
                        err, ERR_STORE_FOREIGN,
                        "%s is a cad.db and not a backup: put it into the state folder while cad is stopped",
                        path);
        if (application != BACKUP_APPLICATION_ID)
                return error_set(err, ERR_STORE_FOREIGN,
                                 "%s is no backup of cad's (application id 0x%08llx)", path,
                                 (unsigned long long) application);
        if (sql_number(c, "PRAGMA user_version", &version, err) < 0)
                return -1;
        if (version < 1 || version > (int64_t) migration_count)
                return error_set(
                        err, ERR_STORE_NEWER,
                        "%s has schema %lld and this cad knows %zu at most: use the cad that made it",
                        path, (long long) version, migration_count);
        if (sql_number(c, "PRAGMA page_size", &page_size, err) < 0)
                return -1;
        return page_size == 4096 ? 0
                                 : error_set(err, ERR_STORE_FOREIGN,
                                             "%s is no backup of cad's: its pages have %lld octets",
                                             path, (long long) page_size);
}

/* ---- the schema ---- */

static bool same_column(sqlite3_stmt *a, sqlite3_stmt *b, int at) {
        struct bytes left = column_bytes(a, at), right = column_bytes(b, at);

        return sqlite3_column_type(a, at) == sqlite3_column_type(b, at) && bytes_equal(left, right);
}

/* Return: 1 the same, 0 not, -1 with @err */
static int same_schema(struct sql_connection *c, struct sql_connection *ours, struct error *err) {
        static const char list[] =
                "SELECT type, name, tbl_name, sql FROM main.sqlite_schema ORDER BY type, name, tbl_name, sql";
        sqlite3_stmt *a = NULL, *b = NULL;
        int rc = sqlite3_prepare_v2(c->db, list, -1, &a, NULL), other = SQLITE_ROW;
        bool same = true;

        if (rc == SQLITE_OK)
                rc = sqlite3_prepare_v2(ours->db, list, -1, &b, NULL);
        while (rc == SQLITE_OK && same) {
                rc = sqlite3_step(a);
                other = sqlite3_step(b);
                same = rc == other;
                if (rc != SQLITE_ROW)
                        break;
                for (int i = 0; same && i < 4; i++)
                        same = same_column(a, b, i);
                rc = SQLITE_OK;
        }
        if (rc != SQLITE_OK && rc != SQLITE_ROW && rc != SQLITE_DONE)
                (void) sql_error(c, rc, "cannot read the backup's schema", err);
        (void) sqlite3_finalize(a);
        (void) sqlite3_finalize(b);
        return rc != SQLITE_OK && rc != SQLITE_ROW && rc != SQLITE_DONE ? -1 : same;
}

/* Nothing but what the same version of cad would have made is in it. */
static int check_schema(struct sql_connection *c, const char *path, struct error *err) {
        static const char what[] = "cannot make a schema to compare with";
        CAD_AUTO(sql_done) struct sql_connection ours = { 0 };
        struct migration_list known = { migrations, migration_count };
        int64_t version = 0;
        int rc;

        if (sql_number(c, "PRAGMA user_version", &version, err) < 0)
                return -1;
        if (version < 1 || version > (int64_t) migration_count)
                return error_set(err, ERR_STORE_FOREIGN, "%s was changed while it was read", path);
        rc = sqlite3_open_v2(":memory:", &ours.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                             NULL);
        if (rc != SQLITE_OK)
                return sql_error(&ours, rc, what, err);
        if (migrations_apply(&ours, &known, 0, (size_t) version, err) < 0 ||
            sql_exec(&ours, make_tables, what, err) < 0)
                return -1;
        rc = same_schema(c, &ours, err);
        if (rc == 0)
                return error_set(
                        err, ERR_STORE_FOREIGN,
                        "%s is not as cad makes it: it has tables, triggers or the like that are none of schema %lld, or lacks some. "
                        "Somebody has changed it: take another backup",
                        path, (long long) version);
        return rc < 0 ? -1 : 0;
}

static int check_whole(struct sql_connection *c, const char *path, struct error *err) {
        sqlite3_stmt *s = NULL;
        int rc = sqlite3_prepare_v2(c->db, "PRAGMA integrity_check(1)", -1, &s, NULL);
        const char *said = NULL;

        if (rc == SQLITE_OK)
                rc = sqlite3_step(s);
        if (rc == SQLITE_ROW)
                said = (const char *) sqlite3_column_text(s, 0);
        if (rc != SQLITE_ROW || !said || strcmp(said, "ok") != 0) {
                (void) error_set(err, ERR_STORE, "the backup %s is damaged: %.200s", path,
                                 said ? said : sqlite3_errmsg(c->db));
                (void) sqlite3_finalize(s);
                return -1;
        }
        (void) sqlite3_finalize(s);
        return 0;
}

static int check_references(struct sql_connection *c, const char *path, struct error *err) {
        sqlite3_stmt *s = NULL;
        int rc = sqlite3_prepare_v2(c->db, "PRAGMA foreign_key_check", -1, &s, NULL);

        if (rc == SQLITE_OK)
                rc = sqlite3_step(s);
        if (rc == SQLITE_ROW)
                (void) error_set(
                        err, ERR_STORE,
                        "the backup %s is damaged: rows that belong to others which are not there",
                        path);
        else if (rc != SQLITE_DONE)
                (void) sql_error(c, rc, "cannot read the backup", err);
        (void) sqlite3_finalize(s);
        return rc == SQLITE_DONE ? 0 : -1;
}

/* SQLite would wait for a FIFO, and play a journal that lies beside a database back into it, whoever has put it there. */
static int check_file(const char *path, struct error *err) {
        char name[PATH_MAX + 16];
        struct stat st;

        if (stat(path, &st) < 0)
                return error_errno(err, errno, "cannot open the backup %s", path);
        if (!S_ISREG(st.st_mode))
                return error_set(err, ERR_FILE_UNSAFE, "%s is not a regular file", path);
        for (size_t i = 0; i < ARRAY_SIZE(beside); i++) {
                (void) snprintf(name, sizeof(name), "%s%s", path, beside[i]);
                if (access(name, F_OK) == 0)
                        return error_set(
                                err, ERR_STATE_CONFLICT,
                                "%s lies beside the backup: writing it was cut off. Take another backup",
                                name);
        }
        return 0;
}

/* A path as a URI that says: nobody else changes it, look at nothing beside it. */
static int immutable_uri(const char *path, struct buffer *ret, struct error *err) {
        buffer_text(ret, "file:");
        for (; *path; path++)
                if (strchr("%?#", *path))
                        buffer_format(ret, "%%%02x", (unsigned char) *path);
                else
                        buffer_append(ret, BYTES(path, 1));
        buffer_text(ret, "?immutable=1");
        (void) buffer_string(ret);
        return ret->failed ? error_no_memory(err) : 0;
}

static int open_backup(struct sql_connection *c, const char *path, bool write, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer uri = { 0 };
        char what[256];

        (void) snprintf(what, sizeof(what), "cannot open the backup %.200s", path);
        if (write)
                return open_file(c, path, SQLITE_OPEN_READWRITE, what, err);
        return immutable_uri(path, &uri, err) < 0
                ? -1
                : open_file(c, buffer_string(&uri), SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, what,
                            err);
}

int backup_open(int dir_fd, const char *name, bool write, struct backup **ret, struct error *err) {
        CAD_AUTO(backup_close) struct backup *backup = calloc(1, sizeof(*backup));
        char path[PATH_MAX];

        if (!backup)
                return error_no_memory(err);
        if (real_path_of(dir_fd, name, path, err) < 0 || check_file(path, err) < 0 ||
            open_backup(&backup->c, path, write, err) < 0 ||
            check_kind(&backup->c, path, err) < 0 || check_schema(&backup->c, path, err) < 0 ||
            (!write &&
             (check_whole(&backup->c, path, err) < 0 ||
              check_references(&backup->c, path, err) < 0)))
                return -1;
        *ret = CAD_TAKE(backup);
        return 0;
}

/* ---- looking ---- */

/* Of the largest serial: they grow with the time. */
static int read_newest(struct sql_connection *c, uint8_t ret[BACKUP_SERIAL_TIME],
                       struct error *err) {
        sqlite3_stmt *s = NULL;
        int rc = sqlite3_prepare_v2(c->db, "SELECT max(serial) FROM certificates", -1, &s, NULL);

        if (rc == SQLITE_OK)
                rc = sqlite3_step(s);
        if (rc == SQLITE_ROW) {
                struct bytes serial = column_bytes(s, 0);

                if (serial.size)
                        memcpy(ret, serial.data,
                               serial.size < BACKUP_SERIAL_TIME ? serial.size : BACKUP_SERIAL_TIME);
        }
        (void) sqlite3_finalize(s);
        return rc == SQLITE_ROW ? 0 : sql_error(c, rc, "cannot read the backup", err);
}

int backup_info(struct backup *backup, struct backup_info *ret, struct error *err) {
        struct sql_connection *c = &backup->c;
        CAD_AUTO(buffer_done) struct buffer ca_id = { 0 };
        int64_t keys = 0;

        *ret = (struct backup_info){ 0 };
        if (meta_read_ca_id(c, &ca_id, err) < 0 || counters_read(c, &ret->counters, err) < 0 ||
            sql_number(c, "SELECT made_at FROM backup", &ret->made_at, err) < 0 ||
            sql_number(
                    c,
                    "SELECT coalesce((SELECT issued_at FROM certificates ORDER BY id DESC LIMIT 1), 0)",
                    &ret->issued_at, err) < 0 ||
            sql_number(
                    c,
                    "SELECT EXISTS (SELECT 1 FROM backup_files WHERE name GLOB 'signer/ca/*.key*')",
                    &keys, err) < 0 ||
            read_newest(c, ret->newest, err) < 0)
                return -1;
        if (ca_id.size != CA_ID_SIZE ||
            strspn(buffer_string(&ca_id), "0123456789abcdef") != CA_ID_SIZE)
                return error_set(err, ERR_STORE, "the backup does not say which CA it is of");
        (void) snprintf(ret->ca_id, sizeof(ret->ca_id), "%s", buffer_string(&ca_id));
        ret->with_keys = keys != 0;
        return 0;
}

static int has_serial(struct sql_connection *c, struct bytes serial, struct error *err) {
        CAD_AUTO(statement_release) sqlite3_stmt *s = sql_statement(c, STATEMENT_STATUS_GET, err);
        int rc;

        if (!s)
                return -1;
        bind_bytes(s, 1, serial);
        rc = sqlite3_step(s);
        return rc == SQLITE_ROW     ? 1
                : rc == SQLITE_DONE ? 0
                                    : sql_error(c, rc, "cannot read the backup", err);
}

int backup_has(struct backup *backup, struct bytes serial, struct error *err) {
        return has_serial(&backup->c, serial, err);
}

/* ---- files ---- */

static int put_row(struct sql_connection *c, const char *sql, const char *name,
                   struct bytes content, struct error *err) {
        sqlite3_stmt *s = NULL;
        int rc = sqlite3_prepare_v2(c->db, sql, -1, &s, NULL);

        if (rc == SQLITE_OK) {
                (void) sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
                (void) sqlite3_bind_blob64(s, 2, content.size ? (const void *) content.data : "",
                                           content.size, SQLITE_STATIC);
                rc = sqlite3_step(s);
        }
        (void) sqlite3_finalize(s);
        return rc == SQLITE_DONE ? 0 : sql_error(c, rc, "cannot put a file into the backup", err);
}

int backup_put(struct backup *backup, const char *name, struct bytes content, struct error *err) {
        if (strlen(name) >= BACKUP_NAME_MAX || content.size > BACKUP_FILE_MAX)
                return error_set(err, ERR_STORE,
                                 "%.100s (%zu octets) is too large for a backup: %u at most", name,
                                 content.size, BACKUP_FILE_MAX);
        return put_row(&backup->c, "INSERT OR REPLACE INTO backup_files VALUES (?1, ?2)", name,
                       content, err);
}

int backup_begin(struct backup *backup, const char *prefix, struct error *err) {
        static const char what[] = "cannot put files into the backup";
        sqlite3_stmt *s = NULL;
        int rc;

        if (sql_exec(&backup->c, "BEGIN IMMEDIATE", what, err) < 0)
                return -1;
        rc = sqlite3_prepare_v2(backup->c.db,
                                "DELETE FROM backup_files WHERE substr(name, 1, length(?1)) = ?1",
                                -1, &s, NULL);
        if (rc == SQLITE_OK) {
                bind_text(s, 1, prefix);
                rc = sqlite3_step(s);
        }
        (void) sqlite3_finalize(s);
        return rc == SQLITE_DONE ? 0 : sql_error(&backup->c, rc, what, err);
}

int backup_commit(struct backup *backup, struct error *err) {
        return sql_exec(&backup->c, "COMMIT", "cannot put files into the backup", err);
}

struct wanted_file {
        const char *name;
        struct buffer *to;
        bool found;
};

static int take_wanted(void *context, const char *name, struct bytes content, struct error *err) {
        struct wanted_file *wanted = context;

        if (strcmp(name, wanted->name) != 0)
                return 0;
        wanted->found = true;
        buffer_append(wanted->to, content);
        return wanted->to->failed ? error_no_memory(err) : 0;
}

int backup_get(struct backup *backup, const char *name, struct buffer *ret, struct error *err) {
        struct wanted_file wanted = { .name = name, .to = ret };

        if (backup_each(backup, take_wanted, &wanted, err) < 0)
                return -1;
        return wanted.found ? 0
                            : error_set(err, ERR_NOT_FOUND, "there is no %s in the backup", name);
}

int backup_each(struct backup *backup,
                int (*each)(void *context, const char *name, struct bytes content,
                            struct error *err),
                void *context, struct error *err) {
        sqlite3_stmt *s = NULL;
        int rc = sqlite3_prepare_v2(backup->c.db,
                                    "SELECT name, content FROM backup_files ORDER BY name", -1, &s,
                                    NULL),
            result = 0;

        while (rc == SQLITE_OK && result == 0 && (rc = sqlite3_step(s)) == SQLITE_ROW) {
                const char *name = (const char *) sqlite3_column_text(s, 0);

                result = each(context, name ? name : "",
                              BYTES(sqlite3_column_blob(s, 1), (size_t) sqlite3_column_bytes(s, 1)),
                              err);
                rc = SQLITE_OK;
        }
        (void) sqlite3_finalize(s);
        if (result == 0 && rc != SQLITE_OK && rc != SQLITE_DONE)
                return sql_error(&backup->c, rc, "cannot read the backup", err);
        return result;
}

/* ---- putting back ---- */

int backup_place_free(int state_dir_fd, struct error *err) {
        static const char *const files[] = { STORE_FILE, STORE_FILE "-wal", STORE_FILE "-journal" };
        struct stat st;

        for (size_t i = 0; i < ARRAY_SIZE(files); i++)
                if (fstatat(state_dir_fd, files[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
                        return error_set(
                                err, ERR_CA_EXISTS,
                                "there is a %s in the state folder: move it away first, nothing is written over it",
                                files[i]);
        return 0;
}

static int apply_revocations(struct store_tx *tx, const struct backup_changes *changes,
                             struct backup_result *ret, struct error *err) {
        for (size_t i = 0; i < changes->revocation_count; i++) {
                const struct backup_revocation *r = &changes->revocations[i];
                struct error why = { 0 };

                if (tx_revoke(tx, r->serial, r->reason, r->at, &why) == 0)
                        ret->revoked++;
                else if (why.code == ERR_NOT_FOUND)
                        ret->unknown++;
                else if (why.code != ERR_ALREADY_REVOKED && why.code != ERR_STATE_CONFLICT) {
                        *err = why;
                        return -1;
                }
        }
        return 0;
}

static int apply_lost(struct store_tx *tx, const struct backup_changes *changes,
                      struct error *err) {
        for (size_t i = 0; i < changes->lost_count; i++) {
                int there = has_serial(tx->c, changes->lost[i].serial, err);

                if (there < 0 || (!there && tx_put_certificate(tx, &changes->lost[i], err) < 0))
                        return -1;
        }
        return 0;
}

/* Also those that have expired: what time it is, a clock that is wrong and a backup that somebody has changed may say. */
static int end_tokens(struct sql_connection *c, int64_t at, size_t *ret, struct error *err) {
        static const char sql[] =
                "UPDATE tokens SET revoked_at = ?1 WHERE revoked_at IS NULL AND used < uses";
        sqlite3_stmt *s = NULL;
        int rc = sqlite3_prepare_v2(c->db, sql, -1, &s, NULL);

        if (rc == SQLITE_OK) {
                (void) sqlite3_bind_int64(s, 1, at);
                rc = sqlite3_step(s);
        }
        (void) sqlite3_finalize(s);
        if (rc != SQLITE_DONE)
                return sql_error(c, rc, "cannot revoke the tokens of the backup", err);
        *ret = (size_t) sqlite3_changes(c->db);
        return 0;
}

static int apply_changes(struct sql_connection *c, const struct backup_changes *changes,
                         struct backup_result *ret, struct error *err) {
        struct committer nobody = { 0 }; /* nobody waits for what a transaction tells it */
        struct store_tx tx = { .c = c, .committer = &nobody };

        if (apply_lost(&tx, changes, err) < 0 || apply_revocations(&tx, changes, ret, err) < 0 ||
            (changes->tokens_end_at &&
             end_tokens(c, changes->tokens_end_at, &ret->tokens, err) < 0) ||
            (changes->event && tx_put_audit(&tx, changes->event, err) < 0) ||
            (tx.audit.changed && audit_write_head(&tx, err) < 0))
                return -1;
        return counters_add(c, &tx.more, err);
}

/* First a copy under another name, then the migrations, then what happened since. Whoever may write to the backup may have changed it since it
 * was opened: what can be run in it is looked for again, in the copy. */
static int fill_store(struct backup *backup, const char *path, const struct backup_changes *changes,
                      struct backup_result *ret, struct error *err) {
        static const char what[] = "cannot restore " STORE_FILE;
        CAD_AUTO(sql_done) struct sql_connection to = { 0 };
        struct migration_list known = { migrations, migration_count };
        int64_t version = 0;

        if (open_file(&to, path, SQLITE_OPEN_READWRITE, what, err) < 0 ||
            sql_exec(&to, "PRAGMA synchronous = OFF", what, err) < 0 ||
            copy_all(&backup->c, &to, what, err) < 0 || check_schema(&to, "the backup", err) < 0 ||
            sql_number(&to, "PRAGMA user_version", &version, err) < 0 ||
            sql_exec(&to, drop_tables, what, err) < 0 ||
            migrations_apply(&to, &known, (size_t) version, known.count, err) < 0 ||
            sql_exec(&to, "BEGIN", what, err) < 0 || apply_changes(&to, changes, ret, err) < 0 ||
            sql_exec(&to, "COMMIT", what, err) < 0)
                return -1;
        for (size_t i = 0; i < STATEMENT_COUNT;
             i++) /* one that is open would keep the journal's mode */
                statement_release(to.prepared[i]);
        return sql_exec(&to, make_store, what, err);
}

int backup_extract(struct backup *backup, int state_dir_fd, const struct backup_changes *changes,
                   struct backup_result *ret, struct error *err) {
        static const char temporary[] = STORE_FILE ".restoring";
        char path[PATH_MAX];

        *ret = (struct backup_result){ 0 };
        if (backup_place_free(state_dir_fd, err) < 0 ||
            real_path_of(state_dir_fd, temporary, path, err) < 0 ||
            make_empty(state_dir_fd, temporary, err) < 0)
                return -1;
        if (fill_store(backup, path, changes, ret, err) == 0 &&
            settle(state_dir_fd, temporary, STORE_FILE, err) == 0)
                return 0;
        remove_all(state_dir_fd, temporary);
        return -1;
}
