//! One round after the other.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use salvor_proto::{Error, time};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::produce::{Copies, Produced, Round, Source, produce};
use super::survey::{Exempt, Survey, compare, survey};
use super::{Capture, Ending, Read, Taken, databases, unreadable};
use crate::store::{Archived, Draft, Parent};
use crate::workspace::notes::{Notes, shown};
use crate::workspace::tree::MAX_ENTRIES;
use crate::workspace::{Broken, Channel, Kind, Note, Reason, quiesce};

/// How often a workspace is read that changes meanwhile; each time only what changed.
const ROUNDS: usize = 3;
/// Entries between who gives them and the store.
const ITEMS: usize = 64;
/// Pieces of a stream on their way.
const PIECES: usize = 64;

/// What one round left.
struct Done {
    archived: Archived,
    produced: Produced,
    /// By root: what the channel noted, or why it was cut.
    streams: Vec<Result<Vec<Note>, Broken>>,
    copied: Result<Vec<Note>, Broken>,
}

impl<C: Channel> Capture<C> {
    pub(super) async fn rounds(&mut self, ending: &mut Ending) -> Result<Taken, Error> {
        let mut parent = self.first_parent().await;
        let mut listed = self.list().await.map_err(|broken| unreadable(broken, &self.sandbox()))?;
        let mut suspects = HashSet::new();
        let mut read = Read::default();
        for left in (0..ROUNDS).rev() {
            let (mut taken, changed) =
                self.round(listed, parent.take(), &suspects, ending, &mut read).await?;
            // Too many to tell apart what is good and what is not: another round would read
            // everything again, and find the same.
            if left == 0 || !changed || !taken.issues.is_whole() || !taken.archived_well() {
                return Ok(taken);
            }
            suspects = taken.issues.iter().map(|note| note.path.clone()).collect();
            suspects.extend(taken.archived.failed.iter().map(|note| note.path.clone()));
            self.handle.stage("reading back");
            let (archived, differing) =
                self.store.read_back(taken.archived, Arc::new(|_| ())).await?;
            suspects.extend(differing.iter().map(|note| note.path.clone()));
            let again = match (self.still)().await {
                Ok(()) => self.list().await.ok(),
                Err(_) => None,
            };
            // What was read till then is kept.
            let Some(again) = again else {
                taken.issues.extend(differing);
                return Ok(Taken { archived, ..taken });
            };
            listed = again;
            parent = Some(self.store.again(archived).await?);
        }
        Err(Error::internal("a capture had no rounds"))
    }

    async fn list(&mut self) -> Result<Survey, Broken> {
        self.handle.begin("listing", 0, 0);
        self.manifest.begin_time = Some(time::timestamp(self.clock.now_ms()));
        let nonce = self.manifest.nonce.as_ref().map(|_| quiesce::nonce_path(&self.rules.first));
        survey(&self.channel, &self.rules, nonce.as_deref(), MAX_ENTRIES).await
    }

    /// A parent that cannot be used costs time and nothing else.
    async fn first_parent(&mut self) -> Option<Parent> {
        let id = self.parent.take()?;
        match self.store.parent(&id).await {
            Ok(parent) => Some(parent),
            Err(error) => {
                tracing::warn!(%error, "the last snapshot cannot be compared with");
                self.manifest.parent.clear();
                None
            }
        }
    }

    /// Reads what was listed. Whether another round may find something else.
    async fn round(
        &mut self,
        mut listed: Survey,
        parent: Option<Parent>,
        suspects: &HashSet<PathBuf>,
        ending: &mut Ending,
        read: &mut Read,
    ) -> Result<(Taken, bool), Error> {
        let mut left_out = std::mem::take(&mut listed.left_out);
        let mut issues = std::mem::take(&mut listed.issues);
        let listed = Arc::new(listed);
        let (mut sources, parent) = plan(Arc::clone(&listed), parent, suspects.clone()).await?;
        let (mut copies, mut exempt) = (Copies::default(), Exempt::default());
        if let Some(exec) = &self.exec {
            self.handle.stage("copying databases");
            let begun = &mut ending.begun;
            (copies, exempt) =
                databases::copy(exec, &listed, &mut sources, begun, &mut left_out).await;
        }
        let (entries, bytes) = listed.totals();
        self.handle.begin("reading", entries, bytes);
        let done = self.read(&listed, sources, (copies, parent), &ending.archiving).await?;
        self.handle.stage("comparing");
        let differences = compare(&self.channel, &self.rules, &listed, &exempt).await.notes;
        let counts = done.archived.counts;
        read.files += done.produced.files_read;
        read.bytes += counts.bytes_read;
        let cut = done.streams.iter().chain([&done.copied]).any(Result::is_err);
        let changed = cut || !differences.is_empty();
        let mut covered = Vec::new();
        let streams = done.streams.into_iter().zip(done.produced.missing);
        for (root, (stream, missing)) in listed.roots.iter().zip(streams) {
            let unread = ascribe(&root.path, stream, missing, &mut issues);
            if root.whole && !unread {
                covered.push(shown(&root.path));
            }
        }
        for stray in done.produced.strays {
            issues.note(
                &stray,
                Reason::LeavesRoot,
                "the sandbox's tar sent it from outside its root",
            );
        }
        issues.append(differences);
        if let Err(broken) = done.copied {
            let detail = broken.unknown.detail;
            issues.note(&self.rules.first, Reason::StreamCut, detail);
        }
        let manifest = self.manifest.clone();
        let (archived, read) = (done.archived, *read);
        Ok((Taken { archived, manifest, left_out, issues, covered, read }, changed))
    }

    /// Reads all of a round. The store, the thread that gives to it and the streams that it is fed
    /// from end together, whichever of them ends first.
    #[expect(
        clippy::too_many_lines,
        reason = "three tasks and what ends each of them, in one place"
    )]
    async fn read(
        &self,
        listed: &Arc<Survey>,
        sources: Vec<Vec<Source>>,
        (copies, parent): (Copies, Option<Parent>),
        archiving: &TaskTracker,
    ) -> Result<Done, Error> {
        let (items, taken) = sync_channel(ITEMS);
        let (to_copies, from_copies) = mpsc::channel(PIECES);
        let (to, from): (Vec<_>, Vec<_>) =
            listed.roots.iter().map(|_| mpsc::channel(PIECES)).unzip();
        let wanted = |which: Source| {
            let of_root = move |(root, sources): (&super::survey::Root, &Vec<Source>)| {
                let entries = root.entries.iter().zip(sources);
                let wanted = entries.filter(|(_, source)| **source == which);
                wanted.map(|(entry, _)| entry.path.clone()).collect::<Vec<PathBuf>>()
            };
            listed.roots.iter().zip(&sources).map(of_root).collect::<Vec<_>>()
        };
        let files = wanted(Source::Stream);
        let originals = wanted(Source::Copy).into_iter().flatten();
        let of_copies: Vec<PathBuf> = originals
            .filter_map(|path| copies.files.get(&path).map(|copy| copy.path.clone()))
            .collect();
        let directory = copies.directory.clone();
        let copying = async {
            match &self.exec {
                Some(exec) if !of_copies.is_empty() => {
                    exec.contents(directory, of_copies, to_copies).await
                }
                _ => {
                    drop(to_copies);
                    Ok(Vec::new())
                }
            }
        };
        let streaming = async {
            let mut streams = Vec::with_capacity(files.len());
            for ((root, files), to) in listed.roots.iter().zip(files).zip(to) {
                streams.push(if files.is_empty() {
                    drop(to);
                    Ok(Vec::new())
                } else {
                    self.channel.contents(root.path.clone(), files, to).await
                });
            }
            streams
        };
        let round = Round {
            survey: Arc::clone(listed),
            sources,
            copies,
            streams: from,
            copied: from_copies,
            items,
            handle: self.handle.clone(),
        };
        let producing = spawn_blocking(move || produce(round));
        let draft = Draft { manifest: self.manifest.clone() };
        let store = self.store.clone();
        let archiving = archiving.spawn(
            async move { store.archive(draft, parent, taken, Arc::new(|_| ())).await }
                .in_current_span(),
        );
        let (archived, produced, streams, read_copies) =
            tokio::join!(archiving, producing, streaming, copying);
        let archived = archived.map_err(|_| Error::internal("storing a workspace failed"))?;
        let produced = produced.map_err(|_| Error::internal("reading a workspace failed"))?;
        Ok(Done { archived: archived?, produced, streams, copied: read_copies })
    }
}

/// Decides where each entry's content comes from. Blocks, since it looks into the parent.
async fn plan(
    listed: Arc<Survey>,
    parent: Option<Parent>,
    suspects: HashSet<PathBuf>,
) -> Result<(Vec<Vec<Source>>, Option<Parent>), Error> {
    let planned = spawn_blocking(move || {
        let mut parent = parent;
        let mut sources = Vec::with_capacity(listed.roots.len());
        for root in &listed.roots {
            let source = |entry: &crate::workspace::Entry| match entry.kind {
                Kind::File if root.unreadable.contains(&entry.path) => Source::Nowhere,
                Kind::File if suspects.contains(&entry.path) => Source::Stream,
                Kind::File => {
                    let unchanged = parent.as_mut().is_some_and(|parent| parent.unchanged(entry));
                    if unchanged { Source::Parent } else { Source::Stream }
                }
                _ => Source::Nothing,
            };
            sources.push(root.entries.iter().map(source).collect());
        }
        (sources, parent)
    });
    planned.await.map_err(|_| Error::internal("comparing with the last snapshot failed"))
}

/// What a root's stream left unread. Whether it left anything.
fn ascribe(
    root: &std::path::Path,
    stream: Result<Vec<Note>, Broken>,
    missing: Vec<PathBuf>,
    issues: &mut Notes,
) -> bool {
    match stream {
        Err(broken) => {
            let (files, why) = (missing.len(), broken.unknown.detail);
            let detail = format!("{files} files were not read: {why}");
            issues.note(root, Reason::StreamCut, detail);
            true
        }
        Ok(notes) => {
            let refused = notes.iter().any(|note| note.reason == Reason::Unreadable);
            let unread = refused || !missing.is_empty();
            issues.extend(notes);
            for path in missing {
                issues.note(&path, Reason::Unreadable, "the channel did not send it as a file");
            }
            unread
        }
    }
}

// === impl Taken ===

impl Taken {
    /// Whether every file that was not read well is known.
    fn archived_well(&self) -> bool {
        self.archived.failed_count == self.archived.failed.len() as u64
    }
}
