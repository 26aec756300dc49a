//! Every kind of file of a repository with any byte of it altered, cut short, emptied or gone: each is found and named.

use super::*;

pub(super) fn files(repository: &Path, kind: &str) -> Vec<PathBuf> {
    let top = repository.join(kind);
    if top.is_file() {
        return vec![top];
    }
    paths(&top).into_iter().filter(|path| path.is_file()).collect()
}

pub(super) async fn shown(store: &Store, id: &SnapshotId) -> Result<pb::VerifyReport, StoreError> {
    store.verify(id, quiet()).await
}

/// Two files, a directory, and their packs.
async fn kept() -> (Lab, Captured) {
    let lab = Lab::new();
    lab.write("d/a", noise(300_000, 1));
    lab.write("b", "text");
    let captured = lab.capture(None).await;
    assert!(shown(&lab.store, &captured.id).await.unwrap().intact);
    (lab, captured)
}

/// The first byte, the last 8, a step into the list that a pack ends with, and others drawn from a seed: `SALVOR_FLIPS` in each file.
fn places(length: usize, seed: u64, at_most: usize) -> Vec<usize> {
    let wanted = std::env::var("SALVOR_FLIPS").ok().and_then(|count| count.parse().ok());
    let drawn = noise(8 * wanted.unwrap_or(16), seed);
    let drawn = drawn.chunks_exact(8).map(|eight| u64::from_le_bytes(eight.try_into().unwrap()));
    let drawn = drawn.map(|number| usize::try_from(number % length as u64).unwrap());
    let ends = [0, length - 40].into_iter().chain((length - 8..length).rev());
    ends.chain(drawn).take(at_most.max(wanted.unwrap_or(0))).collect()
}

/// What keeps the snapshot from being used, in words, with the repository as it is now.
async fn problem(store: &Store, id: &SnapshotId, kind: &str) -> Option<String> {
    match (kind, shown(store, id).await) {
        ("index" | "data", Ok(report)) => {
            assert_eq!(report.intact, report.problem_count == 0);
            report.problems.first().map(|problem| format!("{} {}", problem.path, problem.detail))
        }
        ("config" | "keys", Err(error @ StoreError::Damaged { .. })) => Some(error.to_string()),
        ("snapshots", Err(error @ StoreError::Foreign { .. })) => {
            let listing = store.list().await.unwrap();
            assert_eq!((listing.snapshots.len(), listing.foreign), (0, 1), "it cannot be chosen");
            assert!(store.parent(id).await.is_err());
            Some(error.to_string())
        }
        (_, Ok(_)) => None,
        (_, Err(error)) => panic!("{kind}: {error:?}"),
    }
}

#[tokio::test]
async fn any_flipped_byte_is_found() {
    let (lab, captured) = kept().await;
    // These are read once, when the repository is opened, and that takes its time.
    for (kind, at_most) in
        [("config", 4), ("keys", 4), ("snapshots", 30), ("index", 30), ("data", usize::MAX)]
    {
        for (seed, path) in (1..).zip(files(&lab.repository(), kind)) {
            let good = fs::read(&path).unwrap();
            for at in places(good.len(), seed, at_most) {
                let mut bad = good.clone();
                bad[at] ^= 1 << (at % 8);
                fs::write(&path, &bad).unwrap();
                let anew = ["config", "keys"].contains(&kind).then(|| lab.reopened());
                let store = anew.as_ref().unwrap_or(&lab.store);
                let found = problem(store, &captured.id, kind).await;
                assert!(found.is_some(), "byte {at} of {} in {}", good.len(), path.display());
            }
            fs::write(&path, &good).unwrap();
        }
    }
    assert!(shown(&lab.reopened(), &captured.id).await.unwrap().intact);
}

/// Only what nothing else would notice is said of a pack as a whole: an altered piece is named by the files it is part of.
#[tokio::test]
async fn an_altered_piece_is_named_by_its_files_and_an_altered_list_by_its_pack() {
    let (lab, captured) = kept().await;
    lab.write("other", noise(200_000, 9));
    let second = lab.capture(Some(&captured.id)).await;
    let packs = files(&lab.repository(), "data");
    let mut named = Vec::new();
    for path in &packs {
        let good = fs::read(path).unwrap();
        for at in [20, good.len() - 20] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(path, &bad).unwrap();
            let first = problem(&lab.store, &captured.id, "data").await;
            named.extend(first.or(problem(&lab.store, &second.id, "data").await));
        }
        fs::write(path, &good).unwrap();
    }
    assert_eq!(named.len(), 2 * packs.len(), "{named:#?}");
    let lists = named.iter().filter(|text| text.contains("the list at the end of pack")).count();
    assert_eq!(lists, packs.len(), "{named:#?}");
    assert!(named.iter().any(|text| text.contains("/ws/b ")), "{named:#?}");
}

#[tokio::test]
async fn a_lost_cut_or_empty_index_is_found_and_what_it_knew_of_is_stored_anew() {
    let (lab, first) = kept().await;
    let entry = entry(&lab.root().join("d/a"));
    for harm in ["gone", "cut", "empty"] {
        let indexes = files(&lab.repository(), "index");
        let good: Vec<_> = indexes.iter().map(|path| fs::read(path).unwrap()).collect();
        for (path, good) in indexes.iter().zip(&good) {
            match harm {
                "gone" => fs::remove_file(path).unwrap(),
                "cut" => fs::write(path, &good[..good.len() / 2]).unwrap(),
                _ => fs::write(path, "").unwrap(),
            }
        }
        let store = lab.reopened();
        let report = shown(&store, &first.id).await.unwrap();
        assert!(!report.intact, "{harm}");
        let detail = &report.problems[0].detail;
        assert!(detail.contains("in no pack that is there"), "{harm}: {detail}");
        assert!(walked(&store, &first.id, Vec::new()).await.is_err(), "{harm}");
        assert_eq!(store.list().await.unwrap().snapshots.len(), 1, "it is listed all the same");
        let (mut parent, entry) = (store.parent(&first.id).await.unwrap(), entry.clone());
        assert!(!spawn_blocking(move || parent.unchanged(&entry)).await.unwrap(), "{harm}");
        for (path, good) in indexes.iter().zip(&good) {
            fs::write(path, good).unwrap();
        }
        assert!(shown(&lab.store, &first.id).await.unwrap().intact, "{harm}");
    }
    for path in files(&lab.repository(), "index") {
        fs::remove_file(path).unwrap();
    }
    let second = lab.capture(Some(&first.id)).await;
    assert_eq!(second.sealed.state(), State::Complete, "{:?}", second.notes);
    assert!(shown(&lab.reopened(), &second.id).await.unwrap().intact);
}

#[tokio::test]
async fn a_lost_cut_or_empty_file_of_the_others_opens_and_makes_nothing() {
    let (lab, captured) = kept().await;
    for kind in ["config", "keys", "snapshots"] {
        let path = files(&lab.repository(), kind).remove(0);
        let good = fs::read(&path).unwrap();
        for harm in ["gone", "cut", "empty"] {
            match harm {
                "gone" => fs::remove_file(&path).unwrap(),
                "cut" => fs::write(&path, &good[..good.len() / 2]).unwrap(),
                _ => fs::write(&path, "").unwrap(),
            }
            let before = paths(&lab.repository());
            let error = shown(&lab.reopened(), &captured.id).await.unwrap_err();
            let reason = error.reason();
            match (kind, harm) {
                ("config", "gone") => assert_eq!(reason, "REPOSITORY_FOREIGN"),
                ("keys", "gone") => assert_eq!(reason, "REPOSITORY_INCOMPLETE"),
                ("config" | "keys", _) => assert_eq!(reason, "REPOSITORY_DAMAGED", "{error}"),
                (_, "gone") => assert_eq!(reason, "SNAPSHOT_NOT_FOUND"),
                _ => assert_eq!(reason, "SNAPSHOT_UNREADABLE"),
            }
            assert_eq!(paths(&lab.repository()), before, "{kind} {harm}");
            fs::write(&path, &good).unwrap();
        }
    }
    assert!(shown(&lab.reopened(), &captured.id).await.unwrap().intact);
}
