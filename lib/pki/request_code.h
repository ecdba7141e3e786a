/*
 * The code of a request: 8 characters for reading aloud, by which the person at the device and the one who approves make sure
 * that they mean the same request and the same key.
 *
 * It is computed on both sides, from what each has itself, and is no secret. 40 bits are enough against an accident and
 * against whoever can only hand in requests of his own (the CA draws the id); whoever can also answer in the CA's place is kept
 * out by TLS.
 */
#pragma once

#include <stdint.h>

#include "lib/base/bytes.h"

#define REQUEST_ID_SIZE 16        /* octets: 128 random bits */
#define REQUEST_ID_TEXT_MAX 33    /* bytes with NUL: hex */
#define REQUEST_CODE_MAX 9        /* bytes with NUL: 8 characters of Crockford's base32 */
#define REQUEST_CODE_SHOWN_MAX 10 /* with a hyphen in the middle */

/** request_code() - the first 40 bits of SHA-256 over the id's octets and the SubjectPublicKeyInfo (DER) */
void request_code(const uint8_t id[REQUEST_ID_SIZE], struct bytes spki, char ret[REQUEST_CODE_MAX]);

/**
 * request_code_parse() - a code as somebody heard or copied it: either case, with hyphens and spaces, O for 0, I and L for 1
 * Return: 0, or -1 where it is none
 */
int request_code_parse(const char *text, char ret[REQUEST_CODE_MAX]);

/** request_code_show() - "7XK2-M9QP". Return: @ret */
char *request_code_show(const char code[REQUEST_CODE_MAX], char ret[REQUEST_CODE_SHOWN_MAX]);
