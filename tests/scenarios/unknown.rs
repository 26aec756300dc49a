//! T03: whatever keeps the owner gateway from being asked is `Unknown`, and refuses with a reason of its own.

use std::{collections::BTreeSet, path::Path, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use salvor_devgateway::{Auth, Config, Control, Dialect, Effect, Fault, Restart, Tls, user::User};
use salvor_proto::{
    gateway::v1::gateway_view::State,
    recovery::v1::Verdict,
    registry::v1::{BearerToken, GatewayCredentials, MutualTls, gateway_credentials::Method},
};
use salvor_testkit::{
    Fleet, Options,
    wait::{PATIENCE, until},
};
use tonic::Code;

use crate::{
    support::{AUTO, REBUILD, reason, seed},
    witness::{
        Witness, healthy, in_both_dialects, lose, lost, refused, register, reregister, start,
        verdict,
    },
};

/// What befalls the gateway, and the reason that must come of it.
type Case = (fn(&Control), &'static str);

const CASES: &[Case] = &[
    (|lab| fail_all(lab, Code::Unavailable, "connection refused"), "GATEWAY_UNAVAILABLE"),
    (|lab| fail_all(lab, Code::DeadlineExceeded, "timed out"), "GATEWAY_DEADLINE_EXCEEDED"),
    (|lab| fail_all(lab, Code::Unauthenticated, "who is there?"), "GATEWAY_UNAUTHENTICATED"),
    (|lab| fail_all(lab, Code::PermissionDenied, "not for you"), "GATEWAY_PERMISSION_DENIED"),
    (|lab| fail_all(lab, Code::Unimplemented, "no such method"), "GATEWAY_UNIMPLEMENTED"),
    (|lab| fail_all(lab, Code::Internal, "oh"), "GATEWAY_INTERNAL"),
    (|lab| lab.set_version("0.2.0"), "GATEWAY_VERSION_UNKNOWN"),
    (|lab| lab.set_rate_limit(Some((0, Duration::from_hours(1)))), "GATEWAY_RATE_LIMITED"),
];

fn fail_all(lab: &Control, code: Code, message: &str) {
    let effect = Effect::Fail { code: code as i32, message: message.to_owned() };
    lab.fault(Fault { method: None, sandbox: None, times: None, effect });
}

fn mend(lab: &Control, dialect: Dialect) {
    lab.clear_faults();
    lab.set_rate_limit(None);
    lab.set_version(match dialect {
        Dialect::V0_0 => "0.0.116",
        Dialect::V0_1 => "0.1.5",
    });
}

async fn fleet(dialect: Dialect) -> Fleet {
    Fleet::start(Options { gateways: vec![("lab", dialect)], ..Options::default() }).await.unwrap()
}

/// Refused on both paths, nothing touched, and the verdict says why.
async fn unknown(fleet: &Fleet, name: &str, before: &Witness, reason: &str) {
    for path in [REBUILD, AUTO] {
        let refused = refused(fleet, name, path, Code::Unavailable, reason).await;
        assert_eq!(refused.said.metadata["verdict"], "UNKNOWN");
    }
    let seen = verdict(fleet, name).await;
    assert_eq!(seen.verdict(), Verdict::Unknown, "{seen:#?}");
    before.assert_untouched(fleet).await;
}

in_both_dialects! {
    /// The sandbox really is gone here, so that only the missing answer stands between it and a recreate.
    async fn t03_an_owner_that_cannot_be_asked_is_refused_with_a_reason_of_its_own(dialect: Dialect) {
        let fleet = fleet(dialect).await;
        let name = lost(&fleet, "lab", "coder", &seed()).await;
        let lab = &fleet.gateway("lab").control;
        let before = Witness::of(&fleet, &[&name]).await;
        let mut reasons = BTreeSet::new();
        for (befall, reason) in CASES {
            befall(lab);
            unknown(&fleet, &name, &before, reason).await;
            mend(lab, dialect);
            assert!(reasons.insert(*reason), "{reason} for two causes");
        }
        // Nothing else was in the way.
        let recovery = fleet.recover(&name, REBUILD).await.unwrap();
        assert!(recovery.done, "{recovery:#?}");
        fleet.stop().await;
    }

    /// A probe that succeeds is no answer about the sandbox.
    async fn t03_a_look_that_fails_after_a_good_probe_is_no_absence(dialect: Dialect) {
        let fleet = fleet(dialect).await;
        let name = lost(&fleet, "lab", "coder", &seed()).await;
        let lab = &fleet.gateway("lab").control;
        let before = Witness::of(&fleet, &[&name]).await;
        for (code, reason) in [
            (Code::Unavailable, "GATEWAY_UNAVAILABLE"),
            (Code::Unauthenticated, "GATEWAY_UNAUTHENTICATED"),
            (Code::PermissionDenied, "GATEWAY_PERMISSION_DENIED"),
            (Code::Unimplemented, "GATEWAY_UNIMPLEMENTED"),
            (Code::Internal, "GATEWAY_INTERNAL"),
        ] {
            for method in ["GetSandbox", "ListSandboxes"] {
                lab.fault(Fault::fail(method, code, "not now"));
                unknown(&fleet, &name, &before, reason).await;
                lab.clear_faults();
            }
        }
        fleet.stop().await;
    }

    async fn t03_a_gateway_that_is_down_is_unavailable(dialect: Dialect) {
        let fleet = fleet(dialect).await;
        let name = lost(&fleet, "lab", "coder", &seed()).await;
        let lab = &fleet.gateway("lab").control;
        let before = Witness::of(&fleet, &[&name]).await;
        lab.down(Restart::Killed).await.unwrap();
        unknown(&fleet, &name, &before, "GATEWAY_UNAVAILABLE").await;
        fleet.stop().await;
    }

    /// An emptied store has no sandboxes at all: the most convincing absence there is, of another gateway.
    async fn t03_a_gateway_with_another_store_is_foreign(dialect: Dialect) {
        let fleet = fleet(dialect).await;
        let name = lost(&fleet, "lab", "coder", &seed()).await;
        let lab = &fleet.gateway("lab").control;
        let before = Witness::of(&fleet, &[&name]).await;
        lab.restart(Restart::EmptyStore).await.unwrap();
        // The first answer may be that of the broken connection.
        until("another gateway's answer", || async {
            let status = fleet.ask(&name, REBUILD).await.unwrap_err();
            (reason(&status) != "GATEWAY_UNAVAILABLE").then_some(())
        })
        .await;
        unknown(&fleet, &name, &before, "FOREIGN_GATEWAY").await;
        fleet.stop().await;
    }
}

/// No answer at all, on two records so that both paths wait side by side.
#[tokio::test]
async fn t03_a_gateway_that_never_answers_is_a_deadline_exceeded() {
    let read_timeout = Duration::from_secs(2);
    let fleet = Fleet::start(Options { read_timeout, ..Options::default() }).await.unwrap();
    let one = lost(&fleet, "lab", "one", &seed()).await;
    let two = lost(&fleet, "lab", "two", &seed()).await;
    let lab = &fleet.gateway("lab").control;
    let before = Witness::of(&fleet, &[&one, &two]).await;
    lab.fault(Fault::on("GetSandbox", Effect::Drop));
    let reason = "GATEWAY_DEADLINE_EXCEEDED";
    tokio::join!(
        refused(&fleet, &one, REBUILD, Code::Unavailable, reason),
        refused(&fleet, &two, AUTO, Code::Unavailable, reason),
    );
    before.assert_untouched(&fleet).await;
    fleet.stop().await;
}

#[tokio::test]
async fn t03_an_adapter_that_is_gone_is_not_the_gateway_being_gone() {
    let mut fleet = fleet(Dialect::V0_0).await;
    let name = lost(&fleet, "lab", "coder", &seed()).await;
    let before = Witness::of(&fleet, &[&name]).await;
    fleet.kill_adapter().await;
    unknown(&fleet, &name, &before, "ADAPTER_UNREACHABLE").await;
    fleet.stop().await;
}

#[tokio::test]
async fn t03_a_wrong_token_is_unauthenticated_and_a_right_one_mends_it() {
    let fleet = fleet(Dialect::V0_0).await;
    let token = fleet.dir().join("token");
    std::fs::write(&token, "right").unwrap();
    let own = start(Config {
        data_dir: fleet.dir().join("gateways/guarded"),
        auth: Auth::Bearer { token: "right".into(), tls: None },
        ..Config::default()
    })
    .await;
    let (control, bearer) = (
        own.control(),
        BearerToken { token_file: token.display().to_string(), ca_file: String::new() },
    );
    let credentials = GatewayCredentials { method: Some(Method::BearerToken(bearer)) };
    register(&fleet, "guarded", &control.uri(), Some(credentials)).await;
    healthy(&fleet, "guarded").await;
    let user = User::new(&control.uri(), Dialect::V0_0).unwrap().with_token("right");
    let name = captured(&fleet, "guarded", &control, &user).await;
    let before = Witness::of(&fleet, &[&name]).await.and(&control);

    std::fs::write(&token, "quite another").unwrap();
    unknown(&fleet, &name, &before, "GATEWAY_UNAUTHENTICATED").await;
    std::fs::write(&token, "right").unwrap();
    assert!(fleet.recover(&name, REBUILD).await.unwrap().done);
    own.shutdown().await;
    fleet.stop().await;
}

/// A gateway that begins to serve TLS: called in plaintext, with a file that is no certificate, under an authority that did
/// not sign it, and at last as it should be.
#[tokio::test]
async fn t03_a_failed_handshake_is_a_tls_failure_and_good_files_mend_it() {
    let fleet = fleet(Dialect::V0_0).await;
    let data_dir = fleet.dir().join("gateways/sealed");
    let plain = start(Config { data_dir: data_dir.clone(), ..Config::default() }).await;
    let control = plain.control();
    register(&fleet, "sealed", &control.uri(), None).await;
    healthy(&fleet, "sealed").await;
    let user = User::new(&control.uri(), Dialect::V0_0).unwrap();
    let name = captured(&fleet, "sealed", &control, &user).await;
    let listen = control.addr();
    plain.shutdown().await;

    let (right, wrong) =
        (Authority::new(fleet.dir(), "right"), Authority::new(fleet.dir(), "wrong"));
    let auth = Auth::Mtls(right.server());
    let secure = start(Config { data_dir, listen, auth, ..Config::default() }).await;
    let control = secure.control();
    let before = Witness::of(&fleet, &[&name]).await.and(&control);
    unknown(&fleet, &name, &before, "GATEWAY_TLS_FAILED").await;

    let garbage = fleet.dir().join("garbage.pem");
    std::fs::write(&garbage, "-----BEGIN NONSENSE").unwrap();
    for files in [right.client(&garbage), right.client(&wrong.ca()), wrong.client(&right.ca())] {
        let former = problem(&fleet, &name).await;
        present(&fleet, &control, files).await;
        until("another problem", || async {
            (problem(&fleet, &name).await != former).then_some(())
        })
        .await;
        // The registration is a write of the operator's, so each way to fail has a witness of its own.
        let before = Witness::of(&fleet, &[&name]).await.and(&control);
        unknown(&fleet, &name, &before, "GATEWAY_TLS_FAILED").await;
    }
    present(&fleet, &control, right.client(&right.ca())).await;
    healthy(&fleet, "sealed").await;
    assert!(fleet.recover(&name, REBUILD).await.unwrap().done);
    secure.shutdown().await;
    fleet.stop().await;
}

/// Created by a user on a gateway of the scenario's own, adopted, and lost.
async fn captured(fleet: &Fleet, gateway: &str, control: &Control, user: &User) -> String {
    user.create("coder", &seed()).await.unwrap();
    assert!(control.wait_phase("coder", salvor_devgateway::Phase::Ready, PATIENCE).await);
    let name = Fleet::name(gateway, "coder");
    fleet.adopt(&name).await.unwrap();
    lose(control, "coder").await;
    name
}

/// What the gateway's state is not known for, in words.
async fn problem(fleet: &Fleet, name: &str) -> String {
    match fleet.status(name).await.unwrap().gateway.and_then(|gateway| gateway.state) {
        Some(State::Unknown(unknown)) => unknown.detail,
        _ => String::new(),
    }
}

/// Takes other files into the gateway's registration.
async fn present(fleet: &Fleet, control: &Control, files: MutualTls) {
    let credentials = GatewayCredentials { method: Some(Method::MutualTls(files)) };
    reregister(fleet, "sealed", &["endpoint", "credentials"], |gateway| {
        gateway.endpoint = format!("https://localhost:{}", control.addr().port());
        gateway.credentials = Some(credentials);
    })
    .await;
}

/// A certificate authority with its files.
struct Authority {
    dir: std::path::PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new(dir: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = dir.join(name);
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("ca.pem"), issuer.pem()).unwrap();
        Self { dir, issuer }
    }

    fn ca(&self) -> std::path::PathBuf {
        self.dir.join("ca.pem")
    }

    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn server(&self) -> Tls {
        let (cert, key) = self.issue("localhost");
        let client_ca_pem = Some(self.issuer.pem().into_bytes());
        Tls { cert_pem: cert.into(), key_pem: key.into(), client_ca_pem }
    }

    /// A client's identity from this authority, trusting the one in `ca`.
    fn client(&self, ca: &Path) -> MutualTls {
        let (cert, key) = self.issue("salvor");
        let [cert_file, key_file] = ["cert.pem", "key.pem"].map(|file| self.dir.join(file));
        std::fs::write(&cert_file, cert).unwrap();
        std::fs::write(&key_file, key).unwrap();
        MutualTls {
            ca_file: ca.display().to_string(),
            certificate_file: cert_file.display().to_string(),
            key_file: key_file.display().to_string(),
        }
    }
}
