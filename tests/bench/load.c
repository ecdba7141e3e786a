/*
 * Load generator: kept-alive HTTP/1.1 connections, each posting CSRs as fast as it is answered.
 *
 * One thread and one epoll, because it shares the cores with the server that it measures; requests
 * are made ready before the clock starts. Every answer is looked at: anything but a certificate is
 * an error.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "answer.h"
#include "common.h"
#include "csrs.h"

#define CONNECTIONS_MAX 4096
#define PIDS_MAX 16
#define STATUS_MAX 600
#define ANSWER_MAX (64u * 1024)    /* bytes; a chain of three in JSON is about 4 KiB */
#define DRAIN_NS (10 * NS_PER_S)   /* what is in flight at the end may take so long */
#define FAILURES_IN_A_ROW_MAX 1000 /* connections lost without one answer between them */
#define CERTIFICATE_MARK "BEGIN CERTIFICATE-----"

/* How to ask each server for a certificate, and what a good answer is. */
static const struct api {
        const char *name, *path, *headers;
        const char *before, *after; /* around the CSR */
        bool json;                  /* line ends of the PEM are written \n */
        unsigned status;
} apis[] = {
        { "cad", "/v1/certificates", "Content-Type: application/json\r\n", "{\"csr\":\"", "\"}",
          true, 201 },
        { "cad-pem", "/v1/certificates",
          "Content-Type: application/pkcs10\r\nAccept: application/pem-certificate-chain\r\n", "",
          "", false, 201 },
        { "cfssl", "/api/v1/cfssl/sign", "Content-Type: application/json\r\n",
          "{\"certificate_request\":\"", "\"}", true, 200 },
};

struct options {
        const char *unix_path, *tcp, *csrs, *save;
        const struct api *api;
        unsigned connections;
        double seconds, warmup_s, timeout_s;
        uint64_t count; /* 0: as many as fit in the seconds */
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
        int fd;
        const struct request *request; /* in flight, or NULL */
        size_t sent, received;
        uint64_t began_ns;
        bool waits_to_write;
        char answer[ANSWER_MAX + 1];
};

struct load {
        const struct options *options;
        struct request *requests;
        size_t requests_len, next;
        struct connection *connections;
        int epoll_fd;

        bool measuring, closing; /* closing: nothing new is sent */
        uint64_t began_ns, ended_ns, own_began_ns, own_ns;
        uint64_t started;    /* requests sent since measuring began */
        uint64_t done, lost; /* lost: the connection broke or the answer was not HTTP */
        uint64_t statuses[STATUS_MAX];
        uint64_t not_a_certificate;
        unsigned failures_in_a_row, in_flight;
        struct samples latencies;
        struct watched watched[PIDS_MAX];
        bool complained, saved;
};

/* ---- requests ---- */

static void request_make(const struct api *api, const struct pem *csr, struct request *ret) {
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
        len = asprintf(&ret->bytes,
                       "POST %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %zu\r\n\r\n%s",
                       api->path, api->headers, (size_t) (at - body), body);
        if (len < 0)
                die("out of memory");
        ret->len = (size_t) len;
        free(body);
}

static void requests_make(struct load *load) {
        struct pem_pool pool;

        pem_pool_load(load->options->csrs, &pool);
        load->requests = xcalloc(pool.len, sizeof(*load->requests));
        load->requests_len = pool.len;
        for (size_t i = 0; i < pool.len; i++)
                request_make(load->options->api, &pool.items[i], &load->requests[i]);
        pem_pool_done(&pool);
}

/* ---- sockets ---- */

static int connect_unix(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd;

        if (strlen(path) >= sizeof(address.sun_path))
                die("'%s' is too long for a Unix socket (%zu bytes at most)", path,
                    sizeof(address.sun_path) - 1);
        strcpy(address.sun_path, path);
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
                die("--tcp '%s': give an address and a port, such as 127.0.0.1:8888", host_port);
        fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, address->ai_addr, address->ai_addrlen) < 0)
                die("cannot connect to %s: %s; is the server running?", host_port, strerror(errno));
        freeaddrinfo(address);
        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        return fd;
}

static void connection_open(struct load *load, struct connection *c) {
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };

        c->fd = load->options->unix_path ? connect_unix(load->options->unix_path)
                                         : connect_tcp(load->options->tcp);
        c->waits_to_write = false;
        c->received = 0;
        if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0 ||
            epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0)
                die("epoll: %s", strerror(errno));
}

static void connection_close(struct connection *c) {
        close(c->fd); /* leaves the epoll set by itself */
        c->fd = -1;
}

static void connection_wait_to_write(struct load *load, struct connection *c, bool wait) {
        struct epoll_event event = { .events = wait ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = c };

        if (c->waits_to_write == wait)
                return;
        c->waits_to_write = wait;
        if (epoll_ctl(load->epoll_fd, EPOLL_CTL_MOD, c->fd, &event) < 0)
                die("epoll: %s", strerror(errno));
}

/* ---- one request after the other ---- */

/* Writes what is left of the request. A broken connection is noticed when it is read. */
static void connection_write(struct load *load, struct connection *c) {
        ssize_t n = send(c->fd, c->request->bytes + c->sent, c->request->len - c->sent,
                         MSG_NOSIGNAL);

        if (n > 0)
                c->sent += (size_t) n;
        connection_wait_to_write(load, c, n >= 0 && c->sent < c->request->len);
        if (n < 0 && errno == EAGAIN)
                connection_wait_to_write(load, c, true);
}

static void connection_next(struct load *load, struct connection *c) {
        if (load->closing || (load->options->count && load->started == load->options->count))
                return;
        c->request = &load->requests[load->next];
        load->next = (load->next + 1) % load->requests_len;
        load->started++;
        load->in_flight++;
        c->sent = 0;
        c->received = 0;
        c->began_ns = clock_now(CLOCK_MONOTONIC);
        connection_write(load, c);
}

static void connection_lost(struct load *load, struct connection *c) {
        if (++load->failures_in_a_row > FAILURES_IN_A_ROW_MAX)
                die("%u connections in a row were lost without an answer", load->failures_in_a_row);
        connection_close(c);
        if (c->request) {
                load->in_flight--;
                load->lost += load->measuring;
                c->request = NULL;
        }
        if (load->closing)
                return;
        connection_open(load, c);
        connection_next(load, c);
}

static void save(const char *path, const char *text, size_t len) {
        FILE *file = fopen(path, "we");

        if (!file || fwrite(text, 1, len, file) != len || fclose(file) != 0)
                die("cannot write '%s': %s", path, strerror(errno));
}

static void answer_count(struct load *load, const struct answer *answer, uint64_t latency_ns) {
        const struct api *api = load->options->api;
        bool certificate = answer->status == api->status &&
                memmem(answer->body, answer->body_len, CERTIFICATE_MARK, strlen(CERTIFICATE_MARK));

        load->failures_in_a_row = 0;
        if (!certificate && !load->complained) {
                load->complained = true;
                fprintf(stderr, "%s: first bad answer: %u %.*s\n", program_invocation_short_name,
                        answer->status, (int) (answer->body_len > 300 ? 300 : answer->body_len),
                        answer->body);
        }
        if (!load->measuring)
                return;
        load->statuses[answer->status < STATUS_MAX ? answer->status : 0]++;
        if (!certificate) {
                load->not_a_certificate += answer->status == api->status;
                return;
        }
        load->done++;
        samples_add(&load->latencies, latency_ns);
        if (load->options->save && !load->saved) {
                save(load->options->save, answer->body, answer->body_len);
                load->saved = true;
        }
}

static void connection_read(struct load *load, struct connection *c) {
        ssize_t n = recv(c->fd, c->answer + c->received, ANSWER_MAX - c->received, 0);
        struct answer answer;
        int whole;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0 || !c->request) {
                connection_lost(load, c);
                return;
        }
        c->received += (size_t) n;
        c->answer[c->received] = '\0';
        whole = answer_parse(c->answer, c->received, &answer);
        if (whole == 0 && c->received < ANSWER_MAX)
                return;
        if (whole != 1 || answer.total_len != c->received) {
                connection_lost(load, c);
                return;
        }
        answer_count(load, &answer, clock_now(CLOCK_MONOTONIC) - c->began_ns);
        load->in_flight--;
        c->request = NULL;
        if (answer.closes) {
                connection_close(c);
                connection_open(load, c);
        }
        connection_next(load, c);
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

        for (int i = 0; i < n; i++) {
                struct connection *c = events[i].data.ptr;

                if (events[i].events & EPOLLOUT && c->request)
                        connection_write(load, c);
                if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) && c->fd >= 0)
                        connection_read(load, c);
        }
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
                connection_open(load, &load->connections[i]);
                connection_next(load, &load->connections[i]);
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
        uint64_t errors = load->lost + load->not_a_certificate;

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
               "\"max_us\":%.1f,"
               "\"own_cpu_us_per_request\":%.2f,\"processes\":[",
               wall_s, (double) load->done / wall_s, samples_percentile(&load->latencies, 50),
               samples_percentile(&load->latencies, 90), samples_percentile(&load->latencies, 99),
               samples_percentile(&load->latencies, 100),
               load->done ? (double) load->own_ns / NS_PER_US / (double) load->done : 0.0);
        report_watched(load);
        printf("]}\n");
}

/* ---- options ---- */

static const char usage_text[] =
        "bench-load --make-csrs COUNT FILE\n"
        "bench-load --unix PATH|--tcp ADDRESS:PORT --csrs FILE [--api cad|cad-pem|cfssl]\n"
        "           [--connections 32] [--seconds 4 | --count N [--timeout 600]] [--warmup 0.5]\n"
        "           [--pids PID,PID...] [--save FILE]\n"
        "\n"
        "Posts the CSRs of FILE in turn over kept-alive connections and prints one line of JSON:\n"
        "answers a second, latencies in microseconds, and for each PID processor time a request\n"
        "and resident memory. --warmup seconds come before the clock starts. --save keeps the\n"
        "body of the first good answer.\n";

static const struct api *api_find(const char *name) {
        for (size_t i = 0; i < ARRAY_SIZE(apis); i++)
                if (strcmp(apis[i].name, name) == 0)
                        return &apis[i];
        die("--api '%s' is unknown; known are cad, cad-pem and cfssl", name);
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
                options->unix_path = value;
                break;
        case 't':
                options->tcp = value;
                break;
        case 'a':
                options->api = api_find(value);
                break;
        case 'f':
                options->csrs = value;
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
                { "api", required_argument, NULL, 'a' },
                { "csrs", required_argument, NULL, 'f' },
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
        if (optind != argc || !options->csrs || !options->unix_path == !options->tcp) {
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
        if (options.count)
                options.warmup_s = 0;
        requests_make(&load);
        load_run(&load);
        report(&load);

        for (unsigned i = 0; i < options.connections; i++)
                if (load.connections[i].fd >= 0)
                        close(load.connections[i].fd);
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
