//! The end: waiting for recoveries to end, and looking at everything.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use salvor_proto::recovery::v1 as pb;
use salvor_proto::registry::v1::{
    self as registry, GetDefaultSandboxRequest, ListSandboxesRequest, WatchSandboxesRequest,
    watch_sandboxes_response::Event,
};
use tokio::time::Instant;

use super::{Client, until};
use crate::history::{Seen, waits_for_a_person};
use crate::script::Script;

/// How long open recoveries may take to end once nothing goes wrong any more. Those that were parked often are looked at
/// again after minutes only.
const PATIENCE: Duration = Duration::from_mins(12);
/// Between two looks at what is open.
const POLL: Duration = Duration::from_secs(1);
/// How long a rebuild that goes on where a start failed may take to be there: as long as its evidence may take to settle.
const FOLLOWS: Duration = Duration::from_secs(20);
/// The longest page.
const PAGE: i32 = 1_000;

impl Client {
    pub(super) async fn look_at_the_end(
        &self,
        script: &Script,
        before: BTreeMap<String, registry::Sandbox>,
    ) -> Result<Seen> {
        let told = self.settled().await;
        let gateway = self.stage.gateway.get().context("the gateway never ran")?;
        let mut after = BTreeMap::new();
        for name in before.keys() {
            after.insert(name.clone(), until(|| self.record(name)).await);
        }
        Ok(Seen {
            default_before: script.targets.first().map(|first| super::record_name(first)),
            default_after: until(|| self.default()).await,
            versions: self.versions().await?,
            told,
            before,
            after,
            deeds: gateway.deeds(),
            calls: gateway.calls(),
            sandboxes: gateway.sandboxes(),
            orphans: gateway.orphans(),
            orphaned: self.stage.orphaned.lock().map(|ids| ids.clone()).unwrap_or_default(),
        })
    }

    /// Every recovery of every orchestrator, once none is open that could still end by itself, or patience is over.
    async fn settled(&self) -> Vec<pb::Recovery> {
        let deadline = Instant::now() + PATIENCE;
        let mut last = (0, Instant::now());
        loop {
            tokio::time::sleep(POLL).await;
            let all = until(|| self.recoveries()).await;
            let ended = all.iter().filter(|recovery| recovery.done).count();
            if ended != last.0 {
                last = (ended, Instant::now());
            }
            let open = all.iter().any(|recovery| !recovery.done && !waits_for_a_person(recovery));
            let comes = all.iter().any(may_be_followed) && last.1.elapsed() < FOLLOWS;
            if !(open || comes) || Instant::now() >= deadline {
                return all;
            }
        }
    }

    async fn recoveries(&self) -> Option<Vec<pb::Recovery>> {
        let mut all = Vec::new();
        for recovery in &self.recovery {
            let request = pb::ListRecoveriesRequest { page_size: PAGE, ..Default::default() };
            let listed = recovery.clone().list_recoveries(request).await.ok()?.into_inner();
            all.extend(listed.recoveries);
        }
        // Those that share a journal answer the same.
        all.sort_by(|a: &pb::Recovery, b| a.name.cmp(&b.name));
        all.dedup_by(|a, b| a.name == b.name);
        Some(all)
    }

    /// The default record's name; the outer `None` is no answer.
    async fn default(&self) -> Option<Option<String>> {
        match self.registry.clone().get_default_sandbox(GetDefaultSandboxRequest {}).await {
            Ok(answer) => Some(answer.into_inner().sandbox.map(|sandbox| sandbox.name)),
            Err(status) if status.code() == tonic::Code::NotFound => Some(None),
            Err(_) => None,
        }
    }

    async fn revision(&self) -> Option<i64> {
        let request = ListSandboxesRequest { show_deleted: true, ..Default::default() };
        Some(self.registry.clone().list_sandboxes(request).await.ok()?.into_inner().revision)
    }

    /// Every version of every record, in order.
    async fn versions(&self) -> Result<Vec<registry::Sandbox>> {
        let request = WatchSandboxesRequest { start_revision: 1, parent: String::new() };
        let mut events = self.registry.clone().watch_sandboxes(request).await?.into_inner();
        let last = until(|| self.revision()).await;
        let mut versions = Vec::new();
        while let Some(response) = events.message().await? {
            match response.event {
                Some(Event::Changed(sandbox)) => versions.push(sandbox),
                Some(Event::Progress(_)) => {}
                other => anyhow::bail!("an unreadable version: {other:?}"),
            }
            if response.revision >= last {
                return Ok(versions);
            }
        }
        anyhow::bail!("the watch ended")
    }
}

fn may_be_followed(recovery: &pb::Recovery) -> bool {
    recovery.saga() == pb::Saga::Revive && recovery.state() == pb::recovery::State::RolledBack
}
