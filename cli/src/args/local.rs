//! Options of `up` and `demo`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use salvor_gateway_adapter::{ReclaimArgs, RepositoryArgs};

/// Run all three services on this machine, in this process.
#[derive(Args, Clone, Debug)]
pub(crate) struct UpArgs {
    /// Directory of all data, made if it is not there [default: ~/.local/share/salvor]
    #[arg(long, env = "SALVOR_DATA_DIR", value_name = "DIRECTORY")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Loopback port of the registry; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 7301)]
    pub(crate) registry_port: u16,
    /// Loopback port of the recovery-orchestrator; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 7302)]
    pub(crate) orchestrator_port: u16,
    /// Loopback port of the gateway-adapter; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 7303)]
    pub(crate) adapter_port: u16,
    #[command(flatten)]
    pub(crate) repository: RepositoryArgs,
    /// Socket of this host's container runtime (Docker's API): captures sandboxes that their gateway cannot reach, and
    /// stops leftover containers
    #[arg(long, env = "SALVOR_RUNTIME_SOCKET", value_name = "SOCKET")]
    pub(crate) runtime_socket: Option<PathBuf>,
    /// Capture live sandboxes through the container runtime as well
    #[arg(long, env = "SALVOR_RUNTIME_LIVE", requires = "runtime_socket")]
    pub(crate) runtime_live: bool,
    #[command(flatten)]
    pub(crate) reclaim: ReclaimArgs,
    /// Run a development gateway as well, and register it as `dev`
    #[arg(long)]
    pub(crate) with_devgateway: bool,
    /// Loopback port of the development gateway; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 7304, requires = "with_devgateway")]
    pub(crate) devgateway_port: u16,
    /// The wire that the development gateway speaks
    #[arg(long, value_enum, default_value_t, requires = "with_devgateway")]
    pub(crate) devgateway_dialect: DialectName,
}

/// Lose a sandbox and bring it back.
#[derive(Args, Clone, Debug)]
pub(crate) struct DemoArgs {
    /// The wire that the development gateway speaks
    #[arg(long, value_enum, default_value_t)]
    pub(crate) devgateway_dialect: DialectName,
}

/// The wire that a development gateway speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DialectName {
    /// OpenShell 0.0.x
    #[default]
    #[value(name = "0.0")]
    V0_0,
    /// OpenShell 0.1.x
    #[value(name = "0.1")]
    V0_1,
}
