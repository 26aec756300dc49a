//! What an adapter saw.

use std::time::Duration;

use salvor_core::{
    Fact, Timestamp, Why,
    evidence::{Dialect, Gateway, Live, Phase, Present, Provider, ProviderState, Stamp},
    id::{InstanceId, LiveId, PhaseReason, PlanDigest, ProviderName, RecoveryName},
    saga::{Cause, Effect},
};

use super::record::{dialect, identity, summary, text};
use crate::{gateway::v1 as pb, time::millis};

/// The owner gateway as evidence. Times are moved from the adapter's clock to the receiver's: only differences are believed.
pub fn gateway_fact(view: Option<&pb::GatewayView>, received: Timestamp) -> Fact<Gateway> {
    let Some(view) = view else {
        return Fact::unknown(Why::Unreadable, "the adapter sent no view of the gateway");
    };
    let healthy = match &view.state {
        Some(pb::gateway_view::State::Healthy(healthy)) => healthy,
        Some(pb::gateway_view::State::Unknown(unknown)) => return unknown_fact(unknown),
        None => return Fact::unknown(Why::Unreadable, "the adapter sent an empty view"),
    };
    let Ok(dialect): Result<Dialect, _> = dialect(healthy.dialect, &view.gateway, "dialect") else {
        return Fact::unknown(Why::VersionUnknown, healthy.version.clone());
    };
    let observed = view.observe_time.as_ref().map_or(0, millis);
    let since = healthy.healthy_since.as_ref().map_or(observed, millis);
    Fact::known(
        Gateway {
            version: healthy.version.clone(),
            dialect,
            identity: healthy.identity.as_ref().map(identity).unwrap_or_default(),
            healthy_since: back(received, observed, since),
        },
        received,
    )
}

/// The owner gateway's statement of a sandbox as evidence.
pub fn live_fact(view: Option<&pb::LiveView>, received: Timestamp) -> Fact<Live> {
    let Some(view) = view else {
        return Fact::unknown(Why::Unreadable, "the adapter sent no live view");
    };
    let observed = view.observe_time.as_ref().map_or(0, millis);
    match &view.view {
        Some(pb::live_view::View::Present(present)) if present.live_id.is_empty() => {
            Fact::unknown(Why::Inconsistent, "the gateway shows the sandbox without an id")
        }
        Some(pb::live_view::View::Present(present)) => {
            Fact::known(Live::Present(self::present(present)), received)
        }
        Some(pb::live_view::View::Absent(absent)) => {
            let since = absent.since.as_ref().map_or(observed, millis);
            Fact::known(Live::Absent { since: back(received, observed, since) }, received)
        }
        Some(pb::live_view::View::Unknown(unknown)) => unknown_fact(unknown),
        None => Fact::unknown(Why::Unreadable, "the adapter sent an empty live view"),
    }
}

/// The providers as evidence: unknown as a whole if one of them is.
pub fn providers_fact(
    providers: &[pb::check_providers_response::ProviderView],
    received: Timestamp,
) -> Fact<Vec<Provider>> {
    use pb::check_providers_response::provider_view::State;
    let mut seen = Vec::with_capacity(providers.len());
    for provider in providers {
        let state = match &provider.state {
            Some(State::Existing(existing)) => ProviderState::Existing {
                expires: existing.expire_time.as_ref().map(|at| Timestamp(millis(at))),
            },
            Some(State::Missing(_)) => ProviderState::Missing,
            Some(State::Unknown(unknown)) => return unknown_fact(unknown),
            None => return Fact::unknown(Why::Unreadable, provider.name.clone()),
        };
        seen.push(Provider { name: ProviderName(provider.name.clone()), state });
    }
    Fact::known(seen, received)
}

/// What became of an effect. `applied` is the value of one that was applied.
pub fn effect<T>(effect: Option<&pb::Effect>, applied: T) -> Effect<T> {
    let Some(effect) = effect else {
        return Effect::MaybeApplied(Cause::AdapterFailed);
    };
    match effect.outcome() {
        pb::effect::Outcome::Applied => Effect::Applied(applied),
        pb::effect::Outcome::NotApplied => Effect::NotApplied(cause(effect.cause())),
        pb::effect::Outcome::MaybeApplied => Effect::MaybeApplied(cause(effect.cause())),
        // An outcome that this version has no word for may be any.
        pb::effect::Outcome::Unspecified => Effect::MaybeApplied(Cause::AdapterFailed),
    }
}

/// A cause. One that is not said is the gateway's failure: nothing better is known.
pub const fn cause(cause: pb::effect::Cause) -> Cause {
    use pb::effect::Cause as P;
    match cause {
        P::AlreadyExists => Cause::AlreadyExists,
        P::NotFound => Cause::NotFound,
        P::OtherIncarnation => Cause::OtherIncarnation,
        P::Invalid => Cause::Invalid,
        P::WrongPhase => Cause::WrongPhase,
        P::Denied => Cause::Denied,
        P::WrongGateway => Cause::WrongGateway,
        P::GatewayFailed | P::Unspecified => Cause::GatewayFailed,
        P::CommandFailed => Cause::CommandFailed,
        P::NotSettled => Cause::NotSettled,
        P::WorkspaceChanged => Cause::WorkspaceChanged,
    }
}

fn present(present: &pb::Present) -> Present {
    Present {
        live_id: LiveId(present.live_id.clone()),
        phase: phase(present.phase()),
        reason: text(&present.reason).map(PhaseReason),
        instance: text(&present.instance_id).map(InstanceId),
        stamp: present.stamp.as_ref().map(|stamp| Stamp {
            recovery: RecoveryName(stamp.recovery.clone()),
            plan: PlanDigest(stamp.plan_digest.clone()),
        }),
        startable: present.startable,
        spec: present
            .spec_summary
            .as_ref()
            .map_or_else(|| summary(&crate::registry::v1::SpecSummary::default()), summary),
    }
}

const fn phase(phase: pb::Phase) -> Phase {
    match phase {
        pb::Phase::Provisioning => Phase::Provisioning,
        pb::Phase::Ready => Phase::Ready,
        pb::Phase::Error => Phase::Error,
        pb::Phase::Deleting => Phase::Deleting,
        pb::Phase::Stopping => Phase::Stopping,
        pb::Phase::Stopped => Phase::Stopped,
        pb::Phase::Starting => Phase::Starting,
        pb::Phase::Completed => Phase::Completed,
        pb::Phase::Unspecified | pb::Phase::Unknown => Phase::Unknown,
    }
}

/// An unknown fact, for the reason that the adapter gives.
pub fn unknown_fact<T>(unknown: &pb::Unknown) -> Fact<T> {
    Fact::unknown(why(unknown.reason()), unknown.detail.clone())
}

/// A reason. One that this version has no word for is still unknown.
pub const fn why(reason: pb::UnknownReason) -> Why {
    use pb::UnknownReason as P;
    match reason {
        P::Unavailable => Why::Unavailable,
        P::DeadlineExceeded => Why::DeadlineExceeded,
        P::Unauthenticated => Why::Unauthenticated,
        P::PermissionDenied => Why::PermissionDenied,
        P::TlsFailed => Why::TlsFailed,
        P::Unimplemented => Why::Unimplemented,
        P::VersionUnknown => Why::VersionUnknown,
        P::ForeignGateway => Why::ForeignGateway,
        P::WorkspaceMissing => Why::WorkspaceMissing,
        P::RateLimited => Why::RateLimited,
        P::Inconsistent => Why::Inconsistent,
        P::Internal => Why::Internal,
        P::Unreadable => Why::Unreadable,
        P::Unexpected | P::Unspecified => Why::Unexpected,
        P::NotRegistered => Why::NotRegistered,
        P::AdapterUnreachable => Why::AdapterUnreachable,
        P::SnapshotsGone => Why::SnapshotsGone,
        P::SnapshotUnreadable => Why::SnapshotUnreadable,
    }
}

/// The same, outward. What was not asked is shown as unexpected: no answer says it.
pub const fn unknown_reason(why: Why) -> pb::UnknownReason {
    use pb::UnknownReason as P;
    match why {
        Why::Unavailable => P::Unavailable,
        Why::DeadlineExceeded => P::DeadlineExceeded,
        Why::Unauthenticated => P::Unauthenticated,
        Why::PermissionDenied => P::PermissionDenied,
        Why::TlsFailed => P::TlsFailed,
        Why::Unimplemented => P::Unimplemented,
        Why::VersionUnknown => P::VersionUnknown,
        Why::ForeignGateway => P::ForeignGateway,
        Why::WorkspaceMissing => P::WorkspaceMissing,
        Why::RateLimited => P::RateLimited,
        Why::Inconsistent => P::Inconsistent,
        Why::Internal => P::Internal,
        Why::Unreadable => P::Unreadable,
        Why::Unexpected | Why::NotAsked => P::Unexpected,
        Why::NotRegistered => P::NotRegistered,
        Why::AdapterUnreachable => P::AdapterUnreachable,
        Why::SnapshotsGone => P::SnapshotsGone,
        Why::SnapshotUnreadable => P::SnapshotUnreadable,
    }
}

/// `since`, said together with `observed` by another clock, on the receiver's clock.
fn back(received: Timestamp, observed_ms: u64, since_ms: u64) -> Timestamp {
    let before = Duration::from_millis(observed_ms.saturating_sub(since_ms));
    Timestamp(received.0.saturating_sub(u64::try_from(before.as_millis()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::timestamp;

    #[test]
    fn another_hosts_clock_does_not_age_an_absence() {
        let view = pb::LiveView {
            view: Some(pb::live_view::View::Absent(pb::Absent { since: Some(timestamp(4_000)) })),
            observe_time: Some(timestamp(9_000)),
        };
        let fact = live_fact(Some(&view), Timestamp(1_000_000));
        assert_eq!(
            fact,
            Fact::known(Live::Absent { since: Timestamp(995_000) }, Timestamp(1_000_000))
        );
    }

    #[test]
    fn what_is_not_said_is_never_an_absence() {
        for view in [None, Some(pb::LiveView::default())] {
            assert!(live_fact(view.as_ref(), Timestamp(1)).shown().is_none());
        }
        let unsaid = pb::LiveView {
            view: Some(pb::live_view::View::Unknown(pb::Unknown {
                reason: 99,
                detail: String::new(),
            })),
            observe_time: None,
        };
        assert_eq!(live_fact(Some(&unsaid), Timestamp(1)), Fact::unknown(Why::Unexpected, ""));
    }

    #[test]
    fn an_outcome_without_a_word_may_have_been_applied() {
        let unsaid = pb::Effect { outcome: 77, ..pb::Effect::default() };
        for effect in [None, Some(&unsaid)] {
            assert_eq!(super::effect(effect, ()), Effect::MaybeApplied(Cause::AdapterFailed));
        }
    }
}
