/*
 * GET /v1/audit: the rows, as they are chained; GET /v1/audit/anchors: what the chain is held against.
 */
#include <inttypes.h>

#include "daemon/authority/audit.h"
#include "daemon/http/json.h"
#include "daemon/rest/list.h"
#include "daemon/rest/rest.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

_Static_assert(AUDIT_PAGE_MAX == STORE_PAGE_MAX, "rest_query_limit() is for both");

/* ---- what is asked ---- */

struct audit_query {
        struct audit_filter filter;
        const char *cursor;
        size_t limit;
};

#define AT(member) offsetof(struct audit_query, member)
static const struct rest_query_key list_keys[] = {
        { "action", rest_query_text, AT(filter.action) },
        { "principal", rest_query_text, AT(filter.principal) },
        { "object", rest_query_text, AT(filter.object) },
        { "since", rest_query_moment, AT(filter.since) },
        { "until", rest_query_moment, AT(filter.until) },
        { "cursor", rest_query_text, AT(cursor) },
        { "limit", rest_query_limit, AT(limit) },
};

/* ---- rows ---- */

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
        struct buffer *out = rest_page_row(data);
        char at[MOMENT_TEXT_MAX];
        bool plausible = row->at >= 0 && row->at <= MOMENT_LAST;

        buffer_format(out, "{\"number\":%" PRId64 ",\"at\":\"%s\"", row->number,
                      moment_format(plausible ? row->at : 0, at));
        for (int i = 0; i < AUDIT_TEXT_COUNT; i++) {
                buffer_format(out, ",\"%s\":", audit_text_name(i));
                append_text(out, row->text[i]);
        }
        buffer_text(out, ",");
        append_hash(out, row->hash);
}

void rest_audit_list(struct exchange *x) {
        CAD_AUTO(rest_page_done) struct rest_page page = rest_page_of("audit");
        struct audit_query q = { .limit = REST_LIST_DEFAULT };
        char next[AUDIT_CURSOR_MAX] = "";
        struct error err = { 0 };

        if (rest_query_read(x, list_keys, ARRAY_SIZE(list_keys), &q, &err) < 0 ||
            audit_list(rest_authority(x), rest_principal(x), &q.filter, q.cursor, q.limit,
                       append_row, &page, next, &err) < 0)
                exchange_problem(x, &err);
        else
                rest_page_answer(x, &page, next);
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
