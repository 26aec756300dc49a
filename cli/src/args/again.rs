//! Commands as they would be typed again: with all that was given, so that what is agreed to is what was asked for and nothing
//! wider.

use std::time::Duration;

use clap::ValueEnum;
use salvor_core::shell::quoted;

use super::sandbox::{DestroyArgs, RebuildArgs, RunArgs, WaitArgs};
use super::snapshot::{ModeName, RestoreArgs};

/// A command line that grows.
struct Line(String);

// === impl Line ===

impl Line {
    fn new(command: &str, name: &str) -> Self {
        Self(format!("salvor {command} {}", quoted(name)))
    }

    fn option(mut self, option: &str, value: &str) -> Self {
        for word in [option, &quoted(value)] {
            self.0.push(' ');
            self.0.push_str(word);
        }
        self
    }

    fn flag(mut self, flag: &str, given: bool) -> Self {
        if given {
            self.0.push(' ');
            self.0.push_str(flag);
        }
        self
    }

    fn duration(self, option: &str, given: Duration, default: Duration) -> Self {
        if given == default {
            return self;
        }
        let value = if given.subsec_millis() == 0 {
            format!("{}s", given.as_secs())
        } else {
            format!("{}ms", given.as_millis())
        };
        self.option(option, &value)
    }

    fn run(self, run: &RunArgs) -> Self {
        let RunArgs { validate_only, settle, wait } = run;
        self.flag("--validate-only", *validate_only)
            .duration("--settle", *settle, Duration::from_secs(15))
            .wait(wait)
    }

    fn wait(self, wait: &WaitArgs) -> Self {
        let WaitArgs { no_wait, timeout } = wait;
        self.flag("--no-wait", *no_wait).duration("--timeout", *timeout, Duration::from_mins(10))
    }
}

// === impl RestoreArgs ===

impl RestoreArgs {
    /// It again, agreed to; `name` and `snapshot` in full.
    pub(crate) fn agreed(&self, name: &str, snapshot: &str) -> String {
        let Self { name: _, snapshot: _, mode, to, replace, from_other_sandbox, path, yes: _, run } =
            self;
        let mut line = Line::new("snapshot restore", name).option("--snapshot", snapshot);
        if *mode != ModeName::default()
            && let Some(mode) = mode.to_possible_value()
        {
            line = line.option("--mode", mode.get_name());
        }
        if let Some(to) = to {
            line = line.option("--to", to);
        }
        line = line.flag("--replace", *replace);
        for path in path {
            line = line.option("--path", path);
        }
        line.flag("--from-other-sandbox", *from_other_sandbox).run(run).flag("--yes", true).0
    }
}

// === impl RebuildArgs ===

impl RebuildArgs {
    /// It again, agreed to; `name` and `snapshot` in full, the latter empty if none was named.
    pub(crate) fn agreed(&self, name: &str, snapshot: &str) -> String {
        let Self { name: _, snapshot: _, loss, yes: _, run } = self;
        let mut line = Line::new("rebuild", name);
        if !snapshot.is_empty() {
            line = line.option("--snapshot", snapshot);
        }
        if let Some(digest) = &loss.accept_data_loss {
            line = line.option("--accept-data-loss", digest);
        }
        line.run(run).flag("--yes", true).0
    }
}

// === impl DestroyArgs ===

impl DestroyArgs {
    /// It again, with the losses of the plan of this digest accepted.
    pub(crate) fn accepting(&self, name: &str, digest: &str) -> String {
        let Self { name: _, loss: _, settle, wait } = self;
        Line::new("destroy", name)
            .option("--accept-data-loss", digest)
            .duration("--settle", *settle, Duration::from_secs(15))
            .wait(wait)
            .0
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::next_steps::words;
    use super::super::{Cli, Command, SnapshotCommand};

    const NAME: &str = "gateways/g/workspaces/w/sandboxes/s";
    const SNAPSHOT: &str =
        "gateways/g/snapshots/abababababababababababababababababababababababababababababababab";

    /// Everything that was given comes back, whatever it is; only the agreement is new.
    fn comes_back(line: &str) {
        let given = Cli::try_parse_from(words(line)).unwrap().command;
        let (again, mut given) = match given {
            Command::Snapshot(SnapshotCommand::Restore(args)) => {
                (args.agreed(NAME, SNAPSHOT), Command::Snapshot(SnapshotCommand::Restore(args)))
            }
            Command::Rebuild(args) => {
                let snapshot = args.snapshot.snapshot.clone().unwrap_or_default();
                (args.agreed(NAME, &snapshot), Command::Rebuild(args))
            }
            Command::Destroy(args) => (args.accepting(NAME, "d1"), Command::Destroy(args)),
            other => panic!("{other:?}"),
        };
        match &mut given {
            Command::Snapshot(SnapshotCommand::Restore(args)) => args.yes = true,
            Command::Rebuild(args) => args.yes = true,
            Command::Destroy(args) => args.loss.accept_data_loss = Some("d1".to_owned()),
            other => panic!("{other:?}"),
        }
        let parsed = Cli::try_parse_from(words(&again)).unwrap().command;
        assert_eq!(format!("{parsed:?}"), format!("{given:?}"), "{again}");
    }

    #[test]
    fn what_is_agreed_to_is_what_was_asked_for() {
        let restore = format!("salvor snapshot restore {NAME} --snapshot {SNAPSHOT}");
        for options in [
            "",
            "--mode skip-existing",
            "--mode merge-config --path /sandbox/a.json",
            "--path '/sandbox/my notes' --path \"/sandbox/it's\" --path /sandbox/#x",
            "--from-other-sandbox --settle 20s --no-wait",
            "--to other --timeout 1500ms",
            "--to other --replace",
            "--validate-only --timeout 1h",
        ] {
            comes_back(&format!("{restore} {options}"));
        }
        for options in ["", "--settle 1s", "--accept-data-loss d1 --no-wait --timeout 2m"] {
            comes_back(&format!("salvor rebuild {NAME} {options}"));
            comes_back(&format!("salvor rebuild {NAME} --snapshot {SNAPSHOT} {options}"));
        }
        for options in ["", "--settle 3s --no-wait", "--timeout 90s"] {
            comes_back(&format!("salvor destroy {NAME} {options}"));
        }
    }

    #[test]
    fn a_partial_restore_stays_partial() {
        let line = format!(
            "salvor snapshot restore s --snapshot {SNAPSHOT} --path /a --mode skip-existing"
        );
        let Command::Snapshot(SnapshotCommand::Restore(args)) =
            Cli::try_parse_from(words(&line)).unwrap().command
        else {
            unreachable!("{line}");
        };
        assert_eq!(
            args.agreed(NAME, SNAPSHOT),
            format!(
                "salvor snapshot restore {NAME} --snapshot {SNAPSHOT} --mode skip-existing --path /a \
                 --yes"
            )
        );
    }
}
