//! What an allowed plan claims, said a second time and without the guards.

use salvor_core::{
    Evidence, Fact, SagaKind, Timestamp,
    evidence::{
        Gateway, GatewayIdentity, Live, Phase, Present, ProviderState, Record, RecordState,
    },
    plan::Inputs,
};

const THIRTY_SECONDS: u64 = 30_000;
const FIVE_SECONDS: u64 = 5_000;
const SPEC_BYTES: u64 = 983_040;
const POLICY_BYTES: u64 = 262_144;

/// Whether everything that the design asks for is the case, under the default limits.
pub(super) fn holds(saga: SagaKind, evidence: &Evidence) -> bool {
    let now = evidence.now;
    let (Some(record), Some(gateway), Some(live)) =
        (seen(&evidence.record, now), seen(&evidence.gateway, now), seen(&evidence.live, now))
    else {
        return false;
    };
    if record.state != RecordState::Active || !bound_to(&record.identity, &gateway.identity) {
        return false;
    }
    match saga {
        SagaKind::StaleRecovery => {
            absent_for_good(live, gateway, now)
                && complete(record)
                && replayable(record, gateway)
                && providers_work(record, evidence)
        }
        SagaKind::Revive => complete(record) && at_rest_and_ours(record, live, true),
        // No version of salvor saves a workspace yet, so nothing may be made anew.
        SagaKind::Rebuild => false,
        SagaKind::Destroy => {
            long_enough(gateway.healthy_since, now) && destroyable(record, live, evidence)
        }
    }
}

fn seen<T>(fact: &Fact<T>, now: Timestamp) -> Option<&T> {
    match fact {
        Fact::Known { value, at } if now.0 <= at.0 || now.0 - at.0 <= THIRTY_SECONDS => Some(value),
        Fact::Known { .. } | Fact::Unknown { .. } => None,
    }
}

fn long_enough(since: Timestamp, now: Timestamp) -> bool {
    since.0 <= now.0 && now.0 - since.0 >= FIVE_SECONDS
}

fn bound_to(pinned: &GatewayIdentity, live: &GatewayIdentity) -> bool {
    fn as_pinned<T: PartialEq>(pinned: Option<&T>, live: Option<&T>) -> bool {
        pinned.is_none() || pinned == live
    }
    pinned.store_id.is_some()
        && pinned.store_id == live.store_id
        && as_pinned(pinned.signing_key_id.as_ref(), live.signing_key_id.as_ref())
        && as_pinned(pinned.issuer.as_ref(), live.issuer.as_ref())
        && as_pinned(pinned.ca_sha256.as_ref(), live.ca_sha256.as_ref())
}

fn complete(record: &Record) -> bool {
    record.live_id.is_some()
        && record.agents.len() == 1
        && record.spec.is_some()
        && record.policy.is_some()
}

fn absent_for_good(live: &Live, gateway: &Gateway, now: Timestamp) -> bool {
    match live {
        Live::Absent { since } => {
            long_enough(*since, now) && long_enough(gateway.healthy_since, now)
        }
        Live::Present(_) => false,
    }
}

fn ours(record: &Record, present: &Present) -> bool {
    record.live_id.as_ref().is_some_and(|id| id.as_str() == present.live_id.as_str())
}

fn at_rest_and_ours(record: &Record, live: &Live, startable: bool) -> bool {
    let Live::Present(present) = live else { return false };
    let rest = [Phase::Ready, Phase::Error, Phase::Stopped, Phase::Completed];
    ours(record, present) && rest.contains(&present.phase) && present.startable == startable
}

fn replayable(record: &Record, gateway: &Gateway) -> bool {
    let (Some(spec), Some(policy)) = (&record.spec, &record.policy) else { return false };
    spec.openable
        && policy.openable
        && spec.size_bytes <= SPEC_BYTES
        && policy.size_bytes <= POLICY_BYTES
        && spec.dialect == gateway.dialect
        && policy.dialect == gateway.dialect
}

fn providers_work(record: &Record, evidence: &Evidence) -> bool {
    let Some(there) = seen(&evidence.providers, evidence.now) else { return false };
    let wanted = record.spec.iter().flat_map(|spec| &spec.summary.providers);
    wanted.into_iter().all(|name| {
        let entry = there.iter().find(|provider| provider.name == *name);
        match entry.map(|provider| &provider.state) {
            Some(ProviderState::Existing { expires }) => {
                expires.is_none_or(|at| at.0 > evidence.now.0)
            }
            Some(ProviderState::Missing) | None => false,
        }
    })
}

fn destroyable(record: &Record, live: &Live, evidence: &Evidence) -> bool {
    match live {
        Live::Absent { since } => long_enough(*since, evidence.now),
        Live::Present(present) => {
            let digest = Inputs::of(evidence).digest(SagaKind::Destroy, &evidence.target);
            ours(record, present) && evidence.accepted_loss == Some(digest)
        }
    }
}
