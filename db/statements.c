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
                "fingerprint, spki, requester, label, subject, names, der) "
                "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",

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
        [STATEMENT_STATUS_GET] = "SELECT id, status, revoked_at, reason, spki FROM certificates WHERE serial = ?1",
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
};
/* clang-format on */
