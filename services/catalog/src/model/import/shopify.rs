//! Shopify's product CSV: rows with the same Handle are one product.
//!
//! The first row of a product has its title and names the options; each row is a variant, or only a further
//! image. A product without choices has the option `Title` with the value `Default Title`. Prices name no
//! currency. SKUs may be empty, and are then made from the handle and the options.

use contracts::money::Currency;
use sha2::{Digest, Sha256};

use super::cells::Row;
use super::fields::{Checks, Fields, Header, Value};
use super::value::{self, Bad, Image, line};
use super::{KeyedRow, Problem, ReadDetails, ReadRow, ReadVariant, Reason, Refused, html, most};
use crate::model::gtin;
use crate::model::product::VariantOption;

/// What a column means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The product's key.
    Handle,
    /// Its title.
    Title,
    /// Its description, in HTML.
    Body,
    /// Its brand.
    Vendor,
    /// Its category in the shop.
    Type,
    /// Its category in a standard.
    Category,
    /// Its tags.
    Tags,
    /// Whether the shop shows it.
    Published,
    /// Its state.
    Status,
    /// The name of an option.
    OptionName(usize),
    /// The value of an option.
    OptionValue(usize),
    /// The variant's SKU.
    Sku,
    /// Its weight in grams.
    Grams,
    /// How many there are.
    Stock,
    /// What it costs.
    Price,
    /// What it is said to have cost.
    CompareAt,
    /// Its barcode.
    Barcode,
    /// The address of an image.
    Image,
    /// The address of the variant's own image.
    VariantImage,
}

/// Column names in lower case, the first of each meaning being today's usual one.
const COLUMNS: &[(&str, Key)] = &[
    ("handle", Key::Handle),
    ("url handle", Key::Handle),
    ("title", Key::Title),
    ("body (html)", Key::Body),
    ("body html", Key::Body),
    ("description", Key::Body),
    ("vendor", Key::Vendor),
    ("type", Key::Type),
    ("custom product type", Key::Type),
    ("product category", Key::Category),
    ("standard product type", Key::Category),
    ("tags", Key::Tags),
    ("published", Key::Published),
    ("published on online store", Key::Published),
    ("status", Key::Status),
    ("option1 name", Key::OptionName(0)),
    ("option1 value", Key::OptionValue(0)),
    ("option2 name", Key::OptionName(1)),
    ("option2 value", Key::OptionValue(1)),
    ("option3 name", Key::OptionName(2)),
    ("option3 value", Key::OptionValue(2)),
    ("variant sku", Key::Sku),
    ("sku", Key::Sku),
    ("variant grams", Key::Grams),
    ("weight value (grams)", Key::Grams),
    ("variant inventory qty", Key::Stock),
    ("inventory quantity", Key::Stock),
    ("variant price", Key::Price),
    ("price", Key::Price),
    ("variant compare at price", Key::CompareAt),
    ("compare-at price", Key::CompareAt),
    ("variant barcode", Key::Barcode),
    ("barcode", Key::Barcode),
    ("image src", Key::Image),
    ("product image url", Key::Image),
    ("variant image", Key::VariantImage),
    ("variant image url", Key::VariantImage),
];

/// Whether a header is one of this form.
pub fn is_header(names: &[String]) -> bool {
    let has = |name: &str| names.iter().any(|known| known == name);
    has("handle") || has("url handle") || (has("variant price") && has("title"))
}

/// Reads rows, one after the other.
pub struct Shopify {
    header: Header<Key>,
    currency: Option<Currency>,
    /// The product at hand and the names of its options.
    product: Option<(String, Vec<String>)>,
}

impl Shopify {
    /// Reads the header.
    pub fn new(row: &Row, currency: Option<Currency>) -> Result<Self, Vec<Problem>> {
        let required = [Key::Handle, Key::Title, Key::Price];
        let header = Header::read(row, COLUMNS, &required, &[], (Key::Handle, Key::Sku))?;
        if currency.is_none() {
            let (reason, _, fix) = value::no_currency();
            let message = "prices of Shopify's files name no currency, and the import names none";
            return Err(vec![Problem::row(row.line, reason, message, fix)]);
        }
        Ok(Shopify {
            header,
            currency,
            product: None,
        })
    }

    /// The columns.
    pub fn header(&self) -> &Header<Key> {
        &self.header
    }

    /// Reads a row; `is_known` says whether the file had rows of a product before.
    pub fn read(
        &mut self,
        row: Row,
        is_known: impl FnOnce(&str) -> bool,
    ) -> Result<KeyedRow, Refused> {
        let fields = self.header.fields(row)?;
        let mut checks = Checks::new(&fields);
        let handle = checks.required(Key::Handle, |text| line(text, most::EXTERNAL_KEY));
        let handle = handle.unwrap_or_default();
        let is_first = self
            .product
            .as_ref()
            .is_none_or(|(known, _)| *known != handle);
        let has_title = !fields.text(Key::Title).is_empty();
        if is_first && !has_title && checks.problems.is_empty() && !is_known(&handle) {
            // Its product's first row is missing: what this one says can not be understood without it.
            return Ok(KeyedRow::bare(handle, &fields));
        }
        if is_first {
            self.product = Some((handle.clone(), option_names(&mut checks)));
        }
        let details = (is_first || has_title).then(|| Box::new(details(&mut checks)));
        let variant = match &self.product {
            Some((_, names)) if is_first || is_variant(&fields) => {
                self.variant(&mut checks, &handle, names)
            }
            _ => None,
        };
        let images = images(&mut checks, &[Key::Image, Key::VariantImage]);
        if variant.is_none() && images.is_empty() && checks.notes.is_empty() {
            let fix = "Fill in a variant or an image, or remove the row.";
            let message = "the row has neither a variant nor an image";
            checks.wrong(None, (Reason::MissingValue, message.into(), fix));
        }
        let sku = variant.as_ref().map_or("", |variant| &variant.sku);
        let notes = checks.finish(&handle, sku)?;
        // A product's first row that says no title can only add to one that is there already.
        let details = details.filter(|details| !details.title.is_empty());
        Ok(KeyedRow {
            external_key: handle,
            row: ReadRow {
                line: fields.line,
                last_line: fields.last_line,
                details,
                variant,
                images,
                notes,
            },
        })
    }

    fn variant(
        &self,
        checks: &mut Checks<'_, Key>,
        handle: &str,
        names: &[String],
    ) -> Option<ReadVariant> {
        let options = options(checks, names);
        let currency = self.currency?;
        let money = |text: &str| value::price(text, currency);
        let reference_price = checks.read(Key::Price, money);
        if reference_price.is_none() && checks.fields.text(Key::Price).is_empty() {
            let value = checks.fields.value(Key::Price);
            let fix = "Fill in Variant Price if the shop sells it.";
            checks.note(value, Reason::MissingValue, "the variant has no price", fix);
        }
        let compare_at_price = checks.read(Key::CompareAt, money);
        let reported_stock = checks.read(Key::Stock, value::stock);
        let weight_grams = checks.read(Key::Grams, value::weight);
        let sku = checks.read(Key::Sku, |text| line(unquoted(text), most::SKU));
        let made_sku = sku.is_none();
        let sku = sku.unwrap_or_else(|| made_sku_of(handle, &options));
        let has = |key| self.header.has(key);
        Some(ReadVariant {
            sku,
            made_sku,
            options,
            gtin: has(Key::Barcode).then(|| barcode(checks, Key::Barcode)),
            weight_grams: has(Key::Grams).then_some(weight_grams.unwrap_or(0)),
            reference_price: Some(reference_price),
            compare_at_price: has(Key::CompareAt).then_some(compare_at_price),
            reported_stock: has(Key::Stock).then_some(reported_stock),
        })
    }
}

/// Shopify writes an apostrophe before numbers, so that spreadsheets take them for text.
fn unquoted(text: &str) -> &str {
    text.strip_prefix('\'').unwrap_or(text)
}

/// Whether a row after a product's first says anything of a variant; prices alone are no variant, and neither
/// are the fixed words that exports repeat.
fn is_variant(fields: &Fields<Key>) -> bool {
    [
        Key::OptionValue(0),
        Key::OptionValue(1),
        Key::OptionValue(2),
        Key::Sku,
        Key::Price,
    ]
    .into_iter()
    .any(|key| !fields.text(key).is_empty())
}

fn option_names(checks: &mut Checks<'_, Key>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for place in 0..most::OPTIONS {
        let key = Key::OptionName(place);
        let name = checks.read(key, |text| line(text, most::OPTION_NAME));
        let name = name.unwrap_or_default();
        if !name.is_empty() && names.contains(&name) {
            let bad: Bad = (
                Reason::Duplicate,
                "two options have this name".into(),
                "Rename one of them.",
            );
            checks.wrong(checks.fields.value(key), bad);
        }
        names.push(name);
    }
    names
}

fn options(checks: &mut Checks<'_, Key>, names: &[String]) -> Vec<VariantOption> {
    let mut options = Vec::new();
    for (place, name) in names.iter().enumerate() {
        let (name_key, value_key) = (Key::OptionName(place), Key::OptionValue(place));
        let value = checks.read(value_key, |text| line(text, most::OPTION_VALUE));
        let said = checks.fields.text(name_key);
        if !said.is_empty() && said != name {
            let message = format!("the product's first row calls this option {name:?}");
            let fix = "Use the same name in all rows, or leave it empty after the first.";
            checks.wrong(
                checks.fields.value(name_key),
                (Reason::BadValue, message, fix),
            );
        }
        let is_said = !checks.fields.text(value_key).is_empty();
        match (name.is_empty(), value) {
            (false, Some(value)) => options.push(VariantOption {
                name: name.clone(),
                value,
            }),
            // A product with one variant may name no choice.
            (false, None) if !is_said && name != "Title" => {
                let message = format!("the option {name} has no value");
                let bad = (Reason::MissingValue, message, "Fill it in.");
                checks.wrong(checks.fields.value(value_key), bad);
            }
            (true, Some(_)) => {
                let message = "the option has a value and no name in the product's first row";
                let fix = "Name the option in the product's first row.";
                let bad = (Reason::MissingValue, message.to_owned(), fix);
                checks.wrong(checks.fields.value(value_key), bad);
            }
            _ => {}
        }
    }
    if let [only] = &options[..]
        && only.name == "Title"
        && only.value == "Default Title"
    {
        options.clear();
    }
    options
}

fn details(checks: &mut Checks<'_, Key>) -> ReadDetails {
    let title = checks.line(Key::Title, most::TITLE).unwrap_or_default();
    let kind = checks.line(Key::Type, most::CATEGORY);
    let category = match kind {
        Some(kind) if !kind.is_empty() => Some(kind),
        kind => checks.line(Key::Category, most::CATEGORY).or(kind),
    };
    let (status, for_sale) = state(checks);
    ReadDetails {
        title,
        description: description(checks, Key::Body),
        brand: checks.line(Key::Vendor, most::BRAND),
        category,
        status,
        for_sale,
        tags: tags(checks),
        has_images: checks.fields.value(Key::Image).is_some(),
    }
}

/// A description as plain text; a long one is cut, and that is noted.
pub(super) fn description<K: Copy + PartialEq>(
    checks: &mut Checks<'_, K>,
    key: K,
) -> Option<String> {
    let value = checks.fields.value(key)?;
    let (text, cut) = html::plain(&value.text, most::DESCRIPTION);
    if cut {
        let message = format!(
            "the text has more than {} characters and was cut",
            most::DESCRIPTION
        );
        checks.note(
            Some(value),
            Reason::Cut,
            message,
            "Shorten it if the end matters.",
        );
    }
    Some(text)
}

fn state(checks: &mut Checks<'_, Key>) -> (Option<String>, Option<bool>) {
    let status = checks
        .fields
        .value(Key::Status)
        .filter(|value| !value.text.is_empty());
    if let Some(value) = status {
        let word = value.text.to_lowercase();
        return match word.as_str() {
            "active" | "unlisted" => (Some(word), Some(true)),
            "draft" | "archived" => (Some(word), Some(false)),
            _ => {
                let fix = "Use active, draft, archived or unlisted.";
                checks.wrong(
                    Some(value),
                    (Reason::BadValue, "the status is unknown".into(), fix),
                );
                (None, None)
            }
        };
    }
    let published = checks
        .fields
        .value(Key::Published)
        .filter(|value| !value.text.is_empty());
    match published.map(|value| (value, value.text.to_lowercase())) {
        None => (None, None),
        Some((_, word)) if word == "true" => (Some("published".into()), Some(true)),
        Some((_, word)) if word == "false" => (Some("unpublished".into()), Some(false)),
        Some((value, _)) => {
            let bad = (
                Reason::BadValue,
                "Published is neither true nor false".into(),
                "Use true or false.",
            );
            checks.wrong(Some(value), bad);
            (None, None)
        }
    }
}

fn tags(checks: &mut Checks<'_, Key>) -> Option<Vec<String>> {
    let value = checks.fields.value(Key::Tags)?;
    let mut tags: Vec<String> = Vec::new();
    let mut left_out = 0;
    for tag in value.text.split(',') {
        match line(tag, most::TAG) {
            Ok(tag) if tag.is_empty() || tags.contains(&tag) => {}
            Ok(tag) if tags.len() < most::TAGS => tags.push(tag),
            _ => left_out += 1,
        }
    }
    if left_out > 0 {
        let message =
            format!("{left_out} tags were left out: there are more than 250, or they are too long");
        checks.note(
            Some(value),
            Reason::LeftOut,
            message,
            "Remove tags that are not needed.",
        );
    }
    Some(tags)
}

/// A barcode, when it is a GTIN; shops keep other numbers there too.
pub(super) fn barcode<K: Copy + PartialEq>(checks: &mut Checks<'_, K>, key: K) -> String {
    let Some(value) = checks.fields.value(key) else {
        return String::new();
    };
    let text: String = unquoted(&value.text)
        .chars()
        .filter(|letter| !matches!(letter, ' ' | '-'))
        .collect();
    if text.is_empty() {
        return text;
    }
    match gtin::problem(&text) {
        None => text,
        Some(problem) => {
            let message = format!("the number was left out, because a GTIN {problem}");
            checks.note(
                Some(value),
                Reason::LeftOut,
                message,
                "Correct it if it is meant to be a GTIN.",
            );
            String::new()
        }
    }
}

/// The addresses of a row's images.
pub(super) fn images<K: Copy + PartialEq>(checks: &mut Checks<'_, K>, keys: &[K]) -> Vec<String> {
    let mut images: Vec<String> = Vec::new();
    for &key in keys {
        let values: Vec<&Value> = checks.fields.all(key).collect();
        for value in values.into_iter().filter(|value| !value.text.is_empty()) {
            match value::image(&value.text) {
                Ok(Image::Kept(uri)) if images.contains(&uri) => {}
                Ok(Image::Kept(uri)) => images.push(uri),
                Ok(Image::LeftOut(why)) => {
                    let message = format!("the image was left out: {why}");
                    checks.note(
                        Some(value),
                        Reason::LeftOut,
                        message,
                        "Serve it over https.",
                    );
                }
                Err(bad) => checks.wrong(Some(value), bad),
            }
        }
    }
    images
}

/// The SKU of a variant for which the file has none: the same for the same product and options, whatever the
/// order of the rows.
fn made_sku_of(handle: &str, options: &[VariantOption]) -> String {
    let mut exact = handle.to_owned();
    for option in options {
        exact.push('-');
        exact.push_str(&option.value);
    }
    let mut sku = String::new();
    for letter in exact.chars() {
        match letter.to_ascii_lowercase() {
            letter if letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.') => {
                sku.push(letter)
            }
            _ if sku.ends_with('-') => {}
            _ => sku.push('-'),
        }
    }
    if sku == exact.to_lowercase() && sku.len() <= most::SKU {
        return sku;
    }
    let hash = Sha256::digest(exact.as_bytes());
    sku.truncate(most::SKU - 9);
    format!("{}-{}", sku.trim_end_matches('-'), hex::encode(&hash[..4]))
}
