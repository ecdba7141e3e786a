/*
 * The root certificate that whoever answers at a URL hands out. It proves nothing: only a fingerprint that came another way makes it
 * worth anything.
 */
#pragma once

#include "cactl.h"
#include "lib/base/bytes.h"

#define ROOT_FETCH_MAX (64u * 1024) /* bytes of the answer; a root is below 4 KiB */
#define ROOT_FETCH_TIMEOUT_S 10L    /* for all of it, however slowly it drips */

/**
 * root_fetch() - GET /v1/ca/root.pem of an https:// URL, without verifying it, or /root.crt of an http:// one
 *
 * Nothing but the question for it is sent; no redirect is followed.
 * @url:     scheme, host and port alone
 * @ret_der: appended: one certificate, the first that came, not looked into
 * Return: DONE; WRONG_USAGE for what is no such URL; UNREACHABLE; REFUSED where something else than a certificate came
 */
enum result root_fetch(const char *url, struct buffer *ret_der);
