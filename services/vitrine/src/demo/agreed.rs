//! What the retailer and its partners agree on: terms, listings, and what was not agreed.

use contracts::catalog::v1 as catalog;
use contracts::common::v1 as common;

use super::client::Caller;
use super::goods::{PARTNERS, PRODUCTS};
use super::world::{PartnerWorld, World, ask, expect_refusal, text};

impl World {
    /// What each partner may sell, by its own list.
    pub(super) async fn partners_know_their_assortment(&self) -> anyhow::Result<()> {
        for partner in &self.partners {
            let request = catalog::ListAssortmentRequest {
                on_sale_only: true,
                page_size: 200,
                ..Default::default()
            };
            let items = ask!(
                "a partner could not read its assortment",
                partner.caller,
                assortment.list_assortment(request)
            )?
            .items;
            let mut listed: Vec<String> = items
                .into_iter()
                .filter_map(|item| item.listing.map(|l| l.listing_id))
                .collect();
            let mut agreed: Vec<String> = partner
                .listings
                .iter()
                .map(|l| l.listing_id.clone())
                .collect();
            listed.sort();
            agreed.sort();
            anyhow::ensure!(
                listed == agreed,
                "the assortment of {} holds {} listings, {} were agreed",
                partner.partner_id,
                listed.len(),
                agreed.len()
            );
        }
        Ok(())
    }
}

fn money(minor_units: i64, currency_code: &str) -> common::Money {
    common::Money {
        currency_code: currency_code.into(),
        minor_units,
    }
}

/// The legal entity that sells, where the retailer has registered any.
pub async fn seller(ops: &Caller) -> anyhow::Result<Option<catalog::LegalEntity>> {
    let request = catalog::ListLegalEntitiesRequest {
        page_size: 200,
        ..Default::default()
    };
    let known = ask!(
        "could not read the legal entities",
        ops,
        legal_entities.list_legal_entities(request)
    )?;
    Ok(known
        .legal_entities
        .into_iter()
        .find(|e| e.state() == catalog::LegalEntityState::Active))
}

/// What is agreed for a product with a partner.
pub fn terms(
    index: usize,
    product: usize,
    seller: &Option<catalog::LegalEntity>,
) -> catalog::ListingTerms {
    let (partner, plan) = (&PARTNERS[index], &PRODUCTS[product]);
    catalog::ListingTerms {
        price: Some(common::Price {
            amount: Some(money(plan.prices[index], partner.currency)),
            per_quantity: if plan.by_weight { 500 } else { 1 },
        }),
        retailer_discount_basis_points: plan.discount_basis_points,
        shipping: Some(money(plan.shipping[index], partner.currency)),
        tax_basis_points: plan.tax_basis_points,
        tax_included: plan.tax_included,
        territories: vec![partner.region.into()],
        commission_basis_points: 1_200,
        legal_entity: match seller {
            Some(_) => String::new(),
            None => "Vitrine Retail SA".into(),
        },
        legal_entity_id: seller
            .as_ref()
            .map(|e| e.legal_entity_id.clone())
            .unwrap_or_default(),
        purchase_mode: if plan.redirects {
            common::PurchaseMode::Redirect.into()
        } else {
            common::PurchaseMode::InApp.into()
        },
        ..Default::default()
    }
}

/// The retailer proposes to the first partner, the others propose to the retailer; the other side decides.
pub async fn listing(
    ops: &Caller,
    partner: &PartnerWorld,
    index: usize,
    product: usize,
    variant_id: &str,
    terms: catalog::ListingTerms,
    run: &str,
) -> anyhow::Result<catalog::Listing> {
    let (proposer, decider) = if index == 0 {
        (ops, &partner.caller)
    } else {
        (&partner.caller, ops)
    };
    let key = |step: &str| text(&[run, step, PARTNERS[index].code, PRODUCTS[product].sku]);
    let request = catalog::ProposeListingRequest {
        request_id: key("propose"),
        partner_id: partner.partner_id.clone(),
        variant_id: variant_id.to_owned(),
        terms: Some(terms),
        validate_only: false,
    };
    let listing = ask!(
        "could not propose a listing",
        proposer,
        listings.propose_listing(request)
    )?
    .listing
    .unwrap_or_default();
    let own = catalog::DecideListingRequest {
        request_id: key("decide-own"),
        listing_id: listing.listing_id.clone(),
        decision: catalog::Decision::Approve.into(),
        ..Default::default()
    };
    expect_refusal(
        "SELF_APPROVAL",
        proposer.listings().decide_listing(own).await,
    )?;
    let request = catalog::DecideListingRequest {
        request_id: key("decide"),
        listing_id: listing.listing_id.clone(),
        decision: catalog::Decision::Approve.into(),
        reason: "agreed".into(),
        etag: listing.etag,
    };
    ask!(
        "could not approve a listing",
        decider,
        listings.decide_listing(request)
    )?;
    let request = catalog::PublishListingRequest {
        request_id: key("publish"),
        listing_id: listing.listing_id,
        ..Default::default()
    };
    Ok(ask!(
        "could not publish a listing",
        ops,
        listings.publish_listing(request)
    )?
    .listing
    .unwrap_or_default())
}

/// A proposal that the other side does not take.
pub async fn refuse_a_listing(
    ops: &Caller,
    partner: &PartnerWorld,
    variant_id: &str,
    agreed: catalog::ListingTerms,
    run: &str,
) -> anyhow::Result<()> {
    let request = catalog::ProposeListingRequest {
        request_id: text(&[run, "propose-too-cheap"]),
        partner_id: String::new(),
        variant_id: variant_id.to_owned(),
        terms: Some(catalog::ListingTerms {
            price: Some(common::Price {
                amount: Some(money(100, "JPY")),
                per_quantity: 1,
            }),
            ..agreed
        }),
        validate_only: false,
    };
    let listing = ask!(
        "could not propose a listing",
        partner.caller,
        listings.propose_listing(request)
    )?
    .listing
    .unwrap_or_default();
    let request = catalog::DecideListingRequest {
        request_id: text(&[run, "reject-too-cheap"]),
        listing_id: listing.listing_id,
        decision: catalog::Decision::Reject.into(),
        reason: "the price is below what the brand allows".into(),
        ..Default::default()
    };
    ask!(
        "could not reject a listing",
        ops,
        listings.decide_listing(request)
    )?;
    Ok(())
}
