/*
 * What of the server's and of libmicrohttpd's complaints goes into the log: so many lines a while, and what somebody can act on.
 */
#include "server-private.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/base/log.h"
#include "lib/base/moment.h"

#define ACCEPT_NAP_NS 50000000
#define LOG_WINDOW_MS 10000
#define LOG_LINES_A_WINDOW 10

bool http_server_log_allowed(struct http_server *server) {
        int64_t now = moment_monotonic_ms(), since = atomic_load(&server->log_window_ms);

        if (now - since >= LOG_WINDOW_MS &&
            atomic_compare_exchange_strong(&server->log_window_ms, &since, now)) {
                unsigned lines = atomic_exchange(&server->log_lines, 0);

                if (lines > LOG_LINES_A_WINDOW)
                        log_warning("%u more lines like those before were left out",
                                    lines - LOG_LINES_A_WINDOW);
        }
        return atomic_fetch_add(&server->log_lines, 1) < LOG_LINES_A_WINDOW;
}

/* Most of MHD's messages are about peers that go away, as they like: only what somebody has to act on is for the log. */
static const char *const mhd_matters[] = { "accept", "limit", "memory", "epoll", "thread" };

static enum log_level mhd_level(const char *text) {
        for (size_t i = 0; i < ARRAY_SIZE(mhd_matters); i++)
                if (strstr(text, mhd_matters[i]))
                        return LOG_LEVEL_WARNING;
        return LOG_LEVEL_DEBUG;
}

/*
 * Where there are no descriptors, a thread of MHD's accepts no more until one of its connections has ended; one that has none tries
 * again without a pause ("busy waiting", it says, and where). It has nobody to serve, so it may as well sleep.
 */
static void nap_without_descriptors(const char *text) {
        const struct timespec nap = { .tv_nsec = ACCEPT_NAP_NS };

        if (strstr(text, "at FIRST connection"))
                (void) nanosleep(&nap, NULL);
}

void mhd_log(void *cls, const char *format, va_list args) {
        struct http_server *server = cls;
        enum log_level level;
        char text[256];
        size_t size;

        (void) vsnprintf(text, sizeof(text), format, args);
        size = strlen(text);
        if (size > 0 && text[size - 1] == '\n')
                text[size - 1] = '\0';
        level = mhd_level(text);
        if (level == LOG_LEVEL_DEBUG || http_server_log_allowed(server))
                log_line(level, "libmicrohttpd: %s", text);
        nap_without_descriptors(text);
}
