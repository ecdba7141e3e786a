/*
 * A server on the room daemon/http alone, for its tests: it answers with what it was asked, slowly, later or never.
 *
 * Usage: http-echo SOCKET-PATH [name=value …]; the names are those of struct http_limits. "tcp=1": it listens on TCP, too, and
 * SOCKET-PATH.tcp is where the port of 127.0.0.1 is written, in decimal. "tls=FILE": also with TLS, at SOCKET-PATH.tls; FILE has
 * key and chain in PEM, and is read anew on SIGHUP.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "daemon/http/exchange.h"
#include "daemon/http/identity.h"
#include "daemon/http/json.h"
#include "daemon/http/media.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/text.h"

#define UPLOAD_MAX (64u * 1024)
#define BIG_KIB_MAX 65536
#define DEFERRED_MAX 1024

/* Exchanges that another thread answers, as the committer does. */
struct committer {
        pthread_t thread;
        pthread_mutex_t lock;
        pthread_cond_t wake;
        struct exchange *held[DEFERRED_MAX];
        size_t held_len;
        bool stopping;
};

static uint64_t number(const struct exchange *x, const char *key, uint64_t max) {
        uint64_t value = 0;
        const char *text = exchange_query(x, key);

        return text && text_to_u64(text, max, &value) == 0 ? value : 0;
}

static void sleep_ms(uint64_t ms) {
        struct timespec t = { .tv_sec = (time_t) (ms / 1000),
                              .tv_nsec = (long) (ms % 1000) * 1000000 };

        (void) nanosleep(&t, /* remaining= */ NULL);
}

static void on_hello(struct exchange *x) {
        exchange_reply(x, 200, "text/plain", BYTES_LITERAL("hello\n"));
}

static void on_slow(struct exchange *x) {
        sleep_ms(number(x, "ms", 60000));
        exchange_reply(x, 200, "text/plain", BYTES_LITERAL("slept\n"));
}

static void on_echo(struct exchange *x) {
        exchange_reply(x, 200, "application/octet-stream", exchange_body(x));
        exchange_reply_header(x, "Location", "/v1/items/1");
}

static void on_item(struct exchange *x) {
        exchange_json(x, 200, json_pack("{s:s}", "id", exchange_param(x, "id")));
}

static void on_big(struct exchange *x) {
        struct buffer body = { 0 };
        size_t size = number(x, "kib", BIG_KIB_MAX) * 1024;
        uint8_t *to = buffer_reserve(&body, size);

        if (to) {
                memset(to, 'x', size);
                body.size = size;
        }
        exchange_reply_take(x, 200, "text/plain", &body);
}

static void on_query(struct exchange *x) {
        static const char *const known[] = { "name", "limit", "ms", NULL };
        struct error err = { 0 };
        json_t *all = json_array();
        const char *key, *value;

        if (exchange_query_known(x, known, &err) < 0) {
                json_decref(all);
                return exchange_problem(x, &err);
        }
        for (size_t i = 0; exchange_query_at(x, i, &key, &value); i++)
                (void) json_array_append_new(all, json_pack("[s,s]", key, value));
        exchange_json(x, 200, all);
}

static void on_json(struct exchange *x) {
        struct wish {
                const char *csr;
                const json_t *names;
        } wish = { 0 };
        static const struct json_member members[] = {
                { "csr", JSON_MEMBER_TEXT, JSON_TO(struct wish, csr), .required = true,
                  .max = 16384 },
                { "names", JSON_MEMBER_TEXTS, JSON_TO(struct wish, names), .max = 100 },
        };
        CAD_AUTO(json_drop) json_t *document = NULL;
        char type[MEDIA_TYPE_MAX];
        struct error err = { 0 };

        if (media_type_parse(exchange_header(x, "Content-Type"), type, &err) < 0)
                return exchange_problem(x, &err);
        if (!text_equal(type, "application/json")) {
                (void) error_set(&err, ERR_MEDIA_TYPE, "'%s' is not application/json", type);
                return exchange_problem(x, &err);
        }
        if (json_read(exchange_body(x), JSON_DEPTH_MAX, UPLOAD_MAX, &document, &err) < 0 ||
            json_members_read(document, members, ARRAY_SIZE(members), &wish, /* ret_given= */ NULL,
                              &err) < 0)
                return exchange_problem(x, &err);
        exchange_json(x, 201,
                      json_pack("{s:s, s:I}", "csr", wish.csr, "names",
                                (json_int_t) json_array_size(wish.names)));
}

/* How often the connection was asked: what is kept with it. */
static int count_asked(struct exchange *x) {
        int *asked = exchange_kept(x);

        if (!asked) {
                asked = calloc(1, sizeof(*asked));
                exchange_keep(x, asked, free);
        }
        return asked ? ++*asked : 0;
}

static void on_whoami(struct exchange *x) {
        const struct peer *peer = exchange_peer(x);
        const struct bytes *shown;
        json_t *sizes = json_array();
        size_t count;

        exchange_peer_certificates(x, &shown, &count);
        for (size_t i = 0; i < count; i++)
                (void) json_array_append_new(sizes, json_integer((json_int_t) shown[i].size));
        exchange_json(x, 200,
                      json_pack("{s:s, s:i, s:i, s:b, s:o, s:i, s:b}", "peer", peer->text, "uid",
                                (int) peer->uid, "groups", (int) peer->groups_len, "principal",
                                exchange_principal(x) != NULL, "certificates", sizes, "asked",
                                count_asked(x), "authorization",
                                exchange_header(x, "Authorization") != NULL));
}

static void on_fault(struct exchange *x) {
        struct error err = { 0 };

        (void) error_errno(&err, EIO, "reading /secret/path");
        exchange_problem(x, &err);
}

static void on_full(struct exchange *x) {
        struct error err = { 0 };

        (void) error_errno(&err, ENOSPC, "writing");
        exchange_problem(x, &err);
}

static void on_injection(struct exchange *x) {
        exchange_reply(x, 200, "text/plain", BYTES_LITERAL("x"));
        exchange_reply_header(x, "Location", "/a\r\nX-Evil: 1");
}

static void on_silent(struct exchange *x) {
        (void) x;
}

static void committer_hold(struct committer *committer, struct exchange *x) {
        bool held;

        exchange_reply(x, 201, "text/plain", BYTES_LITERAL("committed\n"));
        exchange_defer(x);
        (void) pthread_mutex_lock(&committer->lock);
        held = committer->held_len < DEFERRED_MAX && !committer->stopping;
        if (held)
                committer->held[committer->held_len++] = x;
        (void) pthread_cond_signal(&committer->wake);
        (void) pthread_mutex_unlock(&committer->lock);
        if (!held)
                exchange_send(x);
}

static void on_defer(struct exchange *x) {
        committer_hold(exchange_context(x), x);
}

static void on_defer_and_send(struct exchange *x) {
        exchange_defer(x);
        exchange_reply(x, 200, "text/plain", BYTES_LITERAL("sent\n"));
        exchange_send(x);
}

static void *committer_main(void *context) {
        struct committer *committer = context;

        (void) pthread_mutex_lock(&committer->lock);
        while (!committer->stopping || committer->held_len) {
                struct exchange *batch[DEFERRED_MAX];
                size_t len = committer->held_len;

                if (!len) {
                        (void) pthread_cond_wait(&committer->wake, &committer->lock);
                        continue;
                }
                memcpy(batch, committer->held, len * sizeof(batch[0]));
                committer->held_len = 0;
                (void) pthread_mutex_unlock(&committer->lock);
                for (size_t i = 0; i < len; i++)
                        exchange_send(batch[i]);
                (void) pthread_mutex_lock(&committer->lock);
        }
        (void) pthread_mutex_unlock(&committer->lock);
        return NULL;
}

static void committer_stop(struct committer *committer) {
        (void) pthread_mutex_lock(&committer->lock);
        committer->stopping = true;
        (void) pthread_cond_signal(&committer->wake);
        (void) pthread_mutex_unlock(&committer->lock);
        (void) pthread_join(committer->thread, /* retval= */ NULL);
}

enum access {
        ANYBODY,
        NOBODY,
        STRANGER,
        UNKNOWN
};

/* On the worker: what authorize could not know. */
static int authenticate(void *context, struct exchange *x, const struct route *route,
                        struct error *err) {
        (void) context;
        (void) x;
        if (route->access != UNKNOWN)
                return 0;
        sleep_ms(1);
        return error_set(err, ERR_UNAUTHENTICATED, "nobody knows this token");
}

static int authorize(void *context, struct exchange *x, const struct route *route,
                     struct error *err) {
        (void) context;
        if (route->access == NOBODY)
                return error_set(err, ERR_FORBIDDEN, "nobody may do this");
        if (route->access == STRANGER)
                return error_set(err, ERR_UNAUTHENTICATED, "a token is needed");
        exchange_set_principal(x, strdup("principal"), free);
        return 0;
}

static bool host_allowed(void *context, enum http_listener_kind listener, const char *host) {
        (void) context;
        (void) listener;
        return text_equal(host, "localhost");
}

/* clang-format off */
#define EVERYWHERE (HTTP_ON(HTTP_UNIX) | HTTP_ON(HTTP_TLS) | HTTP_ON(HTTP_TCP))
static const struct route routes[] = {
        { "GET",  "/v1/quick",            on_hello,          ANYBODY,  ROUTE_QUICK, 0, EVERYWHERE },
        { "GET",  "/v1/work",             on_hello,          ANYBODY,  0, 0, EVERYWHERE },
        { "GET",  "/v1/slow",             on_slow,           ANYBODY,  0, 0, EVERYWHERE },
        { "GET",  "/v1/defer",            on_defer,          ANYBODY,  0, 0, EVERYWHERE },
        { "GET",  "/v1/defer-quick",      on_defer,          ANYBODY,  ROUTE_QUICK, 0, EVERYWHERE },
        { "GET",  "/v1/defer-and-send",   on_defer_and_send, ANYBODY,  ROUTE_QUICK, 0, EVERYWHERE },
        { "POST", "/v1/echo",             on_echo,           ANYBODY,  0, UPLOAD_MAX, EVERYWHERE },
        { "POST", "/v1/defer-post",       on_defer,          ANYBODY,  0, UPLOAD_MAX, EVERYWHERE },
        { "GET",  "/v1/items/{id}",       on_item,           ANYBODY,  ROUTE_QUICK, 0, EVERYWHERE },
        { "POST", "/v1/items/{id}/touch", on_item,           ANYBODY,  0, 0, EVERYWHERE },
        { "GET",  "/v1/big",              on_big,            ANYBODY,  0, 0, EVERYWHERE },
        { "GET",  "/v1/query",            on_query,          ANYBODY,  0, 0, EVERYWHERE },
        { "GET",  "/v1/repeats",          on_query,          ANYBODY,  ROUTE_QUERY_REPEATS, 0, EVERYWHERE },
        { "POST", "/v1/json",             on_json,           ANYBODY,  0, UPLOAD_MAX, EVERYWHERE },
        { "GET",  "/v1/whoami",           on_whoami,         ANYBODY,  0, 0, EVERYWHERE },
        { "POST", "/v1/forbidden",        on_echo,           NOBODY,   0, UPLOAD_MAX, EVERYWHERE },
        { "GET",  "/v1/unauthenticated",  on_hello,          STRANGER, 0, 0, EVERYWHERE },
        { "GET",  "/v1/fault",            on_fault,          ANYBODY,  0, 0, EVERYWHERE },
        { "GET",  "/v1/full",             on_full,           ANYBODY,  0, 0, EVERYWHERE },
        { "GET",  "/v1/injection",        on_injection,      ANYBODY,  0, 0, EVERYWHERE },
        { "GET",  "/v1/silent",           on_silent,         ANYBODY,  0, 0, EVERYWHERE },
        { "GET",  "/v1/tcp-only",         on_hello,          ANYBODY,  0, 0, HTTP_ON(HTTP_TCP) },
        { "GET",  "/v1/not-tcp",          on_hello,          ANYBODY,  0, 0, 0 },
        { "GET",  "/v1/unknown",          on_hello,          UNKNOWN,  0, 0, EVERYWHERE },
};

#define LIMIT(name) { #name, offsetof(struct http_limits, name) }
static const struct { const char *name; size_t offset; } limit_names[] = {
        LIMIT(event_threads), LIMIT(workers), LIMIT(queue_max), LIMIT(connections_max), LIMIT(descriptors_reserved),
        LIMIT(per_address_max), LIMIT(per_user_max), LIMIT(per_owner_max), LIMIT(request_timeout_s),
        LIMIT(answer_timeout_s), LIMIT(handshake_timeout_s), LIMIT(stop_timeout_s),
};
/* clang-format on */

static int limit_set(struct http_limits *limits, const char *argument) {
        size_t size = strcspn(argument, "=");
        uint64_t value;

        for (size_t i = 0; i < ARRAY_SIZE(limit_names); i++)
                if (strlen(limit_names[i].name) == size &&
                    strncmp(limit_names[i].name, argument, size) == 0 && argument[size] == '=' &&
                    text_to_u64(argument + size + 1, 1000000, &value) == 0) {
                        *(unsigned *) ((char *) limits + limit_names[i].offset) = (unsigned) value;
                        return 0;
                }
        return -1;
}

static int listen_unix(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (snprintf(address.sun_path, sizeof(address.sun_path), "%s", path) >=
                    (int) sizeof(address.sun_path) ||
            bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 || listen(fd, 256) < 0)
                return fd_close(fd);
        return fd;
}

static int listen_tcp(const char *path, const char *suffix) {
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(address);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct error err = { 0 };
        char port[8], port_path[256];

        if (bind(fd, (struct sockaddr *) &address, size) < 0 || listen(fd, 256) < 0 ||
            getsockname(fd, (struct sockaddr *) &address, &size) < 0)
                return fd_close(fd);
        (void) snprintf(port, sizeof(port), "%u", ntohs(address.sin_port));
        (void) snprintf(port_path, sizeof(port_path), "%s%s", path, suffix);
        return file_replace(AT_FDCWD, port_path, bytes_of(port), 0600, &err) < 0 ? fd_close(fd)
                                                                                 : fd;
}

static struct tls_identity *read_identity(const char *path) {
        CAD_AUTO(buffer_wipe) struct buffer pem = { 0 };
        struct tls_identity *identity = NULL;
        struct error err = { 0 };

        if (file_read(AT_FDCWD, path, FILE_SECRET, 65536, &pem, &err) < 0 ||
            tls_identity_new(buffer_bytes(&pem), buffer_bytes(&pem), &identity, &err) < 0)
                log_error(LOG_LEVEL_ERROR, &err, "identity");
        return identity;
}

struct options {
        const char *identity_path;
        bool tcp;
};

static int read_options(int argc, char **argv, struct options *options,
                        struct http_limits *limits) {
        for (int i = 2; i < argc; i++)
                if (text_equal(argv[i], "tcp=1"))
                        options->tcp = true;
                else if (strncmp(argv[i], "tls=", 4) == 0)
                        options->identity_path = argv[i] + 4;
                else if (text_equal(argv[i], "debug=1"))
                        log_set_level(LOG_LEVEL_DEBUG);
                else if (limit_set(limits, argv[i]) < 0)
                        return -1;
        return argc < 2 ? -1 : 0;
}

static size_t open_listeners(const char *path, const struct options *options,
                             struct http_listener listeners[3]) {
        size_t n = 0;

        listeners[n++] = (struct http_listener){ HTTP_UNIX, listen_unix(path) };
        if (options->tcp)
                listeners[n++] = (struct http_listener){ HTTP_TCP, listen_tcp(path, ".tcp") };
        if (options->identity_path)
                listeners[n++] = (struct http_listener){ HTTP_TLS, listen_tcp(path, ".tls") };
        for (size_t i = 0; i < n; i++)
                if (listeners[i].fd < 0)
                        return 0;
        return n;
}

static void wait_for_the_end(const sigset_t *signals, struct http_server *server,
                             const struct options *options) {
        int received;

        while (sigwait(signals, &received) == 0 && received == SIGHUP)
                http_server_set_identity(server, read_identity(options->identity_path));
}

static int serve(const struct http_config *config, struct committer *committer,
                 const struct options *options, const sigset_t *signals) {
        struct http_server *server = NULL;
        struct error err = { 0 };

        if (pthread_create(&committer->thread, /* attr= */ NULL, committer_main, committer) != 0 ||
            http_server_start(config, &server, &err) < 0) {
                log_error(LOG_LEVEL_ERROR, &err, "start");
                return 1;
        }
        wait_for_the_end(signals, server, options);
        http_server_quiesce(server);
        committer_stop(committer);
        if (http_server_stop(server, &err) < 0) {
                log_error(LOG_LEVEL_ERROR, &err, "stop");
                _exit(3);
        }
        return 0;
}

int main(int argc, char **argv) {
        static struct committer committer = { .lock = PTHREAD_MUTEX_INITIALIZER,
                                              .wake = PTHREAD_COND_INITIALIZER };
        struct http_config config = { .routes = routes,
                                      .routes_len = ARRAY_SIZE(routes),
                                      .context = &committer,
                                      .authorize = authorize,
                                      .authenticate = authenticate,
                                      .host_allowed = host_allowed };
        struct http_listener listeners[3];
        struct options options = { 0 };
        sigset_t signals;
        int rc;

        if (read_options(argc, argv, &options, &config.limits) < 0)
                return 2;
        (void) signal(SIGPIPE, SIG_IGN);
        (void) sigemptyset(&signals);
        (void) sigaddset(&signals, SIGTERM);
        (void) sigaddset(&signals, SIGINT);
        (void) sigaddset(&signals, SIGHUP);
        (void) pthread_sigmask(SIG_BLOCK, &signals, /* oldset= */ NULL);
        config.listeners = listeners;
        config.listeners_len = open_listeners(argv[1], &options, listeners);
        if (config.listeners_len == 0)
                return 2;
        if (options.identity_path)
                config.identity = read_identity(options.identity_path);
        rc = serve(&config, &committer, &options, &signals);
        (void) tls_identity_unref(config.identity);
        return rc;
}
