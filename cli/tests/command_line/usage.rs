//! Where no service is needed: help, usage errors, completions, and services that are away.

use std::net::TcpListener;
use std::process::Command;

use super::support::{last_line, salvor, stderr, stdout};

/// An address at which nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn help_names_every_command_and_every_exit_code() {
    let output = salvor(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    for word in [
        "up",
        "demo",
        "adopt",
        "list",
        "status",
        "plan",
        "recover",
        "rebuild",
        "snapshot",
        "connect",
        "destroy",
        "verdict",
        "decisions",
        "watch",
        "recoveries",
        "gateways",
        "default",
        "guards",
        "completions",
    ] {
        assert!(text.lines().any(|line| line.trim_start().starts_with(word)), "{word}: {text}");
    }
    for code in 0..=9 {
        assert!(text.contains(&format!("\n  {code}  ")), "exit code {code}");
    }
}

#[test]
fn completions_are_written_for_each_shell() {
    for (shell, mark) in
        [("bash", "_salvor()"), ("zsh", "#compdef salvor"), ("fish", "complete -c salvor")]
    {
        let output = salvor(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(stdout(&output).contains(mark), "{shell}");
    }
}

#[test]
fn what_cannot_be_right_ends_with_2() {
    for args in [
        &["recoverr"][..],
        &["recover", "--path", "sideways"],
        &["recover", "x", "--timeout", "10"],
        &["destroy"],
        &["plan", "--destroy"],
        &["status", "Not_A_Name"],
        &["status", "--registry", "127.0.0.1:7301", "x"],
        &["list", "--registry", "https://127.0.0.1:1"],
        &["list", "--client-cert", "only.pem", "--registry", "https://127.0.0.1:1"],
        &["adopt", "g/w/s", "--gateway", "other"],
        &["rebuild"],
        &["rebuild", "g/w/s", "--yes", "--snapshot", "abab"],
        &["snapshot", "restore", "g/w/s"],
        &["snapshot", "restore", "--snapshot", "x"],
        &["snapshot", "restore", "g/w/s", "--snapshot", "latest"],
        &["snapshot", "show", "gateways/g/snapshots/abab"],
        &["snapshot", "show", "abab", "--gateway", "g"],
        &["snapshot", "prune"],
        &["snapshot", "delete"],
        &["snapshot", "rules", "--snapshot-interval", "1h"],
        &["snapshot", "create", "x", "--channel", "carrier-pigeon"],
    ] {
        let output = salvor(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(!stderr(&output).is_empty(), "{args:?}");
        assert!(stdout(&output).is_empty(), "{args:?}");
    }
}

#[test]
fn a_usage_error_is_json_too_when_that_is_asked_for() {
    for args in [
        &["--output", "json", "recover", "--path", "sideways"][..],
        &["-o", "json", "status", "Bad!"],
    ] {
        let output = salvor(args);
        assert_eq!(output.status.code(), Some(2));
        let error = &last_line(&output)["error"];
        assert_eq!(error["code"], "INVALID_ARGUMENT", "{args:?}");
        assert_eq!(error["exit_code"], 2);
        assert!(error["next_step"].as_str().unwrap().starts_with("salvor"), "{error}");
    }
}

#[test]
fn a_service_that_is_away_is_named_with_what_to_run() {
    let address = nobody();
    for args in [
        &["--registry", &address, "list"][..],
        &["--registry", &address, "status", "coder"],
        &["--orchestrator", &address, "status", "g/w/coder"],
        &["--orchestrator", &address, "guards"],
        &["--adapter", &address, "gateways", "probe", "g"],
        &["--adapter", &address, "snapshot", "list", "--gateway", "g"],
        &["--registry", &address, "snapshot", "list", "--gateway", "g"],
        &["--orchestrator", &address, "snapshot", "create", "g/w/coder"],
        &["--orchestrator", &address, "rebuild", "g/w/coder"],
    ] {
        let output = salvor(args);
        assert_eq!(output.status.code(), Some(4), "{args:?}: {}", stderr(&output));
        let text = stderr(&output);
        assert!(text.contains(&address) && text.contains("nothing was sent"), "{text}");
        assert!(text.contains("next: salvor up"), "{text}");
        assert!(stdout(&output).is_empty());
    }
}

#[test]
fn replicas_that_are_all_away_are_all_named() {
    let (one, other) = (nobody(), nobody());
    let output = salvor(&["--registry", &format!("{one},{other}"), "list"]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(text.contains(&format!("cannot reach any of {one}, {other}")), "{text}");
    assert!(text.contains("nothing was sent") && text.contains("next: salvor up"), "{text}");
}

#[test]
fn a_list_of_replicas_that_cannot_be_meant_names_its_option_and_what_is_wrong() {
    for (command, option, list, problem) in [
        (&["list"][..], "--registry", "http://a:1,,http://b:1", "address 2 of it is empty"),
        (&["guards"], "--orchestrator", "http://a:1,https://b:1", "not of the same scheme"),
        (&["gateways", "probe", "g"], "--adapter", "https://a:1,https://a:1/", "the same place"),
    ] {
        let output = salvor(&[&[option, list], command].concat());
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(&format!("{option}: {list:?}")) && text.contains(problem), "{text}");
        assert!(!text.contains("--server-ca"), "{text}");
    }
}

#[test]
fn a_part_of_an_id_is_refused_with_a_sentence_that_says_so() {
    let output = salvor(&["snapshot", "show", "abababababab", "--gateway", "g"]);
    assert!(stderr(&output).contains("give all 64 digits"), "{}", stderr(&output));
}

#[test]
fn a_service_that_is_away_is_a_json_error_with_every_field() {
    let address = nobody();
    let output = salvor(&["recover", "g/w/coder", "--output=json", "--orchestrator", &address]);
    assert_eq!(output.status.code(), Some(4));
    let error = &last_line(&output)["error"];
    assert_eq!(error["code"], "UNAVAILABLE");
    assert_eq!(error["reason"], "PEER_UNREACHABLE");
    assert!(error["message"].as_str().unwrap().contains(&address));
    assert!(error["next_step"].as_str().unwrap().contains("salvor up"));
    assert_eq!(error["violations"], serde_json::json!([]));
}

#[test]
fn a_reader_that_leaves_early_is_no_panic() {
    let script = format!("{} completions bash | head -1", env!("CARGO_BIN_EXE_salvor"));
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(!stderr(&output).contains("panick"), "{}", stderr(&output));
}
