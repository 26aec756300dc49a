//! What people read: refusals, explanations, next steps. Every sentence is made from evidence.

mod again;
mod next_step;

use std::fmt::Write as _;

pub use again::again;
pub use next_step::{NextStep, after_park, after_setback};
use salvor_core::{
    Denial, Evidence, Fact, FactName, Plan, SagaKind, Verdict, Why,
    evidence::{Live, RecordState, RestoreMode},
    id::RecoveryName,
    name::RecordName,
    time::Readable,
};
use salvor_proto::{
    Error,
    error::{Code, Violation},
};

/// The error for a plan that a guard refused: one violation per denial, led by the first in table order.
pub fn refusal(plan: &Plan, evidence: &Evidence, recovery: Option<&RecoveryName>) -> Error {
    let denials: Vec<(&str, &Denial)> = plan
        .decisions
        .iter()
        .filter_map(|decision| Some((&*decision.guard.0, decision.denial.as_ref()?)))
        .collect();
    let Some((_, first)) = denials.first() else {
        return Error::internal("a plan without a refusal was refused");
    };
    let code = if first.is_unknown() { Code::Undetermined } else { Code::Refused };
    let target = &plan.target;
    let message = format!(
        "{} of {target} was refused: {first}. Nothing was changed on {} or in the record",
        plan.saga.in_words(),
        target.owner()
    );
    let mut error = Error::new(code, first.reason(), message)
        .next_step(next_step(plan.saga, first, evidence))
        .with("gateway", target.owner().to_string())
        .with("sandbox", target.to_string())
        .with("verdict", verdict_word(plan.verdict))
        .with("plan_digest", plan.digest.to_string());
    if let Some(recovery) = recovery {
        error = error.with("recovery", recovery.to_string());
    }
    if let Some(delay) = denials.iter().filter_map(|(_, denial)| denial.retry_after()).max() {
        error = error.retry_after(delay);
    }
    for (guard, denial) in denials {
        error = error.violation(Violation {
            guard: guard.to_owned(),
            subject: target.to_string(),
            description: format!("{}: {denial}", denial.reason()),
        });
    }
    error
}

/// What to run next after a denial: a command that works in the present state, with what has to be seen to first behind a
/// `#`, so that it can be run as printed.
#[expect(clippy::too_many_lines, reason = "a table: one arm per denial")]
pub fn next_step(saga: SagaKind, denial: &Denial, evidence: &Evidence) -> String {
    let name = &evidence.target;
    match denial {
        Denial::Unknown { why, .. } => to_know(*why, name),
        Denial::EvidenceTooOld { .. }
        | Denial::GatewayReplaced { .. }
        | Denial::DialectDiffers { .. } => {
            format!("salvor verdict {name}")
        }
        Denial::GatewayWarming { .. }
        | Denial::AbsenceTooRecent { .. }
        | Denial::PhaseInMotion { .. } => {
            let wait = denial.retry_after().unwrap_or_default();
            format!("{}  # in {}", again(saga, evidence), Readable(wait))
        }
        Denial::RecordIncomplete { .. } => {
            format!("salvor adopt --rebind {name}  # once the sandbox is live")
        }
        Denial::SeveralAgents { .. } => format!(
            "salvor adopt --rebind --agent unknown {name}  # name the one agent to bring back"
        ),
        Denial::RecordNotActive { state: RecordState::Destroyed } => {
            format!("salvor adopt {name}  # once a new sandbox has the name")
        }
        Denial::RecordNotActive { .. } => format!("salvor recoveries list --sandbox {name} --open"),
        Denial::SandboxPresent { .. } => format!("salvor connect {name}"),
        Denial::ForeignSandbox { .. } => {
            format!("salvor adopt --rebind {name}  # if the present sandbox is the one to keep")
        }
        Denial::NotStartable { .. } => format!("salvor rebuild {name}"),
        Denial::NoCompleteSnapshot { .. } => unsaved(evidence),
        Denial::SnapshotNotFound { .. }
        | Denial::SnapshotOfAnother { .. }
        | Denial::SnapshotLacksRoot { .. } => format!("salvor snapshot list {name}"),
        Denial::SnapshotInUse { .. } => "salvor recoveries list --open".to_owned(),
        Denial::LastSnapshot { name: snapshot } => format!(
            "salvor snapshot create {name}  # a newer one first; or give it up: salvor snapshot delete {snapshot} --allow-last"
        ),
        Denial::SnapshotIncomplete { name: snapshot } => {
            format!("salvor snapshot show {snapshot}")
        }
        Denial::SandboxAbsent | Denial::NotReachable { .. } | Denial::StartFirst { .. } => {
            format!("salvor recover {name}")
        }
        Denial::ContainerNotFound => {
            format!("salvor snapshot create {name}  # without --channel: through the gateway")
        }
        Denial::PostureLocked { .. } => {
            format!(
                "salvor snapshot list {name}  # choose one from after the lock, restore without the sealed files (--path), \
                 or under a new name (--to)"
            )
        }
        Denial::NothingToMerge => unmerged(evidence),
        Denial::CopyExists { .. } => {
            format!(
                "salvor snapshot list {name}  # choose another name, or restore into that one with --replace"
            )
        }
        Denial::MaterialSealed { .. } => format!(
            "salvor plan {name}  # after the registry was started with the key that sealed the record"
        ),
        Denial::MaterialTooLarge { .. } => format!(
            "salvor adopt --rebind {name}  # after its spec or policy was made smaller on the gateway"
        ),
        Denial::ProviderMissing { provider } => format!(
            "salvor plan {name}  # after provider {provider} was made again on {}, workspace {}",
            name.owner(),
            name.workspace
        ),
        Denial::ProviderExpired { provider, .. } => {
            format!("salvor plan {name}  # after the credential of provider {provider} was renewed")
        }
        Denial::DataLossNotAccepted => format!("salvor plan --destroy {name}"),
    }
}

/// What would make an unknown fact known, as a command.
pub fn to_know(why: Why, name: &RecordName) -> String {
    let gateway = &name.gateway;
    match why {
        Why::AdapterUnreachable => {
            "salvor gateways list  # after the gateway-adapter was started".to_owned()
        }
        Why::NotRegistered => {
            format!("salvor gateways list  # {gateway} is not in it: salvor gateways add")
        }
        Why::SnapshotsGone => format!(
            "salvor snapshot list {name}  # after the repository was put back; of a live sandbox: salvor snapshot create"
        ),
        Why::SnapshotUnreadable => format!(
            "salvor snapshot list {name}  # with a salvor as new as its maker; or name another one: --snapshot"
        ),
        Why::NotAsked | Why::RateLimited | Why::Inconsistent => format!("salvor status {name}"),
        Why::Unavailable
        | Why::DeadlineExceeded
        | Why::Unauthenticated
        | Why::PermissionDenied
        | Why::TlsFailed
        | Why::Unimplemented
        | Why::VersionUnknown
        | Why::ForeignGateway
        | Why::WorkspaceMissing
        | Why::Internal
        | Why::Unreadable
        | Why::Unexpected => format!("salvor gateways probe {gateway}  # {}", why.remedy()),
    }
}

/// What can be saved once it runs again is saved then; what cannot is given up by name only.
fn unsaved(evidence: &Evidence) -> String {
    let name = &evidence.target;
    match evidence.live.shown() {
        Some(Live::Present(present)) if present.startable => {
            format!("salvor recover --path revive {name}  # and rebuild it once it is live")
        }
        _ => format!(
            "salvor plan --path rebuild {name}  # it says what --accept-data-loss would give up"
        ),
    }
}

/// What merges nothing may be wanted to bring back what is missing: that overwrites nothing either.
fn unmerged(evidence: &Evidence) -> String {
    let name = &evidence.target;
    if evidence.asked.snapshot.is_none() {
        return format!("salvor snapshot list {name}");
    }
    let step = again::restore(evidence, RestoreMode::SkipExisting);
    step + "  # writes only what does not exist; a merge needs config files that the record declares"
}

/// Where a guard's facts come from.
pub fn sources(facts: &[FactName], target: &RecordName) -> String {
    let mut sources = String::new();
    for fact in facts {
        let source = match fact {
            FactName::Record => "registry".to_owned(),
            FactName::OwnerGateway
            | FactName::LiveView
            | FactName::Providers
            | FactName::CopyName => target.owner().to_string(),
            FactName::Snapshot => "repository".to_owned(),
            FactName::Compute => "container runtime".to_owned(),
        };
        if !sources.split(", ").any(|known| known == source) {
            let comma = if sources.is_empty() { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = write!(sources, "{comma}{source}");
        }
    }
    sources
}

/// The verdict, one upper-case word.
pub const fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Live => "LIVE",
        Verdict::Revivable => "REVIVABLE",
        Verdict::Lost => "LOST",
        Verdict::Hold => "HOLD",
        Verdict::Failed => "FAILED",
        Verdict::Foreign => "FOREIGN",
        Verdict::Unknown => "UNKNOWN",
        Verdict::Destroyed => "DESTROYED",
        Verdict::Recovering => "RECOVERING",
    }
}

/// Why the verdict is what it is, one sentence from the evidence.
pub fn explain(verdict: Verdict, evidence: &Evidence) -> String {
    let owner = evidence.target.owner();
    let now = evidence.now;
    match (verdict, &evidence.live) {
        (Verdict::Destroyed, _) => "the sandbox was destroyed on purpose".to_owned(),
        (Verdict::Recovering, _) => "a recovery or a destroy holds the record".to_owned(),
        (_, Fact::Unknown { why, .. }) => {
            format!("it is not known whether the sandbox exists: {}", why.sentence())
        }
        (Verdict::Unknown, _) => match &evidence.gateway {
            Fact::Unknown { why, .. } => format!("{owner} is not known: {}", why.sentence()),
            Fact::Known { .. } => {
                format!("what answers as {owner} is not the gateway that the record was bound to")
            }
        },
        (_, Fact::Known { value: Live::Absent { since }, .. }) => format!(
            "{owner} says that the sandbox does not exist, at every look for {}",
            Readable(since.age(now))
        ),
        (_, Fact::Known { value: Live::Present(present), .. }) => {
            let mut text =
                format!("{owner} has {} in phase {}", present.live_id, present.phase.as_str());
            if let Some(reason) = &present.reason {
                // Writing to a String cannot fail.
                let _ = write!(text, " ({reason})");
            }
            if verdict == Verdict::Foreign {
                text.push_str(", which is not the incarnation that the record speaks of");
            }
            text
        }
    }
}

/// What to run next in view of a verdict; as [`next_step()`].
pub fn after_verdict(verdict: Verdict, evidence: &Evidence) -> String {
    let name = &evidence.target;
    match verdict {
        Verdict::Live => format!("salvor connect {name}"),
        Verdict::Revivable | Verdict::Lost => format!("salvor recover {name}"),
        Verdict::Hold => format!("salvor recover {name}  # it waits until this has settled"),
        Verdict::Failed => format!("salvor rebuild {name}"),
        Verdict::Foreign => {
            format!("salvor adopt --rebind {name}  # if the present sandbox is the one to keep")
        }
        Verdict::Unknown => match (&evidence.gateway, &evidence.live) {
            (Fact::Unknown { why, .. }, _) | (_, Fact::Unknown { why, .. }) => to_know(*why, name),
            _ => to_know(Why::ForeignGateway, name),
        },
        Verdict::Destroyed => format!("salvor adopt {name}  # once a new sandbox has the name"),
        Verdict::Recovering => format!("salvor recoveries list --sandbox {name} --open"),
    }
}
