/*
 * Load generator: HTTP/1.1 connections, each asking as fast as it is answered: for certificates, revocations, or one path; kept
 * alive or a new one each, in the clear or over TLS; or TLS handshakes alone.
 *
 * One thread and one epoll, because it shares the cores with the server that it measures; requests
 * are made ready before the clock starts. Every answer is looked at: anything but what was asked for is
 * an error.
 */
#include <errno.h>
#include <getopt.h>
#include <gnutls/gnutls.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "answer.h"
#include "common.h"
#include "csrs.h"
#include "stream.h"

#define CONNECTIONS_MAX 4096
#define PIDS_MAX 16
#define STATUS_MAX 600
#define ANSWER_MAX (64u * 1024)    /* bytes; a chain of three in JSON is about 4 KiB */
#define DRAIN_NS (10 * NS_PER_S)   /* what is in flight at the end may take so long */
#define FAILURES_IN_A_ROW_MAX 1000 /* connections lost without one answer between them */
#define CERTIFICATE_MARK "BEGIN CERTIFICATE-----"
#define PKCS7_MARK "MII" /* base64 of a SEQUENCE of over 255 octets */
#define SERIAL_MARK "\"serial\":\""
#define REVOKED_MARK "\"status\":\"revoked\""
#define LINE_MAX 256

/* How to ask each server for a certificate, and what a good answer is. */
static const struct api {
        const char *name, *path, *headers;
        const char *before, *after; /* around the CSR */
        bool json;                  /* line ends of the PEM are written \n */
        unsigned status;
        const char *mark; /* in every good body; NULL: anything will do */
} apis[] = {
        { "cad", "/v1/certificates", "Content-Type: application/json\r\n", "{\"csr\":\"", "\"}",
          true, 201, CERTIFICATE_MARK },
        { "cad-pem", "/v1/certificates",
          "Content-Type: application/pkcs10\r\nAccept: application/pem-certificate-chain\r\n", "",
          "", false, 201, CERTIFICATE_MARK },
        { "est", "/.well-known/est/simpleenroll", "Content-Type: application/pkcs10\r\n", "", "",
          false, 200, PKCS7_MARK },
        { "cfssl", "/api/v1/cfssl/sign", "Content-Type: application/json\r\n",
          "{\"certificate_request\":\"", "\"}", true, 200, CERTIFICATE_MARK },
};

/* What else can be asked for. */
static const struct api revoking = { .name = "revoke", .status = 200, .mark = REVOKED_MARK };
static const struct api getting = { .name = "get", .status = 200 };
static const struct api conditional = { .name = "get-unchanged", .status = 304 };
static const struct api handshakes = { .name = "handshakes" };

struct options {
        struct target target;
        const char *csrs, *bearers, *revoke, *get, *etag, *save, *serials;
        const struct api *api;
        unsigned connections;
        double seconds, warmup_s, timeout_s;
        uint64_t count; /* 0: as many as fit in the seconds */
        bool new_connections;
        pid_t pids[PIDS_MAX];
        size_t pids_len;
};

/* A process whose processor time belongs to the requests. */
struct watched {
        pid_t pid;
        clockid_t clock;
        uint64_t began_ns, used_ns;
};

struct request {
        char *bytes;
        size_t len;
};

struct connection {
        struct stream stream;
        const struct request *request; /* in flight, or NULL */
        size_t sent, received;
        size_t body_left;   /* of an answer whose body nobody wants */
        struct answer head; /* of that answer */
        uint64_t began_ns;
        bool established, watches_writing;
        char answer[ANSWER_MAX + 1];
};

struct load {
        struct options *options;
        struct request *requests;
        size_t requests_len, next;
        struct connection *connections;
        int epoll_fd;

        bool measuring, closing; /* closing: nothing new is sent */
        uint64_t began_ns, ended_ns, own_began_ns, own_ns;
        uint64_t started;    /* requests sent since measuring began */
        uint64_t done, lost; /* lost: the connection broke or the answer was not HTTP */
        uint64_t statuses[STATUS_MAX];
        uint64_t not_as_asked; /* the status is good, the body is not */
        uint64_t bytes;        /* of bodies */
        unsigned failures_in_a_row, in_flight;
        struct samples latencies;
        struct watched watched[PIDS_MAX];
        bool complained, saved;
        FILE *serials;
};

/* ---- requests ---- */

/* @bearer: the token to show, or "" */
static void request_make(const struct api *api, const struct pem *csr, const char *bearer,
                         struct request *ret) {
        char *body = xcalloc(strlen(api->before) + 2 * csr->len + strlen(api->after) + 1, 1);
        char *at = stpcpy(body, api->before);
        int len;

        for (size_t i = 0; i < csr->len; i++) {
                if (api->json && csr->text[i] == '\n')
                        at = stpcpy(at, "\\n");
                else if (csr->text[i] != '\r')
                        *at++ = csr->text[i];
        }
        at = stpcpy(at, api->after);
        len = asprintf(
                &ret->bytes,
                "POST %s HTTP/1.1\r\nHost: localhost\r\n%s%s%s%sContent-Length: %zu\r\n\r\n%s",
                api->path, api->headers, *bearer ? "Authorization: Bearer " : "", bearer,
                *bearer ? "\r\n" : "", (size_t) (at - body), body);
        if (len < 0)
                die("out of memory");
        ret->len = (size_t) len;
        free(body);
}

static FILE *open_or_die(const char *path, const char *mode) {
        FILE *file = fopen(path, mode);

        if (!file)
                die("cannot open '%s': %s", path, strerror(errno));
        return file;
}

/* The next line of the file without its end; "" where there is no file. */
static const char *bearer_next(FILE *file, char line[LINE_MAX]) {
        line[0] = '\0';
        if (file && !fgets(line, LINE_MAX, file))
                die("there are fewer tokens than CSRs");
        line[strcspn(line, "\n")] = '\0';
        return line;
}

static void requests_of_csrs(struct load *load) {
        const char *bearers = load->options->bearers;
        FILE *tokens = bearers ? open_or_die(bearers, "re") : NULL;
        char line[LINE_MAX];
        struct pem_pool pool;

        pem_pool_load(load->options->csrs, &pool);
        load->requests = xcalloc(pool.len, sizeof(*load->requests));
        load->requests_len = pool.len;
        for (size_t i = 0; i < pool.len; i++)
                request_make(load->options->api, &pool.items[i], bearer_next(tokens, line),
                             &load->requests[i]);
        pem_pool_done(&pool);
        if (tokens)
                fclose(tokens);
}

static void request_print(struct request *ret, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
static void request_print(struct request *ret, const char *format, ...) {
        va_list args;
        int len;

        va_start(args, format);
        len = vasprintf(&ret->bytes, format, args);
        va_end(args);
        if (len < 0)
                die("out of memory");
        ret->len = (size_t) len;
}

/* Each serial of the file once: more than there are lines are not asked for. */
static void requests_of_serials(struct load *load) {
        static const char format[] =
                "POST /v1/certificates/%s/revoke HTTP/1.1\r\nHost: localhost\r\n"
                "Content-Type: application/json\r\nContent-Length: 23\r\n\r\n%s";
        FILE *file = open_or_die(load->options->revoke, "re");
        size_t capacity = 0;
        char line[LINE_MAX];

        while (fgets(line, sizeof(line), file)) {
                line[strcspn(line, "\n")] = '\0';
                if (load->requests_len == capacity) {
                        capacity = capacity ? 2 * capacity : 1024;
                        load->requests = reallocarray(load->requests, capacity,
                                                      sizeof(*load->requests));
                        if (!load->requests)
                                die("out of memory");
                }
                request_print(&load->requests[load->requests_len++], format, line,
                              "{\"reason\":\"superseded\"}");
        }
        fclose(file);
        if (!load->options->count || load->options->count > load->requests_len)
                load->options->count = load->requests_len;
}

static void requests_of_path(struct load *load) {
        const struct options *o = load->options;

        load->requests_len = 1;
        load->requests = xcalloc(1, sizeof(*load->requests));
        if (o->etag)
                request_print(load->requests,
                              "GET %s HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: %s\r\n\r\n",
                              o->get, o->etag);
        else
                request_print(load->requests, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", o->get);
}

static void requests_make(struct load *load) {
        if (load->options->csrs)
                requests_of_csrs(load);
        else if (load->options->revoke)
                requests_of_serials(load);
        else if (load->options->get)
                requests_of_path(load);
}

/* ---- connections ---- */

static void connection_next(struct load *load, struct connection *c);

static void connection_watch(struct load *load, struct connection *c, bool writing) {
        struct epoll_event event = { .events = writing ? EPOLLIN | EPOLLOUT : EPOLLIN,
                                     .data.ptr = c };

        if (c->watches_writing == writing)
                return;
        c->watches_writing = writing;
        if (epoll_ctl(load->epoll_fd, EPOLL_CTL_MOD, c->stream.fd, &event) < 0)
                die("epoll: %s", strerror(errno));
}

static bool all_started(const struct load *load) {
        return load->closing || (load->options->count && load->started == load->options->count);
}

static void connection_open(struct load *load, struct connection *c) {
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };

        c->established = c->watches_writing = false;
        c->received = c->body_left = 0;
        c->began_ns = clock_now(CLOCK_MONOTONIC);
        stream_open(&load->options->target, &c->stream);
        if (epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, c->stream.fd, &event) < 0)
                die("epoll: %s", strerror(errno));
}

static void connection_close(struct connection *c) {
        stream_close(&c->stream); /* leaves the epoll set by itself */
}

static void latency_add(struct load *load, struct connection *c) {
        load->failures_in_a_row = 0;
        if (!load->measuring)
                return;
        load->done++;
        samples_add(&load->latencies, clock_now(CLOCK_MONOTONIC) - c->began_ns);
}

static void connection_lost(struct load *load, struct connection *c);

/* Goes on with TLS, then asks. In the clear it asks at once. */
static void connection_establish(struct load *load, struct connection *c) {
        int rc = stream_handshake(&load->options->target, &c->stream);

        if (rc < 0) {
                connection_lost(load, c);
                return;
        }
        connection_watch(load, c, c->stream.wants_to_write);
        if (rc == 0)
                return;
        c->established = true;
        if (load->options->api != &handshakes) {
                connection_next(load, c);
                return;
        }
        latency_add(load, c);
        connection_close(c);
}

/* Opens what was closed, as long as there is something to ask for. */
static void connection_again(struct load *load, struct connection *c) {
        while (c->stream.fd < 0 && !all_started(load)) {
                connection_open(load, c);
                connection_establish(load, c);
        }
}

/* ---- one request after the other ---- */

/* Writes what is left of the request. A broken connection is noticed when it is read. */
static void connection_write(struct load *load, struct connection *c) {
        ssize_t n = stream_send(&c->stream, c->request->bytes + c->sent, c->request->len - c->sent);

        if (n > 0)
                c->sent += (size_t) n;
        connection_watch(load, c, n >= 0 ? c->sent < c->request->len : errno == EAGAIN);
}

static void connection_next(struct load *load, struct connection *c) {
        if (all_started(load) || !load->requests_len)
                return;
        c->request = &load->requests[load->next];
        load->next = (load->next + 1) % load->requests_len;
        load->started++;
        load->in_flight++;
        c->sent = 0;
        c->received = 0;
        if (!load->options->new_connections)
                c->began_ns = clock_now(CLOCK_MONOTONIC);
        connection_write(load, c);
}

static void connection_lost(struct load *load, struct connection *c) {
        if (++load->failures_in_a_row > FAILURES_IN_A_ROW_MAX)
                die("%u connections in a row were lost without an answer", load->failures_in_a_row);
        load->lost += load->measuring && (c->request || !c->established);
        load->in_flight -= c->request != NULL;
        c->request = NULL;
        connection_close(c);
}

static void save(const char *path, const char *text, size_t len) {
        FILE *file = fopen(path, "we");

        if (!file || fwrite(text, 1, len, file) != len || fclose(file) != 0)
                die("cannot write '%s': %s", path, strerror(errno));
}

static void serial_write(struct load *load, const struct answer *answer) {
        const char *at = memmem(answer->body, answer->body_len, SERIAL_MARK, strlen(SERIAL_MARK));

        if (!load->serials || !at)
                return;
        at += strlen(SERIAL_MARK);
        fprintf(load->serials, "%.*s\n", (int) strcspn(at, "\""), at);
}

static bool answer_good(const struct api *api, const struct answer *answer, size_t have) {
        if (answer->status != api->status)
                return false;
        return !api->mark || memmem(answer->body, have, api->mark, strlen(api->mark));
}

static void complain(struct load *load, const struct answer *answer, size_t have) {
        if (load->complained)
                return;
        load->complained = true;
        fprintf(stderr, "%s: first bad answer: %u %.*s\n", program_invocation_short_name,
                answer->status, (int) (have > 300 ? 300 : have), answer->body);
}

/* @have: how much of the body there is */
static void answer_count(struct load *load, struct connection *c, const struct answer *answer,
                         size_t have) {
        const struct api *api = load->options->api;
        bool good = answer_good(api, answer, have);

        load->failures_in_a_row = 0;
        if (!good)
                complain(load, answer, have);
        if (!load->measuring)
                return;
        load->statuses[answer->status < STATUS_MAX ? answer->status : 0]++;
        load->bytes += answer->body_len;
        if (!good) {
                load->not_as_asked += answer->status == api->status;
                return;
        }
        latency_add(load, c);
        serial_write(load, answer);
        if (load->options->save && !load->saved) {
                save(load->options->save, answer->body, have);
                load->saved = true;
        }
}

/* The answer is here: to the next. */
static void connection_answered(struct load *load, struct connection *c,
                                const struct answer *answer, size_t have) {
        answer_count(load, c, answer, have);
        load->in_flight--;
        c->request = NULL;
        if (answer->closes || load->options->new_connections)
                connection_close(c);
        else
                connection_next(load, c);
}

/* The whole answer is kept. Return: as answer_parse() */
static int answer_take(struct load *load, struct connection *c) {
        struct answer answer;
        int whole = answer_parse(c->answer, c->received, &answer);

        if (whole == 0 && c->received == ANSWER_MAX)
                return -1;
        if (whole == 1 && answer.total_len != c->received)
                return -1;
        if (whole == 1)
                connection_answered(load, c, &answer, answer.body_len);
        return whole;
}

/* Only the head is. Return: as answer_parse() */
static int answer_skim(struct load *load, struct connection *c) {
        int whole = answer_begins(c->answer, c->received, &c->head);

        if (whole != 1)
                return whole;
        if (c->head.total_len < c->received)
                return -1;
        c->body_left = c->head.total_len - c->received;
        if (c->body_left == 0)
                connection_answered(load, c, &c->head,
                                    c->received - (size_t) (c->head.body - c->answer));
        return 1;
}

static void connection_discard(struct load *load, struct connection *c) {
        ssize_t n = stream_discard(&c->stream, c->body_left);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                connection_lost(load, c);
                return;
        }
        c->body_left -= (size_t) n;
        if (c->body_left == 0)
                connection_answered(load, c, &c->head, 0);
}

static void connection_read(struct load *load, struct connection *c) {
        ssize_t n = stream_receive(&c->stream, c->answer + c->received, ANSWER_MAX - c->received);
        int whole;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0 || !c->request) {
                connection_lost(load, c);
                return;
        }
        c->received += (size_t) n;
        c->answer[c->received] = '\0';
        whole = load->options->get ? answer_skim(load, c) : answer_take(load, c);
        if (whole < 0)
                connection_lost(load, c);
}

static void connection_event(struct load *load, struct connection *c, uint32_t events) {
        if (!c->established) {
                connection_establish(load, c);
        } else {
                if (events & EPOLLOUT && c->request && c->sent < c->request->len)
                        connection_write(load, c);
                if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                        do {
                                if (c->body_left)
                                        connection_discard(load, c);
                                else
                                        connection_read(load, c);
                        } while (c->stream.fd >= 0 && stream_pending(&c->stream));
        }
        connection_again(load, c);
}

/* ---- the run ---- */

static void watched_start(struct load *load) {
        for (size_t i = 0; i < load->options->pids_len; i++) {
                struct watched *w = &load->watched[i];

                w->pid = load->options->pids[i];
                /* The whole process, threads that have ended included, in nanoseconds. */
                if (clock_getcpuclockid(w->pid, &w->clock) != 0)
                        die("--pids: there is no process %d", (int) w->pid);
                w->began_ns = clock_now(w->clock);
        }
}

static void watched_stop(struct load *load) {
        for (size_t i = 0; i < load->options->pids_len; i++) {
                struct watched *w = &load->watched[i];
                struct timespec t;

                if (clock_gettime(w->clock, &t) < 0)
                        die("process %d ended while it was measured", (int) w->pid);
                w->used_ns = (uint64_t) t.tv_sec * NS_PER_S + (uint64_t) t.tv_nsec - w->began_ns;
        }
}

static void measure_start(struct load *load) {
        load->measuring = true;
        load->started = load->in_flight; /* sent while warming up, but their answers count */
        load->own_began_ns = clock_now(CLOCK_PROCESS_CPUTIME_ID);
        watched_start(load);
        load->began_ns = clock_now(CLOCK_MONOTONIC);
}

static void measure_stop(struct load *load) {
        load->ended_ns = clock_now(CLOCK_MONOTONIC);
        watched_stop(load);
        load->own_ns = clock_now(CLOCK_PROCESS_CPUTIME_ID) - load->own_began_ns;
        load->measuring = false;
        load->closing = true;
}

static void load_poll(struct load *load, uint64_t until_ns) {
        struct epoll_event events[256];
        uint64_t now_ns = clock_now(CLOCK_MONOTONIC);
        int wait_ms = until_ns > now_ns ? (int) ((until_ns - now_ns) / 1000000) + 1 : 0;
        int n = epoll_wait(load->epoll_fd, events, ARRAY_SIZE(events), wait_ms);

        for (int i = 0; i < n; i++)
                connection_event(load, events[i].data.ptr, events[i].events);
}

static bool all_counted(const struct load *load) {
        return load->options->count && load->started == load->options->count && !load->in_flight;
}

static void load_run(struct load *load) {
        const struct options *o = load->options;
        uint64_t until_ns = clock_now(CLOCK_MONOTONIC) + (uint64_t) (o->warmup_s * NS_PER_S);

        load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        load->connections = xcalloc(o->connections, sizeof(*load->connections));
        if (o->warmup_s <= 0)
                measure_start(load);
        for (unsigned i = 0; i < o->connections; i++) {
                load->connections[i].stream.fd = -1;
                connection_again(load, &load->connections[i]);
        }
        while (!load->measuring && clock_now(CLOCK_MONOTONIC) < until_ns)
                load_poll(load, until_ns);
        if (!load->measuring)
                measure_start(load);
        until_ns = load->began_ns + (uint64_t) ((o->count ? o->timeout_s : o->seconds) * NS_PER_S);
        while (clock_now(CLOCK_MONOTONIC) < until_ns && !all_counted(load))
                load_poll(load, until_ns);
        measure_stop(load);

        /* Let the server finish: broken connections would be work in the next measurement. */
        until_ns = clock_now(CLOCK_MONOTONIC) + DRAIN_NS;
        while (load->in_flight && clock_now(CLOCK_MONOTONIC) < until_ns)
                load_poll(load, until_ns);
}

/* ---- the report ---- */

static unsigned long status_kb(pid_t pid, const char *field) {
        char path[64], line[256];
        unsigned long kb = 0;
        FILE *file;

        snprintf(path, sizeof(path), "/proc/%d/status", (int) pid);
        file = fopen(path, "re");
        if (!file)
                return 0;
        while (fgets(line, sizeof(line), file))
                if (strncmp(line, field, strlen(field)) == 0)
                        kb = strtoul(line + strlen(field) + 1, /* end= */ NULL, 10);
        fclose(file);
        return kb;
}

static uint64_t errors_count(const struct load *load) {
        uint64_t errors = load->lost + load->not_as_asked;

        for (unsigned i = 0; i < STATUS_MAX; i++)
                if (i != load->options->api->status)
                        errors += load->statuses[i];
        return errors;
}

static void report_watched(const struct load *load) {
        for (size_t i = 0; i < load->options->pids_len; i++) {
                const struct watched *w = &load->watched[i];

                printf("%s{\"pid\":%d,\"cpu_us\":%.0f,\"cpu_us_per_request\":%.2f,"
                       "\"rss_kb\":%lu,\"hwm_kb\":%lu}",
                       i ? "," : "", (int) w->pid, (double) w->used_ns / NS_PER_US,
                       load->done ? (double) w->used_ns / NS_PER_US / (double) load->done : 0.0,
                       status_kb(w->pid, "VmRSS"), status_kb(w->pid, "VmHWM"));
        }
}

static void report(struct load *load) {
        double wall_s = (double) (load->ended_ns - load->began_ns) / NS_PER_S;
        const char *comma = "";

        samples_sort(&load->latencies);
        printf("{\"api\":\"%s\",\"connections\":%u,\"requests\":%lu,\"errors\":%lu,\"lost\":%lu,"
               "\"statuses\":{",
               load->options->api->name, load->options->connections, (unsigned long) load->done,
               (unsigned long) errors_count(load), (unsigned long) load->lost);
        for (unsigned i = 0; i < STATUS_MAX; i++) {
                if (!load->statuses[i])
                        continue;
                printf("%s\"%u\":%lu", comma, i, (unsigned long) load->statuses[i]);
                comma = ",";
        }
        printf("},\"wall_s\":%.4f,\"per_s\":%.1f,\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,"
               "\"max_us\":%.1f,\"mb_per_s\":%.1f,"
               "\"own_cpu_us_per_request\":%.2f,\"processes\":[",
               wall_s, (double) load->done / wall_s, samples_percentile(&load->latencies, 50),
               samples_percentile(&load->latencies, 90), samples_percentile(&load->latencies, 99),
               samples_percentile(&load->latencies, 100), (double) load->bytes / wall_s / 1e6,
               load->done ? (double) load->own_ns / NS_PER_US / (double) load->done : 0.0);
        report_watched(load);
        printf("]}\n");
}

/* ---- options ---- */

static const char usage_text[] =
        "bench-load --make-csrs COUNT FILE\n"
        "bench-load --unix PATH|--tcp ADDRESS:PORT|--tls ADDRESS:PORT --root FILE [--cert FILE --key FILE]\n"
        "           --csrs FILE [--api cad|cad-pem|est|cfssl] [--bearers FILE] [--serials FILE]\n"
        "           | --revoke FILE | --get PATH [--etag ETAG] | --handshakes\n"
        "           [--new-connections] [--connections 32] [--seconds 4 | --count N [--timeout 600]]\n"
        "           [--warmup 0.5] [--pids PID,PID...] [--save FILE]\n"
        "\n"
        "Asks over kept-alive connections, or a new one each, and prints one line of JSON:\n"
        "answers a second, latencies in microseconds, and for each PID processor time a request\n"
        "and resident memory. --csrs posts the CSRs of FILE in turn, --bearers shows the token in the same\n"
        "line of FILE with each, --serials writes the serials of\n"
        "what came back, --revoke revokes the serials of FILE, each once, --get fetches one path and\n"
        "drops the body (--etag: expects 304), --handshakes does TLS and closes.\n"
        "With new connections the server's chain is verified on the first alone.\n"
        "--warmup seconds come before the clock starts. --save keeps the body of the first good\n"
        "answer.\n";

static const struct api *api_find(const char *name) {
        for (size_t i = 0; i < ARRAY_SIZE(apis); i++)
                if (strcmp(apis[i].name, name) == 0)
                        return &apis[i];
        die("--api '%s' is unknown; known are cad, cad-pem, est and cfssl", name);
}

static void pids_parse(const char *text, struct options *options) {
        while (*text) {
                char *end;
                long pid = strtol(text, &end, 10);

                if (pid <= 0 || (*end && *end != ',') || options->pids_len == PIDS_MAX)
                        die("--pids '%s': give up to %d process ids with commas between", text,
                            PIDS_MAX);
                options->pids[options->pids_len++] = (pid_t) pid;
                text = *end ? end + 1 : end;
        }
}

static void option_set(struct options *options, int option, const char *value) {
        switch (option) {
        case 'u':
                options->target.unix_path = value;
                break;
        case 't':
                options->target.tcp = value;
                break;
        case 'S':
                options->target.tcp = value;
                options->target.tls = true;
                break;
        case 'r':
                options->target.root_file = value;
                break;
        case 'C':
                options->target.cert_file = value;
                break;
        case 'K':
                options->target.key_file = value;
                break;
        case 'R':
                options->revoke = value;
                options->api = &revoking;
                break;
        case 'g':
                options->get = value;
                options->api = options->etag ? &conditional : &getting;
                break;
        case 'e':
                options->etag = value;
                options->api = &conditional;
                break;
        case 'H':
                options->api = &handshakes;
                options->new_connections = true;
                break;
        case 'N':
                options->new_connections = true;
                break;
        case 'l':
                options->serials = value;
                break;
        case 'a':
                options->api = api_find(value);
                break;
        case 'f':
                options->csrs = value;
                break;
        case 'b':
                options->bearers = value;
                break;
        case 'c':
                options->connections = (unsigned) parse_number("--connections", value, 1,
                                                               CONNECTIONS_MAX);
                break;
        case 's':
                options->seconds = parse_number("--seconds", value, 0.01, 86400);
                break;
        case 'n':
                options->count = (uint64_t) parse_number("--count", value, 1, 1e9);
                break;
        case 'w':
                options->warmup_s = parse_number("--warmup", value, 0, 3600);
                break;
        case 'T':
                options->timeout_s = parse_number("--timeout", value, 0.01, 86400);
                break;
        case 'p':
                pids_parse(value, options);
                break;
        case 'o':
                options->save = value;
                break;
        case 'h':
                fputs(usage_text, stdout);
                exit(0);
        default:
                fputs(usage_text, stderr);
                exit(2);
        }
}

static void options_parse(int argc, char **argv, struct options *options) {
        static const struct option known[] = {
                { "unix", required_argument, NULL, 'u' },
                { "tcp", required_argument, NULL, 't' },
                { "tls", required_argument, NULL, 'S' },
                { "root", required_argument, NULL, 'r' },
                { "cert", required_argument, NULL, 'C' },
                { "key", required_argument, NULL, 'K' },
                { "revoke", required_argument, NULL, 'R' },
                { "get", required_argument, NULL, 'g' },
                { "etag", required_argument, NULL, 'e' },
                { "handshakes", no_argument, NULL, 'H' },
                { "new-connections", no_argument, NULL, 'N' },
                { "serials", required_argument, NULL, 'l' },
                { "api", required_argument, NULL, 'a' },
                { "csrs", required_argument, NULL, 'f' },
                { "bearers", required_argument, NULL, 'b' },
                { "connections", required_argument, NULL, 'c' },
                { "seconds", required_argument, NULL, 's' },
                { "count", required_argument, NULL, 'n' },
                { "warmup", required_argument, NULL, 'w' },
                { "timeout", required_argument, NULL, 'T' },
                { "pids", required_argument, NULL, 'p' },
                { "save", required_argument, NULL, 'o' },
                { "help", no_argument, NULL, 'h' },
                {},
        };
        int option;

        while ((option = getopt_long(argc, argv, "", known, /* index= */ NULL)) != -1)
                option_set(options, option, optarg);
        if (optind != argc || !options->target.unix_path == !options->target.tcp ||
            !!options->csrs + !!options->revoke + !!options->get + (options->api == &handshakes) !=
                    1 ||
            options->target.tls != !!options->target.root_file ||
            !options->target.cert_file != !options->target.key_file) {
                fputs(usage_text, stderr);
                exit(2);
        }
}

int main(int argc, char **argv) {
        struct options options = {
                .api = &apis[0], .connections = 32, .seconds = 4, .timeout_s = 600, .warmup_s = 0.5
        };
        struct load load = { .options = &options };

        if (argc == 4 && strcmp(argv[1], "--make-csrs") == 0) {
                csrs_make((size_t) parse_number("--make-csrs", argv[2], 1, 1e6), argv[3]);
                return 0;
        }
        options_parse(argc, argv, &options);
        (void) signal(SIGPIPE, SIG_IGN);
        options.target.check_once = options.new_connections;
        target_begin(&options.target);
        requests_make(&load);
        if (options.count)
                options.warmup_s = 0;
        if (options.serials)
                load.serials = open_or_die(options.serials, "we");
        load_run(&load);
        report(&load);

        for (unsigned i = 0; i < options.connections; i++)
                if (load.connections[i].stream.fd >= 0)
                        stream_close(&load.connections[i].stream);
        if (load.serials && fclose(load.serials) != 0)
                die("cannot write '%s': %s", options.serials, strerror(errno));
        target_done(&options.target);
        for (size_t i = 0; i < load.requests_len; i++)
                free(load.requests[i].bytes);
        free(load.requests);
        free(load.connections);
        samples_done(&load.latencies);
        close(load.epoll_fd);
        if (options.count && load.done + errors_count(&load) < options.count)
                die("only %lu of %lu were answered in %g s", (unsigned long) load.done,
                    (unsigned long) options.count, options.timeout_s);
        return 0;
}
