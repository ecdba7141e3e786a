/*
 * What CRLs are made of: walked in steps, counted, and equal to a model after any sequence of revocations, holds, lifts,
 * expiries and restarts (threats.md R-7).
 */
#include "daemon/authority/crl_schedule.h"
#include "tests/unit/store-fixture.h"

#define WALK_MAX 4096

static struct revoked_row walked[WALK_MAX];

static size_t walk(const char *issuer, int64_t floor, size_t step) {
        struct revoked_cursor cursor = revoked_from(floor);
        size_t total = 0, count = step;
        struct error err = { 0 };

        while (count == step) {
                ck_assert_uint_le(total + step, WALK_MAX);
                ck_ok(store_revoked_step(fixture_store, issuer, &cursor, walked + total, step,
                                         &count, &err),
                      err);
                total += count;
        }
        return total;
}

static struct crl_row crl_of(const char *issuer) {
        struct crl_row row;
        struct error err = { 0 };

        ck_ok(store_get_crl(fixture_store, issuer, &row, &err), err);
        return row;
}

static void put_crl(const struct crl_row *row) {
        struct store_put_crl put;
        struct error err = { 0 };

        store_put_crl_init(&put, row, NULL);
        ck_ok(store_write(fixture_store, &put.op, &err), err);
}

static const struct revoked_row *find_walked(size_t count, struct bytes serial) {
        for (size_t i = 0; i < count; i++)
                if (bytes_equal(BYTES(walked[i].serial, walked[i].serial_size), serial))
                        return &walked[i];
        return NULL;
}

/* ---- the walk ----------------------------------------------------------------------------------------------- */

START_TEST(a_walk_meets_each_once_whatever_its_steps) {
        static const size_t steps[] = { 1, 2, 7, 64, 1024 };
        struct error err = { 0 };

        put_many(0, 300, 0);
        for (uint64_t n = 0; n < 300; n += 3)
                ck_ok(revoke_one(n, n % 2 ? REASON_SUPERSEDED : REASON_CERTIFICATE_HOLD,
                                 5000 + (int64_t) n, &err),
                      err);
        for (uint64_t n = 0; n < 300; n++) {
                size_t count = walk(n % 5 ? "int-1" : "int-2", 0, steps[_i]);
                struct made m;
                const struct revoked_row *row = find_walked(count, make(&m, n)->serial);

                ck_assert_uint_eq(count, n % 5 ? 80 : 20);
                ck_assert_msg((row != NULL) == (n % 3 == 0), "%llu", (unsigned long long) n);
                if (!row)
                        continue;
                ck_assert_int_eq(row->revoked_at, 5000 + (int64_t) n);
                ck_assert_int_eq(row->not_after, m.row.not_after);
                ck_assert_int_eq(row->reason, n % 2 ? REASON_SUPERSEDED : REASON_CERTIFICATE_HOLD);
        }
}
END_TEST

START_TEST(a_walk_begins_at_an_end) {
        struct error err = { 0 };
        struct made m;
        int64_t end;

        put_many(1, 200, 0);
        for (uint64_t n = 1; n <= 200; n++)
                ck_ok(revoke_one(n, REASON_UNSPECIFIED, 5000, &err), err);
        end = make(&m, 17)->not_after;
        (void) find_walked(walk("int-1", end, 16), m.row.serial);
        ck_assert_ptr_nonnull(find_walked(walk("int-1", end, 16), m.row.serial));
        ck_assert_ptr_null(find_walked(walk("int-1", end + 1, 16), m.row.serial));
        for (size_t i = 0, count = walk("int-1", end, 16); i < count; i++)
                ck_assert_int_ge(walked[i].not_after, end);
}
END_TEST

START_TEST(an_issuer_without_certificates_has_no_entries) {
        ck_assert_uint_eq(walk("root", 0, 16), 0);
        ck_assert_int_eq(crl_of("root").included, -1);
        ck_assert_int_eq(crl_of("root").changes, 0);
}
END_TEST

START_TEST(a_lifted_hold_is_gone) {
        struct error err = { 0 };

        put_many(1, 1, 0);
        ck_ok(revoke_one(1, REASON_CERTIFICATE_HOLD, 5000, &err), err);
        ck_assert_uint_eq(walk("int-1", 0, 16), 1);
        ck_ok(revoke_one(1, REASON_REMOVE_FROM_CRL, 5001, &err), err);
        ck_assert_uint_eq(walk("int-1", 0, 16), 0);
        ck_assert_int_eq(crl_of("int-1").changes, 2);
}
END_TEST

/* Between two steps others write: what was revoked before the first is met all the same. */
START_TEST(a_walk_among_writers_misses_nothing) {
        struct revoked_cursor cursor = revoked_from(0);
        size_t count = 16, total = 0;
        struct error err = { 0 };

        put_many(1, 400, 0);
        for (uint64_t n = 1; n <= 200; n++)
                ck_ok(revoke_one(n, REASON_UNSPECIFIED, 5000, &err), err);
        for (uint64_t next = 201; count == 16; next += 3) {
                ck_ok(store_revoked_step(fixture_store, "int-1", &cursor, walked + total, 16,
                                         &count, &err),
                      err);
                total += count;
                for (uint64_t n = next; n < next + 3 && n <= 400; n++)
                        ck_ok(revoke_one(n, REASON_UNSPECIFIED, 6000, &err), err);
        }
        for (uint64_t n = 1; n <= 200; n++) {
                struct made m;

                if (n % 5)
                        ck_assert_ptr_nonnull(find_walked(total, make(&m, n)->serial));
        }
}
END_TEST

/* ---- what has changed --------------------------------------------------------------------------------------- */

START_TEST(every_revocation_is_counted_for_its_issuer_and_a_refused_one_is_not) {
        struct error err = { 0 };

        put_many(1, 10, 0);
        ck_ok(revoke_one(1, REASON_CERTIFICATE_HOLD, 5000, &err), err);
        ck_ok(revoke_one(1, REASON_KEY_COMPROMISE, 5001, &err), err);
        ck_ok(revoke_one(5, REASON_UNSPECIFIED, 5001, &err), err);
        ck_refused(revoke_one(1, REASON_SUPERSEDED, 5002, &err), err, ERR_ALREADY_REVOKED);
        ck_assert_int_eq(crl_of("int-1").changes, 2);
        ck_assert_int_eq(crl_of("int-2").changes, 1);
        fixture_reopen();
        ck_assert_int_eq(crl_of("int-1").changes, 2);
}
END_TEST

START_TEST(what_is_known_of_a_crl_survives_and_leaves_the_count_alone) {
        struct crl_row row = { .issuer = "int-1",
                               .changes = 99,
                               .included = 1,
                               .number = 1800000000,
                               .this_update = 10,
                               .next_update = 20,
                               .scheduled_at = 5,
                               .entries = 1 };
        struct error err = { 0 };
        struct crl_row found;

        put_many(1, 2, 0);
        ck_ok(revoke_one(1, REASON_UNSPECIFIED, 5000, &err), err);
        put_crl(&row);
        ck_ok(revoke_one(2, REASON_UNSPECIFIED, 5000, &err), err);
        fixture_reopen();
        found = crl_of("int-1");
        ck_assert_int_eq(found.changes, 2);
        ck_assert_int_eq(found.included, 1);
        ck_assert_int_eq(found.number, 1800000000);
        ck_assert_int_eq(found.this_update, 10);
        ck_assert_int_eq(found.next_update, 20);
        ck_assert_int_eq(found.scheduled_at, 5);
        ck_assert_int_eq(found.entries, 1);
}
END_TEST

static void count_up(void *context) {
        (*(int *) context)++;
}

START_TEST(who_wants_to_know_is_told_after_the_commit) {
        struct store_options options = fixture_options;
        struct error err = { 0 };
        int told = 0;

        options.revoked = count_up;
        options.revoked_context = &told;
        fixture_store = store_close(fixture_store);
        ck_ok(store_open(fixture_fd, &options, &fixture_store, &err), err);
        put_many(1, 3, 0);
        ck_assert_int_eq(told, 0);
        ck_ok(revoke_one(1, REASON_CERTIFICATE_HOLD, 5000, &err), err);
        ck_assert_int_eq(told, 1);
        ck_ok(revoke_one(1, REASON_REMOVE_FROM_CRL, 5000, &err), err);
        ck_assert_int_eq(told, 2);
        ck_refused(revoke_one(1, REASON_REMOVE_FROM_CRL, 5000, &err), err, ERR_STATE_CONFLICT);
}
END_TEST

/* ---- an older database -------------------------------------------------------------------------------------- */

static size_t adopt_rows(const struct revoked_row *rows, size_t count) {
        struct store_adopt adopt;
        struct error err = { 0 };

        store_adopt_init(&adopt, "int-1", rows, count, NULL);
        ck_ok(store_write(fixture_store, &adopt.op, &err), err);
        return adopt.adopted;
}

static struct revoked_row row_of(uint64_t n, enum revocation_reason reason, int64_t at) {
        struct revoked_row row = { .revoked_at = at, .reason = reason };
        struct made m;

        row.serial_size = make(&m, n)->serial.size;
        memcpy(row.serial, m.serial, row.serial_size);
        return row;
}

START_TEST(what_was_published_is_taken_over_and_nothing_is_lifted) {
        const struct revoked_row rows[] = {
                row_of(1, REASON_SUPERSEDED, 7000),       /* valid here */
                row_of(2, REASON_UNSPECIFIED, 7001),      /* on hold here */
                row_of(3, REASON_CERTIFICATE_HOLD, 7002), /* revoked here */
                row_of(4, REASON_CERTIFICATE_HOLD, 7003), /* on hold, too */
                row_of(901, REASON_KEY_COMPROMISE, 7004), /* from after the copy was made */
                row_of(902, REASON_CERTIFICATE_HOLD, 7005),
        };
        struct error err = { 0 };
        const struct revoked_row *entry;
        size_t count;
        struct made m;

        put_many(1, 9, 0);
        ck_ok(revoke_one(2, REASON_CERTIFICATE_HOLD, 5000, &err), err);
        ck_ok(revoke_one(3, REASON_KEY_COMPROMISE, 5000, &err), err);
        ck_ok(revoke_one(4, REASON_CERTIFICATE_HOLD, 5000, &err), err);
        ck_ok(revoke_one(6, REASON_CERTIFICATE_HOLD, 5000, &err), err);
        ck_assert_uint_eq(adopt_rows(rows, ARRAY_SIZE(rows)), 4);
        ck_assert_uint_eq(adopt_rows(rows, ARRAY_SIZE(rows)), 0);
        fixture_reopen();
        count = walk("int-1", 0, 4);
        ck_assert_uint_eq(count, 7);
        entry = find_walked(count, make(&m, 1)->serial);
        ck_assert(entry && entry->reason == REASON_SUPERSEDED && entry->revoked_at == 7000);
        entry = find_walked(count, make(&m, 2)->serial);
        ck_assert(entry && entry->reason == REASON_UNSPECIFIED && entry->revoked_at == 7001);
        entry = find_walked(count, make(&m, 3)->serial);
        ck_assert(entry && entry->reason == REASON_KEY_COMPROMISE && entry->revoked_at == 5000);
        entry = find_walked(count, make(&m, 4)->serial);
        ck_assert(entry && entry->revoked_at == 5000);
        ck_assert_ptr_nonnull(find_walked(count, make(&m, 6)->serial));
        entry = find_walked(count, make(&m, 901)->serial);
        ck_assert(entry && entry->reason == REASON_KEY_COMPROMISE && entry->revoked_at == 7004);
        ck_assert_int_eq(entry->not_after, INT64_MAX);
        ck_assert_ptr_nonnull(find_walked(count, make(&m, 902)->serial));
}
END_TEST

START_TEST(unknown_ones_are_walked_in_steps_too) {
        static const size_t steps[] = { 1, 3, 8, 1024 };
        struct revoked_row rows[20];
        struct error err = { 0 };

        put_many(1, 4, 0);
        for (uint64_t n = 1; n <= 4; n++)
                ck_ok(revoke_one(n, REASON_UNSPECIFIED, 5000, &err), err);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                rows[i] = row_of(500 + i, REASON_SUPERSEDED, 6000);
        ck_assert_uint_eq(adopt_rows(rows, ARRAY_SIZE(rows)), 20);
        ck_assert_uint_eq(walk("int-1", 0, steps[_i]), 24);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                ck_assert_ptr_nonnull(find_walked(24, BYTES(rows[i].serial, rows[i].serial_size)));
        ck_assert_uint_eq(walk("int-1", INT64_MAX, steps[_i]), 20);
        ck_assert_uint_eq(walk("int-2", 0, steps[_i]), 0);
}
END_TEST

START_TEST(a_crl_lifts_nothing) {
        struct revoked_row row = row_of(1, REASON_REMOVE_FROM_CRL, 6000);
        struct store_adopt adopt;
        struct error err;

        put_many(1, 1, 0);
        store_adopt_init(&adopt, "int-1", &row, 1, NULL);
        ck_refused(store_write(fixture_store, &adopt.op, &err), err, ERR_REASON_INVALID);
}
END_TEST

/* ---- R-7 ---------------------------------------------------------------------------------------------------- */

#define MODEL_CERTIFICATES 60
#define MODEL_STEPS 400
#define MODEL_START INT64_C(1800000000)
#define REFRESH_S INT64_C(86400)

/* What somebody who only remembers would say of each certificate. */
struct model {
        struct {
                enum cert_status status;
                int64_t not_after, revoked_at;
                enum revocation_reason reason;
                /* this_update of scheduled CRLs since it expired that had it; RFC 5280 §3.3 asks for one */
                bool shown_after_end;
        } at[MODEL_CERTIFICATES];
        int64_t now, last_number;
        uint64_t random;
};

static uint64_t pick(struct model *m, uint64_t below) {
        m->random ^= m->random << 13;
        m->random ^= m->random >> 7;
        m->random ^= m->random << 17;
        return m->random % below;
}

struct model_put {
        struct store_op op;
        const struct model *model;
};

static int model_apply(struct store_tx *tx, struct store_op *op, struct error *err) {
        const struct model *m = ((const struct model_put *) op)->model;

        for (uint64_t n = 0; n < MODEL_CERTIFICATES; n++) {
                struct made made;
                struct cert_row *row = make(&made, n);

                row->issuer = "int-1";
                row->not_after = m->at[n].not_after;
                if (tx_put_certificate(tx, row, err) < 0)
                        return -1;
        }
        return 0;
}

static void model_begin(struct model *m, uint64_t seed) {
        struct model_put put = { .op = { .apply = model_apply }, .model = m };
        struct error err = { 0 };

        *m = (struct model){ .now = MODEL_START, .random = seed * 0x9e3779b97f4a7c15u + 1 };
        for (size_t i = 0; i < MODEL_CERTIFICATES; i++)
                m->at[i].not_after = MODEL_START + (int64_t) pick(m, 20 * 86400);
        ck_ok(store_write(fixture_store, &put.op, &err), err);
}

static void model_revoke(struct model *m) {
        static const enum revocation_reason choices[] = {
                REASON_UNSPECIFIED,      REASON_KEY_COMPROMISE,   REASON_SUPERSEDED,
                REASON_CERTIFICATE_HOLD, REASON_CERTIFICATE_HOLD, REASON_REMOVE_FROM_CRL,
        };
        uint64_t n = pick(m, MODEL_CERTIFICATES);
        enum revocation_reason reason = choices[pick(m, ARRAY_SIZE(choices))];
        enum cert_status from = m->at[n].status,
                         to = reason == REASON_REMOVE_FROM_CRL ? CERT_STATUS_VALID
                : reason == REASON_CERTIFICATE_HOLD            ? CERT_STATUS_HELD
                                                               : CERT_STATUS_REVOKED;
        bool learned = from == CERT_STATUS_REVOKED && reason == REASON_KEY_COMPROMISE &&
                m->at[n].reason != REASON_KEY_COMPROMISE;
        bool allowed = learned || (from != CERT_STATUS_REVOKED && from != to);
        struct error err = { 0 };

        ck_assert_int_eq(revoke_one(n, reason, m->now, &err), allowed ? 0 : -1);
        if (!allowed)
                return;
        m->at[n].status = to;
        if (!learned)
                m->at[n].revoked_at = m->now;
        m->at[n].reason = reason;
}

/* What the publisher does, with our clock in place of the world's. */
static void model_publish(struct model *m) {
        static const struct crl_settings settings = { 7 * REFRESH_S, REFRESH_S };
        struct crl_row row = crl_of("int-1");
        struct crl_times times = crl_times_of(&settings, m->now, row.number, row.scheduled_at, 0,
                                              m->now + 10000 * REFRESH_S);
        bool scheduled = crl_counts_as_scheduled(CRL_DUE_CHANGED, &settings, m->now,
                                                 row.scheduled_at);
        size_t count = walk("int-1", times.floor, 16);

        ck_assert_int_gt(times.number, m->last_number);
        m->last_number = times.number;
        for (uint64_t n = 0; n < MODEL_CERTIFICATES; n++) {
                bool revoked = m->at[n].status != CERT_STATUS_VALID;
                struct made made;
                const struct revoked_row *entry = find_walked(count, make(&made, n)->serial);

                ck_assert_msg(!entry || revoked, "%llu is valid and on it", (unsigned long long) n);
                ck_assert_msg(entry || !revoked || m->at[n].not_after < m->now,
                              "%llu has not expired and is not on it", (unsigned long long) n);
                if (entry) {
                        ck_assert_int_eq(entry->reason, m->at[n].reason);
                        ck_assert_int_eq(entry->revoked_at, m->at[n].revoked_at);
                }
                /* revoked before its end: on one scheduled CRL after it */
                ck_assert_msg(entry || !revoked || m->at[n].revoked_at > m->at[n].not_after ||
                                      m->at[n].shown_after_end,
                              "%llu left before it was shown as expired", (unsigned long long) n);
                if (entry && scheduled && m->at[n].not_after < times.this_update)
                        m->at[n].shown_after_end = true;
                /* … and not for ever: two schedules after its end it is gone */
                ck_assert_msg(!entry || m->at[n].not_after > m->now - 3 * REFRESH_S - 1000 ||
                                      row.scheduled_at < m->at[n].not_after,
                              "%llu is still on it", (unsigned long long) n);
        }
        if (scheduled)
                row.scheduled_at = times.this_update;
        row.included = row.changes;
        row.number = times.number;
        row.this_update = times.this_update;
        row.next_update = times.next_update;
        row.entries = (int64_t) count;
        put_crl(&row);
}

START_TEST(the_next_crl_is_what_a_model_says) {
        struct model m;

        model_begin(&m, (uint64_t) _i + 1);
        for (int step = 0; step < MODEL_STEPS; step++) {
                switch (pick(&m, 8)) {
                case 0:
                        m.now += (int64_t) pick(&m, 2 * REFRESH_S);
                        break;
                case 1:
                        if (pick(&m, 4) == 0)
                                fixture_reopen();
                        break;
                case 2:
                case 3:
                        model_publish(&m);
                        break;
                default:
                        m.now += (int64_t) pick(&m, 100);
                        model_revoke(&m);
                        break;
                }
        }
        model_publish(&m);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("crls");
        TCase *steps = tcase_create("steps"), *model = tcase_create("model");

        tcase_add_checked_fixture(steps, fixture_setup, fixture_teardown);
        tcase_add_loop_test(steps, a_walk_meets_each_once_whatever_its_steps, 0, 5);
        tcase_add_test(steps, a_walk_begins_at_an_end);
        tcase_add_test(steps, an_issuer_without_certificates_has_no_entries);
        tcase_add_test(steps, a_lifted_hold_is_gone);
        tcase_add_test(steps, a_walk_among_writers_misses_nothing);
        tcase_add_test(steps, every_revocation_is_counted_for_its_issuer_and_a_refused_one_is_not);
        tcase_add_test(steps, what_is_known_of_a_crl_survives_and_leaves_the_count_alone);
        tcase_add_test(steps, who_wants_to_know_is_told_after_the_commit);
        tcase_add_test(steps, what_was_published_is_taken_over_and_nothing_is_lifted);
        tcase_add_loop_test(steps, unknown_ones_are_walked_in_steps_too, 0, 4);
        tcase_add_test(steps, a_crl_lifts_nothing);
        tcase_add_checked_fixture(model, fixture_setup, fixture_teardown);
        tcase_set_timeout(model, 60);
        tcase_add_loop_test(model, the_next_crl_is_what_a_model_says, 0, 6);
        tcase_set_timeout(steps, 60);
        suite_add_tcase(suite, steps);
        suite_add_tcase(suite, model);
        return unit_main(suite);
}
