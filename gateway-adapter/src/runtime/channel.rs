//! A container's files as a workspace's channel, whatever state the container is in.
//!
//! Invariants: every operation looks first whether the container still is the incarnation's; a root that is no directory is
//! noted and never followed. The runtime serves one archive of a container at a time, so the operations of one channel wait
//! for each other, in the order in which they were begun. Times come in whole seconds where the runtime cuts them, but for
//! what is written while the channel is open; no inode or change time is known, so nothing read here is ever taken for unchanged. A hard link has the content of the file
//! that it is. Sockets are not in an archive at all.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bollard::Docker;
use bytes::Bytes;
use salvor_core::name::RecordName;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::archive::{Stat, Tree};
use super::tar::{self as stream, Fault};
use super::trouble::Kind;
use super::{Bears, Container, Runtime};
use crate::workspace::{Broken, Channel, Entry, Note, Reason};
use wanted::{Wanted, vanished};

mod inventory;
mod recent;
mod spool;
mod wanted;

/// The hard links of one root: each name with the first name of its file.
type Links = BTreeMap<PathBuf, PathBuf>;

/// See the module.
#[derive(Debug)]
pub(crate) struct RuntimeChannel {
    runtime: Arc<Runtime>,
    container: String,
    target: RecordName,
    live_id: String,
    /// As the last inventory of each root found them.
    links: Mutex<HashMap<PathBuf, Arc<Links>>>,
    /// What was written since then may be written again within the same second.
    recent: SystemTime,
    turn: tokio::sync::Mutex<()>,
}

// === impl RuntimeChannel ===

impl RuntimeChannel {
    /// The channel to the one container that bears this incarnation's labels; `None` when the runtime has none.
    ///
    /// # Errors
    /// The runtime could not be asked, or more than one container bears them.
    pub(crate) async fn find(
        runtime: &Arc<Runtime>,
        target: &RecordName,
        live_id: &str,
    ) -> Result<Option<Self>, Broken> {
        let mut found = runtime.find(live_id).await?;
        found.retain(|container| container.bears(target, live_id) == Bears::This);
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(Self {
                runtime: Arc::clone(runtime),
                container: one.id.clone(),
                target: target.clone(),
                live_id: live_id.to_owned(),
                links: Mutex::default(),
                recent: recent::begin(),
                turn: tokio::sync::Mutex::default(),
            })),
            many => {
                let text = format!("{} containers bear the sandbox id {live_id}", many.len());
                Err(runtime.trouble(Kind::Senseless, text).into())
            }
        }
    }

    /// The runtime's id of its container.
    pub(crate) fn container(&self) -> &str {
        &self.container
    }

    /// Whether nothing in the container can change: it has ended, never ran, or is paused.
    ///
    /// # Errors
    /// The runtime could not be asked, or the container is no longer the incarnation's.
    pub(crate) async fn is_still(&self) -> Result<bool, Broken> {
        let (_, container) = self.open().await?;
        Ok(container.is_still())
    }

    /// A client, after the container was found to be the one that is meant.
    pub(super) async fn open(&self) -> Result<(Docker, Container), Broken> {
        let container = self.runtime.container(&self.container).await?;
        if let Bears::Other(why) = container.bears(&self.target, &self.live_id) {
            let text = format!("container {} is no longer the sandbox's: {why}", self.container);
            return Err(self.runtime.trouble(Kind::Senseless, text).into());
        }
        Ok((self.runtime.connect().await?, container))
    }

    /// The tree of a root, or what is wrong with the root.
    pub(super) async fn tree(
        &self,
        docker: &Docker,
        root: &Path,
    ) -> Result<Result<Tree, Note>, Broken> {
        let missing = |detail: &str| Note {
            path: root.to_owned(),
            reason: Reason::RootMissing,
            detail: detail.to_owned(),
        };
        let text = self.text(root)?;
        Ok(match self.runtime.stat(docker, &self.container, text).await? {
            Stat::Directory => {
                let reader = self.runtime.archive(docker, &self.container, text);
                Ok(Tree::new(root.to_owned(), reader))
            }
            Stat::Missing => Err(missing("it does not exist")),
            Stat::Symlink => Err(missing("it is a symbolic link, which is not followed")),
            Stat::Other => Err(missing("it is no directory")),
        })
    }

    pub(super) fn text<'a>(&self, path: &'a Path) -> Result<&'a str, Broken> {
        path.to_str().ok_or_else(|| {
            let text = format!("{} is no UTF-8, which its API needs", path.display());
            self.runtime.trouble(Kind::Senseless, text).into()
        })
    }

    pub(super) fn fault(&self, fault: Fault) -> Broken {
        self.runtime.fault(fault)
    }

    pub(super) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The files of a root with their contents, or notes of why there are none.
    async fn wanted(
        &self,
        root: &Path,
        files: Vec<PathBuf>,
    ) -> Result<Result<Wanted<'_>, Vec<Note>>, Broken> {
        let (docker, _) = self.open().await?;
        let Some(links) = self.links(&docker, root).await? else {
            let note = self.tree(&docker, root).await?.err();
            return Ok(Err(files.into_iter().map(vanished).chain(note).collect()));
        };
        Ok(match self.tree(&docker, root).await? {
            Ok(tree) => Ok(Wanted::new(self, tree, files, &links)),
            Err(note) => Err(files.into_iter().map(vanished).chain([note]).collect()),
        })
    }

    /// The hard links of a root. If no inventory has found them yet, the root is looked through for them; `None` if it is no
    /// directory.
    async fn links(&self, docker: &Docker, root: &Path) -> Result<Option<Arc<Links>>, Broken> {
        let known = self.known_links().get(root).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let Ok(mut tree) = self.tree(docker, root).await? else { return Ok(None) };
        let mut links = Links::new();
        while let Some(item) = tree.next().await.map_err(|fault| self.fault(fault))? {
            links.extend(item.target.map(|target| (item.path, target)));
        }
        Ok(Some(self.learn(root, links)))
    }

    fn learn(&self, root: &Path, links: Links) -> Arc<Links> {
        let links = Arc::new(links);
        self.known_links().insert(root.to_owned(), Arc::clone(&links));
        links
    }

    fn known_links(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, Arc<Links>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Channel for RuntimeChannel {
    async fn inventory(
        &self,
        root: PathBuf,
        entries: mpsc::Sender<Entry>,
    ) -> Result<Vec<Note>, Broken> {
        let _turn = self.turn.lock().await;
        inventory::send(self, root, entries).await
    }

    async fn contents(
        &self,
        root: PathBuf,
        files: Vec<PathBuf>,
        tar: mpsc::Sender<Bytes>,
    ) -> Result<Vec<Note>, Broken> {
        let _turn = self.turn.lock().await;
        let mut wanted = match self.wanted(&root, files).await? {
            Ok(wanted) => wanted,
            Err(notes) => {
                // Nobody listening is the listener's affair.
                let _ = tar.send(stream::end_marker()).await;
                return Ok(notes);
            }
        };
        while let Some(mut found) = wanted.next().await? {
            let header = stream::file_header(&found.name(&root), found.size, &found.member);
            if tar.send(header).await.is_err() {
                return Ok(wanted.notes);
            }
            while let Some(piece) = wanted.piece(&mut found).await? {
                if tar.send(piece).await.is_err() {
                    return Ok(wanted.notes);
                }
            }
            let padding = stream::padding_of(found.size);
            if !padding.is_empty() && tar.send(padding).await.is_err() {
                return Ok(wanted.notes);
            }
        }
        let _ = tar.send(stream::end_marker()).await;
        Ok(wanted.notes)
    }

    async fn digests(
        &self,
        root: PathBuf,
        files: Vec<PathBuf>,
        found: mpsc::Sender<(PathBuf, [u8; 32])>,
    ) -> Result<Vec<Note>, Broken> {
        let _turn = self.turn.lock().await;
        let mut wanted = match self.wanted(&root, files).await? {
            Ok(wanted) => wanted,
            Err(notes) => return Ok(notes),
        };
        while let Some(mut file) = wanted.next().await? {
            let mut hash = Sha256::new();
            while let Some(piece) = wanted.piece(&mut file).await? {
                hash.update(&piece);
            }
            if found.send((file.path, hash.finalize().into())).await.is_err() {
                break;
            }
        }
        Ok(wanted.notes)
    }
}
