//! A room's product list.

use contracts::id::{ProductId, RoomId, ShowcaseItemId};
use serde::{Deserialize, Serialize};

/// A product in a room's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Which.
    pub id: ShowcaseItemId,
    /// The room.
    pub room_id: RoomId,
    /// The product.
    pub product_id: ProductId,
    /// The product's title.
    pub title: String,
    /// Place in the list; smaller first.
    pub rank: i32,
    /// Whether it is at the top.
    pub pinned: bool,
    /// Whether it is being explained.
    pub explaining: bool,
}

/// The place of an item in its room's order: pinned ones first, then by rank.
pub type ItemOrder = (bool, i32, ShowcaseItemId);

impl Item {
    /// Its place in the room's order.
    pub fn order(&self) -> ItemOrder {
        (!self.pinned, self.rank, self.id)
    }
}

/// Puts items into the order in which they are shown.
pub fn sort(items: &mut [Item]) {
    items.sort_by_key(Item::order);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinned_items_come_first_then_by_rank() {
        let item = |id, rank, pinned| Item {
            id: ShowcaseItemId::from_uuid(id),
            room_id: RoomId::from_uuid(1),
            product_id: ProductId::from_uuid(id),
            title: String::new(),
            rank,
            pinned,
            explaining: false,
        };
        let mut items = vec![
            item(1, 5, false),
            item(2, 5, false),
            item(3, 9, true),
            item(4, 1, false),
        ];
        sort(&mut items);
        let order: Vec<_> = items.iter().map(|item| item.id.uuid()).collect();
        assert_eq!(order, [3, 4, 1, 2]);
    }
}
