//! Laws of splicing, on messages made of arbitrary fields.

use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message as _;

use super::*;
use crate::v0_0;

/// One encoded field with any wire type, groups included.
fn any_field() -> impl Strategy<Value = Vec<u8>> {
    let leaf = (1_u32..40, 0_u8..4, any::<u64>(), prop::collection::vec(any::<u8>(), 0..40))
        .prop_map(|(number, kind, value, content)| encode(number, kind, value, &content));
    (leaf.clone(), 1_u32..40, any::<bool>()).prop_map(|(inner, number, grouped)| {
        if !grouped {
            return inner;
        }
        let mut out = Vec::new();
        push_varint(&mut out, u64::from(number) << 3 | 3);
        out.extend_from_slice(&inner);
        push_varint(&mut out, u64::from(number) << 3 | 4);
        out
    })
}

fn encode(number: u32, kind: u8, value: u64, content: &[u8]) -> Vec<u8> {
    let wire_type = [0, 1, 2, 5][usize::from(kind)];
    let mut out = Vec::new();
    push_varint(&mut out, u64::from(number) << 3 | wire_type);
    match wire_type {
        0 => push_varint(&mut out, value),
        1 => out.extend_from_slice(&value.to_le_bytes()),
        5 => out.extend_from_slice(&value.to_le_bytes()[..4]),
        _ => {
            push_varint(&mut out, content.len() as u64);
            out.extend_from_slice(content);
        }
    }
    out
}

fn any_message() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any_field(), 0..12).prop_map(|fields| fields.concat())
}

proptest! {
    #[test]
    fn iterating_gives_every_byte_back_in_order(message in any_message()) {
        let raw: Result<Vec<_>, _> = fields(&message).map(|field| field.map(|f| f.raw)).collect();
        prop_assert_eq!(raw.unwrap().concat(), message);
    }

    #[test]
    fn replacing_leaves_every_other_field_alone(
        message in any_message(),
        number in 1_u32..40,
        value in prop::option::of(prop::collection::vec(any::<u8>(), 0..300)),
    ) {
        let out = replace_field(&message, number, value.as_deref()).unwrap();
        let others = |bytes: &[u8]| -> Vec<Vec<u8>> {
            fields(bytes)
                .map(Result::unwrap)
                .filter(|field| field.number != number || field.payload.is_none())
                .map(|field| field.raw.to_vec())
                .collect()
        };
        let mine: Vec<_> = fields(&out)
            .map(Result::unwrap)
            .filter(|field| field.number == number)
            .filter_map(|field| field.payload.map(<[u8]>::to_vec))
            .collect();
        prop_assert_eq!(others(&out), others(&message));
        prop_assert_eq!(mine, value.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn replacing_twice_keeps_only_the_last(message in any_message(), number in 1_u32..40) {
        let once = replace_field(&message, number, Some(b"new")).unwrap();
        let twice = replace_field(&once, number, Some(b"new")).unwrap();
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_cuts_are_errors_or_whole_fields(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let whole: Result<Vec<_>, _> = fields(&bytes).collect();
        if let Ok(whole) = whole {
            prop_assert_eq!(whole.iter().map(|f| f.raw.len()).sum::<usize>(), bytes.len());
        } else {
            prop_assert!(replace_field(&bytes, 1, None).is_err());
        }
    }

    #[test]
    fn a_message_cut_inside_its_last_field_is_refused(field in any_field(), cut in any::<Index>()) {
        // Anywhere but before its first byte; no field has only one.
        let kept = 1 + cut.index(field.len() - 1);
        prop_assert!(replace_field(&field[..kept], 1, None).is_err());
    }
}

#[test]
fn swaps_a_specs_policy_and_keeps_what_the_schema_does_not_know() {
    let spec = v0_0::SandboxSpec {
        policy: Some(b"old".to_vec()),
        providers: vec!["p".to_owned()],
        ..Default::default()
    };
    let mut bytes = spec.encode_to_vec();
    let unknown = encode(900, 2, 0, b"a newer gateway's field");
    bytes.extend_from_slice(&unknown);

    let out = replace_field(&bytes, 7, Some(b"new")).unwrap();

    let read = v0_0::SandboxSpec::decode(out.as_slice()).unwrap();
    assert_eq!(read.policy.as_deref(), Some(b"new".as_slice()));
    assert_eq!(read.providers, ["p"]);
    assert!(fields(&out).any(|field| field.unwrap().raw == unknown));
}

#[test]
fn malformed_messages_are_refused_with_the_place() {
    let cases: &[(&[u8], Error)] = &[
        (&[0x80], Error::Varint { at: 0 }),
        (
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
            Error::Varint { at: 1 },
        ),
        (&[0x00, 0x00], Error::FieldNumber { at: 0, number: 0 }),
        (&[0x0e], Error::WireType { at: 0, wire_type: 6 }),
        (&[0x0a, 0x05, 0x00], Error::Truncated { at: 2 }),
        (&[0x0d, 0x00], Error::Truncated { at: 1 }),
        (&[0x0b, 0x08, 0x01], Error::Group { at: 0 }),
        (&[0x0b, 0x14], Error::Group { at: 1 }),
        (&[0x0c], Error::Group { at: 0 }),
    ];
    for (bytes, error) in cases {
        assert_eq!(replace_field(bytes, 1, None), Err(*error), "{bytes:?}");
    }
    assert_eq!(replace_field(&[], 0, None), Err(Error::FieldNumber { at: 0, number: 0 }));
    assert!(replace_field(&[0x0b; 500], 1, None).is_err());
}
