//! Following a recovery to its end.
//!
//! Invariant: to stop following changes nothing; the recovery goes on in the orchestrator, and the failure says so.

mod bar;

use std::time::Duration;

use salvor_proto::recovery::v1::recovery::State;
use salvor_proto::recovery::v1::{Recovery, WatchRecoveryRequest};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::Code;

use crate::client::Clients;
use crate::exit::{Exit, Failure};
use crate::next_step::NextStep;
use crate::output::Output;
use crate::render::{recovery as render, words};

pub(crate) use bar::Bar;

/// A broken stream is opened again so often in a row.
const REOPEN: u32 = 5;
/// And after this long.
const PAUSE: Duration = Duration::from_millis(500);

/// Steps as they are journaled, and below them how far the step in hand is.
pub(crate) struct Progress<'a> {
    output: &'a Output,
    bar: Bar<'a>,
    shown: usize,
}

// === impl Progress ===

impl<'a> Progress<'a> {
    /// Nothing shown yet.
    pub(crate) fn new(output: &'a Output) -> Self {
        Self { output, bar: Bar::new(output), shown: 0 }
    }

    /// Shows the steps that are new, and what is true now.
    pub(crate) fn show(&mut self, recovery: &Recovery) {
        let look = self.output.err_look();
        for step in recovery.steps.iter().skip(self.shown) {
            self.bar.line(render::step(step, look).trim_end());
        }
        self.shown = self.shown.max(recovery.steps.len());
        let (_, state) = words::recovery_state(recovery.state());
        self.bar.show(&format!("{state} {}", recovery.phase), recovery.progress.as_ref());
    }
}

/// Follows one recovery until it is done or parked, or `timeout` is over; answers what was seen last.
///
/// # Errors
/// When it cannot be seen any more, or on Ctrl-C. The recovery itself goes on.
pub(crate) async fn follow(
    clients: &Clients,
    name: &str,
    timeout: Duration,
    mut seen: impl FnMut(&Recovery) -> Result<(), Failure>,
) -> Result<Recovery, Failure> {
    let deadline = Instant::now() + timeout;
    let mut last = None;
    let mut failures = 0;
    loop {
        let watched = tokio::select! {
            watched = watch(clients, name, deadline, &mut last, &mut seen) => watched,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.map_err(|error| Failure::internal(error.to_string()))?;
                return Err(goes_on(name, "interrupted"));
            }
        };
        match watched {
            Ok(true) => failures = 0,
            Err(failure) if is_away(&failure) && last.is_some() && failures < REOPEN => {
                failures += 1;
            }
            Err(failure) if last.is_some() => {
                return Err(Failure { next_step: wait_step(name), ..failure });
            }
            Err(failure) => return Err(failure),
            Ok(false) => {}
        }
        match last.take() {
            Some(recovery) if is_over(&recovery) || Instant::now() >= deadline => {
                return Ok(recovery);
            }
            None if Instant::now() >= deadline => return Err(goes_on(name, "no answer in time")),
            other => last = other,
        }
        sleep(PAUSE.min(deadline.saturating_duration_since(Instant::now()))).await;
    }
}

/// Whether it changes nothing more by itself.
pub(crate) fn is_over(recovery: &Recovery) -> bool {
    recovery.done || matches!(recovery.state(), State::Parked | State::Stranded)
}

/// One stream, to its end or the deadline. Answers whether anything arrived.
async fn watch(
    clients: &Clients,
    name: &str,
    deadline: Instant,
    last: &mut Option<Recovery>,
    seen: &mut impl FnMut(&Recovery) -> Result<(), Failure>,
) -> Result<bool, Failure> {
    let request = WatchRecoveryRequest { name: name.to_owned() };
    let mut client = clients.recovery()?;
    let Ok(opened) = timeout_at(deadline, client.watch_recovery(request)).await else {
        return Ok(false);
    };
    let mut stream = opened?.into_inner();
    let mut any = false;
    while let Ok(next) = timeout_at(deadline, stream.message()).await {
        let Some(recovery) = next?.and_then(|message| message.recovery) else { break };
        any = true;
        seen(&recovery)?;
        let over = is_over(&recovery);
        *last = Some(recovery);
        if over {
            break;
        }
    }
    Ok(any)
}

fn is_away(failure: &Failure) -> bool {
    failure.exit == Exit::from(Code::Unavailable)
}

fn goes_on(name: &str, why: &str) -> Failure {
    let message = format!("{why}; {name} goes on without being watched");
    Failure::new(Exit::Waiting, "STILL_RUNNING", message).next(wait_step(name))
}

fn wait_step(name: &str) -> String {
    NextStep::Wait.of(name)
}

#[cfg(test)]
mod tests;
