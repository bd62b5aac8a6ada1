//! Fulfilment: from paid to delivered, and back.
//!
//! A fulfilment follows from every paid order in the order feed. The warehouse works through what is ready,
//! carriers report what becomes of parcels, units may be cancelled until they are shipped; what happens goes
//! into the service's own feed, from which the order service learns it. Delivered goods may come back while their
//! return window lasts; what was received the order service pays back, and tells of it in its feed.
//!
//! ```text
//!                         ┌────────────── all cancelled ─────────────▶ CANCELLED
//!                         │
//! paid ──▶ WAITING ──▶ READY ── some shipped ──▶ IN_PROGRESS ──┐
//!             ▲  blocks  │                                     ├──▶ SHIPPED ── all parcels ended ──▶ FINISHED
//!             └──────────┘────── all that is left shipped ─────┘
//!
//! a parcel:   SHIPPED ──▶ DELIVERED | FAILED (lost, brought back)
//!
//! a return:   REQUESTED ──▶ APPROVED ──▶ RECEIVED ── refund executed ──▶ COMPLETED
//!                 │            │  │         ▲
//!                 │            │  └ time ──▶ EXPIRED (a late parcel is received all the same)
//!                 └────────────┴──▶ CANCELLED; REQUESTED ──▶ REJECTED
//! ```
//!
//! What a shopper is not content with, and what did not arrive, is a matter after the sale: refund, return, exchange or
//! replacement, with review, counter-offer, inspection and settlement. Its machine and invariants are told in
//! [`model::aftersale`]; goods that come back for one are a return with `aftersale_id`, the same machine by another door.
//!
//! Invariants; each is proven by the model's tests and most are CHECKs as well:
//!
//! 1. On each line `cancelled + shipped ≤ ordered` and `delivered + undelivered ≤ shipped`; no counter ever
//!    falls.
//! 2. The state follows from lines and blocks alone: nothing left and nothing shipped is CANCELLED; nothing
//!    left and nothing under way is FINISHED; READY means something left, nothing shipped and no block.
//! 3. A block stands only while something is left to ship. Nothing ships while one stands, and nothing
//!    before `ship_not_before`; time is judged when a parcel is made, not when a sweeper comes by.
//! 4. A parcel ends once: the first event that ends it, by arrival, decides. One event of a carrier is
//!    recorded once.
//! 5. A cancellation is done whole or not at all, and of a cancellation and a parcel that want the same unit
//!    exactly one gets it: everything about a fulfilment and its parcels happens under the lock of the
//!    fulfilment's row.
//! 6. An order arrives once. A cancellation that comes ahead of its order is decided when the order
//!    arrives: both lock the order's row of arrival, so neither can miss the other.
//! 7. On each line `in_returns + returned ≤ delivered`: units of open returns (what is asked for, then what is
//!    approved) and units that came back are never more than were delivered, whoever asks at the same moment.
//!    A unit may be asked for while the window of its delivery lasts; units in returns count as those delivered
//!    first. On each line of a return `received ≤ approved ≤ requested`.
//! 8. A return ends once, is received once, and is COMPLETED only when its refund is EXECUTED; old news of a
//!    refund changes nothing. What the shopper wrote is in no feed, and is forgotten some time after the end.
//! 9. Every open matter has a deadline, which is a row and passes once, and what it does is defined. What matters have
//!    promised of a line is at most what was paid for it; a matter is settled at most once. Who grants an amount above
//!    the limit never agrees to it. Explored exhaustively in `model/aftersale/explore.rs`.
//! 10. Cases of customer care keep the promises of [`model::care`].
//! 11. Whatever changes is published in the same transaction, and a feed replayed from its beginning gives
//!     the tables' counters.
//! 12. What was said in a case or about a return is sealed with the shopper's key before it is written, and is read by
//!     nobody once that key is destroyed; see [`::store::erasure`]. What of it the retailer's people read is audited.

pub mod carrier;
pub mod config;
pub mod events;
pub mod model;
pub mod ops;
pub mod rpc;
pub mod store;
mod tasks;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kit::clock::SharedClock;
use kit::errors::{BoxError, Fault};
use kit::ids::SharedIds;
use kit::lifecycle::Lifecycle;
use kit::parts::Parts;
use kit::wire::Wire;

pub use carrier::{Carrier, Carriers};
pub use config::Config;

/// The service's name, as the command line says it.
pub const NAME: &str = "fulfillment";

/// The tables of this service.
pub const fn migrations() -> ::store::Migrations {
    store::MIGRATIONS
}

/// What the service is given.
pub struct Deps {
    /// Its own database, with [`migrations`] done.
    pub db: ::store::Db,
    /// Time.
    pub clock: SharedClock,
    /// Identifiers and randomness.
    pub ids: SharedIds,
    /// The life of the process.
    pub lifecycle: Lifecycle,
    /// The order service, with tokens of this service.
    pub order: Wire,
}

/// Puts the service together with the built-in carrier.
pub async fn assemble(config: Config, deps: Deps) -> Result<Parts, Fault> {
    assemble_with(config, deps, Carriers::built_in()).await
}

/// Puts the service together with the carriers given.
pub async fn assemble_with(config: Config, deps: Deps, carriers: Carriers) -> Result<Parts, Fault> {
    let Deps {
        db,
        lifecycle,
        order,
        ..
    } = deps;
    let drain = lifecycle.token();
    let api = rpc::Api::new(
        db.clone(),
        config.clone(),
        carriers,
        order.clone(),
        drain.clone(),
    );
    let follow = events::orders::follow(
        db.clone(),
        order,
        config.order_feed.clone(),
        config.aftersale_limits(),
        drain.clone(),
    );
    let time = tasks::Time::new(db.clone(), &config);
    let sweep = ::store::feed::Sweeper::new(db.clone(), config.sweep.clone());
    let erasure = ops::privacy::WordsErasure {
        retention: config.words_retention(),
    };
    let eraser = ::store::erasure::Eraser::new(db.clone(), db.keys()?, erasure);
    let ping = db.clone();
    let is_migrated = Arc::new(AtomicBool::new(false));
    let parts = Parts::new(NAME, move |routes| api.add_to(routes))
        .task("fulfillment.order-feed", follow)
        .task("fulfillment.time", time.run(drain.clone()))
        .task("fulfillment.privacy", eraser.run(drain.clone()))
        .task("fulfillment.sweep", sweep.run(drain))
        .ready_when("database", move || {
            let db = ping.clone();
            async move { Ok(db.ping().await?) }
        })
        .ready_when("schema", move || schema(db.clone(), is_migrated.clone()));
    Ok(parts)
}

/// Whether the tables are up to date. Once they are they stay so for this process.
async fn schema(db: ::store::Db, is_migrated: Arc<AtomicBool>) -> Result<(), BoxError> {
    if is_migrated.load(Ordering::Relaxed) {
        return Ok(());
    }
    let pending = db.pending(&migrations()).await?;
    if pending.is_empty() {
        is_migrated.store(true, Ordering::Relaxed);
        return Ok(());
    }
    Err(format!("migrations are missing: {}", pending.join(", ")).into())
}
