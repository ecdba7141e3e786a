/*
 * Requests: the queue of what waits for an operator, and what was decided. It reads no CSR and draws no random number: id and
 * code are made by whoever hands a request in.
 */
#include "db/requests.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db/audit.h"
#include "db/internal.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

#define CURSOR_LETTER 'r'
#define DECIDED_MAX 64 /* decisions on one wish that are looked at */
#define WALK_MAX 4     /* rows that a page may step over, for each that it may hold */

enum column { /* as REQUEST_COLUMNS has them */
        COLUMN_ID,
        COLUMN_CAPABILITY,
        COLUMN_CODE,
        COLUMN_STATUS,
        COLUMN_SOURCE,
        COLUMN_WISH,
        COLUMN_SPKI,
        COLUMN_KEY,
        COLUMN_PROFILE,
        COLUMN_NAMES,
        COLUMN_LIFETIME,
        COLUMN_LABEL,
        COLUMN_HANDED_IN_AT,
        COLUMN_EXPIRES_AT,
        COLUMN_DECIDED_AT,
        COLUMN_DECIDED_BY,
        COLUMN_REASON,
        COLUMN_SERIAL,
        COLUMN_CSR, /* where it is selected */
};

static const char *const status_names[] = {
        [REQUEST_WAITING] = "waiting",
        [REQUEST_APPROVED] = "approved",
        [REQUEST_DENIED] = "denied",
        [REQUEST_EXPIRED] = "expired",
};
_Static_assert(ARRAY_SIZE(status_names) == REQUEST_STATUS_COUNT, "one name a status");

const char *request_status_name(enum request_status status) {
        return (unsigned) status < REQUEST_STATUS_COUNT ? status_names[status] : NULL;
}

int request_status_from_name(const char *name, enum request_status *ret) {
        for (unsigned i = 0; i < REQUEST_STATUS_COUNT; i++)
                if (strcmp(status_names[i], name) == 0) {
                        *ret = (enum request_status) i;
                        return 0;
                }
        return -1;
}

enum request_status request_row_status(const struct request_row *row, int64_t now) {
        return row->status == REQUEST_WAITING && row->expires_at <= now ? REQUEST_EXPIRED
                                                                        : row->status;
}

int request_row_check_open(const struct request_row *row, int64_t now, struct error *err) {
        enum request_status status = request_row_status(row, now);
        char when[MOMENT_TEXT_MAX];

        if (status == REQUEST_WAITING)
                return 0;
        if (status == REQUEST_EXPIRED)
                return error_set(err, ERR_STATE_CONFLICT,
                                 "the request %s expired at %s: it has to be handed in again",
                                 row->code, moment_format(row->expires_at, when));
        return error_set(err, ERR_STATE_CONFLICT, "the request %s was %s at %s already, by %s",
                         row->code, request_status_name(status),
                         moment_format(row->decided_at, when),
                         row->decided_by ? row->decided_by : "?");
}

/* ---- rows -------------------------------------------------------------------------------------------------- */

static size_t text_room(const char *text) {
        return text ? strlen(text) + 1 : 0;
}

static const void *place(char **at, const void *data, size_t size) {
        char *start = *at;

        if (!data)
                return NULL;
        memcpy(start, data, size);
        *at += size;
        return start;
}

static const char *place_text(char **at, const char *text) {
        return place(at, text, text_room(text));
}

static size_t row_room(const struct request_row *row) {
        size_t room = sizeof(*row) + row->name_count * sizeof(char *) + row->csr.size +
                row->serial.size;

        room += text_room(row->source) + text_room(row->key) + text_room(row->profile) +
                text_room(row->label) + text_room(row->decided_by) + text_room(row->reason);
        for (size_t i = 0; i < row->name_count; i++)
                room += text_room(row->names[i]);
        return room;
}

struct request_row *request_row_copy(const struct request_row *row) {
        struct request_row *copy = malloc(row_room(row));
        const char **names;
        char *at;

        if (!copy)
                return NULL;
        *copy = *row;
        names = (const char **) (copy + 1);
        at = (char *) (names + row->name_count);
        for (size_t i = 0; i < row->name_count; i++)
                names[i] = place_text(&at, row->names[i]);
        copy->names = names;
        copy->source = place_text(&at, row->source);
        copy->key = place_text(&at, row->key);
        copy->profile = place_text(&at, row->profile);
        copy->label = place_text(&at, row->label);
        copy->decided_by = place_text(&at, row->decided_by);
        copy->reason = place_text(&at, row->reason);
        copy->serial.data = place(&at, row->serial.data, row->serial.size);
        copy->csr.data = place(&at, row->csr.data, row->csr.size);
        return copy;
}

struct request_row *request_row_free(struct request_row *row) {
        free(row);
        return NULL;
}

static int damaged(const char *what, struct error *err) {
        return error_set(err, ERR_STORE, "%s is damaged: a request %s; restore a backup",
                         STORE_FILE, what);
}

/** struct read_row - a row as it was read, and what its names point to */
struct read_row {
        struct request_row row;
        struct buffer text;
        const char *names[STORE_NAMES_MAX];
};

static void read_row_done(struct read_row *r) {
        buffer_done(&r->text);
}
CAD_CLEANUP_DONE(struct read_row, read_row_done)

/* "a\nb" to an array of "a" and "b". */
static int split_names(struct read_row *r, const char *lines, struct error *err) {
        char *text, *rest = NULL;

        r->text.size = 0;
        buffer_text(&r->text, lines);
        text = (char *) buffer_string(&r->text);
        if (r->text.failed)
                return error_no_memory(err);
        r->row.name_count = 0;
        for (char *name = strtok_r(text, "\n", &rest); name; name = strtok_r(NULL, "\n", &rest)) {
                if (r->row.name_count == STORE_NAMES_MAX)
                        return damaged("with too many names", err);
                r->names[r->row.name_count++] = name;
        }
        r->row.names = r->names;
        return 0;
}

static int copy_octets(sqlite3_stmt *s, int column, uint8_t *out, size_t size, struct error *err) {
        struct bytes octets = column_bytes(s, column);

        if (octets.size != size)
                return damaged("without its hashes", err);
        memcpy(out, octets.data, size);
        return 0;
}

static void read_texts(sqlite3_stmt *s, struct request_row *row) {
        row->source = column_text(s, COLUMN_SOURCE);
        row->key = column_text(s, COLUMN_KEY);
        row->profile = column_text(s, COLUMN_PROFILE);
        row->label = column_text(s, COLUMN_LABEL);
        row->decided_by = column_text(s, COLUMN_DECIDED_BY);
        row->reason = column_text(s, COLUMN_REASON);
}

/* The request that @s stands on; views that live until the next step. */
static int row_of(struct sql_connection *c, sqlite3_stmt *s, struct read_row *ret,
                  struct error *err) {
        const char *names = column_text(s, COLUMN_NAMES), *code = column_text(s, COLUMN_CODE);
        struct request_row *row = &ret->row;

        *row = (struct request_row){
                .row_id = sqlite3_column_int64(s, COLUMN_ID),
                .status = (enum request_status) sqlite3_column_int(s, COLUMN_STATUS),
                .lifetime_s = sqlite3_column_int64(s, COLUMN_LIFETIME),
                .handed_in_at = sqlite3_column_int64(s, COLUMN_HANDED_IN_AT),
                .expires_at = sqlite3_column_int64(s, COLUMN_EXPIRES_AT),
                .decided_at = sqlite3_column_int64(s, COLUMN_DECIDED_AT),
                .serial = column_bytes(s, COLUMN_SERIAL),
        };
        read_texts(s, row);
        if (!names || !code || !row->source || !row->key || !row->profile)
                return sqlite3_errcode(c->db) == SQLITE_NOMEM ? error_no_memory(err)
                                                              : damaged("without its texts", err);
        if (strlen(code) != STORE_REQUEST_CODE_MAX - 1 || row->status > REQUEST_DENIED ||
            row->serial.size > STORE_SERIAL_MAX)
                return damaged("out of bounds", err);
        memcpy(row->code, code, sizeof(row->code));
        if (sqlite3_column_count(s) > COLUMN_CSR)
                row->csr = column_bytes(s, COLUMN_CSR);
        if (copy_octets(s, COLUMN_CAPABILITY, row->id, sizeof(row->id), err) < 0 ||
            copy_octets(s, COLUMN_WISH, row->wish, sizeof(row->wish), err) < 0 ||
            copy_octets(s, COLUMN_SPKI, row->spki, sizeof(row->spki), err) < 0)
                return -1;
        return split_names(ret, names, err);
}

/* ---- one --------------------------------------------------------------------------------------------------- */

/* The one that @s finds, as a copy. */
static int read_one(struct sql_connection *c, sqlite3_stmt *s, struct request_row **ret,
                    struct error *err) {
        CAD_AUTO(read_row_done) struct read_row found = { 0 };
        int rc = sqlite3_step(s);

        if (rc == SQLITE_DONE)
                return error_set(
                        err, ERR_NOT_FOUND,
                        "there is no such request: it may be over for a month, or have given way to others; hand it in again");
        if (rc != SQLITE_ROW)
                return sql_error(c, rc, "cannot read a request", err);
        if (row_of(c, s, &found, err) < 0)
                return -1;
        *ret = request_row_copy(&found.row);
        return *ret ? 0 : error_no_memory(err);
}

int store_get_request(struct store *store, const uint8_t id[STORE_REQUEST_ID_SIZE],
                      struct request_row **ret, struct error *err) {
        CAD_AUTO(reader_done) struct reader r = reader_for(store, err);
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = r.c ? sql_statement(r.c, STATEMENT_REQUEST_GET, err) : NULL;

        if (!s)
                return -1;
        bind_bytes(s, 1, BYTES(id, STORE_REQUEST_ID_SIZE));
        return read_one(r.c, s, ret, err);
}

int store_find_request(struct store *store, const char *code, struct request_row **ret,
                       struct error *err) {
        CAD_AUTO(reader_done) struct reader r = reader_for(store, err);
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = r.c ? sql_statement(r.c, STATEMENT_REQUEST_FIND, err) : NULL;

        if (!s)
                return -1;
        bind_text(s, 1, code);
        return read_one(r.c, s, ret, err);
}

/* An approval ends the search; the first denial is kept until there is none. */
static int choose_decided(struct sql_connection *c, sqlite3_stmt *s, const char *source,
                          struct request_row **ret, struct error *err) {
        CAD_AUTO(read_row_done) struct read_row at = { 0 };
        int rc;

        while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
                bool approved;

                if (row_of(c, s, &at, err) < 0)
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

/* ---- pages: the cursor is the last row's id ------------------------------------------------------------------ */

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
        CAD_AUTO(read_row_done) struct read_row at = { 0 };
        size_t given = 0;
        int rc;

        for (size_t seen = 0; (rc = sqlite3_step(s)) == SQLITE_ROW; seen++) {
                if (given == page->limit || seen == WALK_MAX * page->limit) {
                        (void) snprintf(next, STORE_CURSOR_MAX, "%c%" PRId64, CURSOR_LETTER,
                                        at.row.row_id);
                        return 0;
                }
                if (row_of(c, s, &at, err) < 0)
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

/* ---- handing in -------------------------------------------------------------------------------------------- */

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
        CAD_AUTO(read_row_done) struct read_row found = { 0 };
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
        if (row_of(tx->c, s, &found, err) < 0)
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

/* ---- deciding ---------------------------------------------------------------------------------------------- */

/* Why it could not be decided on. */
static int refuse_decision(struct store_tx *tx, int64_t row_id, int64_t at, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(tx->c, STATEMENT_REQUEST_BY_ROW, err);
        CAD_AUTO(request_row_free) struct request_row *row = NULL;

        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, row_id);
        if (read_one(tx->c, s, &row, err) < 0)
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
        (void) sqlite3_bind_int64(s, 7, decision->at + STORE_REQUEST_KEPT_S);
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

/* ---- forgetting -------------------------------------------------------------------------------------------- */

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
