//! Workspaces that change, vanish or refuse while they are read.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use salvor_devgateway::{Dialect, Effect, Fault};
use salvor_proto::gateway::v1::snapshot::State;
use salvor_proto::gateway::v1::*;
use tonic::Code;

use super::lab::{Lab, complete, coverage, failed, issues, notes, rules, taken};
use crate::target::BOTH;

/// As a user who may not read everything, also where the test is root.
const AS_NOBODY: &str = "[ $(id -u) = 0 ] || exec \"$real\" \"$@\"
     exec setpriv --reuid=65534 --regid=65534 --clear-groups -- \"$real\" \"$@\"";

async fn lab(dialect: Dialect) -> Lab {
    let lab = Lab::new(dialect).await;
    for n in 0..10 {
        lab.write(format!("work/d{n}/file"), vec![b'0' + n; 1000]);
    }
    lab
}

#[tokio::test]
async fn what_changes_once_is_read_again_and_nothing_else() {
    for dialect in BOTH {
        let mut lab = lab(dialect).await;
        let work = lab.root.join("work").display().to_string();
        lab.before_reading(&format!(
            "[ -e $0.once ] || {{ touch $0.once; cd {work}; echo more >>d3/file; rm d4/file; \
             echo new >d5/new; ln -sf /etc/passwd d6/file; }}"
        ));
        let snapshot = lab.take(rules(&["/sandbox/work"])).await;
        complete(&snapshot);
        let covered = coverage(&snapshot);
        assert_eq!((covered.files, covered.others), (9, 1));
        // Nine were read in vain or well, two again.
        assert_eq!((covered.bytes, covered.bytes_read), (8009, 8005 + 1009), "{covered:?}");
        let changed = [vec![b'3'; 1000], b"more\n".to_vec()].concat();
        assert_eq!(lab.read(&snapshot, "/sandbox/work/d3/file").await, changed);
        assert_eq!(lab.read(&snapshot, "/sandbox/work/d8/file").await, [b'8'; 1000]);
        assert_eq!(lab.snapshots().await, [bare(snapshot)]);
    }
}

/// As lists show it.
fn bare(mut snapshot: Snapshot) -> Snapshot {
    if let Some(coverage) = &mut snapshot.coverage {
        coverage.left_out.clear();
        coverage.issues.clear();
    }
    snapshot
}

#[tokio::test]
async fn what_never_comes_to_rest_is_noted() {
    let mut lab = lab(Dialect::V0_1).await;
    let work = lab.root.join("work").display().to_string();
    lab.before_reading(&format!("cd {work}; echo more >>d3/file; touch d4/file; touch d5/$$"));
    let snapshot = lab.take(rules(&["/sandbox/work"])).await;
    let found = issues(&snapshot);
    for path in ["d3/file", "d4/file"] {
        let path = format!("/sandbox/work/{path}");
        assert!(found.contains(&(&path, "CHANGED_WHILE_READING")), "{found:?}");
    }
    let appeared = |(path, reason): &&(&str, &str)| {
        *reason == "VANISHED" && path.starts_with("/sandbox/work/d5/")
    };
    assert_eq!(found.iter().filter(appeared).count(), 1, "{found:?}");
    assert_eq!(coverage(&snapshot).issue_count, found.len() as u64);
    assert_eq!(lab.snapshots().await, [bare(snapshot)]);
}

#[tokio::test]
async fn a_stream_that_ends_early_at_any_point_is_never_complete() {
    let mut lab = lab(Dialect::V0_0).await;
    for bytes in [0, 1, 512, 700, 1024, 1536, 1537, 5000, 9 * 1536 + 100] {
        lab.before_reading(&format!("$real \"$@\" | head -c {bytes}; exit 0"));
        let mut request = lab.request(rules(&["/sandbox/work"]));
        request.full = true;
        let snapshot = taken(lab.run(request).await);
        let found = issues(&snapshot);
        assert!(!found.is_empty(), "{bytes}");
        let last = ("/sandbox/work/d9/file", "UNREADABLE");
        assert!(found.contains(&last) || bytes > 9 * 1536, "{bytes}: {found:?}");
        assert_eq!(snapshot.state(), State::Incomplete);
        assert!(coverage(&snapshot).covered_roots.is_empty(), "{bytes}");
    }
}

#[tokio::test]
async fn a_sandbox_that_ends_under_the_reader_leaves_what_was_read() {
    for dialect in BOTH {
        let mut lab = lab(dialect).await;
        let reading = lab.root.join("reading").display().to_string();
        lab.before_reading(&format!(
            "$real \"$@\" | {{ head -c 5300; touch {reading}; exec sleep infinity; }}"
        ));
        let request = lab.request(rules(&["/sandbox/work"]));
        let begun = lab.begin(request).await.unwrap();
        lab.wait_file("reading").await;
        lab.target.control().kill("coder").await.unwrap();
        let snapshot = taken(lab.wait(&begun.name).await.result.unwrap());
        let found = issues(&snapshot);
        assert!(found.contains(&("/sandbox/work", "STREAM_CUT")), "{found:?}");
        assert_eq!(coverage(&snapshot).files, 4, "three whole ones and the one that was cut");
        let request = lab.request(rules(&["/sandbox/work"]));
        let failure = failed(lab.run(request).await);
        assert_eq!(failure.reason, "NOT_READY");
        assert!(failure.message.contains("ERROR"), "{}", failure.message);
        let SandboxRef { gateway, workspace, sandbox } = lab.target.sandbox("coder").unwrap();
        let name = format!("{gateway}/workspaces/{workspace}/sandboxes/{sandbox}");
        assert_eq!(failure.next_step, format!("salvor status {name}  # then ask again"));
        assert_eq!(lab.snapshots().await, [bare(snapshot)]);
    }
}

#[tokio::test]
async fn an_incarnation_that_is_replaced_meanwhile_is_noticed() {
    let mut lab = lab(Dialect::V0_1).await;
    let reading = lab.root.join("reading").display().to_string();
    lab.before_reading(&format!("touch {reading}; while [ -e {reading} ]; do sleep 0.01; done"));
    let request = lab.request(rules(&["/sandbox/work"]));
    let begun = lab.begin(request).await.unwrap();
    lab.wait_file("reading").await;
    lab.target.control().replace("coder").await.unwrap();
    match lab.wait(&begun.name).await.result.unwrap() {
        operation::Result::Snapshot(snapshot) => assert_eq!(snapshot.state(), State::Incomplete),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_may_not_be_read_is_named() {
    let mut lab = lab(Dialect::V0_0).await;
    for (name, mode) in [("d1/file", 0o000), ("d2", 0o000), ("d3", 0o600)] {
        let path = lab.root.join("work").join(name);
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    lab.tool("find", AS_NOBODY);
    lab.tool("tar", AS_NOBODY);
    let snapshot = lab.take(rules(&["/sandbox/work"])).await;
    let mut found = issues(&snapshot);
    found.sort_unstable();
    let closed = ["d1/file", "d2", "d3"].map(|name| format!("/sandbox/work/{name}"));
    assert_eq!(found, [0, 1, 2].map(|n: usize| (closed[n].as_str(), "UNREADABLE")));
    assert!(coverage(&snapshot).covered_roots.is_empty());
    assert_eq!(coverage(&snapshot).files, 7);
    // What is left out anyway need not be readable.
    let mut asked = rules(&["/sandbox/work"]);
    asked.excludes = vec!["/d1/".into(), "/d2/".into(), "/d3/".into()];
    let snapshot = lab.take(asked).await;
    complete(&snapshot);
    // Readable while it is listed, and not any more when it is read.
    lab.tool("find", "exec $real \"$@\"");
    let mut asked = rules(&["/sandbox/work"]);
    asked.excludes = vec!["/d2/".into(), "/d3/".into()];
    let snapshot = lab.take(asked).await;
    assert_eq!(issues(&snapshot), [("/sandbox/work/d1/file", "UNREADABLE")], "{snapshot:?}");
}

#[tokio::test]
async fn a_sandbox_without_the_tools_says_so() {
    let mut lab = lab(Dialect::V0_1).await;
    lab.tool("tar", "echo 'tar (busybox) 1.36'; exit 1");
    let snapshot = lab.take(rules(&["/sandbox/work"])).await;
    assert_eq!(issues(&snapshot), [("/sandbox/work", "STREAM_CUT")]);
    assert!(coverage(&snapshot).issues[0].detail.contains("no GNU tar"));
    assert_eq!((coverage(&snapshot).files, coverage(&snapshot).directories), (0, 11));
    lab.tool("find", "echo 'unrecognized: --version' >&2; exit 1");
    let request = lab.request(rules(&["/sandbox/work"]));
    let failure = failed(lab.run(request).await);
    assert!(failure.message.contains("no GNU find"), "{}", failure.message);
}

#[tokio::test]
async fn exit_codes_and_noise_of_the_gateway_do_no_harm() {
    let mut lab = lab(Dialect::V0_0).await;
    lab.tool("true", "exec $real");
    for method in ["ExecSandbox", "ExecSandboxInteractive"] {
        lab.target.control().fault(Fault::on(method, Effect::MisreportExit));
    }
    complete(&lab.take(rules(&["/sandbox/work"])).await);
}

#[tokio::test]
async fn who_may_not_is_refused_and_nothing_is_run() {
    let mut lab = lab(Dialect::V0_1).await;
    lab.take(rules(&["/sandbox/work"])).await;
    lab.target.control().clear_calls();
    let good = lab.request(rules(&["/sandbox/work"]));
    let permit = |effect: &str, token| lab.target.permit(effect, "coder", token);
    let newer = SnapshotWorkspaceRequest { permit: permit("snapshot", 7), ..good.clone() };
    let older = SnapshotWorkspaceRequest { permit: permit("snapshot", 6), ..good.clone() };
    let other = SnapshotWorkspaceRequest { permit: permit("restore", 8), ..good.clone() };
    let without = SnapshotWorkspaceRequest { permit: None, ..good.clone() };
    let odd = SnapshotWorkspaceRequest { request_id: "1".into(), ..newer.clone() };
    let rootless = SnapshotWorkspaceRequest { rules: Some(rules(&[])), ..newer.clone() };
    let ok = SnapshotWorkspaceRequest { live_id: "another".into(), ..newer };
    // A wrong incarnation is found out by looking.
    assert_eq!(failed(lab.run(ok).await).reason, "OTHER_INCARNATION");
    for (request, code) in [
        (older, Code::Aborted),
        (other, Code::FailedPrecondition),
        (without, Code::InvalidArgument),
        (odd, Code::InvalidArgument),
        (rootless, Code::InvalidArgument),
    ] {
        assert_eq!(lab.begin(request).await.unwrap_err().code(), code);
    }
    let execs = lab.target.control().calls();
    assert!(!execs.iter().any(|call| call.method.starts_with("Exec")), "{execs:?}");
}

#[tokio::test]
async fn notes_are_not_said_twice() {
    let mut lab = lab(Dialect::V0_1).await;
    lab.write("work/.npmrc", "a token");
    let work = lab.root.join("work").display().to_string();
    lab.before_reading(&format!("echo more >>{work}/d3/file"));
    let snapshot = lab.take(rules(&["/sandbox/work"])).await;
    assert_eq!(issues(&snapshot), [("/sandbox/work/d3/file", "CHANGED_WHILE_READING")]);
    let left = notes(&coverage(&snapshot).left_out);
    assert_eq!(left, [("/sandbox/work/.npmrc", "SECRET")]);
}

/// Lists, or sends, what is not there besides what is: as a tool in the place of the sandbox's own can.
#[tokio::test]
async fn what_a_tool_names_outside_its_root_is_named_and_the_rest_is_read() {
    for dialect in BOTH {
        let mut lab = lab(dialect).await;
        let evil =
            "f\\0007\\0001.5\\0001.5\\0001\\0001\\000644\\0000\\0000\\0000\\0000\\0001\\000\\000";
        lab.tool(
            "find",
            &format!(
                "case \"$*\" in *-printf*) ;; *) exec \"$real\" \"$@\";; esac
             \"$real\" \"$@\" || exit; printf '.\\000../secret\\000{evil}'"
            ),
        );
        let snapshot = lab.take(rules(&["/sandbox/work"])).await;
        assert_eq!(issues(&snapshot), [("/sandbox/work/../secret", "LEAVES_ROOT")]);
        assert_eq!((coverage(&snapshot).files, coverage(&snapshot).covered_roots.len()), (10, 0));
    }
}

#[tokio::test]
async fn what_a_stream_holds_from_outside_its_root_is_named_and_not_taken() {
    let mut lab = lab(Dialect::V0_1).await;
    lab.write("secret", "of another");
    lab.before_reading("exec \"$real\" \"$@\" -P ../secret");
    let snapshot = lab.take(rules(&["/sandbox/work"])).await;
    assert_eq!(issues(&snapshot), [("/sandbox/work/../secret", "LEAVES_ROOT")]);
    assert_eq!(coverage(&snapshot).files, 10);
}
