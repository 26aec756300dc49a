//! Giving directories their mode and time, where tar must not: it would put a directory in the place of whatever is there.

use std::fmt::Write;
use std::path::PathBuf;

use super::ExecChannel;
use super::write::{BATCH, listed, octal};
use crate::workspace::{Broken, Entry, Note, packing};

/// Words come in threes: path, mode, time. The way to a directory is looked at where it has led.
const DRESS: &str = r#"
  base=${1%/}; shift
  while [ $# -ge 3 ]; do
    path=$base$1; path=${path%/}
    name=${path##*/} parent=${path%/*}
    if cd -P -- "$parent/" 2>/dev/null && [ "${PWD%/}" = "$parent" ] &&
      [ -d "./$name" ] && [ ! -L "./$name" ] &&
      touch -c -m -d "@$3" -- "./$name" && chmod -- "$2" "./$name"
    then :; else printf "%s\0" "$1"; fi
    shift 3
  done
"#;

pub(super) async fn dress(
    channel: &ExecChannel,
    root: PathBuf,
    directories: Vec<Entry>,
) -> Result<Vec<Note>, Broken> {
    let detail = "did not get its mode and time back, or is no directory any more";
    let mut notes = Vec::new();
    for batch in directories.chunks(BATCH) {
        let mut list = String::new();
        for entry in batch {
            octal(&root, &entry.path, &mut list);
            let time = packing::time(entry.modified);
            // Neither has anything in it that printf would read as something else.
            let _ = write!(list, "{:o}\\0000{time}\\0000", entry.mode);
        }
        notes.extend(listed(channel, &root, (list, DRESS), detail).await?);
    }
    Ok(notes)
}
