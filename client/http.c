/*
 * The way to the CA: finding its socket, or a URL whose root is given, pinned or trusted by the system.
 *
 * Nothing that comes back is believed here; only its size is bounded. It must never send anything to a
 * server whose root was to be pinned and is another one.
 */
#include "http.h"

#include <curl/curl.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "connect_guard.h"
#include "files.h"
#include "lib/base/file.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/cert.h"
#include "lib/pki/fingerprint_words.h"
#include "lib/pki/pem.h"
#include "output.h"
#include "place.h"
#include "root_fetch.h"
#include "show.h"
#include "trust_clock.h"
#include "url.h"

#define CONNECT_TIMEOUT_S 10L
#define CONNECT_GUARD_S 12u /* for what the one above does not end */
#define SAVE_TIMEOUT_S 600L /* a large store is copied before its first byte comes */
#define CALL_TIMEOUT_S 60L  /* the slowest answer is a signature behind a full queue */
#define PLACE_MAX 4096      /* bytes with NUL of a path or URL */
#define CANDIDATES_MAX 2
#define DESCRIPTOR_PATH_MAX 32

struct http {
        CURL *curl;
        char place[PLACE_MAX];
        bool by_socket;
        long limit_ms;            /* of a call; 0: as long as is usual */
        int root_fd;              /* memfd of the root that a fingerprint pinned; -1: none */
        struct place at;          /* what is known of a CA on the network */
        struct buffer passphrase; /* of the client certificate's key */
        char problem[CURL_ERROR_SIZE];
        const char *bearer; /* NULL: none; for one call */
};

struct http *http_free(struct http *h) {
        if (!h)
                return NULL;
        curl_easy_cleanup(h->curl);
        (void) fd_close(h->root_fd);
        place_done(&h->at);
        buffer_wipe(&h->passphrase);
        free(h);
        return NULL;
}

void http_answer_done(struct http_answer *answer) {
        buffer_done(&answer->body);
}

const char *http_place(const struct client *c) {
        return c->http ? c->http->place : "";
}

bool http_by_socket(const struct client *c) {
        return c->http && c->http->by_socket;
}

bool http_shows_certificate(const struct client *c) {
        return c->http && !c->http->by_socket && c->http->at.certificate;
}

/* ---- a URL ---- */

static enum result take_url(struct http *h, const char *text) {
        size_t length = strlen(text);
        bool good = url_names_server(text);

        while (length && text[length - 1] == '/')
                length--;
        if (!good || length >= sizeof(h->place))
                return fail(WRONG_USAGE, "--url %s: write it as https://NAME[:PORT]", text);
        memcpy(h->place, text, length);
        h->place[length] = '\0';
        return DONE;
}

/* ---- finding the socket ---- */

struct candidate {
        char path[PLACE_MAX];
        int error; /* errno of connecting */
};

/* Connects and hangs up. Return: 0 or errno */
static int try_socket(const char *path) {
        CAD_AUTO(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const struct timeval patience = { .tv_sec = CONNECT_TIMEOUT_S };
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct stat st;

        if (fd < 0)
                return errno;
        if (strlen(path) >= sizeof(address.sun_path))
                return ENAMETOOLONG;
        if (stat(path, &st) < 0)
                return errno;
        if (!S_ISSOCK(st.st_mode))
                return ENOTSOCK;
        memcpy(address.sun_path, path, strlen(path) + 1);
        (void) setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
        return connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0 ? errno : 0;
}

static size_t add_candidate(struct candidate *all, size_t count, const char *folder,
                            const char *rest) {
        int n = snprintf(all[count].path, sizeof(all[count].path), "%s%s", folder, rest);

        return n > 0 && (size_t) n < sizeof(all[count].path) ? count + 1 : count;
}

static size_t list_candidates(const struct client *c, struct candidate *all) {
        const char *named = option_value(c, "socket"), *state = getenv("XDG_STATE_HOME"),
                   *home = getenv("HOME");
        size_t count = 0;

        if (!named)
                named = getenv("CAD_SOCKET");
        if (named && *named)
                return add_candidate(all, 0, named, "");
        count = add_candidate(all, count, "/run/cad", "/cad.sock");
        if (state && *state == '/')
                return add_candidate(all, count, state, "/cad/cad.sock");
        if (home && *home == '/')
                return add_candidate(all, count, home, "/.local/state/cad/cad.sock");
        return count;
}

static const char *why_not(int error) {
        switch (error) {
        case ENOENT:
        case ENOTDIR:
                return "is not there";
        case ECONNREFUSED:
                return "nobody listens on it any more";
        case ENOTSOCK:
                return "is not a socket";
        case EAGAIN:
        case ETIMEDOUT:
                return "does not answer";
        case ENAMETOOLONG:
                return "is longer than the 107 bytes that a socket's path may have";
        default:
                return strerror(error);
        }
}

/* "You are anna (uid 1000) and may not open …: it is for root and the group cad": */
static enum result say_no_permission(const char *path) {
        const struct passwd *user = getpwuid(geteuid());
        const char *name = user ? user->pw_name : "unknown";
        const struct group *group;
        struct stat st;

        if (stat(path, &st) < 0)
                return fail(
                        UNREACHABLE,
                        "%s (uid %u) may not look into the folder of %s: run this as the user that cad runs as, or with sudo",
                        name, (unsigned) geteuid(), path);
        group = getgrgid(st.st_gid);
        if (group && st.st_gid != 0)
                return fail(
                        UNREACHABLE,
                        "%s (uid %u) may not open %s: it is for the group %s, so 'sudo usermod -aG %s %s' and log in again, or use sudo",
                        name, (unsigned) geteuid(), path, group->gr_name, group->gr_name, name);
        return fail(UNREACHABLE,
                    "%s (uid %u) may not open %s: run this as its owner (uid %u) or with sudo",
                    name, (unsigned) geteuid(), path, (unsigned) st.st_uid);
}

static enum result say_none_found(const struct candidate *all, size_t count, bool chosen) {
        CAD_AUTO(buffer_done) struct buffer tried = { 0 };

        for (size_t i = 0; i < count; i++)
                if (all[i].error == EACCES || all[i].error == EPERM)
                        return say_no_permission(all[i].path);
        for (size_t i = 0; i < count; i++)
                buffer_format(&tried, "%s%s %s", i ? ", " : "", all[i].path, why_not(all[i].error));
        return fail(UNREACHABLE, "no cad answers: %s; start it ('cad', or 'systemctl start cad')%s",
                    buffer_string(&tried),
                    chosen ? " or name another socket"
                           : ", or say where it is with --socket PATH, --url URL or $CAD_SOCKET");
}

/* The socket of a cad on this machine; without one, the CA that cactl.conf names. */
static enum result find_socket(struct client *c, struct http *h) {
        struct candidate all[CANDIDATES_MAX] = { 0 };
        const char *environment = getenv("CAD_SOCKET");
        size_t count = list_candidates(c, all);
        bool chosen = option_given(c, "socket") || (environment && *environment);

        for (size_t i = 0; i < count; i++) {
                all[i].error = try_socket(all[i].path);
                if (all[i].error)
                        continue;
                memcpy(h->place, all[i].path, sizeof(h->place));
                h->by_socket = true;
                return DONE;
        }
        if (chosen || !h->at.url)
                return say_none_found(all, count, chosen);
        return take_url(h, h->at.url);
}

bool http_there(const struct client *c) {
        CAD_AUTO(place_done) struct place at = { 0 };
        struct candidate all[CANDIDATES_MAX] = { 0 };
        const char *environment = getenv("CAD_SOCKET");
        size_t count = list_candidates(c, all);

        if (global_option_value(c, "url") || global_option_value(c, "socket") ||
            (environment && *environment))
                return true;
        for (size_t i = 0; i < count; i++)
                if (try_socket(all[i].path) == 0)
                        return true;
        return place_read(c, &at) == DONE && at.url;
}

/* ---- one call ---- */

static size_t take_body(char *data, size_t one, size_t size, void *context) {
        struct http_answer *answer = context;

        (void) one;
        if (text_equal(answer->content_type, answer->request->save_type)) {
                if (fd_write_all(answer->request->save_fd, BYTES(data, size)) < 0)
                        return 0;
                answer->saved += size;
                return size;
        }
        if (size > ANSWER_MAX - answer->body.size)
                return 0;
        buffer_append(&answer->body, BYTES(data, size));
        return answer->body.failed ? 0 : size;
}

/* Copies the value of a header line "Name: value" where the name fits. */
static void take_value(const char *line, size_t size, const char *name, char *ret) {
        size_t skip = strlen(name), end = size;

        if (size <= skip || strncasecmp(line, name, skip) != 0)
                return;
        while (skip < size && line[skip] == ' ')
                skip++;
        while (end > skip &&
               (line[end - 1] == '\r' || line[end - 1] == '\n' || line[end - 1] == ' '))
                end--;
        (void) text_printable(BYTES(line + skip, end - skip), ret, HEADER_VALUE_MAX);
}

static size_t take_header(char *line, size_t one, size_t size, void *context) {
        struct http_answer *answer = context;

        (void) one;
        take_value(line, size, "Content-Type:", answer->content_type);
        answer->content_type[strcspn(answer->content_type, "; ")] = '\0';
        text_lower(answer->content_type);
        take_value(line, size, "Retry-After:", answer->retry_after);
        take_value(line, size, "Date:", answer->date);
        return size;
}

static void set_where(struct http *h) {
        const char *root = h->at.root;
        char path[DESCRIPTOR_PATH_MAX];

        curl_easy_setopt(h->curl, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(h->curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(h->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
        curl_easy_setopt(h->curl, CURLOPT_TIMEOUT, CALL_TIMEOUT_S);
        if (h->limit_ms)
                curl_easy_setopt(h->curl, CURLOPT_TIMEOUT_MS, h->limit_ms);
        curl_easy_setopt(h->curl, CURLOPT_USERAGENT, "cactl/" CAD_VERSION);
        curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, h->problem);
        if (h->by_socket) {
                curl_easy_setopt(h->curl, CURLOPT_UNIX_SOCKET_PATH, h->place);
                curl_easy_setopt(h->curl, CURLOPT_PROXY, "");
        }
        if (h->root_fd >= 0) {
                (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", h->root_fd);
                root = path;
        }
        if (root) {
                curl_easy_setopt(h->curl, CURLOPT_CAINFO, root);
                curl_easy_setopt(h->curl, CURLOPT_CAPATH, (char *) NULL);
        }
}

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value) {
        CAD_AUTO(buffer_done) struct buffer line = { 0 };
        struct curl_slist *longer;

        if (!value)
                return list;
        buffer_format(&line, "%s: %s", name, value);
        longer = curl_slist_append(list, buffer_string(&line));
        return longer ? longer : list;
}

static CURLcode perform(struct http *h, const struct http_request *request,
                        struct http_answer *ret) {
        CAD_AUTO(buffer_done) struct buffer url = { 0 };
        CAD_AUTO(buffer_wipe) struct buffer bearer = { 0 };
        struct curl_slist *headers = NULL;
        CURLcode code;

        headers = add_header(headers, "Accept", request->accept);
        headers = add_header(headers, "Content-Type", request->content_type);
        headers = add_header(headers, "Idempotency-Key", request->idempotency_key);
        if (h->bearer) {
                buffer_format(&bearer, "Bearer %s", h->bearer);
                headers = add_header(headers, "Authorization", buffer_string(&bearer));
        }
        buffer_format(&url, "%s%s", h->by_socket ? "http://localhost" : h->place, request->path);
        if (url.failed)
                return CURLE_OUT_OF_MEMORY;

        curl_easy_setopt(h->curl, CURLOPT_URL, buffer_string(&url));
        curl_easy_setopt(h->curl, CURLOPT_HTTPGET, 1L);
        if (request->content_type) {
                curl_easy_setopt(h->curl, CURLOPT_POST, 1L);
                curl_easy_setopt(h->curl, CURLOPT_POSTFIELDS, request->body.data);
                curl_easy_setopt(h->curl, CURLOPT_POSTFIELDSIZE_LARGE,
                                 (curl_off_t) request->body.size);
        }
        curl_easy_setopt(h->curl, CURLOPT_CUSTOMREQUEST, request->method);
        curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, headers);
        if (request->save_type) { /* as long as it moves */
                curl_easy_setopt(h->curl, CURLOPT_TIMEOUT, 0L);
                curl_easy_setopt(h->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
                curl_easy_setopt(h->curl, CURLOPT_LOW_SPEED_TIME, SAVE_TIMEOUT_S);
        }
        ret->request = request;
        curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, take_body);
        curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, ret);
        curl_easy_setopt(h->curl, CURLOPT_HEADERFUNCTION, take_header);
        curl_easy_setopt(h->curl, CURLOPT_HEADERDATA, ret);
        h->problem[0] = '\0';
        if (!h->by_socket)
                connect_guard_arm(h->curl, CONNECT_GUARD_S);
        code = curl_easy_perform(h->curl);
        connect_guard_disarm();
        (void) curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &ret->status);
        curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, (struct curl_slist *) NULL);
        curl_slist_free_all(headers);
        return code;
}

static const struct {
        CURLcode code;
        enum result result;
        const char *text;
        const char *way_out;
} curl_problems[] = {
        { CURLE_COULDNT_RESOLVE_HOST, UNREACHABLE, "the name cannot be resolved",
          "check the name in --url" },
        { CURLE_COULDNT_RESOLVE_PROXY, UNREACHABLE, "the proxy's name cannot be resolved",
          "check $https_proxy and $no_proxy" },
        { CURLE_COULDNT_CONNECT, UNREACHABLE, "cannot connect",
          "is cad running there, and on that port?" },
        { CURLE_OPERATION_TIMEDOUT, UNREACHABLE, "no answer in time",
          "look at cad's log, then try again" },
        { CURLE_PEER_FAILED_VERIFICATION, UNREACHABLE, "its TLS certificate is not verified",
          "give its root with --root FILE (in cactl.conf: Root=), or pin it with --fingerprint HEX ('cactl ca fingerprint' on the CA's machine)" },
        { CURLE_SSL_CONNECT_ERROR, UNREACHABLE, "the TLS handshake failed",
          "is that its HTTPS port?" },
        { CURLE_SSL_CERTPROBLEM, WRONG_USAGE, "the client certificate cannot be used",
          "--cert is a PEM file with the certificate and its chain, --key the key that fits it" },
        { CURLE_SSL_CACERT_BADFILE, WRONG_USAGE, "--root cannot be read",
          "name a PEM file with the root certificate" },
        { CURLE_GOT_NOTHING, UNREACHABLE, "the connection was closed without an answer",
          "look at cad's log, then try again" },
        { CURLE_SEND_ERROR, UNREACHABLE, "the connection broke",
          "look at cad's log, then try again" },
        { CURLE_RECV_ERROR, UNREACHABLE, "the connection broke",
          "look at cad's log, then try again" },
        { CURLE_PARTIAL_FILE, UNREACHABLE, "the connection broke within the answer",
          "look at cad's log, then try again" },
        { CURLE_UNSUPPORTED_PROTOCOL, UNREACHABLE, "what answers there does not speak HTTP",
          "name cad's own socket or port" },
        { CURLE_WEIRD_SERVER_REPLY, UNREACHABLE, "what answers there does not speak HTTP",
          "name cad's own socket or port" },
        { CURLE_WRITE_ERROR, REFUSED, "the answer is longer than 16 MiB",
          "ask for less with --limit" },
};

/* A certificate that is not verified may be one that is not valid yet, or any more: libcurl does not say so. */
static void tell_clock(CURLcode code, struct buffer *out) {
        char now[MOMENT_TEXT_MAX];

        if (code == CURLE_PEER_FAILED_VERIFICATION)
                buffer_format(out, "; this machine's clock says %s",
                              moment_format(moment_now() < 0 ? 0 : moment_now(), now));
}

static enum result say_curl_problem(const struct http *h, CURLcode code) {
        CAD_AUTO(buffer_done) struct buffer clock = { 0 };

        tell_clock(code, &clock);
        for (size_t i = 0; i < ARRAY_SIZE(curl_problems); i++)
                if (curl_problems[i].code == code)
                        return fail(curl_problems[i].result, "%s: %s%s%s%s: %s%s", h->place,
                                    curl_problems[i].text,
                                    h->problem[0] && !h->by_socket ? " (" : "",
                                    h->by_socket ? "" : h->problem,
                                    h->problem[0] && !h->by_socket ? ")" : "",
                                    curl_problems[i].way_out, buffer_string(&clock));
        return fail(UNREACHABLE, "%s: %s: check --socket or --url", h->place,
                    h->problem[0] ? h->problem : curl_easy_strerror(code));
}

static bool worth_a_second_try(const struct http_request *request, CURLcode code) {
        bool safe = text_equal(request->method, "GET") || request->idempotency_key;

        return safe &&
                (code == CURLE_GOT_NOTHING || code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR);
}

static enum result call(struct http *h, const struct http_request *request,
                        struct http_answer *ret) {
        const struct timespec pause = { .tv_nsec = 300 * 1000 * 1000 };
        CURLcode code = perform(h, request, ret);

        if (worth_a_second_try(request, code)) {
                (void) nanosleep(&pause, /* rmtp= */ NULL);
                http_answer_done(ret);
                *ret = (struct http_answer){ 0 };
                code = perform(h, request, ret);
        }
        return code == CURLE_OK ? DONE : say_curl_problem(h, code);
}

/* ---- a root that is known by its fingerprint ---- */

static enum result check_root(struct http *h, struct bytes der, const struct fingerprint *pinned,
                              struct buffer *ret_pem) {
        uint8_t digest[SHA256_SIZE];

        cert_fingerprint(der, digest);
        if (!fingerprint_fits(pinned, digest))
                return fail(
                        REFUSED,
                        "the root of %s has another fingerprint than --fingerprint says: this is not your CA, or somebody is between; nothing was sent to it",
                        h->place);
        pem_append(ret_pem, "CERTIFICATE", der);
        return DONE;
}

/* The root is fetched from the unverified server, compared, and from then on the only one that is trusted. */
static enum result pin_root(struct http *h, const char *fingerprint) {
        CAD_AUTO(buffer_done) struct buffer der = { 0 }, pem = { 0 };
        struct fingerprint pinned;
        struct error err = { 0 };
        enum result result;

        if (fingerprint_parse(fingerprint, &pinned, &err) < 0)
                return fail(WRONG_USAGE, "--fingerprint: %s", err.text);
        result = root_fetch(h->place, &der);
        if (result == DONE)
                result = check_root(h, buffer_bytes(&der), &pinned, &pem);
        if (result != DONE)
                return result;
        h->root_fd = memfd_create("cactl-root", MFD_CLOEXEC);
        if (h->root_fd < 0 || fd_write_all(h->root_fd, buffer_bytes(&pem)) < 0)
                return fail(REFUSED, "cannot keep the root: %s", strerror(errno));
        return DONE;
}

/* Only now: whoever was asked for an unverified root has not seen who asks. */
static enum result set_identity(struct http *h) {
        enum result result;

        if (h->by_socket || !h->at.certificate)
                return DONE;
        if (strncasecmp(h->place, "https://", 8) != 0)
                return fail(WRONG_USAGE, "%s: a client certificate can only be shown over https://",
                            h->place);
        result = place_check_key(&h->at, &h->passphrase);
        if (result != DONE)
                return result;
        curl_easy_setopt(h->curl, CURLOPT_SSLCERT, h->at.certificate);
        curl_easy_setopt(h->curl, CURLOPT_SSLKEY, h->at.key ? h->at.key : h->at.certificate);
        if (h->passphrase.size)
                curl_easy_setopt(h->curl, CURLOPT_KEYPASSWD, buffer_string(&h->passphrase));
        return DONE;
}

/* ---- a clock that cannot be right ---- */

/* The certificates that the server showed in the last handshake, its own first. */
static int shown_certificates(struct http *h, struct certs *ret, struct error *err) {
        static const char label[] = "Cert:";
        struct curl_certinfo *info = NULL;

        if (curl_easy_getinfo(h->curl, CURLINFO_CERTINFO, &info) != CURLE_OK || !info)
                return error_set(err, ERR_INTERNAL, "libcurl does not tell");
        for (int i = 0; i < info->num_of_certs; i++)
                for (const struct curl_slist *s = info->certinfo[i]; s; s = s->next)
                        if (strncmp(s->data, label, sizeof(label) - 1) == 0 &&
                            certs_from_text(ret, bytes_of(s->data + sizeof(label) - 1),
                                            "the server's certificate", err) < 0)
                                return -1;
        return 0;
}

/* The key that the server is held to from now on, and the time that is taken for now: see trust_clock.h. */
static enum result trust_clock_of_server(struct client *c, struct http *h, struct bytes root) {
        const struct http_request request = { .method = "GET", .path = "/v1/health" };
        CAD_AUTO(http_answer_done) struct http_answer answer = { 0 };
        CAD_AUTO(certs_done) struct certs chain = { 0 };
        char pin[TRUST_CLOCK_PIN_MAX], ours[MOMENT_TEXT_MAX], theirs[MOMENT_TEXT_MAX];
        struct error err = { 0 };
        enum result result;
        int64_t told;

        curl_easy_setopt(h->curl, CURLOPT_SSL_VERIFYPEER, 0L); /* VERIFYHOST stays */
        curl_easy_setopt(h->curl, CURLOPT_FORBID_REUSE, 1L);
        curl_easy_setopt(h->curl, CURLOPT_CERTINFO, 1L);
        result = call(h, &request, &answer);
        curl_easy_setopt(h->curl, CURLOPT_FORBID_REUSE, 0L);
        curl_easy_setopt(h->curl, CURLOPT_CERTINFO, 0L);
        if (result != DONE)
                return result;
        told = curl_getdate(answer.date, /* now= */ NULL);
        (void) moment_format(moment_now() < 0 ? 0 : moment_now(), ours);
        if (shown_certificates(h, &chain, &err) < 0 ||
            trust_clock_verify(&chain, root, told, pin, &err) < 0)
                return fail(UNREACHABLE,
                            "%s: %s (this machine's clock says %s, which cannot be: set it)",
                            h->place, err.text, ours);
        curl_easy_setopt(h->curl, CURLOPT_PINNEDPUBLICKEY, pin);
        if (trust_clock_needed(c->now, root)) /* once a run */
                say(c,
                    "this machine's clock says %s, which cannot be; the CA's says %s, which is taken",
                    ours, moment_format(told, theirs));
        c->now = told;
        return DONE;
}

static enum result look_at_clock(struct client *c, struct http *h) {
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };
        CAD_AUTO(certs_done) struct certs root = { 0 };
        char path[DESCRIPTOR_PATH_MAX] = "";
        struct error err = { 0 };

        if (h->root_fd >= 0)
                (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", h->root_fd);
        else if (!h->at.root)
                return DONE; /* what the system trusts is judged by the system's clock */
        if (input_read(path[0] ? path : h->at.root, &pem, &err) < 0 ||
            certs_from_text(&root, buffer_bytes(&pem), path[0] ? "the root" : h->at.root, &err) < 0)
                return DONE; /* libcurl says it */
        /* not c->now, which may be the CA's by now */
        if (root.count != 1 || !trust_clock_needed(moment_now(), buffer_bytes(&root.der[0])))
                return DONE;
        return trust_clock_of_server(c, h, buffer_bytes(&root.der[0]));
}

/* ---- opening ---- */

static enum result find_place(struct client *c, struct http *h) {
        const char *url = option_value(c, "url");
        enum result result = c->at ? place_copy(c->at, &h->at) : place_read(c, &h->at);

        if (result != DONE)
                return result;
        if (c->at)
                url = h->at.url;
        return url ? take_url(h, url) : find_socket(c, h);
}

/* Return: NULL after saying why */
static struct http *http_make(void) {
        CAD_AUTO(http_free) struct http *h = calloc(1, sizeof(*h));

        if (!h) {
                (void) fail(REFUSED, "out of memory");
                return NULL;
        }
        h->root_fd = -1;
        h->curl = curl_easy_init();
        if (!h->curl) {
                (void) fail(REFUSED, "libcurl cannot be used");
                return NULL;
        }
        return CAD_TAKE(h);
}

/* The root that is trusted, and the clock. */
static enum result set_trust(struct client *c, struct http *h) {
        if (h->by_socket)
                return DONE;
        if (h->at.fingerprint) {
                enum result result = pin_root(h, h->at.fingerprint);

                if (result != DONE)
                        return result;
                set_where(h);
        }
        return strncasecmp(h->place, "https://", 8) == 0 ? look_at_clock(c, h) : DONE;
}

static enum result http_open(struct client *c, struct http **ret) {
        CAD_AUTO(http_free) struct http *h = http_make();
        enum result result;

        if (!h)
                return REFUSED;
        h->limit_ms = c->limit_ms;
        result = find_place(c, h);
        if (result != DONE)
                return result;
        set_where(h);
        result = set_trust(c, h);
        if (result == DONE)
                result = set_identity(h);
        if (result != DONE)
                return result;
        *ret = CAD_TAKE(h);
        return DONE;
}

enum result http_call(struct client *c, const struct http_request *request,
                      struct http_answer *ret) {
        enum result result;

        c->status = 0;
        if (!c->http) {
                result = http_open(c, &c->http);
                if (result != DONE || !c->http)
                        return result;
        }
        c->http->bearer = c->bearer;
        result = call(c->http, request, ret);
        c->status = result == DONE ? ret->status : 0;
        return result;
}
