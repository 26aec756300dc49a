//! Each guard, broken one thing at a time: the denial, its code, its sentence, and nobody else objects.

use std::collections::BTreeSet;

use salvor_core::{
    Denial, Evidence, Limits, SagaKind,
    check::evaluate,
    evidence::{Live, Phase},
    guards,
};

use super::good::{accept, ago, gateway_of, good, present, record_of, see};

mod material;
mod owner;
mod record;
mod sandbox;
mod workspace;

/// One thing broken.
pub(super) struct Case {
    /// In these sagas; others lack the guard, or are broken otherwise by it.
    pub(super) sagas: Vec<SagaKind>,
    pub(super) guard: &'static str,
    spoil: fn(&mut Evidence),
    pub(super) denial: Denial,
    reason: &'static str,
    sentence: &'static str,
    /// Guards that rest on the same thing and refuse with it, where their table has them.
    also: &'static [&'static str],
}

impl Case {
    pub(super) fn spoiled(&self, saga: SagaKind) -> Evidence {
        let mut evidence = good(saga);
        (self.spoil)(&mut evidence);
        // What the caller accepted is the plan as it is now; only the cases about acceptance say otherwise.
        if saga == SagaKind::Destroy && self.guard != "losses_are_accepted" {
            accept(saga, &mut evidence);
        }
        evidence
    }

    fn also(mut self, guards: &'static [&'static str]) -> Self {
        self.also = guards;
        self
    }

    fn only(mut self, sagas: &[SagaKind]) -> Self {
        self.sagas = sagas.to_vec();
        self
    }
}

/// In every saga that has the guard.
fn case(
    guard: &'static str,
    denial: Denial,
    reason: &'static str,
    sentence: &'static str,
    spoil: fn(&mut Evidence),
) -> Case {
    let has = |saga: &SagaKind| guards::table(*saga).iter().any(|row| row.id == guard);
    let sagas = SagaKind::ALL.into_iter().filter(has).collect();
    Case { sagas, guard, spoil, denial, reason, sentence, also: &[] }
}

pub(super) fn all() -> Vec<Case> {
    [
        owner::about_the_gateway(),
        owner::about_its_identity(),
        record::about_the_record(),
        record::about_what_it_lacks(),
        sandbox::about_presence(),
        sandbox::about_phases(),
        material::about_material(),
        material::about_providers(),
        material::about_losses(),
        workspace::about_snapshots(),
        workspace::about_reading(),
        workspace::about_writing(),
        workspace::about_copies(),
        workspace::about_deleting(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn good_evidence_is_allowed() {
    for saga in SagaKind::ALL {
        assert_eq!(refused(saga, &good(saga)), BTreeSet::new(), "{}", saga.as_str());
    }
}

#[test]
fn a_broken_thing_is_refused_by_name_and_by_nobody_else() {
    for case in all() {
        assert!(!case.sagas.is_empty(), "{} is in no table", case.guard);
        for &saga in &case.sagas {
            let evidence = case.spoiled(saga);
            let decisions = evaluate(guards::table(saga), &Limits::default(), &evidence);
            let of_guard = decisions.iter().find(|d| d.guard.0 == case.guard);
            let denial = of_guard.and_then(|d| d.denial.clone());
            let at = format!("{} in {}: {}", case.guard, saga.as_str(), case.sentence);
            assert_eq!(denial.as_ref(), Some(&case.denial), "{at}");
            assert_eq!(case.denial.reason(), case.reason, "{at}");
            assert_eq!(case.denial.to_string(), case.sentence, "{at}");

            let mut expected: BTreeSet<&str> = case.also.iter().copied().collect();
            expected.insert(case.guard);
            expected.retain(|id| guards::table(saga).iter().any(|row| row.id == *id));
            assert_eq!(refused(saga, &evidence), expected, "{at}");
        }
    }
}

#[test]
fn a_sandbox_in_motion_is_in_the_way_of_everything_but_a_destroy() {
    for phase in
        [Phase::Provisioning, Phase::Deleting, Phase::Unknown, Phase::Stopping, Phase::Starting]
    {
        for saga in [SagaKind::StaleRecovery, SagaKind::Revive, SagaKind::Rebuild] {
            let mut evidence = good(saga);
            see(&mut evidence, present(phase, true));
            let decisions = evaluate(guards::table(saga), &Limits::default(), &evidence);
            let moving = Some(Denial::PhaseInMotion { phase });
            assert!(decisions.iter().any(|d| d.denial == moving), "{saga:?} {phase:?}");
        }
    }
}

#[test]
fn what_is_exactly_at_its_limit_is_allowed() {
    for saga in [SagaKind::StaleRecovery, SagaKind::Destroy] {
        let mut evidence = good(saga);
        gateway_of(&mut evidence).healthy_since = ago(5_000);
        see(&mut evidence, Live::Absent { since: ago(5_000) });
        record_of(&mut evidence).spec.as_mut().unwrap().size_bytes = 983_040;
        record_of(&mut evidence).policy.as_mut().unwrap().size_bytes = 262_144;
        assert_eq!(refused(saga, &evidence), BTreeSet::new(), "{}", saga.as_str());
    }
}

fn refused(saga: SagaKind, evidence: &Evidence) -> BTreeSet<&'static str> {
    let rows = guards::table(saga).iter();
    rows.filter(|row| (row.decide)(&Limits::default(), evidence).is_err())
        .map(|row| row.id)
        .collect()
}
