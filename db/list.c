/*
 * Pages of certificates. A filter chooses the index to walk (the drive); each row on the way is held against the whole
 * filter. The walk stops at a full page or after WORK_MAX rows, and the cursor says where: it holds the last position,
 * not an offset, so that nothing comes twice whatever is issued meanwhile. Most drives go by ids: through the rows that
 * are not indexed yet, then through lookups (indexing.c). A page is one read transaction, so that no row is between the
 * two; between two pages rows move from the one to the other, and keep their ids.
 */
#include "db/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/text.h"

#define WORK_MAX 4096 /* rows looked at for one page: some ms */
#define NARROW_MAX \
        1024 /* names of a bucket under a suffix; with more, walking the bucket itself is cheaper */

/** struct position - where a page ended: what the drive is ordered by, and the id */
struct position {
        int64_t key;
        int64_t id;
};

struct walk {
        struct sql_connection *c;
        const struct cert_filter *filter;
        store_each each;
        void *data;
        size_t left; /* certificates that this page still takes */
        int work;
        struct position at;
        int64_t low, high;              /* of the time that drives; low ≤ time < high */
        struct buffer key, key_end;     /* of the name that drives */
        uint8_t word[LOOKUP_WORD_SIZE]; /* of the profile or issuer that drives */
        struct row_scratch scratch;
};

static void walk_done(struct walk *w) {
        buffer_done(&w->key);
        buffer_done(&w->key_end);
        row_scratch_done(&w->scratch);
}
CAD_CLEANUP_DONE(struct walk, walk_done)

enum progress {
        WALK_FAILED = -1,
        WALK_END,  /* the drive has no more rows */
        WALK_FULL, /* the page or the work is full; walk.at says where */
};

/* Those of one bucket, below the position. */
typedef enum progress (*bucket_walk)(struct walk *w, int64_t bucket, struct error *err);

/* ---- the filter -------------------------------------------------------------------------------------------- */

static bool is_suffix(const char *name) {
        return name && name[0] == '*';
}

static bool name_matches(const char *name, const char *wanted) {
        size_t n = strlen(name), k = strlen(wanted) - 1; /* ".suffix" */

        if (!is_suffix(wanted))
                return strcasecmp(name, wanted) == 0;
        return n > k && strcasecmp(name + n - k, wanted + 1) == 0;
}

static bool names_match(const struct cert_row *row, const char *wanted) {
        for (size_t i = 0; i < row->name_count; i++)
                if (name_matches(row->names[i], wanted))
                        return true;
        return false;
}

static bool text_passes(const char *text, const char *wanted) {
        return !wanted || text_equal(text, wanted);
}

static bool hash_passes(const uint8_t *hash, const uint8_t *wanted) {
        return !wanted || memcmp(hash, wanted, STORE_HASH_SIZE) == 0;
}

static bool time_passes(int64_t t, int64_t after, int64_t before) {
        return (!after || t >= after) && (!before || t < before);
}

static bool row_passes(const struct cert_row *row, const struct cert_filter *f) {
        return (f->status == CERT_FILTER_ANY || cert_row_status(row, f->now) == f->status) &&
                text_passes(row->profile, f->profile) && text_passes(row->issuer, f->issuer) &&
                text_passes(row->requester, f->requester) && text_passes(row->label, f->label) &&
                hash_passes(row->fingerprint, f->fingerprint) && hash_passes(row->spki, f->spki) &&
                time_passes(row->not_after, f->expires_after, f->expires_before) &&
                time_passes(row->issued_at, f->issued_after, f->issued_before) &&
                (!f->name || names_match(row, f->name));
}

static int check_filter(const struct cert_filter *f, struct error *err) {
        const char *star = f->name ? strrchr(f->name, '*') : NULL;

        if (f->name && (!f->name[0] || strlen(f->name) > STORE_NAME_MAX || strchr(f->name, '\n')))
                return error_set_field(err, ERR_QUERY_INVALID, "name",
                                       "the name to look for is empty or too long");
        if (star && (star != f->name || star[1] != '.' || !star[2]))
                return error_set_field(
                        err, ERR_QUERY_INVALID, "name",
                        "'%.100s': a '*' may only stand in front of a dot, as in '*.home.arpa'",
                        f->name);
        if ((unsigned) f->status > CERT_FILTER_ANY)
                return error_set_field(err, ERR_QUERY_INVALID, "status", "there is no such status");
        return 0;
}

/* ---- walking ----------------------------------------------------------------------------------------------- */

/* What orders the walk, for the position. */
static int64_t no_key(const struct cert_row *row) {
        (void) row;
        return 0;
}

static int64_t key_not_after(const struct cert_row *row) {
        return row->not_after;
}

/* One row of the drive. */
static enum progress visit(struct walk *w, sqlite3_stmt *s, int64_t (*key)(const struct cert_row *),
                           struct error *err) {
        struct cert_row row = { 0 };
        int64_t id = 0;
        bool passes;

        if (row_read(w->c, s, &w->scratch, &id, &row, err) < 0)
                return WALK_FAILED;
        passes = row_passes(&row, w->filter);
        if (w->work == 0 || (passes && w->left == 0))
                return WALK_FULL; /* before this row: it opens the next page */
        w->work--;
        if (passes) {
                w->left--;
                w->each(&row, w->data);
        }
        w->at = (struct position){ key(&row), id };
        return WALK_END;
}

/* All rows of a bound statement, until the page is full. */
static enum progress walk_rows(struct walk *w, sqlite3_stmt *s,
                               int64_t (*key)(const struct cert_row *), struct error *err) {
        int rc;

        while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
                enum progress progress = visit(w, s, key, err);

                if (progress != WALK_END)
                        return progress;
        }
        if (rc != SQLITE_DONE) {
                (void) sql_error(w->c, rc, "cannot list certificates", err);
                return WALK_FAILED;
        }
        return WALK_END;
}

/* The certificates from @first to below the position, newest first. */
static enum progress walk_range(struct walk *w, int64_t first, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(w->c, STATEMENT_LIST_ALL, err);

        if (!s)
                return WALK_FAILED;
        (void) sqlite3_bind_int64(s, 1, first);
        (void) sqlite3_bind_int64(s, 3, w->at.id);
        return walk_rows(w, s, no_key, err);
}

static void bind_lookup(sqlite3_stmt *s, int64_t bucket, enum lookup kind, struct bytes key) {
        (void) sqlite3_bind_int64(s, 1, bucket);
        bind_bytes(s, 2, key);
        (void) sqlite3_bind_int(s, 4, (int) kind);
}

/* Those of a bucket that have an entry for a key each. */
static enum progress walk_lookup(struct walk *w, int64_t bucket, enum lookup kind, struct bytes key,
                                 struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(w->c, STATEMENT_LIST_LOOKUP, err);

        if (!s)
                return WALK_FAILED;
        bind_lookup(s, bucket, kind, key);
        (void) sqlite3_bind_int64(s, 3, w->at.id);
        return walk_rows(w, s, no_key, err);
}

/* The same for a key that many can share: then the whole bucket is walked. */
static enum progress walk_shared(struct walk *w, int64_t bucket, enum lookup kind, struct bytes key,
                                 struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(w->c, STATEMENT_BUCKET_SHARES, err);
        int rc;

        if (!s)
                return WALK_FAILED;
        bind_lookup(s, bucket, kind, key);
        (void) sqlite3_bind_int64(s, 3, LOOKUP_SHARED_ID);
        rc = sqlite3_step(s);
        if (rc == SQLITE_ROW)
                return walk_range(w, bucket << STORE_BUCKET_BITS, err);
        if (rc == SQLITE_DONE)
                return walk_lookup(w, bucket, kind, key, err);
        (void) sql_error(w->c, rc, "cannot list certificates", err);
        return WALK_FAILED;
}

/* One bucket; where it ends, the position moves to its lower edge. A bucket is work even where nothing is in it. */
static enum progress step_bucket(struct walk *w, bucket_walk one, struct error *err) {
        int64_t bucket = (w->at.id - 1) >> STORE_BUCKET_BITS;
        enum progress progress;

        if (w->work == 0)
                return WALK_FULL;
        progress = one(w, bucket, err);
        if (progress != WALK_END)
                return progress;
        w->at = (struct position){ 0, bucket << STORE_BUCKET_BITS };
        if (w->work > 0)
                w->work--;
        return WALK_END;
}

/* What is not indexed yet, as it is, then the buckets, newest first. */
static enum progress walk_buckets(struct walk *w, bucket_walk one, struct error *err) {
        enum progress progress = WALK_END;
        int64_t last = 0, indexed = 0;

        if (last_id(w->c, &last, err) < 0 || indexed_read(w->c, &indexed, err) < 0)
                return WALK_FAILED;
        if (w->at.id > last + 1)
                w->at.id = last + 1;
        if (w->at.id > indexed + 1) {
                progress = walk_range(w, indexed + 1, err);
                if (progress == WALK_END)
                        w->at = (struct position){ 0, indexed + 1 };
        }
        while (progress == WALK_END && w->at.id > 1)
                progress = step_bucket(w, one, err);
        return progress;
}

static enum progress one_fingerprint(struct walk *w, int64_t bucket, struct error *err) {
        return walk_lookup(w, bucket, LOOKUP_FINGERPRINT,
                           BYTES(w->filter->fingerprint, LOOKUP_HASH_SIZE), err);
}

static enum progress one_spki(struct walk *w, int64_t bucket, struct error *err) {
        return walk_lookup(w, bucket, LOOKUP_SPKI, BYTES(w->filter->spki, LOOKUP_HASH_SIZE), err);
}

static enum progress one_name(struct walk *w, int64_t bucket, struct error *err) {
        return walk_lookup(w, bucket, LOOKUP_NAME, buffer_bytes(&w->key), err);
}

static enum progress one_label(struct walk *w, int64_t bucket, struct error *err) {
        return walk_shared(w, bucket, LOOKUP_LABEL, bytes_of(w->filter->label), err);
}

static enum progress one_requester(struct walk *w, int64_t bucket, struct error *err) {
        return walk_shared(w, bucket, LOOKUP_REQUESTER, bytes_of(w->filter->requester), err);
}

static enum progress one_profile(struct walk *w, int64_t bucket, struct error *err) {
        return walk_shared(w, bucket, LOOKUP_PROFILE, BYTES(w->word, sizeof(w->word)), err);
}

static enum progress one_issuer(struct walk *w, int64_t bucket, struct error *err) {
        return walk_shared(w, bucket, LOOKUP_ISSUER, BYTES(w->word, sizeof(w->word)), err);
}

/* The whole bucket, if some certificate of it can have been issued in the stretch. */
static enum progress one_issued(struct walk *w, int64_t bucket, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(w->c, STATEMENT_BUCKET_TIME, err);
        int rc;

        if (!s)
                return WALK_FAILED;
        (void) sqlite3_bind_int64(s, 1, bucket);
        rc = sqlite3_step(s);
        if (rc == SQLITE_ROW && sqlite3_column_int64(s, 0) < w->high &&
            sqlite3_column_int64(s, 1) >= w->low)
                return walk_range(w, bucket << STORE_BUCKET_BITS, err);
        if (rc == SQLITE_ROW || rc == SQLITE_DONE)
                return WALK_END;
        (void) sql_error(w->c, rc, "cannot list certificates", err);
        return WALK_FAILED;
}

/* The ids under a suffix, NARROW_MAX + 1 at most. Return: how many, or -1 */
static int suffix_ids(struct walk *w, int64_t bucket, int64_t *ids, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(w->c, STATEMENT_LIST_SUFFIX_IDS, err);
        int rc, count = 0;

        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, bucket);
        bind_bytes(s, 2, buffer_bytes(&w->key));
        (void) sqlite3_bind_int64(s, 3, w->at.id);
        bind_bytes(s, 4, buffer_bytes(&w->key_end));
        (void) sqlite3_bind_int(s, 5, NARROW_MAX + 1);
        (void) sqlite3_bind_int(s, 6, LOOKUP_NAME);
        while ((rc = sqlite3_step(s)) == SQLITE_ROW)
                ids[count++] = sqlite3_column_int64(s, 0);
        return rc == SQLITE_DONE ? count : sql_error(w->c, rc, "cannot list certificates", err);
}

static int newer_first(const void *a, const void *b) {
        int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

        return (x < y) - (x > y);
}

static enum progress walk_ids(struct walk *w, int64_t *ids, int count, struct error *err) {
        qsort(ids, (size_t) count, sizeof(*ids), newer_first);
        for (int i = 0; i < count; i++) {
                CAD_AUTO(statement_release) sqlite3_stmt *s = NULL;
                enum progress progress;

                if (i > 0 && ids[i] == ids[i - 1])
                        continue; /* two of its names are under the suffix */
                s = sql_statement(w->c, STATEMENT_LIST_ONE, err);
                if (!s)
                        return WALK_FAILED;
                (void) sqlite3_bind_int64(s, 1, ids[i]);
                progress = walk_rows(w, s, no_key, err);
                if (progress != WALK_END)
                        return progress;
        }
        return WALK_END;
}

static void free_ids(int64_t **ids) {
        free(*ids);
}

/* Few names of the bucket under the suffix: these certificates, sorted. Many: the bucket's certificates as they come. */
static enum progress one_suffix(struct walk *w, int64_t bucket, struct error *err) {
        __attribute__((cleanup(free_ids))) int64_t *ids = malloc((NARROW_MAX + 1) * sizeof(*ids));
        int count;

        if (!ids) {
                (void) error_no_memory(err);
                return WALK_FAILED;
        }
        count = suffix_ids(w, bucket, ids, err);
        if (count < 0)
                return WALK_FAILED;
        if (count <= NARROW_MAX)
                return walk_ids(w, ids, count, err);
        return walk_range(w, bucket << STORE_BUCKET_BITS, err);
}

static enum progress by_fingerprint(struct walk *w, struct error *err) {
        return walk_buckets(w, one_fingerprint, err);
}

static enum progress by_spki(struct walk *w, struct error *err) {
        return walk_buckets(w, one_spki, err);
}

static enum progress by_label(struct walk *w, struct error *err) {
        return walk_buckets(w, one_label, err);
}

static enum progress by_requester(struct walk *w, struct error *err) {
        return walk_buckets(w, one_requester, err);
}

static enum progress by_name(struct walk *w, struct error *err) {
        name_key(w->filter->name, &w->key);
        (void) buffer_string(&w->key);
        if (w->key.failed) {
                (void) error_no_memory(err);
                return WALK_FAILED;
        }
        return walk_buckets(w, one_name, err);
}

static enum progress by_suffix(struct walk *w, struct error *err) {
        name_key(w->filter->name + 1,
                 &w->key); /* ".lan" is "nal.": what starts so ends before "nal/" */
        name_key(w->filter->name + 1, &w->key_end);
        (void) buffer_string(&w->key);
        (void) buffer_string(&w->key_end);
        if (w->key.failed || w->key_end.failed) {
                (void) error_no_memory(err);
                return WALK_FAILED;
        }
        w->key_end.data[w->key_end.size - 1] = '.' + 1;
        return walk_buckets(w, one_suffix, err);
}

/* A word that has no number is in no certificate, neither indexed nor not. */
static enum progress walk_word(struct walk *w, enum statement find, const char *word,
                               bucket_walk one, struct error *err) {
        CAD_AUTO(statement_release) sqlite3_stmt *s = sql_statement(w->c, find, err);
        int rc;

        if (!s)
                return WALK_FAILED;
        bind_text(s, 1, word);
        rc = sqlite3_step(s);
        if (rc == SQLITE_DONE)
                return WALK_END;
        if (rc != SQLITE_ROW) {
                (void) sql_error(w->c, rc, "cannot list certificates", err);
                return WALK_FAILED;
        }
        word_key(sqlite3_column_int64(s, 0), w->word);
        return walk_buckets(w, one, err);
}

static enum progress by_profile(struct walk *w, struct error *err) {
        return walk_word(w, STATEMENT_PROFILE_ID, w->filter->profile, one_profile, err);
}

static enum progress by_issuer(struct walk *w, struct error *err) {
        return walk_word(w, STATEMENT_ISSUER_ID, w->filter->issuer, one_issuer, err);
}

static enum progress by_issued(struct walk *w, struct error *err) {
        return walk_buckets(w, one_issued, err);
}

static enum progress by_all(struct walk *w, struct error *err) {
        return walk_range(w, 0, err);
}

/* Drives with an index of their own: ?1 a number, then the position. */
static enum progress walk_plain(struct walk *w, enum statement which, int64_t number,
                                int64_t (*key)(const struct cert_row *), struct error *err) {
        CAD_AUTO(statement_release) sqlite3_stmt *s = sql_statement(w->c, which, err);

        if (!s)
                return WALK_FAILED;
        (void) sqlite3_bind_int64(s, 1, number);
        if (key != no_key)
                (void) sqlite3_bind_int64(s, 2, w->at.key);
        (void) sqlite3_bind_int64(s, 3, w->at.id);
        return walk_rows(w, s, key, err);
}

static enum progress by_status(struct walk *w, struct error *err) {
        return walk_plain(w, STATEMENT_LIST_STATUS, (int64_t) w->filter->status, no_key, err);
}

static enum progress by_expiry(struct walk *w, struct error *err) {
        return walk_plain(w, STATEMENT_LIST_EXPIRES_FIRST, w->high, key_not_after, err);
}

static enum progress by_expired(struct walk *w, struct error *err) {
        return walk_plain(w, STATEMENT_LIST_EXPIRED_LAST, w->low, key_not_after, err);
}

/* ---- which drive ------------------------------------------------------------------------------------------- */

static bool wants_fingerprint(const struct cert_filter *f) {
        return f->fingerprint != NULL;
}

static bool wants_spki(const struct cert_filter *f) {
        return f->spki != NULL;
}

static bool wants_name(const struct cert_filter *f) {
        return f->name && !is_suffix(f->name);
}

static bool wants_label(const struct cert_filter *f) {
        return f->label != NULL;
}

static bool wants_suffix(const struct cert_filter *f) {
        return is_suffix(f->name);
}

static bool wants_status(const struct cert_filter *f) {
        return f->status == CERT_STATUS_HELD || f->status == CERT_STATUS_REVOKED;
}

static bool wants_expired(const struct cert_filter *f) {
        return f->status == CERT_STATUS_EXPIRED;
}

static bool wants_expiry(const struct cert_filter *f) {
        return f->status == CERT_STATUS_VALID || f->expires_after || f->expires_before;
}

static bool wants_requester(const struct cert_filter *f) {
        return f->requester != NULL;
}

static bool wants_profile(const struct cert_filter *f) {
        return f->profile != NULL;
}

static bool wants_issued(const struct cert_filter *f) {
        return f->issued_after || f->issued_before;
}

static bool wants_issuer(const struct cert_filter *f) {
        return f->issuer != NULL;
}

static bool wants_all(const struct cert_filter *f) {
        (void) f;
        return true;
}

enum order {
        ORDER_NEWEST,  /* by id, falling */
        ORDER_RISING,  /* by a time from walk.low on */
        ORDER_FALLING, /* by a time from walk.high down */
};

/* The first row that the filter wants is the drive: what narrows most comes first. A letter never changes. */
static const struct drive {
        char letter; /* in cursors */
        enum order order;
        bool (*wanted)(const struct cert_filter *f);
        enum progress (*walk)(struct walk *w, struct error *err);
} drives[] = {
        { 'f', ORDER_NEWEST, wants_fingerprint, by_fingerprint },
        { 'k', ORDER_NEWEST, wants_spki, by_spki },
        { 'n', ORDER_NEWEST, wants_name, by_name },
        { 'l', ORDER_NEWEST, wants_label, by_label },
        { 's', ORDER_NEWEST, wants_suffix, by_suffix },
        { 'r', ORDER_NEWEST, wants_status, by_status },
        { 'x', ORDER_FALLING, wants_expired, by_expired },
        { 'e', ORDER_RISING, wants_expiry, by_expiry },
        { 'q', ORDER_NEWEST, wants_requester, by_requester },
        { 'p', ORDER_NEWEST, wants_profile, by_profile },
        { 't', ORDER_NEWEST, wants_issued, by_issued },
        { 'i', ORDER_NEWEST, wants_issuer, by_issuer },
        { 'a', ORDER_NEWEST, wants_all, by_all },
};

static const struct drive *drive_for(const struct cert_filter *f) {
        const struct drive *d = drives;

        while (!d->wanted(f))
                d++;
        return d;
}

/* The stretch of time that the drive has to walk: low ≤ t < high. */
static void set_stretch(struct walk *w, const struct drive *d) {
        const struct cert_filter *f = w->filter;
        bool issued = d->walk == by_issued;
        int64_t after = issued ? f->issued_after : f->expires_after;
        int64_t before = issued ? f->issued_before : f->expires_before;

        w->low = after ? after : INT64_MIN + 1;
        w->high = before ? before : INT64_MAX;
        if (!issued && f->status == CERT_STATUS_VALID && w->low < f->now)
                w->low = f->now;
        if (!issued && f->status == CERT_STATUS_EXPIRED && w->high > f->now)
                w->high = f->now;
}

static struct position start_of(const struct walk *w, const struct drive *d) {
        switch (d->order) {
        case ORDER_RISING:
                return (struct position){ w->low - 1, INT64_MAX }; /* strictly after it */
        case ORDER_FALLING:
                return (struct position){ w->high, 0 }; /* strictly before it; ids begin with 1 */
        case ORDER_NEWEST:
        default:
                return (struct position){ 0, INT64_MAX };
        }
}

/* ---- cursors: the drive's letter, key and id in hex --------------------------------------------------------- */

#define CURSOR_LENGTH 33

static void cursor_write(const struct drive *d, struct position at, char *out) {
        (void) snprintf(out, STORE_CURSOR_MAX, "%c%016" PRIx64 "%016" PRIx64, d->letter,
                        (uint64_t) at.key, (uint64_t) at.id);
}

static int cursor_read(const struct drive *d, const char *cursor, struct position *ret,
                       struct error *err) {
        uint8_t raw[16];
        uint64_t key = 0, id = 0;
        size_t size = 0;

        if (strlen(cursor) != CURSOR_LENGTH || cursor[0] != d->letter ||
            hex_decode(cursor + 1, raw, sizeof(raw), &size) < 0 || size != sizeof(raw) ||
            raw[8] > 0x7f)
                return error_set_field(
                        err, ERR_QUERY_INVALID, "cursor",
                        "this cursor does not belong to this list: use 'next' of the page before, with the "
                        "same filter, or none");
        for (size_t i = 0; i < 8; i++) {
                key = key << 8 | raw[i];
                id = id << 8 | raw[8 + i];
        }
        *ret = (struct position){ (int64_t) key, (int64_t) id };
        return 0;
}

int store_list(struct store *store, const struct cert_filter *filter, const char *cursor,
               size_t limit, store_each each, void *data, char *next, struct error *err) {
        const struct drive *drive = drive_for(filter);
        CAD_AUTO(reader_done) struct reader r = { store, NULL };
        CAD_AUTO(snapshot_done) struct snapshot snapshot = { NULL };
        CAD_AUTO(walk_done)
        struct walk w = {
                .filter = filter, .each = each, .data = data, .left = limit, .work = WORK_MAX
        };
        enum progress progress;

        if (check_filter(filter, err) < 0)
                return -1;
        if (limit < 1 || limit > STORE_PAGE_MAX)
                return error_set_field(err, ERR_QUERY_INVALID, "limit",
                                       "the limit is 1 to %d, not %zu", STORE_PAGE_MAX, limit);
        set_stretch(&w, drive);
        w.at = start_of(&w, drive);
        if (cursor && cursor[0] && cursor_read(drive, cursor, &w.at, err) < 0)
                return -1;
        r.c = reader_take(store, err);
        if (!r.c)
                return -1;
        w.c = r.c;
        snapshot = snapshot_begin(r.c, err);
        if (!snapshot.c)
                return -1;
        progress = drive->walk(&w, err);
        if (progress == WALK_FAILED)
                return -1;
        next[0] = '\0';
        if (progress == WALK_FULL)
                cursor_write(drive, w.at, next);
        return 0;
}
