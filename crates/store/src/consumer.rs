//! Reads another service's feed; every entry takes effect exactly once.
//!
//! The cursor moves in the same transaction as the effects, and only from where it was thought to be. That
//! is the fence: of two replicas that read the same entries one wins, the other loses the whole unit, reads
//! the cursor again and goes on behind it.
//!
//! ```text
//! entries ──▶ one unit for all ── done ──▶ next
//!                 │ an entry cannot be applied
//!                 ▼
//!             one unit for each ── done ──▶ next
//!                 │ it never will be (refused, constraint, cannot be decoded)
//!                 ▼
//!             parked, tried again later; entries of the same aggregate queue behind it
//! ```
//!
//! What may pass by itself (busy, conflict, lost connection, unknown outcome) stops the cursor with a backoff.
//! An internal fault of no known kind counts as passing a few times, then as one that never will.

mod fault;
mod parked;
mod run;
mod session;
mod source;
mod status;
mod work;

use std::future::Future;
use std::sync::Arc;

use contracts::common::v1::FeedMeta;
use contracts::feed::FeedMessage;
use futures::future::BoxFuture;
use kit::caller::Caller;
use kit::errors::Fault;
use serde::{Deserialize, Serialize};

pub use parked::{ParkedEntry, Standing, consumers, parked, retry_now, skip};
pub use source::{Direct, FeedSource, Pages, Remote};
pub use status::Status;

use crate::{Db, Tx};

/// Limits on consuming a feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsumerConfig {
    /// The most entries in one unit of work, and on a page asked for.
    pub batch_max: u32,
    /// Milliseconds before the first new try after something that may pass.
    pub backoff_ms: u64,
    /// The longest of these pauses in milliseconds; they double up to here.
    pub backoff_max_ms: u64,
    /// How often an internal fault of no known kind is tried again before its entry is parked.
    pub fault_attempts_max: u32,
    /// The most entries parked at a time; beyond it the cursor stands still.
    pub parked_max: u32,
    /// The most parked entries tried again in one turn.
    pub parked_batch_max: u32,
    /// Milliseconds between looks at what is parked.
    pub parked_poll_ms: u64,
    /// Milliseconds before a parked entry's first new try.
    pub parked_backoff_ms: u64,
    /// The longest of these pauses in milliseconds; they double up to here.
    pub parked_backoff_max_ms: u64,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        ConsumerConfig {
            batch_max: 200,
            backoff_ms: 50,
            backoff_max_ms: 5_000,
            fault_attempts_max: 5,
            parked_max: 10_000,
            parked_batch_max: 100,
            parked_poll_ms: 1_000,
            parked_backoff_ms: 1_000,
            parked_backoff_max_ms: 300_000,
        }
    }
}

/// What a service does with an entry of another's feed.
pub trait Consume<F: FeedMessage>: Send + Sync + 'static {
    /// Applies one entry. It may run again, so it must have no effect outside the transaction.
    fn apply(&self, tx: &mut Tx, entry: &F) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Applies a stretch of entries in their order, as if one after the other. Worth writing where many cost less
    /// together, or where their locks must be taken in an order that one entry cannot know; such a handler calls
    /// `acting` with the entry that made it publish or audit something.
    fn apply_all(
        &self,
        tx: &mut Tx,
        entries: &[&F],
        acting: &Acting,
    ) -> impl Future<Output = Result<(), Fault>> + Send {
        async move {
            for entry in entries {
                acting.because_of(tx, entry.meta());
                self.apply(tx, entry).await?;
            }
            Ok(())
        }
    }
}

/// In whose name entries are applied: the consumer's, on behalf of the call that an entry came from.
#[derive(Clone, Debug)]
pub struct Acting {
    caller: Arc<Caller>,
}

impl Acting {
    /// In the name of `caller`.
    pub fn new(caller: Arc<Caller>) -> Self {
        Acting { caller }
    }

    /// What is published and audited from now on is so because of this entry.
    pub fn because_of(&self, tx: &mut Tx, meta: &FeedMeta) {
        work::act_for(tx, &self.caller, meta);
    }
}

/// Rebuilds from the other service's lists what the feed no longer tells. It is given the cursor from which
/// consuming goes on afterwards; what it reads must be read after it was called.
pub type Bootstrap = Arc<dyn Fn(String) -> BoxFuture<'static, Result<(), Fault>> + Send + Sync>;

/// A consumer of one feed. Any number of replicas may run the same one.
pub struct Consumer<F, S, H> {
    db: Db,
    name: &'static str,
    source: S,
    handler: Arc<H>,
    config: ConsumerConfig,
    caller: Arc<Caller>,
    bootstrap: Option<Bootstrap>,
    status: Arc<Status>,
    entry: std::marker::PhantomData<fn() -> F>,
}

impl<F, S, H> Consumer<F, S, H>
where
    F: FeedMessage,
    S: FeedSource<F>,
    H: Consume<F>,
{
    /// A consumer under `name`, which its cursor is kept under for ever.
    pub fn new(db: Db, name: &'static str, source: S, handler: H, config: ConsumerConfig) -> Self {
        let status = Arc::new(Status::new(name, db.clock()));
        Consumer {
            db,
            name,
            source,
            handler: Arc::new(handler),
            config,
            caller: Arc::new(Caller::system(name)),
            bootstrap: None,
            status,
            entry: std::marker::PhantomData,
        }
    }

    /// What to do when the feed no longer keeps what comes next. Without it the consumer stands still then,
    /// because skipping would be worse.
    pub fn on_expired<B, R>(mut self, bootstrap: B) -> Self
    where
        B: Fn(String) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Fault>> + Send + 'static,
    {
        self.bootstrap = Some(Arc::new(move |cursor| Box::pin(bootstrap(cursor))));
        self
    }

    /// How far it has come; to be kept, because running takes the consumer itself.
    pub fn status(&self) -> Arc<Status> {
        self.status.clone()
    }
}
