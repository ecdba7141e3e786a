/*
 * Tables, facts, JSON, messages. It must never let a byte of a peer reach a terminal as a control sequence.
 */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "lib/base/moment.h"
#include "lib/base/text.h"

#define FACT_INDENT 2
#define FACT_LABEL 14   /* columns of a label with the blanks behind it */
#define WRAP_MIN 40     /* columns: a narrower terminal gets long lines */
#define FLEXIBLE_MIN 16 /* columns that a cut cell keeps */
#define COLUMN_GAP 2
#define TABLE_COLUMNS_MAX 8

/* What standard output is: set by output_init(), but for the error. */
static struct {
        bool colour;
        size_t width;      /* columns; 0: not a terminal, nothing is cut or wrapped */
        int error;         /* errno of the first write that failed; 0: none */
        const char *about; /* fail_about() */
        bool over_progress;
} screen;

bool terminal_on(int fd) {
        return isatty(fd) == 1;
}

/* A closed descriptor would be given to the next file that is opened, a key perhaps, and then be written to. */
static void fill_standard_descriptors(void) {
        for (int fd = 0; fd <= 2; fd++) {
                if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
                        continue;
                /* 1 is opened for reading, so that writing to it is found out */
                if (open("/dev/null", fd == 2 ? O_WRONLY : O_RDONLY) < 0)
                        _exit(REFUSED);
        }
}

void output_init(void) {
        const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
        struct winsize size = { 0 };

        fill_standard_descriptors();
        /* for wcwidth() alone: what is shown is UTF-8, whatever the caller's locale is called */
        (void) setlocale(LC_CTYPE, "C.UTF-8");
        if (!terminal_on(STDOUT_FILENO))
                return;
        screen.colour = (!no_color || !*no_color) && term && *term && !text_equal(term, "dumb");
        screen.width = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col
                                                                                   : 80;
}

/* Everything to standard output goes through here, so that the reason of the first failure is kept. */
static void emit_bytes(const void *data, size_t size) {
        if (size && !screen.error && fwrite(data, 1, size, stdout) != size)
                screen.error = errno ? errno : EIO;
}

static void emit(const char *text) {
        emit_bytes(text, strlen(text));
}

bool output_broken(void) {
        if (!screen.error && fflush(stdout) != 0)
                screen.error = errno ? errno : EIO;
        return screen.error != 0;
}

enum result output_close(void) {
        if (!output_broken())
                return DONE;
        return fail(REFUSED, "cannot write to standard output: %s", strerror(screen.error));
}

/* printf, then one printable line of it: a line break in a peer's text shall not begin a line of ours. */
static char *CAD_PRINTF(1, 0) printable_line(const char *format, va_list args) {
        CAD_AUTO(free_text) char *raw = NULL;
        char *out;
        size_t size;

        if (vasprintf(&raw, format, args) < 0) {
                raw = NULL;
                return NULL;
        }
        for (char *p = raw; *p; p++)
                if (*p == '\n' || *p == '\r' || *p == '\t')
                        *p = ' ';
        size = strlen(raw) + sizeof("…") + 1;
        out = malloc(size);
        if (out)
                text_make_printable(raw, out, size);
        return out;
}

enum result fail(enum result result, const char *format, ...) {
        CAD_AUTO(free_text) char *text = NULL;
        va_list args;

        va_start(args, format);
        text = printable_line(format, args);
        va_end(args);
        /* what was written before comes first where both go to one place */
        (void) output_broken();
        (void) fprintf(stderr, "%scactl: %s%s%s\n", screen.over_progress ? "\r\033[K" : "",
                       screen.about ? screen.about : "", screen.about ? ": " : "",
                       text ? text : "out of memory");
        return result;
}

void fail_about(const char *where, bool over_progress) {
        screen.about = where;
        screen.over_progress = over_progress;
}

enum result fail_error(const struct error *err) {
        return fail(err->code == ERR_USAGE ? WRONG_USAGE : REFUSED, "%s", err->text);
}

void say(const struct client *c, const char *format, ...) {
        CAD_AUTO(free_text) char *text = NULL;
        va_list args;

        if (c->quiet)
                return;
        va_start(args, format);
        text = printable_line(format, args);
        va_end(args);
        (void) output_broken();
        (void) fprintf(stderr, "%s\n", text ? text : "out of memory");
}

static const char *tone_start(enum tone tone) {
        static const char *const codes[] = {
                [TONE_PLAIN] = "",        [TONE_STRONG] = "\033[1m", [TONE_DIM] = "\033[2m",
                [TONE_GOOD] = "\033[32m", [TONE_WARN] = "\033[33m",  [TONE_BAD] = "\033[31m",
        };

        return screen.colour ? codes[tone] : "";
}

static const char *tone_end(enum tone tone) {
        return screen.colour && tone != TONE_PLAIN ? "\033[0m" : "";
}

static void emit_toned(enum tone tone, const char *text) {
        emit(tone_start(tone));
        emit(text);
        emit(tone_end(tone));
}

void put(enum tone tone, const char *format, ...) {
        CAD_AUTO(free_text) char *text = NULL;
        va_list args;

        va_start(args, format);
        text = printable_line(format, args);
        va_end(args);
        emit_toned(tone, text ? text : "");
        emit("\n");
}

void put_raw(struct bytes bytes) {
        emit_bytes(bytes.data, bytes.size);
}

/* The code point at @p where it is one that a terminal obeys and JSON lets through: DEL, C1, bidi controls. */
static unsigned obeyed_code_point(const char *p, size_t *ret_size) {
        const uint8_t *b = (const uint8_t *) p;

        *ret_size = 1;
        if (b[0] == 0x7f)
                return b[0];
        if (b[0] == 0xc2 && b[1] < 0xa0) {
                *ret_size = 2;
                return b[1];
        }
        *ret_size = 3;
        if (b[0] == 0xe2 && b[1] == 0x80 && b[2] >= 0xaa && b[2] <= 0xae)
                return 0x2000u | (b[2] & 0x3fu);
        if (b[0] == 0xe2 && b[1] == 0x81 && b[2] >= 0xa6 && b[2] <= 0xa9)
                return 0x2040u | (b[2] & 0x3fu);
        return 0;
}

void put_json(const json_t *value) {
        CAD_AUTO(free_text) char *text = json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY);

        for (const char *p = text; p && *p;) {
                size_t size;
                unsigned code = obeyed_code_point(p, &size);

                if (code) {
                        char escaped[8];

                        (void) snprintf(escaped, sizeof(escaped), "\\u%04x", code & 0xffffu);
                        emit(escaped);
                } else {
                        emit_bytes(p, 1);
                }
                p += code ? size : 1;
        }
        emit("\n");
}

size_t text_width(const char *text) {
        size_t width = 0, left = strlen(text);
        mbstate_t state = { 0 };

        while (left) {
                wchar_t wide;
                size_t n = mbrtowc(&wide, text, left, &state);
                int columns;

                if (n == 0 || n > left) { /* not UTF-8, or no such locale: a column a byte */
                        memset(&state, 0, sizeof(state));
                        n = 1;
                        columns = 1;
                } else {
                        columns = wcwidth(wide);
                }
                width += columns > 0 ? (size_t) columns : 0;
                text += n;
                left -= n;
        }
        return width;
}

static void emit_blanks(size_t count) {
        for (; count; count--)
                emit(" ");
}

/* @text, broken at blanks so that no line is longer than @screen_width; following lines begin at @indent. */
static void put_wrapped(const char *text, size_t indent, size_t screen_width) {
        size_t room = screen_width > indent + WRAP_MIN ? screen_width - indent : SIZE_MAX, used = 0;

        while (*text) {
                size_t length = strcspn(text, " ");
                CAD_AUTO(free_text) char *word = strndup(text, length);
                size_t width = word ? text_width(word) : 0;

                if (used && used + 1 + width > room) {
                        emit("\n");
                        emit_blanks(indent);
                        used = 0;
                }
                if (used)
                        emit(" ");
                emit(word ? word : "");
                used += width + (used ? 1 : 0);
                text += length;
                if (*text)
                        text++;
        }
}

void put_paragraph(const char *text) {
        put_wrapped(text, /* indent= */ 0, screen.width ? screen.width : 80);
        emit("\n");
}

void fact(const char *label, enum tone tone, const char *format, ...) {
        CAD_AUTO(free_text) char *text = NULL;
        size_t width = text_width(label);
        va_list args;

        va_start(args, format);
        text = printable_line(format, args);
        va_end(args);
        emit_blanks(FACT_INDENT);
        emit_toned(TONE_DIM, label);
        emit_blanks(width < FACT_LABEL ? FACT_LABEL - width : 1);
        emit(tone_start(tone));
        put_wrapped(text ? text : "", FACT_INDENT + FACT_LABEL, screen.width);
        emit(tone_end(tone));
        emit("\n");
}

struct cell {
        char *text;
        enum tone tone;
};

struct table {
        const struct column *columns;
        size_t column_count;
        size_t widths[TABLE_COLUMNS_MAX];
        struct cell *cells;
        size_t count, capacity;
        size_t next; /* column of the next cell */
        bool titled; /* the titles have been printed */
};

struct table *table_new(const struct column *columns, size_t count) {
        struct table *t = count <= TABLE_COLUMNS_MAX ? calloc(1, sizeof(*t)) : NULL;

        if (!t)
                return NULL;
        t->columns = columns;
        t->column_count = count;
        for (size_t i = 0; i < count; i++)
                t->widths[i] = text_width(columns[i].title);
        return t;
}

static void table_clear(struct table *t) {
        for (size_t i = 0; i < t->count; i++)
                free(t->cells[i].text);
        t->count = 0;
        t->next = 0;
}

struct table *table_free(struct table *t) {
        if (!t)
                return NULL;
        table_clear(t);
        free(t->cells);
        free(t);
        return NULL;
}

void table_cell(struct table *t, enum tone tone, const char *text) {
        size_t size = strlen(text) + sizeof("…"), width;
        char *copy = malloc(size);

        if (t->count == t->capacity) {
                size_t capacity = t->capacity ? 2 * t->capacity : 64;
                struct cell *cells = reallocarray(t->cells, capacity, sizeof(*cells));

                if (!cells) {
                        free(copy);
                        return;
                }
                t->cells = cells;
                t->capacity = capacity;
        }
        if (copy) {
                text_make_printable(text, copy, size);
                width = text_width(copy);
                if (width > t->widths[t->next])
                        t->widths[t->next] = width;
        }
        t->cells[t->count++] = (struct cell){ copy, tone };
        t->next = t->next + 1 < t->column_count ? t->next + 1 : 0;
}

/* How wide a column may be: the flexible one gives way where the terminal is too narrow. */
static size_t column_room(const struct table *t, size_t column) {
        size_t others = COLUMN_GAP * (t->column_count - 1);

        if (!screen.width || !t->columns[column].flexible)
                return t->widths[column];
        for (size_t i = 0; i < t->column_count; i++)
                others += i == column ? 0 : t->widths[i];
        if (others + t->widths[column] <= screen.width)
                return t->widths[column];
        return screen.width > others + FLEXIBLE_MIN ? screen.width - others : FLEXIBLE_MIN;
}

/* Cut @text in place so that it takes at most @room columns, the last of them "…". It has room for that. */
static void cut_to(char *text, size_t room) {
        size_t length = strlen(text);

        if (text_width(text) <= room)
                return;
        while (length) {
                /* back to the start of a character */
                do
                        length--;
                while (length && ((uint8_t) text[length] & 0xc0) == 0x80);
                text[length] = '\0';
                if (text_width(text) + 1 <= room)
                        break;
        }
        memcpy(text + length, "…", sizeof("…"));
}

static void put_cell(const struct table *t, size_t column, enum tone tone, char *text) {
        size_t room = column_room(t, column), width;

        cut_to(text, room);
        width = text_width(text);
        emit_toned(tone, text);
        if (column + 1 < t->column_count)
                emit_blanks((room > width ? room - width : 0) + COLUMN_GAP);
        else
                emit("\n");
}

void table_print(struct table *t) {
        if (!t->titled) {
                for (size_t i = 0; i < t->column_count; i++) {
                        CAD_AUTO(free_text) char *title = strdup(t->columns[i].title);

                        if (title)
                                put_cell(t, i, TONE_STRONG, title);
                }
                t->titled = true;
        }
        for (size_t i = 0, column = 0; i < t->count; i++) {
                char nothing[] = "";

                put_cell(t, column, t->cells[i].tone,
                         t->cells[i].text ? t->cells[i].text : nothing);
                column = column + 1 < t->column_count ? column + 1 : 0;
        }
        table_clear(t);
}

char *time_in_words(int64_t t, int64_t now, char *out) {
        static const struct {
                int64_t up_to_s; /* below this many seconds … */
                int64_t unit_s;  /* … it is counted in this unit */
                const char *one, *many;
        } steps[] = {
                { 90 * 60, 60, "minute", "minutes" },
                { 36 * 3600, 3600, "hour", "hours" },
                { INT64_C(60) * 86400, 86400, "day", "days" },
                { INT64_C(730) * 86400, INT64_C(2629746), "month", "months" },
                { INT64_MAX, INT64_C(31556952), "year", "years" },
        };
        int64_t distance = t > now ? t - now : now - t, n;
        size_t i = 0;

        if (distance < 60) {
                (void) snprintf(out, WORDS_MAX, "%s",
                                t > now ? "in less than a minute" : "just now");
                return out;
        }
        while (distance >= steps[i].up_to_s)
                i++;
        n = (distance + steps[i].unit_s / 2) / steps[i].unit_s;
        (void) snprintf(out, WORDS_MAX, "%s%" PRId64 " %s%s", t > now ? "in " : "", n,
                        n == 1 ? steps[i].one : steps[i].many, t > now ? "" : " ago");
        return out;
}

char *time_both(int64_t t, int64_t now, char *out) {
        char words[WORDS_MAX];
        struct civil_time d = moment_civil(t);

        (void) snprintf(out, WORDS_MAX, "%04u-%02u-%02u %02u:%02u UTC (%.30s)",
                        (unsigned) d.year % 10000u, (unsigned) d.month % 100u,
                        (unsigned) d.day % 100u, (unsigned) d.hour % 100u,
                        (unsigned) d.minute % 100u, time_in_words(t, now, words));
        return out;
}
