/*
 * The audit chain: one encoding a row and one row an encoding; and each way in which a chain can be tampered with is found,
 * with the rows that it is about.
 */
#include <stdio.h>
#include <string.h>

#include "lib/audit/verify.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "tests/unit/unit.h"

#define CA_ID "aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11"

/* ---- encoding ---------------------------------------------------------------------------------------------- */

static uint64_t seed = 1;

static unsigned pick(unsigned below) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        return (unsigned) (seed >> 33) % below;
}

struct texts {
        char text[AUDIT_TEXT_COUNT][8];
};

/* Few letters and short texts, so that rows which run into each other are met often. */
static void random_row(struct texts *texts, struct audit_row *ret) {
        *ret = (struct audit_row){ .number = 1 + pick(2), .at = pick(2) };
        for (int i = 0; i < AUDIT_TEXT_COUNT; i++) {
                size_t size = pick(2) + (pick(8) == 0);

                for (size_t k = 0; k < size; k++)
                        texts->text[i][k] = "a\0\1"[pick(3)];
                ret->text[i] = BYTES(texts->text[i], size);
        }
}

static bool same_row(const struct audit_row *a, const struct audit_row *b) {
        bool same = a->number == b->number && a->at == b->at;

        for (int i = 0; i < AUDIT_TEXT_COUNT; i++)
                same = same && bytes_equal(a->text[i], b->text[i]);
        return same;
}

START_TEST(two_rows_have_one_encoding_only_where_they_are_the_same) {
        unsigned met = 0;

        for (int n = 0; n < 200000; n++) {
                uint8_t a[AUDIT_ROW_MAX], b[AUDIT_ROW_MAX];
                struct texts x, y;
                struct audit_row one, other;
                size_t size_a, size_b;

                random_row(&x, &one);
                random_row(&y, &other);
                size_a = audit_row_encode(&one, a);
                size_b = audit_row_encode(&other, b);
                ck_assert_uint_gt(size_a, 0);
                ck_assert_msg(bytes_equal(BYTES(a, size_a), BYTES(b, size_b)) ==
                                      same_row(&one, &other),
                              "row %d", n);
                met += same_row(&one, &other);
        }
        ck_assert_uint_gt(met, 0);
}
END_TEST

START_TEST(what_moves_from_one_text_into_the_next_is_another_row) {
        for (int i = 0; i + 1 < AUDIT_TEXT_COUNT; i++) {
                struct audit_row one = { .number = 1 }, other = { .number = 1 };
                uint8_t a[AUDIT_ROW_MAX], b[AUDIT_ROW_MAX];
                size_t size_a, size_b;

                one.text[i] = BYTES_LITERAL("token.create");
                other.text[i] = BYTES_LITERAL("token.");
                other.text[i + 1] = BYTES_LITERAL("create");
                size_a = audit_row_encode(&one, a);
                size_b = audit_row_encode(&other, b);
                ck_assert(!bytes_equal(BYTES(a, size_a), BYTES(b, size_b)));
        }
}
END_TEST

static const struct audit_event an_event = {
        .at = 1795284000,
        .action = "certificate.issue",
        .principal = "uid:1000(anna)",
        .source = "uid:1000 pid:4711",
        .object = "1001a2",
        .detail = "server: nas.lan",
        .request_id = "0011223344556677",
};

/* Other people's programs compute it, too: it never changes. */
START_TEST(the_encoding_and_the_hashes_are_those_of_the_decision) {
        static const uint8_t beginning[] = { 0,    0,    0,    0,    0, 0, 0, 7,  0,   0,   0,  0,
                                             0x6b, 0x01, 0xdc, 0x20, 0, 0, 0, 17, 'c', 'e', 'r' };
        char scratch[AUDIT_SCRATCH_MAX], hex[2 * AUDIT_HASH_SIZE + 1];
        uint8_t octets[AUDIT_ROW_MAX], hash[AUDIT_HASH_SIZE];
        struct audit_row row = { .number = 7 };
        size_t size;

        audit_row_clean(&an_event, scratch, &row);
        size = audit_row_encode(&row, octets);
        ck_assert_uint_eq(size, 16 + 7 * 4 + 17 + 14 + 17 + 6 + 2 + 15 + 16);
        ck_assert_mem_eq(octets, beginning, sizeof(beginning));
        audit_chain_begin(CA_ID, hash);
        ck_assert_str_eq(hex_encode(BYTES(hash, sizeof(hash)), hex),
                         "f5e5b7f5a16a70c158d76322179127b3fb1068763b978402536b494375949be3");
        ck_assert_int_eq(audit_chain_next(hash, &row, hash), 0);
        ck_assert_str_eq(hex_encode(BYTES(hash, sizeof(hash)), hex),
                         "bff204c87af357ca14618fab9ab45967635d97fd4ad5642956a9a95679f1f6ec");
}
END_TEST

START_TEST(a_row_is_cleaned_once_and_for_all) {
        static const char *const odd[] = {
                "", "a\nb", "\xff\xfe", "line\xe2\x80\xa8sep", "\xe2\x80\xaegnp.exe", "ä€𐍈"
        };
        char longest[4 * AUDIT_DETAIL_MAX];

        memset(longest, 'x', sizeof(longest) - 1);
        longest[sizeof(longest) - 1] = '\0';
        for (size_t n = 0; n <= ARRAY_SIZE(odd); n++) {
                const char *text = n < ARRAY_SIZE(odd) ? odd[n] : longest;
                struct audit_event event = { .at = -1,
                                             .action = text,
                                             .principal = text,
                                             .source = text,
                                             .object = text,
                                             .outcome = text,
                                             .detail = text,
                                             .request_id = text };
                char scratch[AUDIT_SCRATCH_MAX];
                uint8_t octets[AUDIT_ROW_MAX];
                struct audit_row row = { .number = 1 };
                struct error err = { 0 };

                audit_row_clean(&event, scratch, &row);
                ck_assert_int_eq(row.at, 0);
                ck_ok(audit_row_check(&row, &err), err);
                ck_assert_uint_gt(audit_row_encode(&row, octets), 0);
                for (int i = 0; i < AUDIT_TEXT_COUNT; i++)
                        ck_assert(utf8_valid(row.text[i]));
        }
}
END_TEST

START_TEST(what_cad_never_writes_is_seen) {
        struct audit_row row = { .number = 1 };
        char too_long[AUDIT_WORD_MAX + 2];
        uint8_t octets[AUDIT_ROW_MAX];
        struct error err;

        memset(too_long, 'x', sizeof(too_long));
        ck_ok(audit_row_check(&row, &err), err);
        row.text[AUDIT_OBJECT] = BYTES_LITERAL("a\nb");
        ck_refused(audit_row_check(&row, &err), err, ERR_STORE);
        row.text[AUDIT_OBJECT] = BYTES("ok\0no", 5);
        ck_refused(audit_row_check(&row, &err), err, ERR_STORE);
        row.text[AUDIT_OBJECT] = BYTES_NONE;
        row.text[AUDIT_ACTION] = BYTES(too_long, AUDIT_WORD_MAX);
        ck_ok(audit_row_check(&row, &err), err);
        row.text[AUDIT_ACTION] = BYTES(too_long, AUDIT_WORD_MAX + 1);
        ck_refused(audit_row_check(&row, &err), err, ERR_STORE);
        ck_assert_uint_eq(audit_row_encode(&row, octets), 0);
        row.text[AUDIT_ACTION] = BYTES_NONE;
        row.number = 0;
        ck_refused(audit_row_check(&row, &err), err, ERR_STORE);
        row.number = 1;
        row.at = MOMENT_LAST + 1;
        ck_refused(audit_row_check(&row, &err), err, ERR_STORE);
}
END_TEST

START_TEST(the_largest_row_fits) {
        char text[AUDIT_DETAIL_MAX + 1], scratch[AUDIT_SCRATCH_MAX];
        struct audit_event event = { .at = MOMENT_LAST,
                                     .action = text,
                                     .principal = text,
                                     .source = text,
                                     .object = text,
                                     .outcome = text,
                                     .detail = text,
                                     .request_id = text };
        uint8_t octets[AUDIT_ROW_MAX];
        struct audit_row row = { .number = INT64_MAX };

        memset(text, 'x', AUDIT_DETAIL_MAX);
        text[AUDIT_DETAIL_MAX] = '\0';
        audit_row_clean(&event, scratch, &row);
        ck_assert_uint_eq(row.text[AUDIT_DETAIL].size, AUDIT_DETAIL_MAX);
        ck_assert_uint_gt(audit_row_encode(&row, octets), 1000);
}
END_TEST

/* ---- anchors as text --------------------------------------------------------------------------------------- */

START_TEST(an_anchor_is_read_back_as_it_was_written) {
        struct audit_anchor anchor = { .at = 1795284000, .number = 4711 }, back;
        char text[AUDIT_ANCHOR_TEXT_MAX];

        memset(anchor.hash, 0xa5, sizeof(anchor.hash));
        ck_assert_int_eq(audit_anchor_parse(audit_anchor_format(&anchor, text), &back), 0);
        ck_assert_int_eq(back.at, anchor.at);
        ck_assert_int_eq(back.number, anchor.number);
        ck_assert_mem_eq(back.hash, anchor.hash, sizeof(back.hash));
        anchor.number = INT64_MAX;
        anchor.at = MOMENT_LAST;
        ck_assert_int_eq(audit_anchor_parse(audit_anchor_format(&anchor, text), &back), 0);
}
END_TEST

#define HASH "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5"

static const char *const no_anchors[] = {
        "",
        "2026-11-21T18:00:00Z",
        "2026-11-21T18:00:00Z issue serial=01",
        "2026-11-21T18:00:00Z audit number= hash=" HASH,
        "2026-11-21T18:00:00Z audit number=-1 hash=" HASH,
        "2026-11-21T18:00:00Z audit number=99999999999999999999 hash=" HASH,
        "2026-11-21T18:00:00Z audit number=1 hash=a5",
        "2026-11-21T18:00:00Z audit number=1 hash=" HASH "a5",
        "2026-11-21T18:00:00Z audit number=1 hash=" HASH " ",
        "2026-13-21T18:00:00Z audit number=1 hash=" HASH,
        "x audit number=1 hash=" HASH,
};

START_TEST(what_is_no_anchor_is_not_taken_for_one) {
        struct audit_anchor anchor = { .number = 5 };

        ck_assert_msg(audit_anchor_parse(no_anchors[_i], &anchor) == -1, "%s", no_anchors[_i]);
        ck_assert_int_eq(anchor.number, 5);
}
END_TEST

/* ---- verifying --------------------------------------------------------------------------------------------- */

#define ROWS 50

/* A chain in memory, row n at [n]; a row that was taken out has number 0. */
struct chain {
        struct audit_row rows[ROWS + 2];
        char texts[ROWS + 2][32];
        int64_t last, head;
        struct audit_anchor anchors[8];
        size_t anchor_count;
};

static struct chain chain;

static void hash_from(int64_t from) {
        uint8_t before[AUDIT_HASH_SIZE];

        audit_chain_begin(CA_ID, before);
        for (int64_t n = 1; n <= chain.last; n++) {
                if (n >= from)
                        ck_assert_int_eq(audit_chain_next(before, &chain.rows[n],
                                                          chain.rows[n].hash),
                                         0);
                memcpy(before, chain.rows[n].hash, AUDIT_HASH_SIZE);
        }
}

static void set_object(int64_t n, const char *text) {
        (void) snprintf(chain.texts[n], sizeof(chain.texts[n]), "%s", text);
        chain.rows[n].text[AUDIT_OBJECT] = bytes_of(chain.texts[n]);
}

static void make_row(int64_t n, const char *object) {
        chain.rows[n] = (struct audit_row){ .number = n, .at = 1795284000 + n };
        chain.rows[n].text[AUDIT_ACTION] = BYTES_LITERAL("certificate.issue");
        chain.rows[n].text[AUDIT_OUTCOME] = BYTES_LITERAL("ok");
        set_object(n, object);
}

static void anchor_at(int64_t n) {
        struct audit_anchor *anchor = &chain.anchors[chain.anchor_count];

        *anchor = (struct audit_anchor){ .at = 1795284000 + 60 * (int64_t) ++chain.anchor_count,
                                         .number = n };
        memcpy(anchor->hash, chain.rows[n].hash, AUDIT_HASH_SIZE);
}

static void make_chain(void) {
        chain = (struct chain){ .last = ROWS, .head = ROWS };
        for (int64_t n = 1; n <= ROWS; n++) {
                char object[32];

                (void) snprintf(object, sizeof(object), "%lld", (long long) n);
                make_row(n, object);
        }
        hash_from(1);
        anchor_at(10);
        anchor_at(20);
        anchor_at(40);
}

static void none(void) {}

static void change_a_text(void) {
        set_object(17, "1001");
}

static void change_a_time(void) {
        chain.rows[17].at++;
}

static void change_the_newest(void) {
        set_object(ROWS, "1001");
}

static void change_the_first(void) {
        set_object(1, "1001");
}

static void change_a_hash(void) {
        chain.rows[17].hash[5] ^= 1;
}

static void change_an_anchored_hash(void) {
        chain.rows[20].hash[5] ^= 1;
}

static void take_one_out(void) {
        chain.rows[17].number = 0;
}

static void take_many_out(void) {
        for (int64_t n = 12; n <= 30; n++)
                chain.rows[n].number = 0;
}

static void take_the_first_out(void) {
        chain.rows[1].number = chain.rows[2].number = 0;
}

static void cut_what_is_anchored(void) {
        chain.last = chain.head = 35;
}

static void cut_what_the_head_has_seen(void) {
        chain.last = 47;
}

static void cut_one_that_is_anchored(void) {
        chain.last = chain.head = 39;
}

static void cut_one_that_the_head_has_seen(void) {
        chain.last = ROWS - 1;
}

static void cut_all(void) {
        chain.last = chain.head = 0;
}

static void swap_two(void) {
        struct audit_row row = chain.rows[22];

        chain.rows[22] = chain.rows[23];
        chain.rows[23] = row;
        chain.rows[22].number = 22;
        chain.rows[23].number = 23;
}

static void feed_out_of_order(void) {
        struct audit_row row = chain.rows[22];

        chain.rows[22] = chain.rows[23];
        chain.rows[23] = row;
}

static void insert_one(void) {
        for (int64_t n = ++chain.last; n > 25; n--) {
                chain.rows[n] = chain.rows[n - 1];
                chain.rows[n].number = n;
        }
        make_row(25, "bogus");
}

static void add_one_to_the_end(void) {
        make_row(++chain.last, "bogus");
}

static void replace_from_17_on(void) {
        set_object(17, "1001");
        hash_from(17);
}

static void replace_what_is_not_anchored(void) {
        set_object(45, "1001");
        hash_from(45);
}

/* The rows after 30 are others now, and the signer has anchored them, too. */
static void put_an_older_copy_back(void) {
        for (int64_t n = 31; n <= ROWS; n++)
                set_object(n, "again");
        hash_from(31);
        chain.last = chain.head = 38;
        anchor_at(33);
        anchor_at(38);
}

/* As before, but it has grown past the anchor when it is anchored next. */
static void put_an_older_copy_back_and_wait(void) {
        for (int64_t n = 31; n <= ROWS; n++)
                set_object(n, "again");
        hash_from(31);
        anchor_at(ROWS);
}

/* All rows are others, and as many; the anchors of both are there. */
static void begin_anew(void) {
        for (int64_t n = 1; n <= ROWS; n++)
                set_object(n, "again");
        hash_from(1);
        anchor_at(40);
        anchor_at(50);
}

static void write_what_cad_never_writes(void) {
        set_object(17, "a\nb");
}

static void write_row_zero(void) {
        chain.rows[0] = chain.rows[1];
        chain.rows[0].number = -3; /* fed last */
}

#define FINDINGS_MAX 8

static const struct tampering {
        const char *what;
        void (*tamper)(void);
        struct {
                enum audit_fault fault;
                int64_t first, last, anchor; /* its number; 0: none */
        } found[FINDINGS_MAX];
        int64_t anchored; /* the newest that still is */
} tamperings[] = {
        { "nothing", none, { { 0 } }, 40 },
        { "a text", change_a_text, { { AUDIT_ROW_CHANGED, 17, 17, 0 } }, 40 },
        { "a time", change_a_time, { { AUDIT_ROW_CHANGED, 17, 17, 0 } }, 40 },
        { "the newest row", change_the_newest, { { AUDIT_ROW_CHANGED, ROWS, ROWS, 0 } }, 40 },
        { "the first row", change_the_first, { { AUDIT_ROW_CHANGED, 1, 1, 0 } }, 40 },
        { "a hash",
          change_a_hash,
          { { AUDIT_ROW_CHANGED, 18, 18, 0 }, { AUDIT_ROW_CHANGED, 17, 17, 0 } },
          40 },
        { "a hash that is anchored: the row under it is as it was",
          change_an_anchored_hash,
          { { AUDIT_ROW_CHANGED, 21, 21, 0 }, { AUDIT_ROW_CHANGED, 20, 20, 0 } },
          40 },
        { "one taken out", take_one_out, { { AUDIT_ROWS_MISSING, 17, 17, 0 } }, 40 },
        { "many taken out", take_many_out, { { AUDIT_ROWS_MISSING, 12, 30, 0 } }, 40 },
        { "the first taken out", take_the_first_out, { { AUDIT_ROWS_MISSING, 1, 2, 0 } }, 40 },
        { "an anchored end cut off", cut_what_is_anchored, { { AUDIT_ROWS_CUT, 36, 40, 40 } }, 20 },
        { "an end that is not anchored cut off, but the head is there",
          cut_what_the_head_has_seen,
          { { AUDIT_ROWS_CUT, 48, 50, 0 } },
          40 },
        { "the anchored end alone",
          cut_one_that_is_anchored,
          { { AUDIT_ROWS_CUT, 40, 40, 40 } },
          20 },
        { "the newest alone",
          cut_one_that_the_head_has_seen,
          { { AUDIT_ROWS_CUT, ROWS, ROWS, 0 } },
          40 },
        { "all cut off", cut_all, { { AUDIT_ROWS_CUT, 1, 40, 40 } }, 0 },
        { "two swapped",
          swap_two,
          { { AUDIT_ROW_CHANGED, 24, 24, 0 },
            { AUDIT_ROW_CHANGED, 23, 23, 0 },
            { AUDIT_ROW_CHANGED, 22, 22, 0 } },
          40 },
        { "fed in another order",
          feed_out_of_order,
          { { AUDIT_ROWS_MISSING, 23, 23, 0 }, { AUDIT_ROW_FOREIGN, 23, 23, 0 } },
          40 },
        { "one added to the end", add_one_to_the_end, { { AUDIT_ROW_CHANGED, 51, 51, 0 } }, 40 },
        { "changed and hashed anew: the anchors between which it happened",
          replace_from_17_on,
          { { AUDIT_ROWS_REPLACED, 11, 20, 20 } },
          10 },
        { "what no anchor has seen can be hashed anew",
          replace_what_is_not_anchored,
          { { 0 } },
          40 },
        { "an older copy put back",
          put_an_older_copy_back,
          { { AUDIT_PUT_BACK, 34, 40, 40 } },
          38 },
        { "an older copy put back, which has grown",
          put_an_older_copy_back_and_wait,
          { { AUDIT_ROWS_REPLACED, 21, 40, 40 } },
          50 },
        { "all made anew, as long as before",
          begin_anew,
          { { AUDIT_ROWS_REPLACED, 1, 10, 10 }, { AUDIT_PUT_BACK, 40, 40, 40 } },
          50 },
        { "what cad never writes",
          write_what_cad_never_writes,
          { { AUDIT_ROW_FOREIGN, 17, 17, 0 } },
          40 },
        { "a row before the first", write_row_zero, { { AUDIT_ROW_FOREIGN, -3, -3, 0 } }, 40 },
};

struct collected {
        struct audit_finding list[64];
        struct audit_anchor anchors[64];
        size_t count;
};

static void collect(const struct audit_finding *finding, void *data) {
        struct collected *c = data;

        ck_assert_uint_lt(c->count, ARRAY_SIZE(c->list));
        if (finding->anchor)
                c->anchors[c->count] = *finding->anchor;
        c->list[c->count++] = *finding;
}

static void verify(struct collected *found, struct audit_verdict *verdict) {
        CAD_AUTO(audit_verifier_free) struct audit_verifier *v = NULL;
        uint8_t begin[AUDIT_HASH_SIZE];

        audit_chain_begin(CA_ID, begin);
        v = audit_verifier_new(begin, chain.head, chain.anchors, chain.anchor_count, collect,
                               found);
        ck_assert_ptr_nonnull(v);
        for (int64_t n = chain.last; n >= 0; n--)
                if (chain.rows[n].number != 0)
                        audit_verifier_row(v, &chain.rows[n]);
        audit_verifier_end(v, verdict);
}

START_TEST(each_tampering_is_found_with_its_rows) {
        const struct tampering *t = &tamperings[_i];
        struct collected found = { 0 };
        struct audit_verdict verdict;
        size_t expected = 0;

        make_chain();
        t->tamper();
        verify(&found, &verdict);
        while (expected < FINDINGS_MAX && t->found[expected].last != 0)
                expected++;
        ck_assert_msg(found.count == expected, "%s: %zu findings, the first %s %lld to %lld",
                      t->what, found.count, audit_fault_name(found.list[0].fault),
                      (long long) found.list[0].first, (long long) found.list[0].last);
        ck_assert_uint_eq(verdict.findings, expected);
        for (size_t i = 0; i < expected; i++) {
                const struct audit_finding *f = &found.list[i];

                ck_assert_msg(f->fault == t->found[i].fault && f->first == t->found[i].first &&
                                      f->last == t->found[i].last,
                              "%s: %s %lld to %lld", t->what, audit_fault_name(f->fault),
                              (long long) f->first, (long long) f->last);
                ck_assert_msg((f->anchor ? found.anchors[i].number : 0) == t->found[i].anchor,
                              "%s: the anchor", t->what);
        }
        ck_assert_msg(verdict.anchored == t->anchored, "%s: anchored up to %lld", t->what,
                      (long long) verdict.anchored);
}
END_TEST

START_TEST(an_inserted_row_and_all_behind_it_do_not_fit) {
        struct collected found = { 0 };
        struct audit_verdict verdict;

        make_chain();
        insert_one();
        verify(&found, &verdict);
        ck_assert_uint_ge(found.count, 26);
        for (size_t i = 0; i < found.count; i++)
                ck_assert_int_ge(found.list[i].last, 20);
}
END_TEST

/* Any one octet of any row, and any one octet of any hash. */
START_TEST(no_octet_can_be_changed_unseen) {
        for (int64_t n = 1; n <= ROWS; n++)
                for (int what = 0; what < 2; what++) {
                        struct collected found = { 0 };
                        struct audit_verdict verdict;

                        make_chain();
                        if (what == 0)
                                chain.texts[n][0] ^= 1;
                        else
                                chain.rows[n].hash[n % AUDIT_HASH_SIZE] ^= (uint8_t) (1 << n % 8);
                        verify(&found, &verdict);
                        ck_assert_msg(found.count > 0, "row %lld", (long long) n);
                }
}
END_TEST

START_TEST(a_chain_of_another_ca_does_not_fit) {
        CAD_AUTO(audit_verifier_free) struct audit_verifier *v = NULL;
        struct collected found = { 0 };
        struct audit_verdict verdict;
        uint8_t begin[AUDIT_HASH_SIZE];

        make_chain();
        audit_chain_begin("bb", begin);
        v = audit_verifier_new(begin, ROWS, NULL, 0, collect, &found);
        for (int64_t n = ROWS; n > 0; n--)
                audit_verifier_row(v, &chain.rows[n]);
        audit_verifier_end(v, &verdict);
        ck_assert_uint_eq(found.count, 1);
        ck_assert_int_eq(found.list[0].first, 1);
        ck_assert_int_eq(verdict.anchored, 0);
}
END_TEST

START_TEST(an_empty_chain_without_anchors_is_whole) {
        struct collected found = { 0 };
        struct audit_verdict verdict;

        chain = (struct chain){ .last = 0 };
        verify(&found, &verdict);
        ck_assert_uint_eq(found.count, 0);
        ck_assert_int_eq(verdict.newest, 0);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("audit-chain");
        TCase *encoding = tcase_create("encoding"), *verifying = tcase_create("verifying");

        tcase_add_test(encoding, two_rows_have_one_encoding_only_where_they_are_the_same);
        tcase_add_test(encoding, what_moves_from_one_text_into_the_next_is_another_row);
        tcase_add_test(encoding, the_encoding_and_the_hashes_are_those_of_the_decision);
        tcase_add_test(encoding, a_row_is_cleaned_once_and_for_all);
        tcase_add_test(encoding, what_cad_never_writes_is_seen);
        tcase_add_test(encoding, the_largest_row_fits);
        tcase_add_test(encoding, an_anchor_is_read_back_as_it_was_written);
        tcase_add_loop_test(encoding, what_is_no_anchor_is_not_taken_for_one, 0,
                            ARRAY_SIZE(no_anchors));
        suite_add_tcase(suite, encoding);
        tcase_add_loop_test(verifying, each_tampering_is_found_with_its_rows, 0,
                            ARRAY_SIZE(tamperings));
        tcase_add_test(verifying, an_inserted_row_and_all_behind_it_do_not_fit);
        tcase_add_test(verifying, no_octet_can_be_changed_unseen);
        tcase_add_test(verifying, a_chain_of_another_ca_does_not_fit);
        tcase_add_test(verifying, an_empty_chain_without_anchors_is_whole);
        suite_add_tcase(suite, verifying);
        return unit_main(suite);
}
