/*
 * The store: opening and what it refuses, certificates in and out, every filter by pages, revocation, idempotency keys,
 * and that no statement scans a table.
 */
#include "tests/unit/store-fixture.h"

#include <sys/wait.h>

#include "lib/base/text.h"

/* ---- opening ----------------------------------------------------------------------------------------------- */

static bool exists(const char *name) {
        return faccessat(fixture_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void write_file(const char *name, const void *data, size_t size) {
        int fd = openat(fixture_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(write(fd, data, size), (ssize_t) size);
        (void) close(fd);
}

/* Change the closed database behind the store's back. */
static void edit_database(const char *sql) {
        char path[128];
        sqlite3 *db = NULL;

        (void) snprintf(path, sizeof(path), "%s/%s", fixture_dir, STORE_FILE);
        ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
        ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

START_TEST(a_new_store_is_private_and_whole) {
        struct stat st;

        ck_assert_int_eq(fstatat(fixture_fd, STORE_FILE, &st, 0), 0);
        ck_assert_uint_eq(st.st_mode & 0777, 0600);
        ck_assert(!exists(STORE_FILE ".new"));
        fixture_store = store_close(fixture_store);
        ck_assert_msg(!exists(STORE_FILE "-wal"), "a clean end leaves one file");
}
END_TEST

START_TEST(a_store_that_is_missing_is_not_made_unless_allowed) {
        struct store_options o = { .ca_id = CA_ID };
        struct error err = { 0 };

        fixture_store = store_close(fixture_store);
        ck_assert_int_eq(unlinkat(fixture_fd, STORE_FILE, 0), 0);
        ck_refused(store_open(fixture_fd, &o, &fixture_store, &err), err, ERR_CA_INCOMPLETE);
        ck_assert_ptr_null(fixture_store);
        ck_assert(!exists(STORE_FILE));
}
END_TEST

START_TEST(a_log_without_its_database_is_refused_and_kept) {
        struct error err = { 0 };

        fixture_store = store_close(fixture_store);
        ck_assert_int_eq(unlinkat(fixture_fd, STORE_FILE, 0), 0);
        write_file(STORE_FILE "-wal", "log", 3);
        ck_refused(store_open(fixture_fd, &fixture_options, &fixture_store, &err), err,
                   ERR_CA_INCOMPLETE);
        ck_assert(exists(STORE_FILE "-wal"));
}
END_TEST

static const struct {
        const char *why;
        const char *content;
        size_t size;
        enum error_code code;
        const char *says;
} wrong_files[] = {
        { "a zero-length file", "", 0, ERR_STORE_FOREIGN, "is empty" },
        { "a short file", "SQLite format 3", 16, ERR_STORE_FOREIGN, "not a database" },
        { "a text",
          "This is a text that is longer than one hundred octets, which a header of SQLite has, and is none at all.",
          104, ERR_STORE_FOREIGN, "not a database" },
};

START_TEST(what_is_no_database_is_refused_and_left_alone) {
        struct error err = { 0 };
        struct stat st;

        fixture_store = store_close(fixture_store);
        write_file(STORE_FILE, wrong_files[_i].content, wrong_files[_i].size);
        ck_refused(store_open(fixture_fd, &fixture_options, &fixture_store, &err), err,
                   wrong_files[_i].code);
        ck_assert_msg(strstr(err.text, wrong_files[_i].says), "%s: %s", wrong_files[_i].why,
                      err.text);
        ck_assert_int_eq(fstatat(fixture_fd, STORE_FILE, &st, 0), 0);
        ck_assert_int_eq(st.st_size, (off_t) wrong_files[_i].size);
}
END_TEST

static const struct {
        const char *why, *sql;
        enum error_code code;
        const char *says;
} wrong_databases[] = {
        { "another program's", "PRAGMA application_id = 7", ERR_STORE_FOREIGN, "another program" },
        { "a newer cad's", "PRAGMA user_version = 99", ERR_STORE_NEWER, "schema 99" },
        { "no version", "PRAGMA user_version = 0", ERR_STORE_FOREIGN, "no schema version" },
        { "another CA's", "UPDATE meta SET ca_id = '" OTHER_CA "'", ERR_STORE_FOREIGN,
          "belongs to the CA with root bb22" },
};

START_TEST(a_database_that_does_not_belong_here_is_refused) {
        struct error err = { 0 };

        fixture_store = store_close(fixture_store);
        edit_database(wrong_databases[_i].sql);
        ck_refused(store_open(fixture_fd, &fixture_options, &fixture_store, &err), err,
                   wrong_databases[_i].code);
        ck_assert_msg(strstr(err.text, wrong_databases[_i].says), "%s: %s", wrong_databases[_i].why,
                      err.text);
}
END_TEST

START_TEST(a_database_cut_short_is_refused) {
        struct error err = { 0 };
        char path[128];

        put_many(0, 200, 0);
        fixture_store = store_close(fixture_store);
        (void) snprintf(path, sizeof(path), "%s/%s", fixture_dir, STORE_FILE);
        ck_assert_int_eq(truncate(path, 40960), 0);
        ck_refused(store_open(fixture_fd, &fixture_options, &fixture_store, &err), err, ERR_STORE);
        ck_assert_ptr_nonnull(strstr(err.text, "damaged"));
}
END_TEST

START_TEST(a_symbolic_link_is_no_database) {
        struct error err = { 0 };

        fixture_store = store_close(fixture_store);
        ck_assert_int_eq(renameat(fixture_fd, STORE_FILE, fixture_fd, "elsewhere"), 0);
        ck_assert_int_eq(symlinkat("elsewhere", fixture_fd, STORE_FILE), 0);
        ck_refused(store_open(fixture_fd, &fixture_options, &fixture_store, &err), err,
                   ERR_FILE_UNSAFE);
}
END_TEST

START_TEST(a_second_process_is_told_who_has_it) {
        pid_t child = fork();
        int status = 0;

        if (child == 0) {
                struct store *second = NULL;
                struct error err = { 0 };
                char pid[32];

                (void) snprintf(pid, sizeof(pid), "process %ld", (long) getppid());
                if (store_open(fixture_fd, &fixture_options, &second, &err) == 0)
                        _exit(1);
                _exit(err.code == ERR_BUSY && strstr(err.text, pid) ? 0 : 2);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
END_TEST

/* A name that begins with @prefix and does not end with ".new". */
static unsigned count_files(const char *prefix) {
        char command[160];
        unsigned count = 0;
        FILE *f;

        (void) snprintf(command, sizeof(command), "ls '%s' | grep -c '^%s'", fixture_dir, prefix);
        f = popen(command, "r");
        ck_assert_ptr_nonnull(f);
        ck_assert_int_eq(fscanf(f, "%u", &count), 1);
        (void) pclose(f);
        return count;
}

START_TEST(a_ca_that_issued_nothing_for_others_can_be_started_over) {
        struct store_options o = { .ca_id = OTHER_CA, .replaces = CA_ID, .create = true };
        struct store_counters counters = { 0 };
        struct error err = { 0 };
        struct store_issue issue;
        struct made m;

        store_issue_init(&issue, NULL);
        issue.row = *make(&m, 1);
        issue.row.internal = true;
        ck_ok(store_write(fixture_store, &issue.op, &err), err);
        fixture_store = store_close(fixture_store);
        ck_ok(store_open(fixture_fd, &o, &fixture_store, &err), err);
        ck_ok(store_counters(fixture_store, &counters, &err), err);
        ck_assert_int_eq(counters.issued, 0);
        ck_assert_uint_eq(count_files("cad.db.replaced-"), 1);
}
END_TEST

START_TEST(a_ca_that_issued_for_others_stays) {
        struct store_options o = { .ca_id = OTHER_CA, .replaces = CA_ID, .create = true };
        struct error err = { 0 };

        put_many(1, 1, 0);
        fixture_store = store_close(fixture_store);
        ck_refused(store_open(fixture_fd, &o, &fixture_store, &err), err, ERR_CA_EXISTS);
        ck_assert_uint_eq(count_files("cad.db.replaced-"), 0);
        fixture_open();
}
END_TEST

/* A later cad: the migrations of this one, and one more. */
static struct migration_list later_list(const char *sql) {
        static struct migration later[64];

        memcpy(later, migrations, migration_count * sizeof(later[0]));
        later[migration_count] = (struct migration){ "9999-later", sql };
        return (struct migration_list){ later, migration_count + 1 };
}

static int migrate_to_later(const char *sql, struct error *err) {
        CAD_AUTO(sql_done) struct sql_connection c = { 0 };
        struct migration_list list = later_list(sql);
        char path[128];

        (void) snprintf(path, sizeof(path), "%s/%s", fixture_dir, STORE_FILE);
        if (sql_open(&c, path, SQL_WRITER, err) < 0)
                return -1;
        return store_migrate(fixture_fd, fixture_dir, &c, &list, err);
}

START_TEST(a_private_copy_is_kept_before_a_migration) {
        CAD_AUTO(free_text) char *copy = NULL;
        struct error err = { 0 };
        struct stat st;

        put_many(1, 10, 0);
        fixture_store = store_close(fixture_store);
        ck_ok(migrate_to_later("ALTER TABLE meta ADD COLUMN more TEXT;", &err), err);
        ck_refused(store_open(fixture_fd, &fixture_options, &fixture_store, &err), err,
                   ERR_STORE_NEWER);

        /* the sentence names the copy; put back, it opens with all its rows */
        ck_assert_int_gt(asprintf(&copy, "%s.before-%zu", STORE_FILE, migration_count + 1), 0);
        ck_assert_ptr_nonnull(strstr(err.text, copy));
        ck_assert_int_eq(fstatat(fixture_fd, copy, &st, 0), 0);
        ck_assert_uint_eq(st.st_mode & 0777, 0600);
        ck_assert_int_eq(renameat(fixture_fd, copy, fixture_fd, STORE_FILE), 0);
        fixture_open();
        {
                struct store_counters counters = { 0 };

                ck_ok(store_counters(fixture_store, &counters, &err), err);
                ck_assert_int_eq(counters.issued, 10);
        }
}
END_TEST

START_TEST(a_migration_that_fails_changes_nothing) {
        struct store_counters counters = { 0 };
        struct error err = { 0 };

        put_many(1, 10, 0);
        fixture_store = store_close(fixture_store);
        ck_refused(migrate_to_later("DELETE FROM certificates; CREATE TABLE meta (x);", &err), err,
                   ERR_STORE);
        ck_assert_ptr_nonnull(strstr(err.text, "9999-later"));
        fixture_open();
        ck_ok(store_counters(fixture_store, &counters, &err), err);
        ck_assert_int_eq(counters.issued, 10);
}
END_TEST

START_TEST(what_a_killed_maker_left_is_made_afresh) {
        struct error err = { 0 };

        fixture_store = store_close(fixture_store);
        ck_assert_int_eq(renameat(fixture_fd, STORE_FILE, fixture_fd, STORE_FILE ".new"), 0);
        write_file(STORE_FILE ".new-journal", "half", 4);
        ck_ok(store_open(fixture_fd, &fixture_options, &fixture_store, &err), err);
        ck_assert(!exists(STORE_FILE ".new") && !exists(STORE_FILE ".new-journal"));
}
END_TEST

START_TEST(the_connections_are_set_as_they_must_be) {
        static const struct {
                const char *pragma;
                int64_t writer, reader;
        } wanted[] = {
                { "PRAGMA trusted_schema", 0, 0 },
                { "PRAGMA cell_size_check", 1, 1 },
                { "PRAGMA synchronous", 2, -1 },
                { "PRAGMA cache_size", -2000, -1000 },
                { "PRAGMA page_size", 4096, 4096 },
                { "PRAGMA query_only", 0, 1 },
                { "PRAGMA wal_autocheckpoint", 0, -1 }, /* not inside a commit: see upkeep */
                { "PRAGMA journal_size_limit", 16777216, -1 },
                { "PRAGMA application_id", STORE_APPLICATION_ID, STORE_APPLICATION_ID },
        };
        CAD_AUTO(reader_done) struct reader r = reader_for(fixture_store, NULL);
        struct error err = { 0 };
        int defensive = 0;

        put_many(0, 2 * STORE_INDEX_STEP, 0); /* indexing does not leave the writer without fsync */
        (void) fixture_quiet();
        for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
                int64_t is = -1;

                ck_ok(sql_number(&fixture_store->committer.writer, wanted[i].pragma, &is, &err),
                      err);
                ck_assert_msg(is == wanted[i].writer, "%s of the writer is %lld", wanted[i].pragma,
                              (long long) is);
                ck_ok(sql_number(r.c, wanted[i].pragma, &is, &err), err);
                ck_assert_msg(wanted[i].reader == -1 || is == wanted[i].reader,
                              "%s of a reader is %lld", wanted[i].pragma, (long long) is);
        }
        (void) sqlite3_db_config(r.c->db, SQLITE_DBCONFIG_DEFENSIVE, -1, &defensive);
        ck_assert_int_eq(defensive, 1);
}
END_TEST

/* ---- query plans ------------------------------------------------------------------------------------------- */

/* Those that go along the certificates by id: the reader ends the walk, or it begins where indexing has ended. */
static bool may_walk_ids(enum statement which) {
        return which == STATEMENT_INDEX_ROWS || which == STATEMENT_COUNT_TAIL ||
                which == STATEMENT_SPKI_TAIL || which == STATEMENT_LIST_ALL ||
                which == STATEMENT_REQUEST_LIST || which == STATEMENT_TOKEN_LIST ||
                which == STATEMENT_AUDIT_LIST;
}

START_TEST(no_statement_scans_or_sorts) {
        sqlite3 *db = fixture_store->committer.writer.db;
        CAD_AUTO(buffer_done) struct buffer sql = { 0 };
        sqlite3_stmt *s = NULL;

        ck_assert_msg(statements[_i], "statement %d has no text", _i);
        buffer_format(&sql, "EXPLAIN QUERY PLAN %s", statements[_i]);
        ck_assert_int_eq(sqlite3_prepare_v2(db, buffer_string(&sql), -1, &s, NULL), SQLITE_OK);
        while (sqlite3_step(s) == SQLITE_ROW) {
                const char *plan = (const char *) sqlite3_column_text(s, 3);

                if (strstr(plan, "CONSTANT ROWS"))
                        continue; /* VALUES */
                ck_assert_msg(!strstr(plan, "SCAN") && !strstr(plan, "TEMP B-TREE"), "%s\n%s", plan,
                              statements[_i]);
                ck_assert_msg(!strstr(plan, "(rowid>") && !strstr(plan, "(rowid<")
                                      ? true
                                      : may_walk_ids((enum statement) _i),
                              "%s\n%s", plan, statements[_i]);
        }
        (void) sqlite3_finalize(s);
}
END_TEST

/* ---- certificates ------------------------------------------------------------------------------------------ */

static void assert_same(const struct cert_row *a, const struct cert_row *b) {
        ck_assert(bytes_equal(a->serial, b->serial) && bytes_equal(a->der, b->der));
        ck_assert_str_eq(a->issuer, b->issuer);
        ck_assert_str_eq(a->profile, b->profile);
        ck_assert_str_eq(a->subject, b->subject);
        ck_assert_str_eq(a->requester, b->requester);
        ck_assert(text_equal(a->label, b->label));
        ck_assert_uint_eq(a->name_count, b->name_count);
        for (size_t i = 0; i < a->name_count; i++)
                ck_assert_str_eq(a->names[i], b->names[i]);
        ck_assert(a->not_before == b->not_before && a->not_after == b->not_after &&
                  a->issued_at == b->issued_at);
        ck_assert_mem_eq(a->fingerprint, b->fingerprint, STORE_HASH_SIZE);
        ck_assert_mem_eq(a->spki, b->spki, STORE_HASH_SIZE);
        ck_assert(a->internal == b->internal && a->status == b->status &&
                  a->revoked_at == b->revoked_at && a->granted_s == b->granted_s);
}

START_TEST(a_certificate_comes_back_as_it_was_put_even_after_reopening) {
        struct error err = { 0 };
        struct made m;

        put_many(0, 20, 0);
        fixture_reopen();
        for (uint64_t n = 0; n < 20; n++) {
                CAD_AUTO(cert_row_free) struct cert_row *row = NULL;

                make(&m, n);
                ck_ok(store_get_certificate(fixture_store, m.row.serial, &row, &err), err);
                assert_same(row, &m.row);
        }
}
END_TEST

START_TEST(a_certificate_without_names_and_subject_comes_back) {
        CAD_AUTO(cert_row_free) struct cert_row *row = NULL;
        struct error err = { 0 };
        struct store_issue issue;
        struct made m;

        store_issue_init(&issue, NULL);
        issue.row = *make(&m, 1);
        issue.row.name_count = 0;
        issue.row.subject = NULL;
        ck_ok(store_write(fixture_store, &issue.op, &err), err);
        ck_ok(store_get_certificate(fixture_store, issue.row.serial, &row, &err), err);
        ck_assert_uint_eq(row->name_count, 0);
        ck_assert_str_eq(row->subject, "");
}
END_TEST

START_TEST(an_unknown_serial_is_not_found) {
        struct cert_row *row = NULL;
        struct error err = { 0 };
        uint8_t serial[21] = { 1, 0xab };

        ck_refused(store_get_certificate(fixture_store, BYTES(serial, 2), &row, &err), err,
                   ERR_NOT_FOUND);
        ck_assert_ptr_nonnull(strstr(err.text, "01ab"));
        ck_refused(store_get_certificate(fixture_store, BYTES(serial, 21), &row, &err), err,
                   ERR_NOT_FOUND);
        ck_refused(store_get_certificate(fixture_store, BYTES_NONE, &row, &err), err,
                   ERR_NOT_FOUND);
        ck_assert_ptr_null(row);
}
END_TEST

START_TEST(a_serial_comes_once) {
        struct many again = { .op = { .apply = many_apply }, .first = 5, .count = 1 };
        struct store_counters counters = { 0 };
        struct error err = { 0 };

        put_many(0, 10, 0);
        ck_refused(store_write(fixture_store, &again.op, &err), err, ERR_STATE_CONFLICT);
        ck_ok(store_counters(fixture_store, &counters, &err), err);
        ck_assert_int_eq(counters.issued, 10);
        ck_assert_int_eq(counters.issued_for_others, 10);
}
END_TEST

START_TEST(a_row_that_cannot_be_stored_is_refused) {
        struct error err = { 0 };
        struct store_issue issue;
        struct made m;

        store_issue_init(&issue, NULL);
        issue.row = *make(&m, 1);
        m.names[1] = "a\nb";
        ck_refused(store_write(fixture_store, &issue.op, &err), err, ERR_INTERNAL);
        m.names[1] = "";
        ck_refused(store_write(fixture_store, &issue.op, &err), err, ERR_INTERNAL);
        m.names[1] = "b";
        issue.row.der = BYTES_NONE;
        ck_refused(store_write(fixture_store, &issue.op, &err), err, ERR_INTERNAL);
}
END_TEST

START_TEST(the_newest_certificate_of_a_key_is_found_across_buckets) {
        CAD_AUTO(cert_row_free) struct cert_row *row = NULL;
        struct spki_use use = { 0 };
        struct error err = { 0 };
        struct made m;

        put_many(10, 1, 0);
        put_many(11, 1, 70000); /* the same key, a bucket later */
        put_many(20, 5, 200000);
        fixture_index(_i, 256); /* none of them, some, all */
        make(&m, 11);
        ck_ok(store_find_by_spki(fixture_store, m.row.spki, &row, &err), err);
        ck_assert(bytes_equal(row->serial, m.row.serial));
        ck_ok(store_spki_use(fixture_store, m.row.spki, true, &use, &err), err);
        ck_assert(use.used && !use.compromised &&
                  bytes_equal(BYTES(use.serial, use.serial_size), m.row.serial));
        make(&m, 5000);
        ck_ok(store_spki_use(fixture_store, m.row.spki, true, &use, &err), err);
        ck_assert(!use.used && !use.compromised);
        ck_refused(store_find_by_spki(fixture_store, m.row.spki, &row, &err), err, ERR_NOT_FOUND);
}
END_TEST

/* ---- revocation -------------------------------------------------------------------------------------------- */

static const struct {
        const char *why;
        enum revocation_reason first, second;
        enum error_code second_is;
        enum cert_status status;
        int revoked, held;
} moves_of[] = {
        { "a hold can be lifted", REASON_CERTIFICATE_HOLD, REASON_REMOVE_FROM_CRL, ERR_NONE,
          CERT_STATUS_VALID, 0, 0 },
        { "a hold can become final", REASON_CERTIFICATE_HOLD, REASON_SUPERSEDED, ERR_NONE,
          CERT_STATUS_REVOKED, 1, 0 },
        { "a hold is a hold", REASON_CERTIFICATE_HOLD, REASON_CERTIFICATE_HOLD, ERR_STATE_CONFLICT,
          CERT_STATUS_HELD, 0, 1 },
        { "revocation is final", REASON_SUPERSEDED, REASON_REMOVE_FROM_CRL, ERR_ALREADY_REVOKED,
          CERT_STATUS_REVOKED, 1, 0 },
        { "once is enough", REASON_UNSPECIFIED, REASON_SUPERSEDED, ERR_ALREADY_REVOKED,
          CERT_STATUS_REVOKED, 1, 0 },
        { "a stolen key is known once", REASON_KEY_COMPROMISE, REASON_KEY_COMPROMISE,
          ERR_ALREADY_REVOKED, CERT_STATUS_REVOKED, 1, 0 },
        { "a stolen key stays one", REASON_KEY_COMPROMISE, REASON_UNSPECIFIED, ERR_ALREADY_REVOKED,
          CERT_STATUS_REVOKED, 1, 0 },
        { "no way back to a hold", REASON_SUPERSEDED, REASON_CERTIFICATE_HOLD, ERR_ALREADY_REVOKED,
          CERT_STATUS_REVOKED, 1, 0 },
};

START_TEST(certificates_move_only_as_rfc5280_allows) {
        CAD_AUTO(cert_row_free) struct cert_row *row = NULL;
        struct store_counters counters = { 0 };
        struct error err = { 0 };
        struct made m;

        put_many(0, 3, 0);
        ck_ok(revoke_one(1, moves_of[_i].first, 1500, &err), err);
        if (moves_of[_i].second_is == ERR_NONE)
                ck_ok(revoke_one(1, moves_of[_i].second, 1600, &err), err);
        else
                ck_refused(revoke_one(1, moves_of[_i].second, 1600, &err), err,
                           moves_of[_i].second_is);
        ck_ok(store_get_certificate(fixture_store, make(&m, 1)->serial, &row, &err), err);
        ck_assert_msg(row->status == moves_of[_i].status, "%s", moves_of[_i].why);
        ck_ok(store_counters(fixture_store, &counters, &err), err);
        ck_assert_int_eq(counters.revoked, moves_of[_i].revoked);
        ck_assert_int_eq(counters.held, moves_of[_i].held);
        ck_assert_int_eq(row->revoked_at,
                         moves_of[_i].status == CERT_STATUS_VALID     ? 0
                                 : moves_of[_i].second_is == ERR_NONE ? 1600
                                                                      : 1500);
}
END_TEST

START_TEST(that_a_key_was_stolen_may_be_learned_after_the_revocation) {
        CAD_AUTO(cert_row_free) struct cert_row *row = NULL;
        struct store_counters counters = { 0 };
        struct spki_use use = { 0 };
        struct error err = { 0 };
        struct made m;

        put_many(0, 3, 0);
        ck_ok(revoke_one(1, REASON_SUPERSEDED, 1500, &err), err);
        ck_ok(revoke_one(1, REASON_KEY_COMPROMISE, 1600, &err), err);
        ck_ok(store_get_certificate(fixture_store, make(&m, 1)->serial, &row, &err), err);
        ck_assert_int_eq(row->reason, REASON_KEY_COMPROMISE);
        ck_assert_int_eq(row->revoked_at, 1500); /* since then it was not to be relied on */
        ck_ok(store_counters(fixture_store, &counters, &err), err);
        ck_assert_int_eq(counters.revoked, 1);
        ck_ok(store_spki_use(fixture_store, m.row.spki, true, &use, &err), err);
        ck_assert(use.compromised);
}
END_TEST

START_TEST(what_is_not_on_hold_cannot_be_lifted_and_what_is_not_there_not_revoked) {
        struct error err = { 0 };

        put_many(0, 1, 0);
        ck_refused(revoke_one(0, REASON_REMOVE_FROM_CRL, 1, &err), err, ERR_STATE_CONFLICT);
        ck_refused(revoke_one(9, REASON_UNSPECIFIED, 1, &err), err, ERR_NOT_FOUND);
        ck_refused(revoke_one(0, (enum revocation_reason) 7, 1, &err), err, ERR_REASON_INVALID);
}
END_TEST

START_TEST(a_compromised_key_is_remembered_and_others_are_not) {
        struct spki_use use = { 0 };
        struct error err = { 0 };
        struct made m;

        put_many(0, 10, 0);
        ck_ok(revoke_one(4, REASON_KEY_COMPROMISE, 1500, &err), err);
        ck_ok(revoke_one(6, REASON_SUPERSEDED, 1500, &err), err);
        ck_ok(store_spki_use(fixture_store, make(&m, 5)->spki, false, &use, &err), err);
        ck_assert_msg(use.compromised, "5 has the key of 4");
        ck_ok(store_spki_use(fixture_store, make(&m, 6)->spki, true, &use, &err), err);
        ck_assert(!use.compromised && use.used);
}
END_TEST

START_TEST(names_of_statuses_and_reasons_go_both_ways) {
        enum revocation_reason reason;
        enum cert_status status;
        struct error err = { 0 };

        for (unsigned i = 0; i < CERT_STATUS_COUNT; i++) {
                ck_assert_int_eq(cert_status_from_name(cert_status_name((enum cert_status) i),
                                                       &status),
                                 0);
                ck_assert_uint_eq(status, i);
        }
        for (unsigned i = 0; i < REASON_COUNT; i++) {
                const char *name = revocation_reason_name((enum revocation_reason) i);

                ck_assert_msg(name || i == 7, "reason %u has no name", i);
                if (!name)
                        continue;
                ck_ok(revocation_reason_from_name(name, &reason, &err), err);
                ck_assert_uint_eq(reason, i);
        }
        ck_assert_int_eq(cert_status_from_name("gone", &status), -1);
        ck_refused(revocation_reason_from_name("keyCompromise", &reason, &err), err,
                   ERR_REASON_INVALID);
        ck_assert_str_eq(err.field, "reason");
}
END_TEST

/* ---- lists ------------------------------------------------------------------------------------------------- */

#define ROWS 400
#define NOW 2500000

/* Three buckets, some revoked and held, an even number expired. */
static void fill(void) {
        struct error err = { 0 };

        put_many(0, 150, 0);
        put_many(150, 150, 65530); /* across an edge */
        put_many(300, 100, 300000);
        for (uint64_t n = 3; n < ROWS; n += 11)
                ck_ok(revoke_one(n, n % 2 ? REASON_SUPERSEDED : REASON_CERTIFICATE_HOLD, 1500,
                                 &err),
                      err);
}

static enum cert_status status_of(uint64_t n) {
        struct made m;

        if (n % 11 == 3 && n < ROWS)
                return n % 2 ? CERT_STATUS_REVOKED : CERT_STATUS_HELD;
        return make(&m, n)->not_after < NOW ? CERT_STATUS_EXPIRED : CERT_STATUS_VALID;
}

static uint8_t some_fingerprint[STORE_HASH_SIZE], some_spki[STORE_HASH_SIZE],
        no_hash[STORE_HASH_SIZE];

#define ANY .now = NOW, .status = CERT_FILTER_ANY
static const struct {
        const char *why;
        struct cert_filter filter;
} filters[] = {
        { "all", { ANY } },
        { "valid", { .now = NOW, .status = CERT_STATUS_VALID } },
        { "expired", { .now = NOW, .status = CERT_STATUS_EXPIRED } },
        { "revoked", { .now = NOW, .status = CERT_STATUS_REVOKED } },
        { "held", { .now = NOW, .status = CERT_STATUS_HELD } },
        { "fingerprint", { ANY, .fingerprint = some_fingerprint } },
        { "key", { ANY, .spki = some_spki } },
        { "no such key", { ANY, .spki = no_hash } },
        { "name", { ANY, .name = "host77.lan" } },
        { "name in capitals", { ANY, .name = "HOST77.lan" } },
        { "address", { ANY, .name = "10.0.0.77" } },
        { "no such name", { ANY, .name = "host77" } },
        { "suffix of most", { ANY, .name = "*.lan" } },
        { "suffix of some", { ANY, .name = "*.nas.home.arpa" } },
        { "suffix of all, deep", { ANY, .name = "*.home.arpa" } },
        { "suffix that is a wildcard's parent", { ANY, .name = "*.host12.internal" } },
        { "suffix of none", { ANY, .name = "*.example" } },
        { "suffix is not a tail of a label", { ANY, .name = "*.an" } },
        { "profile", { ANY, .profile = "client" } },
        { "no such profile", { ANY, .profile = "nothing" } },
        { "issuer", { ANY, .issuer = "int-2" } },
        { "requester", { ANY, .requester = "uid:1000" } },
        { "label", { ANY, .label = "kitchen" } },
        { "expires after", { ANY, .expires_after = 2700000 } },
        { "expires before", { ANY, .expires_before = 2300000 } },
        { "expires between", { ANY, .expires_after = 2300000, .expires_before = 2600000 } },
        { "issued after", { ANY, .issued_after = 1002000 } },
        { "issued before", { ANY, .issued_before = 1002000 } },
        { "issued between", { ANY, .issued_after = 1001000, .issued_before = 1003000 } },
        { "valid and expiring soon",
          { .now = NOW, .status = CERT_STATUS_VALID, .expires_before = 2600000 } },
        { "expired lately",
          { .now = NOW, .status = CERT_STATUS_EXPIRED, .expires_after = 2400000 } },
        { "valid under a suffix", { .now = NOW, .status = CERT_STATUS_VALID, .name = "*.lan" } },
        { "revoked of a profile",
          { .now = NOW, .status = CERT_STATUS_REVOKED, .profile = "server" } },
        { "all at once",
          { .now = NOW,
            .status = CERT_STATUS_VALID,
            .name = "*.lan",
            .profile = "server",
            .issuer = "int-1",
            .requester = "uid:0",
            .expires_after = 2400000,
            .issued_before = 1003500 } },
        { "requester, profile and issuer",
          { ANY, .requester = "uid:0", .profile = "client", .issuer = "int-1" } },
};

static bool text_is(const char *text, const char *wanted) {
        return !wanted || (text && strcmp(text, wanted) == 0);
}

/* The filter again, in the plainest words. */
static bool expected(uint64_t n, const struct cert_filter *f) {
        struct made m;
        const struct cert_row *r = make(&m, n);
        bool named = !f->name;

        for (size_t i = 0; f->name && i < r->name_count; i++)
                named |= f->name[0] == '*' ? text_ends_with(r->names[i], f->name + 1)
                                           : strcasecmp(r->names[i], f->name) == 0;
        return named && (f->status == CERT_FILTER_ANY || status_of(n) == f->status) &&
                text_is(r->profile, f->profile) && text_is(r->issuer, f->issuer) &&
                text_is(r->requester, f->requester) && text_is(r->label, f->label) &&
                (!f->fingerprint || memcmp(r->fingerprint, f->fingerprint, 32) == 0) &&
                (!f->spki || memcmp(r->spki, f->spki, 32) == 0) &&
                (!f->expires_after || r->not_after >= f->expires_after) &&
                (!f->expires_before || r->not_after < f->expires_before) &&
                (!f->issued_after || r->issued_at >= f->issued_after) &&
                (!f->issued_before || r->issued_at < f->issued_before);
}

struct seen {
        unsigned times[2 * ROWS];
        unsigned total, in_page;
        int64_t last_not_after;
        bool rising, falling; /* by not_after */
};

static void see(const struct cert_row *row, void *data) {
        struct seen *seen = data;
        uint64_t n = 0;

        for (int i = 0; i < 8; i++)
                n = n << 8 | row->serial.data[1 + i];
        ck_assert_uint_lt(n, 2 * ROWS);
        seen->times[n]++;
        if (seen->total > 0 && row->not_after < seen->last_not_after)
                seen->rising = false;
        if (seen->total > 0 && row->not_after > seen->last_not_after)
                seen->falling = false;
        seen->last_not_after = row->not_after;
        seen->total++;
        seen->in_page++;
}

/* How much of what is there is indexed, and in what steps. */
static const struct indexed {
        const char *why;
        int64_t rows;
        int step;
} indexed[] = {
        { "nothing is indexed", 0, 1 },          { "some is", 170, 256 },
        { "up to a bucket's edge", 156, 50 }, /* the last is id 65535 */
        { "all is, in large steps", ROWS, 256 }, { "all is, in small steps", ROWS, 5 },
};

static void index_as(const struct indexed *how) {
        fixture_unindex();
        fixture_index(how->rows, how->step);
}

static void fill_indexed(const struct indexed *how) {
        struct made m;

        fill();
        index_as(how);
        memcpy(some_fingerprint, make(&m, 123)->fingerprint, STORE_HASH_SIZE);
        memcpy(some_spki, make(&m, 149)->spki, STORE_HASH_SIZE);
}

/* Walk all pages; while @add, put another certificate and index some after each page. */
static void walk_pages(const struct cert_filter *f, size_t limit, bool add, struct seen *seen) {
        char cursor[STORE_CURSOR_MAX] = "", next[STORE_CURSOR_MAX] = "";
        uint64_t more = ROWS;
        struct error err = { 0 };

        *seen = (struct seen){ .rising = true, .falling = true };
        do {
                seen->in_page = 0;
                ck_ok(store_list(fixture_store, f, cursor, limit, see, seen, next, &err), err);
                ck_assert_uint_le(seen->in_page, limit);
                memcpy(cursor, next, sizeof(cursor));
                if (add && more < 2 * ROWS) {
                        put_many(more++, 1, 0);
                        fixture_index(13, 256);
                }
        } while (cursor[0]);
}

static void check_pages(size_t which, const struct indexed *how, struct seen *seen) {
        static const size_t limits[] = { 1, 7, 64, STORE_PAGE_MAX };
        const struct cert_filter *f = &filters[which].filter;

        for (size_t l = 0; l < ARRAY_SIZE(limits); l++) {
                walk_pages(f, limits[l], /* add= */ false, seen);
                for (uint64_t n = 0; n < ROWS; n++)
                        ck_assert_msg(seen->times[n] == expected(n, f),
                                      "%s, %s: %llu came %u times at %zu a page",
                                      filters[which].why, how->why, (unsigned long long) n,
                                      seen->times[n], limits[l]);
        }
}

static void check_order(const struct cert_filter *filter, const struct seen *seen,
                        const char *why) {
        if (filter->status == CERT_STATUS_VALID && !filter->name)
                ck_assert_msg(seen->rising, "%s: what expires first comes first", why);
        if (filter->status == CERT_STATUS_EXPIRED)
                ck_assert_msg(seen->falling, "%s: what expired last comes first", why);
}

/* Filters only read: one store will do for all of them. */
START_TEST(the_pages_of_every_filter_are_together_what_it_asks_for) {
        struct seen seen;

        fill_indexed(&indexed[0]);
        for (size_t i = 0; i < ARRAY_SIZE(indexed); i++) {
                index_as(&indexed[i]);
                for (size_t f = 0; f < ARRAY_SIZE(filters); f++) {
                        check_pages(f, &indexed[i], &seen);
                        check_order(&filters[f].filter, &seen, filters[f].why);
                }
        }
}
END_TEST

START_TEST(nothing_comes_twice_and_nothing_is_missed_while_certificates_are_issued) {
        struct seen seen;

        fill_indexed(&indexed[0]);
        walk_pages(&filters[_i].filter, 9, /* add= */ true, &seen);
        for (uint64_t n = 0; n < 2 * ROWS; n++) {
                ck_assert_msg(seen.times[n] <= 1, "%s: %llu came %u times", filters[_i].why,
                              (unsigned long long) n, seen.times[n]);
                if (n < ROWS)
                        ck_assert_msg(seen.times[n] == expected(n, &filters[_i].filter), "%s: %llu",
                                      filters[_i].why, (unsigned long long) n);
        }
}
END_TEST

static void count_row(const struct cert_row *row, void *data) {
        (void) row;
        (*(unsigned *) data)++;
}

START_TEST(certificates_are_indexed_in_the_background_when_enough_have_come) {
        put_many(0, STORE_INDEX_STEP - 1, 0);
        ck_assert_int_eq(fixture_number("SELECT indexed FROM counters"), 0);
        put_many(STORE_INDEX_STEP, 1, 0);
        ck_assert_int_eq(fixture_number("SELECT indexed FROM counters"), STORE_INDEX_STEP);
        ck_assert_int_eq(fixture_number("SELECT count(*) FROM lookups WHERE kind = 1"),
                         3 * STORE_INDEX_STEP);
        put_many(1000, 10 * STORE_INDEX_STEP + 5, 0); /* more than one step */
        ck_assert_int_ge(fixture_number("SELECT indexed FROM counters"), 11 * STORE_INDEX_STEP);
}
END_TEST

START_TEST(the_next_start_goes_on_indexing_where_the_last_one_ended) {
        fill_indexed(&indexed[2]);
        put_many(ROWS, ROWS, 0);
        fixture_unindex();
        fixture_index(150, 50);
        fixture_reopen();
        ck_assert_int_ge(fixture_number("SELECT indexed FROM counters"),
                         fixture_number("SELECT max(id) FROM certificates") - STORE_INDEX_STEP);
        ck_assert_int_ge(fixture_number("SELECT count(*) FROM lookups WHERE kind = 1"),
                         3 * (2 * ROWS - STORE_INDEX_STEP));
}
END_TEST

START_TEST(the_counters_are_right_before_and_after_indexing) {
        struct store_counters counters = { 0 };
        struct error err = { 0 };
        struct store_issue issue;
        struct made m;

        store_issue_init(&issue, NULL);
        put_many(0, 20, 0);
        issue.row = *make(&m, 50);
        issue.row.internal = true;
        ck_ok(store_write(fixture_store, &issue.op, &err), err);
        for (int i = 0; i < 4; i++) {
                fixture_index(7, 7);
                ck_ok(store_counters(fixture_store, &counters, &err), err);
                ck_assert_int_eq(counters.issued, 21);
                ck_assert_int_eq(counters.issued_for_others, 20);
        }
}
END_TEST

START_TEST(a_certificate_of_a_thousand_long_names_is_indexed_by_all_of_them) {
        static char texts[STORE_NAMES_MAX][200];
        const char *names[STORE_NAMES_MAX];
        struct error err = { 0 };
        struct store_issue issue;
        struct made m;

        for (size_t i = 0; i < STORE_NAMES_MAX; i++) {
                memset(texts[i], 'a', sizeof(texts[i]) - 1);
                (void) snprintf(texts[i], 20, "host%zu", i);
                texts[i][strlen(texts[i])] = '.';
                names[i] = texts[i];
        }
        for (uint64_t n = 0; n < 20; n++) {
                store_issue_init(&issue, NULL);
                issue.row = *make(&m, n);
                issue.row.names = names;
                issue.row.name_count = STORE_NAMES_MAX;
                ck_ok(store_write(fixture_store, &issue.op, &err), err);
        }
        fixture_index(20, 256); /* more keys than one step takes */
        ck_assert_int_eq(fixture_number("SELECT count(*) FROM lookups WHERE kind = 1"),
                         20 * STORE_NAMES_MAX);
}
END_TEST

START_TEST(a_clock_that_steps_back_hides_nothing_from_a_list_by_time) {
        struct cert_filter early = { ANY, .issued_after = 5000, .issued_before = 5010 };
        char next[STORE_CURSOR_MAX];
        struct error err = { 0 };
        struct store_issue issue;
        unsigned found = 0;
        struct made m;

        put_many(0, 30, 0);
        store_issue_init(&issue, NULL);
        issue.row = *make(&m, 40);
        issue.row.issued_at = 5005; /* long before all the others */
        ck_ok(store_write(fixture_store, &issue.op, &err), err);
        put_many(50, 30, 0);
        fixture_index((int64_t) _i * 20, 20);
        ck_ok(store_list(fixture_store, &early, "", 10, count_row, &found, next, &err), err);
        ck_assert_uint_eq(found, 1);
}
END_TEST

START_TEST(a_list_without_a_filter_has_the_newest_first) {
        char next[STORE_CURSOR_MAX];
        struct error err = { 0 };
        struct seen seen = { 0 };
        struct cert_filter all = { ANY };

        fill();
        ck_ok(store_list(fixture_store, &all, NULL, 3, see, &seen, next, &err), err);
        ck_assert(seen.times[ROWS - 1] && seen.times[ROWS - 2] && seen.times[ROWS - 3] && next[0]);
}
END_TEST

START_TEST(a_page_ends_after_bounded_work_and_the_list_goes_on) {
        struct cert_filter rare = { ANY, .profile = "server", .label = NULL, .issuer = "int-9" };
        struct cert_filter broad = { ANY, .name = "*.internal" };
        char cursor[STORE_CURSOR_MAX] = "", next[STORE_CURSOR_MAX];
        unsigned found = 0, pages = 0;
        struct error err = { 0 };

        put_many(0, 9000, 0);
        ck_ok(store_list(fixture_store, &rare, "", 10, count_row, &found, next, &err), err);
        ck_assert_msg(found == 0 && next[0], "an empty page with a next one");
        do { /* far more names under it than are sorted: the bucket itself is walked */
                ck_ok(store_list(fixture_store, &broad, cursor, STORE_PAGE_MAX, count_row, &found,
                                 next, &err),
                      err);
                memcpy(cursor, next, sizeof(cursor));
                pages++;
        } while (cursor[0]);
        ck_assert_uint_eq(found, 9000);
        ck_assert_uint_eq(pages, 9);
}
END_TEST

static const struct {
        const char *why, *cursor, *name, *field;
        size_t limit;
} bad_lists[] = {
        { "no page of nothing", "", NULL, "limit", 0 },
        { "no endless page", "", NULL, "limit", STORE_PAGE_MAX + 1 },
        { "junk", "junk", NULL, "cursor", 10 },
        { "another list's cursor", "f00000000000000000000000000000001", NULL, "cursor", 10 },
        { "too long", "a000000000000000000000000000000010", NULL, "cursor", 10 },
        { "no hex", "a0000000000000000000000000000000g", NULL, "cursor", 10 },
        { "a negative id", "a0000000000000000ffffffffffffffff", NULL, "cursor", 10 },
        { "a star in the middle", "", "a*.lan", "name", 10 },
        { "a star without a dot", "", "*lan", "name", 10 },
        { "nothing after the dot", "", "*.", "name", 10 },
        { "two stars", "", "*.*.lan", "name", 10 },
        { "an empty name", "", "", "name", 10 },
};

START_TEST(a_list_that_cannot_be_is_refused_by_field) {
        struct cert_filter f = { ANY, .name = bad_lists[_i].name };
        char next[STORE_CURSOR_MAX];
        struct error err = { 0 };
        unsigned found = 0;

        put_many(0, 5, 0);
        ck_refused(store_list(fixture_store, &f, bad_lists[_i].cursor, bad_lists[_i].limit,
                              count_row, &found, next, &err),
                   err, ERR_QUERY_INVALID);
        ck_assert_msg(strcmp(err.field, bad_lists[_i].field) == 0, "%s: %s", bad_lists[_i].why,
                      err.field);
        ck_assert_uint_eq(found, 0);
}
END_TEST

/* ---- idempotency ------------------------------------------------------------------------------------------- */

static int issue_with_key(uint64_t n, const struct idempotency *key, int64_t at,
                          struct error *err) {
        struct store_issue issue;
        struct made m;

        store_issue_init(&issue, NULL);
        issue.row = *make(&m, n);
        issue.row.issued_at = at;
        issue.idempotency = key;
        return store_write(fixture_store, &issue.op, err);
}

START_TEST(an_idempotency_key_finds_its_certificate_for_a_day) {
        struct idempotency key = { "uid:0", "POST", "/v1/certificates", "k1", { 7 } };
        struct idempotency other = key;
        uint8_t body[STORE_HASH_SIZE] = { 0 }, serial[STORE_SERIAL_MAX];
        struct error err = { 0 };
        struct made m;
        size_t size = 0;

        ck_ok(issue_with_key(1, &key, 5000, &err), err);
        ck_ok(store_idempotency_find(fixture_store, &key, 5000 + 86399, body, serial, &size, &err),
              err);
        ck_assert_int_eq(body[0], 7);
        ck_assert(bytes_equal(BYTES(serial, size), make(&m, 1)->serial));
        ck_refused(store_idempotency_find(fixture_store, &key, 5000 + 86400, body, serial, &size,
                                          &err),
                   err, ERR_NOT_FOUND);
        other.principal = "uid:1";
        ck_refused(store_idempotency_find(fixture_store, &other, 5000, body, serial, &size, &err),
                   err, ERR_NOT_FOUND);
        other = key;
        other.path = "/v1/other";
        ck_refused(store_idempotency_find(fixture_store, &other, 5000, body, serial, &size, &err),
                   err, ERR_NOT_FOUND);
}
END_TEST

START_TEST(a_key_in_use_lets_no_second_certificate_in) {
        struct idempotency key = { "uid:0", "POST", "/v1/certificates", "k1", { 7 } };
        struct store_counters counters = { 0 };
        struct error err = { 0 };

        ck_ok(issue_with_key(1, &key, 5000, &err), err);
        ck_refused(issue_with_key(2, &key, 5001, &err), err, ERR_IDEMPOTENCY_IN_FLIGHT);
        ck_ok(issue_with_key(3, &key, 5000 + 86400, &err), err); /* a day later it is free again */
        ck_ok(store_counters(fixture_store, &counters, &err), err);
        ck_assert_int_eq(counters.issued, 2);
}
END_TEST

START_TEST(old_idempotency_keys_go_away_in_steps) {
        struct error err = { 0 };
        int64_t left = 0;

        for (uint64_t n = 0; n < 30; n++) {
                char text[16];
                struct idempotency key = { "uid:0", "POST", "/v1/certificates", text, { 0 } };

                (void) snprintf(text, sizeof(text), "k%llu", (unsigned long long) n);
                ck_ok(issue_with_key(n, &key, n < 20 ? 5000 : 500000, &err), err);
        }
        ck_ok(sql_number(&fixture_store->committer.writer, "SELECT count(*) FROM idempotency",
                         &left, &err),
              err);
        ck_assert_int_eq(left, 10);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("store");
        TCase *open_case = tcase_create("opening"), *rows = tcase_create("certificates"),
              *lists = tcase_create("lists");

        tcase_add_checked_fixture(open_case, fixture_setup, fixture_teardown);
        tcase_add_test(open_case, a_new_store_is_private_and_whole);
        tcase_add_test(open_case, a_store_that_is_missing_is_not_made_unless_allowed);
        tcase_add_test(open_case, a_log_without_its_database_is_refused_and_kept);
        tcase_add_loop_test(open_case, what_is_no_database_is_refused_and_left_alone, 0,
                            ARRAY_SIZE(wrong_files));
        tcase_add_loop_test(open_case, a_database_that_does_not_belong_here_is_refused, 0,
                            ARRAY_SIZE(wrong_databases));
        tcase_add_test(open_case, a_database_cut_short_is_refused);
        tcase_add_test(open_case, a_symbolic_link_is_no_database);
        tcase_add_test(open_case, a_second_process_is_told_who_has_it);
        tcase_add_test(open_case, a_ca_that_issued_nothing_for_others_can_be_started_over);
        tcase_add_test(open_case, a_ca_that_issued_for_others_stays);
        tcase_add_test(open_case, a_private_copy_is_kept_before_a_migration);
        tcase_add_test(open_case, a_migration_that_fails_changes_nothing);
        tcase_add_test(open_case, what_a_killed_maker_left_is_made_afresh);
        tcase_add_test(open_case, the_connections_are_set_as_they_must_be);
        tcase_add_loop_test(open_case, no_statement_scans_or_sorts, 0, STATEMENT_COUNT);
        suite_add_tcase(suite, open_case);

        tcase_add_checked_fixture(rows, fixture_setup, fixture_teardown);
        tcase_add_test(rows, a_certificate_comes_back_as_it_was_put_even_after_reopening);
        tcase_add_test(rows, a_certificate_without_names_and_subject_comes_back);
        tcase_add_test(rows, an_unknown_serial_is_not_found);
        tcase_add_test(rows, a_serial_comes_once);
        tcase_add_test(rows, a_row_that_cannot_be_stored_is_refused);
        tcase_add_loop_test(rows, the_newest_certificate_of_a_key_is_found_across_buckets, 0, 8);
        tcase_add_loop_test(rows, certificates_move_only_as_rfc5280_allows, 0,
                            ARRAY_SIZE(moves_of));
        tcase_add_test(rows, that_a_key_was_stolen_may_be_learned_after_the_revocation);
        tcase_add_test(rows,
                       what_is_not_on_hold_cannot_be_lifted_and_what_is_not_there_not_revoked);
        tcase_add_test(rows, a_compromised_key_is_remembered_and_others_are_not);
        tcase_add_test(rows, names_of_statuses_and_reasons_go_both_ways);
        tcase_add_test(rows, an_idempotency_key_finds_its_certificate_for_a_day);
        tcase_add_test(rows, a_key_in_use_lets_no_second_certificate_in);
        tcase_add_test(rows, old_idempotency_keys_go_away_in_steps);
        suite_add_tcase(suite, rows);

        tcase_set_timeout(lists, 30);
        tcase_add_checked_fixture(lists, fixture_setup, fixture_teardown);
        tcase_add_test(lists, the_pages_of_every_filter_are_together_what_it_asks_for);
        tcase_add_loop_test(lists,
                            nothing_comes_twice_and_nothing_is_missed_while_certificates_are_issued,
                            0, ARRAY_SIZE(filters));
        tcase_add_test(lists, certificates_are_indexed_in_the_background_when_enough_have_come);
        tcase_add_test(lists, the_next_start_goes_on_indexing_where_the_last_one_ended);
        tcase_add_test(lists, the_counters_are_right_before_and_after_indexing);
        tcase_add_test(lists, a_certificate_of_a_thousand_long_names_is_indexed_by_all_of_them);
        tcase_add_loop_test(lists, a_clock_that_steps_back_hides_nothing_from_a_list_by_time, 0, 5);
        tcase_add_test(lists, a_list_without_a_filter_has_the_newest_first);
        tcase_add_test(lists, a_page_ends_after_bounded_work_and_the_list_goes_on);
        tcase_add_loop_test(lists, a_list_that_cannot_be_is_refused_by_field, 0,
                            ARRAY_SIZE(bad_lists));
        suite_add_tcase(suite, lists);
        return unit_main(suite);
}
