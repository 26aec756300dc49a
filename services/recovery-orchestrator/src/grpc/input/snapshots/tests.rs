use super::*;

const NAME: &str = "gateways/lab/workspaces/default/sandboxes/coder";

fn name() -> String {
    NAME.to_owned()
}

fn id() -> String {
    format!("gateways/lab/snapshots/{}", "0a".repeat(32))
}

fn restore() -> pb::RestoreSandboxRequest {
    pb::RestoreSandboxRequest { name: name(), snapshot: id(), ..Default::default() }
}

#[expect(clippy::needless_pass_by_value, reason = "the end of a chain")]
fn field(error: Error) -> String {
    error.message().split(':').next().unwrap_or_default().to_owned()
}

#[test]
fn a_restore_names_its_snapshot_exactly() {
    let asked = restore_sandbox(&restore()).unwrap();
    assert_eq!((asked.request, asked.asked.snapshot), (Request::Restore, Some(SnapshotName(id()))));
    let wrong = [
        String::new(),
        "latest".to_owned(),
        id()[..40].to_owned(),
        id().to_uppercase(),
        id().replace("lab", "other"),
    ];
    for snapshot in wrong {
        let refused = restore_sandbox(&pb::RestoreSandboxRequest { snapshot, ..restore() });
        assert_eq!(field(refused.unwrap_err()), "snapshot");
    }
}

#[test]
fn a_copy_has_a_name_of_its_own() {
    let copy = |copy_to: &str| pb::RestoreSandboxRequest { copy_to: copy_to.into(), ..restore() };
    let asked = restore_sandbox(&copy("coder-2")).unwrap();
    assert_eq!(asked.request, Request::Copy);
    assert!(asked.asked.copy.unwrap().keep);
    for wrong in ["coder", "Coder", "a--b", "-a", "a-name-of-22-bytes-all"] {
        assert_eq!(field(restore_sandbox(&copy(wrong)).unwrap_err()), "copy_to", "{wrong}");
    }
    let other = pb::RestoreSandboxRequest { allow_other_sandbox: true, ..copy("coder-2") };
    assert_eq!(field(restore_sandbox(&other).unwrap_err()), "allow_other_sandbox");
    for (mode, allowed) in [(1, true), (2, false), (3, false), (9, false)] {
        let given = restore_sandbox(&pb::RestoreSandboxRequest { mode, ..copy("coder-2") });
        assert_eq!(given.is_ok(), allowed, "{mode}");
        assert!(allowed || field(given.unwrap_err()) == "mode");
    }
}

#[test]
fn paths_are_absolute_and_normalised() {
    let roots = |roots: &[&str]| {
        let roots = roots.iter().map(|&root| root.to_owned()).collect();
        snapshot_sandbox(&pb::SnapshotSandboxRequest { name: name(), roots, ..Default::default() })
    };
    assert_eq!(roots(&["/sandbox", "/home/agent"]).unwrap().asked.roots.len(), 2);
    for wrong in ["", "/", "sandbox", "/a/../b", "/a//b", "/a/", "/./a", "/a\nb"] {
        assert_eq!(field(roots(&["/ok", wrong]).unwrap_err()), "roots[1]", "{wrong:?}");
    }
    assert_eq!(field(roots(&["/a"; 65]).unwrap_err()), "roots");
    let paths = vec!["/sandbox/..".to_owned()];
    let refused = restore_sandbox(&pb::RestoreSandboxRequest { paths, ..restore() });
    assert_eq!(field(refused.unwrap_err()), "paths[0]");
}

#[test]
fn a_drill_has_a_throw_away_name_of_its_own() {
    let drill = || {
        let request = pb::DrillSandboxRequest { name: name(), ..Default::default() };
        drill_sandbox(&request).unwrap().asked.copy.unwrap()
    };
    let (one, two) = (drill(), drill());
    assert!(one.sandbox.as_str().starts_with("drill-") && !one.keep);
    assert_ne!(one.sandbox, two.sandbox);
}

#[test]
fn deletes_name_one_gateways_snapshots_in_no_order() {
    let snapshot = |digits: &str| format!("gateways/lab/snapshots/{}", digits.repeat(32));
    let delete = |snapshots: Vec<String>| {
        let request =
            pb::DeleteSandboxSnapshotsRequest { name: name(), snapshots, ..Default::default() };
        delete_sandbox_snapshots(&request)
    };
    let (one, two) = (snapshot("ab"), snapshot("cd"));
    let asked =
        |names: &[&String]| delete(names.iter().map(|&name| name.clone()).collect()).unwrap().asked;
    assert_eq!(asked(&[&two, &one, &two]), asked(&[&one, &two]));
    assert_eq!(asked(&[&one, &two]).delete.len(), 2);
    let elsewhere = one.replace("lab", "other");
    for wrong in [vec![], vec![one.clone(); 101], vec![one.clone(), elsewhere], vec![String::new()]]
    {
        assert_eq!(field(delete(wrong).unwrap_err()), "snapshots");
    }
}

#[test]
fn a_retention_keeps_something() {
    let prune = |retention| {
        let request =
            pb::PruneSandboxSnapshotsRequest { name: name(), retention, ..Default::default() };
        prune_sandbox_snapshots(&request)
    };
    assert_eq!(prune(None).unwrap().asked.retention, None);
    let week = registry::Retention { keep_daily: 7, ..Default::default() };
    assert_eq!(prune(Some(week)).unwrap().asked.retention.unwrap().daily, 7);
    assert_eq!(field(prune(Some(registry::Retention::default())).unwrap_err()), "retention");
    for keep_last in [-1, 10_001] {
        let wrong = registry::Retention { keep_last, ..Default::default() };
        assert_eq!(field(prune(Some(wrong)).unwrap_err()), "retention.keep_last");
    }
}
