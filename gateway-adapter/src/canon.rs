//! One order for map entries, so that equal specs and policies have equal bytes.
//!
//! A real gateway keeps its maps unordered and writes their entries in another order at each
//! answer; protobuf gives that order no meaning. Without this, a digest of the bytes would change
//! at every look. Invariant: the result is a permutation of whole fields of the input; nothing is
//! decoded, added or dropped. Deliberately absent: maps in fields that are not known here.

use salvor_openshell_wire::splice::{self, Field, fields};

/// Where the maps of a message are.
#[derive(Debug)]
struct Shape {
    /// Field numbers of maps.
    maps: &'static [u32],
    /// Messages that hold maps themselves.
    nested: &'static [(u32, &'static Shape)],
}

const POLICY: Shape = Shape { maps: &[5, 6], nested: &[] };
const TEMPLATE: Shape = Shape { maps: &[4, 5, 6], nested: &[] };
const SPEC: Shape = Shape { maps: &[5], nested: &[(6, &TEMPLATE), (7, &POLICY)] };

/// A `SandboxSpec` of either dialect with its map entries in order.
pub(crate) fn spec(bytes: &[u8]) -> Result<Vec<u8>, splice::Error> {
    ordered(bytes, &SPEC)
}

/// A `SandboxPolicy` of either dialect with its map entries in order.
pub(crate) fn policy(bytes: &[u8]) -> Result<Vec<u8>, splice::Error> {
    ordered(bytes, &POLICY)
}

fn ordered(bytes: &[u8], shape: &Shape) -> Result<Vec<u8>, splice::Error> {
    let mut pieces = Vec::new();
    for field in fields(bytes) {
        let field = field?;
        pieces.push((field.number, piece(&field, shape)?));
    }
    for number in shape.maps {
        let slots: Vec<usize> =
            pieces.iter().enumerate().filter(|(_, (n, _))| n == number).map(|(i, _)| i).collect();
        let mut entries: Vec<Vec<u8>> =
            slots.iter().map(|slot| std::mem::take(&mut pieces[*slot].1)).collect();
        entries.sort_unstable();
        for (slot, entry) in slots.into_iter().zip(entries) {
            pieces[slot].1 = entry;
        }
    }
    Ok(pieces.into_iter().flat_map(|(_, raw)| raw).collect())
}

fn piece(field: &Field<'_>, shape: &Shape) -> Result<Vec<u8>, splice::Error> {
    let nested = shape.nested.iter().find(|(number, _)| *number == field.number);
    let (Some((_, inner)), Some(payload)) = (nested, field.payload) else {
        return Ok(field.raw.to_vec());
    };
    // A permutation keeps the length, so tag and length stay as they were.
    let head = field.raw.len() - payload.len();
    let mut raw = field.raw[..head].to_vec();
    raw.extend(ordered(payload, inner)?);
    Ok(raw)
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use salvor_openshell_wire::v0_0;

    use super::*;

    fn entry(tag: u8, key: &str) -> Vec<u8> {
        let payload = [&[0x0a, u8::try_from(key.len()).unwrap()], key.as_bytes()].concat();
        [&[tag << 3 | 2, u8::try_from(payload.len()).unwrap()], &payload[..]].concat()
    }

    #[test]
    fn map_entries_in_any_order_give_the_same_bytes() {
        let unknown = [0xf8, 0x07, 0x01];
        let one = [entry(5, "B"), unknown.to_vec(), entry(5, "A"), entry(8, "z")].concat();
        let other = [entry(5, "A"), unknown.to_vec(), entry(5, "B"), entry(8, "z")].concat();
        assert_ne!(one, other);
        assert_eq!(spec(&one).unwrap(), other);
        assert_eq!(spec(&other).unwrap(), other);
    }

    #[test]
    fn repeated_fields_that_are_no_maps_keep_their_order() {
        let providers = [entry(8, "z"), entry(8, "a"), entry(12, "y"), entry(12, "b")].concat();
        assert_eq!(spec(&providers).unwrap(), providers);
    }

    #[test]
    fn maps_inside_the_policy_of_a_spec_are_ordered_too() {
        let policy = [entry(5, "web"), entry(5, "api")].concat();
        let message = v0_0::SandboxSpec { policy: Some(policy), ..Default::default() };
        let ordered = spec(&message.encode_to_vec()).unwrap();
        let read = v0_0::SandboxSpec::decode(&ordered[..]).unwrap();
        assert_eq!(read.policy.unwrap(), [entry(5, "api"), entry(5, "web")].concat());
    }

    #[test]
    fn what_is_no_message_is_refused() {
        assert!(spec(&[0xff]).is_err());
    }
}
