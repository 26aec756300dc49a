//! T13: a drill finds its nonce, and fails on what is damaged.

use std::path::Path;

use salvor_proto::recovery::v1::{self as pb, part::Outcome, recovery::State};
use salvor_testkit::Fleet;

use super::{FILE, given, options, read, rules, snapshot, tree};
use crate::given::lab;

pub(super) async fn drilled(fleet: &Fleet, name: &str, snapshot: &str) -> pb::Recovery {
    let request = pb::DrillSandboxRequest {
        name: name.into(),
        snapshot: snapshot.into(),
        ..Default::default()
    };
    let answer = fleet.recovery.clone().drill_sandbox(request).await.unwrap().into_inner();
    fleet.wait(&answer.recovery.unwrap().name).await.unwrap()
}

#[tokio::test]
async fn t13_a_drill_finds_its_nonce_and_leaves_nothing() {
    let fleet = Fleet::start(options()).await.unwrap();
    let (name, id) = given(&fleet, rules()).await;
    let before = tree(&fleet, &id).await;
    let drill = drilled(&fleet, &name, "").await;
    assert_eq!(drill.state(), State::Succeeded, "{drill:#?}");
    let result = drill.result.unwrap();
    assert_eq!((result.copy.as_str(), result.live_id.as_str()), ("", ""));
    assert_eq!(result.data.unwrap().outcome(), Outcome::Proven);
    let noted = fleet.record(&name).await.unwrap().snapshot_status.unwrap();
    let told = noted.last_drill.unwrap();
    assert!(told.passed && told.with_nonce, "{told:#?}");
    assert!(told.message.contains("the nonce was found"), "{told:#?}");
    assert_eq!((told.snapshot.clone(), told.recovery), (noted.last_complete, drill.name));
    assert_eq!(tree(&fleet, &id).await, before, "the nonce is taken away");
    assert_eq!(lab(&fleet).control.sandboxes().len(), 1, "the throw-away sandbox is gone");
    // The same snapshot by name: it bears its nonce.
    let again = drilled(&fleet, &name, &told.snapshot).await;
    assert_eq!(again.state(), State::Succeeded, "{again:#?}");
    let told = fleet.record(&name).await.unwrap().snapshot_status.unwrap().last_drill.unwrap();
    assert!(told.passed && told.with_nonce, "{told:#?}");
    fleet.stop().await;
}

/// Alters every byte of every pack, so that whatever is read of them is found out.
fn damage(directory: &Path) -> usize {
    let mut damaged = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            damaged += damage(&path);
            continue;
        }
        let mut bytes = std::fs::read(&path).unwrap();
        for byte in &mut bytes {
            *byte ^= 0x55;
        }
        let mut permissions = std::fs::metadata(&path).unwrap().permissions();
        #[expect(clippy::permissions_set_readonly_false, reason = "a file of this test's own")]
        permissions.set_readonly(false);
        std::fs::set_permissions(&path, permissions).unwrap();
        std::fs::write(&path, bytes).unwrap();
        damaged += 1;
    }
    damaged
}

#[tokio::test]
async fn t13_a_drill_of_a_damaged_snapshot_fails_and_says_so_on_the_record() {
    let fleet = Fleet::start(options()).await.unwrap();
    let (name, id) = given(&fleet, rules()).await;
    let taken = snapshot(&fleet, &name).await;
    assert!(damage(&fleet.dir().join("adapter/snapshots/data")) > 0);
    let drill = drilled(&fleet, &name, &taken).await;
    assert!(drill.done && drill.state() != State::Succeeded, "{drill:#?}");
    let told = fleet.record(&name).await.unwrap().snapshot_status.unwrap().last_drill.unwrap();
    assert!(!told.passed, "{told:#?}");
    assert_eq!((told.snapshot, told.recovery), (taken, drill.name));
    assert!(!told.message.is_empty());
    assert_eq!(lab(&fleet).control.sandboxes().len(), 1, "the throw-away sandbox is gone");
    assert_eq!(read(&fleet, "coder", &id, FILE).await, "first");
    fleet.stop().await;
}
