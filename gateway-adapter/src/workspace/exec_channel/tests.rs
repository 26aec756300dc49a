//! On a development gateway, in both dialects: real shells, real tar.

mod kept;
mod leave;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use salvor_devgateway::{Config, DevGateway, Dialect, Phase, Running};
use salvor_openshell_wire::v0_0 as wire;
use salvor_proto::registry::v1::Gateway as Record;
use salvor_runtime::SystemClock;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;
use crate::gateway::Way;
use crate::vendor::{Creation, Place};
use crate::workspace::{Kind, Reason, packing};

const ROOT: &str = "/sandbox/work";

/// A ready sandbox and the way into it.
struct Bench {
    channel: ExecChannel,
    root: PathBuf,
    running: Running,
    _directory: TempDir,
}

impl Bench {
    async fn start(dialect: Dialect) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = Config {
            data_dir: directory.path().join("data"),
            dialect,
            time_scale: 0.02,
            ..Config::default()
        };
        let running = DevGateway::start(config).await.unwrap();
        let record =
            Record { name: "gateways/lab".into(), endpoint: running.uri(), ..Record::default() };
        let gateway = Gateway::new(&record, Way::default(), Arc::new(SystemClock));
        let healthy = gateway.probe().await.found.unwrap();
        let place = Place { workspace: "default".into(), sandbox: "coder".into() };
        let spec = wire::SandboxSpec {
            template: Some(wire::SandboxTemplate {
                image: "lab/agent:1".into(),
                ..Default::default()
            }),
            command: vec!["sleep".into(), "infinity".into()],
            ..Default::default()
        };
        let creation = Creation {
            place: place.clone(),
            spec: prost::Message::encode_to_vec(&spec),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            request_id: uuid::Uuid::new_v4().to_string(),
        };
        let row = healthy.client.create(creation).await.unwrap();
        let control = running.control();
        assert!(control.wait_phase("coder", Phase::Ready, Duration::from_secs(20)).await);
        let root = control.sandbox("coder").unwrap().root.join("work");
        let incarnation = Incarnation { place, id: row.id };
        let channel = ExecChannel { gateway: Arc::new(gateway), healthy, incarnation, leave: None };
        Self { channel, root, running, _directory: directory }
    }

    async fn unpack(&self, stream: Vec<u8>) -> Result<Vec<Note>, Broken> {
        self.unpack_at(ROOT, stream).await
    }

    async fn unpack_at(&self, root: &str, stream: Vec<u8>) -> Result<Vec<Note>, Broken> {
        let size = stream.len() as u64;
        let (sender, tar) = mpsc::channel(2);
        let giving = async move {
            for piece in stream.chunks(100_000) {
                if sender.send(Bytes::copy_from_slice(piece)).await.is_err() {
                    return;
                }
            }
        };
        tokio::join!(self.channel.unpack(root.into(), size, tar), giving).0
    }

    /// Every regular file of these has its content's digest, and one that is missing is said.
    async fn digests_match(&self, entries: &[(Entry, &[u8])]) {
        let (sender, mut found) = mpsc::channel(100);
        let mut files: Vec<PathBuf> = entries
            .iter()
            .filter(|(entry, _)| entry.kind == Kind::File)
            .map(|(entry, _)| entry.path.clone())
            .collect();
        files.push(Path::new(ROOT).join("missing"));
        let notes = self.channel.digests(ROOT.into(), files, sender).await.unwrap();
        assert_eq!((notes.len(), notes[0].reason), (1, Reason::Unreadable));
        assert!(notes[0].path.ends_with("missing"));
        let mut digests = BTreeMap::new();
        while let Some((path, digest)) = found.recv().await {
            digests.insert(path, digest);
        }
        for (entry, content) in entries.iter().filter(|(entry, _)| entry.kind == Kind::File) {
            let wanted: [u8; 32] = Sha256::digest(content).into();
            assert_eq!(digests.remove(&entry.path), Some(wanted), "{:?}", entry.path);
        }
        assert!(digests.is_empty());
    }

    async fn remove(&self, paths: &[&[u8]]) -> Vec<Note> {
        let paths = paths.iter().map(|path| Path::new(ROOT).join(OsStr::from_bytes(path)));
        self.channel.remove(ROOT.into(), paths.collect()).await.unwrap()
    }
}

fn entry(path: &[u8], kind: Kind, size: usize) -> Entry {
    let me = fs::metadata("/proc/self").unwrap();
    Entry {
        path: Path::new(ROOT).join(OsStr::from_bytes(path)),
        mode: if kind == Kind::Directory { 0o755 } else { 0o644 },
        kind,
        uid: me.uid(),
        gid: me.gid(),
        user: None,
        group: None,
        size: size as u64,
        modified: UNIX_EPOCH + Duration::new(1_600_000_000, 123_456_789),
        changed: None,
        inode: 0,
        device: 0,
        links: 1,
    }
}

/// A stream of these entries, with their contents.
fn packed(entries: &[(Entry, &[u8])]) -> Vec<u8> {
    let mut stream = Vec::new();
    for (entry, content) in entries {
        let name = entry.path.strip_prefix(ROOT).unwrap();
        stream.extend(packing::head(entry, name, None));
        stream.extend_from_slice(content);
        stream.resize(stream.len() + packing::padding(content.len() as u64), 0);
    }
    stream.extend_from_slice(&packing::END);
    stream
}

fn directory(path: &str) -> (Entry, &'static [u8]) {
    (entry(path.as_bytes(), Kind::Directory, 0), b"")
}

fn file<'a>(path: &[u8], content: &'a [u8]) -> (Entry, &'a [u8]) {
    (entry(path, Kind::File, content.len()), content)
}

const BOTH: [Dialect; 2] = [Dialect::V0_0, Dialect::V0_1];

#[tokio::test]
async fn odd_names_sizes_and_metadata_come_through() {
    for dialect in BOTH {
        let bench = Bench::start(dialect).await;
        let long = "d/".repeat(130) + "long";
        let names: [&[u8]; 6] =
            [b"-rf", b"new\nline", b"\xff\xfe", b"back\\slash \\0101", b" space ", b"\"quoted\"'"];
        let big = vec![7; 2_500_000];
        let mut entries = vec![directory("")];
        entries.extend(names.iter().map(|name| file(name, b"content")));
        entries.push(file(b"big", &big));
        entries.push(file(long.as_bytes(), b"deep"));
        let mut strict = file(b"strict", b"");
        strict.0.mode = 0o6501;
        entries.push(strict);
        entries.push((entry(b"link", Kind::Symlink("/no/where".into()), 0), b""));
        entries.push((entry(b"pipe", Kind::Fifo, 0), b""));
        let mut closed = directory("closed");
        closed.0.mode = 0o500;
        entries.extend([closed, file(b"closed/in", b"in")]);
        assert_eq!(bench.unpack(packed(&entries)).await.unwrap(), []);
        for name in names {
            let path = bench.root.join(OsStr::from_bytes(name));
            assert_eq!(fs::read(&path).unwrap(), b"content", "{path:?}");
            let time = path.metadata().unwrap().modified().unwrap();
            assert_eq!(time, entries[0].0.modified);
        }
        assert_eq!(fs::read(bench.root.join("big")).unwrap(), big);
        assert_eq!(fs::read(bench.root.join(&long)).unwrap(), b"deep");
        let mode = |name: &str| bench.root.join(name).metadata().unwrap().mode() & 0o7777;
        assert_eq!((mode("strict"), mode("closed")), (0o6501, 0o500));
        let link = bench.root.join("link");
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("/no/where"));
        assert_eq!(link.symlink_metadata().unwrap().modified().unwrap(), entries[0].0.modified);
        assert_eq!(fs::read(bench.root.join("closed/in")).unwrap(), b"in");
        bench.digests_match(&entries).await;
        // And away with them.
        let mut gone: Vec<&[u8]> = names.to_vec();
        gone.extend([&b"d"[..], b"closed/in", b"not there", b"no/such/parent"]);
        assert_eq!(bench.remove(&gone).await, []);
        for name in gone {
            let path = bench.root.join(OsStr::from_bytes(name));
            assert!(path.symlink_metadata().is_err(), "{path:?}");
        }
        assert_eq!(mode("closed"), 0o500);
        assert!(bench.root.join("big").exists());
    }
}

#[tokio::test]
async fn symbolic_links_are_replaced_and_never_followed() {
    let bench = Bench::start(Dialect::V0_0).await;
    let outside = bench.root.with_file_name("outside");
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("victim"), "untouched").unwrap();
    fs::create_dir(&bench.root).unwrap();
    let file_outside = outside.join("victim");
    symlink(&outside, bench.root.join("dir")).unwrap();
    symlink(&file_outside, bench.root.join("file")).unwrap();
    fs::hard_link(&file_outside, bench.root.join("hard")).unwrap();
    // A removal behind a link is refused.
    let notes = bench.remove(&[b"dir/victim"]).await;
    assert_eq!(notes.iter().map(|note| note.reason).collect::<Vec<_>>(), [Reason::Unwritable]);
    assert!(notes[0].path.ends_with("work/dir/victim"), "{notes:?}");
    let entries = [
        directory(""),
        file(b"file", b"new"),
        file(b"hard", b"new"),
        directory("dir"),
        file(b"dir/victim", b"new"),
    ];
    assert_eq!(bench.unpack(packed(&entries)).await.unwrap(), []);
    for name in ["file", "hard", "dir/victim"] {
        let path = bench.root.join(name);
        assert!(path.symlink_metadata().unwrap().is_file());
        assert_eq!(fs::read(path).unwrap(), b"new");
    }
    assert!(bench.root.join("dir").symlink_metadata().unwrap().is_dir());
    assert_eq!(fs::read(&file_outside).unwrap(), b"untouched");
    // Removing a link takes the link alone.
    symlink(&outside, bench.root.join("again")).unwrap();
    assert_eq!(bench.remove(&[b"again"]).await, []);
    assert!(file_outside.exists() && !bench.root.join("again").exists());
    // A root that is a link is no root.
    fs::remove_dir_all(&bench.root).unwrap();
    symlink(&outside, &bench.root).unwrap();
    let notes = bench.unpack(packed(&entries)).await.unwrap();
    assert_eq!(notes[0].reason, Reason::RootMissing);
    assert_eq!(bench.remove(&[b"victim"]).await[0].reason, Reason::RootMissing);
    assert_eq!(fs::read(&file_outside).unwrap(), b"untouched");
}

#[tokio::test]
async fn what_cannot_be_written_is_named_and_the_rest_is_written() {
    let bench = Bench::start(Dialect::V0_1).await;
    fs::create_dir_all(bench.root.join("taken/by")).unwrap();
    let entries = [directory(""), file(b"a", b"a"), file(b"taken", b"t"), file(b"z", b"z")];
    let notes = bench.unpack(packed(&entries)).await.unwrap();
    let found: Vec<_> = notes.iter().map(|note| (note.path.clone(), note.reason)).collect();
    assert_eq!(found, [(Path::new(ROOT).join("taken"), Reason::Unwritable)]);
    assert_eq!(fs::read(bench.root.join("z")).unwrap(), b"z");
}

#[tokio::test]
async fn a_stream_that_ends_early_is_an_error() {
    for dialect in BOTH {
        let bench = Bench::start(dialect).await;
        let stream = packed(&[directory(""), file(b"a", &vec![1; 100_000])]);
        let size = stream.len() as u64;
        let (sender, tar) = mpsc::channel(2);
        sender.send(Bytes::from(stream[..50_000].to_vec())).await.unwrap();
        drop(sender);
        let broken = bench.channel.unpack(ROOT.into(), size, tar).await.unwrap_err();
        assert!(broken.to_string().contains("too early"), "{broken}");
        // And again, whole.
        assert_eq!(bench.unpack(packed(&[file(b"a", &[1; 9])])).await.unwrap(), []);
        assert_eq!(fs::read(bench.root.join("a")).unwrap(), [1; 9]);
    }
}

#[tokio::test]
async fn a_writer_that_a_broken_call_left_is_ended_first() {
    let start = |root: &Path, mark: &str, script: &str| {
        let word = format!("SALVOR_WRITER={}:salvor-begin-{mark}", root.display());
        let mut command = std::process::Command::new("env");
        command.args([&word, "/bin/sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap()
    };
    // A shell and a child of it: neither has the word in its arguments.
    let left_over = |root: &Path| start(root, "0", "sleep 1000 & wait");
    let ended = |mut child: Child| {
        assert!(!child.wait().unwrap().success());
        // The pipe ends when the last of them has.
        assert_eq!(child.stdout.unwrap().read_to_end(&mut Vec::new()).unwrap(), 0);
    };
    for dialect in BOTH {
        let bench = Bench::start(dialect).await;
        fs::create_dir_all(&bench.root).unwrap();
        let mut elsewhere = left_over(&bench.root.with_file_name("work2"));
        let here = left_over(&bench.root);
        assert_eq!(bench.unpack(packed(&[file(b"a", b"a")])).await.unwrap(), []);
        ended(here);
        let here = left_over(&bench.root);
        assert_eq!(bench.remove(&[b"a"]).await, []);
        ended(here);
        assert_eq!(elsewhere.try_wait().unwrap(), None);
        assert_eq!(bench.unpack_at("/sandbox/work2", packed(&[])).await.unwrap(), []);
        ended(elsewhere);
        // One that was slow to start leaves the place to a newer one.
        let mut newer = start(&bench.root, "f", "exec sleep 1000");
        let refused = bench.unpack(packed(&[file(b"a", b"a")])).await.unwrap_err();
        assert!(refused.to_string().contains("nothing was written"), "{refused}");
        assert_eq!(newer.try_wait().unwrap(), None);
        newer.kill().unwrap();
        ended(newer);
    }
}

#[tokio::test]
async fn a_listing_shows_what_was_unpacked() {
    let bench = Bench::start(Dialect::V0_0).await;
    let entries =
        [directory(""), file(b"a\nb", b"x"), (entry(b"l", Kind::Symlink("a".into()), 0), b"")];
    assert_eq!(bench.unpack(packed(&entries)).await.unwrap(), []);
    fs::set_permissions(&bench.root, Permissions::from_mode(0o755)).unwrap();
    let (sender, mut found) = mpsc::channel(100);
    assert_eq!(bench.channel.inventory(ROOT.into(), sender).await.unwrap(), []);
    let mut seen = Vec::new();
    while let Some(entry) = found.recv().await {
        seen.push((entry.path, entry.kind, entry.mode, entry.size, entry.modified));
    }
    seen.sort_by(|one, two| one.0.cmp(&two.0));
    for (seen, (entry, _)) in seen.iter().zip(&entries) {
        assert_eq!((&seen.0, &seen.1, seen.4), (&entry.path, &entry.kind, entry.modified));
    }
    assert_eq!(seen.len(), 3);
}
