/*
 * Fingerprints in words: the words that others make of the same bits, and back from what people type.
 */
#include "unit.h"

#include <stdio.h>

#include "lib/base/macros.h"
#include "lib/base/text.h"
#include "lib/pki/fingerprint_words.h"

/* Of BIP-39's test vectors: 128 bits of entropy and the 4 bits of its checksum are our first 132; what follows plays no part. */
static const struct {
        const char *hex, *words;
} vectors[] = {
        { "000000000000000000000000000000003fffffffffffffffffffffffffffffff",
          "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about" },
        { "7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f80000000000000000000000000000000",
          "legal winner thank year wave sausage worth useful legal winner thank yellow" },
        { "80808080808080808080808080808080400000000000000000000000000000ff",
          "letter advice cage absurd amount doctor acoustic avoid letter advice cage above" },
        { "ffffffffffffffffffffffffffffffff5abcdef0123456789abcdef012345678",
          "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo wrong" },
        { "9e885d952ad362caeb4efe34a8e91bd210000000000000000000000000000000",
          "ozone drill grab fiber curtain grace pudding thank cruise elder eight picnic" },
};

static void digest_of(const char *hex, uint8_t digest[SHA256_SIZE]) {
        size_t size = 0;

        ck_assert_int_eq(hex_decode(hex, digest, SHA256_SIZE, &size), 0);
        ck_assert_uint_eq(size, SHA256_SIZE);
}

START_TEST(the_words_are_those_of_bip39) {
        char words[FINGERPRINT_WORDS_MAX];
        struct fingerprint given = { 0 };
        uint8_t digest[SHA256_SIZE];
        struct error err = { 0 };

        digest_of(vectors[_i].hex, digest);
        ck_assert_str_eq(fingerprint_words(digest, words), vectors[_i].words);
        ck_ok(fingerprint_parse(words, &given, &err), err);
        ck_assert_uint_eq(given.bits, 132);
        ck_assert(fingerprint_fits(&given, digest));
}
END_TEST

/* All of vectors[1]. */
static const struct {
        const char *why, *text;
} tolerated[] = {
        { "as it is printed",
          "legal winner thank year wave sausage worth useful legal winner thank yellow" },
        { "capitals",
          "LEGAL Winner thank YEAR wave sausage worth useful legal winner thank Yellow" },
        { "lines, tabs and more blanks than one",
          " legal  winner\tthank\r\nyear wave sausage\nworth useful legal winner thank yellow\n" },
        { "commas, hyphens and a full stop",
          "legal, winner, thank, year, wave-sausage-worth-useful, legal, winner, thank, yellow." },
        { "four letters are a word's own",
          "lega winn than year wave saus wort usef lega winn than yell" },
        { "more than four too",
          "lega winne than year wave sausag worth useful legal winner thank yello" },
        { "hex", "7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f80000000000000000000000000000000" },
        { "hex in capitals with colons",
          "7F:7F:7F:7F:7F:7F:7F:7F:7F:7F:7F:7F:7F:7F:7F:7F:80:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00" },
        { "hex in groups",
          "7f7f 7f7f 7f7f 7f7f 7f7f 7f7f 7f7f 7f7f 8000 0000 0000 0000 0000 0000 0000 0000\n" },
};

START_TEST(what_people_type_is_understood) {
        struct fingerprint given = { 0 };
        uint8_t digest[SHA256_SIZE];
        struct error err = { 0 };

        digest_of(vectors[1].hex, digest);
        ck_assert_msg(fingerprint_parse(tolerated[_i].text, &given, &err) == 0, "%s: %s",
                      tolerated[_i].why, err.text);
        ck_assert_msg(fingerprint_fits(&given, digest), "%s", tolerated[_i].why);
}
END_TEST

static const struct {
        const char *why, *text, *words;
} refused[] = {
        { "nothing", "", "64 hex digits or the twelve words" },
        { "nothing but blanks", " \n", "64 hex digits or the twelve words" },
        { "hex that was cut", "7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f8000000000000000000000000000000",
          "64 hex digits" },
        { "hex that is too long",
          "7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f8000000000000000000000000000000000", "64 hex digits" },
        { "a word too few", "legal winner thank year wave sausage worth useful legal winner thank",
          "has 11 words" },
        { "a word too many",
          "legal winner thank year wave sausage worth useful legal winner thank yellow zoo",
          "has 13 words" },
        { "a word that is in no list",
          "legal winner thank year wave sausage worth useful legal wynner thank yellow",
          "word 10 of the fingerprint, 'wynner'" },
        { "three letters of a longer word",
          "legal winner thank year wave sau worth useful legal winner thank yellow",
          "word 6 of the fingerprint, 'sau'" },
        { "a word of the list and more",
          "legal winner thank year wave sausage worth useful legal winner thank yellows",
          "word 12 of the fingerprint, 'yellows'" },
        { "a letter of another alphabet",
          "legal winner thank year wave sausage worth useful legal winner thank "
          "\xd1\x83"
          "ellow",
          "word 12" },
        { "before the list", "aaaz", "'aaaz'" },
        { "behind it", "zzzz", "'zzzz'" },
        { "one word without an end",
          "legalwinnerthankyearwavesausageworthusefullegalwinnerthankyellow", "word 1" },
};

START_TEST(what_is_no_fingerprint_is_refused_with_the_reason) {
        struct fingerprint given = { .bits = 7 };
        struct error err = { 0 };

        ck_refused(fingerprint_parse(refused[_i].text, &given, &err), err, ERR_USAGE);
        ck_assert_msg(strstr(err.text, refused[_i].words), "%s: %s", refused[_i].why, err.text);
        ck_assert_uint_eq(given.bits, 7);
}
END_TEST

START_TEST(a_single_other_bit_does_not_fit) {
        struct fingerprint hex = { 0 }, words = { 0 };
        uint8_t digest[SHA256_SIZE];
        struct error err = { 0 };

        digest_of(vectors[4].hex, digest);
        ck_ok(fingerprint_parse(vectors[4].hex, &hex, &err), err);
        ck_ok(fingerprint_parse(vectors[4].words, &words, &err), err);
        for (size_t at = 0; at < SHA256_SIZE * 8; at++) {
                digest[at / 8] ^= (uint8_t) (0x80u >> at % 8);
                ck_assert_msg(!fingerprint_fits(&hex, digest), "hex, bit %zu", at);
                ck_assert_msg(fingerprint_fits(&words, digest) == (at >= 132), "words, bit %zu",
                              at);
                digest[at / 8] ^= (uint8_t) (0x80u >> at % 8);
        }
        ck_assert(fingerprint_fits(&hex, digest));
}
END_TEST

START_TEST(what_was_never_given_fits_nothing) {
        const struct fingerprint none = { 0 };
        const uint8_t digest[SHA256_SIZE] = { 0 };

        ck_assert(!fingerprint_fits(&none, digest));
}
END_TEST

/* Each word at each place, and each cut to the four letters that tell it. */
START_TEST(every_word_of_the_list_comes_back) {
        for (size_t i = 0; i < FINGERPRINT_WORD_LIST; i++) {
                CAD_AUTO(buffer_done) struct buffer text = { 0 };
                struct fingerprint given = { 0 };
                char words[FINGERPRINT_WORDS_MAX];
                struct error err = { 0 };

                for (size_t at = 0; at < FINGERPRINT_WORDS; at++)
                        buffer_format(&text, "%s%.*s", at ? " " : "",
                                      at % 2 ? 4 : FINGERPRINT_WORD_MAX, fingerprint_word_list[i]);
                ck_ok(fingerprint_parse(buffer_string(&text), &given, &err), err);
                (void) fingerprint_words(given.octets, words);
                for (const char *word = words; word; word = strchr(word, ' ')) {
                        word += *word == ' ';
                        ck_assert(strncmp(word, fingerprint_word_list[i],
                                          strlen(fingerprint_word_list[i])) == 0);
                }
        }
}
END_TEST

int main(void) {
        Suite *suite = suite_create("fingerprint-words");
        TCase *tc = tcase_create("fingerprint-words");

        tcase_add_loop_test(tc, the_words_are_those_of_bip39, 0, ARRAY_SIZE(vectors));
        tcase_add_loop_test(tc, what_people_type_is_understood, 0, ARRAY_SIZE(tolerated));
        tcase_add_loop_test(tc, what_is_no_fingerprint_is_refused_with_the_reason, 0,
                            ARRAY_SIZE(refused));
        tcase_add_test(tc, a_single_other_bit_does_not_fit);
        tcase_add_test(tc, what_was_never_given_fits_nothing);
        tcase_add_test(tc, every_word_of_the_list_comes_back);
        suite_add_tcase(suite, tc);
        return unit_main(suite);
}
