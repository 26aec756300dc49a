//! Which wire a gateway speaks, and what its version can do.
//!
//! Invariant: a version that is not known here chooses nothing. With the wrong dialect nothing
//! fails to decode; sandboxes merely look lost. Deliberately absent: any guess by trial.

use salvor_proto::{gateway::v1 as pb, registry::v1 as record};

/// The wire to speak with a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Dialect {
    /// OpenShell 0.0.x.
    V0_0,
    /// OpenShell 0.1.x.
    V0_1,
}

/// Phase reasons after which a 0.1.x gateway starts the same sandbox again. 0.0.x has none: ERROR
/// is terminal there for the incarnation.
const STARTABLE_ERRORS: [&str; 2] = ["GatewayUnreachable", "ContainerExited"];

/// The oldest 0.1.x release whose messages are known to carry request ids everywhere.
const REQUEST_IDS_SINCE: u64 = 5;

/// A gateway's version, as far as it chooses anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    /// Chosen by the first two numbers.
    pub dialect: Dialect,
    patch: u64,
}

// === impl Dialect ===

impl Dialect {
    /// As the contract spells it.
    pub(crate) const fn proto(self) -> record::Dialect {
        match self {
            Self::V0_0 => record::Dialect::V00,
            Self::V0_1 => record::Dialect::V01,
        }
    }
}

// === impl Version ===

impl Version {
    /// Reads what `Health` calls the version, for example `0.0.112-dev.7+g2f7fb6559`. `None` for
    /// everything that is not 0.0.x or 0.1.x.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let mut parts = text.splitn(3, '.');
        let (major, minor, rest) = (parts.next()?, parts.next()?, parts.next()?);
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (patch, tail) = rest.split_at(digits);
        if !(tail.is_empty() || tail.starts_with(['-', '+'])) {
            return None;
        }
        let dialect = match (major, minor) {
            ("0", "0") => Dialect::V0_0,
            ("0", "1") => Dialect::V0_1,
            _ => return None,
        };
        Some(Self { dialect, patch: patch.parse().ok()? })
    }

    /// What the version can do, by name.
    pub(crate) const fn capabilities(self) -> pb::Capabilities {
        let later = matches!(self.dialect, Dialect::V0_1);
        pb::Capabilities {
            start_from_error: later,
            request_ids: later && self.patch >= REQUEST_IDS_SINCE,
            delete_outcomes: later,
        }
    }

    /// Whether a sandbox that shows this can be started again without losing its workspace.
    pub(crate) fn startable(self, phase: pb::Phase, reason: &str) -> bool {
        match phase {
            pb::Phase::Stopped => true,
            pb::Phase::Error => {
                self.capabilities().start_from_error && STARTABLE_ERRORS.contains(&reason)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_two_numbers_choose_the_dialect() {
        for (text, dialect) in [
            ("0.0.116", Some(Dialect::V0_0)),
            ("0.0.112-dev.7+g2f7fb6559", Some(Dialect::V0_0)),
            ("v0.1.5", Some(Dialect::V0_1)),
            ("0.1.0+build", Some(Dialect::V0_1)),
            ("0.2.0", None),
            ("1.0.0", None),
            ("0.0", None),
            ("0.0.", None),
            ("0.0.x", None),
            ("0.1.5.6", None),
            ("00.0.1", None),
            ("", None),
        ] {
            assert_eq!(Version::parse(text).map(|v| v.dialect), dialect, "{text:?}");
        }
    }

    #[test]
    fn starting_depends_on_version_phase_and_reason() {
        let old = Version::parse("0.0.116").unwrap();
        let new = Version::parse("0.1.5").unwrap();
        for (phase, reason, old_can, new_can) in [
            (pb::Phase::Stopped, "", true, true),
            (pb::Phase::Error, "GatewayUnreachable", false, true),
            (pb::Phase::Error, "ContainerExited", false, true),
            (pb::Phase::Error, "BackendResourceMissing", false, false),
            (pb::Phase::Error, "", false, false),
            (pb::Phase::Ready, "", false, false),
            (pb::Phase::Completed, "ContainerExited", false, false),
        ] {
            assert_eq!(old.startable(phase, reason), old_can, "0.0 {phase:?} {reason}");
            assert_eq!(new.startable(phase, reason), new_can, "0.1 {phase:?} {reason}");
        }
    }

    #[test]
    fn replay_is_claimed_only_where_the_messages_have_the_field() {
        let can = |text: &str| Version::parse(text).unwrap().capabilities().request_ids;
        assert!(!can("0.0.116") && !can("0.1.4") && can("0.1.5") && can("0.1.9"));
    }
}
