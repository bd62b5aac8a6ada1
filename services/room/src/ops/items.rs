//! Changing a room's showcase.
//!
//! Every change locks the room first: what it decides on stays true until it commits.

use ::store::{Operation, Tx};
use contracts::id::{ProductId, RoomId, ShowcaseItemId};
use kit::errors::{ErrorReason, Fault, Refusal};

use super::timeline::begin_segment;
use crate::events;
use crate::model::{Item, LedgerEvent, Room};
use crate::store::item::{
    item_delete, item_insert, item_room, item_save, items_of_room, rooms_with_rules_showing,
};
use crate::store::log::ledger_append;
use crate::store::mirror::product_by_id;
use crate::store::room::room_lock;
use crate::store::timeline::segment_end;

/// Adds a product to a room's list.
pub struct AddItem {
    /// The room.
    pub room_id: RoomId,
    /// The product.
    pub product_id: ProductId,
    /// Place in the list.
    pub rank: i32,
    /// The most items in a room.
    pub items_max: usize,
}

impl Operation for AddItem {
    type Output = Item;

    fn name(&self) -> &'static str {
        "item.add"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Item, Fault> {
        let room = room_lock(tx, &self.room_id)
            .await?
            .ok_or_else(|| Refusal::not_found("room"))?;
        room.require_open("show another item")?;
        let product = product_by_id(tx, &self.product_id)
            .await?
            .ok_or_else(|| Refusal::not_found("product"))?;
        room.require_brand(&product.brand)?;
        let shown = items_of_room(tx, &room.id).await?;
        if let Some(item) = shown.iter().find(|item| item.product_id == self.product_id) {
            let message = "The room shows this product already; pin it or explain it instead.";
            return Err(Refusal::new(ErrorReason::AlreadyExists, message)
                .with("showcase_item_id", item.id)
                .into());
        }
        if shown.len() >= self.items_max {
            let message = format!(
                "The room shows {} items, which is the most it can; take one out first.",
                shown.len()
            );
            return Err(Refusal::wrong_state("showcase", "FULL", message).into());
        }
        let item = Item {
            id: ShowcaseItemId::from_uuid(tx.ids().next()),
            room_id: room.id,
            product_id: self.product_id,
            title: product.title,
            rank: self.rank,
            pinned: false,
            explaining: false,
        };
        item_insert(tx, &item).await?;
        changed(tx, &room, std::slice::from_ref(&item)).await?;
        tx.audit(self.name(), item.id, "added");
        Ok(item)
    }
}

/// Takes an item out.
pub struct RemoveItem {
    /// Which.
    pub item_id: ShowcaseItemId,
}

impl Operation for RemoveItem {
    type Output = ();

    fn name(&self) -> &'static str {
        "item.remove"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        let (room, items) = showcase_lock(tx, &self.item_id).await?;
        room.require_open("change its showcase")?;
        let item = take(&items, &self.item_id)?;
        let happened = remove(tx, self.name(), &room, &item).await?;
        ledger_append(tx, &room.id, &[happened]).await
    }
}

/// Pins an item to the top, or takes the pin away.
pub struct PinItem {
    /// Which.
    pub item_id: ShowcaseItemId,
    /// Whether it is to be pinned.
    pub pin: bool,
}

impl Operation for PinItem {
    type Output = Item;

    fn name(&self) -> &'static str {
        if self.pin { "item.pin" } else { "item.unpin" }
    }

    async fn run(&self, tx: &mut Tx) -> Result<Item, Fault> {
        let (room, items) = showcase_lock(tx, &self.item_id).await?;
        room.require_open("change its showcase")?;
        let mut item = take(&items, &self.item_id)?;
        if item.pinned != self.pin {
            item.pinned = self.pin;
            item_save(tx, &item).await?;
            changed(tx, &room, std::slice::from_ref(&item)).await?;
        }
        tx.audit(self.name(), item.id, "done");
        Ok(item)
    }
}

/// Begins to explain an item, or ends it. Whatever was explained before ends in the same step.
pub struct ExplainItem {
    /// Which.
    pub item_id: ShowcaseItemId,
    /// Whether it is to be explained.
    pub start: bool,
    /// The most listings whose prices are written down.
    pub listings_max: i64,
}

impl Operation for ExplainItem {
    type Output = Item;

    fn name(&self) -> &'static str {
        if self.start {
            "item.start_explaining"
        } else {
            "item.stop_explaining"
        }
    }

    async fn run(&self, tx: &mut Tx) -> Result<Item, Fault> {
        let (room, items) = showcase_lock(tx, &self.item_id).await?;
        if self.start {
            room.require_live("explain an item")?;
        }
        let mut item = take(&items, &self.item_id)?;
        if item.explaining != self.start {
            let mut touched: Vec<Item> = items
                .into_iter()
                .filter(|other| other.explaining && self.start)
                .collect();
            touched
                .iter_mut()
                .for_each(|other| other.explaining = false);
            item.explaining = self.start;
            touched.push(item.clone());
            // The one that ends comes first: the table holds at most one that is explained.
            for item in &touched {
                item_save(tx, item).await?;
            }
            segment_end(tx, &room.id).await?;
            if self.start {
                begin_segment(tx, &room, &item, self.listings_max).await?;
            }
            changed(tx, &room, &touched).await?;
        }
        tx.audit(self.name(), item.id, "done");
        Ok(item)
    }
}

/// Takes an item out of a room that is locked; gives what happened.
async fn remove(
    tx: &mut Tx,
    what: &'static str,
    room: &Room,
    item: &Item,
) -> Result<LedgerEvent, Fault> {
    if item.explaining {
        segment_end(tx, &room.id).await?;
    }
    item_delete(tx, &item.id).await?;
    tx.publish(events::item_removed(&item.id, room));
    tx.audit(what, item.id, "removed");
    Ok(LedgerEvent::ItemRemoved(item.id))
}

/// Takes out what a room's brand rules forbid. The room is locked by the caller, who writes down what happened.
pub async fn remove_forbidden(tx: &mut Tx, room: &Room) -> Result<Vec<LedgerEvent>, Fault> {
    let mut happened = Vec::new();
    if room.brands.is_empty() {
        return Ok(happened);
    }
    for item in items_of_room(tx, &room.id).await? {
        let brand = product_by_id(tx, &item.product_id)
            .await?
            .map(|product| product.brand);
        if brand.is_none_or(|brand| room.require_brand(&brand).is_err()) {
            happened.push(remove(tx, "item.forbidden", room, &item).await?);
        }
    }
    Ok(happened)
}

/// A product changed its brand: it is taken out of rooms that are not over and whose rules forbid it now.
pub async fn brand_changed(tx: &mut Tx, product: &ProductId) -> Result<(), Fault> {
    for id in rooms_with_rules_showing(tx, product).await? {
        let Some(room) = room_lock(tx, &id).await? else {
            continue;
        };
        if room.require_open("change its showcase").is_ok() {
            let happened = remove_forbidden(tx, &room).await?;
            ledger_append(tx, &room.id, &happened).await?;
        }
    }
    Ok(())
}

/// Locks the room that an item is in and reads its showcase.
async fn showcase_lock(tx: &mut Tx, item: &ShowcaseItemId) -> Result<(Room, Vec<Item>), Fault> {
    let not_found = || Refusal::not_found("showcase item");
    let room = item_room(tx, item).await?.ok_or_else(not_found)?;
    let room = room_lock(tx, &room).await?.ok_or_else(not_found)?;
    let items = items_of_room(tx, &room.id).await?;
    Ok((room, items))
}

/// The item, if nobody took it out before the room was locked.
fn take(items: &[Item], id: &ShowcaseItemId) -> Result<Item, Refusal> {
    let found = items.iter().find(|item| item.id == *id);
    found
        .cloned()
        .ok_or_else(|| Refusal::not_found("showcase item"))
}

/// Tells the room's log and the feed.
async fn changed(tx: &mut Tx, room: &Room, items: &[Item]) -> Result<(), Fault> {
    let happened: Vec<LedgerEvent> = items.iter().cloned().map(LedgerEvent::Item).collect();
    ledger_append(tx, &room.id, &happened).await?;
    for item in items {
        tx.publish(events::item_changed(item, room));
    }
    Ok(())
}
