//! What holds the workspace, broken; and what cannot be read or written.

use salvor_core::{
    Denial, Fact, FactName, SagaKind, Why,
    evidence::{Channel, CopyTo, Live, Phase},
};

use super::{Case, case};
use crate::guards::good::{
    RECORDED_ID, SNAPSHOT, ago, hold, leave, present, record_of, see, snapshot_of,
};

/// Without its snapshot a failed sandbox has nothing that holds its files.
const ALSO_UNSAVED: &[&str] = &["workspace_can_be_saved"];

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn about_snapshots() -> Vec<Case> {
    use SagaKind::{Rebuild, StaleRecovery};
    let incomplete = || Denial::SnapshotIncomplete { name: SNAPSHOT.into() };
    let of_another = |of: &str, live: &str| Denial::SnapshotOfAnother {
        name: SNAPSHOT.into(),
        of: of.parse().unwrap(),
        live: live.into(),
    };
    let lacks = |root: &str| Denial::SnapshotLacksRoot { name: SNAPSHOT.into(), root: root.into() };
    let other = "gateways/lab/workspaces/default/sandboxes/other";
    let target = "gateways/lab/workspaces/default/sandboxes/coder";
    let fits = |denial, reason, sentence, spoil| {
        case("chosen_snapshot_fits", denial, reason, sentence, spoil).also(ALSO_UNSAVED)
    };
    vec![
        case(
            "snapshots_are_known",
            Denial::Unknown { fact: FactName::Snapshot, why: Why::Internal },
            "SNAPSHOTS_UNKNOWN",
            "which snapshots the repository holds is not known: the gateway failed inside",
            |e| e.snapshot = Fact::unknown(Why::Internal, "locked"),
        )
        .also(&["chosen_snapshot_fits", "workspace_can_be_saved"]),
        fits(
            incomplete(),
            "SNAPSHOT_INCOMPLETE",
            "gateways/lab/snapshots/5a17 is not complete: it is kept for salvage and never restored \
             whole",
            |e| snapshot_of(e).complete = false,
        ),
        // Whatever the caller says of whose it may be.
        fits(
            incomplete(),
            "SNAPSHOT_INCOMPLETE",
            "gateways/lab/snapshots/5a17 is not complete: it is kept for salvage and never restored \
             whole",
            |e| {
                snapshot_of(e).complete = false;
                e.asked.other_sandbox = true;
            },
        ),
        fits(
            of_another(other, RECORDED_ID),
            "SNAPSHOT_OF_ANOTHER",
            "gateways/lab/snapshots/5a17 was taken of \
             gateways/lab/workspaces/default/sandboxes/other as incarnation sb-recorded, which is \
             not the recorded one",
            |e| {
                snapshot_of(e).of =
                    "gateways/lab/workspaces/default/sandboxes/other".parse().unwrap();
            },
        ),
        fits(
            of_another(target, "sb-before"),
            "SNAPSHOT_OF_ANOTHER",
            "gateways/lab/snapshots/5a17 was taken of \
             gateways/lab/workspaces/default/sandboxes/coder as incarnation sb-before, which is not \
             the recorded one",
            |e| snapshot_of(e).live_id = "sb-before".into(),
        ),
        fits(
            lacks("/data"),
            "SNAPSHOT_LACKS_ROOT",
            "gateways/lab/snapshots/5a17 does not cover /data: the files below it are not in it",
            |e| record_of(e).snapshot_roots.push("/data".into()),
        ),
        // Where nothing is declared, the gateway's own workspace directory is what counts.
        fits(
            lacks("/sandbox"),
            "SNAPSHOT_LACKS_ROOT",
            "gateways/lab/snapshots/5a17 does not cover /sandbox: the files below it are not in it",
            |e| {
                record_of(e).snapshot_roots.clear();
                snapshot_of(e).covered = vec!["/sandbox/src".into(), "/sandboxes".into()];
            },
        ),
        case(
            "chosen_snapshot_fits",
            Denial::SnapshotNotFound { name: Some("gateways/lab/snapshots/0e0e".into()) },
            "SNAPSHOT_NOT_FOUND",
            "the repository of the gateway's adapter holds no gateways/lab/snapshots/0e0e",
            |e| {
                e.asked.snapshot = Some("gateways/lab/snapshots/0e0e".into());
                hold(e, None);
            },
        )
        .only(&[StaleRecovery, Rebuild])
        .also(ALSO_UNSAVED),
        // A prefix of a name is no name.
        case(
            "chosen_snapshot_fits",
            Denial::SnapshotNotFound { name: Some("gateways/lab/snapshots/5a1".into()) },
            "SNAPSHOT_NOT_FOUND",
            "the repository of the gateway's adapter holds no gateways/lab/snapshots/5a1",
            |e| e.asked.snapshot = Some("gateways/lab/snapshots/5a1".into()),
        ),
        case(
            "snapshot_is_there",
            Denial::SnapshotNotFound { name: None },
            "SNAPSHOT_NOT_FOUND",
            "the repository holds no complete snapshot of the sandbox",
            |e| hold(e, None),
        ),
        case(
            "snapshot_is_there_or_taken",
            Denial::SnapshotNotFound { name: None },
            "SNAPSHOT_NOT_FOUND",
            "the repository holds no complete snapshot of the sandbox",
            |e| hold(e, None),
        ),
        // A drill takes its own first, unless there is nothing to take it of.
        case(
            "snapshot_is_there_or_taken",
            Denial::SnapshotNotFound { name: None },
            "SNAPSHOT_NOT_FOUND",
            "the repository holds no complete snapshot of the sandbox",
            |e| {
                hold(e, None);
                see(e, present(Phase::Error, false));
                e.asked.copy = Some(CopyTo { sandbox: "drill".parse().unwrap(), keep: false });
            },
        ),
        case(
            "snapshot_is_there",
            Denial::Unknown { fact: FactName::Snapshot, why: Why::DeadlineExceeded },
            "SNAPSHOTS_UNKNOWN",
            "which snapshots the repository holds is not known: the gateway did not answer in time",
            |e| e.snapshot = Fact::unknown(Why::DeadlineExceeded, "5 s"),
        )
        .also(&["chosen_snapshot_fits", "posture_allows_writing"]),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn about_reading() -> Vec<Case> {
    use SagaKind::{Snapshot, StaleRecovery};
    let unsaved = |phase, sentence, spoil| {
        let denial = Denial::NoCompleteSnapshot { phase };
        case("workspace_can_be_saved", denial, "NO_COMPLETE_SNAPSHOT", sentence, spoil)
    };
    let in_error = "the sandbox exists (ERROR), making it anew would delete it, and no complete \
                    snapshot holds its workspace";
    vec![
        unsaved(Phase::Error, in_error, |e| hold(e, None)),
        unsaved(Phase::Error, in_error, |e| {
            hold(e, None);
            e.accepted_loss = Some("of another plan".into());
        }),
        // Another sandbox's files do not stand for this one's, even where they are wanted in their place.
        unsaved(Phase::Error, in_error, |e| {
            snapshot_of(e).live_id = "sb-before".into();
            e.asked.other_sandbox = true;
        }),
        unsaved(Phase::Error, in_error, |e| {
            record_of(e).snapshot_roots.push("/data".into());
            e.asked.other_sandbox = true;
        }),
        unsaved(
            Phase::Completed,
            "the sandbox exists (COMPLETED), making it anew would delete it, and no complete \
             snapshot holds its workspace",
            |e| {
                hold(e, None);
                see(e, present(Phase::Completed, false));
            },
        ),
        case(
            "workspace_can_be_saved",
            Denial::SandboxAbsent,
            "SANDBOX_ABSENT",
            "the gateway has no sandbox of that name",
            |e| see(e, Live::Absent { since: ago(60_000) }),
        )
        .also(&["sandbox_is_the_recorded_one"]),
        case(
            "compute_is_known",
            Denial::Unknown { fact: FactName::Compute, why: Why::PermissionDenied },
            "COMPUTE_UNKNOWN",
            "what the container runtime holds of the sandbox is not known: the gateway does not \
             allow the adapter to look",
            |e| e.compute = Fact::unknown(Why::PermissionDenied, "docker.sock"),
        )
        .also(ALSO_UNSAVED)
        .only(&[StaleRecovery, SagaKind::Rebuild]),
        case(
            "sandbox_can_be_read",
            Denial::NotReachable { phase: Phase::Error },
            "NOT_REACHABLE",
            "the sandbox is ERROR: nothing can be run in it",
            |e| e.compute = Fact::known(vec![], ago(60)),
        ),
        case(
            "sandbox_can_be_read",
            Denial::NotReachable { phase: Phase::Error },
            "NOT_REACHABLE",
            "the sandbox is ERROR: nothing can be run in it",
            |e| e.asked.channel = Some(Channel::Exec),
        ),
        case(
            "sandbox_can_be_read",
            Denial::ContainerNotFound,
            "CONTAINER_NOT_FOUND",
            "the container runtime of the gateway's host shows no container of the sandbox",
            |e| {
                see(e, present(Phase::Ready, false));
                e.compute = Fact::known(vec![], ago(60));
                e.asked.channel = Some(Channel::Runtime);
            },
        ),
        // An old look at the runtime is no container to read, whichever way the sandbox could be read besides.
        case(
            "sandbox_can_be_read",
            Denial::EvidenceTooOld {
                fact: FactName::Compute,
                age: crate::guards::coverage::ms(31_000),
                max_age: crate::guards::coverage::ms(30_000),
            },
            "EVIDENCE_TOO_OLD",
            "what the container runtime holds of the sandbox was seen 31.0 s ago, and may be 30.0 s \
             old at most",
            |e| {
                see(e, present(Phase::Ready, false));
                leave(e, true);
                e.asked.channel = Some(Channel::Runtime);
                let Fact::Known { at, .. } = &mut e.compute else { unreachable!() };
                *at = ago(31_000);
            },
        ),
        case(
            "sandbox_can_be_read",
            Denial::SandboxAbsent,
            "SANDBOX_ABSENT",
            "the gateway has no sandbox of that name",
            |e| {
                see(e, Live::Absent { since: ago(60_000) });
                e.compute = Fact::known(vec![], ago(60));
            },
        )
        .only(&[Snapshot]),
    ]
}

pub(super) fn about_writing() -> Vec<Case> {
    vec![
        case(
            "sandbox_is_live",
            Denial::NotReachable { phase: Phase::Stopped },
            "NOT_REACHABLE",
            "the sandbox is STOPPED: nothing can be run in it",
            |e| see(e, present(Phase::Stopped, true)),
        ),
        case(
            "sandbox_is_live",
            Denial::PhaseInMotion { phase: Phase::Starting },
            "PHASE_IN_MOTION",
            "the sandbox is STARTING, which the gateway changes by itself",
            |e| see(e, present(Phase::Starting, false)),
        ),
        case(
            "sandbox_is_live",
            Denial::SandboxAbsent,
            "SANDBOX_ABSENT",
            "the gateway has no sandbox of that name",
            |e| see(e, Live::Absent { since: ago(60_000) }),
        )
        .also(&["sandbox_is_the_recorded_one"]),
        case(
            "posture_allows_writing",
            Denial::PostureLocked { path: "/sandbox/lock".into() },
            "POSTURE_LOCKED",
            "the sandbox is locked, and the snapshot does not hold /sandbox/lock as it is sealed: writing it would break \
             the seal",
            |e| record_of(e).posture = crate::guards::good::record().posture,
        ),
    ]
}

pub(super) fn about_copies() -> Vec<Case> {
    vec![
        case(
            "copy_name_is_free",
            Denial::CopyExists { live: RECORDED_ID.into() },
            "COPY_EXISTS",
            "the name of the copy is taken by incarnation sb-recorded; nothing is replaced",
            |e| e.copy = Fact::known(Some(RECORDED_ID.into()), ago(70)),
        ),
        case(
            "copy_name_is_free",
            Denial::Unknown { fact: FactName::CopyName, why: Why::Unavailable },
            "GATEWAY_UNAVAILABLE",
            "whether the name of the copy is free is not known: the gateway cannot be reached",
            |e| e.copy = Fact::unknown(Why::Unavailable, "connection refused"),
        ),
    ]
}
