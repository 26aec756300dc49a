//! One sandbox's whole life through the adapter: the part that runs on every target.

use salvor_devgateway::Dialect;
use salvor_proto::gateway::v1::effect::{Cause, Outcome};
use salvor_proto::gateway::v1::gateway_view::State;
use salvor_proto::gateway::v1::get_effective_policy_response::Result as Policy;
use salvor_proto::gateway::v1::probe_readiness_response::Result as Readiness;
use salvor_proto::gateway::v1::{Phase, Stamp};
use sha2::{Digest, Sha256};

use crate::target::{DIGEST, Target, is};

#[tokio::test]
async fn on_the_development_gateway_0_0() {
    whole_life(Target::dev(Dialect::V0_0).await).await;
}

#[tokio::test]
async fn on_the_development_gateway_0_1() {
    whole_life(Target::dev(Dialect::V0_1).await).await;
}

#[tokio::test]
async fn on_a_real_gateway() {
    if let Some(target) = Target::real().await {
        whole_life(target).await;
    }
}

async fn whole_life(mut target: Target) {
    let name = &format!("s{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
    probed(&mut target).await;
    let since = target.absent_since(name).await;
    assert_eq!(target.absent_since(name).await, since, "an absence keeps its beginning");
    let id = created(&mut target, name).await;
    captured(&mut target, name, &id).await;
    commands(&mut target, name, &id).await;
    let foreign = uuid::Uuid::new_v4().to_string();
    let refused = target.delete(name, &foreign, 1).await.unwrap();
    is(&refused, Outcome::NotApplied, Cause::OtherIncarnation);
    stopped_and_started(&mut target, name, &id).await;
    let deleted = target.delete(name, &id, 1).await.unwrap();
    is(&deleted, Outcome::Applied, Cause::Unspecified);
    assert!(target.absent_since(name).await > since, "the earlier absence was forgotten");
    let again = target.delete(name, &id, 1).await.unwrap();
    is(&again, Outcome::NotApplied, Cause::NotFound);
}

async fn probed(target: &mut Target) {
    let Some(State::Healthy(first)) = target.probe().await.state else { panic!("unhealthy") };
    let Some(State::Healthy(second)) = target.probe().await.state else { panic!("unhealthy") };
    assert_eq!(first.dialect(), target.dialect);
    assert!(!first.identity.as_ref().unwrap().store_id.is_empty());
    assert_eq!((&first.identity, &first.healthy_since), (&second.identity, &second.healthy_since));
}

async fn created(target: &mut Target, name: &str) -> String {
    let (effect, id) = target.create(name).await;
    is(&effect, Outcome::Applied, Cause::Unspecified);
    let (effect, _) = target.create(name).await;
    is(&effect, Outcome::NotApplied, Cause::AlreadyExists);
    let present = target.wait_phase(name, Phase::Ready).await;
    assert_eq!(present.live_id, id);
    let stamp = Stamp { recovery: "recoveries/7".into(), plan_digest: DIGEST.into() };
    assert_eq!(present.stamp, Some(stamp));
    assert_eq!(present.annotations.get("note").map(String::as_str), Some("kept\nas is"));
    assert!(present.annotations.keys().all(|key| !key.starts_with("salvor.dev/")));
    assert_eq!(present.labels.get("team").map(String::as_str), Some("lab"));
    let summary = present.spec_summary.unwrap();
    assert_eq!(summary.command, "sleep");
    assert!(summary.environment_names.contains(&"API_KEY".to_owned()));
    assert!(!present.startable);
    id
}

async fn captured(target: &mut Target, name: &str, id: &str) {
    let mut digests = Vec::new();
    for _ in 0..5 {
        let material = target.observe_all(name, true).await.material.unwrap();
        let spec = material.spec.unwrap();
        assert_eq!(spec.dialect(), target.dialect);
        assert_eq!(spec.sha256, hex::encode(Sha256::digest(&spec.content)));
        assert!(spec.content.windows(7).any(|window| window == b"hunter2"));
        let policy = material.policy.unwrap_or_else(|| panic!("{:?}", material.policy_unknown));
        assert!(!policy.policy_hash.is_empty());
        digests.push((spec.sha256, policy.sha256));
    }
    digests.dedup();
    assert_eq!(digests.len(), 1, "equal content has equal bytes at every look");
    let answer = target.policy(name, id).await;
    assert!(answer.loaded, "{answer:?}");
    assert!(matches!(answer.result, Some(Policy::Policy(_))), "{answer:?}");
    let other = target.policy(name, &uuid::Uuid::new_v4().to_string()).await;
    assert!(matches!(other.result, Some(Policy::Unknown(_))), "another incarnation's: {other:?}");
}

async fn commands(target: &mut Target, name: &str, id: &str) {
    let odd = "a  b $HOME * 'c' \"d\" \\";
    let said = target.run(name, id, &["printf", "%s", odd]).await;
    assert_eq!((said.result, said.output.as_str()), (Some(Readiness::ExitCode(0)), odd));
    let failed = target.run(name, id, &["sh", "-c", "echo why >&2; exit 3"]).await;
    assert_eq!((failed.result, failed.output.as_str()), (Some(Readiness::ExitCode(3)), "why"));
    let missing = target.run(name, id, &["/no/such/program"]).await;
    assert_eq!(missing.result, Some(Readiness::ExitCode(127)));
    let killed = target.run(name, id, &["sh", "-c", "kill -9 $$"]).await;
    assert_eq!(killed.result, Some(Readiness::ExitCode(137)), "the true status of a signal");
}

async fn stopped_and_started(target: &mut Target, name: &str, id: &str) {
    let before = target.present(name).await.instance_id;
    is(&target.stop(name, id).await, Outcome::Applied, Cause::Unspecified);
    assert!(target.wait_phase(name, Phase::Stopped).await.startable);
    let unready = target.run(name, id, &["true"]).await;
    assert!(matches!(unready.result, Some(Readiness::Unknown(_))), "{unready:?}");
    is(&target.start(name, id).await, Outcome::Applied, Cause::Unspecified);
    let present = target.wait_phase(name, Phase::Ready).await;
    assert_eq!(present.live_id, id);
    assert_ne!(present.instance_id, before, "its processes are new");
}
