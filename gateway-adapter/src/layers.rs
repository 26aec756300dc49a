//! What of a policy may be sent: the sandbox's own rules, without the layers of its providers.
//!
//! A gateway adds a rule under a reserved key for each attached provider to the policy that it
//! answers, and refuses every policy that comes with such a key. Left in, a recreate after the
//! delete would be refused, and the rules would outlive the attachment. Without them the gateway
//! adds them again, so that what is in force is the same. Invariant: nothing but those rules is
//! taken out; every other byte stays as it was.

use salvor_openshell_wire::splice::{self, fields};

/// `SandboxPolicy.network_policies`, in both dialects.
const NETWORK_POLICIES: u32 = 5;
/// The key of a map's entry.
const KEY: u32 = 1;
/// Keys that gateways keep for the layers of providers.
const RESERVED: &[u8] = b"_provider_";

/// A `SandboxPolicy` without the rules that come from providers.
///
/// # Errors
/// The policy, or an entry of its rules, is no message.
pub(crate) fn without(policy: &[u8]) -> Result<Vec<u8>, splice::Error> {
    let mut own = Vec::with_capacity(policy.len());
    for field in fields(policy) {
        let field = field?;
        match field.payload {
            Some(entry) if field.number == NETWORK_POLICIES && is_reserved(entry)? => {}
            _ => own.extend_from_slice(field.raw),
        }
    }
    Ok(own)
}

fn is_reserved(entry: &[u8]) -> Result<bool, splice::Error> {
    let mut key: &[u8] = &[];
    for field in fields(entry) {
        let field = field?;
        if let (KEY, Some(payload)) = (field.number, field.payload) {
            key = payload;
        }
    }
    Ok(key.starts_with(RESERVED))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost::Message;
    use salvor_openshell_wire::v0_0::SandboxPolicy;

    use super::*;

    fn policy(names: &[&str]) -> Vec<u8> {
        let rules = names.iter().map(|name| ((*name).to_owned(), b"\x0a\x01r".to_vec()));
        let network_policies: BTreeMap<_, _> = rules.collect();
        SandboxPolicy { version: 1, network_policies, ..Default::default() }.encode_to_vec()
    }

    #[test]
    fn only_rules_under_reserved_keys_are_taken_out() {
        let unknown = [0xf8, 0x07, 0x01];
        let all =
            [policy(&["_provider_work", "_provider_work_2", "provider_x", "web"]), unknown.into()];
        let own = [policy(&["provider_x", "web"]), unknown.into()];
        assert_eq!(without(&all.concat()).unwrap(), own.concat());
        assert_eq!(without(&own.concat()).unwrap(), own.concat());
        assert_eq!(without(&[]).unwrap(), b"");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        assert!(without(&[0xff]).is_err());
        assert!(without(&[5 << 3 | 2, 1, 0xff]).is_err());
    }
}
