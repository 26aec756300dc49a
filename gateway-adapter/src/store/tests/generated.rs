//! Trees that nobody thought of. One repository for all of them, since its key takes half a second to derive.

use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};

use super::*;

#[derive(Debug, Clone)]
struct Made {
    name: Vec<u8>,
    kind: u8,
    mode: u32,
    owner: (u32, u32),
    modified: (i64, u32),
    changed: Option<u64>,
    inode: u64,
    links: u64,
    content: Vec<u8>,
    inside: Vec<Made>,
}

/// Anything that a name can be, and more often what is hard to tell apart.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let odd = prop::sample::select(vec![b' ', b'-', b'\\', b'"', b'\n', b'\t', 0x7f, 0xc3, 0xff]);
    let byte = prop_oneof![odd, b'a'..b'd', 1..=255_u8];
    let lengths = prop_oneof![9 => 1..6_usize, 1 => Just(255_usize)];
    lengths
        .prop_flat_map(move |length| prop::collection::vec(byte.clone(), length))
        .prop_filter("a name", |name| {
            !name.contains(&b'/') && !name.contains(&0) && name != b"." && name != b".."
        })
}

fn made() -> impl Strategy<Value = Made> {
    let leaf = (
        (name(), 0..6_u8, 0..0o10000_u32, any::<(u32, u32)>()),
        (-62_135_596_800..253_402_207_199_i64, 0..1_000_000_000_u32),
        (prop::option::of(any::<u64>()), any::<u64>(), 0..4_u64),
        prop::collection::vec(any::<u8>(), 0..300),
    );
    let leaf = leaf.prop_map(|((name, kind, mode, owner), modified, rest, content)| {
        let (changed, inode, links) = rest;
        let inside = Vec::new();
        Made { name, kind, mode, owner, modified, changed, inode, links, content, inside }
    });
    leaf.prop_recursive(4, 30, 6, |inner| {
        (inner.clone(), prop::collection::vec(inner, 0..6)).prop_map(|(made, inside)| Made {
            kind: 0,
            inside,
            ..made
        })
    })
}

fn since(seconds: i64, nanos: u32) -> SystemTime {
    let off = Duration::from_secs(seconds.unsigned_abs());
    let whole = if seconds < 0 { UNIX_EPOCH - off } else { UNIX_EPOCH + off };
    whole + Duration::from_nanos(nanos.into())
}

/// An entry with its content, and then what is in it, in the order of names.
fn flatten(path: &Path, made: &Made, into: &mut Vec<(Entry, Vec<u8>)>) {
    use std::os::unix::ffi::OsStrExt as _;
    let target = || std::ffi::OsStr::from_bytes(&made.content).into();
    let kind = match made.kind {
        0 => Kind::Directory,
        1 if !made.content.is_empty() => Kind::Symlink(target()),
        2 => Kind::Fifo,
        3 => Kind::Socket,
        _ => Kind::File,
    };
    let is_file = kind == Kind::File;
    let entry = Entry {
        path: path.to_owned(),
        kind,
        mode: made.mode,
        uid: made.owner.0,
        gid: made.owner.1,
        user: Some(format!("user {}", made.owner.0 % 3)).filter(|_| made.owner.0.is_multiple_of(2)),
        group: None,
        size: if is_file { made.content.len() as u64 } else { 0 },
        modified: since(made.modified.0, made.modified.1),
        // Of this age of the world.
        changed: made.changed.map(|at| UNIX_EPOCH + Duration::from_nanos(at >> 2 | 1)),
        inode: made.inode,
        device: made.inode % 7,
        links: made.links,
    };
    into.push((entry, if is_file { made.content.clone() } else { Vec::new() }));
    let mut inside: Vec<_> = made.inside.iter().collect();
    inside.sort_by(|a, b| a.name.cmp(&b.name));
    inside.dedup_by(|a, b| a.name == b.name);
    for made in inside {
        flatten(&path.join(std::ffi::OsStr::from_bytes(&made.name)), made, into);
    }
}

#[test]
fn any_tree_comes_back() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let lab = Lab::new();
    let mut runner = TestRunner::new(Cases { cases: 24, ..Cases::default() });
    let tree = prop::collection::vec(made(), 0..8);
    let checked = runner.run(&tree, |inside| {
        let root = Made {
            name: Vec::new(),
            kind: 0,
            mode: 0o755,
            owner: (1, 1),
            modified: (0, 0),
            changed: None,
            inode: 1,
            links: 1,
            content: Vec::new(),
            inside,
        };
        let mut given = Vec::new();
        flatten(&lab.root(), &root, &mut given);
        runtime.block_on(comes_back(&lab, &given))
    });
    checked.unwrap();
}

async fn comes_back(lab: &Lab, given: &[(Entry, Vec<u8>)]) -> Result<(), TestCaseError> {
    let items = given.iter().map(|(entry, content)| match entry.kind {
        Kind::File => Item::File(entry.clone(), Box::new(io_of(content))),
        _ => Item::Entry(entry.clone()),
    });
    let items = items.chain([Item::End]).collect();
    let archived = lab.archive(None, items).await.unwrap();
    let captured = lab.finish(archived).await;
    prop_assert_eq!(&captured.failed, &vec![]);
    prop_assert_eq!(&captured.notes, &vec![]);
    let stored = lab.walked(&captured.id).await;
    prop_assert_eq!(stored.len(), given.len());
    for (stored, (entry, bytes)) in stored.iter().zip(given) {
        prop_assert_eq!(&stored.entry, entry);
        prop_assert!(stored.content.is_none() || content(stored) == *bytes);
    }
    Ok(())
}

fn io_of(content: &[u8]) -> std::io::Cursor<Vec<u8>> {
    std::io::Cursor::new(content.to_vec())
}
