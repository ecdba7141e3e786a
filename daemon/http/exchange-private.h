/*
 * The inside of an exchange, for server.c and connection.h alone.
 */
#pragma once

#include <microhttpd.h>
#include <stdatomic.h>

#include "exchange.h"
#include "gate.h"
#include "query.h"
#include "workers.h"

struct connection;

#define EXCHANGE_KEPT_MAX \
        (16u * 1024) /* bytes of a buffer that a connection keeps for its next request */
#define EXCHANGE_DRAIN_MAX \
        (256u * 1024) /* bytes beyond the cap that a chunked body may go on with */

enum exchange_state {
        EXCHANGE_IDLE,     /* no request */
        EXCHANGE_READING,  /* let through; the body is coming */
        EXCHANGE_REFUSED,  /* the answer is ready, but the rest of the request is not here */
        EXCHANGE_WORKING,  /* a handler or somebody after it has it */
        EXCHANGE_ANSWERED, /* sealed; MHD has to come by and take the response */
        EXCHANGE_QUEUED,   /* MHD has it */
};

/** struct listener - one MHD daemon */
struct listener {
        struct http_server *server;
        enum http_listener_kind kind;
        bool passed;
        int fd; /* listens */
        struct MHD_Daemon *mhd;
};

/* On the stack of who runs the handler: the exchange may be gone when the handler returns. */
struct dispatch {
        bool deferred;
};

struct exchange {
        struct work work;
        struct connection *connection;
        struct MHD_Connection *mhd;
        enum exchange_state state;
        struct dispatch *dispatch;
        bool suspended;
        bool working;      /* counted in the server's */
        bool needs_worker; /* whatever its route says */

        const char *method, *path; /* MHD's, until the request is completed */
        char request_id[17];
        struct route_match match;
        struct query query;
        struct buffer body;
        size_t discarded; /* bytes of a body that is not wanted */
        void *principal;
        void (*principal_release)(void *principal);

        unsigned status; /* 0: no answer yet */
        const char *content_type;
        struct buffer reply;
        struct bytes lent; /* in place of the reply; see exchange_reply_lent() */
        void (*lent_release)(void *context);
        void *lent_context;
        struct buffer fields; /* name NUL value NUL … */
        bool close, has_cache_control;
        struct MHD_Response *response;
};

/* server.c and exchange.c to each other */

/** http_server_config() - what it was started with */
const struct http_config *http_server_config(const struct http_server *server);

/** http_server_connections() - the list */
struct connections *http_server_connections(const struct http_server *server);

/** http_server_identity() - a reference to the identity of the moment; NULL: there is none */
struct tls_identity *http_server_identity(struct http_server *server);

/** http_server_log_allowed() - whether one more line about overload or a peer's misbehaviour may be logged now */
bool http_server_log_allowed(struct http_server *server);

/** http_server_sending() - bracket the resumption of a connection, so that stopping waits for it */
void http_server_sending(struct http_server *server, bool begins);

/** exchange_run() - call the route's handler; answers with a fault where it does not. Return: false: it was deferred */
bool exchange_run(struct exchange *x);

/** exchange_answer_bytes() - the body of the answer as it stands */
struct bytes exchange_answer_bytes(const struct exchange *x);

/** exchange_seal() - make MHD's response of the prepared answer */
void exchange_seal(struct exchange *x);

/** exchange_clear() - the request is over: release what it holds, keep small buffers */
void exchange_clear(struct exchange *x);

/** exchange_done() - release everything */
void exchange_done(struct exchange *x);
