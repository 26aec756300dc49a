//! What a list does not show is not taken for absent.

use salvor_proto::time::timestamp;

use salvor_core::id::LiveId;

use super::*;

fn found(begun: u64) -> Snapshot {
    Snapshot {
        name: SnapshotName("gateways/g/snapshots/found".into()),
        of: "gateways/g/workspaces/w/sandboxes/s".parse().unwrap(),
        live_id: LiveId("live".into()),
        complete: true,
        begun: Timestamp(begun),
        covered: Vec::new(),
        excludes: Vec::new(),
        as_sealed: Vec::new(),
        files: 0,
        bytes: 0,
    }
}

#[test]
fn a_snapshot_that_cannot_be_read_counts_unless_it_is_older_than_the_one_found() {
    let unreadable = |begun| pb::Snapshot {
        name: format!("gateways/g/snapshots/{begun}"),
        begin_time: Some(timestamp(begun)),
        ..pb::Snapshot::default()
    };
    for (found_at, unread, known) in [
        (None, vec![], true),
        (Some(5), vec![], true),
        (Some(5), vec![4], true),
        (Some(5), vec![5], false),
        (Some(5), vec![6, 4], false),
        (None, vec![1], false),
    ] {
        let listed: Vec<_> = unread.iter().copied().map(unreadable).collect();
        let fact = settled(found_at.map(found), &listed, Timestamp(9));
        match fact {
            Fact::Known { value, .. } => {
                assert!(known && value == found_at.map(found), "{found_at:?} {unread:?}");
            }
            Fact::Unknown { why, detail } => {
                assert!(!known && why == Why::SnapshotUnreadable, "{found_at:?} {unread:?}");
                assert_eq!(detail, listed[0].name, "it is named");
            }
        }
    }
}
