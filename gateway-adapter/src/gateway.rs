//! One gateway: its connection, what it was last found to be, and every call to it.
//!
//! Invariant: no answer of a gateway is used before a probe has chosen its dialect and compared
//! its identity with the pin. Calls are bounded in number and time, and one gateway's calls never
//! wait for another's. Deliberately absent: what salvor's own API calls things.

mod absence;
mod began;
mod call;
mod ids;
mod memory;
mod observe;
mod probe;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use salvor_proto::gateway::v1::{Unknown, UnknownReason};
use salvor_proto::registry::v1::{Gateway as Record, GatewayIdentity};
use salvor_runtime::Clock;

use crate::classify::{Class, Failure};
use crate::transport::{self, Credentials, FileStamp, Transport};

pub(crate) use call::{Slots, Turn};
pub(crate) use observe::{Observation, Sighting};
pub(crate) use probe::{Healthy, Probe, differing};

/// Bounds on what is asked of one gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// For one attempt to connect, and again for its TLS handshake.
    pub connect: Duration,
    /// For one read.
    pub read: Duration,
    /// For one mutation.
    pub mutation: Duration,
    /// For an accepted mutation to show its effect.
    pub settle: Duration,
    /// Calls in flight.
    pub in_flight: usize,
    /// Calls that wait for one in flight to end; more are refused as rate limited.
    pub waiting: usize,
    /// Two probes further apart than this leave a gap: health counts anew after it.
    pub gap: Duration,
}

/// How a gateway is called.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    /// Over this network.
    pub(crate) network: salvor_net::Shared,
    /// Within these bounds.
    pub(crate) limits: Limits,
}

/// One gateway, shared by all that ask it. See the module.
#[derive(Debug)]
pub(crate) struct Gateway {
    name: String,
    way: Way,
    clock: Arc<dyn Clock>,
    settings: RwLock<Settings>,
    link: Mutex<Option<Arc<Link>>>,
    memory: Mutex<memory::Memory>,
    absences: Mutex<absence::Absences>,
    ids: ids::Ids,
    slots: Slots,
}

/// What the registry says of a gateway.
#[derive(Debug, Clone, PartialEq)]
struct Settings {
    endpoint: String,
    credentials: Credentials,
    pinned: GatewayIdentity,
}

/// A connection and what it was made from.
#[derive(Debug)]
struct Link {
    endpoint: String,
    credentials: Credentials,
    stamp: FileStamp,
    transport: Transport,
    documents: Mutex<Option<probe::KnownDocuments>>,
}

impl Default for Way {
    fn default() -> Self {
        Self { network: salvor_net::host(), limits: Limits::default() }
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            read: Duration::from_secs(5),
            mutation: Duration::from_secs(30),
            settle: Duration::from_secs(30),
            in_flight: 64,
            waiting: 256,
            gap: Duration::from_secs(15),
        }
    }
}

// === impl Gateway ===

impl Gateway {
    /// A gateway as the registry states it. Nothing is sent.
    pub(crate) fn new(record: &Record, way: Way, clock: Arc<dyn Clock>) -> Self {
        Self {
            name: record.name.clone(),
            slots: Slots::new(way.limits.in_flight, way.limits.waiting),
            way,
            clock,
            settings: RwLock::new(Settings::of(record)),
            link: Mutex::default(),
            memory: Mutex::default(),
            absences: Mutex::default(),
            ids: ids::Ids::default(),
        }
    }

    /// `gateways/{gateway}`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The bounds on its calls.
    pub(crate) fn limits(&self) -> &Limits {
        &self.way.limits
    }

    /// Milliseconds since the epoch, by the adapter's clock.
    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Takes what the registry says now. Another endpoint or other credentials take effect at the
    /// next call.
    pub(crate) fn update(&self, record: &Record) {
        let settings = Settings::of(record);
        let mut present = self.settings.write().unwrap_or_else(PoisonError::into_inner);
        if *present != settings {
            *present = settings;
        }
    }

    /// What the gateway must be.
    pub(crate) fn pinned(&self) -> GatewayIdentity {
        self.settings().pinned
    }

    fn settings(&self) -> Settings {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The connection for the present settings, made anew when they or their files have changed.
    fn link(&self) -> Result<Arc<Link>, Failure> {
        let Settings { endpoint, credentials, .. } = self.settings();
        let stamp = credentials.stamp();
        let mut present = lock(&self.link);
        if let Some(link) =
            present.as_ref().filter(|link| link.is_for(&endpoint, &credentials, &stamp))
        {
            return Ok(Arc::clone(link));
        }
        *present = None;
        let transport = Transport::new(&endpoint, &credentials, &self.way)
            .map_err(|error| self.unusable(&error))?;
        let documents = Mutex::default();
        let link = Arc::new(Link { endpoint, credentials, stamp, transport, documents });
        *present = Some(Arc::clone(&link));
        Ok(link)
    }

    fn unusable(&self, error: &transport::Error) -> Failure {
        let class = match error {
            transport::Error::Endpoint(_) => Class::NotConnected,
            transport::Error::Tls(_) => Class::TlsFailed,
            transport::Error::Token { .. } => Class::Unauthenticated,
        };
        Failure::new(class, format!("{}: {error}; nothing was sent", self.name))
    }

    fn unknown(&self, reason: UnknownReason, text: &str) -> Unknown {
        let detail = crate::classify::cut(format!("{}: {text}", self.name));
        Unknown { reason: reason.into(), detail }
    }
}

// === impl Settings ===

impl Settings {
    fn of(record: &Record) -> Self {
        Self {
            endpoint: record.endpoint.clone(),
            credentials: Credentials(record.credentials.clone()),
            pinned: record.pinned_identity.clone().unwrap_or_default(),
        }
    }
}

// === impl Link ===

impl Link {
    fn is_for(&self, endpoint: &str, credentials: &Credentials, stamp: &FileStamp) -> bool {
        self.endpoint == endpoint && self.credentials == *credentials && self.stamp == *stamp
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
