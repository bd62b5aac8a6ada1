//! Sellable units: allotments, what listings may take of them, movements. Drops are in [`super::drops`].

use contracts::ErrorReason;
use contracts::id::{AllotmentId, ListingId, MovementId, PartnerId, VariantId};
use kit::clock::Micros;
use kit::errors::Refusal;

use super::words::words;

/// The units of an allotment. `available + held + sold = supplied`, always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stock {
    /// The allotment.
    pub allotment_id: AllotmentId,
    /// The variant it is of.
    pub variant_id: VariantId,
    /// Name for people.
    pub display_name: String,
    /// Sum of the movements.
    pub supplied: i64,
    /// Free to sell.
    pub available: i64,
    /// Set aside for orders not yet paid.
    pub held: i64,
    /// Sold.
    pub sold: i64,
    /// The most units one person may hold and have bought of it; 0 for no limit.
    pub per_person_limit: i64,
    /// Grows with every change but sales.
    pub version: i64,
    /// When it was created.
    pub create_time: Micros,
}

impl Stock {
    /// The etag that callers see.
    pub fn etag(&self) -> String {
        format!("v{}", self.version)
    }

    /// Sets units aside.
    pub fn hold(&mut self, quantity: i64) -> bool {
        let enough = self.available >= quantity;
        if enough {
            self.available -= quantity;
            self.held += quantity;
        }
        enough
    }

    /// Gives units back that were set aside.
    pub fn release(&mut self, quantity: i64) {
        self.held -= quantity;
        self.available += quantity;
    }

    /// Sells units that were set aside.
    pub fn sell_held(&mut self, quantity: i64) {
        self.held -= quantity;
        self.sold += quantity;
    }

    /// Takes back units that were sold and never left: a line cancelled after payment.
    pub fn unsell(&mut self, quantity: i64) {
        self.sold -= quantity;
        self.available += quantity;
    }

    /// Adds or takes out units.
    pub fn move_units(&mut self, quantity: i64) -> Result<(), Refusal> {
        let too_large = || Refusal::invalid("quantity", "makes more units than can be counted");
        let supplied = self.supplied.checked_add(quantity).ok_or_else(too_large)?;
        let available = self.available.checked_add(quantity).ok_or_else(too_large)?;
        if available < 0 {
            return Err(Refusal::new(
                ErrorReason::StockInUse,
                format!(
                    "Only {} units are free and could be taken out; the rest are held or sold.",
                    self.available
                ),
            )
            .with("available", self.available));
        }
        self.supplied = supplied;
        self.available = available;
        self.version += 1;
        Ok(())
    }

    /// Whether every unit is somewhere, once.
    pub fn is_conserved(&self) -> bool {
        let parts = [self.available, self.held, self.sold];
        parts.iter().all(|part| *part >= 0) && parts.iter().sum::<i64>() == self.supplied
    }
}

/// A listing that draws from an allotment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The listing.
    pub listing_id: ListingId,
    /// The allotment; never changes.
    pub allotment_id: AllotmentId,
    /// The listing's partner.
    pub partner_id: PartnerId,
    /// The most units it may hold and have sold; 0 for no cap.
    pub unit_cap: i64,
    /// Units held and sold through it.
    pub taken: i64,
}

impl Assignment {
    /// What is left of its own cap; none when it has no cap.
    pub fn cap_remaining(&self) -> Option<i64> {
        (self.unit_cap > 0).then(|| (self.unit_cap - self.taken).max(0))
    }
}

/// An allotment with the listings that draw from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allotment {
    /// Its units.
    pub stock: Stock,
    /// The listings, by id.
    pub listings: Vec<Assignment>,
}

words! {
    /// Why units came or went.
    MovementKind {
        /// The first ones.
        Initial = "INITIAL",
        /// More of them.
        TopUp = "TOP_UP",
        /// Came back and can be sold again.
        Restock = "RESTOCK",
        /// Lost, broken, miscounted.
        Shrinkage = "SHRINKAGE",
        /// Taken out of this allotment.
        Withdrawn = "WITHDRAWN",
    }
}

impl MovementKind {
    /// Whether a movement of this kind may have this quantity.
    pub fn allows(self, quantity: i64) -> bool {
        match self {
            MovementKind::Initial => quantity >= 0,
            MovementKind::TopUp | MovementKind::Restock => quantity > 0,
            MovementKind::Shrinkage | MovementKind::Withdrawn => quantity < 0,
        }
    }
}

/// One movement of units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// The movement.
    pub movement_id: MovementId,
    /// The allotment.
    pub allotment_id: AllotmentId,
    /// Why.
    pub kind: MovementKind,
    /// Signed count.
    pub quantity: i64,
    /// Reason for people.
    pub reason: String,
    /// Who, the token's subject.
    pub actor: String,
    /// When.
    pub create_time: Micros,
}

words! {
    /// What a stop of sale is for.
    StopKind {
        /// One listing.
        Listing = "LISTING",
        /// Every listing of an allotment.
        Allotment = "ALLOTMENT",
        /// Every listing of a product.
        Product = "PRODUCT",
    }
}
