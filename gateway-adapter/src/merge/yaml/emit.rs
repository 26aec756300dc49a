//! Writing YAML that readers of 1.1 and of 1.2 take for the same.
//!
//! The library would write the string `no` bare, which a reader of 1.1 takes for false. Whether such
//! a string was quoted is not in the parsed value, so the source is asked: where it was both, nothing
//! is written.

use serde_norway::Value;

use super::super::{Unmerged, json};

/// Writes a document. `sources`: the texts that its values come from.
pub(super) fn document(value: &Value, sources: &[String]) -> Result<String, Unmerged> {
    let mut text = String::new();
    Emitter { sources }.block(value, 0, &mut text)?;
    Ok(text)
}

struct Emitter<'a> {
    sources: &'a [String],
}

// === impl Emitter ===

impl Emitter<'_> {
    /// Whole lines, each `depth` levels deep.
    fn block(&self, value: &Value, depth: usize, text: &mut String) -> Result<(), Unmerged> {
        let indent = "  ".repeat(depth);
        match value {
            Value::Mapping(mapping) if !mapping.is_empty() => {
                for (key, value) in mapping {
                    text.push_str(&indent);
                    text.push_str(&self.scalar(key)?);
                    text.push(':');
                    self.behind(value, depth, text)?;
                }
            }
            Value::Sequence(items) if !items.is_empty() => {
                for item in items {
                    text.push_str(&indent);
                    text.push('-');
                    self.behind(item, depth, text)?;
                }
            }
            _ => {
                text.push_str(&indent);
                text.push_str(&self.scalar(value)?);
                text.push('\n');
            }
        }
        Ok(())
    }

    /// What follows a key or a dash.
    fn behind(&self, value: &Value, depth: usize, text: &mut String) -> Result<(), Unmerged> {
        match value {
            Value::Tagged(tagged) => {
                text.push(' ');
                text.push_str(&tagged.tag.to_string());
                self.behind(&tagged.value, depth, text)
            }
            Value::Mapping(mapping) if !mapping.is_empty() => {
                text.push('\n');
                self.block(value, depth + 1, text)
            }
            Value::Sequence(items) if !items.is_empty() => {
                text.push('\n');
                self.block(value, depth + 1, text)
            }
            _ => {
                text.push(' ');
                self.block(value, 0, text)
            }
        }
    }

    fn scalar(&self, value: &Value) -> Result<String, Unmerged> {
        Ok(match value {
            Value::Null => "null".into(),
            Value::Bool(truth) => truth.to_string(),
            Value::Number(number) => number.to_string(),
            Value::String(text) if self.is_bare(text)? => text.clone(),
            Value::String(text) => json::quoted(text),
            Value::Mapping(_) => "{}".into(),
            Value::Sequence(_) => "[]".into(),
            Value::Tagged(_) => return Err(Unmerged("a tag stands where none can".into())),
        })
    }

    fn is_bare(&self, text: &str) -> Result<bool, Unmerged> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_./-+@:".contains(c);
        let first = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '/');
        let bare = first && text.chars().all(plain) && !text.ends_with(':');
        let string = serde_norway::from_str::<Value>(text);
        if !bare || string.ok().as_ref().and_then(Value::as_str) != Some(text) {
            return Ok(false);
        }
        if !is_ambiguous(text) {
            return Ok(true);
        }
        let quoted = [format!("'{text}'"), format!("\"{text}\"")];
        let is_quoted = self.sources.iter().any(|source| quoted.iter().any(|q| source.contains(q)));
        let is_bare = self.sources.iter().any(|source| stands_bare(source, text));
        if is_quoted && is_bare {
            let why =
                "it has one text bare and quoted that readers of YAML 1.1 take for another kind";
            return Err(Unmerged(why.into()));
        }
        Ok(!is_quoted)
    }
}

/// Whether a reader of YAML 1.1 may take a bare string for a truth value, a number or a time.
fn is_ambiguous(text: &str) -> bool {
    let word = text.to_ascii_lowercase();
    ["y", "n", "yes", "no", "on", "off"].contains(&word.as_str())
        || text.starts_with(|c: char| c.is_ascii_digit())
}

/// Whether a text stands between spaces, brackets or the like: comments count too.
fn stands_bare(source: &str, text: &str) -> bool {
    let open = |c: char| c.is_whitespace() || "[]{},:".contains(c);
    source.match_indices(text).any(|(at, _)| {
        source[..at].chars().next_back().is_none_or(open)
            && source[at + text.len()..].chars().next().is_none_or(open)
    })
}
