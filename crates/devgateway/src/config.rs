//! How a development gateway is set up: one struct, given whole at start.
//!
//! Deliberately absent: anything that can change while it runs. That is [`crate::Control`]'s.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The wire that the gateway speaks. One gateway speaks exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dialect {
    /// OpenShell 0.0.x, as SDK 0.0.116 speaks it.
    #[serde(rename = "0.0")]
    V0_0,
    /// OpenShell 0.1.x, as SDK 0.1.5 speaks it.
    #[serde(rename = "0.1")]
    V0_1,
}

/// What sandboxes run in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Driver {
    /// A directory each, and processes of this host.
    #[default]
    Processes,
    /// A container each.
    Docker(DockerDriver),
    /// Nothing: containers are only remembered, and no command can be run in them. For simulations.
    Imaginary,
}

/// Settings of sandboxes in containers. Needs the `docker` command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerDriver {
    /// The runtime's socket.
    pub socket: PathBuf,
    /// The image of every sandbox, whatever its spec says. Needs bash, and a folder `/sandbox`.
    pub image: String,
    /// Keep the containers when the gateway ends, so that the next one on the same data directory brings the sandboxes
    /// back. Otherwise they are removed with it, those that no row owns included.
    pub keep: bool,
}

/// Certificates in PEM.
#[derive(Clone)]
pub struct Tls {
    /// The server's certificate chain.
    pub cert_pem: Vec<u8>,
    /// The server's private key.
    pub key_pem: Vec<u8>,
    /// Clients must present a certificate signed by this authority. `None`: they need none.
    pub client_ca_pem: Option<Vec<u8>>,
}

/// Who may call. `Health` is always open.
#[derive(Clone, Default)]
pub enum Auth {
    /// Anyone, without TLS.
    #[default]
    Plaintext,
    /// TLS; the caller's certificate is its identity when a client authority is set.
    Mtls(Tls),
    /// `authorization: Bearer <token>`, over plaintext or TLS.
    Bearer {
        /// The only token that is accepted.
        token: String,
        /// TLS underneath, if any.
        tls: Option<Tls>,
    },
}

/// What `/.well-known/` on the primary port says about the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Operator-chosen; the vendor's default is "openshell" everywhere.
    pub gateway_id: String,
    /// The signing key's id; it survives an emptied store.
    pub kid: String,
}

/// A development gateway's settings. `Default` is a plaintext 0.0.x gateway on a free port.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where gRPC and the well-known documents are served. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the control endpoint is served; loopback only. `None`: in-process control only.
    pub control: Option<SocketAddr>,
    /// Rows, and sandbox directories; created when missing.
    pub data_dir: PathBuf,
    /// Over which it is reached.
    pub network: salvor_net::Shared,
    /// The wire to speak.
    pub dialect: Dialect,
    /// Overrides the version that `Health` reports; it does not change the dialect.
    pub version: Option<String>,
    /// Every phase timing of a real gateway is multiplied by this. Tests use about 0.02.
    pub time_scale: f64,
    /// Who may call.
    pub auth: Auth,
    /// Served under `/.well-known/` when set, as when a real gateway has signing keys.
    pub identity: Option<Identity>,
    /// What sandboxes run in.
    pub driver: Driver,
    /// Image references that contain one of these fail to pull.
    pub missing_images: Vec<String>,
}

// === impl Dialect ===

impl Dialect {
    /// The version that `Health` reports unless overridden.
    pub fn default_version(self) -> &'static str {
        match self {
            Self::V0_0 => "0.0.116",
            Self::V0_1 => "0.1.5",
        }
    }
}

// === impl Tls ===

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("client_ca", &self.client_ca_pem.is_some())
            .finish_non_exhaustive()
    }
}

// === impl Auth ===

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plaintext => f.write_str("Plaintext"),
            Self::Mtls(tls) => f.debug_tuple("Mtls").field(tls).finish(),
            Self::Bearer { tls, .. } => {
                f.debug_struct("Bearer").field("tls", tls).finish_non_exhaustive()
            }
        }
    }
}

impl Auth {
    /// The TLS material of this mode, if it has any.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        match self {
            Self::Plaintext => None,
            Self::Mtls(tls) => Some(tls),
            Self::Bearer { tls, .. } => tls.as_ref(),
        }
    }

    /// The token that callers must present, if any.
    pub(crate) fn token(&self) -> Option<&str> {
        match self {
            Self::Bearer { token, .. } => Some(token),
            Self::Plaintext | Self::Mtls(_) => None,
        }
    }
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            control: None,
            data_dir: PathBuf::from("devgateway-data"),
            network: salvor_net::host(),
            dialect: Dialect::V0_0,
            version: None,
            time_scale: 1.0,
            auth: Auth::Plaintext,
            identity: None,
            driver: Driver::Processes,
            missing_images: vec!["missing".to_owned()],
        }
    }
}

impl Config {
    /// A real gateway's timing, scaled for this one.
    pub(crate) fn scaled(&self, real: Duration) -> Duration {
        real.mul_f64(self.time_scale)
    }
}
