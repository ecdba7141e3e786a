/*
 * Codes for people: what is written, what is heard, and what is none.
 */
#include "lib/base/code.h"

#include <string.h>

#include "lib/base/macros.h"
#include "tests/unit/unit.h"

static const struct {
        const char *why, *text, *code; /* NULL: it is none */
} heard[] = {
        { "as it is written", "7XK2M9QP", "7XK2M9QP" },
        { "as it is shown", "7XK2-M9QP", "7XK2M9QP" },
        { "in lower case", "7xk2-m9qp", "7XK2M9QP" },
        { "with spaces", " 7xk2 m9qp ", "7XK2M9QP" },
        { "with hyphens anywhere", "7-X-K2M9QP-", "7XK2M9QP" },
        { "an O is a zero", "oOoO-0000", "00000000" },
        { "I and L are ones", "iIlL-1111", "11111111" },
        { "one character short", "7XK2M9Q", NULL },
        { "one character long", "7XK2M9QPP", NULL },
        { "a U, which is in no code", "7XK2M9QU", NULL },
        { "an underscore", "7XK2_M9QP", NULL },
        { "a letter of another alphabet", "7XK2M9Qé", NULL },
        { "nothing", "", NULL },
        { "hyphens alone", "--------", NULL },
};

START_TEST(a_code_is_heard_as_people_say_it) {
        char code[CODE_TEXT_MAX] = "untouch";
        int rc = code_parse(heard[_i].text, code);

        ck_assert_msg((rc == 0) == (heard[_i].code != NULL), "%s", heard[_i].why);
        ck_assert_msg(strcmp(code, heard[_i].code ? heard[_i].code : "untouch") == 0, "%s: %s",
                      heard[_i].why, code);
}
END_TEST

static const struct {
        uint64_t bits;
        const char *shown;
} written[] = {
        { 0, "0000-0000" },
        { 1, "0000-0001" },
        { 31, "0000-000Z" },
        { UINT64_C(0xffffffffff), "ZZZZ-ZZZZ" },
        { UINT64_C(0xff00000000000020), "0000-0010" }, /* the lower 40 bits alone */
};

START_TEST(bits_become_a_code_that_is_read_back) {
        char code[CODE_TEXT_MAX], again[CODE_TEXT_MAX], shown[CODE_SHOWN_MAX];

        (void) code_of_bits(written[_i].bits, code);
        ck_assert_str_eq(code_show(code, shown), written[_i].shown);
        ck_assert_int_eq(code_parse(shown, again), 0);
        ck_assert_str_eq(again, code);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("code");
        TCase *tc = tcase_create("code");

        tcase_add_loop_test(tc, a_code_is_heard_as_people_say_it, 0, ARRAY_SIZE(heard));
        tcase_add_loop_test(tc, bits_become_a_code_that_is_read_back, 0, ARRAY_SIZE(written));
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
