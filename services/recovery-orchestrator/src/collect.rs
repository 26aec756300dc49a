//! Collecting evidence. Reads only: nothing here changes anything anywhere.

mod turns;

use std::{sync::Arc, time::Duration};

use salvor_core::{
    Evidence, Fact, FactName, Planned, Request, Timestamp, Why,
    evidence::{Asked, Doomed, Posture, Record, Snapshot},
    guards,
    id::{LiveId, SnapshotName},
    name::RecordName,
    path::{self, Path, SagaKind},
    plan,
};
use salvor_proto::{Error, convert, error::Code, registry::v1 as registry};
use salvor_runtime::{Clock, database::at_once};
use tokio::time::{Instant, sleep};

use crate::{
    config::Config,
    engine::Ask,
    journal::Journal,
    ports::{Adapter, Adapters, Observation, Registry},
};

pub(crate) use turns::{LOOKS, Turn, Turns};

/// How often evidence is taken anew while it settles, at the most.
const SETTLE_POLL: Duration = Duration::from_millis(500);

/// Whom to ask.
#[derive(Debug, Clone)]
pub struct World {
    /// The registry.
    pub registry: Registry,
    /// The adapters.
    pub adapters: Adapters,
    /// Which snapshots recoveries rest on.
    pub journal: Journal,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Thresholds and waits.
    pub config: Arc<Config>,
    /// How many requests look at a time.
    pub turns: Turns,
}

/// One look at everything about one sandbox.
#[derive(Debug, Clone)]
pub struct Seen {
    /// For deciding.
    pub evidence: Evidence,
    /// The record as the registry sent it, redacted.
    pub record: registry::Sandbox,
    /// The owner gateway as registered.
    pub gateway: Option<registry::Gateway>,
    /// The look itself.
    pub observation: Observation,
}

impl World {
    /// The time.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.clock.now_ms())
    }

    /// Looks once.
    ///
    /// # Errors
    /// The registry cannot be asked, or has no such record. Everything else is evidence, unknown facts included.
    pub async fn look(&self, name: &RecordName) -> Result<Seen, Error> {
        self.look_for(name, Request::Auto, &Asked::default()).await
    }

    /// Looks once, with an eye to a request: what no guard of its path asks for is not looked at.
    ///
    /// # Errors
    /// As `look`.
    pub async fn look_for(
        &self,
        name: &RecordName,
        request: Request,
        asked: &Asked,
    ) -> Result<Seen, Error> {
        let (begun, begun_at) = (Instant::now(), self.now());
        let record = self.registry.sandbox(name).await?;
        let decoded = convert::record(&record)?;
        let recorded_at = self.now();
        let (gateway, adapter) = self.adapter(name).await?;
        let observation = match &adapter {
            Ok(adapter) => adapter.observe(name, false).await,
            Err((why, detail)) => Observation::none(*why, detail),
        };
        let wanted: Vec<String> = decoded
            .spec
            .iter()
            .flat_map(|s| &s.summary.providers)
            .map(ToString::to_string)
            .collect();
        let providers = match (&adapter, observation.gateway.shown()) {
            _ if wanted.is_empty() => Fact::known(Vec::new(), self.now()),
            (Ok(adapter), Some(_)) => adapter.providers(name, &wanted).await,
            _ => Fact::unknown(Why::NotAsked, "the gateway did not answer"),
        };
        let mut evidence = Evidence {
            now: self.now(),
            target: name.clone(),
            record: Fact::known(decoded, recorded_at),
            gateway: observation.gateway.clone(),
            live: observation.live.clone(),
            providers,
            snapshot: Fact::unknown(Why::NotAsked, ""),
            repository: true,
            compute: Fact::unknown(Why::NotAsked, ""),
            copy: Fact::unknown(Why::NotAsked, ""),
            doomed: Fact::unknown(Why::NotAsked, ""),
            accepted_loss: None,
            asked: asked.clone(),
        };
        match adapter {
            Ok(adapter) => self.look_at_workspace(&adapter, request, &mut evidence).await?,
            Err((why, detail)) => {
                evidence.snapshot = Fact::unknown(why, &*detail);
                evidence.compute = Fact::unknown(why, &*detail);
                evidence.copy = Fact::unknown(why, detail);
            }
        }
        evidence.now = judged_at(self.now(), begun_at, begun.elapsed());
        Ok(Seen { evidence, record, gateway, observation })
    }

    /// Adds what the path's guards ask of repository, runtime and copy.
    async fn look_at_workspace(
        &self,
        adapter: &Adapter,
        request: Request,
        evidence: &mut Evidence,
    ) -> Result<(), Error> {
        let verdict = path::verdict(&self.config.limits, evidence);
        let Path::Run(saga) = path::choose(request, verdict) else { return Ok(()) };
        let asked_for = |fact| guards::table(saga).iter().any(|row| row.facts.contains(&fact));
        let target = evidence.target.clone();
        if asked_for(FactName::Snapshot) {
            evidence.snapshot = match (&evidence.asked.snapshot, evidence.record.shown()) {
                (Some(name), Some(record)) if saga == SagaKind::Restore => {
                    held_to_seal(adapter, adapter.snapshot(name).await, record).await
                }
                (Some(name), _) => adapter.snapshot(name).await,
                (None, Some(record)) => {
                    let fits =
                        |found: &_| Snapshot::is_of(found, &target, record) && found.covers(record);
                    let last = record.last_snapshot.as_ref();
                    let (newest, repository) = adapter.newest_snapshot(&target, last, fits).await;
                    evidence.repository = repository;
                    newest
                }
                (None, None) => return Ok(()),
            };
        }
        let live_id = evidence.record.shown().and_then(|record| record.live_id.clone());
        if asked_for(FactName::Compute) {
            evidence.compute = match live_id {
                Some(live) => adapter.compute(&target, &live).await,
                // A record that was never live has left nothing behind.
                None => Fact::known(Vec::new(), self.now()),
            };
        }
        if saga == SagaKind::Prune {
            evidence.doomed = self.doomed(adapter, &target, &evidence.asked.delete).await?;
        }
        if asked_for(FactName::CopyName) {
            evidence.copy = match &evidence.asked.copy {
                Some(copy) => {
                    let name = RecordName { sandbox: copy.sandbox.clone(), ..target };
                    match adapter.bearer(&name).await {
                        Fact::Known { value: None, .. } => {
                            Fact::known(self.recorded_as(&name).await?, self.now())
                        }
                        taken => taken,
                    }
                }
                None => Fact::known(None, self.now()),
            };
        }
        Ok(())
    }

    /// Those of the snapshots to delete by name that the repository holds.
    async fn doomed(
        &self,
        adapter: &Adapter,
        target: &RecordName,
        names: &[SnapshotName],
    ) -> Result<Fact<Vec<Doomed>>, Error> {
        let mut doomed = Vec::new();
        if names.is_empty() {
            return Ok(Fact::known(doomed, self.now()));
        }
        let newest = match adapter.newest_snapshot(target, None, |_| true).await.0 {
            Fact::Known { value, .. } => value.map(|newest| newest.name),
            Fact::Unknown { why, detail } => return Ok(Fact::Unknown { why, detail }),
        };
        let in_use = at_once(self.journal.snapshots_in_use(target, None)).await?;
        for name in names {
            match adapter.snapshot(name).await {
                Fact::Known { value: Some(snapshot), .. } => doomed.push(Doomed {
                    snapshot,
                    newest: newest.as_ref() == Some(name),
                    in_use: in_use.contains(name),
                }),
                Fact::Known { value: None, .. } => {}
                Fact::Unknown { why, detail } => return Ok(Fact::Unknown { why, detail }),
            }
        }
        Ok(Fact::known(doomed, self.now()))
    }

    /// The incarnation that a record of this name speaks of, if there is one that is not a tombstone.
    pub(crate) async fn recorded_as(&self, name: &RecordName) -> Result<Option<LiveId>, Error> {
        match self.registry.sandbox(name).await {
            Ok(record) if record.state() == registry::sandbox::State::Destroyed => Ok(None),
            Ok(record) => Ok(Some(LiveId(record.live_id))),
            Err(error) if error.code() == Code::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Looks until the plan for what is asked is no longer a matter of settling, or the time for that is over. While there is
    /// nothing to do but to wait, others have their turn.
    pub(crate) async fn look_settled(
        &self,
        turn: &mut Turn,
        ask: &Ask,
    ) -> Result<(Seen, Planned), Error> {
        let deadline = Instant::now() + ask.settle_timeout;
        loop {
            let mut seen = self.look_for(&ask.name, ask.request, &ask.asked).await?;
            seen.evidence.accepted_loss.clone_from(&ask.accepted_loss);
            let planned = plan::plan(&self.config.limits, ask.request, &seen.evidence);
            let Planned::Plan(plan) = &planned else {
                return Ok((seen, planned));
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if !plan.is_settling() || left.is_zero() {
                return Ok((seen, planned));
            }
            turn.pass_on();
            let denials = plan.decisions.iter().filter_map(|d| d.denial.as_ref());
            let wait = denials.filter_map(salvor_core::Denial::retry_after).min();
            sleep(
                wait.unwrap_or(SETTLE_POLL).clamp(Duration::from_millis(20), SETTLE_POLL).min(left),
            )
            .await;
            *turn = self.turn(&ask.name).await;
        }
    }

    /// Waits for a request's turn to look at the gateway of a record.
    pub(crate) async fn turn(&self, name: &RecordName) -> Turn {
        self.turns.at(&name.owner()).await
    }

    /// The owner gateway, and the adapter that serves it; or why there is none to ask.
    pub async fn adapter(
        &self,
        name: &RecordName,
    ) -> Result<(Option<registry::Gateway>, Result<Adapter, (Why, String)>), Error> {
        let owner = name.owner();
        let Some(gateway) = self.registry.gateway(&owner).await? else {
            return Ok((None, Err((Why::NotRegistered, owner.to_string()))));
        };
        let address = gateway.heartbeat.as_ref().map_or("", |beat| beat.adapter_endpoint.as_str());
        let adapter = match self.adapters.at(address) {
            Some(adapter) => Ok(adapter),
            None => Err((
                Why::AdapterUnreachable,
                format!("no adapter has announced that it serves {owner}"),
            )),
        };
        Ok((Some(gateway), adapter))
    }
}

/// When the evidence of a look is judged: a clock that was set forward in the midst of it makes nothing older than it is.
fn judged_at(now: Timestamp, begun_at: Timestamp, took: Duration) -> Timestamp {
    now.min(begun_at.after(took))
}

/// Adds what a snapshot that is to be written into a locked sandbox holds of the sealed files.
async fn held_to_seal(
    adapter: &Adapter,
    found: Fact<Option<Snapshot>>,
    record: &Record,
) -> Fact<Option<Snapshot>> {
    let (Fact::Known { value: Some(mut snapshot), at }, Posture::Locked { sealed }) =
        (found.clone(), &record.posture)
    else {
        return found;
    };
    match adapter.as_sealed(&snapshot, sealed).await {
        Ok(as_sealed) => {
            snapshot.as_sealed = as_sealed;
            Fact::known(Some(snapshot), at)
        }
        Err((why, detail)) => Fact::unknown(why, detail),
    }
}

impl Seen {
    /// What each fact says of itself, for the age of the oldest.
    pub fn age(evidence: &Evidence, facts: &[FactName]) -> Duration {
        let at = |fact: &FactName| match fact {
            FactName::Record => known_at(&evidence.record),
            FactName::OwnerGateway => known_at(&evidence.gateway),
            FactName::LiveView => known_at(&evidence.live),
            FactName::Providers => known_at(&evidence.providers),
            FactName::Snapshot => known_at(&evidence.snapshot),
            FactName::Compute => known_at(&evidence.compute),
            FactName::CopyName => known_at(&evidence.copy),
        };
        let ages = facts.iter().filter_map(at).map(|at| at.age(evidence.now));
        ages.max().unwrap_or(Duration::ZERO)
    }
}

const fn known_at<T>(fact: &Fact<T>) -> Option<Timestamp> {
    match fact {
        Fact::Known { at, .. } => Some(*at),
        Fact::Unknown { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_in_the_midst_of_a_look_makes_nothing_older() {
        let (begun_at, took) = (Timestamp(10_000), Duration::from_millis(40));
        for (now, judged) in [(10_040, 10_040), (3_610_040, 10_040), (5_000, 5_000)] {
            let at = judged_at(Timestamp(now), begun_at, took);
            assert_eq!(at, Timestamp(judged), "{now}");
            assert!(begun_at.age(at) <= took, "{now}");
        }
    }
}
