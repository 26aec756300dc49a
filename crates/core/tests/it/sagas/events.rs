//! Every event of every saga, at least once per variant.

use salvor_core::{
    fact::Why,
    id::LiveId,
    saga::{
        Cause, Failed, ParkReason, Part, Pending,
        capture::{CaptureEvent, Gap, NotSaved, Saved},
        destroy,
        proofs::{Proof, ProofEvent},
        rebuild,
        refill::{Merged, RefillEvent, Unrestored},
        revive, stale,
    },
    time::Timestamp,
};

/// Causes that the first version could write. Golden files only grow, so what is newer comes at the end of a list; what came
/// with the adapters' own reasons has a list to itself.
pub(super) fn first_causes() -> Vec<Cause> {
    Cause::ALL[..12].to_vec()
}

fn newer_causes() -> Vec<Cause> {
    Cause::ALL[12..15].to_vec()
}

/// Newer than the newer ones.
const NEWEST_CAUSE: Cause = Cause::WorkspaceChanged;

fn older_causes() -> impl Iterator<Item = Cause> {
    first_causes().into_iter().chain(newer_causes())
}

pub(super) fn saved() -> Saved {
    Saved {
        name: "gateways/lab/snapshots/5a17".into(),
        begun: Timestamp(1_800_000_000_000),
        files: 3,
        bytes: 70,
    }
}

fn gap() -> Gap {
    Gap {
        snapshot: "gateways/lab/snapshots/0bad".into(),
        path: Some("/sandbox/db".into()),
        reason: "CHANGED".to_owned(),
        count: 2,
    }
}

pub(super) fn captures() -> Vec<CaptureEvent> {
    vec![
        CaptureEvent::Intended,
        CaptureEvent::Taken { saved: saved(), verify: true },
        CaptureEvent::Taken { saved: saved(), verify: false },
        CaptureEvent::Incomplete(gap()),
        CaptureEvent::Refused(Cause::RepositoryFailed),
        CaptureEvent::Refused(Cause::Invalid),
        CaptureEvent::Doubtful(Cause::AdapterFailed),
        CaptureEvent::Verified,
        CaptureEvent::Damaged(Gap { path: None, count: 1, ..gap() }),
        CaptureEvent::Outdated,
    ]
}

pub(super) fn refills() -> Vec<RefillEvent> {
    let differing =
        vec![Unrestored { path: "/sandbox/db".into(), reason: "CONTENT_DIFFERS".to_owned() }];
    vec![
        RefillEvent::Intended,
        RefillEvent::Written { files: 3, bytes: 70, merged: vec![] },
        RefillEvent::PartlyWritten { failures: 1, merged: vec![] },
        RefillEvent::NotWritten(Cause::SnapshotUnusable),
        RefillEvent::Doubtful(Cause::GatewayFailed),
        RefillEvent::Compared { differing: vec![], count: 0 },
        RefillEvent::Compared { differing, count: 2 },
    ]
}

/// Rows of a restore that merged config files.
pub(super) fn merging() -> Vec<RefillEvent> {
    let merged = Merged {
        path: "/sandbox/app.json".into(),
        restored: vec!["theme".to_owned()],
        kept: vec!["auth.token".to_owned()],
        unmerged: None,
    };
    let unmerged = Merged {
        path: "/sandbox/app.toml".into(),
        restored: vec![],
        kept: vec![],
        unmerged: Some("the snapshot's file cannot be read".to_owned()),
    };
    vec![
        RefillEvent::Written { files: 3, bytes: 70, merged: vec![merged.clone()] },
        RefillEvent::PartlyWritten { failures: 1, merged: vec![merged, unmerged] },
    ]
}

/// Of the sagas that compare once more at their end.
pub(super) fn compared_again() -> Vec<RefillEvent> {
    let differing =
        vec![Unrestored { path: "/sandbox/db".into(), reason: "CHANGED_SINCE".to_owned() }];
    vec![
        RefillEvent::ComparedAgain { differing: vec![], count: 0 },
        RefillEvent::ComparedAgain { differing, count: 2 },
        RefillEvent::NotCompared(Why::AdapterUnreachable),
    ]
}

/// What a part can say of a workspace.
fn about_data() -> Part {
    Part::Pending(vec![
        Pending::NotRestored { path: "/sandbox/db".into(), reason: "CONTENT_DIFFERS".to_owned() },
        Pending::MoreNotRestored { count: 1 },
        Pending::NotSalvaged {
            containers: vec!["c-1".into()],
            why: NotSaved::Incomplete(gap()),
            instead: Some(saved().name),
        },
        Pending::NotSalvaged {
            containers: vec!["c-1".into(), "c-2".into()],
            why: NotSaved::Refused(Cause::NotFound),
            instead: None,
        },
        Pending::NotSalvaged {
            containers: vec!["c-1".into()],
            why: NotSaved::Damaged(gap()),
            instead: None,
        },
    ])
}

fn live() -> LiveId {
    "sb-new".into()
}

fn failed() -> Failed {
    Failed { reason: "ImagePullFailed".to_owned(), exit_code: Some(137) }
}

pub(super) fn etag() -> String {
    "8-cd".to_owned()
}

pub(super) fn entry() -> String {
    "c2VhbGVk".to_owned()
}

const PARKS: [ParkReason; 4] = [
    ParkReason::Undetermined(Why::DeadlineExceeded),
    ParkReason::NotReadyInTime,
    ParkReason::RegistryUnavailable,
    ParkReason::KeepsFailing(Cause::MaterialUnavailable),
];

fn proofs() -> Vec<ProofEvent> {
    let sealed = || "/sandbox/lock".into();
    let owed = vec![
        Pending::Changed(sealed()),
        Pending::Missing(sealed()),
        Pending::Writable(sealed()),
        Pending::NotRegular(sealed()),
        Pending::PolicyDiffers,
        Pending::SpecDiffers,
        Pending::ProvidersDiffer,
        Pending::NotReady(-1),
    ];
    vec![
        ProofEvent::Intended(Proof::Policy),
        ProofEvent::Established(Proof::Policy, Part::Proven),
        ProofEvent::Intended(Proof::Posture),
        ProofEvent::Established(Proof::Posture, Part::Pending(owed)),
        ProofEvent::Intended(Proof::Readiness),
        ProofEvent::Established(Proof::Readiness, Part::Unproven(Why::Unavailable)),
        ProofEvent::Established(Proof::Readiness, Part::NotApplicable),
    ]
}

pub(super) fn stale() -> Vec<stale::Event> {
    use stale::Event as E;
    let mut events = vec![
        E::ClaimIntended,
        E::Claimed {
            etag: etag(),
            entry: entry(),
            leftover: vec![],
            salvage: false,
            restore: None,
        },
        E::ClaimLost,
        E::Cancelled,
        E::CreateIntended,
        E::Created(live()),
        E::Adopted(live()),
        E::CreateDoubtful(Cause::GatewayFailed),
        E::NotCreated,
        E::Stranger("sb-other".into()),
        E::Returned,
        E::BecameReady { spec: Part::Proven, providers: Part::Kept },
        E::NeverReady(failed()),
        E::Vanished,
        E::Committed { data: Part::Gone },
        E::Committed { data: Part::Lost },
        E::RemoveIntended,
        E::Removed,
        E::RemoveDoubtful(Cause::NotSettled),
        E::StillThere,
        E::RecordRestored,
        E::Resumed,
    ];
    events.extend(first_causes().into_iter().map(E::CreateRefused));
    events.extend(proofs().into_iter().map(E::Proof));
    events.extend(PARKS.map(E::Parked));
    // Since snapshots.
    events.extend(newer_causes().into_iter().map(E::CreateRefused));
    let found = |leftover: &[&str], salvage, restore| E::Claimed {
        etag: etag(),
        entry: entry(),
        leftover: leftover.iter().map(|id| (*id).into()).collect(),
        salvage,
        restore,
    };
    events.extend([
        found(&[], false, Some(saved())),
        found(&["c-1", "c-2"], true, Some(saved())),
        found(&["c-1"], true, None),
        found(&["c-1"], false, Some(saved())),
        E::StopIntended,
        E::Stopped,
        E::StopRefused(Cause::Denied),
        E::StopDoubtful(Cause::NotSettled),
        E::Committed { data: about_data() },
        E::Parked(ParkReason::NameTaken),
    ]);
    events.extend(captures().into_iter().map(E::Capture));
    events.extend(refills().into_iter().map(E::Refill));
    events.push(E::CreateRefused(NEWEST_CAUSE));
    events.extend(compared_again().into_iter().map(E::Refill));
    events
}

pub(super) fn rebuild() -> Vec<rebuild::Event> {
    use rebuild::Event as E;
    let found = |capture, restore| E::Claimed { etag: etag(), entry: entry(), capture, restore };
    let mut events = vec![
        E::ClaimIntended,
        found(true, None),
        found(true, Some(saved())),
        found(false, Some(saved())),
        found(false, None),
        E::ClaimLost,
        E::Cancelled,
        E::DeleteIntended,
        E::Deleted,
        E::DeleteDoubtful(Cause::NotSettled),
        E::StillThere,
        E::CreateIntended,
        E::Created(live()),
        E::Adopted(live()),
        E::CreateDoubtful(Cause::GatewayFailed),
        E::NotCreated,
        E::BecameReady { spec: Part::Proven, providers: Part::Kept },
        E::NeverReady(failed()),
        E::Vanished,
        E::RemoveIntended,
        E::Removed,
        E::RemoveDoubtful(Cause::NotSettled),
        E::Committed,
        E::RecordRestored,
        E::Resumed,
        E::Parked(ParkReason::NameTaken),
    ];
    events.extend(older_causes().map(E::DeleteRefused));
    events.extend(older_causes().map(E::CreateRefused));
    events.extend(captures().into_iter().map(E::Capture));
    events.extend(refills().into_iter().map(E::Refill));
    events.extend(proofs().into_iter().map(E::Proof));
    events.extend(PARKS.map(E::Parked));
    events.extend([E::DeleteRefused(NEWEST_CAUSE), E::CreateRefused(NEWEST_CAUSE)]);
    events.extend(compared_again().into_iter().map(E::Refill));
    events
}

pub(super) fn revive() -> Vec<revive::Event> {
    use revive::Event as E;
    let mut events = vec![
        E::ClaimIntended,
        E::Claimed { etag: etag(), entry: entry() },
        E::ClaimLost,
        E::Cancelled,
        E::StartIntended,
        E::Started,
        E::StartDoubtful(Cause::AdapterFailed),
        E::NotStarted,
        E::Gone,
        E::Stranger("sb-other".into()),
        E::BecameReady { live: live(), spec: Part::Proven, providers: Part::Proven },
        E::FailedAgain(Failed { reason: "Exited".to_owned(), exit_code: None }),
        E::Committed,
        E::RecordRestored,
        E::Resumed,
    ];
    events.extend(first_causes().into_iter().map(E::StartRefused));
    events.extend(proofs().into_iter().map(E::Proof));
    events.extend(PARKS.map(E::Parked));
    events.extend(newer_causes().into_iter().map(E::StartRefused));
    events.push(E::StartRefused(NEWEST_CAUSE));
    events
}

pub(super) fn destroy() -> Vec<destroy::Event> {
    use destroy::Event as E;
    let mut events = vec![
        E::ClaimIntended,
        E::Claimed { etag: etag(), entry: entry(), present: true },
        E::Claimed { etag: etag(), entry: entry(), present: false },
        E::ClaimLost,
        E::Cancelled,
        E::DeleteIntended,
        E::Deleted,
        E::DeleteDoubtful(Cause::NotSettled),
        E::StillThere,
        E::Buried,
        E::RecordRestored,
        E::Resumed,
    ];
    events.extend(first_causes().into_iter().map(E::DeleteRefused));
    events.extend(PARKS.map(E::Parked));
    events.extend(newer_causes().into_iter().map(E::DeleteRefused));
    events.push(E::DeleteRefused(NEWEST_CAUSE));
    events
}

/// Names of the variants met. A new one does not compile until it is named; the counts below fail until it is listed above.
const fn stale_variant(event: &stale::Event) -> &'static str {
    use stale::Event as E;
    match event {
        E::ClaimIntended => "ClaimIntended",
        E::Claimed { .. } => "Claimed",
        E::ClaimLost => "ClaimLost",
        E::Cancelled => "Cancelled",
        E::CreateIntended => "CreateIntended",
        E::Created(_) => "Created",
        E::Adopted(_) => "Adopted",
        E::CreateRefused(_) => "CreateRefused",
        E::CreateDoubtful(_) => "CreateDoubtful",
        E::NotCreated => "NotCreated",
        E::Stranger(_) => "Stranger",
        E::Returned => "Returned",
        E::BecameReady { .. } => "BecameReady",
        E::NeverReady(_) => "NeverReady",
        E::Vanished => "Vanished",
        E::Proof(_) => "Proof",
        E::Committed { .. } => "Committed",
        E::RemoveIntended => "RemoveIntended",
        E::Removed => "Removed",
        E::RemoveDoubtful(_) => "RemoveDoubtful",
        E::StillThere => "StillThere",
        E::RecordRestored => "RecordRestored",
        E::Parked(_) => "Parked",
        E::Resumed => "Resumed",
        E::StopIntended => "StopIntended",
        E::Stopped => "Stopped",
        E::StopRefused(_) => "StopRefused",
        E::StopDoubtful(_) => "StopDoubtful",
        E::Capture(event) => capture_variant(event),
        E::Refill(event) => refill_variant(event),
    }
}

const fn capture_variant(event: &CaptureEvent) -> &'static str {
    use CaptureEvent as E;
    match event {
        E::Intended => "Capture: Intended",
        E::Taken { .. } => "Capture: Taken",
        E::Incomplete(_) => "Capture: Incomplete",
        E::Refused(_) => "Capture: Refused",
        E::Doubtful(_) => "Capture: Doubtful",
        E::Verified => "Capture: Verified",
        E::Damaged(_) => "Capture: Damaged",
        E::Outdated => "Capture: Outdated",
    }
}

const fn refill_variant(event: &RefillEvent) -> &'static str {
    use RefillEvent as E;
    match event {
        E::Intended => "Refill: Intended",
        E::Written { .. } => "Refill: Written",
        E::PartlyWritten { .. } => "Refill: PartlyWritten",
        E::NotWritten(_) => "Refill: NotWritten",
        E::Doubtful(_) => "Refill: Doubtful",
        E::Compared { .. } => "Refill: Compared",
        E::ComparedAgain { .. } => "Refill: ComparedAgain",
        E::NotCompared(_) => "Refill: NotCompared",
    }
}

const fn rebuild_variant(event: &rebuild::Event) -> &'static str {
    use rebuild::Event as E;
    match event {
        E::ClaimIntended => "ClaimIntended",
        E::Claimed { .. } => "Claimed",
        E::ClaimLost => "ClaimLost",
        E::Cancelled => "Cancelled",
        E::Capture(event) => capture_variant(event),
        E::DeleteIntended => "DeleteIntended",
        E::Deleted => "Deleted",
        E::DeleteRefused(_) => "DeleteRefused",
        E::DeleteDoubtful(_) => "DeleteDoubtful",
        E::StillThere => "StillThere",
        E::CreateIntended => "CreateIntended",
        E::Created(_) => "Created",
        E::Adopted(_) => "Adopted",
        E::CreateRefused(_) => "CreateRefused",
        E::CreateDoubtful(_) => "CreateDoubtful",
        E::NotCreated => "NotCreated",
        E::BecameReady { .. } => "BecameReady",
        E::NeverReady(_) => "NeverReady",
        E::Vanished => "Vanished",
        E::RemoveIntended => "RemoveIntended",
        E::Removed => "Removed",
        E::RemoveDoubtful(_) => "RemoveDoubtful",
        E::Refill(event) => refill_variant(event),
        E::Proof(_) => "Proof",
        E::Committed => "Committed",
        E::RecordRestored => "RecordRestored",
        E::Parked(_) => "Parked",
        E::Resumed => "Resumed",
    }
}

const fn revive_variant(event: &revive::Event) -> &'static str {
    use revive::Event as E;
    match event {
        E::ClaimIntended => "ClaimIntended",
        E::Claimed { .. } => "Claimed",
        E::ClaimLost => "ClaimLost",
        E::Cancelled => "Cancelled",
        E::StartIntended => "StartIntended",
        E::Started => "Started",
        E::StartRefused(_) => "StartRefused",
        E::StartDoubtful(_) => "StartDoubtful",
        E::NotStarted => "NotStarted",
        E::Gone => "Gone",
        E::Stranger(_) => "Stranger",
        E::BecameReady { .. } => "BecameReady",
        E::FailedAgain(_) => "FailedAgain",
        E::Proof(_) => "Proof",
        E::Committed => "Committed",
        E::RecordRestored => "RecordRestored",
        E::Parked(_) => "Parked",
        E::Resumed => "Resumed",
    }
}

const fn destroy_variant(event: &destroy::Event) -> &'static str {
    use destroy::Event as E;
    match event {
        E::ClaimIntended => "ClaimIntended",
        E::Claimed { .. } => "Claimed",
        E::ClaimLost => "ClaimLost",
        E::Cancelled => "Cancelled",
        E::DeleteIntended => "DeleteIntended",
        E::Deleted => "Deleted",
        E::DeleteRefused(_) => "DeleteRefused",
        E::DeleteDoubtful(_) => "DeleteDoubtful",
        E::StillThere => "StillThere",
        E::Buried => "Buried",
        E::RecordRestored => "RecordRestored",
        E::Parked(_) => "Parked",
        E::Resumed => "Resumed",
    }
}

#[test]
fn the_lists_leave_no_event_out() {
    use std::collections::BTreeSet;
    let of = |names: BTreeSet<&str>| names.len();
    assert_eq!(of(stale().iter().map(stale_variant).collect()), 28 + 8 + 8);
    assert_eq!(of(rebuild().iter().map(rebuild_variant).collect()), 26 + 8 + 8);
    assert_eq!(of(revive().iter().map(revive_variant).collect()), 18);
    assert_eq!(of(destroy().iter().map(destroy_variant).collect()), 13);
}
