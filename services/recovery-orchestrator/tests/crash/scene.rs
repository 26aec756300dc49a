//! One fleet with the sandbox that things happen to, and a bystander that nothing may happen to.

use std::{collections::BTreeMap, time::Duration};

use salvor_devgateway::{Phase, user::Seed};
use salvor_proto::{recovery::v1 as pb, registry::v1 as registry};
use salvor_recovery_orchestrator::journal::Journal;
use salvor_testkit::{
    Fleet, Options,
    wait::{PATIENCE, until},
};
use tonic::Status;

use crate::process::{Process, Start};

const SETTLE: Duration = Duration::from_millis(60);
pub(crate) const VICTIM: &str = "coder";
const BYSTANDER: &str = "other";
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
}

/// What was true before anything happened.
#[derive(Debug)]
pub(crate) struct Before {
    pub(crate) record: registry::Sandbox,
    pub(crate) material: registry::OpenSandboxMaterialResponse,
    pub(crate) bystander: registry::Sandbox,
    /// Calls of the gateway's log with a lower number are not salvor's recovery's.
    pub(crate) calls: u64,
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
        let options = Options { orchestrator: false, settle: SETTLE, ..Options::default() };
        let fleet = Fleet::start(options).await.unwrap();
        let start = Start {
            registry: fleet.registry_url(),
            data: fleet.journal().parent().unwrap().to_owned(),
            settle: SETTLE,
            log: "info",
            otlp: None,
            dies_after,
        };
        let (name, bystander) = (Fleet::name("lab", VICTIM), Fleet::name("lab", BYSTANDER));
        let mut scene = Self { fleet, case, name, bystander, unanswered_is_done: true, start };
        let process = scene.begin(dies_after).await;
        let before = scene.prepare().await;
        (scene, process, before)
    }

    /// A new orchestrator on the same journal.
    pub(crate) async fn begin(&mut self, dies_after: Option<u64>) -> Process {
        let process = Process::start(&Start { dies_after, ..self.start.clone() }).await;
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
            ..Default::default()
        };
        self.fleet.adopt_with(request).await.unwrap();
        let bystander = self.fleet.adopt(&self.bystander).await.unwrap();
        let material = self.material().await;
        let lab = self.fleet.gateway("lab");
        match self.case {
            Case::Stale => {
                lab.control.lose(VICTIM).await.unwrap();
                assert!(lab.control.wait_absent(VICTIM, PATIENCE).await);
            }
            Case::Revive => {
                lab.user.stop(VICTIM).await.unwrap();
                assert!(lab.control.wait_phase(VICTIM, Phase::Stopped, PATIENCE).await);
            }
            Case::Destroy => {}
        }
        let calls = lab.control.calls().last().map_or(0, |call| call.seq + 1);
        let record = self.fleet.record(&self.name).await.unwrap();
        Before { record, material, bystander, calls }
    }

    /// Asks for what the case is about. The process may die meanwhile.
    pub(crate) async fn ask(&self) -> Result<(), Status> {
        match self.case {
            Case::Stale => self.fleet.ask(&self.name, pb::RecoveryPath::Rebuild).await.map(|_| ()),
            Case::Revive => self.fleet.ask(&self.name, pb::RecoveryPath::Auto).await.map(|_| ()),
            Case::Destroy => self.fleet.destroy(&self.name).await.map(|_| ()),
        }
    }

    /// The recoveries of the sandbox, newest first.
    pub(crate) async fn recoveries(&self) -> Vec<pb::Recovery> {
        let request =
            pb::ListRecoveriesRequest { sandbox: self.name.clone(), ..Default::default() };
        let answer = self.fleet.recovery.clone().list_recoveries(request).await.unwrap();
        answer.into_inner().recoveries
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
        let journal = Journal::open(&self.fleet.journal(), None).await.unwrap();
        let name = salvor_core::id::RecoveryName(recovery.to_owned());
        let stored = journal.recovery(&name).await.unwrap().unwrap();
        1 + stored.events.len() as u64
    }

    /// The record's sealed bytes. Takes and gives back the lease: fails to return while somebody else holds it.
    pub(crate) async fn material(&self) -> registry::OpenSandboxMaterialResponse {
        let mut registry = self.fleet.registry.clone();
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
        let sandbox = self.name.clone();
        let fence_token = lease.fence_token;
        let request = registry::OpenSandboxMaterialRequest { name: sandbox.clone(), fence_token };
        let material = registry.open_sandbox_material(request).await.unwrap().into_inner();
        let request = registry::ReleaseLeaseRequest { sandbox, fence_token };
        registry.release_lease(request).await.unwrap();
        material
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
