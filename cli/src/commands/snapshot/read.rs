//! `snapshot list`, `show`, `diff` and `cat`.

use salvor_core::name::RecordName;
use salvor_proto::gateway::v1::{
    DiffSnapshotsRequest, DiffSnapshotsResponse, GetSnapshotRequest, ListSnapshotsRequest,
    ListSnapshotsResponse, ReadSnapshotFileRequest, SandboxRef, Snapshot, snapshot::State,
};

use crate::args::{CatArgs, DiffArgs, Given, ListSnapshotsArgs};
use crate::client::{Adapter, Clients};
use crate::commands::page_size;
use crate::exit::{Exit, Failure};
use crate::next_step::NextStep;
use crate::output::{Output, to_json};
use crate::render::{self, snapshot::Listed, words};
use crate::resolve;

/// The adapter answers no more at once.
const PAGE: u32 = 1_000;
/// Incomplete snapshots whose first issue is asked for, each in a call of its own; of the rest the number is shown.
const EXPLAINED: usize = 20;

/// `salvor snapshot list`.
pub(super) async fn list(
    clients: &Clients,
    args: &ListSnapshotsArgs,
    output: &Output,
) -> Result<Exit, Failure> {
    let (gateway, sandbox) = if let Some(gateway) = &args.gateway {
        (resolve::gateway(gateway)?, None)
    } else {
        let name = args.target.name.as_deref();
        let record = resolve::record_or_default(clients, name).await?;
        (resolve::snapshot::owner_of(&record)?, Some(reference(&record)?))
    };
    let of_one = sandbox.is_some();
    let mut adapter = clients.adapter_of(&gateway).await?;
    let request = ListSnapshotsRequest {
        gateway: gateway.to_string(),
        sandbox,
        with_incomplete: args.all,
        ..ListSnapshotsRequest::default()
    };
    let mut all = pages(&mut adapter, request, args.limit).await?;
    if let Some(unknown) = &all.unknown {
        let reason = words::unknown(unknown.reason());
        let message = format!(
            "the snapshots of {gateway} could not be read, so nothing is said of them: {}",
            unknown.detail
        );
        return Err(Failure::new(Exit::Undetermined, reason, message)
            .next(NextStep::ProbeGateway.of(&gateway.to_string())));
    }
    if !output.is_json() {
        explain(&mut adapter, &mut all.snapshots).await;
    }
    let listed = Listed { with_sandbox: !of_one, with_issue: args.all, wide: args.wide };
    output.message(&all, |all, look| render::snapshot::list(&all.snapshots, listed, look))?;
    if all.foreign_count > 0 {
        let count = all.foreign_count;
        output.note(&format!("{count} more in the repository are not salvor's, or cannot be read"));
    }
    if !all.next_page_token.is_empty() {
        output.note(&format!("there are more than {}; see them with --limit", args.limit));
    }
    Ok(Exit::Done)
}

async fn pages(
    adapter: &mut Adapter,
    request: ListSnapshotsRequest,
    limit: u32,
) -> Result<ListSnapshotsResponse, Failure> {
    let mut all = ListSnapshotsResponse::default();
    while let Some(page_size) = page_size(limit, all.snapshots.len(), PAGE) {
        let page_token = std::mem::take(&mut all.next_page_token);
        let request = ListSnapshotsRequest { page_size, page_token, ..request.clone() };
        let page = adapter.list_snapshots(request).await?.into_inner();
        if page.unknown.is_some() {
            return Ok(page);
        }
        all.snapshots.extend(page.snapshots);
        all.foreign_count = page.foreign_count;
        all.next_page_token = page.next_page_token;
        if all.next_page_token.is_empty() {
            break;
        }
    }
    Ok(all)
}

/// Lists carry no issues; the newest incomplete ones are read whole. One that cannot be keeps its number of issues.
async fn explain(adapter: &mut Adapter, snapshots: &mut [Snapshot]) {
    let incomplete = snapshots.iter_mut().filter(|one| one.state() == State::Incomplete);
    for snapshot in incomplete.take(EXPLAINED) {
        let request = GetSnapshotRequest { name: snapshot.name.clone() };
        let whole = adapter.get_snapshot(request).await.ok();
        if let Some(whole) = whole.and_then(|answer| answer.into_inner().snapshot) {
            *snapshot = whole;
        }
    }
}

/// `salvor snapshot show`.
pub(super) async fn show(
    clients: &Clients,
    given: &Given,
    output: &Output,
) -> Result<Exit, Failure> {
    let (name, mut adapter) = exact(clients, given).await?;
    let answer = adapter.get_snapshot(GetSnapshotRequest { name }).await?.into_inner();
    let snapshot =
        answer.snapshot.ok_or_else(|| Failure::internal("the adapter answered no snapshot"))?;
    output.message(&snapshot, render::snapshot::whole)?;
    Ok(Exit::Done)
}

/// `salvor snapshot diff`.
pub(super) async fn diff(
    clients: &Clients,
    args: &DiffArgs,
    output: &Output,
) -> Result<Exit, Failure> {
    let owner = resolve::snapshot::owner(clients, &args.owner).await?;
    let (base, gateway) = resolve::snapshot::exact(&args.base, owner.as_ref())?;
    // Two repositories are not compared.
    let (other, _) = resolve::snapshot::exact(&args.other, Some(&gateway))?;
    let mut adapter = clients.adapter_of(&gateway).await?;
    let mut all = DiffSnapshotsResponse::default();
    while let Some(page_size) = page_size(args.limit, all.changes.len(), PAGE) {
        let request = DiffSnapshotsRequest {
            base: base.clone(),
            other: other.clone(),
            page_size,
            page_token: std::mem::take(&mut all.next_page_token),
        };
        let page = adapter.diff_snapshots(request).await?.into_inner();
        all.changes.extend(page.changes);
        all.next_page_token = page.next_page_token;
        if all.next_page_token.is_empty() {
            break;
        }
    }
    output.message(&all, |all, look| render::snapshot::diff(&all.changes, look))?;
    if !all.next_page_token.is_empty() {
        output.note(&format!("there are more than {}; see them with --limit", args.limit));
    }
    Ok(Exit::Done)
}

/// `salvor snapshot cat`.
pub(super) async fn cat(
    clients: &Clients,
    args: CatArgs,
    output: &Output,
) -> Result<Exit, Failure> {
    let (snapshot, mut adapter) = exact(clients, &args.given).await?;
    let request =
        ReadSnapshotFileRequest { snapshot, path: args.path, ..ReadSnapshotFileRequest::default() };
    let mut stream = adapter.read_snapshot_file(request).await?.into_inner();
    while let Some(piece) = stream.message().await? {
        if output.is_json() {
            output.json(&to_json(&piece)?);
        } else {
            output.bytes(&piece.content);
        }
        if output.is_closed() {
            break;
        }
    }
    Ok(Exit::Done)
}

/// The full name of what was typed, and a client of the adapter that keeps it.
pub(super) async fn exact(clients: &Clients, given: &Given) -> Result<(String, Adapter), Failure> {
    let owner = resolve::snapshot::owner(clients, &given.owner).await?;
    let (name, gateway) = resolve::snapshot::exact(&given.snapshot, owner.as_ref())?;
    Ok((name, clients.adapter_of(&gateway).await?))
}

fn reference(record: &str) -> Result<SandboxRef, Failure> {
    let name: RecordName = record
        .parse()
        .map_err(|_| Failure::internal(format!("{record:?} is not the full name of a record")))?;
    Ok(SandboxRef {
        gateway: name.owner().to_string(),
        workspace: name.workspace.to_string(),
        sandbox: name.sandbox.to_string(),
    })
}
