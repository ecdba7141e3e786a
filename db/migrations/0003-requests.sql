-- Requests: CSRs that wait for an operator, and for a month what became of them.
--
-- What may wait is bounded, so that random keys and walks over all that waits cost little here. A request has its CSR for as
-- long as it may be approved: that is what the partial indexes go by.

CREATE TABLE requests (
        id INTEGER PRIMARY KEY AUTOINCREMENT,     -- never used again: an approval on its way cannot meet another request
        -- Who has it may poll. In the clear, since the same request handed in again is answered with it, and all that it
        -- opens is in this row.
        capability BLOB NOT NULL UNIQUE CHECK (length(capability) = 16),
        code TEXT NOT NULL UNIQUE,                -- for reading aloud; what operators know it by
        status INTEGER NOT NULL DEFAULT 0 CHECK (status IN (0, 1, 2)), -- waiting, approved, denied
        source TEXT NOT NULL,
        wish BLOB NOT NULL CHECK (length(wish) = 32),
        spki BLOB NOT NULL CHECK (length(spki) = 32),
        key TEXT NOT NULL,
        profile TEXT NOT NULL,
        names TEXT NOT NULL,                      -- one a line
        lifetime INTEGER,                         -- seconds; NULL: the profile's default
        label TEXT,
        handed_in_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        remove_at INTEGER NOT NULL,
        decided_at INTEGER,
        decided_by TEXT,
        reason TEXT,
        serial BLOB,
        csr BLOB                                  -- last: a walk past a row does not read it
) STRICT;

CREATE INDEX requests_by_status ON requests (status);
CREATE INDEX requests_by_removal ON requests (remove_at);
CREATE INDEX requests_open ON requests (source, id, expires_at) WHERE csr IS NOT NULL;
CREATE INDEX requests_open_by_end ON requests (expires_at) WHERE csr IS NOT NULL;
