//! The steps of a copy, and of a drill.

use salvor_core::{
    evidence::Channel,
    id::LiveId,
    name::RecordName,
    saga::{
        Cause, Effect, Narrate as _, ParkReason, Part, Saga as _,
        capture::{Capture, CaptureStep, Saved},
        copy::{Copy, Event, Finding, State, Step},
        proofs::{ProofEvent, Proofs},
        refill::RefillStep,
    },
};
use salvor_proto::{Error, registry::v1 as pb, time::timestamp};

use super::{
    note::{Tried, note},
    proofs, record,
    sandbox::{self, Bearer, Readied, Taken},
    watch,
    workspace::{self, Take},
};
use crate::{
    adopt::{self, Registered},
    runner::{Perform, Performed, Run, events},
};

/// How often a delete of the copy is tried before a person is asked.
const MAX_REMOVALS: u32 = 5;
/// How often it waits for what keeps it from being compared before it is given up: it is worth less than the place it takes.
const MAX_WAITS: usize = 3;

impl Perform for Copy {
    #[expect(clippy::too_many_lines, reason = "a table: one arm per step")]
    async fn perform(step: Step, state: &State, run: &Run) -> Result<Performed<Event>, Error> {
        let Some(on) = &run.approved.copy() else {
            return Err(Error::internal("a copy was allowed without a name"));
        };
        match (step, state) {
            (Step::Begin, _) => begin(run).await,
            (
                Step::Capture(CaptureStep::Take),
                State::Saving { keep, capture: Capture::Taking { attempts: attempt } },
            ) => {
                let channel = run.header.plan.inputs.capture.unwrap_or(Channel::Exec);
                let take = Take { attempt: *attempt, channel, nonce: !keep, verify: true };
                Ok(workspace::take::<Self>(run, take).await?.map(Event::Capture))
            }
            (
                Step::Capture(CaptureStep::Verify),
                State::Saving { capture: Capture::Taken(saved), .. },
            ) => Ok(workspace::verify::<Self>(run, saved).await?.map(Event::Capture)),
            (Step::Create, State::Creating { attempts, .. }) => {
                Ok(Performed::Event(match sandbox::create(run, on, *attempts).await? {
                    Effect::Applied(live) => Event::Created(live),
                    Effect::NotApplied(cause) => Event::CreateRefused(cause),
                    Effect::MaybeApplied(cause) => Event::CreateDoubtful(cause),
                }))
            }
            (Step::ResolveCreate, _) => {
                let looked = sandbox::resolve_create(run, on).await?;
                Ok(looked.performed(|bearer| match bearer {
                    Bearer::Ours(live) => Event::Adopted(live),
                    // Under another name than its own the recorded one is as strange as any.
                    Bearer::Recorded => Event::Stranger(recorded(run)),
                    Bearer::Stranger(live) => Event::Stranger(live),
                    Bearer::Nobody => Event::NotCreated,
                }))
            }
            (Step::AwaitReady, State::Created { live, .. }) => {
                let looked = sandbox::await_ready(run, on, live).await?;
                Ok(looked.performed(|readied| match readied {
                    Readied::Ready { spec, providers } => Event::BecameReady { spec, providers },
                    Readied::Failed(failed) => Event::NeverReady(failed),
                    Readied::Gone => Event::Vanished,
                    Readied::Stranger(live) => Event::Stranger(live),
                }))
            }
            (Step::Refill(step), State::Filling { .. }) => fill(run, on, step, state).await,
            (Step::Prove(proof), State::Proving { fresh, proofs, .. }) => {
                let part = proofs::prove(run, proof, (on, &fresh.live), proofs).await?;
                Ok(part.map_or(Performed::Interrupted, |part| {
                    Performed::Event(Event::Proof(ProofEvent::Established(proof, part)))
                }))
            }
            (Step::Register, State::Registering { fresh, proofs, .. }) => {
                Box::pin(register(run, on, &fresh.live, proofs)).await
            }
            (Step::Remove, State::Removing { live, .. }) => remove(run, on, live).await,
            (Step::ResolveRemove, State::Removing { live, .. }) => {
                let looked = sandbox::resolve_delete(run, on, live).await?;
                Ok(looked.performed(|taken| match taken {
                    Taken::Gone => Event::Removed,
                    Taken::StillThere => Event::StillThere,
                }))
            }
            (Step::Note, State::Noting(finding)) => {
                note_drill(run, finding).await?;
                Ok(Performed::Event(Event::Noted))
            }
            (step, state) => Err(Error::internal(format!(
                "step {} in phase {}",
                Self::name(step),
                Self::phase(state)
            ))),
        }
    }
}

async fn begin(run: &Run) -> Result<Performed<Event>, Error> {
    if !record::is_planned(run).await? {
        return Ok(Performed::Event(Event::RecordChanged));
    }
    let inputs = &run.header.plan.inputs;
    let from = inputs.restore.as_ref().filter(|_| inputs.capture.is_none());
    if from.is_none() && inputs.capture.is_none() {
        return Err(Error::internal("a copy was allowed without a snapshot"));
    }
    let keep = inputs.asked.copy.as_ref().is_some_and(|copy| copy.keep);
    let from = from.map(|chosen| chosen.saved.clone());
    Ok(Performed::Event(Event::Begun { keep, from }))
}

/// What keeps failing is given up: before the copy is registered the safe direction is back.
async fn fill(
    run: &Run,
    on: &RecordName,
    step: RefillStep,
    state: &State,
) -> Result<Performed<Event>, Error> {
    let State::Filling { fresh, from, refill, .. } = state else {
        return Err(Error::internal("a copy is filled before it is there"));
    };
    if watch::is_gone(run, on, &fresh.live).await? {
        return Ok(Performed::Event(Event::Vanished));
    }
    let at = (on, &fresh.live);
    let filled = workspace::refill::<Copy>(run, step, at, from, refill).await?;
    Ok(match filled.map(Event::Refill) {
        Performed::Wait(why) => given_up(run, step, why),
        filled => filled,
    })
}

fn given_up(run: &Run, step: RefillStep, why: ParkReason) -> Performed<Event> {
    let waited = events::<Copy>(&run.rows())
        .map_or(0, |events| events.iter().filter(|event| event.outcome() == "parked").count());
    match (why, step) {
        (ParkReason::KeepsFailing(cause), RefillStep::Write) => {
            Performed::Event(Event::GaveUp(cause))
        }
        (ParkReason::KeepsFailing(cause), RefillStep::Compare)
            if !cause.may_pass() || waited >= MAX_WAITS =>
        {
            Performed::Event(Event::GaveUp(cause))
        }
        (_, RefillStep::Compare) if waited >= MAX_WAITS => {
            Performed::Event(Event::GaveUp(Cause::GatewayFailed))
        }
        (why, _) => Performed::Wait(why),
    }
}

/// Makes a record of the copy's own, by the way on which every record is made.
async fn register(
    run: &Run,
    on: &RecordName,
    live: &LiveId,
    proofs: &Proofs,
) -> Result<Performed<Event>, Error> {
    let mut source = run.world.registry.sandbox(run.target()).await?;
    if let Some(posture) = source.posture.as_mut() {
        let part = proofs.posture.as_ref().unwrap_or(&Part::NotApplicable);
        record::prove(posture, part, run.world.now().0);
    }
    let request_id = run.request_id("register", 1);
    Ok(match adopt::register(&run.world, on, live, source, request_id).await? {
        Registered::Done => Performed::Event(Event::Registered),
        Registered::Taken => Performed::Event(Event::GaveUp(Cause::AlreadyExists)),
        Registered::NotSeen(_) if watch::is_gone(run, on, live).await? => {
            Performed::Event(Event::Vanished)
        }
        Registered::NotSeen(why) => Performed::Wait(ParkReason::Undetermined(why)),
    })
}

/// Takes the copy away. Its id is the permit's only target.
async fn remove(run: &Run, on: &RecordName, live: &LiveId) -> Result<Performed<Event>, Error> {
    let tries = run.attempts::<Copy>("remove_copy") + 1;
    let effect = sandbox::delete(run, on, live, "remove_copy", tries).await?;
    Ok(match effect {
        Effect::Applied(()) => Performed::Event(Event::Removed),
        Effect::NotApplied(cause) if tries.is_multiple_of(MAX_REMOVALS) => {
            Performed::Wait(ParkReason::KeepsFailing(cause))
        }
        Effect::NotApplied(cause) | Effect::MaybeApplied(cause) => {
            Performed::Event(Event::RemoveDoubtful(cause))
        }
    })
}

/// Writes what a drill came to, and with it the snapshot that it took, if it took one.
async fn note_drill(run: &Run, finding: &Finding) -> Result<(), Error> {
    let events = events::<Copy>(&run.rows())?;
    let taken = events.iter().rev().find_map(Copy::taken);
    let chosen = run.header.plan.inputs.restore.as_ref().map(|chosen| &chosen.saved);
    let used = taken.or(chosen);
    let with_nonce = with_nonce(run, finding, taken, used).await?;
    let (passed, message) = match finding {
        Finding::Compared { data: Part::Restored { .. }, .. } => (true, came_back(with_nonce)),
        Finding::Compared { data, .. } => (false, data.detail()),
        Finding::Failed(why) => (false, why.to_string()),
    };
    let drill = pb::DrillResult {
        snapshot: used.map_or_else(String::new, |used| used.name.to_string()),
        time: Some(timestamp(run.world.now().0)),
        passed,
        with_nonce,
        message,
        recovery: run.name().to_string(),
    };
    note(run, taken.map(Tried::Saved), Some(drill)).await
}

fn came_back(with_nonce: bool) -> String {
    let nonce = if with_nonce { "the nonce was found" } else { "it bears no nonce" };
    format!("every file came back as it was captured, and {nonce}")
}

/// Whether a nonce was looked for: always in what was taken for this drill, and in another if its manifest names one.
async fn with_nonce(
    run: &Run,
    finding: &Finding,
    taken: Option<&Saved>,
    used: Option<&Saved>,
) -> Result<bool, Error> {
    let Finding::Compared { .. } = finding else { return Ok(false) };
    let (Some(used), None) = (used, taken) else { return Ok(taken.is_some()) };
    let Ok(adapter) = watch::adapter(run).await? else { return Ok(false) };
    Ok(matches!(adapter.nonce(&used.name).await, Ok(Some(_))))
}

fn recorded(run: &Run) -> LiveId {
    run.header.plan.inputs.live_id.clone().unwrap_or_else(|| LiveId(String::new()))
}
