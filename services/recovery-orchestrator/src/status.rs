//! Reads: status, verdict, plan, connection. No effects anywhere.

use salvor_core::{
    Fact, Planned, Request, SagaKind, Timestamp, Verdict,
    evidence::{Live, Phase},
    name::RecordName,
    path, plan,
};
use salvor_proto::{
    Error,
    gateway::v1 as gateway,
    recovery::v1 as pb,
    registry::v1 as registry,
    time::{duration, millis},
};

use crate::{
    collect::Seen,
    decide::narrate,
    engine::{Ask, Engine},
    folded::{Standing, folded_found},
    view, words,
};

impl Engine {
    /// Everything there is to know of one sandbox.
    pub async fn status(&self, name: &RecordName) -> Result<pb::SandboxStatus, Error> {
        let seen = self.world().look(name).await?;
        let verdict = self.verdict_of(&seen);
        let open = self.open_recovery(name).await?;
        let mut next_step = words::after_verdict(verdict, &seen.evidence);
        if let Some(found) = open.as_ref().filter(|_| verdict == Verdict::Recovering) {
            next_step = match folded_found(found)?.standing {
                Standing::Stranded(obstacle) => obstacle.next_step(&found.name),
                _ => words::NextStep::Wait.of(found.name.as_str()),
            };
        }
        let open = open.map_or_else(String::new, |found| found.name.to_string());
        let data_at_risk = at_risk(&seen.record, seen.evidence.now);
        Ok(pb::SandboxStatus {
            explanation: words::explain(verdict, &seen.evidence),
            next_step,
            verdict: view::verdict(verdict).into(),
            record: Some(seen.record),
            gateway: seen.observation.raw.gateway,
            live: seen.observation.raw.live,
            open_recovery: open,
            data_at_risk,
        })
    }

    /// The verdict with the decisions behind it: those of the path that the verdict names.
    pub async fn verdict(&self, name: &RecordName) -> Result<pb::GetVerdictResponse, Error> {
        let seen = self.world().look(name).await?;
        let verdict = self.verdict_of(&seen);
        let decisions = match plan::plan(&self.world().config.limits, Request::Auto, &seen.evidence)
        {
            Planned::NothingToDo => Vec::new(),
            Planned::Plan(plan) => {
                narrate(&plan, &seen.evidence, None);
                view::plan(&plan, &seen.evidence).decisions
            }
        };
        Ok(pb::GetVerdictResponse {
            verdict: view::verdict(verdict).into(),
            explanation: words::explain(verdict, &seen.evidence),
            decisions,
            name: name.to_string(),
            owner_gateway: name.owner().to_string(),
        })
    }

    /// What a request would do, and every reason why it would not.
    pub async fn plan(&self, ask: Ask) -> Result<pb::Plan, Error> {
        let mut seen = self.world().look_for(&ask.name, ask.request, &ask.asked).await?;
        let limits = &self.world().config.limits;
        seen.evidence.accepted_loss = ask.accepted_loss;
        if ask.request == Request::Destroy {
            // A plan for a destroy is shown so that its losses can be accepted: as if they were.
            let inputs = plan::Inputs::of(SagaKind::Destroy, &seen.evidence);
            let digest = inputs.digest(SagaKind::Destroy, &ask.name);
            seen.evidence.accepted_loss = Some(digest);
        }
        match plan::plan(limits, ask.request, &seen.evidence) {
            Planned::NothingToDo => Ok(view::nothing_to_do(&seen.evidence)),
            Planned::Plan(plan) => {
                narrate(&plan, &seen.evidence, None);
                Ok(view::plan(&plan, &seen.evidence))
            }
        }
    }

    /// How to reach the sandbox if it is live; guidance otherwise.
    pub async fn connect(&self, name: &RecordName) -> Result<pb::ConnectSandboxResponse, Error> {
        let seen = self.world().look(name).await?;
        let verdict = self.verdict_of(&seen);
        let mut answer = pb::ConnectSandboxResponse {
            verdict: view::verdict(verdict).into(),
            live_view: seen.observation.raw.live.clone(),
            ..pb::ConnectSandboxResponse::default()
        };
        match (&seen.evidence.live, verdict) {
            (
                Fact::Known { value: Live::Present(present), .. },
                Verdict::Live | Verdict::Recovering,
            ) if present.phase == Phase::Ready && recorded(&seen, present.live_id.as_str()) => {
                answer.live = true;
                answer.gateway_endpoint =
                    seen.gateway.as_ref().map_or_else(String::new, |g| g.endpoint.clone());
                answer.workspace = name.workspace.to_string();
                answer.sandbox = name.sandbox.to_string();
                answer.live_id = present.live_id.to_string();
                answer.command = format!("openshell sandbox connect {}", name.sandbox);
            }
            _ => {
                answer.guidance = format!(
                    "not live: {}. Next: {}",
                    words::explain(verdict, &seen.evidence),
                    words::after_verdict(verdict, &seen.evidence)
                );
            }
        }
        Ok(answer)
    }

    fn verdict_of(&self, seen: &Seen) -> Verdict {
        path::verdict(&self.world().config.limits, &seen.evidence)
    }
}

fn recorded(seen: &Seen, live_id: &str) -> bool {
    seen.record.live_id == live_id
}

/// Whether a phase on the wire is one in which a sandbox can be captured.
pub(crate) fn capturable(present: &gateway::Present) -> bool {
    matches!(present.phase(), gateway::Phase::Ready | gateway::Phase::Stopped)
}

/// How long what is in the sandbox has not been in any complete snapshot, as far as the record knows. Where nothing is declared
/// to be worth keeping, nothing is at risk.
fn at_risk(record: &registry::Sandbox, now: Timestamp) -> Option<prost_types::Duration> {
    record.snapshot_rules.as_ref().filter(|rules| !rules.roots.is_empty())?;
    let newest = record.snapshot_status.as_ref()?.last_complete_time.as_ref()?;
    Some(duration(Timestamp(millis(newest)).age(now)))
}
