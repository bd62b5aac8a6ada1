//! Reading listings.

use contracts::id::{ListingId, PartnerId, ProductId, VariantId};
use kit::clock::Micros;
use kit::errors::Fault;
use kit::validate::Window;
use store::{Tx, bulk, sql};

use super::listing_row::{Row, select};
use super::{Slice, codes, id, locked_bulk};
use crate::model::listing::{Listing, ListingState};
use crate::model::rules::Claim;
use crate::model::terms::Exclusivity;

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
    let now = tx.now();
    row.map(|row| row.listing(now)).transpose()
}

/// What never changes of a listing, so that it may be read before anything is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parents {
    pub(crate) listing_id: ListingId,
    pub(crate) partner_id: PartnerId,
    pub(crate) product_id: ProductId,
    pub(crate) variant_id: VariantId,
    pub(crate) is_exclusive: bool,
}

/// The parents of those that are there, and the partner's; without a partner, whosever they are.
pub(crate) async fn listing_parents(
    tx: &mut Tx,
    listing_ids: &[ListingId],
    partner_id: Option<&PartnerId>,
) -> Result<Vec<Parents>, Fault> {
    let partner_id = partner_id.map_or("", PartnerId::as_str);
    let rows: Vec<(String, String, String, String, String)> = bulk!(
        tx,
        all(String, String, String, String, String),
        postgres: "SELECT listing_id, partner_id, product_id, variant_id, exclusivity FROM listing \
                   WHERE listing_id = ANY($1::TEXT[]) AND ($2 = '' OR partner_id = $2)",
        sqlite: "SELECT listing_id, partner_id, product_id, variant_id, exclusivity FROM listing \
                 WHERE listing_id IN (SELECT value->>0 FROM json_each($1)) AND ($2 = '' OR partner_id = $2)",
        columns: [listing_ids],
        also: [partner_id]
    )?;
    let parents = rows
        .into_iter()
        .map(|(listing, partner, product, variant, exclusivity)| {
            Ok(Parents {
                listing_id: id(&listing)?,
                partner_id: id(&partner)?,
                product_id: id(&product)?,
                variant_id: id(&variant)?,
                is_exclusive: exclusivity == Exclusivity::ThisPartner.word(),
            })
        });
    parents.collect()
}

/// Some of them, to be changed, each with what was last published of what is around it.
pub(crate) async fn listing_for_update(
    tx: &mut Tx,
    listing_ids: &[ListingId],
) -> Result<Vec<(Listing, String)>, Fault> {
    let rows: Vec<Row> = locked_bulk!(
        tx,
        "FOR UPDATE OF l",
        all Row,
        postgres: select!("WHERE l.listing_id = ANY($1::TEXT[]) ORDER BY l.listing_id"),
        sqlite: select!("WHERE l.listing_id IN (SELECT value->>0 FROM json_each($1)) ORDER BY l.listing_id"),
        columns: [listing_ids]
    )?;
    let now = tx.now();
    rows.into_iter().map(|row| row.published(now)).collect()
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
    let now = tx.now();
    rows.into_iter().map(|row| row.listing(now)).collect()
}

/// Which part of an assortment is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssortmentFilter {
    /// Only of this product; empty for all.
    pub product_id: String,
    /// Only of this brand; empty for all.
    pub brand: String,
    /// Only what may be sold there; empty for all.
    pub territory: String,
    /// Only what is on sale now.
    pub on_sale_only: bool,
}

/// A partner's assortment, by creation.
pub(crate) async fn assortment_list(
    tx: &mut Tx,
    partner_id: &PartnerId,
    filter: &AssortmentFilter,
    slice: &Slice,
) -> Result<Vec<Listing>, Fault> {
    let now = tx.now();
    let rows = sql!(
        tx,
        all Row,
        select!(
            "WHERE l.partner_id = $1 AND l.listing_id > $2 AND l.state IN ('APPROVED', 'LIVE') \
             AND (l.window_end_time IS NULL OR l.window_end_time > $3) \
             AND (NOT $4 OR (l.state = 'LIVE' AND (l.window_start_time IS NULL OR l.window_start_time <= $3))) \
             AND ($5 = '' OR l.product_id = $5) AND ($6 = '' OR p.brand = $6) \
             AND ($7 = '' OR l.territories = '' OR ' ' || l.territories || ' ' LIKE '% ' || $7 || ' %') \
             ORDER BY l.listing_id LIMIT $8"
        ),
        partner_id,
        &slice.after,
        now,
        filter.on_sale_only,
        &filter.product_id,
        &filter.brand,
        &filter.territory,
        slice.limit
    )?;
    rows.into_iter().map(|row| row.listing(now)).collect()
}

/// Listings whose date has come, the oldest first.
pub(crate) async fn listing_due(tx: &mut Tx, limit: i64) -> Result<Vec<ListingId>, Fault> {
    let now = tx.now();
    let rows = sql!(
        tx,
        all(String,),
        "SELECT listing_id FROM listing WHERE due_time IS NOT NULL AND due_time <= $1 \
         ORDER BY due_time, listing_id LIMIT $2",
        now,
        limit
    )?;
    ids(rows)
}

/// Listings of a product that are not over, by creation.
pub(crate) async fn listing_of_product(
    tx: &mut Tx,
    product_id: &str,
    slice: &Slice,
) -> Result<Vec<ListingId>, Fault> {
    let rows = sql!(
        tx,
        all(String,),
        "SELECT listing_id FROM listing WHERE product_id = $1 AND listing_id > $2 \
         AND state NOT IN ('ENDED', 'REJECTED') ORDER BY listing_id LIMIT $3",
        product_id,
        &slice.after,
        slice.limit
    )?;
    ids(rows)
}

fn ids(rows: Vec<(String,)>) -> Result<Vec<ListingId>, Fault> {
    rows.into_iter().map(|(text,)| id(&text)).collect()
}

/// What was agreed about variants and is not over: of all, or only what is exclusive. With every partner, whoever asks: who
/// stands in the way of an exclusive listing is mostly somebody else. They are not named to the caller.
pub(crate) async fn claim_of_variants(
    tx: &mut Tx,
    variant_ids: &[VariantId],
    only_exclusive: bool,
) -> Result<Vec<(VariantId, Claim)>, Fault> {
    let now = tx.now();
    let widened = tx
        .widen("others' claims stand in the way of an exclusive listing")
        .await?;
    let rows: Vec<ClaimRow> = bulk!(
        tx,
        all ClaimRow,
        postgres: "SELECT variant_id, partner_id, territories, window_start_time, window_end_time, exclusivity \
                   FROM listing WHERE variant_id = ANY($1::TEXT[]) AND state IN ('APPROVED', 'LIVE', 'PAUSED') \
                   AND (window_end_time IS NULL OR window_end_time > $2) \
                   AND (NOT $3 OR exclusivity = 'THIS_PARTNER')",
        sqlite: "SELECT variant_id, partner_id, territories, window_start_time, window_end_time, exclusivity \
                 FROM listing WHERE variant_id IN (SELECT value->>0 FROM json_each($1)) \
                 AND state IN ('APPROVED', 'LIVE', 'PAUSED') \
                 AND (window_end_time IS NULL OR window_end_time > $2) \
                 AND (NOT $3 OR exclusivity = 'THIS_PARTNER')",
        columns: [variant_ids],
        also: [now, only_exclusive]
    )?;
    tx.narrow(widened).await?;
    rows.into_iter().map(ClaimRow::claim).collect()
}

#[derive(sqlx::FromRow)]
struct ClaimRow {
    variant_id: String,
    partner_id: String,
    territories: String,
    window_start_time: Option<i64>,
    window_end_time: Option<i64>,
    exclusivity: String,
}

impl ClaimRow {
    fn claim(self) -> Result<(VariantId, Claim), Fault> {
        let claim = Claim {
            partner_id: id(&self.partner_id)?,
            territories: codes(&self.territories),
            window: Window {
                start: self.window_start_time.map(Micros),
                end: self.window_end_time.map(Micros),
            },
            is_exclusive: self.exclusivity == Exclusivity::ThisPartner.word(),
        };
        Ok((id(&self.variant_id)?, claim))
    }
}
