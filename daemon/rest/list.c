/*
 * Lists of REST: see list.h.
 */
#include "daemon/rest/list.h"

#include <string.h>

#include "daemon/authority/authority.h"
#include "daemon/http/json.h"
#include "lib/base/moment.h"
#include "lib/base/text.h"

/* ---- the query ---- */

int rest_query_text(void *target, const char *value, size_t offset, struct error *err) {
        (void) err;
        memcpy((char *) target + offset, &value, sizeof(value));
        return 0;
}

int rest_query_moment(void *target, const char *value, size_t offset, struct error *err) {
        int64_t t;

        if (moment_parse(value, &t, err) < 0)
                return -1;
        memcpy((char *) target + offset, &t, sizeof(t));
        return 0;
}

int rest_query_limit(void *target, const char *value, size_t offset, struct error *err) {
        uint64_t number;
        size_t limit;

        if (text_to_u64(value, STORE_PAGE_MAX, &number) < 0 || number == 0)
                return error_set(err, ERR_QUERY_INVALID, "'%.40s' is no number from 1 to %d", value,
                                 STORE_PAGE_MAX);
        limit = (size_t) number;
        memcpy((char *) target + offset, &limit, sizeof(limit));
        return 0;
}

static int no_such_key(const struct rest_query_key *keys, size_t count, const char *key,
                       struct error *err) {
        CAD_AUTO(buffer_done) struct buffer known = { 0 };

        for (size_t i = 0; i < count; i++)
                buffer_format(&known, "%s%s", i ? ", " : "", keys[i].key);
        return error_set_field(err, ERR_QUERY_INVALID, key,
                               "the query parameter '%.40s' is not known here; known are: %s", key,
                               buffer_string(&known));
}

static int read_one(const struct rest_query_key *keys, size_t count, void *target, const char *key,
                    const char *value, struct error *err) {
        for (size_t i = 0; i < count; i++) {
                if (strcmp(keys[i].key, key) != 0)
                        continue;
                if (keys[i].set(target, value, keys[i].offset, err) == 0)
                        return 0;
                err->code = ERR_QUERY_INVALID;
                return error_name_field(err, "%s", key);
        }
        return no_such_key(keys, count, key, err);
}

int rest_query_read(const struct exchange *x, const struct rest_query_key *keys, size_t count,
                    void *target, struct error *err) {
        const char *key, *value;

        for (size_t i = 0; exchange_query_at(x, i, &key, &value); i++)
                if (read_one(keys, count, target, key, value, err) < 0)
                        return -1;
        return 0;
}

/* ---- the answer ---- */

struct rest_page rest_page_of(const char *name) {
        struct rest_page page = { .now = moment_now() };

        buffer_format(&page.out, "{\"%s\":[", name);
        return page;
}

void rest_page_done(struct rest_page *page) {
        buffer_done(&page->out);
}

struct buffer *rest_page_row(struct rest_page *page) {
        buffer_text(&page->out, page->count++ ? "," : "");
        return &page->out;
}

void rest_page_answer(struct exchange *x, struct rest_page *page, const char *next) {
        buffer_text(&page->out, "],\"next\":");
        json_append_text(&page->out, next[0] ? next : NULL);
        buffer_text(&page->out, "}");
        exchange_reply_take(x, 200, "application/json", &page->out);
}
