/*
 * Requests that wait for an operator, as the store keeps them. A part of db/store.h, whose rules hold here, too.
 *
 * What waits is bounded, and what was decided is forgotten after a while, so that keys without an order may be looked for here.
 */
#pragma once

#include "db/store.h"

#define STORE_REQUEST_ID_SIZE 16    /* octets: who has it may poll */
#define STORE_REQUEST_CODE_MAX 9    /* bytes with NUL: 8 characters */
#define STORE_REQUEST_CSR_MAX 16384 /* octets; RSA-4096 with 100 names is about 4 KiB */
#define STORE_REQUEST_KEPT_S \
        (30 * INT64_C(86400)) /* after it was decided on, or nobody did so in time */

enum request_status {        /* stored values; do not renumber */
        REQUEST_WAITING = 0, /* also when it has expired: that is computed from expires_at */
        REQUEST_APPROVED = 1,
        REQUEST_DENIED = 2,
        REQUEST_EXPIRED = 3, /* never stored */
        REQUEST_STATUS_COUNT,
};

/** request_status_name() - "waiting", "approved", "denied", "expired"; static */
const char *request_status_name(enum request_status status);

/** request_status_from_name() - Return: 0 or -1 */
int request_status_from_name(const char *name, enum request_status *ret);

/** struct request_row - a CSR that waits for an operator; all pointers are views, see each function for how long they live */
struct request_row {
        int64_t row_id; /* 0: not put yet */
        uint8_t id[STORE_REQUEST_ID_SIZE];
        char code[STORE_REQUEST_CODE_MAX];
        enum request_status status; /* as stored: see request_row_status() */
        const char *source;         /* who is counted for it: an address, a network, a uid */
        uint8_t wish
                [STORE_HASH_SIZE]; /* of all that is asked for: the same again is the same request */
        uint8_t spki[STORE_HASH_SIZE]; /* SHA-256 */
        const char *key;               /* "ECDSA P-256", "RSA 2048": for people */
        const char *profile;
        const char *const *names; /* as text, lower case */
        size_t name_count;
        int64_t lifetime_s;               /* asked for; 0: the profile's default */
        const char *label;                /* NULL: none */
        struct bytes csr;                 /* DER; empty once it was decided on, or has expired */
        int64_t handed_in_at, expires_at; /* seconds since the epoch */
        int64_t decided_at;               /* 0: it was not */
        const char *decided_by;           /* the principal's text; NULL: nobody yet */
        const char *reason;               /* of a denial; NULL: none was given */
        struct bytes serial;              /* of the certificate, once approved */
};

/** request_row_status() - the status at @now: one that waits expires at its expires_at */
enum request_status request_row_status(const struct request_row *row, int64_t now);

/** request_row_check_open() - whether it can still be decided on. @err: ERR_STATE_CONFLICT: what became of it, when and by whom */
int request_row_check_open(const struct request_row *row, int64_t now, struct error *err);

/** request_row_copy() - a copy that owns all it points to, in one block; NULL without memory */
struct request_row *request_row_copy(const struct request_row *row);
struct request_row *request_row_free(struct request_row *row);
CAD_CLEANUP(struct request_row, request_row_free)

/** store_get_request() - one by its id. @ret: owned by the caller. @err: ERR_NOT_FOUND; ERR_STORE */
int store_get_request(struct store *store, const uint8_t id[STORE_REQUEST_ID_SIZE],
                      struct request_row **ret, struct error *err);

/** store_find_request() - one by its code: 8 characters in upper case. @ret, @err: as before */
int store_find_request(struct store *store, const char *code, struct request_row **ret,
                       struct error *err);

/**
 * store_find_decided() - what was decided on a wish
 * @source: who asks: a denial counts for the source that was denied alone, an approval for all
 * @ret:    the newest approval, else the newest denial; owned by the caller. @err: ERR_NOT_FOUND; ERR_STORE
 */
int store_find_decided(struct store *store, const uint8_t wish[STORE_HASH_SIZE], const char *source,
                       struct request_row **ret, struct error *err);

/** store_each_request - called for each request of a page; @row lives for the call. It must be quick: a read is open. */
typedef void (*store_each_request)(const struct request_row *row, void *data);

/**
 * store_list_requests() - a page of requests, newest first
 * @status: REQUEST_STATUS_COUNT: any
 * @now:    what "waiting" and "expired" are measured by
 * @cursor: "" or NULL for the first page, then what @next said, with the same status
 * @limit:  1 to STORE_PAGE_MAX
 * @next:   STORE_CURSOR_MAX bytes; "" after the last page
 * @err:    ERR_QUERY_INVALID with the field ("cursor", "limit"); ERR_STORE
 *
 * Work is bounded a page: a page may be short, even empty, with a next cursor. The rows come without their CSRs.
 */
int store_list_requests(struct store *store, enum request_status status, int64_t now,
                        const char *cursor, size_t limit, store_each_request each, void *data,
                        char *next, struct error *err);

/* ---- handing in ---- */

/** struct request_queue - how many may wait */
struct request_queue {
        uint32_t total;
        uint32_t per_source;
};

/** struct store_put_request - hand a request in; fill in @row and @queue and submit &put.op, or store_write() it */
struct store_put_request {
        struct store_op op;
        struct request_row row; /* row_id, status and what is decided later are not looked at */
        struct request_queue queue;
        const struct audit_event *audit; /* of a new one; its object is the code. NULL: none */
        /* What came of it, to be looked at when it is done: */
        bool known; /* the same waits already: row.id, code, handed_in_at, expires_at are those of then */
        bool code_taken; /* failed with ERR_STATE_CONFLICT: another request has the code; make another id */
        char gave_way
                [STORE_REQUEST_CODE_MAX]; /* the code of the one that made room; "" where none had to */
};

/**
 * store_put_request_init() - as store_issue_init()
 *
 * The same wish of the same source, while it waits, is the same request. A full queue makes room by fair share: of the source
 * that has most in it the newest gives way (it is forgotten), but only where that source keeps as many as the new one's own
 * source then has.
 * @err (of the op): ERR_TOO_MANY_REQUESTS: the source has all it may have; ERR_OVERLOADED: the queue is full, and nobody in
 *      it has more than a fair share; ERR_STATE_CONFLICT: see code_taken
 */
void store_put_request_init(struct store_put_request *put,
                            void (*done)(struct store_op *op, const struct error *err));

/* ---- deciding ---- */

/** struct request_approval - a request becomes approved with the certificate that is put in the same transaction, or neither */
struct request_approval {
        int64_t row_id;
        char code[STORE_REQUEST_CODE_MAX];
        const char *decided_by;          /* the principal's text */
        int64_t at;                      /* seconds since the epoch */
        const struct audit_event *audit; /* NULL: none; see db/audit.h */
};

/** tx_approve_request() - @serial: of the certificate. @err: ERR_NOT_FOUND; ERR_STATE_CONFLICT where it waits no more, and why */
int tx_approve_request(struct store_tx *tx, const struct request_approval *approval,
                       struct bytes serial, struct error *err);

/** struct store_deny_request - deny a request */
struct store_deny_request {
        struct store_op op;
        int64_t row_id;
        const char *decided_by;
        const char *reason; /* NULL: none */
        int64_t at;
        const struct audit_event *audit; /* NULL: none */
};

/** store_deny_request_init() - zero it and set its functions. @err (of the op): as tx_approve_request() */
void store_deny_request_init(struct store_deny_request *deny,
                             void (*done)(struct store_op *op, const struct error *err));

/* ---- forgetting ---- */

#define STORE_REQUEST_SWEEP_STEP 64 /* rows of one sweep */

/** struct store_sweep_requests - forget some of what is due: CSRs of requests that have expired, and requests that are old */
struct store_sweep_requests {
        struct store_op op;
        int64_t now;
        int64_t swept; /* set when it is done; 0: nothing was due */
};

void store_sweep_requests_init(struct store_sweep_requests *sweep, int64_t now,
                               void (*done)(struct store_op *op, const struct error *err));
