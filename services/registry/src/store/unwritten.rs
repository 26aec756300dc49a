//! Rows that a transaction has yet to write, so that those of several writes go in one statement.
//!
//! Invariant: rows are written in the order in which they were put, each superseding the present version of its name. Deliberately
//! absent: telling whose row it was that the database refused; then the transaction is lost.

use salvor_core::name::RecordName;
use salvor_runtime::database::Connection;
use sqlx::AssertSqlSafe;

use super::Version;
use super::requests::Answer;
use crate::error::Error;

/// The most rows of one statement. Each number of rows is a statement of its own to be prepared, and connections remember a hundred.
const ROWS: usize = 32;
/// How many bytes of messages may wait.
const HEAVY: usize = 4 << 20;

/// The rows, those of the write at hand last.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    versions: Vec<Row>,
    answers: Vec<Answer>,
    /// How many of either are of writes that are kept.
    kept: (usize, usize),
    answered: bool,
}

#[derive(Debug)]
struct Row {
    name: RecordName,
    version: Version,
}

// === impl Unwritten ===

impl Unwritten {
    pub(super) fn put(&mut self, name: RecordName, version: Version) {
        self.versions.push(Row { name, version });
    }

    pub(super) fn remember(&mut self, answer: Answer) {
        self.answers.push(answer);
        self.answered = true;
    }

    /// All there is stays.
    pub(super) fn keep(&mut self) {
        self.kept = (self.versions.len(), self.answers.len());
    }

    /// Drops what is of the write at hand.
    pub(super) fn undo(&mut self) {
        self.versions.truncate(self.kept.0);
        self.answers.truncate(self.kept.1);
    }

    /// Whether it is too much to wait for more.
    pub(super) fn is_heavy(&self) -> bool {
        let messages = self.versions.iter().map(|row| row.version.message.len());
        let answers = self.answers.iter().map(|answer| answer.message.len());
        messages.chain(answers).sum::<usize>() > HEAVY
    }

    /// Writes what is of writes that are kept.
    pub(super) async fn write_kept(&mut self, connection: &mut Connection) -> Result<(), Error> {
        let (versions, answers) = std::mem::take(&mut self.kept);
        let versions: Vec<Row> = self.versions.drain(..versions).collect();
        let answers: Vec<Answer> = self.answers.drain(..answers).collect();
        for rows in versions.chunks(ROWS) {
            supersede(connection, rows).await?;
            insert(connection, rows).await?;
        }
        for answers in answers.chunks(ROWS) {
            insert_answers(connection, answers).await?;
        }
        Ok(())
    }

    /// Writes all.
    pub(super) async fn write(&mut self, connection: &mut Connection) -> Result<(), Error> {
        self.keep();
        self.write_kept(connection).await
    }

    /// Forgets the oldest answers beyond the retention, if one was added.
    pub(super) async fn forget_answers(
        &self,
        connection: &mut Connection,
        retention: u32,
    ) -> Result<(), Error> {
        if !self.answered {
            return Ok(());
        }
        let forget = "DELETE FROM requests \
                      WHERE sequence <= (SELECT max(sequence) FROM requests) - $1";
        sqlx::query(forget).bind(i64::from(retention)).execute(connection).await?;
        Ok(())
    }
}

/// `($1, $2), ($3, $4)`: the parameters of so many rows of so many columns.
fn parameters(rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let columns = (1..=columns).map(|column| format!("${}", row * columns + column));
        format!("({})", columns.collect::<Vec<_>>().join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

/// Ends what is present of their names where the first of each name begins.
async fn supersede(connection: &mut Connection, rows: &[Row]) -> Result<(), Error> {
    let (length, last) = (rows.len().next_power_of_two(), rows.last());
    let mut query = sqlx::query(AssertSqlSafe(superseding(length)));
    // To say it again of the last one changes nothing, and there are fewer statements to be prepared.
    for row in rows.iter().chain(std::iter::repeat(last).flatten()).take(length) {
        let name = &row.version.name;
        let first = rows.iter().find(|row| row.version.name == *name).unwrap_or(row);
        query = query.bind(name).bind(first.version.revision);
    }
    query.execute(connection).await?;
    Ok(())
}

pub(super) fn superseding(rows: usize) -> String {
    let statement = "UPDATE records SET superseded = next.column2 FROM (VALUES {}) AS next \
                     WHERE records.name = next.column1 AND records.superseded IS NULL";
    statement.replace("{}", &parameters(rows, 2))
}

async fn insert(connection: &mut Connection, rows: &[Row]) -> Result<(), Error> {
    let statement = format!(
        "INSERT INTO records (revision, name, gateway, workspace, sandbox, uid, etag, state, \
         is_default, superseded, digest, message) VALUES {}",
        parameters(rows.len(), 12)
    );
    let mut query = sqlx::query(AssertSqlSafe(statement));
    for (at, Row { name, version }) in rows.iter().enumerate() {
        let next = rows[at + 1..].iter().find(|next| next.version.name == version.name);
        query = query
            .bind(version.revision)
            .bind(&version.name)
            .bind(name.gateway.as_str())
            .bind(name.workspace.as_str())
            .bind(name.sandbox.as_str())
            .bind(&version.uid)
            .bind(&version.etag)
            .bind(version.state)
            .bind(i64::from(version.is_default))
            .bind(next.map(|next| next.version.revision))
            .bind(version.digest())
            .bind(&version.message);
    }
    query.execute(connection).await?;
    Ok(())
}

async fn insert_answers(connection: &mut Connection, answers: &[Answer]) -> Result<(), Error> {
    let statement = format!(
        "INSERT INTO requests (id, fingerprint, answer) VALUES {}",
        parameters(answers.len(), 3)
    );
    let mut query = sqlx::query(AssertSqlSafe(statement));
    for answer in answers {
        query = query.bind(&answer.id).bind(&answer.fingerprint).bind(&answer.message);
    }
    query.execute(connection).await?;
    Ok(())
}
