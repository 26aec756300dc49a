//! Command lines that people copy.

use std::borrow::Cow;

/// A word as a POSIX shell takes it: as it is, or in single quotes.
pub fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

/// A next step: a command, its subject if it has one, and what has to be seen to first, if anything, behind a `#`.
pub fn step(command: &str, subject: &str, first: &str) -> String {
    let mut step = command.to_owned();
    if !subject.is_empty() {
        step.push(' ');
        step.push_str(&quoted(subject));
    }
    if !first.is_empty() {
        step.push_str("  # ");
        step.push_str(first);
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_read_otherwise_is_quoted() {
        for (word, typed) in [
            ("gateways/g/snapshots/5a17", "gateways/g/snapshots/5a17"),
            ("", "''"),
            ("/a b", "'/a b'"),
            ("/a#b", "'/a#b'"),
            ("$(rm)", "'$(rm)'"),
            ("it's", r"'it'\''s'"),
            ("-x", "-x"),
            ("*", "'*'"),
        ] {
            assert_eq!(quoted(word), typed);
        }
    }

    #[test]
    fn a_remark_stands_behind_the_subject() {
        assert_eq!(
            step("salvor status", "a/b", "then ask again"),
            "salvor status a/b  # then ask again"
        );
        assert_eq!(step("salvor list", "", ""), "salvor list");
    }
}
