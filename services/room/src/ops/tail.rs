//! What live rooms read: where logs stand, what is new, what was missed.

use ::store::{Operation, Tx};
use contracts::id::RoomId;
use kit::errors::{Fault, Refusal};

use crate::model::{Assortment, ChatEvent, Image, LedgerEvent, Logged};
use crate::store::item::items_of_room;
use crate::store::log::{Heads, Said, Stretch, chat_events, ledger_events, log_heads, logs_heads};
use crate::store::mirror::{Change, assortment, mirror_changes, mirror_head};
use crate::store::question::questions_answered;
use crate::store::room::room_by_id;

/// How much is read of one room.
#[derive(Clone, Copy, Debug)]
pub struct TailLimits {
    /// The most events of each class in one reading.
    pub events_max: i64,
    /// The most listings of one room.
    pub listings_max: i64,
    /// The most answered questions in a snapshot.
    pub answered_max: i64,
}

/// What is new in a room, on one snapshot of the database.
pub struct ReadTail {
    /// The room.
    pub room_id: RoomId,
    /// How far it was read, LEDGER and CHAT; none for a first look.
    pub known: Option<(i64, i64)>,
    /// Whether the room itself is wanted although its log says nothing new.
    pub image: bool,
    /// How much.
    pub limits: TailLimits,
}

/// What is new in a room.
pub struct Tail {
    /// Where its log stands.
    pub heads: Heads,
    /// New LEDGER events.
    pub ledger: Vec<Logged<LedgerEvent>>,
    /// How far LEDGER was read now.
    pub ledger_read: i64,
    /// New CHAT events.
    pub chat: Vec<Said>,
    /// How far CHAT was read now.
    pub chat_read: i64,
    /// The room as it is, when it changed.
    pub image: Option<Image>,
}

impl Operation for ReadTail {
    type Output = Tail;

    fn name(&self) -> &'static str {
        "room.tail"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Tail, Fault> {
        let heads = log_heads(tx, &self.room_id)
            .await?
            .ok_or_else(|| Refusal::not_found("room"))?;
        let (ledger_known, chat_known) = self.known.unwrap_or((heads.ledger, heads.chat));
        let stretch = |after: i64, head: i64| Stretch {
            after,
            until: head.min(after + self.limits.events_max),
        };
        let (news, talk) = (
            stretch(ledger_known, heads.ledger),
            stretch(chat_known, heads.chat),
        );
        let ledger = ledger_events(tx, &self.room_id, news).await?;
        let (chat, _) = chat_events(tx, &self.room_id, talk).await?;
        let answered = chat
            .iter()
            .any(|said| matches!(said.event.0, ChatEvent::Answered(_)));
        let image = if self.image || answered || news.count() > 0 || self.known.is_none() {
            Some(image(tx, &self.room_id, &self.limits).await?)
        } else {
            None
        };
        Ok(Tail {
            heads,
            ledger,
            ledger_read: news.until,
            chat,
            chat_read: talk.until,
            image,
        })
    }
}

async fn image(tx: &mut Tx, id: &RoomId, limits: &TailLimits) -> Result<Image, Fault> {
    let room = room_by_id(tx, id)
        .await?
        .ok_or_else(|| Refusal::not_found("room"))?;
    let assortment = if room.session.has_cart() {
        assortment(tx, id, None, limits.listings_max).await?
    } else {
        // Without a cart nothing is offered.
        Assortment::default()
    };
    Ok(Image {
        room,
        items: items_of_room(tx, id).await?,
        assortment,
        answered: questions_answered(tx, id, limits.answered_max).await?,
    })
}

/// What a watcher missed.
pub struct ReadMissed {
    /// The room.
    pub room_id: RoomId,
    /// Which LEDGER events.
    pub ledger: Stretch,
    /// Which CHAT events.
    pub chat: Stretch,
}

/// What a watcher missed.
pub struct Missed {
    /// LEDGER events.
    pub ledger: Vec<Logged<LedgerEvent>>,
    /// CHAT events.
    pub chat: Vec<Said>,
}

impl Operation for ReadMissed {
    /// None when some of it is no longer kept.
    type Output = Option<Missed>;

    fn name(&self) -> &'static str {
        "room.missed"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Option<Missed>, Fault> {
        let ledger = ledger_events(tx, &self.room_id, self.ledger).await?;
        let (chat, found) = chat_events(tx, &self.room_id, self.chat).await?;
        let whole =
            i64::try_from(ledger.len()) == Ok(self.ledger.count()) && found == self.chat.count();
        Ok(whole.then_some(Missed { ledger, chat }))
    }
}

/// Where the logs of live rooms stand, and what changed in the catalogue.
pub struct ReadHeads {
    /// The live rooms.
    pub rooms: Vec<RoomId>,
    /// The last change of the catalogue that was seen.
    pub mirror_after: i64,
    /// More changes than this count as everything.
    pub changes_max: i64,
}

/// Where the logs of live rooms stand, and what changed in the catalogue.
pub struct LiveHeads {
    /// LEDGER and CHAT of each room.
    pub logs: Vec<(RoomId, i64, i64)>,
    /// The last change of the catalogue.
    pub mirror: i64,
    /// What changed; none when there was too much to tell.
    pub changes: Option<Vec<Change>>,
}

impl Operation for ReadHeads {
    type Output = LiveHeads;

    fn name(&self) -> &'static str {
        "room.heads"
    }

    async fn run(&self, tx: &mut Tx) -> Result<LiveHeads, Fault> {
        let mirror = mirror_head(tx).await?;
        let changes = if mirror == self.mirror_after {
            Some(Vec::new())
        } else if mirror - self.mirror_after > self.changes_max {
            None
        } else {
            Some(mirror_changes(tx, self.mirror_after, self.changes_max).await?)
        };
        Ok(LiveHeads {
            logs: logs_heads(tx, &self.rooms).await?,
            mirror,
            changes,
        })
    }
}
