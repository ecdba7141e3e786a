/*
 * Requests in the store: who gives way in a full queue, what may become of one, what is forgotten; and the code for reading aloud.
 */
#include <inttypes.h>

#include "store-fixture.h"

#include "daemon/authority/requests.h"
#include "db/requests.h"
#include "lib/base/text.h"
#include "lib/pki/request_code.h"

#define NOW INT64_C(1800000000)
#define LIFE_S (7 * INT64_C(86400))
#define DAY_S INT64_C(86400)

static struct request_queue queue;

static void set_up(void) {
        fixture_setup();
        queue = (struct request_queue){ .total = 1000, .per_source = 10 };
}

/* Request @n: id, code and wish follow from it. */
static void make_request(struct store_put_request *put, const char *source, uint64_t n,
                         int64_t now) {
        static const char *const names[] = { "nas.lan", "10.0.0.7" };
        uint8_t hash[STORE_HASH_SIZE];

        store_put_request_init(put, NULL);
        made_hash(n, hash);
        memcpy(put->row.id, hash, sizeof(put->row.id));
        (void) snprintf(put->row.code, sizeof(put->row.code), "%08" PRIX64, n & 0xffffffff);
        made_hash(n + 5000000, put->row.wish);
        made_hash(n + 6000000, put->row.spki);
        put->row.source = source;
        put->row.key = "ECDSA P-256";
        put->row.profile = "server";
        put->row.names = names;
        put->row.name_count = ARRAY_SIZE(names);
        put->row.csr = BYTES_LITERAL("a CSR");
        put->row.handed_in_at = now;
        put->row.expires_at = now + LIFE_S;
        put->queue = queue;
}

static enum error_code hand_in(const char *source, uint64_t n, int64_t now,
                               struct store_put_request *ret) {
        struct error err = { 0 };

        make_request(ret, source, n, now);
        (void) store_write(fixture_store, &ret->op, &err);
        return err.code;
}

static void must_hand_in(const char *source, uint64_t n) {
        struct store_put_request put;

        ck_assert_int_eq(hand_in(source, n, NOW, &put), ERR_NONE);
}

static bool is_there(uint64_t n) {
        CAD_AUTO(request_row_free) struct request_row *row = NULL;
        struct store_put_request put;
        struct error err = { 0 };

        make_request(&put, "", n, NOW);
        if (store_get_request(fixture_store, put.row.id, &row, &err) == 0)
                return true;
        ck_assert_int_eq(err.code, ERR_NOT_FOUND);
        return false;
}

static int64_t waiting_of(const char *source) {
        char sql[200];

        (void) snprintf(sql, sizeof(sql),
                        "SELECT count(*) FROM requests WHERE csr IS NOT NULL AND source = '%s'",
                        source);
        return fixture_number(sql);
}

/* ---- one ---- */

START_TEST(what_is_handed_in_is_found_by_id_and_by_code) {
        CAD_AUTO(request_row_free) struct request_row *by_id = NULL, *by_code = NULL;
        struct store_put_request put;
        struct error err = { 0 };

        make_request(&put, "192.0.2.1", 7, NOW);
        put.row.label = "kitchen";
        put.row.lifetime_s = 3600;
        ck_ok(store_write(fixture_store, &put.op, &err), err);
        ck_assert(!put.known && !put.gave_way[0]);
        ck_ok(store_get_request(fixture_store, put.row.id, &by_id, &err), err);
        ck_ok(store_find_request(fixture_store, "00000007", &by_code, &err), err);
        ck_assert_int_eq(by_id->row_id, by_code->row_id);
        ck_assert_str_eq(by_id->code, "00000007");
        ck_assert_str_eq(by_id->source, "192.0.2.1");
        ck_assert_str_eq(by_id->label, "kitchen");
        ck_assert_str_eq(by_id->key, "ECDSA P-256");
        ck_assert_int_eq(by_id->lifetime_s, 3600);
        ck_assert_uint_eq(by_id->name_count, 2);
        ck_assert_str_eq(by_id->names[1], "10.0.0.7");
        ck_assert(bytes_equal(by_id->csr, BYTES_LITERAL("a CSR")));
        ck_assert_int_eq(request_row_status(by_id, NOW), REQUEST_WAITING);
        ck_assert_int_eq(request_row_status(by_id, NOW + LIFE_S), REQUEST_EXPIRED);
        ck_assert_ptr_null(by_id->decided_by);
        ck_assert_uint_eq(by_id->serial.size, 0);
}
END_TEST

START_TEST(the_same_wish_of_the_same_source_is_the_same_request) {
        struct store_put_request first, again, other;

        ck_assert_int_eq(hand_in("uid:1000", 1, NOW, &first), ERR_NONE);
        make_request(&again, "uid:1000", 2, NOW + 60);
        memcpy(again.row.wish, first.row.wish, sizeof(again.row.wish));
        ck_assert_int_eq(store_write(fixture_store, &again.op, NULL), 0);
        ck_assert(again.known);
        ck_assert_mem_eq(again.row.id, first.row.id, sizeof(first.row.id));
        ck_assert_str_eq(again.row.code, first.row.code);
        ck_assert_int_eq(again.row.expires_at, first.row.expires_at);
        ck_assert_int_eq(fixture_number("SELECT count(*) FROM requests"), 1);

        /* of another source it is another one, and so it is when the first has expired */
        make_request(&other, "uid:1001", 3, NOW);
        memcpy(other.row.wish, first.row.wish, sizeof(other.row.wish));
        ck_assert_int_eq(store_write(fixture_store, &other.op, NULL), 0);
        ck_assert(!other.known);
        make_request(&other, "uid:1000", 4, NOW + LIFE_S);
        memcpy(other.row.wish, first.row.wish, sizeof(other.row.wish));
        ck_assert_int_eq(store_write(fixture_store, &other.op, NULL), 0);
        ck_assert(!other.known);
}
END_TEST

START_TEST(a_code_that_is_taken_is_told_so_that_another_is_drawn) {
        struct store_put_request put;
        struct error err = { 0 };

        must_hand_in("uid:1000", 1);
        make_request(&put, "uid:1000", 2, NOW);
        memcpy(put.row.code, "00000001", sizeof(put.row.code));
        ck_refused(store_write(fixture_store, &put.op, &err), err, ERR_STATE_CONFLICT);
        ck_assert(put.code_taken);
        ck_assert_int_eq(hand_in("uid:1000", 2, NOW, &put), ERR_NONE);
        ck_assert(!put.code_taken);
}
END_TEST

/* ---- the queue ---- */

START_TEST(a_source_may_have_so_many_and_no_more) {
        struct store_put_request put;

        for (uint64_t n = 0; n < 10; n++)
                must_hand_in("192.0.2.1", n);
        ck_assert_int_eq(hand_in("192.0.2.1", 10, NOW, &put), ERR_TOO_MANY_REQUESTS);
        must_hand_in("192.0.2.2", 11);
        /* what has expired counts no more, swept or not */
        ck_assert_int_eq(hand_in("192.0.2.1", 10, NOW + LIFE_S, &put), ERR_NONE);
}
END_TEST

START_TEST(a_flood_from_one_source_pushes_out_itself_alone) {
        struct store_put_request put;

        queue = (struct request_queue){ .total = 20, .per_source = 20 };
        for (uint64_t n = 0; n < 5; n++)
                must_hand_in("honest", n);
        for (uint64_t n = 100; n < 115; n++)
                must_hand_in("flood", n);
        /* full: the one that floods gets no more, the newest of it gives way to others */
        ck_assert_int_eq(hand_in("flood", 200, NOW, &put), ERR_OVERLOADED);
        ck_assert_int_eq(hand_in("newcomer", 300, NOW, &put), ERR_NONE);
        ck_assert_str_eq(put.gave_way, "00000072"); /* 114 */
        ck_assert(!is_there(114) && is_there(113) && is_there(300));
        ck_assert_int_eq(waiting_of("honest"), 5);
}
END_TEST

START_TEST(a_flood_from_many_sources_leaves_room_for_one_more_of_each) {
        struct store_put_request put;
        char source[32];

        queue = (struct request_queue){ .total = 60, .per_source = 10 };
        for (uint64_t n = 0; n < 2; n++)
                must_hand_in("honest", 1000 + n);
        /* 30 addresses, and each tries for all that it may have */
        for (uint64_t n = 0; n < 300; n++) {
                (void) snprintf(source, sizeof(source), "10.0.0.%d", (int) (n % 30));
                (void) hand_in(source, n, NOW, &put);
        }
        ck_assert_int_eq(fixture_number("SELECT count(*) FROM requests"), 60);
        ck_assert_int_eq(waiting_of("honest"), 2);
        /* nobody has more than a share, give or take one */
        ck_assert_int_le(
                fixture_number(
                        "SELECT max(n) FROM (SELECT count(*) n FROM requests GROUP BY source)"),
                2);
        for (uint64_t n = 0; n < 20; n++) {
                (void) snprintf(source, sizeof(source), "192.168.0.%d", (int) n);
                ck_assert_int_eq(hand_in(source, 2000 + n, NOW, &put), ERR_NONE);
        }
        ck_assert_int_ge(waiting_of("honest"), 1);
}
END_TEST

START_TEST(where_each_has_one_nobody_is_pushed_out) {
        struct store_put_request put;
        char source[32];

        queue = (struct request_queue){ .total = 8, .per_source = 10 };
        for (uint64_t n = 0; n < 8; n++) {
                (void) snprintf(source, sizeof(source), "10.0.0.%d", (int) n);
                must_hand_in(source, n);
        }
        ck_assert_int_eq(hand_in("10.0.0.8", 8, NOW, &put), ERR_OVERLOADED);
        ck_assert_int_eq(hand_in("10.0.0.0", 9, NOW, &put), ERR_OVERLOADED);
        ck_assert_int_eq(fixture_number("SELECT count(*) FROM requests"), 8);
}
END_TEST

START_TEST(of_two_that_have_as_many_the_newest_gives_way) {
        struct store_put_request put;

        queue = (struct request_queue){ .total = 6, .per_source = 10 };
        for (uint64_t n = 0; n < 6; n++)
                must_hand_in(n % 2 ? "b" : "a", n); /* a: 0 2 4, b: 1 3 5 */
        ck_assert_int_eq(hand_in("c", 10, NOW, &put), ERR_NONE);
        ck_assert_str_eq(put.gave_way, "00000005");
        ck_assert_int_eq(hand_in("c", 11, NOW, &put), ERR_NONE);
        ck_assert_str_eq(put.gave_way, "00000004");
        ck_assert_int_eq(hand_in("c", 12, NOW, &put), ERR_OVERLOADED);
}
END_TEST

START_TEST(what_gave_way_gives_its_number_to_nobody) {
        struct store_put_request first, second;

        queue = (struct request_queue){ .total = 2, .per_source = 10 };
        must_hand_in("a", 1);
        ck_assert_int_eq(hand_in("a", 2, NOW, &first), ERR_NONE);
        ck_assert_int_eq(hand_in("b", 3, NOW, &second), ERR_NONE);
        ck_assert_str_eq(second.gave_way, first.row.code);
        ck_assert_int_gt(second.row.row_id, first.row.row_id);
}
END_TEST

/* ---- decisions ---- */

struct approve_op {
        struct store_op op;
        struct request_approval approval;
};

static int approve_apply(struct store_tx *tx, struct store_op *op, struct error *err) {
        struct approve_op *a = (struct approve_op *) op;

        return tx_approve_request(tx, &a->approval, BYTES_LITERAL("\x01\x02"), err);
}

static int approve(int64_t row_id, int64_t at, struct error *err) {
        struct approve_op op = { .op = { .apply = approve_apply },
                                 .approval = {
                                         .row_id = row_id, .decided_by = "uid:0", .at = at } };

        return store_write(fixture_store, &op.op, err);
}

static int deny(int64_t row_id, int64_t at, struct error *err) {
        struct store_deny_request op;

        store_deny_request_init(&op, NULL);
        op.row_id = row_id;
        op.decided_by = "uid:0";
        op.reason = "who are you?";
        op.at = at;
        return store_write(fixture_store, &op.op, err);
}

static int let_expire(int64_t row_id, int64_t at, struct error *err) {
        (void) row_id, (void) at, (void) err;
        return 0;
}

static const struct {
        const char *why;
        int (*first)(int64_t row_id, int64_t at, struct error *err);
        int64_t at;
        enum request_status status;
        const char *said;
} moves[] = {
        { "approved is final", approve, NOW + 1, REQUEST_APPROVED, "approved" },
        { "denied is final", deny, NOW + 1, REQUEST_DENIED, "denied" },
        { "expired is final", let_expire, NOW, REQUEST_EXPIRED, "expired" },
};

START_TEST(a_request_is_decided_on_once) {
        CAD_AUTO(request_row_free) struct request_row *row = NULL;
        struct store_put_request put;
        struct error err = { 0 };
        int64_t later = NOW + LIFE_S;

        ck_assert_int_eq(hand_in("a", 1, NOW, &put), ERR_NONE);
        ck_ok(moves[_i].first(put.row.row_id, moves[_i].at, &err), err);
        for (int i = 0; i < 2; i++) {
                err = (struct error){ 0 };
                ck_refused(i ? approve(put.row.row_id, later, &err)
                             : deny(put.row.row_id, later, &err),
                           err, ERR_STATE_CONFLICT);
                ck_assert_msg(strstr(err.text, moves[_i].said), "%s: %s", moves[_i].why, err.text);
        }
        ck_ok(store_get_request(fixture_store, put.row.id, &row, &err), err);
        ck_assert_int_eq(request_row_status(row, later), moves[_i].status);
        if (moves[_i].status == REQUEST_EXPIRED)
                return;
        ck_assert_int_eq(row->decided_at, NOW + 1);
        ck_assert_str_eq(row->decided_by, "uid:0");
        ck_assert_uint_eq(row->csr.size, 0);
        ck_assert_uint_eq(row->serial.size, moves[_i].status == REQUEST_APPROVED ? 2 : 0);
        ck_assert(moves[_i].status == REQUEST_APPROVED || text_equal(row->reason, "who are you?"));
}
END_TEST

START_TEST(a_request_that_gave_way_cannot_be_decided_on) {
        struct store_put_request put, other;
        struct error err = { 0 };

        queue = (struct request_queue){ .total = 2, .per_source = 10 };
        must_hand_in("a", 1);
        ck_assert_int_eq(hand_in("a", 2, NOW, &put), ERR_NONE);
        ck_assert_int_eq(hand_in("b", 3, NOW, &other), ERR_NONE);
        ck_refused(approve(put.row.row_id, NOW, &err), err, ERR_NOT_FOUND);
}
END_TEST

START_TEST(certificate_and_approval_are_there_together_or_not_at_all) {
        CAD_AUTO(request_row_free) struct request_row *row = NULL;
        struct request_approval approval = { .decided_by = "uid:0", .at = NOW };
        struct store_put_request put;
        struct store_issue issue;
        struct made m;
        struct error err = { 0 };

        ck_assert_int_eq(hand_in("a", 1, NOW, &put), ERR_NONE);
        approval.row_id = put.row.row_id;
        store_issue_init(&issue, NULL);
        issue.row = *make(&m, 1);
        issue.approves = &approval;
        ck_ok(store_write(fixture_store, &issue.op, &err), err);
        ck_ok(store_get_request(fixture_store, put.row.id, &row, &err), err);
        ck_assert_int_eq(row->status, REQUEST_APPROVED);
        ck_assert(bytes_equal(row->serial, issue.row.serial));

        store_issue_init(&issue, NULL); /* another certificate for the same request */
        issue.row = *make(&m, 2);
        issue.approves = &approval;
        ck_refused(store_write(fixture_store, &issue.op, &err), err, ERR_STATE_CONFLICT);
        ck_assert_int_eq(fixture_number("SELECT count(*) FROM certificates"), 1);
}
END_TEST

/* ---- lists ---- */

struct page {
        char codes[512];
        size_t count;
};

static void note_code(const struct request_row *row, void *data) {
        struct page *page = data;

        (void) strncat(page->codes, row->code + 6, sizeof(page->codes) - strlen(page->codes) - 1);
        (void) strncat(page->codes, " ", sizeof(page->codes) - strlen(page->codes) - 1);
        page->count++;
}

static void list_all(enum request_status status, int64_t now, size_t limit, struct page *ret) {
        char next[STORE_CURSOR_MAX] = "";
        struct error err = { 0 };

        *ret = (struct page){ 0 };
        do
                ck_ok(store_list_requests(fixture_store, status, now, next, limit, note_code, ret,
                                          next, &err),
                      err);
        while (next[0]);
}

START_TEST(lists_go_by_status_newest_first_and_page_by_page) {
        struct store_put_request put[6];
        struct error err = { 0 };
        struct page page;

        for (uint64_t n = 0; n < 6; n++)
                ck_assert_int_eq(hand_in("a", n, NOW + (int64_t) n * DAY_S, &put[n]), ERR_NONE);
        ck_ok(approve(put[1].row.row_id, NOW + 1, &err), err);
        ck_ok(deny(put[4].row.row_id, NOW + 1, &err), err);
        for (size_t limit = 1; limit < 8; limit++) {
                list_all(REQUEST_STATUS_COUNT, NOW, limit, &page);
                ck_assert_str_eq(page.codes, "05 04 03 02 01 00 ");
                list_all(REQUEST_WAITING, NOW, limit, &page);
                ck_assert_str_eq(page.codes, "05 03 02 00 ");
                list_all(REQUEST_WAITING, NOW + LIFE_S + 2 * DAY_S, limit, &page);
                ck_assert_str_eq(page.codes, "05 03 ");
                list_all(REQUEST_EXPIRED, NOW + LIFE_S + 2 * DAY_S, limit, &page);
                ck_assert_str_eq(page.codes, "02 00 ");
                list_all(REQUEST_APPROVED, NOW, limit, &page);
                ck_assert_str_eq(page.codes, "01 ");
                list_all(REQUEST_DENIED, NOW, limit, &page);
                ck_assert_str_eq(page.codes, "04 ");
        }
}
END_TEST

static const char *const bad_cursors[] = { "r", "x5", "5", "r-1", "r5x", "r99999999999999999999" };

START_TEST(a_cursor_of_another_list_is_refused) {
        char next[STORE_CURSOR_MAX];
        struct error err = { 0 };
        struct page page = { 0 };

        ck_refused(store_list_requests(fixture_store, REQUEST_WAITING, NOW, bad_cursors[_i], 10,
                                       note_code, &page, next, &err),
                   err, ERR_QUERY_INVALID);
        ck_assert_str_eq(err.field, "cursor");
}
END_TEST

/* ---- forgetting ---- */

static int64_t sweep(int64_t now) {
        struct store_sweep_requests op;
        struct error err = { 0 };

        store_sweep_requests_init(&op, now, NULL);
        ck_ok(store_write(fixture_store, &op.op, &err), err);
        return op.swept;
}

START_TEST(what_has_expired_loses_its_csr_and_a_month_later_its_row) {
        struct store_put_request put;
        struct error err = { 0 };

        ck_assert_int_eq(hand_in("a", 1, NOW, &put), ERR_NONE);
        ck_assert_int_eq(hand_in("a", 2, NOW, &put), ERR_NONE);
        ck_ok(approve(put.row.row_id, NOW, &err), err);
        ck_assert_int_eq(sweep(NOW + LIFE_S - 1), 0);
        ck_assert_int_eq(sweep(NOW + LIFE_S), 1);
        ck_assert_int_eq(fixture_number("SELECT count(*) FROM requests WHERE csr IS NOT NULL"), 0);
        ck_assert(is_there(1) && is_there(2));
        ck_assert_int_eq(sweep(NOW + STORE_REQUEST_KEPT_S), 1);
        ck_assert(is_there(1) && !is_there(2));
        ck_assert_int_eq(sweep(NOW + LIFE_S + STORE_REQUEST_KEPT_S), 1);
        ck_assert(!is_there(1));
        ck_assert_int_eq(sweep(NOW + LIFE_S + STORE_REQUEST_KEPT_S), 0);
}
END_TEST

START_TEST(a_sweep_does_a_bounded_piece_of_work) {
        char source[32];
        int64_t left = 3 * STORE_REQUEST_SWEEP_STEP;

        for (int64_t n = 0; n < left; n++) {
                (void) snprintf(source, sizeof(source), "s%d", (int) n);
                must_hand_in(source, (uint64_t) n);
        }
        for (; left > 0; left -= STORE_REQUEST_SWEEP_STEP)
                ck_assert_int_eq(sweep(NOW + LIFE_S), STORE_REQUEST_SWEEP_STEP);
        ck_assert_int_eq(sweep(NOW + LIFE_S), 0);
}
END_TEST

START_TEST(what_waits_outlives_a_restart) {
        must_hand_in("a", 1);
        fixture_reopen();
        ck_assert(is_there(1));
        ck_assert_int_eq(waiting_of("a"), 1);
}
END_TEST

/* ---- the code ---- */

START_TEST(the_code_is_the_first_40_bits_of_sha256_over_id_and_key) {
        uint8_t id[REQUEST_ID_SIZE];
        char code[REQUEST_CODE_MAX], shown[REQUEST_CODE_SHOWN_MAX];

        for (size_t i = 0; i < sizeof(id); i++)
                id[i] = (uint8_t) i;
        /* printf '\0\1\2…\017spki' | sha256sum: 8c49e4801a…, in Crockford's alphabet */
        request_code(id, BYTES_LITERAL("spki"), code);
        ck_assert_str_eq(code, "HH4Y900T");
        ck_assert_str_eq(request_code_show(code, shown), "HH4Y-900T");
        request_code(id, BYTES_LITERAL("spkj"), code);
        ck_assert_str_ne(code, "HH4Y900T");
}
END_TEST

static const struct {
        const char *text, *code;
} heard[] = {
        { "7XK2M9QP", "7XK2M9QP" },  { "7xk2-m9qp", "7XK2M9QP" },
        { "7XK2 M9QP", "7XK2M9QP" }, { "oOiIlL00", "00111100" },
        { "7XK2M9Q", NULL },         { "7XK2M9QPP", NULL },
        { "7XK2M9QU", NULL },        { "", NULL },
        { "--------", NULL },        { "7XK2M9Q\xc3\xa9", NULL },
};

START_TEST(a_code_is_understood_as_people_say_it) {
        char code[REQUEST_CODE_MAX] = "untouch";

        if (heard[_i].code) {
                ck_assert_int_eq(request_code_parse(heard[_i].text, code), 0);
                ck_assert_str_eq(code, heard[_i].code);
        } else {
                ck_assert_int_eq(request_code_parse(heard[_i].text, code), -1);
                ck_assert_str_eq(code, "untouch");
        }
}
END_TEST

/* ---- who is counted, and how often it may ask ---- */

static const struct {
        const char *peer, *source;
} sources[] = {
        { "uid:1000 pid:4711", "uid:1000" },
        { "uid:0 pid:1", "uid:0" },
        { "192.0.2.7:40000", "192.0.2.7" },
        { "192.0.2.7", "192.0.2.7" },
        { "[::ffff:192.0.2.7]:40000", "192.0.2.7" },
        { "[2001:db8:1:2:aaaa::1]:443", "2001:db8:1:2::/64" },
        { "[2001:db8:1:2:bbbb::9]:99", "2001:db8:1:2::/64" },
        { "[fe80::1%eth0]:4711", "fe80::/64%eth0" },
        { "[fe80::2%eth1]:4711", "fe80::/64%eth1" },
        { "[::1]:4711", "::/64" },
        { "", "unknown" },
        { "unix", "unix" },
};

START_TEST(a_source_is_an_address_a_network_or_a_user) {
        char source[REQUEST_SOURCE_MAX];

        request_source(sources[_i].peer, source);
        ck_assert_str_eq(source, sources[_i].source);
}
END_TEST

START_TEST(who_waits_longer_asks_less_often) {
        const struct request_row row = { .handed_in_at = NOW };

        ck_assert_int_eq(requests_poll_s(&row, NOW - 5), 5);
        ck_assert_int_eq(requests_poll_s(&row, NOW), 5);
        ck_assert_int_eq(requests_poll_s(&row, NOW + 119), 5);
        ck_assert_int_eq(requests_poll_s(&row, NOW + 120), 30);
        ck_assert_int_eq(requests_poll_s(&row, NOW + 3600), 300);
        ck_assert_int_eq(requests_poll_s(&row, INT64_MAX), 300);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("requests");
        TCase *tc = tcase_create("store");

        tcase_add_checked_fixture(tc, set_up, fixture_teardown);
        tcase_set_timeout(tc, 60);
        tcase_add_test(tc, what_is_handed_in_is_found_by_id_and_by_code);
        tcase_add_test(tc, the_same_wish_of_the_same_source_is_the_same_request);
        tcase_add_test(tc, a_code_that_is_taken_is_told_so_that_another_is_drawn);
        tcase_add_test(tc, a_source_may_have_so_many_and_no_more);
        tcase_add_test(tc, a_flood_from_one_source_pushes_out_itself_alone);
        tcase_add_test(tc, a_flood_from_many_sources_leaves_room_for_one_more_of_each);
        tcase_add_test(tc, where_each_has_one_nobody_is_pushed_out);
        tcase_add_test(tc, of_two_that_have_as_many_the_newest_gives_way);
        tcase_add_test(tc, what_gave_way_gives_its_number_to_nobody);
        tcase_add_loop_test(tc, a_request_is_decided_on_once, 0, ARRAY_SIZE(moves));
        tcase_add_test(tc, a_request_that_gave_way_cannot_be_decided_on);
        tcase_add_test(tc, certificate_and_approval_are_there_together_or_not_at_all);
        tcase_add_test(tc, lists_go_by_status_newest_first_and_page_by_page);
        tcase_add_loop_test(tc, a_cursor_of_another_list_is_refused, 0, ARRAY_SIZE(bad_cursors));
        tcase_add_test(tc, what_has_expired_loses_its_csr_and_a_month_later_its_row);
        tcase_add_test(tc, a_sweep_does_a_bounded_piece_of_work);
        tcase_add_test(tc, what_waits_outlives_a_restart);
        suite_add_tcase(suite, tc);

        tc = tcase_create("code");
        tcase_add_test(tc, the_code_is_the_first_40_bits_of_sha256_over_id_and_key);
        tcase_add_loop_test(tc, a_code_is_understood_as_people_say_it, 0, ARRAY_SIZE(heard));
        suite_add_tcase(suite, tc);

        tc = tcase_create("callers");
        tcase_add_loop_test(tc, a_source_is_an_address_a_network_or_a_user, 0, ARRAY_SIZE(sources));
        tcase_add_test(tc, who_waits_longer_asks_less_often);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
