/*
 * cactl token: rights to enrol, made, listed and taken back. The token itself is printed once and kept nowhere.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "cactl.h"
#include "http.h"
#include "issued.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"
#include "output.h"

#define LIST_PAGE "100"
#define ENDPOINTS_MAX (64u * 1024) /* bytes */
#define TOKEN_ID_LENGTH 16

/* ---- the line for the device ---- */

/* A shell takes these as they are. */
static void append_word(struct buffer *out, const char *word) {
        static const char plain[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/@%+,=[]";

        if (*word && strspn(word, plain) == strlen(word) && !strpbrk(word, "[]~")) {
                buffer_format(out, " %s", word);
                return;
        }
        buffer_text(out, " '");
        for (; *word; word++) {
                if (*word == '\'')
                        buffer_text(out, "'\\''");
                else
                        buffer_format(out, "%c", *word);
        }
        buffer_text(out, "'");
}

/* "[::]:8443" to "8443", and the address where it is one that others do not see. */
static void split_listener(const char *where, char *host, size_t host_size, char *port,
                           size_t port_size) {
        const char *colon = strrchr(where, ':');
        bool loopback = strncmp(where, "127.", 4) == 0 || strncmp(where, "[::1]", 5) == 0;

        if (!colon)
                return;
        (void) snprintf(port, port_size, "%.*s", (int) strspn(colon + 1, "0123456789"), colon + 1);
        if (loopback)
                (void) snprintf(host, host_size, "%.*s", (int) (colon - where), where);
}

/* What a cad that was started by hand says of itself, beside its socket. */
static void look_beside_socket(const struct client *c, char *host, size_t host_size, char *port,
                               size_t port_size) {
        CAD_AUTO(buffer_done) struct buffer path = { 0 };
        CAD_AUTO(json_free) json_t *endpoints = NULL;
        const char *socket = http_place(c), *slash = strrchr(socket, '/');

        buffer_format(&path, "%.*sendpoints.json", slash ? (int) (slash - socket) + 1 : 0, socket);
        endpoints = json_load_file(buffer_string(&path), JSON_REJECT_DUPLICATES, /* error= */ NULL);
        if (json_is_string(json_object_get(endpoints, "https")))
                split_listener(api_text(endpoints, "https"), host, host_size, port, port_size);
}

/* The host of "http://ca.lan:8080", an IPv6 address with its brackets. */
static void host_of(const char *url, char *host, size_t size) {
        CURLU *parsed = curl_url();
        char *text = NULL;

        if (parsed && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
            curl_url_get(parsed, CURLUPART_HOST, &text, 0) == CURLUE_OK)
                (void) snprintf(host, size, "%s", text);
        curl_free(text);
        curl_url_cleanup(parsed);
}

/* Where a device reaches the CA: as this call did, as the CA says, or as the CA's names and its port let expect. */
static void append_url(const struct client *c, const json_t *ca, struct buffer *out) {
        const char *told = api_text(json_object_get(ca, "urls"), "https");
        char host[256] = "", port[8] = HTTPS_PORT;

        if (!http_by_socket(c) || *told) {
                append_word(out, *told ? told : http_place(c));
                return;
        }
        host_of(api_text(ca, "public_url"), host, sizeof(host));
        look_beside_socket(c, host, sizeof(host), port, sizeof(port));
        {
                CAD_AUTO(buffer_done) struct buffer url = { 0 };

                buffer_format(&url, "https://%s:%s", host, port);
                append_word(out, buffer_string(&url));
        }
}

/* A name of its own for each device is the device's to say; exact ones stand in the line. */
static void append_names(const json_t *token, struct buffer *out) {
        const json_t *name;
        size_t i;

        json_array_foreach(json_object_get(token, "names"), i, name) {
                const char *text = json_string_value(name);

                if (text && strncmp(text, "*.", 2) != 0)
                        append_word(out, text);
        }
}

static void append_line(const struct client *c, const json_t *ca, const json_t *token,
                        struct buffer *out) {
        buffer_text(out, "cactl enroll --url");
        append_url(c, ca, out);
        buffer_text(out, " --fingerprint");
        append_word(out, api_text(ca, "fingerprint"));
        buffer_text(out, " --token");
        append_word(out, api_text(token, "token"));
        append_names(token, out);
        buffer_text(out, "\n");
}

/* ---- create ---- */

static const struct option create_options[] = {
        { "profile", "PROFILE", "what kind of certificates (server)" },
        { "uses", "N", "good for so many certificates (1)" },
        { "expires", "TIME", "to be used within this time: 24h, 7d (24h; 365d at most)" },
        { "days", "N", "certificates valid for so many days at most" },
        { "validity", "TIME", "the same as 90d, 12h, 2y" },
        { "label", "TEXT", "a note that the CA keeps with the token and its certificates" },
        { "short", NULL, "a pairing code to type in: 8 characters, good once, for 10 minutes" },
        { 0 },
};

static enum result read_uses(const struct client *c, json_t *body) {
        const char *text = option_value(c, "uses");
        uint64_t uses = 1;

        if (text && (text_to_u64(text, 1000000, &uses) < 0 || uses == 0))
                return fail(WRONG_USAGE, "--uses %s: a whole number is wanted, 1 to 1000000", text);
        (void) json_object_set_new(body, "uses", json_integer((json_int_t) uses));
        return DONE;
}

static enum result read_expires(const struct client *c, json_t *body) {
        const char *text = option_value(c, "expires");
        struct error err = { 0 };
        int64_t seconds;

        if (!text)
                return DONE;
        if (duration_parse(text, &seconds, &err) < 0 || seconds <= 0)
                return fail(WRONG_USAGE, "--expires %s: write it as 24h, 7d", text);
        (void) json_object_set_new(body, "expires_in", json_string(text));
        return DONE;
}

static void set_text(json_t *body, const char *key, const char *value) {
        if (value)
                (void) json_object_set_new(body, key, json_string(value));
}

static enum result read_wish(const struct client *c, json_t *body) {
        json_t *names = json_array();
        const char *validity;
        char text[DURATION_TEXT_MAX];
        enum result result = issued_validity(c, text, &validity);

        for (size_t i = 0; i < c->args_count; i++)
                (void) json_array_append_new(names, json_string(c->args[i]));
        (void) json_object_set_new(body, "names", names);
        if (result != DONE)
                return result;
        set_text(body, "profile", option_value(c, "profile"));
        set_text(body, "validity", validity);
        set_text(body, "label", option_value(c, "label"));
        if (option_given(c, "short"))
                (void) json_object_set_new(body, "short", json_true());
        result = read_uses(c, body);
        return result == DONE ? read_expires(c, body) : result;
}

static void tell_created(const struct client *c, const json_t *token) {
        CAD_AUTO(buffer_done) struct buffer names = { 0 };
        json_int_t uses = json_integer_value(json_object_get(token, "uses"));
        char when[WORDS_MAX] = "?";
        int64_t t;

        if (api_time(token, "expires_at", &t) == 0)
                (void) time_both(t, c->now, when);
        (void) api_texts(token, "names", &names);
        say(c, "%s %s: %" JSON_INTEGER_FORMAT " certificate%s of the profile %s for %s, until %s",
            json_is_true(json_object_get(token, "short")) ? "pairing code" : "token",
            api_text(token, "id"), uses, uses == 1 ? "" : "s", api_text(token, "profile"),
            buffer_string(&names), when);
        say(c, "it is shown this once. On the device:");
}

static enum result create_run(struct client *c) {
        CAD_AUTO(json_free) json_t *body = json_object(), *token = NULL, *ca = NULL;
        CAD_AUTO(buffer_wipe) struct buffer line = { 0 };
        enum result result = read_wish(c, body);

        /* what the line is made of first: a token that nobody is told is of no use */
        if (result == DONE)
                result = api_get(c, "/v1/ca", &ca);
        if (result == DONE)
                result = api_send(c, "POST", "/v1/tokens", body, &token);
        if (result != DONE)
                return result;
        if (c->json) {
                put_json(token);
                return DONE;
        }
        append_line(c, ca, token, &line);
        if (line.failed)
                return fail(REFUSED, "out of memory: revoke the token %s, and try again",
                            api_text(token, "id"));
        tell_created(c, token);
        put_raw(buffer_bytes(&line));
        return DONE;
}

const struct command cmd_token_create = {
        .group = "token",
        .name = "create",
        .args = "NAME...",
        .args_min = 1,
        .args_max = ARGS_ANY,
        .help = "A right to enrol, for a device: prints the line that it runs",
        .more = "A name is exact (nas.lan, 192.168.1.5, anna@home.lan), or *.suffix for any DNS name below one. No "
                "token gives a wildcard certificate. Where a token has to be typed in, --short makes one of 8 characters: either case, with or "
                "without the hyphen.",
        .options = create_options,
        .run = create_run,
};

/* ---- list ---- */

static const struct option list_options[] = {
        { "limit", "N", "so many at most (100)" },
        { "all", NULL, "all of them" },
        { 0 },
};

static enum tone status_tone(const char *status) {
        if (text_equal(status, "active"))
                return TONE_GOOD;
        return text_equal(status, "revoked") ? TONE_BAD : TONE_DIM;
}

static void list_row(const struct client *c, struct table *table, const json_t *token) {
        CAD_AUTO(buffer_done) struct buffer names = { 0 };
        char uses[64], when[WORDS_MAX] = "?";
        int64_t t;

        (void) snprintf(uses, sizeof(uses), "%" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT,
                        json_integer_value(json_object_get(token, "used")),
                        json_integer_value(json_object_get(token, "uses")));
        if (api_time(token, "expires_at", &t) == 0)
                (void) time_both(t, c->now, when);
        table_cell(table, TONE_STRONG, api_text(token, "id"));
        table_cell(table, TONE_PLAIN, api_texts(token, "names", &names));
        table_cell(table, TONE_PLAIN, api_text(token, "profile"));
        table_cell(table, status_tone(api_text(token, "status")), api_text(token, "status"));
        table_cell(table, TONE_PLAIN, uses);
        table_cell(table, TONE_PLAIN, when);
        table_cell(table, TONE_PLAIN, api_text(token, "label"));
}

struct listing {
        struct table *table;
        json_t *gathered; /* with --json */
};

static enum result list_page(struct client *c, const json_t *page, void *data, bool *go_on) {
        const struct listing *listing = data;
        const json_t *tokens = json_object_get(page, "tokens"), *token;
        size_t i;

        *go_on = option_given(c, "all");
        json_array_foreach(tokens, i, token) list_row(c, listing->table, token);
        if (c->json)
                (void) json_array_extend(listing->gathered, (json_t *) tokens);
        else
                table_print(listing->table);
        return DONE;
}

static enum result list_run(struct client *c) {
        static const struct column columns[] = {
                { "ID", false },   { "NAMES", true },    { "PROFILE", false }, { "STATUS", false },
                { "USED", false }, { "EXPIRES", false }, { "LABEL", false },
        };
        CAD_AUTO(table_free) struct table *table = table_new(columns, ARRAY_SIZE(columns));
        CAD_AUTO(json_free) json_t *gathered = json_array();
        CAD_AUTO(json_free) json_t *answer = NULL;
        CAD_AUTO(buffer_done) struct buffer base = { 0 };
        CAD_AUTO(free_text) char *next = NULL;
        struct listing listing = { .table = table, .gathered = gathered };
        const char *limit = option_value(c, "limit");
        enum result result;

        if (!table || !gathered)
                return fail(REFUSED, "out of memory");
        buffer_text(&base, "/v1/tokens");
        query_add(&base, "limit", limit ? limit : LIST_PAGE);
        result = api_pages(c, &base, list_page, &listing, &next);
        if (result != DONE)
                return result;
        if (c->json) {
                answer = json_pack("{s:O, s:s?}", "tokens", gathered, "next", next);
                put_json(answer);
        } else if (next) {
                say(c, "there are more: --all shows them, --limit N more of them");
        }
        return DONE;
}

const struct command cmd_token_list = {
        .group = "token",
        .name = "list",
        .args = "",
        .help = "The tokens that were made, the newest first, and what became of them",
        .options = list_options,
        .run = list_run,
};

/* ---- revoke ---- */

/* The id, also out of a whole token that somebody pastes: the rest of it goes nowhere. */
static enum result read_id(const char *text, char *out) {
        if (strncmp(text, "cad_", 4) == 0)
                text += 4;
        if (strspn(text, "0123456789abcdef") != TOKEN_ID_LENGTH ||
            (text[TOKEN_ID_LENGTH] && text[TOKEN_ID_LENGTH] != '_'))
                return fail(
                        WRONG_USAGE,
                        "that is no id of a token, 16 hex digits: 'cactl token list' shows them");
        (void) snprintf(out, TOKEN_ID_LENGTH + 1, "%s", text);
        return DONE;
}

static enum result revoke_run(struct client *c) {
        CAD_AUTO(json_free) json_t *token = NULL;
        char id[TOKEN_ID_LENGTH + 1], path[64];
        json_int_t used;
        enum result result = read_id(c->args[0], id);

        if (result != DONE)
                return result;
        (void) snprintf(path, sizeof(path), "/v1/tokens/%s", id);
        result = api_send(c, "DELETE", path, /* body= */ NULL, &token);
        if (result != DONE)
                return result;
        if (c->json) {
                put_json(token);
                return DONE;
        }
        used = json_integer_value(json_object_get(token, "used"));
        say(c, "token %s is revoked", id);
        if (used > 0)
                say(c,
                    "%" JSON_INTEGER_FORMAT
                    " certificate%s issued with it before, and stay%s valid: 'cactl cert revoke' ends %s",
                    used, used == 1 ? " was" : "s were", used == 1 ? "s" : "",
                    used == 1 ? "it" : "them");
        return DONE;
}

const struct command cmd_token_revoke = {
        .group = "token",
        .name = "revoke",
        .args = "ID",
        .args_min = 1,
        .args_max = 1,
        .help = "Take a token back: it gets no further certificate",
        .run = revoke_run,
};
