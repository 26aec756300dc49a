//! Evidence of every kind, mostly nearly good: a plan that is allowed must be as common as one that is not.

use proptest::{option, prelude::*, sample::select};
use salvor_core::{
    Evidence, Fact, SagaKind, Timestamp, Why,
    evidence::{
        Asked, Channel, Compute, CopyTo, Dialect, Gateway, GatewayIdentity, Live, Phase, Posture,
        Provider, ProviderState, Record, RecordState, RestoreMode, Snapshot,
    },
    id::{LiveId, SandboxPath, SnapshotName},
};

use super::good::{
    NOW, RECORDED_ID, SNAPSHOT, accept, ago, gateway, good, identity, present, record, snapshot,
    target,
};

/// The good value mostly, something else now and then.
fn mostly<T: Clone + std::fmt::Debug + 'static>(
    good: T,
    other: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<T> {
    prop_oneof![12 => Just(good), 1 => other].boxed()
}

/// Fresh, on the edge, over it, ancient, and of a clock that runs ahead.
fn when() -> impl Strategy<Value = Timestamp> {
    let edges = select(vec![0, 29_999, 30_000, 30_001, 86_400_000]).prop_map(ago);
    let ahead = (1..100_000_u64).prop_map(|ms| Timestamp(NOW.0 + ms));
    prop_oneof![10 => (0..1_000_u64).prop_map(ago), 1 => edges, 1 => ahead]
}

/// Long ago, on the edge of settling, just now, ahead.
fn since() -> impl Strategy<Value = Timestamp> {
    let edges = select(vec![0, 1, 4_999, 5_000, 5_001]).prop_map(ago);
    let ahead = (1..100_000_u64).prop_map(|ms| Timestamp(NOW.0 + ms));
    prop_oneof![8 => (5_000..1_000_000_u64).prop_map(ago), 2 => edges, 1 => ahead]
}

pub(super) fn why() -> impl Strategy<Value = Why> {
    select(Why::ALL.to_vec())
}

fn fact<T: std::fmt::Debug + 'static>(
    value: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Fact<T>> {
    prop_oneof![
        12 => (value, when()).prop_map(|(value, at)| Fact::known(value, at)),
        1 => why().prop_map(|why| Fact::unknown(why, "generated")),
    ]
}

fn dialect() -> impl Strategy<Value = Dialect> {
    select(vec![Dialect::V0_0, Dialect::V0_1])
}

fn text(of: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(of).prop_map(str::to_owned)
}

fn any_identity() -> impl Strategy<Value = GatewayIdentity> {
    (
        option::of(text(&["store-1", "store-2"])),
        option::of(text(&["key-1", "key-2"])),
        option::of(text(&["issuer-1", "issuer-2"])),
        option::of(text(&["ca-1", "ca-2"])),
    )
        .prop_map(|(store_id, signing_key_id, issuer, ca)| GatewayIdentity {
            store_id,
            signing_key_id,
            issuer,
            ca_sha256: ca.map(|ca| ca.as_str().into()),
        })
}

fn live_id() -> impl Strategy<Value = LiveId> {
    text(&["sb-recorded", "sb-other", "sb-recorde", ""]).prop_map(LiveId)
}

fn any_gateway() -> impl Strategy<Value = Gateway> {
    (mostly(Dialect::V0_1, dialect()), mostly(identity(), any_identity()), since()).prop_map(
        |(dialect, identity, healthy_since)| Gateway {
            dialect,
            identity,
            healthy_since,
            ..gateway()
        },
    )
}

/// Declared roots, and the snapshot that the sandbox was filled from.
fn rules() -> impl Strategy<Value = (Vec<SandboxPath>, Option<SnapshotName>)> {
    let roots: Vec<Vec<SandboxPath>> =
        vec![vec![], vec!["/sandbox/src".into()], vec!["/sandbox".into(), "/data".into()]];
    let last = select(vec![Some(SNAPSHOT.into()), Some("gateways/lab/snapshots/last".into())]);
    (mostly(vec!["/sandbox".into()], select(roots)), mostly(None, last))
}

fn any_record() -> impl Strategy<Value = Record> {
    use RecordState::{Active, Destroyed, Destroying, Recovering};
    let good = record();
    let states = select(vec![Recovering, Destroying, Destroyed]);
    let posture = select(vec![Posture::NotRecorded, Posture::Unlocked, good.posture.clone()]);
    let spec = (
        mostly(Dialect::V0_1, dialect()),
        mostly(true, any::<bool>()),
        mostly(900, select(vec![0, 983_040, 983_041, u64::MAX])),
        mostly(2, 0..=2_usize),
    );
    let policy = (
        mostly(Dialect::V0_1, dialect()),
        mostly(true, any::<bool>()),
        mostly(300, select(vec![0, 262_144, 262_145, u64::MAX])),
    );
    (
        mostly(Active, states),
        mostly(Some(LiveId::from(RECORDED_ID)), option::of(live_id())),
        mostly(identity(), any_identity()),
        mostly(1, 0..4_usize),
        mostly(true, any::<bool>()).prop_flat_map(move |held| option_if(held, spec.clone())),
        mostly(true, any::<bool>()).prop_flat_map(move |held| option_if(held, policy.clone())),
        posture,
        rules(),
    )
        .prop_map(move |(state, live_id, identity, agents, spec, policy, posture, rules)| {
            let (snapshot_roots, last_snapshot) = rules;
            let mut record = Record {
                uid: None,
                state,
                live_id,
                identity,
                posture,
                snapshot_roots,
                last_snapshot,
                ..good.clone()
            };
            record.agents = vec!["claude-code".into(); agents];
            match (spec, &mut record.spec) {
                (Some((dialect, openable, size, providers)), Some(kept)) => {
                    kept.dialect = dialect;
                    kept.openable = openable;
                    kept.size_bytes = size;
                    kept.summary.providers.truncate(providers);
                }
                (_, slot) => *slot = None,
            }
            match (policy, &mut record.policy) {
                (Some((dialect, openable, size)), Some(kept)) => {
                    kept.dialect = dialect;
                    kept.openable = openable;
                    kept.size_bytes = size;
                }
                (_, slot) => *slot = None,
            }
            record
        })
}

fn option_if<S: Strategy + 'static>(held: bool, of: S) -> BoxedStrategy<Option<S::Value>>
where
    S::Value: Clone,
{
    if held { of.prop_map(Some).boxed() } else { Just(None).boxed() }
}

/// At rest more often than not.
fn phase() -> impl Strategy<Value = Phase> {
    let at_rest = select(vec![Phase::Ready, Phase::Error, Phase::Stopped, Phase::Completed]);
    prop_oneof![3 => Just(Phase::Ready), 3 => at_rest, 2 => select(Phase::ALL.to_vec())]
}

fn any_live(saga: SagaKind) -> impl Strategy<Value = Live> {
    let there = (mostly(LiveId::from(RECORDED_ID), live_id()), phase(), any::<bool>()).prop_map(
        |(live_id, phase, startable)| {
            let Live::Present(mut there) = present(phase, startable) else { unreachable!() };
            there.live_id = live_id;
            Live::Present(there)
        },
    );
    let absent = since().prop_map(|since| Live::Absent { since });
    let (here, gone) = if saga == SagaKind::StaleRecovery { (1, 6) } else { (6, 1) };
    prop_oneof![here => there, gone => absent]
}

fn any_providers() -> impl Strategy<Value = Vec<Provider>> {
    let state = || {
        prop_oneof![
            8 => Just(ProviderState::Existing { expires: None }),
            1 => since().prop_map(|at| ProviderState::Existing { expires: Some(at) }),
            1 => Just(ProviderState::Missing),
        ]
    };
    let one = |name: &'static str| {
        mostly(true, any::<bool>()).prop_flat_map(move |there| {
            option_if(there, state().prop_map(move |state| Provider { name: name.into(), state }))
        })
    };
    (one("anthropic"), one("github")).prop_map(|(a, b)| a.into_iter().chain(b).collect())
}

fn any_snapshot() -> impl Strategy<Value = Option<Snapshot>> {
    let covered =
        select(vec![vec![], vec!["/sandbox".into()], vec!["/".into()], vec!["/data".into()]]);
    let one = (
        mostly(SNAPSHOT.to_owned(), text(&["gateways/lab/snapshots/last", ""])),
        mostly(target(), Just("gateways/lab/workspaces/default/sandboxes/other".parse().unwrap())),
        mostly(LiveId::from(RECORDED_ID), live_id()),
        mostly(true, any::<bool>()),
        mostly(vec!["/sandbox".into()], covered),
        mostly(vec![], Just(vec!["*.log".to_owned()])),
        select(vec![vec![], vec!["/sandbox/lock".into()], vec!["/sandbox/other".into()]]),
    )
        .prop_map(|(name, of, live_id, complete, covered, excludes, as_sealed)| Snapshot {
            name: SnapshotName(name),
            of,
            live_id,
            complete,
            covered,
            excludes,
            as_sealed,
            ..snapshot()
        });
    prop_oneof![3 => one.prop_map(Some), 1 => Just(None)]
}

fn any_compute() -> impl Strategy<Value = Vec<Compute>> {
    let one = any::<bool>().prop_map(|running| Compute { id: "c-1".into(), running });
    prop_oneof![1 => Just(Vec::new()), 1 => proptest::collection::vec(one, 0..3)]
}

fn any_copy() -> impl Strategy<Value = Option<LiveId>> {
    mostly(None, live_id().prop_map(Some))
}

/// With and without the good record's config file.
fn any_paths() -> impl Strategy<Value = Vec<SandboxPath>> {
    mostly(vec![], select(vec![vec!["/sandbox".into()], vec!["/sandbox/elsewhere".into()]]))
}

fn any_asked(saga: SagaKind) -> impl Strategy<Value = Asked> {
    let channel = select(vec![Some(Channel::Exec), Some(Channel::Runtime)]);
    let named = select(vec![Some(SNAPSHOT.into()), Some("gateways/lab/snapshots/no".into())]);
    let keep = any::<bool>().prop_map(move |keep| {
        let copy = CopyTo { sandbox: "coder-copy".parse().unwrap(), keep };
        (saga == SagaKind::Copy).then_some(copy)
    });
    let mode = select(vec![RestoreMode::SkipExisting, RestoreMode::MergeConfig]);
    let how = (mostly(RestoreMode::Replace, mode), any_paths(), any::<bool>());
    (mostly(None, named), mostly(false, any::<bool>()), mostly(None, channel), keep, how).prop_map(
        |(snapshot, other_sandbox, channel, copy, (mode, paths, start_tried))| Asked {
            snapshot,
            other_sandbox,
            mode,
            paths,
            channel,
            copy,
            start_tried,
            ..Asked::default()
        },
    )
}

/// What bears on the workspace: snapshot, containers, the copy's name, what is asked.
type Around = (Fact<Option<Snapshot>>, Fact<Vec<Compute>>, Fact<Option<LiveId>>, Asked);

fn workspace(saga: SagaKind) -> impl Strategy<Value = Around> {
    (fact(any_snapshot()), fact(any_compute()), fact(any_copy()), any_asked(saga))
}

pub(super) fn saga() -> impl Strategy<Value = SagaKind> {
    select(SagaKind::ALL.to_vec())
}

/// Evidence that often enough suits this saga.
pub(super) fn evidence(saga: SagaKind) -> impl Strategy<Value = Evidence> {
    (
        fact(any_record()),
        fact(any_gateway()),
        fact(any_live(saga)),
        fact(any_providers()),
        workspace(saga),
        select(vec!["exact", "exact", "exact", "none", "wrong"]),
    )
        .prop_map(move |(record, gateway, live, providers, workspace, accepted)| {
            let (snapshot, compute, copy, asked) = workspace;
            let mut evidence = Evidence {
                record,
                gateway,
                live,
                providers,
                snapshot,
                compute,
                copy,
                asked,
                ..good(saga)
            };
            match accepted {
                "exact" => accept(saga, &mut evidence),
                "none" => evidence.accepted_loss = None,
                _ => evidence.accepted_loss = Some("another".into()),
            }
            evidence
        })
}
