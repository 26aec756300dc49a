//! What a database's errors mean to someone who has to act on them.

use std::fmt;
use std::io::ErrorKind;

use sqlx::postgres::PgDatabaseError;

/// The kind of a failed database call. Closed: callers decide by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// No room on the disk; nothing was written.
    Full,
    /// Another process or call holds the database; nothing was written, and it can be tried again.
    Busy,
    /// The server cannot be reached, or went away; whether a commit in hand was done is not known.
    Away,
    /// The file is damaged or is no database, or a table of the server is damaged.
    Corrupt,
    /// The file, its file system or the server's database cannot be written.
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
            sqlx::Error::Io(error) => Self::of_io(error.kind()),
            // A connection that ends in the midst of its beginning is told as one that speaks another protocol.
            sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::PoolClosed => Self::Away,
            sqlx::Error::Database(database) => {
                if let Some(database) = database.try_downcast_ref::<PgDatabaseError>() {
                    return Self::of_state(database.code());
                }
                let code = database.code().and_then(|code| code.parse().ok());
                code.map_or(Self::Other, Self::of_code)
            }
            _ => Self::Other,
        }
    }

    /// A socket's errors are those of a way to a server; all others are a disk's.
    fn of_io(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::NotConnected
            | ErrorKind::BrokenPipe
            | ErrorKind::TimedOut
            | ErrorKind::UnexpectedEof
            | ErrorKind::NotFound => Self::Away,
            _ => Self::Io,
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

    /// The kind of a SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
    pub fn of_state(state: &str) -> Self {
        match state {
            // Of a class: no connection; of an operator: the server stops, has crashed, does not take any yet.
            state if state.starts_with("08") => Self::Away,
            "57P01" | "57P02" | "57P03" => Self::Away,
            // Its settings end what waits too long, for a lock, in a statement, in a transaction; two of them stood in each
            // other's way; it has no memory, no connection left, or another limit of its own.
            "55P03" | "57014" | "25P03" | "40001" | "40P01" | "53200" | "53300" | "53400" => {
                Self::Busy
            }
            "53100" => Self::Full,
            "25006" | "42501" => Self::ReadOnly,
            state if state.starts_with("58") => Self::Io,
            state if state.starts_with("XX00") && state != "XX000" => Self::Corrupt,
            _ => Self::Other,
        }
    }

    /// Whether the same call may succeed later without anyone doing anything.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Busy | Self::Away)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Full => "the disk is full; free some space and try again",
            Self::Busy => "another process or call holds the database; try again",
            Self::Away => "the database server does not answer; it is tried again at the next call",
            Self::Corrupt => "the database is damaged or is not one; restore a copy",
            Self::ReadOnly => {
                "it cannot be written; check its owner, mode and file system, or the server's role"
            }
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
    fn states_and_sockets_have_their_kinds() {
        for (state, failure) in [
            ("08006", Failure::Away),
            ("57P01", Failure::Away),
            ("57P03", Failure::Away),
            ("55P03", Failure::Busy),
            ("57014", Failure::Busy),
            ("53300", Failure::Busy),
            ("53100", Failure::Full),
            ("25006", Failure::ReadOnly),
            ("58030", Failure::Io),
            ("XX001", Failure::Corrupt),
            ("XX000", Failure::Other),
            ("23505", Failure::Other),
        ] {
            assert_eq!(Failure::of_state(state), failure, "{state}");
        }
        let refused = std::io::Error::from(ErrorKind::ConnectionRefused);
        assert_eq!(Failure::of(&sqlx::Error::Io(refused)), Failure::Away);
    }

    #[test]
    fn only_a_database_that_is_busy_or_away_is_worth_trying_again_unchanged() {
        use Failure::{Away, Busy, Corrupt, Full, Io, Other, ReadOnly};
        assert!([Busy, Away].iter().all(|failure| failure.is_transient()));
        assert!([Full, Corrupt, ReadOnly, Io, Other].iter().all(|failure| !failure.is_transient()));
    }
}
