-- The first schema: certificates, what finds them, what was promised to whom.
--
-- Rows arrive in the order of their serials (time-ordered) and of their ids, so both trees grow at one end. Every other
-- key is random; an index on it is led by the bucket (4 096 rows), so that inserts touch the pages of the newest
-- bucket only: an insert costs 22 us of processor time with buckets of 4 096, 53 us with 65 536, and a look-up by such a
-- key pays one probe a bucket. Hashes are indexed by 8 octets and compared whole afterwards.

CREATE TABLE meta (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        ca_id TEXT NOT NULL,
        created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE counters (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        issued INTEGER NOT NULL,
        issued_for_others INTEGER NOT NULL,
        revoked INTEGER NOT NULL,
        held INTEGER NOT NULL,
        probes INTEGER NOT NULL                   -- of a disk that had failed; SQLite writes only what changes
) STRICT;
INSERT INTO counters VALUES (1, 0, 0, 0, 0, 0);

CREATE TABLE issuers (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE profiles (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;

CREATE TABLE certificates (
        id INTEGER PRIMARY KEY,
        bucket INTEGER GENERATED ALWAYS AS (id >> 10) VIRTUAL,
        serial BLOB NOT NULL UNIQUE,              -- one of the whole CA, hence of its issuer too
        issuer INTEGER NOT NULL REFERENCES issuers,
        profile INTEGER NOT NULL REFERENCES profiles,
        status INTEGER NOT NULL DEFAULT 0 CHECK (status IN (0, 1, 2)), -- valid, held, revoked
        revoked_at INTEGER,
        reason INTEGER,
        not_before INTEGER NOT NULL,
        not_after INTEGER NOT NULL,
        issued_at INTEGER NOT NULL,
        internal INTEGER NOT NULL,
        fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
        spki BLOB NOT NULL CHECK (length(spki) = 32),
        fingerprint_key BLOB GENERATED ALWAYS AS (substr(fingerprint, 1, 8)) VIRTUAL,
        spki_key BLOB GENERATED ALWAYS AS (substr(spki, 1, 8)) VIRTUAL,
        requester TEXT NOT NULL,
        label TEXT,
        subject TEXT NOT NULL,
        names TEXT NOT NULL,                      -- one a line
        der BLOB NOT NULL                         -- last: a walk past a row does not read it
) STRICT;

CREATE INDEX certificates_by_fingerprint ON certificates (bucket, fingerprint_key);
CREATE INDEX certificates_by_spki ON certificates (bucket, spki_key);
CREATE INDEX certificates_by_requester ON certificates (bucket, requester);
CREATE INDEX certificates_by_label ON certificates (bucket, label) WHERE label IS NOT NULL;
CREATE INDEX certificates_by_status ON certificates (status) WHERE status > 0;
CREATE INDEX certificates_by_profile ON certificates (profile);
CREATE INDEX certificates_by_issuer ON certificates (issuer);
CREATE INDEX certificates_by_not_after ON certificates (not_after);
CREATE INDEX certificates_by_issued_at ON certificates (issued_at);

-- The names backwards, so that "*.suffix" is a range.
CREATE TABLE names (
        bucket INTEGER NOT NULL,
        key TEXT NOT NULL,
        id INTEGER NOT NULL,
        PRIMARY KEY (bucket, key, id)
) STRICT, WITHOUT ROWID;

-- Keys that were revoked for key_compromise: never again, whatever became of their certificates.
CREATE TABLE compromised_keys (
        spki BLOB PRIMARY KEY,
        serial BLOB NOT NULL,
        revoked_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
        id INTEGER PRIMARY KEY,
        principal TEXT NOT NULL,
        method TEXT NOT NULL,
        path TEXT NOT NULL,
        key TEXT NOT NULL,
        body_hash BLOB NOT NULL,
        serial BLOB NOT NULL,
        created_at INTEGER NOT NULL,
        UNIQUE (principal, key, method, path)
) STRICT;
CREATE INDEX idempotency_by_age ON idempotency (created_at);
