//! Labels, annotations and label selectors, by the vendor's rules and in its words.

use std::collections::BTreeMap;

use crate::refusal::{Outcome, Refusal};

const MAX_ENTRIES: usize = 128;
const MAX_KEY: usize = 256;
const MAX_VALUE: usize = 8192;
const MAX_SELECTOR_PAIRS: usize = 64;

/// Keys and values in Kubernetes syntax.
pub(crate) fn check_labels(labels: &BTreeMap<String, String>) -> Outcome<()> {
    for (key, value) in labels {
        check_key(key)?;
        check_label_value(value)?;
    }
    Ok(())
}

/// Keys as for labels, values free up to 8 KiB, at most 128 of them.
pub(crate) fn check_annotations(annotations: &BTreeMap<String, String>) -> Outcome<()> {
    check_map(annotations, "annotations")?;
    annotations.keys().try_for_each(|key| check_key(key))
}

/// Entry count and sizes of any string map.
pub(crate) fn check_map(map: &BTreeMap<String, String>, field: &str) -> Outcome<()> {
    let too_long = |what: &str, len: usize, max: usize| {
        Refusal::invalid(format!("{field} {what} exceeds maximum length ({len} > {max})"))
    };
    if map.len() > MAX_ENTRIES {
        return Err(Refusal::invalid(format!(
            "{field} exceeds maximum entries ({} > {MAX_ENTRIES})",
            map.len()
        )));
    }
    for (key, value) in map {
        if key.len() > MAX_KEY {
            return Err(too_long("key", key.len(), MAX_KEY));
        }
        if value.len() > MAX_VALUE {
            return Err(too_long("value", value.len(), MAX_VALUE));
        }
    }
    Ok(())
}

/// Comma-joined `k=v` pairs; nothing else is a selector.
pub(crate) fn parse_selector(selector: &str) -> Outcome<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    for pair in selector.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        if pairs.len() == MAX_SELECTOR_PAIRS {
            return Err(Refusal::invalid(format!(
                "label selector exceeds {MAX_SELECTOR_PAIRS} pair limit"
            )));
        }
        let Some((key, value)) = pair.split_once('=') else {
            return Err(Refusal::invalid(format!(
                "invalid label selector: expected 'key=value', got '{pair}'"
            )));
        };
        let (key, value) = (key.trim(), value.trim());
        if key.is_empty() {
            return Err(Refusal::invalid(format!(
                "invalid label selector: key cannot be empty in '{pair}'"
            )));
        }
        check_key(key)?;
        check_label_value(value)?;
        pairs.push((key.to_owned(), value.to_owned()));
    }
    Ok(pairs)
}

fn check_key(key: &str) -> Outcome<()> {
    let bad = |problem: &str| Err(Refusal::invalid(format!("label key {problem}: '{key}'")));
    if key.is_empty() {
        return Err(Refusal::invalid("label key cannot be empty"));
    }
    if key.len() > 253 {
        return bad("exceeds 253 characters");
    }
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if name.is_empty() {
        return bad("name segment cannot be empty");
    }
    if name.len() > 63 {
        return bad("name segment exceeds 63 characters");
    }
    if let Some(problem) = segment_problem(name) {
        return bad(&format!("name segment {problem}"));
    }
    match prefix.and_then(prefix_problem) {
        Some(problem) => bad(problem),
        None => Ok(()),
    }
}

fn prefix_problem(prefix: &str) -> Option<&'static str> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if prefix.is_empty() {
        Some("prefix cannot be empty when '/' is present")
    } else if !prefix.chars().all(allowed) {
        Some("prefix must be a DNS subdomain (lowercase alphanumeric, '-', '.')")
    } else if prefix.starts_with(['-', '.']) || prefix.ends_with(['-', '.']) {
        Some("prefix cannot start or end with '-' or '.'")
    } else if prefix.contains("..") {
        Some("prefix cannot contain consecutive dots")
    } else {
        None
    }
}

fn check_label_value(value: &str) -> Outcome<()> {
    let problem = if value.is_empty() {
        None
    } else if value.len() > 63 {
        Some("exceeds 63 characters")
    } else {
        segment_problem(value)
    };
    match problem {
        Some(problem) => Err(Refusal::invalid(format!("label value {problem}: '{value}'"))),
        None => Ok(()),
    }
}

fn segment_problem(segment: &str) -> Option<&'static str> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !segment.chars().all(allowed) {
        Some("contains invalid characters (must be alphanumeric, '-', '_', or '.')")
    } else if !segment.starts_with(char::is_alphanumeric) {
        Some("must start with alphanumeric character")
    } else if !segment.ends_with(char::is_alphanumeric) {
        Some("must end with alphanumeric character")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_rules_are_kubernetes_rules() {
        let check = |key: &str, value: &str| {
            check_labels(&BTreeMap::from([(key.to_owned(), value.to_owned())]))
        };
        for (key, value) in [("app", "x"), ("example.com/my-app", ""), ("a1-b2_c3.d4", "v1.2")] {
            assert_eq!(check(key, value), Ok(()), "{key}={value}");
        }
        let long = "v".repeat(64);
        for (key, value) in [
            ("", "x"),
            ("-a", "x"),
            ("a-", "x"),
            ("/a", "x"),
            ("a/", "x"),
            ("A.b/c", "x"),
            ("a..b/c", "x"),
            ("a b", "x"),
            ("a", "sha256:00"),
            ("a", "-x"),
            ("a", long.as_str()),
        ] {
            assert!(check(key, value).is_err(), "{key}={value}");
        }
    }

    #[test]
    fn selectors_know_equality_only() {
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        assert_eq!(parse_selector(" a=b , c= "), Ok(vec![pair("a", "b"), pair("c", "")]));
        assert_eq!(parse_selector(""), Ok(Vec::new()));
        for selector in ["a", "a!=b", "=b"] {
            assert!(parse_selector(selector).is_err(), "{selector}");
        }
        let many = vec!["a=b"; 65].join(",");
        assert!(parse_selector(&many).unwrap_err().message.contains("64 pair limit"));
    }
}
