//! Entries by path, in tree order.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Entry;

/// The most entries of one snapshot, and of a sandbox that one is compared with: they are held, some hundred bytes each. What
/// rules leave out does not count, but for the container runtime, whose archive has everything.
pub(crate) const MAX_ENTRIES: usize = 1_000_000;

/// Entries in tree order, each path once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree(Vec<Entry>);

// === impl Tree ===

impl Tree {
    /// Sorts them. Of two with one path the later is kept.
    pub(crate) fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_by(|one, two| one.path.cmp(&two.path));
        entries.reverse();
        entries.dedup_by(|next, kept| next.path == kept.path);
        entries.reverse();
        Self(entries)
    }

    /// All of them.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Where a path is.
    pub(crate) fn index(&self, path: &Path) -> Option<usize> {
        self.0.binary_search_by(|entry| entry.path.as_path().cmp(path)).ok()
    }

    /// The entry of a path.
    pub(crate) fn get(&self, path: &Path) -> Option<&Entry> {
        self.index(path).map(|index| &self.0[index])
    }

    /// Where all is that lies below a path, the path itself not included.
    pub(crate) fn below(&self, path: &Path) -> Range<usize> {
        let begin = self.0.partition_point(|entry| entry.path.as_path() <= path);
        let length = self.0[begin..].partition_point(|entry| entry.path.starts_with(path));
        begin..begin + length
    }

    /// For each hard link whose file has several names here: the first of them.
    pub(crate) fn leaders(&self) -> HashMap<&Path, &Path> {
        let mut files: HashMap<(u64, u64), Vec<&PathBuf>> = HashMap::new();
        for entry in self.0.iter().filter(|entry| entry.is_linked()) {
            files.entry((entry.device, entry.inode)).or_default().push(&entry.path);
        }
        let mut leaders = HashMap::new();
        for names in files.into_values().filter(|names| names.len() > 1) {
            leaders.extend(names.iter().map(|name| (name.as_path(), names[0].as_path())));
        }
        leaders
    }
}

// === impl Entry ===

impl Entry {
    /// Whether it may have other names.
    fn is_linked(&self) -> bool {
        self.kind == super::Kind::File && self.links > 1 && self.inode != 0
    }
}

/// An entry for tests.
#[cfg(test)]
pub(super) fn sample(path: &str, kind: super::Kind) -> Entry {
    Entry {
        path: path.into(),
        kind,
        mode: 0o755,
        uid: 0,
        gid: 0,
        user: None,
        group: None,
        size: 0,
        modified: std::time::UNIX_EPOCH,
        changed: None,
        inode: 0,
        device: 1,
        links: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    fn entry(path: &str, inode: u64, links: u64) -> Entry {
        Entry { inode, links, ..sample(path, Kind::File) }
    }

    #[test]
    fn what_lies_below_is_one_range_in_tree_order() {
        // As bytes, `/a-b` would come between `/a` and `/a/b`.
        let tree = Tree::new(["/a-b", "/a/b/c", "/a", "/a/b", "/b"].map(|p| entry(p, 0, 1)).into());
        let paths = |range: Range<usize>| {
            tree.entries()[range].iter().map(|e| e.path.to_str().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(paths(0..5), ["/a", "/a/b", "/a/b/c", "/a-b", "/b"]);
        assert_eq!(paths(tree.below(Path::new("/a"))), ["/a/b", "/a/b/c"]);
        assert!(tree.below(Path::new("/b")).is_empty());
        assert_eq!(tree.index(Path::new("/a-b")), Some(3));
        assert!(tree.get(Path::new("/a/c")).is_none());
    }

    #[test]
    fn the_first_name_of_a_file_leads_the_others() {
        let tree = Tree::new(vec![entry("/b", 7, 3), entry("/a", 7, 3), entry("/c", 8, 2)]);
        let leaders = tree.leaders();
        assert_eq!(leaders[Path::new("/b")], Path::new("/a"));
        assert_eq!(leaders[Path::new("/a")], Path::new("/a"));
        assert!(!leaders.contains_key(Path::new("/c")), "its other name is elsewhere");
    }
}
