//! A small history that breaks no rule: a sandbox was lost and made anew by one recovery, beside a bystander.

use std::collections::BTreeMap;
use std::path::PathBuf;

use salvor_core::SagaKind;
use salvor_core::saga::{Ending, Part, Parts};
use salvor_devgateway::{Call, CreateFacts, Deed, DeedKind, Phase, SandboxView};
use salvor_proto::recovery::v1::{self as pb, recovery::State};
use salvor_proto::registry::v1::{Sandbox, sandbox};
use salvor_recovery_orchestrator::folded::{Folded, Standing};

use crate::client::record_name;
use crate::history::{History, Journaled, Seen};
use crate::trace::Sent;

pub(super) const TARGET: &str = "agent-1";
pub(super) const FIRST_ID: &str = "first";
pub(super) const SECOND_ID: &str = "second";
pub(super) const BYSTANDER_ID: &str = "beside";
pub(super) const RECOVERY: &str = "recoveries/1";
const STORE: &str = "store";
const DIGEST: &str = "digest";

pub(super) fn sound() -> History {
    let (before, bystander) = (record(TARGET, FIRST_ID, 1), record("bystander", BYSTANDER_ID, 2));
    let mut claimed = record(TARGET, FIRST_ID, 3);
    claimed.set_state(sandbox::State::Recovering);
    claimed.recovery = RECOVERY.to_owned();
    let after = record(TARGET, SECOND_ID, 4);
    let recovery = journaled(RECOVERY, SagaKind::StaleRecovery);
    let mut create = call(5_000, "CreateSandbox", TARGET);
    create.create = Some(facts(annotations()));
    let by_name = |records: [&Sandbox; 2]| {
        records.into_iter().map(|record| (record.name.clone(), record.clone())).collect()
    };
    let seen = Seen {
        before: by_name([&before, &bystander]),
        after: by_name([&after, &bystander]),
        default_before: Some(before.name.clone()),
        default_after: Some(before.name.clone()),
        told: vec![told(&recovery)],
        deeds: vec![
            deed(1_000, DeedKind::Create, TARGET, FIRST_ID),
            deed(2_000, DeedKind::Create, "bystander", BYSTANDER_ID),
            stamped(5_000, TARGET, SECOND_ID),
        ],
        calls: vec![
            call(1_000, "CreateSandbox", TARGET),
            call(1_500, "GetSandbox", TARGET),
            call(2_000, "CreateSandbox", "bystander"),
            create,
        ],
        sandboxes: vec![view("bystander", BYSTANDER_ID), view(TARGET, SECOND_ID)],
        orphans: Vec::new(),
        orphaned: Vec::new(),
        versions: vec![before, bystander, claimed, after],
    };
    History {
        seen,
        journaled: vec![recovery],
        sent: vec![sent(&record_name(TARGET), 7)],
        bystanders: vec![record_name("bystander")],
        virtual_ms: 10_000,
    }
}

pub(super) fn record(sandbox: &str, live_id: &str, revision: i64) -> Sandbox {
    Sandbox {
        name: record_name(sandbox),
        live_id: live_id.to_owned(),
        revision,
        state: sandbox::State::Active.into(),
        labels: BTreeMap::from([("team".to_owned(), "lab".to_owned())]).into_iter().collect(),
        ..Sandbox::default()
    }
}

/// One that is about the first incarnation, and is done.
pub(super) fn journaled(name: &str, saga: SagaKind) -> Journaled {
    let parts = Parts {
        live_id: None,
        data: Part::NotApplicable,
        config: Part::Proven,
        policy: Part::Proven,
        providers: Part::Proven,
        posture: Part::NotApplicable,
    };
    let folded = Folded {
        phase: "done",
        standing: Standing::Ended(Ending::Done(parts)),
        steps: Vec::new(),
        cancellable: false,
        parks: 0,
        taken: None,
        merged: Vec::new(),
    };
    Journaled {
        name: name.to_owned(),
        target: record_name(TARGET),
        saga,
        live_id: Some(FIRST_ID.to_owned()),
        store_id: Some(STORE.to_owned()),
        digest: DIGEST.to_owned(),
        folded: Some(folded),
    }
}

pub(super) fn told(recovery: &Journaled) -> pb::Recovery {
    pb::Recovery {
        name: recovery.name.clone(),
        sandbox: recovery.target.clone(),
        state: State::Succeeded.into(),
        phase: "done".to_owned(),
        done: true,
        ..pb::Recovery::default()
    }
}

pub(super) fn deed(at_ms: i64, kind: DeedKind, name: &str, id: &str) -> Deed {
    Deed {
        at_ms,
        kind,
        workspace: "default".to_owned(),
        name: name.to_owned(),
        id: id.to_owned(),
        annotations: BTreeMap::new(),
        store_id: STORE.to_owned(),
    }
}

/// A create by the recovery.
pub(super) fn stamped(at_ms: i64, name: &str, id: &str) -> Deed {
    Deed { annotations: annotations(), ..deed(at_ms, DeedKind::Create, name, id) }
}

fn annotations() -> BTreeMap<String, String> {
    BTreeMap::from([
        ("salvor.dev/recovery".to_owned(), RECOVERY.to_owned()),
        ("salvor.dev/plan-digest".to_owned(), DIGEST.to_owned()),
    ])
}

/// A call that was answered with OK.
pub(super) fn call(at_ms: i64, method: &str, name: &str) -> Call {
    Call {
        seq: u64::try_from(at_ms).unwrap(),
        at_ms,
        method: method.to_owned(),
        workspace: "default".to_owned(),
        name: name.to_owned(),
        id: String::new(),
        mutating: method == "CreateSandbox",
        metadata: BTreeMap::new(),
        command: Vec::new(),
        create: (method == "CreateSandbox").then(|| facts(BTreeMap::new())),
        outcome: Some(0),
    }
}

fn facts(annotations: BTreeMap<String, String>) -> CreateFacts {
    CreateFacts {
        labels: BTreeMap::new(),
        annotations,
        spec: Vec::new(),
        request_id: String::new(),
    }
}

pub(super) fn sent(sandbox: &str, fence_token: i64) -> Sent {
    Sent {
        sandbox: sandbox.to_owned(),
        fence_token,
        recovery: RECOVERY.to_owned(),
        effect: "create".to_owned(),
    }
}

fn view(name: &str, id: &str) -> SandboxView {
    SandboxView {
        id: id.to_owned(),
        name: name.to_owned(),
        workspace: "default".to_owned(),
        phase: Phase::Ready,
        reason: String::new(),
        message: String::new(),
        exit_code: None,
        instance_id: String::new(),
        resource_version: 1,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        spec: Vec::new(),
        policy_version: 1,
        policy_hash: String::new(),
        root: PathBuf::new(),
        container: true,
        processes: vec![1],
    }
}
