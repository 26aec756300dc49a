//! The two wires over one world: each module translates, and decides nothing.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use crate::calls::Intent;
use crate::core::Core;
use crate::exec::Events;

pub(crate) mod v0_0;
pub(crate) mod v0_1;

/// Inbound limit of every RPC, in bytes.
pub(crate) const MAX_INBOUND: usize = 1024 * 1024;
/// Credentials read back.
const REDACTED: &str = "REDACTED";
/// What the gateway says about its compute driver.
const DRIVER: (&str, &str) = ("docker", "development");
/// Input messages between the client and a command.
const QUEUED_INPUT: usize = 16;

type Reply<T> = Result<Response<T>, Status>;
type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The caller as `GetCurrentUser` answers it.
struct User {
    subject: &'static str,
    role: &'static str,
    provider: &'static str,
}

fn open<T>(request: Request<T>) -> (MetadataMap, T) {
    let (metadata, _, message) = request.into_parts();
    (metadata, message)
}

fn intent(method: &str) -> Intent {
    Intent { method: method.to_owned(), ..Intent::default() }
}

fn current_user(core: &Core) -> User {
    let auth = &core.config().auth;
    if auth.token().is_some() {
        User { subject: "development-user", role: "openshell-admin", provider: "oidc" }
    } else if auth.tls().is_some_and(|tls| tls.client_ca_pem.is_some()) {
        User { subject: "openshell-client", role: "openshell-user", provider: "mtls" }
    } else {
        User { subject: "local-dev", role: "openshell-admin", provider: "local_dev" }
    }
}

/// Exec events on the wire.
fn exec_stream<T: 'static>(
    core: &Arc<Core>,
    events: Events,
    convert: fn(crate::exec::Event) -> T,
) -> Streamed<T> {
    let dialect = core.config().dialect;
    Box::pin(
        ReceiverStream::new(events)
            .map(move |event| event.map(convert).map_err(|refusal| refusal.status(dialect))),
    )
}

/// Turns the client's input messages into pieces of stdin; its half-close ends them.
fn input_stream<T: Send + 'static>(
    mut messages: tonic::Streaming<T>,
    stdin: fn(T) -> Option<Vec<u8>>,
) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(QUEUED_INPUT);
    tokio::spawn(async move {
        while let Ok(Some(message)) = messages.message().await {
            if let Some(piece) = stdin(message)
                && sender.send(piece).await.is_err()
            {
                return;
            }
        }
    });
    receiver
}
