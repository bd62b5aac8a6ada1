//! Entries that were put aside, and trying them again.

use std::sync::Arc;
use std::time::Duration;

use contracts::feed::FeedMessage;
use kit::caller::Caller;
use kit::errors::Fault;

use super::Consume;
use super::work::{act_for, count_parked};
use crate::{Db, Operation, Tx, sql};

/// An entry that is put aside, for people who have to mend what keeps it from being applied.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ParkedEntry {
    /// Its position in the feed.
    pub position: i64,
    /// What it is about.
    pub aggregate_id: String,
    /// What went wrong the last time.
    pub error: String,
    /// How often it was tried; 0 when it only waits behind another.
    pub attempts: i64,
    /// When it was put aside, in microseconds.
    pub first_time: i64,
    /// When it is tried again, in microseconds.
    pub next_time: i64,
}

/// What a consumer has put aside, the oldest first.
pub async fn parked(
    db: &Db,
    caller: &Caller,
    consumer: &'static str,
    limit: u32,
) -> Result<Vec<ParkedEntry>, Fault> {
    db.read(caller, List { consumer, limit }).await
}

/// Makes everything that a consumer has put aside due at once; after mending the cause.
pub async fn retry_now(db: &Db, caller: &Caller, consumer: &'static str) -> Result<u64, Fault> {
    db.execute(caller, RetryNow { consumer }).await
}

struct List {
    consumer: &'static str,
    limit: u32,
}

impl Operation for List {
    type Output = Vec<ParkedEntry>;

    fn name(&self) -> &'static str {
        "consumer.parked"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        Ok(sql!(
            tx,
            all ParkedEntry,
            "SELECT position, aggregate_id, error, attempts, first_time, next_time FROM feed_parked \
             WHERE consumer = $1 ORDER BY position LIMIT $2",
            self.consumer,
            i64::from(self.limit)
        )?)
    }
}

struct RetryNow {
    consumer: &'static str,
}

impl Operation for RetryNow {
    type Output = u64;

    fn name(&self) -> &'static str {
        "consumer.retry_now"
    }

    async fn run(&self, tx: &mut Tx) -> Result<u64, Fault> {
        tx.audit(self.name(), self.consumer, "done");
        Ok(sql!(
            tx,
            execute,
            "UPDATE feed_parked SET next_time = 0 WHERE consumer = $1",
            self.consumer
        )?)
    }
}

/// The first of its aggregate, ready to be tried again.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct DueEntry {
    pub(super) position: i64,
    pub(super) aggregate_id: String,
    pub(super) attempts: i64,
    pub(super) payload: Vec<u8>,
}

/// Which parked entries are to be tried now.
pub(super) struct Due {
    pub(super) consumer: &'static str,
    pub(super) limit: u32,
}

impl Operation for Due {
    type Output = (u64, Vec<DueEntry>);

    fn name(&self) -> &'static str {
        "consumer.due"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        let parked = count_parked(tx, self.consumer).await?;
        if parked == 0 {
            return Ok((0, Vec::new()));
        }
        let now = tx.now();
        let due = sql!(
            tx,
            all DueEntry,
            "SELECT p.position, p.aggregate_id, p.attempts, p.payload FROM feed_parked p \
             WHERE p.consumer = $1 AND p.next_time <= $2 AND (p.aggregate_id = '' OR NOT EXISTS \
             (SELECT 1 FROM feed_parked e WHERE e.consumer = $1 AND e.aggregate_id = p.aggregate_id \
             AND e.position < p.position)) ORDER BY p.next_time, p.position LIMIT $3",
            self.consumer,
            now,
            i64::from(self.limit)
        )?;
        Ok((parked, due))
    }
}

/// Tries one parked entry again; the output is false when another replica was faster.
pub(super) struct Retry<F, H> {
    pub(super) consumer: &'static str,
    pub(super) caller: Arc<Caller>,
    pub(super) handler: Arc<H>,
    pub(super) due: DueEntry,
    pub(super) entry: std::marker::PhantomData<fn() -> F>,
}

impl<F: FeedMessage, H: Consume<F>> Operation for Retry<F, H> {
    type Output = bool;

    fn name(&self) -> &'static str {
        "consumer.retry"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<bool, Fault> {
        // Taking the row away is the fence here. It is still the first of its aggregate, because entries are
        // only ever parked behind those that are.
        let rows = sql!(
            tx,
            execute,
            "DELETE FROM feed_parked WHERE consumer = $1 AND position = $2 AND attempts = $3",
            self.consumer,
            self.due.position,
            self.due.attempts
        )?;
        if rows == 0 {
            return Ok(false);
        }
        let entry = F::decode(self.due.payload.as_slice()).map_err(Fault::internal)?;
        act_for(tx, &self.caller, entry.meta());
        self.handler.apply(tx, &entry).await?;
        Ok(true)
    }
}

/// Puts off a parked entry that failed again.
pub(super) struct Postpone {
    pub(super) consumer: &'static str,
    pub(super) position: i64,
    pub(super) attempts: i64,
    pub(super) error: String,
    pub(super) retry_after: Duration,
}

impl Operation for Postpone {
    type Output = ();

    fn name(&self) -> &'static str {
        "consumer.postpone"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        let next = tx.now().plus(self.retry_after);
        sql!(
            tx,
            execute,
            "UPDATE feed_parked SET attempts = attempts + 1, error = $1, next_time = $2 \
             WHERE consumer = $3 AND position = $4 AND attempts = $5",
            self.error.as_str(),
            next,
            self.consumer,
            self.position,
            self.attempts
        )?;
        Ok(())
    }
}
