/*
 * The time, for what lasts: see wall_clock.h. It judges no clock itself: the signer does, which keeps a mark of its own.
 */
#include "daemon/authority/wall_clock.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/authority/internal.h"
#include "lib/base/moment.h"

#define ASK_TIMEOUT_MS 2000

void wall_clock_init(struct wall_clock *clock) {
        *clock = (struct wall_clock){ 0 };
        (void) pthread_mutex_init(&clock->lock, NULL);
}

void wall_clock_done(struct wall_clock *clock) {
        (void) pthread_mutex_destroy(&clock->lock);
}

void wall_clock_note(struct wall_clock *clock, const struct sign_status *status, int64_t now_s,
                     int64_t now_ms) {
        (void) pthread_mutex_lock(&clock->lock);
        clock->known = true;
        clock->seen_s = now_s;
        clock->seen_ms = now_ms;
        memcpy(clock->fault, status->clock, sizeof(clock->fault));
        (void) pthread_mutex_unlock(&clock->lock);
}

bool wall_clock_stands(struct wall_clock *clock, int64_t now_s, int64_t now_ms) {
        bool stands;

        (void) pthread_mutex_lock(&clock->lock);
        stands = clock->known &&
                llabs((now_s - clock->seen_s) - (now_ms - clock->seen_ms) / 1000) <=
                        WALL_CLOCK_SET_S;
        (void) pthread_mutex_unlock(&clock->lock);
        return stands;
}

static int check_fault(struct wall_clock *clock, struct error *err) {
        char fault[ERROR_TEXT_MAX];

        (void) pthread_mutex_lock(&clock->lock);
        memcpy(fault, clock->fault, sizeof(fault));
        (void) pthread_mutex_unlock(&clock->lock);
        return fault[0] ? error_set(err, ERR_CLOCK, "%s", fault) : 0;
}

bool wall_clock_noted(struct authority *a, int64_t *ret) {
        int64_t now_s = moment_now();
        struct error ignored = { 0 };

        if (!wall_clock_stands(&a->wall_clock, now_s, moment_monotonic_ms()) ||
            check_fault(&a->wall_clock, &ignored) < 0)
                return false;
        *ret = now_s;
        return true;
}

int wall_clock_now(struct authority *a, int64_t *ret, struct error *err) {
        int64_t now_s = moment_now();
        struct sign_status status;

        if (!wall_clock_stands(&a->wall_clock, now_s, moment_monotonic_ms())) {
                if (authority_signer_status(a, ASK_TIMEOUT_MS, &status, err) < 0)
                        return -1;
                now_s = moment_now();
        }
        if (check_fault(&a->wall_clock, err) < 0)
                return -1;
        *ret = now_s;
        return 0;
}
