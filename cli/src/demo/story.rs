//! The demonstration, act by act.

mod second;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use salvor_devgateway::user::{Seed, User};
use salvor_devgateway::{Control, Dialect, Phase};
use salvor_proto::recovery::v1::{
    AdoptSandboxRequest, ConnectSandboxRequest, ConnectSandboxResponse, Decision,
    RecoverSandboxRequest, Recovery, Verdict, decision,
};
use salvor_proto::registry::v1::{Agent, Gateway, Sandbox};
use salvor_proto::time::duration;
use tokio::time::{Instant, sleep};

use crate::client::{Clients, within};
use crate::commands::{gateways, recoveries, sandbox};
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::progress::follow;
use crate::render::{self, Look, Tone};
use crate::up::stack::Stack;

/// The sandbox of the demonstration.
const NAME: &str = "coder";
const RECORD: &str = "gateways/demo/workspaces/default/sandboxes/coder";
/// Bound on each single wait.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks while waiting.
const PAUSE: Duration = Duration::from_millis(100);

/// What it needs.
pub(super) struct Story<'a> {
    clients: Clients,
    control: Control,
    user: User,
    uri: String,
    output: &'a Output,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Told {
    /// The sandbox alone.
    pub(super) first: Act,
    /// The sandbox with what was in it.
    pub(super) second: Act,
    /// The snapshot that the second recovery was to restore.
    pub(super) snapshot: String,
    /// All of it.
    pub(super) took: Duration,
}

/// One loss and its recovery.
#[derive(Debug, Default)]
pub(super) struct Act {
    /// The recovery at its end.
    pub(super) recovery: Recovery,
    /// Every decision that it rests on.
    pub(super) decisions: Vec<Decision>,
    /// The incarnation that was lost.
    pub(super) lost_id: String,
    /// The one that is live now.
    pub(super) live_id: String,
    /// What is not as it should be at the end; empty if all is verified.
    pub(super) problems: Vec<String>,
}

// === impl Story ===

impl<'a> Story<'a> {
    /// Ready to be told.
    pub(super) fn new(
        stack: &Stack,
        dialect: Dialect,
        output: &'a Output,
    ) -> Result<Self, Failure> {
        let (Some(control), Some(uri)) = (stack.devgateway_control(), stack.devgateway_uri())
        else {
            return Err(Failure::internal("the demonstration needs a development gateway"));
        };
        let user = User::new(&uri, dialect)?;
        Ok(Self { clients: stack.clients(), control, user, uri, output })
    }

    /// All acts.
    pub(super) async fn tell(&self) -> Result<Told, Failure> {
        let begun = Instant::now();
        self.act("a registry, an adapter, an orchestrator and a development gateway on loopback");
        self.say(
            "waits are shortened: settle windows 1 s instead of 5, gateway phases 5 times faster",
        );
        let lost_id = self.create().await?;
        self.adopt().await?;
        self.act("the container is removed behind the gateway's back");
        let first = self.lose_and_recover(lost_id).await?;
        let (second, snapshot) = self.second_act(first.live_id.clone()).await?;
        Ok(Told { first, second, snapshot, took: begun.elapsed() })
    }

    /// What both acts have in common.
    async fn lose_and_recover(&self, lost_id: String) -> Result<Act, Failure> {
        self.lose().await?;
        self.ask().await?;
        let recovery = self.recover().await?;
        let decisions = self.explain(&recovery).await?;
        let (live_id, problems) = self.verify(&recovery, &decisions, &lost_id).await?;
        Ok(Act { recovery, decisions, lost_id, live_id, problems })
    }

    async fn create(&self) -> Result<String, Failure> {
        self.act("a user creates a sandbox with the gateway's own API");
        let host = |name: &str| vec![name.to_owned()];
        let seed = Seed {
            image: "example/agent:1.0".to_owned(),
            environment: BTreeMap::from([("API_TOKEN".to_owned(), "demo-secret".to_owned())]),
            rules: Some(BTreeMap::from([
                ("git".to_owned(), host("git.example.com")),
                ("model".to_owned(), host("api.example.com")),
            ])),
            ..Seed::default()
        };
        let id = self.user.create(NAME, &seed).await?;
        if !self.control.wait_phase(NAME, Phase::Ready, PATIENCE).await {
            return Err(stuck("the sandbox did not become ready"));
        }
        self.say(format!("{NAME} is READY on {} as {id}", self.uri));
        Ok(id)
    }

    async fn adopt(&self) -> Result<(), Failure> {
        self.command("gateways add demo", &self.uri);
        let name = "gateways/demo".to_owned();
        let gateway = Gateway { name, endpoint: self.uri.clone(), ..Gateway::default() };
        let gateway = gateways::register(&self.clients, gateway).await?;
        self.show(&render::gateway::one(&gateway, self.look()));
        self.command("adopt", NAME);
        let record = self.captured().await?;
        self.show(&render::record::adopted(&record, true, self.look()));
        self.status().await?;
        Ok(())
    }

    /// The adapter needs a moment to hear of a new gateway; until then the orchestrator cannot ask it.
    async fn captured(&self) -> Result<Sandbox, Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let request = AdoptSandboxRequest {
                name: RECORD.to_owned(),
                agents: vec![Agent { kind: "demo".to_owned(), version: String::new() }],
                claim_default: true,
                ..AdoptSandboxRequest::default()
            };
            let answer = self.clients.recovery()?.adopt_sandbox(request).await;
            match answer.map_err(Failure::from) {
                Ok(answer) => return Ok(answer.into_inner().sandbox.unwrap_or_default()),
                Err(failure) if failure.exit == Exit::Undetermined && Instant::now() < deadline => {
                    sleep(PAUSE).await;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn lose(&self) -> Result<(), Failure> {
        self.control.lose(NAME).await.map_err(|error| stuck(&error.to_string()))?;
        if !self.control.wait_absent(NAME, PATIENCE).await {
            return Err(stuck("the gateway still lists the sandbox"));
        }
        self.say("its processes, its files and its row on the gateway are gone");
        Ok(())
    }

    /// What a person asks first. Neither call changes anything.
    async fn ask(&self) -> Result<(), Failure> {
        self.status().await?;
        let connection = self.connect().await?;
        if connection.live {
            return Err(stuck("a lost sandbox was said to be live"));
        }
        Ok(())
    }

    async fn recover(&self) -> Result<Recovery, Failure> {
        self.command("recover", NAME);
        let request = RecoverSandboxRequest {
            name: RECORD.to_owned(),
            settle_timeout: Some(duration(PATIENCE)),
            ..RecoverSandboxRequest::default()
        };
        let request = within(PATIENCE, request);
        let answer = self.clients.recovery()?.recover_sandbox(request).await?.into_inner();
        let started = answer.recovery.ok_or_else(|| stuck("there was nothing to recover"))?;
        let ended = follow(&self.clients, &started.name, PATIENCE, |_| Ok(())).await?;
        self.show(&render::recovery::whole(&ended, self.look()));
        Ok(ended)
    }

    async fn explain(&self, recovery: &Recovery) -> Result<Vec<Decision>, Failure> {
        let parent = recovery.name.clone();
        let decisions = recoveries::kept(&self.clients, parent, false, 1_000).await?.decisions;
        self.command("decisions", &recovery.name);
        self.say("evidence");
        self.show(&render::decision::evidence(&decisions, self.look()));
        self.say("every guard's decision, kept in the journal and shown in the trace");
        self.show(&render::decision::kept(&decisions, self.look()));
        Ok(decisions)
    }

    /// Looks at the end state from both sides: what salvor says, and what the gateway has.
    async fn verify(
        &self,
        recovery: &Recovery,
        decisions: &[Decision],
        lost_id: &str,
    ) -> Result<(String, Vec<String>), Failure> {
        let status = self.status().await?;
        let connection = self.connect().await?;
        let there = self.control.sandboxes();
        let there: Vec<_> = there.iter().filter(|sandbox| sandbox.name == NAME).collect();
        let live_id = connection.live_id.clone();
        let recorded = status.record.map(|record| record.live_id).unwrap_or_default();
        let claims = [
            (recovery.done, "the recovery is not done"),
            (recovery.failure.is_none(), "the recovery failed"),
            (status.verdict == i32::from(Verdict::Live), "the verdict is not LIVE"),
            (connection.live, "it cannot be connected to"),
            (live_id != lost_id, "the lost incarnation is said to be live"),
            (live_id == recorded, "the record names another incarnation"),
            (there.len() == 1, "the gateway does not have exactly one sandbox of that name"),
            (
                there.iter().all(|sandbox| sandbox.id == live_id && sandbox.phase == Phase::Ready),
                "the gateway has another one, or it is not ready",
            ),
            (
                there.iter().all(|sandbox| !sandbox.processes.is_empty()),
                "no process runs in the sandbox",
            ),
            (!decisions.is_empty(), "no decision was kept"),
            (
                decisions.iter().all(|decision| decision.result() == decision::Result::Allow),
                "a guard refused",
            ),
        ];
        Ok((live_id, wrong(claims)))
    }

    async fn status(&self) -> Result<salvor_proto::recovery::v1::SandboxStatus, Failure> {
        self.command("status", NAME);
        let status = sandbox::status_of(&self.clients, RECORD.to_owned()).await?;
        self.show(&render::status::status(&status, self.look()));
        Ok(status)
    }

    async fn connect(&self) -> Result<ConnectSandboxResponse, Failure> {
        self.command("connect", NAME);
        let request = ConnectSandboxRequest { name: RECORD.to_owned() };
        let answer = self.clients.recovery()?.connect_sandbox(request).await?.into_inner();
        self.show(&render::status::connection(&answer, self.look()));
        Ok(answer)
    }

    fn look(&self) -> Look {
        if self.output.is_json() { self.output.err_look() } else { self.output.look() }
    }

    fn act(&self, title: &str) {
        self.show(&format!("\n{}", self.look().paint(Tone::Strong, &format!("── {title}"))));
    }

    fn command(&self, command: &str, of: &str) {
        let line = format!("\n$ salvor {command} {of}");
        self.show(&self.look().paint(Tone::Strong, &line));
    }

    fn say(&self, text: impl Display) {
        self.show(&self.look().paint(Tone::Dim, &format!("   {text}")));
    }

    /// For people on stdout; aside when programs read that.
    fn show(&self, text: &str) {
        if self.output.is_json() {
            self.output.note(text.trim_end_matches('\n'));
        } else {
            self.output.text(text);
        }
    }
}

/// The claims that do not hold.
fn wrong<const N: usize>(claims: [(bool, &str); N]) -> Vec<String> {
    let wrong = claims.into_iter().filter(|(holds, _)| !holds);
    wrong.map(|(_, problem)| problem.to_owned()).collect()
}

fn stuck(problem: &str) -> Failure {
    Failure::internal(format!("the demonstration is stuck: {problem}"))
}
