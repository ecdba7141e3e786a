/*
 * GET /v1/audit: the rows, as they are chained; GET /v1/audit/anchors: what the chain is held against.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/authority/audit.h"
#include "daemon/http/json.h"
#include "daemon/rest/rest.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

#define LIST_DEFAULT 100

/* ---- what is asked ---- */

struct audit_query {
        struct audit_filter filter;
        const char *cursor;
        size_t limit;
};

static int query_text(struct audit_query *q, const char *value, size_t offset, struct error *err) {
        (void) err;
        memcpy((char *) q + offset, &value, sizeof(value));
        return 0;
}

static int query_moment(struct audit_query *q, const char *value, size_t offset,
                        struct error *err) {
        int64_t t;

        if (moment_parse(value, &t, err) < 0)
                return -1;
        memcpy((char *) q + offset, &t, sizeof(t));
        return 0;
}

static int query_limit(struct audit_query *q, const char *value, size_t offset, struct error *err) {
        uint64_t limit;

        (void) offset;
        if (text_to_u64(value, AUDIT_PAGE_MAX, &limit) < 0 || limit == 0)
                return error_set(err, ERR_QUERY_INVALID, "'%.40s' is no number from 1 to %d", value,
                                 AUDIT_PAGE_MAX);
        q->limit = (size_t) limit;
        return 0;
}

#define AT(member) offsetof(struct audit_query, member)
static const struct {
        const char *key;
        int (*set)(struct audit_query *q, const char *value, size_t offset, struct error *err);
        size_t offset;
} list_keys[] = {
        { "action", query_text, AT(filter.action) },
        { "principal", query_text, AT(filter.principal) },
        { "object", query_text, AT(filter.object) },
        { "since", query_moment, AT(filter.since) },
        { "until", query_moment, AT(filter.until) },
        { "cursor", query_text, AT(cursor) },
        { "limit", query_limit, 0 },
};

static int read_one(struct audit_query *q, const char *key, const char *value, struct error *err) {
        for (size_t i = 0; i < ARRAY_SIZE(list_keys); i++) {
                if (strcmp(list_keys[i].key, key) != 0)
                        continue;
                if (list_keys[i].set(q, value, list_keys[i].offset, err) == 0)
                        return 0;
                err->code = ERR_QUERY_INVALID;
                return error_name_field(err, "%s", key);
        }
        return error_set_field(err, ERR_QUERY_INVALID, key,
                               "there is no query parameter '%.40s' here", key);
}

static int read_query(struct exchange *x, struct audit_query *q, struct error *err) {
        const char *key, *value;

        *q = (struct audit_query){ .limit = LIST_DEFAULT };
        for (size_t i = 0; exchange_query_at(x, i, &key, &value); i++)
                if (read_one(q, key, value, err) < 0)
                        return -1;
        return 0;
}

/* ---- rows ---- */

struct audit_page {
        struct buffer out;
        size_t count;
};

/* What cad never writes is shown as well as it can be: then it does not fit its hash, which is right. */
static void append_text(struct buffer *out, struct bytes text) {
        char shown[AUDIT_DETAIL_MAX + 1];

        json_append_text(out, text_printable(text, shown, sizeof(shown)));
}

static void append_hash(struct buffer *out, const uint8_t *hash) {
        char text[2 * AUDIT_HASH_SIZE + 1];

        buffer_format(out, "\"hash\":\"%s\"}", hex_encode(BYTES(hash, AUDIT_HASH_SIZE), text));
}

static void append_row(const struct audit_row *row, void *data) {
        struct audit_page *page = data;
        char at[MOMENT_TEXT_MAX];
        bool plausible = row->at >= 0 && row->at <= MOMENT_LAST;

        buffer_format(&page->out, "%s{\"number\":%" PRId64 ",\"at\":\"%s\"",
                      page->count++ ? "," : "", row->number,
                      moment_format(plausible ? row->at : 0, at));
        for (int i = 0; i < AUDIT_TEXT_COUNT; i++) {
                buffer_format(&page->out, ",\"%s\":", audit_text_name(i));
                append_text(&page->out, row->text[i]);
        }
        buffer_text(&page->out, ",");
        append_hash(&page->out, row->hash);
}

void rest_audit_list(struct exchange *x) {
        struct audit_page page = { .out = { 0 } };
        char next[AUDIT_CURSOR_MAX] = "";
        struct audit_query q;
        struct error err = { 0 };

        buffer_text(&page.out, "{\"audit\":[");
        if (read_query(x, &q, &err) < 0 ||
            audit_list(rest_authority(x), rest_principal(x), &q.filter, q.cursor, q.limit,
                       append_row, &page, next, &err) < 0) {
                exchange_problem(x, &err);
        } else {
                buffer_text(&page.out, "],\"next\":");
                json_append_text(&page.out, next[0] ? next : NULL);
                buffer_text(&page.out, "}");
                exchange_reply_take(x, 200, "application/json", &page.out);
        }
        buffer_done(&page.out);
}

/* ---- what they are held against ---- */

void rest_audit_anchors(struct exchange *x) {
        static const char *const none[] = { NULL };
        CAD_AUTO(buffer_done) struct buffer out = { 0 };
        struct audit_state state;
        struct error err = { 0 };
        char hash[2 * AUDIT_HASH_SIZE + 1], at[MOMENT_TEXT_MAX];

        if (exchange_query_known(x, none, &err) < 0 ||
            audit_state(rest_authority(x), rest_principal(x), &state, &err) < 0) {
                exchange_problem(x, &err);
                return;
        }
        buffer_format(&out, "{\"begin\":\"%s\",\"head\":{\"number\":%" PRId64 ",",
                      hex_encode(BYTES(state.begin, AUDIT_HASH_SIZE), hash), state.head.number);
        append_hash(&out, state.head.hash);
        buffer_text(&out, ",\"anchors\":[");
        for (size_t i = 0; i < state.anchors.count; i++) {
                const struct audit_anchor *anchor = &state.anchors.list[i];

                buffer_format(&out, "%s{\"at\":\"%s\",\"number\":%" PRId64 ",", i ? "," : "",
                              moment_format(anchor->at, at), anchor->number);
                append_hash(&out, anchor->hash);
        }
        buffer_text(&out, "]}");
        exchange_reply_take(x, 200, "application/json", &out);
}
