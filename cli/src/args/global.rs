//! Options of every command.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use salvor_runtime::config::ClientArgs;
use salvor_runtime::telemetry::{Config, LogFormat};

/// What answers look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// One JSON document; one JSON object a line for streams; the last line for errors
    Json,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Options of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// What answers look like
    #[arg(long, short, global = true, value_enum, default_value_t, env = "SALVOR_OUTPUT")]
    pub(crate) output: Format,
    /// When to colour
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Color,
    /// Address of the registry, or those of its replicas, separated by commas
    #[arg(long, global = true, env = "SALVOR_REGISTRY", value_name = "URL")]
    #[arg(default_value = "http://127.0.0.1:7301")]
    pub(crate) registry: String,
    /// Address of the recovery-orchestrator, or those of its replicas, separated by commas
    #[arg(long, global = true, env = "SALVOR_ORCHESTRATOR", value_name = "URL")]
    #[arg(default_value = "http://127.0.0.1:7302")]
    pub(crate) orchestrator: String,
    /// Address of the gateway-adapter [default: the one that serves the gateway, and for probes
    /// http://127.0.0.1:7303]
    #[arg(long, global = true, env = "SALVOR_ADAPTER", value_name = "URL")]
    pub(crate) adapter: Option<String>,
    /// Authority of the services' certificates, PEM; needed for https addresses
    #[arg(long, global = true, env = "SALVOR_SERVER_CA", value_name = "FILE")]
    pub(crate) server_ca: Option<PathBuf>,
    /// Certificate chain to show to the services, PEM
    #[arg(long, global = true, env = "SALVOR_CLIENT_CERT", value_name = "FILE")]
    pub(crate) client_cert: Option<PathBuf>,
    /// Private key of that certificate, PEM
    #[arg(long, global = true, env = "SALVOR_CLIENT_KEY", value_name = "FILE")]
    pub(crate) client_key: Option<PathBuf>,
    /// OTLP gRPC endpoint for traces, such as http://127.0.0.1:4317 [default: none]
    #[arg(long, global = true, env = "SALVOR_OTLP_ENDPOINT", value_name = "URL")]
    pub(crate) otlp_endpoint: Option<String>,
    /// What to log to stderr, such as "debug" [default: info for `up`, nothing below errors otherwise]
    #[arg(long, global = true, env = "SALVOR_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// How log lines look
    #[arg(long, global = true, env = "SALVOR_LOG_FORMAT", value_enum, default_value_t)]
    #[arg(value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
}

// === impl GlobalArgs ===

impl GlobalArgs {
    /// How to prove oneself to the services.
    pub(crate) fn client(&self) -> ClientArgs {
        ClientArgs {
            server_ca: self.server_ca.clone(),
            client_cert: self.client_cert.clone(),
            client_key: self.client_key.clone(),
        }
    }

    /// What this process tells of itself; `filter` is what to log unless told.
    pub(crate) fn telemetry(&self, filter: &str) -> Config {
        Config {
            filter: self.log.clone().unwrap_or_else(|| filter.to_owned()),
            log_format: self.log_format,
            otlp_endpoint: self.otlp_endpoint.clone().filter(|endpoint| !endpoint.is_empty()),
            ..Config::new("salvor", env!("CARGO_PKG_VERSION"))
        }
    }
}
