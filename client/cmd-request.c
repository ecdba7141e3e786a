/*
 * cactl request: hand in a CSR that waits, and decide on those that do.
 *
 * The code that both sides compare is computed here from the key, whatever the CA says it is.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "cactl.h"
#include "files.h"
#include "issued.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "lib/pki/csr.h"
#include "lib/pki/pem.h"
#include "lib/pki/request_code.h"
#include "output.h"
#include "show.h"
#include "sign.h"
#include "waiting.h"

#define LIST_PAGE "200"

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
        enum result result = handed_in_take(c, request, csr->spki, asked, code, &issued);

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
                result = handed_in_read(answer, csr->spki, &request);
        if (result != DONE)
                return result;
        if (!option_given(c, "wait")) {
                tell_submitted(c, &request, answer);
                return DONE;
        }
        say(c, "code %s: tell it to whoever approves (id %s)", request.code, request.id);
        result = handed_in_wait(c, &request, handed_in_interval(answer), &decided);
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

struct listing {
        json_t *all;
        size_t limit;
};

/* All pages into one object: what waits is bounded, and the rest is forgotten after a month. */
static enum result list_page(struct client *c, const json_t *page, void *data, bool *go_on) {
        const struct listing *listing = data;

        (void) c;
        (void) json_array_extend(listing->all, json_object_get(page, "requests"));
        *go_on = json_array_size(listing->all) < listing->limit;
        while (json_array_size(listing->all) > listing->limit)
                (void) json_array_remove(listing->all, json_array_size(listing->all) - 1);
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
        CAD_AUTO(buffer_done) struct buffer base = { 0 };
        CAD_AUTO(free_text) char *next = NULL;
        struct listing listing = { .all = all };
        const char *status = option_value(c, "status"), *limit = option_value(c, "limit");
        uint64_t rows = SIZE_MAX;
        enum result result;

        if (limit && (text_to_u64(limit, SIZE_MAX, &rows) < 0 || rows == 0))
                return fail(WRONG_USAGE, "--limit %s: a whole number is wanted", limit);
        if (!status)
                status = "waiting";
        listing.limit = (size_t) rows;
        buffer_text(&base, "/v1/requests?limit=" LIST_PAGE);
        query_add(&base, "status", text_equal(status, "all") ? NULL : status);
        result = api_pages(c, &base, list_page, &listing, &next);
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
