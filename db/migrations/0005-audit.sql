-- Who did what, when, from where. Rows are only ever added; hash n is made of hash n-1 and row n (lib/audit/chain.h).
CREATE TABLE audit (
        number INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        action TEXT NOT NULL,
        principal TEXT NOT NULL,
        source TEXT NOT NULL,
        object TEXT NOT NULL,
        outcome TEXT NOT NULL,
        detail TEXT NOT NULL,
        request_id TEXT NOT NULL,
        hash BLOB NOT NULL
) STRICT;

-- The end of the chain: rows cut off behind a shorter one are missed, and the numbers go on behind them.
CREATE TABLE audit_head (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        number INTEGER NOT NULL,
        hash BLOB NOT NULL
) STRICT;

-- What is in each whole span of 1 024 rows, written later: when they were written (a clock can step, so numbers do not
-- tell), and a Bloom filter of their actions, principals and objects. A list by one of these reads the spans that may hold
-- it; ten million rows have 10 000 of them, of 2 KiB each. Nothing but filtered lists looks here.
CREATE TABLE audit_spans (
        span INTEGER PRIMARY KEY,
        at_first INTEGER NOT NULL,
        at_last INTEGER NOT NULL,
        words BLOB NOT NULL
) STRICT;
