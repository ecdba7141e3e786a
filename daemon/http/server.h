/*
 * Server: listeners, libmicrohttpd, limits and deadlines. It knows no certificate authority.
 *
 * Who runs where:
 *   event threads (MHD's)             do TLS, read a request, gate, route, authorize; run ROUTE_QUICK handlers; write answers
 *   workers                           run the other handlers, with the connection suspended
 *   sweeper                           once a second: shuts down connections that are past their deadline
 */
#pragma once

#include <stdint.h>

#include "lib/base/error.h"
#include "router.h"

struct exchange;
struct http_server;
struct tls_identity;
struct problem_form;

/** struct http_listener - a socket that listens already: non-blocking, close-on-exec */
struct http_listener {
        enum http_listener_kind kind;
        int fd;
        bool passed; /* somebody else's: it goes on listening when the server stops */
};

/** struct http_limits - 0 takes the default */
struct http_limits {
        unsigned event_threads; /* a listener; default: cores, at most 4 */
        unsigned workers;       /* default 8 */
        unsigned queue_max;     /* requests that wait for a worker; default 1024 */
        /* all listeners; default 1024; lowered to RLIMIT_NOFILE less what is reserved */
        unsigned connections_max;
        /* for files, the store, the signer; default 64, at most half of RLIMIT_NOFILE */
        unsigned descriptors_reserved;
        unsigned
                per_address_max; /* TCP connections of one address, over all listeners; default 16 */
        unsigned per_user_max;   /* Unix-socket connections of one uid; default 64 */
        unsigned per_owner_max;  /* the same for root and the uid that cad runs as; default 256 */
        /* a whole request must have come so long after connect or the last answer; default 30 */
        unsigned request_timeout_s;
        /* an answer must be taken in this time, and a second for each 64 KB; default 30 */
        unsigned answer_timeout_s;
        unsigned handshake_timeout_s; /* TLS must be there so long after connect; default 10 */
        unsigned stop_timeout_s;      /* work in hand after http_server_stop(); default 5 */
};

/** struct http_config - what a server is made of; must outlive it where it points */
struct http_config {
        const struct http_listener *listeners;
        size_t listeners_len;
        const struct route *routes;
        size_t routes_len;
        struct http_limits limits;
        struct tls_identity
                *identity; /* of the HTTP_TLS listeners; shared. NULL: none yet, handshakes fail */
        void *context;     /* the program's; exchange_context() */
        /**
         * authorize - may this caller do this? Called in an event thread, before the body is read: it must not block.
         * It may exchange_set_principal(). NULL: everybody may do everything.
         * @err: ERR_UNAUTHENTICATED, ERR_FORBIDDEN, …: answered at once
         */
        int (*authorize)(void *context, struct exchange *x, const struct route *route,
                         struct error *err);
        /**
         * authenticate - what authorize could not find out without blocking: called on a worker, after the body has come,
         * right before the handler of each route that is not ROUTE_QUICK, or of which authorize said exchange_need_worker(). It may read the store and
         * exchange_set_principal(). NULL: nothing more is asked.
         * @err: the answer, in place of the handler's
         */
        int (*authenticate)(void *context, struct exchange *x, const struct route *route,
                            struct error *err);
        /**
         * host_allowed - is this Host (lower case, without port) one of ours? Asked on TCP for what is no IP literal;
         * never on the Unix socket, which no browser reaches. NULL: all are.
         */
        bool (*host_allowed)(void *context, enum http_listener_kind listener, const char *host);
        /**
         * problem_form - how problems are told under this path (as sent, whether there is anything or not); any thread.
         * NULL: as problem documents
         */
        const struct problem_form *(*problem_form)(enum http_listener_kind listener,
                                                   const char *path);
};

/**
 * http_server_start() - serve
 * @ret: set on success only
 * @err: ERR_CONFIG (a broken route table), ERR_IO, ERR_NO_MEMORY
 *
 * On success the listening sockets belong to the server, otherwise still to the caller. SIGPIPE must be ignored by the program.
 */
int http_server_start(const struct http_config *config, struct http_server **ret,
                      struct error *err);

/** http_server_set_identity() - what TLS handshakes show from now on; @identity is taken. From any thread; connections stay as they are */
void http_server_set_identity(struct http_server *server, struct tls_identity *identity);

/**
 * http_server_quiesce() - turn new connections away, answer new requests with 503; returns at once, may be repeated
 *
 * Call it first, then let whoever holds exchanges (the committer) finish or fail them, then http_server_stop().
 */
void http_server_quiesce(struct http_server *server);

/**
 * http_server_stop() - quiesce, wait for the work in hand (at most stop_timeout_s), close, release
 * @err: ERR_BUSY: exchanges are still held by somebody. Nothing has been released then, since they may yet be used: the
 *       process has to exit
 *
 * Return: 0 with @server gone, or -1.
 */
int http_server_stop(struct http_server *server, struct error *err);

#define HTTP_STATUS_CLASSES 6 /* "1xx" to "5xx", and what is none of them at 0 */

/** struct http_counts - for health and metrics */
struct http_counts {
        unsigned connections;                  /* open now */
        unsigned in_hand;                      /* requests dispatched and not yet answered */
        uint64_t requests;                     /* since start, that reached the gate */
        uint64_t dropped;                      /* connections shut down past a deadline */
        uint64_t refused;                      /* connections over a peer's limit */
        uint64_t answers[HTTP_STATUS_CLASSES]; /* by the first digit of their status */
};

/** http_server_counts() - a snapshot; from any thread */
struct http_counts http_server_counts(const struct http_server *server);

struct work;

/** http_server_work() - put a piece of work of the program's own in line with the requests (workers.h). Return: false where the queue is full */
bool http_server_work(struct http_server *server, struct work *work);
