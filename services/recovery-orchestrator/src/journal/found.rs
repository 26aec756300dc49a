//! Recoveries as they are found: also those that this version cannot read, or only in part.

use salvor_core::{
    Evidence, Plan,
    id::{PlanDigest, RecoveryName},
    name::RecordName,
};
use salvor_proto::{Error, error::Code};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::{Row as _, any::AnyRow};

use super::{
    Header, Journal, RecoveryFilter, Row, Stored, Untouched, read::stored_text, schema, storage,
    unsigned,
};

/// A recovery, whatever this version makes of it.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its name.
    pub name: RecoveryName,
    /// The record that it works on.
    pub target: RecordName,
    /// The caller's id for the request, if it gave one.
    pub request_id: Option<String>,
    /// W3C `traceparent` of the span under which it was accepted.
    pub traceparent: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// Whether its plan was allowed; one that was not has no events.
    pub allowed: bool,
    /// What was decided, if it can be read.
    pub header: Result<Box<Header>, Illegible>,
    /// In order.
    pub events: Vec<Row>,
    /// Of everything that is stored of it besides its events.
    head: Vec<u8>,
}

/// What can be told of a header that cannot be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Illegible {
    /// `plan` or `evidence`.
    pub what: &'static str,
    /// Its saga, as the plan spells it.
    pub saga: Option<String>,
    /// Of the saga.
    pub saga_version: Option<u32>,
    /// The plan's digest.
    pub digest: Option<PlanDigest>,
    /// The sandbox that it makes besides its target.
    pub copy: Option<String>,
}

impl Journal {
    /// One recovery, as it is found.
    ///
    /// # Errors
    /// The journal cannot be read, or not even whose recovery it is.
    pub async fn found(&self, name: &RecoveryName) -> Result<Option<Found>, Error> {
        let row = sqlx::query(sqlx::AssertSqlSafe(schema::recovery(&self.db)))
            .bind(name.as_str())
            .fetch_optional(self.db.readers())
            .await
            .map_err(|e| storage(Untouched::All, &e))?;
        match row {
            Some(row) => Found::of(&row, self.events(name).await?).map(Some),
            None => Ok(None),
        }
    }

    /// Recoveries, newest first, as they are found. Those that have ended and cannot be read are left out and take no place.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn list_found(&self, filter: &RecoveryFilter) -> Result<Vec<Found>, Error> {
        let shown = |found: Found| (found.header.is_ok() || found.is_open()).then_some(found);
        self.page(filter, shown).await
    }
}

// === impl Found ===

impl Found {
    pub(super) fn of(row: &AnyRow, events: Vec<Row>) -> Result<Self, Error> {
        let get = |column: &str| {
            row.try_get::<String, _>(column).map_err(|e| storage(Untouched::All, &e))
        };
        let text = |column: &str| {
            row.try_get::<Option<String>, _>(column).map_err(|e| storage(Untouched::All, &e))
        };
        let number =
            |column: &str| row.try_get::<i64, _>(column).map_err(|e| storage(Untouched::All, &e));
        let (name, sandbox) = (RecoveryName(get("name")?), get("sandbox")?);
        let (plan, evidence) = (stored_text(row, "plan")?, stored_text(row, "evidence")?);
        let (request_id, traceparent) = (text("request_id")?, text("traceparent")?);
        let (created_ms, allowed) = (number("created_ms")?, number("allowed")?);
        let mut head = Sha256::new();
        let asked = request_id.as_deref().unwrap_or_default();
        let parent = traceparent.as_deref().unwrap_or_default();
        for part in [name.as_str(), &sandbox, &plan, &evidence, asked, parent] {
            framed(&mut head, part);
        }
        head.update(created_ms.to_be_bytes());
        head.update(allowed.to_be_bytes());
        let target: RecordName = sandbox.parse().map_err(|_| unreadable(&name, "record's name"))?;
        let created_ms = unsigned(created_ms);
        let header = header(&plan, &evidence).map(|(plan, evidence)| {
            Box::new(Header {
                name: name.clone(),
                request_id: request_id.clone(),
                plan,
                evidence,
                traceparent: traceparent.clone(),
                created_ms,
            })
        });
        Ok(Self {
            name,
            target,
            request_id,
            traceparent,
            created_ms,
            allowed: allowed != 0,
            header,
            events,
            head: head.finalize().to_vec(),
        })
    }

    /// Whether it was allowed, and has no end.
    pub fn is_open(&self) -> bool {
        self.allowed && !self.events.iter().any(|row| row.terminal)
    }

    /// All of it in one word: the number of its last event, and a digest of everything that is stored of it.
    pub fn revision(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(&self.head);
        for row in &self.events {
            hasher.update(row.seq.to_be_bytes());
            hasher.update(row.at_ms.to_be_bytes());
            hasher.update([u8::from(row.terminal)]);
            framed(&mut hasher, &row.event);
        }
        let last = self.events.last().map_or(0, |row| row.seq);
        format!("{last}-{}", hex::encode(hasher.finalize()))
    }

    /// All of it, if it can be read.
    ///
    /// # Errors
    /// DATA_LOSS when it cannot.
    pub fn whole(self) -> Result<Stored, Error> {
        let Self { name, header, events, .. } = self;
        let header = header.map_err(|illegible| unreadable(&name, illegible.what))?;
        Ok(Stored { header: *header, events })
    }
}

/// With its length before it, so that no two rows run together the same way.
fn framed(hasher: &mut Sha256, text: &str) {
    hasher.update((text.len() as u64).to_be_bytes());
    hasher.update(text);
}

fn unreadable(name: &RecoveryName, what: &str) -> Error {
    let message =
        format!("{name}: its {what} cannot be read; other recoveries are not touched by that");
    Error::new(Code::DataLoss, "JOURNAL_ROW_UNREADABLE", message)
}

fn header(plan: &str, evidence: &str) -> Result<(Plan, Evidence), Illegible> {
    let read = serde_json::from_str::<Plan>(plan).ok();
    match (read, serde_json::from_str::<Evidence>(evidence)) {
        (Some(plan), Ok(evidence)) => Ok((plan, evidence)),
        (read, _) => {
            let what = if read.is_some() { "evidence" } else { "plan" };
            Err(Illegible { what, ..legible(&serde_json::from_str(plan).unwrap_or_default()) })
        }
    }
}

/// What every version keeps where it is.
fn legible(plan: &Value) -> Illegible {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Illegible {
        what: "plan",
        saga: text(&plan["saga"]),
        saga_version: plan["saga_version"].as_u64().and_then(|version| u32::try_from(version).ok()),
        digest: text(&plan["digest"]).map(PlanDigest),
        copy: text(&plan["inputs"]["asked"]["copy"]["sandbox"]),
    }
}
