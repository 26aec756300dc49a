use salvor_proto::registry::v1::{QuiesceHooks, SnapshotRules};

use super::*;

fn id() -> SnapshotId {
    "ab".repeat(32).parse().unwrap()
}

fn manifest() -> pb::Snapshot {
    pb::Snapshot {
        identity: Some(pb::SnapshotIdentity {
            sandbox: Some(pb::SandboxRef {
                gateway: "gateways/lab".into(),
                workspace: "default".into(),
                sandbox: "coder".into(),
            }),
            live_id: "1".into(),
        }),
        state: pb::snapshot::State::Complete.into(),
        request_id: "r".into(),
        ..pb::Snapshot::default()
    }
}

#[test]
fn only_a_sealed_manifest_is_complete() {
    let provisional = provisional(&manifest(), Timestamp::UNIX_EPOCH).unwrap();
    let read_provisional = read(&id(), &provisional).unwrap();
    assert_eq!(read_provisional.state(), pb::snapshot::State::Incomplete);
    let sealed = sealed(provisional.clone(), manifest()).unwrap();
    let read_sealed = read(&id(), &sealed).unwrap();
    assert_eq!(read_sealed.state(), pb::snapshot::State::Complete);
    assert_eq!(read_sealed.name, format!("gateways/lab/snapshots/{}", id()));
    // The mark counts for more than the manifest.
    let mut marked = sealed.clone();
    marked.tags = provisional.tags;
    assert_eq!(read(&id(), &marked).unwrap().state(), pb::snapshot::State::Incomplete);
}

#[test]
fn what_is_no_manifest_is_foreign() {
    let good = sealed(provisional(&manifest(), Timestamp::UNIX_EPOCH).unwrap(), manifest());
    let good = good.unwrap();
    for text in [
        None,
        Some("my holiday photos"),
        Some("{}"),
        Some(r#"{"salvor_manifest":2,"snapshot":{}}"#),
        Some(r#"{"salvor_manifest":1,"snapshot":{"state":7}}"#),
        Some(r#"{"salvor_manifest":1,"snapshot":{"files":"x"}}"#),
    ] {
        let file = SnapshotFile { description: text.map(str::to_owned), ..good.clone() };
        let error = read(&id(), &file).unwrap_err();
        assert!(matches!(error, StoreError::Foreign { .. }), "{text:?}: {error}");
    }
}

#[test]
fn notes_are_bounded_and_still_counted() {
    let note = |n: usize| pb::PathNote {
        path: format!("/{}", "x".repeat(n)),
        reason: "UNREADABLE".into(),
        detail: String::new(),
    };
    for (size, most) in [(1, MAX_NOTES), (4000, 70)] {
        let manifest = pb::Snapshot {
            coverage: Some(pb::Coverage {
                issues: vec![note(size); 2000],
                issue_count: 2000,
                ..pb::Coverage::default()
            }),
            ..manifest()
        };
        let file = provisional(&manifest, Timestamp::UNIX_EPOCH).unwrap();
        let read = read(&id(), &sealed(file, manifest).unwrap()).unwrap();
        let coverage = read.coverage.unwrap();
        assert!(coverage.issues.len() <= most && coverage.issues.len() > 50);
        assert_eq!(coverage.issue_count, 2000);
    }
}

#[test]
fn commands_of_hooks_are_known_by_their_digest_alone() {
    let hooks = |secret: &str| QuiesceHooks {
        before: vec!["agent-pause".into(), format!("--token={secret}")],
        ..QuiesceHooks::default()
    };
    let with = |quiesce| pb::Snapshot {
        rules: Some(SnapshotRules { quiesce, ..SnapshotRules::default() }),
        ..manifest()
    };
    let digest = |quiesce| {
        let file = provisional(&with(quiesce), Timestamp::UNIX_EPOCH).unwrap();
        assert!(!file.description.as_ref().unwrap().contains("agent-pause"), "{file:?}");
        let read = read(&id(), &file).unwrap();
        assert_eq!(read.rules, Some(SnapshotRules::default()));
        read.hooks_digest
    };
    assert_eq!(digest(Some(hooks("hunter2"))), digest(Some(hooks("hunter2"))));
    assert_ne!(digest(Some(hooks("hunter2"))), digest(Some(hooks("hunter3"))));
    assert_eq!((digest(Some(hooks("hunter2"))).len(), digest(None)), (64, String::new()));
    // One that was written before commands were left out.
    let mut old = provisional(&manifest(), Timestamp::UNIX_EPOCH).unwrap();
    let snapshot = json::to_json(&with(Some(hooks("hunter2")))).unwrap();
    let envelope = Envelope { salvor_manifest: VERSION, snapshot };
    old.description = Some(serde_json::to_string(&envelope).unwrap());
    let shown = read(&id(), &old).unwrap();
    assert_eq!(shown.hooks_digest, digest(Some(hooks("hunter2"))));
    assert_eq!(shown.rules, Some(SnapshotRules::default()));
}
