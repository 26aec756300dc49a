//! What to run after each of the adapter's refusals: a command that can be typed as it is printed, with what has to be seen to
//! first behind a `#`. In one place, so that a test can type them all.

use salvor_core::shell::step;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// See how the sandbox stands; then ask again.
    Status,
    /// Choose another snapshot of the sandbox.
    ChooseSnapshot,
    /// Look for the snapshot that is meant.
    ListSnapshots,
    /// See what an incomplete snapshot lacks.
    ShowSnapshot,
    /// Take a snapshot.
    TakeSnapshot,
    /// Take a newer snapshot before the newest one goes.
    TakeAnother,
    /// Correct the roots.
    CorrectRoots,
    /// Make the first root writable.
    MakeRootWritable,
    /// Restore or compare some of the paths at a time.
    FewerPaths,
    /// Make space in the repository.
    MakeSpace,
    /// Wait until captures have ended.
    WaitForCaptures,
    /// Mend the repository.
    MendRepository,
    /// Bring the repository's storage back.
    ReachRepository,
    /// Put the repository back that was there before.
    PutRepositoryBack,
    /// Give the adapter the password.
    GivePassword,
    /// Give the adapter a repository.
    GiveRepository,
    /// Give the adapter a container runtime.
    GiveRuntime,
    /// Look which gateways are registered, and served by which adapter.
    ListGateways,
    /// Bring the registry back.
    ReachRegistry,
    /// Keep two adapters from one data directory.
    SeparateData,
    /// Mend the file of fence tokens.
    MendFences,
    /// A caller's own mistake: an id that was used before.
    FreshId,
    /// The work was cancelled.
    AskAgain,
    /// The operation is not known any more.
    AskForItAgain,
    /// A defect.
    Report,
}

impl NextStep {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::Status,
        Self::ChooseSnapshot,
        Self::ListSnapshots,
        Self::ShowSnapshot,
        Self::TakeSnapshot,
        Self::TakeAnother,
        Self::CorrectRoots,
        Self::MakeRootWritable,
        Self::FewerPaths,
        Self::MakeSpace,
        Self::WaitForCaptures,
        Self::MendRepository,
        Self::ReachRepository,
        Self::PutRepositoryBack,
        Self::GivePassword,
        Self::GiveRepository,
        Self::GiveRuntime,
        Self::ListGateways,
        Self::ReachRegistry,
        Self::SeparateData,
        Self::MendFences,
        Self::FreshId,
        Self::AskAgain,
        Self::AskForItAgain,
        Self::Report,
    ];

    /// About a sandbox or a snapshot, by its full name; empty where none is known.
    pub fn of(self, subject: &str) -> String {
        let (command, first) = self.words();
        step(command, subject, first)
    }

    /// About nothing in particular.
    pub fn alone(self) -> String {
        self.of("")
    }

    /// The command, and what has to be seen to first.
    #[expect(clippy::too_many_lines, reason = "a table: one arm per step")]
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Status => ("salvor status", "then ask again"),
            Self::ChooseSnapshot => ("salvor snapshot list", "choose another one"),
            Self::ListSnapshots => ("salvor snapshot list", ""),
            Self::ShowSnapshot => ("salvor snapshot show", "says what it holds and what it lacks"),
            Self::TakeSnapshot => ("salvor snapshot create", ""),
            Self::TakeAnother => (
                "salvor snapshot create",
                "once it is there, the older one can go; or give it up: salvor snapshot delete SNAPSHOT \
                 --allow-last",
            ),
            Self::CorrectRoots => {
                ("salvor snapshot rules", "correct its roots, or wait until they are there")
            }
            Self::MakeRootWritable => (
                "salvor snapshot rules",
                "its first root must be a directory that can be written to",
            ),
            Self::FewerPaths => {
                ("salvor snapshot list", "then restore some of the paths at a time: --path PATH")
            }
            Self::MakeSpace => (
                "salvor snapshot list",
                "give the repository more space, or thin out and reclaim: salvor snapshot prune NAME \
                 --keep-last 1 --reclaim-space",
            ),
            Self::WaitForCaptures => {
                ("salvor recoveries list --open", "ask again when none of them works on a snapshot")
            }
            Self::MendRepository => (
                "salvor snapshot list",
                "choose another one; then restic check --read-data on the repository",
            ),
            Self::ReachRepository => {
                ("salvor snapshot list", "after the repository's storage was brought back")
            }
            Self::PutRepositoryBack => (
                "salvor snapshot list",
                "after it was put back (is its disk mounted?); to give its snapshots up, take its line \
                 out of that file first",
            ),
            Self::GivePassword => (
                "salvor snapshot list",
                "after the gateway-adapter was started with --repository-password-file",
            ),
            Self::GiveRepository => (
                "salvor gateways list",
                "after the gateway-adapter was started with --repository: an empty directory, or a \
                 restic repository",
            ),
            Self::GiveRuntime => (
                "salvor gateways list",
                "after the gateway-adapter on the gateway's host was started with --runtime-socket",
            ),
            Self::ListGateways => ("salvor gateways list", ""),
            Self::ReachRegistry => ("salvor gateways list", "once the registry answers, ask again"),
            Self::SeparateData => (
                "salvor gateways list",
                "after one of the two adapters was stopped, or given a --data-dir of its own",
            ),
            Self::MendFences => (
                "salvor gateways list",
                "after what the message names was corrected; docs/reliability.md says what to do \
                 about a damaged file",
            ),
            Self::FreshId => ("salvor recoveries list --open", "then ask with a fresh UUID"),
            Self::AskAgain => {
                ("salvor recoveries list --open", "then ask again with a fresh request_id")
            }
            Self::AskForItAgain => (
                "salvor snapshot list",
                "if it is not in it: the same request again, with the same request_id",
            ),
            Self::Report => ("salvor gateways list", "and report it with the adapter's log"),
        }
    }
}
