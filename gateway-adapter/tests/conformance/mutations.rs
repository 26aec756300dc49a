//! Mutations: what was applied, what was not, and what nobody knows.

use std::collections::BTreeMap;
use std::time::Duration;

use salvor_devgateway::{Control, Effect as FaultEffect, Fault};
use salvor_proto::error::received;
use salvor_proto::gateway::v1::effect::{Cause, Outcome};
use salvor_proto::gateway::v1::*;
use salvor_proto::registry::v1 as record;
use tonic::Code;

use crate::target::{BOTH, Target, is, policy, spec};

fn creates(control: &Control) -> usize {
    control.calls().iter().filter(|call| call.method == "CreateSandbox").count()
}

#[tokio::test]
async fn a_create_carries_the_recorded_bytes_the_stamp_and_the_policy() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        let mut request = target.creation("coder", 1);
        // A field that no schema here knows must survive.
        let unknown = [0xfa, 0x3f, 0x03, b'n', b'e', b'w'];
        let mut bytes = spec("lab/agent:1");
        bytes.extend(unknown);
        request.spec.as_mut().unwrap().content = bytes;
        request.annotations.insert("salvor.dev/recovery".into(), "recoveries/old".into());
        request.policy = Some(record::Policy {
            dialect: target.dialect.into(),
            content: policy(&["api", "web"]),
            ..Default::default()
        });
        let (effect, _) = target.create_as(request.clone()).await.unwrap();
        is(&effect, Outcome::Applied, Cause::Unspecified);
        let calls = target.control().calls();
        let sent = calls.iter().find_map(|call| call.create.clone()).unwrap();
        assert!(sent.spec.windows(6).any(|window| window == unknown));
        let annotation = |key: &str| sent.annotations.get(key).map(String::as_str);
        assert_eq!(annotation("salvor.dev/recovery"), Some("recoveries/7"));
        assert_eq!(annotation("salvor.dev/plan-digest"), Some(crate::target::DIGEST));
        assert_eq!(sent.labels, BTreeMap::from([("team".into(), "lab".into())]));
        let replays = target.dialect == record::Dialect::V01;
        assert_eq!(sent.request_id, if replays { request.request_id } else { String::new() });
        let present = target.wait_phase("coder", Phase::Ready).await;
        let answer = target.policy("coder", &present.live_id).await;
        let Some(get_effective_policy_response::Result::Policy(read)) = answer.result else {
            panic!("{answer:?}")
        };
        assert_eq!(read.content, policy(&["api", "web"]));
        let names: Vec<&str> = read.entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["api", "web"]);
    }
}

#[tokio::test]
async fn a_lost_reply_is_perhaps_applied_and_found_by_its_stamp() {
    for dialect in BOTH {
        let quick = |config: &mut salvor_gateway_adapter::Config| {
            config.limits.mutation = Duration::from_secs(1);
        };
        for fault in [FaultEffect::LoseReply, FaultEffect::HangAfter] {
            let mut target = Target::dev_with(dialect, |_| (), quick).await;
            target.control().fault(Fault::on("CreateSandbox", fault));
            let (effect, id) = target.create("coder").await;
            is(&effect, Outcome::MaybeApplied, Cause::GatewayFailed);
            assert_eq!(id, "");
            let present = target.present("coder").await;
            assert_eq!(present.stamp.unwrap().plan_digest, crate::target::DIGEST);
            assert_eq!(creates(&target.control()), 1, "nothing is sent twice");
        }
    }
}

#[tokio::test]
async fn a_gateway_without_room_for_request_ids_gets_none() {
    let mut target = Target::dev(salvor_devgateway::Dialect::V0_1).await;
    let control = target.control();
    control.set_max_admissions(1);
    is(&target.create("first").await.0, Outcome::Applied, Cause::Unspecified);
    let (refused, _) = target.create("coder").await;
    is(&refused, Outcome::MaybeApplied, Cause::GatewayFailed);
    let said = "CreateSandbox answered RESOURCE_EXHAUSTED: too many admitted requests; perhaps it \
                admits no more request ids of this caller: for 60 min it gets none";
    assert!(refused.detail.ends_with(said), "{}", refused.detail);
    target.absent_since("coder").await;
    let (effect, id) = target.create("coder").await;
    is(&effect, Outcome::Applied, Cause::Unspecified);
    target.wait_phase("coder", Phase::Ready).await;
    is(&target.stop("coder", &id).await, Outcome::Applied, Cause::Unspecified);
    target.wait_phase("coder", Phase::Stopped).await;
    is(&target.start("coder", &id).await, Outcome::Applied, Cause::Unspecified);
    target.wait_phase("coder", Phase::Ready).await;
    let deleted = target.delete("coder", &id, 1).await.unwrap();
    is(&deleted, Outcome::Applied, Cause::Unspecified);
    let sent: Vec<bool> = control
        .calls()
        .iter()
        .filter_map(|call| call.create.as_ref())
        .map(|create| create.request_id.is_empty())
        .collect();
    assert_eq!(sent, [false, false, true]);
}

#[tokio::test]
async fn codes_say_whether_anything_happened() {
    use Outcome::{MaybeApplied, NotApplied};
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        for (code, outcome, cause) in [
            (Code::InvalidArgument, NotApplied, Cause::Invalid),
            (Code::FailedPrecondition, NotApplied, Cause::Invalid),
            (Code::PermissionDenied, NotApplied, Cause::Denied),
            (Code::Unauthenticated, NotApplied, Cause::Denied),
            (Code::Unavailable, MaybeApplied, Cause::GatewayFailed),
            (Code::DeadlineExceeded, MaybeApplied, Cause::GatewayFailed),
            (Code::Cancelled, MaybeApplied, Cause::GatewayFailed),
            (Code::Internal, MaybeApplied, Cause::GatewayFailed),
            (Code::Unknown, MaybeApplied, Cause::GatewayFailed),
        ] {
            target.control().fault(Fault::fail("CreateSandbox", code, "?").times(1));
            is(&target.create("coder").await.0, outcome, cause);
        }
        target.absent_since("coder").await;
    }
}

#[tokio::test]
async fn nothing_is_sent_to_a_gateway_that_cannot_be_probed() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        target.control().fault(Fault::fail("Health", Code::Unavailable, "warming up"));
        is(&target.create("coder").await.0, Outcome::NotApplied, Cause::GatewayFailed);
        let id = uuid::Uuid::new_v4().to_string();
        let deleted = target.delete("coder", &id, 1).await.unwrap();
        is(&deleted, Outcome::NotApplied, Cause::GatewayFailed);
        is(&target.start("coder", &id).await, Outcome::NotApplied, Cause::GatewayFailed);
        assert!(target.control().mutating_calls().is_empty());
    }
}

#[tokio::test]
async fn bytes_of_the_other_dialect_are_refused_before_anything_is_sent() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        let mut request = target.creation("coder", 1);
        let other = match target.dialect {
            record::Dialect::V00 => record::Dialect::V01,
            _ => record::Dialect::V00,
        };
        request.spec.as_mut().unwrap().dialect = other.into();
        let (effect, _) = target.create_as(request).await.unwrap();
        is(&effect, Outcome::NotApplied, Cause::WrongGateway);
        assert!(target.control().mutating_calls().is_empty());
    }
}

#[tokio::test]
async fn another_incarnation_is_not_touched() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        let id = target.ready("coder").await;
        let stranger = target.control().replace("coder").await.unwrap();
        target.control().clear_calls();
        let deleted = target.delete("coder", &id, 1).await.unwrap();
        is(&deleted, Outcome::NotApplied, Cause::OtherIncarnation);
        is(&target.start("coder", &id).await, Outcome::NotApplied, Cause::OtherIncarnation);
        is(&target.stop("coder", &id).await, Outcome::NotApplied, Cause::OtherIncarnation);
        assert!(target.control().mutating_calls().is_empty());
        assert_eq!(target.present("coder").await.live_id, stranger);
    }
}

#[tokio::test]
async fn a_delete_is_applied_once_the_id_is_gone_and_not_before() {
    for dialect in BOTH {
        let quick = |config: &mut salvor_gateway_adapter::Config| {
            config.limits.settle = Duration::from_millis(300);
        };
        let mut target = Target::dev_with(dialect, |_| (), quick).await;
        let id = target.ready("coder").await;
        target.control().set_deletion_linger(Duration::from_hours(1));
        let deleted = target.delete("coder", &id, 1).await.unwrap();
        is(&deleted, Outcome::MaybeApplied, Cause::NotSettled);
        let id = target.ready("other").await;
        target.control().set_deletion_linger(Duration::ZERO);
        let deleted = target.delete("other", &id, 1).await.unwrap();
        is(&deleted, Outcome::Applied, Cause::Unspecified);
        assert!(target.control().sandbox("other").is_none());
    }
}

#[tokio::test]
async fn a_wrong_phase_is_not_applied() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        let id = target.ready("coder").await;
        target.control().main_exit("coder", 1).await.unwrap();
        target.wait_phase("coder", Phase::Error).await;
        is(&target.start("coder", &id).await, Outcome::NotApplied, Cause::WrongPhase);
        is(&target.stop("coder", &id).await, Outcome::NotApplied, Cause::WrongPhase);
    }
}

#[tokio::test]
async fn a_permit_must_fit_and_an_older_fence_token_is_refused() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        let id = target.ready("coder").await;
        target.control().clear_calls();
        let missing = DeleteSandboxRequest {
            sandbox: target.sandbox("coder"),
            live_id: id.clone(),
            request_id: uuid::Uuid::new_v4().to_string(),
            permit: None,
            unchanged_since: String::new(),
        };
        let refused = target.bench.client.delete_sandbox(missing.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let permit = target.permit("stop", "coder", 2);
        let wrong = DeleteSandboxRequest { permit, ..missing.clone() };
        let refused = target.bench.client.delete_sandbox(wrong).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        let permit = target.permit("delete", "other", 2);
        let wrong = DeleteSandboxRequest { permit, ..missing };
        let refused = target.bench.client.delete_sandbox(wrong).await.unwrap_err();
        assert_eq!(received(&refused).reason.as_deref(), Some("PERMIT_MISMATCH"));
        let foreign = uuid::Uuid::new_v4().to_string();
        let seen = target.delete("coder", &foreign, 9).await.unwrap();
        is(&seen, Outcome::NotApplied, Cause::OtherIncarnation);
        let fenced = target.delete("coder", &id, 8).await.unwrap_err();
        let details = received(&fenced);
        assert_eq!((fenced.code(), details.reason.as_deref()), (Code::Aborted, Some("FENCED")));
        assert_eq!(details.metadata.get("fence_token").map(String::as_str), Some("8"));
        assert_eq!(details.metadata.get("newest_fence_token").map(String::as_str), Some("9"));
        assert!(target.control().mutating_calls().is_empty());
    }
}

/// The race that no client of a gateway can close: its delete is by name.
#[tokio::test]
async fn a_stranger_that_is_deleted_in_place_of_the_sandbox_is_named() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        let id = target.ready("coder").await;
        let control = target.control();
        control.set_deletion_linger(Duration::from_hours(1));
        control.fault(Fault::on("DeleteSandbox", FaultEffect::ReplaceFirst).times(1));
        let deleted = target.delete("coder", &id, 1).await;
        let stranger = control.sandbox("coder").unwrap().id;
        let deleted = deleted.unwrap();
        is(&deleted, Outcome::MaybeApplied, Cause::OtherIncarnation);
        assert!(deleted.detail.contains(&format!("{stranger}, and {id} was meant")), "{deleted:?}");
    }
}

#[tokio::test]
async fn malformed_creates_are_refused_here() {
    let mut target = Target::dev(BOTH[0]).await;
    let broken: [fn(&mut CreateSandboxRequest); 7] = [
        |request| request.spec = None,
        |request| request.spec.as_mut().unwrap().content.clear(),
        |request| request.spec.as_mut().unwrap().dialect = 0,
        |request| request.spec.as_mut().unwrap().sha256 = "00".into(),
        |request| request.request_id = "again".into(),
        |request| request.sandbox.as_mut().unwrap().sandbox = "Not-A-Name".into(),
        |request| {
            request.spec.as_mut().unwrap().content = vec![0xff];
            request.policy = Some(record::Policy { dialect: 1, ..Default::default() });
        },
    ];
    for breaking in broken {
        let mut request = target.creation("coder", 1);
        breaking(&mut request);
        let refused = target.create_as(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(received(&refused).reason.is_some());
    }
    assert!(target.control().mutating_calls().is_empty());
}
