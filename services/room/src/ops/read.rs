//! What callers ask for.

use ::store::{Operation, Tx};
use contracts::id::{HostId, OutletId, QuestionId, RoomId};
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};

use crate::model::{Assortment, Counters, Eyes, Host, Item, Question, Room, RoomState, View};
use crate::store::counter::counters_by_rooms;
use crate::store::host::{host_by_id, hosts_list};
use crate::store::item::items_of_room;
use crate::store::mirror::assortment;
use crate::store::question::{QuestionQuery, question_by_id, questions_list};
use crate::store::room::{RoomQuery, room_by_id, rooms_list};

/// One host.
pub struct ReadHost {
    /// Which.
    pub host_id: HostId,
}

impl Operation for ReadHost {
    type Output = Host;

    fn name(&self) -> &'static str {
        "host.read"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Host, Fault> {
        Ok(host_by_id(tx, &self.host_id)
            .await?
            .ok_or_else(|| Refusal::not_found("host"))?)
    }
}

/// A page of hosts, by creation.
pub struct ReadHosts {
    /// After this one; empty for the beginning.
    pub after: String,
    /// At most so many.
    pub limit: i64,
}

impl Operation for ReadHosts {
    type Output = Vec<Host>;

    fn name(&self) -> &'static str {
        "host.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Host>, Fault> {
        hosts_list(tx, &self.after, self.limit).await
    }
}

/// One room with what the database knows of its totals.
pub struct ReadRoom {
    /// Which.
    pub room_id: RoomId,
    /// Who looks.
    pub eyes: Eyes,
}

impl Operation for ReadRoom {
    type Output = (Room, Counters);

    fn name(&self) -> &'static str {
        "room.read"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(Room, Counters), Fault> {
        let room = visible_room(tx, &self.room_id, &self.eyes).await?;
        let counters = counters_by_rooms(tx, &[room.id])
            .await?
            .remove(&room.id)
            .unwrap_or_default();
        Ok((room, counters))
    }
}

/// A room that the onlooker may know of.
pub async fn visible_room(tx: &mut Tx, room: &RoomId, eyes: &Eyes) -> Result<Room, Fault> {
    let room = room_by_id(tx, room)
        .await?
        .filter(|room| room.is_visible_to(eyes));
    Ok(room.ok_or_else(|| Refusal::not_found("room"))?)
}

/// A page of rooms.
pub struct ReadRooms {
    /// Which.
    pub query: RoomQuery,
}

impl Operation for ReadRooms {
    type Output = Vec<(Room, Counters)>;

    fn name(&self) -> &'static str {
        "room.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<(Room, Counters)>, Fault> {
        let rooms = rooms_list(tx, &self.query).await?;
        let ids: Vec<RoomId> = rooms.iter().map(|room| room.id).collect();
        let counters = counters_by_rooms(tx, &ids).await?;
        let with = |room: Room| {
            let counters = counters.get(&room.id).copied().unwrap_or_default();
            (room, counters)
        };
        Ok(rooms.into_iter().map(with).collect())
    }
}

/// From where a caller looks at a room; refuses when it may not.
pub struct Stand {
    /// The room.
    pub room_id: RoomId,
    /// Who looks.
    pub eyes: Eyes,
    /// At which outlet.
    pub outlet: Outlet,
}

/// Which outlet a caller looks at.
#[derive(Clone, Copy, Debug)]
pub enum Outlet {
    /// This one; it has to be one that the caller may know of.
    Named(OutletId),
    /// The caller's first one in the room; none for the retailer.
    First,
}

impl Stand {
    async fn view(&self, tx: &mut Tx) -> Result<(Room, View), Fault> {
        let room = visible_room(tx, &self.room_id, &self.eyes).await?;
        let place = match (self.outlet, self.eyes) {
            (Outlet::Named(outlet), eyes) => Some(room.place_of(&outlet, &eyes)?),
            (Outlet::First, Eyes::Retailer) => None,
            (Outlet::First, eyes) => room.places_for(&eyes).next(),
        };
        Ok((
            room,
            View {
                eyes: self.eyes,
                place,
            },
        ))
    }
}

impl Operation for Stand {
    type Output = (View, RoomState);

    fn name(&self) -> &'static str {
        "room.stand"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(View, RoomState), Fault> {
        let (room, view) = self.view(tx).await?;
        Ok((view, room.state))
    }
}

/// A room's showcase as it is seen from somewhere.
pub struct ReadItems {
    /// From where.
    pub stand: Stand,
    /// The most listings resolved.
    pub listings_max: i64,
}

/// The items in order, and what they can be bought as.
pub struct Showcase {
    /// From where it is seen.
    pub view: View,
    /// The items in order.
    pub items: Vec<Item>,
    /// What they can be bought as.
    pub assortment: Assortment,
    /// When.
    pub now: Micros,
}

impl Operation for ReadItems {
    type Output = Showcase;

    fn name(&self) -> &'static str {
        "item.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Showcase, Fault> {
        let (room, view) = self.stand.view(tx).await?;
        let items = items_of_room(tx, &room.id).await?;
        let assortment = match view.place {
            // Without a cart nothing is offered.
            Some(place) if room.session.has_cart() => {
                assortment(tx, &room.id, Some(&place.partner_id), self.listings_max).await?
            }
            _ => Assortment::default(),
        };
        Ok(Showcase {
            view,
            items,
            assortment,
            now: tx.now(),
        })
    }
}

/// A page of a room's questions.
pub struct ReadQuestions {
    /// Who looks.
    pub eyes: Eyes,
    /// Which.
    pub query: QuestionQuery,
}

impl Operation for ReadQuestions {
    type Output = Vec<Question>;

    fn name(&self) -> &'static str {
        "question.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Question>, Fault> {
        visible_room(tx, &self.query.room_id, &self.eyes).await?;
        questions_list(tx, &self.query).await
    }
}

/// One question that is known to be there.
pub struct ReadQuestion {
    /// Which.
    pub question_id: QuestionId,
}

impl Operation for ReadQuestion {
    type Output = Question;

    fn name(&self) -> &'static str {
        "question.read"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Question, Fault> {
        Ok(question_by_id(tx, &self.question_id)
            .await?
            .ok_or_else(|| Refusal::not_found("question"))?)
    }
}
