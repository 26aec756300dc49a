//! The orchestrator as the schedule sees it.

use std::time::Duration;

use salvor_core::{
    Request, Timestamp, Verdict, evidence::Asked, name::RecordName, path, schedule::due,
};
use salvor_proto::{
    Error,
    registry::v1::{self as pb, sandbox::State},
    time::{millis, plain},
};

use super::{Candidate, Fleet, Page, Turn};
use crate::{
    engine::{Ask, Engine},
    folded::Standing,
};

/// Records of one page.
const PAGE: i32 = 200;
/// How long one wait for a snapshot's end may take before it is begun again.
const WAIT: Duration = Duration::from_mins(10);

impl Fleet for Engine {
    async fn page(&self, token: String) -> Result<Page, Error> {
        let page = self.world().registry.list(PAGE, token).await?;
        let candidates = page.sandboxes.iter().filter_map(candidate).collect();
        Ok(Page { candidates, next: page.next_page_token })
    }

    async fn snapshot(&self, name: &RecordName) -> Turn {
        match self.scheduled(name).await {
            Ok(turn) => turn,
            Err(error) => {
                tracing::info!(sandbox = %name, %error, "no scheduled snapshot was taken");
                Turn::NotNow
            }
        }
    }
}

impl Engine {
    async fn scheduled(&self, name: &RecordName) -> Result<Turn, Error> {
        if self.open_recovery(name).await?.is_some() {
            return Ok(Turn::NotNow);
        }
        let seen = self.world().look(name).await?;
        let Some(Candidate { interval, written, tried, .. }) = candidate(&seen.record) else {
            return Ok(Turn::Taken);
        };
        let now = self.world().now();
        if due(name, interval, written, tried, now) > now {
            return Ok(Turn::Taken);
        }
        if path::verdict(&self.world().config.limits, &seen.evidence) != Verdict::Live {
            return Ok(Turn::NotNow);
        }
        let ask = Ask {
            name: name.clone(),
            request: Request::Snapshot,
            asked: Asked::default(),
            request_id: None,
            validate_only: false,
            plan_digest: None,
            accepted_loss: None,
            settle_timeout: Duration::ZERO,
        };
        let Some(recovery) = Box::pin(self.ask(ask)).await?.recovery else {
            return Ok(Turn::NotNow);
        };
        loop {
            let (_, folded) = self.wait(&recovery, WAIT).await?;
            match folded.standing {
                Standing::Running | Standing::Retiring(_) => {}
                Standing::Ended(_) => return Ok(Turn::Taken),
                Standing::Parked(_)
                | Standing::Refused
                | Standing::Stranded(_)
                | Standing::Retired(_) => return Ok(Turn::NotNow),
            }
        }
    }
}

/// A record that wants snapshots and can have one; the others are left out.
fn candidate(record: &pb::Sandbox) -> Option<Candidate> {
    let rules = record.snapshot_rules.as_ref()?;
    if record.state() != State::Active {
        return None;
    }
    let tried = record.snapshot_status.as_ref().and_then(|s| s.last_attempt_time.as_ref());
    Some(Candidate {
        name: record.name.parse().ok()?,
        interval: plain(rules.interval.as_ref()?),
        written: Timestamp(record.update_time.as_ref().map_or(0, millis)),
        tried: tried.map(|time| Timestamp(millis(time))),
    })
}
