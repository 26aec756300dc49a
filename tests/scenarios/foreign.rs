//! T04, T05: only the owner gateway's word counts, and every request goes to it and to nobody else.

use salvor_devgateway::{Config, Control, Dialect, Fault};
use salvor_proto::{
    recovery::v1::{self as pb, Verdict, recovery::State},
    registry::v1 as registry,
};
use salvor_testkit::{Fleet, Options, store, wait::until};
use tonic::Code;

use crate::{
    support::{AUTO, REBUILD, reason, seed},
    witness::{
        Witness, adopted, destroy_refused, formed, healthy, in_both_dialects, lose, lost, refused,
        register, registered, reregister, start, verdict,
    },
};

/// Two gateways of the same dialect.
async fn two(dialect: Dialect) -> Fleet {
    let gateways = vec![("ours", dialect), ("theirs", dialect)];
    Fleet::start(Options { gateways, ..Options::default() }).await.unwrap()
}

/// A gateway that was asked nothing beyond who it is.
fn assert_left_alone(control: &Control) {
    let calls = control.calls();
    let asked: Vec<_> =
        calls.iter().filter(|c| !matches!(c.method.as_str(), "Health" | "GetWorkspace")).collect();
    assert!(asked.is_empty(), "{asked:?}");
}

in_both_dialects! {
    /// Another gateway has a ready sandbox of that very name: it changes nothing about the loss.
    async fn t04_another_gateway_that_has_the_name_does_not_stand_in_the_way(dialect: Dialect) {
        let fleet = two(dialect).await;
        let theirs = &fleet.gateway("theirs").control;
        let other = fleet.sandbox("theirs", "coder", &seed()).await.unwrap();
        let name = lost(&fleet, "ours", "coder", &seed()).await;
        theirs.clear_calls();

        let seen = until("a settled absence", || async {
            let seen = verdict(&fleet, &name).await;
            (seen.verdict() != Verdict::Hold).then_some(seen)
        })
        .await;
        assert_eq!(seen.verdict(), Verdict::Lost, "{seen:#?}");
        assert_eq!(seen.owner_gateway, "gateways/ours");
        assert!(seen.explanation.contains("gateways/ours"), "{}", seen.explanation);
        let recovery = fleet.recover(&name, REBUILD).await.unwrap();
        assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");

        assert_left_alone(theirs);
        assert_eq!(theirs.sandbox("coder").unwrap().id, other);
        fleet.stop().await;
    }

    /// Another gateway does not have the name: that is no loss.
    async fn t04_another_gateway_that_lacks_the_name_makes_nothing_lost(dialect: Dialect) {
        let fleet = two(dialect).await;
        let (name, id) = adopted(&fleet, "ours", "coder", &seed()).await;
        let before = Witness::of(&fleet, &[&name]).await;

        let seen = verdict(&fleet, &name).await;
        assert_eq!((seen.verdict(), seen.owner_gateway.as_str()), (Verdict::Live, "gateways/ours"));
        refused(&fleet, &name, REBUILD, Code::FailedPrecondition, "NO_COMPLETE_SNAPSHOT").await;
        let nothing = fleet.ask(&name, AUTO).await.unwrap();
        assert!(nothing.recovery.is_none() && nothing.plan.is_none_or(|plan| plan.allowed));

        before.assert_untouched(&fleet).await;
        assert_left_alone(&fleet.gateway("theirs").control);
        assert_eq!(fleet.gateway("ours").control.sandbox("coder").unwrap().id, id);
        fleet.stop().await;
    }

    /// The owner is away. Neither a yes nor a no of the other gateway takes its place.
    async fn t04_another_gateway_does_not_answer_for_an_owner_that_is_away(dialect: Dialect) {
        let fleet = two(dialect).await;
        let here = lost(&fleet, "ours", "here", &seed()).await;
        let gone = lost(&fleet, "ours", "gone", &seed()).await;
        fleet.sandbox("theirs", "here", &seed()).await.unwrap();
        fleet.gateway("ours").control.fault(Fault::fail("GetSandbox", Code::Unavailable, "away"));
        let before = Witness::of(&fleet, &[&here, &gone]).await;
        for name in [&here, &gone] {
            for path in [REBUILD, AUTO] {
                refused(&fleet, name, path, Code::Unavailable, "GATEWAY_UNAVAILABLE").await;
            }
            destroy_refused(&fleet, name, Code::Unavailable, "GATEWAY_UNAVAILABLE").await;
            assert_eq!(verdict(&fleet, name).await.owner_gateway, "gateways/ours");
        }
        before.assert_untouched(&fleet).await;
        assert_left_alone(&fleet.gateway("theirs").control);
        fleet.stop().await;
    }

    /// The default pointer names a sandbox elsewhere; recover and destroy go where their own record says.
    async fn t05_a_record_of_another_gateway_than_the_default_goes_there_only(dialect: Dialect) {
        let fleet = two(dialect).await;
        let theirs = fleet.gateway("theirs");
        let (default, other) = adopted(&fleet, "theirs", "coder", &seed()).await;
        let request = registry::SetDefaultSandboxRequest { name: default.clone() };
        fleet.registry.clone().set_default_sandbox(request).await.unwrap();
        let name = lost(&fleet, "ours", "coder", &seed()).await;
        theirs.control.clear_calls();

        let recovery = fleet.recover(&name, AUTO).await.unwrap();
        assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
        assert!(fleet.gateway("ours").control.live("coder"));
        let destroyed = fleet.destroy(&name).await.unwrap();
        assert_eq!(destroyed.state(), State::Succeeded, "{destroyed:#?}");
        assert!(fleet.gateway("ours").control.sandbox("coder").is_none());

        assert_left_alone(&theirs.control);
        assert_eq!(theirs.control.sandbox("coder").unwrap().id, other);
        assert!(fleet.record(&default).await.unwrap().is_default);
        fleet.stop().await;
    }
}

#[tokio::test]
async fn t05_a_gateway_that_owns_records_cannot_be_unregistered() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = adopted(&fleet, "lab", "coder", &seed()).await;
    let before = Witness::of(&fleet, &[&name]).await;
    let etag = registered(&fleet, "lab").await.etag;
    let request = registry::DeleteGatewayRequest { name: "gateways/lab".into(), etag };
    let status = fleet.registry.clone().delete_gateway(request).await.unwrap_err();
    let said = formed(&status, Code::FailedPrecondition, "GATEWAY_IN_USE");
    assert!(said.message.contains(&name), "{}", said.message);
    before.assert_untouched(&fleet).await;
    fleet.stop().await;
}

/// The registration is gone all the same, as after a hand in the database: no other gateway takes its place.
#[tokio::test]
async fn t05_a_record_whose_gateway_is_not_registered_fails_closed() {
    let fleet = two(Dialect::V0_0).await;
    let name = lost(&fleet, "ours", "coder", &seed()).await;
    let before = Witness::of(&fleet, &[&name]).await;
    let registry = store::open(fleet.records()).await;
    let gone = sqlx::query("DELETE FROM gateways WHERE name = 'gateways/ours'");
    assert_eq!(gone.execute(&registry).await.unwrap().rows_affected(), 1);
    for path in [REBUILD, AUTO] {
        refused(&fleet, &name, path, Code::Unavailable, "GATEWAY_NOT_REGISTERED").await;
    }
    destroy_refused(&fleet, &name, Code::Unavailable, "GATEWAY_NOT_REGISTERED").await;
    before.assert_untouched(&fleet).await;
    assert_left_alone(&fleet.gateway("theirs").control);
    fleet.stop().await;
}

/// Assigned to an adapter that nobody has seen: the one that is there does not serve it on the side.
#[tokio::test]
async fn t05_a_record_whose_adapter_is_not_there_fails_closed() {
    let fleet = two(Dialect::V0_0).await;
    let name = lost(&fleet, "ours", "coder", &seed()).await;
    reregister(&fleet, "ours", &["adapter_id"], |gateway| gateway.adapter_id = "faraway".into())
        .await;
    until("the adapter has let go", || async {
        let verdict = verdict(&fleet, &name).await;
        (verdict.verdict() == Verdict::Unknown).then_some(())
    })
    .await;
    let before = Witness::of(&fleet, &[&name]).await;
    for path in [REBUILD, AUTO] {
        let answer = fleet.ask(&name, path).await.unwrap_err();
        let why = reason(&answer);
        assert!(matches!(&*why, "GATEWAY_NOT_REGISTERED" | "ADAPTER_UNREACHABLE"), "{answer:?}");
        refused(&fleet, &name, path, Code::Unavailable, &why).await;
    }
    before.assert_untouched(&fleet).await;
    assert_left_alone(&fleet.gateway("theirs").control);
    fleet.stop().await;
}

/// Registered under an address where another gateway listens, which happens to lack the sandbox.
#[tokio::test]
async fn t05_a_gateway_registered_at_anothers_address_is_foreign() {
    let fleet = two(Dialect::V0_0).await;
    let name = lost(&fleet, "ours", "coder", &seed()).await;
    let theirs = fleet.gateway("theirs").control.uri();
    reregister(&fleet, "ours", &["endpoint"], |gateway| gateway.endpoint = theirs).await;
    until("the adapter asks there", || async {
        let verdict = verdict(&fleet, &name).await;
        (verdict.verdict() == Verdict::Unknown).then_some(())
    })
    .await;
    let before = Witness::of(&fleet, &[&name]).await;
    for path in [REBUILD, AUTO] {
        refused(&fleet, &name, path, Code::Unavailable, "FOREIGN_GATEWAY").await;
    }
    destroy_refused(&fleet, &name, Code::Unavailable, "FOREIGN_GATEWAY").await;
    before.assert_untouched(&fleet).await;
    assert_left_alone(&fleet.gateway("theirs").control);
    fleet.stop().await;
}

/// The same gateway was replaced on purpose and pinned anew: the record's own binding still holds.
#[tokio::test]
async fn t05_a_record_is_bound_to_the_gateway_it_was_adopted_from() {
    let fleet = Fleet::lab().await.unwrap();
    let first =
        start(Config { data_dir: fleet.dir().join("gateways/first"), ..Config::default() }).await;
    register(&fleet, "site", &first.uri(), None).await;
    healthy(&fleet, "site").await;
    let user = salvor_devgateway::user::User::new(&first.uri(), Dialect::V0_0).unwrap();
    user.create("coder", &seed()).await.unwrap();
    let control = first.control();
    let ready = salvor_devgateway::Phase::Ready;
    assert!(control.wait_phase("coder", ready, salvor_testkit::wait::PATIENCE).await);
    let name = Fleet::name("site", "coder");
    fleet.adopt(&name).await.unwrap();
    lose(&control, "coder").await;

    let second =
        start(Config { data_dir: fleet.dir().join("gateways/second"), ..Config::default() }).await;
    reregister(&fleet, "site", &["endpoint", "pinned_identity"], |gateway| {
        gateway.endpoint = second.uri();
        gateway.pinned_identity = Some(registry::GatewayIdentity {
            store_id: second.control().store_id(),
            ..Default::default()
        });
    })
    .await;
    healthy(&fleet, "site").await;
    until("the second gateway answers", || async {
        let heard = registered(&fleet, "site").await.heartbeat?.identity?.store_id;
        (heard == second.control().store_id()).then_some(())
    })
    .await;
    let before = Witness::of(&fleet, &[&name]).await.and(&second.control()).and(&control);
    for path in [REBUILD, AUTO] {
        refused(&fleet, &name, path, Code::FailedPrecondition, "GATEWAY_REPLACED").await;
    }
    let kept = destroy_refused(&fleet, &name, Code::FailedPrecondition, "GATEWAY_REPLACED").await;
    assert_eq!(kept.recovery.saga(), pb::Saga::Destroy);
    before.assert_untouched(&fleet).await;
    first.shutdown().await;
    second.shutdown().await;
    fleet.stop().await;
}
