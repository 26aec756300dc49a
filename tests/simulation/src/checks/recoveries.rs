//! Rules about recoveries themselves.

use salvor_core::saga::{Ending, Outcome, Parts};
use salvor_proto::recovery::v1::{self as pb, recovery::State};
use salvor_recovery_orchestrator::folded::{Folded, Standing};

use crate::history::{History, waits_for_a_person};

/// Once trouble is over, every recovery ends, or waits for what only a person can change.
pub(super) fn end(history: &History) -> Vec<String> {
    let open = |recovery: &&pb::Recovery| !recovery.done && !waits_for_a_person(recovery);
    let told = history.seen.told.iter().filter(open);
    told.map(|recovery| {
        let why = recovery.failure.as_ref().map(|failure| failure.message.as_str());
        let (name, sandbox) = (&recovery.name, &recovery.sandbox);
        format!(
            "{name} of {sandbox} is {:?} in phase {}: {}",
            recovery.state(),
            recovery.phase,
            why.unwrap_or_default()
        )
    })
    .collect()
}

/// Every journal folds, and what an orchestrator says of a recovery is what the fold says.
pub(super) fn fold(history: &History) -> Vec<String> {
    let mut complaints = Vec::new();
    for journaled in &history.journaled {
        let Some(folded) = &journaled.folded else {
            complaints.push(format!("{} does not fold", journaled.name));
            continue;
        };
        let told = history.seen.told.iter().find(|told| told.name == journaled.name);
        match told.map(|told| (told.state(), told.phase.as_str())) {
            None => complaints.push(format!("nobody speaks of {}", journaled.name)),
            Some((state, phase)) if state != expected(folded) || phase != folded.phase => {
                complaints.push(format!(
                    "{} is said to be {state:?} in phase {phase}, and its journal says {:?} in phase {}",
                    journaled.name, folded.standing, folded.phase
                ));
            }
            Some(_) => {}
        }
    }
    complaints
}

fn expected(folded: &Folded) -> State {
    match &folded.standing {
        Standing::Refused => State::Refused,
        Standing::Running | Standing::Retiring(_) => State::Running,
        Standing::Stranded(_) => State::Stranded,
        Standing::Retired(_) => State::Retired,
        Standing::Parked(_) => State::Parked,
        Standing::Ended(Ending::RolledBack(_)) => State::RolledBack,
        Standing::Ended(Ending::Done(parts)) => done(parts),
    }
}

fn done(parts: &Parts) -> State {
    match parts.outcome() {
        Outcome::Succeeded => State::Succeeded,
        Outcome::Degraded => State::Degraded,
        Outcome::Unproven => State::Unproven,
    }
}
