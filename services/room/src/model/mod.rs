//! What the service is about: plain values and pure transitions.

pub mod event;
pub mod host;
pub mod image;
pub mod offer;
pub mod question;
pub mod recurrence;
pub mod room;
pub mod showcase;
pub mod version;
pub mod view;
mod words;

pub use event::{ChatEvent, Class, Counters, LedgerEvent, Logged};
pub use host::{Host, HostState};
pub use image::{Assortment, Image};
pub use offer::{Listing, ListingState, Offer, PurchaseMode};
pub use question::{Question, QuestionState};
pub use recurrence::{Recurrence, RecurrenceError, Span, Zone};
pub use room::{Place, Room, RoomState, Schedule};
pub use showcase::Item;
pub use view::{Eyes, View};
