//! Sealed paths: making them read-only, and reading back that they are, path by path.
//!
//! Everything about up to a batch of paths is asked in one exec. Paths travel as arguments, so no
//! name is too odd. Invariant: only what was read back in the sandbox is said of a path, and what
//! could not be read is undetermined. Deliberately absent: making anything writable again.

use std::time::Duration;

use salvor_proto::Error;
use salvor_proto::gateway::v1::{SealedPathView, sealed_path_view::State};
use salvor_proto::registry::v1::{Posture, SealedPath};

/// How long one batch may take: it reads every file to its end.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
/// Paths of one exec, in number and in bytes.
const BATCH: usize = 128;
const BATCH_BYTES: usize = 64 << 10;
/// The contract's limit.
const MAX_PATHS: usize = 256;
/// The longest path that a system takes.
const MAX_PATH: usize = 4096;

/// Arguments: (expected digest, path) in turn; `$1` first says whether to seal. One line a path:
/// index, kind, mode, digest, whether it was changed.
const SCRIPT: &str = r#"
tag=$1; seal=$2; shift 2; i=0
missing() {
  d=$1
  while [ ! -e "$d" ] && [ ! -L "$d" ]; do
    d=${d%/*}; [ -n "$d" ] || d=/
  done
  [ -d "$d" ] && [ -x "$d" ]
}
while [ "$#" -ge 2 ]; do
  want=$1; p=$2; shift 2; kind=unknown; mode=-; sum=-; did=0
  if [ -L "$p" ]; then kind=other
  elif [ -f "$p" ]; then
    kind=file
    sum=$(sha256sum < "$p" 2>/dev/null); sum=${sum%% *}
    if [ "$seal" = 1 ] && [ "$sum" = "$want" ]; then
      before=$(stat -c %a -- "$p" 2>/dev/null)
      chmod a-w -- "$p" 2>/dev/null
      [ "$before" = "$(stat -c %a -- "$p" 2>/dev/null)" ] || did=1
      sum=$(sha256sum < "$p" 2>/dev/null); sum=${sum%% *}
    fi
    mode=$(stat -c %a -- "$p" 2>/dev/null)
  elif [ -e "$p" ]; then kind=other
  elif missing "$p"; then kind=missing
  fi
  printf '%s %d %s %s %s %d\n' "$tag" "$i" "$kind" "${mode:--}" "${sum:--}" "$did"
  i=$((i+1))
done
"#;
/// Leads each line, so that a login shell's noise is no answer.
const TAG: &str = "salvor-path";

/// What was found of a batch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Findings {
    /// In the order of the paths.
    pub paths: Vec<SealedPathView>,
    /// Whether any mode was changed.
    pub changed: bool,
}

/// Checks a posture's paths.
///
/// # Errors
/// INVALID, naming the path's place in the request.
pub(crate) fn check(posture: &Posture) -> Result<(), Error> {
    if posture.sealed_paths.len() > MAX_PATHS {
        let problem = format!("must have at most {MAX_PATHS} paths");
        return Err(Error::invalid("posture.sealed_paths", problem));
    }
    for (index, sealed) in posture.sealed_paths.iter().enumerate() {
        let field = |part: &str| format!("posture.sealed_paths[{index}].{part}");
        if !is_normal(&sealed.path) {
            return Err(Error::invalid(field("path"), "must be absolute and normalised"));
        }
        let hex = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        if sealed.sha256.len() != 64 || !sealed.sha256.bytes().all(hex) {
            return Err(Error::invalid(field("sha256"), "must be 64 lower-case hex digits"));
        }
    }
    Ok(())
}

fn is_normal(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    path.len() <= MAX_PATH
        && !path.contains('\0')
        && rest.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// The paths in batches that fit one exec each.
pub(crate) fn batches(paths: &[SealedPath]) -> Vec<&[SealedPath]> {
    let mut batches = Vec::new();
    let mut rest = paths;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fitting = rest.iter().take(BATCH).take_while(|sealed| {
            bytes += sealed.path.len() + sealed.sha256.len();
            bytes <= BATCH_BYTES
        });
        let (batch, later) = rest.split_at(fitting.count().max(1));
        batches.push(batch);
        rest = later;
    }
    batches
}

/// The command for one batch. `seal`: take the write permission from those whose digest matches.
pub(crate) fn command(batch: &[SealedPath], seal: bool) -> Vec<String> {
    let seal = if seal { "1" } else { "0" };
    let mut arguments = ["/bin/sh", "-c", SCRIPT, "sh", TAG, seal].map(str::to_owned).to_vec();
    for sealed in batch {
        arguments.extend([sealed.sha256.clone(), sealed.path.clone()]);
    }
    arguments
}

/// Reads what the command printed. A path without a line stays undetermined.
pub(crate) fn read(batch: &[SealedPath], stdout: &[u8]) -> Findings {
    let blank = |sealed: &SealedPath| SealedPathView {
        path: sealed.path.clone(),
        state: State::Unspecified.into(),
        sha256: String::new(),
    };
    let mut findings = Findings { paths: batch.iter().map(blank).collect(), changed: false };
    for line in String::from_utf8_lossy(stdout).lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [TAG, index, kind, mode, sum, changed] = words[..] else { continue };
        let index = index.parse().unwrap_or(usize::MAX);
        let (Some(view), Some(sealed)) = (findings.paths.get_mut(index), batch.get(index)) else {
            continue;
        };
        view.state = state(kind, mode, sum, &sealed.sha256).into();
        if sum.len() == 64 {
            sum.clone_into(&mut view.sha256);
        }
        findings.changed |= changed == "1";
    }
    findings
}

fn state(kind: &str, mode: &str, sum: &str, expected: &str) -> State {
    match kind {
        "missing" => State::Missing,
        "other" => State::NotRegular,
        "file" if sum.len() != 64 => State::Unspecified,
        "file" if sum != expected => State::Changed,
        "file" => match u32::from_str_radix(mode, 8) {
            Ok(mode) if mode & 0o222 == 0 => State::Sealed,
            Ok(_) => State::Writable,
            Err(_) => State::Unspecified,
        },
        _ => State::Unspecified,
    }
}

#[cfg(test)]
mod tests;
