/*
 * The audit in the store: a row with what it tells of or neither, one chain whatever fails and whoever writes, and lists that
 * find just what the filter says.
 */
#include "tests/unit/store-fixture.h"

#include <pthread.h>

#include "lib/audit/verify.h"
#include "lib/base/text.h"

/* ---- helpers ----------------------------------------------------------------------------------------------- */

struct one {
        struct store_op op;
        struct audit_event event;
        bool fail_before, fail_after; /* the op itself, after it has written something */
};

static int one_apply(struct store_tx *tx, struct store_op *op, struct error *err) {
        const struct one *one = (const struct one *) op;
        struct made m;

        if (one->fail_before)
                return error_set(err, ERR_STATE_CONFLICT, "refused");
        if (tx_put_audit(tx, &one->event, err) < 0)
                return -1;
        if (one->fail_after) {
                ck_assert_int_eq(tx_put_certificate(tx, make(&m, 4711), err), 0);
                return error_set(err, ERR_STATE_CONFLICT, "refused");
        }
        return 0;
}

static int put_event(const struct audit_event *event, struct error *err) {
        struct one one = { .op = { .apply = one_apply }, .event = *event };

        return store_write(fixture_store, &one.op, err);
}

/* Row n: everything follows from it; times rise but for a step of the clock. */
static void put_row(int n) {
        static const char *const actions[] = { "certificate.issue", "certificate.revoke",
                                               "token.create", "daemon.start" };
        char principal[32], object[32];
        struct audit_event event = { .at = 1000000 + n - (n % 1500 == 1499 ? 5000 : 0),
                                     .action = actions[n % 7 < 4 ? 0 : n % 7 - 3],
                                     .principal = principal,
                                     .object = object };
        struct error err = { 0 };

        (void) snprintf(principal, sizeof(principal), "uid:%d", n % 3 ? 0 : n % 1000);
        (void) snprintf(object, sizeof(object), "%04x", n);
        ck_ok(put_event(&event, &err), err);
}

struct rows {
        int64_t numbers[8192];
        size_t count, pages;
        struct audit_verifier *verifier;
};

static void collect(const struct audit_row *row, void *data) {
        struct rows *rows = data;

        ck_assert_uint_lt(rows->count, ARRAY_SIZE(rows->numbers));
        rows->numbers[rows->count++] = row->number;
        if (rows->verifier)
                audit_verifier_row(rows->verifier, row);
}

static void list_all(const struct audit_filter *filter, size_t limit, struct rows *rows) {
        char cursor[AUDIT_CURSOR_MAX] = "";
        struct error err = { 0 };

        do {
                ck_ok(store_audit_list(fixture_store, filter, cursor, limit, collect, rows, cursor,
                                       &err),
                      err);
                ck_assert_uint_lt(rows->pages++, 10000);
        } while (*cursor);
}

static void fail_on_finding(const struct audit_finding *f, void *data) {
        (void) data;
        ck_abort_msg("%s %lld to %lld", audit_fault_name(f->fault), (long long) f->first,
                     (long long) f->last);
}

/* The whole chain is whole, and has so many rows. */
static void check_chain(int64_t expected) {
        static struct rows rows;
        struct audit_filter all = { 0 };
        struct audit_verdict verdict;
        struct audit_head head;
        uint8_t begin[AUDIT_HASH_SIZE];
        struct error err = { 0 };

        rows = (struct rows){ 0 };
        ck_ok(store_audit_head(fixture_store, &head, &err), err);
        ck_assert_int_eq(head.number, expected);
        audit_chain_begin(CA_ID, begin);
        rows.verifier = audit_verifier_new(begin, head.number, NULL, 0, fail_on_finding, NULL);
        list_all(&all, 1000, &rows);
        audit_verifier_end(rows.verifier, &verdict);
        rows.verifier = audit_verifier_free(rows.verifier);
        ck_assert_int_eq(verdict.newest, expected);
        ck_assert_uint_eq(verdict.rows, (uint64_t) expected);
}

static int64_t certificates(void) {
        return fixture_number("SELECT count(*) FROM certificates");
}

/* ---- writing ----------------------------------------------------------------------------------------------- */

START_TEST(an_empty_chain_begins_with_the_hash_of_the_ca) {
        uint8_t begin[AUDIT_HASH_SIZE];
        struct audit_head head;
        struct error err = { 0 };

        audit_chain_begin(CA_ID, begin);
        ck_ok(store_audit_head(fixture_store, &head, &err), err);
        ck_assert_int_eq(head.number, 0);
        ck_assert_mem_eq(head.hash, begin, sizeof(begin));
        check_chain(0);
}
END_TEST

START_TEST(rows_are_chained_over_reopening) {
        for (int n = 0; n < 5; n++)
                put_row(n);
        check_chain(5);
        fixture_reopen();
        check_chain(5);
        put_row(5);
        check_chain(6);
}
END_TEST

START_TEST(a_row_of_what_failed_is_not_there) {
        struct one one = { .op = { .apply = one_apply },
                           .event = { .action = "a" },
                           .fail_after = true };
        struct error err = { 0 };

        put_row(0);
        ck_refused(store_write(fixture_store, &one.op, &err), err, ERR_STATE_CONFLICT);
        check_chain(1);
        ck_assert_int_eq(certificates(), 0);
        put_row(1);
        check_chain(2);
}
END_TEST

static int answered, refused;

static void note(struct store_op *op, const struct error *err) {
        (void) op;
        answered++;
        refused += err != NULL;
}

/* In one transaction: the one that fails halfway makes it run again, each behind a savepoint. */
START_TEST(one_bad_op_in_a_batch_takes_its_row_along_and_no_other) {
        struct one ops[9];

        answered = refused = 0;
        for (int i = 0; i < 9; i++) {
                ops[i] = (struct one){ .op = { .apply = one_apply, .done = note },
                                       .event = { .at = i + 1, .action = "a" },
                                       .fail_after = i == 4,
                                       .fail_before = i == 6 };
                ops[i].op.next = i < 8 ? &ops[i + 1].op : NULL;
        }
        store_submit_list(fixture_store, &ops[0].op);
        (void) fixture_quiet();
        ck_assert_int_eq(answered, 9);
        ck_assert_int_eq(refused, 2);
        check_chain(7);
        put_row(0);
        check_chain(8);
}
END_TEST

START_TEST(issuing_and_revoking_bring_their_rows) {
        struct audit_event event = { .at = 5, .action = "certificate.issue", .object = "01" };
        struct store_issue issue;
        struct store_revoke revoke;
        struct made m;
        struct error err = { 0 };

        store_issue_init(&issue, NULL);
        issue.row = *make(&m, 1);
        issue.audit = &event;
        ck_ok(store_write(fixture_store, &issue.op, &err), err);
        ck_assert_int_eq(store_write(fixture_store, &issue.op, &err),
                         -1); /* the same serial again */
        event.action = "certificate.revoke";
        store_revoke_init(&revoke, m.row.serial, REASON_SUPERSEDED, 7, NULL);
        revoke.audit = &event;
        ck_ok(store_write(fixture_store, &revoke.op, &err), err);
        ck_assert_int_eq(store_write(fixture_store, &revoke.op, &err),
                         -1); /* it is revoked already */
        check_chain(2);
}
END_TEST

#define WRITERS 4
#define EACH 100

static void *writer(void *data) {
        int base = *(int *) data;

        for (int n = 0; n < EACH; n++)
                put_row(base + n);
        return NULL;
}

START_TEST(many_writers_make_one_chain) {
        pthread_t threads[WRITERS];
        int bases[WRITERS];

        for (int i = 0; i < WRITERS; i++) {
                bases[i] = i * EACH;
                ck_assert_int_eq(pthread_create(&threads[i], NULL, writer, &bases[i]), 0);
        }
        for (int i = 0; i < WRITERS; i++)
                (void) pthread_join(threads[i], NULL);
        check_chain(WRITERS * EACH);
}
END_TEST

/* What was done to the database while cad was not at work. */
static void tamper(const char *sql) {
        struct error err = { 0 };
        struct sql_connection c = { 0 };
        char path[128];

        fixture_store = store_close(fixture_store);
        (void) snprintf(path, sizeof(path), "%s/" STORE_FILE, fixture_dir);
        ck_ok(sql_open(&c, path, SQL_WRITER, &err), err);
        ck_ok(sql_exec(&c, sql, "tamper", &err), err);
        sql_done(&c);
        fixture_open();
}

static int64_t next_number(void) {
        put_row(0);
        return fixture_number("SELECT max(number) FROM audit");
}

START_TEST(numbers_go_on_behind_what_was_cut_off) {
        for (int n = 0; n < 10; n++)
                put_row(n);
        tamper("DELETE FROM audit WHERE number > 7");
        ck_assert_int_eq(next_number(), 11);
        tamper("DELETE FROM audit_head");
        ck_assert_int_eq(next_number(), 12);
        tamper("UPDATE audit_head SET number = 3");
        ck_assert_int_eq(next_number(), 13);
        tamper("DELETE FROM audit; DELETE FROM audit_head");
        ck_assert_int_eq(next_number(), 1);
}
END_TEST

START_TEST(a_damaged_end_is_an_error_that_says_so) {
        struct audit_event event = { .action = "a" };
        struct error err;

        put_row(0);
        tamper("UPDATE audit_head SET hash = x'00'");
        ck_refused(put_event(&event, &err), err, ERR_STORE);
        tamper("DELETE FROM audit_head; UPDATE audit SET number = 9223372036854775807");
        ck_refused(put_event(&event, &err), err, ERR_STORE);
}
END_TEST

/* ---- lists ------------------------------------------------------------------------------------------------- */

#define LISTED 5000

static struct audit_filter filters[] = {
        { .action = "token.create" },
        { .action = "certificate.*" },
        { .action = "token.*" },
        { .action = "nothing.*" },
        { .action = "certificate" },
        { .principal = "uid:0" },
        { .principal = "uid:3" },
        { .object = "0bb8" },
        { .object = "none" },
        { .since = 1003000 },
        { .until = 1000100 },
        { .since = 1001000, .until = 1001200 },
        { .since = 995000, .until = 999000 },
        { .action = "certificate.revoke", .principal = "uid:0", .since = 1002000 },
};

/* The same by SQL, over all rows. */
static void list_by_sql(const struct audit_filter *f, struct rows *rows) {
        struct committer *k = fixture_quiet();
        CAD_AUTO(buffer_done) struct buffer sql = { 0 };
        sqlite3_stmt *s = NULL;

        buffer_text(&sql, "SELECT number FROM audit WHERE 1");
        if (f->action && text_ends_with(f->action, ".*"))
                buffer_format(&sql, " AND action GLOB '%s'", f->action);
        else if (f->action)
                buffer_format(&sql, " AND action = '%s'", f->action);
        if (f->principal)
                buffer_format(&sql, " AND principal = '%s'", f->principal);
        if (f->object)
                buffer_format(&sql, " AND object = '%s'", f->object);
        if (f->since)
                buffer_format(&sql, " AND at >= %lld", (long long) f->since);
        if (f->until)
                buffer_format(&sql, " AND at < %lld", (long long) f->until);
        buffer_text(&sql, " ORDER BY number DESC");
        ck_assert_int_eq(sqlite3_prepare_v2(k->writer.db, buffer_string(&sql), -1, &s, NULL),
                         SQLITE_OK);
        while (sqlite3_step(s) == SQLITE_ROW)
                rows->numbers[rows->count++] = sqlite3_column_int64(s, 0);
        (void) sqlite3_finalize(s);
}

static void check_filters(void) {
        static struct rows got, expected;

        for (size_t i = 0; i < ARRAY_SIZE(filters); i++)
                for (size_t limit = 7; limit <= 1000; limit *= 11) {
                        got = expected = (struct rows){ 0 };
                        list_all(&filters[i], limit, &got);
                        list_by_sql(&filters[i], &expected);
                        ck_assert_msg(got.count == expected.count, "filter %zu: %zu, not %zu", i,
                                      got.count, expected.count);
                        ck_assert_mem_eq(got.numbers, expected.numbers,
                                         got.count * sizeof(got.numbers[0]));
                }
}

static void put_listed(void) {
        for (int n = 0; n < LISTED; n++)
                put_row(n);
}

START_TEST(filters_find_the_same_with_and_without_summaries) {
        struct error err = { 0 };
        bool done = false;
        int steps = 0;

        put_listed();
        check_filters();
        while (!done) {
                ck_ok(store_audit_summarise(fixture_store, &done, &err), err);
                ck_assert_int_lt(steps++, 10);
        }
        ck_assert_int_eq(fixture_number("SELECT count(*) FROM audit_spans"), LISTED / 1024);
        check_filters();
        put_row(LISTED);
        check_filters();
        check_chain(LISTED + 1);
}
END_TEST

START_TEST(what_is_rare_is_found_without_reading_all) {
        struct audit_filter filter = { .object = "0001" };
        struct rows rows = { 0 };
        struct error err = { 0 };
        bool done = false;

        put_listed();
        while (!done)
                ck_ok(store_audit_summarise(fixture_store, &done, &err), err);
        tamper("UPDATE audit SET object = '0001'"); /* rows of summed-up spans are not looked at */
        list_all(&filter, 1000, &rows);
        ck_assert_uint_ge(rows.count, 1023); /* those of the span that has it, and of the newest */
        ck_assert_uint_lt(rows.count, 4 * 1024);
}
END_TEST

START_TEST(pages_end_and_bad_cursors_are_refused) {
        struct audit_filter all = { 0 };
        char next[AUDIT_CURSOR_MAX] = "x";
        struct rows rows = { 0 };
        struct error err = { 0 };

        for (int n = 0; n < 10; n++)
                put_row(n);
        ck_ok(store_audit_list(fixture_store, &all, NULL, 4, collect, &rows, next, &err), err);
        ck_assert_uint_eq(rows.count, 4);
        ck_assert_str_eq(next, "7");
        put_row(10); /* what comes meanwhile is not on the next page */
        ck_ok(store_audit_list(fixture_store, &all, next, 1000, collect, &rows, next, &err), err);
        ck_assert_uint_eq(rows.count, 10);
        ck_assert_str_eq(next, "");
        for (size_t i = 0; i < 10; i++)
                ck_assert_int_eq(rows.numbers[i], 10 - (int64_t) i);
        ck_refused(store_audit_list(fixture_store, &all, "abc", 1, collect, &rows, next, &err), err,
                   ERR_QUERY_INVALID);
        ck_assert_str_eq(err.field, "cursor");
        ck_refused(store_audit_list(fixture_store, &all, "-1", 1, collect, &rows, next, &err), err,
                   ERR_QUERY_INVALID);
        ck_refused(store_audit_list(fixture_store, &all, "", 0, collect, &rows, next, &err), err,
                   ERR_QUERY_INVALID);
        ck_refused(store_audit_list(fixture_store, &all, "", 1001, collect, &rows, next, &err), err,
                   ERR_QUERY_INVALID);
        ck_assert_str_eq(err.field, "limit");
}
END_TEST

START_TEST(rows_that_cad_never_wrote_are_shown_as_they_are) {
        struct audit_filter all = { 0 };
        struct rows rows = { 0 };

        put_row(0);
        tamper("INSERT INTO audit SELECT -5, at, action, principal, source, object, outcome, detail, request_id, x'00' FROM audit");
        list_all(&all, 1, &rows);
        ck_assert_uint_eq(rows.count, 2);
        ck_assert_int_eq(rows.numbers[1], -5);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("audit-store");
        TCase *writing = tcase_create("writing"), *lists = tcase_create("lists");

        tcase_add_checked_fixture(writing, fixture_setup, fixture_teardown);
        tcase_add_test(writing, an_empty_chain_begins_with_the_hash_of_the_ca);
        tcase_add_test(writing, rows_are_chained_over_reopening);
        tcase_add_test(writing, a_row_of_what_failed_is_not_there);
        tcase_add_test(writing, one_bad_op_in_a_batch_takes_its_row_along_and_no_other);
        tcase_add_test(writing, issuing_and_revoking_bring_their_rows);
        tcase_add_test(writing, many_writers_make_one_chain);
        tcase_add_test(writing, numbers_go_on_behind_what_was_cut_off);
        tcase_add_test(writing, a_damaged_end_is_an_error_that_says_so);
        suite_add_tcase(suite, writing);
        tcase_add_checked_fixture(lists, fixture_setup, fixture_teardown);
        tcase_set_timeout(lists, 120);
        tcase_add_test(lists, filters_find_the_same_with_and_without_summaries);
        tcase_add_test(lists, what_is_rare_is_found_without_reading_all);
        tcase_add_test(lists, pages_end_and_bad_cursors_are_refused);
        tcase_add_test(lists, rows_that_cad_never_wrote_are_shown_as_they_are);
        suite_add_tcase(suite, lists);
        return unit_main(suite);
}
