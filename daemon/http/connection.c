/*
 * Connections: the list, the limit for each user of the Unix socket, the deadlines that libmicrohttpd does not have
 * (its timeout is idle time: one byte a second lives for ever), and the drain of refused bodies.
 *
 * The sweeper may look at a connection only while it holds the list's lock: outside of it, the descriptor may be
 * closed and be somebody else's.
 */
#include "connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "identity.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/macros.h"
#include "lib/base/moment.h"
#include "problem.h"
#include "refusals.h"

#define SWEEP_MS 1000
#define ANSWER_BYTES_PER_MS 64 /* 64 KB a second is what a reader must be able to take */
#define LINGER_MAX 32
#define LINGER_MS 2000
#define LINGER_BYTES (256u * 1024)
#define GROUPS_MAX 65536 /* NGROUPS_MAX of the kernel */
#define SAID_MAX 32      /* addresses that a line was logged about */
#define SAID_AGAIN_MS 60000

struct lingering {
        int fd;
        size_t left;
        int64_t until_ms;
};

/* A line about an address, and when; the oldest makes room. */
struct said {
        uint8_t address[16];
        int64_t at_ms;
};

struct connections {
        struct connection_limits limits;
        pthread_mutex_t lock; /* head, count, incoming, said */
        struct connection *head;
        unsigned count;
        int incoming[LINGER_MAX]; /* descriptors on their way to the sweeper */
        size_t incoming_len;
        struct said said[SAID_MAX];
        _Atomic uint64_t dropped, refused;
        struct refusals *refusals;
        atomic_bool stopping;
        atomic_uint lingering_len; /* incoming and with the sweeper */
        int wake;                  /* eventfd */
        pthread_t sweeper;
        struct lingering lingering[LINGER_MAX]; /* the sweeper's alone */
        size_t lingering_now;
};

/* The sweeper */

static void sweep(struct connections *connections) {
        int64_t now = moment_monotonic_ms();

        (void) pthread_mutex_lock(&connections->lock);
        for (struct connection *c = connections->head; c; c = c->next) {
                int64_t deadline = atomic_load_explicit(&c->deadline_ms, memory_order_relaxed);

                if (deadline == 0 || now <= deadline)
                        continue;
                /* MHD notices, and closes. A new deadline may come between: then it is not overwritten. */
                if (atomic_compare_exchange_strong(&c->deadline_ms, &deadline, 0)) {
                        (void) shutdown(c->fd, SHUT_RDWR);
                        atomic_fetch_add_explicit(&connections->dropped, 1, memory_order_relaxed);
                        log_debug("dropped a connection of %s that was past its deadline",
                                  c->peer.text);
                }
        }
        (void) pthread_mutex_unlock(&connections->lock);
}

static void lingering_admit(struct connections *connections) {
        (void) pthread_mutex_lock(&connections->lock);
        for (size_t i = 0; i < connections->incoming_len; i++)
                connections->lingering[connections->lingering_now++] = (struct lingering){
                        connections->incoming[i], LINGER_BYTES, moment_monotonic_ms() + LINGER_MS
                };
        connections->incoming_len = 0;
        (void) pthread_mutex_unlock(&connections->lock);
}

/* Return: whether there may be more to come */
static bool lingering_drain(struct lingering *l, int64_t now) {
        char nowhere[16 * 1024];
        ssize_t n;

        while (l->left > 0 && now < l->until_ms) {
                n = recv(l->fd, nowhere, sizeof(nowhere), MSG_DONTWAIT);
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        return true;
                if (n <= 0)
                        return false;
                l->left -= (size_t) n < l->left ? (size_t) n : l->left;
        }
        return false;
}

static void lingering_all(struct connections *connections, bool end) {
        int64_t now = moment_monotonic_ms();
        size_t kept = 0;

        for (size_t i = 0; i < connections->lingering_now; i++) {
                if (!end && lingering_drain(&connections->lingering[i], now))
                        connections->lingering[kept++] = connections->lingering[i];
                else {
                        (void) fd_close(connections->lingering[i].fd);
                        atomic_fetch_sub(&connections->lingering_len, 1);
                }
        }
        connections->lingering_now = kept;
}

static void *sweeper_main(void *context) {
        struct connections *connections = context;
        int64_t next_ms = moment_monotonic_ms() + SWEEP_MS;

        while (!atomic_load(&connections->stopping)) {
                struct pollfd polled[1 + LINGER_MAX] = { { .fd = connections->wake,
                                                           .events = POLLIN } };
                int64_t wait_ms = next_ms - moment_monotonic_ms();
                uint64_t count;

                for (size_t i = 0; i < connections->lingering_now; i++)
                        polled[1 + i] = (struct pollfd){ .fd = connections->lingering[i].fd,
                                                         .events = POLLIN };
                (void) poll(polled, 1 + connections->lingering_now,
                            wait_ms > 0 ? (int) wait_ms : 0);
                (void) !read(connections->wake, &count, sizeof(count));
                lingering_admit(connections);
                lingering_all(connections, /* end= */ false);
                if (moment_monotonic_ms() >= next_ms) {
                        sweep(connections);
                        refusals_sweep(connections->refusals, moment_monotonic_ms());
                        next_ms = moment_monotonic_ms() + SWEEP_MS;
                }
        }
        lingering_admit(connections);
        lingering_all(connections, /* end= */ true);
        return NULL;
}

static void sweeper_wake(struct connections *connections) {
        uint64_t one = 1;

        (void) !write(connections->wake, &one, sizeof(one));
}

int connections_new(const struct connection_limits *limits, struct connections **ret,
                    struct error *err) {
        struct connections *connections = calloc(1, sizeof(*connections));
        int rc;

        if (!connections)
                return error_no_memory(err);
        connections->limits = *limits;
        if (connections->limits.lingering_max > LINGER_MAX)
                connections->limits.lingering_max = LINGER_MAX;
        (void) pthread_mutex_init(&connections->lock, /* attr= */ NULL);
        connections->refusals = refusals_new();
        if (!connections->refusals) {
                free(connections);
                return error_no_memory(err);
        }
        connections->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        rc = connections->wake < 0 ? errno
                                   : pthread_create(&connections->sweeper, /* attr= */ NULL,
                                                    sweeper_main, connections);
        if (rc) {
                (void) fd_close(connections->wake);
                (void) refusals_free(connections->refusals);
                free(connections);
                return error_errno(err, rc, "starting the thread that watches deadlines");
        }
        *ret = connections;
        return 0;
}

struct connections *connections_free(struct connections *connections) {
        if (!connections)
                return NULL;
        atomic_store(&connections->stopping, true);
        sweeper_wake(connections);
        (void) pthread_join(connections->sweeper, /* retval= */ NULL);
        (void) fd_close(connections->wake);
        (void) pthread_mutex_destroy(&connections->lock);
        (void) refusals_free(connections->refusals);
        free(connections);
        return NULL;
}

/* Who is there */

static void peer_groups(struct connection *c) {
        socklen_t size = sizeof(c->groups_inline);

        c->peer.groups = c->groups_inline;
        if (getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, c->groups_inline, &size) < 0) {
                if (errno != ERANGE || size > GROUPS_MAX * sizeof(gid_t) ||
                    !(c->groups_heap = malloc(size)) ||
                    getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, c->groups_heap, &size) < 0)
                        return; /* no groups: fewer rights, never more */
                c->peer.groups = c->groups_heap;
        }
        c->peer.groups_len = size / sizeof(gid_t);
}

static void peer_of_unix(struct connection *c) {
        struct ucred who;
        socklen_t size = sizeof(who);

        if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0) {
                (void) snprintf(c->peer.text, sizeof(c->peer.text), "unix");
                return;
        }
        c->peer.has_credentials = true;
        c->peer.uid = who.uid;
        c->peer.gid = who.gid;
        c->peer.pid = who.pid;
        peer_groups(c);
        (void) snprintf(c->peer.text, sizeof(c->peer.text), "uid:%u pid:%d", (unsigned) who.uid,
                        (int) who.pid);
}

/* The same octets for a host, whichever listener it comes to: a dual-stack socket has IPv4 mapped into IPv6. */
static bool address_octets(const struct sockaddr *address, uint8_t out[16]) {
        static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

        if (address && address->sa_family == AF_INET6) {
                memcpy(out, &((const struct sockaddr_in6 *) (const void *) address)->sin6_addr, 16);
                return true;
        }
        if (!address || address->sa_family != AF_INET)
                return false;
        memcpy(out, mapped, sizeof(mapped));
        memcpy(out + 12, &((const struct sockaddr_in *) (const void *) address)->sin_addr, 4);
        return true;
}

/* As people write it: no ::ffff: in front of an IPv4 address. */
static const struct sockaddr *unmapped(const struct sockaddr *address, struct sockaddr_in *room) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) (const void *) address;

        if (!address || address->sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
                return address;
        *room = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = in6->sin6_port };
        memcpy(&room->sin_addr, &in6->sin6_addr.s6_addr[12], 4);
        return (const struct sockaddr *) (const void *) room;
}

static void peer_of_address(struct connection *c, const struct sockaddr *accepted) {
        struct sockaddr_in room;
        const struct sockaddr *address = unmapped(accepted, &room);
        socklen_t size = address && address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                                   : sizeof(struct sockaddr_in);
        char host[INET6_ADDRSTRLEN + IF_NAMESIZE], port[8];

        c->has_address = address_octets(address, c->address);
        if (!address || (address->sa_family != AF_INET && address->sa_family != AF_INET6) ||
            getnameinfo(address, size, host, sizeof(host), port, sizeof(port),
                        NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
                (void) snprintf(c->peer.text, sizeof(c->peer.text), "unknown");
                return;
        }
        (void) snprintf(c->peer.text, sizeof(c->peer.text),
                        address->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* Connections of the same user or address; the list is short (descriptors bound it), and this is once a connection. */
static bool same_peer(const struct connection *a, const struct connection *b) {
        if (a->peer.has_credentials || b->peer.has_credentials)
                return a->peer.has_credentials && b->peer.has_credentials &&
                        a->peer.uid == b->peer.uid;
        return a->has_address && b->has_address &&
                memcmp(a->address, b->address, sizeof(a->address)) == 0;
}

static unsigned peer_count(const struct connections *connections, const struct connection *c) {
        unsigned count = 0;

        for (const struct connection *other = connections->head; other; other = other->next)
                if (same_peer(other, c) && atomic_load(&other->use) != CONNECTION_DISPLACED)
                        count++;
        return count;
}

static bool over_limit(const struct connections *connections, const struct connection *c) {
        const struct connection_limits *limits = &connections->limits;
        bool owner = c->peer.uid == 0 || c->peer.uid == geteuid();
        unsigned max = !c->peer.has_credentials ? limits->per_address_max
                : owner                         ? limits->per_owner_max
                                                : limits->per_user_max;

        return (c->peer.has_credentials || c->has_address) && peer_count(connections, c) >= max;
}

/* The deadline of whoever rests was set when it began to. */
static struct connection *longest_resting(const struct connections *connections,
                                          const struct connection *c) {
        struct connection *found = NULL;

        for (struct connection *other = connections->head; other; other = other->next)
                if (same_peer(other, c) && atomic_load(&other->use) == CONNECTION_RESTING &&
                    (!found || atomic_load(&other->deadline_ms) < atomic_load(&found->deadline_ms)))
                        found = other;
        return found;
}

/* Return: whether one of the same peer was shut down for @c. One whose next request begins in this moment stays. */
static bool displace(const struct connections *connections, const struct connection *c) {
        struct connection *resting = longest_resting(connections, c);
        enum connection_use use = CONNECTION_RESTING;

        if (!resting || !atomic_compare_exchange_strong(&resting->use, &use, CONNECTION_DISPLACED))
                return false;
        (void) shutdown(resting->fd, SHUT_RDWR);
        log_debug("a resting connection of %s made room for one of %s", resting->peer.text,
                  c->peer.text);
        return true;
}

static void list_add(struct connections *connections, struct connection *c) {
        c->next = connections->head;
        if (c->next)
                c->next->prev = c;
        connections->head = c;
        connections->count++;
}

/* Said on the socket itself: nothing of MHD's has been sent yet, and the peer is to be rid of at once. */
static void say_too_many(const struct connection *c) {
        CAD_AUTO(buffer_done) struct buffer body = { 0 }, answer = { 0 };
        struct error err = { 0 };

        if (c->peer.has_credentials)
                (void) error_set(&err, ERR_TOO_MANY_REQUESTS,
                                 "user %u has too many connections open here; close some or wait",
                                 (unsigned) c->peer.uid);
        else
                (void) error_set(
                        &err, ERR_TOO_MANY_REQUESTS,
                        "your address has too many connections open here; close some or wait");
        problem_append(&body, &err, /* request_id= */ NULL);
        buffer_format(&answer,
                      "HTTP/1.1 %u Too Many Requests\r\nContent-Type: " PROBLEM_CONTENT_TYPE
                      "\r\nRetry-After: %u\r\nCache-Control: no-store\r\nConnection: close\r\n"
                      "Content-Length: %zu\r\n\r\n%s",
                      problem_status(err.code), problem_retry_after_s(err.code), body.size,
                      buffer_string(&body));
        (void) !send(c->fd, answer.data, answer.size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void turn_away(struct connections *connections, const struct connection *c) {
        if (c->listener->kind != HTTP_TLS)
                say_too_many(c);
        (void) shutdown(c->fd, SHUT_RDWR);
        atomic_fetch_add_explicit(&connections->refused, 1, memory_order_relaxed);
}

static void deadline_set(struct connection *c, int64_t timeout_ms) {
        atomic_store_explicit(&c->deadline_ms, moment_monotonic_ms() + timeout_ms,
                              memory_order_relaxed);
}

struct connection *connection_open(struct connections *connections, struct http_server *server,
                                   const struct listener *listener, int fd,
                                   const struct sockaddr *address) {
        struct connection *c = calloc(1, sizeof(*c));
        bool refused;

        if (!c) {
                (void) shutdown(fd, SHUT_RDWR);
                return NULL;
        }
        c->server = server;
        c->listener = listener;
        c->fd = fd;
        c->peer.listener = listener->kind;
        c->exchange.connection = c;
        if (listener->kind == HTTP_UNIX)
                peer_of_unix(c);
        else
                peer_of_address(c, address);
        if (listener->kind == HTTP_TLS)
                deadline_set(c, connections->limits.handshake_timeout_ms);
        else
                connection_reads(connections, c);

        (void) pthread_mutex_lock(&connections->lock);
        refused = over_limit(connections, c) && !displace(connections, c);
        if (refused)
                atomic_store(&c->use, CONNECTION_DISPLACED);
        list_add(connections, c);
        (void) pthread_mutex_unlock(&connections->lock);
        if (refused)
                turn_away(connections, c);
        return c;
}

void connection_keep(struct connection *c, void *kept, void (*release)(void *kept)) {
        if (c->kept && c->kept_release)
                c->kept_release(c->kept);
        c->kept = kept;
        c->kept_release = release;
}

/* Keep a second descriptor of the socket for a moment: closed with bytes unread, TCP would reset the connection
 * and the client might lose the answer that says why (libraries.md §3). */
static void linger(struct connections *connections, const struct connection *c) {
        int fd;

        if (atomic_fetch_add(&connections->lingering_len, 1) >= connections->limits.lingering_max ||
            (fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 0)) < 0) {
                atomic_fetch_sub(&connections->lingering_len, 1);
                return;
        }
        (void) shutdown(fd, SHUT_WR);
        (void) pthread_mutex_lock(&connections->lock);
        connections->incoming[connections->incoming_len++] = fd;
        (void) pthread_mutex_unlock(&connections->lock);
        sweeper_wake(connections);
}

void connection_close(struct connections *connections, struct connection *c) {
        if (c->linger)
                linger(connections, c);
        (void) pthread_mutex_lock(&connections->lock);
        if (c->prev)
                c->prev->next = c->next;
        else
                connections->head = c->next;
        if (c->next)
                c->next->prev = c->prev;
        connections->count--;
        (void) pthread_mutex_unlock(&connections->lock);
        exchange_done(&c->exchange);
        connection_keep(c, NULL, NULL);
        (void) tls_identity_unref(c->identity);
        free(c->certificates);
        free(c->groups_heap);
        free(c);
}

void connection_reads(struct connections *connections, struct connection *c) {
        deadline_set(c, connections->limits.request_timeout_ms);
}

void connection_established(struct connection *c) {
        connection_reads(http_server_connections(c->server), c);
}

bool connection_begins(struct connection *c) {
        enum connection_use use = CONNECTION_RESTING;

        return atomic_compare_exchange_strong(&c->use, &use, CONNECTION_BUSY) ||
                use != CONNECTION_DISPLACED;
}

void connection_rests(struct connections *connections, struct connection *c) {
        connection_reads(connections, c);
        atomic_store(&c->use, CONNECTION_RESTING);
}

bool connection_log_allowed(struct connection *c) {
        struct connections *connections = http_server_connections(c->server);
        struct said *said = &connections->said[0];
        int64_t now = moment_monotonic_ms();
        bool allowed;

        (void) pthread_mutex_lock(&connections->lock);
        for (size_t i = 0; i < SAID_MAX; i++) {
                struct said *other = &connections->said[i];

                if (other->at_ms && memcmp(other->address, c->address, sizeof(c->address)) == 0) {
                        said = other;
                        break;
                }
                if (other->at_ms < said->at_ms)
                        said = other;
        }
        allowed = !said->at_ms || now - said->at_ms >= SAID_AGAIN_MS ||
                memcmp(said->address, c->address, sizeof(c->address)) != 0;
        if (allowed) {
                said->at_ms = now;
                memcpy(said->address, c->address, sizeof(c->address));
        }
        (void) pthread_mutex_unlock(&connections->lock);
        return allowed && http_server_log_allowed(c->server);
}

void connection_works(struct connection *c) {
        atomic_store_explicit(&c->deadline_ms, 0, memory_order_relaxed);
}

void connection_answers(struct connections *connections, struct connection *c, size_t size) {
        deadline_set(c,
                     connections->limits.answer_timeout_ms +
                             (int64_t) (size / ANSWER_BYTES_PER_MS));
}

void connections_turned_away(struct connections *connections, const struct connection *c,
                             const struct error *err) {
        refusals_note(connections->refusals, c->peer.text, c->exchange.request_id, err,
                      moment_monotonic_ms());
}

void connections_counts(struct connections *connections, struct http_counts *counts) {
        (void) pthread_mutex_lock(&connections->lock);
        counts->connections = connections->count;
        (void) pthread_mutex_unlock(&connections->lock);
        counts->dropped = atomic_load(&connections->dropped);
        counts->refused = atomic_load(&connections->refused);
}
