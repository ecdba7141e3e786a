/*
 * Group commit: batches, one bad op among good ones, the leader and its helper, a full disk and a failing fsync and how
 * both heal, and that kill -9 loses nothing that was acknowledged. Runs under ThreadSanitizer too.
 */
#include "tests/unit/store-fixture.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>

/* ---- a disk that fails when told to ------------------------------------------------------------------------ */

static _Atomic int write_error, sync_error; /* errno of the next calls; 0: they work */
static _Atomic int sync_count;
static _Atomic int sync_takes_ms; /* what the disk takes for one */

static _Atomic int writes_left = -1; /* until writes fail, or the process dies; -1: they do not */
static bool die_on_write;

static void pause_ms(long ms) {
        (void) nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL);
}

/* Whether this write works; else errno says why not. */
static bool disk_takes_it(void) {
        if (writes_left == 0 && die_on_write)
                (void) kill(getpid(), SIGKILL);
        errno = writes_left == 0 ? ENOSPC : write_error;
        if (writes_left > 0)
                writes_left--;
        return errno == 0;
}

static ssize_t failing_write(int fd, const void *data, size_t size) {
        return disk_takes_it() ? write(fd, data, size) : -1;
}

static ssize_t failing_pwrite(int fd, const void *data, size_t size, off_t at) {
        return disk_takes_it() ? pwrite(fd, data, size, at) : -1;
}

static void break_disk_on_demand(void) {
        sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

        (void) vfs->xSetSystemCall(vfs, "write", (sqlite3_syscall_ptr) failing_write);
        (void) vfs->xSetSystemCall(vfs, "pwrite", (sqlite3_syscall_ptr) failing_pwrite);
        (void) vfs->xSetSystemCall(vfs, "pwrite64", (sqlite3_syscall_ptr) failing_pwrite);
}

/* SQLite has no hook for these; the program's own come before libc's. */
int fdatasync(int fd) {
        (void) fd;
        sync_count++;
        if (sync_takes_ms)
                pause_ms(sync_takes_ms);
        if (sync_error) {
                errno = sync_error;
                return -1;
        }
        return 0;
}

int fsync(int fd) {
        return fdatasync(fd);
}

static void commit_setup(void) {
        write_error = 0;
        sync_error = 0;
        sync_takes_ms = 0;
        break_disk_on_demand();
        fixture_setup();
}

/* ---- ops that say what happened to them ------------------------------------------------------------------- */

struct put {
        struct store_op op;
        uint64_t n;
        _Atomic int done_count;
        enum error_code code;
        pthread_t done_on;
        bool spoil;           /* fail after writing */
        _Atomic int *entered; /* NULL, or set when apply() runs … */
        _Atomic int *proceed; /* … which then waits for this */
        struct put *then;     /* submitted by done() */
};

static int put_apply(struct store_tx *tx, struct store_op *op, struct error *err) {
        struct put *put = (struct put *) op;
        struct made m;

        if (put->entered)
                *put->entered = 1;
        while (put->proceed && !*put->proceed)
                pause_ms(1);
        if (tx_put_certificate(tx, make(&m, put->n), err) < 0)
                return -1;
        return put->spoil ? error_set(err, ERR_FORBIDDEN, "spoilt") : 0;
}

static void put_done(struct store_op *op, const struct error *err) {
        struct put *put = (struct put *) op;
        struct put *then = put->then;

        put->code = err ? err->code : ERR_NONE;
        put->done_on = pthread_self();
        put->done_count++;
        if (then)
                ck_assert_int_eq(store_submit(fixture_store, &then->op, NULL), 0);
}

static void put_init(struct put *put, uint64_t n) {
        memset(put, 0, sizeof(*put));
        put->op.apply = put_apply;
        put->op.done = put_done;
        put->n = n;
}

static void wait_done(struct put *put) {
        for (int i = 0; i < 10000 && !put->done_count; i++)
                pause_ms(1);
        ck_assert_int_eq(put->done_count, 1);
}

static int put_one(uint64_t n, struct error *err) {
        struct put put;

        put_init(&put, n);
        return store_write(fixture_store, &put.op, err);
}

static bool is_there(uint64_t n) {
        CAD_AUTO(cert_row_free) struct cert_row *row = NULL;
        struct error err = { 0 };
        struct made m;

        if (store_get_certificate(fixture_store, make(&m, n)->serial, &row, &err) == 0)
                return true;
        ck_assert_msg(err.code == ERR_NOT_FOUND, "%s", err.text);
        return false;
}

static void count_found(const struct cert_row *row, void *data) {
        (void) row;
        (*(unsigned *) data)++;
}

/* How often certificate @n comes by its first name and by its fingerprint, the more of both. */
static unsigned times_found(uint64_t n) {
        struct cert_filter by_name = { .status = CERT_FILTER_ANY }, by_hash = by_name;
        char next[STORE_CURSOR_MAX];
        unsigned named = 0, hashed = 0;
        struct error err = { 0 };
        struct made m;

        make(&m, n);
        by_name.name = m.text[0];
        by_hash.fingerprint = m.row.fingerprint;
        ck_ok(store_list(fixture_store, &by_name, "", 10, count_found, &named, next, &err), err);
        ck_ok(store_list(fixture_store, &by_hash, "", 10, count_found, &hashed, next, &err), err);
        ck_assert_uint_eq(named, hashed);
        return named;
}

/** struct blocked - a leader that is held inside its first batch, so that a queue builds up behind it */
struct blocked {
        struct put put;
        _Atomic int entered, proceed;
        pthread_t thread;
};

static void *blocked_main(void *data) {
        struct blocked *b = data;

        ck_assert_int_eq(store_submit(fixture_store, &b->put.op, NULL), 0);
        return NULL;
}

static void block_leader(struct blocked *b, uint64_t n) {
        put_init(&b->put, n);
        b->entered = b->proceed = 0;
        b->put.entered = &b->entered;
        b->put.proceed = &b->proceed;
        ck_assert_int_eq(pthread_create(&b->thread, NULL, blocked_main, b), 0);
        while (!b->entered)
                pause_ms(1);
}

static void unblock_leader(struct blocked *b) {
        b->proceed = 1;
        ck_assert_int_eq(pthread_join(b->thread, NULL), 0);
}

/* ---- batches ----------------------------------------------------------------------------------------------- */

START_TEST(a_lone_caller_commits_on_its_own_thread_with_one_fsync) {
        struct put put;
        int before;

        ck_assert_int_eq(put_one(1, NULL), 0); /* the log is there, its folder is synced */
        put_init(&put, 2);
        before = sync_count;
        ck_assert_int_eq(store_submit(fixture_store, &put.op, NULL), 0);
        ck_assert_int_eq(put.done_count, 1);
        ck_assert(pthread_equal(put.done_on, pthread_self()));
        ck_assert_int_eq(sync_count - before, 1);
}
END_TEST

START_TEST(what_waits_together_is_one_transaction) {
        static struct put puts[STORE_BATCH_MAX];
        struct blocked b;
        int before;

        ck_assert_int_eq(put_one(100000, NULL), 0);
        block_leader(&b, 0);
        for (size_t i = 0; i < ARRAY_SIZE(puts); i++) {
                put_init(&puts[i], 1 + i);
                ck_assert_int_eq(store_submit(fixture_store, &puts[i].op, NULL), 0);
                ck_assert_int_eq(puts[i].done_count, 0);
        }
        before = sync_count;
        unblock_leader(&b);
        for (size_t i = 0; i < ARRAY_SIZE(puts); i++) {
                wait_done(&puts[i]);
                ck_assert_int_eq(puts[i].code, ERR_NONE);
                ck_assert(is_there(1 + i));
        }
        ck_assert_int_eq(sync_count - before, 2); /* the held one, the batch */
}
END_TEST

static void spoilt_among_good(bool serial_twice) {
        struct store_counters counters = { 0 };
        struct put puts[9];
        struct error err = { 0 };
        struct blocked b;

        block_leader(&b, 100);
        for (size_t i = 0; i < ARRAY_SIZE(puts); i++) {
                put_init(&puts[i], i == 4 && serial_twice ? 100 : i);
                puts[i].spoil = i == 4 && !serial_twice;
                ck_assert_int_eq(store_submit(fixture_store, &puts[i].op, NULL), 0);
        }
        unblock_leader(&b);
        for (size_t i = 0; i < ARRAY_SIZE(puts); i++) {
                wait_done(&puts[i]);
                ck_assert_int_eq(puts[i].code,
                                 i != 4                 ? ERR_NONE
                                         : serial_twice ? ERR_STATE_CONFLICT
                                                        : ERR_FORBIDDEN);
                ck_assert_int_eq(is_there(i), i != 4);
        }
        ck_ok(store_counters(fixture_store, &counters, &err), err);
        ck_assert_int_eq(counters.issued, 9);
        ck_ok(store_health(fixture_store, &err), err);
}

START_TEST(an_op_that_fails_after_writing_takes_nobody_along) {
        spoilt_among_good(false);
}
END_TEST

START_TEST(an_op_that_is_refused_takes_nobody_along) {
        spoilt_among_good(true);
}
END_TEST

START_TEST(the_lead_passes_to_the_helper_and_the_caller_goes_free) {
        static struct put puts[60];

        for (size_t i = 0; i < ARRAY_SIZE(puts); i++) {
                put_init(&puts[i], i);
                puts[i].then = i + 1 < ARRAY_SIZE(puts) ? &puts[i + 1] : NULL;
        }
        ck_assert_int_eq(store_submit(fixture_store, &puts[0].op, NULL), 0);
        wait_done(&puts[ARRAY_SIZE(puts) - 1]);
        ck_assert(pthread_equal(puts[0].done_on, pthread_self()));
        ck_assert_msg(!pthread_equal(puts[ARRAY_SIZE(puts) - 1].done_on, pthread_self()),
                      "the caller led to the end");
        for (size_t i = 0; i < ARRAY_SIZE(puts); i++)
                ck_assert_int_eq(puts[i].done_count, 1);
        /* and after that a lone caller leads again */
        put_init(&puts[0], 1000);
        for (int i = 0; i < 1000 && fixture_store->committer.queued; i++)
                pause_ms(1);
        ck_assert_int_eq(store_write(fixture_store, &puts[0].op, NULL), 0);
}
END_TEST

/* Hand over @count as one list, in their order. */
static void submit_list(struct put *puts, size_t count) {
        for (size_t i = 0; i + 1 < count; i++)
                puts[i].op.next = &puts[i + 1].op;
        store_submit_list(fixture_store, &puts[0].op);
}

START_TEST(a_list_is_one_transaction_on_the_thread_of_who_hands_it_over) {
        struct put puts[40];
        int before;

        ck_assert_int_eq(put_one(100, NULL), 0);
        for (size_t i = 0; i < ARRAY_SIZE(puts); i++)
                put_init(&puts[i], i == 7 ? 0 : i); /* a serial that is there is refused alone */
        before = sync_count;
        submit_list(puts, ARRAY_SIZE(puts));
        for (size_t i = 0; i < ARRAY_SIZE(puts); i++) {
                ck_assert_int_eq(puts[i].done_count, 1);
                ck_assert(pthread_equal(puts[i].done_on, pthread_self()));
                ck_assert_int_eq(puts[i].code, i == 7 ? ERR_STATE_CONFLICT : ERR_NONE);
                ck_assert_int_eq(is_there(i), i != 7);
        }
        ck_assert_int_eq(sync_count - before, 1);
}
END_TEST

START_TEST(of_a_list_what_finds_no_room_is_told_and_the_rest_is_written) {
        static struct put puts[STORE_QUEUE_MAX + 3];
        struct blocked b;

        block_leader(&b, 100000);
        for (size_t i = 0; i < ARRAY_SIZE(puts); i++)
                put_init(&puts[i], i);
        submit_list(puts, ARRAY_SIZE(puts));
        for (size_t i = 0; i < ARRAY_SIZE(puts); i++)
                ck_assert_int_eq(puts[i].done_count, i >= STORE_QUEUE_MAX);
        unblock_leader(&b);
        for (size_t i = 0; i < ARRAY_SIZE(puts); i++) {
                wait_done(&puts[i]);
                ck_assert_int_eq(puts[i].code, i < STORE_QUEUE_MAX ? ERR_NONE : ERR_OVERLOADED);
                ck_assert_int_eq(is_there(i), i < STORE_QUEUE_MAX);
        }
}
END_TEST

START_TEST(a_full_queue_is_said_and_what_was_taken_is_written) {
        static struct put puts[STORE_QUEUE_MAX + 1];
        struct error err = { 0 };
        struct blocked b;

        block_leader(&b, 100000);
        for (size_t i = 0; i < STORE_QUEUE_MAX; i++) {
                put_init(&puts[i], i);
                ck_assert_int_eq(store_submit(fixture_store, &puts[i].op, NULL), 0);
        }
        put_init(&puts[STORE_QUEUE_MAX], STORE_QUEUE_MAX);
        ck_refused(store_submit(fixture_store, &puts[STORE_QUEUE_MAX].op, &err), err,
                   ERR_OVERLOADED);
        ck_assert_int_eq(puts[STORE_QUEUE_MAX].done_count, 0);
        unblock_leader(&b);
        for (size_t i = 0; i < STORE_QUEUE_MAX; i++) {
                wait_done(&puts[i]);
                ck_assert_int_eq(puts[i].code, ERR_NONE);
        }
}
END_TEST

static void *late_main(void *data) {
        struct put *put = data;

        ck_assert_int_eq(store_submit(fixture_store, &put->op, NULL), 0);
        return NULL;
}

START_TEST(closing_writes_what_is_queued) {
        static struct put puts[40];
        struct blocked b;
        pthread_t late;

        block_leader(&b, 1000);
        for (size_t i = 0; i < ARRAY_SIZE(puts); i++) {
                put_init(&puts[i], i);
                ck_assert_int_eq(pthread_create(&late, NULL, late_main, &puts[i]), 0);
                ck_assert_int_eq(pthread_join(late, NULL), 0);
        }
        b.proceed = 1;
        fixture_store = store_close(fixture_store);
        ck_assert_int_eq(pthread_join(b.thread, NULL), 0);
        fixture_open();
        for (size_t i = 0; i < ARRAY_SIZE(puts); i++) {
                ck_assert_int_eq(puts[i].done_count, 1);
                ck_assert(is_there(i));
        }
}
END_TEST

#define THREADS 8
#define PER_THREAD 150

static void *crowd_main(void *data) {
        uint64_t base = *(uint64_t *) data;

        for (uint64_t i = 0; i < PER_THREAD; i++) {
                struct error err = { 0 };

                if (i % 10 == 9) {
                        ck_assert(is_there(base + i - 1));
                        continue;
                }
                ck_ok(put_one(base + i, &err), err);
                if (i % 16 == 3)
                        ck_ok(revoke_one(base + i, REASON_KEY_COMPROMISE, 1500, &err), err);
                if (i % 8 == 5)
                        ck_assert_uint_eq(times_found(base + i), 1);
        }
        return NULL;
}

START_TEST(a_crowd_of_threads_gets_every_write_in_and_shares_commits) {
        uint64_t bases[THREADS];
        pthread_t threads[THREADS];
        struct store_counters counters = { 0 };
        struct error err = { 0 };
        int before = sync_count;

        sync_takes_ms = 1; /* the others come meanwhile, on one processor too */
        for (size_t i = 0; i < THREADS; i++) {
                bases[i] = 1000 * (i + 1);
                ck_assert_int_eq(pthread_create(&threads[i], NULL, crowd_main, &bases[i]), 0);
        }
        for (size_t i = 0; i < THREADS; i++)
                ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_ok(store_counters(fixture_store, &counters, &err), err);
        ck_assert_int_eq(counters.issued, THREADS * (PER_THREAD - PER_THREAD / 10));
        ck_assert_int_gt(counters.revoked, 0);
        ck_assert_int_lt(sync_count - before, (counters.issued + counters.revoked) / 2);
}
END_TEST

/* ---- faults ------------------------------------------------------------------------------------------------ */

static const struct {
        const char *why;
        int write_error, sync_error;
        enum error_code code;
} faults[] = {
        { "no room", ENOSPC, 0, ERR_STORE_FULL },
        { "a quota", EDQUOT, 0, ERR_STORE_FULL },
        { "a write fails", EIO, 0, ERR_STORE },
        { "a read-only file system", EROFS, 0, ERR_STORE },
        { "an fsync fails", 0, EIO, ERR_STORE },
        { "an fsync finds no room", 0, ENOSPC, ERR_STORE_FULL },
};

START_TEST(a_disk_that_fails_is_said_reads_go_on_and_it_heals_by_itself) {
        struct store_counters counters = { 0 };
        struct error err = { 0 };

        for (uint64_t n = 0; n < 10; n++)
                ck_ok(put_one(n, &err), err);
        write_error = faults[_i].write_error;
        sync_error = faults[_i].sync_error;
        for (uint64_t n = 10; n < 13; n++) {
                ck_refused(put_one(n, &err), err, faults[_i].code);
                ck_assert_msg(is_there(5) && !is_there(n), "%s", faults[_i].why);
        }
        ck_refused(store_health(fixture_store, &err), err, faults[_i].code);
        ck_refused(store_health(fixture_store, &err), err,
                   faults[_i].code); /* without another try */

        write_error = 0;
        sync_error = 0;
        for (uint64_t n = 10; n < 20; n++)
                ck_ok(put_one(n, &err), err);
        ck_ok(store_health(fixture_store, &err), err);
        fixture_reopen();
        for (uint64_t n = 0; n < 20; n++)
                ck_assert_msg(is_there(n), "%s: %llu is gone", faults[_i].why,
                              (unsigned long long) n);
        ck_ok(store_counters(fixture_store, &counters, &err), err);
        ck_assert_int_eq(counters.issued, 20);
}
END_TEST

START_TEST(health_heals_without_traffic) {
        struct error err = { 0 };

        write_error = ENOSPC;
        ck_refused(put_one(1, &err), err, ERR_STORE_FULL);
        ck_refused(store_health(fixture_store, &err), err, ERR_STORE_FULL);
        write_error = 0;
        pause_ms(1100);
        ck_ok(store_health(fixture_store, &err), err);
        ck_ok(store_health(fixture_store, &err), err);
}
END_TEST

static void break_the_disk(struct store_op *op, const struct error *err) {
        (void) op;
        ck_assert_ptr_null(err);
        write_error = ENOSPC;
}

START_TEST(indexing_that_fails_is_said_takes_nobody_along_and_heals) {
        struct put last;
        struct error err = { 0 };

        put_many(0, STORE_INDEX_STEP - 1, 0);
        put_init(&last, 1000);
        last.op.done = break_the_disk; /* after its commit, before the indexing that it makes due */
        ck_assert_int_eq(store_submit(fixture_store, &last.op, NULL), 0);
        (void) fixture_quiet();
        ck_refused(store_health(fixture_store, &err), err, ERR_STORE_FULL);
        ck_assert(is_there(1000) && is_there(0));
        write_error = 0;
        ck_assert_int_eq(fixture_number("SELECT indexed FROM counters"), 0);
        ck_assert_int_eq(fixture_number("SELECT count(*) FROM lookups"), 0);
        pause_ms(1100);
        (void) store_health(fixture_store, &err); /* tries; by then it is done or will be */
        (void) fixture_quiet();
        ck_ok(store_health(fixture_store, &err), err);
        ck_assert_int_ge(fixture_number("SELECT indexed FROM counters"), STORE_INDEX_STEP);
}
END_TEST

START_TEST(the_log_is_moved_into_the_database_and_does_not_grow) {
        struct stat st;

        for (uint64_t n = 0; n < 60; n++)
                put_many(n * STORE_BATCH_MAX, STORE_BATCH_MAX,
                         0); /* far more pages than it may have */
        (void) fixture_quiet();
        ck_assert_int_eq(fstatat(fixture_fd, STORE_FILE "-wal", &st, 0), 0);
        ck_assert_int_lt(st.st_size, 2 * STORE_LOG_OVERDUE * 4096L);
        ck_assert_int_eq(fstatat(fixture_fd, STORE_FILE, &st, 0), 0);
        ck_assert_int_gt(st.st_size, 1000 * 4096L);
}
END_TEST

START_TEST(every_op_of_a_batch_that_cannot_be_committed_is_told) {
        struct put puts[5];
        struct blocked b;

        block_leader(&b, 100);
        for (size_t i = 0; i < ARRAY_SIZE(puts); i++) {
                put_init(&puts[i], i == 3 ? 0 : i); /* one would be refused anyway */
                ck_assert_int_eq(store_submit(fixture_store, &puts[i].op, NULL), 0);
        }
        sync_error = EIO;
        unblock_leader(&b);
        for (size_t i = 0; i < ARRAY_SIZE(puts); i++) {
                wait_done(&puts[i]);
                ck_assert_int_eq(puts[i].code, ERR_STORE);
        }
        sync_error = 0;
        for (size_t i = 0; i < ARRAY_SIZE(puts); i++)
                ck_assert(!is_there(i));
}
END_TEST

START_TEST(a_database_that_can_grow_no_more_says_so_and_goes_on_when_it_can) {
        struct error err = { 0 };
        uint64_t n = 0;
        int64_t pages = 0;

        ck_ok(sql_number(&fixture_store->committer.writer, "PRAGMA page_count", &pages, &err), err);
        {
                char limit[64];

                (void) snprintf(limit, sizeof(limit), "PRAGMA max_page_count = %lld",
                                (long long) pages + 8);
                ck_ok(sql_exec(&fixture_store->committer.writer, limit, "limit", &err), err);
        }
        while (n < 10000 && put_one(n, &err) == 0)
                n++;
        ck_assert_int_eq(err.code, ERR_STORE_FULL);
        ck_ok(sql_exec(&fixture_store->committer.writer, "PRAGMA max_page_count = 4294967294",
                       "limit", &err),
              err);
        ck_ok(put_one(n, &err), err);
        for (uint64_t i = 0; i <= n; i++)
                ck_assert(is_there(i));
}
END_TEST

/* ---- kill -9 ----------------------------------------------------------------------------------------------- */

#define KILL_ROUNDS 20

static void *issuer_main(void *data) {
        const uint64_t *args = data; /* descriptor, first number */

        for (uint64_t n = args[1];; n++) {
                if (put_one(n, NULL) < 0)
                        _exit(3);
                if (write((int) args[0], &n, sizeof(n)) != (ssize_t) sizeof(n))
                        _exit(4);
        }
        return NULL;
}

static void issue_until_killed(int fd, uint64_t round) {
        uint64_t args[4][2];
        pthread_t thread;

        if (store_open(fixture_fd, &fixture_options, &fixture_store, NULL) < 0)
                _exit(5);
        for (uint64_t t = 0; t < 4; t++) {
                args[t][0] = (uint64_t) fd;
                args[t][1] = round * 1000000 + t * 100000;
                if (pthread_create(&thread, NULL, issuer_main, args[t]) != 0)
                        _exit(6);
        }
        for (;;)
                pause_ms(1000);
}

/* One round: a child issues on four threads and is killed somewhere. Return: how many it acknowledged. */
static size_t kill_round(uint64_t round, uint64_t *acked, size_t max) {
        int pipe_fd[2], status = 0;
        size_t count = 0;
        pid_t child;

        ck_assert_int_eq(pipe(pipe_fd), 0);
        child = fork();
        if (child == 0) {
                (void) close(pipe_fd[0]);
                issue_until_killed(pipe_fd[1], round);
        }
        (void) close(pipe_fd[1]);
        ck_assert_int_eq(poll(&(struct pollfd){ .fd = pipe_fd[0], .events = POLLIN }, 1, 10000), 1);
        pause_ms((long) (round * 7 % 40));
        ck_assert_int_eq(kill(child, SIGKILL), 0);
        while (count < max &&
               read(pipe_fd[0], &acked[count], sizeof(*acked)) == (ssize_t) sizeof(*acked))
                count++;
        (void) close(pipe_fd[0]);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(WIFSIGNALED(status), "the child ended by itself: %d", status);
        return count;
}

START_TEST(kill_9_loses_nothing_that_was_acknowledged) {
        static uint64_t acked[1 << 18];
        size_t count = 0;
        struct store_counters counters = { 0 };
        struct error err = { 0 };

        fixture_store = store_close(fixture_store);
        for (uint64_t round = 0; round < KILL_ROUNDS; round++)
                count += kill_round(round, acked + count, ARRAY_SIZE(acked) - count);
        fixture_open();
        for (size_t i = 0; i < count; i++)
                ck_assert_msg(is_there(acked[i]) && times_found(acked[i]) == 1,
                              "%llu was acknowledged and is gone", (unsigned long long) acked[i]);
        ck_ok(store_counters(fixture_store, &counters, &err), err);
        ck_assert_int_ge(counters.issued, (int64_t) count);
        ck_assert_uint_gt(count, KILL_ROUNDS);
}
END_TEST

/* In a child that is killed at its write number @at: make the store, put two certificates. Return: whether it was killed */
static bool killed_at_write(int at) {
        pid_t child = fork();
        int status = 0;

        if (child == 0) {
                die_on_write = true;
                writes_left = at;
                if (store_open(fixture_fd, &fixture_options, &fixture_store, NULL) < 0 ||
                    put_one(1, NULL) < 0 || put_one(2, NULL) < 0)
                        _exit(3);
                (void) store_close(fixture_store);
                _exit(0);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(WIFSIGNALED(status) || WEXITSTATUS(status) == 0,
                      "write %d: the child said %d", at, status);
        return WIFSIGNALED(status);
}

static void remove_store(void) {
        static const char *const names[] = { STORE_FILE, STORE_FILE "-wal", STORE_FILE "-shm" };

        fixture_store = store_close(fixture_store);
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                (void) unlinkat(fixture_fd, names[i], 0);
}

START_TEST(killed_at_any_write_the_next_start_finds_a_whole_store) {
        bool killed = true;
        int at = 0;

        remove_store();
        for (; killed; at++) {
                struct store_counters counters = { 0 };
                struct error err = { 0 };

                killed = killed_at_write(at);
                ck_ok(store_open(fixture_fd, &fixture_options, &fixture_store, &err), err);
                ck_ok(store_counters(fixture_store, &counters, &err), err);
                ck_assert_int_eq(counters.issued, is_there(1) + is_there(2));
                ck_ok(put_one(3, &err), err);
                remove_store();
        }
        ck_assert_int_gt(at, 20);
}
END_TEST

/* In a child that is killed at its write number @at: put enough to be indexed, and wait for it. Return: whether it was killed */
static bool killed_while_indexing(int at) {
        pid_t child = fork();
        int status = 0;

        if (child == 0) {
                if (store_open(fixture_fd, &fixture_options, &fixture_store, NULL) < 0)
                        _exit(3);
                die_on_write = true;
                writes_left = at;
                put_many(0, STORE_INDEX_STEP, 0);
                fixture_store = store_close(fixture_store);
                _exit(0);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(WIFSIGNALED(status) || WEXITSTATUS(status) == 0,
                      "write %d: the child said %d", at, status);
        return WIFSIGNALED(status);
}

START_TEST(killed_at_any_write_of_an_indexing_nothing_is_missed_and_nothing_comes_twice) {
        bool killed = true;
        int at = 0, while_indexing = 0;

        remove_store();
        for (; killed; at += 3) {
                struct store_counters counters = { 0 };
                struct error err = { 0 };

                killed = killed_while_indexing(at);
                ck_ok(store_open(fixture_fd, &fixture_options, &fixture_store, &err), err);
                ck_ok(store_counters(fixture_store, &counters, &err), err);
                ck_assert_int_eq(counters.issued, is_there(0) ? STORE_INDEX_STEP : 0);
                for (uint64_t n = 0; n < STORE_INDEX_STEP; n += 15)
                        ck_assert_uint_eq(times_found(n), is_there(0));
                while_indexing += killed && counters.issued;
                (void) fixture_quiet(); /* whatever was left is done now */
                ck_assert_int_eq(fixture_number("SELECT indexed FROM counters"), counters.issued);
                for (uint64_t n = 0; n < STORE_INDEX_STEP; n += 15)
                        ck_assert_uint_eq(times_found(n), is_there(0));
                remove_store();
        }
        ck_assert_int_gt(while_indexing, 10);
}
END_TEST

START_TEST(a_disk_that_fills_up_while_the_store_is_made_leaves_nothing_half) {
        struct error err = { 0 };
        int at = 1, rc = -1;

        remove_store();
        for (; rc < 0; at++) {
                writes_left = at;
                rc = store_open(fixture_fd, &fixture_options, &fixture_store, &err);
                writes_left = -1;
                if (rc == 0)
                        break;
                ck_assert_msg(err.code == ERR_STORE_FULL, "write %d: %s", at, err.text);
                ck_assert_int_ne(faccessat(fixture_fd, STORE_FILE ".new", F_OK, 0), 0);
                ck_ok(store_open(fixture_fd, &fixture_options, &fixture_store, &err), err);
                remove_store();
        }
        ck_assert_int_gt(at, 10);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("commit");
        TCase *batches = tcase_create("batches"), *failing = tcase_create("faults");

        tcase_set_timeout(batches, 60);
        tcase_add_checked_fixture(batches, commit_setup, fixture_teardown);
        tcase_add_test(batches, a_lone_caller_commits_on_its_own_thread_with_one_fsync);
        tcase_add_test(batches, what_waits_together_is_one_transaction);
        tcase_add_test(batches, an_op_that_fails_after_writing_takes_nobody_along);
        tcase_add_test(batches, an_op_that_is_refused_takes_nobody_along);
        tcase_add_test(batches, the_lead_passes_to_the_helper_and_the_caller_goes_free);
        tcase_add_test(batches, a_list_is_one_transaction_on_the_thread_of_who_hands_it_over);
        tcase_add_test(batches, of_a_list_what_finds_no_room_is_told_and_the_rest_is_written);
        tcase_add_test(batches, a_full_queue_is_said_and_what_was_taken_is_written);
        tcase_add_test(batches, closing_writes_what_is_queued);
        tcase_add_test(batches, a_crowd_of_threads_gets_every_write_in_and_shares_commits);
        suite_add_tcase(suite, batches);

        tcase_set_timeout(failing, 60);
        tcase_add_checked_fixture(failing, commit_setup, fixture_teardown);
        tcase_add_loop_test(failing, a_disk_that_fails_is_said_reads_go_on_and_it_heals_by_itself,
                            0, ARRAY_SIZE(faults));
        tcase_add_test(failing, health_heals_without_traffic);
        tcase_add_test(failing, indexing_that_fails_is_said_takes_nobody_along_and_heals);
        tcase_add_test(failing, the_log_is_moved_into_the_database_and_does_not_grow);
        tcase_add_test(failing, every_op_of_a_batch_that_cannot_be_committed_is_told);
        tcase_add_test(failing, a_database_that_can_grow_no_more_says_so_and_goes_on_when_it_can);
        tcase_add_test(failing, killed_at_any_write_the_next_start_finds_a_whole_store);
        tcase_add_test(
                failing,
                killed_at_any_write_of_an_indexing_nothing_is_missed_and_nothing_comes_twice);
        tcase_add_test(failing, a_disk_that_fills_up_while_the_store_is_made_leaves_nothing_half);
        tcase_add_test(failing, kill_9_loses_nothing_that_was_acknowledged);
        suite_add_tcase(suite, failing);
        return unit_main(suite);
}
