/*
 * One SQLite connection: how it is opened, its prepared statements, its errors in our words. SQLite's codes end here.
 */
#include "db/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BUSY_TIMEOUT_MS 5000 /* another connection of ours recovers or resets the log */

/* What each setting is for: libraries.md of the project's plan, §2.5; docs/architecture.md. */
static const char *const settings[] = {
        [SQL_WRITER] =
                "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA foreign_keys = OFF;"
                "PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0; PRAGMA cache_size = -2000;"
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                "PRAGMA journal_size_limit = 16777216;",
        [SQL_READER] =
                "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;"
                "PRAGMA mmap_size = 0; PRAGMA cache_size = -1000; PRAGMA query_only = ON;",
};

/* The errno behind an I/O error: SQLite keeps it with the file, the log's or the database's. */
static int system_error(struct sql_connection *c) {
        static const int files[] = { SQLITE_FCNTL_JOURNAL_POINTER, SQLITE_FCNTL_FILE_POINTER };
        int found = 0;

        for (size_t i = 0; c->db && !found && i < ARRAY_SIZE(files); i++) {
                sqlite3_file *file = NULL;

                if (sqlite3_file_control(c->db, "main", files[i], &file) == SQLITE_OK && file &&
                    file->pMethods)
                        (void) file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &found);
        }
        return found ? found : c->db ? sqlite3_system_errno(c->db) : 0;
}

int sql_error(struct sql_connection *c, int rc, const char *what, struct error *err) {
        int system = system_error(c);
        const char *text = c->db ? sqlite3_errmsg(c->db) : sqlite3_errstr(rc);

        switch (rc & 0xff) {
        case SQLITE_FULL:
                return error_set(err, ERR_STORE_FULL,
                                 "%s: the disk is full; make room, and cad goes on by itself",
                                 what);
        case SQLITE_NOMEM:
                return error_no_memory(err);
        case SQLITE_READONLY:
                return error_set(err, ERR_STORE,
                                 "%s: %s can only be read (read-only file system, or its mode)",
                                 what, STORE_FILE);
        case SQLITE_NOTADB:
        case SQLITE_CORRUPT:
                c->broken = true;
                return error_set(err, ERR_STORE,
                                 "%s: %s is damaged (%s, code %d); restore a backup", what,
                                 STORE_FILE, text, rc);
        case SQLITE_IOERR:
        case SQLITE_CANTOPEN:
        case SQLITE_PROTOCOL:
                c->broken = true;
                if (system == ENOSPC || system == EDQUOT)
                        return error_set(
                                err, ERR_STORE_FULL,
                                "%s: the disk is full; make room, and cad goes on by itself", what);
                return error_set(err, ERR_STORE, "%s: %s%s%s (code %d)", what, text,
                                 system ? ": " : "", system ? strerrordesc_np(system) : "", rc);
        default:
                return error_set(err, ERR_STORE, "%s: %s (code %d)", what, text, rc);
        }
}

int sql_exec(struct sql_connection *c, const char *sql, const char *what, struct error *err) {
        int rc = sqlite3_exec(c->db, sql, /* callback= */ NULL, /* data= */ NULL,
                              /* errmsg= */ NULL);

        return rc == SQLITE_OK ? 0 : sql_error(c, rc, what, err);
}

int sql_number(struct sql_connection *c, const char *sql, int64_t *ret, struct error *err) {
        sqlite3_stmt *s = NULL;
        int rc = sqlite3_prepare_v2(c->db, sql, -1, &s, NULL);

        if (rc == SQLITE_OK)
                rc = sqlite3_step(s);
        if (rc == SQLITE_ROW)
                *ret = sqlite3_column_int64(s, 0);
        (void) sqlite3_finalize(s);
        return rc == SQLITE_ROW ? 0 : sql_error(c, rc, "cannot read " STORE_FILE, err);
}

/* In place of SQLite's own, which moves the log into the database inside a commit: see upkeep in commit.c. */
static int note_log(void *data, sqlite3 *db, const char *name, int pages) {
        struct sql_connection *c = data;

        (void) db;
        (void) name;
        if (pages < c->log_moved)
                c->log_moved = 0; /* it began anew */
        c->log_pages = pages;
        return SQLITE_OK;
}

int sql_open(struct sql_connection *c, const char *path, enum sql_role role, struct error *err) {
        int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW |
                SQLITE_OPEN_EXRESCODE;
        int rc = sqlite3_open_v2(path, &c->db, flags, /* vfs= */ NULL);
        char what[128];

        (void) snprintf(what, sizeof(what), "cannot open %.100s", STORE_FILE);
        if (rc == SQLITE_OK)
                rc = sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_busy_timeout(c->db, BUSY_TIMEOUT_MS);
        if (rc != SQLITE_OK)
                (void) sql_error(c, rc, what, err);
        else if (sql_exec(c, settings[role], what, err) == 0) {
                (void) sqlite3_wal_hook(c->db, note_log, c);
                return 0;
        }
        sql_done(c);
        return -1;
}

void sql_done(struct sql_connection *c) {
        for (size_t i = 0; i < STATEMENT_COUNT; i++) {
                (void) sqlite3_finalize(c->prepared[i]);
                c->prepared[i] = NULL;
        }
        (void) sqlite3_close(c->db);
        c->db = NULL;
        c->broken = false;
        c->log_pages = c->log_moved = 0;
}

sqlite3_stmt *sql_statement(struct sql_connection *c, enum statement which, struct error *err) {
        if (!c->prepared[which]) {
                int rc = sqlite3_prepare_v3(c->db, statements[which], -1, SQLITE_PREPARE_PERSISTENT,
                                            &c->prepared[which], NULL);

                if (rc != SQLITE_OK) {
                        (void) sql_error(c, rc, "cannot use " STORE_FILE, err);
                        return NULL;
                }
        }
        return c->prepared[which];
}

sqlite3_stmt *statement_release(sqlite3_stmt *s) {
        if (s) {
                (void) sqlite3_reset(s);
                (void) sqlite3_clear_bindings(s);
        }
        return NULL;
}

int sql_run(struct sql_connection *c, sqlite3_stmt *s, const char *what, struct error *err) {
        int rc = sqlite3_step(s);

        return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : sql_error(c, rc, what, err);
}

int sql_simple(struct sql_connection *c, enum statement which, const char *what,
               struct error *err) {
        CAD_AUTO(statement_release) sqlite3_stmt *s = sql_statement(c, which, err);

        return s ? sql_run(c, s, what, err) : -1;
}

struct snapshot snapshot_begin(struct sql_connection *c, struct error *err) {
        if (sql_simple(c, STATEMENT_READ, "cannot read " STORE_FILE, err) < 0)
                return (struct snapshot){ NULL };
        return (struct snapshot){ c };
}

void snapshot_done(struct snapshot *snapshot) {
        struct sql_connection *c = snapshot->c;

        if (c && !sqlite3_get_autocommit(c->db) &&
            sql_simple(c, STATEMENT_ROLLBACK, "cannot end a read", /* err= */ NULL) < 0)
                c->broken = true; /* an open read would keep the log from ever being emptied */
}
