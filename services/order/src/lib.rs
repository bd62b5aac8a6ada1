//! Orders: who gets which units, at what price, and what was paid for them, here or in the retailer's shop.
//!
//! The service owns the sellable units (allotments and drops), the handshake with partners (quote, place, hold,
//! confirm, cancel), payments and refunds, and the one table of contact data. Terms and partner keys reach it by
//! the catalogue's feed, progress by fulfilment's; it never asks another service while it decides, but for the
//! cancellation of a paid order, which is fulfilment's to decide.
//!
//! ```text
//! PlaceOrder ──▶ PENDING_PAYMENT ── statement, units held ──▶ CONFIRMED ── return window over ──▶ COMPLETED
//!                  │        │                                    │  ▲
//!     cancelled ───┘        └── hold runs out ──▶ EXPIRED        │  └── late statement, units taken again
//!         │                                          └───────────│──┘
//!         ▼                                                      │
//!     CANCELLED ◀──────────── fulfilment cancelled all of it ────┘
//! ```
//!
//! Money, goods and care have states of their own beside it: see [`model::balance`] for money, [`model::refund_report`]
//! for a refund's own life, [`model::returns`] for goods that come back. An order is completed when its return window
//! is over and no return is under way. Invariants; each is proven by tests, and each that
//! SQL can say is a CHECK, a unique key or a guarded UPDATE as well:
//!
//! 1. Of each allotment `available + held + sold = supplied`, and `supplied` is the sum of its movements. No unit
//!    is sold twice.
//! 2. What counts units (listing caps, drop limits and quotas, limits per shopper and per person) changes only under
//!    the lock of the allotment's row, together with it. A quota is a part of its drop, and a drop of its allotment:
//!    see [`model::drops`].
//! 3. An order holds all of its units or none, at an amount that its shopper was shown.
//! 4. The hold is never shorter than promised.
//! 5. Genuinely signed money is recorded once per payment reference and order, whatever has become of the order;
//!    what does not pay it is to be paid back.
//! 6. An order is paid at most once. A paid order may be cancelled, never lost.
//! 7. Refunds of a payment never exceed it, the shopper's money and the partner's apart; when every unit has
//!    been cancelled, lost or sent back they are exactly what was paid. Executed is final; what failed is issued
//!    again under the same id, and each of the partner's statements counts once.
//! 8. A key has one effect. The same key and content gives the same answer for ever, from what never changes.
//! 9. Line counters only grow: `cancelled + shipped ≤ ordered`, `delivered + undelivered ≤ shipped`,
//!    `returned ≤ delivered`, `refunded ≤ cancelled + undelivered + returned`.
//! 10. Whatever changes is published in the same transaction, but for what promises nothing (quotes, deep links),
//!     what no order ever sees (exchange rates) and who is the same person. Feeds, logs and the audit trail hold no contact data, and every read
//!     of it is in the audit trail.
//! 11. An order line was agreed on while the partner collects: by the purchase mode in force at placement, or by a
//!     quote from before a switch that is still honoured. Where the retailer collects there are deep links instead.
//! 12. A deep link counts only with a token that this service sealed. A purchase of the retailer's shop is reported
//!     once per link and shop order; what goes back of it never exceeds it, line by line and in money, nor the
//!     commission. None of this touches orders, payments or refunds.
//! 13. Rates convert reports and nothing else. They are exact, dated and never edited; what is converted is rounded
//!     once, and its parts sum to it.
//! 14. Every movement of money is an entry of the ledger, written with its step, balanced by construction and never
//!     changed; see [`model::ledger`]. What goes back of a line, for whatever reason, and what a bank takes of it are
//!     never more together than was paid for it, part by part; the same money is never both.
//! 15. What one person of the retailer may decide alone is bounded; above it, who proposes never approves.
//! 16. Contact data is sealed with the shopper's key before it is written, and is read by nobody once that key is
//!     destroyed; see [`::store::erasure`]. Nothing else depends on it.

pub mod config;
pub mod events;
pub mod link;
pub mod model;
pub mod ops;
pub mod person;
pub mod quote;
pub mod rpc;
pub mod statement;
pub mod store;
pub mod tasks;

use std::time::Duration;

use ::store::erasure::Eraser;
use kit::clock::SharedClock;
use kit::errors::Fault;
use kit::ids::SharedIds;
use kit::lifecycle::Lifecycle;
use kit::parts::Parts;
use kit::wire::Wire;

use crate::events::catalog::CatalogMirror;
use crate::events::follow;
use crate::events::fulfillment::FulfillmentProgress;
use crate::link::LinkSealer;
use crate::ops::desk::Desk;
use crate::ops::expiry::Expiry;
use crate::ops::keys::KeyRing;
use crate::ops::privacy::ContactErasure;
use crate::person::PersonHasher;
use crate::quote::QuoteSealer;
use crate::rpc::{Api, Made};

pub use config::Config;

/// The service's name, as the command line says it.
pub const NAME: &str = "order";

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
    /// The catalog service, with tokens of this service.
    pub catalog: Wire,
    /// The fulfillment service, with tokens of this service.
    pub fulfillment: Wire,
}

/// Puts the service together. Nothing is waited for.
pub async fn assemble(config: Config, deps: Deps) -> Result<Parts, Fault> {
    let Deps {
        db,
        clock,
        ids,
        lifecycle,
        catalog,
        fulfillment,
    } = deps;
    let drain = lifecycle.token();
    let sealer = QuoteSealer::new(&config, &*ids).map_err(Fault::internal)?;
    let links = LinkSealer::new(&config).map_err(Fault::internal)?;
    let persons = PersonHasher::new(&config).map_err(Fault::internal)?;
    let desk = Desk::start(&db, &config);
    let keys = KeyRing::new(db.clone(), clock, &config);
    let mirror = CatalogMirror::new(keys.clone(), Duration::from_secs(config.ship_within_s));
    let progress = FulfillmentProgress::new(config.return_window());
    let (consumer, sweep) = (config.consumer.clone(), config.sweep.clone());
    let completion = tasks::Completion::new(db.clone(), &config);
    let backlog = tasks::LedgerBacklog::new(db.clone(), &config);
    let expiry = Expiry::new(db.clone(), desk.clone(), &config);
    let contact_erasure = ContactErasure {
        retention: config.contact_retention(),
    };
    let eraser = Eraser::new(db.clone(), db.keys()?, contact_erasure);
    let made = Made {
        desk,
        ids,
        sealer,
        links,
        persons,
        keys,
        fulfillment: fulfillment.clone(),
        drain: drain.clone(),
    };
    let api = Api::new(db.clone(), config, made);
    let follow_catalog =
        follow::catalog(db.clone(), catalog, mirror, consumer.clone(), drain.clone());
    let follow_fulfillment =
        follow::fulfillment(db.clone(), fulfillment, progress, consumer, drain.clone());
    let sweeper = ::store::feed::Sweeper::new(db.clone(), sweep);
    let parts = Parts::new(NAME, move |routes| api.add_to(routes))
        .task("catalog-feed", follow_catalog)
        .task("fulfillment-feed", follow_fulfillment)
        .task("expire-holds", expiry.run(drain.clone()))
        .task("complete-orders", completion.run(drain.clone()))
        .task("ledger-backlog", backlog.run(drain.clone()))
        .task("erase-personal-data", eraser.run(drain.clone()))
        .task("sweep", sweeper.run(drain))
        .ready_when("database", move || {
            let db = db.clone();
            async move { Ok(db.ping().await?) }
        });
    Ok(parts)
}
