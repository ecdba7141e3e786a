/*
 * How well a CRL stands: see crl_health.h. It looks at nothing but what it is handed.
 */
#include "daemon/authority/crl_health.h"

#include <stdio.h>

#include "lib/base/moment.h"

static enum health_state judge_absent(const struct publisher_status *s, char *text, size_t size) {
        if (!s->can_be_made) {
                (void) snprintf(
                        text, size,
                        "there is no CRL of %s, and its key is away: bring it back for a moment",
                        s->issuer);
                return HEALTH_WARNING;
        }
        (void) snprintf(text, size, "there is no CRL of %s%s%.300s", s->issuer,
                        s->failures ? ": " : " yet: it is being made",
                        s->failures ? s->failure.text : "");
        return s->failures ? HEALTH_FAILING : HEALTH_OK;
}

static enum health_state judge_ageing(const struct publisher_status *s, int64_t now, char *text,
                                      size_t size) {
        int64_t third = (s->next_update - s->this_update) / 3;
        bool overdue = now > s->next_update - third + CRL_OVERDUE_S;
        char when[MOMENT_TEXT_MAX];

        (void) moment_format(s->next_update, when);
        if (!s->can_be_made) {
                (void) snprintf(
                        text, size,
                        "the CRL of %s is good until %s, and its key is away: bring it back for a moment",
                        s->issuer, when);
                return s->next_update - now < CRL_KEY_AWAY_FAILING_S ? HEALTH_FAILING
                                                                     : HEALTH_WARNING;
        }
        (void) snprintf(text, size, "the CRL of %s is good until %s only%s%.300s", s->issuer, when,
                        s->failures ? ", and no new one can be made: " : ", and is being made anew",
                        s->failures ? s->failure.text : "");
        return s->failures || overdue ? HEALTH_FAILING : HEALTH_OK;
}

enum health_state crl_judge(const struct publisher_status *s, int64_t now, char *text,
                            size_t size) {
        char when[MOMENT_TEXT_MAX];

        if (!s->exists)
                return judge_absent(s, text, size);
        (void) moment_format(s->next_update, when);
        switch (crl_freshness(s->this_update, s->next_update, now)) {
        case CRL_LAPSED:
                (void) snprintf(text, size, "the CRL of %s has lapsed at %s%s%.300s", s->issuer,
                                when, s->failures ? ": " : "", s->failures ? s->failure.text : "");
                return HEALTH_FAILING;
        case CRL_AGEING:
                return judge_ageing(s, now, text, size);
        case CRL_FRESH:
                break;
        }
        if (s->pending_s > CRL_LATE_S) {
                (void) snprintf(text, size,
                                "a revocation of %lld s ago is not on the CRL of %s yet%s%.300s",
                                (long long) s->pending_s, s->issuer, s->failures ? ": " : "",
                                s->failures ? s->failure.text : "");
                return HEALTH_FAILING;
        }
        (void) snprintf(text, size, "the CRL of %s is good until %s%s%.300s", s->issuer, when,
                        s->failures ? "; making a new one failed: " : "",
                        s->failures ? s->failure.text : "");
        return s->failures ? HEALTH_WARNING : HEALTH_OK;
}
