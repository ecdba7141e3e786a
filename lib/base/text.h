/*
 * Text encodings: hex, base64, UTF-8, printable copies, whole numbers.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "error.h"

/**
 * text_make_printable() - copy @in to @out, so that it can stand in a line of ours
 * @size: bytes of @out, its NUL included; 0: nothing is written
 *
 * Invalid UTF-8, control characters, and what breaks the line, turns the text around it or is not seen (bidirectional
 * marks and overrides, U+2028, zero-width space, …) become '?'. What does not fit is cut between characters and ends with "…".
 */
void text_make_printable(const char *in, char *out, size_t size);

/** text_printable() - the same for bytes that may hold NULs. Return: @out */
const char *text_printable(struct bytes in, char *out, size_t size);

/** utf8_valid() - whether @in is well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates) */
bool utf8_valid(struct bytes in);

/** hex_encode() - lower-case hex of @in into @out, which has 2 × @in.size + 1 bytes. Return: @out */
char *hex_encode(struct bytes in, char *out);

/**
 * hex_decode() - bytes of a hex text of either case, no separators
 * @ret_size: set on success
 * Return: 0, or -1 where @text is no hex, has an odd length or is longer than @max bytes
 */
int hex_decode(const char *text, uint8_t *out, size_t max, size_t *ret_size);

/** base64_append() - append RFC 4648 §4 base64 of @in, with a line break every @line characters (0: none) */
void base64_append(struct buffer *out, struct bytes in, size_t line);

/**
 * base64_decode() - append the bytes of an RFC 4648 §4 text; white space is skipped
 * Return: 0, or -1 on a foreign character, wrong padding or non-zero trailing bits (then @out may hold a part)
 */
int base64_decode(struct bytes text, struct buffer *out);

/** text_to_u64() - a whole decimal number up to @max with nothing before or after. Return: 0 or -1 */
int text_to_u64(const char *text, uint64_t max, uint64_t *ret);

/** text_equal() - strcmp() == 0 that copes with NULL (NULL equals only NULL) */
bool text_equal(const char *a, const char *b);

/** text_lower() - ASCII upper case to lower case, in place, in the C locale */
void text_lower(char *text);

/** text_ends_with() - whether @text ends with @suffix */
bool text_ends_with(const char *text, const char *suffix);
