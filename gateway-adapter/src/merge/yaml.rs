//! YAML, one document. Aliases are read as what they stand for.

mod emit;

use serde_norway::{Mapping, Value};

use super::node::Node;
use super::{Document, Unmerged};

/// A YAML document.
pub(super) struct Yaml {
    root: Value,
    /// The texts that its values come from.
    sources: Vec<String>,
}

// === impl Yaml ===

impl Document for Yaml {
    fn parse(text: &str) -> Result<Self, Unmerged> {
        let value: Value = serde_norway::from_str(text).map_err(|error| {
            // The library's own words may quote the file.
            let place = error.location().map_or_else(String::new, |place| {
                format!(" at line {}, column {}", place.line(), place.column())
            });
            Unmerged(format!("it is no single YAML document, or has a key twice{place}"))
        })?;
        // An empty file is a table without keys, as in TOML.
        let root = if value.is_null() { Value::Mapping(Mapping::new()) } else { value };
        Ok(Self { root, sources: vec![text.to_owned()] })
    }

    fn node(&self) -> Result<Node, Unmerged> {
        node(&self.root)
    }

    fn put(&mut self, path: &[String], from: &Self) {
        let found = path.iter().try_fold(&from.root, |value, segment| {
            let (_, value) = value.as_mapping()?.iter().find(|(key, _)| named(key, segment))?;
            Some(value)
        });
        let Some(found) = found.cloned() else { return };
        if self.sources.len() == 1 {
            self.sources.extend(from.sources.first().cloned());
        }
        let mut value = &mut self.root;
        for segment in path {
            if !value.is_mapping() {
                *value = Value::Mapping(Mapping::new());
            }
            let Value::Mapping(mapping) = value else { return };
            let present = mapping.keys().find(|key| named(key, segment)).cloned();
            let key = present.unwrap_or_else(|| Value::String(segment.clone()));
            value = mapping.entry(key).or_insert(Value::Null);
        }
        *value = found;
    }

    fn take(&mut self, path: &[String]) {
        let Some((last, parents)) = path.split_last() else { return };
        let mut value = &mut self.root;
        for segment in parents {
            let next = value.as_mapping_mut().and_then(|mapping| {
                mapping.iter_mut().find(|(key, _)| named(key, segment)).map(|(_, next)| next)
            });
            let Some(next) = next else { return };
            value = next;
        }
        if let Some(mapping) = value.as_mapping_mut() {
            mapping.retain(|key, _| !named(key, last));
        }
    }

    fn render(&self) -> Result<String, Unmerged> {
        emit::document(&self.root, &self.sources)
    }
}

/// Whether a key is what a path calls `segment`.
fn named(key: &Value, segment: &str) -> bool {
    self::key(key).is_some_and(|text| text == segment)
}

/// A key's text; other keys than plain ones have none.
fn key(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null => Some("null".into()),
        Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => None,
    }
}

fn node(value: &Value) -> Result<Node, Unmerged> {
    Ok(match value {
        Value::Null => Node::Value("null".into()),
        Value::Bool(truth) => Node::Value(truth.to_string()),
        Value::Number(number) => Node::Value(number.to_string()),
        Value::String(text) => Node::Value(super::json::quoted(text)),
        Value::Sequence(items) => Node::List(items.iter().map(node).collect::<Result<_, _>>()?),
        Value::Tagged(tagged) => {
            let tag = Node::Value(tagged.tag.to_string());
            Node::List(vec![tag, node(&tagged.value)?])
        }
        Value::Mapping(mapping) => {
            let mut seen = std::collections::BTreeSet::new();
            let entries = mapping.iter().map(|(name, value)| {
                let name = key(name).ok_or_else(|| Unmerged("a key is no plain value".into()))?;
                if name == "<<" {
                    return Err(Unmerged("it has a merge key (<<)".into()));
                }
                if !seen.insert(name.clone()) {
                    let text = format!("key {} occurs twice", super::json::quoted(&name));
                    return Err(Unmerged(text));
                }
                Ok((name, node(value)?))
            });
            Node::Table(entries.collect::<Result<_, _>>()?)
        }
    })
}
