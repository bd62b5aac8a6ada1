//! What was explained when and at which price: written while it happens, read afterwards.

use std::collections::BTreeMap;

use ::store::{Operation, Tx};
use contracts::id::{ListingId, PartnerId, RoomId};
use kit::errors::Fault;

use super::read::visible_room;
use crate::model::{Eyes, Item, Listing, Offer, Room, Segment, ShownPrice, ThenAndNow};
use crate::store::mirror::{assortment, listing_offers, partner_is_suspended};
use crate::store::timeline::{
    price_last, prices_insert, prices_of, segment_begin, segments_list, segments_open,
};

/// An item begins to be explained: what its product costs now at each of the room's partners is written down.
pub async fn begin_segment(
    tx: &mut Tx,
    room: &Room,
    item: &Item,
    listings_max: i64,
) -> Result<(), Fault> {
    let segment = segment_begin(tx, item).await?;
    if !room.session.has_cart() {
        return Ok(());
    }
    let now = tx.now();
    let assortment = assortment(tx, &room.id, None, listings_max).await?;
    let mut partners: Vec<PartnerId> = room.places.iter().map(|place| place.partner_id).collect();
    partners.sort_unstable();
    partners.dedup();
    let mut shown = Vec::new();
    for partner in partners {
        let offers = assortment.offers(item.product_id, partner, now);
        shown.extend(
            offers
                .iter()
                .map(|offer| ShownPrice::of(segment, partner, offer, now)),
        );
    }
    prices_insert(tx, &room.id, &shown).await
}

/// A listing changed: where its product is being explained, what shoppers see from now on is written down.
pub async fn listing_changed(tx: &mut Tx, listing: &Listing) -> Result<(), Fault> {
    let open = segments_open(tx, &listing.product_id, &listing.partner_id).await?;
    if open.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    let suspended = partner_is_suspended(tx, &listing.partner_id).await?;
    let offer = listing.offer(suspended, now);
    for (room, segment) in open {
        let last = price_last(tx, &room, segment, &listing.id).await?;
        let shown = match (&offer, last) {
            (Some(offer), Some(last)) if !last.differs_from(offer) => continue,
            (Some(offer), _) => ShownPrice::of(segment, listing.partner_id, offer, now),
            // It is shown no more; the price that was seen last can no longer be had.
            (None, Some(last)) if last.on_sale => ShownPrice {
                on_sale: false,
                time: now,
                ..last
            },
            (None, _) => continue,
        };
        prices_insert(tx, &room, &[shown]).await?;
    }
    Ok(())
}

/// A page of a room's timeline.
pub struct ReadTimeline {
    /// The room.
    pub room_id: RoomId,
    /// Who looks.
    pub eyes: Eyes,
    /// After this segment.
    pub after: i64,
    /// At most so many segments.
    pub limit: i64,
    /// When so many prices were read the page ends; at most so many of one segment.
    pub prices_max: usize,
}

/// A page of a room's timeline.
pub struct Timeline {
    /// The room.
    pub room: Room,
    /// Segments with their prices, in order.
    pub segments: Vec<(Segment, Vec<ThenAndNow>)>,
    /// Whether the page ended for its prices, so that there are more segments.
    pub cut: bool,
}

impl Operation for ReadTimeline {
    type Output = Timeline;

    fn name(&self) -> &'static str {
        "room.timeline"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Timeline, Fault> {
        let room = visible_room(tx, &self.room_id, &self.eyes).await?;
        let segments = segments_list(tx, &room.id, self.after, self.limit).await?;
        let partner = match &self.eyes {
            Eyes::Retailer => None,
            Eyes::Partner(partner) | Eyes::Viewer(partner) => Some(partner),
        };
        let most = i64::try_from(self.prices_max).unwrap_or(i64::MAX);
        let mut shown = BTreeMap::new();
        let (mut read, mut whole) = (0, 0);
        for segment in &segments {
            if read >= self.prices_max {
                break;
            }
            let prices = prices_of(tx, &room.id, segment.number, partner, most).await?;
            (read, whole) = (read + prices.len(), whole + 1);
            shown.insert(segment.number, prices);
        }
        let cut = whole < segments.len();
        let mut listings: Vec<ListingId> = shown
            .values()
            .flatten()
            .map(|shown| shown.listing_id)
            .collect();
        listings.sort_unstable();
        listings.dedup();
        let now = tx.now();
        let offers: BTreeMap<ListingId, Offer> = listing_offers(tx, &listings, now).await?;
        let segments = segments.into_iter().take(whole).map(|segment| {
            let prices = shown.remove(&segment.number).unwrap_or_default();
            let with = |then: ShownPrice| ThenAndNow {
                now: offers.get(&then.listing_id).cloned(),
                then,
            };
            (segment, prices.into_iter().map(with).collect())
        });
        Ok(Timeline {
            segments: segments.collect(),
            cut,
            room,
        })
    }
}
