-- The first schema: certificates, what finds them, what was promised to whom.
--
-- Rows arrive in the order of their serials (time-ordered), of their ids and nearly of their times, so these trees grow
-- at one end: an issuance writes a row and three ends of trees. What finds a certificate by anything else, whose keys are
-- random, is in lookups, which is filled later, some hundred rows at a time in the order of the keys, so that a page is
-- written once for many of them (db/indexing.c). counters.indexed says up to which id; a query looks at the rows above
-- it as they are, some hundred, and at lookups for the rest. Both are read in one transaction.

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
        probes INTEGER NOT NULL,                  -- of a disk that had failed; SQLite writes only what changes
        indexed INTEGER NOT NULL                  -- what this row counts, lookups and buckets know: up to this id
) STRICT;
INSERT INTO counters VALUES (1, 0, 0, 0, 0, 0, 0);

CREATE TABLE issuers (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE profiles (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;

CREATE TABLE certificates (
        id INTEGER PRIMARY KEY,
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
        fingerprint BLOB NOT NULL,
        spki BLOB NOT NULL,
        requester TEXT NOT NULL,
        label TEXT,
        subject TEXT NOT NULL,
        names TEXT NOT NULL,                      -- one a line
        der BLOB NOT NULL                         -- last: a walk past a row does not read it
) STRICT;

CREATE INDEX certificates_by_status ON certificates (status) WHERE status > 0;
CREATE INDEX certificates_by_not_after ON certificates (not_after);

-- What finds a certificate, by buckets of 1 024 ids: a look-up pays one probe a bucket, filling it touches the pages of
-- the newest bucket only. What many share (a profile, an issuer) has one entry a bucket, with id 0: some row there has
-- it. Names are backwards, so that "*.suffix" is a range; of a hash it is the beginning. Kinds: enum lookup, db/internal.h.
CREATE TABLE lookups (
        bucket INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        key BLOB NOT NULL,
        id INTEGER NOT NULL,
        PRIMARY KEY (bucket, kind, key, id)
) STRICT, WITHOUT ROWID;

-- When the certificates of a bucket were issued: a clock can step, so ids do not tell.
CREATE TABLE buckets (
        bucket INTEGER PRIMARY KEY,
        issued_first INTEGER NOT NULL,
        issued_last INTEGER NOT NULL
) STRICT;

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
