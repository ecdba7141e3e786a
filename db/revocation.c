/*
 * What becomes of a certificate: valid, held, revoked. The rules are a table; the words are tables too.
 */
#include "db/internal.h"

#include <string.h>

#include "lib/base/moment.h"
#include "lib/base/text.h"

static const char *const status_names[] = {
        [CERT_STATUS_VALID] = "valid",
        [CERT_STATUS_HELD] = "held",
        [CERT_STATUS_REVOKED] = "revoked",
        [CERT_STATUS_EXPIRED] = "expired",
};
_Static_assert(ARRAY_SIZE(status_names) == CERT_STATUS_COUNT, "one name a status");

/* RFC 5280 §5.3.1; 7 is not used. */
static const char *const reason_names[] = {
        [REASON_UNSPECIFIED] = "unspecified",
        [REASON_KEY_COMPROMISE] = "key_compromise",
        [REASON_CA_COMPROMISE] = "ca_compromise",
        [REASON_AFFILIATION_CHANGED] = "affiliation_changed",
        [REASON_SUPERSEDED] = "superseded",
        [REASON_CESSATION_OF_OPERATION] = "cessation_of_operation",
        [REASON_CERTIFICATE_HOLD] = "certificate_hold",
        [REASON_REMOVE_FROM_CRL] = "remove_from_crl",
        [REASON_PRIVILEGE_WITHDRAWN] = "privilege_withdrawn",
        [REASON_AA_COMPROMISE] = "aa_compromise",
};
_Static_assert(ARRAY_SIZE(reason_names) == REASON_COUNT, "one name a reason");

const char *cert_status_name(enum cert_status status) {
        return (unsigned) status < CERT_STATUS_COUNT ? status_names[status] : NULL;
}

int cert_status_from_name(const char *name, enum cert_status *ret) {
        for (unsigned i = 0; i < CERT_STATUS_COUNT; i++)
                if (strcmp(status_names[i], name) == 0) {
                        *ret = (enum cert_status) i;
                        return 0;
                }
        return -1;
}

enum cert_status cert_row_status(const struct cert_row *row, int64_t now) {
        return row->status == CERT_STATUS_VALID && row->not_after < now ? CERT_STATUS_EXPIRED
                                                                        : row->status;
}

const char *revocation_reason_name(enum revocation_reason reason) {
        return (unsigned) reason < REASON_COUNT ? reason_names[reason] : NULL;
}

static int refuse_reason(const char *name, struct error *err) {
        CAD_AUTO(buffer_done) struct buffer list = { 0 };

        for (unsigned i = 0; i < REASON_COUNT; i++)
                if (reason_names[i])
                        buffer_format(&list, "%s%s", list.size ? ", " : "", reason_names[i]);
        return error_set_field(err, ERR_REASON_INVALID, "reason",
                               "'%.64s' is no revocation reason; there are: %s", name,
                               buffer_string(&list));
}

int revocation_reason_from_name(const char *name, enum revocation_reason *ret, struct error *err) {
        for (unsigned i = 0; i < REASON_COUNT; i++)
                if (reason_names[i] && strcmp(reason_names[i], name) == 0) {
                        *ret = (enum revocation_reason) i;
                        return 0;
                }
        return refuse_reason(name, err);
}

/* ---- moves ------------------------------------------------------------------------------------------------- */

struct revocation_state {
        int64_t id, issuer, revoked_at;
        enum cert_status status;
        enum revocation_reason reason;
        uint8_t spki[STORE_HASH_SIZE];
};

static enum cert_status status_after(enum revocation_reason reason) {
        if (reason == REASON_REMOVE_FROM_CRL)
                return CERT_STATUS_VALID;
        return reason == REASON_CERTIFICATE_HOLD ? CERT_STATUS_HELD : CERT_STATUS_REVOKED;
}

/* RFC 5280 §5.3.1: only a hold may be lifted; revocation is final, but for its reason: is_learned_later(). NULL: it may move. */
static const struct {
        enum error_code code;
        const char *why;
} moves[3][3] = {
        [CERT_STATUS_VALID] = {
                [CERT_STATUS_VALID] = { ERR_STATE_CONFLICT, "is not on hold: there is nothing to lift" },
        },
        [CERT_STATUS_HELD] = {
                [CERT_STATUS_HELD] = { ERR_STATE_CONFLICT, "is on hold already" },
        },
        [CERT_STATUS_REVOKED] = {
                [CERT_STATUS_VALID] = { ERR_ALREADY_REVOKED, "is revoked, which is final: issue a new one" },
                [CERT_STATUS_HELD] = { ERR_ALREADY_REVOKED, "is revoked already" },
                [CERT_STATUS_REVOKED] = { ERR_ALREADY_REVOKED, "is revoked already" },
        },
};

static int read_state(struct store_tx *tx, struct bytes serial, struct revocation_state *ret,
                      struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(tx->c, STATEMENT_STATUS_GET, err);
        char hex[2 * STORE_SERIAL_MAX + 1];
        struct bytes spki;
        int rc;

        if (!s)
                return -1;
        bind_bytes(s, 1, serial);
        rc = sqlite3_step(s);
        if (rc == SQLITE_DONE)
                return error_set(err, ERR_NOT_FOUND, "there is no certificate with serial %s",
                                 hex_encode(serial, hex));
        if (rc != SQLITE_ROW)
                return sql_error(tx->c, rc, "cannot read a certificate", err);
        ret->id = sqlite3_column_int64(s, 0);
        ret->status = (enum cert_status) sqlite3_column_int(s, 1);
        ret->revoked_at = sqlite3_column_int64(s, 2);
        ret->reason = (enum revocation_reason) sqlite3_column_int(s, 3);
        spki = column_bytes(s, 4);
        if (spki.size != STORE_HASH_SIZE || ret->status > CERT_STATUS_REVOKED)
                return error_set(err, ERR_STORE,
                                 "%s is damaged: a certificate's state; restore a backup",
                                 STORE_FILE);
        memcpy(ret->spki, spki.data, STORE_HASH_SIZE);
        ret->issuer = sqlite3_column_int64(s, 5);
        return 0;
}

/* What is learned later about a key is said of it: who relies on the CRL should know, and the key is not to be certified again. */
static bool is_learned_later(const struct revocation_state *state, enum revocation_reason reason) {
        return state->status == CERT_STATUS_REVOKED && reason == REASON_KEY_COMPROMISE &&
                state->reason != REASON_KEY_COMPROMISE;
}

static int check_move(const struct revocation_state *state, enum cert_status to,
                      struct bytes serial, struct error *err) {
        enum error_code code = moves[state->status][to].code;
        const char *why = moves[state->status][to].why,
                   *reason = revocation_reason_name(state->reason);
        char hex[2 * STORE_SERIAL_MAX + 1], when[MOMENT_TEXT_MAX];

        if (!why)
                return 0;
        (void) hex_encode(serial, hex);
        if (state->status == CERT_STATUS_VALID)
                return error_set(err, code, "certificate %s %s", hex, why);
        return error_set(err, code, "certificate %s %s (since %s, %s)", hex, why,
                         moment_format(state->revoked_at, when), reason ? reason : "?");
}

static int write_state(struct store_tx *tx, int64_t id, enum cert_status to,
                       enum revocation_reason reason, int64_t at, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(tx->c, STATEMENT_STATUS_SET, err);

        if (!s)
                return -1;
        (void) sqlite3_bind_int64(s, 1, id);
        (void) sqlite3_bind_int(s, 2, (int) to);
        if (to != CERT_STATUS_VALID) {
                (void) sqlite3_bind_int64(s, 3, at);
                (void) sqlite3_bind_int(s, 4, (int) reason);
        }
        return sql_run(tx->c, s, "cannot write a revocation", err);
}

static int remember_key(struct store_tx *tx, const uint8_t spki[STORE_HASH_SIZE],
                        struct bytes serial, int64_t at, struct error *err) {
        CAD_AUTO(statement_release)
        sqlite3_stmt *s = sql_statement(tx->c, STATEMENT_COMPROMISED_ADD, err);

        if (!s)
                return -1;
        atomic_store(&tx->committer->any_compromised,
                     true); /* before the commit: who reads it looks into the table */
        bind_bytes(s, 1, BYTES(spki, STORE_HASH_SIZE));
        bind_bytes(s, 2, serial);
        (void) sqlite3_bind_int64(s, 3, at);
        return sql_run(tx->c, s, "cannot write a revocation", err);
}

static void count_move(struct store_counters *more, enum cert_status from, enum cert_status to) {
        more->held += (to == CERT_STATUS_HELD) - (from == CERT_STATUS_HELD);
        more->revoked += (to == CERT_STATUS_REVOKED) - (from == CERT_STATUS_REVOKED);
}

int tx_revoke(struct store_tx *tx, struct bytes serial, enum revocation_reason reason, int64_t at,
              struct error *err) {
        struct revocation_state state = { 0 };
        enum cert_status to = status_after(reason);
        bool learned;

        if (!revocation_reason_name(reason))
                return error_set_field(err, ERR_REASON_INVALID, "reason",
                                       "%d is no revocation reason", (int) reason);
        if (serial.size == 0 || serial.size > STORE_SERIAL_MAX)
                return error_set(err, ERR_NOT_FOUND,
                                 "there is no certificate with a serial of %zu octets",
                                 serial.size);
        if (read_state(tx, serial, &state, err) < 0)
                return -1;
        learned = is_learned_later(&state, reason);
        if ((!learned && check_move(&state, to, serial, err) < 0) ||
            write_state(tx, state.id, to, reason, learned ? state.revoked_at : at, err) < 0 ||
            crl_note_change(tx, state.issuer, err) < 0)
                return -1;
        if (reason == REASON_KEY_COMPROMISE && remember_key(tx, state.spki, serial, at, err) < 0)
                return -1;
        count_move(&tx->more, state.status, to);
        return 0;
}

int tx_require_standing(struct store_tx *tx, struct bytes serial, struct error *err) {
        struct revocation_state state = { 0 };
        char hex[2 * STORE_SERIAL_MAX + 1], when[MOMENT_TEXT_MAX];
        const char *reason;

        if (read_state(tx, serial, &state, err) < 0)
                return -1;
        if (state.status == CERT_STATUS_VALID)
                return 0;
        reason = revocation_reason_name(state.reason);
        return error_set(err,
                         state.status == CERT_STATUS_REVOKED ? ERR_ALREADY_REVOKED
                                                             : ERR_STATE_CONFLICT,
                         "certificate %s is %s (since %s, %s)", hex_encode(serial, hex),
                         state.status == CERT_STATUS_REVOKED ? "revoked" : "on hold",
                         moment_format(state.revoked_at, when), reason ? reason : "?");
}

static int revoke_apply(struct store_tx *tx, struct store_op *op, struct error *err) {
        const struct store_revoke *revoke = (const struct store_revoke *) op;

        if (tx_revoke(tx, revoke->serial, revoke->reason, revoke->at, err) < 0)
                return -1;
        return revoke->audit ? tx_put_audit(tx, revoke->audit, err) : 0;
}

void store_revoke_init(struct store_revoke *revoke, struct bytes serial,
                       enum revocation_reason reason, int64_t at,
                       void (*done)(struct store_op *op, const struct error *err)) {
        *revoke = (struct store_revoke){
                .op = { .apply = revoke_apply, .done = done },
                .serial = serial,
                .reason = reason,
                .at = at,
        };
}
