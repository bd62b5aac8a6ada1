//! Notices what was committed and tells the hubs that are concerned.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use contracts::id::RoomId;
use kit::errors::Fault;
use tokio::sync::Notify;

use super::hub::Hub;
use super::rooms::Rooms;
use crate::ops::tail::ReadHeads;

impl Rooms {
    /// Follows the database until `drain`. It looks when something was committed here, when the catalogue's feed was
    /// applied, and every now and then for what other processes did. While nobody watches, it does not look at all.
    pub async fn run_tail(self: Arc<Self>, applied: Arc<Notify>) {
        let mut commits = self.around.db.commits();
        let drain = self.around.drain.clone();
        let poll = Duration::from_millis(self.config.tail_poll_ms.max(1));
        let gather = Duration::from_millis(self.config.tail_gather_ms);
        let mut mirror = 0;
        while !drain.is_cancelled() {
            tokio::select! {
                biased;
                () = drain.cancelled() => return,
                Ok(()) = commits.changed() => tokio::time::sleep(gather).await,
                () = applied.notified() => {}
                () = tokio::time::sleep(poll) => {}
            }
            commits.borrow_and_update();
            if self.watched() == 0 {
                continue;
            }
            match self.tell(mirror).await {
                Ok(seen) => mirror = seen,
                Err(fault) => {
                    tracing::warn!(error = %fault.chain(), "cannot see what is new in live rooms, trying again");
                    tokio::time::sleep(poll).await;
                }
            }
        }
    }

    /// One look; gives the last change of the catalogue that was seen.
    async fn tell(&self, mirror_after: i64) -> Result<i64, Fault> {
        let rooms: Vec<RoomId> = self.all().iter().map(|hub| hub.room_id()).collect();
        let changes_max = i64::from(self.config.catalog_changes_max);
        let read = ReadHeads {
            rooms,
            mirror_after,
            changes_max,
        };
        let heads = self.around.db.read(self.caller(), read).await?;
        // Those who came since are among them: what they have read may be older than what was seen here.
        let hubs: HashMap<RoomId, Arc<Hub>> = self
            .all()
            .into_iter()
            .map(|hub| (hub.room_id(), hub))
            .collect();
        for (room, ledger, chat) in heads.logs {
            let behind = |hub: &Arc<Hub>| {
                hub.known()
                    .is_some_and(|known| known.0 < ledger || known.1 < chat)
            };
            if let Some(hub) = hubs.get(&room).filter(|hub| behind(hub)) {
                hub.mark_dirty();
            }
        }
        for hub in hubs.values() {
            let touched = heads
                .changes
                .as_ref()
                .is_none_or(|changes| hub.is_touched_by(changes));
            if touched && heads.mirror > mirror_after {
                hub.mark_stale();
            }
        }
        Ok(heads.mirror)
    }
}
