//! Whatever is altered, cut or gone is found, named and never taken for good.

use super::faults::{files, shown};
use super::*;

#[tokio::test]
async fn a_lost_or_cut_pack_is_found_and_stored_anew() {
    let lab = Lab::new();
    lab.write("a", noise(100_000, 1));
    let first = lab.capture(None).await;
    for harm in ["gone", "cut", "empty"] {
        for path in files(&lab.repository(), "data") {
            let good = fs::read(&path).unwrap();
            match harm {
                "gone" => fs::remove_file(&path).unwrap(),
                "cut" => fs::write(&path, &good[..good.len() / 2]).unwrap(),
                _ => fs::write(&path, "").unwrap(),
            }
            let store = lab.reopened();
            let report = shown(&store, &first.id).await.unwrap();
            assert!(!report.intact, "{harm} {}", path.display());
            let detail = &report.problems[0].detail;
            assert!(detail.contains("in no pack that is there"), "{detail}");
            fs::write(&path, &good).unwrap();
        }
    }
    // Nothing relies on what is lost: it is read and stored again.
    for path in files(&lab.repository(), "data") {
        fs::remove_file(path).unwrap();
    }
    let mut parent = lab.store.parent(&first.id).await.unwrap();
    let entry = entry(&lab.root().join("a"));
    assert!(!spawn_blocking(move || parent.unchanged(&entry)).await.unwrap());
    let second = lab.capture(Some(&first.id)).await;
    assert_eq!(second.sealed.state(), State::Complete, "{:?}", second.notes);
    assert!(shown(&lab.reopened(), &second.id).await.unwrap().intact);
}

/// The read-back is of the repository, not of what was meant to be written.
#[tokio::test]
async fn damage_between_writing_and_reading_back_is_noted() {
    let lab = Lab::new();
    lab.write("a", noise(100_000, 1));
    lab.write("b", noise(100_000, 2));
    let (parent, items) = items(&lab.root(), None)();
    let archived = lab.archive(parent, items).await.unwrap();
    for path in files(&lab.repository(), "data") {
        let mut bytes = fs::read(&path).unwrap();
        bytes[50] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    let captured = lab.finish(archived).await;
    assert!(!captured.notes.is_empty());
    assert!(captured.notes.iter().all(|note| note.reason == Reason::ReadBackDiffers));
    assert_eq!(captured.sealed.state(), State::Incomplete);
}

#[tokio::test]
async fn swapped_snapshots_and_packs_are_found() {
    let lab = Lab::new();
    lab.write("a", noise(5_000, 1));
    let first = lab.capture(None).await;
    lab.write("a", noise(5_000, 2));
    let second = lab.capture(None).await;
    let at = |id: &SnapshotId| lab.repository().join("snapshots").join(id.as_str());
    fs::copy(at(&second.id), at(&first.id)).unwrap();
    let error = lab.reopened().get(&first.id).await.unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    let listing = lab.reopened().list().await.unwrap();
    assert_eq!((listing.snapshots.len(), listing.foreign), (1, 1));
    let packs = files(&lab.repository(), "data");
    for (one, other) in packs.iter().zip(packs.iter().rev()) {
        let (good, bad) = (fs::read(one).unwrap(), fs::read(other).unwrap());
        if good == bad || good.len() != bad.len() {
            continue;
        }
        fs::write(one, bad).unwrap();
        assert!(!shown(&lab.reopened(), &second.id).await.unwrap().intact || one != other);
        fs::write(one, good).unwrap();
    }
}

#[tokio::test]
async fn nothing_is_opened_or_made_where_it_should_not_be() {
    let lab = Lab::new();
    let store = |repository: &str, password: PasswordSource| {
        Store::new(Config { repository: repository.into(), options: Default::default(), password })
    };
    let file = || PasswordSource::File(lab.home.path().join("password"));
    let repository = lab.repository().to_str().unwrap().to_owned();
    lab.store.list().await.unwrap();
    fs::write(lab.home.path().join("wrong"), "battery staple\n").unwrap();
    let wrong = PasswordSource::File(lab.home.path().join("wrong"));
    let error = store(&repository, wrong).list().await.unwrap_err();
    assert_eq!(error, StoreError::WrongPassword { repository: repository.clone() });
    for unreadable in ["absent", "ws"] {
        let source = PasswordSource::File(lab.home.path().join(unreadable));
        let error = store(&repository, source).list().await.unwrap_err();
        assert!(matches!(error, StoreError::NoPassword { .. }), "{error}");
        assert!(!error.to_string().contains("correct horse"));
    }
    let unset = PasswordSource::Environment("SALVOR_TEST_UNSET".into());
    let error = store(&repository, unset).list().await.unwrap_err();
    assert!(matches!(error, StoreError::NoPassword { .. }), "{error}");
    let precious = lab.write("precious", "data");
    let error = store(lab.root().to_str().unwrap(), file()).list().await.unwrap_err();
    assert!(matches!(error, StoreError::NotARepository { .. }), "{error}");
    assert_eq!(paths(&lab.root()), [lab.root(), precious]);
    for unusable in ["rest:http://localhost", "opendal:nothing", ""] {
        let error = store(unusable, file()).list().await.unwrap_err();
        assert!(matches!(error, StoreError::Misconfigured { .. }), "{unusable}: {error}");
    }
    fs::remove_dir_all(lab.repository().join("snapshots")).unwrap();
    let error = lab.store.list().await.unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "no list is no empty list: {error}");
    for path in files(&lab.repository(), "keys") {
        fs::remove_file(path).unwrap();
    }
    let error = lab.reopened().list().await.unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
}
