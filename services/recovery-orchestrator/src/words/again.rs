//! The command that asks for the same thing again: with all that was asked, so that it never does more.

use std::fmt::Write as _;

use salvor_core::{
    Evidence, SagaKind,
    evidence::{Asked, Channel, RestoreMode, Retention},
    id::SnapshotName,
    shell::quoted,
};

/// The command for a saga. It asks before it destroys anything; a copy is begun from the list of what there is.
pub fn again(saga: SagaKind, evidence: &Evidence) -> String {
    let name = &evidence.target;
    let asked = &evidence.asked;
    match saga {
        SagaKind::Destroy => format!("salvor destroy {name}"),
        SagaKind::StaleRecovery => format!("salvor recover {name}{}", snapshot(asked)),
        // Whatever the evidence calls for could be a rebuild by then.
        SagaKind::Revive => format!("salvor recover {name} --path revive"),
        SagaKind::Rebuild => format!("salvor rebuild {name}{}", snapshot(asked)),
        SagaKind::Snapshot => format!("salvor snapshot create {name}{}", reading(asked)),
        SagaKind::Prune if !asked.delete.is_empty() => delete(asked),
        SagaKind::Prune => format!("salvor snapshot prune {name}{}", pruning(asked)),
        SagaKind::Restore if asked.snapshot.is_some() => restore(evidence, asked.mode),
        SagaKind::Copy | SagaKind::Restore => format!("salvor snapshot list {name}"),
    }
}

/// The same restore, in this mode. It asks before it overwrites.
pub(super) fn restore(evidence: &Evidence, mode: RestoreMode) -> String {
    let asked = &evidence.asked;
    let mut line = format!("salvor snapshot restore {}{}", evidence.target, snapshot(asked));
    line.push_str(match mode {
        RestoreMode::Replace => "",
        RestoreMode::SkipExisting => " --mode skip-existing",
        RestoreMode::MergeConfig => " --mode merge-config",
    });
    for path in &asked.paths {
        line.push_str(" --path ");
        line.push_str(&quoted(path.as_str()));
    }
    if asked.other_sandbox {
        line.push_str(" --from-other-sandbox");
    }
    line
}

fn snapshot(asked: &Asked) -> String {
    asked.snapshot.as_ref().map_or_else(String::new, |name| format!(" --snapshot {name}"))
}

fn reading(asked: &Asked) -> String {
    let mut options = String::new();
    match asked.channel {
        Some(Channel::Exec) => options.push_str(" --channel exec"),
        Some(Channel::Runtime) => options.push_str(" --channel runtime"),
        None => {}
    }
    if asked.full {
        options.push_str(" --full");
    }
    for root in &asked.roots {
        options.push_str(" --root ");
        options.push_str(&quoted(root.as_str()));
    }
    options
}

/// Exactly those that were named.
pub(super) fn delete(asked: &Asked) -> String {
    let names: Vec<&str> = asked.delete.iter().map(SnapshotName::as_str).collect();
    let allowed = if asked.allow_last { " --allow-last" } else { "" };
    format!("salvor snapshot delete {}{allowed}", names.join(" "))
}

fn pruning(asked: &Asked) -> String {
    let mut options = asked.retention.as_ref().map_or_else(String::new, kept);
    if asked.reclaim {
        options.push_str(" --reclaim-space");
    }
    options
}

fn kept(Retention { last, hourly, daily, weekly }: &Retention) -> String {
    let given = [("last", last), ("hourly", hourly), ("daily", daily), ("weekly", weekly)];
    let mut options = String::new();
    for (which, number) in given.into_iter().filter(|(_, number)| **number > 0) {
        // Writing to a String cannot fail.
        let _ = write!(options, " --keep-{which} {number}");
    }
    options
}
