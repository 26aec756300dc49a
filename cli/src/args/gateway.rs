//! Options of `gateways` and `default`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What to do with gateways.
#[derive(Debug, Subcommand)]
pub(crate) enum GatewaysCommand {
    /// List the gateways, and what their adapters said last
    List,
    /// Make a gateway known
    Add {
        /// What to call it: 1 to 63 of a-z, 0-9 and '-'
        name: String,
        /// Where it listens, such as https://127.0.0.1:8080
        endpoint: String,
        #[command(flatten)]
        credentials: Credentials,
        /// The adapter that is to serve it [default: whichever serves unassigned ones]
        #[arg(long, value_name = "ID")]
        adapter_id: Option<String>,
    },
    /// Change where a gateway listens or how to authenticate to it
    Update {
        /// Which
        name: String,
        /// Where it listens now
        #[arg(long, value_name = "URL")]
        endpoint: Option<String>,
        #[command(flatten)]
        credentials: Credentials,
        /// Use no credentials any more
        #[arg(long, conflicts_with_all = ["gateway_ca", "gateway_cert", "gateway_key", "token_file"])]
        no_credentials: bool,
        /// The adapter that is to serve it
        #[arg(long, value_name = "ID")]
        adapter_id: Option<String>,
    },
    /// Forget a gateway; refused while a record is bound to it
    Remove {
        /// Which
        name: String,
    },
    /// Accept what a gateway identifies itself as now in place of what was pinned
    Repin {
        /// Which
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Ask a gateway now who it is and how it is, through its adapter
    Probe {
        /// Which
        name: String,
    },
}

/// How the adapter authenticates; the files are on the adapter's host.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Credentials {
    /// Authority of the gateway's certificate, PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) gateway_ca: Option<PathBuf>,
    /// Client certificate, PEM
    #[arg(long, value_name = "FILE", requires = "gateway_key", requires = "gateway_ca")]
    pub(crate) gateway_cert: Option<PathBuf>,
    /// Key of the client certificate, PEM
    #[arg(long, value_name = "FILE", requires = "gateway_cert")]
    pub(crate) gateway_key: Option<PathBuf>,
    /// File that holds a bearer token
    #[arg(long, value_name = "FILE", conflicts_with = "gateway_cert")]
    pub(crate) token_file: Option<PathBuf>,
}

/// What to do with the default pointer.
#[derive(Debug, Subcommand)]
pub(crate) enum DefaultCommand {
    /// Show the default sandbox
    Get,
    /// Make a sandbox the default
    Set {
        /// NAME, WORKSPACE/NAME, GATEWAY/WORKSPACE/NAME or the full name
        name: String,
    },
    /// Have no default
    Clear,
}
