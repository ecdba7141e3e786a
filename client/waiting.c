/*
 * Waiting for a decision: see waiting.h.
 */
#include "waiting.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "api.h"
#include "http.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "output.h"

#define POLL_MIN_S 1
#define POLL_MAX_S 300
#define POLL_DEFAULT_S 10
#define LOST_MAX 60 /* times in a row that the CA may be away while it is waited for */

void handed_in_done(struct handed_in *h) {
        buffer_done(&h->path);
}

/* The code is ours: it says that the CA has got this key. */
enum result handed_in_read(const json_t *answer, struct bytes spki, struct handed_in *ret) {
        uint8_t id[REQUEST_ID_SIZE];
        char ours[REQUEST_CODE_MAX], theirs[REQUEST_CODE_MAX];
        size_t size = 0;

        if (hex_decode(api_text(answer, "id"), id, sizeof(id), &size) < 0 || size != sizeof(id))
                return fail(REFUSED, "the CA did not say which id the request has: is it a cad?");
        request_code(id, spki, ours);
        if (request_code_parse(api_text(answer, "code"), theirs) < 0 || !text_equal(ours, theirs))
                return fail(
                        REFUSED,
                        "the code of the request is not that of this key: somebody may be between here and the CA; do not have it approved");
        (void) request_code_show(ours, ret->code);
        (void) hex_encode(BYTES(id, sizeof(id)), ret->id);
        buffer_format(&ret->path, "/v1/requests/%s", ret->id);
        return ret->path.failed ? fail(REFUSED, "out of memory") : DONE;
}

int64_t handed_in_interval(const json_t *request) {
        const json_t *value = json_object_get(request, "interval");
        int64_t seconds = json_is_integer(value) ? json_integer_value(value) : POLL_DEFAULT_S;

        return seconds < POLL_MIN_S ? POLL_MIN_S : seconds > POLL_MAX_S ? POLL_MAX_S : seconds;
}

static void show_progress(const struct client *c, const char *code, int64_t since_ms, bool last) {
        char waited[DURATION_TEXT_MAX];

        if (c->quiet || !terminal_on(STDERR_FILENO))
                return;
        (void) fprintf(stderr, "\r%s waits for approval: %s \033[K%s", code,
                       duration_format((moment_monotonic_ms() - since_ms) / 1000, waited),
                       last ? "\n" : "");
}

static void wait_a_while(const struct client *c, const char *code, int64_t since_ms,
                         int64_t seconds) {
        const struct timespec second = { .tv_sec = 1 };

        for (; seconds > 0; seconds--) {
                show_progress(c, code, since_ms, /* last= */ false);
                (void) nanosleep(&second, /* rmtp= */ NULL);
        }
}

enum result handed_in_ask(struct client *c, struct handed_in *request, unsigned *lost,
                          json_t **ret) {
        const struct http_request get = { .method = "GET",
                                          .path = buffer_string(&request->path),
                                          .accept = "application/json" };
        CAD_AUTO(http_answer_done) struct http_answer answer = { 0 };
        enum result result = http_call(c, &get, &answer);
        bool away = result == UNREACHABLE ||
                (result == DONE && (answer.status == 429 || answer.status >= 500));

        if (away && ++*lost < LOST_MAX)
                return DONE;
        if (result != DONE)
                return result;
        *lost = 0;
        if (answer.status == 200)
                *ret = json_loadb((const char *) answer.body.data, answer.body.size,
                                  JSON_REJECT_DUPLICATES, /* error= */ NULL);
        /* anything else is told in words by asking once more */
        return *ret ? DONE : api_get(c, get.path, ret);
}

enum result handed_in_wait(struct client *c, struct handed_in *request, int64_t interval_s,
                           json_t **ret) {
        int64_t since_ms = moment_monotonic_ms();
        unsigned lost = 0;

        for (;;) {
                CAD_AUTO(json_free) json_t *found = NULL;
                enum result result;

                wait_a_while(c, request->code, since_ms, interval_s);
                result = handed_in_ask(c, request, &lost, &found);
                if (result != DONE ||
                    (found && !text_equal(api_text(found, "status"), "waiting"))) {
                        show_progress(c, request->code, since_ms, /* last= */ true);
                        *ret = CAD_TAKE(found);
                        return result;
                }
                interval_s = found ? handed_in_interval(found) : POLL_DEFAULT_S;
        }
}

static enum result say_no(const char *code, const json_t *request) {
        const char *reason = api_text(request, "reason");

        if (text_equal(api_text(request, "status"), "denied"))
                return fail(REFUSED, "the request %s was denied%s%s", code, *reason ? ": " : "",
                            reason);
        return fail(REFUSED, "nobody decided on the request %s in time: hand it in again", code);
}

/* What was approved may be less than what was asked for, and nothing else. */
static enum result check_names(const struct client *c, const struct issued *issued,
                               const struct san_list *asked) {
        CAD_AUTO(san_list_done) struct san_list there = { 0 };
        struct error err = { 0 };
        char text[SAN_TEXT_MAX];

        if (issued->cert.san.size && san_list_from_der(&there, issued->cert.san, "names", &err) < 0)
                return fail_error(&err);
        for (size_t i = 0; i < there.count; i++)
                if (!san_list_contains(asked, &there.items[i]))
                        return fail(
                                REFUSED,
                                "the certificate that came back (serial %s) has a name that was not asked for: %s",
                                issued->serial, san_text(&there.items[i], text, sizeof(text)));
        for (size_t i = 0; i < asked->count; i++)
                if (!san_list_contains(&there, &asked->items[i]))
                        say(c, "left out by whoever approved: %s",
                            san_text(&asked->items[i], text, sizeof(text)));
        return DONE;
}

enum result handed_in_take(const struct client *c, const json_t *request, struct bytes spki,
                           const struct san_list *asked, const char *code, struct issued *ret) {
        struct error err = { 0 };

        if (!text_equal(api_text(request, "status"), "approved"))
                return say_no(code, request);
        if (issued_read(request, ret, &err) < 0 || issued_check_key(ret, spki, &err) < 0)
                return fail_error(&err);
        return check_names(c, ret, asked);
}
