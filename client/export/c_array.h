/*
 * Certificates as C source, for firmware: NAME.h and NAME.c that any C or C++ compiler takes without a warning.
 */
#pragma once

#include "export/material.h"
#include "lib/base/bytes.h"

#define C_PREFIX_MAX 64 /* bytes with NUL */

/** c_prefix() - a C identifier out of any text: "widget-007.lan" → "widget_007_lan"; never one that C or C++ keeps for itself */
void c_prefix(const char *text, char out[C_PREFIX_MAX]);

/** c_prefix_ok() - whether @text is such an identifier already */
bool c_prefix_ok(const char *text);

/**
 * c_array_make() - both files
 * @prefix: as c_prefix() makes it
 * @file:   what the header is called, for #include: "widget.h"
 * @pem:    PEM with a NUL at the end, as mbedtls_x509_crt_parse() wants it; else DER
 * @ret_c, @ret_h: appended; @ret_c has the key where there is one in @m. @err: ERR_NO_MEMORY, ERR_CRYPTO
 */
int c_array_make(const struct material *m, const char *prefix, const char *file, bool pem,
                 struct buffer *ret_c, struct buffer *ret_h, struct error *err);
