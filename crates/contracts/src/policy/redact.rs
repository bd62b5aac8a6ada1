//! Prints messages for logs, with personal data and tokens left out.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::LazyLock;

use prost::{Message, Name};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage, Value};

use super::credential::is_credential;
use super::fields::is_text;
use super::{PersonalData, descriptor_pool, field_option, is_ours};

const HIDDEN: &str = "<hidden>";
/// Longer texts are cut.
const MAX_TEXT_CHARS: usize = 128;
/// Of longer lists and maps only the beginning is printed.
const MAX_ITEMS: usize = 16;
/// Deeper messages are left out.
const MAX_DEPTH: usize = 16;
/// What is printed ends here, whatever is left.
const MAX_OUTPUT_BYTES: usize = 8 * 1024;

/// Prints a message with its personal fields hidden, texts cut and lists shortened. Fields that the suite's own
/// contracts do not have are hidden too.
#[must_use]
pub fn redact(message: &DynamicMessage) -> String {
    let mut out = Bounded(String::new());
    let name = message.descriptor().full_name().to_owned();
    let complete = write!(out, "{name} ").and_then(|()| print_message(&mut out, message, 0));
    let mut text = out.0;
    if complete.is_err() {
        text.push_str(" …");
    }
    text
}

/// The same for an encoded message of the type with this full name.
#[must_use]
pub fn redact_bytes(type_name: &str, bytes: &[u8]) -> String {
    let decoded = descriptor_pool()
        .get_message_by_name(type_name)
        .and_then(|descriptor| DynamicMessage::decode(descriptor, bytes).ok());
    match decoded {
        Some(message) => redact(&message),
        None => format!("{type_name} <unreadable, {} bytes>", bytes.len()),
    }
}

/// The same for a generated message.
#[must_use]
pub fn redact_message<M: Message + Name>(message: &M) -> String {
    redact_bytes(&M::full_name(), &message.encode_to_vec())
}

/// What may be printed of a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Show {
    Value,
    Nothing,
}

/// Every field of the suite by its full name. Kept because reading an option decodes it each time.
static SHOWN: LazyLock<HashMap<String, Show>> = LazyLock::new(|| {
    let pool = descriptor_pool();
    let ours = pool
        .all_messages()
        .filter(|message| is_ours(message.package_name()));
    ours.flat_map(|message| message.fields().collect::<Vec<_>>())
        .map(|field| {
            let direct = match field_option(pool, &field) {
                Ok(None) => false,
                Ok(Some(policy)) => {
                    let known = PersonalData::try_from(policy.personal_data);
                    known.is_ok_and(|known| known == PersonalData::Direct) || known.is_err()
                }
                Err(_) => true,
            };
            let show = if direct || (is_text(&field) && is_credential(field.name())) {
                Show::Nothing
            } else {
                Show::Value
            };
            (field.full_name().to_owned(), show)
        })
        .collect()
});

fn show(field: &FieldDescriptor) -> Show {
    if !is_ours(field.parent_message().package_name()) {
        return Show::Value;
    }
    SHOWN
        .get(field.full_name())
        .copied()
        .unwrap_or(Show::Nothing)
}

fn print_message(out: &mut Bounded, message: &DynamicMessage, depth: usize) -> fmt::Result {
    if depth >= MAX_DEPTH {
        return out.write_str("{…}");
    }
    out.write_char('{')?;
    let mut separator = " ";
    for (field, value) in message.fields() {
        write!(out, "{separator}{}: ", field.name())?;
        separator = ", ";
        match show(&field) {
            Show::Nothing => out.write_str(HIDDEN)?,
            Show::Value => print_value(out, value, &field.kind(), depth + 1)?,
        }
    }
    out.write_str(if separator == " " { "}" } else { " }" })
}

fn print_value(out: &mut Bounded, value: &Value, kind: &Kind, depth: usize) -> fmt::Result {
    match value {
        Value::Bool(value) => write!(out, "{value}"),
        Value::I32(value) => write!(out, "{value}"),
        Value::I64(value) => write!(out, "{value}"),
        Value::U32(value) => write!(out, "{value}"),
        Value::U64(value) => write!(out, "{value}"),
        Value::F32(value) => write!(out, "{value}"),
        Value::F64(value) => write!(out, "{value}"),
        Value::String(text) => print_text(out, text),
        Value::Bytes(bytes) => write!(out, "<{} bytes>", bytes.len()),
        Value::EnumNumber(number) => {
            let named = kind.as_enum().and_then(|kind| kind.get_value(*number));
            match named {
                Some(value) => out.write_str(value.name()),
                None => write!(out, "{number}"),
            }
        }
        Value::Message(message) => print_message(out, message, depth),
        Value::List(values) => print_items(out, ['[', ']'], values, |out, value| {
            print_value(out, value, kind, depth)
        }),
        Value::Map(entries) => {
            let value_kind = kind
                .as_message()
                .map(|entry| entry.map_entry_value_field().kind());
            print_items(out, ['{', '}'], entries, |out, (key, value)| {
                print_key(out, key)?;
                out.write_str(": ")?;
                print_value(out, value, value_kind.as_ref().unwrap_or(kind), depth)
            })
        }
    }
}

fn print_items<I: IntoIterator>(
    out: &mut Bounded,
    brackets: [char; 2],
    items: I,
    mut print: impl FnMut(&mut Bounded, I::Item) -> fmt::Result,
) -> fmt::Result {
    out.write_char(brackets[0])?;
    let mut more: usize = 0;
    for (index, item) in items.into_iter().enumerate() {
        if index >= MAX_ITEMS {
            more += 1;
            continue;
        }
        if index > 0 {
            out.write_str(", ")?;
        }
        print(out, item)?;
    }
    if more > 0 {
        write!(out, ", and {more} more")?;
    }
    out.write_char(brackets[1])
}

fn print_key(out: &mut Bounded, key: &MapKey) -> fmt::Result {
    match key {
        MapKey::Bool(key) => write!(out, "{key}"),
        MapKey::I32(key) => write!(out, "{key}"),
        MapKey::I64(key) => write!(out, "{key}"),
        MapKey::U32(key) => write!(out, "{key}"),
        MapKey::U64(key) => write!(out, "{key}"),
        MapKey::String(key) => print_text(out, key),
    }
}

fn print_text(out: &mut Bounded, text: &str) -> fmt::Result {
    match text.char_indices().nth(MAX_TEXT_CHARS) {
        Some((end, _)) => write!(out, "{:?}… ({} bytes)", &text[..end], text.len()),
        None => write!(out, "{text:?}"),
    }
}

/// A text that refuses to grow beyond its bound.
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > MAX_OUTPUT_BYTES {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}
