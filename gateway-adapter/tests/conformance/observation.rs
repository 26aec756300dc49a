//! Looking: what is present, what is absent, and everything that is neither.

use std::collections::BTreeSet;
use std::time::Duration;

use salvor_devgateway::{Dialect, Effect as FaultEffect, Fault, Restart};
use salvor_proto::gateway::v1::live_view::View;
use salvor_proto::gateway::v1::*;
use tonic::Code;

use crate::bench::PATIENCE;
use crate::target::{BOTH, GATEWAY, Target};

#[tokio::test]
async fn every_failure_is_unknown_with_its_own_reason_and_nothing_is_touched() {
    use UnknownReason as R;
    for dialect in BOTH {
        // Waited for once, and long enough for every call that is answered, on a busy machine too.
        let patient = |config: &mut salvor_gateway_adapter::Config| {
            config.limits.read = Duration::from_secs(3);
        };
        let mut target = Target::dev_with(dialect, |_| (), patient).await;
        target.ready("coder").await;
        target.control().clear_calls();
        for (code, text, reason) in [
            (Code::Unavailable, "down", R::Unavailable),
            (Code::DeadlineExceeded, "late", R::DeadlineExceeded),
            (Code::Unauthenticated, "who", R::Unauthenticated),
            (Code::PermissionDenied, "no", R::PermissionDenied),
            (Code::Unimplemented, "what", R::Unimplemented),
            (Code::ResourceExhausted, "gRPC rate limit exceeded", R::RateLimited),
            (Code::Internal, "broken", R::Internal),
            (Code::Aborted, "?", R::Unexpected),
            (Code::NotFound, "not found", R::Unexpected),
            (Code::NotFound, "workspace 'default' not found", R::WorkspaceMissing),
            (Code::FailedPrecondition, "?", R::Unexpected),
        ] {
            for method in ["GetSandbox", "ListSandboxes", "GetWorkspace", "Health"] {
                target.control().fault(Fault::fail(method, code, text));
                let unknown = target.unknown("coder").await;
                assert_eq!(unknown.reason(), reason, "{method} {code:?} {text}");
                assert!(unknown.detail.contains(GATEWAY), "{}", unknown.detail);
                target.control().clear_faults();
            }
        }
        target.control().fault(Fault::on("GetSandbox", FaultEffect::Drop));
        assert_eq!(target.unknown("coder").await.reason(), R::DeadlineExceeded);
        target.control().clear_faults();
        target.present("coder").await;
        assert!(target.control().mutating_calls().is_empty());
    }
}

#[tokio::test]
async fn contradictions_are_inconsistent() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        target.ready("coder").await;
        let control = target.control();
        for fault in [
            Fault::on("ListSandboxes", FaultEffect::OmitFromList).for_sandbox("coder"),
            Fault::on("GetSandbox", FaultEffect::OmitSpec).for_sandbox("coder"),
            Fault::fail("GetSandbox", Code::NotFound, "sandbox not found"),
        ] {
            control.fault(fault.clone());
            let unknown = target.unknown("coder").await;
            assert_eq!(unknown.reason(), UnknownReason::Inconsistent, "{fault:?} {unknown:?}");
            control.clear_faults();
        }
        control.fault(Fault::on("ListSandboxes", FaultEffect::ListTwice).for_sandbox("coder"));
        target.present("coder").await;
        control.clear_faults();
        // One stale page is looked at again before anything is said.
        control.fault(Fault::on("ListSandboxes", FaultEffect::OmitFromList).times(1));
        target.present("coder").await;
    }
}

#[tokio::test]
async fn a_wrong_workspace_is_not_an_absence() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        target.workspace = "nowhere".into();
        let unknown = target.unknown("coder").await;
        assert_eq!(unknown.reason(), UnknownReason::WorkspaceMissing, "{unknown:?}");
    }
}

#[tokio::test]
async fn phases_reasons_and_what_can_be_started() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        target.ready("coder").await;
        target.control().kill("coder").await.unwrap();
        let present = target.wait_phase("coder", Phase::Error).await;
        assert_eq!(present.reason, "ContainerExited");
        assert_eq!(present.startable, dialect == Dialect::V0_1);
        target.ready("other").await;
        target.control().main_exit("other", 3).await.unwrap();
        let present = target.wait_phase("other", Phase::Error).await;
        assert_eq!((present.reason.as_str(), present.exit_code), ("MainProcessExited", Some(3)));
        assert!(!present.startable);
    }
}

#[tokio::test]
async fn a_lost_sandbox_is_absent_and_any_doubt_makes_its_absence_younger() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        target.ready("coder").await;
        target.control().lose("coder").await.unwrap();
        assert!(target.control().wait_absent("coder", PATIENCE).await);
        let mut since = target.absent_since("coder").await;
        assert_eq!(target.absent_since("coder").await, since);
        target.control().fault(Fault::fail("GetSandbox", Code::Unavailable, "down").times(1));
        target.unknown("coder").await;
        let later = target.absent_since("coder").await;
        assert!(later > since, "an unknown in between");
        since = later;
        target.restart(Restart::Killed).await;
        target.control().set_version("0.0.999");
        if dialect == Dialect::V0_0 {
            assert!(target.absent_since("coder").await > since, "another version");
        }
    }
}

#[tokio::test]
async fn an_absence_is_bracketed_by_two_healthy_probes() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        target.probe().await;
        target.control().clear_calls();
        target.absent_since("coder").await;
        let methods: Vec<String> =
            target.control().calls().into_iter().map(|call| call.method).collect();
        assert_eq!(
            methods,
            ["Health", "GetWorkspace", "GetSandbox", "ListSandboxes", "Health", "GetWorkspace"]
        );
        target.control().fault(Fault::fail("Health", Code::Unavailable, "down"));
        assert_eq!(target.unknown("coder").await.reason(), UnknownReason::Unavailable);
    }
}

#[tokio::test]
async fn lists_go_on_past_a_hundred() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        for index in 0..105 {
            let (effect, _) = target.create(&format!("s{index}")).await;
            assert_eq!(effect.outcome(), effect::Outcome::Applied, "{effect:?}");
        }
        for (workspace, size) in [("default", 0), ("-", 40)] {
            let (mut names, mut pages, mut token) = (BTreeSet::new(), 0, String::new());
            loop {
                let request = ListLiveSandboxesRequest {
                    gateway: GATEWAY.into(),
                    workspace: workspace.into(),
                    page_size: size,
                    page_token: token,
                };
                let page = target.bench.client.list_live_sandboxes(request).await.unwrap();
                let page = page.into_inner();
                assert_eq!(page.unknown, None);
                pages += 1;
                names.extend(page.sandboxes.into_iter().map(|row| row.sandbox.unwrap().sandbox));
                token = page.next_page_token;
                if token.is_empty() {
                    break;
                }
            }
            assert_eq!(names.len(), 105);
            assert!(pages >= 2, "{pages}");
        }
        let unplaced = ListLiveSandboxesRequest {
            gateway: GATEWAY.into(),
            workspace: "default".into(),
            page_token: "500".into(),
            ..Default::default()
        };
        let refused = target.bench.client.list_live_sandboxes(unplaced).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn an_unregistered_gateway_is_unknown_and_a_new_one_is_found_at_once() {
    let mut target = Target::dev(Dialect::V0_0).await;
    let uri = target.control().uri();
    let ask = |gateway: &str| ObserveSandboxRequest {
        sandbox: Some(SandboxRef {
            gateway: gateway.into(),
            workspace: "default".into(),
            sandbox: "coder".into(),
        }),
        with_material: false,
    };
    let view = |answer: ObserveSandboxResponse| answer.live.unwrap().view.unwrap();
    let answer = target.bench.client.observe_sandbox(ask("gateways/new")).await.unwrap();
    let View::Unknown(unknown) = view(answer.into_inner()) else { panic!("known") };
    assert_eq!(unknown.reason(), UnknownReason::NotRegistered);
    target.bench.register("gateways/new", &uri, None).await;
    let answer = target.bench.client.observe_sandbox(ask("gateways/new")).await.unwrap();
    assert!(matches!(view(answer.into_inner()), View::Absent(_)));
    let malformed = target.bench.client.observe_sandbox(ask("new")).await.unwrap_err();
    assert_eq!(malformed.code(), Code::InvalidArgument);
}
