//! A tar stream of a size that is known before its first byte.
//!
//! Names longer than a header's field come in the GNU way, which takes any bytes; times finer than a
//! second in the POSIX way. Both are read by GNU tar and by container runtimes. Invariant: what
//! [`head`] answers depends on its arguments alone, so that sizes can be summed up first.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use tar::{EntryType, Header};

use super::{Entry, Kind};

/// What ends a stream.
pub(crate) const END: [u8; 1024] = [0; 1024];
const BLOCK: usize = 512;
/// Bytes that a header's fields for names hold.
const SHORT: usize = 100;
/// The name that headers of long names bear themselves.
const LONG_LINK: &[u8] = b"././@LongLink";

/// All that stands before an entry's content. `name` and `link` (of a hard link: the entry that it
/// is the same as) are relative to where the stream is unpacked. Sockets and devices have none.
pub(crate) fn head(entry: &Entry, name: &Path, link: Option<&Path>) -> Vec<u8> {
    let (kind, target) = match (&entry.kind, link) {
        (_, Some(link)) => (EntryType::Link, Some(dotted(link, false))),
        (Kind::File, None) => (EntryType::Regular, None),
        (Kind::Directory, None) => (EntryType::Directory, None),
        (Kind::Symlink(target), None) => {
            (EntryType::Symlink, Some(target.as_os_str().as_bytes().to_vec()))
        }
        (Kind::Fifo, None) => (EntryType::Fifo, None),
        (Kind::Socket | Kind::Device, None) => return Vec::new(),
    };
    let mut blocks = Vec::with_capacity(3 * BLOCK);
    let name = dotted(name, entry.kind == Kind::Directory);
    if let Some(target) = target.as_ref().filter(|target| target.len() > SHORT) {
        long(EntryType::GNULongLink, target, &mut blocks);
    }
    if name.len() > SHORT {
        long(EntryType::GNULongName, &name, &mut blocks);
    }
    let (seconds, nanos) = since_epoch(entry.modified);
    if nanos > 0 || seconds < 0 {
        extended(&record("mtime", &decimal(seconds, nanos)), &mut blocks);
    }
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    put(&mut header.as_gnu_mut().map(|gnu| &mut gnu.name[..]), &name);
    if let Some(target) = &target {
        put(&mut header.as_gnu_mut().map(|gnu| &mut gnu.linkname[..]), target);
    }
    header.set_mode(entry.mode);
    header.set_uid(entry.uid.into());
    header.set_gid(entry.gid.into());
    header.set_mtime(u64::try_from(seconds).unwrap_or(0));
    header.set_size(if kind == EntryType::Regular { entry.size } else { 0 });
    header.set_cksum();
    blocks.extend_from_slice(header.as_bytes());
    blocks
}

/// How many zeros follow a content of so many bytes.
pub(crate) fn padding(size: u64) -> usize {
    let block = BLOCK as u64;
    usize::try_from(size.next_multiple_of(block) - size).unwrap_or(0)
}

/// Relative, and never an option.
fn dotted(name: &Path, directory: bool) -> Vec<u8> {
    let end: &[u8] = if directory && !name.as_os_str().is_empty() { b"/" } else { b"" };
    [b"./", name.as_os_str().as_bytes(), end].concat()
}

fn put(field: &mut Option<&mut [u8]>, bytes: &[u8]) {
    if let Some(field) = field {
        let length = bytes.len().min(field.len());
        field[..length].copy_from_slice(&bytes[..length]);
    }
}

fn long(kind: EntryType, name: &[u8], blocks: &mut Vec<u8>) {
    let content = [name, b"\0"].concat();
    special(kind, LONG_LINK, &content, blocks);
}

fn extended(content: &[u8], blocks: &mut Vec<u8>) {
    special(EntryType::XHeader, b"./PaxHeaders/entry", content, blocks);
}

fn special(kind: EntryType, name: &[u8], content: &[u8], blocks: &mut Vec<u8>) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    put(&mut header.as_gnu_mut().map(|gnu| &mut gnu.name[..]), name);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    header.set_cksum();
    blocks.extend_from_slice(header.as_bytes());
    blocks.extend_from_slice(content);
    blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length += 1;
    }
    format!("{length} {key}={value}\n").into_bytes()
}

/// Seconds since the epoch, with nine digits behind the point.
pub(crate) fn time(time: SystemTime) -> String {
    let (seconds, nanos) = since_epoch(time);
    decimal(seconds, nanos)
}

/// Whole seconds, rounded down, and what is left.
fn since_epoch(time: SystemTime) -> (i64, u32) {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (i64::try_from(after.as_secs()).unwrap_or(i64::MAX), after.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            let seconds = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            match before.subsec_nanos() {
                0 => (-seconds, 0),
                nanos => (-seconds - 1, 1_000_000_000 - nanos),
            }
        }
    }
}

fn decimal(seconds: i64, nanos: u32) -> String {
    if seconds >= 0 || nanos == 0 {
        return format!("{seconds}.{nanos:09}");
    }
    // -1.25 s is two seconds down and three quarters up.
    format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanos)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::Duration;

    use super::*;

    fn entry(kind: Kind, modified: SystemTime) -> Entry {
        Entry {
            path: "/r".into(),
            kind,
            mode: 0o6750,
            uid: 3_000_000,
            gid: 7,
            user: None,
            group: None,
            size: 3,
            modified,
            changed: None,
            inode: 0,
            device: 0,
            links: 1,
        }
    }

    #[test]
    fn another_reader_finds_everything_in_it() {
        let long = "x/".repeat(150) + "file";
        let time = UNIX_EPOCH + Duration::new(1_700_000_000, 120);
        let file = entry(Kind::File, time);
        let mut stream = head(&file, Path::new(&long), None);
        stream.extend_from_slice(b"abc");
        stream.resize(stream.len() + padding(3), 0);
        stream.extend(head(&file, Path::new("-again"), Some(Path::new(&long))));
        let target = "t".repeat(300);
        let link = entry(Kind::Symlink(target.clone().into()), UNIX_EPOCH);
        stream.extend(head(&link, Path::new("link"), None));
        stream.extend_from_slice(&END);
        assert_eq!(stream.len() % BLOCK, 0);
        let mut archive = tar::Archive::new(&stream[..]);
        let mut entries = archive.entries().unwrap();
        let mut first = entries.next().unwrap().unwrap();
        assert_eq!(first.path_bytes(), format!("./{long}").as_bytes());
        assert_eq!(first.header().uid().unwrap(), 3_000_000);
        assert_eq!(first.header().mode().unwrap(), 0o6750);
        let times = first.pax_extensions().unwrap().unwrap().next().unwrap().unwrap();
        assert_eq!((times.key(), times.value()), (Ok("mtime"), Ok("1700000000.000000120")));
        let mut content = String::new();
        first.read_to_string(&mut content).unwrap();
        assert_eq!(content, "abc");
        let second = entries.next().unwrap().unwrap();
        assert_eq!(second.path_bytes(), &b"./-again"[..]);
        assert_eq!(second.link_name_bytes().unwrap(), format!("./{long}").as_bytes());
        let third = entries.next().unwrap().unwrap();
        assert_eq!(third.link_name_bytes().unwrap(), target.as_bytes());
        assert!(entries.next().is_none());
    }

    #[test]
    fn times_before_1970_and_lengths_that_count_themselves() {
        let before = |nanos| since_epoch(UNIX_EPOCH - Duration::from_nanos(nanos));
        assert_eq!(before(1_250_000_000), (-2, 750_000_000));
        assert_eq!(decimal(-2, 750_000_000), "-1.250000000");
        assert_eq!(decimal(-1, 750_000_000), "-0.250000000");
        let (seconds, nanos) = before(2_000_000_000);
        assert_eq!(decimal(seconds, nanos), "-2.000000000");
        for length in 80..120 {
            let record = record("k", &"v".repeat(length));
            let text = String::from_utf8(record).unwrap();
            let (said, _) = text.split_once(' ').unwrap();
            assert_eq!(said.parse::<usize>().unwrap(), text.len());
        }
    }
}
