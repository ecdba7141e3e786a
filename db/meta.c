/*
 * The rows that there is one of: whose database it is, and the counters.
 */
#include "db/internal.h"

int meta_read_ca_id(struct sql_connection *c, struct buffer *ret, struct error *err) {
        CAD_AUTO(statement_release) sqlite3_stmt *s = sql_statement(c, STATEMENT_META, err);
        int rc;

        if (!s)
                return -1;
        rc = sqlite3_step(s);
        if (rc == SQLITE_DONE)
                return error_set(err, ERR_STORE, "%s does not say whose it is; restore a backup",
                                 STORE_FILE);
        if (rc != SQLITE_ROW)
                return sql_error(c, rc, "cannot read " STORE_FILE, err);
        buffer_text(ret, column_text(s, 0));
        return ret->failed ? error_no_memory(err) : 0;
}

/* Some hundred rows. */
static int count_tail(struct sql_connection *c, int64_t indexed, struct store_counters *ret,
                      struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(c, STATEMENT_COUNT_TAIL, err);
        int rc;

        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, indexed);
        rc = sqlite3_step(s);
        if (rc != SQLITE_ROW)
                return sql_error(c, rc, "cannot read the counters", err);
        ret->issued += sqlite3_column_int64(s, 0);
        ret->issued_for_others += sqlite3_column_int64(s, 1);
        return 0;
}

int counters_read(struct sql_connection *c, struct store_counters *ret, struct error *err) {
        CAD_AUTO(snapshot_done) struct snapshot snapshot = snapshot_begin(c, err);
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = snapshot.c ? sql_statement(c, STATEMENT_COUNTERS, err) : NULL;
        int rc;

        if (!s)
                return -1;
        rc = sqlite3_step(s);
        if (rc != SQLITE_ROW)
                return sql_error(c, rc, "cannot read the counters", err);
        *ret = (struct store_counters){
                .issued = sqlite3_column_int64(s, 0),
                .issued_for_others = sqlite3_column_int64(s, 1),
                .revoked = sqlite3_column_int64(s, 2),
                .held = sqlite3_column_int64(s, 3),
        };
        return count_tail(c, sqlite3_column_int64(s, 4), ret, err);
}

int counters_add(struct sql_connection *c, const struct store_counters *more, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(c, STATEMENT_COUNTERS_ADD, err);

        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, more->revoked);
        (void) sqlite3_bind_int64(s, 2, more->held);
        return sql_run(c, s, "cannot write the counters", err);
}

int store_counters(struct store *store, struct store_counters *ret, struct error *err) {
        CAD_AUTO(reader_done) struct reader r = reader_for(store, err);

        return r.c ? counters_read(r.c, ret, err) : -1;
}
