//! Rooms that somebody watches.
//!
//! ```text
//!   commit ──▶ tail ──▶ hub of the room ──▶ group per view ──▶ seat per watcher ──▶ frames
//!              (which      (reads what        (encoded once,      (a place in each
//!              rooms are    is new, knows      a window per        class's window)
//!              behind?)     the room)          class)
//! ```
//!
//! The truth is in the database; everything here is a copy that can be thrown away. A hub is made by the first who
//! watches a room and gone with the last. Nothing is handed from a call to a hub: the tail notices what was committed,
//! whoever committed it and whether or not the caller is still there.
//!
//! Watchers have no queues of their own. A group keeps one bounded window per delivery class, and each watcher has a
//! place in every window, so a slow one costs as little as a fast one, and chat never takes the room of a price:
//!
//! * LEDGER: who falls out of the window is cut off, and finds in the log what it missed.
//! * STATE: the latest value of each key stays; values in between are skipped.
//! * COUNTER: only the latest totals are there.
//! * CHAT: above a rate only some are kept, and the oldest fall out; one's own are always kept.
//! * EPHEMERAL: a handful.

mod batch;
mod channels;
pub mod cursor;
mod group;
mod hub;
mod meter;
mod recent;
mod rooms;
mod tail;
mod tally;
mod watcher;
mod window;

pub use channels::{ChannelWatch, Channels};
pub use hub::Limits;
pub use recent::Recent;
pub use rooms::{Around, Rooms};
pub use tally::{Flight, Tally};
pub use watcher::{Watcher, Who};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The data behind these locks is whole between any two statements, so a panic elsewhere spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
