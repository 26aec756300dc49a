//! What writes that share a transaction ask for, looked up for all of them at once.
//!
//! Invariant: what is seen is what a statement would find now, for the transaction holds the write lock, and each write says
//! here what it changes. Deliberately absent: anything that outlives the transaction.

use std::collections::{BTreeSet, HashMap};

use salvor_runtime::database::Connection;
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::leases::Held;
use super::requests::{self, Answer};
use super::row::versions;
use super::{RequestId, Version};
use crate::error::Error;

/// What a write will ask for.
#[derive(Debug, Clone, Default)]
pub(super) struct About {
    /// The present version and the lease of this record.
    name: Option<String>,
    /// The answer to this request.
    request: Option<String>,
}

/// Rows that were looked up.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) versions: Rows<Version>,
    pub(super) leases: Rows<Held>,
    pub(super) answers: Rows<Answer>,
}

/// Rows of one kind, by key; `None` where there is none.
#[derive(Debug)]
pub(super) struct Rows<T> {
    seen: HashMap<String, Option<T>>,
    /// What was seen before the changes of the write at hand.
    before: Vec<(String, Result<Option<T>, Unseen>)>,
}

/// It was not looked up, or is not known any more.
#[derive(Debug)]
pub(super) struct Unseen;

// === impl About ===

impl About {
    pub(super) fn record(name: &str) -> Self {
        Self { name: Some(name.into()), request: None }
    }

    pub(super) fn request(self, request: Option<&RequestId>) -> Self {
        Self { request: request.map(|request| request.id.clone()), ..self }
    }
}

// === impl Seen ===

impl Seen {
    pub(super) async fn look_up(
        &mut self,
        connection: &mut Connection,
        about: &[About],
    ) -> Result<(), Error> {
        let names = about.iter().filter_map(|about| about.name.as_deref()).collect();
        let requests = about.iter().filter_map(|about| about.request.as_deref()).collect();
        self.look_up_records(connection, names).await?;
        self.look_up_answers(connection, requests).await
    }

    async fn look_up_records(
        &mut self,
        connection: &mut Connection,
        names: BTreeSet<&str>,
    ) -> Result<(), Error> {
        const RECORDS: &str = versions!(
            ", l.fence_token, l.holder, l.expire_ms",
            "LEFT JOIN leases l ON l.name = r.name WHERE r.superseded IS NULL AND r.name IN "
        );
        for row in &select(connection, RECORDS, &names).await? {
            let version = Version::from_row(row)?;
            self.leases.learn(&version.name, Held::from_row(row)?);
            self.versions.learn(&version.name.clone(), Some(version));
        }
        for name in names {
            self.versions.seen.entry(name.into()).or_insert(None);
        }
        Ok(())
    }

    async fn look_up_answers(
        &mut self,
        connection: &mut Connection,
        ids: BTreeSet<&str>,
    ) -> Result<(), Error> {
        for row in &select(connection, requests::ANSWERS, &ids).await? {
            let answer = Answer::from_row(row)?;
            self.answers.learn(&answer.id.clone(), Some(answer));
        }
        for id in ids {
            self.answers.seen.entry(id.into()).or_insert(None);
        }
        Ok(())
    }

    /// All that was changed stays changed.
    pub(super) fn keep(&mut self) {
        self.versions.before.clear();
        self.leases.before.clear();
        self.answers.before.clear();
    }

    /// All is seen as before the write at hand.
    pub(super) fn undo(&mut self) {
        self.versions.undo();
        self.leases.undo();
        self.answers.undo();
    }
}

// === impl Rows ===

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { seen: HashMap::new(), before: Vec::new() }
    }
}

impl<T: Clone> Rows<T> {
    /// What there is under `key`.
    pub(super) fn get(&self, key: &str) -> Result<Option<T>, Unseen> {
        self.seen.get(key).cloned().ok_or(Unseen)
    }

    /// The write at hand puts `row` there.
    pub(super) fn put(&mut self, key: &str, row: T) {
        let before = self.seen.insert(key.into(), Some(row));
        self.before.push((key.into(), before.ok_or(Unseen)));
    }

    /// The write at hand changes what is there.
    pub(super) fn forget(&mut self, key: &str) {
        let before = self.seen.remove(key);
        self.before.push((key.into(), before.ok_or(Unseen)));
    }

    fn learn(&mut self, key: &str, row: Option<T>) {
        self.seen.insert(key.into(), row);
    }

    fn undo(&mut self) {
        while let Some((key, before)) = self.before.pop() {
            match before {
                Ok(before) => self.seen.insert(key, before),
                Err(Unseen) => self.seen.remove(&key),
            };
        }
    }
}

/// The rows of `statement`, which ends with `IN`, that have one of `keys`.
pub(super) async fn select(
    connection: &mut Connection,
    statement: &str,
    keys: &BTreeSet<&str>,
) -> Result<Vec<AnyRow>, Error> {
    let Some(last) = keys.last() else { return Ok(Vec::new()) };
    // Of few lengths, so that there are few statements to be prepared.
    let length = keys.len().next_power_of_two();
    let parameters: Vec<String> = (1..=length).map(|number| format!("${number}")).collect();
    let statement = format!("{statement} ({})", parameters.join(", "));
    let mut query = sqlx::query(AssertSqlSafe(statement));
    for key in keys.iter().chain(std::iter::repeat(last)).take(length) {
        query = query.bind(*key);
    }
    Ok(query.fetch_all(connection).await?)
}
