//! Connections whose server may go silent.
//!
//! Invariant: nothing waits for a server that says nothing longer than the connection's bound. What it is asked is answered
//! [`Failure::Away`](super::Failure::Away) then, and the connection is dropped as it is: nothing more is said on it, and it never
//! goes back to the pool. A server's own time limits do not do that, nor do its keepalives: a host that is lost, or a proxy that
//! has failed over, takes what is sent and answers nothing. Deliberately absent: a bound for files, on which a commit must not be
//! abandoned, and the connection beneath, past which a statement would have no bound.

use std::io::{self, ErrorKind};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use sqlx::any::{AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, Either, Error, Execute, Executor, SqlStr};
use tokio::runtime::Handle;
use tokio::time::timeout;

type Answer = Result<Either<AnyQueryResult, AnyRow>, Error>;

/// The connections of one kind, each lent for a statement or for a transaction. A statement's answer is gathered before any of it
/// is handed out.
#[derive(Clone, Debug)]
pub struct Connections {
    pool: AnyPool,
    /// `None` of a file.
    bound: Option<Duration>,
}

/// A connection that is lent. Dropped, it goes back, unless it was found silent.
#[derive(Debug)]
pub struct Connection {
    /// `None` only while it is dropped.
    lent: Option<PoolConnection<Any>>,
    /// `None` of a file.
    bound: Option<Duration>,
    end: End,
}

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It goes back to the others.
    Back,
    /// It is closed, since what is open on it must not stay so.
    Closed,
    /// It is dropped: the server is not there to be told anything.
    Silent,
}

// === impl Connections ===

impl Connections {
    pub(super) const fn new(pool: AnyPool, bound: Option<Duration>) -> Self {
        Self { pool, bound }
    }

    /// Of a server, no connection in time means that it is away, or as good as that.
    pub(super) async fn lend(&self) -> Result<Connection, Error> {
        let lent = match self.pool.acquire().await {
            Err(Error::PoolTimedOut) if self.bound.is_some() => {
                return Err(away("no connection to the database server in time"));
            }
            lent => lent?,
        };
        Ok(Connection { lent: Some(lent), bound: self.bound, end: End::Back })
    }

    /// Closes them as they come back, and lends no more. Of a server, those that do not come back within the bound are left to
    /// whoever has them.
    pub(super) async fn close(&self) {
        let closing = self.pool.close();
        match self.bound {
            None => closing.await,
            // They close themselves when they are dropped.
            Some(bound) => timeout(bound, closing).await.unwrap_or_default(),
        }
    }
}

impl<'c> Executor<'c> for &'c Connections {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Answer>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let gathering = async move {
            match self.lend().await {
                Ok(mut lent) => lent.fetch_many(query).collect().await,
                Err(error) => vec![Err(error)],
            }
        };
        gathering.map(stream::iter).flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        async move { self.lend().await?.fetch_optional(query).await }.boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, Error>>
    where
        'c: 'e,
    {
        async move { self.lend().await?.prepare_with(sql, parameters).await }.boxed()
    }
}

// === impl Connection ===

impl Connection {
    /// It is closed when it is dropped.
    pub(super) fn close_on_drop(&mut self) {
        if self.end == End::Back {
            self.end = End::Closed;
        }
    }

    /// What to ask, by when it must say something, and where to note that it does not.
    #[expect(clippy::expect_used, reason = "only drop takes it")]
    fn parts(&mut self) -> (&mut AnyConnection, Option<Duration>, &mut End) {
        let lent = self.lent.as_mut().expect("a connection is lent until it is dropped");
        (lent, self.bound, &mut self.end)
    }
}

impl<'c> Executor<'c> for &'c mut Connection {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Answer>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let (connection, bound, end) = self.parts();
        if *end == End::Silent {
            return stream::iter([Err(silent())]).boxed();
        }
        let answers = connection.fetch_many(query);
        let Some(bound) = bound else { return answers };
        // The bound begins anew with each part of an answer, and the caller's own time does not count.
        let heard = stream::unfold(Some((answers, end)), move |listening| async move {
            let (mut answers, end) = listening?;
            let Ok(answer) = timeout(bound, answers.next()).await else {
                *end = End::Silent;
                return Some((Err(silent()), None));
            };
            Some((answer?, Some((answers, end))))
        });
        heard.boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let (connection, bound, end) = self.parts();
        heard(bound, end, move || connection.fetch_optional(query)).boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, Error>>
    where
        'c: 'e,
    {
        let (connection, bound, end) = self.parts();
        heard(bound, end, move || connection.prepare_with(sql, parameters)).boxed()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(mut lent) = self.lent.take() else { return };
        match (self.end, self.bound, Handle::try_current()) {
            (End::Silent, ..) => drop(lent.detach()),
            (End::Closed, ..) => lent.close_on_drop(),
            // It looks whether the server is there, for as long as it takes. Dropped meanwhile, the connection is, too.
            (End::Back, Some(bound), Ok(runtime)) => {
                runtime.spawn(timeout(bound, lent.return_to_pool()));
            }
            // Going back is the pool's own way of dropping one.
            (End::Back, ..) => {}
        }
    }
}

async fn heard<'e, T>(
    bound: Option<Duration>,
    end: &mut End,
    ask: impl FnOnce() -> BoxFuture<'e, Result<T, Error>>,
) -> Result<T, Error> {
    if *end == End::Silent {
        return Err(silent());
    }
    let Some(bound) = bound else { return ask().await };
    timeout(bound, ask()).await.unwrap_or_else(|_| {
        *end = End::Silent;
        Err(silent())
    })
}

fn silent() -> Error {
    away("the database server says nothing")
}

fn away(text: &'static str) -> Error {
    Error::Io(io::Error::new(ErrorKind::TimedOut, text))
}
