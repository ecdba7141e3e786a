/*
 * Query: the parameters behind '?', decoded strictly.
 *
 * Pure. MHD has split at '&' and '=' and turned '+' into a space; the percent-decoding is ours.
 */
#pragma once

#include <stdbool.h>

#include "lib/base/bytes.h"
#include "lib/base/error.h"

#define QUERY_MAX 32 /* parameters a request */

/** struct query - zero-initialised is empty; query_done() releases it */
struct query {
        struct buffer text;
        size_t len;
        struct {
                size_t key, value; /* offsets in text, each ended with NUL */
        } parameters[QUERY_MAX];
};

/** query_clear() - forget the parameters, keep the memory */
void query_clear(struct query *query);

/** query_done() - release what @query holds */
void query_done(struct query *query);

/**
 * query_add() - decode one parameter
 * @value:   NULL where there was no '='; it is kept as ""
 * @repeats: the same key may come again
 * @err:     ERR_QUERY_INVALID: bad percent-encoding, NUL or another control character, no UTF-8, an empty key, a key
 *           for the second time, more than QUERY_MAX; ERR_NO_MEMORY
 */
int query_add(struct query *query, const char *key, const char *value, bool repeats,
              struct error *err);

/** query_get() - the first value of a key, or NULL; lives as long as nothing is added */
const char *query_get(const struct query *query, const char *key);

/** query_at() - the @i-th parameter in the order sent. Return: whether there is one */
bool query_at(const struct query *query, size_t i, const char **ret_key, const char **ret_value);
