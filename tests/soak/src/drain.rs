//! The end: faults are over, so everything comes to rest, and what is there is what is recorded.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

use salvor_devgateway::DeedKind;
use salvor_proto::recovery::v1::{self as pb, recovery::State};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    load::{Target, mend, outcome, targets},
    plant::{Lab, Plant},
};

const POLL: Duration = Duration::from_secs(1);
/// Words in a log that no fault is an excuse for.
const DEFECTS: [&str; 2] = ["panicked at", "INTERNAL"];
/// Before such a word, what a gateway said. Its errors are faults.
const QUOTED: &str = "answered INTERNAL";

/// See the module.
pub(crate) async fn run(plant: &Plant) {
    println!("draining");
    let begun = Instant::now();
    let patience = Duration::from_secs(plant.options.drain_seconds);
    if timeout(patience, rest(plant)).await.is_err() {
        unrested(plant).await;
    }
    println!("drained after {:.1} s", begun.elapsed().as_secs_f64());
    compare(plant).await;
    logs(plant);
}

/// Whether a parked recovery waits for what no time brings.
fn waits_for_a_person(recovery: &pb::Recovery) -> bool {
    recovery.state() == State::Parked
        && recovery.failure.as_ref().is_some_and(|why| why.reason == "NAME_TAKEN_BY_STRANGER")
}

/// Until no recovery is open that could end, and every sandbox is live.
async fn rest(plant: &Plant) {
    loop {
        let open = plant.clients.open_recoveries().await;
        let open = open.map_or(true, |open| open.iter().any(|open| !waits_for_a_person(open)));
        let mut unwell = false;
        for target in targets(plant) {
            unwell |= !mend(plant, &target).await.unwrap_or(false);
        }
        if !open && !unwell {
            return;
        }
        sleep(POLL).await;
    }
}

/// Names what did not come to rest.
async fn unrested(plant: &Plant) {
    match plant.clients.open_recoveries().await {
        Ok(open) => {
            for open in open.iter().filter(|open| !waits_for_a_person(open)) {
                let (name, sandbox, outcome) = (&open.name, &open.sandbox, outcome(open));
                plant.tally.violated(&format!("{name} of {sandbox} is still open: {outcome}"));
            }
        }
        Err(status) => plant.tally.violated(&format!("recoveries cannot be listed: {status}")),
    }
    for target in targets(plant) {
        match plant.clients.status(&target.name).await {
            Ok(status) if status.verdict() == pb::Verdict::Live => {}
            Ok(status) => {
                let (verdict, why) = (status.verdict().as_str_name(), &status.explanation);
                plant.tally.violated(&format!("{} is {verdict}: {why}", target.name));
            }
            Err(status) => {
                plant.tally.violated(&format!("{} has no status: {status}", target.name));
            }
        }
    }
}

/// The records against what is really there.
async fn compare(plant: &Plant) {
    let records = match plant.clients.list().await {
        Ok((_, records)) => records,
        Err(status) => return plant.tally.violated(&format!("records cannot be listed: {status}")),
    };
    let targets = targets(plant);
    let names: BTreeSet<_> = targets.iter().map(|target| &target.name).collect();
    for name in records.keys().filter(|name| !names.contains(name)) {
        plant.tally.violated(&format!("{name} is recorded, and nobody asked for it"));
    }
    for target in &targets {
        let Some(record) = records.get(&target.name) else {
            plant.tally.violated(&format!("{} has no record", target.name));
            continue;
        };
        let live = target.lab(plant).control.sandbox(&target.short);
        if live.as_ref().is_none_or(|live| live.id != record.live_id) {
            let recorded = &record.live_id;
            plant
                .tally
                .violated(&format!("{} is recorded as {recorded}, there is {live:?}", target.name));
        }
    }
    for (index, lab) in plant.labs.iter().enumerate() {
        let here: Vec<_> = targets.iter().filter(|target| target.lab == index).collect();
        single(plant, lab, &here);
    }
}

/// No sandbox but the recorded ones is there, and none of them twice.
fn single(plant: &Plant, lab: &Lab, targets: &[&Target]) {
    let mut rows: BTreeMap<String, String> = BTreeMap::new();
    for row in lab.control.sandboxes() {
        if !targets.iter().any(|target| target.short == row.name) {
            plant.tally.violated(&format!("{} has {row:?}, which nobody asked for", lab.name));
        }
        if let Some(other) = rows.insert(row.name.clone(), row.id.clone()) {
            plant
                .tally
                .violated(&format!("{} has {} twice: {other}, {}", lab.name, row.name, row.id));
        }
    }
    for id in lab.control.orphans() {
        plant.tally.violated(&format!("{} has container {id} of no sandbox", lab.name));
    }
    for made in lab.control.deeds().iter().filter(|deed| deed.kind == DeedKind::Create) {
        let present = rows.get(&made.name) == Some(&made.id);
        if !present && !lab.control.processes_of(&made.id).is_empty() {
            plant.tally.violated(&format!("{} still runs {} as {}", lab.name, made.name, made.id));
        }
    }
}

/// What no log may say.
fn logs(plant: &Plant) {
    for service in &plant.services {
        let text = fs::read_to_string(service.log()).unwrap_or_default();
        for word in DEFECTS {
            let lines = text.lines().filter(|line| line.contains(word) && !line.contains(QUOTED));
            let count = lines.clone().count();
            if let Some(first) = lines.take(1).next() {
                plant.tally.violated(&format!("{} logged {count} times: {first}", service.name()));
            }
        }
    }
}
