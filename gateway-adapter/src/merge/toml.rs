//! TOML. Comments and layout of the snapshot's file stay.

use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

use super::node::Node;
use super::{Document, Unmerged};

/// A TOML document.
pub(super) struct Toml(DocumentMut);

// === impl Toml ===

impl Document for Toml {
    fn parse(text: &str) -> Result<Self, Unmerged> {
        let document = text.parse::<DocumentMut>().map_err(|error| {
            // The library's own words quote the file.
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(1, |before| before.matches('\n').count() + 1);
            Unmerged(format!("it is no TOML, or has a key twice, at line {line}"))
        })?;
        Ok(Self(document))
    }

    fn node(&self) -> Result<Node, Unmerged> {
        Ok(table(self.0.as_table()))
    }

    fn put(&mut self, path: &[String], from: &Self) {
        let Some((last, parents)) = path.split_last() else { return };
        let found = path.iter().try_fold(from.0.as_item(), |item, segment| {
            item.as_table_like().and_then(|table| table.get(segment))
        });
        let Some(mut found) = found.cloned() else { return };
        unplace(&mut found);
        let mut here: &mut dyn TableLike = self.0.as_table_mut();
        for segment in parents {
            let made = here.entry(segment).or_insert_with(|| {
                let mut table = Table::new();
                table.set_implicit(true);
                Item::Table(table)
            });
            let Some(next) = made.as_table_like_mut() else { return };
            here = next;
        }
        // Comments beside a value are the snapshot's.
        let old = here.get_mut(last).and_then(Item::as_value_mut);
        match (old, found.as_value_mut()) {
            (Some(old), Some(new)) => {
                *new.decor_mut() = old.decor().clone();
                *old = new.clone();
            }
            (None, Some(new)) => {
                new.decor_mut().clear();
                here.insert(last, found);
            }
            (_, None) => {
                here.insert(last, found);
            }
        }
    }

    fn take(&mut self, path: &[String]) {
        let Some((last, parents)) = path.split_last() else { return };
        let mut here: &mut dyn TableLike = self.0.as_table_mut();
        for segment in parents {
            let next = here.get_mut(segment).and_then(Item::as_table_like_mut);
            let Some(next) = next else { return };
            here = next;
        }
        here.remove(last);
    }

    fn render(&self) -> Result<String, Unmerged> {
        Ok(self.0.to_string())
    }
}

/// Tables remember where they stood in their own file; here they stand behind the others.
fn unplace(item: &mut Item) {
    match item {
        Item::Table(table) => {
            table.set_position(None);
            for (_, inner) in table.iter_mut() {
                unplace(inner);
            }
        }
        Item::ArrayOfTables(tables) => {
            for table in tables.iter_mut() {
                table.set_position(None);
                for (_, inner) in table.iter_mut() {
                    unplace(inner);
                }
            }
        }
        Item::None | Item::Value(_) => {}
    }
}

fn table(table: &dyn TableLike) -> Node {
    let entries = table.iter().filter(|(_, item)| !item.is_none());
    Node::Table(entries.map(|(key, item)| (key.to_owned(), node(item))).collect())
}

fn node(item: &Item) -> Node {
    match item {
        Item::None => Node::EMPTY,
        Item::Value(value) => self::value(value),
        Item::Table(inner) => table(inner),
        Item::ArrayOfTables(tables) => {
            Node::List(tables.iter().map(|inner| table(inner)).collect())
        }
    }
}

fn value(value: &Value) -> Node {
    match value {
        Value::String(text) => Node::Value(super::json::quoted(text.value())),
        Value::Integer(number) => Node::Value(number.value().to_string()),
        Value::Float(number) => Node::Value(format!("{:?}", number.value())),
        Value::Boolean(truth) => Node::Value(truth.value().to_string()),
        Value::Datetime(time) => Node::Value(time.value().to_string()),
        Value::Array(items) => Node::List(items.iter().map(self::value).collect()),
        Value::InlineTable(inner) => table(inner),
    }
}
