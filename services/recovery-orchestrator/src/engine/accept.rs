//! From a request to a durable recovery, or to the reasons why there is none.

use std::time::Duration;

use salvor_core::{
    Evidence, Plan, Planned, Request, SagaKind,
    evidence::Asked,
    id::{PlanDigest, RecoveryName, SnapshotName},
    name::RecordName,
};
use salvor_proto::{
    Error, error::Code, gateway::v1::PruneReport, recovery::v1 as pb, registry::v1 as registry,
};
use salvor_runtime::database::at_once;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Engine, Work, lease};
use crate::{
    collect::{Seen, Turn},
    decide::{decide, narrate},
    folded::{Standing, folded_found},
    journal::{Found, RecoveryFilter, Stored},
    perform::prune::pruning,
    ports::{Ended, Lease},
    view,
    words::{self, NextStep},
};

/// What a caller asks for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Of which record.
    pub name: RecordName,
    /// What.
    pub request: Request,
    /// What it says besides.
    pub asked: Asked,
    /// The same id answers the same recovery.
    pub request_id: Option<String>,
    /// Give the full report, fail where the real call would, and do nothing.
    pub validate_only: bool,
    /// Execute this plan only.
    pub plan_digest: Option<PlanDigest>,
    /// The plan whose losses are accepted.
    pub accepted_loss: Option<PlanDigest>,
    /// How long evidence may take to settle.
    pub settle_timeout: Duration,
}

/// What became of it.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The plan as it is answered; without a saga when there is nothing to do.
    pub plan: pb::Plan,
    /// The recovery; absent when there is nothing to do, or for a dry run.
    pub recovery: Option<RecoveryName>,
    /// Of a prune that was only to be checked: what would go, and what would stay and why.
    pub preview: Option<PruneReport>,
}

/// What a request has while it is decided on.
struct Hold {
    lease: Lease,
    turn: Turn,
}

impl Engine {
    /// Accepts a request: decides, keeps plan and decisions, and sets the recovery to work.
    ///
    /// # Errors
    /// A guard's refusal; a conflict that names who is at work; the registry or the journal cannot be used. Nothing was
    /// touched in any of these cases. Dropped, it leaves nothing until it is decided, and the recovery, at work, from then on.
    pub async fn ask(&self, ask: Ask) -> Result<Accepted, Error> {
        if let Some(known) = self.known(&ask).await? {
            return Ok(known);
        }
        if ask.validate_only {
            return self.validate(&ask).await;
        }
        // Before a lease is asked for: a record that is not there has none, and one who goes away while it waits leaves none.
        self.world().registry.sandbox(&ask.name).await?;
        let turn = self.world().turn(&ask.name).await;
        self.see_through(|engine, left| async move { engine.begin(&ask, turn, &left).await }).await
    }

    /// Takes the record's lease, and either hands it to a recovery at work or gives it back.
    async fn begin(
        &self,
        ask: &Ask,
        turn: Turn,
        left: &CancellationToken,
    ) -> Result<Accepted, Error> {
        let name = RecoveryName(format!("recoveries/{}", Uuid::now_v7().simple()));
        let ttl = self.world().config.lease_ttl;
        let lease = self.world().registry.acquire(&ask.name, &self.holder(&name), ttl).await;
        let lease = lease.map_err(|error| held(error, &ask.name))?;
        let hold = Hold { lease, turn };
        let accepted = Box::pin(self.under_lease(ask, name, hold, left)).await;
        match accepted {
            Ok((accepted, true)) => Ok(accepted),
            Ok((accepted, false)) => {
                self.release(&ask.name, lease).await;
                Ok(accepted)
            }
            Err(error) => {
                self.release(&ask.name, lease).await;
                Err(error)
            }
        }
    }

    /// A copy to a name that a record has becomes a restore into that record's sandbox: what is in it is saved, and replaced in
    /// place. Nothing is deleted, so nothing can be lost by it or hit by name.
    ///
    /// # Errors
    /// The registry or the journal cannot be used.
    pub async fn replacing(&self, ask: Ask) -> Result<Ask, Error> {
        let Some(copy) = &ask.asked.copy else { return Ok(ask) };
        if let Some(request_id) = &ask.request_id
            && let Some(stored) = at_once(self.journal().by_request(request_id)).await?
            && *stored.header.target() == ask.name
        {
            // The same request made the copy, which is why there is one now.
            return Ok(ask);
        }
        let name = RecordName { sandbox: copy.sandbox.clone(), ..ask.name.clone() };
        if self.world().recorded_as(&name).await?.is_none() {
            return Ok(ask);
        }
        let from = Some(ask.name.clone());
        let asked = Asked { copy: None, other_sandbox: true, from, ..ask.asked.clone() };
        Ok(Ask { name, request: Request::Restore, asked, ..ask })
    }

    /// The recovery that the same request made before.
    async fn known(&self, ask: &Ask) -> Result<Option<Accepted>, Error> {
        let Some(request_id) = &ask.request_id else { return Ok(None) };
        let Some(stored) = at_once(self.journal().by_request(request_id)).await? else {
            return Ok(None);
        };
        if *stored.header.target() != ask.name {
            let message = format!("request_id was used before, for {}", stored.header.target());
            return Err(Error::new(Code::Invalid, "REQUEST_ID_REUSED", message)
                .next_step(NextStep::FreshId.of("")));
        }
        if !stored.header.plan.allowed() {
            return Err(words::refusal(
                &stored.header.plan,
                &stored.header.evidence,
                Some(&stored.header.name),
            ));
        }
        Ok(Some(accepted(&stored)))
    }

    async fn validate(&self, ask: &Ask) -> Result<Accepted, Error> {
        let mut turn = self.world().turn(&ask.name).await;
        let (seen, planned) = self.settled(&mut turn, ask).await?;
        let Planned::Plan(plan) = planned else {
            return Ok(nothing(&seen.evidence));
        };
        same_plan(ask, &plan)?;
        narrate(&plan, &seen.evidence, None);
        if !plan.allowed() {
            return Err(words::refusal(&plan, &seen.evidence, None));
        }
        let preview = match plan.saga {
            SagaKind::Prune if ask.asked.delete.is_empty() => {
                Some(self.would_prune(ask, &seen.record).await?)
            }
            _ => None,
        };
        Ok(Accepted { preview, ..as_planned(&plan, &seen.evidence) })
    }

    /// True: the lease has gone over to the recovery at work. A caller that has left ends it only until it is decided.
    async fn under_lease(
        &self,
        ask: &Ask,
        name: RecoveryName,
        hold: Hold,
        left: &CancellationToken,
    ) -> Result<(Accepted, bool), Error> {
        let Hold { lease, mut turn } = hold;
        // It may have been sent to another orchestrator, too, and have come to its end there before this one had the lease.
        if let Some(known) = self.known(ask).await? {
            return Ok((known, false));
        }
        if let Some(open) = self.open_recovery(&ask.name).await? {
            drop(turn);
            self.release(&ask.name, lease).await;
            return Box::pin(self.go_on(ask, open)).await.map(|accepted| (accepted, false));
        }
        // Evidence may take long to settle: nothing is begun under a lease that has run out meanwhile.
        let (seen, planned) = tokio::select! {
            biased;
            settled = self.settled(&mut turn, ask) => settled?,
            lost = lease::renew(self.world(), &ask.name, lease) => return Err(lost),
            () = left.cancelled() => return Err(Error::internal("nobody waits for it any more")),
        };
        let Planned::Plan(plan) = planned else {
            return Ok((nothing(&seen.evidence), false));
        };
        same_plan(ask, &plan)?;
        let place = self.reserve(&name).ok_or_else(|| Error::internal("a new name is in use"))?;
        let (header, approved) =
            decide(self.journal(), name.clone(), ask.request_id.clone(), *plan, seen.evidence)
                .await?;
        let accepted =
            Accepted { recovery: Some(name), ..as_planned(&header.plan, &header.evidence) };
        let revives = header.saga() == SagaKind::Revive && ask.request == Request::Auto;
        let open_to = revives.then(|| ask.clone());
        let work = Work { header, approved, rows: Vec::new(), lease, resumed: false, open_to };
        self.start(place, work);
        Ok((accepted, true))
    }

    /// Evidence and plan. Of a restore, what it names must be there: what is not can never be put back.
    async fn settled(&self, turn: &mut Turn, ask: &Ask) -> Result<(Seen, Planned), Error> {
        let (seen, planned) = self.world().look_settled(turn, ask).await?;
        if let Planned::Plan(plan) = &planned
            && plan.allowed()
            && let Some(chosen) = &plan.inputs.restore
        {
            self.holds_what_is_named(ask, &chosen.saved.name).await?;
        }
        Ok((seen, planned))
    }

    /// # Errors
    /// INVALID_ARGUMENT: a path that the snapshot does not hold. What cannot be asked now is found out later.
    async fn holds_what_is_named(&self, ask: &Ask, snapshot: &SnapshotName) -> Result<(), Error> {
        let paths = &ask.asked.paths;
        if paths.is_empty() {
            return Ok(());
        }
        let Ok(adapter) = self.world().adapter(&ask.name).await?.1 else { return Ok(()) };
        for (index, path) in paths.iter().enumerate() {
            if adapter.lacks(snapshot, path).await {
                let problem = format!("{path}: {snapshot} holds nothing there; nothing was begun");
                return Err(Error::invalid(format!("paths[{index}]"), problem));
            }
        }
        Ok(())
    }

    /// What a prune would come to: the adapter's word, which decides it.
    async fn would_prune(
        &self,
        ask: &Ask,
        record: &registry::Sandbox,
    ) -> Result<PruneReport, Error> {
        let unknown = |detail: &str| {
            let message =
                format!("what a prune of {} would delete is not known: {detail}", ask.name);
            Error::new(Code::Unavailable, "PRUNE_NOT_FORESEEN", message)
                .next_step(NextStep::PreviewPrune.of(&ask.name.to_string()))
        };
        let adapter = self.world().adapter(&ask.name).await?.1;
        let adapter = adapter.map_err(|(_, detail)| unknown(&detail))?;
        let request_id = Uuid::new_v4().to_string();
        let pruning = pruning(self.journal(), &ask.name, (&ask.asked, record), request_id).await?;
        match adapter.would_prune(&ask.name, pruning).await {
            Ended::With(report) => Ok(report),
            Ended::Refused(_, detail) => Err(unknown(&detail)),
            Ended::Lost(cause) => Err(unknown(cause.sentence())),
        }
    }

    /// The recovery of a record that has not ended, if there is one: one that this version cannot go on with, too.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn open_recovery(&self, name: &RecordName) -> Result<Option<Found>, Error> {
        let filter =
            RecoveryFilter { sandbox: Some(name.clone()), open_only: true, before: None, limit: 1 };
        Ok(at_once(self.journal().list_found(&filter)).await?.into_iter().next())
    }

    /// The same request again goes on with what is open; another one is told of it.
    async fn go_on(&self, ask: &Ask, open: Found) -> Result<Accepted, Error> {
        let name = open.name.clone();
        let step = NextStep::Retry.of(name.as_str());
        let standing = folded_found(&open)?.standing;
        let can_go_on = matches!(standing, Standing::Running | Standing::Parked(_));
        let (standing, step) = match standing {
            Standing::Stranded(obstacle) => {
                (format!("is stranded: {obstacle}"), obstacle.next_step(&name))
            }
            Standing::Retiring(_) => {
                ("is being retired".to_owned(), NextStep::Wait.of(name.as_str()))
            }
            Standing::Parked(why) => (format!("is parked ({why})"), step),
            Standing::Running | Standing::Refused | Standing::Ended(_) | Standing::Retired(_) => {
                ("is open".to_owned(), step)
            }
        };
        let saga = open.header.as_ref().map_or("unknown", |header| header.saga().as_str());
        let message = format!("{name} ({saga}) of {} {standing}; nothing was begun", ask.name);
        match open.whole() {
            Ok(open) if can_go_on && is_same(ask, &open.header.plan) => {
                let accepted = accepted(&open);
                self.take_up(open, false).await?;
                Ok(accepted)
            }
            _ => Err(Error::new(Code::Busy, "RECOVERY_OPEN", message)
                .with("holder", name.to_string())
                .next_step(step)),
        }
    }

    pub(super) async fn release(&self, name: &RecordName, lease: Lease) {
        if let Err(error) = self.world().registry.release(name, lease).await {
            tracing::warn!(sandbox = %name, %error, "a lease was not given back; it runs out");
        }
    }
}

/// Whether a request asks for what the open recovery does already. What a caller said besides must be the same, too; one who
/// said nothing is content with what was said before.
fn is_same(ask: &Ask, open: &Plan) -> bool {
    let kind = match ask.request {
        Request::Auto | Request::Revive | Request::Rebuild => {
            matches!(open.saga, SagaKind::StaleRecovery | SagaKind::Revive | SagaKind::Rebuild)
        }
        Request::Destroy => open.saga == SagaKind::Destroy,
        Request::Snapshot => open.saga == SagaKind::Snapshot,
        Request::Restore => open.saga == SagaKind::Restore,
        Request::Copy => open.saga == SagaKind::Copy,
        // To delete by name and to thin out by rule are not the same, whatever else was said.
        Request::Prune => {
            open.saga == SagaKind::Prune && ask.asked.delete == open.inputs.asked.delete
        }
    };
    kind && (ask.asked == Asked::default() || ask.asked == open.inputs.asked)
}

fn nothing(evidence: &Evidence) -> Accepted {
    Accepted { plan: view::nothing_to_do(evidence), recovery: None, preview: None }
}

fn accepted(stored: &Stored) -> Accepted {
    let header = &stored.header;
    Accepted { recovery: Some(header.name.clone()), ..as_planned(&header.plan, &header.evidence) }
}

fn as_planned(plan: &Plan, evidence: &Evidence) -> Accepted {
    Accepted { plan: view::plan(plan, evidence), recovery: None, preview: None }
}

fn same_plan(ask: &Ask, plan: &Plan) -> Result<(), Error> {
    match &ask.plan_digest {
        Some(wanted) if *wanted != plan.digest => {
            let message = format!(
                "the plan for {} is {} now, not {wanted}; nothing was begun",
                ask.name, plan.digest
            );
            Err(Error::new(Code::Conflict, "PLAN_CHANGED", message)
                .with("plan_digest", plan.digest.to_string())
                .next_step(NextStep::Plan.of(&ask.name.to_string())))
        }
        _ => Ok(()),
    }
}

pub(super) fn held(error: Error, name: &RecordName) -> Error {
    if error.reason() == "LEASE_HELD" {
        let holder = error.metadata("holder").unwrap_or_default();
        // Which orchestrator has it at work is nothing to its caller.
        let recovery = holder.split('@').next().unwrap_or_default().to_owned();
        return error.with("holder", recovery).next_step(NextStep::ListOpen.of(&name.to_string()));
    }
    error
}
