//! `plan` and `recover`.

use salvor_proto::recovery::v1::{
    Decision, Plan, PlanRecoveryRequest, RecoverSandboxRequest, Recovery, RecoveryPath, Saga,
    decision,
};
use salvor_proto::time::duration;

use super::request_id;
use crate::args::{PathName, PlanArgs, RecoverArgs};
use crate::client::{Clients, within};
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::progress::{Progress, follow};
use crate::render::{self, words};
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
            .next("salvor plan --destroy NAME"));
        }
        (name, _) => resolve::record_or_default(clients, name.as_deref()).await?,
    };
    let plan = plan_of(clients, name, args.path, args.destroy).await?;
    output.message(&plan, render::plan::plan)?;
    Ok(verdict_on(&plan))
}

/// The plan for one record.
pub(crate) async fn plan_of(
    clients: &Clients,
    name: String,
    path: PathName,
    destroy: bool,
) -> Result<Plan, Failure> {
    let request = PlanRecoveryRequest { name, path: RecoveryPath::from(path).into(), destroy };
    let answer = clients.recovery()?.plan_recovery(request).await?.into_inner();
    answer.plan.ok_or_else(|| Failure::internal("the orchestrator answered no plan"))
}

/// The guards that refuse, but for the acceptance of losses, which only the real call can give.
pub(crate) fn refusals(plan: &Plan) -> impl Iterator<Item = &Decision> {
    plan.decisions.iter().filter(|decision| {
        decision.result() != decision::Result::Allow && decision.reason != "DATA_LOSS_NOT_ACCEPTED"
    })
}

/// Allowed, refused, or not determined: by the first refusal, as the real call would.
fn verdict_on(plan: &Plan) -> Exit {
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
        name: name.clone(),
        path: RecoveryPath::from(args.path).into(),
        request_id: request_id(),
        validate_only: args.validate_only,
        plan_digest: args.plan.clone().unwrap_or_default(),
        settle_timeout: Some(duration(args.settle)),
    };
    let request = within(args.settle, request);
    let mut answer = clients.recovery()?.recover_sandbox(request).await?.into_inner();
    let started = answer.recovery.as_ref().filter(|_| !args.validate_only);
    let Some(started) = started else {
        output.message(&answer, |answer, look| match &answer.plan {
            Some(plan) => render::plan::plan(plan, look),
            None => format!(
                "{name} is live: nothing to do\n{}",
                render::next(&format!("salvor connect {name}"), look)
            ),
        })?;
        return Ok(Exit::Done);
    };
    announce(started, answer.plan.as_ref(), output);
    if args.wait.no_wait {
        output.message(&answer, |answer, look| {
            answer.recovery.as_ref().map_or_else(String::new, |r| render::recovery::whole(r, look))
        })?;
        return Ok(Exit::Done);
    }
    let ended = to_the_end(clients, &started.name, args.wait.timeout, output).await?;
    let exit = Exit::from(ended.state());
    answer.recovery = Some(ended);
    output.message(&answer, |answer, look| {
        answer.recovery.as_ref().map_or_else(String::new, |r| render::recovery::end(r, look))
    })?;
    Ok(exit)
}

/// Says which recovery it is, and on which plan.
pub(crate) fn announce(recovery: &Recovery, plan: Option<&Plan>, output: &Output) {
    let saga: Saga = recovery.saga();
    let guards = plan.map_or(0, |plan| plan.decisions.len());
    output.note(&format!("{}: {}, allowed by {guards} guards", recovery.name, words::saga(saga)));
}

/// Follows a recovery with its steps on stderr.
pub(crate) async fn to_the_end(
    clients: &Clients,
    name: &str,
    timeout: std::time::Duration,
    output: &Output,
) -> Result<Recovery, Failure> {
    let mut progress = Progress::new(output);
    follow(clients, name, timeout, |recovery| {
        progress.show(recovery);
        Ok(())
    })
    .await
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
