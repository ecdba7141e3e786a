/*
 * Connection: one accepted socket, who is behind it, and until when it may take its time. Private to the room.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "exchange-private.h"

#define CONNECTION_GROUPS_INLINE 32

/* Whether a connection may make room for another one of its peer: only between two requests. */
enum connection_use {
        CONNECTION_BUSY, /* no request was answered yet, or one is in hand */
        CONNECTION_RESTING,
        CONNECTION_DISPLACED, /* shut down, and not counted any more; what still comes on it is not taken */
};

/** struct connection - lives from MHD's notice that it began to the one that it is closed */
struct connection {
        struct connection *prev, *next;
        struct http_server *server;
        const struct listener *listener;
        int fd;                      /* MHD's; good while the connection is in the list */
        _Atomic int64_t deadline_ms; /* monotonic; 0: none, the request is being worked on */
        _Atomic enum connection_use use;
        bool linger; /* was answered before its body was read */
        struct peer peer;
        uint8_t address[16]; /* of TCP; IPv4 as RFC 4291 §2.5.5.2 maps it */
        bool has_address;
        /* of TLS */
        struct tls_identity *identity; /* that it was shown; GnuTLS has pointers into it */
        const char *tls_refusal;       /* static: why we gave up */
        bool tls_spoken, tls_established;
        bool certificates_taken;
        gid_t groups_inline[CONNECTION_GROUPS_INLINE];
        gid_t *groups_heap;
        struct bytes *
                certificates; /* of a TLS client, its own first; one allocation with what they point to */
        size_t certificates_len;
        void *kept;
        void (*kept_release)(void *kept);
        struct exchange exchange; /* HTTP/1.1 has one request at a time on a connection */
};

struct connections;

/** struct connection_limits - milliseconds and counts */
struct connection_limits {
        int64_t request_timeout_ms, answer_timeout_ms, handshake_timeout_ms;
        unsigned per_user_max, per_owner_max, per_address_max;
        /* descriptors that may be kept to drain what a refused client still sends */
        unsigned lingering_max;
};

/** connections_new() - the list and the sweeper's thread */
int connections_new(const struct connection_limits *limits, struct connections **ret,
                    struct error *err);

/** connections_free() - end the sweeper; the list must be empty. Copes with NULL. Return: NULL */
struct connections *connections_free(struct connections *connections);
CAD_CLEANUP(struct connections, connections_free)

/**
 * connection_open() - take a socket in
 * @address: of the peer, for TCP; may be NULL
 *
 * Over the limit of its user or address (over all listeners of TCP) the one of theirs that has rested for longest makes
 * room, as at the end of any keep-alive (RFC 9112 §9.5): browsers hold on to many. Where none rests, this one is shut down
 * at once, where nothing has to be encrypted after a 429; it is still listed until it is closed.
 * Return: the connection, or NULL without memory (then it is shut down).
 */
struct connection *connection_open(struct connections *connections, struct http_server *server,
                                   const struct listener *listener, int fd,
                                   const struct sockaddr *address);

/** connection_close() - take it out of the list and free it; right before MHD closes the socket */
void connection_close(struct connections *connections, struct connection *connection);

/** connection_keep() - see exchange_keep() */
void connection_keep(struct connection *connection, void *kept, void (*release)(void *kept));

/* The deadlines; from the event thread of the connection. */

/** connection_established() - TLS is there: a first request has its time from now on */
void connection_established(struct connection *connection);

/** connection_log_allowed() - whether a line about what this address does to TLS may be logged: one a minute */
bool connection_log_allowed(struct connection *connection);

/** connection_reads() - a whole request has to come from now on */
void connection_reads(struct connections *connections, struct connection *connection);

/**
 * connection_begins() - a request has come
 * Return: whether it is to be taken; false on a connection that had to make room just now: its client asks again on another
 */
bool connection_begins(struct connection *connection);

/** connection_rests() - its request is over: the next whole one has to come from now on, or it makes room */
void connection_rests(struct connections *connections, struct connection *connection);

/** connection_works() - the request is in work: no deadline of ours */
void connection_works(struct connection *connection);

/** connection_answers() - @size bytes have to be taken from now on */
void connection_answers(struct connections *connections, struct connection *connection,
                        size_t size);

/** connections_turned_away() - a request of @connection is answered 401 or 403: told in a line or two a peer and a minute (refusals.h) */
void connections_turned_away(struct connections *connections, const struct connection *connection,
                             const struct error *err);

/** connections_counts() - for http_server_counts() */
void connections_counts(struct connections *connections, struct http_counts *counts);
