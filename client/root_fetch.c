/*
 * Fetching a root from a server that nobody vouches for: see root_fetch.h.
 *
 * The server may be hostile: time, size and count of what it sends are bounded, and nothing of it is interpreted but PEM's armour. Its TLS
 * is spoken in a process apart, which is killed when time is up: GnuTLS would check a signature of a monstrous key for days.
 */
#include "root_fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "output.h"
#include "show.h"
#include "url.h"

#define URL_MAX 1024 /* bytes with NUL */
#define SAID_MAX 256
#define APART_LIMIT_MS \
        (ROOT_FETCH_TIMEOUT_S * 1000 + 1500) /* libcurl's own limit comes first where it can */

/* How it went, as it comes out of the process apart; the body follows. */
struct outcome {
        CURLcode code;
        long status;
        char problem[CURL_ERROR_SIZE];
};

struct fetch {
        char url[URL_MAX];
        struct buffer body;
        struct outcome outcome;
};

static void fetch_done(struct fetch *f) {
        buffer_done(&f->body);
}
CAD_CLEANUP_DONE(struct fetch, fetch_done)

/* ---- where ---- */

static enum result take_url(struct fetch *f, const char *text) {
        bool secure = strncasecmp(text, "https://", 8) == 0;
        size_t length = strlen(text);

        while (length && text[length - 1] == '/')
                length--;
        if (length >= URL_MAX / 2 || !url_names_server(text))
                return fail(WRONG_USAGE, "--url %s: write it as http(s)://NAME[:PORT]", text);
        (void) snprintf(f->url, sizeof(f->url), "%.*s%s", (int) length, text,
                        secure ? "/v1/ca/root.pem" : "/root.crt");
        return DONE;
}

/* ---- what comes ---- */

static size_t take_body(char *data, size_t one, size_t size, void *context) {
        struct fetch *f = context;

        (void) one;
        if (size > ROOT_FETCH_MAX - f->body.size)
                return 0;
        buffer_append(&f->body, BYTES(data, size));
        return f->body.failed ? 0 : size;
}

static enum result say_problem(const struct fetch *f, CURLcode code) {
        char said[SAID_MAX];

        if (code == CURLE_WRITE_ERROR)
                return fail(REFUSED,
                            "%s sends more than %u bytes, which is no root certificate: is this a "
                            "cad?",
                            f->url, ROOT_FETCH_MAX);
        if (code == CURLE_OPERATION_TIMEDOUT)
                return fail(UNREACHABLE,
                            "%s did not give its root within %ld s: is cad running there, and on "
                            "that port?",
                            f->url, ROOT_FETCH_TIMEOUT_S);
        (void) text_printable(bytes_of(f->outcome.problem[0] ? f->outcome.problem
                                                             : curl_easy_strerror(code)),
                              said, sizeof(said));
        return fail(UNREACHABLE,
                    "%s cannot be fetched (%s): is cad running there, and on that "
                    "port?",
                    f->url, said);
}

static void set_up(CURL *curl, struct fetch *f) {
        curl_easy_setopt(curl, CURLOPT_URL, f->url);
        curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, ROOT_FETCH_TIMEOUT_S);
        curl_easy_setopt(curl, CURLOPT_USERAGENT, "cactl/" CAD_VERSION);
        curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, f->outcome.problem);
        /* what comes is held against a fingerprint; there is nothing yet that could verify the server */
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, f);
}

static void perform(struct fetch *f) {
        CURL *curl = curl_easy_init();

        f->outcome.code = CURLE_FAILED_INIT;
        if (!curl)
                return;
        set_up(curl, f);
        f->outcome.code = curl_easy_perform(curl);
        (void) curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &f->outcome.status);
        curl_easy_cleanup(curl);
}

static _Noreturn void perform_apart(struct fetch *f, int report) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        perform(f);
        (void) (fd_write_all(report, BYTES(&f->outcome, sizeof(f->outcome))) < 0 ||
                fd_write_all(report, buffer_bytes(&f->body)) < 0);
        _exit(0);
}

/* Return: whether its end came in time */
static bool collect(int fd, struct buffer *ret) {
        int64_t until_ms = moment_monotonic_ms() + APART_LIMIT_MS;

        for (;;) {
                int64_t left_ms = until_ms - moment_monotonic_ms();
                struct pollfd wait = { .fd = fd, .events = POLLIN };
                uint8_t part[4096];
                ssize_t n;

                if (left_ms <= 0)
                        return false;
                if (poll(&wait, 1, (int) left_ms) <= 0)
                        continue;
                n = read(fd, part, sizeof(part));
                if (n == 0)
                        return true;
                if (n > 0)
                        buffer_append(ret, BYTES(part, (size_t) n));
                else if (errno != EINTR)
                        return true;
        }
}

/* What came through the pipe becomes @f's. */
static void take_outcome(struct fetch *f, const struct buffer *all, bool in_time) {
        if (!in_time) {
                f->outcome.code = CURLE_OPERATION_TIMEDOUT;
        } else if (all->failed || all->size < sizeof(f->outcome)) {
                f->outcome.code = CURLE_RECV_ERROR;
        } else {
                memcpy(&f->outcome, all->data, sizeof(f->outcome));
                buffer_append(&f->body,
                              BYTES(all->data + sizeof(f->outcome),
                                    all->size - sizeof(f->outcome)));
        }
}

static enum result run_apart(struct fetch *f) {
        CAD_AUTO(buffer_done) struct buffer all = { 0 };
        CAD_AUTO(fd_close) int reader = -1;
        bool in_time;
        int ends[2];
        pid_t pid;

        if (pipe2(ends, O_CLOEXEC) < 0)
                return fail(REFUSED, "cannot make a pipe: %s", strerror(errno));
        reader = ends[0];
        (void) fflush(NULL);
        pid = fork();
        if (pid == 0)
                perform_apart(f, ends[1]);
        (void) fd_close(ends[1]);
        if (pid < 0)
                return fail(REFUSED, "cannot start a process: %s", strerror(errno));
        in_time = collect(reader, &all);
        if (!in_time)
                (void) kill(pid, SIGKILL);
        while (waitpid(pid, /* status= */ NULL, 0) < 0 && errno == EINTR)
                continue;
        take_outcome(f, &all, in_time);
        return DONE;
}

static enum result transfer(struct fetch *f) {
        enum result result = run_apart(f);

        if (result != DONE)
                return result;
        if (f->outcome.code != CURLE_OK)
                return say_problem(f, f->outcome.code);
        if (f->outcome.status != 200)
                return fail(REFUSED, "%s answers with status %ld and no root: is this a cad?",
                            f->url, f->outcome.status);
        return DONE;
}

enum result root_fetch(const char *url, struct buffer *ret_der) {
        CAD_AUTO(fetch_done) struct fetch f = { .url = "" };
        CAD_AUTO(certs_done) struct certs certs = { 0 };
        struct error err = { 0 };
        enum result result = take_url(&f, url);

        if (result == DONE)
                result = transfer(&f);
        if (result != DONE)
                return result;
        if (certs_from_text(&certs, buffer_bytes(&f.body), f.url, &err) < 0)
                return fail(REFUSED, "%s gives no certificate: %s", f.url, err.text);
        /* this one alone: more than one may have come */
        buffer_append(ret_der, buffer_bytes(&certs.der[0]));
        return ret_der->failed ? fail(REFUSED, "out of memory") : DONE;
}
