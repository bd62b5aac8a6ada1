//! Making entries: of payments, of what is decided line by line, and of what undoes others.

use contracts::id::{LedgerEntryId, OrderId, PartnerId};
use contracts::money::Currency;
use kit::clock::Micros;

use super::{Amounts, CostBearer, LedgerEntry, LedgerStep};
use crate::model::order::Order;
use crate::model::payment::Payment;
use crate::model::refund::Parts;

/// Where identifiers come from.
pub type NextId<'a> = &'a mut (dyn FnMut() -> u128 + Send);

/// What is the same for all entries of a step.
#[derive(Clone, Copy, Debug)]
pub struct Booking<'a> {
    /// The order.
    pub order_id: OrderId,
    /// Its partner.
    pub partner_id: PartnerId,
    /// What happened.
    pub step: LedgerStep,
    /// Who bears the cost.
    pub cost_bearer: CostBearer,
    /// The payment, refund, chargeback or compensation.
    pub source_id: &'a str,
    /// Of every amount.
    pub currency: Currency,
    /// When.
    pub time: Micros,
}

impl Booking<'_> {
    /// An entry of it.
    pub fn entry(&self, line: Option<usize>, amounts: Amounts, id: u128) -> LedgerEntry {
        LedgerEntry {
            entry_id: LedgerEntryId::from_uuid(id),
            order_id: self.order_id,
            partner_id: self.partner_id,
            line,
            step: self.step,
            cost_bearer: self.cost_bearer,
            source_id: self.source_id.to_owned(),
            reverses: None,
            currency: self.currency,
            amounts,
            record_time: self.time,
        }
    }

    /// An entry for each line of which something is moved.
    pub fn entries(
        &self,
        parts: impl IntoIterator<Item = (Option<usize>, Parts)>,
        ids: NextId<'_>,
    ) -> Vec<LedgerEntry> {
        parts
            .into_iter()
            .filter(|(_, parts)| !parts.is_zero())
            .map(|(line, parts)| {
                let amounts = Amounts {
                    parts,
                    retailer_discount: 0,
                };
                self.entry(line, amounts, ids())
            })
            .collect()
    }
}

/// What undoes entries: the same amounts the other way, each naming what it undoes.
pub fn reversed(
    entries: &[&LedgerEntry],
    step: LedgerStep,
    time: Micros,
    ids: NextId<'_>,
) -> Vec<LedgerEntry> {
    entries
        .iter()
        .map(|entry| LedgerEntry {
            entry_id: LedgerEntryId::from_uuid(ids()),
            step,
            reverses: Some(entry.entry_id),
            record_time: time,
            ..(*entry).clone()
        })
        .collect()
}

/// The entries of a payment: one for each line that it paid, or what came and is to go back.
pub fn of_payment(payment: &Payment, order: &Order, ids: NextId<'_>) -> Vec<LedgerEntry> {
    let booking = Booking {
        order_id: payment.order_id,
        partner_id: payment.partner_id,
        step: LedgerStep::Sale,
        cost_bearer: CostBearer::Retailer,
        source_id: payment.payment_id.as_str(),
        currency: payment.amount.currency,
        time: payment.record_time,
    };
    let Some(refund) = payment.first_refund() else {
        let lines = order.placement.lines.iter().enumerate();
        return lines
            .filter(|(_, line)| line.amount.price != 0 || line.amount.shipping != 0)
            .map(|(at, line)| {
                let amounts = Amounts {
                    parts: Parts {
                        goods: line.amount.price,
                        ..Parts::of(&line.amount)
                    },
                    retailer_discount: line.amount.retailer_discount,
                };
                booking.entry(Some(at), amounts, ids())
            })
            .collect();
    };
    let parts = Parts {
        goods: payment.amount.minor_units,
        ..Parts::default()
    };
    let came = Booking {
        step: LedgerStep::Unapplied,
        ..booking
    };
    let mut entries = came.entries([(None, parts)], ids);
    let goes = Booking {
        step: LedgerStep::RefundAuthorised,
        source_id: refund.refund_id.as_str(),
        ..booking
    };
    entries.extend(goes.entries([(None, parts)], ids));
    entries
}
