//! Headers and their extensions, as ustar, PAX and GNU tar write them.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use tar::{EntryType, Header};

use super::{Fault, Member};

/// What extension headers say of the next member.
#[derive(Default)]
pub(super) struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    modified: Option<SystemTime>,
}

// === impl Extensions ===

impl Extensions {
    /// Reads one extension header's payload.
    pub(super) fn take(&mut self, kind: EntryType, payload: &[u8]) -> Result<(), Fault> {
        match kind {
            EntryType::GNULongName => self.path = Some(until_nul(payload).to_vec()),
            EntryType::GNULongLink => self.link = Some(until_nul(payload).to_vec()),
            EntryType::XHeader => return self.pax(payload),
            // A global header says nothing that is used here.
            _ => {}
        }
        Ok(())
    }

    fn pax(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let mut rest = payload;
        while !rest.is_empty() {
            let (key, value, after) =
                record(rest).ok_or(Fault::Malformed("an extension record"))?;
            rest = after;
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = Some(number(value)?),
                b"uid" => self.uid = Some(number(value)?),
                b"gid" => self.gid = Some(number(value)?),
                b"mtime" => self.modified = Some(pax_time(value)?),
                _ if key.starts_with(b"GNU.sparse.") => {
                    return Err(Fault::Malformed("a sparse member"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn member(self, header: &Header, size: u64) -> Result<Member, Fault> {
        let malformed = |what| move |_| Fault::Malformed(what);
        let kind = header.entry_type();
        if kind == EntryType::GNUSparse {
            return Err(Fault::Malformed("a sparse member"));
        }
        let wide = |value: u64| u32::try_from(value).map_err(malformed("an owner"));
        let uid = match self.uid {
            Some(uid) => uid,
            None => wide(header.uid().map_err(|_| Fault::Malformed("an owner"))?)?,
        };
        let gid = match self.gid {
            Some(gid) => gid,
            None => wide(header.gid().map_err(|_| Fault::Malformed("a group"))?)?,
        };
        let modified = match self.modified {
            Some(modified) => modified,
            // Before 1970 it is a negative number in base 256.
            None => time(header.mtime().map_err(|_| Fault::Malformed("a time"))?.cast_signed(), 0)?,
        };
        let mut path = self.path.unwrap_or_else(|| header.path_bytes().into_owned());
        while path.len() > 1 && path.last() == Some(&b'/') {
            path.pop();
        }
        let link = self.link.or_else(|| header.link_name_bytes().map(Cow::into_owned));
        let name = |bytes: Option<&[u8]>| {
            let text = std::str::from_utf8(bytes.unwrap_or_default()).unwrap_or_default();
            (!text.is_empty()).then(|| text.to_owned())
        };
        let has_content = matches!(kind, EntryType::Regular | EntryType::Continuous);
        let stated = self.size.unwrap_or(size);
        if !has_content && !is_header_only(kind) && stated != 0 {
            return Err(Fault::Malformed("content of an unknown kind"));
        }
        Ok(Member {
            path,
            kind,
            link: link.unwrap_or_default(),
            mode: header.mode().map_err(|_| Fault::Malformed("a mode"))? & 0o7777,
            uid,
            gid,
            user: name(header.username_bytes()),
            group: name(header.groupname_bytes()),
            size: if has_content { stated } else { 0 },
            modified,
        })
    }
}

/// A header block whose checksum is right.
pub(super) fn header(block: &[u8]) -> Result<Header, Fault> {
    let mut header = Header::new_old();
    header.as_mut_bytes().copy_from_slice(block);
    let stated = header.cksum().map_err(|_| Fault::Malformed("a checksum"))?;
    let (before, rest) = block.split_at(148);
    let sum: u32 = before.iter().chain(&rest[8..]).map(|byte| u32::from(*byte)).sum();
    if sum + 8 * u32::from(b' ') == stated { Ok(header) } else { Err(Fault::Malformed("a header")) }
}

pub(super) fn is_extension(kind: EntryType) -> bool {
    use EntryType::{GNULongLink, GNULongName, XGlobalHeader, XHeader};
    matches!(kind, GNULongName | GNULongLink | XHeader | XGlobalHeader)
}

/// Kinds without content, whatever size their header states.
fn is_header_only(kind: EntryType) -> bool {
    use EntryType::{Block, Char, Directory, Fifo, Link, Symlink};
    matches!(kind, Link | Symlink | Char | Block | Directory | Fifo)
}

pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Result<T, Fault> {
    let text = std::str::from_utf8(text).ok();
    text.and_then(|text| text.parse().ok()).ok_or(Fault::Malformed("a number"))
}

/// The first record of an extension, `length key=value` with a newline, as key, value and what follows it. The length
/// says where it ends: a value may hold newlines.
fn record(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = text.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&text[..space]).ok()?.parse().ok()?;
    let (whole, after) = text.split_at_checked(length)?;
    let (newline, body) = whole.get(space + 1..)?.split_last()?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    (*newline == b'\n').then_some((&body[..equals], &body[equals + 1..], after))
}

/// `[-]seconds[.fraction]`.
pub(super) fn pax_time(text: &[u8]) -> Result<SystemTime, Fault> {
    let text = std::str::from_utf8(text).map_err(|_| Fault::Malformed("a time"))?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let seconds: i64 = number(whole.as_bytes())?;
    let nanos: u32 = number(digits.as_bytes())?;
    if text.starts_with('-') && nanos > 0 {
        return time(seconds.saturating_sub(1), 1_000_000_000 - nanos);
    }
    time(seconds, nanos)
}

fn time(seconds: i64, nanos: u32) -> Result<SystemTime, Fault> {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let base = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(whole)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(whole)
    };
    let time = base.and_then(|base| base.checked_add(Duration::from_nanos(nanos.into())));
    time.ok_or(Fault::Malformed("a time"))
}
