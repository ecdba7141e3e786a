/*
 * One connection of the load generator: see stream.h. The one file here that knows sockets and TLS.
 */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common.h"

#define DISCARD_MAX (256u * 1024) /* bytes in one go */

/* ---- files ---- */

static void tls_must(int rc, const char *what, const char *file) {
        if (rc < 0)
                die("%s '%s': %s", what, file, gnutls_strerror(rc));
}

void target_begin(struct target *target) {
        if (!target->tls)
                return;
        tls_must(gnutls_certificate_allocate_credentials(&target->credentials), "TLS", "");
        tls_must(gnutls_certificate_set_x509_trust_file(target->credentials, target->root_file,
                                                        GNUTLS_X509_FMT_PEM),
                 "--root", target->root_file);
        if (target->cert_file)
                tls_must(gnutls_certificate_set_x509_key_file(target->credentials,
                                                              target->cert_file, target->key_file,
                                                              GNUTLS_X509_FMT_PEM),
                         "--cert and --key", target->cert_file);
}

void target_done(struct target *target) {
        if (target->credentials)
                gnutls_certificate_free_credentials(target->credentials);
        target->credentials = NULL;
}

/* ---- sockets ---- */

static int connect_unix(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd;

        if (strlen(path) >= sizeof(address.sun_path))
                die("'%s' is too long for a Unix socket (%zu bytes at most)", path,
                    sizeof(address.sun_path) - 1);
        memcpy(address.sun_path, path, strlen(path) + 1);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                die("cannot connect to '%s': %s; is the server running?", path, strerror(errno));
        return fd;
}

static int connect_tcp(const char *host_port) {
        const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                                        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
        const char *colon = strrchr(host_port, ':');
        struct addrinfo *address = NULL;
        char host[64] = "";
        int fd, one = 1;

        if (colon && (size_t) (colon - host_port) < sizeof(host))
                memcpy(host, host_port, (size_t) (colon - host_port));
        if (!colon || getaddrinfo(host, colon + 1, &hints, &address) != 0)
                die("'%s': give an address and a port, such as 127.0.0.1:8888", host_port);
        fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, address->ai_addr, address->ai_addrlen) < 0)
                die("cannot connect to %s: %s; is the server running?", host_port, strerror(errno));
        freeaddrinfo(address);
        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        return fd;
}

static void begin_tls(const struct target *target, struct stream *stream) {
        tls_must(gnutls_init(&stream->tls, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL),
                 "TLS", "");
        tls_must(gnutls_set_default_priority(stream->tls), "TLS", "");
        tls_must(gnutls_credentials_set(stream->tls, GNUTLS_CRD_CERTIFICATE, target->credentials),
                 "TLS", "");
        gnutls_transport_set_int(stream->tls, stream->fd);
}

void stream_open(struct target *target, struct stream *ret) {
        *ret = (struct stream){ .fd = target->unix_path ? connect_unix(target->unix_path)
                                                        : connect_tcp(target->tcp) };
        if (fcntl(ret->fd, F_SETFL, O_NONBLOCK) < 0)
                die("fcntl: %s", strerror(errno));
        if (target->tls)
                begin_tls(target, ret);
}

/* ---- TLS ---- */

static void check_server(struct target *target, gnutls_session_t session) {
        gnutls_datum_t why = { NULL, 0 };
        unsigned status = 0;

        if (target->check_once && target->checked)
                return;
        tls_must(gnutls_certificate_verify_peers2(session, &status), "TLS with", target->tcp);
        if (status) {
                (void) gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &why,
                                                                    /* flags= */ 0);
                die("the certificate of %s: %s", target->tcp, (char *) why.data);
        }
        target->checked = true;
}

/* As recv() and send() say it. */
static ssize_t outcome(struct stream *stream, ssize_t n) {
        stream->wants_to_write = false;
        if (n >= 0)
                return n;
        if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED) {
                stream->wants_to_write = gnutls_record_get_direction(stream->tls) == 1;
                errno = EAGAIN;
        } else {
                errno = gnutls_error_is_fatal((int) n) ? EPROTO : EAGAIN;
        }
        return -1;
}

int stream_handshake(struct target *target, struct stream *stream) {
        if (!stream->tls)
                return 1;
        if (outcome(stream, gnutls_handshake(stream->tls)) < 0)
                return errno == EAGAIN ? 0 : -1;
        check_server(target, stream->tls);
        return 1;
}

ssize_t stream_send(struct stream *stream, const void *data, size_t size) {
        if (!stream->tls)
                return send(stream->fd, data, size, MSG_NOSIGNAL);
        return outcome(stream, gnutls_record_send(stream->tls, data, size));
}

ssize_t stream_receive(struct stream *stream, void *data, size_t size) {
        if (!stream->tls)
                return recv(stream->fd, data, size, /* flags= */ 0);
        return outcome(stream, gnutls_record_recv(stream->tls, data, size));
}

ssize_t stream_discard(struct stream *stream, size_t size) {
        static char nowhere[DISCARD_MAX];

        if (size > sizeof(nowhere))
                size = sizeof(nowhere);
        if (stream->tls)
                return outcome(stream, gnutls_record_recv(stream->tls, nowhere, size));
        return recv(stream->fd, nowhere, size, MSG_TRUNC); /* tcp(7): dropped, not copied */
}

bool stream_pending(const struct stream *stream) {
        return stream->tls && gnutls_record_check_pending(stream->tls) > 0;
}

void stream_close(struct stream *stream) {
        if (stream->tls)
                gnutls_deinit(stream->tls);
        close(stream->fd);
        *stream = (struct stream){ .fd = -1 };
}
