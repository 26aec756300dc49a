//! The client of a world: it sets everything up, asks for things, and in the end looks at what it came to.

mod asking;
mod looking;
mod preparing;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use salvor_devgateway::user::User;
use salvor_proto::recovery::v1::recovery_service_client::RecoveryServiceClient;
use salvor_proto::registry::v1::registry_service_client::RegistryServiceClient;
use salvor_runtime::TracedChannel;
use salvor_runtime::channel::connect_lazy;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::history::Seen;
use crate::hosts::{self, Ended, endpoint, port};
use crate::network::network;
use crate::script::{Ask, ORCHESTRATORS, Script};
use crate::world::{Phase, Stage};

/// What the client has seen, once it has.
pub(crate) type Found = Arc<Mutex<Option<Seen>>>;

/// The gateway's name in the registry.
pub(crate) const GATEWAY: &str = "gateways/lab";
/// Between two looks at something that is waited for.
const POLL: Duration = Duration::from_millis(250);
/// Of one call.
const CALL: Duration = Duration::from_secs(10);

/// Whom the client calls.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    stage: Arc<Stage>,
    registry: RegistryServiceClient<TracedChannel>,
    recovery: Vec<RecoveryServiceClient<TracedChannel>>,
    user: User,
}

/// Everything that the client does.
pub(crate) async fn play(
    stage: Arc<Stage>,
    script: Script,
    mut asks: mpsc::UnboundedReceiver<Ask>,
    found: Found,
) -> Ended {
    let client = Client::new(Arc::clone(&stage), &script)?;
    let before = client.prepare(&script).await?;
    let mut phase = stage.phase.subscribe();
    stage.phase.send_replace(Phase::Trouble);
    let calm = async {
        // The sender lives as long as the stage.
        let _ = phase.wait_for(|phase| *phase == Phase::Calm).await;
    };
    tokio::pin!(calm);
    let mut asking = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(ask) = asks.recv() => {
                let client = client.clone();
                asking.spawn(async move { client.ask(ask).await });
            }
            () = &mut calm => break,
        }
    }
    // What is asked for after the last look would be missed.
    while asking.join_next().await.is_some() {}
    let seen = client.look_at_the_end(&script, before).await?;
    *found.lock().map_err(|_| "nobody else has it")? = Some(seen);
    Ok(())
}

impl Client {
    fn new(stage: Arc<Stage>, script: &Script) -> Result<Self> {
        let channel = |host: &str, port| connect_lazy(&endpoint(host, port).with_timeout(CALL));
        let recovery = (1..=ORCHESTRATORS).map(|index| {
            let channel = channel(&format!("orchestrator-{index}"), port::ORCHESTRATOR)?;
            Ok(RecoveryServiceClient::new(channel))
        });
        let uri = format!("http://gateway:{}", port::GATEWAY);
        Ok(Self {
            stage,
            registry: RegistryServiceClient::new(connect_lazy(&hosts::registry_endpoint())?),
            recovery: recovery.collect::<Result<_>>()?,
            user: User::over(&network(), &uri, script.dialect).context("the gateway's address")?,
        })
    }
}

/// The full name of a sandbox.
pub(crate) fn record_name(sandbox: &str) -> String {
    format!("{GATEWAY}/workspaces/default/sandboxes/{sandbox}")
}

/// Tries until it works. What never works is found out by the world's own limit.
async fn until<T, F>(mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    loop {
        if let Some(found) = attempt().await {
            return found;
        }
        tokio::time::sleep(POLL).await;
    }
}
