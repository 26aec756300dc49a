//! T16 to T18, T22: the orchestrator as a real process, killed with SIGKILL at every write to its journal and in the middle
//! of its effects. Whenever it was, a new process on the same journal ends with one effect, one sandbox and the right record.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that fails, fails"
)]

mod appends;
mod disk;
mod effects;
mod ended;
mod golden;
mod process;
mod quiet;
mod replicas;
mod retired;
mod scene;
mod snapshots;
mod stopped;
mod verify;
