//! That the cases leave nothing out: every denial, every reason code, every row of every table.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use salvor_core::{Denial, FactName, SagaKind, Why, guards};

use super::cases;

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Every variant by name. A new one does not compile until it is named here, and then fails below until a case reaches it.
const fn variant(denial: &Denial) -> &'static str {
    match denial {
        Denial::Unknown { .. } => "Unknown",
        Denial::EvidenceTooOld { .. } => "EvidenceTooOld",
        Denial::RecordIncomplete { .. } => "RecordIncomplete",
        Denial::SeveralAgents { .. } => "SeveralAgents",
        Denial::RecordNotActive { .. } => "RecordNotActive",
        Denial::GatewayReplaced { .. } => "GatewayReplaced",
        Denial::GatewayWarming { .. } => "GatewayWarming",
        Denial::DialectDiffers { .. } => "DialectDiffers",
        Denial::SandboxPresent { .. } => "SandboxPresent",
        Denial::SandboxAbsent => "SandboxAbsent",
        Denial::ForeignSandbox { .. } => "ForeignSandbox",
        Denial::PhaseInMotion { .. } => "PhaseInMotion",
        Denial::AbsenceTooRecent { .. } => "AbsenceTooRecent",
        Denial::NotStartable { .. } => "NotStartable",
        Denial::MaterialSealed { .. } => "MaterialSealed",
        Denial::MaterialTooLarge { .. } => "MaterialTooLarge",
        Denial::ProviderMissing { .. } => "ProviderMissing",
        Denial::ProviderExpired { .. } => "ProviderExpired",
        Denial::NoCompleteSnapshot { .. } => "NoCompleteSnapshot",
        Denial::SnapshotNotFound { .. } => "SnapshotNotFound",
        Denial::SnapshotIncomplete { .. } => "SnapshotIncomplete",
        Denial::SnapshotOfAnother { .. } => "SnapshotOfAnother",
        Denial::SnapshotLacksRoot { .. } => "SnapshotLacksRoot",
        Denial::SnapshotInUse { .. } => "SnapshotInUse",
        Denial::LastSnapshot { .. } => "LastSnapshot",
        Denial::NotReachable { .. } => "NotReachable",
        Denial::StartFirst { .. } => "StartFirst",
        Denial::ContainerNotFound => "ContainerNotFound",
        Denial::PostureLocked { .. } => "PostureLocked",
        Denial::NothingToMerge => "NothingToMerge",
        Denial::CopyExists { .. } => "CopyExists",
        Denial::DataLossNotAccepted => "DataLossNotAccepted",
    }
}

/// As many as there are arms above.
const VARIANTS: usize = 32;

#[test]
fn every_denial_is_reached() {
    let reached: BTreeSet<_> = cases::all().iter().map(|case| variant(&case.denial)).collect();
    assert_eq!(reached.len(), VARIANTS, "{reached:?}");
}

#[test]
fn every_row_of_every_table_is_seen_to_refuse() {
    let mut seen = BTreeSet::new();
    for case in cases::all() {
        seen.extend(case.sagas.iter().map(|saga| (*saga, case.guard)));
    }
    for saga in SagaKind::ALL {
        for row in guards::table(saga) {
            assert!(seen.contains(&(saga, row.id)), "{} of {}", row.id, saga.as_str());
        }
    }
}

#[test]
fn what_a_row_says_of_its_reasons_is_what_it_refuses_with() {
    let mut given: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for case in cases::all().iter().filter(|case| !case.denial.is_unknown()) {
        given.entry(case.guard).or_default().insert(case.denial.reason());
    }
    for row in SagaKind::ALL.into_iter().flat_map(guards::table) {
        let stated: BTreeSet<_> = row.reasons.iter().copied().collect();
        assert_eq!(given.get(row.id).cloned().unwrap_or_default(), stated, "{}", row.id);
    }
}

#[test]
fn a_guard_means_the_same_in_every_table() {
    let mut claims = BTreeMap::new();
    for row in SagaKind::ALL.into_iter().flat_map(guards::table) {
        assert_eq!(*claims.entry(row.id).or_insert(row.claim), row.claim);
        assert!(row.id.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{}", row.id);
    }
    for saga in SagaKind::ALL {
        let ids: BTreeSet<_> = guards::table(saga).iter().map(|row| row.id).collect();
        assert_eq!(ids.len(), guards::table(saga).len(), "a row twice in {}", saga.as_str());
    }
}

/// The code of a fact of the gateway's that is unknown. A new reason does not compile until it has a code.
const fn code(why: Why) -> &'static str {
    match why {
        Why::Unavailable => "GATEWAY_UNAVAILABLE",
        Why::DeadlineExceeded => "GATEWAY_DEADLINE_EXCEEDED",
        Why::Unauthenticated => "GATEWAY_UNAUTHENTICATED",
        Why::PermissionDenied => "GATEWAY_PERMISSION_DENIED",
        Why::TlsFailed => "GATEWAY_TLS_FAILED",
        Why::Unimplemented => "GATEWAY_UNIMPLEMENTED",
        Why::VersionUnknown => "GATEWAY_VERSION_UNKNOWN",
        Why::ForeignGateway => "FOREIGN_GATEWAY",
        Why::WorkspaceMissing => "WORKSPACE_MISSING",
        Why::RateLimited => "GATEWAY_RATE_LIMITED",
        Why::Inconsistent => "GATEWAY_INCONSISTENT",
        Why::Internal => "GATEWAY_INTERNAL",
        Why::Unreadable => "GATEWAY_UNREADABLE",
        Why::Unexpected => "GATEWAY_UNEXPECTED",
        Why::NotRegistered => "GATEWAY_NOT_REGISTERED",
        Why::AdapterUnreachable => "ADAPTER_UNREACHABLE",
        Why::SnapshotsGone => "SNAPSHOTS_GONE",
        Why::SnapshotUnreadable => "SNAPSHOT_UNREADABLE",
        Why::NotAsked => "NOT_DETERMINED",
    }
}

/// What is about snapshots in particular has a code of its own; of anything else it is enough that they are not known.
const fn snapshots_code(why: Why) -> &'static str {
    match why {
        Why::SnapshotsGone | Why::SnapshotUnreadable => code(why),
        _ => "SNAPSHOTS_UNKNOWN",
    }
}

#[test]
fn t03_each_cause_of_not_knowing_has_a_code_of_its_own() {
    let codes: BTreeSet<_> = Why::ALL.into_iter().map(code).collect();
    assert_eq!(codes.len(), 19, "two causes share a code, or one is not in Why::ALL");
    for why in Why::ALL {
        for fact in
            [FactName::OwnerGateway, FactName::LiveView, FactName::Providers, FactName::CopyName]
        {
            let denial = Denial::Unknown { fact, why };
            assert_eq!(denial.reason(), code(why), "{fact:?}");
            assert!(denial.to_string().ends_with(why.sentence()), "{denial}");
            assert!(denial.is_unknown() && denial.retry_after().is_some());
        }
        for (fact, code) in [
            (FactName::Record, "RECORD_UNKNOWN"),
            (FactName::Snapshot, snapshots_code(why)),
            (FactName::Compute, "COMPUTE_UNKNOWN"),
        ] {
            assert_eq!(Denial::Unknown { fact, why }.reason(), code);
        }
    }
    let sentences: BTreeSet<_> = Why::ALL.into_iter().map(Why::sentence).collect();
    assert_eq!(sentences.len(), 19, "two causes read alike");
    assert!(Why::ALL.into_iter().all(|why| !why.remedy().is_empty()));
}
