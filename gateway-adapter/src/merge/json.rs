//! JSON. Numbers keep their text, since a parser would round them.

use serde::de::IgnoredAny;

use super::node::Node;
use super::{Document, Unmerged};

/// How deep tables and lists may lie in each other.
const MAX_DEPTH: usize = 128;

/// A JSON text.
pub(super) struct Json {
    root: Node,
    /// Written over several lines.
    wide: bool,
    /// Ends with a line break.
    ended: bool,
}

// === impl Json ===

impl Document for Json {
    fn parse(text: &str) -> Result<Self, Unmerged> {
        // The grammar is the library's affair: what it takes, the reader below can read.
        serde_json::from_str::<IgnoredAny>(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Unmerged(format!("it is no JSON at line {line}, column {column}"))
        })?;
        let mut reader = Reader { text, at: 0, depth: 0 };
        let root = reader.value()?;
        let wide = text.trim().contains('\n');
        Ok(Self { root, wide, ended: text.ends_with('\n') })
    }

    fn node(&self) -> Result<Node, Unmerged> {
        Ok(self.root.clone())
    }

    fn put(&mut self, path: &[String], from: &Self) {
        let Some(value) = from.root.at(path).cloned() else { return };
        let mut node = &mut self.root;
        for segment in path {
            if !node.is_table() {
                *node = Node::EMPTY;
            }
            let Node::Table(entries) = node else { return };
            let index = entries.iter().position(|(key, _)| key == segment).unwrap_or_else(|| {
                entries.push((segment.clone(), Node::EMPTY));
                entries.len() - 1
            });
            node = &mut entries[index].1;
        }
        *node = value;
    }

    fn take(&mut self, path: &[String]) {
        let Some((last, parents)) = path.split_last() else { return };
        let mut node = &mut self.root;
        for segment in parents {
            let Node::Table(entries) = node else { return };
            let Some((_, next)) = entries.iter_mut().find(|(key, _)| key == segment) else {
                return;
            };
            node = next;
        }
        if let Node::Table(entries) = node {
            entries.retain(|(key, _)| key != last);
        }
    }

    fn render(&self) -> Result<String, Unmerged> {
        let mut text = String::new();
        write(&self.root, self.wide.then_some(0), &mut text);
        if self.ended {
            text.push('\n');
        }
        Ok(text)
    }
}

/// `indent`: how deep, or `None` for all on one line.
fn write(node: &Node, indent: Option<usize>, text: &mut String) {
    let inner = indent.map(|depth| depth + 1);
    let (open, close, count) = match node {
        Node::Value(value) => return text.push_str(value),
        Node::Table(entries) => ('{', '}', entries.len()),
        Node::List(items) => ('[', ']', items.len()),
    };
    text.push(open);
    for index in 0..count {
        if index > 0 {
            text.push(',');
        }
        line(inner, text);
        match node {
            Node::Table(entries) => {
                let (key, value) = &entries[index];
                text.push_str(&quoted(key));
                text.push_str(if indent.is_some() { ": " } else { ":" });
                write(value, inner, text);
            }
            Node::List(items) => write(&items[index], inner, text),
            Node::Value(_) => {}
        }
    }
    if count > 0 {
        line(indent, text);
    }
    text.push(close);
}

fn line(indent: Option<usize>, text: &mut String) {
    if let Some(depth) = indent {
        text.push('\n');
        text.extend(std::iter::repeat_n("  ", depth));
    }
}

/// A JSON string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

/// Where the JSON string at the beginning of `text` ends, its quotes included.
pub(super) fn string_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().enumerate().skip(1).find_map(|(at, byte)| {
        let plain = !std::mem::replace(&mut escaped, false);
        escaped = plain && byte == b'\\';
        (plain && byte == b'"').then_some(at + 1)
    })
}

/// Reads a text that is known to be JSON.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

// === impl Reader ===

impl Reader<'_> {
    fn value(&mut self) -> Result<Node, Unmerged> {
        match self.next() {
            Some(b'{') => self.nested(Self::table),
            Some(b'[') => self.nested(Self::list),
            Some(b'"') => {
                let raw = self.string()?;
                // A lone surrogate is JSON and no text: it stays as it is written.
                let text = serde_json::from_str::<String>(raw);
                Ok(Node::Value(text.map_or_else(|_| raw.to_owned(), |text| quoted(&text))))
            }
            _ => {
                let rest = &self.text[self.at..];
                let over = |c: char| matches!(c, ',' | ']' | '}') || c.is_ascii_whitespace();
                let end = rest.find(over).unwrap_or(rest.len());
                self.at += end;
                Ok(Node::Value(rest[..end].to_owned()))
            }
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Node, Unmerged>) -> Result<Node, Unmerged> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Unmerged(format!("it is more than {MAX_DEPTH} levels deep")));
        }
        let node = read(self)?;
        self.depth -= 1;
        Ok(node)
    }

    fn table(&mut self) -> Result<Node, Unmerged> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        let mut keys = std::collections::BTreeSet::new();
        self.at += 1;
        while self.next().is_some_and(|byte| byte != b'}') {
            let key: String = serde_json::from_str(self.string()?)
                .map_err(|_| Unmerged("a key is no text".into()))?;
            if !keys.insert(key.clone()) {
                return Err(Unmerged(format!("key {} occurs twice", quoted(&key))));
            }
            self.skip(b':');
            entries.push((key, self.value()?));
            self.skip(b',');
        }
        self.at += 1;
        Ok(Node::Table(entries))
    }

    fn list(&mut self) -> Result<Node, Unmerged> {
        let mut items = Vec::new();
        self.at += 1;
        while self.next().is_some_and(|byte| byte != b']') {
            items.push(self.value()?);
            self.skip(b',');
        }
        self.at += 1;
        Ok(Node::List(items))
    }

    /// The next byte that says something, which is not taken.
    fn next(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(rest.len());
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip(&mut self, byte: u8) {
        if self.next() == Some(byte) {
            self.at += 1;
        }
    }

    fn string(&mut self) -> Result<&str, Unmerged> {
        let rest = &self.text[self.at..];
        let end = string_end(rest).ok_or_else(|| Unmerged("a string does not end".into()))?;
        self.at += end;
        Ok(&rest[..end])
    }
}
