//! A config file as all formats show it.

/// A table, a list or a value.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// In the file's order. No key twice.
    Table(Vec<(String, Node)>),
    /// In order.
    List(Vec<Node>),
    /// Canonical text: equal exactly if the values are.
    Value(String),
}

// === impl Node ===

impl Node {
    /// A table without keys.
    pub(super) const EMPTY: Self = Self::Table(Vec::new());

    pub(super) const fn is_table(&self) -> bool {
        matches!(self, Self::Table(_))
    }

    pub(super) fn is_empty_table(&self) -> bool {
        matches!(self, Self::Table(entries) if entries.is_empty())
    }

    /// What is at the end of a path.
    pub(super) fn at(&self, path: &[String]) -> Option<&Self> {
        path.iter().try_fold(self, |node, segment| match node {
            Self::Table(entries) => {
                entries.iter().find(|(key, _)| key == segment).map(|(_, node)| node)
            }
            Self::List(_) | Self::Value(_) => None,
        })
    }

    /// Whether the two say the same; tables have no order.
    pub(super) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Table(one), Self::Table(two)) if one.len() == two.len() => {
                let mut pairs = by_key(one).into_iter().zip(by_key(two));
                pairs.all(|(one, two)| one.0 == two.0 && one.1.same(&two.1))
            }
            (Self::List(one), Self::List(two)) if one.len() == two.len() => {
                one.iter().zip(two).all(|(one, two)| one.same(two))
            }
            (Self::Value(one), Self::Value(two)) => one == two,
            _ => false,
        }
    }

    /// Everything that is no table with keys in it, with its path, in the file's order.
    pub(super) fn leaves(&self) -> Vec<(Vec<String>, &Self)> {
        let mut leaves = Vec::new();
        self.gather(&mut Vec::new(), &mut leaves);
        leaves
    }

    fn gather<'a>(&'a self, path: &mut Vec<String>, leaves: &mut Vec<(Vec<String>, &'a Self)>) {
        match self {
            Self::Table(entries) if !entries.is_empty() => {
                for (key, node) in entries {
                    path.push(key.clone());
                    node.gather(path, leaves);
                    path.pop();
                }
            }
            _ if path.is_empty() => {}
            _ => leaves.push((path.clone(), self)),
        }
    }
}

fn by_key(entries: &[(String, Node)]) -> Vec<&(String, Node)> {
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by(|one, two| one.0.cmp(&two.0));
    sorted
}
