//! The one place that runs: collect, write, act, write, until there is nothing more to do.
//!
//! A step's intent is journaled before it, its outcome after it; between the two nothing else is written. The runner stops
//! between steps when it is told to, and at once when its lease is lost: what an effect came to is then found out by whoever
//! goes on.

use std::sync::{Arc, Mutex, PoisonError};

use salvor_core::{
    Approved, EffectKind, Permit,
    id::{Fence, RecoveryName},
    name::RecordName,
    saga::{Narrate, Next, ParkReason, Saga, entry::is_entry, fold},
};
use salvor_proto::{Error, error::Code};
use salvor_runtime::{database::at_once, telemetry::attr};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, info, info_span, warn};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::{
    collect::World,
    journal::{Header, Journal, Row},
    ports::{Lease, Progress},
};

/// A recovery at work: what every step may use.
#[derive(Debug)]
pub struct Run {
    /// Whom to ask.
    pub world: World,
    /// Where it is written.
    pub journal: Journal,
    /// What it is.
    pub header: Header,
    /// What it may do.
    pub approved: Approved,
    /// Under which lease.
    pub lease: Lease,
    /// The service is stopping: finish the step in hand.
    pub stopping: CancellationToken,
    /// The lease is lost: stop at once.
    pub fenced: CancellationToken,
    /// Somebody asked to go back.
    pub cancel: Cancel,
    /// The events so far.
    pub rows: Mutex<Vec<Row>>,
    /// How far the step in hand is, if it is one that takes long. For showing only.
    pub progress: Progress,
}

/// Whether somebody asked a recovery to go back. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<watch::Sender<bool>>);

/// What performing a step came to.
#[derive(Debug)]
pub enum Performed<E> {
    /// It happened.
    Event(E),
    /// It happened, and what comes next has to wait.
    Both(E, ParkReason),
    /// It has to wait.
    Wait(ParkReason),
    /// The service is stopping; the step is to be done again later, from its beginning.
    Interrupted,
}

/// Why a runner stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// The recovery has ended.
    Finished,
    /// It waits.
    Parked,
    /// The service is stopping, the lease is lost, or the journal cannot be written: somebody goes on later.
    Handed,
}

/// A saga whose steps can be performed.
pub trait Perform: Saga {
    /// Performs one step. Dropping the future leaves an effect in doubt, which the journaled intent says.
    ///
    /// # Errors
    /// Another service cannot be asked; the step can be tried again.
    fn perform(
        step: Self::Step,
        state: &Self::State,
        run: &Run,
    ) -> impl Future<Output = Result<Performed<Self::Event>, Error>> + Send;
}

/// Runs a recovery until it ends, waits, or has to be handed on.
///
/// # Errors
/// Its journal is not one of this saga's: it is left as it is, for a person to look at.
pub async fn run<S: Perform>(run: &Run) -> Result<Stopped, Error> {
    let mut state = fold::<S>(events::<S>(&run.rows())?.iter()).map_err(|e| corrupt(run, &e))?;
    loop {
        if run.stopping.is_cancelled() || run.fenced.is_cancelled() {
            return Ok(Stopped::Handed);
        }
        if run.cancel.take() {
            state = go_back::<S>(run, state).await?;
        }
        let (step, back) = match S::next(&state) {
            Next::Do(step) => (step, false),
            Next::Compensate(step) => (step, true),
            Next::Park(_) => return Ok(Stopped::Parked),
            Next::Finished(_) => return Ok(Stopped::Finished),
        };
        let span = open_span::<S>(run, step, back);
        match one_step::<S>(run, state, step).instrument(span).await? {
            Stepped::On(next) => state = next,
            Stepped::Stop => return Ok(Stopped::Handed),
        }
    }
}

/// Somebody asked to go back: from where it waits, too. Past the point of no return the request changes nothing.
async fn go_back<S: Saga>(run: &Run, mut state: S::State) -> Result<S::State, Error> {
    if matches!(S::next(&state), Next::Park(_)) {
        state = record::<S>(run, state, S::resumed()).await?;
    }
    if S::apply(state.clone(), &S::cancelled()).is_ok() {
        state = record::<S>(run, state, S::cancelled()).await?;
    }
    Ok(state)
}

impl Cancel {
    /// Asks it.
    pub fn ask(&self) {
        self.0.send_replace(true);
    }

    /// Resolves while it is asked. Dropped, it has changed nothing.
    pub async fn asked(&self) {
        // The sender is here: it cannot fail.
        let _ = self.0.subscribe().wait_for(|asked| *asked).await;
    }

    /// Whether it was asked, which is answered once.
    fn take(&self) -> bool {
        self.0.send_if_modified(std::mem::take)
    }
}

enum Stepped<T> {
    On(T),
    Stop,
}

/// Intent, effect, outcome.
async fn one_step<S: Perform>(
    run: &Run,
    state: S::State,
    step: S::Step,
) -> Result<Stepped<S::State>, Error> {
    let mut state = state;
    if let Some(intent) = S::intent(&state, step) {
        state = record::<S>(run, state, intent).await?;
    }
    let performed = tokio::select! {
        biased;
        () = run.fenced.cancelled() => return Ok(Stepped::Stop),
        performed = S::perform(step, &state, run) => performed,
    };
    let mut wait = None;
    let event = match performed {
        Ok(Performed::Event(event)) => event,
        Ok(Performed::Both(event, why)) => {
            wait = Some(why);
            event
        }
        Ok(Performed::Wait(why)) => S::parked(why),
        Ok(Performed::Interrupted) => return Ok(Stepped::Stop),
        Err(error) if lost(&error) => {
            warn!(recovery = %run.name(), %error, "the lease is lost; whoever holds it goes on");
            run.fenced.cancel();
            return Ok(Stepped::Stop);
        }
        Err(error) => {
            warn!(recovery = %run.name(), step = S::name(step), %error, "the registry is away, or refuses it");
            S::parked(ParkReason::RegistryUnavailable)
        }
    };
    Span::current().set_attribute(attr::STEP_OUTCOME, event.outcome());
    let mut state = record::<S>(run, state, event).await?;
    if let Some(why) = wait {
        state = record::<S>(run, state, S::parked(why)).await?;
    }
    Ok(Stepped::On(state))
}

/// Folds an event, and appends it. It is folded first: what the saga does not allow is never written.
async fn record<S: Saga>(run: &Run, state: S::State, event: S::Event) -> Result<S::State, Error> {
    let next = S::apply(state, &event).map_err(|error| corrupt(run, &error))?;
    let terminal = matches!(S::next(&next), Next::Finished(_));
    let text = serde_json::to_string(&event).map_err(|error| {
        Error::internal(format!("{}: an event has no JSON form: {error}", run.name()))
    })?;
    run.append(text, terminal).await?;
    info!(
        recovery = %run.name(),
        step = event.step().unwrap_or("-"),
        outcome = event.outcome(),
        detail = event.detail(),
        phase = S::phase(&next),
        "recovery advanced"
    );
    Ok(next)
}

fn open_span<S: Saga>(run: &Run, step: S::Step, back: bool) -> Span {
    let name = S::name(step);
    let span = info_span!("step", otel.name = format!("step {name}"));
    span.set_attribute(attr::STEP_NAME, name);
    span.set_attribute(attr::STEP_ATTEMPT, i64::from(run.attempts::<S>(name)) + 1);
    span.set_attribute(attr::RECOVERY_ID, run.name().to_string());
    span.set_attribute(attr::RECOVERY_SAGA, S::KIND.as_str());
    span.set_attribute(attr::SANDBOX_NAME, run.target().to_string());
    span.set_attribute(attr::GATEWAY_NAME, run.target().owner().to_string());
    span.set_attribute(attr::PLAN_DIGEST, run.header.plan.digest.to_string());
    span.set_attribute(attr::STEP_COMPENSATES, back);
    span
}

/// Reads a journal as one saga's events, without the entries between them.
///
/// # Errors
/// DATA_LOSS when a row is not such an event.
pub fn events<S: Saga>(rows: &[Row]) -> Result<Vec<S::Event>, Error> {
    let read = |row: &Row| {
        serde_json::from_str(&row.event).map_err(|error| {
            tracing::error!(seq = row.seq, %error, "a journal row cannot be read");
            Error::new(
                Code::DataLoss,
                "JOURNAL_ROW_UNREADABLE",
                format!("event {} of the recovery cannot be read", row.seq),
            )
        })
    };
    rows.iter().filter(|row| !is_entry(&row.event)).map(read).collect()
}

fn corrupt(run: &Run, error: &salvor_core::saga::IllegalEvent) -> Error {
    tracing::error!(recovery = %run.name(), %error, "the journal does not fold");
    Error::new(
        Code::DataLoss,
        "JOURNAL_DOES_NOT_FOLD",
        format!("{}: its journal is not one that its saga can have written", run.name()),
    )
}

/// Whether somebody else holds the record now.
pub(crate) fn lost(error: &Error) -> bool {
    matches!(error.reason(), "FENCED" | "LEASE_LOST" | "LEASE_HELD")
}

// === impl Performed ===

impl<E> Performed<E> {
    /// The same for an event that wraps this one.
    pub fn map<T>(self, wrap: impl FnOnce(E) -> T) -> Performed<T> {
        match self {
            Self::Event(event) => Performed::Event(wrap(event)),
            Self::Both(event, why) => Performed::Both(wrap(event), why),
            Self::Wait(why) => Performed::Wait(why),
            Self::Interrupted => Performed::Interrupted,
        }
    }
}

// === impl Run ===

impl Run {
    /// Its name.
    pub const fn name(&self) -> &RecoveryName {
        &self.header.name
    }

    /// The record that it works on.
    pub const fn target(&self) -> &RecordName {
        &self.header.plan.target
    }

    /// Its lease's fence token.
    pub const fn fence(&self) -> Fence {
        self.lease.fence
    }

    /// Leave for one effect on the target, or on the copy that the plan names. `None` only if the saga asks for what its plan
    /// cannot have allowed.
    ///
    /// # Errors
    /// INTERNAL in that case.
    pub fn permit(&self, on: &RecordName, effect: EffectKind) -> Result<Permit, Error> {
        Span::current()
            .set_attribute(attr::PERMIT_DECISION, format!("{}/decisions/plan", self.name()));
        let permit = if on == self.target() {
            self.approved.permit(self.name(), self.fence(), effect)
        } else {
            self.approved.permit_on_copy(self.name(), self.fence(), effect)
        };
        permit.filter(|permit| permit.target() == on).ok_or_else(|| {
            Error::internal(format!(
                "{}: its plan does not permit {} on {on}",
                self.name(),
                effect.as_str()
            ))
        })
    }

    /// A request id that is the same whenever the same attempt is made again.
    pub fn request_id(&self, step: &str, attempt: u32) -> String {
        let text = format!("{}/{step}/{attempt}", self.name());
        uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, text.as_bytes()).to_string()
    }

    /// How often a step has come to an outcome so far.
    pub fn attempts<S: Saga>(&self, step: &str) -> u32 {
        let rows = self.rows();
        let Ok(events) = events::<S>(&rows) else { return 0 };
        let done = events.iter().filter(|e| e.step() == Some(step) && e.outcome() != "intended");
        u32::try_from(done.count()).unwrap_or(u32::MAX)
    }

    /// The events so far.
    pub fn rows(&self) -> Vec<Row> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn append(&self, event: String, terminal: bool) -> Result<(), Error> {
        let seq = self.rows().last().map_or(0, |row| row.seq) + 1;
        let row = Row { seq, at_ms: self.world.now().0, event, terminal };
        at_once(self.journal.append(self.name(), &row, self.fence())).await?;
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).push(row);
        Ok(())
    }
}
