/*
 * GET /v1/ca in words: what `status` and `ca show` both say.
 */
#pragma once

#include <jansson.h>

#include "cactl.h"

/** words_root() - subject and end of the root */
void words_root(const struct client *c, const json_t *ca);

/** words_issuers() - a line an intermediate */
void words_issuers(const struct client *c, const json_t *ca);

/** words_constraints() - for which names the CA is, in plain words */
void words_constraints(const json_t *ca);
