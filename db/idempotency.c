/*
 * Idempotency keys: a retry gets the certificate that the first try made. Records live 24 h and are committed with the
 * certificate, so that there is never one without the other.
 */
#include "db/internal.h"

#include <string.h>

#define EXPIRE_STEP 4 /* old records removed with each new one: more than come in */

struct idempotency_record {
        int64_t id, created_at;
        uint8_t body_hash[STORE_HASH_SIZE];
        uint8_t serial[STORE_SERIAL_MAX];
        size_t serial_size;
};

static bool is_live(const struct idempotency_record *record, int64_t now) {
        return record->created_at > now - STORE_IDEMPOTENCY_LIFE_S;
}

/* Return: 1 found, 0 not, -1 */
static int record_find(struct sql_connection *c, sqlite3_stmt *s, const struct idempotency *asked,
                       struct idempotency_record *ret, struct error *err) {
        struct bytes body_hash, serial;
        int rc;

        bind_text(s, 1, asked->principal);
        bind_text(s, 2, asked->key);
        bind_text(s, 3, asked->method);
        bind_text(s, 4, asked->path);
        rc = sqlite3_step(s);
        if (rc == SQLITE_DONE)
                return 0;
        if (rc != SQLITE_ROW)
                return sql_error(c, rc, "cannot read an idempotency key", err);
        body_hash = column_bytes(s, 1);
        serial = column_bytes(s, 2);
        if (body_hash.size != STORE_HASH_SIZE || serial.size == 0 || serial.size > STORE_SERIAL_MAX)
                return error_set(err, ERR_STORE,
                                 "%s is damaged: an idempotency record; restore a backup",
                                 STORE_FILE);
        *ret = (struct idempotency_record){
                .id = sqlite3_column_int64(s, 0),
                .created_at = sqlite3_column_int64(s, 3),
                .serial_size = serial.size,
        };
        memcpy(ret->body_hash, body_hash.data, body_hash.size);
        memcpy(ret->serial, serial.data, serial.size);
        return 1;
}

int store_idempotency_find(struct store *store, const struct idempotency *asked, int64_t now,
                           uint8_t ret_body_hash[STORE_HASH_SIZE], uint8_t *ret_serial,
                           size_t *ret_serial_size, struct error *err) {
        CAD_AUTO(reader_done) struct reader r = reader_for(store, err);
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = r.c ? sql_statement(r.c, STATEMENT_IDEMPOTENCY_GET, err) : NULL;
        struct idempotency_record record = { 0 };
        int found;

        if (!s)
                return -1;
        found = record_find(r.c, s, asked, &record, err);
        if (found < 0)
                return -1;
        if (!found || !is_live(&record, now))
                return error_set(err, ERR_NOT_FOUND,
                                 "this idempotency key was not used in the last 24 h");
        memcpy(ret_body_hash, record.body_hash, sizeof(record.body_hash));
        memcpy(ret_serial, record.serial, record.serial_size);
        *ret_serial_size = record.serial_size;
        return 0;
}

static int record_drop(struct store_tx *tx, int64_t id, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(tx->c, STATEMENT_IDEMPOTENCY_DROP, err);

        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, id);
        return sql_run(tx->c, s, "cannot write an idempotency key", err);
}

/* Make room for the key, or say that a live record has it. */
static int clear_key(struct store_tx *tx, const struct idempotency *wanted, int64_t now,
                     struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(tx->c, STATEMENT_IDEMPOTENCY_GET, err);
        struct idempotency_record record = { 0 };
        int found;

        if (!s)
                return -1;
        found = record_find(tx->c, s, wanted, &record, err);
        if (found <= 0)
                return found;
        if (is_live(&record, now))
                return error_set(
                        err, ERR_IDEMPOTENCY_IN_FLIGHT,
                        "another request with this Idempotency-Key was answered meanwhile: ask again for its answer");
        return record_drop(tx, record.id, err);
}

static int expire_step(struct store_tx *tx, int64_t now, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(tx->c, STATEMENT_IDEMPOTENCY_EXPIRE, err);

        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, now - STORE_IDEMPOTENCY_LIFE_S);
        (void) sqlite3_bind_int(s, 2, EXPIRE_STEP);
        return sql_run(tx->c, s, "cannot remove old idempotency keys", err);
}

int tx_put_idempotency(struct store_tx *tx, const struct idempotency *record, struct bytes serial,
                       int64_t now, struct error *err) {
        CAD_AUTO(statement_release) sqlite3_stmt *s = NULL;

        if (strlen(record->key) > STORE_IDEMPOTENCY_KEY_MAX)
                return error_set(err, ERR_INTERNAL, "an idempotency key of more than %d bytes",
                                 STORE_IDEMPOTENCY_KEY_MAX);
        if (clear_key(tx, record, now, err) < 0 || expire_step(tx, now, err) < 0)
                return -1;
        s = sql_statement(tx->c, STATEMENT_IDEMPOTENCY_ADD, err);
        if (!s)
                return -1;
        bind_text(s, 1, record->principal);
        bind_text(s, 2, record->key);
        bind_text(s, 3, record->method);
        bind_text(s, 4, record->path);
        bind_bytes(s, 5, BYTES(record->body_hash, STORE_HASH_SIZE));
        bind_bytes(s, 6, serial);
        (void) sqlite3_bind_int64(s, 7, now);
        return sql_run(tx->c, s, "cannot write an idempotency key", err);
}
