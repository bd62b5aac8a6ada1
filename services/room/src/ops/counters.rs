//! Writing down what was counted in memory.

use ::store::{Operation, Tx};
use contracts::id::RoomId;
use kit::errors::{Fault, Refusal};

use crate::model::{Counters, Place, RoomState};
use crate::store::counter::{Delta, counter_writer_next, counters_add, counters_by_rooms};
use crate::store::room::{room_is_shown_at, room_state};

/// Adds what one process has counted. Run again, it adds nothing twice.
pub struct FlushCounters {
    /// The process.
    pub writer: String,
    /// Its flushes, counted from 1.
    pub sequence: i64,
    /// What to add; each room once.
    pub deltas: Vec<Delta>,
}

impl Operation for FlushCounters {
    type Output = ();

    fn name(&self) -> &'static str {
        "counters.flush"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        if counter_writer_next(tx, &self.writer, self.sequence).await? {
            counters_add(tx, &self.deltas).await?;
        }
        Ok(())
    }
}

/// A room's totals in the database.
pub struct ReadTotals {
    /// The room.
    pub room_id: RoomId,
}

impl Operation for ReadTotals {
    type Output = Counters;

    fn name(&self) -> &'static str {
        "room.totals"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Counters, Fault> {
        let found = counters_by_rooms(tx, &[self.room_id])
            .await?
            .remove(&self.room_id);
        Ok(found.ok_or_else(|| Refusal::not_found("room"))?)
    }
}

/// Where a room is in its life, for somebody who watches it at a place.
pub struct ReadAudience {
    /// The room.
    pub room_id: RoomId,
    /// Where it is watched.
    pub place: Place,
}

impl Operation for ReadAudience {
    type Output = RoomState;

    fn name(&self) -> &'static str {
        "room.audience"
    }

    async fn run(&self, tx: &mut Tx) -> Result<RoomState, Fault> {
        let not_found = || Refusal::not_found("room");
        let state = room_state(tx, &self.room_id).await?.ok_or_else(not_found)?;
        if !room_is_shown_at(tx, &self.room_id, &self.place).await? {
            return Err(not_found().into());
        }
        Ok(state)
    }
}
