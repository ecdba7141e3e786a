/*
 * The audit in the store: rows that are written with what they tell of, one transaction, and lie in one hash chain.
 *
 * The order in which the leader of the group commit applies writes is the order of the chain. Rows are never changed and
 * never removed.
 */
#pragma once

#include "db/store.h"
#include "lib/audit/chain.h"

#define AUDIT_PAGE_MAX 1000   /* rows a page */
#define AUDIT_CURSOR_MAX 24   /* bytes with NUL */
#define AUDIT_LOOKED_AT 20000 /* rows that a page looks at, at most: 20–30 ms */

/**
 * tx_put_audit() - append a row, inside the transaction of what it tells of
 * @err: ERR_STORE, ERR_STORE_FULL, ERR_NO_MEMORY: then what it tells of is not done either
 */
int tx_put_audit(struct store_tx *tx, const struct audit_event *event, struct error *err);

/** struct audit_head - the end of the chain: number and hash of its last row; 0 and hash 0 of the chain before there is one */
struct audit_head {
        int64_t number;
        uint8_t hash[AUDIT_HASH_SIZE];
};

/** store_audit_head() - the end of the chain as it was committed. @err: ERR_STORE */
int store_audit_head(struct store *store, struct audit_head *ret, struct error *err);

/** struct audit_filter - zero-initialised lets all pass; all that is set must hold */
struct audit_filter {
        const char *action, *principal,
                *object;      /* exact; an action that ends in ".*" is a beginning: "token.*" */
        int64_t since, until; /* at ≥ and <; 0: open */
};

/** audit_each - called for each row of a page; @row lives for the call. It must be quick: a read is open. */
typedef void (*audit_each)(const struct audit_row *row, void *data);

/**
 * store_audit_list() - a page of rows, newest first
 * @cursor: "" or NULL for the first page, then what @next said, with the same filter
 * @limit:  1 to AUDIT_PAGE_MAX
 * @next:   AUDIT_CURSOR_MAX bytes; "" after the last page
 * @err:    ERR_QUERY_INVALID with the field ("cursor", "limit"); ERR_STORE
 *
 * Work is bounded a page: a page may be short, even empty, with a next cursor. Without a filter it gives each row as it is
 * in the table, looking at nothing else: so whoever verifies the chain sees what is there.
 */
int store_audit_list(struct store *store, const struct audit_filter *filter, const char *cursor,
                     size_t limit, audit_each each, void *data, char *next, struct error *err);

/**
 * store_audit_summarise() - sum up the next whole span of rows that is not yet, so that filtered lists need not read it
 * @ret_done: whether nothing was left to do
 *
 * A write of its own, about 1 ms; for the audit's own thread, when there is time.
 */
int store_audit_summarise(struct store *store, bool *ret_done, struct error *err);
