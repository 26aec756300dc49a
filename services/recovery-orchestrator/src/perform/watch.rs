//! Looking at the sandbox until it has come to rest.

use std::time::Duration;

use salvor_core::{
    Fact, Why,
    evidence::{Live, Phase, Present, SpecSummary},
    id::LiveId,
    name::RecordName,
    saga::{Cause, Failed, ParkReason, Part, Pending},
};
use salvor_proto::Error;
use tokio::time::{Instant, sleep};

use crate::{
    ports::{Adapter, Observation},
    runner::{Performed, Run},
};

/// The first pause between two looks; it grows to [`LAST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// The longest pause between two looks.
const LAST_PAUSE: Duration = Duration::from_millis(500);

/// What a look means to a step.
pub(super) enum Look<T> {
    /// That is the answer.
    Found(T),
    /// Look again.
    Again,
}

/// What looking came to.
pub(super) enum Looked<T> {
    /// The answer.
    Found(T),
    /// The time is over. The last thing that was unknown, if the last look said nothing.
    TimeOver(Option<Why>),
    /// The service is stopping.
    Interrupted,
}

impl<T> Looked<T> {
    /// As the outcome of a step.
    pub(super) fn performed<E>(self, event: impl FnOnce(T) -> E) -> Performed<E> {
        match self {
            Self::Found(found) => Performed::Event(event(found)),
            Self::TimeOver(unknown) => Performed::Wait(in_vain(unknown)),
            Self::Interrupted => Performed::Interrupted,
        }
    }
}

/// The adapter that serves the recovery's gateway, or why there is none.
pub(super) async fn adapter(run: &Run) -> Result<Result<Adapter, Why>, Error> {
    let (_, adapter) = run.world.adapter(run.target()).await?;
    Ok(adapter.map_err(|(why, _)| why))
}

/// Looks until `judge` has an answer. `judge` gets the live view when it is known, and how long has been looked already.
pub(super) async fn look_until<T>(
    run: &Run,
    on: &RecordName,
    timeout: Duration,
    mut judge: impl FnMut(&Live, Duration) -> Look<T> + Send,
) -> Result<Looked<T>, Error> {
    let begun = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let observation = match adapter(run).await? {
            Ok(adapter) => adapter.observe(on, false).await,
            Err(why) => Observation::none(why, ""),
        };
        let unknown = match trusted(run, &observation) {
            Ok(live) => match judge(live, begun.elapsed()) {
                Look::Found(found) => return Ok(Looked::Found(found)),
                Look::Again => None,
            },
            Err(why) => Some(why),
        };
        if begun.elapsed() >= timeout {
            return Ok(Looked::TimeOver(unknown));
        }
        tokio::select! {
            () = run.stopping.cancelled() => return Ok(Looked::Interrupted),
            () = sleep(pause) => {}
        }
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// The live view, if it comes from the gateway that the plan was made for.
fn trusted<'o>(run: &Run, observation: &'o Observation) -> Result<&'o Live, Why> {
    match (&observation.gateway, &observation.live) {
        (Fact::Unknown { why, .. }, _) | (_, Fact::Unknown { why, .. }) => Err(*why),
        (Fact::Known { value: gateway, .. }, Fact::Known { value: live, .. }) => {
            let pinned = &run.header.plan.inputs.identity;
            if pinned.differs_from(&gateway.identity).is_some() {
                return Err(Why::ForeignGateway);
            }
            Ok(live)
        }
    }
}

/// The live view by one look, or why there is none.
pub(super) async fn seen(run: &Run, on: &RecordName) -> Result<Result<Live, Cause>, Error> {
    let Ok(adapter) = adapter(run).await? else { return Ok(Err(Cause::AdapterFailed)) };
    let observation = adapter.observe(on, false).await;
    Ok(trusted(run, &observation).cloned().map_err(|_| Cause::GatewayFailed))
}

/// Whether one incarnation is known to be gone. A look that says nothing says nothing.
pub(super) async fn is_gone(run: &Run, on: &RecordName, live: &LiveId) -> Result<bool, Error> {
    let Ok(adapter) = adapter(run).await? else { return Ok(false) };
    let observation = adapter.observe(on, false).await;
    let settle = run.world.config.limits.absence_settle;
    Ok(match trusted(run, &observation) {
        Ok(Live::Present(present)) => present.live_id != *live,
        Ok(Live::Absent { since }) => since.age(run.world.now()) >= settle,
        Err(_) => false,
    })
}

/// Why a recovery has to wait after looking in vain.
pub(super) fn in_vain(unknown: Option<Why>) -> ParkReason {
    unknown.map_or(ParkReason::NotReadyInTime, ParkReason::Undetermined)
}

/// How a sandbox failed, if it did.
pub(super) fn failed(present: &Present) -> Option<Failed> {
    match present.phase {
        Phase::Error | Phase::Completed => Some(Failed {
            reason: present.reason.as_ref().map_or_else(
                || present.phase.as_str().to_owned(),
                |reason| reason.as_str().to_owned(),
            ),
            exit_code: None,
        }),
        Phase::Provisioning
        | Phase::Ready
        | Phase::Deleting
        | Phase::Unknown
        | Phase::Stopping
        | Phase::Stopped
        | Phase::Starting => None,
    }
}

/// Whether what runs is what was recorded: image and variables, and providers.
pub(super) fn compare(run: &Run, live: &SpecSummary) -> (Part, Part) {
    let Some(recorded) = run.header.plan.inputs.spec.as_ref().map(|spec| &spec.summary) else {
        return (Part::NotApplicable, Part::NotApplicable);
    };
    let sorted = |names: &[salvor_core::id::ProviderName]| {
        let mut names = names.to_vec();
        names.sort();
        names
    };
    let same_spec = recorded.image == live.image && {
        let mut recorded = recorded.environment.clone();
        let mut live = live.environment.clone();
        recorded.sort();
        live.sort();
        recorded == live
    };
    let part =
        |same: bool, owed: Pending| if same { Part::Proven } else { Part::Pending(vec![owed]) };
    (
        part(same_spec, Pending::SpecDiffers),
        part(sorted(&recorded.providers) == sorted(&live.providers), Pending::ProvidersDiffer),
    )
}
