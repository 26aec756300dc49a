//! Which versions of a definition go on with whose journals.
//!
//! A definition's version is raised whenever its guards, events or transitions change after a release: a journal says which
//! one wrote it. A newer build goes on with every version down to [`SagaKind::oldest`], and gives up what is older only because
//! somebody asks for it. Nothing goes on with a journal of a newer one.

use std::cmp::Ordering;

use crate::path::SagaKind;

/// What this build does with an open recovery, by the newest version that wrote in its journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resumption {
    /// It was written by this version.
    Resume,
    /// It was written by an older one that this one continues; that it does is journaled first.
    Continue,
    /// It was written by one that is too old to be gone on with: it can be retired.
    Retire,
    /// It was written by a newer one: it is left alone.
    Newer,
}

// === impl SagaKind ===

impl SagaKind {
    /// The oldest version of its definition whose journals this build goes on with. It is raised only with a reason in the
    /// changelog: what was begun before can only be retired then.
    pub const fn oldest(self) -> u32 {
        match self {
            // Version 1 was never released; it neither saved nor put back workspaces.
            Self::StaleRecovery | Self::Rebuild => 2,
            Self::Revive
            | Self::Destroy
            | Self::Snapshot
            | Self::Restore
            | Self::Copy
            | Self::Prune => 1,
        }
    }

    /// What this build does with an open recovery in whose journal no newer version than `wrote` has written.
    pub fn resumption(self, wrote: u32) -> Resumption {
        between(wrote, self.oldest(), self.version())
    }
}

fn between(wrote: u32, oldest: u32, runs: u32) -> Resumption {
    match wrote.cmp(&runs) {
        Ordering::Greater => Resumption::Newer,
        Ordering::Equal => Resumption::Resume,
        Ordering::Less if wrote >= oldest => Resumption::Continue,
        Ordering::Less => Resumption::Retire,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_is_either_gone_on_with_given_up_or_left_to_a_newer_build() {
        use Resumption::{Continue, Newer, Resume, Retire};
        let of = |wrote| between(wrote, 3, 5);
        assert_eq!([0, 1, 2].map(of), [Retire; 3]);
        assert_eq!([3, 4].map(of), [Continue; 2]);
        assert_eq!(of(5), Resume);
        assert_eq!([6, 7, u32::MAX].map(of), [Newer; 3]);
    }

    #[test]
    fn each_definition_goes_on_with_itself() {
        for saga in SagaKind::ALL {
            assert!(saga.oldest() <= saga.version(), "{saga:?}");
            assert_eq!(saga.resumption(saga.version()), Resumption::Resume, "{saga:?}");
            assert_eq!(saga.resumption(saga.version() + 1), Resumption::Newer, "{saga:?}");
            assert_eq!(saga.resumption(saga.oldest() - 1), Resumption::Retire, "{saga:?}");
        }
    }
}
