//! Containers that are only remembered: no directory, no process, nothing to run a command in.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tokio_util::sync::CancellationToken;

use crate::world::lock;

/// The containers of one gateway, each with its main process if that runs.
#[derive(Debug, Default)]
pub(crate) struct Imaginary {
    containers: Mutex<BTreeMap<String, Option<CancellationToken>>>,
}

impl Imaginary {
    pub(crate) fn ids(&self) -> Vec<String> {
        lock(&self.containers).keys().cloned().collect()
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        lock(&self.containers).contains_key(id)
    }

    pub(crate) fn runs(&self, id: &str) -> bool {
        lock(&self.containers).get(id).is_some_and(Option::is_some)
    }

    /// Makes the container if it is missing. The main process runs until what it answers is cancelled.
    pub(crate) fn launch(&self, id: &str) -> CancellationToken {
        let main = CancellationToken::new();
        lock(&self.containers).insert(id.to_owned(), Some(main.clone()));
        main
    }

    /// Ends the main process.
    pub(crate) fn end(&self, id: &str) {
        if let Some(main) = lock(&self.containers).get_mut(id).and_then(Option::take) {
            main.cancel();
        }
    }

    pub(crate) fn remove(&self, id: &str) {
        self.end(id);
        lock(&self.containers).remove(id);
    }
}
