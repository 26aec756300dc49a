//! The steps of `docs/snapshots.md` for when salvor itself is lost, as they are printed there: from copies, on a fresh machine.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use salvor_devgateway::user::{Seed, User};
use salvor_devgateway::{Config, DevGateway, Phase};

use super::support::{Up, stderr, until};

const NAME: &str = "my-agent";
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/snapshots.md");
const PATIENCE: Duration = Duration::from_secs(30);

/// The shell commands that follow these words, a line each.
fn steps(after: &str) -> Vec<String> {
    let text = fs::read_to_string(DOCUMENT).unwrap();
    let (_, rest) = text.split_once(after).unwrap();
    let (_, block) = rest.split_once("```sh\n").unwrap();
    block.split_once("```").unwrap().0.lines().map(str::to_owned).collect()
}

/// Runs commands in `at`, where the copies are, as a user whose home is `home`.
fn run(lines: &[String], at: &Path, home: &Path) {
    let mut shell = Command::new("sh");
    shell.args(["-euc", &lines.join("\n")]).current_dir(at).env("HOME", home);
    let done = shell.env_remove("XDG_DATA_HOME").output().unwrap();
    assert!(done.status.success(), "{lines:#?}: {}", stderr(&done));
}

fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|done| done.status.success())
}

fn data(home: &Path) -> std::path::PathBuf {
    home.join(".local/share/salvor")
}

/// Copies while it runs where SQLite's program is there, and with everything stopped otherwise: both ways are documented.
fn keep_copies(up: Up, at: &Path, home: &Path) {
    if is_installed("sqlite3") {
        run(&steps("**To keep copies.**"), at, home);
        assert_eq!(up.end(), Some(0));
    } else {
        assert_eq!(up.end(), Some(0));
        run(&[format!("cp -a {} copy", data(home).display())], at, home);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_copied_brings_a_lost_sandbox_back_on_a_fresh_machine() {
    let dir = tempfile::tempdir().unwrap();
    let (old, fresh) = (dir.path().join("old"), dir.path().join("fresh"));
    for home in [&old, &fresh] {
        fs::create_dir(home).unwrap();
    }
    let data_dir = dir.path().join("gateway");
    let config = Config { data_dir, time_scale: 0.02, ..Config::default() };
    let dialect = config.dialect;
    let gateway = DevGateway::start(config).await.unwrap();
    let control = gateway.control();
    let user = User::new(&control.uri(), dialect).unwrap();
    let id =
        user.create(NAME, &Seed { image: "img:1".to_owned(), ..Seed::default() }).await.unwrap();
    assert!(control.wait_phase(NAME, Phase::Ready, PATIENCE).await);
    let write = ["sh", "-c", "printf kept > /sandbox/notes.txt"];
    assert_eq!(user.exec(NAME, &id, &write).await.unwrap().exit, Some(0));

    let up = Up::start(&data(&old), &[]);
    until(&up, &["gateways", "add", "lab", &control.uri()], 0);
    until(&up, &["adopt", &format!("lab/default/{NAME}"), "--snapshot-root", "/sandbox"], 0);
    let taken = until(&up, &["snapshot", "create", NAME], 0);
    let snapshot = taken["recovery"]["result"]["snapshotTaken"].as_str().unwrap();
    keep_copies(up, dir.path(), &old);
    fs::remove_dir_all(&old).unwrap();
    control.lose(NAME).await.unwrap();
    assert!(control.wait_absent(NAME, PATIENCE).await);

    let back = steps("**To come back**");
    let (files, commands): (Vec<String>, Vec<String>) =
        back.into_iter().partition(|line| !line.starts_with("salvor "));
    let there = |line: &String| !line.starts_with("restic ") || is_installed("restic");
    run(&files.into_iter().filter(there).collect::<Vec<_>>(), dir.path(), &fresh);
    assert_eq!(commands[0], "salvor up &");
    let up = Up::start(&data(&fresh), &[]);
    let mut last = serde_json::Value::Null;
    for line in &commands[1..] {
        let command = line.split('#').next().unwrap();
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        last = until(&up, &words, 0);
    }
    let result = &last["recovery"]["result"];
    assert_eq!(result["snapshotRestored"], snapshot, "{last}");
    let id = result["liveId"].as_str().unwrap();
    let shown = user.exec(NAME, id, &["cat", "/sandbox/notes.txt"]).await.unwrap();
    assert_eq!(String::from_utf8(shown.stdout).unwrap(), "kept");
    assert_eq!(up.end(), Some(0));
    gateway.shutdown().await;
}
