/*
 * Certificates: putting one, reading one, and what is known of a key. It looks at no DER.
 */
#include "db/internal.h"
#include "db/requests.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/text.h"

/* ---- reading ----------------------------------------------------------------------------------------------- */

void row_scratch_done(struct row_scratch *scratch) {
        buffer_done(&scratch->text);
        free(scratch->names);
        *scratch = (struct row_scratch){ 0 };
}

static int names_reserve(struct row_scratch *scratch, size_t count, struct error *err) {
        const char **names;

        if (count <= scratch->capacity)
                return 0;
        names = reallocarray(scratch->names, count, sizeof(*names));
        if (!names)
                return error_no_memory(err);
        scratch->names = names;
        scratch->capacity = count;
        return 0;
}

/* "a\nb" to an array of "a" and "b". */
static int names_split(const char *lines, struct row_scratch *scratch, struct cert_row *ret,
                       struct error *err) {
        size_t count = *lines ? 1 : 0;
        char *at;

        for (const char *p = lines; *p; p++)
                count += *p == '\n';
        scratch->text.size = 0;
        buffer_text(&scratch->text, lines);
        at = (char *) buffer_string(&scratch->text);
        if (scratch->text.failed)
                return error_no_memory(err);
        if (names_reserve(scratch, count, err) < 0)
                return -1;
        for (size_t i = 0; i < count; i++) {
                char *end = strchrnul(at, '\n');

                *end = '\0';
                scratch->names[i] = at;
                at = end + 1;
        }
        ret->names = scratch->names;
        ret->name_count = count;
        return 0;
}

static int copy_hash(sqlite3_stmt *s, int column, uint8_t *out, struct error *err) {
        struct bytes hash = column_bytes(s, column);

        if (hash.size != STORE_HASH_SIZE)
                return error_set(err, ERR_STORE,
                                 "%s is damaged: a hash has %zu octets; restore a backup",
                                 STORE_FILE, hash.size);
        memcpy(out, hash.data, STORE_HASH_SIZE);
        return 0;
}

int row_read(struct sql_connection *c, sqlite3_stmt *s, struct row_scratch *scratch,
             int64_t *ret_id, struct cert_row *ret, struct error *err) {
        struct cert_row row = {
                .serial = column_bytes(s, 1),
                .issuer = column_text(s, 2),
                .profile = column_text(s, 3),
                .subject = column_text(s, 4),
                .not_before = sqlite3_column_int64(s, 6),
                .not_after = sqlite3_column_int64(s, 7),
                .issued_at = sqlite3_column_int64(s, 8),
                .requester = column_text(s, 11),
                .label = column_text(s, 12),
                .internal = sqlite3_column_int(s, 13) != 0,
                .status = (enum cert_status) sqlite3_column_int(s, 14),
                .revoked_at = sqlite3_column_int64(s, 15),
                .reason = (enum revocation_reason) sqlite3_column_int(s, 16),
                .der = column_bytes(s, 17),
                .granted_s = sqlite3_column_int64(s, 18),
        };
        const char *names = column_text(s, 5);

        if (!row.issuer || !row.profile || !row.subject || !row.requester || !names) {
                if (sqlite3_errcode(c->db) == SQLITE_NOMEM)
                        return error_no_memory(err);
                return error_set(err, ERR_STORE,
                                 "%s is damaged: a certificate without its texts; restore a backup",
                                 STORE_FILE);
        }
        if (copy_hash(s, 9, row.fingerprint, err) < 0 || copy_hash(s, 10, row.spki, err) < 0 ||
            names_split(names, scratch, &row, err) < 0)
                return -1;
        if (ret_id)
                *ret_id = sqlite3_column_int64(s, 0);
        *ret = row;
        return 0;
}

/* The one certificate that @s finds, as a copy. */
static int read_one(struct sql_connection *c, sqlite3_stmt *s, struct cert_row **ret,
                    struct error *err) {
        CAD_AUTO(row_scratch_done) struct row_scratch scratch = { 0 };
        struct cert_row row = { 0 };
        int rc = sqlite3_step(s);

        if (rc == SQLITE_DONE)
                return error_set(err, ERR_NOT_FOUND, "there is no such certificate");
        if (rc != SQLITE_ROW)
                return sql_error(c, rc, "cannot read a certificate", err);
        if (row_read(c, s, &scratch, /* ret_id= */ NULL, &row, err) < 0)
                return -1;
        *ret = cert_row_copy(&row);
        return *ret ? 0 : error_no_memory(err);
}

int store_get_certificate(struct store *store, struct bytes serial, struct cert_row **ret,
                          struct error *err) {
        CAD_AUTO(reader_done) struct reader r = reader_for(store, err);
        CAD_AUTO(statement_release) sqlite3_stmt *s = NULL;
        char hex[2 * STORE_SERIAL_MAX + 1];
        struct error found = { 0 };

        if (!r.c)
                return -1;
        if (serial.size == 0 || serial.size > STORE_SERIAL_MAX)
                return error_set(err, ERR_NOT_FOUND,
                                 "there is no certificate with a serial of %zu octets",
                                 serial.size);
        s = sql_statement(r.c, STATEMENT_CERTIFICATE_GET, err);
        if (!s)
                return -1;
        bind_bytes(s, 1, serial);
        if (read_one(r.c, s, ret, &found) == 0)
                return 0;
        if (found.code == ERR_NOT_FOUND)
                return error_set(err, ERR_NOT_FOUND, "there is no certificate with serial %s",
                                 hex_encode(serial, hex));
        if (err)
                *err = found;
        return -1;
}

/* ---- copies ------------------------------------------------------------------------------------------------ */

static size_t row_room(const struct cert_row *row) {
        size_t room = sizeof(*row) + row_names_room(row->names, row->name_count) +
                row->serial.size + row->der.size;

        room += row_text_room(row->issuer) + row_text_room(row->profile) +
                row_text_room(row->subject) + row_text_room(row->requester) +
                row_text_room(row->label);
        return room;
}

struct cert_row *cert_row_copy(const struct cert_row *row) {
        struct cert_row *copy = malloc(row_room(row));
        char *at;

        if (!copy)
                return NULL;
        *copy = *row;
        at = (char *) (copy + 1);
        copy->names = row_place_names(&at, row->names, row->name_count);
        copy->issuer = row_place_text(&at, row->issuer);
        copy->profile = row_place_text(&at, row->profile);
        copy->subject = row_place_text(&at, row->subject);
        copy->requester = row_place_text(&at, row->requester);
        copy->label = row_place_text(&at, row->label);
        copy->serial.data = row_place(&at, row->serial.data, row->serial.size);
        copy->der.data = row_place(&at, row->der.data, row->der.size);
        return copy;
}

struct cert_row *cert_row_free(struct cert_row *row) {
        free(row);
        return NULL;
}

/* ---- keys -------------------------------------------------------------------------------------------------- */

int last_id(struct sql_connection *c, int64_t *ret, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(c, STATEMENT_LAST_ID, err);
        int rc;

        if (!s)
                return -1;
        rc = sqlite3_step(s);
        if (rc != SQLITE_ROW)
                return sql_error(c, rc, "cannot read " STORE_FILE, err);
        *ret = sqlite3_column_int64(s, 0);
        return 0;
}

/* The first of what @s gives, with ?1 @at, that has this key. Return: 1 found, 0 not, -1 */
static int probe(struct sql_connection *c, sqlite3_stmt *s, int64_t at, struct bytes spki,
                 struct spki_use *ret, struct error *err) {
        int rc, found = 0;

        (void) sqlite3_bind_int64(s, 1, at);
        while ((rc = sqlite3_step(s)) == SQLITE_ROW && !found) {
                struct bytes serial = column_bytes(s, 1);

                if (!bytes_equal(column_bytes(s, 0), spki) || serial.size > STORE_SERIAL_MAX)
                        continue;
                memcpy(ret->serial, serial.data, serial.size);
                ret->serial_size = serial.size;
                ret->used = true;
                found = 1;
        }
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
                return sql_error(c, rc, "cannot look for a key", err);
        (void) sqlite3_reset(s);
        return found;
}

static int find_use(struct sql_connection *c, struct bytes spki, struct spki_use *ret,
                    struct error *err) {
        CAD_AUTO(snapshot_done) struct snapshot snapshot = snapshot_begin(c, err);
        CAD_AUTO(statement_release)
        sqlite3_stmt *tail = sql_statement(c, STATEMENT_SPKI_TAIL, err);
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(c, STATEMENT_SPKI_PROBE, err);
        int64_t indexed = 0;
        int found;

        if (!snapshot.c || !tail || !s || indexed_read(c, &indexed, err) < 0)
                return -1;
        bind_bytes(s, 2, BYTES(spki.data, LOOKUP_HASH_SIZE));
        (void) sqlite3_bind_int(s, 3, LOOKUP_SPKI);
        found = probe(c, tail, indexed, spki, ret, err);
        for (int64_t bucket = indexed >> STORE_BUCKET_BITS; found == 0 && bucket >= 0; bucket--)
                found = probe(c, s, bucket, spki, ret, err);
        return found < 0 ? -1 : 0;
}

static int find_compromised(struct sql_connection *c, struct bytes spki, struct spki_use *ret,
                            struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(c, STATEMENT_COMPROMISED_GET, err);
        int rc;

        if (!s)
                return -1;
        bind_bytes(s, 1, spki);
        rc = sqlite3_step(s);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
                return sql_error(c, rc, "cannot look for a key", err);
        ret->compromised = rc == SQLITE_ROW;
        return 0;
}

int store_spki_use(struct store *store, const uint8_t spki[STORE_HASH_SIZE], bool look_for_use,
                   struct spki_use *ret, struct error *err) {
        CAD_AUTO(reader_done) struct reader r = { 0 };
        struct bytes key = BYTES(spki, STORE_HASH_SIZE);
        struct spki_use use = { 0 };

        if (!look_for_use && !atomic_load(&store->committer.any_compromised)) {
                *ret = use;
                return 0;
        }
        r = reader_for(store, err);
        if (!r.c || find_compromised(r.c, key, &use, err) < 0 ||
            (look_for_use && find_use(r.c, key, &use, err) < 0))
                return -1;
        *ret = use;
        return 0;
}

int store_find_by_spki(struct store *store, const uint8_t spki[STORE_HASH_SIZE],
                       struct cert_row **ret, struct error *err) {
        struct spki_use use = { 0 };

        if (store_spki_use(store, spki, /* look_for_use= */ true, &use, err) < 0)
                return -1;
        if (!use.used)
                return error_set(err, ERR_NOT_FOUND, "there is no certificate with this key");
        return store_get_certificate(store, BYTES(use.serial, use.serial_size), ret, err);
}

/* ---- putting ----------------------------------------------------------------------------------------------- */

static void word_note(struct word *known, const char *word, int64_t id) {
        if (strlen(word) < sizeof(known->text)) {
                (void) stpcpy(known->text, word);
                known->id = id;
        }
}

/* The number of a short word (an issuer, a profile), given to it at its first use. */
static int word_id(struct store_tx *tx, enum statement find, enum statement add, const char *word,
                   int64_t *ret, struct error *err) {
        CAD_AUTO(statement_release) sqlite3_stmt *s = sql_statement(tx->c, find, err);
        CAD_AUTO(statement_release) sqlite3_stmt *insert = NULL;
        int rc;

        if (!s)
                return -1;
        bind_text(s, 1, word);
        rc = sqlite3_step(s);
        if (rc == SQLITE_ROW) {
                *ret = sqlite3_column_int64(s, 0);
                return 0;
        }
        if (rc != SQLITE_DONE)
                return sql_error(tx->c, rc, "cannot write to " STORE_FILE, err);
        insert = sql_statement(tx->c, add, err);
        if (!insert)
                return -1;
        bind_text(insert, 1, word);
        if (sql_run(tx->c, insert, "cannot write to " STORE_FILE, err) < 0)
                return -1;
        *ret = sqlite3_last_insert_rowid(tx->c->db);
        return 0;
}

/* The same, asked once a transaction: most rows of a batch share both words. */
static int word_id_known(struct store_tx *tx, struct word *known, enum statement find,
                         enum statement add, const char *word, int64_t *ret, struct error *err) {
        if (known->id && strcmp(known->text, word) == 0) {
                *ret = known->id;
                return 0;
        }
        if (word_id(tx, find, add, word, ret, err) < 0)
                return -1;
        word_note(known, word, *ret);
        return 0;
}

static int check_row(const struct cert_row *row, struct error *err) {
        if (row->serial.size == 0 || row->serial.size > STORE_SERIAL_MAX || row->der.size == 0 ||
            !row->issuer || !row->profile || !row->requester)
                return error_set(err, ERR_INTERNAL,
                                 "a certificate without serial, DER, issuer, profile or requester");
        if (row->name_count > STORE_NAMES_MAX)
                return error_set(err, ERR_INTERNAL, "a certificate with %zu names, more than %d",
                                 row->name_count, STORE_NAMES_MAX);
        for (size_t i = 0; i < row->name_count; i++) {
                size_t length = strlen(row->names[i]);

                if (length == 0 || length > STORE_NAME_MAX || strchr(row->names[i], '\n'))
                        return error_set(err, ERR_INTERNAL,
                                         "name %zu of a certificate cannot be stored", i);
        }
        return 0;
}

static int join_names(const struct cert_row *row, struct buffer *ret, struct error *err) {
        for (size_t i = 0; i < row->name_count; i++) {
                if (i)
                        buffer_text(ret, "\n");
                buffer_text(ret, row->names[i]);
        }
        (void) buffer_string(ret);
        return ret->failed ? error_no_memory(err) : 0;
}

static void bind_row(sqlite3_stmt *s, int64_t id, int64_t issuer, int64_t profile,
                     const struct cert_row *row, const char *names) {
        (void) sqlite3_bind_int64(s, 1, id);
        bind_bytes(s, 2, row->serial);
        (void) sqlite3_bind_int64(s, 3, issuer);
        (void) sqlite3_bind_int64(s, 4, profile);
        (void) sqlite3_bind_int64(s, 5, row->not_before);
        (void) sqlite3_bind_int64(s, 6, row->not_after);
        (void) sqlite3_bind_int64(s, 7, row->issued_at);
        (void) sqlite3_bind_int(s, 8, row->internal);
        bind_bytes(s, 9, BYTES(row->fingerprint, STORE_HASH_SIZE));
        bind_bytes(s, 10, BYTES(row->spki, STORE_HASH_SIZE));
        bind_text(s, 11, row->requester);
        bind_text(s, 12, row->label);
        bind_text(s, 13, row->subject ? row->subject : "");
        bind_text(s, 14, names);
        bind_bytes(s, 15, row->der);
        if (row->granted_s)
                (void) sqlite3_bind_int64(s, 16, row->granted_s);
}

static int insert_row(struct store_tx *tx, int64_t id, const struct cert_row *row,
                      struct error *err) {
        CAD_AUTO(buffer_done) struct buffer names = { 0 };
        CAD_AUTO(statement_release) sqlite3_stmt *s = NULL;
        char hex[2 * STORE_SERIAL_MAX + 1];
        int64_t issuer = 0, profile = 0;
        int rc;

        if (join_names(row, &names, err) < 0 ||
            word_id_known(tx, &tx->issuer, STATEMENT_ISSUER_ID, STATEMENT_ISSUER_ADD, row->issuer,
                          &issuer, err) < 0 ||
            word_id_known(tx, &tx->profile, STATEMENT_PROFILE_ID, STATEMENT_PROFILE_ADD,
                          row->profile, &profile, err) < 0)
                return -1;
        s = sql_statement(tx->c, STATEMENT_CERTIFICATE_ADD, err);
        if (!s)
                return -1;
        bind_row(s, id, issuer, profile, row, buffer_string(&names));
        rc = sqlite3_step(s);
        if (rc == SQLITE_CONSTRAINT_UNIQUE)
                return error_set(err, ERR_STATE_CONFLICT,
                                 "there is a certificate with serial %s already",
                                 hex_encode(row->serial, hex));
        return rc == SQLITE_DONE ? 0 : sql_error(tx->c, rc, "cannot write a certificate", err);
}

int tx_put_certificate(struct store_tx *tx, const struct cert_row *row, struct error *err) {
        int64_t id = tx->next_id;

        if (check_row(row, err) < 0)
                return -1;
        if (id == 0) {
                if (last_id(tx->c, &id, err) < 0)
                        return -1;
                id++;
        }
        if (insert_row(tx, id, row, err) < 0)
                return -1;
        tx->next_id = id + 1;
        tx->more.issued++;
        if (!row->internal)
                tx->more.issued_for_others++;
        return 0;
}

static int issue_apply(struct store_tx *tx, struct store_op *op, struct error *err) {
        const struct store_issue *issue = (const struct store_issue *) op;

        if (issue->renews.size && tx_require_standing(tx, issue->renews, err) < 0)
                return -1;
        if (issue->idempotency &&
            tx_put_idempotency(tx, issue->idempotency, issue->row.serial, issue->row.issued_at,
                               err) < 0)
                return -1;
        /* after the key: of two tries with one key and one use, the later one is to be told to ask again */
        if (issue->token_id && tx_use_token(tx, issue->token_id, issue->row.issued_at, err) < 0)
                return -1;
        if (issue->approves && tx_approve_request(tx, issue->approves, issue->row.serial, err) < 0)
                return -1;
        if (tx_put_certificate(tx, &issue->row, err) < 0)
                return -1;
        return issue->audit ? tx_put_audit(tx, issue->audit, err) : 0;
}

void store_issue_init(struct store_issue *issue,
                      void (*done)(struct store_op *op, const struct error *err)) {
        *issue = (struct store_issue){ .op = { .apply = issue_apply, .done = done } };
}
