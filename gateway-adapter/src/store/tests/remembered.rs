//! A disk that is not mounted is no empty repository; and what cannot be read is said to be there.

use super::*;

impl Lab {
    /// Opened anew by an adapter with a data directory.
    fn remembering(&self) -> Store {
        Store::remembering(config(self.home.path()), Some(self.home.path().join("data")))
    }
}

fn gone(error: &StoreError) -> (&str, &str) {
    match error {
        StoreError::Gone { id, found, .. } => (id, found),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn no_repository_is_made_or_used_where_another_one_was() {
    let lab = Lab::new();
    lab.remembering().list().await.unwrap();
    lab.write("a", "text");
    let captured = lab.capture(None).await;
    assert_eq!(lab.remembering().list().await.unwrap().snapshots.len(), 1);
    let aside = lab.home.path().join("aside");
    fs::rename(lab.repository(), &aside).unwrap();
    for mounted_on in [false, true] {
        if mounted_on {
            fs::create_dir(lab.repository()).unwrap();
        }
        let error = lab.remembering().list().await.unwrap_err();
        let (id, found) = gone(&error);
        assert_eq!((id.len(), found), (64, "nothing"));
        let line = fs::read_to_string(lab.home.path().join("data/repositories")).unwrap();
        assert!(line.starts_with(id) && error.to_string().contains("data/repositories"), "{error}");
        let made = lab.repository().exists()
            && paths(&lab.repository()).into_iter().any(|path| path.is_file());
        assert!(!made, "nothing was made");
    }
    // Somebody else's disk.
    lab.reopened().list().await.unwrap();
    let error = lab.remembering().list().await.unwrap_err();
    assert!(gone(&error).1.starts_with("repository "), "{error}");

    fs::remove_dir_all(lab.repository()).unwrap();
    fs::rename(&aside, lab.repository()).unwrap();
    assert_eq!(lab.remembering().get(&captured.id).await.unwrap().name, captured.sealed.name);
    // Given up by a person, and only then.
    fs::remove_dir_all(lab.repository()).unwrap();
    fs::write(lab.home.path().join("data/repositories"), "").unwrap();
    assert_eq!(lab.remembering().list().await.unwrap().snapshots.len(), 0);
}

#[tokio::test]
async fn each_place_is_remembered_by_itself() {
    let lab = Lab::new();
    lab.remembering().list().await.unwrap();
    let other = Config {
        repository: lab.home.path().join("other").to_str().unwrap().to_owned(),
        ..config(lab.home.path())
    };
    let data = Some(lab.home.path().join("data"));
    Store::remembering(other.clone(), data.clone()).list().await.unwrap();
    for place in [lab.repository(), PathBuf::from(&other.repository)] {
        fs::remove_dir_all(place).unwrap();
    }
    gone(&lab.remembering().list().await.unwrap_err());
    gone(&Store::remembering(other, data).list().await.unwrap_err());
}

/// Its tags say whose it is, so that nobody takes an older one for the newest.
#[tokio::test]
async fn a_snapshot_of_a_newer_salvor_is_named() {
    let lab = Lab::new();
    lab.write("a", "text");
    let captured = lab.capture(None).await;
    let id = captured.id.clone();
    let newer = lab.store.blocking(move |place| {
        let opened = place.open()?;
        let mut file = snapshots::get(&opened, &id)?.file;
        let text = file.description.take().unwrap();
        file.description = Some(text.replace("\"salvor_manifest\":1", "\"salvor_manifest\":99"));
        snapshots::save(&opened, file)
    });
    let newer = newer.await.unwrap();
    let listing = lab.reopened().list().await.unwrap();
    assert_eq!((listing.snapshots.len(), listing.foreign), (1, 1));
    let [unreadable] = &listing.unreadable[..] else { panic!("{listing:?}") };
    assert_eq!(unreadable.name, format!("gateways/lab/snapshots/{newer}"));
    let of = |snapshot: &pb::Snapshot| snapshot.identity.clone().unwrap().sandbox;
    assert_eq!(of(unreadable), of(&captured.sealed));
    assert!(unreadable.begin_time.is_some());
}
