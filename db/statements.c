/*
 * Every SQL statement that runs while the store is open, one row each, so that a test can ask SQLite for the plan of all
 * of them. None may scan certificates or lookups; the rows that are not
 * indexed yet are a range of ids (tests/unit/test-store.c).
 */
#include "db/internal.h"

#define SELECT_CERTIFICATES "SELECT " CERTIFICATE_COLUMNS " FROM certificates c" CERTIFICATE_JOIN
#define NEWEST_FIRST " ORDER BY c.id DESC"
#define ADD_LOOKUPS "INSERT OR IGNORE INTO lookups (bucket, kind, key, id) VALUES "
#define FOUR "(?, ?, ?, ?), (?, ?, ?, ?), (?, ?, ?, ?), (?, ?, ?, ?), "

/* in the order of enum column in requests.c */
#define REQUEST_COLUMNS \
        "id, capability, code, status, source, wish, spki, key, profile, names, lifetime, label, handed_in_at, expires_at, " \
        "decided_at, decided_by, reason, serial"
/* in the order of enum column in tokens.c */
#define TOKEN_COLUMNS \
        "id, hash, profile, names, validity_max, uses, used, created_at, expires_at, last_used_at, revoked_at, creator, label, short"

/* clang-format off */
const char *const statements[STATEMENT_COUNT] = {
        [STATEMENT_BEGIN]       = "BEGIN IMMEDIATE",
        [STATEMENT_READ]        = "BEGIN",
        [STATEMENT_COMMIT]      = "COMMIT",
        [STATEMENT_ROLLBACK]    = "ROLLBACK",
        [STATEMENT_SAVEPOINT]   = "SAVEPOINT op",
        [STATEMENT_RELEASE]     = "RELEASE op",
        [STATEMENT_ROLLBACK_TO] = "ROLLBACK TO op",

        [STATEMENT_META]     = "SELECT ca_id FROM meta WHERE one = 1",
        [STATEMENT_COUNTERS] = "SELECT issued, issued_for_others, revoked, held, indexed FROM counters WHERE one = 1",
        [STATEMENT_COUNT_TAIL] = "SELECT count(*), count(*) - total(internal) FROM certificates WHERE id > ?1",
        [STATEMENT_COUNTERS_ADD] =
                "UPDATE counters SET revoked = revoked + ?1, held = held + ?2 WHERE one = 1",
        [STATEMENT_PROBE] = "UPDATE counters SET probes = probes + 1 WHERE one = 1",

        [STATEMENT_LAST_ID]     = "SELECT max(id) FROM certificates",
        [STATEMENT_ISSUER_ID]   = "SELECT id FROM issuers WHERE name = ?1",
        [STATEMENT_ISSUER_ADD]  = "INSERT INTO issuers (name) VALUES (?1)",
        [STATEMENT_PROFILE_ID]  = "SELECT id FROM profiles WHERE name = ?1",
        [STATEMENT_PROFILE_ADD] = "INSERT INTO profiles (name) VALUES (?1)",
        [STATEMENT_CERTIFICATE_ADD] =
                "INSERT INTO certificates (id, serial, issuer, profile, not_before, not_after, issued_at, internal, "
                "fingerprint, spki, requester, label, subject, names, der, granted) "
                "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",

        /* Filling lookups: the next rows in the order of their ids. */
        [STATEMENT_INDEXED] = "SELECT indexed FROM counters WHERE one = 1",
        [STATEMENT_INDEXED_SET] =
                "UPDATE counters SET indexed = ?1, issued = issued + ?2, issued_for_others = issued_for_others + ?3 "
                "WHERE one = 1",
        [STATEMENT_INDEX_ROWS] =
                "SELECT id, names, fingerprint, spki, requester, label, profile, issuer, issued_at, internal "
                "FROM certificates WHERE id > ?1 ORDER BY id LIMIT ?2",
        [STATEMENT_LOOKUP_ADD]     = ADD_LOOKUPS "(?, ?, ?, ?)",
        [STATEMENT_LOOKUP_ADD_MANY] = ADD_LOOKUPS FOUR FOUR FOUR "(?, ?, ?, ?), (?, ?, ?, ?), (?, ?, ?, ?), (?, ?, ?, ?)",
        [STATEMENT_BUCKET_ADD] =
                "INSERT INTO buckets (bucket, issued_first, issued_last) VALUES (?1, ?2, ?2) ON CONFLICT (bucket) DO "
                "UPDATE SET issued_first = min(issued_first, ?2), issued_last = max(issued_last, ?2)",

        [STATEMENT_CERTIFICATE_GET] = SELECT_CERTIFICATES "WHERE c.serial = ?1",
        [STATEMENT_STATUS_GET] = "SELECT id, status, revoked_at, reason, spki, issuer FROM certificates WHERE serial = ?1",
        [STATEMENT_STATUS_SET] = "UPDATE certificates SET status = ?2, revoked_at = ?3, reason = ?4 WHERE id = ?1",
        [STATEMENT_COMPROMISED_ADD] =
                "INSERT OR IGNORE INTO compromised_keys (spki, serial, revoked_at) VALUES (?1, ?2, ?3)",
        [STATEMENT_COMPROMISED_GET] = "SELECT serial FROM compromised_keys WHERE spki = ?1",
        [STATEMENT_SPKI_TAIL] = "SELECT spki, serial FROM certificates WHERE id > ?1 ORDER BY id DESC",
        [STATEMENT_SPKI_PROBE] =
                "SELECT c.spki, c.serial FROM lookups l CROSS JOIN certificates c ON c.id = l.id "
                "WHERE l.bucket = ?1 AND l.kind = ?3 AND l.key = ?2 ORDER BY l.id DESC",

        [STATEMENT_IDEMPOTENCY_GET] =
                "SELECT id, body_hash, serial, created_at FROM idempotency "
                "WHERE principal = ?1 AND key = ?2 AND method = ?3 AND path = ?4",
        [STATEMENT_IDEMPOTENCY_ADD] =
                "INSERT INTO idempotency (principal, key, method, path, body_hash, serial, created_at) "
                "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        [STATEMENT_IDEMPOTENCY_DROP] = "DELETE FROM idempotency WHERE id = ?1",
        [STATEMENT_IDEMPOTENCY_EXPIRE] =
                "DELETE FROM idempotency WHERE id IN "
                "(SELECT id FROM idempotency WHERE created_at <= ?1 ORDER BY created_at LIMIT ?2)",

        [STATEMENT_TOKEN_ADD] =
                "INSERT INTO tokens (id, hash, profile, names, validity_max, uses, created_at, expires_at, creator, label, short) "
                "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        [STATEMENT_TOKEN_GET]  = "SELECT " TOKEN_COLUMNS " FROM tokens WHERE id = ?1",
        [STATEMENT_TOKEN_HASH] = "SELECT hash FROM tokens WHERE id = ?1",
        [STATEMENT_TOKEN_USE] =
                "UPDATE tokens SET used = used + 1, last_used_at = ?2 "
                "WHERE id = ?1 AND used < uses AND revoked_at IS NULL AND expires_at > ?2",
        [STATEMENT_TOKEN_REVOKE] = "UPDATE tokens SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL",
        [STATEMENT_TOKEN_LIST]   = "SELECT " TOKEN_COLUMNS " FROM tokens WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
        [STATEMENT_TOKEN_SHORT] =
                "SELECT id, hash, used < uses FROM tokens INDEXED BY tokens_short "
                "WHERE short = 1 AND expires_at > ?1 AND revoked_at IS NULL",

        /* What is open has its CSR, and is so little that a walk over all of it is short. */
        [STATEMENT_REQUEST_GET]    = "SELECT " REQUEST_COLUMNS ", csr FROM requests WHERE capability = ?1",
        [STATEMENT_REQUEST_FIND]   = "SELECT " REQUEST_COLUMNS ", csr FROM requests WHERE code = ?1",
        [STATEMENT_REQUEST_BY_ROW] = "SELECT " REQUEST_COLUMNS " FROM requests WHERE id = ?1",
        [STATEMENT_REQUEST_SAME] =
                "SELECT " REQUEST_COLUMNS " FROM requests INDEXED BY requests_open "
                "WHERE csr IS NOT NULL AND source = ?1 AND wish = ?2 AND expires_at > ?3",
        [STATEMENT_REQUEST_DECIDED] =
                "SELECT " REQUEST_COLUMNS " FROM requests INDEXED BY requests_decided "
                "WHERE status <> 0 AND wish = ?1 ORDER BY id DESC LIMIT ?2",
        [STATEMENT_REQUEST_QUEUE] =
                "SELECT source, id FROM requests INDEXED BY requests_open "
                "WHERE csr IS NOT NULL AND source > '' AND expires_at > ?1 ORDER BY source, id",
        [STATEMENT_REQUEST_EVICT] = "DELETE FROM requests WHERE id = ?1 RETURNING code",
        [STATEMENT_REQUEST_ADD] =
                "INSERT INTO requests (capability, code, source, wish, spki, key, profile, names, lifetime, label, "
                "handed_in_at, expires_at, remove_at, csr) "
                "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        [STATEMENT_REQUEST_DECIDE] =
                "UPDATE requests SET status = ?2, decided_at = ?3, decided_by = ?4, reason = ?5, serial = ?6, "
                "remove_at = max(?3, handed_in_at) + ?7, csr = NULL WHERE id = ?1 AND status = 0 AND expires_at > ?3",
        [STATEMENT_REQUEST_LIST] = "SELECT " REQUEST_COLUMNS " FROM requests WHERE id < ?1 ORDER BY id DESC",
        [STATEMENT_REQUEST_LIST_STATUS] =
                "SELECT " REQUEST_COLUMNS " FROM requests WHERE status = ?2 AND id < ?1 ORDER BY id DESC",
        [STATEMENT_REQUEST_SWEEP_CSRS] =
                "UPDATE requests SET csr = NULL WHERE id IN (SELECT id FROM requests INDEXED BY requests_open_by_end "
                "WHERE csr IS NOT NULL AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2)",
        [STATEMENT_REQUEST_SWEEP] =
                "DELETE FROM requests WHERE id IN (SELECT id FROM requests WHERE remove_at <= ?1 ORDER BY remove_at LIMIT ?2)",

        /* Lists by a key in a bucket: ?1 bucket, ?2 key, ?3 ids below, ?4 kind. The reader stops when it has a page. */
        [STATEMENT_LIST_LOOKUP] =
                "SELECT " CERTIFICATE_COLUMNS " FROM lookups l CROSS JOIN certificates c ON c.id = l.id" CERTIFICATE_JOIN
                "WHERE l.bucket = ?1 AND l.kind = ?4 AND l.key = ?2 AND l.id < ?3 ORDER BY l.id DESC",
        [STATEMENT_LIST_SUFFIX_IDS] =
                "SELECT id FROM lookups WHERE bucket = ?1 AND kind = ?6 AND key >= ?2 AND key < ?4 AND id < ?3 LIMIT ?5",
        [STATEMENT_BUCKET_SHARES] =
                "SELECT 1 FROM lookups WHERE bucket = ?1 AND kind = ?4 AND key = ?2 AND id = ?3",
        [STATEMENT_BUCKET_TIME] = "SELECT issued_first, issued_last FROM buckets WHERE bucket = ?1",
        [STATEMENT_LIST_ONE] = SELECT_CERTIFICATES "WHERE c.id = ?1",

        /* The others: ?1 what is looked for or the far end, ?2 and ?3 where the last page ended. */
        [STATEMENT_LIST_STATUS] =
                SELECT_CERTIFICATES "WHERE c.status = ?1 AND c.status > 0 AND c.id < ?3" NEWEST_FIRST,
        [STATEMENT_LIST_ALL] = SELECT_CERTIFICATES "WHERE c.id >= ?1 AND c.id < ?3" NEWEST_FIRST,
        [STATEMENT_LIST_EXPIRES_FIRST] =
                SELECT_CERTIFICATES "WHERE (c.not_after, c.id) > (?2, ?3) AND c.not_after < ?1 "
                "ORDER BY c.not_after, c.id",
        [STATEMENT_LIST_EXPIRED_LAST] =
                SELECT_CERTIFICATES "WHERE (c.not_after, c.id) < (?2, ?3) AND c.not_after >= ?1 "
                "ORDER BY c.not_after DESC, c.id DESC",

        [STATEMENT_CRL_GET] =
                "SELECT changes, included, number, this_update, next_update, scheduled_at, entries FROM crls "
                "WHERE issuer = ?1",
        [STATEMENT_CRL_PUT] =
                "INSERT INTO crls (issuer, included, number, this_update, next_update, scheduled_at, entries) "
                "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (issuer) DO UPDATE SET included = ?2, number = ?3, "
                "this_update = ?4, next_update = ?5, scheduled_at = ?6, entries = ?7",
        [STATEMENT_CRL_CHANGED] =
                "INSERT INTO crls (issuer, changes) SELECT name, 1 FROM issuers WHERE id = ?1 "
                "ON CONFLICT (issuer) DO UPDATE SET changes = changes + 1",
        [STATEMENT_REVOKED_STEP] =
                "SELECT not_after, serial, revoked_at, reason FROM certificates INDEXED BY certificates_on_crl "
                "WHERE issuer = (SELECT id FROM issuers WHERE name = ?1) AND status > 0 "
                "AND (not_after, serial) > (?2, ?3) ORDER BY not_after, serial LIMIT ?4",
        [STATEMENT_UNKNOWN_STEP] =
                "SELECT ?2, serial, revoked_at, reason FROM revoked_unknown WHERE issuer = ?1 AND serial > ?3 "
                "ORDER BY serial LIMIT ?4",
        [STATEMENT_UNKNOWN_ADD] =
                "INSERT OR IGNORE INTO revoked_unknown (issuer, serial, revoked_at, reason) VALUES (?1, ?2, ?3, ?4)",

        /* Rows of the audit from ?1 on and below ?2, newest first. */
        [STATEMENT_AUDIT_HEAD]     = "SELECT number, hash FROM audit_head WHERE one = 1",
        [STATEMENT_AUDIT_HEAD_SET] = "INSERT OR REPLACE INTO audit_head (one, number, hash) VALUES (1, ?1, ?2)",
        [STATEMENT_AUDIT_LAST]     = "SELECT number, hash FROM audit WHERE number = (SELECT max(number) FROM audit)",
        [STATEMENT_AUDIT_ADD] =
                "INSERT INTO audit (number, at, action, principal, source, object, outcome, detail, request_id, hash) "
                "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        [STATEMENT_AUDIT_LIST] =
                "SELECT number, at, action, principal, source, object, outcome, detail, request_id, hash FROM audit "
                "WHERE number >= ?1 AND number < ?2 ORDER BY number DESC",
        [STATEMENT_AUDIT_SPAN_LAST] = "SELECT max(span) FROM audit_spans",
        [STATEMENT_AUDIT_SPAN_GET]  = "SELECT at_first, at_last, words FROM audit_spans WHERE span = ?1",
        [STATEMENT_AUDIT_SPAN_ADD] =
                "INSERT INTO audit_spans (span, at_first, at_last, words) VALUES (?1, ?2, ?3, ?4)",
};
/* clang-format on */
