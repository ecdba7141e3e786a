/*
 * The fingerprint of a root for people: as twelve words to be read aloud or compared, and what somebody types back, in hex or words.
 *
 * The words are the first 132 bits of the SHA-256, 11 bits a word, the highest first. Who wants to pass off another root has
 * to find a certificate with those 132 bits, which is out of reach; a collision of two roots of one's own is of no use here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/bytes.h"
#include "lib/base/error.h"
#include "lib/pki/key.h"

#define FINGERPRINT_WORDS 12
#define FINGERPRINT_WORD_BITS 11
#define FINGERPRINT_WORD_LIST 2048 /* words of the list: BIP-39's English one */
#define FINGERPRINT_WORD_MAX 9     /* bytes with NUL: the longest has 8 letters */
#define FINGERPRINT_WORDS_MAX \
        (FINGERPRINT_WORDS * FINGERPRINT_WORD_MAX) /* bytes with NUL, one blank between */

/** fingerprint_word_list - sorted, lower case, no two with the same first four letters; made by scripts/embed-words.py */
extern const char fingerprint_word_list[FINGERPRINT_WORD_LIST][FINGERPRINT_WORD_MAX];

/** fingerprint_words() - "legal winner thank …" of a SHA-256. Return: @ret */
char *fingerprint_words(const uint8_t digest[SHA256_SIZE], char ret[FINGERPRINT_WORDS_MAX]);

/** struct fingerprint - what somebody gave as the SHA-256 of a certificate: all of it in hex, or its beginning in words */
struct fingerprint {
        uint8_t octets[SHA256_SIZE]; /* those after @bits are 0 */
        unsigned bits;               /* 256 or 132 */
};

/**
 * fingerprint_parse() - 64 hex digits or the twelve words, as they were heard or copied
 *
 * Either case; blanks, line breaks, colons, commas, full stops and hyphens between. A word may stop after its fourth letter, which
 * tells it from all others.
 * @err: ERR_USAGE, with the word that is in no list, or how many there are; @ret is untouched then
 */
int fingerprint_parse(const char *text, struct fingerprint *ret, struct error *err);

/** fingerprint_fits() - whether @digest is the one that was given, as far as it was given */
bool fingerprint_fits(const struct fingerprint *given, const uint8_t digest[SHA256_SIZE]);
