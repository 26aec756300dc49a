//! Posture and readiness: what was locked is locked and proven afterwards, or it is owed, path by path.

use salvor_devgateway::{Dialect, Effect, Fault};
use salvor_proto::{
    recovery::v1::{self as pb, part::Outcome, recovery::State},
    registry::v1::{self as registry, posture::Proof},
};
use salvor_testkit::{Fleet, wait::PATIENCE};
use tonic::Code;

use crate::{
    given::{
        LAB, adopted_as, adoption, fleet_on, lab, lose, mutations, output, stop, verdict,
        violations, write,
    },
    support::{AUTO, REBUILD, reason, seed},
};

const SEALED: &str = "/sandbox/policy.md";
const OTHER: &str = "/sandbox/rules.md";

/// Live, with files of which these paths are to be sealed.
async fn locked(fleet: &Fleet, paths: &[&str]) -> (String, registry::Sandbox) {
    let id = fleet.sandbox(LAB, "coder", &seed()).await.unwrap();
    for path in paths {
        write(fleet, "coder", &id, path, "as sealed").await;
        output(fleet, "coder", &id, &["chmod", "444", path]).await;
    }
    let seal_paths = paths.iter().map(ToString::to_string).collect();
    let request = pb::AdoptSandboxRequest { seal_paths, ..adoption("coder") };
    let record = fleet.adopt_with(request).await.unwrap();
    lab(fleet).control.clear_calls();
    (id, record)
}

async fn posture(fleet: &Fleet) -> registry::Posture {
    fleet.record(&Fleet::name(LAB, "coder")).await.unwrap().posture.unwrap()
}

#[tokio::test]
async fn t15_adopting_with_paths_to_seal_records_what_is_there_and_proves_it() {
    let fleet = Fleet::lab().await.unwrap();
    let (_, record) = locked(&fleet, &[SEALED, OTHER]).await;
    let posture = record.posture.unwrap();
    assert_eq!(posture.mode(), registry::posture::Mode::Locked);
    assert_eq!(posture.proof(), Proof::Proven, "{posture:#?}");
    let paths: Vec<_> = posture.sealed_paths.iter().map(|sealed| sealed.path.as_str()).collect();
    assert_eq!(paths, [SEALED, OTHER]);
    assert!(posture.sealed_paths.iter().all(|sealed| sealed.sha256.len() == 64));
    fleet.stop().await;
}

#[tokio::test]
async fn t15_a_path_to_seal_that_can_be_written_is_recorded_as_owed() {
    let fleet = Fleet::lab().await.unwrap();
    let id = fleet.sandbox(LAB, "coder", &seed()).await.unwrap();
    write(&fleet, "coder", &id, SEALED, "text").await;
    let request = pb::AdoptSandboxRequest { seal_paths: vec![SEALED.into()], ..adoption("coder") };
    let posture = fleet.adopt_with(request).await.unwrap().posture.unwrap();
    assert_eq!(posture.proof(), Proof::Pending);
    assert!(posture.pending[0].contains(SEALED), "{:?}", posture.pending);
    fleet.stop().await;
}

#[tokio::test]
async fn t15_a_path_to_seal_that_is_not_there_is_refused_by_its_place() {
    let fleet = Fleet::lab().await.unwrap();
    fleet.sandbox(LAB, "coder", &seed()).await.unwrap();
    let seal_paths = vec!["/sandbox/nothing".into()];
    let request = pb::AdoptSandboxRequest { seal_paths, ..adoption("coder") };
    let refused = fleet.adopt_with(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("/sandbox/nothing"), "{}", refused.message());
    let missing = fleet.record(&Fleet::name(LAB, "coder")).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound, "nothing was recorded");
    fleet.stop().await;
}

/// A fresh workspace has none of the sealed files: that is owed, and said of each.
async fn owed_after_stale_recovery(dialect: Dialect) {
    let fleet = fleet_on(dialect).await;
    let (_, before) = locked(&fleet, &[SEALED, OTHER]).await;
    lose(&fleet, "coder").await;
    let recovery = fleet.recover(&before.name, REBUILD).await.unwrap();
    assert_eq!(recovery.state(), State::Degraded, "{recovery:#?}");
    let result = recovery.result.unwrap();
    assert!(result.summary.contains("owed"), "{}", result.summary);
    let part = result.posture.unwrap();
    assert_eq!(part.outcome(), Outcome::Pending);
    let after = posture(&fleet).await;
    assert_eq!(after.mode(), registry::posture::Mode::Locked);
    assert_eq!(after.proof(), Proof::Pending);
    assert_eq!(after.sealed_paths, before.posture.unwrap().sealed_paths, "the obligation stays");
    for path in [SEALED, OTHER] {
        assert!(part.message.contains(path), "{}", part.message);
        assert!(after.pending.iter().any(|owed| owed.contains(path)), "{:?}", after.pending);
    }
    assert!(lab(&fleet).control.live("coder"), "it is live all the same");
    fleet.stop().await;
}

#[tokio::test]
async fn t15_sealed_files_that_are_gone_are_owed_path_by_path_on_0_0() {
    owed_after_stale_recovery(Dialect::V0_0).await;
}

#[tokio::test]
async fn t15_sealed_files_that_are_gone_are_owed_path_by_path_on_0_1() {
    owed_after_stale_recovery(Dialect::V0_1).await;
}

/// A revival of a locked sandbox after `script` was run in it.
async fn revived_after(fleet: &Fleet, script: Option<&str>) -> pb::Recovery {
    let (id, record) = locked(fleet, &[SEALED, OTHER]).await;
    if let Some(script) = script {
        output(fleet, "coder", &id, &["/bin/sh", "-c", script]).await;
    }
    stop(fleet, "coder").await;
    fleet.recover(&record.name, AUTO).await.unwrap()
}

#[tokio::test]
async fn t15_a_revival_keeps_the_lock_and_proves_it() {
    let fleet = Fleet::lab().await.unwrap();
    let recovery = revived_after(&fleet, None).await;
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    assert_eq!(recovery.result.unwrap().posture.unwrap().outcome(), Outcome::Proven);
    let after = posture(&fleet).await;
    assert_eq!(after.proof(), Proof::Proven);
    assert!(after.pending.is_empty());
    fleet.stop().await;
}

#[tokio::test]
async fn t15_a_sealed_file_that_can_be_written_is_sealed_again() {
    let fleet = Fleet::lab().await.unwrap();
    let recovery = revived_after(&fleet, Some("chmod 644 /sandbox/policy.md")).await;
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    assert_eq!(posture(&fleet).await.proof(), Proof::Proven);
    let id = recovery.result.unwrap().live_id;
    let mode = output(&fleet, "coder", &id, &["stat", "-c", "%a", SEALED]).await;
    assert_eq!(mode.trim(), "444");
    fleet.stop().await;
}

/// Only the path that is not as sealed is owed.
async fn owed_after(script: &str, said: &str) {
    let fleet = Fleet::lab().await.unwrap();
    let recovery = revived_after(&fleet, Some(script)).await;
    assert_eq!(recovery.state(), State::Degraded, "{recovery:#?}");
    let after = posture(&fleet).await;
    assert_eq!(after.proof(), Proof::Pending);
    assert_eq!(after.pending.len(), 1, "{:?}", after.pending);
    assert!(after.pending[0].contains(SEALED), "{:?}", after.pending);
    assert!(after.pending[0].contains(said), "{:?}", after.pending);
    fleet.stop().await;
}

#[tokio::test]
async fn t15_a_sealed_file_that_was_changed_is_owed() {
    let script = "chmod 644 /sandbox/policy.md; printf other > /sandbox/policy.md";
    owed_after(script, "content").await;
}

#[tokio::test]
async fn t15_a_sealed_file_that_was_removed_is_owed() {
    owed_after("rm -f /sandbox/policy.md", "does not exist").await;
}

#[tokio::test]
async fn t15_a_directory_in_the_place_of_a_sealed_file_is_owed() {
    owed_after("rm -f /sandbox/policy.md; mkdir /sandbox/policy.md", "no regular file").await;
}

#[tokio::test]
async fn t15_what_could_not_be_read_back_is_not_said_to_be_locked() {
    let fleet = Fleet::lab().await.unwrap();
    let (_, record) = locked(&fleet, &[SEALED]).await;
    stop(&fleet, "coder").await;
    lab(&fleet).control.fault(Fault::fail("ExecSandbox", Code::Internal, "no relay"));
    let recovery = fleet.recover(&record.name, AUTO).await.unwrap();
    assert_eq!(recovery.state(), State::Unproven, "{recovery:#?}");
    assert_eq!(posture(&fleet).await.proof(), Proof::Pending);
    fleet.stop().await;
}

fn probe(script: &str) -> pb::AdoptSandboxRequest {
    let probe = registry::ReadinessProbe {
        command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        ..Default::default()
    };
    pb::AdoptSandboxRequest { readiness_probe: Some(probe), ..adoption("coder") }
}

#[tokio::test]
async fn t24_a_probe_that_succeeds_proves_that_the_agent_is_of_use() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = adopted_as(&fleet, "coder", probe("exit 0")).await;
    lose(&fleet, "coder").await;
    let recovery = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    let steps = crate::given::steps(&recovery);
    assert!(steps.contains(&("prove_readiness", "proven")), "{steps:?}");
    fleet.stop().await;
}

#[tokio::test]
async fn t24_a_probe_that_keeps_failing_degrades_the_result_and_names_its_code() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = adopted_as(&fleet, "coder", probe("exit 7")).await;
    lose(&fleet, "coder").await;
    let recovery = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(recovery.state(), State::Degraded, "{recovery:#?}");
    let config = recovery.result.unwrap().config.unwrap();
    assert_eq!(config.outcome(), Outcome::Pending);
    assert!(config.message.contains("exit code 7"), "{}", config.message);
    assert!(lab(&fleet).control.live("coder"), "it is live all the same");
    assert_eq!(mutations(&fleet), ["CreateSandbox"]);
    fleet.stop().await;
}

#[tokio::test]
async fn t24_a_probe_is_tried_until_the_agent_has_come_up() {
    let fleet = Fleet::lab().await.unwrap();
    // Fails twice, as an agent does that is still starting.
    let script = "cd /sandbox && touch try.$$ && [ $(ls try.* | wc -l) -ge 3 ]";
    let (name, _) = adopted_as(&fleet, "coder", probe(script)).await;
    lose(&fleet, "coder").await;
    let recovery = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    let probes = lab(&fleet).control.calls();
    assert!(probes.iter().filter(|call| call.method == "ExecSandbox").count() >= 3);
    fleet.stop().await;
}

/// Bringing back one of several agents would be a guess.
#[tokio::test]
async fn t25_a_record_of_several_agents_is_refused_by_name() {
    let fleet = Fleet::lab().await.unwrap();
    let agent = |kind: &str| registry::Agent { kind: kind.into(), version: "1".into() };
    let agents = vec![agent("claude-code"), agent("codex")];
    let request = pb::AdoptSandboxRequest { agents, ..adoption("coder") };
    let (name, _) = adopted_as(&fleet, "coder", request).await;
    lose(&fleet, "coder").await;
    // An absence that has not settled yet would be a reason of its own.
    verdict(&fleet, &name, pb::Verdict::Lost).await;
    let refused = fleet.ask(&name, REBUILD).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(reason(&refused), "SEVERAL_AGENTS");
    assert!(refused.message().contains('2'), "{}", refused.message());
    assert_eq!(violations(&refused), ["SEVERAL_AGENTS"], "and nothing else stands in the way");
    assert_eq!(mutations(&fleet), [""; 0]);
    fleet.stop().await;
}

/// What a record lacks is named; nothing is made up in its place.
#[tokio::test]
async fn t25_an_incomplete_record_is_refused_with_the_part_that_it_lacks() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = crate::given::adopted(&fleet, "coder").await;
    let mut record = fleet.record(&name).await.unwrap();
    record.policy = None;
    let request = registry::UpdateSandboxRequest {
        sandbox: Some(record),
        update_mask: Some(prost_types::FieldMask { paths: vec!["policy".into()] }),
        ..Default::default()
    };
    fleet.registry.clone().update_sandbox(request).await.unwrap();
    lose(&fleet, "coder").await;
    let refused = fleet.ask(&name, REBUILD).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(reason(&refused), "RECORD_INCOMPLETE");
    assert!(refused.message().contains("policy"), "{}", refused.message());
    assert_eq!(mutations(&fleet), [""; 0]);
    assert!(lab(&fleet).control.wait_absent("coder", PATIENCE).await);
    fleet.stop().await;
}

/// The vendor's supervisor sometimes says 1 for a command that ended with 0.
#[tokio::test]
async fn t24_one_misreported_exit_does_not_degrade_a_result() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = adopted_as(&fleet, "coder", probe("exit 0")).await;
    lose(&fleet, "coder").await;
    lab(&fleet).control.fault(Fault::on("ExecSandbox", Effect::MisreportExit).times(1));
    let recovery = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    fleet.stop().await;
}
