//! The gateway going away and coming back, and what it leaves behind.

use salvor_devgateway::{DevGateway, Phase, Restart};
use std::time::Duration;
use tonic::Code;

use crate::client::{Client, refusal};
use crate::{BOTH, Fixture, config_for};

#[tokio::test]
async fn a_graceful_restart_keeps_ids_and_files_and_starts_new_instances() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        let before = fixture.ready("agent").await;
        fixture.client.exec("agent", &["sh", "-c", "echo kept > marker"]).await.unwrap();
        let store = fixture.client.store_id().await.unwrap();
        let control = fixture.control();
        control.down(Restart::Graceful).await.unwrap();
        assert!(control.processes_of(&before.id).is_empty());
        // A new connection: what an old one reports of its end is the client library's affair.
        let mut late = Client::connect(&fixture.running.uri(), dialect);
        assert_eq!(refusal(late.get("agent").await).0, Code::Unavailable);
        control.up().await.unwrap();
        let after = fixture.wait_phase("agent", Phase::Ready).await;
        assert_eq!(after.id, before.id);
        assert_ne!(after.instance_id, before.instance_id);
        assert_eq!(
            fixture.client.exec("agent", &["cat", "marker"]).await.unwrap().stdout,
            b"kept\n"
        );
        assert_eq!(fixture.client.store_id().await.unwrap(), store);
    }
}

#[tokio::test]
async fn after_a_kill_the_same_instances_come_back_through_provisioning() {
    for dialect in BOTH {
        let mut fixture = Fixture::with(dialect, |config| config.time_scale = 0.6).await;
        let before = fixture.ready("agent").await;
        fixture.restart(Restart::Killed).await;
        let waiting = fixture.client.get("agent").await.unwrap();
        assert_eq!((waiting.phase, waiting.reason.as_str()), (1, "SupervisorNotConnected"));
        let after = fixture.wait_phase("agent", Phase::Ready).await;
        assert_eq!((after.id, after.instance_id), (before.id, before.instance_id));
    }
}

#[tokio::test]
async fn an_emptied_store_has_another_identity_and_knows_nobody() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        let before = fixture.ready("agent").await;
        let store = fixture.client.store_id().await.unwrap();
        let control = fixture.control();
        fixture.restart(Restart::EmptyStore).await;
        assert_ne!(fixture.client.store_id().await.unwrap(), store);
        assert_eq!(fixture.client.list("").await.unwrap(), Vec::<String>::new());
        assert_eq!(refusal(fixture.client.get("agent").await).0, Code::NotFound);
        assert!(!control.processes_of(&before.id).is_empty(), "the orphan runs on");
    }
}

#[tokio::test]
async fn a_container_lost_while_nobody_looked_is_an_error_until_it_is_pruned() {
    for dialect in BOTH {
        let mut fixture = Fixture::with(dialect, |config| config.time_scale = 0.6).await;
        fixture.ready("agent").await;
        let control = fixture.control();
        let how = Restart::WithoutContainers(vec!["agent".to_owned()]);
        fixture.restart(how).await;
        let seen = fixture.client.get("agent").await.unwrap();
        assert_eq!((seen.phase, seen.reason.as_str()), (3, "BackendResourceMissing"));
        control.sweep();
        fixture.client.get("agent").await.unwrap();
        control.age("agent", Duration::from_hours(1)).unwrap();
        control.sweep();
        assert_eq!(refusal(fixture.client.get("agent").await).0, Code::NotFound);
    }
}

#[tokio::test]
async fn another_start_on_the_same_data_brings_the_sandboxes_back() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        let before = fixture.ready("agent").await;
        fixture.ready("stopped").await;
        fixture.client.stop("stopped").await.unwrap();
        let store = fixture.client.store_id().await.unwrap();
        let Fixture { running, dir, .. } = fixture;
        let control = running.control();
        running.shutdown().await;
        assert!(control.processes_of(&before.id).is_empty());

        let running = DevGateway::start(config_for(&dir, dialect)).await.unwrap();
        let client = Client::connect(&running.uri(), dialect);
        let mut fixture = Fixture { running, client, dir };
        let after = fixture.wait_phase("agent", Phase::Ready).await;
        assert_eq!((&after.id, &after.labels), (&before.id, &before.labels));
        assert_ne!(after.instance_id, before.instance_id);
        assert_eq!(fixture.client.get("stopped").await.unwrap().phase, Phase::Stopped as i32);
        assert_eq!(fixture.client.store_id().await.unwrap(), store);
    }
}

#[tokio::test]
async fn ending_the_gateway_leaves_no_process_behind() {
    for dialect in BOTH {
        for ordered in [true, false] {
            let mut fixture = Fixture::new(dialect).await;
            let id = fixture.ready("agent").await.id;
            let script = "setsid sleep 1000 & sleep 1000 &";
            fixture.client.exec("agent", &["sh", "-c", script]).await.unwrap();
            let control = fixture.control();
            assert!(control.processes_of(&id).len() >= 3);
            let orphan = { fixture.ready("orphan").await.id };
            control.orphan("orphan").unwrap();
            if ordered {
                fixture.running.shutdown().await;
            } else {
                drop(fixture);
            }
            assert!(control.processes_of(&id).is_empty());
            assert!(control.processes_of(&orphan).is_empty());
        }
    }
}
