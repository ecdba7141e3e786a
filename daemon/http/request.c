/*
 * A request, step by step, as libmicrohttpd calls: request_begin (gate, host, route, authorize), request_body, request_dispatch (a quick
 * handler at once, another on a worker with the connection suspended), request_queue (the answer), and request_completed. Only an event
 * thread queues an answer, whoever made it.
 */
#include "server-private.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "lib/base/log.h"
#include "lib/base/text.h"

#define HOST_NAME_MAX_BYTES 256

/* ---- before the body ---- */

/* Unique and not to be guessed from the outside by counting: splitmix64's finalizer is a permutation. */
static void request_id_make(struct http_server *server, char *out) {
        uint64_t id = server->id_seed +
                atomic_fetch_add_explicit(&server->requests, 1, memory_order_relaxed) *
                        0x9e3779b97f4a7c15u;
        uint8_t bytes[8];

        id = (id ^ id >> 30) * 0xbf58476d1ce4e5b9u;
        id = (id ^ id >> 27) * 0x94d049bb133111ebu;
        id ^= id >> 31;
        memcpy(bytes, &id, sizeof(bytes));
        (void) hex_encode(BYTES(bytes, sizeof(bytes)), out);
}

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                 size_t name_len, const char *value, size_t value_len) {
        (void) kind;
        gate_add(cls, (struct gate_header){ name, value ? value : "", name_len, value_len });
        return MHD_YES;
}

struct query_reading {
        struct exchange *x;
        struct error *err;
};

static enum MHD_Result on_query(void *cls, enum MHD_ValueKind kind, const char *key,
                                const char *value) {
        struct query_reading *reading = cls;
        struct exchange *x = reading->x;
        bool repeats = x->match.route->flags & ROUTE_QUERY_REPEATS;

        (void) kind;
        return query_add(&x->query, key ? key : "", value, repeats, reading->err) < 0 ? MHD_NO
                                                                                      : MHD_YES;
}

static int query_read(struct exchange *x, struct error *err) {
        struct query_reading reading = { x, err };

        (void) MHD_get_connection_values(x->mhd, MHD_GET_ARGUMENT_KIND, on_query, &reading);
        return err->code ? -1 : 0;
}

static bool ip_literal(const char *host) {
        return strchr(host, ':') || strspn(host, "0123456789.") == strlen(host);
}

/* Whether a page of @origin is one of ours: same scheme, host and port as the request (RFC 6454 §4). */
static bool origin_is_ours(enum http_listener_kind kind, const char *origin, const char *host) {
        static const char *const schemes[HTTP_LISTENER_KIND_COUNT] = {
                [HTTP_TLS] = "https://", [HTTP_TCP] = "http://"
        };
        size_t n = schemes[kind] ? strlen(schemes[kind]) : 0;

        return n && host && strncasecmp(origin, schemes[kind], n) == 0 &&
                strcasecmp(origin + n, host) == 0;
}

/* A page on a name that an attacker points here would carry that name as Host, and its own origin (threats.md row 51). */
static int host_allowed(struct exchange *x, const struct gate_request *gate, struct error *err) {
        const struct http_config *config = http_server_config(x->connection->server);
        enum http_listener_kind kind = x->connection->listener->kind;
        char name[HOST_NAME_MAX_BYTES];

        if (gate->origin && !origin_is_ours(kind, gate->origin, gate->host))
                return error_set(err, ERR_FORBIDDEN,
                                 "requests of web pages of other origins ('%.100s') are not taken",
                                 gate->origin);
        if (kind == HTTP_UNIX || !config->host_allowed || !gate->host)
                return 0;
        if (gate_host_name(gate->host, name, sizeof(name)) == 0 &&
            (ip_literal(name) || config->host_allowed(config->context, kind, name)))
                return 0;
        return error_set(err, ERR_HOST_NOT_ALLOWED,
                         "'%.100s' is not a name of this CA; add it to its names, or use one",
                         gate->host);
}

static int body_allowed(const struct exchange *x, const struct gate_request *gate,
                        struct error *err) {
        size_t max = x->match.route->body_max_bytes;

        if (!gate->has_body)
                return 0;
        if (max == 0)
                return error_set(err, ERR_BODY_TOO_LARGE, "%s %s takes no body", x->method,
                                 x->path);
        if (gate->content_length > max)
                return error_set(err, ERR_BODY_TOO_LARGE,
                                 "the body has %llu bytes, %zu are the most",
                                 (unsigned long long) gate->content_length, max);
        return gate_content(gate, err);
}

/* Everything that can be said before the body has come. */
static int request_admit(struct exchange *x, const struct gate_request *gate, char *allow,
                         struct error *err) {
        const struct http_config *config = http_server_config(x->connection->server);

        if (host_allowed(x, gate, err) < 0 ||
            route_find(config->routes, config->routes_len, HTTP_ON(x->connection->listener->kind),
                       x->method, x->path, &x->match, allow, err) < 0 ||
            query_read(x, err) < 0 ||
            (config->authorize && config->authorize(config->context, x, x->match.route, err) < 0))
                return -1;
        return body_allowed(x, gate, err);
}

/* ---- the answer ---- */

static enum MHD_Result request_queue(struct exchange *x) {
        struct connection *c = x->connection;
        enum MHD_Result rc;

        if (!x->response)
                return MHD_NO;
        connection_answers(c->server->connections, c, exchange_answer_bytes(x).size);
        rc = MHD_queue_response(x->mhd, x->status, x->response);
        atomic_fetch_add_explicit(
                &c->server->answers[x->status < 100 * HTTP_STATUS_CLASSES ? x->status / 100 : 0], 1,
                memory_order_relaxed);
        x->state = EXCHANGE_QUEUED;
        return rc;
}

static enum MHD_Result request_refuse(struct exchange *x, const struct error *err,
                                      const char *allow, bool close, bool body_follows) {
        exchange_problem(x, err);
        if (allow[0])
                exchange_reply_header(x, "Allow", allow);
        if (close || body_follows)
                exchange_reply_close(x);
        exchange_seal(x);
        if (close || body_follows) {
                x->connection->linger = body_follows;
                return request_queue(x); /* before anything more is read; MHD closes after it */
        }
        x->state = EXCHANGE_REFUSED; /* MHD is about to come again, at the request's end */
        return MHD_YES;
}

/* ---- it begins, and its body ---- */

static enum MHD_Result request_begin(struct exchange *x, struct MHD_Connection *mhd,
                                     const char *method, const char *path, const char *version) {
        struct gate_request gate = { .version = version, .path = path };
        struct error err = { 0 };
        char allow[ROUTE_ALLOW_MAX] = "";

        x->mhd = mhd;
        x->method = method;
        x->path = path;
        request_id_make(x->connection->server, x->request_id);
        (void) MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, on_header, &gate);
        gate.in_place = x->connection->server->reads_in_place;
        gate.has_query = MHD_get_connection_values_n(mhd, MHD_GET_ARGUMENT_KIND, NULL, NULL) > 0;
        if (gate_check(&gate, &err) < 0)
                return request_refuse(x, &err, allow, /* close= */ true, /* body_follows= */ true);
        if (request_admit(x, &gate, allow, &err) < 0)
                return request_refuse(x, &err, allow, /* close= */ false, gate.has_body);
        x->state = EXCHANGE_READING;
        if (gate.content_length)
                (void) buffer_reserve(&x->body, (size_t) gate.content_length);
        return MHD_YES;
}

/* The body. One that is longer than announced can only be chunked; it is read on for a while, so that its sender
 * comes to reading the answer. */
static enum MHD_Result request_body(struct exchange *x, struct bytes piece) {
        struct error err = { 0 };

        if (x->state == EXCHANGE_READING) {
                size_t max = x->match.route->body_max_bytes;

                if (piece.size <= max - x->body.size) {
                        buffer_append(&x->body, piece);
                        return MHD_YES;
                }
                (void) error_set(&err, ERR_BODY_TOO_LARGE,
                                 "the body has more than %zu bytes, the most that is taken", max);
                exchange_problem(x, &err);
                exchange_reply_close(x);
                exchange_seal(x);
                x->state = EXCHANGE_REFUSED;
        }
        x->discarded += piece.size;
        return x->discarded > EXCHANGE_DRAIN_MAX ? MHD_NO : MHD_YES;
}

/* ---- it is here ---- */

static void on_work(struct work *work) {
        struct exchange *x = (struct exchange *) ((char *) work - offsetof(struct exchange, work));

        if (exchange_run(x))
                exchange_send(x);
}

static enum MHD_Result request_fail(struct exchange *x, enum error_code code, const char *text) {
        struct error err = { 0 };

        (void) error_set(&err, code, "%s", text);
        exchange_problem(x, &err);
        exchange_seal(x);
        return MHD_YES;
}

static enum MHD_Result dispatch_to_worker(struct exchange *x) {
        connection_works(x->connection);
        x->suspended = true;
        MHD_suspend_connection(x->mhd); /* before the worker can resume it */
        if (workers_push(x->connection->server->workers, &x->work))
                return MHD_YES;
        (void) request_fail(x, ERR_OVERLOADED,
                            "too many requests are waiting; come again in a moment");
        MHD_resume_connection(x->mhd);
        return MHD_YES;
}

/* Counted from the dispatch until MHD has it back: by coming by for the answer or, where the client has gone in the
 * meantime, by completing the request without. */
static void request_works(struct exchange *x, bool works) {
        if (x->working == works)
                return;
        x->working = works;
        if (works)
                atomic_fetch_add(&x->connection->server->working, 1);
        else
                atomic_fetch_sub(&x->connection->server->working, 1);
}

static enum MHD_Result request_dispatch(struct exchange *x) {
        struct http_server *server = x->connection->server;

        x->state = EXCHANGE_WORKING;
        x->work.run = on_work;
        /* In this order: either http_server_stop() sees the request, or the request sees that it stops. */
        atomic_fetch_add(&server->in_hand, 1);
        request_works(x, true);
        if (atomic_load(&server->stopping)) {
                exchange_reply_close(x);
                (void) request_fail(x, ERR_STOPPING,
                                    "the service is stopping; come again in a moment");
        } else if (x->body.failed) {
                (void) request_fail(x, ERR_NO_MEMORY, "out of memory while reading the body");
        } else if (!(x->match.route->flags & ROUTE_QUICK) || x->needs_worker) {
                return dispatch_to_worker(x);
        } else if (exchange_run(x)) {
                exchange_seal(x);
        } else {
                return MHD_YES;
        }
        request_works(x, false);
        return request_queue(x);
}

/* MHD comes by again after a suspension. */
static enum MHD_Result request_resumed(struct exchange *x) {
        request_works(x, false);
        if (atomic_load_explicit(&x->connection->server->stopping, memory_order_relaxed) &&
            x->response)
                (void) MHD_add_response_header(x->response, "Connection", "close");
        return request_queue(x);
}

static enum MHD_Result request_ended(struct exchange *x) {
        switch (x->state) {
        case EXCHANGE_READING:
                return request_dispatch(x);
        case EXCHANGE_REFUSED:
                return request_queue(x);
        case EXCHANGE_ANSWERED:
                return request_resumed(x);
        case EXCHANGE_IDLE:
        case EXCHANGE_WORKING:
        case EXCHANGE_QUEUED:
                break;
        }
        return MHD_YES;
}

/* ---- as libmicrohttpd calls ---- */

/* With the first request: the handshake is over then. */
static void take_certificates(struct connection *c, struct MHD_Connection *mhd) {
        gnutls_session_t session = NULL;

        if (c->listener->kind == HTTP_TLS && !c->certificates_taken)
                session = mhd_session_of(mhd);
        if (session)
                tls_take_certificates(c, session);
        c->certificates_taken = true;
}

enum MHD_Result request_arrives(void *cls, struct MHD_Connection *mhd, const char *url,
                                const char *method, const char *version, const char *upload_data,
                                size_t *upload_size, void **request) {
        struct exchange *x = *request;

        (void) cls;
        if (!x) {
                const union MHD_ConnectionInfo *info = MHD_get_connection_info(
                        mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
                struct connection *c = info ? info->socket_context : NULL;

                if (!c)
                        return MHD_NO; /* it came when there was no memory, and is shut down already */
                if (!connection_begins(c))
                        return MHD_NO;
                *request = x = &c->exchange;
                take_certificates(c, mhd);
                return request_begin(x, mhd, method, url, version);
        }
        if (*upload_size) {
                struct bytes piece = BYTES(upload_data, *upload_size);

                *upload_size = 0;
                return request_body(x, piece);
        }
        return request_ended(x);
}

void request_completed(void *cls, struct MHD_Connection *mhd, void **request,
                       enum MHD_RequestTerminationCode why) {
        struct http_server *server = cls;
        struct exchange *x = *request;
        bool dispatched;

        (void) mhd;
        if (!x)
                return;
        *request = NULL;
        log_debug("%s %s %s: %u to %s%s", x->request_id, x->method, x->path, x->status,
                  x->connection->peer.text,
                  why == MHD_REQUEST_TERMINATED_COMPLETED_OK ? "" : ", not taken");
        request_works(x, false);
        dispatched = x->work.run != NULL;
        x->work.run = NULL;
        exchange_clear(x);
        connection_rests(server->connections, x->connection);
        if (dispatched)
                atomic_fetch_sub(&server->in_hand, 1);
}
