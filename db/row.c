/*
 * Rows of any table, as far as they are alike: a copy in one block of memory, and names as they are stored, "a\nb".
 */
#include <string.h>

#include "db/internal.h"

/* ---- copies ------------------------------------------------------------------------------------------------ */

size_t row_text_room(const char *text) {
        return text ? strlen(text) + 1 : 0;
}

size_t row_names_room(const char *const *names, size_t count) {
        size_t room = count * sizeof(*names);

        for (size_t i = 0; i < count; i++)
                room += row_text_room(names[i]);
        return room;
}

const void *row_place(char **at, const void *data, size_t size) {
        char *start = *at;

        if (!data)
                return NULL;
        memcpy(start, data, size);
        *at += size;
        return start;
}

const char *row_place_text(char **at, const char *text) {
        return row_place(at, text, row_text_room(text));
}

const char *const *row_place_names(char **at, const char *const *names, size_t count) {
        const char **copy = (const char **) (void *) *at;

        *at = (char *) (copy + count);
        for (size_t i = 0; i < count; i++)
                copy[i] = row_place_text(at, names[i]);
        return copy;
}

/* ---- reading ----------------------------------------------------------------------------------------------- */

int row_damaged(const char *of, const char *how, struct error *err) {
        return error_set(err, ERR_STORE, "%s is damaged: %s %s; restore a backup", STORE_FILE, of,
                         how);
}

void row_names_done(struct row_names *names) {
        buffer_done(&names->text);
}

int row_names_split(struct row_names *names, const char *lines, const char *of, struct error *err) {
        char *text, *rest = NULL;

        names->text.size = 0;
        buffer_text(&names->text, lines);
        text = (char *) buffer_string(&names->text);
        if (names->text.failed)
                return error_no_memory(err);
        names->count = 0;
        for (char *name = strtok_r(text, "\n", &rest); name; name = strtok_r(NULL, "\n", &rest)) {
                if (names->count == STORE_NAMES_MAX)
                        return row_damaged(of, "with too many names", err);
                names->list[names->count++] = name;
        }
        return 0;
}
