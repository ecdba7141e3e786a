/*
 * Server: see server.h. The one file that talks to libmicrohttpd's daemon: options, callbacks, start and stop.
 *
 * A request's steps here: request_begin (gate, host, route, authorize), request_body, request_dispatch (a quick
 * handler at once, another on a worker with the connection suspended), request_queue (the answer), and
 * request_completed. Only an event thread queues an answer, whoever made it.
 */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>

#include "connection.h"
#include "identity.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "problem.h"
#include "tls.h"

#define EVENT_THREADS_MAX 4
#define CONNECTION_MEMORY_BYTES (16u * 1024) /* headers over this are 431, a URI 414 (MHD) */
#define IDLE_TIMEOUT_S 60u                   /* MHD's own, behind our deadlines */
#define BACKLOG_CONNECTIONS_MIN 8
#define STOP_POLL_MS 5
#define ACCEPT_NAP_NS 50000000
#define LOG_WINDOW_MS 10000
#define LOG_LINES_A_WINDOW 10
#define HOST_NAME_MAX_BYTES 256
/* Tried with this one (Debian 12). From 1.0 on libmicrohttpd refuses by itself what the gate looks for there. */
#define MHD_IN_PLACE_VERSION "0.9.75"

struct http_server {
        struct http_config config;
        struct http_limits limits; /* with the defaults filled in */
        struct listener *listeners;
        struct connections *connections;
        struct workers *workers;
        pthread_mutex_t identity_lock;
        struct tls_identity *identity;
        bool reads_in_place; /* this libmicrohttpd parses header fields where they were received */
        uint64_t id_seed;
        _Atomic uint64_t requests;
        _Atomic uint64_t answers[HTTP_STATUS_CLASSES];
        atomic_bool stopping;
        atomic_uint in_hand; /* dispatched, not completed */
        atomic_uint working; /* dispatched, not answered: their connections may be suspended */
        atomic_uint sending; /* threads inside exchange_send() */
        _Atomic int64_t log_window_ms;
        atomic_uint log_lines;
};

const struct http_config *http_server_config(const struct http_server *server) {
        return &server->config;
}

struct connections *http_server_connections(const struct http_server *server) {
        return server->connections;
}

struct tls_identity *http_server_identity(struct http_server *server) {
        struct tls_identity *identity;

        (void) pthread_mutex_lock(&server->identity_lock);
        identity = tls_identity_ref(server->identity);
        (void) pthread_mutex_unlock(&server->identity_lock);
        return identity;
}

void http_server_set_identity(struct http_server *server, struct tls_identity *identity) {
        struct tls_identity *old;

        (void) pthread_mutex_lock(&server->identity_lock);
        old = server->identity;
        server->identity = identity;
        (void) pthread_mutex_unlock(&server->identity_lock);
        (void) tls_identity_unref(old);
}

void http_server_sending(struct http_server *server, bool begins) {
        if (begins)
                atomic_fetch_add(&server->sending, 1);
        else
                atomic_fetch_sub(&server->sending, 1);
}

/* Logging */

bool http_server_log_allowed(struct http_server *server) {
        int64_t now = moment_monotonic_ms(), since = atomic_load(&server->log_window_ms);

        if (now - since >= LOG_WINDOW_MS &&
            atomic_compare_exchange_strong(&server->log_window_ms, &since, now)) {
                unsigned lines = atomic_exchange(&server->log_lines, 0);

                if (lines > LOG_LINES_A_WINDOW)
                        log_warning("%u more lines like those before were left out",
                                    lines - LOG_LINES_A_WINDOW);
        }
        return atomic_fetch_add(&server->log_lines, 1) < LOG_LINES_A_WINDOW;
}

/* Most of MHD's messages are about peers that go away, as they like: only what somebody has to act on is for the log. */
static const char *const mhd_matters[] = { "accept", "limit", "memory", "epoll", "thread" };

static enum log_level mhd_level(const char *text) {
        for (size_t i = 0; i < ARRAY_SIZE(mhd_matters); i++)
                if (strstr(text, mhd_matters[i]))
                        return LOG_LEVEL_WARNING;
        return LOG_LEVEL_DEBUG;
}

/*
 * Where there are no descriptors, a thread of MHD's accepts no more until one of its connections has ended; one that has none tries
 * again without a pause ("busy waiting", it says, and where). It has nobody to serve, so it may as well sleep.
 */
static void nap_without_descriptors(const char *text) {
        const struct timespec nap = { .tv_nsec = ACCEPT_NAP_NS };

        if (strstr(text, "at FIRST connection"))
                (void) nanosleep(&nap, NULL);
}

static void on_mhd_log(void *cls, const char *format, va_list args) CAD_PRINTF(2, 0);
static void on_mhd_log(void *cls, const char *format, va_list args) {
        struct http_server *server = cls;
        enum log_level level;
        char text[256];
        size_t size;

        (void) vsnprintf(text, sizeof(text), format, args);
        size = strlen(text);
        if (size > 0 && text[size - 1] == '\n')
                text[size - 1] = '\0';
        level = mhd_level(text);
        if (level == LOG_LEVEL_DEBUG || http_server_log_allowed(server))
                log_line(level, "libmicrohttpd: %s", text);
        nap_without_descriptors(text);
}

/* A request begins */

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

/* The request is here */

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

static gnutls_session_t session_of(struct MHD_Connection *mhd) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(
                mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);

        return info ? info->tls_session : NULL;
}

/* With the first request: the handshake is over then. */
static void take_certificates(struct connection *c, struct MHD_Connection *mhd) {
        gnutls_session_t session = NULL;

        if (c->listener->kind == HTTP_TLS && !c->certificates_taken)
                session = session_of(mhd);
        if (session)
                tls_take_certificates(c, session);
        c->certificates_taken = true;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *url,
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

static void on_completed(void *cls, struct MHD_Connection *mhd, void **request,
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

static void on_connected(struct listener *listener, struct MHD_Connection *mhd,
                         void **socket_context) {
        const union MHD_ConnectionInfo *fd = MHD_get_connection_info(
                mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        const union MHD_ConnectionInfo *address = MHD_get_connection_info(
                mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        gnutls_session_t session = listener->kind == HTTP_TLS ? session_of(mhd) : NULL;

        if (!fd)
                return;
        *socket_context = connection_open(listener->server->connections, listener->server, listener,
                                          fd->connect_fd, address ? address->client_addr : NULL);
        if (*socket_context && session)
                tls_begin(*socket_context, session);
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode what) {
        struct listener *listener = cls;
        struct connection *c = *socket_context;

        if (what == MHD_CONNECTION_NOTIFY_STARTED) {
                on_connected(listener, mhd, socket_context);
                return;
        }
        if (!c)
                return;
        if (listener->kind == HTTP_TLS)
                tls_ended(c);
        connection_close(listener->server->connections, c);
        *socket_context = NULL;
}

/* Paths and queries are taken as sent; what is decoded, is decoded by us (threats.md R-27). */
static size_t on_unescape(void *cls, struct MHD_Connection *mhd, char *text) {
        (void) cls;
        (void) mhd;
        return strlen(text);
}

/* Start */

static unsigned or_default(unsigned value, unsigned otherwise) {
        return value ? value : otherwise;
}

static unsigned core_count(void) {
        cpu_set_t cores;

        return sched_getaffinity(0, sizeof(cores), &cores) == 0 ? (unsigned) CPU_COUNT(&cores) : 1;
}

/* What this process may open, less what it needs for everything else. */
static void descriptors_plan(struct http_limits *limits) {
        struct rlimit files;
        rlim_t reserved = limits->descriptors_reserved, room;

        if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur == RLIM_INFINITY)
                return;
        if (reserved > files.rlim_cur / 2)
                reserved = files.rlim_cur / 2;
        room = files.rlim_cur - reserved;
        if (room < BACKLOG_CONNECTIONS_MIN)
                room = BACKLOG_CONNECTIONS_MIN;
        if (limits->connections_max > room) {
                limits->connections_max = (unsigned) room;
                log_notice(
                        "at most %u connections: the limit of open files is %llu, %llu of them are kept back",
                        limits->connections_max, (unsigned long long) files.rlim_cur,
                        (unsigned long long) reserved);
        }
        limits->descriptors_reserved = (unsigned) reserved;
}

static void limits_fill(struct http_limits *limits) {
        unsigned cores = core_count();

        limits->event_threads = or_default(limits->event_threads,
                                           cores < EVENT_THREADS_MAX ? cores : EVENT_THREADS_MAX);
        limits->workers = or_default(limits->workers, 8);
        limits->queue_max = or_default(limits->queue_max, 1024);
        limits->connections_max = or_default(limits->connections_max, 1024);
        limits->descriptors_reserved = or_default(limits->descriptors_reserved, 64);
        limits->per_address_max = or_default(limits->per_address_max, 16);
        limits->per_user_max = or_default(limits->per_user_max, 64);
        limits->per_owner_max = or_default(limits->per_owner_max, 256);
        limits->request_timeout_s = or_default(limits->request_timeout_s, 30);
        limits->answer_timeout_s = or_default(limits->answer_timeout_s, 30);
        limits->handshake_timeout_s = or_default(limits->handshake_timeout_s, 10);
        limits->stop_timeout_s = or_default(limits->stop_timeout_s, 5);
        descriptors_plan(limits);
}

/*
 * In place of MHD_quiesce_daemon(), which takes the socket out of the threads' epoll behind their backs: where a thread
 * does the same at that moment, since it is at its limit or has seen the flag, libmicrohttpd 0.9.75 ends the process.
 */
static enum MHD_Result on_accept(void *cls, const struct sockaddr *address, socklen_t size) {
        const struct listener *listener = cls;

        (void) address;
        (void) size;
        return atomic_load(&listener->server->stopping) ? MHD_NO : MHD_YES;
}

/*
 * With epoll, libmicrohttpd 0.9.75 goes round without a pause for as long as a handshake waits for its client: one connection
 * that sends half a ClientHello takes a whole processor. With poll it sleeps; the cost of each descriptor that a thread has is small.
 */
static unsigned polling(enum http_listener_kind kind) {
        return kind == HTTP_TLS ? MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_TLS
                                : MHD_USE_EPOLL_INTERNAL_THREAD;
}

static int listener_start(struct listener *listener, const struct http_limits *limits,
                          unsigned connections_max, struct error *err) {
        /* No PostProcessor, no digest authentication, no thread a connection (threats.md R-28). */
        unsigned flags = MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
                polling(listener->kind);
        /* A pool is ended by a shutdown() of its listening socket (libmicrohttpd 0.9.75): one that was passed has one thread. */
        unsigned threads = limits->event_threads > 1 && !listener->passed ? limits->event_threads
                                                                          : 0;
        /* Where the gate sees all that STRICT would refuse, it answers: with a problem, and not with MHD's HTML, whose
         * header block comes twice (threats.md R-27). */
        int strict = listener->server->reads_in_place ? 0 : 1;
        /* MHD counts the addresses of each daemon on its own; connection_open() counts them over all, and users too. */
        const struct MHD_OptionItem end = { MHD_OPTION_END, 0, NULL };
        const struct MHD_OptionItem pool[] = { { MHD_OPTION_THREAD_POOL_SIZE, threads, NULL },
                                               end };
        const struct MHD_OptionItem tls[] = {
                { MHD_OPTION_HTTPS_PRIORITIES, 0, (void *) (uintptr_t) TLS_PRIORITIES },
                { MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *) (uintptr_t) tls_retrieve },
                end,
        };
        /* MHD closes what it is given when it stops; a start that fails leaves the caller's socket as it was. */
        int fd = fcntl(listener->fd, F_DUPFD_CLOEXEC, 0);

        if (fd < 0)
                return error_errno(err, errno, "cannot duplicate the listening socket");
        listener->mhd = MHD_start_daemon(
                flags, /* port= */ 0, on_accept, listener, on_request, listener,
                MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, listener->server, MHD_OPTION_LISTEN_SOCKET,
                fd, MHD_OPTION_CONNECTION_LIMIT, connections_max,
                MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) CONNECTION_MEMORY_BYTES,
                MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_S, MHD_OPTION_STRICT_FOR_CLIENT, strict,
                MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, NULL, MHD_OPTION_NOTIFY_COMPLETED,
                on_completed, listener->server, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
                listener, MHD_OPTION_ARRAY, listener->kind == HTTP_TLS ? tls : &end,
                MHD_OPTION_ARRAY, threads ? pool : &end, MHD_OPTION_END);
        if (!listener->mhd)
                return error_set(err, ERR_IO, "libmicrohttpd cannot serve the listening socket: %s",
                                 strerror(errno));
        return 0;
}

static int listeners_start(struct http_server *server, struct error *err) {
        size_t len = server->config.listeners_len;
        unsigned share = server->limits.connections_max / (len ? (unsigned) len : 1);

        server->listeners = calloc(len ? len : 1, sizeof(*server->listeners));
        if (!server->listeners)
                return error_no_memory(err);
        for (size_t i = 0; i < len; i++)
                server->listeners[i] = (struct listener){
                        .server = server,
                        .kind = server->config.listeners[i].kind,
                        .fd = server->config.listeners[i].fd,
                        .passed = server->config.listeners[i].passed
                };
        /* Each listener has its own share: a flood on one leaves the others alone. */
        for (size_t i = 0; i < len; i++)
                if (listener_start(&server->listeners[i], &server->limits, share, err) < 0)
                        return -1;
        return 0;
}

static void mhd_end(struct http_server *server) {
        for (size_t i = 0; server->listeners && i < server->config.listeners_len; i++) {
                if (!server->listeners[i].mhd)
                        continue;
                MHD_stop_daemon(server->listeners[i].mhd);
                if (atomic_load(
                            &server->stopping)) /* else the start failed, and the socket is still the caller's */
                        (void) fd_close(server->listeners[i].fd);
        }
}

/* Nobody works any more. The workers go first: the last of them may still be inside MHD_resume_connection(). */
static struct http_server *server_free(struct http_server *server) {
        if (!server)
                return NULL;
        server->workers = workers_free(server->workers);
        mhd_end(server);
        server->connections = connections_free(server->connections);
        server->identity = tls_identity_unref(server->identity);
        (void) pthread_mutex_destroy(&server->identity_lock);
        free(server->listeners);
        free(server);
        return NULL;
}
CAD_CLEANUP(struct http_server, server_free)

int http_server_start(const struct http_config *config, struct http_server **ret,
                      struct error *err) {
        CAD_AUTO(server_free) struct http_server *server = NULL;
        struct connection_limits limits;

        if (route_table_check(config->routes, config->routes_len, err) < 0)
                return -1;
        server = calloc(1, sizeof(*server));
        if (!server)
                return error_no_memory(err);
        (void) pthread_mutex_init(&server->identity_lock, /* attr= */ NULL);
        server->config = *config;
        server->identity = tls_identity_ref(config->identity);
        server->limits = config->limits;
        limits_fill(&server->limits);
        if (getrandom(&server->id_seed, sizeof(server->id_seed), 0) != sizeof(server->id_seed))
                return error_errno(err, errno, "getrandom");
        server->reads_in_place = strcmp(MHD_get_version(), MHD_IN_PLACE_VERSION) == 0;
        json_object_seed(0); /* jansson's hash seed, before there are threads */
        limits = (struct connection_limits){
                .request_timeout_ms = server->limits.request_timeout_s * INT64_C(1000),
                .answer_timeout_ms = server->limits.answer_timeout_s * INT64_C(1000),
                .handshake_timeout_ms = server->limits.handshake_timeout_s * INT64_C(1000),
                .per_address_max = server->limits.per_address_max,
                .per_user_max = server->limits.per_user_max,
                .per_owner_max = server->limits.per_owner_max,
                .lingering_max = server->limits.descriptors_reserved / 4
        };
        if (connections_new(&limits, &server->connections, err) < 0 ||
            workers_new(server->limits.workers, server->limits.queue_max, &server->workers, err) <
                    0 ||
            listeners_start(server, err) < 0)
                return -1;
        log_info(
                "serving with libmicrohttpd %s, jansson %s: %u event threads, %u workers, %u connections",
                MHD_get_version(), JANSSON_VERSION, server->limits.event_threads,
                server->limits.workers, server->limits.connections_max);
        *ret = CAD_TAKE(server);
        return 0;
}

/* Stop */

void http_server_quiesce(struct http_server *server) {
        atomic_store(&server->stopping, true); /* on_accept() turns away who connects now */
}

static bool drained(const struct http_server *server) {
        return atomic_load(&server->in_hand) == 0 && atomic_load(&server->sending) == 0;
}

int http_server_stop(struct http_server *server, struct error *err) {
        const struct timespec poll = { .tv_nsec = STOP_POLL_MS * 1000000L };
        int64_t until_ms = moment_monotonic_ms() + server->limits.stop_timeout_s * INT64_C(1000);
        unsigned held;

        http_server_quiesce(server);
        while (!drained(server) && moment_monotonic_ms() < until_ms)
                (void) nanosleep(&poll, /* remaining= */ NULL);
        /* MHD_stop_daemon() aborts the process while a connection is suspended (libraries.md §3). */
        held = atomic_load(&server->working) + atomic_load(&server->sending);
        if (held)
                return error_set(
                        err, ERR_BUSY,
                        "%u requests were still in work after %u s; they are lost with the process",
                        held, server->limits.stop_timeout_s);
        (void) server_free(server);
        return 0;
}

struct http_counts http_server_counts(const struct http_server *server) {
        struct http_counts counts = {
                .in_hand = atomic_load(&((struct http_server *) server)->in_hand),
                .requests = atomic_load(&((struct http_server *) server)->requests)
        };

        for (size_t i = 0; i < HTTP_STATUS_CLASSES; i++)
                counts.answers[i] = atomic_load(&((struct http_server *) server)->answers[i]);
        connections_counts(server->connections, &counts);
        return counts;
}

bool http_server_work(struct http_server *server, struct work *work) {
        return workers_push(server->workers, work);
}
