//! Checks and generators of this repository: `cargo run -p xtask -- docs` and `cargo run -p xtask -- tidy`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

mod docs;
mod tidy;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// Checks and generators of this repository
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Write the generated documents
    Docs {
        /// Only say which of them are out of date
        #[arg(long)]
        check: bool,
    },
    /// Check the layout: files, dependencies, documents, error reasons
    Tidy,
}

fn main() -> ExitCode {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let complaints = match Args::parse().task {
        Task::Docs { check } => docs::run(&root, check),
        Task::Tidy => tidy::run(&root),
    };
    match complaints {
        Ok(complaints) if complaints.is_empty() => {
            println!("in order");
            ExitCode::SUCCESS
        }
        Ok(complaints) => {
            for complaint in complaints {
                eprintln!("{complaint}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
