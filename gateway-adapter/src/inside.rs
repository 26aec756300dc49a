//! What is asked of, and done to, the inside of a sandbox: posture and readiness.
//!
//! Invariant: only a READY incarnation whose id was just read is looked into, and the answer
//! counts only if it is still that incarnation. Deliberately absent: file contents.

use std::time::Duration;

use salvor_proto::Error;
use salvor_proto::gateway::v1::{
    Effect, Phase, SealedPathView, Unknown, UnknownReason,
    effect::{Cause, Outcome},
    sealed_path_view::State,
};
use salvor_proto::registry::v1::SealedPath;
use tokio::time::Instant;

use crate::classify::{Class, Method};
use crate::exec::{self, Job};
use crate::gateway::{Gateway, Healthy};
use crate::mutate::{self, applied, effect};
use crate::permit::Cleared;
use crate::policy::expect;
use crate::posture::{self, Findings};
use crate::vendor::{Incarnation, Row};

/// How much of a posture's output is read, in bytes: far more than a batch prints.
const POSTURE_OUTPUT: usize = 256 << 10;
/// How much of a readiness probe's output is shown, in bytes.
const READINESS_OUTPUT: usize = 1024;

/// How a readiness probe ended.
#[derive(Debug, Clone)]
pub(crate) struct Readiness {
    /// Its exit code, zero for ready.
    pub result: Result<i32, Unknown>,
    /// The end of what it printed.
    pub output: String,
    /// How long it took.
    pub duration: Duration,
}

// === impl Readiness ===

impl Readiness {
    /// It could not be tried.
    pub(crate) fn unknown(unknown: Unknown) -> Self {
        Self { result: Err(unknown), output: String::new(), duration: Duration::ZERO }
    }
}

/// Reads back every path. Reads only.
pub(crate) async fn verify_posture(
    gateway: &Gateway,
    incarnation: &Incarnation,
    paths: &[SealedPath],
) -> Result<Vec<SealedPathView>, Unknown> {
    let healthy = gateway.probe().await.found?;
    ready(gateway, &healthy, incarnation).await?;
    let mut views = Vec::with_capacity(paths.len());
    for batch in posture::batches(paths) {
        let findings = ask(gateway, &healthy, incarnation, batch, false).await;
        views.extend(findings.map_err(|ended| ended.unknown)?.paths);
    }
    ready(gateway, &healthy, incarnation).await?;
    Ok(views)
}

/// Takes the write permission from every path whose digest is the recorded one, and reads back.
///
/// # Errors
/// Refused here: a fence token that is no longer the newest.
pub(crate) async fn apply_posture(
    gateway: &Gateway,
    cleared: Cleared<'_>,
    live_id: &str,
    paths: &[SealedPath],
) -> Result<(Effect, Vec<SealedPathView>), Error> {
    let place = mutate::place(&cleared);
    let incarnation = Incarnation { place, id: live_id.to_owned() };
    let found = mutate::incarnation(gateway, Method::Exec, &incarnation.place, live_id).await;
    let (healthy, row, _) = match found {
        Ok(found) => found,
        Err(ended) => return Ok((ended, Vec::new())),
    };
    if row.phase != Phase::Ready {
        let detail = not_ready(gateway, &row);
        return Ok((effect(Outcome::NotApplied, Cause::WrongPhase, detail), Vec::new()));
    }
    let (mut views, mut changed) = (Vec::with_capacity(paths.len()), false);
    for batch in posture::batches(paths) {
        match cleared.still_allowed() {
            // Something was done already, so it cannot be refused any more.
            Err(error) if !views.is_empty() => {
                let detail = error.message();
                return Ok((effect(Outcome::MaybeApplied, Cause::GatewayFailed, detail), views));
            }
            newest => newest?,
        }
        match ask(gateway, &healthy, &incarnation, batch, true).await {
            Ok(findings) => {
                changed |= findings.changed;
                views.extend(findings.paths);
            }
            Err(ended) if changed => {
                let effect =
                    effect(Outcome::MaybeApplied, ended.effect.cause(), ended.effect.detail);
                return Ok((effect, views));
            }
            Err(ended) => return Ok((ended.effect, views)),
        }
    }
    Ok((judged(gateway, &views, changed), views))
}

/// Runs the record owner's probe.
pub(crate) async fn probe_readiness(
    gateway: &Gateway,
    incarnation: &Incarnation,
    arguments: Vec<String>,
    timeout: Duration,
) -> Readiness {
    let began = Instant::now();
    let mut output = String::new();
    let result = async {
        let healthy = gateway.probe().await.found?;
        ready(gateway, &healthy, incarnation).await?;
        let job = Job { arguments, timeout, keep: 4 * READINESS_OUTPUT };
        let finished = exec::run(gateway, &healthy, incarnation, job)
            .await
            .map_err(|failure| exec::unknown(&failure))?;
        ready(gateway, &healthy, incarnation).await?;
        let both = [&finished.stdout[..], b"\n", &finished.stderr].concat();
        output = exec::printable(both.trim_ascii(), READINESS_OUTPUT);
        Ok(finished.status)
    }
    .await;
    Readiness { result, output, duration: began.elapsed() }
}

/// A batch that could not be asked: as a read and as a mutation says it.
struct Ended {
    unknown: Unknown,
    effect: Effect,
}

async fn ask(
    gateway: &Gateway,
    healthy: &Healthy,
    incarnation: &Incarnation,
    batch: &[SealedPath],
    seal: bool,
) -> Result<Findings, Ended> {
    let arguments = posture::command(batch, seal);
    let job = Job { arguments, timeout: posture::TIMEOUT, keep: POSTURE_OUTPUT };
    match exec::run(gateway, healthy, incarnation, job).await {
        Ok(finished) if finished.status == 0 => Ok(posture::read(batch, &finished.stdout)),
        Ok(finished) => {
            let said = exec::printable(&finished.stderr, 256);
            let (name, status) = (gateway.name(), finished.status);
            let detail = format!("{name}: looking at sealed paths ended with {status}: {said}");
            Err(Ended {
                unknown: Unknown {
                    reason: UnknownReason::Unreadable.into(),
                    detail: detail.clone(),
                },
                effect: effect(Outcome::MaybeApplied, Cause::CommandFailed, detail),
            })
        }
        Err(failure) => {
            let effect = match failure.class {
                // It ran, or may have: only its answer is missing.
                Class::DeadlineExceeded | Class::Unreadable => {
                    effect(Outcome::MaybeApplied, Cause::CommandFailed, failure.detail.clone())
                }
                _ => failure.effect(),
            };
            Err(Ended { unknown: exec::unknown(&failure), effect })
        }
    }
}

fn judged(gateway: &Gateway, views: &[SealedPathView], changed: bool) -> Effect {
    let open: Vec<&SealedPathView> =
        views.iter().filter(|view| view.state() != State::Sealed).collect();
    let Some(first) = open.first() else {
        return applied();
    };
    let (name, count, all) = (gateway.name(), open.len(), views.len());
    let detail = format!(
        "{name}: {count} of {all} paths are not sealed, the first being {:?} ({:?})",
        first.path,
        first.state()
    );
    let outcome = if changed { Outcome::MaybeApplied } else { Outcome::NotApplied };
    effect(outcome, Cause::CommandFailed, detail)
}

async fn ready(
    gateway: &Gateway,
    healthy: &Healthy,
    incarnation: &Incarnation,
) -> Result<(), Unknown> {
    let row = gateway.get(healthy, &incarnation.place).await?;
    expect(gateway, &row, &incarnation.id)?;
    if row.phase == Phase::Ready {
        return Ok(());
    }
    let detail = not_ready(gateway, &row);
    Err(Unknown { reason: UnknownReason::Unavailable.into(), detail })
}

/// Says that nothing can be run.
pub(crate) fn not_ready(gateway: &Gateway, row: &Row) -> String {
    let (name, sandbox, phase) = (gateway.name(), &row.name, row.phase.as_str_name());
    format!("{name}: {sandbox} is in {phase} ({}), and nothing can be run in it", row.reason)
}
