/*
 * Backups as the store makes and reads them: what is in them, what is put back, and every file that must be refused.
 */
#include "db/backup.h"

#include <sys/syscall.h>

#include "lib/base/file.h"
#include "tests/unit/store-fixture.h"

#define CERTIFICATES 50
#define BACKUP "made.backup"
#define COPY "copy.backup"

/* ---- what reaches the disk, and when: the program's own comes before libc's ---- */

static ino_t synced[64];
static size_t synced_count;

int fsync(int fd) {
        struct stat st;

        if (fstat(fd, &st) == 0 && synced_count < ARRAY_SIZE(synced))
                synced[synced_count++] = st.st_ino;
        return (int) syscall(SYS_fsync, fd);
}

/* Where a file or folder was synced last; 0: never. */
static size_t synced_at(int dir_fd, const char *name) {
        struct stat st;

        ck_assert_int_eq(fstatat(dir_fd, name, &st, 0), 0);
        for (size_t i = synced_count; i > 0; i--)
                if (synced[i - 1] == st.st_ino)
                        return i;
        return 0;
}

static char restored_path[128];
static int restored_fd = -1;

static void set_up(void) {
        struct error err = { 0 };

        fixture_setup();
        put_many(1, CERTIFICATES, 0);
        synced_count = 0;
        ck_ok(store_backup(fixture_store, fixture_fd, BACKUP, &err), err);
        (void) snprintf(restored_path, sizeof(restored_path), "%s/restored", fixture_dir);
        ck_assert_int_eq(mkdir(restored_path, 0700), 0);
        restored_fd = open(restored_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void tear_down(void) {
        (void) close(restored_fd);
        fixture_teardown();
}

static struct backup *open_it(bool write) {
        struct backup *backup = NULL;
        struct error err = { 0 };

        ck_ok(backup_open(fixture_fd, BACKUP, write, &backup, &err), err);
        return backup;
}

static bool is_there(int dir_fd, const char *name) {
        return faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- what is in it ---- */

START_TEST(a_backup_says_what_is_in_it) {
        CAD_AUTO(backup_close) struct backup *backup = open_it(false);
        struct backup_info info;
        struct error err = { 0 };
        struct made m;

        ck_ok(backup_info(backup, &info, &err), err);
        ck_assert_str_eq(info.ca_id, CA_ID);
        ck_assert_int_eq(info.counters.issued, CERTIFICATES);
        ck_assert_int_eq(info.issued_at, make(&m, CERTIFICATES)->issued_at);
        ck_assert_mem_eq(info.newest, m.serial, BACKUP_SERIAL_TIME);
        ck_assert(!info.with_keys);
}
END_TEST

/* Power that is lost after the answer takes neither along: the content first, then the name. */
START_TEST(what_is_made_and_what_is_put_back_is_on_disk) {
        const struct backup_changes none = { 0 };
        CAD_AUTO(backup_close) struct backup *backup = NULL;
        struct backup_result result;
        struct error err = { 0 };

        ck_assert_uint_gt(synced_at(fixture_fd, BACKUP), 0);
        ck_assert_uint_gt(synced_at(fixture_fd, "."), synced_at(fixture_fd, BACKUP));
        backup = open_it(false);
        synced_count = 0;
        ck_ok(backup_extract(backup, restored_fd, &none, &result, &err), err);
        ck_assert_uint_gt(synced_at(restored_fd, STORE_FILE), 0);
        ck_assert_uint_gt(synced_at(restored_fd, "."), synced_at(restored_fd, STORE_FILE));
}
END_TEST

START_TEST(a_backup_knows_its_serials_and_no_other) {
        CAD_AUTO(backup_close) struct backup *backup = open_it(false);
        struct error err = { 0 };
        struct made m;

        for (uint64_t n = 1; n <= CERTIFICATES; n++)
                ck_assert_int_eq(backup_has(backup, make(&m, n)->serial, &err), 1);
        ck_assert_int_eq(backup_has(backup, make(&m, CERTIFICATES + 1)->serial, &err), 0);
}
END_TEST

START_TEST(a_backup_is_for_its_owner_alone_and_nothing_lies_beside_it) {
        struct stat st;

        ck_assert_int_eq(fstatat(fixture_fd, BACKUP, &st, 0), 0);
        ck_assert_int_eq(st.st_mode & 07777, 0600);
        ck_assert(!is_there(fixture_fd, BACKUP ".part"));
        ck_assert(!is_there(fixture_fd, BACKUP "-journal"));
        ck_assert(!is_there(fixture_fd, BACKUP "-wal"));
}
END_TEST

START_TEST(a_backup_takes_the_place_of_an_older_one_and_of_what_was_left_of_it) {
        CAD_AUTO(backup_close) struct backup *backup = NULL;
        struct error err = { 0 };
        struct made m;

        (void) close(openat(fixture_fd, BACKUP "-journal", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        put_many(CERTIFICATES + 1, 1, 0);
        ck_ok(store_backup(fixture_store, fixture_fd, BACKUP, &err), err);
        backup = open_it(false);
        ck_assert_int_eq(backup_has(backup, make(&m, CERTIFICATES + 1)->serial, &err), 1);
}
END_TEST

/* ---- files ---- */

struct seen {
        char names[256];
};

static int see(void *context, const char *name, struct bytes content, struct error *err) {
        struct seen *seen = context;

        (void) err;
        (void) snprintf(seen->names + strlen(seen->names),
                        sizeof(seen->names) - strlen(seen->names), "%s=%zu ", name, content.size);
        return 0;
}

START_TEST(files_come_out_as_they_went_in) {
        CAD_AUTO(backup_close) struct backup *backup = open_it(true);
        CAD_AUTO(buffer_done) struct buffer content = { 0 };
        struct seen seen = { "" };
        struct error err = { 0 };

        ck_ok(backup_put(backup, "ca/root.crt", BYTES_LITERAL("old"), &err), err);
        ck_ok(backup_put(backup, "ca/root.crt", BYTES_LITERAL("new\0one"), &err), err);
        ck_ok(backup_put(backup, "empty", BYTES_NONE, &err), err);
        ck_ok(backup_get(backup, "ca/root.crt", &content, &err), err);
        ck_assert(bytes_equal(buffer_bytes(&content), BYTES_LITERAL("new\0one")));
        ck_ok(backup_each(backup, see, &seen, &err), err);
        ck_assert_str_eq(seen.names, "ca/root.crt=7 empty=0 ");
        ck_refused(backup_get(backup, "ca/none.crt", &content, &err), err, ERR_NOT_FOUND);
}
END_TEST

START_TEST(files_are_there_together_or_not_at_all) {
        struct backup *backup = open_it(true);
        struct seen seen = { "" };
        struct error err = { 0 };

        ck_ok(backup_put(backup, "signer/mark", BYTES_LITERAL("old"), &err), err);
        ck_ok(backup_put(backup, "ca/root.crt", BYTES_LITERAL("root"), &err), err);
        ck_ok(backup_begin(backup, "signer/", &err), err);
        ck_ok(backup_put(backup, "signer/anchors", BYTES_LITERAL("1"), &err), err);
        backup = backup_close(backup); /* and never committed */
        backup = open_it(true);
        ck_ok(backup_each(backup, see, &seen, &err), err);
        ck_assert_str_eq(seen.names, "ca/root.crt=4 signer/mark=3 ");
        ck_ok(backup_begin(backup, "signer/", &err), err);
        ck_ok(backup_put(backup, "signer/anchors", BYTES_LITERAL("1"), &err), err);
        ck_ok(backup_commit(backup, &err), err);
        seen = (struct seen){ "" };
        ck_ok(backup_each(backup, see, &seen, &err), err);
        ck_assert_str_eq(seen.names, "ca/root.crt=4 signer/anchors=1 ");
        backup = backup_close(backup);
}
END_TEST

START_TEST(a_backup_with_a_key_says_so) {
        static const char *const names[] = { "signer/ca/root.key",
                                             "signer/ca/int-1.key-was-plain" };
        CAD_AUTO(backup_close) struct backup *backup = open_it(true);
        struct backup_info info;
        struct error err = { 0 };

        ck_ok(backup_put(backup, names[_i], BYTES_LITERAL("x"), &err), err);
        ck_ok(backup_info(backup, &info, &err), err);
        ck_assert(info.with_keys);
}
END_TEST

/* ---- putting back ---- */

static struct store *open_restored(void) {
        const struct store_options options = { .ca_id = CA_ID };
        struct store *store = NULL;
        struct error err = { 0 };

        ck_ok(store_open(restored_fd, &options, &store, &err), err);
        return store;
}

static enum cert_status status_of(struct store *store, struct bytes serial) {
        enum cert_status status;
        struct cert_row *row = NULL;
        struct error err = { 0 };

        ck_ok(store_get_certificate(store, serial, &row, &err), err);
        status = row->status;
        row = cert_row_free(row);
        return status;
}

START_TEST(what_is_put_back_is_the_store_with_what_happened_since) {
        CAD_AUTO(backup_close) struct backup *backup = open_it(false);
        struct made lost, revoked, compromised, unknown;
        const struct cert_row rows[] = { *make(&lost, CERTIFICATES + 1),
                                         *make(&lost, CERTIFICATES + 1) }; /* twice in the log */
        const struct backup_revocation revocations[] = {
                { make(&revoked, 2)->serial, REASON_SUPERSEDED, 3000000 },
                { make(&compromised, 3)->serial, REASON_KEY_COMPROMISE, 3000001 },
                { make(&revoked, 2)->serial, REASON_SUPERSEDED, 3000002 }, /* again: it stands */
                { BYTES(lost.serial, 20), REASON_UNSPECIFIED, 3000003 },
                { make(&unknown, 77)->serial, REASON_UNSPECIFIED, 3000004 },
        };
        const struct audit_event event = { .action = "backup.restore",
                                           .principal = "cad",
                                           .outcome = "ok" };
        const struct backup_changes changes = { revocations, ARRAY_SIZE(revocations),
                                                rows,        ARRAY_SIZE(rows),
                                                &event,      0 };
        struct backup_result result;
        struct store_counters counters;
        struct audit_head head;
        struct error err = { 0 };
        struct spki_use use;
        struct store *store;

        ck_ok(backup_extract(backup, restored_fd, &changes, &result, &err), err);
        ck_assert_uint_eq(result.revoked, 3);
        ck_assert_uint_eq(result.unknown, 1);
        ck_assert(!is_there(restored_fd, STORE_FILE ".restoring"));
        store = open_restored();
        ck_assert_int_eq(status_of(store, rows[0].serial), CERT_STATUS_REVOKED);
        ck_assert_int_eq(status_of(store, make(&revoked, 2)->serial), CERT_STATUS_REVOKED);
        ck_assert_int_eq(status_of(store, make(&revoked, 4)->serial), CERT_STATUS_VALID);
        ck_ok(store_counters(store, &counters, &err), err);
        ck_assert_int_eq(counters.issued, CERTIFICATES + 1);
        ck_assert_int_eq(counters.revoked, 3);
        ck_ok(store_audit_head(store, &head, &err), err);
        ck_assert_int_eq(head.number, 1);
        ck_ok(store_spki_use(store, make(&compromised, 3)->spki, false, &use, &err), err);
        ck_assert_msg(use.compromised, "a key that was compromised may not come back");
        store = store_close(store);
}
END_TEST

START_TEST(nothing_is_put_over_a_store_or_its_log) {
        static const char *const files[] = { STORE_FILE, STORE_FILE "-wal", STORE_FILE "-journal" };
        CAD_AUTO(backup_close) struct backup *backup = open_it(false);
        const struct backup_changes none = { 0 };
        struct backup_result result;
        struct error err = { 0 };
        struct stat st;
        bool link = _i >= (int) ARRAY_SIZE(files);
        const char *name = files[_i % (int) ARRAY_SIZE(files)];

        if (link)
                ck_assert_int_eq(symlinkat("/nowhere", restored_fd, name), 0);
        else
                (void) close(openat(restored_fd, name, O_CREAT | O_WRONLY, 0600));
        ck_refused(backup_extract(backup, restored_fd, &none, &result, &err), err, ERR_CA_EXISTS);
        ck_refused(backup_place_free(restored_fd, &err), err, ERR_CA_EXISTS);
        ck_assert_int_eq(fstatat(restored_fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
        ck_assert(link || st.st_size == 0);
}
END_TEST

START_TEST(what_one_who_was_killed_left_is_not_in_the_way) {
        static const char *const files[] = { ".restoring", ".restoring-wal", ".restoring-journal",
                                             ".restoring-shm" };
        CAD_AUTO(backup_close) struct backup *backup = open_it(false);
        const struct backup_changes none = { 0 };
        struct backup_result result;
        struct error err = { 0 };
        struct store *store;

        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                char name[64];
                CAD_AUTO(fd_close) int fd = -1;

                (void) snprintf(name, sizeof(name), STORE_FILE "%s", files[i]);
                fd = openat(restored_fd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
                ck_assert_int_eq(fd_write_all(fd, BYTES_LITERAL("something half written")), 0);
        }
        ck_ok(backup_extract(backup, restored_fd, &none, &result, &err), err);
        for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
                char name[64];

                (void) snprintf(name, sizeof(name), STORE_FILE "%s", files[i]);
                ck_assert_msg(!is_there(restored_fd, name), "%s", name);
        }
        store = open_restored();
        store = store_close(store);
}
END_TEST

START_TEST(nothing_of_the_files_is_left_in_what_is_put_back) {
        static const char secret[] = "the-secret-of-the-root-key";
        CAD_AUTO(buffer_done) struct buffer content = { 0 };
        CAD_AUTO(buffer_done) struct buffer large = { 0 };
        const struct backup_changes none = { 0 };
        struct backup *backup = open_it(true);
        struct backup_result result;
        struct error err = { 0 };

        for (int i = 0; i < 1000; i++)
                buffer_text(&large, secret);
        ck_ok(backup_put(backup, "signer/ca/root.key", bytes_of(secret), &err), err);
        ck_ok(backup_put(backup, "signer/ca/int-1.key", buffer_bytes(&large), &err), err);
        backup = backup_close(backup);
        backup = open_it(false);
        ck_ok(backup_extract(backup, restored_fd, &none, &result, &err), err);
        ck_ok(file_read(restored_fd, STORE_FILE, FILE_PUBLIC, 1 << 24, &content, &err), err);
        ck_assert_ptr_null(memmem(content.data, content.size, secret, strlen(secret)));
        ck_assert_ptr_null(memmem(content.data, content.size, "root.key", 8));
        backup = backup_close(backup);
}
END_TEST

/* ---- what is refused ---- */

static void run_sql(const char *name, const char *sql) {
        char path[256], *why = NULL;
        sqlite3 *db = NULL;

        (void) snprintf(path, sizeof(path), "%s/%s", fixture_dir, name);
        ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
        (void) sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
        ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, &why) == SQLITE_OK, "%s: %s", sql, why);
        (void) sqlite3_close(db);
}

static const struct {
        const char *why, *sql;
        enum error_code code;
} changed[] = {
        { "a trigger would fire when the restore writes",
          "CREATE TRIGGER t AFTER INSERT ON audit BEGIN DELETE FROM certificates; END",
          ERR_STORE_FOREIGN },
        { "a trigger with the name of something else",
          "CREATE TRIGGER \"sqlite_x\" AFTER UPDATE ON certificates BEGIN SELECT 1; END; ",
          ERR_STORE },
        { "a view", "CREATE VIEW v AS SELECT load_extension('x')", ERR_STORE_FOREIGN },
        { "a view in the place of a table",
          "ALTER TABLE audit_spans RENAME TO a2; CREATE VIEW audit_spans AS SELECT * FROM a2",
          ERR_STORE_FOREIGN },
        { "another table", "CREATE TABLE t (a)", ERR_STORE_FOREIGN },
        { "an index over an expression", "CREATE INDEX i ON audit (hex(detail))",
          ERR_STORE_FOREIGN },
        { "a column more", "ALTER TABLE tokens ADD COLUMN x TEXT", ERR_STORE_FOREIGN },
        { "a column with a default of its own",
          "ALTER TABLE tokens ADD COLUMN x TEXT DEFAULT (NULL)", ERR_STORE_FOREIGN },
        { "an index less", "DROP INDEX certificates_by_status", ERR_STORE_FOREIGN },
        { "a table less", "DROP TABLE crls", ERR_STORE_FOREIGN },
        { "a constraint less, behind SQLite's back",
          "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, ' CHECK (one = 1)', '') "
          "WHERE name = 'meta'",
          ERR_STORE_FOREIGN },
        { "two tables in the same pages",
          "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema "
          "WHERE name = 'certificates') WHERE name = 'backup_files'",
          ERR_STORE },
        { "the schema of a later cad", "PRAGMA user_version = 99", ERR_STORE_NEWER },
        { "no schema", "PRAGMA user_version = 0", ERR_STORE_NEWER },
        { "an earlier schema than it says", "PRAGMA user_version = 2", ERR_STORE_FOREIGN },
        { "another program's", "PRAGMA application_id = 1", ERR_STORE_FOREIGN },
        { "a row that belongs to none", "PRAGMA foreign_keys = OFF; DELETE FROM issuers",
          ERR_STORE },
};

START_TEST(a_backup_that_was_changed_is_refused) {
        struct backup *backup = NULL;
        struct error err = { 0 };

        if (strstr(changed[_i].sql, "\"sqlite_x\"")) { /* only behind SQLite's back */
                run_sql(BACKUP,
                        "CREATE TRIGGER x AFTER UPDATE ON certificates BEGIN SELECT 1; END;"
                        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET name = 'sqlite_x' WHERE name = 'x'");
        } else {
                run_sql(BACKUP, changed[_i].sql);
        }
        ck_assert_msg(backup_open(fixture_fd, BACKUP, false, &backup, &err) == -1, "%s",
                      changed[_i].why);
        ck_assert_msg(err.code == changed[_i].code, "%s: %s: %s", changed[_i].why,
                      error_slug(err.code), err.text);
        ck_assert_ptr_null(backup);
}
END_TEST

START_TEST(what_cannot_be_run_when_it_is_written_to_is_refused_there_too) {
        struct backup *backup = NULL;
        struct error err = { 0 };

        run_sql(BACKUP, changed[0].sql);
        ck_refused(backup_open(fixture_fd, BACKUP, true, &backup, &err), err, ERR_STORE_FOREIGN);
}
END_TEST

/* Whoever may write to the file waits until it was looked at: what was read is kept, or the copy is refused. */
START_TEST(a_trigger_that_comes_after_the_look_is_not_put_back) {
        CAD_AUTO(backup_close) struct backup *backup = open_it(false);
        const struct backup_changes none = { 0 };
        CAD_AUTO(buffer_done) struct buffer content = { 0 };
        struct backup_result result;
        struct error err = { 0 };

        run_sql(BACKUP, changed[0].sql);
        if (backup_extract(backup, restored_fd, &none, &result, &err) == 0) {
                ck_ok(file_read(restored_fd, STORE_FILE, FILE_PUBLIC, 1 << 24, &content, &err),
                      err);
                ck_assert_ptr_null(memmem(content.data, content.size, "CREATE TRIGGER", 14));
        } else {
                ck_assert(!is_there(restored_fd, STORE_FILE));
        }
        ck_assert(!is_there(restored_fd, STORE_FILE ".restoring"));
}
END_TEST

START_TEST(a_ca_id_that_is_none_is_refused) {
        static const char *const ids[] = {
                "", "aa11", "\x1b[31mred",
                "AA11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11"
        };
        struct backup *backup;
        struct backup_info info;
        struct error err = { 0 };
        char sql[256];

        (void) snprintf(sql, sizeof(sql), "UPDATE meta SET ca_id = '%s'", ids[_i]);
        run_sql(BACKUP, sql);
        backup = open_it(false);
        ck_refused(backup_info(backup, &info, &err), err, ERR_STORE);
        backup = backup_close(backup);
}
END_TEST

START_TEST(a_cad_db_is_no_backup) {
        struct backup *backup = NULL;
        struct error err = { 0 };

        fixture_store = store_close(fixture_store);
        ck_refused(backup_open(fixture_fd, STORE_FILE, false, &backup, &err), err,
                   ERR_STORE_FOREIGN);
}
END_TEST

static void copy_with(size_t cut_at, size_t flip_at) {
        CAD_AUTO(buffer_done) struct buffer content = { 0 };
        struct error err = { 0 };

        ck_ok(file_read(fixture_fd, BACKUP, FILE_PUBLIC, 1 << 24, &content, &err), err);
        if (flip_at)
                content.data[flip_at] ^= 0x55;
        ck_ok(file_replace(fixture_fd, COPY,
                           BYTES(content.data,
                                 cut_at && cut_at < content.size ? cut_at : content.size),
                           0600, &err),
              err);
}

START_TEST(a_backup_that_was_cut_off_is_refused) {
        static const size_t sizes[] = { 1, 15, 99, 100, 4095, 4096, 4097, 40960, 100000 };
        struct backup *backup = NULL;
        struct error err = { 0 };

        copy_with(sizes[_i], 0);
        ck_assert_int_eq(backup_open(fixture_fd, COPY, false, &backup, &err), -1);
        ck_assert_msg(err.code == ERR_STORE || err.code == ERR_STORE_FOREIGN, "%s: %s",
                      error_slug(err.code), err.text);
}
END_TEST

/* Not every octet is looked at by SQLite (what is free, and what a value is): but none may crash, or run anything. */
START_TEST(a_flipped_octet_is_refused_or_restored_but_nothing_worse) {
        for (size_t at = (size_t) _i + 1; at < 150000; at += 4093) {
                CAD_AUTO(backup_close) struct backup *backup = NULL;
                const struct backup_changes none = { 0 };
                struct backup_result result;
                struct error err = { 0 };

                copy_with(0, at);
                if (backup_open(fixture_fd, COPY, false, &backup, &err) < 0)
                        continue;
                (void) backup_extract(backup, restored_fd, &none, &result, &err);
                (void) unlinkat(restored_fd, STORE_FILE, 0);
        }
}
END_TEST

START_TEST(a_page_of_zeros_is_found) {
        CAD_AUTO(buffer_done) struct buffer content = { 0 };
        struct backup *backup = NULL;
        struct error err = { 0 };

        ck_ok(file_read(fixture_fd, BACKUP, FILE_PUBLIC, 1 << 24, &content, &err), err);
        memset(content.data + content.size / 2 / 4096 * 4096, 0, 4096);
        ck_ok(file_replace(fixture_fd, COPY, buffer_bytes(&content), 0600, &err), err);
        ck_refused(backup_open(fixture_fd, COPY, false, &backup, &err), err, ERR_STORE);
}
END_TEST

START_TEST(what_is_no_plain_file_is_refused_at_once) {
        static const char *const names[] = { "fifo", ".", "/dev/zero", "none" };
        static const enum error_code codes[] = { ERR_FILE_UNSAFE, ERR_FILE_UNSAFE, ERR_FILE_UNSAFE,
                                                 ERR_NOT_FOUND };
        struct backup *backup = NULL;
        struct error err = { 0 };
        char path[128];

        ck_assert_int_eq(mkfifoat(fixture_fd, "fifo", 0600), 0);
        (void) snprintf(path, sizeof(path), "%s/%s", fixture_dir, names[_i]);
        ck_assert_int_eq(backup_open(AT_FDCWD, names[_i][0] == '/' ? names[_i] : path, false,
                                     &backup, &err),
                         -1);
        ck_assert_msg(err.code == codes[_i] || codes[_i] == ERR_NOT_FOUND, "%s: %s",
                      error_slug(err.code), err.text);
}
END_TEST

/* SQLite would play it into the file. */
START_TEST(a_journal_beside_it_is_never_played) {
        static const char *const beside[] = { BACKUP "-journal", BACKUP "-wal", BACKUP "-shm" };
        struct backup *backup = NULL;
        struct error err = { 0 };

        (void) close(openat(fixture_fd, beside[_i], O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        ck_refused(backup_open(fixture_fd, BACKUP, false, &backup, &err), err, ERR_STATE_CONFLICT);
        ck_assert(is_there(fixture_fd, beside[_i]));
}
END_TEST

START_TEST(a_path_with_characters_of_a_uri_is_a_path) {
        static const char *const names[] = { "100%41.b", "a?mode=rw.b", "a#b.b", "a b.b" };
        CAD_AUTO(backup_close) struct backup *backup = NULL;
        struct error err = { 0 };

        ck_assert_int_eq(renameat(fixture_fd, BACKUP, fixture_fd, names[_i]), 0);
        ck_ok(backup_open(fixture_fd, names[_i], false, &backup, &err), err);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("backup");
        TCase *tc = tcase_create("backup");

        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_set_timeout(tc, 60);
        tcase_add_test(tc, a_backup_says_what_is_in_it);
        tcase_add_test(tc, what_is_made_and_what_is_put_back_is_on_disk);
        tcase_add_test(tc, a_backup_knows_its_serials_and_no_other);
        tcase_add_test(tc, a_backup_is_for_its_owner_alone_and_nothing_lies_beside_it);
        tcase_add_test(tc, a_backup_takes_the_place_of_an_older_one_and_of_what_was_left_of_it);
        tcase_add_test(tc, files_come_out_as_they_went_in);
        tcase_add_test(tc, files_are_there_together_or_not_at_all);
        tcase_add_loop_test(tc, a_backup_with_a_key_says_so, 0, 2);
        tcase_add_test(tc, what_is_put_back_is_the_store_with_what_happened_since);
        tcase_add_loop_test(tc, nothing_is_put_over_a_store_or_its_log, 0, 6);
        tcase_add_test(tc, what_one_who_was_killed_left_is_not_in_the_way);
        tcase_add_test(tc, nothing_of_the_files_is_left_in_what_is_put_back);
        tcase_add_loop_test(tc, a_backup_that_was_changed_is_refused, 0, ARRAY_SIZE(changed));
        tcase_add_test(tc, what_cannot_be_run_when_it_is_written_to_is_refused_there_too);
        tcase_add_test(tc, a_trigger_that_comes_after_the_look_is_not_put_back);
        tcase_add_loop_test(tc, a_ca_id_that_is_none_is_refused, 0, 4);
        tcase_add_test(tc, a_cad_db_is_no_backup);
        tcase_add_loop_test(tc, a_backup_that_was_cut_off_is_refused, 0, 9);
        tcase_add_loop_test(tc, a_flipped_octet_is_refused_or_restored_but_nothing_worse, 0, 4);
        tcase_add_test(tc, a_page_of_zeros_is_found);
        tcase_add_loop_test(tc, what_is_no_plain_file_is_refused_at_once, 0, 4);
        tcase_add_loop_test(tc, a_journal_beside_it_is_never_played, 0, 3);
        tcase_add_loop_test(tc, a_path_with_characters_of_a_uri_is_a_path, 0, 4);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
