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

/// Where a consumer of this database stands, for people.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Standing {
    /// Its name, such as `catalog-feed`.
    pub consumer: String,
    /// The position of the last entry that it applied; -1 when it started from lists.
    pub position: i64,
    /// When its place last moved, in microseconds.
    pub moved_time: i64,
    /// How many entries it has put aside.
    pub parked: i64,
}

/// Every consumer that has ever run on this database, by name.
pub async fn consumers(db: &Db, caller: &Caller) -> Result<Vec<Standing>, Fault> {
    db.read(caller, Consumers).await
}

/// What a consumer has put aside, the oldest first.
pub async fn parked(
    db: &Db,
    caller: &Caller,
    consumer: &str,
    limit: u32,
) -> Result<Vec<ParkedEntry>, Fault> {
    let consumer = consumer.to_owned();
    db.read(caller, List { consumer, limit }).await
}

/// Makes everything that a consumer has put aside due at once; after mending the cause.
pub async fn retry_now(db: &Db, caller: &Caller, consumer: &str) -> Result<u64, Fault> {
    let consumer = consumer.to_owned();
    db.execute(caller, RetryNow { consumer }).await
}

/// Gives up an entry that was put aside: it will never be applied, and what waited behind it goes on without it.
/// False when there is no such entry. Who asked for it, and why, is in the audit trail.
pub async fn skip(
    db: &Db,
    caller: &Caller,
    consumer: &str,
    position: i64,
    reason: &str,
) -> Result<bool, Fault> {
    let skip = Skip {
        consumer: consumer.to_owned(),
        position,
        reason: reason.to_owned(),
    };
    db.execute(caller, skip).await
}

/// The most consumers that are listed; a service has one or two.
const CONSUMERS_MAX: i64 = 100;

struct Consumers;

impl Operation for Consumers {
    type Output = Vec<Standing>;

    fn name(&self) -> &'static str {
        "consumer.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        Ok(sql!(
            tx,
            all Standing,
            "SELECT c.consumer, c.position, c.moved_time, \
             (SELECT COUNT(*) FROM feed_parked p WHERE p.consumer = c.consumer) AS parked \
             FROM feed_cursor c ORDER BY c.consumer LIMIT $1",
            CONSUMERS_MAX
        )?)
    }
}

struct List {
    consumer: String,
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
            &self.consumer,
            i64::from(self.limit)
        )?)
    }
}

struct RetryNow {
    consumer: String,
}

impl Operation for RetryNow {
    type Output = u64;

    fn name(&self) -> &'static str {
        "consumer.retry_now"
    }

    async fn run(&self, tx: &mut Tx) -> Result<u64, Fault> {
        tx.audit(self.name(), self.consumer.as_str(), "done");
        Ok(sql!(
            tx,
            execute,
            "UPDATE feed_parked SET next_time = 0 WHERE consumer = $1",
            &self.consumer
        )?)
    }
}

struct Skip {
    consumer: String,
    position: i64,
    reason: String,
}

impl Operation for Skip {
    type Output = bool;

    fn name(&self) -> &'static str {
        "consumer.skip"
    }

    async fn run(&self, tx: &mut Tx) -> Result<bool, Fault> {
        let gone = sql!(
            tx,
            optional(String,),
            "DELETE FROM feed_parked WHERE consumer = $1 AND position = $2 RETURNING aggregate_id",
            &self.consumer,
            self.position
        )?;
        let place = format!("{}/{}", self.consumer, self.position);
        let Some((aggregate_id,)) = gone else {
            tx.audit(self.name(), place, "not parked");
            return Ok(false);
        };
        // What waited behind it is due now, not when its own turn would have come.
        sql!(
            tx,
            execute,
            "UPDATE feed_parked SET next_time = 0 WHERE consumer = $1 AND aggregate_id = $2 AND aggregate_id <> ''",
            &self.consumer,
            aggregate_id
        )?;
        tx.audit(self.name(), place, self.reason.as_str());
        Ok(true)
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
