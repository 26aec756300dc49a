//! Options of `snapshot …`.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use salvor_proto::gateway::v1 as gateway;

use super::{Clear, ConfigArgs, KeepArgs, RulesArgs, RunArgs, Target, WaitArgs};

/// What to do with snapshots.
#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotCommand {
    /// Take a snapshot of a sandbox's workspace now
    Create(CreateArgs),
    /// List the snapshots of a sandbox, or all of a gateway
    List(ListSnapshotsArgs),
    /// Show one snapshot: what it covers, what was left out, and why it is not complete
    Show(Given),
    /// Read every byte of a snapshot back from the repository
    Verify(VerifyArgs),
    /// Show how two snapshots differ, path by path
    Diff(DiffArgs),
    /// Write a complete snapshot into its sandbox, or make a new sandbox from it
    Restore(RestoreArgs),
    /// Prove that a snapshot restores: into a throw-away sandbox, read back
    Drill(DrillArgs),
    /// Take away the snapshots that no rule keeps
    Prune(PruneArgs),
    /// Take snapshots away by name, incomplete ones too
    Delete(DeleteArgs),
    /// Write one file of a snapshot to stdout
    Cat(CatArgs),
    /// Show the rules of a record, or change them
    Rules(SetRulesArgs),
}

/// One snapshot.
#[derive(Args, Clone, Debug)]
pub(crate) struct Given {
    /// `gateways/GATEWAY/snapshots/ID`, or all 64 digits of the ID alone with --of or --gateway
    pub(crate) snapshot: String,
    #[command(flatten)]
    pub(crate) owner: OwnerArgs,
}

/// Whose gateway an id alone is of.
#[derive(Args, Clone, Debug)]
pub(crate) struct OwnerArgs {
    /// The sandbox on whose gateway it is
    #[arg(long, value_name = "NAME")]
    pub(crate) of: Option<String>,
    /// The gateway on which it is
    #[arg(long, conflicts_with = "of")]
    pub(crate) gateway: Option<String>,
}

/// Options of `snapshot create`.
#[derive(Args, Clone, Debug)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// How to read the bytes [default: whichever is possible, the container runtime first]
    #[arg(long, value_enum)]
    pub(crate) channel: Option<ChannelName>,
    /// Read every file again, also those that are unchanged since the last complete snapshot
    #[arg(long)]
    pub(crate) full: bool,
    /// Directory to cover instead of the record's; may be given again
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) root: Vec<String>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// How bytes come out of a sandbox.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ChannelName {
    /// The gateway's exec; needs a READY sandbox
    Exec,
    /// The host's container runtime, running or not
    Runtime,
}

/// Options of `snapshot list`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ListSnapshotsArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// All of this gateway, also of sandboxes without a record
    #[arg(long, conflicts_with = "name")]
    pub(crate) gateway: Option<String>,
    /// Incomplete ones too, with their first issue
    #[arg(long)]
    pub(crate) all: bool,
    /// Whole ids
    #[arg(long)]
    pub(crate) wide: bool,
    /// At most so many, the newest first
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub(crate) limit: u32,
}

/// Options of `snapshot verify`.
#[derive(Args, Clone, Debug)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) given: Given,
    /// How long it may take
    #[arg(long, value_name = "DURATION", value_parser = super::sandbox::duration, default_value = "10m")]
    pub(crate) timeout: Duration,
}

/// Options of `snapshot diff`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DiffArgs {
    /// The older one: `gateways/GATEWAY/snapshots/ID`, or the 64 digits of the ID with --of or --gateway
    pub(crate) base: String,
    /// The newer one
    pub(crate) other: String,
    #[command(flatten)]
    pub(crate) owner: OwnerArgs,
    /// At most so many differences
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    pub(crate) limit: u32,
}

/// Options of `snapshot cat`.
#[derive(Args, Clone, Debug)]
pub(crate) struct CatArgs {
    #[command(flatten)]
    pub(crate) given: Given,
    /// The file's absolute path
    pub(crate) path: String,
}

/// Options of `snapshot restore`.
#[derive(Args, Clone, Debug)]
pub(crate) struct RestoreArgs {
    /// NAME, WORKSPACE/NAME, GATEWAY/WORKSPACE/NAME or the full name; never the default
    pub(crate) name: String,
    /// Which complete snapshot: its full name, or all 64 digits of its id
    #[arg(long, value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,
    /// How to put entries back
    #[arg(long, value_enum, default_value_t)]
    pub(crate) mode: ModeName,
    /// Make a new sandbox of this name from it, in the same workspace; this one is not touched
    #[arg(long, value_name = "NAME")]
    pub(crate) to: Option<String>,
    /// If there is a sandbox of that name already, with a record: replace what is in it, after it was saved
    #[arg(long, requires = "to")]
    pub(crate) replace: bool,
    /// The snapshot may be one of another sandbox of the same gateway
    #[arg(long)]
    pub(crate) from_other_sandbox: bool,
    /// Only this path and what is below it; may be given again
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Vec<String>,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// How entries are put back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeName {
    /// The roots hold exactly what the snapshot holds; declared config files are merged by key
    #[default]
    Replace,
    /// Only what does not exist is written
    SkipExisting,
    /// Only the declared config files, by key ownership
    MergeConfig,
}

/// Options of `snapshot drill`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DrillArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Which snapshot: its full name, or all 64 digits of its id [default: a fresh one with a
    /// nonce if the sandbox is READY, the newest complete one otherwise]
    #[arg(long, value_name = "SNAPSHOT", verbatim_doc_comment)]
    pub(crate) snapshot: Option<String>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// Options of `snapshot prune`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PruneArgs {
    /// NAME, WORKSPACE/NAME, GATEWAY/WORKSPACE/NAME or the full name; never the default
    pub(crate) name: String,
    /// What to keep instead of what the record says
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    /// Also take away what no snapshot needs any more; takes long
    #[arg(long)]
    pub(crate) reclaim_space: bool,
    /// Show what would go, and what would stay and why, and start nothing; fails where the real call would
    #[arg(long)]
    pub(crate) validate_only: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// Options of `snapshot delete`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DeleteArgs {
    /// `gateways/GATEWAY/snapshots/ID`, or all 64 digits of the ID alone with --of or --gateway; all of one sandbox
    #[arg(required = true, num_args = 1..=100)]
    pub(crate) snapshots: Vec<String>,
    #[command(flatten)]
    pub(crate) owner: OwnerArgs,
    /// Also those that the workspace would be brought back from: the newest complete one, and what the record names
    #[arg(long)]
    pub(crate) allow_last: bool,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    /// Give the full guard report and start nothing; fails where the real call would
    #[arg(long)]
    pub(crate) validate_only: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// Options of `snapshot rules`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SetRulesArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Take this out of the rules; may be given again
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) clear: Vec<Clear>,
    /// Check everything and store nothing
    #[arg(long)]
    pub(crate) validate_only: bool,
    #[command(flatten)]
    pub(crate) rules: RulesArgs,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

// === impl ChannelName ===

impl From<ChannelName> for gateway::Channel {
    fn from(channel: ChannelName) -> Self {
        match channel {
            ChannelName::Exec => Self::Exec,
            ChannelName::Runtime => Self::Runtime,
        }
    }
}

// === impl ModeName ===

impl From<ModeName> for gateway::RestoreMode {
    fn from(mode: ModeName) -> Self {
        match mode {
            ModeName::Replace => Self::Replace,
            ModeName::SkipExisting => Self::SkipExisting,
            ModeName::MergeConfig => Self::MergeConfig,
        }
    }
}
