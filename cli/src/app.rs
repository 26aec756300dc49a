//! From what was typed to an exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, error::ErrorKind};
use salvor_runtime::telemetry;

use crate::args::{Cli, Color, Command, Format};
use crate::client::chain;
use crate::commands;
use crate::exit::{Exit, Failure};
use crate::next_step::NextStep;
use crate::output::Output;

/// Runs one command line.
pub(crate) fn run(typed: impl Iterator<Item = OsString>) -> ExitCode {
    let typed: Vec<OsString> = typed.collect();
    let cli = match Cli::try_parse_from(&typed) {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error, &typed).into(),
    };
    let output = Output::new(cli.global.output, cli.global.color);
    match start(cli, &output) {
        Ok(exit) => exit,
        Err(failure) => {
            output.failure(&failure);
            failure.exit
        }
    }
    .into()
}

fn start(cli: Cli, output: &Output) -> Result<Exit, Failure> {
    if let Command::Completions { shell } = cli.command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "salvor", &mut script);
        output.raw(&String::from_utf8_lossy(&script));
        return Ok(Exit::Done);
    }
    let filter = if matches!(cli.command, Command::Up(_)) { "info" } else { "off" };
    let telemetry = telemetry::init(&cli.global.telemetry(filter))
        .map_err(|error| Failure::usage("BAD_TELEMETRY_OPTIONS", chain(&error)))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal(format!("cannot start the async runtime: {error}")))?;
    let ended = runtime.block_on(commands::run(cli, output));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    telemetry.shutdown();
    ended
}

/// Help and version are answers; everything else is a failure, in JSON too if that was asked for.
fn not_understood(error: &clap::Error, typed: &[OsString]) -> Exit {
    // Printing fails only if nobody reads.
    let _ = error.print();
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return Exit::Done;
    }
    if wants_json(typed) {
        let text = error.render().to_string();
        let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        let failure = Failure::usage("USAGE", first).next(NextStep::Help.of(""));
        Output::new(Format::Json, Color::Never).json(&failure.json());
    }
    Exit::Usage
}

fn wants_json(typed: &[OsString]) -> bool {
    let words: Vec<&str> = typed.iter().filter_map(|word| word.to_str()).collect();
    let spelled = words.windows(2).any(|pair| matches!(pair, ["--output" | "-o", "json"]));
    spelled
        || words.iter().any(|word| matches!(*word, "--output=json" | "-ojson" | "-o=json"))
        || std::env::var("SALVOR_OUTPUT").is_ok_and(|format| format == "json")
}
