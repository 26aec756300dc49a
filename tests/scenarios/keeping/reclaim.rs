//! Space is given back while snapshots are taken and put back, with nothing kept for anybody else's sake.

use std::{fs, path::Path, pin::pin, time::Duration};

use salvor_proto::{
    gateway::v1::{self as gateway, operation::Result as Outcome},
    recovery::v1::{self as pb, recovery::State},
    registry::v1 as registry,
    time::duration,
};
use salvor_testkit::{Fleet, Options, Reclaim, wait::PATIENCE};

use super::{prune, pruned};
use crate::{
    given::{adopted_as, adoption, lab},
    snapshots::{given, listed, options, restore, restored, rules, snapshot},
};

const FILES: u64 = 300;
const SIZE: usize = 20_000;

/// Bytes that neither compress nor repeat.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..SIZE / 8).flat_map(next).collect()
}

fn fill(root: &Path, seed: u64) {
    fs::create_dir_all(root.join("work")).unwrap();
    for number in 0..FILES {
        fs::write(root.join(format!("work/{number}")), noise(seed + number)).unwrap();
    }
}

fn assert_filled(root: &Path, seed: u64) {
    for number in 0..FILES {
        let found = fs::read(root.join(format!("work/{number}"))).unwrap();
        assert!(found == noise(seed + number), "file {number} is not what it was");
    }
}

/// A sandbox whose snapshots are thinned out to the last one, with what is garbage since; and another one, that reclaims.
async fn at_work() -> (Fleet, String, String, Vec<String>) {
    let at_once = Reclaim { keep_pack: Duration::ZERO, keep_delete: Duration::ZERO };
    let fleet = Fleet::start(Options { reclaim: at_once, ..options() }).await.unwrap();
    let (name, _) = given(&fleet, registry::SnapshotRules { keep_last: 2, ..rules() }).await;
    let other = pb::AdoptSandboxRequest { snapshot_rules: Some(rules()), ..adoption("other") };
    let (other, _) = adopted_as(&fleet, "other", other).await;
    snapshot(&fleet, &other).await;
    let mut taken = Vec::new();
    for round in 0..4 {
        // Some of it is new each time, so that packs are needed in part.
        fill(&root(&fleet), round * FILES / 3);
        taken.push(snapshot(&fleet, &name).await);
    }
    (fleet, name, other, taken)
}

fn root(fleet: &Fleet) -> std::path::PathBuf {
    lab(fleet).control.sandbox("coder").unwrap().root
}

fn freed(ended: &pb::Recovery) -> u64 {
    let summary = &ended.result.as_ref().unwrap().summary;
    let before = summary.split(" bytes freed").next().unwrap();
    before.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Reclaims again and again, from before `work` begins until after it has ended. Answers what that freed in all.
async fn reclaiming<T>(fleet: &Fleet, other: &str, work: impl Future<Output = T>) -> (T, u64) {
    let again = || {
        pruned(fleet, pb::PruneSandboxSnapshotsRequest { reclaim_space: true, ..prune(other, 1) })
    };
    let mut work = pin!(work);
    let mut sum = 0;
    loop {
        let mut round = pin!(again());
        tokio::select! {
            ended = &mut work => {
                sum += freed(&round.await) + freed(&again().await);
                return (ended, sum);
            }
            ended = &mut round => sum += freed(&ended),
        }
    }
}

async fn assert_all_intact(fleet: &Fleet) {
    let mut adapter = fleet.adapter.clone();
    for snapshot in listed(fleet, true).await {
        let request_id = uuid(&snapshot);
        let request = gateway::VerifySnapshotRequest { snapshot: snapshot.clone(), request_id };
        let begun = adapter.verify_snapshot(request).await.unwrap().into_inner();
        let request = gateway::WaitOperationRequest {
            name: begun.operation.unwrap().name,
            timeout: Some(duration(PATIENCE)),
        };
        let ended = adapter.wait_operation(request).await.unwrap().into_inner().operation.unwrap();
        let Some(Outcome::Verification(report)) = ended.result else { panic!("{ended:?}") };
        assert!(report.intact, "{snapshot}: {report:?}");
    }
}

/// Any id will do: made of the snapshot's.
fn uuid(snapshot: &str) -> String {
    let id = snapshot.rsplit('/').next().unwrap();
    format!("{}-{}-4{}-8{}-{}", &id[..8], &id[8..12], &id[13..16], &id[17..20], &id[20..32])
}

#[tokio::test]
async fn t02_reclaiming_space_while_a_snapshot_is_taken_damages_none() {
    let (fleet, name, other, _) = at_work().await;
    fill(&root(&fleet), 5000);
    let (taken, freed) = Box::pin(reclaiming(&fleet, &other, snapshot(&fleet, &name))).await;
    assert!(freed > u64::try_from(SIZE).unwrap() * FILES / 3, "{freed} bytes freed");
    assert_eq!(listed(&fleet, true).await.len(), 3);
    assert_all_intact(&fleet).await;
    fill(&root(&fleet), 9000);
    let back = restored(&fleet, restore(&name, &taken)).await;
    assert_eq!(back.state(), State::Succeeded, "{back:#?}");
    assert_filled(&root(&fleet), 5000);
    fleet.stop().await;
}

#[tokio::test]
async fn t02_reclaiming_space_while_a_snapshot_is_put_back_damages_nothing() {
    let (fleet, name, other, taken) = at_work().await;
    fill(&root(&fleet), 9000);
    let work = restored(&fleet, restore(&name, &taken[2]));
    let (back, freed) = Box::pin(reclaiming(&fleet, &other, work)).await;
    assert_eq!(back.state(), State::Succeeded, "{back:#?}");
    assert!(freed > u64::try_from(SIZE).unwrap() * FILES / 3, "{freed} bytes freed");
    assert_filled(&root(&fleet), 2 * FILES / 3);
    assert_all_intact(&fleet).await;
    fleet.stop().await;
}
