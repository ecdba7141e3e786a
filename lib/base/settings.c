/*
 * Settings through inih, with the file and the line in every complaint.
 */
#include "settings.h"

#include <ctype.h>
#include <ini.h> /* inih */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "file.h"
#include "moment.h"
#include "text.h"

#define SETTINGS_FILE_MAX (1024u * 1024u) /* bytes; a person writes no more */
#define HIDDEN_SEMICOLON '\x01'           /* stands for ';' on its way through inih */

int setting_set_text(void *target, const char *value, size_t offset, struct error *err) {
        char **member = (char **) (void *) ((char *) target + offset);
        char *copy = strdup(value);

        if (!copy)
                return error_no_memory(err);
        free(*member);
        *member = copy;
        return 0;
}

/* The words of systemd.syntax(7). */
int setting_set_bool(void *target, const char *value, size_t offset, struct error *err) {
        static const struct {
                const char *word;
                bool value;
        } words[] = {
                { "yes", true },  { "true", true }, { "on", true },  { "1", true },
                { "y", true },    { "t", true },    { "no", false }, { "false", false },
                { "off", false }, { "0", false },   { "n", false },  { "f", false },
        };

        for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
                if (strcasecmp(value, words[i].word) == 0) {
                        *(bool *) ((char *) target + offset) = words[i].value;
                        return 0;
                }
        }
        return error_set(err, ERR_CONFIG, "'%.40s' is neither yes nor no", value);
}

int setting_set_u32(void *target, const char *value, size_t offset, struct error *err) {
        uint64_t number;

        if (text_to_u64(value, UINT32_MAX, &number) < 0)
                return error_set(err, ERR_CONFIG, "'%.40s' is not a whole number from 0 to %u",
                                 value, UINT32_MAX);
        *(uint32_t *) (void *) ((char *) target + offset) = (uint32_t) number;
        return 0;
}

int setting_set_duration(void *target, const char *value, size_t offset, struct error *err) {
        return duration_parse(value, (int64_t *) (void *) ((char *) target + offset), err);
}

struct settings_state {
        const struct setting *settings;
        void *target;
        const char *name;
        struct bytes left; /* what the reader has not handed out */
        int line;          /* of what it handed out last; Debian's inih does not tell its handler */
        struct error first; /* the first complaint: inih goes on after one */
        int first_line;
};

static int complain(struct settings_state *state, const char *text) {
        if (state->first.code != ERR_NONE)
                return 0;
        state->first_line = state->line;
        (void) error_set(&state->first, ERR_CONFIG, "%s:%d: %s", state->name, state->line, text);
        return 0;
}

/*
 * To systemd a comment is a line of its own; Debian's inih is built to end a value at a ';' behind white space too, and cannot be told
 * otherwise. So it does not see them: on_setting() puts them back.
 */
static void hide_semicolons(char *line) {
        char *at = strpbrk(line, "=:");

        for (; at && *at; at++)
                if (*at == ';' && isspace((unsigned char) at[-1]))
                        *at = HIDDEN_SEMICOLON;
}

static void show_semicolons(char *value) {
        while ((value = strchr(value, HIDDEN_SEMICOLON)))
                *value = ';';
}

/*
 * As fgets(): one line into @out, without the white space before it. inih would take an indented line for more of the
 * setting above it, and would cut a line that is too long in two and read the rest as a setting.
 */
static char *next_line(char *out, int size, void *stream) {
        struct settings_state *state = stream;
        struct bytes line = state->left;
        const uint8_t *end = line.size ? memchr(line.data, '\n', line.size) : NULL;
        char text[64];

        if (line.size == 0 || size < 2)
                return NULL;
        if (end)
                line.size = (size_t) (end - line.data) + 1;
        state->left = BYTES(line.data + line.size, state->left.size - line.size);
        state->line++;
        for (; line.size && (line.data[0] == ' ' || line.data[0] == '\t'); line.data++)
                line.size--;
        if (line.size > (size_t) size - 1) {
                (void) snprintf(text, sizeof(text), "this line is too long: %d bytes at most",
                                size - 2);
                (void) complain(state, text);
                return NULL;
        }
        if (line.size && memchr(line.data, HIDDEN_SEMICOLON, line.size)) {
                (void) complain(state, "this line has the control character 0x01");
                return NULL;
        }
        memcpy(out, line.data, line.size);
        out[line.size] = '\0';
        hide_semicolons(out);
        return out;
}

static int on_setting(void *user, const char *section, const char *key, const char *hidden) {
        struct settings_state *state = user;
        CAD_AUTO(free_text) char *value = strdup(hidden ? hidden : "");
        CAD_AUTO(buffer_done) struct buffer text = { 0 };
        struct error err = { 0 };
        bool section_known = false;

        if (!value)
                return complain(state, "out of memory");
        show_semicolons(value);
        for (const struct setting *row = state->settings; row->section; row++) {
                if (strcmp(row->section, section) != 0)
                        continue;
                section_known = true;
                if (!key || strcmp(row->key, key) != 0)
                        continue;
                if (row->set(state->target, value, row->offset, &err) == 0)
                        return 1;
                buffer_format(&text, "%s=: %s", key, err.text);
                return complain(state, buffer_string(&text));
        }
        if (!*section)
                buffer_format(&text, "%s= is in no section: a line [Section] comes before it",
                              key ? key : "");
        else if (!section_known)
                buffer_format(&text, "there is no section [%s]", section);
        else
                buffer_format(&text, "there is no setting %s= in [%s]", key ? key : "", section);
        return complain(state, buffer_string(&text));
}

int settings_parse(struct bytes content, const char *name, const struct setting *settings,
                   void *target, struct error *err) {
        struct settings_state state = {
                .settings = settings, .target = target, .name = name, .left = content
        };
        int rc;

        if (content.size && memchr(content.data, 0, content.size))
                return error_set(err, ERR_CONFIG, "%s: has a NUL byte: it is no text file", name);
        rc = ini_parse_stream(next_line, &state, on_setting, &state);
        /* a line that inih cannot read may make nonsense of those behind it: the first is the one to mend */
        if (state.first.code != ERR_NONE && (rc <= 0 || rc >= state.first_line)) {
                if (err)
                        *err = state.first;
                return -1;
        }
        if (rc > 0)
                return error_set(err, ERR_CONFIG,
                                 "%s:%d: this line is neither [Section] nor Key=Value", name, rc);
        return rc < 0 ? error_no_memory(err) : 0;
}

int settings_read(int dir_fd, const char *path, const struct setting *settings, void *target,
                  struct error *err) {
        CAD_AUTO(buffer_done) struct buffer content = { 0 };

        if (file_read(dir_fd, path, FILE_PUBLIC, SETTINGS_FILE_MAX, &content, err) < 0)
                return -1;
        return settings_parse(buffer_bytes(&content), path, settings, target, err);
}

int setting_words(const char *value,
                  int (*each)(const char *word, void *context, struct error *err), void *context,
                  struct error *err) {
        CAD_AUTO(free_text) char *copy = strdup(value);
        char *save = NULL;

        if (!copy)
                return error_no_memory(err);
        for (char *word = strtok_r(copy, " \t,", &save); word;
             word = strtok_r(NULL, " \t,", &save)) {
                int rc = each(word, context, err);

                if (rc != 0)
                        return rc;
        }
        return 0;
}
