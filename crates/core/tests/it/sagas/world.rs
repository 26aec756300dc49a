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
    /// What is in its workspace. Whatever is written is a number that nothing had before.
    pub(super) files: u32,
}

/// What the host's runtime holds although the gateway has lost it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) running: bool,
    pub(super) files: u32,
}

/// A snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shot {
    pub(super) id: u32,
    pub(super) files: u32,
    pub(super) complete: bool,
}

/// What a plan says of the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// It is read first.
    pub(super) capture: bool,
    /// This one is put back, unless what is read takes its place.
    pub(super) restore: Option<Shot>,
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
    /// Whether something outside took a live one of the saga's away.
    pub(super) lost: bool,
    pub(super) plan: Plan,
    pub(super) container: Option<Container>,
    /// The repository.
    pub(super) repo: Vec<Shot>,
    /// The adapter's finished work: it answers a request that it knows with what came of it.
    finished: Vec<(String, Shot)>,
    /// How often what was asked for before became of another time.
    pub(super) round: u32,
    /// Whether the record says what came of it, and what that is.
    pub(super) noted: Option<bool>,
    /// The copy that has a record of its own.
    pub(super) registered: Option<u32>,
    next_files: u32,
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
    /// Something cannot be read, or be written.
    Gap,
    /// What is in the repository is not what was put there.
    Damage,
    /// What the saga made and is live is lost.
    Lose,
    /// The agent of the recorded sandbox writes.
    Write,
    /// The agent of what the saga made writes over what was put back.
    Overwrite,
}

pub(super) const RECORDED: u32 = 1;

// === impl World ===

impl World {
    pub(super) fn new(recorded: Option<Phase>, unique: bool) -> Self {
        let holder = |phase| Sandbox { id: RECORDED, owner: Owner::Recorded, phase, files: 5 };
        Self {
            holders: recorded.map(holder).into_iter().collect(),
            unique,
            record: Record { mark: Mark::Active, live: RECORDED, content: 7 },
            entry: None,
            planned: 7,
            deleted: Vec::new(),
            created: 0,
            taken: false,
            lost: false,
            plan: Plan { capture: false, restore: None },
            container: None,
            repo: Vec::new(),
            finished: Vec::new(),
            round: 0,
            noted: None,
            registered: None,
            next_files: 6,
            next_id: RECORDED + 1,
        }
    }

    /// The same, with what a plan says of the workspace; a snapshot to put back is in the repository.
    pub(super) fn planned(mut self, capture: bool, restore: Option<u32>) -> Self {
        let shot = |files| Shot { id: 0, files, complete: true };
        self.plan = Plan { capture, restore: restore.map(shot) };
        self.repo = self.plan.restore.into_iter().collect();
        self
    }

    /// The same, with a container that the gateway has lost.
    pub(super) fn left(mut self, running: bool) -> Self {
        self.container = Some(Container { running, files: 5 });
        self
    }

    /// Time passes: no process of salvor's is there, agents are at work, and whoever had taken the name goes away.
    pub(super) fn live_on(&mut self) {
        self.write(Owner::Recorded);
        for container in self.container.iter_mut().filter(|container| container.running) {
            container.files = self.next_files;
        }
        self.holders.retain(|sandbox| sandbox.owner != Owner::Stranger);
    }

    /// Agents write.
    pub(super) fn write(&mut self, owner: Owner) {
        self.next_files += 1;
        let live = |s: &&mut Sandbox| s.owner == owner && s.phase == Phase::Ready;
        for sandbox in self.holders.iter_mut().filter(live) {
            sandbox.files = self.next_files;
        }
    }

    /// All but what was in files, and what snapshots were taken of it: those may differ from one way to the other.
    pub(super) fn shape(&self) -> impl PartialEq + std::fmt::Debug + use<> {
        let bare =
            |all: &[Sandbox]| -> Vec<_> { all.iter().map(|s| (s.id, s.owner, s.phase)).collect() };
        let running = self.container.map(|container| container.running);
        (bare(&self.holders), self.record.clone(), bare(&self.deleted), self.created, running)
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
                let (phase, files) = (Phase::Ready, 5);
                self.holders.push(Sandbox { id: RECORDED, owner: Owner::Recorded, phase, files });
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
            Fault::Lose => {
                let live = |s: &Sandbox| s.owner == Owner::Ours && s.phase == Phase::Ready;
                self.lost |= self.holders.iter().any(live);
                self.holders.retain(|sandbox| !live(sandbox));
            }
            Fault::Write => self.write(Owner::Recorded),
            Fault::Edit if self.record.mark == Mark::Active => self.record.content += 1,
            _ => {}
        }
    }

    fn appear(&mut self, owner: Owner, phase: Phase) {
        self.holders.push(Sandbox { id: self.next_id, owner, phase, files: 0 });
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

    /// Deletes the recorded one on condition that its files are those of a snapshot.
    pub(super) fn delete_unchanged(&mut self, taken: Shot, fault: Fault) -> Effect<()> {
        let changed = self.by_id(RECORDED).is_some_and(|sandbox| sandbox.files != taken.files);
        if changed {
            return self.effect(fault, |_| Err(Cause::WorkspaceChanged));
        }
        self.delete(RECORDED, fault)
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

    // --- the adapter's own methods ---

    /// Reads what is at `files` into the repository.
    pub(super) fn snapshot(&mut self, request: &str, files: u32, fault: Fault) -> Effect<Shot> {
        self.effect(fault, |world| {
            if let Some((_, shot)) = world.finished.iter().find(|(known, _)| known == request) {
                return Ok(*shot);
            }
            let id = u32::try_from(world.repo.len()).expect("small") + 1;
            let shot = Shot { id, files, complete: fault != Fault::Gap };
            world.repo.push(shot);
            world.finished.push((request.to_owned(), shot));
            Ok(shot)
        })
    }

    /// Writes a snapshot into a sandbox.
    pub(super) fn refill(&mut self, id: u32, shot: Shot, fault: Fault) -> Effect<()> {
        self.effect(fault, |world| {
            let why_not = world.why_not();
            let sandbox = world.by_id(id).ok_or(why_not)?;
            sandbox.files = if fault == Fault::Gap { u32::MAX } else { shot.files };
            Ok(())
        })
    }

    pub(super) fn stop_container(&mut self, fault: Fault) -> Effect<()> {
        self.effect(fault, |world| {
            world.container.as_mut().ok_or(Cause::NotFound)?.running = false;
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

    /// Whether the record is the one that the plan was made from.
    pub(super) const fn is_planned(&self) -> bool {
        self.record.content == self.planned
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
