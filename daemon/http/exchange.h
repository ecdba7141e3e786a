/*
 * Exchange: one request and its answer.
 *
 * A handler is plain straight-line code: read the request, do the work, answer, return.
 *
 *     static void show(struct exchange *x) {
 *             struct error err = { 0 };
 *             …
 *             if (authority_find(…, exchange_param(x, "serial"), …, &err) < 0)
 *                     return exchange_problem(x, &err);
 *             exchange_reply(x, 200, "application/json", buffer_bytes(&out));
 *     }
 *
 * A handler that hands the exchange on (to the committer) calls exchange_defer() before it does so, and touches the
 * exchange no more; who has it then answers, from any thread, with a reply or a problem and exchange_send(), once.
 * Everything lent by an exchange lives until it is sent.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/bytes.h"
#include "lib/base/error.h"
#include "server.h"

#define PEER_TEXT_MAX 64 /* bytes with NUL: "uid:1000 pid:4711", "[fe80::1%eth0]:4711" */

/** struct peer - who is at the other end, as the transport proves it */
struct peer {
        enum http_listener_kind listener;
        bool has_credentials; /* uid, gid, pid, groups are the kernel's word (SO_PEERCRED, SO_PEERGROUPS) */
        uid_t uid;
        gid_t gid;
        pid_t pid;
        const gid_t *groups; /* supplementary ones */
        size_t groups_len;
        char text[PEER_TEXT_MAX]; /* for the log and the audit */
};

/* The request */

/** exchange_context() - http_config.context */
void *exchange_context(const struct exchange *x);

/** exchange_counts() - those of the server that the exchange came to: see http_server_counts() */
struct http_counts exchange_counts(const struct exchange *x);

/** exchange_peer() - lent; the same for all requests of a connection */
const struct peer *exchange_peer(const struct exchange *x);

/**
 * exchange_peer_certificates() - what the client showed in the TLS handshake, its own first
 * @ret:   DER, as sent: neither verified nor even looked at beyond what TLS proves (who sent the first one has its key)
 * @count: 0 where none was shown, and on the other listeners
 *
 * Lent; the same for all requests of a connection.
 */
void exchange_peer_certificates(const struct exchange *x, const struct bytes **ret, size_t *count);

/**
 * exchange_keep() - keep something with the connection, e.g. what was found out about its certificate
 * @release: may be NULL; called when it is replaced, or when the connection is closed, in an event thread
 *
 * Requests of a connection come one after the other, so what is kept needs no lock.
 */
void exchange_keep(struct exchange *x, void *kept, void (*release)(void *kept));

/** exchange_kept() - what was kept, or NULL */
void *exchange_kept(const struct exchange *x);

/** exchange_route() - the row that answers */
const struct route *exchange_route(const struct exchange *x);

/** exchange_method() - as sent; "HEAD" for a HEAD */
const char *exchange_method(const struct exchange *x);

/** exchange_path() - as sent, still encoded, without the query */
const char *exchange_path(const struct exchange *x);

/** exchange_request_id() - 16 hex digits, unique in this process; also in X-Request-Id, problems and the log */
const char *exchange_request_id(const struct exchange *x);

/** exchange_body() - all of it; empty where there is none */
struct bytes exchange_body(const struct exchange *x);

/** exchange_header() - the (first) value of a field, case of the name aside; NULL where it is not there. Authorization
 *  is never there on HTTP_TCP */
const char *exchange_header(const struct exchange *x, const char *name);

/** exchange_param() - a {parameter} of the route's pattern; NULL where the pattern has none of that name */
const char *exchange_param(const struct exchange *x, const char *name);

/** exchange_query() - a query parameter, decoded; NULL where it was not given, "" where without a value */
const char *exchange_query(const struct exchange *x, const char *key);

/** exchange_query_at() - the @i-th query parameter in the order sent. Return: whether there is one */
bool exchange_query_at(const struct exchange *x, size_t i, const char **ret_key,
                       const char **ret_value);

/** exchange_query_known() - refuse parameters that are not in @keys (which ends with NULL): ERR_QUERY_INVALID */
int exchange_query_known(const struct exchange *x, const char *const *keys, struct error *err);

/** exchange_set_principal() - attach who it is; @release (may be NULL) is called when the request is over, in an event thread */
void exchange_set_principal(struct exchange *x, void *principal, void (*release)(void *principal));

/**
 * exchange_need_worker() - for authorize: authenticate has to be asked about this request
 *
 * It runs on a worker then, also where its route is ROUTE_QUICK.
 */
void exchange_need_worker(struct exchange *x);

/** exchange_principal() - what was attached, or NULL */
void *exchange_principal(const struct exchange *x);

/* The answer. A later reply or problem replaces an earlier one until it is sent. */

/** exchange_reply() - @body is copied; @content_type is a static string, NULL with an empty body */
void exchange_reply(struct exchange *x, unsigned status, const char *content_type,
                    struct bytes body);

/** exchange_reply_take() - the same, moving @body's memory; @body is empty afterwards. A failed buffer becomes a problem */
void exchange_reply_take(struct exchange *x, unsigned status, const char *content_type,
                         struct buffer *body);

/**
 * exchange_reply_lent() - the same with bytes that stay where they are: for what is large, or asked for often
 * @release: may be NULL; called with @context once the answer is out of the way, sent or not, on any thread
 */
void exchange_reply_lent(struct exchange *x, unsigned status, const char *content_type,
                         struct bytes body, void (*release)(void *context), void *context);

/** exchange_json() - the same with a document, whose reference is taken; NULL (no memory) becomes a problem */
void exchange_json(struct exchange *x, unsigned status, json_t *document);

/** exchange_problem() - a problem document, or what http_config.problem_form says in its place, with Retry-After where it fits; a fault is logged here, once */
void exchange_problem(struct exchange *x, const struct error *err);

/**
 * exchange_reply_header() - one more field, e.g. Location; both are copied; call it after the reply
 *
 * Content-Type, Cache-Control: no-store, X-Content-Type-Options and X-Request-Id come by themselves; a
 * Cache-Control given here replaces ours. A value with a line break is refused: the answer becomes a problem.
 */
void exchange_reply_header(struct exchange *x, const char *name, const char *value);

/** exchange_reply_close() - close the connection after the answer */
void exchange_reply_close(struct exchange *x);

/** exchange_defer() - the handler returns without an answer; somebody else sends it */
void exchange_defer(struct exchange *x);

/**
 * exchange_send() - let the prepared answer go; the exchange must not be touched any more
 *
 * For deferred exchanges alone: a handler that answers before it returns does not call it.
 */
void exchange_send(struct exchange *x);
