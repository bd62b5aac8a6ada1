//! Matters after the sale: opened, moved on, read.
//!
//! Everything about a matter happens under the lock of its fulfilment, whose lines hold the counters of units that are
//! set aside and whose order's money the promises are taken from: of two matters that want the same unit or the same
//! cent exactly one gets it.

use contracts::id::{AftersaleId, FulfillmentId, OrderId, PartnerId, ReturnId};
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use crate::events;
use crate::model::aftersale::{
    Aftersale, AftersaleAsk, AftersaleLimits, AftersaleReason, CounterOffer, Desk, Grant,
    Inspected, LineChoices, Party, Purse, Reshipment, Step, Who, choices,
};
use crate::model::returns::{GoodsReturn, Instructions};
use crate::model::shipment::EventLimits;
use crate::model::{Fulfillment, Shipment};
use crate::store::aftersale::{aftersale_insert, aftersale_owner, aftersale_read, aftersale_save};
use crate::store::aftersale_list::{AftersaleQuery, aftersales_count, aftersales_list};
use crate::store::aftersale_parts::{Evidence, evidence_insert, evidence_read, steps_read};
use crate::store::fulfillment::{
    fulfillment_lines_save, fulfillment_lock, fulfillment_of_order, fulfillments_save,
};
use crate::store::line_money::{line_money_read, line_money_save};
use crate::store::list::{FulfillmentKey, fulfillment_get};
use crate::store::return_list::deliveries_since;

/// Opens a matter.
pub struct RequestAftersale {
    /// Which order.
    pub order_id: OrderId,
    /// Whose it has to be.
    pub partner: Option<PartnerId>,
    /// Who asks.
    pub who: Who,
    /// What is asked for.
    pub ask: AftersaleAsk,
    /// What proves it.
    pub evidence: Vec<Evidence>,
    /// Times and limits.
    pub limits: AftersaleLimits,
}

impl Operation for RequestAftersale {
    type Output = Aftersale;

    fn name(&self) -> &'static str {
        "aftersale.request"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Aftersale, Fault> {
        let mut goods = self.goods(tx).await?;
        let limits = &self.limits;
        if aftersales_count(tx, &self.order_id, limits.per_order_max).await? >= limits.per_order_max
        {
            let message = format!(
                "This order has had {} matters, the most that are kept; ask the retailer's care.",
                limits.per_order_max
            );
            return Err(Refusal::wrong_state("order", "MOST_MATTERS", message).into());
        }
        let window = limits.claim_window.max(limits.return_window);
        let since = tx.now().minus(window);
        let deliveries = deliveries_since(tx, &self.order_id, since, limits.deliveries_max).await?;
        let mut purse = line_money_read(tx, &goods.id).await?;
        let id = AftersaleId::from_uuid(tx.ids().next());
        let mut desk = desk(tx, &mut goods, &mut purse, limits, &self.who);
        let mut matter = Aftersale::open(&mut desk, id, &self.ask, &deliveries)?;
        fulfillment_lines_save(tx, std::slice::from_ref(&goods)).await?;
        line_money_save(tx, &goods.id, &purse).await?;
        aftersale_insert(tx, &mut matter).await?;
        evidence_insert(tx, &matter.id, 0, self.who.party, &self.evidence).await?;
        tx.publish(events::aftersale_changed(&matter));
        tx.audit(self.name(), matter.id, matter.state.word());
        Ok(matter)
    }
}

impl RequestAftersale {
    async fn goods(&self, tx: &mut Tx) -> Result<Fulfillment, Fault> {
        let found = match fulfillment_of_order(tx, &self.order_id).await? {
            Some(id) => fulfillment_lock(tx, &id).await?,
            None => None,
        };
        let is_own = |goods: &Fulfillment| {
            self.partner
                .is_none_or(|partner| partner == goods.partner_id)
        };
        Ok(found
            .filter(is_own)
            .ok_or_else(|| Refusal::not_found("order"))?)
    }
}

/// What a step is done on.
pub(super) fn desk<'a>(
    tx: &mut Tx,
    goods: &'a mut Fulfillment,
    purse: &'a mut Purse,
    limits: &'a AftersaleLimits,
    who: &Who,
) -> Desk<'a> {
    Desk {
        goods,
        purse,
        limits,
        who: who.clone(),
        return_id: ReturnId::from_uuid(tx.ids().next()),
        now: tx.now(),
    }
}

/// A parcel ended undelivered. Its fulfilment is locked and is as it was left.
pub(super) async fn open_for_parcel(
    tx: &mut Tx,
    goods: &Fulfillment,
    shipment: &Shipment,
    reason: AftersaleReason,
    limits: EventLimits,
) -> Result<(), Fault> {
    let id = AftersaleId::from_uuid(tx.ids().next());
    let mut matter = Aftersale::of_parcel(id, goods, shipment, reason, limits, tx.now());
    aftersale_insert(tx, &mut matter).await?;
    tx.publish(events::aftersale_changed(&matter));
    tx.audit("aftersale.of_parcel", matter.id, matter.state.word());
    Ok(())
}

/// A matter that is locked, with what its steps change.
pub(super) struct Locked {
    pub goods: Fulfillment,
    pub purse: Purse,
    pub matter: Aftersale,
    before: (Fulfillment, Purse, Option<GoodsReturn>),
}

impl Locked {
    pub(super) fn new(goods: Fulfillment, purse: Purse, matter: Aftersale) -> Self {
        let before = (goods.clone(), purse.clone(), matter.leg.clone());
        Locked {
            goods,
            purse,
            matter,
            before,
        }
    }

    pub(super) async fn lock(
        tx: &mut Tx,
        owner: &FulfillmentId,
        id: &AftersaleId,
    ) -> Result<Self, Fault> {
        let goods = fulfillment_lock(tx, owner).await?;
        let goods = goods.ok_or_else(|| Fault::internal("a matter without its fulfillment"))?;
        let matter = aftersale_read(tx, id).await?;
        let matter = matter.ok_or_else(|| Fault::internal("a matter is gone"))?;
        let purse = line_money_read(tx, owner).await?;
        Ok(Locked::new(goods, purse, matter))
    }

    /// Writes and tells what has changed: the goods first, then what follows from it.
    pub(super) async fn save(
        mut self,
        tx: &mut Tx,
        step: &'static str,
    ) -> Result<Aftersale, Fault> {
        let (goods_before, purse_before, leg_before) = &self.before;
        let returned =
            |goods: &Fulfillment| -> i64 { goods.lines.iter().map(|line| line.returned).sum() };
        let came_back = returned(&self.goods) != returned(goods_before);
        if came_back {
            fulfillments_save(tx, std::slice::from_mut(&mut self.goods)).await?;
        } else if self.goods != *goods_before {
            fulfillment_lines_save(tx, std::slice::from_ref(&self.goods)).await?;
        }
        if self.purse != *purse_before {
            line_money_save(tx, &self.goods.id, &self.purse).await?;
        }
        aftersale_save(tx, &mut self.matter, leg_before.as_ref()).await?;
        if let Some(leg) = &self.matter.leg
            && leg_before.as_ref() != Some(leg)
        {
            tx.publish(events::return_changed(leg));
            tx.audit("return.of_matter", leg.id, leg.state.word());
        }
        if came_back {
            tx.publish(events::fulfillment_changed(&self.goods));
        }
        if let Some(settlement) = &self.matter.news.settlement {
            tx.publish(events::aftersale_settled(&self.matter, settlement));
        }
        tx.publish(events::aftersale_changed(&self.matter));
        tx.audit(step, self.matter.id, self.matter.state.word());
        Ok(self.matter)
    }
}

/// What is done to a matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// The retailer grants it; the time of the instructions is that of the second.
    Grant(Grant, Option<Micros>),
    /// The retailer refuses it, and why.
    Reject(String),
    /// The retailer offers something else.
    Offer(CounterOffer, Option<Micros>),
    /// Finance agrees or not, and why not.
    Approve(bool, String),
    /// The shopper accepts the offer of that number or declines it.
    Answer(bool, i64),
    /// The parcel came.
    Received,
    /// What the goods are, and what the inspector says.
    Inspect(Vec<Inspected>, String),
    /// Others went out; the time is that of the unit of work.
    Reship(Reshipment),
    /// The shopper does not pursue it.
    Withdraw,
    /// Evidence.
    Evidence(Vec<Evidence>),
}

/// Does something to a matter.
pub struct ActOnAftersale {
    /// Which.
    pub aftersale_id: AftersaleId,
    /// Whose it has to be.
    pub partner: Option<PartnerId>,
    /// The etag that the caller has read, if that matters to them.
    pub etag: Option<String>,
    /// Who does it.
    pub who: Who,
    /// What.
    pub act: Act,
    /// Times and limits.
    pub limits: AftersaleLimits,
}

impl Operation for ActOnAftersale {
    type Output = Aftersale;

    fn name(&self) -> &'static str {
        match self.act {
            Act::Grant(..) => "aftersale.grant",
            Act::Reject(_) => "aftersale.reject",
            Act::Offer(..) => "aftersale.offer",
            Act::Approve(..) => "aftersale.approve",
            Act::Answer(..) => "aftersale.answer",
            Act::Received => "aftersale.receive",
            Act::Inspect(..) => "aftersale.inspect",
            Act::Reship(_) => "aftersale.reship",
            Act::Withdraw => "aftersale.withdraw",
            Act::Evidence(_) => "aftersale.evidence",
        }
    }

    async fn run(&self, tx: &mut Tx) -> Result<Aftersale, Fault> {
        let owner = aftersale_owner(tx, &self.aftersale_id, self.partner.as_ref()).await?;
        let owner = owner.ok_or_else(|| Refusal::not_found("aftersale"))?;
        let mut locked = Locked::lock(tx, &owner, &self.aftersale_id).await?;
        locked.matter.require_etag(self.etag.as_deref())?;
        let before = locked.matter.evidence_count;
        let (goods, purse) = (&mut locked.goods, &mut locked.purse);
        let mut desk = desk(tx, goods, purse, &self.limits, &self.who);
        self.act_on(&mut locked.matter, &mut desk)?;
        if let Act::Evidence(pieces) = &self.act {
            evidence_insert(tx, &self.aftersale_id, before, self.who.party, pieces).await?;
        }
        locked.save(tx, self.name()).await
    }
}

impl ActOnAftersale {
    fn act_on(&self, matter: &mut Aftersale, desk: &mut Desk) -> Result<(), Refusal> {
        match &self.act {
            Act::Grant(grant, by) => {
                let mut grant = grant.clone();
                by_when(desk, grant.instructions.as_mut(), *by, "grant")?;
                matter.grant(desk, grant)
            }
            Act::Reject(message) => matter.reject(desk, message),
            Act::Offer(offer, by) => {
                let mut offer = offer.clone();
                by_when(desk, offer.instructions.as_mut(), *by, "counter_offer")?;
                matter.counter_offer(desk, offer)
            }
            Act::Approve(yes, message) => matter.approve(desk, *yes, message),
            Act::Answer(true, number) => matter.accept(desk, *number),
            Act::Answer(false, number) => matter.decline(desk, *number),
            Act::Received => matter.received(desk),
            Act::Inspect(units, message) => matter.inspect(desk, units, message),
            Act::Reship(sent) => {
                let ship_time = desk.now;
                let sent = Reshipment {
                    ship_time,
                    ..sent.clone()
                };
                matter.reshipped(desk, sent)
            }
            Act::Withdraw => matter.withdraw(desk),
            Act::Evidence(pieces) => {
                let pieces = i64::try_from(pieces.len()).unwrap_or(i64::MAX);
                matter.add_evidence(desk, pieces)
            }
        }
    }
}

/// Until when goods have to come.
fn by_when(
    desk: &Desk,
    instructions: Option<&mut Instructions>,
    asked: Option<Micros>,
    field: &str,
) -> Result<(), Refusal> {
    let Some(instructions) = instructions else {
        return Ok(());
    };
    let (now, most) = (desk.now, desk.limits.goods_max);
    instructions.return_by_time = match asked {
        None => now.plus(desk.limits.goods),
        Some(by) if by > now && by <= now.plus(most) => by,
        Some(_) => {
            let days = most.as_secs() / (24 * 60 * 60);
            let description = format!(
                "must be in the future and at most {days} days ahead; leave it out for the usual time."
            );
            let field = format!("{field}.instructions.return_by_time");
            return Err(Refusal::invalid(field, description));
        }
    };
    Ok(())
}

/// Reads what can be asked for about an order now, of one partner only when one is named.
pub struct CheckAftersale {
    /// Which order.
    pub order_id: OrderId,
    /// Whose it has to be.
    pub partner: Option<PartnerId>,
    /// Times and limits.
    pub limits: AftersaleLimits,
}

impl Operation for CheckAftersale {
    type Output = Vec<LineChoices>;

    fn name(&self) -> &'static str {
        "aftersale.check"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<LineChoices>, Fault> {
        let key = FulfillmentKey::Order(self.order_id);
        let found = fulfillment_get(tx, &key, self.partner).await?;
        let goods = found.ok_or_else(|| Refusal::not_found("order"))?;
        let (now, limits) = (tx.now(), &self.limits);
        let since = now.minus(limits.claim_window.max(limits.return_window));
        let deliveries = deliveries_since(tx, &self.order_id, since, limits.deliveries_max).await?;
        let purse = line_money_read(tx, &goods.id).await?;
        let of = |line| {
            let line: &crate::model::Line = line;
            let money = purse.get(&line.order_line_id);
            choices(line, money, &deliveries, limits, now)
        };
        Ok(goods.lines.iter().map(of).collect())
    }
}

/// Reads one matter with its evidence and its steps, of one partner only when one is named.
pub struct GetAftersale {
    /// Which.
    pub id: AftersaleId,
    /// Whose it has to be.
    pub partner: Option<PartnerId>,
    /// The most steps that are read, from the first.
    pub steps_max: i64,
    /// The most pieces of evidence there are.
    pub evidence_max: i64,
}

impl Operation for GetAftersale {
    type Output = (Aftersale, Vec<(Evidence, Party, Micros)>, Vec<Step>);

    fn name(&self) -> &'static str {
        "aftersale.get"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        let visible = aftersale_owner(tx, &self.id, self.partner.as_ref()).await?;
        let found = match visible {
            Some(_) => aftersale_read(tx, &self.id).await?,
            None => None,
        };
        let matter = found.ok_or_else(|| Refusal::not_found("aftersale"))?;
        let evidence = evidence_read(tx, &self.id, self.evidence_max).await?;
        let steps = steps_read(tx, &self.id, self.steps_max).await?;
        Ok((matter, evidence, steps))
    }
}

/// Reads a page of matters.
pub struct ListAftersales(pub AftersaleQuery);

impl Operation for ListAftersales {
    type Output = Vec<Aftersale>;

    fn name(&self) -> &'static str {
        "aftersale.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Aftersale>, Fault> {
        aftersales_list(tx, &self.0).await
    }
}
