//! `destroy`: what is lost is shown first, and accepted by name or by digest. There is no default and no force.

use std::io;
use std::time::Duration;

use salvor_proto::recovery::v1::{DestroySandboxRequest, Plan, PlanRecoveryRequest};
use salvor_proto::time::{duration, plain};
use tokio::time::{Instant, sleep};

use super::confirm::{can_ask, label, typed};
use super::recover::{plan_of, refusals};
use super::request_id;
use super::work::see_through;
use crate::args::DestroyArgs;
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
    let digest = match &args.loss.accept_data_loss {
        Some(digest) => digest.clone(),
        None => accepted(clients, args, &name, output).await?,
    };
    let request = DestroySandboxRequest {
        name,
        request_id: request_id(),
        validate_only: false,
        accept_data_loss: digest,
        settle_timeout: Some(duration(args.settle)),
    };
    let request = within(args.settle, request);
    let answer = clients.recovery()?.destroy_sandbox(request).await?.into_inner();
    see_through(clients, answer, false, &args.wait, output).await
}

/// Shows what would be lost, and the digest of the plan if a person accepts that.
async fn accepted(
    clients: &Clients,
    args: &DestroyArgs,
    name: &str,
    output: &Output,
) -> Result<String, Failure> {
    let plan = settled_plan(clients, name, args.settle).await?;
    if let Some(first) = refusals(&plan).next() {
        output.message(&plan, render::plan::plan)?;
        let message =
            format!("destroy of {name} was refused: {}. Nothing was changed", first.message);
        return Err(Failure::new(Exit::Refused, &first.reason, message).next(&plan.next_step));
    }
    if !can_ask(output) {
        output.message(&plan, render::plan::plan)?;
        let message = format!("destroy of {name} needs its losses accepted; nothing was changed");
        return Err(Failure::new(Exit::Refused, "DATA_LOSS_NOT_ACCEPTED", message)
            .next(args.accepting(name, &plan.digest)));
    }
    output.note(&render::plan::plan(&plan, output.err_look()));
    if typed(name, "destroy it for good", &mut io::stdin().lock(), output)? {
        Ok(plan.digest)
    } else {
        let message = format!("{} was not typed; nothing was changed", label(name));
        Err(Failure::new(Exit::Refused, "NOT_CONFIRMED", message))
    }
}

/// The plan, once no guard refuses that time alone may change, or `settle` is over.
async fn settled_plan(clients: &Clients, name: &str, settle: Duration) -> Result<Plan, Failure> {
    let deadline = Instant::now() + settle;
    let destroy =
        PlanRecoveryRequest { name: name.to_owned(), destroy: true, ..Default::default() };
    loop {
        let plan = plan_of(clients, destroy.clone()).await?;
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
