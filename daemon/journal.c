/*
 * Log sinks of cad. A journal that is gone never stops anybody: sd_journal_sendv() fails and that is all.
 */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include "daemon/journal.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>
#include <stdlib.h>

#include "lib/base/file.h"
#include "lib/base/log.h"

#define FIELD_MAX 256

static void journal_sink(enum log_level level, const char *text, const struct log_field *fields, size_t count) {
        char priority[24], message[1100], values[LOG_FIELDS_MAX][FIELD_MAX];
        struct iovec parts[LOG_FIELDS_MAX + 2];
        int n = 0;

        (void) snprintf(priority, sizeof(priority), "PRIORITY=%d", (int) level);
        (void) snprintf(message, sizeof(message), "MESSAGE=%s", text);
        parts[n++] = (struct iovec){ priority, strlen(priority) };
        parts[n++] = (struct iovec){ message, strlen(message) };
        for (size_t i = 0; i < count; i++) {
                (void) snprintf(values[i], sizeof(values[i]), "%s=%s", fields[i].name, fields[i].value);
                parts[n++] = (struct iovec){ values[i], strlen(values[i]) };
        }
        (void) sd_journal_sendv(parts, n);
}

static const char *level_word(enum log_level level) {
        return level <= LOG_LEVEL_ERROR ? "error: " : level == LOG_LEVEL_WARNING ? "warning: " : "";
}

/* For a person at a terminal or a file: no priorities in angle brackets. */
static void plain_sink(enum log_level level, const char *text, const struct log_field *fields, size_t count) {
        char line[2048];
        int used = snprintf(line, sizeof(line), "cad: %s%s", level_word(level), text);

        for (size_t i = 0; i < count && used > 0 && (size_t) used < sizeof(line); i++)
                used += snprintf(line + used, sizeof(line) - (size_t) used, " %s=%s", fields[i].name, fields[i].value);
        if (used < 0)
                return;
        if ((size_t) used > sizeof(line) - 2)
                used = (int) sizeof(line) - 2;
        line[used] = '\n';
        (void) fd_write_all(STDERR_FILENO, BYTES(line, (size_t) used + 1));
}

/* systemd sets JOURNAL_STREAM to device and inode of the standard error that it gave us (sd-journal's own test). */
static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat st;

        return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
                st.st_dev == device && st.st_ino == inode;
}

void journal_begin(bool debug) {
        log_set_sink(stderr_is_journal() ? journal_sink : plain_sink);
        log_set_level(debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
}
