//! Chargebacks, as partners report them.

use ::store::{Operation, Tx};
use contracts::id::{ChargebackId, PartnerId};
use kit::errors::{Fault, Refusal};

use super::ledger;
use super::refund_decide::locked;
use crate::events;
use crate::model::ledger::{Booking, reversed};
use crate::model::money::{Chargeback, ChargebackState, ChargebackStatement};
use crate::model::payment::Signed;
use crate::model::refund::RefundShares;
use crate::model::refund_decided::over;
use crate::model::{CostBearer, LedgerEntry, LedgerStep, Order, Parts, PaymentOutcome};
use crate::statement;
use crate::store::chargeback::{
    Proof, chargeback_by_reference, chargeback_decide, chargeback_insert, payment_charge_back,
    payment_charged_back,
};
use crate::store::ledger::entries_insert;
use crate::store::payment::payments_by_reference;

/// Records what a partner stated of a chargeback; gives it as it was right after it.
#[derive(Clone, Debug)]
pub struct ReportChargeback {
    /// Whose order.
    pub partner_id: PartnerId,
    /// What was stated; the signature held.
    pub stated: ChargebackStatement,
    /// The key it was signed with.
    pub kid: String,
    /// Whether that key is active.
    pub active: bool,
    /// The statement itself.
    pub statement: Signed,
}

impl Operation for ReportChargeback {
    type Output = Chargeback;

    fn name(&self) -> &'static str {
        "chargeback.report"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Chargeback, Fault> {
        let stated = &self.stated;
        let order = locked(tx, &stated.order_id, Some(&self.partner_id)).await?;
        let known =
            chargeback_by_reference(tx, &stated.order_id, &stated.chargeback_reference).await?;
        let (after, changed) = match known {
            Some(mut known) => known.report(stated)?,
            None => (self.opened(tx, &order).await?, true),
        };
        if !changed {
            tx.audit(self.name(), after.chargeback_id, "replayed");
            return Ok(after);
        }
        if !self.active {
            return Err(statement::bad_key().into());
        }
        let proof = Proof {
            kid: self.kid.clone(),
            statement: self.statement.clone(),
        };
        match after.state {
            ChargebackState::Opened => self.open(tx, &order, &after, &proof).await?,
            ChargebackState::Won | ChargebackState::Lost => {
                self.decide(tx, &order, &after, &proof).await?;
            }
        }
        tx.publish(events::chargeback(&after));
        tx.audit(self.name(), after.chargeback_id, after.state.as_str());
        Ok(after)
    }
}

impl ReportChargeback {
    /// One that is not known yet: it has to begin, and with money that is left of its payment.
    async fn opened(&self, tx: &mut Tx, order: &Order) -> Result<Chargeback, Fault> {
        let stated = &self.stated;
        if stated.state != ChargebackState::Opened {
            return Err(Refusal::not_found("chargeback").into());
        }
        let key = [(stated.order_id, stated.payment_reference.as_str())];
        let payment = payments_by_reference(tx, &key).await?.pop();
        let payment = payment.ok_or_else(|| Refusal::not_found("payment"))?;
        if payment.amount.currency != stated.amount.currency {
            return Err(
                statement::bad("The statement's currency_code must be the payment's.").into(),
            );
        }
        let charged_back = payment_charged_back(tx, &payment.payment_id).await?;
        let left = payment.amount.minor_units - payment.refunded - charged_back;
        if stated.amount.minor_units > left {
            return Err(over(RefundShares {
                shopper: left,
                partner: 0,
            })
            .into());
        }
        Ok(Chargeback {
            chargeback_id: ChargebackId::from_uuid(tx.ids().next()),
            order_id: stated.order_id,
            partner_id: order.placement.partner_id,
            payment_id: payment.payment_id,
            payment_reference: stated.payment_reference.clone(),
            chargeback_reference: stated.chargeback_reference.clone(),
            amount: stated.amount,
            state: ChargebackState::Opened,
            open_time: stated.report_time,
            decide_time: None,
            create_time: tx.now(),
            version: 1,
        })
    }

    async fn open(
        &self,
        tx: &mut Tx,
        order: &Order,
        opened: &Chargeback,
        proof: &Proof,
    ) -> Result<(), Fault> {
        chargeback_insert(tx, opened, proof).await?;
        payment_charge_back(tx, &opened.payment_id, opened.amount.minor_units).await?;
        let key = [(opened.order_id, opened.payment_reference.as_str())];
        let payment = payments_by_reference(tx, &key).await?.pop();
        let paid = payment.is_some_and(|payment| payment.outcome == PaymentOutcome::Paid);
        let parts: Vec<(Option<usize>, Parts)> = if paid {
            let taken = order.compose_whole(opened.amount.minor_units, 0)?;
            taken
                .into_iter()
                .map(|(at, parts)| (Some(at), parts))
                .collect()
        } else {
            let goods = opened.amount.minor_units;
            vec![(
                None,
                Parts {
                    goods,
                    ..Parts::default()
                },
            )]
        };
        let booking = Booking {
            order_id: opened.order_id,
            partner_id: opened.partner_id,
            step: LedgerStep::ChargebackOpened,
            cost_bearer: CostBearer::Retailer,
            source_id: opened.chargeback_id.as_str(),
            currency: opened.amount.currency,
            time: tx.now(),
        };
        let ids = tx.ids();
        let entries = booking.entries(parts, &mut || ids.next());
        entries_insert(tx, &entries).await
    }

    async fn decide(
        &self,
        tx: &mut Tx,
        order: &Order,
        decided: &Chargeback,
        proof: &Proof,
    ) -> Result<(), Fault> {
        chargeback_decide(tx, decided, proof).await?;
        let mut opened = ledger::entries_of(tx, order).await?;
        opened.retain(|entry| {
            entry.step == LedgerStep::ChargebackOpened
                && entry.source_id == decided.chargeback_id.as_str()
        });
        let opened: Vec<&LedgerEntry> = opened.iter().collect();
        if decided.state == ChargebackState::Won {
            payment_charge_back(tx, &decided.payment_id, -decided.amount.minor_units).await?;
        }
        let (ids, now) = (tx.ids(), tx.now());
        let entries = if decided.state == ChargebackState::Won {
            reversed(&opened, LedgerStep::ChargebackWon, now, &mut || ids.next())
        } else {
            let lost = reversed(&opened, LedgerStep::ChargebackLost, now, &mut || ids.next());
            // It goes on with what was opened, and undoes nothing of it.
            lost.into_iter()
                .map(|entry| LedgerEntry {
                    reverses: None,
                    ..entry
                })
                .collect()
        };
        entries_insert(tx, &entries).await
    }
}
