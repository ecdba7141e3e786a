/*
 * How the CA is: one list of checks, for /v1/health, status and the supervisor.
 */
#pragma once

#include "daemon/authority/authority.h"

#define HEALTH_CHECKS_MAX 16

enum health_state {
        HEALTH_OK,
        HEALTH_WARNING, /* works, and somebody should look */
        HEALTH_FAILING, /* something that was promised does not work now */
};

/** health_state_name() - "ok", "warning", "failing" */
const char *health_state_name(enum health_state state);

struct health_check {
        const char *name; /* "signer", "clock", "store", … */
        enum health_state state;
        char detail[ERROR_TEXT_MAX];
};

struct health {
        enum health_state state; /* the gravest */
        struct health_check checks[HEALTH_CHECKS_MAX];
        size_t count;
        int64_t expires; /* what ends first of the CA's own certificates, 0: nothing known */
        char expires_text[160];
};

#define HEALTH_SOURCES_MAX 4

/** struct health_source - a check that somebody else than the authority makes */
struct health_source {
        const char *name;
        /** check - from any thread; @detail: a sentence */
        enum health_state (*check)(void *context, int64_t now, struct buffer *detail);
        void *context; /* lives as long as the authority */
};

/** authority_add_health() - have @source asked, too; before anybody asks for the health */
void authority_add_health(struct authority *a, const struct health_source *source);

/** authority_health() - ask signer and store, and look at what expires; may take as long as the signer's deadline */
void authority_health(struct authority *a, int64_t now, struct health *ret);
