/*
 * Fingerprints in words and back. It decides nothing: whoever asks compares.
 */
#include "lib/pki/fingerprint_words.h"

#include <stdlib.h>

#include "lib/base/text.h"

#define SEPARATORS " \t\r\n:,.-"
#define WHOLE_FROM 4 /* letters that tell a word from all others */

_Static_assert(FINGERPRINT_WORD_LIST == 1 << FINGERPRINT_WORD_BITS, "each word is 11 bits");
_Static_assert(FINGERPRINT_WORDS *FINGERPRINT_WORD_BITS <= SHA256_SIZE * 8, "of one digest");

/* The bit at @at, 0 being the highest of the first octet. */
static unsigned bit_of(const uint8_t *octets, size_t at) {
        return octets[at / 8] >> (7 - at % 8) & 1u;
}

char *fingerprint_words(const uint8_t digest[SHA256_SIZE], char ret[FINGERPRINT_WORDS_MAX]) {
        char *out = ret;

        for (size_t i = 0; i < FINGERPRINT_WORDS; i++) {
                unsigned index = 0;

                for (size_t bit = 0; bit < FINGERPRINT_WORD_BITS; bit++)
                        index = index << 1 | bit_of(digest, i * FINGERPRINT_WORD_BITS + bit);
                if (i)
                        *out++ = ' ';
                out = stpcpy(out, fingerprint_word_list[index]);
        }
        return ret;
}

/* ---- back ---- */

struct word {
        const char *text;
        size_t size;
};

/* Return: whether there was one more; @rest is moved behind it */
static bool next_word(const char **rest, struct word *ret) {
        ret->text = *rest + strspn(*rest, SEPARATORS);
        ret->size = strcspn(ret->text, SEPARATORS);
        *rest = ret->text + ret->size;
        return ret->size > 0;
}

static int compare(const void *key, const void *entry) {
        const struct word *word = key;
        const char *listed = entry;
        int order = strncasecmp(word->text, listed, word->size);

        return order || word->size >= WHOLE_FROM || !listed[word->size] ? order : -1;
}

/* Return: the word's place in the list, or -1 */
static int index_of(const struct word *word) {
        const char *found = word->size < FINGERPRINT_WORD_MAX
                ? bsearch(word, fingerprint_word_list, FINGERPRINT_WORD_LIST, FINGERPRINT_WORD_MAX,
                          compare)
                : NULL;

        return found ? (int) ((found - fingerprint_word_list[0]) / FINGERPRINT_WORD_MAX) : -1;
}

static void put_index(uint8_t *octets, size_t word, unsigned index) {
        for (size_t bit = 0; bit < FINGERPRINT_WORD_BITS; bit++) {
                size_t at = word * FINGERPRINT_WORD_BITS + bit;

                if (index >> (FINGERPRINT_WORD_BITS - 1 - bit) & 1u)
                        octets[at / 8] |= (uint8_t) (0x80u >> at % 8);
        }
}

static int parse_words(const char *text, struct fingerprint *ret, struct error *err) {
        struct fingerprint given = { .bits = FINGERPRINT_WORDS * FINGERPRINT_WORD_BITS };
        struct word word;
        size_t count = 0;

        for (; next_word(&text, &word); count++) {
                int index = index_of(&word);

                if (index < 0)
                        return error_set(
                                err, ERR_USAGE,
                                "word %zu of the fingerprint, '%.*s', is not in the list: compare it with what 'cactl ca fingerprint' shows",
                                count + 1, (int) (word.size < 32 ? word.size : 32), word.text);
                if (count < FINGERPRINT_WORDS)
                        put_index(given.octets, count, (unsigned) index);
        }
        if (count != FINGERPRINT_WORDS)
                return error_set(err, ERR_USAGE,
                                 "the fingerprint has %zu words where there should be %d", count,
                                 FINGERPRINT_WORDS);
        *ret = given;
        return 0;
}

/* Return: 0, or -1 where it is something else */
static int parse_hex(const char *text, struct fingerprint *ret) {
        struct fingerprint given = { .bits = SHA256_SIZE * 8 };
        char hex[2 * SHA256_SIZE + 1];
        size_t used = 0, size = 0;

        for (; *text; text++) {
                if (strchr(SEPARATORS, *text))
                        continue;
                if (used + 1 == sizeof(hex))
                        return -1;
                hex[used++] = *text;
        }
        hex[used] = '\0';
        if (hex_decode(hex, given.octets, SHA256_SIZE, &size) < 0 || size != SHA256_SIZE)
                return -1;
        *ret = given;
        return 0;
}

/* Whether somebody meant hex, and it was cut or copied wrong: to speak of words would not help. */
static bool looks_like_hex(const char *text) {
        return strpbrk(text, "0123456789") ||
                strspn(text, SEPARATORS "abcdefABCDEF") == strlen(text);
}

int fingerprint_parse(const char *text, struct fingerprint *ret, struct error *err) {
        if (parse_hex(text, ret) == 0 || parse_words(text, ret, err) == 0)
                return 0;
        if (looks_like_hex(text))
                return error_set(
                        err, ERR_USAGE,
                        "the SHA-256 of the root is wanted, 64 hex digits or the twelve words that stand for it");
        return -1;
}

bool fingerprint_fits(const struct fingerprint *given, const uint8_t digest[SHA256_SIZE]) {
        if (!given->bits || given->bits > SHA256_SIZE * 8)
                return false;
        for (size_t at = 0; at < given->bits; at++)
                if (bit_of(given->octets, at) != bit_of(digest, at))
                        return false;
        return true;
}
