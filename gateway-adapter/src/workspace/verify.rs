//! Comparing a workspace with a snapshot. Reads only.

use std::path::{Path, PathBuf};

use salvor_proto::Error;
use salvor_proto::gateway::v1 as pb;

use super::compare::{self, State};
use super::notes::{Notes, shown};
use super::restore::{Mode, Scope, Task, config_sides};
use super::sides::{Held, Live, Stopped};
use super::{Channel, Kind, Reason};
use crate::operations::Handle;
use crate::store::Store;

/// A file that proves that what is there is what was captured.
#[derive(Debug, Clone)]
pub(crate) struct Nonce {
    /// Absolute, inside a root.
    pub path: PathBuf,
    /// Of its content.
    pub sha256: [u8; 32],
}

struct Verify<'a, C> {
    channel: &'a C,
    store: &'a Store,
    task: &'a Task,
    handle: &'a Handle,
    held: Held,
    live: Live,
    scope: Scope,
    /// What is there besides what the snapshot holds is not looked for.
    held_only: bool,
}

/// Compares. An error says nothing of the workspace.
pub(crate) async fn verify<C: Channel>(
    channel: &C,
    store: &Store,
    (task, nonce, held_only): (&Task, Option<&Nonce>, bool),
    handle: &Handle,
) -> Result<pb::VerifyReport, Stopped> {
    handle.stage("reading the snapshot");
    let mut held = Held::read(store, &task.id, &task.rules).await?;
    let configs: Vec<PathBuf> = task.configs.iter().map(|config| config.path.clone()).collect();
    let scope = Scope::new(&held, &task.paths, &configs);
    if let Some(path) = task.paths.iter().find(|path| held.tree.get(path).is_none()) {
        let problem = format!("the snapshot does not hold {}", shown(path));
        return Err(Error::invalid("paths", problem).into());
    }
    if task.mode == Mode::Replace {
        let files = scope.files(&held, task.mode);
        held.read_contents(store, &files, handle).await?;
    }
    handle.begin("listing the sandbox", 0, 0);
    let live = Live::read(channel, &task.rules, handle).await?;
    let verify = Verify { channel, store, task, handle, held, live, scope, held_only };
    let mut report = verify.entries().await?;
    if let Some(nonce) = nonce {
        report.nonce_found = Some(verify.finds(nonce).await?);
    }
    report.intact = report.problem_count == 0 && report.nonce_found != Some(false);
    Ok(report)
}

// === impl Verify ===

impl<C: Channel> Verify<'_, C> {
    fn roots(&self) -> &[PathBuf] {
        &self.task.rules.roots
    }

    async fn entries(&self) -> Result<pb::VerifyReport, Stopped> {
        let mut report = pb::VerifyReport::default();
        let mut problems = Notes::default();
        let mut states = compare::metadata(&self.held, &self.live, self.roots());
        let plain =
            if self.task.mode == Mode::MergeConfig { Vec::new() } else { self.scope.plain() };
        if self.task.mode == Mode::Replace {
            report.bytes += compare::contents(
                self.channel,
                &self.held,
                self.roots(),
                &plain,
                &mut states,
                self.handle,
            )
            .await?;
            if !self.held_only {
                self.surplus(&mut problems);
            }
        }
        for index in plain {
            report.files += 1;
            let path = &self.held.tree.entries()[index].path;
            match &states[index] {
                State::Absent => problems.note(path, Reason::Differs, "is not there"),
                State::Unknown(why) => problems.note(path, Reason::Unreadable, why.clone()),
                State::Different(how) if self.task.mode == Mode::Replace => {
                    problems.note(path, Reason::Differs, how.clone());
                }
                State::Same | State::Different(_) => {}
            }
        }
        for index in &self.scope.configs {
            report.files += 1;
            report.bytes += self.config(*index, &mut problems).await?;
        }
        self.live.notes.iter().for_each(|note| problems.push(note.clone()));
        report.problems = problems.to_proto();
        report.problem_count = problems.count();
        Ok(report)
    }

    fn surplus(&self, problems: &mut Notes) {
        let scope = (self.roots(), &self.task.paths[..]);
        for entry in self.scope.surplus(&self.held, &self.live, scope) {
            problems.note(&entry.path, Reason::Differs, "is there, and not in the snapshot");
        }
    }

    /// By the keys that a restore takes from the snapshot; with SKIP_EXISTING by presence. Answers how
    /// many bytes were looked at.
    async fn config(&self, index: usize, problems: &mut Notes) -> Result<u64, Stopped> {
        let path = &self.held.tree.entries()[index].path;
        let declared = self.task.configs.iter().find(|config| config.path == *path);
        let Some(config) = declared else { return Ok(0) };
        if self.task.mode == Mode::SkipExisting {
            if self.live.tree.get(path).is_none() {
                problems.note(path, Reason::Differs, "is not there");
            }
            return Ok(0);
        }
        let root = self.roots().iter().find(|root| path.starts_with(root));
        let root = root.map_or(path.as_path(), PathBuf::as_path);
        let sides = (&self.held, &self.live);
        let found = config_sides((self.channel, root), self.store, sides, index).await?;
        let (ours, theirs) = match found {
            Ok((ours, Some(theirs))) => (ours, theirs),
            Ok((_, None)) => {
                problems.note(path, Reason::Differs, "is not there");
                return Ok(0);
            }
            Err(why) => {
                problems.note(path, Reason::Differs, why);
                return Ok(0);
            }
        };
        match config.format.differing(&config.owned, &ours, &theirs) {
            Ok(keys) => keys.iter().for_each(|key| {
                let detail = format!("{key} is not as the snapshot has it");
                problems.note(path, Reason::Differs, detail);
            }),
            Err(why) => problems.note(path, Reason::Differs, why.to_string()),
        }
        Ok(theirs.len() as u64)
    }

    /// Whether the nonce is there, and is the one.
    async fn finds(&self, nonce: &Nonce) -> Result<bool, Stopped> {
        let path: &Path = &nonce.path;
        let Some(root) = self.roots().iter().find(|root| path.starts_with(root)) else {
            return Ok(false);
        };
        if self.live.tree.get(path).is_none_or(|entry| entry.kind != Kind::File) {
            return Ok(false);
        }
        let files = vec![path.to_owned()];
        let (found, _) = compare::digests(self.channel, root, files, |_| ()).await?;
        Ok(found.get(path) == Some(&nonce.sha256))
    }
}
