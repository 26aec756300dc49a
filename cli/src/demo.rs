//! `salvor demo`: a sandbox is lost behind its gateway's back, and brought back from its record; then it is lost once more,
//! and brought back with what was in it.
//!
//! Everything in it is real: three services and a gateway over loopback sockets, real processes in the sandbox, and the same
//! calls that the other commands make. Only the waiting is shortened, and it says so. Invariant: it ends with 0 only if the
//! end state was looked at and found right.

mod story;

use std::time::Duration;

use salvor_gateway_adapter::{Reclaim, RepositoryArgs};
use salvor_runtime::Shutdown;
use serde_json::{Value, json};

use crate::args::DemoArgs;
use crate::client::chain;
use crate::exit::{Exit, Failure};
use crate::next_step::NextStep;
use crate::output::Output;
use crate::render::Tone;
use crate::up::stack::{DevGatewaySettings, Ports, Settings, Stack};
use story::{Act, Story, Told};

/// What is shortened: the windows over which absence and health must be seen.
const SETTLE: Duration = Duration::from_secs(1);
/// And a real gateway's phase timings, by this factor.
const TIME_SCALE: f64 = 0.2;
/// A demonstration that takes longer has failed.
const LIMIT: Duration = Duration::from_mins(2);

/// `salvor demo`.
pub(crate) async fn run(args: &DemoArgs, output: &Output) -> Result<Exit, Failure> {
    let shutdown = Shutdown::new();
    shutdown.on_signals().map_err(|error| Failure::internal(chain(&error)))?;
    let dir = tempfile::Builder::new()
        .prefix("salvor-demo-")
        .tempdir()
        .map_err(|error| Failure::internal(format!("no temporary directory: {error}")))?;
    let dialect = args.devgateway_dialect.into();
    let settings = Settings {
        data_dir: dir.path().to_owned(),
        ports: Ports::default(),
        devgateway: Some(DevGatewaySettings { port: 0, dialect, time_scale: TIME_SCALE }),
        repository: RepositoryArgs::default(),
        runtime: None,
        reclaim: Reclaim::default(),
        quick: Some(SETTLE),
    };
    let mut stack = Stack::start(settings).await?;
    let told = {
        let story = Story::new(&stack, dialect, output)?;
        tokio::select! {
            told = tokio::time::timeout(LIMIT, story.tell()) => told.unwrap_or_else(|_| Err(too_long())),
            failure = stack.ended() => Err(failure),
            () = shutdown.triggered() => Err(interrupted()),
        }
    };
    stack.stop().await;
    if let Err(error) = dir.close() {
        output.note(&format!("the temporary directory could not be removed: {error}"));
    }
    let told = told?;
    if output.is_json() {
        output.json(&summary(&told));
    }
    Ok(verdict(&told, output))
}

/// What programs read. The first act's fields are at the top, as they were when there was no second one.
fn summary(told: &Told) -> Value {
    let mut summary = act(&told.first);
    let mut second = act(&told.second);
    second["snapshot"] = json!(told.snapshot);
    summary["second_act"] = second;
    summary["verified"] = json!(problems(told).is_empty());
    summary["problems"] = json!(problems(told));
    summary["duration_ms"] = json!(u64::try_from(told.took.as_millis()).unwrap_or(u64::MAX));
    summary
}

fn act(act: &Act) -> Value {
    let decisions = act.decisions.iter().map(|decision| {
        json!({
            "guard": decision.guard,
            "result": last_word(decision.result().as_str_name()),
            "reason": decision.reason,
            "claim": decision.claim,
            "message": decision.message,
            "phase": decision.phase,
        })
    });
    let steps = act.recovery.steps.iter().map(|step| {
        json!({
            "step": step.step,
            "attempt": step.attempt,
            "outcome": step.outcome,
            "detail": step.detail,
        })
    });
    json!({
        "path": crate::render::words::saga(act.recovery.saga()),
        "outcome": after_state(act.recovery.state().as_str_name()),
        "trace_id": act.recovery.trace_id,
        "decisions": decisions.collect::<Vec<_>>(),
        "steps": steps.collect::<Vec<_>>(),
        "recovery": act.recovery.name,
        "sandbox": act.recovery.sandbox,
        "lost_id": act.lost_id,
        "live_id": act.live_id,
    })
}

/// What is not as it should be, of both acts.
fn problems(told: &Told) -> Vec<&str> {
    told.first.problems.iter().chain(&told.second.problems).map(String::as_str).collect()
}

fn verdict(told: &Told, output: &Output) -> Exit {
    let problems = problems(told);
    if problems.is_empty() {
        let look = output.look();
        output.text(&format!(
            "\n{} lost twice and live as {} with the file that was in it, in {:.1} s. Nothing of it is left on this \
             machine.",
            look.paint(Tone::Good, "verified:"),
            told.second.live_id,
            told.took.as_secs_f64()
        ));
        return Exit::Done;
    }
    let failure = Failure::new(
        Exit::Degraded,
        "DEMO_NOT_VERIFIED",
        format!("the end state is not right: {}", problems.join("; ")),
    );
    output.note(&crate::render::failure(&failure, output.err_look()));
    failure.exit
}

fn last_word(name: &str) -> String {
    name.rsplit('_').next().unwrap_or(name).to_lowercase()
}

fn after_state(name: &str) -> String {
    name.strip_prefix("STATE_").unwrap_or(name).to_lowercase()
}

fn too_long() -> Failure {
    let message = format!("the demonstration was not over after {} s", LIMIT.as_secs());
    Failure::new(Exit::Waiting, "DEMO_TOO_LONG", message).next(NextStep::DemoWithLog.of(""))
}

fn interrupted() -> Failure {
    let message = "interrupted; everything was ended and removed";
    Failure::new(Exit::Waiting, "INTERRUPTED", message).next(NextStep::Demo.of(""))
}

#[cfg(test)]
mod tests {
    use salvor_proto::recovery::v1::{Decision, Recovery, Saga, decision, recovery::State};

    use super::*;

    #[test]
    fn programs_find_path_outcome_trace_decisions_and_steps() {
        let first = Act {
            recovery: Recovery {
                saga: Saga::StaleRecovery.into(),
                state: State::RolledBack.into(),
                trace_id: "t".into(),
                ..Recovery::default()
            },
            decisions: vec![Decision {
                guard: "sandbox_is_absent".into(),
                claim: "it is gone".into(),
                result: decision::Result::Allow.into(),
                ..Decision::default()
            }],
            lost_id: "a".into(),
            live_id: "b".into(),
            problems: Vec::new(),
        };
        let second = Act { problems: vec!["not live".into()], ..Act::default() };
        let took = Duration::from_millis(1_500);
        let told = Told { first, second, snapshot: "s".into(), took };
        let json = summary(&told);
        assert_eq!(json["path"], "stale_recovery");
        assert_eq!(json["outcome"], "rolled_back");
        assert_eq!(json["trace_id"], "t");
        assert_eq!(json["decisions"][0]["result"], "allow");
        assert_eq!(json["decisions"][0]["claim"], "it is gone");
        assert_eq!(json["steps"], json!([]));
        assert_eq!(json["second_act"]["snapshot"], "s");
        assert_eq!(json["verified"], false, "a problem of either act is one of the whole");
        assert_eq!(json["problems"], json!(["not live"]));
    }
}
