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
