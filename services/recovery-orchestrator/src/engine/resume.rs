//! Taking up what is open and not at work here.

use std::time::Duration;

use salvor_core::{
    Approved, SagaKind,
    id::RecoveryName,
    saga::{
        Next, Saga,
        copy::Copy,
        destroy::Destroy,
        entry::{Entry, life},
        fold,
        prune::Prune,
        rebuild::Rebuild,
        restore::Restore,
        revive::Revive,
        snapshot::Snapshot,
        stale::StaleRecovery,
    },
};
use salvor_proto::{Error, error::Code};
use salvor_runtime::database::at_once;
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use super::{Engine, Lease, Work};
use crate::{
    folded::{Folded, Standing, folded, folded_found},
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
            loop {
                // Others that share the journal may be gone the next moment, and a defect may end a recovery's task here.
                if let Err(error) = engine.find_open().await {
                    warn!(%error, "open recoveries could not be looked for");
                }
                Box::pin(engine.sweep_once()).await;
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
        self.inner.stranded.keep_only(&open);
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

    /// True once it has ended: the sweep has nothing more to do about it.
    async fn sweep_one(&self, name: &RecoveryName) -> Result<bool, Error> {
        if self.is_running(name) {
            return Ok(false);
        }
        let Some(found) = at_once(self.journal().found(name)).await? else { return Ok(true) };
        let folded = match folded_found(&found) {
            Ok(folded) => folded,
            Err(error) => {
                error!(recovery = %name, %error, "a recovery that cannot be read is left as it is");
                self.inner.open.held_until(name, Instant::now() + LONGEST);
                return Ok(false);
            }
        };
        match &folded.standing {
            Standing::Ended(_) | Standing::Refused | Standing::Retired(_) => Ok(true),
            Standing::Stranded(obstacle) => {
                self.inner.stranded.note(name, obstacle);
                self.inner.open.held_until(name, Instant::now() + LONGEST);
                Ok(false)
            }
            Standing::Retiring(_) => self.go_on_retiring(&found).await.map(|()| true),
            Standing::Running | Standing::Parked(_) => {
                if self.is_due(&folded, &found.events) {
                    self.take_up(found.whole()?, false).await?;
                }
                Ok(false)
            }
        }
    }

    /// A parked one is looked at again after a time that doubles; one that is open and not at work, at once.
    fn is_due(&self, folded: &Folded, events: &[Row]) -> bool {
        let Standing::Parked(_) = folded.standing else { return true };
        let factor = 1_u32 << folded.parks.saturating_sub(1).min(10);
        let wait = self.world().config.park_retry.saturating_mul(factor).min(LONGEST);
        let parked_ms = events.last().map_or(0, |row| row.at_ms);
        has_waited(self.world().now().0, parked_ms, wait)
    }

    /// Goes on with an open recovery: takes its lease under its own name, resumes it if it waits, sets it to work.
    ///
    /// # Errors
    /// Somebody else holds the record; this version cannot go on with the journal; registry or journal cannot be used.
    pub(super) async fn take_up(&self, stored: Stored, cancel: bool) -> Result<(), Error> {
        if let Standing::Stranded(obstacle) = folded(&stored)?.standing {
            return Err(obstacle.error(&stored.header.name));
        }
        let header = stored.header;
        let Some(place) = self.place(&header.name).await? else { return Ok(()) };
        if cancel || self.journal().is_asked_to_cancel(&header.name).await? {
            place.at_work.cancel.ask();
        }
        let approved = Approved::new(header.plan.clone()).map_err(|error| {
            let message = format!("{}: {error}; its journal is not touched", header.name);
            Error::new(Code::DataLoss, "PLAN_NOT_APPROVED", message)
                .next_step(NextStep::RetireDamaged.of(header.name.as_str()))
        })?;
        let ttl = self.world().config.lease_ttl;
        let holder = self.holder(&header.name);
        let lease = self.world().registry.acquire(header.target(), &holder, ttl).await?;
        let rows = match Box::pin(self.gone_on(&header.name, lease)).await {
            Ok(Some(rows)) => rows,
            other => {
                self.release(header.target(), lease).await;
                return other.map(|_| ());
            }
        };
        info!(recovery = %header.name, events = rows.len(), "recovery is taken up");
        let work = Work { header, approved, rows, lease, resumed: true, open_to: None };
        self.start(place, work);
        Ok(())
    }

    /// Journals that it goes on. Under the lease, what is in the journal is all there is; `None` if it has ended meanwhile.
    async fn gone_on(&self, name: &RecoveryName, lease: Lease) -> Result<Option<Vec<Row>>, Error> {
        at_once(self.journal().take_over(name, lease.fence)).await?;
        let (stored, folded) = self.recovery(name).await?;
        match folded.standing {
            Standing::Running | Standing::Parked(_) => {}
            Standing::Stranded(obstacle) => return Err(obstacle.error(name)),
            Standing::Refused
            | Standing::Ended(_)
            | Standing::Retiring(_)
            | Standing::Retired(_) => return Ok(None),
        }
        let Stored { header, events: mut rows } = stored;
        let more = continuing(header.saga(), header.plan.saga_version, &rows)?.into_iter();
        for event in more.chain(going_on(header.plan.saga, &rows)?) {
            let seq = rows.last().map_or(0, |row| row.seq) + 1;
            let row = Row { seq, at_ms: self.world().now().0, event, terminal: false };
            at_once(self.journal().append(name, &row, lease.fence)).await?;
            rows.push(row);
        }
        Ok(Some(rows))
    }

    /// Resumes a parked recovery because somebody asks for it.
    ///
    /// # Errors
    /// FAILED_PRECONDITION when it has ended, or is one of another version.
    pub async fn retry(&self, name: &RecoveryName) -> Result<(), Error> {
        let (found, folded) = self.found(name).await?;
        match folded.standing {
            Standing::Parked(_) | Standing::Running => {
                self.journal().forget_cancellation(name).await?;
                self.take_up(found.whole()?, false).await
            }
            Standing::Stranded(obstacle) => Err(obstacle.error(name)),
            Standing::Retiring(_) => self.go_on_retiring(&found).await,
            Standing::Refused | Standing::Ended(_) | Standing::Retired(_) => {
                let message = format!("{name} has ended; there is nothing to resume");
                Err(Error::new(Code::Refused, "RECOVERY_ENDED", message)
                    .next_step(NextStep::Recover.of(&found.target.to_string())))
            }
        }
    }
}

/// What lies in the future was written by another host's clock, or before this one's was set back: it keeps nobody waiting.
fn has_waited(now_ms: u64, parked_ms: u64, wait: Duration) -> bool {
    let waited = now_ms.checked_sub(parked_ms);
    waited.is_none_or(|waited| u128::from(waited) >= wait.as_millis())
}

/// The row with which a newer version goes on with a journal that an older one began: whoever comes after it can tell.
fn continuing(saga: SagaKind, began: u32, rows: &[Row]) -> Result<Option<String>, Error> {
    let texts = rows.iter().map(|row| row.event.as_str());
    let saga_version = saga.version();
    let behind = life(began, texts).is_ok_and(|life| life.version < saga_version);
    let text = |entry| {
        serde_json::to_string(&entry).map_err(|_| Error::internal("an entry has no JSON form"))
    };
    behind.then(|| text(Entry::Continued { saga_version })).transpose()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parked_one_waits_its_time_and_for_no_other_clock() {
        let wait = Duration::from_millis(100);
        for (now, parked, waited) in [
            (1_000, 1_000, false),
            (1_099, 1_000, false),
            (1_100, 1_000, true),
            (1_000, 9_000, true),
        ] {
            assert_eq!(has_waited(now, parked, wait), waited, "{now} after {parked}");
        }
    }

    /// Once for each newer version that goes on, and never for the same one.
    #[test]
    fn going_on_with_an_older_versions_journal_is_journaled_once() {
        let (saga, now) = (SagaKind::Rebuild, SagaKind::Rebuild.version());
        let mut rows =
            vec![Row { seq: 1, at_ms: 5, event: "\"ClaimIntended\"".into(), terminal: false }];
        assert_eq!(continuing(saga, now, &rows).unwrap(), None);
        let event = continuing(saga, now - 1, &rows).unwrap().unwrap();
        assert_eq!(event, format!("{{\"continued\":{{\"saga_version\":{now}}}}}"));
        rows.push(Row { seq: 2, at_ms: 6, event, terminal: false });
        assert_eq!(continuing(saga, now - 1, &rows).unwrap(), None);
        // What the saga journals then is of its own events only.
        assert!(going_on(saga, &rows).is_ok());
    }
}
