/*
 * Lists of REST: what the query says, out of a table, and a page as it is answered. What is in a row, each list knows.
 */
#pragma once

#include "daemon/http/exchange.h"

#define REST_LIST_DEFAULT 100 /* rows of a page, where nobody says how many */

/* ---- the query ---- */

/** struct rest_query_key - a parameter; @set reads it into the target, at @offset where that is one of those below */
struct rest_query_key {
        const char *key;
        int (*set)(void *target, const char *value, size_t offset, struct error *err);
        size_t offset;
};

/** rest_query_text(), rest_query_moment(), rest_query_limit() - to a const char * that is lent by the exchange, an int64_t, a size_t */
int rest_query_text(void *target, const char *value, size_t offset, struct error *err);
int rest_query_moment(void *target, const char *value, size_t offset, struct error *err);
int rest_query_limit(void *target, const char *value, size_t offset, struct error *err);

/** rest_query_read() - every parameter that was given. @err: ERR_QUERY_INVALID, with the parameter as its field */
int rest_query_read(const struct exchange *x, const struct rest_query_key *keys, size_t count,
                    void *target, struct error *err);

/* ---- the answer ---- */

/** struct rest_page - {"NAME":[ROW,…],"next":CURSOR}, on its way */
struct rest_page {
        struct buffer out; /* rows are appended, each after rest_page_row() */
        int64_t now;
        size_t count;
};

/** rest_page_of() - a page without rows, now */
struct rest_page rest_page_of(const char *name);

void rest_page_done(struct rest_page *page);
CAD_CLEANUP_DONE(struct rest_page, rest_page_done)

/** rest_page_row() - another row begins. Return: where it goes */
struct buffer *rest_page_row(struct rest_page *page);

/** rest_page_answer() - 200; @next: the cursor, "": there is no more */
void rest_page_answer(struct exchange *x, struct rest_page *page, const char *next);
