//! Command-line options that every binary shares, to be flattened into its own.
//!
//! Invariant: every option has an environment name `SALVOR_*` and a documented default.
//! Deliberately absent: a configuration file.

mod database;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::server::{Limits, Server};
use crate::telemetry::{self, LogFormat};
use crate::tls::{ClientTls, Error, ServerTls};

pub use database::{DatabaseArgs, DatabaseError};

/// How a service listens.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Listening")]
pub struct ServerArgs {
    /// Address to listen on; port 0 takes a free one [default: loopback, the service's own port]
    #[arg(long, env = "SALVOR_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Certificate chain of this server, PEM
    #[arg(long, env = "SALVOR_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of this server, PEM
    #[arg(long, env = "SALVOR_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Authority that callers' certificates must come from, PEM; makes TLS mutual
    #[arg(long, env = "SALVOR_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,
    /// Listen beyond loopback without mutual TLS: anyone who reaches the address can call
    #[arg(long, env = "SALVOR_INSECURE_PLAINTEXT_BEYOND_LOOPBACK")]
    pub insecure_plaintext_beyond_loopback: bool,
    /// Seconds that open calls get to end at shutdown
    #[arg(long, env = "SALVOR_DRAIN_SECONDS", value_name = "SECONDS", default_value_t = 10)]
    pub drain_seconds: u64,
}

impl ServerArgs {
    /// The address to listen on.
    pub fn listen_or(&self, default: SocketAddr) -> SocketAddr {
        self.listen.unwrap_or(default)
    }

    /// The server's TLS material; none if no file is given.
    ///
    /// # Errors
    /// [`Error`], naming the file or the option that is missing.
    pub fn tls(&self) -> Result<Option<ServerTls>, Error> {
        let cert = ("--tls-cert", self.tls_cert.as_deref());
        let key = ("--tls-key", self.tls_key.as_deref());
        match (pair(cert, key)?, &self.tls_client_ca) {
            (Some((cert, key)), ca) => ServerTls::load(cert, key, ca.as_deref()).map(Some),
            (None, Some(_)) => {
                Err(Error::Incomplete { given: "--tls-client-ca", missing: "--tls-cert" })
            }
            (None, None) => Ok(None),
        }
    }

    /// A server with these settings and the default limits, to which services are then added.
    ///
    /// # Errors
    /// As [`tls`](Self::tls).
    pub fn server(&self) -> Result<Server, Error> {
        let drain = Duration::from_secs(self.drain_seconds);
        Ok(Server::new(Limits { drain, ..Limits::default() })
            .tls(self.tls()?)
            .insecure_plaintext_beyond_loopback(self.insecure_plaintext_beyond_loopback))
    }
}

/// How a process proves itself to the services it calls.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Calling")]
pub struct ClientArgs {
    /// Authority of the certificates of called services, PEM; needed for https addresses
    #[arg(long, env = "SALVOR_SERVER_CA", value_name = "FILE")]
    pub server_ca: Option<PathBuf>,
    /// Certificate chain to show to called services, PEM
    #[arg(long, env = "SALVOR_CLIENT_CERT", value_name = "FILE")]
    pub client_cert: Option<PathBuf>,
    /// Private key of that certificate, PEM
    #[arg(long, env = "SALVOR_CLIENT_KEY", value_name = "FILE")]
    pub client_key: Option<PathBuf>,
}

impl ClientArgs {
    /// The client's TLS material; none if no file is given.
    ///
    /// # Errors
    /// [`Error`], naming the file or the option that is missing.
    pub fn tls(&self) -> Result<Option<ClientTls>, Error> {
        let cert = ("--client-cert", self.client_cert.as_deref());
        let key = ("--client-key", self.client_key.as_deref());
        match (pair(cert, key)?, &self.server_ca) {
            (identity, Some(ca)) => ClientTls::load(ca, identity).map(Some),
            (Some(_), None) => {
                Err(Error::Incomplete { given: "--client-cert", missing: "--server-ca" })
            }
            (None, None) => Ok(None),
        }
    }
}

/// What a process tells of itself.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Telemetry")]
pub struct TelemetryArgs {
    /// What to log, such as "debug" or "info,salvor_registry=debug"
    #[arg(long, env = "SALVOR_LOG", value_name = "FILTER", default_value = "info", global = true)]
    pub log: String,
    /// How log lines look
    #[arg(long, env = "SALVOR_LOG_FORMAT", value_name = "FORMAT", value_enum)]
    #[arg(default_value_t, global = true)]
    pub log_format: LogFormat,
    /// OTLP gRPC endpoint for traces and metrics, such as http://127.0.0.1:4317 [default: none]
    #[arg(long, env = "SALVOR_OTLP_ENDPOINT", value_name = "URL", global = true)]
    pub otlp_endpoint: Option<String>,
}

impl TelemetryArgs {
    /// These settings for one service.
    pub fn config(&self, service_name: &str, service_version: &str) -> telemetry::Config {
        telemetry::Config {
            filter: self.log.clone(),
            log_format: self.log_format,
            otlp_endpoint: self.otlp_endpoint.clone().filter(|endpoint| !endpoint.is_empty()),
            ..telemetry::Config::new(service_name, service_version)
        }
    }
}

/// Where a service keeps its data.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Data")]
pub struct DataArgs {
    /// Directory of this service's data, made if it is not there [default: ./salvor-data]
    #[arg(long, env = "SALVOR_DATA_DIR", value_name = "DIRECTORY")]
    pub data_dir: Option<PathBuf>,
}

impl DataArgs {
    /// The directory.
    pub fn directory(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| PathBuf::from("salvor-data"))
    }

    /// The database file `<directory>/<name>.db`.
    pub fn database(&self, name: &str) -> PathBuf {
        self.directory().join(format!("{name}.db"))
    }
}

type Given<'a> = (&'static str, Option<&'a Path>);

fn pair<'a>(first: Given<'a>, second: Given<'a>) -> Result<Option<(&'a Path, &'a Path)>, Error> {
    match (first.1, second.1) {
        (Some(one), Some(other)) => Ok(Some((one, other))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(Error::Incomplete { given: first.0, missing: second.0 }),
        (None, Some(_)) => Err(Error::Incomplete { given: second.0, missing: first.0 }),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Parser)]
    struct Everything {
        #[command(flatten)]
        server: ServerArgs,
        #[command(flatten)]
        client: ClientArgs,
        #[command(flatten)]
        telemetry: TelemetryArgs,
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        database: DatabaseArgs,
    }

    #[test]
    fn all_groups_fit_into_one_command_and_have_environment_names() {
        let command = Everything::command();
        command.clone().debug_assert();
        for argument in command.get_arguments().filter(|argument| argument.get_id() != "help") {
            let name = argument.get_env().and_then(|name| name.to_str());
            assert!(name.is_some_and(|name| name.starts_with("SALVOR_")), "{argument}");
        }
    }

    #[test]
    fn defaults_are_loopback_text_and_nothing_exported() {
        let parsed = Everything::parse_from(["salvor"]);
        let default = "127.0.0.1:7301".parse().unwrap();
        assert_eq!(parsed.server.listen_or(default), default);
        assert!(parsed.server.tls().unwrap().is_none());
        assert!(parsed.client.tls().unwrap().is_none());
        assert_eq!(parsed.telemetry.config("salvor", "0").otlp_endpoint, None);
        assert_eq!(parsed.data.database("registry"), Path::new("salvor-data/registry.db"));
    }

    #[test]
    fn half_an_identity_names_the_missing_option() {
        for (given, missing) in [
            ("--tls-cert", "--tls-key"),
            ("--tls-key", "--tls-cert"),
            ("--tls-client-ca", "--tls-cert"),
            ("--client-key", "--client-cert"),
        ] {
            let parsed = Everything::parse_from(["salvor", given, "file.pem"]);
            let error = parsed.server.tls().err().or(parsed.client.tls().err()).unwrap();
            let text = error.to_string();
            assert!(text.contains(given) && text.contains(missing), "{text}");
        }
    }
}
