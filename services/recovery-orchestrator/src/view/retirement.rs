//! A recovery that was given up, as it is answered: what was seen, and what to look at.

use salvor_core::{
    Fact, FactName, Timestamp,
    evidence::{Gateway, Live},
    retirement::{Doubt, Look, Retirement, SeenRecord},
    time::Readable,
};
use salvor_proto::{
    recovery::v1::{self as pb, retirement::Doubt as Told},
    time::{duration, timestamp},
};

use crate::{journal::Found, words::NextStep};

/// A retirement on the wire.
pub fn retirement(found: &Found, retirement: &Retirement) -> pb::Retirement {
    let look = &retirement.look;
    let mut evidence = vec![
        fact(FactName::Record.as_str(), &look.record, look.now, |seen| record(seen.as_ref())),
        fact(FactName::OwnerGateway.as_str(), &look.gateway, look.now, |seen| {
            gateway(seen, look.now)
        }),
        fact(FactName::LiveView.as_str(), &look.live, look.now, |seen| live(found, seen, look.now)),
    ];
    if let Some((name, copy)) = &look.copy {
        let shown = |seen: &Live| format!("{name}: {}", live(found, seen, look.now));
        evidence.push(fact(FactName::CopyName.as_str(), copy, look.now, shown));
    }
    pb::Retirement {
        reason: retirement.reason.clone(),
        message: retirement.message.clone(),
        evidence,
        doubts: retirement.doubts.iter().map(doubt).collect(),
        snapshots: retirement.snapshots.iter().map(ToString::to_string).collect(),
        evidence_time: Some(timestamp(look.now.0)),
        etag: retirement.revision.clone(),
        next_step: next_step(found, retirement),
    }
}

/// Whatever it may have left behind is looked at where it would be; a copy has no record of its own.
fn next_step(found: &Found, retirement: &Retirement) -> String {
    let Look { record, copy, .. } = &retirement.look;
    let target = found.target.to_string();
    match (record.shown().and_then(Option::as_ref), copy) {
        (_, Some((name, Fact::Known { value: Live::Present(_), .. }))) => {
            NextStep::AdoptIfWanted.of(&name.to_string())
        }
        (None, _) => NextStep::AdoptIfWanted.of(&target),
        (Some(_), _) if retirement.look.shows_work_of(&found.name) => NextStep::Verdict.of(&target),
        (Some(_), _) if !retirement.doubts.is_empty() => NextStep::Verdict.of(&target),
        (Some(_), _) => NextStep::Status.of(&target),
    }
}

fn doubt(doubt: &Doubt) -> Told {
    let Doubt { step, seq } = doubt;
    let message = format!(
        "{step} was asked for in event {seq}, and the journal does not say what came of it: it may \
         have been done, or be done yet"
    );
    Told { step: step.clone(), event: *seq, message }
}

fn record(seen: Option<&SeenRecord>) -> String {
    let Some(seen) = seen else { return "there is none".to_owned() };
    let id = seen.live_id.as_ref().map_or("none", |id| id.as_str());
    format!("{}, live id {id}, etag {}", seen.state.in_words(), seen.etag)
}

fn gateway(seen: &Gateway, now: Timestamp) -> String {
    let store = seen.identity.store_id.as_deref().unwrap_or("not shown");
    let healthy = Readable(seen.healthy_since.age(now));
    format!("version {}, store {store}, healthy for {healthy}", seen.version)
}

fn live(found: &Found, seen: &Live, now: Timestamp) -> String {
    match seen {
        Live::Absent { since } => format!("absent, seen for {}", Readable(since.age(now))),
        Live::Present(present) => {
            let made = match &present.stamp {
                Some(stamp) if stamp.recovery == found.name => ", made by this recovery".to_owned(),
                Some(stamp) => format!(", made by {}", stamp.recovery),
                None => String::new(),
            };
            format!("present, {} {}{made}", present.live_id, present.phase.as_str())
        }
    }
}

fn fact<T>(
    name: &str,
    fact: &Fact<T>,
    now: Timestamp,
    show: impl FnOnce(&T) -> String,
) -> pb::Fact {
    let mut shown = pb::Fact { name: name.to_owned(), ..pb::Fact::default() };
    match fact {
        Fact::Known { value, at } => {
            shown.value = show(value);
            shown.age = Some(duration(at.age(now)));
        }
        Fact::Unknown { why, detail } => shown.unknown = format!("{}: {detail}", why.sentence()),
    }
    shown
}
