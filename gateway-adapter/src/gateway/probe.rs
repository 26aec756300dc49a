//! Who a gateway is and how it is, asked before anything else is believed.

use std::sync::Arc;
use std::time::Duration;

use salvor_proto::gateway::v1::{
    GatewayView, Unknown, UnknownReason,
    gateway_view::{self, State},
};
use salvor_proto::registry::v1::GatewayIdentity;
use salvor_proto::time;
use tokio::time::Instant;

use super::memory::Since;
use super::{Gateway, Link, lock};
use crate::classify::{Failure, Method};
use crate::dialect::Version;
use crate::transport::Documents;
use crate::vendor::{self, Client};

/// How long discovery documents are taken as they were while the connection lasts.
const DOCUMENTS_AGE: Duration = Duration::from_mins(1);
/// How long it is before documents that could not be read are asked for again.
const FAILURE_AGE: Duration = Duration::from_secs(5);

/// Discovery documents or why not, and when and over which connection they were asked for.
#[derive(Debug, Clone)]
pub(super) struct KnownDocuments {
    connections: u64,
    read: Instant,
    documents: Result<Documents, String>,
}

/// A gateway that answered as itself, and the client for its dialect.
#[derive(Debug, Clone)]
pub(crate) struct Healthy {
    /// As it calls itself.
    pub version_text: String,
    /// What that chooses.
    pub version: Version,
    /// What it identifies itself as.
    pub identity: GatewayIdentity,
    /// Since when it has been healthy.
    pub since: Since,
    /// How long the probe took.
    pub round_trip: Duration,
    /// Speaks its dialect.
    pub client: Client,
    pub(super) link: Arc<Link>,
}

/// What one probe found, and when.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    /// The finding.
    pub found: Result<Healthy, Unknown>,
    /// When the last answer arrived, in milliseconds since the epoch.
    pub at_ms: u64,
}

// === impl Gateway ===

impl Gateway {
    /// Asks the gateway who it is. Reads only; bounded by the limits on connecting and reading.
    pub(crate) async fn probe(&self) -> Probe {
        let found = self.ask().await;
        if found.is_err() {
            lock(&self.memory).unhealthy();
        }
        Probe { found, at_ms: self.now_ms() }
    }

    async fn ask(&self) -> Result<Healthy, Unknown> {
        let began = Instant::now();
        let link = self.link()?;
        let bound = self.limits().read;
        let asking = vendor::health(link.transport.channel());
        let health = self.call(&link, Method::Health, bound, asking).await?;
        let version = Version::parse(&health.version).ok_or_else(|| {
            let text = format!(
                "it calls its version {:?}, and only 0.0.x and 0.1.x are known here; none of its \
                 answers is believed",
                crate::classify::cut(health.version.clone())
            );
            self.unknown(UnknownReason::VersionUnknown, &text)
        })?;
        if !health.healthy {
            return Err(self.unknown(UnknownReason::Unavailable, "it says that it is not healthy"));
        }
        let client = Client::new(version.dialect, link.transport.channel());
        let (store_id, documents) = tokio::join!(
            self.call(&link, Method::Workspace, bound, client.store_id()),
            documents(&link)
        );
        let store_id = store_id?;
        if store_id.is_empty() {
            let text = "its workspace \"default\" has no id, so its store cannot be told";
            return Err(self.unknown(UnknownReason::Inconsistent, text));
        }
        let identity = self.identify(&link, store_id, documents)?;
        let connections = link.transport.connections();
        let (now_ms, gap) = (self.now_ms(), self.limits().gap);
        let since =
            lock(&self.memory).healthy(connections, &health.version, &identity, now_ms, gap);
        let round_trip = began.elapsed();
        let version_text = health.version;
        Ok(Healthy { version_text, version, identity, since, round_trip, client, link })
    }

    /// Puts the identity together and holds it against the pin.
    fn identify(
        &self,
        link: &Link,
        store_id: String,
        documents: Result<Documents, String>,
    ) -> Result<GatewayIdentity, Unknown> {
        let pinned = self.pinned();
        let documents = match documents {
            Ok(documents) => documents,
            Err(_) if pinned.signing_key_id.is_empty() && pinned.issuer.is_empty() => {
                Documents::default()
            }
            // Unread is not gone: a pinned key that could not be read is no foreign gateway.
            Err(problem) => return Err(self.unknown(UnknownReason::Unavailable, &problem)),
        };
        let identity = GatewayIdentity {
            store_id,
            signing_key_id: documents.signing_key_id,
            issuer: documents.issuer,
            ca_sha256: link.transport.authority().unwrap_or_default(),
        };
        match differing(&pinned, &identity) {
            None => Ok(identity),
            Some((what, pinned, found)) => {
                let found = if found.is_empty() { "none" } else { found };
                let text = format!(
                    "its {what} is {found} and {pinned} is pinned; it is another gateway, and none \
                     of its answers is believed"
                );
                Err(self.unknown(UnknownReason::ForeignGateway, &text))
            }
        }
    }
}

/// The documents, read anew for each new connection and once in a while.
async fn documents(link: &Link) -> Result<Documents, String> {
    let connections = link.transport.connections();
    let known = lock(&link.documents).clone().filter(|known| known.connections == connections);
    if let Some(known) = &known
        && known.read.elapsed() < if known.documents.is_ok() { DOCUMENTS_AGE } else { FAILURE_AGE }
    {
        return known.documents.clone();
    }
    let read = link.transport.documents().await.map_err(|error| error.to_string());
    // Over the same connection it is the same peer: what it said once still holds.
    let documents = match known.map(|known| known.documents) {
        Some(Ok(earlier)) if read.is_err() => Ok(earlier),
        _ => read,
    };
    let known = KnownDocuments { connections, read: Instant::now(), documents: documents.clone() };
    *lock(&link.documents) = Some(known);
    documents
}

/// The first pinned part that the gateway does not show: what, pinned, found.
pub(crate) fn differing<'a>(
    pinned: &'a GatewayIdentity,
    found: &'a GatewayIdentity,
) -> Option<(&'static str, &'a str, &'a str)> {
    let parts = [
        ("store id", &pinned.store_id, &found.store_id),
        ("signing key", &pinned.signing_key_id, &found.signing_key_id),
        ("issuer", &pinned.issuer, &found.issuer),
        ("certificate authority", &pinned.ca_sha256, &found.ca_sha256),
    ];
    let mut parts = parts.into_iter().map(|(what, pinned, found)| (what, &**pinned, &**found));
    parts.find(|(_, pinned, found)| !pinned.is_empty() && pinned != found)
}

// === impl Probe ===

impl Probe {
    /// As the contract has it.
    pub(crate) fn view(&self, gateway: &str) -> GatewayView {
        let state = match &self.found {
            Ok(healthy) => State::Healthy(healthy.view(self.at_ms)),
            Err(unknown) => State::Unknown(unknown.clone()),
        };
        GatewayView {
            gateway: gateway.to_owned(),
            state: Some(state),
            observe_time: Some(time::timestamp(self.at_ms)),
        }
    }
}

// === impl Healthy ===

impl Healthy {
    fn view(&self, at_ms: u64) -> gateway_view::Healthy {
        gateway_view::Healthy {
            version: self.version_text.clone(),
            dialect: self.version.dialect.proto().into(),
            identity: Some(self.identity.clone()),
            healthy_since: Some(time::timestamp(self.since.began.ms(at_ms))),
            capabilities: Some(self.version.capabilities()),
            round_trip: Some(time::duration(self.round_trip)),
        }
    }
}

impl From<Failure> for Unknown {
    fn from(failure: Failure) -> Self {
        failure.unknown()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pinned_parts_are_compared_and_a_missing_one_differs() {
        let part = |store: &str, key: &str| GatewayIdentity {
            store_id: store.into(),
            signing_key_id: key.into(),
            ..Default::default()
        };
        assert_eq!(differing(&part("", ""), &part("a", "k")), None);
        assert_eq!(differing(&part("a", ""), &part("a", "k")), None);
        assert_eq!(differing(&part("a", "k"), &part("b", "k")), Some(("store id", "a", "b")));
        assert_eq!(differing(&part("a", "k"), &part("a", "")), Some(("signing key", "k", "")));
    }
}
