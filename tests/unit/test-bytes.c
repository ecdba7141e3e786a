/*
 * Growing buffers: what is appended is there, and a failure is remembered instead of being a crash.
 */
#include "unit.h"

#include "lib/base/bytes.h"

static const struct {
        const char *why;
        struct bytes a, b;
        bool equal;
} pairs[] = {
        { "the same octets", BYTES_LITERAL("abc"), BYTES_LITERAL("abc"), true },
        { "another octet", BYTES_LITERAL("abc"), BYTES_LITERAL("abd"), false },
        { "a prefix is not the whole", BYTES_LITERAL("abc"), BYTES_LITERAL("ab"), false },
        { "a NUL counts", BYTES_LITERAL("ab\0c"), BYTES_LITERAL("ab\0d"), false },
        { "nothing equals nothing", BYTES_NONE, BYTES_NONE, true },
        { "nothing equals an empty string", BYTES_NONE, BYTES_LITERAL(""), true },
        { "nothing is not something", BYTES_NONE, BYTES_LITERAL("a"), false },
};

START_TEST(equal_is_length_and_content) {
        ck_assert_msg(bytes_equal(pairs[_i].a, pairs[_i].b) == pairs[_i].equal, "%s",
                      pairs[_i].why);
        ck_assert_msg(bytes_equal(pairs[_i].b, pairs[_i].a) == pairs[_i].equal, "%s, turned",
                      pairs[_i].why);
}
END_TEST

START_TEST(a_null_string_has_no_bytes) {
        ck_assert_uint_eq(bytes_of(NULL).size, 0);
        ck_assert_uint_eq(bytes_of("").size, 0);
        ck_assert_uint_eq(bytes_of("abc").size, 3);
}
END_TEST

START_TEST(what_is_appended_is_there_in_order) {
        CAD_AUTO(buffer_done) struct buffer b = { 0 };

        buffer_text(&b, "one ");
        buffer_append(&b, BYTES_LITERAL("two\0"));
        buffer_append(&b, BYTES_NONE);
        buffer_text(&b, NULL);
        buffer_format(&b, "%d%s", 3, "!");
        ck_assert(bytes_equal(buffer_bytes(&b), BYTES_LITERAL("one two\0003!")));
        ck_assert(!b.failed);
}
END_TEST

/* Every size around the first capacities: an off-by-one there is what ASan is for. */
START_TEST(a_buffer_grows_at_every_size) {
        for (size_t size = 0; size < 1100; size++) {
                CAD_AUTO(buffer_done) struct buffer b = { 0 };

                for (size_t i = 0; i < size; i++)
                        buffer_append(&b, BYTES(&(uint8_t){ (uint8_t) i }, 1));
                ck_assert_uint_eq(b.size, size);
                (void) buffer_string(&b);
                for (size_t i = 0; i < size; i++)
                        ck_assert_uint_eq(b.data[i], (uint8_t) i);
                ck_assert_uint_eq(b.data[size], 0);
        }
}
END_TEST

START_TEST(a_format_of_any_length_fits) {
        for (int length = 0; length < 1100; length++) {
                CAD_AUTO(buffer_done) struct buffer b = { 0 };

                buffer_text(&b, "x");
                buffer_format(&b, "%*s", length, "");
                ck_assert_uint_eq(b.size, (size_t) length + 1);
        }
}
END_TEST

START_TEST(the_string_of_an_empty_buffer_is_empty) {
        CAD_AUTO(buffer_done) struct buffer b = { 0 };

        ck_assert_str_eq(buffer_string(&b), "");
        ck_assert_uint_eq(b.size, 0);
        buffer_text(&b, "abc");
        ck_assert_str_eq(buffer_string(&b), "abc");
        ck_assert_uint_eq(b.size, 3);
        buffer_text(&b, "def");
        ck_assert_str_eq(buffer_string(&b), "abcdef");
}
END_TEST

static const struct {
        const char *why;
        size_t more;
} too_much[] = {
        { "the bound itself", (size_t) 1 << 31 },
        { "the last size there is: no arithmetic may wrap", SIZE_MAX },
        { "one less", SIZE_MAX - 1 },
        { "the bound with what is there already", ((size_t) 1 << 31) - 3 },
};

START_TEST(what_is_too_much_fails_for_good_and_keeps_what_was_there) {
        CAD_AUTO(buffer_done) struct buffer b = { 0 };

        buffer_text(&b, "abc");
        ck_assert_msg(buffer_reserve(&b, too_much[_i].more) == NULL, "%s", too_much[_i].why);
        ck_assert(b.failed);
        buffer_text(&b, "def");
        buffer_format(&b, "%d", 1);
        ck_assert_ptr_null(buffer_reserve(&b, 0));
        ck_assert(bytes_equal(buffer_bytes(&b), BYTES_LITERAL("abc")));
        ck_assert_str_eq(buffer_string(&b), "");
        buffer_done(&b);
        ck_assert(!b.failed && !b.data && b.size == 0);
        buffer_text(&b, "again");
        ck_assert_str_eq(buffer_string(&b), "again");
}
END_TEST

START_TEST(reserved_room_can_be_filled_and_is_not_counted) {
        CAD_AUTO(buffer_done) struct buffer b = { 0 };
        uint8_t *at;

        buffer_text(&b, "abc");
        at = buffer_reserve(&b, 5000);
        ck_assert_ptr_nonnull(at);
        memset(at, 'x', 5000);
        ck_assert_uint_eq(b.size, 3);
        b.size += 5000;
        ck_assert_uint_eq(strlen(buffer_string(&b)), 5003);
}
END_TEST

START_TEST(a_wiped_buffer_is_empty_and_ready) {
        struct buffer b = { 0 };

        buffer_wipe(&b); /* nothing to wipe */
        buffer_text(&b, "secret");
        buffer_wipe(&b);
        ck_assert(!b.data && b.size == 0 && b.capacity == 0 && !b.failed);
        ck_assert_ptr_null(free_text(NULL));
        ck_assert_ptr_null(free_text(strdup("x")));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("bytes");
        TCase *tc = tcase_create("bytes");

        tcase_set_timeout(tc, 30);
        tcase_add_loop_test(tc, equal_is_length_and_content, 0, ARRAY_SIZE(pairs));
        tcase_add_test(tc, a_null_string_has_no_bytes);
        tcase_add_test(tc, what_is_appended_is_there_in_order);
        tcase_add_test(tc, a_buffer_grows_at_every_size);
        tcase_add_test(tc, a_format_of_any_length_fits);
        tcase_add_test(tc, the_string_of_an_empty_buffer_is_empty);
        tcase_add_loop_test(tc, what_is_too_much_fails_for_good_and_keeps_what_was_there, 0,
                            ARRAY_SIZE(too_much));
        tcase_add_test(tc, reserved_room_can_be_filled_and_is_not_counted);
        tcase_add_test(tc, a_wiped_buffer_is_empty_and_ready);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
