//! `plan` and `recover`.

use salvor_proto::recovery::v1::{
    Decision, Plan, PlanRecoveryRequest, RecoverSandboxRequest, RecoveryPath, decision,
};
use salvor_proto::time::duration;

use super::request_id;
use super::work::{finish, planned};
use crate::args::{PlanArgs, RecoverArgs, RunArgs};
use crate::client::{Clients, within};
use crate::exit::{Exit, Failure};
use crate::next_step::NextStep;
use crate::output::Output;
use crate::render::{self, Look};
use crate::resolve;

/// `salvor plan`.
pub(crate) async fn plan(
    clients: &Clients,
    args: &PlanArgs,
    output: &Output,
) -> Result<Exit, Failure> {
    let name = match (&args.target.name, args.destroy) {
        (None, true) => {
            return Err(Failure::usage(
                "NAME_REQUIRED",
                "a destroy is never of the default sandbox",
            )
            .next(NextStep::NameToDestroy.of("")));
        }
        (name, _) => resolve::record_or_default(clients, name.as_deref()).await?,
    };
    let request = PlanRecoveryRequest {
        path: RecoveryPath::from(args.path).into(),
        destroy: args.destroy,
        accept_data_loss: args.loss.accept_data_loss.clone().unwrap_or_default(),
        snapshot: resolve::snapshot::of_record(args.snapshot.snapshot.as_deref(), &name)?,
        name,
    };
    let plan = plan_of(clients, request).await?;
    output.message(&plan, render::plan::plan)?;
    Ok(verdict_on(&plan))
}

/// The plan for one record.
pub(super) async fn plan_of(
    clients: &Clients,
    request: PlanRecoveryRequest,
) -> Result<Plan, Failure> {
    let answer = clients.recovery()?.plan_recovery(request).await?.into_inner();
    answer.plan.ok_or_else(|| Failure::internal("the orchestrator answered no plan"))
}

/// The guards that refuse, but for the acceptance of losses, which only the real call can give.
pub(super) fn refusals(plan: &Plan) -> impl Iterator<Item = &Decision> {
    plan.decisions.iter().filter(|decision| {
        decision.result() != decision::Result::Allow && decision.reason != "DATA_LOSS_NOT_ACCEPTED"
    })
}

/// Allowed, refused, or not determined: by the first refusal, as the real call would.
pub(super) fn verdict_on(plan: &Plan) -> Exit {
    match refusals(plan).next() {
        None => Exit::Done,
        Some(first) if first.evidence.iter().any(|fact| !fact.unknown.is_empty()) => {
            Exit::Undetermined
        }
        Some(_) => Exit::Refused,
    }
}

/// `salvor recover`.
pub(crate) async fn run(
    clients: &Clients,
    args: &RecoverArgs,
    output: &Output,
) -> Result<Exit, Failure> {
    let name = resolve::record_or_default(clients, args.target.name.as_deref()).await?;
    let request = RecoverSandboxRequest {
        path: RecoveryPath::from(args.path).into(),
        plan_digest: args.plan.clone().unwrap_or_default(),
        accept_data_loss: args.loss.accept_data_loss.clone().unwrap_or_default(),
        snapshot: resolve::snapshot::of_record(args.snapshot.snapshot.as_deref(), &name)?,
        name,
        ..RecoverSandboxRequest::default()
    };
    start(clients, request, &args.run, output).await
}

/// Starts a recovery and follows it; `request` says of what and which way.
pub(super) async fn start(
    clients: &Clients,
    request: RecoverSandboxRequest,
    run: &RunArgs,
    output: &Output,
) -> Result<Exit, Failure> {
    let name = request.name.clone();
    let request = RecoverSandboxRequest {
        request_id: request_id(),
        validate_only: run.validate_only,
        settle_timeout: Some(duration(run.settle)),
        ..request
    };
    let request = within(run.settle, request);
    let answer = clients.recovery()?.recover_sandbox(request).await?.into_inner();
    match answer.recovery.clone().filter(|_| !run.validate_only) {
        Some(started) => finish(clients, answer, &started, &run.wait, output).await,
        None => planned(&answer, |look| nothing_to_do(&name, look), output),
    }
}

fn nothing_to_do(name: &str, look: Look) -> String {
    let next = render::next(&NextStep::Connect.of(name), look);
    format!("{name} is live: nothing to do\n{next}")
}

#[cfg(test)]
mod tests {
    use salvor_proto::recovery::v1::Fact;

    use super::*;

    fn refusal(reason: &str, unknown: &str) -> Decision {
        Decision {
            result: decision::Result::Refuse.into(),
            reason: reason.into(),
            evidence: vec![Fact { unknown: unknown.into(), ..Fact::default() }],
            ..Decision::default()
        }
    }

    #[test]
    fn the_first_refusal_says_how_a_plan_ends() {
        let allow = Decision { result: decision::Result::Allow.into(), ..Decision::default() };
        let cases = [
            (vec![allow.clone()], Exit::Done),
            (vec![allow.clone(), refusal("SANDBOX_PRESENT", "")], Exit::Refused),
            (vec![refusal("GATEWAY_UNAVAILABLE", "no answer")], Exit::Undetermined),
            (vec![allow, refusal("DATA_LOSS_NOT_ACCEPTED", "")], Exit::Done),
        ];
        for (decisions, exit) in cases {
            assert_eq!(verdict_on(&Plan { decisions, ..Plan::default() }), exit);
        }
    }
}
