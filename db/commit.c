/*
 * Group commit: many writes, one transaction, one fsync.
 *
 * Whoever submits and finds nobody leading leads: takes what is queued, commits, and tells each. A leader that has done
 * LEAD_ROUNDS hands the lead to the helper thread, which otherwise sleeps, so that no caller is held for long. The helper
 * also does the upkeep, when answers are given and nobody waits, or when it is overdue: indexing (indexing.c), and moving
 * the log into the database. Nobody waits here for others to come: who knows of them collects them (store_submit_list()).
 * Locks are never held over SQLite or over done().
 */
#include "db/internal.h"

#include <stdio.h>
#include <time.h>

#include "lib/base/moment.h"

#define LEAD_ROUNDS 4 /* batches that a caller commits for others before the helper takes over */
#define HELPER_STACK (256u * 1024) /* bytes */
#define PROBE_INTERVAL_MS 1000

/* ---- one batch --------------------------------------------------------------------------------------------- */

enum outcome {
        OUTCOME_COMMITTED,
        OUTCOME_FAILED, /* nothing of the batch is in */
        OUTCOME_RERUN,  /* one op failed halfway: again, each behind a savepoint */
};

static int writer_ready(struct committer *k, struct error *err) {
        if (k->writer.broken) {
                sql_done(&k->writer); /* a failed fsync is final for a connection */
                k->audit.known = false;
        }
        return k->writer.db ? 0 : sql_open(&k->writer, k->path, SQL_WRITER, err);
}

/* The transaction is gone, or what runs it is. */
static bool transaction_lost(const struct sql_connection *c) {
        return c->broken || sqlite3_get_autocommit(c->db);
}

static enum outcome savepoint(struct store_tx *tx, enum statement which, bool guarded,
                              struct error *err) {
        if (guarded && sql_simple(tx->c, which, "cannot write to " STORE_FILE, err) < 0)
                return OUTCOME_FAILED;
        return OUTCOME_COMMITTED;
}

/* One op. Its own refusal stays with it, in op->failure, and does not touch the others. */
static enum outcome run_op(struct store_tx *tx, struct store_op *op, bool guarded,
                           struct error *err) {
        struct store_counters before = tx->more;
        struct chain_end chain_before = tx->audit;
        sqlite3_int64 changes = sqlite3_total_changes64(tx->c->db);

        op->failure = (struct error){ 0 };
        if (savepoint(tx, STATEMENT_SAVEPOINT, guarded, err) == OUTCOME_FAILED)
                return OUTCOME_FAILED;
        if (op->apply(tx, op, &op->failure) == 0)
                return savepoint(tx, STATEMENT_RELEASE, guarded, err);

        if (op->failure.code == ERR_NONE)
                (void) error_set(&op->failure, ERR_INTERNAL, "a write failed without saying why");
        tx->more = before;
        tx->audit = chain_before;
        tx->next_id = 0;
        tx->issuer = tx->profile = (struct word){ 0 };
        if (transaction_lost(tx->c)) {
                *err = op->failure;
                return OUTCOME_FAILED;
        }
        if (guarded) {
                if (savepoint(tx, STATEMENT_ROLLBACK_TO, true, err) == OUTCOME_FAILED)
                        return OUTCOME_FAILED;
                return savepoint(tx, STATEMENT_RELEASE, true, err);
        }
        /* Most refusals come before anything was written: then there is nothing to undo. */
        return sqlite3_total_changes64(tx->c->db) == changes ? OUTCOME_COMMITTED : OUTCOME_RERUN;
}

static bool counters_changed(const struct store_counters *more) {
        return more->revoked || more->held;
}

static enum outcome run_ops(struct store_tx *tx, struct store_op *batch, bool guarded,
                            struct error *err) {
        for (struct store_op *op = batch; op; op = op->next) {
                enum outcome outcome = run_op(tx, op, guarded, err);

                if (outcome != OUTCOME_COMMITTED)
                        return outcome;
        }
        if (counters_changed(&tx->more) && counters_add(tx->c, &tx->more, err) < 0)
                return OUTCOME_FAILED;
        if (tx->audit.changed && audit_write_head(tx, err) < 0)
                return OUTCOME_FAILED;
        if (sql_simple(tx->c, STATEMENT_COMMIT, "cannot commit to " STORE_FILE, err) < 0)
                return OUTCOME_FAILED;
        return OUTCOME_COMMITTED;
}

static enum outcome run_transaction(struct committer *k, struct store_op *batch, bool guarded,
                                    bool *ret_wrote, struct error *err) {
        struct store_tx tx = { .c = &k->writer, .committer = k };
        sqlite3_int64 changes;
        enum outcome outcome;

        if (writer_ready(k, err) < 0)
                return OUTCOME_FAILED;
        changes = sqlite3_total_changes64(k->writer.db);
        tx.audit = k->audit;
        if (sql_simple(&k->writer, STATEMENT_BEGIN, "cannot begin to write to " STORE_FILE, err) <
            0)
                return OUTCOME_FAILED;
        outcome = run_ops(&tx, batch, guarded, err);
        if (outcome != OUTCOME_COMMITTED && !sqlite3_get_autocommit(k->writer.db) &&
            sql_simple(&k->writer, STATEMENT_ROLLBACK, "cannot roll back", /* err= */ NULL) < 0)
                k->writer.broken = true;
        *ret_wrote = sqlite3_total_changes64(k->writer.db) != changes;
        if (outcome == OUTCOME_COMMITTED) {
                k->unindexed += tx.more.issued;
                k->audit = tx.audit;
                k->audit.changed = false;
        }
        if (outcome == OUTCOME_COMMITTED && tx.revoked && k->revoked)
                k->revoked(k->revoked_context);
        return outcome;
}

static void note_health(struct committer *k, enum outcome outcome, bool wrote,
                        const struct error *failure) {
        (void) pthread_mutex_lock(&k->lock);
        if (outcome == OUTCOME_FAILED) {
                k->failed = true;
                k->failure = *failure;
        } else if (wrote) {
                k->failed = false;
        }
        (void) pthread_mutex_unlock(&k->lock);
}

static uint64_t monotonic_us(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}

static void count_batch(struct committer *k, const struct store_op *batch, enum outcome outcome,
                        uint64_t took_us) {
        uint64_t ops = 0;

        for (; batch; batch = batch->next)
                ops++;
        atomic_fetch_add_explicit(outcome == OUTCOME_COMMITTED ? &k->commits : &k->failures, 1,
                                  memory_order_relaxed);
        atomic_fetch_add_explicit(&k->writes, ops, memory_order_relaxed);
        atomic_fetch_add_explicit(&k->busy_us, took_us, memory_order_relaxed);
}

static void run_batch(struct committer *k, struct store_op *batch) {
        struct error failure = { 0 };
        bool wrote = false;
        uint64_t began_us = monotonic_us();
        enum outcome outcome = run_transaction(k, batch, /* guarded= */ false, &wrote, &failure);

        if (outcome == OUTCOME_RERUN)
                outcome = run_transaction(k, batch, /* guarded= */ true, &wrote, &failure);
        count_batch(k, batch, outcome, monotonic_us() - began_us);
        note_health(k, outcome, wrote, &failure);
        while (batch) {
                struct store_op *op = batch;

                batch = op->next; /* done() may free it */
                op->next = NULL;
                if (outcome == OUTCOME_FAILED)
                        op->done(op, &failure);
                else
                        op->done(op, op->failure.code ? &op->failure : NULL);
        }
}

/* ---- upkeep ------------------------------------------------------------------------------------------------ */

/* With the lead. */
static bool upkeep_due(const struct committer *k, int64_t rows, int pages) {
        return (k->unindexed >= rows || k->writer.log_pages - k->writer.log_moved >= pages) &&
                moment_monotonic_ms() >= k->rest_until_ms;
}

/* With the lock, and the lead. */
static bool upkeep_wanted(const struct committer *k) {
        if (k->queued > 0)
                return upkeep_due(k, STORE_INDEX_OVERDUE, STORE_LOG_OVERDUE);
        return upkeep_due(k, STORE_INDEX_STEP, STORE_LOG_DUE);
}

static int index_some(struct committer *k, struct error *err) {
        int64_t rows = 0;
        bool last = false;

        if (index_step(&k->writer, STORE_INDEX_STEP, &rows, &last, err) < 0)
                return -1;
        k->unindexed = last || rows > k->unindexed ? 0 : k->unindexed - rows;
        return 0;
}

/* What readers still need stays in the log, and is moved another time. */
static int empty_log(struct committer *k, struct error *err) {
        int rc = sqlite3_wal_checkpoint_v2(k->writer.db, "main", SQLITE_CHECKPOINT_PASSIVE,
                                           /* pnLog= */ NULL, /* pnCkpt= */ NULL);

        k->writer.log_moved = k->writer.log_pages;
        if (rc == SQLITE_OK || (rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED)
                return 0;
        return sql_error(&k->writer, rc, "cannot write to " STORE_FILE, err);
}

/* With the lead: one piece of it, some ms at most. */
static void run_upkeep(struct committer *k) {
        struct error failure = { 0 };
        int rc = writer_ready(k, &failure);

        if (rc == 0 && k->unindexed >= STORE_INDEX_STEP)
                rc = index_some(k, &failure);
        else if (rc == 0)
                rc = empty_log(k, &failure);
        if (rc < 0)
                k->rest_until_ms = moment_monotonic_ms() + PROBE_INTERVAL_MS;
        (void) pthread_mutex_lock(&k->lock);
        k->upkeep_failed = rc < 0;
        k->upkeep_failure = failure;
        (void) pthread_mutex_unlock(&k->lock);
}

/* ---- the queue and its leader ------------------------------------------------------------------------------ */

/* With the lock: the oldest ops, a batch at most. */
static struct store_op *take_batch(struct committer *k) {
        struct store_op *batch = k->first, **end = &batch;
        size_t n = 0;

        while (*end && n < STORE_BATCH_MAX) {
                end = &(*end)->next;
                n++;
        }
        k->first = *end;
        *end = NULL;
        if (!k->first)
                k->last = &k->first;
        k->queued -= n;
        return batch;
}

/* With the lock, and the lead. */
static void lead_batch(struct committer *k) {
        struct store_op *batch = take_batch(k);

        (void) pthread_mutex_unlock(&k->lock);
        run_batch(k, batch);
        (void) pthread_mutex_lock(&k->lock);
}

/* With the lock, and the lead: commit what is queued. The lead ends here or goes to the helper. */
static void lead(struct committer *k, unsigned rounds) {
        while (k->queued > 0 && rounds-- > 0 &&
               !upkeep_due(k, STORE_INDEX_OVERDUE, STORE_LOG_OVERDUE))
                lead_batch(k);
        if (k->queued > 0 || upkeep_wanted(k)) {
                k->relayed = true; /* still leading: the lead itself is handed over */
                (void) pthread_cond_signal(&k->relay);
        } else {
                k->leading = false;
                (void) pthread_cond_broadcast(&k->idle);
        }
}

/* The same, on the helper, which does the upkeep too. */
static void lead_on(struct committer *k) {
        bool upkeep;

        while ((upkeep = upkeep_wanted(k)) || k->queued > 0) {
                if (!upkeep) {
                        lead_batch(k);
                        continue;
                }
                (void) pthread_mutex_unlock(&k->lock);
                run_upkeep(k);
                (void) pthread_mutex_lock(&k->lock);
        }
        k->leading = false;
        (void) pthread_cond_broadcast(&k->idle);
}

static void *helper_main(void *data) {
        struct committer *k = data;

        (void) pthread_mutex_lock(&k->lock);
        for (;;) {
                while (!k->relayed && !k->stopping)
                        (void) pthread_cond_wait(&k->relay, &k->lock);
                if (!k->relayed)
                        break;
                k->relayed = false;
                lead_on(k);
        }
        (void) pthread_mutex_unlock(&k->lock);
        return NULL;
}

/* With the lock. */
static int enqueue(struct committer *k, struct store_op *op, struct error *err) {
        if (k->stopping)
                return error_set(err, ERR_STOPPING, "the store is being closed");
        if (k->queued >= STORE_QUEUE_MAX)
                return error_set(err, ERR_OVERLOADED,
                                 "%zu writes are waiting for the disk: try again later", k->queued);
        op->next = NULL;
        *k->last = op;
        k->last = &op->next;
        k->queued++;
        return 0;
}

int store_submit(struct store *store, struct store_op *op, struct error *err) {
        struct committer *k = &store->committer;
        int rc;

        (void) pthread_mutex_lock(&k->lock);
        rc = enqueue(k, op, err);
        if (rc == 0 && !k->leading) {
                k->leading = true;
                lead(k, LEAD_ROUNDS);
        }
        (void) pthread_mutex_unlock(&k->lock);
        return rc;
}

void store_submit_list(struct store *store, struct store_op *ops) {
        struct committer *k = &store->committer;
        struct store_op *refused = NULL;
        struct error err = { 0 };

        (void) pthread_mutex_lock(&k->lock);
        while (ops) {
                struct store_op *op = ops;

                ops = op->next;
                if (enqueue(k, op, &err) < 0) {
                        op->next = refused;
                        refused = op;
                }
        }
        if (k->queued > 0 && !k->leading) {
                k->leading = true;
                lead(k, LEAD_ROUNDS);
        }
        (void) pthread_mutex_unlock(&k->lock);
        while (refused) {
                struct store_op *op = refused;

                refused = op->next;
                op->done(op, &err);
        }
}

/* ---- waiting for it ---------------------------------------------------------------------------------------- */

struct waiting_op {
        struct store_op op;
        struct store_op *inner;
        pthread_mutex_t lock;
        pthread_cond_t finished;
        bool is_finished;
        struct error failure;
};

static int waiting_apply(struct store_tx *tx, struct store_op *op, struct error *err) {
        struct waiting_op *w = (struct waiting_op *) op;

        return w->inner->apply(tx, w->inner, err);
}

static void waiting_done(struct store_op *op, const struct error *err) {
        struct waiting_op *w = (struct waiting_op *) op;

        (void) pthread_mutex_lock(&w->lock);
        if (err)
                w->failure = *err;
        w->is_finished = true;
        (void) pthread_cond_signal(&w->finished);
        (void) pthread_mutex_unlock(&w->lock);
}

int store_write(struct store *store, struct store_op *op, struct error *err) {
        struct waiting_op w = {
                .op = { .apply = waiting_apply, .done = waiting_done },
                .inner = op,
                .lock = PTHREAD_MUTEX_INITIALIZER,
                .finished = PTHREAD_COND_INITIALIZER,
        };

        if (store_submit(store, &w.op, err) < 0)
                return -1;
        (void) pthread_mutex_lock(&w.lock);
        while (!w.is_finished)
                (void) pthread_cond_wait(&w.finished, &w.lock);
        (void) pthread_mutex_unlock(&w.lock);
        (void) pthread_cond_destroy(&w.finished);
        (void) pthread_mutex_destroy(&w.lock);
        if (w.failure.code == ERR_NONE)
                return 0;
        if (err)
                *err = w.failure;
        return -1;
}

/* ---- health ------------------------------------------------------------------------------------------------ */

static int probe_apply(struct store_tx *tx, struct store_op *op, struct error *err) {
        (void) op;
        return sql_simple(tx->c, STATEMENT_PROBE, "cannot write to " STORE_FILE, err);
}

int store_health(struct store *store, struct error *err) {
        struct committer *k = &store->committer;
        struct store_op probe = { .apply = probe_apply };
        struct error failure;
        bool failed, upkeep_only, due;

        (void) pthread_mutex_lock(&k->lock);
        failed = k->failed || k->upkeep_failed;
        due = failed && moment_monotonic_ms() >= k->probed_at_ms + PROBE_INTERVAL_MS;
        if (due)
                k->probed_at_ms = moment_monotonic_ms();
        failure = k->failed ? k->failure : k->upkeep_failure;
        upkeep_only = !k->failed;
        (void) pthread_mutex_unlock(&k->lock);

        if (!failed)
                return 0;
        if (due && store_write(store, &probe, err) < 0)
                return -1;
        if (due && !upkeep_only)
                return 0;
        if (err)
                *err = failure;
        return -1;
}

/* ---- life -------------------------------------------------------------------------------------------------- */

static int start_helper(struct committer *k, struct error *err) {
        pthread_attr_t attr;
        int rc;

        (void) pthread_attr_init(&attr);
        (void) pthread_attr_setstacksize(&attr, HELPER_STACK);
        rc = pthread_create(&k->helper, &attr, helper_main, k);
        (void) pthread_attr_destroy(&attr);
        return rc ? error_errno(err, rc, "cannot start the store's thread") : 0;
}

static void destroy_locks(struct committer *k) {
        (void) pthread_cond_destroy(&k->idle);
        (void) pthread_cond_destroy(&k->relay);
        (void) pthread_mutex_destroy(&k->lock);
}

/* What a run before this one left. */
static int count_unindexed(struct committer *k, struct error *err) {
        int64_t last = 0, indexed = 0;

        if (last_id(&k->writer, &last, err) < 0 || indexed_read(&k->writer, &indexed, err) < 0)
                return -1;
        k->unindexed = last - indexed;
        k->leading = k->relayed = upkeep_wanted(k); /* the helper begins with it */
        return 0;
}

/* Nearly every CA has no such key, and then no issuance needs to look for one. */
static int look_for_compromised(struct committer *k, struct error *err) {
        int64_t any;

        if (sql_number(&k->writer, "SELECT EXISTS (SELECT 1 FROM compromised_keys)", &any, err) < 0)
                return -1;
        atomic_store(&k->any_compromised, any != 0);
        return 0;
}

int committer_init(struct committer *k, const char *path, struct error *err) {
        if (sql_open(&k->writer, path, SQL_WRITER, err) < 0)
                return -1;
        if (count_unindexed(k, err) < 0 || look_for_compromised(k, err) < 0) {
                sql_done(&k->writer);
                return -1;
        }
        (void) pthread_mutex_init(&k->lock, NULL);
        (void) pthread_cond_init(&k->relay, NULL);
        (void) pthread_cond_init(&k->idle, NULL);
        k->last = &k->first;
        k->path = path;
        if (start_helper(k, err) < 0) {
                k->path = NULL;
                sql_done(&k->writer);
                destroy_locks(k);
                return -1;
        }
        return 0;
}

void committer_stop(struct committer *k) {
        if (!k->path)
                return; /* never came to life */
        (void) pthread_mutex_lock(&k->lock);
        k->stopping = true;
        while (k->leading)
                (void) pthread_cond_wait(&k->idle, &k->lock);
        (void) pthread_cond_signal(&k->relay);
        (void) pthread_mutex_unlock(&k->lock);
        (void) pthread_join(k->helper, NULL);
}

void committer_done(struct committer *k) {
        if (!k->path)
                return;
        sql_done(&k->writer);
        destroy_locks(k);
        k->path = NULL;
}

struct store_commits store_commits(const struct store *store) {
        struct committer *k = &((struct store *) (uintptr_t) store)->committer;

        return (struct store_commits){ .commits = atomic_load(&k->commits),
                                       .failures = atomic_load(&k->failures),
                                       .writes = atomic_load(&k->writes),
                                       .busy_us = atomic_load(&k->busy_us) };
}
