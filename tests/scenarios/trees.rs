//! T01: any workspace comes back whole: snapshot, loss, recovery, and then the same bytes, names, kinds, owners, modes, times
//! and links. `SALVOR_TREES=50` tries so many trees instead of a few; each has many entries, since a run takes seconds.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsStr,
    fs::{self, File, Permissions},
    io::{self, Seek as _, SeekFrom, Write as _},
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
    },
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use salvor_devgateway::Dialect;
use salvor_proto::recovery::v1::recovery::State;
use salvor_testkit::{Fleet, Options};

use crate::{
    given::{adopted_as, lose, on},
    rebuild::{keeping, root, snapshot},
    support::AUTO,
};

/// Trees that are tried unless told otherwise.
const TREES: u32 = 2;

#[derive(Debug, Clone)]
enum Kind {
    /// So many bytes, drawn from this seed.
    File(usize, u64),
    /// So many bytes, of which only some in the middle were ever written.
    Sparse(u64),
    Symlink(Vec<u8>),
    /// Another name of one of the files before it.
    Link(prop::sample::Index),
    Directory(Vec<Made>),
}

#[derive(Debug, Clone)]
struct Made {
    name: Vec<u8>,
    kind: Kind,
    mode: u32,
    owner: u32,
    modified: (i64, u32),
}

/// Any name, and more often one that is hard to tell apart or to quote.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let odd = prop::sample::select(b" -\\\"\n\t*$'\x7f\xc3\xff".to_vec());
    let byte = prop_oneof![odd, b'a'..=b'd', 1..=255_u8];
    let lengths = prop_oneof![9 => 1..8_usize, 1 => Just(255_usize)];
    lengths
        .prop_flat_map(move |length| prop::collection::vec(byte.clone(), length))
        .prop_filter("a name", |name| {
            !name.contains(&b'/') && !name.contains(&0) && name != b"." && name != b".."
        })
}

fn made() -> impl Strategy<Value = Made> {
    let sizes = prop_oneof![
        4 => prop::sample::select(vec![0, 1, 511, 512, 513, 4096, 10_240]),
        4 => 0..3000_usize,
        1 => 60_000..200_000_usize,
    ];
    let target = prop::collection::vec(1..=255_u8, 1..120);
    let kind = prop_oneof![
        8 => (sizes, any::<u64>()).prop_map(|(size, seed)| Kind::File(size, seed)),
        1 => target.prop_map(Kind::Symlink),
        2 => any::<prop::sample::Index>().prop_map(Kind::Link),
        1 => Just(Kind::Directory(Vec::new())),
    ];
    let times = (-1_000_000_000..4_000_000_000_i64, 0..1_000_000_000_u32);
    let leaf = (name(), kind, 0..0o10000_u32, 0..70_000_u32, times);
    let leaf = leaf.prop_map(|(name, kind, mode, owner, modified)| Made {
        name,
        kind,
        mode,
        owner,
        modified,
    });
    leaf.prop_recursive(4, 120, 8, |inner| {
        (inner.clone(), prop::collection::vec(inner, 0..8))
            .prop_map(|(made, inside)| Made { kind: Kind::Directory(inside), ..made })
    })
}

/// What is rare, once in every tree: large, sparse, deep.
fn always() -> Vec<Made> {
    let made = |name: &str, kind| Made {
        name: name.into(),
        kind,
        mode: 0o640,
        owner: 0,
        modified: (1_700_000_000, 123_456_789),
    };
    let mut deep = made("bottom", Kind::File(10, 1));
    for level in 0..60 {
        deep = made(&format!("level {level}"), Kind::Directory(vec![deep]));
        deep.mode = 0o750;
    }
    vec![made("large", Kind::File(5_000_000, 2)), made("sparse", Kind::Sparse(9_000_000)), deep]
}

fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length.div_ceil(8)).flat_map(|_| next()).take(length).collect()
}

/// Only the superuser gives files away, and comes into a directory that is closed to everybody.
fn superuser() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Makes what is in a directory. `files`: the first names of all files so far.
fn plant(directory: &Path, inside: &[Made], files: &mut Vec<PathBuf>) -> io::Result<()> {
    for made in inside {
        let path = directory.join(OsStr::from_bytes(&made.name));
        if path.symlink_metadata().is_ok() {
            continue;
        }
        match &made.kind {
            Kind::File(length, seed) => fs::write(&path, noise(*length, *seed))?,
            Kind::Sparse(length) => {
                let mut file = File::create(&path)?;
                file.seek(SeekFrom::Start(length / 2))?;
                file.write_all(b"in the middle")?;
                file.set_len(*length)?;
            }
            Kind::Symlink(target) => {
                symlink(OsStr::from_bytes(target), &path)?;
                continue;
            }
            Kind::Link(which) => {
                if !files.is_empty() {
                    fs::hard_link(which.get(files), &path)?;
                }
                continue;
            }
            Kind::Directory(inside) => {
                fs::create_dir(&path)?;
                plant(&path, inside, files)?;
            }
        }
        finish(&path, made)?;
        if !path.is_dir() {
            files.push(path);
        }
    }
    Ok(())
}

fn finish(path: &Path, made: &Made) -> io::Result<()> {
    let file = File::open(path)?;
    let mut bits = made.mode;
    if superuser() {
        // Before the mode, since it takes some of it away.
        chown(path, Some(made.owner), Some(made.owner / 2))?;
    } else {
        bits |= if path.is_dir() { 0o700 } else { 0o400 };
    }
    fs::set_permissions(path, Permissions::from_mode(bits))?;
    let (seconds, nanos) = made.modified;
    let away = Duration::from_secs(seconds.unsigned_abs());
    let whole = if seconds < 0 { UNIX_EPOCH - away } else { UNIX_EPOCH + away };
    file.set_modified(whole + Duration::from_nanos(nanos.into()))
}

/// All that an entry is: type and mode, owner and group, time, content or target, and the first name of the same file.
type Seen = (u32, (u32, u32), (i64, i64), Vec<u8>, PathBuf);

fn seen(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut seen = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let content = if meta.is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().into_vec()
            } else if meta.is_dir() {
                open.push(path.clone());
                Vec::new()
            } else {
                fs::read(&path).unwrap()
            };
            let (owner, time) = ((meta.uid(), meta.gid()), (meta.mtime(), meta.mtime_nsec()));
            let name = path.strip_prefix(root).unwrap().to_owned();
            seen.insert(name, (meta.ino(), (meta.mode(), owner, time, content)));
        }
    }
    let mut first = HashMap::new();
    let named = |(name, (inode, (mode, owner, time, content))): (PathBuf, (u64, _))| {
        let first = first.entry(inode).or_insert_with(|| name.clone()).clone();
        (name, (mode, owner, time, content, first))
    };
    seen.into_iter().map(named).collect()
}

/// Without printing megabytes.
fn difference(before: &BTreeMap<PathBuf, Seen>, after: &BTreeMap<PathBuf, Seen>) -> Vec<String> {
    let shown = |seen: Option<&Seen>| match seen {
        Some((mode, owner, time, content, first)) => {
            let (size, first) = (content.len(), first.display());
            format!("{mode:o} {owner:?} {time:?} {size} bytes, as {first}")
        }
        None => "nothing".to_owned(),
    };
    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    let differ = names.filter(|name| before.get(*name) != after.get(*name));
    differ
        .map(|name| {
            let (was, is) = (shown(before.get(name)), shown(after.get(name)));
            format!("{}: {was}, now {is}", name.display())
        })
        .collect()
}

#[test]
fn t01_any_workspace_comes_back_whole() {
    let wanted = std::env::var("SALVOR_TREES").ok().and_then(|count| count.parse().ok());
    let cases = wanted.unwrap_or(TREES);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (fleet, name) = runtime.block_on(async {
        let fleet = Fleet::start(Options { snapshots: true, ..on(Dialect::V0_1) }).await.unwrap();
        let (name, _) = adopted_as(&fleet, "coder", keeping(&["/sandbox"])).await;
        (fleet, name)
    });
    // Each try of a smaller tree that fails as well takes as long as the first.
    let config =
        Config { cases, max_shrink_iters: 60, failure_persistence: None, ..Config::default() };
    let checked = TestRunner::new(config).run(&prop::collection::vec(made(), 12..30), |inside| {
        runtime.block_on(comes_back(&fleet, &name, &inside))
    });
    runtime.block_on(fleet.stop());
    checked.unwrap();
}

async fn comes_back(fleet: &Fleet, name: &str, inside: &[Made]) -> Result<(), TestCaseError> {
    let workspace = root(fleet);
    for entry in fs::read_dir(&workspace).unwrap() {
        let path = entry.unwrap().path();
        let is_directory = path.symlink_metadata().unwrap().is_dir();
        if is_directory { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }
    let mut files = Vec::new();
    plant(&workspace, &always(), &mut files).unwrap();
    plant(&workspace, inside, &mut files).unwrap();
    let before = seen(&workspace);
    snapshot(fleet, name).await;
    prop_assert_eq!(difference(&before, &seen(&workspace)), Vec::<String>::new());
    lose(fleet, "coder").await;
    let ended = fleet.recover(name, AUTO).await.unwrap();
    let after = seen(&root(fleet));
    prop_assert_eq!(difference(&before, &after), Vec::<String>::new(), "{:#?}", ended);
    prop_assert_eq!(ended.state(), State::Succeeded, "{:#?}", ended);
    Ok(())
}
