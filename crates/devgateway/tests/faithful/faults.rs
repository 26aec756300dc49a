//! Misbehaviour on demand, and the log that tells what really arrived.

use std::{pin::pin, time::Duration};

use salvor_devgateway::{Call, Dialect, Effect, Fault, Health, Phase};
use tokio::time::timeout;
use tonic::{Code, Request};

use crate::client::{Create, refusal, said};
use crate::{BOTH, Fixture, PATIENCE};

#[tokio::test]
async fn a_failure_comes_before_the_effect_and_as_often_as_told() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        let control = fixture.control();
        control
            .fault(Fault::fail("CreateSandbox", Code::Internal, "create sandbox failed").times(1));
        assert_eq!(
            refusal(fixture.client.create("agent").await),
            said(Code::Internal, "create sandbox failed")
        );
        assert!(control.sandbox("agent").is_none());
        fixture.client.create("agent").await.unwrap();
        control.fault(Fault::fail("GetSandbox", Code::Unavailable, "x").for_sandbox("other"));
        fixture.client.get("agent").await.unwrap();
        assert_eq!(refusal(fixture.client.get("other").await).0, Code::Unavailable);
        control.clear_faults();
        assert_eq!(refusal(fixture.client.get("other").await).0, Code::NotFound);
    }
}

#[tokio::test]
async fn a_lost_reply_leaves_the_effect_behind() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        let control = fixture.control();
        control.fault(Fault::on("CreateSandbox", Effect::LoseReply).times(1));
        assert_eq!(refusal(fixture.client.create("agent").await).0, Code::Unavailable);
        assert!(control.wait_phase("agent", Phase::Ready, PATIENCE).await);

        control.fault(Fault::on("DeleteSandbox", Effect::HangAfter).times(1));
        {
            let mut call = pin!(fixture.client.delete("agent"));
            let done = control.wait_absent("agent", PATIENCE);
            tokio::select! {
                answer = &mut call => panic!("{answer:?}"),
                done = done => assert!(done),
            }
            assert!(timeout(Duration::from_millis(100), call).await.is_err(), "no answer comes");
        }

        control.fault(Fault::on("CreateSandbox", Effect::Drop).times(1));
        let creates = |call: &Call| call.method == "CreateSandbox" && call.outcome.is_none();
        tokio::select! {
            answer = fixture.client.create("agent") => panic!("{answer:?}"),
            call = control.wait_for_call(creates, PATIENCE) => assert!(call.is_some()),
        }
        assert!(control.sandbox("agent").is_none(), "nothing was done");
        let open: Vec<_> = control.mutating_calls().into_iter().map(|call| call.outcome).collect();
        assert_eq!(open, [Some(Code::Unavailable as i32), None, None]);
    }
}

#[tokio::test]
async fn lists_and_gets_can_contradict_each_other() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        fixture.ready("agent").await;
        let control = fixture.control();
        control.fault(Fault::on("ListSandboxes", Effect::OmitFromList).for_sandbox("agent"));
        assert_eq!(fixture.client.list("").await.unwrap(), Vec::<String>::new());
        assert_eq!(fixture.client.get("agent").await.unwrap().phase, Phase::Ready as i32);
        control.clear_faults();
        control.fault(Fault::on("ListSandboxes", Effect::ListTwice));
        assert_eq!(fixture.client.list("").await.unwrap(), ["agent", "agent"]);
        control.fault(Fault::on("GetSandbox", Effect::OmitSpec).times(1));
        assert_eq!(fixture.client.get("agent").await.unwrap().spec, None);
        assert!(fixture.client.get("agent").await.unwrap().spec.is_some());
    }
}

#[tokio::test]
async fn version_health_and_rate_can_be_set() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        let control = fixture.control();
        let (status, version) = fixture.client.version().await.unwrap();
        assert_eq!((status, version.as_str()), (1, dialect.default_version()));
        control.set_version("9.9.9");
        control.set_health(Health::Unhealthy);
        assert_eq!(fixture.client.version().await.unwrap(), (3, "9.9.9".to_owned()));
        control.set_rate_limit(Some((2, Duration::from_hours(1))));
        fixture.client.version().await.unwrap();
        fixture.client.list("").await.unwrap();
        assert_eq!(
            refusal(fixture.client.version().await),
            said(Code::ResourceExhausted, "gRPC rate limit exceeded")
        );
        control.set_rate_limit(None);
        fixture.client.version().await.unwrap();
    }
}

#[tokio::test]
async fn the_log_tells_what_arrived_in_order() {
    let mut fixture = Fixture::new(Dialect::V0_0).await;
    let control = fixture.control();
    fixture.ready("agent").await;
    control.clear_calls();
    let mut create = Create::named("second");
    create.annotations.insert("stamp".into(), "s".into());
    create.spec = Some(vec![0xa2, 0x38, 0x00]);
    fixture.client.create_as(create).await.unwrap();
    let _ = fixture.client.get("nobody").await;
    let mut traced = Request::new(salvor_openshell_wire::v0_0::HealthRequest {});
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    traced.metadata_mut().insert("traceparent", parent.parse().unwrap());
    traced.metadata_mut().insert("authorization", "Bearer hunter2".parse().unwrap());
    fixture.client.v0_0().health(traced).await.unwrap();
    fixture.client.exec("agent", &["true"]).await.unwrap();

    let calls = control.calls();
    let shape: Vec<_> =
        calls.iter().map(|c| (c.method.as_str(), c.name.as_str(), c.outcome)).collect();
    assert_eq!(
        shape,
        [
            ("CreateSandbox", "second", Some(0)),
            ("GetSandbox", "nobody", Some(Code::NotFound as i32)),
            ("Health", "", Some(0)),
            ("GetSandbox", "agent", Some(0)),
            ("ExecSandbox", "", Some(0)),
        ]
    );
    let facts = calls[0].create.as_ref().unwrap();
    assert_eq!(facts.spec, [0xa2, 0x38, 0x00], "as sent, before the gateway resolved anything");
    assert_eq!(facts.annotations["stamp"], "s");
    assert_eq!(calls[2].metadata["traceparent"], parent);
    assert!(
        !format!("{calls:?}").contains("hunter2")
            && calls[2].metadata["authorization"] == "REDACTED"
    );
    assert_eq!(calls[4].command, ["true"]);
    assert!(calls.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    let mutating: Vec<_> = control.mutating_calls().into_iter().map(|c| c.method).collect();
    assert_eq!(mutating, ["CreateSandbox"]);
}
