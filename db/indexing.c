/*
 * Filling lookups, later than the rows: the keys of some hundred certificates at a time, sorted, so that each page of
 * that tree is touched once for many of them. Runs on the leader's connection when nobody waits for an answer
 * (commit.c). What is not indexed yet is found by looking at the rows themselves (list.c, certificates.c): the mark says
 * from where, and moves in the same transaction as the keys come in, so that a kill loses work and nothing else.
 */
#include "db/internal.h"

#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 8192               /* of one step: more names than usual make it end earlier */
#define KEY_BYTES_MAX (256u * 1024) /* of one step */

/** struct lookup_key - one entry to be */
struct lookup_key {
        uint64_t place;  /* the bucket and the kind: what is sorted by first */
        uint64_t prefix; /* of the key: seldom is more to be compared */
        int64_t id;
        size_t at, size; /* in the step's text */
};

struct step {
        struct sql_connection *c;
        struct lookup_key *keys;
        size_t count, capacity;
        struct buffer text;
        int limit; /* rows */
        int64_t rows, for_others,
                last; /* how many, of these not internal, and the id of the last */
};

static void step_done(struct step *step) {
        free(step->keys);
        buffer_done(&step->text);
}
CAD_CLEANUP_DONE(struct step, step_done)

void name_key(const char *name, struct buffer *ret) {
        size_t length = strlen(name);
        uint8_t *at = buffer_reserve(ret, length);

        if (!at)
                return;
        for (size_t i = 0; i < length; i++) {
                char c = name[length - 1 - i];

                at[i] = (uint8_t) (c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
        }
        ret->size += length;
}

int indexed_read(struct sql_connection *c, int64_t *ret, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(c, STATEMENT_INDEXED, err);
        int rc;

        if (!s)
                return -1;
        rc = sqlite3_step(s);
        if (rc != SQLITE_ROW)
                return sql_error(c, rc, "cannot read the counters", err);
        *ret = sqlite3_column_int64(s, 0);
        return 0;
}

/* ---- collecting -------------------------------------------------------------------------------------------- */

static uint64_t prefix_of(const uint8_t *data, size_t size) {
        uint64_t prefix = 0;

        for (size_t i = 0; i < sizeof(prefix); i++)
                prefix = prefix << 8 | (i < size ? data[i] : 0);
        return prefix;
}

static struct lookup_key *next_key(struct step *step) {
        if (step->count == step->capacity) {
                size_t capacity = step->capacity ? 2 * step->capacity : 2048;
                struct lookup_key *keys = reallocarray(step->keys, capacity, sizeof(*keys));

                if (!keys) {
                        step->text.failed = true;
                        return NULL;
                }
                step->keys = keys;
                step->capacity = capacity;
        }
        return &step->keys[step->count++];
}

/* The text from @from on is a key of the certificate @id. */
static void add_text(struct step *step, enum lookup kind, size_t from, int64_t bucket, int64_t id) {
        struct lookup_key *key = step->text.failed ? NULL : next_key(step);
        size_t size = step->text.size - from;

        if (key)
                *key = (struct lookup_key){
                        .place = (uint64_t) bucket << 8 | kind,
                        .prefix = prefix_of(step->text.data + from, size),
                        .id = id,
                        .at = from,
                        .size = size,
                };
}

static void add_bytes(struct step *step, enum lookup kind, struct bytes bytes, int64_t bucket,
                      int64_t id) {
        size_t from = step->text.size;

        buffer_append(&step->text, bytes);
        add_text(step, kind, from, bucket, id);
}

static void add_hash(struct step *step, enum lookup kind, struct bytes hash, int64_t bucket,
                     int64_t id) {
        if (hash.size >= LOOKUP_HASH_SIZE)
                add_bytes(step, kind, BYTES(hash.data, LOOKUP_HASH_SIZE), bucket, id);
}

static void add_word(struct step *step, enum lookup kind, int64_t word, int64_t bucket,
                     int64_t id) {
        uint8_t key[LOOKUP_WORD_SIZE];

        word_key(word, key);
        add_bytes(step, kind, BYTES(key, sizeof(key)), bucket, id);
}

/* The names, one a line, backwards each. */
static void add_names(struct step *step, struct bytes lines, int64_t bucket, int64_t id) {
        char name[STORE_NAME_MAX + 1];

        while (lines.size > 0 && lines.data) {
                const uint8_t *end = memchr(lines.data, '\n', lines.size);
                size_t length = end ? (size_t) (end - lines.data) : lines.size;
                size_t from = step->text.size;

                if (length < sizeof(name)) {
                        memcpy(name, lines.data, length);
                        name[length] = '\0';
                        name_key(name, &step->text);
                        add_text(step, LOOKUP_NAME, from, bucket, id);
                }
                lines = end ? BYTES(end + 1, lines.size - length - 1) : BYTES_NONE;
        }
}

static int note_time(struct step *step, int64_t bucket, int64_t issued_at, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(step->c, STATEMENT_BUCKET_ADD, err);

        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, bucket);
        (void) sqlite3_bind_int64(s, 2, issued_at);
        return sql_run(step->c, s, "cannot index certificates", err);
}

/* The row that @s stands on. */
static int collect_row(struct step *step, sqlite3_stmt *s, struct error *err) {
        int64_t id = sqlite3_column_int64(s, 0), bucket = id >> STORE_BUCKET_BITS;

        add_names(step, column_bytes(s, 1), bucket, id);
        add_hash(step, LOOKUP_FINGERPRINT, column_bytes(s, 2), bucket, id);
        add_hash(step, LOOKUP_SPKI, column_bytes(s, 3), bucket, id);
        add_bytes(step, LOOKUP_REQUESTER, column_bytes(s, 4), bucket, id);
        if (sqlite3_column_type(s, 5) != SQLITE_NULL)
                add_bytes(step, LOOKUP_LABEL, column_bytes(s, 5), bucket, id);
        add_word(step, LOOKUP_PROFILE, sqlite3_column_int64(s, 6), bucket, id);
        add_word(step, LOOKUP_ISSUER, sqlite3_column_int64(s, 7), bucket, id);
        if (step->text.failed)
                return error_no_memory(err);
        step->rows++;
        step->for_others += sqlite3_column_int(s, 9) == 0;
        step->last = id;
        return note_time(step, bucket, sqlite3_column_int64(s, 8), err);
}

/* The rows after the mark, until the step is full. */
static int collect(struct step *step, int64_t indexed, bool *ret_last, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(step->c, STATEMENT_INDEX_ROWS, err);
        int rc = SQLITE_ROW;

        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, indexed);
        (void) sqlite3_bind_int(s, 2, step->limit);
        while (step->count < KEYS_MAX && step->text.size < KEY_BYTES_MAX &&
               (rc = sqlite3_step(s)) == SQLITE_ROW)
                if (collect_row(step, s, err) < 0)
                        return -1;
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
                return sql_error(step->c, rc, "cannot index certificates", err);
        *ret_last = rc == SQLITE_DONE && step->rows < step->limit;
        return 0;
}

/* ---- writing ----------------------------------------------------------------------------------------------- */

static int compare_keys(const void *a, const void *b, void *text) {
        const struct lookup_key *x = a, *y = b;
        size_t shorter = x->size < y->size ? x->size : y->size;
        int order;

        if (x->place != y->place)
                return x->place < y->place ? -1 : 1;
        if (x->prefix != y->prefix)
                return x->prefix < y->prefix ? -1 : 1;
        order = memcmp((const uint8_t *) text + x->at, (const uint8_t *) text + y->at, shorter);
        if (order != 0)
                return order;
        if (x->size != y->size)
                return x->size < y->size ? -1 : 1;
        return (x->id > y->id) - (x->id < y->id);
}

static bool same_key(const struct lookup_key *x, const struct lookup_key *y, const uint8_t *text) {
        return x->place == y->place && x->prefix == y->prefix && x->size == y->size &&
                memcmp(text + x->at, text + y->at, x->size) == 0;
}

/* One entry in place of those that many share. Names are never shared: "*.suffix" collects their ids. */
static void merge_shared(struct step *step) {
        struct lookup_key *keys = step->keys;
        size_t count = 0, length;

        for (size_t from = 0; from < step->count; from += length) {
                bool may_share = (keys[from].place & 0xff) >= LOOKUP_REQUESTER;

                for (length = 1; from + length < step->count &&
                     same_key(&keys[from], &keys[from + length], step->text.data);
                     length++)
                        ;
                if (may_share && length >= LOOKUP_SHARED) {
                        keys[count] = keys[from];
                        keys[count++].id = LOOKUP_SHARED_ID;
                } else {
                        memmove(&keys[count], &keys[from], length * sizeof(*keys));
                        count += length;
                }
        }
        step->count = count;
}

/* Write @count entries by one statement that has places for so many. */
static int write_some(struct step *step, enum statement which, const struct lookup_key *keys,
                      size_t count, struct error *err) {
        CAD_AUTO(statement_release) sqlite3_stmt *s = sql_statement(step->c, which, err);

        if (!s)
                return -1;
        for (size_t i = 0; i < count; i++) {
                int at = 4 * (int) i;

                (void) sqlite3_bind_int64(s, at + 1, (int64_t) (keys[i].place >> 8));
                (void) sqlite3_bind_int(s, at + 2, (int) (keys[i].place & 0xff));
                bind_bytes(s, at + 3, BYTES(step->text.data + keys[i].at, keys[i].size));
                (void) sqlite3_bind_int64(s, at + 4, keys[i].id);
        }
        return sql_run(step->c, s, "cannot index certificates", err);
}

static int write_keys(struct step *step, struct error *err) {
        size_t at = 0;

        qsort_r(step->keys, step->count, sizeof(*step->keys), compare_keys, step->text.data);
        merge_shared(step);
        for (; at + LOOKUP_ADD_MANY <= step->count; at += LOOKUP_ADD_MANY)
                if (write_some(step, STATEMENT_LOOKUP_ADD_MANY, &step->keys[at], LOOKUP_ADD_MANY,
                               err) < 0)
                        return -1;
        for (; at < step->count; at++)
                if (write_some(step, STATEMENT_LOOKUP_ADD, &step->keys[at], 1, err) < 0)
                        return -1;
        return 0;
}

static int set_mark(struct step *step, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(step->c, STATEMENT_INDEXED_SET, err);

        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, step->last);
        (void) sqlite3_bind_int64(s, 2, step->rows);
        (void) sqlite3_bind_int64(s, 3, step->for_others);
        return sql_run(step->c, s, "cannot index certificates", err);
}

static int run_step(struct step *step, bool *ret_last, struct error *err) {
        int64_t indexed = 0;

        if (indexed_read(step->c, &indexed, err) < 0 || collect(step, indexed, ret_last, err) < 0)
                return -1;
        if (step->rows > 0 && (write_keys(step, err) < 0 || set_mark(step, err) < 0))
                return -1;
        return sql_simple(step->c, STATEMENT_COMMIT, "cannot commit to " STORE_FILE, err);
}

int index_step(struct sql_connection *c, int limit, int64_t *ret_rows, bool *ret_last,
               struct error *err) {
        CAD_AUTO(step_done) struct step step = { .c = c, .limit = limit };
        int rc = -1;

        if (sql_exec(c, "PRAGMA synchronous = NORMAL", "cannot index certificates", err) == 0 &&
            sql_simple(c, STATEMENT_BEGIN, "cannot begin to write to " STORE_FILE, err) == 0)
                rc = run_step(&step, ret_last, err);
        if (!sqlite3_get_autocommit(c->db) &&
            sql_simple(c, STATEMENT_ROLLBACK, "cannot roll back", /* err= */ NULL) < 0)
                c->broken = true;
        if (sql_exec(c, "PRAGMA synchronous = FULL", "cannot index certificates", /* err= */ NULL) <
            0)
                c->broken = true; /* the next one is opened with it */
        if (rc == 0)
                *ret_rows = step.rows;
        return rc;
}
