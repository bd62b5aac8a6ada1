//! Contact data: set by the partner until something has shipped, read by those who ship, each read audited.

use ::store::{Operation, Tx};
use contracts::ErrorReason;
use contracts::id::{OrderId, PartnerId};
use kit::errors::{Fault, Refusal};

use crate::events::{self, OrderChange};
use crate::model::contact::Contact;
use crate::model::{Order, OrderState};
use crate::store::{contacts, order, order_progress};

/// Sets or changes the contact data of an order; gives its new version.
#[derive(Clone, Debug)]
pub struct SetContact {
    /// The partner that calls.
    pub partner_id: PartnerId,
    /// Which order.
    pub order_id: OrderId,
    /// The data.
    pub contact: Contact,
}

impl Operation for SetContact {
    type Output = i64;

    fn name(&self) -> &'static str {
        "contact.set"
    }

    async fn run(&self, tx: &mut Tx) -> Result<i64, Fault> {
        let placements = order::placements_by_id(tx, &[self.order_id]).await?;
        let order = order::orders_lock(tx, placements).await?.pop();
        let own = order.filter(|order| order.placement.partner_id == self.partner_id);
        let Some(mut order) = own else {
            return Err(Refusal::not_found("order").into());
        };
        self.check(&order)?;
        let loaded_version = order.version;
        order.contact_set();
        // The order's lock is the fence against a parcel that leaves at the same moment.
        order_progress::orders_advance(tx, &[(&order, loaded_version)]).await?;
        let owner = contacts::contact_owner(self.partner_id, &order.placement.shopper_ref);
        let version = contacts::contact_put(tx, &self.order_id, &owner, &self.contact).await?;
        let now = tx.now();
        tx.publish(events::order_changed(OrderChange::ContactSet, &order, now));
        tx.audit(self.name(), self.order_id, format!("version {version}"));
        Ok(version)
    }
}

impl SetContact {
    fn check(&self, order: &Order) -> Result<(), Refusal> {
        if !self.contact.is_in(&order.placement.destination) {
            return Err(Refusal::invalid(
                "contact.region_code",
                format!(
                    "must be {}, where the order goes.",
                    order.placement.destination.region_code
                ),
            ));
        }
        if !matches!(
            order.state,
            OrderState::PendingPayment | OrderState::Confirmed
        ) {
            let message = "Contact data can be set while an order waits for payment or shipment.";
            return Err(Refusal::wrong_state("order", order.state, message));
        }
        if order.quantities.iter().any(|line| line.shipped > 0) {
            return Err(Refusal::new(
                ErrorReason::TooLate,
                "Something of the order has shipped already; ask customer care to redirect the parcel.",
            ));
        }
        Ok(())
    }
}

/// Reads the contact data of an order. It is a unit that writes, because the read goes to the audit trail.
#[derive(Clone, Debug)]
pub struct GetContact {
    /// Which order.
    pub order_id: OrderId,
    /// What for.
    pub purpose: String,
}

impl Operation for GetContact {
    type Output = (Contact, i64);

    fn name(&self) -> &'static str {
        "contact.read"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(Contact, i64), Fault> {
        let Some(found) = contacts::contact_by_order(tx, &self.order_id).await? else {
            return Err(Refusal::not_found("contact").into());
        };
        tx.audit(
            self.name(),
            self.order_id,
            format!("read for: {}", self.purpose),
        );
        Ok(found)
    }
}
