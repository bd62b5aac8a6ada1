//! What is on air now.

use ::store::{Operation, Tx};
use contracts::id::RoomId;
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};

use crate::model::{Counters, Room, Shopper};
use crate::store::counter::counters_by_rooms;
use crate::store::mirror::places_by_outlets;
use crate::store::occupancy::{OnAirQuery, on_air_followed, on_air_list};
use crate::store::room::rooms_by_ids;

/// A page of the rooms that are on air, the latest first.
pub struct ReadLiveNow {
    /// Which.
    pub query: OnAirQuery,
    /// Only those that this shopper follows.
    pub followed_by: Option<Shopper>,
}

/// A room that is on air.
pub struct LiveRoom {
    /// The room.
    pub room: Room,
    /// What the database knows of its totals.
    pub counters: Counters,
    /// When it went on air.
    pub live: Micros,
}

impl Operation for ReadLiveNow {
    type Output = Vec<LiveRoom>;

    fn name(&self) -> &'static str {
        "room.live_now"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<LiveRoom>, Fault> {
        let query = &self.query;
        if let (Some(outlet), Some(partner)) = (query.outlet, query.partner) {
            // Another's outlet is as unknown as one that nobody has.
            let known = places_by_outlets(tx, &[outlet]).await?;
            let own = known.iter().any(|place| place.partner_id == partner);
            own.then_some(())
                .ok_or_else(|| Refusal::not_found("outlet"))?;
        }
        let found = match &self.followed_by {
            Some(shopper) => {
                on_air_followed(tx, &shopper.partner_id, &shopper.shopper_ref, query).await?
            }
            None => on_air_list(tx, query).await?,
        };
        let ids: Vec<RoomId> = found
            .iter()
            .map(|(_, room)| RoomId::parse(room).map_err(Fault::internal))
            .collect::<Result<_, _>>()?;
        let counters = counters_by_rooms(tx, &ids).await?;
        let rooms = rooms_by_ids(tx, &ids).await?;
        let with = |(room, (live, _)): (Room, (i64, String))| LiveRoom {
            counters: counters.get(&room.id).copied().unwrap_or_default(),
            room,
            live: Micros(live),
        };
        Ok(rooms.into_iter().zip(found).map(with).collect())
    }
}
