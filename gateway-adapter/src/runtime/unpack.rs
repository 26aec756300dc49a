//! Writing a tar stream into a container's root, whatever state the container is in.
//!
//! Invariants: the stream passes through entry by entry, and what would be written through a symbolic link, one that is there
//! or one that the stream itself brings, is left out and noted; so is what is no file, directory, link or pipe. The
//! runtime replaces existing entries and keeps owner, mode and times.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bollard::query_parameters::UploadToContainerOptionsBuilder;
use bollard::{Docker, body_full, body_try_stream};
use bytes::{Bytes, BytesMut};
use tar::EntryType;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::archive::Stat;
use super::channel::RuntimeChannel;
use super::links::Links;
use super::tar::{self as stream, Member};
use super::trouble::{Kind, Trouble};
use crate::workspace::{Broken, Note, Reason};
use filter::{Filter, Stop};

mod filter;

/// Pieces between the filter and the runtime.
const QUEUED: usize = 4;
/// More symbolic links than this are not held.
const MAX_LINKS: usize = 1_000_000;
/// The client bounds a whole upload; here each of its pieces is bounded instead.
const NO_BOUND: Duration = Duration::from_secs(u64::MAX / 4);

/// See [`crate::workspace::Channel::unpack`].
pub(super) async fn unpack(
    channel: &RuntimeChannel,
    root: PathBuf,
    size: u64,
    incoming: mpsc::Receiver<Bytes>,
) -> Result<Vec<Note>, Broken> {
    let (docker, _) = channel.open().await?;
    let at = text(channel, &root)?;
    let links = match channel.runtime().stat(&docker, channel.container(), at).await? {
        Stat::Directory => live_links(channel, &docker, &root).await?,
        Stat::Missing => {
            make(channel, &docker, &root).await?;
            Links::default()
        }
        Stat::Symlink | Stat::Other => {
            let text = format!("{at} is no directory; nothing was written");
            return Err(trouble(channel, Kind::Refused, &text).into());
        }
    };
    let (out, pieces) = mpsc::channel(QUEUED);
    let patience = channel.runtime().bounds().piece;
    let mut filter = Filter { root: &root, links, notes: Vec::new(), own: None, patience, out };
    let over = CancellationToken::new();
    let feed = async {
        let passed = filter.pass(incoming, size).await;
        if passed.is_err() {
            // A body that ends in an error is never taken for a whole one.
            let _ = filter.out.try_send(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        let Filter { notes, own, out, .. } = filter;
        drop(out);
        over.cancel();
        passed.map(|()| (notes, own))
    };
    let late = async {
        over.cancelled().await;
        sleep(patience).await;
    };
    let body = body_try_stream(ReceiverStream::new(pieces));
    let upload = async {
        let options = UploadToContainerOptionsBuilder::new().path(at).build();
        let docker = docker.clone().with_timeout(NO_BOUND);
        tokio::select! {
            answer = docker.upload_to_container(channel.container(), Some(options), body) => {
                let socket = channel.runtime().socket();
                answer.map_err(|error| Trouble::classify(socket, "write the archive", error))
            }
            () = late => Err(trouble(channel, Kind::Silent, "the end of the archive was not acknowledged")),
        }
    };
    let (passed, answer) = tokio::join!(feed, upload);
    let (mut notes, own) = passed_on(channel, passed, &answer)?;
    answer?;
    if let Some(own) = own {
        notes.extend(dress(channel, &docker, &root, own).await);
    }
    Ok(notes)
}

/// What was passed on, or why not all of it was.
fn passed_on<T>(
    channel: &RuntimeChannel,
    passed: Result<T, Stop>,
    answer: &Result<(), Trouble>,
) -> Result<T, Broken> {
    match (passed, answer) {
        (Ok(passed), _) => Ok(passed),
        (Err(Stop::Fault(fault)), _) => Err(channel.fault(fault)),
        (Err(Stop::Stalled), _) => {
            Err(trouble(channel, Kind::Silent, "it takes no more of the archive").into())
        }
        (Err(Stop::Refused), Err(why)) => Err(why.clone().into()),
        (Err(Stop::Refused), Ok(())) => {
            Err(trouble(channel, Kind::Lost, "it took only a part of the archive").into())
        }
    }
}

/// The symbolic links that are below a root now.
pub(super) async fn live_links(
    channel: &RuntimeChannel,
    docker: &Docker,
    root: &Path,
) -> Result<Links, Broken> {
    let mut links = Links::default();
    let mut tree = match channel.tree(docker, root).await? {
        Ok(tree) => tree,
        Err(note) => {
            let text = format!("{}: {}", root.display(), note.detail);
            return Err(trouble(channel, Kind::Refused, &text).into());
        }
    };
    while let Some(item) = tree.next().await.map_err(|fault| channel.fault(fault))? {
        if item.member.kind == EntryType::Symlink
            && let Ok(below) = item.path.strip_prefix(root)
        {
            if links.len() >= MAX_LINKS {
                let text = format!("there are more than {MAX_LINKS} symbolic links");
                return Err(trouble(channel, Kind::Senseless, &text).into());
            }
            links.link(below.to_owned());
        }
    }
    Ok(links)
}

/// Makes a root that is missing, and what is missing above it.
async fn make(channel: &RuntimeChannel, docker: &Docker, root: &Path) -> Result<(), Broken> {
    let mut base = root;
    while let Some(parent) = base.parent() {
        base = parent;
        let at = text(channel, base)?;
        if channel.runtime().stat(docker, channel.container(), at).await? != Stat::Missing {
            break;
        }
    }
    let below = root.strip_prefix(base).unwrap_or(root);
    let mut tar = BytesMut::new();
    let mut parents: Vec<&Path> = below.ancestors().filter(|path| *path != Path::new("")).collect();
    parents.reverse();
    for path in parents {
        tar.extend_from_slice(&directory(channel, path, &plain_directory())?);
    }
    tar.extend_from_slice(&stream::end_marker());
    put(channel, docker, text(channel, base)?, tar.freeze()).await?;
    Ok(())
}

/// Gives the root its own owner, mode and times.
async fn dress(
    channel: &RuntimeChannel,
    docker: &Docker,
    root: &Path,
    own: Member,
) -> Option<Note> {
    let (parent, name) = (root.parent()?, root.file_name()?);
    let dressed = async {
        let mut tar = BytesMut::from(directory(channel, Path::new(name), &own)?.as_ref());
        tar.extend_from_slice(&stream::end_marker());
        put(channel, docker, text(channel, parent)?, tar.freeze()).await?;
        Ok::<_, Broken>(())
    };
    let broken = dressed.await.err()?;
    let detail = broken.unknown.detail;
    Some(Note { path: root.to_owned(), reason: Reason::Unwritable, detail })
}

async fn put(
    channel: &RuntimeChannel,
    docker: &Docker,
    at: &str,
    tar: Bytes,
) -> Result<(), Trouble> {
    let options = UploadToContainerOptionsBuilder::new().path(at).build();
    let writing = docker.upload_to_container(channel.container(), Some(options), body_full(tar));
    channel.runtime().call("write", writing).await
}

fn directory(channel: &RuntimeChannel, name: &Path, like: &Member) -> Result<Bytes, Broken> {
    stream::directory_header(name.as_os_str().as_bytes(), like).ok_or_else(|| {
        let text = format!("the name {} is too long", name.display());
        trouble(channel, Kind::Refused, &text).into()
    })
}

fn plain_directory() -> Member {
    Member {
        path: Vec::new(),
        kind: EntryType::Directory,
        link: Vec::new(),
        mode: 0o755,
        uid: 0,
        gid: 0,
        user: None,
        group: None,
        size: 0,
        modified: SystemTime::now(),
        raw: Bytes::new(),
    }
}

fn text<'a>(channel: &RuntimeChannel, path: &'a Path) -> Result<&'a str, Broken> {
    channel.text(path)
}

fn trouble(channel: &RuntimeChannel, kind: Kind, text: &str) -> Trouble {
    channel.runtime().trouble(kind, text)
}
