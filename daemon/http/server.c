/*
 * Server: see server.h. Start and stop: libmicrohttpd's daemons, their options, and the connections they tell of. The steps of a request
 * are in request.c.
 */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "connection.h"
#include "identity.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"
#include "server-private.h"

#define CONNECTION_MEMORY_BYTES (16u * 1024) /* headers over this are 431, a URI 414 (MHD) */
#define IDLE_TIMEOUT_S 60u                   /* MHD's own, behind our deadlines */
#define STOP_POLL_MS 5
/* Tried with this one (Debian 12). From 1.0 on libmicrohttpd refuses by itself what the gate looks for there. */
#define MHD_IN_PLACE_VERSION "0.9.75"

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

/* ---- connections ---- */

static void on_connected(struct listener *listener, struct MHD_Connection *mhd,
                         void **socket_context) {
        const union MHD_ConnectionInfo *fd = MHD_get_connection_info(
                mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        const union MHD_ConnectionInfo *address = MHD_get_connection_info(
                mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        gnutls_session_t session = listener->kind == HTTP_TLS ? mhd_session_of(mhd) : NULL;

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

/* ---- start ---- */

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
                flags, /* port= */ 0, on_accept, listener, request_arrives, listener,
                MHD_OPTION_EXTERNAL_LOGGER, mhd_log, listener->server, MHD_OPTION_LISTEN_SOCKET, fd,
                MHD_OPTION_CONNECTION_LIMIT, connections_max, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                (size_t) CONNECTION_MEMORY_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_S,
                MHD_OPTION_STRICT_FOR_CLIENT, strict, MHD_OPTION_UNESCAPE_CALLBACK, on_unescape,
                NULL, MHD_OPTION_NOTIFY_COMPLETED, request_completed, listener->server,
                MHD_OPTION_NOTIFY_CONNECTION, on_connection, listener, MHD_OPTION_ARRAY,
                listener->kind == HTTP_TLS ? tls : &end, MHD_OPTION_ARRAY, threads ? pool : &end,
                MHD_OPTION_END);
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
        http_limits_fill(&server->limits);
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

/* ---- stop ---- */

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
