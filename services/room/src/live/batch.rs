//! Events on their way into a frame, resolved for those who look.

use bytes::Bytes;
use kit::clock::Micros;

use super::cursor::Marks;
use super::hub::Limits;
use crate::events::frames::{self, Moment};
use crate::model::{Class, Image, Item, LedgerEvent, Logged, Offer, View};

/// Counts per class.
pub type PerClass = [i64; Class::ALL.len()];

/// Events for one frame.
#[derive(Default)]
pub struct Batch {
    /// Encoded, in order within each class.
    pub events: Vec<Bytes>,
    /// What was left out.
    pub dropped: PerClass,
    /// Where the watcher is now; a place of 0 in CHAT means where it was.
    pub marks: Marks,
    bytes: usize,
    /// Whether something did not fit.
    pub full: bool,
}

impl Batch {
    /// Nothing yet, after so much was left out already.
    pub fn after(dropped: PerClass) -> Self {
        Batch {
            dropped,
            ..Batch::default()
        }
    }

    /// Takes an event, if there is room; one always fits.
    pub fn take(&mut self, event: &Bytes, limits: &Limits) -> bool {
        let fits = self.events.is_empty()
            || (self.events.len() < limits.frame_events_max
                && self.bytes + event.len() <= limits.frame_bytes_max);
        if fits {
            self.bytes += event.len();
            self.events.push(event.clone());
        } else {
            self.full = true;
        }
        fits
    }
}

/// What an item can be bought as where the group looks from.
pub fn offers(view: &View, image: &Image, item: &Item, time: Micros) -> Vec<Offer> {
    match view.place {
        Some(place) => image
            .assortment
            .offers(item.product_id, place.partner_id, time),
        None => Vec::new(),
    }
}

/// A LEDGER event as it is seen from somewhere, with the offers of now.
pub fn ledger_bytes(
    view: &View,
    logged: &Logged<LedgerEvent>,
    image: &Image,
    time: Micros,
) -> Bytes {
    let offers = match &logged.event {
        LedgerEvent::Item(item) => offers(view, image, item, time),
        LedgerEvent::State { .. } | LedgerEvent::ItemRemoved(_) => Vec::new(),
    };
    let moment = Moment::of(&image.room, logged.time);
    frames::ledger(moment, &logged.event, &offers, view)
}

/// The offers of every item as they are now, for a watcher who may have missed any of them.
pub fn all_offers<'a>(
    view: &'a View,
    image: &'a Image,
    time: Micros,
) -> impl Iterator<Item = Bytes> + 'a {
    let moment = Moment::of(&image.room, time);
    image
        .items
        .iter()
        .map(move |item| frames::item_offers(moment, item, &offers(view, image, item, time)))
}
