use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use salvor_runtime::Server;
use salvor_runtime::channel::{self, Endpoint, Unanswered, unanswered};
use salvor_runtime::server::{Error, Limits};
use salvor_runtime::telemetry::test_exporter;
use salvor_runtime::tls::{ClientTls, ServerTls};
use tokio::net::TcpListener;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::support::{Running, serve_on};

struct Authority {
    dir: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { dir, issuer }
    }

    fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Certificate and key files of a new identity.
    fn issue(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let files =
            ["cert.pem", "key.pem"].map(|kind| self.dir.path().join(format!("{name}-{kind}")));
        std::fs::write(&files[0], cert.pem()).unwrap();
        std::fs::write(&files[1], key.serialize_pem()).unwrap();
        let [cert, key] = files;
        (cert, key)
    }

    async fn serve(&self, address: &str) -> Running {
        let (cert, key) = self.issue("localhost");
        let tls = ServerTls::load(&cert, &key, Some(&self.ca())).unwrap();
        serve_on(address, Server::new(Limits::default()).tls(Some(tls))).await
    }

    fn client(&self, running: &Running, identity: Option<&(PathBuf, PathBuf)>) -> Endpoint {
        let identity = identity.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path()));
        let tls = ClientTls::load(&self.ca(), identity).unwrap();
        Endpoint::new(format!("https://localhost:{}", running.address.port())).with_tls(Some(tls))
    }
}

async fn check(endpoint: &Endpoint) -> Result<(), tonic::Status> {
    let mut client = HealthClient::new(channel::connect_lazy(endpoint).unwrap());
    client.check(HealthCheckRequest::default()).await.map(drop)
}

#[tokio::test]
async fn mutual_tls_lets_in_only_certificates_of_its_authority() {
    let exporter = test_exporter();
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = ours.serve("127.0.0.1:0").await;
    check(&ours.client(&server, Some(&ours.issue("operator")))).await.unwrap();
    exporter.wait_until(|_| exporter.named("grpc.health.v1.Health/Check").len() == 2).await;
    let known = exporter.with("grpc.health.v1.Health/Check", "client.address", "127.0.0.1");
    assert_eq!(known.len(), 1, "addresses are known behind TLS too");

    check(&ours.client(&server, None)).await.unwrap_err();
    check(&ours.client(&server, Some(&theirs.issue("stranger")))).await.unwrap_err();
    check(&theirs.client(&server, Some(&theirs.issue("stranger")))).await.unwrap_err();
    check(&server.endpoint()).await.unwrap_err();
    server.stop().await;
}

#[tokio::test]
async fn mutual_tls_permits_an_address_beyond_loopback_and_tls_alone_does_not() {
    let ours = Authority::new();
    let server = ours.serve("0.0.0.0:0").await;
    check(&ours.client(&server, Some(&ours.issue("operator")))).await.unwrap();
    server.stop().await;

    let (cert, key) = ours.issue("localhost");
    let tls = ServerTls::load(&cert, &key, None).unwrap();
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let server = Server::new(Limits::default()).tls(Some(tls));
    assert!(matches!(
        server.run(listener, std::future::pending()).await,
        Err(Error::Exposed { .. })
    ));
}

#[tokio::test]
async fn replicas_are_called_by_mutual_tls_as_one_is() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (one, other) = (ours.serve("127.0.0.1:0").await, ours.serve("127.0.0.1:0").await);
    let operator = ours.issue("operator");
    let both = |authority: &Authority| {
        let [one, other] = [&one, &other].map(|at| authority.client(at, Some(&operator)));
        Endpoint { address: format!("{},{}", one.address, other.address), ..one }
    };
    check(&both(&ours)).await.unwrap();
    let status = check(&both(&theirs)).await.unwrap_err();
    assert_eq!(unanswered(&status), Some(Unanswered::NotSent), "{status}");
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_key_of_another_certificate_is_refused_at_the_start() {
    let ours = Authority::new();
    let (cert, _) = ours.issue("localhost");
    let (_, key) = ours.issue("other");
    let tls = ServerTls::load(&cert, &key, None).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::new(Limits::default()).tls(Some(tls));
    assert!(matches!(server.run(listener, std::future::pending()).await, Err(Error::Tls(_))));
}
