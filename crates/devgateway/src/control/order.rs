//! What the control endpoint can be told to do; each order is a method of [`Control`].

use serde::{Deserialize, Serialize};

use super::{Control, Error, Restart};
use crate::core::Health;
use crate::faults::Fault;

/// An order to a gateway in another process; the body of a request to the control endpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Order {
    /// [`Control::lose`]
    Lose {
        /// The sandbox.
        sandbox: String,
    },
    /// [`Control::kill`]
    Kill {
        /// The sandbox.
        sandbox: String,
    },
    /// [`Control::stop_container`]
    StopContainer {
        /// The sandbox.
        sandbox: String,
    },
    /// [`Control::main_exit`]
    MainExit {
        /// The sandbox.
        sandbox: String,
        /// The exit code.
        code: i32,
    },
    /// [`Control::pause`]
    Pause {
        /// The sandbox.
        sandbox: String,
    },
    /// [`Control::unpause`]
    Unpause {
        /// The sandbox.
        sandbox: String,
    },
    /// [`Control::flap`]
    Flap {
        /// The sandbox.
        sandbox: String,
    },
    /// [`Control::fail`]
    Fail {
        /// The sandbox.
        sandbox: String,
        /// The condition's reason.
        reason: String,
        /// The condition's message.
        #[serde(default)]
        message: String,
    },
    /// [`Control::orphan`]
    Orphan {
        /// The sandbox.
        sandbox: String,
    },
    /// [`Control::replace`]
    Replace {
        /// The sandbox.
        sandbox: String,
    },
    /// [`Control::restart`]
    Restart {
        /// How.
        how: Restart,
    },
    /// [`Control::sweep`]
    Sweep,
    /// [`Control::fault`]
    Fault {
        /// The fault.
        fault: Fault,
    },
    /// [`Control::clear_faults`]
    ClearFaults,
    /// [`Control::set_version`]
    SetVersion {
        /// The version to report.
        version: String,
    },
    /// [`Control::set_health`]
    SetHealth {
        /// The health to report.
        health: Health,
    },
    /// [`Control::clear_calls`]
    ClearCalls,
}

impl Control {
    /// Carries an order out. Answers the id of the sandbox that was orphaned, or of the stranger that was made.
    ///
    /// # Errors
    /// As the order's own method.
    pub async fn carry_out(&self, order: Order) -> Result<Option<String>, Error> {
        match order {
            Order::Lose { sandbox } => self.lose(&sandbox).await?,
            Order::Kill { sandbox } => self.kill(&sandbox).await?,
            Order::StopContainer { sandbox } => self.stop_container(&sandbox).await?,
            Order::MainExit { sandbox, code } => self.main_exit(&sandbox, code).await?,
            Order::Pause { sandbox } => self.pause(&sandbox).await?,
            Order::Unpause { sandbox } => self.unpause(&sandbox).await?,
            Order::Flap { sandbox } => self.flap(&sandbox)?,
            Order::Fail { sandbox, reason, message } => {
                self.fail(&sandbox, &reason, &message).await?;
            }
            Order::Orphan { sandbox } => return self.orphan(&sandbox).map(Some),
            Order::Replace { sandbox } => return self.replace(&sandbox).await.map(Some),
            Order::Restart { how } => self.restart(how).await?,
            Order::Sweep => self.sweep(),
            Order::Fault { fault } => self.fault(fault),
            Order::ClearFaults => self.clear_faults(),
            Order::SetVersion { version } => self.set_version(&version),
            Order::SetHealth { health } => self.set_health(health),
            Order::ClearCalls => self.clear_calls(),
        }
        Ok(None)
    }
}
