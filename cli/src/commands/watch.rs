//! `watch`: one recovery to its end, or every change of the records.

use std::time::Duration;

use salvor_proto::registry::v1::WatchSandboxesRequest;

use super::recoveries;
use crate::args::WatchArgs;
use crate::client::Clients;
use crate::exit::{Exit, Failure};
use crate::next_step::NextStep;
use crate::output::{Output, to_json};
use crate::progress::{Progress, follow};
use crate::{render, resolve};

/// As good as for ever, and still an instant that can be added to another.
const LONG: Duration = Duration::from_hours(24 * 365);

/// `salvor watch`.
pub(crate) async fn run(
    clients: &Clients,
    args: &WatchArgs,
    output: &Output,
) -> Result<Exit, Failure> {
    match args.of.as_deref() {
        Some(name) if name.starts_with("recoveries/") => one(clients, name, output).await,
        Some(sandbox) => {
            let sandbox = resolve::record(clients, sandbox).await?;
            let open = recoveries::list(clients, sandbox.clone(), true, 1).await?;
            let Some(recovery) = open.recoveries.first() else {
                let message = format!("no recovery is open on {sandbox}");
                return Err(Failure::new(Exit::NotFound, "NO_OPEN_RECOVERY", message)
                    .next(NextStep::ListRecoveries.of(&sandbox)));
            };
            one(clients, &recovery.name, output).await
        }
        None => records(clients, args.since.unwrap_or(0), output).await,
    }
}

async fn one(clients: &Clients, name: &str, output: &Output) -> Result<Exit, Failure> {
    let mut progress = Progress::new(output);
    let ended = follow(clients, name, LONG, |recovery| {
        if output.is_json() {
            output.json(&to_json(recovery)?);
        } else {
            progress.show(recovery);
        }
        if output.is_closed() { Err(nobody_reads()) } else { Ok(()) }
    })
    .await?;
    drop(progress);
    output.text(&render::recovery::end(&ended, output.look()));
    Ok(Exit::from(ended.state()))
}

async fn records(clients: &Clients, start_revision: i64, output: &Output) -> Result<Exit, Failure> {
    let request = WatchSandboxesRequest { start_revision, parent: String::new() };
    let mut stream = clients.registry()?.watch_sandboxes(request).await?.into_inner();
    let mut revision = start_revision;
    loop {
        let next = tokio::select! {
            next = stream.message() => next,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.map_err(|error| Failure::internal(error.to_string()))?;
                return Ok(Exit::Done);
            }
        };
        let resume = |revision: i64| NextStep::WatchSince.of(&revision.to_string());
        match next {
            Ok(Some(change)) => {
                revision = change.revision;
                if output.is_json() {
                    output.json(&to_json(&change)?);
                } else if let Some(line) = render::record::change(&change, output.look()) {
                    output.text(&line);
                }
            }
            Ok(None) => {
                let message = "the registry ended the watch";
                return Err(
                    Failure::new(Exit::Undetermined, "WATCH_ENDED", message).next(resume(revision))
                );
            }
            Err(status) => {
                let failure = Failure::from(status);
                let kept = failure.next_step.is_empty() && revision > 0;
                return Err(if kept { failure.next(resume(revision)) } else { failure });
            }
        }
        if output.is_closed() {
            return Ok(Exit::Done);
        }
    }
}

fn nobody_reads() -> Failure {
    Failure::new(Exit::Done, "NOBODY_READS", "nobody reads the output any more")
}
