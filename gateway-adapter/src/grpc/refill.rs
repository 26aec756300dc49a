//! Writing snapshots into workspaces, and comparing the two.
//!
//! Invariant: a snapshot that is not complete, or not exactly the one of the sandbox that the caller
//! names, is refused before the gateway is asked for anything.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use salvor_proto::Error;
use salvor_proto::error::Code;
use salvor_proto::gateway::v1 as pb;
use salvor_proto::gateway::v1::effect::{Cause, Outcome as Came};
use salvor_proto::gateway::v1::operation::{Kind, Result as Outcome};
use salvor_proto::registry::v1::ConfigFile;

use super::ready::ready;
use super::{Service, parse};
use crate::gateway::{Gateway, Healthy};
use crate::merge::{Format, Key};
use crate::mutate::effect;
use crate::next_step::NextStep;
use crate::operations::{Handle, failure};
use crate::permit::{Permit, Standing, Verb, reference, uuid};
use crate::store::{SnapshotName, Store, StoreError};
use crate::vendor::Incarnation;
use crate::workspace::ExecChannel;
use crate::workspace::restore::{self, Config, Gate, Mode, Task};
use crate::workspace::rules::Rules;
use crate::workspace::sides::Stopped;
use crate::workspace::verify::{self, Nonce};

/// The contract's limits on what is asked for at once.
const MAX_CONFIG_FILES: usize = 256;
const MAX_PATHS: usize = 1000;

/// What both requests say of the snapshot.
pub(super) struct Asked {
    snapshot: SnapshotName,
    identity: pb::SnapshotIdentity,
    mode: Mode,
    configs: Vec<Config>,
    paths: Vec<PathBuf>,
}

/// The sandbox that is looked into or written to.
pub(super) struct Door {
    gateway: Arc<Gateway>,
    /// Its full name.
    sandbox: String,
    incarnation: Incarnation,
    /// `None`: nothing is written.
    permit: Option<Arc<Standing>>,
    /// Whether leave was given to touch the sandbox, so that it may have been.
    passed: AtomicBool,
}

impl Service {
    pub(super) async fn restore_workspace_inner(
        &self,
        request: pb::RestoreWorkspaceRequest,
    ) -> Result<pb::RestoreWorkspaceResponse, Error> {
        let meant = parse::incarnation(request.sandbox.as_ref(), request.live_id)?;
        let permit = Permit::check(request.permit, &meant.target, Verb::Restore)?;
        let asked = Asked::parse(
            &request.snapshot,
            request.expected_identity,
            request.mode,
            &request.config_files,
            &request.paths,
        )?;
        let request_id = uuid("request_id", &request.request_id)?;
        let store = self.store()?.clone();
        let gateway = self.served(&meant.target.owner()).await?;
        let (task, _) = asked.chosen(&store).await?;
        let permit = Some(Arc::new(permit.stand(&self.authority).await?));
        let subject = meant.target.to_string();
        let door = Door {
            gateway,
            sandbox: subject.clone(),
            incarnation: meant.vendor(),
            permit,
            passed: AtomicBool::new(false),
        };
        let operation =
            self.operations.start(Kind::Restore, &subject, &request_id, |handle| async move {
                let work = async {
                    let channel = door.open().await?;
                    restore::restore((&channel, &door), &store, &task, &handle).await
                };
                let ended = match Box::pin(uncancelled(work, &handle)).await {
                    Some(ended) => ended,
                    None if door.passed.load(Ordering::Acquire) => Ok(left_halfway()),
                    None => Err(cancelled().into()),
                };
                let refused = |stopped| failure(stopped_error(stopped, &door.sandbox));
                ended.map(Outcome::Restore).map_err(refused)
            })?;
        Ok(pb::RestoreWorkspaceResponse { operation: Some(operation) })
    }

    pub(super) async fn verify_workspace_inner(
        &self,
        request: pb::VerifyWorkspaceRequest,
    ) -> Result<pb::VerifyWorkspaceResponse, Error> {
        let meant = parse::incarnation(request.sandbox.as_ref(), request.live_id)?;
        let asked = Asked::parse(
            &request.snapshot,
            request.expected_identity,
            request.mode,
            &request.config_files,
            &request.paths,
        )?;
        let request_id = uuid("request_id", &request.request_id)?;
        let store = self.store()?.clone();
        let gateway = self.served(&meant.target.owner()).await?;
        let (task, nonce) = asked.chosen(&store).await?;
        let subject = meant.target.to_string();
        let door = Door::looking(&gateway, (subject.clone(), meant.vendor()));
        let operation =
            self.operations.start(Kind::Compare, &subject, &request_id, |handle| async move {
                let work = async {
                    let channel = door.open().await?;
                    let asked = (&task, nonce.as_ref(), request.held_only);
                    let report = verify::verify(&channel, &store, asked, &handle).await?;
                    // Only if it is still that incarnation is it what was asked about.
                    door.check().await?;
                    Ok(report)
                };
                let ended = Box::pin(uncancelled(work, &handle)).await;
                let report = match ended.unwrap_or_else(|| Err(cancelled().into())) {
                    Ok(report) => report,
                    Err(Stopped::Broken(broken)) => undetermined(broken.unknown),
                    Err(Stopped::Store(error)) if !is_damage(&error) => {
                        undetermined(error.unknown())
                    }
                    Err(stopped) => return Err(failure(stopped_error(stopped, &door.sandbox))),
                };
                Ok(Outcome::Verification(report))
            })?;
        Ok(pb::VerifyWorkspaceResponse { operation: Some(operation) })
    }
}

fn undetermined(unknown: pb::Unknown) -> pb::VerifyReport {
    pb::VerifyReport { unknown: Some(unknown), ..pb::VerifyReport::default() }
}

/// The work's end, or `None` when it was cancelled before.
pub(super) async fn uncancelled<T>(work: impl Future<Output = T>, handle: &Handle) -> Option<T> {
    tokio::select! {
        ended = work => Some(ended),
        () = handle.cancelled() => None,
    }
}

/// Of a restore that was at work in the sandbox: nothing was read back, so nothing is counted.
fn left_halfway() -> pb::RestoreReport {
    let detail = "the restore was cancelled at work: what it had written stays. Asked for again, it \
                  goes on from there";
    let effect = effect(Came::MaybeApplied, Cause::Unspecified, detail);
    pb::RestoreReport { effect: Some(effect), ..pb::RestoreReport::default() }
}

fn cancelled() -> Error {
    let text = "the work was cancelled before anything was changed";
    Error::new(Code::Cancelled, "CANCELLED", text).next_step(NextStep::AskAgain.alone())
}

/// The snapshot's own fault, or the repository's for this snapshot.
fn is_damage(error: &StoreError) -> bool {
    matches!(error, StoreError::Damaged { .. } | StoreError::Missing { .. })
}

/// What ended work that has touched nothing.
pub(super) fn stopped_error(stopped: Stopped, sandbox: &str) -> Error {
    match stopped {
        Stopped::Refused(error) => error,
        Stopped::Store(error) if is_damage(&error) => {
            let text = format!("{error}. Nothing was written");
            Error::new(Code::DataLoss, "SNAPSHOT_DAMAGED", text)
                .next_step(NextStep::MendRepository.of(sandbox))
        }
        Stopped::Store(error) => error.into(),
        Stopped::Broken(broken) => {
            let unknown = broken.unknown;
            let reason = unknown.reason().as_str_name();
            let reason = reason.strip_prefix("UNKNOWN_REASON_").unwrap_or(reason);
            let text = format!("{}. Nothing was written", unknown.detail);
            Error::new(Code::Undetermined, reason, text).next_step(NextStep::Status.of(sandbox))
        }
    }
}

// === impl Asked ===

impl Asked {
    fn parse(
        snapshot: &str,
        identity: Option<pb::SnapshotIdentity>,
        mode: i32,
        configs: &[ConfigFile],
        paths: &[String],
    ) -> Result<Self, Error> {
        let snapshot = SnapshotName::parse("snapshot", snapshot)?;
        let identity =
            identity.ok_or_else(|| Error::invalid("expected_identity", "is required"))?;
        let sandbox = reference("expected_identity.sandbox", identity.sandbox.as_ref())?;
        if identity.live_id.is_empty() {
            return Err(Error::invalid("expected_identity.live_id", "is required"));
        }
        let mode = match pb::RestoreMode::try_from(mode) {
            Ok(pb::RestoreMode::Unspecified | pb::RestoreMode::Replace) => Mode::Replace,
            Ok(pb::RestoreMode::SkipExisting) => Mode::SkipExisting,
            Ok(pb::RestoreMode::MergeConfig) => Mode::MergeConfig,
            Err(_) => return Err(Error::invalid("mode", "is no mode that is known here")),
        };
        let configs = config_files(configs)?;
        if mode == Mode::MergeConfig && configs.is_empty() {
            let problem = "is MERGE_CONFIG, and no config file is declared: nothing would be done";
            return Err(Error::invalid("mode", problem)
                .next_step(NextStep::ListSnapshots.of(&sandbox.to_string())));
        }
        Ok(Self { snapshot, identity, mode, configs, paths: below(paths)? })
    }

    /// All of a snapshot.
    pub(super) fn whole(snapshot: SnapshotName, identity: pb::SnapshotIdentity) -> Self {
        let (configs, paths) = (Vec::new(), Vec::new());
        Self { snapshot, identity, mode: Mode::Replace, configs, paths }
    }

    /// Finds the snapshot, and holds it to what the caller says of it.
    pub(super) async fn chosen(self, store: &Store) -> Result<(Task, Option<Nonce>), Error> {
        let name = self.snapshot.to_string();
        let sandbox = reference("expected_identity.sandbox", self.identity.sandbox.as_ref())?;
        let sandbox = sandbox.to_string();
        let manifest = store.get(&self.snapshot.id).await?;
        if manifest.identity.as_ref() != Some(&self.identity) || manifest.name != name {
            let text = format!(
                "{name} is not of the sandbox and the incarnation that it is asked for. Nothing was \
                 sent"
            );
            return Err(Error::new(Code::Refused, "SNAPSHOT_OF_ANOTHER", text)
                .next_step(NextStep::ChooseSnapshot.of(&sandbox)));
        }
        if manifest.state() != pb::snapshot::State::Complete {
            let text = format!("{name} is incomplete, and is never restored. Nothing was sent");
            return Err(Error::new(Code::Refused, "SNAPSHOT_INCOMPLETE", text)
                .next_step(NextStep::ShowSnapshot.of(&name)));
        }
        let unreadable = |why: String| {
            let text =
                format!("the manifest of {name} cannot be followed: {why}. Nothing was sent");
            Error::new(Code::DataLoss, "SNAPSHOT_UNREADABLE", text)
                .next_step(NextStep::ChooseSnapshot.of(&sandbox))
        };
        let rules = Rules::parse(manifest.rules.as_ref());
        let rules = rules.map_err(|error| unreadable(error.message().to_owned()))?;
        for (index, path) in self.paths.iter().enumerate() {
            if !rules.roots.iter().any(|root| path.starts_with(root)) {
                let problem = "is not below a root of the snapshot";
                return Err(Error::invalid(format!("paths[{index}]"), problem));
            }
        }
        let nonce = manifest.nonce.map(|nonce| {
            let sha256 = hex::decode(&nonce.sha256).ok().and_then(|hash| hash.try_into().ok());
            let sha256 = sha256.ok_or_else(|| unreadable("its nonce has no digest".into()))?;
            Ok::<_, Error>(Nonce { path: nonce.path.into(), sha256 })
        });
        let nonce = nonce.transpose()?;
        let Self { snapshot, mode, configs, paths, .. } = self;
        Ok((Task { id: snapshot.id, rules, mode, configs, paths }, nonce))
    }
}

fn config_files(given: &[ConfigFile]) -> Result<Vec<Config>, Error> {
    if given.len() > MAX_CONFIG_FILES {
        let problem = format!("must have at most {MAX_CONFIG_FILES} files");
        return Err(Error::invalid("config_files", problem));
    }
    let mut seen = BTreeSet::new();
    let configs = given.iter().enumerate().map(|(index, file)| {
        let wrong = |part: &str, problem: String| {
            Error::invalid(format!("config_files[{index}].{part}"), problem)
        };
        let path = absolute(&file.path).map_err(|problem| wrong("path", problem))?;
        if !seen.insert(path.clone()) {
            return Err(wrong("path", "occurs twice".into()));
        }
        let format = Format::parse(&file.format)
            .ok_or_else(|| wrong("format", "must be json, yaml or toml".into()))?;
        let keys = file.runtime_owned_keys.iter().enumerate().map(|(key, text)| {
            let part = format!("runtime_owned_keys[{key}]");
            Key::parse(text).map_err(|problem| wrong(&part, problem))
        });
        Ok(Config { path, format, owned: keys.collect::<Result<_, _>>()? })
    });
    configs.collect()
}

fn below(given: &[String]) -> Result<Vec<PathBuf>, Error> {
    if given.len() > MAX_PATHS {
        return Err(Error::invalid("paths", format!("must have at most {MAX_PATHS} paths")));
    }
    let paths = given.iter().enumerate().map(|(index, text)| {
        absolute(text).map_err(|problem| Error::invalid(format!("paths[{index}]"), problem))
    });
    paths.collect()
}

fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let rebuilt: PathBuf = path.components().collect();
    let dots = path.components().any(|part| part.as_os_str() == "..");
    if !path.is_absolute() || dots || rebuilt.as_os_str() != path.as_os_str() {
        return Err("must be absolute and normalised".into());
    }
    Ok(path)
}

// === impl Door ===

impl Door {
    /// One through which nothing is written.
    pub(super) fn looking(
        gateway: &Arc<Gateway>,
        (sandbox, incarnation): (String, Incarnation),
    ) -> Self {
        let gateway = Arc::clone(gateway);
        Self { gateway, sandbox, incarnation, permit: None, passed: AtomicBool::new(false) }
    }

    /// A way in, if the sandbox is the one that is meant and commands can be run in it.
    pub(super) async fn open(&self) -> Result<ExecChannel, Stopped> {
        let healthy = self.ready().await?;
        let (gateway, incarnation) = (Arc::clone(&self.gateway), self.incarnation.clone());
        let leave = self.permit.clone();
        Ok(ExecChannel { gateway, healthy, incarnation, leave })
    }

    async fn ready(&self) -> Result<Healthy, Stopped> {
        match ready(&self.gateway, &self.incarnation).await {
            Ok((healthy, _)) => Ok(healthy),
            Err(unready) => Err(unready.stopped(&self.sandbox)),
        }
    }
}

impl Gate for Door {
    async fn check(&self) -> Result<(), Stopped> {
        self.ready().await?;
        if let Some(permit) = &self.permit {
            permit.still_allowed()?;
            self.passed.store(true, Ordering::Release);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_absolute_and_normalised() {
        assert!(absolute("/a/b").is_ok());
        for wrong in ["", "a", "/a/", "//a", "/a//b", "/a/./b", "/a/../b", "."] {
            assert!(absolute(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn config_files_are_blamed_by_field() {
        let file = |path: &str, format: &str, key: &str| ConfigFile {
            path: path.into(),
            format: format.into(),
            runtime_owned_keys: vec![key.into()],
        };
        assert_eq!(config_files(&[file("/a", "json", "b.c")]).unwrap().len(), 1);
        for (files, field) in [
            (vec![file("a", "json", "b")], "config_files[0].path"),
            (vec![file("/a", "xml", "b")], "config_files[0].format"),
            (vec![file("/a", "toml", "b.")], "config_files[0].runtime_owned_keys[0]"),
            (vec![file("/a", "toml", "b"), file("/a", "json", "b")], "config_files[1].path"),
        ] {
            let error = config_files(&files).unwrap_err();
            assert!(error.message().starts_with(field), "{error}");
        }
    }
}
