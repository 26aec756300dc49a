//! What is said of a workspace's files: as much as was compared, and no more.

use std::fmt::Write as _;

use salvor_core::{
    SagaKind, Timestamp,
    evidence::{Asked, RestoreMode},
    id::{SandboxPath, SnapshotName},
    saga::{Part, Pending},
    time::Readable,
};

use crate::journal::Header;

/// How many paths a sentence names.
const NAMED: usize = 3;

/// The sentence for the part of a result that is about files.
pub(super) fn sentence(header: &Header, part: &Part) -> String {
    let asked = &header.plan.inputs.asked;
    match (header.saga(), part) {
        (SagaKind::Destroy, _) => "destroyed on request".to_owned(),
        (SagaKind::Snapshot, Part::Kept) => "the workspace was read, and not changed".to_owned(),
        (SagaKind::Prune, Part::Kept) => "the workspace was not looked at".to_owned(),
        (SagaKind::Copy, Part::Restored { snapshot, .. }) => {
            format!("snapshot {snapshot} was restored into it, {}", compared(asked, merged(header)))
        }
        (_, Part::Kept) => "the workspace is the one from before: a start keeps it".to_owned(),
        (_, Part::Restored { snapshot, begun }) => {
            let age = Readable(begun.age(Timestamp(header.created_ms)));
            format!(
                "{} snapshot {snapshot}, aged {age} when this was planned: {}; what was written \
                 after it is not in it",
                done(asked),
                compared(asked, merged(header))
            )
        }
        (_, Part::Pending(owed))
            if owed.iter().any(|item| matches!(item, Pending::NotSalvaged { .. })) =>
        {
            format!("not all of the workspace was recovered: {}", part.detail())
        }
        (_, Part::Partly { snapshot, .. }) => format!(
            "not all that was asked for is as snapshot {snapshot} has it; the snapshot is kept{}: {}",
            retry(header, snapshot),
            part.detail()
        ),
        (_, Part::Lost) => {
            "workspace not recovered: no snapshot holds it, although the record declares roots to keep"
                .to_owned()
        }
        _ => "workspace not recovered: no snapshot holds it".to_owned(),
    }
}

/// How to try again what was not put back, where trying again asks for nothing else than before.
fn retry(header: &Header, snapshot: &SnapshotName) -> String {
    let asked = &header.plan.inputs.asked;
    let again = Asked { snapshot: None, ..asked.clone() } == Asked::default();
    if header.saga() == SagaKind::Copy || !again {
        return String::new();
    }
    format!(", and `salvor snapshot restore {} --snapshot {snapshot}` tries again", header.target())
}

/// The config files of which keys are merged, as the plan saw the record.
fn merged(header: &Header) -> &[SandboxPath] {
    header.evidence.record.shown().map_or(&[], |record| &record.config_files)
}

const fn done(asked: &Asked) -> &'static str {
    match asked.mode {
        RestoreMode::Replace => "restored",
        RestoreMode::SkipExisting => "what was missing was restored from",
        RestoreMode::MergeConfig => "config files were merged from",
    }
}

/// What the comparison after a restore looked at.
fn compared(asked: &Asked, configs: &[SandboxPath]) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = match asked.mode {
        RestoreMode::Replace => write!(text, "every file{} compared", below(&asked.paths)),
        RestoreMode::SkipExisting => write!(
            text,
            "every file{} is there, no content was compared, and what existed was left as it was",
            below(&asked.paths)
        ),
        RestoreMode::MergeConfig => write!(
            text,
            "of {} the keys that are not the runtime's were compared, as far as the snapshot holds \
             them, and nothing else",
            listed(&within(&asked.paths, configs))
        ),
    };
    if asked.mode == RestoreMode::Replace {
        let configs = within(&asked.paths, configs);
        if !configs.is_empty() {
            let _ = write!(text, ", of {} the keys that are not the runtime's", listed(&configs));
        }
    }
    if asked.mode != RestoreMode::MergeConfig && !asked.paths.is_empty() {
        text.push_str("; nothing else was looked at");
    }
    text
}

fn below(paths: &[SandboxPath]) -> String {
    let paths: Vec<&SandboxPath> = paths.iter().collect();
    if paths.is_empty() { String::new() } else { format!(" at or below {}", listed(&paths)) }
}

fn within<'p>(paths: &[SandboxPath], configs: &'p [SandboxPath]) -> Vec<&'p SandboxPath> {
    let asked = |file: &&SandboxPath| paths.is_empty() || paths.iter().any(|path| file.is_in(path));
    configs.iter().filter(asked).collect()
}

fn listed(paths: &[&SandboxPath]) -> String {
    let named: Vec<&str> = paths.iter().take(NAMED).map(|path| path.as_str()).collect();
    match paths.len().saturating_sub(named.len()) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(mode: RestoreMode, paths: &[&str]) -> Asked {
        let paths = paths.iter().map(|path| SandboxPath::from(*path)).collect();
        Asked { mode, paths, ..Asked::default() }
    }

    #[test]
    fn what_is_said_is_what_was_compared() {
        use RestoreMode::{MergeConfig, Replace, SkipExisting};
        let configs = [SandboxPath::from("/sandbox/a.json"), "/sandbox/d/b.toml".into()];
        let none: &[SandboxPath] = &[];
        for (mode, paths, configs, said) in [
            (Replace, &[][..], none, "every file compared"),
            (
                Replace,
                &[],
                &configs,
                "every file compared, of /sandbox/a.json, /sandbox/d/b.toml the keys that are not \
                 the runtime's",
            ),
            (
                Replace,
                &["/sandbox/d"],
                &configs,
                "every file at or below /sandbox/d compared, of /sandbox/d/b.toml the keys that are \
                 not the runtime's; nothing else was looked at",
            ),
            (
                Replace,
                &["/a", "/b", "/c", "/d", "/e"],
                none,
                "every file at or below /a, /b, /c and 2 more compared; nothing else was looked at",
            ),
            (
                SkipExisting,
                &[],
                &configs,
                "every file is there, no content was compared, and what existed was left as it was",
            ),
            (
                MergeConfig,
                &["/sandbox/d"],
                &configs,
                "of /sandbox/d/b.toml the keys that are not the runtime's were compared, as far as \
                 the snapshot holds them, and nothing else",
            ),
        ] {
            assert_eq!(compared(&asked(mode, paths), configs), said, "{mode:?} {paths:?}");
        }
    }
}
