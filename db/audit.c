/*
 * The audit: rows in one hash chain, written with what they tell of. Nothing here changes or removes a row.
 *
 * The end of the chain is kept in memory by the leader (struct chain_end) and in a row; a transaction writes the row once,
 * however many rows of the audit it has.
 */
#include "db/audit.h"

#include "db/internal.h"

#include <stdio.h>

#include "lib/base/moment.h"
#include "lib/base/text.h"

#define SPAN_BITS 10    /* as in the schema: 1 024 rows a span */
#define SPAN_COST 20    /* rows that could be looked at instead of a span's summary */
#define WORDS_SIZE 2048 /* octets of a span's Bloom filter */
#define WORDS_BITS 14   /* of a place in it */
#define WORDS_PLACES 4  /* a word: 1 in 300 words that are not there seems to be, of 1 100 */
_Static_assert(WORDS_SIZE * 8 == 1 << WORDS_BITS, "each place is in the filter");

/* ---- the end of the chain ---------------------------------------------------------------------------------- */

/* Number and hash that @s gives, where it gives a row with a number over what @ret has. */
static int read_end(struct sql_connection *c, enum statement which, struct audit_head *ret,
                    struct error *err) {
        CAD_AUTO(statement_release) sqlite3_stmt *s = sql_statement(c, which, err);
        struct bytes hash;
        int rc;

        if (!s)
                return -1;
        rc = sqlite3_step(s);
        if (rc == SQLITE_DONE)
                return 0;
        if (rc != SQLITE_ROW)
                return sql_error(c, rc, "cannot read the audit", err);
        if (sqlite3_column_int64(s, 0) <= ret->number)
                return 0;
        hash = column_bytes(s, 1);
        if (hash.size != AUDIT_HASH_SIZE)
                return error_set(err, ERR_STORE,
                                 "%s is damaged: the end of the audit; restore a backup",
                                 STORE_FILE);
        ret->number = sqlite3_column_int64(s, 0);
        memcpy(ret->hash, hash.data, AUDIT_HASH_SIZE);
        return 0;
}

/* Whatever was cut off or put back: the chain goes on behind the highest number, so that a gap is there for all to see. */
static int read_head(struct sql_connection *c, struct audit_head *ret, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer ca_id = { 0 };

        *ret = (struct audit_head){ 0 };
        if (read_end(c, STATEMENT_AUDIT_HEAD, ret, err) < 0 ||
            read_end(c, STATEMENT_AUDIT_LAST, ret, err) < 0)
                return -1;
        if (ret->number > 0)
                return 0;
        if (meta_read_ca_id(c, &ca_id, err) < 0)
                return -1;
        audit_chain_begin(buffer_string(&ca_id), ret->hash);
        return 0;
}

static int write_row(struct store_tx *tx, const struct audit_row *row, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(tx->c, STATEMENT_AUDIT_ADD, err);

        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, row->number);
        (void) sqlite3_bind_int64(s, 2, row->at);
        for (int i = 0; i < AUDIT_TEXT_COUNT; i++)
                (void) sqlite3_bind_text(s, 3 + i, (const char *) row->text[i].data,
                                         (int) row->text[i].size, SQLITE_STATIC);
        bind_bytes(s, 3 + AUDIT_TEXT_COUNT, BYTES(row->hash, sizeof(row->hash)));
        return sql_run(tx->c, s, "cannot write the audit", err);
}

int tx_put_audit(struct store_tx *tx, const struct audit_event *event, struct error *err) {
        struct chain_end *end = &tx->audit;
        struct audit_row row;
        char scratch[AUDIT_SCRATCH_MAX];

        if (!end->known && read_head(tx->c, &end->head, err) < 0)
                return -1;
        end->known = true;
        if (end->head.number == INT64_MAX)
                return error_set(err, ERR_STORE,
                                 "%s is damaged: the end of the audit; restore a backup",
                                 STORE_FILE);
        audit_row_clean(event, scratch, &row);
        if (event->at == 0)
                row.at = moment_now();
        row.number = end->head.number + 1;
        if (audit_chain_next(end->head.hash, &row, row.hash) < 0)
                return error_set(err, ERR_INTERNAL, "a row of the audit cannot be encoded");
        if (write_row(tx, &row, err) < 0)
                return -1;
        end->head.number = row.number;
        memcpy(end->head.hash, row.hash, sizeof(row.hash));
        end->changed = true;
        return 0;
}

int audit_write_head(struct store_tx *tx, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(tx->c, STATEMENT_AUDIT_HEAD_SET, err);

        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, tx->audit.head.number);
        bind_bytes(s, 2, BYTES(tx->audit.head.hash, AUDIT_HASH_SIZE));
        return sql_run(tx->c, s, "cannot write the audit", err);
}

int store_audit_head(struct store *store, struct audit_head *ret, struct error *err) {
        CAD_AUTO(reader_done) struct reader r = reader_for(store, err);
        CAD_AUTO(snapshot_done)
        struct snapshot snapshot = r.c ? snapshot_begin(r.c, err) : (struct snapshot){ NULL };
        struct audit_head head;

        if (!snapshot.c || read_head(r.c, &head, err) < 0)
                return -1;
        *ret = head;
        return 0;
}

/* ---- what is in a span ------------------------------------------------------------------------------------- */

enum word_kind { /* stored, in a way: do not renumber */
        WORD_ACTION = 1,
        WORD_ACTION_GROUP = 2, /* up to its dot */
        WORD_PRINCIPAL = 3,
        WORD_OBJECT = 4,
};

struct span_words {
        uint8_t bits[WORDS_SIZE];
};

/* FNV-1a, then splitmix64's end, so that each bit of it depends on all of the word. */
static uint64_t word_hash(enum word_kind kind, struct bytes word) {
        uint64_t h = (UINT64_C(0xcbf29ce484222325) ^ (uint64_t) kind) * UINT64_C(0x100000001b3);

        for (size_t i = 0; i < word.size; i++)
                h = (h ^ word.data[i]) * UINT64_C(0x100000001b3);
        h = (h ^ (h >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        h = (h ^ (h >> 27)) * UINT64_C(0x94d049bb133111eb);
        return h ^ (h >> 31);
}

static void word_add(struct span_words *words, enum word_kind kind, struct bytes word) {
        uint64_t h = word_hash(kind, word);

        for (int i = 0; i < WORDS_PLACES; i++, h >>= WORDS_BITS) {
                unsigned place = h & ((1u << WORDS_BITS) - 1);

                words->bits[place >> 3] |= (uint8_t) (1u << (place & 7));
        }
}

static bool word_may_be_in(struct bytes words, enum word_kind kind, struct bytes word) {
        uint64_t h = word_hash(kind, word);

        for (int i = 0; i < WORDS_PLACES; i++, h >>= WORDS_BITS) {
                unsigned place = h & ((1u << WORDS_BITS) - 1);

                if (!(words.data[place >> 3] & (1u << (place & 7))))
                        return false;
        }
        return true;
}

/* "token." of "token.create" and of "token.*"; empty where there is no dot. */
static struct bytes action_group(struct bytes action) {
        const uint8_t *dot = action.size ? memrchr(action.data, '.', action.size) : NULL;

        return dot ? BYTES(action.data, dot - action.data + 1) : BYTES_NONE;
}

static bool is_group(const char *action) {
        return text_ends_with(action, ".*");
}

/* ---- rows -------------------------------------------------------------------------------------------------- */

/* As it is in the table, whatever was done to it; views live until the next step. */
static void row_of(sqlite3_stmt *s, struct audit_row *ret) {
        struct bytes hash;

        *ret = (struct audit_row){ .number = sqlite3_column_int64(s, 0),
                                   .at = sqlite3_column_int64(s, 1) };
        for (int i = 0; i < AUDIT_TEXT_COUNT; i++)
                ret->text[i] = column_bytes(s, 2 + i);
        hash = column_bytes(s, 2 + AUDIT_TEXT_COUNT);
        if (hash.size == AUDIT_HASH_SIZE)
                memcpy(ret->hash, hash.data, AUDIT_HASH_SIZE);
}

static bool text_is(struct bytes text, const char *wanted) {
        return !wanted || bytes_equal(text, bytes_of(wanted));
}

static bool action_is(struct bytes action, const char *wanted) {
        if (!wanted || !is_group(wanted))
                return text_is(action, wanted);
        return action.size >= strlen(wanted) - 1 &&
                memcmp(action.data, wanted, strlen(wanted) - 1) == 0;
}

static bool row_passes(const struct audit_row *row, const struct audit_filter *f) {
        return (f->since == 0 || row->at >= f->since) && (f->until == 0 || row->at < f->until) &&
                action_is(row->text[AUDIT_ACTION], f->action) &&
                text_is(row->text[AUDIT_PRINCIPAL], f->principal) &&
                text_is(row->text[AUDIT_OBJECT], f->object);
}

static bool filter_is_empty(const struct audit_filter *f) {
        return !f->action && !f->principal && !f->object && !f->since && !f->until;
}

static bool words_may_pass(struct bytes words, const struct audit_filter *f) {
        struct bytes action = bytes_of(f->action);

        if (words.size != WORDS_SIZE) /* not one of ours: the rows themselves are looked at */
                return true;
        if (f->action && is_group(f->action) &&
            !word_may_be_in(words, WORD_ACTION_GROUP, action_group(action)))
                return false;
        if (f->action && !is_group(f->action) && !word_may_be_in(words, WORD_ACTION, action))
                return false;
        if (f->principal && !word_may_be_in(words, WORD_PRINCIPAL, bytes_of(f->principal)))
                return false;
        return !f->object || word_may_be_in(words, WORD_OBJECT, bytes_of(f->object));
}

/* ---- lists ------------------------------------------------------------------------------------------------- */

/* Where a page is. */
struct page {
        struct sql_connection *c;
        const struct audit_filter *filter;
        int64_t below; /* the next row has a lower number */
        size_t left;   /* rows that it may still give … */
        int64_t looks; /* … and look at */
        audit_each each;
        void *data;
};

/* The highest number that a row has; 0 without any. */
static int read_last(struct sql_connection *c, int64_t *ret, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(c, STATEMENT_AUDIT_LAST, err);
        int rc;

        if (!s)
                return -1;
        rc = sqlite3_step(s);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
                return sql_error(c, rc, "cannot read the audit", err);
        *ret = rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
        return 0;
}

/* Return: 1 may have what is wanted, 0 not, -1 */
static int span_may_pass(struct page *p, int64_t span, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(p->c, STATEMENT_AUDIT_SPAN_GET, err);
        int rc;

        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, span);
        rc = sqlite3_step(s);
        if (rc == SQLITE_DONE)
                return 1;
        if (rc != SQLITE_ROW)
                return sql_error(p->c, rc, "cannot read the audit", err);
        p->looks -= SPAN_COST;
        if (p->filter->since && sqlite3_column_int64(s, 1) < p->filter->since)
                return 0;
        if (p->filter->until && sqlite3_column_int64(s, 0) >= p->filter->until)
                return 0;
        return words_may_pass(column_bytes(s, 2), p->filter);
}

/* Rows from p->below down to @first. Ends where the page is full, too: p->below says where. */
static int list_range(struct page *p, int64_t first, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(p->c, STATEMENT_AUDIT_LIST, err);
        struct audit_row row;
        int rc = SQLITE_ROW;

        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, first);
        (void) sqlite3_bind_int64(s, 2, p->below);
        while (p->left > 0 && p->looks > 0 && (rc = sqlite3_step(s)) == SQLITE_ROW) {
                row_of(s, &row);
                p->below = row.number;
                p->looks--;
                if (!row_passes(&row, p->filter))
                        continue;
                p->each(&row, p->data);
                p->left--;
        }
        if (rc == SQLITE_DONE)
                p->below = first;
        return rc == SQLITE_ROW || rc == SQLITE_DONE
                ? 0
                : sql_error(p->c, rc, "cannot read the audit", err);
}

static int list_filtered(struct page *p, struct error *err) {
        while (p->below > 1 && p->left > 0 && p->looks > 0) {
                int64_t span = (p->below - 1) >> SPAN_BITS, first = span << SPAN_BITS;
                int rc = span_may_pass(p, span, err);

                if (rc < 0 || (rc > 0 && list_range(p, first, err) < 0))
                        return -1;
                if (rc == 0)
                        p->below = first;
        }
        return 0;
}

static int read_cursor(const char *cursor, int64_t *ret, struct error *err) {
        uint64_t number;

        if (!cursor || !*cursor)
                return 0;
        if (text_to_u64(cursor, INT64_MAX, &number) < 0)
                return error_set_field(err, ERR_QUERY_INVALID, "cursor",
                                       "'%.40s' is no cursor: take what 'next' said", cursor);
        if ((int64_t) number < *ret)
                *ret = (int64_t) number;
        return 0;
}

int store_audit_list(struct store *store, const struct audit_filter *filter, const char *cursor,
                     size_t limit, audit_each each, void *data, char *next, struct error *err) {
        CAD_AUTO(reader_done) struct reader r = reader_for(store, err);
        CAD_AUTO(snapshot_done)
        struct snapshot snapshot = r.c ? snapshot_begin(r.c, err) : (struct snapshot){ NULL };
        struct page p = { .c = r.c,
                          .filter = filter,
                          .left = limit,
                          .looks = AUDIT_LOOKED_AT,
                          .each = each,
                          .data = data };
        bool all = filter_is_empty(filter);

        if (!snapshot.c || read_last(r.c, &p.below, err) < 0)
                return -1;
        if (limit == 0 || limit > AUDIT_PAGE_MAX)
                return error_set_field(err, ERR_QUERY_INVALID, "limit",
                                       "the limit is a number from 1 to %d", AUDIT_PAGE_MAX);
        if (p.below < INT64_MAX)
                p.below++;
        /* rows from 0 down are none of ours: who asks for all sees them, too */
        if (read_cursor(cursor, &p.below, err) < 0 ||
            (all ? list_range(&p, INT64_MIN, err) : list_filtered(&p, err)) < 0)
                return -1;
        next[0] = '\0';
        if (p.below > (all ? 0 : 1))
                (void) snprintf(next, AUDIT_CURSOR_MAX, "%lld", (long long) p.below);
        return 0;
}

/* ---- summing up -------------------------------------------------------------------------------------------- */

struct summing {
        struct store_op op;
        bool done;
};

static int next_span(struct sql_connection *c, int64_t *ret, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(c, STATEMENT_AUDIT_SPAN_LAST, err);
        int rc;

        if (!s)
                return -1;
        rc = sqlite3_step(s);
        if (rc != SQLITE_ROW)
                return sql_error(c, rc, "cannot read the audit", err);
        *ret = sqlite3_column_type(s, 0) == SQLITE_NULL ? 0 : sqlite3_column_int64(s, 0) + 1;
        return 0;
}

static int sum_span(struct sql_connection *c, int64_t span, struct span_words *words,
                    int64_t *ret_first, int64_t *ret_last, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(c, STATEMENT_AUDIT_LIST, err);
        struct audit_row row;
        int rc;

        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, span << SPAN_BITS);
        (void) sqlite3_bind_int64(s, 2, (span + 1) << SPAN_BITS);
        *ret_first = INT64_MAX;
        *ret_last = INT64_MIN;
        while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
                row_of(s, &row);
                if (row.at < *ret_first)
                        *ret_first = row.at;
                if (row.at > *ret_last)
                        *ret_last = row.at;
                word_add(words, WORD_ACTION, row.text[AUDIT_ACTION]);
                word_add(words, WORD_ACTION_GROUP, action_group(row.text[AUDIT_ACTION]));
                word_add(words, WORD_PRINCIPAL, row.text[AUDIT_PRINCIPAL]);
                word_add(words, WORD_OBJECT, row.text[AUDIT_OBJECT]);
        }
        return rc == SQLITE_DONE ? 0 : sql_error(c, rc, "cannot read the audit", err);
}

static int summing_apply(struct store_tx *tx, struct store_op *op, struct error *err) {
        struct summing *summing = (struct summing *) op;
        CAD_AUTO(statement_release) sqlite3_stmt *s = NULL;
        struct span_words words = { 0 };
        int64_t span = 0, last = 0, at_first = 0, at_last = 0;

        if (next_span(tx->c, &span, err) < 0 || read_last(tx->c, &last, err) < 0)
                return -1;
        summing->done = last >> SPAN_BITS <= span; /* the newest span still grows */
        if (summing->done)
                return 0;
        if (sum_span(tx->c, span, &words, &at_first, &at_last, err) < 0)
                return -1;
        s = sql_statement(tx->c, STATEMENT_AUDIT_SPAN_ADD, err);
        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, span);
        (void) sqlite3_bind_int64(s, 2, at_first);
        (void) sqlite3_bind_int64(s, 3, at_last);
        bind_bytes(s, 4, BYTES(words.bits, sizeof(words.bits)));
        return sql_run(tx->c, s, "cannot write the audit", err);
}

int store_audit_summarise(struct store *store, bool *ret_done, struct error *err) {
        struct summing summing = { .op = { .apply = summing_apply } };

        if (store_write(store, &summing.op, err) < 0)
                return -1;
        *ret_done = summing.done;
        return 0;
}
