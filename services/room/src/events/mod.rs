//! What this service publishes in its feed and shows to watchers, and what it reads from the catalogue's feed.

pub mod catalog;
pub mod frames;

use ::store::feed::NewEntry;
use contracts::id::{RoomId, ShowcaseItemId};
use contracts::room::v1 as pb;
use contracts::room::v1::room_feed_entry::Content;

use crate::model::{Eyes, Host, Item, Question, Room};
use crate::rpc::render;

/// The feed's name, which binds its cursors.
pub const FEED: &str = "room";

fn entry(kind: &'static str, aggregate: impl Into<String>, content: Content) -> NewEntry {
    NewEntry::new(
        kind,
        aggregate,
        &pb::RoomFeedEntry {
            meta: None,
            content: Some(content),
        },
    )
}

fn of_room(kind: &'static str, room: RoomId, content: Content) -> NewEntry {
    entry(kind, room, content)
}

/// A host was registered or decided on.
pub fn host_changed(host: &Host) -> NewEntry {
    entry("host", host.id, Content::Host(render::host(host))).etag(host.etag())
}

/// A room was created, scheduled or moved. Totals are not in it: they change without it.
pub fn room_changed(room: &Room) -> NewEntry {
    of_room(
        "room",
        room.id,
        Content::Room(render::room(room, &Eyes::Retailer, None)),
    )
    .etag(room.etag())
}

/// An item was added, pinned or explained. Offers are not in it: they differ by outlet.
pub fn item_changed(item: &Item, room: &Room) -> NewEntry {
    of_room("item", room.id, Content::Item(render::item(item, &[]))).etag(room.etag())
}

/// An item was taken out.
pub fn item_removed(item: &ShowcaseItemId, room: &Room) -> NewEntry {
    let removed = pb::ShowcaseItemRemoved {
        showcase_item_id: item.into(),
    };
    of_room("item_removed", room.id, Content::ItemRemoved(removed)).etag(room.etag())
}

/// A question was asked or answered.
pub fn question_changed(question: &Question) -> NewEntry {
    of_room(
        "question",
        question.room_id,
        Content::Question(render::question_changed(question)),
    )
}
