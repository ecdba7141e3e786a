/*
 * Answers of the CA: JSON that is not trusted, problem documents (RFC 9457) that become one sentence with a way out.
 */
#include "api.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "http.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "output.h"

#define IDEMPOTENCY_KEY_OCTETS 16

const char *api_text(const json_t *object, const char *key) {
        const char *text = json_string_value(json_object_get(object, key));

        return text ? text : "";
}

const char *api_texts(const json_t *object, const char *key, struct buffer *out) {
        const json_t *value;
        size_t i;

        json_array_foreach(json_object_get(object, key), i, value) {
                const char *text = json_string_value(value);

                buffer_format(out, "%s%s", i ? ", " : "", text ? text : "?");
        }
        return buffer_string(out);
}

int api_time(const json_t *object, const char *key, int64_t *ret) {
        struct error ignored = { 0 };

        return moment_parse(api_text(object, key), ret, &ignored);
}

void query_add(struct buffer *path, const char *name, const char *value) {
        static const char plain[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~*";

        if (!value)
                return;
        buffer_format(path, "%c%s=", memchr(path->data, '?', path->size) ? '&' : '?', name);
        for (; *value; value++) {
                if (strchr(plain, *value))
                        buffer_format(path, "%c", *value);
                else
                        buffer_format(path, "%%%02X", (unsigned) (uint8_t) *value);
        }
}

enum result api_pages(struct client *c, const struct buffer *base, api_page each, void *data,
                      char **ret_next) {
        CAD_AUTO(free_text) char *cursor = NULL;
        bool go_on = true;

        for (;;) {
                CAD_AUTO(buffer_done) struct buffer path = { 0 };
                CAD_AUTO(json_free) json_t *page = NULL;
                CAD_AUTO(free_text) char *next = NULL;
                enum result result;

                buffer_append(&path, buffer_bytes(base));
                query_add(&path, "cursor", cursor);
                result = api_get(c, buffer_string(&path), &page);
                if (result == DONE)
                        result = each(c, page, data, &go_on);
                if (result != DONE)
                        return result;
                if (*api_text(page, "next") && !(next = strdup(api_text(page, "next"))))
                        return fail(REFUSED, "out of memory");
                /* a cursor that does not move would go on for ever */
                if (!next || !go_on || output_broken() || text_equal(next, cursor)) {
                        *ret_next = CAD_TAKE(next);
                        return DONE;
                }
                (void) free_text(cursor);
                cursor = CAD_TAKE(next);
        }
}

int serial_parse(const char *text, char *out) {
        size_t used = 0;

        for (; *text; text++) {
                if (*text == ':')
                        continue;
                if (!strchr("0123456789abcdefABCDEF", *text) || used + 1 == SERIAL_TEXT_MAX)
                        return -1;
                out[used++] = *text;
        }
        out[used] = '\0';
        text_lower(out);
        return used && used % 2 == 0 ? 0 : -1;
}

/* ---- problems ---- */

/* What to do, where the document's own detail cannot know it: by slug, then by status. */
static const struct {
        const char *slug;
        const char *way_out;
} problem_ways[] = {
        { "profile-unknown", "'cactl profile list' shows what there is" },
        { "name-not-allowed", "'cactl profile show NAME' shows what a profile allows" },
        { "overloaded", "try again" },
        { "stopping", "try again" },
        { "signer-unavailable", "try again; 'cactl status' shows whether it is back" },
        { "store-full", "make room on the CA's disk, then try again" },
};

static const char *way_out_of(const char *type) {
        static const char prefix[] = "urn:cad:problem:";

        if (strncmp(type, prefix, sizeof(prefix) - 1) != 0)
                return NULL;
        for (size_t i = 0; i < ARRAY_SIZE(problem_ways); i++)
                if (text_equal(type + sizeof(prefix) - 1, problem_ways[i].slug))
                        return problem_ways[i].way_out;
        return NULL;
}

/* Where cad has said why: root on the socket has every role, and a field that is named is what was asked for. No role would help. */
static bool role_would_help(const struct client *c, const json_t *problem) {
        return !*api_text(problem, "detail") ||
                (!*api_text(problem, "field") && !(http_by_socket(c) && geteuid() == 0));
}

/* "; you are anna (uid 1000): an administrator …" */
static void tell_who(const struct client *c, struct buffer *out) {
        const struct passwd *user = getpwuid(geteuid());

        if (!http_by_socket(c)) { /* cad has said all about a certificate that was shown */
                if (!http_shows_certificate(c) && !c->bearer)
                        buffer_text(
                                out,
                                "; give a certificate of the profile admin with --cert FILE --key FILE, or in cactl.conf");
                return;
        }
        buffer_format(
                out,
                "; you are %s (uid %u): run this as root or as cad's own user, or have 'Operator=uid:%s' put under [Access] in cad.conf",
                user ? user->pw_name : "unknown", (unsigned) geteuid(),
                user ? user->pw_name : "NAME");
}

static void tell_details(const json_t *problem, struct buffer *out) {
        const char *detail = api_text(problem, "detail"), *field = api_text(problem, "field"),
                   *id = api_text(problem, "request_id");

        if (*detail)
                buffer_format(out, ": %s", detail);
        if (*field || *id)
                buffer_format(out, " (%s%s%s%s%s)", *field ? "field " : "", field,
                              *field && *id ? ", " : "", *id ? "request " : "", id);
}

/* The port for plain HTTP knows no path of the API. Its host is where HTTPS is, on a port that is cad's own choice unless it was set. */
static bool asked_plain_http(const struct client *c, const struct http_answer *answer,
                             const json_t *problem) {
        static const char scheme[] = "http://";
        const char *host = http_place(c);
        size_t size;

        if (answer->status != 404 || strncmp(host, scheme, sizeof(scheme) - 1) != 0 ||
            !strstr(api_text(problem, "detail"), "there is nothing at"))
                return false;
        host += sizeof(scheme) - 1;
        size = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/");
        (void) fail(
                REFUSED,
                "%s has only the trust page and CRLs; the API is on HTTPS: --url https://%.*s:" HTTPS_PORT,
                http_place(c), (int) size, host);
        return true;
}

static enum result say_problem(const struct client *c, const struct http_answer *answer,
                               const json_t *problem) {
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        const char *title = api_text(problem, "title"),
                   *way_out = way_out_of(api_text(problem, "type"));

        if (asked_plain_http(c, answer, problem))
                return REFUSED;
        buffer_format(&text, "%s", *title ? title : "the CA refused");
        tell_details(problem, &text);
        /* cad's own refusal says who the caller is and what to set */
        if ((answer->status == 401 || answer->status == 403) &&
            !strstr(buffer_string(&text), "[Access]") && role_would_help(c, problem))
                tell_who(c, &text);
        else if (answer->retry_after[0])
                buffer_format(&text, "; try again in %s s", answer->retry_after);
        else if (way_out)
                buffer_format(&text, "; %s", way_out);
        return fail(REFUSED, "%s", buffer_string(&text));
}

/* An answer that is no problem document: the library's own, or a server that is no cad. */
static enum result say_status(const struct client *c, const struct http_request *request,
                              const struct http_answer *answer) {
        if (answer->status == 404)
                return fail(REFUSED,
                            "%s does not know %.*s: is it cad's, and not older than cactl (%s)?",
                            http_place(c), (int) strcspn(request->path, "?"), request->path,
                            CAD_VERSION);
        return fail(REFUSED, "%s answered %ld without saying why: look at its log", http_place(c),
                    answer->status);
}

static enum result no_json(const struct client *c) {
        return fail(REFUSED, "what %s answers is not JSON of a cad: is it another program's?",
                    http_place(c));
}

static json_t *parse(const struct http_answer *answer) {
        json_t *value = json_loadb((const char *) answer->body.data, answer->body.size,
                                   JSON_REJECT_DUPLICATES,
                                   /* error= */ NULL);

        return json_is_object(value) ? value : json_free(value);
}

static enum result judge(const struct client *c, const struct http_request *request,
                         const struct http_answer *answer) {
        CAD_AUTO(json_free) json_t *problem = NULL;

        if (answer->status >= 200 && answer->status < 300)
                return DONE;
        if (text_equal(answer->content_type, "application/problem+json"))
                problem = parse(answer);
        return problem ? say_problem(c, answer, problem) : say_status(c, request, answer);
}

/* ---- calls ---- */

static enum result call_json(struct client *c, const struct http_request *request, long status_too,
                             bool may_be_denied, json_t **ret) {
        CAD_AUTO(http_answer_done) struct http_answer answer = { 0 };
        enum result result = http_call(c, request, &answer);

        if (result != DONE)
                return result;
        if (may_be_denied && (answer.status == 401 || answer.status == 403)) {
                *ret = NULL;
                return DONE;
        }
        /* 503 of /v1/health is its answer; 503 of anything else is a problem document */
        if (answer.status != status_too ||
            text_equal(answer.content_type, "application/problem+json")) {
                result = judge(c, request, &answer);
                if (result != DONE)
                        return result;
        }
        *ret = parse(&answer);
        return *ret ? DONE : no_json(c);
}

enum result api_get(struct client *c, const char *path, json_t **ret) {
        const struct http_request request = { .method = "GET",
                                              .path = path,
                                              .accept = "application/json" };

        return call_json(c, &request, /* status_too= */ 0, /* may_be_denied= */ false, ret);
}

enum result api_try_get(struct client *c, const char *path, long status_too, json_t **ret) {
        const struct http_request request = { .method = "GET",
                                              .path = path,
                                              .accept = "application/json" };

        return call_json(c, &request, status_too, /* may_be_denied= */ true, ret);
}

enum result api_get_text(struct client *c, const char *path, const char *accept,
                         struct buffer *ret) {
        const struct http_request request = { .method = "GET", .path = path, .accept = accept };
        CAD_AUTO(http_answer_done) struct http_answer answer = { 0 };
        enum result result = http_call(c, &request, &answer);

        if (result == DONE)
                result = judge(c, &request, &answer);
        if (result == DONE)
                buffer_append(ret, buffer_bytes(&answer.body));
        return result;
}

enum result api_save(struct client *c, const struct http_request *request, uint64_t *ret_saved) {
        CAD_AUTO(http_answer_done) struct http_answer answer = { 0 };
        enum result result = http_call(c, request, &answer);

        if (result == DONE)
                result = judge(c, request, &answer);
        if (result == DONE && !text_equal(answer.content_type, request->save_type))
                result = fail(REFUSED, "%s answered with %s, and %s was asked for", http_place(c),
                              answer.content_type[0] ? answer.content_type : "nothing",
                              request->save_type);
        *ret_saved = answer.saved;
        return result;
}

enum result api_post(struct client *c, const char *path, const json_t *body, json_t **ret) {
        uint8_t octets[IDEMPOTENCY_KEY_OCTETS];
        char key[2 * IDEMPOTENCY_KEY_OCTETS + 1];

        if (getrandom(octets, sizeof(octets), 0) != (ssize_t) sizeof(octets))
                return fail(REFUSED, "the kernel gives no random numbers");
        return api_post_once(c, path, body, hex_encode(BYTES(octets, sizeof(octets)), key), ret);
}

enum result api_post_once(struct client *c, const char *path, const json_t *body, const char *key,
                          json_t **ret) {
        CAD_AUTO(free_text) char *text = json_dumps(body, JSON_COMPACT);
        struct http_request request = {
                .method = "POST",
                .path = path,
                .accept = "application/json",
                .content_type = "application/json",
                .idempotency_key = key,
        };

        if (!text)
                return fail(REFUSED, "out of memory");
        request.body = bytes_of(text);
        return call_json(c, &request, /* status_too= */ 0, /* may_be_denied= */ false, ret);
}

enum result api_send(struct client *c, const char *method, const char *path, const json_t *body,
                     json_t **ret) {
        CAD_AUTO(free_text) char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
        const struct http_request request = {
                .method = method,
                .path = path,
                .accept = "application/json",
                .content_type = body ? "application/json" : NULL,
                .body = bytes_of(text),
        };

        if (body && !text)
                return fail(REFUSED, "out of memory");
        return call_json(c, &request, /* status_too= */ 0, /* may_be_denied= */ false, ret);
}
