//! Which paths may be written or taken away without following a symbolic link.
//!
//! Invariant: a path is safe only if none of its parents below the root is, or has been made, a symbolic link.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The symbolic links below one root, relative to it.
#[derive(Debug, Default)]
pub(super) struct Links(HashSet<PathBuf>);

// === impl Links ===

impl Links {
    /// This path is a symbolic link from now on.
    pub(super) fn link(&mut self, path: PathBuf) {
        self.0.insert(path);
    }

    /// This path is something else from now on.
    pub(super) fn no_link(&mut self, path: &Path) {
        self.0.remove(path);
    }

    /// Whether a parent of this path is a symbolic link.
    pub(super) fn leads_through(&self, path: &Path) -> bool {
        path.ancestors().skip(1).any(|parent| self.0.contains(parent))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parents_count_and_only_while_they_are_links() {
        let mut links = Links::default();
        links.link("a/out".into());
        assert!(links.leads_through(Path::new("a/out/f")));
        assert!(links.leads_through(Path::new("a/out/b/f")));
        assert!(!links.leads_through(Path::new("a/out")), "the link itself is not followed");
        assert!(!links.leads_through(Path::new("a/outer/f")));
        links.no_link(Path::new("a/out"));
        assert!(!links.leads_through(Path::new("a/out/f")));
    }
}
