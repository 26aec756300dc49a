//! What to run after each failure of this process's own: a command that can be typed as it is printed, with what has to be seen to
//! first behind a `#`. Those that repeat what was typed are in [`crate::args`].

use salvor_core::shell::step;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextStep {
    /// See what can be typed.
    Help,
    /// See the records.
    List,
    /// Name one of the records.
    NameOne,
    /// Name it in full.
    NameInFull,
    /// A record of nearly that name.
    IsItMeant,
    /// There are no records yet.
    AdoptFirst,
    /// Say which agent.
    NameAgent,
    /// See the gateways.
    ListGateways,
    /// Do not contradict the full name.
    LeaveGatewayOut,
    /// Say which gateway.
    NameGateway,
    /// Register a gateway.
    AddGateway,
    /// Say what to change of a gateway.
    SayWhatToChange,
    /// Say how a gateway knows its caller.
    AddCredentials,
    /// Start the gateway's adapter.
    StartAdapter,
    /// Give the authority of a server's certificate.
    GiveAuthority,
    /// Look whether the gateway can be reached.
    ProbeGateway,
    /// See the whole names of snapshots.
    ListWide,
    /// See those of the sandbox that is meant.
    ListOfMeant,
    /// See those of one sandbox.
    ListOne,
    /// Name a snapshot in full.
    NameSnapshot,
    /// Read the snapshot for longer.
    VerifyLonger,
    /// Name the sandbox whose rules to change.
    NameForRules,
    /// Name the sandbox to destroy.
    NameToDestroy,
    /// Wait for the recovery's end.
    Wait,
    /// See the recoveries of the sandbox.
    ListRecoveries,
    /// Follow the records from a revision on.
    WatchSince,
    /// Give the gateway's pin up.
    Repin,
    /// Start it.
    Up,
    /// Start it on another port.
    AnotherPort,
    /// Use what runs there already.
    UseIt,
    /// Start it with another directory.
    AnotherDirectory,
    /// See how the sandbox stands.
    Status,
    /// Reach the sandbox.
    Connect,
    /// Declare what snapshots cover.
    DeclareRoot,
    /// Register a gateway, and adopt what is on it.
    FirstSteps,
    /// Adopt what is on the development gateway.
    AdoptFromDev,
    /// Begin the demonstration again.
    Demo,
    /// Begin it again, with a log.
    DemoWithLog,
}

impl NextStep {
    /// All of them.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 38] = [
        Self::Help,
        Self::List,
        Self::NameOne,
        Self::NameInFull,
        Self::IsItMeant,
        Self::AdoptFirst,
        Self::NameAgent,
        Self::ListGateways,
        Self::LeaveGatewayOut,
        Self::NameGateway,
        Self::AddGateway,
        Self::SayWhatToChange,
        Self::AddCredentials,
        Self::StartAdapter,
        Self::GiveAuthority,
        Self::ProbeGateway,
        Self::ListWide,
        Self::ListOfMeant,
        Self::ListOne,
        Self::NameSnapshot,
        Self::VerifyLonger,
        Self::NameForRules,
        Self::NameToDestroy,
        Self::Wait,
        Self::ListRecoveries,
        Self::WatchSince,
        Self::Repin,
        Self::Up,
        Self::AnotherPort,
        Self::UseIt,
        Self::AnotherDirectory,
        Self::Status,
        Self::Connect,
        Self::DeclareRoot,
        Self::FirstSteps,
        Self::AdoptFromDev,
        Self::Demo,
        Self::DemoWithLog,
    ];

    /// About what has this name; empty where there is nothing to name.
    pub(crate) fn of(self, subject: &str) -> String {
        let (command, first) = self.words();
        step(command, subject, first)
    }

    /// The command, and what has to be seen to first.
    #[expect(clippy::too_many_lines, reason = "a table: one arm per step")]
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Help => ("salvor --help", ""),
            Self::List => ("salvor list", ""),
            Self::NameOne => ("salvor list", "then name one, or: salvor default set NAME"),
            Self::NameInFull => ("salvor list", "name one of them in full"),
            Self::IsItMeant => ("salvor status", "if that is the one that is meant"),
            Self::AdoptFirst => (
                "salvor gateways list",
                "there are no records yet; capture a live sandbox: salvor adopt NAME",
            ),
            Self::NameAgent => ("salvor adopt --help", "--agent KIND or --agent KIND@VERSION"),
            Self::ListGateways => ("salvor gateways list", ""),
            Self::LeaveGatewayOut => ("salvor gateways list", "leave --gateway out"),
            Self::NameGateway => ("salvor gateways list", "say which with --gateway GATEWAY"),
            Self::AddGateway => ("salvor gateways add --help", "salvor gateways add NAME ENDPOINT"),
            Self::SayWhatToChange => ("salvor gateways update --help", ""),
            Self::AddCredentials => (
                "salvor gateways add --help",
                "add --token-file, or --gateway-cert and --gateway-key",
            ),
            Self::StartAdapter => {
                ("salvor gateways list", "once its gateway-adapter runs, or name it with --adapter")
            }
            Self::GiveAuthority => (
                "salvor gateways list",
                "give the authority of its certificate with --server-ca FILE",
            ),
            Self::ProbeGateway => ("salvor gateways probe", ""),
            Self::ListWide => ("salvor snapshot list --wide", ""),
            Self::ListOfMeant => ("salvor snapshot list --wide", "of the sandbox that is meant"),
            Self::ListOne => {
                ("salvor snapshot list --all --wide", "name those of one sandbox at a time")
            }
            Self::NameSnapshot => (
                "salvor snapshot list --wide",
                "name it in full, gateways/GATEWAY/snapshots/ID, or add --of NAME",
            ),
            Self::VerifyLonger => ("salvor snapshot verify --timeout 1h", ""),
            Self::NameForRules => ("salvor list", "then: salvor snapshot rules NAME"),
            Self::NameToDestroy => ("salvor list", "then: salvor plan --destroy NAME"),
            Self::Wait => ("salvor recoveries wait", ""),
            Self::ListRecoveries => ("salvor recoveries list --sandbox", ""),
            Self::WatchSince => ("salvor watch --since", ""),
            Self::Repin => ("salvor gateways repin --yes", ""),
            Self::Up => (
                "salvor up",
                "if it runs elsewhere, say where with --registry, --orchestrator and --adapter",
            ),
            Self::AnotherPort => ("salvor up --help", "choose another port"),
            Self::UseIt => ("salvor list", "if salvor runs already; otherwise choose another port"),
            Self::AnotherDirectory => {
                ("salvor up --help", "choose another directory with --data-dir DIRECTORY")
            }
            Self::Status => ("salvor status", ""),
            Self::Connect => ("salvor connect", ""),
            Self::DeclareRoot => ("salvor snapshot rules --snapshot-root /sandbox", ""),
            Self::FirstSteps => (
                "salvor demo",
                "or: salvor gateways add NAME ENDPOINT, then: salvor adopt --gateway NAME",
            ),
            Self::AdoptFromDev => (
                "salvor adopt --gateway dev",
                "once any OpenShell client has created a sandbox at the development gateway",
            ),
            Self::Demo => ("salvor demo", ""),
            Self::DemoWithLog => ("salvor demo --log info", ""),
        }
    }
}
