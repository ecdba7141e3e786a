/*
 * Reading rows of requests: what requests.c and request_queue.c share.
 */
#pragma once

#include "db/internal.h"
#include "db/requests.h"

/** struct request_reading - a row as it was read, and what its names point to */
struct request_reading {
        struct request_row row;
        struct row_names names;
};

static inline void request_reading_done(struct request_reading *r) {
        row_names_done(&r->names);
}
CAD_CLEANUP_DONE(struct request_reading, request_reading_done)

/** request_row_read() - the request that @s stands on; views that live until the next step. @err: ERR_STORE where it is damaged */
int request_row_read(struct sql_connection *c, sqlite3_stmt *s, struct request_reading *ret,
                     struct error *err);

/** request_row_read_one() - the one that @s finds, as a copy. @err: ERR_NOT_FOUND */
int request_row_read_one(struct sql_connection *c, sqlite3_stmt *s, struct request_row **ret,
                         struct error *err);
