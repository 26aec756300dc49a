//! Journals of every version that a build goes on with, as that version wrote them: read, folded and gone on with from each
//! prefix, through the very phases that they went through then.
//!
//! They are recorded once for each version of each definition, from the runs of the small world in which something new happens,
//! and never changed after its release. To record those of a raised version: raise it, and run these tests with
//! `SALVOR_RECORD_GOLDEN=1`; commit what was written.

use std::{collections::BTreeSet, fs, path::PathBuf};

use salvor_core::{
    SagaKind, Why,
    saga::{Cause, Ending, Narrate as _, Next, Saga, entry, version::Resumption},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    events as samples,
    model::{Event, Model, Run},
    models::{
        copy::Copying, destroy::Destroying, prune::Pruning, rebuild::Rebuilding,
        restore::Restoring, revive::Reviving, snapshot::Snapshotting, stale::Stale,
    },
    snapshots,
    world::Fault,
};

/// One journal, and the phase after each of its rows.
#[derive(Debug, Serialize, Deserialize)]
struct Golden {
    phases: Vec<String>,
    rows: Vec<String>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/sagas/golden")
}

fn recording() -> bool {
    std::env::var_os("SALVOR_RECORD_GOLDEN").is_some()
}

/// The states that a journal goes through, from the one before its first row.
fn states<S: Saga>(events: &[S::Event]) -> Vec<S::State> {
    let mut states = vec![S::initial()];
    for event in events {
        let last = states.last().unwrap().clone();
        states.push(
            S::apply(last, event).unwrap_or_else(|illegal| panic!("{:?}: {illegal}", S::KIND)),
        );
    }
    states
}

fn phases<S: Saga>(states: &[S::State]) -> Vec<String> {
    states.iter().map(|state| S::phase(state).to_owned()).collect()
}

// === recording ===

/// Runs in which something happens, in some phase, that happened in none before.
fn journals<M: Model>(seen: &mut BTreeSet<(String, String)>) -> Vec<Golden> {
    let mut found = Vec::new();
    for world in M::worlds() {
        let mut keep = |script: &[Fault]| {
            let mut run = Run::<M>::new(world.clone());
            run.finish(script);
            found.extend(new::<M>(&run.journal, seen));
        };
        keep(&[]);
        let mut script = vec![Fault::None; M::STEPS];
        for at in 0..M::STEPS {
            for fault in M::faults() {
                script[at] = fault;
                keep(&script);
            }
            script[at] = Fault::None;
        }
    }
    found
}

fn new<M: Model>(journal: &[Event<M>], seen: &mut BTreeSet<(String, String)>) -> Option<Golden> {
    let phases = phases::<M::S>(&states::<M::S>(journal));
    let what = |event: &Event<M>| format!("{:?} {}", event.step(), event.outcome());
    let happened: Vec<(String, String)> =
        phases.iter().cloned().zip(journal.iter().map(what)).collect();
    let known = happened.iter().all(|pair| seen.contains(pair));
    seen.extend(happened);
    let row = |event| serde_json::to_string(event).unwrap();
    (!known).then(|| Golden { phases, rows: journal.iter().map(row).collect() })
}

fn recorded<M: Model>(version: u32) -> Vec<Golden> {
    let kind = M::S::KIND;
    let path = folder().join(format!("journals/{}-{version}.jsonl", kind.as_str()));
    if !path.exists() && recording() && version == kind.version() {
        let mut lines = String::new();
        for golden in fresh(kind) {
            lines.push_str(&serde_json::to_string(&golden).unwrap());
            lines.push('\n');
        }
        fs::write(&path, lines).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; record it with SALVOR_RECORD_GOLDEN=1", path.display())
    });
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn fresh(kind: SagaKind) -> Vec<Golden> {
    let seen = &mut BTreeSet::new();
    match kind {
        SagaKind::StaleRecovery => journals::<Stale>(seen),
        SagaKind::Revive => journals::<Reviving>(seen),
        SagaKind::Rebuild => journals::<Rebuilding>(seen),
        SagaKind::Destroy => {
            let mut all = journals::<Destroying<true>>(seen);
            all.extend(journals::<Destroying<false>>(seen));
            all
        }
        SagaKind::Snapshot => journals::<Snapshotting>(seen),
        SagaKind::Restore => journals::<Restoring>(seen),
        SagaKind::Copy => {
            let mut all = journals::<Copying<true>>(seen);
            all.extend(journals::<Copying<false>>(seen));
            all
        }
        SagaKind::Prune => journals::<Pruning>(seen),
    }
}

// === replaying ===

/// Each prefix folds as it did, and something is to come next: what a process that dies there leaves can be gone on with.
fn gone_on_with<M: Model>(golden: &Golden) {
    let rows: Vec<&str> = golden.rows.iter().map(String::as_str).collect();
    let events = entry::events::<M::S>(rows.iter().copied()).unwrap();
    let states = states::<M::S>(&events);
    assert_eq!(phases::<M::S>(&states), golden.phases, "{rows:?}");
    let last = states.len() - 1;
    for (at, state) in states.into_iter().enumerate() {
        match M::S::next(&state) {
            Next::Finished(_) => assert_eq!(at, last, "{rows:?}"),
            Next::Park(_) => assert!(M::S::apply(state, &M::S::resumed()).is_ok(), "{at} {rows:?}"),
            Next::Do(step) | Next::Compensate(step) => {
                let intent = M::S::intent(&state, step);
                let intended = intent.is_none_or(|intent| M::S::apply(state, &intent).is_ok());
                assert!(intended, "{at} {rows:?}");
            }
        }
    }
    for (row, event) in rows.iter().zip(&events) {
        let kept: Value = serde_json::from_str(row).unwrap();
        assert_eq!(serde_json::to_value(event).unwrap(), kept, "what it says is lost");
    }
}

fn every_version<M: Model>() {
    let kind = M::S::KIND;
    for version in kind.oldest()..=kind.version() {
        assert!(matches!(kind.resumption(version), Resumption::Resume | Resumption::Continue));
        let all = recorded::<M>(version);
        assert!(all.len() > 2, "{kind:?} {version}: {} journals", all.len());
        all.iter().for_each(gone_on_with::<M>);
    }
}

#[test]
fn journals_of_every_version_are_gone_on_with_from_every_prefix() {
    every_version::<Stale>();
    every_version::<Reviving>();
    every_version::<Rebuilding>();
    every_version::<Destroying<true>>();
    every_version::<Snapshotting>();
    every_version::<Restoring>();
    every_version::<Copying<true>>();
    every_version::<Pruning>();
}

// === definitions ===

/// A digest of a definition: what every event leads to after each prefix of its journals, what comes next there, and the
/// words that events are made of.
fn digest<M: Model>(sample: &[Event<M>]) -> String {
    let (mut lines, mut reached) = (Vec::new(), BTreeSet::new());
    for golden in recorded::<M>(M::S::KIND.version()) {
        let rows = golden.rows.iter().map(String::as_str);
        let states = states::<M::S>(&entry::events::<M::S>(rows).unwrap());
        for (at, state) in states.into_iter().enumerate() {
            if !reached.insert(format!("{state:?}")) {
                continue;
            }
            lines.push(format!("{}: {}", golden.rows[..at].concat(), next::<M::S>(&state)));
            for event in sample {
                let after = M::S::apply(state.clone(), event).ok();
                let after = after.map(|after| (M::S::phase(&after), next::<M::S>(&after)));
                lines.push(format!("{} {after:?}", serde_json::to_string(event).unwrap()));
            }
        }
    }
    lines.extend(Cause::ALL.map(|cause| format!("{cause:?} {}", cause.may_pass())));
    lines.extend(Why::ALL.map(|why| format!("{why:?}")));
    let hash = Sha256::digest(lines.join("\n"));
    hash.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

fn next<S: Saga>(state: &S::State) -> String {
    match S::next(state) {
        Next::Do(step) => format!("do {}", S::name(step)),
        Next::Compensate(step) => format!("undo {}", S::name(step)),
        Next::Park(why) => format!("wait: {}", why.reason()),
        Next::Finished(Ending::Done(parts)) => format!("done: {:?}", parts.outcome()),
        Next::Finished(Ending::RolledBack(setback)) => format!("undone: {}", setback.reason()),
    }
}

/// A definition that differs from the one of its version is another version.
#[test]
fn a_definition_changes_with_its_version_only() {
    let now = [
        (SagaKind::StaleRecovery, digest::<Stale>(&samples::stale())),
        (SagaKind::Revive, digest::<Reviving>(&samples::revive())),
        (SagaKind::Rebuild, digest::<Rebuilding>(&samples::rebuild())),
        (SagaKind::Destroy, digest::<Destroying<true>>(&samples::destroy())),
        (SagaKind::Snapshot, digest::<Snapshotting>(&snapshots::of_a_snapshot())),
        (SagaKind::Restore, digest::<Restoring>(&snapshots::of_a_restore())),
        (SagaKind::Copy, digest::<Copying<true>>(&snapshots::of_a_copy())),
        (SagaKind::Prune, digest::<Pruning>(&snapshots::of_a_prune())),
    ];
    assert_eq!(now.each_ref().map(|(kind, _)| *kind), SagaKind::ALL);
    let path = folder().join("definitions.tsv");
    let mut kept = fs::read_to_string(&path).unwrap_or_default();
    for (kind, digest) in now {
        let version = format!("{}\t{}\t", kind.as_str(), kind.version());
        let line = format!("{version}{digest}");
        if !kept.lines().any(|known| known.starts_with(&version)) && recording() {
            kept.push_str(&line);
            kept.push('\n');
            fs::write(&path, &kept).unwrap();
        }
        assert!(
            kept.lines().any(|known| known == line),
            "{} has changed: raise its version in path.rs, and record its journals \
             (SALVOR_RECORD_GOLDEN=1). As it is now:\n{line}",
            kind.as_str()
        );
    }
}
