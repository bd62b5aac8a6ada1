//! What a batch did, written set by set.

use ::store::Tx;
use kit::errors::Fault;

use crate::model::book::{Book, Count, ShopperKey};
use crate::model::{Order, OrderState, Payment, Refund};
use crate::ops::ledger;
use crate::store::stock::StockChange;
use crate::store::{drops, key, order, payment, refund, stock, stop};

pub(super) async fn write(tx: &mut Tx, book: &mut Book) -> Result<(), Fault> {
    counters(tx, book).await?;
    orders(tx, book).await?;
    let payments: Vec<&Payment> = book.new_payments.iter().map(|payment| &**payment).collect();
    payment::payments_insert(tx, &payments).await?;
    ledger::book_payments(tx, book, &payments).await?;
    let refunds: Vec<Refund> = payments
        .iter()
        .filter_map(|payment| payment.first_refund())
        .collect();
    refund::refunds_insert(tx, &refunds).await?;
    stock::movements_insert(tx, &book.new_movements).await?;
    // A stop of this batch may have been ended in it.
    stop::stops_insert(tx, &book.new_stops).await?;
    stop::stops_end(tx, &book.ended_stops).await?;
    key::request_keys_insert(tx, &mut book.new_keys).await
}

/// Counters are written as differences, which are right whoever else counts; the tables' checks have the
/// last word.
pub(in crate::ops) async fn counters(tx: &mut Tx, book: &Book) -> Result<(), Fault> {
    let changes: Vec<StockChange> = book
        .stocks
        .iter()
        .map(|(allotment_id, stock)| StockChange {
            allotment_id: *allotment_id,
            supplied: stock.now.supplied - stock.loaded.supplied,
            available: stock.now.available - stock.loaded.available,
            held: stock.now.held - stock.loaded.held,
            sold: stock.now.sold - stock.loaded.sold,
            version: stock.now.version - stock.loaded.version,
        })
        .filter(|change| {
            [
                change.supplied,
                change.available,
                change.held,
                change.sold,
                change.version,
            ] != [0; 5]
        })
        .collect();
    stock::allotments_change(tx, &changes).await?;
    stock::listing_counts_change(tx, &differences(&book.listing_counts, |id| *id)).await?;
    stock::drop_counts_change(tx, &differences(&book.drop_counts, |id| *id)).await?;
    stock::drop_listing_counts_change(tx, &differences(&book.drop_listing_counts, |key| *key))
        .await?;
    drops::quota_counts_change(tx, &differences(&book.quota_counts, |key| *key)).await?;
    let (new, known): (Vec<_>, Vec<_>) = book
        .shopper_counts
        .iter()
        .filter(|(_, count)| count.delta() != 0)
        .partition(|(_, count)| count.absent);
    let difference = |(key, count): (_, &Count)| (key, count.delta());
    let new: Vec<(&ShopperKey, i64)> = new.into_iter().map(difference).collect();
    stock::shopper_counts_insert(tx, &new).await?;
    let known: Vec<(&ShopperKey, i64)> = known.into_iter().map(difference).collect();
    stock::shopper_counts_change(tx, &known).await
}

fn differences<'a, K, T>(
    counts: impl IntoIterator<Item = (&'a K, &'a Count)>,
    key: impl Fn(&'a K) -> T,
) -> Vec<(T, i64)>
where
    K: 'a,
{
    let changed = counts.into_iter().filter(|(_, count)| count.delta() != 0);
    changed
        .map(|(name, count)| (key(name), count.delta()))
        .collect()
}

async fn orders(tx: &mut Tx, book: &Book) -> Result<(), Fault> {
    let mut new: Vec<&Order> = Vec::new();
    let mut changed: Vec<(&Order, i64)> = Vec::new();
    let mut cancelled = Vec::new();
    for slot in book.orders.values() {
        let order = &slot.order;
        match slot.loaded_version {
            None => new.push(order),
            Some(loaded) if loaded != order.version => {
                changed.push((order, loaded));
                if order.state == OrderState::Cancelled && !order.was_paid() {
                    cancelled.push(*order.order_id());
                }
            }
            Some(_) => {}
        }
    }
    order::orders_insert(tx, &mut new).await?;
    order::orders_update(tx, &changed).await?;
    order::lines_cancel(tx, &cancelled).await
}
