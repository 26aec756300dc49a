//! What holds the workspace, broken; and what cannot be read or written.

use salvor_core::{
    Denial, Evidence, Fact, FactName, SagaKind, Why,
    evidence::{Channel, CopyTo, Doomed, Live, Phase, RestoreMode, Snapshot},
};

use super::{Case, case};
use crate::guards::good::{
    RECORDED_ID, SNAPSHOT, ago, hold, leave, present, record_of, see, snapshot, snapshot_of,
};

/// Another one of the sandbox's.
const OLD: &str = "gateways/lab/snapshots/01d";

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
        .also(&[
            "chosen_snapshot_fits",
            "named_snapshots_can_go",
            "workspace_can_be_saved",
            "start_comes_first",
        ]),
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
        // What was left out when it was taken is in no snapshot now, though the roots are the same.
        unsaved(Phase::Error, in_error, |e| snapshot_of(e).excludes = vec!["data/".into()]),
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
        .also(&["workspace_can_be_saved", "start_comes_first"])
        .only(&[StaleRecovery, SagaKind::Rebuild]),
        case(
            "start_comes_first",
            Denial::StartFirst { phase: Phase::Stopped },
            "START_FIRST",
            "the sandbox is STOPPED and can be started: started, its files can be read before it is \
             deleted",
            |e| see(e, present(Phase::Stopped, true)),
        ),
        // A snapshot that was asked for by name says nothing of what is in the sandbox now.
        case(
            "start_comes_first",
            Denial::StartFirst { phase: Phase::Error },
            "START_FIRST",
            "the sandbox is ERROR and can be started: started, its files can be read before it is \
             deleted",
            |e| {
                see(e, present(Phase::Error, true));
                e.asked.snapshot = Some(SNAPSHOT.into());
            },
        ),
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
        case(
            "config_to_merge_is_declared",
            Denial::NothingToMerge,
            "NOTHING_TO_MERGE",
            "the record declares no config file among the paths that were asked for, so a merge would \
             write nothing",
            |e| {
                e.asked.mode = RestoreMode::MergeConfig;
                record_of(e).config_files.clear();
            },
        ),
        // One is declared, and it is not among what was asked for.
        case(
            "config_to_merge_is_declared",
            Denial::NothingToMerge,
            "NOTHING_TO_MERGE",
            "the record declares no config file among the paths that were asked for, so a merge would \
             write nothing",
            |e| {
                e.asked.mode = RestoreMode::MergeConfig;
                e.asked.paths = vec!["/sandbox/elsewhere".into()];
            },
        ),
    ]
}

/// An old snapshot of the sandbox's is to be deleted by name.
fn doom(e: &mut Evidence, change: fn(&mut Doomed)) {
    let old = Snapshot { name: OLD.into(), begun: ago(900_000), ..snapshot() };
    let mut doomed = Doomed { snapshot: old, newest: false, in_use: false };
    change(&mut doomed);
    e.asked.delete = vec![doomed.snapshot.name.clone()];
    e.doomed = Fact::known(vec![doomed], ago(50));
}

const LAST_OLD: &str = "gateways/lab/snapshots/01d is what the workspace would be brought back \
                        from: it is the newest complete one, or the record names it";
const LAST_NEW: &str = "gateways/lab/snapshots/5a17 is what the workspace would be brought back \
                        from: it is the newest complete one, or the record names it";

pub(super) fn about_deleting() -> Vec<Case> {
    let go = |denial, reason, sentence, spoil| {
        case("named_snapshots_can_go", denial, reason, sentence, spoil)
    };
    let last = |name: &str, sentence, spoil| {
        go(Denial::LastSnapshot { name: name.into() }, "LAST_SNAPSHOT", sentence, spoil)
    };
    let other = "gateways/lab/workspaces/default/sandboxes/other";
    vec![
        go(
            Denial::SnapshotNotFound { name: Some(OLD.into()) },
            "SNAPSHOT_NOT_FOUND",
            "the repository of the gateway's adapter holds no gateways/lab/snapshots/01d",
            |e| e.asked.delete = vec![OLD.into()],
        ),
        go(
            Denial::SnapshotOfAnother {
                name: OLD.into(),
                of: other.parse().unwrap(),
                live: RECORDED_ID.into(),
            },
            "SNAPSHOT_OF_ANOTHER",
            "gateways/lab/snapshots/01d was taken of \
             gateways/lab/workspaces/default/sandboxes/other as incarnation sb-recorded, which is \
             not the recorded one",
            |e| {
                let other = "gateways/lab/workspaces/default/sandboxes/other";
                doom(e, |_| ());
                let Fact::Known { value, .. } = &mut e.doomed else { unreachable!() };
                value[0].snapshot.of = other.parse().unwrap();
            },
        ),
        // Whatever the caller gives up.
        go(
            Denial::SnapshotInUse { name: OLD.into() },
            "SNAPSHOT_IN_USE",
            "a recovery that is open rests on gateways/lab/snapshots/01d",
            |e| {
                doom(e, |doomed| doomed.in_use = true);
                e.asked.allow_last = true;
            },
        ),
        // The newest one of any incarnation.
        last(OLD, LAST_OLD, |e| doom(e, |doomed| doomed.newest = true)),
        // The one that a recovery would choose.
        last(SNAPSHOT, LAST_NEW, |e| doom(e, |doomed| doomed.snapshot.name = SNAPSHOT.into())),
        // The one that the incarnation was made from.
        last(OLD, LAST_OLD, |e| {
            doom(e, |_| ());
            record_of(e).last_snapshot = Some(OLD.into());
        }),
        // The one that something is still to be put back from.
        last(OLD, LAST_OLD, |e| {
            doom(e, |_| ());
            record_of(e).pending_restores = vec![OLD.into()];
        }),
    ]
}

#[test]
fn what_nothing_names_can_go_and_the_last_one_if_that_is_allowed() {
    let refused = |change: fn(&mut Evidence)| {
        let mut evidence = crate::guards::good::good(SagaKind::Prune);
        change(&mut evidence);
        super::refused(SagaKind::Prune, &evidence).len()
    };
    assert_eq!(refused(|e| doom(e, |_| ())), 0);
    assert_eq!(refused(|e| doom(e, |doomed| doomed.snapshot.complete = false)), 0);
    assert_eq!(refused(|e| doom(e, |doomed| doomed.newest = true)), 1);
    assert_eq!(
        refused(|e| {
            doom(e, |doomed| doomed.newest = true);
            record_of(e).last_snapshot = Some(OLD.into());
            e.asked.allow_last = true;
        }),
        0
    );
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
