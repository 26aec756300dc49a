//! T02: config files whose keys have two owners are merged when a workspace is put back, and every key that is not is named.

use std::fs;

use salvor_devgateway::Dialect;
use salvor_proto::{
    gateway::v1::{MergedConfig, RestoreMode},
    recovery::v1::{self as pb, part::Outcome, recovery::State},
    registry::v1 as registry,
};
use salvor_testkit::Fleet;

use crate::{
    given::{adopted_as, recovery},
    rebuild::{keeping, root, snapshot, with_snapshots},
    support::REBUILD,
};

/// A config file in each format, as the agent left it, with a token of the runtime's.
const CONFIGS: [(&str, &str, &str, &str); 3] = [
    (
        "app.json",
        "json",
        "{\"auth\": {\"token\": \"old\", \"user\": \"me\"}}\n",
        "{\"auth\": {\"token\": \"new\", \"user\": \"nobody\"}}\n",
    ),
    (
        "app.yaml",
        "yaml",
        "auth:\n  token: old\n  user: me\n",
        "auth:\n  token: new\n  user: nobody\n",
    ),
    (
        "app.toml",
        "toml",
        "[auth]\ntoken = \"old\"\nuser = \"me\"\n",
        "[auth]\ntoken = \"new\"\nuser = \"nobody\"\n",
    ),
];

fn configs() -> Vec<registry::ConfigFile> {
    let file = |(name, format, ..): &(&str, &str, &str, &str)| registry::ConfigFile {
        path: format!("/sandbox/{name}"),
        format: (*format).to_owned(),
        runtime_owned_keys: vec!["auth.token".into()],
    };
    CONFIGS.iter().map(file).collect()
}

/// Live, with its config files declared and as the agent left them.
async fn configured(dialect: Dialect) -> (Fleet, String) {
    let fleet = Fleet::start(with_snapshots(dialect)).await.unwrap();
    let request = pb::AdoptSandboxRequest { config_files: configs(), ..keeping(&["/sandbox"]) };
    let (name, _) = adopted_as(&fleet, "coder", request).await;
    assert_eq!(fleet.record(&name).await.unwrap().config_files, configs());
    for (file, _, before, _) in CONFIGS {
        fs::write(root(&fleet).join(file), before).unwrap();
    }
    (fleet, name)
}

/// As the runtime of another incarnation, or a mishap, left them.
fn overwrite(fleet: &Fleet) {
    for (file, _, _, now) in CONFIGS {
        fs::write(root(fleet).join(file), now).unwrap();
    }
}

fn text(fleet: &Fleet, file: &str) -> String {
    fs::read_to_string(root(fleet).join(file)).unwrap()
}

async fn restored(fleet: &Fleet, name: &str, from: &str, mode: RestoreMode) -> pb::Recovery {
    let request = pb::RestoreSandboxRequest {
        name: name.into(),
        snapshot: from.into(),
        mode: mode.into(),
        ..Default::default()
    };
    let answer = fleet.recovery.clone().restore_sandbox(request).await.unwrap().into_inner();
    fleet.wait(&answer.recovery.unwrap().name).await.unwrap()
}

/// What a reader of the recovery is told: once more from the journal, and by path.
async fn told(fleet: &Fleet, ended: &pb::Recovery) -> Vec<MergedConfig> {
    let read = recovery(fleet, &ended.name).await.result.unwrap().merged;
    let mut merged = ended.result.clone().unwrap().merged;
    assert_eq!(merged, read);
    merged.sort_by(|one, other| one.path.cmp(&other.path));
    merged
}

fn is_merged(file: &MergedConfig) {
    assert_eq!(
        (&file.restored_keys[..], &file.kept_keys[..], &*file.unmerged),
        (&["auth.user".to_owned()][..], &["auth.token".to_owned()][..], ""),
        "{}",
        file.path
    );
}

async fn each_format_in(mode: RestoreMode, dialect: Dialect) {
    let (fleet, name) = configured(dialect).await;
    let taken = snapshot(&fleet, &name).await;
    overwrite(&fleet);
    fs::write(root(&fleet).join("stray"), "of now").unwrap();
    let back = restored(&fleet, &name, &taken, mode).await;
    assert_eq!(back.state(), State::Succeeded, "{back:#?}");
    let merged = told(&fleet, &back).await;
    assert_eq!(merged.len(), CONFIGS.len());
    merged.iter().for_each(is_merged);
    for (file, ..) in CONFIGS {
        let now = text(&fleet, file);
        assert!(now.contains("new") && !now.contains("old"), "the runtime's key: {now}");
        assert!(now.contains("me") && !now.contains("nobody"), "the user's key: {now}");
    }
    let stays = mode == RestoreMode::MergeConfig;
    assert_eq!(root(&fleet).join("stray").exists(), stays);
    fleet.stop().await;
}

#[tokio::test]
async fn t02_a_restore_merges_config_files_of_each_format() {
    each_format_in(RestoreMode::Replace, Dialect::V0_0).await;
}

#[tokio::test]
async fn t02_config_files_alone_can_be_merged() {
    each_format_in(RestoreMode::MergeConfig, Dialect::V0_1).await;
}

#[tokio::test]
async fn t02_a_rebuild_leaves_out_the_keys_of_the_old_runtime_and_names_them() {
    let (fleet, name) = configured(Dialect::V0_0).await;
    let ended = fleet.recover(&name, REBUILD).await.unwrap();
    assert_eq!(ended.state(), State::Succeeded, "{ended:#?}");
    let merged = told(&fleet, &ended).await;
    assert_eq!(merged.len(), CONFIGS.len());
    merged.iter().for_each(is_merged);
    for (file, ..) in CONFIGS {
        let now = text(&fleet, file);
        assert!(now.contains("me") && !now.contains("old"), "{now}");
    }
    fleet.stop().await;
}

/// What cannot be parsed is left as it is, and the result is not a success.
#[tokio::test]
async fn t24_a_config_file_that_cannot_be_merged_is_named_and_left_alone() {
    let (fleet, name) = configured(Dialect::V0_1).await;
    let taken = snapshot(&fleet, &name).await;
    overwrite(&fleet);
    fs::write(root(&fleet).join("app.yaml"), "auth: [").unwrap();
    let back = restored(&fleet, &name, &taken, RestoreMode::Replace).await;
    assert_eq!(back.state(), State::Degraded, "{back:#?}");
    let data = back.result.clone().unwrap().data.unwrap();
    assert_eq!(data.outcome(), Outcome::Pending);
    assert!(data.message.contains("/sandbox/app.yaml"), "{}", data.message);
    let merged = told(&fleet, &back).await;
    let (left, others): (Vec<_>, Vec<_>) =
        merged.into_iter().partition(|file| file.path == "/sandbox/app.yaml");
    assert!(left[0].unmerged.contains("cannot be read"), "{left:?}");
    assert!(left[0].restored_keys.is_empty() && left[0].kept_keys.is_empty());
    others.iter().for_each(is_merged);
    assert_eq!(text(&fleet, "app.yaml"), "auth: [");
    fleet.stop().await;
}
