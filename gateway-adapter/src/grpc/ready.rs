//! Whether the incarnation that is meant is there, and commands can be run in it.

use salvor_proto::Error;
use salvor_proto::error::Code;
use salvor_proto::gateway::v1 as pb;

use crate::classify::Class;
use crate::gateway::{Gateway, Healthy};
use crate::inside::not_ready;
use crate::next_step::NextStep;
use crate::vendor::{Incarnation, Row};
use crate::workspace::Broken;
use crate::workspace::sides::Stopped;

/// Why nothing can be run in it.
#[derive(Debug)]
pub(super) enum Unready {
    /// The gateway does not say how it stands.
    Unknown(pb::Unknown),
    /// The gateway says so: the stable reason, and a sentence.
    Refused(&'static str, String),
}

/// Looks at the gateway. Whatever is not READY, or another incarnation, is refused.
pub(super) async fn ready(
    gateway: &Gateway,
    Incarnation { place, id }: &Incarnation,
) -> Result<(Healthy, Row), Unready> {
    let healthy = gateway.probe().await.found.map_err(Unready::Unknown)?;
    let name = gateway.name();
    let row = match gateway.get(&healthy, place).await {
        Ok(row) => row,
        Err(failure) if failure.class == Class::SandboxMissing => {
            let text = format!("{name}: there is no {} any more", place.sandbox);
            return Err(Unready::Refused("SANDBOX_ABSENT", text));
        }
        Err(failure) => return Err(Unready::Unknown(failure.unknown())),
    };
    if row.id != *id {
        let text = format!("{name}: {} is {} and not {id}", place.sandbox, row.id);
        return Err(Unready::Refused("OTHER_INCARNATION", text));
    }
    if row.phase != pb::Phase::Ready {
        return Err(Unready::Refused("NOT_READY", not_ready(gateway, &row)));
    }
    Ok((healthy, row))
}

// === impl Unready ===

impl Unready {
    /// The sentence alone.
    pub(super) fn detail(&self) -> &str {
        match self {
            Self::Unknown(unknown) => &unknown.detail,
            Self::Refused(_, text) => text,
        }
    }

    /// As the end of work on a sandbox, by its full name.
    pub(super) fn stopped(self, sandbox: &str) -> Stopped {
        match self {
            Self::Unknown(unknown) => Stopped::Broken(Broken { unknown }),
            Self::Refused(reason, text) => {
                let text = format!("{text}. It was not touched");
                let error = Error::new(Code::Refused, reason, text);
                Stopped::Refused(error.next_step(NextStep::Status.of(sandbox)))
            }
        }
    }
}
