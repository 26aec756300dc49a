//! What every request does that starts a recovery: announce it, follow it, show what it came to.

use prost::{Message, Name};
use salvor_proto::recovery::v1::{
    DeleteSandboxSnapshotsResponse, DestroySandboxResponse, DrillSandboxResponse, Plan,
    PruneSandboxSnapshotsResponse, RecoverSandboxResponse, Recovery, RestoreSandboxResponse, Saga,
    SnapshotSandboxResponse,
};

use crate::args::WaitArgs;
use crate::client::Clients;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::progress::{Progress, follow};
use crate::render::{self, words};

/// An answer that names a recovery, and the plan that it executes.
pub(super) trait Started: Message + Name {
    /// The recovery; none if the request only asked for the plan, or nothing is to be done.
    fn recovery(&mut self) -> &mut Option<Recovery>;
    /// The plan.
    fn plan(&self) -> Option<&Plan>;
}

macro_rules! started {
    ($($response:ty),* $(,)?) => {$(
        impl Started for $response {
            fn recovery(&mut self) -> &mut Option<Recovery> {
                &mut self.recovery
            }

            fn plan(&self) -> Option<&Plan> {
                self.plan.as_ref()
            }
        }
    )*};
}
started!(
    RecoverSandboxResponse,
    DestroySandboxResponse,
    SnapshotSandboxResponse,
    RestoreSandboxResponse,
    DrillSandboxResponse,
    PruneSandboxSnapshotsResponse,
    DeleteSandboxSnapshotsResponse,
);

/// Sees a request through: follows what it started to its end, or shows the plan if it was only to be checked.
pub(super) async fn see_through<A: Started>(
    clients: &Clients,
    mut answer: A,
    only_check: bool,
    wait: &WaitArgs,
    output: &Output,
) -> Result<Exit, Failure> {
    match answer.recovery().clone().filter(|_| !only_check) {
        Some(started) => finish(clients, answer, &started, wait, output).await,
        None => planned(&answer, |_| String::new(), output),
    }
}

/// Shows the plan of a request that started nothing; `idle` if there is none.
pub(super) fn planned<A: Started>(
    answer: &A,
    idle: impl FnOnce(render::Look) -> String,
    output: &Output,
) -> Result<Exit, Failure> {
    output.message(answer, |answer, look| match answer.plan() {
        Some(plan) => render::plan::plan(plan, look),
        None => idle(look),
    })?;
    Ok(Exit::Done)
}

/// Follows what was started to its end, unless nobody wants to wait, and shows it.
pub(super) async fn finish<A: Started>(
    clients: &Clients,
    mut answer: A,
    started: &Recovery,
    wait: &WaitArgs,
    output: &Output,
) -> Result<Exit, Failure> {
    announce(started, answer.plan(), output);
    if wait.no_wait {
        output.message(&answer, |_, look| render::recovery::whole(started, look))?;
        return Ok(Exit::Done);
    }
    let ended = to_the_end(clients, &started.name, wait.timeout, output).await?;
    *answer.recovery() = Some(ended.clone());
    output.message(&answer, |_, look| render::recovery::end(&ended, look))?;
    Ok(Exit::from(ended.state()))
}

/// Says which recovery it is, and on which plan.
fn announce(recovery: &Recovery, plan: Option<&Plan>, output: &Output) {
    let saga: Saga = recovery.saga();
    let guards = plan.map_or(0, |plan| plan.decisions.len());
    output.note(&format!("{}: {}, allowed by {guards} guards", recovery.name, words::saga(saga)));
}

/// Follows a recovery with its steps and its progress on stderr.
pub(super) async fn to_the_end(
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
