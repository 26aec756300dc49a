//! Misbehaviour on demand: which calls it hits, what it does, and how often.

use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tonic::Code;

use crate::calls::Intent;
use crate::refusal::Refusal;
use crate::world::lock;

/// One misbehaviour. Clear it, or bound it with `times`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fault {
    /// The method's short name, like `GetSandbox`. `None`: every method.
    #[serde(default)]
    pub method: Option<String>,
    /// The name (or id, where the call goes by id) of the sandbox. `None`: every one.
    #[serde(default)]
    pub sandbox: Option<String>,
    /// How many calls it hits. `None`: until cleared.
    #[serde(default)]
    pub times: Option<u32>,
    /// What it does.
    pub effect: Effect,
}

/// What a fault does to a call that it hits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Effect {
    /// Fail before anything happens.
    Fail {
        /// A gRPC code, as a number.
        code: i32,
        /// The status message.
        message: String,
    },
    /// Serve it this much later (not scaled).
    Delay {
        /// Milliseconds.
        millis: u64,
    },
    /// Serve it once the faults are cleared.
    Hold,
    /// Another client replaces the sandbox by a stranger of its name right before it is served.
    ReplaceFirst,
    /// Never answer and do nothing: the client's deadline decides.
    Drop,
    /// Do it, then answer UNAVAILABLE.
    LoseReply,
    /// Do it, then never answer: the client's deadline decides.
    HangAfter,
    /// Do it twice, as what stands between and sends again does, and answer as the second time. For calls that are no streams,
    /// whichever sandbox they are about.
    Twice,
    /// Leave the sandbox out of lists; other reads still find it.
    OmitFromList,
    /// List the sandbox twice.
    ListTwice,
    /// Answer without the sandbox's spec.
    OmitSpec,
    /// Report exit 1 for a command that exited 0.
    MisreportExit,
    /// Close the relay of an interactive exec once so much of its input has reached the command.
    CutInput {
        /// Text that the command's words hold.
        command: String,
        /// Bytes.
        after: u64,
    },
}

/// The faults that are set.
#[derive(Default)]
pub(crate) struct Faults {
    set: Mutex<Vec<Fault>>,
    /// Changes when they are cleared, which lets go of the calls that are held.
    cleared: watch::Sender<()>,
}

/// What the faults make of one call.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) delay: Duration,
    pub(crate) held: Option<Held>,
    pub(crate) replace: bool,
    pub(crate) failure: Option<Failure>,
}

/// A call that waits for the faults to be cleared.
#[derive(Debug)]
pub(crate) struct Held(watch::Receiver<()>);

/// How a call does not come to its answer.
#[derive(Debug)]
pub(crate) enum Failure {
    Refused(Refusal),
    Dropped,
    ReplyLost,
    HungAfter,
}

// === impl Fault ===

impl Fault {
    /// This effect on every call of `method`, until cleared.
    pub fn on(method: &str, effect: Effect) -> Self {
        Self { method: Some(method.to_owned()), sandbox: None, times: None, effect }
    }

    /// Every call of `method` fails with `code` and `message` before anything happens.
    pub fn fail(method: &str, code: Code, message: &str) -> Self {
        Self::on(method, Effect::Fail { code: code as i32, message: message.to_owned() })
    }

    /// Only for this sandbox, by the name or id that the call uses.
    #[must_use]
    pub fn for_sandbox(self, sandbox: &str) -> Self {
        Self { sandbox: Some(sandbox.to_owned()), ..self }
    }

    /// Only the next `times` calls.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    fn hits(&self, method: &str, sandbox: &[&str]) -> bool {
        self.method.as_deref().is_none_or(|wanted| wanted == method)
            && self.sandbox.as_deref().is_none_or(|wanted| sandbox.contains(&wanted))
    }
}

// === impl Effect ===

impl Effect {
    /// Effects on data apply row by row, byte by byte or to the request as it comes, not to what is called for.
    fn is_about_data(&self) -> bool {
        match self {
            Self::Fail { .. }
            | Self::Delay { .. }
            | Self::Hold
            | Self::ReplaceFirst
            | Self::Drop
            | Self::LoseReply
            | Self::HangAfter => false,
            // Before it is known whom a call is about.
            Self::Twice
            | Self::OmitFromList
            | Self::ListTwice
            | Self::OmitSpec
            | Self::MisreportExit
            | Self::CutInput { .. } => true,
        }
    }

    /// What is no failure makes a call later, or adds to it.
    fn is_failure(&self) -> bool {
        !matches!(self, Self::Delay { .. } | Self::Hold | Self::ReplaceFirst)
    }
}

// === impl Faults ===

impl Faults {
    pub(crate) fn add(&self, fault: Fault) {
        lock(&self.set).push(fault);
    }

    pub(crate) fn clear(&self) {
        let mut set = lock(&self.set);
        set.clear();
        self.cleared.send_replace(());
    }

    pub(crate) fn all(&self) -> Vec<Fault> {
        lock(&self.set).clone()
    }

    /// Takes every fault that hits this call as a whole.
    pub(crate) fn plan(&self, intent: &Intent) -> Plan {
        let mut plan = Plan::default();
        let sandbox = [intent.name.as_str(), intent.id.as_str()];
        let mut set = lock(&self.set);
        for fault in set.iter_mut() {
            if fault.effect.is_about_data() || !fault.hits(&intent.method, &sandbox) {
                continue;
            }
            // One failure at a time, so that `times` counts calls.
            if plan.failure.is_some() && fault.effect.is_failure() {
                continue;
            }
            fault.use_up();
            plan.add(&fault.effect);
            if fault.effect == Effect::Hold {
                plan.held = Some(Held(self.cleared.subscribe()));
            }
        }
        set.retain(|fault| fault.times != Some(0));
        plan
    }

    /// Whether a fault on data hits this sandbox in an answer of this method.
    pub(crate) fn data(&self, effect: &Effect, method: &str, name: &str, id: &str) -> bool {
        let mut set = lock(&self.set);
        let found = set.iter_mut().find(|f| f.effect == *effect && f.hits(method, &[name, id]));
        let hit = found.map(Fault::use_up).is_some();
        set.retain(|fault| fault.times != Some(0));
        hit
    }

    /// Whether this request is to be served twice.
    pub(crate) fn twice(&self, method: &str) -> bool {
        self.data(&Effect::Twice, method, "", "")
    }

    /// After how much of its input a fault cuts an interactive exec of this sandbox, named or by its id.
    pub(crate) fn cut(&self, sandbox: &str, command: &[String]) -> Option<u64> {
        let mut set = lock(&self.set);
        let hit = set.iter_mut().find_map(|fault| match &fault.effect {
            Effect::CutInput { command: part, after }
                if fault.hits("ExecSandboxInteractive", &[sandbox])
                    && command.iter().any(|word| word.contains(part)) =>
            {
                let after = *after;
                fault.use_up();
                Some(after)
            }
            _ => None,
        });
        set.retain(|fault| fault.times != Some(0));
        hit
    }
}

impl Fault {
    fn use_up(&mut self) {
        self.times = self.times.map(|times| times.saturating_sub(1));
    }
}

// === impl Plan ===

impl Plan {
    fn add(&mut self, effect: &Effect) {
        match effect {
            Effect::Fail { code, message } => {
                let refusal = Refusal::new(Code::from_i32(*code), message.clone());
                self.failure = Some(Failure::Refused(refusal));
            }
            Effect::Delay { millis } => self.delay += Duration::from_millis(*millis),
            Effect::ReplaceFirst => self.replace = true,
            Effect::Drop => self.failure = Some(Failure::Dropped),
            Effect::LoseReply => self.failure = Some(Failure::ReplyLost),
            Effect::HangAfter => self.failure = Some(Failure::HungAfter),
            Effect::Hold
            | Effect::Twice
            | Effect::OmitFromList
            | Effect::ListTwice
            | Effect::OmitSpec
            | Effect::MisreportExit
            | Effect::CutInput { .. } => {}
        }
    }
}

// === impl Held ===

impl Held {
    /// Resolves once the faults have been cleared, or can be no more.
    pub(crate) async fn released(mut self) {
        // Nobody is left who could clear them: let go, too.
        let _ = self.0.changed().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    fn intent(method: &'static str, name: &str) -> Intent {
        Intent { method: method.to_owned(), name: name.to_owned(), ..Intent::default() }
    }

    #[test]
    fn a_fault_hits_its_method_and_sandbox_as_often_as_told() {
        let faults = Faults::default();
        faults.add(Fault::fail("GetSandbox", Code::Internal, "x").for_sandbox("a").times(2));
        assert!(faults.plan(&intent("GetSandbox", "b")).failure.is_none());
        assert!(faults.plan(&intent("StopSandbox", "a")).failure.is_none());
        assert!(faults.plan(&intent("GetSandbox", "a")).failure.is_some());
        assert!(faults.plan(&intent("GetSandbox", "a")).failure.is_some());
        assert!(faults.plan(&intent("GetSandbox", "a")).failure.is_none());
        assert!(faults.all().is_empty());
    }

    #[tokio::test]
    async fn what_is_held_goes_on_when_the_faults_are_cleared() {
        let faults = Faults::default();
        faults.add(Fault::on("CreateSandbox", Effect::Hold).times(1));
        let held = faults.plan(&intent("CreateSandbox", "a")).held.unwrap();
        assert!(faults.all().is_empty());
        assert!(faults.plan(&intent("CreateSandbox", "a")).held.is_none());
        let mut released = Box::pin(held.released());
        assert!(timeout(Duration::ZERO, &mut released).await.is_err());
        faults.clear();
        released.await;
    }

    #[test]
    fn faults_on_data_are_asked_for_row_by_row() {
        let faults = Faults::default();
        faults.add(Fault::on("ListSandboxes", Effect::OmitFromList).for_sandbox("a"));
        assert!(faults.data(&Effect::OmitFromList, "ListSandboxes", "a", "1"));
        assert!(!faults.data(&Effect::OmitFromList, "ListSandboxes", "b", "2"));
        assert!(!faults.data(&Effect::OmitSpec, "GetSandbox", "a", "1"));
        assert!(faults.plan(&intent("ListSandboxes", "")).failure.is_none());
    }
}
