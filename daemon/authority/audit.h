/*
 * Audit: who did what, when, from where. A row each decision, in a hash chain whose head the signer keeps in its log.
 *
 * Which call for which decision:
 *
 *      it writes to the store        tx_put_audit(tx, &event, err) in the same apply(): both or neither (db/audit.h)
 *      it writes nothing             audit_record(): queued, and written within a second; audit_record_wait(): on disk when
 *                                    it returns, for what must not be done unless it is recorded
 *      it was refused                audit_refused(), once, where the refusal is made
 *      cad did it by itself          audit_system()
 *
 * Events carry no secrets. All functions may be called from any thread; only audit_record_wait() blocks.
 */
#pragma once

#include "daemon/authority/access.h"
#include "daemon/authority/principal.h"
#include "daemon/signer/protocol.h"
#include "db/audit.h"

struct authority;

/**
 * audit_record() - have a row written soon
 * Return: 0, or -1 where too much waits already (it is counted, and said in a row later) or there is no store
 */
int audit_record(struct authority *a, const struct audit_event *event);

/** audit_record_wait() - the same, and wait until it is on disk. @err: ERR_STORE, ERR_STORE_FULL, ERR_OVERLOADED, ERR_STOPPING */
int audit_record_wait(struct authority *a, const struct audit_event *event, struct error *err);

/**
 * audit_refused() - note that somebody was refused something
 * @what: action, source, object, request_id as far as they are known; its principal and outcome are not looked at
 * @why:  only refusals count (error_kind()): a fault is no decision
 *
 * A caller that is known gets a row each, AUDIT_REFUSALS_EACH in a minute; what is more, and callers that are not known,
 * are summed up in one row a minute for each principal or address. Memory and rows are bounded, whatever comes.
 */
void audit_refused(struct authority *a, const struct principal *principal,
                   const struct audit_event *what, const struct error *why);

#define AUDIT_REFUSALS_EACH \
        30                   /* rows of its own in a minute that a known caller gets for refusals */
#define AUDIT_SOURCES_MAX 64 /* principals and addresses that are told apart in a minute */

/** audit_action() - what rows call an action of the access table: "certificate.issue"; for refusals at the gate */
const char *audit_action(enum action action);

/** audit_system() - what cad did by itself: "daemon.start", "config.reload", "signer.lost", …; texts may be NULL */
void audit_system(struct authority *a, const char *action, const char *object, const char *outcome,
                  const char *detail);

/* ---- reading ---- */

/** audit_list() - a page; needs the right to read the audit. See store_audit_list() */
int audit_list(struct authority *a, const struct principal *principal,
               const struct audit_filter *filter, const char *cursor, size_t limit, audit_each each,
               void *data, char *next, struct error *err);

/** struct audit_state - what a chain is held against */
struct audit_state {
        uint8_t begin[AUDIT_HASH_SIZE]; /* hash 0 */
        struct audit_head head;
        struct sign_anchors anchors; /* as the signer has them, oldest first */
};

/**
 * audit_state() - the end of the chain, and the anchors, asked from the signer now
 * @err: ERR_FORBIDDEN, ERR_SIGNER_UNAVAILABLE, ERR_STORE
 */
int audit_state(struct authority *a, const struct principal *principal, struct audit_state *ret,
                struct error *err);

/* ---- life: for authority.c and health.c alone ---- */

struct audit; /* opaque: queue, counts of refusals, and the thread that writes them and sets anchors */

#define AUDIT_ANCHOR_EVERY_S 60

/** audit_new() - begin, once the store is open */
int audit_new(struct authority *a, struct audit **ret, struct error *err);

/** audit_free() - write what is queued, end the thread; while the store is still open. Return: NULL */
struct audit *audit_free(struct audit *audit);

/** audit_flush() - write and anchor now what there is, and wait for that, a second at most: before the signer is ended */
void audit_flush(struct authority *a);

/** audit_signer_attached() - anchor anew: a signer came that may not know the end of the chain */
void audit_signer_attached(struct authority *a);

/** audit_set_anchor_every() - [Audit] AnchorEvery=: seconds between two anchors, 1 or more */
void audit_set_anchor_every(struct authority *a, int64_t seconds);

/** audit_health() - whether rows are written and anchored. Return: 0, or -1 with @err saying what is wrong */
int audit_health(struct authority *a, struct error *err);
