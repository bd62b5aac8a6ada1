//! One room after the other: hand-over, audience, shopping, and what the audience saw against what was done.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use contracts::room::v1 as room_pb;
use tokio_util::sync::CancellationToken;

use super::audience::{self, Audience};
use super::plan::Kind;
use super::report::{LedgerRow, Report};
use super::screen::Air;
use super::shopper::Placed;
use super::world::ask;
use super::{Players, channel};

/// A room that is on air, or was just now.
struct OnAir {
    n: usize,
    audience: Arc<Audience>,
    viewers: Vec<tokio::task::JoinHandle<anyhow::Result<audience::Seen>>>,
    explained: u64,
}

impl Players {
    /// One room after the other; each begins in the moment in which the one before ends.
    pub(super) async fn play_rooms(&self, report: &mut Report) -> anyhow::Result<Vec<Placed>> {
        let mut placed = Vec::new();
        let mut before: Option<OnAir> = None;
        for n in 0..self.plan.rooms.len() {
            let live = channel::hand_over(&self.world, n).await?;
            if live != self.world.rooms[n].room_id {
                self.surprises
                    .note(format!("the channel went on to {live}, not to slot {n}"));
            }
            if let Some(before) = before.take() {
                report.handovers += 1;
                self.curtain_call(before, live, report).await?;
            }
            let (on_air, bought) = self.play_room(n, report).await?;
            placed.extend(bought);
            before = Some(on_air);
        }
        if let Some(last) = before {
            let request = room_pb::EndRoomRequest {
                request_id: format!("{}-end", self.world.run),
                room_id: self.world.rooms[last.n].room_id.clone(),
                reason: "good night".into(),
                etag: String::new(),
            };
            ask!(
                "a room did not end",
                self.world.host,
                rooms.end_room(request)
            )?;
            self.curtain_call(last, String::new(), report).await?;
        }
        Ok(placed)
    }

    async fn play_room(
        &self,
        n: usize,
        report: &mut Report,
    ) -> anyhow::Result<(OnAir, Vec<Placed>)> {
        let (plan, tally) = (&self.plan.rooms[n], &self.tallies.rooms[n]);
        tally.set_air(Air::On);
        self.tallies.phase(format!(
            "{:02}:00  on air: {} · {} with {}",
            plan.hour, plan.title, plan.theme, plan.host
        ));
        let audience = Arc::new(Audience {
            world: self.world.clone(),
            connections: self.connections.clone(),
            room: n,
            tallies: self.tallies.clone(),
            likes_sent: 0.into(),
            followed: 0.into(),
        });
        let viewers = self.admit(&audience, n);
        let curtain = CancellationToken::new();
        let (presenting, shopping) = tokio::join!(audience.present(plan, curtain.clone()), async {
            let placed = self.shop_in(n, report).await;
            let found = self.found_live(&audience, n).await;
            curtain.cancel();
            found.and(placed)
        });
        let on_air = OnAir {
            n,
            audience,
            viewers,
            explained: presenting?,
        };
        Ok((on_air, shopping?))
    }

    async fn found_live(&self, audience: &Audience, n: usize) -> anyhow::Result<()> {
        // The followers among the viewers have all come when the room has seen as many as there are.
        let wanted = self.plan.scale.viewers_per_outlet * self.world.partners.len();
        for _ in 0..400 {
            let followed = audience.followed.load(Ordering::Relaxed);
            let came = self.tallies.rooms[n].most_viewers.load(Ordering::Relaxed);
            if followed >= self.world.partners.len() && came >= wanted as i64 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        channel::found_live(
            &self.world,
            audience,
            &self.plan.rooms[n],
            n,
            &self.surprises,
        )
        .await
    }

    fn admit(
        &self,
        audience: &Arc<Audience>,
        n: usize,
    ) -> Vec<tokio::task::JoinHandle<anyhow::Result<audience::Seen>>> {
        let plan = &self.plan.rooms[n];
        let mut viewers = Vec::new();
        for partner in 0..self.world.partners.len() {
            for v in 0..self.plan.scale.viewers_per_outlet {
                let question = plan.questions.get(v).copied().filter(|_| partner == v % 2);
                let audience = audience.clone();
                viewers.push(kit::spawn("demo viewer", async move {
                    audience.watch(partner, v, question).await
                }));
            }
        }
        viewers
    }

    /// What the audience saw, against what was done; `next` is where the channel went on.
    async fn curtain_call(
        &self,
        on_air: OnAir,
        next: String,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let OnAir {
            n,
            audience,
            viewers,
            explained,
        } = on_air;
        self.tallies.rooms[n].set_air(Air::Over);
        let plan = &self.plan.rooms[n];
        let watching = viewers.len();
        for viewer in viewers {
            let seen = tokio::time::timeout(Duration::from_secs(20), viewer)
                .await
                .context("a viewer did not hear that the room had ended")?
                .context("a viewer stopped")??;
            let offered = (seen.offers > 0) != (plan.kind == Kind::Course);
            let led_on = seen.next_room_id == next;
            if !seen.ended || !led_on || !offered || (explained > 1 && seen.explained == 0) {
                self.surprises.note(format!(
                    "a viewer of {} missed something: {seen:?}",
                    plan.title
                ));
            }
        }
        let sent = i64::try_from(audience.likes_sent.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        let totals = audience.totals(sent).await?;
        if totals.likes != sent || totals.views < watching as i64 {
            self.surprises.note(format!(
                "{}: {sent} likes and {watching} views, but the totals are {totals:?}",
                plan.title
            ));
        }
        report.timeline_segments +=
            channel::timeline(&self.world, plan, n, explained, &self.surprises).await?;
        report.ledger.push(LedgerRow {
            room: n.to_string(),
            views: totals.views,
            likes: totals.likes,
            questions: totals.questions,
            ..LedgerRow::default()
        });
        Ok(())
    }
}
