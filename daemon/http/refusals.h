/*
 * Refusals: who was turned away, told in a line or two a source and a minute (design.md §7).
 *
 * The first refusal of a source is a line at once; what follows within a minute is counted, and told in one more. A flood from
 * many sources costs a line each for the first few, and one for all others: a log line is what an attacker pays least for.
 */
#pragma once

#include <stdint.h>

#include "lib/base/error.h"

#define REFUSAL_SOURCES_MAX 64 /* told apart within a minute */
#define REFUSAL_WINDOW_MS INT64_C(60000)
#define REFUSAL_SOURCE_MAX 56 /* bytes with NUL of "192.0.2.1", "fe80::1%eth0", "uid:1000" */

struct refusals; /* opaque; any thread */

/** refusals_new() - none so far; NULL: out of memory */
struct refusals *refusals_new(void);

/** refusals_free() - tells what was counted and not told yet. Return: NULL */
struct refusals *refusals_free(struct refusals *refusals);
CAD_CLEANUP(struct refusals, refusals_free)

/**
 * refusals_note() - one more
 * @peer:       as struct peer has it; the port or pid at its end is left out
 * @request_id: may be NULL
 * @now_ms:     monotonic
 */
void refusals_note(struct refusals *refusals, const char *peer, const char *request_id,
                   const struct error *err, int64_t now_ms);

/** refusals_sweep() - tell what is a minute old; about once a second */
void refusals_sweep(struct refusals *refusals, int64_t now_ms);

/** refusal_source() - "192.0.2.1:4711", "[fe80::1%eth0]:4711", "uid:1000 pid:4711" without what changes with each connection */
void refusal_source(const char *peer, char out[REFUSAL_SOURCE_MAX]);
