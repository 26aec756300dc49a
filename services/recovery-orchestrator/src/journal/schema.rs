//! Tables and statements of the journal.

use salvor_runtime::sqlite::Migration;

pub(super) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "recoveries, journal, decisions",
    sql: "
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
    ",
}];

pub(super) const INSERT_RECOVERY: &str = "
    INSERT INTO recoveries
        (name, sandbox, request_id, plan, evidence, traceparent, allowed, created_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)";

pub(super) const INSERT_DECISION: &str = "
    INSERT INTO decisions (recovery, idx, sandbox, phase, decision, allowed, span_id, at_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)";

pub(super) const INSERT_EVENT: &str = "
    INSERT INTO journal (recovery, seq, at_ms, event, terminal) VALUES (?, ?, ?, ?, ?)";

pub(super) const SELECT_RECOVERY: &str = "
    SELECT name, sandbox, request_id, plan, evidence, traceparent, allowed, created_ms
    FROM recoveries";

pub(super) const SELECT_EVENTS: &str = "
    SELECT seq, at_ms, event, terminal FROM journal WHERE recovery = ? ORDER BY seq";

/// Allowed, and without an end.
pub(super) const OPEN: &str = "
    allowed = 1 AND NOT EXISTS
        (SELECT 1 FROM journal j WHERE j.recovery = recoveries.name AND j.terminal = 1)";
