use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;
use crate::workspace::tree::{Tree, sample};

fn at(nanos: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanos)
}

fn file(path: &str) -> Entry {
    let (changed, inode) = (Some(at(7)), 3);
    Entry { size: 5, modified: at(5), changed, inode, ..sample(path, Kind::File) }
}

fn entries() -> Vec<Entry> {
    vec![sample("/r", Kind::Directory), file("/r/a"), sample("/r/s", Kind::Socket)]
}

/// What is found between the entries of a snapshot and of a sandbox, as `path how`.
fn found(held: Vec<Entry>, live: Vec<Entry>) -> Vec<String> {
    let (contents, digests) = (vec![None; held.len()], vec![None; held.len()]);
    let held = Held { tree: Tree::new(held), contents, digests };
    let tree = Tree::new(live);
    let left = tree.entries().iter().map(|entry| entry.kind == Kind::Socket).collect();
    let live = Live { tree, left, notes: Notes::default(), unreadable: HashSet::new() };
    let found = compare_all(&held, &live, |path| path.starts_with("/r/settled"));
    found.iter().map(|note| format!("{} {}", note.path.display(), note.detail)).collect()
}

fn after(change: impl FnOnce(&mut Entry)) -> Vec<String> {
    let mut live = entries();
    change(&mut live[1]);
    found(entries(), live)
}

#[test]
fn what_is_the_same_is_no_change() {
    assert_eq!(found(entries(), entries()), [""; 0]);
    // Sockets come and go, and what is in a directory changes its times.
    let mut live = entries();
    live.pop();
    (live[0].modified, live[0].changed) = (at(99), Some(at(99)));
    assert_eq!(found(entries(), live), [""; 0]);
}

#[test]
fn each_trace_of_a_write_is_found() {
    let is = |found: Vec<String>, how: &str| {
        assert!(found.len() == 1 && found[0].contains(how), "{found:?} and not {how}");
    };
    is(after(|entry| entry.size = 6), "has 6 bytes");
    is(after(|entry| entry.modified = at(6)), "time of modification");
    // The same size, and the old time put back.
    is(after(|entry| entry.changed = Some(at(8))), "time of change");
    is(after(|entry| entry.inode = 4), "another file");
    is(after(|entry| entry.mode = 0o700), "mode");
    is(found(entries(), vec![entries().remove(0)]), "not there any more");
    let more = || entries().into_iter().chain([file("/r/b")]).collect::<Vec<_>>();
    is(found(entries(), more()), "/r/b was made since");
}

#[test]
fn what_one_side_does_not_know_is_not_compared() {
    let unknown = |entry: &mut Entry| (entry.changed, entry.inode) = (None, 0);
    assert_eq!(after(unknown), [""; 0]);
    let mut held = entries();
    unknown(&mut held[1]);
    assert_eq!(found(held, entries()), [""; 0]);
}

#[test]
fn what_is_settled_otherwise_is_not_looked_at() {
    let with = |path: &str| entries().into_iter().chain([file(path)]).collect::<Vec<_>>();
    assert_eq!(found(entries(), with("/r/settled")), [""; 0]);
    assert_eq!(found(with("/r/settled"), entries()), [""; 0]);
}
