//! Page tokens: where the page before ended. Opaque to callers; one that is not from here is refused.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use salvor_proto::Error;
use salvor_proto::gateway::v1::Snapshot;

use crate::store::SnapshotName;

/// The contract's page sizes.
const DEFAULT: usize = 100;
const MAX: i32 = 1000;

/// A snapshot's place in a list, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    begun: (i64, i32),
    name: String,
}

/// How many to answer.
pub(super) fn size(asked: i32) -> Result<usize, Error> {
    match usize::try_from(asked) {
        Ok(0) => Ok(DEFAULT),
        Ok(size) if asked <= MAX => Ok(size),
        _ => Err(Error::invalid("page_size", format!("must be 0 to {MAX}"))),
    }
}

/// Where a page of differences begins.
pub(super) fn path(
    base: &SnapshotName,
    other: &SnapshotName,
    token: &str,
) -> Result<Option<PathBuf>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    let path = token.strip_prefix(&pin(base, other)).and_then(|path| hex::decode(path).ok());
    path.map(|path| Some(OsString::from_vec(path).into())).ok_or_else(foreign)
}

/// The token of what comes after a path.
pub(super) fn token(base: &SnapshotName, other: &SnapshotName, path: &Path) -> String {
    format!("{}{}", pin(base, other), hex::encode(path.as_os_str().as_bytes()))
}

/// Which two snapshots a token is of.
fn pin(base: &SnapshotName, other: &SnapshotName) -> String {
    format!("{:.16}-{:.16}-", base.id.as_str(), other.id.as_str())
}

fn foreign() -> Error {
    Error::invalid("page_token", "is not from the page before of the same request")
}

// === impl Position ===

impl Position {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let begun = snapshot.begin_time.as_ref().map(|time| (time.seconds, time.nanos));
        Self { begun: begun.unwrap_or_default(), name: snapshot.name.clone() }
    }

    pub(super) fn read(token: &str) -> Result<Option<Self>, Error> {
        if token.is_empty() {
            return Ok(None);
        }
        let text = hex::decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let position = text.as_deref().and_then(|text| {
            let (seconds, rest) = text.split_once(' ')?;
            let (nanos, name) = rest.split_once(' ')?;
            let begun = (seconds.parse().ok()?, nanos.parse().ok()?);
            Some(Self { begun, name: name.to_owned() })
        });
        position.map(Some).ok_or_else(foreign)
    }

    pub(super) fn write(&self) -> String {
        hex::encode(format!("{} {} {}", self.begun.0, self.begun.1, self.name))
    }

    /// Whether a snapshot comes on a later page.
    pub(super) fn is_before(&self, snapshot: &Snapshot) -> bool {
        let other = Self::of(snapshot);
        (&other.begun, &other.name) < (&self.begun, &self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_strangers_are_refused() {
        let name = |digit: &str| {
            let name = format!("gateways/lab/snapshots/{}", digit.repeat(64));
            SnapshotName::parse("name", &name).unwrap()
        };
        let (a, b) = (name("a"), name("b"));
        let odd = PathBuf::from(OsString::from_vec(b"/w/\xff\n".to_vec()));
        let written = token(&a, &b, &odd);
        assert_eq!(path(&a, &b, &written).unwrap(), Some(odd));
        assert_eq!(path(&a, &b, "").unwrap(), None);
        for (base, other, token) in [(&b, &a, &*written), (&a, &b, "x"), (&a, &b, &written[1..])] {
            assert!(path(base, other, token).is_err());
        }
        let position = Position { begun: (12, 5), name: "gateways/lab/snapshots/a".into() };
        assert_eq!(Position::read(&position.write()).unwrap(), Some(position));
        for wrong in ["zz", "00", &hex::encode("1 x name")] {
            assert!(Position::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!((size(0).unwrap(), size(1).unwrap(), size(1000).unwrap()), (100, 1, 1000));
        assert!(size(-1).is_err() && size(1001).is_err());
    }
}
