//! One order: its goods and matters are the model's, its refunds are what the order service promises.

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::id::{FulfillmentId, OrderId, OrderLineId, PartnerId, RefundId, VariantId};
use contracts::money::{Currency, Money};
use kit::clock::Micros;

use super::super::*;
use crate::model::returns::{RefundState, ReturnRefund};
use crate::model::{Blocks, Fulfillment, PaidLine, PaidOrder, Shipment, Unit};

pub(super) const NOW: Micros = Micros(1_767_225_600_000_000);
pub(super) const UNITS: i64 = 2;
pub(super) const PAID: i64 = 100;
/// Above this a second person has to agree.
pub(super) const ALONE: i64 = 60;
pub(super) const DAY: Duration = Duration::from_secs(86_400);
pub(super) const CARE: &str = "retailer:care";

pub(super) fn eur() -> Currency {
    "EUR".parse().expect("a currency")
}

pub(super) fn limits() -> AftersaleLimits {
    let ever = DAY * 365 * 1_000;
    AftersaleLimits {
        review: DAY,
        offer: DAY,
        approval: DAY,
        goods: DAY,
        goods_max: DAY,
        inspection: DAY,
        reshipment: DAY,
        refund: DAY,
        return_window: ever,
        claim_window: ever,
        offers_max: 1,
        evidence_max: 1,
        per_order_max: 10,
        deliveries_max: 10,
        default_site: "returns".into(),
        alone: BTreeMap::new(),
        alone_default: ALONE,
    }
}

/// A refund of the order service.
#[derive(Clone, Debug)]
pub(super) struct Refund {
    pub(super) matter: usize,
    pub(super) amount: i64,
    pub(super) state: RefundState,
    pub(super) attempt: i64,
    /// All that was ever told of it: news may arrive again and late.
    pub(super) told: Vec<ReturnRefund>,
}

/// One order from placement on.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) goods: Fulfillment,
    pub(super) purse: Purse,
    pub(super) parcel: Option<Shipment>,
    pub(super) parcel_ended: bool,
    pub(super) matters: Vec<Aftersale>,
    /// What each matter has told the order service, and how often that was taken.
    pub(super) settlements: Vec<(usize, Settlement)>,
    pub(super) refunds: Vec<Refund>,
    /// What the order service has paid back for a parcel that was not delivered.
    pub(super) undelivered: i64,
    pub(super) restocked: i64,
}

pub(super) fn line_id(order: u128) -> OrderLineId {
    OrderLineId::from_uuid(order)
}

impl Order {
    pub(super) fn new(at: u128) -> Self {
        let paid = PaidOrder {
            order_id: OrderId::from_uuid(at),
            partner_id: PartnerId::from_uuid(at % 2),
            lines: vec![PaidLine {
                order_line_id: line_id(at),
                variant_id: VariantId::from_uuid(1),
                sku: "SKU".into(),
                title: "Thing".into(),
                unit: Unit::Each,
                ordered: 1,
                cancelled: 0,
                payable: None,
            }],
            ship_not_before: NOW,
            ship_by: NOW,
            blocks: Blocks::NONE,
            region_code: "FR".into(),
            subdivision_code: String::new(),
        };
        let money = LineMoney {
            currency: eur(),
            payable: PAID,
            promised: 0,
        };
        Order {
            goods: Fulfillment::arrive(FulfillmentId::from_uuid(at), paid, NOW),
            purse: BTreeMap::from([(line_id(at), money)]),
            parcel: None,
            parcel_ended: false,
            matters: Vec::new(),
            settlements: Vec::new(),
            refunds: Vec::new(),
            undelivered: 0,
            restocked: 0,
        }
    }

    /// Given back and not given up.
    pub(super) fn back(&self) -> i64 {
        let of = |refund: &Refund| {
            if refund.state == RefundState::Withdrawn {
                0
            } else {
                refund.amount
            }
        };
        self.undelivered + self.refunds.iter().map(of).sum::<i64>()
    }

    /// The order service reads an entry: once it counts, again it changes nothing.
    pub(super) fn take(&mut self, entry: usize) -> bool {
        let (matter, settlement) = self.settlements[entry].clone();
        if settlement.lines.is_empty() || self.refunds.iter().any(|r| r.matter == matter) {
            return false;
        }
        let wanted: i64 = settlement
            .lines
            .iter()
            .map(|(_, _, _, amount)| amount)
            .sum();
        let amount = wanted.min(PAID - self.back());
        let state = if amount == 0 {
            RefundState::Executed
        } else {
            RefundState::Authorised
        };
        self.refunds.push(Refund {
            matter,
            amount,
            state,
            attempt: 1,
            told: Vec::new(),
        });
        self.tell(self.refunds.len() - 1);
        true
    }

    pub(super) fn tell(&mut self, at: usize) {
        let refund = &mut self.refunds[at];
        refund.told.push(ReturnRefund {
            refund_id: RefundId::from_uuid(refund.matter as u128),
            state: refund.state,
            attempt: refund.attempt,
            shopper_amount: Money::new(eur(), refund.amount),
        });
    }

    /// Partner and retailer move a refund on.
    pub(super) fn move_refund(&mut self, at: usize, to: RefundState, attempts: i64) -> bool {
        let refund = &mut self.refunds[at];
        let fits = match (refund.state, to) {
            (RefundState::Authorised, RefundState::Executed | RefundState::Failed) => true,
            (RefundState::Failed, RefundState::Authorised) => {
                refund.attempt += i64::from(refund.attempt < attempts);
                refund.told.iter().all(|told| told.attempt < refund.attempt)
            }
            (RefundState::Failed, RefundState::Withdrawn) => true,
            _ => false,
        };
        if fits {
            refund.state = to;
            self.tell(at);
        }
        fits
    }

    pub(super) fn key(&self) -> String {
        let line = &self.goods.lines[0];
        let counters = [
            line.shipped,
            line.delivered,
            line.undelivered,
            line.in_returns,
            line.returned,
            self.purse[&line.order_line_id].promised,
            self.undelivered,
            self.restocked,
        ];
        let matter = |m: &Aftersale| {
            let line = &m.lines[0];
            let leg = m.leg.as_ref().map(|leg| leg.state);
            let refund = m.refund.as_ref().map(|r| (r.state, r.attempt));
            let offer = m.offer.as_ref().map(|offer| offer.kind);
            let sent = m.reshipment.is_some();
            let amounts = (line.amount, line.offer_amount, line.found);
            (
                m.kind,
                m.state,
                m.reason,
                amounts,
                leg,
                refund,
                offer,
                sent,
                m.granted_by.clone(),
            )
        };
        let matters: Vec<_> = self.matters.iter().map(matter).collect();
        let refunds: Vec<_> = self
            .refunds
            .iter()
            .map(|r| (r.matter, r.amount, r.state, r.attempt))
            .collect();
        let settled: Vec<_> = self.settlements.iter().map(|(matter, _)| *matter).collect();
        let parcel = (self.parcel.is_some(), self.parcel_ended);
        format!("{counters:?}{matters:?}{refunds:?}{settled:?}{parcel:?}")
    }
}
