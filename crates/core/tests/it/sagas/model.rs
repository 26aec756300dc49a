//! A saga at work on the small world: what the runner does, without the waiting.

use std::fmt::Debug;

use salvor_core::saga::{Cause, Ending, Next, ParkReason, Saga, fold, proofs::Proof, renews};
use salvor_core::{
    fact::Why,
    saga::{Part, Pending, proofs::ProofEvent},
};

use super::world::{Fault, World};

/// One saga's steps on the world, and what must be true of it.
pub(super) trait Model {
    type S: Saga<State: Eq + Debug, Event: Eq + Debug>;

    /// Steps of a run without a fault, and some more.
    const STEPS: usize = 9;

    /// The faults that differ to it.
    fn faults() -> Vec<Fault> {
        faults()
    }

    /// The worlds in which its plan would have been allowed.
    fn worlds() -> Vec<World>;

    /// One step. The state is the one after the intent.
    fn perform(
        world: &mut World,
        state: &State<Self>,
        step: Step<Self>,
        fault: Fault,
    ) -> Performed<Self>;

    /// What holds at every moment.
    fn check_always(world: &World);

    /// What holds at the end.
    fn check_end(before: &World, after: &World, ending: &Ending);
}

/// The faults that differ to every saga.
pub(super) fn faults() -> Vec<Fault> {
    let causes = [Cause::GatewayFailed, Cause::Invalid, Cause::AlreadyExists, Cause::NotFound];
    let mut faults = causes.map(Fault::Refuse).to_vec();
    faults.extend([
        Fault::DoubtYes(Cause::GatewayFailed),
        Fault::DoubtNot(Cause::GatewayFailed),
        Fault::Die,
        Fault::DieBefore,
        Fault::Blind(Why::Unavailable),
        Fault::Slow,
        Fault::RegistryDown,
        Fault::Stranger,
        Fault::Return,
        Fault::Vanish,
        Fault::Fail,
        Fault::Edit,
        Fault::Cancel,
    ]);
    faults
}

pub(super) type State<M> = <<M as Model>::S as Saga>::State;
pub(super) type Event<M> = <<M as Model>::S as Saga>::Event;
pub(super) type Step<M> = <<M as Model>::S as Saga>::Step;

/// What a step came to: an event, or a reason to wait.
pub(super) type Performed<M> = Result<Event<M>, ParkReason>;

/// A proof says what it found; it never stops the recovery.
pub(super) fn prove(proof: Proof, fault: Fault) -> ProofEvent {
    let part = match fault {
        Fault::Refuse(_) => Part::Pending(vec![Pending::PolicyDiffers]),
        Fault::DoubtYes(_) | Fault::DoubtNot(_) => Part::Unproven(Why::DeadlineExceeded),
        Fault::Blind(why) => Part::Unproven(why),
        _ => Part::Proven,
    };
    ProofEvent::Established(proof, part)
}

/// A look, which may determine nothing.
pub(super) const fn look(fault: Fault) -> Result<(), ParkReason> {
    match fault {
        Fault::Blind(why) => Err(ParkReason::Undetermined(why)),
        _ => Ok(()),
    }
}

/// A write to the registry.
pub(super) const fn write(fault: Fault) -> Result<(), ParkReason> {
    match fault {
        Fault::RegistryDown => Err(ParkReason::RegistryUnavailable),
        _ => Ok(()),
    }
}

/// One recovery, its journal, and every moment at which a crash could have left it.
pub(super) struct Run<M: Model> {
    pub(super) world: World,
    pub(super) journal: Vec<Event<M>>,
    state: State<M>,
    /// The process that was at work is gone.
    dead: bool,
    /// The world at some time, and how much of the journal was written then.
    pub(super) moments: Vec<(usize, World)>,
}

/// More than any recovery needs once nothing goes wrong any more: three attempts of two steps, and the way out.
const STEPS_WHEN_CALM: usize = 60;

impl<M: Model> Run<M> {
    pub(super) fn new(world: World) -> Self {
        Self::resume(world, Vec::new())
    }

    /// Goes on from a journal, as after a crash.
    pub(super) fn resume(world: World, journal: Vec<Event<M>>) -> Self {
        let state = fold::<M::S>(&journal).expect("a prefix of a journal is a journal");
        let moments = vec![(journal.len(), world.clone())];
        let dead = !journal.is_empty();
        Self { world, journal, state, dead, moments }
    }

    /// Another process, or the same one after a wait: what it journals first, and what has happened meanwhile.
    fn take_up(&mut self) {
        self.dead = false;
        self.world.live_on();
        if matches!(M::S::next(&self.state), Next::Park(_)) {
            self.write(M::S::resumed());
        }
        if let Some(void) = M::S::taken_up(&self.state) {
            self.write(void);
        }
    }

    /// Runs through the faults, one a step, and then without any to the end.
    pub(super) fn finish(&mut self, script: &[Fault]) -> Ending {
        for fault in script {
            if let Some(ending) = self.advance(*fault) {
                return ending;
            }
        }
        for _ in 0..STEPS_WHEN_CALM {
            if let Some(ending) = self.advance(Fault::None) {
                return ending;
            }
        }
        panic!("it does not end: {:?}", self.journal);
    }

    fn advance(&mut self, fault: Fault) -> Option<Ending> {
        if self.dead {
            self.take_up();
        }
        let step = match M::S::next(&self.state) {
            Next::Finished(ending) => return Some(ending),
            Next::Park(_) => {
                self.take_up();
                return None;
            }
            Next::Do(step) | Next::Compensate(step) => step,
        };
        self.world.disturb(fault);
        if fault == Fault::Cancel && M::S::apply(self.state.clone(), &M::S::cancelled()).is_ok() {
            self.write(M::S::cancelled());
            return None;
        }
        if let Some(intent) = M::S::intent(&self.state, step) {
            self.write(intent);
        }
        self.dead = matches!(fault, Fault::Die | Fault::DieBefore);
        if fault == Fault::DieBefore {
            return None;
        }
        let performed = M::perform(&mut self.world, &self.state, step, fault);
        M::check_always(&self.world);
        self.moments.push((self.journal.len(), self.world.clone()));
        if fault != Fault::Die {
            self.write(performed.unwrap_or_else(M::S::parked));
        }
        None
    }

    fn write(&mut self, event: Event<M>) {
        let next = M::S::apply(self.state.clone(), &event);
        self.state = next.unwrap_or_else(|illegal| panic!("{illegal} after {:?}", self.journal));
        self.world.round += u32::from(renews(&event));
        self.journal.push(event);
        self.moments.push((self.journal.len(), self.world.clone()));
    }
}
