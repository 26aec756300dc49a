//! What can be typed. Invariant: every option of one command means the same in every other.
//!
//! Deliberately absent: a configuration file, and any default that depends on the working directory.

mod adopt;
mod again;
mod config_files;
mod gateway;
mod global;
mod local;
mod rules;
mod sandbox;
mod snapshot;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

pub(crate) use adopt::AdoptArgs;
pub(crate) use config_files::ConfigArgs;
pub(crate) use gateway::{Credentials, DefaultCommand, GatewaysCommand};
pub(crate) use global::{Color, Format, GlobalArgs};
pub(crate) use local::{DemoArgs, DialectName, UpArgs};
pub(crate) use rules::{Clear, KeepArgs, RulesArgs};
pub(crate) use sandbox::{
    DecisionsArgs, DestroyArgs, ListArgs, PlanArgs, RebuildArgs, RecoverArgs, RecoveriesCommand,
    RetireArgs, RunArgs, Target, WaitArgs, WatchArgs,
};
pub(crate) use snapshot::{
    CatArgs, CreateArgs, DeleteArgs, DiffArgs, DrillArgs, Given, ListSnapshotsArgs, ModeName,
    OwnerArgs, PruneArgs, RestoreArgs, SetRulesArgs, SnapshotCommand, VerifyArgs,
};

use crate::exit;

/// Keeps fleets of AI-agent sandboxes recoverable: brings back exactly what is provably gone.
#[derive(Debug, Parser)]
#[command(name = "salvor", version, max_term_width = 100, after_long_help = exit::HELP)]
#[command(after_help = "Exit codes and sandbox names: salvor --help")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run all three services on this machine, in this process
    Up(UpArgs),
    /// Lose a sandbox and bring it back, in a temporary directory: the main job in one command
    Demo(DemoArgs),
    /// Capture a live sandbox, or all of a gateway, into records
    Adopt(AdoptArgs),
    /// List the records
    List(ListArgs),
    /// Show record, owner gateway, live view and verdict of one sandbox, and what to run next
    Status(Target),
    /// Show what a recovery would do, and every reason why it would not
    Plan(PlanArgs),
    /// Bring a sandbox back
    Recover(RecoverArgs),
    /// Make a live sandbox anew with the files of its roots: snapshot, verify, delete, create, restore, verify
    ///
    /// What does not come back (processes, files outside of the roots, what rules leave out) is listed by its plan: try it with
    /// --validate-only first. Nothing is deleted if the roots were written to since the snapshot; see `snapshot rules` for
    /// commands that bring an agent to rest.
    Rebuild(RebuildArgs),
    /// Take, list, check, compare, restore and thin out snapshots of workspaces
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// Show how to reach a live sandbox; guidance otherwise
    Connect(Target),
    /// Take a sandbox away for good
    Destroy(DestroyArgs),
    /// Show the verdict on a sandbox and the decisions behind it
    Verdict(Target),
    /// Show the kept decisions of a recovery or of a sandbox
    Decisions(DecisionsArgs),
    /// Follow a recovery, or every change of the records
    Watch(WatchArgs),
    /// List, show, await, cancel, retry or retire recoveries
    #[command(subcommand)]
    Recoveries(RecoveriesCommand),
    /// List, add, change, remove or probe gateways
    #[command(subcommand)]
    Gateways(GatewaysCommand),
    /// Show or move the default pointer
    #[command(subcommand)]
    Default(DefaultCommand),
    /// List the guards there are, per path
    Guards,
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// `~/.local/share/salvor`, or what the XDG variable says in place of `~/.local/share`.
pub(crate) fn default_data_dir() -> PathBuf {
    let absolute =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .unwrap_or_else(|| PathBuf::from("."))
        .join("salvor")
}

#[cfg(test)]
mod next_steps;
#[cfg(test)]
mod tests;
