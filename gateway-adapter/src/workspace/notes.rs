//! Notes, kept within the contract's bound, and as people read them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use salvor_proto::gateway::v1 as pb;

use super::{Note, Reason};
pub(crate) use crate::store::shown;

/// The contract's bound on a list of notes.
pub(crate) const MAX_NOTES: usize = 1000;

/// The first notes, and how many there are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes {
    kept: Vec<Note>,
    /// Of those that are kept: the first thing that is said of a path is what counts.
    paths: HashSet<PathBuf>,
    count: u64,
}

// === impl Notes ===

impl Notes {
    /// Adds one, unless there is one of the same path.
    pub(crate) fn push(&mut self, note: Note) {
        if self.paths.contains(&note.path) {
            return;
        }
        self.count += 1;
        if self.kept.len() < MAX_NOTES {
            self.paths.insert(note.path.clone());
            self.kept.push(note);
        }
    }

    /// Adds each of them.
    pub(crate) fn extend(&mut self, notes: impl IntoIterator<Item = Note>) {
        for note in notes {
            self.push(note);
        }
    }

    /// Adds what there is to say of a path.
    pub(crate) fn note(&mut self, path: &Path, reason: Reason, detail: impl Into<String>) {
        self.push(Note { path: path.to_owned(), reason, detail: detail.into() });
    }

    /// Adds all of them, those that were not kept included.
    pub(crate) fn append(&mut self, other: Self) {
        let dropped = other.count - other.kept.len() as u64;
        self.extend(other.kept);
        self.count += dropped;
    }

    /// Counts notes that nobody has kept.
    pub(crate) fn uncounted(&mut self, more: u64) {
        self.count += more;
    }

    /// All of them, the dropped ones included.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Whether there are any.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether all of them are kept.
    pub(crate) fn is_whole(&self) -> bool {
        self.count == self.kept.len() as u64
    }

    /// The first ones.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Note> {
        self.kept.iter()
    }

    /// As the contract has them.
    pub(crate) fn to_proto(&self) -> Vec<pb::PathNote> {
        self.kept.iter().map(Note::to_proto).collect()
    }
}

// === impl Note ===

impl Note {
    /// As the contract has it.
    pub(crate) fn to_proto(&self) -> pb::PathNote {
        pb::PathNote {
            path: shown(&self.path),
            reason: self.reason.as_str().to_owned(),
            detail: self.detail.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_bounded_and_counted() {
        let mut notes = Notes::default();
        for n in 0..=MAX_NOTES {
            notes.note(Path::new(&format!("/{n}")), Reason::Vanished, "gone");
            notes.note(Path::new("/0"), Reason::Unreadable, "said before");
        }
        let mut all = Notes::default();
        all.append(notes);
        assert_eq!((all.count(), all.to_proto().len()), (1001, MAX_NOTES));
        assert!(!all.is_whole());
    }
}
