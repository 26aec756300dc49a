//! Documents: every file that they name exists, and every error reason in the code is explained in docs/errors.md or
//! generated into docs/guards.md.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::{shown, walk};

pub(super) fn check(root: &Path, sources: &[PathBuf]) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for path in walk(root, "md")? {
        let text = fs::read_to_string(&path)?;
        for named in named_paths(&text) {
            let beside = path.parent().unwrap_or(root).join(&named);
            if !root.join(&named).exists() && !beside.exists() {
                complaints
                    .push(format!("{}: names {named}, which does not exist", shown(root, &path)));
            }
        }
    }
    let explained = explained(root)?;
    anyhow::ensure!(!explained.is_empty(), "no error reasons are explained: wrong folder?");
    for path in sources {
        let name = shown(root, path);
        if name.contains("tests")
            || name.starts_with("crates/devgateway")
            || name.starts_with("xtask")
        {
            continue;
        }
        for reason in reasons(&fs::read_to_string(path)?) {
            if !explained.contains(&reason) {
                complaints
                    .push(format!("{name}: reason {reason} is not explained in docs/errors.md"));
            }
        }
    }
    Ok(complaints)
}

/// Paths in backticks or links that look like files of this repository.
fn named_paths(text: &str) -> BTreeSet<String> {
    const ROOTS: [&str; 12] = [
        "proto/",
        "services/",
        "gateway-adapter/",
        "crates/",
        "cli/",
        "tests/",
        "benches/",
        "docs/",
        "deploy/",
        "xtask/",
        ".ci/",
        "examples/",
    ];
    let pieces = text.split(['`', '(', ')', ' ', '\n', '|', ',']);
    pieces
        .map(|piece| piece.trim_end_matches(['.', ':', ';']))
        .filter(|piece| ROOTS.iter().any(|root| piece.starts_with(root)))
        .filter(|piece| !piece.contains(['*', '{', '<', '…', '$', ':']))
        .map(|piece| piece.split('#').next().unwrap_or(piece).to_owned())
        .collect()
}

/// Upper-snake words in backticks in the two documents.
fn explained(root: &Path) -> Result<BTreeSet<String>> {
    let mut words = BTreeSet::new();
    for name in ["docs/errors.md", "docs/guards.md"] {
        let text = fs::read_to_string(root.join(name))?;
        words.extend(text.split('`').filter(|w| is_reason(w)).map(str::to_owned));
    }
    Ok(words)
}

/// The reasons that a source gives to an error: the literal that follows a code.
fn reasons(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("Code::") {
        let rest = &text[at..text.len().min(at + 120)];
        let Some((code, after)) = rest.split_once(',') else { continue };
        let plain = code["Code::".len()..].chars().all(char::is_alphanumeric);
        let literal = after.trim_start().strip_prefix('"').and_then(|t| t.split('"').next());
        if let Some(reason) = literal.filter(|word| plain && is_reason(word)) {
            found.insert(reason.to_owned());
        }
    }
    found
}

fn is_reason(word: &str) -> bool {
    word.len() > 3
        && word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
        && !word.starts_with('_')
}
