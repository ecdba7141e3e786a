/*
 * Log sinks of cad. A journal that is gone never stops anybody: sd_journal_sendv() fails and that is all.
 */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include "daemon/journal.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/log.h"

#define FIELD_MAX 256
#define PLAIN_LINE_MAX 2048
#define PLAIN_BUFFER (16 * 1024) /* bytes that may wait for the next pulse of the main thread */

static void journal_sink(enum log_level level, const char *text, const struct log_field *fields,
                         size_t count) {
        char priority[24], message[1100], values[LOG_FIELDS_MAX][FIELD_MAX];
        struct iovec parts[LOG_FIELDS_MAX + 2];
        int n = 0;

        (void) snprintf(priority, sizeof(priority), "PRIORITY=%d", (int) level);
        (void) snprintf(message, sizeof(message), "MESSAGE=%s", text);
        parts[n++] = (struct iovec){ priority, strlen(priority) };
        parts[n++] = (struct iovec){ message, strlen(message) };
        for (size_t i = 0; i < count; i++) {
                (void) snprintf(values[i], sizeof(values[i]), "%s=%s", fields[i].name,
                                fields[i].value);
                parts[n++] = (struct iovec){ values[i], strlen(values[i]) };
        }
        (void) sd_journal_sendv(parts, n);
}

static const char *level_word(enum log_level level) {
        return level <= LOG_LEVEL_ERROR ? "error: " : level == LOG_LEVEL_WARNING ? "warning: " : "";
}

/*
 * For a person at a terminal or a file: no priorities in angle brackets. Lines of daily work are gathered for a moment,
 * since a write for each costs as much as a signature's tenth; anything louder goes out at once, with what waits.
 */
static struct {
        pthread_mutex_t lock;
        char text[PLAIN_BUFFER];
        size_t used;
} plain = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void plain_flush_locked(void) {
        (void) fd_write_all(STDERR_FILENO, BYTES(plain.text, plain.used));
        plain.used = 0;
}

void journal_flush(void) {
        (void) pthread_mutex_lock(&plain.lock);
        plain_flush_locked();
        (void) pthread_mutex_unlock(&plain.lock);
}

static void plain_sink(enum log_level level, const char *text, const struct log_field *fields,
                       size_t count) {
        char line[PLAIN_LINE_MAX];
        int used = snprintf(line, sizeof(line), "cad: %s%s", level_word(level), text);

        for (size_t i = 0; i < count && used > 0 && (size_t) used < sizeof(line); i++)
                used += snprintf(line + used, sizeof(line) - (size_t) used, " %s=%s",
                                 fields[i].name, fields[i].value);
        if (used < 0)
                return;
        if ((size_t) used > sizeof(line) - 2)
                used = (int) sizeof(line) - 2;
        line[used++] = '\n';
        (void) pthread_mutex_lock(&plain.lock);
        if (plain.used + (size_t) used > sizeof(plain.text))
                plain_flush_locked();
        memcpy(plain.text + plain.used, line, (size_t) used);
        plain.used += (size_t) used;
        if (level < LOG_LEVEL_INFO)
                plain_flush_locked();
        (void) pthread_mutex_unlock(&plain.lock);
}

void journal_begin(bool debug) {
        log_set_sink(log_stderr_is_journal() ? journal_sink : plain_sink);
        log_set_level(debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
}
