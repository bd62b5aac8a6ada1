//! What callers send, as the model has it.

use std::collections::BTreeSet;

use contracts::catalog::v1;
use contracts::common::v1 as common;
use kit::errors::Refusal;
use kit::validate::Violations;

use crate::model::country::is_country;
use crate::model::product::{
    ProductChange, ProductDetails, Unit, UnitPolicy, VARIANTS_MAX, VariantDetails, VariantOption,
};
use crate::model::{gtin, not_offered};

const TITLE_MAX: usize = 200;
const DESCRIPTION_MAX: usize = 10_000;
const BRAND_MAX: usize = 120;
const CATEGORY_MAX: usize = 200;
const EXTERNAL_KEY_MAX: usize = 200;
const IMAGES_MAX: usize = 20;
const IMAGE_URI_MAX: usize = 2_000;
const SKU_MAX: usize = 64;
const REGULATED_CATEGORY_MAX: usize = 64;
const OPTIONS_MAX: usize = 3;
const OPTION_NAME_MAX: usize = 60;
const OPTION_VALUE_MAX: usize = 120;
const QUANTITY_STEP_MAX: i64 = 1_000_000;
const WEIGHT_GRAMS_MAX: i64 = 1_000_000_000;
const TERRITORIES_MAX: usize = 250;

/// A new product with its variants.
pub(super) fn product(
    v: &mut Violations,
    product: &v1::Product,
) -> (ProductDetails, Vec<VariantDetails>) {
    let details = ProductDetails {
        title: v.text("title", &product.title, 1..=TITLE_MAX),
        description: v.long_text("description", &product.description, 0..=DESCRIPTION_MAX),
        brand: v.text("brand", &product.brand, 0..=BRAND_MAX),
        category: v.text("category", &product.category, 0..=CATEGORY_MAX),
        image_uris: image_uris(v, &product.image_uris),
        external_key: v.text("external_key", &product.external_key, 0..=EXTERNAL_KEY_MAX),
        regulated_category: regulated_category(v, &product.regulated_category, true),
    };
    let mut variants = Vec::new();
    if v.items("variants", &product.variants, 1..=VARIANTS_MAX) {
        for (place, sent) in product.variants.iter().enumerate() {
            variants.push(variant(&mut v.nested(format!("variants[{place}]")), sent));
        }
    }
    (details, variants)
}

/// Refuses what a product may say one day. Asked after everything else is right.
pub(super) fn offered_product(product: &v1::Product) -> Result<(), Refusal> {
    let mut variants = product.variants.iter().enumerate();
    variants.try_for_each(|(place, variant)| {
        offered_variant(&format!("product.variants[{place}].unit_policy"), variant)
    })
}

/// Refuses what a variant may say one day.
pub(super) fn offered_variant(field: &str, variant: &v1::Variant) -> Result<(), Refusal> {
    match variant.unit_policy() {
        common::UnitPolicy::Unspecified | common::UnitPolicy::None => Ok(()),
        common::UnitPolicy::SerialAtPack | common::UnitPolicy::UnitAtHold => {
            Err(not_offered(field, "a policy other than NONE"))
        }
    }
}

/// The code of a regulated category.
pub(super) fn regulated_category(v: &mut Violations, code: &str, may_be_empty: bool) -> String {
    let is_plain = |letter: u8| matches!(letter, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    let is_long_enough = may_be_empty || !code.is_empty();
    if !is_long_enough || code.len() > REGULATED_CATEGORY_MAX || !code.bytes().all(is_plain) {
        v.add(
            "regulated_category",
            "must have 1 to 64 of a-z, 0-9, - and _, such as alcohol.",
        );
    }
    code.to_owned()
}

fn image_uris(v: &mut Violations, uris: &[String]) -> Vec<String> {
    if !v.items("image_uris", uris, 0..=IMAGES_MAX) {
        return Vec::new();
    }
    let mut checked = Vec::with_capacity(uris.len());
    for (place, uri) in uris.iter().enumerate() {
        let field = format!("image_uris[{place}]");
        let uri = v.text(&field, uri, 1..=IMAGE_URI_MAX);
        let rest = uri.strip_prefix("https://").unwrap_or_default();
        let has_host = rest
            .split(['/', '?', '#'])
            .next()
            .is_some_and(|host| !host.is_empty());
        if !uri.is_empty() && (!has_host || uri.contains(char::is_whitespace)) {
            v.add(
                &field,
                "must be an https address, such as https://example.com/a.jpg.",
            );
        }
        checked.push(uri);
    }
    checked
}

/// New values of a product, as the mask chooses them.
pub(super) fn product_change(
    v: &mut Violations,
    product: &v1::Product,
    mask: Option<&prost_types::FieldMask>,
) -> ProductChange {
    let mut change = ProductChange::default();
    let paths = mask.map_or(&[][..], |mask| &mask.paths);
    if paths.is_empty() {
        v.add("update_mask", "must name at least one field to change.");
        return change;
    }
    let mut inside = v.nested("product");
    let mut unknown = false;
    for path in paths.iter().collect::<BTreeSet<_>>() {
        match path.as_str() {
            "title" => change.title = Some(inside.text("title", &product.title, 1..=TITLE_MAX)),
            "description" => {
                let text =
                    inside.long_text("description", &product.description, 0..=DESCRIPTION_MAX);
                change.description = Some(text);
            }
            "brand" => change.brand = Some(inside.text("brand", &product.brand, 0..=BRAND_MAX)),
            "category" => {
                change.category =
                    Some(inside.text("category", &product.category, 0..=CATEGORY_MAX));
            }
            "image_uris" => change.image_uris = Some(image_uris(&mut inside, &product.image_uris)),
            "regulated_category" => {
                let code = regulated_category(&mut inside, &product.regulated_category, true);
                change.regulated_category = Some(code);
            }
            _ => unknown = true,
        }
    }
    drop(inside);
    if unknown {
        v.add(
            "update_mask",
            "may name title, description, brand, category, image_uris and regulated_category only.",
        );
    }
    change
}

/// A new variant.
pub(super) fn variant(v: &mut Violations, variant: &v1::Variant) -> VariantDetails {
    let unit = match v.enumeration::<common::Unit>("unit", variant.unit) {
        common::Unit::Gram => Unit::Gram,
        common::Unit::Each | common::Unit::Unspecified => Unit::Each,
    };
    // Whether the policy is offered is asked when everything else is right; until then NONE stands for it.
    v.opt_enumeration::<common::UnitPolicy>("unit_policy", variant.unit_policy);
    let weight_grams = v.range("weight_grams", variant.weight_grams, 0..=WEIGHT_GRAMS_MAX);
    if let Some(problem) = Some(&variant.gtin)
        .filter(|gtin| !gtin.is_empty())
        .and_then(|gtin| gtin::problem(gtin))
    {
        v.add("gtin", problem);
    }
    VariantDetails {
        sku: v.text("sku", &variant.sku, 1..=SKU_MAX),
        options: options(v, &variant.options),
        unit,
        quantity_step: v
            .range(
                "quantity_step",
                variant.quantity_step,
                0..=QUANTITY_STEP_MAX,
            )
            .max(1),
        unit_policy: UnitPolicy::None,
        gtin: variant.gtin.clone(),
        weight_grams: if unit == Unit::Gram { 0 } else { weight_grams },
    }
}

fn options(v: &mut Violations, options: &[v1::VariantOption]) -> Vec<VariantOption> {
    if !v.items("options", options, 0..=OPTIONS_MAX) {
        return Vec::new();
    }
    let mut names = BTreeSet::new();
    let mut checked = Vec::with_capacity(options.len());
    for (place, option) in options.iter().enumerate() {
        let mut inside = v.nested(format!("options[{place}]"));
        let name = inside.text("name", &option.name, 1..=OPTION_NAME_MAX);
        let value = inside.text("value", &option.value, 1..=OPTION_VALUE_MAX);
        if !name.is_empty() && !names.insert(name.clone()) {
            inside.add("name", "is the name of another option of this variant.");
        }
        checked.push(VariantOption { name, value });
    }
    checked
}

/// Territories, `least` to 250 of them.
pub(super) fn territories(
    v: &mut Violations,
    field: &str,
    codes: &[String],
    least: usize,
) -> Vec<String> {
    if !v.items(field, codes, least..=TERRITORIES_MAX) {
        return Vec::new();
    }
    let mut known = BTreeSet::new();
    for (place, code) in codes.iter().enumerate() {
        let field = format!("{field}[{place}]");
        if !is_country(code) {
            v.add(
                &field,
                "must be an ISO 3166-1 alpha-2 code in capitals, such as DE.",
            );
        } else if !known.insert(code) {
            v.add(&field, "is there already; name every territory once.");
        }
    }
    codes.to_vec()
}

/// The code of one territory.
pub(super) fn territory(v: &mut Violations, field: &str, code: &str) -> String {
    if !is_country(code) {
        v.add(
            field,
            "must be an ISO 3166-1 alpha-2 code in capitals, such as DE.",
        );
    }
    code.to_owned()
}
