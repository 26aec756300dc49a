//! Asking a person. Nothing is ever taken for a yes but what was asked for.

use std::io::{self, BufRead, IsTerminal};

use crate::exit::Failure;
use crate::output::Output;

/// Whether somebody can read a question and answer it.
pub(super) fn can_ask(output: &Output) -> bool {
    !output.is_json() && io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Whether the last segment of `name` is typed on `input`. `purpose` ends the sentence that asks for it.
pub(super) fn typed(
    name: &str,
    purpose: &str,
    input: &mut impl BufRead,
    output: &Output,
) -> Result<bool, Failure> {
    let label = label(name);
    output.note(&format!("Type {label} to {purpose}:"));
    let mut typed = String::new();
    input.read_line(&mut typed).map_err(|error| Failure::internal(error.to_string()))?;
    Ok(typed.trim() == label)
}

/// What has to be typed.
pub(super) fn label(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Color, Format};

    #[test]
    fn only_the_very_name_is_a_yes() {
        let output = Output::new(Format::Json, Color::Never);
        let asked = |answer: &str| {
            let name = "gateways/g/workspaces/w/sandboxes/coder";
            typed(name, "go on", &mut answer.as_bytes(), &output).unwrap()
        };
        assert!(asked("coder\n") && asked(" coder \n"));
        for answer in ["", "yes\n", "y\n", "code\n", "coders\n", "Coder\n"] {
            assert!(!asked(answer), "{answer:?}");
        }
    }
}
