/*
 * PEM (RFC 7468): text armour, read with tolerance for what is harmless and none for what is not.
 */
#pragma once

#include <stdbool.h>

#include "lib/base/bytes.h"
#include "lib/base/error.h"

#define PEM_LABEL_MAX 64 /* bytes with NUL */

/** pem_append() - append a block with @label ("CERTIFICATE") around @der, 64 characters a line */
void pem_append(struct buffer *out, const char *label, struct bytes der);

/**
 * pem_next() - find the next block
 * @text: moved behind the block that was found. CRLF, a BOM, text between blocks and white space at line ends are skipped.
 * @ret_label: PEM_LABEL_MAX bytes
 * @ret_der: appended; wants wiping where it may be a key
 * Return: 1 found, 0 none left, -1 with @err (ERR_BODY_MALFORMED: no end line, another label at the end, bad base64, headers of RFC 1421)
 */
int pem_next(struct bytes *text, char *ret_label, struct buffer *ret_der, struct error *err);

/** pem_has_private_key() - whether a "PRIVATE KEY" block of any kind is in @text */
bool pem_has_private_key(struct bytes text);
