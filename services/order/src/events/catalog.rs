//! What the catalogue's feed means here: partners, their keys, products and listings are mirrored as they come.
//! The feed's order decides which word is the last.

use std::time::Duration;

use ::store::Tx;
use ::store::consumer::Consume;
use contracts::catalog::v1 as pb;
use contracts::catalog::v1::catalog_feed_entry::Content;
use contracts::common::v1 as common;
use contracts::money::Price;
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};
use kit::validate::Violations;

use crate::model::{DatedMode, Listing, ListingState, PartnerState, Pricing, PurchaseMode, Unit};
use crate::ops::keys::KeyRing;
use crate::store::mirrors::{self, MirroredKey, MirroredPartner, MirroredVariant};

/// Mirrors the catalogue.
#[derive(Clone)]
pub struct CatalogMirror {
    keys: KeyRing,
    ship_within: Duration,
}

impl CatalogMirror {
    /// A mirror that tells `keys` of changed keys. Listings that do not say by when they ship do it
    /// within `ship_within`.
    pub fn new(keys: KeyRing, ship_within: Duration) -> Self {
        CatalogMirror { keys, ship_within }
    }
}

impl Consume<pb::CatalogFeedEntry> for CatalogMirror {
    async fn apply(&self, tx: &mut Tx, entry: &pb::CatalogFeedEntry) -> Result<(), Fault> {
        match &entry.content {
            Some(Content::Partner(partner)) => {
                mirrors::partner_put(tx, &self::partner(partner)?).await
            }
            Some(Content::PaymentKey(key)) => {
                let key = payment_key(key)?;
                mirrors::payment_key_put(tx, &key).await?;
                self.keys.forget(&key.partner_id, &key.kid);
                Ok(())
            }
            Some(Content::Product(product)) => {
                let (product_id, variants) = self::product(product)?;
                mirrors::product_put(tx, &product_id, &product.etag, &product.title, &variants)
                    .await
            }
            Some(Content::Listing(listing)) => {
                let (listing, update_time) = self::listing(listing, self.ship_within)?;
                mirrors::listing_put(tx, &listing, update_time).await
            }
            // Outlets matter elsewhere, and what a later version adds does, too.
            Some(Content::Outlet(_) | Content::PartnerAccess(_)) | None => Ok(()),
        }
    }
}

/// What the checks have made sure of is there; this is for the compiler.
fn there<T>(value: Option<T>) -> Result<T, Refusal> {
    value.ok_or_else(|| Refusal::invalid("entry", "is incomplete."))
}

fn partner(partner: &pb::Partner) -> Result<MirroredPartner, Refusal> {
    let mut v = Violations::new();
    let partner_id = v.id("partner_id", &partner.partner_id);
    let state = match v.enumeration::<pb::PartnerState>("state", partner.state) {
        pb::PartnerState::Suspended => PartnerState::Suspended,
        pb::PartnerState::Active | pb::PartnerState::Unspecified => PartnerState::Active,
    };
    let update_time = v
        .opt_time("update_time", &partner.update_time)
        .unwrap_or(Micros(0));
    v.finish()?;
    Ok(MirroredPartner {
        partner_id: there(partner_id)?,
        display_name: partner.display_name.clone(),
        state,
        etag: partner.etag.clone(),
        update_time,
    })
}

fn payment_key(key: &pb::PaymentKey) -> Result<MirroredKey, Refusal> {
    let mut v = Violations::new();
    let payment_key_id = v.id("payment_key_id", &key.payment_key_id);
    let partner_id = v.id("partner_id", &key.partner_id);
    let state = v.enumeration::<pb::PaymentKeyState>("state", key.state);
    v.finish()?;
    Ok(MirroredKey {
        payment_key_id: there(payment_key_id)?,
        partner_id: there(partner_id)?,
        kid: key.kid.clone(),
        public_key_jwk: key.public_key_jwk.clone(),
        active: state == pb::PaymentKeyState::Active,
    })
}

fn product(
    product: &pb::Product,
) -> Result<(contracts::id::ProductId, Vec<MirroredVariant>), Refusal> {
    let mut v = Violations::new();
    let product_id = v.id("product_id", &product.product_id);
    let mut variants = Vec::with_capacity(product.variants.len());
    for (index, variant) in product.variants.iter().enumerate() {
        let mut v = v.nested(format_args!("variants[{index}]"));
        let unit = unit(&mut v, variant.unit);
        let Some(variant_id) = v.id("variant_id", &variant.variant_id) else {
            continue;
        };
        let quantity_step = variant.quantity_step.max(1);
        variants.push(MirroredVariant {
            variant_id,
            sku: variant.sku.clone(),
            unit,
            quantity_step,
        });
    }
    v.finish()?;
    Ok((there(product_id)?, variants))
}

fn listing(listing: &pb::Listing, ship_within: Duration) -> Result<(Listing, Micros), Refusal> {
    let mut v = Violations::new();
    let listing_id = v.id("listing_id", &listing.listing_id);
    let partner_id = v.id("partner_id", &listing.partner_id);
    let variant_id = v.id("variant_id", &listing.variant_id);
    let product_id = v.id("product_id", &listing.product_id);
    let state = listing_state(v.enumeration("state", listing.state));
    let terms_version = v.range("terms_version", listing.terms_version, 1..=i64::MAX);
    let update_time = v
        .opt_time("update_time", &listing.update_time)
        .unwrap_or(Micros(0));
    let no_variant = pb::Variant::default();
    let variant = v
        .required("variant", &listing.variant)
        .unwrap_or(&no_variant);
    let unit = unit(&mut v.nested("variant"), variant.unit);
    let no_terms = pb::ListingTerms::default();
    let terms = v.required("terms", &listing.terms).unwrap_or(&no_terms);
    let mut inside = v.nested("terms");
    let pricing = pricing(&mut inside, terms);
    let window = inside.window("sale_window", &terms.sale_window);
    let purchase_mode = purchase_mode(&mut inside, terms.purchase_mode);
    let dated_purchase_modes = dated_purchase_modes(&mut inside, &terms.dated_purchase_modes);
    let remorse = length(&mut inside, "remorse_period", &terms.remorse_period);
    let own_ship_within = length(&mut inside, "ship_within", &terms.ship_within);
    let ship_not_before = inside.opt_time("ship_not_before", &terms.ship_not_before);
    let per_shopper_limit =
        inside.range("per_shopper_limit", terms.per_shopper_limit, 0..=i64::MAX);
    drop(inside);
    v.finish()?;
    let listing = Listing {
        listing_id: there(listing_id)?,
        partner_id: there(partner_id)?,
        variant_id: there(variant_id)?,
        product_id: there(product_id)?,
        sku: variant.sku.clone(),
        title: listing.title.clone(),
        unit,
        quantity_step: variant.quantity_step.max(1),
        state,
        terms_version,
        pricing: there(pricing)?,
        window_start_time: window.start,
        window_end_time: window.end,
        per_shopper_limit,
        territories: terms.territories.clone(),
        legal_entity: terms.legal_entity.clone(),
        purchase_mode,
        dated_purchase_modes,
        remorse: remorse.unwrap_or(Duration::ZERO),
        ship_within: own_ship_within.unwrap_or(ship_within),
        ship_not_before,
        etag: listing.etag.clone(),
        // The partner's own row says this; a listing is read together with it.
        partner_state: PartnerState::Active,
    };
    Ok((listing, update_time))
}

fn pricing(v: &mut Violations, terms: &pb::ListingTerms) -> Option<Pricing> {
    let price: Option<Price> = v.price("price", &terms.price);
    let shipping = match &terms.shipping {
        Some(_) => v.money("shipping", &terms.shipping),
        None => None,
    };
    let price = price?;
    if shipping.is_some_and(|shipping| shipping.currency != price.amount().currency) {
        v.add("shipping", "must be in the currency of the price.");
    }
    let mut points = |field: &str, number: i32| v.range(field, number, 0..=10_000);
    Some(Pricing {
        price,
        retailer_discount_basis_points: points(
            "retailer_discount_basis_points",
            terms.retailer_discount_basis_points,
        ),
        shipping: shipping.map_or(0, |shipping| shipping.minor_units),
        tax_basis_points: points("tax_basis_points", terms.tax_basis_points),
        tax_included: terms.tax_included,
        commission_basis_points: points("commission_basis_points", terms.commission_basis_points),
    })
}

fn purchase_mode(v: &mut Violations, number: i32) -> PurchaseMode {
    match v.opt_enumeration::<common::PurchaseMode>("purchase_mode", number) {
        Some(common::PurchaseMode::Redirect) => PurchaseMode::Redirect,
        Some(common::PurchaseMode::InApp | common::PurchaseMode::Unspecified) | None => {
            PurchaseMode::InApp
        }
    }
}

/// The switches, which must be in their order: the mode in force is looked up by it.
fn dated_purchase_modes(v: &mut Violations, switches: &[pb::DatedPurchaseMode]) -> Vec<DatedMode> {
    let mut modes: Vec<DatedMode> = Vec::with_capacity(switches.len());
    for (index, switch) in switches.iter().enumerate() {
        let mut v = v.nested(format_args!("dated_purchase_modes[{index}]"));
        let mode = purchase_mode(&mut v, switch.purchase_mode);
        let Some(start_time) = v.time("start_time", &switch.start_time) else {
            continue;
        };
        if modes
            .last()
            .is_some_and(|last| start_time <= last.start_time)
        {
            v.add("start_time", "must be after the one before.");
        }
        modes.push(DatedMode { start_time, mode });
    }
    modes
}

fn unit(v: &mut Violations, number: i32) -> Unit {
    match v.enumeration::<common::Unit>("unit", number) {
        common::Unit::Gram => Unit::Gram,
        common::Unit::Each | common::Unit::Unspecified => Unit::Each,
    }
}

fn listing_state(state: pb::ListingState) -> ListingState {
    match state {
        pb::ListingState::Unspecified | pb::ListingState::Proposed => ListingState::Proposed,
        pb::ListingState::Approved => ListingState::Approved,
        pb::ListingState::Live => ListingState::Live,
        pb::ListingState::Paused => ListingState::Paused,
        pb::ListingState::Ended => ListingState::Ended,
        pb::ListingState::Rejected => ListingState::Rejected,
    }
}

/// A length of time that is not negative.
fn length(
    v: &mut Violations,
    field: &str,
    value: &Option<prost_types::Duration>,
) -> Option<Duration> {
    let value = value.as_ref()?;
    match (u64::try_from(value.seconds), u32::try_from(value.nanos)) {
        (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => Some(Duration::new(seconds, nanos)),
        _ => {
            v.add(field, "must be a length of time.");
            None
        }
    }
}
