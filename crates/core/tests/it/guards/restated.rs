//! What an allowed plan claims, said a second time and without the guards.

use salvor_core::{
    Evidence, Fact, SagaKind, Timestamp,
    evidence::{
        Channel, Gateway, GatewayIdentity, Live, Phase, Posture, Present, ProviderState, Record,
        RecordState, RestoreMode, Snapshot,
    },
    id::{SandboxPath, SnapshotName},
    name::RecordName,
    plan::Inputs,
};

const THIRTY_SECONDS: u64 = 30_000;
const FIVE_SECONDS: u64 = 5_000;
const SPEC_BYTES: u64 = 983_040;
const POLICY_BYTES: u64 = 262_144;

/// Whether everything that the design asks for is the case, under the default limits.
#[expect(clippy::too_many_lines, reason = "a table: an arm for each saga")]
pub(super) fn holds(saga: SagaKind, evidence: &Evidence) -> bool {
    let now = evidence.now;
    let active = seen(&evidence.record, now).filter(|r| r.state == RecordState::Active);
    if saga == SagaKind::Prune {
        return active.is_some_and(|record| {
            seen(&evidence.snapshot, now).is_some_and(|newest| {
                let mut asked = evidence.asked.delete.iter();
                asked.all(|name| may_go(name, record, newest.as_ref(), evidence))
            })
        });
    }
    let (Some(record), Some(gateway), Some(live)) =
        (active, seen(&evidence.gateway, now), seen(&evidence.live, now))
    else {
        return false;
    };
    if !bound_to(&record.identity, &gateway.identity) {
        return false;
    }
    let recreatable =
        complete(record) && replayable(record, gateway) && providers_work(record, evidence);
    match saga {
        SagaKind::StaleRecovery => {
            absent_for_good(live, gateway, now)
                && recreatable
                && fits(record, evidence)
                && seen(&evidence.compute, now).is_some()
        }
        SagaKind::Revive => {
            complete(record) && ours_at_rest(record, live).is_some_and(|p| p.startable)
        }
        SagaKind::Rebuild => {
            ours_at_rest(record, live).is_some()
                && recreatable
                && fits(record, evidence)
                && seen(&evidence.compute, now).is_some()
                && (accepted(saga, evidence)
                    || (saved(record, live, evidence)
                        && !readable_if_started(record, live, evidence)))
        }
        SagaKind::Snapshot => readable(record, live, evidence),
        SagaKind::Restore => {
            alive(record, live)
                && lock_stays(record, evidence)
                && merges_something(record, evidence)
                && fits(record, evidence)
                && matches!(seen(&evidence.snapshot, now), Some(Some(_)))
        }
        SagaKind::Copy => {
            let named = evidence.asked.snapshot.is_some();
            let drill = evidence.asked.copy.as_ref().is_some_and(|copy| !copy.keep);
            let held = matches!(seen(&evidence.snapshot, now), Some(Some(_)));
            recreatable
                && fits(record, evidence)
                && (held || (drill && !named && alive(record, live)))
                && matches!(seen(&evidence.copy, now), Some(None))
        }
        SagaKind::Prune => true,
        SagaKind::Destroy => {
            long_enough(gateway.healthy_since, now) && destroyable(record, live, evidence)
        }
    }
}

fn may_go(
    name: &SnapshotName,
    record: &Record,
    newest: Option<&Snapshot>,
    evidence: &Evidence,
) -> bool {
    let Some(doomed) = seen(&evidence.doomed, evidence.now) else { return false };
    let mut held = doomed.iter().filter(|doomed| doomed.snapshot.name == *name);
    held.next().is_some_and(|doomed| {
        let brings_back = doomed.newest
            || newest.is_some_and(|newest| newest.name == *name)
            || record.last_snapshot.as_ref().is_some_and(|last| last == name)
            || record.pending_restores.iter().any(|owed| owed == name);
        doomed.snapshot.of == evidence.target
            && !doomed.in_use
            && (evidence.asked.allow_last || !brings_back)
    })
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

fn ours_at_rest<'e>(record: &Record, live: &'e Live) -> Option<&'e Present> {
    let Live::Present(present) = live else { return None };
    let rest = [Phase::Ready, Phase::Error, Phase::Stopped, Phase::Completed];
    (ours(record, present) && rest.contains(&present.phase)).then_some(present)
}

fn alive(record: &Record, live: &Live) -> bool {
    ours_at_rest(record, live).is_some_and(|present| present.phase == Phase::Ready)
}

/// Every sealed file that would be written is in the snapshot as it is sealed.
fn lock_stays(record: &Record, evidence: &Evidence) -> bool {
    let Posture::Locked { sealed } = &record.posture else { return true };
    let Some(Some(found)) = seen(&evidence.snapshot, evidence.now) else { return false };
    let written = |path: &SandboxPath| {
        found.covered.iter().any(|root| path.is_in(root))
            && (evidence.asked.paths.is_empty()
                || evidence.asked.paths.iter().any(|only| path.is_in(only)))
    };
    sealed.keys().all(|path| !written(path) || found.as_sealed.contains(path))
}

/// Whether a snapshot's content is the recorded sandbox's: of that incarnation, or the one it was filled from.
fn own(record: &Record, target: &RecordName, snapshot: &Snapshot) -> bool {
    let taken_of_it = record.live_id.as_ref().is_some_and(|id| *id == snapshot.live_id);
    let filled_from_it = record.last_snapshot.as_ref().is_some_and(|name| *name == snapshot.name);
    *target == snapshot.of && (taken_of_it || filled_from_it)
}

fn whole(record: &Record, snapshot: &Snapshot) -> bool {
    let default = [SandboxPath::from("/sandbox")];
    let roots =
        if record.snapshot_roots.is_empty() { &default[..] } else { &record.snapshot_roots };
    let below = |root: &SandboxPath, read: &SandboxPath| {
        read.as_str() == "/"
            || root == read
            || root.as_str().starts_with(&format!("{}/", read.as_str()))
    };
    roots.iter().all(|root| snapshot.covered.iter().any(|read| below(root, read)))
}

/// Nothing to put back and nothing asked for, or exactly what was asked for, and it is good.
fn fits(record: &Record, evidence: &Evidence) -> bool {
    match (seen(&evidence.snapshot, evidence.now), &evidence.asked.snapshot) {
        (None, _) | (Some(None), Some(_)) => false,
        (Some(None), None) => true,
        (Some(Some(found)), named) => {
            named.as_ref().is_none_or(|name| *name == found.name)
                && found.complete
                && (evidence.asked.other_sandbox
                    || (own(record, &evidence.target, found) && whole(record, found)))
        }
    }
}

/// Whether its files survive its delete: they are read first, or its own snapshot holds them.
fn saved(record: &Record, live: &Live, evidence: &Evidence) -> bool {
    let container = seen(&evidence.compute, evidence.now).is_some_and(|all| !all.is_empty());
    let held = seen(&evidence.snapshot, evidence.now).and_then(Option::as_ref);
    alive(record, live)
        || container
        || held.is_some_and(|s| {
            let own = own(record, &evidence.target, s) && whole(record, s);
            s.complete && own && s.excludes.iter().all(|p| record.snapshot_excludes.contains(p))
        })
}

/// Whether a start, which nobody tried, might let its files be read as they are now.
fn readable_if_started(record: &Record, live: &Live, evidence: &Evidence) -> bool {
    let container = seen(&evidence.compute, evidence.now).is_some_and(|all| !all.is_empty());
    let startable = ours_at_rest(record, live).is_some_and(|present| present.startable);
    startable && !alive(record, live) && !container && !evidence.asked.start_tried
}

fn accepted(saga: SagaKind, evidence: &Evidence) -> bool {
    let digest = Inputs::of(saga, evidence).digest(saga, &evidence.target);
    evidence.accepted_loss == Some(digest)
}

/// A merge without a file to merge is none.
fn merges_something(record: &Record, evidence: &Evidence) -> bool {
    let paths = &evidence.asked.paths;
    evidence.asked.mode != RestoreMode::MergeConfig
        || record.config_files.iter().any(|file| {
            let below = |path: &SandboxPath| {
                file == path || file.as_str().starts_with(&format!("{}/", path.as_str()))
            };
            paths.is_empty() || paths.iter().any(below)
        })
}

fn readable(record: &Record, live: &Live, evidence: &Evidence) -> bool {
    let container = seen(&evidence.compute, evidence.now).is_some_and(|all| !all.is_empty());
    let foreign = matches!(live, Live::Present(present) if !ours(record, present));
    !foreign
        && match evidence.asked.channel {
            Some(Channel::Exec) => alive(record, live),
            Some(Channel::Runtime) => container,
            None => alive(record, live) || container,
        }
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
        Live::Present(present) => ours(record, present) && accepted(SagaKind::Destroy, evidence),
    }
}
