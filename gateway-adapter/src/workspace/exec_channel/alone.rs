//! One writer at a time below a root.
//!
//! A call that broke (its input ended, the connection was lost, the adapter was killed) may leave its
//! command running in the sandbox, where it would write under the feet of the next one. So a command
//! that writes has a word in its environment that all of its processes inherit, and before it begins
//! it ends those that have the same word with an older mark. The adapter sends one writing command at
//! a time for a root, so whatever is older is left over; a command that was slow to start and finds a
//! newer one leaves. Without a readable `/proc` none is found.

/// What a command's word begins with; the root and the mark follow.
const WORD: &str = "SALVOR_WRITER";

/// Why nothing was written.
pub(super) const OCCUPIED: &str = "a command of another call writes below this root: a newer one, \
                                   or a broken one that cannot be ended; nothing was written";

/// `$1` is the mark, `$2` the root. The pattern is read from standard input, since `grep` would find
/// itself by its arguments.
const PROLOGUE: &str = r#"
others() {
  printf '%s=%s:\n' SALVOR_WRITER "$2" |
    grep -lsFf - /proc/[0-9]*/environ /proc/[0-9]*/cmdline |
    while read -r file; do
      theirs=$({ tr '\0' '\n' <"$file" |
        sed -n 's/.*SALVOR_WRITER=.*:\(salvor-begin-[0-9a-f]*\).*/\1/p' | head -n 1; } 2>/dev/null)
      if [ -z "$theirs" ] || [ "$theirs" = "$1" ]; then continue; fi
      if [ "$theirs" \> "$1" ]; then echo newer; continue; fi
      file=${file#/proc/}
      printf '%s\n' "${file%/*}"
    done
}
tries=0
while found=$(others "$1" "$2"); [ -n "$found" ]; do
  case $found in *newer*) exit 78 ;; esac
  [ "$tries" -lt 50 ] || exit 78
  tries=$((tries + 1))
  kill $found 2>/dev/null
  sleep 0.1
done
"#;

/// The command that runs a script which writes below a root, alone. Marks are ordered by time.
pub(super) fn arguments(script: &str, mark: &str, root: &str) -> Vec<String> {
    let word = format!("{WORD}={root}:{mark}");
    let script = format!("{PROLOGUE}{script}");
    ["env", &word, "/bin/sh", "-c", &script, "sh", mark, root].map(str::to_owned).to_vec()
}
