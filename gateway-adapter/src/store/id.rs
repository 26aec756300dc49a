//! How snapshots are named: exactly, or not at all.

use std::fmt;
use std::str::FromStr;

use salvor_core::name::GatewayName;
use salvor_proto::Error;

/// A snapshot's id, which is restic's: 64 lower-case hex digits. No prefixes, and no `latest`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SnapshotId(String);

/// `gateways/{gateway}/snapshots/{id}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SnapshotName {
    /// Whose it is.
    pub gateway: GatewayName,
    /// Which.
    pub id: SnapshotId,
}

/// No snapshot id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 64 lower-case hex digits")]
pub(crate) struct NoSnapshotId;

// === impl SnapshotId ===

impl SnapshotId {
    /// As text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SnapshotId {
    type Err = NoSnapshotId;

    fn from_str(text: &str) -> Result<Self, NoSnapshotId> {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 64 || !text.bytes().all(digit) {
            return Err(NoSnapshotId);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl SnapshotName ===

impl SnapshotName {
    /// Reads a name; `field` is its path in the request.
    ///
    /// # Errors
    /// INVALID, naming the field.
    pub(crate) fn parse(field: &str, name: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::invalid(
                field,
                "must be gateways/GATEWAY/snapshots/ID, the ID 64 lower-case hex digits",
            )
        };
        let (gateway, id) = name.split_once("/snapshots/").ok_or_else(wrong)?;
        Ok(Self {
            gateway: gateway.parse().map_err(|_| wrong())?,
            id: id.parse().map_err(|_| wrong())?,
        })
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/snapshots/{}", self.gateway, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lower_case_ids_are_ids() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(id.parse::<SnapshotId>().unwrap().as_str(), id);
        for wrong in ["", "latest", "01234567", &id[1..], &id.to_uppercase(), &format!("{id}0")] {
            assert_eq!(wrong.parse::<SnapshotId>(), Err(NoSnapshotId), "{wrong:?}");
        }
    }

    #[test]
    fn names_are_read_whole() {
        let name = format!("gateways/lab/snapshots/{}", "a".repeat(64));
        assert_eq!(SnapshotName::parse("name", &name).unwrap().to_string(), name);
        for wrong in ["", "lab/snapshots/a", "gateways/lab/snapshots/latest", &name[..80]] {
            let error = SnapshotName::parse("snapshot", wrong).unwrap_err();
            assert!(error.message().starts_with("snapshot: "), "{error}");
        }
    }
}
