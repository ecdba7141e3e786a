/*
 * Gate: what libmicrohttpd lets through and must not reach a handler (threats.md R-27, §4 46–51).
 *
 * Pure: works on the header fields as handed over, knows no socket.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/error.h"

#define GATE_HEADERS_MAX 64 /* header fields a request; more are refused */

/** struct gate_header - a field as MHD has it; both end with NUL at @…_len unless one was smuggled in */
struct gate_header {
        const char *name, *value;
        size_t name_len, value_len;
};

/** struct gate_request - what the gate looks at, and what it finds out */
struct gate_request {
        const char *version; /* "HTTP/1.1" */
        struct gate_header headers[GATE_HEADERS_MAX];
        size_t headers_len; /* may be over GATE_HEADERS_MAX: then it is refused */
        /* The fields lie in the receive buffer as they were sent, line ends overwritten with NUL: gate_check() then sees
         * bare LF, NULs and folded lines, which libmicrohttpd 0.9.75 lets through and hides. */
        bool in_place;
        const char *path; /* needed with in_place alone */
        bool has_query;
        /* set by gate_check() */
        const char *host;   /* NULL on HTTP/1.0 without one */
        const char *origin; /* NULL where there is none */
        bool has_body;      /* announced: chunked or Content-Length over 0 */
        bool chunked;
        bool expects_continue;
        uint64_t content_length; /* 0 where not given */
};

/** gate_add() - take a field in; beyond the maximum it is only counted */
void gate_add(struct gate_request *request, struct gate_header header);

/**
 * gate_check() - framing and header syntax
 * @err: ERR_REQUEST_MALFORMED: a name that is no RFC 9110 §5.1 token, a control character in a value, more than one of a
 *       field that may come once (Content-Length, Host, Content-Type, Authorization, Idempotency-Key, Origin, …),
 *       Content-Length with Transfer-Encoding, Transfer-Encoding that is not exactly "chunked" or on HTTP/1.0, no Host on
 *       HTTP/1.1, a Host that is none (RFC 9110 §7.2), too many fields, an Expect other than 100-continue; with in_place
 *       a bare LF (but after the last field), a NUL, a folded line.
 *       After any of these the end of the request is not known: the connection must be closed.
 */
int gate_check(struct gate_request *request, struct error *err);

/** gate_content() - Content-Encoding other than identity and a charset other than UTF-8: ERR_MEDIA_TYPE */
int gate_content(const struct gate_request *request, struct error *err);

/** gate_host_valid() - whether @host is uri-host [ ":" port ], or empty (RFC 9110 §7.2, RFC 3986 §3.2.2) */
bool gate_host_valid(const char *host);

/** gate_host_name() - the host of a Host field, lower case, without port and brackets. Return: 0, or -1 if @size is too small */
int gate_host_name(const char *host, char *out, size_t size);
