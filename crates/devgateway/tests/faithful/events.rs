//! What happens behind the gateway's back.

use salvor_devgateway::Phase;
use std::time::Duration;
use tonic::Code;

use crate::client::{refusal, said};
use crate::{BOTH, Fixture, PATIENCE};

#[tokio::test]
async fn a_lost_container_passes_through_provisioning_and_is_forgotten() {
    for dialect in BOTH {
        let mut fixture = Fixture::with(dialect, |config| config.time_scale = 0.6).await;
        let control = fixture.control();
        let id = fixture.ready("agent").await.id;
        control.lose("agent").await.unwrap();
        assert!(control.processes_of(&id).is_empty());
        let seen = fixture.wait_reason("agent", "DependenciesNotReady").await;
        assert_eq!(seen.phase, Phase::Provisioning as i32);
        assert_eq!(
            refusal(fixture.client.exec("agent", &["true"]).await),
            said(Code::FailedPrecondition, "sandbox is not ready")
        );
        assert!(control.wait_absent("agent", PATIENCE).await);
        assert_eq!(
            refusal(fixture.client.get("agent").await),
            said(Code::NotFound, "sandbox not found")
        );
        assert_ne!(fixture.ready("agent").await.id, id, "the name is free again");
    }
}

#[tokio::test]
async fn deleting_what_is_lost_removes_the_row_and_says_there_was_no_container() {
    for dialect in BOTH {
        let mut fixture = Fixture::with(dialect, |config| config.time_scale = 0.6).await;
        fixture.ready("agent").await;
        fixture.control().lose("agent").await.unwrap();
        assert!(!fixture.client.delete("agent").await.unwrap());
        assert!(fixture.control().sandbox("agent").is_none());
    }
}

#[tokio::test]
async fn each_way_to_die_has_its_own_lasting_error() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        let control = fixture.control();
        fixture.ready("killed").await;
        fixture.ready("stopped").await;
        fixture.ready("ended").await;
        fixture.ready("paused").await;
        control.kill("killed").await.unwrap();
        control.stop_container("stopped").await.unwrap();
        control.main_exit("ended", 3).await.unwrap();
        control.pause("paused").await.unwrap();
        for (name, reason, exit_code) in [
            ("killed", "ContainerExited", None),
            ("stopped", "MainProcessExited", Some(143)),
            ("ended", "MainProcessExited", Some(3)),
            ("paused", "ContainerPaused", None),
        ] {
            let seen = fixture.wait_phase(name, Phase::Error).await;
            assert_eq!((seen.reason.as_str(), seen.exit_code), (reason, exit_code), "{name}");
            assert_eq!(
                refusal(fixture.client.stop(name).await),
                said(
                    Code::FailedPrecondition,
                    "sandbox must be Ready to stop (current phase: Error)"
                )
            );
        }
        control.unpause("paused").await.unwrap();
        control.sweep();
        assert_eq!(fixture.client.get("paused").await.unwrap().phase, Phase::Error as i32);
        assert!(fixture.client.delete("killed").await.unwrap(), "its container was still there");
    }
}

#[tokio::test]
async fn a_process_that_really_dies_is_noticed() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        fixture.ready("agent").await;
        let control = fixture.control();
        // From inside, at the main process: everything that carries the mark.
        let script = "kill -9 $(grep -lz OPENSHELL_SANDBOX_ID=$OPENSHELL_SANDBOX_ID \
                      /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3)";
        let _ = fixture.client.exec("agent", &["bash", "-c", script]).await;
        let seen = fixture.wait_phase("agent", Phase::Error).await;
        assert_eq!((seen.reason.as_str(), seen.exit_code), ("MainProcessExited", Some(137)));
        assert!(!control.live("agent"));
    }
}

#[tokio::test]
async fn a_flap_comes_back_as_the_same_instance() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        let before = fixture.ready("agent").await;
        let control = fixture.control();
        control.disconnect("agent").unwrap();
        let cut = fixture.client.get("agent").await.unwrap();
        assert_eq!((cut.phase, cut.reason.as_str()), (1, "DependenciesNotReady"));
        assert!(!control.sandbox("agent").unwrap().processes.is_empty());
        control.reconnect("agent").unwrap();
        let after = fixture.wait_phase("agent", Phase::Ready).await;
        assert_eq!((after.id, after.instance_id), (before.id, before.instance_id));
    }
}

#[tokio::test]
async fn an_orphan_runs_on_beside_its_successor() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        fixture.ready("agent").await;
        let control = fixture.control();
        let old = control.orphan("agent").unwrap();
        assert_eq!(refusal(fixture.client.get("agent").await).0, Code::NotFound);
        assert_eq!(control.orphans(), std::slice::from_ref(&old));
        let new = fixture.ready("agent").await.id;
        assert_ne!(new, old);
        assert!(!control.processes_of(&old).is_empty() && !control.processes_of(&new).is_empty());
    }
}

#[tokio::test]
async fn a_stranger_takes_the_name_with_another_id() {
    for dialect in BOTH {
        let mut fixture = Fixture::new(dialect).await;
        let old = fixture.ready("agent").await;
        let id = fixture.control().replace("agent").await.unwrap();
        let seen = fixture.wait_phase("agent", Phase::Ready).await;
        assert_eq!(seen.id, id);
        assert_ne!(seen.id, old.id);
        assert!(fixture.control().processes_of(&old.id).is_empty());
    }
}

#[tokio::test]
async fn a_stopped_sandbox_whose_container_is_gone_is_pruned_only_when_old() {
    for dialect in BOTH {
        // Slow enough that no sweep of its own comes in between.
        let mut fixture = Fixture::with(dialect, |config| config.time_scale = 0.6).await;
        fixture.ready("agent").await;
        fixture.client.stop("agent").await.unwrap();
        let control = fixture.control();
        let root = control.sandbox("agent").unwrap().root;
        std::fs::remove_dir_all(root).unwrap();
        control.sweep();
        assert_eq!(fixture.client.get("agent").await.unwrap().phase, Phase::Stopped as i32);
        control.age("agent", Duration::from_hours(1)).unwrap();
        control.sweep();
        assert_eq!(fixture.client.get("agent").await.unwrap().reason, "ComputeResourceMissing");
        control.age("agent", Duration::from_hours(1)).unwrap();
        control.sweep();
        assert_eq!(refusal(fixture.client.get("agent").await).0, Code::NotFound);
    }
}
