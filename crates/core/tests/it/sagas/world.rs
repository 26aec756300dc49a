//! A gateway and a registry small enough to enumerate: what bears the name, and what the record says.

use salvor_core::{
    fact::Why,
    saga::{Cause, Effect},
};

/// Whose sandbox it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The incarnation that the record speaks of when the plan is made.
    Recorded,
    /// Created by this recovery, and stamped.
    Ours,
    /// Somebody else's.
    Stranger,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Stopped,
    Starting,
    Ready,
    Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sandbox {
    pub(super) id: u32,
    pub(super) owner: Owner,
    pub(super) phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Active,
    Held,
    Tombstone,
}

/// The record, and the verbatim copy that a claim takes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) mark: Mark,
    pub(super) live: u32,
    pub(super) content: u64,
}

/// Everything outside of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct World {
    /// What bears the name. More than one only where `unique` is not.
    pub(super) holders: Vec<Sandbox>,
    /// Whether the gateway itself refuses a second create. If not, only the saga's own care prevents it.
    pub(super) unique: bool,
    pub(super) record: Record,
    entry: Option<Record>,
    /// What a plan was made for; an edit since then is a lost claim.
    planned: u64,
    /// What the saga deleted.
    pub(super) deleted: Vec<Sandbox>,
    /// What the saga created.
    pub(super) created: u32,
    /// Whether something outside took the recorded sandbox away.
    pub(super) taken: bool,
    next_id: u32,
}

/// One thing that goes wrong at one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// The effect is refused and changes nothing.
    Refuse(Cause),
    /// The effect takes place and its answer is lost.
    DoubtYes(Cause),
    /// The effect does not take place, and nobody knows.
    DoubtNot(Cause),
    /// The process dies after the effect, before its outcome is written.
    Die,
    /// The process dies after the intent, before the effect.
    DieBefore,
    /// A look determines nothing.
    Blind(Why),
    /// It takes too long to become ready.
    Slow,
    /// The registry cannot be written.
    RegistryDown,
    /// Somebody else takes the free name.
    Stranger,
    /// The recorded sandbox comes back under the free name.
    Return,
    /// What is not live yet is lost.
    Vanish,
    /// What is not live yet fails.
    Fail,
    /// Somebody edits the record, unless it is held.
    Edit,
    /// Somebody asks to go back.
    Cancel,
}

pub(super) const RECORDED: u32 = 1;

// === impl World ===

impl World {
    pub(super) fn new(recorded: Option<Phase>, unique: bool) -> Self {
        let holder = |phase| Sandbox { id: RECORDED, owner: Owner::Recorded, phase };
        Self {
            holders: recorded.map(holder).into_iter().collect(),
            unique,
            record: Record { mark: Mark::Active, live: RECORDED, content: 7 },
            entry: None,
            planned: 7,
            deleted: Vec::new(),
            created: 0,
            taken: false,
            next_id: RECORDED + 1,
        }
    }

    pub(super) fn by_id(&mut self, id: u32) -> Option<&mut Sandbox> {
        self.holders.iter_mut().find(|sandbox| sandbox.id == id)
    }

    pub(super) fn owned_by(&self, owner: Owner) -> Option<Sandbox> {
        self.holders.iter().copied().find(|sandbox| sandbox.owner == owner)
    }

    pub(super) fn count(&self, owner: Owner) -> usize {
        self.holders.iter().filter(|sandbox| sandbox.owner == owner).count()
    }

    /// What happens around a step rather than in it.
    pub(super) fn disturb(&mut self, fault: Fault) {
        let free = self.holders.is_empty();
        match fault {
            Fault::Stranger if free => self.appear(Owner::Stranger, Phase::Ready),
            Fault::Return if free && !self.taken && self.deleted.is_empty() => {
                let phase = Phase::Ready;
                self.holders.push(Sandbox { id: RECORDED, owner: Owner::Recorded, phase });
            }
            Fault::Vanish => {
                let lost = |s: &Sandbox| s.owner != Owner::Stranger && s.phase != Phase::Ready;
                self.taken |= self.holders.iter().any(|s| lost(s) && s.owner == Owner::Recorded);
                self.holders.retain(|sandbox| !lost(sandbox));
            }
            Fault::Fail => {
                for sandbox in self.holders.iter_mut().filter(|s| s.phase == Phase::Starting) {
                    sandbox.phase = Phase::Error;
                }
            }
            Fault::Edit if self.record.mark == Mark::Active => self.record.content += 1,
            _ => {}
        }
    }

    fn appear(&mut self, owner: Owner, phase: Phase) {
        self.holders.push(Sandbox { id: self.next_id, owner, phase });
        self.next_id += 1;
    }

    // --- the gateway's methods ---

    pub(super) fn create(&mut self, fault: Fault) -> Effect<u32> {
        self.effect(fault, |world| {
            if world.unique && !world.holders.is_empty() {
                return Err(Cause::AlreadyExists);
            }
            world.created += 1;
            world.appear(Owner::Ours, Phase::Starting);
            Ok(world.next_id - 1)
        })
    }

    pub(super) fn delete(&mut self, id: u32, fault: Fault) -> Effect<()> {
        self.effect(fault, |world| {
            let found = world.by_id(id).copied();
            let Some(sandbox) = found else { return Err(world.why_not()) };
            world.deleted.push(sandbox);
            world.holders.retain(|other| other.id != id);
            Ok(())
        })
    }

    pub(super) fn start(&mut self, id: u32, fault: Fault) -> Effect<()> {
        self.effect(fault, |world| {
            let why_not = world.why_not();
            let sandbox = world.by_id(id).ok_or(why_not)?;
            if matches!(sandbox.phase, Phase::Stopped | Phase::Error) {
                sandbox.phase = Phase::Starting;
            }
            Ok(())
        })
    }

    fn why_not(&self) -> Cause {
        if self.holders.is_empty() { Cause::NotFound } else { Cause::OtherIncarnation }
    }

    fn effect<T>(
        &mut self,
        fault: Fault,
        act: impl FnOnce(&mut Self) -> Result<T, Cause>,
    ) -> Effect<T> {
        match fault {
            Fault::Refuse(cause) => Effect::NotApplied(cause),
            Fault::DoubtNot(cause) => Effect::MaybeApplied(cause),
            Fault::DoubtYes(cause) => {
                // The answer, whatever it was, is what got lost.
                let _ = act(self);
                Effect::MaybeApplied(cause)
            }
            _ => match act(self) {
                Ok(value) => Effect::Applied(value),
                Err(cause) => Effect::NotApplied(cause),
            },
        }
    }

    // --- the registry's methods: compare-and-swap, so that doing them again is seen as done ---

    /// Whether the record is held by this recovery now.
    pub(super) fn claim(&mut self) -> bool {
        match self.record.mark {
            Mark::Held => true,
            Mark::Active if self.record.content == self.planned => {
                self.entry = Some(self.record.clone());
                self.record.mark = Mark::Held;
                true
            }
            Mark::Active | Mark::Tombstone => false,
        }
    }

    pub(super) fn commit(&mut self, live: u32) {
        if self.record.mark == Mark::Held {
            self.record.mark = Mark::Active;
            self.record.live = live;
        }
    }

    pub(super) fn bury(&mut self) {
        if self.record.mark == Mark::Held {
            self.record.mark = Mark::Tombstone;
        }
    }

    pub(super) fn restore(&mut self) {
        if self.record.mark == Mark::Held {
            self.record = self.entry.clone().expect("a claim took a copy");
        }
    }
}
