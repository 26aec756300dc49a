//! What is there stays.

use super::*;

impl Bench {
    async fn add(&self, stream: Vec<u8>) -> Vec<Note> {
        let (sender, tar) = mpsc::channel(2);
        let size = stream.len() as u64;
        sender.send(Bytes::from(stream)).await.unwrap();
        self.channel.add(ROOT.into(), size, tar).await.unwrap()
    }

    async fn replace(&self, was: Option<&[u8]>, content: &'static [u8]) -> Vec<Reason> {
        let like = entry(b"config", Kind::File, content.len());
        let was = was.map(|was| Sha256::digest(was).into());
        let placed = self.channel.replace(ROOT.into(), like, (content.into(), was)).await;
        placed.unwrap().into_iter().map(|note| note.reason).collect()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.root.join(name)).unwrap()
    }
}

#[tokio::test]
async fn what_came_meanwhile_is_not_overwritten() {
    for dialect in BOTH {
        let bench = Bench::start(dialect).await;
        fs::create_dir_all(bench.root.join("dir")).unwrap();
        fs::write(bench.root.join("dir/came"), "the agent's").unwrap();
        fs::write(bench.root.join("no longer a directory"), "the agent's").unwrap();
        symlink("dir/came", bench.root.join("link")).unwrap();
        let entries = [
            directory(""),
            directory("dir"),
            file(b"dir/came", b"ours"),
            file(b"dir/gone", b"ours"),
            file(b"link", b"ours"),
            directory("new"),
            file(b"new/file", b"ours"),
            directory("no longer a directory"),
        ];
        let notes = bench.add(packed(&entries)).await;
        assert_eq!(notes, []);
        for kept in ["dir/came", "no longer a directory", "link"] {
            assert_eq!(bench.read(kept), b"the agent's", "{kept}");
        }
        assert!(bench.root.join("link").symlink_metadata().unwrap().is_symlink());
        for added in ["dir/gone", "new/file"] {
            assert_eq!(bench.read(added), b"ours", "{added}");
        }
    }
}

#[tokio::test]
async fn directories_get_their_mode_and_time_and_nothing_else_does() {
    for dialect in BOTH {
        let bench = Bench::start(dialect).await;
        let outside = bench.root.with_file_name("outside");
        fs::create_dir_all(outside.join("below")).unwrap();
        fs::create_dir_all(bench.root.join("odd\n \\0101/inner")).unwrap();
        fs::write(bench.root.join("file"), "").unwrap();
        symlink(&outside, bench.root.join("link")).unwrap();
        let facts = |path: &Path| {
            let meta = path.symlink_metadata().unwrap();
            (meta.mode() & 0o7777, meta.modified().unwrap())
        };
        let before = (facts(&outside), facts(&outside.join("below")));
        let dressed = [&b"odd\n \\0101/inner"[..], b"odd\n \\0101", b""];
        let wrong = [&b"file"[..], b"link", b"link/below", b"missing"];
        let mut asked: Vec<Entry> =
            wrong.iter().chain(&dressed).map(|path| entry(path, Kind::Directory, 0)).collect();
        for entry in &mut asked {
            entry.mode = 0o2711;
        }
        let notes = bench.channel.dress(ROOT.into(), asked.clone()).await.unwrap();
        let found: Vec<_> = notes.iter().map(|note| (&note.path, note.reason)).collect();
        let expected: Vec<_> =
            asked[..4].iter().map(|entry| (&entry.path, Reason::Unwritable)).collect();
        assert_eq!(found, expected);
        assert_eq!((facts(&outside), facts(&outside.join("below"))), before);
        for path in dressed {
            let found = facts(&bench.root.join(OsStr::from_bytes(path)));
            assert_eq!(found, (0o2711, asked[0].modified), "{path:?}");
        }
    }
}

#[tokio::test]
async fn a_file_that_nobody_has_read_is_not_replaced() {
    for dialect in BOTH {
        let bench = Bench::start(dialect).await;
        fs::create_dir_all(&bench.root).unwrap();
        assert_eq!(bench.replace(None, b"one").await, []);
        assert_eq!(bench.read("config"), b"one");
        let changed = [Reason::ChangedWhileReading];
        assert_eq!(bench.replace(None, b"two").await, changed, "it came meanwhile");
        assert_eq!(bench.replace(Some(b"other"), b"two").await, changed, "it was changed");
        assert_eq!(bench.read("config"), b"one");
        assert_eq!(bench.replace(Some(b"one"), b"two").await, []);
        assert_eq!(bench.read("config"), b"two");
        fs::remove_file(bench.root.join("config")).unwrap();
        assert_eq!(bench.replace(Some(b"two"), b"three").await, changed, "it was taken away");
        symlink("elsewhere", bench.root.join("config")).unwrap();
        assert_eq!(bench.replace(None, b"three").await, changed, "a link is something, too");
        let left = fs::read_dir(&bench.root).unwrap().count();
        assert_eq!(left, 1, "nothing is left beside it");
    }
}
