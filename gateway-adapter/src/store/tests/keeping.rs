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

#[tokio::test]
async fn reclaiming_space_keeps_what_snapshots_and_captures_need() {
    let lab = Lab::new();
    lab.write("a", noise(100_000, 1));
    let first = lab.capture(None).await;
    lab.write("b", noise(100_000, 2));
    let second = lab.capture(Some(&first.id)).await;
    lab.store.delete(&first.id).await.unwrap();
    // A capture that has begun relies on its parent.
    let (parent, items) = {
        let items = items(&lab.root(), Some(lab.store.parent(&second.id).await.unwrap()));
        spawn_blocking(items).await.unwrap()
    };
    let store = lab.store.clone();
    let reclaimed = tokio::spawn(async move { store.reclaim().await });
    tokio::task::yield_now().await;
    let archived = lab.archive(parent, items).await.unwrap();
    assert!(!reclaimed.is_finished());
    let third = lab.finish(archived).await;
    assert_eq!(third.sealed.state(), State::Complete, "{:?}", third.notes);
    reclaimed.await.unwrap().unwrap();
    for captured in [&second, &third] {
        let report = lab.reopened().verify(&captured.id, quiet()).await.unwrap();
        assert!(report.intact, "{report:?}");
    }
    assert_same(&lab.walked(&third.id).await, &lab.root());
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
