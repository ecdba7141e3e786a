/*
 * Every SQL statement that runs while the store is open, one row each, so that a test can ask SQLite for the plan of all
 * of them. None may scan certificates or names (tests/unit/test-store.c).
 */
#include "db/internal.h"

#define SELECT_CERTIFICATES "SELECT " CERTIFICATE_COLUMNS " FROM certificates c" CERTIFICATE_JOIN
#define NEWEST_FIRST " ORDER BY c.id DESC"

/* clang-format off */
const char *const statements[STATEMENT_COUNT] = {
        [STATEMENT_BEGIN]       = "BEGIN IMMEDIATE",
        [STATEMENT_COMMIT]      = "COMMIT",
        [STATEMENT_ROLLBACK]    = "ROLLBACK",
        [STATEMENT_SAVEPOINT]   = "SAVEPOINT op",
        [STATEMENT_RELEASE]     = "RELEASE op",
        [STATEMENT_ROLLBACK_TO] = "ROLLBACK TO op",

        [STATEMENT_META]     = "SELECT ca_id FROM meta WHERE one = 1",
        [STATEMENT_COUNTERS] = "SELECT issued, issued_for_others, revoked, held FROM counters WHERE one = 1",
        [STATEMENT_COUNTERS_ADD] =
                "UPDATE counters SET issued = issued + ?1, issued_for_others = issued_for_others + ?2, "
                "revoked = revoked + ?3, held = held + ?4 WHERE one = 1",
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
        [STATEMENT_NAME_ADD] = "INSERT OR IGNORE INTO names (bucket, key, id) VALUES (?1, ?2, ?3)",

        [STATEMENT_CERTIFICATE_GET] = SELECT_CERTIFICATES "WHERE c.serial = ?1",
        [STATEMENT_STATUS_GET] = "SELECT id, status, revoked_at, reason, spki FROM certificates WHERE serial = ?1",
        [STATEMENT_STATUS_SET] = "UPDATE certificates SET status = ?2, revoked_at = ?3, reason = ?4 WHERE id = ?1",
        [STATEMENT_COMPROMISED_ADD] =
                "INSERT OR IGNORE INTO compromised_keys (spki, serial, revoked_at) VALUES (?1, ?2, ?3)",
        [STATEMENT_COMPROMISED_GET] = "SELECT serial FROM compromised_keys WHERE spki = ?1",
        [STATEMENT_SPKI_PROBE] =
                "SELECT spki, serial FROM certificates WHERE bucket = ?1 AND spki_key = ?2 ORDER BY id DESC",

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

        /* Lists by a key in a bucket: ?1 bucket, ?2 key, ?3 ids below. The reader stops when it has a page. */
        [STATEMENT_LIST_FINGERPRINT] =
                SELECT_CERTIFICATES "WHERE c.bucket = ?1 AND c.fingerprint_key = ?2 AND c.id < ?3" NEWEST_FIRST,
        [STATEMENT_LIST_SPKI] =
                SELECT_CERTIFICATES "WHERE c.bucket = ?1 AND c.spki_key = ?2 AND c.id < ?3" NEWEST_FIRST,
        [STATEMENT_LIST_LABEL] =
                SELECT_CERTIFICATES "WHERE c.bucket = ?1 AND c.label = ?2 AND c.id < ?3" NEWEST_FIRST,
        [STATEMENT_LIST_REQUESTER] =
                SELECT_CERTIFICATES "WHERE c.bucket = ?1 AND c.requester = ?2 AND c.id < ?3" NEWEST_FIRST,
        [STATEMENT_LIST_NAME] =
                "SELECT " CERTIFICATE_COLUMNS " FROM names n CROSS JOIN certificates c ON c.id = n.id" CERTIFICATE_JOIN
                "WHERE n.bucket = ?1 AND n.key = ?2 AND n.id < ?3 ORDER BY n.id DESC",
        [STATEMENT_LIST_SUFFIX_IDS] =
                "SELECT id FROM names WHERE bucket = ?1 AND key >= ?2 AND key < ?4 AND id < ?3 LIMIT ?5",
        [STATEMENT_LIST_ONE] = SELECT_CERTIFICATES "WHERE c.id = ?1",

        /* The others: ?1 what is looked for or the far end, ?2 and ?3 where the last page ended. */
        [STATEMENT_LIST_STATUS] =
                SELECT_CERTIFICATES "WHERE c.status = ?1 AND c.status > 0 AND c.id < ?3" NEWEST_FIRST,
        [STATEMENT_LIST_PROFILE] =
                SELECT_CERTIFICATES "WHERE c.profile = (SELECT id FROM profiles WHERE name = ?1) AND c.id < ?3"
                NEWEST_FIRST,
        [STATEMENT_LIST_ISSUER] =
                SELECT_CERTIFICATES "WHERE c.issuer = (SELECT id FROM issuers WHERE name = ?1) AND c.id < ?3"
                NEWEST_FIRST,
        [STATEMENT_LIST_ALL] = SELECT_CERTIFICATES "WHERE c.id >= ?1 AND c.id < ?3" NEWEST_FIRST,
        [STATEMENT_LIST_EXPIRES_FIRST] =
                SELECT_CERTIFICATES "WHERE (c.not_after, c.id) > (?2, ?3) AND c.not_after < ?1 "
                "ORDER BY c.not_after, c.id",
        [STATEMENT_LIST_EXPIRED_LAST] =
                SELECT_CERTIFICATES "WHERE (c.not_after, c.id) < (?2, ?3) AND c.not_after >= ?1 "
                "ORDER BY c.not_after DESC, c.id DESC",
        [STATEMENT_LIST_ISSUED] =
                SELECT_CERTIFICATES "WHERE (c.issued_at, c.id) < (?2, ?3) AND c.issued_at >= ?1 "
                "ORDER BY c.issued_at DESC, c.id DESC",
};
/* clang-format on */
