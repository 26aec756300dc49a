//! Messages as canonical protobuf JSON, by reflection: what `--output json` prints.

use std::sync::LazyLock;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};

/// Why a message could not be written as JSON. Only a defect of the embedded descriptors can cause either.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The descriptor set does not name the message.
    #[error("no descriptor for {0}")]
    NoDescriptor(String),
    /// The bytes do not fit the descriptor.
    #[error("message does not fit its descriptor")]
    Decode(#[from] prost::DecodeError),
    /// The value has no JSON form.
    #[error("message has no JSON form")]
    Serialize(#[from] serde_json::Error),
}

/// The descriptors of all of salvor's messages.
pub fn pool() -> &'static DescriptorPool {
    static POOL: LazyLock<DescriptorPool> =
        LazyLock::new(|| DescriptorPool::decode(crate::FILE_DESCRIPTOR_SET).unwrap_or_default());
    &POOL
}

/// `message` as JSON: camel-case names, enums by name, and default values shown, so that a program can rely on each field.
pub fn to_json<M: Message + Name>(message: &M) -> Result<serde_json::Value, Error> {
    let name = M::full_name();
    let descriptor = pool().get_message_by_name(&name).ok_or(Error::NoDescriptor(name))?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    let options =
        SerializeOptions::new().skip_default_fields(false).stringify_64_bit_integers(true);
    Ok(dynamic.serialize_with_options(serde_json::value::Serializer, &options)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::v1::{Decision, decision};

    #[test]
    fn enums_are_named_and_defaults_shown() {
        let decision = Decision {
            guard: "sandbox_is_absent".into(),
            result: decision::Result::Refuse.into(),
            ..Decision::default()
        };
        let json = to_json(&decision).unwrap();
        assert_eq!(json["result"], "RESULT_REFUSE");
        assert_eq!(json["guard"], "sandbox_is_absent");
        assert_eq!(json["reason"], "");
    }
}
