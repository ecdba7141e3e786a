/*
 * The audit of the authority: what is recorded is written, refusals are summed up within bounds whoever calls, and what there
 * is no room for is told. Runs under ThreadSanitizer too.
 */
#include "tests/unit/store-fixture.h"

#include <semaphore.h>

#include "daemon/authority/audit.h"
#include "daemon/authority/internal.h"

static struct authority *authority;

static void set_up(void) {
        struct profile_set *profiles = NULL;
        struct error err = { 0 };

        fixture_setup();
        ck_ok(profiles_load(-1, NULL, &profiles, &err), err);
        ck_ok(authority_new(profiles, access_list_new(), &authority, &err), err);
        authority->store = fixture_store;
        ck_ok(audit_new(authority, &authority->audit, &err), err);
}

static void tear_down(void) {
        authority = authority_free(authority); /* the store with it */
        fixture_store = NULL;
        fixture_teardown();
}

struct row {
        char text[AUDIT_TEXT_COUNT][AUDIT_DETAIL_MAX + 1];
};

struct rows {
        struct row list[200]; /* newest first */
        size_t count;
};

static void keep_row(const struct audit_row *row, void *data) {
        struct rows *rows = data;

        ck_assert_uint_lt(rows->count, ARRAY_SIZE(rows->list));
        for (int i = 0; i < AUDIT_TEXT_COUNT; i++)
                (void) snprintf(rows->list[rows->count].text[i], AUDIT_DETAIL_MAX + 1, "%.*s",
                                (int) row->text[i].size, (const char *) row->text[i].data);
        rows->count++;
}

/* All rows, when everything that waits is written. */
static struct rows *read_rows(void) {
        static struct rows rows;
        struct audit_filter all = { 0 };
        char next[AUDIT_CURSOR_MAX];
        struct error err = { 0 };

        rows.count = 0;
        audit_flush(authority);
        ck_ok(store_audit_list(authority->store, &all, NULL, 1000, keep_row, &rows, next, &err),
              err);
        return &rows;
}

static const char *text_of(const struct rows *rows, size_t i, enum audit_text which) {
        ck_assert_uint_lt(i, rows->count);
        return rows->list[i].text[which];
}

static void refuse(const char *who, const char *source, enum error_code code) {
        struct principal principal = { .kind = who ? PRINCIPAL_PEER : PRINCIPAL_ANONYMOUS };
        const struct audit_event what = { .action = "certificate.issue",
                                          .source = source,
                                          .request_id = "77" };
        struct error why = { 0 };

        if (who)
                (void) snprintf(principal.text, sizeof(principal.text), "%s", who);
        (void) error_set(&why, code, "no");
        audit_refused(authority, &principal, &what, &why);
}

START_TEST(what_is_recorded_is_written) {
        const struct audit_event event = { .at = 5,
                                           .action = "token.create",
                                           .principal = "uid:0",
                                           .source = "here",
                                           .object = "abc",
                                           .outcome = "forbidden",
                                           .detail = "a sentence",
                                           .request_id = "id" };
        struct error err = { 0 };
        struct rows *rows;

        ck_assert_int_eq(audit_record(authority, &event), 0);
        ck_ok(audit_record_wait(authority, &event, &err), err);
        audit_system(authority, "daemon.start", NULL, NULL, "cad 1");
        rows = read_rows();
        ck_assert_uint_eq(rows->count, 3);
        for (size_t i = 1; i < 3; i++) {
                ck_assert_str_eq(text_of(rows, i, AUDIT_ACTION), "token.create");
                ck_assert_str_eq(text_of(rows, i, AUDIT_PRINCIPAL), "uid:0");
                ck_assert_str_eq(text_of(rows, i, AUDIT_SOURCE), "here");
                ck_assert_str_eq(text_of(rows, i, AUDIT_OBJECT), "abc");
                ck_assert_str_eq(text_of(rows, i, AUDIT_OUTCOME), "forbidden");
                ck_assert_str_eq(text_of(rows, i, AUDIT_DETAIL), "a sentence");
                ck_assert_str_eq(text_of(rows, i, AUDIT_REQUEST_ID), "id");
        }
        ck_assert_str_eq(text_of(rows, 0, AUDIT_ACTION), "daemon.start");
        ck_assert_str_eq(text_of(rows, 0, AUDIT_PRINCIPAL), "cad");
        ck_assert_str_eq(text_of(rows, 0, AUDIT_OUTCOME), "ok");
        ck_assert_int_eq(audit_health(authority, &err), -1); /* there is no signer to anchor with */
}
END_TEST

START_TEST(what_is_queued_is_written_at_the_end) {
        audit_system(authority, "daemon.stop", NULL, NULL, NULL);
        authority->audit = audit_free(authority->audit);
        ck_assert_uint_eq(read_rows()->count, 1);
        ck_assert_int_eq(audit_record(authority, &(struct audit_event){ .action = "late" }), -1);
        refuse("uid:1", "", ERR_FORBIDDEN);
        audit_signer_attached(authority);
}
END_TEST

START_TEST(a_known_caller_gets_a_row_a_refusal_up_to_a_bound) {
        struct rows *rows;

        for (int i = 0; i < AUDIT_REFUSALS_EACH; i++)
                refuse("uid:1000", "uid:1000 pid:1", ERR_FORBIDDEN);
        rows = read_rows();
        ck_assert_uint_eq(rows->count, AUDIT_REFUSALS_EACH);
        ck_assert_str_eq(text_of(rows, 0, AUDIT_ACTION), "certificate.issue");
        ck_assert_str_eq(text_of(rows, 0, AUDIT_PRINCIPAL), "uid:1000");
        ck_assert_str_eq(text_of(rows, 0, AUDIT_OUTCOME), "forbidden");
        ck_assert_str_eq(text_of(rows, 0, AUDIT_DETAIL), "no");
        ck_assert_str_eq(text_of(rows, 0, AUDIT_REQUEST_ID), "77");
        for (int i = 0; i < AUDIT_REFUSALS_EACH + 1000; i++)
                refuse("uid:1000", "uid:1000 pid:1",
                       i % 2 ? ERR_FORBIDDEN : ERR_NAME_NOT_PERMITTED);
        rows = read_rows();
        ck_assert_uint_eq(rows->count, 2 * AUDIT_REFUSALS_EACH + 1);
        ck_assert_str_eq(text_of(rows, 0, AUDIT_ACTION), "access.refused");
        ck_assert_str_eq(text_of(rows, 0, AUDIT_PRINCIPAL), "uid:1000");
        ck_assert_ptr_nonnull(strstr(text_of(rows, 0, AUDIT_DETAIL), "1030 calls from "));
        ck_assert_ptr_nonnull(
                strstr(text_of(rows, 0, AUDIT_DETAIL), "30 of them in rows of their own"));
        ck_assert_ptr_nonnull(strstr(text_of(rows, 0, AUDIT_DETAIL), "515 forbidden"));
}
END_TEST

static const struct {
        const char *source, *who;
} sources[] = {
        { "192.168.1.5:4711", "192.168.1.5" },
        { "[fe80::1%eth0]:4711", "[fe80::1%eth0]" },
        { "uid:1000 pid:4711", "uid:1000" },
        { "uid:1000", "uid:1000" },
        { "", "" },
};

START_TEST(a_stranger_is_summed_up_by_address) {
        struct rows *rows;

        for (int i = 0; i < 100; i++)
                refuse(NULL, sources[_i].source, ERR_UNAUTHENTICATED);
        rows = read_rows();
        ck_assert_uint_eq(rows->count, 1);
        ck_assert_str_eq(text_of(rows, 0, AUDIT_PRINCIPAL), "anonymous");
        ck_assert_str_eq(text_of(rows, 0, AUDIT_SOURCE), sources[_i].who);
        ck_assert_str_eq(text_of(rows, 0, AUDIT_OUTCOME), "unauthenticated");
        ck_assert_ptr_nonnull(strstr(text_of(rows, 0, AUDIT_DETAIL), "100 calls"));
        ck_assert_uint_eq(read_rows()->count, 1); /* it was told */
}
END_TEST

START_TEST(ports_do_not_make_sources) {
        for (int i = 0; i < 1000; i++) {
                char source[32];

                (void) snprintf(source, sizeof(source), "10.0.0.1:%d", i);
                refuse(NULL, source, ERR_UNAUTHENTICATED);
        }
        ck_assert_uint_eq(read_rows()->count, 1);
}
END_TEST

START_TEST(ten_thousand_sources_make_few_rows) {
        struct rows *rows;

        for (int i = 0; i < 10000; i++) {
                char source[32];

                (void) snprintf(source, sizeof(source), "10.0.%d.%d:1", i / 256, i % 256);
                refuse(NULL, source, ERR_UNAUTHENTICATED);
        }
        rows = read_rows();
        ck_assert_uint_eq(rows->count, AUDIT_SOURCES_MAX + 1);
        ck_assert_str_eq(text_of(rows, 0, AUDIT_SOURCE), "more sources than are told apart");
        ck_assert_ptr_nonnull(strstr(text_of(rows, 0, AUDIT_DETAIL), "9936 calls"));
}
END_TEST

START_TEST(many_kinds_of_refusals_are_counted_in_few_words) {
        struct rows *rows;

        for (int code = ERR_CSR_MALFORMED; code <= ERR_KEY_RESERVED; code++)
                refuse(NULL, "10.0.0.1:1", (enum error_code) code);
        rows = read_rows();
        ck_assert_uint_eq(rows->count, 1);
        ck_assert_ptr_nonnull(
                strstr(text_of(rows, 0, AUDIT_DETAIL), "7 others such as csr-extension"));
}
END_TEST

START_TEST(a_fault_is_no_decision) {
        refuse("uid:1000", "", ERR_STORE_FULL);
        refuse(NULL, "10.0.0.1:1", ERR_OVERLOADED);
        ck_assert_uint_eq(read_rows()->count, 0);
}
END_TEST

struct blocking_op {
        struct store_op op;
        sem_t begun, go;
};

static int block(struct store_tx *tx, struct store_op *op, struct error *err) {
        struct blocking_op *b = (struct blocking_op *) op;

        (void) tx, (void) err;
        (void) sem_post(&b->begun);
        (void) sem_wait(&b->go);
        return 0;
}

static void *run_blocking(void *data) {
        struct blocking_op *b = data;
        struct error err = { 0 };

        ck_ok(store_write(authority->store, &b->op, &err), err);
        return NULL;
}

/* A disk that stands still: callers go on, memory is bounded, and what was lost is said. */
START_TEST(what_there_is_no_room_for_is_told) {
        struct blocking_op b = { .op = { .apply = block } };
        pthread_t thread;
        int taken = 0;
        struct error err = { 0 };
        struct audit_head head;

        (void) sem_init(&b.begun, 0, 0);
        (void) sem_init(&b.go, 0, 0);
        ck_assert_int_eq(pthread_create(&thread, NULL, run_blocking, &b), 0);
        (void) sem_wait(&b.begun);
        for (int i = 0; i < 5000; i++)
                taken += audit_record(authority, &(struct audit_event){ .action = "a" }) == 0;
        ck_assert_int_eq(taken, 1024);
        (void) sem_post(&b.go);
        (void) pthread_join(thread, NULL);
        for (int i = 0; i < 3; i++)
                audit_flush(authority);
        ck_ok(store_audit_head(authority->store, &head, &err), err);
        ck_assert_int_eq(head.number, 1025);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("audit");
        TCase *tc = tcase_create("audit");

        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_set_timeout(tc, 60);
        tcase_add_test(tc, what_is_recorded_is_written);
        tcase_add_test(tc, what_is_queued_is_written_at_the_end);
        tcase_add_test(tc, a_known_caller_gets_a_row_a_refusal_up_to_a_bound);
        tcase_add_loop_test(tc, a_stranger_is_summed_up_by_address, 0, ARRAY_SIZE(sources));
        tcase_add_test(tc, ports_do_not_make_sources);
        tcase_add_test(tc, ten_thousand_sources_make_few_rows);
        tcase_add_test(tc, many_kinds_of_refusals_are_counted_in_few_words);
        tcase_add_test(tc, a_fault_is_no_decision);
        tcase_add_test(tc, what_there_is_no_room_for_is_told);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
