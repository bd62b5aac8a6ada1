//! What the catalogue knows, as the contract says it.

use std::time::Duration;

use contracts::catalog::v1;
use contracts::common::v1 as common;
use contracts::money::Money;
use kit::clock::Micros;

use super::render_rules::window;
use crate::model::listing::{Listing, ListingState, Party};
use crate::model::outlet::{Outlet, Surface};
use crate::model::partner::{Partner, PartnerState};
use crate::model::payment_key::{PaymentKey, PaymentKeyState};
use crate::model::product::{
    Product, ProductFace, ProductState, Unit, UnitPolicy, Variant, VariantDetails,
};
use crate::model::terms::{Exclusivity, PurchaseMode};

/// Messages hold times as options; these are always there.
fn time(time: Micros) -> Option<prost_types::Timestamp> {
    Some(time.to_proto())
}

pub(crate) fn partner_state(state: PartnerState) -> v1::PartnerState {
    match state {
        PartnerState::Active => v1::PartnerState::Active,
        PartnerState::Suspended => v1::PartnerState::Suspended,
    }
}

pub(crate) fn partner(partner: &Partner) -> v1::Partner {
    v1::Partner {
        partner_id: partner.partner_id.to_string(),
        partner_code: partner.profile.partner_code.clone(),
        display_name: partner.profile.display_name.clone(),
        legal_entity: partner.profile.legal_entity.clone(),
        state: partner_state(partner.state).into(),
        suspend_reason: partner.suspend_reason.clone(),
        create_time: time(partner.create_time),
        update_time: time(partner.update_time),
        etag: partner.version.etag(),
        revision: partner.version.0,
    }
}

pub(crate) fn payment_key(key: &PaymentKey) -> v1::PaymentKey {
    let state = match key.state {
        PaymentKeyState::Active => v1::PaymentKeyState::Active,
        PaymentKeyState::Revoked => v1::PaymentKeyState::Revoked,
    };
    v1::PaymentKey {
        payment_key_id: key.payment_key_id.to_string(),
        partner_id: key.partner_id.to_string(),
        kid: key.kid.clone(),
        public_key_jwk: key.public_key_jwk.clone(),
        state: state.into(),
        create_time: time(key.create_time),
        revoke_time: key.revoke_time.map(Micros::to_proto),
    }
}

pub(crate) fn outlet(outlet: &Outlet) -> v1::Outlet {
    let surface = match outlet.surface {
        Surface::App => v1::Surface::App,
        Surface::MiniProgram => v1::Surface::MiniProgram,
        Surface::Web => v1::Surface::Web,
    };
    v1::Outlet {
        outlet_id: outlet.outlet_id.to_string(),
        partner_id: outlet.partner_id.to_string(),
        surface: surface.into(),
        display_name: outlet.display_name.clone(),
        create_time: time(outlet.create_time),
    }
}

pub(crate) fn product(product: &Product) -> v1::Product {
    let details = &product.details;
    let state = match product.state {
        ProductState::Active => v1::ProductState::Active,
        ProductState::Archived => v1::ProductState::Archived,
        ProductState::Draft => v1::ProductState::Draft,
    };
    v1::Product {
        product_id: product.product_id.to_string(),
        title: details.title.clone(),
        description: details.description.clone(),
        brand: details.brand.clone(),
        category: details.category.clone(),
        regulated_category: details.regulated_category.clone(),
        image_uris: details.image_uris.clone(),
        variants: product.variants.iter().map(variant).collect(),
        state: state.into(),
        create_time: time(product.create_time),
        update_time: time(product.update_time),
        etag: product.version.etag(),
        external_key: details.external_key.clone(),
        source: None,
    }
}

/// A product that was only checked: it has no ids, times or etag.
pub(crate) fn checked_product(checked: &Product) -> v1::Product {
    let mut product = product(checked);
    product.product_id.clear();
    product.etag.clear();
    product.create_time = None;
    product.update_time = None;
    for variant in &mut product.variants {
        variant.variant_id.clear();
        variant.product_id.clear();
    }
    product
}

fn variant(variant: &Variant) -> v1::Variant {
    let VariantDetails {
        sku,
        options,
        unit,
        quantity_step,
        unit_policy,
        gtin,
        weight_grams,
    } = &variant.details;
    let unit = match unit {
        Unit::Each => common::Unit::Each,
        Unit::Gram => common::Unit::Gram,
    };
    let unit_policy = match unit_policy {
        UnitPolicy::None => common::UnitPolicy::None,
        UnitPolicy::SerialAtPack => common::UnitPolicy::SerialAtPack,
        UnitPolicy::UnitAtHold => common::UnitPolicy::UnitAtHold,
    };
    v1::Variant {
        variant_id: variant.variant_id.to_string(),
        product_id: variant.product_id.to_string(),
        sku: sku.clone(),
        options: options
            .iter()
            .map(|option| v1::VariantOption {
                name: option.name.clone(),
                value: option.value.clone(),
            })
            .collect(),
        unit: unit.into(),
        quantity_step: *quantity_step,
        unit_policy: unit_policy.into(),
        gtin: gtin.clone(),
        weight_grams: *weight_grams,
        source: None,
    }
}

pub(crate) fn listing(listing: &Listing) -> v1::Listing {
    let state = match listing.state {
        ListingState::Proposed => v1::ListingState::Proposed,
        ListingState::Approved => v1::ListingState::Approved,
        ListingState::Live => v1::ListingState::Live,
        ListingState::Paused => v1::ListingState::Paused,
        ListingState::Ended => v1::ListingState::Ended,
        ListingState::Rejected => v1::ListingState::Rejected,
    };
    let proposed_by = match listing.proposer.party {
        Party::Retailer => v1::Party::Retailer,
        Party::Partner => v1::Party::Partner,
    };
    v1::Listing {
        listing_id: listing.listing_id.to_string(),
        partner_id: listing.partner_id.to_string(),
        variant_id: listing.variant.variant_id.to_string(),
        product_id: listing.variant.product_id.to_string(),
        terms: Some(terms(listing)),
        terms_version: listing.terms_version,
        state: state.into(),
        proposed_by: proposed_by.into(),
        decision_reason: listing.decision_reason.clone(),
        state_reason: listing.state_reason.clone(),
        title: listing.title.clone(),
        variant: Some(variant(&listing.variant)),
        create_time: time(listing.create_time),
        update_time: time(listing.update_time),
        etag: listing.version.etag(),
        product: (!listing.state.is_over()).then(|| face(&listing.shown.product)),
        effective_purchase_mode: mode(listing.purchase_mode()).into(),
        in_assortment: listing.is_in_assortment(),
        retailer_exclusive: listing.shown.retailer_exclusive,
        minimum_age_years: i32::try_from(listing.shown.minimum_age_years).unwrap_or(0),
    }
}

/// A listing that was only checked: it has no id, times or etag.
pub(crate) fn checked_listing(checked: &Listing) -> v1::Listing {
    v1::Listing {
        listing_id: String::new(),
        create_time: None,
        update_time: None,
        etag: String::new(),
        ..listing(checked)
    }
}

fn face(product: &ProductFace) -> v1::ListedProduct {
    v1::ListedProduct {
        title: product.title.clone(),
        brand: product.brand.clone(),
        category: product.category.clone(),
        image_uris: product.image_uris.clone(),
        regulated_category: product.regulated_category.clone(),
        summary: product.summary.clone(),
    }
}

/// A listing in the answer of a batch: without what its caller sent or can look up once.
pub(crate) fn batch_listing(listing: v1::Listing) -> v1::Listing {
    v1::Listing {
        product: None,
        variant: None,
        decision_reason: String::new(),
        ..listing
    }
}

fn mode(mode: PurchaseMode) -> common::PurchaseMode {
    match mode {
        PurchaseMode::InApp => common::PurchaseMode::InApp,
        PurchaseMode::Redirect => common::PurchaseMode::Redirect,
    }
}

/// The terms of a listing, with what follows from the time at which it was looked at.
pub(crate) fn terms(listing: &Listing) -> v1::ListingTerms {
    let terms = &listing.terms;
    let collected_by = match listing.purchase_mode() {
        PurchaseMode::InApp => common::CollectedBy::Partner,
        PurchaseMode::Redirect => common::CollectedBy::Retailer,
    };
    let exclusivity = match terms.exclusivity {
        Exclusivity::None => v1::Exclusivity::None,
        Exclusivity::ThisPartner => v1::Exclusivity::ThisPartner,
    };
    let dated = terms.purchase_modes.dated.iter();
    let next = terms.next_commission;
    let shipping = Money::new(terms.price.amount().currency, terms.shipping);
    v1::ListingTerms {
        price: Some(terms.price.to_proto()),
        retailer_discount_basis_points: basis_points(terms.retailer_discount_basis_points),
        shipping: Some(shipping.to_proto()),
        tax_basis_points: basis_points(terms.tax_basis_points),
        tax_included: terms.tax_included,
        sale_window: window(terms.sale_window),
        per_shopper_limit: terms.per_shopper_limit,
        territories: terms.territories.clone(),
        exclusivity: exclusivity.into(),
        commission_basis_points: basis_points(terms.commission_basis_points),
        legal_entity: terms.legal_entity.clone(),
        purchase_mode: mode(terms.purchase_modes.first).into(),
        collected_by: collected_by.into(),
        dated_purchase_modes: dated
            .map(|dated| v1::DatedPurchaseMode {
                start_time: time(dated.start),
                purchase_mode: mode(dated.mode).into(),
            })
            .collect(),
        remorse_period: Some(duration(terms.remorse_period)),
        ship_within: Some(duration(terms.ship_within)),
        ship_not_before: terms.ship_not_before.map(Micros::to_proto),
        legal_entity_id: terms
            .legal_entity_id
            .map_or_else(String::new, |id| id.to_string()),
        next_commission_basis_points: next.map(|next| basis_points(next.basis_points)),
        commission_effective_time: next.and_then(|next| time(next.effective_time)),
    }
}

/// At most 10,000 by every check on the way in.
fn basis_points(basis_points: i64) -> i32 {
    i32::try_from(basis_points).unwrap_or(i32::MAX)
}

/// At most 180 days by every check on the way in.
fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}
