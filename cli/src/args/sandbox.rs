//! Options of the commands about one sandbox or one recovery.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use salvor_proto::recovery::v1 as recovery;

/// Which sandbox.
#[derive(Args, Clone, Debug)]
pub(crate) struct Target {
    /// NAME, WORKSPACE/NAME, GATEWAY/WORKSPACE/NAME or the full name [default: the default sandbox]
    pub(crate) name: Option<String>,
}

/// Options of `list`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ListArgs {
    /// Only of this gateway
    #[arg(long)]
    pub(crate) gateway: Option<String>,
    /// Only of this workspace
    #[arg(long)]
    pub(crate) workspace: Option<String>,
    /// Destroyed ones too
    #[arg(long)]
    pub(crate) deleted: bool,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    pub(crate) limit: u32,
}

/// Which way to bring it back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PathName {
    /// Whatever the evidence calls for, the least change first
    #[default]
    Auto,
    /// Only start it again
    Revive,
    /// Make it anew
    Rebuild,
}

/// Options of `plan`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Which way to bring it back
    #[arg(long, value_enum, default_value_t)]
    pub(crate) path: PathName,
    /// Plan a destroy instead
    #[arg(long, conflicts_with_all = ["path", "accept_data_loss", "snapshot"])]
    pub(crate) destroy: bool,
    #[command(flatten)]
    pub(crate) snapshot: SourceArgs,
    #[command(flatten)]
    pub(crate) loss: LossArgs,
}

/// Options of `recover`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RecoverArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Which way to bring it back
    #[arg(long, value_enum, default_value_t)]
    pub(crate) path: PathName,
    /// Execute the plan of this digest only
    #[arg(long, value_name = "DIGEST")]
    pub(crate) plan: Option<String>,
    #[command(flatten)]
    pub(crate) snapshot: SourceArgs,
    #[command(flatten)]
    pub(crate) loss: LossArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// Options of `rebuild`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RebuildArgs {
    /// NAME, WORKSPACE/NAME, GATEWAY/WORKSPACE/NAME or the full name; never the default
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) snapshot: SourceArgs,
    #[command(flatten)]
    pub(crate) loss: LossArgs,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// Which snapshot to bring back.
#[derive(Args, Clone, Debug)]
pub(crate) struct SourceArgs {
    /// Restore this complete snapshot and no other: its full name, or all 64 digits of its id
    #[arg(long, value_name = "SNAPSHOT")]
    pub(crate) snapshot: Option<String>,
}

/// What may be lost.
#[derive(Args, Clone, Debug)]
pub(crate) struct LossArgs {
    /// Accept what the plan of this digest loses, without being asked
    #[arg(long, value_name = "DIGEST")]
    pub(crate) accept_data_loss: Option<String>,
}

/// How something that takes long is started and followed.
#[derive(Args, Clone, Debug)]
pub(crate) struct RunArgs {
    /// Give the full guard report and start nothing; fails where the real call would
    #[arg(long)]
    pub(crate) validate_only: bool,
    /// How long the evidence may take to settle before it is decided, at most 60s
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "15s")]
    pub(crate) settle: Duration,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// How long to stay.
#[derive(Args, Clone, Debug)]
pub(crate) struct WaitArgs {
    /// Do not wait for the end
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// How long to wait for the end; the recovery goes on after it
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10m")]
    pub(crate) timeout: Duration,
}

/// Options of `destroy`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DestroyArgs {
    /// NAME, WORKSPACE/NAME, GATEWAY/WORKSPACE/NAME or the full name; never the default
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) loss: LossArgs,
    /// How long the evidence may take to settle before it is decided, at most 60s
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "15s")]
    pub(crate) settle: Duration,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// Options of `decisions`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DecisionsArgs {
    /// `recoveries/ID`, or a sandbox [default: the default sandbox]
    pub(crate) of: Option<String>,
    /// Only refusals
    #[arg(long)]
    pub(crate) refused: bool,
    /// At most so many, the oldest first
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    pub(crate) limit: u32,
}

/// Options of `watch`.
#[derive(Args, Clone, Debug)]
pub(crate) struct WatchArgs {
    /// `recoveries/ID`, or a sandbox whose open recovery to follow [default: all records]
    pub(crate) of: Option<String>,
    /// Follow the records: every change after this revision [default: the present one]
    #[arg(long, value_name = "REVISION", conflicts_with = "of")]
    pub(crate) since: Option<i64>,
}

/// What to do with recoveries.
#[derive(Debug, Subcommand)]
pub(crate) enum RecoveriesCommand {
    /// List recoveries, newest first
    List {
        /// Only of this sandbox
        #[arg(long, value_name = "NAME")]
        sandbox: Option<String>,
        /// Only those that are not done
        #[arg(long)]
        open: bool,
        /// At most so many
        #[arg(long, value_name = "COUNT", default_value_t = 50)]
        limit: u32,
    },
    /// Show one recovery with its steps
    Show {
        /// `recoveries/ID`, or the id alone
        recovery: String,
    },
    /// Wait until a recovery is done or parked
    Wait {
        /// `recoveries/ID`, or the id alone
        recovery: String,
        /// How long
        #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10m")]
        timeout: Duration,
    },
    /// Ask a recovery to go back, if it has not passed the point of no return
    Cancel {
        /// `recoveries/ID`, or the id alone
        recovery: String,
    },
    /// Resume a parked recovery
    Retry {
        /// `recoveries/ID`, or the id alone
        recovery: String,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// End a recovery that nothing can go on with: of another version, damaged, or void
    ///
    /// What is live at its gateway is looked at first and kept with it; nothing is touched there. The record is freed. What this
    /// version can go on with and is not void is refused: retry or cancel it, or say --give-up.
    Retire(RetireArgs),
}

/// `recoveries retire`.
#[derive(Args, Debug)]
pub(crate) struct RetireArgs {
    /// `recoveries/ID`, or the id alone
    pub(crate) recovery: String,
    /// Only if it is still what `recoveries show` answered with this etag; otherwise as it is now
    #[arg(long, value_name = "ETAG")]
    pub(crate) etag: Option<String>,
    /// The newer version that wrote it will never be run on this journal again
    #[arg(long)]
    pub(crate) newer_version_gone: bool,
    /// It waits, cannot be cancelled any more, and is not to be waited for any longer; what it has made stays as it is
    #[arg(long)]
    pub(crate) give_up: bool,
    /// Look and say what would be written down; change nothing
    #[arg(long)]
    pub(crate) validate_only: bool,
}

// === impl PathName ===

impl From<PathName> for recovery::RecoveryPath {
    fn from(path: PathName) -> Self {
        match path {
            PathName::Auto => Self::Auto,
            PathName::Revive => Self::Revive,
            PathName::Rebuild => Self::Rebuild,
        }
    }
}

/// `500ms`, `15s`, `10m`, `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let problem = || format!("{text:?} is not a duration like 500ms, 15s, 10m or 1h");
    let number: u64 = number.parse().map_err(|_| problem())?;
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(problem()),
    };
    number.checked_mul(unit).map(Duration::from_millis).ok_or_else(problem)
}
