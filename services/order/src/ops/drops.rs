//! Drops: timed, quantity-limited sales of one allotment through several listings.

use std::collections::HashMap;

use ::store::{Operation, Tx};
use contracts::ErrorReason;
use contracts::id::{AllotmentId, DropId, ListingId, PartnerId};
use contracts::money::{Currency, Price};
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};

use crate::model::{DropSale, DropShare, Quota, Stock};
use crate::store::drops::FoundDrop;
use crate::store::{drops, listing, supply};

/// A drop with the listings that sell in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropView {
    /// The drop.
    pub drop: DropSale,
    /// Its listings, by id, with what each sold.
    pub shares: Vec<DropShare>,
    /// Its quotas, by owner.
    pub quotas: Vec<Quota>,
    /// How many units of its allotment are free.
    pub available: i64,
    /// When it was looked at: its state follows from the clock.
    pub now: Micros,
}

/// Creates a drop.
#[derive(Clone, Debug)]
pub struct CreateDrop {
    /// What it sells.
    pub allotment_id: AllotmentId,
    /// Through which listings, each once, and at which prices where the drop says them.
    pub listings: Vec<(ListingId, Option<Price>)>,
    /// Name for people.
    pub display_name: String,
    /// From when on partners know of it; none for at once.
    pub announce_time: Option<Micros>,
    /// First moment of sale.
    pub start_time: Micros,
    /// First moment after.
    pub end_time: Micros,
    /// The most units it sells.
    pub total_limit: i64,
    /// The most units one person may have of it; 0 for no limit.
    pub per_person_limit: i64,
    /// Taken off the listings' prices, in basis points.
    pub discount_basis_points: i64,
    /// Units set aside, each owner once, together not more than the drop.
    pub quotas: Vec<Quota>,
}

impl Operation for CreateDrop {
    type Output = DropView;

    fn name(&self) -> &'static str {
        "drop.create"
    }

    async fn run(&self, tx: &mut Tx) -> Result<DropView, Fault> {
        let now = tx.now();
        let Some(stock) = supply::supply_lock(tx, &self.allotment_id).await? else {
            return Err(Refusal::not_found("allotment").into());
        };
        if self.end_time <= now {
            return Err(Refusal::new(
                ErrorReason::OutsideWindow,
                "The drop's window is over already; send one that ends in the future.",
            )
            .into());
        }
        self.check_listings(tx).await?;
        self.check_prices(tx).await?;
        self.check_size(&stock)?;
        let drop = DropSale {
            drop_id: DropId::from_uuid(tx.ids().next()),
            allotment_id: self.allotment_id,
            display_name: self.display_name.clone(),
            announce_time: self.announce_time,
            start_time: self.start_time,
            end_time: self.end_time,
            total_limit: self.total_limit,
            per_person_limit: self.per_person_limit,
            discount_basis_points: self.discount_basis_points,
            quota_total: self.quotas.iter().map(|quota| quota.unit_limit).sum(),
            taken: 0,
            ended_time: None,
            end_reason: String::new(),
            version: 1,
            create_time: now,
        };
        drops::drop_insert(tx, &drop, &self.listings, &self.quotas).await?;
        tx.audit(
            self.name(),
            drop.drop_id,
            format!("{} units", self.total_limit),
        );
        view(tx, (drop, stock.available)).await
    }
}

impl CreateDrop {
    fn listing_ids(&self) -> Vec<ListingId> {
        self.listings.iter().map(|(id, _)| *id).collect()
    }

    /// A price is in the currency that its listing is sold in.
    async fn check_prices(&self, tx: &mut Tx) -> Result<(), Fault> {
        let priced = |(id, price): &(ListingId, Option<Price>)| price.is_some().then_some(*id);
        let ids: Vec<ListingId> = self.listings.iter().filter_map(priced).collect();
        let found = listing::listings_by_id(tx, &ids).await?;
        let currencies = found
            .iter()
            .map(|(listing, _)| (listing.listing_id, listing.currency()));
        let currencies: HashMap<ListingId, Currency> = currencies.collect();
        for (listing_id, price) in &self.listings {
            let (Some(price), Some(currency)) = (price, currencies.get(listing_id)) else {
                continue;
            };
            if price.amount().currency != *currency {
                let message =
                    format!("has a price that must be in {currency}, the currency of {listing_id}");
                return Err(Refusal::invalid("drop.prices", message).into());
            }
        }
        Ok(())
    }

    /// The quotas are not more than the drop (the request was checked for that), nor the drop than the allotment.
    fn check_size(&self, stock: &Stock) -> Result<(), Refusal> {
        if self.total_limit <= stock.supplied {
            return Ok(());
        }
        let message = format!(
            "must be at most {}, what the allotment was supplied with; add units to it first",
            stock.supplied
        );
        Err(Refusal::invalid("drop.total_limit", message))
    }

    /// All listings draw from the allotment, and none of them is in two drops at the same time.
    async fn check_listings(&self, tx: &mut Tx) -> Result<(), Fault> {
        let listing_ids = self.listing_ids();
        let drawn = listing::allotments_of_listings(tx, &listing_ids).await?;
        let drawn: HashMap<ListingId, AllotmentId> = drawn.into_iter().collect();
        let stray = listing_ids
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
        let overlap = drops::drop_overlap(tx, &listing_ids, self.start_time, self.end_time).await?;
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
        let (drop, _) = found(drops::drop_by_id(tx, &self.drop_id).await?)?;
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
            Some(partner_id) if !view.is_known_to(partner_id) => {
                Err(Refusal::not_found("drop").into())
            }
            _ => Ok(view),
        }
    }
}

/// Drops after an id; for a partner those that [`GetDrop`] would show it.
#[derive(Clone, Debug)]
pub struct ListDrops {
    /// Who asks; none for the retailer and the suite.
    pub partner_id: Option<PartnerId>,
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
        let page = match &self.partner_id {
            Some(partner_id) => {
                drops::drop_page_of(tx, partner_id, &self.after, self.limit).await?
            }
            None => drops::drop_page(tx, &self.after, self.limit).await?,
        };
        views(tx, page).await
    }
}

impl DropView {
    /// Whether a partner may know of it: it is announced, and a listing of its own takes part.
    fn is_known_to(&self, partner_id: &PartnerId) -> bool {
        let own = |share: &DropShare| share.partner_id == *partner_id;
        self.drop.is_announced(self.now) && self.shares.iter().any(own)
    }
}

fn found(drop: Option<FoundDrop>) -> Result<FoundDrop, Refusal> {
    drop.ok_or_else(|| Refusal::not_found("drop"))
}

async fn view(tx: &mut Tx, drop: FoundDrop) -> Result<DropView, Fault> {
    let mut views = views(tx, vec![drop]).await?;
    let view = views.pop();
    view.ok_or_else(|| Fault::internal("one drop makes one view"))
}

async fn views(tx: &mut Tx, found: Vec<FoundDrop>) -> Result<Vec<DropView>, Fault> {
    let now = tx.now();
    let ids: Vec<DropId> = found.iter().map(|(drop, _)| drop.drop_id).collect();
    let mut shares: HashMap<DropId, Vec<DropShare>> = HashMap::new();
    for (drop_id, share) in drops::drop_shares(tx, &ids).await? {
        shares.entry(drop_id).or_default().push(share);
    }
    let mut quotas: HashMap<DropId, Vec<Quota>> = HashMap::new();
    for (drop_id, quota) in drops::quotas_by_drop(tx, &ids).await? {
        quotas.entry(drop_id).or_default().push(quota);
    }
    let view = |(drop, available): FoundDrop| DropView {
        shares: shares.remove(&drop.drop_id).unwrap_or_default(),
        quotas: quotas.remove(&drop.drop_id).unwrap_or_default(),
        drop,
        available,
        now,
    };
    Ok(found.into_iter().map(view).collect())
}
