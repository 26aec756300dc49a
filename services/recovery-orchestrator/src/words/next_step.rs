//! What to run next where no guard refused: as after a denial, a command that can be typed as it is printed.

use salvor_core::{
    Plan, SagaKind,
    id::RecoveryName,
    saga::{Cause, ParkReason, Setback, capture::NotSaved},
    shell::step,
};

use super::again;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// Look which recoveries there are.
    ListRecoveries,
    /// Look what is at work on the sandbox.
    ListOpen,
    /// Wait for the recovery's end.
    Wait,
    /// Resume the recovery.
    Retry,
    /// Resume the recovery, or give it up.
    RetryOrGiveUp,
    /// Look at the recovery as it is now.
    Show,
    /// Let the version that wrote it end the recovery.
    RunThatVersion,
    /// Give a recovery up that nothing can go on with.
    Retire,
    /// The same for one whose journal cannot be read, unless a copy of it can be had.
    RetireDamaged,
    /// Ask it to go back.
    Cancel,
    /// Look at the sandbox.
    Status,
    /// Look what the gateway has of it.
    Verdict,
    /// Bring the sandbox back.
    Recover,
    /// Read the plan as it is now.
    Plan,
    /// Look what a prune would take away.
    PreviewPrune,
    /// Record the sandbox.
    Adopt,
    /// Record it once it is there.
    AdoptOnceCreated,
    /// Record it, if it is there and to be kept.
    AdoptIfWanted,
    /// Record it once it has come to rest.
    AdoptOnceReady,
    /// A client's own: use an id that was never used.
    FreshId,
    /// The journal's disk is full.
    FreeSpace,
    /// The journal is in use.
    AskAgain,
    /// The journal is damaged.
    RestoreJournal,
    /// The journal cannot be written.
    CheckDisk,
    /// Nobody foresaw it.
    SeeLog,
}

impl NextStep {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::ListRecoveries,
        Self::ListOpen,
        Self::Wait,
        Self::Retry,
        Self::RetryOrGiveUp,
        Self::Show,
        Self::RunThatVersion,
        Self::Retire,
        Self::RetireDamaged,
        Self::Cancel,
        Self::Status,
        Self::Verdict,
        Self::Recover,
        Self::Plan,
        Self::PreviewPrune,
        Self::Adopt,
        Self::AdoptOnceCreated,
        Self::AdoptIfWanted,
        Self::AdoptOnceReady,
        Self::FreshId,
        Self::FreeSpace,
        Self::AskAgain,
        Self::RestoreJournal,
        Self::CheckDisk,
        Self::SeeLog,
    ];

    /// About a sandbox or a recovery, by its full name; empty where it is about none.
    pub fn of(self, subject: &str) -> String {
        let (command, first) = self.words();
        step(command, subject, first)
    }

    /// The command, and what has to be seen to first.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::ListRecoveries => ("salvor recoveries list", ""),
            Self::ListOpen => ("salvor recoveries list --open --sandbox", ""),
            Self::Wait => ("salvor recoveries wait", ""),
            Self::Retry => ("salvor recoveries retry", ""),
            Self::RetryOrGiveUp => (
                "salvor recoveries retry",
                "or, to wait no longer: salvor recoveries retire --give-up",
            ),
            Self::RunThatVersion => (
                "salvor recoveries show",
                "run the orchestrator that wrote it until the recovery has ended; if it will never be run \
                 again: salvor recoveries retire --newer-version-gone",
            ),
            Self::Show => ("salvor recoveries show", ""),
            Self::Retire => ("salvor recoveries retire", ""),
            Self::RetireDamaged => (
                "salvor recoveries retire",
                "unless a copy of journal.db can be restored, from which it goes on",
            ),
            Self::Cancel => ("salvor recoveries cancel", ""),
            Self::Status => ("salvor status", ""),
            Self::Verdict => ("salvor verdict", ""),
            Self::Recover => ("salvor recover", ""),
            Self::Plan => ("salvor plan", ""),
            Self::PreviewPrune => ("salvor snapshot prune --validate-only", ""),
            Self::Adopt => ("salvor adopt", ""),
            Self::AdoptOnceCreated => ("salvor adopt", "once it was created on the gateway"),
            Self::AdoptIfWanted => {
                ("salvor adopt", "if it is there and to be kept; else delete it on its gateway")
            }
            Self::AdoptOnceReady => ("salvor adopt", "once it is READY"),
            Self::FreshId => ("salvor recoveries list", "then ask with a new request_id"),
            Self::FreeSpace => {
                ("salvor recoveries list", "after space was freed on the journal's disk")
            }
            Self::AskAgain => ("salvor recoveries list", "then ask again"),
            Self::RestoreJournal => (
                "salvor recoveries list",
                "after the orchestrator was stopped and a copy of journal.db restored",
            ),
            Self::CheckDisk => ("salvor recoveries list", "after the journal's disk was checked"),
            Self::SeeLog => ("salvor recoveries list", "the orchestrator's log says more"),
        }
    }
}

/// After a recovery that waits.
pub fn after_park(recovery: &RecoveryName, why: ParkReason) -> String {
    let or_give_up;
    let first = match why {
        ParkReason::KeepsFailing(cause) if !cause.may_pass() => {
            or_give_up =
                format!("{}; or give it up: salvor recoveries retire --give-up", cause.remedy());
            &or_give_up
        }
        ParkReason::KeepsFailing(cause) => cause.remedy(),
        ParkReason::RegistryUnavailable => "after what the orchestrator's log names was mended",
        ParkReason::Undetermined(_) | ParkReason::NotReadyInTime | ParkReason::NameTaken => "",
    };
    step("salvor recoveries retry", recovery.as_str(), first)
}

/// After a recovery that went back. What is tried again is what was asked for, and never more: what overwrites or deletes is begun
/// from what it would do.
pub fn after_setback(plan: &Plan, setback: &Setback) -> String {
    let target = plan.target.to_string();
    let asked = &plan.inputs.asked;
    if !asked.delete.is_empty() {
        let first = format!("then, if they are to go: {}", again::delete(asked));
        return step("salvor snapshot list --all", &target, &first);
    }
    let again = match plan.saga {
        SagaKind::Snapshot => "salvor snapshot create",
        SagaKind::Restore | SagaKind::Copy => "salvor snapshot list",
        SagaKind::Prune => "salvor snapshot prune --validate-only",
        SagaKind::Rebuild => "salvor plan --path rebuild",
        SagaKind::Destroy => "salvor plan --destroy",
        SagaKind::Revive => "salvor recover --path revive",
        SagaKind::StaleRecovery => "salvor recover",
    };
    let (command, first) = match setback {
        Setback::Refused(Cause::WorkspaceChanged) => (
            "salvor snapshot rules",
            "declare --quiesce-before and --quiesce-after, and rebuild it again",
        ),
        Setback::Refused(cause) | Setback::NotSaved(NotSaved::Refused(cause)) => {
            (again, cause.remedy())
        }
        Setback::NeverReady(_) => (again, "after what the gateway complains of was mended"),
        Setback::NotSaved(NotSaved::Incomplete(_) | NotSaved::Damaged(_)) => {
            ("salvor snapshot list --all", "mend what kept it from being complete, and try again")
        }
        Setback::Stranger(_) => ("salvor verdict", ""),
        Setback::Returned | Setback::RecordChanged => ("salvor status", ""),
        Setback::Cancelled => (again, ""),
    };
    step(command, &target, first)
}
