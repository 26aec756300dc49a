//! Merging a config file that has two owners: the runtime's keys come from the live file, all others
//! from the snapshot's.
//!
//! Invariants: pure; every runtime-owned key of the result is as in the live file (absent where it is
//! absent), every other key as in the snapshot's, and what was rendered is read again and held to
//! that before it is handed out; where it cannot be, nothing is. No value is ever shown.
//!
//! Keys are dotted paths through tables. A segment with other characters than letters, digits, `_`
//! and `-` is written as a JSON string: `servers."a.b".port`. Lists are values: no path leads into
//! them. Order is kept; comments are kept in TOML, and in every format when nothing has to change.
//! YAML aliases are written out, its merge keys (`<<`) are refused.
//!
//! Deliberately absent: files and sandboxes.

mod json;
mod key;
mod node;
mod toml;
mod yaml;

use std::collections::BTreeMap;

use node::Node;

pub(crate) use key::Key;

/// The largest file that is merged, in bytes.
pub(crate) const MAX_SIZE: u64 = 8 << 20;

/// How a config file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// RFC 8259.
    Json,
    /// One document.
    Yaml,
    /// 1.0.
    Toml,
}

/// A merged file.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Merged {
    /// To be written. May hold secrets.
    pub content: Vec<u8>,
    /// Keys of the snapshot's file that are in it.
    pub restored: Vec<String>,
    /// Keys of the snapshot's file that are not: the runtime owns them.
    pub kept: Vec<String>,
}

/// Why two files are not merged. Names keys and places, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unmerged(String);

/// What a format has to offer. Paths lead through tables; what is put replaces what was there.
trait Document: Sized {
    fn parse(text: &str) -> Result<Self, Unmerged>;
    /// As all formats show it.
    fn node(&self) -> Result<Node, Unmerged>;
    /// Copies what `from` has at `path`, which exists there; tables on the way are made.
    fn put(&mut self, path: &[String], from: &Self);
    /// Takes away what is at `path`.
    fn take(&mut self, path: &[String]);
    fn render(&self) -> Result<String, Unmerged>;
}

// === impl Format ===

impl Format {
    /// By the name that a record uses.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "yaml" => Some(Self::Yaml),
            "toml" => Some(Self::Toml),
            _ => None,
        }
    }

    /// Merges. Without a live file the runtime-owned keys are left out.
    ///
    /// # Errors
    /// A side cannot be read, or the two cannot be made one. Nothing should be changed then.
    pub(crate) fn merge(
        self,
        owned: &[Key],
        snapshot: &[u8],
        live: Option<&[u8]>,
    ) -> Result<Merged, Unmerged> {
        match self {
            Self::Json => merge::<json::Json>(owned, snapshot, live),
            Self::Yaml => merge::<yaml::Yaml>(owned, snapshot, live),
            Self::Toml => merge::<toml::Toml>(owned, snapshot, live),
        }
    }

    /// The keys of the snapshot's file that the runtime does not own and that are not the same in
    /// the live one.
    ///
    /// # Errors
    /// A side cannot be read.
    pub(crate) fn differing(
        self,
        owned: &[Key],
        snapshot: &[u8],
        live: &[u8],
    ) -> Result<Vec<String>, Unmerged> {
        let (snapshot, live) = match self {
            Self::Json => (seen::<json::Json>(snapshot, OLD)?, seen::<json::Json>(live, LIVE)?),
            Self::Yaml => (seen::<yaml::Yaml>(snapshot, OLD)?, seen::<yaml::Yaml>(live, LIVE)?),
            Self::Toml => (seen::<toml::Toml>(snapshot, OLD)?, seen::<toml::Toml>(live, LIVE)?),
        };
        let wrong = users(&snapshot, owned)
            .into_iter()
            .filter(|(path, value)| live.at(path).is_none_or(|found| !found.same(value)));
        Ok(wrong.map(|(path, _)| key::text(&path)).collect())
    }
}

/// How the two sides are called.
const OLD: &str = "the snapshot's file";
const LIVE: &str = "the sandbox's file";

fn merge<D: Document>(
    owned: &[Key],
    snapshot: &[u8],
    live: Option<&[u8]>,
) -> Result<Merged, Unmerged> {
    let mut result: D = parse(snapshot, OLD)?;
    let old = table(&result, OLD)?;
    let live: Option<D> = live.map(|live| parse(live, LIVE)).transpose()?;
    let now = live.as_ref().map_or(Ok(Node::EMPTY), |live| table(live, LIVE))?;
    let mut changed = false;
    for key in key::outermost(owned) {
        let path = key.path();
        match (old.at(path), now.at(path), &live) {
            (Some(old), Some(now), _) if old.same(now) => {}
            (None, None, _) => {}
            (_, Some(_), Some(live)) => {
                passable(&old, path)?;
                result.put(path, live);
                changed = true;
            }
            _ => {
                result.take(path);
                changed = true;
            }
        }
    }
    let content = if changed { result.render()?.into_bytes() } else { snapshot.to_vec() };
    proven::<D>(&content, owned, &old, &now)?;
    let (mut restored, mut kept) = (Vec::new(), Vec::new());
    for (path, _) in old.leaves() {
        let list = if key::owns(owned, &path) { &mut kept } else { &mut restored };
        list.push(key::text(&path));
    }
    Ok(Merged { content, restored, kept })
}

/// Reads what was rendered again, and holds it to the invariant.
fn proven<D: Document>(
    content: &[u8],
    owned: &[Key],
    old: &Node,
    now: &Node,
) -> Result<(), Unmerged> {
    let result = seen::<D>(content, "the merged file")?;
    let theirs = owned.iter().all(|key| match (result.at(key.path()), now.at(key.path())) {
        (Some(result), Some(now)) => result.same(now),
        (None, None) => true,
        _ => false,
    });
    let (kept, wanted) = (users(&result, owned), users(old, owned));
    let ours = wanted.iter().all(|(path, value)| kept.get(path).is_some_and(|k| k.same(value)));
    // A table that the runtime's keys have left, or came into, is a leaf in one and not in the other.
    let known = |path: &Vec<String>| wanted.contains_key(path) || old.at(path).is_some();
    if theirs && ours && kept.keys().all(known) {
        return Ok(());
    }
    Err(Unmerged("the two files cannot be written as one without changing a value".into()))
}

/// Every key that is not the runtime's, with its value. An empty table counts only where it was one.
fn users<'a>(node: &'a Node, owned: &[Key]) -> BTreeMap<Vec<String>, &'a Node> {
    let users = node.leaves().into_iter().filter(|(path, _)| !key::owns(owned, path));
    users.filter(|(_, value)| !value.is_empty_table()).collect()
}

/// A value of the user's on the way to one of the runtime's would be lost.
fn passable(old: &Node, path: &[String]) -> Result<(), Unmerged> {
    for length in 1..path.len() {
        if old.at(&path[..length]).is_some_and(|node| !node.is_table()) {
            let (outer, inner) = (key::text(&path[..length]), key::text(path));
            let text = format!("{OLD} has a value at {outer}, and the runtime owns {inner} in it");
            return Err(Unmerged(text));
        }
    }
    Ok(())
}

fn parse<D: Document>(content: &[u8], side: &str) -> Result<D, Unmerged> {
    if u64::try_from(content.len()).unwrap_or(u64::MAX) > MAX_SIZE {
        let text = format!("{side} is larger than the {MAX_SIZE} bytes that are merged");
        return Err(Unmerged(text));
    }
    let text = std::str::from_utf8(content);
    let text = text.map_err(|_| Unmerged(format!("{side} is no UTF-8 text")))?;
    D::parse(text).map_err(|Unmerged(why)| Unmerged(format!("{side} cannot be read: {why}")))
}

fn table<D: Document>(document: &D, side: &str) -> Result<Node, Unmerged> {
    let node = document.node();
    let node = node.map_err(|Unmerged(why)| Unmerged(format!("{side} cannot be read: {why}")))?;
    if node.is_table() { Ok(node) } else { Err(Unmerged(format!("{side} is no table of keys"))) }
}

fn seen<D: Document>(content: &[u8], side: &str) -> Result<Node, Unmerged> {
    table(&parse::<D>(content, side)?, side)
}

impl std::fmt::Debug for Merged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Merged")
            .field("bytes", &self.content.len())
            .field("restored", &self.restored)
            .field("kept", &self.kept)
            .finish()
    }
}

#[cfg(test)]
mod tests;
