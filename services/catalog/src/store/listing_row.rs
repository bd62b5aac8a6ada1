//! The rows of listings, with what they show of what is around them.

use std::time::Duration;

use contracts::money::{Currency, Money, Price};
use kit::clock::Micros;
use kit::errors::Fault;
use kit::validate::Window;

use super::product::VariantRow;
use super::{codes, id, word};
use crate::model::listing::{Actor, Listing, ListingState, Party};
use crate::model::look::Shown;
use crate::model::product::ProductFace;
use crate::model::reach::territories_within;
use crate::model::terms::{
    DatedMode, Exclusivity, ModeSchedule, NextCommission, PurchaseMode, Terms,
};
use crate::model::version::Version;

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    listing_id: String,
    partner_id: String,
    title: String,
    #[sqlx(flatten)]
    variant: VariantRow,
    #[sqlx(flatten)]
    terms: TermsRow,
    terms_version: i64,
    state: String,
    proposed_by: String,
    proposer_issuer: String,
    proposer_subject: String,
    decided_by: String,
    decision_reason: String,
    state_reason: String,
    version: i64,
    create_time: i64,
    update_time: i64,
    shown: String,
    product_title: String,
    product_brand: String,
    product_category: String,
    product_image_uris: String,
    product_regulated_category: String,
    product_summary: String,
    agreement_exclusive: Option<bool>,
    agreement_territories: Option<String>,
    agreement_start_time: Option<i64>,
    agreement_end_time: Option<i64>,
    minimum_age_years: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct TermsRow {
    currency_code: String,
    price: i64,
    per_quantity: i64,
    retailer_discount_basis_points: i64,
    shipping: i64,
    tax_basis_points: i64,
    tax_included: bool,
    window_start_time: Option<i64>,
    window_end_time: Option<i64>,
    per_shopper_limit: i64,
    territories: String,
    exclusivity: String,
    commission_basis_points: i64,
    next_commission_basis_points: Option<i64>,
    commission_effective_time: Option<i64>,
    legal_entity: String,
    legal_entity_id: String,
    purchase_mode: String,
    dated_purchase_modes: String,
    remorse_us: i64,
    ship_within_us: i64,
    ship_not_before: Option<i64>,
}

macro_rules! select_listing {
    ($rest:literal) => {
        concat!(
            "SELECT l.listing_id, l.partner_id, l.title, l.variant_id, l.product_id, v.sku, v.options, v.unit, \
             v.quantity_step, v.unit_policy, v.gtin, v.weight_grams, l.currency_code, l.price, l.per_quantity, \
             l.retailer_discount_basis_points, l.shipping, l.tax_basis_points, l.tax_included, \
             l.window_start_time, l.window_end_time, l.per_shopper_limit, l.territories, \
             l.exclusivity, l.commission_basis_points, l.next_commission_basis_points, l.commission_effective_time, \
             l.legal_entity, l.legal_entity_id, l.purchase_mode, l.dated_purchase_modes, l.remorse_us, l.ship_within_us, \
             l.ship_not_before, l.terms_version, l.state, l.proposed_by, l.proposer_issuer, l.proposer_subject, \
             l.decided_by, l.decision_reason, l.state_reason, l.version, l.create_time, l.update_time, \
             l.shown, p.title AS product_title, p.brand AS product_brand, p.category AS product_category, \
             p.image_uris AS product_image_uris, p.regulated_category AS product_regulated_category, \
             substr(p.description, 1, 1000) AS product_summary, b.retailer_exclusive AS agreement_exclusive, \
             b.territories AS agreement_territories, b.window_start_time AS agreement_start_time, \
             b.window_end_time AS agreement_end_time, r.minimum_age_years \
             FROM listing l JOIN variant v ON v.variant_id = l.variant_id \
             JOIN product p ON p.product_id = l.product_id \
             LEFT JOIN brand_agreement b ON b.brand_key = p.brand_key \
             LEFT JOIN category_rule r ON r.regulated_category = p.regulated_category ",
            $rest
        )
    };
}

pub(super) use select_listing as select;

impl Row {
    /// The listing as it is at a time, and what was last published of what is around it.
    pub(super) fn published(mut self, now: Micros) -> Result<(Listing, String), Fault> {
        let shown = std::mem::take(&mut self.shown);
        Ok((self.listing(now)?, shown))
    }

    /// The listing as it is at a time.
    pub(super) fn listing(self, now: Micros) -> Result<Listing, Fault> {
        let party = |text: &str| word(Party::named, "listing.proposed_by", text);
        let decided_by = match self.decided_by.as_str() {
            "" => None,
            text => Some(word(Party::named, "listing.decided_by", text)?),
        };
        let terms = self.terms.terms()?;
        let window = Window {
            start: self.agreement_start_time.map(Micros),
            end: self.agreement_end_time.map(Micros),
        };
        let territories = codes(&self.agreement_territories.unwrap_or_default());
        let shown = Shown {
            product: ProductFace {
                title: self.product_title,
                brand: self.product_brand,
                category: self.product_category,
                image_uris: serde_json::from_str(&self.product_image_uris)
                    .map_err(Fault::internal)?,
                regulated_category: self.product_regulated_category,
                summary: self.product_summary,
            },
            retailer_exclusive: self.agreement_exclusive.unwrap_or(false)
                && window.contains(now)
                && territories_within(&terms.territories, &territories),
            minimum_age_years: self.minimum_age_years.unwrap_or(0),
            time: now,
        };
        Ok(Listing {
            listing_id: id(&self.listing_id)?,
            partner_id: id(&self.partner_id)?,
            variant: self.variant.variant()?,
            title: self.title,
            shown,
            terms,
            terms_version: self.terms_version,
            state: word(ListingState::named, "listing.state", &self.state)?,
            proposer: Actor {
                party: party(&self.proposed_by)?,
                issuer: self.proposer_issuer,
                subject: self.proposer_subject,
            },
            decided_by,
            decision_reason: self.decision_reason,
            state_reason: self.state_reason,
            version: Version(self.version),
            create_time: Micros(self.create_time),
            update_time: Micros(self.update_time),
        })
    }
}

impl TermsRow {
    fn terms(self) -> Result<Terms, Fault> {
        let currency = Currency::parse(&self.currency_code).map_err(Fault::internal)?;
        let price = Price::new(Money::new(currency, self.price), self.per_quantity);
        Ok(Terms {
            price: price.map_err(Fault::internal)?,
            retailer_discount_basis_points: self.retailer_discount_basis_points,
            shipping: self.shipping,
            tax_basis_points: self.tax_basis_points,
            tax_included: self.tax_included,
            sale_window: Window {
                start: self.window_start_time.map(Micros),
                end: self.window_end_time.map(Micros),
            },
            per_shopper_limit: self.per_shopper_limit,
            territories: codes(&self.territories),
            exclusivity: word(Exclusivity::named, "listing.exclusivity", &self.exclusivity)?,
            commission_basis_points: self.commission_basis_points,
            next_commission: self
                .next_commission_basis_points
                .zip(self.commission_effective_time)
                .map(|(basis_points, time)| NextCommission {
                    basis_points,
                    effective_time: Micros(time),
                }),
            legal_entity: self.legal_entity,
            legal_entity_id: match self.legal_entity_id.as_str() {
                "" => None,
                text => Some(id(text)?),
            },
            purchase_modes: ModeSchedule {
                first: mode(&self.purchase_mode)?,
                dated: dated_modes(&self.dated_purchase_modes)?,
            },
            remorse_period: duration(self.remorse_us)?,
            ship_within: duration(self.ship_within_us)?,
            ship_not_before: self.ship_not_before.map(Micros),
        })
    }
}

fn mode(text: &str) -> Result<PurchaseMode, Fault> {
    word(PurchaseMode::named, "listing.purchase_mode", text)
}

/// Switches of the mode as one text: `micros=MODE`, with a space between.
pub(super) fn dated_modes_text(modes: &[DatedMode]) -> String {
    let each = modes
        .iter()
        .map(|dated| format!("{}={}", dated.start.0, dated.mode));
    each.collect::<Vec<_>>().join(" ")
}

fn dated_modes(text: &str) -> Result<Vec<DatedMode>, Fault> {
    let each = text.split_ascii_whitespace().map(|dated| {
        let (start, word) = dated
            .split_once('=')
            .ok_or_else(|| Fault::internal("a dated purchase mode without a date"))?;
        Ok(DatedMode {
            start: Micros(start.parse().map_err(Fault::internal)?),
            mode: mode(word)?,
        })
    });
    each.collect()
}

fn duration(micros: i64) -> Result<Duration, Fault> {
    u64::try_from(micros)
        .map(Duration::from_micros)
        .map_err(Fault::internal)
}
