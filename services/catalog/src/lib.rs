//! The catalogue: partners and the keys their payment statements are checked with, the outlets where they
//! show rooms, products and variants, and listings, which offer one variant to one partner on agreed terms;
//! and the rules around listings: agreements with brands, regulated categories with licences, legal entities.
//!
//! ```text
//!  partner   ACTIVE ⇄ SUSPENDED      payment key   ACTIVE → REVOKED      token key   ACTIVE → RETIRING → REVOKED
//!
//!  client certificate   ACTIVE → REVOKED      product   DRAFT ⇄ ACTIVE → ARCHIVED
//!
//!  listing   PROPOSED ──approve──▶ APPROVED ──publish──▶ LIVE ⇄ PAUSED
//!               │ reject              │                    │       │
//!               ▼                     └────────┬───────────┴───────┘
//!            REJECTED            (PROPOSED too) ▼ end
//!                                            ENDED
//! ```
//!
//! What always holds, in the model and by a constraint of the tables where a table can say it:
//!
//! 1. A partner's code, a partner's `kid`, a SKU and a product's external key name one thing each.
//! 2. A payment key is one that statements can be checked with. Once revoked it stays so, and its `kid` is
//!    never used again for another key of the partner.
//! 3. Two variants of a product differ in their options; a variant never changes, but for a GTIN or weight that
//!    an import corrects.
//! 4. Whoever proposes a listing never decides on it: neither the same party nor the same caller under both
//!    hats. New terms for a listing that still waits are a proposal of whoever sets them.
//! 5. A listing is APPROVED, LIVE or PAUSED only when the other party has approved it; ENDED and REJECTED are
//!    for good, and a REJECTED one says why.
//! 6. The terms version grows by one with each change of the terms and never otherwise. The currency of a
//!    listing never changes.
//! 7. While a partner is suspended nothing of it is proposed, approved, published or resumed; while a product
//!    is archived nothing of it is proposed, approved or published. Pausing and ending always work, for the retailer:
//!    the partner itself is refused before any of its calls reaches a handler, from the commit of its suspension on.
//! 8. A listing shows its product until it is over; what changes of the product reaches the first listings
//!    together with it, the others soon after, and each listing is published with it, once.
//! 9. A partner sees its own partner, keys, outlets and listings, the products of those listings, and of the
//!    feed the entries that carry its id; entries of products carry none. Everything else is not found.
//! 10. Every change is published and audited in the transaction that makes it.
//! 11. Of listings of one variant for two partners that are APPROVED, LIVE or PAUSED and overlap in territories
//!     and in a time to come, none is exclusive. Whoever agrees on a listing, or moves its window, holds the row
//!     of the variant.
//! 12. Nothing is proposed, approved, published, resumed or moved to another window against the agreement of its
//!     brand, the rule of its category or for want of a licence; what is LIVE against them is PAUSED soon. Whoever
//!     decides holds the one row of the rulebook, whoever changes a rule changes it.
//! 13. Dates do their work after a restart too: each listing has the time of its next look in its row, and a
//!     look publishes only what is new. The purchase mode in force, and who collects, follow from the clock alone.
//! 14. A version of terms, once written, never changes; neither does a legal entity, nor a licence but for being
//!     revoked. A lower commission of an agreed listing waits for its notice.
//! 15. The `kid` of a token key, the fingerprint of a certificate, the name of an issuer and a SPIFFE id lead to one
//!     partner for ever. How a partner is let in is published whole with each change of it, and its revision grows.
//! 16. A row of an imported file is kept whole or refused whole, and only the source that brought a product
//!     changes it. The same file again changes and publishes nothing.

pub mod config;
mod events;
mod import_config;
pub mod model;
mod ops;
mod rpc;
mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::store::feed::{FeedReader, Sweeper};
use ::store::{Db, Migrations};
use kit::clock::SharedClock;
use kit::errors::{BoxError, Fault};
use kit::ids::SharedIds;
use kit::lifecycle::Lifecycle;
use kit::partners::PartnerDirectory;
use kit::parts::Parts;

pub use config::Config;

use crate::rpc::Rpc;

/// The service's name, as the command line says it.
pub const NAME: &str = "catalog";

/// The tables of the service.
pub const fn migrations() -> Migrations {
    store::MIGRATIONS
}

/// What the service needs from the process that runs it.
pub struct Deps {
    /// Its own database, migrated or about to be.
    pub db: Db,
    /// Time for measuring; decisions use the database's.
    pub clock: SharedClock,
    /// Identifiers and randomness.
    pub ids: SharedIds,
    /// The life of the process.
    pub lifecycle: Lifecycle,
    /// What the process knows of the partners; told at once who is suspended.
    pub partners: PartnerDirectory,
}

/// Puts the service together; nothing runs and nothing is waited for.
pub async fn assemble(config: Config, deps: Deps) -> Result<Parts, Fault> {
    let Deps {
        db,
        clock: _,
        ids: _,
        lifecycle,
        partners,
    } = deps;
    let drain = lifecycle.token();
    let rpc = Rpc {
        db: db.clone(),
        feed: FeedReader::new(db.clone(), events::FEED, config.feed.clone()),
        config: Arc::new(config.clone()),
        lifecycle,
        partners,
    };
    let sweeper = Sweeper::new(db.clone(), config.sweep.clone());
    let refresh = ops::refresh::run(db.clone(), config, drain.clone());
    let ping = db.clone();
    let is_migrated = Arc::new(AtomicBool::new(false));
    let parts = Parts::new(NAME, move |routes| rpc.add_to(routes));
    Ok(parts
        .task("catalog.sweep", sweeper.run(drain))
        .task("catalog.refresh", refresh)
        .ready_when("database", move || {
            let db = ping.clone();
            async move { Ok(db.ping().await?) }
        })
        .ready_when("schema", move || schema(db.clone(), is_migrated.clone())))
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
