//! T24: the stream that brings a workspace back is cut by the gateway. What is not there is named, the snapshot is kept, and
//! trying again works.

use std::fs;

use salvor_devgateway::{Dialect, Effect, Fault};
use salvor_proto::recovery::v1::{self as pb, part::Outcome, recovery::State};
use salvor_testkit::{Fleet, Options};

use crate::{
    given::{adopted_as, lab, lose, on, steps},
    rebuild::{is_as_it_was, keeping, read, root, snapshot, snapshots},
    support::{AUTO, REBUILD},
};

/// Tries of one recovery, after which what is not there is owed.
const TRIES: u32 = 3;

/// Live, with a file that comes first in a stream and one that comes last.
async fn given() -> (Fleet, String) {
    let fleet = Fleet::start(Options { snapshots: true, ..on(Dialect::V0_1) }).await.unwrap();
    let (name, _) = adopted_as(&fleet, "coder", keeping(&["/sandbox"])).await;
    for file in ["a", "z"] {
        fs::write(root(&fleet).join(file), vec![file.as_bytes()[0]; 300_000]).unwrap();
    }
    (fleet, name)
}

/// The gateway cuts what unpacks, so many times, each after so many bytes.
fn cut(fleet: &Fleet, after: u64, times: u32) {
    let cut = Effect::CutInput { command: "-xf -".into(), after };
    lab(fleet).control.fault(Fault::on("ExecSandboxInteractive", cut).times(times));
}

#[tokio::test]
async fn t24_a_stream_that_is_cut_once_is_sent_again() {
    let (fleet, name) = given().await;
    let tree = read(&root(&fleet));
    for after in [0, 700, 200_000, 300_600, 500_000] {
        cut(&fleet, after, 1);
        let ended = fleet.recover(&name, REBUILD).await.unwrap();
        assert!(lab(&fleet).control.faults().is_empty(), "{after}: nothing was cut");
        is_as_it_was(&fleet, &name, &ended, &tree).await;
        assert!(steps(&ended).contains(&("compare_workspace", "differs")), "{after}: {ended:#?}");
        assert_eq!(steps(&ended).iter().filter(|(step, _)| *step == "delete").count(), 1);
    }
    fleet.stop().await;
}

/// Each try gets a little further than the one before only as far as whole files go, and none of them to the end.
#[tokio::test]
async fn t24_what_never_arrives_is_named_and_restored_later_from_the_snapshot_that_is_kept() {
    let (fleet, name) = given().await;
    let tree = read(&root(&fleet));
    let taken = snapshot(&fleet, &name).await;
    lose(&fleet, "coder").await;
    cut(&fleet, 100_000, TRIES);
    let ended = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(ended.state(), State::Degraded, "{ended:#?}");
    let result = ended.result.unwrap();
    let data = result.data.unwrap();
    assert_eq!(data.outcome(), Outcome::Pending);
    for file in ["/sandbox/a", "/sandbox/z"] {
        assert!(data.message.contains(file), "{file}: {}", data.message);
    }
    assert!(result.summary.contains("the snapshot is kept"), "{}", result.summary);
    assert!(snapshots(&fleet, false).await.iter().any(|kept| kept.name == taken));

    let request = pb::RestoreSandboxRequest {
        name: name.clone(),
        snapshot: taken.clone(),
        ..pb::RestoreSandboxRequest::default()
    };
    let answer = fleet.recovery.clone().restore_sandbox(request).await.unwrap().into_inner();
    let restored = fleet.wait(&answer.recovery.unwrap().name).await.unwrap();
    is_as_it_was(&fleet, &name, &restored, &tree).await;
    fleet.stop().await;
}
