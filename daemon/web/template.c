/*
 * Templates: see template.h. Values may be anything that somebody has called a CA: what is not said to be markup is escaped.
 */
#include "daemon/web/template.h"

/* Control characters may stand in no XML (XML 1.0 §2.2), and a browser would show none. */
static const char *escape_of(uint8_t c) {
        switch (c) {
        case '&':
                return "&amp;";
        case '<':
                return "&lt;";
        case '>':
                return "&gt;";
        case '"':
                return "&quot;";
        case '\'':
                return "&#39;";
        default:
                return (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ? "?" : NULL;
        }
}

void template_escape(struct buffer *out, struct bytes text) {
        size_t begin = 0;

        for (size_t i = 0; i < text.size; i++) {
                const char *escaped = escape_of(text.data[i]);

                if (!escaped)
                        continue;
                buffer_append(out, BYTES(text.data + begin, i - begin));
                buffer_text(out, escaped);
                begin = i + 1;
        }
        if (begin < text.size)
                buffer_append(out, BYTES(text.data + begin, text.size - begin));
}

static const struct place *find_place(const struct place *places, size_t count, const char *name,
                                      size_t size) {
        for (size_t i = 0; i < count; i++)
                if (strlen(places[i].name) == size && memcmp(places[i].name, name, size) == 0)
                        return &places[i];
        return NULL;
}

int template_fill(const char *text, const struct place *places, size_t place_count,
                  struct buffer *out, struct error *err) {
        const char *at;

        for (; (at = strstr(text, "{{")); text = strstr(at, "}}") + 2) {
                const char *name = at + 2, *end = strstr(name, "}}");
                size_t size = end ? (size_t) (end - name) : 0;
                const struct place *place = NULL;

                if (end && size <= TEMPLATE_NAME_MAX)
                        place = find_place(places, place_count, name, size);
                if (!place)
                        return error_set(err, ERR_INTERNAL,
                                         "a template has a place '%.*s' that nothing is put into",
                                         TEMPLATE_NAME_MAX, name);
                buffer_append(out, BYTES(text, (size_t) (at - text)));
                if (place->is_markup)
                        buffer_append(out, place->value);
                else
                        template_escape(out, place->value);
        }
        buffer_text(out, text);
        return out->failed ? error_no_memory(err) : 0;
}
