//! The revive on the small world.

use salvor_core::{
    id::LiveId,
    saga::{
        Effect, Ending, Failed, ParkReason, Part,
        revive::{Event, Revive, State, Step},
    },
};

use crate::sagas::{
    model::{Model, Performed, look, prove, write},
    world::{Fault, Mark, Owner, Phase, RECORDED, World},
};

pub(in crate::sagas) struct Reviving;

impl Model for Reviving {
    type S = Revive;

    fn worlds() -> Vec<World> {
        [Phase::Stopped, Phase::Error].map(|phase| World::new(Some(phase), true)).into()
    }

    fn perform(world: &mut World, state: &State, step: Step, fault: Fault) -> Performed<Self> {
        match (step, state) {
            (Step::Claim, _) => {
                write(fault)?;
                let (etag, entry) = ("8".to_owned(), "sealed".to_owned());
                Ok(if world.claim() { Event::Claimed { etag, entry } } else { Event::ClaimLost })
            }
            (Step::Start, _) => Ok(match world.start(RECORDED, fault) {
                Effect::Applied(()) => Event::Started,
                Effect::NotApplied(cause) => Event::StartRefused(cause),
                Effect::MaybeApplied(cause) => Event::StartDoubtful(cause),
            }),
            (Step::ResolveStart, _) => {
                look(fault)?;
                let missing = missing(world);
                Ok(match world.by_id(RECORDED).map(|sandbox| sandbox.phase) {
                    None => missing,
                    Some(Phase::Stopped | Phase::Error) => Event::NotStarted,
                    Some(Phase::Starting | Phase::Ready) => Event::Started,
                })
            }
            (Step::AwaitReady, _) => look(fault).and_then(|()| await_ready(world, fault)),
            (Step::Prove(proof), _) => Ok(Event::Proof(prove(proof, fault))),
            (Step::Commit, State::Proving { .. }) => {
                write(fault)?;
                world.commit(RECORDED);
                Ok(Event::Committed)
            }
            (Step::RestoreRecord, _) => {
                write(fault)?;
                world.restore();
                Ok(Event::RecordRestored)
            }
            (step, state) => panic!("{step:?} in {state:?}"),
        }
    }

    fn check_always(world: &World) {
        assert_eq!((world.created, world.deleted.len()), (0, 0), "a revive only starts");
        assert_eq!(world.record.live, RECORDED);
    }

    fn check_end(_: &World, after: &World, ending: &Ending) {
        assert_eq!(after.record.mark, Mark::Active);
        match ending {
            Ending::Done(parts) => {
                let recorded = after.owned_by(Owner::Recorded).expect("it is live");
                assert_eq!((recorded.id, recorded.phase), (RECORDED, Phase::Ready));
                assert_eq!(parts.live_id, Some(LiveId(RECORDED.to_string())));
                assert_eq!(parts.data, Part::Kept);
            }
            Ending::RolledBack(_) => {
                assert_eq!(after.count(Owner::Recorded), usize::from(!after.taken), "{after:?}");
            }
        }
    }
}

fn missing(world: &World) -> Event {
    let stranger = world.owned_by(Owner::Stranger);
    stranger.map_or(Event::Gone, |s| Event::Stranger(LiveId(s.id.to_string())))
}

fn await_ready(world: &mut World, fault: Fault) -> Result<Event, ParkReason> {
    let missing = missing(world);
    let Some(sandbox) = world.by_id(RECORDED) else { return Ok(missing) };
    if sandbox.phase == Phase::Error {
        return Ok(Event::FailedAgain(Failed { reason: "Boom".to_owned(), exit_code: None }));
    }
    if fault == Fault::Slow {
        return Err(ParkReason::NotReadyInTime);
    }
    sandbox.phase = Phase::Ready;
    Ok(Event::BecameReady {
        live: LiveId(RECORDED.to_string()),
        spec: Part::Proven,
        providers: Part::Proven,
    })
}
