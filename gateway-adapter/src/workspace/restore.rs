//! Writing a snapshot into a workspace.
//!
//! In this order: the snapshot's entries, the sandbox's, all content that is to be restored (read to
//! its end, so that an altered snapshot is refused before anything is touched), the plan; then
//! removals, config files, everything else; then both are looked at again. What a report says was
//! written is what that second look found. Can be done twice: what is right already is not sent
//! again, and nothing depends on what an earlier try left.
//!
//! Deliberately absent: leave to do it, and which snapshot.

mod config;
mod plan;
mod report;
mod send;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use salvor_proto::Error;
use salvor_proto::gateway::v1 as pb;

use super::compare::{self, State};
use super::notes::shown;
use super::rules::Rules;
use super::sides::{Held, Live, Stopped, note};
use super::{Entry, Note, Reason, Writer};
use crate::operations::Handle;
use crate::store::{SnapshotId, Store};

use config::Placing;
pub(crate) use config::{Config, sides as config_sides};
pub(crate) use plan::{Mode, Scope};

use plan::Plan;

use report::Outcome;
use send::How;

/// What is to be restored, or compared.
#[derive(Debug)]
pub(crate) struct Task {
    /// Which snapshot: complete, and of this sandbox.
    pub id: SnapshotId,
    /// What it was taken by.
    pub rules: Rules,
    /// How.
    pub mode: Mode,
    /// Config files with two owners.
    pub configs: Vec<Config>,
    /// Empty means all.
    pub paths: Vec<PathBuf>,
}

/// Leave to touch the sandbox, asked for right before each time.
pub(crate) trait Gate: Send + Sync {
    /// Whether it may still be touched, and is still the one that is meant.
    ///
    /// # Errors
    /// It must not be.
    fn check(&self) -> impl Future<Output = Result<(), Stopped>> + Send;
}

/// One restore at work.
struct Restore<'a, C, G> {
    channel: &'a C,
    gate: &'a G,
    store: &'a Store,
    task: &'a Task,
    handle: &'a Handle,
    held: Arc<Held>,
    scope: Scope,
}

/// What was done, before it was looked at.
#[derive(Default)]
struct Done {
    /// What the channel complained of.
    notes: Vec<Note>,
    merged: Vec<pb::MergedConfig>,
    /// Config files that were put in place, with what should be in them.
    placed: BTreeMap<PathBuf, Bytes>,
    /// Config files that are right already.
    right: u64,
    /// Whether anything was sent.
    touched: bool,
}

/// How the sandbox was found at the end.
struct Seen {
    live: Live,
    states: Vec<State>,
    /// Config files that are not as they were put there.
    wrong: Vec<Note>,
}

/// Restores. An error means that nothing was touched.
pub(crate) async fn restore<C: Writer, G: Gate>(
    (channel, gate): (&C, &G),
    store: &Store,
    task: &Task,
    handle: &Handle,
) -> Result<pb::RestoreReport, Stopped> {
    handle.stage("reading the snapshot");
    let mut held = Held::read(store, &task.id, &task.rules).await?;
    let configs: Vec<PathBuf> = task.configs.iter().map(|config| config.path.clone()).collect();
    let scope = Scope::new(&held, &task.paths, &configs);
    if let Some(path) = task.paths.iter().find(|path| held.tree.get(path).is_none()) {
        let problem = format!("the snapshot does not hold {}", shown(path));
        return Err(Error::invalid("paths", problem).into());
    }
    held.read_contents(store, &scope.files(&held, task.mode), handle).await?;
    let held = Arc::new(held);
    let restore = Restore { channel, gate, store, task, handle, held, scope };
    let (before, states) = restore.look().await?;
    let how = (task.mode, &task.rules.roots[..], &task.paths[..]);
    let plan = Plan::new((&restore.held, &before), &restore.scope, &states, how);
    let mut done = Done::default();
    let broken = match restore.act(&before, &plan, &mut done).await {
        Err(stopped) if !done.touched => return Err(stopped),
        ended => ended.err(),
    };
    let after = if done.touched {
        restore.look_again(&plan, &done).await
    } else {
        Ok(Seen { live: before.clone(), states, wrong: Vec::new() })
    };
    Ok(Outcome { restore: &restore, before: &before, plan: &plan, done, broken, after }.report())
}

// === impl Restore ===

impl<C: Writer, G: Gate> Restore<'_, C, G> {
    fn roots(&self) -> &[PathBuf] {
        &self.task.rules.roots
    }

    fn root_of(&self, path: &Path) -> PathBuf {
        let root = self.roots().iter().find(|root| path.starts_with(root));
        root.cloned().unwrap_or_default()
    }

    /// How the sandbox is.
    async fn look(&self) -> Result<(Live, Vec<State>), Stopped> {
        self.handle.begin("listing the sandbox", 0, 0);
        let live = Live::read(self.channel, &self.task.rules, self.handle).await?;
        let mut states = compare::metadata(&self.held, &live, self.roots());
        if self.task.mode == Mode::Replace {
            self.compare(&self.scope.plain(), &mut states).await?;
        }
        Ok((live, states))
    }

    async fn compare(&self, indices: &[usize], states: &mut [State]) -> Result<(), Stopped> {
        let roots = self.roots();
        compare::contents(self.channel, &self.held, roots, indices, states, self.handle).await?;
        Ok(())
    }

    /// Does what was planned.
    async fn act(&self, before: &Live, plan: &Plan, done: &mut Done) -> Result<(), Stopped> {
        let place = self.merge(before, plan, done).await?;
        self.gate.check().await?;
        if !plan.remove.is_empty() {
            done.touched = true;
            self.handle.begin("taking away", plan.removed.len() as u64, 0);
            for root in self.roots() {
                let below = plan.remove.iter().filter(|path| path.starts_with(root));
                let below: Vec<PathBuf> = below.cloned().collect();
                if !below.is_empty() {
                    done.notes.extend(self.channel.remove(root.clone(), below).await?);
                }
            }
        }
        let writes = !plan.wanted.is_empty() || !place.is_empty();
        if writes && !plan.prepare.is_empty() {
            done.touched = true;
            done.notes.extend(self.send(&plan.prepare, false).await?);
        }
        for Placing { like, content, was } in place {
            self.gate.check().await?;
            done.touched = true;
            let root = self.root_of(&like.path);
            done.placed.insert(like.path.clone(), content.clone());
            done.notes.extend(self.channel.replace(root, like, (content, was)).await?);
        }
        if writes || !plan.remove.is_empty() {
            self.gate.check().await?;
            done.touched = true;
            done.notes.extend(self.send(&plan.write, true).await?);
        }
        Ok(())
    }

    /// Writes entries. Nothing that exists is replaced but where the whole scope is: then directories get their mode and time
    /// by themselves, from the bottom up when it is the end of it.
    async fn send(
        &self,
        items: &BTreeMap<PathBuf, plan::Item>,
        last: bool,
    ) -> Result<Vec<Note>, Stopped> {
        let how = if self.task.mode == Mode::Replace { How::Replace } else { How::Add };
        let sides = (self.channel, self.store);
        let mut notes =
            send::send(sides, &self.held, (self.roots(), how), items, self.handle).await?;
        for root in self.roots().iter().filter(|_| how == How::Add) {
            let below = items.iter().filter(|(path, _)| path.starts_with(root));
            let mut below: Vec<Entry> =
                below.filter_map(|(_, item)| item.directory(&self.held)).cloned().collect();
            if last {
                below.reverse();
            }
            if !below.is_empty() {
                notes.extend(self.channel.dress(root.clone(), below).await?);
            }
        }
        Ok(notes)
    }

    /// Merges the config files; answers those that have to be put in place.
    async fn merge(
        &self,
        before: &Live,
        plan: &Plan,
        done: &mut Done,
    ) -> Result<Vec<Placing>, Stopped> {
        self.handle.begin("merging config files", plan.merge.len() as u64, 0);
        let mut place = Vec::new();
        for index in &plan.merge {
            let path = &self.held.tree.entries()[*index].path;
            let declared = self.task.configs.iter().find(|config| config.path == *path);
            let Some(config) = declared else { continue };
            let root = self.root_of(path);
            let sides = (&*self.held, before);
            let merge =
                config::merge((self.channel, &root), self.store, sides, (*index, config)).await?;
            self.handle.add_files(1);
            if merge.write.is_none() && merge.report.unmerged.is_empty() {
                done.right += 1;
            }
            done.merged.push(merge.report);
            place.extend(merge.write);
        }
        Ok(place)
    }

    /// How the sandbox is now.
    async fn look_again(&self, plan: &Plan, done: &Done) -> Result<Seen, Stopped> {
        self.handle.begin("reading back", 0, 0);
        let live = Live::read(self.channel, &self.task.rules, self.handle).await?;
        let mut states = compare::metadata(&self.held, &live, self.roots());
        let wanted: Vec<usize> = plan.wanted.iter().copied().collect();
        self.compare(&wanted, &mut states).await?;
        let mut wrong = Vec::new();
        for (path, content) in &done.placed {
            let found = config::fetch(self.channel, &self.root_of(path), path).await?;
            if found.as_deref() != Some(&content[..]) {
                let detail = "is not as it was merged";
                wrong.push(note(path, Reason::Differs, detail));
            }
        }
        self.gate.check().await?;
        Ok(Seen { live, states, wrong })
    }
}
