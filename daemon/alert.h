/*
 * Alerts: [Alert] Command= is run when the CA's health turns red, daily while it stays so, when it is well again, and when a
 * certificate of the CA comes close to its end. One thread looks, decides, runs the command and waits for it; nobody waits for
 * the thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/authority/health.h"

#define ALERT_LOOK_MS INT64_C(5000)
#define ALERT_SETTLE_MS \
        INT64_C(10000) /* a state that lasts shorter is not told: a signer that is started again */
#define ALERT_REST_MS INT64_C(60000)           /* between two runs at least */
#define ALERT_AGAIN_MS (24 * INT64_C(3600000)) /* while it is red */
#define ALERT_TRIES_MAX 3                      /* of a command that fails */
#define ALERT_TIMEOUT_MS 30000 /* then it is killed, and what it started in its process group */
#define ALERT_WORDS_MAX 64
#define ALERT_COMMAND_MAX 1024 /* bytes */

/* ---- decisions ---- */

enum alert_kind {
        ALERT_NONE,
        ALERT_FAILING,
        ALERT_OK,       /* after a failure that was told */
        ALERT_EXPIRING, /* 30, 14, 7, 1 days before, and after the end */
        ALERT_KIND_COUNT,
};

/** struct alert_state - what was seen and told; zero-initialised: nothing yet. _ms are monotonic milliseconds above 0 */
struct alert_state {
        bool seen_failing;
        int64_t seen_since_ms;
        bool told_failing;
        unsigned told_stage;
        int64_t run_ms; /* of the last run, 0: none */
        unsigned tries; /* of what is to be told now, that failed */
};

/** alert_stage() - how close an end is: 0 more than 30 days, 1 to 4 for 30, 14, 7 and 1 days, 5 when it has passed */
unsigned alert_stage(int64_t not_after, int64_t now);

/** alert_look() - take notice of how things are. @stage: the highest of all certificates. Return: what to tell now */
enum alert_kind alert_look(struct alert_state *state, bool failing, unsigned stage, int64_t now_ms);

/** alert_ran() - the command was run for @kind. @good: it ended with 0. One that fails is run again, ALERT_TRIES_MAX times in all */
void alert_ran(struct alert_state *state, enum alert_kind kind, unsigned stage, bool good,
               int64_t now_ms);

/* ---- the command ---- */

/** struct alert_words - a command line taken apart: words that end with NUL, and where in the text they begin */
struct alert_words {
        char text[ALERT_COMMAND_MAX];
        uint16_t at[ALERT_WORDS_MAX];
        size_t count;
};

/**
 * alert_words_parse() - words between white space; "…" and '…' keep it, a backslash the character behind it (not in '…')
 * @err: ERR_CONFIG: an open quote, too long, too many; the first word is no absolute path
 *
 * There is no shell: what is written is what the program gets. "" is no command: count 0.
 */
int alert_words_parse(const char *line, struct alert_words *ret, struct error *err);

/* ---- the thread ---- */

struct alert; /* opaque */

/** alert_start() - @command: NULL or "": only the log is told. @err: ERR_CONFIG, ERR_NO_MEMORY */
int alert_start(struct authority *a, const char *command, struct alert **ret, struct error *err);

/** alert_set() - another command from now on. @err: ERR_CONFIG: the old one stays */
int alert_set(struct alert *alert, const char *command, struct error *err);

/** alert_free() - a command that runs is killed. Return: NULL */
struct alert *alert_free(struct alert *alert);
CAD_CLEANUP(struct alert, alert_free)
