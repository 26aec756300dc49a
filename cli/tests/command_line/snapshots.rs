//! Snapshots and rebuilds, from the command line, over the real wire.

use salvor_devgateway::Dialect;
use salvor_devgateway::user::{Seed, User};
use serde_json::Value;

use super::support::{Up, stderr, stdout, until};

const NAME: &str = "coder";
const FILE: &str = "/sandbox/notes.txt";

/// A sandbox with rules, and its id.
async fn declared(up: &Up) -> User {
    let user = User::new(up.address("devgateway"), Dialect::V0_0).unwrap();
    user.create(NAME, &Seed { image: "img:1".to_owned(), ..Seed::default() }).await.unwrap();
    until(up, &["gateways", "probe", "dev"], 0);
    until(up, &["adopt", NAME, "--snapshot-root", "/sandbox", "--default"], 0);
    user
}

async fn write(up: &Up, user: &User, text: &str) {
    let id = until(up, &["connect", NAME], 0)["liveId"].as_str().unwrap().to_owned();
    let script = ["sh", "-c", "printf %s \"$1\" > \"$2\"", "sh", text, FILE];
    assert_eq!(user.exec(NAME, &id, &script).await.unwrap().exit, Some(0));
}

async fn read(up: &Up, user: &User) -> String {
    let id = until(up, &["connect", NAME], 0)["liveId"].as_str().unwrap().to_owned();
    let shown = user.exec(NAME, &id, &["cat", FILE]).await.unwrap();
    String::from_utf8(shown.stdout).unwrap()
}

fn create(up: &Up) -> String {
    let taken = until(up, &["snapshot", "create"], 0);
    taken["recovery"]["result"]["snapshotTaken"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
async fn a_snapshot_is_taken_listed_read_compared_and_restored() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path(), &["--with-devgateway", "--devgateway-port", "0"]);
    let user = declared(&up).await;
    write(&up, &user, "first").await;
    let first = create(&up);
    write(&up, &user, "second, longer").await;
    let second = create(&up);
    assert_ne!(first, second);

    let listed = until(&up, &["snapshot", "list", NAME], 0);
    let names: Vec<&str> = listed["snapshots"].as_array().unwrap().iter().map(named).collect();
    assert_eq!(names, [second.as_str(), &first], "newest first");
    let id = first.rsplit('/').next().unwrap();
    let shown = until(&up, &["snapshot", "show", id, "--of", NAME], 0);
    assert_eq!(shown["coverage"]["coveredRoots"][0], "/sandbox", "{shown}");
    assert_eq!(shown["state"], "STATE_COMPLETE");
    until(&up, &["snapshot", "show", &id[..12], "--of", NAME], 2);
    let verified = until(&up, &["snapshot", "verify", &first], 0);
    assert_eq!(verified["verification"]["intact"], true, "{verified}");
    let cat = up.salvor(&["snapshot", "cat", &first, FILE]);
    assert_eq!((cat.status.code(), stdout(&cat).as_str()), (Some(0), "first"), "{}", stderr(&cat));
    let diff = until(&up, &["snapshot", "diff", &first, &second], 0);
    let changed: Vec<&str> =
        diff["changes"].as_array().unwrap().iter().map(|c| c["path"].as_str().unwrap()).collect();
    assert!(changed.contains(&FILE), "{diff}");

    let look = until(&up, &["snapshot", "prune", NAME, "--keep-last", "1", "--validate-only"], 0);
    assert_eq!(look["preview"]["deleted"][0], first.as_str(), "{look}");
    assert_eq!(look["preview"]["kept"][0]["name"], second.as_str(), "{look}");
    let delete = ["snapshot", "delete", &first, "--allow-last"];
    let error = until(&up, &delete, 3)["error"].clone();
    assert_eq!(error["reason"], "NOT_CONFIRMED");
    assert_eq!(
        error["next_step"].as_str().unwrap(),
        format!("salvor snapshot delete {first} --allow-last --yes")
    );
    let refused = until(&up, &["snapshot", "delete", &second, "--yes"], 3)["error"].clone();
    assert_eq!(refused["reason"], "LAST_SNAPSHOT", "{refused}");

    let restore = ["snapshot", "restore", NAME, "--snapshot", &first];
    let error = until(&up, &restore, 3)["error"].clone();
    assert_eq!(error["reason"], "NOT_CONFIRMED");
    let part = [&restore[..], &["--path", FILE, "--from-other-sandbox", "--no-wait"]].concat();
    let step = until(&up, &part, 3)["error"]["next_step"].clone();
    let options = format!("--path {FILE} --from-other-sandbox --no-wait --yes");
    assert!(step.as_str().unwrap().ends_with(&format!("--snapshot {first} {options}")), "{step}");
    assert_eq!(read(&up, &user).await, "second, longer");
    until(&up, &[&restore[..], &["--yes"]].concat(), 0);
    assert_eq!(read(&up, &user).await, "first");

    // Under a new name, which is taken then; and over it, by the command that the refusal prints.
    let copy = [&restore[..], &["--to", "coder-2"]].concat();
    until(&up, &copy, 0);
    assert_eq!(until(&up, &copy, 3)["error"]["reason"], "COPY_EXISTS");
    let error = until(&up, &[&copy[..], &["--replace"]].concat(), 3)["error"].clone();
    assert_eq!(error["reason"], "NOT_CONFIRMED");
    assert!(error["message"].as_str().unwrap().contains("sandboxes/coder-2"), "{error}");
    let printed = error["next_step"].as_str().unwrap();
    let typed: Vec<&str> = printed.split(' ').skip(1).collect();
    let replaced = until(&up, &typed, 0);
    assert_eq!(
        replaced["recovery"]["sandbox"],
        "gateways/dev/workspaces/default/sandboxes/coder-2"
    );

    until(&up, &[&delete[..], &["--yes"]].concat(), 0);
    let listed = until(&up, &["snapshot", "list", NAME], 0);
    let mut names = listed["snapshots"].as_array().unwrap().iter().map(named);
    assert!(names.all(|name| name != first), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_asks_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path(), &["--with-devgateway", "--devgateway-port", "0"]);
    let user = declared(&up).await;
    write(&up, &user, "kept").await;
    let before = until(&up, &["connect"], 0)["liveId"].clone();
    let plan = until(&up, &["plan", NAME, "--path", "rebuild"], 0);
    assert_eq!(plan["source"]["kind"], "KIND_EXEC", "{plan}");

    let error = until(&up, &["rebuild", NAME], 3)["error"].clone();
    assert_eq!(error["reason"], "NOT_CONFIRMED");
    assert!(error["nextStep"].is_null() && error["next_step"].as_str().unwrap().ends_with("--yes"));
    assert_eq!(until(&up, &["connect"], 0)["liveId"], before, "nothing was changed");

    let rebuilt = until(&up, &["rebuild", NAME, "--yes"], 0);
    let result = &rebuilt["recovery"]["result"];
    assert_eq!(result["snapshotTaken"], result["snapshotRestored"], "{rebuilt}");
    assert_ne!(until(&up, &["connect"], 0)["liveId"], before);
    assert_eq!(read(&up, &user).await, "kept");
    let status = until(&up, &["status"], 0);
    assert_ne!(status["dataAtRisk"], Value::Null, "{status}");
}

fn named(snapshot: &Value) -> &str {
    snapshot["name"].as_str().unwrap()
}
