//! Sandboxes in real containers: the same habits, and what happens to a container behind the gateway's back.
//!
//! Without Docker or the image of `.ci/lib/sandbox-image` they say that they are skipped; with `SALVOR_REQUIRE_DOCKER=1` they
//! fail. The gateway removes its containers when the fixture is dropped.

use std::process::Command;

use salvor_devgateway::{Dialect, DockerDriver, Driver, Phase, Restart};
use salvor_openshell_wire::v0_0::ExecSandboxRequest;
use tonic::Code;

use crate::client::{Create, refusal, said, spec};
use crate::{BOTH, Fixture, PATIENCE};

const IMAGE: &str = "salvor-test-sandbox:local";

/// What `docker` prints; an error in its words.
fn docker(words: &[&str]) -> Result<String, String> {
    let ended = Command::new("docker").args(words).output().map_err(|error| error.to_string())?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
    if ended.status.success() { Ok(text(ended.stdout)) } else { Err(text(ended.stderr)) }
}

fn driver() -> Option<Driver> {
    let image = docker(&["image", "inspect", "--format", "{{.Id}}", IMAGE]);
    if let Err(why) = image {
        let required = std::env::var("SALVOR_REQUIRE_DOCKER").is_ok_and(|word| word == "1");
        assert!(!required, "SALVOR_REQUIRE_DOCKER=1, and there is no image {IMAGE}: {why}");
        let text = format!("skipped: no image {IMAGE} (run .ci/lib/sandbox-image): {why}\n");
        // Straight to the stream: the test harness keeps what the print macros write.
        std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes()).unwrap();
        return None;
    }
    let (socket, image) = ("/var/run/docker.sock".into(), IMAGE.to_owned());
    Some(Driver::Docker(DockerDriver { socket, image, keep: false }))
}

async fn fixture(dialect: Dialect) -> Option<Fixture> {
    let driver = driver()?;
    Some(Fixture::with(dialect, |config| config.driver = driver).await)
}

/// The container of a sandbox id.
fn container(id: &str) -> String {
    let filter = format!("label=openshell.ai/sandbox-id={id}");
    docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter]).unwrap()
}

fn state(container: &str) -> String {
    docker(&["inspect", "--format", "{{.State.Status}}", container]).unwrap()
}

/// A sandbox whose main process ends when it is asked to.
async fn ready(fixture: &mut Fixture, name: &str) -> String {
    let created = Create::with(name, &spec(&["sleep", "infinity"]));
    fixture.client.create_as(created).await.unwrap();
    fixture.wait_phase(name, Phase::Ready).await.id
}

#[tokio::test]
async fn a_container_is_named_and_labelled_as_the_vendors_are() {
    let Some(mut fixture) = fixture(Dialect::V0_0).await else { return };
    let id = ready(&mut fixture, "agent").await;
    let made = container(&id);
    let shown =
        docker(&["inspect", "--format", "{{.Name}} {{json .Config.Labels}}", &made]).unwrap();
    assert!(shown.starts_with(&format!("/openshell-default--agent-{id} ")), "{shown}");
    for label in [
        r#""openshell.ai/managed-by":"openshell""#,
        &format!(r#""openshell.ai/sandbox-id":"{id}""#),
        r#""openshell.ai/sandbox-name":"agent""#,
        r#""openshell.ai/sandbox-workspace":"default""#,
        r#""openshell.ai/sandbox-namespace":"#,
    ] {
        assert!(shown.contains(label), "{label} is not in {shown}");
    }
}

#[tokio::test]
async fn commands_run_in_it_with_all_that_goes_in_and_out() {
    for dialect in BOTH {
        let Some(mut fixture) = fixture(dialect).await else { return };
        ready(&mut fixture, "agent").await;
        let script = "echo out; echo err >&2; pwd; id -un; exit 9";
        let output = fixture.client.exec("agent", &["sh", "-c", script]).await.unwrap();
        assert_eq!(output.stdout, b"out\n/sandbox\nsandbox\n");
        assert_eq!((&output.stderr[..], output.exit), (&b"err\n"[..], Some(9)));
        let odd = ["printf", "%s|", "*", "$HOME", ";", "it's", "a\nb", ""];
        assert_eq!(
            fixture.client.exec("agent", &odd).await.unwrap().stdout,
            b"*|$HOME|;|it's|a\nb||"
        );
        let body: Vec<u8> = (0..900_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let command = ["cat"].map(str::to_owned).into();
        let cat = ExecSandboxRequest { stdin: body.clone(), command, ..Default::default() };
        assert!(fixture.client.exec_as("agent", cat).await.unwrap().stdout == body);
    }
}

#[tokio::test]
async fn stop_and_start_keep_the_files_and_delete_does_not() {
    let Some(mut fixture) = fixture(Dialect::V0_0).await else { return };
    let id = ready(&mut fixture, "agent").await;
    let made = container(&id);
    fixture.client.exec("agent", &["sh", "-c", "echo kept > /sandbox/f"]).await.unwrap();
    fixture.client.stop("agent").await.unwrap();
    assert_eq!(state(&made), "exited");
    fixture.client.start("agent").await.unwrap();
    fixture.wait_phase("agent", Phase::Ready).await;
    assert_eq!(container(&id), made);
    let output = fixture.client.exec("agent", &["cat", "/sandbox/f"]).await.unwrap();
    assert_eq!(output.stdout, b"kept\n");
    assert!(fixture.client.delete("agent").await.unwrap());
    assert_eq!(container(&id), "");
    assert!(fixture.control().wait_absent("agent", PATIENCE).await);
}

#[tokio::test]
async fn what_others_do_to_a_container_shows_in_its_row() {
    let Some(mut fixture) = fixture(Dialect::V0_0).await else { return };
    for (name, words, reason, exit_code) in [
        ("killed", &["kill"][..], "ContainerExited", None),
        ("stopped", &["stop", "--time", "10"], "MainProcessExited", Some(143)),
        ("paused", &["pause"], "ContainerPaused", None),
    ] {
        let made = container(&ready(&mut fixture, name).await);
        docker(&[words, &[made.as_str()]].concat()).unwrap();
        let seen = fixture.wait_phase(name, Phase::Error).await;
        assert_eq!((seen.reason.as_str(), seen.exit_code), (reason, exit_code), "{name}");
        assert_eq!(
            refusal(fixture.client.exec(name, &["true"]).await),
            said(Code::FailedPrecondition, "sandbox is not ready")
        );
        assert_ne!(state(&made), "running", "{name} is kept, and nothing starts it");
    }
    let made = container(&ready(&mut fixture, "removed").await);
    docker(&["rm", "--force", &made]).unwrap();
    assert!(fixture.control().wait_absent("removed", PATIENCE).await);
}

#[tokio::test]
async fn a_row_deleted_live_leaves_its_container_running_beside_the_next_one() {
    let Some(mut fixture) = fixture(Dialect::V0_0).await else { return };
    let id = ready(&mut fixture, "agent").await;
    let made = container(&id);
    assert_eq!(fixture.control().orphan("agent").unwrap(), id);
    assert_eq!(
        refusal(fixture.client.get("agent").await),
        said(Code::NotFound, "sandbox not found")
    );
    let next = ready(&mut fixture, "agent").await;
    assert_ne!(next, id);
    assert_eq!((state(&made).as_str(), state(&container(&next)).as_str()), ("running", "running"));
    assert_eq!(fixture.control().orphans(), [id]);
}

#[tokio::test]
async fn a_restarted_gateway_finds_its_containers_again() {
    let Some(mut fixture) = fixture(Dialect::V0_0).await else { return };
    let id = ready(&mut fixture, "agent").await;
    fixture.client.exec("agent", &["sh", "-c", "echo kept > /sandbox/f"]).await.unwrap();
    ready(&mut fixture, "gone").await;
    let control = fixture.control();
    control.restart(Restart::WithoutContainers(vec!["gone".to_owned()])).await.unwrap();
    assert_eq!(fixture.wait_phase("agent", Phase::Ready).await.id, id);
    let seen = fixture.wait_phase("gone", Phase::Error).await;
    assert_eq!(seen.reason, "BackendResourceMissing");
    control.restart(Restart::Graceful).await.unwrap();
    assert_eq!(fixture.wait_phase("agent", Phase::Ready).await.id, id);
    let output = fixture.client.exec("agent", &["cat", "/sandbox/f"]).await.unwrap();
    assert_eq!(output.stdout, b"kept\n");
}

#[tokio::test]
async fn the_end_of_the_gateway_leaves_no_container() {
    for orderly in [true, false] {
        let Some(mut fixture) = fixture(Dialect::V0_0).await else { return };
        let id = ready(&mut fixture, "agent").await;
        let orphan = ready(&mut fixture, "orphan").await;
        fixture.control().orphan("orphan").unwrap();
        if orderly {
            fixture.running.shutdown().await;
        } else {
            drop(fixture.running);
        }
        assert_eq!((container(&id), container(&orphan)), (String::new(), String::new()));
    }
}
