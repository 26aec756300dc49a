//! What a plan's execution does, and what it could not check.

use salvor_core::{Plan, SagaKind, evidence::Posture};

/// What a plan's execution does when nothing goes wrong, in order.
pub(super) fn steps(plan: &Plan) -> impl Iterator<Item = String> {
    let inputs = &plan.inputs;
    let keep = inputs.asked.copy.as_ref().is_some_and(|copy| copy.keep);
    let locked = matches!(inputs.posture, Posture::Locked { .. });
    let (reads, restores) = (inputs.capture.is_some(), inputs.restore.is_some());
    // What a delete, a create or a drill rests on is read back first, whenever it was taken.
    let rests = match plan.saga {
        SagaKind::Rebuild | SagaKind::StaleRecovery => true,
        SagaKind::Copy => !keep,
        _ => false,
    };
    let done = move |step: &&&str| match **step {
        "stop_leftover" => !inputs.leftovers.is_empty(),
        "take_snapshot" => reads,
        "verify_snapshot" => reads || (rests && restores),
        "restore_workspace" | "compare_workspace" | "compare_again" => reads || restores,
        "prove_policy" | "prove_posture" if plan.saga == SagaKind::Restore => locked,
        _ => true,
    };
    all_steps(plan.saga, keep).iter().filter(done).map(|&step| step.to_owned())
}

/// What a saga may do when nothing goes wrong, in order.
#[expect(clippy::too_many_lines, reason = "a table: the steps of each saga")]
const fn all_steps(saga: SagaKind, keep: bool) -> &'static [&'static str] {
    match saga {
        SagaKind::StaleRecovery => &[
            "claim",
            "stop_leftover",
            "take_snapshot",
            "verify_snapshot",
            "create",
            "await_ready",
            "restore_workspace",
            "compare_workspace",
            "prove_policy",
            "prove_posture",
            "prove_readiness",
            "compare_again",
            "commit",
        ],
        SagaKind::Revive => &[
            "claim",
            "start",
            "await_ready",
            "prove_policy",
            "prove_posture",
            "prove_readiness",
            "commit",
        ],
        SagaKind::Destroy => &["claim", "delete", "bury"],
        SagaKind::Rebuild => &[
            "claim",
            "take_snapshot",
            "verify_snapshot",
            "delete",
            "create",
            "await_ready",
            "restore_workspace",
            "compare_workspace",
            "prove_policy",
            "prove_posture",
            "prove_readiness",
            "compare_again",
            "commit",
        ],
        SagaKind::Snapshot => &["take_snapshot", "note", "thin_out"],
        SagaKind::Restore => &[
            "begin",
            "take_snapshot",
            "verify_snapshot",
            "restore_workspace",
            "compare_workspace",
            "prove_policy",
            "prove_posture",
            "note",
        ],
        SagaKind::Copy if !keep => &[
            "begin",
            "take_snapshot",
            "verify_snapshot",
            "create",
            "await_ready",
            "restore_workspace",
            "compare_workspace",
            "remove_copy",
            "note",
        ],
        SagaKind::Copy => &[
            "begin",
            "create",
            "await_ready",
            "restore_workspace",
            "compare_workspace",
            "prove_policy",
            "prove_posture",
            "prove_readiness",
            "register",
        ],
        SagaKind::Prune => &["prune"],
    }
}

/// What the gateway does not let anyone check beforehand.
pub(super) const fn unchecked(saga: SagaKind) -> &'static [&'static str] {
    match saga {
        SagaKind::StaleRecovery | SagaKind::Rebuild | SagaKind::Copy => &[
            "whether the gateway can still pull the image: it says so only after a create",
            "whether the gateway has room for one more sandbox: it has no call that tells",
        ],
        SagaKind::Revive
        | SagaKind::Destroy
        | SagaKind::Snapshot
        | SagaKind::Restore
        | SagaKind::Prune => &[],
    }
}
