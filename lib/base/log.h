/*
 * Log: one line an event, with fields for machines. Programs log; libraries return errors.
 */
#pragma once

#include <stdbool.h>

#include "error.h"

enum log_level { /* as syslog(3) */
        LOG_LEVEL_ERROR = 3,
        LOG_LEVEL_WARNING = 4,
        LOG_LEVEL_NOTICE = 5,
        LOG_LEVEL_INFO = 6,
        LOG_LEVEL_DEBUG = 7,
};

#define LOG_FIELDS_MAX 8 /* fields a line */

/** struct log_field - a field beside the sentence, e.g. {"CAD_SERIAL", "01ab…"}; value NULL leaves it out */
struct log_field {
        const char *name;
        const char *value;
};

/** log_sink - where lines go; called from any thread. @text has no line break, @fields ends at @count */
typedef void (*log_sink)(enum log_level level, const char *text, const struct log_field *fields,
                         size_t count);

/** log_set_sink() - replace the standard-error sink; once, at start, before the threads. NULL: standard error */
void log_set_sink(log_sink sink);

/** log_stderr_is_journal() - whether standard error is what systemd gave us: it sets JOURNAL_STREAM to that one's device and inode */
bool log_stderr_is_journal(void);

/** log_set_level() - lines above @level are dropped; the default is LOG_LEVEL_INFO. At start, before the threads */
void log_set_level(enum log_level level);

/** log_line() - printf one line */
void log_line(enum log_level level, const char *format, ...) CAD_PRINTF(2, 3);

/** log_fields() - the same with fields; control characters in values are replaced */
void log_fields(enum log_level level, const struct log_field *fields, size_t count,
                const char *format, ...) CAD_PRINTF(4, 5);

/** log_error() - "what: text of @err (file:line)"; the place where an error stops calls it once */
void log_error(enum log_level level, const struct error *err, const char *format, ...)
        CAD_PRINTF(3, 4);

#define log_notice(...) log_line(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
