/*
 * Requests: looking at what waits and what was decided, deciding, and forgetting. It reads no CSR and draws no random number: id and
 * code are made by whoever hands a request in (request_queue.c).
 */
#include "db/requests.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "db/audit.h"
#include "db/internal.h"
#include "db/request_rows.h"
#include "lib/base/text.h"

#define CURSOR_LETTER 'r'
#define DECIDED_MAX 64 /* decisions on one wish that are looked at */
#define WALK_MAX 4     /* rows that a page may step over, for each that it may hold */

/* ---- one ----------------------------------------------------------------------------------------------------------- */

int store_get_request(struct store *store, const uint8_t id[STORE_REQUEST_ID_SIZE],
                      struct request_row **ret, struct error *err) {
        CAD_AUTO(reader_done) struct reader r = reader_for(store, err);
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = r.c ? sql_statement(r.c, STATEMENT_REQUEST_GET, err) : NULL;

        if (!s)
                return -1;
        bind_bytes(s, 1, BYTES(id, STORE_REQUEST_ID_SIZE));
        return request_row_read_one(r.c, s, ret, err);
}

int store_find_request(struct store *store, const char *code, struct request_row **ret,
                       struct error *err) {
        CAD_AUTO(reader_done) struct reader r = reader_for(store, err);
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = r.c ? sql_statement(r.c, STATEMENT_REQUEST_FIND, err) : NULL;

        if (!s)
                return -1;
        bind_text(s, 1, code);
        return request_row_read_one(r.c, s, ret, err);
}

/* An approval ends the search; the first denial is kept until there is none. */
static int choose_decided(struct sql_connection *c, sqlite3_stmt *s, const char *source,
                          struct request_row **ret, struct error *err) {
        CAD_AUTO(request_reading_done) struct request_reading at = { 0 };
        int rc;

        while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
                bool approved;

                if (request_row_read(c, s, &at, err) < 0)
                        return -1;
                approved = at.row.status == REQUEST_APPROVED;
                if (!approved && (*ret || strcmp(at.row.source, source) != 0))
                        continue;
                *ret = request_row_free(*ret);
                *ret = request_row_copy(&at.row);
                if (!*ret)
                        return error_no_memory(err);
                if (approved)
                        return 0;
        }
        return rc == SQLITE_DONE ? 0 : sql_error(c, rc, "cannot read a request", err);
}

int store_find_decided(struct store *store, const uint8_t wish[STORE_HASH_SIZE], const char *source,
                       struct request_row **ret, struct error *err) {
        CAD_AUTO(request_row_free) struct request_row *found = NULL;
        CAD_AUTO(reader_done) struct reader r = reader_for(store, err);
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = r.c ? sql_statement(r.c, STATEMENT_REQUEST_DECIDED, err) : NULL;

        if (!s)
                return -1;
        bind_bytes(s, 1, BYTES(wish, STORE_HASH_SIZE));
        (void) sqlite3_bind_int(s, 2, DECIDED_MAX);
        if (choose_decided(r.c, s, source, &found, err) < 0)
                return -1;
        if (!found)
                return error_set(err, ERR_NOT_FOUND, "nothing was decided on this");
        *ret = CAD_TAKE(found);
        return 0;
}

/* ---- pages: the cursor is the last row's id ------------------------------------------------------------------------ */

static int cursor_read(const char *cursor, int64_t *ret, struct error *err) {
        uint64_t below = INT64_MAX;

        if (cursor && cursor[0] &&
            (cursor[0] != CURSOR_LETTER || text_to_u64(cursor + 1, INT64_MAX, &below) < 0))
                return error_set_field(
                        err, ERR_QUERY_INVALID, "cursor",
                        "this cursor does not belong to this list: use 'next' of the page before, or none");
        *ret = (int64_t) below;
        return 0;
}

struct page {
        enum request_status status; /* REQUEST_STATUS_COUNT: any */
        int64_t now;
        size_t limit;
        store_each_request each;
        void *data;
};

/* What waits and what has expired are stored alike: a page steps over the others, so many at most. */
static int walk(struct sql_connection *c, sqlite3_stmt *s, const struct page *page, char *next,
                struct error *err) {
        CAD_AUTO(request_reading_done) struct request_reading at = { 0 };
        size_t given = 0;
        int rc;

        for (size_t seen = 0; (rc = sqlite3_step(s)) == SQLITE_ROW; seen++) {
                if (given == page->limit || seen == WALK_MAX * page->limit) {
                        (void) snprintf(next, STORE_CURSOR_MAX, "%c%" PRId64, CURSOR_LETTER,
                                        at.row.row_id);
                        return 0;
                }
                if (request_row_read(c, s, &at, err) < 0)
                        return -1;
                if (page->status != REQUEST_STATUS_COUNT &&
                    request_row_status(&at.row, page->now) != page->status)
                        continue;
                page->each(&at.row, page->data);
                given++;
        }
        return rc == SQLITE_DONE ? 0 : sql_error(c, rc, "cannot list requests", err);
}

int store_list_requests(struct store *store, enum request_status status, int64_t now,
                        const char *cursor, size_t limit, store_each_request each, void *data,
                        char *next, struct error *err) {
        const struct page page = { status, now, limit, each, data };
        bool any = status == REQUEST_STATUS_COUNT;
        CAD_AUTO(reader_done) struct reader r = { 0 };
        CAD_AUTO(statement_release) sqlite3_stmt *s = NULL;
        int64_t below;

        if (limit == 0 || limit > STORE_PAGE_MAX)
                return error_set_field(err, ERR_QUERY_INVALID, "limit",
                                       "a page has 1 to %d requests, not %zu", STORE_PAGE_MAX,
                                       limit);
        if (cursor_read(cursor, &below, err) < 0)
                return -1;
        next[0] = '\0'; /* it may be the cursor */
        r = reader_for(store, err);
        if (r.c)
                s = sql_statement(r.c, any ? STATEMENT_REQUEST_LIST : STATEMENT_REQUEST_LIST_STATUS,
                                  err);
        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, below);
        if (!any)
                (void) sqlite3_bind_int(s, 2,
                                        (int) (status == REQUEST_EXPIRED ? REQUEST_WAITING
                                                                         : status));
        return walk(r.c, s, &page, next, err);
}

/* ---- deciding ------------------------------------------------------------------------------------------------------ */

/* Why it could not be decided on. */
static int refuse_decision(struct store_tx *tx, int64_t row_id, int64_t at, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(tx->c, STATEMENT_REQUEST_BY_ROW, err);
        CAD_AUTO(request_row_free) struct request_row *row = NULL;

        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, row_id);
        if (request_row_read_one(tx->c, s, &row, err) < 0)
                return -1;
        assert(row);
        if (request_row_check_open(row, at, err) < 0)
                return -1;
        return error_set(err, ERR_INTERNAL, "the request %s could not be decided on", row->code);
}

struct decision {
        int64_t row_id;
        enum request_status status;
        int64_t at;
        const char *by, *reason;
        struct bytes serial;
        const struct audit_event *audit;
};

static int decide(struct store_tx *tx, const struct decision *decision, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(tx->c, STATEMENT_REQUEST_DECIDE, err);

        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, decision->row_id);
        (void) sqlite3_bind_int(s, 2, (int) decision->status);
        (void) sqlite3_bind_int64(s, 3, decision->at);
        bind_text(s, 4, decision->by);
        bind_text(s, 5, decision->reason);
        if (decision->serial.size)
                bind_bytes(s, 6, decision->serial);
        (void) sqlite3_bind_int64(s, 7, STORE_REQUEST_KEPT_S);
        if (sql_run(tx->c, s, "cannot write a request", err) < 0)
                return -1;
        if (sqlite3_changes(tx->c->db) != 1)
                return refuse_decision(tx, decision->row_id, decision->at, err);
        return decision->audit ? tx_put_audit(tx, decision->audit, err) : 0;
}

int tx_approve_request(struct store_tx *tx, const struct request_approval *approval,
                       struct bytes serial, struct error *err) {
        const struct decision decision = { .row_id = approval->row_id,
                                           .status = REQUEST_APPROVED,
                                           .at = approval->at,
                                           .by = approval->decided_by,
                                           .serial = serial,
                                           .audit = approval->audit };

        return decide(tx, &decision, err);
}

static int deny_apply(struct store_tx *tx, struct store_op *op, struct error *err) {
        const struct store_deny_request *deny = (const struct store_deny_request *) op;
        const struct decision decision = { .row_id = deny->row_id,
                                           .status = REQUEST_DENIED,
                                           .at = deny->at,
                                           .by = deny->decided_by,
                                           .reason = deny->reason,
                                           .audit = deny->audit };

        return decide(tx, &decision, err);
}

void store_deny_request_init(struct store_deny_request *deny,
                             void (*done)(struct store_op *op, const struct error *err)) {
        *deny = (struct store_deny_request){ .op = { .apply = deny_apply, .done = done } };
}

/* ---- forgetting ---------------------------------------------------------------------------------------------------- */

static int sweep_some(struct store_tx *tx, enum statement which, int64_t now, int64_t *swept,
                      struct error *err) {
        CAD_AUTO(statement_release) sqlite3_stmt *s = sql_statement(tx->c, which, err);

        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, now);
        (void) sqlite3_bind_int(s, 2, STORE_REQUEST_SWEEP_STEP);
        if (sql_run(tx->c, s, "cannot remove old requests", err) < 0)
                return -1;
        *swept += sqlite3_changes(tx->c->db);
        return 0;
}

static int sweep_apply(struct store_tx *tx, struct store_op *op, struct error *err) {
        struct store_sweep_requests *sweep = (struct store_sweep_requests *) op;

        sweep->swept = 0;
        return sweep_some(tx, STATEMENT_REQUEST_SWEEP_CSRS, sweep->now, &sweep->swept, err) < 0
                ? -1
                : sweep_some(tx, STATEMENT_REQUEST_SWEEP, sweep->now, &sweep->swept, err);
}

void store_sweep_requests_init(struct store_sweep_requests *sweep, int64_t now,
                               void (*done)(struct store_op *op, const struct error *err)) {
        *sweep = (struct store_sweep_requests){ .op = { .apply = sweep_apply, .done = done },
                                                .now = now };
}
