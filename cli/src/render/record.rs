//! Records and their changes.

use salvor_proto::recovery::v1::AdoptGatewayResponse;
use salvor_proto::registry::v1::watch_sandboxes_response::Event;
use salvor_proto::registry::v1::{Sandbox, WatchSandboxesResponse};

use super::{Look, Tone, clean, next, short, status::field, table, words};
use crate::next_step::NextStep;

/// Records, a row each; the default one is starred.
pub(crate) fn list(records: &[Sandbox], look: Look) -> String {
    let rows = records.iter().map(|record| {
        let (tone, state) = words::record_state(record.state());
        let image = record.spec.as_ref().and_then(|spec| spec.summary.as_ref());
        let default = if record.is_default { " *" } else { "" };
        vec![
            (Tone::Plain, format!("{}{default}", short(&record.name))),
            (tone, state.to_owned()),
            words::posture(record.posture.as_ref()),
            (Tone::Plain, agents(record)),
            (Tone::Plain, image.map_or_else(|| "-".to_owned(), |spec| spec.image.clone())),
            snapshot(record, look),
            (Tone::Plain, look.age(record.create_time.as_ref())),
            (Tone::Plain, look.age(record.update_time.as_ref())),
        ]
    });
    let header = ["SANDBOX", "STATE", "POSTURE", "AGENT", "IMAGE", "SNAPSHOT", "AGE", "CHANGED"];
    table(&header, rows.collect(), "no records; capture a live sandbox: salvor adopt NAME", look)
}

/// A record that was just made.
pub(crate) fn adopted(record: &Sandbox, stored: bool, look: Look) -> String {
    let done = if stored { "adopted" } else { "could be adopted" };
    let mut text =
        field("sandbox", &format!("{} {}", record.name, look.paint(Tone::Good, done)), look);
    text.push_str(&field("live id", &record.live_id, look));
    if let Some(spec) = &record.spec {
        let image = spec.summary.as_ref().map_or("-", |summary| summary.image.as_str());
        text.push_str(&field(
            "spec",
            &format!("{} bytes, sealed at rest, image {}", spec.size_bytes, clean(image)),
            look,
        ));
    }
    if let Some(policy) = &record.policy {
        let entries = policy.entries.len();
        let said = format!("{} bytes, {entries} named entries", policy.size_bytes);
        text.push_str(&field("policy", &said, look));
    }
    let (tone, posture) = words::posture(record.posture.as_ref());
    if posture != "-" {
        text.push_str(&field("posture", &look.paint(tone, &posture), look));
    }
    if stored {
        text.push_str(&next(&NextStep::Status.of(&short(&record.name)), look));
    }
    text
}

/// What became of every live sandbox of a gateway.
pub(crate) fn adopted_all(answer: &AdoptGatewayResponse, look: Look) -> String {
    let row = |name: &str, tone, word: &str, why: String| {
        vec![(Tone::Plain, short(name)), (tone, word.to_owned()), (Tone::Dim, why)]
    };
    let mut rows = Vec::new();
    rows.extend(answer.adopted.iter().map(|s| row(&s.name, Tone::Good, "adopted", String::new())));
    rows.extend(
        answer
            .already_recorded
            .iter()
            .map(|name| row(name, Tone::Plain, "already recorded", String::new())),
    );
    rows.extend(answer.not_adopted.iter().map(|not| {
        row(&not.name, Tone::Bad, "not adopted", format!("{}: {}", not.reason, not.message))
    }));
    table(&["SANDBOX", "RESULT", "WHY"], rows, "no live sandboxes", look)
}

/// One change, in one line; nothing for a sign of life.
pub(crate) fn change(change: &WatchSandboxesResponse, look: Look) -> Option<String> {
    let revision = look.paint(Tone::Dim, &format!("{:>6}", change.revision));
    match change.event.as_ref()? {
        Event::Changed(record) => {
            let (tone, state) = words::record_state(record.state());
            let live = if record.live_id.is_empty() {
                String::new()
            } else {
                format!("  id {}", record.live_id)
            };
            Some(format!(
                "{revision}  {}  {}{live}\n",
                short(&record.name),
                look.paint(tone, state)
            ))
        }
        Event::Unreadable(row) => Some(format!(
            "{revision}  {}  {}\n",
            short(&row.name),
            look.paint(Tone::Bad, "changed, and cannot be decoded")
        )),
        Event::Progress(_) => None,
    }
}

/// How old its newest complete snapshot is; `-` if none is declared.
fn snapshot(record: &Sandbox, look: Look) -> (Tone, String) {
    let last = record.snapshot_status.as_ref().and_then(|known| known.last_complete_time.as_ref());
    let declared = record.snapshot_rules.as_ref().is_some_and(|rules| !rules.roots.is_empty());
    match last {
        Some(_) => (Tone::Plain, look.age(last)),
        None if declared => (Tone::Warn, "none".to_owned()),
        None => (Tone::Dim, "-".to_owned()),
    }
}

fn agents(record: &Sandbox) -> String {
    let agents = record.agents.iter().map(|agent| {
        if agent.version.is_empty() {
            agent.kind.clone()
        } else {
            format!("{}@{}", agent.kind, agent.version)
        }
    });
    let agents: Vec<String> = agents.collect();
    if agents.is_empty() { "-".to_owned() } else { agents.join(", ") }
}
