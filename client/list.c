/*
 * See list.h. What a line says is not looked at here.
 */
#include "list.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "files.h"
#include "lib/base/text.h"
#include "output.h"

#define WHERE_MAX 4200 /* bytes with NUL */

struct run {
        struct client *c;
        const struct list_work *work;
        char folder[4096];
        size_t lines, at; /* how many there are to do, and which this one is */
        size_t done, skipped, failed;
        bool stopped, unreachable;
        json_t *devices; /* for --json */
};

/* ---- telling ---- */

static bool shows_progress(const struct run *r) {
        return !r->c->quiet && terminal_on(STDERR_FILENO);
}

static void clear_progress(const struct run *r) {
        if (shows_progress(r))
                (void) fprintf(stderr, "\r\033[K");
}

static void progress(const struct run *r, const char *where) {
        char shown[64];

        if (!shows_progress(r))
                return;
        (void) text_printable(bytes_of(where), shown, sizeof(shown));
        (void) fprintf(stderr, "\r\033[K%zu/%zu %s", r->at, r->lines, shown);
        (void) fflush(stderr);
}

static const char *outcome_name(const struct run *r, enum line_outcome outcome) {
        return outcome == LINE_DONE       ? r->work->done
                : outcome == LINE_SKIPPED ? "skipped"
                                          : "failed";
}

static void note(struct run *r, const struct list_line *line, enum line_outcome outcome,
                 const char *what, const char *serial) {
        r->done += outcome == LINE_DONE;
        r->skipped += outcome == LINE_SKIPPED;
        r->failed += outcome == LINE_FAILED || outcome == LINE_STOP;
        r->unreachable = outcome == LINE_STOP;
        r->stopped = outcome == LINE_STOP || (outcome == LINE_FAILED && r->work->stop);
        if (r->c->json)
                (void) json_array_append_new(r->devices,
                                             json_pack("{s:s, s:s, s:s, s:s*}", "where",
                                                       line->where, "name", what, "outcome",
                                                       outcome_name(r, outcome), "serial",
                                                       *serial ? serial : NULL));
}

static enum result summary(struct run *r) {
        size_t left = r->lines - r->done - r->skipped - r->failed;

        if (r->c->json) {
                CAD_AUTO(json_free)
                json_t *object = json_pack("{s:I, s:I, s:I, s:I, s:O}", r->work->done,
                                           (json_int_t) r->done, "skipped", (json_int_t) r->skipped,
                                           "failed", (json_int_t) r->failed, "left",
                                           (json_int_t) left, "devices", r->devices);

                put_json(object);
        } else if (!r->c->quiet) {
                put(r->failed ? TONE_WARN : TONE_GOOD, "%zu %s, %zu there already, %zu failed%s",
                    r->done, r->work->done, r->skipped, r->failed,
                    left ? ", and not all were tried" : "");
        }
        if (r->failed)
                say(r->c, "the same command again does what is left, and nothing twice");
        if (r->unreachable)
                return UNREACHABLE;
        return r->failed || left ? REFUSED : DONE;
}

/* ---- one after the other ---- */

static void work_line(struct run *r, const char *where, const char *const *words, size_t count) {
        const struct list_line line = {
                .where = where, .words = words, .count = count, .folder = r->folder
        };
        CAD_AUTO(buffer_done) struct buffer what = { 0 };
        char serial[SERIAL_TEXT_MAX] = "";
        enum line_outcome outcome;

        r->at++;
        progress(r, words[0]);
        fail_about(where, shows_progress(r));
        outcome = r->work->each(r->c, &line, r->work->context, &what, serial);
        fail_about(NULL, false);
        clear_progress(r);
        note(r, &line, outcome, buffer_string(&what), serial);
}

/* ---- a file ---- */

/* Quotes separate, too: a spreadsheet puts them around a cell with several names. */
#define SEPARATORS " \t,;\r\""

/* The words of a line, cut apart where they stand. Return: how many, LIST_WORDS_MAX + 1: too many */
static size_t split(char *line, const char *words[LIST_WORDS_MAX]) {
        size_t count = 0;

        for (char *at = line; *(at += strspn(at, SEPARATORS)) && *at != '#';) {
                size_t length = strcspn(at, SEPARATORS);

                if (count == LIST_WORDS_MAX)
                        return LIST_WORDS_MAX + 1;
                words[count++] = at;
                at += length;
                if (*at)
                        *at++ = '\0';
        }
        return count;
}

/* The next line of @rest, ended by NUL in place of its LF; NULL: none is left */
static char *next_line(char **rest) {
        char *line = *rest, *end = line ? strchr(line, '\n') : NULL;

        if (!line || !*line)
                return NULL;
        if (end)
                *end = '\0';
        *rest = end ? end + 1 : NULL;
        return line;
}

static bool says_something(const char *line) {
        line += strspn(line, SEPARATORS);
        return *line && *line != '#';
}

static size_t count_lines(const char *text) {
        size_t count = 0;

        for (; *text; text += strcspn(text, "\n"), text += *text == '\n')
                count += says_something(text) && *text != '\n' &&
                        strspn(text, SEPARATORS) < strcspn(text, "\n");
        return count;
}

static void set_folder(struct run *r, const char *path) {
        const char *slash = strrchr(path, '/');

        if (slash && (size_t) (slash - path) < sizeof(r->folder))
                (void) snprintf(r->folder, sizeof(r->folder), "%.*s", (int) (slash - path + 1),
                                path);
        else
                (void) snprintf(r->folder, sizeof(r->folder), "./");
}

static void work_file(struct run *r, const char *path, char *text) {
        const char *words[LIST_WORDS_MAX];
        char *rest = text, *line;

        for (size_t number = 1; !r->stopped && (line = next_line(&rest)); number++) {
                char where[WHERE_MAX];
                size_t count;

                if (!says_something(line))
                        continue;
                (void) snprintf(where, sizeof(where), "%.4096s:%zu",
                                text_equal(path, "-") ? "standard input" : path, number);
                count = split(line, words);
                if (count <= LIST_WORDS_MAX && count > 0) {
                        work_line(r, where, words, count);
                        continue;
                }
                r->at++;
                clear_progress(r);
                (void) fail(REFUSED, "%s: more than %d words", where, LIST_WORDS_MAX);
                note(r, &(struct list_line){ .where = where }, LINE_FAILED, "", "");
        }
}

static enum result begin(struct run *r) {
        r->devices = json_array();
        return r->devices ? DONE : fail(REFUSED, "out of memory");
}

enum result list_run(struct client *c, const char *path, const struct list_work *work) {
        struct run r = { .c = c, .work = work };
        CAD_AUTO(buffer_done) struct buffer content = { 0 };
        struct error err = { 0 };
        enum result result;
        char *text;

        if (input_read(path, &content, &err) < 0)
                return fail_error(&err);
        if (memchr(content.data ? content.data : (uint8_t *) "", '\0', content.size) ||
            !utf8_valid(buffer_bytes(&content)))
                return fail(
                        REFUSED,
                        "%s is no text in UTF-8: save it as CSV (UTF-8), a line for each device",
                        path);
        buffer_append(&content, BYTES("", 1));
        if (content.failed)
                return fail(REFUSED, "out of memory");
        text = (char *) content.data;
        if (strncmp(text, "\xef\xbb\xbf", 3) == 0)
                text += 3;
        r.lines = count_lines(text);
        if (r.lines == 0)
                return fail(REFUSED, "%s has no line that says anything", path);
        set_folder(&r, path);
        result = begin(&r);
        if (result == DONE) {
                work_file(&r, path, text);
                result = summary(&r);
        }
        json_decref(r.devices);
        return result;
}

/* ---- a folder ---- */

static bool ends_like(const char *name, const char *const *suffixes) {
        for (; *suffixes; suffixes++)
                if (text_ends_with(name, *suffixes))
                        return true;
        return false;
}

static void work_folder(struct run *r, const char *path, struct dirent **entries, int count,
                        const char *const *suffixes) {
        for (int i = 0; i < count; i++)
                r->lines += ends_like(entries[i]->d_name, suffixes);
        for (int i = 0; i < count && !r->stopped; i++) {
                const char *word = entries[i]->d_name;
                char where[WHERE_MAX];

                if (!ends_like(word, suffixes))
                        continue;
                (void) snprintf(where, sizeof(where), "%.3900s/%.255s", path, word);
                work_line(r, where, &word, 1);
        }
}

enum result list_run_folder(struct client *c, const char *path, const char *const *suffixes,
                            const struct list_work *work) {
        struct run r = { .c = c, .work = work };
        struct dirent **entries = NULL;
        int count = scandir(path, &entries, NULL, alphasort);
        enum result result;

        if (count < 0)
                return fail(REFUSED, "cannot list %s: %s", path, strerror(errno));
        (void) snprintf(r.folder, sizeof(r.folder), "%.4000s/", path);
        result = begin(&r);
        if (result == DONE) {
                work_folder(&r, path, entries, count, suffixes);
                result = r.lines
                        ? summary(&r)
                        : fail(REFUSED, "%s has no file that ends in %s", path, suffixes[0]);
        }
        json_decref(r.devices);
        for (int i = 0; i < count; i++)
                free(entries[i]);
        free(entries);
        return result;
}
