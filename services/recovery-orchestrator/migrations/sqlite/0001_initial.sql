CREATE TABLE recoveries (
    name TEXT PRIMARY KEY,
    sandbox TEXT NOT NULL,
    request_id TEXT UNIQUE,
    plan TEXT NOT NULL,
    evidence TEXT NOT NULL,
    traceparent TEXT,
    allowed INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX recoveries_by_sandbox ON recoveries (sandbox, created_ms);
CREATE INDEX recoveries_by_time ON recoveries (created_ms, name);

CREATE TABLE journal (
    recovery TEXT NOT NULL REFERENCES recoveries (name),
    seq INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    event TEXT NOT NULL,
    terminal INTEGER NOT NULL,
    PRIMARY KEY (recovery, seq)
) STRICT;
CREATE INDEX journal_ends ON journal (recovery) WHERE terminal = 1;

CREATE TABLE decisions (
    recovery TEXT NOT NULL REFERENCES recoveries (name),
    idx INTEGER NOT NULL,
    sandbox TEXT NOT NULL,
    phase TEXT NOT NULL,
    decision TEXT NOT NULL,
    allowed INTEGER NOT NULL,
    span_id TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (recovery, idx)
) STRICT;
CREATE INDEX decisions_by_sandbox ON decisions (sandbox, at_ms);
