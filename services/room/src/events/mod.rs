//! What this service publishes in its feed and shows to watchers, and what it reads from the catalogue's feed.

pub mod catalog;
pub mod frames;

use ::store::feed::NewEntry;
use contracts::id::{RoomId, ShowcaseItemId};
use contracts::room::v1 as pb;
use contracts::room::v1::room_feed_entry::Content;

use crate::model::{Channel, Creator, Eyes, Host, Item, Question, Room, Shopper, Slot, Target};
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

/// A channel was created or changed. How many follow it is not in it: that changes without it.
pub fn channel_changed(channel: &Channel) -> NewEntry {
    let content = Content::Channel(render::channel(channel, &Eyes::Retailer, 0));
    entry("channel", channel.id, content).etag(channel.etag())
}

/// A slot was planned, changed or cancelled.
pub fn slot_changed(slot: &Slot) -> NewEntry {
    entry("slot", slot.id, Content::Slot(render::slot(slot))).etag(slot.etag())
}

/// A creator was registered.
pub fn creator_registered(creator: &Creator) -> NewEntry {
    let content = Content::Creator(render::creator(creator, &Eyes::Retailer, 0));
    entry("creator", creator.id, content)
}

/// A shopper began or ceased to follow something.
pub fn follow_changed(shopper: &Shopper, target: &Target, followed: bool) -> NewEntry {
    let (channel_id, creator_id) = render::target(target);
    let changed = pb::FollowChanged {
        partner_id: shopper.partner_id.into(),
        shopper_ref: shopper.shopper_ref.clone(),
        channel_id,
        creator_id,
        followed,
    };
    entry("follow", target.key(), Content::Follow(changed))
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
