//! Captures that do not go as they should.

use std::sync::Mutex;

use super::*;

/// Gives some bytes, then an error.
struct Cut(usize, std::io::ErrorKind);

impl std::io::Read for Cut {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.0 == 0 {
            return Err(self.1.into());
        }
        let length = self.0.min(buffer.len());
        buffer[..length].fill(b'x');
        self.0 -= length;
        Ok(length)
    }
}

#[tokio::test]
async fn a_reader_that_fails_is_noted_and_what_was_read_is_kept() {
    let lab = Lab::new();
    let root = entry(&lab.root());
    let file = |name: &str, size| Entry {
        path: lab.root().join(name),
        kind: Kind::File,
        size,
        ..root.clone()
    };
    let failed = ReadFailed { reason: Reason::Vanished, detail: "gone".into() };
    let chosen = std::io::Error::other(failed);
    let items = vec![
        Item::Entry(root.clone()),
        Item::File(file("a", 10), Box::new(Cut(4, std::io::ErrorKind::UnexpectedEof))),
        Item::File(file("b", 3 << 20), Box::new(Cut(2 << 20, std::io::ErrorKind::TimedOut))),
        Item::File(file("c", 5), Box::new(&b"abc"[..])),
        Item::File(file("d", 2), Box::new(&b"abc"[..])),
        Item::File(file("e", 400_000), Box::new(std::io::empty())),
        Item::File(file("f", 3), Box::new(Once(Some(chosen)))),
        Item::File(file("g", 3), Box::new(&b"abc"[..])),
        Item::End,
    ];
    let archived = lab.archive(None, items).await.unwrap();
    let captured = lab.finish(archived).await;
    let found: Vec<_> = captured
        .failed
        .iter()
        .map(|note| (note.path.file_name().unwrap().to_str().unwrap(), note.reason))
        .collect();
    assert_eq!(found.len(), 6, "{found:?}");
    for expected in [
        ("a", Reason::StreamCut),
        ("b", Reason::TimedOut),
        ("c", Reason::ChangedWhileReading),
        ("d", Reason::ChangedWhileReading),
        ("e", Reason::ChangedWhileReading),
        ("f", Reason::Vanished),
    ] {
        assert!(found.contains(&expected), "{expected:?} in {found:?}");
    }
    // What was read is what is there: the read-back finds nothing more.
    assert_eq!(captured.notes, vec![]);
    assert_eq!(captured.sealed.state(), State::Incomplete);
    let stored = lab.walked(&captured.id).await;
    assert_eq!(stored.len(), 8);
    assert_eq!(content(&stored[1]), b"xxxx");
    assert_eq!(content(&stored[2]).len(), 2 << 20);
    assert_eq!(content(&stored[7]), b"abc");
    let refused = lab.store.parent(&captured.id).await.unwrap_err();
    assert!(matches!(refused, StoreError::Foreign { .. }), "{refused}");
}

struct Once(Option<std::io::Error>);

impl std::io::Read for Once {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

#[tokio::test]
async fn a_capture_that_breaks_off_leaves_nothing() {
    let lab = Lab::new();
    let path = lab.write("a", noise(1 << 20, 3));
    let root = || Item::Entry(entry(&lab.root()));
    let file = || Item::File(entry(&path), Box::new(Lazy(path.clone(), None)));
    let outside = Entry { path: "/elsewhere".into(), ..entry(&lab.root()) };
    let below_file = Entry { path: path.join("b"), ..entry(&path) };
    let not_given = Entry { path: lab.root().join("d/e"), ..entry(&path) };
    let out_of_order = |error: &StoreError| matches!(error, StoreError::OutOfOrder { .. });
    for (what, items) in [
        ("cut", vec![root(), file()]),
        ("nothing at all", vec![]),
        ("twice", vec![root(), file(), file(), Item::End]),
        ("no root", vec![file(), Item::End]),
        ("outside", vec![root(), Item::Entry(outside), Item::End]),
        ("below a file", vec![root(), file(), Item::Entry(below_file), Item::End]),
        ("no directory", vec![root(), Item::Entry(not_given), Item::End]),
        ("no file", vec![root(), Item::Entry(entry(&path)), Item::End]),
    ] {
        let cut = matches!(what, "cut" | "nothing at all");
        let error = lab.archive(None, items).await.unwrap_err();
        assert!(
            if cut { error == StoreError::Aborted } else { out_of_order(&error) },
            "{what}: {error}"
        );
        let listing = lab.store.list().await.unwrap();
        assert_eq!((listing.snapshots.len(), listing.foreign), (0, 0), "{what}");
    }
}

/// A process that ends between `archive` and `seal`.
#[tokio::test]
async fn an_unsealed_capture_is_incomplete_and_answers_no_request() {
    let lab = Lab::new();
    lab.write("a", "a");
    let (parent, items) = items(&lab.root(), None)();
    let mut manifest = draft(&lab.root());
    manifest.request_id = "request".into();
    manifest.set_state(State::Complete);
    let archived =
        lab.store.archive(Draft { manifest }, parent, sent(items), quiet()).await.unwrap();
    drop(archived);
    let listing = lab.reopened().list().await.unwrap();
    assert_eq!(listing.snapshots.len(), 1);
    let left = &listing.snapshots[0];
    assert_eq!(left.state(), State::Incomplete);
    assert_eq!(left.request_id, "");
    assert_eq!(left.coverage.as_ref().unwrap().issue_count, 1);
    assert!(lab.store.parent(&id_of(left)).await.is_err());
    // For salvage it is all there.
    assert_same(&lab.walked(&id_of(left)).await, &lab.root());
}

#[tokio::test]
async fn two_captures_at_once_are_both_whole() {
    let lab = Lab::new();
    for n in 0..50 {
        lab.write(&format!("f{n}"), noise(50_000, n % 7));
    }
    let other = Lab { home: tempfile::tempdir().unwrap(), store: lab.reopened() };
    fs::create_dir(other.root()).unwrap();
    for n in 0..50 {
        other.write(&format!("f{n}"), noise(50_000, n % 11));
    }
    // The repository is made by the first of them.
    lab.store.list().await.unwrap();
    let (one, two) = tokio::join!(lab.capture(None), other.capture(None));
    for (lab, captured) in [(&lab, one), (&other, two)] {
        assert_eq!(captured.sealed.state(), State::Complete, "{:?}", captured.notes);
        let fresh = Lab { home: tempfile::tempdir().unwrap(), store: lab.store.clone() };
        assert_same(&fresh.walked(&captured.id).await, &lab.root());
    }
}

/// One stream for all files, as a tar stream is: the next entry is known only once the one before was read.
#[tokio::test]
async fn files_can_come_out_of_one_stream() {
    let lab = Lab::new();
    let root = entry(&lab.root());
    let sizes = [3_usize, 5 << 20, 2 << 20, 0, 300_000, 10];
    let entries = sizes.iter().enumerate().map(|(n, size)| Entry {
        path: lab.root().join(format!("f{n}")),
        kind: Kind::File,
        size: *size as u64,
        ..root.clone()
    });
    let (sender, items) = mpsc::sync_channel(0);
    let entries: Vec<Entry> = entries.collect();
    std::thread::spawn(move || {
        sender.send(Item::Entry(root)).unwrap();
        for entry in entries {
            let (pieces, content) = mpsc::sync_channel::<Vec<u8>>(0);
            let size = usize::try_from(entry.size).unwrap();
            let content = Piped { pieces: content, rest: Vec::new() };
            sender.send(Item::File(entry, Box::new(content))).unwrap();
            for piece in noise(size, size as u64).chunks(70_000) {
                pieces.send(piece.to_vec()).unwrap();
            }
        }
        sender.send(Item::End).unwrap();
    });
    let draft = Draft { manifest: draft(&lab.root()) };
    let archived = lab.store.archive(draft, None, items, quiet()).await.unwrap();
    let captured = lab.finish(archived).await;
    assert_eq!(captured.sealed.state(), State::Complete, "{:?}", captured.notes);
    let stored = lab.walked(&captured.id).await;
    assert_eq!(stored.len(), 1 + sizes.len());
    for (stored, size) in stored[1..].iter().zip(sizes) {
        assert!(content(stored) == noise(size, size as u64), "{size}");
    }
}

struct Piped {
    pieces: mpsc::Receiver<Vec<u8>>,
    rest: Vec<u8>,
}

impl std::io::Read for Piped {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.rest.is_empty() {
            self.rest = self.pieces.recv().unwrap_or_default();
        }
        let length = self.rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.rest[..length]);
        self.rest.drain(..length);
        Ok(length)
    }
}

#[tokio::test]
async fn a_verification_that_nobody_waits_for_ends() {
    let lab = Lab::new();
    for n in 0..200 {
        lab.write(&format!("f{n}"), "x");
    }
    let captured = lab.capture(None).await;
    let (first, seen) = mpsc::sync_channel(1000);
    let (go, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let progress: OnProgress = Arc::new(move |step: Step| {
        first.send(step.entries).unwrap();
        // The first ones wait until it is known that nobody does.
        let _ = held.lock().unwrap().recv();
    });
    let verification = lab.store.verify(&captured.id, progress);
    let seen = spawn_blocking(move || (seen.recv().unwrap(), seen));
    tokio::select! {
        _ = verification => panic!("it cannot have ended"),
        begun = seen => {
            let (entries, seen) = begun.unwrap();
            assert!(entries < 10);
            drop(go);
            // Its work ends, and with it the sender: far from all was looked at.
            let rest = spawn_blocking(move || seen.iter().count()).await.unwrap();
            assert!(rest < 200, "{rest}");
        }
    }
}
