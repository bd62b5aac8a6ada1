//! Movements of units, stops of sale and their ends.

use std::collections::hash_map::Entry;

use contracts::id::AllotmentId;
use kit::errors::Refusal;

use crate::model::book::{Book, Happening, NewStop, SaleStop};
use crate::model::command::{Answer, Move, Resume, Stop};
use crate::model::stock::{Allotment, Assignment, Movement, MovementKind, StopKind};

impl Book {
    pub(super) fn move_units(
        &mut self,
        wanted: &Move,
    ) -> Result<(Answer, Option<Happening>), Refusal> {
        if !self.stocks.contains_key(&wanted.allotment_id) {
            return Err(Refusal::not_found("allotment"));
        }
        if wanted.kind == MovementKind::Initial || !wanted.kind.allows(wanted.quantity) {
            let message =
                "must be positive for TOP_UP and RESTOCK, negative for SHRINKAGE and WITHDRAWN";
            return Err(Refusal::invalid("quantity", message));
        }
        let movement = Movement {
            movement_id: wanted.movement_id,
            allotment_id: wanted.allotment_id,
            kind: wanted.kind,
            quantity: wanted.quantity,
            reason: wanted.reason.clone(),
            actor: wanted.actor.clone(),
            create_time: self.now,
        };
        let stock = self.record(&movement)?;
        let allotment = Box::new(Allotment {
            listings: self.listings_of(&wanted.allotment_id),
            stock: stock.clone(),
        });
        let answer = Answer::Moved {
            allotment,
            movement: movement.clone(),
        };
        Ok((answer, Some(Happening::Moved(movement, stock))))
    }

    fn listings_of(&self, allotment_id: &AllotmentId) -> Vec<Assignment> {
        let own = self
            .assignments
            .values()
            .filter(|assignment| assignment.allotment_id == *allotment_id);
        let counted = own.map(|assignment| Assignment {
            taken: self
                .listing_counts
                .get(&assignment.listing_id)
                .map_or(0, |count| count.now),
            ..assignment.clone()
        });
        counted.collect()
    }

    pub(super) fn stop(&mut self, stop: &Stop) -> Result<(Answer, Option<Happening>), Refusal> {
        if !self.stop_targets.contains(&stop.target) {
            return Err(Refusal::not_found(match stop.target.kind() {
                StopKind::Listing => "listing",
                StopKind::Allotment => "allotment",
                StopKind::Product => "product",
            }));
        }
        self.add_stop(stop.stop_id, stop.target.clone());
        self.new_stops.push(NewStop {
            stop_id: stop.stop_id,
            target: stop.target.clone(),
            reason: stop.reason.clone(),
            actor: stop.actor.clone(),
        });
        Ok((
            Answer::Stopped {
                stop_id: stop.stop_id,
            },
            Some(Happening::Stopped(stop.stop_id)),
        ))
    }

    pub(super) fn resume(
        &mut self,
        resume: &Resume,
    ) -> Result<(Answer, Option<Happening>), Refusal> {
        let stop = self
            .stops
            .get_mut(&resume.stop_id)
            .ok_or_else(|| Refusal::not_found("stop"))?;
        let SaleStop { target, ended } = stop;
        if *ended {
            return Err(Refusal::wrong_state(
                "stop",
                "ENDED",
                "The stop is over already.",
            ));
        }
        *ended = true;
        if let Entry::Occupied(mut stops) = self.stopped.entry(target.clone()) {
            stops.get_mut().remove(&resume.stop_id);
            if stops.get().is_empty() {
                stops.remove();
            }
        }
        self.ended_stops
            .push((resume.stop_id, resume.actor.clone()));
        Ok((Answer::Resumed, Some(Happening::Resumed(resume.stop_id))))
    }
}
