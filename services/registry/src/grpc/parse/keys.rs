//! Dotted keys of config files.

/// The most segments that a key has.
const MAX_SEGMENTS: usize = 64;

/// Checks a path through tables: segments with dots between; a segment may be quoted as a JSON string.
///
/// # Errors
/// What is wrong with it.
pub(super) fn dotted(text: &str) -> Result<(), String> {
    let mut rest = text;
    for _ in 0..MAX_SEGMENTS {
        let after = segment(rest)?;
        rest = match after.strip_prefix('.') {
            Some(rest) => rest,
            None if after.is_empty() => return Ok(()),
            None => return Err("must have a dot after a quoted segment".to_owned()),
        };
    }
    Err(format!("must have at most {MAX_SEGMENTS} segments"))
}

/// What follows the first segment.
fn segment(text: &str) -> Result<&str, String> {
    if text.starts_with('"') {
        let mut quoted = serde_json::Deserializer::from_str(text).into_iter::<String>();
        return match quoted.next() {
            Some(Ok(_)) => Ok(&text[quoted.byte_offset()..]),
            _ => Err("must close its quotes, and escape as JSON does".to_owned()),
        };
    }
    let (segment, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    if segment.is_empty() {
        return Err("must not have an empty segment".to_owned());
    }
    if segment.contains('"') {
        return Err("must have quotes only around a whole segment".to_owned());
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_path_of_segments() {
        for good in ["a", "a.b.c", r#""a.b".c"#, r#"a."\"x\"""#, r#""""#, "naïve key"] {
            assert_eq!(dotted(good), Ok(()), "{good}");
        }
        assert_eq!(dotted(&["a"; MAX_SEGMENTS].join(".")), Ok(()));
    }

    #[test]
    fn what_is_none_says_what_is_wrong() {
        for (bad, said) in [
            ("", "empty segment"),
            ("a.", "empty segment"),
            (".a", "empty segment"),
            (r#""a"#, "close its quotes"),
            (r#""\q""#, "close its quotes"),
            (r#""a"b"#, "dot after"),
            (r#"a"b""#, "around a whole"),
        ] {
            let problem = dotted(bad).unwrap_err();
            assert!(problem.contains(said), "{bad}: {problem}");
        }
        assert!(dotted(&["a"; MAX_SEGMENTS + 1].join(".")).is_err());
    }
}
