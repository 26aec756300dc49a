//! How many do something with one gateway at a time: requests look at it and are decided on, recoveries are at work.
//!
//! Evidence counts for a moment only, so a look that is begun has to get on, up to the journal: requests wait before they look,
//! hold nothing meanwhile, and keep their order. Invariant: none waits for another gateway's. How many wait is bounded by how many calls the
//! server admits, and how long by their deadlines.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use salvor_core::name::GatewayName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Looks at one gateway at a time. Each has two calls in flight at the most; an adapter sends a gateway 64 at once and refuses
/// what would wait behind 256 more. So most of the 64 remain for recoveries at work.
pub(crate) const LOOKS: usize = 8;

/// Of all gateways. Clones share them.
#[derive(Debug, Clone)]
pub struct Turns {
    at_once: usize,
    gateways: Arc<Mutex<HashMap<GatewayName, Arc<Semaphore>>>>,
}

/// One's turn, until it is passed on or dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    place: Option<OwnedSemaphorePermit>,
}

// === impl Turns ===

impl Turns {
    /// So many at once, at each gateway.
    pub(crate) fn new(at_once: usize) -> Self {
        Self { at_once, gateways: Arc::default() }
    }

    /// Waits for one's turn. Who goes away has not waited.
    pub(crate) async fn at(&self, gateway: &GatewayName) -> Turn {
        let places = self.places(gateway);
        // No semaphore here is ever closed.
        Turn { place: places.acquire_owned().await.ok() }
    }

    fn places(&self, gateway: &GatewayName) -> Arc<Semaphore> {
        let mut gateways = self.gateways.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = gateways.get(gateway) {
            return Arc::clone(places);
        }
        // Turns and waits hold theirs.
        gateways.retain(|_, places| Arc::strong_count(places) > 1);
        let places = Arc::new(Semaphore::new(self.at_once));
        gateways.insert(gateway.clone(), Arc::clone(&places));
        places
    }
}

// === impl Turn ===

impl Turn {
    /// Lets the next one have it.
    pub(crate) fn pass_on(&mut self) {
        self.place = None;
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, future::join_all, poll};

    use super::*;

    fn gateway(name: &str) -> GatewayName {
        format!("gateways/{name}").parse().unwrap()
    }

    #[tokio::test]
    async fn turns_come_in_order_and_who_goes_away_takes_none() {
        let (turns, a) = (Turns::new(LOOKS), gateway("a"));
        let mut held = join_all((0..LOOKS).map(|_| turns.at(&a))).await;
        let mut first = Box::pin(turns.at(&a));
        let mut second = Box::pin(turns.at(&a));
        let mut third = Box::pin(turns.at(&a));
        assert!(poll!(&mut first).is_pending());
        assert!(poll!(&mut second).is_pending());
        assert!(poll!(&mut third).is_pending());
        drop(first);
        held[0].pass_on();
        assert!(poll!(&mut third).is_pending(), "the second one asked before it");
        assert!(poll!(&mut second).is_ready());
    }

    #[tokio::test]
    async fn one_gateways_turns_are_nothing_to_another_and_idle_ones_are_forgotten() {
        let (turns, a) = (Turns::new(LOOKS), gateway("a"));
        let held = join_all((0..LOOKS).map(|_| turns.at(&a))).await;
        assert!(turns.at(&gateway("b")).now_or_never().is_some());
        assert!(turns.at(&gateway("c")).now_or_never().is_some());
        assert!(turns.at(&a).now_or_never().is_none());
        drop(held);
        assert!(turns.at(&gateway("d")).now_or_never().is_some());
        let gateways = turns.gateways.lock().unwrap();
        assert_eq!(gateways.keys().collect::<Vec<_>>(), [&gateway("d")]);
    }
}
