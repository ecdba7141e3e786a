/*
 * Codes for people: 40 bits as 8 characters of Crockford's base32, which has no letter that is taken for another or for a digit.
 */
#pragma once

#include <stdint.h>

#define CODE_TEXT_MAX 9   /* bytes with NUL: 8 characters */
#define CODE_SHOWN_MAX 10 /* with a hyphen in the middle */
#define CODE_BITS 40

/** code_of_bits() - the lower 40 bits, in upper case. Return: @ret */
char *code_of_bits(uint64_t bits, char ret[CODE_TEXT_MAX]);

/**
 * code_parse() - a code as somebody heard or copied it: either case, with hyphens and spaces, O for 0, I and L for 1
 * @ret: as code_of_bits() writes it; set on success only
 * Return: 0, or -1 where it is none
 */
int code_parse(const char *text, char ret[CODE_TEXT_MAX]);

/** code_show() - "7XK2-M9QP". Return: @ret */
char *code_show(const char code[CODE_TEXT_MAX], char ret[CODE_SHOWN_MAX]);
