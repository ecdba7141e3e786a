/*
 * Query: see query.h. What cannot be decoded to clean UTF-8 text is refused, never passed on half-decoded.
 */
#include "query.h"

#include <string.h>

#include "lib/base/text.h"

#define QUERY_KEY_SHOWN 40 /* bytes of a key in an error */

void query_clear(struct query *query) {
        query->text.size = 0;
        query->text.failed = false;
        query->len = 0;
}

void query_done(struct query *query) {
        buffer_done(&query->text);
        query->len = 0;
}

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        c = (char) (c | 0x20);
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Appends the decoded text and its NUL. */
static int decode(struct buffer *out, const char *in, const char *key, struct error *err) {
        size_t start = out->size;
        uint8_t *to = buffer_reserve(out, strlen(in) + 1);
        uint8_t *end = to;

        if (!to)
                return error_no_memory(err);
        for (const char *p = in; *p; p++) {
                uint8_t c = (uint8_t) *p;

                if (c == '%') {
                        int high = hex_digit(p[1]), low = high < 0 ? -1 : hex_digit(p[2]);

                        if (low < 0)
                                return error_set_field(
                                        err, ERR_QUERY_INVALID, key,
                                        "a '%%' in the query is not followed by two hex digits");
                        c = (uint8_t) (high << 4 | low);
                        p += 2;
                }
                if (c < 0x20 || c == 0x7f)
                        return error_set_field(err, ERR_QUERY_INVALID, key,
                                               "the query has a control character (0x%02x)", c);
                *end++ = c;
        }
        if (!utf8_valid(BYTES(to, end - to)))
                return error_set_field(err, ERR_QUERY_INVALID, key, "the query is not valid UTF-8");
        *end++ = '\0';
        out->size = start + (size_t) (end - to);
        return 0;
}

int query_add(struct query *query, const char *key, const char *value, bool repeats,
              struct error *err) {
        size_t key_at = query->text.size, value_at;
        char shown[QUERY_KEY_SHOWN];

        text_make_printable(key, shown, sizeof(shown));
        if (query->len == QUERY_MAX)
                return error_set(err, ERR_QUERY_INVALID, "the query has more than %d parameters",
                                 QUERY_MAX);
        if (!*key)
                return error_set(err, ERR_QUERY_INVALID,
                                 "the query has a parameter without a name");
        if (decode(&query->text, key, shown, err) < 0)
                return -1;
        value_at = query->text.size;
        if (decode(&query->text, value ? value : "", shown, err) < 0)
                return -1;
        if (!repeats && query_get(query, (const char *) query->text.data + key_at))
                return error_set_field(err, ERR_QUERY_INVALID, shown,
                                       "the query parameter %s is given twice", shown);
        query->parameters[query->len].key = key_at;
        query->parameters[query->len].value = value_at;
        query->len++;
        return 0;
}

bool query_at(const struct query *query, size_t i, const char **ret_key, const char **ret_value) {
        if (i >= query->len)
                return false;
        *ret_key = (const char *) query->text.data + query->parameters[i].key;
        *ret_value = (const char *) query->text.data + query->parameters[i].value;
        return true;
}

const char *query_get(const struct query *query, const char *key) {
        const char *each, *value;

        for (size_t i = 0; query_at(query, i, &each, &value); i++)
                if (strcmp(each, key) == 0)
                        return value;
        return NULL;
}
