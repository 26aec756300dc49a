//! One module per group of commands: resolve, call, show, and say how it ended.

mod adopt;
mod confirm;
mod default;
mod destroy;
pub(crate) mod gateways;
mod rebuild;
mod recover;
pub(crate) mod recoveries;
pub(crate) mod sandbox;
pub(crate) mod snapshot;
mod watch;
mod work;

use salvor_proto::recovery::v1::ListGuardsRequest;

use crate::args::{Cli, Command};
use crate::client::Clients;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::render::{Look, decision};
use crate::{demo, up};

/// Runs one command.
pub(crate) async fn run(cli: Cli, output: &Output) -> Result<Exit, Failure> {
    let clients = Clients::new(&cli.global);
    match cli.command {
        Command::Up(args) => up::run(&args, output).await,
        Command::Demo(args) => demo::run(&args, output).await,
        Command::Adopt(args) => adopt::run(&clients, args, output).await,
        Command::List(args) => sandbox::list(&clients, &args, output).await,
        Command::Status(target) => sandbox::status(&clients, &target, output).await,
        Command::Plan(args) => recover::plan(&clients, &args, output).await,
        Command::Recover(args) => recover::run(&clients, &args, output).await,
        Command::Rebuild(args) => rebuild::run(&clients, &args, output).await,
        Command::Snapshot(command) => snapshot::run(&clients, command, output).await,
        Command::Connect(target) => sandbox::connect(&clients, &target, output).await,
        Command::Destroy(args) => destroy::run(&clients, &args, output).await,
        Command::Verdict(target) => sandbox::verdict(&clients, &target, output).await,
        Command::Decisions(args) => recoveries::decisions(&clients, &args, output).await,
        Command::Watch(args) => watch::run(&clients, &args, output).await,
        Command::Recoveries(command) => recoveries::run(&clients, &command, output).await,
        Command::Gateways(command) => gateways::run(&clients, command, output).await,
        Command::Default(command) => default::run(&clients, &command, output).await,
        Command::Guards => guards(&clients, output).await,
        Command::Completions { .. } => Err(Failure::internal("completions need no service")),
    }
}

async fn guards(clients: &Clients, output: &Output) -> Result<Exit, Failure> {
    let answer = clients.recovery()?.list_guards(ListGuardsRequest {}).await?.into_inner();
    output.message(&answer, |answer, look: Look| decision::guards(&answer.guards, look))?;
    Ok(Exit::Done)
}

/// A fresh id for one mutation.
fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// How many to ask for next, of at most `limit` in all and `most` at once; none once all are held.
fn page_size(limit: u32, held: usize, most: u32) -> Option<i32> {
    let held = u32::try_from(held).unwrap_or(u32::MAX);
    let wanted = limit.saturating_sub(held).min(most);
    i32::try_from(wanted).ok().filter(|wanted| *wanted > 0)
}
