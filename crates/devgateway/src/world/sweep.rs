//! The reconcile sweep: rewrites rows and prunes those whose container is gone for good.

use std::sync::Arc;
use std::time::Duration;

use super::lifecycle::finish;
use super::phase::{self, Phase};
use super::store::Sandbox;
use super::{World, now_ms};

const EVERY: Duration = Duration::from_mins(1);
/// However much faster than real its time goes: each sweep writes every row, and the rows of a big fleet would be all that it
/// ever writes.
const NOT_BEFORE: Duration = Duration::from_millis(500);
/// A row younger than this is never pruned.
const YOUNG: Duration = Duration::from_mins(5);
/// From the error that says the compute is missing to the end of the row.
const MISSING_FOR: Duration = Duration::from_mins(2);

impl World {
    /// Sweeps until the world ends.
    pub(crate) fn start_sweeping(self: &Arc<Self>) {
        let world = Arc::clone(self);
        let every = self.config.scaled(EVERY).max(NOT_BEFORE);
        self.spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                world.sweep();
            }
        });
    }

    /// One sweep. A resource version grows on idle rows too, so it tells nothing about change.
    pub(crate) fn sweep(&self) {
        let rows: Vec<Sandbox> = self.store().sandboxes.values().cloned().collect();
        for row in rows {
            let missing = !self.root(&row.id).exists();
            let old = self.older_than(row.created_at_ms, YOUNG);
            let result = match (row.phase, row.condition.reason.as_str()) {
                (Phase::Stopped, _) if missing && old => {
                    self.end(&row.id, row.epoch, phase::COMPUTE_MISSING, None);
                    Ok(false)
                }
                (Phase::Error, "BackendResourceMissing") if missing && old => {
                    self.remove_row(&row.id, Some(row.epoch))
                }
                (Phase::Error, "ComputeResourceMissing")
                    if missing && self.older_than(row.condition.at_ms, MISSING_FOR) =>
                {
                    self.remove_row(&row.id, Some(row.epoch))
                }
                (Phase::Ready | Phase::Error, _) => self.update(&row.id, |_| Ok(())).map(|_| true),
                _ => Ok(false),
            };
            finish(result.map(drop));
        }
    }

    fn older_than(&self, at_ms: i64, real: Duration) -> bool {
        let age = u64::try_from(now_ms().saturating_sub(at_ms)).unwrap_or(0);
        Duration::from_millis(age) >= self.config.scaled(real)
    }
}
