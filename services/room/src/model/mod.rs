//! What the service is about: plain values and pure transitions.

pub mod channel;
pub mod creator;
pub mod event;
pub mod host;
pub mod image;
pub mod offer;
pub mod programme;
pub mod question;
pub mod recurrence;
pub mod room;
pub mod showcase;
pub mod slot;
pub mod timeline;
pub mod version;
pub mod view;
mod words;

pub use channel::{Channel, ChannelState};
pub use creator::{Creator, Follow, Shopper, Target};
pub use event::{ChatEvent, Class, Counters, LedgerEvent, Logged};
pub use host::{Host, HostState};
pub use image::{Assortment, Image};
pub use offer::{Listing, ListingState, Offer, PurchaseMode};
pub use programme::{Occupied, Resource, Taker};
pub use question::{Question, QuestionState};
pub use recurrence::{Recurrence, RecurrenceError, Span, Zone};
pub use room::{NextRoom, Place, Room, RoomState, Schedule, SessionType, SlotTime};
pub use showcase::Item;
pub use slot::{Occurrence, Slot, SlotContent, SlotState, SlotTimes};
pub use timeline::{Segment, ShownPrice, ThenAndNow};
pub use view::{Eyes, View};
