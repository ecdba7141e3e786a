/*
 * Sockets, passed or made by hand. What comes in on them is not its business.
 */
#include "daemon/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/text.h"

#define BACKLOG 128
#define BACKLOG_TCP SOMAXCONN /* others than this host's users may fill it */
#define HOST_TEXT_MAX 64

static int address_of(const char *path, struct sockaddr_un *ret, struct error *err) {
        int length = snprintf(ret->sun_path, sizeof(ret->sun_path), "%s", path);

        ret->sun_family = AF_UNIX;
        if (length <=
            0) /* the kernel would take it for an abstract socket, which has no owner and no mode */
                return error_set(err, ERR_CONFIG, "the socket's path is empty: give --socket PATH");
        if ((size_t) length >= sizeof(ret->sun_path))
                return error_set(
                        err, ERR_CONFIG,
                        "the socket's path has %d bytes, a Unix socket takes %zu at most: give a shorter --socket PATH (%s)",
                        length, sizeof(ret->sun_path) - 1, path);
        return 0;
}

/* Return: 1 somebody has the socket, 0 nobody has, -1 with @err */
static int is_taken(const char *path, const struct sockaddr_un *address, struct error *err) {
        CAD_AUTO(fd_close)
        int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (probe < 0)
                return error_errno(err, errno, "cannot make a socket");
        if (connect(probe, (const struct sockaddr *) address, sizeof(*address)) == 0)
                return 1;
        switch (errno) {
        case ECONNREFUSED:
        case ENOENT:
                return 0;
        case EAGAIN:     /* its queue is full */
        case EPROTOTYPE: /* it is of another kind, datagrams or packets */
                return 1;
        default:
                return error_errno(err, errno, "cannot find out whether somebody listens on %s",
                                   path);
        }
}

/* A socket file that nobody has is removed; anything else there is not ours to remove. */
static int clear_stale(const char *path, const struct sockaddr_un *address, struct error *err) {
        struct stat st;
        int taken;

        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : error_errno(err, errno, "cannot look at %s", path);
        if (!S_ISSOCK(st.st_mode))
                return error_set(
                        err, ERR_FILE_UNSAFE,
                        "%s is there and is no socket: move it away, or give another --socket PATH",
                        path);
        taken = is_taken(path, address, err);
        if (taken < 0)
                return -1;
        if (taken)
                return error_set(err, ERR_BUSY, "somebody listens on %s already: is cad running?",
                                 path);
        if (unlink(path) < 0 && errno != ENOENT)
                return error_errno(err, errno, "cannot remove the stale socket %s", path);
        return 0;
}

int listen_unix(const char *path, struct error *err) {
        CAD_AUTO(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_un address = { 0 };
        mode_t mask;
        int rc;

        if (fd < 0)
                return error_errno(err, errno, "cannot make a socket");
        if (address_of(path, &address, err) < 0 || clear_stale(path, &address, err) < 0)
                return -1;
        mask = umask(0117);
        rc = bind(fd, (const struct sockaddr *) &address, sizeof(address));
        (void) umask(mask);
        if (rc < 0)
                return error_errno(err, errno, "cannot listen on %s", path);
        if (listen(fd, BACKLOG) < 0)
                return error_errno(err, errno, "cannot listen on %s", path);
        return CAD_TAKE_FD(fd);
}

/* ---- TCP ---- */

/* What each kind of listener is called, for people. */
static const struct {
        const char *what, *option, *setting;
        const char *names[2]; /* of a passed socket */
        int family;           /* AF_INET: that or AF_INET6 */
} kinds[HTTP_LISTENER_KIND_COUNT] = {
        [HTTP_UNIX] = { "REST", "--socket", "Socket=", { "rest", "unix" }, AF_UNIX },
        [HTTP_TLS] = { "HTTPS", "--https", "Https=", { "https" }, AF_INET },
        [HTTP_TCP] = { "plain HTTP", "--http", "Http=", { "http" }, AF_INET },
};

struct tcp_address {
        char host[HOST_TEXT_MAX];
        uint16_t port;
        bool off, any;
};

static int address_wrong(const char *text, struct error *err) {
        return error_set(
                err, ERR_CONFIG,
                "'%.80s' is no address to listen on: use ADDRESS:PORT with an address in digits (192.168.1.5:8443, "
                "[fd00::5]:8443), PORT alone for every address, or " LISTEN_OFF " for none",
                text);
}

/* IPv4 with four numbers (getaddrinfo() takes fewer), IPv6 perhaps with its interface. */
static bool is_numeric(const char *host) {
        const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST,
                                        .ai_family = AF_INET6,
                                        .ai_socktype = SOCK_STREAM };
        struct addrinfo *found = NULL;
        struct in_addr in;

        if (inet_pton(AF_INET, host, &in) == 1)
                return true;
        if (getaddrinfo(host, NULL, &hints, &found) != 0)
                return false;
        freeaddrinfo(found);
        return true;
}

/* "HOST:PORT" cut in two; an IPv6 address has its brackets taken off. Return: whether it has that form */
static bool cut(const char *text, char host[HOST_TEXT_MAX], const char **ret_port) {
        const char *colon = strrchr(text, ':');
        size_t n;

        host[0] = '\0';
        if (!colon) {
                *ret_port = text;
                return true;
        }
        *ret_port = colon + 1;
        n = (size_t) (colon - text);
        if (n > 2 && text[0] == '[' && text[n - 1] == ']') {
                text++;
                n -= 2;
        } else if (memchr(text, ':', n) || memchr(text, '[', n)) {
                return false;
        }
        if (n >= HOST_TEXT_MAX)
                return false;
        memcpy(host, text, n);
        host[n] = '\0';
        return true;
}

static int parse(const char *text, struct tcp_address *ret, struct error *err) {
        struct tcp_address a = { 0 };
        const char *port_text;
        uint64_t port;

        if (strcmp(text, LISTEN_OFF) == 0) {
                *ret = (struct tcp_address){ .off = true };
                return 0;
        }
        if (!cut(text, a.host, &port_text) || text_to_u64(port_text, 65535, &port) < 0)
                return address_wrong(text, err);
        a.any = !a.host[0] || strcmp(a.host, "*") == 0 || strcmp(a.host, "::") == 0;
        if (!a.any && !is_numeric(a.host))
                return address_wrong(text, err);
        a.port = (uint16_t) port;
        *ret = a;
        return 0;
}

int listen_address_check(const char *text, uint16_t *ret_port, struct error *err) {
        struct tcp_address a;

        if (parse(text, &a, err) < 0)
                return -1;
        if (ret_port)
                *ret_port = a.port;
        return 0;
}

/* Return: a bound socket, or -1 with errno */
static int bind_to(const struct addrinfo *at, bool both) {
        CAD_AUTO(fd_close)
        int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        const int on = 1, only = !both;

        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
            (at->ai_family == AF_INET6 &&
             setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)) < 0) ||
            bind(fd, at->ai_addr, at->ai_addrlen) < 0) {
                int errnum = errno;

                (void) fd_close(CAD_TAKE_FD(fd));
                errno = errnum;
                return -1;
        }
        return CAD_TAKE_FD(fd);
}

static int bind_host(const char *host, uint16_t port, bool both) {
        const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                                        .ai_socktype = SOCK_STREAM };
        struct addrinfo *at = NULL;
        char port_text[8];
        int fd, errnum;

        (void) snprintf(port_text, sizeof(port_text), "%u", port);
        if (getaddrinfo(host, port_text, &hints, &at) != 0) {
                errno = EADDRNOTAVAIL;
                return -1;
        }
        fd = bind_to(at, both);
        errnum = errno;
        freeaddrinfo(at);
        errno = errnum;
        return fd;
}

static bool no_ipv6(int errnum) {
        return errnum == EAFNOSUPPORT || errnum == EADDRNOTAVAIL || errnum == EPROTONOSUPPORT;
}

static int cannot_bind(enum http_listener_kind kind, const char *text, int errnum,
                       struct error *err) {
        const char *what = kinds[kind].what, *option = kinds[kind].option,
                   *setting = kinds[kind].setting;

        switch (errnum) {
        case EADDRINUSE:
                return error_set(
                        err, ERR_BUSY,
                        "cannot listen on %s for %s: the port is taken by another program. Give another with %s ADDRESS:PORT or "
                        "[Listen] %s, or none with %s " LISTEN_OFF,
                        text, what, option, setting, option);
        case EADDRNOTAVAIL:
                return error_set(
                        err, ERR_CONFIG,
                        "cannot listen on %s for %s: no interface of this machine has that address (yet). Give another with %s "
                        "ADDRESS:PORT or [Listen] %s, or every address with %s PORT",
                        text, what, option, setting, option);
        case EACCES:
                return error_set(
                        err, ERR_FORBIDDEN,
                        "cannot listen on %s for %s: a port below 1024 is not for this user. Give another with %s ADDRESS:PORT or "
                        "[Listen] %s, or let systemd open it (cad.socket)",
                        text, what, option, setting);
        default:
                return error_errno(err, errnum,
                                   "cannot listen on %s for %s (%s ADDRESS:PORT gives another)",
                                   text, what, option);
        }
}

int listen_tcp(enum http_listener_kind kind, const char *text, struct error *err) {
        struct tcp_address a;
        int fd;

        if (parse(text, &a, err) < 0)
                return -1;
        if (a.off)
                return error_set(err, ERR_INTERNAL, "there is nothing to listen on");
        fd = bind_host(a.any ? "::" : a.host, a.port, a.any);
        if (fd < 0 && a.any && no_ipv6(errno))
                fd = bind_host("0.0.0.0", a.port, false);
        return fd < 0 ? cannot_bind(kind, text, errno, err) : fd;
}

const char *listen_text(int fd, char *out, size_t size) {
        struct sockaddr_storage at = { .ss_family = AF_UNSPEC };
        socklen_t n = sizeof(at);
        char host[INET6_ADDRSTRLEN + IF_NAMESIZE], port[8];

        out[0] = '\0';
        if (getsockname(fd, (struct sockaddr *) &at, &n) < 0)
                return out;
        if (at.ss_family == AF_UNIX) {
                const struct sockaddr_un *un = (const struct sockaddr_un *) (const void *) &at;

                (void) snprintf(out, size, "%.*s", (int) sizeof(un->sun_path), un->sun_path);
        } else if (getnameinfo((const struct sockaddr *) &at, n, host, sizeof(host), port,
                               sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
                (void) snprintf(out, size, at.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host,
                                port);
        }
        return out;
}

/* ---- all of them ---- */

static int kind_of_name(const char *name, enum http_listener_kind *ret, struct error *err) {
        for (size_t i = 0; i < HTTP_LISTENER_KIND_COUNT; i++)
                for (size_t n = 0; n < ARRAY_SIZE(kinds[i].names) && kinds[i].names[n]; n++)
                        if (strcmp(kinds[i].names[n], name) == 0) {
                                *ret = (enum http_listener_kind) i;
                                return 0;
                        }
        return error_set(
                err, ERR_CONFIG,
                "the service manager passed a socket named '%.60s', and cad knows rest, https and http: set FileDescriptorName= of "
                "its socket unit to one of them",
                name);
}

static int check_passed(enum http_listener_kind kind, int fd, struct error *err) {
        int fits = kinds[kind].family == AF_UNIX
                ? sd_is_socket(fd, AF_UNIX, SOCK_STREAM, /* listening= */ 1)
                : sd_is_socket_inet(fd, AF_UNSPEC, SOCK_STREAM, /* listening= */ 1, /* port= */ 0);

        if (fits < 0)
                return error_errno(err, -fits, "cannot look at the socket '%s' that was passed",
                                   kinds[kind].names[0]);
        if (!fits)
                return error_set(
                        err, ERR_CONFIG,
                        "the socket named '%s' that the service manager passed is not %s: correct its socket unit",
                        kinds[kind].names[0],
                        kinds[kind].family == AF_UNIX ? "a listening Unix stream socket"
                                                      : "a listening TCP socket");
        if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
                return error_errno(err, errno, "cannot set up a socket that was passed");
        return 0;
}

static void free_names(char **names) {
        for (size_t i = 0; names && names[i]; i++)
                free(names[i]);
        free(names);
}

int listeners_passed(struct listeners *listeners, struct error *err) {
        char **names = NULL;
        /* unset: the signer is not to take them for its own */
        int count = sd_listen_fds_with_names(/* unset_environment= */ 1, &names), rc = 0;

        if (count < 0)
                return error_errno(err, -count, "cannot take the sockets that were passed");
        for (int i = 0; i < count && rc == 0; i++) {
                enum http_listener_kind kind = HTTP_UNIX;
                int fd = SD_LISTEN_FDS_START + i;

                rc = kind_of_name(names[i], &kind, err);
                if (rc == 0)
                        rc = check_passed(kind, fd, err);
                if (rc == 0)
                        rc = listeners_add(listeners, kind, fd, err);
                if (rc == 0)
                        listeners->items[listeners->count - 1].passed = true;
                if (rc == 0 && kind == HTTP_UNIX)
                        listeners->unix_passed = true;
        }
        free_names(names);
        return rc;
}

const struct http_listener *listeners_has(const struct listeners *listeners,
                                          enum http_listener_kind kind) {
        for (size_t i = 0; i < listeners->count; i++)
                if (listeners->items[i].kind == kind)
                        return &listeners->items[i];
        return NULL;
}

int listeners_add(struct listeners *listeners, enum http_listener_kind kind, int fd,
                  struct error *err) {
        if (listeners->count == LISTENERS_MAX) {
                (void) fd_close(fd);
                return error_set(err, ERR_CONFIG, "there are more than %d sockets to listen on",
                                 LISTENERS_MAX);
        }
        listeners->items[listeners->count++] = (struct http_listener){ .kind = kind, .fd = fd };
        return 0;
}

int listeners_begin(const struct listeners *listeners, struct error *err) {
        char where[LISTEN_TEXT_MAX];

        for (size_t i = 0; i < listeners->count; i++) {
                const struct http_listener *l = &listeners->items[i];

                if (l->kind != HTTP_UNIX && listen(l->fd, BACKLOG_TCP) < 0)
                        return cannot_bind(l->kind, listen_text(l->fd, where, sizeof(where)), errno,
                                           err);
        }
        return 0;
}

void listeners_done(struct listeners *listeners) {
        for (size_t i = 0; i < listeners->count; i++)
                (void) fd_close(listeners->items[i].fd);
        *listeners = (struct listeners){ 0 };
}
