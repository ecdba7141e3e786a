/*
 * POST and GET /v1/tokens, GET and DELETE of one. The token itself is in one answer, the first, and in no log.
 */
#include <string.h>

#include "daemon/authority/tokens.h"
#include "daemon/http/json.h"
#include "daemon/rest/list.h"
#include "daemon/rest/rest.h"
#include "lib/base/log.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

/* ---- a token in JSON ---- */

static void member_text(struct buffer *out, const char *name, const char *value) {
        buffer_format(out, ",\"%s\":", name);
        json_append_text(out, value);
}

static void member_moment(struct buffer *out, const char *name, int64_t t) {
        char text[MOMENT_TEXT_MAX];

        if (t)
                member_text(out, name, moment_format(t, text));
}

/* Without the closing brace. */
static void token_json_open(struct buffer *out, const struct token_row *row, int64_t now) {
        char validity[DURATION_TEXT_MAX];

        buffer_format(out, "{\"id\":\"%s\",\"status\":\"%s\"", row->id,
                      token_status_name(token_row_status(row, now)));
        member_text(out, "profile", row->profile);
        buffer_text(out, ",\"names\":[");
        for (size_t i = 0; i < row->name_count; i++) {
                buffer_text(out, i ? "," : "");
                json_append_text(out, row->names[i]);
        }
        buffer_text(out, "]");
        if (row->validity_max_s)
                member_text(out, "validity", duration_format(row->validity_max_s, validity));
        buffer_format(out, ",\"uses\":%lld,\"used\":%lld", (long long) row->uses,
                      (long long) row->used);
        member_moment(out, "created_at", row->created_at);
        member_moment(out, "expires_at", row->expires_at);
        member_moment(out, "last_used_at", row->last_used_at);
        member_moment(out, "revoked_at", row->revoked_at);
        member_text(out, "created_by", row->creator);
        if (row->label)
                member_text(out, "label", row->label);
        if (row->is_short)
                buffer_text(out, ",\"short\":true");
}

static void answer_row(struct exchange *x, const struct token_row *row) {
        CAD_AUTO(buffer_done) struct buffer out = { 0 };

        token_json_open(&out, row, moment_now());
        buffer_text(&out, "}");
        exchange_reply_take(x, 200, "application/json", &out);
}

static void log_token(struct exchange *x, const struct token_row *row, const char *what) {
        const struct log_field fields[] = { { "CAD_TOKEN", row->id },
                                            { "CAD_PRINCIPAL", rest_principal(x)->text },
                                            { "CAD_REQUEST_ID", exchange_request_id(x) } };

        log_fields(LOG_LEVEL_NOTICE, fields, ARRAY_SIZE(fields), "token %s for %s%s is %s", row->id,
                   row->names[0], row->name_count > 1 ? ", …" : "", what);
}

/* ---- create ---- */

/* What the body said; texts are lent by the document. */
struct token_body {
        json_t *document;
        const json_t *names;
        const char *profile, *validity, *expires_in, *label;
        int64_t uses;
        bool is_short;
        const char *name_list[GRANT_NAMES_MAX];
};

static void token_body_done(struct token_body *body) {
        json_decref(body->document);
}
CAD_CLEANUP_DONE(struct token_body, token_body_done)

static const struct json_member token_members[] = {
        { "names", JSON_MEMBER_TEXTS, JSON_TO(struct token_body, names), true,
          REST_TOKEN_BODY_MAX }, /* read_names() counts */
        { "profile", JSON_MEMBER_TEXT, JSON_TO(struct token_body, profile), false, 64 },
        { "validity", JSON_MEMBER_TEXT, JSON_TO(struct token_body, validity), false, 32 },
        { "uses", JSON_MEMBER_INTEGER, JSON_TO(struct token_body, uses), false, TOKEN_USES_MAX },
        { "expires_in", JSON_MEMBER_TEXT, JSON_TO(struct token_body, expires_in), false, 32 },
        { "label", JSON_MEMBER_TEXT, JSON_TO(struct token_body, label), false, 256 },
        { "short", JSON_MEMBER_BOOL, JSON_TO(struct token_body, is_short), false, 0 },
};

static int read_names(struct token_body *body, struct token_wish *wish, struct error *err) {
        size_t count = json_array_size(body->names);

        if (count > GRANT_NAMES_MAX)
                return error_set_field(err, ERR_NAMES_TOO_MANY, "names",
                                       "there are %zu names: a token has %d at most", count,
                                       GRANT_NAMES_MAX);
        for (size_t i = 0; i < count; i++)
                body->name_list[i] = json_string_value(json_array_get(body->names, i));
        wish->names = body->name_list;
        wish->name_count = count;
        return 0;
}

static int read_duration(const char *text, const char *field, int64_t *ret, struct error *err) {
        if (!text)
                return 0;
        if (duration_parse(text, ret, err) < 0)
                return error_name_field(err, "%s", field);
        if (*ret == 0)
                return error_set_field(err, ERR_VALIDITY_OUT_OF_RANGE, field,
                                       "a time of 0 is none");
        return 0;
}

static int read_body(struct exchange *x, struct token_body *body, struct token_wish *wish,
                     struct error *err) {
        if (rest_read_json(x, token_members, ARRAY_SIZE(token_members), body, REST_TOKEN_BODY_MAX,
                           &body->document, err) < 0)
                return -1;
        wish->profile = body->profile;
        wish->uses = body->uses;
        wish->label = body->label;
        wish->is_short = body->is_short;
        if (read_names(body, wish, err) < 0 ||
            read_duration(body->validity, "validity", &wish->validity_max_s, err) < 0)
                return -1;
        return read_duration(body->expires_in, "expires_in", &wish->life_s, err);
}

static void answer_created(struct exchange *x, const struct token_row *row, const char *text) {
        CAD_AUTO(buffer_wipe) struct buffer out = { 0 };
        CAD_AUTO(buffer_done) struct buffer location = { 0 };

        (void) buffer_reserve(&out, 1024); /* a buffer that grows leaves copies behind */
        buffer_format(&location, "/v1/tokens/%s", row->id);
        token_json_open(&out, row, moment_now());
        member_text(&out, "token", text);
        buffer_text(&out, "}");
        exchange_reply_take(x, 201, "application/json", &out);
        exchange_reply_header(x, "Location", buffer_string(&location));
}

void rest_token_create(struct exchange *x) {
        CAD_AUTO(token_body_done) struct token_body body = { .uses = 1 };
        CAD_AUTO(token_row_free) struct token_row *row = NULL;
        struct token_wish wish = { .principal = rest_principal(x),
                                   .source = exchange_peer(x)->text,
                                   .request_id = exchange_request_id(x) };
        char text[TOKEN_TEXT_MAX];
        struct error err = { 0 };

        if (read_body(x, &body, &wish, &err) < 0 ||
            tokens_create(rest_authority(x), &wish, &row, text, &err) < 0) {
                exchange_problem(x, &err);
                return;
        }
        answer_created(x, row, text);
        explicit_bzero(text, sizeof(text));
        log_token(x, row, "made");
}

/* ---- list ---- */

struct list_query {
        const char *cursor;
        size_t limit;
};

static const struct rest_query_key list_keys[] = {
        { "cursor", rest_query_text, offsetof(struct list_query, cursor) },
        { "limit", rest_query_limit, offsetof(struct list_query, limit) },
};

static void append_row(const struct token_row *row, void *data) {
        struct rest_page *page = data;

        token_json_open(rest_page_row(page), row, page->now);
        buffer_text(&page->out, "}");
}

void rest_token_list(struct exchange *x) {
        CAD_AUTO(rest_page_done) struct rest_page page = rest_page_of("tokens");
        struct list_query q = { .limit = REST_LIST_DEFAULT };
        char next[STORE_CURSOR_MAX] = "";
        struct error err = { 0 };

        if (rest_query_read(x, list_keys, ARRAY_SIZE(list_keys), &q, &err) < 0 ||
            tokens_list(rest_authority(x), rest_principal(x), q.cursor, q.limit, append_row, &page,
                        next, &err) < 0)
                exchange_problem(x, &err);
        else
                rest_page_answer(x, &page, next);
}

/* ---- one ---- */

void rest_token_get(struct exchange *x) {
        CAD_AUTO(token_row_free) struct token_row *row = NULL;
        struct error err = { 0 };

        if (tokens_find(rest_authority(x), rest_principal(x), exchange_param(x, "id"), &row, &err) <
            0)
                exchange_problem(x, &err);
        else
                answer_row(x, row);
}

void rest_token_revoke(struct exchange *x) {
        CAD_AUTO(token_row_free) struct token_row *row = NULL;
        const struct token_revocation rq = { .principal = rest_principal(x),
                                             .id = exchange_param(x, "id"),
                                             .source = exchange_peer(x)->text,
                                             .request_id = exchange_request_id(x) };
        struct error err = { 0 };

        if (tokens_revoke(rest_authority(x), &rq, &row, &err) < 0) {
                exchange_problem(x, &err);
                return;
        }
        log_token(x, row, "revoked");
        answer_row(x, row);
}
