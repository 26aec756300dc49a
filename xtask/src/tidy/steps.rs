//! Next steps: each service has one place for them, which a test types. Nobody else words one.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::shown;

/// Where errors get their next steps, and by which call.
const GIVEN: [(&str, &str); 4] = [
    ("gateway-adapter/src/", ".next_step("),
    ("services/registry/src/", ".next_step("),
    ("services/recovery-orchestrator/src/", ".next_step("),
    ("cli/src/", ".next("),
];

pub(super) fn check(root: &Path, sources: &[PathBuf]) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for path in sources {
        let name = shown(root, path);
        let calls = GIVEN.iter().filter(|(folder, _)| name.starts_with(folder));
        for (_, call) in calls.filter(|_| !name.contains("tests")) {
            let text = fs::read_to_string(path)?;
            if worded(&text, call) {
                complaints.push(format!("{name}: words a next step itself; use NextStep"));
            }
        }
    }
    Ok(complaints)
}

/// Whether such a call outside of the file's tests is given a text.
fn worded(text: &str, call: &str) -> bool {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.match_indices(call).any(|(at, _)| {
        let given = code[at + call.len()..].trim_start().trim_start_matches('&');
        given.starts_with('"') || given.starts_with("format!(")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_told_from_a_word() {
        assert!(worded("error.next_step(\"ask again\")", ".next_step("));
        assert!(worded("error\n  .next_step(\n  format!(\"salvor {x}\"))", ".next_step("));
        assert!(!worded("error.next_step(NextStep::Status.of(name))", ".next_step("));
        assert!(!worded("x\n#[cfg(test)]\nmod tests {\n.next_step(\"x\")", ".next_step("));
    }
}
