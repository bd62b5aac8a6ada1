//! Reads a tree into a config struct. It asks serde for the keys of each struct, so it knows which keys
//! exist without being told, and every error knows its key and its source.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{
    self, DeserializeOwned, Deserializer, Error as _, Expected, IntoDeserializer, Unexpected,
    Visitor,
};

use super::access::{Entries, Items, Variant};
use super::nearest::nearest;
use super::tree::{self, Node, Value};
use super::{ConfigError, Problem, Source, secret};

/// Reads the tree; `problems` are those found before.
pub(super) fn read<T: DeserializeOwned>(
    tree: &Node,
    problems: Vec<Problem>,
) -> Result<T, ConfigError> {
    let seen = Seen {
        problems: RefCell::new(problems),
        ..Seen::default()
    };
    let read = T::deserialize(Reader {
        node: tree,
        key: String::new(),
        seen: &seen,
    });
    let known = seen.known.into_inner();
    let mut problems = seen.problems.into_inner();
    for Unknown {
        key,
        source,
        siblings,
    } in seen.unknown.into_inner()
    {
        let what = format!("is no key; {}", nearest(&key, siblings, &known));
        problems.push(Problem::new(key, source, what));
    }
    match read {
        Ok(config) if problems.is_empty() => Ok(config),
        Ok(_) => Err(ConfigError::Problems(problems)),
        Err(ReadError { what, at }) => {
            let (key, source) = at.unwrap_or((String::new(), Source::Default));
            problems.push(Problem::new(key, source, what));
            Err(ConfigError::Problems(problems))
        }
    }
}

/// What was met on the way.
#[derive(Default)]
struct Seen {
    problems: RefCell<Vec<Problem>>,
    unknown: RefCell<Vec<Unknown>>,
    known: RefCell<BTreeSet<String>>,
}

struct Unknown {
    key: String,
    source: Source,
    siblings: &'static [&'static str],
}

/// An error that gets its key and source from the innermost value it arose in.
#[derive(Debug)]
pub(super) struct ReadError {
    pub(super) what: String,
    pub(super) at: Option<(String, Source)>,
}

impl std::error::Error for ReadError {}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(what: T) -> Self {
        ReadError {
            what: what.to_string(),
            at: None,
        }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format!("must be {expected}, not {found}"))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format!("must be {expected}, not {found}"))
    }

    fn invalid_length(found: usize, expected: &dyn Expected) -> Self {
        Self::custom(format!("must be {expected}, not of length {found}"))
    }

    fn unknown_variant(found: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format!(
            "must be one of {}, not {found:?}",
            expected.join(", ")
        ))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format!("needs the key {field}"))
    }
}

/// Reads one value.
pub(super) struct Reader<'a> {
    pub(super) node: &'a Node,
    pub(super) key: String,
    seen: &'a Seen,
}

impl<'a> Reader<'a> {
    pub(super) fn locate<T>(&self, result: Result<T, ReadError>) -> Result<T, ReadError> {
        result.map_err(|mut error| {
            error
                .at
                .get_or_insert_with(|| (self.key.clone(), self.node.origin().clone()));
            error
        })
    }

    pub(super) fn child<'b>(&self, node: &'b Node, part: &str) -> Reader<'b>
    where
        'a: 'b,
    {
        Reader {
            node,
            key: tree::join(&self.key, part),
            seen: self.seen,
        }
    }

    fn found(&self) -> Unexpected<'_> {
        match &self.node.value {
            Value::Text(text) | Value::String(text) => Unexpected::Str(text),
            Value::Integer(n) => Unexpected::Signed(*n),
            Value::Float(x) => Unexpected::Float(*x),
            Value::Bool(b) => Unexpected::Bool(*b),
            Value::List(_) => Unexpected::Other("a list"),
            Value::Table(_) => Unexpected::Other("a table"),
        }
    }

    /// Gives `visit` the table here, also when it stands in text.
    fn table<T>(
        &self,
        expected: &dyn Expected,
        visit: impl FnOnce(&BTreeMap<String, Node>) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let result = match &self.node.value {
            Value::Table(table) => visit(table),
            Value::Text(text) => match tree::inline(text, &self.node.source) {
                Some(Node {
                    value: Value::Table(table),
                    ..
                }) => visit(&table),
                _ => Err(ReadError::invalid_type(self.found(), expected)),
            },
            _ => Err(ReadError::invalid_type(self.found(), expected)),
        };
        self.locate(result)
    }

    /// Gives `visit` the list here, also when it stands in text.
    fn list<T>(
        &self,
        expected: &dyn Expected,
        visit: impl FnOnce(&[Node]) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let result = match &self.node.value {
            Value::List(items) => visit(items),
            Value::Text(text) => visit(&split(text, &self.node.source)),
            _ => Err(ReadError::invalid_type(self.found(), expected)),
        };
        self.locate(result)
    }
}

/// A list in text: as TOML writes it, or with commas between.
fn split(text: &str, source: &Source) -> Vec<Node> {
    if text.trim_start().starts_with('[')
        && let Some(Node {
            value: Value::List(items),
            ..
        }) = tree::inline(text, source)
    {
        return items;
    }
    let parts = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    parts
        .map(|part| Node::text(part.to_owned(), source.clone()))
        .collect()
}

/// Reads a number: as it stands, or out of text.
macro_rules! numbers {
    ($($method:ident $visit:ident $number:ty,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            let result = match &self.node.value {
                Value::Text(text) => match text.trim().parse::<$number>() {
                    Ok(n) => visitor.$visit(n),
                    Err(_) => Err(ReadError::invalid_type(self.found(), &visitor)),
                },
                Value::Integer(n) => visitor.visit_i64(*n),
                Value::Float(x) => visitor.visit_f64(*x),
                _ => Err(ReadError::invalid_type(self.found(), &visitor)),
            };
            self.locate(result)
        }
    )*};
}

macro_rules! strings {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            let result = match &self.node.value {
                Value::Text(text) | Value::String(text) => visitor.visit_str(text),
                _ => Err(ReadError::invalid_type(self.found(), &visitor)),
            };
            self.locate(result)
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = ReadError;

    numbers! {
        deserialize_i8 visit_i64 i64, deserialize_i16 visit_i64 i64, deserialize_i32 visit_i64 i64,
        deserialize_i64 visit_i64 i64, deserialize_u8 visit_u64 u64, deserialize_u16 visit_u64 u64,
        deserialize_u32 visit_u64 u64, deserialize_u64 visit_u64 u64,
        deserialize_f32 visit_f64 f64, deserialize_f64 visit_f64 f64,
    }

    strings! { deserialize_char deserialize_str deserialize_string deserialize_identifier }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let result = match &self.node.value {
            Value::Bool(b) => visitor.visit_bool(*b),
            Value::Text(text) => match text.trim().parse::<bool>() {
                Ok(b) => visitor.visit_bool(b),
                Err(_) => Err(ReadError::invalid_type(self.found(), &"true or false")),
            },
            _ => Err(ReadError::invalid_type(self.found(), &"true or false")),
        };
        self.locate(result)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Text(_) | Value::String(_) => self.deserialize_str(visitor),
            Value::Integer(_) => self.deserialize_i64(visitor),
            Value::Float(_) => self.deserialize_f64(visitor),
            Value::Bool(_) => self.deserialize_bool(visitor),
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Table(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            // The only way in which the environment can say "none".
            Value::Text(text) if text.is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let text = matches!(self.node.value, Value::Text(_) | Value::String(_));
        if name == secret::NEWTYPE && !text {
            // Said without the value, which may be the secret with its quotes forgotten.
            return self.locate(Err(ReadError::custom("must be a string")));
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.list(&"a list", |items| {
            let items = items.iter().enumerate();
            visitor.visit_seq(Items {
                reader: &self,
                items,
            })
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.table(&"a table", |table| {
            visitor.visit_map(Entries::new(&self, table, None))
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let known = fields.iter().map(|field| tree::join(&self.key, field));
        self.seen.known.borrow_mut().extend(known);
        self.table(&"a table", |table| {
            for (name, node) in table
                .iter()
                .filter(|(name, _)| !fields.contains(&name.as_str()))
            {
                self.seen.unknown.borrow_mut().push(Unknown {
                    key: tree::join(&self.key, name),
                    source: node.origin().clone(),
                    siblings: fields,
                });
            }
            visitor.visit_map(Entries::new(&self, table, Some(fields)))
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        if let Value::Text(text) | Value::String(text) = &self.node.value {
            return self.locate(visitor.visit_enum(text.trim().into_deserializer()));
        }
        let expected = format!("one of {}", variants.join(", "));
        self.table(&expected.as_str(), |table| {
            // The variant of the defaults is still there below the one that was chosen.
            let chosen = table
                .iter()
                .filter(|(_, node)| table.len() == 1 || node.source != Source::Default);
            match chosen.collect::<Vec<_>>().as_slice() {
                [(name, node)] => visitor.visit_enum(Variant {
                    name,
                    reader: self.child(node, name),
                }),
                _ => Err(ReadError::invalid_type(self.found(), &expected.as_str())),
            }
        })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! { bytes byte_buf unit unit_struct }
}
