//! Reading all of a snapshot.
//!
//! Invariant: every path that cannot be read as it was written is counted; "intact" is said only when each piece of each file
//! was read, decrypted and compared with its hash, and each pack that they are in still says what is in it.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustic_core::repofile::{BlobType, Node};
use rustic_core::{BlobId, DataId, Id, PackedId};
use salvor_proto::gateway::v1 as pb;

use super::content::Content;
use super::feed::covered;
use super::ledger::MAX_NOTES;
use super::parallel::{self, Wanted};
use super::repository::{Indexed, Opened};
use super::snapshots::Found;
use super::{OnProgress, Step, packs, tree, walk};
use crate::workspace::Reason;

/// What is known of a piece: why it cannot be read, if it cannot.
type Seen = Mutex<HashMap<DataId, Option<String>>>;
/// The packs that pieces are in.
type Packs = Mutex<BTreeSet<Id>>;

/// See the module. `index` was read just now.
pub(super) fn verify(
    (opened, index): (&Opened, &Arc<Indexed>),
    found: &Found,
    progress: &OnProgress,
    wanted: &Wanted,
) -> pb::VerifyReport {
    let report = Mutex::new(pb::VerifyReport::default());
    let problem = |path: &Path, detail: String| {
        let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
        report.problem_count += 1;
        if report.problems.len() < MAX_NOTES {
            let reason = Reason::ReadBackDiffers.as_str().to_owned();
            report.problems.push(pb::PathNote { path: walk::shown(path), reason, detail });
        }
    };
    let (seen, packs) = (Seen::default(), Packs::default());
    note(index, &found.file.tree, &packs);
    let roots = walk::roots(&found.manifest);
    let walk = tree::Walk::new(Arc::clone(index), found.file.tree, |_, _| true);
    let weight = |item: &tree::Found| item.node.as_ref().map_or(0, |node| node.meta.size);
    parallel::each(walk, wanted, weight, |item| {
        let bytes = match &item.node {
            Ok(node) => {
                node.subtree.iter().for_each(|directory| note(index, directory, &packs));
                file(index, node, (&seen, &packs)).unwrap_or_else(|why| {
                    problem(&item.path, why);
                    0
                })
            }
            Err(error) => {
                problem(&item.path, error.to_string());
                0
            }
        };
        let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
        // What leads to a root is not of the snapshot.
        report.files += u64::from(covered(&roots, &item.path));
        report.bytes += bytes;
        let step = Step { entries: report.files, bytes: report.bytes };
        drop(report);
        progress(step);
    });
    let packs = packs.into_inner().unwrap_or_else(PoisonError::into_inner);
    parallel::each(
        packs.into_iter(),
        wanted,
        |_| u64::MAX,
        |pack| {
            if let Err(error) = packs::check_list(opened, index, &pack) {
                problem(Path::new("/"), error.to_string());
            }
        },
    );
    let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
    let expected = found.manifest.coverage.as_ref().map_or(0, entries);
    // An intact tree that lacks what the manifest counts is not the snapshot's.
    if report.problem_count == 0 && report.files < expected {
        let detail = format!("{expected} entries were captured, and {} are there", report.files);
        let reason = Reason::Vanished.as_str().to_owned();
        report.problems.push(pb::PathNote { path: "/".to_owned(), reason, detail });
        report.problem_count = 1;
    }
    report.intact = report.problem_count == 0;
    report
}

fn entries(coverage: &pb::Coverage) -> u64 {
    coverage.files + coverage.directories + coverage.others
}

/// Remembers the pack that a piece is in. Of a piece that is in none its reader will say so.
fn note(index: &Indexed, piece: &impl PackedId, packs: &Packs) {
    if let Ok(entry) = index.get_index_entry(piece) {
        packs.lock().unwrap_or_else(PoisonError::into_inner).insert(*entry.pack);
    }
}

fn file(index: &Arc<Indexed>, node: &Node, (seen, packs): (&Seen, &Packs)) -> Result<u64, String> {
    if !node.is_file() {
        return Ok(0);
    }
    let pieces = node.content.clone().ok_or_else(|| "it has no content".to_owned())?;
    let content = Content::new(Arc::clone(index), pieces, node.meta.size);
    for piece in content.pieces() {
        let known = seen.lock().unwrap_or_else(PoisonError::into_inner).get(piece).cloned();
        let why = known.unwrap_or_else(|| {
            note(index, piece, packs);
            let read = tree::blob(index, &BlobId::from(*piece), BlobType::Data);
            let why = read.err().map(|error| error.to_string());
            seen.lock().unwrap_or_else(PoisonError::into_inner).insert(*piece, why.clone());
            why
        });
        if let Some(why) = why {
            return Err(why);
        }
    }
    Ok(node.meta.size)
}
