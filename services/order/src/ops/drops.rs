//! Drops: timed, quantity-limited sales of one allotment through several listings.

use std::collections::HashMap;

use ::store::{Operation, Tx};
use contracts::ErrorReason;
use contracts::id::{AllotmentId, DropId, ListingId, PartnerId};
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};

use crate::model::{DropSale, DropShare};
use crate::store::{drops, listing, supply};

/// A drop with the listings that sell in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropView {
    /// The drop.
    pub drop: DropSale,
    /// Its listings, by id, with what each sold.
    pub shares: Vec<DropShare>,
    /// When it was looked at: its state follows from the clock.
    pub now: Micros,
}

/// Creates a drop.
#[derive(Clone, Debug)]
pub struct CreateDrop {
    /// What it sells.
    pub allotment_id: AllotmentId,
    /// Through which listings; each once.
    pub listing_ids: Vec<ListingId>,
    /// Name for people.
    pub display_name: String,
    /// First moment of sale.
    pub start_time: Micros,
    /// First moment after.
    pub end_time: Micros,
    /// The most units it sells.
    pub total_limit: i64,
    /// The most units one shopper may have of it; 0 for no limit.
    pub per_person_limit: i64,
}

impl Operation for CreateDrop {
    type Output = DropView;

    fn name(&self) -> &'static str {
        "drop.create"
    }

    async fn run(&self, tx: &mut Tx) -> Result<DropView, Fault> {
        let now = tx.now();
        if supply::supply_lock(tx, &self.allotment_id).await?.is_none() {
            return Err(Refusal::not_found("allotment").into());
        }
        if self.end_time <= now {
            return Err(Refusal::new(
                ErrorReason::OutsideWindow,
                "The drop's window is over already; send one that ends in the future.",
            )
            .into());
        }
        self.check_listings(tx).await?;
        let drop = DropSale {
            drop_id: DropId::from_uuid(tx.ids().next()),
            allotment_id: self.allotment_id,
            display_name: self.display_name.clone(),
            start_time: self.start_time,
            end_time: self.end_time,
            total_limit: self.total_limit,
            per_person_limit: self.per_person_limit,
            taken: 0,
            ended_time: None,
            end_reason: String::new(),
            version: 1,
            create_time: now,
        };
        drops::drop_insert(tx, &drop, &self.listing_ids).await?;
        tx.audit(
            self.name(),
            drop.drop_id,
            format!("{} units", self.total_limit),
        );
        view(tx, drop).await
    }
}

impl CreateDrop {
    /// All listings draw from the allotment, and none of them is in two drops at the same time.
    async fn check_listings(&self, tx: &mut Tx) -> Result<(), Fault> {
        let drawn = listing::allotments_of_listings(tx, &self.listing_ids).await?;
        let drawn: HashMap<ListingId, AllotmentId> = drawn.into_iter().collect();
        let stray = self
            .listing_ids
            .iter()
            .find(|id| drawn.get(*id) != Some(&self.allotment_id));
        if let Some(listing_id) = stray {
            return Err(Refusal::new(
                ErrorReason::NoAllotment,
                "A listing does not draw from the drop's allotment; assign it first.",
            )
            .with("listing_id", listing_id)
            .into());
        }
        let overlap =
            drops::drop_overlap(tx, &self.listing_ids, self.start_time, self.end_time).await?;
        match overlap {
            None => Ok(()),
            Some(listing_id) => Err(Refusal::wrong_state(
                "listing",
                "IN_DROP",
                "A listing takes part in another drop in this window; choose another window or end that drop.",
            )
            .with("listing_id", listing_id)
            .into()),
        }
    }
}

/// Ends a drop early.
#[derive(Clone, Debug)]
pub struct EndDrop {
    /// Which.
    pub drop_id: DropId,
    /// Why.
    pub reason: String,
}

impl Operation for EndDrop {
    type Output = DropView;

    fn name(&self) -> &'static str {
        "drop.end"
    }

    async fn run(&self, tx: &mut Tx) -> Result<DropView, Fault> {
        let drop = found(drops::drop_by_id(tx, &self.drop_id).await?)?;
        // Whoever sells holds this row, so nothing more is sold in the drop once this is committed.
        supply::supply_lock(tx, &drop.allotment_id).await?;
        if !drops::drop_end(tx, &drop, &self.reason).await? {
            return Err(Refusal::wrong_state("drop", "ENDED", "The drop is over already.").into());
        }
        tx.audit(self.name(), self.drop_id, self.reason.as_str());
        let drop = found(drops::drop_by_id(tx, &self.drop_id).await?)?;
        view(tx, drop).await
    }
}

/// A drop; for a partner only one that a listing of its own takes part in.
#[derive(Clone, Debug)]
pub struct GetDrop {
    /// Who asks; none for the retailer and the suite.
    pub partner_id: Option<PartnerId>,
    /// Which.
    pub drop_id: DropId,
}

impl Operation for GetDrop {
    type Output = DropView;

    fn name(&self) -> &'static str {
        "drop.get"
    }

    async fn run(&self, tx: &mut Tx) -> Result<DropView, Fault> {
        let drop = found(drops::drop_by_id(tx, &self.drop_id).await?)?;
        let view = view(tx, drop).await?;
        match &self.partner_id {
            Some(partner_id)
                if !view
                    .shares
                    .iter()
                    .any(|share| share.partner_id == *partner_id) =>
            {
                Err(Refusal::not_found("drop").into())
            }
            _ => Ok(view),
        }
    }
}

/// Drops after an id.
#[derive(Clone, Debug)]
pub struct ListDrops {
    /// After which; empty for the first.
    pub after: String,
    /// The most of them.
    pub limit: i64,
}

impl Operation for ListDrops {
    type Output = Vec<DropView>;

    fn name(&self) -> &'static str {
        "drop.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<DropView>, Fault> {
        let now = tx.now();
        let page = drops::drop_page(tx, &self.after, self.limit).await?;
        let ids: Vec<DropId> = page.iter().map(|drop| drop.drop_id).collect();
        let mut shares: HashMap<DropId, Vec<DropShare>> = HashMap::new();
        for (drop_id, share) in drops::drop_shares(tx, &ids).await? {
            shares.entry(drop_id).or_default().push(share);
        }
        let view = |drop: DropSale| DropView {
            shares: shares.remove(&drop.drop_id).unwrap_or_default(),
            drop,
            now,
        };
        Ok(page.into_iter().map(view).collect())
    }
}

fn found(drop: Option<DropSale>) -> Result<DropSale, Refusal> {
    drop.ok_or_else(|| Refusal::not_found("drop"))
}

async fn view(tx: &mut Tx, drop: DropSale) -> Result<DropView, Fault> {
    let now = tx.now();
    let shares = drops::drop_shares(tx, &[drop.drop_id]).await?;
    Ok(DropView {
        shares: shares.into_iter().map(|(_, share)| share).collect(),
        drop,
        now,
    })
}
