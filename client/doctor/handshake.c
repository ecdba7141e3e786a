/*
 * The doctor's eye: a TLS handshake that takes whatever is shown and judges nothing, within a fixed time.
 *
 * The other side is hostile: it may stall at any octet, send without end, or speak something else. Nothing is sent but the handshake and,
 * where the time is asked for, one HEAD.
 */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/output.h"
#include "doctor.h"
#include "lib/base/file.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

#define CONNECT_LIMIT_MS 1500     /* for each address */
#define MESSAGE_MAX (256u * 1024) /* octets of a handshake message: certificates */
#define DH_BITS_MAX 8192u         /* the largest group of RFC 7919 */
#define ANSWER_MAX 8192           /* octets of an answer to HEAD that are looked at */
#define RECORD_HANDSHAKE 22
#define RECORD_ALERT 21

/* Old versions and weak algorithms too: this is for looking at what is there. */
#define PRIORITIES \
        "NORMAL:+VERS-ALL:+SIGN-ALL:+SIGN-RSA-SHA1:+SIGN-ECDSA-SHA1:+3DES-CBC:+ARCFOUR-128:+MD5:%COMPAT:%UNSAFE_RENEGOTIATION"

void sighting_done(struct sighting *sighting) {
        if (sighting->session)
                gnutls_deinit(sighting->session);
        if (sighting->credentials)
                gnutls_certificate_free_credentials(sighting->credentials);
        if (sighting->fd > 0)
                (void) fd_close(sighting->fd);
        pile_done(&sighting->chain);
        sighting->session = NULL;
        sighting->credentials = NULL;
        sighting->fd = 0;
}

static void trouble(struct sighting *s, enum diagnosis_code code, const char *format, ...)
        CAD_PRINTF(3, 4);
static void trouble(struct sighting *s, enum diagnosis_code code, const char *format, ...) {
        va_list args;

        va_start(args, format);
        (void) vsnprintf(s->trouble_text, sizeof(s->trouble_text), format, args);
        va_end(args);
        s->trouble = code;
}

static int left_ms(int64_t deadline_ms) {
        int64_t left = deadline_ms - moment_monotonic_ms();

        return left < 0 ? 0 : (int) left;
}

/* Return: whether @fd became ready in time */
static bool wait_for(int fd, short events, int64_t deadline_ms) {
        struct pollfd one = { .fd = fd, .events = events };
        int rc;

        do
                rc = poll(&one, 1, left_ms(deadline_ms));
        while (rc < 0 && errno == EINTR && left_ms(deadline_ms));
        return rc == 1;
}

/* ---- connecting ---- */

/* What is asked of the resolver, apart: a thread of glibc's may still be at it when time is up. */
struct query {
        struct gaicb request;
        struct addrinfo hints;
        char host[PATIENT_HOST_MAX];
        char port[6];
};

/* getaddrinfo() has no limit in time. Return: 0 with @ret, or an EAI_ code; EAI_INPROGRESS: time is up */
static int resolve(const struct patient *patient, int64_t deadline_ms, struct addrinfo **ret) {
        int left = left_ms(deadline_ms), rc;
        const struct timespec limit = { .tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000L };
        struct query *query = calloc(1, sizeof(*query));
        struct gaicb *list[] = { query ? &query->request : NULL };

        if (!query)
                return EAI_MEMORY;
        query->hints.ai_socktype = SOCK_STREAM;
        memcpy(query->host, patient->host, sizeof(query->host));
        memcpy(query->port, patient->port, sizeof(query->port));
        query->request = (struct gaicb){ .ar_name = query->host,
                                         .ar_service = query->port,
                                         .ar_request = &query->hints };
        rc = getaddrinfo_a(GAI_NOWAIT, list, 1, /* sevp= */ NULL);
        if (rc == 0)
                (void) gai_suspend((const struct gaicb *const *) list, 1, &limit);
        rc = rc == 0 ? gai_error(&query->request) : rc;
        if (rc == EAI_INPROGRESS && gai_cancel(&query->request) != EAI_CANCELED)
                return rc; /* the thread has it: left to the end of the process */
        *ret = query->request.ar_result;
        free(query);
        return rc;
}

static int connect_one(int fd, const struct addrinfo *address, int64_t deadline_ms) {
        socklen_t size = sizeof(int);
        int problem = 0;

        if (connect(fd, address->ai_addr, address->ai_addrlen) == 0)
                return 0;
        if (errno != EINPROGRESS)
                return errno;
        if (!wait_for(fd, POLLOUT, deadline_ms))
                return ETIMEDOUT;
        return getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &size) < 0 ? errno : problem;
}

/* Return: 0 with @ret, or errno */
static int connect_any(const struct addrinfo *all, int64_t deadline_ms, struct sighting *ret) {
        int problem = EHOSTUNREACH;

        for (const struct addrinfo *a = all; a && left_ms(deadline_ms); a = a->ai_next) {
                CAD_AUTO(fd_close)
                int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                                a->ai_protocol);
                int64_t until = moment_monotonic_ms() + CONNECT_LIMIT_MS;

                problem = fd < 0 ? errno
                                 : connect_one(fd, a, until < deadline_ms ? until : deadline_ms);
                if (problem)
                        continue;
                (void) getnameinfo(a->ai_addr, a->ai_addrlen, ret->address, sizeof(ret->address),
                                   /* serv= */ NULL, 0, NI_NUMERICHOST);
                ret->fd = CAD_TAKE_FD(fd);
                return 0;
        }
        return problem;
}

static enum result connect_to(const struct patient *patient, int64_t deadline_ms,
                              struct sighting *ret) {
        struct addrinfo *all = NULL;
        int rc = resolve(patient, deadline_ms, &all), problem;

        if (rc == EAI_INPROGRESS)
                return fail(UNREACHABLE,
                            "%s was not resolved in time: does the name server answer?",
                            patient->host);
        if (rc != 0)
                return fail(UNREACHABLE,
                            "%s cannot be resolved (%s): check the name, or give the address",
                            patient->host, gai_strerror(rc));
        problem = connect_any(all, deadline_ms, ret);
        freeaddrinfo(all);
        return problem == 0
                ? DONE
                : fail(UNREACHABLE, "cannot connect to %s port %s: %s; does a server run there?",
                       patient->host, patient->port, strerror(problem));
}

/* ---- the handshake ---- */

/* GnuTLS reads through this, so that the first octets are kept for who does not speak TLS. */
static ssize_t pull(gnutls_transport_ptr_t context, void *data, size_t size) {
        struct sighting *s = context;
        ssize_t n = recv(s->fd, data, size, 0);
        size_t room = sizeof(s->first) - s->first_count,
               take = n > 0 && (size_t) n < room ? (size_t) n : room;

        if (n > 0) {
                memcpy(s->first + s->first_count, data, take);
                s->first_count += take;
        } else if (n < 0) {
                gnutls_transport_set_errno(s->session, errno);
        }
        return n;
}

static ssize_t push(gnutls_transport_ptr_t context, const void *data, size_t size) {
        struct sighting *s = context;
        ssize_t n = send(s->fd, data, size, MSG_NOSIGNAL);

        if (n < 0)
                gnutls_transport_set_errno(s->session, errno);
        return n;
}

static bool is_address(const char *name) {
        uint8_t address[16];

        return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

static void take_chain(struct sighting *s) {
        unsigned count = 0;
        const gnutls_datum_t *chain = gnutls_certificate_get_peers(s->session, &count);

        for (unsigned i = 0; chain && i < count && s->chain.count == i; i++)
                if (pile_add(&s->chain, BYTES(chain[i].data, chain[i].size)) < 0)
                        return;
}

/* The prime of a Diffie-Hellman of the server's own choice stands first, behind its length (RFC 5246 §7.4.3). */
static unsigned dh_bits(gnutls_session_t session, const gnutls_datum_t *message) {
        gnutls_kx_algorithm_t kx = gnutls_kx_get(session);

        if ((kx != GNUTLS_KX_DHE_RSA && kx != GNUTLS_KX_DHE_DSS && kx != GNUTLS_KX_ANON_DH) ||
            message->size < 2)
                return 0;
        return 8u * ((unsigned) message->data[0] << 8 | message->data[1]);
}

/*
 * GnuTLS computes with whatever key and group the server names, for hours if they are large enough, and nothing can interrupt it. So
 * each message is looked at when what came before it is known and before it is worked on.
 */
static int on_message(gnutls_session_t session, unsigned type, unsigned when, unsigned incoming,
                      const gnutls_datum_t *message) {
        struct sighting *s = gnutls_session_get_ptr(session);

        (void) when;
        if (!incoming || s->left)
                return 0;
        take_chain(s);
        s->left = s->chain.count && diagnosis_is_heavy(s->chain.items[0]);
        if (!s->left && type == GNUTLS_HANDSHAKE_SERVER_KEY_EXCHANGE &&
            dh_bits(session, message) > DH_BITS_MAX) {
                s->left = true;
                trouble(s, DIAGNOSIS_TLS_OVERSIZED,
                        "the server wants a Diffie-Hellman exchange of %u bits: no client computes so long",
                        dh_bits(session, message));
        }
        return s->left ? GNUTLS_E_CONSTRAINT_ERROR : 0;
}

static int prepare(struct sighting *s, const char *name) {
        int rc = gnutls_init(&s->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);

        if (rc == 0)
                rc = gnutls_certificate_allocate_credentials(&s->credentials);
        if (rc == 0)
                rc = gnutls_priority_set_direct(s->session, PRIORITIES, /* err_pos= */ NULL);
        if (rc == 0)
                rc = gnutls_credentials_set(s->session, GNUTLS_CRD_CERTIFICATE, s->credentials);
        if (rc == 0 && name && !is_address(name))
                rc = gnutls_server_name_set(s->session, GNUTLS_NAME_DNS, name, strlen(name));
        if (rc < 0)
                return rc;
        gnutls_dh_set_prime_bits(s->session, 512); /* looked at, not trusted */
        gnutls_handshake_set_max_packet_length(s->session, MESSAGE_MAX);
        gnutls_session_set_ptr(s->session, s);
        gnutls_handshake_set_hook_function(s->session, GNUTLS_HANDSHAKE_ANY, GNUTLS_HOOK_PRE,
                                           on_message);
        gnutls_transport_set_ptr(s->session, s);
        gnutls_transport_set_pull_function(s->session, pull);
        gnutls_transport_set_push_function(s->session, push);
        return 0;
}

/* Something else than TLS says so with its first octet. */
static bool was_tls(struct sighting *s) {
        char text[4 * sizeof(s->first)];
        size_t n = s->first_count, end = 0;
        ssize_t more;

        if (n == 0 || s->first[0] == RECORD_HANDSHAKE || s->first[0] == RECORD_ALERT)
                return true;
        more = recv(s->fd, s->first + n, sizeof(s->first) - n, MSG_DONTWAIT);
        n += more > 0 ? (size_t) more : 0;
        while (end < n && s->first[end] != '\r' && s->first[end] != '\n')
                end++;
        trouble(s, DIAGNOSIS_NOT_TLS, "what answers there does not speak TLS: it begins with '%s'",
                text_printable(BYTES(s->first, end), text, sizeof(text)));
        return false;
}

/* Return: GnuTLS's code; GNUTLS_E_TIMEDOUT at the deadline */
static int shake(struct sighting *s, int64_t deadline_ms) {
        for (;;) {
                int rc = gnutls_handshake(s->session);
                bool writes;

                if (rc == 0 || (rc < 0 && gnutls_error_is_fatal(rc)))
                        return rc;
                writes = rc == GNUTLS_E_AGAIN && gnutls_record_get_direction(s->session) == 1;
                if (rc == GNUTLS_E_AGAIN &&
                    !wait_for(s->fd, writes ? POLLOUT : POLLIN, deadline_ms))
                        return GNUTLS_E_TIMEDOUT;
                if (left_ms(deadline_ms) == 0)
                        return GNUTLS_E_TIMEDOUT;
        }
}

static void say_failure(struct sighting *s, const struct patient *patient, int rc) {
        const char *alert = rc == GNUTLS_E_FATAL_ALERT_RECEIVED
                ? gnutls_alert_get_name(gnutls_alert_get(s->session))
                : NULL;

        if (!was_tls(s))
                return;
        if (rc == GNUTLS_E_TIMEDOUT)
                trouble(s, DIAGNOSIS_TLS_STALLED,
                        "%s port %s takes the connection and does not finish the TLS handshake within %d s",
                        patient->host, patient->port, HANDSHAKE_LIMIT_MS / 1000);
        else if (rc == GNUTLS_E_HANDSHAKE_TOO_LARGE || rc == GNUTLS_E_TOO_MANY_HANDSHAKE_PACKETS ||
                 rc == GNUTLS_E_RECORD_OVERFLOW)
                trouble(s, DIAGNOSIS_TLS_OVERSIZED,
                        "what the server sends in the handshake is larger than %u KiB: no client takes so much",
                        MESSAGE_MAX / 1024);
        else if (rc == GNUTLS_E_PULL_ERROR || rc == GNUTLS_E_PUSH_ERROR ||
                 rc == GNUTLS_E_PREMATURE_TERMINATION)
                trouble(s, DIAGNOSIS_TLS_FAILED,
                        "the server hangs up in the middle of the TLS handshake");
        else if (alert)
                trouble(s, DIAGNOSIS_TLS_FAILED,
                        "the server breaks the handshake off with the alert '%s'", alert);
        else
                trouble(s, DIAGNOSIS_TLS_FAILED, "the TLS handshake fails: %s",
                        gnutls_strerror(rc));
}

enum result sighting_make(const struct patient *patient, const char *name, struct sighting *ret) {
        int64_t deadline = moment_monotonic_ms() + HANDSHAKE_LIMIT_MS;
        enum result result = connect_to(patient, deadline, ret);
        int rc;

        ret->trouble = DIAGNOSIS_COUNT;
        if (result != DONE)
                return result;
        rc = prepare(ret, name);
        if (rc < 0)
                return fail(REFUSED, "GnuTLS cannot be used: %s", gnutls_strerror(rc));
        rc = shake(ret, deadline);
        take_chain(ret);
        ret->handshake_done = rc == 0;
        if (ret->handshake_done || ret->chain.count) {
                ret->version = gnutls_protocol_get_version(ret->session);
                ret->protocol = gnutls_protocol_get_name(ret->version);
                ret->cipher = gnutls_cipher_get(ret->session);
                ret->wants_certificate = gnutls_certificate_client_get_request_status(ret->session);
        }
        /* a server that wants a client certificate hangs up after it has shown its own: that is none of its troubles */
        if (rc < 0 && !ret->left && !(ret->chain.count && ret->wants_certificate))
                say_failure(ret, patient, rc);
        return DONE;
}

/* ---- its time ---- */

static int send_all(struct sighting *s, struct bytes data, int64_t deadline_ms) {
        while (data.size) {
                ssize_t n = gnutls_record_send(s->session, data.data, data.size);

                if (n > 0)
                        data = BYTES(data.data + n, data.size - (size_t) n);
                else if ((n != GNUTLS_E_AGAIN && n != GNUTLS_E_INTERRUPTED) ||
                         !wait_for(s->fd, POLLOUT, deadline_ms))
                        return -1;
        }
        return 0;
}

/* Reads until the head is complete, there is no more room, or time is up. */
static size_t receive_head(struct sighting *s, char *out, size_t size, int64_t deadline_ms) {
        size_t used = 0;

        while (used + 1 < size && left_ms(deadline_ms)) {
                ssize_t n = gnutls_record_recv(s->session, out + used, size - 1 - used);

                if (n == GNUTLS_E_AGAIN && !wait_for(s->fd, POLLIN, deadline_ms))
                        break;
                if (n == 0 || (n < 0 && gnutls_error_is_fatal((int) n)))
                        break;
                used += n > 0 ? (size_t) n : 0;
                out[used] = '\0';
                if (strstr(out, "\r\n\r\n"))
                        break;
        }
        out[used] = '\0';
        return used;
}

int sighting_date(struct sighting *sighting, const struct patient *patient, int64_t *ret) {
        int64_t deadline = moment_monotonic_ms() + DATE_LIMIT_MS;
        CAD_AUTO(buffer_done) struct buffer request = { 0 };
        char answer[ANSWER_MAX], *date;
        bool bracket = strchr(patient->host, ':') != NULL;
        time_t time;

        if (!sighting->handshake_done)
                return -1;
        buffer_format(&request,
                      "HEAD / HTTP/1.1\r\nHost: %s%s%s\r\nUser-Agent: cactl/" CAD_VERSION
                      "\r\nConnection: close\r\n\r\n",
                      bracket ? "[" : "", patient->host, bracket ? "]" : "");
        if (request.failed || send_all(sighting, buffer_bytes(&request), deadline) < 0 ||
            receive_head(sighting, answer, sizeof(answer), deadline) == 0 ||
            strncmp(answer, "HTTP/1.", 7) != 0)
                return -1;
        date = strcasestr(answer, "\r\nDate:");
        if (!date)
                return -1;
        date += strlen("\r\nDate:");
        date[strcspn(date, "\r\n")] = '\0';
        time = curl_getdate(date, /* now= */ NULL);
        if (time <= 0)
                return -1;
        *ret = time;
        return 0;
}
