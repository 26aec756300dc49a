-- As in sqlite/, column by column. Text is compared byte by byte, as there.
CREATE TABLE recoveries (
    name TEXT COLLATE "C" PRIMARY KEY,
    sandbox TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" UNIQUE,
    plan TEXT NOT NULL,
    evidence TEXT NOT NULL,
    traceparent TEXT,
    allowed BIGINT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX recoveries_by_sandbox ON recoveries (sandbox, created_ms);
CREATE INDEX recoveries_by_time ON recoveries (created_ms, name);

CREATE TABLE journal (
    recovery TEXT COLLATE "C" NOT NULL REFERENCES recoveries (name),
    seq BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    event TEXT NOT NULL,
    terminal BIGINT NOT NULL,
    PRIMARY KEY (recovery, seq)
);

CREATE TABLE decisions (
    rowid BIGINT GENERATED ALWAYS AS IDENTITY UNIQUE,
    recovery TEXT COLLATE "C" NOT NULL REFERENCES recoveries (name),
    idx BIGINT NOT NULL,
    sandbox TEXT COLLATE "C" NOT NULL,
    phase TEXT NOT NULL,
    decision TEXT NOT NULL,
    allowed BIGINT NOT NULL,
    span_id TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (recovery, idx)
);
CREATE INDEX decisions_by_sandbox ON decisions (sandbox, at_ms);
