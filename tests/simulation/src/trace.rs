//! What the adapter says before it sends something that changes a gateway: who sends, and under which fence token.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// The adapter's module that clears permits.
pub(crate) const TARGET: &str = "salvor_gateway_adapter::permit";

/// One change about to be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// The record.
    pub sandbox: String,
    /// Under which lease.
    pub fence_token: i64,
    /// By which recovery.
    pub recovery: String,
    /// What.
    pub effect: String,
}

/// Keeps them, in order. Clones share one list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ears(Arc<Mutex<Vec<Sent>>>);

impl Ears {
    pub(crate) fn heard(&self) -> Vec<Sent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<S: Subscriber> Layer<S> for Ears {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut sent = Sent::default();
        event.record(&mut sent);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
    }
}

impl Visit for Sent {
    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name() == "fence_token" {
            self.fence_token = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "recovery" => value.clone_into(&mut self.recovery),
            "effect" => value.clone_into(&mut self.effect),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "sandbox" {
            self.sandbox = format!("{value:?}");
        }
    }
}
