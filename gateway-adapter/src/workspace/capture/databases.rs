//! Which databases are copied, and what becomes of their logs.

use std::collections::HashSet;
use std::path::PathBuf;

use super::produce::{Copied, Copies, Source};
use super::survey::{Exempt, Survey};
use crate::workspace::notes::Notes;
use crate::workspace::{ExecChannel, Reason, quiesce, sqlite};

/// Copies the databases that would be read, and those with a log. A database that cannot be copied
/// stays with its source, and any change under it is noticed.
pub(super) async fn copy(
    exec: &ExecChannel,
    survey: &Survey,
    sources: &mut [Vec<Source>],
    begun: &mut quiesce::Begun,
    left_out: &mut Notes,
) -> (Copies, Exempt) {
    let wanted: Vec<Vec<PathBuf>> = survey
        .roots
        .iter()
        .zip(sources.iter())
        .map(|(root, sources)| {
            let beside = |path: &std::path::Path| root.position(path).is_some();
            let entries = root.entries.iter().zip(sources);
            entries
                .filter(|(entry, source)| match source {
                    Source::Stream => sqlite::may_be_database(entry, beside),
                    Source::Parent => {
                        sqlite::may_be_database(entry, beside)
                            && beside(&sqlite::beside(&entry.path)[0])
                    }
                    _ => false,
                })
                .map(|(entry, _)| entry.path.clone())
                .collect()
        })
        .collect();
    let (mut copies, mut exempt) = (Copies::default(), Exempt::default());
    if wanted.iter().all(Vec::is_empty) {
        return (copies, exempt);
    }
    let directory = match sqlite::make_directory(exec).await {
        Ok(directory) => directory,
        Err(broken) => {
            tracing::warn!(detail = broken.unknown.detail, "databases are read as files");
            return (copies, exempt);
        }
    };
    begun.copies.push(directory.clone());
    exempt.directory = Some(directory.clone());
    copies.directory.clone_from(&directory);
    for (index, (root, names)) in survey.roots.iter().zip(&wanted).enumerate() {
        if names.is_empty() {
            continue;
        }
        match sqlite::copy(exec, &directory, (index, &root.path), names).await {
            Ok(made) => copies.files.extend(
                made.into_iter().map(|(original, path, size)| (original, Copied { path, size })),
            ),
            Err(broken) => {
                tracing::warn!(detail = broken.unknown.detail, "databases are read as files");
            }
        }
    }
    apply(survey, sources, &copies, &mut exempt, left_out);
    (copies, exempt)
}

/// A copied database comes from its copy, and what is beside it is in the copy already.
fn apply(
    survey: &Survey,
    sources: &mut [Vec<Source>],
    copies: &Copies,
    exempt: &mut Exempt,
    left_out: &mut Notes,
) {
    let logs: HashSet<PathBuf> =
        copies.files.keys().flat_map(|database| sqlite::beside(database)).collect();
    for (root, sources) in survey.roots.iter().zip(sources) {
        for (entry, source) in root.entries.iter().zip(sources) {
            if copies.files.contains_key(&entry.path) {
                *source = Source::Copy;
            } else if logs.contains(&entry.path) {
                *source = Source::Nowhere;
                let detail = "part of a database that was copied by SQLite, with all of its log";
                left_out.note(&entry.path, Reason::Excluded, detail);
            }
        }
    }
    exempt.paths.extend(copies.files.keys().cloned());
    exempt.paths.extend(logs);
}
