//! Channels, programmes, creators and timelines as messages.

use contracts::room::v1 as pb;

use super::render::{id, retailers, room_state, session_type, time};
use crate::model::{
    Channel, ChannelState, Creator, Eyes, Follow, Occurrence, Room, Segment, Slot, SlotState,
    Target, ThenAndNow,
};

/// A channel, with the outlets that the onlooker may know of.
pub fn channel(channel: &Channel, eyes: &Eyes, followers: i64) -> pb::Channel {
    let state = match channel.state {
        ChannelState::Active => pb::ChannelState::Active,
        ChannelState::Archived => pb::ChannelState::Archived,
    };
    pb::Channel {
        channel_id: channel.id.into(),
        display_name: channel.display_name.clone(),
        time_zone: channel.time_zone.clone(),
        outlet_ids: channel
            .places_for(eyes)
            .map(|place| place.outlet_id.into())
            .collect(),
        auto_handover: channel.auto_handover,
        state: state.into(),
        follower_count: followers,
        create_time: Some(channel.create_time.to_proto()),
        etag: channel.etag(),
    }
}

/// A slot; only the retailer sees them.
pub fn slot(slot: &Slot) -> pb::ProgrammeSlot {
    let (content, times) = (&slot.content, &slot.times);
    pb::ProgrammeSlot {
        slot_id: slot.id.into(),
        channel_id: slot.channel_id.into(),
        title: content.title.clone(),
        theme: content.theme.clone(),
        session_type: session_type(content.session).into(),
        host_ids: content.hosts.iter().map(Into::into).collect(),
        venue: content.venue.clone(),
        brand_rules: content.brands.clone(),
        outlet_ids: content.outlets.iter().map(Into::into).collect(),
        local_start_time: times.local_start.clone(),
        duration: Some(prost_types::Duration {
            seconds: times.duration_s,
            nanos: 0,
        }),
        recurrence_rule: times.rule.clone(),
        exception_dates: times.exceptions.clone(),
        state: slot_state(slot.state).into(),
        create_time: Some(slot.create_time.to_proto()),
        etag: slot.etag(),
    }
}

fn slot_state(state: SlotState) -> pb::SlotState {
    match state {
        SlotState::Active => pb::SlotState::Active,
        SlotState::Cancelled => pb::SlotState::Cancelled,
    }
}

/// The state that a filter names.
pub fn slot_state_of(state: pb::SlotState) -> Option<SlotState> {
    SlotState::ALL
        .iter()
        .copied()
        .find(|known| slot_state(*known) == state)
}

/// One time that something takes place, with the outlets that the onlooker may know of.
pub fn occurrence(it: &Occurrence, eyes: &Eyes) -> pb::Occurrence {
    let content = &it.content;
    let outlets = it
        .places
        .iter()
        .filter(|place| eyes.sees(&place.partner_id));
    let state = it
        .room
        .map_or(pb::RoomState::Unspecified, |(_, state)| room_state(state));
    pb::Occurrence {
        channel_id: it.channel_id.into(),
        slot_id: id(it.slot.map(|slot| slot.slot_id)),
        slot_start_time: time(it.slot.map(|slot| slot.start)),
        start_time: time(Some(it.span.start)),
        end_time: time(Some(it.span.end)),
        title: content.title.clone(),
        theme: content.theme.clone(),
        session_type: session_type(content.session).into(),
        host_ids: content.hosts.iter().map(Into::into).collect(),
        venue: retailers(eyes, &content.venue),
        brand_rules: content.brands.clone(),
        outlet_ids: outlets.map(|place| place.outlet_id.into()).collect(),
        room_id: id(it.room.map(|(room, _)| room)),
        room_state: state.into(),
        overridden: it.overridden,
    }
}

/// A creator.
pub fn creator(creator: &Creator, eyes: &Eyes, followers: i64) -> pb::Creator {
    pb::Creator {
        creator_id: creator.id.into(),
        display_name: creator.display_name.clone(),
        payee_reference: retailers(eyes, &creator.payee_reference),
        follower_count: followers,
        create_time: Some(creator.create_time.to_proto()),
    }
}

/// The channel or the creator that is followed; the other is empty.
pub fn target(target: &Target) -> (String, String) {
    match target {
        Target::Channel(channel) => (channel.into(), String::new()),
        Target::Creator(creator) => (String::new(), creator.into()),
    }
}

/// Something that a shopper follows.
pub fn follow(follow: &Follow) -> pb::Follow {
    let (channel_id, creator_id) = target(&follow.target);
    pb::Follow {
        channel_id,
        creator_id,
        follow_time: Some(follow.time.to_proto()),
    }
}

/// A stretch of a room's timeline.
pub fn segment(segment: &Segment, prices: &[ThenAndNow], room: &Room) -> pb::TimelineSegment {
    pb::TimelineSegment {
        showcase_item_id: segment.item_id.into(),
        product_id: segment.product_id.into(),
        title: segment.title.clone(),
        start_time: time(Some(segment.start)),
        end_time: time(segment.end),
        media_start_ms: room.media_time_ms(segment.start),
        media_end_ms: segment.end.map_or(0, |end| room.media_time_ms(end)),
        shown_prices: prices
            .iter()
            .map(|price| shown_price(price, room))
            .collect(),
    }
}

fn shown_price(price: &ThenAndNow, room: &Room) -> pb::ShownPrice {
    let (then, now) = (&price.then, price.now.as_ref());
    pb::ShownPrice {
        listing_id: then.listing_id.into(),
        variant_id: then.variant_id.into(),
        shown_time: time(Some(then.time)),
        media_time_ms: room.media_time_ms(then.time),
        shown_price: Some(then.price.to_proto()),
        shown_retailer_discount_basis_points: then.retailer_discount_basis_points,
        shown_on_sale: then.on_sale,
        current_price: now.map(|now| now.price.to_proto()),
        current_retailer_discount_basis_points: now
            .map_or(0, |now| now.retailer_discount_basis_points),
        current_on_sale: now.is_some_and(|now| now.on_sale),
    }
}
