//! One fleet with the sandbox that things happen to, and a bystander that nothing may happen to.

use std::{collections::BTreeMap, time::Duration};

use salvor_devgateway::{Phase, user::Seed};
use salvor_proto::{recovery::v1 as pb, registry::v1 as registry};
use salvor_recovery_orchestrator::journal::Journal;
use salvor_testkit::{
    Fleet, Options,
    cut::Way,
    wait::{PATIENCE, until},
};
use tonic::Status;

use crate::process::{Process, Start};

const SETTLE: Duration = Duration::from_millis(60);
pub(crate) const VICTIM: &str = "coder";
pub(crate) const BYSTANDER: &str = "other";
/// The value of a variable of the sandbox's environment.
pub(crate) const SECRET: &str = "s3cret-value";

/// Which saga is to be interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// The sandbox is lost, and made anew.
    Stale,
    /// It is stopped, and started.
    Revive,
    /// It is destroyed.
    Destroy,
    /// It is live, and made anew with what is in it.
    Rebuild,
    /// It is lost, and made anew from its last snapshot.
    Restored,
    /// It is live, and a snapshot of it is taken.
    Snapshot,
    /// It is live, and a snapshot of it is written back over what is in it now.
    Refill,
    /// A snapshot of it is tried out in a throw-away sandbox.
    Drill,
    /// A snapshot of it becomes a sandbox of another name.
    Copy,
    /// Its older snapshots are deleted.
    Prune,
}

/// A file of the sandbox's workspace, and what is in it.
pub(crate) const WORK: (&str, &str) = ("work.txt", "written before any of it");
/// A file that its agent writes while no orchestrator is at work.
pub(crate) const LATE: (&str, &str) = ("late.txt", "written between two orchestrators");
/// What is in it, when something is to be restored over it.
pub(crate) const SPOILT: &str = "spoilt since";
/// The sandbox that a snapshot becomes.
pub(crate) const COPY: &str = "coder-2";

impl Case {
    /// Whether what was in the sandbox must be in it afterwards.
    pub(crate) const fn keeps_files(self) -> bool {
        !matches!(self, Self::Stale | Self::Revive | Self::Destroy)
    }

    /// How many snapshots of it there are before anything is asked for.
    pub(crate) const fn snapshots(self) -> usize {
        match self {
            Self::Restored | Self::Refill | Self::Drill | Self::Copy => 1,
            Self::Prune => 2,
            Self::Stale | Self::Revive | Self::Destroy | Self::Rebuild | Self::Snapshot => 0,
        }
    }
}

/// What was true before anything happened.
#[derive(Debug)]
pub(crate) struct Before {
    pub(crate) record: registry::Sandbox,
    pub(crate) material: registry::OpenSandboxMaterialResponse,
    pub(crate) bystander: registry::Sandbox,
    /// Calls of the gateway's log with a lower number are not salvor's recovery's.
    pub(crate) calls: u64,
    /// The snapshots that there are, oldest first.
    pub(crate) prepared: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) fleet: Fleet,
    pub(crate) case: Case,
    pub(crate) name: String,
    pub(crate) bystander: String,
    /// Whether a call that the gateway never answered took effect all the same. If not, it went away with its caller.
    pub(crate) unanswered_is_done: bool,
    pub(crate) start: Start,
}

impl Scene {
    /// A fleet, and an orchestrator of its own that dies after so many writes to its journal.
    pub(crate) async fn open(case: Case, dies_after: Option<u64>) -> (Self, Process, Before) {
        Self::open_with(case, dies_after, 0).await
    }

    /// The same with so many registries as processes, instead of one here.
    pub(crate) async fn open_with(
        case: Case,
        dies_after: Option<u64>,
        registries: usize,
    ) -> (Self, Process, Before) {
        let options = Options {
            registries,
            orchestrator: false,
            settle: SETTLE,
            snapshots: case.keeps_files(),
            ..Options::default()
        };
        let fleet = Box::pin(Fleet::start(options)).await.unwrap();
        let start = Start {
            registry: fleet.registry_url(),
            data: fleet.orchestrator_data(),
            journal: fleet.journal().clone(),
            way: None,
            settle: SETTLE,
            log: "info",
            otlp: None,
            dies_after,
            disk: None,
        };
        let (name, bystander) = (Fleet::name("lab", VICTIM), Fleet::name("lab", BYSTANDER));
        let mut scene = Self { fleet, case, name, bystander, unanswered_is_done: true, start };
        // The snapshot that prepares a case is no write that a process dies after.
        let prepares = case.snapshots() > 0;
        let process = scene.begin(dies_after.filter(|_| !prepares)).await;
        let before = Box::pin(scene.prepare()).await;
        if !prepares || dies_after.is_none() {
            return (scene, process, before);
        }
        process.kill().await;
        let process = scene.begin(dies_after).await;
        (scene, process, before)
    }

    /// From now on orchestrators come to their journal by a way that can be cut.
    pub(crate) async fn by_a_way(&mut self) -> Way {
        let (url, way) = self.fleet.journal_by_a_way().await.expect("a server");
        self.start.way = Some(url);
        way
    }

    /// A new orchestrator on the same journal.
    pub(crate) async fn begin(&mut self, dies_after: Option<u64>) -> Process {
        let process = Start { dies_after, ..self.start.clone() }.process().await;
        self.fleet.use_orchestrator(process.address).unwrap();
        process
    }

    /// Adopts both, and brings the first one into the state that its case is about.
    async fn prepare(&self) -> Before {
        self.fleet.sandbox("lab", VICTIM, &seed()).await.unwrap();
        self.fleet.sandbox("lab", BYSTANDER, &seed()).await.unwrap();
        let request = pb::AdoptSandboxRequest {
            name: self.name.clone(),
            claim_default: true,
            snapshot_rules: self.case.keeps_files().then(|| registry::SnapshotRules {
                roots: vec!["/sandbox".into()],
                ..Default::default()
            }),
            ..Default::default()
        };
        self.fleet.adopt_with(request).await.unwrap();
        let bystander = self.fleet.adopt(&self.bystander).await.unwrap();
        let material = self.material().await;
        let lab = self.fleet.gateway("lab");
        if self.case.keeps_files() {
            let root = lab.control.sandbox(VICTIM).unwrap().root;
            std::fs::write(root.join(WORK.0), WORK.1).unwrap();
        }
        let mut prepared = Vec::new();
        for _ in 0..self.case.snapshots() {
            prepared.push(self.snapshot().await);
        }
        match self.case {
            Case::Stale | Case::Restored => {
                lab.control.lose(VICTIM).await.unwrap();
                assert!(lab.control.wait_absent(VICTIM, PATIENCE).await);
            }
            Case::Revive => {
                lab.user.stop(VICTIM).await.unwrap();
                assert!(lab.control.wait_phase(VICTIM, Phase::Stopped, PATIENCE).await);
            }
            Case::Refill => {
                let root = lab.control.sandbox(VICTIM).unwrap().root;
                std::fs::write(root.join(WORK.0), SPOILT).unwrap();
            }
            Case::Destroy
            | Case::Rebuild
            | Case::Snapshot
            | Case::Drill
            | Case::Copy
            | Case::Prune => {}
        }
        let calls = lab.control.calls().last().map_or(0, |call| call.seq + 1);
        let record = self.fleet.record(&self.name).await.unwrap();
        Before { record, material, bystander, calls, prepared }
    }

    /// The agent writes, if the sandbox is the one from before and nobody has asked to delete it. Whether it did.
    pub(crate) fn write_on(&self, before: &Before) -> bool {
        let control = &self.fleet.gateway("lab").control;
        let asked = control.mutating_calls().iter().any(|call| call.seq >= before.calls);
        if asked || control.sandbox(VICTIM).is_none() {
            return false;
        }
        self.write_late(before);
        true
    }

    /// The agent writes, in the sandbox from before.
    pub(crate) fn write_late(&self, before: &Before) {
        let live = self.fleet.gateway("lab").control.sandbox(VICTIM).unwrap();
        assert_eq!(live.id, before.record.live_id);
        std::fs::write(live.root.join(LATE.0), LATE.1).unwrap();
    }

    /// What is in the file now that it wrote.
    pub(crate) fn written_on(&self) -> std::io::Result<String> {
        let live = self.fleet.gateway("lab").control.sandbox(VICTIM).unwrap();
        std::fs::read_to_string(live.root.join(LATE.0))
    }

    /// Flips a bit in every pack of the repository.
    pub(crate) fn alter_snapshots(&self) {
        let mut altered = 0;
        let mut left = vec![self.fleet.dir().join("adapter")];
        while let Some(directory) = left.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    left.push(path);
                } else if path.components().any(|part| part.as_os_str() == "data") {
                    let mut bytes = std::fs::read(&path).unwrap();
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                    let writable = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                    std::fs::set_permissions(&path, writable).unwrap();
                    std::fs::write(&path, bytes).unwrap();
                    altered += 1;
                }
            }
        }
        assert!(altered > 0, "there is something to alter");
    }

    /// Takes one, as the adapter does it, and has the record speak of it. Answers its name.
    async fn snapshot(&self) -> String {
        let request = pb::SnapshotSandboxRequest { name: self.name.clone(), ..Default::default() };
        let answer = self.fleet.recovery.clone().snapshot_sandbox(request).await.unwrap();
        let open = answer.into_inner().recovery.unwrap().name;
        let ended = self.fleet.wait(&open).await.unwrap();
        assert_eq!(ended.state(), pb::recovery::State::Succeeded, "{ended:#?}");
        ended.result.unwrap().snapshot_taken
    }

    /// Asks for what the case is about. The process may die meanwhile.
    pub(crate) async fn ask(&self) -> Result<(), Status> {
        match self.case {
            Case::Stale | Case::Restored | Case::Rebuild => {
                self.fleet.ask(&self.name, pb::RecoveryPath::Rebuild).await.map(|_| ())
            }
            Case::Revive => self.fleet.ask(&self.name, pb::RecoveryPath::Auto).await.map(|_| ()),
            Case::Destroy => self.fleet.destroy(&self.name).await.map(|_| ()),
            Case::Snapshot | Case::Refill | Case::Drill | Case::Copy | Case::Prune => {
                self.ask_about_snapshots().await
            }
        }
    }

    async fn ask_about_snapshots(&self) -> Result<(), Status> {
        let mut recovery = self.fleet.recovery.clone();
        let name = self.name.clone();
        let newest = || async {
            let record = self.fleet.record(&self.name).await?;
            Ok::<_, Status>(record.snapshot_status.unwrap_or_default().last_complete)
        };
        match self.case {
            Case::Refill | Case::Copy => {
                let copy_to = if self.case == Case::Copy { COPY } else { "" }.to_owned();
                let snapshot = newest().await?;
                let request =
                    pb::RestoreSandboxRequest { name, snapshot, copy_to, ..Default::default() };
                recovery.restore_sandbox(request).await.map(|_| ())
            }
            Case::Drill => {
                let snapshot = newest().await?;
                let request = pb::DrillSandboxRequest { name, snapshot, ..Default::default() };
                recovery.drill_sandbox(request).await.map(|_| ())
            }
            Case::Prune => {
                let keep = registry::Retention { keep_last: 1, ..Default::default() };
                let request = pb::PruneSandboxSnapshotsRequest {
                    name,
                    retention: Some(keep),
                    ..Default::default()
                };
                recovery.prune_sandbox_snapshots(request).await.map(|_| ())
            }
            _ => {
                let request = pb::SnapshotSandboxRequest { name, ..Default::default() };
                recovery.snapshot_sandbox(request).await.map(|_| ())
            }
        }
    }

    /// The recoveries of the sandbox, newest first, but for the snapshots that prepared it.
    pub(crate) async fn recoveries(&self) -> Vec<pb::Recovery> {
        let request =
            pb::ListRecoveriesRequest { sandbox: self.name.clone(), ..Default::default() };
        let answer = self.fleet.recovery.clone().list_recoveries(request).await.unwrap();
        let mut recoveries = answer.into_inner().recoveries;
        // Created in this order; listed newest first.
        recoveries.truncate(recoveries.len().saturating_sub(self.case.snapshots()));
        recoveries
    }

    /// Waits for the end of the one recovery that there is; asks again if none became durable.
    pub(crate) async fn ended(&self) -> pb::Recovery {
        if self.recoveries().await.is_empty() {
            // The lease of the one that died before it was durable runs out by itself.
            until("an accepted recovery", || async { self.ask().await.ok() }).await;
        }
        let recoveries = self.recoveries().await;
        assert_eq!(recoveries.len(), 1, "one request, one recovery: {recoveries:#?}");
        let recovery = self.fleet.wait(&recoveries[0].name).await.unwrap();
        assert!(recovery.done, "{recovery:#?}");
        recovery
    }

    /// How often the journal was written for a recovery: its header, and each event. Nobody may be writing.
    pub(crate) async fn appends(&self, recovery: &str) -> u64 {
        1 + self.events(recovery).await.len() as u64
    }

    /// Its events, as JSON: the first is the second write.
    pub(crate) async fn events(&self, recovery: &str) -> Vec<String> {
        let journal = Journal::open(self.fleet.journal(), None).await.unwrap();
        let name = salvor_core::id::RecoveryName(recovery.to_owned());
        let stored = journal.recovery(&name).await.unwrap().unwrap();
        stored.events.into_iter().map(|row| row.event).collect()
    }

    /// The record's sealed bytes. Takes and gives back the lease: fails to return while somebody else holds it.
    pub(crate) async fn material(&self) -> registry::OpenSandboxMaterialResponse {
        let mut registry = self.fleet.registry.clone();
        let fence_token = self.hold().await;
        let name = self.name.clone();
        let request =
            registry::OpenSandboxMaterialRequest { name, fence_token, ..Default::default() };
        let material = registry.open_sandbox_material(request).await.unwrap().into_inner();
        self.release(fence_token).await;
        material
    }

    /// Takes the record's lease as soon as nobody has it. Answers its fence token.
    pub(crate) async fn hold(&self) -> i64 {
        let lease = until("a free lease", || async {
            let request = registry::AcquireLeaseRequest {
                sandbox: self.name.clone(),
                holder: "recoveries/of-the-test".into(),
                ttl: None,
            };
            let answer = self.fleet.registry.clone().acquire_lease(request).await;
            match answer {
                Ok(answer) => answer.into_inner().lease,
                Err(status) => {
                    assert_eq!(status.code(), tonic::Code::Aborted, "{status}");
                    None
                }
            }
        })
        .await;
        lease.fence_token
    }

    /// Gives it back.
    pub(crate) async fn release(&self, fence_token: i64) {
        let sandbox = self.name.clone();
        let request = registry::ReleaseLeaseRequest { sandbox, fence_token };
        self.fleet.registry.clone().release_lease(request).await.unwrap();
    }
}

fn seed() -> Seed {
    Seed {
        image: "registry.test/agent:1".into(),
        environment: BTreeMap::from([("AGENT_TOKEN".into(), SECRET.into())]),
        rules: Some(BTreeMap::from([("custom-git".into(), vec!["git.test".into()])])),
        labels: BTreeMap::from([("team".into(), "red".into())]),
        annotations: BTreeMap::from([("note".into(), "kept as it is".into())]),
        ..Seed::default()
    }
}
