//! Other ways to restore than whole, and comparisons.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use salvor_devgateway::Fault;
use salvor_proto::gateway::v1::effect::{Cause, Outcome};
use salvor_proto::gateway::v1::operation::Result as Ended;
use salvor_proto::gateway::v1::*;
use salvor_proto::registry::v1::ConfigFile;
use tonic::Code;

use super::site::{Site, all_applied, seen, uuid};
use crate::target::{BOTH, is};

#[tokio::test]
async fn existing_entries_are_skipped_when_asked() {
    let mut site = Site::new(BOTH[0]).await;
    site.write("here", "old");
    site.write("dir/gone", "gone");
    site.write("dir/here", "old");
    site.write("blocked/in", "in");
    let snapshot = site.take().await;
    site.write("here", "live");
    site.write("dir/here", "live");
    site.write("extra", "live");
    fs::remove_file(site.path("dir/gone")).unwrap();
    fs::remove_dir_all(site.path("blocked")).unwrap();
    fs::write(site.path("blocked"), "a file now").unwrap();
    fs::set_permissions(site.path("dir"), Permissions::from_mode(0o711)).unwrap();
    let dir = site.path("dir").metadata().unwrap();
    let mut request = site.restoring(&snapshot);
    request.mode = RestoreMode::SkipExisting.into();
    let report = site.report(request.clone()).await;
    is(report.effect.as_ref().unwrap(), Outcome::MaybeApplied, Cause::CommandFailed);
    assert_eq!(report.failures[0].path, "/sandbox/work/blocked/in");
    assert_eq!((report.files_written, report.failure_count), (1, 1), "{report:?}");
    assert_eq!((site.read("here"), site.read("dir/here")), (b"live".to_vec(), b"live".to_vec()));
    assert_eq!((site.read("dir/gone"), site.read("extra")), (b"gone".to_vec(), b"live".to_vec()));
    let after = site.path("dir").metadata().unwrap();
    assert_eq!((after.mode(), after.modified().unwrap()), (dir.mode(), dir.modified().unwrap()));
    fs::remove_file(site.path("blocked")).unwrap();
    request.request_id = uuid();
    all_applied(&site.report(request.clone()).await);
    assert!(site.verify_as(request).await.intact);
}

#[tokio::test]
async fn only_some_paths_are_restored_when_asked() {
    let mut site = Site::new(BOTH[1]).await;
    site.write("one/a", "a");
    site.write("two/b/c", "c");
    let snapshot = site.take().await;
    site.write("one/a", "live");
    site.write("one/extra", "live");
    fs::remove_dir_all(site.path("two")).unwrap();
    let mut request = site.restoring(&snapshot);
    request.paths = vec!["/sandbox/work/two/b".into()];
    all_applied(&site.report(request.clone()).await);
    assert_eq!((site.read("one/a"), site.read("two/b/c")), (b"live".to_vec(), b"c".to_vec()));
    assert!(site.path("one/extra").exists());
    assert!(site.verify_as(request).await.intact);
    let mut request = site.restoring(&snapshot);
    request.paths = vec!["/sandbox/work/one".into()];
    all_applied(&site.report(request).await);
    assert!(site.read("one/a") == b"a" && !site.path("one/extra").exists());
    let mut request = site.restoring(&snapshot);
    request.paths = vec!["/sandbox/work/none".into()];
    let Ended::Failure(failure) = site.run(request).await else { panic!("restored") };
    assert_eq!(failure.reason, "INVALID_FIELD");
}

fn configs(path: &str, format: &str) -> Vec<ConfigFile> {
    vec![ConfigFile {
        path: path.into(),
        format: format.into(),
        runtime_owned_keys: vec!["gateway.token".into()],
    }]
}

#[tokio::test]
async fn config_files_are_merged_by_the_owners_of_their_keys() {
    let mut site = Site::new(BOTH[0]).await;
    site.write("app/config.json", r#"{"theme":"dark","gateway":{"token":"old","port":1}}"#);
    site.write("data", "data");
    let snapshot = site.take().await;
    site.write("app/config.json", r#"{"theme":"light","gateway":{"token":"new"}}"#);
    fs::set_permissions(site.path("app/config.json"), Permissions::from_mode(0o600)).unwrap();
    site.write("data", "live");
    let mut request = site.restoring(&snapshot);
    request.mode = RestoreMode::MergeConfig.into();
    let nothing = site.begin(request.clone()).await.unwrap_err();
    assert_eq!(nothing.code(), Code::InvalidArgument, "{nothing:?}");
    assert!(nothing.message().contains("no config file is declared"), "{nothing:?}");
    request.config_files = configs("/sandbox/work/app/config.json", "json");
    let report = site.report(request.clone()).await;
    all_applied(&report);
    assert_eq!(site.read("data"), b"live");
    let merged = &report.merged[0];
    assert_eq!(merged.restored_keys, ["theme", "gateway.port"]);
    assert_eq!(
        (&merged.kept_keys[..], &merged.unmerged[..]),
        (&["gateway.token".to_owned()][..], "")
    );
    let expected: &[u8] = br#"{"theme":"dark","gateway":{"token":"new","port":1}}"#;
    assert_eq!(site.read("app/config.json"), expected);
    assert_eq!(site.path("app/config.json").metadata().unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(site.path("app")).unwrap().count(), 1, "nothing is left beside it");
    assert!(site.verify_as(request.clone()).await.intact);
    // Twice is once; and with everything else.
    request.request_id = uuid();
    let report = site.report(request.clone()).await;
    all_applied(&report);
    assert_eq!((report.files_written, report.files_skipped), (0, 1));
    request.mode = RestoreMode::Replace.into();
    request.request_id = uuid();
    all_applied(&site.report(request.clone()).await);
    assert_eq!(
        (site.read("data"), site.read("app/config.json")),
        (b"data".to_vec(), expected.to_vec())
    );
    assert!(site.verify_as(request.clone()).await.intact);
    // A file that is gone is written without the runtime's keys.
    fs::remove_dir_all(site.path("app")).unwrap();
    request.request_id = uuid();
    all_applied(&site.report(request.clone()).await);
    assert_eq!(site.read("app/config.json"), br#"{"theme":"dark","gateway":{"port":1}}"#);
    // One that cannot be read stays as it is, and is said.
    site.write("app/config.json", "{ broken");
    request.request_id = uuid();
    let report = site.report(request.clone()).await;
    assert!(report.merged[0].unmerged.contains("the sandbox's file cannot be read"), "{report:?}");
    assert_eq!(report.failure_count, 1);
    is(report.effect.as_ref().unwrap(), Outcome::NotApplied, Cause::CommandFailed);
    assert_eq!(site.read("app/config.json"), b"{ broken");
    assert!(!site.verify_as(request).await.intact);
}

#[tokio::test]
async fn a_config_file_that_the_snapshot_lacks_is_left_to_the_runtime() {
    let mut site = Site::new(BOTH[1]).await;
    site.write("a", "a");
    let snapshot = site.take().await;
    site.write("config.toml", "gateway.token = 'new'\n");
    let mut request = site.restoring(&snapshot);
    request.config_files = configs("/sandbox/work/config.toml", "toml");
    let report = site.report(request.clone()).await;
    all_applied(&report);
    assert!(report.merged.is_empty());
    assert_eq!(site.read("config.toml"), b"gateway.token = 'new'\n");
    assert!(site.verify_as(request).await.intact);
}

#[tokio::test]
async fn a_nonce_is_looked_for_and_can_fail() {
    let mut site = Site::new(BOTH[0]).await;
    site.write("a", "a");
    let snapshot = site.take_with(true, &[]).await;
    let nonce = snapshot.nonce.clone().unwrap();
    all_applied(&site.restore(&snapshot).await);
    let verified = site.verify(&snapshot).await;
    assert_eq!((verified.intact, verified.nonce_found), (true, Some(true)), "{verified:?}");
    let name = Path::new(&nonce.path).strip_prefix("/sandbox/work").unwrap().to_owned();
    let meta = site.path(&name).metadata().unwrap();
    fs::write(site.path(&name), vec![b'0'; usize::try_from(meta.len()).unwrap()]).unwrap();
    fs::File::open(site.path(&name)).unwrap().set_modified(meta.modified().unwrap()).unwrap();
    let verified = site.verify(&snapshot).await;
    assert_eq!((verified.intact, verified.nonce_found), (false, Some(false)));
}

#[tokio::test]
async fn a_comparison_says_what_differs_and_changes_nothing() {
    let mut site = Site::new(BOTH[0]).await;
    for name in ["same", "content", "mode", "gone"] {
        site.write(name, "1234");
    }
    let snapshot = site.take().await;
    let time = site.path("content").metadata().unwrap().modified().unwrap();
    site.write("content", "4321");
    fs::File::open(site.path("content")).unwrap().set_modified(time).unwrap();
    fs::set_permissions(site.path("mode"), Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(site.path("gone")).unwrap();
    site.write("extra", "x");
    let before = seen(&site.root);
    let verified = site.verify(&snapshot).await;
    let mut found: Vec<_> =
        verified.problems.iter().map(|p| (&p.path[14..], &p.detail[..])).collect();
    found.sort_unstable();
    let (content, gone) = ("has another content", "is not there");
    let (mode, extra) = ("has mode 0600 and not 0644", "is there, and not in the snapshot");
    assert_eq!(found, [("content", content), ("extra", extra), ("gone", gone), ("mode", mode)]);
    assert_eq!((verified.files, verified.problem_count, verified.nonce_found), (5, 4, None));
    assert_eq!(seen(&site.root), before);
    let control = site.target.control();
    control.fault(Fault::fail("ExecSandboxInteractive", Code::Unavailable, "down"));
    let verified = site.verify(&snapshot).await;
    assert!(!verified.intact && verified.unknown.is_some());
}
