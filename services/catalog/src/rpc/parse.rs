//! What callers send, as the model has it.

use std::collections::BTreeSet;
use std::time::Duration;

use contracts::catalog::v1;
use contracts::common::v1 as common;
use contracts::money::Price;
use kit::errors::Refusal;
use kit::validate::Violations;

use crate::model::country::is_country;
use crate::model::product::{
    ProductChange, ProductDetails, Unit, UnitPolicy, VARIANTS_MAX, VariantDetails, VariantOption,
};
use crate::model::terms::{
    BASIS_POINTS, PER_SHOPPER_MAX, PurchaseMode, REMORSE_MAX, SHIP_WITHIN_DEFAULT, SHIP_WITHIN_MAX,
    Terms, TermsChange,
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
const OPTIONS_MAX: usize = 3;
const OPTION_NAME_MAX: usize = 60;
const OPTION_VALUE_MAX: usize = 120;
const QUANTITY_STEP_MAX: i64 = 1_000_000;
const WEIGHT_GRAMS_MAX: i64 = 1_000_000_000;
const TERRITORIES_MAX: usize = 250;
const LEGAL_ENTITY_MAX: usize = 200;

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
    if !product.regulated_category.is_empty() {
        return Err(not_offered(
            "product.regulated_category",
            "a regulated category",
        ));
    }
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
            _ => unknown = true,
        }
    }
    drop(inside);
    if unknown {
        v.add(
            "update_mask",
            "may name title, description, brand, category and image_uris only.",
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

/// The terms of a proposal; none when a field is wrong.
pub(super) fn terms(v: &mut Violations, terms: &v1::ListingTerms) -> Option<Terms> {
    let price = price(v, &terms.price);
    let purchase_mode =
        match v.opt_enumeration::<common::PurchaseMode>("purchase_mode", terms.purchase_mode) {
            Some(common::PurchaseMode::Redirect) => PurchaseMode::Redirect,
            _ => PurchaseMode::InApp,
        };
    v.opt_enumeration::<v1::Exclusivity>("exclusivity", terms.exclusivity);
    let remorse_period = duration(
        v,
        "remorse_period",
        terms.remorse_period.as_ref(),
        REMORSE_MAX,
    );
    let ship_within = duration(
        v,
        "ship_within",
        terms.ship_within.as_ref(),
        SHIP_WITHIN_MAX,
    );
    if ship_within.is_some_and(|time| time.is_zero()) {
        v.add(
            "ship_within",
            "must be more than nothing; leave it out for 3 days.",
        );
    }
    Some(Terms {
        retailer_discount_basis_points: basis_points(
            v,
            "retailer_discount_basis_points",
            terms.retailer_discount_basis_points,
        ),
        shipping: shipping(v, terms.shipping.as_ref(), price.as_ref()),
        tax_basis_points: basis_points(v, "tax_basis_points", terms.tax_basis_points),
        tax_included: terms.tax_included,
        sale_window: v.window("sale_window", &terms.sale_window),
        per_shopper_limit: per_shopper_limit(v, terms.per_shopper_limit),
        territories: territories(v, &terms.territories),
        commission_basis_points: basis_points(
            v,
            "commission_basis_points",
            terms.commission_basis_points,
        ),
        legal_entity: v.text("legal_entity", &terms.legal_entity, 0..=LEGAL_ENTITY_MAX),
        purchase_mode,
        remorse_period: remorse_period.unwrap_or_default(),
        ship_within: ship_within.unwrap_or(SHIP_WITHIN_DEFAULT),
        ship_not_before: v.opt_time("ship_not_before", &terms.ship_not_before),
        price: price?,
    })
}

/// Refuses what terms may say one day. Asked after everything else is right.
pub(super) fn offered_terms(terms: &v1::ListingTerms) -> Result<(), Refusal> {
    if terms.exclusivity() == v1::Exclusivity::ThisPartner {
        return Err(not_offered("terms.exclusivity", "exclusivity"));
    }
    if !terms.dated_purchase_modes.is_empty() {
        return Err(not_offered(
            "terms.dated_purchase_modes",
            "a dated change of the purchase mode",
        ));
    }
    Ok(())
}

/// New terms; what is absent stays.
pub(super) fn terms_change(
    v: &mut Violations,
    asked: &v1::ChangeListingTermsRequest,
) -> TermsChange {
    let change = TermsChange {
        price: asked.price.as_ref().and_then(|_| price(v, &asked.price)),
        retailer_discount_basis_points: asked
            .retailer_discount_basis_points
            .map(|points| basis_points(v, "retailer_discount_basis_points", points)),
        shipping: asked
            .shipping
            .as_ref()
            .and_then(|_| v.money("shipping", &asked.shipping)),
        sale_window: asked
            .sale_window
            .as_ref()
            .map(|_| v.window("sale_window", &asked.sale_window)),
        per_shopper_limit: asked
            .per_shopper_limit
            .map(|limit| per_shopper_limit(v, limit)),
    };
    if v.is_empty() && change == TermsChange::default() {
        v.add(
            "price",
            "or another of the terms must be set; there is nothing to change.",
        );
    }
    change
}

fn price(v: &mut Violations, sent: &Option<common::Price>) -> Option<Price> {
    let price = v.price("price", sent)?;
    if price.amount().minor_units == 0 {
        v.add("price.amount.minor_units", "must be more than 0.");
    }
    Some(price)
}

fn shipping(v: &mut Violations, sent: Option<&common::Money>, price: Option<&Price>) -> i64 {
    let Some(money) = sent.and_then(|sent| v.money("shipping", &Some(sent.clone()))) else {
        return 0;
    };
    let currency = price.map(|price| price.amount().currency);
    if currency.is_some_and(|currency| currency != money.currency) {
        v.add(
            "shipping.currency_code",
            "must be the currency of the price.",
        );
    }
    money.minor_units
}

fn basis_points(v: &mut Violations, field: &str, points: i32) -> i64 {
    v.range(field, points, 0..=BASIS_POINTS)
}

fn per_shopper_limit(v: &mut Violations, limit: i64) -> i64 {
    v.range("per_shopper_limit", limit, 0..=PER_SHOPPER_MAX)
}

fn territories(v: &mut Violations, codes: &[String]) -> Vec<String> {
    if !v.items("territories", codes, 0..=TERRITORIES_MAX) {
        return Vec::new();
    }
    let mut known = BTreeSet::new();
    for (place, code) in codes.iter().enumerate() {
        let field = format!("territories[{place}]");
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

/// A length of time, cut to microseconds as the tables have it; none when it is absent or wrong.
fn duration(
    v: &mut Violations,
    field: &str,
    sent: Option<&prost_types::Duration>,
    max: Duration,
) -> Option<Duration> {
    let sent = sent?;
    let seconds = u64::try_from(sent.seconds).ok();
    let nanos = u32::try_from(sent.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000);
    let time = seconds
        .zip(nanos)
        .map(|(seconds, nanos)| Duration::new(seconds, nanos - nanos % 1_000));
    match time.filter(|time| *time <= max) {
        Some(time) => Some(time),
        None => {
            let days = max.as_secs() / (24 * 60 * 60);
            v.add(field, format!("must be 0 to {days} days."));
            None
        }
    }
}
