//! Plaintext, bearer tokens and mutual TLS, and what their failures are called.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use salvor_devgateway::{Auth, Dialect, Restart, Tls};
use salvor_proto::gateway::v1::gateway_view::State;
use salvor_proto::gateway::v1::{ProbeGatewayRequest, UnknownReason};
use salvor_proto::registry::v1::GatewayCredentials;
use salvor_runtime::telemetry;
use sha2::{Digest, Sha256};
use tracing::Instrument;

use crate::target::{BOTH, Target, bearer, mutual};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let params = CertificateParams::new(names).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    fn serve(&self, mutual: bool) -> Tls {
        let (cert, key) = self.issue();
        Tls {
            cert_pem: cert.into_bytes(),
            key_pem: key.into_bytes(),
            client_ca_pem: mutual.then(|| self.0.pem().into_bytes()),
        }
    }

    /// The files of a client that trusts `self` and is known to `issuer`.
    fn client_files(&self, issuer: &Self, directory: &Path) -> GatewayCredentials {
        let (cert, key) = issuer.issue();
        fs::write(directory.join("ca.crt"), self.0.pem()).unwrap();
        fs::write(directory.join("tls.crt"), cert).unwrap();
        fs::write(directory.join("tls.key"), key).unwrap();
        mutual(directory)
    }
}

/// Registers the target's gateway once more, with these credentials, and probes it.
async fn probe(
    target: &mut Target,
    name: &str,
    endpoint: &str,
    credentials: Option<GatewayCredentials>,
) -> State {
    let gateway = format!("gateways/{name}");
    target.bench.register(&gateway, endpoint, credentials).await;
    again(target, name).await
}

async fn again(target: &mut Target, name: &str) -> State {
    let request = ProbeGatewayRequest { gateway: format!("gateways/{name}") };
    let answer = target.bench.client.probe_gateway(request).await.unwrap().into_inner();
    answer.view.unwrap().state.unwrap()
}

fn reason(state: State) -> UnknownReason {
    match state {
        State::Unknown(unknown) => {
            assert!(!unknown.detail.contains("hunter2"), "{}", unknown.detail);
            unknown.reason()
        }
        State::Healthy(healthy) => panic!("healthy: {healthy:?}"),
    }
}

#[tokio::test]
async fn mutual_tls_admits_its_own_clients_and_names_every_failure() {
    for dialect in BOTH {
        let (own, foreign) = (Authority::new(), Authority::new());
        let tls = own.serve(true);
        let mut target =
            Target::dev_with(dialect, |config| config.auth = Auth::Mtls(tls), |_| ()).await;
        let uri = target.control().uri();
        let directories: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
        let good = own.client_files(&own, directories[0].path());
        let State::Healthy(healthy) = probe(&mut target, "good", &uri, Some(good)).await else {
            panic!("a good certificate is not admitted")
        };
        let authority = hex::encode(Sha256::digest(own.0.der()));
        assert_eq!(healthy.identity.unwrap().ca_sha256, authority);
        let stranger = own.client_files(&foreign, directories[1].path());
        let state = probe(&mut target, "stranger", &uri, Some(stranger)).await;
        assert_eq!(reason(state), UnknownReason::TlsFailed);
        let distrusting = foreign.client_files(&own, directories[2].path());
        let state = probe(&mut target, "distrusting", &uri, Some(distrusting)).await;
        assert_eq!(reason(state), UnknownReason::TlsFailed);
        fs::write(directories[3].path().join("token"), "hunter2").unwrap();
        let token = directories[3].path().join("token").display().to_string();
        let ca = directories[0].path().join("ca.crt").display().to_string();
        let state = probe(&mut target, "none", &uri, Some(bearer(&token, &ca))).await;
        assert_eq!(reason(state), UnknownReason::TlsFailed, "no client certificate");
        let state = probe(&mut target, "bare", &uri, None).await;
        assert_eq!(reason(state), UnknownReason::TlsFailed, "https and no authority");
        let plain = uri.replace("https", "http");
        let state = probe(&mut target, "plain", &plain, None).await;
        assert_eq!(reason(state), UnknownReason::TlsFailed, "plaintext on a TLS port");
    }
}

#[tokio::test]
async fn tls_to_a_plaintext_port_is_a_tls_failure() {
    let mut target = Target::dev(Dialect::V0_0).await;
    let own = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    let credentials = own.client_files(&own, directory.path());
    let uri = target.control().uri().replace("http", "https");
    let state = probe(&mut target, "tls", &uri, Some(credentials)).await;
    assert_eq!(reason(state), UnknownReason::TlsFailed);
}

#[tokio::test]
async fn a_bearer_token_is_read_from_its_file_and_read_again_when_that_changes() {
    for dialect in BOTH {
        let auth = Auth::Bearer { token: "hunter2-right".into(), tls: None };
        let mut target = Target::dev_with(dialect, |config| config.auth = auth, |_| ()).await;
        let uri = target.control().uri();
        let file = target.directory.path().join("token");
        let path = file.display().to_string();
        let state = probe(&mut target, "bearer", &uri, Some(bearer(&path, ""))).await;
        assert_eq!(reason(state), UnknownReason::Unauthenticated, "no file yet");
        fs::write(&file, "hunter2-wrong").unwrap();
        assert_eq!(reason(again(&mut target, "bearer").await), UnknownReason::Unauthenticated);
        fs::write(&file, "hunter2-right\n").unwrap();
        assert!(matches!(again(&mut target, "bearer").await, State::Healthy(_)));
        let state = probe(&mut target, "tokenless", &uri, None).await;
        assert_eq!(reason(state), UnknownReason::Unauthenticated);
    }
}

#[tokio::test]
async fn a_bearer_token_goes_over_tls_too() {
    let own = Authority::new();
    let auth = Auth::Bearer { token: "hunter2".into(), tls: Some(own.serve(false)) };
    let mut target = Target::dev_with(Dialect::V0_1, |config| config.auth = auth, |_| ()).await;
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).display().to_string();
    fs::write(file("ca.crt"), own.0.pem()).unwrap();
    fs::write(file("token"), "hunter2").unwrap();
    let credentials = bearer(&file("token"), &file("ca.crt"));
    let uri = target.control().uri();
    let state = probe(&mut target, "secure", &uri, Some(credentials)).await;
    assert!(matches!(state, State::Healthy(_)), "{state:?}");
}

#[tokio::test]
async fn a_gateway_that_is_away_is_unavailable_and_comes_back() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        target.control().down(Restart::Killed).await.unwrap();
        assert_eq!(reason(again(&mut target, "target").await), UnknownReason::Unavailable);
        let (effect, _) = target.create("coder").await;
        assert!(effect.detail.contains("Nothing was sent"), "{effect:?}");
        target.control().up().await.unwrap();
        assert!(matches!(again(&mut target, "target").await, State::Healthy(_)));
    }
}

#[tokio::test]
async fn a_port_that_never_answers_is_bounded() {
    let mut target = Target::dev_with(
        Dialect::V0_0,
        |_| (),
        |config| config.limits.read = std::time::Duration::from_secs(2),
    )
    .await;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let state = probe(&mut target, "silent", &endpoint, None).await;
    assert_eq!(reason(state), UnknownReason::DeadlineExceeded);
    let state = probe(&mut target, "nonsense", "http://127.0.0.1:1", None).await;
    assert_eq!(reason(state), UnknownReason::Unavailable);
}

#[tokio::test]
async fn the_trace_goes_on_into_the_gateway() {
    let exporter = telemetry::test_exporter();
    let mut target = Target::dev(Dialect::V0_0).await;
    target.control().clear_calls();
    let span = tracing::info_span!("caller");
    let trace = {
        let _entered = span.enter();
        telemetry::current_trace_id().unwrap()
    };
    let request = ProbeGatewayRequest { gateway: crate::target::GATEWAY.into() };
    let probing = target.bench.client.probe_gateway(request).instrument(span);
    probing.await.unwrap();
    let calls = target.control().calls();
    assert!(calls.iter().filter(|call| call.method == "Health").any(|call| {
        call.metadata.get("traceparent").is_some_and(|parent| parent.contains(&trace))
    }));
    assert!(!exporter.named("openshell.v1.OpenShell/Health").is_empty());
}
