//! Reading the journal. A row that cannot be read is named and harms no other.

use std::collections::{BTreeSet, HashMap};

use salvor_core::{
    Decision, Evidence, Plan,
    id::{RecoveryName, SnapshotName},
    name::RecordName,
};
use salvor_proto::{Error, error::Code};
use sqlx::{Row as _, any::AnyRow};

use super::{Found, Header, Journal, Row, Stored, Untouched, schema, storage, unsigned};

/// So many open recoveries are read in one go.
const PAGE: u32 = 200;

/// Which recoveries to list.
#[derive(Debug, Clone, Default)]
pub struct RecoveryFilter {
    /// Only of this record.
    pub sandbox: Option<RecordName>,
    /// Only those without an end.
    pub open_only: bool,
    /// Only those before this (creation time in ms, name), newest first.
    pub before: Option<(u64, String)>,
    /// At most so many.
    pub limit: u32,
}

/// Which decisions to list.
#[derive(Debug, Clone)]
pub struct DecisionFilter {
    /// `recoveries/{id}` or a record's name.
    pub parent: String,
    /// Only refusals.
    pub refused_only: bool,
    /// Only those after this row.
    pub after: i64,
    /// At most so many.
    pub limit: u32,
}

/// A decision as kept.
#[derive(Debug, Clone)]
pub struct StoredDecision {
    /// Its position in the table: where the next page begins.
    pub row: i64,
    /// Whose.
    pub recovery: RecoveryName,
    /// Its place in the recovery, from 0.
    pub index: i64,
    /// `plan`, or a step.
    pub phase: String,
    /// The verdict.
    pub decision: Decision,
    /// Of the span that shows it.
    pub span_id: String,
    /// The recovery's plan and evidence.
    pub header: Header,
}

impl Journal {
    /// One recovery, whole.
    pub async fn recovery(&self, name: &RecoveryName) -> Result<Option<Stored>, Error> {
        let row = sqlx::query(sqlx::AssertSqlSafe(schema::recovery(&self.db)))
            .bind(name.as_str())
            .fetch_optional(self.db.readers())
            .await
            .map_err(|e| storage(Untouched::All, &e))?;
        let Some(row) = row else {
            return Ok(None);
        };
        let header = header(&row)?;
        let events = self.events(name).await?;
        Ok(Some(Stored { header, events }))
    }

    /// The recovery that a request made.
    pub async fn by_request(&self, request_id: &str) -> Result<Option<Stored>, Error> {
        let name: Option<String> =
            sqlx::query_scalar("SELECT name FROM recoveries WHERE request_id = $1")
                .bind(request_id)
                .fetch_optional(self.db.readers())
                .await
                .map_err(|e| storage(Untouched::All, &e))?;
        match name {
            Some(name) => self.recovery(&RecoveryName(name)).await,
            None => Ok(None),
        }
    }

    /// Recoveries, newest first, each with its events. One that cannot be read is left out and takes no place: fewer than
    /// `limit` means that there are no more.
    pub async fn list(&self, filter: &RecoveryFilter) -> Result<Vec<Stored>, Error> {
        let readable = |found: Found| match found.whole() {
            Ok(stored) => Some(stored),
            Err(error) => {
                tracing::error!(%error, "a recovery's row cannot be read; it is left out");
                None
            }
        };
        self.page(filter, readable).await
    }

    /// As many as are wanted of those that `keep` keeps.
    pub(super) async fn page<T>(
        &self,
        filter: &RecoveryFilter,
        keep: impl Fn(Found) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        let wanted = usize::try_from(filter.limit).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        let mut before = filter.before.clone();
        loop {
            let rows = self.rows(filter, before.as_ref()).await?;
            let mut events = self.events_of(&rows).await?;
            for row in &rows {
                let events = events.remove(&place(row)?.1).unwrap_or_default();
                match Found::of(row, events) {
                    Ok(recovery) => found.extend(keep(recovery)),
                    Err(error) => {
                        tracing::error!(%error, "a recovery's row cannot be read; it is left out");
                    }
                }
                if found.len() == wanted {
                    return Ok(found);
                }
            }
            match rows.last() {
                Some(last) if rows.len() == wanted => before = Some(place(last)?),
                Some(_) | None => return Ok(found),
            }
        }
    }

    /// All that are open, by name.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn open_recoveries(&self) -> Result<BTreeSet<RecoveryName>, Error> {
        let names = sqlx::query_scalar("SELECT name FROM recoveries WHERE ended = 0")
            .fetch_all(self.db.readers());
        let names: Vec<String> = names.await.map_err(|e| storage(Untouched::All, &e))?;
        Ok(names.into_iter().map(RecoveryName).collect())
    }

    async fn rows(
        &self,
        filter: &RecoveryFilter,
        before: Option<&(u64, String)>,
    ) -> Result<Vec<AnyRow>, Error> {
        let sql = schema::page(&self.db, filter.open_only, filter.sandbox.is_some());
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(filter.sandbox.as_ref().map(ToString::to_string))
            // The newest ones are before the end of time.
            .bind(before.map_or(i64::MAX, |(ms, _)| super::signed(*ms)))
            .bind(before.map_or("", |(_, name)| name.as_str()))
            .bind(i64::from(filter.limit))
            .fetch_all(self.db.readers());
        rows.await.map_err(|e| storage(Untouched::All, &e))
    }

    /// Every snapshot that a recovery of `target` without an end, other than `except`, rests on or has taken, and all of its
    /// gateway that the plan of any other one rests on: those may be of `target`, and its events name no more of them.
    ///
    /// # Errors
    /// The journal cannot be read: then nothing is known to be free.
    pub async fn snapshots_in_use(
        &self,
        target: &RecordName,
        except: Option<&RecoveryName>,
    ) -> Result<BTreeSet<SnapshotName>, Error> {
        let (mut found, own) = (BTreeSet::new(), target.to_string());
        let here = format!("{}/snapshots/", target.owner());
        let mut filter =
            RecoveryFilter { sandbox: None, open_only: true, before: None, limit: PAGE };
        loop {
            let rows = self.rows(&filter, filter.before.as_ref()).await?;
            for row in &rows {
                let name = RecoveryName(place(row)?.1);
                if except == Some(&name) {
                    continue;
                }
                // Text, not values: a row that this version cannot read may name one, too.
                let plan = stored_text(row, "plan")?;
                named_in(&plan, &here, &mut found);
                let of: String = row.try_get("sandbox").map_err(|e| storage(Untouched::All, &e))?;
                if of != own {
                    continue;
                }
                for event in self.events(&name).await? {
                    named_in(&event.event, &here, &mut found);
                }
            }
            match rows.last() {
                Some(last) => filter.before = Some(place(last)?),
                None => return Ok(found),
            }
        }
    }

    /// Kept decisions, oldest first. Of a record's, those that cannot be read are left out and take no place; of one
    /// recovery's, the first that cannot be read is an error.
    pub async fn decisions(&self, filter: &DecisionFilter) -> Result<Vec<StoredDecision>, Error> {
        let wanted = usize::try_from(filter.limit).unwrap_or(usize::MAX);
        let of_one = filter.parent.starts_with("recoveries/");
        let mut found = Vec::new();
        let mut after = filter.after;
        loop {
            let rows = self.decision_rows(filter, of_one, after).await?;
            for row in &rows {
                after = row.try_get("row").map_err(|e| storage(Untouched::All, &e))?;
                match stored_decision(row) {
                    Ok(decision) => found.push(decision),
                    Err(error) if of_one => return Err(error),
                    Err(error) => {
                        tracing::error!(row = after, %error, "a decision cannot be read; it is left out");
                    }
                }
                if found.len() == wanted {
                    return Ok(found);
                }
            }
            if rows.len() < wanted {
                return Ok(found);
            }
        }
    }

    async fn decision_rows(
        &self,
        filter: &DecisionFilter,
        of_one: bool,
        after: i64,
    ) -> Result<Vec<AnyRow>, Error> {
        let sql = schema::decisions(&self.db, of_one);
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(&filter.parent)
            .bind(after)
            .bind(i64::from(filter.refused_only))
            .bind(i64::from(filter.limit))
            .fetch_all(self.db.readers());
        rows.await.map_err(|e| storage(Untouched::All, &e))
    }

    /// The events of a page's recoveries, by their names.
    async fn events_of(&self, page: &[AnyRow]) -> Result<HashMap<String, Vec<Row>>, Error> {
        let mut events: HashMap<String, Vec<Row>> = HashMap::new();
        if page.is_empty() {
            return Ok(events);
        }
        let sql = schema::events(&self.db, page.len());
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql)).persistent(false);
        for row in page {
            query = query.bind(place(row)?.1);
        }
        let rows = query.fetch_all(self.db.readers()).await;
        for row in &rows.map_err(|e| storage(Untouched::All, &e))? {
            let name: String = row.try_get("recovery").map_err(|e| storage(Untouched::All, &e))?;
            events.entry(name).or_default().push(event(row)?);
        }
        Ok(events)
    }

    pub(super) async fn events(&self, name: &RecoveryName) -> Result<Vec<Row>, Error> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(schema::events(&self.db, 1)))
            .bind(name.as_str())
            .fetch_all(self.db.readers())
            .await
            .map_err(|e| storage(Untouched::All, &e))?;
        rows.iter().map(event).collect()
    }
}

/// Collects the names of snapshots from a JSON text.
fn named_in(text: &str, prefix: &str, found: &mut BTreeSet<SnapshotName>) {
    let strings = text.split('"').filter(|string| string.starts_with(prefix));
    found.extend(strings.map(SnapshotName::from));
}

/// Where a recovery stands in a list.
fn place(row: &AnyRow) -> Result<(u64, String), Error> {
    let created_ms = row.try_get("created_ms").map_err(|e| storage(Untouched::All, &e))?;
    Ok((unsigned(created_ms), row.try_get("name").map_err(|e| storage(Untouched::All, &e))?))
}

pub(super) fn event(row: &AnyRow) -> Result<Row, Error> {
    let number =
        |column: &str| row.try_get::<i64, _>(column).map_err(|e| storage(Untouched::All, &e));
    Ok(Row {
        seq: number("seq")?,
        at_ms: unsigned(number("at_ms")?),
        event: stored_text(row, "event")?,
        terminal: number("terminal")? == 1,
    })
}

/// A JSON text as it is stored. Bytes that are no text become one that is no JSON.
pub(super) fn stored_text(row: &AnyRow, column: &str) -> Result<String, Error> {
    let bytes: Vec<u8> = row.try_get(column).map_err(|e| storage(Untouched::All, &e))?;
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| format!("no text: {}", String::from_utf8_lossy(error.as_bytes()))))
}

fn header(row: &AnyRow) -> Result<Header, Error> {
    let name: String = row.try_get("name").map_err(|e| storage(Untouched::All, &e))?;
    let name = RecoveryName(name);
    let damaged = |what: &str, error: &serde_json::Error| {
        tracing::error!(recovery = %name, what, %error, "a journal row cannot be read");
        Error::new(
            Code::DataLoss,
            "JOURNAL_ROW_UNREADABLE",
            format!("{name}: its {what} cannot be read; other recoveries are not touched by that"),
        )
    };
    let (plan, evidence) = (stored_text(row, "plan")?, stored_text(row, "evidence")?);
    let plan: Plan = serde_json::from_str(&plan).map_err(|e| damaged("plan", &e))?;
    let evidence: Evidence =
        serde_json::from_str(&evidence).map_err(|e| damaged("evidence", &e))?;
    Ok(Header {
        request_id: row.try_get("request_id").map_err(|e| storage(Untouched::All, &e))?,
        traceparent: row.try_get("traceparent").map_err(|e| storage(Untouched::All, &e))?,
        created_ms: unsigned(row.try_get("created_ms").map_err(|e| storage(Untouched::All, &e))?),
        name,
        plan,
        evidence,
    })
}

fn stored_decision(row: &AnyRow) -> Result<StoredDecision, Error> {
    let header = header(row)?;
    let text = stored_text(row, "decision")?;
    let decision = serde_json::from_str(&text).map_err(|error| {
        tracing::error!(recovery = %header.name, %error, "a decision cannot be read");
        Error::new(
            Code::DataLoss,
            "JOURNAL_ROW_UNREADABLE",
            format!("{}: one of its decisions cannot be read", header.name),
        )
    })?;
    Ok(StoredDecision {
        row: row.try_get("row").map_err(|e| storage(Untouched::All, &e))?,
        recovery: header.name.clone(),
        index: row.try_get("idx").map_err(|e| storage(Untouched::All, &e))?,
        phase: row.try_get("phase").map_err(|e| storage(Untouched::All, &e))?,
        span_id: row.try_get("span_id").map_err(|e| storage(Untouched::All, &e))?,
        decision,
        header,
    })
}
