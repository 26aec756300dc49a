//! A start that does not bring a sandbox back goes on to a rebuild, where the caller left the path to the evidence.
//!
//! The rebuild is a recovery of its own, with evidence taken anew; guards may refuse it, which is kept like every refusal. It is
//! known by the request id that follows from the first one's name, and nothing else links the two. If the process dies between
//! them, nothing is lost but the going on by itself.

use salvor_core::{
    Request, SagaKind,
    evidence::Asked,
    id::RecoveryName,
    saga::{Ending, Setback},
};
use salvor_proto::Error;
use salvor_runtime::database::at_once;
use uuid::Uuid;

use super::{Accepted, Ask, Engine};
use crate::{
    folded::{Standing, folded},
    journal::Header,
};

impl Engine {
    /// The recovery that went on where this one failed, if one did. One that was refused did not.
    pub async fn followed_by(&self, header: &Header) -> Option<RecoveryName> {
        if header.saga() != SagaKind::Revive {
            return None;
        }
        let next = at_once(self.journal().by_request(&request_id(&header.name))).await.ok()??;
        next.header.plan.allowed().then_some(next.header.name)
    }

    /// Goes on after a recovery that has ended, if its caller asked for whatever the evidence calls for.
    pub(super) async fn follow(&self, name: &RecoveryName, ask: Ask) {
        match self.go_further(name, ask).await {
            Ok(Some(accepted)) => {
                tracing::info!(recovery = %name, next = ?accepted.recovery, "a rebuild follows");
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(recovery = %name, %error, "no rebuild follows"),
        }
    }

    async fn go_further(&self, name: &RecoveryName, ask: Ask) -> Result<Option<Accepted>, Error> {
        let (stored, _) = self.recovery(name).await?;
        let Standing::Ended(Ending::RolledBack(setback)) = folded(&stored)?.standing else {
            return Ok(None);
        };
        // Whoever cancelled it, or changed what it is about, did not ask for this.
        if !matches!(setback, Setback::NeverReady(_) | Setback::Refused(_)) {
            return Ok(None);
        }
        let request_id = Some(request_id(name));
        let asked = Asked { start_tried: true, ..ask.asked.clone() };
        let ask = Ask { request: Request::Rebuild, asked, request_id, plan_digest: None, ..ask };
        Box::pin(self.ask(ask)).await.map(Some)
    }
}

fn request_id(first: &RecoveryName) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{first}/rebuild").as_bytes()).to_string()
}
