/*
 * Rows of requests: in words, as copies, and out of the database. It changes nothing there.
 */
#include "db/request_rows.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/moment.h"

#define OF "a request" /* in what is said of a damaged row */

enum column { /* as REQUEST_COLUMNS has them */
        COLUMN_ID,
        COLUMN_CAPABILITY,
        COLUMN_CODE,
        COLUMN_STATUS,
        COLUMN_SOURCE,
        COLUMN_WISH,
        COLUMN_SPKI,
        COLUMN_KEY,
        COLUMN_PROFILE,
        COLUMN_NAMES,
        COLUMN_LIFETIME,
        COLUMN_LABEL,
        COLUMN_HANDED_IN_AT,
        COLUMN_EXPIRES_AT,
        COLUMN_DECIDED_AT,
        COLUMN_DECIDED_BY,
        COLUMN_REASON,
        COLUMN_SERIAL,
        COLUMN_CSR, /* where it is selected */
};

static const char *const status_names[] = {
        [REQUEST_WAITING] = "waiting",
        [REQUEST_APPROVED] = "approved",
        [REQUEST_DENIED] = "denied",
        [REQUEST_EXPIRED] = "expired",
};
_Static_assert(ARRAY_SIZE(status_names) == REQUEST_STATUS_COUNT, "one name a status");

const char *request_status_name(enum request_status status) {
        return (unsigned) status < REQUEST_STATUS_COUNT ? status_names[status] : NULL;
}

int request_status_from_name(const char *name, enum request_status *ret) {
        for (unsigned i = 0; i < REQUEST_STATUS_COUNT; i++)
                if (strcmp(status_names[i], name) == 0) {
                        *ret = (enum request_status) i;
                        return 0;
                }
        return -1;
}

enum request_status request_row_status(const struct request_row *row, int64_t now) {
        return row->status == REQUEST_WAITING && row->expires_at <= now ? REQUEST_EXPIRED
                                                                        : row->status;
}

int request_row_check_open(const struct request_row *row, int64_t now, struct error *err) {
        enum request_status status = request_row_status(row, now);
        char when[MOMENT_TEXT_MAX];

        if (status == REQUEST_WAITING)
                return 0;
        if (status == REQUEST_EXPIRED)
                return error_set(err, ERR_STATE_CONFLICT,
                                 "the request %s expired at %s: it has to be handed in again",
                                 row->code, moment_format(row->expires_at, when));
        return error_set(err, ERR_STATE_CONFLICT, "the request %s was %s at %s already, by %s",
                         row->code, request_status_name(status),
                         moment_format(row->decided_at, when),
                         row->decided_by ? row->decided_by : "?");
}

/* ---- copies -------------------------------------------------------------------------------------------------------- */

static size_t row_room(const struct request_row *row) {
        size_t room = sizeof(*row) + row_names_room(row->names, row->name_count) + row->csr.size +
                row->serial.size;

        room += row_text_room(row->source) + row_text_room(row->key) + row_text_room(row->profile) +
                row_text_room(row->label) + row_text_room(row->decided_by) +
                row_text_room(row->reason);
        return room;
}

struct request_row *request_row_copy(const struct request_row *row) {
        struct request_row *copy = malloc(row_room(row));
        char *at;

        if (!copy)
                return NULL;
        *copy = *row;
        at = (char *) (copy + 1);
        copy->names = row_place_names(&at, row->names, row->name_count);
        copy->source = row_place_text(&at, row->source);
        copy->key = row_place_text(&at, row->key);
        copy->profile = row_place_text(&at, row->profile);
        copy->label = row_place_text(&at, row->label);
        copy->decided_by = row_place_text(&at, row->decided_by);
        copy->reason = row_place_text(&at, row->reason);
        copy->serial.data = row_place(&at, row->serial.data, row->serial.size);
        copy->csr.data = row_place(&at, row->csr.data, row->csr.size);
        return copy;
}

struct request_row *request_row_free(struct request_row *row) {
        free(row);
        return NULL;
}

/* ---- out of the database ------------------------------------------------------------------------------------------- */

static int copy_octets(sqlite3_stmt *s, int column, uint8_t *out, size_t size, struct error *err) {
        struct bytes octets = column_bytes(s, column);

        if (octets.size != size)
                return row_damaged(OF, "without its hashes", err);
        memcpy(out, octets.data, size);
        return 0;
}

static void read_texts(sqlite3_stmt *s, struct request_row *row) {
        row->source = column_text(s, COLUMN_SOURCE);
        row->key = column_text(s, COLUMN_KEY);
        row->profile = column_text(s, COLUMN_PROFILE);
        row->label = column_text(s, COLUMN_LABEL);
        row->decided_by = column_text(s, COLUMN_DECIDED_BY);
        row->reason = column_text(s, COLUMN_REASON);
}

/* The request that @s stands on; views that live until the next step. */
int request_row_read(struct sql_connection *c, sqlite3_stmt *s, struct request_reading *ret,
                     struct error *err) {
        const char *names = column_text(s, COLUMN_NAMES), *code = column_text(s, COLUMN_CODE);
        struct request_row *row = &ret->row;

        *row = (struct request_row){
                .row_id = sqlite3_column_int64(s, COLUMN_ID),
                .status = (enum request_status) sqlite3_column_int(s, COLUMN_STATUS),
                .lifetime_s = sqlite3_column_int64(s, COLUMN_LIFETIME),
                .handed_in_at = sqlite3_column_int64(s, COLUMN_HANDED_IN_AT),
                .expires_at = sqlite3_column_int64(s, COLUMN_EXPIRES_AT),
                .decided_at = sqlite3_column_int64(s, COLUMN_DECIDED_AT),
                .serial = column_bytes(s, COLUMN_SERIAL),
        };
        read_texts(s, row);
        if (!names || !code || !row->source || !row->key || !row->profile)
                return sqlite3_errcode(c->db) == SQLITE_NOMEM
                        ? error_no_memory(err)
                        : row_damaged(OF, "without its texts", err);
        if (strlen(code) != STORE_REQUEST_CODE_MAX - 1 || row->status > REQUEST_DENIED ||
            row->serial.size > STORE_SERIAL_MAX)
                return row_damaged(OF, "out of bounds", err);
        memcpy(row->code, code, sizeof(row->code));
        if (sqlite3_column_count(s) > COLUMN_CSR)
                row->csr = column_bytes(s, COLUMN_CSR);
        if (copy_octets(s, COLUMN_CAPABILITY, row->id, sizeof(row->id), err) < 0 ||
            copy_octets(s, COLUMN_WISH, row->wish, sizeof(row->wish), err) < 0 ||
            copy_octets(s, COLUMN_SPKI, row->spki, sizeof(row->spki), err) < 0)
                return -1;
        if (row_names_split(&ret->names, names, OF, err) < 0)
                return -1;
        row->names = ret->names.list;
        row->name_count = ret->names.count;
        return 0;
}

/* The one that @s finds, as a copy. */
int request_row_read_one(struct sql_connection *c, sqlite3_stmt *s, struct request_row **ret,
                         struct error *err) {
        CAD_AUTO(request_reading_done) struct request_reading found = { 0 };
        int rc = sqlite3_step(s);

        if (rc == SQLITE_DONE)
                return error_set(
                        err, ERR_NOT_FOUND,
                        "there is no such request: it may be over for a month, or have given way to others; hand it in again");
        if (rc != SQLITE_ROW)
                return sql_error(c, rc, "cannot read a request", err);
        if (request_row_read(c, s, &found, err) < 0)
                return -1;
        *ret = request_row_copy(&found.row);
        return *ret ? 0 : error_no_memory(err);
}
