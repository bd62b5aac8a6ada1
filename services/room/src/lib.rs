//! Rooms: hosts and their approval, live sessions and their showcase, and the audience that watches, likes and asks;
//! channels that are on air around the clock, their programme, and who follows them.
//!
//! ```text
//!  host   PENDING ──▶ APPROVED ⇄ REJECTED          question   OPEN ──▶ ANSWERED
//!
//!  room   DRAFT ──schedule──▶ SCHEDULED ──go live──▶ LIVE ⇄ PAUSED
//!            │                    │                   │       │
//!            └────────────────────┴───────end─────────┴───────┘──▶ ENDED
//!
//!  slot   ACTIVE ──cancel──▶ CANCELLED            channel   ACTIVE ──archive──▶ ARCHIVED
//!    └─ each time of its rule ──▶ a room, SCHEDULED ──hand over──▶ LIVE (the one before: ENDED, in the same step)
//! ```
//!
//! What always holds, in the model and by a constraint of the tables where a table can say it:
//!
//! 1. A room goes on air only from SCHEDULED, and only when all of its hosts are approved at that moment; taking an
//!    approval back later leaves a room that is on air alone.
//! 2. ENDED is for good. A room that is over changes nothing more; late questions may still be answered.
//! 3. A showcase shows a product once, of a brand that the room's rules allow; at most one item is being explained,
//!    and only while the room is on air.
//! 4. What an item can be bought as is decided for who looks, from where and when: the listings of that outlet's
//!    partner that are LIVE or PAUSED; on sale when LIVE, inside the window, and the partner is not suspended.
//! 5. A partner knows of a room once it was announced and is shown on an outlet of its own, and then of its own
//!    outlets only. Everything else is not found. Nobody learns from a room that another partner is in it.
//! 6. The log of a room has one gap-free sequence per class. LEDGER events are written with what they tell of;
//!    CHAT events only name a question.
//! 7. What a shopper writes stands in the table of questions and nowhere else: not in the log, the feed, the audit
//!    trail or with an idempotency key. While it is OPEN, a question is seen by the retailer, the asker's own partner,
//!    and as a chat event by whoever watches on the asker's outlet; once ANSWERED, by everybody in the room. Who asked
//!    is shown to the retailer and the asker's own partner only.
//! 8. Totals are exact: likes and views are counted in memory, and added to the database once each, about every
//!    second and when the process ends. A crash may lose the last second of them, and nothing else.
//! 9. A watcher is never sent less of LEDGER than happened, and always ends with the last value of everything in STATE;
//!    one that cannot keep up is cut off with a cursor from which both are true again. What was left out of the other
//!    classes is told, in numbers. Views are those of shoppers who begin anew; one that resumes is still watching.
//! 10. Every change is published and audited in the transaction that makes it.
//! 11. What is planned on channels never overlaps on one channel, for one host or at one venue: slots are checked against
//!     each other as far as is looked ahead, rooms when they are made, both under one lock. A room that stands on no
//!     channel is not part of it; what is on air longer or earlier than planned is not either.
//! 12. A time of a slot has at most one room, a channel at most one room on air. A hand-over is one transaction: nobody
//!     reads a channel between two rooms. Whatever happens by itself is derived from rows under the channel's lock, so a
//!     restart loses nothing and a second process does nothing twice.
//! 13. A room without a cart shows products and offers nothing: no offers, no prices in its timeline, no drop.
//! 14. A room's rules hold for what it shows now: when the rules or a product's brand change, what they forbid is taken out.
//!     A room that was on air keeps the rules that it began with.
//! 15. Who follows is known to the shopper's own partner and the retailer's feed; how many follow, to everybody.
//! 16. The timeline has each price as it was shown when a product began to be explained and whenever its listing changed
//!     while it was. That a sale window opened or closed meanwhile is not in it.
//!
//! 17. What shoppers ask, and what they are answered, is sealed with the shopper's key before it is written, and is read by
//!     nobody once that key is destroyed; see [`::store::erasure`].
//!
//! One replica serves all watchers: several would each show what was committed by any of them, but count likes and
//! viewers apart.

pub mod config;
pub mod events;
pub mod live;
pub mod model;
pub mod ops;
pub mod rpc;
pub mod store;
mod tasks;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::store::feed::{FeedReader, Sweeper};
use ::store::{Db, Migrations};
use kit::auth::TokenSigner;
use kit::clock::SharedClock;
use kit::errors::{BoxError, Fault};
use kit::ids::SharedIds;
use kit::lifecycle::Lifecycle;
use kit::parts::Parts;
use kit::wire::Wire;
use tokio::sync::Notify;

pub use config::Config;

use crate::live::{Around, Channels, Rooms};

/// The service's name, as the command line says it.
pub const NAME: &str = "room";

/// The tables of the service.
pub const fn migrations() -> Migrations {
    store::MIGRATIONS
}

/// What the service needs from the process that runs it.
pub struct Deps {
    /// Its own database, with [`migrations`] done.
    pub db: Db,
    /// Time for measuring and for what is shown; decisions use the database's.
    pub clock: SharedClock,
    /// Identifiers and randomness.
    pub ids: SharedIds,
    /// The life of the process.
    pub lifecycle: Lifecycle,
    /// The catalog service, with tokens of this service.
    pub catalog: Wire,
    /// Signs viewers' tokens in the suite's name.
    pub signer: TokenSigner,
}

/// Puts the service together; nothing runs and nothing is waited for.
pub async fn assemble(config: Config, deps: Deps) -> Result<Parts, Fault> {
    let Deps {
        db,
        clock,
        ids,
        lifecycle,
        catalog,
        signer,
    } = deps;
    let drain = lifecycle.token();
    let config = Arc::new(config);
    let around = Around {
        db: db.clone(),
        clock,
        ids,
        drain: drain.clone(),
    };
    let channels = Arc::new(Channels::new(config.clone(), around.clone()));
    let rooms = Arc::new(Rooms::new(config.clone(), around));
    let api = rpc::Api {
        db: db.clone(),
        config: config.clone(),
        rooms: rooms.clone(),
        channels: channels.clone(),
        feed: FeedReader::new(db.clone(), events::FEED, config.feed.clone()),
        signer,
        lifecycle,
    };
    let applied = Arc::new(Notify::new());
    let mirror = events::catalog::follow(
        db.clone(),
        catalog,
        config.clone(),
        applied.clone(),
        drain.clone(),
    );
    let sweeper = Sweeper::new(db.clone(), config.sweep.clone());
    let sweep_logs = tasks::sweep_logs(db.clone(), config.clone(), drain.clone());
    let programme = tasks::programme(db.clone(), config.clone(), drain.clone());
    let director = tasks::director(db.clone(), config, drain.clone());
    let eraser =
        ::store::erasure::Eraser::new(db.clone(), db.keys()?, ops::privacy::QuestionErasure);
    let ping = db.clone();
    let is_migrated = Arc::new(AtomicBool::new(false));
    let parts = Parts::new(NAME, move |routes| api.add_to(routes))
        .task("room.catalog-feed", mirror)
        .task("room.hubs", rooms.clone().run())
        .task("room.tail", rooms.clone().run_tail(applied))
        .task("room.counters", rooms.run_flushes())
        .task("room.channels", channels.run())
        .task("room.programme", programme)
        .task("room.director", director)
        .task("room.privacy", eraser.run(drain.clone()))
        .task("room.sweep", sweeper.run(drain))
        .task("room.sweep-logs", sweep_logs)
        .ready_when("database", move || {
            let db = ping.clone();
            async move { Ok(db.ping().await?) }
        })
        .ready_when("schema", move || schema(db.clone(), is_migrated.clone()));
    Ok(parts)
}

/// Whether the tables are up to date. Once they are they stay so for this process.
async fn schema(db: Db, is_migrated: Arc<AtomicBool>) -> Result<(), BoxError> {
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
