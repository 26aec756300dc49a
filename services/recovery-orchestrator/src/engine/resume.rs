//! Taking up what is open and not at work here.

use std::{sync::atomic::Ordering, time::Duration};

use salvor_core::{
    Approved, SagaKind,
    id::RecoveryName,
    saga::{
        Next, Saga, copy::Copy, destroy::Destroy, fold, prune::Prune, rebuild::Rebuild,
        restore::Restore, revive::Revive, snapshot::Snapshot, stale::StaleRecovery,
    },
};
use salvor_proto::{Error, error::Code};
use salvor_runtime::database::at_once;
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use super::{Engine, Work};
use crate::{
    folded::{Standing, folded},
    journal::{Row, Stored},
    words::NextStep,
};

/// The longest time between two looks at a parked recovery.
const LONGEST: Duration = Duration::from_mins(10);
/// How soon after its start an orchestrator takes up what it finds, and how often it looks for more.
const SWEEP: Duration = Duration::from_secs(1);

impl Engine {
    /// Takes up whatever the journal holds open, and from time to time what was left open since. Ends with the engine's tasks.
    pub fn sweep(&self) {
        let engine = self.clone();
        self.inner.tasks.spawn("sweep", move |stopping| async move {
            let mut found = false;
            loop {
                // Of several orchestrators any may be gone the next moment, and leave what it had at work.
                if !found || engine.journal().is_shared() {
                    match engine.find_open().await {
                        Ok(()) => found = true,
                        Err(error) => warn!(%error, "open recoveries could not be looked for"),
                    }
                }
                engine.sweep_once().await;
                tokio::select! {
                    () = stopping.cancelled() => return,
                    () = sleep(SWEEP) => {}
                }
            }
        });
    }

    /// Asks the journal what is open, whoever left it so.
    async fn find_open(&self) -> Result<(), Error> {
        let open = at_once(self.journal().open_recoveries()).await?;
        self.inner.open.settle(open);
        Ok(())
    }

    async fn sweep_once(&self) {
        for name in self.inner.open.due(Instant::now()) {
            match self.sweep_one(&name).await {
                Ok(true) => self.inner.open.remove(&name),
                Ok(false) => {}
                Err(error) if error.reason() == "LEASE_HELD" => {
                    info!(recovery = %name, %error, "an open recovery could not be taken up yet");
                    // Whoever has it may give it back before it runs out.
                    let soon = self.world().config.lease_ttl / 3;
                    let held = error.retry().unwrap_or(soon).min(soon).max(SWEEP);
                    self.inner.open.held_until(&name, Instant::now() + held);
                }
                Err(error) => {
                    warn!(recovery = %name, %error, "an open recovery could not be taken up yet");
                }
            }
        }
    }

    /// True once it has ended, or cannot be read: the sweep has nothing more to do about it.
    async fn sweep_one(&self, name: &RecoveryName) -> Result<bool, Error> {
        if self.is_running(name) {
            return Ok(false);
        }
        let Some(stored) = at_once(self.journal().recovery(name)).await? else { return Ok(true) };
        let standing = match folded(&stored) {
            Ok(folded) => folded.standing,
            Err(error) => {
                error!(recovery = %name, %error, "an open recovery is left as it is");
                return Ok(true);
            }
        };
        if matches!(standing, Standing::Ended(_) | Standing::Refused) {
            return Ok(true);
        }
        if self.is_due(&stored) {
            self.take_up(stored, false).await?;
        }
        Ok(false)
    }

    /// A parked one is looked at again after a time that doubles; one that is open and not at work, at once.
    fn is_due(&self, stored: &Stored) -> bool {
        let Ok(folded) = folded(stored) else { return false };
        match folded.standing {
            Standing::Parked(_) => {
                let factor = 1_u32 << folded.parks.saturating_sub(1).min(10);
                let wait = self.world().config.park_retry.saturating_mul(factor).min(LONGEST);
                let parked_ms = stored.events.last().map_or(0, |row| row.at_ms);
                let waited = self.world().now().0.saturating_sub(parked_ms);
                u128::from(waited) >= wait.as_millis()
            }
            Standing::Running => true,
            Standing::Refused | Standing::Ended(_) => false,
        }
    }

    /// Goes on with an open recovery: takes its lease under its own name, resumes it if it waits, sets it to work.
    ///
    /// # Errors
    /// Somebody else holds the record; the journal is one of another version; registry or journal cannot be used.
    pub(super) async fn take_up(&self, stored: Stored, cancel: bool) -> Result<(), Error> {
        let Stored { header, events: mut rows } = stored;
        let Some(place) = self.place(&header.name).await? else { return Ok(()) };
        let cancel = cancel || self.journal().is_asked_to_cancel(&header.name).await?;
        place.at_work.cancel.store(cancel, Ordering::SeqCst);
        let version = header.plan.saga.version();
        if header.plan.saga_version != version {
            let message = format!(
                "{} was written by version {} of its saga; this orchestrator runs version {version}",
                header.name, header.plan.saga_version
            );
            return Err(Error::new(Code::Refused, "SAGA_VERSION_UNKNOWN", message)
                .next_step(NextStep::RunThatVersion.of(header.name.as_str())));
        }
        let approved = Approved::new(header.plan.clone()).map_err(|error| {
            let message = format!("{}: {error}; its journal is not touched", header.name);
            Error::new(Code::DataLoss, "PLAN_NOT_APPROVED", message)
        })?;
        let ttl = self.world().config.lease_ttl;
        let holder = self.holder(&header.name);
        let lease = self.world().registry.acquire(header.target(), &holder, ttl).await?;
        at_once(self.journal().take_over(&header.name, lease.fence)).await?;
        // Under the lease, what is in the journal is all there is.
        if let Some(now) = at_once(self.journal().recovery(&header.name)).await? {
            rows = now.events;
        }
        for event in going_on(header.plan.saga, &rows)? {
            let seq = rows.last().map_or(0, |row| row.seq) + 1;
            let row = Row { seq, at_ms: self.world().now().0, event, terminal: false };
            at_once(self.journal().append(&header.name, &row, lease.fence)).await?;
            rows.push(row);
        }
        info!(recovery = %header.name, events = rows.len(), "recovery is taken up");
        let work = Work { header, approved, rows, lease, resumed: true, open_to: None };
        self.start(place, work);
        Ok(())
    }

    /// Resumes a parked recovery because somebody asks for it.
    ///
    /// # Errors
    /// FAILED_PRECONDITION when it is not parked.
    pub async fn retry(&self, name: &RecoveryName) -> Result<(), Error> {
        let (stored, folded) = self.recovery(name).await?;
        match folded.standing {
            Standing::Parked(_) | Standing::Running => {
                self.journal().forget_cancellation(name).await?;
                self.take_up(stored, false).await
            }
            Standing::Refused | Standing::Ended(_) => {
                let message = format!("{name} has ended; there is nothing to resume");
                Err(Error::new(Code::Refused, "RECOVERY_ENDED", message)
                    .next_step(NextStep::Recover.of(&stored.header.target().to_string())))
            }
        }
    }
}

/// What is journaled when another process goes on: that it waits no longer, if it did, and what has become void meanwhile.
fn going_on(saga: SagaKind, rows: &[Row]) -> Result<Vec<String>, Error> {
    match saga {
        SagaKind::StaleRecovery => going_on_as::<StaleRecovery>(rows),
        SagaKind::Revive => going_on_as::<Revive>(rows),
        SagaKind::Destroy => going_on_as::<Destroy>(rows),
        SagaKind::Rebuild => going_on_as::<Rebuild>(rows),
        SagaKind::Snapshot => going_on_as::<Snapshot>(rows),
        SagaKind::Restore => going_on_as::<Restore>(rows),
        SagaKind::Copy => going_on_as::<Copy>(rows),
        SagaKind::Prune => going_on_as::<Prune>(rows),
    }
}

fn going_on_as<S: Saga>(rows: &[Row]) -> Result<Vec<String>, Error> {
    let journaled = crate::runner::events::<S>(rows)?;
    let Ok(mut state) = fold::<S>(journaled.iter()) else { return Ok(Vec::new()) };
    let mut more = Vec::new();
    if matches!(S::next(&state), Next::Park(_)) {
        more.push(S::resumed());
    }
    for event in &more {
        let Ok(next) = S::apply(state.clone(), event) else { return Ok(Vec::new()) };
        state = next;
    }
    more.extend(S::taken_up(&state));
    let text = |event: &S::Event| {
        serde_json::to_string(event).map_err(|_| Error::internal("an event has no JSON form"))
    };
    more.iter().map(text).collect()
}
