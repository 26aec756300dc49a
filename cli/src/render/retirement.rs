//! What was seen before a recovery was given up, and what it may have left behind.

use salvor_proto::recovery::v1::{RetireRecoveryResponse, Retirement, recovery::State};

use super::{Look, Tone, clean, next, recovery, status::field};

/// The answer to a request to retire one.
pub(crate) fn answer(answer: &RetireRecoveryResponse, look: Look) -> String {
    let (Some(recovery), Some(retirement)) = (&answer.recovery, &answer.retirement) else {
        return String::new();
    };
    if matches!(recovery.state(), State::Retired) {
        return recovery::whole(recovery, look);
    }
    let mut text = field("recovery", &look.paint(Tone::Strong, &recovery.name), look);
    let what = if recovery.retirement.is_some() {
        "written down; its record is freed as soon as the registry answers"
    } else {
        "would be retired; nothing was changed"
    };
    text.push_str(&field("outcome", &look.paint(Tone::Warn, what), look));
    let why = format!("{}: {}", retirement.reason, clean(&retirement.message));
    text.push_str(&field("because", &why, look));
    text.push_str(&seen(retirement, look));
    text.push_str(&next(&retirement.next_step, look));
    text
}

/// Evidence, doubts and snapshots, a line each.
pub(crate) fn seen(retirement: &Retirement, look: Look) -> String {
    let mut text = String::new();
    for fact in &retirement.evidence {
        let value = if fact.unknown.is_empty() { &fact.value } else { &fact.unknown };
        text.push_str(&field("seen", &format!("{}: {}", fact.name, clean(value)), look));
    }
    for doubt in &retirement.doubts {
        text.push_str(&field("in doubt", &look.paint(Tone::Warn, &clean(&doubt.message)), look));
    }
    for snapshot in &retirement.snapshots {
        text.push_str(&field("named", &clean(snapshot), look));
    }
    text
}

#[cfg(test)]
mod tests {
    use salvor_proto::recovery::v1::{Fact, Failure, Recovery, Saga, retirement::Doubt};

    use super::*;

    fn look() -> Look {
        Look::plain(0)
    }

    fn retired() -> Retirement {
        Retirement {
            reason: "SAGA_VERSION_OLDER".into(),
            message: "it was begun by version 1".into(),
            evidence: vec![
                Fact {
                    name: "live_view".into(),
                    value: "present, id-2 READY".into(),
                    ..Fact::default()
                },
                Fact {
                    name: "owner_gateway".into(),
                    unknown: "no such gateway".into(),
                    ..Fact::default()
                },
            ],
            doubts: vec![Doubt {
                message: "create was asked for in event 3".into(),
                ..Doubt::default()
            }],
            snapshots: vec!["gateways/g/snapshots/ab".into()],
            next_step: "salvor verdict gateways/g/workspaces/w/sandboxes/s".into(),
            ..Retirement::default()
        }
    }

    fn recovery(state: State, retirement: Option<Retirement>) -> Recovery {
        let mut recovery = Recovery {
            name: "recoveries/r1".into(),
            sandbox: "gateways/g/workspaces/w/sandboxes/s".into(),
            saga: Saga::Revive.into(),
            plan_digest: "d1".into(),
            etag: "3-ab".into(),
            done: state == State::Retired,
            phase: "stranded".into(),
            retirement,
            ..Recovery::default()
        };
        recovery.set_state(state);
        recovery
    }

    const SEEN: &str = "\
seen       live_view: present, id-2 READY
seen       owner_gateway: no such gateway
in doubt   create was asked for in event 3
named      gateways/g/snapshots/ab
";

    #[test]
    fn a_retired_recovery_shows_what_was_seen_and_what_is_in_doubt() {
        let failure = Some(Failure {
            reason: "RETIRED".into(),
            message: "recoveries/r1 was retired".into(),
            next_step: retired().next_step,
            denials: Vec::new(),
        });
        let recovery = Recovery { failure, ..recovery(State::Retired, Some(retired())) };
        let shown =
            RetireRecoveryResponse { recovery: Some(recovery), retirement: Some(retired()) };
        let expected = format!(
            "\
recovery   recoveries/r1
sandbox    gateways/g/workspaces/w/sandboxes/s
path       revive
plan       d1
outcome    RETIRED
{SEEN}because    RETIRED: recoveries/r1 was retired
next: salvor verdict gateways/g/workspaces/w/sandboxes/s
"
        );
        assert_eq!(answer(&shown, look()), expected);
    }

    #[test]
    fn a_look_says_that_nothing_was_changed() {
        let shown = RetireRecoveryResponse {
            recovery: Some(recovery(State::Stranded, None)),
            retirement: Some(retired()),
        };
        let text = answer(&shown, look());
        assert!(text.contains("outcome    would be retired; nothing was changed"), "{text}");
        assert!(text.contains(SEEN) && text.contains("SAGA_VERSION_OLDER"), "{text}");
        let open = recovery::whole(&recovery(State::Stranded, None), look());
        assert!(open.contains("etag       3-ab") && open.contains("STRANDED (stranded)"), "{open}");
    }
}
