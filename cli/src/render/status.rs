//! One sandbox: record, owner, live view, verdict, and what to run next.

use salvor_proto::gateway::v1::{GatewayView, LiveView, gateway_view, live_view};
use salvor_proto::recovery::v1::{ConnectSandboxResponse, GetVerdictResponse, SandboxStatus};
use salvor_proto::registry::v1::Sandbox;

use super::{Look, Tone, clean, decision, next, short, snapshot, time, words};

/// `label  value`, aligned.
pub(crate) fn field(label: &str, value: &str, look: Look) -> String {
    format!("{}  {value}\n", look.paint(Tone::Dim, &format!("{label:<9}")))
}

/// Everything there is to know of it.
pub(crate) fn status(status: &SandboxStatus, look: Look) -> String {
    let default = Sandbox::default();
    let record = status.record.as_ref().unwrap_or(&default);
    let (tone, verdict) = words::verdict(status.verdict());
    let mut text = field("sandbox", &look.paint(Tone::Strong, &record.name), look);
    text.push_str(&field("record", &self::record(record, look), look));
    text.push_str(&field("owner", &gateway(status.gateway.as_ref(), look), look));
    text.push_str(&field("live", &live(status.live.as_ref(), look), look));
    text.push_str(&field("verdict", &look.paint(tone, verdict), look));
    text.push_str(&field("because", &clean(&status.explanation), look));
    text.push_str(&snapshot::known(record, status.data_at_risk.as_ref(), look));
    if !status.open_recovery.is_empty() {
        text.push_str(&field("recovery", &status.open_recovery, look));
    }
    if !status.next_step.is_empty() {
        text.push_str(&next(&status.next_step, look));
    }
    text
}

/// A record in one line.
fn record(record: &Sandbox, look: Look) -> String {
    let (tone, state) = words::record_state(record.state());
    let mut parts = vec![look.paint(tone, state)];
    if let Some(summary) = record.spec.as_ref().and_then(|spec| spec.summary.as_ref()) {
        parts.push(clean(&summary.image));
    }
    if record.spec.is_none() {
        parts.push(look.paint(Tone::Warn, "no spec recorded"));
    }
    match &record.policy {
        Some(policy) => parts.push(format!("policy {}", digest(&policy.policy_hash))),
        None => parts.push(look.paint(Tone::Warn, "no policy recorded")),
    }
    let (tone, posture) = words::posture(record.posture.as_ref());
    if posture != "-" {
        parts.push(look.paint(tone, &posture));
    }
    if record.is_default {
        parts.push("default".to_owned());
    }
    parts.push(format!("live id {}", dash(&record.live_id)));
    parts.push(format!("changed {}", look.ago(record.update_time.as_ref())));
    parts.join(", ")
}

/// A probe in one line.
pub(crate) fn gateway(view: Option<&GatewayView>, look: Look) -> String {
    let Some(view) = view else { return "not asked".to_owned() };
    let name = short(&view.gateway);
    match &view.state {
        Some(gateway_view::State::Healthy(healthy)) => format!(
            "{name}, {}, version {} (wire {}), for {}, answered in {}",
            look.paint(Tone::Good, "healthy"),
            clean(&healthy.version),
            words::dialect(healthy.dialect()),
            look.age(healthy.healthy_since.as_ref()),
            time::lasting(healthy.round_trip.as_ref()),
        ),
        Some(gateway_view::State::Unknown(unknown)) => format!(
            "{name}, {}: {}",
            look.paint(Tone::Warn, words::unknown(unknown.reason())),
            clean(&unknown.detail)
        ),
        None => format!("{name}, not asked"),
    }
}

/// What the owner says, in one line.
pub(crate) fn live(view: Option<&LiveView>, look: Look) -> String {
    let Some(view) = view else { return "not asked".to_owned() };
    match &view.view {
        Some(live_view::View::Present(present)) => {
            let (tone, phase) = words::phase(present.phase());
            let mut text = format!("present, {}", look.paint(tone, phase));
            if !present.reason.is_empty() {
                text.extend([format!(" ({})", clean(&present.reason))]);
            }
            if !present.message.is_empty() {
                text.extend([format!(": {}", clean(&present.message))]);
            }
            text.extend([format!(", id {}", dash(&present.live_id))]);
            text
        }
        Some(live_view::View::Absent(absent)) => format!(
            "{}, at every look for {}",
            look.paint(Tone::Bad, "absent"),
            look.age(absent.since.as_ref())
        ),
        Some(live_view::View::Unknown(unknown)) => format!(
            "{}: {}",
            look.paint(Tone::Warn, &format!("unknown, {}", words::unknown(unknown.reason()))),
            clean(&unknown.detail)
        ),
        None => "not asked".to_owned(),
    }
}

/// A verdict and every decision behind it.
pub(crate) fn verdict(verdict: &GetVerdictResponse, look: Look) -> String {
    let (tone, word) = words::verdict(verdict.verdict());
    let mut text = field("sandbox", &look.paint(Tone::Strong, &verdict.name), look);
    text.push_str(&field("owner", &short(&verdict.owner_gateway), look));
    text.push_str(&field("verdict", &look.paint(tone, word), look));
    text.push_str(&field("because", &clean(&verdict.explanation), look));
    if !verdict.decisions.is_empty() {
        text.push_str("decisions\n");
        text.push_str(&decision::lines_with_evidence(&verdict.decisions, look));
    }
    text
}

/// How to reach it, or why that is not possible and what to run.
pub(crate) fn connection(connection: &ConnectSandboxResponse, look: Look) -> String {
    let (tone, verdict) = words::verdict(connection.verdict());
    let mut text = field("verdict", &look.paint(tone, verdict), look);
    if connection.live {
        let target = format!("{}/{}", connection.workspace, connection.sandbox);
        text.push_str(&field("gateway", &clean(&connection.gateway_endpoint), look));
        text.push_str(&field("sandbox", &format!("{target}, id {}", connection.live_id), look));
        text.push_str(&field("connect", &look.paint(Tone::Strong, &connection.command), look));
    } else {
        text.push_str(&field("live", &live(connection.live_view.as_ref(), look), look));
        text.push_str(&field("guidance", &clean(&connection.guidance), look));
    }
    text
}

fn dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// The first twelve characters of a digest.
pub(crate) fn digest(text: &str) -> &str {
    if text.is_empty() { "empty" } else { text.get(..12).unwrap_or(text) }
}
