//! Ending a recovery that this version cannot go on with, that waits for what cannot come any more, or that nobody waits for.
//!
//! Intent, effect, outcome, as everywhere: what was seen right now goes into the journal with a compare-and-swap on the whole
//! recovery, under the record's lease; then the record's mark is taken off; then the end is written. Nothing is touched on the
//! gateway. The lease is taken under another name than the recovery's, so that whoever is at work on it keeps it.

mod doubts;
mod look;

use salvor_core::{
    Denial, Timestamp,
    id::{Fence, RecoveryName},
    retirement::{Look, Retirement, Void},
    saga::{ParkReason, entry::Entry},
};
use salvor_proto::{Error, error::Code};
use salvor_runtime::database::at_once;
use tracing::{info, warn};

use super::{Engine, accept::held, lease};
use crate::{
    folded::{Folded, Standing},
    journal::{Found, Row, changed},
    perform::record,
    ports::Lease,
    words::{self, NextStep},
};

/// Why a recovery is retired that could have been gone on with.
const GIVEN_UP: &str = "GIVEN_UP";

/// What a caller asks for.
#[derive(Debug, Clone)]
pub struct Retire {
    /// Which recovery.
    pub name: RecoveryName,
    /// Its whole revision, as it was read.
    pub etag: String,
    /// The same id answers the same retirement.
    pub request_id: Option<String>,
    /// Look, say what would be written, fail where the real call would, and change nothing.
    pub validate_only: bool,
    /// Of one that a newer version wrote: that version will never go on with it.
    pub newer_version_gone: bool,
    /// Of one that waits and cannot go back: nobody waits for it any longer.
    pub give_up: bool,
}

impl Engine {
    /// Retires a recovery. Answers it as it is then, and what was written down.
    ///
    /// # Errors
    /// It has ended; this version can go on with it, and it is not void; a newer version can; it has changed since it was read;
    /// somebody is at work on the record; what is live is not known. Nothing was changed in any of these cases. Cancellation:
    /// once it is written down, the record is freed by whoever comes next.
    pub async fn retire(&self, ask: &Retire) -> Result<(Found, Folded, Retirement), Error> {
        let (found, folded) = self.found(&ask.name).await?;
        if let Standing::Retired(known) | Standing::Retiring(known) = &folded.standing
            && ask.request_id.is_some()
            && ask.request_id == known.request_id
        {
            let known = (**known).clone();
            return Ok((found, folded, known));
        }
        may_be_retired(ask, &found, &folded)?;
        if ask.validate_only {
            let retirement = self.judged(ask, &found, &folded).await?;
            return Ok((found, folded, retirement));
        }
        let Some(place) = self.place(&ask.name).await? else {
            let message = format!("{} is at work; it was not retired", ask.name);
            return Err(Error::new(Code::Busy, "RECOVERY_OPEN", message)
                .with("holder", ask.name.to_string())
                .next_step(NextStep::Wait.of(ask.name.as_str())));
        };
        let lease = self.lease_to_retire(&found).await?;
        let retired = Box::pin(self.retire_under(ask, lease)).await;
        if let Some(lease) = lease {
            self.release(&found.target, lease).await;
        }
        drop(place);
        let retirement = retired?;
        let (found, folded) = self.found(&ask.name).await?;
        Ok((found, folded, retirement))
    }

    async fn retire_under(&self, ask: &Retire, lease: Option<Lease>) -> Result<Retirement, Error> {
        if let Some(lease) = lease {
            at_once(self.journal().take_over(&ask.name, lease.fence)).await?;
        }
        // Under the lease, what is in the journal is all there is.
        let (found, folded) = self.found(&ask.name).await?;
        may_be_retired(ask, &found, &folded)?;
        let judged = self.judged(ask, &found, &folded);
        let retirement = match lease {
            Some(lease) => tokio::select! {
                biased;
                judged = judged => judged?,
                lost = lease::renew(self.world(), &found.target, lease) => return Err(lost),
            },
            None => judged.await?,
        };
        let entry = Entry::Retiring(Box::new(retirement.clone()));
        let row = self.row(&found, &entry, false)?;
        at_once(self.journal().retire(&ask.name, &ask.etag, &row)).await?;
        self.inner.stranded.forget(&ask.name);
        info!(recovery = %ask.name, reason = retirement.reason, "recovery is retired");
        if let Err(error) = Box::pin(self.free(&ask.name, lease)).await {
            warn!(recovery = %ask.name, %error, "its record is freed later");
            self.inner.open.left(&ask.name);
        }
        Ok(retirement)
    }

    /// Finishes what is written down: takes the mark off the record, and writes the end.
    pub(super) async fn go_on_retiring(&self, found: &Found) -> Result<(), Error> {
        let Some(_place) = self.reserve(&found.name) else { return Ok(()) };
        let lease = self.lease_to_retire(found).await?;
        let freed = Box::pin(self.free(&found.name, lease)).await;
        if let Some(lease) = lease {
            self.release(&found.target, lease).await;
        }
        freed
    }

    async fn free(&self, name: &RecoveryName, lease: Option<Lease>) -> Result<(), Error> {
        let (found, folded) = self.found(name).await?;
        if !matches!(folded.standing, Standing::Retiring(_)) {
            return Ok(());
        }
        let unmarked = match lease {
            Some(lease) if !self.is_marked_by_another(&found).await? => {
                let registry = &self.world().registry;
                record::unmark_held(registry, &found.target, lease.fence, name).await?
            }
            _ => false,
        };
        let row = self.row(&found, &Entry::Retired { unmarked }, true)?;
        // Of a record that is not there nobody has a token.
        let fence = lease.map_or(Fence(i64::MAX), |lease| lease.fence);
        at_once(self.journal().append(name, &row, fence)).await?;
        info!(recovery = %name, unmarked, "the record is free of it");
        Ok(())
    }

    /// The record's lease. Of a record that is not there nobody has one.
    async fn lease_to_retire(&self, found: &Found) -> Result<Option<Lease>, Error> {
        let ttl = self.world().config.lease_ttl;
        let holder = format!("{}/retirement", self.holder(&found.name));
        match self.world().registry.acquire(&found.target, &holder, ttl).await {
            Ok(lease) => Ok(Some(lease)),
            Err(error) if error.code() == Code::NotFound => Ok(None),
            Err(error) => Err(held(error, &found.target)),
        }
    }

    /// The retirement, if there is reason for one in what is seen now.
    async fn judged(
        &self,
        ask: &Retire,
        found: &Found,
        folded: &Folded,
    ) -> Result<Retirement, Error> {
        let look = self.look_at(found).await?;
        look.is_known(&self.world().config.limits).map_err(|why| not_known(found, &why))?;
        let (reason, message) = match (&folded.standing, &found.header) {
            (Standing::Stranded(obstacle), _) => (obstacle.reason(), obstacle.to_string()),
            (Standing::Parked(waits), Ok(_)) => match void(found, *waits, &look) {
                Some(void) => (void.reason(), void.to_string()),
                None if ask.give_up && !folded.cancellable => {
                    (GIVEN_UP, format!("it was given up by request, while it waited: {waits}"))
                }
                None => return Err(resumable(found, folded)),
            },
            _ => return Err(resumable(found, folded)),
        };
        Ok(Retirement {
            reason: reason.to_owned(),
            message,
            look,
            doubts: doubts::of(found),
            snapshots: doubts::snapshots(found),
            revision: ask.etag.clone(),
            request_id: ask.request_id.clone(),
            by: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    fn row(&self, found: &Found, entry: &Entry, terminal: bool) -> Result<Row, Error> {
        let event = serde_json::to_string(entry)
            .map_err(|_| Error::internal("an entry has no JSON form; nothing was changed"))?;
        let seq = found.events.last().map_or(0, |row| row.seq) + 1;
        let Timestamp(at_ms) = self.world().now();
        Ok(Row { seq, at_ms, event, terminal })
    }
}

fn void(found: &Found, waits: ParkReason, look: &Look) -> Option<Void> {
    let header = found.header.as_ref().ok()?;
    let recorded = header.evidence.record.shown().and_then(|record| record.uid.as_ref());
    Void::of((&found.name, &header.plan), recorded, waits, look)
}

/// What its journal alone says against it.
fn may_be_retired(ask: &Retire, found: &Found, folded: &Folded) -> Result<(), Error> {
    let (name, now) = (&found.name, found.revision());
    match &folded.standing {
        Standing::Refused | Standing::Ended(_) | Standing::Retiring(_) | Standing::Retired(_) => {
            let message = format!("{name} has ended; there is nothing to retire");
            Err(Error::new(Code::Refused, "RECOVERY_ENDED", message)
                .next_step(NextStep::Show.of(name.as_str())))
        }
        _ if now != ask.etag => Err(changed(name, &ask.etag, &now)),
        Standing::Running => Err(resumable(found, folded)),
        Standing::Stranded(obstacle)
            if obstacle.is_of_a_newer_version() && !ask.newer_version_gone =>
        {
            let message = format!(
                "{name} was not retired: {obstacle}, and that one can go on with it; nothing was changed"
            );
            Err(Error::new(Code::Refused, obstacle.reason(), message)
                .with("recovery", name.to_string())
                .next_step(obstacle.next_step(name)))
        }
        Standing::Parked(_) | Standing::Stranded(_) => Ok(()),
    }
}

fn resumable(found: &Found, folded: &Folded) -> Error {
    let name = &found.name;
    let (how, step) = match &folded.standing {
        Standing::Parked(_) if folded.cancellable => ("it can go back or on", NextStep::Cancel),
        Standing::Parked(_) => ("what it waits for can still come", NextStep::RetryOrGiveUp),
        _ => ("it is to be gone on with", NextStep::Wait),
    };
    let message = format!(
        "{name} was not retired: this orchestrator runs its version, and {how}; nothing was changed"
    );
    Error::new(Code::Refused, "RECOVERY_RESUMABLE", message)
        .with("recovery", name.to_string())
        .next_step(step.of(name.as_str()))
}

fn not_known(found: &Found, denial: &Denial) -> Error {
    let target = &found.target;
    let (code, step) = match denial {
        Denial::Unknown { why, .. } => (Code::Undetermined, words::to_know(*why, target)),
        _ => (Code::Refused, NextStep::Status.of(&target.to_string())),
    };
    let message = format!(
        "{} was not retired: what it may leave behind is not known: {denial}; nothing was changed",
        found.name
    );
    Error::new(code, denial.reason(), message)
        .with("gateway", target.owner().to_string())
        .with("recovery", found.name.to_string())
        .next_step(step)
}
