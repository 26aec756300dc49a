//! Every event of every saga, at least once per variant.

use salvor_core::{
    fact::Why,
    id::LiveId,
    saga::{
        Cause, Failed, ParkReason, Part, Pending, destroy,
        proofs::{Proof, ProofEvent},
        revive, stale,
    },
};

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
        E::Claimed { etag: etag(), entry: entry() },
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
    events.extend(Cause::ALL.map(E::CreateRefused));
    events.extend(proofs().into_iter().map(E::Proof));
    events.extend(PARKS.map(E::Parked));
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
    events.extend(Cause::ALL.map(E::StartRefused));
    events.extend(proofs().into_iter().map(E::Proof));
    events.extend(PARKS.map(E::Parked));
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
    events.extend(Cause::ALL.map(E::DeleteRefused));
    events.extend(PARKS.map(E::Parked));
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
    assert_eq!(of(stale().iter().map(stale_variant).collect()), 24);
    assert_eq!(of(revive().iter().map(revive_variant).collect()), 18);
    assert_eq!(of(destroy().iter().map(destroy_variant).collect()), 13);
}
