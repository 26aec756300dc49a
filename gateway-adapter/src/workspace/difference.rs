//! What is different between an entry of a snapshot and the one in a sandbox.
//!
//! Not compared: inodes and times of change, the mode of symbolic links, names of owners (their
//! numbers are), and the time of a root itself, which every hook and nonce changes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Entry, Kind};

/// Says the first difference but that of content, for people.
pub(crate) fn of(stored: &Entry, live: &Entry, is_root: bool) -> Option<String> {
    let (wanted, found) = (name(&stored.kind), name(&live.kind));
    if wanted != found {
        return Some(format!("is {found} and not {wanted}"));
    }
    if stored.kind != live.kind {
        return Some("is a symbolic link to somewhere else".into());
    }
    if stored.kind == Kind::File && stored.size != live.size {
        return Some(format!("has {} bytes and not {}", live.size, stored.size));
    }
    if !matches!(stored.kind, Kind::Symlink(_)) && stored.mode != live.mode {
        return Some(format!("has mode {:04o} and not {:04o}", live.mode, stored.mode));
    }
    if (stored.uid, stored.gid) != (live.uid, live.gid) {
        let (uid, gid) = (stored.uid, stored.gid);
        return Some(format!("belongs to {}:{} and not to {uid}:{gid}", live.uid, live.gid));
    }
    if !is_root && !same_time(stored.modified, live.modified) {
        return Some("has another time of modification".into());
    }
    None
}

/// Equal, or equal to the second if one of them has no more to tell.
fn same_time(one: SystemTime, two: SystemTime) -> bool {
    let parts = |time: SystemTime| match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (true, after),
        Err(before) => (false, before.duration()),
    };
    let whole = |time: Duration| time.subsec_nanos() == 0;
    let ((after_one, one), (after_two, two)) = (parts(one), parts(two));
    let coarse = whole(one) || whole(two);
    after_one == after_two && if coarse { one.as_secs() == two.as_secs() } else { one == two }
}

/// With its article.
fn name(kind: &Kind) -> &'static str {
    match kind {
        Kind::File => "a file",
        Kind::Directory => "a directory",
        Kind::Symlink(_) => "a symbolic link",
        Kind::Fifo => "a named pipe",
        Kind::Socket => "a socket",
        Kind::Device => "a device",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(change: impl FnOnce(&mut Entry)) -> Entry {
        let mut entry = Entry {
            path: "/r/a".into(),
            kind: Kind::File,
            mode: 0o644,
            uid: 1,
            gid: 1,
            user: None,
            group: None,
            size: 1,
            modified: UNIX_EPOCH + Duration::new(5, 5),
            changed: None,
            inode: 1,
            device: 1,
            links: 1,
        };
        change(&mut entry);
        entry
    }

    fn found(change: impl FnOnce(&mut Entry)) -> Option<String> {
        of(&entry(|_| ()), &entry(change), false)
    }

    #[test]
    fn each_difference_is_said() {
        assert_eq!(found(|_| ()), None);
        assert_eq!(found(|e| (e.inode, e.device, e.links) = (9, 9, 9)), None);
        assert_eq!(found(|e| e.kind = Kind::Directory).unwrap(), "is a directory and not a file");
        assert_eq!(found(|e| e.size = 2).unwrap(), "has 2 bytes and not 1");
        assert_eq!(found(|e| e.mode = 0o4644).unwrap(), "has mode 4644 and not 0644");
        assert_eq!(found(|e| e.gid = 2).unwrap(), "belongs to 1:2 and not to 1:1");
        assert!(found(|e| e.modified += Duration::from_nanos(1)).is_some());
        let link = |target: &str| entry(|e| e.kind = Kind::Symlink(target.into()));
        assert!(of(&link("a"), &link("b"), false).is_some());
    }

    #[test]
    fn times_are_as_fine_as_the_coarser_of_two() {
        assert_eq!(found(|e| e.modified = UNIX_EPOCH + Duration::from_secs(5)), None);
        assert!(found(|e| e.modified = UNIX_EPOCH + Duration::from_secs(6)).is_some());
        let root = entry(|e| e.modified = UNIX_EPOCH);
        assert_eq!(of(&root, &entry(|_| ()), true), None);
    }
}
