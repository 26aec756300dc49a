//! The port itself: authentication, limits, unknown calls, and the well-known documents.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use salvor_devgateway::{Auth, DevGateway, Dialect, Error, Fault, Identity, Order, Tls};
use salvor_openshell_wire::v0_0 as pb;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity as ClientIdentity};
use tonic::{Code, Request};

use crate::client::{Client, Create, refusal, said};
use crate::{BOTH, Fixture, config_for};

#[tokio::test]
async fn messages_over_a_mebibyte_are_refused_and_large_answers_are_not() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        let mut huge = Create::named("agent");
        huge.spec = Some(vec![0; 1_048_577]);
        let (code, text) = refusal(fixture.client.create_as(huge).await);
        assert_eq!(code, Code::OutOfRange);
        assert!(text.starts_with("Error, decoded message length too large: found"), "{text}");
        assert!(text.ends_with("the limit is: 1048576 bytes"), "{text}");
        for index in 0..5 {
            let mut create = Create::named(&format!("s{index}"));
            for note in 0..120 {
                create.annotations.insert(format!("note-{note}"), "x".repeat(8000));
            }
            fixture.client.create_as(create).await.unwrap();
        }
        assert_eq!(fixture.client.list("").await.unwrap().len(), 5, "over 4 MiB");
    }
}

#[tokio::test]
async fn bearer_tokens_are_checked_everywhere_but_at_health() {
    let token = "right".to_owned();
    let auth = Auth::Bearer { token, tls: None };
    let mut fixture = Fixture::with(Dialect::V0_0, |config| config.auth = auth).await;
    fixture.client.version().await.unwrap();
    let mut get = async |header: Option<&str>| {
        let mut request =
            Request::new(pb::GetSandboxRequest { name: "a".into(), ..Default::default() });
        if let Some(header) = header {
            request.metadata_mut().insert("authorization", header.parse().unwrap());
        }
        refusal(fixture.client.v0_0().get_sandbox(request).await)
    };
    let missing = said(Code::Unauthenticated, "missing authorization header");
    assert_eq!(get(None).await, missing);
    assert_eq!(get(Some("Basic x")).await, missing);
    assert_eq!(get(Some("Bearer wrong")).await, said(Code::Unauthenticated, "invalid token"));
    assert_eq!(get(Some("Bearer right")).await, said(Code::NotFound, "sandbox not found"));
    let outcomes: Vec<_> =
        fixture.control().calls().into_iter().filter_map(|call| call.outcome).collect();
    assert_eq!(outcomes, [0, 16, 16, 16, 5], "refused calls are logged too");
}

#[tokio::test]
async fn mutual_tls_admits_its_own_clients_only() {
    let own = Authority::new();
    let foreign = Authority::new();
    let (cert, key) = own.issue();
    let tls = Tls {
        cert_pem: cert.into_bytes(),
        key_pem: key.into_bytes(),
        client_ca_pem: Some(own.pem().into_bytes()),
    };
    let fixture = Fixture::with(Dialect::V0_0, |config| config.auth = Auth::Mtls(tls)).await;
    let connect = async |identity: Option<(String, String)>| {
        let mut tls = ClientTlsConfig::new()
            .domain_name("localhost")
            .ca_certificate(Certificate::from_pem(own.pem()));
        if let Some((cert, key)) = identity {
            tls = tls.identity(ClientIdentity::from_pem(cert, key));
        }
        let endpoint = Endpoint::from_shared(fixture.running.uri()).unwrap();
        let channel = endpoint.tls_config(tls).unwrap().connect_lazy();
        Client::over(channel, Dialect::V0_0).version().await
    };
    assert!(connect(Some(own.issue())).await.is_ok());
    for identity in [None, Some(foreign.issue())] {
        // The alert comes after the connect; tonic calls it one or the other.
        let (code, text) = refusal(connect(identity).await);
        assert!(matches!(code, Code::Unavailable | Code::Unknown), "{code:?}: {text}");
    }
    // Plaintext gRPC at a TLS port meets the plaintext router.
    let uri = format!("http://{}", fixture.running.addr());
    let mut plain = Client::connect(&uri, Dialect::V0_0);
    let (code, text) = refusal(plain.version().await);
    assert_eq!(code, Code::Unimplemented);
    assert!(text.contains("404"), "{text}");
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn issue(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

/// One HTTP/1.1 request, and everything that comes back.
async fn http(addr: std::net::SocketAddr, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!(
        "{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_well_known_documents_name_the_gateway_when_it_has_an_identity() {
    let identity = Identity { gateway_id: "gw-1".into(), kid: "key-1".into() };
    let fixture = Fixture::with(Dialect::V0_0, |config| config.identity = Some(identity)).await;
    let addr = fixture.running.addr();
    let issuer = http(addr, "GET /.well-known/openid-configuration", "").await;
    assert!(issuer.contains("200 OK") && issuer.contains("openshell-gateway:gw-1"), "{issuer}");
    let keys = http(addr, "GET /.well-known/jwks.json", "").await;
    assert!(keys.contains("\"kid\":\"key-1\""), "{keys}");
    assert!(http(addr, "GET /healthz", "").await.contains("404"));

    let bare = Fixture::new(Dialect::V0_0).await;
    let answer = http(bare.running.addr(), "GET /.well-known/jwks.json", "").await;
    assert!(answer.contains("404"), "{answer}");
}

#[tokio::test]
async fn what_is_not_served_says_so_and_every_answer_has_a_request_id() {
    for dialect in BOTH {
        let fixture = Fixture::new(dialect).await;
        let endpoint = Endpoint::from_shared(fixture.running.uri()).unwrap();
        let channel = endpoint.connect().await.unwrap();
        for path in [
            "/openshell.v1.OpenShell/NoSuchMethod",
            "/grpc.health.v1.Health/Check",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        ] {
            let mut client = tonic::client::Grpc::new(channel.clone());
            client.ready().await.unwrap();
            let codec = tonic_prost::ProstCodec::<(), ()>::default();
            let result = client.unary(Request::new(()), path.parse().unwrap(), codec).await;
            let status = result.expect_err("a refusal");
            assert_eq!(status.code(), Code::Unimplemented, "{path}");
            assert!(status.metadata().contains_key("x-request-id"), "{path}");
        }
    }
    let mut fixture = Fixture::new(Dialect::V0_0).await;
    let reply = fixture.client.v0_0().health(pb::HealthRequest {}).await.unwrap();
    assert_eq!(reply.metadata().get("x-request-id").unwrap().len(), 36);
}

#[tokio::test]
async fn the_control_endpoint_carries_out_orders_and_stays_on_loopback() {
    let loopback = "127.0.0.1:0".parse().unwrap();
    let mut fixture = Fixture::with(Dialect::V0_0, |config| config.control = Some(loopback)).await;
    let addr = fixture.running.control_addr().unwrap();
    fixture.ready("agent").await;
    let fault = Fault::fail("GetSandbox", Code::Aborted, "told to").times(1);
    let order = serde_json::to_string(&Order::Fault { fault }).unwrap();
    assert!(http(addr, "POST /control", &order).await.contains("200 OK"));
    assert_eq!(refusal(fixture.client.get("agent").await), said(Code::Aborted, "told to"));
    let lose = r#"{"do":"lose","sandbox":"agent"}"#;
    assert!(http(addr, "POST /control", lose).await.contains("200 OK"));
    assert!(fixture.control().wait_absent("agent", Duration::from_secs(20)).await);
    assert!(http(addr, "POST /control", lose).await.contains("404"));
    assert!(http(addr, "POST /control", "{}").await.contains("400"));
    assert!(http(addr, "GET /calls", "").await.contains("\"method\":\"GetSandbox\""));

    let mut config = config_for(&fixture.dir, Dialect::V0_0);
    config.control = Some("0.0.0.0:0".parse().unwrap());
    let refused = DevGateway::start(config).await;
    assert!(matches!(refused, Err(Error::ControlNotLoopback(_))));
}
