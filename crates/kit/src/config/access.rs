//! How serde walks through the lists, tables and variants of a tree.

use std::collections::{BTreeMap, btree_map};
use std::iter::Enumerate;
use std::slice;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::de::{ReadError, Reader};
use super::tree::{Node, Value};

/// The entries of a list, in turn.
pub(super) struct Items<'a, 'r> {
    pub(super) reader: &'a Reader<'r>,
    pub(super) items: Enumerate<slice::Iter<'a, Node>>,
}

impl<'de> SeqAccess<'de> for Items<'_, '_> {
    type Error = ReadError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, ReadError> {
        let Some((index, node)) = self.items.next() else {
            return Ok(None);
        };
        seed.deserialize(self.reader.child(node, &index.to_string()))
            .map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// The entries of a table; only those of `fields`, when it is a struct that is read.
pub(super) struct Entries<'a, 'r> {
    reader: &'a Reader<'r>,
    entries: btree_map::Iter<'a, String, Node>,
    fields: Option<&'static [&'static str]>,
    next: Option<(&'a str, &'a Node)>,
}

impl<'a, 'r> Entries<'a, 'r> {
    pub(super) fn new(
        reader: &'a Reader<'r>,
        table: &'a BTreeMap<String, Node>,
        fields: Option<&'static [&'static str]>,
    ) -> Self {
        Entries {
            reader,
            entries: table.iter(),
            fields,
            next: None,
        }
    }
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = ReadError;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, ReadError> {
        // Unknown keys are reported already, all of them.
        let fields = self.fields;
        let next = self
            .entries
            .find(|(key, _)| fields.is_none_or(|fields| fields.contains(&key.as_str())));
        let Some((key, node)) = next else {
            return Ok(None);
        };
        self.next = Some((key, node));
        let key: StrDeserializer<'_, ReadError> = key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, ReadError> {
        match self.next.take() {
            Some((key, node)) => {
                let child = self.reader.child(node, key);
                let at = (child.key.clone(), node.origin().clone());
                // Newtypes that check their content (`try_from`) fail outside the reader of the value.
                seed.deserialize(child).map_err(|mut error| {
                    error.at.get_or_insert(at);
                    error
                })
            }
            None => Err(ReadError::custom("was asked for before its key")),
        }
    }
}

/// A variant that is a table of one key.
pub(super) struct Variant<'a, 'r> {
    pub(super) name: &'a str,
    pub(super) reader: Reader<'r>,
}

impl<'de, 'r> EnumAccess<'de> for Variant<'_, 'r> {
    type Error = ReadError;
    type Variant = Content<'r>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Content<'r>), ReadError> {
        let name: StrDeserializer<'_, ReadError> = self.name.into_deserializer();
        let chosen = self.reader.locate(seed.deserialize(name))?;
        Ok((chosen, Content(self.reader)))
    }
}

/// What stands under a variant's key.
pub(super) struct Content<'r>(Reader<'r>);

impl<'de> VariantAccess<'de> for Content<'_> {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        match &self.0.node.value {
            Value::Table(table) if table.is_empty() => Ok(()),
            _ => self.0.locate(Err(ReadError::custom("must be empty"))),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, ReadError> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, ReadError> {
        self.0.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.0.deserialize_struct("", fields, visitor)
    }
}
