/*
 * A TLS handshake for looking only: nothing is verified and nothing is sent but the handshake.
 */
#include "probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/text.h"
#include "output.h"

#define PROBE_TIMEOUT_MS 10000

int probe_parse(const char *text, struct probe *ret) {
        const char *colon = strrchr(text, ':'), *host = text;
        size_t length = colon ? (size_t) (colon - text) : 0;
        uint64_t port;

        if (!colon || text_to_u64(colon + 1, 65535, &port) < 0 || port == 0 ||
            strlen(colon + 1) >= sizeof(ret->port))
                return -1;
        if (length > 2 && text[0] == '[' && colon[-1] == ']') {
                host++;
                length -= 2;
        } else if (memchr(text, ':', length)) {
                return -1; /* an IPv6 address wants brackets */
        }
        if (length == 0 || length >= sizeof(ret->host) || memchr(host, '/', length))
                return -1;
        memcpy(ret->host, host, length);
        ret->host[length] = '\0';
        memcpy(ret->port, colon + 1, strlen(colon + 1) + 1);
        return 0;
}

/* Return: 0 or errno */
static int connect_within(int fd, const struct addrinfo *address, int timeout_ms) {
        struct pollfd wait = { .fd = fd, .events = POLLOUT };
        socklen_t size = sizeof(int);
        int problem = 0;

        if (connect(fd, address->ai_addr, address->ai_addrlen) == 0)
                return 0;
        if (errno != EINPROGRESS)
                return errno;
        if (poll(&wait, 1, timeout_ms) != 1)
                return ETIMEDOUT;
        return getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &size) < 0 ? errno : problem;
}

static enum result probe_connect(const struct probe *probe, int *ret) {
        const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
        struct addrinfo *all = NULL;
        int rc = getaddrinfo(probe->host, probe->port, &hints, &all), problem = 0;

        if (rc == EAI_NONAME ||
            rc == EAI_ADDRFAMILY) /* loopback addresses where nothing else is configured */
                rc = getaddrinfo(probe->host, probe->port,
                                 &(struct addrinfo){ .ai_socktype = SOCK_STREAM }, &all);
        if (rc != 0)
                return fail(UNREACHABLE,
                            "%s cannot be resolved (%s): check the name, or give the address",
                            probe->host, gai_strerror(rc));
        for (const struct addrinfo *a = all; a; a = a->ai_next) {
                CAD_AUTO(fd_close)
                int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                                a->ai_protocol);

                problem = fd < 0 ? errno : connect_within(fd, a, PROBE_TIMEOUT_MS);
                if (problem)
                        continue;
                freeaddrinfo(all);
                *ret = CAD_TAKE_FD(fd);
                return DONE;
        }
        freeaddrinfo(all);
        return fail(UNREACHABLE, "cannot connect to %s port %s: %s; does a server run there?",
                    probe->host, probe->port, strerror(problem));
}

struct handshake {
        gnutls_session_t session;
        gnutls_certificate_credentials_t credentials;
};

static void handshake_done(struct handshake *h) {
        if (h->session)
                gnutls_deinit(h->session);
        if (h->credentials)
                gnutls_certificate_free_credentials(h->credentials);
}
CAD_CLEANUP_DONE(struct handshake, handshake_done)

static int handshake_start(struct handshake *h, const struct probe *probe, int fd) {
        struct in6_addr ignored;
        bool is_address = inet_pton(AF_INET, probe->host, &ignored) == 1 ||
                inet_pton(AF_INET6, probe->host, &ignored) == 1;
        int rc = gnutls_init(&h->session, GNUTLS_CLIENT);

        if (rc == 0)
                rc = gnutls_certificate_allocate_credentials(&h->credentials);
        if (rc == 0) /* old versions too: this is for looking at what is there */
                rc = gnutls_priority_set_direct(h->session, "NORMAL:+VERS-ALL",
                                                /* err_pos= */ NULL);
        if (rc == 0)
                rc = gnutls_credentials_set(h->session, GNUTLS_CRD_CERTIFICATE, h->credentials);
        if (rc == 0 && !is_address)
                rc = gnutls_server_name_set(h->session, GNUTLS_NAME_DNS, probe->host,
                                            strlen(probe->host));
        if (rc < 0)
                return rc;
        gnutls_transport_set_int(h->session, fd);
        gnutls_handshake_set_timeout(h->session, PROBE_TIMEOUT_MS);
        do
                rc = gnutls_handshake(h->session);
        while (rc < 0 && !gnutls_error_is_fatal(rc) && rc != GNUTLS_E_AGAIN);
        return rc;
}

/* The descriptor blocks from here on; the handshake has its own timeout. */
static void make_blocking(int fd) {
        int flags = fcntl(fd, F_GETFL);

        (void) fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

enum result probe_chain(const struct probe *probe, struct certs *ret, const char **ret_protocol) {
        CAD_AUTO(handshake_done) struct handshake h = { 0 };
        CAD_AUTO(fd_close) int fd = -1;
        const gnutls_datum_t *chain;
        unsigned count = 0;
        struct error err = { 0 };
        enum result result = probe_connect(probe, &fd);
        int rc;

        if (result != DONE)
                return result;
        make_blocking(fd);
        rc = handshake_start(&h, probe, fd);
        chain = h.session ? gnutls_certificate_get_peers(h.session, &count) : NULL;
        /* a server that wants a client certificate hangs up after it has shown its own: that will do */
        if (rc < 0 && !chain)
                return fail(UNREACHABLE,
                            "%s port %s: the TLS handshake failed (%s): is that a TLS port?",
                            probe->host, probe->port, gnutls_strerror(rc));
        for (unsigned i = 0; i < count; i++)
                if (certs_add(ret, BYTES(chain[i].data, chain[i].size), &err) < 0)
                        return fail_error(&err);
        *ret_protocol = gnutls_protocol_get_name(gnutls_protocol_get_version(h.session));
        return count ? DONE
                     : fail(REFUSED, "%s port %s shows no certificate", probe->host, probe->port);
}
