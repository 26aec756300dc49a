//! What both dialects share around the world: faults, the call log, and the gateway's moods.
//!
//! Every RPC passes through [`Core::serve`] once. Its effect runs in a task of its own, so that
//! a client that goes away does not undo what the gateway has begun, as with a real one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tonic::metadata::MetadataMap;
use tonic::{Code, Response, Status};

use crate::calls::{Calls, Intent};
use crate::config::Config;
use crate::faults::{Effect, Failure, Faults, Plan};
use crate::refusal::{Outcome, Refusal};
use crate::world::store::Sandbox;
use crate::world::{Target, World, lock};

/// The shared middle of a gateway.
pub(crate) struct Core {
    pub(crate) world: Arc<World>,
    pub(crate) faults: Faults,
    pub(crate) calls: Calls,
    mood: Mutex<Mood>,
}

/// What can change about the gateway as a whole.
struct Mood {
    version: String,
    health: Health,
    limit: Option<Window>,
}

/// A gateway's own opinion of itself; the numbers are those of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// All is well.
    Healthy = 1,
    /// It serves, with trouble.
    Degraded = 2,
    /// It answers that it should not be used.
    Unhealthy = 3,
}

/// One fixed window for the whole gateway, as the vendor's limiter is.
struct Window {
    requests: usize,
    length: Duration,
    seen: VecDeque<Instant>,
}

/// A sandbox as it is answered: a fault may leave the spec out.
pub(crate) struct View {
    pub(crate) row: Sandbox,
    pub(crate) spec: Option<Vec<u8>>,
}

// === impl Core ===

impl Core {
    pub(crate) fn new(world: Arc<World>) -> Self {
        let config = &world.config;
        let version = config.version.clone();
        let mood = Mood {
            version: version.unwrap_or_else(|| config.dialect.default_version().to_owned()),
            health: Health::Healthy,
            limit: None,
        };
        Self { faults: Faults::default(), calls: Calls::new(), mood: Mutex::new(mood), world }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.world.config
    }

    pub(crate) fn version(&self) -> String {
        lock(&self.mood).version.clone()
    }

    pub(crate) fn set_version(&self, version: String) {
        lock(&self.mood).version = version;
    }

    pub(crate) fn health(&self) -> Health {
        lock(&self.mood).health
    }

    pub(crate) fn set_health(&self, health: Health) {
        lock(&self.mood).health = health;
    }

    /// At most `requests` calls per `length`, all callers together; `None` lifts the limit.
    pub(crate) fn set_rate_limit(&self, limit: Option<(usize, Duration)>) {
        lock(&self.mood).limit =
            limit.map(|(requests, length)| Window { requests, length, seen: VecDeque::new() });
    }

    /// Counts one call against the limit.
    pub(crate) fn check_rate(&self) -> Outcome<()> {
        let mut mood = lock(&self.mood);
        let Some(window) = &mut mood.limit else { return Ok(()) };
        let now = Instant::now();
        while window.seen.front().is_some_and(|at| now.duration_since(*at) >= window.length) {
            window.seen.pop_front();
        }
        if window.seen.len() >= window.requests {
            return Err(Refusal::new(Code::ResourceExhausted, "gRPC rate limit exceeded"));
        }
        window.seen.push_back(now);
        Ok(())
    }

    /// Serves one call: logs it, lets faults have their way, and runs its effect to the end
    /// even if the client goes away.
    pub(crate) async fn serve<T: Send + 'static>(
        self: &Arc<Self>,
        intent: Intent,
        metadata: &MetadataMap,
        effect: impl Future<Output = Outcome<T>> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        let plan = self.faults.plan(&intent);
        let target =
            Target::Name { workspace: intent.workspace.clone(), name: intent.name.clone() };
        let seq = self.calls.arrived(intent, metadata);
        if matches!(plan.failure, Some(Failure::Dropped)) {
            return std::future::pending().await;
        }
        let hang = matches!(plan.failure, Some(Failure::HungAfter));
        let core = Arc::clone(self);
        let work = tokio::spawn(async move {
            let result = async {
                if plan.replace {
                    core.world.replace(&target).await?;
                }
                run(plan, effect).await
            };
            let result = result.await;
            let outcome = result.as_ref().map_or_else(|refusal| refusal.code, |_| Code::Ok);
            if !hang {
                core.calls.answered(seq, outcome);
            }
            result
        });
        let result = work.await.unwrap_or_else(|error| {
            Err(Refusal::new(Code::Internal, format!("handler failed: {error}")))
        });
        if hang {
            return std::future::pending().await;
        }
        result.map(Response::new).map_err(|refusal| refusal.status(self.config().dialect))
    }

    /// A sandbox as `method` answers it.
    pub(crate) fn view(&self, method: &str, row: Sandbox) -> View {
        let hidden = self.faults.data(&Effect::OmitSpec, method, &row.name, &row.id);
        View { spec: (!hidden).then(|| row.spec.clone()), row }
    }

    /// A list as it is answered: rows may be missing or doubled by a fault.
    pub(crate) fn view_list(&self, rows: Vec<Sandbox>) -> Vec<View> {
        let method = "ListSandboxes";
        let mut views = Vec::with_capacity(rows.len());
        for row in rows {
            let hit = |effect| self.faults.data(&effect, method, &row.name, &row.id);
            if hit(Effect::OmitFromList) {
                continue;
            }
            if hit(Effect::ListTwice) {
                views.push(self.view(method, row.clone()));
            }
            views.push(self.view(method, row));
        }
        views
    }
}

async fn run<T>(plan: Plan, effect: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    tokio::time::sleep(plan.delay).await;
    if let Some(held) = plan.held {
        held.released().await;
    }
    match plan.failure {
        Some(Failure::Refused(refusal)) => Err(refusal),
        Some(Failure::ReplyLost) => {
            drop(effect.await);
            Err(Refusal::new(Code::Unavailable, "transport is closing"))
        }
        Some(Failure::Dropped | Failure::HungAfter) | None => effect.await,
    }
}
