//! Members of a stream, written.

use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use tar::{EntryType, Header};

use super::{BLOCK, Member};

/// The header of a regular file, with a long-name extension where the name needs one. The name may hold any byte but NUL.
pub(in crate::runtime) fn file_header(name: &[u8], size: u64, member: &Member) -> Bytes {
    let mut out = BytesMut::new();
    let mut header = Header::new_gnu();
    if name.len() > header.as_old().name.len() {
        let mut long = Header::new_gnu();
        put_name(&mut long, b"././@LongLink");
        long.set_entry_type(EntryType::GNULongName);
        long.set_mode(0o644);
        long.set_size(name.len() as u64 + 1);
        long.set_cksum();
        out.extend_from_slice(long.as_bytes());
        out.extend_from_slice(name);
        let padded = name.len() + 1 + usize::try_from(padding(name.len() as u64 + 1)).unwrap_or(0);
        out.resize(BLOCK + padded, 0);
    }
    put_name(&mut header, name);
    header.set_entry_type(EntryType::Regular);
    finish_header(&mut header, size, member);
    out.extend_from_slice(header.as_bytes());
    out.freeze()
}

/// The stream's end.
pub(in crate::runtime) fn end_marker() -> Bytes {
    Bytes::from_static(&[0; 2 * BLOCK])
}

/// The zero bytes between a content of this size and the next header.
pub(in crate::runtime) fn padding_of(size: u64) -> Bytes {
    let length = usize::try_from(padding(size)).unwrap_or(0);
    Bytes::from_static(&[0; BLOCK]).slice(..length)
}

/// How many they are.
pub(super) fn padding(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}

fn finish_header(header: &mut Header, size: u64, member: &Member) {
    header.set_size(size);
    header.set_mode(member.mode);
    header.set_uid(member.uid.into());
    header.set_gid(member.gid.into());
    let since = member.modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    header.set_mtime(since.as_secs());
    header.set_cksum();
}

fn put_name(header: &mut Header, name: &[u8]) {
    let field = &mut header.as_old_mut().name;
    let len = name.len().min(field.len());
    field[..len].copy_from_slice(&name[..len]);
}
