//! What the catalogue's feed brought. Only the feed writes here.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};

use ::store::{Tx, bulk, sql};
use contracts::id::{ListingId, OutletId, PartnerId, ProductId, RoomId};
use contracts::money::{Currency, Money, Price};
use kit::clock::Micros;
use kit::errors::Fault;
use kit::validate::Window;

use super::{id, opt_id, time, word};
use crate::model::{Assortment, Listing, ListingState, Offer, Place, PurchaseMode};

/// Takes the number of the next change, and keeps others from taking one until the commit.
async fn next(tx: &mut Tx) -> Result<i64, Fault> {
    let (position,) = sql!(
        tx,
        one(i64,),
        "UPDATE mirror_head SET position = position + 1 WHERE singleton = 1 RETURNING position"
    )?;
    Ok(position)
}

/// The number of the last change.
pub async fn mirror_head(tx: &mut Tx) -> Result<i64, Fault> {
    let (position,) = sql!(
        tx,
        one(i64,),
        "SELECT position FROM mirror_head WHERE singleton = 1"
    )?;
    Ok(position)
}

/// Writes what the catalogue says of a partner.
pub async fn partner_put(tx: &mut Tx, partner: &PartnerId, suspended: bool) -> Result<(), Fault> {
    let position = next(tx).await?;
    sql!(
        tx,
        execute,
        "INSERT INTO partner (partner_id, suspended, change_position) VALUES ($1, $2, $3) \
         ON CONFLICT (partner_id) DO UPDATE SET suspended = excluded.suspended, \
         change_position = excluded.change_position",
        partner,
        suspended,
        position
    )?;
    Ok(())
}

/// Writes what the catalogue says of an outlet.
pub async fn outlet_put(tx: &mut Tx, place: &Place) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "INSERT INTO outlet (outlet_id, partner_id) VALUES ($1, $2) ON CONFLICT (outlet_id) DO NOTHING",
        place.outlet_id,
        place.partner_id
    )?;
    Ok(())
}

/// A product as it is shown here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirroredProduct {
    /// The product.
    pub product_id: ProductId,
    /// Its title.
    pub title: String,
    /// Its brand.
    pub brand: String,
}

/// Writes what the catalogue says of a product.
pub async fn product_put(tx: &mut Tx, product: &MirroredProduct) -> Result<(), Fault> {
    let position = next(tx).await?;
    sql!(
        tx,
        execute,
        "INSERT INTO product (product_id, title, brand, change_position) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (product_id) DO UPDATE SET title = excluded.title, brand = excluded.brand, \
         change_position = excluded.change_position",
        product.product_id,
        &product.title,
        &product.brand,
        position
    )?;
    Ok(())
}

/// Writes what the catalogue says of a listing.
pub async fn listing_put(tx: &mut Tx, listing: &Listing) -> Result<(), Fault> {
    let position = next(tx).await?;
    let amount = listing.price.amount();
    sql!(
        tx,
        execute,
        "INSERT INTO listing (listing_id, partner_id, product_id, variant_id, variant_label, currency_code, \
         minor_units, per_quantity, retailer_discount_basis_points, purchase_mode, state, window_start, window_end, \
         change_position) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
         ON CONFLICT (listing_id) DO UPDATE SET variant_label = excluded.variant_label, \
         currency_code = excluded.currency_code, minor_units = excluded.minor_units, \
         per_quantity = excluded.per_quantity, \
         retailer_discount_basis_points = excluded.retailer_discount_basis_points, \
         purchase_mode = excluded.purchase_mode, state = excluded.state, window_start = excluded.window_start, \
         window_end = excluded.window_end, change_position = excluded.change_position",
        listing.id,
        listing.partner_id,
        listing.product_id,
        listing.variant_id,
        &listing.variant_label,
        amount.currency.code(),
        amount.minor_units,
        listing.price.per_quantity(),
        listing.retailer_discount_basis_points,
        listing.purchase_mode.word(),
        listing.state.word(),
        listing.window.start,
        listing.window.end,
        position
    )?;
    Ok(())
}

/// One product.
pub async fn product_by_id(
    tx: &mut Tx,
    product: &ProductId,
) -> Result<Option<MirroredProduct>, Fault> {
    let row = sql!(
        tx,
        optional(String, String),
        "SELECT title, brand FROM product WHERE product_id = $1",
        product
    )?;
    Ok(row.map(|(title, brand)| MirroredProduct {
        product_id: *product,
        title,
        brand,
    }))
}

/// Outlets with their partners; those that are not known are left out.
pub async fn places_by_outlets(tx: &mut Tx, outlets: &[OutletId]) -> Result<Vec<Place>, Fault> {
    let rows = bulk!(
        tx,
        all (String, String),
        postgres: "SELECT o.outlet_id, o.partner_id FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT * FROM outlet WHERE outlet_id = k.id LIMIT 1) AS o",
        sqlite: "SELECT o.outlet_id, o.partner_id FROM json_each($1) AS k CROSS JOIN outlet AS o \
                 ON o.outlet_id = k.value->>0",
        columns: [outlets]
    )?;
    rows.into_iter()
        .map(|(outlet, partner)| {
            Ok(Place {
                outlet_id: id(&outlet)?,
                partner_id: id(&partner)?,
            })
        })
        .collect()
}

macro_rules! listing_columns {
    () => {
        "l.listing_id, l.partner_id, l.product_id, l.variant_id, l.variant_label, l.currency_code, l.minor_units, \
         l.per_quantity, l.retailer_discount_basis_points, l.purchase_mode, l.state, l.window_start, l.window_end"
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    listing_id: String,
    partner_id: String,
    product_id: String,
    variant_id: String,
    variant_label: String,
    currency_code: String,
    minor_units: i64,
    per_quantity: i64,
    retailer_discount_basis_points: i64,
    purchase_mode: String,
    state: String,
    window_start: Option<i64>,
    window_end: Option<i64>,
}

impl Row {
    fn into_model(self) -> Result<Listing, Fault> {
        let currency = Currency::parse(&self.currency_code).map_err(Fault::internal)?;
        let amount = Money {
            currency,
            minor_units: self.minor_units,
        };
        let discount = self.retailer_discount_basis_points;
        Ok(Listing {
            id: id(&self.listing_id)?,
            partner_id: id(&self.partner_id)?,
            product_id: id(&self.product_id)?,
            variant_id: id(&self.variant_id)?,
            variant_label: self.variant_label,
            price: Price::new(amount, self.per_quantity).map_err(Fault::internal)?,
            retailer_discount_basis_points: i32::try_from(discount).map_err(Fault::internal)?,
            purchase_mode: word("purchase_mode", &self.purchase_mode, PurchaseMode::named)?,
            state: word("state", &self.state, ListingState::named)?,
            window: Window {
                start: time(self.window_start),
                end: time(self.window_end),
            },
        })
    }
}

/// What a room's items can be bought as through its partners, or through one of them; at most `limit` listings.
pub async fn assortment(
    tx: &mut Tx,
    room: &RoomId,
    partner: Option<&PartnerId>,
    limit: i64,
) -> Result<Assortment, Fault> {
    let one = partner.map_or("", |partner| partner.as_str());
    let rows = sql!(
        tx,
        all Row,
        concat!("SELECT ", listing_columns!(), " FROM showcase_item AS i \
         CROSS JOIN (SELECT DISTINCT partner_id FROM room_outlet WHERE room_id = $1) AS o \
         JOIN listing AS l ON l.product_id = i.product_id AND l.partner_id = o.partner_id \
         WHERE i.room_id = $1 AND ($2 = '' OR l.partner_id = $2) AND l.state IN ('LIVE', 'PAUSED') \
         ORDER BY l.listing_id LIMIT $3"),
        room,
        one,
        limit
    )?;
    let mut found = Assortment {
        suspended: suspended(tx, room).await?,
        ..Assortment::default()
    };
    for row in rows {
        let listing = row.into_model()?;
        found
            .listings
            .entry((listing.product_id, listing.partner_id))
            .or_default()
            .push(listing);
    }
    Ok(found)
}

/// What listings offer at a moment; those that offer nothing are left out.
pub async fn listing_offers(
    tx: &mut Tx,
    listings: &[ListingId],
    now: Micros,
) -> Result<BTreeMap<ListingId, Offer>, Fault> {
    let mut found = BTreeMap::new();
    if listings.is_empty() {
        return Ok(found);
    }
    let rows = bulk!(
        tx,
        all Row,
        postgres: concat!(
            "SELECT ", listing_columns!(), " FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
             (SELECT * FROM listing WHERE listing_id = k.id LIMIT 1) AS l"
        ),
        sqlite: concat!(
            "SELECT ", listing_columns!(), " FROM json_each($1) AS k CROSS JOIN listing AS l ON l.listing_id = k.value->>0"
        ),
        columns: [listings]
    )?;
    let mut suspended: BTreeMap<PartnerId, bool> = BTreeMap::new();
    for row in rows {
        let listing = row.into_model()?;
        let partner = listing.partner_id;
        if let Entry::Vacant(entry) = suspended.entry(partner) {
            entry.insert(partner_is_suspended(tx, &partner).await?);
        }
        if let Some(offer) = listing.offer(suspended[&partner], now) {
            found.insert(listing.id, offer);
        }
    }
    Ok(found)
}

/// Whether a partner may not sell now.
pub async fn partner_is_suspended(tx: &mut Tx, partner: &PartnerId) -> Result<bool, Fault> {
    let row = sql!(
        tx,
        optional(bool,),
        "SELECT suspended FROM partner WHERE partner_id = $1",
        partner
    )?;
    Ok(row.is_some_and(|(suspended,)| suspended))
}

async fn suspended(tx: &mut Tx, room: &RoomId) -> Result<BTreeSet<PartnerId>, Fault> {
    let rows = sql!(
        tx,
        all(String,),
        "SELECT DISTINCT p.partner_id FROM room_outlet AS o JOIN partner AS p ON p.partner_id = o.partner_id \
         WHERE o.room_id = $1 AND p.suspended",
        room
    )?;
    rows.iter().map(|(partner,)| id(partner)).collect()
}

/// A change of the catalogue: of a product for everybody, of a product for one partner, or of a partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The product; none for all of the partner's.
    pub product: Option<ProductId>,
    /// The partner; none for all.
    pub partner: Option<PartnerId>,
}

/// What changed after a number, at most `limit` changes of each kind.
pub async fn mirror_changes(tx: &mut Tx, after: i64, limit: i64) -> Result<Vec<Change>, Fault> {
    let rows = sql!(
        tx,
        all(String, String),
        "SELECT product_id, partner_id FROM (SELECT product_id, partner_id FROM listing WHERE change_position > $1 \
         LIMIT $2) AS l \
         UNION SELECT product_id, '' FROM (SELECT product_id FROM product WHERE change_position > $1 LIMIT $2) AS p \
         UNION SELECT '', partner_id FROM (SELECT partner_id FROM partner WHERE change_position > $1 LIMIT $2) AS q",
        after,
        limit
    )?;
    let read = |(product, partner): (String, String)| {
        Ok(Change {
            product: opt_id(&product)?,
            partner: opt_id(&partner)?,
        })
    };
    rows.into_iter().map(read).collect()
}
