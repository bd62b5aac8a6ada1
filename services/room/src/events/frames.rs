//! What watchers see, encoded once for all who look from the same place.
//!
//! A frame is `WatchRoomResponse`. Its events and its snapshot are encoded beforehand as whole fields of that message
//! and shared; protobuf lets the fields of a message simply follow each other, so a frame is its own few bytes (cursor,
//! outcome, dropped) and then the shared ones.

use bytes::{BufMut, Bytes, BytesMut};
use contracts::id::OutletId;
use contracts::room::v1 as pb;
use contracts::room::v1::room_event::Content;
use kit::clock::Micros;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use crate::model::{
    ChatEvent, Class, Counters, Image, Item, LedgerEvent, Offer, Question, Room, View,
};
use crate::rpc::render;

/// `WatchRoomResponse.snapshot`.
const SNAPSHOT: u32 = 3;
/// `WatchRoomResponse.events`.
const EVENTS: u32 = 4;

/// How a watch began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything that was missed follows.
    Resumed,
    /// There was no cursor: the room as it is.
    Snapshot,
    /// The cursor was too old: the room as it is.
    Reset,
}

/// One frame for one watcher.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// Where to go on after it.
    pub cursor: String,
    /// How the watch began; only in the first frame.
    pub outcome: Option<Outcome>,
    /// The encoded snapshot.
    pub snapshot: Option<Bytes>,
    /// Encoded events.
    pub events: Vec<Bytes>,
    /// What was left out since the last frame.
    pub dropped: Vec<(Class, i64)>,
}

impl Frame {
    /// Writes the message.
    pub fn encode(&self, into: &mut impl BufMut) {
        let outcome = match self.outcome {
            None => pb::ResumeOutcome::Unspecified,
            Some(Outcome::Resumed) => pb::ResumeOutcome::Resumed,
            Some(Outcome::Snapshot) => pb::ResumeOutcome::Snapshot,
            Some(Outcome::Reset) => pb::ResumeOutcome::Reset,
        };
        let dropped = |(class, count): &(Class, i64)| pb::Dropped {
            delivery_class: render::class(*class).into(),
            count: *count,
        };
        let own = pb::WatchRoomResponse {
            cursor: self.cursor.clone(),
            resume_outcome: outcome.into(),
            snapshot: None,
            events: Vec::new(),
            dropped: self.dropped.iter().map(dropped).collect(),
        };
        own.encode_raw(into);
        for shared in self.snapshot.iter().chain(&self.events) {
            into.put_slice(shared);
        }
    }

    /// The same as a message of its own.
    pub fn to_message(&self) -> pb::WatchRoomResponse {
        let mut bytes = BytesMut::new();
        self.encode(&mut bytes);
        // Every part was made by the encoder of this very message.
        pb::WatchRoomResponse::decode(bytes.freeze()).unwrap_or_default()
    }
}

/// A message as a whole field of another.
fn field(tag: u32, message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(length + 8 + encoded_len_varint(length as u64));
    encode_key(tag, WireType::LengthDelimited, &mut bytes);
    encode_varint(length as u64, &mut bytes);
    message.encode_raw(&mut bytes);
    bytes.freeze()
}

/// When an event happened, in both times.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// On the clock.
    pub time: Micros,
    /// In the room, in milliseconds.
    pub media_time_ms: i64,
}

impl Moment {
    /// A moment in a room.
    pub fn of(room: &Room, time: Micros) -> Self {
        Moment {
            time,
            media_time_ms: room.media_time_ms(time),
        }
    }
}

fn event(class: Class, at: Moment, content: Content) -> Bytes {
    let event = pb::RoomEvent {
        delivery_class: render::class(class).into(),
        event_time: Some(at.time.to_proto()),
        media_time_ms: at.media_time_ms,
        content: Some(content),
    };
    field(EVENTS, &event)
}

/// A LEDGER event; `offers` are those of the item in it.
pub fn ledger(at: Moment, happened: &LedgerEvent, offers: &[Offer], view: &View) -> Bytes {
    let content = match happened {
        LedgerEvent::State {
            state,
            reason,
            next,
        } => {
            let state = render::room_state(*state).into();
            let own: Vec<OutletId> = view.place.iter().map(|place| place.outlet_id).collect();
            let next = next
                .as_ref()
                .and_then(|next| next.seen_from(&view.eyes, &own));
            Content::StateChanged(pb::RoomStateChanged {
                state,
                reason: reason.clone(),
                next_room_id: next.map(Into::into).unwrap_or_default(),
            })
        }
        LedgerEvent::Item(item) => Content::ItemChanged(render::item(item, offers)),
        LedgerEvent::ItemRemoved(item) => Content::ItemRemoved(pb::ShowcaseItemRemoved {
            showcase_item_id: item.into(),
        }),
    };
    event(Class::Ledger, at, content)
}

/// The STATE event that an item's offers are now these.
pub fn item_offers(at: Moment, item: &Item, offers: &[Offer]) -> Bytes {
    event(
        Class::State,
        at,
        Content::ItemOffers(render::item(item, offers)),
    )
}

/// The COUNTER event with totals.
pub fn counters(at: Moment, totals: Counters) -> Bytes {
    event(
        Class::Counter,
        at,
        Content::Counters(render::counters(totals)),
    )
}

/// A CHAT event.
pub fn chat(at: Moment, said: ChatEvent, question: &Question, view: &View) -> Bytes {
    let content = match said {
        // A question may be answered before this is read; it was open when this happened.
        ChatEvent::Asked(_) => {
            Content::QuestionAsked(render::question(&question.clone().as_asked(), &view.eyes))
        }
        ChatEvent::Answered(_) => Content::QuestionAnswered(render::question(question, &view.eyes)),
    };
    event(Class::Chat, at, content)
}

/// The EPHEMERAL event that so many likes came.
pub fn like_burst(at: Moment, count: i64) -> Bytes {
    event(
        Class::Ephemeral,
        at,
        Content::LikeBurst(pb::LikeBurst { count }),
    )
}

/// The room as it is at a moment, for one view.
pub fn snapshot(image: &Image, view: &View, totals: Counters, now: Micros) -> Bytes {
    let offers = |item: &Item| match view.place {
        Some(place) => image
            .assortment
            .offers(item.product_id, place.partner_id, now),
        None => Vec::new(),
    };
    let snapshot = pb::RoomSnapshot {
        room: Some(render::room(&image.room, &view.eyes, Some(totals))),
        items: image
            .items
            .iter()
            .map(|item| render::item(item, &offers(item)))
            .collect(),
        questions: image
            .answered
            .iter()
            .map(|question| render::question(question, &view.eyes))
            .collect(),
    };
    field(SNAPSHOT, &snapshot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_made_of_shared_parts_is_the_message() {
        let at = Moment {
            time: Micros(5),
            media_time_ms: 7,
        };
        let totals = Counters {
            views: 1,
            viewers: 2,
            likes: 3,
            questions: 4,
        };
        let frame = Frame {
            cursor: "c".into(),
            outcome: Some(Outcome::Reset),
            snapshot: Some(field(
                SNAPSHOT,
                &pb::RoomSnapshot {
                    room: Some(pb::Room::default()),
                    ..Default::default()
                },
            )),
            events: vec![counters(at, totals), like_burst(at, 9)],
            dropped: vec![(Class::Chat, 12)],
        };
        let message = frame.to_message();
        assert_eq!(message.cursor, "c");
        assert_eq!(message.resume_outcome(), pb::ResumeOutcome::Reset);
        assert_eq!(
            message.snapshot,
            Some(pb::RoomSnapshot {
                room: Some(pb::Room::default()),
                ..Default::default()
            })
        );
        assert_eq!(
            message.dropped,
            [pb::Dropped {
                delivery_class: pb::DeliveryClass::Chat.into(),
                count: 12
            }]
        );
        let [first, second] = &message.events[..] else {
            panic!("two events")
        };
        assert_eq!(
            (first.delivery_class(), first.media_time_ms),
            (pb::DeliveryClass::Counter, 7)
        );
        assert_eq!(
            first.content,
            Some(Content::Counters(pb::RoomCounters {
                views: 1,
                viewers: 2,
                likes: 3,
                questions: 4
            }))
        );
        assert_eq!(
            second.content,
            Some(Content::LikeBurst(pb::LikeBurst { count: 9 }))
        );
        let mut whole = BytesMut::new();
        frame.encode(&mut whole);
        assert_eq!(message.encoded_len(), whole.len());
    }
}
