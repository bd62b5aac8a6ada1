//! Listings.

use std::time::Duration;

use contracts::id::{ListingId, PartnerId, ProductId};
use contracts::money::{Currency, Money, Price};
use kit::clock::Micros;
use kit::errors::Fault;
use kit::validate::Window;
use store::{Tx, bulk, sql};

use super::product::VariantRow;
use super::{Slice, id, locked, met, word};
use crate::model::listing::{Actor, Listing, ListingState, Party};
use crate::model::terms::{PurchaseMode, Terms};
use crate::model::version::Version;

#[derive(sqlx::FromRow)]
struct Row {
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
    commission_basis_points: i64,
    legal_entity: String,
    purchase_mode: String,
    remorse_us: i64,
    ship_within_us: i64,
    ship_not_before: Option<i64>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT l.listing_id, l.partner_id, l.title, l.variant_id, l.product_id, v.sku, v.options, v.unit, \
             v.quantity_step, v.unit_policy, v.gtin, v.weight_grams, l.currency_code, l.price, l.per_quantity, \
             l.retailer_discount_basis_points, l.shipping, l.tax_basis_points, l.tax_included, \
             l.window_start_time, l.window_end_time, l.per_shopper_limit, l.territories, \
             l.commission_basis_points, l.legal_entity, l.purchase_mode, l.remorse_us, l.ship_within_us, \
             l.ship_not_before, l.terms_version, l.state, l.proposed_by, l.proposer_issuer, l.proposer_subject, \
             l.decided_by, l.decision_reason, l.state_reason, l.version, l.create_time, l.update_time \
             FROM listing l JOIN variant v ON v.variant_id = l.variant_id ",
            $rest
        )
    };
}

impl Row {
    fn listing(self) -> Result<Listing, Fault> {
        let party = |text: &str| word(Party::named, "listing.proposed_by", text);
        let decided_by = match self.decided_by.as_str() {
            "" => None,
            text => Some(word(Party::named, "listing.decided_by", text)?),
        };
        Ok(Listing {
            listing_id: id(&self.listing_id)?,
            partner_id: id(&self.partner_id)?,
            variant: self.variant.variant()?,
            title: self.title,
            terms: self.terms.terms()?,
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
            territories: self
                .territories
                .split_ascii_whitespace()
                .map(str::to_owned)
                .collect(),
            commission_basis_points: self.commission_basis_points,
            legal_entity: self.legal_entity,
            purchase_mode: word(
                PurchaseMode::named,
                "listing.purchase_mode",
                &self.purchase_mode,
            )?,
            remorse_period: duration(self.remorse_us)?,
            ship_within: duration(self.ship_within_us)?,
            ship_not_before: self.ship_not_before.map(Micros),
        })
    }
}

fn duration(micros: i64) -> Result<Duration, Fault> {
    u64::try_from(micros)
        .map(Duration::from_micros)
        .map_err(Fault::internal)
}

fn micros(duration: Duration) -> Result<i64, Fault> {
    i64::try_from(duration.as_micros()).map_err(Fault::internal)
}

fn decided_by(listing: &Listing) -> &'static str {
    listing.decided_by.map_or("", Party::word)
}

/// Puts in a new one.
pub(crate) async fn listing_insert(tx: &mut Tx, listing: &Listing) -> Result<(), Fault> {
    let terms = &listing.terms;
    sql!(
        tx,
        execute,
        "INSERT INTO listing (listing_id, partner_id, variant_id, product_id, title, currency_code, price, \
         per_quantity, retailer_discount_basis_points, shipping, tax_basis_points, tax_included, \
         window_start_time, window_end_time, per_shopper_limit, territories, commission_basis_points, \
         legal_entity, purchase_mode, remorse_us, ship_within_us, ship_not_before, terms_version, state, \
         proposed_by, proposer_issuer, proposer_subject, decided_by, decision_reason, state_reason, version, \
         create_time, update_time) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, \
         $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33)",
        listing.listing_id,
        listing.partner_id,
        listing.variant.variant_id,
        listing.variant.product_id,
        &listing.title,
        terms.price.amount().currency.code(),
        terms.price.amount().minor_units,
        terms.price.per_quantity(),
        terms.retailer_discount_basis_points,
        terms.shipping,
        terms.tax_basis_points,
        terms.tax_included,
        terms.sale_window.start,
        terms.sale_window.end,
        terms.per_shopper_limit,
        terms.territories.join(" "),
        terms.commission_basis_points,
        &terms.legal_entity,
        terms.purchase_mode.word(),
        micros(terms.remorse_period)?,
        micros(terms.ship_within)?,
        terms.ship_not_before,
        listing.terms_version,
        listing.state.word(),
        listing.proposer.party.word(),
        &listing.proposer.issuer,
        &listing.proposer.subject,
        decided_by(listing),
        &listing.decision_reason,
        &listing.state_reason,
        listing.version.0,
        listing.create_time,
        listing.update_time
    )?;
    Ok(())
}

/// Writes a change of one that was read at version `before`.
pub(crate) async fn listing_update(
    tx: &mut Tx,
    listing: &Listing,
    before: Version,
) -> Result<(), Fault> {
    let terms = &listing.terms;
    let rows = sql!(
        tx,
        execute,
        "UPDATE listing SET price = $1, per_quantity = $2, retailer_discount_basis_points = $3, shipping = $4, \
         window_start_time = $5, window_end_time = $6, per_shopper_limit = $7, terms_version = $8, state = $9, \
         proposed_by = $10, proposer_issuer = $11, proposer_subject = $12, decided_by = $13, \
         decision_reason = $14, state_reason = $15, version = $16, update_time = $17 \
         WHERE listing_id = $18 AND version = $19",
        terms.price.amount().minor_units,
        terms.price.per_quantity(),
        terms.retailer_discount_basis_points,
        terms.shipping,
        terms.sale_window.start,
        terms.sale_window.end,
        terms.per_shopper_limit,
        listing.terms_version,
        listing.state.word(),
        listing.proposer.party.word(),
        &listing.proposer.issuer,
        &listing.proposer.subject,
        decided_by(listing),
        &listing.decision_reason,
        &listing.state_reason,
        listing.version.0,
        listing.update_time,
        listing.listing_id,
        before.0
    )?;
    met(rows, "listing")
}

/// One of them, when it is the partner's; without a partner, whosever it is.
pub(crate) async fn listing_by_id(
    tx: &mut Tx,
    listing_id: &ListingId,
    partner_id: Option<&PartnerId>,
) -> Result<Option<Listing>, Fault> {
    let partner_id = partner_id.map_or("", PartnerId::as_str);
    let row = sql!(
        tx,
        optional Row,
        select!("WHERE l.listing_id = $1 AND ($2 = '' OR l.partner_id = $2)"),
        listing_id,
        partner_id
    )?;
    row.map(Row::listing).transpose()
}

/// The partner and the product of one of them, when it is the partner's. They never change, so they may
/// be read before anything is locked.
pub(crate) async fn listing_parents(
    tx: &mut Tx,
    listing_id: &ListingId,
    partner_id: Option<&PartnerId>,
) -> Result<Option<(PartnerId, ProductId)>, Fault> {
    let partner_id = partner_id.map_or("", PartnerId::as_str);
    let row = sql!(
        tx,
        optional(String, String),
        "SELECT partner_id, product_id FROM listing WHERE listing_id = $1 AND ($2 = '' OR partner_id = $2)",
        listing_id,
        partner_id
    )?;
    row.map(|(partner_id, product_id)| Ok((id(&partner_id)?, id(&product_id)?)))
        .transpose()
}

/// One of them, to be changed.
pub(crate) async fn listing_for_update(
    tx: &mut Tx,
    listing_id: &ListingId,
) -> Result<Option<Listing>, Fault> {
    let row = locked!(
        tx,
        "FOR UPDATE OF l",
        optional Row,
        select!("WHERE l.listing_id = $1"),
        listing_id
    )?;
    row.map(Row::listing).transpose()
}

/// Which listings are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListingFilter {
    /// Only this partner's.
    pub partner_id: Option<PartnerId>,
    /// Only in this state.
    pub state: Option<ListingState>,
    /// Only of this product.
    pub product_id: Option<ProductId>,
}

/// Some of them, by creation. Each combination that callers use has an index of its own.
pub(crate) async fn listing_list(
    tx: &mut Tx,
    filter: &ListingFilter,
    slice: &Slice,
) -> Result<Vec<Listing>, Fault> {
    let state = filter.state.map_or("", ListingState::word);
    let (after, limit) = (&slice.after, slice.limit);
    let rows = match (&filter.partner_id, &filter.product_id) {
        (Some(partner), Some(product)) => sql!(
            tx,
            all Row,
            select!(
                "WHERE l.partner_id = $1 AND l.product_id = $2 AND ($3 = '' OR l.state = $3) AND l.listing_id > $4 \
                 ORDER BY l.listing_id LIMIT $5"
            ),
            partner,
            product,
            state,
            after,
            limit
        )?,
        (None, Some(product)) => sql!(
            tx,
            all Row,
            select!(
                "WHERE l.product_id = $1 AND ($2 = '' OR l.state = $2) AND l.listing_id > $3 \
                 ORDER BY l.listing_id LIMIT $4"
            ),
            product,
            state,
            after,
            limit
        )?,
        (Some(partner), None) if state.is_empty() => sql!(
            tx,
            all Row,
            select!("WHERE l.partner_id = $1 AND l.listing_id > $2 ORDER BY l.listing_id LIMIT $3"),
            partner,
            after,
            limit
        )?,
        (Some(partner), None) => sql!(
            tx,
            all Row,
            select!(
                "WHERE l.partner_id = $1 AND l.state = $2 AND l.listing_id > $3 ORDER BY l.listing_id LIMIT $4"
            ),
            partner,
            state,
            after,
            limit
        )?,
        (None, None) if state.is_empty() => sql!(
            tx,
            all Row,
            select!("WHERE l.listing_id > $1 ORDER BY l.listing_id LIMIT $2"),
            after,
            limit
        )?,
        (None, None) => sql!(
            tx,
            all Row,
            select!("WHERE l.state = $1 AND l.listing_id > $2 ORDER BY l.listing_id LIMIT $3"),
            state,
            after,
            limit
        )?,
    };
    rows.into_iter().map(Row::listing).collect()
}

/// Gives listings of a product its title, at most `limit` and none that is over; answers which. The
/// product has to be locked.
pub(crate) async fn listing_retitle(
    tx: &mut Tx,
    product_id: &ProductId,
    title: &str,
    limit: i64,
) -> Result<Vec<Listing>, Fault> {
    let now = tx.now();
    let ids: Vec<(String,)> = sql!(
        tx,
        all(String,),
        "UPDATE listing SET title = $2, version = version + 1, update_time = $3 WHERE listing_id IN \
         (SELECT listing_id FROM listing WHERE product_id = $1 AND title <> $2 \
         AND state NOT IN ('ENDED', 'REJECTED') ORDER BY listing_id LIMIT $4) RETURNING listing_id",
        product_id,
        title,
        now,
        limit
    )?;
    let ids: Vec<String> = ids.into_iter().map(|(listing_id,)| listing_id).collect();
    let rows: Vec<Row> = bulk!(
        tx,
        all Row,
        postgres: select!("WHERE l.listing_id = ANY($1::TEXT[]) ORDER BY l.listing_id"),
        sqlite: select!("WHERE l.listing_id IN (SELECT value->>0 FROM json_each($1)) ORDER BY l.listing_id"),
        columns: [ids]
    )?;
    rows.into_iter().map(Row::listing).collect()
}
