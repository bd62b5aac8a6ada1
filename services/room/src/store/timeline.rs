//! What was explained when, and at which price.

use ::store::{Tx, sql};
use contracts::id::{ListingId, PartnerId, ProductId, RoomId};
use contracts::money::{Currency, Money, Price};
use kit::clock::Micros;
use kit::errors::Fault;

use super::{id, time};
use crate::model::{Item, Segment, ShownPrice};

#[derive(sqlx::FromRow)]
struct Row {
    segment: i64,
    showcase_item_id: String,
    product_id: String,
    title: String,
    start_time: i64,
    end_time: Option<i64>,
}

impl Row {
    fn into_model(self) -> Result<Segment, Fault> {
        Ok(Segment {
            number: self.segment,
            item_id: id(&self.showcase_item_id)?,
            product_id: id(&self.product_id)?,
            title: self.title,
            start: Micros(self.start_time),
            end: time(self.end_time),
        })
    }
}

/// A segment begins; gives its number. The room is locked by the caller.
pub async fn segment_begin(tx: &mut Tx, item: &Item) -> Result<i64, Fault> {
    let now = tx.now();
    let (segment,) = sql!(
        tx,
        one(i64,),
        "INSERT INTO segment (room_id, segment, showcase_item_id, product_id, title, start_time) \
         SELECT $1, COALESCE(MAX(segment), 0) + 1, $2, $3, $4, CAST($5 AS BIGINT) FROM segment WHERE room_id = $1 \
         RETURNING segment",
        item.room_id,
        item.id,
        item.product_id,
        &item.title,
        now
    )?;
    Ok(segment)
}

/// The segment of a room that goes on ends, if one does. The room is locked by the caller.
pub async fn segment_end(tx: &mut Tx, room: &RoomId) -> Result<(), Fault> {
    let now = tx.now();
    sql!(
        tx,
        execute,
        "UPDATE segment SET end_time = CASE WHEN start_time > $2 THEN start_time ELSE $2 END \
         WHERE room_id = $1 AND end_time IS NULL",
        room,
        now
    )?;
    Ok(())
}

/// Segments of a product that go on and are shown to a partner's shoppers.
pub async fn segments_open(
    tx: &mut Tx,
    product: &ProductId,
    partner: &PartnerId,
) -> Result<Vec<(RoomId, i64)>, Fault> {
    let rows = sql!(
        tx,
        all(String, i64),
        "SELECT s.room_id, s.segment FROM segment AS s JOIN room AS r ON r.room_id = s.room_id \
         WHERE s.product_id = $1 AND s.end_time IS NULL AND r.session_type = 'SHOPPING' \
         AND EXISTS (SELECT 1 FROM room_outlet AS o WHERE o.room_id = s.room_id AND o.partner_id = $2) \
         ORDER BY s.room_id",
        product,
        partner
    )?;
    rows.iter()
        .map(|(room, segment)| Ok((id(room)?, *segment)))
        .collect()
}

/// A page of a room's segments, in order.
pub async fn segments_list(
    tx: &mut Tx,
    room: &RoomId,
    after: i64,
    limit: i64,
) -> Result<Vec<Segment>, Fault> {
    let rows = sql!(
        tx,
        all Row,
        "SELECT segment, showcase_item_id, product_id, title, start_time, end_time FROM segment \
         WHERE room_id = $1 AND segment > $2 ORDER BY segment LIMIT $3",
        room,
        after,
        limit
    )?;
    rows.into_iter().map(Row::into_model).collect()
}

/// Writes prices that are shown from now on.
pub async fn prices_insert(tx: &mut Tx, room: &RoomId, prices: &[ShownPrice]) -> Result<(), Fault> {
    for shown in prices {
        let amount = shown.price.amount();
        sql!(
            tx,
            execute,
            "INSERT INTO shown_price (room_id, segment, listing_id, shown_time, partner_id, variant_id, currency_code, \
             minor_units, per_quantity, retailer_discount_basis_points, on_sale) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
             ON CONFLICT (room_id, segment, listing_id, shown_time) DO UPDATE SET \
             currency_code = excluded.currency_code, minor_units = excluded.minor_units, \
             per_quantity = excluded.per_quantity, \
             retailer_discount_basis_points = excluded.retailer_discount_basis_points, on_sale = excluded.on_sale",
            room,
            shown.segment,
            shown.listing_id,
            shown.time,
            shown.partner_id,
            shown.variant_id,
            amount.currency.code(),
            amount.minor_units,
            shown.price.per_quantity(),
            shown.retailer_discount_basis_points,
            shown.on_sale
        )?;
    }
    Ok(())
}

#[derive(sqlx::FromRow)]
struct PriceRow {
    segment: i64,
    listing_id: String,
    shown_time: i64,
    partner_id: String,
    variant_id: String,
    currency_code: String,
    minor_units: i64,
    per_quantity: i64,
    retailer_discount_basis_points: i64,
    on_sale: bool,
}

impl PriceRow {
    fn into_model(self) -> Result<ShownPrice, Fault> {
        let amount = Money {
            currency: Currency::parse(&self.currency_code).map_err(Fault::internal)?,
            minor_units: self.minor_units,
        };
        let discount = i32::try_from(self.retailer_discount_basis_points);
        Ok(ShownPrice {
            segment: self.segment,
            listing_id: id(&self.listing_id)?,
            partner_id: id(&self.partner_id)?,
            variant_id: id(&self.variant_id)?,
            time: Micros(self.shown_time),
            price: Price::new(amount, self.per_quantity).map_err(Fault::internal)?,
            retailer_discount_basis_points: discount.map_err(Fault::internal)?,
            on_sale: self.on_sale,
        })
    }
}

macro_rules! price_columns {
    () => {
        "s.segment, s.listing_id, s.shown_time, s.partner_id, s.variant_id, s.currency_code, s.minor_units, \
         s.per_quantity, s.retailer_discount_basis_points, s.on_sale"
    };
}

/// The price of a listing that was shown last in a segment.
pub async fn price_last(
    tx: &mut Tx,
    room: &RoomId,
    segment: i64,
    listing: &ListingId,
) -> Result<Option<ShownPrice>, Fault> {
    let row = sql!(
        tx,
        optional PriceRow,
        concat!(
            "SELECT ", price_columns!(), " FROM shown_price AS s WHERE s.room_id = $1 AND s.segment = $2 \
             AND s.listing_id = $3 ORDER BY s.shown_time DESC LIMIT 1"
        ),
        room,
        segment,
        listing
    )?;
    row.map(PriceRow::into_model).transpose()
}

/// What was shown during a segment, of one partner's listings or of all; by time, at most `limit`.
pub async fn prices_of(
    tx: &mut Tx,
    room: &RoomId,
    segment: i64,
    partner: Option<&PartnerId>,
    limit: i64,
) -> Result<Vec<ShownPrice>, Fault> {
    let partner = partner.map_or("", |partner| partner.as_str());
    let rows = sql!(
        tx,
        all PriceRow,
        concat!(
            "SELECT ", price_columns!(), " FROM shown_price AS s WHERE s.room_id = $1 AND s.segment = $2 \
             AND ($3 = '' OR s.partner_id = $3) ORDER BY s.shown_time, s.listing_id LIMIT $4"
        ),
        room,
        segment,
        partner,
        limit
    )?;
    rows.into_iter().map(PriceRow::into_model).collect()
}
