//! Listings as the catalogue's feed brought them, with what they draw from.

use ::store::{Tx, bulk};
use contracts::id::{AllotmentId, ListingId};
use contracts::money::{Money, Price};
use kit::clock::Micros;
use kit::errors::Fault;

use super::{currency, id, opt_id, span, word};
use crate::model::{Assignment, Listing, ListingState, PartnerState, Pricing, PurchaseMode, Unit};

#[derive(sqlx::FromRow)]
struct ListingRow {
    listing_id: String,
    partner_id: String,
    variant_id: String,
    product_id: String,
    sku: String,
    title: String,
    unit: String,
    quantity_step: i64,
    state: String,
    terms_version: i64,
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
    commission_basis_points: i64,
    legal_entity: String,
    purchase_mode: String,
    dated_purchase_modes: String,
    remorse_us: i64,
    ship_within_us: i64,
    ship_not_before: Option<i64>,
    etag: String,
    partner_state: String,
    allotment_id: String,
    unit_cap: i64,
    taken: i64,
}

/// Named one by one: a prepared `*` breaks when a migration adds a column.
macro_rules! listing_columns {
    () => {
        "l.listing_id, l.partner_id, l.variant_id, l.product_id, l.sku, l.title, l.unit, l.quantity_step, \
         l.state, l.terms_version, l.currency_code, l.price, l.per_quantity, \
         l.retailer_discount_basis_points, l.shipping, l.tax_basis_points, l.tax_included, \
         l.window_start_time, l.window_end_time, l.per_shopper_limit, l.territories, \
         l.commission_basis_points, l.legal_entity, l.purchase_mode, l.dated_purchase_modes, \
         l.remorse_us, l.ship_within_us, l.ship_not_before, l.etag, p.state AS partner_state, \
         COALESCE(a.allotment_id, '') AS allotment_id, COALESCE(a.unit_cap, 0) AS unit_cap, \
         COALESCE(a.taken, 0) AS taken "
    };
}

/// The listings of these ids that there are, with what each draws from.
pub async fn listings_by_id(
    tx: &mut Tx,
    ids: &[ListingId],
) -> Result<Vec<(Listing, Option<Assignment>)>, Fault> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    // One index probe per id stays fast on a table that was empty when the statement was planned.
    let rows = bulk!(
        tx,
        all ListingRow,
        postgres: concat!("SELECT ", listing_columns!(), "FROM UNNEST($1::TEXT[]) AS k(id) \
                   CROSS JOIN LATERAL (SELECT * FROM listing WHERE listing_id = k.id LIMIT 1) AS l \
                   CROSS JOIN LATERAL (SELECT state FROM partner WHERE partner_id = l.partner_id LIMIT 1) AS p \
                   LEFT JOIN LATERAL (SELECT * FROM allotment_listing WHERE listing_id = k.id LIMIT 1) AS a ON TRUE"),
        sqlite: concat!("SELECT ", listing_columns!(), "FROM json_each($1) AS k \
                 CROSS JOIN listing AS l ON l.listing_id = k.value->>0 \
                 CROSS JOIN partner AS p ON p.partner_id = l.partner_id \
                 LEFT JOIN allotment_listing AS a ON a.listing_id = l.listing_id"),
        columns: [ids]
    )?;
    rows.into_iter().map(ListingRow::read).collect()
}

/// What these listings draw from; it never changes, so it may be read without a lock.
pub async fn allotments_of_listings(
    tx: &mut Tx,
    ids: &[ListingId],
) -> Result<Vec<(ListingId, AllotmentId)>, Fault> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = bulk!(
        tx,
        all (String, String),
        postgres: "SELECT a.listing_id, a.allotment_id FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT listing_id, allotment_id FROM allotment_listing WHERE listing_id = k.id LIMIT 1) AS a",
        sqlite: "SELECT a.listing_id, a.allotment_id FROM json_each($1) AS k \
                 CROSS JOIN allotment_listing AS a ON a.listing_id = k.value->>0",
        columns: [ids]
    )?;
    rows.iter()
        .map(|(listing_id, allotment_id)| Ok((id(listing_id)?, id(allotment_id)?)))
        .collect()
}

/// The columns of an assignment, in the order of [`assignment`].
pub type AssignmentRow = (String, String, String, i64, i64);

/// Reads an assignment from `listing_id, allotment_id, partner_id, unit_cap, taken`.
pub fn assignment(
    (listing_id, allotment_id, partner_id, unit_cap, taken): AssignmentRow,
) -> Result<Assignment, Fault> {
    Ok(Assignment {
        listing_id: id(&listing_id)?,
        allotment_id: id(&allotment_id)?,
        partner_id: id(&partner_id)?,
        unit_cap,
        taken,
    })
}

/// The listings that draw from these allotments.
pub async fn assignments_by_allotment(
    tx: &mut Tx,
    ids: &[AllotmentId],
) -> Result<Vec<Assignment>, Fault> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = bulk!(
        tx,
        all AssignmentRow,
        postgres: "SELECT a.listing_id, a.allotment_id, a.partner_id, a.unit_cap, a.taken \
                   FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT * FROM allotment_listing WHERE allotment_id = k.id ORDER BY listing_id) AS a",
        sqlite: "SELECT a.listing_id, a.allotment_id, a.partner_id, a.unit_cap, a.taken FROM json_each($1) AS k \
                 CROSS JOIN allotment_listing AS a ON a.allotment_id = k.value->>0",
        columns: [ids]
    )?;
    rows.into_iter().map(assignment).collect()
}

impl ListingRow {
    fn read(self) -> Result<(Listing, Option<Assignment>), Fault> {
        let amount = Money::new(currency(&self.currency_code)?, self.price);
        let listing = Listing {
            listing_id: id(&self.listing_id)?,
            partner_id: id(&self.partner_id)?,
            variant_id: id(&self.variant_id)?,
            product_id: id(&self.product_id)?,
            sku: self.sku,
            title: self.title,
            unit: word(Unit::parse(&self.unit), "listing.unit")?,
            quantity_step: self.quantity_step,
            state: word(ListingState::parse(&self.state), "listing.state")?,
            terms_version: self.terms_version,
            pricing: Pricing {
                price: Price::new(amount, self.per_quantity).map_err(Fault::internal)?,
                retailer_discount_basis_points: self.retailer_discount_basis_points,
                shipping: self.shipping,
                tax_basis_points: self.tax_basis_points,
                tax_included: self.tax_included,
                commission_basis_points: self.commission_basis_points,
            },
            window_start_time: self.window_start_time.map(Micros),
            window_end_time: self.window_end_time.map(Micros),
            per_shopper_limit: self.per_shopper_limit,
            territories: territories(&self.territories),
            legal_entity: self.legal_entity,
            purchase_mode: word(
                PurchaseMode::parse(&self.purchase_mode),
                "listing.purchase_mode",
            )?,
            dated_purchase_modes: serde_json::from_str(&self.dated_purchase_modes)
                .map_err(Fault::internal)?,
            remorse: span(self.remorse_us),
            ship_within: span(self.ship_within_us),
            ship_not_before: self.ship_not_before.map(Micros),
            etag: self.etag,
            partner_state: word(PartnerState::parse(&self.partner_state), "partner.state")?,
        };
        let allotment_id = opt_id(&self.allotment_id)?;
        let assignment = allotment_id.map(|allotment_id| Assignment {
            listing_id: listing.listing_id,
            allotment_id,
            partner_id: listing.partner_id,
            unit_cap: self.unit_cap,
            taken: self.taken,
        });
        Ok((listing, assignment))
    }
}

/// Region codes as their column has them: separated by blanks.
fn territories(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
