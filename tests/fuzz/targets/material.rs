//! Messages made of bytes: the descriptors say what there is to fill, the bytes say with what.

use std::collections::HashMap;

use contracts::policy::Policies;
use kit::auth::{SigningKey, jws};
use prost_reflect::bytes::Bytes;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

/// How deep messages lie in each other.
const DEPTH_MAX: u32 = 7;

/// Words that somebody thought of before.
const WORDS: [&str; 24] = [
    "",
    "a",
    "EUR",
    "JPY",
    "KWD",
    "XXX",
    "FR",
    "US",
    "ZZ",
    "shopper-1",
    "zażółć gęślą jaźń 🧣",
    "\0",
    "'; DROP TABLE audit; --",
    "../../../etc/passwd",
    "%2e%2e%2f",
    "<script>",
    "https://example.com/a.jpg",
    "\u{202e}\u{feff}",
    "9223372036854775808",
    "-1",
    "1e309",
    "FREQ=DAILY;BYHOUR=25",
    "Europe/Paris",
    "P1Y",
];

const NUMBERS: [i64; 20] = [
    0,
    1,
    -1,
    2,
    3,
    500,
    34_500,
    69_000,
    100_000,
    i32::MAX as i64,
    i32::MIN as i64,
    i64::MAX,
    i64::MIN,
    i64::MAX - 1,
    253_402_300_799,
    253_402_300_800,
    -62_135_596_801,
    999_999_999,
    1_000_000_000,
    1 << 53,
];

/// Kinds of statements, and what their headers say.
const KINDS: [&str; 8] = [
    "CHARGE",
    "CHARGE",
    "DEPOSIT",
    "REFUND",
    "REFUND_EXECUTED",
    "COMPENSATION",
    "CHARGEBACK_OPENED",
    "CHARGEBACK_LOST",
];
const TYPES: [&str; 5] = [
    "vitrine-payment+jwt",
    "vitrine-payment+jwt",
    "vitrine-refund+jwt",
    "vitrine-compensation+jwt",
    "vitrine-chargeback+jwt",
];

/// Bytes that are used up; behind the end there are zeros.
pub struct Material<'a> {
    data: &'a [u8],
}

impl<'a> Material<'a> {
    /// All of these.
    pub fn new(data: &'a [u8]) -> Self {
        Material { data }
    }

    /// Whether all are used.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The next one.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.data.split_first() else {
            return 0;
        };
        self.data = rest;
        *first
    }

    /// The next two, as a number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        let number = usize::from(u16::from_be_bytes([self.byte(), self.byte()]));
        number % bound.max(1)
    }

    /// The next ones, as many as there are of these.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.data.split_at(count.min(self.data.len()));
        self.data = rest;
        taken
    }

    /// All that are left.
    pub fn rest(&mut self) -> &'a [u8] {
        self.take(self.data.len())
    }

    fn number(&mut self) -> i64 {
        let how = self.byte();
        match how % 4 {
            0 => i64::from(how / 4 % 8),
            1 | 2 => NUMBERS[usize::from(how / 4) % NUMBERS.len()],
            _ => {
                let mut bytes = [0; 8];
                bytes.iter_mut().for_each(|byte| *byte = self.byte());
                i64::from_be_bytes(bytes)
            }
        }
    }

    fn text(&mut self) -> String {
        let how = self.byte();
        match how % 4 {
            0 | 1 => WORDS[usize::from(how / 4) % WORDS.len()].to_owned(),
            2 => {
                let count = usize::from(self.byte());
                String::from_utf8_lossy(self.take(count)).into_owned()
            }
            // Long ones: limits are where they are found.
            _ => WORDS[usize::from(how / 8) % WORDS.len()].repeat(1 << (how % 13)),
        }
    }
}

/// What names things that exist: ids by prefix, and keys to sign with.
pub struct Names<'a> {
    /// The policies say what a field names.
    pub policies: &'a Policies,
    /// Ids that were seen, by prefix.
    pub ids: &'a HashMap<String, Vec<String>>,
    /// What payment statements are signed with.
    pub payment_key: &'a SigningKey,
    /// Now, in seconds since 1970.
    pub now: i64,
    /// Partners before this one are not named, so that nobody ends those that call.
    pub first_partner: usize,
}

impl Names<'_> {
    /// Fills a message for as long as there are bytes.
    pub fn message(
        &self,
        kind: &MessageDescriptor,
        of: &mut Material<'_>,
        depth: u32,
    ) -> DynamicMessage {
        let mut message = DynamicMessage::new(kind.clone());
        if depth >= DEPTH_MAX {
            return message;
        }
        if kind.full_name() == "google.protobuf.Timestamp" && !of.byte().is_multiple_of(4) {
            let seconds = self.now + (i64::from(of.byte()) - 128) * 3_600;
            message.set_field_by_name("seconds", Value::I64(seconds));
            return message;
        }
        for field in kind.fields() {
            if of.is_empty() {
                break;
            }
            // Most fields are there: a request without its ids gets nowhere.
            if of.byte().is_multiple_of(5) {
                continue;
            }
            let value = if field.is_map() {
                self.map(&field, of, depth)
            } else if field.is_list() {
                let count = of.byte() % 4;
                Value::List(
                    (0..count)
                        .map(|_| self.value(&field, &field.kind(), of, depth))
                        .collect(),
                )
            } else {
                self.value(&field, &field.kind(), of, depth)
            };
            message.set_field(&field, value);
        }
        message
    }

    fn map(&self, field: &FieldDescriptor, of: &mut Material<'_>, depth: u32) -> Value {
        let Kind::Message(entry) = field.kind() else {
            return Value::Map(HashMap::new());
        };
        let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        let entries = (0..of.byte() % 4).filter_map(|_| {
            let key = match self.value(&key, &key.kind(), of, depth) {
                Value::String(text) => MapKey::String(text),
                Value::I32(number) => MapKey::I32(number),
                Value::I64(number) => MapKey::I64(number),
                Value::U32(number) => MapKey::U32(number),
                Value::U64(number) => MapKey::U64(number),
                Value::Bool(is) => MapKey::Bool(is),
                _ => return None,
            };
            Some((key, self.value(&value, &value.kind(), of, depth)))
        });
        Value::Map(entries.collect())
    }

    fn value(
        &self,
        field: &FieldDescriptor,
        kind: &Kind,
        of: &mut Material<'_>,
        depth: u32,
    ) -> Value {
        match kind {
            Kind::Double => Value::F64(of.number() as f64),
            Kind::Float => Value::F32(of.number() as f32),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(of.number() as i32),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(of.number()),
            Kind::Uint32 | Kind::Fixed32 => Value::U32(of.number() as u32),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(of.number() as u64),
            Kind::Bool => Value::Bool(of.byte() % 2 == 1),
            Kind::String => Value::String(self.word(field, of)),
            Kind::Bytes => {
                let count = usize::from(of.byte());
                Value::Bytes(Bytes::copy_from_slice(of.take(count)))
            }
            Kind::Enum(kind) => {
                let values: Vec<i32> = kind.values().map(|value| value.number()).collect();
                let at = usize::from(of.byte());
                Value::EnumNumber(
                    values
                        .get(at % (values.len() + 1))
                        .copied()
                        .unwrap_or(9_999),
                )
            }
            Kind::Message(kind) => Value::Message(self.message(kind, of, depth + 1)),
        }
    }

    fn word(&self, field: &FieldDescriptor, of: &mut Material<'_>) -> String {
        let how = of.byte();
        if how % 8 == 7 {
            return of.text();
        }
        let at = usize::from(how / 8);
        let resource = self
            .policies
            .field(field.full_name())
            .and_then(|policy| policy.resource.clone());
        if let Some(id) = resource.and_then(|resource| self.id(&resource, at)) {
            return id;
        }
        match field.name() {
            // Few, so that the same key comes again with the same and with other content.
            "request_id"
            | "partner_order_id"
            | "payment_reference"
            | "partner_refund_reference" => format!("key-{}", at % 8),
            "currency_code" => ["EUR", "EUR", "EUR", "JPY", "KWD"][at % 5].into(),
            "region_code" | "country_code" => ["FR", "DE", "US", "fr", "ZZZ"][at % 5].into(),
            "shopper_ref" => format!("shopper-{}", at % 3),
            "statement" => self.statement(of),
            "public_key_jwk" => SigningKey::from_seed(&[how; 32]).public_jwk().to_string(),
            "page_token" | "cursor" | "etag" | "quote_token" => String::new(),
            _ => of.text(),
        }
    }

    /// The id of something that is there, seen first or later.
    fn id(&self, prefix: &str, at: usize) -> Option<String> {
        let ids = self.ids.get(prefix)?;
        let ids = if prefix == "partner" {
            ids.get(self.first_partner..)?
        } else {
            ids
        };
        ids.get(at % ids.len().max(1)).cloned()
    }

    fn statement(&self, of: &mut Material<'_>) -> String {
        let payload = if of.byte().is_multiple_of(4) {
            of.rest().to_vec()
        } else {
            // All that any statement says: each kind takes its own from it.
            let at = usize::from(of.byte());
            let kind = KINDS[usize::from(of.byte()) % KINDS.len()];
            let statement = serde_json::json!({
                "aud": "vitrine",
                "kind": kind,
                "order_id": self.id("order", at).unwrap_or_default(),
                "refund_id": self.id("refund", at).unwrap_or_default(),
                "minor_units": of.number(),
                "shopper_minor_units": of.number(),
                "partner_minor_units": of.number(),
                "currency_code": "EUR",
                "payment_reference": format!("key-{}", at % 8),
                "refund_reference": format!("key-{}", at % 8),
                "reason": "GOODWILL",
                "cost_bearer": "PARTNER",
                "paid_at": self.now - 60,
                "reported_at": self.now - 60,
            });
            statement.to_string().into_bytes()
        };
        let kind = TYPES[usize::from(of.byte()) % TYPES.len()];
        jws::sign(self.payment_key, kind, &payload)
    }
}
