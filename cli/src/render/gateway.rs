//! Gateways, as the registry knows them and as they answer.

use salvor_proto::gateway::v1::GatewayView;
use salvor_proto::registry::v1::gateway_credentials::Method;
use salvor_proto::registry::v1::{Gateway, GatewayIdentity};

use super::{Look, Tone, short, status, table};

/// Gateways, a row each.
pub(crate) fn list(gateways: &[Gateway], look: Look) -> String {
    let rows = gateways.iter().map(|gateway| {
        let (health, version, seen) = heartbeat(gateway, look);
        vec![
            (Tone::Plain, short(&gateway.name)),
            (Tone::Plain, gateway.endpoint.clone()),
            health,
            (Tone::Plain, version),
            (Tone::Plain, credentials(gateway).to_owned()),
            (Tone::Dim, if gateway.pinned_identity.is_some() { "pinned" } else { "-" }.to_owned()),
            (Tone::Plain, seen),
        ]
    });
    let header = ["GATEWAY", "ENDPOINT", "HEALTH", "VERSION", "CREDENTIALS", "IDENTITY", "HEARD"];
    table(
        &header,
        rows.collect(),
        "no gateways; make one known: salvor gateways add NAME ENDPOINT",
        look,
    )
}

/// One gateway.
pub(crate) fn one(gateway: &Gateway, look: Look) -> String {
    let ((tone, health), version, _) = heartbeat(gateway, look);
    let mut text = status::field("gateway", &look.paint(Tone::Strong, &gateway.name), look);
    text.push_str(&status::field("endpoint", &gateway.endpoint, look));
    text.push_str(&status::field("access", credentials(gateway), look));
    let pinned = gateway
        .pinned_identity
        .as_ref()
        .map_or_else(|| "not pinned: the first healthy answer pins it".to_owned(), identity);
    text.push_str(&status::field("identity", &pinned, look));
    let mut heard = look.paint(tone, &health);
    if let Some(beat) = &gateway.heartbeat {
        let ago = look.ago(beat.receive_time.as_ref());
        heard.extend([format!(", version {version}, heard {ago}")]);
    }
    text.push_str(&status::field("health", &heard, look));
    text
}

/// A probe.
pub(crate) fn probe(view: &GatewayView, look: Look) -> String {
    status::field("gateway", &status::gateway(Some(view), look), look)
}

/// What identifies a gateway, in one line.
pub(crate) fn identity(identity: &GatewayIdentity) -> String {
    let parts = [
        ("store", &identity.store_id),
        ("signing key", &identity.signing_key_id),
        ("issuer", &identity.issuer),
        ("authority", &identity.ca_sha256),
    ];
    let shown = parts.iter().filter(|(_, value)| !value.is_empty());
    let shown: Vec<String> = shown.map(|(name, value)| format!("{name} {value}")).collect();
    if shown.is_empty() { "nothing that identifies it".to_owned() } else { shown.join(", ") }
}

fn heartbeat(gateway: &Gateway, look: Look) -> ((Tone, String), String, String) {
    match &gateway.heartbeat {
        None => ((Tone::Dim, "not heard of".to_owned()), "-".to_owned(), "-".to_owned()),
        Some(beat) => {
            let health = if beat.healthy {
                (Tone::Good, format!("healthy {}", look.age(beat.healthy_since.as_ref())))
            } else {
                (Tone::Bad, beat.reason.clone())
            };
            let version = if beat.version.is_empty() { "-" } else { &beat.version };
            (health, version.to_owned(), look.age(beat.receive_time.as_ref()))
        }
    }
}

fn credentials(gateway: &Gateway) -> &'static str {
    match gateway.credentials.as_ref().and_then(|credentials| credentials.method.as_ref()) {
        None => "none",
        Some(Method::MutualTls(_)) => "mutual TLS",
        Some(Method::BearerToken(_)) => "bearer token",
    }
}
