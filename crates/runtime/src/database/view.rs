//! A view of one committed state, for reads of more than one statement.
//!
//! Invariant: a connection goes back to the pool outside of any transaction, or is closed. SQLite can end a transaction by
//! itself (an I/O error, no memory); sqlx's own transactions do not notice, and the next ones on their connection would
//! look at one old state for ever.

use std::ops::{Deref, DerefMut};

use tokio::runtime::Handle;

use super::{Connection, Connections};

/// A read transaction. Dropping it ends it.
#[derive(Debug)]
pub struct View {
    connection: Option<Connection>,
}

// === impl View ===

impl View {
    pub(super) async fn begin(readers: &Connections, shared: bool) -> Result<Self, sqlx::Error> {
        // From here on a caller that goes away leaves the end to drop, whether or not it had begun.
        let mut view = Self { connection: Some(readers.lend().await?) };
        let begin =
            if shared { "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" } else { "BEGIN" };
        sqlx::raw_sql(begin).execute(&mut *view).await?;
        Ok(view)
    }
}

impl Deref for View {
    type Target = Connection;

    #[expect(clippy::expect_used, reason = "only drop takes the connection")]
    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("a view has its connection until it is dropped")
    }
}

impl DerefMut for View {
    #[expect(clippy::expect_used, reason = "only drop takes the connection")]
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("a view has its connection until it is dropped")
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        match Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(end(connection));
            }
            Err(_) => connection.close_on_drop(),
        }
    }
}

async fn end(mut connection: Connection) {
    if sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.is_err() {
        connection.close_on_drop();
    }
}
