/*
 * When a CRL is made: see crl_schedule.h. It reads no clock and does nothing.
 */
#include "daemon/authority/crl_schedule.h"

#include "lib/base/macros.h"

#define BACKDATE_S INT64_C(300)      /* as leaves: for clocks that are late */
#define BACKDATE_PART 20             /* of the validity, where that is short */
#define LOOK_AGAIN_MS INT64_C(30000) /* the real-time clock can be set at any time */

static int64_t min(int64_t a, int64_t b) {
        return a < b ? a : b;
}

static int64_t max(int64_t a, int64_t b) {
        return a > b ? a : b;
}

struct crl_settings crl_settings_of(const struct crl_settings *given, bool root) {
        int64_t validity_s;

        if (root)
                return (struct crl_settings){ CRL_ROOT_VALIDITY_S, CRL_ROOT_VALIDITY_S / 2 };
        validity_s = given->validity_s ? given->validity_s : CRL_VALIDITY_DEFAULT_S;
        return (struct crl_settings){ validity_s,
                                      given->refresh_s
                                              ? given->refresh_s
                                              : min(CRL_REFRESH_DEFAULT_S, validity_s / 3) };
}

int64_t crl_retry_ms(unsigned failures) {
        return failures == 0   ? 0
                : failures > 6 ? CRL_RETRY_MAX_MS
                               : min(CRL_RETRY_FIRST_MS << (failures - 1), CRL_RETRY_MAX_MS);
}

/* When its life is two thirds over. */
static int64_t ageing_from(int64_t this_update, int64_t next_update) {
        return next_update - (next_update - this_update) / 3;
}

enum crl_freshness crl_freshness(int64_t this_update, int64_t next_update, int64_t now) {
        if (now > next_update)
                return CRL_LAPSED;
        return now >= ageing_from(this_update, next_update) ? CRL_AGEING : CRL_FRESH;
}

/* The monotonic time at which what has changed is to be published. */
static int64_t changes_due_ms(const struct crl_state *s) {
        int64_t due = min(s->last_change_ms + CRL_SETTLE_MS, s->first_change_ms + CRL_DELAY_MAX_MS);

        if (s->began_ms == 0)
                return due;
        return max(due, s->began_ms + s->took_ms + min(2 * s->took_ms, CRL_REST_MAX_MS));
}

static int64_t schedule_due(const struct crl_state *s, const struct crl_settings *settings) {
        return min(s->this_update + settings->refresh_s,
                   ageing_from(s->this_update, s->next_update));
}

enum crl_due crl_due(const struct crl_state *s, const struct crl_settings *settings, int64_t now,
                     int64_t now_ms, int64_t *ret_wait_ms) {
        int64_t retry_ms = s->failed_ms + crl_retry_ms(s->failures) - now_ms;
        int64_t seconds_left;

        if (s->failures > 0 && retry_ms > 0 && !s->asked) {
                *ret_wait_ms = retry_ms;
                return CRL_NOT_DUE;
        }
        *ret_wait_ms = 0;
        if (!s->exists || s->outdated)
                return CRL_DUE_MISSING;
        seconds_left = schedule_due(s, settings) - now;
        if (seconds_left <= 0 || now < s->this_update)
                return CRL_DUE_SCHEDULED;
        if (s->asked)
                return CRL_DUE_ASKED;
        if (s->first_change_ms && changes_due_ms(s) <= now_ms)
                return CRL_DUE_CHANGED;
        *ret_wait_ms = min(min(seconds_left, LOOK_AGAIN_MS) * 1000, LOOK_AGAIN_MS);
        if (s->first_change_ms)
                *ret_wait_ms = min(*ret_wait_ms, changes_due_ms(s) - now_ms);
        return CRL_NOT_DUE;
}

struct crl_times crl_times_of(const struct crl_settings *settings, int64_t now,
                              int64_t number_before, int64_t scheduled_before, int64_t issuer_from,
                              int64_t issuer_until) {
        int64_t backdate = min(BACKDATE_S, settings->validity_s / BACKDATE_PART);

        return (struct crl_times){
                .this_update = max(now - backdate, issuer_from),
                .next_update = min(now + settings->validity_s, issuer_until),
                .number = max(now, number_before + 1),
                .floor = min(scheduled_before, now - backdate),
        };
}

bool crl_counts_as_scheduled(enum crl_due why, const struct crl_settings *settings, int64_t now,
                             int64_t scheduled_before) {
        return why == CRL_DUE_SCHEDULED || now >= scheduled_before + settings->refresh_s ||
                now < scheduled_before;
}
