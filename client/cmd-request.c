/*
 * cactl request: hand in a CSR that waits, and decide on those that do.
 *
 * The code that both sides compare is computed here from the key, whatever the CA says it is.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api.h"
#include "cactl.h"
#include "files.h"
#include "http.h"
#include "issued.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/csr.h"
#include "lib/pki/pem.h"
#include "lib/pki/request_code.h"
#include "output.h"
#include "show.h"
#include "sign.h"

#define LIST_PAGE "200"
#define POLL_MIN_S 1
#define POLL_MAX_S 300
#define POLL_DEFAULT_S 10
#define LOST_MAX 60 /* times in a row that the CA may be away while it is waited for */

static enum tone tone_of_status(const char *status) {
        if (text_equal(status, "approved"))
                return TONE_GOOD;
        return text_equal(status, "waiting") ? TONE_WARN : TONE_BAD;
}

/* "7XK2-M9QP" of what the CA sent. */
static const char *shown_code(const json_t *request, char out[REQUEST_CODE_SHOWN_MAX]) {
        char code[REQUEST_CODE_MAX];

        if (request_code_parse(api_text(request, "code"), code) < 0)
                return "?";
        return request_code_show(code, out);
}

/* An id as it is, a code in whatever way it was heard, to the path of a request. */
static enum result request_path(const char *word, struct buffer *out) {
        uint8_t id[REQUEST_ID_SIZE];
        char code[REQUEST_CODE_MAX], hex[REQUEST_ID_TEXT_MAX];
        size_t size = 0;

        if (request_code_parse(word, code) == 0)
                buffer_format(out, "/v1/requests/%s", code);
        else if (hex_decode(word, id, sizeof(id), &size) == 0 && size == sizeof(id))
                buffer_format(out, "/v1/requests/%s", hex_encode(BYTES(id, sizeof(id)), hex));
        else
                return fail(
                        WRONG_USAGE,
                        "%s is neither the code of a request (8 characters, as 'cactl request list' "
                        "shows it) nor its id (32 hex digits)",
                        word);
        return out->failed ? fail(REFUSED, "out of memory") : DONE;
}

/* ---- submit ---- */

static const struct option submit_options[] = {
        { "profile", "PROFILE", "what kind of certificate (default: server)" },
        { "name", "NAME", "for this name instead of those in the CSR; may be given again", true,
          0 },
        { "days", "N", "how long it is to be good for, in days" },
        { "validity", "TIME", "the same as 90d, 12h, 2y" },
        { "label", "TEXT", "a note that the CA keeps with it" },
        { "wait", NULL, "wait until it is decided on, and write the certificate" },
        { "out", "FILE",
          "with --wait: write certificate and chain there (default: standard output)" },
        { 0 },
};

/* A request that was handed in. */
struct handed_in {
        char code[REQUEST_CODE_SHOWN_MAX], id[REQUEST_ID_TEXT_MAX];
        struct buffer path;
};

static void handed_in_done(struct handed_in *h) {
        buffer_done(&h->path);
}
CAD_CLEANUP_DONE(struct handed_in, handed_in_done)

/* The code is ours: it says that the CA has got this key. */
static enum result look_at(const json_t *answer, const struct csr *csr, struct handed_in *ret) {
        uint8_t id[REQUEST_ID_SIZE];
        char ours[REQUEST_CODE_MAX], theirs[REQUEST_CODE_MAX];
        size_t size = 0;

        if (hex_decode(api_text(answer, "id"), id, sizeof(id), &size) < 0 || size != sizeof(id))
                return fail(REFUSED, "the CA did not say which id the request has: is it a cad?");
        request_code(id, csr->spki, ours);
        if (request_code_parse(api_text(answer, "code"), theirs) < 0 || !text_equal(ours, theirs))
                return fail(
                        REFUSED,
                        "the code of the request is not that of this key: somebody may be between here and the CA; do not have it approved");
        (void) request_code_show(ours, ret->code);
        (void) hex_encode(BYTES(id, sizeof(id)), ret->id);
        return request_path(ret->id, &ret->path);
}

static int64_t interval_of(const json_t *request) {
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

/* A CA that is being restarted is waited for as well. *ret stays NULL then. */
static enum result ask_once(struct client *c, struct handed_in *request, unsigned *lost,
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

/* @ret: the request once it is decided on */
static enum result wait_for(struct client *c, struct handed_in *request, int64_t interval_s,
                            json_t **ret) {
        int64_t since_ms = moment_monotonic_ms();
        unsigned lost = 0;

        for (;;) {
                CAD_AUTO(json_free) json_t *found = NULL;
                enum result result;

                wait_a_while(c, request->code, since_ms, interval_s);
                result = ask_once(c, request, &lost, &found);
                if (result != DONE ||
                    (found && !text_equal(api_text(found, "status"), "waiting"))) {
                        show_progress(c, request->code, since_ms, /* last= */ true);
                        *ret = CAD_TAKE(found);
                        return result;
                }
                interval_s = found ? interval_of(found) : POLL_DEFAULT_S;
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

static enum result write_certificate(const struct client *c, const struct issued *issued,
                                     const json_t *request) {
        CAD_AUTO(buffer_done) struct buffer pem = { 0 };
        const char *path = option_value(c, "out");
        struct error err = { 0 };
        char words[WORDS_MAX];

        say(c, "issued %s, good until %s", issued->serial,
            time_both(issued->cert.validity.not_after, moment_now(), words));
        for (size_t i = 0; i < issued->chain.count; i++)
                pem_append(&pem, "CERTIFICATE", buffer_bytes(&issued->chain.der[i]));
        if (path && output_write(path, buffer_bytes(&pem), &err) < 0)
                return fail(REFUSED,
                            "%s; the certificate was issued: cactl cert show %s --pem prints it",
                            err.text, issued->serial);
        if (c->json)
                put_json(request);
        else if (!path)
                put_raw(buffer_bytes(&pem));
        return DONE;
}

static enum result take_certificate(const struct client *c, const struct csr *csr,
                                    const struct san_list *asked, const char *code,
                                    const json_t *request) {
        CAD_AUTO(issued_done) struct issued issued = { 0 };
        struct error err = { 0 };
        enum result result;

        if (!text_equal(api_text(request, "status"), "approved"))
                return say_no(code, request);
        if (issued_read(request, &issued, &err) < 0 ||
            issued_check_key(&issued, csr->spki, &err) < 0)
                return fail_error(&err);
        result = check_names(c, &issued, asked);
        return result == DONE ? write_certificate(c, &issued, request) : result;
}

static void tell_submitted(const struct client *c, const struct handed_in *request,
                           const json_t *answer) {
        char words[WORDS_MAX];
        int64_t end;

        if (c->json) {
                put_json(answer);
                return;
        }
        fact("code", TONE_STRONG, "%s", request->code);
        fact("id", TONE_PLAIN, "%s", request->id);
        if (api_time(answer, "expires_at", &end) == 0)
                fact("waits until", TONE_PLAIN, "%s", time_both(end, c->now, words));
        say(c,
            "tell the code to whoever approves; 'cactl request show %s' says what became of it, and "
            "gives the certificate",
            request->id);
}

static enum result submit_run(struct client *c) {
        CAD_AUTO(csr_free) struct csr *csr = NULL;
        CAD_AUTO(san_list_done) struct san_list names = { 0 };
        CAD_AUTO(json_free) json_t *names_json = NULL, *answer = NULL, *decided = NULL;
        CAD_AUTO(handed_in_done) struct handed_in request = { 0 };
        enum result result = sign_names(c, &names, &names_json);

        if (result == DONE && option_given(c, "out") && !option_given(c, "wait"))
                result = fail(WRONG_USAGE,
                              "--out goes with --wait: until then there is no certificate");
        if (result == DONE)
                result = sign_read(c, &csr);
        if (result == DONE)
                result = sign_post(c, "/v1/requests", csr, names_json, &answer);
        if (result == DONE)
                result = look_at(answer, csr, &request);
        if (result != DONE)
                return result;
        if (!option_given(c, "wait")) {
                tell_submitted(c, &request, answer);
                return DONE;
        }
        say(c, "code %s: tell it to whoever approves (id %s)", request.code, request.id);
        result = wait_for(c, &request, interval_of(answer), &decided);
        if (result != DONE)
                return result;
        return take_certificate(c, csr, names.count ? &names : &csr->names, request.code, decided);
}

const struct command cmd_request_submit = {
        .group = "request",
        .name = "submit",
        .args = "CSR",
        .args_min = 1,
        .args_max = 1,
        .help = "Hand in a CSR that waits until an operator approves it",
        .more = "CSR is a file in PEM or DER, or '-' for standard input. The code is for reading aloud: whoever approves sees the "
                "same one where it is the same key. The same CSR handed in again is the same request.",
        .options = submit_options,
        .run = submit_run,
};

/* ---- list ---- */

static const struct option list_options[] = {
        { "status", "STATUS", "waiting (default), approved, denied, expired or all" },
        { "limit", "N", "so many at most, the newest" },
        { 0 },
};

/* All pages into one object: what waits is bounded, and the rest is forgotten after a month. */
static enum result list_pages(struct client *c, const char *status, size_t limit, json_t *all) {
        CAD_AUTO(free_text) char *cursor = NULL;

        do {
                CAD_AUTO(buffer_done) struct buffer path = { 0 };
                CAD_AUTO(json_free) json_t *page = NULL;
                enum result result;
                const char *next;

                buffer_text(&path, "/v1/requests?limit=" LIST_PAGE);
                query_add(&path, "status", status);
                query_add(&path, "cursor", cursor);
                result = api_get(c, buffer_string(&path), &page);
                if (result != DONE)
                        return result;
                (void) json_array_extend(all, json_object_get(page, "requests"));
                next = api_text(page, "next");
                if (!*next ||
                    text_equal(next, cursor)) /* one that does not move would go on for ever */
                        break;
                (void) free_text(cursor);
                cursor = strdup(next);
        } while (cursor && json_array_size(all) < limit);
        while (json_array_size(all) > limit)
                (void) json_array_remove(all, json_array_size(all) - 1);
        return DONE;
}

static enum result list_table(const struct client *c, const json_t *all) {
        static const struct column columns[] = {
                { "CODE", false },   { "NAMES", true }, { "PROFILE", false }, { "KEY", false },
                { "SOURCE", false }, { "AGE", false },  { "STATUS", false },
        };
        CAD_AUTO(table_free) struct table *table = table_new(columns, ARRAY_SIZE(columns));
        const json_t *row;
        size_t i;

        if (!table)
                return fail(REFUSED, "out of memory");
        json_array_foreach(all, i, row) {
                CAD_AUTO(buffer_done) struct buffer names = { 0 };
                char words[WORDS_MAX] = "?", code[REQUEST_CODE_SHOWN_MAX];
                const char *status = api_text(row, "status");
                int64_t since;

                if (api_time(row, "created_at", &since) == 0)
                        (void) time_in_words(since, c->now, words);
                table_cell(table, TONE_STRONG, shown_code(row, code));
                table_cell(table, TONE_PLAIN, api_texts(row, "names", &names));
                table_cell(table, TONE_PLAIN, api_text(row, "profile"));
                table_cell(table, TONE_PLAIN, api_text(row, "key"));
                table_cell(table, TONE_PLAIN, api_text(row, "source"));
                table_cell(table, TONE_PLAIN, words);
                table_cell(table, tone_of_status(status), status);
        }
        table_print(table);
        return DONE;
}

static enum result list_run(struct client *c) {
        CAD_AUTO(json_free) json_t *all = json_array();
        const char *status = option_value(c, "status"), *limit = option_value(c, "limit");
        uint64_t rows = SIZE_MAX;
        enum result result;

        if (limit && (text_to_u64(limit, SIZE_MAX, &rows) < 0 || rows == 0))
                return fail(WRONG_USAGE, "--limit %s: a whole number is wanted", limit);
        if (!status)
                status = "waiting";
        result = list_pages(c, text_equal(status, "all") ? NULL : status, (size_t) rows, all);
        if (result != DONE)
                return result;
        if (c->json) {
                CAD_AUTO(json_free) json_t *object = json_pack("{s:O}", "requests", all);

                put_json(object);
                return DONE;
        }
        if (json_array_size(all) == 0)
                say(c, "no request is %s", text_equal(status, "all") ? "there" : status);
        return json_array_size(all) ? list_table(c, all) : DONE;
}

const struct command cmd_request_list = {
        .group = "request",
        .name = "list",
        .args = "",
        .help = "The requests that wait",
        .options = list_options,
        .run = list_run,
};

/* ---- show ---- */

static const struct option show_options[] = {
        { "pem", NULL, "print the certificate and its chain alone" },
        { 0 },
};

static void fact_time(const struct client *c, const char *label, const json_t *request,
                      const char *key) {
        char words[WORDS_MAX];
        int64_t t;

        if (api_time(request, key, &t) == 0)
                fact(label, TONE_PLAIN, "%s", time_both(t, c->now, words));
}

static void fact_text(const char *label, const json_t *request, const char *key) {
        const char *text = api_text(request, key);

        if (*text)
                fact(label, TONE_PLAIN, "%s", text);
}

static void show_request(const struct client *c, const json_t *request) {
        CAD_AUTO(buffer_done) struct buffer names = { 0 };
        char code[REQUEST_CODE_SHOWN_MAX], groups[FINGERPRINT_TEXT_MAX];
        const char *status = api_text(request, "status");

        fact("code", TONE_STRONG, "%s", shown_code(request, code));
        fact("status", tone_of_status(status), "%s", status);
        fact_text("reason", request, "reason");
        fact("names", TONE_STRONG, "%s", api_names(request, &names));
        fact_text("profile", request, "profile");
        fact_text("validity", request, "validity");
        fact_text("key", request, "key");
        fact("key SHA-256", TONE_PLAIN, "%s", hex_groups(api_text(request, "spki"), groups));
        fact_text("label", request, "label");
        fact_text("source", request, "source");
        fact_time(c, "handed in", request, "created_at");
        if (text_equal(status, "waiting") || text_equal(status, "expired"))
                fact_time(c, "waits until", request, "expires_at");
        fact_time(c, "decided", request, "decided_at");
        fact_text("by", request, "decided_by");
        fact_text("serial", request, "serial");
}

static enum result show_run(struct client *c) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 };
        CAD_AUTO(json_free) json_t *request = NULL;
        enum result result = request_path(c->args[0], &path);

        if (result == DONE)
                result = api_get(c, buffer_string(&path), &request);
        if (result != DONE)
                return result;
        if (c->json) {
                put_json(request);
        } else if (!option_given(c, "pem")) {
                show_request(c, request);
        } else if (*api_text(request, "certificate")) {
                put_raw(bytes_of(api_text(request, "certificate")));
                put_raw(bytes_of(api_text(request, "chain")));
        } else {
                return fail(REFUSED, "the request is %s: there is no certificate",
                            api_text(request, "status"));
        }
        return DONE;
}

const struct command cmd_request_show = {
        .group = "request",
        .name = "show",
        .args = "CODE|ID",
        .args_min = 1,
        .args_max = 1,
        .help = "What a request asks for, and what became of it",
        .more = "The code is for readers of the CA. Whoever handed the request in has its id, which shows it without any other right.",
        .options = show_options,
        .run = show_run,
};

/* ---- approve ---- */

static const struct option approve_options[] = {
        { "name", "NAME", "for this name alone, of those that are asked for; may be given again",
          true, 0 },
        { "days", "N", "how long it is good for, in days" },
        { "validity", "TIME", "the same as 90d, 12h, 2y; not longer than what is asked for" },
        { "profile", "PROFILE", "of this profile instead of the one that is asked for" },
        { "label", "TEXT", "a note that the CA keeps with it" },
        { "yes", NULL, "do not ask", false, 'y' },
        { 0 },
};

static enum result approve_body(const struct client *c, struct san_list *names, json_t **ret) {
        CAD_AUTO(json_free) json_t *names_json = NULL;
        char validity_text[DURATION_TEXT_MAX];
        const char *validity = NULL;
        enum result result = sign_names(c, names, &names_json);

        if (result == DONE)
                result = issued_validity(c, validity_text, &validity);
        if (result != DONE)
                return result;
        *ret = json_pack("{s:s*, s:s*, s:s*, s:O*}", "profile", option_value(c, "profile"),
                         "validity", validity, "label", option_value(c, "label"), "names",
                         names_json);
        return *ret ? DONE : fail(WRONG_USAGE, "--profile and --label have to be UTF-8");
}

/* What will be issued, in one place, before it is. */
static void show_what(const json_t *request, const json_t *body) {
        CAD_AUTO(buffer_done) struct buffer names = { 0 }, asked = { 0 };
        const json_t *changed = json_object_get(body, "names") ? body : request;
        const char *profile = api_text(body, "profile"), *validity = api_text(body, "validity");
        char code[REQUEST_CODE_SHOWN_MAX];
        static const struct client loud = { 0 };

        if (!*validity)
                validity = api_text(request, "validity");
        say(&loud, "code      %s   (the device shows the same: compare them)",
            shown_code(request, code));
        say(&loud, "names     %s", api_names(changed, &names));
        if (changed == body)
                say(&loud, "asked for %s", api_names(request, &asked));
        say(&loud, "profile   %s", *profile ? profile : api_text(request, "profile"));
        say(&loud, "validity  %s", *validity ? validity : "as the profile has it");
        say(&loud, "key       %s", api_text(request, "key"));
        say(&loud, "from      %s",
            *api_text(request, "source") ? api_text(request, "source")
                                         : "(who has the id is not told)");
}

static enum result ask_to_approve(const struct client *c, const json_t *request,
                                  const json_t *body) {
        char answer[16] = "";

        if (option_given(c, "yes"))
                return DONE;
        if (!text_equal(api_text(request, "status"), "waiting"))
                return DONE; /* the CA says why not */
        if (!terminal_on(STDIN_FILENO) || !terminal_on(STDERR_FILENO))
                return fail(WRONG_USAGE,
                            "there is no terminal to ask on: --yes approves without asking");
        show_what(request, body);
        (void) fprintf(stderr, "Approve it? [y/N] ");
        if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
                return DONE;
        return fail(REFUSED, "nothing was approved");
}

static enum result approve_run(struct client *c) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 }, names_text = { 0 };
        CAD_AUTO(san_list_done) struct san_list names = { 0 };
        CAD_AUTO(json_free) json_t *request = NULL, *body = NULL, *answer = NULL;
        char words[WORDS_MAX] = "?", code[REQUEST_CODE_SHOWN_MAX];
        int64_t end;
        enum result result = request_path(c->args[0], &path);

        if (result == DONE)
                result = approve_body(c, &names, &body);
        if (result == DONE)
                result = api_get(c, buffer_string(&path), &request);
        if (result == DONE)
                result = ask_to_approve(c, request, body);
        if (result != DONE)
                return result;
        buffer_text(&path, "/approve");
        result = api_post(c, buffer_string(&path), body, &answer);
        if (result != DONE)
                return result;
        if (c->json) {
                put_json(answer);
                return DONE;
        }
        if (api_time(answer, "not_after", &end) == 0)
                (void) time_both(end, c->now, words);
        say(c, "%s is approved: issued %s for %s, good until %s", shown_code(request, code),
            api_text(answer, "serial"), api_texts(answer, "names", &names_text), words);
        return DONE;
}

const struct command cmd_request_approve = {
        .group = "request",
        .name = "approve",
        .args = "CODE|ID",
        .args_min = 1,
        .args_max = 1,
        .help = "Have the certificate of a request issued",
        .more = "Shows what will be issued and asks, on a terminal; elsewhere --yes is wanted. Names can be left out and the life "
                "shortened; more than was asked for is not given.",
        .options = approve_options,
        .run = approve_run,
};

/* ---- deny ---- */

static const struct option deny_options[] = {
        { "reason", "TEXT", "told to whoever handed it in" },
        { 0 },
};

static enum result deny_run(struct client *c) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 }, names = { 0 };
        CAD_AUTO(json_free) json_t *body = NULL, *answer = NULL;
        char code[REQUEST_CODE_SHOWN_MAX];
        enum result result = request_path(c->args[0], &path);

        if (result != DONE)
                return result;
        body = json_pack("{s:s*}", "reason", option_value(c, "reason"));
        if (!body)
                return fail(WRONG_USAGE, "--reason has to be UTF-8");
        buffer_text(&path, "/deny");
        result = api_post(c, buffer_string(&path), body, &answer);
        if (result != DONE)
                return result;
        if (c->json)
                put_json(answer);
        else
                say(c, "%s, for %s, is denied", shown_code(answer, code),
                    api_texts(answer, "names", &names));
        return DONE;
}

const struct command cmd_request_deny = {
        .group = "request",
        .name = "deny",
        .args = "CODE|ID",
        .args_min = 1,
        .args_max = 1,
        .help = "Say no to a request, for good",
        .options = deny_options,
        .run = deny_run,
};
