/*
 * Tokens in the store: in and out, pages, and that a use is taken once, with what it is used for or not at all.
 */
#include "tests/unit/store-fixture.h"

#include "lib/base/moment.h"

#define NOW 2000000

/* Token @n: its id rises with it. */
static struct token_row token(unsigned n) {
        static const char *const names[] = { "nas.lan", "*.sensors.lan" };
        struct token_row row = {
                .profile = "server",
                .names = names,
                .name_count = 2,
                .uses = 1,
                .created_at = NOW,
                .expires_at = NOW + 3600,
                .creator = "uid:0",
        };

        (void) snprintf(row.id, sizeof(row.id), "30000000%08x", n);
        made_hash(n, row.hash);
        return row;
}

struct put {
        struct store_op op;
        struct token_row row;
};

static int put_apply(struct store_tx *tx, struct store_op *op, struct error *err) {
        return tx_put_token(tx, &((struct put *) op)->row, err);
}

static int put_row(const struct token_row *row, struct error *err) {
        struct put put = { .op = { .apply = put_apply }, .row = *row };

        return store_write(fixture_store, &put.op, err);
}

static struct token_row put_token(unsigned n, int64_t uses) {
        struct token_row row = token(n);
        struct error err = { 0 };

        row.uses = uses;
        ck_ok(put_row(&row, &err), err);
        return row;
}

struct changing {
        struct store_op op;
        const char *id;
        int64_t at;
};

static int use_apply(struct store_tx *tx, struct store_op *op, struct error *err) {
        const struct changing *c = (const struct changing *) op;

        return tx_use_token(tx, c->id, c->at, err);
}

static int revoke_apply(struct store_tx *tx, struct store_op *op, struct error *err) {
        const struct changing *c = (const struct changing *) op;

        return tx_revoke_token(tx, c->id, c->at, err);
}

static int use_token(const char *id, int64_t at, struct error *err) {
        struct changing c = { .op = { .apply = use_apply }, .id = id, .at = at };

        return store_write(fixture_store, &c.op, err);
}

static int revoke_token(const char *id, int64_t at, struct error *err) {
        struct changing c = { .op = { .apply = revoke_apply }, .id = id, .at = at };

        return store_write(fixture_store, &c.op, err);
}

static struct token_row *get(const char *id) {
        struct token_row *row = NULL;
        struct error err = { 0 };

        ck_ok(store_get_token(fixture_store, id, &row, &err), err);
        return row;
}

/* ---- in and out ---- */

START_TEST(what_was_put_is_read_back_also_after_a_restart) {
        CAD_AUTO(token_row_free) struct token_row *found = NULL;
        struct token_row row = token(7);
        struct error err = { 0 };

        row.validity_max_s = 86400;
        row.uses = 3;
        row.label = "kitchen";
        ck_ok(put_row(&row, &err), err);
        fixture_reopen();
        found = get(row.id);
        ck_assert_str_eq(found->id, row.id);
        ck_assert_mem_eq(found->hash, row.hash, STORE_HASH_SIZE);
        ck_assert_str_eq(found->profile, "server");
        ck_assert_uint_eq(found->name_count, 2);
        ck_assert_str_eq(found->names[0], "nas.lan");
        ck_assert_str_eq(found->names[1], "*.sensors.lan");
        ck_assert_int_eq(found->validity_max_s, 86400);
        ck_assert_int_eq(found->uses, 3);
        ck_assert_int_eq(found->used, 0);
        ck_assert_int_eq(found->created_at, NOW);
        ck_assert_int_eq(found->expires_at, NOW + 3600);
        ck_assert_int_eq(found->last_used_at, 0);
        ck_assert_int_eq(found->revoked_at, 0);
        ck_assert_str_eq(found->creator, "uid:0");
        ck_assert_str_eq(found->label, "kitchen");
}
END_TEST

START_TEST(an_id_is_taken_once) {
        struct token_row row = put_token(1, 1);
        struct error err = { 0 };

        ck_refused(put_row(&row, &err), err, ERR_STATE_CONFLICT);
}
END_TEST

static const char *const no_ids[] = {
        "3000000000000002",
        "",
        "3",
        "300000000000000",
        "30000000000000010",
        "300000000000000G",
        "300000000000000A",
        "ffffffffffffffff",
        "' OR 1=1 --",
        "3000000000000001\n",
};

START_TEST(what_is_no_id_finds_nothing) {
        struct token_row row = put_token(1, 1), *found = NULL;
        struct error err = { 0 };

        (void) row;
        ck_refused(store_get_token(fixture_store, no_ids[_i], &found, &err), err, ERR_NOT_FOUND);
        ck_assert_ptr_null(found);
        ck_refused(use_token(no_ids[_i], NOW, &err), err, ERR_NOT_FOUND);
        ck_refused(revoke_token(no_ids[_i], NOW, &err), err, ERR_NOT_FOUND);
}
END_TEST

START_TEST(the_hash_of_an_unknown_token_is_nothing_and_no_error) {
        static const uint8_t nothing[STORE_HASH_SIZE];
        struct token_row row = put_token(1, 1);
        uint8_t hash[STORE_HASH_SIZE];
        struct error err = { 0 };
        bool found;

        ck_ok(store_token_hash(fixture_store, row.id, hash, &found, &err), err);
        ck_assert(found);
        ck_assert_mem_eq(hash, row.hash, sizeof(hash));
        ck_ok(store_token_hash(fixture_store, "3000000000000002", hash, &found, &err), err);
        ck_assert(!found);
        ck_assert_mem_eq(hash, nothing, sizeof(hash));
}
END_TEST

/* ---- pages ---- */

struct page {
        unsigned count, last;
};

static void count_row(const struct token_row *row, void *data) {
        struct page *page = data;
        unsigned n = (unsigned) strtoul(row->id + 8, NULL, 16);

        ck_assert_msg(page->count == 0 || n == page->last - 1, "%u after %u", n, page->last);
        ck_assert_uint_eq(row->name_count, 2);
        page->last = n;
        page->count++;
}

START_TEST(pages_give_each_token_once_the_newest_first) {
        static const size_t limits[] = { 1, 3, 7, 20, 21, 100 };
        char cursor[STORE_CURSOR_MAX] = "", next[STORE_CURSOR_MAX];
        struct page page = { 0 };
        struct error err = { 0 };

        for (unsigned n = 1; n <= 21; n++)
                (void) put_token(n, 1);
        do {
                ck_ok(store_list_tokens(fixture_store, cursor, limits[_i], count_row, &page, next,
                                        &err),
                      err);
                (void) memcpy(cursor, next, sizeof(next));
        } while (next[0]);
        ck_assert_uint_eq(page.count, 21);
        ck_assert_uint_eq(page.last, 1);
}
END_TEST

START_TEST(a_page_wants_a_cursor_and_a_limit_of_its_own) {
        static const char *const cursors[] = { "x", "o", "o300000000000000", "oo000000000000001",
                                               "a00000000000000000000000000000001" };
        char next[STORE_CURSOR_MAX];
        struct page page = { 0 };
        struct error err;

        for (size_t i = 0; i < ARRAY_SIZE(cursors); i++) {
                ck_refused(store_list_tokens(fixture_store, cursors[i], 10, count_row, &page, next,
                                             &err),
                           err, ERR_QUERY_INVALID);
                ck_assert_str_eq(err.field, "cursor");
        }
        ck_refused(store_list_tokens(fixture_store, "", 0, count_row, &page, next, &err), err,
                   ERR_QUERY_INVALID);
        ck_refused(store_list_tokens(fixture_store, "", STORE_PAGE_MAX + 1, count_row, &page, next,
                                     &err),
                   err, ERR_QUERY_INVALID);
}
END_TEST

/* ---- uses ---- */

START_TEST(each_use_is_taken_once_and_then_there_is_none) {
        CAD_AUTO(token_row_free) struct token_row *found = NULL;
        struct token_row row = put_token(1, 2);
        struct error err = { 0 };

        ck_ok(use_token(row.id, NOW + 1, &err), err);
        ck_ok(use_token(row.id, NOW + 2, &err), err);
        ck_refused(use_token(row.id, NOW + 3, &err), err, ERR_TOKEN_SPENT);
        ck_assert_msg(strstr(err.text, "2 certificates"), "%s", err.text);
        found = get(row.id);
        ck_assert_int_eq(found->used, 2);
        ck_assert_int_eq(found->last_used_at, NOW + 2);
        ck_assert_int_eq(token_row_status(found, NOW + 3), TOKEN_STATUS_USED_UP);
}
END_TEST

START_TEST(a_token_ends_at_its_second) {
        struct token_row row = put_token(1, 2);
        struct error err = { 0 };

        ck_ok(use_token(row.id, NOW + 3599, &err), err);
        ck_refused(use_token(row.id, NOW + 3600, &err), err, ERR_TOKEN_SPENT);
        ck_assert_msg(strstr(err.text, "expired"), "%s", err.text);
}
END_TEST

START_TEST(a_revoked_token_is_of_no_use_and_stays_revoked) {
        CAD_AUTO(token_row_free) struct token_row *found = NULL;
        struct token_row row = put_token(1, 2);
        struct error err = { 0 };

        ck_ok(revoke_token(row.id, NOW + 1, &err), err);
        ck_refused(use_token(row.id, NOW + 2, &err), err, ERR_TOKEN_SPENT);
        ck_assert_msg(strstr(err.text, "revoked"), "%s", err.text);
        ck_ok(revoke_token(row.id, NOW + 3, &err), err);
        found = get(row.id);
        ck_assert_int_eq(found->revoked_at, NOW + 1);
        ck_assert_int_eq(found->used, 0);
        ck_assert_int_eq(token_row_status(found, NOW), TOKEN_STATUS_REVOKED);
}
END_TEST

static const struct {
        const char *why;
        int64_t used, expires_at, revoked_at;
        enum token_status status;
} states[] = {
        { "new", 0, NOW + 1, 0, TOKEN_STATUS_ACTIVE },
        { "at its end", 0, NOW, 0, TOKEN_STATUS_EXPIRED },
        { "used up", 1, NOW + 1, 0, TOKEN_STATUS_USED_UP },
        { "used up before it ended", 1, NOW - 1, 0, TOKEN_STATUS_USED_UP },
        { "revoked after it was used up", 1, NOW - 1, NOW - 2, TOKEN_STATUS_REVOKED },
};

START_TEST(the_status_follows_from_the_row) {
        struct token_row row = token(1);
        struct error err = { 0 };

        row.used = states[_i].used;
        row.expires_at = states[_i].expires_at;
        row.revoked_at = states[_i].revoked_at;
        ck_assert_msg(token_row_status(&row, NOW) == states[_i].status, "%s", states[_i].why);
        ck_assert_ptr_nonnull(token_status_name(states[_i].status));
        if (states[_i].status == TOKEN_STATUS_ACTIVE)
                ck_ok(token_row_check(&row, NOW, &err), err);
        else
                ck_refused(token_row_check(&row, NOW, &err), err, ERR_TOKEN_SPENT);
}
END_TEST

/* ---- with a certificate ---- */

static int issue(unsigned n, const char *token_id, const struct idempotency *key,
                 struct error *err) {
        struct store_issue issue;
        struct made m;

        store_issue_init(&issue, NULL);
        issue.row = *make(&m, n);
        issue.row.issued_at = NOW;
        issue.token_id = token_id;
        issue.idempotency = key;
        return store_write(fixture_store, &issue.op, err);
}

START_TEST(a_certificate_takes_its_use_or_there_is_neither) {
        CAD_AUTO(token_row_free) struct token_row *found = NULL;
        struct token_row row = put_token(1, 2);
        struct error err = { 0 };

        ck_ok(issue(1, row.id, NULL, &err), err);
        ck_refused(issue(1, row.id, NULL, &err), err, ERR_STATE_CONFLICT); /* the same serial */
        found = get(row.id);
        ck_assert_int_eq(found->used, 1);
        ck_ok(issue(2, row.id, NULL, &err), err);
        ck_refused(issue(3, row.id, NULL, &err), err, ERR_TOKEN_SPENT);
        ck_assert_int_eq(fixture_number("SELECT count(*) FROM certificates"), 2);
}
END_TEST

/* Of two tries of one caller, the later one finds the use taken: it is to ask again, not to be told that its token is bad. */
START_TEST(a_second_try_with_the_same_key_is_told_to_ask_again) {
        const struct idempotency key = {
                .principal = "token:1", .method = "POST", .path = "/v1/certificates", .key = "k"
        };
        struct token_row row = put_token(1, 1);
        struct error err = { 0 };

        ck_ok(issue(1, row.id, &key, &err), err);
        ck_refused(issue(2, row.id, &key, &err), err, ERR_IDEMPOTENCY_IN_FLIGHT);
}
END_TEST

#define RACERS 50

static atomic_uint won;

static void count_winner(struct store_op *op, const struct error *err) {
        (void) op;
        if (!err)
                atomic_fetch_add(&won, 1);
        else
                ck_assert_int_eq(err->code, ERR_TOKEN_SPENT);
}

START_TEST(many_in_one_transaction_take_as_many_uses_as_there_are) {
        static struct store_issue issues[RACERS];
        static struct made made[RACERS];
        struct token_row row = put_token(1, 3);
        struct store_op *list = NULL;

        atomic_store(&won, 0);
        for (unsigned n = 0; n < RACERS; n++) {
                store_issue_init(&issues[n], count_winner);
                issues[n].row = *make(&made[n], n);
                issues[n].row.issued_at = NOW;
                issues[n].token_id = row.id;
                issues[n].op.next = list;
                list = &issues[n].op;
        }
        store_submit_list(fixture_store, list);
        fixture_store = store_close(fixture_store); /* waits for all */
        fixture_open();
        ck_assert_uint_eq(atomic_load(&won), 3);
        ck_assert_int_eq(fixture_number("SELECT count(*) FROM certificates"), 3);
        ck_assert_int_eq(fixture_number("SELECT used FROM tokens"), 3);
}
END_TEST

/* ---- pairing codes ---- */

static int put_short(unsigned n, int64_t now, struct error *err) {
        struct token_row row = token(n);

        row.is_short = true;
        row.created_at = now;
        row.expires_at = now + 600;
        return put_row(&row, err);
}

static void put_short_ok(unsigned n, int64_t now) {
        struct error err = { 0 };

        ck_ok(put_short(n, now, &err), err);
}

struct walked {
        size_t count;
        char last[STORE_TOKEN_ID_MAX];
};

static void count_short(const char *id, const uint8_t hash[STORE_HASH_SIZE], void *data) {
        struct walked *walked = data;

        (void) hash;
        walked->count++;
        (void) snprintf(walked->last, sizeof(walked->last), "%s", id);
}

static struct walked walk_short(int64_t now) {
        struct walked walked = { 0 };
        struct error err = { 0 };

        ck_ok(store_walk_short_tokens(fixture_store, now, count_short, &walked, &err), err);
        return walked;
}

START_TEST(a_walk_meets_the_codes_that_have_not_expired_and_no_long_token) {
        CAD_AUTO(token_row_free) struct token_row *found = NULL;
        struct error err = { 0 };

        (void) put_token(1, 1);
        put_short_ok(2, NOW);
        put_short_ok(3, NOW + 100);
        put_short_ok(4, NOW + 100);
        ck_ok(revoke_token(token(4).id, NOW + 100, &err), err);
        found = get(token(2).id);
        ck_assert(found->is_short);
        ck_assert_uint_eq(walk_short(NOW).count, 2);
        ck_assert_uint_eq(walk_short(NOW + 599).count, 2);
        ck_assert_uint_eq(walk_short(NOW + 600).count, 1);
        ck_assert_str_eq(walk_short(NOW + 600).last, token(3).id);
        ck_assert_uint_eq(walk_short(NOW + 700).count, 0);
        /* one that is used is still found, for who asks again */
        ck_ok(use_token(token(3).id, NOW + 100, &err), err);
        ck_assert_uint_eq(walk_short(NOW + 600).count, 1);
}
END_TEST

static void take_use(void) {
        struct error err = { 0 };

        ck_ok(use_token(token(100).id, NOW + 1, &err), err);
}

static void take_back(void) {
        struct error err = { 0 };

        ck_ok(revoke_token(token(100).id, NOW + 1, &err), err);
}

static const struct {
        const char *why;
        void (*change)(void); /* NULL: none */
        int64_t now;
        bool room;
} rooms[] = {
        { "all are good", NULL, NOW + 1, false },
        { "one is used", take_use, NOW + 1, true },
        { "one is revoked", take_back, NOW + 1, true },
        { "a second before they end", NULL, NOW + 599, false },
        { "they have ended", NULL, NOW + 600, true },
};

START_TEST(no_more_codes_are_good_at_a_time_than_may) {
        struct error err = { 0 };

        for (unsigned n = 0; n < STORE_TOKENS_SHORT_MAX; n++)
                put_short_ok(100 + n, NOW);
        if (rooms[_i].change)
                rooms[_i].change();
        if (rooms[_i].room)
                ck_ok(put_short(200, rooms[_i].now, &err), err);
        else
                ck_refused(put_short(200, rooms[_i].now, &err), err, ERR_TOO_MANY_REQUESTS);
        (void) put_token(300, 1); /* of long ones there may be as many as anybody likes */
}
END_TEST

START_TEST(no_two_codes_that_are_good_are_alike) {
        struct token_row twin = token(5);
        struct error err = { 0 };

        put_short_ok(5, NOW);
        (void) snprintf(twin.id, sizeof(twin.id), "%s", token(6).id);
        twin.is_short = true;
        ck_refused(put_row(&twin, &err), err, ERR_STATE_CONFLICT);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("token-store");
        TCase *tc = tcase_create("token-store");

        tcase_add_checked_fixture(tc, fixture_setup, fixture_teardown);
        tcase_add_test(tc, what_was_put_is_read_back_also_after_a_restart);
        tcase_add_test(tc, an_id_is_taken_once);
        tcase_add_loop_test(tc, what_is_no_id_finds_nothing, 0, ARRAY_SIZE(no_ids));
        tcase_add_test(tc, the_hash_of_an_unknown_token_is_nothing_and_no_error);
        tcase_add_loop_test(tc, pages_give_each_token_once_the_newest_first, 0, 6);
        tcase_add_test(tc, a_page_wants_a_cursor_and_a_limit_of_its_own);
        tcase_add_test(tc, each_use_is_taken_once_and_then_there_is_none);
        tcase_add_test(tc, a_token_ends_at_its_second);
        tcase_add_test(tc, a_revoked_token_is_of_no_use_and_stays_revoked);
        tcase_add_loop_test(tc, the_status_follows_from_the_row, 0, ARRAY_SIZE(states));
        tcase_add_test(tc, a_certificate_takes_its_use_or_there_is_neither);
        tcase_add_test(tc, a_second_try_with_the_same_key_is_told_to_ask_again);
        tcase_add_test(tc, many_in_one_transaction_take_as_many_uses_as_there_are);
        tcase_add_test(tc, a_walk_meets_the_codes_that_have_not_expired_and_no_long_token);
        tcase_add_loop_test(tc, no_more_codes_are_good_at_a_time_than_may, 0, ARRAY_SIZE(rooms));
        tcase_add_test(tc, no_two_codes_that_are_good_are_alike);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
