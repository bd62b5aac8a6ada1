//! Values with the places they came from.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::secret::HIDDEN;
use super::{ConfigError, Problem, Source};

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) source: Source,
    pub(super) value: Value,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Text from the environment or a flag, whose type is whatever its key wants.
    Text(String),
    String(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
}

impl Node {
    pub(super) fn text(text: String, source: Source) -> Self {
        Node {
            source,
            value: Value::Text(text),
        }
    }

    /// Where this came from. A table of the defaults that something was laid over came from there.
    pub(super) fn origin(&self) -> &Source {
        let inside: Box<dyn Iterator<Item = &Node>> = match (&self.source, &self.value) {
            (Source::Default, Value::Table(table)) => Box::new(table.values()),
            (Source::Default, Value::List(items)) => Box::new(items.iter()),
            _ => return &self.source,
        };
        inside
            .map(Node::origin)
            .find(|source| **source != Source::Default)
            .unwrap_or(&self.source)
    }

    /// Lays `over` over this: tables key by key, anything else as a whole.
    pub(super) fn merge(&mut self, over: Node) {
        match (&mut self.value, over.value) {
            (Value::Table(below), Value::Table(above)) => {
                for (key, node) in above {
                    match below.get_mut(&key) {
                        Some(old) => old.merge(node),
                        None => drop(below.insert(key, node)),
                    }
                }
            }
            (below, above) => {
                *below = above;
                self.source = over.source;
            }
        }
    }

    /// Puts `node` where `keys` lead, making tables on the way.
    pub(super) fn set(&mut self, keys: &[String], node: Node, problems: &mut Vec<Problem>) {
        let source = node.source.clone();
        if keys.iter().any(String::is_empty) {
            problems.push(Problem::new(
                keys.join("."),
                source,
                "is no key: a part of it is empty",
            ));
        } else if let Err(what) = self.place(keys, node) {
            problems.push(Problem::new(keys.join("."), source, what));
        }
    }

    fn place(&mut self, keys: &[String], node: Node) -> Result<(), String> {
        let Some((key, rest)) = keys.split_first() else {
            self.merge(node);
            return Ok(());
        };
        let empty = || Node {
            source: node.source.clone(),
            value: Value::Table(BTreeMap::new()),
        };
        if let (Value::List(items), Ok(index)) = (&mut self.value, key.parse::<usize>()) {
            if index > items.len() {
                return Err(format!(
                    "is beyond the end of the list, which has {} entries",
                    items.len()
                ));
            }
            if index == items.len() {
                items.push(empty());
            }
            return items[index].place(rest, node);
        }
        if !matches!(self.value, Value::Table(_)) {
            *self = empty();
        }
        match &mut self.value {
            Value::Table(table) => table
                .entry(key.clone())
                .or_insert_with(empty)
                .place(rest, node),
            _ => Ok(()),
        }
    }
}

/// The defaults, as the lowest layer.
pub(super) fn from_defaults<T: Serialize>(defaults: &T) -> Result<Node, ConfigError> {
    let value =
        toml::Value::try_from(defaults).map_err(|e| ConfigError::Defaults(e.to_string()))?;
    plain(value, "").map_err(ConfigError::Defaults)
}

fn plain(value: toml::Value, key: &str) -> Result<Node, String> {
    let value = match value {
        // It is printed, not known: were it kept, three stars would be taken for the secret.
        toml::Value::String(text) if text == HIDDEN => {
            return Err(format!("{key} is a secret in code"));
        }
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(n) => Value::Integer(n),
        toml::Value::Float(x) => Value::Float(x),
        toml::Value::Boolean(b) => Value::Bool(b),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(items) => {
            let items: Result<_, String> = items.into_iter().map(|item| plain(item, key)).collect();
            Value::List(items?)
        }
        toml::Value::Table(table) => {
            let mut nodes = BTreeMap::new();
            for (name, value) in table {
                let node = plain(value, &join(key, &name))?;
                nodes.insert(name, node);
            }
            Value::Table(nodes)
        }
    };
    Ok(Node {
        source: Source::Default,
        value,
    })
}

/// A file's content.
pub(super) fn from_file(path: &Path) -> Result<Node, ConfigError> {
    let name = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return Err(ConfigError::Read { path: name, error }),
    };
    let file = File {
        path: name.clone().into(),
        text: &text,
    };
    // The parser's own text quotes the line, and a secret may stand in it.
    let table = DeTable::parse(&text).map_err(|error| ConfigError::Syntax {
        path: name,
        line: file.line(error.span().unwrap_or_default().start),
        error: error.message().to_owned(),
    })?;
    let span = table.span();
    let value = file.table(table.into_inner())?;
    Ok(Node {
        source: file.source(span.start),
        value,
    })
}

struct File<'a> {
    path: Arc<str>,
    text: &'a str,
}

impl File<'_> {
    fn source(&self, at: usize) -> Source {
        Source::File {
            path: self.path.clone(),
            line: self.line(at),
        }
    }

    fn line(&self, at: usize) -> usize {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    fn table(&self, table: DeTable<'_>) -> Result<Value, ConfigError> {
        let mut nodes = BTreeMap::new();
        for (key, value) in table {
            let at = key.span().start;
            nodes.insert(key.into_inner().into_owned(), self.node(value, at)?);
        }
        Ok(Value::Table(nodes))
    }

    fn node(&self, value: Spanned<DeValue<'_>>, at: usize) -> Result<Node, ConfigError> {
        let source = self.source(at);
        let invalid =
            |what: &str| ConfigError::Problems(vec![Problem::new("", source.clone(), what)]);
        let value = match value.into_inner() {
            DeValue::Table(table) => self.table(table)?,
            DeValue::Array(items) => {
                let mut nodes = Vec::with_capacity(items.len());
                for item in items {
                    let at = item.span().start;
                    nodes.push(self.node(item, at)?);
                }
                Value::List(nodes)
            }
            scalar => scalar_value(scalar).map_err(invalid)?,
        };
        Ok(Node { source, value })
    }
}

fn scalar_value(value: DeValue<'_>) -> Result<Value, &'static str> {
    Ok(match value {
        DeValue::String(text) => Value::String(text.into_owned()),
        DeValue::Integer(n) => {
            let n = i64::from_str_radix(n.as_str(), n.radix())
                .map_err(|_| "has an integer beyond 64 bits")?;
            Value::Integer(n)
        }
        DeValue::Float(x) => Value::Float(
            x.as_str()
                .parse()
                .map_err(|_| "has a number that is none")?,
        ),
        DeValue::Boolean(b) => Value::Bool(b),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(_) | DeValue::Table(_) => {
            return Err("has a list or table where neither can be");
        }
    })
}

/// Text of the environment or a flag, read as a TOML value.
pub(super) fn inline(text: &str, source: &Source) -> Option<Node> {
    let value = format!("value = {text}")
        .parse::<toml::Table>()
        .ok()?
        .remove("value")?;
    let mut node = plain(value, "").ok()?;
    node.relabel(source);
    Some(node)
}

impl Node {
    fn relabel(&mut self, source: &Source) {
        self.source = source.clone();
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.relabel(source)),
            Value::Table(table) => table.values_mut().for_each(|node| node.relabel(source)),
            _ => {}
        }
    }
}

/// `a` and `b` make `a.b`.
pub(super) fn join(key: &str, part: &str) -> String {
    if key.is_empty() {
        part.to_owned()
    } else {
        format!("{key}.{part}")
    }
}
