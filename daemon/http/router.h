/*
 * Router: which row of the route table answers a method and a still-encoded path.
 *
 * Pure: no socket, no allocation. What it is not sure about it refuses (threats.md R-27).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/error.h"

struct exchange;

#define ROUTE_PATH_MAX 512 /* bytes of a path; the longest of ours is under 100 */
#define ROUTE_PARAMS_MAX 4 /* {parameters} a pattern */
#define ROUTE_ALLOW_MAX 64 /* bytes with NUL of an Allow header */

/* Where a request comes in. */
enum http_listener_kind {
        HTTP_UNIX, /* AF_UNIX stream: the peer is proved by the kernel */
        HTTP_TLS,  /* TCP with TLS: a client certificate is asked for, and handed up unverified */
        HTTP_TCP,  /* plain TCP: nothing secret, no credentials */
        HTTP_LISTENER_KIND_COUNT,
};
#define HTTP_ON(kind) (1u << (kind))

/* Where a row is served that does not say it: never in the clear. */
#define ROUTE_LISTENERS_DEFAULT (HTTP_ON(HTTP_UNIX) | HTTP_ON(HTTP_TLS))

enum route_flags {
        ROUTE_QUICK = 1
                << 0, /* runs in the event thread: no lock, no file, no signer, no database */
        ROUTE_QUERY_REPEATS = 1 << 1, /* a query parameter may be given more than once */
        ROUTE_BASIC = 1
                << 2, /* "Authorization: Basic" is taken, too; for the program's authorize */
};

/** struct route - one row: who answers what, where, for whom */
struct route {
        const char *method; /* "GET" answers HEAD too */
        const char *
                pattern; /* "/v1/certificates/{serial}/revoke"; {x} takes one segment of unreserved characters */
        void (*handler)(struct exchange *x);
        unsigned access;       /* the program's own, for its authorize callback */
        unsigned flags;        /* enum route_flags */
        size_t body_max_bytes; /* 0: a body is refused */
        /* HTTP_ON(kind) | …; elsewhere the path does not exist. 0: ROUTE_LISTENERS_DEFAULT */
        unsigned listeners;
};

/** struct route_match - what was found; the parameters live in @path */
struct route_match {
        const struct route *route;
        size_t params_len;
        struct {
                const char *name; /* in the pattern, up to '}' */
                size_t name_len;
                const char *value; /* ended with NUL */
        } params[ROUTE_PARAMS_MAX];
        char path[ROUTE_PATH_MAX + 1];
};

/**
 * route_find() - look a request up; the first row that fits wins
 * @listener:  HTTP_ON(kind) of where it came in; 0 for all
 * @method:    as sent; case matters (RFC 9110 §9.1)
 * @path:      as sent, not decoded, without the query
 * @ret:       filled on success only
 * @ret_allow: ROUTE_ALLOW_MAX bytes; set on ERR_METHOD_NOT_ALLOWED, "" otherwise
 * @err:       ERR_REQUEST_MALFORMED: no path of a request to us ('%', "//", "..", absolute form, a character outside
 *             RFC 3986 pchar, over ROUTE_PATH_MAX); ERR_NOT_FOUND; ERR_METHOD_NOT_ALLOWED: another method would do; also
 *             OPTIONS, TRACE, CONNECT of no path, as "OPTIONS *"
 *
 * Return: 0, or -1 with @err filled.
 */
int route_find(const struct route *routes, size_t routes_len, unsigned listener, const char *method,
               const char *path, struct route_match *ret, char *ret_allow, struct error *err);

/** route_param() - the value of {name}, or NULL where the pattern has none of that name */
const char *route_param(const struct route_match *match, const char *name);

/** route_table_check() - for start-up and tests: patterns well formed, handlers there, no row hidden by one before it */
int route_table_check(const struct route *routes, size_t routes_len, struct error *err);
