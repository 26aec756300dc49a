//! Agents that write while a restore is at work.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use salvor_proto::gateway::v1::*;
use salvor_proto::registry::v1::ConfigFile;
use tempfile::TempDir;

use super::site::Site;
use crate::target::BOTH;

/// Runs a script right before a tool of the sandbox's does its work, while the directory is there.
fn before(site: &Site, tool: &str, when: &str, script: &str) -> TempDir {
    let tools = tempfile::tempdir().unwrap();
    fs::set_permissions(tools.path(), Permissions::from_mode(0o755)).unwrap();
    let path = tools.path().join(tool);
    let body = format!("case \"$*\" in {when}) {script};; esac\nexec /usr/bin/{tool} \"$@\"\n");
    fs::write(&path, format!("#!/bin/sh\n{body}")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    let profile = format!("PATH={}:$PATH", tools.path().display());
    fs::write(site.root.with_file_name(".bash_profile"), profile).unwrap();
    tools
}

#[tokio::test]
async fn a_file_that_comes_after_the_listing_is_not_overwritten() {
    for dialect in BOTH {
        let mut site = Site::new(dialect).await;
        site.write("dir/gone", "snapshot");
        site.write("dir/other", "snapshot");
        let snapshot = site.take().await;
        fs::remove_file(site.path("dir/gone")).unwrap();
        fs::remove_file(site.path("dir/other")).unwrap();
        let file = site.path("dir/gone");
        let script = format!("printf agent >{}", file.display());
        let _tools = before(&site, "tar", "*-xf*", &script);
        let mut request = site.restoring(&snapshot);
        request.mode = RestoreMode::SkipExisting.into();
        let report = site.report(request).await;
        assert_eq!(site.read("dir/gone"), b"agent");
        assert_eq!(site.read("dir/other"), b"snapshot");
        let failures: Vec<_> =
            report.failures.iter().map(|note| (note.path.as_str(), note.reason.as_str())).collect();
        assert_eq!(failures, [("/sandbox/work/dir/gone", "DIFFERS")], "{report:?}");
    }
}

#[tokio::test]
async fn a_config_file_that_is_written_after_it_was_merged_stays() {
    for dialect in BOTH {
        let mut site = Site::new(dialect).await;
        site.write("config.json", r#"{"user":1}"#);
        let snapshot = site.take().await;
        site.write("config.json", r#"{"user":2}"#);
        let file = site.path("config.json");
        let script = format!("printf agent >{}", file.display());
        // The last tool before the file would be put in its place.
        let _tools = before(&site, "wc", "*", &script);
        let mut request = site.restoring(&snapshot);
        request.config_files = vec![ConfigFile {
            path: "/sandbox/work/config.json".into(),
            format: "json".into(),
            runtime_owned_keys: vec![],
        }];
        let report = site.report(request).await;
        assert_eq!(site.read("config.json"), b"agent");
        let failures: Vec<_> = report
            .failures
            .iter()
            .map(|note| (note.path.as_str(), note.reason.as_str(), note.detail.as_str()))
            .collect();
        let says = "was changed after it was merged, and stays as it is";
        let expected = ("/sandbox/work/config.json", "CHANGED_WHILE_READING", says);
        assert_eq!(failures, [expected], "{report:?}");
    }
}
