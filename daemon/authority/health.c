/*
 * Health: a row a check. It looks and mends nothing.
 */
#include "daemon/authority/health.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/authority/crl_health.h"
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

static void check_audit(struct authority *a, struct health *h) {
        struct error err = { 0 };

        if (audit_health(a, &err) < 0)
                add(h, "audit", HEALTH_FAILING, "%s", err.text);
        else
                add(h, "audit", HEALTH_OK, "written and anchored");
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
        if (h->expires == 0 || not_after < h->expires) {
                h->expires = not_after;
                (void) snprintf(h->expires_text, sizeof(h->expires_text),
                                "the certificate of %s %s %s", id,
                                not_after < now ? "has expired at" : "expires at", when);
        }
}

/* ---- CRLs ---- */

/* One row for the intermediates', whichever stands worst, and one for the root's. */
static void check_crls(struct authority *a, struct health *h, int64_t now) {
        struct publisher_status status;
        enum health_state worst = HEALTH_OK;
        char text[ERROR_TEXT_MAX] = "", worst_text[ERROR_TEXT_MAX] = "";

        for (size_t i = 0; publisher_status(a->publisher, i, now, &status); i++) {
                enum health_state state;

                if (status.expired)
                        continue;
                state = crl_judge(&status, now, text, sizeof(text));

                if (strcmp(status.issuer, SIGNER_ROOT_ID) == 0) {
                        add(h, "root_crl", state, "%s", text);
                } else if (state > worst || !worst_text[0]) {
                        worst = state;
                        memcpy(worst_text, text, sizeof(worst_text));
                }
        }
        if (worst_text[0])
                add(h, "crl", worst, "%s", worst_text);
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

/* ---- what others watch ---- */

void authority_add_health(struct authority *a, const struct health_source *source) {
        if (a->health_source_count < HEALTH_SOURCES_MAX)
                a->health_sources[a->health_source_count++] = *source;
}

static void check_sources(const struct authority *a, struct health *h, int64_t now) {
        for (size_t i = 0; i < a->health_source_count; i++) {
                const struct health_source *source = &a->health_sources[i];
                CAD_AUTO(buffer_done) struct buffer detail = { 0 };
                enum health_state state = source->check(source->context, now, &detail);

                add(h, source->name, state, "%s", buffer_string(&detail));
        }
}

void authority_health(struct authority *a, int64_t now, struct health *ret) {
        struct health h = { .state = HEALTH_OK };

        check_signer(a, &h);
        check_store(a, &h);
        check_audit(a, &h);
        if (a->ca) {
                check_expiry(&h, "root", "root", a->ca->root.validity.not_after, now);
                check_expiry(&h, "issuer", ca_info_active(a->ca)->id,
                             ca_info_active(a->ca)->cert.validity.not_after, now);
                check_crls(a, &h, now);
                check_keys(a->ca, &h);
        }
        check_sources(a, &h, now);
        *ret = h;
}
