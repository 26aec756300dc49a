//! Options that say what snapshots cover, how they are made and which are kept.

use std::time::Duration;

use clap::{Args, ValueEnum};
use salvor_proto::registry::v1 as registry;

/// Every option here, for those that exclude them.
pub(super) const OPTIONS: [&str; 10] = [
    "snapshot_root",
    "snapshot_exclude",
    "snapshot_interval",
    "keep_last",
    "keep_hourly",
    "keep_daily",
    "keep_weekly",
    "quiesce_before",
    "quiesce_after",
    "quiesce_timeout",
];

/// What snapshots cover, and how they are made and kept. What is not given stays as it is.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Snapshot rules")]
pub(crate) struct RulesArgs {
    /// Absolute directory to cover; may be given again
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) snapshot_root: Vec<String>,
    /// Pattern below the roots to leave out, as in .gitignore; may be given again
    #[arg(long, value_name = "PATTERN")]
    pub(crate) snapshot_exclude: Vec<String>,
    /// How often to take one, at least 1m
    #[arg(long, value_name = "DURATION", value_parser = super::sandbox::duration)]
    pub(crate) snapshot_interval: Option<Duration>,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    /// Command that brings the workspace to rest before it is read; split at spaces, no shell
    #[arg(long, value_name = "COMMAND")]
    pub(crate) quiesce_before: Option<String>,
    /// Command that is run after it was read, in any case; split at spaces, no shell
    #[arg(long, value_name = "COMMAND")]
    pub(crate) quiesce_after: Option<String>,
    /// For each of the two, at most 10m
    #[arg(long, value_name = "DURATION", value_parser = super::sandbox::duration)]
    pub(crate) quiesce_timeout: Option<Duration>,
}

/// How many complete snapshots to keep. One stays if any of these keeps it; the newest stays in any case.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct KeepArgs {
    /// Keep so many of the newest
    #[arg(id = "keep_last", long = "keep-last", value_name = "COUNT")]
    pub(crate) last: Option<u16>,
    /// Keep the newest of each of so many hours
    #[arg(id = "keep_hourly", long = "keep-hourly", value_name = "COUNT")]
    pub(crate) hourly: Option<u16>,
    /// Keep the newest of each of so many days
    #[arg(id = "keep_daily", long = "keep-daily", value_name = "COUNT")]
    pub(crate) daily: Option<u16>,
    /// Keep the newest of each of so many weeks
    #[arg(id = "keep_weekly", long = "keep-weekly", value_name = "COUNT")]
    pub(crate) weekly: Option<u16>,
}

/// What to take out of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Clear {
    /// Leave nothing out
    Excludes,
    /// On request only
    Interval,
    /// The service's default
    Retention,
    /// No commands around the reading
    Quiesce,
    /// No config file is merged: a restore replaces them
    ConfigFiles,
    /// No rules: no snapshots
    All,
}

// === impl RulesArgs ===

impl RulesArgs {
    /// Whether none was given.
    pub(crate) fn is_empty(&self) -> bool {
        self.snapshot_root.is_empty()
            && self.snapshot_exclude.is_empty()
            && self.snapshot_interval.is_none()
            && self.keep.is_empty()
            && self.quiesce_before.is_none()
            && self.quiesce_after.is_none()
            && self.quiesce_timeout.is_none()
    }

    /// `rules` with what was given in place of what they say.
    pub(crate) fn onto(self, mut rules: registry::SnapshotRules) -> registry::SnapshotRules {
        if !self.snapshot_root.is_empty() {
            rules.roots = self.snapshot_root;
        }
        if !self.snapshot_exclude.is_empty() {
            rules.excludes = self.snapshot_exclude;
        }
        if let Some(interval) = self.snapshot_interval {
            rules.interval = Some(salvor_proto::time::duration(interval));
        }
        if !self.keep.is_empty() {
            let before = rules.retention.unwrap_or(registry::Retention {
                keep_last: rules.keep_last,
                ..registry::Retention::default()
            });
            let retention = self.keep.onto(before);
            rules.keep_last = retention.keep_last;
            rules.retention = Some(retention);
        }
        if let Some(command) = self.quiesce_before {
            rules.quiesce.get_or_insert_default().before = words(&command);
        }
        if let Some(command) = self.quiesce_after {
            rules.quiesce.get_or_insert_default().after = words(&command);
        }
        if let Some(timeout) = self.quiesce_timeout {
            let timeout = Some(salvor_proto::time::duration(timeout));
            rules.quiesce.get_or_insert_default().timeout = timeout;
        }
        rules
    }
}

// === impl KeepArgs ===

impl KeepArgs {
    /// Whether none was given.
    pub(crate) fn is_empty(self) -> bool {
        [self.last, self.hourly, self.daily, self.weekly] == [None; 4]
    }

    /// `before` with the numbers that were given.
    pub(crate) fn onto(self, before: registry::Retention) -> registry::Retention {
        let or = |given: Option<u16>, before| given.map_or(before, i32::from);
        registry::Retention {
            keep_last: or(self.last, before.keep_last),
            keep_hourly: or(self.hourly, before.keep_hourly),
            keep_daily: or(self.daily, before.keep_daily),
            keep_weekly: or(self.weekly, before.keep_weekly),
        }
    }
}

// === impl Clear ===

impl Clear {
    /// `rules` without it; none once all are gone.
    pub(crate) fn from(
        self,
        rules: Option<registry::SnapshotRules>,
    ) -> Option<registry::SnapshotRules> {
        let mut rules = rules?;
        match self {
            Self::Excludes => rules.excludes = Vec::new(),
            Self::Interval => rules.interval = None,
            Self::Retention => (rules.retention, rules.keep_last) = (None, 0),
            Self::Quiesce => rules.quiesce = None,
            // They are beside the rules.
            Self::ConfigFiles => {}
            Self::All => return None,
        }
        Some(rules)
    }
}

fn words(command: &str) -> Vec<String> {
    command.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> registry::SnapshotRules {
        registry::SnapshotRules {
            roots: vec!["/sandbox".into()],
            excludes: vec!["*.log".into()],
            keep_last: 3,
            ..Default::default()
        }
    }

    #[test]
    fn what_is_not_given_stays() {
        assert!(RulesArgs::default().is_empty());
        assert_eq!(RulesArgs::default().onto(rules()), rules());
        let given = RulesArgs {
            snapshot_root: vec!["/a".into(), "/b".into()],
            quiesce_after: Some("sync -f /a".into()),
            ..RulesArgs::default()
        };
        assert!(!given.is_empty());
        let changed = given.onto(rules());
        assert_eq!((changed.roots.len(), &changed.excludes), (2, &rules().excludes));
        let quiesce = changed.quiesce.unwrap();
        assert_eq!(quiesce.after, ["sync", "-f", "/a"]);
        assert!(quiesce.before.is_empty() && quiesce.timeout.is_none());
    }

    #[test]
    fn a_number_to_keep_joins_those_that_are_there() {
        let keep = KeepArgs { daily: Some(7), ..KeepArgs::default() };
        let changed = RulesArgs { keep, ..RulesArgs::default() }.onto(rules());
        let wanted = registry::Retention { keep_last: 3, keep_daily: 7, ..Default::default() };
        assert_eq!((changed.retention, changed.keep_last), (Some(wanted), 3));
        let none = KeepArgs { last: Some(0), ..KeepArgs::default() };
        let changed = RulesArgs { keep: none, ..RulesArgs::default() }.onto(changed);
        assert_eq!(changed.retention.unwrap().keep_last, 0);
    }

    #[test]
    fn what_is_cleared_is_gone_and_nothing_else() {
        let left = Clear::Excludes.from(Some(rules())).unwrap();
        assert_eq!(left, registry::SnapshotRules { excludes: Vec::new(), ..rules() });
        assert_eq!(Clear::Retention.from(Some(rules())).unwrap().keep_last, 0);
        assert_eq!(Clear::All.from(Some(rules())), None);
        assert_eq!(Clear::Interval.from(None), None);
    }
}
