//! Wire-level changes to protobuf messages whose schema is not fully known.
//!
//! Decoding into an older schema and encoding again drops what the schema lacks. These functions
//! never decode: every byte outside the field that is named stays as it was, in its order.
//!
//! Deliberately absent: nested paths (splice the inner message, then splice it into the outer
//! one) and scalar fields.

/// Deepest nesting of groups that is followed, protobuf's own recursion limit.
const MAX_DEPTH: usize = 100;

/// The bytes are not a protobuf message. Offsets count from the start of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A varint runs past the end, or over ten bytes.
    #[error("malformed varint at byte {at}")]
    Varint {
        /// Where the varint starts.
        at: usize,
    },
    /// A tag with field number 0 or one over 2^29 - 1.
    #[error("field number {number} at byte {at} is outside 1 to 536870911")]
    FieldNumber {
        /// Where the tag starts.
        at: usize,
        /// The number found, or asked for.
        number: u64,
    },
    /// A tag with a wire type that protobuf does not define.
    #[error("unknown wire type {wire_type} at byte {at}")]
    WireType {
        /// Where the tag starts.
        at: usize,
        /// The wire type found.
        wire_type: u8,
    },
    /// A value that is longer than what is left.
    #[error("value at byte {at} runs past the end")]
    Truncated {
        /// Where the value starts.
        at: usize,
    },
    /// A group that is not closed, is closed by another's end, or nests too deep.
    #[error("unbalanced group at byte {at}")]
    Group {
        /// Where the group's tag starts.
        at: usize,
    },
}

/// One field as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The field number, 1 to 2^29 - 1.
    pub number: u32,
    /// The content of a length-delimited field; `None` for every other wire type.
    pub payload: Option<&'a [u8]>,
    /// Tag, length and content, exactly as received.
    pub raw: &'a [u8],
}

/// The fields of one message in wire order; see [`fields`].
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Iterates over the top-level fields of `bytes`, without decoding any of them.
///
/// After an error the iterator is exhausted. Concatenating every `raw` gives `bytes` back.
pub fn fields(bytes: &[u8]) -> Fields<'_> {
    Fields { bytes, at: 0 }
}

/// Returns `bytes` with the length-delimited field `number` replaced by `value`.
///
/// Every length-delimited occurrence of the field is removed, and `value`, if given, is appended
/// once as the new one. Fields of that number with another wire type are not the same field and
/// stay, like all other bytes. `Some(&[])` is a present, empty field; `None` removes it.
///
/// # Errors
///
/// [`Error`] if `bytes` is not a protobuf message or `number` is not a field number; then nothing
/// is known about any field, so nothing may be sent.
pub fn replace_field(bytes: &[u8], number: u32, value: Option<&[u8]>) -> Result<Vec<u8>, Error> {
    check_number(0, u64::from(number))?;
    let mut out = Vec::with_capacity(bytes.len() + value.map_or(0, |value| value.len() + 10));
    for field in fields(bytes) {
        let field = field?;
        if field.number != number || field.payload.is_none() {
            out.extend_from_slice(field.raw);
        }
    }
    if let Some(value) = value {
        push_varint(&mut out, u64::from(number) << 3 | 2);
        push_varint(&mut out, value.len() as u64);
        out.extend_from_slice(value);
    }
    Ok(out)
}

// === impl Fields ===

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let start = self.at;
        let result = read_field(self.bytes, start, 0);
        Some(match result {
            Ok((number, payload, end)) => {
                self.at = end;
                Ok(Field { number, payload, raw: &self.bytes[start..end] })
            }
            Err(error) => {
                self.at = self.bytes.len();
                Err(error)
            }
        })
    }
}

/// Reads the field at `start`: its number, its content if length-delimited, and where it ends.
fn read_field(
    bytes: &[u8],
    start: usize,
    depth: usize,
) -> Result<(u32, Option<&[u8]>, usize), Error> {
    let (number, wire_type, at) = read_tag(bytes, start)?;
    let fixed = |len: usize| {
        let end = at.checked_add(len).filter(|end| *end <= bytes.len());
        end.ok_or(Error::Truncated { at })
    };
    match wire_type {
        0 => read_varint(bytes, at).map(|(_, end)| (number, None, end)),
        1 => fixed(8).map(|end| (number, None, end)),
        5 => fixed(4).map(|end| (number, None, end)),
        2 => {
            let (len, at) = read_varint(bytes, at)?;
            let rest = &bytes[at..];
            let len = usize::try_from(len).ok().filter(|len| *len <= rest.len());
            let len = len.ok_or(Error::Truncated { at })?;
            Ok((number, Some(&rest[..len]), at + len))
        }
        3 => skip_group(bytes, start, at, number, depth).map(|end| (number, None, end)),
        4 => Err(Error::Group { at: start }),
        wire_type => Err(Error::WireType { at: start, wire_type }),
    }
}

/// Finds the end of the group `number` whose content starts at `at`.
fn skip_group(
    bytes: &[u8],
    start: usize,
    mut at: usize,
    number: u32,
    depth: usize,
) -> Result<usize, Error> {
    if depth >= MAX_DEPTH {
        return Err(Error::Group { at: start });
    }
    while at < bytes.len() {
        let (inner, wire_type, after) = read_tag(bytes, at)?;
        if wire_type == 4 {
            let matches = inner == number;
            return if matches { Ok(after) } else { Err(Error::Group { at }) };
        }
        at = read_field(bytes, at, depth + 1)?.2;
    }
    Err(Error::Group { at: start })
}

fn read_tag(bytes: &[u8], at: usize) -> Result<(u32, u8, usize), Error> {
    let (tag, end) = read_varint(bytes, at)?;
    Ok((check_number(at, tag >> 3)?, (tag & 7) as u8, end))
}

fn check_number(at: usize, number: u64) -> Result<u32, Error> {
    u32::try_from(number)
        .ok()
        .filter(|number| (1..1 << 29).contains(number))
        .ok_or(Error::FieldNumber { at, number })
}

fn read_varint(bytes: &[u8], at: usize) -> Result<(u64, usize), Error> {
    let mut value = 0_u64;
    for (index, byte) in bytes[at..].iter().take(10).enumerate() {
        let part = u64::from(byte & 0x7f);
        if index == 9 && part > 1 {
            return Err(Error::Varint { at });
        }
        value |= part << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((value, at + index + 1));
        }
    }
    Err(Error::Varint { at })
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests;
