//! Create, get, list, stop, start and delete.

use salvor_devgateway::{Dialect, Phase};
use std::time::Duration;
use tonic::Code;

use crate::client::{Create, image, refusal, said, spec};
use crate::{BOTH, Fixture, PATIENCE};

#[tokio::test]
async fn create_answers_before_the_container_exists_and_becomes_ready_step_by_step() {
    for dialect in BOTH {
        let mut fixture = Fixture::with(dialect, |config| config.time_scale = 1.5).await;
        let control = fixture.control();
        let created = fixture.client.create("agent").await.unwrap();
        assert_eq!((created.phase, created.reason.as_str()), (1, "Starting"));
        assert_eq!((created.resource_version, created.instance_id.as_str()), (1, ""));
        assert!(!control.sandbox("agent").unwrap().container);

        let waiting = fixture.wait_reason("agent", "SupervisorNotConnected").await;
        assert_eq!(waiting.message, "Backend ready; waiting for supervisor session");
        let ready = fixture.wait_phase("agent", Phase::Ready).await;
        assert_eq!(ready.reason, "DependenciesReady");
        assert_eq!((&ready.id, ready.policy_version), (&created.id, 1));
        assert!(!ready.instance_id.is_empty() && ready.resource_version > 1);
        assert!(control.live("agent"));
    }
}

#[tokio::test]
async fn bad_creates_are_refused_in_the_gateways_words() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        let mut attempt = async |change: fn(&mut Create)| {
            let mut create = Create::named("agent");
            change(&mut create);
            refusal(fixture.client.create_as(create).await)
        };
        let invalid = |text: &str| said(Code::InvalidArgument, text);
        assert_eq!(attempt(|c| c.spec = None).await, invalid("spec is required"));
        assert_eq!(
            attempt(|c| c.name = "abcdefghijklmnopqrst".into()).await,
            invalid("name exceeds maximum length (20 > 19)")
        );
        assert_eq!(
            attempt(|c| c.name = "a--b".into()).await,
            invalid("name must not contain consecutive hyphens")
        );
        assert_eq!(
            attempt(|c| drop(c.labels.insert("a".into(), "sha256:00".into()))).await.0,
            Code::InvalidArgument
        );
        assert_eq!(
            attempt(|c| drop(c.annotations.insert("a".into(), "x".repeat(8193)))).await.0,
            Code::InvalidArgument
        );
        assert_eq!(
            attempt(|c| c.workspace = "nowhere".into()).await,
            said(Code::NotFound, "workspace 'nowhere' not found")
        );
        let with_provider = |c: &mut Create| {
            let mut wanted = spec(&[]);
            wanted.providers = vec!["nope".into()];
            c.spec = Create::with("agent", &wanted).spec;
        };
        assert_eq!(
            attempt(with_provider).await,
            said(Code::FailedPrecondition, "provider 'nope' not found")
        );
        assert_eq!(fixture.control().sandboxes().len(), 0, "nothing was made");
    }
}

#[tokio::test]
async fn one_of_many_creates_of_a_name_wins() {
    for dialect in BOTH {
        let fixture = Fixture::new(dialect).await;
        let creates = (0..8).map(|_| {
            let mut client = fixture.client.clone();
            tokio::spawn(async move { client.create("agent").await })
        });
        let mut won = 0;
        for create in creates.collect::<Vec<_>>() {
            match create.await.unwrap() {
                Ok(_) => won += 1,
                error => assert_eq!(
                    refusal(error),
                    said(Code::AlreadyExists, "sandbox 'agent' already exists")
                ),
            }
        }
        assert_eq!(won, 1);
    }
}

#[tokio::test]
async fn what_was_given_comes_back_verbatim_with_what_the_gateway_resolved() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        let mut create = Create::named("agent");
        create.labels.insert("salvor.dev/x".into(), "y".into());
        create.annotations.insert("plan".into(), "{\n \"a\": \"sha256:00\"\n}".into());
        // Field 900, which no schema here knows.
        let unknown = [0xa2, 0x38, 0x02, 0x68, 0x69];
        create.spec = Some(unknown.to_vec());
        fixture.client.create_as(create.clone()).await.unwrap();
        let seen = fixture.wait_phase("agent", Phase::Ready).await;
        assert_eq!((seen.labels, seen.annotations), (create.labels, create.annotations));
        let bytes = seen.spec.unwrap();
        assert!(bytes.windows(unknown.len()).any(|window| window == unknown));
        let spec: salvor_openshell_wire::v0_0::SandboxSpec =
            prost::Message::decode(bytes.as_slice()).unwrap();
        assert_eq!(spec.command, ["/bin/bash", "-l"]);
        assert!(!spec.template.unwrap().image.is_empty() && spec.policy.is_some());
    }
}

#[tokio::test]
async fn a_missing_sandbox_and_a_missing_workspace_read_differently() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        let gone = said(Code::NotFound, "sandbox not found");
        assert_eq!(refusal(fixture.client.get("a").await), gone);
        assert_eq!(refusal(fixture.client.delete("a").await), gone);
        assert_eq!(refusal(fixture.client.stop("a").await), gone);
        assert_eq!(refusal(fixture.client.start("a").await), gone);
        assert_eq!(
            refusal(fixture.client.get_in("other", "a").await),
            said(Code::NotFound, "workspace 'other' not found")
        );
        assert_eq!(
            refusal(fixture.client.get("").await),
            said(Code::InvalidArgument, "name is required")
        );
    }
}

#[tokio::test]
async fn stop_keeps_files_and_id_and_start_makes_a_new_instance() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        let before = fixture.ready("agent").await;
        fixture.client.exec("agent", &["sh", "-c", "echo kept > marker"]).await.unwrap();
        let stopped = fixture.client.stop("agent").await.unwrap();
        assert_eq!(stopped.phase, Phase::Stopped as i32);
        assert!(fixture.control().sandbox("agent").unwrap().processes.is_empty());
        assert_eq!(fixture.client.stop("agent").await.unwrap().phase, Phase::Stopped as i32);
        assert_eq!(
            refusal(fixture.client.exec("agent", &["true"]).await),
            said(Code::FailedPrecondition, "sandbox is not ready")
        );
        let starting = fixture.client.start("agent").await.unwrap();
        assert_eq!(starting.phase, Phase::Starting as i32);
        let after = fixture.wait_phase("agent", Phase::Ready).await;
        assert_eq!(after.id, before.id);
        assert_ne!(after.instance_id, before.instance_id);
        let output = fixture.client.exec("agent", &["cat", "marker"]).await.unwrap();
        assert_eq!(output.stdout, b"kept\n");
        // On a ready sandbox a start changes nothing.
        let again = fixture.client.start("agent").await.unwrap();
        assert_eq!(again.instance_id, after.instance_id);
    }
}

#[tokio::test]
async fn delete_holds_the_name_until_it_is_finished() {
    for dialect in BOTH {
        let mut fixture = Fixture::with(dialect, |config| config.time_scale = 0.01).await;
        let control = fixture.control();
        control.set_deletion_linger(Duration::from_hours(1));
        let first = fixture.ready("agent").await;
        assert!(fixture.client.delete("agent").await.unwrap());
        let seen = fixture.client.get("agent").await.unwrap();
        assert_eq!((seen.id, seen.phase), (first.id.clone(), Phase::Deleting as i32));
        assert!(control.processes_of(&first.id).is_empty());
        assert!(fixture.client.delete("agent").await.unwrap(), "again, while deleting");
        assert_eq!(
            refusal(fixture.client.create("agent").await),
            said(Code::AlreadyExists, "sandbox 'agent' already exists")
        );
        assert_eq!(
            refusal(fixture.client.stop("agent").await),
            said(
                Code::FailedPrecondition,
                "sandbox must be Ready to stop (current phase: Deleting)"
            )
        );

        control.set_deletion_linger(Duration::ZERO);
        fixture.ready("other").await;
        assert!(fixture.client.delete("other").await.unwrap());
        assert!(control.wait_absent("other", PATIENCE).await);
        assert_eq!(refusal(fixture.client.delete("other").await).0, Code::NotFound);
        assert_ne!(fixture.ready("other").await.id, first.id);
    }
}

#[tokio::test]
async fn a_failed_image_and_an_ended_main_process_show_up_after_the_create() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        let create = Create::with("no-image", &image("acme/missing:1"));
        assert_eq!(fixture.client.create_as(create).await.unwrap().phase, 1);
        let failed = fixture.wait_phase("no-image", Phase::Error).await;
        assert_eq!(failed.reason, "ImagePullFailed");
        assert_eq!(refusal(fixture.client.start("no-image").await).0, Code::FailedPrecondition);

        let create = Create::with("ended", &spec(&["sh", "-c", "exit 7"]));
        fixture.client.create_as(create).await.unwrap();
        let ended = fixture.wait_phase("ended", Phase::Error).await;
        assert_eq!((ended.reason.as_str(), ended.exit_code), ("MainProcessExited", Some(7)));
        assert_eq!(
            refusal(fixture.client.start("ended").await),
            said(
                Code::FailedPrecondition,
                "sandbox must be Stopped to start (current phase: Error)"
            )
        );
    }
}

#[tokio::test]
async fn only_the_newer_dialect_starts_from_an_error_and_only_from_some() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        let control = fixture.control();
        for reason in ["GatewayUnreachable", "ContainerExited", "BackendResourceMissing"] {
            let name = reason[..7].to_lowercase();
            let before = fixture.ready(&name).await;
            control.fail(&name, reason, "as told").await.unwrap();
            let failed = fixture.client.get(&name).await.unwrap();
            assert_eq!((failed.phase, failed.message.as_str()), (3, "as told"));
            let started = fixture.client.start(&name).await;
            if dialect == Dialect::V0_1 && reason != "BackendResourceMissing" {
                started.unwrap();
                let after = fixture.wait_phase(&name, Phase::Ready).await;
                assert_eq!(after.id, before.id, "{reason}");
            } else {
                assert_eq!(refusal(started).0, Code::FailedPrecondition, "{reason}");
            }
        }
    }
}

#[tokio::test]
async fn lists_are_filtered_by_equality_and_ordered_by_creation() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        for (name, team) in [("c", "x"), ("a", "y"), ("b", "x")] {
            let mut create = Create::named(name);
            create.labels.insert("team".into(), team.into());
            fixture.client.create_as(create).await.unwrap();
        }
        assert_eq!(fixture.client.list("").await.unwrap(), ["c", "a", "b"]);
        assert_eq!(fixture.client.list("team=x").await.unwrap(), ["c", "b"]);
        assert_eq!(fixture.client.list("team=").await.unwrap(), Vec::<String>::new());
        assert_eq!(refusal(fixture.client.list("team!=x").await).0, Code::InvalidArgument);
    }
}

#[tokio::test]
async fn a_sweep_raises_versions_of_idle_sandboxes() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        let before = fixture.ready("agent").await;
        fixture.control().sweep();
        let after = fixture.client.get("agent").await.unwrap();
        assert!(after.resource_version > before.resource_version);
        assert_eq!(after.phase, before.phase);
    }
}

#[tokio::test]
async fn pages_of_the_older_dialect_go_by_offset() {
    let mut fixture = Fixture::new(Dialect::V0_0).await;
    for index in 0..5 {
        fixture.client.create(&format!("s{index}")).await.unwrap();
    }
    let mut page = async |offset, limit| {
        let request = salvor_openshell_wire::v0_0::ListSandboxesRequest {
            offset,
            limit,
            ..Default::default()
        };
        let rows = fixture.client.v0_0().list_sandboxes(request).await.unwrap().into_inner();
        rows.sandboxes.into_iter().map(|row| row.metadata.unwrap().name).collect::<Vec<_>>()
    };
    assert_eq!(page(0, 2).await, ["s0", "s1"]);
    assert_eq!(page(4, 2).await, ["s4"]);
    assert_eq!(page(9, 2).await, Vec::<String>::new());
    assert_eq!(page(0, 0).await.len(), 5);
}
