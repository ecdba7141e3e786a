/*
 * The server from within: what starting and stopping (server.c), the steps of a request (request.c) and the rest of what libmicrohttpd
 * calls share.
 */
#pragma once

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>

#include "connection.h"
#include "lib/base/macros.h"
#include "tls.h"

/** struct http_server - see server.h */
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

/* ---- request.c ---- */

/** request_arrives() - MHD_AccessHandlerCallback: comes for the header, for each piece of the body, at its end, and after a suspension */
enum MHD_Result request_arrives(void *cls, struct MHD_Connection *mhd, const char *url,
                                const char *method, const char *version, const char *upload_data,
                                size_t *upload_size, void **request);

/** request_completed() - MHD_RequestCompletedCallback; @cls is the server */
void request_completed(void *cls, struct MHD_Connection *mhd, void **request,
                       enum MHD_RequestTerminationCode why);

/* ---- limits.c ---- */

/** http_limits_fill() - the defaults where nothing was said, and what this process may open */
void http_limits_fill(struct http_limits *limits);

/* ---- mhd_log.c ---- */

/** mhd_log() - MHD_LogCallback; @cls is the server */
void mhd_log(void *cls, const char *format, va_list args) CAD_PRINTF(2, 0);

/* ---- of both server.c and request.c ---- */

/** mhd_session_of() - the TLS session of a connection; NULL: it has none */
static inline gnutls_session_t mhd_session_of(struct MHD_Connection *mhd) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(
                mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);

        return info ? info->tls_session : NULL;
}
