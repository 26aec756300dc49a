//! What the control endpoint can be told to do; each order is a method of [`Control`].

use serde::{Deserialize, Serialize};

#[cfg(doc)]
use super::Control;
use super::Restart;
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
