//! `salvor-devgateway`: the development gateway as a process of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Parser, ValueEnum};
use salvor_devgateway::{Auth, Config, DevGateway, Dialect, DockerDriver, Driver, Identity, Tls};

/// Runs a gateway for development: OpenShell's API over plain processes and directories, or over containers.
///
/// With processes nothing is isolated: commands run as the current user.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where gRPC is served.
    #[arg(long, default_value = "127.0.0.1:7304")]
    listen: SocketAddr,
    /// Listen beyond loopback without mutual TLS: anyone who reaches the address can run commands
    /// here as this user.
    #[arg(long)]
    insecure_plaintext_beyond_loopback: bool,
    /// Where the control endpoint is served; loopback only.
    #[arg(long)]
    control: Option<SocketAddr>,
    /// Rows and sandbox directories.
    #[arg(long)]
    data_dir: PathBuf,
    /// The wire to speak.
    #[arg(long, value_enum, default_value = "0.0")]
    dialect: DialectName,
    /// Report this version instead of the dialect's own.
    #[arg(long)]
    version_string: Option<String>,
    /// Multiplies every phase timing of a real gateway.
    #[arg(long, default_value_t = 1.0)]
    time_scale: f64,
    /// What sandboxes run in.
    #[arg(long, value_enum, default_value = "processes")]
    driver: DriverName,
    /// With containers: the runtime's socket.
    #[arg(long, default_value = "/var/run/docker.sock")]
    docker_socket: PathBuf,
    /// With containers: the image of every sandbox, with bash and a folder /sandbox in it.
    #[arg(long, required_if_eq("driver", "docker"))]
    docker_image: Option<String>,
    /// Server certificate chain, PEM.
    #[arg(long, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Server key, PEM.
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Require client certificates of this authority, PEM.
    #[arg(long, requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// Require this bearer token.
    #[arg(long, env = "SALVOR_DEVGATEWAY_BEARER_TOKEN", hide_env_values = true)]
    bearer_token: Option<String>,
    /// Serve the well-known documents with this gateway id and this key id.
    #[arg(long, num_args = 2, value_names = ["GATEWAY_ID", "KID"])]
    identity: Option<Vec<String>>,
}

#[derive(Clone, Copy, ValueEnum)]
enum DialectName {
    #[value(name = "0.0")]
    V0_0,
    #[value(name = "0.1")]
    V0_1,
}

#[derive(Clone, Copy, ValueEnum)]
enum DriverName {
    /// A directory each, and processes of this host.
    Processes,
    /// A container each; they are kept when the gateway ends.
    Docker,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let gateway = DevGateway::start(config(Arguments::parse())?).await?;
    println!("listening on {}", gateway.uri());
    if let Some(control) = gateway.control_addr() {
        println!("control on http://{control}");
    }
    interrupted().await?;
    gateway.shutdown().await;
    Ok(())
}

fn config(arguments: Arguments) -> anyhow::Result<Config> {
    if !(arguments.time_scale.is_finite() && arguments.time_scale >= 0.0) {
        bail!("--time-scale must be a number that is not negative");
    }
    let loopback = arguments.listen.ip().to_canonical().is_loopback();
    if !loopback
        && arguments.tls_client_ca.is_none()
        && !arguments.insecure_plaintext_beyond_loopback
    {
        bail!(
            "{} is not loopback, and whoever reaches it could run commands here: listen on \
             127.0.0.1, require client certificates with --tls-client-ca, or accept the danger \
             with --insecure-plaintext-beyond-loopback",
            arguments.listen
        );
    }
    let read =
        |path: &PathBuf| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let tls = match (&arguments.tls_cert, &arguments.tls_key) {
        (Some(cert), Some(key)) => Some(Tls {
            cert_pem: read(cert)?,
            key_pem: read(key)?,
            client_ca_pem: arguments.tls_client_ca.as_ref().map(read).transpose()?,
        }),
        _ => None,
    };
    let auth = match (arguments.bearer_token, tls) {
        (Some(token), tls) => Auth::Bearer { token, tls },
        (None, Some(tls)) => Auth::Mtls(tls),
        (None, None) => Auth::Plaintext,
    };
    let identity = match arguments.identity.as_deref() {
        Some([gateway_id, kid]) => {
            Some(Identity { gateway_id: gateway_id.clone(), kid: kid.clone() })
        }
        _ => None,
    };
    let driver = match (arguments.driver, arguments.docker_image) {
        (DriverName::Processes, _) => Driver::Processes,
        (DriverName::Docker, image) => Driver::Docker(DockerDriver {
            socket: arguments.docker_socket,
            image: image.unwrap_or_default(),
            keep: true,
        }),
    };
    Ok(Config {
        listen: arguments.listen,
        control: arguments.control,
        data_dir: arguments.data_dir,
        dialect: match arguments.dialect {
            DialectName::V0_0 => Dialect::V0_0,
            DialectName::V0_1 => Dialect::V0_1,
        },
        version: arguments.version_string,
        time_scale: arguments.time_scale,
        auth,
        identity,
        driver,
        ..Config::default()
    })
}

async fn interrupted() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
