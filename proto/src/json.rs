//! Messages as canonical protobuf JSON, by reflection: what `--output json` prints, and what is kept readable.

use std::sync::LazyLock;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, SerializeOptions};

/// Why a message could not be written as JSON, which only a defect of the embedded descriptors can cause, or be read from it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The descriptor set does not name the message.
    #[error("no descriptor for {0}")]
    NoDescriptor(String),
    /// The bytes do not fit the descriptor.
    #[error("message does not fit its descriptor")]
    Decode(#[from] prost::DecodeError),
    /// The value has no JSON form, or the JSON is none of the message's.
    #[error("not the message's JSON form: {0}")]
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

/// A message from its JSON form. Fields of a newer version are passed over.
pub fn from_json<M: Message + Name + Default>(value: serde_json::Value) -> Result<M, Error> {
    let name = M::full_name();
    let descriptor = pool().get_message_by_name(&name).ok_or(Error::NoDescriptor(name))?;
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    let dynamic = DynamicMessage::deserialize_with_options(descriptor, value, &options)?;
    Ok(M::decode(dynamic.encode_to_vec().as_slice())?)
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

    #[test]
    fn what_was_written_is_read_and_newer_fields_are_passed_over() {
        let decision = Decision {
            guard: "sandbox_is_absent".into(),
            result: decision::Result::Refuse.into(),
            ..Decision::default()
        };
        let mut json = to_json(&decision).unwrap();
        json["ofALaterVersion"] = serde_json::json!({"a": 1});
        assert_eq!(from_json::<Decision>(json).unwrap(), decision);
        assert!(from_json::<Decision>(serde_json::json!({"guard": 1})).is_err());
        assert!(from_json::<Decision>(serde_json::json!("text")).is_err());
    }
}
