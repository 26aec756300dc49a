//! `destroy`: what is lost is shown first, and accepted by name or by digest. There is no default and no force.

use std::io::{self, BufRead, IsTerminal};
use std::time::Duration;

use salvor_proto::recovery::v1::{DestroySandboxRequest, Plan};
use salvor_proto::time::{duration, plain};
use tokio::time::{Instant, sleep};

use super::recover::{announce, plan_of, refusals, to_the_end};
use super::request_id;
use crate::args::{DestroyArgs, PathName};
use crate::client::{Clients, within};
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::render;
use crate::resolve;

/// Between two plans at the least.
const SHORTEST: Duration = Duration::from_millis(100);

/// `salvor destroy`.
pub(crate) async fn run(
    clients: &Clients,
    args: &DestroyArgs,
    output: &Output,
) -> Result<Exit, Failure> {
    let name = resolve::record(clients, &args.name).await?;
    let digest = match &args.accept_data_loss {
        Some(digest) => digest.clone(),
        None => accepted(clients, &name, args.settle, output).await?,
    };
    let request = DestroySandboxRequest {
        name,
        request_id: request_id(),
        validate_only: false,
        accept_data_loss: digest,
        settle_timeout: Some(duration(args.settle)),
    };
    let request = within(args.settle, request);
    let mut answer = clients.recovery()?.destroy_sandbox(request).await?.into_inner();
    let Some(started) = &answer.recovery else {
        output.message(&answer, |answer, look| {
            answer.plan.as_ref().map_or_else(String::new, |plan| render::plan::plan(plan, look))
        })?;
        return Ok(Exit::Done);
    };
    announce(started, answer.plan.as_ref(), output);
    let mut exit = Exit::Done;
    if !args.wait.no_wait {
        let ended = to_the_end(clients, &started.name, args.wait.timeout, output).await?;
        exit = Exit::from(ended.state());
        answer.recovery = Some(ended);
    }
    output.message(&answer, |answer, look| {
        answer.recovery.as_ref().map_or_else(String::new, |r| render::recovery::end(r, look))
    })?;
    Ok(exit)
}

/// Shows what would be lost, and the digest of the plan if a person accepts that.
async fn accepted(
    clients: &Clients,
    name: &str,
    settle: Duration,
    output: &Output,
) -> Result<String, Failure> {
    let plan = settled_plan(clients, name, settle).await?;
    if let Some(first) = refusals(&plan).next() {
        output.message(&plan, render::plan::plan)?;
        let message =
            format!("destroy of {name} was refused: {}. Nothing was changed", first.message);
        return Err(Failure::new(Exit::Refused, &first.reason, message).next(&plan.next_step));
    }
    if output.is_json() || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        output.message(&plan, render::plan::plan)?;
        let message = format!("destroy of {name} needs its losses accepted; nothing was changed");
        return Err(Failure::new(Exit::Refused, "DATA_LOSS_NOT_ACCEPTED", message)
            .next(format!("salvor destroy {name} --accept-data-loss {}", plan.digest)));
    }
    output.note(&render::plan::plan(&plan, output.err_look()));
    ask(&plan, name, &mut io::stdin().lock(), output)
}

/// The plan, once no guard refuses that time alone may change, or `settle` is over.
async fn settled_plan(clients: &Clients, name: &str, settle: Duration) -> Result<Plan, Failure> {
    let deadline = Instant::now() + settle;
    loop {
        let plan = plan_of(clients, name.to_owned(), PathName::Auto, true).await?;
        let delays: Option<Vec<Duration>> =
            refusals(&plan).map(|refusal| refusal.retry_delay.as_ref().map(plain)).collect();
        match delays.and_then(|delays| delays.into_iter().max()) {
            Some(delay) if Instant::now() < deadline => {
                let rest = deadline.saturating_duration_since(Instant::now());
                sleep(delay.clamp(SHORTEST, rest.max(SHORTEST))).await;
            }
            _ => return Ok(plan),
        }
    }
}

/// The plan's digest, if the sandbox's own name is typed.
fn ask(
    plan: &Plan,
    name: &str,
    input: &mut impl BufRead,
    output: &Output,
) -> Result<String, Failure> {
    let sandbox = name.rsplit('/').next().unwrap_or(name);
    output.note(&format!("Type {sandbox} to destroy it for good:"));
    let mut typed = String::new();
    input.read_line(&mut typed).map_err(|error| Failure::internal(error.to_string()))?;
    if typed.trim() == sandbox {
        Ok(plan.digest.clone())
    } else {
        let message = format!("{sandbox} was not typed; nothing was changed");
        Err(Failure::new(Exit::Refused, "NOT_CONFIRMED", message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Color, Format};

    #[test]
    fn only_the_very_name_accepts_the_losses() {
        let plan = Plan { digest: "d1".into(), ..Plan::default() };
        let output = Output::new(Format::Json, Color::Never);
        let name = "gateways/g/workspaces/w/sandboxes/coder";
        let asked = |typed: &str| ask(&plan, name, &mut typed.as_bytes(), &output);
        assert_eq!(asked("coder\n").unwrap(), "d1");
        for typed in ["", "yes\n", "code\n", "coders\n"] {
            assert_eq!(asked(typed).unwrap_err().reason, "NOT_CONFIRMED", "{typed:?}");
        }
    }
}
