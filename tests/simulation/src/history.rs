//! What a world came to: everything that the rules are checked against.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use futures::FutureExt as _;
use salvor_core::SagaKind;
use salvor_devgateway::{Call, Deed, SandboxView};
use salvor_proto::recovery::v1 as pb;
use salvor_proto::registry::v1 as registry;
use salvor_recovery_orchestrator::folded::{Folded, folded};
use salvor_recovery_orchestrator::journal::{Journal, RecoveryFilter, Stored};
use salvor_runtime::database::{Location, at_once};
use sha2::{Digest as _, Sha256};

use crate::client::record_name;
use crate::script::BYSTANDER;
use crate::trace::Sent;

/// Recoveries of one journal at the most.
const MOST: u32 = 10_000;

/// What the client saw at the end, and before the trouble.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Records before the trouble, by name.
    pub before: BTreeMap<String, registry::Sandbox>,
    /// The same at the end.
    pub after: BTreeMap<String, registry::Sandbox>,
    /// Every version of every record, in order.
    pub versions: Vec<registry::Sandbox>,
    /// The default record before the trouble.
    pub default_before: Option<String>,
    /// The default record at the end.
    pub default_after: Option<String>,
    /// What the orchestrators say of their recoveries.
    pub told: Vec<pb::Recovery>,
    /// What was done at the gateway, by id.
    pub deeds: Vec<Deed>,
    /// What the gateway was asked for.
    pub calls: Vec<Call>,
    /// What it has at the end.
    pub sandboxes: Vec<SandboxView>,
    /// Containers that no row owns at the end.
    pub orphans: Vec<String>,
    /// Those of them whose rows were taken away behind everybody's back.
    pub orphaned: Vec<String>,
}

/// A recovery as its journal has it.
#[derive(Debug, Clone)]
pub struct Journaled {
    /// Its name.
    pub name: String,
    /// The record's name.
    pub target: String,
    /// What it runs.
    pub saga: SagaKind,
    /// The incarnation that its plan is about.
    pub live_id: Option<String>,
    /// The store of the gateway that its plan is about.
    pub store_id: Option<String>,
    /// Its plan's digest.
    pub digest: String,
    /// What its events come to; `None` if they do not fold.
    pub folded: Option<Folded>,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// What the client saw.
    pub seen: Seen,
    /// Every recovery of every journal.
    pub journaled: Vec<Journaled>,
    /// What the adapter sent, in order.
    pub sent: Vec<Sent>,
    /// Names of the records that nothing may happen to.
    pub bystanders: Vec<String>,
    /// How long the world went on, in its own time.
    pub virtual_ms: u64,
}

/// Reads the journals, beside what the client saw.
pub(crate) fn complete(
    seen: Seen,
    journals: &[PathBuf],
    sent: Vec<Sent>,
    virtual_ms: u64,
) -> Result<History> {
    let mut journaled = Vec::new();
    for path in journals.iter().collect::<BTreeSet<_>>() {
        // Store operations take no time here, so the first poll is the last.
        let stored = at_once(read(path)).now_or_never().context("the journal was not read")??;
        journaled.extend(stored.iter().map(Journaled::of));
    }
    journaled.sort_by(|a, b| a.name.cmp(&b.name));
    let bystanders = vec![record_name(BYSTANDER)];
    Ok(History { seen, journaled, sent, bystanders, virtual_ms })
}

async fn read(journal: &Path) -> Result<Vec<Stored>> {
    let journal = Journal::open(&Location::File(journal.to_owned()), None).await?;
    let filter = RecoveryFilter { limit: MOST, ..RecoveryFilter::default() };
    Ok(journal.list(&filter).await?)
}

/// Whether a parked recovery waits for what no time brings.
pub(crate) fn waits_for_a_person(recovery: &pb::Recovery) -> bool {
    recovery.state() == pb::recovery::State::Parked
        && recovery.failure.as_ref().is_some_and(|why| why.reason == "NAME_TAKEN_BY_STRANGER")
}

impl History {
    /// Everything that happened at the gateway and in the journals, a line each, with ids and simulated times.
    pub fn lines(&self) -> Vec<String> {
        let calls = self.seen.calls.iter();
        let mut lines: Vec<_> = calls.map(|call| format!("{} ms {call:?}", call.at_ms)).collect();
        lines.extend(self.seen.deeds.iter().map(|deed| format!("{deed:?}")));
        lines.extend(self.journaled.iter().map(|recovery| {
            let folded = recovery.folded.as_ref();
            let folded = folded.map(|folded| (&folded.standing, &folded.steps));
            format!("{} {folded:?}", recovery.name)
        }));
        lines.push(format!("{} ms", self.virtual_ms));
        lines
    }

    /// A digest of [`lines`](Self::lines): two runs of one seed have the same.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for line in self.lines() {
            hash.update(line);
            hash.update("\n");
        }
        hex::encode(hash.finalize())
    }
}

impl Journaled {
    fn of(stored: &Stored) -> Self {
        let plan = &stored.header.plan;
        Self {
            name: stored.header.name.to_string(),
            target: plan.target.to_string(),
            saga: plan.saga,
            live_id: plan.inputs.live_id.as_ref().map(ToString::to_string),
            store_id: plan.inputs.identity.store_id.clone(),
            digest: plan.digest.to_string(),
            folded: folded(stored).ok(),
        }
    }
}
