//! A watch through whatever goes wrong, which must at any time tell what a list tells.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use salvor_proto::{
    error::received,
    registry::v1::{
        Sandbox, WatchSandboxesRequest, WatchSandboxesResponse, watch_sandboxes_response::Event,
    },
};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use crate::{clients::answer, plant::Plant, replay::Replay};

/// A stream that is silent for longer is dead; the contract says 15 s.
const SILENCE: Duration = Duration::from_secs(20);
/// Between two comparisons with a list.
const COMPARE: Duration = Duration::from_secs(10);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);
/// The last comparison must succeed by then.
const LAST: Duration = Duration::from_secs(40);

/// See the module.
#[derive(Debug)]
pub(crate) struct Watcher {
    pub(crate) name: &'static str,
    /// For how long it goes away whenever it has seen everything; zero for never.
    pub(crate) away: Duration,
    pub(crate) plant: Arc<Plant>,
}

type Listed = (i64, BTreeMap<String, Sandbox>);

impl Watcher {
    /// Watches until the end, and compares once more.
    pub(crate) async fn run(self, ended: CancellationToken) {
        let mut replay = None;
        while !ended.is_cancelled() {
            tokio::select! {
                () = self.watch(&mut replay, false) => {}
                () = ended.cancelled() => break,
            }
            tokio::select! {
                () = sleep(self.away.max(PAUSE)) => {}
                () = ended.cancelled() => break,
            }
        }
        if timeout(LAST, self.watch(&mut replay, true)).await.is_err() {
            self.plant.tally.violated(&format!("{}: nothing to compare at the end", self.name));
        }
    }

    /// Lists if need be, and follows until the stream breaks, or until a comparison if it is the last one or a pause follows.
    async fn watch(&self, replay: &mut Option<Replay>, last: bool) {
        loop {
            let Some(present) = replay else {
                *replay = self.list().await.map(|(revision, base)| Replay::new(revision, base));
                if replay.is_none() {
                    sleep(PAUSE).await;
                }
                continue;
            };
            let start_revision = present.position();
            let request = WatchSandboxesRequest { start_revision, parent: String::new() };
            match answer(self.plant.clients.registry.clone().watch_sandboxes(request)).await {
                Ok(stream) => {
                    self.plant.tally.deed(&format!("{}: opened", self.name));
                    if self.follow(present, stream, last).await {
                        return;
                    }
                }
                Err(status) => {
                    self.refused(&status, replay);
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// Whether a comparison ended it, and not the stream.
    async fn follow(
        &self,
        replay: &mut Replay,
        mut stream: Streaming<WatchSandboxesResponse>,
        last: bool,
    ) -> bool {
        let mut due = Instant::now();
        let mut listed: Option<Listed> = None;
        loop {
            if listed.is_none() && Instant::now() >= due {
                listed = self.list().await;
                due = Instant::now() + COMPARE;
            }
            if let Some((revision, list)) = listed.take_if(|(at, _)| *at <= replay.position()) {
                self.compare(replay, revision, &list);
                if last || !self.away.is_zero() {
                    return true;
                }
            }
            match timeout(SILENCE.min(COMPARE), stream.message()).await {
                Ok(Ok(Some(response))) => self.take(replay, response),
                Ok(Ok(None)) => return false,
                Ok(Err(status)) => {
                    self.plant.tally.error(self.name, &status);
                    return false;
                }
                // Its progress tells at least every 10 s what there is.
                Err(_) if listed.is_some() => return false,
                Err(_) => {}
            }
        }
    }

    fn take(&self, replay: &mut Replay, response: WatchSandboxesResponse) {
        if matches!(response.event, Some(Event::Changed(_))) {
            self.plant.tally.deed(&format!("{}: changes", self.name));
        }
        if let Err(what) = replay.take(response) {
            self.plant.tally.violated(&format!("{}: {what}", self.name));
        }
    }

    fn compare(&self, replay: &mut Replay, revision: i64, list: &BTreeMap<String, Sandbox>) {
        self.plant.tally.deed(&format!("{}: compared with a list", self.name));
        if let Some(difference) = replay.differs(revision, list) {
            self.plant.tally.violated(&format!("{}: {difference}", self.name));
        }
    }

    /// What is no longer held is listed anew, as the error says.
    fn refused(&self, status: &Status, replay: &mut Option<Replay>) {
        if received(status).reason.as_deref() == Some("REVISION_COMPACTED") {
            self.plant.tally.deed(&format!("{}: told of compaction, listed anew", self.name));
            *replay = None;
        } else {
            self.plant.tally.error(self.name, status);
        }
    }

    async fn list(&self) -> Option<Listed> {
        match self.plant.clients.list().await {
            Ok(listed) => Some(listed),
            Err(status) => {
                self.plant.tally.error("list to compare with", &status);
                None
            }
        }
    }
}
