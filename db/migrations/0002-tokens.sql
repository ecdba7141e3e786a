-- Tokens: enrolment rights that were handed out.
--
-- The id is the time of its making and some random bits, so that this tree, too, grows at one end; it is in the token, so that no
-- index on a hash is needed.

CREATE TABLE tokens (
        id INTEGER PRIMARY KEY,
        hash BLOB NOT NULL CHECK (length(hash) = 32), -- SHA-256 of the whole token; its secret is nowhere
        profile TEXT NOT NULL,
        names TEXT NOT NULL,                      -- one a line: exact, or "*.suffix"
        validity_max INTEGER,                     -- seconds; NULL: as the profile has it
        uses INTEGER NOT NULL,
        used INTEGER NOT NULL DEFAULT 0 CHECK (used >= 0 AND used <= uses),
        created_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        last_used_at INTEGER,
        revoked_at INTEGER,
        creator TEXT NOT NULL,
        label TEXT
) STRICT;
