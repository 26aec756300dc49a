//! Tables and statements of the journal.

use salvor_runtime::database::{Database, Migration};

macro_rules! migration {
    ($version:literal, $name:literal, $file:literal) => {
        Migration {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../../migrations/sqlite/", $file)),
            postgres: Some(include_str!(concat!("../../migrations/postgres/", $file))),
        }
    };
}

pub(super) const MIGRATIONS: &[Migration] = &[
    migration!(1, "recoveries, journal, decisions", "0001_initial.sql"),
    migration!(2, "what is open, and what was asked to go back", "0002_open.sql"),
];

/// A refused one has ended where it began. When another one has, a trigger of the journal says so.
pub(super) const INSERT_RECOVERY: &str = "
    INSERT INTO recoveries
        (name, sandbox, request_id, plan, evidence, traceparent, allowed, created_ms, ended)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1 - $7)";

/// All of a recovery's decisions at once: while they are written, no other recovery gets on. First what they share: recovery,
/// sandbox, phase, time; then of each its place, itself, whether it allows, and its span.
pub(super) fn insert_decisions(count: usize) -> String {
    let row = |at: usize| {
        let own = 5 + 4 * at;
        format!("($1, ${own}, $2, $3, ${}, ${}, ${}, $4)", own + 1, own + 2, own + 3)
    };
    let rows: Vec<_> = (0..count).map(row).collect();
    format!(
        "INSERT INTO decisions (recovery, idx, sandbox, phase, decision, allowed, span_id, at_ms)
         VALUES {}",
        rows.join(", ")
    )
}

pub(super) const INSERT_EVENT: &str = "
    INSERT INTO journal (recovery, seq, at_ms, event, terminal)
    SELECT $1, $2, $3, $4, $5 FROM recoveries WHERE name = $1 AND fence <= $6";

pub(super) const RAISE_FENCE: &str = "
    UPDATE recoveries SET fence = $2 WHERE name = $1 AND fence < $2";

fn recoveries(db: &Database) -> String {
    format!(
        "SELECT name, sandbox, request_id, {}, {}, traceparent, allowed, created_ms FROM recoveries",
        db.stored("plan"),
        db.stored("evidence")
    )
}

pub(super) fn recovery(db: &Database) -> String {
    format!("{} WHERE name = $1", recoveries(db))
}

/// Those before a place, the newest first: all, or those of one sandbox. Each walks an index of its own, from that place on.
pub(super) fn page(db: &Database, open_only: bool, of_one: bool) -> String {
    // Allowed, and without an end.
    let open = if open_only { "ended = 0" } else { "1 = 1" };
    let whose = if of_one { "sandbox = $1" } else { "$1 IS NULL" };
    format!(
        "{} WHERE {open} AND {whose} AND (created_ms, name) < ($2, $3)
         ORDER BY created_ms DESC, name DESC LIMIT $4",
        recoveries(db)
    )
}

/// Those of so many recoveries, each one's in order.
pub(super) fn events(db: &Database, recoveries: usize) -> String {
    let places: Vec<_> = (1..=recoveries).map(|place| format!("${place}")).collect();
    format!(
        "SELECT recovery, seq, at_ms, {}, terminal FROM journal WHERE recovery IN ({})
         ORDER BY recovery, seq",
        db.stored("event"),
        places.join(", ")
    )
}

/// Decisions of one recovery or of one sandbox (`$1`), after the row `$2`, refusals alone if `$3` is not 0, so many (`$4`).
pub(super) fn decisions(db: &Database, of_one_recovery: bool) -> String {
    let column = if of_one_recovery { "d.recovery" } else { "d.sandbox" };
    format!(
        "SELECT d.rowid AS row, d.recovery, d.idx, d.phase, {}, d.span_id,
                r.name, r.request_id, {}, {}, r.traceparent, r.created_ms
         FROM decisions d JOIN recoveries r ON r.name = d.recovery
         WHERE {column} = $1 AND d.rowid > $2 AND ($3 = 0 OR d.allowed = 0)
         ORDER BY d.rowid LIMIT $4",
        db.stored("d.decision"),
        db.stored("r.plan"),
        db.stored("r.evidence")
    )
}
