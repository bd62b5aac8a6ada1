//! Google Merchant Center: one item is one variant, and items with the same `item_group_id` are one product.
//!
//! The attributes are the same in tab-separated files and in XML. An item without a group is a product of its
//! own. `price` is the list price; with a `sale_price` that is what one pays, and `price` what it is compared
//! with. The file counts units only where it has a quantity; `out_of_stock` means none.

use std::sync::Arc;

use contracts::money::{Currency, Money};

use super::cells::Row;
use super::fields::{Checks, Fields, Header};
use super::shopify::{barcode, description, images};
use super::value::{self, line, price_with_currency};
use super::{KeyedRow, Problem, ReadDetails, ReadRow, ReadVariant, Reason, Refused, most};
use crate::model::product::VariantOption;

/// What an attribute means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The SKU.
    Id,
    /// The product's key.
    Group,
    /// The title.
    Title,
    /// The description.
    Description,
    /// The brand.
    Brand,
    /// The shop's category.
    ProductType,
    /// Google's category.
    GoogleCategory,
    /// What it costs without a sale.
    Price,
    /// What it costs now.
    SalePrice,
    /// Whether there are any.
    Availability,
    /// How many there are.
    Quantity,
    /// The GTIN.
    Gtin,
    /// The weight with its unit.
    Weight,
    /// The first image.
    Image,
    /// Further images.
    MoreImages,
    /// An option.
    Color,
    /// An option.
    Size,
    /// An option.
    Material,
    /// An option.
    Pattern,
    /// An option.
    Gender,
    /// An option.
    AgeGroup,
}

/// Attribute names as TSV and XML write them.
pub const ATTRIBUTES: &[(&str, Key)] = &[
    ("id", Key::Id),
    ("item_group_id", Key::Group),
    ("title", Key::Title),
    ("description", Key::Description),
    ("brand", Key::Brand),
    ("product_type", Key::ProductType),
    ("google_product_category", Key::GoogleCategory),
    ("price", Key::Price),
    ("sale_price", Key::SalePrice),
    ("availability", Key::Availability),
    ("quantity", Key::Quantity),
    ("sell_on_google_quantity", Key::Quantity),
    ("inventory", Key::Quantity),
    ("gtin", Key::Gtin),
    ("shipping_weight", Key::Weight),
    ("product_weight", Key::Weight),
    ("image_link", Key::Image),
    ("additional_image_link", Key::MoreImages),
    ("color", Key::Color),
    ("size", Key::Size),
    ("material", Key::Material),
    ("pattern", Key::Pattern),
    ("gender", Key::Gender),
    ("age_group", Key::AgeGroup),
];

/// Attributes that tell variants of one product apart, those that do so most often first.
const OPTIONS: [(&str, Key); 6] = [
    ("Color", Key::Color),
    ("Size", Key::Size),
    ("Material", Key::Material),
    ("Pattern", Key::Pattern),
    ("Gender", Key::Gender),
    ("Age group", Key::AgeGroup),
];

/// The name as it is looked up: lower case, words joined by `_`, without a namespace.
pub fn attribute(name: &str) -> String {
    let name = name.rsplit(':').next().unwrap_or(name);
    let folded = super::fields::folded(name);
    folded.split([' ', '_']).collect::<Vec<_>>().join("_")
}

/// Whether a header is one of this form.
pub fn is_header(names: &[String]) -> bool {
    let has = |name: &str| names.iter().any(|known| attribute(known) == name);
    has("id") && has("title") && (has("price") || has("link") || has("availability"))
}

/// Reads items.
pub struct Merchant {
    currency: Option<Currency>,
}

/// Reads the header of a table.
pub fn header(row: &Row) -> Result<Header<Key>, Vec<Problem>> {
    let mut plain = row.clone();
    for cell in &mut plain.cells {
        if let Ok(name) = &mut cell.text {
            *name = attribute(name);
        }
    }
    let required = [Key::Id, Key::Title, Key::Price];
    let repeated = [Key::MoreImages, Key::Quantity, Key::Weight];
    Header::read(&plain, ATTRIBUTES, &required, &repeated, (Key::Id, Key::Id))
}

/// The meaning of an element's name, and the name as it is shown.
pub fn element(name: &str) -> Option<(Key, Arc<str>)> {
    let plain = attribute(name);
    let found = ATTRIBUTES.iter().find(|(known, _)| *known == plain)?;
    Some((found.1, name.into()))
}

impl Merchant {
    /// Prices that name no currency are in `currency`.
    pub fn new(currency: Option<Currency>) -> Self {
        Merchant { currency }
    }

    /// Reads an item.
    pub fn read(&self, fields: &Fields<Key>) -> Result<KeyedRow, Refused> {
        let mut checks = Checks::new(fields);
        let sku = checks.required(Key::Id, |text| line(text, most::SKU));
        let sku = sku.unwrap_or_default();
        let group = checks.read(Key::Group, |text| line(text, most::EXTERNAL_KEY));
        let external_key = group.unwrap_or_else(|| sku.clone());
        let title = checks.required(Key::Title, |text| line(text, most::TITLE));
        let details = details(&mut checks, title.unwrap_or_default());
        let (reference_price, compare_at_price) = self.prices(&mut checks);
        let variant = ReadVariant {
            options: options(&mut checks),
            made_sku: false,
            gtin: fields
                .value(Key::Gtin)
                .map(|_| barcode(&mut checks, Key::Gtin)),
            weight_grams: fields
                .value(Key::Weight)
                .map(|_| checks.read(Key::Weight, value::weight).unwrap_or(0)),
            reference_price: Some(reference_price),
            compare_at_price: Some(compare_at_price),
            reported_stock: stock(&mut checks),
            sku: sku.clone(),
        };
        let images = pictures(&mut checks);
        let notes = checks.finish(&external_key, &sku)?;
        Ok(KeyedRow {
            external_key,
            row: ReadRow {
                line: fields.line,
                last_line: fields.last_line,
                details: Some(Box::new(details)),
                variant: Some(variant),
                images,
                notes,
            },
        })
    }

    fn prices(&self, checks: &mut Checks<'_, Key>) -> (Option<Money>, Option<Money>) {
        let money = |text: &str| price_with_currency(text, self.currency);
        let price = checks.required(Key::Price, money);
        let sale = checks.read(Key::SalePrice, money);
        match (price, sale) {
            (Some(price), Some(sale)) if price.currency != sale.currency => {
                let fix = "Write both in one currency.";
                let message = "price and sale price are in two currencies";
                let value = checks.fields.value(Key::SalePrice);
                checks.wrong(value, (Reason::BadPrice, message.into(), fix));
                (None, None)
            }
            (price, Some(sale)) => (Some(sale), price),
            (price, None) => (price, None),
        }
    }
}

fn details(checks: &mut Checks<'_, Key>, title: String) -> ReadDetails {
    let category = match checks.line(Key::ProductType, most::CATEGORY) {
        Some(kind) if !kind.is_empty() => Some(kind),
        kind => checks.line(Key::GoogleCategory, most::CATEGORY).or(kind),
    };
    ReadDetails {
        title,
        description: description(checks, Key::Description),
        brand: checks.line(Key::Brand, most::BRAND),
        category,
        status: None,
        for_sale: None,
        tags: None,
        has_images: checks.fields.value(Key::Image).is_some(),
    }
}

fn options(checks: &mut Checks<'_, Key>) -> Vec<VariantOption> {
    let mut options = Vec::new();
    for (name, key) in OPTIONS {
        let Some(value) = checks.read(key, |text| line(text, most::OPTION_VALUE)) else {
            continue;
        };
        if options.len() < most::OPTIONS {
            let name = name.to_owned();
            options.push(VariantOption { name, value });
        }
    }
    options
}

/// Units: what the file counts, none when it says so, and nothing when it only says that there are some.
fn stock(checks: &mut Checks<'_, Key>) -> Option<Option<i64>> {
    let counted = checks.read(Key::Quantity, value::stock);
    let availability = checks.fields.value(Key::Availability);
    let word = availability.map(|value| value.text.to_lowercase().replace(' ', "_"));
    let none = match word.as_deref() {
        None | Some("" | "in_stock" | "preorder" | "backorder") => false,
        Some("out_of_stock") => true,
        Some(_) => {
            let fix = "Use in_stock, out_of_stock, preorder or backorder.";
            let bad = (Reason::BadValue, "the availability is unknown".into(), fix);
            checks.wrong(availability, bad);
            false
        }
    };
    let says = checks.fields.value(Key::Quantity).is_some() || availability.is_some();
    says.then(|| counted.or(none.then_some(0)))
}

/// The first image and the others, which tables write into one cell with commas between.
fn pictures(checks: &mut Checks<'_, Key>) -> Vec<String> {
    let mut pictures = images(checks, &[Key::Image]);
    let more = checks
        .fields
        .all(Key::MoreImages)
        .cloned()
        .collect::<Vec<_>>();
    let values = more.into_iter().flat_map(|value| {
        let addresses: Vec<String> = value.text.split(",http").map(str::to_owned).collect();
        let first = addresses.into_iter().enumerate();
        first.map(move |(place, address)| {
            let text = if place == 0 {
                address
            } else {
                format!("http{address}")
            };
            let text = text.trim_matches([',', ' ']).to_owned();
            (
                Key::MoreImages,
                super::fields::Value {
                    text,
                    ..value.clone()
                },
            )
        })
    });
    let fields = Fields {
        line: checks.fields.line,
        last_line: checks.fields.last_line,
        values: values.collect(),
    };
    let mut inner = Checks::new(&fields);
    for uri in images(&mut inner, &[Key::MoreImages]) {
        if !pictures.contains(&uri) {
            pictures.push(uri);
        }
    }
    let (problems, notes) = (inner.problems, inner.notes);
    checks.problems.extend(problems);
    checks.notes.extend(notes);
    pictures
}
