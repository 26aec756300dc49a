//! What is asked of the repository itself.
//!
//! Invariants: a snapshot is named exactly, and answers only to the gateway in its name; what a permit allows is compared with
//! whose snapshot it is, not with what the request says.

mod page;

use std::sync::Arc;

use salvor_core::name::RecordName;
use salvor_proto::Error;
use salvor_proto::error::Code;
use salvor_proto::gateway::v1::operation::{Kind, Result as Outcome};
use salvor_proto::gateway::v1::{
    DeleteSnapshotRequest, DeleteSnapshotResponse, DiffSnapshotsRequest, DiffSnapshotsResponse,
    GetSnapshotRequest, GetSnapshotResponse, ListSnapshotsRequest, ListSnapshotsResponse,
    PruneSnapshotsRequest, PruneSnapshotsResponse, Snapshot, Unknown, UnknownReason,
    VerifySnapshotRequest, VerifySnapshotResponse, snapshot,
};
use salvor_proto::registry::v1::Retention;

use super::{Service, parse};
use crate::next_step::NextStep;
use crate::operations::{Handle, cancelled};
use crate::permit::{Permit, Verb, reference, uuid};
use crate::store::{OnProgress, Prune, SnapshotName, Step, Store, StoreError};
use page::Position;

/// Names that a prune is told to keep; far more than there are open recoveries of one sandbox.
const MAX_IN_USE: usize = 1000;
/// No snapshot is kept by a rule beyond this.
const MAX_KEPT: i32 = 10_000;

impl Service {
    pub(super) fn verify_snapshot_inner(
        &self,
        request: VerifySnapshotRequest,
    ) -> Result<VerifySnapshotResponse, Error> {
        let name = SnapshotName::parse("snapshot", &request.snapshot)?;
        let request_id = uuid("request_id", &request.request_id)?;
        let store = self.store()?.clone();
        let subject = request.snapshot;
        let about = subject.clone();
        let work = move |handle: Handle| async move {
            let verified = async {
                let snapshot = found(&store, &name).await?;
                let covered = snapshot.coverage.unwrap_or_default();
                let entries = covered.files + covered.directories + covered.others;
                handle.begin("reading back", entries, covered.bytes);
                store.verify(&name.id, progress(&handle)).await
            };
            tokio::select! {
                biased;
                () = handle.cancelled() => Err(cancelled(&about)),
                verified = verified => match verified {
                    Ok(report) => Ok(Outcome::Verification(report)),
                    Err(error) => Err(error.failure()),
                },
            }
        };
        let operation = self.operations.start(Kind::Verify, &subject, &request_id, work)?;
        Ok(VerifySnapshotResponse { operation: Some(operation) })
    }

    pub(super) async fn list_snapshots_inner(
        &self,
        request: ListSnapshotsRequest,
    ) -> Result<ListSnapshotsResponse, Error> {
        let gateway = parse::gateway("gateway", &request.gateway)?.to_string();
        let sandbox = match &request.sandbox {
            Some(sandbox) if sandbox.gateway != gateway => {
                return Err(Error::invalid("sandbox.gateway", "must be the gateway"));
            }
            Some(sandbox) => Some(reference("sandbox", Some(sandbox)).map(|_| sandbox.clone())?),
            None => None,
        };
        let size = page::size(request.page_size)?;
        let after = Position::read(&request.page_token)?;
        let Some(store) = &self.store else { return Ok(unread(no_store())) };
        let listing = match store.list().await {
            Ok(listing) => listing,
            Err(error) => return Ok(unread(error.unknown())),
        };
        let asked = |snapshot: &Snapshot| {
            let of = snapshot.identity.as_ref().and_then(|identity| identity.sandbox.as_ref());
            let complete = snapshot.state() == snapshot::State::Complete;
            let answers =
                request.request_id.is_empty() || snapshot.request_id == request.request_id;
            let shown = complete || request.with_incomplete || !request.request_id.is_empty();
            of.is_some_and(|of| of.gateway == gateway)
                && sandbox.as_ref().is_none_or(|sandbox| of == Some(sandbox))
                && answers
                && shown
                && after.as_ref().is_none_or(|after| after.is_before(snapshot))
        };
        let mut snapshots: Vec<_> = listing.snapshots.into_iter().filter(asked).collect();
        let more = snapshots.len() > size;
        snapshots.truncate(size);
        let last = snapshots.last().filter(|_| more);
        let next_page_token = last.map(|last| Position::of(last).write()).unwrap_or_default();
        let asked_for = |snapshot: &Snapshot| {
            let of = snapshot.identity.as_ref().and_then(|identity| identity.sandbox.as_ref());
            of.is_some_and(|of| of.gateway == gateway)
                && sandbox.as_ref().is_none_or(|sandbox| of == Some(sandbox))
        };
        let foreign_count = listing.foreign;
        let unreadable = listing.unreadable.into_iter().filter(asked_for).collect();
        Ok(ListSnapshotsResponse {
            snapshots,
            next_page_token,
            unknown: None,
            foreign_count,
            unreadable,
        })
    }

    pub(super) async fn get_snapshot_inner(
        &self,
        request: GetSnapshotRequest,
    ) -> Result<GetSnapshotResponse, Error> {
        let name = SnapshotName::parse("name", &request.name)?;
        let snapshot = found(self.store()?, &name).await?;
        Ok(GetSnapshotResponse { snapshot: Some(snapshot) })
    }

    pub(super) async fn delete_snapshot_inner(
        &self,
        request: DeleteSnapshotRequest,
    ) -> Result<DeleteSnapshotResponse, Error> {
        let name = SnapshotName::parse("name", &request.name)?;
        let store = self.store()?;
        let snapshot = found(store, &name).await?;
        let target = owner(&snapshot)?;
        let permit = Permit::check(request.permit, &target, Verb::DeleteSnapshot)?;
        if !request.allow_last && is_last(store, &snapshot).await? {
            return Err(last(&target, &name));
        }
        permit.clear(&self.authority).await?.still_allowed()?;
        store.delete(&name.id).await?;
        Ok(DeleteSnapshotResponse {})
    }

    pub(super) async fn diff_snapshots_inner(
        &self,
        request: DiffSnapshotsRequest,
    ) -> Result<DiffSnapshotsResponse, Error> {
        let base = SnapshotName::parse("base", &request.base)?;
        let other = SnapshotName::parse("other", &request.other)?;
        let size = page::size(request.page_size)?;
        let after = page::path(&base, &other, &request.page_token)?;
        let store = self.store()?;
        for name in [&base, &other] {
            found(store, name).await?;
        }
        let page = store.diff(&base.id, &other.id, after, size).await?;
        let next = page.next.map(|next| page::token(&base, &other, &next));
        let next_page_token = next.unwrap_or_default();
        Ok(DiffSnapshotsResponse { changes: page.changes, next_page_token })
    }

    pub(super) async fn prune_snapshots_inner(
        &self,
        request: PruneSnapshotsRequest,
    ) -> Result<PruneSnapshotsResponse, Error> {
        let target = parse::target(request.sandbox.as_ref())?;
        // What only looks needs no leave.
        let permit = match (request.validate_only, request.permit) {
            (true, None) => None,
            (_, permit) => Some(Permit::check(permit, &target, Verb::DeleteSnapshot)?),
        };
        let request_id = uuid("request_id", &request.request_id)?;
        let rules = retention(request.retention)?;
        in_use(&request.in_use)?;
        let store = self.store()?.clone();
        if let Some(permit) = permit {
            permit.clear(&self.authority).await?.still_allowed()?;
        }
        let prune = Prune {
            sandbox: request.sandbox.unwrap_or_default(),
            rules,
            in_use: request.in_use,
            roots: request.roots,
            validate_only: request.validate_only,
            now: self.clock.now_ms(),
        };
        let reclaims = request.reclaim_space && !request.validate_only;
        let subject = target.to_string();
        let work = move |handle: Handle| async move {
            // What is begun is brought to its end: a prune broken off leaves more to do, and nothing to gain.
            match pruned(&store, prune, reclaims, &handle).await {
                Ok(report) => Ok(Outcome::Prune(report)),
                Err(error) => Err(error.failure()),
            }
        };
        let operation = self.operations.start(Kind::Prune, &subject, &request_id, work)?;
        Ok(PruneSnapshotsResponse { operation: Some(operation) })
    }
}

async fn pruned(
    store: &Store,
    prune: Prune,
    reclaims: bool,
    handle: &Handle,
) -> Result<salvor_proto::gateway::v1::PruneReport, StoreError> {
    handle.stage("deleting snapshots");
    let mut report = store.prune(prune).await?;
    if reclaims && !handle.is_cancelled() {
        handle.stage("reclaiming space");
        report.bytes_freed = store.reclaim().await?;
    }
    Ok(report)
}

/// A snapshot of the gateway that its name says.
pub(super) async fn found(store: &Store, name: &SnapshotName) -> Result<Snapshot, StoreError> {
    let snapshot = store.get(&name.id).await?;
    if snapshot.name == name.to_string() {
        Ok(snapshot)
    } else {
        Err(StoreError::NotFound(name.id.clone()))
    }
}

/// How far the store is, on an operation's meter.
pub(super) fn progress(handle: &Handle) -> OnProgress {
    let handle = handle.clone();
    Arc::new(move |step: Step| handle.at(step.entries, step.bytes))
}

fn owner(snapshot: &Snapshot) -> Result<RecordName, Error> {
    let identity = snapshot.identity.as_ref();
    reference("snapshot.identity.sandbox", identity.and_then(|of| of.sandbox.as_ref()))
}

async fn is_last(store: &Store, snapshot: &Snapshot) -> Result<bool, StoreError> {
    let of = |snapshot: &Snapshot| snapshot.identity.clone().unwrap_or_default().sandbox;
    let listing = store.list().await?;
    let mut complete = listing
        .snapshots
        .iter()
        .filter(|other| other.state() == snapshot::State::Complete && of(other) == of(snapshot));
    Ok(complete.next().is_some_and(|newest| newest.name == snapshot.name))
}

fn last(target: &RecordName, name: &SnapshotName) -> Error {
    let text = format!(
        "{name} is the newest complete snapshot of {target}: without it the workspace cannot be \
         brought back as it last was. Nothing was deleted"
    );
    Error::new(Code::Refused, "LAST_SNAPSHOT", text)
        .next_step(NextStep::TakeAnother.of(&target.to_string()))
}

fn retention(rules: Option<Retention>) -> Result<Retention, Error> {
    let rules = rules.unwrap_or_default();
    for (field, keep) in [
        ("retention.keep_last", rules.keep_last),
        ("retention.keep_hourly", rules.keep_hourly),
        ("retention.keep_daily", rules.keep_daily),
        ("retention.keep_weekly", rules.keep_weekly),
    ] {
        if !(0..=MAX_KEPT).contains(&keep) {
            return Err(Error::invalid(field, format!("must be 0 to {MAX_KEPT}")));
        }
    }
    if rules == Retention::default() {
        return Err(Error::invalid("retention", "must keep something"));
    }
    Ok(rules)
}

/// A name that is misspelt would keep nothing.
fn in_use(names: &[String]) -> Result<(), Error> {
    if names.len() > MAX_IN_USE {
        return Err(Error::invalid("in_use", format!("must be at most {MAX_IN_USE}")));
    }
    for (index, name) in names.iter().enumerate() {
        SnapshotName::parse(&format!("in_use[{index}]"), name)?;
    }
    Ok(())
}

fn no_store() -> Unknown {
    Unknown {
        reason: UnknownReason::NotRegistered.into(),
        detail: "this adapter was given no snapshot repository".to_owned(),
    }
}

fn unread(unknown: Unknown) -> ListSnapshotsResponse {
    ListSnapshotsResponse { unknown: Some(unknown), ..ListSnapshotsResponse::default() }
}

#[cfg(test)]
mod tests;
