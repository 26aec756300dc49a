//! Putting one file in another one's place.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::read::{mark, root_trouble, said, unreadable};
use super::{ExecChannel, alone};
use crate::exec::{Feed, feed};
use crate::workspace::{Broken, Entry, Note, Reason};

/// Nothing is read or written for so long only by a file system that hangs.
const IDLE: std::time::Duration = std::time::Duration::from_mins(2);

/// What the script ends with when another file is there than was merged.
const CHANGED: i32 = 79;

/// `$1` is the mark, `$2` the root, `$3` the directory in it and `$4` the name there, `$5` another
/// name, `$6` the length, `$7` the mode, `$8` the owner, `$9` the digest of what is there, or a dash. A
/// file that came short is not put anywhere, and one that nobody has read is not replaced.
const REPLACE: &str = r#"
[ ! -L "$2" ] || exit 71
cd -P -- "$2" || exit 72
base=${PWD%/}
cd -P -- "$base/$3" && [ "${PWD%/}/" = "$base/$3" ] || exit 75
umask 077; set -C
trap 'rm -f -- "./$5"' EXIT; trap 'exit 143' TERM
cat > "./$5" || exit 76
[ "$(wc -c < "./$5")" -eq "$6" ] || exit 77
chown -- "$8" "./$5" 2>/dev/null
chmod -- "$7" "./$5" || exit 1
if [ "$9" = - ]; then
  # A link is made only where nothing is.
  ln -T -- "./$5" "./$4" 2>/dev/null && exit
  if [ -e "./$4" ] || [ -L "./$4" ]; then exit 79; fi
elif [ -L "./$4" ] || [ ! -f "./$4" ] || [ "$(sha256sum <"./$4")" != "$9  -" ]; then
  exit 79
fi
mv -fT -- "./$5" "./$4"
"#;

pub(super) async fn replace(
    channel: &ExecChannel,
    root: PathBuf,
    like: Entry,
    (content, was): (Bytes, Option<[u8; 32]>),
) -> Result<Vec<Note>, Broken> {
    let relative = like.path.strip_prefix(&root).unwrap_or(Path::new(""));
    let name = relative.file_name().and_then(|name| name.to_str());
    let directory = relative.parent().and_then(Path::to_str);
    let (Some(name), Some(directory), Some(root_text)) = (name, directory, root.to_str()) else {
        return Err(unreadable(channel, "a config file's path is no UTF-8".into()));
    };
    let directory = if directory.is_empty() { String::new() } else { format!("{directory}/") };
    let beside = format!(".salvor-{}", Uuid::new_v4().simple());
    let size = content.len();
    let arguments = alone::arguments(REPLACE, &mark(), root_text)
        .into_iter()
        .chain([directory, name.to_owned(), beside])
        .chain([
            size.to_string(),
            format!("{:o}", like.mode),
            format!("{}:{}", like.uid, like.gid),
            was.map_or_else(|| "-".to_owned(), hex::encode),
        ]);
    let (given, input) = mpsc::channel(1);
    let (output, _) = mpsc::channel(1);
    let (arguments, leave) = (arguments.collect(), channel.leave.clone());
    let job = Feed { arguments, size: size as u64, input, output, idle: IDLE, leave };
    let giving = async move {
        // The command's end says whether it came.
        let _ = given.send(content).await;
    };
    let feeding = feed(&channel.gateway, &channel.healthy, &channel.incarnation, job);
    let (finished, ()) = tokio::join!(feeding, giving);
    let finished = finished?;
    if let Some(note) = root_trouble(channel, &root, &finished, "sh")? {
        return Ok(vec![note]);
    }
    let detail = match finished.status {
        0 => return Ok(Vec::new()),
        CHANGED => {
            let detail = "was changed after it was merged, and stays as it is".to_owned();
            return Ok(vec![Note { path: like.path, reason: Reason::ChangedWhileReading, detail }]);
        }
        75 => "its directory is not there, or is behind a symbolic link".to_owned(),
        status => format!("putting it in place ended with {status}: {}", said(&finished)),
    };
    Ok(vec![Note { path: like.path, reason: Reason::Unwritable, detail }])
}
