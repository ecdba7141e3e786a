/*
 * What CRLs are made of: the revoked and held certificates of an issuer, read in steps, and what is known of its newest
 * CRL. Whether something has changed since is a count that every revocation raises in its own transaction: it survives
 * every restart, and an older database beside a newer CRL is seen by the CRL's number.
 */
#include "db/internal.h"

#include <stdio.h>
#include <string.h>

/* ---- the newest CRL of an issuer ---------------------------------------------------------------------------- */

int store_get_crl(struct store *store, const char *issuer, struct crl_row *ret, struct error *err) {
        CAD_AUTO(reader_done) struct reader r = reader_for(store, err);
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = r.c ? sql_statement(r.c, STATEMENT_CRL_GET, err) : NULL;
        struct crl_row row = { .included = -1 };
        int rc;

        if (!s)
                return -1;
        bind_text(s, 1, issuer);
        rc = sqlite3_step(s);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
                return sql_error(r.c, rc, "cannot read what is known of a CRL", err);
        (void) snprintf(row.issuer, sizeof(row.issuer), "%s", issuer);
        if (rc == SQLITE_ROW) {
                row.changes = sqlite3_column_int64(s, 0);
                row.included = sqlite3_column_int64(s, 1);
                row.number = sqlite3_column_int64(s, 2);
                row.this_update = sqlite3_column_int64(s, 3);
                row.next_update = sqlite3_column_int64(s, 4);
                row.scheduled_at = sqlite3_column_int64(s, 5);
                row.entries = sqlite3_column_int64(s, 6);
        }
        *ret = row;
        return 0;
}

static int put_apply(struct store_tx *tx, struct store_op *op, struct error *err) {
        const struct store_put_crl *put = (const struct store_put_crl *) op;
        const struct crl_row *row = &put->row;
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(tx->c, STATEMENT_CRL_PUT, err);

        if (!s)
                return -1;
        bind_text(s, 1, row->issuer);
        (void) sqlite3_bind_int64(s, 2, row->included);
        (void) sqlite3_bind_int64(s, 3, row->number);
        (void) sqlite3_bind_int64(s, 4, row->this_update);
        (void) sqlite3_bind_int64(s, 5, row->next_update);
        (void) sqlite3_bind_int64(s, 6, row->scheduled_at);
        (void) sqlite3_bind_int64(s, 7, row->entries);
        if (sql_run(tx->c, s, "cannot write what is known of a CRL", err) < 0)
                return -1;
        return put->audit ? tx_put_audit(tx, put->audit, err) : 0;
}

void store_put_crl_init(struct store_put_crl *put, const struct crl_row *row,
                        void (*done)(struct store_op *op, const struct error *err)) {
        *put = (struct store_put_crl){ .op = { .apply = put_apply, .done = done }, .row = *row };
}

int crl_note_change(struct store_tx *tx, int64_t issuer_id, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(tx->c, STATEMENT_CRL_CHANGED, err);

        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, issuer_id);
        tx->revoked = true;
        return sql_run(tx->c, s, "cannot write a revocation", err);
}

/* ---- its entries -------------------------------------------------------------------------------------------- */

static int read_entry(sqlite3_stmt *s, struct revoked_row *ret, struct error *err) {
        struct bytes serial = column_bytes(s, 1);
        int reason = sqlite3_column_int(s, 3);

        if (serial.size == 0 || serial.size > STORE_SERIAL_MAX ||
            !revocation_reason_name((enum revocation_reason) reason))
                return error_set(err, ERR_STORE, "%s is damaged: a revocation; restore a backup",
                                 STORE_FILE);
        ret->not_after = sqlite3_column_int64(s, 0);
        ret->serial_size = serial.size;
        memcpy(ret->serial, serial.data, serial.size);
        ret->revoked_at = sqlite3_column_int64(s, 2);
        ret->reason = (enum revocation_reason) reason;
        return 0;
}

struct revoked_cursor revoked_from(int64_t not_after) {
        return (struct revoked_cursor){ .not_after = not_after };
}

/* The next of those that the store has certificates of, or of the others. */
static int step(struct sql_connection *c, const char *issuer, struct revoked_cursor *cursor,
                struct revoked_row *ret, size_t limit, size_t *ret_count, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(c,
                                        cursor->unknown ? STATEMENT_UNKNOWN_STEP
                                                        : STATEMENT_REVOKED_STEP,
                                        err);
        size_t count = 0;
        int rc;

        if (!s)
                return -1;
        bind_text(s, 1, issuer);
        (void) sqlite3_bind_int64(s, 2, cursor->not_after);
        bind_bytes(s, 3, BYTES(cursor->serial, cursor->serial_size));
        (void) sqlite3_bind_int64(s, 4, (sqlite3_int64) limit);
        while ((rc = sqlite3_step(s)) == SQLITE_ROW && count < limit)
                if (read_entry(s, &ret[count++], err) < 0)
                        return -1;
        if (rc != SQLITE_DONE)
                return sql_error(c, rc, "cannot read the revocations", err);
        if (count > 0) {
                cursor->not_after = ret[count - 1].not_after;
                cursor->serial_size = ret[count - 1].serial_size;
                memcpy(cursor->serial, ret[count - 1].serial, cursor->serial_size);
        }
        *ret_count = count;
        return 0;
}

int store_revoked_step(struct store *store, const char *issuer, struct revoked_cursor *cursor,
                       struct revoked_row *ret, size_t limit, size_t *ret_count,
                       struct error *err) {
        CAD_AUTO(reader_done) struct reader r = reader_for(store, err);
        size_t count = 0, more = 0;

        if (!r.c || step(r.c, issuer, cursor, ret, limit, &count, err) < 0)
                return -1;
        if (count < limit && !cursor->unknown) {
                *cursor = (struct revoked_cursor){ .not_after = INT64_MAX, .unknown = true };
                if (step(r.c, issuer, cursor, ret + count, limit - count, &more, err) < 0)
                        return -1;
        }
        *ret_count = count + more;
        return 0;
}

/* ---- what a published CRL says ------------------------------------------------------------------------------ */

static int put_unknown(struct store_tx *tx, const char *issuer, const struct revoked_row *row,
                       bool *ret_new, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(tx->c, STATEMENT_UNKNOWN_ADD, err);

        if (!s)
                return -1;
        bind_text(s, 1, issuer);
        bind_bytes(s, 2, BYTES(row->serial, row->serial_size));
        (void) sqlite3_bind_int64(s, 3, row->revoked_at);
        (void) sqlite3_bind_int(s, 4, (int) row->reason);
        if (sql_run(tx->c, s, "cannot write a revocation", err) < 0)
                return -1;
        *ret_new = sqlite3_changes(tx->c->db) > 0;
        return 0;
}

static int adopt(struct store_tx *tx, const char *issuer, const struct revoked_row *row,
                 bool *ret_new, struct error *err) {
        struct error why = { 0 };

        *ret_new = false;
        if (row->reason == REASON_REMOVE_FROM_CRL)
                return error_set(err, ERR_REASON_INVALID, "a CRL lifts nothing");
        if (tx_revoke(tx, BYTES(row->serial, row->serial_size), row->reason, row->revoked_at,
                      &why) == 0) {
                *ret_new = true;
                return 0;
        }
        if (why.code == ERR_NOT_FOUND)
                return put_unknown(tx, issuer, row, ret_new, err);
        if (why.code == ERR_ALREADY_REVOKED || why.code == ERR_STATE_CONFLICT)
                return 0;
        *err = why;
        return -1;
}

static int adopt_apply(struct store_tx *tx, struct store_op *op, struct error *err) {
        struct store_adopt *a = (struct store_adopt *) op;

        a->adopted = 0;
        for (size_t i = 0; i < a->count; i++) {
                bool is_new;

                if (adopt(tx, a->issuer, &a->rows[i], &is_new, err) < 0)
                        return -1;
                a->adopted += is_new;
        }
        return 0;
}

void store_adopt_init(struct store_adopt *adopt, const char *issuer, const struct revoked_row *rows,
                      size_t count, void (*done)(struct store_op *op, const struct error *err)) {
        *adopt = (struct store_adopt){
                .op = { .apply = adopt_apply, .done = done },
                .issuer = issuer,
                .rows = rows,
                .count = count,
        };
}
