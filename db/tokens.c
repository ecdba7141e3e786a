/*
 * Tokens: putting one, finding one by its id, taking a use, revoking. It never sees a secret: a hash is all there is.
 */
#include "db/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/moment.h"
#include "lib/base/text.h"

#define CURSOR_LETTER 'o'
#define OF "a token" /* in what is said of a damaged row */

enum column { /* as TOKEN_COLUMNS has them */
        COLUMN_ID,
        COLUMN_HASH,
        COLUMN_PROFILE,
        COLUMN_NAMES,
        COLUMN_VALIDITY_MAX,
        COLUMN_USES,
        COLUMN_USED,
        COLUMN_CREATED_AT,
        COLUMN_EXPIRES_AT,
        COLUMN_LAST_USED_AT,
        COLUMN_REVOKED_AT,
        COLUMN_CREATOR,
        COLUMN_LABEL,
        COLUMN_SHORT,
};

static const char *const status_names[] = {
        [TOKEN_STATUS_ACTIVE] = "active",
        [TOKEN_STATUS_USED_UP] = "used_up",
        [TOKEN_STATUS_EXPIRED] = "expired",
        [TOKEN_STATUS_REVOKED] = "revoked",
};
_Static_assert(ARRAY_SIZE(status_names) == TOKEN_STATUS_COUNT, "one name a status");

const char *token_status_name(enum token_status status) {
        return (unsigned) status < TOKEN_STATUS_COUNT ? status_names[status] : NULL;
}

enum token_status token_row_status(const struct token_row *row, int64_t now) {
        if (row->revoked_at)
                return TOKEN_STATUS_REVOKED;
        if (row->used >= row->uses)
                return TOKEN_STATUS_USED_UP;
        return row->expires_at <= now ? TOKEN_STATUS_EXPIRED : TOKEN_STATUS_ACTIVE;
}

int token_row_check(const struct token_row *row, int64_t now, struct error *err) {
        char when[MOMENT_TEXT_MAX];

        switch (token_row_status(row, now)) {
        case TOKEN_STATUS_REVOKED:
                return error_set(err, ERR_TOKEN_SPENT,
                                 "the token %s was revoked at %s: ask for a new one", row->id,
                                 moment_format(row->revoked_at, when));
        case TOKEN_STATUS_USED_UP:
                return error_set(err, ERR_TOKEN_SPENT,
                                 "the token %s was good for %" PRId64
                                 " certificate%s, and is used up: ask for a new one",
                                 row->id, row->uses, row->uses == 1 ? "" : "s");
        case TOKEN_STATUS_EXPIRED:
                return error_set(err, ERR_TOKEN_SPENT,
                                 "the token %s expired at %s: ask for a new one", row->id,
                                 moment_format(row->expires_at, when));
        case TOKEN_STATUS_ACTIVE:
        case TOKEN_STATUS_COUNT:
                break;
        }
        return 0;
}

/* ---- ids: a number that fits SQLite's, in hex --------------------------------------------------------------- */

static int id_read(const char *id, int64_t *ret) {
        uint8_t octets[8];
        uint64_t number = 0;
        size_t size = 0;

        if (strlen(id) != STORE_TOKEN_ID_MAX - 1 || strspn(id, "0123456789abcdef") != strlen(id) ||
            hex_decode(id, octets, sizeof(octets), &size) < 0 || octets[0] > 0x7f)
                return -1;
        for (size_t i = 0; i < sizeof(octets); i++)
                number = number << 8 | octets[i];
        *ret = (int64_t) number;
        return 0;
}

bool token_id_valid(const char *id) {
        int64_t ignored;

        return id_read(id, &ignored) == 0;
}

static int no_such(const char *id, struct error *err) {
        return error_set(err, ERR_NOT_FOUND, "there is no token %.40s", id);
}

static int id_find(const char *id, int64_t *ret, struct error *err) {
        return id_read(id, ret) < 0 ? no_such(id, err) : 0;
}

/* ---- rows -------------------------------------------------------------------------------------------------- */

struct token_row *token_row_copy(const struct token_row *row) {
        size_t room = sizeof(*row) + row_names_room(row->names, row->name_count) +
                row_text_room(row->profile) + row_text_room(row->creator) +
                row_text_room(row->label);
        struct token_row *copy;
        char *at;

        copy = malloc(room);
        if (!copy)
                return NULL;
        *copy = *row;
        at = (char *) (copy + 1);
        copy->names = row_place_names(&at, row->names, row->name_count);
        copy->profile = row_place_text(&at, row->profile);
        copy->creator = row_place_text(&at, row->creator);
        copy->label = row_place_text(&at, row->label);
        return copy;
}

struct token_row *token_row_free(struct token_row *row) {
        free(row);
        return NULL;
}

/** struct read_row - a row as it was read, and what its names point to */
struct read_row {
        struct token_row row;
        struct row_names names;
};

static void read_row_done(struct read_row *r) {
        row_names_done(&r->names);
}
CAD_CLEANUP_DONE(struct read_row, read_row_done)

/* The token that @s stands on; views that live until the next step. */
static int row_of(struct sql_connection *c, sqlite3_stmt *s, struct read_row *ret,
                  struct error *err) {
        struct bytes hash = column_bytes(s, COLUMN_HASH);
        const char *names = column_text(s, COLUMN_NAMES);

        ret->row = (struct token_row){
                .profile = column_text(s, COLUMN_PROFILE),
                .validity_max_s = sqlite3_column_int64(s, COLUMN_VALIDITY_MAX),
                .uses = sqlite3_column_int64(s, COLUMN_USES),
                .used = sqlite3_column_int64(s, COLUMN_USED),
                .created_at = sqlite3_column_int64(s, COLUMN_CREATED_AT),
                .expires_at = sqlite3_column_int64(s, COLUMN_EXPIRES_AT),
                .last_used_at = sqlite3_column_int64(s, COLUMN_LAST_USED_AT),
                .revoked_at = sqlite3_column_int64(s, COLUMN_REVOKED_AT),
                .creator = column_text(s, COLUMN_CREATOR),
                .label = column_text(s, COLUMN_LABEL),
                .is_short = sqlite3_column_int(s, COLUMN_SHORT) != 0,
        };
        (void) snprintf(ret->row.id, sizeof(ret->row.id), "%016" PRIx64,
                        (uint64_t) sqlite3_column_int64(s, COLUMN_ID));
        if (!names || !ret->row.profile || !ret->row.creator)
                return sqlite3_errcode(c->db) == SQLITE_NOMEM
                        ? error_no_memory(err)
                        : row_damaged(OF, "without its texts", err);
        if (hash.size != STORE_HASH_SIZE)
                return row_damaged(OF, "without its hash", err);
        memcpy(ret->row.hash, hash.data, STORE_HASH_SIZE);
        if (row_names_split(&ret->names, names, OF, err) < 0)
                return -1;
        ret->row.names = ret->names.list;
        ret->row.name_count = ret->names.count;
        return 0;
}

/* ---- reading ----------------------------------------------------------------------------------------------- */

static int copy_of(struct sql_connection *c, sqlite3_stmt *s, struct token_row **ret,
                   struct error *err) {
        CAD_AUTO(read_row_done) struct read_row found = { 0 };

        if (row_of(c, s, &found, err) < 0)
                return -1;
        *ret = token_row_copy(&found.row);
        return *ret ? 0 : error_no_memory(err);
}

static int find(struct sql_connection *c, const char *id, struct token_row **ret,
                struct error *err) {
        CAD_AUTO(statement_release) sqlite3_stmt *s = NULL;
        int64_t number;
        int rc;

        if (id_find(id, &number, err) < 0)
                return -1;
        s = sql_statement(c, STATEMENT_TOKEN_GET, err);
        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, number);
        rc = sqlite3_step(s);
        if (rc == SQLITE_DONE)
                return no_such(id, err);
        if (rc == SQLITE_ROW)
                return copy_of(c, s, ret, err);
        (void) sql_error(c, rc, "cannot read a token", err);
        return -1;
}

int store_get_token(struct store *store, const char *id, struct token_row **ret,
                    struct error *err) {
        CAD_AUTO(reader_done) struct reader r = reader_for(store, err);

        return r.c ? find(r.c, id, ret, err) : -1;
}

int store_token_hash(struct store *store, const char *id, uint8_t ret_hash[STORE_HASH_SIZE],
                     bool *ret_found, struct error *err) {
        CAD_AUTO(reader_done) struct reader r = reader_for(store, err);
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = r.c ? sql_statement(r.c, STATEMENT_TOKEN_HASH, err) : NULL;
        static const uint8_t nothing[STORE_HASH_SIZE];
        struct bytes hash = BYTES(nothing, sizeof(nothing));
        int64_t number;
        int rc;

        if (!s || id_find(id, &number, err) < 0)
                return -1;
        (void) sqlite3_bind_int64(s, 1, number);
        rc = sqlite3_step(s);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
                return sql_error(r.c, rc, "cannot read a token", err);
        if (rc == SQLITE_ROW)
                hash = column_bytes(s, 0);
        if (hash.size != STORE_HASH_SIZE)
                return row_damaged(OF, "without its hash", err);
        memcpy(ret_hash, hash.data, STORE_HASH_SIZE);
        *ret_found = rc == SQLITE_ROW;
        return 0;
}

static int short_of(sqlite3_stmt *s, char ret_id[STORE_TOKEN_ID_MAX], struct bytes *ret_hash,
                    struct error *err) {
        (void) snprintf(ret_id, STORE_TOKEN_ID_MAX, "%016" PRIx64,
                        (uint64_t) sqlite3_column_int64(s, 0));
        *ret_hash = column_bytes(s, 1);
        return ret_hash->size == STORE_HASH_SIZE ? 0 : row_damaged(OF, "without its hash", err);
}

int store_walk_short_tokens(struct store *store, int64_t now, store_each_short each, void *data,
                            struct error *err) {
        CAD_AUTO(reader_done) struct reader r = reader_for(store, err);
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = r.c ? sql_statement(r.c, STATEMENT_TOKEN_SHORT, err) : NULL;
        char id[STORE_TOKEN_ID_MAX];
        struct bytes hash;
        int rc;

        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, now);
        while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
                if (short_of(s, id, &hash, err) < 0)
                        return -1;
                each(id, hash.data, data);
        }
        return rc == SQLITE_DONE ? 0 : sql_error(r.c, rc, "cannot read the pairing codes", err);
}

/* ---- pages: the cursor is the last id ----------------------------------------------------------------------- */

static int cursor_read(const char *cursor, int64_t *ret, struct error *err) {
        *ret = INT64_MAX;
        if (!cursor || !cursor[0])
                return 0;
        if (cursor[0] != CURSOR_LETTER || id_read(cursor + 1, ret) < 0)
                return error_set_field(
                        err, ERR_QUERY_INVALID, "cursor",
                        "this cursor does not belong to this list: use 'next' of the page before, or none");
        return 0;
}

/* One row more than the page has says whether there is a next one. */
static int walk(struct sql_connection *c, sqlite3_stmt *s, size_t limit, store_each_token each,
                void *data, char *next, struct error *err) {
        CAD_AUTO(read_row_done) struct read_row at = { 0 };
        int rc;

        for (size_t n = 0; (rc = sqlite3_step(s)) == SQLITE_ROW; n++) {
                if (n == limit) {
                        (void) snprintf(next, STORE_CURSOR_MAX, "%c%s", CURSOR_LETTER, at.row.id);
                        return 0;
                }
                if (row_of(c, s, &at, err) < 0)
                        return -1;
                each(&at.row, data);
        }
        return rc == SQLITE_DONE ? 0 : sql_error(c, rc, "cannot list tokens", err);
}

int store_list_tokens(struct store *store, const char *cursor, size_t limit, store_each_token each,
                      void *data, char *next, struct error *err) {
        CAD_AUTO(reader_done) struct reader r = { 0 };
        CAD_AUTO(statement_release) sqlite3_stmt *s = NULL;
        int64_t below;

        next[0] = '\0';
        if (limit == 0 || limit > STORE_PAGE_MAX)
                return error_set_field(err, ERR_QUERY_INVALID, "limit",
                                       "a page has 1 to %d tokens, not %zu", STORE_PAGE_MAX, limit);
        if (cursor_read(cursor, &below, err) < 0)
                return -1;
        r = reader_for(store, err);
        s = r.c ? sql_statement(r.c, STATEMENT_TOKEN_LIST, err) : NULL;
        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, below);
        (void) sqlite3_bind_int64(s, 2, (int64_t) limit + 1);
        return walk(r.c, s, limit, each, data, next, err);
}

/* ---- writing ----------------------------------------------------------------------------------------------- */

static int check_row(const struct token_row *row, struct error *err) {
        if (row->name_count > STORE_NAMES_MAX || row->uses < 1 || !row->profile || !row->creator)
                return error_set(err, ERR_INTERNAL, "a token out of bounds");
        for (size_t i = 0; i < row->name_count; i++)
                if (!row->names[i][0] || strchr(row->names[i], '\n') ||
                    strlen(row->names[i]) > STORE_NAME_MAX)
                        return error_set(err, ERR_INTERNAL, "a token with a name out of bounds");
        return 0;
}

static int add(struct store_tx *tx, sqlite3_stmt *s, const struct token_row *row,
               struct error *err) {
        int rc = sqlite3_step(s);

        if (rc == SQLITE_DONE)
                return 0;
        if ((rc & 0xff) == SQLITE_CONSTRAINT)
                return error_set(err, ERR_STATE_CONFLICT, "there is a token %s already", row->id);
        return sql_error(tx->c, rc, "cannot write a token", err);
}

/* Few at a time, so that a guess meets one only by a chance that can be reckoned (docs/decisions). */
static int check_short(struct store_tx *tx, const struct token_row *row, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(tx->c, STATEMENT_TOKEN_SHORT, err);
        char id[STORE_TOKEN_ID_MAX];
        struct bytes hash;
        int good = 0, rc;

        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, row->created_at);
        while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
                if (short_of(s, id, &hash, err) < 0)
                        return -1;
                if (memcmp(hash.data, row->hash, STORE_HASH_SIZE) == 0)
                        return error_set(err, ERR_STATE_CONFLICT, "there is such a code already");
                good += sqlite3_column_int(s, 2);
        }
        if (rc != SQLITE_DONE)
                return sql_error(tx->c, rc, "cannot read the pairing codes", err);
        if (good < STORE_TOKENS_SHORT_MAX)
                return 0;
        return error_set(
                err, ERR_TOO_MANY_REQUESTS,
                "%d pairing codes are waiting to be used, which is all that may: wait until one is used or has expired, revoke one, "
                "or make a long token",
                good);
}

int tx_put_token(struct store_tx *tx, const struct token_row *row, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer names = { 0 };
        CAD_AUTO(statement_release) sqlite3_stmt *s = NULL; /* let go before the names it binds */
        int64_t id;

        if (check_row(row, err) < 0 || id_find(row->id, &id, err) < 0 ||
            (row->is_short && check_short(tx, row, err) < 0))
                return -1;
        for (size_t i = 0; i < row->name_count; i++)
                buffer_format(&names, "%s%s", i ? "\n" : "", row->names[i]);
        s = sql_statement(tx->c, STATEMENT_TOKEN_ADD, err);
        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, id);
        bind_bytes(s, 2, BYTES(row->hash, STORE_HASH_SIZE));
        bind_text(s, 3, row->profile);
        bind_text(s, 4, buffer_string(&names));
        if (row->validity_max_s)
                (void) sqlite3_bind_int64(s, 5, row->validity_max_s);
        (void) sqlite3_bind_int64(s, 6, row->uses);
        (void) sqlite3_bind_int64(s, 7, row->created_at);
        (void) sqlite3_bind_int64(s, 8, row->expires_at);
        bind_text(s, 9, row->creator);
        bind_text(s, 10, row->label);
        (void) sqlite3_bind_int(s, 11, row->is_short ? 1 : 0);
        return names.failed ? error_no_memory(err) : add(tx, s, row, err);
}

/* Run an update of one token that holds only where the token is as it has to be. */
static int change(struct store_tx *tx, enum statement which, const char *id, int64_t at,
                  bool *ret_changed, struct error *err) {
        CAD_AUTO(statement_release) sqlite3_stmt *s = NULL;
        int64_t number;

        if (id_find(id, &number, err) < 0)
                return -1;
        s = sql_statement(tx->c, which, err);
        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, number);
        (void) sqlite3_bind_int64(s, 2, at);
        if (sql_run(tx->c, s, "cannot write a token", err) < 0)
                return -1;
        *ret_changed = sqlite3_changes(tx->c->db) == 1;
        return 0;
}

int tx_use_token(struct store_tx *tx, const char *id, int64_t now, struct error *err) {
        CAD_AUTO(token_row_free) struct token_row *row = NULL;
        bool changed = false;

        if (change(tx, STATEMENT_TOKEN_USE, id, now, &changed, err) < 0)
                return -1;
        if (changed)
                return 0;
        if (find(tx->c, id, &row, err) < 0 || token_row_check(row, now, err) < 0)
                return -1;
        return error_set(err, ERR_INTERNAL, "the token %s could not be used", id);
}

int tx_revoke_token(struct store_tx *tx, const char *id, int64_t at, struct error *err) {
        CAD_AUTO(token_row_free) struct token_row *row = NULL;
        bool changed = false;

        if (change(tx, STATEMENT_TOKEN_REVOKE, id, at, &changed, err) < 0)
                return -1;
        return changed ? 0 : find(tx->c, id, &row, err);
}
