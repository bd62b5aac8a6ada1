//! The units of work of a consumer: the cursor and what moves with it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use contracts::common::v1::FeedMeta;
use contracts::feed::FeedMessage;
use kit::caller::Caller;
use kit::errors::Fault;

use super::{Acting, Consume};
use crate::error::busy;
use crate::{Operation, Tx, bulk, sql};

/// The position of a cursor that came from somewhere else than an entry.
pub(super) const UNKNOWN: i64 = -1;

/// Where a consumer stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct At {
    pub(super) cursor: String,
    pub(super) position: i64,
}

impl At {
    /// After this entry.
    pub(super) fn after(meta: &FeedMeta) -> At {
        At {
            cursor: meta.cursor.clone(),
            position: position_of(meta),
        }
    }
}

/// The entry's position in the view that its reader has.
pub(super) fn position_of(meta: &FeedMeta) -> i64 {
    if meta.position > 0 {
        meta.position
    } else {
        meta.partner_position
    }
}

/// Whether the cursor was where it was thought to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fence {
    /// It was, and has moved.
    Passed {
        /// How many entries are parked now.
        parked: u64,
    },
    /// Another replica moved it: nothing was done.
    Lost,
}

/// Where the consumer stands; none when it has never run.
pub(super) struct Load {
    pub(super) consumer: &'static str,
}

impl Operation for Load {
    type Output = Option<(At, u64)>;

    fn name(&self) -> &'static str {
        "consumer.load"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        let at = sql!(
            tx,
            optional At,
            "SELECT cursor, position FROM feed_cursor WHERE consumer = $1",
            self.consumer
        )?;
        let Some(at) = at else { return Ok(None) };
        Ok(Some((at, count_parked(tx, self.consumer).await?)))
    }
}

/// Puts a consumer that has never run at the beginning.
pub(super) struct Create {
    pub(super) consumer: &'static str,
}

impl Operation for Create {
    type Output = ();

    fn name(&self) -> &'static str {
        "consumer.create"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        let now = tx.now();
        sql!(
            tx,
            execute,
            "INSERT INTO feed_cursor (consumer, cursor, position, moved_time) VALUES ($1, '', 0, $2) \
             ON CONFLICT (consumer) DO NOTHING",
            self.consumer,
            now
        )?;
        Ok(())
    }
}

/// Applies a stretch of entries and moves the cursor behind them.
pub(super) struct Apply<F, H> {
    pub(super) consumer: &'static str,
    pub(super) caller: Arc<Caller>,
    pub(super) handler: Arc<H>,
    pub(super) from: At,
    pub(super) entries: Arc<Vec<F>>,
    pub(super) range: Range<usize>,
    pub(super) parked_max: u32,
}

impl<F: FeedMessage, H: Consume<F>> Operation for Apply<F, H> {
    type Output = Fence;

    fn name(&self) -> &'static str {
        "consumer.apply"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<Fence, Fault> {
        let entries = &self.entries[self.range.clone()];
        let Some(last) = entries.last() else {
            return Ok(Fence::Lost);
        };
        // The fence comes first: it makes another replica wait here, and whatever that one parked before is
        // seen below.
        if !fence(tx, self.consumer, &self.from, &At::after(last.meta())).await? {
            return Ok(Fence::Lost);
        }
        let blocked = blocked_aggregates(tx, self.consumer).await?;
        let (waiting, due): (Vec<&F>, Vec<&F>) = entries
            .iter()
            .partition(|entry| blocked.contains_key(&entry.meta().aggregate_id));
        let acting = Acting::new(self.caller.clone());
        self.handler.apply_all(tx, &due, &acting).await?;
        let before: u64 = blocked.values().sum();
        let parked = before + waiting.len() as u64;
        if waiting.is_empty() {
            return Ok(Fence::Passed { parked });
        }
        check_room(parked, self.parked_max)?;
        park_behind(tx, self.consumer, &waiting).await?;
        Ok(Fence::Passed { parked })
    }
}

/// Puts aside one entry that cannot be applied and moves the cursor behind it.
pub(super) struct Park<F> {
    pub(super) consumer: &'static str,
    pub(super) from: At,
    pub(super) entries: Arc<Vec<F>>,
    pub(super) index: usize,
    pub(super) error: String,
    pub(super) retry_after: Duration,
    pub(super) parked_max: u32,
}

impl<F: FeedMessage> Operation for Park<F> {
    type Output = Fence;

    fn name(&self) -> &'static str {
        "consumer.park"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<Fence, Fault> {
        let entry = &self.entries[self.index];
        let meta = entry.meta();
        if !fence(tx, self.consumer, &self.from, &At::after(meta)).await? {
            return Ok(Fence::Lost);
        }
        let parked = count_parked(tx, self.consumer).await? + 1;
        check_room(parked, self.parked_max)?;
        let now = tx.now();
        sql!(
            tx,
            execute,
            "INSERT INTO feed_parked (consumer, position, aggregate_id, payload, error, attempts, first_time, \
             next_time) VALUES ($1, $2, $3, $4, $5, 1, $6, $7)",
            self.consumer,
            position_of(meta),
            meta.aggregate_id.as_str(),
            entry.encode_to_vec(),
            self.error.as_str(),
            now,
            now.plus(self.retry_after)
        )?;
        Ok(Fence::Passed { parked })
    }
}

/// Moves the cursor to where a bootstrap began. What is parked is part of what was read anew.
pub(super) struct Reset {
    pub(super) consumer: &'static str,
    pub(super) from: At,
    pub(super) to: At,
}

impl Operation for Reset {
    type Output = Fence;

    fn name(&self) -> &'static str {
        "consumer.reset"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Fence, Fault> {
        if !fence(tx, self.consumer, &self.from, &self.to).await? {
            return Ok(Fence::Lost);
        }
        let dropped = sql!(
            tx,
            execute,
            "DELETE FROM feed_parked WHERE consumer = $1",
            self.consumer
        )?;
        tx.audit(
            self.name(),
            self.consumer,
            format!("done, {dropped} parked entries dropped"),
        );
        Ok(Fence::Passed { parked: 0 })
    }
}

async fn fence(tx: &mut Tx, consumer: &str, from: &At, to: &At) -> Result<bool, Fault> {
    let now = tx.now();
    let rows = sql!(
        tx,
        execute,
        "UPDATE feed_cursor SET cursor = $1, position = $2, moved_time = $3 \
         WHERE consumer = $4 AND cursor = $5 AND position = $6",
        to.cursor.as_str(),
        to.position,
        now,
        consumer,
        from.cursor.as_str(),
        from.position
    )?;
    Ok(rows == 1)
}

/// What the handler does is done because of the call that the entry came from.
pub(super) fn act_for(tx: &mut Tx, caller: &Arc<Caller>, meta: &FeedMeta) {
    if tx.caller().traceparent != meta.traceparent {
        let caller = Caller {
            traceparent: meta.traceparent.clone(),
            ..(**caller).clone()
        };
        tx.act_for(Arc::new(caller));
    }
}

/// How many entries of each aggregate are parked. Entries of no aggregate hold nobody up.
async fn blocked_aggregates(tx: &mut Tx, consumer: &str) -> Result<HashMap<String, u64>, Fault> {
    let rows = sql!(
        tx,
        all(String, i64),
        "SELECT aggregate_id, COUNT(*) FROM feed_parked WHERE consumer = $1 AND aggregate_id <> '' \
         GROUP BY aggregate_id",
        consumer
    )?;
    Ok(rows
        .into_iter()
        .map(|(id, count)| (id, count.unsigned_abs()))
        .collect())
}

pub(super) async fn count_parked(tx: &mut Tx, consumer: &str) -> Result<u64, Fault> {
    let (count,) = sql!(
        tx,
        one(i64,),
        "SELECT COUNT(*) FROM feed_parked WHERE consumer = $1",
        consumer
    )?;
    Ok(count.unsigned_abs())
}

fn check_room(parked: u64, parked_max: u32) -> Result<(), Fault> {
    if parked > u64::from(parked_max) {
        return Err(busy(
            "too many feed entries are parked; mend what keeps them from being applied",
        ));
    }
    Ok(())
}

async fn park_behind<F: FeedMessage>(
    tx: &mut Tx,
    consumer: &str,
    entries: &[&F],
) -> Result<(), Fault> {
    let now = tx.now();
    let positions: Vec<i64> = entries
        .iter()
        .map(|entry| position_of(entry.meta()))
        .collect();
    let aggregates: Vec<String> = entries
        .iter()
        .map(|entry| entry.meta().aggregate_id.clone())
        .collect();
    let payloads: Vec<Vec<u8>> = entries.iter().map(|entry| entry.encode_to_vec()).collect();
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO feed_parked (position, aggregate_id, payload, consumer, error, attempts, first_time, \
                   next_time) \
                   SELECT u.*, $4, 'waits behind an earlier entry', 0, $5, 0 \
                   FROM UNNEST($1::BIGINT[], $2::TEXT[], $3::BYTEA[]) AS u",
        sqlite: "INSERT INTO feed_parked (position, aggregate_id, payload, consumer, error, attempts, first_time, \
                 next_time) \
                 SELECT value->>0, value->>1, unhex(value->>2), $2, 'waits behind an earlier entry', 0, $3, 0 \
                 FROM json_each($1)",
        columns: [positions, aggregates, payloads],
        also: [consumer, now]
    )?;
    Ok(())
}
