-- What the CRLs are made of, and what is known of the newest of each issuer.
--
-- certificates_on_crl is all that a CRL says of its entries, in the order in which they leave it: making one reads this
-- index from a day on and touches no certificate. SQLite keeps it, so that nothing that is revoked can be missing.

CREATE INDEX certificates_on_crl ON certificates (issuer, not_after, serial, revoked_at, reason) WHERE status > 0;

CREATE TABLE crls (
        issuer TEXT PRIMARY KEY,                  -- "int-1", "root"
        changes INTEGER NOT NULL DEFAULT 0,       -- revocations, holds and lifts of its certificates, ever
        included INTEGER NOT NULL DEFAULT -1,     -- of these, when its newest CRL was begun; -1: there is none
        number INTEGER NOT NULL DEFAULT 0,        -- of its newest CRL
        this_update INTEGER NOT NULL DEFAULT 0,
        next_update INTEGER NOT NULL DEFAULT 0,
        scheduled_at INTEGER NOT NULL DEFAULT 0,  -- this_update of the last one that was made because it was time
        entries INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Revoked by what a published CRL said, and otherwise unknown: the database is an older copy, from before these certificates.
CREATE TABLE revoked_unknown (
        issuer TEXT NOT NULL,
        serial BLOB NOT NULL,
        revoked_at INTEGER NOT NULL,
        reason INTEGER NOT NULL,
        PRIMARY KEY (issuer, serial)
) STRICT, WITHOUT ROWID;

INSERT INTO crls (issuer, changes)
        SELECT i.name, count(*) FROM certificates c JOIN issuers i ON i.id = c.issuer WHERE c.status > 0 GROUP BY i.name;
