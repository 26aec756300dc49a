//! A workspace with as many entries as a test wants.

use std::path::PathBuf;

use bytes::Bytes;
use salvor_proto::gateway::v1 as pb;
use salvor_proto::registry::v1::SnapshotRules;
use tokio::sync::mpsc;

use super::rules::Rules;
use super::tree::sample;
use super::{Broken, Channel, Entry, Kind, Note};

/// Below each root so many files, and as many again in a directory `left` that the rules leave out.
#[derive(Debug)]
pub(super) struct Many(pub(super) usize);

/// These roots, without what is called `left`.
pub(super) fn rules(roots: &[&str]) -> Rules {
    let roots = roots.iter().map(|root| (*root).to_owned()).collect();
    let rules = SnapshotRules { roots, excludes: vec!["left/".into()], ..Default::default() };
    Rules::parse(Some(&rules)).unwrap()
}

fn nothing_else<T>() -> Result<T, Broken> {
    Err(Broken { unknown: pb::Unknown::default() })
}

impl Channel for Many {
    async fn inventory(
        &self,
        root: PathBuf,
        entries: mpsc::Sender<Entry>,
    ) -> Result<Vec<Note>, Broken> {
        let below = |directory: &str, kind: Kind| {
            sample(root.join(directory).to_str().unwrap_or_default(), kind)
        };
        let files = |directory: &'static str| {
            (0..self.0).map(move |number| format!("{directory}{number:07}"))
        };
        let all = [sample(root.to_str().unwrap_or_default(), Kind::Directory)]
            .into_iter()
            .chain(files("file").map(|name| below(&name, Kind::File)))
            .chain([below("left", Kind::Directory)])
            .chain(files("left/").map(|name| below(&name, Kind::File)));
        for entry in all.collect::<Vec<_>>() {
            if entries.send(entry).await.is_err() {
                break;
            }
        }
        Ok(Vec::new())
    }

    async fn contents(
        &self,
        _: PathBuf,
        _: Vec<PathBuf>,
        _: mpsc::Sender<Bytes>,
    ) -> Result<Vec<Note>, Broken> {
        nothing_else()
    }

    async fn digests(
        &self,
        _: PathBuf,
        _: Vec<PathBuf>,
        _: mpsc::Sender<(PathBuf, [u8; 32])>,
    ) -> Result<Vec<Note>, Broken> {
        nothing_else()
    }
}
