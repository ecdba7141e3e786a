/*
 * Refusals: see refusals.h. It counts in a fixed table and never allocates for a caller.
 */
#include "refusals.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/macros.h"

#define OTHERS REFUSAL_SOURCES_MAX /* the row of all who find no row of their own */

struct refusal {
        char source[REFUSAL_SOURCE_MAX]; /* "": free */
        int64_t since_ms;
        unsigned untold;
        struct error last;
};

struct refusals {
        pthread_mutex_t lock;
        struct refusal rows[REFUSAL_SOURCES_MAX + 1];
};

void refusal_source(const char *peer, char out[REFUSAL_SOURCE_MAX]) {
        const char *end;

        if (*peer == '[') {
                end = strchr(++peer, ']');
        } else {
                end = strchr(peer, ' ');
                if (!end && strncmp(peer, "uid:", 4) != 0)
                        end = strrchr(peer, ':');
        }
        (void) snprintf(out, REFUSAL_SOURCE_MAX, "%.*s",
                        (int) (end ? (size_t) (end - peer) : strlen(peer)), peer);
}

struct refusals *refusals_new(void) {
        struct refusals *refusals = calloc(1, sizeof(*refusals));

        if (refusals)
                (void) pthread_mutex_init(&refusals->lock, /* attr= */ NULL);
        return refusals;
}

static void tell_first(const struct refusal *row, const char *request_id) {
        const struct log_field fields[] = { { "CAD_PEER", row->source },
                                            { "CAD_ERROR", error_slug(row->last.code) },
                                            { "CAD_REQUEST_ID", request_id } };

        log_fields(LOG_LEVEL_NOTICE, fields, ARRAY_SIZE(fields), "refused %s: %s", row->source,
                   row->last.text);
}

static void tell_more(const struct refusal *row) {
        const struct log_field fields[] = { { "CAD_PEER", row->source },
                                            { "CAD_ERROR", error_slug(row->last.code) } };

        if (row->untold)
                log_fields(LOG_LEVEL_NOTICE, fields, ARRAY_SIZE(fields),
                           "refused %s %u more time%s within a minute, the last: %s", row->source,
                           row->untold, row->untold == 1 ? "" : "s", row->last.text);
}

static void end_window(struct refusal *row) {
        tell_more(row);
        row->source[0] = '\0';
        row->untold = 0;
}

static void end_windows(struct refusals *refusals, int64_t now_ms) {
        for (size_t i = 0; i < ARRAY_SIZE(refusals->rows); i++)
                if (refusals->rows[i].source[0] &&
                    now_ms - refusals->rows[i].since_ms >= REFUSAL_WINDOW_MS)
                        end_window(&refusals->rows[i]);
}

/* The row of a source, or a free one, or that of all others. */
static struct refusal *find_row(struct refusals *refusals, const char *source) {
        struct refusal *free_row = NULL;

        for (size_t i = 0; i < REFUSAL_SOURCES_MAX; i++) {
                struct refusal *row = &refusals->rows[i];

                if (strcmp(row->source, source) == 0)
                        return row;
                if (!free_row && !row->source[0])
                        free_row = row;
        }
        return free_row ? free_row : &refusals->rows[OTHERS];
}

void refusals_note(struct refusals *refusals, const char *peer, const char *request_id,
                   const struct error *err, int64_t now_ms) {
        char source[REFUSAL_SOURCE_MAX];
        struct refusal *row;

        refusal_source(peer, source);
        (void) pthread_mutex_lock(&refusals->lock);
        end_windows(refusals, now_ms);
        row = find_row(refusals, source[0] ? source : "unknown");
        row->last = *err;
        if (row->source[0]) {
                row->untold++;
        } else {
                (void) snprintf(row->source, sizeof(row->source), "%s",
                                row == &refusals->rows[OTHERS] ? "many others"
                                        : source[0]            ? source
                                                               : "unknown");
                row->since_ms = now_ms;
                tell_first(row, request_id);
        }
        (void) pthread_mutex_unlock(&refusals->lock);
}

void refusals_sweep(struct refusals *refusals, int64_t now_ms) {
        (void) pthread_mutex_lock(&refusals->lock);
        end_windows(refusals, now_ms);
        (void) pthread_mutex_unlock(&refusals->lock);
}

struct refusals *refusals_free(struct refusals *refusals) {
        if (!refusals)
                return NULL;
        for (size_t i = 0; i < ARRAY_SIZE(refusals->rows); i++)
                if (refusals->rows[i].source[0])
                        end_window(&refusals->rows[i]);
        (void) pthread_mutex_destroy(&refusals->lock);
        free(refusals);
        return NULL;
}
