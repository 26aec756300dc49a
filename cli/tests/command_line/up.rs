//! All three services in one process, and the other commands against them.

use std::net::TcpListener;

use salvor_devgateway::Dialect;
use salvor_devgateway::user::{Seed, User};
use serde_json::Value;

use super::support::{Up, salvor, stderr, until};

#[tokio::test(flavor = "multi_thread")]
async fn one_sandbox_through_its_whole_life() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path(), &["--with-devgateway", "--devgateway-port", "0"]);
    let user = User::new(up.address("devgateway"), Dialect::V0_0).unwrap();
    let seed = Seed { image: "img:1".to_owned(), ..Seed::default() };
    user.create("coder", &seed).await.unwrap();

    until(&up, &["gateways", "probe", "dev"], 0);
    let adopted = until(&up, &["adopt", "coder", "--agent", "codex@1", "--default"], 0);
    assert_eq!(adopted["name"], "gateways/dev/workspaces/default/sandboxes/coder");
    let all = until(&up, &["adopt", "--gateway", "dev"], 0);
    assert_eq!(all["alreadyRecorded"][0], adopted["name"], "{all}");
    let listed = until(&up, &["list"], 0);
    assert_eq!(listed["sandboxes"][0]["agents"][0]["kind"], "codex");
    let status = until(&up, &["status"], 0);
    assert_eq!(status["verdict"], "VERDICT_LIVE", "the default sandbox is meant");
    let connected = until(&up, &["connect", "default/coder"], 0);
    assert_eq!(connected["live"], true);

    let plan = until(&up, &["plan", "--destroy", "coder"], 0);
    let digest = plan["digest"].as_str().unwrap();
    assert!(!plan["losses"].as_array().unwrap().is_empty());

    let other = "0".repeat(64);
    for (args, exit, reason) in [
        (&["recover", "codre"][..], 9, "SANDBOX_NOT_FOUND"),
        (&["adopt", "coder"], 8, "SANDBOX_EXISTS"),
        (&["destroy", "coder"], 3, "DATA_LOSS_NOT_ACCEPTED"),
        (&["destroy", "coder", "--accept-data-loss", "0000"], 2, "INVALID_FIELD"),
        (&["destroy", "coder", "--accept-data-loss", &other], 3, "DATA_LOSS_NOT_ACCEPTED"),
    ] {
        let error = until(&up, args, exit)["error"].clone();
        assert_eq!(error["reason"], reason, "{args:?}: {error}");
    }
    let nothing = until(&up, &["recover", "coder"], 0);
    assert_eq!(nothing["recovery"], Value::Null, "a live sandbox needs no recovery");

    let gone = until(&up, &["destroy", "coder", "--accept-data-loss", digest], 0);
    assert_eq!(gone["recovery"]["state"], "STATE_SUCCEEDED", "{gone}");
    let recovery = gone["recovery"]["name"].as_str().unwrap();
    let decisions = until(&up, &["decisions", recovery], 0);
    assert!(!decisions["decisions"].as_array().unwrap().is_empty());
    until(&up, &["status"], 9);
    assert_eq!(up.end(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_declared_shown_and_changed() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path(), &["--with-devgateway", "--devgateway-port", "0"]);
    let user = User::new(up.address("devgateway"), Dialect::V0_0).unwrap();
    user.create("coder", &Seed { image: "img:1".to_owned(), ..Seed::default() }).await.unwrap();
    until(&up, &["gateways", "probe", "dev"], 0);
    let adopt = ["adopt", "coder", "--snapshot-root", "/sandbox", "--snapshot-interval", "1h"];
    let adopted = until(&up, &adopt, 0);
    assert_eq!(adopted["snapshotRules"]["roots"][0], "/sandbox", "{adopted}");
    assert_eq!(adopted["snapshotRules"]["interval"], "3600s");

    let change = ["snapshot", "rules", "coder", "--keep-daily", "7", "--clear", "interval"];
    let check = until(&up, &[&change[..], &["--validate-only"]].concat(), 0);
    assert_eq!(check["snapshotRules"]["retention"]["keepDaily"], 7, "{check}");
    let shown = until(&up, &["snapshot", "rules", "coder"], 0);
    assert_eq!(shown["snapshotRules"], adopted["snapshotRules"], "a check stores nothing");
    until(&up, &change, 0);
    let shown = until(&up, &["snapshot", "rules", "coder"], 0);
    assert_eq!(shown["snapshotRules"]["retention"]["keepDaily"], 7);
    assert_eq!(shown["snapshotRules"]["interval"], Value::Null);
    assert_eq!(shown["snapshotRules"]["roots"][0], "/sandbox", "what is not given stays");

    let config =
        ["--config-file", "/sandbox/app.json=auth.token", "--config-file", "toml:/sandbox/rc"];
    until(&up, &[&["snapshot", "rules", "coder"], &config[..]].concat(), 0);
    let declared = until(&up, &["snapshot", "rules", "coder"], 0);
    assert_eq!(declared["configFiles"][0]["runtimeOwnedKeys"][0], "auth.token", "{declared}");
    assert_eq!(declared["configFiles"][1]["format"], "toml");
    assert_eq!(declared["snapshotRules"], shown["snapshotRules"]);
    let bad = ["snapshot", "rules", "coder", "--config-file", "/sandbox/app.json=a..b"];
    let error = until(&up, &bad, 2)["error"].clone();
    assert!(error["message"].as_str().unwrap().contains("runtime_owned_keys[0]"), "{error}");
    let cleared = until(&up, &["snapshot", "rules", "coder", "--clear", "config-files"], 0);
    assert_eq!(cleared["configFiles"].as_array().map_or(0, Vec::len), 0, "{cleared}");

    let bad = ["snapshot", "rules", "coder", "--snapshot-root", "relative"];
    let error = until(&up, &bad, 2)["error"].clone();
    assert!(error["message"].as_str().unwrap().contains("roots[0]"), "{error}");
    until(&up, &["snapshot", "rules", "coder", "--clear", "all"], 0);
    let shown = until(&up, &["snapshot", "rules", "coder"], 0);
    assert_eq!(shown["snapshotRules"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_name_that_fits_two_records_is_never_picked() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path(), &["--with-devgateway", "--devgateway-port", "0"]);
    let user = User::new(up.address("devgateway"), Dialect::V0_0).unwrap();
    user.create("web", &Seed { image: "img:1".to_owned(), ..Seed::default() }).await.unwrap();
    until(&up, &["gateways", "add", "other", up.address("devgateway")], 0);
    until(&up, &["adopt", "web", "--gateway", "dev"], 0);
    until(&up, &["status", "web"], 0);
    until(&up, &["adopt", "other/default/web"], 0);

    for command in ["status", "recover", "connect", "destroy"] {
        let error = until(&up, &[command, "web"], 2)["error"].clone();
        assert_eq!(error["reason"], "AMBIGUOUS_NAME", "{command}");
        for gateway in ["dev", "other"] {
            let full = format!("gateways/{gateway}/workspaces/default/sandboxes/web");
            assert!(error["message"].as_str().unwrap().contains(&full), "{command}: {error}");
        }
    }
    let status = until(&up, &["status", "other/default/web"], 0);
    assert_eq!(status["verdict"], "VERDICT_LIVE");
    until(&up, &["default", "set", "dev/default/web"], 0);
    let named = until(&up, &["connect"], 0);
    assert_eq!(named["sandbox"], "web");
}

#[test]
fn of_several_replicas_those_that_are_stopped_or_away_are_passed_over() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (stopped, live) = (Up::start(one.path(), &[]), Up::start(other.path(), &[]));
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    stopped.stop();
    for (service, command) in [("registry", "list"), ("orchestrator", "guards")] {
        let (stopped, live) = (stopped.address(service), live.address(service));
        let list = format!("{stopped},http://{away},{live}");
        let output = salvor(&[command, &format!("--{service}"), &list]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
}

#[test]
fn a_port_that_is_taken_is_named_with_its_option() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (flag, others) in [
        ("--registry-port", &["--orchestrator-port", "0", "--adapter-port", "0"][..]),
        ("--adapter-port", &["--orchestrator-port", "0", "--registry-port", "0"]),
        (
            "--devgateway-port",
            &[
                "--with-devgateway",
                "--adapter-port",
                "0",
                "--orchestrator-port",
                "0",
                "--registry-port",
                "0",
            ],
        ),
    ] {
        let data = dir.path().join(flag);
        let mut args = vec!["up", "--data-dir", data.to_str().unwrap(), flag, &port];
        args.extend_from_slice(others);
        let output = salvor(&args);
        assert_eq!(output.status.code(), Some(8), "{}", stderr(&output));
        let said = stderr(&output);
        assert!(said.contains(&port) && said.contains(flag), "{said}");
    }
}
