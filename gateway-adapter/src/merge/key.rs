//! Dotted keys.

/// The most segments that a key has.
const MAX_SEGMENTS: usize = 64;

/// A path through tables, with at least one segment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(Vec<String>);

// === impl Key ===

impl Key {
    /// Reads a key as a record has it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut segments = Vec::new();
        let mut rest = text;
        loop {
            let (segment, after) = segment(rest)?;
            segments.push(segment);
            if segments.len() > MAX_SEGMENTS {
                return Err(format!("must have at most {MAX_SEGMENTS} segments"));
            }
            rest = match after.strip_prefix('.') {
                Some(rest) => rest,
                None if after.is_empty() => return Ok(Self(segments)),
                None => return Err("must have a dot after a quoted segment".into()),
            };
        }
    }

    /// Its segments.
    pub(super) fn path(&self) -> &[String] {
        &self.0
    }
}

/// The first segment and what follows it.
fn segment(text: &str) -> Result<(String, &str), String> {
    if !text.starts_with('"') {
        let end = text.find('.').unwrap_or(text.len());
        let (segment, rest) = text.split_at(end);
        if segment.is_empty() {
            return Err("must not have an empty segment".into());
        }
        if segment.contains('"') {
            return Err("must have quotes only around a whole segment".into());
        }
        return Ok((segment.to_owned(), rest));
    }
    let end = super::json::string_end(text).ok_or("must close its quotes")?;
    let segment = serde_json::from_str(&text[..end]).map_err(|error| error.to_string())?;
    Ok((segment, &text[end..]))
}

/// Without those that lie inside of another one.
pub(super) fn outermost(keys: &[Key]) -> Vec<&Key> {
    let mut sorted: Vec<&Key> = keys.iter().collect();
    sorted.sort();
    sorted.dedup_by(|later, earlier| later.0.starts_with(&earlier.0));
    sorted
}

/// Whether one of the keys is `path` or leads to it.
pub(super) fn owns(keys: &[Key], path: &[String]) -> bool {
    keys.iter().any(|key| path.starts_with(&key.0))
}

/// As [`Key::parse`] reads it.
pub(super) fn text(path: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let quoted = |segment: &String| {
        if !segment.is_empty() && segment.chars().all(plain) {
            segment.clone()
        } else {
            super::json::quoted(segment)
        }
    };
    path.iter().map(quoted).collect::<Vec<_>>().join(".")
}
