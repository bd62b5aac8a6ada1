//! Creating allotments and deciding which listings draw from them. Movements go through the desk, because they
//! meet sales on the same row.

use ::store::{Operation, Tx};
use contracts::ErrorReason;
use contracts::id::{AllotmentId, ListingId, MovementId, PartnerId, VariantId};
use kit::errors::{Fault, Refusal};

use crate::events;
use crate::model::{Allotment, Assignment, Movement, MovementKind, Stock};
use crate::store::{mirrors, supply};

/// Creates an allotment with its first movement.
#[derive(Clone, Debug)]
pub struct CreateAllotment {
    /// Of which variant.
    pub variant_id: VariantId,
    /// Name for people.
    pub display_name: String,
    /// Units to begin with, not negative.
    pub initial_quantity: i64,
    /// The most units one person may have of it; 0 for no limit.
    pub per_person_limit: i64,
}

impl Operation for CreateAllotment {
    type Output = Allotment;

    fn name(&self) -> &'static str {
        "allotment.create"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Allotment, Fault> {
        if !supply::variant_is_known(tx, &self.variant_id).await? {
            return Err(Refusal::not_found("variant").into());
        }
        let now = tx.now();
        let stock = Stock {
            allotment_id: AllotmentId::from_uuid(tx.ids().next()),
            variant_id: self.variant_id,
            display_name: self.display_name.clone(),
            supplied: self.initial_quantity,
            available: self.initial_quantity,
            held: 0,
            sold: 0,
            per_person_limit: self.per_person_limit,
            version: 1,
            create_time: now,
        };
        let movement = Movement {
            movement_id: MovementId::from_uuid(tx.ids().next()),
            allotment_id: stock.allotment_id,
            kind: MovementKind::Initial,
            quantity: self.initial_quantity,
            reason: String::new(),
            actor: tx.caller().subject.clone(),
            create_time: now,
        };
        supply::supply_insert(tx, &stock).await?;
        supply::movement_insert(tx, &movement).await?;
        tx.publish(events::stock_changed(&stock));
        tx.audit(
            self.name(),
            stock.allotment_id,
            format!("{} units", self.initial_quantity),
        );
        Ok(Allotment {
            stock,
            listings: Vec::new(),
        })
    }
}

/// Lets a listing draw from an allotment, or changes its cap.
#[derive(Clone, Debug)]
pub struct AssignListing {
    /// The allotment.
    pub allotment_id: AllotmentId,
    /// The listing.
    pub listing_id: ListingId,
    /// The most units it may hold and have sold; 0 for no cap.
    pub unit_cap: i64,
}

impl Operation for AssignListing {
    type Output = Allotment;

    fn name(&self) -> &'static str {
        "allotment.assign_listing"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Allotment, Fault> {
        let Some(mut stock) = supply::supply_lock(tx, &self.allotment_id).await? else {
            return Err(Refusal::not_found("allotment").into());
        };
        let Some(listing) = mirrors::listing_brief(tx, &self.listing_id).await? else {
            return Err(Refusal::not_found("listing").into());
        };
        if listing.variant_id != stock.variant_id {
            return Err(Refusal::invalid(
                "listing_id",
                "sells another variant than the allotment holds.",
            )
            .into());
        }
        if let Some(assigned) = supply::assignment_by_listing(tx, &self.listing_id).await? {
            self.check_change(&assigned)?;
        }
        let put = supply::assignment_put(
            tx,
            &self.listing_id,
            &self.allotment_id,
            &listing.partner_id,
            self.unit_cap,
        );
        if !put.await? {
            return Err(draws_elsewhere().into());
        }
        stock.version += 1;
        supply::supply_update(tx, &stock).await?;
        tx.publish(events::stock_changed(&stock));
        tx.audit(
            self.name(),
            self.allotment_id,
            format!("{} with cap {}", self.listing_id, self.unit_cap),
        );
        supply::supply_with_listings(tx, stock).await
    }
}

impl AssignListing {
    fn check_change(&self, assigned: &Assignment) -> Result<(), Refusal> {
        if assigned.allotment_id != self.allotment_id {
            return Err(draws_elsewhere());
        }
        if self.unit_cap > 0 && assigned.taken > self.unit_cap {
            return Err(Refusal::new(
                ErrorReason::StockInUse,
                format!(
                    "The listing holds and has sold {} units already; the cap cannot be lower.",
                    assigned.taken
                ),
            )
            .with("taken", assigned.taken));
        }
        Ok(())
    }
}

fn draws_elsewhere() -> Refusal {
    Refusal::wrong_state(
        "listing",
        "ASSIGNED",
        "The listing draws from another allotment already, and a listing draws from exactly one.",
    )
}

/// Sets the most units that one person may have of an allotment.
#[derive(Clone, Debug)]
pub struct SetPersonLimit {
    /// Which.
    pub allotment_id: AllotmentId,
    /// 0 for no limit.
    pub per_person_limit: i64,
    /// The etag that was read; empty for any.
    pub etag: String,
}

impl Operation for SetPersonLimit {
    type Output = Allotment;

    fn name(&self) -> &'static str {
        "allotment.set_person_limit"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Allotment, Fault> {
        let Some(mut stock) = supply::supply_lock(tx, &self.allotment_id).await? else {
            return Err(Refusal::not_found("allotment").into());
        };
        if !self.etag.is_empty() && self.etag != stock.etag() {
            return Err(Refusal::new(
                ErrorReason::EtagMismatch,
                "The allotment has changed since it was read; read it again.",
            )
            .into());
        }
        stock.per_person_limit = self.per_person_limit;
        stock.version += 1;
        supply::supply_update(tx, &stock).await?;
        tx.publish(events::stock_changed(&stock));
        let limit = format!("{} units", self.per_person_limit);
        tx.audit(self.name(), self.allotment_id, limit);
        supply::supply_with_listings(tx, stock).await
    }
}

/// An allotment with its listings.
#[derive(Clone, Debug)]
pub struct GetAllotment {
    /// Which.
    pub allotment_id: AllotmentId,
}

impl Operation for GetAllotment {
    type Output = Allotment;

    fn name(&self) -> &'static str {
        "allotment.get"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Allotment, Fault> {
        match supply::supply_by_id(tx, &self.allotment_id).await? {
            Some(stock) => supply::supply_with_listings(tx, stock).await,
            None => Err(Refusal::not_found("allotment").into()),
        }
    }
}

/// Allotments after an id.
#[derive(Clone, Debug)]
pub struct ListAllotments {
    /// After which; empty for the first.
    pub after: String,
    /// The most of them.
    pub limit: i64,
}

impl Operation for ListAllotments {
    type Output = Vec<Allotment>;

    fn name(&self) -> &'static str {
        "allotment.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Allotment>, Fault> {
        supply::supply_page(tx, &self.after, self.limit).await
    }
}

/// Movements of an allotment after an id.
#[derive(Clone, Debug)]
pub struct ListMovements {
    /// Of which allotment.
    pub allotment_id: AllotmentId,
    /// After which; empty for the first.
    pub after: String,
    /// The most of them.
    pub limit: i64,
}

impl Operation for ListMovements {
    type Output = Vec<Movement>;

    fn name(&self) -> &'static str {
        "allotment.list_movements"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Movement>, Fault> {
        if supply::supply_by_id(tx, &self.allotment_id)
            .await?
            .is_none()
        {
            return Err(Refusal::not_found("allotment").into());
        }
        supply::movement_page(tx, &self.allotment_id, &self.after, self.limit).await
    }
}

/// How much is left of what a listing draws from, without numbers of a shared pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Availability {
    /// None, little or more.
    pub band: Band,
    /// What is left of the listing's own cap; none when it has no cap.
    pub cap_remaining: Option<i64>,
}

/// How much is left of a shared pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Band {
    /// None.
    SoldOut,
    /// Less than a tenth of what was supplied.
    Low,
    /// More.
    Available,
}

impl Availability {
    fn of(stock: &Stock, assigned: &Assignment) -> Self {
        let cap_remaining = assigned.cap_remaining();
        let band = if stock.available == 0 || cap_remaining == Some(0) {
            Band::SoldOut
        } else if i128::from(stock.available) * 10 < i128::from(stock.supplied) {
            Band::Low
        } else {
            Band::Available
        };
        Availability {
            band,
            cap_remaining,
        }
    }
}

/// What a partner may know of a listing's units.
#[derive(Clone, Debug)]
pub struct GetAvailability {
    /// Who asks; none for the suite itself.
    pub partner_id: Option<PartnerId>,
    /// Of which listing.
    pub listing_id: ListingId,
}

impl Operation for GetAvailability {
    type Output = Availability;

    fn name(&self) -> &'static str {
        "allotment.get_availability"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Availability, Fault> {
        let listing = mirrors::listing_brief(tx, &self.listing_id).await?;
        let own = |owner: &PartnerId| self.partner_id.is_none_or(|caller| caller == *owner);
        if !listing.is_some_and(|listing| own(&listing.partner_id)) {
            return Err(Refusal::not_found("listing").into());
        }
        let Some(assigned) = supply::assignment_by_listing(tx, &self.listing_id).await? else {
            return Err(Refusal::new(
                ErrorReason::NoAllotment,
                "The listing draws from no allotment yet; ask the retailer for units.",
            )
            .with("listing_id", self.listing_id)
            .into());
        };
        match supply::supply_by_id(tx, &assigned.allotment_id).await? {
            Some(stock) => Ok(Availability::of(&stock, &assigned)),
            None => Err(Fault::internal(
                "a listing draws from an allotment that is not there",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use kit::clock::Micros;

    use super::*;

    #[test]
    fn bands_follow_the_pool_and_the_cap() {
        let availability = |supplied, available, unit_cap, taken| {
            let stock = Stock {
                allotment_id: AllotmentId::from_uuid(1),
                variant_id: VariantId::from_uuid(1),
                display_name: String::new(),
                supplied,
                available,
                held: 0,
                sold: supplied - available,
                per_person_limit: 0,
                version: 1,
                create_time: Micros(0),
            };
            let assigned = Assignment {
                listing_id: ListingId::from_uuid(1),
                allotment_id: AllotmentId::from_uuid(1),
                partner_id: PartnerId::from_uuid(1),
                unit_cap,
                taken,
            };
            let Availability {
                band,
                cap_remaining,
            } = Availability::of(&stock, &assigned);
            (band, cap_remaining)
        };
        assert_eq!(availability(100, 10, 0, 50), (Band::Available, None));
        assert_eq!(availability(100, 9, 0, 50), (Band::Low, None));
        assert_eq!(availability(100, 0, 60, 50), (Band::SoldOut, Some(10)));
        assert_eq!(availability(100, 90, 10, 10), (Band::SoldOut, Some(0)));
        assert_eq!(availability(100, 5, 60, 20), (Band::Low, Some(40)));
        assert_eq!(availability(0, 0, 0, 0), (Band::SoldOut, None));
        assert_eq!(
            availability(i64::MAX, i64::MAX, 0, 0),
            (Band::Available, None)
        );
    }
}
