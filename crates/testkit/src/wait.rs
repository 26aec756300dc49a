//! Waiting for a condition, bounded, without a fixed pause.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, sleep};

/// No condition of a test may take longer on a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks until there is an answer.
///
/// # Panics
/// After [`PATIENCE`], naming what did not come.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited {} s in vain for {what}", PATIENCE.as_secs());
        sleep(Duration::from_millis(10)).await;
    }
}
