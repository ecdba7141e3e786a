-- Pairing codes: tokens that are short enough to be typed, and so few and short-lived that they are found by a walk over those that
-- have not expired. The index is by time, as the ids are: nothing random is indexed. The hash of such a row is a slow one.

ALTER TABLE tokens ADD COLUMN short INTEGER NOT NULL DEFAULT 0 CHECK (short IN (0, 1));

CREATE INDEX tokens_short ON tokens (expires_at) WHERE short = 1;
