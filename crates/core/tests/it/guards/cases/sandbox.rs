//! The sandbox as its gateway shows it, broken.

use salvor_core::{
    Denial, SagaKind,
    evidence::{Live, Phase, Stamp},
};

use super::{Case, case};
use crate::guards::{
    coverage::ms,
    good::{RECORDED_ID, ago, present, present_of, see},
};

fn foreign(guard: &'static str) -> Case {
    case(
        guard,
        Denial::ForeignSandbox {
            recorded: RECORDED_ID.into(),
            live: "sb-other".into(),
            stamped: None,
        },
        "FOREIGN_SANDBOX",
        "the name is held by sb-other, and the record speaks of sb-recorded",
        |e| {
            see(e, present(Phase::Stopped, true));
            present_of(e).live_id = "sb-other".into();
        },
    )
}

fn stamped(guard: &'static str) -> Case {
    case(
        guard,
        Denial::ForeignSandbox {
            recorded: RECORDED_ID.into(),
            live: "sb-other".into(),
            stamped: Some("recoveries/r9".into()),
        },
        "FOREIGN_SANDBOX",
        "the name is held by sb-other, and the record speaks of sb-recorded; it bears the stamp \
             of recoveries/r9",
        |e| {
            see(e, present(Phase::Ready, false));
            let present = present_of(e);
            present.live_id = "sb-other".into();
            present.stamp = Some(Stamp { recovery: "recoveries/r9".into(), plan: "d".into() });
        },
    )
}

pub(super) fn about_presence() -> Vec<Case> {
    use SagaKind::{Destroy, StaleRecovery};
    let too_recent = |guard| {
        case(
            guard,
            Denial::AbsenceTooRecent { seen_for: ms(850), required: ms(5_000) },
            "ABSENCE_TOO_RECENT",
            "the absence has been seen for 850 ms; 5.0 s are required",
            |e| see(e, Live::Absent { since: ago(850) }),
        )
    };
    let absent = |guard| {
        case(
            guard,
            Denial::SandboxAbsent,
            "SANDBOX_ABSENT",
            "the gateway has no sandbox of that name",
            |e| see(e, Live::Absent { since: ago(60_000) }),
        )
    };
    let still_there = |guard| {
        case(
            guard,
            Denial::SandboxPresent { phase: Phase::Ready },
            "SANDBOX_PRESENT",
            "the gateway has the sandbox, in phase READY",
            |e| see(e, present(Phase::Ready, false)),
        )
    };
    vec![
        still_there("sandbox_is_absent").also(&["absence_has_settled"]),
        still_there("absence_has_settled").also(&["sandbox_is_absent"]),
        foreign("sandbox_is_absent").also(&["absence_has_settled"]),
        foreign("absence_has_settled").also(&["sandbox_is_absent"]),
        stamped("sandbox_is_absent").also(&["absence_has_settled"]),
        stamped("name_is_free_or_ours"),
        foreign("sandbox_is_the_recorded_one").also(&["sandbox_is_live"]),
        foreign("sandbox_can_be_read"),
        foreign("name_is_free_or_ours"),
        too_recent("absence_has_settled").only(&[StaleRecovery]),
        too_recent("absence_if_any_has_settled").only(&[Destroy]),
        absent("sandbox_is_the_recorded_one").also(&[
            "phase_can_be_started",
            "sandbox_is_live",
            "workspace_can_be_saved",
        ]),
        absent("phase_can_be_started").also(&["sandbox_is_the_recorded_one"]),
    ]
}

pub(super) fn about_phases() -> Vec<Case> {
    let moving = |guard| {
        case(
            guard,
            Denial::PhaseInMotion { phase: Phase::Provisioning },
            "PHASE_IN_MOTION",
            "the sandbox is PROVISIONING, which the gateway changes by itself",
            |e| see(e, present(Phase::Provisioning, true)),
        )
    };
    vec![
        moving("sandbox_is_absent").also(&["absence_has_settled"]),
        moving("absence_has_settled").also(&["sandbox_is_absent"]),
        moving("phase_can_be_started"),
        moving("phase_is_at_rest"),
        case(
            "phase_can_be_started",
            Denial::NotStartable { phase: Phase::Error, reason: Some("ImageGone".into()) },
            "NOT_STARTABLE",
            "a start does not mend phase ERROR (ImageGone) on this gateway",
            |e| {
                see(e, present(Phase::Error, false));
                present_of(e).reason = Some("ImageGone".into());
            },
        ),
        case(
            "phase_can_be_started",
            Denial::NotStartable { phase: Phase::Completed, reason: None },
            "NOT_STARTABLE",
            "a start does not mend phase COMPLETED on this gateway",
            |e| see(e, present(Phase::Completed, false)),
        ),
    ]
}
