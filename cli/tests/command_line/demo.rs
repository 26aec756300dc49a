//! The main job in one command.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use salvor_testkit::otlp::Receiver;

use super::support::{binary, last_line, salvor, signal, stderr, stdout};

#[test]
fn a_lost_sandbox_comes_back_on_either_wire() {
    for dialect in ["0.0", "0.1"] {
        let output = salvor(&["demo", "--output", "json", "--devgateway-dialect", dialect]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let told = last_line(&output);
        assert_eq!(told["path"], "stale_recovery", "{dialect}");
        assert_eq!(told["verified"], true);
        assert_eq!(told["trace_id"].as_str().unwrap().len(), 32);
        assert_ne!(told["live_id"], told["lost_id"]);
        let decisions = told["decisions"].as_array().unwrap();
        assert!(decisions.iter().any(|d| d["guard"] == "sandbox_is_absent"));
        for decision in decisions {
            assert_eq!(decision["result"], "allow");
            assert!(!decision["claim"].as_str().unwrap().is_empty());
        }
        let second = &told["second_act"];
        assert_eq!(second["path"], "stale_recovery", "{dialect}");
        assert_eq!(second["outcome"], "succeeded", "{second}");
        assert_eq!(second["lost_id"], told["live_id"], "what the first act brought back is lost");
        assert!(second["snapshot"].as_str().unwrap().starts_with("gateways/demo/snapshots/"));
        let restored = second["steps"].as_array().unwrap();
        assert!(restored.iter().any(|step| step["step"] == "restore_workspace"), "{restored:?}");
        let steps = told["steps"].as_array().unwrap();
        assert!(steps.iter().any(|step| step["step"] == "create"), "{steps:?}");
        let text = stdout(&output) + &stderr(&output);
        assert!(!text.contains("demo-secret"), "a secret of the spec was shown");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_trace_shows_every_decision_and_step() {
    let receiver = Receiver::start().await.unwrap();
    let output = salvor(&["demo", "-o", "json", "--otlp-endpoint", &receiver.endpoint()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let told = last_line(&output);
    let trace = u128::from_str_radix(told["trace_id"].as_str().unwrap(), 16).unwrap();
    let trace = trace.to_be_bytes();
    let spans = receiver.spans();
    let named = |prefix: &str| {
        let of_trace =
            spans.iter().filter(|span| span.trace_id == trace && span.name.starts_with(prefix));
        of_trace.count()
    };
    assert_eq!(named("guard "), told["decisions"].as_array().unwrap().len());
    assert_eq!(named("step "), told["steps"].as_array().unwrap().len());
}

#[test]
fn interrupted_it_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = binary()
        .arg("demo")
        .env("TMPDIR", dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("READY")));
    assert!(ready.is_some());
    signal("INT", child.id());
    for line in lines {
        drop(line);
    }
    assert_eq!(child.wait().unwrap().code(), Some(7));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
