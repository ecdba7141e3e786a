/*
 * The store: what this CA has issued, what became of it, and what was promised to whom. One file, cad.db.
 *
 * In terms of the domain, not of SQL: another engine can stand behind this header. Names and principals are
 * text here, serials and hashes are bytes; the store knows no X.509.
 *
 *      caller ── store_submit(op) or store_submit_list(ops) ──> queue ──> the leader, one transaction a batch:
 *                                                                          BEGIN  op->apply() …  COMMIT (fsync)
 *      caller <── op->done(op, NULL or why not) ───────────────────────────┘
 *
 * A caller that finds no leader leads itself, so that a lone caller pays one fsync and no change of thread.
 * Reads take a connection of a small pool, see every committed write, and never wait for a writer. What finds a
 * certificate by name, key, fingerprint, requester, label, profile or issuer is written later, by the store's own thread
 * when callers have their answers; until then, lists look at these rows themselves.
 * Every function may be called from any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/bytes.h"
#include "lib/base/error.h"

#define STORE_SERIAL_MAX 20  /* octets; RFC 5280 §4.1.2.2 */
#define STORE_HASH_SIZE 32   /* octets of a SHA-256 */
#define STORE_NAMES_MAX 1000 /* names of one certificate; policy allows fewer */
#define STORE_NAME_MAX 1024  /* bytes of one name */
#define STORE_QUEUE_MAX 1024 /* ops that wait; one more is ERR_OVERLOADED */
#define STORE_BATCH_MAX 256  /* ops of one transaction */
#define STORE_PAGE_MAX 1000  /* certificates a page */
#define STORE_CURSOR_MAX 48  /* bytes with NUL */
#define STORE_IDEMPOTENCY_LIFE_S (24 * 3600)
#define STORE_IDEMPOTENCY_KEY_MAX 255 /* bytes of a client's Idempotency-Key */

struct store; /* the open store */
struct audit_event;
struct store_tx; /* a transaction; lives for one apply() */

/* ---- opening ---------------------------------------------------------------------------------------------- */

/** struct store_options - how to open; texts are copied */
struct store_options {
        const char *ca_id; /* the CA that the store must belong to: hex of the root's SHA-256 */
        const char *
                replaces; /* NULL, or the ca_id of a CA that may be started over (`cad init --again`) */
        bool create;      /* make cad.db where there is none */
        unsigned readers; /* reader connections; 0: 2 */
        /* NULL, or told after a commit that revoked, held or lifted something, on any thread: it must be quick */
        void (*revoked)(void *context);
        void *revoked_context;
};

/**
 * store_open() - take the lock and open cad.db of a state folder, making or migrating it where that is due
 * @state_dir_fd: the folder; borrowed for the call
 * @ret:  set on success only
 * @err:  ERR_BUSY with the pid of who has it; ERR_CA_INCOMPLETE where cad.db is not there and may not be made, or where
 *        only its log is there; ERR_STORE_FOREIGN: not a database, empty, of another program or another CA;
 *        ERR_STORE_NEWER: made by a newer cad; ERR_STORE: damaged; ERR_FILE_UNSAFE, ERR_IO, ERR_STORE_FULL
 *
 * Making it is atomic: killed at any moment there is no cad.db or a whole one. Nothing is made over what is there. A
 * copy, cad.db.before-VERSION, is kept before the first migration of a database that held something. A database of
 * @replaces that issued nothing for others is moved aside to cad.db.replaced-MILLISECONDS.
 */
int store_open(int state_dir_fd, const struct store_options *options, struct store **ret,
               struct error *err);

/** store_close() - write what is queued, close, release the lock; nobody else may be inside. NULL is fine. Return: NULL */
struct store *store_close(struct store *store);
CAD_CLEANUP(struct store, store_close)

/**
 * store_health() - whether the store can write
 *
 * The state of the last commit. Where that failed, a small write tries again (once a second at most), so that it heals
 * without traffic: may take as long as an fsync.
 * @err: why not: ERR_STORE_FULL, ERR_STORE
 */
int store_health(struct store *store, struct error *err);

/** struct store_counters - kept in a row; only what was issued a moment ago is counted */
struct store_counters {
        int64_t issued;            /* certificates ever put */
        int64_t issued_for_others; /* of these, not by the CA for itself (store_row.internal) */
        int64_t revoked;           /* revocations that are final */
        int64_t held;              /* on hold now */
};

int store_counters(struct store *store, struct store_counters *ret, struct error *err);

/** struct store_commits - what the group commit has done since start; for metrics */
struct store_commits {
        uint64_t commits;  /* transactions that are on disk */
        uint64_t failures; /* and that are not */
        uint64_t writes;   /* ops in them */
        uint64_t busy_us;  /* microseconds that they took together */
};

/** store_commits() - a snapshot: no file is touched */
struct store_commits store_commits(const struct store *store);

/* ---- certificates ----------------------------------------------------------------------------------------- */

enum cert_status {             /* stored values; do not renumber */
        CERT_STATUS_VALID = 0, /* also when it has expired: that is computed from not_after */
        CERT_STATUS_HELD = 1,
        CERT_STATUS_REVOKED = 2,
        CERT_STATUS_EXPIRED = 3, /* never stored: valid, and not_after has passed */
        CERT_STATUS_COUNT,
};

/** cert_status_name() - "valid", "held", "revoked", "expired"; static */
const char *cert_status_name(enum cert_status status);

/** cert_status_from_name() - Return: 0 or -1 */
int cert_status_from_name(const char *name, enum cert_status *ret);

enum revocation_reason { /* RFC 5280 §5.3.1 */
        REASON_UNSPECIFIED = 0,
        REASON_KEY_COMPROMISE = 1,
        REASON_CA_COMPROMISE = 2,
        REASON_AFFILIATION_CHANGED = 3,
        REASON_SUPERSEDED = 4,
        REASON_CESSATION_OF_OPERATION = 5,
        REASON_CERTIFICATE_HOLD = 6,
        REASON_REMOVE_FROM_CRL = 8,
        REASON_PRIVILEGE_WITHDRAWN = 9,
        REASON_AA_COMPROMISE = 10,
        REASON_COUNT,
};

/** revocation_reason_name() - "key_compromise" for REASON_KEY_COMPROMISE; NULL for a number without a reason */
const char *revocation_reason_name(enum revocation_reason reason);

/** revocation_reason_from_name() - @err: ERR_REASON_INVALID with the list, field "reason" */
int revocation_reason_from_name(const char *name, enum revocation_reason *ret, struct error *err);

/** struct cert_row - one certificate; all pointers are views, see each function for how long they live */
struct cert_row {
        struct bytes serial; /* big-endian, 1–20 octets */
        const char *issuer;  /* "int-1" */
        const char *profile;
        const char *subject;      /* text for people; "" where it is empty */
        const char *const *names; /* DNS names, addresses, … as text, lower case */
        size_t name_count;
        int64_t not_before, not_after, issued_at; /* seconds since the epoch */
        uint8_t fingerprint[STORE_HASH_SIZE];
        uint8_t spki[STORE_HASH_SIZE];
        const char *requester; /* the principal's text */
        const char *label;     /* NULL: none */
        struct bytes der;
        bool internal;           /* issued by the CA for itself: does not stop `cad init --again` */
        enum cert_status status; /* as stored: see cert_row_status() */
        int64_t revoked_at;      /* 0 unless held or revoked */
        enum revocation_reason reason;
        int64_t granted_s; /* the life that it was to have, where its issuer's end cut it shorter; 0: none was asked for, or it has it */
};

/** cert_row_status() - the status at @now: a valid certificate past its not_after is CERT_STATUS_EXPIRED */
enum cert_status cert_row_status(const struct cert_row *row, int64_t now);

/** cert_row_lost() - a restore took it from the signer's log: serial, names, key and end are known, the certificate itself is not (an empty SEQUENCE) */
static inline bool cert_row_lost(const struct cert_row *row) {
        return row->der.size <= 2;
}

/** cert_row_copy() - a copy that owns all it points to, in one block; NULL without memory */
struct cert_row *cert_row_copy(const struct cert_row *row);

/** cert_row_free() - free what store_get_certificate(), store_find_by_spki() or cert_row_copy() gave. Return: NULL */
struct cert_row *cert_row_free(struct cert_row *row);
CAD_CLEANUP(struct cert_row, cert_row_free)

/**
 * store_get_certificate() - one certificate by its serial
 * @ret: owned by the caller
 * @err: ERR_NOT_FOUND with the serial; ERR_STORE
 */
int store_get_certificate(struct store *store, struct bytes serial, struct cert_row **ret,
                          struct error *err);

/** store_find_by_spki() - the newest certificate with this key (SHA-256 of the SPKI). @err: ERR_NOT_FOUND, ERR_STORE */
int store_find_by_spki(struct store *store, const uint8_t spki[STORE_HASH_SIZE],
                       struct cert_row **ret, struct error *err);

/** struct spki_use - what is known of a key */
struct spki_use {
        bool compromised; /* a certificate with this key was revoked for key_compromise: final, whatever came after */
        bool used; /* some certificate has it (only where it was asked for) */
        uint8_t serial[STORE_SERIAL_MAX]; /* of the newest that has it */
        size_t serial_size;
};

/**
 * store_spki_use() - what is known of a key before a certificate is made for it
 * @look_for_use: also whether it was used: a probe a 1 024 certificates, about 2 ms at a million, so not on the way of
 *                every issuance; without it, one look-up in a small table (2 µs)
 */
int store_spki_use(struct store *store, const uint8_t spki[STORE_HASH_SIZE], bool look_for_use,
                   struct spki_use *ret, struct error *err);

/** struct cert_filter - zero-initialised (with .status = CERT_FILTER_ANY) lets all pass; all that is set must hold */
#define CERT_FILTER_ANY CERT_STATUS_COUNT
struct cert_filter {
        int64_t now;             /* what "valid" and "expired" are measured by */
        enum cert_status status; /* CERT_FILTER_ANY: any */
        const char
                *name; /* exact in lower case, or "*.suffix": every name that ends in ".suffix" */
        const char *profile, *issuer, *requester, *label;
        const uint8_t *fingerprint, *spki;     /* STORE_HASH_SIZE octets each, or NULL */
        int64_t expires_after, expires_before; /* not_after ≥ and <; 0: open */
        int64_t issued_after, issued_before;   /* issued_at ≥ and <; 0: open */
};

/** store_each - called for each certificate of a page; @row lives for the call. It must be quick: a read is open. */
typedef void (*store_each)(const struct cert_row *row, void *data);

/**
 * store_list() - a page of certificates
 * @cursor: "" or NULL for the first page, then what @next said, with the same filter
 * @limit:  1 to STORE_PAGE_MAX
 * @next:   STORE_CURSOR_MAX bytes; "" after the last page
 * @err:    ERR_QUERY_INVALID with the field ("cursor", "limit", "name"); ERR_STORE
 *
 * Newest first; but by what expires first where the filter is one of time (expires_*, status valid), and by what
 * expired last for status expired. Work is bounded a page: a page may be short, even empty, with a next cursor. No
 * certificate comes twice, whatever is issued meanwhile.
 */
int store_list(struct store *store, const struct cert_filter *filter, const char *cursor,
               size_t limit, store_each each, void *data, char *next, struct error *err);

/* ---- tokens ----------------------------------------------------------------------------------------------- */

#define STORE_TOKEN_ID_MAX 17 /* bytes with NUL: 16 hex digits */

/** struct token_row - one enrolment right; all pointers are views, see each function for how long they live */
struct token_row {
        char id[STORE_TOKEN_ID_MAX]; /* lower-case hex, the first digit 0 to 7; a newer one is higher */
        uint8_t hash[STORE_HASH_SIZE]; /* of the whole token; its secret is not kept */
        const char *profile;
        const char *const *names; /* exact, or "*.suffix" */
        size_t name_count;
        int64_t validity_max_s; /* of a certificate; 0: as the profile has it */
        int64_t uses, used;
        int64_t created_at, expires_at; /* seconds since the epoch */
        int64_t last_used_at;           /* 0: not used yet */
        int64_t revoked_at;             /* 0: it is not */
        const char *creator;            /* the principal's text */
        const char *label;              /* NULL: none */
        bool is_short;                  /* a pairing code: found by its hash alone */
};

enum token_status {
        TOKEN_STATUS_ACTIVE,
        TOKEN_STATUS_USED_UP,
        TOKEN_STATUS_EXPIRED,
        TOKEN_STATUS_REVOKED,
        TOKEN_STATUS_COUNT,
};

/** token_row_status() - at @now; what is revoked stays so, a token expires at its expires_at */
enum token_status token_row_status(const struct token_row *row, int64_t now);

/** token_row_check() - whether it may be used at @now. @err: ERR_TOKEN_SPENT with why not, and since when */
int token_row_check(const struct token_row *row, int64_t now, struct error *err);

/** token_status_name() - "active", "used_up", "expired", "revoked"; static */
const char *token_status_name(enum token_status status);

/** token_id_valid() - whether a text has the form of an id */
bool token_id_valid(const char *id);

/** token_row_copy() - a copy that owns all it points to, in one block; NULL without memory */
struct token_row *token_row_copy(const struct token_row *row);
struct token_row *token_row_free(struct token_row *row);
CAD_CLEANUP(struct token_row, token_row_free)

/** store_get_token() - one by its id. @ret: owned by the caller. @err: ERR_NOT_FOUND; ERR_STORE */
int store_get_token(struct store *store, const char *id, struct token_row **ret, struct error *err);

/**
 * store_token_hash() - the hash of a token alone, for comparing
 * @ret_found: whether there is such a token; where not, @ret_hash is all zero, and it took as long
 */
int store_token_hash(struct store *store, const char *id, uint8_t ret_hash[STORE_HASH_SIZE],
                     bool *ret_found, struct error *err);

#define STORE_TOKENS_SHORT_MAX 20 /* pairing codes that are good at a time */

/** store_each_short - called for each; @hash lives for the call. It must be quick: a read is open. */
typedef void (*store_each_short)(const char *id, const uint8_t hash[STORE_HASH_SIZE], void *data);

/**
 * store_walk_short_tokens() - all pairing codes that have not expired and were not revoked, used ones too, in no order
 *
 * All of them are walked, whichever it was that somebody looks for: the time it takes says nothing.
 */
int store_walk_short_tokens(struct store *store, int64_t now, store_each_short each, void *data,
                            struct error *err);

/** store_each_token - called for each token of a page; @row lives for the call. It must be quick: a read is open. */
typedef void (*store_each_token)(const struct token_row *row, void *data);

/**
 * store_list_tokens() - a page of tokens, newest first
 * @cursor: "" or NULL for the first page, then what @next said
 * @limit:  1 to STORE_PAGE_MAX
 * @next:   STORE_CURSOR_MAX bytes; "" after the last page
 * @err:    ERR_QUERY_INVALID with the field ("cursor", "limit"); ERR_STORE
 */
int store_list_tokens(struct store *store, const char *cursor, size_t limit, store_each_token each,
                      void *data, char *next, struct error *err);

/* ---- CRLs ------------------------------------------------------------------------------------------------- */

#define STORE_ISSUER_MAX 32 /* bytes with NUL of an issuer's name here */

/** struct crl_row - what is known of an issuer's newest CRL */
struct crl_row {
        char issuer[STORE_ISSUER_MAX];
        int64_t changes;  /* revocations, holds and lifts of its certificates, ever; only read */
        int64_t included; /* of these, when the CRL was begun; -1: there is no CRL */
        int64_t number, this_update, next_update;
        int64_t scheduled_at; /* this_update of the last CRL that was made because it was time */
        int64_t entries;
};

/** store_get_crl() - of an issuer nothing is known of: zeros and included -1. @err: ERR_STORE */
int store_get_crl(struct store *store, const char *issuer, struct crl_row *ret, struct error *err);

/** struct revoked_row - an entry of a CRL */
struct revoked_row {
        int64_t not_after; /* of the certificate; INT64_MAX where that is not known */
        uint8_t serial[STORE_SERIAL_MAX];
        size_t serial_size;
        int64_t revoked_at;
        enum revocation_reason reason;
};

/** struct revoked_cursor - where a walk over them is */
struct revoked_cursor {
        int64_t not_after;
        uint8_t serial[STORE_SERIAL_MAX];
        size_t serial_size;
        bool unknown; /* among those whose certificates are not in the store: they come last */
};

/** revoked_from() - a walk over what is revoked or held and ends at @not_after or later */
struct revoked_cursor revoked_from(int64_t not_after);

/**
 * store_revoked_step() - the next entries of an issuer, by when their certificates end
 * @ret:       @limit of them
 * @ret_count: fewer than @limit only at the end
 *
 * Each step is a read of its own. What was revoked before the first step is met by the walk, whatever is written meanwhile.
 */
int store_revoked_step(struct store *store, const char *issuer, struct revoked_cursor *cursor,
                       struct revoked_row *ret, size_t limit, size_t *ret_count, struct error *err);

/* ---- writes ----------------------------------------------------------------------------------------------- */

/** struct store_op - one write; embed it, keep it (and what it points to) alive until done() is called */
struct store_op {
        /* Do the work inside the transaction. May run more than once, after a roll-back: change nothing but @tx. */
        int (*apply)(struct store_tx *tx, struct store_op *op, struct error *err);
        /* @err NULL: it is on disk. Else it is not, or (ERR_STORE, a failed sync) nobody can know before a restart. Called
         * once, outside all locks, on any thread; may free @op, may submit others, must not block for long. */
        void (*done)(struct store_op *op, const struct error *err);
        struct store_op *next; /* the store's, as is what follows */
        struct error failure;
};

/**
 * store_submit() - hand a write over
 * @err: ERR_OVERLOADED, ERR_STOPPING: @op was not taken and done() will not be called
 *
 * May run this batch and a few more on this thread before it returns.
 */
int store_submit(struct store *store, struct store_op *op, struct error *err);

/**
 * store_submit_list() - hand over several writes at once, linked by their next: they are committed together
 *
 * For a caller that has collected them. done() is called for each, also for those that were not taken.
 */
void store_submit_list(struct store *store, struct store_op *ops);

/** store_write() - the same, and wait: done() is not used. @err: what apply() or the commit said */
int store_write(struct store *store, struct store_op *op, struct error *err);

/** struct idempotency - who asked what under which key; views */
struct idempotency {
        const char *principal, *method, *path, *key;
        uint8_t body_hash[STORE_HASH_SIZE];
};

/** struct store_issue - put a certificate; fill in @row (and @idempotency) and submit &issue.op */
struct store_issue {
        struct store_op op;
        struct cert_row row;                   /* status, revoked_at, reason are not looked at */
        const struct idempotency *idempotency; /* NULL: none */
        const char *token_id; /* NULL: none; one use of it is taken with the certificate */
        /* empty, or the serial of one that must still be neither revoked nor held */
        struct bytes renews;
        const struct request_approval *approves; /* NULL: none; see db/requests.h */
        const struct audit_event *audit;         /* NULL: none; see db/audit.h */
};

/** store_issue_init() - zero @issue and set its functions. done() gets &issue->op. See tx_put_certificate() for errors */
void store_issue_init(struct store_issue *issue,
                      void (*done)(struct store_op *op, const struct error *err));

/** struct store_revoke - revoke, hold, or lift a hold */
struct store_revoke {
        struct store_op op;
        struct bytes serial;
        enum revocation_reason reason;
        int64_t at;                      /* seconds since the epoch */
        const struct audit_event *audit; /* NULL: none; see db/audit.h */
};

/** store_revoke_init() - as store_issue_init(). See tx_revoke() for errors */
void store_revoke_init(struct store_revoke *revoke, struct bytes serial,
                       enum revocation_reason reason, int64_t at,
                       void (*done)(struct store_op *op, const struct error *err));

/** struct store_put_crl - remember a CRL that was made; changes is not written */
struct store_put_crl {
        struct store_op op;
        struct crl_row row;
        const struct audit_event *audit; /* written with it; NULL: none */
};

/** store_put_crl_init() - as store_issue_init() */
void store_put_crl_init(struct store_put_crl *put, const struct crl_row *row,
                        void (*done)(struct store_op *op, const struct error *err));

/** struct store_adopt - take over what a published CRL says, where the store may be an older copy */
struct store_adopt {
        struct store_op op;
        const char *issuer;
        const struct revoked_row *rows; /* not_after is not looked at */
        size_t count;
        size_t adopted; /* what was not known so far; set by apply() */
};

/**
 * store_adopt_init() - as store_issue_init()
 *
 * What is revoked here stays as it is, and a hold becomes final where the CRL says so. An entry without a certificate is kept as such.
 * Nothing is ever lifted.
 */
void store_adopt_init(struct store_adopt *adopt, const char *issuer, const struct revoked_row *rows,
                      size_t count, void (*done)(struct store_op *op, const struct error *err));

/* The parts of an apply(): an op of one's own puts several of them into one transaction. */

/** tx_put_certificate() - @err: ERR_STATE_CONFLICT where the serial is there already; ERR_INTERNAL on a row out of bounds */
int tx_put_certificate(struct store_tx *tx, const struct cert_row *row, struct error *err);

/**
 * tx_revoke() - move a certificate as RFC 5280 §5.3.1 allows: valid → held or revoked, held → revoked; remove_from_crl: held → valid
 * @err: ERR_NOT_FOUND; ERR_ALREADY_REVOKED with when and why; ERR_STATE_CONFLICT where there is no hold to lift, or it is
 *       held already; ERR_REASON_INVALID
 *
 * A key_compromise revocation also remembers the key.
 */
int tx_revoke(struct store_tx *tx, struct bytes serial, enum revocation_reason reason, int64_t at,
              struct error *err);

/** tx_require_standing() - whether a certificate is neither revoked nor held. @err: ERR_ALREADY_REVOKED, ERR_STATE_CONFLICT, ERR_NOT_FOUND */
int tx_require_standing(struct store_tx *tx, struct bytes serial, struct error *err);

/** tx_put_idempotency() - @err: ERR_IDEMPOTENCY_IN_FLIGHT where a live record with this key was committed meanwhile */
int tx_put_idempotency(struct store_tx *tx, const struct idempotency *record, struct bytes serial,
                       int64_t now, struct error *err);

/**
 * tx_put_token() - used, last_used_at, revoked_at are not looked at
 * @err: ERR_STATE_CONFLICT where the id, or the hash of a pairing code that has not expired, is there already;
 *       ERR_TOO_MANY_REQUESTS: STORE_TOKENS_SHORT_MAX pairing codes are good at row->created_at
 */
int tx_put_token(struct store_tx *tx, const struct token_row *row, struct error *err);

/**
 * tx_use_token() - take one use, in the transaction of what it is used for
 * @err: ERR_TOKEN_SPENT: used up, expired at @now, or revoked, and which; ERR_NOT_FOUND
 */
int tx_use_token(struct store_tx *tx, const char *id, int64_t now, struct error *err);

/** tx_revoke_token() - no further use; one that was revoked stays as it is. @err: ERR_NOT_FOUND */
int tx_revoke_token(struct store_tx *tx, const char *id, int64_t at, struct error *err);

/**
 * store_idempotency_find() - the record of a key, if one younger than 24 h is there
 * @asked:           body_hash is not looked at: compare it with @ret_body_hash (another body is ERR_IDEMPOTENCY_MISMATCH)
 * @ret_serial:      STORE_SERIAL_MAX octets
 * @err:             ERR_NOT_FOUND, ERR_STORE
 */
int store_idempotency_find(struct store *store, const struct idempotency *asked, int64_t now,
                           uint8_t ret_body_hash[STORE_HASH_SIZE], uint8_t *ret_serial,
                           size_t *ret_serial_size, struct error *err);
