//! A sandbox's phase and its one condition, with the reasons a real gateway gives.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The vendor's phases; the numbers are those of the wire in both dialects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The container, or the session to it, is not up yet. Not a loss.
    Provisioning = 1,
    /// The supervisor session to this gateway is live.
    Ready = 2,
    /// Terminal for this id, but for the reasons the 0.1 dialect can start again.
    Error = 3,
    /// Being removed; the name is still taken.
    Deleting = 4,
    /// The driver cannot tell.
    Unknown = 5,
    /// On the way to stopped.
    Stopping = 6,
    /// Stopped; the filesystem is kept.
    Stopped = 7,
    /// On the way back from stopped.
    Starting = 8,
}

/// The condition of type `Ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Condition {
    pub(crate) ready: bool,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) at_ms: i64,
}

/// A phase with the reason and the message it is reported with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) phase: Phase,
    pub(crate) reason: &'static str,
    pub(crate) message: &'static str,
}

macro_rules! shown {
    ($($(#[$doc:meta])* $name:ident = $phase:ident, $reason:literal, $message:literal;)*) => {
        $($(#[$doc])* pub(crate) const $name: Shown =
            Shown { phase: Phase::$phase, reason: $reason, message: $message };)*
    };
}

shown! {
    STARTING_CONTAINER = Provisioning, "Starting", "Docker container is starting";
    RESTARTING = Starting, "Starting", "Docker container is starting";
    WAITING_FOR_SUPERVISOR = Provisioning, "SupervisorNotConnected",
        "Backend ready; waiting for supervisor session";
    READY = Ready, "DependenciesReady", "Supervisor session connected";
    DISCONNECTED = Provisioning, "DependenciesNotReady", "Supervisor session disconnected";
    STOPPING = Stopping, "Stopping", "Sandbox is stopping";
    STOPPED = Stopped, "Stopped", "Sandbox is stopped";
    DELETING = Deleting, "Deleting", "Sandbox is being deleted";
    CONTAINER_EXITED = Error, "ContainerExited", "Docker container exited";
    CONTAINER_PAUSED = Error, "ContainerPaused", "Docker container is paused";
    MAIN_PROCESS_EXITED = Error, "MainProcessExited", "Sandbox main process exited";
    IMAGE_PULL_FAILED = Error, "ImagePullFailed", "Docker image could not be pulled";
    BACKEND_MISSING = Error, "BackendResourceMissing",
        "Sandbox compute resource disappeared while the gateway was offline";
    COMPUTE_MISSING = Error, "ComputeResourceMissing", "Sandbox compute resource is missing";
}

/// Errors after which the 0.1 dialect may start the same sandbox again.
const STARTABLE: [&str; 2] = ["GatewayUnreachable", "ContainerExited"];

/// Whether the 0.1 dialect starts a sandbox that shows this error.
pub(crate) fn startable(reason: &str) -> bool {
    STARTABLE.contains(&reason)
}

// === impl Phase ===

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
