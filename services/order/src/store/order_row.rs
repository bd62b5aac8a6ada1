//! The row of a placement: one order with one of its lines.

use std::sync::Arc;

use contracts::money::{Money, Price};
use kit::clock::Micros;
use kit::errors::Fault;

use super::{currency, id, opt_id, span, word};
use crate::model::{
    CollectedBy, Destination, Draws, Line, LineAmount, OrderAmount, Placement, PriceSource,
    QuotaOwner, ShipTerms, Unit,
};

/// The columns that [`PlacementRow`] reads, of `orders AS o` and `order_line AS l`, named one by one: a
/// prepared `*` breaks when a migration adds a column.
macro_rules! placement_columns {
    () => {
        "o.order_id, o.partner_id, o.partner_order_id, o.partner_checkout_id, o.shopper_ref, o.fingerprint, \
         o.region_code, o.subdivision_code, o.currency_code, o.price, o.retailer_discount, o.partner_discount, \
         o.shipping, o.tax, o.payable, o.commission, o.remorse_us, o.ship_within_us, o.presale_time, \
         o.placed_hold_end, o.place_time, l.order_line_id, l.listing_id, l.allotment_id, l.variant_id, l.product_id, \
         l.sku, l.title, l.unit, l.terms_version, l.unit_price, l.per_quantity, l.price AS line_price, \
         l.retailer_discount AS line_retailer_discount, l.partner_discount AS line_partner_discount, \
         l.shipping AS line_shipping, l.tax AS line_tax, l.tax_included, l.payable AS line_payable, \
         l.commission AS line_commission, l.drop_id, l.drop_person_limited, l.collected_by, l.legal_entity, \
         l.touchpoints, l.ordered, l.price_source, l.drop_quota, l.allotment_person_limited, l.person "
    };
}
pub(crate) use placement_columns;

#[derive(sqlx::FromRow)]
pub(super) struct PlacementRow {
    pub(super) order_id: String,
    partner_id: String,
    partner_order_id: String,
    partner_checkout_id: String,
    shopper_ref: String,
    fingerprint: Vec<u8>,
    region_code: String,
    subdivision_code: String,
    currency_code: String,
    price: i64,
    retailer_discount: i64,
    partner_discount: i64,
    shipping: i64,
    tax: i64,
    payable: i64,
    commission: i64,
    remorse_us: i64,
    ship_within_us: i64,
    presale_time: Option<i64>,
    placed_hold_end: i64,
    place_time: i64,
    order_line_id: String,
    listing_id: String,
    allotment_id: String,
    variant_id: String,
    product_id: String,
    sku: String,
    title: String,
    unit: String,
    terms_version: i64,
    unit_price: i64,
    per_quantity: i64,
    line_price: i64,
    line_retailer_discount: i64,
    line_partner_discount: i64,
    line_shipping: i64,
    line_tax: i64,
    tax_included: bool,
    line_payable: i64,
    line_commission: i64,
    drop_id: String,
    drop_person_limited: bool,
    collected_by: String,
    legal_entity: String,
    touchpoints: String,
    ordered: i64,
    price_source: String,
    drop_quota: String,
    allotment_person_limited: bool,
    person: String,
}

/// Reads placements from rows where an order's lines follow one another in their order.
pub(super) fn read(rows: Vec<PlacementRow>) -> Result<Vec<Arc<Placement>>, Fault> {
    let mut placements: Vec<Placement> = Vec::new();
    for mut row in rows {
        let line = row.line()?;
        match placements.last_mut() {
            Some(placement) if placement.order_id.as_str() == row.order_id => {
                placement.lines.push(line)
            }
            _ => {
                let mut placement = row.placement()?;
                placement.lines.push(line);
                placements.push(placement);
            }
        }
    }
    Ok(placements.into_iter().map(Arc::new).collect())
}

impl PlacementRow {
    fn line(&mut self) -> Result<Line, Fault> {
        let unit_price = Money::new(currency(&self.currency_code)?, self.unit_price);
        Ok(Line {
            order_line_id: id(&self.order_line_id)?,
            listing_id: id(&self.listing_id)?,
            allotment_id: id(&self.allotment_id)?,
            variant_id: id(&self.variant_id)?,
            product_id: id(&self.product_id)?,
            sku: std::mem::take(&mut self.sku),
            title: std::mem::take(&mut self.title),
            unit: word(Unit::parse(&self.unit), "order_line.unit")?,
            terms_version: self.terms_version,
            unit_price: Price::new(unit_price, self.per_quantity).map_err(Fault::internal)?,
            amount: LineAmount {
                price: self.line_price,
                retailer_discount: self.line_retailer_discount,
                partner_discount: self.line_partner_discount,
                shipping: self.line_shipping,
                tax: self.line_tax,
                tax_included: self.tax_included,
                payable: self.line_payable,
                commission: self.line_commission,
            },
            quantity: self.ordered,
            touchpoints: serde_json::from_str(&self.touchpoints).map_err(Fault::internal)?,
            drop_id: opt_id(&self.drop_id)?,
            drop_person_limited: self.drop_person_limited,
            price_source: word(
                PriceSource::parse(&self.price_source),
                "order_line.price_source",
            )?,
            draws: self.draws()?,
            collected_by: word(
                CollectedBy::parse(&self.collected_by),
                "order_line.collected_by",
            )?,
            legal_entity: std::mem::take(&mut self.legal_entity),
        })
    }

    fn draws(&mut self) -> Result<Draws, Fault> {
        let quota = match self.drop_quota.as_str() {
            "" => None,
            owner => Some(word(QuotaOwner::parse(owner), "order_line.drop_quota")?),
        };
        let person = std::mem::take(&mut self.person);
        Ok(Draws {
            quota,
            allotment_person_limited: self.allotment_person_limited,
            person: (!person.is_empty()).then_some(person),
        })
    }

    fn placement(self) -> Result<Placement, Fault> {
        let fingerprint = self.fingerprint.try_into();
        Ok(Placement {
            order_id: id(&self.order_id)?,
            partner_id: id(&self.partner_id)?,
            partner_order_id: self.partner_order_id,
            partner_checkout_id: self.partner_checkout_id,
            shopper_ref: self.shopper_ref,
            fingerprint: fingerprint
                .map_err(|_| Fault::internal("orders.fingerprint has not 32 bytes"))?,
            destination: Destination {
                region_code: self.region_code,
                subdivision_code: self.subdivision_code,
            },
            lines: Vec::new(),
            amount: OrderAmount {
                currency: currency(&self.currency_code)?,
                price: self.price,
                retailer_discount: self.retailer_discount,
                partner_discount: self.partner_discount,
                shipping: self.shipping,
                tax: self.tax,
                payable: self.payable,
                commission: self.commission,
            },
            ship_terms: ShipTerms {
                remorse: span(self.remorse_us),
                ship_within: span(self.ship_within_us),
                presale_time: self.presale_time.map(Micros),
            },
            hold_expire_time: Micros(self.placed_hold_end),
            place_time: Micros(self.place_time),
        })
    }
}
