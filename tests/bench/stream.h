/*
 * One connection of the load generator: a Unix socket, TCP, or TLS over TCP. Never blocks once it is open.
 */
#pragma once

#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Where to connect to; views. One of unix_path and tcp is set. */
struct target {
        const char *unix_path, *tcp; /* tcp: ADDRESS:PORT */
        bool tls;
        const char *root_file;            /* PEM: who may have signed the server's certificate */
        const char *cert_file, *key_file; /* PEM: shown to the server; NULL: none */
        bool check_once; /* the server's chain is verified on the first connection alone */
        gnutls_certificate_credentials_t credentials; /* of target_begin() */
        bool checked;
};

struct stream {
        int fd;
        gnutls_session_t tls; /* NULL: in the clear */
        bool wants_to_write;  /* TLS waits to write, whatever it was asked for */
};

/** target_begin() - read the files; ends the program when one is no good */
void target_begin(struct target *target);
void target_done(struct target *target);

/** stream_open() - connect; ends the program when nobody listens. TLS begins with stream_handshake() */
void stream_open(struct target *target, struct stream *ret);

/**
 * stream_handshake() - go on with TLS
 * Return: 1 when it is done (at once in the clear), 0 when the socket has to be waited for, -1 when it failed. A server whose
 * chain is not good ends the program.
 */
int stream_handshake(struct target *target, struct stream *stream);

/** stream_send(), stream_receive() - as send() and recv(), with errno EAGAIN where the socket has to be waited for */
ssize_t stream_send(struct stream *stream, const void *data, size_t size);
ssize_t stream_receive(struct stream *stream, void *data, size_t size);

/** stream_discard() - receive up to @size bytes that nobody wants; cheaper than stream_receive() in the clear */
ssize_t stream_discard(struct stream *stream, size_t size);

/** stream_pending() - whether something was received that stream_receive() has not given yet, so that the socket will not tell */
bool stream_pending(const struct stream *stream);

void stream_close(struct stream *stream);
