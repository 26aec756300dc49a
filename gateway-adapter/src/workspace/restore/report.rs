//! What a restore came to, counted from what was seen after it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use salvor_proto::gateway::v1 as pb;
use salvor_proto::gateway::v1::effect::{Cause, Outcome as Came};

use super::plan::{Item, Mode};
use super::send::content_size;
use super::{Done, Plan, Restore, Seen};
use crate::mutate::{applied, effect};
use crate::workspace::compare::State;
use crate::workspace::notes::Notes;
use crate::workspace::sides::{Live, Stopped};
use crate::workspace::{Note, Reason};

/// Everything that is known at the end.
pub(super) struct Outcome<'a, C, G> {
    pub(super) restore: &'a Restore<'a, C, G>,
    pub(super) before: &'a Live,
    pub(super) plan: &'a Plan,
    pub(super) done: Done,
    /// What ended it early.
    pub(super) broken: Option<Stopped>,
    /// How it was found, if that could be seen.
    pub(super) after: Result<Seen, Stopped>,
}

// === impl Outcome ===

impl<C, G> Outcome<'_, C, G> {
    pub(super) fn report(mut self) -> pb::RestoreReport {
        let mut failures = self.plan.failures.clone();
        let mut report = match std::mem::replace(&mut self.after, Err(unseen())) {
            Ok(seen) => self.seen(&seen, &mut failures),
            Err(stopped) => {
                let broken = self.broken.get_or_insert(stopped).to_string();
                let detail = format!("{broken}. What was written could not be read back");
                let effect = effect(Came::MaybeApplied, Cause::GatewayFailed, detail);
                pb::RestoreReport { effect: Some(effect), ..Default::default() }
            }
        };
        report.merged = std::mem::take(&mut self.done.merged);
        for file in report.merged.iter().filter(|file| !file.unmerged.is_empty()) {
            let detail = format!("was not merged: {}", file.unmerged);
            failures.note(Path::new(&file.path), Reason::Differs, detail);
        }
        if report.effect.is_none() {
            report.effect = Some(self.effect(&failures, &report));
        }
        report.failures = failures.to_proto();
        report.failure_count = failures.count();
        report
    }

    /// Counts what is as it should be, and notes what is not.
    fn seen(&self, seen: &Seen, failures: &mut Notes) -> pb::RestoreReport {
        let said: HashMap<&Path, &Note> =
            self.done.notes.iter().map(|note| (note.path.as_path(), note)).collect();
        let mut report = pb::RestoreReport::default();
        for index in self.looked_at() {
            let path = self.path(index);
            let state = &seen.states[index];
            if *state != State::Same {
                failures.push(failure(path, state, said.get(path.as_path()).copied()));
            } else if self.plan.wanted.contains(&index) {
                report.files_written += 1;
                let item = self.plan.write.get(path);
                let sent = item.filter(|item| matches!(item, Item::Held(_)));
                report.bytes_written +=
                    sent.map_or(0, |item| content_size(&self.restore.held, item));
            }
        }
        for (path, content) in &self.done.placed {
            if seen.wrong.iter().all(|note| note.path != *path) {
                report.files_written += 1;
                report.bytes_written += content.len() as u64;
            }
        }
        for wrong in &seen.wrong {
            failures.push(said.get(wrong.path.as_path()).copied().unwrap_or(wrong).clone());
        }
        report.files_skipped = self.plan.skipped + self.done.right;
        let gone = |index: &&usize| {
            seen.live.is_absent(&self.before.tree.entries()[**index].path)
                || self.restore.held.tree.get(&self.before.tree.entries()[**index].path).is_some()
        };
        report.files_removed = self.plan.removed.iter().filter(gone).count() as u64;
        if self.restore.task.mode == Mode::Replace {
            self.surplus(&seen.live, &said, failures);
            seen.live.notes.iter().for_each(|note| failures.push(note.clone()));
        }
        report
    }

    /// The entries that have to be as the snapshot has them, and that nothing was said of yet.
    fn looked_at(&self) -> Vec<usize> {
        let known: Vec<&Path> = self.plan.failures.iter().map(|note| note.path.as_path()).collect();
        let all = match self.restore.task.mode {
            Mode::Replace => self.restore.scope.plain(),
            Mode::SkipExisting | Mode::MergeConfig => self.plan.wanted.iter().copied().collect(),
        };
        all.into_iter().filter(|index| !known.contains(&self.path(*index).as_path())).collect()
    }

    /// What is there and should not be.
    fn surplus(&self, live: &Live, said: &HashMap<&Path, &Note>, failures: &mut Notes) {
        let Restore { held, scope, task, .. } = self.restore;
        for entry in scope.surplus(held, live, (&task.rules.roots, &task.paths)) {
            let said = said.get(entry.path.as_path()).map(|note| note.detail.clone());
            let detail = said.unwrap_or_else(|| "is there, and not in the snapshot".into());
            failures.note(&entry.path, Reason::Unwritable, detail);
        }
    }

    fn path(&self, index: usize) -> &PathBuf {
        &self.restore.held.tree.entries()[index].path
    }

    fn effect(&self, failures: &Notes, report: &pb::RestoreReport) -> pb::Effect {
        if failures.is_empty() && self.broken.is_none() {
            return applied();
        }
        let changed = report.files_written + report.files_removed;
        let detail = if let Some(broken) = &self.broken {
            format!("{broken}. {changed} entries were seen to be changed")
        } else {
            let (count, name) = (failures.count(), &self.restore.task.id);
            format!("{count} entries are not as snapshot {name} has them")
        };
        let cause = if self.broken.is_some() { Cause::GatewayFailed } else { Cause::CommandFailed };
        let came = if self.done.touched { Came::MaybeApplied } else { Came::NotApplied };
        effect(came, cause, detail)
    }
}

fn failure(path: &Path, state: &State, said: Option<&Note>) -> Note {
    let (reason, detail) = match state {
        State::Same => (Reason::Differs, String::new()),
        State::Absent => (Reason::Unwritable, "is not there".into()),
        State::Different(how) => (Reason::Differs, how.clone()),
        State::Unknown(why) => (Reason::Unreadable, why.clone()),
    };
    match said {
        Some(note) => Note { detail: format!("{detail}: {}", note.detail), ..note.clone() },
        None => Note { path: path.to_owned(), reason, detail },
    }
}

fn unseen() -> Stopped {
    let text = "the read-back was taken";
    Stopped::Refused(salvor_proto::Error::internal(text))
}
