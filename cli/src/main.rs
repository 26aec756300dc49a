//! `salvor`: the command line.
//!
//! It is a client of the three services and nothing more: it decides nothing, keeps nothing, and says only what they
//! answered. `up` and `demo` run those same services inside this process.

mod app;
mod args;
mod client;
mod commands;
mod demo;
mod exit;
mod next_step;
mod output;
mod progress;
mod render;
mod resolve;
mod up;

use std::process::ExitCode;

fn main() -> ExitCode {
    app::run(std::env::args_os())
}
