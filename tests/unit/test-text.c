/*
 * Text encodings: hex, base64 bit by bit, UTF-8 by RFC 3629's table, what a person may be shown, whole numbers.
 */
#include "unit.h"

#include <stdio.h>

#include "lib/base/text.h"

/* ---- hex ---- */

static const struct {
        const char *why, *text;
        size_t max;
        int rc;
        struct bytes octets;
} hex_rows[] = {
        { "nothing is nothing", "", 4, 0, BYTES_LITERAL("") },
        { "lower case", "00ff7f80", 4, 0, BYTES_LITERAL("\x00\xff\x7f\x80") },
        { "upper case", "00FF7F80", 4, 0, BYTES_LITERAL("\x00\xff\x7f\x80") },
        { "mixed case, all digits", "0123456789abCDef", 8, 0,
          BYTES_LITERAL("\x01\x23\x45\x67\x89\xab\xcd\xef") },
        { "as long as may be", "aabb", 2, 0, BYTES_LITERAL("\xaa\xbb") },
        { "one octet more than may be", "aabbcc", 2, -1, BYTES_NONE },
        { "half an octet", "abc", 4, -1, BYTES_NONE },
        { "a separator", "aa:bb", 4, -1, BYTES_NONE },
        { "the character behind 9", "0:", 4, -1, BYTES_NONE },
        { "the character before 0", "0/", 4, -1, BYTES_NONE },
        { "the character before a", "0`", 4, -1, BYTES_NONE },
        { "the character behind f", "0g", 4, -1, BYTES_NONE },
        { "the character before A", "0@", 4, -1, BYTES_NONE },
        { "the character behind F", "G0", 4, -1, BYTES_NONE },
        { "a prefix", "0xab", 4, -1, BYTES_NONE },
        { "white space", " aab", 4, -1, BYTES_NONE },
        { "a sign", "-1", 4, -1, BYTES_NONE },
};

START_TEST(hex_is_pairs_of_digits_and_nothing_else) {
        uint8_t out[8];
        size_t size = 99;

        ck_assert_msg(hex_decode(hex_rows[_i].text, out, hex_rows[_i].max, &size) ==
                              hex_rows[_i].rc,
                      "%s", hex_rows[_i].why);
        if (hex_rows[_i].rc == 0)
                ck_assert_msg(bytes_equal(BYTES(out, size), hex_rows[_i].octets), "%s",
                              hex_rows[_i].why);
        else
                ck_assert_uint_eq(size, 99);
}
END_TEST

START_TEST(every_octet_goes_through_hex_and_back) {
        for (unsigned octet = 0; octet < 256; octet++) {
                uint8_t in = (uint8_t) octet, back = (uint8_t) ~octet;
                char text[3], expected[3];
                size_t size;

                (void) snprintf(expected, sizeof(expected), "%02x", octet);
                ck_assert_str_eq(hex_encode(BYTES(&in, 1), text), expected);
                ck_assert_int_eq(hex_decode(text, &back, 1, &size), 0);
                ck_assert_uint_eq(back, octet);
        }
}
END_TEST

/* ---- base64 ---- */

/* RFC 4648 §10, and what `openssl base64` makes of a few more. */
static const struct {
        struct bytes octets;
        const char *text;
} base64_vectors[] = {
        { BYTES_LITERAL(""), "" },
        { BYTES_LITERAL("f"), "Zg==" },
        { BYTES_LITERAL("fo"), "Zm8=" },
        { BYTES_LITERAL("foo"), "Zm9v" },
        { BYTES_LITERAL("foob"), "Zm9vYg==" },
        { BYTES_LITERAL("fooba"), "Zm9vYmE=" },
        { BYTES_LITERAL("foobar"), "Zm9vYmFy" },
        { BYTES_LITERAL("\x00"), "AA==" },
        { BYTES_LITERAL("\x00\x00"), "AAA=" },
        { BYTES_LITERAL("\x00\x00\x00"), "AAAA" },
        { BYTES_LITERAL("\xff"), "/w==" },
        { BYTES_LITERAL("\xff\xff"), "//8=" },
        { BYTES_LITERAL("\xff\xff\xff"), "////" },
        { BYTES_LITERAL("\xfb\xef\xbe"), "++++" },
        { BYTES_LITERAL("\x14\xfb\x9c\x03\xd9\x7e"), "FPucA9l+" },
};

START_TEST(base64_is_that_of_the_rfc) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        CAD_AUTO(buffer_done) struct buffer back = { 0 };

        base64_append(&text, base64_vectors[_i].octets, 0);
        ck_assert_str_eq(buffer_string(&text), base64_vectors[_i].text);
        ck_assert_int_eq(base64_decode(bytes_of(base64_vectors[_i].text), &back), 0);
        ck_assert(bytes_equal(buffer_bytes(&back), base64_vectors[_i].octets));
}
END_TEST

static const struct {
        const char *why;
        struct bytes text;
        int rc;
} base64_rows[] = {
        { "white space is skipped", BYTES_LITERAL(" Z\tm\r\n9 v \n"), 0 },
        { "white space before and between the padding", BYTES_LITERAL("Zg =\n= "), 0 },
        { "white space alone", BYTES_LITERAL(" \n"), 0 },
        { "one character alone", BYTES_LITERAL("Z"), -1 },
        { "one character behind a group", BYTES_LITERAL("Zm9vZ"), -1 },
        { "two characters without padding", BYTES_LITERAL("Zg"), -1 },
        { "three characters without padding", BYTES_LITERAL("Zm8"), -1 },
        { "one of two paddings", BYTES_LITERAL("Zg="), -1 },
        { "three paddings", BYTES_LITERAL("Z==="), -1 },
        { "three paddings behind two characters", BYTES_LITERAL("Zg==="), -1 },
        { "two paddings behind three characters", BYTES_LITERAL("Zm8=="), -1 },
        { "padding behind a whole group", BYTES_LITERAL("Zm9v="), -1 },
        { "a group of paddings", BYTES_LITERAL("===="), -1 },
        { "a group of paddings behind a whole group", BYTES_LITERAL("Zm9v===="), -1 },
        { "padding in front", BYTES_LITERAL("=Zg="), -1 },
        { "text behind the padding", BYTES_LITERAL("Zg==Zg=="), -1 },
        { "a character inside the padding", BYTES_LITERAL("Zg=Z"), -1 },
        { "the URL alphabet: minus", BYTES_LITERAL("ab-_"), -1 },
        { "a star", BYTES_LITERAL("Zm9*"), -1 },
        { "a NUL", BYTES_LITERAL("Zm\0v"), -1 },
        { "an octet above ASCII", BYTES_LITERAL("Zm\xc3v"), -1 },
        { "a vertical tab is no white space here", BYTES_LITERAL("Zm9v\v"), -1 },
};

START_TEST(base64_is_read_strictly) {
        CAD_AUTO(buffer_done) struct buffer out = { 0 };

        ck_assert_msg(base64_decode(base64_rows[_i].text, &out) == base64_rows[_i].rc, "%s",
                      base64_rows[_i].why);
}
END_TEST

static const char base64_digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* RFC 4648 §3.5: an encoding is canonical only where the bits that stand for nothing are zero. */
START_TEST(trailing_bits_must_be_zero_for_every_last_character) {
        for (unsigned digit = 0; digit < 64; digit++) {
                char one[] = { 'A', base64_digits[digit], '=', '=', 0 },
                     two[] = { 'A', 'A', base64_digits[digit], '=', 0 };
                CAD_AUTO(buffer_done) struct buffer out = { 0 };

                ck_assert_msg((base64_decode(bytes_of(one), &out) == 0) == (digit % 16 == 0), "%s",
                              one);
                if (digit % 16 == 0)
                        ck_assert(out.size == 1 && out.data[0] == digit >> 4);
                buffer_done(&out);
                ck_assert_msg((base64_decode(bytes_of(two), &out) == 0) == (digit % 4 == 0), "%s",
                              two);
                if (digit % 4 == 0)
                        ck_assert(out.size == 2 && out.data[0] == 0 && out.data[1] == digit >> 2);
        }
}
END_TEST

START_TEST(every_octet_is_a_digit_or_not_one) {
        for (unsigned octet = 0; octet < 256; octet++) {
                uint8_t text[4] = { 'A', 'A', 'A', (uint8_t) octet };
                bool fine = (octet && strchr(base64_digits, (int) octet)) || octet == '=';
                CAD_AUTO(buffer_done) struct buffer out = { 0 };

                ck_assert_msg((base64_decode(BYTES(text, 4), &out) == 0) == fine, "octet %02x",
                              octet);
        }
}
END_TEST

/* Lengths around the groups and the lines, at every line length in use and a few that are no multiple of a group. */
START_TEST(base64_of_any_length_comes_back_whatever_the_lines) {
        static const size_t lines[] = { 0, 4, 6, 48, 64, 76 };
        uint8_t octets[200];

        for (size_t i = 0; i < sizeof(octets); i++)
                octets[i] = (uint8_t) (i * 37 + 11);
        for (size_t size = 0; size <= sizeof(octets); size++) {
                CAD_AUTO(buffer_done) struct buffer text = { 0 };
                CAD_AUTO(buffer_done) struct buffer back = { 0 };
                size_t line = lines[_i], column = 0;

                base64_append(&text, BYTES(octets, size), line);
                ck_assert_int_eq(base64_decode(buffer_bytes(&text), &back), 0);
                ck_assert(bytes_equal(buffer_bytes(&back), BYTES(octets, size)));
                if (!line) {
                        ck_assert_uint_eq(text.size, (size + 2) / 3 * 4);
                        continue;
                }
                for (size_t i = 0; i < text.size; i++) {
                        column = text.data[i] == '\n' ? 0 : column + 1;
                        ck_assert_uint_le(column, (line + 3) / 4 * 4);
                }
                ck_assert_uint_eq(column, 0);
        }
}
END_TEST

/* ---- UTF-8 ---- */

/* RFC 3629 §3: the encoding of a scalar value. Return: octets */
static size_t utf8_put(uint32_t c, uint8_t out[4]) {
        if (c < 0x80) {
                out[0] = (uint8_t) c;
                return 1;
        }
        if (c < 0x800) {
                out[0] = (uint8_t) (0xc0 | c >> 6);
                out[1] = (uint8_t) (0x80 | (c & 0x3f));
                return 2;
        }
        if (c < 0x10000) {
                out[0] = (uint8_t) (0xe0 | c >> 12);
                out[1] = (uint8_t) (0x80 | (c >> 6 & 0x3f));
                out[2] = (uint8_t) (0x80 | (c & 0x3f));
                return 3;
        }
        out[0] = (uint8_t) (0xf0 | c >> 18);
        out[1] = (uint8_t) (0x80 | (c >> 12 & 0x3f));
        out[2] = (uint8_t) (0x80 | (c >> 6 & 0x3f));
        out[3] = (uint8_t) (0x80 | (c & 0x3f));
        return 4;
}

START_TEST(every_scalar_value_is_valid_and_every_surrogate_is_not) {
        for (uint32_t c = 0; c < 0x120000; c++) {
                bool scalar = c < 0x110000 && !(c >= 0xd800 && c <= 0xdfff);
                uint8_t octets[4];
                size_t n = utf8_put(c, octets);

                if (utf8_valid(BYTES(octets, n)) != scalar)
                        ck_abort_msg("U+%04X", c);
                for (size_t cut = 1; cut < n; cut++)
                        if (utf8_valid(BYTES(octets, cut)))
                                ck_abort_msg("U+%04X cut to %zu octets", c, cut);
        }
}
END_TEST

static const struct {
        const char *why;
        struct bytes text;
} utf8_bad[] = {
        { "a continuation alone", BYTES_LITERAL("\x80") },
        { "the last continuation alone", BYTES_LITERAL("\xbf") },
        { "overlong slash of two", BYTES_LITERAL("\xc0\xaf") },
        { "overlong DEL of two", BYTES_LITERAL("\xc1\xbf") },
        { "overlong NUL of two: Java's", BYTES_LITERAL("\xc0\x80") },
        { "overlong of three", BYTES_LITERAL("\xe0\x9f\xbf") },
        { "overlong of four", BYTES_LITERAL("\xf0\x8f\xbf\xbf") },
        { "the first surrogate", BYTES_LITERAL("\xed\xa0\x80") },
        { "a pair of surrogates: CESU-8", BYTES_LITERAL("\xed\xa0\xbd\xed\xb8\x80") },
        { "above U+10FFFF", BYTES_LITERAL("\xf4\x90\x80\x80") },
        { "a first octet that there is not", BYTES_LITERAL("\xf5\x80\x80\x80") },
        { "five octets", BYTES_LITERAL("\xf8\x88\x80\x80\x80") },
        { "0xfe", BYTES_LITERAL("\xfe") },
        { "0xff", BYTES_LITERAL("\xff") },
        { "ASCII where a continuation should be", BYTES_LITERAL("\xe2\x28\xa1") },
        { "a first octet where a continuation should be", BYTES_LITERAL("\xe2\x82\xc3") },
        { "latin-1",
          BYTES_LITERAL("K\xfc"
                        "che") },
        { "bad after good", BYTES_LITERAL("abc\xc3\xbc\xc3") },
};

START_TEST(what_is_no_utf8_is_not_valid_and_shown_as_question_marks) {
        char shown[64];

        ck_assert_msg(!utf8_valid(utf8_bad[_i].text), "%s", utf8_bad[_i].why);
        (void) text_printable(utf8_bad[_i].text, shown, sizeof(shown));
        ck_assert_msg(strchr(shown, '?') != NULL && utf8_valid(bytes_of(shown)), "%s: %s",
                      utf8_bad[_i].why, shown);
}
END_TEST

/* ---- what a person is shown ---- */

static const struct {
        const char *why;
        struct bytes in;
        const char *out;
} shown_rows[] = {
        { "plain text stays", BYTES_LITERAL("nas.lan"), "nas.lan" },
        { "letters of any script stay", BYTES_LITERAL("Küche ñ 漢字 🔒 עברית"),
          "Küche ñ 漢字 🔒 עברית" },
        { "a line break would begin a line of its own", BYTES_LITERAL("a\nb\r\n"), "a?b??" },
        { "a NUL would end the text", BYTES_LITERAL("a\0b"), "a?b" },
        { "escape sequences move the cursor", BYTES_LITERAL("\x1b[2J"), "?[2J" },
        { "tab, bell, backspace", BYTES_LITERAL("\t\a\b"), "???" },
        { "DEL", BYTES_LITERAL("a\x7f"), "a?" },
        { "the C1 controls: CSI of one octet",
          BYTES_LITERAL("\xc2\x9b"
                        "2J"),
          "?2J" },
        { "the first and the last C1 control", BYTES_LITERAL("\xc2\x80\xc2\x9f"), "??" },
        { "the no-break space behind them is none",
          BYTES_LITERAL("a\xc2\xa0"
                        "b"),
          "a\xc2\xa0"
          "b" },
        { "embedding left to right to override right to left: U+202A to U+202E",
          BYTES_LITERAL("\xe2\x80\xaa\xe2\x80\xab\xe2\x80\xac\xe2\x80\xad\xe2\x80\xae"), "?????" },
        { "isolates: U+2066 to U+2069",
          BYTES_LITERAL("\xe2\x81\xa6\xe2\x81\xa7\xe2\x81\xa8\xe2\x81\xa9"), "????" },
        { "marks of direction: U+200E, U+200F, U+061C",
          BYTES_LITERAL("\xe2\x80\x8e\xe2\x80\x8f\xd8\x9c"), "???" },
        { "line and paragraph separator: U+2028, U+2029",
          BYTES_LITERAL("a\xe2\x80\xa8\xe2\x80\xa9"), "a??" },
        { "what is not seen: U+200B, U+2060, U+FEFF",
          BYTES_LITERAL("a\xe2\x80\x8b\xe2\x81\xa0\xef\xbb\xbf"), "a???" },
        { "the joiners that scripts need stay: U+200C, U+200D",
          BYTES_LITERAL("\xe2\x80\x8c\xe2\x80\x8d"), "\xe2\x80\x8c\xe2\x80\x8d" },
        { "the neighbours stay: U+202F, U+2027, U+2065",
          BYTES_LITERAL("\xe2\x80\xaf\xe2\x80\xa7\xe2\x81\xa5"),
          "\xe2\x80\xaf\xe2\x80\xa7\xe2\x81\xa5" },
        { "each bad octet is one mark",
          BYTES_LITERAL("a\xff\xfe"
                        "b\xe2\x80"),
          "a??b??" },
        { "nothing", BYTES_LITERAL(""), "" },
};

START_TEST(what_is_shown_cannot_move_or_turn_what_is_around_it) {
        char shown[96];

        ck_assert_msg(strcmp(text_printable(shown_rows[_i].in, shown, sizeof(shown)),
                             shown_rows[_i].out) == 0,
                      "%s: %s", shown_rows[_i].why, shown);
}
END_TEST

static const struct {
        const char *why, *in;
        size_t size;
        const char *out;
} cut_rows[] = {
        { "as long as there is room: nothing is cut", "abcdefg", 8, "abcdefg" },
        { "one too long", "abcdefgh", 8, "abcd…" },
        { "much too long", "abcdefghijklmnop", 8, "abcd…" },
        { "a character is never cut in two", "abcdüü", 8, "abcd…" },
        { "two octets that just fit", "abcdeü", 8, "abcdeü" },
        { "a character in the place of the mark", "abü🔒🔒", 8, "abü…" },
        { "just room for the mark", "abcde", 4, "…" },
        { "three characters in the room of the mark", "abc", 4, "abc" },
        { "no room for the mark", "abc", 3, "ab" },
        { "no room for a character", "üb", 2, "" },
        { "room for the NUL alone", "abc", 1, "" },
        { "nothing into nearly nothing", "", 1, "" },
};

START_TEST(what_does_not_fit_is_cut_between_characters_and_marked) {
        char *shown = malloc(cut_rows[_i].size); /* as large as said: ASan looks at its end */

        ck_assert_ptr_nonnull(shown);
        ck_assert_msg(strcmp(text_printable(bytes_of(cut_rows[_i].in), shown, cut_rows[_i].size),
                             cut_rows[_i].out) == 0,
                      "%s: %s", cut_rows[_i].why, shown);
        text_make_printable(cut_rows[_i].in, shown, cut_rows[_i].size);
        ck_assert_str_eq(shown, cut_rows[_i].out);
        free(shown);
}
END_TEST

START_TEST(no_room_at_all_is_not_written_to) {
        char untouched = 'x';

        (void) text_printable(BYTES_LITERAL("abc"), &untouched, 0);
        ck_assert_int_eq(untouched, 'x');
}
END_TEST

/* ---- numbers and the rest ---- */

static const struct {
        const char *why, *text;
        uint64_t max;
        int rc;
        uint64_t value;
} number_rows[] = {
        { "zero", "0", 10, 0, 0 },
        { "at the maximum", "65535", 65535, 0, 65535 },
        { "one past it", "65536", 65535, -1, 0 },
        { "leading zeros", "007", 10, 0, 7 },
        { "the largest there is", "18446744073709551615", UINT64_MAX, 0, UINT64_MAX },
        { "one more wraps to 0", "18446744073709551616", UINT64_MAX, -1, 0 },
        { "ten times as much", "184467440737095516150", UINT64_MAX, -1, 0 },
        { "wraps to 1 under a small maximum", "18446744073709551617", 5, -1, 0 },
        { "wraps to 4 under a small maximum", "18446744073709551620", 8, -1, 0 },
        { "a digit over a maximum of one digit", "7", 5, -1, 0 },
        { "zero is the maximum", "0", 0, 0, 0 },
        { "one over zero", "1", 0, -1, 0 },
        { "nothing", "", 10, -1, 0 },
        { "NULL", NULL, 10, -1, 0 },
        { "a sign", "+1", 10, -1, 0 },
        { "a negative", "-1", 10, -1, 0 },
        { "white space before", " 1", 10, -1, 0 },
        { "white space behind", "1 ", 10, -1, 0 },
        { "hex", "0x1", 10, -1, 0 },
        { "a unit", "1k", 10, -1, 0 },
        { "a fraction", "1.0", 10, -1, 0 },
        { "the character behind 9", "1:", 100, -1, 0 },
        { "the character before 0", "1/", 100, -1, 0 },
};

START_TEST(a_number_is_whole_and_within_its_maximum) {
        uint64_t value = 4711;

        ck_assert_msg(text_to_u64(number_rows[_i].text, number_rows[_i].max, &value) ==
                              number_rows[_i].rc,
                      "%s: %llu", number_rows[_i].why, (unsigned long long) value);
        ck_assert_msg(value == (number_rows[_i].rc ? 4711 : number_rows[_i].value), "%s",
                      number_rows[_i].why);
}
END_TEST

START_TEST(null_equals_only_null) {
        ck_assert(text_equal(NULL, NULL));
        ck_assert(!text_equal(NULL, "") && !text_equal("", NULL));
        ck_assert(text_equal("a", "a") && !text_equal("a", "A") && !text_equal("a", "ab"));
}
END_TEST

START_TEST(lower_case_is_ascii_alone) {
        char text[] = "@AZ[`az{ÄÖ0";

        text_lower(text);
        ck_assert_str_eq(text, "@az[`az{ÄÖ0");
}
END_TEST

START_TEST(a_suffix_is_at_the_end) {
        ck_assert(text_ends_with("cad.conf", ".conf") && text_ends_with(".conf", ".conf") &&
                  text_ends_with("x", ""));
        ck_assert(!text_ends_with("conf", ".conf") && !text_ends_with("a.conf.bak", ".conf") &&
                  !text_ends_with("", "x"));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("text");
        TCase *tc = tcase_create("text");

        tcase_set_timeout(tc, 60);
        tcase_add_loop_test(tc, hex_is_pairs_of_digits_and_nothing_else, 0, ARRAY_SIZE(hex_rows));
        tcase_add_test(tc, every_octet_goes_through_hex_and_back);
        tcase_add_loop_test(tc, base64_is_that_of_the_rfc, 0, ARRAY_SIZE(base64_vectors));
        tcase_add_loop_test(tc, base64_is_read_strictly, 0, ARRAY_SIZE(base64_rows));
        tcase_add_test(tc, trailing_bits_must_be_zero_for_every_last_character);
        tcase_add_test(tc, every_octet_is_a_digit_or_not_one);
        tcase_add_loop_test(tc, base64_of_any_length_comes_back_whatever_the_lines, 0, 6);
        tcase_add_test(tc, every_scalar_value_is_valid_and_every_surrogate_is_not);
        tcase_add_loop_test(tc, what_is_no_utf8_is_not_valid_and_shown_as_question_marks, 0,
                            ARRAY_SIZE(utf8_bad));
        tcase_add_loop_test(tc, what_is_shown_cannot_move_or_turn_what_is_around_it, 0,
                            ARRAY_SIZE(shown_rows));
        tcase_add_loop_test(tc, what_does_not_fit_is_cut_between_characters_and_marked, 0,
                            ARRAY_SIZE(cut_rows));
        tcase_add_test(tc, no_room_at_all_is_not_written_to);
        tcase_add_loop_test(tc, a_number_is_whole_and_within_its_maximum, 0,
                            ARRAY_SIZE(number_rows));
        tcase_add_test(tc, null_equals_only_null);
        tcase_add_test(tc, lower_case_is_ascii_alone);
        tcase_add_test(tc, a_suffix_is_at_the_end);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
