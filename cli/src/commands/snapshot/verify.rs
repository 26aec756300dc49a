//! `snapshot verify`.

use std::time::Duration;

use salvor_proto::gateway::v1::{
    CancelOperationRequest, Operation, VerifySnapshotRequest, WaitOperationRequest, operation,
};
use salvor_proto::time::duration;
use tokio::time::Instant;

use super::read::exact;
use crate::args::VerifyArgs;
use crate::client::{Adapter, Clients};
use crate::commands::request_id;
use crate::exit::{Exit, Failure};
use crate::next_step::NextStep;
use crate::output::Output;
use crate::progress::Bar;
use crate::render;

/// How long one look at the operation may take: its progress is shown after each.
const LOOK: Duration = Duration::from_secs(1);

/// `salvor snapshot verify`.
pub(super) async fn run(
    clients: &Clients,
    args: &VerifyArgs,
    output: &Output,
) -> Result<Exit, Failure> {
    let (snapshot, mut adapter) = exact(clients, &args.given).await?;
    let request = VerifySnapshotRequest { snapshot: snapshot.clone(), request_id: request_id() };
    let answer = adapter.verify_snapshot(request).await?.into_inner();
    let started =
        answer.operation.ok_or_else(|| Failure::internal("the adapter answered no operation"))?;
    let name = started.name.clone();
    let mut waiting = adapter.clone();
    let ended = tokio::select! {
        ended = to_the_end(&mut waiting, started, args.timeout, output) => ended?,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.map_err(|error| Failure::internal(error.to_string()))?;
            None
        }
    };
    let Some(ended) = ended else {
        // It reads only, and nobody waits for it any more: whether it hears of that changes nothing.
        let _ = adapter.cancel_operation(CancelOperationRequest { name }).await;
        let message = format!("{snapshot} was not read to its end, so nothing is said of it");
        return Err(Failure::new(Exit::Waiting, "NOT_VERIFIED", message)
            .next(NextStep::VerifyLonger.of(&snapshot)));
    };
    judge(&ended, &snapshot, output)
}

/// The operation once it is done; none if it is not when `timeout` is over.
async fn to_the_end(
    adapter: &mut Adapter,
    mut operation: Operation,
    timeout: Duration,
    output: &Output,
) -> Result<Option<Operation>, Failure> {
    let deadline = Instant::now() + timeout;
    let mut bar = Bar::new(output);
    while !operation.done {
        bar.show("verifying", operation.progress.as_ref());
        let rest = deadline.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return Ok(None);
        }
        let request = WaitOperationRequest {
            name: operation.name.clone(),
            timeout: Some(duration(LOOK.min(rest))),
        };
        let answer = adapter.wait_operation(request).await?.into_inner();
        operation = answer
            .operation
            .ok_or_else(|| Failure::internal("the adapter answered no operation"))?;
    }
    Ok(Some(operation))
}

fn judge(ended: &Operation, snapshot: &str, output: &Output) -> Result<Exit, Failure> {
    match &ended.result {
        Some(operation::Result::Verification(report)) => {
            output.message(ended, |_, look| render::snapshot::verified(snapshot, report, look))?;
            Ok(match (&report.unknown, report.intact) {
                (Some(_), _) => Exit::Undetermined,
                (None, true) => Exit::Done,
                (None, false) => Exit::Degraded,
            })
        }
        Some(operation::Result::Failure(failure)) => {
            Err(Failure::new(Exit::Undetermined, &failure.reason, &failure.message)
                .next(&failure.next_step))
        }
        _ => Err(Failure::internal("a verification ended without a report")),
    }
}
