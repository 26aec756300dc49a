//! Waking whoever waits for a recovery.
//!
//! Invariant: a wait that began before a change was told is woken by it. A wake without a change is possible, and harmless: what
//! changed is in the journal.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use salvor_core::id::RecoveryName;
use tokio::sync::watch;

/// Of the whole journal. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes {
    waited_for: Arc<Mutex<HashMap<RecoveryName, watch::Sender<()>>>>,
}

/// Of one recovery.
#[derive(Debug)]
pub struct Waiting {
    changes: Changes,
    name: RecoveryName,
    told: watch::Receiver<()>,
}

// === impl Changes ===

impl Changes {
    pub(super) fn waiting(&self, name: &RecoveryName) -> Waiting {
        let mut waited_for = self.lock();
        let sender = waited_for.entry(name.clone()).or_default();
        Waiting { changes: self.clone(), name: name.clone(), told: sender.subscribe() }
    }

    pub(super) fn tell(&self, name: &str) {
        let waited_for = self.lock();
        if let Some(sender) = waited_for.get(&RecoveryName(name.to_owned())) {
            sender.send_replace(());
        }
    }

    pub(super) fn tell_all(&self) {
        self.lock().values().for_each(|sender| sender.send_replace(()));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RecoveryName, watch::Sender<()>>> {
        self.waited_for.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Waiting ===

impl Waiting {
    /// From here on a change wakes [`changed`](Self::changed): to be called before the journal is read.
    pub fn begin(&mut self) {
        self.told.borrow_and_update();
    }

    /// Resolves after a change, by whatever process.
    pub async fn changed(&mut self) {
        if self.told.changed().await.is_err() {
            // Its sender stays as long as somebody waits.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waited_for = self.changes.lock();
        if waited_for.get(&self.name).is_some_and(|sender| sender.receiver_count() <= 1) {
            waited_for.remove(&self.name);
        }
    }
}
