//! When a recovery is void: each way, and never for what is not known.

use salvor_core::{
    Fact, FactName, Limits, Plan, Planned, Request, SagaKind, Why,
    evidence::{IdentityPart, Live, Phase, RecordState, Stamp},
    plan::plan,
    retirement::{Look, SeenRecord, Void},
    saga::ParkReason,
};

use super::good::{NOW, ago, gateway, good, identity, present, target};

const NAME: &str = "recoveries/1";
const WAITS: ParkReason = ParkReason::NotReadyInTime;

fn planned(saga: SagaKind) -> Plan {
    let request = match saga {
        SagaKind::Destroy => Request::Destroy,
        _ => Request::Rebuild,
    };
    let Planned::Plan(plan) = plan(&Limits::default(), request, &good(saga)) else { panic!() };
    assert_eq!((plan.saga, plan.allowed()), (saga, true));
    *plan
}

fn record() -> SeenRecord {
    SeenRecord {
        uid: Some("b7e0".into()),
        etag: "8-cd".into(),
        state: RecordState::Recovering,
        live_id: Some("sb-recorded".into()),
        identity: identity(),
    }
}

fn seen(record: Option<SeenRecord>, live: Live) -> Look {
    Look {
        now: NOW,
        record: Fact::known(record, ago(10)),
        gateway: Fact::known(gateway(), ago(20)),
        live: Fact::known(live, ago(30)),
        copy: None,
    }
}

fn absent() -> Live {
    Live::Absent { since: ago(5) }
}

fn void_of(saga: SagaKind, waits: ParkReason, look: &Look) -> Option<Void> {
    Void::of((&NAME.into(), &planned(saga)), Some(&"b7e0".into()), waits, look)
}

fn void(look: &Look) -> Option<Void> {
    void_of(SagaKind::StaleRecovery, WAITS, look)
}

#[test]
fn what_can_still_be_done_is_not_void() {
    assert_eq!(void(&seen(Some(record()), absent())), None);
    assert_eq!(void(&seen(Some(record()), present(Phase::Ready, false))), None);
    let active = SeenRecord { state: RecordState::Active, ..record() };
    assert_eq!(void(&seen(Some(active), absent())), None);
}

#[test]
fn without_its_record_it_is_void() {
    assert_eq!(void(&seen(None, absent())), Some(Void::RecordGone));
    let destroyed = SeenRecord { state: RecordState::Destroyed, ..record() };
    let look = seen(Some(destroyed), absent());
    assert_eq!(void(&look), Some(Void::RecordDestroyed));
    assert_eq!(void_of(SagaKind::Destroy, WAITS, &look), None, "that is what it wants");
    let other = SeenRecord { uid: Some("c001".into()), ..record() };
    assert_eq!(void(&seen(Some(other), absent())), Some(Void::RecordReplaced));
}

#[test]
fn without_its_gateway_it_is_void() {
    let mut look = seen(Some(record()), absent());
    look.gateway = Fact::unknown(Why::NotRegistered, "gateways/lab");
    look.live = Fact::unknown(Why::NotRegistered, "gateways/lab");
    assert_eq!(void(&look), Some(Void::GatewayUnregistered));
    assert_eq!(look.is_known(&Limits::default()), Ok(()));

    let mut rebound = record();
    rebound.identity.store_id = Some("store-2".to_owned());
    let replaced = Some(Void::GatewayReplaced(IdentityPart::Store));
    assert_eq!(void(&seen(Some(rebound), absent())), replaced);
    let mut look = seen(Some(record()), absent());
    let mut other = gateway();
    other.identity.signing_key_id = Some("key-2".to_owned());
    look.gateway = Fact::known(other, ago(20));
    assert_eq!(void(&look), Some(Void::GatewayReplaced(IdentityPart::SigningKey)));
}

/// A stranger under the name is waited for only where the recovery waits for nothing else.
#[test]
fn a_name_that_a_stranger_has_is_a_reason_only_to_who_waits_for_it() {
    let of = |id: &str, made_by: Option<&str>| {
        let Live::Present(mut found) = present(Phase::Ready, false) else { panic!() };
        found.live_id = id.into();
        found.stamp = made_by.map(|name| Stamp { recovery: name.into(), plan: "ab".into() });
        seen(Some(record()), Live::Present(found))
    };
    let waits = |look| void_of(SagaKind::StaleRecovery, ParkReason::NameTaken, &look);
    assert_eq!(waits(of("sb-9", None)), Some(Void::NameTaken("sb-9".into())));
    assert_eq!(waits(of("sb-9", Some("recoveries/2"))), Some(Void::NameTaken("sb-9".into())));
    assert_eq!(waits(of("sb-9", Some(NAME))), None, "it is its own");
    assert_eq!(waits(of("sb-recorded", None)), None, "it is the recorded one");
    assert_eq!(void(&of("sb-9", None)), None);
}

/// Nothing follows from what is not known, and nothing is given up on it.
#[test]
fn ignorance_makes_nothing_void() {
    for why in Why::ALL.into_iter().filter(|why| *why != Why::NotRegistered) {
        let mut look = seen(Some(record()), absent());
        look.gateway = Fact::unknown(why, "");
        look.live = Fact::unknown(why, "");
        assert_eq!(void(&look), None, "{why:?}");
        assert!(look.is_known(&Limits::default()).is_err(), "{why:?}");
        look.record = Fact::unknown(why, "");
        assert_eq!(void(&look), None, "{why:?}");
        let mut look = seen(Some(record()), absent());
        look.copy = Some((target(), Fact::unknown(why, "")));
        assert!(look.is_known(&Limits::default()).is_err(), "{why:?}");
    }
    let mut look = seen(Some(record()), absent());
    assert_eq!(look.is_known(&Limits::default()), Ok(()));
    look.live = Fact::known(absent(), ago(3_600_000));
    let denial = look.is_known(&Limits::default()).unwrap_err();
    assert_eq!(denial.reason(), "EVIDENCE_TOO_OLD", "{:?}", FactName::LiveView);
}
