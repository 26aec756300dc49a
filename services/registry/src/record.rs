//! What the registry does to a record's message: takes its secret bytes out, and changes single fields of stored bytes.
//!
//! Invariant: stored bytes are changed field by field through their descriptor, so that what a newer version wrote into
//! other fields stays. Deliberately absent: storage.

mod mask;

use prost::encoding::{DecodeContext, decode_key, skip_field};
use prost::{DecodeError, Message};
use salvor_proto::registry::v1::{Posture, Sandbox};
use sha2::{Digest, Sha256};

use crate::error::Error;

pub(crate) use mask::{Field, Mask};

/// The prefix of the annotations that are salvor's own stamp and not the record's.
const STAMP: &str = "salvor.dev/";
/// Largest record without its secret bytes.
pub(crate) const MAX_RECORD: usize = 256 << 10;

/// What an incoming spec or policy says of its content.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// There is no such message.
    Absent,
    /// These bytes; there may be none.
    Bytes(Vec<u8>),
    /// An answer of the registry sent back: no bytes, but the digest of some. Means the content that is stored.
    Echo(String),
}

/// The secret bytes that came with a record.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) spec: Content,
    pub(crate) policy: Content,
}

// === impl Content ===

impl Content {
    fn take(content: &mut Vec<u8>, sha256: &mut String, size_bytes: &mut i64) -> Self {
        let bytes = std::mem::take(content);
        let digest = digest(&bytes);
        if bytes.is_empty() && !sha256.is_empty() && *sha256 != digest {
            return Self::Echo(sha256.clone());
        }
        *sha256 = digest;
        *size_bytes = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        Self::Bytes(bytes)
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => f.write_str("Absent"),
            Self::Bytes(bytes) => write!(f, "[{} bytes]", bytes.len()),
            Self::Echo(sha256) => write!(f, "Echo({sha256})"),
        }
    }
}

// === impl Contents ===

impl Contents {
    /// Takes the secret bytes out of `sandbox` and leaves digest and length in their place.
    pub(crate) fn take(sandbox: &mut Sandbox) -> Self {
        let spec = sandbox.spec.as_mut().map_or(Content::Absent, |spec| {
            spec.openable = false;
            Content::take(&mut spec.content, &mut spec.sha256, &mut spec.size_bytes)
        });
        let policy = sandbox.policy.as_mut().map_or(Content::Absent, |policy| {
            policy.openable = false;
            Content::take(&mut policy.content, &mut policy.sha256, &mut policy.size_bytes)
        });
        Self { spec, policy }
    }
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contents").field("spec", &self.spec).field("policy", &self.policy).finish()
    }
}

/// Lower-case hex SHA-256.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Drops the annotations that are not kept in records.
pub(crate) fn drop_stamps(sandbox: &mut Sandbox) {
    sandbox.annotations.retain(|key, _| !key.starts_with(STAMP));
}

/// Whether the two say different things of what the owner wants. State, observations and proofs are not that.
pub(crate) fn intends_otherwise(one: &Sandbox, other: &Sandbox) -> bool {
    fn owed(posture: Option<&Posture>) -> Option<Posture> {
        posture.map(|posture| Posture {
            mode: posture.mode,
            sealed_paths: posture.sealed_paths.clone(),
            ..Posture::default()
        })
    }
    one.agents != other.agents
        || owed(one.posture.as_ref()) != owed(other.posture.as_ref())
        || one.snapshot_rules != other.snapshot_rules
        || one.config_files != other.config_files
        || one.readiness_probe != other.readiness_probe
        || one.automatic_recovery != other.automatic_recovery
        || one.labels != other.labels
        || one.annotations != other.annotations
}

/// The `stored` bytes of a message of `M`'s type with `fields` as in `from`. All other fields stay, unknown ones included.
pub(crate) fn patch<M: Message + prost::Name>(
    stored: &[u8],
    from: &M,
    fields: &[&str],
) -> Result<Vec<u8>, Error> {
    let descriptor = salvor_proto::json::pool()
        .get_message_by_name(&M::full_name())
        .ok_or(Error::Defect("a message without a descriptor"))?;
    let number = |name: &&str| {
        let field = descriptor.get_field_by_name(name);
        field.map(|field| field.number()).ok_or(Error::Defect("a field without a descriptor"))
    };
    let numbers = fields.iter().map(number).collect::<Result<Vec<_>, _>>()?;
    let undecodable = |_| Error::Defect("a decoded message does not decode field by field");
    let from = from.encode_to_vec();
    let mut patched = parts(stored).map_err(undecodable)?;
    patched.retain(|(number, _)| !numbers.contains(number));
    patched.extend(
        parts(&from)
            .map_err(undecodable)?
            .into_iter()
            .filter(|(number, _)| numbers.contains(number)),
    );
    // Those of one number stay in their order.
    patched.sort_by_key(|(number, _)| *number);
    Ok(patched.into_iter().flat_map(|(_, bytes)| bytes).copied().collect())
}

/// The fields of an encoded message, each with its number and its bytes.
fn parts(message: &[u8]) -> Result<Vec<(u32, &[u8])>, DecodeError> {
    let (mut parts, mut rest) = (Vec::new(), message);
    while !rest.is_empty() {
        let begun = rest;
        let (number, wire_type) = decode_key(&mut rest)?;
        skip_field(wire_type, number, &mut rest, DecodeContext::default())?;
        parts.push((number, &begun[..begun.len() - rest.len()]));
    }
    Ok(parts)
}
