//! What SQLite's errors mean to someone who has to act on them.

use std::fmt;

/// The kind of a failed database call. Closed: callers decide by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// No room on the disk; nothing was written.
    Full,
    /// Another process or call holds the database; nothing was written, and it can be tried again.
    Busy,
    /// The file is damaged or is no database.
    Corrupt,
    /// The file or its file system cannot be written.
    ReadOnly,
    /// The disk failed; whether the last commit is on it is not known.
    Io,
    /// Anything else, a constraint or a bug above all.
    Other,
}

impl Failure {
    /// The kind of `error`.
    pub fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut => Self::Busy,
            sqlx::Error::Io(_) => Self::Io,
            sqlx::Error::Database(database) => {
                let code = database.code().and_then(|code| code.parse().ok());
                code.map_or(Self::Other, Self::of_code)
            }
            _ => Self::Other,
        }
    }

    /// The kind of a primary or extended SQLite result code (<https://www.sqlite.org/rescode.html>):
    /// the lowest eight bits of an extended one are its primary one.
    pub fn of_code(code: i32) -> Self {
        match code & 0xff {
            5 | 6 => Self::Busy,
            8 => Self::ReadOnly,
            10 => Self::Io,
            11 | 26 => Self::Corrupt,
            13 => Self::Full,
            _ => Self::Other,
        }
    }

    /// Whether the same call may succeed later without anyone doing anything.
    pub fn is_transient(self) -> bool {
        self == Self::Busy
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Full => "the disk is full; free some space and try again",
            Self::Busy => "another process or call holds the database; try again",
            Self::Corrupt => "the file is damaged or is not a SQLite database; restore a copy",
            Self::ReadOnly => "the file cannot be written; check its owner, mode and file system",
            Self::Io => "the disk failed while the file was read or written; check the host's log",
            Self::Other => "the database refused the call",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primary_and_extended_codes_have_their_kinds() {
        for (code, failure) in [
            (5, Failure::Busy),
            (6, Failure::Busy),
            (517, Failure::Busy), // BUSY_SNAPSHOT
            (8, Failure::ReadOnly),
            (1032, Failure::ReadOnly), // READONLY_DBMOVED
            (10, Failure::Io),
            (778, Failure::Io), // IOERR_WRITE
            (11, Failure::Corrupt),
            (267, Failure::Corrupt), // CORRUPT_VTAB
            (26, Failure::Corrupt),
            (13, Failure::Full),
            (19, Failure::Other),
            (2067, Failure::Other), // CONSTRAINT_UNIQUE
        ] {
            assert_eq!(Failure::of_code(code), failure, "{code}");
        }
        assert_eq!(Failure::of(&sqlx::Error::PoolTimedOut), Failure::Busy);
        assert_eq!(Failure::of(&sqlx::Error::Io(std::io::Error::other("disk"))), Failure::Io);
        assert_eq!(Failure::of(&sqlx::Error::RowNotFound), Failure::Other);
    }

    #[test]
    fn only_a_busy_database_is_worth_trying_again_unchanged() {
        use Failure::{Busy, Corrupt, Full, Io, Other, ReadOnly};
        assert!(Busy.is_transient());
        assert!([Full, Corrupt, ReadOnly, Io, Other].iter().all(|failure| !failure.is_transient()));
    }
}
