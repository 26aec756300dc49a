//! What a recovery found out about a record's snapshots, written into the record: compare-and-swap under the lease.

use salvor_core::saga::capture::{NotSaved, Saved};
use salvor_proto::{Error, registry::v1 as pb, time::timestamp};

use super::record::note_complete;
use crate::runner::Run;

/// What the registry takes of a sentence, in bytes.
const MAX_SAID: usize = 4 << 10;

/// What came of the last try to take a snapshot.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tried<'a> {
    /// It is complete.
    Saved(&'a Saved),
    /// It is not.
    NotSaved(&'a NotSaved),
}

/// Writes what came of a try, if there was one, and of a drill, if there was one.
pub(super) async fn note(
    run: &Run,
    tried: Option<Tried<'_>>,
    drill: Option<pb::DrillResult>,
) -> Result<(), Error> {
    let mut record = run.world.registry.sandbox(run.target()).await?;
    let tried = tried.filter(|_| counts(run, &record));
    if tried.is_none() && drill.is_none() {
        return Ok(());
    }
    let now = timestamp(run.world.now().0);
    if let Some(Tried::Saved(saved)) = tried
        && let Some(live) = &run.header.plan.inputs.live_id
    {
        note_complete(&mut record, saved, live);
    }
    let status = record.snapshot_status.get_or_insert_default();
    if let Some(tried) = tried {
        status.last_attempt_time = Some(now);
        status.last_attempt_problem = match tried {
            Tried::Saved(_) => String::new(),
            Tried::NotSaved(why) => said(&why.to_string()),
        };
    }
    if let Some(drill) = drill {
        status.last_drill = Some(pb::DrillResult { message: said(&drill.message), ..drill });
    }
    run.world.registry.update(record, &["snapshot_status"], Some(run.fence())).await.map(|_| ())
}

/// Whether it was a try at what the record declares, of the incarnation that the record speaks of.
fn counts(run: &Run, record: &pb::Sandbox) -> bool {
    let inputs = &run.header.plan.inputs;
    let same = inputs.live_id.as_ref().is_some_and(|live| live.as_str() == record.live_id);
    same && inputs.snapshot_roots.iter().all(|root| inputs.roots.contains(root))
}

/// As much of a sentence as the registry takes.
fn said(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_SAID)].to_owned()
}
