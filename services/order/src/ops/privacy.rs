//! Erasing a shopper's contact data: each order's as soon as the order, its returns, its money and the law need it no
//! longer, and the key after the last.

use std::time::Duration;

use ::store::erasure::{
    self, AFTERSALE_OPEN, Deferral, Erases, Erasure, LEGAL_RETENTION, MONEY_OPEN, ORDER_OPEN,
    QUEUED,
};
use ::store::{Operation, Tx};
use contracts::id::{OrderId, PartnerId};
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};

use crate::events;
use crate::model::OrderState;
use crate::store::contacts::{
    CONTACT, ContactNeed, contact_delete, contact_needs, contact_owner, contacts_seal, kept_until,
};
use crate::store::{mirrors, order};

/// The most orders of a shopper that one turn looks at.
const ORDERS_PER_TURN: i64 = 1_000;

/// What is erased here.
#[derive(Clone, Debug)]
pub struct ContactErasure {
    /// How long after the last change of an order the law asks for its contact data.
    pub retention: Duration,
}

impl Erases for ContactErasure {
    fn kinds(&self) -> &'static [&'static str] {
        &[CONTACT]
    }

    async fn erase(&self, tx: &mut Tx, of: &Erasure) -> Result<Option<Deferral>, Fault> {
        let now = tx.now();
        let needs = contact_needs(tx, &of.partner_id, &of.shopper_ref, ORDERS_PER_TURN).await?;
        let mut kept: Option<Deferral> = None;
        for need in &needs {
            match self.deferral(need, now) {
                None => contact_delete(tx, &need.order_id).await?,
                // What is told is what ends last: a state, whose end nobody knows, before a time.
                Some(new) if kept.as_ref().is_none_or(|old| is_later(&new, old)) => {
                    kept = Some(new)
                }
                Some(_) => {}
            }
        }
        if kept.is_none() && needs.len() as i64 == ORDERS_PER_TURN {
            return Ok(Some(Deferral {
                why: QUEUED,
                until: Some(now),
            }));
        }
        Ok(kept)
    }

    async fn seal_plain(&self, tx: &mut Tx, rows_max: i64) -> Result<usize, Fault> {
        contacts_seal(tx, rows_max).await
    }
}

impl ContactErasure {
    fn deferral(&self, need: &ContactNeed, now: Micros) -> Option<Deferral> {
        let open = [OrderState::PendingPayment, OrderState::Confirmed];
        let state = |why| Some(Deferral { why, until: None });
        if open.iter().any(|open| open.as_str() == need.state) {
            return state(ORDER_OPEN);
        }
        if need.returns_open > 0 {
            return state(AFTERSALE_OPEN);
        }
        if need.refunds_open > 0 || need.chargebacks_open > 0 {
            return state(MONEY_OPEN);
        }
        let until = kept_until(need, self.retention);
        (until > now).then_some(Deferral {
            why: LEGAL_RETENTION,
            until: Some(until),
        })
    }
}

fn is_later(new: &Deferral, old: &Deferral) -> bool {
    match (new.until, old.until) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(new), Some(old)) => new > old,
    }
}

/// Asks for a shopper's personal data to be erased, here and by those who follow the feed.
#[derive(Clone, Debug)]
pub struct EraseShopper {
    /// The partner.
    pub partner_id: PartnerId,
    /// Its shopper.
    pub shopper_ref: String,
}

impl Operation for EraseShopper {
    type Output = Vec<Erasure>;

    fn name(&self) -> &'static str {
        "privacy.request"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Erasure>, Fault> {
        if !mirrors::partner_is_known(tx, &self.partner_id).await? {
            return Err(Refusal::not_found("partner").into());
        }
        erasure::erasure_request(tx, &self.partner_id, &self.shopper_ref, &[CONTACT]).await?;
        tx.publish(events::shopper_erasure_requested(
            &self.partner_id,
            &self.shopper_ref,
        ));
        tx.audit(
            self.name(),
            self.partner_id,
            format!("shopper {}", self.shopper_ref),
        );
        erasure::erasures_of(tx, &self.partner_id, &self.shopper_ref).await
    }
}

/// Reads what has become of an erasure.
#[derive(Clone, Debug)]
pub struct ReadErasure {
    /// The partner.
    pub partner_id: PartnerId,
    /// Its shopper.
    pub shopper_ref: String,
}

impl Operation for ReadErasure {
    type Output = Vec<Erasure>;

    fn name(&self) -> &'static str {
        "privacy.get"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Erasure>, Fault> {
        erasure::erasures_of(tx, &self.partner_id, &self.shopper_ref).await
    }
}

/// Finds whose contact data a partner's order has, so that the key is at hand before anything is locked.
#[derive(Clone, Debug)]
pub struct ReadOwner {
    /// The partner.
    pub partner_id: PartnerId,
    /// Its order.
    pub order_id: OrderId,
}

impl Operation for ReadOwner {
    type Output = Option<::store::Owner>;

    fn name(&self) -> &'static str {
        "contact.owner"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        let found = order::placements_by_id(tx, &[self.order_id]).await?.pop();
        let own = found.filter(|placement| placement.partner_id == self.partner_id);
        Ok(own.map(|placement| contact_owner(placement.partner_id, &placement.shopper_ref)))
    }
}
