//! Posture and readiness: what is asked of the inside of a sandbox.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use salvor_devgateway::{Effect as FaultEffect, Fault};
use salvor_proto::gateway::v1::effect::{Cause, Outcome};
use salvor_proto::gateway::v1::probe_readiness_response::Result as Readiness;
use salvor_proto::gateway::v1::sealed_path_view::State;
use salvor_proto::gateway::v1::*;
use salvor_proto::registry::v1::{Posture, ReadinessProbe, SealedPath, posture};
use sha2::{Digest, Sha256};
use tonic::Code;

use crate::target::{BOTH, Target, is};

/// Files of a ready sandbox, and its id.
struct Files {
    id: String,
    root: PathBuf,
    sealed: Vec<SealedPath>,
}

impl Files {
    async fn new(target: &mut Target) -> Self {
        let id = target.ready("coder").await;
        let root = target.control().sandbox("coder").unwrap().root;
        Self { id, root, sealed: Vec::new() }
    }

    fn file(&mut self, name: &str, content: &str, mode: u32) {
        let path = self.root.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        self.seal(name, content);
    }

    fn seal(&mut self, name: &str, content: &str) {
        let sha256 = hex::encode(Sha256::digest(content));
        self.sealed.push(SealedPath { path: format!("/sandbox/{name}"), sha256 });
    }

    fn posture(&self) -> Option<Posture> {
        let sealed_paths = self.sealed.clone();
        Some(Posture { mode: posture::Mode::Locked.into(), sealed_paths, ..Default::default() })
    }

    async fn verify(&self, target: &mut Target) -> VerifyPostureResponse {
        let request = VerifyPostureRequest {
            sandbox: target.sandbox("coder"),
            live_id: self.id.clone(),
            posture: self.posture(),
        };
        target.bench.client.verify_posture(request).await.unwrap().into_inner()
    }

    async fn apply(&self, target: &mut Target) -> (Effect, Vec<State>) {
        let request = ApplyPostureRequest {
            sandbox: target.sandbox("coder"),
            permit: target.permit("apply_posture", "coder", 1),
            live_id: self.id.clone(),
            posture: self.posture(),
        };
        let answer = target.bench.client.apply_posture(request).await.unwrap().into_inner();
        (answer.effect.unwrap(), states(&answer.paths))
    }
}

fn states(paths: &[SealedPathView]) -> Vec<State> {
    paths.iter().map(SealedPathView::state).collect()
}

#[tokio::test]
async fn every_path_is_told_by_itself() {
    use State::{Changed, Missing, NotRegular, Sealed, Writable};
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        let mut files = Files::new(&mut target).await;
        files.file("sealed", "a", 0o444);
        files.file("open; rm -rf $HOME '\"", "b", 0o644);
        files.file("changed", "new", 0o444);
        files.sealed[2].sha256 = hex::encode(Sha256::digest("old"));
        files.seal("gone", "c");
        files.seal("directory", "");
        fs::create_dir(files.root.join("directory")).unwrap();
        target.control().clear_calls();
        let verified = files.verify(&mut target).await;
        let found = states(&verified.paths);
        assert_eq!(found, [Sealed, Writable, Changed, Missing, NotRegular], "{verified:?}");
        let execs = target.control().calls();
        assert_eq!(execs.iter().filter(|call| call.method == "ExecSandbox").count(), 1);
        let paths: Vec<&String> = verified.paths.iter().map(|view| &view.path).collect();
        let asked: Vec<&String> = files.sealed.iter().map(|sealed| &sealed.path).collect();
        assert_eq!(paths, asked);
        // Only what matches is sealed; the rest is said and left alone.
        let (effect, after) = files.apply(&mut target).await;
        is(&effect, Outcome::MaybeApplied, Cause::CommandFailed);
        assert_eq!(after, [Sealed, Sealed, Changed, Missing, NotRegular]);
        let (effect, _) = files.apply(&mut target).await;
        is(&effect, Outcome::NotApplied, Cause::CommandFailed);
        assert_eq!(fs::read_to_string(files.root.join("changed")).unwrap(), "new");
    }
}

#[tokio::test]
async fn a_posture_that_holds_everywhere_is_applied() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        let mut files = Files::new(&mut target).await;
        for index in 0..150 {
            files.file(&format!("file {index}"), &index.to_string(), 0o664);
        }
        let (effect, after) = files.apply(&mut target).await;
        is(&effect, Outcome::Applied, Cause::Unspecified);
        assert_eq!(after, vec![State::Sealed; 150]);
        // The gateway's exec reports a failure that never was.
        target.control().fault(Fault::on("ExecSandbox", FaultEffect::MisreportExit));
        assert_eq!(states(&files.verify(&mut target).await.paths), vec![State::Sealed; 150]);
    }
}

#[tokio::test]
async fn a_sandbox_that_cannot_be_looked_into_says_nothing_of_its_paths() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        let mut files = Files::new(&mut target).await;
        files.file("a", "a", 0o644);
        let control = target.control();
        for (code, reason) in [
            (Code::Unavailable, UnknownReason::Unavailable),
            (Code::Internal, UnknownReason::Internal),
            (Code::FailedPrecondition, UnknownReason::Unavailable),
        ] {
            control.fault(Fault::fail("ExecSandbox", code, "broken"));
            let verified = files.verify(&mut target).await;
            assert!(verified.paths.is_empty());
            assert_eq!(verified.unknown.unwrap().reason(), reason);
            control.clear_faults();
        }
        let id = std::mem::replace(&mut files.id, uuid::Uuid::new_v4().to_string());
        let verified = files.verify(&mut target).await;
        assert_eq!(verified.unknown.unwrap().reason(), UnknownReason::Inconsistent);
        let (effect, _) = files.apply(&mut target).await;
        is(&effect, Outcome::NotApplied, Cause::OtherIncarnation);
        files.id = id;
        control.kill("coder").await.unwrap();
        target.wait_phase("coder", Phase::Error).await;
        let (effect, _) = files.apply(&mut target).await;
        is(&effect, Outcome::NotApplied, Cause::WrongPhase);
    }
}

#[tokio::test]
async fn readiness_ends_with_its_code_its_last_words_or_unknown() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        let id = target.ready("coder").await;
        let flood = "i=0; while [ $i -lt 4000 ]; do echo 0123456789; i=$((i+1)); done; echo last";
        let ended = target.run("coder", &id, &["sh", "-c", flood]).await;
        assert_eq!(ended.result, Some(Readiness::ExitCode(0)));
        assert!(ended.output.len() <= 1024 && ended.output.ends_with("last"), "{}", ended.output);
        target.control().fault(Fault::on("ExecSandbox", FaultEffect::MisreportExit));
        let ended = target.run("coder", &id, &["true"]).await;
        assert_eq!(ended.result, Some(Readiness::ExitCode(0)), "the marker is believed");
        let slow = ProbeReadinessRequest {
            sandbox: target.sandbox("coder"),
            live_id: id.clone(),
            probe: Some(ReadinessProbe {
                command: vec!["sleep".into(), "30".into()],
                timeout: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
            }),
        };
        let late = target.bench.client.probe_readiness(slow).await.unwrap().into_inner();
        let Some(Readiness::Unknown(unknown)) = late.result else { panic!("{late:?}") };
        assert_eq!(unknown.reason(), UnknownReason::DeadlineExceeded);
        target.control().fault(Fault::on("ExecSandbox", FaultEffect::LoseReply));
        let lost = target.run("coder", &id, &["true"]).await;
        assert!(matches!(lost.result, Some(Readiness::Unknown(_))), "{lost:?}");
    }
}
