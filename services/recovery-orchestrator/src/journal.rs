//! The journal: what was planned, decided and done. A SQLite file, or a schema of Postgres that replicas share; synced.
//!
//! A recovery is its header, written once with plan and decisions in one transaction, and its events, appended in order. Its
//! state is the fold of those and is stored nowhere. Rows are never changed; what ended long ago is forgotten whole.

mod cancellations;
mod changes;
mod crash;
mod found;
mod read;
mod retention;
mod retire;
mod schema;

use std::sync::Arc;

use salvor_core::{
    Evidence, Plan, SagaKind,
    id::{Fence, RecoveryName},
    name::RecordName,
};
use salvor_proto::{Error, error::Code};
use salvor_runtime::database::{Database, Failure, Heeding, Location, Options, Transaction, Word};
use sqlx::error::DatabaseError;

use crate::words::NextStep;

pub use changes::Waiting;
pub use crash::CrashAfter;
pub use found::{Found, Illegible};
pub use read::{DecisionFilter, RecoveryFilter, StoredDecision};
pub(crate) use retire::changed;

/// Connections that append, to a server: their commits are synced together.
const WRITERS: u32 = 8;

/// A recovery's header: everything that is fixed once it is accepted or refused.
#[derive(Debug, Clone)]
pub struct Header {
    /// Its name.
    pub name: RecoveryName,
    /// The caller's id for the request, if it gave one.
    pub request_id: Option<String>,
    /// What was decided, and what will be used.
    pub plan: Plan,
    /// What it rests on.
    pub evidence: Evidence,
    /// W3C `traceparent` of the span under which it was accepted.
    pub traceparent: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub created_ms: u64,
}

/// A header with its events: all that is known of a recovery.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Fixed.
    pub header: Header,
    /// In order.
    pub events: Vec<Row>,
}

/// One event as stored.
#[derive(Debug, Clone)]
pub struct Row {
    /// From 1.
    pub seq: i64,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The saga's event, as JSON.
    pub event: String,
    /// Whether the recovery ended with it.
    pub terminal: bool,
}

/// The open journal. Clones share it.
#[derive(Debug, Clone)]
pub struct Journal {
    db: Database,
    shared: bool,
    changes: changes::Changes,
    /// Of what other replicas write.
    _heeding: Arc<Heeding>,
    crash_after: Option<CrashAfter>,
}

// === impl Journal ===

impl Journal {
    /// Opens the journal, making it if need be.
    ///
    /// # Errors
    /// It cannot be made, opened or brought to this version's schema; nothing was changed then.
    pub async fn open(
        location: &Location,
        crash_after: Option<CrashAfter>,
    ) -> Result<Self, salvor_runtime::database::Error> {
        Self::open_with(location, crash_after, Options::default()).await
    }

    async fn open_with(
        location: &Location,
        crash_after: Option<CrashAfter>,
        options: Options,
    ) -> Result<Self, salvor_runtime::database::Error> {
        let options = Options { writers: WRITERS, ..options };
        let db = Database::open(location, options, schema::MIGRATIONS).await?;
        let changes = changes::Changes::default();
        let told = changes.clone();
        let heeding = Arc::new(db.heed(move |word| match word {
            Word::Of(recovery) => told.tell(&recovery),
            Word::Any => told.tell_all(),
        }));
        let shared = location.is_shared();
        Ok(Self { db, shared, changes, _heeding: heeding, crash_after })
    }

    /// Closes it, once whoever uses it has ended; a file's log is folded in.
    pub async fn close(&self) {
        self.db.close().await;
    }

    /// Whether other orchestrators may write into it.
    pub const fn is_shared(&self) -> bool {
        self.shared
    }

    /// From here on others may, although it is a file: for simulations only.
    pub(crate) const fn share(&mut self) {
        self.shared = true;
    }

    /// What wakes whoever waits for a recovery to change, whichever orchestrator changes it.
    pub fn waiting(&self, recovery: &RecoveryName) -> Waiting {
        self.changes.waiting(recovery)
    }

    /// Wakes whoever waits for a recovery, here.
    pub fn changed(&self, recovery: &RecoveryName) {
        self.changes.tell(recovery.as_str());
    }

    /// Stores a header with its decisions, in one transaction. `spans` are the decisions' span ids, in order.
    ///
    /// # Errors
    /// The disk is full: nothing was stored. It is broken: all of it may be there after a restart. Cancellation: all or
    /// nothing.
    pub async fn accept(&self, header: &Header, spans: &[String]) -> Result<(), Error> {
        let mut tx = self.db.begin().await.map_err(|e| storage(Untouched::Request, &e))?;
        let plan = json(&header.plan)?;
        let evidence = json(&header.evidence)?;
        sqlx::query(schema::INSERT_RECOVERY)
            .bind(header.name.as_str())
            .bind(header.plan.target.to_string())
            .bind(&header.request_id)
            .bind(plan)
            .bind(evidence)
            .bind(&header.traceparent)
            .bind(i64::from(header.plan.allowed()))
            .bind(signed(header.created_ms))
            .execute(&mut *tx)
            .await
            .map_err(|error| reused(header, &error))?;
        keep_decisions(&mut tx, header, spans).await?;
        tx.commit().await.map_err(|e| storage(Untouched::Request, &e))?;
        self.wrote(&header.name);
        Ok(())
    }

    /// Appends one event, under the fence token of the lease of whoever does. `seq` must be the next one: of two writers one gets
    /// `ABORTED`, and so does one whose token is older than that of a [`take_over`](Self::take_over).
    ///
    /// # Errors
    /// As [`accept`](Self::accept), and a conflict when `seq` is taken or the token is out of date.
    pub async fn append(
        &self,
        recovery: &RecoveryName,
        row: &Row,
        fence: Fence,
    ) -> Result<(), Error> {
        let inserted = sqlx::query(schema::INSERT_EVENT)
            .bind(recovery.as_str())
            .bind(row.seq)
            .bind(signed(row.at_ms))
            .bind(&row.event)
            .bind(i64::from(row.terminal))
            .bind(fence.0)
            .execute(self.db.writer())
            .await;
        let conflict = |why: &str| {
            let message = format!("{recovery}: event {} {why}", row.seq);
            Err(Error::new(Code::Conflict, "JOURNAL_CONFLICT", message))
        };
        match inserted {
            Ok(done) if done.rows_affected() == 0 => {
                conflict("is not written: another runner took the recovery over")
            }
            Ok(_) => {
                self.wrote(recovery);
                Ok(())
            }
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                conflict("was written by another runner")
            }
            Err(error) => Err(storage(Untouched::Recovery, &error)),
        }
    }

    /// From here on only the holder of `fence`, or of a later token, appends to it.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub async fn take_over(&self, recovery: &RecoveryName, fence: Fence) -> Result<(), Error> {
        let raised = sqlx::query(schema::RAISE_FENCE)
            .bind(recovery.as_str())
            .bind(fence.0)
            .execute(self.db.writer());
        raised.await.map(drop).map_err(|error| storage(Untouched::Recovery, &error))
    }

    fn wrote(&self, recovery: &RecoveryName) {
        if let Some(crash_after) = &self.crash_after {
            crash_after.wrote();
        }
        self.changes.tell(recovery.as_str());
    }
}

async fn keep_decisions(
    tx: &mut Transaction,
    header: &Header,
    spans: &[String],
) -> Result<(), Error> {
    let decisions = &header.plan.decisions;
    if decisions.is_empty() {
        return Ok(());
    }
    let sql = schema::insert_decisions(decisions.len());
    let mut insert = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(header.name.as_str())
        .bind(header.plan.target.to_string())
        .bind("plan")
        .bind(signed(header.created_ms));
    for (index, decision) in decisions.iter().enumerate() {
        insert = insert
            .bind(i64::try_from(index).unwrap_or(i64::MAX))
            .bind(json(decision)?)
            .bind(i64::from(decision.allows()))
            .bind(spans.get(index).map_or("", String::as_str));
    }
    let inserted = insert.execute(&mut **tx).await;
    inserted.map(drop).map_err(|e| storage(Untouched::Request, &e))
}

/// Names are drawn; what is there already is the request's id, which another call took in between.
fn reused(header: &Header, error: &sqlx::Error) -> Error {
    let taken = error.as_database_error().is_some_and(DatabaseError::is_unique_violation);
    if !taken {
        return storage(Untouched::Request, error);
    }
    let id = header.request_id.as_deref().unwrap_or_default();
    let message =
        format!("request_id {id} was used meanwhile, for another request; nothing was begun");
    Error::new(Code::Invalid, "REQUEST_ID_REUSED", message).next_step(NextStep::FreshId.of(""))
}

/// What a storage failure leaves untouched.
#[derive(Debug, Clone, Copy)]
enum Untouched {
    /// The request: it was not accepted.
    Request,
    /// The recovery: it stays where its journal says, and is gone on with once the journal can be written.
    Recovery,
    /// Everything: it was a read.
    All,
}

/// One word for each kind of storage failure, with what is untouched.
fn storage(untouched: Untouched, error: &sqlx::Error) -> Error {
    let failure = Failure::of(error);
    tracing::error!(%error, %failure, "the journal cannot be used");
    let (code, reason, next) = match failure {
        Failure::Full => (Code::Exhausted, "STORAGE_FULL", NextStep::FreeSpace),
        Failure::Busy => (Code::Unavailable, "STORAGE_BUSY", NextStep::AskAgain),
        Failure::Away => (Code::Unavailable, "STORAGE_AWAY", NextStep::AskAgain),
        Failure::Corrupt => (Code::DataLoss, "STORAGE_CORRUPT", NextStep::RestoreJournal),
        Failure::ReadOnly | Failure::Io => {
            (Code::Unavailable, "STORAGE_FAILED", NextStep::CheckDisk)
        }
        Failure::Other => (Code::Internal, "STORAGE_FAILED", NextStep::SeeLog),
    };
    let so = match (untouched, failure) {
        (Untouched::Request, Failure::Io | Failure::Away) => {
            "whether the request was taken up is not known: salvor recoveries list tells"
        }
        (Untouched::Request, _) => "nothing was begun",
        (Untouched::Recovery, _) => "the recovery stays where its journal says",
        (Untouched::All, _) => "nothing was read",
    };
    let message = format!("the journal could not be used ({failure}); {so}");
    Error::new(code, reason, message).next_step(next.of(""))
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| {
        tracing::error!(%error, "a value has no JSON form");
        Error::internal("a journal row could not be written; nothing was begun")
    })
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

impl Header {
    /// The record that it works on.
    pub const fn target(&self) -> &RecordName {
        &self.plan.target
    }

    /// Which definition it runs.
    pub const fn saga(&self) -> SagaKind {
        self.plan.saga
    }
}

#[cfg(test)]
mod tests;
