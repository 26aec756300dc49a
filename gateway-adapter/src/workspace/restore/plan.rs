//! What a restore does, decided before any of it is done. Pure.
//!
//! Invariants: nothing that is left out by rule is taken away; whatever is written comes with an
//! entry for each directory on its way, so that a link planted there is replaced and not followed;
//! directories that are only passed keep what they are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::workspace::compare::State;
use crate::workspace::notes::{Notes, shown};
use crate::workspace::sides::{Held, Live};
use crate::workspace::{Entry, Kind, Reason};

/// How entries are put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The scope holds what the snapshot holds.
    Replace,
    /// What does not exist is written.
    SkipExisting,
    /// Nothing but config files.
    MergeConfig,
}

/// What a restore or a comparison is about, by the index of the snapshot's entries.
#[derive(Debug)]
pub(crate) struct Scope {
    /// Below the paths that were asked for.
    pub inside: Vec<bool>,
    /// Config files that are merged.
    pub configs: BTreeSet<usize>,
    /// All declared ones: what the snapshot does not hold of them is the runtime's alone.
    pub declared: BTreeSet<PathBuf>,
}

/// One entry of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// Of the snapshot's, with its content.
    Held(usize),
    /// Of the snapshot's, as another name of an earlier one.
    Link(usize, usize),
    /// A directory as it should be: one that is passed.
    Passed(Box<Entry>),
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// What is taken away, with all that is below it.
    pub remove: Vec<PathBuf>,
    /// Indices of the sandbox's entries that are gone then.
    pub removed: Vec<usize>,
    /// What has to be there, and writable, before anything else is written.
    pub prepare: BTreeMap<PathBuf, Item>,
    /// What is written.
    pub write: BTreeMap<PathBuf, Item>,
    /// The snapshot's entries among them.
    pub wanted: BTreeSet<usize>,
    /// Config files to be merged.
    pub merge: Vec<usize>,
    /// Entries that stay as they are, since they are right or exist.
    pub skipped: u64,
    /// What cannot be written.
    pub failures: Notes,
}

struct Planner<'a> {
    held: &'a Held,
    live: &'a Live,
    scope: &'a Scope,
    roots: &'a [PathBuf],
    mode: Mode,
    plan: Plan,
}

// === impl Item ===

impl Item {
    /// The directory that it is.
    pub(crate) fn directory<'a>(&'a self, held: &'a Held) -> Option<&'a Entry> {
        let entry = match self {
            Self::Held(index) | Self::Link(index, _) => &held.tree.entries()[*index],
            Self::Passed(entry) => entry,
        };
        entry.is_directory().then_some(entry)
    }
}

// === impl Scope ===

impl Scope {
    /// `paths`: empty means all.
    pub(crate) fn new(held: &Held, paths: &[PathBuf], configs: &[PathBuf]) -> Self {
        let entries = held.tree.entries();
        let inside = entries.iter().map(|entry| covers(paths, &entry.path)).collect::<Vec<_>>();
        let declared = configs.iter().cloned().collect();
        let configs = configs.iter().filter_map(|path| held.tree.index(path));
        let configs = configs.filter(|index| inside[*index]).collect();
        Self { inside, configs, declared }
    }

    /// The files whose content counts.
    pub(crate) fn files(&self, held: &Held, mode: Mode) -> Vec<usize> {
        let is_file = |index: &usize| held.tree.entries()[*index].kind == Kind::File;
        let all = (0..self.inside.len()).filter(|index| self.inside[*index]).filter(is_file);
        all.filter(|index| mode != Mode::MergeConfig || self.configs.contains(index)).collect()
    }

    /// What stays or goes with the snapshot's word: not what is in the snapshot, is left out by rule,
    /// is a root, or was not asked for.
    pub(crate) fn surplus<'a>(
        &'a self,
        held: &'a Held,
        live: &'a Live,
        (roots, paths): (&'a [PathBuf], &'a [PathBuf]),
    ) -> impl Iterator<Item = &'a Entry> {
        let stays = move |(index, entry): &(usize, &Entry)| {
            let path = entry.path.as_path();
            let declared = self.declared.iter().any(|config| config.starts_with(path));
            live.left[*index]
                || declared
                || held.tree.get(path).is_some()
                || !covers(paths, path)
                || roots.iter().any(|root| root == path)
                || live.is_guarded(path)
        };
        let all = live.tree.entries().iter().enumerate();
        all.filter(move |found| !stays(found)).map(|(_, entry)| entry)
    }

    /// The indices that are compared as wholes.
    pub(crate) fn plain(&self) -> Vec<usize> {
        let inside = (0..self.inside.len()).filter(|index| self.inside[*index]);
        inside.filter(|index| !self.configs.contains(index)).collect()
    }
}

/// Whether one of the paths is this one or leads to it.
pub(crate) fn covers(paths: &[PathBuf], path: &Path) -> bool {
    paths.is_empty() || paths.iter().any(|asked| path.starts_with(asked))
}

impl Plan {
    /// Decides. `states`: as found by comparing all of the scope.
    pub(crate) fn new(
        (held, live): (&Held, &Live),
        scope: &Scope,
        states: &[State],
        (mode, roots, paths): (Mode, &[PathBuf], &[PathBuf]),
    ) -> Self {
        let mut planner = Planner { held, live, scope, roots, mode, plan: Self::default() };
        match mode {
            Mode::Replace => {
                planner.replace(states);
                planner.take_away(paths);
            }
            Mode::SkipExisting => planner.add(states),
            Mode::MergeConfig => planner.plan.merge.extend(&scope.configs),
        }
        planner.link();
        planner.pass();
        planner.plan
    }
}

// === impl Planner ===

impl<'a> Planner<'a> {
    fn entry(&self, index: usize) -> &'a Entry {
        &self.held.tree.entries()[index]
    }

    fn replace(&mut self, states: &[State]) {
        for index in (0..states.len()).filter(|index| self.scope.inside[*index]) {
            let entry = self.entry(index);
            if self.scope.configs.contains(&index) {
                self.plan.merge.push(index);
                continue;
            }
            if matches!(entry.kind, Kind::Socket | Kind::Device) {
                continue;
            }
            if states[index] == State::Same {
                self.plan.skipped += 1;
                continue;
            }
            if let Some(found) = self.live.tree.get(&entry.path)
                && found.is_directory() != entry.is_directory()
                && !self.make_room(entry)
            {
                continue;
            }
            self.want(index);
        }
    }

    /// Takes away what is of another type. Whether it may.
    fn make_room(&mut self, entry: &Entry) -> bool {
        let path = entry.path.as_path();
        if self.live.is_guarded(path) {
            let detail = "is a directory there, with entries that snapshots leave out";
            self.plan.failures.note(path, Reason::Unwritable, detail);
            return false;
        }
        self.remove(path);
        true
    }

    fn remove(&mut self, path: &Path) {
        let live = self.live;
        self.plan.removed.extend(live.tree.index(path));
        self.plan.removed.extend(live.tree.below(path));
        self.plan.remove.push(path.to_owned());
    }

    /// What the snapshot does not hold.
    fn take_away(&mut self, paths: &[PathBuf]) {
        let gone: BTreeSet<PathBuf> = self.plan.remove.iter().cloned().collect();
        let mut covered: Option<&Path> = None;
        for entry in self.scope.surplus(self.held, self.live, (self.roots, paths)) {
            let path = entry.path.as_path();
            let goes_anyway = covered.is_some_and(|above| path.starts_with(above))
                || path.ancestors().any(|above| gone.contains(above));
            if !goes_anyway {
                self.remove(path);
                covered = Some(path);
            }
        }
    }

    fn add(&mut self, states: &[State]) {
        for index in (0..states.len()).filter(|index| self.scope.inside[*index]) {
            let entry = self.entry(index);
            if matches!(entry.kind, Kind::Socket | Kind::Device) {
                continue;
            }
            match &states[index] {
                State::Absent if self.scope.configs.contains(&index) => {
                    self.plan.merge.push(index);
                }
                State::Absent => self.want(index),
                State::Unknown(why) if self.live.tree.get(&entry.path).is_none() => {
                    self.plan.failures.note(&entry.path, Reason::Unreadable, why.clone());
                }
                State::Same | State::Different(_) | State::Unknown(_) => self.plan.skipped += 1,
            }
        }
    }

    /// Wants an entry, if all on the way to it is, or will be, a directory.
    fn want(&mut self, index: usize) {
        let entry = self.entry(index);
        let blocked = entry.path.ancestors().skip(1).find(|above| {
            let present = self.live.tree.get(above).is_some_and(|found| !found.is_directory());
            present && !self.plan.remove.iter().any(|path| path == above)
        });
        if let Some(blocked) = blocked {
            let detail = format!("{} is no directory there", shown(blocked));
            self.plan.failures.note(&entry.path, Reason::Unwritable, detail);
            return;
        }
        self.plan.wanted.insert(index);
        self.plan.write.insert(entry.path.clone(), Item::Held(index));
    }

    /// Files with several names are sent once for each root, and then linked: if one of them has to
    /// be written, so have the others.
    fn link(&mut self) {
        let leaders = self.held.tree.leaders();
        let root = |path: &Path| self.roots.iter().position(|root| path.starts_with(root));
        let mut groups: HashMap<(&Path, Option<usize>), Vec<usize>> = HashMap::new();
        for (path, leader) in &leaders {
            let index = self.held.tree.index(path);
            groups.entry((leader, root(path))).or_default().extend(index);
        }
        for mut group in groups.into_values() {
            group.sort_unstable();
            let wanted = group.iter().filter(|index| self.plan.wanted.contains(index)).count();
            // What exists is not replaced when only what is missing is written.
            if wanted > 0 && wanted < group.len() && self.replaces() {
                for index in &group {
                    if self.scope.inside[*index]
                        && !self.scope.configs.contains(index)
                        && self.plan.wanted.insert(*index)
                    {
                        self.plan.skipped = self.plan.skipped.saturating_sub(1);
                    }
                }
            }
            let mut names = group.into_iter().filter(|index| self.plan.wanted.contains(index));
            let Some(first) = names.next() else { continue };
            self.plan.write.insert(self.entry(first).path.clone(), Item::Held(first));
            for index in names {
                self.plan.write.insert(self.entry(index).path.clone(), Item::Link(index, first));
            }
        }
    }

    /// The directories on the way to all that is touched.
    fn pass(&mut self) {
        let merged = self.plan.merge.iter().map(|index| self.entry(*index).path.clone());
        let merged: Vec<PathBuf> = merged.collect();
        let written = self.plan.write.keys().chain(&merged).cloned().collect::<Vec<_>>();
        let mut passed = BTreeSet::new();
        for path in written.iter().chain(&self.plan.remove) {
            for above in path.ancestors().skip(1).take_while(|above| self.is_below_root(above)) {
                if !passed.insert(above.to_owned()) {
                    break;
                }
            }
        }
        for path in &passed {
            if !self.plan.write.contains_key(path)
                && let Some(item) = self.passed(path)
            {
                self.plan.write.insert(path.clone(), item);
            }
        }
        let parents = written.iter().filter_map(|path| path.parent()).map(Path::to_owned);
        let parents: BTreeSet<PathBuf> = parents.collect();
        for path in parents {
            let closed = self.live.tree.get(&path).filter(|entry| entry.mode & 0o300 != 0o300);
            let missing = closed.is_none()
                && self.live.tree.get(&path).is_none()
                && merged.iter().any(|merged| merged.parent() == Some(path.as_path()));
            if closed.is_some_and(Entry::is_directory) || missing {
                self.prepare(&path);
            }
        }
    }

    /// Opens a directory to its owner, or makes it, with all above it.
    fn prepare(&mut self, path: &Path) {
        let roots = self.roots;
        let is_below = |path: &&Path| roots.iter().any(|root| path.starts_with(root));
        for above in path.ancestors().take_while(is_below) {
            let found = self.live.tree.get(above).filter(|entry| entry.is_directory());
            let entry = found.or_else(|| self.held.tree.get(above));
            if let Some(entry) = entry {
                let mut entry = entry.clone();
                entry.mode |= if above == path { 0o700 } else { 0 };
                self.plan.prepare.entry(above.to_owned()).or_insert(Item::Passed(Box::new(entry)));
            }
        }
    }

    /// A directory that is passed: the snapshot's if it is asked for, else the sandbox's if there is
    /// one.
    fn passed(&self, path: &Path) -> Option<Item> {
        let held = self.held.tree.index(path);
        let asked = held.filter(|index| self.scope.inside[*index] && self.replaces());
        if let Some(index) = asked {
            return Some(Item::Held(index));
        }
        let found = self.live.tree.get(path).filter(|entry| entry.is_directory());
        found.map(|entry| Item::Passed(Box::new(entry.clone()))).or_else(|| held.map(Item::Held))
    }

    fn replaces(&self) -> bool {
        self.mode == Mode::Replace
    }

    fn is_below_root(&self, path: &Path) -> bool {
        self.roots.iter().any(|root| path.starts_with(root))
    }
}

#[cfg(test)]
mod tests;
