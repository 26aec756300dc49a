//! Watching one sandbox: a whole snapshot first, then one per change.
//!
//! Ends quietly when the sandbox is removed. Deliberately absent: logs and platform events,
//! and any sign of a row that was deleted behind the gateway's back (a real one is silent too).

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::refusal::Outcome;
use crate::world::phase::Phase;
use crate::world::store::Sandbox;
use crate::world::{Target, World};

/// Snapshots between the gateway and a slow client.
const QUEUED: usize = 32;

/// Snapshots of one sandbox, until it is removed, or ready if `until_ready`.
pub(crate) fn watch(
    world: &Arc<World>,
    target: &Target,
    until_ready: bool,
) -> Outcome<mpsc::Receiver<Sandbox>> {
    let mut changes = world.changes();
    let mut row = world.get(target)?;
    let (sender, receiver) = mpsc::channel(QUEUED);
    let (world, over) = (Arc::clone(world), world.over.clone());
    let id = row.id.clone();
    let follow = async move {
        loop {
            let (ready, version) = (row.phase == Phase::Ready, row.resource_version);
            if sender.send(row).await.is_err() || (ready && until_ready) {
                return;
            }
            row = loop {
                if changes.changed().await.is_err() {
                    return;
                }
                match world.get(&Target::Id(id.clone())) {
                    Ok(row) if row.resource_version != version => break row,
                    Ok(_) => {}
                    Err(_) if world.root(&id).exists() => {
                        // Deleted from the store only: nobody tells the watcher.
                        sender.closed().await;
                        return;
                    }
                    Err(_) => return,
                }
            };
        }
    };
    tokio::spawn(async move {
        tokio::select! {
            () = over.cancelled() => {}
            () = follow => {}
        }
    });
    Ok(receiver)
}
