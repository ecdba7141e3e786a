/*
 * JSON: see json.h. jansson does the parsing; what it would take too long over, or take too kindly, is refused before.
 */
#include "json.h"

#include <inttypes.h>
#include <string.h>

#include "lib/base/macros.h"
#include "lib/base/text.h"

#define NAME_SHOWN 48 /* bytes of a name in an error */

/* Depth of the nesting, of well-formed and other bytes alike: brackets outside of strings. */
static size_t depth_of(struct bytes body, size_t enough) {
        size_t depth = 0, deepest = 0;
        bool in_string = false;

        for (size_t i = 0; i < body.size && deepest <= enough; i++) {
                uint8_t c = body.data[i];

                if (in_string) {
                        if (c == '\\')
                                i++;
                        else if (c == '"')
                                in_string = false;
                } else if (c == '"')
                        in_string = true;
                else if (c == '[' || c == '{') {
                        if (++depth > deepest)
                                deepest = depth;
                } else if ((c == ']' || c == '}') && depth > 0)
                        depth--;
        }
        return deepest;
}

int json_read(struct bytes body, size_t depth_max, size_t size_max, json_t **ret,
              struct error *err) {
        json_error_t why;
        json_t *document;

        if (body.size > size_max)
                return error_set(err, ERR_BODY_TOO_LARGE,
                                 "the JSON has %zu bytes, %zu are the most", body.size, size_max);
        if (body.size == 0)
                return error_set(err, ERR_BODY_MALFORMED,
                                 "the body is empty; a JSON object is expected");
        if (body.size >= 3 && memcmp(body.data, "\xef\xbb\xbf", 3) == 0)
                return error_set(
                        err, ERR_BODY_MALFORMED,
                        "the JSON begins with a byte order mark; send it without (RFC 8259 §8.1)");
        if (depth_of(body, depth_max) > depth_max)
                return error_set(err, ERR_BODY_MALFORMED, "the JSON is nested deeper than %zu",
                                 depth_max);

        document = json_loadb((const char *) body.data, body.size, JSON_REJECT_DUPLICATES, &why);
        if (!document)
                /* without memory jansson often fails without a word */
                return json_error_code(&why) == json_error_out_of_memory || !why.text[0]
                        ? error_no_memory(err)
                        : error_set(err, ERR_BODY_MALFORMED,
                                    "the JSON cannot be read: %s (line %d, column %d)", why.text,
                                    why.line, why.column);
        *ret = document;
        return 0;
}

static int refuse(const struct json_member *member, struct error *err, const char *what) {
        return error_set_field(err, ERR_BODY_MALFORMED, member->name, "'%s' %s", member->name,
                               what);
}

static int take_text(const struct json_member *member, const json_t *value, void *to,
                     struct error *err) {
        if (!json_is_string(value))
                return refuse(member, err, "is not a string");
        if (json_string_length(value) > member->max)
                return error_set_field(err, ERR_BODY_MALFORMED, member->name,
                                       "'%s' has %zu bytes, %zu are the most", member->name,
                                       json_string_length(value), member->max);
        if (member->required && json_string_length(value) == 0)
                return refuse(member, err, "is empty");
        *(const char **) to = json_string_value(value);
        return 0;
}

static int take_texts(const struct json_member *member, const json_t *value, void *to,
                      struct error *err) {
        size_t i;
        json_t *each;

        if (!json_is_array(value))
                return refuse(member, err, "is not an array of strings");
        if (json_array_size(value) > member->max)
                return error_set_field(err, ERR_BODY_MALFORMED, member->name,
                                       "'%s' has %zu elements, %zu are the most", member->name,
                                       json_array_size(value), member->max);
        if (member->required && json_array_size(value) == 0)
                return refuse(member, err, "is empty");
        json_array_foreach(value, i, each) {
                if (!json_is_string(each) || json_string_length(each) > JSON_TEXT_MAX) {
                        (void) error_set(err, ERR_BODY_MALFORMED,
                                         "'%s[%zu]' is not a string of at most %d bytes",
                                         member->name, i, JSON_TEXT_MAX);
                        return error_name_field(err, "%s[%zu]", member->name, i);
                }
        }
        *(const json_t **) to = value;
        return 0;
}

static int take_bool(const struct json_member *member, const json_t *value, void *to,
                     struct error *err) {
        if (!json_is_boolean(value))
                return refuse(member, err, "is not true or false");
        *(bool *) to = json_is_true(value);
        return 0;
}

static int take_integer(const struct json_member *member, const json_t *value, void *to,
                        struct error *err) {
        if (!json_is_integer(value) || json_integer_value(value) < 0 ||
            (uint64_t) json_integer_value(value) > member->max)
                return error_set_field(err, ERR_BODY_MALFORMED, member->name,
                                       "'%s' is not a whole number from 0 to %zu", member->name,
                                       member->max);
        *(int64_t *) to = json_integer_value(value);
        return 0;
}

static int (*const takers[])(const struct json_member *, const json_t *, void *, struct error *) = {
        [JSON_MEMBER_TEXT] = take_text,
        [JSON_MEMBER_TEXTS] = take_texts,
        [JSON_MEMBER_BOOL] = take_bool,
        [JSON_MEMBER_INTEGER] = take_integer,
};
_Static_assert(ARRAY_SIZE(takers) == JSON_MEMBER_KIND_COUNT, "one taker a kind");

static int unknown(const char *name, const struct json_member *members, size_t members_len,
                   struct error *err) {
        CAD_AUTO(buffer_done) struct buffer known = { 0 };
        char shown[NAME_SHOWN];

        text_make_printable(name, shown, sizeof(shown));
        for (size_t i = 0; i < members_len; i++)
                buffer_format(&known, "%s%s", i ? ", " : "", members[i].name);
        return error_set_field(err, ERR_BODY_MALFORMED, shown,
                               "'%s' is not known here; known are: %s", shown,
                               members_len ? buffer_string(&known) : "no members at all");
}

static size_t member_index(const char *name, const struct json_member *members,
                           size_t members_len) {
        size_t i = 0;

        while (i < members_len && strcmp(members[i].name, name) != 0)
                i++;
        return i;
}

int json_members_read(const json_t *document, const struct json_member *members, size_t members_len,
                      void *target, unsigned *ret_given, struct error *err) {
        unsigned given = 0;
        const char *name;
        json_t *value;

        if (!json_is_object(document))
                return error_set(err, ERR_BODY_MALFORMED, "the JSON is not an object");
        json_object_foreach((json_t *) document, name, value) {
                size_t i = member_index(name, members, members_len);

                if (i == members_len)
                        return unknown(name, members, members_len, err);
                if (json_is_null(value))
                        continue;
                if (takers[members[i].kind](&members[i], value, (char *) target + members[i].offset,
                                            err) < 0)
                        return -1;
                given |= 1u << i;
        }
        for (size_t i = 0; i < members_len; i++)
                if (members[i].required && !(given & 1u << i))
                        return refuse(&members[i], err, "is missing");
        if (ret_given)
                *ret_given = given;
        return 0;
}

/* RFC 8259 §7: '"', '\' and the control characters must be escaped; the rest of UTF-8 stands for itself. */
void json_append_text(struct buffer *out, const char *text) {
        const char *run = text, *p;

        if (!text) {
                buffer_text(out, "null");
                return;
        }
        buffer_append(out, BYTES_LITERAL("\""));
        for (p = text; *p; p++) {
                unsigned char c = (unsigned char) *p;

                if (c >= 0x20 && c != '"' && c != '\\')
                        continue;
                buffer_append(out, BYTES(run, p - run));
                if (c == '\n')
                        buffer_append(out, BYTES_LITERAL("\\n"));
                else if (c < 0x20)
                        buffer_format(out, "\\u%04x", c);
                else
                        buffer_append(out, ((struct bytes){ (const uint8_t[]){ '\\', c }, 2 }));
                run = p + 1;
        }
        buffer_append(out, BYTES(run, p - run));
        buffer_append(out, BYTES_LITERAL("\""));
}

static int append_chunk(const char *data, size_t size, void *context) {
        struct buffer *out = context;

        buffer_append(out, BYTES(data, size));
        return out->failed ? -1 : 0;
}

void json_append(struct buffer *out, const json_t *document) {
        if (json_dump_callback(document, append_chunk, out, JSON_COMPACT) < 0)
                out->failed = true;
}
