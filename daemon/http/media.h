/*
 * Media types: what a body is, and which of several forms an Accept header prefers.
 */
#pragma once

#include <stddef.h>

#include "lib/base/error.h"

#define MEDIA_TYPE_MAX 96 /* bytes with NUL: "application/pem-certificate-chain" and room */

/**
 * media_type_parse() - "Application/JSON; charset=utf-8" to "application/json"
 * @content_type: NULL: none was given
 * @out:          MEDIA_TYPE_MAX bytes
 * @err:          ERR_MEDIA_TYPE: none given, or not of the form type/subtype (RFC 9110 §8.3.1)
 */
int media_type_parse(const char *content_type, char *out, struct error *err);

/**
 * media_choose() - which of @offers an Accept field takes best (RFC 9110 §12.5.1)
 * @accept:  NULL or "": anything
 * @offers:  media types, the preferred first
 * @ret:     index of the offer with the highest weight; the first of equals
 * @err:     ERR_NOT_ACCEPTABLE naming the offers; ERR_REQUEST_MALFORMED for a field that cannot be read
 */
int media_choose(const char *accept, const char *const *offers, size_t offers_len, size_t *ret,
                 struct error *err);
