//! One order for map entries, so that equal specs and policies have equal bytes.
//!
//! A real gateway keeps its maps unordered and writes their entries in another order at each
//! answer; protobuf gives that order no meaning. Without this, a digest of the bytes would change
//! at every look. Invariant: the result is a permutation of whole fields of the input; nothing is
//! decoded, added or dropped. Deliberately absent: maps in fields that are not known here.

use salvor_openshell_wire::splice::{self, Field, fields};

/// How deep messages are followed; protobuf's own limit. What lies deeper keeps its order.
const MAX_DEPTH: usize = 100;

/// Where the maps of a message are. The numbers are the same in both dialects.
#[derive(Debug)]
struct Shape {
    /// Field numbers of maps.
    maps: &'static [u32],
    /// Messages that hold maps themselves; a map's entry is one, with its value in field 2.
    nested: &'static [(u32, &'static Shape)],
}

static SPEC: Shape = Shape { maps: &[5], nested: &[(6, &TEMPLATE), (7, &POLICY)] };
static TEMPLATE: Shape = Shape { maps: &[4, 5, 6], nested: &[(7, &STRUCT), (11, &STRUCT)] };
static POLICY: Shape = Shape { maps: &[5, 6], nested: &[(5, &RULE_ENTRY), (6, &MIDDLEWARE_ENTRY)] };
static RULE_ENTRY: Shape = Shape { maps: &[], nested: &[(2, &RULE)] };
static RULE: Shape = Shape { maps: &[], nested: &[(2, &ENDPOINT)] };
static ENDPOINT: Shape = Shape { maps: &[13], nested: &[(7, &L7_RULE), (10, &L7_MATCH)] };
static L7_RULE: Shape = Shape { maps: &[], nested: &[(1, &L7_MATCH)] };
static L7_MATCH: Shape = Shape { maps: &[4, 9], nested: &[] };
static MIDDLEWARE_ENTRY: Shape = Shape { maps: &[], nested: &[(2, &MIDDLEWARE)] };
static MIDDLEWARE: Shape = Shape { maps: &[], nested: &[(3, &STRUCT)] };
static STRUCT: Shape = Shape { maps: &[1], nested: &[(1, &STRUCT_ENTRY)] };
static STRUCT_ENTRY: Shape = Shape { maps: &[], nested: &[(2, &STRUCT_VALUE)] };
static STRUCT_VALUE: Shape = Shape { maps: &[], nested: &[(5, &STRUCT), (6, &STRUCT_LIST)] };
static STRUCT_LIST: Shape = Shape { maps: &[], nested: &[(1, &STRUCT_VALUE)] };

/// A `SandboxSpec` of either dialect with its map entries in order.
pub(crate) fn spec(bytes: &[u8]) -> Result<Vec<u8>, splice::Error> {
    ordered(bytes, &SPEC, MAX_DEPTH)
}

/// A `SandboxPolicy` of either dialect with its map entries in order.
pub(crate) fn policy(bytes: &[u8]) -> Result<Vec<u8>, splice::Error> {
    ordered(bytes, &POLICY, MAX_DEPTH)
}

fn ordered(bytes: &[u8], shape: &Shape, depth: usize) -> Result<Vec<u8>, splice::Error> {
    let mut pieces = Vec::new();
    for field in fields(bytes) {
        let field = field?;
        pieces.push((field.number, piece(&field, shape, depth)?));
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

fn piece(field: &Field<'_>, shape: &Shape, depth: usize) -> Result<Vec<u8>, splice::Error> {
    let nested = shape.nested.iter().find(|(number, _)| *number == field.number);
    let (Some((_, inner)), Some(payload), 1..) = (nested, field.payload, depth) else {
        return Ok(field.raw.to_vec());
    };
    // A permutation keeps the length, so tag and length stay as they were.
    let head = field.raw.len() - payload.len();
    let mut raw = field.raw[..head].to_vec();
    raw.extend(ordered(payload, inner, depth - 1)?);
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

    fn wrap(number: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        prost::encoding::bytes::encode(number, &payload.to_vec(), &mut bytes);
        bytes
    }

    /// A rule `web` whose endpoint has maps of its own, each in the order of `keys`.
    fn deep(keys: [&str; 2]) -> Vec<u8> {
        let map = |number| keys.map(|key| entry(number, key)).concat();
        let matcher = [map(4), map(9)].concat();
        let endpoint = [map(13), wrap(7, &wrap(1, &matcher)), wrap(10, &matcher), map(8)].concat();
        let rule = [entry(1, "web"), wrap(2, &endpoint)].concat();
        wrap(5, &[wrap(1, b"web"), wrap(2, &rule)].concat())
    }

    #[test]
    fn maps_inside_a_rule_are_ordered_and_its_lists_are_not() {
        let (one, other) = (policy(&deep(["b", "a"])).unwrap(), policy(&deep(["a", "b"])).unwrap());
        let differing = one.iter().zip(&other).filter(|(a, b)| a != b).count();
        assert_eq!((one.len(), differing), (other.len(), 2), "only field 8, which is no map");
    }

    #[test]
    fn maps_inside_a_struct_are_ordered_and_bottomless_ones_end() {
        let held = |keys: [&str; 2]| {
            let inner = wrap(5, &keys.map(|key| entry(1, key)).concat());
            let list = wrap(6, &wrap(1, &inner));
            wrap(6, &wrap(11, &wrap(1, &[wrap(1, b"k"), wrap(2, &list)].concat())))
        };
        assert_eq!(spec(&held(["b", "a"])).unwrap(), spec(&held(["a", "b"])).unwrap());
        let deep = (0..200).fold(wrap(5, &[entry(1, "b"), entry(1, "a")].concat()), |value, _| {
            wrap(6, &wrap(1, &value))
        });
        let bytes = wrap(6, &wrap(11, &wrap(1, &[wrap(1, b"k"), wrap(2, &deep)].concat())));
        assert_eq!(spec(&bytes).unwrap(), bytes, "what lies too deep is left as it is");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        assert!(spec(&[0xff]).is_err());
    }
}
