//! Deleting, pruning and comparing snapshots.

use salvor_proto::gateway::v1::diff_snapshots_response::Kind as Difference;
use salvor_proto::registry::v1::Retention;

use super::*;

fn prune(keep_last: i32, in_use: Vec<String>, validate_only: bool) -> Prune {
    let identity = draft(Path::new("/")).identity.unwrap();
    Prune {
        sandbox: identity.sandbox.unwrap(),
        rules: Retention { keep_last, ..Retention::default() },
        in_use,
        roots: Vec::new(),
        validate_only,
        now: SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap(),
    }
}

#[tokio::test]
async fn pruning_deletes_what_no_rule_keeps() {
    let lab = Lab::new();
    let mut all = Vec::new();
    for n in 0..4 {
        lab.write("a", noise(1000, n));
        all.push(lab.capture(None).await.sealed);
    }
    let [oldest, used, old, newest] = &all[..] else { panic!() };
    let in_use = vec![used.name.clone()];
    for validate_only in [true, false] {
        let report = lab.store.prune(prune(1, in_use.clone(), validate_only)).await.unwrap();
        assert_eq!(report.deleted, [old.name.clone(), oldest.name.clone()]);
        let kept: Vec<_> = report.kept.iter().map(|kept| kept.name.clone()).collect();
        assert_eq!(kept, [newest.name.clone(), used.name.clone()]);
        assert_eq!(report.kept[1].because, ["in use"]);
        let left = lab.store.list().await.unwrap().snapshots.len();
        assert_eq!(left, if validate_only { 4 } else { 2 });
    }
    // Another sandbox's are not touched.
    let mut other = prune(1, vec![], false);
    other.sandbox.sandbox = "other".into();
    assert_eq!(lab.store.prune(other).await.unwrap(), pb::PruneReport::default());
    let gone = lab.store.delete(&id_of(oldest)).await;
    assert_eq!(gone, Err(StoreError::NotFound(id_of(oldest))));
}

/// Nothing is kept for anybody else.
const AT_ONCE: Reclaim = Reclaim { keep_pack: Duration::ZERO, keep_delete: Duration::ZERO };
const SIZE: u64 = 300_000;
/// Index files and the ends of packs differ by less, when small ones are merged.
const LITTLE: u64 = SIZE / 10;

/// Each has a file of its own that the next one lacks.
async fn captured(lab: &Lab, count: u64) -> Vec<Captured> {
    let mut all = Vec::new();
    lab.write("kept", noise(1000, 99));
    for n in 0..count {
        lab.write("a", noise(usize::try_from(SIZE).unwrap(), n));
        all.push(lab.capture(None).await);
    }
    all
}

async fn assert_intact(lab: &Lab, captured: &[Captured]) {
    for captured in captured {
        let report = lab.reopened().verify(&captured.id, quiet()).await.unwrap();
        assert!(report.intact, "{report:?}");
    }
}

fn packs(lab: &Lab) -> u64 {
    let packs = paths(&lab.repository().join("data"));
    let sizes = packs.iter().map(|path| fs::metadata(path).unwrap());
    sizes.filter(fs::Metadata::is_file).map(|pack| pack.len()).sum()
}

#[tokio::test]
async fn reclaiming_at_once_frees_what_nothing_needs_and_no_more() {
    let lab = Lab::with(AT_ONCE);
    let mut all = captured(&lab, 4).await;
    assert!(lab.store.reclaim().await.unwrap() < LITTLE, "everything is needed");
    let before = packs(&lab);
    for gone in all.drain(..2) {
        lab.store.delete(&gone.id).await.unwrap();
    }
    let freed = lab.store.reclaim().await.unwrap();
    assert!((2 * SIZE..3 * SIZE).contains(&freed), "{freed}");
    let there = before - packs(&lab);
    assert!((2 * SIZE..3 * SIZE).contains(&there), "{there} are gone of the disk");
    assert_intact(&lab, &all).await;
    assert_same(&lab.walked(&all[1].id).await, &lab.root());
    assert!(lab.store.reclaim().await.unwrap() < LITTLE, "nothing is left to free");
}

#[tokio::test]
async fn what_is_marked_stays_readable_until_its_time_is_over() {
    let slow = Reclaim { keep_delete: Duration::from_hours(72), ..AT_ONCE };
    let lab = Lab::with(slow);
    let mut all = captured(&lab, 2).await;
    let reader = lab.walked(&all[0].id).await;
    let gone = all.remove(0);
    lab.store.delete(&gone.id).await.unwrap();
    let before = packs(&lab);
    assert!(lab.reopened().reclaim().await.unwrap() < LITTLE, "marked, and young");
    assert!(packs(&lab) >= before);
    // Whoever found it by an older index reads it still.
    let file = reader.iter().find(|stored| stored.entry.path.ends_with("a")).unwrap();
    assert!(content(file) == noise(usize::try_from(SIZE).unwrap(), 0));
    drop(reader);
    // With a mark older than that it goes.
    let soon = Reclaim { keep_delete: Duration::from_millis(1), ..AT_ONCE };
    let freed = lab.reopened().reclaiming(soon).reclaim().await.unwrap();
    assert!(freed >= SIZE, "{freed}");
    assert!((SIZE..SIZE + LITTLE).contains(&packs(&lab)), "{} are left", packs(&lab));
    assert_intact(&lab, &all).await;
}

#[tokio::test]
async fn packs_that_are_young_are_left_alone() {
    let careful = Reclaim { keep_pack: Duration::from_hours(24), ..AT_ONCE };
    let lab = Lab::with(careful);
    let mut all = captured(&lab, 2).await;
    lab.store.delete(&all.remove(0).id).await.unwrap();
    assert!(lab.store.reclaim().await.unwrap() < LITTLE);
    let freed = lab.reopened().reclaiming(AT_ONCE).reclaim().await.unwrap();
    assert!(freed >= SIZE, "{freed}");
    assert_intact(&lab, &all).await;
}

#[tokio::test]
async fn reclaiming_space_waits_for_captures_and_keeps_what_they_need() {
    let lab = Lab::with(AT_ONCE);
    lab.write("a", noise(100_000, 1));
    let first = lab.capture(None).await;
    lab.write("b", noise(100_000, 2));
    let second = lab.capture(Some(&first.id)).await;
    // A capture that has begun relies on its parent, which nothing names any more.
    let (parent, items) = {
        let items = items(&lab.root(), Some(lab.store.parent(&second.id).await.unwrap()));
        spawn_blocking(items).await.unwrap()
    };
    for gone in [&first, &second] {
        lab.store.delete(&gone.id).await.unwrap();
    }
    let store = lab.store.clone();
    let reclaimed = tokio::spawn(async move { store.reclaim().await });
    tokio::task::yield_now().await;
    let archived = lab.archive(parent, items).await.unwrap();
    assert!(!reclaimed.is_finished());
    let third = lab.finish(archived).await;
    assert_eq!(third.sealed.state(), State::Complete, "{:?}", third.notes);
    reclaimed.await.unwrap().unwrap();
    assert_same(&lab.walked(&third.id).await, &lab.root());
    assert_intact(&lab, &[third]).await;
}

#[tokio::test]
async fn reclaiming_space_waits_for_whoever_reads() {
    let lab = Lab::with(AT_ONCE);
    let mut all = captured(&lab, 2).await;
    let gone = all.remove(0);
    let reading = lab.walked(&gone.id).await;
    lab.store.delete(&gone.id).await.unwrap();
    let store = lab.store.clone();
    let reclaimed = tokio::spawn(async move { store.reclaim().await });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    for stored in reading.iter().filter(|stored| stored.content.is_some()) {
        assert_eq!(content(stored).len().try_into(), Ok(stored.entry.size));
    }
    assert!(!reclaimed.is_finished());
    drop(reading);
    assert!(reclaimed.await.unwrap().unwrap() >= SIZE);
    assert_intact(&lab, &all).await;
}

#[tokio::test]
async fn differences_come_in_order_and_in_pages() {
    let lab = Lab::new();
    for name in ["a/x", "a/y", "b", "c", "d", "e/f/g", "same/file"] {
        lab.write(name, name);
    }
    let old = lab.capture(None).await;
    assert_eq!(lab.store.diff(&old.id, &old.id, None, 10).await.unwrap().changes, vec![]);
    lab.write("a/new", "new");
    fs::remove_file(lab.root().join("a/x")).unwrap();
    lab.write("b", "other content");
    fs::remove_file(lab.root().join("c")).unwrap();
    fs::create_dir(lab.root().join("c")).unwrap();
    lab.write("c/below", "x");
    let file = fs::File::options().write(true).open(lab.root().join("d")).unwrap();
    file.set_modified(UNIX_EPOCH).unwrap();
    fs::remove_dir_all(lab.root().join("e")).unwrap();
    let new = lab.capture(None).await;
    let whole = lab.store.diff(&old.id, &new.id, None, 1000).await.unwrap();
    assert_eq!(whole.next, None);
    let seen: Vec<_> = whole
        .changes
        .iter()
        .map(|change| {
            (change.path.strip_prefix(lab.root().to_str().unwrap()).unwrap(), change.kind())
        })
        .collect();
    let expected = [
        ("", Difference::Metadata),
        ("/a", Difference::Metadata),
        ("/a/new", Difference::Added),
        ("/a/x", Difference::Removed),
        ("/b", Difference::Content),
        ("/c", Difference::Type),
        ("/c/below", Difference::Added),
        ("/d", Difference::Metadata),
        ("/e", Difference::Removed),
        ("/e/f", Difference::Removed),
        ("/e/f/g", Difference::Removed),
    ];
    assert_eq!(seen, expected);
    for size in 1..=12 {
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = lab.store.diff(&old.id, &new.id, after, size).await.unwrap();
            assert!(page.changes.len() <= size);
            paged.extend(page.changes);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(paged, whole.changes, "in pages of {size}");
    }
}
