//! Options of `adopt`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use salvor_proto::registry::v1 as registry;

use super::config_files::{ConfigArgs, OPTION};
use super::rules::{OPTIONS, RulesArgs};

/// Capture a live sandbox, or all of a gateway, into records.
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag that can be typed")]
pub(crate) struct AdoptArgs {
    /// The live sandbox: NAME, WORKSPACE/NAME or GATEWAY/WORKSPACE/NAME [workspace: default]
    #[arg(required_unless_present_any = ["gateway", "all"])]
    pub(crate) name: Option<String>,
    /// The gateway that runs it; without NAME, every live sandbox of that gateway
    #[arg(long, value_name = "GATEWAY")]
    pub(crate) gateway: Option<String>,
    /// Every live sandbox of --gateway, or of all gateways
    #[arg(long, conflicts_with_all = ["name", OPTION], conflicts_with_all = OPTIONS)]
    pub(crate) all: bool,
    /// Only sandboxes of this workspace, with --all
    #[arg(long, conflicts_with = "name")]
    pub(crate) workspace: Option<String>,
    /// Which agent runs inside: KIND or KIND@VERSION; may be given again
    #[arg(long, value_name = "KIND[@VERSION]", conflicts_with = "all", requires = "name")]
    pub(crate) agent: Vec<String>,
    /// Lock the sandbox: seal these files as they are now
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with = "all")]
    pub(crate) seal: Vec<String>,
    /// Command that tells readiness by its exit code; split at spaces, no shell
    #[arg(long, value_name = "COMMAND", conflicts_with = "all")]
    pub(crate) readiness_command: Option<String>,
    /// For one try of the readiness command, at most 60s
    #[arg(long, value_name = "DURATION", value_parser = super::sandbox::duration, default_value = "10s")]
    pub(crate) readiness_timeout: Duration,
    /// What may be done without a person asking
    #[arg(long, value_enum, conflicts_with = "all")]
    pub(crate) automatic: Option<Automatic>,
    /// Take the present incarnation into an existing record; its snapshot rules and config files stay
    #[arg(long, conflicts_with_all = ["all", OPTION], conflicts_with_all = OPTIONS)]
    pub(crate) rebind: bool,
    /// Make it the default, if nothing is
    #[arg(long, conflicts_with = "all")]
    pub(crate) default: bool,
    /// Check everything and store nothing
    #[arg(long, conflicts_with = "all")]
    pub(crate) validate_only: bool,
    /// What its snapshots cover, and how they are made and kept
    #[command(flatten)]
    pub(crate) rules: RulesArgs,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// What may be done without a person asking.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Automatic {
    /// Only on request
    Nothing,
    /// Starting a stopped sandbox
    ReviveOnly,
    /// Every path that loses nothing
    Everything,
}

// === impl Automatic ===

impl From<Automatic> for registry::AutomaticRecovery {
    fn from(automatic: Automatic) -> Self {
        match automatic {
            Automatic::Nothing => Self::Nothing,
            Automatic::ReviveOnly => Self::ReviveOnly,
            Automatic::Everything => Self::Everything,
        }
    }
}
