//! What a capture came to: read back, counted, and written as complete or not.

use std::sync::Arc;

use salvor_proto::gateway::v1 as pb;
use salvor_proto::gateway::v1::snapshot::State;
use salvor_proto::{Error, error::Code, time};
use salvor_runtime::Clock;

use super::{Taken, full_name};
use crate::next_step::NextStep;
use crate::operations::Handle;
use crate::store::{Step, Store};

/// Reads back what was taken and seals it.
///
/// # Errors
/// Nothing was read, so nothing is kept; or the repository failed, and what was read is kept as
/// incomplete.
pub(crate) async fn seal(
    taken: Taken,
    store: &Store,
    handle: &Handle,
    clock: &dyn Clock,
) -> Result<pb::Snapshot, Error> {
    let Taken { archived, mut manifest, left_out, mut issues, covered, read } = taken;
    let counts = archived.counts;
    if counts.files + counts.directories + counts.others == 0 {
        let first = issues.to_proto().into_iter().next().unwrap_or_default();
        let text = format!(
            "nothing could be read, so there is no snapshot. {}: {} ({})",
            first.path, first.detail, first.reason
        );
        return Err(Error::new(Code::Undetermined, "NOTHING_READ", text)
            .next_step(NextStep::CorrectRoots.of(&full_name(&manifest))));
    }
    handle.begin("reading back", counts.files, counts.bytes_read);
    let meter = handle.clone();
    let progress = Arc::new(move |step: Step| meter.at(step.entries, step.bytes));
    let (archived, differing) = store.read_back(archived, progress).await?;
    let matched = differing.is_empty();
    issues.extend(differing);
    issues.extend(archived.failed.iter().cloned());
    issues.uncounted(archived.failed_count.saturating_sub(archived.failed.len() as u64));
    let whole = manifest.rules.as_ref().map_or(0, |rules| rules.roots.len()) == covered.len();
    let complete = issues.is_empty() && matched && whole;
    manifest.state = if complete { State::Complete } else { State::Incomplete }.into();
    manifest.verify_time = matched.then(|| time::timestamp(clock.now_ms()));
    manifest.coverage = Some(pb::Coverage {
        files: counts.files,
        directories: counts.directories,
        others: counts.others,
        bytes: counts.bytes,
        bytes_read: read.bytes,
        files_unchanged: counts.files.saturating_sub(read.files),
        bytes_stored: counts.bytes_stored,
        covered_roots: covered,
        left_out: left_out.to_proto(),
        issues: issues.to_proto(),
        issue_count: issues.count(),
    });
    handle.stage("sealing");
    Ok(store.seal(archived, manifest).await?)
}
