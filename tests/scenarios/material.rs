//! T09, T10, T11: what a recreate is made from is checked before anything is touched, and used exactly as recorded.

use std::{collections::BTreeMap, process::Command};

use salvor_devgateway::{Config, CreateFacts, Dialect, Fault, Phase, user::Seed, user::User};
use salvor_proto::{
    recovery::v1::{decision, recovery::State},
    registry::v1 as registry,
};
use salvor_testkit::{Fleet, Options, wait::PATIENCE};
use tonic::Code;

use crate::{
    support::{AUTO, REBUILD, seed},
    witness::{
        Refused, Witness, adopted, believed, healthy, in_both_dialects, lose, lost, plan, refused,
        register, start,
    },
};

/// `SandboxSpec.policy`, in both dialects.
const POLICY: u64 = 7;
/// Handed to the child of [`t10_the_process_environment_has_no_influence`].
const CHILD: &str = "SALVOR_SCENARIO_CHILD";

async fn fleet(dialect: Dialect) -> Fleet {
    Fleet::start(Options { gateways: vec![("lab", dialect)], ..Options::default() }).await.unwrap()
}

/// The one create that a gateway was asked for since its calls were cleared.
fn created(fleet: &Fleet) -> (String, CreateFacts) {
    let mut calls = fleet.gateway("lab").control.mutating_calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    let call = calls.remove(0);
    assert_eq!(call.method, "CreateSandbox");
    (call.name, call.create.unwrap())
}

fn with_provider() -> Seed {
    Seed { providers: vec!["vault".into()], ..seed() }
}

/// The only guard that refused.
fn only_guard(refused: &Refused) -> &str {
    let no = decision::Result::Refuse;
    let mut guards = refused.decisions.iter().filter(|d| d.result() == no);
    let first = guards.next().unwrap();
    assert!(guards.next().is_none(), "{:#?}", refused.decisions);
    &first.guard
}

in_both_dialects! {
    /// Missing, run out, or not to be told: nothing is created, no other provider takes its place, and a mended one is used.
    async fn t09_a_recreate_waits_for_the_recorded_provider(dialect: Dialect) {
        let fleet = fleet(dialect).await;
        let lab = fleet.gateway("lab");
        lab.user.create_provider("vault", None).await.unwrap();
        lab.user.create_provider("vault-2", None).await.unwrap();
        let name = lost(&fleet, "lab", "coder", &with_provider()).await;
        believed(&fleet, &name).await;
        let before = Witness::of(&fleet, &[&name]).await;

        lab.control.fault(Fault::fail("GetProvider", Code::Unavailable, "not now"));
        for path in [REBUILD, AUTO] {
            let refused =
                refused(&fleet, &name, path, Code::Unavailable, "GATEWAY_UNAVAILABLE").await;
            assert_eq!(only_guard(&refused), "providers_are_usable");
        }
        before.assert_untouched(&fleet).await;
        lab.control.clear_faults();

        lab.user.delete_provider("vault").await.unwrap();
        let before = Witness::of(&fleet, &[&name]).await;
        for path in [REBUILD, AUTO] {
            let refused =
                refused(&fleet, &name, path, Code::FailedPrecondition, "PROVIDER_MISSING").await;
            assert_eq!(only_guard(&refused), "providers_are_usable");
            assert!(refused.said.message.contains("vault "), "{}", refused.said.message);
        }
        before.assert_untouched(&fleet).await;

        lab.user.create_provider("vault", Some(1_000)).await.unwrap();
        let before = Witness::of(&fleet, &[&name]).await;
        for path in [REBUILD, AUTO] {
            let refused =
                refused(&fleet, &name, path, Code::FailedPrecondition, "PROVIDER_EXPIRED").await;
            assert_eq!(only_guard(&refused), "providers_are_usable");
        }
        before.assert_untouched(&fleet).await;

        lab.user.delete_provider("vault").await.unwrap();
        lab.user.create_provider("vault", None).await.unwrap();
        lab.control.clear_calls();
        let recovery = fleet.recover(&name, REBUILD).await.unwrap();
        assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
        let spec = created(&fleet).1.spec;
        assert!(contains(&spec, b"vault") && !contains(&spec, b"vault-2"));
        fleet.stop().await;
    }

    /// Two records that differ in everything; one is recovered.
    async fn t10_a_create_carries_exactly_its_own_records_values(dialect: Dialect) {
        two_records(dialect).await;
    }

    /// A spec that a record may hold, and that a create with its stamp would carry over the gateway's limit.
    async fn t11_a_spec_that_the_gateway_would_not_take_is_refused_beforehand(dialect: Dialect) {
        let fleet = fleet(dialect).await;
        let (name, _) = adopted(&fleet, "lab", "coder", &seed()).await;
        let control = &fleet.gateway("lab").control;
        // A field that this version does not know, of a million bytes: as a newer gateway may have sent it.
        let mut content = control.sandbox("coder").unwrap().spec;
        content.extend([0xc2, 0x3e, 0xc0, 0x84, 0x3d]);
        content.extend(vec![0; 1_000_000]);
        let mut record = fleet.record(&name).await.unwrap();
        record.spec.as_mut().unwrap().content = content;
        let request = registry::UpdateSandboxRequest {
            sandbox: Some(record),
            update_mask: Some(prost_types::FieldMask { paths: vec!["spec".into()] }),
            ..Default::default()
        };
        fleet.registry.clone().update_sandbox(request).await.unwrap();
        lose(control, "coder").await;
        believed(&fleet, &name).await;
        let before = Witness::of(&fleet, &[&name]).await;
        for path in [REBUILD, AUTO] {
            let refused =
                refused(&fleet, &name, path, Code::FailedPrecondition, "MATERIAL_TOO_LARGE").await;
            assert_eq!(only_guard(&refused), "spec_can_be_replayed");
        }
        before.assert_untouched(&fleet).await;
        fleet.stop().await;
    }

    /// Whether image and room are there is not known before a create, and the plan says so.
    async fn t11_a_plan_names_what_could_not_be_checked(dialect: Dialect) {
        let fleet = fleet(dialect).await;
        let name = lost(&fleet, "lab", "coder", &seed()).await;
        let before = Witness::of(&fleet, &[&name]).await;
        let plan = salvor_testkit::wait::until("a settled plan", || async {
            Some(plan(&fleet, &name, REBUILD).await).filter(|plan| plan.allowed)
        })
        .await;
        for what in ["image", "room"] {
            assert!(plan.unchecked.iter().any(|item| item.contains(what)), "{:?}", plan.unchecked);
        }
        assert_eq!(plan.steps[..2], ["claim", "create"]);
        assert_eq!(plan.next_step, format!("salvor recover {name}"));
        before.assert_untouched(&fleet).await;
        fleet.stop().await;
    }

    /// The gateway was upgraded in place over the break of its wire: the recorded bytes mean other things there.
    async fn t11_bytes_of_the_other_dialect_are_not_replayed(dialect: Dialect) {
        let fleet = fleet(dialect).await;
        let config = Config { data_dir: fleet.dir().join("gateways/site"), dialect, ..Config::default() };
        let old = start(config.clone()).await;
        register(&fleet, "site", &old.uri(), None).await;
        healthy(&fleet, "site").await;
        let user = User::new(&old.uri(), dialect).unwrap();
        user.create("coder", &seed()).await.unwrap();
        assert!(old.control().wait_phase("coder", Phase::Ready, PATIENCE).await);
        let name = Fleet::name("site", "coder");
        fleet.adopt(&name).await.unwrap();
        lose(&old.control(), "coder").await;
        let listen = old.addr();
        old.shutdown().await;

        let dialect = match dialect {
            Dialect::V0_0 => Dialect::V0_1,
            Dialect::V0_1 => Dialect::V0_0,
        };
        let new = start(Config { listen, dialect, ..config }).await;
        healthy(&fleet, "site").await;
        believed(&fleet, &name).await;
        let before = Witness::of(&fleet, &[&name]).await.and(&new.control());
        for path in [REBUILD, AUTO] {
            let refused =
                refused(&fleet, &name, path, Code::FailedPrecondition, "DIALECT_DIFFERS").await;
            assert_eq!(only_guard(&refused), "dialect_is_the_recorded_one");
        }
        before.assert_untouched(&fleet).await;
        new.shutdown().await;
        fleet.stop().await;
    }
}

/// The registry came back without the key that sealed the record.
#[tokio::test]
async fn t11_sealed_material_is_refused_beforehand_and_its_key_mends_it() {
    let mut fleet = fleet(Dialect::V0_0).await;
    let name = lost(&fleet, "lab", "coder", &seed()).await;
    let key_file = fleet.dir().join("registry/seal.key");
    let key = std::fs::read_to_string(&key_file).unwrap();
    std::fs::write(&key_file, "5a".repeat(32)).unwrap();
    fleet.restart_registry().await.unwrap();
    believed(&fleet, &name).await;
    let before = Witness::of(&fleet, &[&name]).await;
    for path in [REBUILD, AUTO] {
        let refused =
            refused(&fleet, &name, path, Code::FailedPrecondition, "MATERIAL_SEALED").await;
        let guards: Vec<_> = refused.said.violations.iter().map(|v| v.guard.as_str()).collect();
        assert_eq!(guards, ["spec_can_be_replayed", "policy_can_be_replayed"]);
    }
    before.assert_untouched(&fleet).await;
    std::fs::write(&key_file, key).unwrap();
    fleet.restart_registry().await.unwrap();
    let recovery = fleet.recover(&name, REBUILD).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    fleet.stop().await;
}

/// The same again in a process whose environment names another image, provider, gateway and token.
#[tokio::test]
async fn t10_the_process_environment_has_no_influence() {
    if std::env::var_os(CHILD).is_some() {
        return two_records(Dialect::V0_0).await;
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "material::t10_the_process_environment_has_no_influence"])
        .env(CHILD, "1")
        .envs([
            ("AGENT_TOKEN", "third-value"),
            ("THE_OTHER_TOKEN", "third-value"),
            ("OPENSHELL_GATEWAY", "third"),
            ("OPENSHELL_GATEWAY_ENDPOINT", "http://127.0.0.1:9"),
            ("OPENSHELL_SANDBOX_IMAGE", "registry.test/third:3"),
            ("OPENSHELL_SANDBOX_POLICY", "/nowhere/policy.yaml"),
            ("OPENSHELL_PROVIDER", "third"),
            ("OPENSHELL_WORKSPACE", "third"),
            ("NEMOCLAW_SANDBOX_IMAGE", "registry.test/third:3"),
            ("NEMOCLAW_PROVIDER", "third"),
        ])
        .output();
    let child = child.unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

async fn two_records(dialect: Dialect) {
    let fleet = fleet(dialect).await;
    let lab = fleet.gateway("lab");
    for provider in ["vault", "other-vault"] {
        lab.user.create_provider(provider, None).await.unwrap();
    }
    let other = Seed {
        image: "registry.test/other:2".into(),
        environment: BTreeMap::from([("THE_OTHER_TOKEN".into(), "other-value".into())]),
        providers: vec!["other-vault".into()],
        rules: Some(BTreeMap::from([("elsewhere".into(), vec!["elsewhere.test".into()])])),
        labels: BTreeMap::from([("team".into(), "blue".into())]),
        annotations: BTreeMap::from([("note".into(), "another".into())]),
    };
    let (theirs, _) = adopted(&fleet, "lab", "other", &other).await;
    let (name, id) = adopted(&fleet, "lab", "coder", &with_provider()).await;
    let original = lab.control.sandbox("coder").unwrap();
    let policy = lab.user.policy("coder", &id).await.unwrap();
    let bystander = fleet.record(&theirs).await.unwrap();
    lose(&lab.control, "coder").await;
    lab.control.clear_calls();

    let recovery = fleet.recover(&name, REBUILD).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    let (sandbox, create) = created(&fleet);
    assert_eq!(sandbox, "coder");
    let (rest, policies) = without(&create.spec, POLICY);
    assert_eq!(rest, without(&original.spec, POLICY).0, "the spec, field by field and in order");
    assert_eq!(policies.len(), 1);
    // A map's entries have no order on the wire.
    assert_eq!(sorted(&policies[0]), sorted(&policy), "the policy that was in force");
    assert_eq!(create.labels, original.labels);
    let stamp = [
        ("salvor.dev/recovery", recovery.name.as_str()),
        ("salvor.dev/plan-digest", recovery.plan_digest.as_str()),
    ];
    let mut annotations = original.annotations.clone();
    annotations.extend(stamp.map(|(key, value)| (key.to_owned(), value.to_owned())));
    assert_eq!(create.annotations, annotations);
    for third in [&b"third"[..], b"other", b"blue", b"elsewhere"] {
        assert!(!contains(&create.spec, third));
    }
    assert_eq!(fleet.record(&theirs).await.unwrap(), bystander, "the other record");
    assert!(lab.control.live("other"));
    fleet.stop().await;
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// A message's fields as they stand, without those of one number, and those fields' contents. Written apart from the code under
/// test, for messages with varints and length-delimited fields only.
fn without(mut message: &[u8], number: u64) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut rest, mut taken) = (Vec::new(), Vec::new());
    while !message.is_empty() {
        let field = message;
        let tag = varint(&mut message);
        let value = varint(&mut message);
        let mut content = &[][..];
        match tag & 7 {
            0 => {}
            2 => (content, message) = message.split_at(usize::try_from(value).unwrap()),
            wire_type => panic!("wire type {wire_type}"),
        }
        if tag >> 3 == number {
            taken.push(content.to_vec());
        } else {
            rest.push(field[..field.len() - message.len()].to_vec());
        }
    }
    (rest, taken)
}

fn sorted(message: &[u8]) -> Vec<Vec<u8>> {
    let mut fields = without(message, 0).0;
    fields.sort();
    fields
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}
