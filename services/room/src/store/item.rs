//! Showcase items.

use ::store::{Tx, sql};
use contracts::id::{ProductId, RoomId, ShowcaseItemId};
use kit::errors::Fault;

use super::{expect_one, id};
use crate::model::{Item, showcase};

macro_rules! select {
    ($where:literal) => {
        concat!(
            "SELECT i.showcase_item_id, i.room_id, i.product_id, p.title, i.rank, i.pinned, i.explaining \
             FROM showcase_item AS i JOIN product AS p ON p.product_id = i.product_id WHERE ",
            $where
        )
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    showcase_item_id: String,
    room_id: String,
    product_id: String,
    title: String,
    rank: i64,
    pinned: bool,
    explaining: bool,
}

impl Row {
    fn into_model(self) -> Result<Item, Fault> {
        Ok(Item {
            id: id(&self.showcase_item_id)?,
            room_id: id(&self.room_id)?,
            product_id: id(&self.product_id)?,
            title: self.title,
            rank: i32::try_from(self.rank).map_err(Fault::internal)?,
            pinned: self.pinned,
            explaining: self.explaining,
        })
    }
}

/// The room that an item is in; its lock comes before the item is read.
pub async fn item_room(tx: &mut Tx, item: &ShowcaseItemId) -> Result<Option<RoomId>, Fault> {
    let row = sql!(
        tx,
        optional(String,),
        "SELECT room_id FROM showcase_item WHERE showcase_item_id = $1",
        item
    )?;
    row.map(|(room,)| id(&room)).transpose()
}

/// The items of a room, in order.
pub async fn items_of_room(tx: &mut Tx, room: &RoomId) -> Result<Vec<Item>, Fault> {
    let rows = sql!(tx, all Row, select!("i.room_id = $1"), room)?;
    let mut items = rows
        .into_iter()
        .map(Row::into_model)
        .collect::<Result<Vec<_>, _>>()?;
    showcase::sort(&mut items);
    Ok(items)
}

/// Whether a room shows a product.
pub async fn item_shows(tx: &mut Tx, room: &RoomId, product: &ProductId) -> Result<bool, Fault> {
    let row = sql!(
        tx,
        optional(i64,),
        "SELECT CAST(1 AS BIGINT) FROM showcase_item WHERE room_id = $1 AND product_id = $2",
        room,
        product
    )?;
    Ok(row.is_some())
}

/// Rooms that are not over, have brand rules and show a product; by id, as everybody who locks several locks them.
pub async fn rooms_with_rules_showing(
    tx: &mut Tx,
    product: &ProductId,
) -> Result<Vec<RoomId>, Fault> {
    let rows = sql!(
        tx,
        all(String,),
        "SELECT i.room_id FROM showcase_item AS i JOIN room AS r ON r.room_id = i.room_id WHERE i.product_id = $1 \
         AND r.state <> 'ENDED' AND EXISTS (SELECT 1 FROM room_brand AS b WHERE b.room_id = i.room_id) \
         ORDER BY i.room_id",
        product
    )?;
    rows.iter().map(|(room,)| id(room)).collect()
}

/// Writes a new item.
pub async fn item_insert(tx: &mut Tx, item: &Item) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "INSERT INTO showcase_item (showcase_item_id, room_id, product_id, rank, pinned, explaining) \
         VALUES ($1, $2, $3, $4, $5, $6)",
        item.id,
        item.room_id,
        item.product_id,
        item.rank,
        item.pinned,
        item.explaining
    )?;
    Ok(())
}

/// Writes what became of an item.
pub async fn item_save(tx: &mut Tx, item: &Item) -> Result<(), Fault> {
    let touched = sql!(
        tx,
        execute,
        "UPDATE showcase_item SET pinned = $2, explaining = $3 WHERE showcase_item_id = $1",
        item.id,
        item.pinned,
        item.explaining
    )?;
    expect_one("showcase item", touched)
}

/// Takes an item out.
pub async fn item_delete(tx: &mut Tx, item: &ShowcaseItemId) -> Result<(), Fault> {
    let touched = sql!(
        tx,
        execute,
        "DELETE FROM showcase_item WHERE showcase_item_id = $1",
        item
    )?;
    expect_one("showcase item", touched)
}
