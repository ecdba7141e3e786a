/*
 * Log to standard error, or to the sink that a program sets. It must never block a caller on more than one
 * write() and never fail: a log that is gone is no reason to stop.
 */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "text.h"

#define LOG_LINE_MAX 1024              /* bytes; a longer line is cut */
#define LOG_RAW_MAX (LOG_LINE_MAX + 8) /* so that the cut is seen and marked */

bool log_stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat st;

        return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
                fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

/* The level is for the journal, which takes it off again (sd-daemon(3)); people would see it. */
static void standard_error_sink(enum log_level level, const char *text,
                                const struct log_field *fields, size_t count) {
        char line[LOG_LINE_MAX + 256];
        int used = log_stderr_is_journal()
                ? snprintf(line, sizeof(line), "<%d>%s", (int) level, text)
                : snprintf(line, sizeof(line), "%s", text);

        for (size_t i = 0; i < count && used > 0 && (size_t) used < sizeof(line); i++)
                if (fields[i].value)
                        used += snprintf(line + used, sizeof(line) - (size_t) used, " %s=%s",
                                         fields[i].name, fields[i].value);
        if (used < 0)
                return;
        if ((size_t) used > sizeof(line) - 2)
                used = (int) sizeof(line) - 2;
        line[used] = '\n';
        (void) fd_write_all(STDERR_FILENO, BYTES(line, (size_t) used + 1));
}

/* The only mutable globals of the room: set once at start, before the threads. */
static log_sink current_sink = standard_error_sink;
static enum log_level current_level = LOG_LEVEL_INFO;

void log_set_sink(log_sink sink) {
        current_sink = sink ? sink : standard_error_sink;
}

void log_set_level(enum log_level level) {
        current_level = level;
}

static void log_write(enum log_level level, const struct log_field *fields, size_t count,
                      const char *raw) {
        char text[LOG_LINE_MAX];
        char values[LOG_FIELDS_MAX][128];
        struct log_field clean[LOG_FIELDS_MAX];
        size_t kept = 0;

        text_make_printable(raw, text, sizeof(text));
        for (size_t i = 0; i < count && kept < LOG_FIELDS_MAX; i++) {
                if (!fields[i].value)
                        continue;
                text_make_printable(fields[i].value, values[kept], sizeof(values[kept]));
                clean[kept] = (struct log_field){ fields[i].name, values[kept] };
                kept++;
        }
        current_sink(level, text, clean, kept);
}

void log_line(enum log_level level, const char *format, ...) {
        char raw[LOG_RAW_MAX];
        va_list args;

        if (level > current_level)
                return;
        va_start(args, format);
        (void) vsnprintf(raw, sizeof(raw), format, args);
        va_end(args);
        log_write(level, NULL, 0, raw);
}

void log_fields(enum log_level level, const struct log_field *fields, size_t count,
                const char *format, ...) {
        char raw[LOG_RAW_MAX];
        va_list args;

        if (level > current_level)
                return;
        va_start(args, format);
        (void) vsnprintf(raw, sizeof(raw), format, args);
        va_end(args);
        log_write(level, fields, count, raw);
}

void log_error(enum log_level level, const struct error *err, const char *format, ...) {
        char raw[LOG_RAW_MAX], what[501];
        char line[16];
        struct log_field fields[] = {
                { "CAD_ERROR", error_slug(err->code) },
                { "CODE_FILE", err->file },
                { "CODE_LINE", err->file ? line : NULL },
        };
        va_list args;

        if (level > current_level)
                return;
        (void) snprintf(line, sizeof(line), "%d", err->line);
        va_start(args, format);
        (void) vsnprintf(what, sizeof(what), format, args);
        va_end(args);
        if (snprintf(raw, sizeof(raw), "%.500s: %s", what, err->text) < 0)
                return;
        log_write(level, fields, ARRAY_SIZE(fields), raw);
}
