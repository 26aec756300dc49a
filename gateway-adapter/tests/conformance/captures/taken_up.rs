//! A capture that is asked for again, by another id, while the first one is at work.

use std::fs;

use salvor_proto::registry::v1::{QuiesceHooks, SnapshotRules};

use super::lab::{Lab, complete, coverage, failed, rules};
use crate::target::BOTH;

fn sh(command: &str) -> Vec<String> {
    ["/bin/sh", "-c", command].map(str::to_owned).to_vec()
}

#[tokio::test]
async fn the_older_capture_ends_with_its_hook_before_the_newer_begins() {
    for dialect in BOTH {
        let mut lab = Lab::new(dialect).await;
        lab.write("work/file", "x");
        let hooks = QuiesceHooks {
            before: sh("echo before >>/sandbox/log; echo state >/sandbox/work/dump"),
            after: sh("rm /sandbox/work/dump; echo after >>/sandbox/log"),
            timeout: None,
        };
        let asked = SnapshotRules { quiesce: Some(hooks), ..rules(&["/sandbox/work"]) };
        let reading = lab.root.join("reading").display().to_string();
        // The first reading never ends.
        lab.before_reading(&format!(
            "[ -e {reading} ] || {{ touch {reading}; exec sleep infinity; }}"
        ));
        let request = lab.request(asked.clone());
        let older = lab.begin(request).await.unwrap();
        lab.wait_file("reading").await;
        let snapshot = lab.take(asked).await;
        complete(&snapshot);
        assert_eq!(coverage(&snapshot).files, 2, "the dump is in it");
        assert_eq!(failed(lab.wait(&older.name).await.result.unwrap()).reason, "CANCELLED");
        let log = fs::read_to_string(lab.root.join("log")).unwrap();
        assert_eq!(log, "before\nafter\nbefore\nafter\n");
        assert_eq!(lab.snapshots().await.len(), 1);
    }
}
