//! Being told of what other processes have written.
//!
//! Invariant: after each connection everything counts as changed, so nothing that was written in between is missed; a
//! connection that says nothing is asked, and given up if it does not answer. Deliberately absent: what was written; whoever is
//! told reads it.

use std::io::ErrorKind;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::{Location, Schema, ServerUrl};
use crate::backoff::Backoff;

/// A connection that was silent for so long is asked for a sign of life.
const SILENCE: Duration = Duration::from_secs(10);
/// How long it may take to give one, or to connect.
const ANSWER: Duration = Duration::from_secs(5);
/// Between two attempts to connect, at first and at last.
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// What was changed, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// What the schema's trigger names: `pg_notify('salvor:' || TG_TABLE_SCHEMA, name)`.
    Of(String),
    /// It may be anything: a word can have been lost.
    Any,
}

/// The ear. Dropped, it hears no more.
#[derive(Debug)]
pub struct Heeding(Option<AbortHandle>);

// === impl Heeding ===

impl Heeding {
    pub(super) fn start(location: &Location, tell: impl FnMut(Word) + Send + 'static) -> Self {
        let Location::Server { url, schema } = location else { return Self(None) };
        let listening = listen(url.clone(), schema.clone(), tell);
        Self(Some(tokio::spawn(listening).abort_handle()))
    }

    /// Hears no more.
    pub fn stop(&self) {
        self.0.as_ref().inspect(|listening| listening.abort());
    }
}

impl Drop for Heeding {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn listen(url: ServerUrl, schema: Schema, mut tell: impl FnMut(Word)) {
    let mut backoff = Backoff::new(WAITS.0, WAITS.1);
    loop {
        let error = match connect(&url, &schema).await {
            Ok(listener) => {
                backoff.reset();
                hear(listener, &mut tell).await
            }
            Err(error) => error,
        };
        warn!(%error, %url, %schema, "not told of other processes' changes until the server answers");
        sleep(backoff.next_delay()).await;
    }
}

async fn connect(url: &ServerUrl, schema: &Schema) -> Result<PgListener, sqlx::Error> {
    let connecting = async {
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let pool = pool.connect_with(url.options()?).await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen(&format!("salvor:{schema}")).await?;
        Ok(listener)
    };
    timeout(ANSWER, connecting).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Ends with the reason for which nothing more is heard.
async fn hear(mut listener: PgListener, tell: &mut impl FnMut(Word)) -> sqlx::Error {
    tell(Word::Any);
    loop {
        match timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(word))) if word.payload().is_empty() => tell(Word::Any),
            Ok(Ok(Some(word))) => tell(Word::Of(word.payload().to_owned())),
            Ok(Ok(None)) => return std::io::Error::from(ErrorKind::ConnectionReset).into(),
            Ok(Err(error)) => return error,
            Err(_) => {
                let asked = sqlx::query("SELECT 1").execute(&mut listener);
                match timeout(ANSWER, asked).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return error,
                    Err(_) => return sqlx::Error::PoolTimedOut,
                }
            }
        }
    }
}
