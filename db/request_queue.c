/*
 * Handing a request in: the queue is bounded, and fair to those who are in it.
 */
#include "db/requests.h"

#include <stdio.h>
#include <string.h>

#include "db/audit.h"
#include "db/internal.h"
#include "db/request_rows.h"
#include "lib/base/text.h"

/* ---- who gives way ------------------------------------------------------------------------------------------------- */

/* What waits now, and whose turn it is to give way. */
struct census {
        size_t total, own; /* own: of the source that hands in */
        size_t most;       /* of the source that has most … */
        int64_t newest_of_most; /* … the newest; of two that have as many, of the one with the newest */
};

static void count_source(struct census *census, size_t count, int64_t newest, bool is_own) {
        census->total += count;
        if (is_own)
                census->own = count;
        if (count > census->most || (count == census->most && newest > census->newest_of_most)) {
                census->most = count;
                census->newest_of_most = newest;
        }
}

/* One walk along the index of what is open, by source: at most as many rows as may wait, and what has expired since the last sweep. */
static int take_census(struct store_tx *tx, const struct store_put_request *put, struct census *ret,
                       struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(tx->c, STATEMENT_REQUEST_QUEUE, err);
        CAD_AUTO(buffer_done) struct buffer source = { 0 };
        int64_t newest = 0;
        size_t count = 0;
        int rc;

        if (!s)
                return -1;
        *ret = (struct census){ 0 };
        (void) sqlite3_bind_int64(s, 1, put->row.handed_in_at);
        while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
                const char *text = column_text(s, 0);

                if (!text)
                        return error_no_memory(err);
                if (count && strcmp(buffer_string(&source), text) != 0) {
                        count_source(ret, count, newest,
                                     text_equal(buffer_string(&source), put->row.source));
                        count = 0;
                }
                if (count++ == 0) {
                        source.size = 0;
                        buffer_text(&source, text);
                }
                newest = sqlite3_column_int64(s, 1);
        }
        if (source.failed)
                return error_no_memory(err);
        if (count)
                count_source(ret, count, newest,
                             text_equal(buffer_string(&source), put->row.source));
        return rc == SQLITE_DONE ? 0 : sql_error(tx->c, rc, "cannot read the requests", err);
}

/* Return: 1 it waits already, 0 it is new, -1 */
static int find_same(struct store_tx *tx, struct store_put_request *put, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(tx->c, STATEMENT_REQUEST_SAME, err);
        CAD_AUTO(request_reading_done) struct request_reading found = { 0 };
        int rc;

        if (!s)
                return -1;
        bind_text(s, 1, put->row.source);
        bind_bytes(s, 2, BYTES(put->row.wish, STORE_HASH_SIZE));
        (void) sqlite3_bind_int64(s, 3, put->row.handed_in_at);
        rc = sqlite3_step(s);
        if (rc == SQLITE_DONE)
                return 0;
        if (rc != SQLITE_ROW)
                return sql_error(tx->c, rc, "cannot read a request", err);
        if (request_row_read(tx->c, s, &found, err) < 0)
                return -1;
        put->row.row_id = found.row.row_id;
        put->row.handed_in_at = found.row.handed_in_at;
        put->row.expires_at = found.row.expires_at;
        memcpy(put->row.id, found.row.id, sizeof(put->row.id));
        memcpy(put->row.code, found.row.code, sizeof(put->row.code));
        put->known = true;
        return 1;
}

static int evict(struct store_tx *tx, int64_t row_id, char ret_code[STORE_REQUEST_CODE_MAX],
                 struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(tx->c, STATEMENT_REQUEST_EVICT, err);
        const char *code;
        int rc;

        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, row_id);
        rc = sqlite3_step(s);
        code = rc == SQLITE_ROW ? column_text(s, 0) : NULL;
        if (code)
                (void) snprintf(ret_code, STORE_REQUEST_CODE_MAX, "%s", code);
        while (rc == SQLITE_ROW)
                rc = sqlite3_step(s);
        return rc == SQLITE_DONE ? 0 : sql_error(tx->c, rc, "cannot remove a request", err);
}

/*
 * Room for one more. A source that has more than the new one's own would then have gives its newest: so no source is pushed
 * below what the others have, and one that floods only ever pushes out itself.
 */
static int make_room(struct store_tx *tx, struct store_put_request *put, struct error *err) {
        struct census census;

        if (take_census(tx, put, &census, err) < 0)
                return -1;
        if (census.own >= put->queue.per_source)
                return error_set(
                        err, ERR_TOO_MANY_REQUESTS,
                        "%zu requests from %s are waiting already: have them decided on before there are more",
                        census.own, put->row.source);
        if (census.total < put->queue.total)
                return 0;
        if (census.most <= census.own + 1)
                return error_set(
                        err, ERR_OVERLOADED,
                        "%zu requests are waiting, which is all that may: try again when some were decided on",
                        census.total);
        return evict(tx, census.newest_of_most, put->gave_way, err);
}

/* ---- handing in ---------------------------------------------------------------------------------------------------- */

static int check_row(const struct request_row *row, struct error *err) {
        if (row->name_count > STORE_NAMES_MAX || !row->source || !row->key || !row->profile ||
            row->csr.size == 0 || row->csr.size > STORE_REQUEST_CSR_MAX ||
            strlen(row->code) != STORE_REQUEST_CODE_MAX - 1)
                return error_set(err, ERR_INTERNAL, "a request out of bounds");
        for (size_t i = 0; i < row->name_count; i++)
                if (!row->names[i][0] || strchr(row->names[i], '\n') ||
                    strlen(row->names[i]) > STORE_NAME_MAX)
                        return error_set(err, ERR_INTERNAL, "a request with a name out of bounds");
        return 0;
}

static void bind_row(sqlite3_stmt *s, const struct request_row *row, const char *names) {
        bind_bytes(s, 1, BYTES(row->id, sizeof(row->id)));
        bind_text(s, 2, row->code);
        bind_text(s, 3, row->source);
        bind_bytes(s, 4, BYTES(row->wish, sizeof(row->wish)));
        bind_bytes(s, 5, BYTES(row->spki, sizeof(row->spki)));
        bind_text(s, 6, row->key);
        bind_text(s, 7, row->profile);
        bind_text(s, 8, names);
        if (row->lifetime_s)
                (void) sqlite3_bind_int64(s, 9, row->lifetime_s);
        bind_text(s, 10, row->label);
        (void) sqlite3_bind_int64(s, 11, row->handed_in_at);
        (void) sqlite3_bind_int64(s, 12, row->expires_at);
        (void) sqlite3_bind_int64(s, 13, row->expires_at + STORE_REQUEST_KEPT_S);
        bind_bytes(s, 14, row->csr);
}

static int insert(struct store_tx *tx, struct store_put_request *put, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer names = { 0 };
        CAD_AUTO(statement_release) sqlite3_stmt *s = NULL; /* let go before the names it binds */
        int rc;

        for (size_t i = 0; i < put->row.name_count; i++)
                buffer_format(&names, "%s%s", i ? "\n" : "", put->row.names[i]);
        s = sql_statement(tx->c, STATEMENT_REQUEST_ADD, err);
        if (!s)
                return -1;
        bind_row(s, &put->row, buffer_string(&names));
        if (names.failed)
                return error_no_memory(err);
        rc = sqlite3_step(s);
        put->code_taken = rc == SQLITE_CONSTRAINT_UNIQUE;
        if (put->code_taken)
                return error_set(err, ERR_STATE_CONFLICT, "there is a request %s already",
                                 put->row.code);
        put->row.row_id = sqlite3_last_insert_rowid(tx->c->db);
        return rc == SQLITE_DONE ? 0 : sql_error(tx->c, rc, "cannot write a request", err);
}

static int put_audit(struct store_tx *tx, const struct store_put_request *put, struct error *err) {
        struct audit_event event = *put->audit;

        event.object = put->row.code;
        return tx_put_audit(tx, &event, err);
}

static int put_apply(struct store_tx *tx, struct store_op *op, struct error *err) {
        struct store_put_request *put = (struct store_put_request *) op;
        int same;

        put->known = put->code_taken = false;
        put->gave_way[0] = '\0';
        if (check_row(&put->row, err) < 0)
                return -1;
        same = find_same(tx, put, err);
        if (same != 0)
                return same < 0 ? -1 : 0;
        if (make_room(tx, put, err) < 0 || insert(tx, put, err) < 0)
                return -1;
        return put->audit ? put_audit(tx, put, err) : 0;
}

void store_put_request_init(struct store_put_request *put,
                            void (*done)(struct store_op *op, const struct error *err)) {
        *put = (struct store_put_request){ .op = { .apply = put_apply, .done = done } };
}
