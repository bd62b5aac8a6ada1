//! The service's values as messages, for those who look at them.

use contracts::common::v1 as common;
use contracts::room::v1 as pb;
use kit::clock::Micros;
use prost_types::Timestamp;

use crate::model::{
    Class, Counters, Eyes, Host, HostState, Item, Offer, PurchaseMode, Question, QuestionState,
    Room, RoomState, SessionType,
};

pub use super::render_programme::*;

pub(super) fn time(at: Option<Micros>) -> Option<Timestamp> {
    at.map(Micros::to_proto)
}

pub(super) fn id(text: Option<impl Into<String>>) -> String {
    text.map(Into::into).unwrap_or_default()
}

/// A host.
pub fn host(host: &Host) -> pb::Host {
    pb::Host {
        host_id: host.id.into(),
        display_name: host.display_name.clone(),
        creator_id: id(host.creator_id),
        state: host_state(host.state).into(),
        decision_reason: host.decision_reason.clone(),
        create_time: Some(host.create_time.to_proto()),
        etag: host.etag(),
    }
}

fn host_state(state: HostState) -> pb::HostState {
    match state {
        HostState::Pending => pb::HostState::Pending,
        HostState::Approved => pb::HostState::Approved,
        HostState::Rejected => pb::HostState::Rejected,
    }
}

/// A room, with the outlets that the onlooker may know of.
pub fn room(room: &Room, eyes: &Eyes, counters: Option<Counters>) -> pb::Room {
    let schedule = room.schedule;
    let planned = schedule.start.is_some() || schedule.end.is_some();
    let own: Vec<_> = room.places_for(eyes).map(|place| place.outlet_id).collect();
    let next = room
        .next
        .as_ref()
        .and_then(|next| next.seen_from(eyes, &own));
    pb::Room {
        room_id: room.id.into(),
        channel_id: id(room.channel_id),
        title: room.title.clone(),
        theme: room.theme.clone(),
        session_type: session_type(room.session).into(),
        host_ids: room.hosts.iter().map(Into::into).collect(),
        outlet_ids: room
            .places_for(eyes)
            .map(|place| place.outlet_id.into())
            .collect(),
        brand_rules: room.brands.clone(),
        schedule: planned.then(|| common::Window {
            start_time: time(schedule.start),
            end_time: time(schedule.end),
        }),
        state: room_state(room.state).into(),
        state_reason: room.state_reason.clone(),
        live_time: time(room.live_time),
        end_time: time(room.end_time),
        counters: counters.map(self::counters),
        create_time: Some(room.create_time.to_proto()),
        etag: room.etag(),
        drop_id: id(room.drop_id),
        venue: retailers(eyes, &room.venue),
        slot_id: id(room.slot.map(|slot| slot.slot_id)),
        slot_start_time: time(room.slot.map(|slot| slot.start)),
        overridden: room.overridden,
        next_room_id: id(next),
    }
}

/// What only the retailer is told.
pub(super) fn retailers(eyes: &Eyes, text: &str) -> String {
    match eyes {
        Eyes::Retailer => text.to_owned(),
        Eyes::Partner(_) | Eyes::Viewer(_) => String::new(),
    }
}

/// What kind of session.
pub fn session_type(session: SessionType) -> pb::SessionType {
    match session {
        SessionType::Shopping => pb::SessionType::Shopping,
        SessionType::Course => pb::SessionType::Course,
        SessionType::Tutorial => pb::SessionType::Tutorial,
        SessionType::Original => pb::SessionType::Original,
    }
}

/// A room's state.
pub fn room_state(state: RoomState) -> pb::RoomState {
    match state {
        RoomState::Draft => pb::RoomState::Draft,
        RoomState::Scheduled => pb::RoomState::Scheduled,
        RoomState::Live => pb::RoomState::Live,
        RoomState::Paused => pb::RoomState::Paused,
        RoomState::Ended => pb::RoomState::Ended,
    }
}

/// The state that a filter names.
pub fn room_state_of(state: pb::RoomState) -> Option<RoomState> {
    RoomState::ALL
        .iter()
        .copied()
        .find(|known| room_state(*known) == state)
}

/// Totals.
pub fn counters(counters: Counters) -> pb::RoomCounters {
    let Counters {
        views,
        viewers,
        likes,
        questions,
    } = counters;
    pb::RoomCounters {
        views,
        viewers,
        likes,
        questions,
    }
}

/// An item with what it can be bought as.
pub fn item(item: &Item, offers: &[Offer]) -> pb::ShowcaseItem {
    pb::ShowcaseItem {
        showcase_item_id: item.id.into(),
        room_id: item.room_id.into(),
        product_id: item.product_id.into(),
        title: item.title.clone(),
        rank: item.rank,
        pinned: item.pinned,
        explaining: item.explaining,
        offers: offers.iter().map(offer).collect(),
    }
}

fn offer(offer: &Offer) -> pb::ShowcaseOffer {
    let purchase_mode = match offer.purchase_mode {
        PurchaseMode::InApp => common::PurchaseMode::InApp,
        PurchaseMode::Redirect => common::PurchaseMode::Redirect,
    };
    pb::ShowcaseOffer {
        listing_id: offer.listing_id.into(),
        variant_id: offer.variant_id.into(),
        variant_label: offer.variant_label.clone(),
        price: Some(offer.price.to_proto()),
        retailer_discount_basis_points: offer.retailer_discount_basis_points,
        purchase_mode: purchase_mode.into(),
        on_sale: offer.on_sale,
    }
}

/// A question, with what the onlooker may know of who asked where.
pub fn question(question: &Question, eyes: &Eyes) -> pb::Question {
    pb::Question {
        question_id: question.id.into(),
        room_id: question.room_id.into(),
        outlet_id: id(eyes.see_place(question).then_some(question.place.outlet_id)),
        shopper_ref: id(eyes
            .see_asker(question)
            .then_some(question.shopper_ref.as_str())),
        text: question.text.clone(),
        product_id: id(question.product_id),
        state: question_state(question.state).into(),
        answer: question.answer.clone(),
        ask_time: Some(question.ask_time.to_proto()),
        answer_time: time(question.answer_time),
    }
}

/// A question for the feed, without anything that people wrote.
pub fn question_changed(question: &Question) -> pb::QuestionChanged {
    pb::QuestionChanged {
        question_id: question.id.into(),
        room_id: question.room_id.into(),
        outlet_id: question.place.outlet_id.into(),
        product_id: id(question.product_id),
        state: question_state(question.state).into(),
        ask_time: Some(question.ask_time.to_proto()),
        answer_time: time(question.answer_time),
    }
}

fn question_state(state: QuestionState) -> pb::QuestionState {
    match state {
        QuestionState::Open => pb::QuestionState::Open,
        QuestionState::Answered => pb::QuestionState::Answered,
    }
}

/// The state that a filter names.
pub fn question_state_of(state: pb::QuestionState) -> Option<QuestionState> {
    QuestionState::ALL
        .iter()
        .copied()
        .find(|known| question_state(*known) == state)
}

/// A delivery class.
pub fn class(class: Class) -> pb::DeliveryClass {
    match class {
        Class::Ledger => pb::DeliveryClass::Ledger,
        Class::State => pb::DeliveryClass::State,
        Class::Counter => pb::DeliveryClass::Counter,
        Class::Chat => pb::DeliveryClass::Chat,
        Class::Ephemeral => pb::DeliveryClass::Ephemeral,
    }
}
