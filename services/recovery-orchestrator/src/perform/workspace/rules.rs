//! What is saved of a sandbox before a snapshot is written into it.
//!
//! Invariant: whatever the writing may replace or take away goes by the snapshot's own rules, and is saved, whatever the record
//! says of it by now; and the record's own directories are saved whole, so that the result is a snapshot like any other.

use salvor_core::id::SandboxPath;
use salvor_proto::registry::v1::SnapshotRules;

/// The record's rules, widened to all that a snapshot taken by `written` may touch.
pub(super) fn both(record: SnapshotRules, written: &SnapshotRules) -> SnapshotRules {
    let roots = outermost(&record.roots.iter().chain(&written.roots).collect::<Vec<_>>());
    let excludes = if means_the_same(&record, written) {
        let left_by_both = |pattern: &String| written.excludes.contains(pattern);
        record.excludes.iter().filter(|pattern| left_by_both(pattern)).cloned().collect()
    } else {
        Vec::new()
    };
    SnapshotRules { roots, excludes, ..record }
}

/// Whether a pattern leaves out the same whichever of the two it is among: it is read from its root, and one that takes others
/// back counts in its place only.
fn means_the_same(one: &SnapshotRules, other: &SnapshotRules) -> bool {
    let within = |inner: &SnapshotRules, outer: &SnapshotRules| {
        let is_below =
            |root: &&String| outer.roots.iter().any(|above| above != *root && is_in(root, above));
        inner.roots.iter().any(|root| is_below(&root))
    };
    let takes_back = |rules: &SnapshotRules| rules.excludes.iter().any(|p| p.starts_with('!'));
    one.excludes == other.excludes && one.roots == other.roots
        || !within(one, other) && !within(other, one) && !takes_back(one) && !takes_back(other)
}

/// Each directory once, without those below another.
fn outermost(roots: &[&String]) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for root in roots {
        let covered = roots.iter().any(|above| above != root && is_in(root, above));
        if !covered && !kept.contains(*root) {
            kept.push((*root).clone());
        }
    }
    kept
}

fn is_in(path: &str, directory: &str) -> bool {
    SandboxPath(path.to_owned()).is_in(&SandboxPath(directory.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(roots: &[&str], excludes: &[&str]) -> SnapshotRules {
        let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        SnapshotRules { roots: owned(roots), excludes: owned(excludes), ..Default::default() }
    }

    #[test]
    fn what_either_of_them_covers_is_saved_and_only_what_both_leave_out_is_not() {
        for (record, written, expected) in [
            // As it was.
            (
                (&["/a"][..], &["x", "!y"][..]),
                (&["/a"][..], &["x", "!y"][..]),
                (&["/a"][..], &["x", "!y"][..]),
            ),
            // An exclude of later, or one of before that is gone: what it leaves out would be replaced, or is the record's.
            ((&["/a"], &["x", "models/"]), (&["/a"], &["x"]), (&["/a"], &["x"])),
            ((&["/a"], &["x"]), (&["/a"], &["x", "models/"]), (&["/a"], &["x"])),
            // A root of before, or of another sandbox's.
            ((&["/a"], &["x"]), (&["/b", "/a"], &["x"]), (&["/a", "/b"], &["x"])),
            ((&["/a"], &[]), (&["/ab"], &[]), (&["/a", "/ab"], &[])),
            // A pattern means something else below another root.
            ((&["/a"], &["/tmp"]), (&["/a/tmp"], &["/tmp"]), (&["/a"], &[])),
            ((&["/a/b"], &["x"]), (&["/a"], &["x"]), (&["/a"], &[])),
            // What is taken back by one is not left out by both.
            ((&["/a"], &["x"]), (&["/a"], &["x", "!x/y"]), (&["/a"], &[])),
            ((&["/a"], &["!x/y", "x"]), (&["/a"], &["x", "!x/y"]), (&["/a"], &[])),
        ] {
            let made = both(rules(record.0, record.1), &rules(written.0, written.1));
            assert_eq!(made, rules(expected.0, expected.1), "{record:?} {written:?}");
        }
    }

    #[test]
    fn hooks_are_the_records() {
        let hooks = |command: &str| {
            Some(salvor_proto::registry::v1::QuiesceHooks {
                before: vec![command.to_owned()],
                ..Default::default()
            })
        };
        let record = SnapshotRules { quiesce: hooks("now"), ..rules(&["/a"], &[]) };
        let written = SnapshotRules { quiesce: hooks("then"), ..rules(&["/a"], &[]) };
        assert_eq!(both(record, &written).quiesce, hooks("now"));
    }
}
