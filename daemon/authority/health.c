/*
 * Health: a row a check. It looks and mends nothing.
 */
#include "daemon/authority/health.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/authority/internal.h"
#include "lib/base/moment.h"

#define STATUS_TIMEOUT_MS 1000
#define DAY_S INT64_C(86400)
#define EXPIRY_WARNING_S \
        (180 * DAY_S) /* of a CA certificate: time enough to change over and to tell people */

static const char *const state_names[] = {
        [HEALTH_OK] = "ok",
        [HEALTH_WARNING] = "warning",
        [HEALTH_FAILING] = "failing",
};

const char *health_state_name(enum health_state state) {
        return state_names[state];
}

static CAD_PRINTF(4, 5) void add(struct health *h, const char *name, enum health_state state,
                                 const char *format, ...) {
        struct health_check *check = &h->checks[h->count++];
        va_list args;

        check->name = name;
        check->state = state;
        va_start(args, format);
        (void) vsnprintf(check->detail, sizeof(check->detail), format, args);
        va_end(args);
        if (state > h->state)
                h->state = state;
}

static void check_signer(struct authority *a, struct health *h) {
        struct sign_status status;
        struct error err = { 0 };

        if (authority_signer_status(a, STATUS_TIMEOUT_MS, &status, &err) < 0) {
                add(h, "signer", HEALTH_FAILING,
                    "%s: it is started again by itself; nothing is issued meanwhile", err.text);
                return;
        }
        if (status.per_hour && status.last_hour >= status.per_hour)
                add(h, "signer", HEALTH_FAILING,
                    "the limit of %lld certificates an hour is reached",
                    (long long) status.per_hour);
        else
                add(h, "signer", HEALTH_OK, "answers");
        add(h, "clock", status.clock[0] ? HEALTH_FAILING : HEALTH_OK, "%s",
            status.clock[0] ? status.clock : "plausible");
        add(h, "signer_log", status.log[0] ? HEALTH_FAILING : HEALTH_OK, "%s",
            status.log[0] ? status.log : "written");
}

static void check_store(struct authority *a, struct health *h) {
        struct error err = { 0 };

        if (!a->store || store_health(a->store, &err) < 0)
                add(h, "store", HEALTH_FAILING, "%s", err.code ? err.text : "is not open");
        else
                add(h, "store", HEALTH_OK, "writes");
}

static void check_expiry(struct health *h, const char *name, const char *id, int64_t not_after,
                         int64_t now) {
        char when[MOMENT_TEXT_MAX];
        enum health_state state = not_after < now    ? HEALTH_FAILING
                : not_after - now < EXPIRY_WARNING_S ? HEALTH_WARNING
                                                     : HEALTH_OK;

        add(h, name, state, "%s %s %s", id,
            state == HEALTH_FAILING ? "has expired at" : "is valid until",
            moment_format(not_after, when));
}

static void check_keys(const struct ca_info *ca, struct health *h) {
        if (ca->root_key_present)
                add(h, "root_key", HEALTH_OK,
                    "the root's key is on this machine; it is only needed to make intermediates");
        else
                add(h, "root_key", HEALTH_OK, "the root's key is away");
        if (geteuid() == 0)
                add(h, "separation", HEALTH_WARNING,
                    "cad and cad-signer run as root, since there are no users cad and cad-signer to drop to: make them with "
                    "`useradd --system cad` and `useradd --system cad-signer`, or start cad as another user");
        else if (ca->signer_uid == (int64_t) geteuid())
                add(h, "separation", HEALTH_WARNING,
                    "cad and cad-signer run as one user (uid %lld): the two processes are defence in depth then, and no boundary",
                    (long long) ca->signer_uid);
        else
                add(h, "separation", HEALTH_OK, "cad and cad-signer run as two users");
}

void authority_health(struct authority *a, int64_t now, struct health *ret) {
        struct health h = { .state = HEALTH_OK };

        check_signer(a, &h);
        check_store(a, &h);
        if (a->ca) {
                check_expiry(&h, "root", "root", a->ca->root.validity.not_after, now);
                check_expiry(&h, "issuer", ca_info_active(a->ca)->id,
                             ca_info_active(a->ca)->cert.validity.not_after, now);
                check_keys(a->ca, &h);
        }
        *ret = h;
}
