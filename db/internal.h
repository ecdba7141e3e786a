/*
 * What the files of the store share. Private to db/.
 */
#pragma once

#include <stdatomic.h>
#include <pthread.h>
#include <sqlite3.h>

#include "db/audit.h"
#include "db/store.h"

#define STORE_FILE "cad.db"
#define STORE_APPLICATION_ID 0x63616431 /* "cad1" */
#define STORE_BUCKET_BITS 10            /* as in the schema: 1 024 ids a bucket */
#define STORE_INDEX_STEP 256            /* rows that are indexed in one go: 1–2 ms */
#define STORE_INDEX_OVERDUE 1024        /* rows not indexed that may wait while callers do */
#define STORE_LOG_DUE \
        1000 /* pages of the log that are moved into the database when nobody waits … */
#define STORE_LOG_OVERDUE 2000 /* … and in any case */

/* ---- migrations (the table is generated) ------------------------------------------------------------------ */

struct migration {
        const char *name;
        const char *sql;
};
extern const struct migration migrations[]; /* [n] leads from schema version n to n + 1 */
extern const size_t migration_count;

/** struct migration_list - the schema versions that a cad knows; a test knows one more */
struct migration_list {
        const struct migration *rows;
        size_t count;
};

/* ---- statements.c: every statement of the store, one row each ---------------------------------------------- */

enum statement {
        STATEMENT_BEGIN,
        STATEMENT_READ,
        STATEMENT_COMMIT,
        STATEMENT_ROLLBACK,
        STATEMENT_SAVEPOINT,
        STATEMENT_RELEASE,
        STATEMENT_ROLLBACK_TO,
        STATEMENT_META,
        STATEMENT_COUNTERS,
        STATEMENT_COUNT_TAIL,
        STATEMENT_COUNTERS_ADD,
        STATEMENT_PROBE,
        STATEMENT_LAST_ID,
        STATEMENT_ISSUER_ID,
        STATEMENT_ISSUER_ADD,
        STATEMENT_PROFILE_ID,
        STATEMENT_PROFILE_ADD,
        STATEMENT_CERTIFICATE_ADD,
        STATEMENT_INDEXED,
        STATEMENT_INDEXED_SET,
        STATEMENT_INDEX_ROWS,
        STATEMENT_LOOKUP_ADD,
        STATEMENT_LOOKUP_ADD_MANY,
        STATEMENT_BUCKET_ADD,
        STATEMENT_CERTIFICATE_GET,
        STATEMENT_STATUS_GET,
        STATEMENT_STATUS_SET,
        STATEMENT_COMPROMISED_ADD,
        STATEMENT_COMPROMISED_GET,
        STATEMENT_SPKI_TAIL,
        STATEMENT_SPKI_PROBE,
        STATEMENT_IDEMPOTENCY_GET,
        STATEMENT_IDEMPOTENCY_ADD,
        STATEMENT_IDEMPOTENCY_DROP,
        STATEMENT_IDEMPOTENCY_EXPIRE,
        STATEMENT_TOKEN_ADD,
        STATEMENT_TOKEN_GET,
        STATEMENT_TOKEN_HASH,
        STATEMENT_TOKEN_USE,
        STATEMENT_TOKEN_REVOKE,
        STATEMENT_TOKEN_LIST,
        STATEMENT_TOKEN_SHORT,
        STATEMENT_REQUEST_GET,
        STATEMENT_REQUEST_FIND,
        STATEMENT_REQUEST_BY_ROW,
        STATEMENT_REQUEST_SAME,
        STATEMENT_REQUEST_DECIDED,
        STATEMENT_REQUEST_QUEUE,
        STATEMENT_REQUEST_EVICT,
        STATEMENT_REQUEST_ADD,
        STATEMENT_REQUEST_DECIDE,
        STATEMENT_REQUEST_LIST,
        STATEMENT_REQUEST_LIST_STATUS,
        STATEMENT_REQUEST_SWEEP_CSRS,
        STATEMENT_REQUEST_SWEEP,
        STATEMENT_LIST_LOOKUP,
        STATEMENT_LIST_SUFFIX_IDS,
        STATEMENT_BUCKET_SHARES,
        STATEMENT_BUCKET_TIME,
        STATEMENT_LIST_ONE,
        STATEMENT_LIST_STATUS,
        STATEMENT_LIST_EXPIRES_FIRST,
        STATEMENT_LIST_EXPIRED_LAST,
        STATEMENT_LIST_ALL,
        STATEMENT_CRL_GET,
        STATEMENT_CRL_PUT,
        STATEMENT_CRL_CHANGED,
        STATEMENT_REVOKED_STEP,
        STATEMENT_UNKNOWN_STEP,
        STATEMENT_UNKNOWN_ADD,
        STATEMENT_AUDIT_HEAD,
        STATEMENT_AUDIT_HEAD_SET,
        STATEMENT_AUDIT_LAST,
        STATEMENT_AUDIT_ADD,
        STATEMENT_AUDIT_LIST,
        STATEMENT_AUDIT_SPAN_LAST,
        STATEMENT_AUDIT_SPAN_GET,
        STATEMENT_AUDIT_SPAN_ADD,
        STATEMENT_COUNT,
};
extern const char *const statements[STATEMENT_COUNT];

/* ---- connection.c ------------------------------------------------------------------------------------------ */

enum sql_role {
        SQL_WRITER,
        SQL_READER,
};

/** struct sql_connection - one SQLite connection, used by one thread at a time, with its prepared statements */
struct sql_connection {
        sqlite3 *db;
        sqlite3_stmt *prepared[STATEMENT_COUNT];
        bool broken;   /* an I/O error or damage was seen: close it before the next use */
        int log_pages; /* the writer's: of the log, after its last commit … */
        int log_moved; /* … and of these, when they were last moved into the database */
};

/** sql_open() - open @path with the store's settings. @err: as sql_error() */
int sql_open(struct sql_connection *c, const char *path, enum sql_role role, struct error *err);

/** sql_done() - finalize and close; leaves @c ready to be opened again */
void sql_done(struct sql_connection *c);
CAD_CLEANUP_DONE(struct sql_connection, sql_done)

/** sql_error() - SQLite's code as ours, with what to do; marks @c broken where it is. Return: -1 */
int sql_error(struct sql_connection *c, int rc, const char *what, struct error *err);

/** sql_exec() - run SQL without parameters and results */
int sql_exec(struct sql_connection *c, const char *sql, const char *what, struct error *err);

/** sql_number() - the one number that a PRAGMA or SELECT gives */
int sql_number(struct sql_connection *c, const char *sql, int64_t *ret, struct error *err);

/** sql_statement() - a prepared statement, ready for binding; give it back by statement_release() */
sqlite3_stmt *sql_statement(struct sql_connection *c, enum statement which, struct error *err);

/** statement_release() - reset, and forget what was bound. Return: NULL */
sqlite3_stmt *statement_release(sqlite3_stmt *s);
CAD_CLEANUP(sqlite3_stmt, statement_release)

/** sql_run() - step a statement that gives no rows */
int sql_run(struct sql_connection *c, sqlite3_stmt *s, const char *what, struct error *err);

/** sql_simple() - run a statement of the table that has no parameters */
int sql_simple(struct sql_connection *c, enum statement which, const char *what, struct error *err);

static inline void bind_bytes(sqlite3_stmt *s, int at, struct bytes b) {
        (void) sqlite3_bind_blob(s, at, b.data ? (const void *) b.data : "", (int) b.size,
                                 SQLITE_STATIC);
}

static inline void bind_text(sqlite3_stmt *s, int at, const char *text) {
        (void) sqlite3_bind_text(s, at, text, -1, SQLITE_STATIC); /* NULL binds NULL */
}

static inline struct bytes column_bytes(sqlite3_stmt *s, int at) {
        const void *data = sqlite3_column_blob(s, at);

        return BYTES(data, (size_t) sqlite3_column_bytes(s, at));
}

static inline const char *column_text(sqlite3_stmt *s, int at) {
        return (const char *) sqlite3_column_text(s, at);
}

/** struct snapshot - a read transaction for a scope: every statement in it sees the same database */
struct snapshot {
        struct sql_connection *c; /* NULL: it could not be begun */
};
struct snapshot snapshot_begin(struct sql_connection *c, struct error *err);
void snapshot_done(struct snapshot *snapshot);
CAD_CLEANUP_DONE(struct snapshot, snapshot_done)

/* ---- migrate.c: a database from nothing, and from an older version ----------------------------------------- */

/** store_create() - make cad.db whole in @dir_fd (@dir is its path) for a CA; there must be none */
int store_create(int dir_fd, const char *dir, const char *ca_id, struct error *err);

/** store_migrate() - bring an open database to the newest schema of @list, keeping a copy first. @err: ERR_STORE_NEWER, ERR_STORE… */
int store_migrate(int dir_fd, const char *dir, struct sql_connection *c,
                  const struct migration_list *list, struct error *err);

/** migrations_apply() - those that lead from schema @from to schema @to, without a copy; an empty database has schema 0 */
int migrations_apply(struct sql_connection *c, const struct migration_list *list, size_t from,
                     size_t to, struct error *err);

/* ---- meta.c ------------------------------------------------------------------------------------------------ */

/** meta_read_ca_id() - whose database it is; appended as text */
int meta_read_ca_id(struct sql_connection *c, struct buffer *ret, struct error *err);

/** counters_read() - the row, and what is not indexed yet */
int counters_read(struct sql_connection *c, struct store_counters *ret, struct error *err);

/** counters_add() - what was revoked and held; what was issued is added when it is indexed */
int counters_add(struct sql_connection *c, const struct store_counters *more, struct error *err);

/* ---- commit.c: the writer, the queue, the leader ------------------------------------------------------------ */

/** struct word - the number of an issuer or a profile, as this transaction knows it */
struct word {
        char text[64]; /* "": none */
        int64_t id;
};

/** struct chain_end - the end of the audit's chain, as a transaction sees it */
struct chain_end {
        struct audit_head head;
        bool known;   /* it was read */
        bool changed; /* its row is to be written */
};

struct committer;

struct store_tx {
        struct sql_connection *c;
        struct committer *committer;
        struct store_counters more; /* what this transaction does */
        int64_t next_id;            /* of certificates; 0: not asked for yet */
        struct word issuer, profile;
        struct chain_end audit;
        bool revoked; /* something was revoked, held or lifted */
};

struct committer {
        const char *path;
        struct sql_connection writer; /* the leader's alone, as is what follows */
        int64_t unindexed;            /* certificates, or more */
        struct chain_end audit;       /* as it was committed */
        int64_t rest_until_ms;        /* upkeep failed: not again before */
        atomic_bool any_compromised;  /* compromised_keys may hold a row: read by anybody */
        /* see struct store_commits: read by anybody */
        _Atomic uint64_t commits, failures, writes, busy_us;
        pthread_mutex_t lock; /* guards what follows */
        pthread_cond_t relay; /* the helper waits: a leader has led long enough */
        pthread_cond_t idle;  /* store_close() waits: nobody leads */
        struct store_op *first, **last;
        size_t queued;
        bool leading, relayed, stopping;
        bool failed;        /* the last commit */
        bool upkeep_failed; /* the last indexing */
        struct error failure, upkeep_failure;
        int64_t probed_at_ms;
        pthread_t helper;
        void (*revoked)(void *context); /* as in store_options */
        void *revoked_context;
};

/** committer_init() - @path is borrowed. The writer is opened and the helper thread started */
int committer_init(struct committer *k, const char *path, struct error *err);

/** committer_stop() - write what is queued, take no more, end the thread */
void committer_stop(struct committer *k);

/** committer_done() - close the writer of a stopped committer */
void committer_done(struct committer *k);

/* ---- store.c ----------------------------------------------------------------------------------------------- */

#define STORE_READERS_MAX 16

struct store {
        int lock_fd;
        char *path;
        struct committer committer;
        pthread_mutex_t readers_lock;
        pthread_cond_t reader_free;
        struct sql_connection readers[STORE_READERS_MAX];
        struct sql_connection *free_readers[STORE_READERS_MAX];
        unsigned reader_count, free_count;
};

/** reader_take() - wait for a reader connection; NULL with @err where it cannot be opened */
struct sql_connection *reader_take(struct store *store, struct error *err);
void reader_give(struct store *store, struct sql_connection *c);

/** struct reader - a reader for a scope: CAD_AUTO(reader_done) struct reader r = reader_for(store, err); if (!r.c) return -1; */
struct reader {
        struct store *store;
        struct sql_connection *c;
};
static inline struct reader reader_for(struct store *store, struct error *err) {
        return (struct reader){ store, reader_take(store, err) };
}
static inline void reader_done(struct reader *r) {
        if (r->c)
                reader_give(r->store, r->c);
}
CAD_CLEANUP_DONE(struct reader, reader_done)

/* ---- row.c ------------------------------------------------------------------------------------------------- */

/** row_text_room(), row_names_room() - bytes of a copy; NULL has none. The array of the names is counted, too */
size_t row_text_room(const char *text);
size_t row_names_room(const char *const *names, size_t count);

/**
 * row_place(), row_place_text(), row_place_names() - copy to @at, which moves on. Return: the copy; NULL of NULL
 *
 * Names come first, right behind the row: their array has to be aligned.
 */
const void *row_place(char **at, const void *data, size_t size);
const char *row_place_text(char **at, const char *text);
const char *const *row_place_names(char **at, const char *const *names, size_t count);

/** row_damaged() - @of: "a token"; @how: "without its hash". Return: -1 with ERR_STORE */
int row_damaged(const char *of, const char *how, struct error *err);

/** struct row_names - the names of the row that was read last, of a table that bounds them; zero-initialised is empty */
struct row_names {
        struct buffer text;
        const char *list[STORE_NAMES_MAX];
        size_t count;
};
void row_names_done(struct row_names *names);

/** row_names_split() - "a\nb" to "a" and "b". @of: as above */
int row_names_split(struct row_names *names, const char *lines, const char *of, struct error *err);

/* ---- certificates.c ---------------------------------------------------------------------------------------- */

/* What a statement that gives whole certificates selects, in the order of row_read(). */
#define CERTIFICATE_COLUMNS \
        "c.id, c.serial, i.name, p.name, c.subject, c.names, c.not_before, c.not_after, c.issued_at, c.fingerprint, " \
        "c.spki, c.requester, c.label, c.internal, c.status, c.revoked_at, c.reason, c.der, c.granted"
#define CERTIFICATE_JOIN \
        " CROSS JOIN issuers i ON i.id = c.issuer CROSS JOIN profiles p ON p.id = c.profile "

/** struct row_scratch - room for the names of the row that was read last */
struct row_scratch {
        struct buffer text;
        const char **names;
        size_t capacity;
};
void row_scratch_done(struct row_scratch *scratch);
CAD_CLEANUP_DONE(struct row_scratch, row_scratch_done)

/** row_read() - the certificate that @s stands on, as views that live until the next step or row_read() */
int row_read(struct sql_connection *c, sqlite3_stmt *s, struct row_scratch *scratch,
             int64_t *ret_id, struct cert_row *ret, struct error *err);

/** last_id() - the id of the newest certificate, 0 without any */
int last_id(struct sql_connection *c, int64_t *ret, struct error *err);

/* ---- crls.c ------------------------------------------------------------------------------------------------ */

/** crl_note_change() - a certificate of this issuer was revoked, held or lifted in this transaction */
int crl_note_change(struct store_tx *tx, int64_t issuer_id, struct error *err);

/* ---- audit.c ----------------------------------------------------------------------------------------------- */

/** audit_write_head() - the row with the end of the chain, once a transaction */
int audit_write_head(struct store_tx *tx, struct error *err);

/* ---- indexing.c -------------------------------------------------------------------------------------------- */

enum lookup { /* stored values; do not renumber */
        LOOKUP_NAME = 1,
        LOOKUP_FINGERPRINT = 2,
        LOOKUP_SPKI = 3,
        LOOKUP_REQUESTER = 4, /* this and what follows can be shared by many: see LOOKUP_SHARED */
        LOOKUP_LABEL = 5,
        LOOKUP_PROFILE = 6, /* the key is the number of the word, as is the issuer's */
        LOOKUP_ISSUER = 7,
};
#define LOOKUP_SHARED \
        16 /* certificates of a step that share a key have one entry together: the bucket is walked */
#define LOOKUP_SHARED_ID 0 /* the id of such an entry */
#define LOOKUP_ADD_MANY 16 /* entries that one statement writes */
#define LOOKUP_HASH_SIZE \
        8 /* octets of a hash that are in lookups; whole hashes are compared afterwards */
#define LOOKUP_WORD_SIZE 4 /* octets of a word's number */

/** name_key() - a name backwards in lower case, appended */
void name_key(const char *name, struct buffer *ret);

/** word_key() - the number of a word, big-endian */
static inline void word_key(int64_t id, uint8_t out[LOOKUP_WORD_SIZE]) {
        for (int i = 0; i < LOOKUP_WORD_SIZE; i++)
                out[i] = (uint8_t) (id >> (24 - 8 * i));
}

/** indexed_read() - the certificates up to this id are in lookups */
int indexed_read(struct sql_connection *c, int64_t *ret, struct error *err);

/**
 * index_step() - index the next certificates in a transaction of its own
 * @limit:    STORE_INDEX_STEP at most
 * @ret_rows: how many; fewer than @limit does not mean that all are
 * @ret_last: whether all are indexed now
 *
 * Does not wait for the disk: what is lost with the power is done again, and it is never on disk without what was
 * committed before it.
 */
int index_step(struct sql_connection *c, int limit, int64_t *ret_rows, bool *ret_last,
               struct error *err);
