/*
 * The signer's anchors of the audit: kept over restarts, thinner with age, and never forgetful of a step back.
 */
#include "signer-fixture.h"

#include <fcntl.h>
#include <unistd.h>

#include "daemon/signer/anchors.h"
#include "lib/base/file.h"

#define NOW INT64_C(1795290000)

static struct scratch scratch;

static void set_up(void) {
        scratch_open(&scratch);
}

static void tear_down(void) {
        scratch_close(&scratch);
}

static struct audit_anchor an_anchor(int64_t at, int64_t number) {
        struct audit_anchor anchor = { .at = at, .number = number };

        memset(anchor.hash, (int) (number & 0xff), sizeof(anchor.hash));
        return anchor;
}

static void add(struct sign_anchors *anchors, int64_t at, int64_t number) {
        struct audit_anchor anchor = an_anchor(at, number);

        anchors_add(anchors, &anchor);
}

static void write_text(const char *text) {
        CAD_AUTO(fd_close)
        int fd = openat(scratch.fd, ANCHORS_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(fd_write_all(fd, bytes_of(text)), 0);
}

START_TEST(anchors_are_read_back_as_they_were_written) {
        struct sign_anchors anchors = { .count = 0 }, back = { .count = 7 };
        struct error err = { 0 };

        ck_ok(anchors_read(scratch.fd, &back, &err), err);
        ck_assert_uint_eq(back.count, 0);
        for (int i = 0; i < SIGNER_ANCHORS_MAX; i++)
                add(&anchors, NOW + 60 * i, 1 + i * 10);
        ck_ok(anchors_write(scratch.fd, &anchors, &err), err);
        ck_ok(anchors_read(scratch.fd, &back, &err), err);
        ck_assert_uint_eq(back.count, SIGNER_ANCHORS_MAX);
        ck_assert_mem_eq(back.list, anchors.list, sizeof(back.list));
}
END_TEST

#define LINE \
        "2026-11-21T18:00:00Z audit number=1 hash=a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5\n"

static const char *const broken[] = {
        "x\n",
        "\n\n",
        LINE "x",
        LINE "\n" LINE,
};

START_TEST(a_file_that_is_none_of_ours_is_an_error_that_says_what_to_do) {
        struct sign_anchors anchors;
        struct error err;

        write_text(broken[_i]);
        ck_refused(anchors_read(scratch.fd, &anchors, &err), err, ERR_CA_INCOMPLETE);
        ck_assert_uint_eq(anchors.count, 0);
}
END_TEST

START_TEST(a_file_with_too_many_is_none_of_ours) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct sign_anchors anchors;
        struct error err = { 0 };

        for (int i = 0; i < SIGNER_ANCHORS_MAX; i++)
                buffer_text(&text, LINE);
        write_text(buffer_string(&text));
        ck_ok(anchors_read(scratch.fd, &anchors, &err), err);
        buffer_text(&text, LINE);
        write_text(buffer_string(&text));
        ck_refused(anchors_read(scratch.fd, &anchors, &err), err, ERR_CA_INCOMPLETE);
}
END_TEST

START_TEST(an_anchor_is_known_later_or_behind) {
        struct sign_anchors anchors = { .count = 0 };
        struct audit_anchor ten = an_anchor(0, 10), other = an_anchor(0, 10),
                            eleven = an_anchor(0, 11), nine = an_anchor(0, 9);

        other.hash[3] ^= 1;
        ck_assert_int_eq(anchors_judge(&anchors, &ten), ANCHOR_LATER);
        anchors_add(&anchors, &ten);
        ck_assert_int_eq(anchors_judge(&anchors, &ten), ANCHOR_KNOWN);
        ck_assert_int_eq(anchors_judge(&anchors, &other), ANCHOR_BEHIND);
        ck_assert_int_eq(anchors_judge(&anchors, &eleven), ANCHOR_LATER);
        ck_assert_int_eq(anchors_judge(&anchors, &nine), ANCHOR_BEHIND);
}
END_TEST

/* A year, an anchor a minute. */
START_TEST(the_newest_stay_and_the_older_get_thinner) {
        struct sign_anchors anchors = { .count = 0 };
        const struct audit_anchor *list = anchors.list;
        int64_t last = 0;

        for (int64_t n = 1; n <= 525600; n++)
                add(&anchors, NOW + 60 * n, n);
        ck_assert_uint_eq(anchors.count, SIGNER_ANCHORS_MAX);
        last = list[anchors.count - 1].number;
        ck_assert_int_eq(last, 525600);
        for (size_t i = 0; i < 16; i++)
                ck_assert_int_eq(list[anchors.count - 1 - i].number, last - (int64_t) i);
        ck_assert_int_eq(list[0].number, 1);
        for (size_t i = 1; i < anchors.count; i++) {
                ck_assert_int_gt(list[i].number, list[i - 1].number);
                /* the first gap is the whole year of which nothing is left: no other is half of what is behind it */
                if (i > 1 && i + 16 < anchors.count)
                        ck_assert_int_le(list[i].number - list[i - 1].number,
                                         (last - list[i].number) / 2 + 2);
        }
}
END_TEST

START_TEST(a_step_back_is_not_forgotten) {
        struct sign_anchors anchors = { .count = 0 };
        bool found = false;

        for (int64_t n = 1; n <= 100; n++)
                add(&anchors, NOW + 60 * n, n);
        add(&anchors, NOW + 60 * 101, 50);
        for (int64_t n = 102; n <= 20000; n++)
                add(&anchors, NOW + 60 * n, n);
        for (size_t i = 1; i < anchors.count; i++)
                found = found ||
                        (anchors.list[i - 1].number == 100 && anchors.list[i].number == 50);
        ck_assert(found);
}
END_TEST

START_TEST(nothing_but_steps_back_makes_room_still) {
        struct sign_anchors anchors = { .count = 0 };

        for (int64_t n = 10000; n > 0; n--)
                add(&anchors, NOW + 60 * (10000 - n), n);
        ck_assert_uint_eq(anchors.count, SIGNER_ANCHORS_MAX);
        ck_assert_int_eq(anchors.list[anchors.count - 1].number, 1);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("anchors");
        TCase *tc = tcase_create("anchors");

        tcase_add_checked_fixture(tc, set_up, tear_down);
        tcase_add_test(tc, anchors_are_read_back_as_they_were_written);
        tcase_add_loop_test(tc, a_file_that_is_none_of_ours_is_an_error_that_says_what_to_do, 0,
                            ARRAY_SIZE(broken));
        tcase_add_test(tc, a_file_with_too_many_is_none_of_ours);
        tcase_add_test(tc, an_anchor_is_known_later_or_behind);
        tcase_add_test(tc, the_newest_stay_and_the_older_get_thinner);
        tcase_add_test(tc, a_step_back_is_not_forgotten);
        tcase_add_test(tc, nothing_but_steps_back_makes_room_still);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
