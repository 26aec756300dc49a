//! What a snapshot takes in: the record's rules, checked, and salvor's own.
//!
//! Invariant: what is left out is left out by a rule that can be named, and is said. Deliberately
//! absent: how often, and how many are kept; they are the orchestrator's.

mod bound;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use salvor_proto::registry::v1::{QuiesceHooks, SnapshotRules};
use salvor_proto::{Error, time};

use super::{Entry, Kind, Note, Reason};
use crate::exec;

/// The contract's limits.
const MAX_ROOTS: usize = 64;
const MAX_EXCLUDES: usize = 256;
const MAX_HOOK: Duration = Duration::from_mins(10);
const DEFAULT_HOOK: Duration = Duration::from_secs(30);
/// The longest path that a system takes, and more than any pattern needs, in bytes.
const MAX_PATH: usize = 4096;

/// Rules that can be followed.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// In tree order.
    pub roots: Vec<PathBuf>,
    /// The one that was named first: a nonce is written there.
    pub first: PathBuf,
    /// Brings the agent to rest.
    pub hooks: Option<Hooks>,
    excludes: Vec<String>,
}

/// See `QuiesceHooks`.
#[derive(Debug, Clone)]
pub(crate) struct Hooks {
    /// Empty: nothing to run.
    pub before: Vec<String>,
    /// Empty: nothing to run.
    pub after: Vec<String>,
    /// For each of them.
    pub timeout: Duration,
}

/// Tells what of one root is left out. Asked of parents before their children.
#[derive(Debug)]
pub(crate) struct Sieve<'a> {
    root: &'a Path,
    homes: Vec<&'a Path>,
    patterns: Gitignore,
    left: HashSet<PathBuf>,
}

/// What becomes of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is captured.
    Keep,
    /// It is not, and neither is what is below it.
    Leave(Note),
    /// It is below something that is left out.
    Below,
}

// === impl Rules ===

impl Rules {
    /// Checks a request's rules.
    ///
    /// # Errors
    /// INVALID, naming the field.
    pub(crate) fn parse(rules: Option<&SnapshotRules>) -> Result<Self, Error> {
        let rules = rules.ok_or_else(|| Error::invalid("rules", "is required"))?;
        let roots = roots(&rules.roots)?;
        if rules.excludes.len() > MAX_EXCLUDES {
            let problem = format!("must have at most {MAX_EXCLUDES} patterns");
            return Err(Error::invalid("rules.excludes", problem));
        }
        for (index, pattern) in rules.excludes.iter().enumerate() {
            let added = GitignoreBuilder::new("/").add_line(None, pattern).map(|_| ());
            let longest = pattern.len() <= MAX_PATH && !pattern.contains(['\0', '\n', '\r']);
            if added.is_err() || !longest || pattern.trim().is_empty() {
                let field = format!("rules.excludes[{index}]");
                return Err(Error::invalid(field, "must be one pattern as in .gitignore"));
            }
        }
        let hooks = rules.quiesce.as_ref().map(hooks).transpose()?;
        let first = roots.first().cloned().unwrap_or_default();
        let mut ordered = roots;
        ordered.sort();
        Ok(Self { roots: ordered, first, hooks, excludes: rules.excludes.clone() })
    }

    /// What decides of everything below a root.
    pub(crate) fn sieve<'a>(&'a self, root: &'a Path) -> Sieve<'a> {
        let mut builder = GitignoreBuilder::new(root);
        for pattern in &self.excludes {
            // Checked before.
            let _ = builder.add_line(None, pattern);
        }
        Sieve {
            root,
            homes: self.roots.iter().map(PathBuf::as_path).collect(),
            patterns: builder.build().unwrap_or_else(|_| Gitignore::empty()),
            left: HashSet::new(),
        }
    }
}

fn roots(given: &[String]) -> Result<Vec<PathBuf>, Error> {
    let field = |index: usize| format!("rules.roots[{index}]");
    if given.is_empty() {
        return Err(Error::invalid("rules.roots", "must name at least one directory"));
    }
    if given.len() > MAX_ROOTS {
        let problem = format!("must name at most {MAX_ROOTS} directories");
        return Err(Error::invalid("rules.roots", problem));
    }
    let mut roots: Vec<PathBuf> = Vec::with_capacity(given.len());
    for (index, text) in given.iter().enumerate() {
        if !is_normal(text) {
            let problem = "must be an absolute, normalised path other than /";
            return Err(Error::invalid(field(index), problem));
        }
        let root = PathBuf::from(text);
        if let Some(other) =
            roots.iter().find(|other| root.starts_with(other) || other.starts_with(&root))
        {
            let problem = format!("overlaps with {}", other.display());
            return Err(Error::invalid(field(index), problem));
        }
        if let Some(found) = root.ancestors().find_map(|path| bound::find(path, &[])) {
            let problem = format!("is never part of a snapshot: {}", found.why);
            return Err(Error::invalid(field(index), problem));
        }
        roots.push(root);
    }
    Ok(roots)
}

fn is_normal(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    path.len() <= MAX_PATH
        && !path.chars().any(char::is_control)
        && rest.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn hooks(given: &QuiesceHooks) -> Result<Hooks, Error> {
    for (field, command) in [("before", &given.before), ("after", &given.after)] {
        if !command.is_empty() {
            exec::check(command)
                .map_err(|problem| Error::invalid(format!("rules.quiesce.{field}"), problem))?;
        }
    }
    let timeout = given.timeout.as_ref().map_or(DEFAULT_HOOK, time::plain);
    if timeout.is_zero() || timeout > MAX_HOOK {
        let problem = "must be more than 0 and at most 10 min";
        return Err(Error::invalid("rules.quiesce.timeout", problem));
    }
    Ok(Hooks { before: given.before.clone(), after: given.after.clone(), timeout })
}

// === impl Sieve ===

impl Sieve<'_> {
    /// What becomes of an entry of this root.
    pub(crate) fn judge(&mut self, entry: &Entry) -> Verdict {
        let path = entry.path.as_path();
        if path == self.root {
            return Verdict::Keep;
        }
        if !self.left.is_empty() && path.ancestors().any(|above| self.left.contains(above)) {
            return Verdict::Below;
        }
        let is_directory = entry.kind == Kind::Directory;
        let note = |reason, detail: &str| Note {
            path: path.to_owned(),
            reason,
            detail: detail.to_owned(),
        };
        let left = if let Some(found) = bound::find(path, &self.homes) {
            note(found.reason, found.why)
        } else if entry.kind == Kind::Device {
            note(Reason::SpecialFile, "a device, or a kind of file that is not known")
        } else {
            match self.patterns.matched(path, is_directory) {
                ignore::Match::Ignore(pattern) => {
                    note(Reason::Excluded, &format!("excluded by {}", pattern.original()))
                }
                _ => return Verdict::Keep,
            }
        };
        if is_directory {
            self.left.insert(path.to_owned());
        }
        Verdict::Leave(left)
    }
}

#[cfg(test)]
mod tests;
