//! Why a database cannot be opened.

use std::io;
use std::path::PathBuf;

use super::{Failure, Location};

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Directory or file cannot be made.
    #[error("cannot create {}", path.display())]
    Create {
        /// What cannot be made.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is refused.
    #[error("cannot open the database {location}: {failure}")]
    Open {
        /// Where it is.
        location: Location,
        /// The kind of failure.
        failure: Failure,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// The server does not write to its disk before it answers.
    #[error(
        "the database {location} is on a server that runs with {setting} = off: after a crash of its host, what salvor has answered \
         would be lost or torn. Nothing was changed. Set {setting} = on there and reload it"
    )]
    NotDurable {
        /// Where it is.
        location: Location,
        /// The server's setting.
        setting: String,
    },
    /// The database was written by a newer version of this service.
    #[error(
        "the database {location} has schema {found}, and this binary knows schemas up to {known}. Nothing was changed. Run the \
         newer binary again, or restore a copy made before the upgrade"
    )]
    Newer {
        /// Where it is.
        location: Location,
        /// Schema version of the database.
        found: i64,
        /// Newest schema version of this binary.
        known: i64,
    },
    /// A migration failed and was rolled back.
    #[error(
        "cannot bring the database {location} to schema {version} ({name}): {failure}. It was left at schema {reached}"
    )]
    Migrate {
        /// Where it is.
        location: Location,
        /// Version that could not be reached.
        version: i64,
        /// Name of that migration.
        name: &'static str,
        /// Version that the database has.
        reached: i64,
        /// The kind of failure.
        failure: Failure,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
}

// === impl Error ===

impl Error {
    pub(super) fn open(location: &Location) -> impl Fn(sqlx::Error) -> Self {
        |source| Self::Open { location: location.clone(), failure: Failure::of(&source), source }
    }
}
